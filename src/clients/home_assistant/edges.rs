//! What the broker retains of edges and of devices, also of those that other hubs have.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::time::Instant;

use super::At;
use crate::device::fleet::documents::EdgeState;
use crate::device::fleet::names::Name;

/// Edges that are remembered.
const EDGES_MAX: usize = 4_096;
/// Devices that are remembered.
const DEVICES_MAX: usize = 32_768;

/// What the broker retains.
#[derive(Default)]
pub(super) struct Edges {
    pub(super) edges: BTreeMap<Name, EdgeEntry>,
    /// The devices that edges publish.
    births: BTreeSet<At>,
    /// The states of devices that this hub has not.
    pub(super) foreign: BTreeMap<At, Bytes>,
}

/// An edge that Home Assistant shows.
#[derive(Default)]
pub(super) struct EdgeEntry {
    pub(super) state: Option<EdgeState>,
    /// When its discovery is due.
    pub(super) due: Option<Instant>,
}

impl Edges {
    /// The state of an edge came. Its discovery is due if it is new, or has another version.
    pub(super) fn state(&mut self, edge: &Name, state: EdgeState) {
        if self.edges.len() >= EDGES_MAX && !self.edges.contains_key(edge) {
            return;
        }
        let entry = self.edges.entry(edge.clone()).or_default();
        let before = entry.state.as_ref().map(|state| &state.version);
        if before != Some(&state.version) {
            entry.due = Some(Instant::now());
        }
        entry.state = Some(state);
    }

    pub(super) fn is_online(&self, edge: &Name) -> bool {
        let entry = self.edges.get(edge);
        entry.is_some_and(|entry| entry.state.as_ref().is_some_and(|state| state.online))
    }

    pub(super) fn version(&self, edge: &Name) -> String {
        let state = self.edges.get(edge).and_then(|entry| entry.state.as_ref());
        state.map(|state| state.version.clone()).unwrap_or_default()
    }

    pub(super) fn birth(&mut self, at: At, is_there: bool) {
        if !is_there {
            self.births.remove(&at);
        } else if self.births.len() < DEVICES_MAX {
            self.births.insert(at);
        }
    }

    pub(super) fn has(&self, at: &At) -> bool {
        self.births.contains(at)
    }

    /// The state of a device that this hub has not came.
    pub(super) fn foreign(&mut self, at: At, payload: Bytes) {
        if self.foreign.len() < DEVICES_MAX || self.foreign.contains_key(&at) {
            self.foreign.insert(at, payload);
        }
    }

    /// A new connection: births and states come again.
    pub(super) fn begin(&mut self, now: Instant) {
        self.births.clear();
        self.foreign.clear();
        for edge in self.edges.values_mut() {
            edge.due = Some(now);
        }
    }
}
