//! What goes to the broker, as soon as it is due and the bus takes it.

use tokio::time::Instant;

use super::entry::{self, Entry};
use super::{At, BOARDS_COME, BY_HAND, Room, SETTLE, VERSION};
use crate::device::home_assistant as words;
use crate::net::bus::{Message, NotTaken, Qos};

impl Room {
    /// Looks what has changed, and sends it.
    pub(super) fn look(&mut self) {
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
    pub(super) fn publish(&mut self) {
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
}
