//! Duplicates: entries for the same thing, of which the server's loader keeps only the last.

use std::collections::HashMap;

use serde_json::Value;

use super::remark::{Remark, elements, step};

/// Reports identifiers with more than one configuration, and devices with more than one entry.
pub(super) fn duplicates(file: &Value) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let protocols = file["user_configs"]["protocols"].as_object();
    for (protocol, entry) in protocols.into_iter().flatten() {
        let at = step(&step("/user_configs/protocols", protocol), "configurations");
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (i, configuration) in elements(&entry["configurations"]) {
            for identifier in elements(&configuration["identifier"]).filter_map(|(_, id)| id.as_str()) {
                if seen.insert(identifier, i).is_some_and(|earlier| earlier != i) {
                    remarks.push(Remark::at(
                        step(&at, i),
                        format!(
                            "a second configuration for {identifier:?} of protocol {protocol:?}: only the last counts; take \
                             one out"
                        ),
                    ));
                }
            }
        }
    }
    let mut seen: HashMap<[Option<&str>; 3], usize> = HashMap::new();
    for (i, device) in elements(&file["user_configs"]["devices"]) {
        let identity = ["address", "protocol", "identifier"].map(|key| device["identifier"][key].as_str());
        if seen.insert(identity, i).is_some() {
            remarks.push(Remark::at(
                step("/user_configs/devices", i),
                format!(
                    "a second entry for the device {:?} ({}): only the last counts; take one out",
                    identity[0].unwrap_or_default(),
                    identity[1].unwrap_or_default()
                ),
            ));
        }
    }
    remarks
}
