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
/// Frames that are overdue for this long are lost.
const GIVE_UP_AFTER_MS: u32 = 1_000;
/// The pace at which the count is remembered.
const MARK_EVERY_MS: u32 = 50;

/// The frames sent to one far end.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    sent: u32,
    confirmed: u32,
    /// What was given up, and is in no report.
    lost: u32,
    /// Since when too many frames are overdue.
    overdue_since: Option<Millis>,
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

    /// The far end has received so many in all.
    pub fn confirmed(&mut self, received: u32) {
        let confirmed = received.wrapping_add(self.lost);
        let ahead = confirmed.wrapping_sub(self.sent);
        if ahead != 0 && ahead < 1 << 31 {
            // What was given up arrived after all, or something arrived twice.
            self.lost = self.lost.wrapping_sub(ahead);
            self.confirmed = self.sent;
        } else if self.sent.wrapping_sub(confirmed) <= self.unconfirmed() {
            self.confirmed = confirmed;
        }
    }

    /// What is not confirmed is lost, or its far end was away: it is not waited for any more.
    pub fn give_up(&mut self) {
        self.lost = self.lost.wrapping_add(self.unconfirmed());
        self.confirmed = self.sent;
        self.marks.clear();
        self.overdue_since = None;
    }

    /// Whether another frame may be sent. After a second of overdue frames they are given up.
    pub fn may_send(&mut self, now: Millis) -> bool {
        if !self.is_overdue(now) {
            self.overdue_since = None;
            return true;
        }
        let since = *self.overdue_since.get_or_insert(now);
        let is_hopeless = now.since(since).is_some_and(|age| age >= GIVE_UP_AFTER_MS);
        if is_hopeless {
            self.give_up();
        }
        is_hopeless
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
    fn is_overdue(&self, now: Millis) -> bool {
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
        // A report that is ahead confirms everything, and so do later ones that count the same.
        flow.confirmed(66);
        assert_eq!(flow.unconfirmed(), 0);
        flow.sent(Millis(10_002));
        flow.confirmed(67);
        assert_eq!(flow.unconfirmed(), 0);
    }

    #[test]
    fn what_is_lost_is_waited_for_a_second() {
        let mut flow = Flow::default();
        for _ in 0..=UNCONFIRMED_MAX {
            flow.sent(Millis(0));
        }
        assert!(flow.may_send(Millis(400)));
        assert!(!flow.may_send(Millis(600)));
        assert!(!flow.may_send(Millis(1_500)));
        assert!(flow.may_send(Millis(1_600)));
        flow.sent(Millis(1_600));
        assert_eq!(flow.unconfirmed(), 1);
        // The far end counts on from what it received: all but ten of the first ones.
        flow.confirmed(UNCONFIRMED_MAX + 1 - 10 + 1);
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
