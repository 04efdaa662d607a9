//! Lovense sketches as people write them: they answer late, print lines, leave semicolons out, and answer `OK;` to
//! everything. They stay who they are, and their batteries can be read.
#![cfg(unix)]

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use buttplug_client::ButtplugClient;
use buttplug_core::message::OutputType;
use common::log::Log;
use common::process::Process;
use common::pty::Board;
use common::{RawDevice, Running, client, listed, settings, vibrate, within};
use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use wsdm_gateway::config::{Layers, Loaded, Settings};

/// What a sketch sends for a command: nothing, or one or several frames.
type Answer = fn(&str) -> Vec<String>;

/// A device with two motors that acknowledges each command, as many sketches do.
fn edge(command: &str) -> Vec<String> {
    let answer = match command {
        "DeviceType;" => "P:37:AABBCCDDEEFF;",
        "Battery;" => "90;",
        _ => "OK;",
    };
    vec![answer.to_owned()]
}

/// A websocket device that answers after `delay`, until it is aborted: then its connection breaks without a Close frame.
async fn sketch(url: &str, address: &str, delay: Duration, answer: Answer) -> JoinHandle<()> {
    let mut device = RawDevice::hello(url, "LVSDevice", address).await;
    tokio::spawn(async move {
        let mut due: VecDeque<(Instant, String)> = VecDeque::new();
        loop {
            let next = due.front().map(|(at, _)| *at);
            tokio::select! {
                message = device.ws.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let text = String::from_utf8_lossy(&bytes);
                        for command in text.split_inclusive(';') {
                            due.extend(answer(command).into_iter().map(|text| (Instant::now() + delay, text)));
                        }
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if let Some((_, text)) = due.pop_front()
                        && device.ws.send(Message::binary(text)).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
    })
}

/// The only device as apps see it: its index, its name, and its outputs.
fn identity(app: &ButtplugClient) -> (u32, String, usize) {
    let device = app.devices().into_values().next().expect("a device");
    let outputs = device.device_features().values();
    let outputs = outputs.filter(|feature| feature.feature().get_output(OutputType::Vibrate).is_some());
    (device.index(), device.name().clone(), outputs.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_answers_late_is_the_same_after_its_connection_broke() {
    let delays = [50, 250, 500, 1_000, 1_500].map(Duration::from_millis);
    // All start first: each start blocks this thread while it reads the server's own devices.
    let mut gateways = Vec::new();
    for _ in delays {
        gateways.push(Running::start(settings()).await);
    }
    join_all(
        delays
            .into_iter()
            .zip(gateways)
            .map(|(delay, gateway)| async move {
                let app = client(&gateway.clients(), "app").await;
                let first = sketch(&gateway.devices(), "late-1", delay, edge).await;
                listed(&app, 1).await;
                let before = identity(&app);
                assert_eq!(
                    (before.1.as_str(), before.2),
                    ("Lovense Edge", 2),
                    "after {delay:?}"
                );
                assert_eq!(battery(&app).await, Ok(90), "after {delay:?}");
                vibrate(&app, 1.0).await;
                // It goes while a motor is on: it is stopped first when it comes back, and acknowledges that, late.
                first.abort();
                listed(&app, 0).await;
                let second = sketch(&gateway.devices(), "late-1", delay, edge).await;
                listed(&app, 1).await;
                assert_eq!(identity(&app), before, "after {delay:?}");
                second.abort();
                gateway.stop().await;
            }),
    )
    .await;
}

async fn battery(app: &ButtplugClient) -> Result<u32, String> {
    let device = app.devices().into_values().next().expect("a device");
    let level = within("the battery", device.battery()).await;
    level.map_err(|e| e.to_string())
}

#[tokio::test]
async fn lines_and_missing_semicolons_are_understood() {
    let printed: Answer = |command| edge(command).into_iter().map(|text| text + "\r\n").collect();
    let apart: Answer = |command| {
        let answers = edge(command).into_iter();
        answers.flat_map(|text| [text, "\r\n".to_owned()]).collect()
    };
    let bare: Answer = |command| {
        let answers = edge(command).into_iter();
        answers
            .map(|text| text.trim_end_matches(';').to_owned())
            .collect()
    };
    let full: Answer = |command| match command {
        "Battery;" => vec!["100".to_owned()],
        other => edge(other),
    };
    let at_once: Answer = |command| match command {
        "DeviceType;" => vec!["OK;P:37:AABBCCDDEEFF;".to_owned()],
        "Battery;" => vec!["OK;90;".to_owned()],
        _ => vec!["OK;".to_owned()],
    };
    for (name, answer, level) in [
        ("println", printed, 90),
        ("a line's end of its own", apart, 90),
        ("no semicolon", bare, 90),
        ("100 without a semicolon", full, 100),
        ("two answers in a frame", at_once, 90),
    ] {
        let gateway = Running::start(settings()).await;
        let app = client(&gateway.clients(), "app").await;
        let device = sketch(&gateway.devices(), "prints", Duration::ZERO, answer).await;
        listed(&app, 1).await;
        assert_eq!(identity(&app).1, "Lovense Edge", "{name}");
        vibrate(&app, 0.5).await;
        assert_eq!(battery(&app).await, Ok(level), "{name}");
        assert_eq!(battery(&app).await, Ok(level), "{name}, again");
        device.abort();
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_board_on_a_wire_may_print_lines() {
    let folder = TempDir::new().expect("a directory");
    let mut board = Board::plug(&folder.path().join("tty"));
    let file = folder.path().join("gateway.toml");
    let entry = format!(
        "[[serial]]\nport = {:?}\nidentifier = \"LVSDevice\"\naddress = \"bench\"\n",
        board.port.to_str().expect("a path")
    );
    std::fs::write(&file, entry).expect("a file");
    let loaded = Loaded::load(Some(&file), Layers::default()).expect("a configuration that holds");
    let gateway = Running::start(Settings {
        serial: loaded.settings.serial,
        ..settings()
    })
    .await;
    let app = client(&gateway.clients(), "app").await;
    board.expect("DeviceType;").await;
    board.say("OK;\r\nP:37:AABBCCDDEEFF;\r\n").await;
    listed(&app, 1).await;
    assert_eq!(identity(&app).1, "Lovense Edge");
    for level in [90, 100] {
        let device = app.devices().into_values().next().expect("a device");
        let asked = tokio::spawn(device.battery());
        board.expect("Battery;").await;
        board.say(format!("{level};\r\n")).await;
        let read = within("the battery", asked).await.expect("no panic");
        assert_eq!(read.expect("a level"), level);
    }
    // It is pulled out while a motor is on. Its sketch sets up slowly and answers everything that has come by then:
    // the stop first, and the first question only when another one has been asked.
    let before = identity(&app);
    vibrate(&app, 1.0).await;
    let port = board.port.clone();
    drop(board);
    listed(&app, 0).await;
    let mut board = Board::plug(&port);
    board.expect(":0;").await;
    board.expect("DeviceType;").await;
    board.say("OK;\r\nOK;\r\n").await;
    board.expect("DeviceType;").await;
    board.say("P:37:AABBCCDDEEFF;\r\n").await;
    listed(&app, 1).await;
    assert_eq!(identity(&app), before);
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_in_the_log_with_what_was_expected() {
    let home = TempDir::new().expect("a directory");
    let mut gateway = Process::start(home.path(), &[]).await;
    let mut log = Log::of(&mut gateway.child);
    let app = client(&gateway.clients, "app").await;
    let wrong: Answer = |command| match command {
        "DeviceType;" => vec!["My Hush\n".to_owned()],
        "Battery;" => vec!["90%;".to_owned()],
        _ => Vec::new(),
    };
    let _device = sketch(&gateway.devices, "wrong-1", Duration::ZERO, wrong).await;
    log.expect(&[
        "WARN",
        "DeviceType;",
        "\"My Hush\"",
        "Z:11:AABBCCDDEEFF;",
        "wrong-1",
    ])
    .await;
    listed(&app, 1).await;
    assert_eq!(identity(&app).1, "Lovense Device");
    for _ in 0..2 {
        battery(&app).await.expect_err("not a level");
    }
    log.expect(&["WARN", "Battery;", "\"90%\"", "0 to 100", "wrong-1"])
        .await;
    gateway.signal(Signal::TERM);
    let reported = log.seen.len();
    let rest = &log.rest().await[reported..];
    assert!(
        !rest.iter().any(|line| line.contains("90%")),
        "once for a device: {rest:#?}"
    );
}
