//! The example of a board on Bluetooth LE, by its own `gateway.toml`, on a fake BlueZ.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use buttplug_client::device::{ClientDeviceCommandValue as Amount, ClientDeviceOutputCommand as Output};
use common::bluetooth::{Gateway, expect};
use common::bluez::{Bluez, Peripheral};
use common::{client, listed, within};

#[tokio::test]
async fn both_axes_of_the_example_stroker_are_moved_and_then_stopped() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/udcf-examples/ble-stroker");
    // The file as it is, but for what is relative to its folder.
    let toml = std::fs::read_to_string(format!("{folder}/gateway.toml")).unwrap();
    let relative = "path = \"udcf.json\"";
    assert!(toml.contains(relative), "{toml}");
    let toml = toml.replace(relative, &format!("path = {:?}", format!("{folder}/udcf.json")));

    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:01", "DIY-stroker-1"));
    let other = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:02", "DIY-lamp"));
    other.advertise();
    board.advertise();
    let gateway = Gateway::start(&bluez, &toml).await;
    let client = client(&gateway.process.clients, "driver").await;
    listed(&client, 1).await;
    let stroker = client.devices().into_values().next().unwrap();
    assert_eq!(stroker.name(), "DIY BLE stroker");

    for (axis, to, time, wanted) in [(0, 750, 400, "L0750I400\n"), (1, 250, 300, "L1250I300\n")] {
        let feature = stroker.device_features().get(&axis).unwrap();
        let command = Output::HwPositionWithDuration(Amount::Steps(to), time);
        within("a command", feature.run_output(&command)).await.unwrap();
        expect(&board, wanted).await;
    }
    gateway.stop().await;
    expect(&board, "DSTOP\n").await;
    within("it is let go", board.wait_connected(false)).await;
    assert_eq!(other.connects(), 0);
}
