//! A user's limits hold for everything that commands a device: apps of every message version, and monitors.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::path::Path;

use bytes::Bytes;
use common::json_client::JsonClient;
use common::{RawDevice, Running, settings, within};
use serde_json::json;
use tempfile::TempDir;
use wsdm_gateway::config::{ControlAt, Settings};
use wsdm_gateway::web::control::client::Client;

const ADDRESS: &str = "n1";

struct Limited {
    gateway: Running,
    device: RawDevice,
    monitor: Client,
    _folder: TempDir,
}

impl Limited {
    /// A gateway with a UDCF of the fixtures, and the device that it limits.
    async fn start(udcf: &str, identifier: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("control.sock");
        let udcf = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/udcf")
            .join(udcf);
        let gateway = Running::start(Settings {
            udcf: Some(udcf),
            control: Some(ControlAt::Path(socket.clone())),
            ..settings()
        })
        .await;
        let device = RawDevice::hello(&gateway.devices(), identifier, ADDRESS).await;
        let monitor = within("the socket", Client::connect(&socket)).await.unwrap();
        Self {
            gateway,
            device,
            monitor,
            _folder: folder,
        }
    }

    async fn app(&self, version: u32) -> JsonClient {
        JsonClient::connect(&self.gateway.clients(), version).await
    }
}

/// The range of the fixture in 999ths, and where positions 0, 1/2 and 1 of it are.
const STROKES: [(&str, [u32; 3]); 2] = [
    ("v5-limits-200-800.json", [200, 500, 800]),
    ("v5-limits-200-800-reversed.json", [800, 500, 200]),
];

#[tokio::test]
async fn positions_of_apps_stay_inside() {
    for (udcf, wanted) in STROKES {
        let mut limited = Limited::start(udcf, "Stroker").await;
        let mut app = limited.app(4).await;
        let index = app.first_device().await;
        for (value, at) in [0, 300, 600].into_iter().zip(wanted) {
            let timed = json!({ "HwPositionWithDuration": { "Value": value, "Duration": 100 } });
            let command = json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": timed });
            let reply = app.call("OutputCmd", command).await;
            assert!(reply["Ok"].is_object(), "{udcf}: {reply}");
            assert_eq!(limited.device.frame().await, format!("L0{at:03}I100\n"), "{udcf}");
        }
        let beyond = json!({ "HwPositionWithDuration": { "Value": 601, "Duration": 100 } });
        let command = json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": beyond });
        assert!(
            app.call("OutputCmd", command).await["Error"].is_object(),
            "{udcf}"
        );
        app.goodbye().await;
        limited.device.expect("DSTOP\n").await;
        for version in 1..=3 {
            let mut app = limited.app(version).await;
            for (position, at) in [0.0, 0.5, 1.0].into_iter().zip(wanted) {
                let vectors = json!([{ "Index": 0, "Duration": 100, "Position": position }]);
                let reply = app
                    .call("LinearCmd", json!({ "DeviceIndex": index, "Vectors": vectors }))
                    .await;
                assert!(reply["Ok"].is_object(), "{udcf}, version {version}: {reply}");
                limited.device.expect(&format!("L0{at:03}I100\n")).await;
            }
            let vectors = json!([{ "Index": 0, "Duration": 100, "Position": 1.01 }]);
            let reply = app
                .call("LinearCmd", json!({ "DeviceIndex": index, "Vectors": vectors }))
                .await;
            assert!(reply["Error"].is_object(), "{udcf}, version {version}: {reply}");
            app.goodbye().await;
        }
        limited.gateway.stop().await;
    }
}

#[tokio::test]
async fn frames_of_monitors_stay_inside() {
    for (udcf, _) in STROKES {
        let mut limited = Limited::start(udcf, "Stroker").await;
        limited.app(4).await.first_device().await;
        for (sent, wanted) in [
            ("L0000\n", "L0200\n"),
            ("L0999I500\n", "L0800I500\n"),
            ("L0500\n", "L0500\n"),
            ("D1\n", "D1\n"),
        ] {
            let send = limited.monitor.send(ADDRESS, Bytes::from(sent));
            within("a frame", send).await.unwrap();
            limited.device.expect(wanted).await;
        }
        limited.gateway.stop().await;
    }
}

/// The server inside holds moves back for the user's message gap. A stop must not let go of them.
#[tokio::test]
async fn a_move_that_is_held_back_is_not_made_after_a_stop() {
    let folder = TempDir::new().unwrap();
    let udcf = folder.path().join("slow.json");
    let file = json!({ "version": { "major": 5, "minor": 0 }, "user_configs": { "protocols": { "tcode-v03": {
        "communication": [{ "websocket": { "name": "Slow" } }],
        "configurations": [{
            "identifier": ["Slow"], "name": "Slow", "message_gap_ms": 1_000,
            "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e01",
            "features": [
                { "index": 0, "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e02", "description": "L0 Stroke",
                  "output": { "hw_position_with_duration": { "value": [0, 999], "duration": [0, 99_999] } } },
                { "index": 1, "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e03", "description": "V0 Motor",
                  "output": { "vibrate": { "value": [0, 99] } } },
            ],
        }],
    } } } });
    std::fs::write(&udcf, file.to_string()).unwrap();
    let gateway = Running::start(Settings {
        udcf: Some(udcf),
        ..settings()
    })
    .await;
    let mut device = RawDevice::hello(&gateway.devices(), "Slow", ADDRESS).await;
    for leaves in [false, true] {
        let mut app = JsonClient::connect(&gateway.clients(), 4).await;
        let index = app.first_device().await;
        let stroke = json!({ "HwPositionWithDuration": { "Value": 999, "Duration": 5_000 } });
        app.call(
            "OutputCmd",
            json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": stroke }),
        )
        .await;
        if leaves {
            app.goodbye().await;
        } else {
            app.call("StopCmd", json!({ "DeviceIndex": index })).await;
            app.goodbye().await;
        }
        // Longer than the gap: whatever it held is out.
        let vibrate = json!({ "Vibrate": { "Value": 50 + u32::from(leaves) } });
        let mut app = JsonClient::connect(&gateway.clients(), 4).await;
        app.call(
            "OutputCmd",
            json!({ "DeviceIndex": index, "FeatureIndex": 1, "Command": vibrate }),
        )
        .await;
        loop {
            let frame = device.frame().await;
            assert!(!frame.contains('L'), "leaves: {leaves}: {frame}");
            if frame == format!("V0{}\n", 50 + u32::from(leaves)) {
                break;
            }
        }
        app.goodbye().await;
    }
    gateway.stop().await;
}

/// Two features of one axis.
#[tokio::test]
async fn features_on_one_axis_share_its_limits() {
    let folder = TempDir::new().unwrap();
    let udcf = folder.path().join("twice.json");
    let stroke = |index: u32, id: &str| {
        json!({ "index": index, "id": id, "description": format!("L0 number {index}"),
            "output": { "hw_position_with_duration": { "value": [0, 999], "duration": [0, 99_999] } } })
    };
    let limited = json!({ "hw_position_with_duration": { "value": [200, 800] } });
    let file = json!({ "version": { "major": 5, "minor": 0 }, "user_configs": {
        "protocols": { "tcode-v03": {
            "communication": [{ "websocket": { "name": "Twice" } }],
            "configurations": [{
                "identifier": ["Twice"], "name": "Twice", "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e11",
                "features": [
                    stroke(0, "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e12"),
                    stroke(1, "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e13"),
                ],
            }],
        } },
        "devices": [{
            "identifier": { "address": ADDRESS, "protocol": "tcode-v03", "identifier": "Twice" },
            "config": {
                "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e14", "base_id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e11",
                "features": [
                    { "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e15",
                      "base_id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e12", "output": limited },
                    { "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e16",
                      "base_id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e13", "output": {} },
                ],
                "user_config": { "allow": false, "deny": false, "index": 0 },
            },
        }],
    } });
    std::fs::write(&udcf, file.to_string()).unwrap();
    let gateway = Running::start(Settings {
        udcf: Some(udcf),
        ..settings()
    })
    .await;
    let mut device = RawDevice::hello(&gateway.devices(), "Twice", ADDRESS).await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    for (value, wanted) in [(0, "L0200I100\n"), (999, "L0800I100\n")] {
        let timed = json!({ "HwPositionWithDuration": { "Value": value, "Duration": 100 } });
        let command = json!({ "DeviceIndex": index, "FeatureIndex": 1, "Command": timed });
        let reply = app.call("OutputCmd", command).await;
        assert!(reply["Ok"].is_object(), "{reply}");
        assert_eq!(device.frame().await, wanted);
    }
    gateway.stop().await;
}
