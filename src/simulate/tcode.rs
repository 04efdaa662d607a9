//! TCode v0.3, the device's side: commands set channels to a position or strength and take effect at the newline.
//!
//! A magnitude is the digits of a decimal fraction: `500` and `5` are 0.5, `05` is 0.05. `I` gives the duration of a
//! move in milliseconds, `S` its speed in hundredths of the range per second (`L020S10` covers 0.1 per second).

use std::time::Duration;

use bytes::Bytes;

use super::commands::{COMMAND_MAX_BYTES, Piece, Splitter};
use super::lovense::stop_all;
use super::{Actuator, Change, Command, Output, Reaction};
use crate::text::printable;

const DEVICE: &str = concat!("wsdm-gateway-simulator-", env!("CARGO_PKG_VERSION"), "\n");
const VERSION: &str = "TCode v0.3\n";
/// The channels that every device reports. Others are added when they are first commanded.
const USUAL: [&str; 10] = ["L0", "L1", "L2", "R0", "R1", "R2", "V0", "V1", "A0", "A1"];
/// All channels that the protocol can name.
static CHANNELS: [&str; 40] = [
    "L0", "L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", //
    "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", //
    "V0", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V9", //
    "A0", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9",
];
/// The number of digits of a magnitude that are used; a servo resolves four.
const MAGNITUDE_DIGITS: usize = 9;

/// A TCode device.
#[derive(Clone, Debug)]
pub struct Tcode {
    splitter: Splitter,
    actuators: Vec<Actuator>,
    /// The user's preferred range of each actuator, reported by `D2`. It does not limit motion.
    ranges: Vec<(u16, u16)>,
}

/// A move that takes effect at the end of its line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Move {
    channel: &'static str,
    to: f64,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    AtOnce,
    Within(Duration),
    /// In parts of the range per second.
    Speed(f64),
}

impl Default for Tcode {
    fn default() -> Self {
        Self::new()
    }
}

impl Tcode {
    /// A device that was just switched on: positions at the middle, everything else at 0.
    pub fn new() -> Self {
        let actuators: Vec<Actuator> = USUAL.into_iter().map(at_rest).collect();
        Self {
            splitter: Splitter::new(b'\n'),
            ranges: vec![(0, 9999); actuators.len()],
            actuators,
        }
    }

    /// See [`super::Firmware::receive`].
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Reaction {
        let mut reaction = Reaction::default();
        for piece in self.splitter.push(bytes) {
            match piece {
                Piece::TooLong(start) => reaction.commands.push(Command {
                    text: format!("{}...", printable(&start)),
                    meaning: format!("over {COMMAND_MAX_BYTES} bytes without a newline"),
                    known: false,
                }),
                Piece::Whole(line) => self.line(&line, now, &mut reaction),
            }
        }
        reaction
    }

    /// See [`super::Firmware::actuators`].
    pub fn actuators(&self) -> &[Actuator] {
        &self.actuators
    }

    /// See [`super::Firmware::lose_control`].
    pub fn lose_control(&mut self, now: Duration) -> Vec<Change> {
        self.splitter.clear();
        stop_all(&mut self.actuators, now)
    }

    fn line(&mut self, line: &[u8], now: Duration, reaction: &mut Reaction) {
        let mut moves: Vec<Move> = Vec::new();
        for token in line.split(u8::is_ascii_whitespace).filter(|t| !t.is_empty()) {
            let text = printable(token);
            let upper = token.to_ascii_uppercase();
            let (meaning, known) = match upper.as_slice() {
                b"D0" => (
                    self.answer(reaction, DEVICE.into(), "which device are you?"),
                    true,
                ),
                b"D1" => (
                    self.answer(reaction, VERSION.into(), "which TCode do you speak?"),
                    true,
                ),
                b"D2" => {
                    let axes = self.axes();
                    (self.answer(reaction, axes, "which axes have you?"), true)
                }
                b"DSTOP" => {
                    // Moves earlier in the same line must not take effect after the stop.
                    moves.clear();
                    reaction.changes.extend(stop_all(&mut self.actuators, now));
                    ("stop".to_owned(), true)
                }
                [b'$', rest @ ..] => match self.set_preferred_range(rest) {
                    Some(meaning) => (meaning, true),
                    None => ("unknown command".to_owned(), false),
                },
                token => match parse_move(token) {
                    Some(wanted) => {
                        // The last command to a channel wins.
                        moves.retain(|m| m.channel != wanted.channel);
                        moves.push(wanted);
                        (wanted.meaning(), true)
                    }
                    None => ("unknown command".to_owned(), false),
                },
            };
            reaction.commands.push(Command { text, meaning, known });
        }
        for wanted in moves {
            reaction.changes.push(self.go(wanted, now));
        }
    }

    fn answer(&self, reaction: &mut Reaction, reply: String, meaning: &str) -> String {
        reaction.replies.push(Bytes::from(reply));
        meaning.to_owned()
    }

    fn axes(&self) -> String {
        self.actuators
            .iter()
            .zip(&self.ranges)
            .map(|(a, (low, high))| format!("{} {low} {high} {}\n", a.name, title(a.name)))
            .collect()
    }

    /// Handles `$L0-1000-9000`, the user's preferred range.
    fn set_preferred_range(&mut self, rest: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(rest).ok()?;
        let mut parts = text.split('-');
        let (channel, low, high) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |t: &str| t.parse::<u16>().ok().filter(|n| *n <= 9999);
        let (low, high) = (number(low)?, number(high)?);
        if parts.next().is_some() {
            return None;
        }
        let index = self.index_of(CHANNELS.iter().find(|c| **c == channel)?);
        self.ranges[index] = (low, high);
        Some(format!("preferred range of {channel}: {low} to {high}"))
    }

    fn index_of(&mut self, channel: &'static str) -> usize {
        match self.actuators.iter().position(|a| a.name == channel) {
            Some(index) => index,
            None => {
                self.actuators.push(at_rest(channel));
                self.ranges.push((0, 9999));
                self.actuators.len() - 1
            }
        }
    }

    fn go(&mut self, wanted: Move, now: Duration) -> Change {
        let index = self.index_of(wanted.channel);
        let actuator = &mut self.actuators[index];
        let takes = match wanted.pace {
            Pace::AtOnce => Duration::ZERO,
            Pace::Within(takes) => takes,
            Pace::Speed(speed) => Duration::from_secs_f64((wanted.to - actuator.value_at(now)).abs() / speed),
        };
        actuator.go(wanted.to, takes, now);
        Change {
            index,
            actuator: *actuator,
        }
    }
}

impl Move {
    fn meaning(&self) -> String {
        let what = format!("{} to {:.3}", title(self.channel).to_lowercase(), self.to);
        match self.pace {
            Pace::AtOnce => what,
            Pace::Within(takes) => format!("{what} within {} ms", takes.as_millis()),
            Pace::Speed(speed) => format!("{what} at {speed:.2} of its range per second"),
        }
    }
}

fn at_rest(channel: &'static str) -> Actuator {
    let (output, value) = match channel.as_bytes()[0] {
        b'L' | b'R' => (Output::Position, 0.5),
        b'V' => (Output::Vibrate, 0.0),
        _ => (Output::Constrict, 0.0),
    };
    Actuator::resting(channel, output, 0, value)
}

fn title(channel: &str) -> &str {
    match channel {
        "L0" => "Stroke",
        "L1" => "Surge",
        "L2" => "Sway",
        "R0" => "Twist",
        "R1" => "Roll",
        "R2" => "Pitch",
        "V0" => "Vibe0",
        "V1" => "Vibe1",
        "A0" => "Valve",
        "A1" => "Suck",
        other => other,
    }
}

/// Parses an uppercase `L0500`, `L0500I1000` or `L0500S10`.
fn parse_move(token: &[u8]) -> Option<Move> {
    let (name, rest) = token.split_at_checked(2)?;
    let channel = CHANNELS.iter().find(|c| c.as_bytes() == name)?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (magnitude, rest) = rest.split_at(digits);
    let pace = match rest {
        [] => Pace::AtOnce,
        [b'I', ms @ ..] => match number(ms)? {
            0 => Pace::AtOnce,
            ms => Pace::Within(Duration::from_millis(ms)),
        },
        [b'S', speed @ ..] => match number(speed)? {
            0 => Pace::AtOnce,
            speed => Pace::Speed(speed as f64 / 100.0),
        },
        _ => return None,
    };
    Some(Move {
        channel,
        to: fraction(magnitude)?,
        pace,
    })
}

/// Parses the digits after "0."; at least one.
fn fraction(digits: &[u8]) -> Option<f64> {
    let counted = &digits[..digits.len().min(MAGNITUDE_DIGITS)];
    let whole = number(counted)?;
    Some(whole as f64 / 10_f64.powi(counted.len() as i32))
}

/// Parses up to nine digits, which is enough for a day in milliseconds.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > MAGNITUDE_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn value(device: &Tcode, channel: &str, now: Duration) -> f64 {
        let found = device.actuators().iter().find(|a| a.name == channel);
        found.unwrap().value_at(now)
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_magnitude_is_a_decimal_fraction() {
        for (text, wanted) in [
            ("L0500\n", 0.5),
            ("L05\n", 0.5),
            ("L005\n", 0.05),
            ("L09999\n", 0.9999),
            ("l0000\n", 0.0),
            ("L012345678999999999\n", 0.123456789),
        ] {
            let mut d = Tcode::new();
            d.receive(text.as_bytes(), MS(0));
            assert!(
                near(value(&d, "L0", MS(0)), wanted),
                "{text}: {}",
                value(&d, "L0", MS(0))
            );
        }
    }

    #[test]
    fn nothing_moves_before_the_newline() {
        let mut d = Tcode::new();
        d.receive(b"L0999", MS(0));
        assert_eq!(value(&d, "L0", MS(0)), 0.5);
        d.receive(b"\n", MS(0));
        assert_eq!(value(&d, "L0", MS(0)), 0.999);
    }

    #[test]
    fn moves_keep_their_duration_and_speed() {
        let mut d = Tcode::new();
        d.receive(b"L00I1000 R00S10 V099I100\n", MS(1_000));
        assert!(near(value(&d, "L0", MS(1_500)), 0.25));
        assert!(near(value(&d, "L0", MS(2_000)), 0.0));
        // 0.5 at 0.1 a second takes five seconds.
        assert!(near(value(&d, "R0", MS(3_500)), 0.25));
        assert!(near(value(&d, "R0", MS(6_000)), 0.0));
        assert!(near(value(&d, "V0", MS(1_050)), 0.495));
    }

    #[test]
    fn the_last_command_to_a_channel_wins() {
        let mut d = Tcode::new();
        d.receive(b"L00 L0999I1000\n", MS(0));
        assert_eq!(value(&d, "L0", MS(0)), 0.5);
    }

    #[test]
    fn a_stop_holds_positions_and_ends_vibration() {
        let mut d = Tcode::new();
        d.receive(b"L00I1000 V05 A05\n", MS(0));
        let r = d.receive(b"L0999 DSTOP\n", MS(500));
        assert_eq!(r.changes.len(), 3);
        assert!(near(value(&d, "L0", MS(9_000)), 0.25));
        assert_eq!(value(&d, "V0", MS(9_000)), 0.0);
        assert_eq!(value(&d, "A0", MS(9_000)), 0.0);
        assert!(!d.actuators().iter().any(|a| a.is_on_at(MS(500))));
    }

    #[test]
    fn questions_get_their_answers() {
        let mut d = Tcode::new();
        let mut ask = |q: &[u8]| String::from_utf8(d.receive(q, MS(0)).replies.concat()).unwrap();
        assert!(ask(b"D0\n").starts_with("wsdm-gateway-simulator-"));
        assert_eq!(ask(b"d1\r\n"), "TCode v0.3\n");
        assert!(ask(b"D2\n").contains("L0 0 9999 Stroke\n"));
        assert_eq!(ask(b"$L0-1000-9000 V35\n"), "");
        let axes = ask(b"D2\n");
        assert!(axes.contains("L0 1000 9000 Stroke\n"), "{axes}");
        assert!(axes.contains("V3 0 9999 V3\n"), "{axes}");
    }

    #[test]
    fn invalid_tcode_is_reported_and_changes_nothing() {
        for wrong in [
            "L0",
            "L",
            "X05",
            "L0x",
            "L05I",
            "L05Ix",
            "L05S-1",
            "L05I9999999999",
            "D9",
            "$L0",
            "$Q0-1-2",
            "$L0-1-10000",
            "\u{1b}[2J",
            "hello",
        ] {
            let mut d = Tcode::new();
            let r = d.receive(format!("{wrong}\n").as_bytes(), MS(0));
            assert_eq!(r.commands.len(), 1, "{wrong}");
            assert!(!r.commands[0].known, "{wrong}");
            assert_eq!(r.changes, [], "{wrong}");
            assert!(!r.commands[0].text.contains('\u{1b}'));
        }
    }
}
