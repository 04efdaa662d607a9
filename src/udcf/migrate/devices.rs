//! Converts a user's devices: index, name and limits, on top of version 5 definitions.

use buttplug_server_device_config::BaseDeviceIdentifier;
use serde_json::{Value, json};

use super::features::{current_output, output_key, uuid};
use super::{Migration, either};
use crate::udcf::BASE;

/// The definition that a device is based on: its id, and its features with `id` and `output`.
struct Base {
    id: Value,
    features: Vec<Value>,
}

impl Migration<'_> {
    /// Converts the user's devices of any version.
    pub(super) fn devices(&mut self, devices: Vec<Value>) -> Vec<Value> {
        let mut taken: Vec<u64> = devices
            .iter()
            .filter_map(|d| customization(&d["config"]).get("index").and_then(Value::as_u64))
            .collect();
        devices
            .into_iter()
            .filter_map(|device| self.device(device, &mut taken))
            .collect()
    }

    fn device(&mut self, device: Value, taken: &mut Vec<u64>) -> Option<Value> {
        if !device.is_object() {
            self.warn(format!(
                "an entry of \"devices\" is not an object: left out: {device}"
            ));
            return None;
        }
        let text = |field: &str| device["identifier"][field].as_str();
        let (Some(address), Some(protocol)) = (text("address"), text("protocol")) else {
            self.warn(format!(
                "a device has no address or no protocol: left out: {device}"
            ));
            return None;
        };
        let identifier = text("identifier");
        let config = &device["config"];
        let called = format!(
            "the device {address:?} ({protocol}{})",
            identifier.map(|i| format!(" {i}")).unwrap_or_default()
        );
        let base = self.base(protocol, identifier, config, &called)?;
        let seed = format!("{protocol}/{}/{address}", identifier.unwrap_or_default());

        let custom = customization(config);
        let flag = |name: &str| custom.get(name).and_then(Value::as_bool).unwrap_or(false);
        let index = custom.get("index").and_then(Value::as_u64).unwrap_or_else(|| {
            let free = (0..).find(|i| !taken.contains(i)).unwrap_or(0);
            taken.push(free);
            free
        });
        let mut user_config = json!({ "allow": flag("allow"), "deny": flag("deny"), "index": index });
        if let Some(name) = either(custom, "display_name").filter(|n| n.is_string()) {
            user_config["display_name"] = name.clone();
        }
        if let Some(gap) = either(custom, "message_gap_ms").filter(|g| g.is_u64()) {
            user_config["message_gap_ms"] = gap.clone();
        }

        let mut features: Vec<Value> = base
            .features
            .iter()
            .enumerate()
            .map(|(i, feature)| json!({ "id": uuid(None, &format!("{seed}/feature/{i}")), "base_id": feature["id"] }))
            .collect();
        let limits = limits(config, custom);
        for limit in limits {
            self.limit(&called, protocol, &base, &mut features, limit);
        }
        let mut id = json!({ "address": address, "protocol": protocol });
        if let Some(identifier) = identifier {
            id["identifier"] = identifier.into();
        }
        Some(json!({
            "identifier": id,
            "config": {
                "id": uuid(config.get("id"), &seed), "base_id": base.id,
                "features": features, "user_config": user_config,
            },
        }))
    }

    /// The version 5 definition for a protocol and an identifier: a custom configuration of this file, or the
    /// server's own. If the device has more features than that, a configuration is made of them.
    fn base(
        &mut self,
        protocol: &str,
        identifier: Option<&str>,
        config: &Value,
        called: &str,
    ) -> Option<Base> {
        let found = self
            .custom_base(protocol, identifier)
            .or_else(|| server_base(protocol, identifier));
        let own = config["features"]
            .as_array()
            .filter(|f| f.iter().all(|f| either(f, "feature_type").is_some()));
        if let (Some(own), Some(identifier)) = (own, identifier)
            && own.len() > found.as_ref().map_or(0, |base| base.features.len())
        {
            let name = config["name"]
                .as_str()
                .or(either(customization(config), "display_name").and_then(Value::as_str));
            let custom =
                json!([{ "identifier": [identifier], "name": name.unwrap_or(identifier), "features": own }]);
            self.warn(format!(
                "{called} has more features than the server knows of: they became a configurations entry"
            ));
            self.configurations(protocol, custom, super::CURRENT_MAJOR);
            return self.custom_base(protocol, Some(identifier));
        }
        if found.is_none() {
            self.warn(format!(
                "{called} was left out: the server has no definition for it; connect it once and it gets a new entry"
            ));
        }
        found
    }

    fn custom_base(&self, protocol: &str, identifier: Option<&str>) -> Option<Base> {
        custom_base(self.protocols.get(protocol)?, identifier)
    }

    /// Applies one limit of the old entry to the feature that it belongs to.
    fn limit(&mut self, called: &str, protocol: &str, base: &Base, features: &mut [Value], limit: Limit) {
        let fits = |i: &usize| base.features[*i]["output"].get(&limit.kind).is_some();
        let at = (0..base.features.len())
            .find(|i| limit.base_id.is_some() && Some(&base.features[*i]["id"]) == limit.base_id.as_ref())
            .or(Some(limit.position).filter(|i| *i < base.features.len()))
            .filter(fits)
            .or_else(|| (0..base.features.len()).filter(fits).nth(limit.nth));
        let Some(at) = at else {
            return self.warn(format!(
                "{called}: its setting of {:?} was left out: no feature takes it",
                limit.kind
            ));
        };
        let mut output = json!({ limit.kind.as_str(): limit.properties });
        self.decimal_fractions(protocol, &mut output);
        let mut properties = output[&limit.kind].take();
        let base_output = &base.features[at]["output"][&limit.kind];
        for range in ["value", "duration"] {
            self.clamp(called, &limit.kind, range, &mut properties, base_output);
        }
        if properties.as_object().is_none_or(serde_json::Map::is_empty) {
            return;
        }
        if !features[at]["output"].is_object() {
            features[at]["output"] = json!({});
        }
        features[at]["output"][&limit.kind] = properties;
    }

    /// The server skips a device whose limits exceed the device's own range. It counts limits from 0, and applies
    /// them to both directions if that range begins below 0.
    fn clamp(&mut self, called: &str, kind: &str, name: &str, properties: &mut Value, base: &Value) {
        let Some(object) = properties.as_object_mut() else {
            return;
        };
        let Some(given) = object.get(name) else { return };
        let bound = |i: usize| base[name][i].as_i64().unwrap_or(0);
        let (least, most) = (bound(0).min(0), bound(1));
        let (Some(low), Some(high)) = (given[0].as_i64(), given[1].as_i64()) else {
            let given = object.remove(name).unwrap_or_default();
            return self.warn(format!(
                "{called}: the {name} of {kind} is no range: left out: {given}"
            ));
        };
        let both_ways = least < 0 && low < 0 && high > 0;
        // The smaller of the two never exceeds what was asked for.
        let wanted = if both_ways {
            (0, high.min(low.saturating_neg()))
        } else {
            (low, high)
        };
        let limit = (wanted.0.max(0), wanted.1.min(most));
        if limit.0 >= limit.1 {
            object.remove(name);
            let nothing = if most <= 0 { ", nothing above 0" } else { "" };
            return self.warn(format!(
                "{called}: the {name} of {kind}, {low} to {high}, was left out: the device has {least} to {most}{nothing}"
            ));
        }
        let became = if both_ways { (-limit.1, limit.1) } else { limit };
        if became != (low, high) {
            let why = if both_ways && limit == wanted {
                "the server has one limit for both directions".to_owned()
            } else {
                format!("the device has {least} to {most}")
            };
            self.warn(format!(
                "{called}: the {name} of {kind}, {low} to {high}, became {} to {}: {why}",
                became.0, became.1
            ));
        }
        object.insert(name.to_owned(), json!([limit.0, limit.1]));
    }
}

/// A setting of one output in an old entry.
struct Limit {
    /// The index of its feature.
    position: usize,
    /// Its index among the settings of its kind.
    nth: usize,
    base_id: Option<Value>,
    kind: String,
    properties: Value,
}

/// The settings of an old entry: `step-limit` of version 3, `output` of version 4, `messages` of version 2.
fn limits(config: &Value, custom: &Value) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    let mut add = |position, base_id: Option<Value>, kind: String, properties: Value| {
        let nth = limits.iter().filter(|l| l.kind == kind).count();
        limits.push(Limit {
            position,
            nth,
            base_id,
            kind,
            properties,
        });
    };
    for (position, feature) in config["features"].as_array().into_iter().flatten().enumerate() {
        let base_id = either(feature, "base_id").cloned();
        for (kind, properties) in feature["output"].as_object().into_iter().flatten() {
            let kind = current_output(kind).map_or_else(|| kind.clone(), str::to_owned);
            add(position, base_id.clone(), kind, properties.clone());
        }
        let kind = either(feature, "feature_type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let actuator = &feature["actuator"];
        let messages: Vec<String> = actuator["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if let Some(limit) = either(actuator, "step_limit")
            && let Some(kind) = output_key(kind, &messages)
            && either(actuator, "step_range") != Some(limit)
        {
            add(position, base_id, kind.to_owned(), json!({ "value": limit }));
        }
    }
    let messages = custom.get("messages").or(config.get("messages"));
    let mut position = 0;
    for (message, list) in messages.and_then(Value::as_object).into_iter().flatten() {
        for attributes in list.as_array().into_iter().flatten() {
            let kind = match message.as_str() {
                "VibrateCmd" => "Vibrate",
                "RotateCmd" => "Rotate",
                "LinearCmd" => "Position",
                _ => attributes["ActuatorType"].as_str().unwrap_or_default(),
            };
            if let Some(kind) = output_key(kind, std::slice::from_ref(message))
                && let Some(range) = attributes.get("StepRange")
            {
                add(position, None, kind.to_owned(), json!({ "value": range }));
            }
            position += 1;
        }
    }
    limits
}

/// The part of an entry that holds its index and flags: separate since version 3.
fn customization(config: &Value) -> &Value {
    either(config, "user_config").unwrap_or(config)
}

fn custom_base(protocol: &Value, identifier: Option<&str>) -> Option<Base> {
    let identifier = identifier?;
    let configurations = protocol["configurations"].as_array()?;
    let has = |c: &&Value| {
        c["identifier"]
            .as_array()
            .is_some_and(|ids| ids.iter().any(|i| i == identifier))
    };
    let found = configurations.iter().find(has)?;
    Some(Base {
        id: found["id"].clone(),
        features: found["features"].as_array().cloned().unwrap_or_default(),
    })
}

/// The `base_id` that the config of a version 5 device needs, and those of its features.
pub(in crate::udcf) fn base_ids(user_configs: &Value, device: &Value) -> Option<(Value, Vec<Value>)> {
    let protocol = device["identifier"]["protocol"].as_str()?;
    let identifier = device["identifier"]["identifier"].as_str();
    let base = custom_base(&user_configs["protocols"][protocol], identifier)
        .or_else(|| server_base(protocol, identifier))?;
    let features = base.features.iter().map(|feature| feature["id"].clone());
    Some((base.id, features.collect()))
}

fn server_base(protocol: &str, identifier: Option<&str>) -> Option<Base> {
    let definitions = BASE.base_device_definitions();
    let named = BaseDeviceIdentifier::new(protocol, &identifier.map(str::to_owned));
    let definition = definitions
        .get(&named)
        .or_else(|| definitions.get(&BaseDeviceIdentifier::new_default(protocol)))?;
    let feature = |feature: &buttplug_server_device_config::ServerDeviceFeature| {
        let mut output = json!({});
        for one in feature.output.iter() {
            // Serialised as an enum with its name around it: {"vibrate": {...}}.
            if let Ok(Value::Object(named)) = serde_json::to_value(one) {
                for (kind, properties) in named {
                    output[kind] = properties;
                }
            }
        }
        json!({ "id": feature.id(), "output": output })
    };
    Some(Base {
        id: json!(definition.id()),
        features: definition.features().values().map(feature).collect(),
    })
}
