//! TCode version 0.3: axes with fractions of their range, any number of them in a line.

use bytes::Bytes;

use super::{Command, Language, Question, Relation, Setting};
use crate::device::frame::Frame;

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

    /// A line with anything but axes is `Other` as a whole.
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

    fn stop_anything(&self) -> &'static [&'static [u8]] {
        &[]
    }

    /// Halts every axis. Many firmwares do not know it, so vibrators and valves are set to zero as well.
    fn stop_all(&self) -> Option<&'static [u8]> {
        Some(b"DSTOP\n")
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
    use super::*;

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
