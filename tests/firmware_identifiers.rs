//! What a board calls itself, the gateway knows: each identifier in the firmware, in the examples and in
//! `gateway.example.toml` is a websocket name of the UDCF that goes with it.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wsdm_gateway::udcf::Udcf;

const LOVENSE: &str = "lovense";
const TCODE: &str = "tcode-v03";

/// Files below `firmware/`, what stands before each identifier in them, and the protocols that these speak, in order.
const FIRMWARE: &[(&str, &str, &[&str])] = &[
    (
        "arduino/WsdmDevice/README.md",
        "gateway.begin(\"",
        &[LOVENSE, LOVENSE],
    ),
    (
        "arduino/WsdmDevice/examples/BleNusLovense/BleNusLovense.ino",
        "gateway.begin(\"",
        &[LOVENSE],
    ),
    (
        "arduino/WsdmDevice/examples/WifiLovenseVibrator/WifiLovenseVibrator.ino",
        "#define IDENTIFIER \"",
        &[LOVENSE],
    ),
    (
        "arduino/WsdmDevice/examples/WifiTcodeStroker/WifiTcodeStroker.ino",
        "#define IDENTIFIER \"",
        &[TCODE],
    ),
    (
        "arduino/WsdmDevice/examples/SerialLovense/SerialLovense.ino",
        "gateway.begin(\"",
        &[LOVENSE],
    ),
    (
        "arduino/WsdmDevice/examples/SerialStepper/SerialStepper.ino",
        "gateway.begin(\"",
        &[TCODE],
    ),
    (
        "arduino/WsdmDevice/examples/SerialTcode/SerialTcode.ino",
        "gateway.begin(\"",
        &[TCODE],
    ),
    (
        "arduino/avr-client/avr-client.ino",
        "gateway.begin(\"192.168.1.20\", 54817, \"",
        &[LOVENSE],
    ),
    (
        "board/src/settings.rs",
        "(\"\", Language::Lovense) => \"",
        &[LOVENSE],
    ),
    ("board/src/settings.rs", "(\"\", Language::Tcode) => \"", &[TCODE]),
    ("host/src/main.rs", "run(&arguments, \"", &[LOVENSE, TCODE]),
    (
        "qemu-riscv32/src/settings.rs",
        "        Language::Lovense => \"",
        &[LOVENSE],
    ),
    (
        "qemu-riscv32/src/settings.rs",
        "        Language::Tcode => \"",
        &[TCODE],
    ),
    (
        "arduino/avr-haptic/avr-haptic.ino",
        "gateway.begin(\"",
        &[LOVENSE],
    ),
    ("serial-avr/lovense/lovense.ino", "gateway.begin(\"", &[LOVENSE]),
    ("serial-avr/tcode/tcode.ino", "gateway.begin(\"", &[TCODE]),
    ("simavr/hang/hang.ino", "gateway.begin(\"", &[LOVENSE]),
];

/// Tests of the firmware, which talk to stand-ins: what they call themselves nobody has to know. So are all files of these
/// names.
const CHECKS_OF_THE_LIBRARY: &str = "arduino/host/checks";
const TESTS_OF_FIRMWARE: &[&str] = &[
    "core/src/settings.rs",
    "core/tests/websocket.rs",
    "core/tests/wire.rs",
    "board/src/settings/tests.rs",
];

/// What betrays a file that announces an identifier. A name that ends in Device, in quotes, does so too.
const BETRAYS: &[&str] = &[
    ".begin(\"",
    "IDENTIFIER \"",
    "Identity::new(\"",
    "WireSettings::new(\"",
    "run(&arguments, \"",
];

/// In a `device.py` or a `board.py`.
const IN_PYTHON: &[&str] = &["\"--identifier\", default=\"", "{\"identifier\": \""];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files below a folder; not what builds leave there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_file() {
            found.push(path);
        } else if name != "target" {
            found.extend(files(&path));
        }
    }
    found.sort();
    found
}

/// Each quoted text that follows `before`, which ends with its opening quote.
fn quoted_after(text: &str, before: &str) -> Vec<String> {
    text.split(before)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Each word that follows `before`.
fn words_after(text: &str, before: &str) -> Vec<String> {
    text.split(before)
        .skip(1)
        .map(|rest| rest.split_whitespace().next().unwrap().to_owned())
        .collect()
}

/// Names, with the protocol that each speaks.
fn names(udcf: &Udcf) -> BTreeMap<String, String> {
    udcf.websocket_names().into_iter().collect()
}

fn builtin() -> BTreeMap<String, String> {
    names(&Udcf::builtin())
}

#[test]
fn the_gateway_knows_what_firmware_calls_itself() {
    let known = builtin();
    for (file, before, protocols) in FIRMWARE {
        let found = quoted_after(&read(&root().join("firmware").join(file)), before);
        assert_eq!(
            found.len(),
            protocols.len(),
            "firmware/{file}: {before}...\" is there for {found:?}"
        );
        for (identifier, protocol) in found.iter().zip(*protocols) {
            assert_eq!(
                known.get(identifier).map(String::as_str),
                Some(*protocol),
                "firmware/{file} announces {identifier:?}, and speaks {protocol}; the gateway knows {known:?}"
            );
        }
    }
}

#[test]
fn no_other_file_of_the_firmware_has_an_identifier() {
    let firmware = root().join("firmware");
    let has_one = |text: &str| {
        let is_name =
            |word: &str| word.ends_with("Device") && word.chars().all(|c| c.is_ascii_alphanumeric());
        BETRAYS.iter().any(|pattern| text.contains(pattern)) || text.split('"').any(is_name)
    };
    let is_source = |path: &Path| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        ["rs", "ino", "c", "cpp", "h", "md", "toml"].contains(&extension)
    };
    let found: BTreeSet<String> = files(&firmware)
        .into_iter()
        .filter(|path| is_source(path) && has_one(&read(path)))
        .map(|path| path.strip_prefix(&firmware).unwrap().to_str().unwrap().to_owned())
        .filter(|file| !file.starts_with(CHECKS_OF_THE_LIBRARY))
        .collect();
    let listed: BTreeSet<String> = FIRMWARE
        .iter()
        .map(|(file, ..)| *file)
        .chain(TESTS_OF_FIRMWARE.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(
        found, listed,
        "the tables of this test are not what is below firmware/"
    );
}

#[test]
fn each_example_knows_its_own_device() {
    let mut scripts = 0;
    let mut configurations = 0;
    for entry in std::fs::read_dir(root().join("udcf-examples")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let udcf = folder.join("udcf.json");
        let known = if udcf.exists() {
            names(&Udcf::load(&udcf).unwrap())
        } else {
            builtin()
        };
        // A board that listens is told by its entry what it is.
        let listens = std::fs::read_to_string(folder.join("gateway.toml"))
            .is_ok_and(|configuration| configuration.contains("[[dial]]"));
        let check = |path: &Path, identifiers: &[String]| {
            for identifier in identifiers {
                assert!(
                    known.contains_key(identifier),
                    "{} has {identifier:?}; its UDCF knows {known:?}",
                    path.display()
                );
            }
        };
        for path in files(&folder) {
            let text = read(&path);
            match path.extension().and_then(|e| e.to_str()) {
                Some("py") => {
                    let found: Vec<_> = IN_PYTHON
                        .iter()
                        .flat_map(|before| quoted_after(&text, before))
                        .collect();
                    let announced = usize::from(!listens);
                    assert_eq!(found.len(), announced, "{} announces {found:?}", path.display());
                    check(&path, &found);
                    scripts += 1;
                }
                Some("toml") => {
                    let file: toml::Table = text.parse().unwrap();
                    assert_eq!(
                        file["udcf"]["path"].as_str(),
                        Some("udcf.json"),
                        "{}",
                        path.display()
                    );
                    // [[serial]], and whatever else may stand several times.
                    let boards: Vec<_> = file
                        .values()
                        .filter_map(|value| value.as_array())
                        .flatten()
                        .collect();
                    assert!(!boards.is_empty(), "{} has no board", path.display());
                    let found: Vec<_> = boards
                        .iter()
                        .filter_map(|board| board.get("identifier"))
                        .map(|identifier| identifier.as_str().unwrap().to_owned())
                        .collect();
                    check(&path, &found);
                    configurations += 1;
                }
                // What it says to run.
                Some("md") => check(&path, &words_after(&text, "--identifier ")),
                _ => {}
            }
        }
    }
    assert!(scripts > 0 && configurations > 0, "udcf-examples/ has no device");
}

#[test]
fn the_example_configuration_names_what_is_built_in() {
    let text = read(&root().join("gateway.example.toml"));
    let known = builtin();
    let identifiers = quoted_after(&text, "identifier = \"");
    assert!(!identifiers.is_empty(), "gateway.example.toml has no identifier");
    for identifier in identifiers {
        assert!(
            known.contains_key(&identifier),
            "gateway.example.toml has {identifier:?}; the gateway knows {known:?}"
        );
    }
    for (name, protocol) in known {
        let told = format!("{name} ({protocol})");
        assert!(text.contains(&told), "gateway.example.toml does not say {told:?}");
    }
}
