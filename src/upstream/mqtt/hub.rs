//! A hub as an edge knows it: its lease, and what went between the two.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::fleet::beats::LeaseBeat;
use crate::device::fleet::clock::{Epoch, Millis};
use crate::device::fleet::flow::Flow;
use crate::device::fleet::gate::Lease;
use crate::device::fleet::names::{DeviceId, Name};

/// A frame that has not arrived for so many leases in a row is lost: the first may have overtaken it.
const LOST_AFTER: u32 = 2;

/// One process of a hub.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) name: Name,
    pub(super) epoch: Epoch,
    /// Frames of its sessions that arrived, modulo 2^32.
    received: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lease: Lease,
    /// The frames that were sent to it.
    flow: Flow,
    /// The frames that are missing, and since how many leases.
    missing: Option<(u32, u32)>,
    /// What was missing when it was last found lost.
    lost: u32,
    /// Devices that it claimed before it had a lease, until when that counts.
    claimed: Vec<(DeviceId, Millis)>,
}

impl Hub {
    pub(super) fn new(name: Name, epoch: Epoch) -> Self {
        Self {
            name,
            epoch,
            received: AtomicU32::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lease(&self) -> Lease {
        self.state().lease
    }

    /// Its lease is over, since it is known to be gone, or nothing can come from it.
    pub(super) fn end_lease(&self) {
        self.state().lease.end();
    }

    /// It answered a beat. Returns whether frames of it were lost on the way.
    pub(super) fn answered(&self, beat: &LeaseBeat, now: Millis) -> bool {
        let mut state = self.state();
        if !state.lease.renew(beat.nonce, now) {
            return false;
        }
        state.flow.confirmed(beat.received);
        let missing = beat.sent.wrapping_sub(self.received()).wrapping_sub(state.lost);
        // What arrived after the lease was sent makes the number negative.
        if missing == 0 || missing > i32::MAX as u32 {
            state.missing = None;
            return false;
        }
        let times = match state.missing {
            Some((before, times)) if before == missing => times + 1,
            _ => 1,
        };
        state.missing = Some((missing, times));
        if times < LOST_AFTER {
            return false;
        }
        state.missing = None;
        state.lost = state.lost.wrapping_add(missing);
        true
    }

    /// A frame of one of its sessions arrived.
    pub(super) fn frame_arrived(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn received(&self) -> u32 {
        self.received.load(Ordering::Relaxed)
    }

    /// The frames of its sessions that are not on their way any more: they arrived, or are lost.
    pub(super) fn settled(&self) -> u32 {
        self.received().wrapping_add(self.state().lost)
    }

    /// Counts a frame to it; `false` if too many are unconfirmed for another one.
    pub(super) fn may_send(&self, now: Millis) -> bool {
        !self.state().flow.is_overdue(now)
    }

    pub(super) fn sent(&self, now: Millis) {
        self.state().flow.sent(now);
    }

    /// Remembers a claim until the hub has a lease, for as long as a lease lasts.
    pub(super) fn claimed(&self, devices: &[DeviceId], until: Millis) {
        let mut state = self.state();
        for device in devices {
            state.claimed.retain(|(known, _)| known != device);
            state.claimed.push((device.clone(), until));
        }
    }

    /// Takes the claims that waited for a lease.
    pub(super) fn take_claimed(&self, now: Millis) -> Vec<DeviceId> {
        let claimed = std::mem::take(&mut self.state().claimed);
        claimed
            .into_iter()
            .filter_map(|(device, until)| until.since(now).is_some().then_some(device))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(sent: u32, nonce: u32) -> LeaseBeat {
        LeaseBeat {
            hub_epoch: Epoch(1),
            epoch: Epoch(2),
            nonce: Millis(nonce),
            sent,
            received: 0,
        }
    }

    #[test]
    fn a_frame_that_never_comes_is_found_lost_once() {
        let hub = Hub::new(Name::new("hub-1").expect("a name"), Epoch(1));
        hub.frame_arrived();
        assert!(!hub.answered(&lease(1, 100), Millis(110)));
        // On its way for one beat is not lost.
        assert!(!hub.answered(&lease(2, 350), Millis(360)));
        hub.frame_arrived();
        assert!(!hub.answered(&lease(2, 600), Millis(610)));
        assert!(!hub.answered(&lease(4, 850), Millis(860)));
        assert!(hub.answered(&lease(4, 1_100), Millis(1_110)));
        assert!(!hub.answered(&lease(4, 1_350), Millis(1_360)));
        // A frame that overtakes the lease is none that is missing.
        hub.frame_arrived();
        assert!(!hub.answered(&lease(4, 1_600), Millis(1_610)));
    }
}
