//! Lovense: commands with a name and numbers, each ended by a semicolon.

mod answers;
mod limit;

use bytes::Bytes;

use super::limits::Limits;
use super::{AnswerFilter, Command, Language, Relation, Setting};
use crate::device::frame::Frame;

/// Commands that set an actuator to a value. Others are queries (`Battery;`) or toggles (`RotateChange;`).
const ABSOLUTE: &[&str] = &[
    "Vibrate",
    "Vibrate1",
    "Vibrate2",
    "Vibrate3",
    "Rotate",
    "Rotate1",
    "Rotate2",
    "Air:Level",
    "Thrusting",
    "Fingering",
    "Suction",
    "Depth",
    "Oscillate",
    "Pump",
    "Preset",
    MPLY,
    POSITION,
];
/// Sets all actuators, in the order of the device; -1 leaves one unchanged.
const MPLY: &str = "Mply";
/// Moves a stroker to a position. Zero is a position too, and no command stops the move.
const POSITION: &str = "FSetSite";
/// Inflates or deflates relative to the current level; `Air:Level` sets it to nothing.
const STEPS: &[&str] = &["Air:In", "Air:Out"];

/// Commands that only ask something.
const QUERIES: &[&str] = &["Battery", "DeviceType", "GetBatch", "Status:1"];
/// Reverses what turns. What stands still stays so.
const REVERSE: &str = "RotateChange";

/// The Lovense language.
pub(super) struct Lovense;

impl Language for Lovense {
    fn name(&self) -> &'static str {
        "lovense"
    }

    fn protocols(&self) -> &'static [&'static str] {
        &["lovense"]
    }

    fn delimiter(&self) -> &'static [u8] {
        b";"
    }

    /// A step counts only by itself; among other commands it is a word that is not known.
    fn read(&self, frame: &str) -> Command {
        if let Some(step) = step(frame) {
            return Command::Step(step);
        }
        super::of_parts(frame.split_inclusive(';').map(setting))
    }

    fn relate(&self, newer: &Setting, older: &Setting) -> Relation {
        let (new, old) = (newer.actuator.as_str(), older.actuator.as_str());
        match (new, old) {
            (MPLY, MPLY) => mply_over_mply(newer, older),
            (MPLY, _) if POSITION == old || old.starts_with("Air") => Relation::Apart,
            (MPLY, _) => match old.strip_prefix("Vibrate").and_then(|n| n.parse::<usize>().ok()) {
                Some(n) if values(newer).nth(n - 1).is_some_and(|value| value != "-1") => Relation::Covers,
                _ => Relation::Touches,
            },
            (_, MPLY) if POSITION == new || new.starts_with("Air") => Relation::Apart,
            (_, MPLY) => Relation::Touches,
            _ if new == old => Relation::Covers,
            // `Preset` plays a pattern on all vibrators.
            ("Vibrate", "Preset") => Relation::Covers,
            ("Preset", _) if old.starts_with("Vibrate") => Relation::Touches,
            (_, "Preset") if new.starts_with("Vibrate") => Relation::Touches,
            // Without a number, the command means all actuators of its kind.
            ("Vibrate" | "Rotate", _) if old.starts_with(new) => Relation::Covers,
            (_, "Vibrate" | "Rotate") if new.starts_with(old) => Relation::Touches,
            _ => Relation::Apart,
        }
    }

    fn joins(&self) -> bool {
        false
    }

    fn write(&self, settings: &[Setting]) -> Frame {
        let texts: String = settings.iter().map(|setting| setting.text.as_str()).collect();
        Frame(Bytes::from(texts))
    }

    fn stop_anything(&self) -> &'static [&'static [u8]] {
        &[b"Vibrate:0;", b"Rotate:0;"]
    }

    /// In one frame that begins with a semicolon. The semicolon ends what a killed gateway, or a line of another
    /// language, left in the board's buffer. And firmware for TCode that looks at the first letter of a word, and at
    /// nothing else, must not take `Rotate` for an axis.
    fn stop_perhaps(&self) -> &'static [&'static [u8]] {
        &[b";Vibrate:0;Rotate:0;"]
    }

    /// `OK;`, or `ERR;` from a toy that lacks the actuator.
    fn is_acknowledgement(&self, frame: &Frame) -> bool {
        let text = frame.0.trim_ascii();
        let text = text.strip_suffix(b";").unwrap_or(text);
        text.eq_ignore_ascii_case(b"OK") || text.eq_ignore_ascii_case(b"ERR")
    }

    fn stop_all(&self) -> Option<&'static [u8]> {
        None
    }

    fn limit(&self, frame: &str, limits: &Limits) -> Option<String> {
        limit::frame(frame, limits)
    }

    fn has_unknown_word(&self, frame: &str) -> bool {
        let mut commands = frame.trim().split_inclusive(';');
        commands.any(|command| {
            let word = command.trim_end_matches(';').trim();
            setting(command).is_none() && !QUERIES.contains(&word) && word != REVERSE
        })
    }

    fn answer_filter(&self) -> Option<Box<dyn AnswerFilter>> {
        Some(Box::<answers::LovenseAnswers>::default())
    }
}

/// `Vibrate:5;`, `Rotate:True:5;`, `Air:Level:2;`, `Mply:3:-1:0;`
fn setting(command: &str) -> Option<Setting> {
    let body = command.strip_suffix(';')?;
    let name = ABSOLUTE.iter().find(|name| {
        body.strip_prefix(**name)
            .is_some_and(|values| values.starts_with(':'))
    })?;
    let mut is_nothing = *name != POSITION;
    let mut nothing = (*name).to_owned();
    for value in body[name.len() + 1..].split(':') {
        match value {
            "True" | "False" => nothing.extend([":", value]),
            number => {
                is_nothing &= number.parse::<i32>().ok()? == 0;
                nothing += ":0";
            }
        }
    }
    nothing.push(';');
    Some(Setting {
        actuator: (*name).to_owned(),
        text: command.to_owned(),
        nothing: (*name != POSITION).then_some(nothing),
        is_nothing,
    })
}

fn step(command: &str) -> Option<Setting> {
    let (name, value) = command.strip_suffix(';')?.rsplit_once(':')?;
    value.parse::<i32>().ok()?;
    STEPS.contains(&name).then(|| Setting {
        actuator: "Air:Level".to_owned(),
        text: command.to_owned(),
        nothing: Some("Air:Level:0;".to_owned()),
        is_nothing: false,
    })
}

fn values(setting: &Setting) -> impl Iterator<Item = &str> {
    setting.text.trim_end_matches(';').split(':').skip(1)
}

/// Actuators that the newer command leaves unchanged keep the older one's value.
fn mply_over_mply(newer: &Setting, older: &Setting) -> Relation {
    let (new, old): (Vec<&str>, Vec<&str>) = (values(newer).collect(), values(older).collect());
    let keeps = |n: usize| new.get(n).is_none_or(|value| *value == "-1");
    let all = new.len().max(old.len());
    if !(0..old.len()).any(keeps) {
        return Relation::Covers;
    }
    let merged: Vec<&str> = (0..all)
        .filter_map(|n| {
            let value = if keeps(n) { old.get(n) } else { new.get(n) };
            value.or(new.get(n)).copied()
        })
        .collect();
    match setting(&format!("{MPLY}:{};", merged.join(":"))) {
        Some(merged) => Relation::Merges(merged),
        None => Relation::Touches,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Setting {
        setting(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn commands_that_set_an_actuator_are_told_from_others() {
        for (text, wanted) in [
            ("Vibrate:5;", vec![("Vibrate", false)]),
            ("Vibrate1:0;", vec![("Vibrate1", true)]),
            ("Rotate:True:7;", vec![("Rotate", false)]),
            ("Rotate:False:0;", vec![("Rotate", true)]),
            ("Air:Level:0;", vec![("Air:Level", true)]),
            ("Mply:3:-1;", vec![("Mply", false)]),
            ("Mply:0:0:0;", vec![("Mply", true)]),
            ("Mply:0:-1;", vec![("Mply", false)]),
            ("FSetSite:0;", vec![("FSetSite", false)]),
            ("Vibrate:1;Rotate:2;", vec![("Vibrate", false), ("Rotate", false)]),
        ] {
            match Lovense.read(text) {
                Command::Set(settings) => {
                    let seen: Vec<_> = settings
                        .iter()
                        .map(|s| (s.actuator.as_str(), s.is_nothing))
                        .collect();
                    assert_eq!(seen, wanted, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(Lovense.read("Air:In:1;"), Command::Step(_)));
        for text in [
            "Battery;",
            "DeviceType;",
            "RotateChange;",
            "Vibrate:;",
            "Vibrate:x;",
            "Vibrate:5",
            "Vibrate;",
            "Air:In:x;",
            "",
            ";",
        ] {
            assert_eq!(Lovense.read(text), Command::Other, "{text}");
        }
    }

    #[test]
    fn a_command_covers_what_it_sets() {
        for (newer, older) in [
            ("Vibrate:0;", "Vibrate:5;"),
            ("Vibrate:0;", "Vibrate1:5;"),
            ("Rotate:0;", "Rotate2:5;"),
            ("Vibrate1:0;", "Vibrate1:5;"),
            ("Mply:1:2:3;", "Mply:4:5:6;"),
            ("Mply:1:2:3;", "Mply:4:5;"),
            ("Mply:1:2:3;", "Vibrate3:6;"),
        ] {
            assert_eq!(
                Lovense.relate(&one(newer), &one(older)),
                Relation::Covers,
                "{newer} {older}"
            );
        }
        for (newer, older) in [
            ("Vibrate1:0;", "Vibrate:5;"),
            ("Vibrate:0;", "Mply:4:5;"),
            ("Mply:1:2;", "Vibrate:5;"),
            ("Mply:1:2;", "Vibrate3:5;"),
            ("Mply:-1:2;", "Vibrate1:5;"),
        ] {
            assert_eq!(
                Lovense.relate(&one(newer), &one(older)),
                Relation::Touches,
                "{newer} {older}"
            );
        }
        for (newer, older) in [
            ("Vibrate:0;", "Rotate:5;"),
            ("Vibrate1:0;", "Vibrate2:5;"),
            ("Air:Level:0;", "Mply:5:5;"),
            ("Mply:0:0;", "Air:Level:3;"),
        ] {
            assert_eq!(
                Lovense.relate(&one(newer), &one(older)),
                Relation::Apart,
                "{newer} {older}"
            );
        }
        for (newer, older, wanted) in [
            ("Mply:3:-1;", "Mply:5:6;", "Mply:3:6;"),
            ("Mply:0;", "Mply:5:6;", "Mply:0:6;"),
            ("Mply:-1:-1:2;", "Mply:5;", "Mply:5:-1:2;"),
        ] {
            assert_eq!(
                Lovense.relate(&one(newer), &one(older)),
                Relation::Merges(one(wanted)),
                "{newer} {older}"
            );
        }
    }
}
