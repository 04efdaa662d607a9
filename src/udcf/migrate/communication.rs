//! Converts how devices are identified: one `communication` entry for each name, port or pair of ids.

use serde_json::{Map, Value, json};

use super::Migration;
use crate::udcf::is_comment;
use crate::udcf::remark::{excerpt, step};

impl Migration {
    /// Converts one kind of communication of one protocol.
    pub(super) fn communication(&mut self, at: &str, protocol: &str, kind: &str, body: &Value) {
        let one = |entry: Value| vec![(at.to_owned(), entry)];
        let entries = match (kind, body) {
            ("websocket", body) => self.websocket(at, protocol, body),
            ("serial", Value::Array(ports)) => {
                let ports = ports.iter().enumerate();
                ports
                    .map(|(i, port)| (step(at, i), json!({ "serial": self.snake(port) })))
                    .collect()
            }
            ("serial" | "btle", body @ Value::Object(_)) => one(json!({ kind: self.snake(body) })),
            ("usb" | "hid", Value::Array(pairs)) => {
                let pairs: Vec<Value> = pairs.iter().map(|pair| self.snake(pair)).collect();
                if pairs.is_empty() {
                    Vec::new()
                } else {
                    one(json!({ kind: { "pairs": pairs } }))
                }
            }
            ("usb" | "hid", Value::Object(members)) => one(match members.get("pairs") {
                Some(_) => json!({ kind: self.snake(body) }),
                None => json!({ kind: { "pairs": [self.snake(body)] } }),
            }),
            ("xinput" | "sdl-gamepad" | "sdl_gamepad", body) => one(json!({ "sdl-gamepad": body })),
            ("lovense-connect-service" | "lovense_connect_service", body) => {
                one(json!({ "lovense_connect_service": body }))
            }
            ("simulated", body @ Value::Object(_)) => one(json!({ "simulated": body })),
            (kind, _) if is_comment(kind) => {
                self.comments += 1;
                Vec::new()
            }
            (kind, body) => {
                self.lose(
                    at,
                    format!(
                        "{kind:?} of protocol {protocol:?} is unknown, or not of its type: left out: {}",
                        excerpt(body)
                    ),
                );
                Vec::new()
            }
        };
        for (origin, entry) in entries {
            if !self.has(protocol, &entry) {
                self.add(protocol, "communication", entry, &origin);
            }
        }
    }

    fn has(&self, protocol: &str, specifier: &Value) -> bool {
        let entry = self.protocols.get(protocol);
        let list = entry.and_then(|entry| entry["communication"].as_array());
        list.is_some_and(|list| list.contains(specifier))
    }

    fn websocket(&mut self, at: &str, protocol: &str, body: &Value) -> Vec<(String, Value)> {
        let mut names: Vec<(String, &str)> = Vec::new();
        let bodies = match body {
            Value::Array(bodies) => bodies.iter().enumerate().map(|(i, b)| (step(at, i), b)).collect(),
            one => vec![(at.to_owned(), one)],
        };
        for (at, body) in bodies {
            match body {
                Value::String(name) => names.push((at, name)),
                Value::Object(body) => {
                    for (key, value) in body {
                        let at = step(&at, key);
                        match (key.as_str(), value) {
                            ("name" | "names", Value::String(name)) => names.push((at, name)),
                            ("names", Value::Array(list)) => {
                                for (i, name) in list.iter().enumerate() {
                                    let at = step(&at, i);
                                    match name {
                                        Value::String(name) => names.push((at, name)),
                                        other => self.lose(
                                            &at,
                                            format!(
                                                "a websocket name of protocol {protocol:?} is not a string: left out: {}",
                                                excerpt(other)
                                            ),
                                        ),
                                    }
                                }
                            }
                            (key, _) if is_comment(key) => self.comments += 1,
                            (key, value) => self.lose(
                                &at,
                                format!(
                                    "{key:?} of a websocket entry of protocol {protocol:?} is unknown: left out: {}",
                                    excerpt(value)
                                ),
                            ),
                        }
                    }
                }
                other => self.lose(
                    &at,
                    format!(
                        "a websocket entry of protocol {protocol:?} has no name: left out: {}",
                        excerpt(other)
                    ),
                ),
            }
        }
        names
            .into_iter()
            .map(|(at, name)| (at, json!({ "websocket": { "name": name } })))
            .collect()
    }

    /// Converts the names in an object, and in the objects of its lists, from kebab to snake case; except the
    /// services of a Bluetooth entry, whose names are UUIDs.
    fn snake(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let mut out = Map::new();
                for (key, value) in object {
                    if is_comment(key) {
                        self.comments += 1;
                    } else if key == "services" {
                        out.insert(key.clone(), value.clone());
                    } else {
                        out.insert(key.replace('-', "_"), self.snake(value));
                    }
                }
                Value::Object(out)
            }
            Value::Array(list) => Value::Array(list.iter().map(|v| self.snake(v)).collect()),
            other => other.clone(),
        }
    }
}
