//! How often each address changed hands lately.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::defaults::TAKEOVER_WINDOW;
use crate::device::handshake::Address;

/// Below this many addresses, stale takeovers are not pruned.
const FEW_TAKEOVERS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Takeovers {
    times: HashMap<Address, VecDeque<Instant>>,
    /// How many addresses the last pruning kept.
    kept: usize,
}

impl Takeovers {
    /// The recent takeovers of this address.
    ///
    /// Stale entries of other addresses are pruned only when the table has doubled. After a Wi-Fi router restarts,
    /// every device takes over its own address, and pruning on each call would be quadratic.
    pub(super) fn of(&mut self, address: &Address) -> &mut VecDeque<Instant> {
        if self.times.len() > 2 * self.kept + FEW_TAKEOVERS {
            self.times.retain(|_, times| {
                times.retain(|t| t.elapsed() < TAKEOVER_WINDOW);
                !times.is_empty()
            });
            self.kept = self.times.len();
        }
        let times = self.times.entry(address.clone()).or_default();
        times.retain(|t| t.elapsed() < TAKEOVER_WINDOW);
        times
    }
}
