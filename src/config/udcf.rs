//! The `[udcf]` and `[state]` sections: what the user says of devices, and what the gateway learned of them.

use std::path::PathBuf;

use super::Files;
use super::layers::Reader;
use super::read::Keys;
use super::table::{Key, Kind, Preset, Section};

pub(super) static UDCF: Section = Section {
    name: "udcf",
    repeated: false,
    help: "The user device configuration file (UDCF): which identifiers exist, and which protocol each speaks.",
    keys: &[
        Key {
            name: "path",
            kind: Kind::Path,
            default: Preset::Unset(
                "udcf.json beside gateway.toml if it exists, else built in, with LVSDevice (lovense) and TCodeDevice (tcode-v03)",
            ),
            flag: Some("udcf"),
            example: "\"my-devices.json\"",
            help: "Read this user device configuration file, of any version from 2 to 5",
            note: "Relative to gateway.toml. The page writes udcf.json if no file is configured.",
            ..Key::BASE
        },
        Key {
            name: "bridge",
            kind: Kind::Switch,
            default: Preset::Switch(false),
            help: "Bridge the boards on serial ports and on Bluetooth LE that this file describes",
            note: "As if this file had [[serial]] and [[ble]] entries for them, which wsdm-gateway udcf bridge FILE \
                   prints. An entry of gateway.toml for the same board wins.",
            ..Key::BASE
        },
    ],
};

pub(super) static STATE: Section = Section {
    name: "state",
    repeated: false,
    help: "What the gateway remembers.",
    keys: &[Key {
        name: "path",
        kind: Kind::Path,
        default: Preset::Unset("state.json in the user's state directory"),
        flag: Some("state"),
        example: "\"state.json\"",
        help: "Remember device indexes in this file",
        note: "Relative to gateway.toml. The state directory on Linux is ~/.local/state/wsdm-gateway.",
        ..Key::BASE
    }],
};

/// The file, and whether its boards on serial ports and on Bluetooth are bridged.
pub(super) fn read(reader: &mut Reader, files: &Files) -> (Option<PathBuf>, bool) {
    let mut keys = Keys::new(reader, &UDCF);
    let own = files.own_udcf().filter(|path| path.exists());
    let path = keys.path("path");
    if path.is_none()
        && let Some(own) = &own
    {
        keys.show_instead("path", own.display().to_string(), "default");
    }
    let path = path.or(own);
    let bridge = keys.switch("bridge").unwrap_or_default();
    if bridge && path.is_none() {
        keys.warning(
            "bridge",
            "has no effect without path: the built-in file describes no such boards",
        );
    }
    (path, bridge)
}

pub(super) fn read_state(reader: &mut Reader) -> Option<PathBuf> {
    let path = Keys::new(reader, &STATE).path("path");
    if path.is_some() {
        return path;
    }
    let path = state_folder().map(|folder| folder.join("state.json"));
    let shown = path
        .as_ref()
        .map_or("nothing is remembered: no home directory".to_owned(), |path| {
            path.display().to_string()
        });
    if !reader.is_given("state.path") {
        reader.show("state.path", shown, "default".to_owned());
    }
    path
}

/// The XDG state directory, or what stands for it on systems without.
fn state_folder() -> Option<PathBuf> {
    dirs::state_dir()
        .or_else(dirs::data_local_dir)
        .map(|d| d.join("wsdm-gateway"))
}
