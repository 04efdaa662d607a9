//! Edits a user's file and leaves the rest untouched, order and spaces included.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::json;

use super::mend::has_user_part_at_the_top;
use super::read::read;
use super::{UdcfError, protocols};

/// The result of `add`.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// The name was added.
    Added,
    /// The file was created.
    Created,
    /// The file already had the name and was not changed.
    AlreadyThere,
}

/// Adds a websocket name under a protocol, in the format of the file's own version; creates the file if there is
/// none. The file is replaced atomically.
///
/// # Errors
/// If the server does not know the protocol, or the file cannot be used or written. The file is unchanged then.
pub fn add(path: &Path, protocol: &str, name: &str) -> Result<Added, UdcfError> {
    add_after(path, protocol, name, || Ok(()))
}

/// Like [`add`], but calls `before` just before an existing file is changed; an error of `before` cancels the change.
///
/// # Errors
/// As [`add`], and the error of `before`.
pub fn add_after(
    path: &Path,
    protocol: &str,
    name: &str,
    before: impl FnOnce() -> Result<(), UdcfError>,
) -> Result<Added, UdcfError> {
    if !protocols::is_known(protocol) {
        let hint = match protocols::nearest(protocol) {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => "wsdm-gateway udcf protocols lists them".to_owned(),
        };
        return Err(UdcfError::new(
            "--protocol",
            format!("the server knows no protocol {protocol:?}"),
            hint,
        ));
    }
    if crate::device::handshake::Identifier::new(name).is_err() {
        let problem = "a name has 1 to 256 bytes".to_owned();
        return Err(UdcfError::new(
            "--websocket",
            problem,
            "it is what the device sends as identifier".to_owned(),
        ));
    }
    if path.try_exists().is_ok_and(|there| !there) {
        let value = json!({
            "version": { "major": super::CURRENT_MAJOR, "minor": 0 },
            "user_configs": { "protocols": { protocol: { "communication": [{ "websocket": { "name": name } }] } } },
        });
        replace(path, &format!("{value:#}\n")).map_err(|e| cannot_write(path, &e))?;
        return Ok(Added::Created);
    }
    let text = read(path)?;
    // Validate before changing anything.
    let udcf = super::Udcf::parse(&text, &path.display().to_string())?;
    for (known, under) in udcf.websocket_names() {
        if known == name && under == protocol {
            return Ok(Added::AlreadyThere);
        }
        if known == name {
            let problem =
                format!("the name {name:?} is already listed under {under:?}; a name has one protocol");
            return Err(UdcfError::new(
                path.display(),
                problem,
                "choose another name, or take that entry out".to_owned(),
            ));
        }
    }
    let edited = edit(&text, udcf.major(), protocol, name).ok_or_else(|| {
        UdcfError::new(
            path.display(),
            "cannot be edited: a part of it is not of its type",
            None,
        )
    })?;
    before()?;
    replace(path, &edited).map_err(|e| cannot_write(path, &e))?;
    Ok(Added::Added)
}

/// The text with the name added; `None` if something in it has the wrong type.
fn edit(text: &str, major: u64, protocol: &str, name: &str) -> Option<String> {
    // The byte order mark is not JSON, but must be kept.
    let (mark, json_text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let root = CstRootNode::parse(json_text, &ParseOptions::default()).ok()?;
    let object = root.object_value()?;
    let section =
        if object.get("user-configs").is_some() || (major < 4 && object.get("user_configs").is_none()) {
            "user-configs"
        } else {
            "user_configs"
        };
    let at_the_top = serde_json::from_str(json_text).is_ok_and(|file| has_user_part_at_the_top(&file));
    let user = if at_the_top {
        object
    } else {
        object.object_value_or_create(section)?
    };
    let old = ["specifiers", "selectors"]
        .into_iter()
        .find(|key| user.get(key).is_some());
    let in_names = old.is_some() || (major == 2 && user.get("protocols").is_none());
    if in_names {
        let entry = user
            .object_value_or_create(old.unwrap_or("specifiers"))?
            .object_value_or_create(protocol)?;
        let websocket: CstObject = entry.object_value_or_create("websocket")?;
        websocket
            .array_value_or_create("names")?
            .append(CstInputValue::String(name.to_owned()));
    } else {
        let entry = user
            .object_value_or_create("protocols")?
            .object_value_or_create(protocol)?;
        let specifier = CstInputValue::Object(vec![(
            "websocket".to_owned(),
            CstInputValue::Object(vec![("name".to_owned(), CstInputValue::String(name.to_owned()))]),
        )]);
        entry.array_value_or_create("communication")?.append(specifier);
    }
    Some(format!("{mark}{root}"))
}

fn cannot_write(path: &Path, e: &io::Error) -> UdcfError {
    let hint = "the file is unchanged; check the owner and mode of the directory".to_owned();
    UdcfError::new(path.display(), format!("cannot be written: {e}"), hint)
}

/// Writes a temporary file beside the old one and renames it, so the file is complete at any moment. Follows a
/// symbolic link, and keeps the mode of the old file.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut new = tempfile::Builder::new()
        .prefix(".wsdm-gateway-")
        .tempfile_in(&folder)?;
    new.write_all(text.as_bytes())?;
    if let Ok(old) = std::fs::metadata(&path) {
        new.as_file().set_permissions(old.permissions())?;
    } else {
        readable_by_default(new.as_file())?;
    }
    new.as_file().sync_all()?;
    new.persist(&path).map_err(|e| e.error)?;
    // Syncs the new name to the disk. If the directory cannot be opened, that is left to the system.
    if let Ok(folder) = std::fs::File::open(&folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// A temporary file is readable by its owner alone; a new file of the user's gets the default mode.
#[cfg(unix)]
fn readable_by_default(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_default(_: &std::fs::File) -> io::Result<()> {
    Ok(())
}

/// Copies a file that is about to be overwritten to an unused name, and returns the copy's path.
///
/// # Errors
/// If the copy cannot be made.
pub(crate) fn back_up(path: &Path) -> io::Result<PathBuf> {
    let bytes = std::fs::read(path)?;
    let mut number = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 {
            ".bak".to_owned()
        } else {
            format!(".bak{number}")
        });
        let copy = PathBuf::from(name);
        match std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&copy)
        {
            Ok(mut file) => {
                file.write_all(&bytes)?;
                file.sync_all()?;
                return Ok(copy);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_else_stays_byte_for_byte() {
        let text = "{\n    \"version\": {\"major\": 3,   \"minor\": 1e0},\n    \"user-configs\": {\n        \"protocols\": {\n            \"lovense\": { \"communication\": [ { \"websocket\": { \"name\": \"A\" } } ] }\n        },\n        \"devices\": []\n    }\n}\n";
        let edited = edit(text, 3, "lovense", "B").unwrap();
        assert!(
            edited.contains("\"name\": \"A\"") && edited.contains("\"B\""),
            "{edited}"
        );
        for kept in [
            "\"major\": 3,   \"minor\": 1e0}",
            "\n        \"devices\": []\n    }\n}\n",
        ] {
            assert!(edited.contains(kept), "{edited}");
        }
    }

    #[test]
    fn each_version_gets_the_name_in_its_own_format() {
        for (major, text, wanted) in [
            (
                2,
                r#"{"version":{"major":2,"minor":6}}"#,
                "/user-configs/specifiers/lovense/websocket/names/0",
            ),
            (
                3,
                r#"{"version":{"major":3,"minor":0}}"#,
                "/user-configs/protocols/lovense/communication/0/websocket/name",
            ),
            (
                4,
                r#"{"version":{"major":4,"minor":0}}"#,
                "/user_configs/protocols/lovense/communication/0/websocket/name",
            ),
            (
                5,
                r#"{"version":{"major":5,"minor":0}}"#,
                "/user_configs/protocols/lovense/communication/0/websocket/name",
            ),
        ] {
            let edited = edit(text, major, "lovense", "New").unwrap();
            let value: serde_json::Value = serde_json::from_str(&edited).unwrap();
            assert_eq!(
                value.pointer(wanted).and_then(|v| v.as_str()),
                Some("New"),
                "{edited}"
            );
            assert_eq!(value["version"]["major"], major);
        }
    }
}
