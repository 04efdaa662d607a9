//! How long to wait before the next try: twice as long each time, with chance in it, up to a cap.
//!
//! No clock and no I/O: the caller sleeps, and says how long a connection lasted.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::defaults::{GOOD_AFTER, REFUSED_FIRST_PAUSE, REFUSED_LONGEST_PAUSE};

/// The delays between tries to reach one thing.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    lasted: Duration,
    failures: u32,
    chance: u64,
}

impl Backoff {
    /// Delays of about `first`, twice `first` and so on, never over `cap`. A connection that lasted for
    /// `lasted` was a good one: after it the count begins anew.
    pub fn new(first: Duration, cap: Duration, lasted: Duration) -> Self {
        // Seeds of the standard hasher differ from one to the next, so a thousand of these do not march in step.
        Self::with_seed(first, cap, lasted, RandomState::new().build_hasher().finish())
    }

    /// For a device that is not welcome, since upstream does not take it or another one has its address: that changes
    /// when somebody changes something.
    pub fn after_refusals() -> Self {
        Self::new(REFUSED_FIRST_PAUSE, REFUSED_LONGEST_PAUSE, GOOD_AFTER)
    }

    /// The same, with the same delays each time.
    pub fn with_seed(first: Duration, cap: Duration, lasted: Duration, seed: u64) -> Self {
        Self {
            first,
            cap,
            lasted,
            failures: 0,
            chance: seed,
        }
    }

    /// How many tries failed since the last good connection.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A connection that was up for that long has ended. A short one is as bad as none: what accepts and
    /// hangs up at once must not be dialled in a tight loop.
    pub fn connected_for(&mut self, up: Duration) {
        if up >= self.lasted {
            self.failures = 0;
        }
    }

    /// The wait before the next try: between half of the doubled delay and all of it.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = 2_u32
            .checked_pow(self.failures)
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.cap, |delay| delay.min(self.cap));
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(0.5 + self.roll() / 2.0)
    }

    /// From 0 up to, not including, 1. SplitMix64: jitter needs no better.
    fn roll(&mut self) -> f64 {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // 53 bits fit a double exactly.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(10);
    const LASTED: Duration = Duration::from_secs(5);

    #[test]
    fn delays_double_up_to_the_cap() {
        let mut backoff = Backoff::with_seed(FIRST, CAP, LASTED, 1);
        for wanted in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            let delay = backoff.next_delay();
            let wanted = Duration::from_millis(wanted);
            assert!(delay >= wanted / 2 && delay <= wanted, "{delay:?} for {wanted:?}");
        }
        assert_eq!(backoff.failures(), 9);
    }

    #[test]
    fn only_a_connection_that_lasted_begins_the_count_anew() {
        let mut backoff = Backoff::with_seed(FIRST, CAP, LASTED, 1);
        for _ in 0..4 {
            backoff.next_delay();
        }
        backoff.connected_for(LASTED - Duration::from_millis(1));
        assert_eq!(backoff.failures(), 4);
        backoff.connected_for(LASTED);
        assert_eq!(backoff.failures(), 0);
        assert!(backoff.next_delay() <= FIRST);
    }

    #[test]
    fn two_of_them_do_not_march_in_step() {
        let delays = |mut b: Backoff| (0..4).map(|_| b.next_delay()).collect::<Vec<_>>();
        let new = || Backoff::new(FIRST, CAP, LASTED);
        assert_ne!(delays(new()), delays(new()));
        let seeded = || Backoff::with_seed(FIRST, CAP, LASTED, 7);
        assert_eq!(delays(seeded()), delays(seeded()));
    }

    proptest! {
        #[test]
        fn no_delay_is_over_the_cap(seed: u64, tries in 0_usize..200, first_ms in 0_u64..100_000) {
            let mut backoff = Backoff::with_seed(Duration::from_millis(first_ms), CAP, LASTED, seed);
            for _ in 0..tries {
                prop_assert!(backoff.next_delay() <= CAP);
            }
        }
    }
}
