//! Who commanded a device last: a controller that leaves stops only the devices that no other has commanded since.

use std::sync::atomic::{AtomicU64, Ordering};

/// Someone who commands devices. Ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controller(u64);

impl Controller {
    /// The apps, through the upstream server.
    pub const UPSTREAM: Self = Self(0);

    /// A new controller beside upstream: someone who sends frames by hand.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The controller that commanded a device last.
#[derive(Debug, Default)]
pub(crate) struct Ownership(AtomicU64);

impl Ownership {
    /// Records a command.
    pub(crate) fn commanded(&self, by: Controller) {
        self.0.store(by.0, Ordering::Relaxed);
    }

    /// Whether this controller commanded the device last.
    pub(crate) fn is_of(&self, controller: Controller) -> bool {
        self.0.load(Ordering::Relaxed) == controller.0
    }
}
