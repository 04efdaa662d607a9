//! The devices that were announced to a client, and the messages that bring it up to date.

use std::collections::BTreeMap;
use std::sync::Arc;

use buttplug_core::message::{
    ButtplugMessage, ButtplugMessageSpecVersion, ButtplugServerMessageV4, DeviceListV4, DeviceMessageInfoV4,
    DeviceRemovedV0,
};
use buttplug_server::message::{ButtplugServerMessageV3, DeviceAddedV3};
use serde::Serialize;

use super::wire;
use crate::device::peer::ConnectionId;
use crate::upstream::embedded::{DeviceTable, ListedDevice};

/// A device as clients see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device<'a> {
    pub(super) connection: ConnectionId,
    pub(super) info: &'a DeviceMessageInfoV4,
}

/// The devices that are listed, by index.
pub(super) type Devices<'a> = BTreeMap<u32, Device<'a>>;

/// The device table as clients see it.
pub(super) fn view<'a>(table: &'a DeviceTable) -> Devices<'a> {
    let device = |device: &'a Arc<ListedDevice>| Device {
        connection: device.connection,
        info: &device.info,
    };
    table.iter().map(|(&index, d)| (index, device(d))).collect()
}

/// The devices that were announced to one client.
#[derive(Debug)]
pub(super) struct Announced {
    version: ButtplugMessageSpecVersion,
    devices: BTreeMap<u32, ConnectionId>,
}

impl Announced {
    /// Starts with the devices present at the handshake. As with the library itself, the client has to request
    /// these, and is notified only of later changes.
    pub(super) fn new(version: ButtplugMessageSpecVersion, now: &Devices) -> Self {
        let mut announced = Self {
            version,
            devices: BTreeMap::new(),
        };
        announced.record(now);
        announced
    }

    /// The websocket messages that bring the client up to date; none if nothing changed.
    pub(super) fn update(&mut self, now: &Devices) -> Vec<String> {
        let departed = self.departed(now);
        let new: Vec<u32> = now
            .iter()
            .filter(|(index, device)| self.devices.get(index) != Some(&device.connection))
            .map(|(&index, _)| index)
            .collect();
        if departed.is_empty() && new.is_empty() {
            return Vec::new();
        }
        let messages = if self.version == ButtplugMessageSpecVersion::Version4 {
            let mut lists = self.without_replaced(now);
            lists.push(list(0, now.iter()));
            lists
        } else {
            let removed = departed.into_iter().map(removed);
            let added = new
                .into_iter()
                .map(|index| DeviceAddedV3::from(now[&index].info.clone()).into());
            vec![self.events(removed.chain(added))]
        };
        self.record(now);
        messages
    }

    /// The answer to `RequestDeviceList`. Removals come before it, since not every client can detect from a list that
    /// a device left, or left and came back.
    pub(super) fn reply(&mut self, id: u32, now: &Devices) -> Vec<String> {
        let mut messages;
        if self.version == ButtplugMessageSpecVersion::Version4 {
            messages = self.without_replaced(now);
            messages.push(list(id, now.iter()));
        } else {
            let departed = self.departed(now);
            messages = Vec::new();
            if !departed.is_empty() {
                messages.push(self.events(departed.into_iter().map(removed)));
            }
            let mut all = DeviceListV4::new(now.values().map(|d| d.info.clone()).collect());
            all.set_id(id);
            messages.push(wire::encode_v4(
                ButtplugServerMessageV4::DeviceList(all),
                self.version,
            ));
        }
        self.record(now);
        messages
    }

    fn record(&mut self, now: &Devices) {
        self.devices = now.iter().map(|(&index, d)| (index, d.connection)).collect();
    }

    /// Announced devices that have left, or were replaced under the same index.
    fn departed(&self, now: &Devices) -> Vec<u32> {
        let still = |index: &u32, connection| now.get(index).is_some_and(|d| d.connection == connection);
        self.devices
            .iter()
            .filter(|&(index, &connection)| !still(index, connection))
            .map(|(&index, _)| index)
            .collect()
    }

    /// A list without the devices that left and came back since the last one: the next list shows them as new.
    fn without_replaced(&self, now: &Devices) -> Vec<String> {
        let is_replaced = |index: &u32, device: &Device| {
            self.devices
                .get(index)
                .is_some_and(|&announced| announced != device.connection)
        };
        if !now.iter().any(|(index, device)| is_replaced(index, device)) {
            return Vec::new();
        }
        vec![list(
            0,
            now.iter().filter(|&(index, device)| !is_replaced(index, device)),
        )]
    }

    fn events(&self, events: impl Iterator<Item = ButtplugServerMessageV3>) -> String {
        let events: Vec<_> = events.map(|m| wire::downgrade_v3(m, self.version)).collect();
        wire::encode(&events)
    }
}

fn removed(index: u32) -> ButtplugServerMessageV3 {
    DeviceRemovedV0::new(index).into()
}

/// A `DeviceList` of version 4, serialized from the table. The library's own type would copy every device.
fn list<'a>(id: u32, devices: impl Iterator<Item = (&'a u32, &'a Device<'a>)>) -> String {
    #[derive(Serialize)]
    enum Message<'a> {
        DeviceList(List<'a>),
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct List<'a> {
        id: u32,
        devices: BTreeMap<u32, &'a DeviceMessageInfoV4>,
    }
    wire::to_json(&[Message::DeviceList(List {
        id,
        devices: devices.map(|(&index, device)| (index, device.info)).collect(),
    })])
}

#[cfg(test)]
mod tests {
    use buttplug_core::message::ButtplugMessageSpecVersion as Version;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const VERSIONS: [Version; 5] = [
        Version::Version0,
        Version::Version1,
        Version::Version2,
        Version::Version3,
        Version::Version4,
    ];

    fn infos() -> Vec<DeviceMessageInfoV4> {
        (0..8)
            .map(|i| DeviceMessageInfoV4::new(i, &format!("device {i}"), &None, 100, &BTreeMap::new()))
            .collect()
    }

    fn devices<'a>(infos: &'a [DeviceMessageInfoV4], now: &BTreeMap<u32, u64>) -> Devices<'a> {
        let device = |index: u32, connection| Device {
            connection: ConnectionId(connection),
            info: &infos[index as usize],
        };
        now.iter().map(|(&index, &c)| (index, device(index, c))).collect()
    }

    /// A client's device list, and how often each device was announced to it.
    #[derive(Default)]
    struct Client {
        devices: BTreeMap<u32, usize>,
        announcements: BTreeMap<u32, usize>,
    }

    impl Client {
        fn add(&mut self, index: u32) {
            let times = self.announcements.entry(index).or_default();
            *times += 1;
            let before = self.devices.insert(index, *times);
            assert_eq!(before, None, "device {index} was announced twice");
        }

        fn list(&mut self, listed: &[u32]) {
            self.devices.retain(|index, _| listed.contains(index));
            for &index in listed {
                if !self.devices.contains_key(&index) {
                    self.add(index);
                }
            }
        }

        fn receive(&mut self, text: &str, ids: &mut Vec<u64>) {
            let index_of = |v: &Value| v["DeviceIndex"].as_u64().expect("an index") as u32;
            for message in serde_json::from_str::<Vec<Value>>(text).expect("an array") {
                let (name, body) = message.as_object().and_then(|o| o.iter().next()).expect("a name");
                ids.push(body["Id"].as_u64().expect("an id"));
                match (name.as_str(), &body["Devices"]) {
                    ("DeviceAdded", _) => self.add(index_of(body)),
                    ("DeviceRemoved", _) => {
                        let index = index_of(body);
                        assert!(self.devices.remove(&index).is_some(), "{index} was not there");
                    }
                    ("DeviceList", Value::Object(map)) => {
                        let listed: Vec<u32> = map.keys().map(|k| k.parse().expect("an index")).collect();
                        assert!(map.iter().all(|(key, d)| *key == index_of(d).to_string()));
                        self.list(&listed);
                    }
                    ("DeviceList", Value::Array(all)) => {
                        let listed: Vec<u32> = all.iter().map(index_of).collect();
                        self.list(&listed);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn table() -> impl Strategy<Value = BTreeMap<u32, u64>> {
        prop::collection::btree_map(0u32..8, 0u64..3, 0..8)
    }

    proptest! {
        /// However devices come, go and return between two updates, and whenever the client requests the list: its
        /// list matches the table, each device is announced once, and each departure is reported.
        #[test]
        fn the_list_of_a_client_of_any_version_matches_the_table(
            steps in prop::collection::vec((table(), any::<bool>()), 1..20)
        ) {
            let infos = infos();
            for version in VERSIONS {
                let mut announced = Announced::new(version, &Devices::new());
                let mut client = Client::default();
                let mut connections: BTreeMap<u32, (u64, usize)> = BTreeMap::new();
                for (now, asks) in &steps {
                    let devices = devices(&infos, now);
                    let mut ids = Vec::new();
                    let texts = if *asks { announced.reply(7, &devices) } else { announced.update(&devices) };
                    for text in &texts {
                        client.receive(text, &mut ids);
                    }
                    if *asks {
                        prop_assert_eq!(ids.pop(), Some(7));
                    }
                    prop_assert!(ids.iter().all(|&id| id == 0));
                    let listed: Vec<u32> = client.devices.keys().copied().collect();
                    prop_assert_eq!(listed, now.keys().copied().collect::<Vec<_>>());
                    for (index, connection) in now {
                        let times = client.devices[index];
                        if let Some(&(before, then)) = connections.get(index) {
                            prop_assert_eq!(before == *connection, then == times, "device {}", index);
                        }
                    }
                    connections = now.iter().map(|(&i, &c)| (i, (c, client.devices[&i]))).collect();
                    prop_assert!(announced.update(&devices).is_empty());
                }
            }
        }
    }

    #[test]
    fn a_client_that_never_asks_receives_only_changes() {
        let infos = infos();
        let before = BTreeMap::from([(0, 1), (1, 1)]);
        for version in VERSIONS {
            let mut announced = Announced::new(version, &devices(&infos, &before));
            assert!(announced.update(&devices(&infos, &before)).is_empty());
            let after = BTreeMap::from([(1, 1), (2, 1)]);
            let texts = announced.update(&devices(&infos, &after));
            assert_eq!(texts.len(), 1);
            let messages: Vec<Value> = serde_json::from_str(&texts[0]).expect("an array");
            let names: Vec<_> = messages
                .iter()
                .filter_map(|m| m.as_object()?.keys().next())
                .collect();
            match version {
                Version::Version4 => assert_eq!(names, ["DeviceList"]),
                _ => assert_eq!(names, ["DeviceRemoved", "DeviceAdded"]),
            }
        }
    }

    #[test]
    fn the_list_equals_the_one_that_the_library_writes() {
        let infos = infos();
        let mut list = DeviceListV4::new(infos[..3].to_vec());
        list.set_id(5);
        let theirs = wire::encode_v4(ButtplugServerMessageV4::DeviceList(list), Version::Version4);
        let now = devices(&infos, &BTreeMap::from([(0, 1), (1, 1), (2, 1)]));
        let ours = Announced::new(Version::Version4, &Devices::new()).reply(5, &now);
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(json(&ours[0]), json(&theirs));
    }
}
