//! What the server's own loader makes of a file: what it refuses, and what it passes over without a word.

use buttplug_server_device_config::{DeviceConfigurationManager, UserDeviceIdentifier};
use serde_json::{Value, json};

use super::{Udcf, UdcfError, protocols};

/// The kinds of `communication` that the server's loader knows; it passes over others without a word.
const COMMUNICATION_KINDS: &[&str] = &[
    "btle",
    "hid",
    "usb",
    "serial",
    "sdl-gamepad",
    "lovense_connect_service",
    "websocket",
    "simulated",
];

impl Udcf {
    /// Loads each entry by itself, where the file as a whole is refused, and takes out those that are the reason;
    /// `found` gives the warning for each, or the error that ends it.
    pub(super) fn find_what_the_library_refuses(
        &mut self,
        found: impl Fn(&str, &str) -> Result<String, UdcfError>,
    ) -> Result<(), UdcfError> {
        let user = self.value["user_configs"].clone();
        let alone = |part: Value| Self {
            value: json!({ "version": self.value["version"], "user_configs": part }),
            ..Self::builtin()
        };
        let mut refused: Vec<(String, String)> = Vec::new();
        for (protocol, entry) in user["protocols"].as_object().into_iter().flatten() {
            for list in ["communication", "configurations"] {
                for (i, element) in entry[list].as_array().into_iter().flatten().enumerate() {
                    let part = json!({ "protocols": { protocol: { list: [element] } } });
                    if let Err(problem) = alone(part).load_into_library() {
                        let protocol = protocol.replace('~', "~0").replace('/', "~1");
                        refused.push((format!("/user_configs/protocols/{protocol}/{list}/{i}"), problem));
                    }
                }
            }
        }
        for list in ["devices", "simulated_devices"] {
            for (i, element) in user[list].as_array().into_iter().flatten().enumerate() {
                if let Err(problem) = alone(json!({ list: [element] })).load_into_library() {
                    refused.push((format!("/user_configs/{list}/{i}"), problem));
                }
            }
        }
        // From the last to the first, so that the places of those that are still to come stay right.
        for (pointer, problem) in refused.iter().rev() {
            let warning = found(pointer, problem)?;
            let (parent, index) = pointer.rsplit_once('/').unwrap_or_default();
            if let (Some(Value::Array(list)), Ok(index)) =
                (self.value.pointer_mut(parent), index.parse::<usize>())
            {
                list.remove(index);
                self.warnings.push(warning);
            }
        }
        Ok(())
    }

    /// The loader passes over some entries and only logs it, or says nothing at all.
    pub(super) fn what_the_library_skipped(&self, dcm: &DeviceConfigurationManager) -> Vec<String> {
        let mut warnings = Vec::new();
        for (protocol, entry) in self.protocols() {
            for specifier in entry["communication"].as_array().into_iter().flatten() {
                for kind in specifier.as_object().into_iter().flatten().map(|(kind, _)| kind) {
                    if !COMMUNICATION_KINDS.contains(&kind.as_str()) {
                        warnings.push(format!(
                            "the server passes over {kind:?} of protocol {protocol:?}: it has no such kind"
                        ));
                    }
                }
            }
            if entry.get("defaults").is_some() {
                warnings.push(format!(
                    "the server passes over \"defaults\" of protocol {protocol:?}: they are its own; write a \
                     configurations entry whose identifier is the websocket name"
                ));
            }
        }
        for (protocol, entry) in self.protocols() {
            if !protocols::is_known(protocol) {
                let nearest = protocols::nearest(protocol)
                    .map(|n| format!("; did you mean {n:?}?"))
                    .unwrap_or_default();
                warnings.push(format!(
                    "the server has no protocol {protocol:?}: its entries do nothing{nearest}"
                ));
            } else if !protocols::has_default(protocol) {
                for (name, _) in self.websocket_names().iter().filter(|(_, p)| p == protocol) {
                    let configured = entry["configurations"].as_array().into_iter().flatten().any(|c| {
                        c["identifier"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .any(|i| i.as_str() == Some(name))
                    });
                    if !configured && !protocols::has_configuration(protocol, name) {
                        warnings.push(format!(
                            "protocol {protocol:?} has no default features: unless it finds out the model by itself, \
                             {name:?} needs a configurations entry whose identifier is {name:?}"
                        ));
                    }
                }
            }
        }
        for (protocol, entry) in self
            .protocols()
            .filter(|(protocol, _)| !protocols::has_models(protocol))
        {
            let named: Vec<String> = self.names_of(protocol).collect();
            for configuration in entry["configurations"].as_array().into_iter().flatten() {
                let ids = || {
                    configuration["identifier"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                };
                if !ids().any(|id| named.iter().any(|name| name == id)) {
                    warnings.push(format!(
                        "the configuration {} is found by nothing: its identifier {:?} is no name of a {protocol} \
                         device here; make it equal to the websocket name",
                        configuration["name"],
                        ids().next().unwrap_or_default()
                    ));
                }
            }
        }
        let names = self.websocket_names();
        for (i, (name, protocol)) in names.iter().enumerate() {
            if let Some((_, first)) = names[..i].iter().find(|(n, _)| n == name) {
                warnings.push(format!(
                    "the websocket name {name:?} stands under {first:?} and under {protocol:?}: the server takes one \
                     of them, and nobody can say which"
                ));
            }
        }
        let mut indexes = std::collections::BTreeMap::new();
        for device in self.value["user_configs"]["devices"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = |field: &str| device["identifier"][field].as_str().map(str::to_owned);
            let (Some(address), Some(protocol)) = (text("address"), text("protocol")) else {
                continue;
            };
            let id = UserDeviceIdentifier::new(&address, &protocol, &text("identifier"));
            match dcm.user_device_definitions().get(&id) {
                None => warnings.push(format!(
                    "the server passes over the device {address:?} ({protocol}): its base_id or its features do not \
                     match what the server knows; leave the entry out, or let `udcf migrate` look it up again"
                )),
                Some(definition) => {
                    if let Some(other) = indexes.insert(definition.index(), address.clone()) {
                        warnings.push(format!(
                            "the devices {other:?} and {address:?} have the same index {}: when both are connected, \
                             one throws the other out; give one another index",
                            definition.index()
                        ));
                    }
                }
            }
        }
        warnings
    }
}
