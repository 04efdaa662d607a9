//! A motor that turns either way, on an H-bridge: no reversal without a rest.
//!
//! A motor that is thrown from one direction into the other draws twice its starting current, and its gears take the
//! blow. So it is off for a moment in between, however fast the app changes its mind.

use crate::device::Level;

/// How long it is off between two directions.
pub const REVERSAL_MS: u64 = 150;

/// What it is to do, and what it does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rotation {
    wanted: Level,
    wants_reversed: bool,
    shown: Level,
    is_reversed: bool,
    rests_until: u64,
}

impl Rotation {
    /// So strongly, in the direction that it has.
    pub(crate) fn set(&mut self, level: Level) {
        self.wanted = level;
    }

    /// The other way, as strongly.
    pub(crate) fn reverse(&mut self) {
        self.wants_reversed = !self.wants_reversed;
    }

    /// How strongly it is to turn.
    pub(crate) fn wanted(&self) -> Level {
        self.wanted
    }

    /// Off at once, whatever it is to do: the direction that it had, for its output.
    pub(crate) fn cut(&mut self, now: u64) -> bool {
        if self.shown != Level::OFF {
            self.rests_until = now + REVERSAL_MS;
        }
        self.shown = Level::OFF;
        self.is_reversed
    }

    /// What its output is to be told now, if something: how strongly, and whether reversed.
    pub(crate) fn advance(&mut self, now: u64) -> Option<(Level, bool)> {
        let mut next = self.wanted;
        if next != Level::OFF && self.wants_reversed != self.is_reversed {
            if self.shown != Level::OFF {
                next = Level::OFF;
            } else if now < self.rests_until {
                return None;
            } else {
                self.is_reversed = self.wants_reversed;
            }
        }
        if next == self.shown {
            return None;
        }
        self.shown = next;
        if next == Level::OFF {
            self.rests_until = now + REVERSAL_MS;
        }
        Some((next, self.is_reversed))
    }

    /// When it is to be moved on, if it rests between two directions.
    pub(crate) fn due(&self) -> Option<u64> {
        (self.shown != self.wanted).then_some(self.rests_until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_rests_before_it_turns_the_other_way() {
        let mut r = Rotation::default();
        r.set(Level::FULL);
        assert_eq!(r.advance(0), Some((Level::FULL, false)));
        r.reverse();
        assert_eq!(r.advance(10), Some((Level::OFF, false)));
        assert_eq!(r.due(), Some(160));
        assert_eq!(r.advance(159), None);
        assert_eq!(r.advance(160), Some((Level::FULL, true)));
        assert_eq!(r.due(), None);
        // A stop and a start between are no way round it.
        r.set(Level::OFF);
        assert_eq!(r.advance(200), Some((Level::OFF, true)));
        r.reverse();
        r.set(Level::MIDDLE);
        assert_eq!(r.advance(210), None);
        assert_eq!(r.advance(350), Some((Level::MIDDLE, false)));
        // Neither is a cut.
        assert!(!r.cut(400));
        r.reverse();
        assert_eq!(r.advance(500), None);
        assert_eq!(r.advance(550), Some((Level::MIDDLE, true)));
    }

    #[test]
    fn a_motor_at_rest_is_reversed_at_once() {
        let mut r = Rotation::default();
        r.reverse();
        r.set(Level::FULL);
        assert_eq!(r.advance(0), Some((Level::FULL, true)));
    }

    proptest! {
        #[test]
        fn no_reversal_without_a_rest(steps in proptest::collection::vec((0_u8..4, 0_u64..300), 1..80)) {
            let mut r = Rotation::default();
            let (mut now, mut off_since, mut is_on, mut direction) = (0, None, false, None);
            for (what, pause) in steps {
                now += pause;
                match what {
                    0 => r.set(Level::FULL),
                    1 => r.set(Level::OFF),
                    2 => r.reverse(),
                    _ => {
                        r.cut(now);
                        if is_on {
                            (is_on, off_since) = (false, Some(now));
                        }
                    }
                }
                let Some((level, is_reversed)) = r.advance(now) else {
                    continue;
                };
                if level == Level::OFF {
                    (is_on, off_since) = (false, Some(now));
                    continue;
                }
                if direction.is_some_and(|direction| direction != is_reversed) {
                    prop_assert!(!is_on, "it turned, and turns the other way");
                    prop_assert!(off_since.is_some_and(|since| now - since >= REVERSAL_MS));
                }
                (is_on, direction) = (true, Some(is_reversed));
            }
        }
    }
}
