//! Converts a user's devices: index, name and limits, on top of version 5 definitions.

use serde_json::{Value, json};

use super::base::{Base, custom, identifies, server};
use super::features::uuid;
use super::limits::settings;
use super::own::Described;
use super::{Migration, either, member};
use crate::udcf::remark::{excerpt, step};

impl Migration {
    /// Converts the user's devices of any version.
    pub(super) fn devices(&mut self, at: &str, devices: &[Value]) -> Vec<Value> {
        let mut taken: Vec<u64> = devices
            .iter()
            .filter_map(|d| customization(&d["config"]).get("index").and_then(Value::as_u64))
            .collect();
        let mut converted = Vec::new();
        for (i, device) in devices.iter().enumerate() {
            let at = step(at, i);
            if let Some(device) = self.device(&at, device, &mut taken) {
                converted.push(device);
                self.origins.push("/user_configs/devices", at);
            }
        }
        converted
    }

    fn device(&mut self, at: &str, device: &Value, taken: &mut Vec<u64>) -> Option<Value> {
        if !device.is_object() {
            self.lose(
                at,
                format!(
                    "an entry of \"devices\" is not an object: left out: {}",
                    excerpt(device)
                ),
            );
            return None;
        }
        let text = |field: &str| device["identifier"][field].as_str();
        let (Some(address), Some(protocol)) = (text("address"), text("protocol")) else {
            self.lose(
                at,
                format!(
                    "a device has no address or no protocol: left out: {}",
                    excerpt(device)
                ),
            );
            return None;
        };
        let identifier = text("identifier");
        let config = &device["config"];
        let custom = customization(config);
        let config_at = step(at, "config");
        let described = Described {
            at,
            address,
            protocol,
            identifier,
            config,
            custom,
        };
        let (called, seed) = (described.called(), described.seed());
        let settings = settings(&config_at, config);
        let model = of_identifier(self.protocols.get(protocol), protocol, identifier);
        let own = self.own_definition(&described, model.as_ref(), &settings);
        let Some(base) = own.or(model) else {
            self.lose(
                at,
                format!(
                    "{called} was left out: the server has no definition for it; connect it once and it gets a new entry: \
                     {}",
                    excerpt(device)
                ),
            );
            return None;
        };

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
        for setting in &settings {
            self.apply(&called, protocol, &base, &mut features, setting);
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
}

/// The part of an entry that holds its index and flags: separate since version 3.
pub(super) fn customization(config: &Value) -> &Value {
    member(config, "user_config").map_or(config, |(_, custom)| custom)
}

/// The definition for an identifier: a configuration of the file, or the server's own.
fn of_identifier(entry: Option<&Value>, protocol: &str, identifier: Option<&str>) -> Option<Base> {
    custom(entry, |configuration| identifies(configuration, identifier))
        .or_else(|| server(protocol, identifier))
}

/// What a device of a version 5 file builds on: what its `base_id` names, or else what its identifier does.
pub(in crate::udcf) fn base_of(user_configs: &Value, device: &Value) -> Option<Base> {
    let protocol = device["identifier"]["protocol"].as_str()?;
    let identifier = device["identifier"]["identifier"].as_str();
    let entry = &user_configs["protocols"][protocol];
    let named = &device["config"]["base_id"];
    custom(Some(entry), |configuration| {
        !named.is_null() && configuration["id"] == *named
    })
    .or_else(|| of_identifier(Some(entry), protocol, identifier))
}

/// The `base_id` that the config of a version 5 device needs, and those of its features.
pub(in crate::udcf) fn base_ids(user_configs: &Value, device: &Value) -> Option<(Value, Vec<Value>)> {
    let base = base_of(user_configs, device)?;
    let features = base.features.iter().map(|feature| feature["id"].clone());
    Some((base.id, features.collect()))
}
