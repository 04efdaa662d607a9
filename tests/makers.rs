//! A maker's board as it is, two lines of configuration, and any app: every axis moves.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::path::{Path, PathBuf};

use common::json_client::JsonClient;
use common::pty::Board;
use common::tcode_board::{Model, OSR2, SR6, TcodeBoard};
use common::{Running, settings, wait_until, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio_serial::SerialPortBuilderExt;
use wsdm_gateway::config::{Layers, Loaded, Settings};

/// A gateway with a file of these two lines.
async fn configured(folder: &TempDir, lines: &str) -> Running {
    assert_eq!(lines.lines().count(), 2);
    configured_with(folder, lines).await
}

async fn configured_with(folder: &TempDir, lines: &str) -> Running {
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, lines).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).expect("a configuration that holds");
    Running::start(Settings {
        serial: loaded.settings.serial,
        dial: loaded.settings.dial,
        ..settings()
    })
    .await
}

/// A wire behind a TCP port, as on boards that listen: what comes in goes to the wire, and back.
async fn behind_tcp(port: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let path = port.to_str().unwrap();
            let mut wire = tokio_serial::new(path, 115_200).open_native_async().unwrap();
            // Ends with the connection.
            let _ = copy_bidirectional(&mut stream, &mut wire).await;
        }
    });
    url
}

async fn listed(app: &mut JsonClient) -> Value {
    let index = app.first_device().await;
    let list = app.call("RequestDeviceList", json!({})).await;
    list["DeviceList"]["Devices"][index.to_string()].clone()
}

/// Moves every feature to its end, and returns the axis that moved for each.
async fn moved(app: &mut JsonClient, board: &TcodeBoard, device: &Value) -> Vec<String> {
    let mut axes = Vec::new();
    for feature in device["DeviceFeatures"].as_object().unwrap().values() {
        let before = board.sent().len();
        let output = &feature["Output"]["HwPositionWithDuration"];
        let end = output["Value"][1].clone();
        let command = json!({
            "DeviceIndex": device["DeviceIndex"],
            "FeatureIndex": feature["FeatureIndex"],
            "Command": { "HwPositionWithDuration": { "Value": end, "Duration": 200 } },
        });
        let reply = app.call("OutputCmd", command).await;
        assert!(reply["Ok"].is_object(), "{feature}: {reply}");
        wait_until("the board moves", || board.sent()[before..].contains("I200\n")).await;
        // A slow line may still carry the stop with which the session began.
        let sent = board.sent()[before..].to_owned();
        let moves: Vec<&str> = sent.lines().filter(|line| line.ends_with("I200")).collect();
        axes.push(moves.join(" "));
    }
    axes
}

const SR6_AT_ITS_ENDS: [&str; 6] = [
    "L09999I200",
    "L19999I200",
    "L29999I200",
    "R09999I200",
    "R18000I200",
    "R29999I200",
];

#[tokio::test]
async fn an_unconfigured_board_with_six_axes_has_six_moving_features() {
    for over_tcp in [false, true] {
        let folder = TempDir::new().unwrap();
        let board = plugged(&folder, SR6);
        let lines = if over_tcp {
            format!("[[dial]]\nurl = {:?}\n", behind_tcp(board.port.clone()).await)
        } else {
            serial(&board.port)
        };
        let gateway = configured(&folder, &lines).await;
        let mut app = JsonClient::connect(&gateway.clients(), 4).await;
        let device = listed(&mut app).await;
        board.expect_only_questions();
        assert_eq!(device["DeviceName"], "SR6_Release3.ino", "{device}");
        assert_eq!(moved(&mut app, &board, &device).await, SR6_AT_ITS_ENDS, "{lines}");
        app.goodbye().await;
        wait_until("it is stopped", || board.sent().trim_end().ends_with("DSTOP")).await;
        gateway.stop().await;
    }
}

/// Apps of version 3 name no axis: they count linear ones.
#[tokio::test]
async fn an_older_app_moves_the_same_axes() {
    for (model, wanted) in [
        (OSR2, &["L05000I200", "R05000I200"][..]),
        (
            SR6,
            &[
                "L05000I200",
                "L15000I200",
                "L25000I200",
                "R05000I200",
                "R15000I200",
                "R25000I200",
            ],
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let board = plugged(&folder, model);
        let gateway = configured(&folder, &serial(&board.port)).await;
        // Waits until it is listed.
        JsonClient::connect(&gateway.clients(), 4)
            .await
            .first_device()
            .await;
        let mut app = JsonClient::connect(&gateway.clients(), 3).await;
        for (index, wanted) in wanted.iter().enumerate() {
            let vectors = json!([{ "Index": index, "Duration": 200, "Position": 0.5 }]);
            let reply = app
                .call("LinearCmd", json!({ "DeviceIndex": 0, "Vectors": vectors }))
                .await;
            assert!(reply["Ok"].is_object(), "{reply}");
            within(wanted, async {
                wait_until(wanted, || board.sent().contains(&format!("{wanted}\n"))).await;
            })
            .await;
        }
        gateway.stop().await;
    }
}

fn plugged(folder: &TempDir, model: Model) -> TcodeBoard {
    TcodeBoard::plug(&folder.path().join("tty"), model)
}

fn serial(port: &Path) -> String {
    format!("[[serial]]\nport = {:?}\n", port.to_str().unwrap())
}

/// To recognise a board takes seconds. What the gateway left running behind this port does not run on meanwhile.
#[tokio::test]
async fn a_board_that_was_cut_off_is_stopped_before_it_is_asked_who_it_is() {
    let folder = TempDir::new().unwrap();
    let board = plugged(&folder, SR6);
    let gateway = configured(&folder, &serial(&board.port)).await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let device = listed(&mut app).await;
    moved(&mut app, &board, &device).await;
    board.unplug().await;
    while !app.device_indexes().await.is_empty() {
        app.event("DeviceList").await;
    }
    let board = plugged(&folder, SR6);
    wait_until("it is stopped", || board.sent().contains("DSTOP\n")).await;
    assert!(board.sent().starts_with("DSTOP\n"), "{:?}", board.sent());
    // And the gateway may stop before it knows who it is.
    gateway.stop().await;
    board.expect_only_questions();
}

/// The same where its entry says how its frames are cut: the stop is cut in that way too.
#[tokio::test]
async fn a_board_that_was_cut_off_is_stopped_at_once_in_the_framing_of_its_entry() {
    for (framing, stop, moves) in [
        ("{ delimiter = \"\\n\" }", &b"DSTOP\n"[..], &b"I5000\n"[..]),
        ("{ raw = true }", b"DSTOP\n", b"I5000\n"),
        (
            "{ length_prefix = 2, length_order = \"little\" }",
            b"\x06\0DSTOP\n",
            b"I5000\n",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let port = folder.path().join("tty");
        let entry = format!("{}framing = {framing}\n", serial(&port));
        let mut board = Board::plug(&port);
        let hello = "{\"identifier\":\"TCodeDevice\",\"address\":\"bench\",\"version\":0}\n";
        board.say(hello).await;
        let gateway = configured_with(&folder, &entry).await;
        let mut app = JsonClient::connect(&gateway.clients(), 4).await;
        let index = app.first_device().await;
        let command = json!({ "HwPositionWithDuration": { "Value": 900, "Duration": 5_000 } });
        let command = json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": command });
        app.call("OutputCmd", command).await;
        let mut sent = Vec::new();
        while !sent.ends_with(moves) {
            sent.extend(board.read().await);
        }
        drop(board);
        while !app.device_indexes().await.is_empty() {
            app.event("DeviceList").await;
        }
        let mut board = Board::plug(&port);
        let first = board.bytes(stop.len()).await;
        assert_eq!(first, stop, "{framing}: {:?}", String::from_utf8_lossy(&first));
        gateway.stop().await;
    }
}
