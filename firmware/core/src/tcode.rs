//! TCode v0.3: channels that go to a place or a strength, a newline that makes it so.
//!
//! A magnitude is the digits of a decimal fraction: `500` and `5` are 0.5, `05` is 0.05. `I` gives the milliseconds
//! that a move takes, `S` its speed in hundredths of the range a second (`L020S10` covers 0.1 in a second).

mod axis;
mod parse;

use core::fmt::Write as _;

use crate::device::{Channel, Device, Flow, Kind, Level, Outputs, Reply};
use crate::splitter::{Piece, Splitter};
use axis::Axis;
use parse::{Command, Pace};

/// The longest line, and commands in one, that are taken.
const AXES_MAX: usize = 13;
const VERSION: &[u8] = b"TCode v0.3\n";
/// Between two steps of a move: a servo is told 50 times a second, a motor does not resolve more.
const STEP_MS: u64 = 10;
/// The most that one step makes up for. After a longer pause the program stood still; the rest of the way is made at
/// its pace then, and not in one leap.
pub const STEP_MAX_MS: u64 = 50;

/// What one axis may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisSettings {
    /// Which one: L0 to L2, R0 to R2, V0 to V3, A0 to A2.
    pub channel: Channel,
    /// What 0 comes to: the end stop of a machine that must not reach its own.
    pub low: Level,
    /// What 1 comes to.
    pub high: Level,
    /// The fastest that a place changes, in hundredths of the whole range a second; 0 is no limit. Not for V and A.
    pub speed: u32,
}

impl AxisSettings {
    /// The whole range, and once over it in half a second at the fastest.
    pub const fn new(kind: Kind, index: u8) -> Self {
        Self {
            channel: Channel::new(kind, index),
            low: Level::OFF,
            high: Level::FULL,
            speed: 200,
        }
    }
}

/// What a TCode device is.
#[derive(Clone, Copy, Debug)]
pub struct TcodeSettings<'a> {
    /// What it says to `D0`.
    pub name: &'a str,
    /// The axes that it has, 13 at most; others are not known to it.
    pub axes: &'a [AxisSettings],
    /// For so long from the first move after a gateway has taken control, places change slowly: nobody knows where they
    /// stood, nor where the app believes them to stand.
    pub soft_start_ms: u64,
    /// How slowly, as [`AxisSettings::speed`].
    pub soft_speed: u32,
}

impl TcodeSettings<'static> {
    /// Every axis that this device can have.
    pub const DEFAULT: Self = Self {
        name: "wsdm-device",
        axes: &[
            AxisSettings::new(Kind::Linear, 0),
            AxisSettings::new(Kind::Linear, 1),
            AxisSettings::new(Kind::Linear, 2),
            AxisSettings::new(Kind::Rotate, 0),
            AxisSettings::new(Kind::Rotate, 1),
            AxisSettings::new(Kind::Rotate, 2),
            AxisSettings::new(Kind::Vibrate, 0),
            AxisSettings::new(Kind::Vibrate, 1),
            AxisSettings::new(Kind::Vibrate, 2),
            AxisSettings::new(Kind::Vibrate, 3),
            AxisSettings::new(Kind::Auxiliary, 0),
            AxisSettings::new(Kind::Auxiliary, 1),
            AxisSettings::new(Kind::Auxiliary, 2),
        ],
        soft_start_ms: 2_000,
        soft_speed: 50,
    };
}

impl Default for TcodeSettings<'static> {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A TCode device.
#[derive(Debug)]
pub struct Tcode<'a, O> {
    splitter: Splitter,
    state: State<'a, O>,
}

#[derive(Debug)]
struct State<'a, O> {
    settings: TcodeSettings<'a>,
    outputs: O,
    axes: heapless::Vec<Axis, AXES_MAX>,
    soft: SoftStart,
    /// When the axes were moved last.
    moved: u64,
    /// How long they have been moving: time without that in which the program stood still.
    motion: u64,
    /// Nothing moves; this would.
    held: Option<Commanded>,
}

/// What was commanded while nothing may move.
#[derive(Clone, Copy, Debug)]
struct Commanded {
    /// The axes that would be on, as bits.
    on: u16,
    /// Until then a place would be on its way.
    until: u64,
}

/// How far the soft start is.
#[derive(Clone, Copy, Debug)]
enum SoftStart {
    /// It begins with the next move of a place.
    Armed,
    /// It lasts until then.
    Until(u64),
}

impl<'a, O: Outputs> Tcode<'a, O> {
    /// A device that was just switched on: everything at 0 but for places. Those are believed to be in their middle, and
    /// their outputs are left alone until the first move of each: what stands in the way of a machine nobody knows.
    pub fn new(settings: &TcodeSettings<'a>, outputs: O) -> Self {
        let mut state = State {
            settings: *settings,
            outputs,
            axes: settings.axes.iter().take(AXES_MAX).map(Axis::new).collect(),
            soft: SoftStart::Armed,
            moved: 0,
            motion: 0,
            held: None,
        };
        state.show();
        Self {
            splitter: Splitter::new(b'\n'),
            state,
        }
    }
}

impl<O: Outputs> Device for Tcode<'_, O> {
    fn frame(&mut self, now: u64, frame: &[u8], reply: &mut dyn Reply) -> Flow {
        let Self { splitter, state } = self;
        state.advance(now);
        splitter.push(frame, |piece| match piece {
            Piece::Whole(line) => state.line(line, reply),
            // TCode has no answer for what it does not understand.
            Piece::TooLong => {}
        });
        Flow::Stay
    }

    fn stop(&mut self, now: u64) {
        self.splitter.clear();
        // Nothing is moved on before: a program that stood still would make a leap of its stop.
        self.state.moved = self.state.moved.max(now);
        self.state.soft = SoftStart::Armed;
        self.state.stop();
    }

    fn is_on(&self) -> bool {
        self.state.axes.iter().any(Axis::is_on)
    }

    fn tick(&mut self, now: u64) -> Option<u64> {
        self.state.advance(now);
        self.state
            .axes
            .iter()
            .any(Axis::is_moving)
            .then_some(now + STEP_MS)
    }

    fn connected(&mut self, _now: u64) {
        self.state.soft = SoftStart::Armed;
    }

    fn hold(&mut self, now: u64) {
        let on = (0..)
            .zip(&self.state.axes)
            .filter(|(_, axis)| axis.is_strong())
            .fold(0, |on, (index, _)| on | 1 << index);
        self.state.moved = self.state.moved.max(now);
        self.state.soft = SoftStart::Armed;
        self.state.stop();
        self.state.held = Some(Commanded { on, until: now });
    }

    fn is_commanded(&self, now: u64) -> bool {
        self.state
            .held
            .is_some_and(|commanded| commanded.on != 0 || now < commanded.until)
    }

    fn release(&mut self, _now: u64) {
        self.state.held = None;
    }
}

impl<O: Outputs> State<'_, O> {
    /// Moves every axis to where it belongs now.
    fn advance(&mut self, now: u64) {
        let passed = now.saturating_sub(self.moved).min(STEP_MAX_MS);
        self.moved = self.moved.max(now);
        self.motion += passed;
        let soft = self.soft_speed();
        for axis in &mut self.axes {
            axis.advance(self.motion, passed, soft);
        }
        self.show();
    }

    /// How fast places may be because of the soft start; 0 is no limit.
    fn soft_speed(&self) -> u32 {
        match self.soft {
            SoftStart::Until(until) if self.moved >= until => 0,
            SoftStart::Armed | SoftStart::Until(_) => self.settings.soft_speed,
        }
    }

    /// Places stay where they are, everything else goes to 0.
    fn stop(&mut self) {
        if let Some(commanded) = &mut self.held {
            *commanded = Commanded { on: 0, until: 0 };
        }
        self.axes.iter_mut().for_each(Axis::stop);
        self.show();
    }

    /// Tells the outputs what changed.
    fn show(&mut self) {
        for axis in &mut self.axes {
            if let Some(level) = axis.change() {
                self.outputs.set(axis.channel(), level);
            }
        }
    }

    /// Carries out a line. What moves begins to move at its end, and the last command to a channel counts.
    fn line(&mut self, line: &[u8], reply: &mut dyn Reply) {
        let mut moves: heapless::Vec<(Channel, Level, Pace), AXES_MAX> = heapless::Vec::new();
        for token in line
            .split(u8::is_ascii_whitespace)
            .filter(|token| !token.is_empty())
        {
            match parse::command(token) {
                None => {}
                Some(Command::Device) => {
                    let mut text = heapless::String::<64>::new();
                    let name = self.settings.name.chars().filter(|c| !c.is_control()).take(40);
                    // 40 characters of any length may not fit; what does is enough.
                    let _ = name.into_iter().try_for_each(|c| text.push(c).map_err(|_| ()));
                    let _ = text.push('\n');
                    reply.send(text.as_bytes());
                }
                Some(Command::Version) => reply.send(VERSION),
                Some(Command::Axes) => {
                    for axis in &self.axes {
                        let mut text = heapless::String::<32>::new();
                        let (low, high) = axis.preferred();
                        // Two letters, two numbers of four digits, a title of six.
                        let _ = writeln!(text, "{} {low} {high} {}", axis.channel(), title(axis.channel()));
                        reply.send(text.as_bytes());
                    }
                }
                Some(Command::Stop) => {
                    // What the same line asked for before the stop must not move after it.
                    moves.clear();
                    self.stop();
                }
                Some(Command::Prefer(channel, low, high)) => {
                    if let Some(axis) = self.axis(channel) {
                        axis.prefer(low, high);
                    }
                }
                Some(Command::Move(channel, to, pace)) => {
                    moves.retain(|(other, ..)| *other != channel);
                    if self.axis(channel).is_some() {
                        // Known channels, once each, are no more than there are axes.
                        let _ = moves.push((channel, to, pace));
                    }
                }
            }
        }
        if let Some(commanded) = &mut self.held {
            for (channel, to, pace) in moves {
                let Some(index) = self.axes.iter().position(|axis| axis.channel() == channel) else {
                    continue;
                };
                let bit = 1 << index;
                if channel.is_position() {
                    // At once is a moment, too.
                    let until = self.moved + pace.at_most_ms() + 1;
                    commanded.until = commanded.until.max(until);
                } else if to == Level::OFF {
                    commanded.on &= !bit;
                } else {
                    commanded.on |= bit;
                }
            }
            return;
        }
        for (channel, ..) in moves.iter().filter(|(channel, ..)| channel.is_position()) {
            // The first move of each is soft, however late it comes.
            let is_first = self.axis(*channel).is_some_and(|axis| !axis.is_placed());
            if is_first || matches!(self.soft, SoftStart::Armed) {
                self.soft = SoftStart::Until(self.moved + self.settings.soft_start_ms);
            }
        }
        let (motion, soft) = (self.motion, self.soft_speed());
        for (channel, to, pace) in moves {
            if let Some(axis) = self.axis(channel) {
                axis.go(to, pace, motion, soft);
            }
        }
        // What is at once is so before the next line.
        self.advance(self.moved);
    }

    fn axis(&mut self, channel: Channel) -> Option<&mut Axis> {
        self.axes.iter_mut().find(|axis| axis.channel() == channel)
    }
}

fn title(channel: Channel) -> &'static str {
    match (channel.kind, channel.index) {
        (Kind::Linear, 0) => "Stroke",
        (Kind::Linear, 1) => "Surge",
        (Kind::Linear, _) => "Sway",
        (Kind::Rotate, 0) => "Twist",
        (Kind::Rotate, 1) => "Roll",
        (Kind::Rotate, _) => "Pitch",
        (Kind::Vibrate, 0) => "Vibe0",
        (Kind::Vibrate, 1) => "Vibe1",
        (Kind::Vibrate, 2) => "Vibe2",
        (Kind::Vibrate, _) => "Vibe3",
        (Kind::Auxiliary, 0) => "Valve",
        (Kind::Auxiliary, 1) => "Suck",
        (Kind::Auxiliary, _) => "Lube",
    }
}

#[cfg(test)]
mod tests;
