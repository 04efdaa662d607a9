//! The time of a board: milliseconds since it started, and waiting.

/// What tells the time. It never goes back.
#[allow(
    async_fn_in_trait,
    reason = "boards run everything on one core, nothing here must be Send"
)]
pub trait Clock {
    /// Milliseconds since some start of its own.
    fn now(&self) -> u64;

    /// Waits until [`Clock::now`] says at least `at`. May be dropped before.
    async fn sleep_until(&self, at: u64);
}

impl<C: Clock> Clock for &C {
    fn now(&self) -> u64 {
        (**self).now()
    }

    async fn sleep_until(&self, at: u64) {
        (**self).sleep_until(at).await;
    }
}

/// The clock of boards that run embassy.
#[cfg(feature = "embassy")]
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

#[cfg(feature = "embassy")]
impl Clock for EmbassyClock {
    fn now(&self) -> u64 {
        embassy_time::Instant::now().as_millis()
    }

    async fn sleep_until(&self, at: u64) {
        embassy_time::Timer::at(embassy_time::Instant::from_millis(at)).await;
    }
}
