//! Which client last commanded which device: when that client goes, that device stops.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::registry::ConnectionId;

/// One client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId(u64);

/// What is left behind by a client that goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// No client remains: every device.
    Last,
    /// Others remain: the devices that this one commanded last.
    Owned(Vec<(u32, ConnectionId)>),
}

/// Shared by all clients.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    joined: u64,
    clients: HashSet<ClientId>,
    owners: HashMap<u32, (ClientId, ConnectionId)>,
}

impl Ownership {
    /// A client came.
    pub(super) fn join(&self) -> ClientId {
        let mut inner = self.lock();
        inner.joined += 1;
        let id = ClientId(inner.joined);
        inner.clients.insert(id);
        id
    }

    /// A client commands an output of a device, which is this connection of it.
    pub(super) fn commands(&self, client: ClientId, device_index: u32, connection: ConnectionId) {
        self.lock().owners.insert(device_index, (client, connection));
    }

    /// Nobody has the device in motion: it was stopped.
    pub(super) fn stopped(&self, device_index: u32) {
        self.lock().owners.remove(&device_index);
    }

    /// Whether a client that is still here commanded the device last.
    pub(super) fn is_owned(&self, device_index: u32) -> bool {
        self.lock().owners.contains_key(&device_index)
    }

    /// A client goes.
    pub(super) fn leave(&self, client: ClientId) -> Departure {
        let mut inner = self.lock();
        inner.clients.remove(&client);
        let mut owned = Vec::new();
        inner.owners.retain(|&index, &mut (owner, connection)| {
            if owner == client {
                owned.push((index, connection));
            }
            owner != client
        });
        if inner.clients.is_empty() {
            Departure::Last
        } else {
            Departure::Owned(owned)
        }
    }

    /// See [`crate::registry`]: what the lock guards is whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_goes_leaves_what_it_commanded_last_and_the_last_one_leaves_all() {
        let ownership = Ownership::default();
        let (a, b) = (ownership.join(), ownership.join());
        ownership.commands(a, 0, ConnectionId(10));
        ownership.commands(a, 1, ConnectionId(11));
        ownership.commands(b, 1, ConnectionId(11));
        assert_eq!(ownership.leave(a), Departure::Owned(vec![(0, ConnectionId(10))]));
        assert!(!ownership.is_owned(0));
        assert!(ownership.is_owned(1));
        assert_eq!(ownership.leave(b), Departure::Last);
        assert!(!ownership.is_owned(1));
    }

    #[test]
    fn a_device_that_was_stopped_is_nobodys() {
        let ownership = Ownership::default();
        let (a, _b) = (ownership.join(), ownership.join());
        ownership.commands(a, 0, ConnectionId(10));
        ownership.stopped(0);
        assert_eq!(ownership.leave(a), Departure::Owned(vec![]));
    }
}
