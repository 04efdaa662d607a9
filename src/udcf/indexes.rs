//! Device indexes: a device keeps its index while it is away; only strangers lose theirs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use buttplug_server_device_config::{BaseDeviceIdentifier, DeviceConfigurationManager, UserDeviceIdentifier};
use serde::{Deserialize, Serialize};

/// How many absent devices are remembered. On an open port, strangers may connect under any number of addresses.
pub(super) const MAX_DEVICES: usize = 16_384;
/// How far the table may exceed that before it is pruned, since pruning scans all of it.
const SLACK: usize = MAX_DEVICES / 8;

/// A device in the state file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    protocol: String,
    /// `None` for a lovense that never reported its model.
    identifier: Option<String>,
    address: String,
    pub(super) index: u32,
    /// Seconds since 1970.
    last_seen: u64,
    /// Whether a client ever commanded it: if so, someone uses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    commanded: bool,
}

impl Remembered {
    pub(super) fn id(&self) -> UserDeviceIdentifier {
        UserDeviceIdentifier::new(&self.address, &self.protocol, &self.identifier)
    }
}

/// A device that has connected at least once.
#[derive(Debug)]
struct Record {
    index: u32,
    /// Whether no other device has the index. A device that lost its index to another gets a new one when it
    /// connects.
    owns_index: bool,
    last_seen: u64,
    commanded: bool,
    /// How often it is listed: twice for a moment, if it comes back before its old entry is gone.
    listed: usize,
}

/// All known devices and all indexes.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    known: HashMap<UserDeviceIdentifier, Record>,
    /// The indexes that the UDCF assigns, whether the device ever connected or not.
    given: HashMap<UserDeviceIdentifier, u32>,
    taken: HashSet<u32>,
    /// No index from here on was assigned in turn, but some may be taken.
    next: u32,
    /// Freed indexes below `next`.
    holes: BTreeSet<u32>,
}

impl Indexes {
    pub(super) fn new(remembered: Vec<Remembered>) -> Self {
        let known = remembered.into_iter().map(|device| {
            let known = Record {
                index: device.index,
                owns_index: false,
                last_seen: device.last_seen,
                commanded: device.commanded,
                listed: 0,
            };
            (device.id(), known)
        });
        Self {
            known: known.collect(),
            ..Self::default()
        }
    }

    /// Reserves the indexes that the UDCF assigns, then the remembered ones; no two devices get the same one.
    pub(super) fn reserve(&mut self, dcm: &DeviceConfigurationManager) {
        let mut given: Vec<_> = dcm
            .user_device_definitions()
            .iter()
            .map(|device| (device.index(), device.key().clone()))
            .collect();
        given.sort_by(|(a, x), (b, y)| (a, x.address()).cmp(&(b, y.address())));
        for (index, id) in given {
            if self.taken.insert(index) {
                self.given.insert(id, index);
            }
        }
        let bases = dcm.base_device_definitions();
        // Devices whose protocol or configuration this UDCF lacks stay remembered, for a UDCF that has it.
        let can_come = |id: &UserDeviceIdentifier| {
            bases.contains_key(&BaseDeviceIdentifier::from(id))
                || bases.contains_key(&BaseDeviceIdentifier::new_default(id.protocol()))
        };
        let mut remembered: Vec<_> = self.known.iter_mut().collect();
        // The device that was seen last keeps a contested index.
        remembered.sort_by(|(_, a), (_, b)| b.last_seen.cmp(&a.last_seen).then(a.index.cmp(&b.index)));
        for (id, device) in remembered {
            if !self.given.contains_key(id) && can_come(id) && !device.owns_index {
                device.owns_index = self.taken.insert(device.index);
            }
        }
    }

    /// Whether a client ever commanded the device.
    pub(super) fn was_commanded(&self, id: &UserDeviceIdentifier) -> bool {
        self.known.get(id).is_some_and(|known| known.commanded)
    }

    /// The addresses of the devices that a client ever commanded.
    pub(super) fn all_commanded(&self) -> Vec<String> {
        let commanded = self.known.iter().filter(|(_, known)| known.commanded);
        commanded.map(|(id, _)| id.address().clone()).collect()
    }

    /// Records that a device is listed; returns its index.
    pub(super) fn connected(&mut self, id: &UserDeviceIdentifier) -> u32 {
        let given = self.given.get(id).copied();
        let known = self.known.get(id);
        let index = match (given, known) {
            (Some(given), _) => given,
            (None, Some(known)) if known.owns_index || self.taken.insert(known.index) => known.index,
            (None, _) => self.take_free(),
        };
        let last_seen = now();
        let known = self.known.entry(id.clone()).or_insert(Record {
            index,
            owns_index: true,
            last_seen,
            commanded: false,
            listed: 0,
        });
        known.index = index;
        known.owns_index = true;
        known.last_seen = last_seen;
        known.listed += 1;
        if self.known.len() > MAX_DEVICES + SLACK {
            self.forget_strangers();
        }
        index
    }

    /// Records that a device is no longer listed.
    pub(super) fn departed(&mut self, id: &UserDeviceIdentifier) {
        if let Some(known) = self.known.get_mut(id) {
            known.listed = known.listed.saturating_sub(1);
            known.last_seen = now();
        }
    }

    /// Records that a client commanded the device; returns whether it was the first time.
    pub(super) fn commanded(&mut self, id: &UserDeviceIdentifier) -> bool {
        let known = self.known.get_mut(id);
        known.is_some_and(|known| !std::mem::replace(&mut known.commanded, true))
    }

    /// The devices to save, by index.
    pub(super) fn remembered(&self) -> Vec<Remembered> {
        let mut list: Vec<_> = self
            .known
            .iter()
            .map(|(id, known)| Remembered {
                protocol: id.protocol().clone(),
                identifier: id.identifier().clone(),
                address: id.address().clone(),
                index: known.index,
                last_seen: known.last_seen,
                commanded: known.commanded,
            })
            .collect();
        list.sort_by(|a, b| (a.index, &a.address).cmp(&(b.index, &b.address)));
        list
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    fn take_free(&mut self) -> u32 {
        if let Some(hole) = self.holes.pop_first() {
            self.taken.insert(hole);
            return hole;
        }
        while !self.taken.insert(self.next) {
            self.next = self.next.wrapping_add(1);
        }
        self.next
    }

    /// Forgets absent devices that the UDCF does not name: never-commanded ones first, then those that were seen
    /// longest ago. So strangers go before devices that someone uses.
    fn forget_strangers(&mut self) {
        let mut away: Vec<_> = self
            .known
            .iter()
            .filter(|(id, known)| known.listed == 0 && !self.given.contains_key(id))
            .map(|(id, known)| (known.commanded, known.last_seen, id.clone()))
            .collect();
        away.sort_by_key(|(commanded, last_seen, _)| (*commanded, *last_seen));
        let too_many = self.known.len() - MAX_DEVICES;
        for (_, _, id) in away.into_iter().take(too_many) {
            if let Some(known) = self.known.remove(&id)
                && known.owns_index
                && self.taken.remove(&known.index)
                && known.index < self.next
            {
                self.holes.insert(known.index);
            }
        }
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udcf::Udcf;

    fn id(address: &str) -> UserDeviceIdentifier {
        UserDeviceIdentifier::new(address, "lovense", &None)
    }

    /// Strangers connect under one address after another. One device is connected, one is away that a client
    /// commanded before, and one is away that the UDCF names.
    #[test]
    fn strangers_are_forgotten_before_devices_that_are_in_use() {
        let dcm = Udcf::builtin().device_configuration().expect("the built-in UDCF");
        let mut named = dcm.device_definition(&id("named")).expect("a lovense");
        named = buttplug_server_device_config::ServerDeviceDefinitionBuilder::from_user(&named)
            .index(3)
            .finish();
        dcm.add_user_device_definition(&id("named"), &named);
        let mut indexes = Indexes::default();
        indexes.reserve(&dcm);
        let here = indexes.connected(&id("here"));
        let used = indexes.connected(&id("used"));
        assert!(indexes.commanded(&id("used")));
        assert!(!indexes.commanded(&id("used")));
        indexes.departed(&id("used"));
        assert_eq!(indexes.connected(&id("named")), 3);
        indexes.departed(&id("named"));

        let mut highest = 0;
        for n in 0..3 * MAX_DEVICES {
            let stranger = id(&format!("stranger {n}"));
            let index = indexes.connected(&stranger);
            assert!(
                ![here, used, 3].contains(&index),
                "stranger {n} got index {index}"
            );
            highest = highest.max(index);
            indexes.departed(&stranger);
            assert!(indexes.len() <= MAX_DEVICES + SLACK, "after {n} strangers");
        }
        // Freed indexes are reused, so indexes stay small.
        assert!(highest as usize <= MAX_DEVICES + SLACK + 4, "{highest}");
        assert_eq!(indexes.connected(&id("used")), used);
        assert_eq!(indexes.connected(&id("here")), here);
        assert_eq!(indexes.connected(&id("named")), 3);
        let all: Vec<u32> = indexes.remembered().iter().map(|d| d.index).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn devices_that_are_there_are_never_forgotten() {
        let mut indexes = Indexes::default();
        let count = MAX_DEVICES + 2 * SLACK;
        for n in 0..count {
            assert_eq!(indexes.connected(&id(&n.to_string())), n as u32);
        }
        assert_eq!(indexes.len(), count);
    }
}
