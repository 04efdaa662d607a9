//! First messages that came to the wrong one of the gateway's two ports.

use serde_json::Value;
use wsdm_protocol::key;

use crate::defaults::HANDSHAKE_MAX_BYTES;
use crate::device::hello::Hello;

/// The name of an app's first message.
const APP_HELLO: &str = "RequestServerInfo";

fn json(text: &str) -> Option<Value> {
    if text.len() > HANDSHAKE_MAX_BYTES {
        return None;
    }
    let text = text.trim_start_matches('\u{feff}').trim_end_matches('\0');
    serde_json::from_str(text).ok()
}

/// The id of the `RequestServerInfo` with which a Buttplug app begins, if this is one; 0 if it has none.
pub fn app_hello(text: &str) -> Option<u64> {
    let message = json(text)?;
    let message = message.get(0).unwrap_or(&message);
    let body = message.get(APP_HELLO)?;
    Some(body["Id"].as_u64().unwrap_or_default())
}

/// Whether this is the handshake of a device, even one with a fault.
pub fn is_device_hello(text: &str) -> bool {
    if text.len() > HANDSHAKE_MAX_BYTES {
        return false;
    }
    let Some(message) = json(text) else {
        // JSON as some languages print it, or with a NUL in it.
        return Hello::fault(text.as_bytes()).is_some();
    };
    let message = message.get(0).unwrap_or(&message);
    let has = |field| message.get(field).is_some();
    has(key::IDENTIFIER) && (has(key::ADDRESS) || has(key::VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_first_message_is_known_on_the_other_port() {
        let device = r#"{"identifier": "LVSDevice", "address": "8A3D9FAC2A45", "version": 0}"#;
        assert!(is_device_hello(device));
        assert!(is_device_hello(&format!("\u{feff}{device}\0")));
        assert!(is_device_hello(r#"{"identifier": 1, "version": "0"}"#));
        for faulty in [
            "{'identifier': 'LVSDevice', 'address': 'a', 'version': 0}",
            "{identifier: \"LVSDevice\", version: 0}",
            r#"{"identifier": "LVSDevice", "version": 0"#,
            &format!("[{device}]"),
        ] {
            assert!(is_device_hello(faulty), "{faulty}");
        }
        assert_eq!(app_hello(device), None);
        let app = r#"[{"RequestServerInfo": {"Id": 3, "ClientName": "x"}}]"#;
        assert_eq!(app_hello(app), Some(3));
        assert_eq!(app_hello(r#"{"RequestServerInfo": {}}"#), Some(0));
        assert!(!is_device_hello(app));
        for other in [
            "",
            "[]",
            "{}",
            "7",
            "[[]]",
            r#"[{"Ping": {"Id": 1}}]"#,
            r#"{"identifier": "x"}"#,
            "not JSON",
            r#"[{"RequestServerInfo": {"Id": 1, "ClientName": "x"#,
        ] {
            assert!(app_hello(other).is_none() && !is_device_hello(other), "{other}");
        }
    }
}
