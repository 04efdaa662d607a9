//! Which devices a change of the file affects.

use serde_json::{Value, json};

use super::Udcf;

impl Udcf {
    /// Whether another file has the same meaning.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.value == other.value
    }

    /// What this file says of a device, of which `protocol` is what it was recognised by, if it was. A device is affected
    /// by a change if this changes.
    pub fn says_of(&self, identifier: &str, address: &str, protocol: Option<&str>) -> Value {
        let user = &self.value["user_configs"];
        let named = self.websocket_names().into_iter().chain(self.bridged_names());
        let mut protocols: Vec<String> = named
            .filter(|(name, _)| name == identifier)
            .map(|(_, protocol)| protocol)
            .collect();
        protocols.extend(protocol.map(str::to_owned));
        let definitions: Vec<Value> = protocols
            .iter()
            .map(|protocol| {
                let mut entry = user["protocols"][protocol].clone();
                // Other devices' names do not concern this one.
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove("communication");
                }
                json!([protocol, entry])
            })
            .collect();
        let devices = user["devices"].as_array().into_iter().flatten();
        let own: Vec<&Value> = devices
            .clone()
            .filter(|device| device["identifier"]["address"] == address)
            .collect();
        let is_allowed = |device: &Value| device["config"]["user_config"]["allow"] == true;
        // If some are allowed, all others are not.
        let are_some_allowed = devices.into_iter().any(is_allowed);
        json!({ "protocols": definitions, "devices": own, "are_some_allowed": are_some_allowed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_affected_by_what_concerns_it_and_by_nothing_else() {
        let file = |user: Value| {
            let file = json!({ "version": { "major": 5, "minor": 0 }, "user_configs": user });
            Udcf::parse(&file.to_string(), "f").unwrap()
        };
        let names = |names: &[&str]| -> Value {
            let names = names.iter().map(|name| json!({ "websocket": { "name": name } }));
            names.collect()
        };
        let before = file(json!({ "protocols": { "lovense": { "communication": names(&["A"]) } } }));
        let another_name =
            file(json!({ "protocols": { "lovense": { "communication": names(&["A", "B"]) } } }));
        let another_protocol =
            file(json!({ "protocols": { "tcode-v03": { "communication": names(&["A"]) } } }));
        let said = |udcf: &Udcf| udcf.says_of("A", "one", None);
        assert_eq!(said(&before), said(&another_name));
        assert_ne!(said(&before), said(&another_protocol));
        let unnamed = said(&file(json!({})));
        assert_ne!(said(&before), unnamed);
    }
}
