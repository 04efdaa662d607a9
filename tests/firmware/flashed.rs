//! What `firmware/build all` made, onto a chip in software.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::bench::{Bench, NATIVE, end_with_button};
use super::chip::{Fault, Kind};
use super::memory::Memory;
use super::program::built;

#[tokio::test(flavor = "multi_thread")]
async fn the_images_of_the_build_are_what_a_flashed_chip_holds() {
    let folder = built("images/manifest.json")
        .parent()
        .map(Path::to_owned)
        .unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    for (kind, name) in [(Kind::Esp32c3, "ESP32-C3"), (Kind::Esp32c6, "ESP32-C6")] {
        let mut bench = Bench::new();
        bench.images.clone_from(&folder);
        let memory = Memory::erased();
        let chip = bench.plug(NATIVE, kind, &memory, Fault::None);
        let mut command = bench.flash(&["--no-wait"]);
        let ended = end_with_button(command.args(bench.wifi()), &chip).await;
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let builds = manifest["builds"].as_array().unwrap();
        let build = builds.iter().find(|build| build["chipFamily"] == name).unwrap();
        let parts = build["parts"].as_array().unwrap();
        assert_eq!(
            parts.len(),
            4,
            "boot loader, partition table, choice of the app, and app"
        );
        for part in parts {
            let data = fs::read(folder.join(part["path"].as_str().unwrap())).unwrap();
            let at = part["offset"].as_u64().unwrap() as usize;
            assert!(memory.read(at, data.len()) == data, "{part}");
        }
    }
}
