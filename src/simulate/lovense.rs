//! The lovense protocol, the device's side: words and arguments separated by colons, ended by a semicolon.

use std::time::Duration;

use bytes::Bytes;

use super::commands::{COMMAND_MAX_BYTES, Piece, Splitter};
use super::models::Model;
use super::{Actuator, Change, Command, Output, Reaction};
use crate::text::printable;

/// The reported firmware version. From version 3 on, all models speak the protocol as described here.
const FIRMWARE: u32 = 11;
/// The reported production date.
const BATCH: &str = "240131";

/// A lovense device.
#[derive(Clone, Debug)]
pub struct Lovense {
    splitter: Splitter,
    actuators: Vec<Actuator>,
    device_type: String,
    battery: u8,
    light: bool,
}

/// The outcome of a command.
enum Outcome {
    /// Done; the device acknowledges it. Holds the meaning.
    Done(String),
    /// A query: its meaning and its answer.
    Answer(String, String),
    /// Like [`Outcome::Done`], and the device turns itself off.
    Off,
    /// Not a command of this device, or an invalid value. Holds the reason.
    Refused(String),
}

impl Lovense {
    /// A device at rest. `mac` is the reported MAC in twelve hexadecimal digits; `battery` is in percent.
    pub fn new(model: &Model, mac: &str, battery: u8) -> Self {
        let mut seen = Vec::new();
        let actuators = model
            .outputs
            .iter()
            .map(|&output| {
                seen.push(output);
                let nth = seen.iter().filter(|o| **o == output).count();
                let alone = model.outputs.iter().filter(|o| **o == output).count() == 1;
                let steps = match output {
                    Output::Constrict => 3,
                    Output::Position => 100,
                    _ => 20,
                };
                Actuator::resting(name(output, nth, alone), output, steps, 0.0)
            })
            .collect();
        Self {
            splitter: Splitter::new(b';'),
            actuators,
            device_type: format!("{}:{FIRMWARE}:{mac};", model.letter),
            battery: battery.min(100),
            light: true,
        }
    }

    /// See [`super::Firmware::receive`].
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Reaction {
        let mut reaction = Reaction::default();
        for piece in self.splitter.push(bytes) {
            let (text, outcome) = match piece {
                Piece::TooLong(start) => {
                    let what = format!("over {COMMAND_MAX_BYTES} bytes without a semicolon");
                    (format!("{}...;", printable(&start)), Outcome::Refused(what))
                }
                Piece::Whole(command) => {
                    let command = command.trim_ascii();
                    if command.is_empty() {
                        continue;
                    }
                    let outcome = match std::str::from_utf8(command) {
                        Ok(command) => self.command(command, now, &mut reaction.changes),
                        Err(_) => Outcome::Refused("not text".into()),
                    };
                    (format!("{};", printable(command)), outcome)
                }
            };
            let (meaning, reply, known) = match outcome {
                Outcome::Done(meaning) => (meaning, "OK;".to_owned(), true),
                Outcome::Answer(meaning, reply) => (meaning, reply, true),
                Outcome::Off => {
                    reaction.power_off = true;
                    ("turn off".to_owned(), "OK;".to_owned(), true)
                }
                Outcome::Refused(why) => (why, "ERR;".to_owned(), false),
            };
            reaction.replies.push(Bytes::from(reply));
            reaction.commands.push(Command { text, meaning, known });
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

    fn command(&mut self, command: &str, now: Duration, changes: &mut Vec<Change>) -> Outcome {
        let (word, rest) = match command.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (command, None),
        };
        match (word, rest) {
            ("DeviceType", None) => Outcome::Answer("which device are you?".into(), self.device_type.clone()),
            ("Battery", None) => {
                Outcome::Answer("how full is the battery?".into(), format!("{};", self.battery))
            }
            ("Status", Some("1")) => Outcome::Answer("how are you?".into(), "2;".into()),
            ("GetBatch", None) => Outcome::Answer("when were you made?".into(), format!("{BATCH};")),
            ("GetLight", None) => Outcome::Answer(
                "is the light on?".into(),
                format!("Light:{};", u8::from(self.light)),
            ),
            ("Light", Some(state)) => match state.to_ascii_lowercase().as_str() {
                "on" => self.set_light(true),
                "off" => self.set_light(false),
                _ => Outcome::Refused("the light is on or off".into()),
            },
            ("GetAS", None) => Outcome::Answer(
                "what do you do about lost connections?".into(),
                "AutoSwith:1:0;".into(),
            ),
            ("PowerOff", None) => {
                changes.extend(stop_all(&mut self.actuators, now));
                Outcome::Off
            }
            ("Vibrate", Some(level)) => self.set(|a| is_vibrator(a.output), None, level, now, changes),
            ("Rotate", Some(level)) => self.set(|a| a.output == Output::Rotate, None, level, now, changes),
            ("RotateChange", None) => self.reverse(now, changes),
            ("Air", Some(rest)) => self.air(rest, now, changes),
            ("Mply", Some(rest)) => self.multiply(rest, now, changes),
            ("FSetSite", Some(place)) => {
                self.set(|a| a.output == Output::Position, None, place, now, changes)
            }
            (word, Some(level)) => match word.strip_prefix("Vibrate").map(str::parse::<usize>) {
                Some(Ok(nth)) => self.set(|a| is_vibrator(a.output), Some(nth), level, now, changes),
                _ => Outcome::Refused("unknown command".into()),
            },
            _ => Outcome::Refused("unknown command".into()),
        }
    }

    fn set_light(&mut self, on: bool) -> Outcome {
        self.light = on;
        Outcome::Done(format!("light {}", if on { "on" } else { "off" }))
    }

    /// Sets the actuators that `wanted` selects, or only the `nth` of them, counted from 1.
    fn set(
        &mut self,
        wanted: impl Fn(&Actuator) -> bool,
        nth: Option<usize>,
        level: &str,
        now: Duration,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let mut meanings = Vec::new();
        let picked = self.actuators.iter_mut().enumerate().filter(|(_, a)| wanted(a));
        for (_, (index, actuator)) in picked.enumerate().filter(|(i, _)| nth.is_none_or(|n| n == i + 1)) {
            match parse_level(level, actuator.steps) {
                Ok(level) => actuator.set_level(level, now),
                Err(why) => return Outcome::Refused(why),
            }
            meanings.push(format!("{} {}", actuator.name, actuator.text_at(now)));
            changes.push(Change {
                index,
                actuator: *actuator,
            });
        }
        if meanings.is_empty() {
            return Outcome::Refused("this model has no such actuator".into());
        }
        Outcome::Done(meanings.join(", "))
    }

    fn reverse(&mut self, now: Duration, changes: &mut Vec<Change>) -> Outcome {
        let Some((index, actuator)) = self
            .actuators
            .iter_mut()
            .enumerate()
            .find(|(_, a)| a.output == Output::Rotate)
        else {
            return Outcome::Refused("this model has no rotation".into());
        };
        actuator.reversed = !actuator.reversed;
        changes.push(Change {
            index,
            actuator: *actuator,
        });
        Outcome::Done(format!("reverse the rotation: {}", actuator.text_at(now)))
    }

    fn air(&mut self, rest: &str, now: Duration, changes: &mut Vec<Change>) -> Outcome {
        let is_air = |a: &Actuator| a.output == Output::Constrict;
        let Some(air) = self.actuators.iter().find(|a| is_air(a)).copied() else {
            return Outcome::Refused("this model has no air".into());
        };
        let Some((how, amount)) = rest.split_once(':') else {
            return Outcome::Refused("unknown command".into());
        };
        let level = match (how, amount.parse::<u32>()) {
            ("Level", _) => amount.to_owned(),
            ("In", Ok(amount)) => air.level().saturating_add(amount).min(air.steps).to_string(),
            ("Out", Ok(amount)) => air.level().saturating_sub(amount).to_string(),
            _ => return Outcome::Refused("unknown command".into()),
        };
        self.set(is_air, None, &level, now, changes)
    }

    /// Handles `Mply`: a value for each actuator, in order; -1 leaves an actuator unchanged. A stroking machine takes
    /// its speed and then its stroke length, which is not simulated.
    fn multiply(&mut self, rest: &str, now: Duration, changes: &mut Vec<Change>) -> Outcome {
        let values: Vec<&str> = rest.split(':').collect();
        let strokes = self
            .actuators
            .first()
            .is_some_and(|a| a.output == Output::Oscillate);
        let commanded = if strokes { 1 } else { self.actuators.len() };
        let most = if strokes { 2 } else { commanded };
        if values.len() > most {
            return Outcome::Refused(format!(
                "{} values; this model takes at most {most}",
                values.len()
            ));
        }
        let mut levels = Vec::new();
        for (actuator, value) in self.actuators.iter().take(commanded).zip(&values) {
            match *value {
                "-1" => levels.push(None),
                value => match parse_level(value, actuator.steps) {
                    Ok(level) => levels.push(Some(level)),
                    Err(why) => return Outcome::Refused(why),
                },
            }
        }
        let mut meanings = Vec::new();
        for (index, level) in levels.into_iter().enumerate() {
            let Some(level) = level else { continue };
            let actuator = &mut self.actuators[index];
            actuator.set_level(level, now);
            meanings.push(format!("{} {}", actuator.name, actuator.text_at(now)));
            changes.push(Change {
                index,
                actuator: *actuator,
            });
        }
        Outcome::Done(if meanings.is_empty() {
            "leave everything unchanged".into()
        } else {
            meanings.join(", ")
        })
    }
}

/// Whether `Vibrate` commands the output: the protocol counts stroking machines as vibrators.
fn is_vibrator(output: Output) -> bool {
    matches!(output, Output::Vibrate | Output::Oscillate)
}

fn parse_level(text: &str, steps: u32) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(level) if level <= steps => Ok(level),
        _ => Err(format!("takes 0 to {steps}")),
    }
}

pub(super) fn stop_all(actuators: &mut [Actuator], now: Duration) -> Vec<Change> {
    let mut changes = Vec::new();
    for (index, actuator) in actuators.iter_mut().enumerate() {
        if actuator.is_on_at(now) {
            actuator.stop(now);
            changes.push(Change {
                index,
                actuator: *actuator,
            });
        }
    }
    changes
}

fn name(output: Output, nth: usize, alone: bool) -> &'static str {
    match (output, nth, alone) {
        (Output::Vibrate, _, true) => "vibrate",
        (Output::Vibrate, 1, _) => "vibrate 1",
        (Output::Vibrate, 2, _) => "vibrate 2",
        (Output::Vibrate, _, _) => "vibrate 3",
        (other, _, _) => other.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::models;
    use super::*;

    fn device(model: &str) -> Lovense {
        Lovense::new(models::find(model).unwrap(), "AABBCCDDEEFF", 90)
    }

    fn replies(device: &mut Lovense, bytes: &[u8]) -> String {
        let replies = device.receive(bytes, Duration::ZERO).replies;
        String::from_utf8(replies.concat()).unwrap()
    }

    fn levels(device: &Lovense) -> Vec<u32> {
        device.actuators().iter().map(Actuator::level).collect()
    }

    #[test]
    fn questions_get_their_answers() {
        let mut d = device("hush");
        assert_eq!(replies(&mut d, b"DeviceType;"), "Z:11:AABBCCDDEEFF;");
        assert_eq!(replies(&mut d, b"Battery;"), "90;");
        assert_eq!(replies(&mut d, b"Status:1;"), "2;");
        assert_eq!(replies(&mut d, b"GetBatch;"), "240131;");
        assert_eq!(replies(&mut d, b"Light:off;GetLight;"), "OK;Light:0;");
        assert_eq!(replies(&mut d, b"Make:Tea;"), "ERR;");
        assert_eq!(replies(&mut d, b" \r\n;"), "");
    }

    #[test]
    fn each_output_follows_its_commands() {
        let mut edge = device("edge");
        replies(&mut edge, b"Vibrate:10;");
        assert_eq!(levels(&edge), [10, 10]);
        replies(&mut edge, b"Vibrate2:20;Vibrate1:0;");
        assert_eq!(levels(&edge), [0, 20]);

        let mut max = device("max");
        replies(&mut max, b"Air:Level:2;Vibrate:3;");
        assert_eq!(levels(&max), [3, 2]);
        replies(&mut max, b"Air:In:1;");
        assert_eq!(levels(&max), [3, 3]);
        replies(&mut max, b"Air:Out:2;");
        assert_eq!(levels(&max), [3, 1]);

        let mut nora = device("nora");
        replies(&mut nora, b"Rotate:12;RotateChange;");
        assert_eq!(levels(&nora), [0, 12]);
        assert!(nora.actuators()[1].reversed);
        assert_eq!(nora.actuators()[1].text_at(Duration::ZERO), "-12/20");
        replies(&mut nora, b"RotateChange;");
        assert!(!nora.actuators()[1].reversed);

        let mut flexer = device("flexer");
        replies(&mut flexer, b"Mply:1:2:3;");
        replies(&mut flexer, b"Mply:-1:9:-1;");
        assert_eq!(levels(&flexer), [1, 9, 3]);

        let mut solace = device("solace");
        replies(&mut solace, b"Mply:7:20;");
        assert_eq!(levels(&solace), [7]);

        let mut pro = device("solace-pro");
        replies(&mut pro, b"FSetSite:40;Mply:5:20;");
        assert_eq!(levels(&pro), [5, 40]);
    }

    #[test]
    fn a_value_out_of_range_or_for_another_model_changes_nothing() {
        let mut d = device("hush");
        replies(&mut d, b"Vibrate:7;");
        let wrong = [
            "Vibrate:21;",
            "Vibrate:-1;",
            "Vibrate:;",
            "Vibrate;",
            "Vibrate2:3;",
            "Vibrate0:3;",
            "Rotate:3;",
            "RotateChange;",
            "Air:Level:1;",
            "Mply:1:2;",
            "Mply:x;",
            "vibrate:3;",
            "Light:maybe;",
        ];
        for wrong in wrong {
            assert_eq!(replies(&mut d, wrong.as_bytes()), "ERR;", "{wrong}");
            assert_eq!(levels(&d), [7], "{wrong}");
        }
    }

    #[test]
    fn commands_are_reported_with_their_meaning() {
        let mut d = device("edge");
        let r = d.receive(b"Vibrate:10;\x1b;", Duration::ZERO);
        assert_eq!(r.commands[0].text, "Vibrate:10;");
        assert_eq!(r.commands[0].meaning, "vibrate 1 10/20, vibrate 2 10/20");
        assert!(r.commands[0].known);
        assert_eq!(r.commands[1].text, "\\u{1b};");
        assert!(!r.commands[1].known);
    }

    #[test]
    fn turning_off_stops_the_motors_first() {
        let mut d = device("hush");
        let r = d.receive(b"Vibrate:20;PowerOff;", Duration::ZERO);
        assert!(r.power_off);
        assert_eq!(levels(&d), [0]);
    }

    #[test]
    fn losing_control_stops_outputs_and_discards_an_incomplete_command() {
        let mut d = device("edge");
        replies(&mut d, b"Vibrate2:20;Vibr");
        let stopped = d.lose_control(Duration::ZERO);
        assert_eq!(stopped.len(), 1);
        assert_eq!(stopped[0].index, 1);
        assert_eq!(levels(&d), [0, 0]);
        assert_eq!(d.lose_control(Duration::ZERO), []);
        assert_eq!(replies(&mut d, b"Battery;"), "90;");
    }
}
