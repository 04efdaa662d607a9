//! A folder of images as `firmware/build all` makes it, with bytes that nothing runs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wsdm_gateway::text::hex;

/// Where an app is, and how many bytes this one has.
pub const APP: usize = 0x20000;
const APP_BYTES: usize = 90_001;
/// Where its version is.
pub const VERSION_AT: usize = 48;
/// Where the second one is, and how many bytes each may have.
pub const SECOND_APP: usize = 0x210000;
pub const SLOT_BYTES: usize = 0x1f0000;
/// Where it is chosen which app starts; erased, it is the first.
pub const CHOICE: usize = 0x10000;
const CHOICE_BYTES: usize = 0x2000;

/// The parts of an image: where each is written, and its bytes.
pub type Parts = Vec<(usize, Vec<u8>)>;

/// Bytes with a header for the chip of this number.
pub fn program(number: u8, bytes: usize) -> Vec<u8> {
    let mut seed = u32::from(number);
    // Half of it can be compressed.
    let mut image: Vec<u8> = (0..bytes)
        .map(|at| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at % 512 < 256 { seed.to_be_bytes()[0] } else { 0 }
        })
        .collect();
    image[0] = 0xe9;
    image[12..14].copy_from_slice(&[number, 0]);
    image
}

/// The same with what the firmware says of itself.
pub fn firmware(number: u8, project: &str, version: &str) -> Vec<u8> {
    let mut image = program(number, APP_BYTES);
    image[32..36].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    for (at, text) in [(VERSION_AT, version), (80, project)] {
        image[at..at + 32].fill(0);
        image[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    image
}

/// The partition table of `firmware/partitions.csv`, without its hash.
pub fn table() -> Vec<u8> {
    let mut table = Vec::new();
    for (kind, start, bytes, name) in [
        ([1, 2], 0x9000_u32, 0x6000_u32, "nvs"),
        ([1, 1], 0xf000, 0x1000, "phy_init"),
        ([1, 0], 0x10000, 0x2000, "otadata"),
        ([0, 0x10], 0x20000, 0x1f0000, "ota_0"),
        ([0, 0x11], 0x210000, 0x1f0000, "ota_1"),
    ] {
        table.extend([0xaa, 0x50]);
        table.extend(kind);
        table.extend(start.to_le_bytes());
        table.extend(bytes.to_le_bytes());
        let mut label = name.as_bytes().to_vec();
        label.resize(20, 0);
        table.extend(label);
    }
    table.resize(0xc00, 0xff);
    table
}

pub fn parts(number: u8) -> Parts {
    vec![
        (0, program(number, 20_000)),
        (0x8000, table()),
        (APP, program(number, APP_BYTES)),
        (CHOICE, vec![0xff; CHOICE_BYTES]),
    ]
}

/// Writes these parts for each chip, and returns the folder.
pub fn write(folder: &Path, chips: &[(&str, Parts)]) -> PathBuf {
    let folder = folder.join("images");
    fs::create_dir_all(&folder).expect("a folder to write in");
    let mut builds = Vec::new();
    for (chip, parts) in chips {
        let mut listed: Vec<Value> = Vec::new();
        for (offset, data) in parts {
            let name = format!("{chip}-{offset:x}.bin");
            fs::write(folder.join(&name), data).expect("a folder to write in");
            listed.push(json!({ "path": name, "offset": offset, "sha256": hex(&Sha256::digest(data)) }));
        }
        builds.push(json!({ "chipFamily": chip, "parts": listed }));
    }
    let manifest = json!({ "name": "wsdm-device", "version": "0.1.0", "builds": builds });
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("a folder to write in");
    folder
}

/// Images for both chips.
pub fn usual(folder: &Path) -> PathBuf {
    write(folder, &[("ESP32-C3", parts(5)), ("ESP32-C6", parts(13))])
}
