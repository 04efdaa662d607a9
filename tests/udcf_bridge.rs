//! What a UDCF says of boards on wires and on Bluetooth, and what `check` finds out before `run` does.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::process::Process;
use common::pty::Board;
use common::{Running, client, listed, settings, vibrate, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use wsdm_gateway::config::{Layers, Loaded, Settings};
use wsdm_gateway::udcf::Udcf;

/// A file for Intiface's serial manager, with its port replaced by this one.
fn serial_udcf(folder: &Path, port: &Path) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/udcf/v2-serial-tcode.json");
    let text = std::fs::read_to_string(fixture).unwrap();
    write(folder, "udcf.json", &text.replace("COM3", port.to_str().unwrap()))
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Version 5, with these protocols.
fn version_5(folder: &Path, protocols: &Value) -> PathBuf {
    let file = json!({
        "version": { "major": 5, "minor": 0 }, "user_configs": { "protocols": protocols },
    });
    write(folder, "udcf.json", &file.to_string())
}

/// The program, with a home of its own.
fn program(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"))
        .args(args)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `check` prints with this gateway.toml, on both streams, and what it exits with.
fn check(folder: &Path, toml: &str) -> (String, Option<i32>) {
    let file = write(folder, "gateway.toml", toml);
    let output = program(folder, &["check", "--config", file.to_str().unwrap()]);
    let all = text(&output.stdout) + &text(&output.stderr);
    (all, output.status.code())
}

/// The settings of this gateway.toml, on ports that the system chooses, remembering nothing.
fn configured(folder: &Path, toml: &str) -> Settings {
    let file = write(folder, "gateway.toml", toml);
    let loaded = Loaded::load(Some(&file), Layers::default()).expect("a configuration that holds");
    Settings {
        serial: loaded.settings.serial,
        ble: loaded.settings.ble,
        udcf: loaded.settings.udcf,
        bridge_udcf: loaded.settings.bridge_udcf,
        ..settings()
    }
}

/// Has the only device move its axis and its motor, and the board obey.
async fn moves_and_vibrates(client: &ButtplugClient, board: &mut Board) {
    listed(client, 1).await;
    let device = client.devices().into_values().next().unwrap();
    let stroke = ClientDeviceOutputCommand::HwPositionWithDuration(0.5.into(), 300);
    within("a command", device.run_output(&stroke)).await.unwrap();
    board.expect("L0").await;
    board.expect("I300\n").await;
    vibrate(client, 0.5).await;
    board.expect("V").await;
    board.expect("\n").await;
}

#[tokio::test]
async fn a_file_for_a_serial_manager_works_unchanged() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    serial_udcf(folder.path(), &board.port);
    let settings = configured(folder.path(), "[udcf]\npath = \"udcf.json\"\nbridge = true\n");
    let gateway = Running::start(settings).await;
    let client = client(&gateway.clients(), "app").await;
    moves_and_vibrates(&client, &mut board).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_printed_entries_are_a_configuration_that_runs() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let udcf = serial_udcf(folder.path(), &board.port);
    let printed = program(folder.path(), &["udcf", "bridge", udcf.to_str().unwrap()]);
    assert!(printed.status.success());
    let toml = "[udcf]\npath = \"udcf.json\"\n".to_owned() + &text(&printed.stdout);
    let file = write(folder.path(), "gateway.toml", &toml);
    let gateway = Process::start(folder.path(), &["--config", file.to_str().unwrap()]).await;
    let client = client(&gateway.clients, "app").await;
    moves_and_vibrates(&client, &mut board).await;
    // What is written down is not offered again.
    let (said, code) = check(folder.path(), &toml);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("udcf bridge"), "{said}");
}

#[tokio::test]
async fn an_entry_of_the_configuration_wins_over_the_files() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    serial_udcf(folder.path(), &board.port);
    let toml = format!(
        "[udcf]\npath = \"udcf.json\"\nbridge = true\n[[serial]]\nport = {:?}\nidentifier = {:?}\n\
         address = \"mine\"\non_close = \"mine\"\n",
        board.port, board.port
    );
    let gateway = Running::start(configured(folder.path(), &toml)).await;
    // A board that comes is stopped first.
    board.expect("mine").await;
    gateway.stop().await;
}

#[test]
fn every_board_is_offered_and_what_cannot_be_used_is_explained() {
    let folder = TempDir::new().unwrap();
    let serial = |port: &str, parity: &str| {
        json!({ "serial": {
            "port": port, "baud_rate": 9600, "data_bits": 7, "parity": parity, "stop_bits": 2 } })
    };
    let uart = json!({ "6e400001-b5a3-f393-e0a9-e50e24dcca9e": {
        "tx": "6e400002-b5a3-f393-e0a9-e50e24dcca9e", "rx": "6e400003-b5a3-f393-e0a9-e50e24dcca9e",
        "rxblebattery": "00002a19-0000-1000-8000-00805f9b34fb" } });
    let lovense = json!({ "50300001-0023-4bd4-bbd5-a6920e4c5653": {
        "tx": "50300002-0023-4bd4-bbd5-a6920e4c5653", "rx": "50300003-0023-4bd4-bbd5-a6920e4c5653" } });
    let udcf = version_5(
        folder.path(),
        &json!({
            "tcode-v03": { "communication": [
                serial("/dev/ttyOSR", "E"), serial("COM4", "N"), serial("default", "N"), serial("/dev/ttyS9", "M"),
                { "btle": { "names": ["DIY-one", "DIY \"two\"*"], "services": uart } },
                { "usb": { "pairs": [{ "vendor_id": 1, "product_id": 2 }] } },
            ] },
            "lovense": { "communication": [
                { "btle": { "names": ["LVS-mine"], "services": lovense } }, serial("/dev/ttyOSR", "N"),
            ] },
        }),
    );
    let udcf = udcf.to_str().unwrap();

    let printed = program(folder.path(), &["udcf", "bridge", udcf]);
    let toml = text(&printed.stdout);
    let loaded = configured(folder.path(), &toml);
    assert_eq!((loaded.serial.len(), loaded.ble.len()), (1, 3), "{toml}");
    for wanted in [
        "[[serial]]\nport = \"/dev/ttyOSR\"\nbaud_rate = 9600\ndata_bits = \"7\"\nstop_bits = \"2\"\nparity = \"even\"\n\
         identifier = \"/dev/ttyOSR\"\naddress = \"/dev/ttyOSR\"\n",
        "\"COM4\" is how Windows names a port",
        "# identifier = \"COM4\"\n",
        "\"default\" names no port",
        "parity \"M\"",
        "only tx and rx carry frames; without effect: rxblebattery",
        "name = \"DIY-one\"\nservice = \"6e400001-b5a3-f393-e0a9-e50e24dcca9e\"\n\
         write = \"6e400002-b5a3-f393-e0a9-e50e24dcca9e\"\nnotify = \"6e400003-b5a3-f393-e0a9-e50e24dcca9e\"\n",
        "name = \"LVS-mine\"\nprofile = \"lovense\"\nidentifier = \"LVS-mine\"\n",
        "\"/dev/ttyOSR\" is listed under \"tcode-v03\" already",
    ] {
        assert!(toml.contains(wanted), "{wanted}\n\n{toml}");
    }

    let checked = text(&program(folder.path(), &["udcf", "check", udcf]).stdout);
    for wanted in [
        "bridge = true in [udcf]",
        &format!("wsdm-gateway udcf bridge {udcf} >> gateway.toml"),
        "serial \"/dev/ttyOSR\"  tcode-v03: HwPositionWithDuration",
        "\"COM4\" is how Windows names a port",
        "ble \"DIY-one\"  tcode-v03",
        "entries for other servers, without effect here\n  tcode-v03 {\"usb\"",
    ] {
        assert!(checked.contains(wanted), "{wanted}\n\n{checked}");
    }

    let offered = check(folder.path(), "[udcf]\npath = \"udcf.json\"\n").0;
    assert!(
        offered.contains(
            "describes 5 boards on serial ports and 3 boards on Bluetooth; to bridge them: bridge = true"
        ),
        "{offered}"
    );
    let bridging = check(folder.path(), "[udcf]\npath = \"udcf.json\"\nbridge = true\n").0;
    for wanted in [
        "boards of the UDCF that are bridged\n  serial \"/dev/ttyOSR\" (tcode-v03)\n",
        "serial \"COM4\" (tcode-v03) is not bridged: \"COM4\" is how Windows names a port",
    ] {
        assert!(bridging.contains(wanted), "{wanted}\n\n{bridging}");
    }
}

#[test]
fn a_board_whose_name_is_a_websocket_name_of_another_protocol_gets_its_own_identifier() {
    let folder = TempDir::new().unwrap();
    let port = json!({ "serial": {
        "port": "/dev/ttyX", "baud_rate": 9600, "data_bits": 8, "parity": "N", "stop_bits": 1 } });
    let file = version_5(
        folder.path(),
        &json!({
            "lovense": { "communication": [{ "websocket": { "name": "/dev/ttyX" } }] },
            "tcode-v03": { "communication": [port] },
        }),
    );
    let udcf = Udcf::load(&file).unwrap();
    let directory = udcf.directory(&udcf.device_configuration().unwrap());
    assert_eq!(directory.protocol("/dev/ttyX"), Some("lovense"));
    let identifier = &udcf.bridged()[0].identifier;
    assert_eq!(directory.protocol(identifier), Some("tcode-v03"), "{identifier}");
}
