//! Migrates versions 2, 3 and 4 to version 5.
//!
//! The versions differ in structure and spelling: kebab or snake case, `specifiers`, `selectors` or `protocols`, one
//! list of names or one entry per name. Real files mix them, so the content decides, not the header. Whatever is not
//! carried over is remarked on; [`compare`] searches the old file for anything that would be lost silently.

mod base;
mod communication;
mod compare;
mod defaults;
mod devices;
mod features;
mod kinds;
mod limits;
mod origins;
mod own;
mod prune;
mod tcode;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

pub(super) use base::Base;
pub(super) use devices::{base_ids, base_of};
pub(super) use origins::Origins;

use super::remark::{Remark, excerpt, step};
use super::{CURRENT_MAJOR, is_comment};

/// Whether a file has the body of an older version, regardless of its header.
pub(super) fn is_old_body(value: &Value) -> bool {
    value.get("user-configs").is_some()
        || value["user_configs"].get("specifiers").is_some()
        || value["user_configs"].get("selectors").is_some()
        // The schemas allow it there, but the server's loader ignores it.
        || value["user_configs"]["protocols"].as_object().into_iter().flatten().any(|(_, p)| p.get("devices").is_some())
}

/// A file of an older version as version 5.
pub(super) struct Migrated {
    /// Valid by the published schema.
    pub(super) value: Value,
    /// Where its entries are in the original.
    pub(super) origins: Origins,
    /// Everything that is not in it as it was in the original.
    pub(super) remarks: Vec<Remark>,
}

/// The result so far.
#[derive(Default)]
struct Migration {
    remarks: Vec<Remark>,
    /// Pointers of values that were not carried over, which a remark reports.
    named: Vec<String>,
    protocols: Map<String, Value>,
    origins: Origins,
    comments: usize,
    /// The ends that TCode ranges of configurations had, by feature id and kind of output.
    steps: HashMap<(String, String), i64>,
    /// `defaults` with their pointers and protocols: they need the names of all protocols.
    defaults: Vec<(String, String, Value)>,
}

/// Converts a file of any version to version 5.
pub(super) fn migrate(original: &Value, major: u64) -> Migrated {
    let mut migration = Migration::default();
    let mut user = Vec::new();
    for (key, value) in original.as_object().into_iter().flatten() {
        let at = step("", key);
        match (key.as_str(), value) {
            ("version", _) => {}
            ("user-configs" | "user_configs", Value::Object(section)) => {
                if (key == "user-configs") != (major < 4) {
                    migration.warn(
                        &at,
                        format!(
                            "the header says version {major}, but {key:?} is how version {} writes it; the body decides",
                            if major < 4 { "4 or 5" } else { "2 or 3" }
                        ),
                    );
                }
                user.extend(section.iter().map(|(key, value)| (step(&at, key), key, value)));
            }
            ("user-configs" | "user_configs", _) => {
                migration.lose(&at, format!("{key:?} is not an object: left out: {}", excerpt(value)));
            }
            ("protocols", _) => migration.lose(
                &at,
                "\"protocols\" at the top is the server's own device base, not a user's part: left out; what you added \
                 to it belongs under \"user_configs\"",
            ),
            (key, _) if is_comment(key) => migration.comments += 1,
            (key, _) => migration.lose(&at, format!("{key:?} at the top is unknown: left out: {}", excerpt(value))),
        }
    }
    let mut devices = None;
    let mut simulated = None;
    for (at, key, value) in user {
        match (key.as_str(), value) {
            ("specifiers" | "selectors" | "protocols", Value::Object(protocols)) => {
                if (key == "protocols") != (major > 2) && !protocols.is_empty() {
                    migration.warn(
                        &at,
                        format!(
                            "the header says version {major}, but {key:?} is how version {} names it; the body decides",
                            if key == "protocols" { "3 or later" } else { "2" }
                        ),
                    );
                }
                for (protocol, entry) in protocols {
                    migration.protocol(&step(&at, protocol), protocol, entry);
                }
            }
            // In no schema, but in files that circulate.
            ("configurations", Value::Object(protocols)) => {
                for (protocol, configurations) in protocols {
                    migration.configurations(&step(&at, protocol), protocol, configurations, major);
                }
            }
            ("devices" | "user_device_configs", Value::Array(list)) if devices.is_none() => {
                devices = Some((at, list));
            }
            ("simulated_devices" | "simulated-devices", Value::Array(_)) if simulated.is_none() => {
                simulated = Some((at, value));
            }
            (key, _) if is_comment(key) => migration.comments += 1,
            (key, _) => migration.lose(
                &at,
                format!(
                    "{key:?} under the user's part is unknown, or not of its type: left out: {}",
                    excerpt(value)
                ),
            ),
        }
    }
    migration.defaults();
    let devices = match devices {
        Some((at, list)) => migration.devices(&at, list),
        None => Vec::new(),
    };
    if migration.comments > 0 {
        let n = migration.comments;
        let text = format!("{n} comment{} ignored", if n == 1 { " was" } else { "s were" });
        migration.remarks.push(Remark::of_the_file(text));
    }
    let mut user_configs = json!({ "protocols": migration.protocols });
    if !devices.is_empty() {
        user_configs["devices"] = devices.into();
    }
    if let Some((at, list)) = simulated {
        let elements = list.as_array().map_or(0, Vec::len);
        (0..elements).for_each(|i| {
            migration
                .origins
                .push("/user_configs/simulated_devices", step(&at, i))
        });
        user_configs["simulated_devices"] = list.clone();
    }
    let mut value =
        json!({ "version": { "major": CURRENT_MAJOR, "minor": 0 }, "user_configs": user_configs });
    let Migration {
        mut remarks,
        named,
        mut origins,
        ..
    } = migration;
    remarks.extend(compare::unaccounted(original, &value, &origins, &named));
    remarks.extend(prune::prune(&mut value, &mut origins));
    Migrated {
        value,
        origins,
        remarks,
    }
}

impl Migration {
    /// Remarks on something that is written differently in the result.
    fn warn(&mut self, at: &str, text: impl Into<String>) {
        self.remarks.push(Remark::note(at, text));
    }

    /// Remarks on something that is not carried over, with everything in it.
    fn lose(&mut self, at: &str, text: impl Into<String>) {
        self.named.push(at.to_owned());
        self.remarks.push(Remark::at(at, text));
    }

    /// Adds an entry to a list of a protocol in the result.
    fn add(&mut self, protocol: &str, list: &str, entry: Value, origin: &str) {
        let lists = self.protocols.entry(protocol).or_insert_with(|| json!({}));
        match &mut lists[list] {
            Value::Array(entries) => entries.push(entry),
            none => *none = json!([entry]),
        }
        let at = step(&step("/user_configs/protocols", protocol), list);
        self.origins.push(&at, origin.to_owned());
    }

    /// Converts one protocol of any version: `communication` since version 3, kinds by name in version 2.
    fn protocol(&mut self, at: &str, protocol: &str, entry: &Value) {
        let Value::Object(entry) = entry else {
            return self.lose(
                at,
                format!(
                    "protocol {protocol:?} is not an object: left out: {}",
                    excerpt(entry)
                ),
            );
        };
        self.protocols.entry(protocol).or_insert_with(|| json!({}));
        for (key, value) in entry {
            let at = step(at, key);
            match (key.as_str(), value) {
                ("communication", Value::Array(specifiers)) => {
                    for (i, specifier) in specifiers.iter().enumerate() {
                        let at = step(&at, i);
                        for (kind, body) in specifier.as_object().into_iter().flatten() {
                            self.communication(&step(&at, kind), protocol, kind, body);
                        }
                    }
                }
                ("configurations", list) => self.configurations(&at, protocol, list, CURRENT_MAJOR),
                // The schemas of versions 3 to 5 have it here, but the server's loader ignores it.
                ("devices", Value::Object(section)) => {
                    for (key, value) in section {
                        let at = step(&at, key);
                        match key.as_str() {
                            "configurations" => self.configurations(&at, protocol, value, CURRENT_MAJOR),
                            "defaults" => self.defaults.push((at, protocol.to_owned(), value.clone())),
                            key if is_comment(key) => self.comments += 1,
                            key => self.lose(
                                &at,
                                format!(
                                    "{key:?} of protocol {protocol:?} is not a user's to set: left out: {}",
                                    excerpt(value)
                                ),
                            ),
                        }
                    }
                }
                (key, _) if is_comment(key) => self.comments += 1,
                ("defaults", _) => self.defaults.push((at, protocol.to_owned(), value.clone())),
                (kind, body) => self.communication(&at, protocol, kind, body),
            }
        }
    }
}

/// A member of an object, in kebab or snake case, with its key.
fn member<'a>(value: &'a Value, name: &str) -> Option<(String, &'a Value)> {
    [name.replace('_', "-"), name.replace('-', "_")]
        .into_iter()
        .find_map(|key| Some((value.get(&key)?, key)))
        .map(|(value, key)| (key, value))
}

/// A member of an object, in kebab or snake case.
fn either<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    member(value, name).map(|(_, value)| value)
}
