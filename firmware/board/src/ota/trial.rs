//! When an image has shown what it must be able to do: hold a connection to the gateway.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use wsdm_device::{Clock, Report, Timing};

/// Watches what the device reports. One waits at a time.
#[derive(Debug, Default)]
pub struct Trial {
    /// The time at which the connection that stands was made.
    since: Cell<Option<u64>>,
    waker: RefCell<Option<Waker>>,
}

impl Trial {
    /// There is no connection.
    pub const fn new() -> Self {
        Self {
            since: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Takes what the device reports.
    pub fn report(&self, now: u64, report: &Report<'_>) {
        match report {
            Report::Connected => {
                self.since.set(Some(now));
                if let Some(waker) = self.waker.take() {
                    waker.wake();
                }
            }
            Report::Connecting { .. }
            | Report::Refused { .. }
            | Report::Rejected { .. }
            | Report::Lost(_)
            | Report::Waiting { .. }
            | Report::Interrupted
            | Report::PoweredOff => self.since.set(None),
            Report::Stopped(_)
            | Report::Hello
            | Report::AnswersDropped(_)
            | Report::FramesTooLong(_)
            | Report::FramesAreNoText(_)
            | Report::Held
            | Report::Released => {}
        }
    }

    /// Waits until a connection has lasted: a gateway that refuses the board has said so by then. May be dropped.
    pub async fn is_passed(&self, clock: &impl Clock) {
        loop {
            let since = self.connected().await;
            clock.sleep_until(since + Timing::DEFAULT.lasted).await;
            if self.since.get() == Some(since) {
                return;
            }
        }
    }

    async fn connected(&self) -> u64 {
        poll_fn(|context| match self.since.get() {
            Some(since) => Poll::Ready(since),
            None => {
                self.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use wsdm_device::Loss;

    use super::*;

    /// Is set by the test.
    struct Hands(Cell<u64>);

    impl Clock for Hands {
        fn now(&self) -> u64 {
            self.0.get()
        }

        async fn sleep_until(&self, at: u64) {
            poll_fn(|_| {
                if self.0.get() >= at {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_has_to_last() {
        let (trial, clock) = (Trial::new(), Hands(Cell::new(0)));
        let woken = Arc::new(Woken::default());
        let waker = woken.clone().into();
        let mut passed = pin!(trial.is_passed(&clock));
        let mut poll = |now| {
            clock.0.set(now);
            passed.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        };
        assert!(!poll(100_000));
        trial.report(100_000, &Report::Connected);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(!poll(100_000));
        trial.report(101_000, &Report::Lost(Loss::Ended));
        assert!(!poll(200_000));
        trial.report(200_000, &Report::Connected);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        trial.report(200_500, &Report::Held);
        assert!(!poll(204_999));
        assert!(poll(205_000));
    }
}
