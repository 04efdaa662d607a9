//! Changing a user's file when he asks for it: everything else in it stays as it is, order, spaces and all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::json;

use super::read::read;
use super::{UdcfError, protocols};

/// What `add` did.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// The name is there now.
    Added,
    /// The file is new.
    Created,
    /// The name was there; the file was not touched.
    AlreadyThere,
}

/// Adds a websocket name under a protocol, in the format of the file's own version; makes the file where there is
/// none. The file is replaced whole or not at all.
///
/// # Errors
/// A protocol that the server does not know, a file that cannot be used or written; the file is as it was then.
pub fn add(path: &Path, protocol: &str, name: &str) -> Result<Added, UdcfError> {
    add_after(path, protocol, name, || Ok(()))
}

/// As [`add`], and calls `before` when a file that is there is about to be changed: what that refuses is not done.
///
/// # Errors
/// As [`add`], and what `before` says.
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
    // Whatever is wrong with the file is said before anything is done to it.
    let udcf = super::Udcf::parse(&text, &path.display().to_string())?;
    for (known, under) in udcf.websocket_names() {
        if known == name && under == protocol {
            return Ok(Added::AlreadyThere);
        }
        if known == name {
            let problem =
                format!("the name {name:?} stands under {under:?} already; a name has one protocol");
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

/// The text with the name in it; `None` where something that should be an object or a list is neither.
fn edit(text: &str, major: u64, protocol: &str, name: &str) -> Option<String> {
    // The byte order mark is not JSON, but part of what is kept.
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
    let user = object.object_value_or_create(section)?;
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
    let hint = "the file is as it was; look at the owner and mode of the directory".to_owned();
    UdcfError::new(path.display(), format!("cannot be written: {e}"), hint)
}

/// Writes a new file beside the old one and puts it in its place: at no moment is there half a file. A link is
/// followed, the mode of the old file is kept.
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
    // The directory holds the name; where it cannot be opened the system decides when the name is on the disk.
    if let Ok(folder) = std::fs::File::open(&folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// A temporary file is made for its owner alone; a new file of the user's is as any other.
#[cfg(unix)]
fn readable_by_default(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_default(_: &std::fs::File) -> io::Result<()> {
    Ok(())
}

/// Keeps a copy of a file that is about to be overwritten, under a name that nothing has yet: the copy's path.
///
/// # Errors
/// When the copy cannot be made.
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
