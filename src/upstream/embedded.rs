//! A Buttplug server inside the gateway: the engine and its thread.
//!
//! The library picks a device index and stores it in two steps. Devices that arrive at once on two threads get the
//! same index and evict each other, so the whole library runs on one thread, with a current-thread runtime of its
//! own.
//!
//! - `shard`: the library's device managers, each with its share of the devices.
//! - `listed`: a device that clients see, and the path of its commands into the library.
//! - `hardware`: a session's upstream half, and the library's hardware.
//! - `places`: which manager has which device, by the UDCF in force.
//! - `late`: answers that come later than the library waits.
//! - `init_failed`: what to do about a device whose protocol did not initialise.
//! - `limits`: the limits that a user set, for clients' values and for frames.
//! - `tcode`: the definitions of TCode devices, and the axes of their features.

mod hardware;
mod init_failed;
mod late;
pub mod limits;
mod listed;
mod places;
mod shard;
mod tcode;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use buttplug_core::message::{
    ButtplugDeviceMessage, ButtplugServerMessageV4, DeviceListV4, DeviceMessageInfoV4, InputReadingV4,
    StopCmdV4,
};
use buttplug_server::ButtplugServerError;
use buttplug_server::device::ServerDeviceManager;
use buttplug_server::device::hardware::communication::HardwareCommunicationManagerEvent;
use buttplug_server_device_config::{DeviceConfigurationManager, UserDeviceIdentifier};
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info};

use crate::device::handshake::Address;
use crate::session::ends::{DeviceInfo, Upstream, UpstreamIo};
use crate::session::registry::SessionHandle;
use crate::thread;
use crate::udcf::store::IndexStore;
use hardware::Connector;
pub use listed::{DeviceTable, ListedDevice, Reply, legacy_device};
use listed::{Listing, Place};
use places::{Given, Live, Places};
use shard::{Front, ManagerEvents, Shard};
use tcode::TcodeDevice;

/// Capacity of the event queue of all clients; a client that lags further behind loses the oldest events.
const EVENT_QUEUE: usize = 256;
/// While the library is still releasing a device's predecessor, the device is announced again for this long.
const ANNOUNCE_FOR: Duration = Duration::from_secs(1);
/// The pause between two announcements.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(20);

/// The library's device managers, and the one thread (a current-thread runtime) that runs all of them.
pub struct Engine {
    runtime: tokio::runtime::Handle,
    front: Front,
    given: RwLock<Arc<Given>>,
    indexes: Arc<IndexStore>,
    places: Mutex<Places>,
    devices: watch::Sender<Arc<DeviceTable>>,
    events: broadcast::Sender<EngineEvent>,
    stop: CancellationToken,
}

/// What the library broadcasts to all clients, apart from device lists.
#[derive(Clone, Debug)]
pub enum EngineEvent {
    /// A scan finished.
    ScanningFinished,
    /// A reading of a sensor that a client subscribed to.
    InputReading(Arc<InputReadingV4>),
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system could not start the thread, or its event queue.
    #[error("the Buttplug server's thread did not start: {0}")]
    Thread(#[from] io::Error),
    /// The library could not build its device manager.
    #[error("the Buttplug server did not start: {0}")]
    Library(#[from] ButtplugServerError),
}

impl Engine {
    /// Starts the thread and the library on it. Devices get their indexes from `indexes`.
    ///
    /// # Errors
    /// If the system or the library fails.
    pub fn start(
        given: Arc<DeviceConfigurationManager>,
        indexes: Arc<IndexStore>,
    ) -> Result<Arc<Self>, EngineError> {
        let stop = CancellationToken::new();
        let over = stop.clone();
        let runtime = thread::start("buttplug".to_owned(), async move || over.cancelled().await)?;
        // If the library does not start, the thread has nothing to do.
        let guard = stop.clone().drop_guard();
        let (front, events) = {
            // The library spawns its event loop on the current runtime.
            let _entered = runtime.enter();
            Front::start()?
        };
        guard.disarm();
        indexes.reserve(&given);
        let engine = Arc::new(Self {
            runtime,
            front,
            given: RwLock::new(Arc::new(Given::new(given))),
            indexes,
            places: Mutex::default(),
            devices: watch::Sender::default(),
            events: broadcast::Sender::new(EVENT_QUEUE),
            stop,
        });
        engine
            .runtime
            .spawn(watch_library(Arc::downgrade(&engine), Weak::new(), events));
        Ok(engine)
    }

    /// The engine's runtime: tasks that poll the library's futures are spawned here.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Replaces the UDCF. Devices that are connected keep what they have; each gets the new one when it connects again.
    pub fn reconfigure(&self, config: Arc<DeviceConfigurationManager>) {
        self.indexes.reserve(&config);
        let mut places = lock(&self.places);
        *self.given.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Given::new(config));
        for shard in &places.shards {
            shard.retire();
        }
        places.shards.retain(|shard| !shard.is_over());
    }

    fn given(&self) -> Arc<Given> {
        self.given.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A device manager for what concerns no device: handshakes, pings and scans.
    pub fn device_manager(&self) -> Arc<ServerDeviceManager> {
        self.front.manager.clone()
    }

    /// The listed devices. A watcher sees the newest table, not every version of it.
    pub fn devices(&self) -> watch::Receiver<Arc<DeviceTable>> {
        self.devices.subscribe()
    }

    /// Events for all clients. A receiver that lags loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<EngineEvent> {
        self.events.subscribe()
    }

    /// Writes the device's stop bytes ahead of everything that waits; completes when its link has written them. Does
    /// nothing if the device is gone or has no stop bytes.
    pub async fn send_stop_bytes(&self, device_index: u32) {
        let session = self
            .devices
            .borrow()
            .get(&device_index)
            .map(|device| device.session.clone());
        if let Some(session) = session {
            session.stop_outputs().await;
        }
    }

    /// Makes the library stop all devices, as a client's stop without a device does. The call gives the order, as
    /// [`ListedDevice::carry_out`] does.
    pub fn carry_out_on_all(&self, stop: &StopCmdV4) -> BoxFuture<'static, Reply> {
        let shards = lock(&self.places).shards.clone();
        let fences: Vec<_> = if stop.outputs() {
            let devices = self.devices.borrow();
            devices.values().filter_map(|device| device.fence()).collect()
        } else {
            Vec::new()
        };
        let stopped = listed::stop_all(&shards, stop);
        async move {
            join_all(fences).await;
            stopped.await
        }
        .boxed()
    }

    /// Makes the library stop every device. A stuck device can block this for 1 s; use a timeout.
    pub async fn stop_all(&self) {
        let done = self
            .runtime
            .spawn(self.carry_out_on_all(&StopCmdV4::default()))
            .await;
        debug!(?done, "the server stopped all devices");
    }

    /// Makes the library stop the device that is listed under this index; returns whether it did, or there is none. The
    /// call gives the order.
    pub fn stop_listed(&self, index: u32) -> impl Future<Output = bool> + Send + use<> {
        let device = self.devices.borrow().get(&index).cloned();
        let stop = device.map(|device| self.runtime.spawn(async move { device.stop().await }));
        async move {
            match stop {
                Some(stopped) => stopped.await.unwrap_or(false),
                None => true,
            }
        }
    }

    /// Records that a client commanded an output, so that the device's index is kept in preference to a stranger's.
    pub fn commanded(&self, device: &ListedDevice) {
        if !device.commanded.swap(true, Ordering::Relaxed) {
            self.indexes.commanded(&device.identifier);
        }
    }

    /// Records that somebody who is no client commanded an output of this session's device; returns whether it is listed,
    /// and so is known.
    fn commanded_by_hand(&self, session: &SessionHandle) -> bool {
        let table = self.devices.borrow().clone();
        let device = table.values().find(|d| d.connection == session.connection);
        device.is_some_and(|device| {
            self.commanded(device);
            true
        })
    }

    /// Stops the engine's thread and drops all its tasks.
    pub fn shutdown(&self) {
        self.stop.cancel();
    }

    /// Forgets a session, unless a newer one holds its address.
    fn forget(&self, session: &SessionHandle) {
        let mut places = lock(&self.places);
        let address = &session.handshake.address;
        if places.is_live(session)
            && let Some(home) = places.homes.get_mut(address)
        {
            home.live = None;
            places.clear(address);
        }
    }

    /// Merges a manager's newest list into the table. `listed` is what the manager has listed so far, by its own
    /// indexes.
    fn relist(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        listed: &mut HashMap<u32, Arc<ListedDevice>>,
        list: &DeviceListV4,
    ) {
        let (mut came, mut gone) = (Vec::new(), Vec::new());
        let mut places = lock(&self.places);
        for (&index, info) in list.devices() {
            // A device that is about to leave keeps its entry until a list no longer contains it.
            if listed
                .get(&index)
                .is_none_or(|known| !places.is_live(&known.session))
                && let Some(device) = self.describe(&places, shard, index, info)
            {
                let device = Arc::new(device);
                gone.extend(listed.insert(index, device.clone()));
                came.push(device);
            }
        }
        let unlisted = listed.extract_if(|index, _| !list.devices().contains_key(index));
        gone.extend(unlisted.map(|(_, device)| device));
        if came.is_empty() && gone.is_empty() {
            return;
        }
        for device in &came {
            if let Some(home) = places.homes.get_mut(&device.session.handshake.address) {
                home.listed += 1;
            }
        }
        let is_running = |device: &Arc<ListedDevice>| {
            device.session.came_running.load(Ordering::Relaxed)
                || self.indexes.was_commanded(&device.identifier)
        };
        let (running, ready): (Vec<_>, Vec<_>) = came.into_iter().partition(is_running);
        self.devices.send_modify(|table| {
            // Modifies the table in place, unless a reader holds it right now.
            let table = Arc::make_mut(table);
            for device in &gone {
                if table
                    .get(&device.index)
                    .is_some_and(|d| d.connection == device.connection)
                {
                    table.remove(&device.index);
                }
            }
            table.extend(ready.into_iter().map(|device| (device.index, device)));
        });
        for device in running {
            self.runtime.spawn(self.clone().stop_and_list(device));
        }
        for device in gone {
            device.listing.set_unlisted();
            self.indexes.departed(&device.identifier);
            let address = &device.session.handshake.address;
            if let Some(home) = places.homes.get_mut(address) {
                home.listed = home.listed.saturating_sub(1);
            }
            places.clear(address);
        }
    }

    /// Makes the library stop this session's device, if it is listed.
    fn stop_session(&self, session: &SessionHandle) {
        let table = self.devices.borrow().clone();
        let device = table.values().find(|d| d.connection == session.connection);
        if let Some(device) = device.cloned() {
            self.runtime.spawn(async move { device.stop().await });
        }
    }

    /// Stops a device that may be running, then lists it, unless it left meanwhile.
    async fn stop_and_list(self: Arc<Self>, device: Arc<ListedDevice>) {
        device.stop().await;
        // Unlisting a device takes this lock too.
        let _places = lock(&self.places);
        if !device.listing.is_unlisted() {
            self.devices
                .send_modify(|table| drop(Arc::make_mut(table).insert(device.index, device)));
        }
    }

    /// The device that a manager lists under this index, if a session holds its address.
    fn describe(
        &self,
        places: &Places,
        shard: &Arc<Shard>,
        index: u32,
        info: &DeviceMessageInfoV4,
    ) -> Option<ListedDevice> {
        let identifier = shard.manager.device_info(index)?.identifier().clone();
        let address = Address::new(identifier.address().as_str()).ok()?;
        let home = places.homes.get(&address)?;
        let live = home.live.as_ref()?;
        if !home.shard.as_ref().is_some_and(|home| Arc::ptr_eq(home, shard)) {
            return None;
        }
        let tcode = live.tcode.clone().filter(|tcode| tcode.id == identifier);
        let (definition, features, gap) = match &tcode {
            Some(tcode) => (
                tcode.definition.clone(),
                &tcode.features(),
                tcode.message_gap_ms(),
            ),
            None => {
                let definition = shard.definition(&identifier)?;
                // The library reports the same gap for every device, whichever it keeps.
                let gap = definition.message_gap_ms();
                (
                    Arc::new(definition),
                    info.device_features(),
                    gap.unwrap_or(info.device_message_timing_gap()),
                )
            }
        };
        let place = Place {
            shard: shard.clone(),
            index,
        };
        let index = self.indexes.connected(&identifier);
        // The limits of a TCode device are set already: it is defined before it is listed.
        let _ = (live.session.limits).set(limits::of_device(identifier.protocol(), &definition, |_, _| {
            Vec::new()
        }));
        live.listing.set_listed();
        info!(
            conn = live.session.connection.0, index, address = %address,
            "device listed: {}", info.device_name()
        );
        Some(ListedDevice {
            index,
            connection: live.session.connection,
            info: DeviceMessageInfoV4::new(
                index,
                info.device_name(),
                info.device_display_name(),
                gap,
                features,
            ),
            definition,
            tcode,
            identifier,
            session: live.session.clone(),
            listing: live.listing.clone(),
            place,
            commanded: AtomicBool::new(false),
        })
    }
}

impl Upstream for Engine {
    /// Announces the device to the library and returns its upstream half at once: the protocol's initialisation
    /// already needs it.
    fn open(self: Arc<Self>, session: &Arc<SessionHandle>, device: DeviceInfo) -> Box<dyn UpstreamIo> {
        let listing = Arc::new(Listing::default());
        let recognised = device.recognised.as_deref();
        let handshake = &session.handshake;
        let given = self.given();
        let named = given.named(&handshake.address);
        let tcode = TcodeDevice::new(&given.config, named, handshake, recognised);
        let tcode = tcode.map(Arc::new);
        match &tcode {
            Some(tcode) => {
                let _ = session.limits.set(tcode.limits());
            }
            None => {
                let is_limited = |id: &UserDeviceIdentifier| {
                    let definition = given.config.user_device_definitions().get(id);
                    definition.is_some_and(|definition| {
                        !limits::of_device(id.protocol(), &definition, |_, _| Vec::new()).is_empty()
                    })
                };
                let awaits = named.iter().any(is_limited);
                session.awaits_limits.store(awaits, Ordering::Release);
            }
        }
        let identity = hardware::Identity {
            session: session.clone(),
            recognised: recognised.map(|recognised| recognised.protocol),
            tcode: tcode.clone(),
        };
        let (connector, io) = hardware::pair(self.clone(), identity, listing.clone(), device.language);
        let live = Live {
            session: session.clone(),
            listing,
            tcode,
        };
        lock(&self.places)
            .homes
            .entry(session.handshake.address.clone())
            .or_default()
            .live = Some(live);
        let session = session.clone();
        self.runtime.clone().spawn(
            async move {
                if let Some(shard) = self.place(&session).await {
                    drop(self);
                    announce(&shard.found, connector).await;
                }
            }
            .in_current_span(),
        );
        Box::new(io)
    }
}

/// Turns a manager's broadcasts into the table and the events. One receiver serves all clients: the library clones
/// each list, with every device in it, for each receiver.
async fn watch_library(engine: Weak<Engine>, shard: Weak<Shard>, mut messages: ManagerEvents) {
    let mut listed = HashMap::new();
    while let Some(message) = messages.next().await {
        let Some(engine) = engine.upgrade() else { return };
        // A send without receivers is no error: there may be no client.
        match message {
            ButtplugServerMessageV4::DeviceList(list) => {
                if let Some(shard) = shard.upgrade() {
                    engine.relist(&shard, &mut listed, &list);
                }
            }
            ButtplugServerMessageV4::ScanningFinished(_) => {
                let _ = engine.events.send(EngineEvent::ScanningFinished);
            }
            ButtplugServerMessageV4::InputReading(mut reading) => {
                if let Some(device) = listed.get(&reading.device_index()) {
                    reading.set_device_index(device.index);
                    let _ = engine.events.send(EngineEvent::InputReading(Arc::new(reading)));
                }
            }
            other => debug!(?other, "an event that no client receives"),
        }
    }
}

/// Announces a device until the library accepts it. The library silently drops an announcement while it still has a
/// device with this address.
async fn announce(found: &mpsc::Sender<HardwareCommunicationManagerEvent>, parts: hardware::ConnectorParts) {
    let deadline = Instant::now() + ANNOUNCE_FOR;
    loop {
        let (taken, was_taken) = oneshot::channel();
        let event = HardwareCommunicationManagerEvent::DeviceFound {
            name: parts.name().to_owned(),
            address: parts.address().to_owned(),
            creator: Box::new(Connector::new(parts.clone(), taken)),
        };
        if found.send(event).await.is_err() || was_taken.await.is_ok() {
            return;
        }
        if Instant::now() >= deadline {
            debug!("the server did not take the device");
            return;
        }
        sleep(ANNOUNCE_PAUSE).await;
    }
}

/// See [`crate::session::registry`]: the guarded state is consistent between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
