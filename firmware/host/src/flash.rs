//! A board's flash: bytes, and the file that keeps them. Settings, what chooses an image, and two images; no image of a
//! computer is ever run from there, but which one would be is looked at as on a chip.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash};
use wsdm_device_board::SECTOR_BYTES;
use wsdm_device_board::ota::{Layout, Slot};

use crate::console::CHIP;

const ERASED: u8 = 0xff;
/// Where settings are.
pub const SETTINGS: u32 = 0;
const TABLE: u32 = 2 * SECTOR_BYTES;
const SLOT_BYTES: u32 = 64 * SECTOR_BYTES;
const SLOTS: [Slot; 2] = [
    Slot {
        offset: 4 * SECTOR_BYTES,
        bytes: SLOT_BYTES,
    },
    Slot {
        offset: 4 * SECTOR_BYTES + SLOT_BYTES,
        bytes: SLOT_BYTES,
    },
];
const BYTES: usize = (4 * SECTOR_BYTES + 2 * SLOT_BYTES) as usize;

/// The flash.
pub struct Flash {
    bytes: Vec<u8>,
    file: Option<File>,
}

impl Flash {
    /// Flash that this file keeps. A new one is that of a board just flashed.
    pub fn open(path: Option<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let mut bytes = Vec::new();
        let file = path
            .map(|path| {
                let opened = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(&path);
                opened
                    .and_then(|mut file| file.read_to_end(&mut bytes).map(|_| file))
                    .map_err(|e| format!("{} cannot be read: {e}", path.display()))
            })
            .transpose()?;
        // An older file has settings only.
        bytes.resize(BYTES, ERASED);
        let mut flash = Self { bytes, file };
        let first = SLOTS[0].offset as usize;
        if flash.bytes[first] == ERASED {
            let image = image();
            flash.bytes[first..first + image.len()].copy_from_slice(&image);
            flash
                .keep(0, BYTES)
                .map_err(|_| "the file of the flash cannot be written")?;
        }
        Ok(flash)
    }

    /// Where the images are, and which one the boot loader starts: the one of the entry with the highest number that is
    /// whole, or else the first.
    pub fn layout(&self) -> Layout {
        let sequence = |sector: u32| {
            let entry = self
                .bytes
                .get((TABLE + sector * SECTOR_BYTES) as usize..)?
                .first_chunk::<32>()?;
            let word =
                |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
            (word(0) != u32::MAX && word(28) == crc32(word(0))).then(|| word(0))
        };
        let selected = sequence(0).max(sequence(1));
        Layout {
            table: TABLE,
            slots: SLOTS,
            running: selected.map_or(0, |sequence| sequence.wrapping_sub(1) as usize % 2),
        }
    }

    fn place(&mut self, from: u32, len: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let from = from as usize;
        self.bytes
            .get_mut(from..from + len)
            .ok_or(NorFlashErrorKind::OutOfBounds)
    }

    fn keep(&mut self, from: u32, len: usize) -> Result<(), NorFlashErrorKind> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let bytes = &self.bytes[from as usize..from as usize + len];
        file.seek(SeekFrom::Start(from.into()))
            .and_then(|_| file.write_all(bytes))
            .map_err(|_| NorFlashErrorKind::Other)
    }
}

/// The boot loader's, over one word.
fn crc32(word: u32) -> u32 {
    !(0..32).fold(word, |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
}

/// Just enough of an image to be recognised as one of this firmware.
fn image() -> [u8; 112] {
    let mut image = [0; 112];
    image[0] = 0xe9;
    image[12..14].copy_from_slice(&CHIP.image.to_le_bytes());
    image[32..36].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    let project = env!("CARGO_PKG_NAME").as_bytes();
    image[80..80 + project.len()].copy_from_slice(project);
    image
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, from: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(self.place(from, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_BYTES as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let len = to.saturating_sub(from) as usize;
        self.place(from, len)?.fill(ERASED);
        self.keep(from, len)
    }

    fn write(&mut self, from: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        // Writing clears bits, and sets none.
        for (place, byte) in self.place(from, bytes.len())?.iter_mut().zip(bytes) {
            *place &= byte;
        }
        self.keep(from, bytes.len())
    }
}

impl MultiwriteNorFlash for Flash {}
