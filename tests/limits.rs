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
