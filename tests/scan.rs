//! `scan`: what is near, and what one peripheral has; on a fake BlueZ.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::process::Output;

use common::bluetooth::Gateway;
use common::bluez::{Bluez, NUS, NUS_NOTIFY, NUS_WRITE, Peripheral};
use common::process::command;
use common::{client, listed, within};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

const ADDRESS: &str = "C0:FF:EE:00:00:01";
const BATTERY: &str = "0000180f-0000-1000-8000-00805f9b34fb";
const LEVEL: &str = "00002a19-0000-1000-8000-00805f9b34fb";
const ENTRY: &str = "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\nidentifier = \"TCodeDevice\"\n";

fn scan(bluez: &Bluez, home: &TempDir, args: &[&str]) -> tokio::process::Command {
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, ENTRY).unwrap();
    let mut command = command(home.path(), &["scan"]);
    command
        .args(args)
        .arg("--config")
        .arg(file)
        .env("DBUS_SYSTEM_BUS_ADDRESS", bluez.bus_address());
    command
}

/// Its output, once it has ended.
async fn scanned(bluez: &Bluez, args: &[&str]) -> (Option<i32>, String, String) {
    let home = TempDir::new().unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = within("it ends", scan(bluez, &home, args).output())
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn what_is_near_is_listed_as_it_appears_with_what_fits_it() {
    let bluez = Bluez::start();
    let home = TempDir::new().unwrap();
    let mut child = scan(&bluez, &home, &["--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = within("a line", lines.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let data = Peripheral::nus(ADDRESS, "DIY-1").manufacturer_data(0x5d, &[1, 255]);
    let board = bluez.plug(data.rssi(-63));
    board.advertise_nameless();
    let come = next().await;
    assert_eq!(come["event"], "come");
    assert_eq!(come["address"], ADDRESS);
    assert_eq!(come["name"], Value::Null);
    assert_eq!(come["entry"], Value::Null);
    assert_eq!(come["services"][0]["name"], "Nordic UART");
    assert_eq!(come["profiles"][0], "nus");
    assert_eq!(come["manufacturer_data"]["005d"], "01ff");
    assert!((-64..=-62).contains(&come["rssi"].as_i64().unwrap()), "{come}");
    board.set_name(Some("DIY-1"));
    let change = next().await;
    assert_eq!(change["event"], "change");
    assert_eq!(change["name"], "DIY-1");
    assert_eq!(change["entry"], "ble.0");
    let stranger = bluez.plug(Peripheral::hm10("C0:FF:EE:00:00:02", "evil\u{1b}[2J").rssi(-90));
    stranger.advertise();
    let come = next().await;
    assert_eq!(come["name"], "evil\u{1b}[2J");
    child.kill().await.unwrap();
    // What it asked of the radio ends with it.
    within("it does not scan any more", bluez.wait_discovering(false)).await;
}

#[tokio::test]
async fn lines_for_people_move_no_cursor_and_it_ends_when_it_is_told_to() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-\u{1b}[2J"));
    board.advertise();
    let (code, stdout, stderr) = scanned(&bluez, &["--for", "1500ms"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    for part in [
        " + C0:FF:EE:00:00:01",
        "DIY-\\u{1b}[2J",
        "dBm",
        "Nordic UART",
        "profile nus",
        "taken by ble.0",
    ] {
        assert!(stdout.contains(part), "{part:?} in {stdout:?}");
    }
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
    within("it does not scan any more", bluez.wait_discovering(false)).await;
    board.silence();
    board.forget();
    let (code, stdout, stderr) = scanned(&bluez, &["--for", "300ms"]).await;
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    assert!(stderr.contains("nothing was seen"), "{stderr}");
}

#[tokio::test]
async fn a_look_into_a_peripheral_shows_what_it_has_and_what_it_says() {
    let bluez = Bluez::start();
    let home = TempDir::new().unwrap();
    let board = bluez.plug(
        Peripheral::nus(ADDRESS, "DIY-1")
            .mtu(100)
            .service(BATTERY, &[(LEVEL, &["read", "notify"])]),
    );
    board.advertise();
    let mut child = scan(&bluez, &home, &["--connect", "c0:ff:ee:00:00:01"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || within("a line", lines.next_line()).await.unwrap().unwrap();
    let mut shown = Vec::new();
    while !shown
        .last()
        .is_some_and(|line: &String| line.starts_with("listening to 2 of"))
    {
        shown.push(next().await);
    }
    let text = shown.join("\n");
    let write = format!("  {NUS_WRITE}  write, write without response");
    for part in [
        "C0:FF:EE:00:00:01 \"DIY-1\", MTU 100",
        &format!("service {NUS} Nordic UART  (profile nus or lovense)"),
        &write,
        "service 180f Battery",
        "  2a19  read, notify  = ",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(board.notify_on(NUS_NOTIFY, "Z:11:\u{7};"));
    let line = next().await;
    assert!(
        line.ends_with(&format!("{NUS_NOTIFY} <- 5a 3a 31 31 3a 07 3b")),
        "{line}"
    );
    assert!(board.notify_on(LEVEL, [85]));
    let line = next().await;
    assert!(line.ends_with("2a19 <- 55  (85)"), "{line}");
    board.drop_link();
    let code = within("it ends", child.wait()).await.unwrap().code();
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn boards_are_asked_what_they_are_one_after_the_other() {
    let bluez = Bluez::start();
    let answering = |address: &str, name: &str, answers: &'static [(&[u8], &[&str])]| {
        let board = bluez.plug(Peripheral::nus(address, name));
        board.on_write(move |bytes| {
            let known = answers.iter().find(|(question, _)| *question == bytes);
            let answers = known.map_or(&[][..], |(_, answers)| *answers);
            answers.iter().map(|answer| answer.as_bytes().to_vec()).collect()
        });
        board.advertise();
        board
    };
    let sr6 = answering(
        ADDRESS,
        "DIY-sr6",
        &[
            (b"D0\n", &["SR6\r\n"]),
            (b"D1\n", &["TCode v0.3\r\n"]),
            (b"D2\n", &["L0 0 9999 Up\r\nR", "0 0 9999 Twist\r\n"]),
        ],
    );
    // No entry takes it, and no newline ends its line.
    let hello = answering(
        "C0:FF:EE:00:00:02",
        "other",
        &[(b"\n", &["{\"identifier\":\"LVSDevice\",\"version\":0}"])],
    );
    let stranger = bluez.plug(Peripheral::hm10("C0:FF:EE:00:00:03", "HMSoft"));
    stranger.advertise();
    let (code, stdout, stderr) = scanned(&bluez, &["--identify", "--json", "--for", "1s"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{stdout}");
    let of = |address: &str| lines.iter().find(|line| line["address"] == address).unwrap();
    let (board, entry) = (&of(ADDRESS)["board"], &of(ADDRESS)["entry"]);
    assert_eq!(
        (board["state"].as_str(), entry.as_str()),
        (Some("recognised"), Some("ble.0"))
    );
    assert_eq!(
        (board["name"].as_str(), board["version"].as_str()),
        (Some("SR6"), Some("TCode v0.3"))
    );
    assert_eq!(board["axes"][1]["channel"], "R0");
    let other = &of("C0:FF:EE:00:00:02")["board"];
    assert_eq!(other["state"], "hello", "{other}");
    assert_eq!(
        (&other["identifier"], &other["fault"]),
        (&Value::from("LVSDevice"), &Value::Null)
    );
    for board in [&sr6, &hello] {
        within("it is let go", board.wait_connected(false)).await;
    }
    let (_, stdout, _) = scanned(&bluez, &["--identify", "--for", "1s"]).await;
    assert!(
        stdout.contains("\"DIY-sr6\"  recognised: TCode v0.3, \"SR6\", axes L0 \"Up\""),
        "{stdout}"
    );
}

#[tokio::test]
async fn a_look_ends_with_the_connection_unless_the_gateway_has_it() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-1"));
    board.advertise();
    let look = ["--connect", ADDRESS, "--for", "1s", "--json"];
    let (code, stdout, stderr) = scanned(&bluez, &look).await;
    assert_eq!(code, Some(0), "{stderr}");
    let tree: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!(tree["event"], "connected");
    assert_eq!(tree["services"][0]["profiles"][0], "nus");
    within("it is let go", board.wait_connected(false)).await;
    let gateway = Gateway::start(&bluez, ENTRY).await;
    let client = client(&gateway.process.clients, "driver").await;
    listed(&client, 1).await;
    let (code, _, stderr) = scanned(&bluez, &look).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("connected already"), "{stderr}");
    assert!(board.connected());
    assert_eq!(client.devices().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_to_do() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-1"));
    board.refuse_connects(common::bluez::ALWAYS);
    board.advertise();
    let failing = async |args: &[&str]| {
        let (code, stdout, stderr) = scanned(&bluez, args).await;
        assert_eq!(stdout, "");
        (code.unwrap(), stderr)
    };
    for (args, code, text) in [
        (
            &["--connect", "11:22:33:44:55:66", "--for", "300ms"][..],
            1,
            "was not seen",
        ),
        (&["--connect", ADDRESS], 1, "connecting failed"),
        (&["--connect", "DIY-1"], 2, "is not an address"),
        (&["--for", "soon"], 2, "there is no unit"),
    ] {
        let (got, stderr) = failing(args).await;
        assert_eq!(got, code, "{stderr}");
        assert!(stderr.contains(text), "{text:?} in {stderr}");
    }
    let home = TempDir::new().unwrap();
    let mut command = scan(&bluez, &home, &["--for", "300ms"]);
    std::fs::write(home.path().join("gateway.toml"), "[[ble]]\nname = \"DIY-1\"\n").unwrap();
    let output = within("it ends", command.output()).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "an unfinished entry is why it is asked: {stderr}"
    );
    assert!(stderr.contains("how to speak with it"), "{stderr}");
    bluez.block("hci0", true);
    let (code, stderr) = failing(&[]).await;
    assert_eq!(code, 1);
    assert!(
        stderr.contains("hci0 is blocked") && stderr.contains("rfkill"),
        "{stderr}"
    );
    bluez.kill_bus();
    let (code, stderr) = failing(&[]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("message bus"), "{stderr}");
}
