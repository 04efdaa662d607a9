//! Exponential backoff with jitter and a cap.
//!
//! It has no clock and does no I/O: the caller sleeps, and reports how long each connection lasted.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::defaults::{GOOD_AFTER, REFUSED_FIRST_PAUSE, REFUSED_LONGEST_PAUSE};

/// The delays between attempts to connect to one peer.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    lasted: Duration,
    failures: u32,
    random_state: u64,
}

impl Backoff {
    /// Delays start at about `first` and double up to `cap`. A connection that lasted for `lasted` resets them.
    pub fn new(first: Duration, cap: Duration, lasted: Duration) -> Self {
        // The standard hasher has a random seed, so that a thousand clients do not retry in lockstep.
        Self::with_seed(first, cap, lasted, RandomState::new().build_hasher().finish())
    }

    /// The backoff for a refused device: upstream does not accept it, or another device has its address. Long delays,
    /// since this rarely changes without the user.
    pub fn after_refusals() -> Self {
        Self::new(REFUSED_FIRST_PAUSE, REFUSED_LONGEST_PAUSE, GOOD_AFTER)
    }

    /// Like [`Backoff::new`], with reproducible delays.
    pub fn with_seed(first: Duration, cap: Duration, lasted: Duration, seed: u64) -> Self {
        Self {
            first,
            cap,
            lasted,
            failures: 0,
            random_state: seed,
        }
    }

    /// The number of failed attempts since the last good connection.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Reports how long a connection was up. A short one counts as a failure: a peer that accepts and hangs up at once
    /// must not be dialled in a tight loop.
    pub fn connected_for(&mut self, up: Duration) {
        if up >= self.lasted {
            self.failures = 0;
        }
    }

    /// The delay before the next attempt: between half of the doubled delay and all of it.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = 2_u32
            .checked_pow(self.failures)
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.cap, |delay| delay.min(self.cap));
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(0.5 + self.random() / 2.0)
    }

    /// A number in 0..1 from SplitMix64, which is good enough for jitter.
    fn random(&mut self) -> f64 {
        self.random_state = self.random_state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random_state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // A double holds 53 bits exactly.
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
    fn only_a_connection_that_lasted_resets_the_count() {
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
    fn two_backoffs_have_different_delays() {
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
