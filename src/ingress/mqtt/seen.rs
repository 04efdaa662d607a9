//! What a hub knows of its fleet, for people, and the halt of all of it. Nothing is kept for this: each connection answers
//! when it is asked.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Fleet;
use crate::config::BrokerSettings;
use crate::device::fleet::names::Name;
use crate::device::fleet::seen::DeviceSeen;
use crate::net::broker::BrokerUrl;
use crate::net::bus::BusStatus;
use crate::net::bus::echo::NoEcho;

/// How long a connection may take to answer: it looks at everything that comes at once.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How long the edges' answers to a halt are waited for.
const HALTED_WITHIN: Duration = Duration::from_secs(2);
/// How long they are waited for at least once the halt has come back.
const HALTED_AFTER_ECHO: Duration = Duration::from_millis(500);
/// Between two looks for them.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A hub and what it knows.
#[derive(Clone, Debug)]
pub struct HubView {
    /// Its name.
    pub name: Name,
    /// The broker.
    pub broker: BrokerUrl,
    /// How the connection to it stands.
    pub status: BusStatus,
    /// The other hubs that are online, by name.
    pub others: Vec<Name>,
    /// The edges, by name.
    pub edges: Vec<EdgeSeen>,
}

/// Whether an edge is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is online, and beats if it has devices.
    There,
    /// It is online by what the broker keeps, and does not beat: its devices are at rest.
    Silent,
    /// It said farewell, or the broker did in its place.
    Gone,
}

/// An edge.
#[derive(Clone, Debug)]
pub struct EdgeSeen {
    /// Its name.
    pub name: Name,
    /// Whether it is there.
    pub presence: Presence,
    /// The version of its gateway; may be empty.
    pub version: String,
    /// How old its last beat is; `None` if it has no devices, or was never heard.
    pub beat_age: Option<Duration>,
    /// How many devices it has.
    pub device_count: usize,
    /// Its devices, by address; not all of them if there are very many.
    pub devices: Vec<DeviceSeen>,
    /// When the session ended that ended first among the last ones of its devices; `None` if that of one has not.
    pub(super) ended_at: Option<Instant>,
}

/// What the connections know, when they are asked.
#[derive(Debug)]
pub(super) struct Snapshots {
    asked: watch::Sender<u64>,
    parts: watch::Sender<Vec<(u64, Vec<EdgeSeen>)>>,
}

impl Snapshots {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            asked: watch::Sender::new(0),
            parts: watch::Sender::new(vec![Default::default(); connections]),
        }
    }

    /// Changes when a connection is to answer, to the number of the question.
    pub(super) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// The answer of a connection.
    pub(super) fn put(&self, connection: usize, number: u64, edges: Vec<EdgeSeen>) {
        self.parts
            .send_modify(|parts| parts[connection] = (number, edges));
    }

    /// Asks all connections. One that does not answer in time counts with its last answer.
    async fn read(&self) -> Vec<EdgeSeen> {
        let mut parts = self.parts.subscribe();
        let mut wanted = 0;
        self.asked.send_modify(|number| {
            *number += 1;
            wanted = *number;
        });
        let all = parts.wait_for(|parts| parts.iter().all(|(number, _)| *number >= wanted));
        let _ = timeout(ANSWER_WITHIN, all).await;
        let mut edges: Vec<_> = parts
            .borrow()
            .iter()
            .flat_map(|(_, edges)| edges.clone())
            .collect();
        edges.sort_by(|a, b| a.name.cmp(&b.name));
        edges
    }
}

impl Fleet {
    /// What this hub knows now.
    pub async fn view(&self) -> HubView {
        let edges = self.snapshots.read().await;
        let own = &self.settings.hub;
        let mut others: Vec<_> = self
            .shared()
            .hubs
            .iter()
            .filter(|hub| *hub != own)
            .cloned()
            .collect();
        others.sort();
        HubView {
            name: own.clone(),
            broker: self.settings.broker.broker.clone(),
            status: self.status(),
            others,
            edges,
        }
    }

    /// How the connection to the broker stands.
    pub fn status(&self) -> BusStatus {
        self.first.status()
    }

    /// The broker of this hub.
    pub fn broker(&self) -> &BrokerSettings {
        &self.settings.broker
    }

    /// Publishes the halt of all edges, and waits for their answers. Returns the devices whose edges are heard and did not
    /// answer in time.
    ///
    /// # Errors
    /// [`NoEcho`]: the broker is away, or did not pass it on.
    pub async fn halt_all(&self) -> Result<Vec<String>, NoEcho> {
        let payload = Bytes::from_static(b"the page of a hub");
        let since = Instant::now();
        self.halt.publish(payload).await?;
        let over = (since + HALTED_WITHIN).max(Instant::now() + HALTED_AFTER_ECHO);
        loop {
            let edges = self.snapshots.read().await;
            let heard = edges.iter().filter(|edge| edge.presence == Presence::There);
            let unanswered: Vec<String> = heard.flat_map(|edge| edge.unanswered(since)).collect();
            if unanswered.is_empty() || Instant::now() >= over {
                return Ok(unanswered);
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl EdgeSeen {
    /// The devices whose session did not end since then: an edge that takes a halt ends all of them.
    fn unanswered(&self, since: Instant) -> Vec<String> {
        let is_old = |at: Option<Instant>| at.is_none_or(|at| at < since);
        if self.device_count == 0 || !is_old(self.ended_at) {
            return Vec::new();
        }
        let old = self.devices.iter().filter(|device| is_old(device.ended_at));
        let mut named: Vec<String> = old
            .map(|device| format!("{} at {}", device.address, self.name))
            .collect();
        if self.device_count > self.devices.len() {
            named.push(format!("others at {}", self.name));
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_hangs_does_not_keep_the_others_answers_back() {
        let snapshots = Snapshots::new(2);
        let seen = |name: &str| EdgeSeen {
            name: Name::new(name).expect("a name"),
            presence: Presence::There,
            version: String::new(),
            beat_age: None,
            device_count: 0,
            devices: Vec::new(),
            ended_at: None,
        };
        let mut asked = snapshots.asked();
        let answers = async {
            asked.changed().await.expect("a question");
            let number = *asked.borrow_and_update();
            snapshots.put(1, number, vec![seen("kitchen"), seen("attic")]);
        };
        let (edges, ()) = tokio::join!(snapshots.read(), answers);
        let names: Vec<_> = edges.iter().map(|edge| edge.name.as_str()).collect();
        assert_eq!(names, ["attic", "kitchen"]);
    }
}
