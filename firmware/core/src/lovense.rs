//! A lovense-speaking vibrator: words with arguments between colons, a semicolon at the end.

use core::fmt::Write as _;

use crate::device::{Channel, Device, Flow, Kind, Level, Outputs, Reply};
use crate::rotation::Rotation;
use crate::splitter::{Piece, Splitter};

/// The firmware that it claims to have; from version 3 on, all models speak as described here.
const FIRMWARE: u32 = 11;
/// The date on which it claims to have been made.
const BATCH: &[u8] = b"240131;";
/// `Vibrate:20;` is full.
const STEPS: u32 = 20;
/// Hexadecimal digits of a device's own address.
const MAC_MAX: usize = 12;

/// How many motors a vibrator has, and so what it says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Motors {
    /// One: a Hush, `Z`.
    #[default]
    One,
    /// Two, `Vibrate1` and `Vibrate2`: an Edge, `P`.
    Two,
    /// Three, up to `Vibrate3`: a Lapis, `U`.
    Three,
    /// One, and one that turns either way, by `Rotate` and `RotateChange`: a Nora, `A`.
    OneAndRotation,
    /// Two, and one that turns either way: a Flexer, `EI`.
    TwoAndRotation,
}

/// As many as [`Motors`] can have.
const MOTORS_MAX: usize = 3;

impl Motors {
    const fn count(self) -> usize {
        match self {
            Self::One | Self::OneAndRotation => 1,
            Self::Two | Self::TwoAndRotation => 2,
            Self::Three => 3,
        }
    }

    /// Whether one of them is on this channel.
    pub fn uses(self, channel: Channel) -> bool {
        match channel.kind {
            Kind::Vibrate => usize::from(channel.index) < self.count(),
            Kind::Rotate => channel.index == 0 && self.has_rotation(),
            Kind::Linear | Kind::Auxiliary => false,
        }
    }

    /// Whether one more turns either way.
    const fn has_rotation(self) -> bool {
        matches!(self, Self::OneAndRotation | Self::TwoAndRotation)
    }

    /// The letters by which apps know what it is.
    const fn model(self) -> &'static str {
        match self {
            Self::One => "Z",
            Self::Two => "P",
            Self::Three => "U",
            Self::OneAndRotation => "A",
            Self::TwoAndRotation => "EI",
        }
    }
}

/// What a lovense device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LovenseSettings<'a> {
    /// Which model.
    pub motors: Motors,
    /// What it gives as its own address: letters and digits of it, twelve at most.
    pub address: &'a str,
    /// The charge that it reports, in percent, unless its board measures it.
    pub battery: u8,
}

/// A lovense device. Channel `V0` is its motor; `V1` and `V2` are those of a second and a third one, `R0` turns.
#[derive(Debug)]
pub struct Lovense<O> {
    splitter: Splitter,
    state: State<O>,
}

#[derive(Debug)]
struct State<O> {
    outputs: O,
    levels: [Level; MOTORS_MAX],
    rotation: Rotation,
    motors: Motors,
    mac: heapless::String<MAC_MAX>,
    battery: u8,
    light: bool,
    /// The outputs are off, whatever the levels are.
    is_held: bool,
}

/// What one command comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Answered already.
    Answered,
    Off,
    /// Not a command of this device, or not a value that it takes.
    Refused,
}

impl<O: Outputs> Lovense<O> {
    /// A device at rest; its outputs are set to 0.
    pub fn new(settings: &LovenseSettings<'_>, mut outputs: O) -> Self {
        for (index, _) in (0..).zip(0..settings.motors.count()) {
            outputs.set(Channel::new(Kind::Vibrate, index), Level::OFF);
        }
        if settings.motors.has_rotation() {
            outputs.turn(Level::OFF, false);
        }
        // More would end the answer to DeviceType before its end.
        let usable = settings
            .address
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(MAC_MAX);
        Self {
            splitter: Splitter::new(b';'),
            state: State {
                outputs,
                levels: [Level::OFF; MOTORS_MAX],
                rotation: Rotation::default(),
                motors: settings.motors,
                mac: usable.collect(),
                battery: settings.battery.min(100),
                light: true,
                is_held: false,
            },
        }
    }
}

impl<O: Outputs> Device for Lovense<O> {
    fn frame(&mut self, now: u64, frame: &[u8], reply: &mut dyn Reply) -> Flow {
        let Self { splitter, state } = self;
        let mut flow = Flow::Stay;
        splitter.push(frame, |piece| {
            // Behind a PowerOff nothing counts.
            if flow == Flow::PowerOff {
                return;
            }
            let outcome = match piece {
                Piece::TooLong => Outcome::Refused,
                Piece::Whole(command) => match command.trim_ascii() {
                    [] => return,
                    command => core::str::from_utf8(command)
                        .map_or(Outcome::Refused, |command| state.command(now, command, reply)),
                },
            };
            match outcome {
                Outcome::Answered => {}
                Outcome::Refused => reply.send(b"ERR;"),
                Outcome::Done => reply.send(b"OK;"),
                Outcome::Off => {
                    reply.send(b"OK;");
                    flow = Flow::PowerOff;
                }
            }
        });
        state.turn(now);
        flow
    }

    fn stop(&mut self, now: u64) {
        self.splitter.clear();
        self.state.stop(now);
    }

    fn is_on(&self) -> bool {
        !self.state.is_held && self.state.is_commanded()
    }

    fn tick(&mut self, now: u64) -> Option<u64> {
        self.state.turn(now);
        self.state.rotation.due().filter(|_| !self.state.is_held)
    }

    fn connected(&mut self, _now: u64) {}

    fn hold(&mut self, now: u64) {
        self.state.is_held = true;
        self.state.switch_off(now);
    }

    fn is_commanded(&self, _now: u64) -> bool {
        self.state.is_commanded()
    }

    fn release(&mut self, now: u64) {
        self.state.stop(now);
        self.state.is_held = false;
    }
}

impl<O: Outputs> State<O> {
    fn command(&mut self, now: u64, command: &str, reply: &mut dyn Reply) -> Outcome {
        let (word, rest) = match command.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (command, None),
        };
        match (word, rest) {
            ("DeviceType", None) => {
                // Who asks that begins anew. Behind a gateway that was killed, nobody knows what is on.
                self.stop(now);
                let letter = self.motors.model();
                let mut text = heapless::String::<32>::new();
                // Two letters, two digits, twelve digits, three marks.
                let _ = write!(text, "{letter}:{FIRMWARE}:{};", self.mac);
                answer(reply, text.as_bytes())
            }
            ("Battery", None) => {
                let mut text = heapless::String::<8>::new();
                // 100 at most.
                let charge = self.outputs.charge().unwrap_or(self.battery).min(100);
                let _ = write!(text, "{charge};");
                answer(reply, text.as_bytes())
            }
            ("Status", Some("1")) => answer(reply, b"2;"),
            ("GetBatch", None) => answer(reply, BATCH),
            ("GetLight", None) => answer(reply, if self.light { b"Light:1;" } else { b"Light:0;" }),
            // Spelt as the real ones spell it.
            ("GetAS", None) => answer(reply, b"AutoSwith:1:0;"),
            ("Light", Some(state)) => {
                if state.eq_ignore_ascii_case("on") || state.eq_ignore_ascii_case("off") {
                    self.light = state.eq_ignore_ascii_case("on");
                    Outcome::Done
                } else {
                    Outcome::Refused
                }
            }
            ("PowerOff", None) => {
                self.stop(now);
                Outcome::Off
            }
            ("Vibrate", Some(level)) => self.vibrate(None, level),
            ("Rotate", Some(level)) if self.motors.has_rotation() => {
                let Some(level) = parse_level(level) else {
                    return Outcome::Refused;
                };
                self.rotate(now, level);
                Outcome::Done
            }
            ("RotateChange", None) if self.motors.has_rotation() => {
                self.rotation.reverse();
                Outcome::Done
            }
            ("Mply", Some(levels)) => self.multiply(now, levels),
            // A Hush has but one, and takes it by its number too.
            (word, Some(level)) => match word.strip_prefix("Vibrate").map(str::as_bytes) {
                Some([number @ b'1'..=b'9']) if usize::from(number - b'0') <= self.motors.count() => {
                    self.vibrate(Some(usize::from(number - b'1')), level)
                }
                _ => Outcome::Refused,
            },
            _ => Outcome::Refused,
        }
    }

    fn is_commanded(&self) -> bool {
        self.levels
            .iter()
            .chain([&self.rotation.wanted()])
            .any(|level| *level != Level::OFF)
    }

    fn stop(&mut self, now: u64) {
        self.levels = [Level::OFF; MOTORS_MAX];
        self.rotation.set(Level::OFF);
        self.switch_off(now);
    }

    /// Tells every output to be off, even one that was told so last: it may not be.
    fn switch_off(&mut self, now: u64) {
        if self.motors.has_rotation() {
            self.cut(now);
        }
        for (index, _) in (0..).zip(0..self.motors.count()) {
            self.outputs.set(Channel::new(Kind::Vibrate, index), Level::OFF);
        }
    }

    /// Tells the output of what turns what changed.
    fn turn(&mut self, now: u64) {
        if self.is_held {
            return;
        }
        if let Some((level, is_reversed)) = self.rotation.advance(now) {
            self.outputs.turn(level, is_reversed);
        }
    }

    fn vibrate(&mut self, motor: Option<usize>, level: &str) -> Outcome {
        let Some(level) = parse_level(level) else {
            return Outcome::Refused;
        };
        self.set(motor, level);
        Outcome::Done
    }

    /// A level for each motor, one after the other; -1 leaves one as it is, and what is left out stays too.
    fn multiply(&mut self, now: u64, levels: &str) -> Outcome {
        // What turns comes behind what vibrates.
        let count = self.motors.count();
        let mut wanted = [Level::OFF; MOTORS_MAX + 1];
        wanted[..MOTORS_MAX].copy_from_slice(&self.levels);
        wanted[count] = self.rotation.wanted();
        let takes = count + usize::from(self.motors.has_rotation());
        for (index, level) in levels.split(':').enumerate() {
            match wanted.get_mut(index) {
                Some(held) if index < takes => match (level, parse_level(level)) {
                    ("-1", _) => {}
                    (_, Some(level)) => *held = level,
                    (_, None) => return Outcome::Refused,
                },
                _ => return Outcome::Refused,
            }
        }
        for (index, level) in wanted.into_iter().take(count).enumerate() {
            self.set(Some(index), level);
        }
        if takes > count {
            self.rotate(now, wanted[count]);
        }
        Outcome::Done
    }

    fn rotate(&mut self, now: u64, level: Level) {
        self.rotation.set(level);
        if level == Level::OFF {
            self.cut(now);
        }
    }

    /// Tells what turns to be off, in the direction that it last had.
    fn cut(&mut self, now: u64) {
        let is_reversed = self.rotation.cut(now);
        self.outputs.turn(Level::OFF, is_reversed);
    }

    /// Sets one motor, or all. One that is to be off is told so even if it was told so last.
    fn set(&mut self, motor: Option<usize>, level: Level) {
        let motors = self.levels.iter_mut().zip(0_u8..).take(self.motors.count());
        for (held, index) in motors.filter(|(_, index)| motor.is_none_or(|m| m == usize::from(*index))) {
            if *held != level || level == Level::OFF {
                *held = level;
                if !self.is_held {
                    self.outputs.set(Channel::new(Kind::Vibrate, index), level);
                }
            }
        }
    }
}

/// A level and nothing else. No sign: "+5" is no number here.
fn parse_level(text: &str) -> Option<Level> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let level = text.parse::<u32>().ok().filter(|level| *level <= STEPS)?;
    Some(Level::of(level, STEPS))
}

fn answer(reply: &mut dyn Reply, text: &[u8]) -> Outcome {
    reply.send(text);
    Outcome::Answered
}

#[cfg(test)]
#[path = "lovense/tests.rs"]
mod tests;
