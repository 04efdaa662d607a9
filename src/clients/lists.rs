//! How often a client is told of the devices: no more often than it, and the line to it, bear.

use std::time::Duration;

use tokio::time::Instant;

use crate::defaults::{CLIENT_LIST_PAUSE, CLIENT_LIST_PAUSE_MAX, CLIENT_LIST_SHARE};

/// When the next list may go.
///
/// A version 4 list has every device in it: megabytes for thousands. While devices come one after another, each list
/// makes the previous one worthless, so lists may take only a share of the time. A client is told at once of the
/// first change after a quiet time, and of the last one after a pause.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// When the list that is being written was begun.
    begun: Option<Instant>,
    /// `None` until the first list.
    next: Option<Instant>,
}

impl Lists {
    /// When the next list may go, if everything before it has been written.
    pub(super) fn next(&self) -> Instant {
        self.next.unwrap_or_else(Instant::now)
    }

    /// A list is about to be made.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        self.begun = Some(now);
        self.next = Some(now + CLIENT_LIST_PAUSE);
    }

    /// All that was to be written is written.
    pub(super) fn written(&mut self) {
        if let Some(begun) = self.begun.take() {
            let now = Instant::now();
            self.next = Some(now + pause(now - begun));
        }
    }
}

/// The pause after a list that took this long.
fn pause(took: Duration) -> Duration {
    // A slow line has a list under way for longer than anybody should wait for the next one.
    let longest = took.max(CLIENT_LIST_PAUSE_MAX);
    (took * (CLIENT_LIST_SHARE - 1)).clamp(CLIENT_LIST_PAUSE, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lists_take_a_share_of_the_time() {
        let mut lists = Lists::default();
        assert_eq!(lists.next(), Instant::now(), "the first change is told at once");
        for (took, expected) in [
            (1, CLIENT_LIST_PAUSE),
            (40, Duration::from_millis(360)),
            (500, CLIENT_LIST_PAUSE_MAX),
            // Half of the time at most, on a line that takes this long.
            (30_000, Duration::from_millis(30_000)),
        ] {
            lists.begin();
            assert_eq!(lists.next(), Instant::now() + CLIENT_LIST_PAUSE);
            tokio::time::advance(Duration::from_millis(took)).await;
            lists.written();
            assert_eq!(lists.next() - Instant::now(), expected, "after {took} ms");
            // What else is written then changes nothing.
            let next = lists.next();
            tokio::time::advance(Duration::from_millis(5)).await;
            lists.written();
            assert_eq!(lists.next(), next);
        }
    }
}
