//! Runs that fail: what the error says, and what state they leave the board in.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::bench::{Bench, NATIVE, end_with_button};
use super::chip::{Fault, Kind};
use super::firmware::{ADDRESS, CLOSED, DROPPED, saved};
use super::holds;
use super::images::{self, APP, parts};
use super::memory::Memory;
use crate::common::ended::{end, interrupt, rest};
use crate::common::log::Log;
use crate::common::process::{Process, command};
use crate::common::system::CH340;
use crate::common::wait_until;
use wsdm_device_board::ESP32C3;

#[tokio::test(flavor = "multi_thread")]
async fn a_chip_without_an_image_is_named_and_left_as_it_is() {
    let (esp32, esp8266) = (
        [
            "Arduino IDE: install the boards \"esp32 by Espressif",
            "upload its example WifiLovenseVibrator and give the board its Wi-Fi in the Serial Monitor",
            "firmware/docs/boards/esp32.md has the steps",
        ],
        [
            "Arduino IDE: install the boards \"esp8266 by",
            "upload its example WifiLovenseVibrator and give the board its Wi-Fi in the Serial Monitor",
            "firmware/docs/boards/esp8266.md has the steps",
        ],
    );
    let unknown = ["use an ESP32-C3 or ESP32-C6"];
    for (kind, name, todo) in [
        (Kind::Esp32, "the chip is an ESP32,", &esp32[..]),
        (Kind::Esp32s3, "the chip is an ESP32-S3,", &esp32),
        (Kind::Esp8266, "the chip is an ESP8266,", &esp8266),
        (Kind::Unknown, "the chip is an unknown one (0x12345678)", &unknown),
    ] {
        let bench = Bench::new();
        let memory = Memory::erased();
        let chip = bench.plug(CH340, kind, &memory, Fault::None);
        let ended = end(&mut bench.flash(&[])).await;
        ended.failed(1, &[&[name, "nothing was written to a board"], todo].concat());
        assert_eq!(memory.stray(&[]), None);
        // Nothing but: are you there, which are you?
        let commands = &chip.asked.lock().unwrap().commands;
        assert!(
            commands
                .iter()
                .all(|command| [0x08, 0x0a, 0x14].contains(command)),
            "{commands:x?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_chip_and_a_small_flash_are_refused_before_anything_is_written() {
    for (fault, text) in [
        (
            Fault::SecureBoot,
            "the chip is locked: it starts signed images only",
        ),
        (
            Fault::SmallFlash,
            "the board's flash has 2097152 bytes, and the image needs 4194304",
        ),
    ] {
        let bench = Bench::new();
        let memory = Memory::erased();
        let _chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, fault);
        let ended = end(&mut bench.flash(&[])).await;
        ended.failed(1, &[text, "nothing was written to a board"]);
        assert_eq!(memory.stray(&[]), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_without_an_answer_and_one_without_reset_lines_lead_to_the_button() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::Silent);
    let todo = [
        "no chip answers on /dev/ttyACM0",
        "hold the BOOT button",
        "--manual-reset",
    ];
    end(&mut bench.flash(&[])).await.failed(1, &todo);
    assert!(!chip.asked.lock().unwrap().commands.is_empty());
    chip.unplug().await;
    // This one would answer, but nothing can reset it.
    let _chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    end(&mut bench.bare(&[])).await.failed(1, &todo);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_that_is_pulled_leaves_a_board_that_can_be_flashed_again() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::Unplugged(3));
    let ended = end(&mut bench.flash(&[])).await;
    ended.failed(
        1,
        &[
            "writing the image failed",
            "is incomplete",
            "run the same command again: that is safe",
        ],
    );
    assert_ne!(memory.stray(&[]), None);
    chip.unplug().await;
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut command = bench.flash(&["--no-wait"]);
    let ended = end_with_button(command.args(bench.wifi()), &chip).await;
    assert_eq!(
        ended.stdout,
        format!("the board is flashed: ESP32-C3, address {ADDRESS}\n"),
        "{ended:#?}"
    );
    holds(&memory, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_tells_what_state_the_board_is_in() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut child = bench.flash(&[]).spawn().unwrap();
    let mut log = Log::of(&mut child);
    log.expect(&["press the RESET button"]).await;
    interrupt(&child);
    let ended = rest(child, log).await;
    ended.failed(
        1,
        &[
            "interrupted; the image is on the board and verified",
            "run the same command again",
        ],
    );
    holds(&memory, 5);
    chip.unplug().await;

    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut child = bench.flash(&[]).spawn().unwrap();
    let log = Log::of(&mut child);
    wait_until("a part is written", || chip.packets() > 0).await;
    interrupt(&child);
    let ended = rest(child, log).await;
    ended.failed(1, &["interrupted; the image ", "run the same command again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flash_that_keeps_something_else_and_answers_without_sense_are_found() {
    for (fault, text) in [
        (
            Fault::StuckBit(APP + 70_000),
            "the flash does not hold what was written to it; the image on the board is incomplete",
        ),
        (
            Fault::Nonsense,
            "the chip gave an answer that makes no sense; nothing was written",
        ),
    ] {
        let bench = Bench::new();
        let memory = Memory::erased();
        let _chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, fault);
        let ended = end(&mut bench.flash(&[])).await;
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.log.contains(text), "{ended:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_no_board_takes_are_refused_before_the_port_is_opened() {
    let bench = Bench::new();
    let short = bench.system.path("short.txt");
    fs::write(&short, "secret\n").unwrap();
    let short = short.to_str().unwrap();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &Memory::erased(), Fault::None);
    for (args, text) in [
        (["--pins", "V9=1"], "--pins: a channel is one of V0 to V3"),
        (["--gateway", "host:99999"], "--gateway: "),
        (
            ["--password-file", short],
            "--password-file: a password of Wi-Fi has 8 to 63 characters",
        ),
        (
            ["--password-file", "/nowhere"],
            "--password-file: /nowhere cannot be read",
        ),
        (["--device", "motor"], "--device: a device is lovense or tcode"),
        (
            ["--ota-password-file", short],
            "--ota-password-file: a password for updates has 8 to 63 characters",
        ),
        (
            ["--password-file=-", "--ota-password-file=-"],
            "only one of --password-file, --token-file and --ota-password-file can be stdin",
        ),
        (
            ["--button", "9 closes"],
            "--button: the button is written 9, 9 opens or none",
        ),
        (
            ["--limits", "V0=101"],
            "--limits: a limit is from 0 to 100, and a range goes up",
        ),
        (
            ["--battery", "7"],
            "--battery: the battery is a pin that measures",
        ),
    ] {
        let ended = end(&mut bench.flash(&args)).await;
        ended.failed(2, &[text]);
        assert!(!ended.log.contains("secret\n"), "{ended:#?}");
    }
    let by_variable = end(bench.flash(&[]).env("WSDM_PASSWORD", "short")).await;
    by_variable.failed(2, &["a password of Wi-Fi has 8 to 63 characters"]);
    assert!(chip.asked.lock().unwrap().commands.is_empty());
    // This pin a C6 has. Which chip it is, is known before anything is written.
    for (args, text) in [
        (
            &["--pins", "V0=18"][..],
            "the board refuses pins: this chip has no such pin to give; nothing was written",
        ),
        (
            &["--button", "22"],
            "the board refuses button: this chip has no such pin to give; nothing was written",
        ),
        (
            &["--battery", "5"],
            "the board refuses battery: the battery is a pin that measures",
        ),
        // Each alone a C3 can have.
        (
            &["--pins", "V0=3", "--battery", "3"],
            "the board refuses battery: pin 3 has another use: see pins, button and battery; nothing was written",
        ),
    ] {
        end(&mut bench.flash(args))
            .await
            .failed(1, &[text, "nothing was written"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_the_board_uses_already_is_refused_and_no_setting_is_changed() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    // Its motor is on 4, unless somebody says otherwise.
    let mut command = bench.flash(&["--battery", "4", "--limits", "V0=60", "--no-wait"]);
    let ended = end_with_button(command.args(bench.wifi()), &chip).await;
    ended.failed(
        1,
        &[
            "the board refuses battery: pin 4 has another use",
            "its settings are as they were",
        ],
    );
    let typed = String::from_utf8_lossy(&chip.asked.lock().unwrap().typed).into_owned();
    assert!(!typed.contains("set "), "{typed:?}");
    assert_eq!(saved(&memory, &ESP32C3), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_missing_or_broken_are_not_written() {
    let bench = Bench::new();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &Memory::erased(), Fault::None);
    let folder = |name: &str| bench.system.path(name);
    let with = async |images: &Path| {
        let mut flash = command(&bench.home, &["flash", "--images", images.to_str().unwrap()]);
        let flash = flash.env("WSDM_GATEWAY_PORTS_ROOT", bench.system.root.path());
        end(flash.stdin(Stdio::null())).await
    };
    with(&folder("none"))
        .await
        .failed(2, &["no images of the firmware", "firmware/build all;"]);

    let changed = |name: &str, change: &dyn Fn(&mut images::Parts)| {
        let mut parts = parts(5);
        change(&mut parts);
        images::write(&folder(name), &[("ESP32-C3", parts)])
    };
    for (images, text) in [
        (
            changed("other-chip", &|parts| parts[2].1[12] = 13),
            "ESP32-C3-20000.bin: is not an image for the ESP32-C3",
        ),
        (
            changed("no-image", &|parts| parts[2].1[0] = 0),
            "ESP32-C3-20000.bin: is not an image for the ESP32-C3",
        ),
        (
            changed("settings", &|parts| parts[2].0 = 0x9000),
            "ESP32-C3-9000.bin: does not fit where it is written",
        ),
        (
            changed("overlap", &|parts| parts[0].1 = images::program(5, 0x8001)),
            "overlap",
        ),
        (
            changed("no-table", &|parts| drop(parts.remove(1))),
            "has no partition table",
        ),
        (
            changed("no-nvs", &|parts| parts[1].1[3] = 1),
            "has no partition nvs",
        ),
        (
            changed("no-app", &|parts| drop(parts.remove(2))),
            "has no app for the ESP32-C3",
        ),
        (
            changed("second-app-only", &|parts| parts[2].0 = 0x210000),
            "has no app for the ESP32-C3",
        ),
        (
            changed("no-choice", &|parts| drop(parts.remove(3))),
            "leaves it open which app the ESP32-C3 starts",
        ),
        (
            changed("half-a-choice", &|parts| parts[3].1.truncate(0x1000)),
            "leaves it open which app the ESP32-C3 starts",
        ),
        (
            changed("another-choice", &|parts| parts[3].1[0] = 1),
            "leaves it open which app the ESP32-C3 starts",
        ),
        (
            changed("within-a-sector", &|parts| parts[2].0 += 4),
            "begins within a sector",
        ),
    ] {
        with(&images).await.failed(2, &[text, "firmware/build all"]);
    }
    let damaged = changed("damaged", &|_| ());
    fs::write(damaged.join("ESP32-C3-0.bin"), b"\xe9").unwrap();
    with(&damaged).await.failed(
        2,
        &["ESP32-C3-0.bin: is not the file that manifest.json describes"],
    );
    for text in [
        "{",
        r#"{"builds": [{"chipFamily": "ESP32-C3", "parts": [{"path": "../x", "offset": 0, "sha256": ""}]}]}"#,
    ] {
        fs::write(damaged.join("manifest.json"), text).unwrap();
        with(&damaged).await.failed(2, &["manifest.json: "]);
    }
    assert!(chip.asked.lock().unwrap().commands.is_empty());

    // Images of another chip only.
    images::write(bench.system.root.path(), &[("ESP32-C6", parts(13))]);
    end(&mut bench.flash(&[]))
        .await
        .failed(2, &["has no image for the ESP32-C3; nothing was written"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_board_does_not_appear_is_told() {
    let (closed, dropped) = (
        format!("--gateway=10.0.0.9:{CLOSED}"),
        format!("--gateway=10.0.0.9:{DROPPED}"),
    );
    let is_reached = "does the gateway listen on the network (--device-listen 0.0.0.0:54817)";
    // The last one ends when it is refused; the others, when the time is over.
    let cases = [
        ([closed.as_str(), "--wait=3s"], "lost: nobody answers", is_reached),
        (
            [dropped.as_str(), "--wait=3s"],
            "lost: no answer in time",
            is_reached,
        ),
        // It finds one behind a firewall.
        (
            ["--pins=V0=4", "--wait=3s"],
            "lost: no answer in time",
            is_reached,
        ),
        (
            ["--no-input", "--wait=3s"],
            "lost: no gateway answers the search",
            "(--device-listen 0.0.0.0:54817) and the firewall lets mDNS in, which is UDP port 5353",
        ),
        (
            ["--no-input", "--wait=3s"],
            "Wi-Fi: the password is wrong",
            "look at the Wi-Fi name and the password",
        ),
        (
            ["--identifier", "Nobody"],
            "the gateway refuses the board a0b1c2d3e4f5: no UDCF entry names",
            "udcf",
        ),
    ];
    let runs = cases.map(async |(args, text, todo)| {
        let mut bench = Bench::new();
        let gateway = Process::start(&bench.home, &[]).await;
        bench.network.gateway = match text {
            "lost: no gateway answers the search" => None,
            "lost: no answer in time" => Some(format!("ws://10.0.0.9:{DROPPED}")),
            _ => Some(gateway.devices.clone()),
        };
        if text.starts_with("Wi-Fi") {
            bench.network.password = "another password".to_owned();
        }
        // What its console reports after the restart is read from a port that was away.
        let chip = bench.plug(NATIVE, Kind::Esp32c3, &Memory::erased(), Fault::Reenumerates);
        let ended = end_with_button(bench.flash(&args).args(bench.wifi()), &chip).await;
        ended.failed(1, &[text, todo, "the image and the settings are on the board"]);
    });
    futures::future::join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_without_a_network_is_flashed_and_asks_for_one() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let ended = end_with_button(&mut bench.flash(&[]), &chip).await;
    ended.failed(
        1,
        &["the board has no Wi-Fi name; the image is on the board", "--ssid"],
    );
    holds(&memory, 5);
}
