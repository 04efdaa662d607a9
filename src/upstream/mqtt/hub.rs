//! A hub as an edge knows it: its lease, and what went between the two.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::fleet::beats::LeaseBeat;
use crate::device::fleet::clock::{Epoch, Millis};
use crate::device::fleet::documents::CLAIM_MAX;
use crate::device::fleet::flow::Flow;
use crate::device::fleet::gate::Lease;
use crate::device::fleet::names::{DeviceId, Name};

/// Frames that have not arrived for so many leases in a row are lost: the first lease may have overtaken them.
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
    /// How many frames were missing at least, and for how many leases. Negative: more arrived than were sent.
    missing: Option<(i32, u32)>,
    /// What was found lost, less what arrived twice.
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
        let was_live = state.lease.is_live(now);
        if !state.lease.renew(beat.nonce, now) {
            return false;
        }
        if !was_live {
            // What was lost while it was away moved nothing, and its outputs were stopped.
            state.flow.give_up();
            state.lost = beat.sent.wrapping_sub(self.received());
            state.missing = None;
        }
        state.flow.confirmed(beat.received);
        let missing = beat.sent.wrapping_sub(self.received()).wrapping_sub(state.lost) as i32;
        let (least, times) = match state.missing {
            Some((least, times)) if least.signum() == missing.signum() => {
                let least = if missing.abs() < least.abs() {
                    missing
                } else {
                    least
                };
                (least, times + 1)
            }
            _ => (missing, 1),
        };
        if least == 0 || times < LOST_AFTER {
            state.missing = Some((least, times)).filter(|_| least != 0);
            return false;
        }
        state.missing = None;
        state.lost = state.lost.wrapping_add(least as u32);
        least > 0
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

    /// Whether another frame may be sent to it; too many may be unconfirmed.
    pub(super) fn may_send(&self, now: Millis) -> bool {
        self.state().flow.may_send(now)
    }

    /// Counts a frame to it.
    pub(super) fn sent(&self, now: Millis) {
        self.state().flow.sent(now);
    }

    /// Remembers a claim until the hub has a lease, for as long as a lease lasts.
    pub(super) fn claimed(&self, devices: Vec<DeviceId>, until: Millis, now: Millis) {
        let mut state = self.state();
        state.claimed.retain(|(_, until)| until.since(now).is_some());
        state
            .claimed
            .extend(devices.into_iter().map(|device| (device, until)));
        let excess = state.claimed.len().saturating_sub(CLAIM_MAX);
        state.claimed.drain(..excess);
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
        assert!(!hub.answered(&lease(5, 1_850), Millis(1_860)));
    }

    #[test]
    fn frames_that_are_lost_all_the_time_are_found_lost() {
        let hub = Hub::new(Name::new("hub-1").expect("a name"), Epoch(1));
        // Half of them arrive.
        let lost = (1..=20_u32).filter(|n| {
            hub.frame_arrived();
            let at = n * 250;
            hub.answered(&lease(2 * n, at), Millis(at + 5))
        });
        assert!(lost.count() >= 5);
    }

    #[test]
    fn one_that_arrives_twice_hides_no_loss() {
        let hub = Hub::new(Name::new("hub-1").expect("a name"), Epoch(1));
        hub.frame_arrived();
        hub.frame_arrived();
        assert!(!hub.answered(&lease(1, 250), Millis(255)));
        assert!(!hub.answered(&lease(1, 500), Millis(505)));
        assert!(!hub.answered(&lease(2, 750), Millis(755)));
        assert!(hub.answered(&lease(2, 1_000), Millis(1_005)));
    }
}
