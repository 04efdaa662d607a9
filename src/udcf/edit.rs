//! Edits a user's file and leaves the rest untouched, order and spaces included.

pub mod axes;
mod cst;
pub mod device;

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jsonc_parser::cst::{CstInputValue, CstNode, CstObject};
use serde_json::json;

use self::cst::{parse, user_part};
use super::mend::has_user_part_at_the_top;
use super::read::read;
use super::{Udcf, UdcfError, protocols};

/// The result of `add`.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// The name was added.
    Added,
    /// The file was created.
    Created,
    /// The name was moved from this protocol, which the server does not have.
    Moved(String),
    /// The file already had the name and was not changed.
    AlreadyThere,
}

/// Adds a websocket name under a protocol, as [`add_to_text`]; creates the file if there is none. The file is replaced
/// atomically.
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
    check(protocol, name)?;
    if path.try_exists().is_ok_and(|there| !there) {
        let value = json!({
            "version": { "major": super::CURRENT_MAJOR, "minor": 0 },
            "user_configs": { "protocols": { protocol: { "communication": [{ "websocket": { "name": name } }] } } },
        });
        replace(path, &format!("{value:#}\n")).map_err(|e| cannot_write(path, &e))?;
        return Ok(Added::Created);
    }
    let text = read(path)?;
    let (edited, added) = add_to_text(&text, &path.display().to_string(), protocol, name)?;
    if added != Added::AlreadyThere {
        before()?;
        replace(path, &edited).map_err(|e| cannot_write(path, &e))?;
    }
    Ok(added)
}

/// Checks a protocol and a name that are to be added.
///
/// # Errors
/// The server does not know the protocol, or no device can send the name.
pub fn check(protocol: &str, name: &str) -> Result<(), UdcfError> {
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
    Ok(())
}

/// Checks that a file is of the version in which single devices are configured.
fn newest(udcf: &Udcf, file: &str) -> Result<(), UdcfError> {
    if !udcf.is_migrated() {
        return Ok(());
    }
    let problem = format!(
        "the file is of version {}, and single devices are configured in version {}",
        udcf.major(),
        super::CURRENT_MAJOR
    );
    let hint = "migrate the file first; what that changes is shown before".to_owned();
    Err(UdcfError::new(file, problem, hint))
}

/// A file in which something is not where it is expected.
fn unusual(file: &str) -> UdcfError {
    let hint =
        "edit it by hand: wsdm-gateway udcf migrate writes all of it anew, in the usual way".to_owned();
    UdcfError::new(
        file,
        "cannot be edited: a part of it is written in an unusual way",
        hint,
    )
}

/// The text of a file with a websocket name added under a protocol, in the format of the file's own version. A name of a
/// protocol that the server does not have is moved. Errors call the file `file`.
///
/// # Errors
/// As [`check`]; or if the file cannot be used or edited, or the name has another protocol.
pub fn add_to_text(text: &str, file: &str, protocol: &str, name: &str) -> Result<(String, Added), UdcfError> {
    check(protocol, name)?;
    // Validate before changing anything.
    let udcf = Udcf::parse(text, file)?;
    let cannot = || UdcfError::new(file, "cannot be edited: a part of it is not of its type", None);
    let mut base = Cow::Borrowed(text);
    let mut added = Added::Added;
    for (known, under) in udcf.websocket_names() {
        if known != name {
            continue;
        }
        if under == protocol {
            return Ok((text.to_owned(), Added::AlreadyThere));
        }
        if protocols::is_implemented(&under) {
            let problem =
                format!("the name {name:?} is already listed under {under:?}; a name has one protocol");
            let hint = "choose another name, or take that entry out".to_owned();
            return Err(UdcfError::new(file, problem, hint));
        }
        base = without(&base, &under, name).ok_or_else(cannot)?.into();
        added = Added::Moved(under);
    }
    let edited = edit(&base, udcf.major(), protocol, name).ok_or_else(cannot)?;
    Ok((edited, added))
}

/// The text without a websocket name under a protocol; `None` if it is not found where versions 3 to 5 have it.
fn without(text: &str, protocol: &str, name: &str) -> Option<String> {
    let (mark, root) = parse(text)?;
    let user = user_part(&root)?;
    let entry = user.object_value("protocols")?.get(protocol)?;
    let communication = entry.object_value()?.array_value("communication")?;
    let elements = communication.elements();
    let is_it = |element: &CstNode| {
        let value = element.to_serde_value();
        value.is_some_and(|value| value["websocket"]["name"] == name)
    };
    if elements.iter().all(is_it) && entry.object_value()?.properties().len() == 1 {
        entry.remove();
    } else {
        elements.into_iter().find(is_it)?.remove();
    }
    Some(format!("{mark}{root}"))
}

/// The text with the name added; `None` if something in it has the wrong type.
fn edit(text: &str, major: u64, protocol: &str, name: &str) -> Option<String> {
    let (mark, root) = parse(text)?;
    let object = root.object_value()?;
    let section =
        if object.get("user-configs").is_some() || (major < 4 && object.get("user_configs").is_none()) {
            "user-configs"
        } else {
            "user_configs"
        };
    let at_the_top = root
        .to_serde_value()
        .is_some_and(|file| has_user_part_at_the_top(&file));
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

/// Creates a file that its owner alone can read.
fn create(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// Copies a file that is about to be overwritten, with its mode, to an unused name, and returns the copy's path.
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
        match create(&copy) {
            Ok(mut file) => {
                // It may hold a password.
                file.set_permissions(std::fs::metadata(path)?.permissions())?;
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
    fn a_name_leaves_a_protocol_that_the_server_does_not_have() {
        let entry =
            |protocol: &str, names: &str| format!(r#""{protocol}": {{ "communication": [{names}] }}"#);
        let file = |protocols: &str| {
            format!(
                r#"{{
  "//": "mine",
  "version": {{ "major": 5, "minor": 0 }},
  "user_configs": {{ "protocols": {{ {protocols} }} }}
}}
"#
            )
        };
        let (a, b) = (
            r#"{ "websocket": { "name": "A" } }"#,
            r#"{ "websocket": { "name": "B" } }"#,
        );
        let alone = file(&entry("lovence", a));
        let beside = file(&entry("lovence", &format!("{a}, {b}")));
        for (text, left) in [(alone, 0), (beside, 1)] {
            let (edited, added) = add_to_text(&text, "f", "lovense", "A").unwrap();
            assert_eq!(added, Added::Moved("lovence".to_owned()));
            let udcf = Udcf::parse(&edited, "f").unwrap();
            let names = udcf.websocket_names();
            assert!(
                names.contains(&("A".to_owned(), "lovense".to_owned())),
                "{edited}"
            );
            assert_eq!(
                names.iter().filter(|(_, p)| p == "lovence").count(),
                left,
                "{edited}"
            );
            assert!(edited.contains(r#""//": "mine""#), "{edited}");
            assert_eq!(
                udcf.warnings().iter().any(|w| w.contains("lovence")),
                left > 0,
                "{edited}"
            );
        }
        // One that the server has is left alone.
        let other = file(&entry("tcode-v03", a));
        assert!(add_to_text(&other, "f", "lovense", "A").is_err());
    }

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
