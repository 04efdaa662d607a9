//! What admission needs to know from a UDCF: the names that devices may give, and the addresses that are welcome.

use std::collections::HashSet;

use buttplug_server_device_config::DeviceConfigurationManager;

use super::{Udcf, protocols};

/// A name less similar than this to every known one is not taken for a misspelling.
const NEAREST_MIN_SIMILARITY: f64 = 0.5;

/// The names and addresses of a UDCF.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Every `websocket` name with its protocol, in the file's order.
    names: Vec<(String, String)>,
    /// The names that only have protocols which the server does not implement.
    unserved: HashSet<String>,
    /// The identifiers of boards on serial ports and Bluetooth, with their protocols.
    bridged: Vec<(String, String)>,
    denied: HashSet<String>,
    /// If there are any, only these are welcome.
    allowed: HashSet<String>,
}

/// Whether a UDCF lets an address in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may come in.
    Welcome,
    /// Its entry denies it.
    Denied,
    /// Others are allowed by their entries, and it is not.
    NotAllowed,
}

impl Udcf {
    /// The names and addresses of this file; `loaded` is its [`Udcf::device_configuration`].
    pub fn directory(&self, loaded: &DeviceConfigurationManager) -> Directory {
        let names = self.websocket_names();
        let is_served = |name: &String| {
            names
                .iter()
                .any(|(n, p)| n == name && protocols::is_implemented(p))
        };
        let mut directory = Directory {
            unserved: (names.iter().map(|(name, _)| name))
                .filter(|name| !is_served(name))
                .cloned()
                .collect(),
            names: names.clone(),
            bridged: self.bridged_names(),
            ..Directory::default()
        };
        for entry in loaded.user_device_definitions() {
            let address = entry.key().address();
            if entry.value().deny() {
                directory.denied.insert(address.clone());
            }
            if entry.value().allow() {
                directory.allowed.insert(address.clone());
            }
        }
        directory
    }
}

impl Directory {
    /// The protocol of a name.
    pub fn protocol(&self, name: &str) -> Option<&str> {
        let mut names = self.names.iter().chain(&self.bridged);
        let entry = names.find(|(known, _)| known == name);
        entry.map(|(_, protocol)| protocol.as_str())
    }

    /// Whether the server implements none of this name's protocols, so that it would never list such a device.
    pub fn is_unserved(&self, name: &str) -> bool {
        self.unserved.contains(name)
    }

    /// The first name of a protocol, or the first of all if it has none.
    pub fn name_of(&self, protocol: &str) -> Option<&str> {
        let of_protocol = self.names.iter().find(|(_, known)| known == protocol);
        let entry = of_protocol.or(self.names.first());
        entry.map(|(name, _)| name.as_str())
    }

    /// The name that was perhaps meant.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let wanted = name.to_lowercase();
        let likeness = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &wanted);
        let names = self.names.iter().map(|(name, _)| (likeness(name), name.as_str()));
        names
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .filter(|(likeness, _)| *likeness >= NEAREST_MIN_SIMILARITY)
            .map(|(_, name)| name)
    }

    /// Whether an address may come in.
    pub fn standing(&self, address: &str) -> Standing {
        if self.denied.contains(address) {
            Standing::Denied
        } else if self.allowed.is_empty() || self.allowed.contains(address) {
            Standing::Welcome
        } else {
            Standing::NotAllowed
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Of a file with these devices: address, whether it is allowed, whether it is denied.
    fn directory(devices: &[(&str, bool, bool)]) -> Directory {
        let device = |(index, (address, allow, deny)): (usize, &(&str, bool, bool))| {
            json!({
                "identifier": { "protocol": "lovense", "identifier": "Z", "address": address },
                "config": { "user-config": { "allow": allow, "deny": deny, "index": index } },
            })
        };
        let devices: Vec<Value> = devices.iter().enumerate().map(device).collect();
        let name = |name: &str| json!({ "communication": [{ "websocket": { "name": name } }] });
        let file = json!({
            "version": { "major": 3, "minor": 0 },
            "user-configs": {
                "protocols": { "tcode-v03": name("TCodeDevice"), "lovense": name("LVSDevice") },
                "devices": devices,
            },
        });
        let udcf = Udcf::parse(&file.to_string(), "f").unwrap();
        let loaded = udcf.device_configuration().unwrap();
        udcf.directory(&loaded)
    }

    #[test]
    fn a_name_has_a_protocol_and_a_mistyped_one_has_a_nearest() {
        let directory = directory(&[]);
        assert_eq!(directory.protocol("LVSDevice"), Some("lovense"));
        assert_eq!(directory.protocol("lvsdevice"), None);
        assert_eq!(directory.nearest("lvsdevise"), Some("LVSDevice"));
        assert_eq!(directory.nearest("qqq"), None);
        assert_eq!(directory.name_of("lovense"), Some("LVSDevice"));
        assert_eq!(directory.name_of("other"), Some("TCodeDevice"));
        assert_eq!(Directory::default().name_of("other"), None);
        assert_eq!(Directory::default().nearest("LVSDevice"), None);
    }

    #[test]
    fn an_address_is_welcome_unless_it_is_denied_or_others_are_allowed() {
        let nobody = directory(&[("a", false, false)]);
        let denying = directory(&[("a", false, true), ("b", false, false)]);
        let allowing = directory(&[("a", true, false), ("b", true, true), ("c", false, false)]);
        for (directory, address, standing) in [
            (&nobody, "a", Standing::Welcome),
            (&nobody, "b", Standing::Welcome),
            (&denying, "a", Standing::Denied),
            (&denying, "b", Standing::Welcome),
            (&denying, "c", Standing::Welcome),
            (&allowing, "a", Standing::Welcome),
            (&allowing, "b", Standing::Denied),
            (&allowing, "c", Standing::NotAllowed),
            (&allowing, "d", Standing::NotAllowed),
        ] {
            assert_eq!(directory.standing(address), standing, "{address}: {directory:?}");
        }
    }
}
