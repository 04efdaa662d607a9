//! What passed in a session, and what its device reported of itself.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::device::fleet::gate::Why;
use crate::device::frame::Frame;

/// Counts a session's frames, passed on and dropped.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames written to the device.
    pub to_device: AtomicU64,
    /// Frames that the device sent.
    pub from_device: AtomicU64,
    /// Bytes of the frames written to the device.
    pub bytes_to_device: AtomicU64,
    /// Bytes of the frames that the device sent.
    pub bytes_from_device: AtomicU64,
    /// Frames of the device that were dropped, the oldest first, because upstream was too slow.
    pub dropped: AtomicU64,
    /// Frames of a hub that moved nothing.
    pub refused: Refused,
}

/// Counts the frames of a hub that an edge did not let through, by the reason.
#[derive(Debug, Default)]
pub struct Refused([AtomicU64; Why::ALL.len()]);

impl Refused {
    /// Adds one.
    pub(crate) fn count(&self, why: Why) {
        Counters::count(&self.0[why as usize]);
    }

    /// How many there were.
    pub fn number(&self, why: Why) -> u64 {
        self.0[why as usize].load(Ordering::Relaxed)
    }
}

/// The values of [`Counters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames written to the device.
    pub to_device: u64,
    /// Frames that the device sent.
    pub from_device: u64,
    /// Frames of the device that were dropped.
    pub dropped: u64,
    /// Bytes written to the device.
    pub bytes_to_device: u64,
    /// Bytes that the device sent.
    pub bytes_from_device: u64,
}

impl Counters {
    /// Adds one.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_to_device(&self, frame: &Frame) {
        Self::count(&self.to_device);
        self.bytes_to_device
            .fetch_add(frame.0.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_from_device(&self, frame: &Frame) {
        Self::count(&self.from_device);
        self.bytes_from_device
            .fetch_add(frame.0.len() as u64, Ordering::Relaxed);
    }

    /// The values now. Frames that pass meanwhile may be in some of them.
    pub fn totals(&self) -> Totals {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            to_device: value(&self.to_device),
            from_device: value(&self.from_device),
            dropped: value(&self.dropped),
            bytes_to_device: value(&self.bytes_to_device),
            bytes_from_device: value(&self.bytes_from_device),
        }
    }
}

/// A battery level that a device reported.
#[derive(Debug)]
pub struct Battery(AtomicU8);

impl Default for Battery {
    fn default() -> Self {
        Self(AtomicU8::new(Self::UNKNOWN))
    }
}

impl Battery {
    const UNKNOWN: u8 = u8::MAX;

    /// Records a level in percent; one over 100 is none.
    pub(crate) fn report(&self, percent: u8) {
        let level = if percent <= 100 { percent } else { Self::UNKNOWN };
        self.0.store(level, Ordering::Relaxed);
    }

    /// The level in percent, if any was reported.
    pub fn percent(&self) -> Option<u8> {
        let level = self.0.load(Ordering::Relaxed);
        (level != Self::UNKNOWN).then_some(level)
    }
}
