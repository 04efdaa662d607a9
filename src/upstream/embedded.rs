//! A Buttplug server inside the gateway: the engine, and its thread.
//!
//! The library picks a device index and stores it in two steps, so that devices which arrive at once on two
//! threads get the same one and throw each other out. Therefore all of the library runs on one thread, the
//! engine's, with a current-thread runtime of its own.

mod hardware;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buttplug_core::message::{
    ButtplugServerMessageV4, DeviceListV4, DeviceMessageInfoV4, InputReadingV4, StopCmdV4,
};
use buttplug_server::ButtplugServerError;
use buttplug_server::device::hardware::communication::HardwareCommunicationManagerEvent;
use buttplug_server::device::{ServerDeviceManager, ServerDeviceManagerBuilder};
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;
use buttplug_server_device_config::{
    DeviceConfigurationManager, ServerDeviceDefinition, UserDeviceIdentifier,
};
use futures::{Stream, StreamExt};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info};

use crate::device::handshake::Address;
use crate::device::peer::ConnectionId;
use crate::session::ends::{Upstream, UpstreamIo};
use crate::session::registry::SessionHandle;
use hardware::{CommunicationManagerBuilder, Connector};

/// Events for all clients that one of them may have waiting; past that it loses the oldest.
const EVENT_QUEUE: usize = 256;
/// A device whose predecessor is still being let go by the library is announced again for this long.
const ANNOUNCE_FOR: Duration = Duration::from_secs(1);
/// Between two announcements.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(20);

/// The library's device manager, and the one thread (a current-thread runtime) on which all of it runs.
pub struct Engine {
    runtime: tokio::runtime::Handle,
    device_manager: Arc<ServerDeviceManager>,
    found: mpsc::Sender<HardwareCommunicationManagerEvent>,
    /// Sessions that feed the engine, by address.
    live: Mutex<HashMap<Address, Live>>,
    devices: watch::Sender<Arc<DeviceTable>>,
    events: broadcast::Sender<EngineEvent>,
    stop: CancellationToken,
}

struct Live {
    session: Arc<SessionHandle>,
    listing: Arc<Listing>,
}

/// Whether the library lists a device: not yet, now, or no longer.
#[derive(Default)]
struct Listing {
    stage: AtomicU8,
    unlisted: Notify,
}

impl Listing {
    const LISTED: u8 = 1;
    const UNLISTED: u8 = 2;

    fn set_listed(&self) {
        self.stage.store(Self::LISTED, Ordering::Release);
    }

    fn set_unlisted(&self) {
        self.stage.store(Self::UNLISTED, Ordering::Release);
        // Only the device's own session waits; a permit is kept where it does not wait yet.
        self.unlisted.notify_one();
    }

    fn was_listed(&self) -> bool {
        self.stage.load(Ordering::Acquire) != 0
    }

    async fn unlisted(&self) {
        while self.stage.load(Ordering::Acquire) != Self::UNLISTED {
            self.unlisted.notified().await;
        }
    }
}

/// The devices that the server lists, by device index.
pub type DeviceTable = BTreeMap<u32, Arc<ListedDevice>>;

/// A device that the server lists.
#[derive(Debug)]
pub struct ListedDevice {
    /// Which connection this is: the same index with another connection is a device that left and came back.
    pub connection: ConnectionId,
    /// What clients are told of it.
    pub info: DeviceMessageInfoV4,
    /// Its features and limits.
    pub definition: Arc<ServerDeviceDefinition>,
    session: Arc<SessionHandle>,
    listing: Arc<Listing>,
}

impl ListedDevice {
    /// Whether an output of the device may be on.
    pub fn outputs_on(&self) -> bool {
        self.session.outputs_on.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listing({})", self.stage.load(Ordering::Relaxed))
    }
}

/// What the library tells all clients, device lists apart.
#[derive(Clone, Debug)]
pub enum EngineEvent {
    /// A scan is over.
    ScanningFinished,
    /// A sensor that a client subscribed to.
    InputReading(Arc<InputReadingV4>),
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system gave no thread, or no event queue.
    #[error("the Buttplug server's thread did not start: {0}")]
    Thread(#[from] io::Error),
    /// The library did not build its device manager.
    #[error("the Buttplug server did not start: {0}")]
    Library(#[from] ButtplugServerError),
}

impl Engine {
    /// Starts the thread and the device manager on it. `learned` is told of each device that is listed, and its
    /// index; it runs on the engine's thread and must not block.
    ///
    /// # Errors
    /// When the system or the library refuses.
    pub fn start(
        dcm: Arc<DeviceConfigurationManager>,
        learned: impl Fn(&UserDeviceIdentifier, u32) + Send + 'static,
    ) -> Result<Arc<Self>, EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();

        let (manager_builder, found) = CommunicationManagerBuilder::new();
        let device_manager = {
            // The library spawns its event loop where it is built.
            let _entered = runtime.enter();
            Arc::new(
                ServerDeviceManagerBuilder::new_with_arc(dcm)
                    .comm_manager(manager_builder)
                    .finish()?,
            )
        };
        let found = found.take();
        let engine = Arc::new(Self {
            runtime: handle,
            found,
            live: Mutex::default(),
            devices: watch::Sender::default(),
            events: broadcast::Sender::new(EVENT_QUEUE),
            stop: stop.clone(),
            device_manager,
        });
        engine.runtime.spawn(watch_library(
            Arc::downgrade(&engine),
            engine.device_manager.event_stream().boxed(),
            learned,
        ));
        std::thread::Builder::new()
            .name("buttplug".to_owned())
            .spawn(move || {
                runtime.block_on(stop.cancelled());
                // What the library still runs at the end has nobody left to serve.
                runtime.shutdown_background();
            })?;
        Ok(engine)
    }

    /// The engine's runtime: whatever polls the library's futures is spawned here.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// The library's device manager, one for all clients.
    pub fn device_manager(&self) -> Arc<ServerDeviceManager> {
        self.device_manager.clone()
    }

    /// The devices as they are listed now; a watcher sees the newest table, not each one.
    pub fn devices(&self) -> watch::Receiver<Arc<DeviceTable>> {
        self.devices.subscribe()
    }

    /// Events for all clients. Lagging loses the oldest of them.
    pub fn events(&self) -> broadcast::Receiver<EngineEvent> {
        self.events.subscribe()
    }

    /// Writes the device's own stop bytes ahead of everything that waits for it; done when its socket took them.
    /// Does nothing where the device is gone or has no stop bytes.
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

    /// Has the library stop every device. A wedged one holds this for a second: bound it.
    pub async fn stop_all(&self) {
        let stop = self
            .device_manager
            .parse_message(ButtplugCheckedClientMessageV4::StopCmd(StopCmdV4::default()));
        let done = self.runtime.spawn(stop).await;
        debug!(?done, "the server stopped all devices");
    }

    /// Ends the engine's thread. What ran on it is dropped where it stands.
    pub fn shutdown(&self) {
        self.stop.cancel();
    }

    /// Forgets a session, unless a newer one has its address by now.
    fn forget(&self, session: &SessionHandle) {
        let mut live = lock(&self.live);
        let address = &session.handshake.address;
        if live
            .get(address)
            .is_some_and(|l| l.session.connection == session.connection)
        {
            live.remove(address);
        }
    }

    /// Takes the library's newest list into the table.
    fn relist(&self, list: &DeviceListV4, learned: &impl Fn(&UserDeviceIdentifier, u32)) {
        let old = self.devices.borrow().clone();
        let mut table = DeviceTable::new();
        for (&index, info) in list.devices() {
            let known = old.get(&index);
            if let Some(known) = known
                && self.is_live(&known.session)
            {
                table.insert(index, known.clone());
                continue;
            }
            match self.describe(index, info, learned) {
                Some(device) => table.insert(index, Arc::new(device)),
                // On its way out, and the next list says so; until then it is what it was.
                None => known.and_then(|known| table.insert(index, known.clone())),
            };
        }
        for (index, device) in old.iter() {
            if table.get(index).is_none_or(|d| d.connection != device.connection) {
                device.listing.set_unlisted();
            }
        }
        self.devices.send_replace(Arc::new(table));
    }

    fn is_live(&self, session: &SessionHandle) -> bool {
        lock(&self.live)
            .get(&session.handshake.address)
            .is_some_and(|l| l.session.connection == session.connection)
    }

    fn describe(
        &self,
        index: u32,
        info: &DeviceMessageInfoV4,
        learned: &impl Fn(&UserDeviceIdentifier, u32),
    ) -> Option<ListedDevice> {
        let identifier = self.device_manager.device_info(index)?.identifier().clone();
        let definition = self
            .device_manager
            .device_configuration_manager()
            .device_definition(&identifier)?;
        let address = Address::new(identifier.address().as_str()).ok()?;
        let (session, listing) = {
            let live = lock(&self.live);
            let live = live.get(&address)?;
            (live.session.clone(), live.listing.clone())
        };
        listing.set_listed();
        learned(&identifier, index);
        info!(
            conn = session.connection.0, index, address = %session.handshake.address,
            "device listed: {}", info.device_name()
        );
        Some(ListedDevice {
            connection: session.connection,
            info: info.clone(),
            definition: Arc::new(definition),
            session,
            listing,
        })
    }
}

impl Upstream for Engine {
    /// Announces a device to the library, and gives the session its upstream half at once: the protocol's
    /// initialisation already talks to the device through it.
    fn open(self: Arc<Self>, session: &Arc<SessionHandle>, _: bool) -> Box<dyn UpstreamIo> {
        let listing = Arc::new(Listing::default());
        let (connector, io) = hardware::pair(self.clone(), session.clone(), listing.clone());
        let live = Live {
            session: session.clone(),
            listing,
        };
        lock(&self.live).insert(session.handshake.address.clone(), live);
        self.runtime
            .spawn(announce(self.found.clone(), connector).in_current_span());
        Box::new(io)
    }
}

/// Turns what the library broadcasts into the table and the events. One receiver for all clients: the library
/// clones every list, which holds every device, for each of its own.
async fn watch_library(
    engine: std::sync::Weak<Engine>,
    mut messages: impl Stream<Item = ButtplugServerMessageV4> + Unpin,
    learned: impl Fn(&UserDeviceIdentifier, u32),
) {
    while let Some(message) = messages.next().await {
        let Some(engine) = engine.upgrade() else { return };
        // Nobody listening is no error: there may be no client.
        match message {
            ButtplugServerMessageV4::DeviceList(list) => engine.relist(&list, &learned),
            ButtplugServerMessageV4::ScanningFinished(_) => {
                let _ = engine.events.send(EngineEvent::ScanningFinished);
            }
            ButtplugServerMessageV4::InputReading(reading) => {
                let _ = engine.events.send(EngineEvent::InputReading(Arc::new(reading)));
            }
            other => debug!(?other, "an event that no client is told"),
        }
    }
}

/// Announces a device until the library takes it. It drops the announcement without a word while it still has
/// a device with this address.
async fn announce(found: mpsc::Sender<HardwareCommunicationManagerEvent>, parts: hardware::ConnectorParts) {
    let deadline = tokio::time::Instant::now() + ANNOUNCE_FOR;
    loop {
        let (taken, was_taken) = oneshot::channel();
        let event = HardwareCommunicationManagerEvent::DeviceFound {
            name: parts.identifier().to_owned(),
            address: parts.address().to_owned(),
            creator: Box::new(Connector::new(parts.clone(), taken)),
        };
        if found.send(event).await.is_err() || was_taken.await.is_ok() {
            return;
        }
        if tokio::time::Instant::now() >= deadline {
            debug!("the server did not take the device");
            return;
        }
        tokio::time::sleep(ANNOUNCE_PAUSE).await;
    }
}

/// See [`crate::session::registry`]: what these locks guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
