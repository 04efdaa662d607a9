//! Outputs of a device as numbers in per cent.

use std::fmt;

/// What an output does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It vibrates.
    Vibrate,
    /// It rotates.
    Rotate,
    /// It oscillates.
    Oscillate,
    /// It constricts.
    Constrict,
    /// It heats or cools.
    Temperature,
    /// It shines.
    Led,
    /// It moves to a position.
    Position,
    /// It moves to a position within a time.
    PositionWithDuration,
    /// It sprays.
    Spray,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Vibrate,
        Self::Rotate,
        Self::Oscillate,
        Self::Constrict,
        Self::Temperature,
        Self::Led,
        Self::Position,
        Self::PositionWithDuration,
        Self::Spray,
    ];

    /// Its word in keys and topics: lower case letters only.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Vibrate => "vibrate",
            Self::Rotate => "rotate",
            Self::Oscillate => "oscillate",
            Self::Constrict => "constrict",
            Self::Temperature => "temperature",
            Self::Led => "led",
            Self::Position => "position",
            Self::PositionWithDuration => "linear",
            Self::Spray => "spray",
        }
    }

    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vibrate => "Vibrate",
            Self::Rotate => "Rotate",
            Self::Oscillate => "Oscillate",
            Self::Constrict => "Constrict",
            Self::Temperature => "Temperature",
            Self::Led => "LED",
            Self::Position => "Position",
            Self::PositionWithDuration => "Linear position",
            Self::Spray => "Spray",
        }
    }
}

/// An output of a device, as it is called in topics: its kind and the index of its feature, such as `vibrate0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What it does.
    pub kind: Kind,
    /// The index of the feature.
    pub feature: u32,
}

impl Key {
    /// Reads a key; `None` if it is none.
    pub fn read(text: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| {
            let digits = text.strip_prefix(kind.word());
            digits.is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
        })?;
        let feature = text.strip_prefix(kind.word())?.parse().ok()?;
        let key = Self { kind, feature };
        // One text for each key: no leading zeros.
        (key.to_string() == text).then_some(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.word(), self.feature)
    }
}

/// An output of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it does, and which one it is.
    pub key: Key,
    /// How its configuration describes it; may be empty.
    pub description: String,
    /// Its range in steps of the device, such as 0 to 20; from -20 if it has two directions.
    pub steps: (i32, i32),
}

impl Output {
    /// The range of its number in per cent. The least is negative if it has two directions.
    pub fn range(&self) -> (i32, i32) {
        (if self.steps.0 < 0 { -100 } else { 0 }, 100)
    }

    /// The step for so many per cent. Only nothing becomes nothing: what is set moves.
    pub fn step(&self, percent: i32) -> i32 {
        let (min, max) = (i64::from(self.steps.0), i64::from(self.steps.1));
        let percent = i64::from(percent.clamp(self.range().0, self.range().1));
        let step = match (percent.signum(), min.signum()) {
            (0, -1) => 0,
            (-1, _) => -(percent * min).unsigned_abs().div_ceil(100).cast_signed(),
            // From its least step to its greatest.
            (_, 1) => min + up(percent * (max - min)),
            _ => up(percent * max),
        };
        i32::try_from(step.clamp(min, max.max(min))).unwrap_or(self.steps.0)
    }

    /// How many per cent a step is.
    pub fn percent(&self, step: i32) -> i32 {
        let (min, max) = (i64::from(self.steps.0), i64::from(self.steps.1));
        let step = i64::from(step);
        let percent = match (step < 0 && min < 0, min > 0) {
            (true, _) => -nearest(step * 100, min),
            (false, true) => nearest((step - min) * 100, max - min),
            (false, false) => nearest(step * 100, max),
        };
        let (least, most) = self.range();
        i32::try_from(percent).unwrap_or(most).clamp(least, most)
    }
}

/// Hundredths, rounded up.
fn up(hundredths: i64) -> i64 {
    hundredths.max(0).unsigned_abs().div_ceil(100).cast_signed()
}

/// A quotient of two numbers of one sign, rounded to the nearest.
fn nearest(a: i64, b: i64) -> i64 {
    let (a, b) = (a.unsigned_abs(), b.unsigned_abs());
    match b {
        0 => 0,
        _ => ((a + b / 2) / b).cast_signed(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn output(steps: (i32, i32)) -> Output {
        let key = Key {
            kind: Kind::Vibrate,
            feature: 0,
        };
        Output {
            key,
            description: String::new(),
            steps,
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            for feature in [0, 7, u32::MAX] {
                let key = Key { kind, feature };
                assert_eq!(Key::read(&key.to_string()), Some(key));
            }
        }
        for other in [
            "",
            "vibrate",
            "vibrate00",
            "vibrate-1",
            "Vibrate0",
            "vibrate4294967296",
            "stop",
            "a/b",
            "vibrate+1",
        ] {
            assert_eq!(Key::read(other), None, "{other}");
        }
    }

    #[test]
    fn per_cent_are_steps() {
        let vibrator = output((0, 20));
        assert_eq!(
            [0, 1, 5, 6, 50, 100, 200, -5].map(|p| vibrator.step(p)),
            [0, 1, 1, 2, 10, 20, 20, 0]
        );
        assert_eq!(
            [0, 1, 10, 20, 30].map(|s| vibrator.percent(s)),
            [0, 5, 50, 100, 100]
        );
        let rotator = output((-10, 20));
        assert_eq!(rotator.range(), (-100, 100));
        assert_eq!(
            [-100, -50, -1, 0, 1, 100].map(|p| rotator.step(p)),
            [-10, -5, -1, 0, 1, 20]
        );
        assert_eq!(
            [-10, -5, 0, 10, 20].map(|s| rotator.percent(s)),
            [-100, -50, 0, 50, 100]
        );
        let limited = output((20, 80));
        assert_eq!([0, 50, 100].map(|p| limited.step(p)), [20, 50, 80]);
        assert_eq!([20, 50, 80].map(|s| limited.percent(s)), [0, 50, 100]);
    }

    proptest! {
        #[test]
        fn steps_stay_within_their_range(min in any::<i32>(), max in any::<i32>(), percent in any::<i32>()) {
            let output = output((min, max));
            let step = output.step(percent);
            prop_assert!(step >= min && step <= max.max(min));
            let (least, most) = output.range();
            let shown = output.percent(step);
            prop_assert!(shown >= least && shown <= most);
        }

        #[test]
        fn what_is_set_is_what_is_shown(max in 1_i32..=100, percent in 0_i32..=100) {
            let output = output((0, max));
            let shown = output.percent(output.step(percent));
            prop_assert!((shown - percent).abs() <= 100 / max + 1, "{percent} became {shown}");
            prop_assert_eq!(shown == 0, percent == 0);
        }
    }
}
