//! A user's limits, as far as they can be kept on frames that did not come from the server inside: those of a monitor
//! go to the device as they are.

use super::Language;
use crate::device::frame::Frame;

/// What an output does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Vibrates.
    Vibrate,
    /// Rotates at a speed.
    Rotate,
    /// Inflates, squeezes or sucks.
    Constrict,
    /// Moves to a position.
    Position,
    /// Anything else that is set to a level.
    Other,
}

/// The values that an output may have: from `low` to `high`, of 0 to `full`. A level may also be 0, which is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What the output does.
    pub kind: Kind,
    /// The output's name in the device's language, if it has one of its own, such as `L0`.
    pub name: Option<String>,
    /// The lowest value.
    pub low: u32,
    /// The highest value.
    pub high: u32,
    /// The value of all that the device can do.
    pub full: u32,
}

impl Limit {
    /// Whether it allows everything.
    pub fn is_open(&self) -> bool {
        self.low == 0 && self.high >= self.full
    }

    /// The allowed value that is nearest to `value`, of 0 to `full`; rounded inwards. `None` if no value of this scale
    /// is allowed.
    pub fn clamp(&self, value: u64, full: u64) -> Option<u64> {
        if value == 0 && self.kind != Kind::Position {
            return Some(0);
        }
        let of = u64::from(self.full.max(1));
        let low = (u64::from(self.low) * full).div_ceil(of);
        let high = u64::from(self.high) * full / of;
        (low <= high).then(|| value.clamp(low, high))
    }
}

/// The limits of a device's outputs, in the order of its features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    language: Option<&'static dyn Language>,
    limits: Vec<Limit>,
}

impl Limits {
    /// The limits of these outputs, of a device that speaks `language`; without any if none is limited.
    pub fn new(language: Option<&'static dyn Language>, mut limits: Vec<Limit>) -> Self {
        if limits.iter().all(Limit::is_open) {
            limits.clear();
        }
        Self { language, limits }
    }

    /// All limits of one kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Limit> {
        self.limits.iter().filter(move |limit| limit.kind == kind)
    }

    /// All limits.
    pub(super) fn all(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter()
    }

    /// Brings a frame inside the limits. Nothing is known of frames in an unknown language.
    ///
    /// # Errors
    /// The frame cannot be written so that it is.
    pub fn keep(&self, frame: Frame) -> Result<Frame, OutsideLimits> {
        let Some(language) = self.language.filter(|_| !self.limits.is_empty()) else {
            return Ok(frame);
        };
        let Ok(text) = std::str::from_utf8(&frame.0) else {
            return Err(OutsideLimits);
        };
        let kept = language.limit(text, self).ok_or(OutsideLimits)?;
        Ok(if kept == text { frame } else { Frame(kept.into()) })
    }
}

/// A frame would leave the limits of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame cannot be kept inside the limits that the UDCF sets for this device")]
pub struct OutsideLimits;
