//! `flash`: whole runs of the program against a chip in software on a pseudo-terminal, whose firmware has the real
//! console and becomes a device of a real gateway.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

#[path = "flash/bench.rs"]
mod bench;
#[path = "flash/chip.rs"]
mod chip;
mod common;
#[path = "flash/failures.rs"]
mod failures;
#[path = "flash/firmware.rs"]
mod firmware;
#[path = "flash/images.rs"]
#[allow(dead_code, reason = "shared with the tests of updates")]
mod images;
#[path = "flash/memory.rs"]
mod memory;
#[path = "flash/terminal.rs"]
mod terminal;

use std::fs;
use std::os::unix::fs::symlink;

use bench::{Bench, NATIVE, PASSWORD, SSID, end_with_button};
use chip::{Fault, Kind};
use common::ended::{end, interrupt};
use common::process::Process;
use common::system::{ARDUINO, CH340};
use common::within;
use firmware::{ADDRESS, ELSEWHERE, saved};
use images::{CHOICE, parts};
use memory::Memory;
use serde_json::Value;
use terminal::Terminal;
use tokio::process::Child;
use wsdm_device_board::{ESP32C3, ESP32C6, Key};

fn holds(memory: &Memory, number: u8) {
    let parts = parts(number);
    for (at, data) in &parts {
        assert!(memory.read(*at, data.len()) == *data, "at {at:#x}");
    }
    let mut places: Vec<_> = parts.iter().map(|(at, data)| (*at, data.len())).collect();
    places.push((firmware::SETTINGS as usize, 0x6000));
    assert_eq!(memory.stray(&places), None);
}

/// It ends when the gateway has the board.
async fn is_listed(child: Child, terminal: &Terminal) {
    let ended = within("it ends", child.wait_with_output()).await.unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(
        told.ends_with("listed as Lovense Hush\n"),
        "{told} {}",
        terminal.seen
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_is_flashed_set_up_and_listed_by_the_gateway() {
    let bench = Bench::new();
    let gateway = Process::start(&bench.home, &["--device-token", "bench-token"]).await;
    let token = bench.system.path("token.txt");
    fs::write(&token, "bench-token\n").unwrap();
    let updates = bench.system.path("updates.txt");
    fs::write(&updates, "for updates\n").unwrap();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let address = gateway.devices.trim_start_matches("ws://");
    let mut command = bench.flash(&["--gateway", address, "--pins", "V0=5 V1=6"]);
    command.args(bench.wifi()).arg("--token-file").arg(&token);
    command.arg("--ota-password-file").arg(&updates);
    let ended = end_with_button(&mut command, &chip).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(
        ended.stdout,
        format!("the board is there: LVSDevice {ADDRESS}, listed as Lovense Hush\n")
    );
    assert!(ended.log.contains("chip: ESP32-C3"), "{ended:#?}");
    holds(&memory, 5);
    let settings = saved(&memory, &ESP32C3).unwrap();
    assert_eq!((settings.ssid(), settings.password()), (SSID, PASSWORD));
    assert_eq!(settings.token(), Some("bench-token"));
    assert_eq!(settings.ota_password(), Some("for updates"));
    assert_eq!(settings.outputs().to_string(), "V0=5 V1=6");
    for secret in [PASSWORD, "bench-token", "for updates"] {
        assert!(!ended.log.contains(secret), "{ended:#?}");
    }

    // Once more, with nothing but the board: it has all that already.
    chip.unplug().await;
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let again = end_with_button(&mut bench.flash(&[]), &chip).await;
    assert_eq!(
        (again.code, &again.stdout),
        (Some(0), &ended.stdout),
        "{again:#?}"
    );
    assert_eq!(chip.packets(), 0, "what is there is not written twice");
    assert_eq!(saved(&memory, &ESP32C3), Some(settings));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_c6_on_an_adapter_is_flashed_faster_and_told_in_json() {
    let mut bench = Bench::new();
    let gateway = Process::start(&bench.home, &[]).await;
    bench.network.gateway = Some(gateway.devices.clone());
    let memory = Memory::erased();
    // It was updated over Wi-Fi, and started its second app.
    memory.write(CHOICE, &[2, 0, 0, 0]);
    let chip = bench.plug(CH340, Kind::Esp32c6, &memory, Fault::None);
    let mut command = bench.flash(&["--json", "--identifier", "LVSDevice", "--pins", "V0=18"]);
    let ended = end_with_button(command.args(bench.wifi()), &chip).await;
    let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:#?}"));
    assert_eq!(told["chip"], "ESP32-C6", "{told}");
    assert_eq!(told["address"], ADDRESS, "{told}");
    assert_eq!(told["arrived"]["at"], "listed", "{told}");
    assert_eq!(told["arrived"]["name"], "Lovense Hush", "{told}");
    assert_eq!(chip.asked.lock().unwrap().baud_rate, Some(460_800));
    holds(&memory, 13);
    // The pin is one that a C3 does not have.
    assert_eq!(saved(&memory, &ESP32C6).unwrap().outputs().to_string(), "V0=18");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_lost_a_character_on_the_line_is_sent_again() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(CH340, Kind::Esp32c3, &memory, Fault::LostCharacters);
    let mut command = bench.flash(&["--no-wait"]);
    let ended = end_with_button(command.args(bench.wifi()), &chip).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let settings = saved(&memory, &ESP32C3).unwrap();
    assert_eq!((settings.ssid(), settings.password()), (SSID, PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_reports_a_gateway_elsewhere_is_believed() {
    let bench = Bench::new();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &Memory::erased(), Fault::Reenumerates);
    let mut command = bench.flash(&["--gateway", &format!("10.0.0.9:{ELSEWHERE}")]);
    command.args(["--limits", "V0=60 V1=30"]);
    let ended = end_with_button(command.args(bench.wifi()), &chip).await;
    assert!(
        ended
            .log
            .contains("board: a limit limits nothing: this device has no V1\n"),
        "{ended:#?}"
    );
    let told =
        format!("the board is there: {ADDRESS}, connected to a gateway that is not one of this machine\n");
    assert_eq!((ended.code, &ended.stdout), (Some(0), &told), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_for_what_is_missing_and_a_secret_is_not_shown() {
    let mut bench = Bench::new();
    let gateway = Process::start(&bench.home, &[]).await;
    bench.network.gateway = Some(gateway.devices.clone());
    let memory = Memory::erased();
    let chip = bench.plug(CH340, Kind::Esp32c3, &memory, Fault::None);
    bench.system.usb("1-5", "ttyUSB3", CH340);
    bench.system.usb("1-6", "ttyACM7", ARDUINO);
    let mut terminal = Terminal::new();
    let mut command = bench.flash(&["--pins", "V0=7"]);
    terminal.attach(&mut command);
    let child = command.spawn().unwrap();
    // The Arduino is none of these boards.
    let listed = terminal.expect("1 to 2: ").await;
    assert!(
        listed.contains("1  /dev/ttyACM0") && listed.contains("2  /dev/ttyUSB3"),
        "{listed}"
    );
    terminal.type_line("3");
    terminal.expect("1 to 2: ").await;
    terminal.type_line("1");
    terminal.expect("press the RESET button").await;
    chip.press_reset();
    terminal.expect("Wi-Fi name [none]: ").await;
    terminal.type_line(SSID);
    terminal.answer_hidden("Wi-Fi password [none]: ", "short").await;
    terminal.expect("8 to 63 characters").await;
    terminal.answer_hidden("Wi-Fi password [none]: ", PASSWORD).await;
    terminal.answer_hidden("token of the gateway [none]: ", "").await;
    // That moves a motor: everything else is behind one question.
    let others = "set others (gateway, device, identifier, button, limits, battery, ota_password, fingerprint) too? [no]: ";
    terminal.expect(others).await;
    assert!(terminal.echoes());
    terminal.type_line("");
    let shown = terminal.expect("waiting up to 60 s").await;
    is_listed(child, &terminal).await;
    let settings = saved(&memory, &ESP32C3).unwrap();
    assert_eq!((settings.ssid(), settings.password()), (SSID, PASSWORD));
    assert_eq!(settings.outputs().to_string(), "V0=7");
    assert!(!terminal.seen.contains(PASSWORD) && !shown.contains(PASSWORD));
    // What was not answered was not sent.
    let typed = String::from_utf8_lossy(&chip.asked.lock().unwrap().typed).into_owned();
    for key in Key::ALL {
        let is_asked = matches!(key, Key::Ssid | Key::Password | Key::Pins);
        assert_eq!(
            typed.contains(&format!("set {} ", key.name())),
            is_asked,
            "{typed:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_clears_the_password_and_the_token_that_a_board_has() {
    let mut bench = Bench::new();
    let gateway = Process::start(&bench.home, &[]).await;
    bench.network.gateway = Some(gateway.devices.clone());
    // It became an open one.
    bench.network.password = String::new();
    let token = bench.system.path("token.txt");
    fs::write(&token, "bench-token\n").unwrap();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut command = bench.flash(&["--no-wait"]);
    command.args(bench.wifi()).arg("--token-file").arg(&token);
    let first = end_with_button(&mut command, &chip).await;
    assert_eq!(first.code, Some(0), "{first:#?}");
    chip.unplug().await;

    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut terminal = Terminal::new();
    let mut command = bench.flash(&["--gateway=mdns", "--device=lovense", "--pins=V0=4"]);
    command.args(["--button=9", "--limits=none", "--battery=none"]);
    terminal.attach(command.args(["--identifier", "LVSDevice"]));
    let child = command.spawn().unwrap();
    terminal.expect("press the RESET button").await;
    chip.press_reset();
    terminal.expect("Wi-Fi name [").await;
    terminal.type_line("");
    for secret in ["Wi-Fi password", "token of the gateway"] {
        let question = format!("{secret} (none clears it) [********]: ");
        terminal.answer_hidden(&question, "none").await;
    }
    terminal
        .expect("set others (ota_password, fingerprint) too? [no]: ")
        .await;
    terminal.type_line("");
    is_listed(child, &terminal).await;
    let settings = saved(&memory, &ESP32C3).unwrap();
    assert_eq!((settings.password(), settings.token()), ("", None));
}

/// For updates over Wi-Fi.
const UPDATES: &str = "change what I run";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_wants_more_is_asked_for_everything_until_all_of_it_fits() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut terminal = Terminal::new();
    let mut command = bench.flash(&["--gateway", "10.0.0.9:2", "--no-wait"]);
    command.args(bench.wifi());
    terminal.attach(&mut command);
    let child = command.spawn().unwrap();
    terminal.expect("press the RESET button").await;
    chip.press_reset();
    let answer = async |terminal: &mut Terminal, question: &str, answer: &str| {
        terminal.expect(question).await;
        terminal.type_line(answer);
    };
    terminal.answer_hidden("token of the gateway [none]: ", "").await;
    answer(&mut terminal, "too? [no]: ", "perhaps").await;
    answer(&mut terminal, "answer yes or no", "y").await;
    answer(&mut terminal, "protocol (lovense or tcode) [lovense]: ", "tcode").await;
    answer(&mut terminal, "[LVSDevice]: ", "").await;
    answer(&mut terminal, "pins, such as V0=4 L0=6 [V0=4]: ", "V0=9 L0=6").await;
    answer(&mut terminal, "stop button, such as 9 or 9 opens [9]: ", "").await;
    answer(&mut terminal, "L0=10-90 [none]: ", "V0=10-20").await;
    terminal.expect("V0 has one maximum").await;
    answer(&mut terminal, "L0=10-90 [none]: ", "V0=60 L0=10-90").await;
    answer(&mut terminal, "pin that measures the battery [none]: ", "0").await;
    let ota_password = "password for updates over Wi-Fi [none]: ";
    terminal.answer_hidden(ota_password, "short").await;
    terminal.expect("8 to 63 characters").await;
    terminal.answer_hidden(ota_password, UPDATES).await;
    let fingerprint = "fingerprint of the gateway's certificate, for TLS [none]: ";
    answer(&mut terminal, fingerprint, "00").await;
    answer(&mut terminal, fingerprint, &"5e".repeat(32)).await;
    // The button still has 9. Only what can be in the way is asked for again.
    terminal.expect("pin 9 has another use").await;
    answer(&mut terminal, "pins, such as V0=4 L0=6 [V0=4]: ", "V0=9 L0=6").await;
    answer(
        &mut terminal,
        "stop button, such as 9 or 9 opens [9]: ",
        "4 opens",
    )
    .await;
    answer(&mut terminal, "pin that measures the battery [none]: ", "0").await;
    let ended = within("it ends", child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", terminal.seen);
    let settings = saved(&memory, &ESP32C3).unwrap();
    assert_eq!(settings.outputs().to_string(), "V0=9 L0=6");
    assert_eq!(
        settings.button().map(|button| button.to_string()).as_deref(),
        Some("4 opens")
    );
    assert_eq!(settings.limits().to_string(), "V0=60 L0=10-90");
    assert_eq!(settings.battery(), Some(0));
    assert_eq!(settings.ota_password(), Some(UPDATES));
    let fingerprint = settings.fingerprint().map(|fingerprint| fingerprint.to_string());
    assert_eq!(fingerprint, Some("5e".repeat(32)));
    assert!(!terminal.seen.contains(UPDATES));
}

/// Each pin is the other's: no order alone would do.
#[tokio::test(flavor = "multi_thread")]
async fn button_battery_and_motor_change_their_pins_with_each_other() {
    let bench = Bench::new();
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let first = [
        "--pins",
        "V0=4",
        "--button",
        "2",
        "--battery",
        "3",
        "--limits",
        "V0=60",
        "--no-wait",
    ];
    let ended = end_with_button(bench.flash(&first).args(bench.wifi()), &chip).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    chip.unplug().await;
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let second = [
        "--pins",
        "V0=2",
        "--button",
        "3 opens",
        "--battery",
        "4",
        "--limits",
        "none",
        "--no-wait",
    ];
    let ended = end_with_button(&mut bench.flash(&second), &chip).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let settings = saved(&memory, &ESP32C3).unwrap();
    let shown = [Key::Pins, Key::Button, Key::Battery, Key::Limits].map(|key| {
        let mut value = String::new();
        settings.write(key, &mut value).unwrap();
        value
    });
    assert_eq!(shown, ["V0=2", "3 opens", "4", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_is_listed_already_is_awaited_with_its_new_settings() {
    let bench = Bench::new();
    let gateway = Process::start(&bench.home, &[]).await;
    let address = gateway.devices.trim_start_matches("ws://");
    let memory = Memory::erased();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut command = bench.flash(&["--gateway", address]);
    let first = end_with_button(command.args(bench.wifi()), &chip).await;
    assert!(first.stdout.contains("LVSDevice"), "{first:#?}");
    chip.unplug().await;

    let chip = bench.plug(NATIVE, Kind::Esp32c3, &memory, Fault::None);
    let mut command = bench.flash(&[
        "--identifier",
        "TCodeDevice",
        "--device",
        "lovense",
        "--pins",
        "V0=4",
    ]);
    command.args(["--gateway", address]).args(bench.wifi());
    let mut terminal = Terminal::new();
    terminal.attach(&mut command);
    let child = command.spawn().unwrap();
    terminal.expect("press the RESET button").await;
    chip.press_reset();
    terminal.answer_hidden("token of the gateway [none]: ", "").await;
    terminal
        .expect("set others (button, limits, battery, ota_password, fingerprint) too? [no]: ")
        .await;
    let connected = async || {
        let listed = end(&mut common::process::command(&bench.home, &["devices", "--json"])).await;
        let devices: Value = serde_json::from_str(&listed.stdout).unwrap();
        let states: Vec<_> = devices
            .as_array()
            .unwrap()
            .iter()
            .map(|device| &device["state"])
            .collect();
        states == ["ready"]
    };
    // It is there, with the settings of before.
    within("the board is listed", async { while !connected().await {} }).await;
    terminal.type_line("");
    let ended = within("it ends", child.wait_with_output()).await.unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(
        told.starts_with(&format!("the board is there: TCodeDevice {ADDRESS}, listed as ")),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_a_secret_question_gives_the_terminal_its_echo_back() {
    let bench = Bench::new();
    let chip = bench.plug(NATIVE, Kind::Esp32c3, &Memory::erased(), Fault::None);
    let mut terminal = Terminal::new();
    let mut command = bench.flash(&["--ssid", SSID]);
    terminal.attach(&mut command);
    let child = command.spawn().unwrap();
    terminal.expect("press the RESET button").await;
    chip.press_reset();
    terminal.expect_hidden("Wi-Fi password [none]: ").await;
    interrupt(&child);
    let ended = within("it ends", child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(terminal.echoes());
    terminal.expect("interrupted; the image is on the board").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn which_port_it_is_must_be_plain() {
    let bench = Bench::new();
    bench.system.usb("1-6", "ttyACM7", ARDUINO);
    end(&mut bench.flash(&[])).await.failed(
        1,
        &["no board is on USB; the system has /dev/ttyACM7", "ESP32-C3"],
    );
    bench.system.usb("1-5", "ttyUSB3", CH340);
    bench.system.usb("1-7", "ttyACM1", NATIVE);
    let several = [
        "several ports may be the board's: /dev/ttyACM1",
        "/dev/ttyUSB3",
        "flash PORT",
    ];
    end(&mut bench.flash(&[])).await.failed(2, &several);
    end(&mut bench.flash(&["/dev/ttyACM9"]))
        .await
        .failed(1, &["/dev/ttyACM9 cannot be opened: not there"]);
    // A gateway, or a monitor, has it.
    fs::create_dir_all(bench.system.path("proc/812/fd")).unwrap();
    fs::write(bench.system.path("proc/812/comm"), "screen\n").unwrap();
    symlink(
        bench.system.path("dev/ttyUSB3"),
        bench.system.path("proc/812/fd/5"),
    )
    .unwrap();
    let held = [
        "/dev/ttyUSB3 cannot be opened: held by screen (pid 812)",
        "close it there",
    ];
    end(&mut bench.flash(&["/dev/ttyUSB3"])).await.failed(1, &held);
}
