//! Devices that come back, or come for the first time on a link on which they may have been running: whatever their
//! protocol is, they are stopped before anybody commands them.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use common::json_client::JsonClient;
use common::{RawDevice, Running, settings, within};
use futures::StreamExt;
use serde_json::json;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use wsdm_gateway::config::Settings;

/// A protocol of which the gateway knows no frame: only the server inside can stop it.
const NAME: &str = "Bach smart";
const ADDRESS: &str = "bach-1";
/// Model, command, speed.
const ON: &[u8] = &[6, 3, 50];
const OFF: &[u8] = &[6, 3, 0];

fn with_bach(folder: &TempDir) -> Settings {
    let udcf = folder.path().join("bach.json");
    let entry = json!({ "version": { "major": 5, "minor": 0 }, "user_configs": { "protocols": {
        "vorze-sa": { "communication": [{ "websocket": { "name": NAME } }] }
    }}});
    std::fs::write(&udcf, entry.to_string()).unwrap();
    Settings {
        udcf: Some(udcf),
        ..settings()
    }
}

async fn frame(device: &mut RawDevice) -> Vec<u8> {
    within("a frame", async {
        loop {
            if let Message::Binary(bytes) = device.ws.next().await.unwrap().unwrap() {
                return bytes.to_vec();
            }
        }
    })
    .await
}

async fn vibrate(app: &mut JsonClient, value: u32) {
    let index = app.first_device().await;
    let command =
        json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": { "Vibrate": { "Value": value } } });
    app.call("OutputCmd", command).await;
}

#[tokio::test]
async fn a_device_in_a_language_that_is_not_known_is_stopped_when_it_comes_back() {
    let folder = TempDir::new().unwrap();
    let gateway = Running::start(with_bach(&folder)).await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let mut device = RawDevice::hello(&gateway.devices(), NAME, ADDRESS).await;
    vibrate(&mut app, 50).await;
    assert_eq!(
        frame(&mut device).await,
        ON,
        "a device that never came before is left alone"
    );
    // Cut off in mid-motion.
    drop(device);
    let mut device = RawDevice::hello(&gateway.devices(), NAME, ADDRESS).await;
    assert_eq!(frame(&mut device).await, OFF);
    // From then on the app drives it as before: the same value is no repetition.
    within("it is listed again", async {
        loop {
            vibrate(&mut app, 50).await;
            let again = tokio::time::timeout(std::time::Duration::from_millis(50), frame(&mut device)).await;
            if again.is_ok_and(|again| again == ON) {
                return;
            }
        }
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_was_commanded_is_stopped_also_after_a_restart_of_the_gateway() {
    let folder = TempDir::new().unwrap();
    let settings = || Settings {
        state_file: Some(folder.path().join("state.json")),
        ..with_bach(&folder)
    };
    let gateway = Running::start(settings()).await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let mut device = RawDevice::hello(&gateway.devices(), NAME, ADDRESS).await;
    vibrate(&mut app, 50).await;
    assert_eq!(frame(&mut device).await, ON);
    gateway.stop().await;
    let gateway = Running::start(settings()).await;
    let mut device = RawDevice::hello(&gateway.devices(), NAME, ADDRESS).await;
    assert_eq!(frame(&mut device).await, OFF);
    gateway.stop().await;
}
