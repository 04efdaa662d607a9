//! Records which client commanded which device last, and so what has to stop when a client leaves.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::peer::ConnectionId;

/// Records of disconnected devices that may stay before [`Ownership::forget_departed`] scans for them.
const DEPARTED: usize = 64;

/// One connection of a client. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId(pub(super) u64);

/// The number of a device's last command, to detect later whether it was superseded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommandNumber(u64);

/// Shared by all clients.
#[derive(Debug, Default)]
pub(super) struct Ownership(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Clients that have completed their handshake.
    clients: HashSet<ClientId>,
    devices: HashMap<u32, Commanded>,
    commands: u64,
}

/// A device that was commanded.
#[derive(Debug)]
struct Commanded {
    /// Tells a device from one that reconnects under the same index, which was not commanded yet.
    connection: ConnectionId,
    by: ClientId,
    number: u64,
}

/// The devices to stop when a client leaves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToStop {
    /// No client remains: all listed devices.
    All,
    /// The devices that the client commanded last.
    These(Vec<(u32, ConnectionId)>),
}

impl Ownership {
    /// Registers a client after its handshake.
    pub(super) fn join(&self, client: ClientId) {
        self.lock().clients.insert(client);
    }

    /// Records that a client commanded an output of a device.
    pub(super) fn commanded(&self, client: ClientId, index: u32, connection: ConnectionId) {
        let mut inner = self.lock();
        inner.commands += 1;
        let number = inner.commands;
        let device = Commanded {
            connection,
            by: client,
            number,
        };
        inner.devices.insert(index, device);
    }

    /// Removes a client and returns what has to stop: nothing if the client never joined.
    pub(super) fn leave(&self, client: ClientId) -> ToStop {
        let none_remains = {
            let mut inner = self.lock();
            let joined = inner.clients.remove(&client);
            joined && inner.clients.is_empty()
        };
        if none_remains {
            ToStop::All
        } else {
            ToStop::These(self.devices_of(client))
        }
    }

    /// The devices whose last command came from this client.
    pub(super) fn devices_of(&self, client: ClientId) -> Vec<(u32, ConnectionId)> {
        let inner = self.lock();
        let devices = inner.devices.iter().filter(|(_, device)| device.by == client);
        devices
            .map(|(&index, device)| (index, device.connection))
            .collect()
    }

    /// The client whose command was the device's last one, if it is still connected.
    pub(super) fn driver(&self, index: u32, connection: ConnectionId) -> Option<u64> {
        let inner = self.lock();
        let device = inner.devices.get(&index).filter(|d| d.connection == connection)?;
        inner.clients.contains(&device.by).then_some(device.by.0)
    }

    /// The device's last command; see [`Ownership::is_still_last`].
    pub(super) fn last_command(&self, index: u32, connection: ConnectionId) -> CommandNumber {
        let inner = self.lock();
        let device = inner.devices.get(&index).filter(|d| d.connection == connection);
        CommandNumber(device.map_or(0, |device| device.number))
    }

    /// Whether no command has superseded this one.
    pub(super) fn is_still_last(&self, index: u32, connection: ConnectionId, last: CommandNumber) -> bool {
        self.last_command(index, connection) == last
    }

    /// Forgets disconnected devices, but only once they may outnumber the `listed` ones: a scan at every departure
    /// would be slow with many devices.
    pub(super) fn forget_departed(&self, listed: usize, connection_of: impl Fn(u32) -> Option<ConnectionId>) {
        let devices = &mut self.lock().devices;
        if devices.len() > 2 * listed + DEPARTED {
            devices.retain(|&index, device| connection_of(index) == Some(device.connection));
        }
    }

    /// A poisoned lock is safe to use: the data is consistent between any two statements.
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
    fn the_devices_that_a_client_commanded_last_stop_when_it_leaves() {
        let ownership = both();
        ownership.commanded(A, 0, FIRST);
        ownership.commanded(A, 1, SECOND);
        ownership.commanded(B, 1, SECOND);
        assert_eq!(ownership.leave(A), ToStop::These(vec![(0, FIRST)]));
    }

    #[test]
    fn everything_stops_when_the_last_client_leaves() {
        let ownership = both();
        ownership.commanded(A, 0, FIRST);
        ownership.leave(A);
        assert_eq!(ownership.leave(B), ToStop::All);
    }

    #[test]
    fn a_connection_that_never_shook_hands_is_no_client() {
        let ownership = Ownership::default();
        assert_eq!(ownership.leave(A), ToStop::These(Vec::new()));
        ownership.join(B);
        assert_eq!(ownership.leave(A), ToStop::These(Vec::new()));
    }

    #[test]
    fn devices_that_are_gone_are_forgotten_in_time() {
        let ownership = both();
        for index in 0..10_000 {
            ownership.commanded(A, index, FIRST);
            // Device 0 stays, 1 reconnected, and all others disconnect at once.
            ownership.forget_departed(2, |index| match index {
                0 => Some(FIRST),
                1 => Some(SECOND),
                _ => None,
            });
            assert!(ownership.lock().devices.len() <= 4 + DEPARTED);
        }
        let ToStop::These(left) = ownership.leave(A) else {
            panic!("another client is connected")
        };
        assert!(left.contains(&(0, FIRST)));
    }

    #[test]
    fn a_command_number_shows_whether_another_command_came() {
        let ownership = both();
        let none = ownership.last_command(0, FIRST);
        assert!(ownership.is_still_last(0, FIRST, none));
        ownership.commanded(A, 0, FIRST);
        assert!(!ownership.is_still_last(0, FIRST, none));
        let last = ownership.last_command(0, FIRST);
        ownership.commanded(B, 1, SECOND);
        assert!(ownership.is_still_last(0, FIRST, last));
        ownership.commanded(B, 0, FIRST);
        assert!(!ownership.is_still_last(0, FIRST, last));
    }
}
