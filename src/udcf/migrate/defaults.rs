//! Converts the `defaults` of a protocol, which the server takes from its own device base alone.

use serde_json::Value;

use super::Migration;
use super::base::identifies;
use crate::udcf::names;
use crate::udcf::remark::excerpt;

impl Migration {
    /// Makes configurations of a user's defaults: they were meant for every name of the protocol in this file. Must come
    /// after all names and configurations.
    pub(super) fn defaults(&mut self) {
        for (at, protocol, mut defaults) in std::mem::take(&mut self.defaults) {
            let called = format!("\"defaults\" of protocol {protocol:?}");
            let has = |key: &str| defaults.get(key).is_some();
            if !has("features") && !has("messages") {
                let text = format!("{called} have no features: left out: {}", excerpt(&defaults));
                self.lose(&at, text);
                continue;
            }
            let wanted = self.names_without_configuration(&protocol);
            if wanted.is_empty() {
                self.lose(
                    &at,
                    format!(
                        "{called} were left out: they apply to no device of this file, since each has a configuration or \
                         none has a name: {}",
                        excerpt(&defaults)
                    ),
                );
                continue;
            }
            self.warn(
                &at,
                format!(
                    "{called} became a configurations entry for {}: a user's part has no defaults",
                    wanted.join(", ")
                ),
            );
            defaults["identifier"] = wanted.into();
            if let Some(members) = defaults.as_object_mut() {
                // It is another definition than the one that this id belongs to.
                members.shift_remove("id");
            }
            if let Some(configuration) = self.configuration(&at, &protocol, &defaults) {
                self.add(&protocol, "configurations", configuration, &at);
            }
        }
    }

    /// The names of a protocol's devices in this file that have no configuration.
    fn names_without_configuration(&self, protocol: &str) -> Vec<String> {
        let entry = self.protocols.get(protocol).unwrap_or(&Value::Null);
        let configurations = || entry["configurations"].as_array().into_iter().flatten();
        let specifiers = entry["communication"].as_array().into_iter().flatten();
        let mut wanted: Vec<String> = Vec::new();
        for name in specifiers.flat_map(names) {
            if !wanted.contains(&name) && !configurations().any(|c| identifies(c, Some(&name))) {
                wanted.push(name);
            }
        }
        wanted
    }
}
