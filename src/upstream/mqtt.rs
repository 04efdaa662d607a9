//! The edge's way on: devices are published through an MQTT broker, and driven by the hubs that claim them.
//!
//! The edge decides who owns a device, since it alone writes to it. Its task publishes, beats and receives; what may reach
//! a device, and when its owner's lease is over, each device's session decides by itself.

mod device;
mod hub;
mod incoming;
pub mod seen;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::advice::Advice;
use crate::config::EdgeSettings;
use crate::defaults::{CLOSE_TIMEOUT, FLEET_YIELD_FOR, OWN_STATE_WITHIN, STOP_FLUSH_TIMEOUT};
use crate::device::fleet::beats::Beat;
use crate::device::fleet::clock::{Clock, Epoch, random};
use crate::device::fleet::documents::{EdgeState, write};
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::topics::Topic;
use crate::logging::faults::Faults;
use crate::net::bus::echo::Echo;
use crate::net::bus::{Bus, BusEvent, Events, Message, NotTaken, Qos, bus};
use crate::session::ends::{DeviceInfo, Upstream, UpstreamIo};
use crate::session::registry::SessionHandle;
use device::{Device, EdgeIo, OwnerChange};
use hub::Hub;

/// Between two beats of the edge's clock.
const BEAT: Duration = Duration::from_millis(250);
/// How soon a broker must show that it is there, once a lease is over.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// This gateway as an edge of the fleet.
pub struct Edge {
    settings: EdgeSettings,
    epoch: Epoch,
    clock: Clock,
    bus: Bus,
    /// The halt of all edges.
    halt: Echo,
    events: Mutex<Option<Events>>,
    shared: Mutex<Shared>,
    last_session: AtomicU32,
    /// A device came.
    came: Notify,
    /// Devices of which the broker's client did not take what is to be retained: it is published again with a later beat.
    unpublished: Mutex<BTreeSet<DeviceId>>,
    faults: Faults,
    /// What anybody can cause, and is no fault.
    news: Faults,
}

/// What the edge's task and the sessions share.
#[derive(Default)]
struct Shared {
    devices: HashMap<DeviceId, Arc<Device>>,
    hubs: HashMap<Name, Arc<Hub>>,
    /// Which hub has or had which session, the newest last: its frames count as received also after the session.
    sessions: VecDeque<(u32, Arc<Hub>)>,
}

/// What the edge's task remembers of its connection.
struct Connection {
    is_up: bool,
    /// When its own state must have come back; `None` once it has.
    state_due: Option<Instant>,
    /// When it was last made.
    since: Option<Instant>,
    /// Another process of this name whose state came with this connection, and with the one before.
    rival: Option<Epoch>,
    earlier_rival: Option<Epoch>,
    /// Devices that are published again with the next beat: somebody else wrote something of them, or their hub may have
    /// missed something.
    again: HashSet<DeviceId>,
    /// Whether what is published of the devices comes back.
    births: ComesBack,
    owners: ComesBack,
}

/// Whether a kind of message comes back from the broker in a connection: it denies in silence.
#[derive(Default)]
struct ComesBack {
    came: bool,
    due: Option<Instant>,
}

impl ComesBack {
    /// Whether one was published that should have come back by now, for the first time.
    fn is_missing(&mut self) -> bool {
        let due = *self.due.get_or_insert_with(|| Instant::now() + OWN_STATE_WITHIN);
        let is_missing = !self.came && Instant::now() >= due;
        self.came |= is_missing;
        is_missing
    }
}

impl Edge {
    /// Prepares the edge; nothing is connected before [`Edge::serve`].
    pub fn new(settings: EdgeSettings) -> Arc<Self> {
        let epoch = Epoch::random();
        let edge = settings.edge.clone();
        let topics = &settings.broker.topics;
        let state = |online| Message {
            topic: topics.topic(&Topic::EdgeState(edge.clone())),
            payload: state(online, epoch).into(),
            qos: Qos::AtLeastOnce,
            retain: true,
        };
        // A broker drops in silence what its queue of unacknowledged messages cannot hold: only stops are in it.
        let acknowledged = |topic: String| (topic, Qos::AtLeastOnce);
        let unacknowledged = |topic: String| (topic, Qos::AtMostOnce);
        let subscriptions = vec![
            unacknowledged(topics.topic(&Topic::EdgeState(edge.clone()))),
            unacknowledged(topics.of_all_devices(&edge, "birth")),
            unacknowledged(topics.of_all_devices(&edge, "owner")),
            unacknowledged(topics.topic(&Topic::Claim(edge.clone()))),
            unacknowledged(topics.all_leases(&edge)),
            unacknowledged(topics.of_all_devices(&edge, "down")),
            acknowledged(topics.of_all_devices(&edge, "stop")),
            acknowledged(topics.of_all_devices(&edge, "halt")),
            acknowledged(topics.topic(&Topic::HaltEdge(edge.clone()))),
            acknowledged(topics.topic(&Topic::HaltAll)),
            unacknowledged(topics.all_hub_states()),
        ];
        let connection = settings.broker.connection(format!("wsdm-edge-{edge}"));
        let (bus, events) = bus(connection, Some(state(false)), subscriptions);
        Arc::new(Self {
            halt: Echo::new(bus.clone(), settings.broker.topics.topic(&Topic::HaltAll)),
            settings,
            epoch,
            clock: Clock::start(),
            bus,
            events: Mutex::new(Some(events)),
            shared: Mutex::default(),
            // A frame from before a restart must not fit by accident.
            last_session: AtomicU32::new(random() as u32),
            came: Notify::new(),
            unpublished: Mutex::default(),
            faults: Faults::default(),
            news: Faults::default(),
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_session(&self) -> u32 {
        self.last_session.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    fn topic(&self, topic: &Topic) -> String {
        self.settings.broker.topics.topic(topic)
    }

    fn up_topic(&self, device: &DeviceId) -> String {
        self.topic(&Topic::Up(self.settings.edge.clone(), device.clone()))
    }

    /// Publishes what everybody must know, now or with the next connection. Returns whether that is so; if not, too much
    /// waits for the broker.
    fn retain(&self, topic: String, payload: String) -> bool {
        let message = Message {
            topic,
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            retain: true,
        };
        // While the broker is away nothing is queued: all of it is published again with the next connection.
        self.bus.try_publish(message) != Err(NotTaken::Full)
    }

    fn publish_state(&self, online: bool) {
        let topic = self.topic(&Topic::EdgeState(self.settings.edge.clone()));
        if !self.retain(topic, state(online, self.epoch)) {
            debug!("the edge's state is not published: too much waits for the broker");
        }
    }

    fn publish_birth(&self, device: &Device) {
        let topic = Topic::Birth(self.settings.edge.clone(), device.id.clone());
        let is_taken = self.retain(self.topic(&topic), write(&device.birth(self)));
        self.published(&device.id, is_taken);
    }

    fn publish_owner(&self, device: &Device) {
        let owner = device.owner().as_ref().map(write).unwrap_or_default();
        let topic = Topic::Owner(self.settings.edge.clone(), device.id.clone());
        let is_taken = self.retain(self.topic(&topic), owner);
        self.published(&device.id, is_taken);
    }

    /// Clears what is retained of a device. Returns whether the broker's client took all of it.
    fn clear(&self, device: &DeviceId) -> bool {
        let edge = self.settings.edge.clone();
        let topics = [
            Topic::Owner(edge.clone(), device.clone()),
            Topic::Birth(edge, device.clone()),
        ];
        let taken = topics.map(|topic| self.retain(self.topic(&topic), String::new()));
        taken == [true, true]
    }

    fn unpublished(&self) -> MutexGuard<'_, BTreeSet<DeviceId>> {
        self.unpublished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of a device was published, or is to be later.
    fn published(&self, device: &DeviceId, is_taken: bool) {
        if !is_taken {
            self.unpublished().insert(device.clone());
        }
    }

    /// Publishes again what the broker's client did not take, as far as it does now.
    fn publish_rest(&self) {
        let due = std::mem::take(&mut *self.unpublished());
        if due.is_empty() {
            return;
        }
        debug!("{} devices are published later than others", due.len());
        // Held until one that is gone is cleared: it may come back meanwhile.
        let shared = self.shared();
        for id in due {
            match shared.devices.get(&id) {
                Some(device) => {
                    self.publish_birth(device);
                    self.publish_owner(device);
                }
                None => self.published(&id, self.clear(&id)),
            }
        }
    }

    /// A device is gone.
    fn forget(&self, device: &Arc<Device>) {
        let mut shared = self.shared();
        let is_current = shared
            .devices
            .get(&device.id)
            .is_some_and(|known| Arc::ptr_eq(known, device));
        if is_current {
            shared.devices.remove(&device.id);
            // Under the lock, so that the birth of its next session comes after this.
            self.published(&device.id, self.clear(&device.id));
        }
    }

    fn devices(&self) -> Vec<Arc<Device>> {
        self.shared().devices.values().cloned().collect()
    }

    /// Serves until `stop` is cancelled and every device is gone. To be called once.
    pub async fn serve(self: Arc<Self>, stop: CancellationToken) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut events) = events else { return };
        let mut connection = Connection {
            is_up: false,
            state_due: None,
            since: None,
            rival: None,
            earlier_rival: None,
            again: HashSet::new(),
            births: ComesBack::default(),
            owners: ComesBack::default(),
        };
        info!(
            "devices are published at {} as the edge {}",
            self.settings.broker.broker, self.settings.edge
        );
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Before what comes: a flood is not to delay it.
                _ = beat.tick() => self.beat(&mut connection),
                event = events.next() => if let Some(pause) = self.event(event, &mut connection) {
                    events.stay_away(pause);
                    self.lost(&mut connection);
                },
                () = self.came.notified() => self.beat(&mut connection),
            }
        }
        // The sessions end at the same time, and stop their devices.
        let sessions_end = async {
            while !self.shared().devices.is_empty() {
                tokio::select! {
                    event = events.next() => {
                        let _ = self.event(event, &mut connection);
                    }
                    _ = beat.tick() => {}
                }
            }
        };
        // They are asked to end after their stops were flushed.
        let _ = timeout(2 * STOP_FLUSH_TIMEOUT, sessions_end).await;
        self.publish_state(false);
        if !events.disconnect(CLOSE_TIMEOUT).await {
            debug!("the broker did not take the farewell; its will speaks for it");
        }
    }

    /// Returns for how long the edge stays away, if it is to leave.
    fn event(&self, event: BusEvent, connection: &mut Connection) -> Option<Duration> {
        match event {
            BusEvent::Connected => {
                info!("connected to the broker {}", self.settings.broker.broker);
                connection.is_up = true;
                connection.state_due = Some(Instant::now() + OWN_STATE_WITHIN);
                (connection.births, connection.owners) = Default::default();
                // Two gateways of one name throw each other out soon; a broker that forgets may restore an old state later.
                let was_soon = connection
                    .since
                    .is_some_and(|since| since.elapsed() < 2 * FLEET_YIELD_FOR);
                connection.since = Some(Instant::now());
                connection.earlier_rival = connection.rival.take().filter(|_| was_soon);
                self.publish_state(true);
                self.unpublished().clear();
                // A broker without a memory has forgotten them.
                for device in self.devices() {
                    self.publish_birth(&device);
                    self.publish_owner(&device);
                }
                None
            }
            BusEvent::Lost { error, news } => {
                if news {
                    warn!(
                        "the broker {} is away: {}",
                        self.settings.broker.broker,
                        error.with_hint()
                    );
                }
                self.lost(connection);
                None
            }
            BusEvent::Message(message) => self.message(message, connection),
            BusEvent::TooLarge { topic, bytes } => {
                self.faults.warn(format!(
                    "a message of {bytes} bytes on {} is ignored: that is too much",
                    topic.escape_debug()
                ));
                None
            }
        }
    }

    /// Nothing comes from any hub any more.
    fn lost(&self, connection: &mut Connection) {
        connection.is_up = false;
        // What proved that a hub is there before proves nothing about the next connection.
        for hub in self.shared().hubs.values() {
            hub.end_lease();
        }
        for device in self.devices() {
            device.control_lost();
        }
    }

    /// Beats, and follows the leases.
    fn beat(&self, connection: &mut Connection) {
        let devices = self.devices();
        let mut lapsed = false;
        for device in &devices {
            if let OwnerChange::Changed = device.follow_lease(self) {
                self.publish_owner(device);
                lapsed |= device.owner().is_some_and(|owner| owner.lapsed);
            }
        }
        if !connection.is_up {
            return;
        }
        if lapsed {
            // Perhaps the broker is cut off: its own timeouts take many seconds.
            self.bus.probe(self.state_message(), PROBE_WITHIN);
        }
        if connection.state_due.is_some_and(|due| Instant::now() >= due) {
            connection.state_due = None;
            // One complaint is enough.
            (connection.births.came, connection.owners.came) = (true, true);
            error!(
                "the state of this edge does not come back from the broker: no hub can see its devices; allow this user to \
                 read and write {}/{}/#",
                self.settings.broker.topics, self.settings.edge
            );
        }
        if !devices.is_empty() && connection.state_due.is_none() {
            let (births, owners) = (&mut connection.births, &mut connection.owners);
            for (published, what) in [(births, "birth"), (owners, "owner")] {
                if published.is_missing() {
                    error!(
                        "the {what} of this edge's devices does not come back from the broker: no hub can drive them; allow \
                         this user to read and write {}/{}/dev/+/{what}",
                        self.settings.broker.topics, self.settings.edge
                    );
                }
            }
        }
        for device in devices
            .iter()
            .filter(|device| connection.again.contains(&device.id))
        {
            self.publish_birth(device);
            self.publish_owner(device);
        }
        connection.again.clear();
        self.publish_rest();
        if devices.is_empty() {
            return;
        }
        let received = self
            .shared()
            .hubs
            .values()
            .map(|hub| (hub.epoch, hub.settled()))
            .collect();
        let beat = Beat {
            epoch: self.epoch,
            nonce: self.clock.now(),
            received,
        };
        // A beat that finds no room is followed by the next one.
        let _ = self.bus.try_publish(Message {
            topic: self.topic(&Topic::Beat(self.settings.edge.clone())),
            payload: beat.write(),
            qos: Qos::AtMostOnce,
            retain: false,
        });
    }

    fn state_message(&self) -> Message {
        Message {
            topic: self.topic(&Topic::EdgeState(self.settings.edge.clone())),
            payload: state(true, self.epoch).into(),
            qos: Qos::AtLeastOnce,
            retain: true,
        }
    }
}

fn state(online: bool, epoch: Epoch) -> String {
    write(&EdgeState {
        online,
        epoch,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

impl Upstream for Edge {
    fn open(self: Arc<Self>, session: &Arc<SessionHandle>, device: DeviceInfo) -> Box<dyn UpstreamIo> {
        let can_stop = device.can_stop;
        let device = Arc::new(Device::new(session, &device, self.next_session()));
        {
            let mut shared = self.shared();
            shared.devices.insert(device.id.clone(), device.clone());
            self.publish_birth(&device);
            self.publish_owner(&device);
        }
        // Hubs answer beats before they claim.
        self.came.notify_one();
        Box::new(EdgeIo::new(self, device, can_stop))
    }
}
