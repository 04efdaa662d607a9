//! The hub's way in: devices that edges publish through an MQTT broker become sessions here.

mod edges;
mod line;
mod link;
pub mod seen;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::advice::Advice;
use crate::config::HubSettings;
use crate::defaults::{CLOSE_TIMEOUT, FLEET_YIELD_FOR, OWN_STATE_WITHIN};
use crate::device::fleet::clock::{Clock, Epoch};
use crate::device::fleet::documents::{self, EdgeState, HubState, write};
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::rank::connection_of;
use crate::device::fleet::topics::Topic;
use crate::device::handshake::Address;
use crate::device::peer::Peer;
use crate::ingress::{Board, Intake};
use crate::logging::faults::Faults;
use crate::net::bus::echo::Echo;
use crate::net::bus::{Bus, BusEvent, Events, Message, Qos, bus};
use crate::udcf::directory::Directory;
use edges::{Edges, Granted};
use line::EdgeLine;
use link::{BrokerLink, Inbox};
use seen::Snapshots;

/// How often the hub looks whom it has lost and what it should claim.
const LOOK: Duration = Duration::from_millis(100);
/// How soon a broker must show that it is there, once an edge is not heard any more.
const PROBE_WITHIN: Duration = Duration::from_secs(1);
/// How long the hubs and owners that are retained take to come after a connection. Until then nothing is claimed.
const SETTLE: Duration = Duration::from_millis(300);
/// Hubs that are remembered at most.
const HUBS_MAX: usize = 1_024;

/// How soon after a connection everything that the broker keeps of an edge's devices has come.
const RETAINED_WITHIN: Duration = Duration::from_secs(2);

/// This gateway as a hub of the fleet.
pub struct Fleet {
    settings: HubSettings,
    intake: Arc<Intake>,
    epoch: Epoch,
    clock: Clock,
    connections: Mutex<Vec<(Bus, Events)>>,
    shared: Mutex<Shared>,
    /// The first of the connections.
    first: Bus,
    /// The halt of all edges.
    halt: Echo,
    snapshots: Snapshots,
    faults: Faults,
    /// Who comes, which a stranger may make up, too.
    news: Faults,
}

/// What the connections share.
#[derive(Default)]
struct Shared {
    /// The hubs that are online, this one included.
    hubs: HashSet<Name>,
    /// Devices that a session of this hub has, so that one that two edges publish is claimed once.
    taken: HashSet<DeviceId>,
    /// The connections of those that the first one told of edges.
    found: Vec<Vec<Name>>,
    /// Another process of this name whose state came with this connection, and with the one before.
    rival: Option<Epoch>,
    earlier_rival: Option<Epoch>,
    /// When the first connection was last made.
    connected_at: Option<Instant>,
    /// Until when all connections stay away, since another gateway has the name.
    away_until: Option<Instant>,
}

impl Fleet {
    /// Prepares the hub; nothing is connected before [`Fleet::serve`].
    pub fn new(settings: HubSettings, intake: Arc<Intake>) -> Arc<Self> {
        let epoch = Epoch::random();
        let topics = &settings.broker.topics;
        let will = hub_state(&settings, epoch, false);
        let connections: Vec<_> = (0..settings.connections)
            .map(|n| {
                let id = format!("wsdm-hub-{}-{n}", settings.hub);
                let bus_settings = settings.broker.connection(id);
                match n {
                    0 => {
                        // Without acknowledgements, whose queue in a broker is shorter than a large fleet.
                        let found = vec![
                            (topics.all_edge_states(), Qos::AtMostOnce),
                            (topics.all_hub_states(), Qos::AtMostOnce),
                            (topics.topic(&Topic::HaltAll), Qos::AtLeastOnce),
                        ];
                        bus(bus_settings, Some(will.clone()), found)
                    }
                    _ => bus(bus_settings, None, Vec::new()),
                }
            })
            .collect();
        let shared = Shared {
            hubs: HashSet::from([settings.hub.clone()]),
            found: vec![Vec::new(); settings.connections],
            ..Shared::default()
        };
        let first = connections[0].0.clone();
        Arc::new(Self {
            epoch,
            clock: Clock::start(),
            halt: Echo::new(first.clone(), topics.topic(&Topic::HaltAll)),
            first,
            snapshots: Snapshots::new(connections.len()),
            connections: Mutex::new(connections),
            shared: Mutex::new(shared),
            faults: Faults::default(),
            news: Faults::default(),
            settings,
            intake,
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until `stop` is cancelled; then waits for the sessions, which the caller ends as well. To be called once.
    pub async fn serve(self: Arc<Self>, stop: CancellationToken) {
        info!(
            "devices of the fleet come from {}, to the hub {}",
            self.settings.broker.broker, self.settings.hub
        );
        let connections =
            std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        let mut tasks = JoinSet::new();
        for (n, (bus, events)) in connections.into_iter().enumerate() {
            let connection = Connection {
                fleet: self.clone(),
                n,
                bus,
                edges: Edges::default(),
                sessions: JoinSet::new(),
                since: None,
                probed: None,
                away_until: None,
                state_due: None,
                is_confirmed: false,
                directory: self.intake.admission.directory(),
            };
            tasks.spawn(connection.serve(events, stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(e) = ended {
                error!("a connection to the broker ended in a fault inside the gateway: {e}");
            }
        }
    }
}

fn hub_state(settings: &HubSettings, epoch: Epoch, online: bool) -> Message {
    let state = HubState {
        online,
        hub_epoch: epoch,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Message {
        topic: settings
            .broker
            .topics
            .topic(&Topic::HubState(settings.hub.clone())),
        payload: write(&state).into(),
        qos: Qos::AtLeastOnce,
        retain: true,
    }
}

/// One connection to the broker, with the edges that it carries. The first one finds them.
struct Connection {
    fleet: Arc<Fleet>,
    n: usize,
    bus: Bus,
    edges: Edges,
    sessions: JoinSet<()>,
    /// Since when it is connected.
    since: Option<Instant>,
    /// When it was last probed.
    probed: Option<Instant>,
    /// Until when it last stayed away.
    away_until: Option<Instant>,
    /// When the hub's own state must have come back; `None` once it has.
    state_due: Option<Instant>,
    /// Whether what the broker does not keep any more was let go of since the connection was made.
    is_confirmed: bool,
    /// By what devices were last admitted or refused.
    directory: Arc<Directory>,
}

impl Connection {
    async fn serve(mut self, mut events: Events, stop: CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = self.fleet.snapshots.asked();
        loop {
            let fleet = self.fleet.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Before what comes: a flood is not to delay it.
                _ = look.tick() => self.look(),
                Ok(()) = asked.changed() => {
                    fleet.snapshots.put(self.n, *asked.borrow_and_update(), self.edges.snapshot());
                }
                event = events.next() => self.event(event, &stop),
                Some(ended) = self.sessions.join_next() => report(ended),
            }
            let away_until = fleet.shared().away_until;
            if let Some(until) = away_until.filter(|_| away_until != self.away_until) {
                self.away_until = away_until;
                self.since = None;
                events.stay_away(until.saturating_duration_since(Instant::now()));
            }
        }
        // The sessions write their stops, and give their devices back.
        while !self.sessions.is_empty() {
            tokio::select! {
                event = events.next() => self.event(event, &stop),
                Some(ended) = self.sessions.join_next() => report(ended),
            }
        }
        if self.n == 0 {
            let _ = self
                .bus
                .try_publish(hub_state(&self.fleet.settings, self.fleet.epoch, false));
        }
        if !events.disconnect(CLOSE_TIMEOUT).await {
            debug!("the broker did not take the farewell");
        }
    }

    fn event(&mut self, event: BusEvent, stop: &CancellationToken) {
        match event {
            BusEvent::Connected => {
                self.since = Some(Instant::now());
                self.is_confirmed = false;
                self.edges.connected();
                if self.n == 0 {
                    let mut shared = self.fleet.shared();
                    // Two gateways of one name throw each other out soon; a broker that forgets may restore an old state
                    // later.
                    let was_soon = shared
                        .connected_at
                        .is_some_and(|at| at.elapsed() < 2 * FLEET_YIELD_FOR);
                    shared.connected_at = Some(Instant::now());
                    shared.earlier_rival = shared.rival.take().filter(|_| was_soon);
                    drop(shared);
                    self.state_due = Some(Instant::now() + OWN_STATE_WITHIN);
                    info!("connected to the broker {}", self.fleet.settings.broker.broker);
                    let _ = self
                        .bus
                        .try_publish(hub_state(&self.fleet.settings, self.fleet.epoch, true));
                }
            }
            BusEvent::Lost { error, news } => {
                self.since = None;
                let lost = self.edges.cut_off();
                self.control_lost(&lost);
                if self.n == 0 && news {
                    warn!(
                        "the broker {} is away: {}",
                        self.fleet.settings.broker.broker,
                        error.with_hint()
                    );
                }
                if self.n == 0 {
                    // Which hubs are there will be told again.
                    self.fleet.shared().hubs = HashSet::from([self.fleet.settings.hub.clone()]);
                }
            }
            BusEvent::Message(message) => self.message(message, stop),
            BusEvent::TooLarge { topic, bytes } => {
                self.fleet.faults.warn(format!(
                    "a message of {bytes} bytes on {} is ignored: that is too much",
                    topic.escape_debug()
                ));
            }
        }
    }

    fn message(&mut self, message: Message, stop: &CancellationToken) {
        let Some(topic) = self.fleet.settings.broker.topics.read(&message.topic) else {
            return;
        };
        match topic {
            Topic::HubState(hub) => self.hub_state(&hub, &message),
            Topic::EdgeState(edge) => {
                // An empty state is that of an edge that was forgotten.
                if self.n == 0 && !message.payload.is_empty() {
                    self.found(&edge);
                }
                let state = documents::read::<EdgeState>(&message.payload).ok();
                if let Some(is_there) = self.edges.state(&edge, state) {
                    let presence = if is_there { "there" } else { "gone" };
                    self.fleet.news.info(format!("the edge {edge} is {presence}"));
                }
            }
            Topic::Birth(edge, device) => {
                let birth = match documents::read(&message.payload) {
                    _ if message.payload.is_empty() => None,
                    Ok(birth) => Some(birth),
                    Err(e) => {
                        let fault = format!("the birth of {edge}/{device} is ignored: {e}");
                        return self.fleet.faults.warn(fault);
                    }
                };
                let bytes = message.payload.len();
                if let Err(fault) = self.edges.birth(&edge, device, birth, bytes) {
                    self.fleet.faults.warn(fault);
                }
            }
            Topic::Owner(edge, device) => {
                let owner = match documents::read(&message.payload) {
                    _ if message.payload.is_empty() => None,
                    Ok(owner) => Some(owner),
                    Err(e) => {
                        let fault = format!("the owner of {edge}/{device} is ignored: {e}");
                        return self.fleet.faults.warn(fault);
                    }
                };
                let us = (&self.fleet.settings.hub, self.fleet.epoch);
                let lapsed = self.edges.lapsed(&edge, &device, owner.as_ref(), us);
                self.control_lost(lapsed.as_slice());
                if let Some(granted) = self.edges.owner(&edge, device, owner, us)
                    && !stop.is_cancelled()
                {
                    self.begin(granted, stop);
                }
            }
            Topic::Beat(edge) if !message.retain => {
                let lost = self.edges.beat(&edge, &message.payload);
                self.control_lost(&lost);
            }
            Topic::HaltAll if !message.retain => self.fleet.halt.came(),
            Topic::Up(edge, device) if !message.retain => {
                if let Err(fault) = self.edges.frame(&edge, &device, &message.payload) {
                    self.fleet.faults.warn(fault);
                }
            }
            _ => {}
        }
    }

    fn hub_state(&mut self, hub: &Name, message: &Message) {
        let settings = &self.fleet.settings;
        let state = documents::read::<HubState>(&message.payload).ok();
        if *hub == settings.hub {
            let is_settled = self.since.is_some_and(|since| since.elapsed() > SETTLE);
            let mut shared = self.fleet.shared();
            match state {
                Some(state) if state.hub_epoch == self.fleet.epoch && state.online => self.state_due = None,
                // What an earlier process left, or its will, comes with one connection: the state that is on its way
                // overwrites it.
                Some(state)
                    if (is_settled && state.online) || shared.earlier_rival == Some(state.hub_epoch) =>
                {
                    shared.rival = Some(state.hub_epoch);
                    error!(
                        "another gateway is the hub {hub} at this broker, too: give one of them another name, [mqtt] hub; \
                         this one stays away for {} s",
                        FLEET_YIELD_FOR.as_secs()
                    );
                    shared.away_until = Some(Instant::now() + FLEET_YIELD_FOR);
                }
                other => {
                    if let Some(state) = other.filter(|state| state.hub_epoch != self.fleet.epoch) {
                        shared.rival = Some(state.hub_epoch);
                    }
                    // Perhaps the will of an earlier connection.
                    let _ = self.bus.try_publish(hub_state(settings, self.fleet.epoch, true));
                }
            }
            return;
        }
        let mut shared = self.fleet.shared();
        let is_new = match state {
            // What a stranger makes up costs no more than this.
            Some(state) if state.online && shared.hubs.len() >= HUBS_MAX => false,
            Some(state) if state.online => shared.hubs.insert(hub.clone()),
            _ => {
                shared.hubs.remove(hub);
                false
            }
        };
        drop(shared);
        if is_new {
            self.fleet.news.info(format!("another hub is there: {hub}"));
        }
    }

    /// An edge was found: one of the connections takes it.
    fn found(&mut self, edge: &Name) {
        let n = connection_of(edge, self.fleet.settings.connections);
        if n == 0 {
            self.take(edge.clone());
        } else {
            self.fleet.shared().found[n].push(edge.clone());
        }
    }

    /// Takes an edge, unless it has it already.
    fn take(&mut self, edge: Name) {
        if self.edges.has(&edge) {
            return;
        }
        if self.edges.is_full() {
            debug!("the edge {edge} is ignored: too many others are there");
            return;
        }
        let settings = &self.fleet.settings;
        let topics = settings.broker.topics.clone();
        // Without acknowledgements, see above: a broker drops in silence what its queue for them cannot hold, and a device
        // would be missing. What is lost with the connection comes again with the next one.
        for topic in [
            topics.of_all_devices(&edge, "birth"),
            topics.of_all_devices(&edge, "owner"),
            topics.of_all_devices(&edge, "up"),
            topics.topic(&Topic::Beat(edge.clone())),
            topics.topic(&Topic::EdgeState(edge.clone())),
        ] {
            self.bus.subscribe(topic, Qos::AtMostOnce);
        }
        let line = EdgeLine::new(
            edge,
            self.bus.clone(),
            topics,
            settings.hub.clone(),
            self.fleet.epoch,
            self.fleet.clock,
        );
        self.edges.add(Arc::new(line));
    }

    /// Their edges have stopped these devices.
    fn control_lost(&self, devices: &[Address]) {
        for address in devices {
            if let Some(session) = self.fleet.intake.registry.find(address) {
                session.control_lost();
            }
        }
    }

    /// Looks which edges went silent, and which devices to claim.
    fn look(&mut self) {
        let found = std::mem::take(&mut self.fleet.shared().found[self.n]);
        for edge in found {
            self.take(edge);
        }
        let silent = self.edges.look_for_silence();
        self.control_lost(&silent);
        let Some(since) = self.since else { return };
        if self.state_due.is_some_and(|due| Instant::now() >= due) {
            self.state_due = None;
            error!(
                "the state of this hub does not come back from the broker: no edge can give it a device; allow this user to \
                 read and write {}/#",
                self.fleet.settings.broker.topics
            );
        }
        if !silent.is_empty() && self.probed.is_none_or(|at| at.elapsed() > 2 * PROBE_WITHIN) {
            // Perhaps the broker is cut off: its own timeouts take many seconds.
            self.probed = Some(Instant::now());
            let state = hub_state(&self.fleet.settings, self.fleet.epoch, true);
            self.bus.probe(state, PROBE_WITHIN);
        }
        if since.elapsed() < SETTLE {
            return;
        }
        if since.elapsed() >= RETAINED_WITHIN && !std::mem::replace(&mut self.is_confirmed, true) {
            self.edges.end_forgotten();
        }
        let directory = self.fleet.intake.admission.directory();
        if !Arc::ptr_eq(&directory, &self.directory) {
            self.directory = directory;
            self.edges.admit_again();
        }
        let shared = self.fleet.shared();
        self.edges.claim(
            &self.fleet.settings.hub,
            self.fleet.epoch,
            &shared.hubs,
            &shared.taken,
        );
    }

    /// An edge granted a device: its session begins.
    fn begin(&mut self, granted: Granted, stop: &CancellationToken) {
        let Granted {
            line,
            device,
            birth,
            inbox,
        } = granted;
        let handshake = match birth.handshake() {
            Ok(handshake) if DeviceId::of(&handshake) == device => handshake,
            Ok(_) => {
                self.fleet.faults.warn(format!(
                    "{}/{device} is ignored: that is not the id of its identifier and address",
                    line.edge
                ));
                self.edges.refused(&line.edge, &device);
                return;
            }
            Err(e) => {
                let fault = format!("{}/{device} is ignored: {e}", line.edge);
                self.fleet.faults.warn(fault);
                self.edges.refused(&line.edge, &device);
                return;
            }
        };
        let Some(taken) = Taken::new(&self.fleet, &line, &device, &inbox) else {
            inbox.end("another edge has the device");
            line.give_back(&device);
            return;
        };
        let mut board = Board::at(Peer::Broker(line.edge.clone()));
        board.recognised = birth
            .recognised
            .as_ref()
            .and_then(|board| board.board())
            .map(Arc::new);
        let link = Box::new(BrokerLink::new(line.clone(), device.clone(), inbox.clone()));
        let (fleet, stop, refused) = (self.fleet.clone(), stop.clone(), self.edges.refusals());
        self.sessions.spawn(async move {
            let ended = fleet.intake.session(handshake, board, link, &stop).await;
            if let Err(away) = ended {
                let refusal = &away.refusal;
                warn!(
                    "a device of the edge {} is refused: {}",
                    line.edge,
                    refusal.with_hint()
                );
                refused.add(line.edge.clone(), device.clone());
                line.give_back(&device);
            }
            if inbox.dropped() > 0 {
                warn!(
                    "{} frames of {}/{device} were dropped",
                    inbox.dropped(),
                    line.edge
                );
            }
            drop(taken);
        });
    }
}

/// A device that a session of this hub has. Dropping it, also after a panic, gives the device back: an edge takes answered
/// beats for control.
struct Taken {
    fleet: Arc<Fleet>,
    line: Arc<EdgeLine>,
    device: DeviceId,
    inbox: Arc<Inbox>,
}

impl Taken {
    /// `None` if another session has the device.
    fn new(fleet: &Arc<Fleet>, line: &Arc<EdgeLine>, device: &DeviceId, inbox: &Arc<Inbox>) -> Option<Self> {
        let is_free = fleet.shared().taken.insert(device.clone());
        is_free.then(|| Self {
            fleet: fleet.clone(),
            line: line.clone(),
            device: device.clone(),
            inbox: inbox.clone(),
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.inbox.end("its session is over");
        self.line.give_back(&self.device);
        self.fleet.shared().taken.remove(&self.device);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    // If a fault ended a session, the rest of the gateway continues.
    if let Err(e) = ended {
        error!("a device of the fleet ended in a fault inside the gateway: {e}");
    }
}
