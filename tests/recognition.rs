//! Boards that nobody configured and that print no hello line: recognised by questions that move nothing.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::log::Log;
use common::process::{Process, command};
use common::pty::Board;
use common::system::{ARDUINO, CH340, System};
use common::tcode_board::{BUZZER, HUSH, MUTE, Model, OLD, OSR2, SR6, TcodeBoard};
use common::{Running, client, listed, relaying, settings, vibrate, wait_until, within};
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use wsdm_gateway::config::{Layers, Loaded, SerialSettings, Settings};

fn entries(toml: &str) -> Vec<SerialSettings> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).expect("a configuration that holds");
    loaded.settings.serial
}

/// An entry with nothing but its port.
fn entry(port: &Path) -> String {
    format!("[[serial]]\nport = {:?}\n", port.to_str().unwrap())
}

/// The handshake of the next device that a gateway gives to this server, which keeps it.
async fn relayed(upstream: &TcpListener) -> Value {
    let (stream, _) = within("a device is relayed", upstream.accept()).await.unwrap();
    let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
    let hello = within("a handshake", ws.next()).await.unwrap().unwrap();
    let handshake = serde_json::from_str(hello.to_text().unwrap()).unwrap();
    tokio::spawn(async move { while let Some(Ok(_)) = ws.next().await {} });
    handshake
}

/// A gateway with this configuration, and its log.
async fn start(home: &TempDir, args: &[&str], toml: &str) -> (Process, Log) {
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    let args = [&["--config", file.to_str().unwrap()], args].concat();
    let mut gateway = Process::start(home.path(), &args).await;
    let log = Log::of(&mut gateway.child);
    (gateway, log)
}

/// Every kind of board at once, each behind a port of its own: what is logged of it, and the handshake that it gets.
#[tokio::test]
async fn every_board_is_recognised_before_anything_moves() {
    let slow = |model| Model {
        delay: Duration::from_millis(1_400),
        ..model
    };
    let cases: &[(&str, Model, &str, &str)] = &[
        (
            "osr2",
            OSR2,
            "tcode",
            "recognised: TCode v0.3, \"OSR2_Release3.ino\", axes L0 \"Up\", R0 \"Twist\"",
        ),
        (
            "sr6",
            SR6,
            "tcode",
            "axes L0 \"Up\", L1 \"Forward\", L2 \"Move left\", R0, R1 \"Roll\" 2000 to 8000, R2 \"Pitch\"",
        ),
        (
            "buzzer",
            BUZZER,
            "tcode",
            "\"Buzzer 1.0\", axes V0 \"Vibe0\", V1 \"Vibe1\"",
        ),
        (
            "slow",
            slow(SR6),
            "tcode",
            "\"SR6_Release3.ino\", axes L0 \"Up\", L1 \"Forward\"",
        ),
        (
            "pieces",
            Model { pauses: true, ..SR6 },
            "tcode",
            "R1 \"Roll\" 2000 to 8000, R2 \"Pitch\"",
        ),
        (
            "echo",
            Model { echoes: true, ..OSR2 },
            "tcode",
            "TCode v0.3, \"OSR2_Release3.ino\", axes L0 \"Up\", R0 \"Twist\"",
        ),
        (
            "old",
            OLD,
            "tcode",
            "TCode v0.2, \"OSR2_v2.ino\", lists no axes: L0 with its whole stroke is assumed",
        ),
        (
            "hush",
            HUSH,
            "lovense",
            "recognised: Lovense, model Z, firmware 11",
        ),
    ];
    let home = TempDir::new().unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", upstream.local_addr().unwrap());
    let boards: Vec<TcodeBoard> = cases
        .iter()
        .map(|(name, model, ..)| TcodeBoard::plug(&home.path().join(name), *model))
        .collect();
    let toml: String = boards.iter().map(|board| entry(&board.port)).collect();
    let (gateway, mut log) = start(&home, &["--upstream", &url], &toml).await;
    let mut handshakes = Vec::new();
    for _ in cases {
        handshakes.push(relayed(&upstream).await);
    }
    for (board, (name, _, identifier, recognised)) in boards.iter().zip(cases) {
        let address = board.port.to_str().unwrap();
        let wanted = json!({ "identifier": identifier, "address": address, "version": 0 });
        assert!(handshakes.contains(&wanted), "{name}: {handshakes:?}");
        let line = log
            .seen
            .iter()
            .find(|l| l.contains(address) && l.contains("recognised: "));
        let line = match line {
            Some(line) => line.to_owned(),
            None => log.expect(&[&format!("{address}: recognised: ")]).await,
        };
        assert!(line.contains(recognised), "{line}");
    }
    let seen = log.text();
    assert!(
        seen.contains("upstream lists it if its UDCF names \"tcode\""),
        "{seen}"
    );
    // Its language is known, and so is what stops it if it still runs from before.
    assert!(!seen.contains("no stop is known"), "{seen}");
    for (board, (_, _, identifier, _)) in boards.iter().zip(cases) {
        let stop = if *identifier == "tcode" {
            "DSTOP\n"
        } else {
            "Vibrate:0;"
        };
        wait_until("it is stopped first", || board.sent().contains(stop)).await;
        board.expect_only_questions();
    }
    gateway.signal(Signal::TERM);
}

/// The server inside knows the protocol, whatever the user's file says.
#[tokio::test]
async fn a_recognised_lovense_is_driven_by_an_app_and_keeps_its_index() {
    let folder = TempDir::new().unwrap();
    let port = folder.path().join("tty");
    let udcf = folder.path().join("mine.json");
    let file = json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": {
            "tcode-v03": { "communication": [{ "websocket": { "name": "Mine" } }] },
        }},
    });
    std::fs::write(&udcf, file.to_string()).unwrap();
    let gateway = Running::start(Settings {
        serial: entries(&entry(&port)),
        udcf: Some(udcf),
        ..settings()
    })
    .await;
    let client = client(&gateway.clients(), "driver").await;
    let mut index = None;
    for _ in 0..2 {
        let board = TcodeBoard::plug(&port, HUSH);
        listed(&client, 1).await;
        board.expect_only_questions();
        let (found, device) = client.devices().into_iter().next().unwrap();
        assert_eq!(*index.get_or_insert(found), found);
        assert!(device.name().contains("Hush"), "{}", device.name());
        vibrate(&client, 0.5).await;
        wait_until("it vibrates", || board.sent().ends_with("Vibrate:10;")).await;
        board.unplug().await;
        listed(&client, 0).await;
    }
    gateway.stop().await;
}

/// Rules of the user's file for addresses hold for boards that were recognised.
#[tokio::test]
async fn a_recognised_board_that_is_denied_stays_out() {
    let home = TempDir::new().unwrap();
    let board = TcodeBoard::plug(&home.path().join("tty"), HUSH);
    let udcf = home.path().join("mine.json");
    let file = json!({
        "version": { "major": 3, "minor": 0 },
        "user-configs": { "devices": [{
            "identifier": { "protocol": "lovense", "identifier": "Z", "address": board.port },
            "config": { "user-config": { "allow": false, "deny": true, "index": 0 } },
        }]},
    });
    std::fs::write(&udcf, file.to_string()).unwrap();
    let args = ["--user-device-config-file", udcf.to_str().unwrap()];
    let (gateway, mut log) = start(&home, &args, &entry(&board.port)).await;
    log.expect(&["denied"]).await;
    board.expect_only_questions();
    gateway.signal(Signal::TERM);
}

#[tokio::test]
async fn a_board_that_says_nothing_is_reported_once_with_all_that_was_tried() {
    let home = TempDir::new().unwrap();
    let board = TcodeBoard::plug(&home.path().join("tty"), MUTE);
    let (gateway, mut log) = start(&home, &[], &entry(&board.port)).await;
    let line = log.expect(&["no hello line within 5 s"]).await;
    for part in [
        "WARN",
        "TCode (D0, D1, D2)",
        "Lovense (DeviceType;)",
        "sent nothing",
    ] {
        assert!(line.contains(part), "{line}");
    }
    board.expect_only_questions();
    for question in ["D0\n", "D1\n", "D2\n", "DeviceType;"] {
        wait_until("it is asked everything", || board.sent().contains(question)).await;
    }
    gateway.signal(Signal::TERM);
}

#[tokio::test]
async fn a_faulty_hello_line_is_reported_even_if_the_board_is_recognised() {
    let home = TempDir::new().unwrap();
    let mut board = Board::plug(&home.path().join("tty"));
    let (gateway, mut log) = start(&home, &[], &entry(&board.port)).await;
    board.expect("\n").await;
    board
        .say("{\"identifier\":\"LVSDevice\",\"version\":\"0\"}\r\n")
        .await;
    board.be_lovense("AABBCCDDEEFF").await;
    let line = log.expect(&["its hello line has a fault"]).await;
    assert!(
        line.contains("\"version\" is a string, not the number 0"),
        "{line}"
    );
    log.expect(&["recognised: Lovense"]).await;
    gateway.signal(Signal::TERM);
}

#[tokio::test]
async fn a_faulty_keepalive_is_named_with_what_holds_instead_and_the_board_connects() {
    for (value, keys, holds) in [
        ("\"200\"", "", "the board gets no keepalive"),
        ("-5", "", "the board gets no keepalive"),
        ("99999", "", "60000 ms hold"),
        ("\"200\"", "keepalive_ms = 250\n", "250 ms hold"),
    ] {
        let home = TempDir::new().unwrap();
        let mut board = Board::plug(&home.path().join("tty"));
        let (gateway, mut log) = start(&home, &[], &(entry(&board.port) + keys)).await;
        board.expect("\n").await;
        let line = format!("{{\"identifier\":\"LVSDevice\",\"version\":0,\"keepalive_ms\":{value}}}\r\n");
        board.say(line).await;
        let line = log.expect(&["\"keepalive_ms\" is"]).await;
        for part in ["WARN", value, "from 20 to 60000", holds] {
            assert!(line.contains(part), "{value}: {line}");
        }
        log.expect(&["device connected"]).await;
        gateway.signal(Signal::TERM);
    }
}

/// Ports by the names of a system that the test made, each with a board behind it.
fn system() -> System {
    let system = System::new();
    system.usb("1-1", "ttyACM0", ARDUINO);
    system.usb("1-2", "ttyUSB0", CH340);
    system.usb("1-3", "ttyUSB1", CH340);
    system
}

#[tokio::test]
async fn any_port_whose_board_identifies_itself_is_bridged_and_no_other_is_held() {
    let system = system();
    system.usb("1-4", "ttyUSB2", CH340);
    let held = system.path("dev/ttyUSB2");
    let sr6 = TcodeBoard::plug(&system.path("dev/ttyACM0"), SR6);
    let mute = TcodeBoard::plug(&system.path("dev/ttyUSB0"), MUTE);
    let named = TcodeBoard::plug(&system.path("dev/ttyUSB1"), HUSH);
    let elsewhere = TcodeBoard::plug(&held, SR6);
    // Another program has this one.
    std::fs::create_dir_all(system.path("proc/812/fd")).unwrap();
    std::fs::write(system.path("proc/812/comm"), "screen\n").unwrap();
    std::os::unix::fs::symlink(held.canonicalize().unwrap(), system.path("proc/812/fd/5")).unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Before the entry that names a port, which has it all the same.
    let toml = format!(
        "[[serial]]\nmatch = \"any\"\n{}identifier = \"Mine\"\naddress = \"bench\"\n",
        entry(&named.port)
    );
    let gateway = Running::start(Settings {
        ports: system.ports(),
        serial: entries(&toml),
        ..relaying(&format!("ws://{}", upstream.local_addr().unwrap()))
    })
    .await;
    let mut identifiers = Vec::new();
    for _ in 0..2 {
        identifiers.push(relayed(&upstream).await["identifier"].clone());
    }
    identifiers.sort_by_key(Value::to_string);
    assert_eq!(identifiers, ["Mine", "tcode"]);
    assert!(sr6.sent().contains("D2\n"));
    // The other one is asked, and let go of.
    wait_until("it is asked", || mute.sent().contains("DeviceType;")).await;
    let node = mute.port.canonicalize().unwrap();
    wait_until("it is free again", || holders(&node) == 1).await;
    mute.expect_only_questions();
    let asked = mute.sent();
    assert_eq!(elsewhere.sent(), "", "a port that somebody has was opened");
    // What is plugged in anew is asked anew.
    mute.unplug().await;
    let back = TcodeBoard::plug(&system.path("dev/ttyUSB0"), OSR2);
    assert_eq!(relayed(&upstream).await["identifier"], "tcode");
    assert!(back.sent().contains("D2\n") && !asked.is_empty());
    gateway.stop().await;
}

/// How many files of this process are this port: the stand-in has one.
fn holders(node: &Path) -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    files
        .filter(|file| std::fs::read_link(file.path()).is_ok_and(|open| open == node))
        .count()
}

#[tokio::test]
async fn ports_are_asked_what_is_behind_them() {
    let system = system();
    let _sr6 = TcodeBoard::plug(&system.path("dev/ttyACM0"), SR6);
    let _mute = TcodeBoard::plug(&system.path("dev/ttyUSB0"), MUTE);
    let mut hello = Board::plug(&system.path("dev/ttyUSB1"));
    let home = TempDir::new().unwrap();
    let root = system.root.path().to_str().unwrap();
    let hello = tokio::spawn(async move {
        let line = "{\"identifier\":\"LVSDevice\",\"address\":\"b\",\"version\":0,\"keepalive_ms\":250}\r\n";
        loop {
            if hello.read_patiently().await.contains(&b'\n') {
                hello.say(line).await;
            }
        }
    });
    let run = async |args: &[&str]| {
        let mut command = command(home.path(), &["ports", "--identify", "--root", root]);
        within("it ends", command.args(args).output()).await.unwrap()
    };
    let output = run(&["--json"]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("restarts many boards"), "{stderr}");
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (sr6, mute, named) = (&rows[0]["board"], &rows[1]["board"], &rows[2]["board"]);
    assert_eq!(sr6["state"], "recognised", "{rows:#}");
    assert_eq!(sr6["protocol"], "tcode-v03");
    assert_eq!(
        (&sr6["identifier"], &sr6["version"]),
        (&json!("tcode"), &json!("TCode v0.3"))
    );
    assert_eq!(sr6["name"], "SR6_Release3.ino");
    assert_eq!(sr6["axes"].as_array().unwrap().len(), 6);
    assert_eq!(
        sr6["axes"][4],
        json!({ "channel": "R1", "name": "Roll", "min": 2000, "max": 8000 })
    );
    assert_eq!(mute["state"], "unknown", "{rows:#}");
    assert_eq!(named["state"], "hello", "{rows:#}");
    assert_eq!(
        (&named["identifier"], &named["keepalive_ms"]),
        (&json!("LVSDevice"), &json!(250))
    );
    let table = String::from_utf8(run(&[]).await.stdout).unwrap();
    for part in [
        "  recognised: TCode v0.3, \"SR6_Release3.ino\", axes L0 \"Up\"",
        "  hello line: LVSDevice, address b, keepalive_ms 250",
        "  unknown: no hello line",
    ] {
        assert!(table.contains(part), "{part:?} in {table}");
    }
    hello.abort();
}

#[tokio::test]
async fn a_port_that_the_gateway_has_is_not_asked() {
    let home = TempDir::new().unwrap();
    let board = TcodeBoard::plug(&home.path().join("tty"), MUTE);
    let (gateway, mut log) = start(&home, &[], &entry(&board.port)).await;
    log.expect(&["no hello line"]).await;
    let config = home.path().join("gateway.toml");
    let mut command = command(home.path(), &["ports", "--identify", "--json", "--config"]);
    let output = within("it ends", command.arg(config).output()).await.unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["entry"] == "serial.0")
        .unwrap();
    let pid = gateway.child.id().unwrap();
    assert_eq!(row["board"]["state"], "not_asked", "{row:#}");
    assert!(
        row["board"]["problem"]
            .as_str()
            .unwrap()
            .contains(&format!("(pid {pid})")),
        "{row:#}"
    );
    gateway.signal(Signal::TERM);
}

#[tokio::test]
async fn a_port_that_is_not_there_is_named_in_the_log_and_in_what_lists_ports() {
    let home = TempDir::new().unwrap();
    let there = TcodeBoard::plug(&home.path().join("tty"), HUSH);
    let toml = format!("[[serial]]\nport = \"COM3\"\n{}", entry(&there.port));
    let (gateway, mut log) = start(&home, &[], &toml).await;
    let line = log.expect(&["serial COM3: not found"]).await;
    assert!(line.contains("WARN") && line.contains("serial.0"), "{line}");
    let config = home.path().join("gateway.toml");
    let config = config.to_str().unwrap();
    let run = async |args: &[&str]| {
        let mut command = command(home.path(), args);
        within("it ends", command.arg("--config").arg(config).output())
            .await
            .unwrap()
            .stdout
    };
    let table = String::from_utf8(run(&["ports"]).await).unwrap();
    let row = table.lines().find(|line| line.starts_with("COM3")).unwrap();
    assert!(row.contains("not there") && row.contains("serial.0"), "{table}");
    let rows: Value = serde_json::from_slice(&run(&["ports", "--json"]).await).unwrap();
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["path"] == "COM3")
        .unwrap();
    assert_eq!(row["access"]["state"], "gone");
    let check = String::from_utf8(run(&["check"]).await).unwrap();
    assert!(check.contains("serial.0  COM3  not there"), "{check}");
    let check: Value = serde_json::from_slice(&run(&["check", "--json"]).await).unwrap();
    assert_eq!(check["serial"][0]["access"]["state"], "gone", "{check:#}");
    assert_ne!(check["serial"][1]["access"]["state"], "gone", "{check:#}");
    gateway.signal(Signal::TERM);
    let reported = log.seen.len();
    let rest = &log.rest().await[reported..];
    assert!(
        !rest.iter().any(|line| line.contains("not found")),
        "once: {rest:#?}"
    );
}

#[test]
fn any_is_a_word_beside_the_tables_of_match() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    for (toml, key, wanted) in [
        ("[[serial]]\nmatch = \"all\"", "serial.0.match", "is not \"any\""),
        ("[[serial]]\nmatch = 3", "serial.0.match", "is not \"any\""),
        (
            "[[serial]]\nport = \"a\"\nmatch = \"any\"",
            "serial.0.port",
            "beside match",
        ),
        (
            "[[serial]]\nmatch = \"any\"\n[[serial]]\nmatch = \"any\"",
            "serial.1",
            "the same port as serial.0",
        ),
    ] {
        std::fs::write(&file, toml).unwrap();
        let problems = Loaded::load(Some(&file), Layers::default()).expect_err(toml).0;
        let named = problems
            .iter()
            .any(|p| p.key == key && p.problem.contains(wanted));
        assert!(named, "{toml}: {problems:?}");
    }
}
