//! A board by what its gateway calls it.

use std::path::Path;

use serde_json::Value;
use tokio::process::Child;

use super::bench::Bench;
use super::board::{Board, Trial};
use super::common::ended::end;
use super::common::process::{Process, command};
use super::common::within;

/// The device that a board is, beside its port for updates.
fn device(home: &Path, gateway: &Process, address: &str) -> Child {
    let mut device = command(
        home,
        &["simulate", "lovense", "--plain", "--url", &gateway.devices],
    );
    device.args(["--address", address]).spawn().unwrap()
}

/// Waits until the gateway has these devices in these states, by address.
async fn listed(home: &Path, wanted: &[(&str, &str)]) {
    within("the devices", async {
        loop {
            let listed = end(&mut command(home, &["devices", "--json"])).await;
            let devices: Value = serde_json::from_str(&listed.stdout).unwrap();
            let devices = devices.as_array().unwrap().iter();
            let states: Vec<_> = devices
                .map(|device| {
                    (
                        device["address"].as_str().unwrap(),
                        device["state"].as_str().unwrap(),
                    )
                })
                .collect();
            if states == wanted {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_is_found_by_its_address_its_index_and_its_identifier() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Passes));
    let home = bench.home.path();
    let gateway = Process::start(home, &[]).await;
    let mut first = device(home, &gateway, "a0b1c2d3e4f5");
    listed(home, &[("a0b1c2d3e4f5", "ready")]).await;
    let port = board.at.port().to_string();
    let there = format!(
        "the board is there: LVSDevice a0b1c2d3e4f5 at {}, it runs 0.2.0 and keeps it\n",
        board.at
    );
    for name in ["A0B1C2D3E4F5", "0", "LVSDevice", "Lovense Hush"] {
        let ended = end(&mut bench.ota(name, &["--port", &port])).await;
        assert_eq!(
            (ended.code, &ended.stdout),
            (Some(0), &there),
            "{name}: {ended:#?}"
        );
    }

    let _second = device(home, &gateway, "a0b1c2d3e4f6");
    listed(home, &[("a0b1c2d3e4f5", "ready"), ("a0b1c2d3e4f6", "ready")]).await;
    let ended = end(&mut bench.ota("LVSDevice", &["--port", &port])).await;
    ended.failed(
        2,
        &[
            "several boards are LVSDevice: LVSDevice a0b1c2d3e4f5, LVSDevice a0b1c2d3e4f6; nothing is changed",
            "name one by its address",
        ],
    );
    let ended = end(&mut bench.ota("a0b1.invalid", &["--port", &port])).await;
    ended.failed(
        2,
        &[
            "no board a0b1.invalid: no gateway here has it, and no host has this name; connected: LVSDevice \
             a0b1c2d3e4f5, LVSDevice a0b1c2d3e4f6; nothing is changed",
            "wsdm-gateway devices",
        ],
    );

    first.kill().await.unwrap();
    listed(home, &[("a0b1c2d3e4f5", "gone"), ("a0b1c2d3e4f6", "ready")]).await;
    let ended = end(&mut bench.ota("a0b1c2d3e4f5", &["--port", &port])).await;
    ended.failed(
        1,
        &[
            "the board LVSDevice a0b1c2d3e4f5 is not connected to its gateway; nothing is changed",
            "name it by its network address, last 127.0.0.1",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_a_name_is_that_of_a_host() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Passes));
    let port = board.at.port().to_string();
    let ended = end(&mut bench.ota("localhost", &["--port", &port])).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let with_port = format!("localhost:{port}");
    let ended = end(&mut bench.ota(&with_port, &[])).await;
    assert!(
        ended.stdout.contains(&format!("localhost at {}", board.at)),
        "{ended:#?}"
    );
    let ended = end(&mut bench.ota("my board", &[])).await;
    ended.failed(2, &["no board my board: ", "no board is connected to one"]);
    let ended = end(&mut bench.ota("board.invalid:3232", &[])).await;
    ended.failed(1, &["the host board.invalid is not found", "network address"]);
}
