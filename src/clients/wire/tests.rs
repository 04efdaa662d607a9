//! Compares how messages are read with the library's own serializer.

use buttplug_core::message::ButtplugMessageSpecVersion as Version;
use buttplug_core::message::serializer::{ButtplugMessageSerializer, ButtplugSerializedMessage};
use buttplug_server::message::serializer::ButtplugServerJSONSerializer;
use serde_json::json;

use super::*;

const VERSIONS: [Version; 5] = [
    Version::Version0,
    Version::Version1,
    Version::Version2,
    Version::Version3,
    Version::Version4,
];

#[test]
fn each_message_of_a_websocket_message_is_read_on_its_own() {
    let ids = |text: &str| -> Vec<Result<u32, u32>> {
        let messages = split(text).into_iter();
        messages
            .map(|m| m.map(|m| id_of(&m)).map_err(|e| e.id()))
            .collect()
    };
    assert_eq!(ids(r#"[{"Ping":{"Id":1}},{"Ping":{"Id":2}}]"#), [Ok(1), Ok(2)]);
    assert_eq!(ids(r#"[{"Ping":{"Id":1}}] [{"Ping":{"Id":2}}]"#), [Ok(1), Ok(2)]);
    assert_eq!(ids(r#"[{"Ping":{"Id":1}}] nonsense [1]"#), [Ok(1), Err(0)]);
    assert_eq!(ids(r#"{"Ping":{"Id":3}}"#), [Err(3)]);
    assert_eq!(ids("[]"), [Err(0)]);
    assert_eq!(ids(" "), [Err(0)]);
    assert_eq!(ids("[1,null,{}]"), [Ok(0), Ok(0), Ok(0)]);
    assert_eq!(
        ids(r#"[{"Ping":{"Id":4294967296}},{"Ping":{"Id":-1}}]"#),
        [Ok(0), Ok(0)]
    );
    assert_eq!(ids(&"[".repeat(100_000)), [Err(0)]);
}

/// Accepts exactly what the library's serializer accepts, except for `Disconnect`.
#[test]
fn a_message_is_accepted_if_the_library_accepts_it() {
    let schema = Schema::new();
    let one = json!({"Id": 1, "DeviceIndex": 0});
    let vibrate = json!({"Id": 1, "DeviceIndex": 0, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 1}}});
    let scalar = |value: f64| json!({"Id": 1, "DeviceIndex": 0, "Scalars": [{"Index": 0, "Scalar": value, "ActuatorType": "Vibrate"}]});
    let messages = [
        json!({"Ping": {"Id": 1}}),
        json!({"Ping": {"Id": 0}}),
        json!({"Ping": {"Id": "1"}}),
        json!({"Ping": {"Id": 1, "More": 2}}),
        json!({"Ping": {"Id": 1}, "StopScanning": {"Id": 2}}),
        json!({"StartScanning": {"Id": 1}}),
        json!({"StopScanning": {"Id": 1}}),
        json!({"RequestDeviceList": {"Id": 1}}),
        json!({"StopAllDevices": {"Id": 1}}),
        json!({"StopDeviceCmd": one}),
        json!({"StopCmd": {"Id": 1}}),
        json!({"StopCmd": {"Id": 1, "DeviceIndex": 0, "FeatureIndex": 0, "Inputs": false}}),
        json!({"BatteryLevelCmd": one}),
        json!({"SingleMotorVibrateCmd": {"Id": 1, "DeviceIndex": 0, "Speed": 0.5}}),
        json!({"VibrateCmd": {"Id": 1, "DeviceIndex": 0, "Speeds": [{"Index": 0, "Speed": 0.5}]}}),
        json!({"ScalarCmd": scalar(0.5)}),
        json!({"ScalarCmd": scalar(1.5)}),
        json!({"SensorReadCmd": {"Id": 1, "DeviceIndex": 0, "SensorIndex": 0, "SensorType": "Battery"}}),
        json!({"OutputCmd": vibrate}),
        json!({"InputCmd": {"Id": 1, "DeviceIndex": 0, "FeatureIndex": 0, "Type": "Battery", "Command": "Read"}}),
        json!({"Test": {"Id": 1, "TestString": "x"}}),
        json!({"Ok": {"Id": 1}}),
        json!({"NoSuchCmd": {"Id": 1}}),
        json!({}),
        json!(7),
    ];
    for version in VERSIONS {
        let library = ButtplugServerJSONSerializer::default();
        library.force_message_version(&version);
        for message in &messages {
            let text = ButtplugSerializedMessage::Text(json!([message]).to_string());
            let accepted = library.deserialize(&text).is_ok();
            let ours = read(&schema, version, message.clone());
            let accepted = accepted || super::stops::read(message).is_some();
            assert_eq!(ours.is_ok(), accepted, "{version}: {message} is {ours:?}");
            if let Err(e) = ours {
                assert_eq!(e.id(), id_of(message), "{message}");
                assert!(e.error_message().len() < 2 * FAULT_MAX_CHARS, "{e:?}");
            }
        }
    }
}

#[test]
fn a_stop_of_any_version_keeps_its_id() {
    let schema = Schema::new();
    for version in VERSIONS {
        let messages = if version == Version::Version4 {
            [
                json!({"StopCmd": {"Id": 9}}),
                json!({"StopCmd": {"Id": 9, "DeviceIndex": 3}}),
            ]
        } else {
            [
                json!({"StopAllDevices": {"Id": 9}}),
                json!({"StopDeviceCmd": {"Id": 9, "DeviceIndex": 3}}),
            ]
        };
        for (message, device) in messages.into_iter().zip([None, Some(3)]) {
            match read(&schema, version, message) {
                Ok(Request::Stop(stop)) => assert_eq!((stop.id(), stop.device_index()), (9, device)),
                other => panic!("{version}: {other:?}"),
            }
        }
    }
}

#[test]
fn only_version_4_has_disconnect() {
    let schema = Schema::new();
    for version in VERSIONS {
        let read = read(&schema, version, json!({"Disconnect": {"Id": 1}}));
        assert_eq!(
            matches!(read, Ok(Request::Disconnect)),
            version == Version::Version4,
            "{read:?}"
        );
    }
    assert!(read(&schema, Version::Version4, json!({"Disconnect": {"Id": 0}})).is_err());
}

#[test]
fn the_handshake_selects_the_version() {
    let schema = Schema::new();
    let version = |body: Value| {
        read_handshake(&schema, json!({ "RequestServerInfo": body })).map(|m| m.protocol_version_major())
    };
    assert_eq!(
        version(json!({"Id": 1, "ClientName": "x"})),
        Ok(Version::Version0)
    );
    for (number, wanted) in VERSIONS.iter().enumerate() {
        let new =
            json!({"Id": 1, "ClientName": "x", "ProtocolVersionMajor": number, "ProtocolVersionMinor": 0});
        assert_eq!(version(new), Ok(*wanted));
        let old = version(json!({"Id": 1, "ClientName": "x", "MessageVersion": number}));
        assert_eq!(old.is_ok(), number < 4, "{old:?}");
    }
    for (wrong, code) in [
        (json!({"Id": 5, "ClientName": "x", "MessageVersion": 5}), 1),
        (
            json!({"Id": 5, "ClientName": "x", "ProtocolVersionMajor": 5, "ProtocolVersionMinor": 0}),
            1,
        ),
        (json!({"Id": 5}), 3),
        (
            json!({"Id": 5, "ClientName": "x", "ProtocolVersionMajor": "4"}),
            3,
        ),
    ] {
        let error = version(wrong.clone()).expect_err("no such version");
        assert_eq!((error.id(), error.error_code() as u8), (5, code), "{wrong}");
    }
    let other = read_handshake(&schema, json!({"Ping": {"Id": 5}})).expect_err("not a handshake");
    assert_eq!((other.id(), other.error_code() as u8), (5, 1));
}
