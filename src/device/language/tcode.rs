//! TCode version 0.3: axes with fractions of their range, any number of them in a line.

mod limit;

use std::fmt;

use bytes::Bytes;

use super::limits::Limits;
use super::{Command, Language, Question, Relation, Setting};
use crate::device::frame::Frame;

/// The name of an axis on the wire, such as `L0` or `A1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    kind: Kind,
    /// From 0 to 9: a second digit would be read as the first one of the value.
    number: u8,
}

/// What an axis does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Moves along a line: `L`.
    Linear,
    /// Turns to an angle: `R`.
    Rotary,
    /// Vibrates: `V`.
    Vibration,
    /// Opens a valve, runs a pump, or does something else: `A`.
    Auxiliary,
}

impl Kind {
    const ALL: [(u8, Self); 4] = [
        (b'L', Self::Linear),
        (b'R', Self::Rotary),
        (b'V', Self::Vibration),
        (b'A', Self::Auxiliary),
    ];

    fn letter(self) -> char {
        Self::ALL
            .into_iter()
            .find_map(|(letter, kind)| (kind == self).then_some(letter.into()))
            .unwrap_or('?')
    }
}

impl Channel {
    /// The channel with this number, from 0 to 9.
    pub fn new(kind: Kind, number: u32) -> Option<Self> {
        let number = u8::try_from(number).ok().filter(|number| *number <= 9)?;
        Some(Self { kind, number })
    }

    /// Parses a channel's name. Anything before or after it is an error.
    pub fn parse(name: &str) -> Option<Self> {
        match *name.as_bytes() {
            [letter, digit @ b'0'..=b'9'] => {
                let (_, kind) = Kind::ALL.into_iter().find(|(known, _)| *known == letter)?;
                Some(Self {
                    kind,
                    number: digit - b'0',
                })
            }
            _ => None,
        }
    }

    /// The channel that a description names: at its start, as in `R1 Roll`, or at its end in parentheses, as in
    /// `Roll (R1)`.
    pub fn of_description(description: &str) -> Option<Self> {
        let description = description.trim();
        let first = description.split(|c: char| !c.is_ascii_alphanumeric()).next();
        let last = || Some(description.strip_suffix(')')?.rsplit_once('(')?.1.trim());
        first
            .and_then(Self::parse)
            .or_else(|| last().and_then(Self::parse))
    }

    /// What it does.
    pub fn kind(self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.letter(), self.number)
    }
}

/// The command that sets an axis to `value` of `full`, at once or within `within_ms` milliseconds.
pub fn set(channel: Channel, value: u32, full: u32, within_ms: Option<u32>) -> String {
    let fraction = fraction(value, full);
    match within_ms {
        Some(ms) => format!("{channel}{fraction}I{ms}"),
        None => format!("{channel}{fraction}"),
    }
}

/// Writes `value` of `full` as the digits after a decimal point, so `full` itself as all nines: with as many digits as it
/// has if it is all nines already, else with three, or with four if three would lose steps. Not all firmware reads more.
fn fraction(value: u32, full: u32) -> String {
    let value = value.min(full);
    let (nines, digits) = match full {
        9 => (9, 1),
        99 => (99, 2),
        0..=1_000 => (999, 3),
        _ => (9_999, 4),
    };
    let (value, full) = (u64::from(value), u64::from(full.max(1)));
    let scaled = (value * nines + full / 2) / full;
    format!("{scaled:0digits$}")
}

/// Halts every axis.
const STOP: &[u8] = b"DSTOP\n";
/// Sets every vibrator to zero that a board can have.
const STILL: &[u8] = b"V00 V10 V20 V30 V40 V50 V60 V70 V80 V90\n";

/// Words that only ask something.
const QUERIES: &[&str] = &["D0", "D1", "D2"];

/// The TCode language.
pub(super) struct Tcode;

impl Language for Tcode {
    fn name(&self) -> &'static str {
        "tcode"
    }

    fn protocols(&self) -> &'static [&'static str] {
        &["tcode-v03"]
    }

    fn delimiter(&self) -> &'static [u8] {
        b"\n"
    }

    fn read(&self, frame: &str) -> Command {
        if frame.trim().eq_ignore_ascii_case("DSTOP") {
            return Command::StopAll;
        }
        super::of_parts(frame.split_ascii_whitespace().map(axis))
    }

    fn relate(&self, newer: &Setting, older: &Setting) -> Relation {
        if newer.actuator == older.actuator {
            Relation::Covers
        } else {
            Relation::Apart
        }
    }

    fn joins(&self) -> bool {
        true
    }

    fn write(&self, settings: &[Setting]) -> Frame {
        let texts: Vec<&str> = settings.iter().map(|setting| setting.text.as_str()).collect();
        Frame(Bytes::from(texts.join(" ") + "\n"))
    }

    /// Many firmwares do not know `DSTOP`, and no move lasts for ever but a vibration. The other axes have places, and to
    /// go to one is a move.
    fn stop_anything(&self) -> &'static [&'static [u8]] {
        &[STILL]
    }

    fn limit(&self, frame: &str, limits: &Limits) -> Option<String> {
        limit::frame(frame, limits)
    }

    /// Halts every axis. Many firmwares do not know it, so vibrators and valves are set to zero as well.
    fn stop_all(&self) -> Option<&'static [u8]> {
        Some(STOP)
    }

    fn stop_perhaps(&self) -> &'static [&'static [u8]] {
        &[STOP, STILL]
    }

    fn has_unknown_word(&self, frame: &str) -> bool {
        let mut words = frame.split_ascii_whitespace();
        words.any(|word| {
            let is_query = QUERIES.iter().any(|query| word.eq_ignore_ascii_case(query));
            axis(word).is_none() && !is_query
        })
    }

    /// The version of the language: `TCode v0.3`.
    fn question(&self) -> Option<Question> {
        let is_answer = |frame: &[u8]| {
            let text = frame.trim_ascii_start();
            text.get(..5)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"tcode"))
        };
        Some(Question {
            text: b"D1\n",
            is_answer,
        })
    }
}

/// `L0500`, `R2750I200`, `V099S5`
fn axis(command: &str) -> Option<Setting> {
    let axis = command.get(..2)?;
    let kind = axis.chars().next()?.to_ascii_uppercase();
    if !"LRVA".contains(kind) || !axis.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = &command[2..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (value, modifier) = rest.split_at(end);
    let modifier_holds = match modifier.chars().next() {
        None => true,
        Some('I' | 'i' | 'S' | 's') => {
            modifier.len() > 1 && modifier[1..].bytes().all(|b| b.is_ascii_digit())
        }
        Some(_) => false,
    };
    if value.is_empty() || !modifier_holds {
        return None;
    }
    let axis = axis.to_ascii_uppercase();
    // Vibrators and valves are off at zero; for a linear or rotary axis every value is a position.
    let has_nothing = matches!(kind, 'V' | 'A');
    Some(Setting {
        text: command.to_owned(),
        nothing: has_nothing.then(|| format!("{axis}{}", "0".repeat(value.len()))),
        // A ramp down to zero takes time, so it is not a stop.
        is_nothing: has_nothing && modifier.is_empty() && value.bytes().all(|b| b == b'0'),
        actuator: axis,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How far a board goes for a magnitude, from 0 to 1.
    fn travel(magnitude: &str) -> f64 {
        format!("0.{magnitude}").parse().expect("digits")
    }

    proptest! {
        #[test]
        fn a_value_is_its_fraction_of_the_travel(full in 1_u32..2_000_000, a: f64, b: f64) {
            let value = |x: f64| (x.fract().abs() * f64::from(full)) as u32;
            let (a, b) = (value(a), value(b));
            let (low, high) = (a.min(b), a.max(b));
            let (low_at, high_at) = (travel(&fraction(low, full)), travel(&fraction(high, full)));
            prop_assert!(low_at <= high_at, "{low} {high} of {full}: {low_at} {high_at}");
            let end = travel(&fraction(full, full));
            prop_assert!(end >= 0.9);
            let wanted = f64::from(low) / f64::from(full) * end;
            prop_assert!((low_at - wanted).abs() <= 0.000_501, "{low} of {full}: {low_at}, not {wanted}");
            prop_assert_eq!(travel(&fraction(0, full)), 0.0);
        }

        #[test]
        fn ranges_of_nines_are_written_digit_by_digit(value in 0_u32..=9_999) {
            for (full, digits) in [(9, 1), (99, 2), (999, 3), (9_999, 4)] {
                let value = value % (full + 1);
                prop_assert_eq!(fraction(value, full), format!("{value:0digits$}"));
            }
        }
    }

    #[test]
    fn ranges_that_are_no_power_of_ten_are_scaled() {
        for (value, full, wanted) in [
            (50, 100, "500"),
            (100, 100, "999"),
            (20, 20, "999"),
            (1, 1, "999"),
            (1_000, 1_000, "999"),
            (500, 1_000, "500"),
            (99_999, 99_999, "9999"),
            (4_095, 4_095, "9999"),
            (u32::MAX, 999, "999"),
            (7, 0, "000"),
            (u32::MAX, u32::MAX, "9999"),
        ] {
            assert_eq!(fraction(value, full), wanted, "{value} of {full}");
        }
    }

    #[test]
    fn a_command_carries_its_channel_and_its_time() {
        let roll = Channel::parse("R1").expect("a channel");
        assert_eq!(set(roll, 500, 999, Some(200)), "R1500I200");
        assert_eq!(set(roll, 5, 99, None), "R105");
    }

    #[test]
    fn a_description_names_a_channel_first_or_last() {
        for (description, wanted) in [
            ("R1 Roll", "R1"),
            ("L0", "L0"),
            (" V0: motor", "V0"),
            ("Up and down (L0)", "L0"),
            ("Valve ( A0 ) ", "A0"),
            ("A1-Lube (V0)", "A1"),
        ] {
            let channel = Channel::of_description(description).expect(description);
            assert_eq!(channel.to_string(), wanted, "{description}");
        }
        for description in [
            "",
            "Stroke",
            "L",
            "L01 x",
            "L10",
            "l0 x",
            "X0 x",
            "the L0 axis",
            "(L0) x",
            "Roll R1",
            "é0",
            "Roll )",
        ] {
            assert_eq!(Channel::of_description(description), None, "{description}");
        }
        assert_eq!(Channel::new(Kind::Linear, 10), None);
    }

    #[test]
    fn axes_are_told_from_device_commands() {
        for (text, wanted) in [
            ("L0500\n", vec![("L0", false)]),
            ("l0500i100 R1200S30\n", vec![("L0", false), ("R1", false)]),
            ("L0500\nR0500\n", vec![("L0", false), ("R0", false)]),
            ("V000\n", vec![("V0", true)]),
            ("V01\n", vec![("V0", false)]),
            ("V000I500\n", vec![("V0", false)]),
            ("A10\n", vec![("A1", true)]),
        ] {
            match Tcode.read(text) {
                Command::Set(axes) => {
                    let seen: Vec<_> = axes.iter().map(|a| (a.actuator.as_str(), a.is_nothing)).collect();
                    assert_eq!(seen, wanted, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in [
            "D0\n",
            "D2\n",
            "L0\n",
            "L0500X3\n",
            "L0500I\n",
            "X0500\n",
            "\n",
            "$TV-0-1\n",
            "é0500\n",
        ] {
            assert_eq!(Tcode.read(text), Command::Other, "{text}");
        }
        assert_eq!(Tcode.read("DSTOP\n"), Command::StopAll);
    }
}
