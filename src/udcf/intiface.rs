//! Intiface Central's own user device configuration: finds it, and backs it up before an edit.
//!
//! The paths come from the sources of Intiface Central, of its directory library, and of its Flatpak. Only Linux
//! could be tried, without Intiface Central itself.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::UdcfError;

/// The id of Intiface Central on Linux and in Flatpak.
const LINUX_ID: &str = "com.nonpolynomial.intiface_central";
/// Its bundle id on macOS.
const MACOS_ID: &str = "com.nonpolynomial.intifacecentral";
/// The file's name, before `.json` or `-v3.json`: each of its formats has its own file.
const FILE_STEM: &str = "buttplug-user-device-config";

/// The systems on which Intiface Central keeps its files in different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Linux,
    MacOs,
    Windows,
}

impl System {
    fn this() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else {
            Self::Linux
        }
    }

    /// Candidates for its `config` directory: one list for each kind of installation, the likeliest first. `data` is
    /// the user's data directory: by default `
    ///
    /// /.local/share`, `
    ///
    /// /Library/Application Support` or `%APPDATA%`.
    fn places(self, home: &Path, data: &Path) -> Vec<Vec<PathBuf>> {
        let folders = match self {
            Self::Windows => vec![vec![data.join("com.nonpolynomial").join("intiface_central")]],
            // It runs in a sandbox, with directories of its own. The others are for builds without a sandbox, and
            // from the protocol's page.
            Self::MacOs => vec![vec![
                home.join("Library/Containers")
                    .join(MACOS_ID)
                    .join("Data/Library/Application Support")
                    .join(MACOS_ID),
                data.join(MACOS_ID),
                data.join("com.nonpolynomial").join("intiface_central"),
            ]],
            Self::Linux => vec![
                // Named after its executable: from old versions, used only if there is no other.
                vec![data.join(LINUX_ID), data.join("intiface_central")],
                vec![home.join(".var/app").join(LINUX_ID).join("data").join(LINUX_ID)],
            ],
        };
        let configs = folders.into_iter().map(|ways| {
            let configs = ways.into_iter().map(|folder| folder.join("config"));
            configs.collect()
        });
        configs.collect()
    }
}

/// Finds Intiface Central's user device configuration on this machine.
///
/// # Errors
/// If there is none, or more than one: the places that were searched, and a hint.
pub fn find() -> Result<PathBuf, UdcfError> {
    let (home, data) = dirs::home_dir().zip(dirs::data_dir()).ok_or_else(|| {
        UdcfError::new(
            "--intiface-central",
            "this user has no home directory",
            "give the file itself instead".to_owned(),
        )
    })?;
    find_in(&System::this().places(&home, &data))
}

fn find_in(places: &[Vec<PathBuf>]) -> Result<PathBuf, UdcfError> {
    let first = |ways: &Vec<PathBuf>| ways.iter().find_map(|place| newest_format(place));
    let found: Vec<PathBuf> = places.iter().filter_map(first).collect();
    let list = |paths: &[PathBuf]| {
        let lines: Vec<String> = paths
            .iter()
            .map(|path| format!("\n  {}", path.display()))
            .collect();
        lines.concat()
    };
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(UdcfError::new(
            "--intiface-central",
            format!("no {FILE_STEM}*.json of Intiface Central in any of{}", list(&places.concat())),
            "start Intiface Central, add a websocket device there so that it saves the file, and close it; or give the \
             file itself instead of --intiface-central"
                .to_owned(),
        )),
        several => Err(UdcfError::new(
            "--intiface-central",
            format!("there is more than one Intiface Central:{}", list(several)),
            "give the file of the one that is meant instead of --intiface-central".to_owned(),
        )),
    }
}

/// The file of the newest format in this directory; older ones are left over from old versions.
fn newest_format(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten().filter_map(|entry| {
        let name = entry.file_name();
        Some((format_number(name.to_str()?)?, entry.path()))
    });
    files.max().map(|(_, path)| path)
}

/// 4 for `buttplug-user-device-config-v4.json`; the file without a number precedes numbering.
fn format_number(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(FILE_STEM)?.strip_suffix(".json")?;
    match rest.strip_prefix("-v") {
        Some(number) => number.parse().ok(),
        None => rest.is_empty().then_some(0),
    }
}

/// Copies a file that is about to be edited to `NAME.bak-<UTC time>` beside it, mode included, and returns the copy's
/// path. Never overwrites a file.
///
/// # Errors
/// If the copy cannot be made.
pub fn back_up(path: &Path) -> Result<PathBuf, UdcfError> {
    try_back_up(path, SystemTime::now()).map_err(|e| {
        UdcfError::new(
            path.display(),
            format!("cannot be backed up: {e}"),
            "nothing was changed; look at the owner and mode of the directory".to_owned(),
        )
    })
}

fn try_back_up(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let stamp = utc_stamp(now);
    let bytes = std::fs::read(path)?;
    for number in 1u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bak-{stamp}"));
        if number > 1 {
            name.push(format!("-{number}"));
        }
        let copy = PathBuf::from(name);
        let new = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&copy);
        match new {
            Ok(mut file) => {
                file.write_all(&bytes)?;
                file.set_permissions(std::fs::metadata(path)?.permissions())?;
                file.sync_all()?;
                return Ok(copy);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// `20260203T040506`
fn utc_stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Converts days to a Gregorian date, in eras of 400 years from 1 March of year 0, so that a leap day ends its
    // year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{:02}",
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_places() {
        let (home, data) = (Path::new("/home/u"), Path::new("/data"));
        let places = |system: System| -> Vec<String> {
            let places = system.places(home, data).concat();
            places
                .iter()
                .map(|p| p.to_str().unwrap().replace('\\', "/"))
                .collect()
        };
        assert_eq!(
            places(System::Windows),
            ["/data/com.nonpolynomial/intiface_central/config"]
        );
        assert_eq!(
            places(System::Linux),
            [
                "/data/com.nonpolynomial.intiface_central/config",
                "/data/intiface_central/config",
                "/home/u/.var/app/com.nonpolynomial.intiface_central/data/com.nonpolynomial.intiface_central/config",
            ]
        );
        assert_eq!(
            places(System::MacOs)[0],
            "/home/u/Library/Containers/com.nonpolynomial.intifacecentral/Data/Library/Application Support/\
             com.nonpolynomial.intifacecentral/config"
        );
    }

    #[test]
    fn the_newest_format_is_the_one_in_use() {
        for (name, wanted) in [
            ("buttplug-user-device-config.json", Some(0)),
            ("buttplug-user-device-config-v3.json", Some(3)),
            ("buttplug-user-device-config-v12.json", Some(12)),
            ("buttplug-user-device-config-v4.json.bak-20260203T040506", None),
            ("buttplug-device-config-v4.json", None),
            ("buttplug-user-device-config-vX.json", None),
        ] {
            assert_eq!(format_number(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_stamp_is_the_time_in_utc() {
        for (seconds, wanted) in [
            (0, "19700101T000000"),
            (951_782_400, "20000229T000000"),
            (1_078_099_199, "20040229T235959"),
            (1_770_091_506, "20260203T040506"),
            (4_107_542_399, "21000228T235959"),
            (4_107_542_400, "21000301T000000"),
        ] {
            let time = UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            assert_eq!(utc_stamp(time), wanted);
        }
    }

    #[test]
    fn no_copy_is_ever_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        let mut copies = Vec::new();
        for text in ["one", "two", "three"] {
            std::fs::write(&path, text).unwrap();
            copies.push((try_back_up(&path, UNIX_EPOCH).unwrap(), text));
        }
        for (copy, text) in &copies {
            assert_eq!(
                std::fs::read_to_string(copy).unwrap(),
                *text,
                "{}",
                copy.display()
            );
        }
        assert!(copies[0].0.ends_with("f.json.bak-19700101T000000"), "{copies:?}");
        assert!(
            copies[2].0.ends_with("f.json.bak-19700101T000000-3"),
            "{copies:?}"
        );
    }
}
