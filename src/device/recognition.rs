//! What a board is that was not configured and printed no hello line, from its answers to questions that move nothing.

use std::ops::RangeInclusive;

/// A board that answered in a language that the gateway knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The protocol that it speaks, by its name in the UDCF.
    pub protocol: &'static str,
    /// The name of the device or its firmware, as the board gave it.
    pub name: Option<String>,
    /// The version of the language, as the board gave it.
    pub version: Option<String>,
    /// Its axes, in the order in which the board listed them; empty if its language has none, or it does not list them.
    pub axes: Vec<Axis>,
}

/// An axis of a TCode board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Kind and channel, such as `L0` or `A1`.
    pub channel: String,
    /// What the board calls it, such as `Twist`; empty if it has no name.
    pub name: String,
    /// The part of its travel that the board prefers, in ten-thousandths: 0 to 9,999 is all of it.
    pub range: RangeInclusive<u16>,
}
