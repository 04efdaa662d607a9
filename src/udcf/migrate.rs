//! Versions 2, 3 and 4 -> 5.
//!
//! The versions differ in where things stand and how they are spelt: kebab or snake case, `specifiers`,
//! `selectors` or `protocols`, one list of names or one entry a name. Real files mix them, so what stands in the
//! file decides, not its header. Whatever cannot be carried over becomes a warning.

mod communication;
mod devices;
mod features;

use serde_json::{Map, Value, json};

pub(super) use devices::base_ids;

use super::{CURRENT_MAJOR, is_comment, schema};

/// Faults that are taken out before the rest is given up; each costs the entry that it stands in.
const MAX_FAULTS: usize = 1_000;

/// Whether a file has the body of an older version, whatever its header says.
pub(super) fn is_old_body(value: &Value) -> bool {
    value.get("user-configs").is_some()
        || value["user_configs"].get("specifiers").is_some()
        || value["user_configs"].get("selectors").is_some()
        // The schemas allow it there, the server's loader does not look.
        || value["user_configs"]["protocols"].as_object().into_iter().flatten().any(|(_, p)| p.get("devices").is_some())
}

/// What is being built, and what is said on the way.
struct Migration<'a> {
    warnings: &'a mut Vec<String>,
    protocols: Map<String, Value>,
    comments: usize,
}

/// Turns a file of any version into version 5, valid by the published schema.
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
            // Not in any schema, but seen in files that people hand around.
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
            "{n} comment{} passed over",
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

    /// The entry of a protocol in the result, with a list in it.
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

    /// One protocol of any version: `communication` of version 3 and later, the kinds by name of version 2.
    fn protocol(&mut self, protocol: &str, entry: Value) {
        let Value::Object(entry) = entry else {
            return self.warn(format!("protocol {protocol:?} is not an object: left out"));
        };
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
                // The schemas of versions 3 to 5 have it in here, the server's loader does not look.
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
                ("defaults", _) => {
                    self.warn(format!(
                        "\"defaults\" of protocol {protocol:?} are the server's own, not a user's: left out"
                    ));
                }
                (kind, body) => self.communication(protocol, kind, body),
            }
        }
    }
}

/// Takes out what the schema does not take: the smallest entry around each fault, with a warning.
fn prune(value: &mut Value, warnings: &mut Vec<String>) {
    for _ in 0..MAX_FAULTS {
        let Some(fault) = schema::fault(value) else { return };
        let steps: Vec<&str> = fault.pointer.split('/').skip(1).collect();
        // An entry is an element of a list; where no list is around, the member of the user's part.
        let cut = steps
            .iter()
            .rposition(|s| s.parse::<usize>().is_ok())
            .unwrap_or(steps.len().saturating_sub(1));
        // Of a device or a configuration, all goes: half of it would be another device.
        let cut = steps
            .iter()
            .position(|s| matches!(*s, "devices" | "configurations"))
            .map_or(cut, |list| list + 1);
        let (Some(parent), Some(last)) = (steps.get(..cut), steps.get(cut)) else {
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

/// The member of an object under either spelling.
fn either<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value
        .get(name.replace('_', "-"))
        .or_else(|| value.get(name.replace('-', "_")))
}
