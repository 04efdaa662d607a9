//! Migrates versions 2, 3 and 4 to version 5.
//!
//! The versions differ in structure and spelling: kebab or snake case, `specifiers`, `selectors` or `protocols`, one
//! list of names or one entry per name. Real files mix them, so the content decides, not the header. What cannot be
//! carried over becomes a warning.

mod communication;
mod defaults;
mod devices;
mod features;

use serde_json::{Map, Value, json};

pub(super) use devices::base_ids;

use super::{CURRENT_MAJOR, is_comment, schema};

/// After this many removed entries, the rest is given up.
const MAX_FAULTS: usize = 1_000;

/// Whether a file has the body of an older version, regardless of its header.
pub(super) fn is_old_body(value: &Value) -> bool {
    value.get("user-configs").is_some()
        || value["user_configs"].get("specifiers").is_some()
        || value["user_configs"].get("selectors").is_some()
        // The schemas allow it there, but the server's loader ignores it.
        || value["user_configs"]["protocols"].as_object().into_iter().flatten().any(|(_, p)| p.get("devices").is_some())
}

/// The result so far, and its warnings.
struct Migration<'a> {
    warnings: &'a mut Vec<String>,
    protocols: Map<String, Value>,
    comments: usize,
}

/// Converts a file of any version to version 5, valid against the published schema.
pub(super) fn migrate(original: Value, major: u64, warnings: &mut Vec<String>) -> Value {
    let mut migration = Migration {
        warnings,
        protocols: Map::new(),
        comments: 0,
    };
    let mut user = Map::new();
    for (key, value) in object(original) {
        match (key.as_str(), value) {
            ("version", _) => {}
            ("user-configs" | "user_configs", Value::Object(section)) => {
                if (key == "user-configs") != (major < 4) {
                    migration.warn(format!(
                        "the header says version {major}, but {key:?} is how version {} writes it; the body counts",
                        if major < 4 { "4 or 5" } else { "2 or 3" }
                    ));
                }
                user.extend(section);
            }
            ("user-configs" | "user_configs", _) => migration.warn(format!("{key:?} is not an object: left out")),
            ("protocols", _) => migration.warn(
                "\"protocols\" at the top is the server's own device base, not a user's part: left out; what you \
                 added to it belongs under \"user_configs\""
                    .to_owned(),
            ),
            (key, _) if is_comment(key) => migration.comments += 1,
            (key, _) => migration.warn(format!("{key:?} at the top is unknown: left out")),
        }
    }
    let mut devices = Value::Null;
    let mut simulated = Value::Null;
    for (key, value) in user {
        match (key.as_str(), value) {
            ("specifiers" | "selectors" | "protocols", Value::Object(protocols)) => {
                if (key == "protocols") != (major > 2) && !protocols.is_empty() {
                    migration.warn(format!(
                        "the header says version {major}, but {key:?} is how version {} names it; the body counts",
                        if key == "protocols" { "3 or later" } else { "2" }
                    ));
                }
                for (protocol, entry) in protocols {
                    migration.protocol(&protocol, entry);
                }
            }
            // In no schema, but in files that circulate.
            ("configurations", Value::Object(protocols)) => {
                for (protocol, configurations) in protocols {
                    migration.configurations(&protocol, configurations, major);
                }
            }
            ("devices" | "user_device_configs", list @ Value::Array(_)) => devices = list,
            ("simulated_devices" | "simulated-devices", list @ Value::Array(_)) => simulated = list,
            (key, _) if is_comment(key) => migration.comments += 1,
            (key, _) => migration.warn(format!(
                "{key:?} under the user's part is unknown, or not of its type: left out"
            )),
        }
    }
    let devices: Vec<Value> = match devices {
        Value::Array(devices) => migration.devices(devices),
        _ => Vec::new(),
    };
    if migration.comments > 0 {
        let n = migration.comments;
        migration.warn(format!(
            "{n} comment{} ignored",
            if n == 1 { " was" } else { "s were" }
        ));
    }
    let mut user_configs = json!({ "protocols": migration.protocols });
    if !devices.is_empty() {
        user_configs["devices"] = devices.into();
    }
    if !simulated.is_null() {
        user_configs["simulated_devices"] = simulated;
    }
    let mut value =
        json!({ "version": { "major": CURRENT_MAJOR, "minor": 0 }, "user_configs": user_configs });
    prune(&mut value, warnings);
    value
}

impl Migration<'_> {
    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// A list in the result's entry of a protocol, created if absent.
    fn list(&mut self, protocol: &str, list: &str) -> &mut Vec<Value> {
        let entry = self.protocols.entry(protocol).or_insert_with(|| json!({}));
        let entry = &mut entry[list];
        if !entry.is_array() {
            *entry = json!([]);
        }
        match entry {
            Value::Array(list) => list,
            _ => unreachable!("it was made an array two lines above"),
        }
    }

    /// Converts one protocol of any version: `communication` since version 3, kinds by name in version 2.
    fn protocol(&mut self, protocol: &str, entry: Value) {
        let Value::Object(entry) = entry else {
            return self.warn(format!("protocol {protocol:?} is not an object: left out"));
        };
        let mut defaults = None;
        for (key, value) in entry {
            match (key.as_str(), value) {
                ("communication", Value::Array(specifiers)) => {
                    for specifier in specifiers {
                        for (kind, body) in object(specifier) {
                            self.communication(protocol, &kind, body);
                        }
                    }
                }
                ("configurations", list) => self.configurations(protocol, list, CURRENT_MAJOR),
                // The schemas of versions 3 to 5 have it here, but the server's loader ignores it.
                ("devices", Value::Object(section)) => {
                    for (key, value) in section {
                        match key.as_str() {
                            "configurations" => self.configurations(protocol, value, CURRENT_MAJOR),
                            key if is_comment(key) => self.comments += 1,
                            key => self.warn(format!(
                                "{key:?} of protocol {protocol:?} is not a user's to set: left out"
                            )),
                        }
                    }
                }
                (key, _) if is_comment(key) => self.comments += 1,
                ("defaults", value) => defaults = Some(value),
                (kind, body) => self.communication(protocol, kind, body),
            }
        }
        if let Some(defaults) = defaults {
            self.defaults(protocol, defaults);
        }
    }
}

/// Removes what the schema rejects: the smallest entry around each fault, with a warning.
fn prune(value: &mut Value, warnings: &mut Vec<String>) {
    for _ in 0..MAX_FAULTS {
        let Some(fault) = schema::fault(value) else { return };
        let steps: Vec<&str> = fault.pointer.split('/').skip(1).collect();
        // An entry is an element of the innermost list; outside of lists, a member of the user's part.
        let depth = steps
            .iter()
            .rposition(|s| s.parse::<usize>().is_ok())
            .unwrap_or(steps.len().saturating_sub(1));
        // A faulty device or configuration is removed as a whole: half of it would be another device.
        let depth = steps
            .iter()
            .position(|s| matches!(*s, "devices" | "configurations"))
            .map_or(depth, |list| list + 1);
        let (Some(parent), Some(last)) = (steps.get(..depth), steps.get(depth)) else {
            *value = json!({ "version": { "major": CURRENT_MAJOR, "minor": 0 } });
            warnings.push(format!("nothing could be carried over: {}", fault.problem));
            return;
        };
        let parent: String = parent.iter().map(|s| format!("/{s}")).collect();
        let removed = match value.pointer_mut(&parent) {
            Some(Value::Array(list)) => last
                .parse()
                .ok()
                .filter(|i| *i < list.len())
                .map(|i: usize| list.remove(i)),
            Some(Value::Object(members)) => members.shift_remove(*last),
            _ => None,
        };
        let Some(removed) = removed else {
            *value = json!({ "version": { "major": CURRENT_MAJOR, "minor": 0 } });
            warnings.push(format!("nothing could be carried over: {}", fault.problem));
            return;
        };
        warnings.push(format!("left out of {parent}: {removed}: {}", fault.problem));
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// A member of an object, in kebab or snake case.
fn either<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value
        .get(name.replace('_', "-"))
        .or_else(|| value.get(name.replace('-', "_")))
}
