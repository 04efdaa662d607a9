//! How long to wait before the next try: twice as long each time, with chance in it, up to a cap.

/// The pauses between tries to reach the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: u64,
    cap: u64,
    lasted: u64,
    failures: u32,
}

impl Backoff {
    /// Pauses of about `first`, twice `first` and so on, never over `cap`. After a connection that was up for `lasted`
    /// the count begins anew: what accepts and hangs up at once must not be dialled in a tight loop.
    pub(crate) fn new(first: u64, cap: u64, lasted: u64) -> Self {
        Self {
            first,
            cap,
            lasted,
            failures: 0,
        }
    }

    /// A connection that was up for that long has ended.
    pub(crate) fn connected_for(&mut self, up: u64) {
        if up >= self.lasted {
            self.failures = 0;
        }
    }

    /// The pause before the next try: between half of the doubled one and all of it, as `chance` has it, so that the
    /// boards of a room do not come back in step.
    pub(crate) fn next_pause(&mut self, chance: u32) -> u64 {
        let doubled = 1_u64
            .checked_shl(self.failures)
            .and_then(|factor| self.first.checked_mul(factor))
            .unwrap_or(self.cap)
            .min(self.cap);
        self.failures = (self.failures + 1).min(63);
        let half = doubled / 2;
        half + u64::from(chance) % (doubled - half + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let mut backoff = Backoff::new(100, 1_000, 5_000);
        for wanted in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.next_pause(7);
            assert!(pause >= wanted / 2 && pause <= wanted, "{pause} for {wanted}");
        }
        backoff.connected_for(4_999);
        assert!(backoff.next_pause(7) >= 500);
        backoff.connected_for(5_000);
        assert!(backoff.next_pause(7) <= 100);
    }

    proptest! {
        #[test]
        fn no_pause_is_over_the_cap(first in 0_u64..100_000, cap in 0_u64..100_000, tries in 0_usize..200, chance: u32) {
            let mut backoff = Backoff::new(first, cap, 1);
            for _ in 0..tries {
                prop_assert!(backoff.next_pause(chance) <= cap);
            }
        }
    }
}
