//! Converts features of custom `configurations` from any version to version 5.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::kinds::{
    both_ways, current_output, ends, feature_type, has_old_features, input_key, kind_of_message,
    message_names, output_key, step_range,
};
use super::{Migration, either, tcode};
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
                    "the configurations of protocol {protocol:?} were without effect in version {major}; now they take effect"
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
        let joined = same_index::join(&mut out, protocol, at);
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
        let old: Vec<(String, Value, &Value)> = match (of.get("features"), of.get("messages")) {
            (Some(Value::Array(features)), _) => {
                let at = step(at, "features");
                let features = features.iter().enumerate();
                features
                    .map(|(i, feature)| (step(&at, i), feature.clone(), feature))
                    .collect()
            }
            (_, Some(messages)) => features_of_messages(&step(at, "messages"), messages),
            _ => Vec::new(),
        };
        let mut channels = HashMap::new();
        let mut features = Vec::new();
        for (index, (at, feature, original)) in old.iter().enumerate() {
            match self.feature(at, protocol, feature, (index, seed), &mut channels) {
                Ok(feature) => features.push(feature),
                Err(why) => self.lose(
                    at,
                    format!("a feature of {name:?} was left out: {why}: {}", excerpt(original)),
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

/// Converts the `messages` of version 2, each element of which is a feature, to version 3; each with its place, and as it was.
fn features_of_messages<'m>(at: &str, messages: &'m Value) -> Vec<(String, Value, &'m Value)> {
    let mut features: Vec<(String, Value, &Value)> = Vec::new();
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
            let known = features.iter_mut().find(|(_, f, _)| {
                f["feature-type"] == feature["feature-type"]
                    && f["step-range"] == feature["step-range"]
                    && f["description"] == feature["description"]
                    && f["messages"] != feature["messages"]
            });
            match known {
                Some((_, known, _)) => {
                    if let Some(messages) = known["messages"].as_array_mut() {
                        messages.push(message.as_str().into());
                    }
                }
                None => features.push((step(&at, i), feature, attributes)),
            }
        }
    }
    features
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
