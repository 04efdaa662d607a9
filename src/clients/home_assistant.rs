//! Home Assistant: shows the devices of the server inside there, through the broker of a hub, and lets it set outputs.
//!
//! - `incoming`, `publishing`: what comes from the broker, and what goes there.
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
mod incoming;
mod outputs;
mod publishing;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Clients;
use crate::config::{HomeAssistantSettings, HubSettings};
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::topics::Topic;
use crate::device::home_assistant::{self as words, HomeAssistant as Words, tell_apart};
use crate::device::peer::Peer;
use crate::logging::faults::Faults;
use crate::net::bus::{Bus, Qos, bus};
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
            faults: Faults::default(),
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
                    room.faults.warn(fault);
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
    faults: Faults,
    /// What is published now is the last: it must arrive.
    is_last: bool,
}

impl Room {
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
}
