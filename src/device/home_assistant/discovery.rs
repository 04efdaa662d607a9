//! Discovery messages: they make devices and their entities appear in Home Assistant, 2024.11 or later.
//!
//! All keys are written in full. Each entity has an availability of its own, since one at the root would replace it.

use serde_json::{Map, Value, json};

use super::output::Output;
use super::{Device, HomeAssistant, Message};
use crate::device::fleet::names::{DeviceId, Name};
use crate::text::safe_json;

/// The longest name that is shown, in characters.
const NAME_MAX: usize = 64;
/// How much of an address tells devices of one name apart, in characters.
const TAIL: usize = 6;
/// The largest discovery message of ours that is read back, in bytes.
const READ_MAX_BYTES: usize = 256 * 1024;
/// What a state topic with `online` says, in the words that Home Assistant expects of an availability.
const ONLINE: &str = "{{ 'online' if value_json.online else 'offline' }}";
/// The project.
const NAME: &str = "wsdm-gateway";

impl Device {
    /// The name for people: the user's, or the identifier, or the id if nothing of them can be shown.
    pub(super) fn shown_name(&self) -> String {
        let names = [&self.name, &self.identifier].map(|name| line(name, NAME_MAX));
        let shown = names.into_iter().find(|name| !name.is_empty());
        shown.unwrap_or_else(|| self.id.to_string())
    }
}

impl HomeAssistant {
    /// The discovery message of a device, for QoS 1. Send those of the house and of its edge before it.
    ///
    /// `before` is the message that the broker retains for this device, if any: entities in it that are no more are
    /// deleted. If there were such, as [`HomeAssistant::vanished`] says, send the message again without it.
    pub fn discovery(&self, device: &Device, before: Option<&[u8]>) -> Message {
        let id = self.device_id(&device.edge, &device.id);
        let mut components = self.components(device);
        for (key, platform) in before
            .map(|before| self.vanished(device, before))
            .unwrap_or_default()
        {
            components.insert(key, json!({"platform": platform}));
        }
        let name = device.shown_name();
        let address = line(&device.address, NAME_MAX);
        let name = match device.shares_name {
            true => {
                let whole = if address.is_empty() {
                    device.id.as_str()
                } else {
                    &address
                };
                let tail: Vec<char> = whole.chars().rev().take(TAIL).collect();
                format!("{name} ({})", tail.into_iter().rev().collect::<String>())
            }
            false => name,
        };
        self.message(
            &id,
            json!({
                "identifiers": [id],
                "name": name,
                "manufacturer": "DIY",
                "model": line(&device.identifier, NAME_MAX),
                "serial_number": address,
                "sw_version": line(&device.version, NAME_MAX),
                "via_device": self.edge_id(&device.edge),
            }),
            components,
        )
    }

    fn components(&self, device: &Device) -> Map<String, Value> {
        let Device { edge, hub, .. } = device;
        let id = self.device_id(edge, &device.id);
        let state = self.state_topic(edge, &device.id);
        let hub_state = json!({"topic": self.hub_state_topic(hub), "value_template": ONLINE});
        let has_it = match device.is_own {
            true => hub_state.clone(),
            false => json!({"topic": format!("{}/{edge}/state", self.prefix), "value_template": ONLINE}),
        };
        let by_edge = vec![
            has_it.clone(),
            json!({"topic": self.available_topic(edge, &device.id)}),
        ];
        let mut by_hub = by_edge.clone();
        if !device.is_own {
            by_hub.push(hub_state);
        }

        let mut components = Map::new();
        let mut add = |key: &str, available: Option<&[Value]>, config: Value| {
            let mut config = config;
            config["unique_id"] = json!(format!("{id}_{key}"));
            config["qos"] = json!(1);
            if let Some(available) = available {
                config["availability"] = json!(available);
                config["availability_mode"] = json!("all");
            }
            components.insert(key.to_owned(), config);
        };
        // It shows that the device is away, and so does not depend on it. Of a hub that was killed, nobody corrects it.
        add(
            "connected",
            device.is_own.then_some(std::slice::from_ref(&has_it)),
            json!({
                "platform": "binary_sensor", "name": "Connected", "device_class": "connectivity",
                "entity_category": "diagnostic", "state_topic": state,
                "value_template": "{{ 'ON' if value_json.connected else 'OFF' }}",
            }),
        );
        if device.battery {
            add(
                "battery",
                Some(&by_hub),
                json!({
                    "platform": "sensor", "name": "Battery", "device_class": "battery", "unit_of_measurement": "%",
                    "state_class": "measurement", "entity_category": "diagnostic", "state_topic": state,
                    "value_template": "{{ value_json.battery }}",
                }),
            );
        }
        // It matters most while the device is away.
        add(
            "seen",
            None,
            json!({
                "platform": "sensor", "name": "Last seen", "device_class": "timestamp", "entity_category": "diagnostic",
                "state_topic": state, "value_template": "{{ value_json.seen }}",
            }),
        );
        add(
            "driver",
            Some(&by_hub),
            json!({
                "platform": "sensor", "name": "Driven by", "icon": "mdi:account-circle", "entity_category": "diagnostic",
                "state_topic": state, "value_template": "{{ value_json.driver }}",
            }),
        );
        // The edge obeys it, whatever the hub does.
        add(
            "stop",
            Some(&by_edge),
            json!({
                "platform": "button", "name": "Stop", "icon": "mdi:stop-circle",
                "command_topic": self.device_topic(edge, &device.id, "halt"),
            }),
        );
        if self.outputs {
            for output in &device.outputs {
                let key = output.key.to_string();
                let (min, max) = output.range();
                add(
                    &key,
                    Some(&by_hub),
                    json!({
                        "platform": "number", "name": entity_name(output, &device.outputs),
                        "command_topic": self.device_topic(edge, &device.id, &format!("ha/{key}/set")),
                        "state_topic": state, "value_template": format!("{{{{ value_json.{key} }}}}"),
                        "min": min, "max": max, "step": 1, "unit_of_measurement": "%", "mode": "slider",
                        "retain": false,
                    }),
                );
            }
        }
        components
    }

    /// The entities of an earlier discovery message of a device that are no more, each with its platform.
    pub fn vanished(&self, device: &Device, before: &[u8]) -> Vec<(String, &'static str)> {
        let now = self.components(device);
        let platform = |config: &Value| {
            let platform = config["platform"].as_str()?;
            ["binary_sensor", "button", "number", "sensor"]
                .into_iter()
                .find(|known| *known == platform)
        };
        if before.len() > READ_MAX_BYTES {
            return Vec::new();
        }
        let before: Value = serde_json::from_slice(before).unwrap_or_default();
        let Some(before) = before["components"].as_object() else {
            return Vec::new();
        };
        before
            .iter()
            // One with a platform alone is deleted already.
            .filter(|(key, config)| {
                !now.contains_key(*key) && config.as_object().is_some_and(|config| config.len() > 1)
            })
            .filter_map(|(key, config)| Some((key.clone(), platform(config)?)))
            .collect()
    }

    /// The discovery message of an edge, for QoS 1. Its stop button and its state need no hub.
    pub fn edge_discovery(&self, edge: &Name, version: &str) -> Message {
        self.gateway_discovery(edge, format!("{}/{edge}/state", self.prefix), "edge", version)
    }

    /// The discovery message of a hub that has boards of its own, for QoS 1. They stand under its name.
    pub fn hub_discovery(&self, hub: &Name, version: &str) -> Message {
        self.gateway_discovery(hub, self.hub_state_topic(hub), "hub", version)
    }

    fn hub_state_topic(&self, hub: &Name) -> String {
        format!("{}/hub/{hub}/state", self.prefix)
    }

    fn gateway_discovery(&self, edge: &Name, state: String, model: &str, version: &str) -> Message {
        let id = self.edge_id(edge);
        let components = json!({
            "connected": {
                "platform": "binary_sensor", "unique_id": format!("{id}_connected"), "name": "Connected",
                "device_class": "connectivity", "entity_category": "diagnostic", "state_topic": state, "qos": 1,
                "value_template": "{{ 'ON' if value_json.online else 'OFF' }}",
            },
            "version": {
                "platform": "sensor", "unique_id": format!("{id}_version"), "name": "Version", "icon": "mdi:tag",
                "entity_category": "diagnostic", "state_topic": state, "qos": 1,
                "value_template": "{{ value_json.version }}",
            },
            "stop": {
                "platform": "button", "unique_id": format!("{id}_stop"), "name": "Stop all", "icon": "mdi:stop-circle",
                "command_topic": format!("{}/{edge}/halt", self.prefix), "qos": 1,
                "availability": [{"topic": state, "value_template": ONLINE}], "availability_mode": "all",
            },
        });
        let device = json!({
            "identifiers": [id], "name": format!("Gateway {edge}"), "manufacturer": NAME, "model": model,
            "sw_version": line(version, NAME_MAX), "via_device": self.house_id(),
        });
        self.message(&id, device, components)
    }

    /// The discovery message of the house, for QoS 1: a button that stops all devices of all edges. It is always
    /// available.
    pub fn house_discovery(&self) -> Message {
        let id = self.house_id();
        let name = match self.prefix == Default::default() {
            true => "All devices".to_owned(),
            false => format!("All devices of {}", line(self.prefix.as_str(), NAME_MAX)),
        };
        let components = json!({
            "stop": {
                "platform": "button", "unique_id": format!("{id}_stop"), "name": "Stop everything",
                "icon": "mdi:stop-circle", "command_topic": format!("{}/halt", self.prefix), "qos": 1,
            },
        });
        self.message(
            &id,
            json!({"identifiers": [id], "name": name, "manufacturer": NAME, "model": "fleet"}),
            components,
        )
    }

    /// The messages that delete a device that was forgotten. One that is away is not forgotten.
    pub fn forget(&self, edge: &Name, device: &DeviceId) -> [Message; 3] {
        [
            self.config_topic(&self.device_id(edge, device)),
            self.state_topic(edge, device),
            self.available_topic(edge, device),
        ]
        .map(empty)
    }

    /// The message that deletes an edge that was forgotten.
    pub fn forget_edge(&self, edge: &Name) -> Message {
        empty(self.config_topic(&self.edge_id(edge)))
    }

    /// The message that deletes the house.
    pub fn forget_house(&self) -> Message {
        empty(self.config_topic(&self.house_id()))
    }

    /// The topic of the discovery of a device, where its earlier message is retained.
    pub fn discovery_topic(&self, edge: &Name, device: &DeviceId) -> String {
        self.config_topic(&self.device_id(edge, device))
    }

    fn message(&self, id: &str, device: Value, components: impl Into<Value>) -> Message {
        Message {
            topic: self.config_topic(id),
            payload: safe_json(&json!({
                "device": device,
                "origin": {"name": NAME, "sw_version": env!("CARGO_PKG_VERSION")},
                "components": components.into(),
            })),
        }
    }
}

fn empty(topic: String) -> Message {
    Message {
        topic,
        payload: String::new(),
    }
}

/// The name of an output within its device.
fn entity_name(output: &Output, all: &[Output]) -> String {
    let kind = output.key.kind;
    let mut name = kind.name().to_owned();
    let mut same = all.iter().filter(|other| other.key.kind == kind);
    if let (Some(at), true) = (
        same.clone().position(|other| other.key == output.key),
        same.nth(1).is_some(),
    ) {
        name = format!("{name} {}", at + 1);
    }
    match line(&output.description, NAME_MAX) {
        description if description.is_empty() => name,
        description => format!("{name}: {description}"),
    }
}

/// A text of a stranger as one line of at most so many characters, without control characters.
pub(super) fn line(text: &str, max: usize) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '\u{2028}' | '\u{2029}'))
        .filter(|word| !word.is_empty())
        .collect();
    let text = words.join(" ");
    match text.char_indices().nth(max) {
        None => text,
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests;
