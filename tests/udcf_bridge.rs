//! Boards on wires and on Bluetooth that a UDCF describes, and what `check` finds out before `run` does.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::process::Process;
use common::pty::Board;
use common::{RawDevice, Running, client, listed, settings, vibrate, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use wsdm_gateway::advice::Advice;
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

#[tokio::test]
async fn ports_shows_that_the_file_takes_a_port() {
    let folder = TempDir::new().unwrap();
    let board = Board::plug(&folder.path().join("tty"));
    serial_udcf(folder.path(), &board.port);
    for (bridge, shown) in [("true", true), ("false", false)] {
        let toml = format!("[udcf]\npath = \"udcf.json\"\nbridge = {bridge}\n");
        let file = write(folder.path(), "gateway.toml", &toml);
        let output = program(folder.path(), &["ports", "--config", file.to_str().unwrap()]);
        let table = text(&output.stdout);
        let row = table
            .lines()
            .find(|line| line.starts_with(board.port.to_str().unwrap()));
        assert_eq!(row.is_some_and(|row| row.ends_with("udcf")), shown, "{table}");
    }
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

#[test]
fn check_finds_an_identifier_that_nobody_knows() {
    let folder = TempDir::new().unwrap();
    let serial = "[[serial]]\nport = \"/dev/ttyX\"\nidentifier = \"LVSDevise\"\n";
    let ble = "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\nidentifier = \"Nobody's\"\n";
    let (said, code) = check(folder.path(), &format!("{serial}{ble}"));
    assert_eq!(code, Some(2), "{said}");
    for wanted in [
        "gateway.toml:3:14: serial.0.identifier: no UDCF entry names \"LVSDevise\"; the nearest is \"LVSDevice\"",
        "gateway.toml:7:14: ble.0.identifier: no UDCF entry names \"Nobody's\"",
    ] {
        assert!(said.contains(wanted), "{wanted}\n\n{said}");
    }
    let dial = "[[dial]]\nurl = \"tcp://127.0.0.1:1\"\nidentifier = \"Nobody\"\n";
    let (said, code) = check(folder.path(), dial);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("gateway.toml:3:14: dial.0.identifier: no UDCF entry names \"Nobody\""),
        "{said}"
    );
    // Upstream decides which identifiers there are.
    let relay = "[upstream]\nrelay = \"ws://127.0.0.1:1\"\n";
    let (said, code) = check(folder.path(), &format!("{relay}{serial}"));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn check_finds_what_is_written_in_another_way_than_it_is_meant() {
    let folder = TempDir::new().unwrap();
    for (toml, wanted) in [
        (
            "[[serial]]\nmatch = { vid = 2341, pid = 43 }\n",
            &[
                "serial.0.match.vid: is a decimal number; put it in quotes: vid = \"2341\"",
                "serial.0.match.pid: is a decimal number; put it in quotes: pid = \"0043\"",
            ][..],
        ),
        (
            "[[ble]]\nmanufacturer_data = { company = 93 }\nprofile = \"nus\"\n",
            &["put it in quotes: company = \"0093\""],
        ),
        (
            "[[serial]]\nport = \"/dev/ttyX\"\nprotocol = \"tcode-v03\"\n",
            &[
                "serial.0.protocol: there is no key of this name; the protocol follows from identifier",
                "wsdm-gateway udcf add --protocol tcode-v03 --websocket NAME FILE",
            ],
        ),
        (
            "[[ble]]\nname = \"X\"\nprofile = \"nus\"\nprotocol = 3\n",
            &["the protocol follows from identifier", "--protocol PROTOCOL"],
        ),
    ] {
        let (said, code) = check(folder.path(), toml);
        assert_eq!(code, Some(2), "{said}");
        for wanted in wanted {
            assert!(said.contains(wanted), "{wanted}\n\n{said}");
        }
    }
    // In hexadecimal it is meant as it is written.
    let (said, code) = check(
        folder.path(),
        "[[serial]]\nmatch = { vid = 0x2341, pid = \"0x43\" }\n",
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2341") && said.contains("0043"), "{said}");
}

/// What loading a file warns of.
fn warnings(protocols: &Value) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let udcf = Udcf::load(&version_5(folder.path(), protocols)).unwrap();
    udcf.warnings().to_vec()
}

/// A configuration with one feature for each of these outputs.
fn configuration(identifier: &str, outputs: &[Value]) -> Value {
    let features: Vec<Value> = outputs
        .iter()
        .enumerate()
        .map(|(index, output)| {
            json!({ "index": index, "id": format!("00000000-0000-4000-8000-{index:012}"), "output": output })
        })
        .collect();
    json!({
        "identifier": [identifier], "name": identifier, "id": "00000000-0000-4000-8000-0000000000ff",
        "features": features,
    })
}

#[test]
fn a_range_that_does_not_fit_tcode_is_reported_with_the_one_that_does() {
    for (output, wanted) in [
        (
            json!({ "position": { "value": [0, 100] } }),
            Some(("[0, 999]", "goes no further than 10 %")),
        ),
        (
            json!({ "position": { "value": [0, 99] } }),
            Some(("[0, 999]", "goes no further than 9.9 %")),
        ),
        (
            json!({ "hw_position_with_duration": { "value": [0, 9999], "duration": [0, 9999] } }),
            Some(("[0, 999]", "jumps back to 10 % beyond 999")),
        ),
        (
            json!({ "vibrate": { "value": [0, 100] } }),
            Some(("[0, 99]", "jumps back to 10 % beyond 99")),
        ),
        (
            json!({ "vibrate": { "value": [0, 20] } }),
            Some(("[0, 99]", "goes no further than 20 %")),
        ),
        (
            json!({ "position": { "value": [-50, 50] } }),
            Some(("[0, 999]", "is -50 to 50, but a TCode axis begins at 0")),
        ),
        (
            json!({ "hw_position_with_duration": { "value": [-999, 999], "duration": [0, 9999] } }),
            Some((
                "[0, 999]",
                "apps are offered values below 0, and get an Error for them",
            )),
        ),
        (
            json!({ "vibrate": { "value": [-99, 99] } }),
            Some(("[0, 99]", "is -99 to 99, but a TCode axis begins at 0")),
        ),
        (
            json!({ "position": { "value": [100, 999] } }),
            Some(("[0, 999]", "0 to 999 is the whole travel here; a limit is")),
        ),
        (json!({ "vibrate": { "value": [0, 99] } }), None),
        (
            json!({ "hw_position_with_duration": { "value": [0, 999], "duration": [0, 9999] } }),
            None,
        ),
    ] {
        let warnings = warnings(&json!({ "tcode-v03": {
            "communication": [{ "websocket": { "name": "X" } }],
            "configurations": [configuration("X", std::slice::from_ref(&output))],
        } }));
        match wanted {
            None => assert_eq!(warnings, [""; 0], "{output}"),
            Some((meant, otherwise)) => {
                assert_eq!(warnings.len(), 1, "{warnings:?}");
                assert!(
                    warnings[0].contains(meant) && warnings[0].contains(otherwise),
                    "{warnings:?}"
                );
            }
        }
    }
}

#[test]
fn an_output_that_the_protocol_lacks_is_reported_and_not_listed() {
    let folder = TempDir::new().unwrap();
    let level = |kind: &str| json!({ kind: { "value": [0, 99] } });
    let mut tcode = configuration(
        "X",
        &[
            level("rotate"),
            level("vibrate"),
            level("constrict"),
            level("spray"),
        ],
    );
    tcode["features"][2]["description"] = "A0 Valve".into();
    let one = |configuration: Value| {
        json!({
            "communication": [{ "websocket": { "name": configuration["name"] } }], "configurations": [configuration],
        })
    };
    let other = configuration("Y", &[level("vibrate"), level("rotate")]);
    let file = version_5(
        folder.path(),
        &json!({ "tcode-v03": one(tcode), "aneros": one(other) }),
    );
    let output = program(folder.path(), &["udcf", "check", file.to_str().unwrap()]);
    let said = text(&output.stdout);
    for wanted in [
        "  X  tcode-v03: Vibrate 0-99, Constrict 0-99\n",
        "  Y  aneros: Vibrate 0-99\n",
        "the configuration of \"X\" has rotate without a TCode axis: nothing moves",
        "the configuration of \"X\" has spray without a TCode axis: nothing moves",
        "the configuration of \"Y\" has rotate, which the server's aneros cannot carry out: nothing moves; it has vibrate",
    ] {
        assert!(said.contains(wanted), "{wanted}\n\n{said}");
    }
    assert!(!said.contains("has constrict"), "{said}");
    // Trying it is nobody's business.
    assert!(
        !text(&output.stderr).contains("panicked"),
        "{}",
        text(&output.stderr)
    );
}

/// At any depth they are read, or an error or a warning names the place where they belong.
#[test]
fn configurations_at_another_depth_are_not_skipped_silently() {
    let folder = TempDir::new().unwrap();
    let name = json!({ "websocket": { "name": "X" } });
    let own = json!([configuration("X", &[json!({ "vibrate": { "value": [0, 99] } })])]);
    let lovense = |name: &Value| json!({ "communication": [name] });
    let mut within = name.clone();
    within["configurations"] = own.clone();
    let mut beside = json!({ "protocols": { "lovense": lovense(&name) } });
    beside["configurations"] = own.clone();
    let mut devices = lovense(&name);
    devices["devices"] = json!({ "configurations": own });
    for user in [
        beside,
        json!({ "protocols": { "lovense": lovense(&within) } }),
        json!({ "protocols": { "lovense": devices } }),
    ] {
        for top in [false, true] {
            let mut file = json!({ "version": { "major": 5, "minor": 0 }, "user_configs": user });
            if top {
                file["user_configs"] = json!({ "protocols": { "lovense": lovense(&name) } });
                file["configurations"] = own.clone();
            }
            let path = write(folder.path(), "udcf.json", &file.to_string());
            let said = match Udcf::load(&path) {
                Ok(udcf) if udcf.to_json().contains("00000000-0000-4000-8000-0000000000ff") => continue,
                Ok(udcf) => udcf.warnings().join("\n"),
                Err(e) => e.with_hint(),
            };
            let tells =
                said.contains("configurations") && (said.contains("belongs in") || said.contains("protocol"));
            assert!(tells, "{file}\n{said}");
        }
    }
}

/// A list where an object is meant, or the other way round: the place, and where the content belongs.
#[test]
fn lists_at_another_depth_are_refused_with_where_they_belong() {
    let own = json!([configuration("X", &[json!({ "vibrate": { "value": [0, 99] } })])]);
    let names = json!([{ "websocket": { "name": "X" } }]);
    let lovense = |list: &Value| json!({ "lovense": { "communication": names, "configurations": list } });
    let in_protocol = "belongs in a protocol under \"protocols\"";
    for (user, told) in [
        (json!({ "protocols": { "configurations": own } }), in_protocol),
        (
            json!({ "protocols": { "lovense": { "communication": names }, "communication": names } }),
            in_protocol,
        ),
        (json!({ "protocols": { "lovense": own } }), in_protocol),
        (json!({ "protocols": own }), in_protocol),
        (json!(own), in_protocol),
        (
            json!({ "protocols": {}, "devices": { "configurations": own } }),
            in_protocol,
        ),
        (json!({ "protocols": lovense(&own[0]) }), "in brackets"),
        (
            json!({ "protocols": lovense(&json!([own])) }),
            "leave the brackets",
        ),
        (
            json!({ "protocols": lovense(&json!({ "configurations": own })) }),
            "without the object around it",
        ),
        (
            json!({ "protocols": lovense(&json!({ "lovense": own })) }),
            "without the object around it",
        ),
        (json!({ "protocols": lovense(&json!("X")) }), "write a list"),
    ] {
        let file = json!({ "version": { "major": 5, "minor": 0 }, "user_configs": user });
        let said = match Udcf::parse(&file.to_string(), "my.json") {
            Ok(udcf) => panic!("{file} was read: {:?}", udcf.warnings()),
            Err(e) => e.with_hint(),
        };
        assert!(
            said.starts_with("my.json:1:") && said.contains(told),
            "{file}\n{said}"
        );
    }
}

/// For every protocol, a board that needs time between two commands gets it.
#[tokio::test]
async fn a_message_gap_of_a_device_holds() {
    const GAP: Duration = Duration::from_millis(400);
    let folder = TempDir::new().unwrap();
    let file = version_5(
        folder.path(),
        &json!({
            "tcode-v03": {
                "communication": [{ "websocket": { "name": "T" } }],
                "configurations": [configuration("T", &[json!({ "vibrate": { "value": [0, 99] } })])],
            },
        }),
    );
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    value["user_configs"]["devices"] = json!([{
        "identifier": { "address": "slow", "protocol": "tcode-v03", "identifier": "T" },
        "config": {
            "id": "00000000-0000-4000-8000-0000000000aa", "base_id": "00000000-0000-4000-8000-0000000000ff",
            "features": [{
                "id": "00000000-0000-4000-8000-0000000000ab", "base_id": "00000000-0000-4000-8000-000000000000" }],
            "user_config": { "allow": false, "deny": false, "index": 0, "message_gap_ms": 400 },
        },
    }]);
    std::fs::write(&file, value.to_string()).unwrap();
    let gateway = Running::start(Settings {
        udcf: Some(file),
        ..settings()
    })
    .await;
    let mut board = RawDevice::hello(&gateway.devices(), "T", "slow").await;
    let client = client(&gateway.clients(), "app").await;
    listed(&client, 1).await;
    vibrate(&client, 0.1).await;
    let first = board.frame().await;
    let start = Instant::now();
    vibrate(&client, 0.9).await;
    let second = board.frame().await;
    assert_ne!(first, second);
    // The library counts from when it wrote the first, a little earlier.
    assert!(start.elapsed() > GAP / 2, "{second} after {:?}", start.elapsed());
    gateway.stop().await;
}

#[test]
fn a_name_that_is_none_of_a_protocols_models_is_reported_if_the_protocol_needs_one() {
    let named = |name: &str| json!({ "communication": [{ "websocket": { "name": name } }] });
    for (protocols, wanted) in [
        (
            json!({ "vorze-sa": named("UFO-TW"), "tcode-v03": named("Any"), "lovense": named("Z") }),
            None,
        ),
        (
            json!({ "vorze-sa": named("My UFO") }),
            Some("call the device \"Bach smart\" or \"CycSA\" or "),
        ),
    ] {
        let warnings = warnings(&protocols);
        match wanted {
            None => assert_eq!(warnings, [""; 0]),
            Some(wanted) => {
                let told = warnings
                    .iter()
                    .any(|w| w.contains("knows its models by name") && w.contains(wanted));
                assert!(told, "{warnings:?}");
            }
        }
    }
    // A configuration of one's own does not help, unless it says which variant it is.
    let mut own = named("My UFO");
    let mut configured = configuration("My UFO", &[json!({ "rotate": { "value": [-99, 99] } })]);
    own["configurations"] = json!([configured]);
    let told = warnings(&json!({ "vorze-sa": own }));
    assert!(
        told.iter().any(|w| w.contains("\"protocol_variant\"")),
        "{told:?}"
    );
    configured["protocol_variant"] = "vorze-sa-dual-rotator".into();
    own["configurations"] = json!([configured]);
    assert_eq!(warnings(&json!({ "vorze-sa": own })), [""; 0]);
}
