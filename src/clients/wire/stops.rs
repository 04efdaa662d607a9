//! Reads stops whose meaning is certain, although the client's message version has no such message, or not in this form.
//! No other message is guessed, least of all one that moves something.

use buttplug_core::message::StopCmdV4;
use serde_json::Value;

use super::id_of;

/// Reads a stop of any message version: `StopAllDevices`, `StopDeviceCmd` or `StopCmd`, with fields left out or null, and
/// with unknown ones. `None` if it is no stop, or if it is not certain what is to stop.
pub(super) fn read(message: &Value) -> Option<StopCmdV4> {
    let (name, body) = message
        .as_object()
        .filter(|object| object.len() == 1)?
        .iter()
        .next()?;
    let id = Some(id_of(message)).filter(|id| *id != 0)?;
    let stop = match name.as_str() {
        "StopAllDevices" => StopCmdV4::default(),
        "StopDeviceCmd" => StopCmdV4::new(Some(number(body, "DeviceIndex")??), None, true, true),
        "StopCmd" => StopCmdV4::new(
            number(body, "DeviceIndex")?,
            number(body, "FeatureIndex")?,
            flag(body, "Inputs")?,
            flag(body, "Outputs")?,
        ),
        _ => return None,
    };
    Some(super::with_id(id, stop))
}

/// A number that may be missing; `None` if the field is something else.
fn number(body: &Value, field: &str) -> Option<Option<u32>> {
    match body.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => Some(Some(u32::try_from(value.as_u64()?).ok()?)),
    }
}

/// A flag that is set if it is missing.
fn flag(body: &Value, field: &str) -> Option<bool> {
    match body.get(field) {
        None | Some(Value::Null) => Some(true),
        Some(value) => value.as_bool(),
    }
}

#[cfg(test)]
mod tests {
    use buttplug_core::message::ButtplugMessage;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stop_that_is_certain_is_read_in_every_form() {
        for (message, device, feature, inputs, outputs) in [
            (json!({"StopAllDevices": {"Id": 3}}), None, None, true, true),
            (
                json!({"StopDeviceCmd": {"Id": 3, "DeviceIndex": 1, "Why": "?"}}),
                Some(1),
                None,
                true,
                true,
            ),
            (
                json!({"StopCmd": {"Id": 3, "DeviceIndex": null}}),
                None,
                None,
                true,
                true,
            ),
            (
                json!({"StopCmd": {"Id": 3, "DeviceIndex": 2, "FeatureIndex": 0, "Inputs": false}}),
                Some(2),
                Some(0),
                false,
                true,
            ),
        ] {
            let stop = read(&message).unwrap_or_else(|| panic!("{message}"));
            let seen = (
                stop.id(),
                stop.device_index(),
                stop.feature_index(),
                stop.inputs(),
                stop.outputs(),
            );
            assert_eq!(seen, (3, device, feature, inputs, outputs), "{message}");
        }
        for message in [
            json!({"StopDeviceCmd": {"Id": 3}}),
            json!({"StopDeviceCmd": {"Id": 3, "DeviceIndex": "1"}}),
            json!({"StopCmd": {"Id": 3, "DeviceIndex": -1}}),
            json!({"StopCmd": {"Id": 0}}),
            json!({"StopCmd": {"Id": 3}, "OutputCmd": {"Id": 4}}),
            json!({"StopEverything": {"Id": 3}}),
            json!([]),
        ] {
            assert!(read(&message).is_none(), "{message}");
        }
    }
}
