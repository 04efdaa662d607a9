//! Limits how often device lists are sent, so that the client and its connection can keep up.

use std::time::Duration;

use tokio::time::Instant;

use crate::defaults::{CLIENT_LIST_PAUSE, CLIENT_LIST_PAUSE_MAX, CLIENT_LIST_SHARE};

/// Decides when the next list may be sent.
///
/// A version 4 list contains every device: megabytes for thousands. While devices connect one after another, each list
/// makes the previous one stale, so lists may take only a share of the time. The first change after a quiet time is
/// sent at once, and the last one after a pause.
#[derive(Debug, Default)]
pub(super) struct ListThrottle {
    /// When the list being written was started.
    begun: Option<Instant>,
    /// `None` until the first list.
    next: Option<Instant>,
}

impl ListThrottle {
    /// When the next list may be sent, if everything before it has been written.
    pub(super) fn next(&self) -> Instant {
        self.next.unwrap_or_else(Instant::now)
    }

    /// Call before making a list.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        self.begun = Some(now);
        self.next = Some(now + CLIENT_LIST_PAUSE);
    }

    /// Call when the write queue is empty.
    pub(super) fn written(&mut self) {
        if let Some(begun) = self.begun.take() {
            let now = Instant::now();
            self.next = Some(now + pause(now - begun));
        }
    }
}

/// The pause after a list that took this long to write.
fn pause(took: Duration) -> Duration {
    // On a slow connection one list takes longer than anyone should wait for the next one.
    let longest = took.max(CLIENT_LIST_PAUSE_MAX);
    (took * (CLIENT_LIST_SHARE - 1)).clamp(CLIENT_LIST_PAUSE, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lists_take_a_share_of_the_time() {
        let mut throttle = ListThrottle::default();
        assert_eq!(
            throttle.next(),
            Instant::now(),
            "the first change is sent at once"
        );
        for (took, expected) in [
            (1, CLIENT_LIST_PAUSE),
            (40, Duration::from_millis(360)),
            (500, CLIENT_LIST_PAUSE_MAX),
            // At most half of the time, on a connection this slow.
            (30_000, Duration::from_millis(30_000)),
        ] {
            throttle.begin();
            assert_eq!(throttle.next(), Instant::now() + CLIENT_LIST_PAUSE);
            tokio::time::advance(Duration::from_millis(took)).await;
            throttle.written();
            assert_eq!(throttle.next() - Instant::now(), expected, "after {took} ms");
            // Other messages do not change the pause.
            let next = throttle.next();
            tokio::time::advance(Duration::from_millis(5)).await;
            throttle.written();
            assert_eq!(throttle.next(), next);
        }
    }
}
