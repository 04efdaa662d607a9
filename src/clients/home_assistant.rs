//! Home Assistant: shows the devices of the server inside there, through the broker of a hub, and lets it set outputs.
//!
//! - `entry`: a device that is shown, and what is due of it.
//! - `edges`: what the broker retains of edges and of devices that other hubs have.
//! - `features`: what a device can do.
//! - `outputs`: what was set, until when, and who takes it over.
//! - `app`: Home Assistant as an app.
//! - `halts`: the stop buttons of this gateway's own boards.
//!
//! It has a connection to the broker of its own: nothing here delays a session. What does not fit is sent later.

mod app;
mod edges;
mod entry;
mod features;
mod halts;
mod outputs;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Clients;
use crate::advice::Advice;
use crate::config::{HomeAssistantSettings, HubSettings};
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::fleet::documents::{self, EdgeState};
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::topics::Topic;
use crate::device::home_assistant::{self as words, HomeAssistant as Words, command, tell_apart};
use crate::device::peer::Peer;
use crate::net::bus::{Bus, BusEvent, Message, NotTaken, Qos, bus};
use crate::session::registry::Registry;
use crate::upstream::embedded::DeviceTable;
use edges::Edges;
use entry::Entry;
use outputs::Outputs;

/// How often states are compared with what was sent.
const LOOK: Duration = Duration::from_millis(100);
/// How long what is retained takes to come after a connection, or a subscription.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the boards of this gateway take to come after a start.
const BOARDS_COME: Duration = Duration::from_secs(10);
/// The same fault of a command is logged again after this long.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// Faults that are logged in that time.
const FAULTS_MAX: usize = 16;
/// Who drives a device that is commanded frame by frame.
const BY_HAND: &str = "the page, or a monitor";
/// The version of this gateway.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where a device stands in topics.
type At = (Name, DeviceId);

/// What shows the devices of this gateway in Home Assistant.
pub struct HomeAssistant {
    hub: HubSettings,
    settings: HomeAssistantSettings,
    clients: Clients,
    registry: Arc<Registry>,
}

impl HomeAssistant {
    /// For the devices of these clients; `registry` has their sessions. `None` if this hub does not serve Home Assistant.
    pub fn new(hub: &HubSettings, clients: Clients, registry: Arc<Registry>) -> Option<Self> {
        Some(Self {
            settings: hub.home_assistant.clone()?,
            hub: hub.clone(),
            clients,
            registry,
        })
    }

    /// Serves until `stop` is cancelled.
    pub async fn serve(self, stop: CancellationToken) {
        let words = Words {
            prefix: self.hub.broker.topics.clone(),
            discovery: self.settings.discovery.clone(),
            outputs: self.settings.outputs,
        };
        let topics = &words.prefix;
        let hub = &self.hub.hub;
        let mut subscriptions = vec![
            (topics.all_edge_states(), Qos::AtMostOnce),
            (format!("{topics}/+/dev/+/birth"), Qos::AtMostOnce),
            (words.all_states(), Qos::AtMostOnce),
            (words.status_topic(), Qos::AtLeastOnce),
            (topics.topic(&Topic::HaltAll), Qos::AtLeastOnce),
            (topics.topic(&Topic::HaltEdge(hub.clone())), Qos::AtLeastOnce),
            (topics.of_all_devices(hub, "halt"), Qos::AtLeastOnce),
        ];
        if words.outputs {
            subscriptions.push((words.commands(), Qos::AtLeastOnce));
        }
        let connection = self.hub.broker.connection(format!("wsdm-ha-{hub}"));
        let (bus, mut events) = bus(connection, None, subscriptions);
        let (told, mut app_events) = mpsc::unbounded_channel();
        let outputs = Outputs::new(
            self.clients.clone(),
            self.settings.hold,
            self.settings.move_time,
            told,
        );
        let mut table = self.clients.shared.engine.devices();
        let mut room = Room {
            words,
            hub: self.hub,
            clients: self.clients,
            registry: self.registry,
            bus: bus.clone(),
            since: None,
            started: Instant::now(),
            edges: Edges::default(),
            entries: BTreeMap::new(),
            topics: HashMap::new(),
            house_due: false,
            own_due: false,
            outbox: VecDeque::new(),
            is_full: false,
            outputs,
            stops: JoinSet::new(),
            forgotten: 0,
            faults: Vec::new(),
            is_last: false,
        };
        room.list(&table.borrow_and_update().clone());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next_end = room.outputs.next_end();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // An output ends, whatever the broker sends.
                () = sleep_until(next_end.unwrap_or_else(Instant::now)), if next_end.is_some() => {
                    room.outputs.end_due();
                }
                event = events.next() => room.event(event),
                Some(event) = app_events.recv() => if let Some(fault) = room.outputs.event(event) {
                    room.log(fault);
                },
                Ok(()) = table.changed() => {
                    let now = table.borrow_and_update().clone();
                    room.list(&now);
                }
                Some(_) = room.stops.join_next() => {}
                () = poll_fn(|cx| bus.poll_room(cx)), if room.is_full => room.publish(),
                _ = look.tick() => room.look(),
            }
        }
        // Its devices are about to be stopped, and its apps to leave.
        room.is_last = true;
        room.list(&Arc::default());
        room.look();
        let Room { outputs, stops, .. } = room;
        let _ = timeout(CLOSE_TIMEOUT, async {
            tokio::join!(outputs.leave(), stops.join_all());
        })
        .await;
        if !events.disconnect(CLOSE_TIMEOUT).await {
            debug!("the broker did not take the last states for Home Assistant");
        }
    }
}

/// All that is shown, and what is due.
struct Room {
    words: Words,
    hub: HubSettings,
    clients: Clients,
    registry: Arc<Registry>,
    bus: Bus,
    /// Since when there is a connection.
    since: Option<Instant>,
    started: Instant,
    edges: Edges,
    entries: BTreeMap<At, Entry>,
    /// Whose discovery is on which topic.
    topics: HashMap<String, At>,
    house_due: bool,
    /// The discovery of this hub, which has boards of its own.
    own_due: bool,
    /// What deletes, and corrects what others left.
    outbox: VecDeque<words::Message>,
    /// Something is due that the bus did not take.
    is_full: bool,
    outputs: Outputs,
    stops: JoinSet<()>,
    /// How many devices users had the gateway forget, of those that were looked at.
    forgotten: u64,
    /// Faults of others that were logged, and when.
    faults: Vec<(String, Instant)>,
    /// What is published now is the last: it must arrive.
    is_last: bool,
}

impl Room {
    fn event(&mut self, event: BusEvent) {
        match event {
            BusEvent::Connected => {
                info!(
                    "devices are shown in Home Assistant, through {}",
                    self.hub.broker.broker
                );
                let now = Instant::now();
                self.since = Some(now);
                self.edges.begin(now);
                self.all_due(|_| now + SETTLE);
                self.publish();
            }
            BusEvent::Lost { error, news } => {
                self.since = None;
                // Nobody could take them back.
                self.outputs.end_all();
                if news {
                    warn!(
                        "devices are not shown in Home Assistant: the broker {} is away: {}",
                        self.hub.broker.broker,
                        error.with_hint()
                    );
                }
            }
            BusEvent::Message(message) => self.message(message),
            BusEvent::TooLarge { topic, bytes } => {
                self.log(format!(
                    "a message of {bytes} bytes on {topic} is ignored: that is too much"
                ));
            }
        }
    }

    /// All of it is due again, the discovery of each device at its time.
    fn all_due(&mut self, at: impl Fn(&DeviceId) -> Instant) {
        self.house_due = true;
        self.own_due = true;
        for edge in self.edges.edges.values_mut() {
            edge.due = Some(Instant::now());
        }
        for ((_, device), entry) in &mut self.entries {
            entry.is_due(at(device));
        }
    }

    fn message(&mut self, message: Message) {
        let topic = message.topic.as_str();
        if topic == self.words.status_topic() {
            self.status(&message);
        } else if let Some(target) = self.words.target(topic) {
            self.set(&target, &message);
        } else if let Some(at) = self.words.state_of(topic) {
            self.state(at, &message);
        } else if let Some(at) = self.topics.get(topic) {
            if let Some(entry) = self.entries.get_mut(at) {
                entry.discovered(&message);
            }
        } else if let Some(topic) = self.words.prefix.read(topic) {
            self.fleet(topic, &message);
        }
    }

    /// Home Assistant starts, or is gone.
    fn status(&mut self, message: &Message) {
        if message.retain {
            return;
        }
        if self.words.is_start(&message.topic, &message.payload) {
            let now = Instant::now();
            self.all_due(|device| now + words::delay(device));
        } else if message.payload.as_ref() == b"offline" {
            self.outputs.end_all();
        }
    }

    fn fleet(&mut self, topic: Topic, message: &Message) {
        let is_halt = matches!(topic, Topic::HaltAll | Topic::HaltEdge(_) | Topic::HaltDevice(..));
        if is_halt && message.retain {
            self.log(format!(
                "a retained message on {} is ignored, since it is a command: remove it with mosquitto_pub -t {} -r -n",
                message.topic, message.topic
            ));
            return;
        }
        match topic {
            Topic::EdgeState(edge) => self.edge_state(&edge, &message.payload),
            Topic::Birth(edge, device) => self.edges.birth((edge, device), !message.payload.is_empty()),
            Topic::HaltAll => self.halt(None),
            Topic::HaltEdge(edge) if edge == self.hub.hub => self.halt(None),
            Topic::HaltDevice(edge, device) if edge == self.hub.hub => self.halt(Some(&device)),
            _ => {}
        }
    }

    fn halt(&mut self, one: Option<&DeviceId>) {
        let own: Vec<At> = self
            .entries
            .iter()
            .filter(|((_, device), entry)| entry.device.is_own && one.is_none_or(|one| one == device))
            .map(|(at, _)| at.clone())
            .collect();
        for at in &own {
            self.outputs.drop_device(at);
        }
        halts::halt(&self.clients, &self.registry, one, &mut self.stops);
    }

    fn edge_state(&mut self, edge: &Name, payload: &[u8]) {
        match documents::read::<EdgeState>(payload) {
            Ok(state) => {
                let version = state.version.clone();
                self.edges.state(edge, state);
                for ((of, _), entry) in &mut self.entries {
                    if of == edge && !entry.device.is_own && entry.device.version != version {
                        entry.device.version.clone_from(&version);
                        entry.discovery_due.get_or_insert_with(Instant::now);
                    }
                }
            }
            // It was forgotten, and its devices with it.
            Err(_) if payload.is_empty() => {
                if self.edges.edges.remove(edge).is_none() {
                    return;
                }
                self.outbox.push_back(self.words.forget_edge(edge));
                let known = self.entries.keys().chain(self.edges.foreign.keys());
                let of_edge: HashSet<At> = known.filter(|(of, _)| of == edge).cloned().collect();
                for at in of_edge {
                    self.forget(&at);
                }
            }
            Err(e) => self.log(format!("the state of the edge {edge} is ignored: {e}")),
        }
    }

    /// The state of a device, as the broker has it.
    fn state(&mut self, at: At, message: &Message) {
        let Some(entry) = self.entries.get_mut(&at) else {
            if message.payload.is_empty() {
                if self.edges.foreign.remove(&at).is_some() {
                    self.forget(&at);
                }
            } else {
                self.edges.foreign(at, message.payload.clone());
            }
            return;
        };
        if entry.is_ours(&message.payload) {
            return;
        }
        match (entry.listed.is_some(), message.payload.is_empty()) {
            // Somebody cleared it, or another hub believes to have the device.
            (true, _) => entry.is_due(Instant::now()),
            (false, true) => self.forget(&at),
            // Another hub has it now, unless this is from before this connection.
            (false, false) if message.retain => {}
            (false, false) => {
                self.remove(&at);
                self.edges.foreign(at, message.payload.clone());
            }
        }
    }

    /// Deletes a device, unless it is there.
    fn forget(&mut self, at: &At) {
        if self.entries.get(at).is_some_and(|entry| entry.listed.is_some()) {
            return;
        }
        self.remove(at);
        self.edges.foreign.remove(at);
        self.outbox.extend(self.words.forget(&at.0, &at.1));
    }

    fn remove(&mut self, at: &At) {
        if self.entries.remove(at).is_some() {
            let topic = self.words.discovery_topic(&at.0, &at.1);
            self.bus.unsubscribe(&topic);
            self.topics.remove(&topic);
        }
    }

    /// Home Assistant, or somebody else, sets an output.
    fn set(&mut self, target: &command::Target, message: &Message) {
        let at = (target.edge.clone(), target.device.clone());
        // Another hub may have it.
        let Some(entry) = self.entries.get_mut(&at).filter(|_| self.words.outputs) else {
            return;
        };
        let outputs = &entry.device.outputs;
        let Some(output) = outputs.iter().find(|output| output.key == target.key) else {
            return;
        };
        let percent = match command::read(output, &message.topic, &message.payload, message.retain) {
            Ok(percent) => percent,
            Err(e) => return self.log(format!("{} is not set: {e}", message.topic)),
        };
        let fault = match &entry.listed {
            Some(listed) => self.outputs.set(&at, output, percent, listed),
            None => Some(format!(
                "{} is not set: the device is not connected",
                message.topic
            )),
        };
        // Also if it was refused: the number goes back.
        entry.sent = None;
        if let Some(fault) = fault {
            self.log(fault);
        }
    }

    /// Follows the devices that the server lists.
    fn list(&mut self, table: &DeviceTable) {
        let now = Instant::now();
        let mut there = HashSet::new();
        for listed in table.values() {
            let at = entry::place(listed, &self.hub.hub);
            there.insert(at.clone());
            let known = self.entries.get(&at).and_then(|entry| entry.listed.as_ref());
            if known.is_some_and(|known| Arc::ptr_eq(known, listed)) {
                continue;
            }
            let is_own = !matches!(listed.session().peer, Peer::Broker(_));
            let version = if is_own {
                VERSION.to_owned()
            } else {
                self.edges.version(&at.0)
            };
            let mut device = entry::describe(listed, &at, &self.hub, version);
            let is_new = !self.entries.contains_key(&at);
            let entry = self
                .entries
                .entry(at.clone())
                .or_insert_with(|| Entry::new(device.clone()));
            device.shares_name = entry.device.shares_name;
            if is_new {
                let topic = self.words.discovery_topic(&at.0, &at.1);
                // What is retained there may have entities that are no more.
                self.bus.subscribe(topic.clone(), Qos::AtMostOnce);
                self.topics.insert(topic, at.clone());
                self.edges.foreign.remove(&at);
                entry.discovery_due = Some(now + SETTLE);
                self.own_due |= is_own;
            } else if entry.device != device {
                entry.device = device;
                entry.discovery_due.get_or_insert(now);
            }
            entry.listed = Some(listed.clone());
        }
        for (at, entry) in &mut self.entries {
            if !there.contains(at) {
                entry.listed = None;
            }
        }
        let before: Vec<bool> = self
            .entries
            .values()
            .map(|entry| entry.device.shares_name)
            .collect();
        tell_apart(self.entries.values_mut().map(|entry| &mut entry.device));
        for (entry, before) in self.entries.values_mut().zip(before) {
            if entry.device.shares_name != before {
                entry.discovery_due.get_or_insert(now);
            }
        }
        self.look();
    }

    /// Looks what has changed, and sends it.
    fn look(&mut self) {
        let (forgotten, count) = self.registry.past().forgotten_after(self.forgotten);
        self.forgotten = count;
        for address in forgotten {
            let of_address = |entry: &Entry| entry.device.address == address;
            let gone: Vec<At> = self
                .entries
                .iter()
                .filter(|(_, entry)| of_address(entry))
                .map(|(at, _)| at.clone())
                .collect();
            for at in gone {
                self.forget(&at);
            }
        }
        let entries = &self.entries;
        self.outputs.look(|at, device| {
            let listed = entries.get(at).and_then(|entry| entry.listed.as_ref());
            listed.is_some_and(|listed| listed.connection == device.connection)
        });
        self.correct();
        self.publish();
    }

    /// Corrects the states of devices that nobody has any more.
    fn correct(&mut self) {
        if self.since.is_none_or(|since| since.elapsed() < 2 * SETTLE) || !self.outbox.is_empty() {
            return;
        }
        let is_away = |at: &At| match at.0 == self.hub.hub && !self.edges.edges.contains_key(&at.0) {
            true => self.started.elapsed() > BOARDS_COME,
            false => !self.edges.is_online(&at.0) || !self.edges.has(at),
        };
        let mut corrected = Vec::new();
        for (at, state) in self.edges.foreign.iter().filter(|(at, _)| is_away(at)) {
            if let Some(message) = self.words.away(&at.0, &at.1, state) {
                self.outbox.push_back(self.words.available(&at.0, &at.1, false));
                corrected.push((at.clone(), message.payload.clone()));
                self.outbox.push_back(message);
            }
        }
        for (at, state) in corrected {
            self.edges.foreign.insert(at, state.into());
        }
    }

    /// Sends what is due, as far as the bus takes it.
    fn publish(&mut self) {
        self.is_full = false;
        let Some(since) = self.since else { return };
        let bus = &self.bus;
        let mut send = |message: &words::Message, qos| match bus.try_publish(Message {
            topic: message.topic.clone(),
            payload: message.payload.clone().into(),
            qos,
            retain: true,
        }) {
            // One that no broker takes is not tried again.
            Ok(()) | Err(NotTaken::Unfit) => true,
            Err(NotTaken::Full) => {
                self.is_full = true;
                false
            }
            Err(NotTaken::Away) => false,
        };
        while let Some(message) = self.outbox.front() {
            if !send(message, Qos::AtLeastOnce) {
                return;
            }
            self.outbox.pop_front();
        }
        if self.house_due {
            if !send(&self.words.house_discovery(), Qos::AtLeastOnce) {
                return;
            }
            self.house_due = false;
        }
        if self.own_due && self.entries.values().any(|entry| entry.device.is_own) {
            let is_edge = self.edges.edges.contains_key(&self.hub.hub);
            if !is_edge
                && !send(
                    &self.words.hub_discovery(&self.hub.hub, VERSION),
                    Qos::AtLeastOnce,
                )
            {
                return;
            }
            self.own_due = false;
        }
        let now = Instant::now();
        for (edge, entry) in &mut self.edges.edges {
            if entry.due.is_some_and(|due| due <= now)
                && let Some(state) = &entry.state
            {
                if !send(&self.words.edge_discovery(edge, &state.version), Qos::AtLeastOnce) {
                    return;
                }
                entry.due = None;
            }
        }
        // What is retained comes first: which edges are there, and which devices they have.
        if since.elapsed() < SETTLE {
            return;
        }
        let apps = self.clients.apps();
        for (at, entry) in &mut self.entries {
            if entry.discovery_due.is_some_and(|due| due <= now) {
                let before = entry.retained.as_deref();
                let message = self.words.discovery(&entry.device, before);
                if !send(&message, Qos::AtLeastOnce) {
                    return;
                }
                let vanished = before.map(|before| self.words.vanished(&entry.device, before));
                entry.is_cleaning = vanished.is_some_and(|vanished| !vanished.is_empty());
                entry.retained = Some(message.payload.into_bytes());
                entry.discovery_due = None;
            }
            let is_listed = entry.listed.is_some();
            let is_connected = match entry.device.is_own {
                true => is_listed,
                false => self.edges.is_online(&at.0) && (is_listed || self.edges.has(at)),
            };
            let driver = entry.listed.as_ref().and_then(|listed| {
                if listed.session().is_commanded_by_hand() {
                    return Some(BY_HAND.to_owned());
                }
                let driver = self.clients.driver(listed.index, listed.connection)?;
                entry::name_of(&apps, driver)
            });
            let mut state = entry.state(is_connected, driver);
            state.outputs = self.outputs.of(at);
            // The number ends before the device becomes unavailable, which hides it.
            if entry.wants(&state) || self.is_last && !is_listed && is_connected != entry.was_sent_connected()
            {
                let device = &entry.device;
                let message = self
                    .words
                    .state(&device.edge, &device.id, &device.outputs, &state);
                let qos = if self.is_last {
                    Qos::AtLeastOnce
                } else {
                    Qos::AtMostOnce
                };
                if !send(&message, qos) {
                    return;
                }
                entry.was_sent(state, message.payload);
            }
            if entry.available != Some(is_listed) {
                let message = self.words.available(&at.0, &at.1, is_listed);
                if !send(&message, Qos::AtLeastOnce) {
                    return;
                }
                entry.available = Some(is_listed);
            }
        }
    }

    /// Logs a fault of somebody else, unless it was logged lately, or many were.
    fn log(&mut self, fault: String) {
        self.faults.retain(|(_, at)| at.elapsed() < LOG_AGAIN);
        if self.faults.len() < FAULTS_MAX && !self.faults.iter().any(|(text, _)| *text == fault) {
            warn!("{fault}");
            self.faults.push((fault, Instant::now()));
        }
    }
}
