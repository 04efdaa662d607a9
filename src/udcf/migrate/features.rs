//! Converts features of custom `configurations` from any version to version 5.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Migration, either};

/// The durations in ms that a linear command of the older versions could ask for; the server's own default.
const DURATION: [u32; 2] = [0, 99_999];

impl Migration<'_> {
    /// Converts the custom configurations of one protocol.
    pub(super) fn configurations(&mut self, protocol: &str, list: Value, major: u64) {
        let Value::Array(list) = list else {
            return self.warn(format!(
                "configurations of protocol {protocol:?} are not a list: left out"
            ));
        };
        if major < 4 && !list.is_empty() {
            self.warn(format!(
                "the configurations of protocol {protocol:?} were without effect in version {major}; now they count"
            ));
        }
        for configuration in list {
            if let Some(configuration) = self.configuration(protocol, configuration) {
                self.list(protocol, "configurations").push(configuration);
            }
        }
    }

    fn configuration(&mut self, protocol: &str, mut configuration: Value) -> Option<Value> {
        let Some(object) = configuration.as_object_mut() else {
            self.warn(format!(
                "a configuration of protocol {protocol:?} is not an object: left out: {configuration}"
            ));
            return None;
        };
        let identifier = match object.get("identifier") {
            Some(Value::String(one)) => json!([one]),
            Some(list @ Value::Array(_)) => list.clone(),
            _ => {
                self.warn(format!(
                    "a configuration of protocol {protocol:?} has no identifier: left out; without one nothing finds it"
                ));
                return None;
            }
        };
        let name = object
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("Custom device")
            .to_owned();
        let seed = format!("{protocol}/{identifier}");
        let mut features = Vec::new();
        let old = match (object.remove("features"), object.remove("messages")) {
            (Some(Value::Array(features)), _) => features,
            (_, Some(messages)) => features_of_messages(&messages),
            _ => Vec::new(),
        };
        for (index, feature) in old.into_iter().enumerate() {
            match self.feature(protocol, &feature, index, &seed) {
                Ok(feature) => features.push(feature),
                Err(why) => self.warn(format!("a feature of {name:?} was left out: {why}: {feature}")),
            }
        }
        let mut out = json!({
            "identifier": identifier,
            "name": name,
            "id": uuid(object.get("id"), &seed),
            "features": features,
        });
        if let Some(variant) = either(&configuration, "protocol_variant").filter(|v| v.is_string()) {
            out["protocol_variant"] = variant.clone();
        }
        Some(out)
    }

    /// Converts one feature of any version.
    fn feature(&mut self, protocol: &str, old: &Value, index: usize, seed: &str) -> Result<Value, String> {
        let mut new = json!({
            "index": old["index"].as_u64().unwrap_or(index as u64),
            "id": uuid(old.get("id"), &format!("{seed}/feature/{index}")),
        });
        let description = either(old, "description")
            .or(old.get("descriptor"))
            .and_then(Value::as_str);
        if let Some(description) = description {
            new["description"] = description.into();
        }
        if let Some(settings) = either(old, "feature_settings").filter(|s| s.is_object()) {
            new["feature_settings"] = settings.clone();
        }
        if old.get("output").is_some() || old.get("input").is_some() {
            if let Some(output) = old.get("output") {
                let mut output = self.known_outputs(protocol, output);
                self.decimal_fractions(protocol, &mut output);
                new["output"] = output;
            }
            if let Some(input) = old.get("input") {
                new["input"] = input.clone();
            }
            return Ok(new);
        }
        let kind = either(old, "feature_type")
            .or(either(old, "actuator_type"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let actuator = old.get("actuator").unwrap_or(old);
        let messages = |of: &Value| match of.get("messages") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::Object(by_name)) => by_name.keys().cloned().collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        if let Some(input) = input_key(kind) {
            let sensor = old.get("sensor").unwrap_or(old);
            let mut commands: Vec<&str> = Vec::new();
            for message in messages(sensor) {
                match message.as_str() {
                    "SensorReadCmd" => commands.push("Read"),
                    "SensorSubscribeCmd" => commands.push("Subscribe"),
                    _ => {}
                }
            }
            if commands.is_empty() {
                commands.push("Read");
            }
            let range = either(sensor, "value_range")
                .cloned()
                .unwrap_or_else(|| json!([[0, 100]]));
            new["input"] = json!({ input: { "value": range, "command": commands } });
            return Ok(new);
        }
        let range = step_range(actuator).ok_or("it has no step range")?;
        let messages = messages(actuator);
        let key = output_key(kind, &messages).ok_or_else(|| format!("its type {kind:?} is unknown"))?;
        let value = match key {
            // A rotation with a direction ranges from minus to plus.
            "rotate" if messages.iter().any(|m| m == "RotateCmd") => {
                json!([range[1].saturating_neg(), range[1]])
            }
            _ => json!(range),
        };
        let mut output = json!({ key: { "value": value } });
        if key == "hw_position_with_duration" {
            output[key]["duration"] = json!(DURATION);
        }
        self.decimal_fractions(protocol, &mut output);
        new["output"] = output;
        Ok(new)
    }

    /// Renames the outputs of a feature to those of version 5.
    fn known_outputs(&mut self, protocol: &str, output: &Value) -> Value {
        let mut known = json!({});
        for (name, properties) in output.as_object().into_iter().flatten() {
            match current_output(name) {
                Some(current) => known[current] = properties.clone(),
                None => self.warn(format!(
                    "an output {name:?} of protocol {protocol:?} is unknown: left out: {properties}"
                )),
            }
        }
        known
    }

    /// TCode numbers are decimal fractions: with three digits, 1000 would be a tenth.
    pub(super) fn decimal_fractions(&mut self, protocol: &str, output: &mut Value) {
        if !protocol.starts_with("tcode") {
            return;
        }
        for (kind, properties) in output.as_object_mut().into_iter().flatten() {
            let too_long = if kind == "vibrate" { 100 } else { 1_000 };
            if let Some(end) = properties
                .pointer_mut("/value/1")
                .filter(|end| **end == json!(too_long))
            {
                *end = json!(too_long - 1);
                self.warn(format!(
                    "a {kind} range of protocol {protocol:?} to {too_long} became one to {}: in TCode a number is a \
                     decimal fraction",
                    too_long - 1
                ));
            }
        }
    }
}

/// Converts the `messages` of version 2, each element of which is a feature.
fn features_of_messages(messages: &Value) -> Vec<Value> {
    let mut features = Vec::new();
    for (message, list) in messages.as_object().into_iter().flatten() {
        for attributes in list.as_array().into_iter().flatten() {
            let kind = match message.as_str() {
                "VibrateCmd" => "Vibrate",
                "RotateCmd" => "Rotate",
                "LinearCmd" => "Position",
                _ => attributes["ActuatorType"]
                    .as_str()
                    .or(attributes["SensorType"].as_str())
                    .unwrap_or_default(),
            };
            let mut feature = Map::new();
            feature.insert("feature-type".to_owned(), kind.into());
            feature.insert("messages".to_owned(), json!([message]));
            for (old, new) in [
                ("StepRange", "step-range"),
                ("SensorRange", "value-range"),
                ("FeatureDescriptor", "description"),
            ] {
                if let Some(value) = attributes.get(old) {
                    feature.insert(new.to_owned(), value.clone());
                }
            }
            // One motor may be listed under several messages.
            let feature = Value::Object(feature);
            let known = features.iter().any(|f: &Value| {
                f["feature-type"] == feature["feature-type"]
                    && f["step-range"] == feature["step-range"]
                    && f["messages"] != feature["messages"]
            });
            if !known {
                features.push(feature);
            }
        }
    }
    features
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

fn input_key(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Battery" => "battery",
        "RSSI" => "rssi",
        "Pressure" => "pressure",
        _ => return None,
    })
}

/// Parses `[0, 20]`, or `[[0, 20]]`, which some files have.
fn step_range(of: &Value) -> Option<[i64; 2]> {
    let range = either(of, "step_range").or(of.get("value"))?;
    let range = if range[0].is_array() { &range[0] } else { range };
    Some([range[0].as_i64()?, range[1].as_i64()?])
}

/// The given id, or else one that is derived from `seed`.
pub(super) fn uuid(given: Option<&Value>, seed: &str) -> Value {
    let given = given
        .and_then(Value::as_str)
        .and_then(|id| Uuid::try_parse(id).ok());
    given
        .unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()))
        .to_string()
        .into()
}
