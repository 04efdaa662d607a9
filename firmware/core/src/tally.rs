//! Counts what the far end can cause faster than a console prints it.
//!
//! A line takes milliseconds on a serial console, and a board with one executor does nothing else meanwhile. One line
//! for each of a thousand dropped answers would outlast its hardware watchdog.

/// Between two reports of the same.
const QUIET_MS: u64 = 1_000;

/// How often something happened that was not reported yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: u32,
    quiet_until: u64,
}

impl Tally {
    /// It happened.
    pub(crate) fn add(&mut self, count: u32) {
        self.count = self.count.saturating_add(count);
    }

    /// The count, if it is to be reported now.
    pub(crate) fn due(&mut self, now: u64) -> Option<u32> {
        if self.count == 0 || now < self.quiet_until {
            return None;
        }
        self.quiet_until = now + QUIET_MS;
        Some(core::mem::take(&mut self.count))
    }

    /// The count at the end, if something is left to be reported.
    pub(crate) fn rest(&mut self) -> Option<u32> {
        Some(core::mem::take(&mut self.count)).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_reported_at_once_and_the_rest_a_second_later() {
        let mut tally = Tally::default();
        assert_eq!(tally.due(0), None);
        tally.add(1);
        assert_eq!(tally.due(5), Some(1));
        tally.add(2);
        tally.add(3);
        assert_eq!(tally.due(1_004), None);
        assert_eq!(tally.due(1_005), Some(5));
        assert_eq!(tally.rest(), None);
        tally.add(1);
        assert_eq!(tally.rest(), Some(1));
    }
}
