//! The stops of devices that left while they could not be stopped.

use std::collections::HashMap;

use crate::defaults::PENDING_STOPS_MAX;
use crate::device::frame::Frame;
use crate::device::handshake::Address;

/// Pending stops of devices that left while they could not be stopped; written when the devices come back.
#[derive(Debug, Default)]
pub(super) struct PendingStops {
    pub(super) stops: HashMap<Address, (u64, Vec<Frame>)>,
    added: u64,
}

impl PendingStops {
    /// At the bound, the oldest entry is evicted, never-commanded devices first: strangers cannot push out a device
    /// that may be running.
    pub(super) fn add(&mut self, address: Address, frames: Vec<Frame>) {
        if self.stops.len() >= PENDING_STOPS_MAX
            && !self.stops.contains_key(&address)
            && let Some(oldest) =
                (self.stops.iter()).min_by_key(|(_, (added, frames))| (!frames.is_empty(), *added))
        {
            let oldest = oldest.0.clone();
            self.stops.remove(&oldest);
        }
        self.added += 1;
        self.stops.insert(address, (self.added, frames));
    }

    pub(super) fn take(&mut self, address: &Address) -> Option<Vec<Frame>> {
        self.stops.remove(address).map(|(_, frames)| frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_push_out_a_device_that_may_be_running() {
        let address = |n: usize| Address::new(n.to_string()).unwrap();
        let stop = vec![Frame::from(&b"Vibrate:0;"[..])];
        let mut pending = PendingStops::default();
        pending.add(address(0), stop.clone());
        for n in 1..2 * PENDING_STOPS_MAX {
            pending.add(address(n), Vec::new());
        }
        assert_eq!(pending.stops.len(), PENDING_STOPS_MAX);
        assert_eq!(pending.take(&address(0)), Some(stop));
        assert_eq!(pending.take(&address(1)), None, "the oldest stranger");
        assert_eq!(
            pending.take(&address(2 * PENDING_STOPS_MAX - 1)),
            Some(Vec::new())
        );
    }
}
