//! Moves keys at the wrong depth to where they belong before a file is read, if they can only have been meant in one
//! way. Every change is remarked on, with its place in the text.

use serde_json::{Map, Value, json};

use super::protocols;
use super::remark::{Places, Remark, excerpt, step};

/// The kinds of `communication` that the server's loader knows; it skips others silently.
pub(super) const COMMUNICATION_KINDS: &[&str] = &[
    "websocket",
    "serial",
    "btle",
    "usb",
    "hid",
    "sdl-gamepad",
    "lovense_connect_service",
    "simulated",
];
/// The sections of a user's part.
const SECTIONS: &[&str] = &[
    "specifiers",
    "selectors",
    "protocols",
    "configurations",
    "devices",
    "simulated_devices",
];

/// Moves what is at the wrong depth in a file of this major version.
pub(super) fn mend(file: &mut Value, major: u64, places: &mut Places<'_>) -> Vec<Remark> {
    let mut mend = Mend {
        places,
        remarks: Vec::new(),
    };
    let section = mend.user_part(file, major);
    let at = step("", section);
    let Some(user) = file.get_mut(section).and_then(Value::as_object_mut) else {
        return mend.remarks;
    };
    if let Some(devices) = user.get_mut("devices").and_then(Value::as_array_mut) {
        for (index, device) in devices.iter_mut().enumerate() {
            mend.pair(device, &step(&step(&at, "devices"), index));
        }
    }
    mend.stray_protocols(user, &at);
    if let Some(protocols) = user.get_mut("protocols").and_then(Value::as_object_mut) {
        let at = step(&at, "protocols");
        for (protocol, entry) in protocols {
            if let Some(entry) = entry.as_object_mut() {
                mend.communication(protocol, entry, &step(&at, protocol), major);
            }
        }
    }
    mend.remarks
}

/// Whether the sections of a user's part are at the top of the file, under no name.
pub(super) fn has_user_part_at_the_top(file: &Value) -> bool {
    // The server's own device base looks like this too, and has defaults.
    let mut entries = file["protocols"].as_object().into_iter().flatten();
    ["user-configs", "user_configs"]
        .into_iter()
        .all(|section| file.get(section).is_none())
        && SECTIONS.iter().any(|section| file.get(section).is_some())
        && !entries.any(|(_, entry)| entry.get("defaults").is_some())
}

struct Mend<'p, 't> {
    places: &'p mut Places<'t>,
    remarks: Vec<Remark>,
}

impl Mend<'_, '_> {
    fn moved(&mut self, from: &str, to: &str, text: String) {
        self.remarks.push(Remark::note(from, text));
        self.places.moved(from, to);
    }

    /// Puts the sections of a file without a user's part under one; returns its key.
    fn user_part(&mut self, file: &mut Value, major: u64) -> &'static str {
        for section in ["user-configs", "user_configs"] {
            if file.get(section).is_some() {
                return section;
            }
        }
        let section = if major < 4 { "user-configs" } else { "user_configs" };
        let is_users = has_user_part_at_the_top(file);
        let Some(members) = file.as_object_mut().filter(|_| is_users) else {
            return section;
        };
        let keys: Vec<String> = members
            .keys()
            .filter(|key| SECTIONS.contains(&key.as_str()))
            .cloned()
            .collect();
        let mut user = Map::new();
        for key in keys {
            let (from, to) = (step("", &key), step(&step("", section), &key));
            self.moved(
                &from,
                &to,
                format!("{key:?} belongs under {section:?}: read as if it were there"),
            );
            if let Some(value) = members.shift_remove(&key) {
                user.insert(key, value);
            }
        }
        if !user.is_empty() {
            members.insert(section.to_owned(), user.into());
        }
        section
    }

    /// `[identifier, config]`, as some programs wrote a device.
    fn pair(&mut self, device: &mut Value, at: &str) {
        let Some([identifier, config]) = device.as_array_mut().map(Vec::as_mut_slice) else {
            return;
        };
        if identifier.get("protocol").is_none() || !config.is_object() {
            return;
        }
        *device = json!({ "identifier": identifier.take(), "config": config.take() });
        self.places.moved(&step(at, 0), &step(at, "identifier"));
        self.places.moved(&step(at, 1), &step(at, "config"));
    }

    /// Protocols beside `protocols` instead of under it.
    fn stray_protocols(&mut self, user: &mut Map<String, Value>, at: &str) {
        let strays: Vec<String> = user
            .iter()
            .filter(|(key, value)| value.is_object() && protocols::is_known(key))
            .map(|(key, _)| key.clone())
            .collect();
        let list = ["specifiers", "selectors", "protocols"]
            .into_iter()
            .find(|key| user.contains_key(*key))
            .unwrap_or("protocols");
        for stray in strays {
            let (from, to) = (step(at, &stray), step(&step(at, list), &stray));
            let protocols = user.entry(list).or_insert_with(|| json!({}));
            let Some(there) = protocols
                .as_object_mut()
                .map(|p| p.entry(&stray).or_insert_with(|| json!({})))
            else {
                continue;
            };
            let Some(mut there) = there.as_object().cloned() else {
                continue;
            };
            let entry = user.shift_remove(&stray).unwrap_or_default();
            for (key, value) in entry.as_object().into_iter().flatten() {
                self.join(&mut there, key, value, &from, &to);
            }
            user[list][&stray] = there.into();
            self.remarks.push(Remark::note(
                from,
                format!("{stray:?} belongs under {list:?}: read as if it were there"),
            ));
        }
    }

    /// Adds a member to an object that may have it already: lists are joined, other values are reported.
    fn join(&mut self, there: &mut Map<String, Value>, key: &str, value: &Value, from: &str, to: &str) {
        let (from, to) = (step(from, key), step(to, key));
        match (there.get_mut(key), value) {
            (None, value) => {
                there.insert(key.to_owned(), value.clone());
                self.places.moved(&from, &to);
            }
            (Some(Value::Array(list)), Value::Array(more)) => {
                for (i, element) in more.iter().enumerate() {
                    self.places.moved(&step(&from, i), &step(&to, list.len()));
                    list.push(element.clone());
                }
            }
            (Some(_), value) => self.remarks.push(Remark::at(
                from,
                format!(
                    "{key:?} occurs twice for one protocol: left out: {}",
                    excerpt(value)
                ),
            )),
        }
    }

    /// Specifiers beside `communication` instead of in it, or not in a list, or several in one element.
    fn communication(&mut self, protocol: &str, entry: &mut Map<String, Value>, at: &str, major: u64) {
        let list_at = step(at, "communication");
        if let Some(one) = entry.get_mut("communication").filter(|c| c.is_object()) {
            self.remarks.push(Remark::note(
                &list_at,
                format!(
                    "\"communication\" of protocol {protocol:?} is a list: read as one with this element"
                ),
            ));
            self.places.moved(&list_at, &step(&list_at, 0));
            *one = json!([one.take()]);
        }
        // In the older versions that is their place.
        if major < 4 {
            return;
        }
        if let Some(list) = entry.get_mut("communication").and_then(Value::as_array_mut) {
            self.split(list, &list_at);
        }
        for kind in COMMUNICATION_KINDS {
            let takes = |body: &Value| match (body, *kind) {
                // One name each: any other form is that of an older version, or a mistake, which is reported.
                (Value::Object(body), "websocket") => body.get("name").is_some_and(Value::is_string),
                (body, _) => body.is_object(),
            };
            if !entry.get(*kind).is_some_and(takes) {
                continue;
            }
            let list = entry.entry("communication").or_insert_with(|| json!([]));
            let Some(list) = list.as_array_mut() else { continue };
            let index = list.len();
            list.push(Value::Null);
            let body = entry.shift_remove(*kind).unwrap_or_default();
            entry["communication"][index] = json!({ *kind: body });
            self.moved(
                &step(at, kind),
                &step(&step(&list_at, index), kind),
                format!(
                    "{kind:?} of protocol {protocol:?} belongs in its \"communication\" list: read as if it were there"
                ),
            );
        }
    }

    /// Gives each kind an element of its own, since the server takes one kind an element.
    fn split(&mut self, list: &mut Vec<Value>, at: &str) {
        for index in 0..list.len() {
            let Some(element) = list[index].as_object() else {
                continue;
            };
            let kinds = element
                .keys()
                .filter(|key| COMMUNICATION_KINDS.contains(&key.as_str()));
            // The first one stays.
            let others: Vec<String> = kinds.skip(1).cloned().collect();
            for kind in others {
                let taken = list[index]
                    .as_object_mut()
                    .and_then(|element| element.shift_remove(&kind));
                let Some(body) = taken else { continue };
                let to = step(&step(at, list.len()), &kind);
                let from = step(&step(at, index), &kind);
                list.push(json!({ kind.as_str(): body }));
                self.moved(
                    &from,
                    &to,
                    format!("{kind:?} belongs in an element of its own: read as if it had one"),
                );
            }
        }
    }
}
