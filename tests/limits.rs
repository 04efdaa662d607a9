//! A user's limits hold for everything that commands a device: apps of every message version, and monitors.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::json_client::JsonClient;
use common::{RawDevice, Running, settings, within};
use serde_json::{Value, json};
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
        let udcf = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/udcf")
            .join(udcf);
        Self::of_file(TempDir::new().unwrap(), udcf, identifier).await
    }

    /// A gateway with limits for one Lovense device, which has not reported its model yet.
    async fn lovense(model: &str, base: &str, features: &[(&str, Value)]) -> Self {
        let features: Vec<Value> = (features.iter().zip(1..))
            .map(|((base, output), n)| {
                json!({ "id": format!("00000000-0000-4000-8000-00000000000{n}"), "base_id": base, "output": output })
            })
            .collect();
        let config = json!({
            "id": "00000000-0000-4000-8000-000000000000", "base_id": base, "features": features,
            "user_config": { "allow": false, "deny": false, "index": 0 },
        });
        let identifier = json!({ "address": ADDRESS, "protocol": "lovense", "identifier": model });
        let communication = json!({ "communication": [{ "websocket": { "name": "LVSDevice" } }] });
        let udcf = json!({
            "version": { "major": 5, "minor": 0 },
            "user_configs": {
                "protocols": { "lovense": communication },
                "devices": [{ "identifier": identifier, "config": config }],
            },
        });
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("udcf.json");
        std::fs::write(&file, udcf.to_string()).unwrap();
        let mut limited = Self::of_file(folder, file, "LVSDevice").await;
        limited.device.expect("DeviceType;").await;
        limited
    }

    async fn of_file(folder: TempDir, udcf: PathBuf, identifier: &str) -> Self {
        let socket = folder.path().join("control.sock");
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

    /// Reports the device's model, waits until it is listed, and returns its index.
    async fn list(&mut self, model: &str) -> u64 {
        self.device
            .binary(format!("{model}:11:{ADDRESS};").as_bytes())
            .await;
        self.app(4).await.first_device().await
    }

    /// Sends a frame as a monitor does; returns why it was refused, if it was.
    async fn inject(&mut self, frame: &'static [u8]) -> Result<(), String> {
        let send = self.monitor.send(ADDRESS, Bytes::from_static(frame));
        within("an answer", send).await.map_err(|e| e.to_string())
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

/// The file limits, or reverses, the timed output alone, but both move one axis.
#[tokio::test]
async fn an_axis_moves_in_one_direction_whichever_output_an_app_uses() {
    for (udcf, [low, _, high]) in STROKES {
        let mut limited = Limited::start(udcf, "Stroker").await;
        let mut app = limited.app(4).await;
        let index = app.first_device().await;
        for (value, at) in [(999, high), (0, low)] {
            let untimed = json!({ "Position": { "Value": value } });
            let command = json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": untimed });
            let reply = app.call("OutputCmd", command).await;
            assert!(reply["Ok"].is_object(), "{udcf}: {reply}");
            let frame = limited.device.frame().await;
            assert!(
                frame.starts_with(&format!("L0{at:03}")),
                "{udcf}, {value}: {frame}"
            );
        }
        let mut app = limited.app(3).await;
        for (value, at) in [(1.0, high), (0.0, low)] {
            let scalars = json!([{ "Index": 0, "Scalar": value, "ActuatorType": "Position" }]);
            let reply = app
                .call("ScalarCmd", json!({ "DeviceIndex": index, "Scalars": scalars }))
                .await;
            assert!(reply["Ok"].is_object(), "{udcf}: {reply}");
            let frame = loop {
                let frame = limited.device.frame().await;
                if frame.starts_with('L') {
                    break frame;
                }
            };
            assert!(
                frame.starts_with(&format!("L0{at:03}")),
                "{udcf}, {value}: {frame}"
            );
        }
        limited.gateway.stop().await;
    }
}

#[tokio::test]
async fn a_value_out_of_range_is_answered_with_the_output_and_what_it_takes() {
    let limited = Limited::start(STROKES[0].0, "Stroker").await;
    let mut app = limited.app(4).await;
    let index = app.first_device().await;
    for (command, wanted) in [
        (
            json!({ "HwPositionWithDuration": { "Value": 601, "Duration": 100 } }),
            "takes HwPositionWithDuration values from 0 to 600, not 601",
        ),
        (
            json!({ "HwPositionWithDuration": { "Value": u32::MAX, "Duration": 100 } }),
            "takes HwPositionWithDuration values from 0 to 600, not 4294967295",
        ),
        (
            json!({ "Position": { "Value": 1_000 } }),
            "takes Position values from 0 to 999, not 1000",
        ),
        (
            json!({ "Position": { "Value": -1 } }),
            "takes Position values from 0 to 999, not -1",
        ),
    ] {
        let command = json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": command });
        let reply = app.call("OutputCmd", command).await;
        let why = reply["Error"]["ErrorMessage"].as_str().expect("an Error");
        assert!(why.contains("feature 0") && why.contains(wanted), "{why}");
    }
    for version in 1..=3 {
        let mut app = limited.app(version).await;
        let vectors = json!([{ "Index": 0, "Duration": 100, "Position": 1.01 }]);
        let reply = app
            .call("LinearCmd", json!({ "DeviceIndex": index, "Vectors": vectors }))
            .await;
        let why = reply["Error"]["ErrorMessage"].as_str().expect("an Error");
        let wanted = "takes HwPositionWithDuration values from 0.0 to 1.0, not 1.01";
        assert!(
            why.contains("feature 0") && why.contains(wanted),
            "version {version}: {why}"
        );
    }
    limited.gateway.stop().await;
}

#[tokio::test]
async fn a_level_out_of_range_is_answered_with_the_output_and_what_it_takes() {
    let mut limited = half_disabled().await;
    let index = limited.list("P").await;
    let mut app = limited.app(4).await;
    for value in [-1, 11] {
        let vibrate = json!({ "Vibrate": { "Value": value } });
        let command = json!({ "DeviceIndex": index, "FeatureIndex": 1, "Command": vibrate });
        let reply = app.call("OutputCmd", command).await;
        let why = reply["Error"]["ErrorMessage"].as_str().expect("an Error");
        let wanted = format!("takes Vibrate values from 0 to 10, not {value}");
        assert!(why.contains("feature 1") && why.contains(&wanted), "{why}");
    }
    let speeds = json!({ "DeviceIndex": index, "Speeds": [{ "Index": 0, "Speed": 1.5 }] });
    let scalars = json!([{ "Index": 0, "Scalar": 1.5, "ActuatorType": "Vibrate" }]);
    for (version, name, fields) in [
        (
            0,
            "SingleMotorVibrateCmd",
            json!({ "DeviceIndex": index, "Speed": 1.5 }),
        ),
        (1, "VibrateCmd", speeds.clone()),
        (2, "VibrateCmd", speeds),
        (
            3,
            "ScalarCmd",
            json!({ "DeviceIndex": index, "Scalars": scalars }),
        ),
    ] {
        let reply = limited.app(version).await.call(name, fields).await;
        let why = reply["Error"]["ErrorMessage"].as_str().expect("an Error");
        let wanted = "takes Vibrate values from 0.0 to 1.0, not 1.5";
        assert!(
            why.contains("feature 1") && why.contains(wanted),
            "version {version}: {why}"
        );
    }
    limited.gateway.stop().await;
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

/// The server inside holds moves back for the user's message gap. A stop must not release them.
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

/// The server moves a Lovense stroker step by step, and begins at 0, whatever its limits are.
#[tokio::test]
async fn a_stroker_stays_inside_on_its_way() {
    let stroke = json!({ "hw_position_with_duration": { "value": [40, 60] } });
    let mut limited = Limited::lovense(
        "BA",
        "ed5f76c6-84b9-4fee-891f-28f9f4fa3632",
        &[
            ("c4b2855d-5ecc-4010-8a8d-17fd3e51cc57", stroke),
            ("0b1cba39-8bb7-4f87-9bed-c59f2284d702", json!({})),
        ],
    )
    .await;
    let index = limited.list("BA").await;
    let mut app = limited.app(4).await;
    let timed = json!({ "HwPositionWithDuration": { "Value": 10, "Duration": 500 } });
    let command = json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": timed });
    let reply = app.call("OutputCmd", command).await;
    assert!(reply["Ok"].is_object(), "{reply}");
    loop {
        let frame = limited.device.frame().await;
        let Some(at) = frame
            .strip_prefix("FSetSite:")
            .and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        let at: u32 = at.parse().unwrap();
        assert!((40..=60).contains(&at), "{frame}");
        if at == 50 {
            break;
        }
    }
    limited.gateway.stop().await;
}

/// A Lovense with two vibrators, the first of them disabled and the second limited.
async fn half_disabled() -> Limited {
    Limited::lovense(
        "P",
        "2e309985-6bbf-4b75-866f-76d845b3ce42",
        &[
            (
                "cb286b22-998b-4420-82f3-84e8d39db6b5",
                json!({ "vibrate": { "disabled": true } }),
            ),
            (
                "c8b72e1d-d7d4-4417-8cbc-e6c0f435889a",
                json!({ "vibrate": { "value": [0, 10] } }),
            ),
            ("66b31efb-3bd9-4e3a-9972-88c66e9fca28", json!({})),
        ],
    )
    .await
}

/// Older apps count the outputs that they see.
#[tokio::test]
async fn no_app_drives_a_disabled_output() {
    let mut limited = half_disabled().await;
    let index = limited.list("P").await;
    let speeds = |n: u32| json!({ "DeviceIndex": index, "Speeds": [{ "Index": n, "Speed": 1.0 }] });
    let scalar = |n: u32| json!([{ "Index": n, "Scalar": 1.0, "ActuatorType": "Vibrate" }]);
    let one = json!({ "DeviceIndex": index, "Speed": 1.0 });
    for (version, name, fields, beyond) in [
        (0, "SingleMotorVibrateCmd", one, None),
        (1, "VibrateCmd", speeds(0), Some(speeds(1))),
        (2, "VibrateCmd", speeds(0), Some(speeds(1))),
        (
            3,
            "ScalarCmd",
            json!({ "DeviceIndex": index, "Scalars": scalar(0) }),
            Some(json!({ "DeviceIndex": index, "Scalars": scalar(1) })),
        ),
    ] {
        let mut app = limited.app(version).await;
        let reply = app.call(name, fields).await;
        assert!(reply["Ok"].is_object(), "version {version}: {reply}");
        loop {
            let frame = limited.device.frame().await;
            assert!(
                !frame.starts_with("Vibrate1:") || frame == "Vibrate1:0;",
                "version {version}: {frame}"
            );
            if frame == "Vibrate2:10;" {
                break;
            }
        }
        if let Some(beyond) = beyond {
            let reply = app.call(name, beyond).await;
            assert!(reply["Error"].is_object(), "version {version}: {reply}");
        }
        app.goodbye().await;
    }
    limited.gateway.stop().await;
}

#[tokio::test]
async fn a_monitor_receives_the_reason_if_a_limit_refuses_its_frame() {
    let mut limited = half_disabled().await;
    let refused = |answer: Result<(), String>, frame: &[u8]| {
        let why = answer.expect_err(&String::from_utf8_lossy(frame));
        assert!(why.contains("limit"), "{why}");
    };
    // Which model it is, and so which limits it has, is not known yet.
    let frame = b"Vibrate:20;";
    refused(limited.inject(frame).await, frame);
    limited.list("P").await;
    for frame in [
        &b"Preset:1;"[..],
        b"Vibrate3000000000:20;",
        b"vibrate:20;",
        b"Vibrate2:99999999999;",
        b"Vibrate2:1\x002;",
        b"\xff;Vibrate2:20;",
    ] {
        refused(limited.inject(frame).await, frame);
    }
    for (frame, wanted) in [
        (&b"\nVibrate2:20;"[..], "Vibrate2:10;"),
        (b"Vibrate2:20", "Vibrate2:10;"),
        (b"Vibrate1:20;", "Vibrate1:0;"),
        (b"Vibrate2:9;", "Vibrate2:9;"),
        (b"Battery;", "Battery;"),
    ] {
        limited.inject(frame).await.unwrap();
        limited.device.expect(wanted).await;
    }
    limited.gateway.stop().await;
}

#[tokio::test]
async fn no_trick_of_writing_takes_a_stroke_outside() {
    let mut limited = Limited::start("v5-limits-200-800.json", "Stroker").await;
    limited.app(4).await.first_device().await;
    for frame in [
        &b"L0999X\n"[..],
        b"L0999I\n",
        b"L0+999\n",
        b"\xffL0999\n",
        b"\0L0999\n",
        b"L0",
        b"L0\n",
    ] {
        let why = limited
            .inject(frame)
            .await
            .expect_err(&String::from_utf8_lossy(frame));
        assert!(why.contains("limit"), "{why}");
    }
    for (frame, wanted) in [
        // A line that was not ended would be continued by the next one.
        (&b"L0999"[..], "L0800\n"),
        (b"D1", "D1\n"),
        (b"L01\n", "L0200\n"),
        (b"L08001\n", "L0800\n"),
    ] {
        limited.inject(frame).await.unwrap();
        limited.device.expect(wanted).await;
    }
    limited.gateway.stop().await;
}
