//! Converts the `defaults` of a protocol, which the server takes from its own device base alone.

use serde_json::{Value, json};

use super::Migration;
use crate::udcf::names;

impl Migration<'_> {
    /// Makes a configuration of a user's defaults: for every name of the protocol in this file that has none. Must
    /// come after the names and configurations of the protocol.
    pub(super) fn defaults(&mut self, protocol: &str, defaults: Value) {
        let called = format!("\"defaults\" of protocol {protocol:?}");
        let Value::Object(mut configuration) = defaults else {
            return self.warn(format!("{called} are not an object: left out: {defaults}"));
        };
        if !configuration.contains_key("features") && !configuration.contains_key("messages") {
            return self.warn(format!("{called} have no features: left out"));
        }
        let entry = self.protocols.get(protocol).unwrap_or(&Value::Null);
        let configurations = entry["configurations"].as_array().into_iter().flatten();
        let configured: Vec<&Value> = configurations
            .flat_map(|configuration| configuration["identifier"].as_array().into_iter().flatten())
            .collect();
        let mut wanted: Vec<String> = Vec::new();
        for name in entry["communication"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(names)
        {
            if !wanted.contains(&name) && !configured.iter().any(|known| **known == name) {
                wanted.push(name);
            }
        }
        if wanted.is_empty() {
            return self.warn(format!(
                "{called} were left out: no device of this file has them, each has a configuration or none has a name"
            ));
        }
        configuration.insert("identifier".to_owned(), json!(wanted));
        // It is another definition than the one that this id belongs to.
        configuration.shift_remove("id");
        self.configurations(protocol, json!([configuration]), super::CURRENT_MAJOR);
    }
}
