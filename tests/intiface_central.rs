//! Editing the file of an Intiface Central on this machine, with the real program and a home of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const NATIVE: &str = ".local/share/com.nonpolynomial.intiface_central/config";
const OLD: &str = ".local/share/intiface_central/config";
const FLATPAK: &str =
    ".var/app/com.nonpolynomial.intiface_central/data/com.nonpolynomial.intiface_central/config";

fn add(home: &Path, name: &str, env: &[(&str, &Path)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"))
        .args(["udcf", "add", "--intiface-central"])
        .args(["--protocol", "lovense", "--websocket", name])
        .env_clear()
        .env("HOME", home)
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file of this version, as Intiface Central leaves it behind.
fn place(folder: &Path, name: &str, major: u64) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let file = folder.join(name);
    let user = if major < 4 { "user-configs" } else { "user_configs" };
    let value = json!({ "version": { "major": major, "minor": 0 }, user: { "devices": [] } });
    std::fs::write(&file, format!("{value:#}")).unwrap();
    file
}

fn has_name(file: &Path, name: &str) -> bool {
    let value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let user = value.get("user_configs").unwrap_or(&value["user-configs"]);
    let entries = user["protocols"]["lovense"]["communication"].as_array();
    entries
        .into_iter()
        .flatten()
        .any(|entry| entry["websocket"]["name"] == name)
}

fn copies(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut copies: Vec<_> = paths.filter(|p| p.to_str().unwrap().contains(".bak-")).collect();
    copies.sort();
    copies
}

#[test]
fn the_name_is_added_in_the_files_own_format_after_a_copy_was_made() {
    for (major, name) in [
        (3, "buttplug-user-device-config-v3.json"),
        (4, "buttplug-user-device-config-v4.json"),
        (5, "buttplug-user-device-config-v5.json"),
    ] {
        let home = TempDir::new().unwrap();
        let folder = home.path().join(NATIVE);
        let file = place(&folder, name, major);
        let before = std::fs::read(&file).unwrap();
        let output = add(home.path(), "Bench", &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(has_name(&file, "Bench"), "{name}");
        let copies = copies(&folder);
        let [copy] = copies.as_slice() else {
            panic!("one copy: {copies:?}");
        };
        assert_eq!(std::fs::read(copy).unwrap(), before);
        let stamp = copy.to_str().unwrap().rsplit_once(".json.bak-").unwrap().1;
        assert!(stamp.len() == 15 && stamp.as_bytes()[8] == b'T', "{stamp}");
        let said = text(&output.stdout);
        assert!(said.contains(file.to_str().unwrap()), "{said}");
        assert!(said.contains(copy.to_str().unwrap()), "{said}");
        assert!(text(&output.stderr).contains("must have been closed"));
    }
}

#[test]
fn two_edits_leave_two_copies_and_what_changes_nothing_leaves_none() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join(NATIVE);
    let file = place(&folder, "buttplug-user-device-config-v4.json", 4);
    for name in ["A", "B"] {
        assert_eq!(add(home.path(), name, &[]).status.code(), Some(0));
    }
    assert!(has_name(&file, "A") && has_name(&file, "B"));
    assert_eq!(copies(&folder).len(), 2);
    let again = add(home.path(), "A", &[]);
    assert_eq!(again.status.code(), Some(0));
    assert!(
        text(&again.stdout).contains("already in"),
        "{}",
        text(&again.stdout)
    );
    assert!(again.stderr.is_empty(), "{}", text(&again.stderr));
    assert_eq!(copies(&folder).len(), 2);
}

#[test]
fn a_file_that_is_refused_is_neither_edited_nor_copied() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join(NATIVE);
    let file = place(&folder, "buttplug-user-device-config-v4.json", 4);
    std::fs::write(&file, "{\"version\": ").unwrap();
    let refused = add(home.path(), "A", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains(file.to_str().unwrap()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"version\": ");
    assert!(copies(&folder).is_empty());
}

#[test]
fn it_is_found_wherever_it_may_be() {
    let home = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    // Nowhere: the places are named, and what to do.
    let nowhere = add(home.path(), "A", &[]);
    assert_eq!(nowhere.status.code(), Some(2));
    let said = text(&nowhere.stderr);
    for wanted in [
        NATIVE,
        OLD,
        FLATPAK,
        "start Intiface Central",
        "give the file itself",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // An older program's directory, then the one that replaced it; of several formats the newest.
    let old = place(&home.path().join(OLD), "buttplug-user-device-config.json", 3);
    assert_eq!(add(home.path(), "A", &[]).status.code(), Some(0));
    assert!(has_name(&old, "A"));
    let native = home.path().join(NATIVE);
    let v3 = place(&native, "buttplug-user-device-config-v3.json", 3);
    let v4 = place(&native, "buttplug-user-device-config-v4.json", 4);
    assert_eq!(add(home.path(), "B", &[]).status.code(), Some(0));
    assert!(has_name(&v4, "B") && !has_name(&v3, "B") && !has_name(&old, "B"));
    // The system's variable moves it.
    let moved = elsewhere.path().join("com.nonpolynomial.intiface_central/config");
    let moved = place(&moved, "buttplug-user-device-config-v4.json", 4);
    let xdg = [("XDG_DATA_HOME", elsewhere.path())];
    assert_eq!(add(home.path(), "C", &xdg).status.code(), Some(0));
    assert!(has_name(&moved, "C") && !has_name(&v4, "C"));
    // With Flatpak's beside it nobody knows which one is meant.
    let flatpak = place(
        &home.path().join(FLATPAK),
        "buttplug-user-device-config-v4.json",
        4,
    );
    let both = add(home.path(), "D", &[]);
    assert_eq!(both.status.code(), Some(2));
    let said = text(&both.stderr);
    for file in [&flatpak, &v4] {
        assert!(said.contains(file.to_str().unwrap()), "{said}");
        assert!(!has_name(file, "D"));
    }
    std::fs::remove_file(v3).unwrap();
    std::fs::remove_file(v4).unwrap();
    std::fs::remove_file(old).unwrap();
    assert_eq!(add(home.path(), "E", &[]).status.code(), Some(0));
    assert!(has_name(&flatpak, "E"));
}

#[test]
fn a_file_and_the_flag_exclude_each_other_and_one_is_needed() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"))
            .args(["udcf", "add", "--protocol", "lovense", "--websocket", "A"])
            .args(args)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = run(&["--intiface-central", "f.json"]);
    assert!(code == Some(2) && said.contains("cannot be used with"), "{said}");
    let (code, said) = run(&[]);
    assert!(code == Some(2) && said.contains("<FILE>"), "{said}");
}
