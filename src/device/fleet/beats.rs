//! The beats of an edge and the leases with which hubs answer them: proof that a hub is there now.
//!
//! Brokers and sockets queue, so that a message arrives proves nothing about its sender. A hub returns the newest time of
//! the edge's own clock that it heard; the edge knows from it how fresh the hub's knowledge is.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::clock::{Epoch, Millis};

/// Hubs that a beat names at most. A stranger's beat costs no more than this.
const HUBS_MAX: usize = 64;

/// The clock of an edge, and how many frames of each hub it has received. On the wire: epoch, nonce, then for each hub its
/// epoch and the number; the most significant byte first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The process of the edge.
    pub epoch: Epoch,
    /// Its clock.
    pub nonce: Millis,
    /// The frames received from each hub, modulo 2^32.
    pub received: Vec<(Epoch, u32)>,
}

impl Beat {
    /// The message.
    pub fn write(&self) -> Bytes {
        let mut message = BytesMut::with_capacity(12 + 12 * self.received.len());
        message.put_u64(self.epoch.0);
        message.put_u32(self.nonce.0);
        for (hub, received) in self.received.iter().take(HUBS_MAX) {
            message.put_u64(hub.0);
            message.put_u32(*received);
        }
        message.freeze()
    }

    /// Reads a message of a stranger; `None` if it is no beat.
    pub fn read(mut message: &[u8]) -> Option<Self> {
        if message.len() < 12 || !message.len().is_multiple_of(12) || message.len() > 12 + 12 * HUBS_MAX {
            return None;
        }
        let (epoch, nonce) = (Epoch(message.get_u64()), Millis(message.get_u32()));
        let mut received = Vec::with_capacity(message.len() / 12);
        while message.has_remaining() {
            received.push((Epoch(message.get_u64()), message.get_u32()));
        }
        Some(Self {
            epoch,
            nonce,
            received,
        })
    }

    /// How many frames of this hub the edge has received; `None` if the beat does not name it.
    pub fn received_from(&self, hub: Epoch) -> Option<u32> {
        self.received
            .iter()
            .find_map(|(epoch, received)| (*epoch == hub).then_some(*received))
    }
}

/// A hub's answer to a beat. On the wire: both epochs, the nonce, frames sent and received; the most significant byte
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseBeat {
    /// The process of the hub.
    pub hub_epoch: Epoch,
    /// The process of the edge whose clock the nonce is of.
    pub epoch: Epoch,
    /// The newest time of the edge's clock that the hub heard.
    pub nonce: Millis,
    /// The frames that the hub has sent to devices of this edge, modulo 2^32.
    pub sent: u32,
    /// The frames that it has received from devices of this edge, modulo 2^32.
    pub received: u32,
}

impl LeaseBeat {
    const BYTES: usize = 28;

    /// The message.
    pub fn write(&self) -> Bytes {
        let mut message = BytesMut::with_capacity(Self::BYTES);
        message.put_u64(self.hub_epoch.0);
        message.put_u64(self.epoch.0);
        message.put_u32(self.nonce.0);
        message.put_u32(self.sent);
        message.put_u32(self.received);
        message.freeze()
    }

    /// Reads a message of a stranger; `None` if it is no lease.
    pub fn read(mut message: &[u8]) -> Option<Self> {
        (message.len() == Self::BYTES).then(|| Self {
            hub_epoch: Epoch(message.get_u64()),
            epoch: Epoch(message.get_u64()),
            nonce: Millis(message.get_u32()),
            sent: message.get_u32(),
            received: message.get_u32(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(epoch: u64, nonce: u32, received in proptest::collection::vec(any::<(u64, u32)>(), 0..HUBS_MAX)) {
            let received = received.into_iter().map(|(hub, n)| (Epoch(hub), n)).collect();
            let beat = Beat { epoch: Epoch(epoch), nonce: Millis(nonce), received };
            prop_assert_eq!(Beat::read(&beat.write()), Some(beat));
            let lease = LeaseBeat { hub_epoch: Epoch(epoch), epoch: Epoch(!epoch), nonce: Millis(nonce), sent: nonce, received: 1 };
            prop_assert_eq!(LeaseBeat::read(&lease.write()), Some(lease));
        }

        #[test]
        fn strangers_bytes_are_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..99)) {
            if let Some(beat) = Beat::read(&message) {
                prop_assert_eq!(&beat.write()[..], &message[..]);
            }
            if let Some(lease) = LeaseBeat::read(&message) {
                prop_assert_eq!(&lease.write()[..], &message[..]);
            }
        }
    }
}
