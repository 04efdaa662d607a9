//! Converts features of custom `configurations` from any version to version 5.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Migration, either, member, tcode};
use crate::udcf::remark::{excerpt, step};
use crate::udcf::same_index;

/// The durations in ms that a linear command of the older versions could ask for; the server's own default.
const DURATION: [u32; 2] = [0, 99_999];

impl Migration {
    /// Converts the custom configurations of one protocol.
    pub(super) fn configurations(&mut self, at: &str, protocol: &str, list: &Value, major: u64) {
        let Value::Array(list) = list else {
            return self.lose(
                at,
                format!(
                    "configurations of protocol {protocol:?} are not a list: left out: {}",
                    excerpt(list)
                ),
            );
        };
        if major < 4 && !list.is_empty() {
            self.warn(
                at,
                format!(
                    "the configurations of protocol {protocol:?} were without effect in version {major}; now they count"
                ),
            );
        }
        for (i, configuration) in list.iter().enumerate() {
            let at = step(at, i);
            if let Some(configuration) = self.configuration(&at, protocol, configuration) {
                self.add(protocol, "configurations", configuration, &at);
            }
        }
    }

    /// Converts `defaults`: they were meant for every device of the protocol that the file names.
    pub(super) fn defaults(&mut self) {
        for (at, protocol, mut defaults) in std::mem::take(&mut self.defaults) {
            let names = self.names_without_configuration(&protocol);
            if names.is_empty() || !defaults.is_object() {
                self.lose(
                    &at,
                    format!(
                        "\"defaults\" of protocol {protocol:?} are the server's own, not a user's, and the file has no \
                         name that they could be for: left out: {}",
                        excerpt(&defaults)
                    ),
                );
                continue;
            }
            self.warn(
                &at,
                format!(
                    "\"defaults\" of protocol {protocol:?} became a configurations entry for {}: a user's part has no \
                     defaults",
                    names.join(", ")
                ),
            );
            defaults["identifier"] = names.into();
            if let Some(configuration) = self.configuration(&at, &protocol, &defaults) {
                self.add(&protocol, "configurations", configuration, &at);
            }
        }
    }

    /// What devices of a protocol are identified by if they do not report a model, and no configuration is for.
    fn names_without_configuration(&self, protocol: &str) -> Vec<String> {
        let Some(entry) = self.protocols.get(protocol) else {
            return Vec::new();
        };
        let specifiers = entry["communication"].as_array().into_iter().flatten();
        let mut names: Vec<String> = specifiers
            .flat_map(|specifier| {
                let one = [&specifier["websocket"]["name"], &specifier["serial"]["port"]];
                let many = specifier["btle"]["names"].as_array().into_iter().flatten();
                one.into_iter().chain(many).filter_map(Value::as_str)
            })
            .filter(|name| !name.ends_with('*'))
            .map(str::to_owned)
            .collect();
        let configurations = entry["configurations"].as_array();
        names.retain(|name| {
            let mut configurations = configurations.into_iter().flatten();
            !configurations.any(|c| super::base::identifies(c, Some(name)))
        });
        names.dedup();
        names
    }

    /// Converts one configuration.
    pub(super) fn configuration(&mut self, at: &str, protocol: &str, configuration: &Value) -> Option<Value> {
        let Some(object) = configuration.as_object() else {
            self.lose(
                at,
                format!(
                    "a configuration of protocol {protocol:?} is not an object: left out: {}",
                    excerpt(configuration)
                ),
            );
            return None;
        };
        let identifier = match object.get("identifier") {
            Some(Value::String(one)) => json!([one]),
            Some(list @ Value::Array(_)) => list.clone(),
            _ => {
                self.lose(
                    at,
                    format!(
                        "a configuration of protocol {protocol:?} has no identifier: left out; without one nothing finds \
                         it: {}",
                        excerpt(configuration)
                    ),
                );
                return None;
            }
        };
        let name = object
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("Custom device");
        let seed = format!("{protocol}/{identifier}");
        let mut out = json!({
            "identifier": identifier,
            "name": name,
            "id": uuid(object.get("id"), &seed),
            "features": self.features(at, protocol, configuration, name, &seed),
        });
        if let Some(variant) = either(configuration, "protocol_variant").filter(|v| v.is_string()) {
            out["protocol_variant"] = variant.clone();
        }
        if let Some(gap) = either(configuration, "message_gap_ms").filter(|g| g.is_u64()) {
            out["message_gap_ms"] = gap.clone();
        }
        let joined = same_index::join(&mut out, at);
        // In the older versions each kind of output was counted on its own, so there it is no fault of the file.
        if !has_old_features(configuration) {
            self.remarks.extend(joined.remarks);
        }
        self.remarks.extend(joined.clashes);
        for (id, other) in joined.ids {
            let steps: Vec<_> = self.steps.iter().filter(|((of, _), _)| *of == id).collect();
            let moved: Vec<_> = steps
                .iter()
                .map(|((_, kind), n)| ((other.clone(), kind.clone()), **n))
                .collect();
            self.steps.extend(moved);
        }
        Some(out)
    }

    fn features(&mut self, at: &str, protocol: &str, of: &Value, name: &str, seed: &str) -> Vec<Value> {
        let old: Vec<(String, Value)> = match (of.get("features"), of.get("messages")) {
            (Some(Value::Array(features)), _) => {
                let at = step(at, "features");
                let features = features.iter().enumerate();
                features
                    .map(|(i, feature)| (step(&at, i), feature.clone()))
                    .collect()
            }
            (_, Some(messages)) => features_of_messages(&step(at, "messages"), messages),
            _ => Vec::new(),
        };
        let mut channels = HashMap::new();
        let mut features = Vec::new();
        for (index, (at, feature)) in old.iter().enumerate() {
            match self.feature(at, protocol, feature, (index, seed), &mut channels) {
                Ok(feature) => features.push(feature),
                Err(why) => self.lose(
                    at,
                    format!("a feature of {name:?} was left out: {why}: {}", excerpt(feature)),
                ),
            }
        }
        features
    }

    /// Converts one feature of any version. `channels` counts the outputs of each kind.
    fn feature(
        &mut self,
        at: &str,
        protocol: &str,
        old: &Value,
        (index, seed): (usize, &str),
        channels: &mut HashMap<&'static str, u64>,
    ) -> Result<Value, String> {
        let mut new = json!({
            "index": old["index"].as_u64().unwrap_or(index as u64),
            "id": uuid(old.get("id"), &format!("{seed}/feature/{index}")),
        });
        let id = new["id"].as_str().unwrap_or_default().to_owned();
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
                let at = step(at, "output");
                let mut known = json!({});
                for (name, properties) in output.as_object().into_iter().flatten() {
                    let at = step(&at, name);
                    match current_output(name) {
                        Some(kind) => {
                            known[kind] = self.range(&at, protocol, (&id, kind), properties.clone())
                        }
                        None => self.lose(
                            &at,
                            format!(
                                "an output {name:?} of protocol {protocol:?} is unknown: left out: {}",
                                excerpt(properties)
                            ),
                        ),
                    }
                }
                new["output"] = known;
            }
            if let Some(input) = old.get("input") {
                new["input"] = input.clone();
            }
            return Ok(new);
        }
        let kind = feature_type(old);
        if let Some(input) = input_key(kind) {
            new["input"] = json!({ input: input_of(old.get("sensor").unwrap_or(old)) });
            return Ok(new);
        }
        let (actuator, at) = match old.get("actuator") {
            Some(actuator) => (actuator, step(at, "actuator")),
            None => (old, at.to_owned()),
        };
        let (range_key, range) = step_range(actuator).ok_or("it has no step range")?;
        let messages = message_names(actuator);
        let key = output_key(kind, &messages).ok_or_else(|| format!("its type {kind:?} is unknown"))?;
        if tcode::full(protocol, key).is_some() && old["index"].as_u64().is_none() {
            // Each kind of axis has channels of its own: the first vibration is V0 beside L0.
            let channel = channels.entry(key).or_insert(0);
            new["index"] = (*channel).into();
            *channel += 1;
        }
        let value = match range {
            // A rotation with a direction ranges from minus to plus.
            [_, high] if both_ways(key, &messages) => json!([high.saturating_neg(), high]),
            range => json!(range),
        };
        let mut properties = self.range(
            &step(&at, range_key),
            protocol,
            (&id, key),
            json!({ "value": value }),
        );
        if key == "hw_position_with_duration" {
            properties["duration"] = json!(DURATION);
        }
        new["output"] = json!({ key: properties });
        Ok(new)
    }

    /// Gives a TCode output the range that means the full stroke.
    fn range(&mut self, at: &str, protocol: &str, (id, kind): (&str, &str), mut properties: Value) -> Value {
        let Some(full) = tcode::full(protocol, kind) else {
            return properties;
        };
        let Some([low, high]) = ends(&properties["value"]).filter(|[_, high]| *high > 0) else {
            return properties;
        };
        if [low, high] == [0, full] {
            return properties;
        }
        self.steps.insert((id.to_owned(), kind.to_owned()), high);
        properties["value"] = json!([0, full]);
        if low != 0 {
            self.lose(
                at,
                format!(
                    "the {kind} range {low} to {high} of protocol {protocol:?} became 0 to {full}, the full stroke: a \
                     range begins at 0; to keep the device away from its ends, limit it in an entry of \"devices\""
                ),
            );
        } else {
            self.warn(
                at,
                format!(
                    "the {kind} range 0 to {high} of protocol {protocol:?} became 0 to {full}: both are the full stroke, \
                     but TCode numbers are decimal fractions, and {high} would be another"
                ),
            );
        }
        properties
    }
}

/// Whether features are written as in version 2 or 3.
pub(super) fn has_old_features(of: &Value) -> bool {
    match of.get("features").and_then(Value::as_array) {
        Some(features) => features
            .iter()
            .any(|feature| feature.get("output").is_none() && feature.get("input").is_none()),
        None => of.get("messages").is_some(),
    }
}

/// The input of version 5 that a sensor of the older versions is.
fn input_of(sensor: &Value) -> Value {
    let mut commands: Vec<&str> = Vec::new();
    for message in message_names(sensor) {
        match message.as_str() {
            "SensorReadCmd" if !commands.contains(&"Read") => commands.push("Read"),
            "SensorSubscribeCmd" if !commands.contains(&"Subscribe") => commands.push("Subscribe"),
            _ => {}
        }
    }
    if commands.is_empty() {
        commands.push("Read");
    }
    let range = either(sensor, "value_range")
        .cloned()
        .unwrap_or_else(|| json!([[0, 100]]));
    json!({ "value": range, "command": commands })
}

/// Converts the `messages` of version 2, each element of which is a feature, to version 3; each with its place.
pub(super) fn features_of_messages(at: &str, messages: &Value) -> Vec<(String, Value)> {
    let mut features: Vec<(String, Value)> = Vec::new();
    for (message, list) in messages.as_object().into_iter().flatten() {
        let at = step(at, message);
        for (i, attributes) in list.as_array().into_iter().flatten().enumerate() {
            let mut feature = Map::new();
            feature.insert(
                "feature-type".to_owned(),
                kind_of_message(message, attributes).into(),
            );
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
            let known = features.iter_mut().find(|(_, f)| {
                f["feature-type"] == feature["feature-type"]
                    && f["step-range"] == feature["step-range"]
                    && f["description"] == feature["description"]
                    && f["messages"] != feature["messages"]
            });
            match known {
                Some((_, known)) => {
                    if let Some(messages) = known["messages"].as_array_mut() {
                        messages.push(message.as_str().into());
                    }
                }
                None => features.push((step(&at, i), feature)),
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
