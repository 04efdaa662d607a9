//! Keeps a stop of the gateway's own from being overtaken by moves that the library still holds.
//!
//! The library queues a device's commands, and holds the last one back for the user's message gap. Its own stop goes
//! through that queue only if it writes something, and a position has no stop. So a command without effect is queued
//! before each stop. Until that command comes out of the queue, moves that come out are older than the stop, and are
//! dropped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use buttplug_core::message::{OutputCommand, OutputValue};
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use tokio::sync::watch;
use uuid::{Uuid, uuid};

/// The feature of fences; no device has it.
const FEATURE: Uuid = uuid!("b1d4f0a2-93c7-4e0e-8a53-5f2c1d7e6a90");

/// The fences of a device.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Fence(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The number of the newest.
    newest: AtomicU32,
    /// The numbers of those that are in the queue, or are about to be.
    pending: watch::Sender<BTreeSet<u32>>,
}

/// A fence that is not queued yet. Dropping it removes the fence: moves must not be dropped until one passes that never
/// comes.
pub(in super::super) struct Unqueued {
    fence: Fence,
    number: u32,
    is_queued: bool,
}

impl Unqueued {
    /// Records that the library has queued the fence.
    pub(in super::super) fn queued(mut self) {
        self.is_queued = true;
    }
}

impl Drop for Unqueued {
    fn drop(&mut self) {
        if !self.is_queued {
            // Earlier fences may still be in the queue.
            self.fence.0.pending.send_modify(|pending| {
                pending.remove(&self.number);
            });
        }
    }
}

impl Fence {
    /// Begins a stop: the command to queue, for the library's device `device`. No two in a row are equal, since the
    /// library drops repetitions.
    pub(in super::super) fn begin(&self, device: u32) -> (CheckedOutputCmdV4, Unqueued) {
        let number = self.0.newest.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        self.0.pending.send_modify(|pending| {
            pending.insert(number);
        });
        let value = OutputCommand::Vibrate(OutputValue::new(number.cast_signed() & i32::MAX));
        let unqueued = Unqueued {
            fence: self.clone(),
            number,
            is_queued: false,
        };
        (CheckedOutputCmdV4::new(1, device, 0, FEATURE, value), unqueued)
    }

    /// Whether a frame of the library belongs to a fence; if so, records that the fence has passed.
    pub(in super::super) fn passes(&self, mut features: impl Iterator<Item = Uuid>, frame: &[u8]) -> bool {
        if !features.any(|feature| feature == FEATURE) {
            return false;
        }
        let text = std::str::from_utf8(frame).unwrap_or_default();
        if let Some(number) = text
            .trim()
            .strip_prefix("V0")
            .and_then(|number| number.parse::<u32>().ok())
        {
            // The queue keeps its order.
            (self.0.pending).send_modify(|pending| pending.retain(|other| *other > number));
        }
        true
    }

    /// Whether what the library writes now is older than a stop.
    pub(in super::super) fn is_pending(&self) -> bool {
        !self.0.pending.borrow().is_empty()
    }

    /// Completes when no fence is pending. Cancel safe.
    pub(in super::super) async fn all_passed(&self) {
        // The sender is this fence's own.
        let _ = self.0.pending.subscribe().wait_for(BTreeSet::is_empty).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame that the library writes for a fence.
    fn frame(command: &CheckedOutputCmdV4) -> String {
        format!("V0{:02}\n", command.output_command().value())
    }

    #[test]
    fn moves_are_older_than_a_stop_until_its_fence_comes_out() {
        let fence = Fence::default();
        assert!(!fence.is_pending());
        let (first, unqueued) = fence.begin(0);
        unqueued.queued();
        let (second, unqueued) = fence.begin(0);
        unqueued.queued();
        assert_ne!(first, second);
        assert!(!fence.passes([Uuid::nil()].into_iter(), b"V099\n"), "a move");
        for (command, is_pending) in [(&first, true), (&second, false)] {
            assert!(fence.is_pending());
            assert!(fence.passes([command.feature_id()].into_iter(), frame(command).as_bytes()));
            assert_eq!(fence.is_pending(), is_pending);
        }
    }

    #[test]
    fn a_fence_that_is_not_queued_holds_nothing_back() {
        let fence = Fence::default();
        drop(fence.begin(0));
        assert!(!fence.is_pending());
        let (first, unqueued) = fence.begin(0);
        unqueued.queued();
        let (_, second) = fence.begin(0);
        let (_, third) = fence.begin(0);
        drop(third);
        drop(second);
        assert!(fence.is_pending(), "the first one is in the queue");
        assert!(fence.passes([FEATURE].into_iter(), frame(&first).as_bytes()));
        assert!(!fence.is_pending());
    }
}
