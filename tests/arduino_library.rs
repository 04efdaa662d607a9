//! The Arduino library as the Library Manager, the Arduino IDE and PlatformIO want it: where it is kept, and laid out as a
//! repository of its own.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

#[path = "arduino_library/headers.rs"]
mod headers;
#[path = "arduino_library/rules.rs"]
mod rules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The library is released with the gateway.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const URL: &str = "https://git.example/somebody/WsdmDevice";

fn arduino() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware/arduino")
}

fn lay_out(folder: &Path, more: &[&str]) -> Output {
    Command::new(arduino().join("library-repository"))
        .arg(folder)
        .args(more)
        .output()
        .unwrap()
}

fn is_fine(root: &Path) {
    let broken = rules::broken(root, VERSION);
    assert_eq!(broken, Vec::<String>::new());
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from:?}", file.display());
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn the_library_keeps_the_rules() {
    is_fine(&arduino().join("WsdmDevice"));
}

#[test]
fn as_a_repository_of_its_own_it_keeps_them_too_and_names_its_page() {
    let home = TempDir::new().unwrap();
    let root = home.path().join("WsdmDevice");
    let done = lay_out(&root, &[URL, VERSION]);
    assert!(done.status.success(), "{done:?}");
    is_fine(&root);
    assert_eq!(rules::foreign(&root), Vec::<String>::new());
    let properties = fs::read_to_string(root.join("library.properties")).unwrap();
    assert!(properties.contains(&format!("url={URL}\n")), "{properties}");
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(root.join("library.json")).unwrap()).unwrap();
    assert_eq!(manifest["repository"]["url"], format!("{URL}.git"));
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .arg("-C")
            .arg(&root)
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(git(&["tag", "--points-at", "HEAD"]).trim(), VERSION);
    assert_eq!(git(&["status", "--porcelain"]), "", "all of it is in the commit");
}

#[test]
fn a_repository_is_not_laid_out_over_another_nor_with_a_wrong_tag() {
    let home = TempDir::new().unwrap();
    let root = home.path().join("fresh");
    for (arguments, said) in [
        (&[URL, "9.9.9"][..], "the tag is"),
        (&["somewhere"][..], "no https address"),
        (&["https://a.example/x y"][..], "no https address"),
        (&["https://docs.buttplug.io"][..], "not of this library"),
        (&["https://Buttplug.io:443/x"][..], "not of this library"),
    ] {
        let done = lay_out(&root, arguments);
        assert_eq!(done.status.code(), Some(1));
        let error = String::from_utf8(done.stderr).unwrap();
        assert!(error.contains(said), "{error}");
        assert!(!root.exists(), "{error}");
    }
    let done = lay_out(home.path(), &[URL]);
    assert!(done.status.success(), "an empty folder is taken: {done:?}");
    let done = lay_out(home.path(), &[URL]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8(done.stderr).unwrap().contains("not empty"));
}

/// The pages outside the library, and what the program says, name examples that exist.
#[test]
fn no_page_names_an_example_that_there_is_not() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = rules::examples(&arduino().join("WsdmDevice"));
    let mut pages = vec![project.join("README.md"), project.join("src/cmd/flash/error.rs")];
    let mut folders = vec![project.join("docs"), project.join("firmware")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                pages.push(path);
            }
        }
    }
    let mut named = 0;
    for page in pages {
        let called = rules::called(&fs::read_to_string(&page).unwrap(), &examples);
        named += called.len();
        let missing: Vec<_> = called.difference(&examples).collect();
        assert!(
            missing.is_empty(),
            "{}: there is no example {missing:?}",
            page.display()
        );
    }
    assert!(named >= 15, "only {named} names were found");
    let called = rules::called(
        "a `SerialVibrator`, WsdmSerial, Serial Monitor, Serial.begin",
        &examples,
    );
    assert_eq!(called, ["SerialVibrator".to_owned()].into());
}

/// As it is kept, it names the page about what it speaks, since it has none of its own: so it cannot be published.
#[test]
fn what_is_published_names_no_page_of_somebody_elses() {
    let kept = arduino().join("WsdmDevice");
    assert_eq!(
        rules::foreign(&kept),
        [
            "library.properties: url \"https://docs.buttplug.io\" is somebody else's",
            "library.json: homepage \"https://docs.buttplug.io\" is somebody else's",
        ]
    );
    let home = TempDir::new().unwrap();
    let root = home.path().join("WsdmDevice");
    // One that is nearly it.
    for url in [
        "https://notbuttplug.io/WsdmDevice",
        "https://a.example/buttplug.io",
    ] {
        let done = lay_out(&root, &[url]);
        assert!(done.status.success(), "{done:?}");
        assert_eq!(rules::foreign(&root), Vec::<String>::new());
        fs::remove_dir_all(&root).unwrap();
    }
    let done = lay_out(&root, &[URL]);
    assert!(done.status.success(), "{done:?}");
    replace(
        &root.join("library.json"),
        &format!("{URL}.git"),
        "https://BUTTPLUG.io./WsdmDevice.git",
    );
    assert_eq!(rules::foreign(&root).len(), 1);
}

/// A rule that nothing can break tests nothing.
#[test]
fn each_rule_is_seen_to_fail() {
    type Change = (&'static str, fn(&Path));
    let changes: &[Change] = &[
        ("name is missing", |root| {
            replace(&root.join("library.properties"), "name=WsdmDevice\n", "");
        }),
        ("no name for a library", |root| {
            replace(&root.join("library.properties"), "name=", "name=Arduino");
        }),
        ("maintainer is missing", |root| {
            replace(&root.join("library.properties"), "maintainer=", "#maintainer=");
        }),
        ("author claims to be Arduino", |root| {
            replace(&root.join("library.properties"), "author=", "author=Arduino ");
        }),
        ("paragraph repeats", |root| {
            replace(
                &root.join("library.properties"),
                "paragraph=",
                "paragraph=Devices of your own for the Buttplug ecosystem: vibrators and strokers, over Wi-Fi, a serial \
                 port or Bluetooth. ",
            );
        }),
        ("\"Motors\" is no category", |root| {
            replace(
                &root.join("library.properties"),
                "category=Communication",
                "category=Motors",
            );
        }),
        ("url \"docs\" leads nowhere", |root| {
            replace(
                &root.join("library.properties"),
                "url=https://docs.buttplug.io",
                "url=docs",
            );
        }),
        ("there is no field \"license\"", |root| {
            replace(
                &root.join("library.properties"),
                "url=",
                "license=BSD-3-Clause\nurl=",
            );
        }),
        ("category is there twice", |root| {
            replace(&root.join("library.properties"), "url=", "category=Other\nurl=");
        }),
        ("is no field", |root| {
            replace(&root.join("library.properties"), "url=", "url\nurl=");
        }),
        ("architectures is empty", |root| {
            replace(
                &root.join("library.properties"),
                "architectures=*",
                "architectures=",
            );
        }),
        ("is not semantic", |root| {
            replace(
                &root.join("library.properties"),
                &format!("version={VERSION}"),
                "version=0.1",
            );
        }),
        ("library.properties: version 9.9.9 is not", |root| {
            replace(
                &root.join("library.properties"),
                &format!("version={VERSION}"),
                "version=9.9.9",
            );
        }),
        ("library.json: version \"9.9.9\" is not", |root| {
            replace(&root.join("library.json"), VERSION, "9.9.9");
        }),
        ("the answer to D0", |root| {
            replace(
                &root.join("src/WsdmTcode.cpp"),
                &format!("WsdmDevice-{VERSION}"),
                "WsdmDevice-0.0.9",
            );
        }),
        ("includes is missing", |root| {
            replace(&root.join("library.properties"), "includes=WsdmDevice.h\n", "");
        }),
        ("includes \"Wsdm.h\", which is missing", |root| {
            replace(&root.join("library.properties"), "=WsdmDevice.h", "=Wsdm.h");
        }),
        ("includes WsdmPwm.h, which is missing", |root| {
            fs::remove_file(root.join("src/WsdmPwm.h")).unwrap();
        }),
        ("examples/SerialTcode has no sketch of its own name", |root| {
            let folder = root.join("examples/SerialTcode");
            fs::rename(folder.join("SerialTcode.ino"), folder.join("Serial.ino")).unwrap();
        }),
        ("no name for a sketch", |root| {
            fs::create_dir(root.join("examples/My sketch")).unwrap();
        }),
        ("examples/ is missing", |root| {
            fs::remove_dir_all(root.join("examples")).unwrap();
        }),
        ("LICENSE is missing", |root| {
            fs::remove_file(root.join("LICENSE")).unwrap();
        }),
        ("README.md is missing", |root| {
            fs::remove_file(root.join("README.md")).unwrap();
        }),
        ("is not a name, one tab and a kind", |root| {
            replace(&root.join("keywords.txt"), "WsdmPwm\t", "WsdmPwm ");
        }),
        ("is not a name, one tab and a kind", |root| {
            replace(&root.join("keywords.txt"), "WsdmPwm\t", "WsdmPwm\t\t");
        }),
        ("has another kind", |root| {
            replace(
                &root.join("keywords.txt"),
                "WsdmPwm\tKEYWORD1",
                "WsdmPwm\tKEYWORD9",
            );
        }),
        ("WsdmPwm is there twice", |root| {
            replace(
                &root.join("keywords.txt"),
                "WsdmPwm\t",
                "WsdmPwm\tKEYWORD1\nWsdmPwm\t",
            );
        }),
        ("WsdmPwm is public and not there", |root| {
            replace(&root.join("keywords.txt"), "WsdmPwm\tKEYWORD1\n", "");
        }),
        ("isConnected is public and not there", |root| {
            replace(&root.join("keywords.txt"), "isConnected\tKEYWORD2\n", "");
        }),
        ("POWERED_OFF is public and not there", |root| {
            replace(&root.join("keywords.txt"), "POWERED_OFF\tLITERAL1\n", "");
        }),
        ("fresh is public and not there", |root| {
            replace(
                &root.join("src/WsdmPwm.h"),
                " public:\n",
                " public:\n  uint8_t fresh() const;\n",
            );
        }),
        ("WsdmGone is no public name", |root| {
            replace(
                &root.join("keywords.txt"),
                "WsdmPwm\t",
                "WsdmGone\tKEYWORD1\nWsdmPwm\t",
            );
        }),
        ("is a program", |root| {
            fs::write(root.join("src/flash.EXE"), "").unwrap();
        }),
        ("is a symbolic link", |root| {
            std::os::unix::fs::symlink("README.md", root.join("READ")).unwrap();
        }),
        ("marks a library that is not released", |root| {
            fs::write(root.join(".development"), "").unwrap();
        }),
        ("submodules are not fetched", |root| {
            fs::write(root.join(".gitmodules"), "").unwrap();
        }),
        ("belongs to the old layout", |root| {
            fs::create_dir(root.join("utility")).unwrap();
        }),
        ("README.md: ../host is not in the library", |root| {
            replace(&root.join("README.md"), "# WsdmDevice", "# [WsdmDevice](../host)");
        }),
        ("README.md: docs/x.md#y is not in the library", |root| {
            replace(
                &root.join("README.md"),
                "# WsdmDevice",
                "# [WsdmDevice](docs/x.md#y)",
            );
        }),
        ("library.json: EOF", |root| {
            fs::write(root.join("library.json"), "{").unwrap();
        }),
        ("library.json: platforms is missing", |root| {
            replace(&root.join("library.json"), "\"platforms\"", "\"boards\"");
        }),
        ("libArchive has to be false", |root| {
            replace(
                &root.join("library.json"),
                "\"libArchive\": false",
                "\"libArchive\": true",
            );
        }),
        ("library.json: license is missing", |root| {
            replace(&root.join("library.json"), "\"license\"", "\"licence\"");
        }),
        ("homepage is not url of library.properties", |root| {
            replace(
                &root.join("library.json"),
                "docs.buttplug.io",
                "elsewhere.example",
            );
        }),
        ("platformio.ini: SerialTcode is not both named", |root| {
            replace(&root.join("examples/platformio.ini"), "SerialTcode, ", "");
        }),
        ("platformio.ini: SerialCode is not both named", |root| {
            replace(&root.join("examples/platformio.ini"), "SerialTcode", "SerialCode");
        }),
        ("README.md: WifiVibrator is not both named", |root| {
            replace(&root.join("README.md"), "WifiLovenseVibrator", "WifiVibrator");
        }),
        ("README.md: SerialFresh is not both named", |root| {
            fs::create_dir(root.join("examples/SerialFresh")).unwrap();
        }),
        ("SerialTcode.ino is not both", |root| {
            replace(
                &root.join("library.json"),
                "\"SerialTcode.ino\"",
                "\"Serial.ino\"",
            );
        }),
    ];
    for (said, change) in changes {
        let home = TempDir::new().unwrap();
        let root = home.path().join("WsdmDevice");
        copy(&arduino().join("WsdmDevice"), &root);
        change(&root);
        let broken = rules::broken(&root, VERSION);
        assert!(
            broken.iter().any(|line| line.contains(said)),
            "{said:?} is not in {broken:#?}"
        );
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).unwrap();
        }
    }
}
