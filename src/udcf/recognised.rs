//! What recognised boards need in the server's configuration, beside what the user's file has.

use serde_json::{Value, json};

use super::Udcf;
use crate::device::recognition::{LOVENSE, LOVENSE_IDENTIFIER};

/// The same file, with the identifier of recognised Lovense boards among the names of that protocol, unless the file
/// has a use of its own for it.
pub(super) fn with_lovense(udcf: &Udcf) -> Udcf {
    let mut udcf = udcf.clone();
    let is_named = |(name, _): &(String, String)| name == LOVENSE_IDENTIFIER;
    if udcf.websocket_names().iter().any(is_named) {
        return udcf;
    }
    let mut entry = Some(&mut udcf.value);
    for name in ["user_configs", "protocols", LOVENSE, "communication"] {
        entry = entry.and_then(|entry| member(entry, name));
    }
    if let Some(communication) = entry {
        if communication.is_null() {
            *communication = json!([]);
        }
        if let Some(names) = communication.as_array_mut() {
            names.push(json!({ "websocket": { "name": LOVENSE_IDENTIFIER } }));
        }
    }
    udcf
}

/// A member of an object, made where it is missing.
fn member<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if value.is_null() {
        *value = json!({});
    }
    Some(value.as_object_mut()?.entry(name).or_insert(Value::Null))
}
