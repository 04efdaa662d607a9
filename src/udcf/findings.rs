//! What the server's own loader rejects in a file, and what it skips silently.

use buttplug_server_device_config::{DeviceConfigurationManager, UserDeviceIdentifier};
use serde_json::{Value, json};

use super::mend::COMMUNICATION_KINDS;
use super::remark::step;
use super::{Udcf, migrate, protocols};

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// One element of a list in the user's part.
struct Entry<'a> {
    protocol: Option<&'a str>,
    list: &'static str,
    index: usize,
    element: &'a Value,
}

impl Entry<'_> {
    fn pointer(&self) -> String {
        let Self { list, index, .. } = self;
        match self.protocol {
            Some(protocol) => {
                let protocol = step("/user_configs/protocols", protocol);
                format!("{protocol}/{list}/{index}")
            }
            None => format!("/user_configs/{list}/{index}"),
        }
    }

    /// The list for this entry in a new user's part.
    fn list_in<'v>(&self, user: &'v mut Value) -> &'v mut Value {
        match self.protocol {
            Some(protocol) => &mut user["protocols"][protocol][self.list],
            None => &mut user[self.list],
        }
    }
}

/// The lists of a protocol that the loader reads.
const PROTOCOL_LISTS: [&str; 2] = ["communication", "configurations"];
/// The lists of the user's part that the loader reads.
const USER_LISTS: [&str; 2] = ["devices", "simulated_devices"];

fn elements<'a>(
    protocol: Option<&'a str>,
    list: &'static str,
    elements: &'a Value,
) -> impl Iterator<Item = Entry<'a>> {
    let elements = array(elements).enumerate();
    elements.map(move |(index, element)| Entry {
        protocol,
        list,
        index,
        element,
    })
}

fn entries(user: &Value) -> Vec<Entry<'_>> {
    let mut all = Vec::new();
    for (protocol, entry) in user["protocols"].as_object().into_iter().flatten() {
        for list in PROTOCOL_LISTS {
            all.extend(elements(Some(protocol.as_str()), list, &entry[list]));
        }
    }
    for list in USER_LISTS {
        all.extend(elements(None, list, &user[list]));
    }
    all
}

/// Groups of up to this size are loaded entry by entry, because halving them again would cost about the same.
const LOADED_ONE_BY_ONE: usize = 4;

/// Finds the first `most` entries that are rejected on their own, each with the error of `load`. A load takes as long
/// for one entry as for all of them, so halving finds one bad entry among a thousand.
fn refused<T>(
    entries: &[T],
    most: usize,
    load: &impl Fn(&[T]) -> Result<(), String>,
) -> Vec<(usize, String)> {
    // A stack of groups that remain to be checked, and whether each is known to be rejected.
    let mut groups = vec![(0..entries.len(), true)];
    let mut found = Vec::new();
    while let Some((group, known)) = groups.pop()
        && found.len() < most
    {
        if group.len() <= LOADED_ONE_BY_ONE {
            if known || load(&entries[group.clone()]).is_err() {
                let each = group.filter_map(|i| Some((i, load(&entries[i..=i]).err()?)));
                found.extend(each.take(most - found.len()));
            }
            continue;
        }
        if !known && load(&entries[group.clone()]).is_ok() {
            continue;
        }
        let middle = group.start + group.len() / 2;
        let (first, second) = (group.start..middle, middle..group.end);
        if load(&entries[first.clone()]).is_ok() {
            groups.push((second, true));
        } else {
            groups.push((second, false));
            groups.push((first, true));
        }
    }
    found
}

impl Udcf {
    /// The first `most` entries that the loader rejects on their own, each with pointer and problem, in the order of
    /// the loader's lists.
    pub(super) fn refused_entries(&self, most: usize) -> Vec<(String, String)> {
        let entries = entries(&self.value["user_configs"]);
        let load = |entries: &[Entry<'_>]| {
            let mut user = json!({});
            for entry in entries {
                let list = entry.list_in(&mut user);
                match list {
                    Value::Array(elements) => elements.push(entry.element.clone()),
                    _ => *list = json!([entry.element]),
                }
            }
            let part = Self {
                value: json!({ "version": self.value["version"], "user_configs": user }),
                ..Self::builtin()
            };
            part.load_into_library().map(drop)
        };
        let refused = refused(&entries, most, &load);
        refused
            .into_iter()
            .map(|(i, problem)| (entries[i].pointer(), problem))
            .collect()
    }

    /// Removes the element at a pointer from its list; returns the list's pointer, and the element with its position.
    pub(super) fn take_out<'p>(&mut self, pointer: &'p str) -> (&'p str, usize, Value) {
        let (parent, index) = pointer.rsplit_once('/').unwrap_or_default();
        let index = index.parse().unwrap_or(usize::MAX);
        let removed = match self.value.pointer_mut(parent) {
            Some(Value::Array(list)) if index < list.len() => list.remove(index),
            _ => Value::Null,
        };
        (parent, index, removed)
    }

    /// Reports ranges of the user's outputs that end before they begin.
    fn ranges_without_values(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let configurations = self
            .protocols()
            .flat_map(|(_, entry)| array(&entry["configurations"]));
        for configuration in configurations {
            let outputs = array(&configuration["features"])
                .flat_map(|feature| feature["output"].as_object().into_iter().flatten());
            for (kind, properties) in outputs {
                for name in ["value", "duration"] {
                    let range = &properties[name];
                    if range[1].as_i64().is_some_and(|end| end <= 0) {
                        warnings.push(format!(
                            "the {name} of {kind} of the configuration {} is {} to {}, nothing above 0: no client can \
                             use it; write a range such as [0, 20], or [-20, 20] for both directions",
                            configuration["name"], range[0], range[1]
                        ));
                    }
                }
            }
        }
        warnings
    }

    /// Reports entries that the loader skips, silently or with no more than a line in the log, and entries that it
    /// takes although they cannot work.
    pub(super) fn loader_warnings(&self, dcm: &DeviceConfigurationManager) -> Vec<String> {
        let mut warnings = Vec::new();
        for (protocol, entry) in self.protocols() {
            for specifier in entry["communication"].as_array().into_iter().flatten() {
                for kind in specifier.as_object().into_iter().flatten().map(|(kind, _)| kind) {
                    if !COMMUNICATION_KINDS.contains(&kind.as_str()) {
                        warnings.push(format!(
                            "the server skips {kind:?} of protocol {protocol:?}: it has no such kind"
                        ));
                    }
                }
            }
            if entry.get("defaults").is_some() {
                warnings.push(format!(
                    "the server skips \"defaults\" of protocol {protocol:?}: they are its own; write a \
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
                // A device's own definition is found by its id.
                let has_device = array(&self.value["user_configs"]["devices"])
                    .any(|device| device["config"]["base_id"] == configuration["id"]);
                if !has_device && !ids().any(|id| named.iter().any(|name| name == id)) {
                    warnings.push(format!(
                        "the configuration {} is never used: its identifier {:?} is no name of a {protocol} \
                         device here; make it equal to the websocket name",
                        configuration["name"],
                        ids().next().unwrap_or_default()
                    ));
                }
            }
        }
        warnings.extend(self.ranges_without_values());
        warnings.extend(self.protocol_warnings(dcm));
        warnings.extend(self.contradictory_directions(dcm));
        let names = self.websocket_names();
        for (i, (name, protocol)) in names.iter().enumerate() {
            if let Some((_, first)) = names[..i].iter().find(|(n, _)| n == name) {
                warnings.push(format!(
                    "the websocket name {name:?} is listed under {first:?} and under {protocol:?}: the server takes one \
                     of them, and which one is undefined"
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
                None => {
                    let why = match migrate::base_ids(&self.value["user_configs"], device) {
                        Some((id, features)) => format!(
                            "it builds on the id {id}, its features on the ids {}; each base_id must be one of these, and \
                             a limit must be within the feature's range",
                            Value::from(features)
                        ),
                        None => "the server has no definition to base it on; leave the entry out".to_owned(),
                    };
                    warnings.push(format!(
                        "the server skips the device {address:?} ({protocol}): {why}"
                    ));
                }
                Some(definition) => {
                    if let Some(other) = indexes.insert(definition.index(), address.clone()) {
                        warnings.push(format!(
                            "the devices {other:?} and {address:?} have the same index {}: when both are connected, \
                             one evicts the other; give one another index",
                            definition.index()
                        ));
                    }
                }
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// What is found among so many entries if these are bad, and after how many loads.
    fn refused_of(entries: usize, bad: &[usize], most: usize) -> (Vec<usize>, usize) {
        let all: Vec<usize> = (0..entries).collect();
        let loads = Cell::new(0);
        let load = |part: &[usize]| {
            loads.set(loads.get() + 1);
            match part.iter().find(|i| bad.contains(i)) {
                Some(i) => Err(i.to_string()),
                None => Ok(()),
            }
        };
        let found = refused(&all, most, &load);
        assert!(found.iter().all(|(i, problem)| *problem == i.to_string()));
        (found.into_iter().map(|(i, _)| i).collect(), loads.get())
    }

    #[test]
    fn one_bad_entry_among_a_thousand_costs_a_dozen_loads() {
        for bad in [0, 1, 499, 500, 998, 999] {
            let (found, loads) = refused_of(1_000, &[bad], usize::MAX);
            assert_eq!(found, [bad]);
            assert!(loads <= 24, "{bad}: {loads}");
        }
        // One problem is enough for a file that is rejected as a whole.
        let all: Vec<usize> = (0..1_000).collect();
        let (found, loads) = refused_of(1_000, &all, 1);
        assert_eq!(found, [0]);
        assert!(loads <= 24, "{loads}");
        // Many bad entries cost little more than one load each.
        let (found, loads) = refused_of(1_000, &all, usize::MAX);
        assert_eq!(found, all);
        assert!(loads <= 1_600, "{loads}");
    }

    proptest! {
        #[test]
        fn the_bad_entries_are_found_and_no_others(
            entries in 0usize..70, bad in prop::collection::btree_set(0usize..70, 0..10), most in 1usize..12
        ) {
            let bad: Vec<usize> = bad.into_iter().filter(|i| *i < entries).collect();
            let (found, _) = refused_of(entries, &bad, most);
            prop_assert_eq!(&found[..], &bad[..bad.len().min(most)]);
        }
    }
}
