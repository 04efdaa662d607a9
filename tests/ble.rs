//! Boards on Bluetooth LE: found, connected, introduced, driven, lost and found again; on a fake BlueZ.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::bluetooth::{Gateway, be_lovense, expect, written};
use common::bluez::{ALWAYS, Bluez, Peripheral};
use common::{client, listed, vibrate, wait_until, within};

const ADDRESS: &str = "C0:FF:EE:00:00:01";
const LOVENSE: &str = "[[ble]]\nname = \"LVS-*\"\nprofile = \"lovense\"\nidentifier = \"LVSDevice\"\n";
const TCODE: &str = "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\nidentifier = \"TCodeDevice\"\n";
/// A service of Lovense toys, where they are written to, and where they speak.
const LOVENSE_SERVICE: [&str; 3] = [
    "53300001-0023-4bd4-bbd5-a6920e4c5653",
    "53300002-0023-4bd4-bbd5-a6920e4c5653",
    "53300003-0023-4bd4-bbd5-a6920e4c5653",
];

fn lovense(address: &str) -> Peripheral {
    let [service, write, notify] = LOVENSE_SERVICE;
    Peripheral::new(address)
        .name("LVS-Hush41")
        .advertises(service)
        .service(
            service,
            &[
                (write, &["write", "write-without-response"]),
                (notify, &["notify"]),
            ],
        )
}

async fn driver(gateway: &Gateway) -> ButtplugClient {
    client(&gateway.process.clients, "driver").await
}

async fn stroke(client: &ButtplugClient, to: f64) {
    let device = client.devices().into_values().next().unwrap();
    let command = ClientDeviceOutputCommand::HwPositionWithDuration(to.into(), 500);
    within("a stroke", device.run_output(&command)).await.unwrap();
}

#[tokio::test]
async fn a_stroker_over_nordic_uart_is_seen_driven_lost_and_back() {
    let bluez = Bluez::start();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-stroker"));
    let start = Instant::now();
    board.advertise();
    listed(&client, 1).await;
    println!("listed {:?} after its first advertisement", start.elapsed());
    stroke(&client, 0.5).await;
    assert!(written(&board).await.starts_with("L0"));
    board.drop_link();
    listed(&client, 0).await;
    listed(&client, 1).await;
    // The stroke may have been under way when it went.
    expect(&board, "DSTOP\n").await;
    stroke(&client, 0.2).await;
    assert!(written(&board).await.starts_with("L0"));
    gateway.stop().await;
    expect(&board, "DSTOP\n").await;
    within("it is let go", board.wait_connected(false)).await;
}

#[tokio::test]
async fn a_lovense_toy_is_seen_driven_asked_lost_and_back() {
    let bluez = Bluez::start();
    let board = bluez.plug(lovense(ADDRESS));
    be_lovense(&board);
    board.advertise();
    let gateway = Gateway::start(&bluez, LOVENSE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    let hush = client.devices().into_values().next().unwrap();
    assert_eq!(hush.name(), "Lovense Hush");
    vibrate(&client, 0.5).await;
    expect(&board, "Vibrate:10;").await;
    assert_eq!(within("the battery", hush.battery()).await.unwrap(), 85);
    board.drop_link();
    listed(&client, 0).await;
    listed(&client, 1).await;
    let back = client.devices().into_values().next().unwrap();
    assert_eq!(back.index(), hush.index());
    gateway.stop().await;
    expect(&board, "Vibrate:0;").await;
    assert_eq!(board.overlapping_writes(), 0);
}
