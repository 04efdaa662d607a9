//! Compares a migrated file with its original: every value of the original is in the result with its meaning, or was
//! mapped on purpose, or was already remarked on, or is reported here. Only then may a summary say that everything was
//! carried over.
//!
//! It reads both files anew, and knows nothing about how the migration went, except which entry of the result was made
//! from which entry of the original.

mod features;

use std::collections::HashSet;

use serde_json::Value;

use super::Origins;
use super::devices::base_of;
use crate::udcf::is_comment;
use crate::udcf::remark::{Remark, elements, excerpt, step};

use features::Counted;

/// The values of the original that are not in the result, except those at or below a pointer in `named`: they have a
/// remark already.
pub(super) fn unaccounted(
    original: &Value,
    result: &Value,
    origins: &Origins,
    named: &[String],
) -> Vec<Remark> {
    let mut compare = Compare {
        user: &result["user_configs"],
        origins,
        named: named.iter().map(String::as_str).collect(),
        found: Vec::new(),
    };
    for (key, value) in members(original) {
        let at = step("", key);
        match key {
            "version" => {
                for (key, value) in members(value).filter(|(key, _)| !matches!(*key, "major" | "minor")) {
                    compare.report(&step(&at, key), key, value);
                }
            }
            "user-configs" | "user_configs" => compare.user_part(&at, value),
            key => compare.report(&at, key, value),
        }
    }
    compare.found
}

struct Compare<'c> {
    user: &'c Value,
    origins: &'c Origins,
    named: HashSet<&'c str>,
    found: Vec<Remark>,
}

impl<'c> Compare<'c> {
    fn is_named(&self, at: &str) -> bool {
        let mut at = at;
        loop {
            if self.named.contains(at) {
                return true;
            }
            match at.rsplit_once('/') {
                Some((above, _)) => at = above,
                None => return false,
            }
        }
    }

    /// Reports a value, unless it is empty or was remarked on.
    fn report(&mut self, at: &str, key: &str, value: &Value) {
        if is_empty(value) || self.is_named(at) {
            return;
        }
        let text = format!("{key:?} was not carried over: {}", excerpt(value));
        self.found.push(Remark::at(at, text));
    }

    fn report_unless(&mut self, is_there: bool, at: &str, key: &str, value: &Value) {
        if !is_there {
            self.report(at, key, value);
        }
    }

    fn user_part(&mut self, at: &str, user: &Value) {
        for (key, value) in members(user) {
            let at = step(at, key);
            match key {
                "specifiers" | "selectors" | "protocols" => {
                    for (protocol, entry) in members(value) {
                        self.protocol(&step(&at, protocol), protocol, entry);
                    }
                }
                "configurations" => {
                    for (protocol, list) in members(value) {
                        self.configurations(&step(&at, protocol), protocol, list);
                    }
                }
                "devices" | "user_device_configs" => {
                    for (i, device) in elements(value) {
                        self.device(&step(&at, i), device);
                    }
                }
                "simulated_devices" | "simulated-devices" => {
                    let is_there = self.user["simulated_devices"] == *value;
                    self.report_unless(is_there, &at, key, value);
                }
                key => self.report(&at, key, value),
            }
        }
    }

    fn protocol(&mut self, at: &str, protocol: &str, entry: &Value) {
        let new = &self.user["protocols"][protocol];
        if !entry.is_object() {
            return self.report(at, protocol, entry);
        }
        let mut specifiers = HashSet::new();
        leaves(&new["communication"], at, "", &mut |_, path, value| {
            specifiers.insert((path.to_owned(), value.to_string()));
        });
        for (key, value) in members(entry) {
            let at = step(at, key);
            match key {
                "configurations" => self.configurations(&at, protocol, value),
                "defaults" => self.configuration(&at, protocol, value),
                "devices" => {
                    for (key, value) in members(value) {
                        let at = step(&at, key);
                        match key {
                            "configurations" => self.configurations(&at, protocol, value),
                            "defaults" => self.configuration(&at, protocol, value),
                            key => self.report(&at, key, value),
                        }
                    }
                }
                key => {
                    let mut missing = Vec::new();
                    leaves(value, &at, &canonical(key), &mut |at, path, value| {
                        if !specifiers.contains(&(path.to_owned(), value.to_string())) {
                            missing.push((at.to_owned(), value.clone()));
                        }
                    });
                    for (at, value) in missing {
                        self.report(&at, at.rsplit('/').next().unwrap_or(key), &value);
                    }
                }
            }
        }
    }

    fn configurations(&mut self, at: &str, protocol: &str, list: &Value) {
        if !list.is_array() {
            return self.report(at, "configurations", list);
        }
        for (i, configuration) in elements(list) {
            self.configuration(&step(at, i), protocol, configuration);
        }
    }

    fn configuration(&mut self, at: &str, protocol: &str, old: &Value) {
        let list = step(&step("/user_configs/protocols", protocol), "configurations");
        let position = self.origins.position(&list, at);
        let Some(new) = position.map(|i| &self.user["protocols"][protocol]["configurations"][i]) else {
            return self.report(at, "configurations", old);
        };
        let counted = Counted::of_configuration(protocol, new);
        for (key, value) in members(old) {
            let at = step(at, key);
            match key {
                "identifier" => {
                    let is_there = new[key] == *value || new[key] == serde_json::json!([value]);
                    self.report_unless(is_there, &at, key, value);
                }
                // What was made of defaults is a definition of its own.
                "id" if old.get("identifier").is_none() => {}
                "name" | "id" => self.report_unless(new[key] == *value, &at, key, value),
                "protocol_variant" | "protocol-variant" | "message_gap_ms" | "message-gap-ms" => {
                    self.report_unless(new[key.replace('-', "_")] == *value, &at, key, value);
                }
                "features" => self.features(&at, value, &counted),
                // Features beside them describe the same, and take precedence.
                "messages" if old.get("features").is_none() => self.messages(&at, value, &counted),
                key => self.report(&at, key, value),
            }
        }
    }

    fn device(&mut self, at: &str, old: &Value) {
        let position = self.origins.position("/user_configs/devices", at);
        let Some(new) = position.map(|i| &self.user["devices"][i]) else {
            return self.report(at, "devices", old);
        };
        let config = &new["config"];
        let base = base_of(self.user, new);
        let name = base.as_ref().map(|base| base.name.clone()).unwrap_or_default();
        let protocol = new["identifier"]["protocol"].as_str().unwrap_or_default();
        let counted = Counted::of_device(protocol, base, config);
        for (key, value) in members(old) {
            let at = step(at, key);
            match key {
                "identifier" => {
                    for (key, value) in members(value) {
                        self.report_unless(new["identifier"][key] == *value, &step(&at, key), key, value);
                    }
                }
                "config" if value.is_object() => {
                    for (key, value) in members(value) {
                        let at = step(&at, key);
                        match key {
                            "name" => {
                                let shown = &config["user_config"]["display_name"];
                                self.report_unless(*value == name || value == shown, &at, key, value);
                            }
                            "id" => self.report_unless(config[key] == *value, &at, key, value),
                            // What a device builds on was looked up anew.
                            "base_id" | "base-id" => {}
                            "features" => self.features(&at, value, &counted),
                            "messages" => self.messages(&at, value, &counted),
                            "user_config" | "user-config" => {
                                for (key, value) in members(value) {
                                    self.customization(&step(&at, key), key, value, config, &counted);
                                }
                                self.report_unless(value.is_object(), &at, key, value);
                            }
                            key => self.customization(&at, key, value, config, &counted),
                        }
                    }
                }
                key => self.report(&at, key, value),
            }
        }
    }

    fn customization(&mut self, at: &str, key: &str, value: &Value, config: &Value, counted: &Counted) {
        match key {
            "messages" => self.messages(at, value, counted),
            "allow" | "deny" | "index" | "display_name" | "display-name" | "message_gap_ms"
            | "message-gap-ms" => {
                let is_there = config["user_config"][key.replace('-', "_")] == *value;
                self.report_unless(is_there, at, key, value);
            }
            key => self.report(at, key, value),
        }
    }
}

/// The members of an object, comments aside.
fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members
        .map(|(key, value)| (key.as_str(), value))
        .filter(|(key, _)| !is_comment(key))
}

/// Whether a value is null, or consists of nothing but containers.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members
            .iter()
            .all(|(key, value)| is_comment(key) || is_empty(value)),
        Value::Array(elements) => elements.iter().all(is_empty),
        _ => false,
    }
}

/// The name of a specifier's member in version 5; empty for a key that is no more than a level in between.
fn canonical(key: &str) -> String {
    match key {
        "communication" | "pairs" => String::new(),
        "names" => "name".to_owned(),
        "xinput" => "sdl_gamepad".to_owned(),
        key => key.replace('-', "_"),
    }
}

/// Calls `each` with every value that is no container: its pointer, its path without list positions, and itself.
fn leaves(value: &Value, at: &str, path: &str, each: &mut impl FnMut(&str, &str, &Value)) {
    match value {
        Value::Object(_) => {
            for (key, value) in members(value) {
                let path = match canonical(key) {
                    none if none.is_empty() => path.to_owned(),
                    name if path.is_empty() => name,
                    name => format!("{path}/{name}"),
                };
                leaves(value, &step(at, key), &path, each);
            }
        }
        Value::Array(_) => {
            for (i, value) in elements(value) {
                leaves(value, &step(at, i), path, each);
            }
        }
        // A websocket entry may be no more than its name.
        value if path == "websocket" => each(at, "websocket/name", value),
        value => each(at, path, value),
    }
}
