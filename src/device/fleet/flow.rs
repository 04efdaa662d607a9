//! Back-pressure through a broker that is not ours: how many frames the far end has not confirmed.
//!
//! Each side reports with its beats how many frames it has received. Without it, a slow edge would leave its backlog in
//! the broker, where nothing supersedes an old frame.

use std::collections::VecDeque;

use super::clock::Millis;

/// Frames that may be unconfirmed however long that takes: a burst of a whole fleet.
const UNCONFIRMED_MAX: u32 = 64;
/// What was sent this long ago should be confirmed: a quarter of a second, and the time between two beats.
const CONFIRMED_AFTER_MS: u32 = 500;
/// The pace at which the count is remembered.
const MARK_EVERY_MS: u32 = 50;

/// The frames sent to one far end.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    sent: u32,
    confirmed: u32,
    /// When how many had been sent, the oldest first.
    marks: VecDeque<(Millis, u32)>,
}

impl Flow {
    /// A frame was sent.
    pub fn sent(&mut self, now: Millis) {
        self.sent = self.sent.wrapping_add(1);
        let is_due = |(at, _): &(Millis, u32)| now.since(*at).is_none_or(|age| age >= MARK_EVERY_MS);
        if self.marks.back().is_none_or(is_due) {
            self.marks.push_back((now, self.sent));
        }
        // What is older than the deadline is one mark, the newest of them.
        while let Some((second, _)) = self.marks.get(1)
            && now.since(*second).is_some_and(|age| age > CONFIRMED_AFTER_MS)
        {
            self.marks.pop_front();
        }
    }

    /// The far end has received so many in all. A count that was never sent confirms nothing.
    pub fn confirmed(&mut self, received: u32) {
        if self.sent.wrapping_sub(received) <= self.unconfirmed() {
            self.confirmed = received;
        }
    }

    /// The far end is known to have lost what it has not confirmed, or is another one: what was sent is forgotten.
    pub fn forget(&mut self) {
        self.confirmed = self.sent;
        self.marks.clear();
    }

    /// All frames sent, modulo 2^32.
    pub fn total(&self) -> u32 {
        self.sent
    }

    /// The frames that are not confirmed.
    pub fn unconfirmed(&self) -> u32 {
        self.sent.wrapping_sub(self.confirmed)
    }

    /// Whether too many frames are overdue for another one to be sent.
    pub fn is_overdue(&self, now: Millis) -> bool {
        if self.unconfirmed() <= UNCONFIRMED_MAX {
            return false;
        }
        self.marks
            .iter()
            .take_while(|(at, _)| now.since(*at).is_some_and(|age| age > CONFIRMED_AFTER_MS))
            .any(|(_, sent)| self.sent.wrapping_sub(*sent) < self.unconfirmed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_end_that_confirms_in_time_is_never_waited_for() {
        let mut flow = Flow::default();
        for ms in 0..10_000 {
            let now = Millis(ms);
            assert!(!flow.is_overdue(now), "{ms}");
            for _ in 0..5 {
                flow.sent(now);
            }
            // A beat each quarter of a second, 40 ms on the way.
            if ms % 250 == 40 {
                flow.confirmed(5 * (ms - 39));
            }
        }
        assert!(flow.marks.len() < 20, "{}", flow.marks.len());
    }

    #[test]
    fn one_that_confirms_nothing_gets_64_frames_and_half_a_second() {
        let mut flow = Flow::default();
        for _ in 0..UNCONFIRMED_MAX {
            flow.sent(Millis(0));
        }
        assert!(!flow.is_overdue(Millis(10_000)));
        flow.sent(Millis(10_000));
        assert!(flow.is_overdue(Millis(10_001)));
        flow.confirmed(30);
        assert!(!flow.is_overdue(Millis(10_001)));
        // Nobody received more than was sent.
        flow.confirmed(66);
        assert_eq!(flow.unconfirmed(), 35);
        flow.forget();
        assert_eq!(flow.unconfirmed(), 0);
    }

    #[test]
    fn counting_goes_on_after_the_largest_number() {
        let mut flow = Flow {
            sent: u32::MAX,
            confirmed: u32::MAX,
            ..Flow::default()
        };
        flow.sent(Millis(u32::MAX));
        flow.sent(Millis(3));
        flow.confirmed(0);
        assert_eq!((flow.total(), flow.unconfirmed()), (1, 1));
    }
}
