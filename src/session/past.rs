//! Devices that left or were refused: what their owner wants to know when one is missing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::registry::Totals;
use crate::defaults::PAST_DEVICES_MAX;
use crate::device::refusal::Refusal;

/// A device that is not connected any more, or never was.
#[derive(Clone, Debug, PartialEq)]
pub struct PastDevice {
    /// Its address; for a peer that named none, where it came from.
    pub address: String,
    /// Its identifier; empty if it named none.
    pub identifier: String,
    /// Where it connected from, for display.
    pub peer: String,
    /// The way in.
    pub way: &'static str,
    /// When it left, or was last refused.
    pub at: SystemTime,
    /// Why it left or was refused, in words.
    pub reason: String,
    /// What its owner can do about it.
    pub hint: Option<String>,
    /// The refusal; `None` for a device that left.
    pub refusal: Option<Refusal>,
    /// How often it was refused since it was last connected; 0 for a device that left.
    pub refused_times: u32,
    /// What passed in its last session.
    pub totals: Totals,
}

/// The devices that left or were refused, one record for each address. At most [`PAST_DEVICES_MAX`]: the oldest records
/// are dropped first.
#[derive(Debug, Default)]
pub struct Past(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    devices: VecDeque<PastDevice>,
    /// The addresses that were forgotten last.
    forgotten: VecDeque<String>,
    /// How many were forgotten altogether.
    forgotten_count: u64,
}

impl Past {
    /// The records, oldest first.
    pub fn devices(&self) -> Vec<PastDevice> {
        self.lock().devices.iter().cloned().collect()
    }

    /// Replaces the record of this address.
    pub(crate) fn record(&self, mut device: PastDevice) {
        let devices = &mut self.lock().devices;
        if let Some(n) = devices.iter().position(|d| d.address == device.address)
            && let Some(earlier) = devices.remove(n)
            && device.refused_times > 0
        {
            device.refused_times = device.refused_times.saturating_add(earlier.refused_times);
        }
        if devices.len() >= PAST_DEVICES_MAX {
            devices.pop_front();
        }
        devices.push_back(device);
    }

    /// Drops the record of this address, because its device is back.
    pub(crate) fn remove(&self, address: &str) -> bool {
        let devices = &mut self.lock().devices;
        let before = devices.len();
        devices.retain(|device| device.address != address);
        devices.len() < before
    }

    /// Drops the record of this address because its user wants that; returns whether there was one.
    pub fn forget(&self, address: &str) -> bool {
        if !self.remove(address) {
            return false;
        }
        let mut records = self.lock();
        if records.forgotten.len() >= PAST_DEVICES_MAX {
            records.forgotten.pop_front();
        }
        records.forgotten.push_back(address.to_owned());
        records.forgotten_count += 1;
        true
    }

    /// The addresses that users had forgotten after the first `seen` ones, and how many there are by now.
    pub fn forgotten_after(&self, seen: u64) -> (Vec<String>, u64) {
        let records = self.lock();
        let new = usize::try_from(records.forgotten_count.saturating_sub(seen)).unwrap_or(usize::MAX);
        let skip = records.forgotten.len().saturating_sub(new);
        (
            records.forgotten.iter().skip(skip).cloned().collect(),
            records.forgotten_count,
        )
    }

    /// No code here panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str) -> PastDevice {
        PastDevice {
            address: address.to_owned(),
            identifier: String::new(),
            peer: "ws 127.0.0.1:1".to_owned(),
            way: "ws",
            at: SystemTime::UNIX_EPOCH,
            reason: "no".to_owned(),
            hint: None,
            refusal: None,
            refused_times: 1,
            totals: Totals::default(),
        }
    }

    #[test]
    fn refusals_of_one_device_are_counted_and_strangers_are_bounded() {
        let past = Past::default();
        for _ in 0..3 {
            past.record(refused("one"));
        }
        assert_eq!(past.devices().len(), 1);
        assert_eq!(past.devices()[0].refused_times, 3);
        for n in 0..2 * PAST_DEVICES_MAX {
            past.record(refused(&n.to_string()));
        }
        assert_eq!(past.devices().len(), PAST_DEVICES_MAX);
        let newest = (2 * PAST_DEVICES_MAX - 1).to_string();
        assert!(past.forget(&newest));
        assert!(!past.forget("one"), "the oldest was dropped");
    }

    #[test]
    fn what_users_had_forgotten_is_seen_once() {
        let past = Past::default();
        for address in ["one", "two", "three"] {
            past.record(refused(address));
        }
        assert!(past.forget("one"));
        assert!(!past.forget("one"));
        // It is back.
        assert!(past.remove("two"));
        let (forgotten, seen) = past.forgotten_after(0);
        assert_eq!(forgotten, ["one"]);
        assert!(past.forget("three"));
        assert_eq!(past.forgotten_after(seen).0, ["three"]);
        assert!(past.forgotten_after(seen + 1).0.is_empty());
    }
}
