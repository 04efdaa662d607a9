//! The images that `firmware/build all` makes: a manifest as ESP Web Tools reads it, with a hash for each file.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use wsdm_device_board::{Chip, ESP32C3, ESP32C6};

use crate::advice::{Advice, EXIT_USAGE};
use crate::text::{hex, printable};

/// The name of the list of images in its folder.
const MANIFEST: &str = "manifest.json";
/// No flash of these chips is larger.
const FLASH_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// What flash is erased by, and what a part therefore begins with.
const SECTOR_BYTES: u32 = 4_096;
const TABLE_OFFSET: u32 = 0x8000;
const TABLE_ENTRY_BYTES: usize = 32;
/// The first byte of a boot loader and of an app.
const IMAGE_MAGIC: u8 = 0xe9;
/// A byte of flash that nothing was written to.
const ERASED: u8 = 0xff;

/// The chips that there are images for.
const CHIPS: [&Chip; 2] = [&ESP32C3, &ESP32C6];

/// Why there are no images that can be written.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// No folder has any.
    #[error("no images of the firmware: there is no {MANIFEST} in {}", folders(.0))]
    None(Vec<PathBuf>),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is none for this chip.
    #[error("{} has no image for the {chip}", path.display())]
    NotFor {
        /// The manifest.
        path: PathBuf,
        /// The name of the chip.
        chip: String,
    },
}

impl Advice for ImagesError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::None(_) => {
                "make them in the folder of the project's source: firmware/build all; then run this again there, or give \
                 --images with their folder"
                    .into()
            }
            Self::File { .. } | Self::Broken { .. } | Self::NotFor { .. } => {
                "make them anew in the folder of the project's source: firmware/build all".into()
            }
        })
    }

    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

fn folders(folders: &[PathBuf]) -> String {
    let folders = folders.iter().map(|folder| folder.display().to_string());
    folders.collect::<Vec<_>>().join(", ")
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    version: String,
    builds: Vec<Build>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    chip_family: String,
    parts: Vec<PartEntry>,
}

#[derive(Deserialize)]
struct PartEntry {
    path: PathBuf,
    offset: u32,
    sha256: String,
}

/// A piece of flash.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it begins.
    pub offset: u32,
    /// What is written there.
    pub data: Vec<u8>,
}

impl Part {
    /// The end of the last sector that is erased for it.
    fn end(&self) -> u64 {
        let bytes = (self.data.len() as u64).next_multiple_of(SECTOR_BYTES.into());
        u64::from(self.offset) + bytes
    }
}

/// All that is written to one chip.
#[derive(Debug)]
pub(super) struct Image {
    pub chip: &'static Chip,
    /// By offset. None of them touches the partition of the settings.
    pub parts: Vec<Part>,
    /// How large the flash has to be.
    pub flash_bytes: u32,
    /// Which part is the firmware itself.
    app: usize,
}

impl Image {
    /// The firmware itself, which is all that an update over the network replaces.
    pub(super) fn app(&self) -> &[u8] {
        &self.parts[self.app].data
    }
}

/// The images of a folder, read and checked.
#[derive(Debug)]
pub(super) struct Images {
    manifest: PathBuf,
    /// The version of the firmware.
    pub version: String,
    images: Vec<Image>,
}

impl Images {
    /// Reads the images in this folder, or else in the first of the usual ones that has some.
    pub(super) fn find(folder: Option<&Path>) -> Result<Self, ImagesError> {
        let folders = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => usual_folders(),
        };
        let Some(manifest) = folders
            .iter()
            .map(|folder| folder.join(MANIFEST))
            .find(|file| file.exists())
        else {
            return Err(ImagesError::None(folders));
        };
        Self::read(manifest)
    }

    fn read(path: PathBuf) -> Result<Self, ImagesError> {
        let text = read(&path)?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| broken(&path, e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut images = Vec::new();
        for build in manifest.builds {
            // Those of other chips are for other programs.
            let Some(chip) = CHIPS.iter().find(|chip| chip.name == build.chip_family) else {
                continue;
            };
            images.push(image(folder, &path, chip, build.parts)?);
        }
        Ok(Self {
            version: printable(manifest.version.as_bytes()),
            images,
            manifest: path,
        })
    }

    /// What is written to a chip of this name.
    pub(super) fn of(&self, chip: &str) -> Result<&Image, ImagesError> {
        let image = self.images.iter().find(|image| image.chip.name == chip);
        image.ok_or_else(|| ImagesError::NotFor {
            path: self.manifest.clone(),
            chip: printable(chip.as_bytes()),
        })
    }
}

/// Where `firmware/build all` makes them, seen from the folder of the project.
const MADE_IN: &str = "target/firmware/images";

/// Next to the program, where it is built, and where images are made if this runs in the project's folder, which an
/// installed program has nothing else of.
fn usual_folders() -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(|program| program.canonicalize());
    let folder = program
        .ok()
        .and_then(|program| program.parent().map(Path::to_owned));
    let folder = folder.unwrap_or_default();
    let beside = folder.parent().map(|parent| parent.join("firmware/images"));
    [Some(folder.join("images")), beside, Some(MADE_IN.into())]
        .into_iter()
        .flatten()
        .collect()
}

fn broken(path: &Path, problem: impl Into<String>) -> ImagesError {
    ImagesError::Broken {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ImagesError> {
    let failed = |source| ImagesError::File {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(failed)?.len() > FLASH_MAX_BYTES {
        return Err(broken(path, "is larger than any flash"));
    }
    fs::read(path).map_err(failed)
}

fn image(
    folder: &Path,
    manifest: &Path,
    chip: &'static Chip,
    entries: Vec<PartEntry>,
) -> Result<Image, ImagesError> {
    let mut parts = Vec::new();
    let mut names = Vec::new();
    for entry in entries {
        let mut components = entry.path.components();
        if !matches!(
            (components.next(), components.next()),
            (Some(Component::Normal(_)), None)
        ) {
            return Err(broken(
                manifest,
                format!("{:?} is not a file beside it", entry.path),
            ));
        }
        let path = folder.join(&entry.path);
        let data = read(&path)?;
        if hex(&Sha256::digest(&data)) != entry.sha256.to_ascii_lowercase() {
            return Err(broken(
                &path,
                format!("is not the file that {MANIFEST} describes"),
            ));
        }
        if !entry.offset.is_multiple_of(SECTOR_BYTES) {
            return Err(broken(
                manifest,
                format!("{:?} begins within a sector", entry.path),
            ));
        }
        parts.push(Part {
            offset: entry.offset,
            data,
        });
        names.push(path);
    }
    let table = parts.iter().find(|part| part.offset == TABLE_OFFSET);
    let table =
        table.ok_or_else(|| broken(manifest, format!("has no partition table for the {}", chip.name)))?;
    let partitions = partitions(&table.data);
    for (part, path) in parts.iter().zip(&names) {
        let holds_code = part.offset == 0
            || partitions
                .iter()
                .any(|partition| partition.is_app && partition.start == part.offset);
        let (start, end) = (u64::from(part.offset), part.end());
        let place = partitions
            .iter()
            .find(|partition| u64::from(partition.start) < end && start < partition.end());
        if let Some(place) = place
            && (place.is_settings || u64::from(place.start) > start || place.end() < end)
        {
            return Err(broken(path, "does not fit where it is written"));
        }
        // A header that is too short has no chip either.
        let of = part.data.get(12..14).map(|of| u16::from_le_bytes([of[0], of[1]]));
        if holds_code && (part.data.first() != Some(&IMAGE_MAGIC) || of != Some(chip.image)) {
            return Err(broken(path, format!("is not an image for the {}", chip.name)));
        }
    }
    parts.sort_by_key(|part| part.offset);
    if parts
        .windows(2)
        .any(|two| two[0].end() > u64::from(two[1].offset))
    {
        return Err(broken(
            manifest,
            format!("has parts that overlap, for the {}", chip.name),
        ));
    }
    if !partitions.iter().any(|partition| partition.is_settings) {
        return Err(broken(
            manifest,
            "has no partition nvs, which the board keeps its settings in",
        ));
    }
    let choice = partitions.iter().find(|partition| partition.is_choice);
    let resets = |choice: &Partition| {
        let mut parts = parts.iter().filter(|part| part.offset == choice.start);
        parts.any(|part| {
            part.data.len() as u64 >= u64::from(choice.bytes) && part.data.iter().all(|byte| *byte == ERASED)
        })
    };
    if choice.is_some_and(|choice| !resets(choice)) {
        return Err(broken(
            manifest,
            format!(
                "leaves it open which app the {} starts: nothing erases otadata",
                chip.name
            ),
        ));
    }
    let first = partitions.iter().find(|partition| partition.is_app);
    let app = parts
        .iter()
        .position(|part| first.is_some_and(|first| first.start == part.offset));
    let app = app.ok_or_else(|| broken(manifest, format!("has no app for the {}", chip.name)))?;
    let ends = partitions
        .iter()
        .map(Partition::end)
        .chain(parts.iter().map(Part::end));
    let flash_bytes = ends.max().filter(|end| *end <= FLASH_MAX_BYTES);
    let flash_bytes = flash_bytes.and_then(|end| u32::try_from(end).ok());
    Ok(Image {
        chip,
        app,
        parts,
        flash_bytes: flash_bytes
            .ok_or_else(|| broken(manifest, "is for a larger flash than any chip has"))?,
    })
}

/// An entry of a partition table.
struct Partition {
    is_app: bool,
    is_settings: bool,
    /// Which app the boot loader starts. Erased: the first one.
    is_choice: bool,
    start: u32,
    bytes: u32,
}

impl Partition {
    fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.bytes)
    }
}

/// The entries, up to the first row that is none: the hash of the table, or its end.
fn partitions(table: &[u8]) -> Vec<Partition> {
    let word = |row: &[u8], at: usize| {
        row.get(at..at + 4)
            .map_or(0, |word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    };
    table
        .chunks_exact(TABLE_ENTRY_BYTES)
        .take_while(|row| row.starts_with(&[0xaa, 0x50]))
        .map(|row| Partition {
            is_app: row[2] == 0,
            is_settings: (row[2], row[3]) == (1, 2),
            is_choice: (row[2], row[3]) == (1, 0),
            start: word(row, 4),
            bytes: word(row, 8),
        })
        .collect()
}
