//! A board by what its gateway calls it.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::process::Child;
use tokio_tungstenite::{MaybeTlsStream, client_async};

use super::bench::Bench;
use super::board::{Board, MOVED_TO, Trial};
use super::common::ended::{end, rest};
use super::common::log::Log;
use super::common::process::{Process, command};
use super::common::{RawDevice, handshake, within};

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

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_program_finds_the_images_where_they_are_made() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Passes));
    // Away from the images of a developer.
    let program = bench.home.path().join("wsdm-gateway");
    let built = env!("CARGO_BIN_EXE_wsdm-gateway");
    std::fs::hard_link(built, &program)
        .or_else(|_| std::fs::copy(built, &program).map(drop))
        .unwrap();
    let project = bench.home.path().join("project");
    let made = project.join("target/firmware");
    std::fs::create_dir_all(&made).unwrap();
    std::fs::rename(&bench.images, made.join("images")).unwrap();
    let mut ota = tokio::process::Command::new(&program);
    ota.args(["ota", &board.at.to_string(), "--password-file"])
        .arg(&bench.password)
        .env_remove("WSDM_GATEWAY_IMAGES")
        .stdin(std::process::Stdio::null());
    let ended = end(ota.current_dir(&project)).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(board.holds(&bench.app()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_named_and_does_not_answer_is_named() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Passes));
    let port = board.at.port().to_string();
    let nowhere = bench.home.path().join("nowhere.sock");
    let nowhere = nowhere.to_str().unwrap();
    let ended = end(&mut bench.ota("my board", &["--control", nowhere])).await;
    ended.failed(
        1,
        &[
            &format!("no gateway answers on {nowhere}: "),
            "nothing is changed",
        ],
    );
    // A host needs none.
    let ended = end(&mut bench.ota("localhost", &["--port", &port, "--control", nowhere])).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

/// A device whose connection comes from this address.
async fn device_from(ip: Ipv4Addr, gateway: &Process, address: &str) -> RawDevice {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((ip, 0).into()).unwrap();
    let at = gateway.devices.trim_start_matches("ws://").parse().unwrap();
    let stream = MaybeTlsStream::Plain(within("the connection", socket.connect(at)).await.unwrap());
    let (ws, _) = within("the websocket", client_async(&*gateway.devices, stream))
        .await
        .unwrap();
    let mut device = RawDevice { ws };
    device.text(&handshake("LVSDevice", address)).await;
    device.expect("DeviceType;").await;
    device.binary(format!("Z:11:{address};").as_bytes()).await;
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_has_another_address_since_its_restart_is_found_through_its_gateway() {
    const ADDRESS: &str = "a0b1c2d3e4f5";
    let (bench, board) = (Bench::new(), Board::start(Trial::Moves));
    let home = bench.home.path();
    let gateway = Process::start(home, &[]).await;
    let before = device_from(Ipv4Addr::LOCALHOST, &gateway, ADDRESS).await;
    listed(home, &[(ADDRESS, "ready")]).await;
    let port = board.at.port();
    let mut child = bench
        .ota(ADDRESS, &["--port", &port.to_string()])
        .spawn()
        .unwrap();
    let mut log = Log::of(&mut child);
    log.expect(&["the image is on the board and verified"]).await;
    drop(before);
    let _after = device_from(MOVED_TO, &gateway, ADDRESS).await;
    let ended = rest(child, log).await;
    let there =
        format!("the board is there: LVSDevice {ADDRESS} at {MOVED_TO}:{port}, it runs 0.2.0 and keeps it\n");
    assert_eq!((ended.code, &ended.stdout), (Some(0), &there), "{ended:#?}");
}
