//! Silence stops the outputs.
//!
//! Whatever is heard feeds it, not what is commanded: a steady vibration is silence on the wire, which pongs break
//! over a network and keepalive newlines on a wire.

/// When something was heard last, and when that is too long ago.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watchdog {
    patience: u64,
    heard: u64,
}

impl Watchdog {
    /// Something was heard just now, and must be again within `patience`.
    pub(crate) fn new(patience: u64, now: u64) -> Self {
        Self { patience, heard: now }
    }

    /// Something was heard.
    pub(crate) fn feed(&mut self, now: u64) {
        self.heard = self.heard.max(now);
    }

    /// When something was heard last.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    /// How long nothing was heard.
    pub(crate) fn silent_for(&self, now: u64) -> u64 {
        now.saturating_sub(self.heard)
    }

    /// When outputs that are on must stop, if nothing is heard before.
    pub(crate) fn due(&self) -> u64 {
        self.heard.saturating_add(self.patience)
    }

    /// Whether that time has come.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        now >= self.due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_heard_puts_it_off() {
        let mut watchdog = Watchdog::new(1_000, 500);
        assert!(!watchdog.is_over(1_499));
        assert!(watchdog.is_over(1_500));
        watchdog.feed(1_400);
        assert!(!watchdog.is_over(2_399));
        assert!(watchdog.is_over(2_400));
        assert_eq!(watchdog.silent_for(2_400), 1_000);
        // A clock that is read in another order must not take back what was heard.
        watchdog.feed(1_000);
        assert_eq!(watchdog.due(), 2_400);
    }
}
