//! One axis: where it was told to go, and where it is, which its speed limit may hold back.

use super::AxisSettings;
use super::parse::Pace;
use crate::device::{Channel, Level};

/// Hundredths of the range a second, milliseconds and steps of the range multiply to this much for one step.
const PER_STEP: u64 = 100 * 1_000;

/// An axis. Its places are those of the protocol, from 0 to 1; the range that it may use comes in at the output.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    settings: AxisSettings,
    preferred: (u16, u16),
    /// A straight line over the time of motion.
    from: Level,
    to: Level,
    began: u64,
    takes: u64,
    /// Where it is.
    at: Level,
    /// What was written to its output. `None` if it is to be written again: a stop does not rely on what was written last.
    shown: Option<Level>,
    /// It was sent somewhere, or needs nobody to send it.
    is_placed: bool,
    /// What is left over of the way that the speed limit allows, in hundred-thousandths of a step.
    carry: u64,
}

impl Axis {
    pub(super) fn new(settings: &AxisSettings) -> Self {
        let rest = if settings.channel.is_position() {
            Level::MIDDLE
        } else {
            Level::OFF
        };
        Self {
            settings: *settings,
            preferred: (0, 9_999),
            from: rest,
            to: rest,
            began: 0,
            takes: 0,
            at: rest,
            shown: None,
            is_placed: !settings.channel.is_position(),
            carry: 0,
        }
    }

    pub(super) fn channel(&self) -> Channel {
        self.settings.channel
    }

    /// What the user likes; it is kept and told, and not heeded: the program that reads it does that.
    pub(super) fn preferred(&self) -> (u16, u16) {
        self.preferred
    }

    pub(super) fn prefer(&mut self, low: u16, high: u16) {
        self.preferred = (low, high);
    }

    /// What its output is to be told, where that changed.
    pub(super) fn change(&mut self) -> Option<Level> {
        let output = self.is_placed.then(|| self.output());
        if self.shown == output {
            return None;
        }
        self.shown = output;
        output
    }

    /// What the pin gets: its place, brought into the range that the axis may use. What is off stays wholly off.
    fn output(&self) -> Level {
        let AxisSettings {
            low, high, channel, ..
        } = self.settings;
        if self.at == Level::OFF && !channel.is_position() {
            return Level::OFF;
        }
        let (low, high) = (low.min(high), low.max(high));
        let span = u32::from(high.0 - low.0);
        // At most `span`, and low + span is high.
        Level(
            low.0
                .saturating_add(u16::try_from(self.at.times(span)).unwrap_or(u16::MAX)),
        )
    }

    /// Whether it was sent somewhere before, or needs nobody to send it.
    pub(super) fn is_placed(&self) -> bool {
        self.is_placed
    }

    /// Sends it somewhere, from where it is, no faster than `soft` allows; 0 is no limit. `motion` is the time of motion, as
    /// everywhere here.
    pub(super) fn go(&mut self, to: Level, pace: Pace, motion: u64, soft: u32) {
        self.is_placed = true;
        if to == Level::OFF && !self.channel().is_position() {
            self.shown = None;
        }
        self.from = self.at;
        self.to = to;
        self.began = motion;
        let way = u64::from(to.0.abs_diff(self.at.0));
        self.takes = match pace {
            Pace::AtOnce => 0,
            Pace::Within(ms) => u64::from(ms),
            Pace::Speed(hundredths) => time_for(way, hundredths.max(1)),
        };
        if soft > 0 && self.channel().is_position() {
            // The line itself is slow: one that ran ahead would be caught up with in a leap when the soft start ends.
            self.takes = self.takes.max(time_for(way, soft));
        }
    }

    /// Moves it to where it belongs, `passed` milliseconds after it was moved last, and no faster than it and `soft`
    /// allow; 0 is no limit.
    pub(super) fn advance(&mut self, motion: u64, passed: u64, soft: u32) {
        let wanted = self.wanted(motion);
        let limit = [self.settings.speed, soft].into_iter().filter(|s| *s > 0).min();
        self.at = match limit {
            Some(limit) if self.channel().is_position() => {
                let way = passed
                    .saturating_mul(u64::from(limit) * u64::from(u16::MAX))
                    .saturating_add(self.carry);
                let most = u16::try_from(way / PER_STEP).unwrap_or(u16::MAX);
                let (low, high) = (self.at.0.saturating_sub(most), self.at.0.saturating_add(most));
                let at = wanted.0.clamp(low, high);
                self.carry = if at == wanted.0 { 0 } else { way % PER_STEP };
                Level(at)
            }
            _ => wanted,
        };
    }

    /// A place stays where it is, everything else goes to 0.
    pub(super) fn stop(&mut self) {
        if !self.channel().is_position() {
            self.at = Level::OFF;
            self.shown = None;
        }
        self.from = self.at;
        self.to = self.at;
        self.takes = 0;
    }

    /// Whether its output still changes.
    pub(super) fn is_moving(&self) -> bool {
        self.at != self.to
    }

    /// Whether it does something that must end when control ends.
    pub(super) fn is_on(&self) -> bool {
        self.is_moving() || (!self.channel().is_position() && self.at != Level::OFF)
    }

    /// Whether it is a strength that is to be more than nothing.
    pub(super) fn is_strong(&self) -> bool {
        !self.channel().is_position() && self.to != Level::OFF
    }

    /// Where the line is.
    fn wanted(&self, motion: u64) -> Level {
        let passed = motion.saturating_sub(self.began);
        if passed >= self.takes {
            return self.to;
        }
        let (from, to) = (i64::from(self.from.0), i64::from(self.to.0));
        // passed < takes, which has nine digits at most, so the product fits with room, and the sum is between the ends.
        let way = (to - from) * passed.cast_signed() / self.takes.cast_signed();
        Level(u16::try_from(from + way).unwrap_or(self.to.0))
    }
}

/// The milliseconds for a way at a speed that is not 0: `way` / 65535 of the range, at `hundredths` / 100 of it a second.
fn time_for(way: u64, hundredths: u32) -> u64 {
    way * PER_STEP / (u64::from(u16::MAX) * u64::from(hundredths))
}
