//! What the versions call kinds of outputs and inputs, and where they write ranges.

use serde_json::Value;

use super::{either, member};

/// Whether features are written as in version 2 or 3.
pub(super) fn has_old_features(of: &Value) -> bool {
    match of.get("features").and_then(Value::as_array) {
        Some(features) => features
            .iter()
            .any(|feature| feature.get("output").is_none() && feature.get("input").is_none()),
        None => of.get("messages").is_some(),
    }
}

/// The version 5 name of an actuator of the older versions.
pub(super) fn output_key(kind: &str, messages: &[String]) -> Option<&'static str> {
    Some(match kind {
        "Vibrate" => "vibrate",
        "Rotate" | "RotateWithDirection" => "rotate",
        "Oscillate" => "oscillate",
        "Constrict" | "Inflate" => "constrict",
        "Spray" => "spray",
        "Temperature" | "Heater" => "temperature",
        "Led" | "LED" => "led",
        "PositionWithDuration" | "HwPositionWithDuration" => "hw_position_with_duration",
        "Position" if messages.iter().any(|m| m == "LinearCmd") => "hw_position_with_duration",
        "Position" => "position",
        _ => return None,
    })
}

/// The version 5 name of an output; some had other names while version 4 was developed.
pub(super) fn current_output(name: &str) -> Option<&'static str> {
    Some(match name {
        "vibrate" => "vibrate",
        "rotate" | "rotate_with_direction" => "rotate",
        "oscillate" => "oscillate",
        "constrict" | "inflate" => "constrict",
        "spray" => "spray",
        "temperature" | "heater" => "temperature",
        "led" => "led",
        "position" => "position",
        "hw_position_with_duration" | "position_with_duration" => "hw_position_with_duration",
        _ => return None,
    })
}

pub(super) fn input_key(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Battery" => "battery",
        "RSSI" => "rssi",
        "Pressure" => "pressure",
        _ => return None,
    })
}

/// Parses `[0, 20]`, or `[[0, 20]]`, which some files have.
pub(super) fn ends(range: &Value) -> Option<[i64; 2]> {
    let range = if range[0].is_array() { &range[0] } else { range };
    Some([range[0].as_i64()?, range[1].as_i64()?])
}

/// The step range of an actuator, with its key.
pub(super) fn step_range(of: &Value) -> Option<(String, [i64; 2])> {
    let (key, range) = member(of, "step_range").or_else(|| Some(("value".to_owned(), of.get("value")?)))?;
    Some((key, ends(range)?))
}

/// The kind of a feature of the older versions.
pub(super) fn feature_type(old: &Value) -> &str {
    either(old, "feature_type")
        .or(either(old, "actuator_type"))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The names in a `messages` list or map.
pub(super) fn message_names(of: &Value) -> Vec<String> {
    match of.get("messages") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::Object(by_name)) => by_name.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// What an actuator of version 2 under this message is called in version 3.
pub(super) fn kind_of_message<'v>(message: &str, attributes: &'v Value) -> &'v str {
    match message {
        "VibrateCmd" => "Vibrate",
        "RotateCmd" => "Rotate",
        "LinearCmd" => "Position",
        _ => attributes["ActuatorType"]
            .as_str()
            .or(attributes["SensorType"].as_str())
            .unwrap_or_default(),
    }
}

/// Whether an actuator turns in both directions.
pub(super) fn both_ways(key: &str, messages: &[String]) -> bool {
    key == "rotate" && messages.iter().any(|message| message == "RotateCmd")
}
