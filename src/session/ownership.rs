//! Who commanded a device last. A controller that leaves stops only the devices that nobody else took over since.

use std::sync::atomic::{AtomicU64, Ordering};

/// Somebody who commands devices. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controller(u64);

impl Controller {
    /// The apps of the server upstream.
    pub const UPSTREAM: Self = Self(0);

    /// One more, beside upstream: somebody who sends frames by hand.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Who commanded a device last.
#[derive(Debug, Default)]
pub(crate) struct Ownership(AtomicU64);

impl Ownership {
    /// The device was commanded.
    pub(crate) fn commanded(&self, by: Controller) {
        self.0.store(by.0, Ordering::Relaxed);
    }

    /// Whether nobody else commanded the device since.
    pub(crate) fn is_of(&self, controller: Controller) -> bool {
        self.0.load(Ordering::Relaxed) == controller.0
    }
}
