//! What comes from the broker: what is retained there, the stop buttons, and numbers.

use std::collections::HashSet;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{At, Room, SETTLE, halts};
use crate::advice::Advice;
use crate::device::fleet::documents::{self, EdgeState};
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::topics::Topic;
use crate::device::home_assistant::{self as words, command};
use crate::net::bus::{BusEvent, Message};

impl Room {
    pub(super) fn event(&mut self, event: BusEvent) {
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
                self.faults.warn(format!(
                    "a message of {bytes} bytes on {} is ignored: that is too much",
                    topic.escape_debug()
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
            self.faults.warn(format!(
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
            Err(e) => self
                .faults
                .warn(format!("the state of the edge {edge} is ignored: {e}")),
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
            Err(e) => return self.faults.warn(format!("{} is not set: {e}", message.topic)),
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
            self.faults.warn(fault);
        }
    }
}
