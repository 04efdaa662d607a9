//! What a client knows of the devices, and what it has to be told when they change.

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

/// A device as far as clients are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device<'a> {
    pub(super) connection: ConnectionId,
    pub(super) info: &'a DeviceMessageInfoV4,
}

/// The devices that are listed, by index.
pub(super) type Devices<'a> = BTreeMap<u32, Device<'a>>;

/// The table, seen as a client sees it.
pub(super) fn view<'a>(table: &'a DeviceTable) -> Devices<'a> {
    let device = |device: &'a Arc<ListedDevice>| Device {
        connection: device.connection,
        info: &device.info,
    };
    table.iter().map(|(&index, d)| (index, device(d))).collect()
}

/// What one client was told so far.
#[derive(Debug)]
pub(super) struct Told {
    version: ButtplugMessageSpecVersion,
    devices: BTreeMap<u32, ConnectionId>,
}

impl Told {
    /// A client that has just shaken hands. It asks for the devices that are there; as with the library itself it
    /// is told of changes from now on.
    pub(super) fn new(version: ButtplugMessageSpecVersion, now: &Devices) -> Self {
        let mut told = Self {
            version,
            devices: BTreeMap::new(),
        };
        told.remember(now);
        told
    }

    /// The websocket messages that bring the client up to date: none where nothing changed for it.
    pub(super) fn update(&mut self, now: &Devices) -> Vec<String> {
        let gone = self.gone(now);
        let new: Vec<u32> = now
            .iter()
            .filter(|(index, device)| self.devices.get(index) != Some(&device.connection))
            .map(|(&index, _)| index)
            .collect();
        if gone.is_empty() && new.is_empty() {
            return Vec::new();
        }
        let messages = if self.version == ButtplugMessageSpecVersion::Version4 {
            let mut lists = self.without_replaced(now);
            lists.push(list(0, now.iter()));
            lists
        } else {
            let removed = gone.into_iter().map(removed);
            let added = new
                .into_iter()
                .map(|index| DeviceAddedV3::from(now[&index].info.clone()).into());
            vec![self.events(removed.chain(added))]
        };
        self.remember(now);
        messages
    }

    /// The answer to `RequestDeviceList`, after whatever has to be said before it: a device that left and came
    /// back, or one that is gone, cannot be told from a list by every client.
    pub(super) fn reply(&mut self, id: u32, now: &Devices) -> Vec<String> {
        let mut messages;
        if self.version == ButtplugMessageSpecVersion::Version4 {
            messages = self.without_replaced(now);
            messages.push(list(id, now.iter()));
        } else {
            let gone = self.gone(now);
            messages = Vec::new();
            if !gone.is_empty() {
                messages.push(self.events(gone.into_iter().map(removed)));
            }
            let mut all = DeviceListV4::new(now.values().map(|d| d.info.clone()).collect());
            all.set_id(id);
            messages.push(wire::encode_v4(
                ButtplugServerMessageV4::DeviceList(all),
                self.version,
            ));
        }
        self.remember(now);
        messages
    }

    fn remember(&mut self, now: &Devices) {
        self.devices = now.iter().map(|(&index, d)| (index, d.connection)).collect();
    }

    /// Devices that the client knows and that are there no more, or are others by now.
    fn gone(&self, now: &Devices) -> Vec<u32> {
        let still = |index: &u32, connection| now.get(index).is_some_and(|d| d.connection == connection);
        self.devices
            .iter()
            .filter(|&(index, &connection)| !still(index, connection))
            .map(|(&index, _)| index)
            .collect()
    }

    /// A list without the devices that left and came back meanwhile: the next one shows them as new.
    fn without_replaced(&self, now: &Devices) -> Vec<String> {
        let is_replaced = |index: &u32, device: &Device| {
            self.devices
                .get(index)
                .is_some_and(|&told| told != device.connection)
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

/// A `DeviceList` of version 4. Written from the table as it is: the library's own type would copy every device.
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

    /// A client: which devices it believes in, and how often each of them came.
    #[derive(Default)]
    struct Client {
        believes: BTreeMap<u32, usize>,
        came: BTreeMap<u32, usize>,
    }

    impl Client {
        fn add(&mut self, index: u32) {
            let times = self.came.entry(index).or_default();
            *times += 1;
            let before = self.believes.insert(index, *times);
            assert_eq!(before, None, "device {index} was announced twice");
        }

        fn list(&mut self, listed: &[u32]) {
            self.believes.retain(|index, _| listed.contains(index));
            for &index in listed {
                if !self.believes.contains_key(&index) {
                    self.add(index);
                }
            }
        }

        fn hear(&mut self, text: &str, ids: &mut Vec<u64>) {
            let index_of = |v: &Value| v["DeviceIndex"].as_u64().expect("an index") as u32;
            for message in serde_json::from_str::<Vec<Value>>(text).expect("an array") {
                let (name, body) = message.as_object().and_then(|o| o.iter().next()).expect("a name");
                ids.push(body["Id"].as_u64().expect("an id"));
                match (name.as_str(), &body["Devices"]) {
                    ("DeviceAdded", _) => self.add(index_of(body)),
                    ("DeviceRemoved", _) => {
                        let index = index_of(body);
                        assert!(self.believes.remove(&index).is_some(), "{index} was not there");
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
        /// Whatever comes, goes and comes back between two looks, and whenever the client asks for the list: what
        /// it believes is what is there, it is told of each device once, and sees each one leave that did.
        #[test]
        fn a_client_of_any_version_believes_what_is_so(
            steps in prop::collection::vec((table(), any::<bool>()), 1..20)
        ) {
            let infos = infos();
            for version in VERSIONS {
                let mut told = Told::new(version, &Devices::new());
                let mut client = Client::default();
                let mut connections: BTreeMap<u32, (u64, usize)> = BTreeMap::new();
                for (now, asks) in &steps {
                    let devices = devices(&infos, now);
                    let mut ids = Vec::new();
                    let texts = if *asks { told.reply(7, &devices) } else { told.update(&devices) };
                    for text in &texts {
                        client.hear(text, &mut ids);
                    }
                    if *asks {
                        prop_assert_eq!(ids.pop(), Some(7));
                    }
                    prop_assert!(ids.iter().all(|&id| id == 0));
                    let listed: Vec<u32> = client.believes.keys().copied().collect();
                    prop_assert_eq!(listed, now.keys().copied().collect::<Vec<_>>());
                    for (index, connection) in now {
                        let times = client.believes[index];
                        if let Some(&(before, then)) = connections.get(index) {
                            prop_assert_eq!(before == *connection, then == times, "device {}", index);
                        }
                    }
                    connections = now.iter().map(|(&i, &c)| (i, (c, client.believes[&i]))).collect();
                    prop_assert!(told.update(&devices).is_empty());
                }
            }
        }
    }

    #[test]
    fn a_client_that_never_asks_is_told_of_changes_only() {
        let infos = infos();
        let before = BTreeMap::from([(0, 1), (1, 1)]);
        for version in VERSIONS {
            let mut told = Told::new(version, &devices(&infos, &before));
            assert!(told.update(&devices(&infos, &before)).is_empty());
            let after = BTreeMap::from([(1, 1), (2, 1)]);
            let texts = told.update(&devices(&infos, &after));
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
    fn the_list_is_the_one_that_the_library_writes() {
        let infos = infos();
        let mut list = DeviceListV4::new(infos[..3].to_vec());
        list.set_id(5);
        let theirs = wire::encode_v4(ButtplugServerMessageV4::DeviceList(list), Version::Version4);
        let now = devices(&infos, &BTreeMap::from([(0, 1), (1, 1), (2, 1)]));
        let ours = Told::new(Version::Version4, &Devices::new()).reply(5, &now);
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(json(&ours[0]), json(&theirs));
    }
}
