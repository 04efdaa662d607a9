//! Converts how devices are identified: one `communication` entry for each name, port or pair of ids.

use serde_json::{Map, Value, json};

use super::Migration;
use crate::udcf::is_comment;

impl Migration<'_> {
    /// Converts one kind of communication of one protocol.
    pub(super) fn communication(&mut self, protocol: &str, kind: &str, body: Value) {
        let entries = match (kind, body) {
            ("websocket", body) => self.websocket(protocol, body),
            ("serial", Value::Array(ports)) => ports
                .into_iter()
                .map(|port| json!({ "serial": self.snake(port) }))
                .collect(),
            ("serial", port @ Value::Object(_)) => vec![json!({ "serial": self.snake(port) })],
            ("btle", body @ Value::Object(_)) => vec![json!({ "btle": self.snake(body) })],
            ("usb" | "hid", Value::Array(pairs)) => {
                let pairs: Vec<Value> = pairs.into_iter().map(|pair| self.snake(pair)).collect();
                if pairs.is_empty() {
                    Vec::new()
                } else {
                    vec![json!({ kind: { "pairs": pairs } })]
                }
            }
            ("usb" | "hid", Value::Object(body)) if body.contains_key("pairs") => {
                let mut body = self.snake(Value::Object(body));
                let pairs: Vec<Value> = match body["pairs"].take() {
                    Value::Array(pairs) => pairs.into_iter().map(|pair| self.snake(pair)).collect(),
                    _ => Vec::new(),
                };
                vec![json!({ kind: { "pairs": pairs } })]
            }
            ("usb" | "hid", pair @ Value::Object(_)) => {
                vec![json!({ kind: { "pairs": [self.snake(pair)] } })]
            }
            ("xinput" | "sdl-gamepad" | "sdl_gamepad", body) => vec![json!({ "sdl-gamepad": body })],
            ("lovense-connect-service" | "lovense_connect_service", body) => {
                vec![json!({ "lovense_connect_service": body })]
            }
            ("simulated", body @ Value::Object(_)) => vec![json!({ "simulated": body })],
            (kind, _) if is_comment(kind) => {
                self.comments += 1;
                Vec::new()
            }
            (kind, body) => {
                self.warn(format!(
                    "{kind:?} of protocol {protocol:?} is unknown, or not of its type: left out: {body}"
                ));
                Vec::new()
            }
        };
        let list = self.list(protocol, "communication");
        for entry in entries {
            if !list.contains(&entry) {
                list.push(entry);
            }
        }
    }

    fn websocket(&mut self, protocol: &str, body: Value) -> Vec<Value> {
        let mut names = Vec::new();
        let bodies = match body {
            Value::Array(bodies) => bodies,
            one => vec![one],
        };
        for body in bodies {
            match body {
                Value::String(name) => names.push(name),
                Value::Object(body) => {
                    for (key, value) in body {
                        match (key.as_str(), value) {
                            ("name", Value::String(name)) | ("names", Value::String(name)) => names.push(name),
                            ("names", Value::Array(list)) => {
                                for name in list {
                                    match name {
                                        Value::String(name) => names.push(name),
                                        other => self.warn(format!(
                                            "a websocket name of protocol {protocol:?} is not a text: left out: {other}"
                                        )),
                                    }
                                }
                            }
                            (key, _) if is_comment(key) => self.comments += 1,
                            (key, value) => self.warn(format!(
                                "{key:?} of a websocket entry of protocol {protocol:?} is unknown: left out: {value}"
                            )),
                        }
                    }
                }
                other => self.warn(format!(
                    "a websocket entry of protocol {protocol:?} has no name: left out: {other}"
                )),
            }
        }
        names
            .into_iter()
            .map(|name| json!({ "websocket": { "name": name } }))
            .collect()
    }

    /// Converts the names in an object, and in the objects of its lists, from kebab to snake case; except the
    /// services of a Bluetooth entry, whose names are UUIDs.
    fn snake(&mut self, value: Value) -> Value {
        match value {
            Value::Object(object) => {
                let mut out = Map::new();
                for (key, value) in object {
                    if is_comment(&key) {
                        self.comments += 1;
                    } else if key == "services" {
                        out.insert(key, value);
                    } else {
                        out.insert(key.replace('-', "_"), self.snake(value));
                    }
                }
                Value::Object(out)
            }
            Value::Array(list) => Value::Array(list.into_iter().map(|v| self.snake(v)).collect()),
            other => other,
        }
    }
}
