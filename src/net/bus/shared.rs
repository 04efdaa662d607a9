//! What publishers and the connection share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

use futures::task::AtomicWaker;
use tokio::time::Instant;

use super::queue::Queue;
use super::{BusStatus, Qos};

/// What publishers and the connection share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Whoever drives the connection.
    pub(super) driver: AtomicWaker,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) connected: bool,
    pub(super) status: BusStatus,
    pub(super) queue: Queue,
    pub(super) subscriptions: BTreeMap<String, Qos>,
    /// What the broker has not been told of them.
    pub(super) changes: VecDeque<Change>,
    pub(super) probe: Option<Probe>,
    /// Who waits for room.
    pub(super) publishers: Vec<Waker>,
}

pub(super) enum Change {
    Subscribe(String, Qos),
    Unsubscribe(String),
}

impl Change {
    pub(super) fn subscribed(&self) -> Option<(&str, Qos)> {
        match self {
            Self::Subscribe(topic, qos) => Some((topic, *qos)),
            Self::Unsubscribe(_) => None,
        }
    }
}

/// Something must be received meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    pub(super) since: Instant,
    pub(super) until: Instant,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on messages are taken.
    pub(super) fn up(&self) {
        let mut state = self.lock();
        state.connected = true;
        state.status.connected_since = Some(SystemTime::now());
        let all: Vec<_> = state
            .subscriptions
            .iter()
            .map(|(t, qos)| (t.clone(), *qos))
            .collect();
        state.changes = all
            .into_iter()
            .map(|(topic, qos)| Change::Subscribe(topic, qos))
            .collect();
        state.wake_publishers();
    }

    /// From now on none are, and those that wait are dropped.
    pub(super) fn down(&self) {
        let mut state = self.lock();
        state.connected = false;
        state.status.connected_since = None;
        state.queue.clear();
        state.changes.clear();
        state.probe = None;
        state.wake_publishers();
    }
}

impl State {
    pub(super) fn wake_publishers(&mut self) {
        self.publishers.drain(..).for_each(Waker::wake);
    }
}
