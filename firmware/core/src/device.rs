//! What a device is to the rest: it takes frames, moves outputs, and can be stopped.

use core::fmt;

/// What takes a device's answers. Each call is one frame.
pub trait Reply {
    /// Sends one frame. One that does not fit behind those that wait already is dropped, and that is reported.
    fn send(&mut self, frame: &[u8]);
}

/// What happens after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// On with it.
    Stay,
    /// The device was told to turn itself off.
    PowerOff,
}

/// A device: the language that it speaks, and its outputs.
pub trait Device {
    /// Takes bytes that came in one message. A command may be spread over several messages, or share one.
    fn frame(&mut self, now: u64, frame: &[u8], reply: &mut dyn Reply) -> Flow;

    /// Stops every output now, and forgets half of a command. Called whenever control is lost.
    fn stop(&mut self, now: u64);

    /// Whether an output does something that must end when control ends: a motor that turns, a move under way.
    fn is_on(&self) -> bool;

    /// Moves outputs to where they belong at this time. When it wants to be asked again, if something moves.
    fn tick(&mut self, now: u64) -> Option<u64>;

    /// A gateway has control from now on.
    fn connected(&mut self, now: u64);

    /// Stops every output now, and keeps all of them so until [`Device::release`]: what is commanded meanwhile is
    /// answered, and moves nothing.
    fn hold(&mut self, now: u64);

    /// While it is held: whether an output would do something now that must end when control ends.
    fn is_commanded(&self, now: u64) -> bool;

    /// Obeys again, from the next command on. What was commanded while it was held stays undone.
    fn release(&mut self, now: u64);
}

/// What an output does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A motor that shakes.
    Vibrate,
    /// A place on a line: stroke, surge, sway.
    Linear,
    /// An angle: twist, roll, pitch.
    Rotate,
    /// A valve, a pump, a heater.
    Auxiliary,
}

/// One output of a device: `V0`, `L1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    /// What it does.
    pub kind: Kind,
    /// Which one of its kind, counted from 0.
    pub index: u8,
}

impl Channel {
    /// The channel of this kind and number.
    pub const fn new(kind: Kind, index: u8) -> Self {
        Self { kind, index }
    }

    /// Whether it stands at a place, and so is at rest wherever it stands.
    pub const fn is_position(self) -> bool {
        matches!(self.kind, Kind::Linear | Kind::Rotate)
    }

    /// Its letter in TCode.
    pub const fn letter(self) -> char {
        match self.kind {
            Kind::Vibrate => 'V',
            Kind::Linear => 'L',
            Kind::Rotate => 'R',
            Kind::Auxiliary => 'A',
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.letter(), self.index)
    }
}

/// A value from 0 to 1, in 65,535 steps: what a duty cycle or a servo resolves, without a floating point unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(pub u16);

impl Level {
    /// 0.
    pub const OFF: Self = Self(0);
    /// The middle.
    pub const MIDDLE: Self = Self(u16::MAX / 2 + 1);
    /// 1.
    pub const FULL: Self = Self(u16::MAX);

    /// `part` of `whole`; everything over the whole is the whole.
    pub const fn of(part: u32, whole: u32) -> Self {
        if whole == 0 || part >= whole {
            return if part == 0 { Self::OFF } else { Self::FULL };
        }
        // part < whole, so the quotient is under 65,535; u64 holds the product of any two.
        Self(((part as u64 * u16::MAX as u64 + whole as u64 / 2) / whole as u64) as u16)
    }

    /// This much of `whole`, rounded: a duty cycle of a timer that counts to `whole`.
    pub const fn times(self, whole: u32) -> u32 {
        ((self.0 as u64 * whole as u64 + u16::MAX as u64 / 2) / u16::MAX as u64) as u32
    }
}

impl fmt::Display for Level {
    /// With three decimals: `0.500`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = self.times(1_000);
        write!(f, "{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }
}

/// The pins behind a device.
pub trait Outputs {
    /// Sets one output. Called when its value changes, and whenever it is switched off, even if it was off: do not skip
    /// that. A channel that the board has not is ignored.
    fn set(&mut self, channel: Channel, level: Level);

    /// Has the motor of channel R0, on an H-bridge, turn so strongly, and one way or the other. Called when that changes,
    /// with [`Level::OFF`] for a while before the other way, and whenever it is switched off. Ignored by a board that has
    /// none.
    fn turn(&mut self, _level: Level, _is_reversed: bool) {}

    /// The charge of the board's battery in percent, if the board measures it.
    fn charge(&self) -> Option<u8> {
        None
    }
}

impl<F: FnMut(Channel, Level)> Outputs for F {
    fn set(&mut self, channel: Channel, level: Level) {
        self(channel, level);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_are_parts_of_a_whole() {
        assert_eq!(Level::of(0, 20), Level::OFF);
        assert_eq!(Level::of(20, 20), Level::FULL);
        assert_eq!(Level::of(30, 20), Level::FULL);
        assert_eq!(Level::of(10, 20), Level::MIDDLE);
        assert_eq!(Level::of(1, 0), Level::FULL);
        assert_eq!(Level::MIDDLE.to_string(), "0.500");
        assert_eq!(Level::FULL.to_string(), "1.000");
        assert_eq!(Level::FULL.times(1_024), 1_024);
    }

    proptest! {
        #[test]
        fn steps_survive_the_way_there_and_back(steps in 1_u32..10_000, part in 0_u32..10_000) {
            let part = part.min(steps);
            prop_assert_eq!(Level::of(part, steps).times(steps), part);
        }
    }
}
