//! Telling a client which devices came and went, in its message version.
//!
//! Version 4 gets the whole list at each change, so that a newer list replaces an older one. Versions 0 to 3 get
//! a message for each device that came or went, so that each of them counts.

use std::collections::BTreeMap;

use buttplug_core::message::{
    ButtplugMessage, ButtplugMessageSpecVersion as Version, ButtplugServerMessageV4, DeviceListV4,
    DeviceMessageInfoV4, DeviceRemovedV0,
};
use buttplug_server::message::{
    ButtplugServerMessageV0, ButtplugServerMessageV1, ButtplugServerMessageV2, ButtplugServerMessageV3,
    ButtplugServerMessageVariant as Variant, DeviceAddedV3,
};

use crate::registry::ConnectionId;

/// The devices as a client sees them: by index, each with its connection, since an index that stays with another
/// connection is a device that left and came back.
pub(super) type Seen<'a> = BTreeMap<u32, (ConnectionId, &'a DeviceMessageInfoV4)>;

/// What one client was told.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<u32, ConnectionId>);

impl Told {
    /// The client knows these: it asked for the list, or it was there before the change.
    pub(super) fn set(&mut self, now: &Seen<'_>) {
        self.0 = now
            .iter()
            .map(|(&index, &(connection, _))| (index, connection))
            .collect();
    }

    /// What the client must be told to get from what it knows to `now`; nothing when that is the same.
    pub(super) fn update(&mut self, version: Version, now: &Seen<'_>) -> Vec<Variant> {
        let same =
            |index: &u32, connection: &ConnectionId| now.get(index).is_some_and(|(c, _)| c == connection);
        let left: Vec<u32> = self
            .0
            .iter()
            .filter(|(i, c)| !same(i, c))
            .map(|(&i, _)| i)
            .collect();
        let came: Vec<u32> = now
            .iter()
            .filter(|(i, (c, _))| self.0.get(i) != Some(c))
            .map(|(&i, _)| i)
            .collect();
        if left.is_empty() && came.is_empty() {
            return Vec::new();
        }
        let messages = if version == Version::Version4 {
            let mut lists = Vec::new();
            // A device that came back must be seen to have left: its outputs are off now.
            if left.iter().any(|i| now.contains_key(i)) {
                lists.push(list(now.iter().filter(|(i, _)| !left.contains(i))));
            }
            lists.push(list(now.iter()));
            lists.into_iter().map(|l| Variant::V4(l.into())).collect()
        } else {
            let removed = left
                .into_iter()
                .map(|i| ButtplugServerMessageV3::DeviceRemoved(DeviceRemovedV0::new(i)));
            let added = came
                .into_iter()
                .filter_map(|i| now.get(&i))
                .map(|(_, info)| ButtplugServerMessageV3::DeviceAdded(DeviceAddedV3::from((*info).clone())));
            removed.chain(added).map(|m| older(version, m)).collect()
        };
        self.set(now);
        messages
    }
}

/// The answer to a client that asks for the list.
pub(super) fn device_list(id: u32, now: &Seen<'_>) -> ButtplugServerMessageV4 {
    let mut list = list(now.iter());
    list.set_id(id);
    list.into()
}

fn list<'a>(
    devices: impl Iterator<Item = (&'a u32, &'a (ConnectionId, &'a DeviceMessageInfoV4))>,
) -> DeviceListV4 {
    let mut list = DeviceListV4::new(devices.map(|(_, (_, info))| (*info).clone()).collect());
    list.set_id(0);
    list
}

/// A message of version 3 in version 3 or an older one.
fn older(version: Version, message: ButtplugServerMessageV3) -> Variant {
    let v2 = || ButtplugServerMessageV2::from(message.clone());
    let v1 = || ButtplugServerMessageV1::from(v2());
    match version {
        Version::Version0 => Variant::V0(ButtplugServerMessageV0::from(v1())),
        Version::Version1 => Variant::V1(v1()),
        Version::Version2 => Variant::V2(v2()),
        Version::Version3 | Version::Version4 => Variant::V3(message),
    }
}

/// A message of version 4 in the client's version; `None` where that version has no such message.
pub(super) fn in_version(version: Version, message: ButtplugServerMessageV4) -> Option<Variant> {
    if version == Version::Version4 {
        return Some(Variant::V4(message));
    }
    let id = message.id();
    let mut message = older(version, ButtplugServerMessageV3::try_from(message).ok()?);
    message.set_id(id);
    Some(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(index: u32) -> DeviceMessageInfoV4 {
        DeviceMessageInfoV4::new(index, "device", &None, 100, &BTreeMap::new())
    }

    fn seen(devices: &[(u32, u64)], infos: &'static [DeviceMessageInfoV4]) -> Seen<'static> {
        devices
            .iter()
            .map(|&(i, c)| (i, (ConnectionId(c), &infos[i as usize])))
            .collect()
    }

    fn infos() -> &'static [DeviceMessageInfoV4] {
        Vec::leak((0..8).map(info).collect())
    }

    /// What a client of an old version believes after these messages.
    fn apply(believed: &mut Vec<u32>, messages: &[Variant]) {
        for message in messages {
            match message {
                Variant::V3(ButtplugServerMessageV3::DeviceRemoved(m)) => {
                    let json = serde_json::to_value(m).unwrap();
                    let index = json["DeviceIndex"].as_u64().unwrap() as u32;
                    assert!(
                        believed.contains(&index),
                        "removed {index}, which was never added"
                    );
                    believed.retain(|&i| i != index);
                }
                Variant::V3(ButtplugServerMessageV3::DeviceAdded(m)) => {
                    let json = serde_json::to_value(m).unwrap();
                    let index = json["DeviceIndex"].as_u64().unwrap() as u32;
                    assert!(!believed.contains(&index), "added {index} twice");
                    believed.push(index);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_device_that_came_back_is_seen_to_have_left() {
        let infos = infos();
        let mut told = Told::default();
        told.set(&seen(&[(0, 1), (1, 2)], infos));
        let messages = told.update(Version::Version4, &seen(&[(0, 1), (1, 3)], infos));
        let sizes: Vec<usize> = messages
            .iter()
            .map(|m| match m {
                Variant::V4(ButtplugServerMessageV4::DeviceList(l)) => l.devices().len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, [1, 2]);
        assert!(
            told.update(Version::Version4, &seen(&[(0, 1), (1, 3)], infos))
                .is_empty()
        );
    }

    #[test]
    fn every_version_has_its_own_words() {
        let infos = infos();
        for version in [
            Version::Version0,
            Version::Version1,
            Version::Version2,
            Version::Version3,
        ] {
            let mut told = Told::default();
            let messages = told.update(version, &seen(&[(0, 1)], infos));
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].version(), version);
        }
    }

    proptest! {
        #[test]
        fn an_old_client_always_believes_what_is_so(
            tables in prop::collection::vec(prop::collection::btree_map(0u32..8, 0u64..3, 0..8), 1..20)
        ) {
            let infos = infos();
            let mut told = Told::default();
            let mut believed = Vec::new();
            for table in tables {
                let table: Vec<(u32, u64)> = table.into_iter().collect();
                let messages = told.update(Version::Version3, &seen(&table, infos));
                apply(&mut believed, &messages);
                let mut sorted = believed.clone();
                sorted.sort_unstable();
                prop_assert_eq!(sorted, table.iter().map(|&(i, _)| i).collect::<Vec<_>>());
            }
        }
    }
}
