//! An output of a simulated device, and its value over time.

use std::time::Duration;

/// The kind of output of an actuator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// A vibration motor.
    Vibrate,
    /// A motor that rotates in either direction.
    Rotate,
    /// An air bladder.
    Constrict,
    /// A machine that strokes by itself at a given speed.
    Oscillate,
    /// A positioner. It is "on" only while it moves.
    Position,
}

impl Output {
    /// The name as printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vibrate => "vibrate",
            Self::Rotate => "rotate",
            Self::Constrict => "constrict",
            Self::Oscillate => "oscillate",
            Self::Position => "position",
        }
    }
}

/// One output and its current motion. Values range from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Actuator {
    /// The name on this device: `vibrate 2`, `L0`.
    pub name: &'static str,
    /// The kind of output.
    pub output: Output,
    /// The protocol's highest value: 20 in `10/20`. 0 means that values are decimal fractions.
    pub steps: u32,
    /// Whether it rotates in reverse.
    pub reversed: bool,
    motion: Motion,
}

/// A linear motion from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Motion {
    from: f64,
    to: f64,
    began: Duration,
    takes: Duration,
}

impl Actuator {
    /// An actuator at rest at `value`.
    pub fn resting(name: &'static str, output: Output, steps: u32, value: f64) -> Self {
        let motion = Motion {
            from: value,
            to: value,
            began: Duration::ZERO,
            takes: Duration::ZERO,
        };
        Self {
            name,
            output,
            steps,
            reversed: false,
            motion,
        }
    }

    /// The value at a time: a pure function of the last command.
    pub fn value_at(&self, now: Duration) -> f64 {
        let Motion {
            from,
            to,
            began,
            takes,
        } = self.motion;
        let passed = now.saturating_sub(began);
        if passed >= takes {
            return to;
        }
        from + (to - from) * (passed.as_secs_f64() / takes.as_secs_f64())
    }

    /// The value at the end of the current motion.
    pub fn target(&self) -> f64 {
        self.motion.to
    }

    /// The last commanded value in the protocol's units: 10 for `Vibrate:10;`.
    pub fn level(&self) -> u32 {
        // Targets are between 0 and 1, so this is exact for the protocols' small ranges.
        (self.motion.to * f64::from(self.steps)).round() as u32
    }

    /// Whether it must stop if control is lost: a running motor or a move in progress.
    pub fn is_on_at(&self, now: Duration) -> bool {
        match self.output {
            Output::Position => self.is_moving_at(now),
            _ => self.value_at(now) > 0.0 || self.motion.to > 0.0,
        }
    }

    /// Whether its value is still changing.
    pub fn is_moving_at(&self, now: Duration) -> bool {
        let Motion {
            from,
            to,
            began,
            takes,
        } = self.motion;
        from != to && now.saturating_sub(began) < takes
    }

    /// The value for people: `10/20`, `0.500`.
    pub fn text_at(&self, now: Duration) -> String {
        let sign = if self.reversed { "-" } else { "" };
        if self.steps == 0 {
            format!("{sign}{:.3}", self.value_at(now))
        } else {
            format!("{sign}{}/{}", self.level(), self.steps)
        }
    }

    /// Starts a motion from the current value to `to` (0 to 1) that lasts for `takes`.
    pub fn go(&mut self, to: f64, takes: Duration, now: Duration) {
        let from = self.value_at(now);
        self.motion = Motion {
            from,
            to: to.clamp(0.0, 1.0),
            began: now,
            takes,
        };
    }

    /// Sets a value in the protocol's units at once.
    pub fn set_level(&mut self, level: u32, now: Duration) {
        self.go(
            f64::from(level) / f64::from(self.steps.max(1)),
            Duration::ZERO,
            now,
        );
    }

    /// Stops it: a position holds its current value, everything else goes to 0.
    pub fn stop(&mut self, now: Duration) {
        let rest = match self.output {
            Output::Position => self.value_at(now),
            _ => 0.0,
        };
        self.go(rest, Duration::ZERO, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_move_is_a_straight_line_and_ends_at_its_target() {
        let mut a = Actuator::resting("L0", Output::Position, 0, 0.5);
        a.go(1.0, MS(1_000), MS(2_000));
        assert_eq!(a.value_at(MS(2_000)), 0.5);
        assert_eq!(a.value_at(MS(2_500)), 0.75);
        assert_eq!(a.value_at(MS(3_000)), 1.0);
        assert_eq!(a.value_at(MS(9_000)), 1.0);
        assert!(a.is_on_at(MS(2_500)));
        assert!(!a.is_on_at(MS(3_000)));
    }

    #[test]
    fn a_second_move_starts_from_the_current_value() {
        let mut a = Actuator::resting("L0", Output::Position, 0, 0.0);
        a.go(1.0, MS(1_000), MS(0));
        a.go(0.0, MS(1_000), MS(500));
        assert_eq!(a.value_at(MS(500)), 0.5);
        assert_eq!(a.value_at(MS(1_000)), 0.25);
    }

    #[test]
    fn a_stop_holds_a_position_and_silences_a_motor() {
        let mut place = Actuator::resting("L0", Output::Position, 0, 0.0);
        place.go(1.0, MS(1_000), MS(0));
        place.stop(MS(250));
        assert_eq!(place.value_at(MS(5_000)), 0.25);

        let mut motor = Actuator::resting("vibrate", Output::Vibrate, 20, 0.0);
        motor.set_level(13, MS(0));
        assert_eq!(motor.level(), 13);
        assert!(motor.is_on_at(MS(100)));
        motor.stop(MS(100));
        assert!(!motor.is_on_at(MS(100)));
    }
}
