//! Who commanded which device last: what has to stop when a client goes.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::peer::ConnectionId;

/// Records of devices that are gone which are kept in any case.
const DEPARTED: usize = 64;

/// A client, from its connection to its end. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId(pub(super) u64);

/// The last command that a device had, to see later whether another one came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

/// Shared by all clients.
#[derive(Debug, Default)]
pub(super) struct Ownership(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Clients that have shaken hands.
    clients: HashSet<ClientId>,
    devices: HashMap<u32, Commanded>,
    commands: u64,
}

/// A device that had a command.
#[derive(Debug)]
struct Commanded {
    /// A device that comes back under the same index was not commanded yet.
    connection: ConnectionId,
    by: ClientId,
    mark: u64,
}

/// Which devices a client leaves running.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// No client remains: all that are listed.
    All,
    /// Those that it commanded last.
    These(Vec<(u32, ConnectionId)>),
}

impl Ownership {
    /// A client has shaken hands.
    pub(super) fn join(&self, client: ClientId) {
        self.lock().clients.insert(client);
    }

    /// A client commanded an output of a device.
    pub(super) fn commanded(&self, client: ClientId, index: u32, connection: ConnectionId) {
        let mut inner = self.lock();
        inner.commands += 1;
        let mark = inner.commands;
        let device = Commanded {
            connection,
            by: client,
            mark,
        };
        inner.devices.insert(index, device);
    }

    /// A client has gone: what is to be stopped. One that never joined leaves nothing.
    pub(super) fn leave(&self, client: ClientId) -> Left {
        let none_remains = {
            let mut inner = self.lock();
            let joined = inner.clients.remove(&client);
            joined && inner.clients.is_empty()
        };
        if none_remains {
            Left::All
        } else {
            Left::These(self.of(client))
        }
    }

    /// The devices that a client commanded last.
    pub(super) fn of(&self, client: ClientId) -> Vec<(u32, ConnectionId)> {
        let inner = self.lock();
        let devices = inner.devices.iter().filter(|(_, device)| device.by == client);
        devices
            .map(|(&index, device)| (index, device.connection))
            .collect()
    }

    /// The device's last command; see [`Ownership::is_last`].
    pub(super) fn mark(&self, index: u32, connection: ConnectionId) -> Mark {
        let inner = self.lock();
        let device = inner.devices.get(&index).filter(|d| d.connection == connection);
        Mark(device.map_or(0, |device| device.mark))
    }

    /// Whether no command came since then.
    pub(super) fn is_last(&self, index: u32, connection: ConnectionId, mark: Mark) -> bool {
        self.mark(index, connection) == mark
    }

    /// Forgets devices that are gone, once they may be more than those that are `listed`: to look at all of them at
    /// each departure would take long where there are many.
    pub(super) fn forget_departed(&self, listed: usize, connection_of: impl Fn(u32) -> Option<ConnectionId>) {
        let devices = &mut self.lock().devices;
        if devices.len() > 2 * listed + DEPARTED {
            devices.retain(|&index, device| connection_of(index) == Some(device.connection));
        }
    }

    /// What the lock guards is whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId(1);
    const B: ClientId = ClientId(2);
    const FIRST: ConnectionId = ConnectionId(10);
    const SECOND: ConnectionId = ConnectionId(11);

    fn both() -> Ownership {
        let ownership = Ownership::default();
        ownership.join(A);
        ownership.join(B);
        ownership
    }

    #[test]
    fn a_client_leaves_what_it_commanded_last() {
        let ownership = both();
        ownership.commanded(A, 0, FIRST);
        ownership.commanded(A, 1, SECOND);
        ownership.commanded(B, 1, SECOND);
        assert_eq!(ownership.leave(A), Left::These(vec![(0, FIRST)]));
    }

    #[test]
    fn the_last_client_leaves_everything() {
        let ownership = both();
        ownership.commanded(A, 0, FIRST);
        ownership.leave(A);
        assert_eq!(ownership.leave(B), Left::All);
    }

    #[test]
    fn a_connection_that_never_shook_hands_is_no_client() {
        let ownership = Ownership::default();
        assert_eq!(ownership.leave(A), Left::These(Vec::new()));
        ownership.join(B);
        assert_eq!(ownership.leave(A), Left::These(Vec::new()));
    }

    #[test]
    fn devices_that_are_gone_are_forgotten_in_time() {
        let ownership = both();
        for index in 0..10_000 {
            ownership.commanded(A, index, FIRST);
            // Device 0 stays, 1 left and came back, and all others leave at once.
            ownership.forget_departed(2, |index| match index {
                0 => Some(FIRST),
                1 => Some(SECOND),
                _ => None,
            });
            assert!(ownership.lock().devices.len() <= 4 + DEPARTED);
        }
        let Left::These(left) = ownership.leave(A) else {
            panic!("another client is there")
        };
        assert!(left.contains(&(0, FIRST)));
    }

    #[test]
    fn a_mark_tells_whether_another_command_came() {
        let ownership = both();
        let none = ownership.mark(0, FIRST);
        assert!(ownership.is_last(0, FIRST, none));
        ownership.commanded(A, 0, FIRST);
        assert!(!ownership.is_last(0, FIRST, none));
        let mark = ownership.mark(0, FIRST);
        ownership.commanded(B, 1, SECOND);
        assert!(ownership.is_last(0, FIRST, mark));
        ownership.commanded(B, 0, FIRST);
        assert!(!ownership.is_last(0, FIRST, mark));
    }
}
