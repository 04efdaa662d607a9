//! Enforces a user's limits on every frame, no matter who sent it: a monitor's frames bypass the library, and the library
//! itself moves some devices in steps that may start outside the limits.

use super::{Language, of_protocol};
use crate::device::frame::Frame;

/// What an output does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Vibrates.
    Vibrate,
    /// Strokes or thrusts by itself, at a speed.
    Oscillate,
    /// Rotates at a speed.
    Rotate,
    /// Inflates, squeezes or sucks.
    Constrict,
    /// Moves to a position.
    Position,
    /// Anything else that is set to a level.
    Other,
}

/// The values that an output may have: from `low` to `high`, on a scale from 0 to `full`. A level may also be 0, which
/// is off. If `low` is above `high`, no other value is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The index of the feature that it belongs to.
    pub feature: u32,
    /// What the output does.
    pub kind: Kind,
    /// The output's name in the device's language, if it has one of its own, such as `L0`.
    pub name: Option<String>,
    /// The lowest value.
    pub low: u32,
    /// The highest value.
    pub high: u32,
    /// The end of the output's scale.
    pub full: u32,
}

impl Limit {
    /// Whether it allows everything.
    pub fn is_open(&self) -> bool {
        self.low == 0 && self.high >= self.full
    }

    /// Whether it limits a level, for which 0 is off.
    pub fn is_level(&self) -> bool {
        self.kind != Kind::Position
    }
}

/// The value nearest to `value` that all these limits allow; `None` if there is none. Without limits, `value` itself.
pub(super) fn nearest<'a>(limits: impl IntoIterator<Item = &'a Limit>, value: u32) -> Option<u32> {
    let (mut low, mut high) = (0, u32::MAX);
    for limit in limits {
        if value == 0 && limit.is_level() {
            return Some(0);
        }
        low = low.max(limit.low);
        // A board may accept higher values than its definition knows.
        high = if limit.is_open() {
            high
        } else {
            high.min(limit.high)
        };
    }
    (low <= high).then(|| value.clamp(low, high))
}

/// The limits of a device's outputs, in the order of its features.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    language: Option<&'static dyn Language>,
    all: Vec<Limit>,
}

impl Limits {
    /// The limits of the outputs of a device with this protocol; empty if every one allows everything.
    pub fn new(protocol: &str, limits: Vec<Limit>) -> Self {
        match limits.iter().all(Limit::is_open) {
            true => Self::default(),
            false => Self {
                language: of_protocol(protocol),
                all: limits,
            },
        }
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All limits, including those that allow everything.
    pub(super) fn all(&self) -> impl Iterator<Item = &Limit> {
        self.all.iter()
    }

    /// Brings a frame inside the limits. Leaves it unchanged if the language is unknown.
    ///
    /// # Errors
    /// The frame cannot be brought inside with certainty.
    pub fn keep(&self, frame: Frame) -> Result<Frame, OutsideLimits> {
        let Some(language) = self.language.filter(|_| !self.is_empty()) else {
            return Ok(frame);
        };
        // A board may skip bytes that are not text, and obey the rest.
        let text = std::str::from_utf8(&frame.0).map_err(|_| OutsideLimits)?;
        let kept = language.limit(text, self).ok_or(OutsideLimits)?;
        Ok(if kept == text { frame } else { Frame(kept.into()) })
    }
}

/// A frame might exceed the limits of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it cannot be kept inside the limits that the UDCF sets for this device: write one value for one output, in full, \
     or change the limits"
)]
pub struct OutsideLimits;
