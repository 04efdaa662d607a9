//! Tells when the library has passed on all commands that it was given before.
//!
//! The library keeps a queue for each device, and its own stop goes through that queue only if it writes something: no
//! position has a stop. A stop of the gateway's own, which does not go through the queue, would then be overtaken by
//! moves that still wait there. A command that means nothing follows them through the queue, and stops here.

use std::sync::atomic::{AtomicU32, Ordering};

use buttplug_core::message::{OutputCommand, OutputValue};
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use tokio::sync::watch;
use uuid::{Uuid, uuid};

/// The feature of fences; no device has it.
const FEATURE: Uuid = uuid!("b1d4f0a2-93c7-4e0e-8a53-5f2c1d7e6a90");

/// The fences of a device.
#[derive(Debug, Default)]
pub(in super::super) struct Fence {
    sent: AtomicU32,
    passed: watch::Sender<u32>,
}

impl Fence {
    /// A command to send after all others of the library's device `device`, and its number. No two in a row are equal,
    /// since the library drops repetitions.
    pub(in super::super) fn command(&self, device: u32) -> (CheckedOutputCmdV4, u32) {
        let number = self.sent.fetch_add(1, Ordering::Relaxed) % 1_000_000 + 1;
        let value = OutputCommand::Vibrate(OutputValue::new(number as i32));
        (CheckedOutputCmdV4::new(1, device, 0, FEATURE, value), number)
    }

    /// Whether a frame of the library is a fence; if so, it has passed.
    pub(in super::super) fn passes(&self, mut features: impl Iterator<Item = Uuid>, frame: &[u8]) -> bool {
        if !features.any(|feature| feature == FEATURE) {
            return false;
        }
        let number = std::str::from_utf8(frame)
            .ok()
            .and_then(|text| text.trim().strip_prefix("V0")?.parse().ok());
        if let Some(number) = number {
            self.passed.send_replace(number);
        }
        true
    }

    /// Completes when the fence with this number has passed, or a later one. Cancel safe.
    pub(in super::super) async fn passed(&self, number: u32) {
        // The sender is this fence's own.
        let _ = self.passed.subscribe().wait_for(|passed| *passed >= number).await;
    }
}
