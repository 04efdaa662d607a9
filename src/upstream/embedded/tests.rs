//! Many devices, and strangers, without a socket.

use std::collections::HashSet;

use super::*;
use crate::device::handshake::{Handshake, Identifier};
use crate::device::peer::Peer;
use crate::session::registry::{Entry, Registry};
use crate::udcf::Udcf;

/// A device that sends nothing, of a protocol that asks for nothing.
struct Device {
    entry: Entry,
    io: Box<dyn UpstreamIo>,
}

struct Bench {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
}

impl Bench {
    fn new() -> Self {
        let dcm = Udcf::builtin().device_configuration().expect("the built-in UDCF");
        let (indexes, _) = IndexStore::open(None);
        Self {
            engine: Engine::start(dcm, Arc::new(indexes)).expect("an engine"),
            registry: Arc::default(),
        }
    }

    async fn open(&self, address: &str) -> Device {
        let handshake = Handshake::new(
            Identifier::new("TCodeDevice").expect("an identifier"),
            Address::new(address).expect("an address"),
        );
        let peer = Peer::Websocket("127.0.0.1:1".parse().expect("an address"));
        let entry = self
            .registry
            .admit(handshake, peer)
            .await
            .expect("a free address");
        let io = self.engine.clone().open(entry.handle(), DeviceInfo::default());
        Device { entry, io }
    }

    async fn listed(&self, wanted: impl Fn(&DeviceTable) -> bool) -> Arc<DeviceTable> {
        let mut devices = self.engine.devices();
        let listed = devices.wait_for(|table| wanted(table));
        let table = tokio::time::timeout(Duration::from_secs(20), listed).await;
        table.expect("in time").expect("the engine runs").clone()
    }

    fn shards(&self) -> Vec<Arc<Shard>> {
        lock(&self.engine.places).shards.clone()
    }
}

impl Device {
    fn is_in(&self, table: &DeviceTable) -> bool {
        let connection = self.entry.handle().connection;
        table.values().any(|device| device.connection == connection)
    }

    async fn leave(self) {
        self.io.release(false).await;
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.engine.shutdown();
    }
}

#[tokio::test]
async fn devices_of_several_managers_have_distinct_indexes_that_they_keep() {
    let bench = Bench::new();
    let count = 2 * shard::DEVICES + 10;
    let addresses: Vec<String> = (0..count).map(|n| format!("device {n}")).collect();
    let mut before: Option<HashMap<UserDeviceIdentifier, u32>> = None;
    for _ in 0..2 {
        let mut devices = Vec::new();
        for address in &addresses {
            devices.push(bench.open(address).await);
        }
        let table = bench.listed(|table| table.len() == count).await;
        assert_eq!(bench.shards().len(), 3);
        assert!(
            table
                .iter()
                .all(|(&index, device)| device.index == index && device.info.device_index() == index)
        );
        let places: HashSet<_> = table
            .values()
            .map(|device| (Arc::as_ptr(&device.place.shard), device.place.index))
            .collect();
        assert_eq!(places.len(), count);
        let indexes: HashMap<_, _> = table
            .iter()
            .map(|(&index, device)| (device.identifier.clone(), index))
            .collect();
        assert_eq!(indexes.len(), count);
        if let Some(before) = before.replace(indexes.clone()) {
            assert_eq!(before, indexes, "after they left and came back");
        }
        // In reverse, so that they come back to other places.
        while let Some(device) = devices.pop() {
            device.leave().await;
        }
        bench.listed(DeviceTable::is_empty).await;
    }
}

/// Strangers connect under one address after another while a device is connected: the library keeps something of each
/// of them, in its table and in its list of tasks.
#[tokio::test]
async fn what_the_library_keeps_of_strangers_is_bounded() {
    let bench = Bench::new();
    let stays = bench.open("stays").await;
    bench.listed(|table| stays.is_in(table)).await;
    let first = Arc::downgrade(&bench.shards()[0]);
    let manager = Arc::downgrade(&bench.shards()[0].manager);
    for n in 0..shard::ARRIVALS + 50 {
        let stranger = bench.open(&format!("stranger {n}")).await;
        // Some leave before they are listed.
        if n % 3 != 0 {
            bench.listed(|table| stranger.is_in(table)).await;
        }
        stranger.leave().await;
        let shards = bench.shards();
        assert!(shards.len() <= 2);
        for shard in shards {
            let definitions = shard.definitions();
            assert!(definitions <= 24, "after {n} strangers: {definitions}");
        }
    }
    bench.listed(|table| table.len() == 1).await;
    assert_eq!(lock(&bench.engine.places).homes.len(), 1);
    assert_eq!(bench.shards().len(), 2, "the first manager gets no more devices");
    assert!(first.upgrade().is_some_and(|shard| !shard.has_room()));
    // The manager's last device leaves.
    stays.leave().await;
    bench.listed(DeviceTable::is_empty).await;
    let gone = async {
        while manager.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    assert!(gone.is_ok(), "the manager goes with its last device");
}
