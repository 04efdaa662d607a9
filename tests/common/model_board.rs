//! Boards in software that know what their language's commands do, so that a test asks whether one is at rest and not
//! which bytes came.
//!
//! Written apart from the program's own simulator: a misreading of a protocol there must not hide the same one here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lovense `Z`: one vibrator.
    Hush,
    /// Lovense `P`: two vibrators.
    Edge,
    /// Lovense `A`: a vibrator and a rotating head.
    Nora,
    /// Lovense `B`: a vibrator and an air pump.
    Max,
    /// Lovense `EI`: two vibrators and a finger, which only `Mply` sets together.
    Flexer,
    /// TCode: a stroke and a vibrator, with `DSTOP`.
    Stroker,
    /// TCode: a vibrator, in a firmware that has no `DSTOP`.
    Buzzer,
}

/// An output, as an app and as the board's own language name it.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// The app's feature index.
    pub feature: u32,
    /// The app's command.
    pub command: &'static str,
    /// Its largest value.
    pub most: u32,
}

const fn output(feature: u32, command: &'static str, most: u32) -> Output {
    Output {
        feature,
        command,
        most,
    }
}

/// Far longer than any test watches: a move never looks as if it had been stopped because it was over.
const STROKE: Duration = Duration::from_secs(20);

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Hush,
        Self::Edge,
        Self::Nora,
        Self::Max,
        Self::Flexer,
        Self::Stroker,
        Self::Buzzer,
    ];

    /// For reports, and as the board's address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hush => "vibrator",
            Self::Edge => "two-vibrators",
            Self::Nora => "rotation",
            Self::Max => "air",
            Self::Flexer => "mply",
            Self::Stroker => "stroker",
            Self::Buzzer => "no-dstop",
        }
    }

    /// What it introduces itself as; see [`UDCF`].
    pub fn identifier(self) -> &'static str {
        match self {
            Self::Stroker => "ModelStroker",
            Self::Buzzer => "ModelBuzzer",
            _ => "LVSDevice",
        }
    }

    /// How a Buttplug server lists it.
    pub fn listed_as(self) -> &'static str {
        match self {
            Self::Hush => "Lovense Hush",
            Self::Edge => "Lovense Edge",
            Self::Nora => "Lovense Nora",
            Self::Max => "Lovense Max",
            Self::Flexer => "Lovense Flexer",
            Self::Stroker => "Model stroker",
            Self::Buzzer => "Model buzzer",
        }
    }

    pub fn outputs(self) -> &'static [Output] {
        const VIBRATE: Output = output(0, "Vibrate", 20);
        const VIBRATE_TOO: Output = output(1, "Vibrate", 20);
        const ROTATE: Output = output(1, "Rotate", 20);
        const AIR: Output = output(1, "Constrict", 3);
        const FINGER: Output = output(2, "Rotate", 20);
        const STROKE: Output = output(0, "HwPositionWithDuration", 999);
        const BUZZ: Output = output(1, "Vibrate", 99);
        match self {
            Self::Hush => &[VIBRATE],
            Self::Edge => &[VIBRATE, VIBRATE_TOO],
            Self::Nora => &[VIBRATE, ROTATE],
            Self::Max => &[VIBRATE, AIR],
            Self::Flexer => &[VIBRATE, VIBRATE_TOO, FINGER],
            Self::Stroker => &[STROKE, BUZZ],
            Self::Buzzer => &[BUZZ],
        }
    }

    /// One frame in the board's own language that sets its `nth` output (`Mply` sets all of them) to this part of its range.
    pub fn frame(self, nth: usize, part: f64) -> String {
        let level = |most: u32| (part * f64::from(most)).round() as u32;
        match (self, nth) {
            (Self::Hush, _) | (Self::Nora | Self::Max, 0) => format!("Vibrate:{};", level(20)),
            (Self::Edge, nth) => format!("Vibrate{}:{};", nth + 1, level(20)),
            (Self::Nora, _) => format!("Rotate:{};", level(20)),
            (Self::Max, _) => format!("Air:Level:{};", level(3)),
            (Self::Flexer, _) => format!("Mply:{0}:{0}:{0};", level(20)),
            (Self::Stroker, 0) => format!("L0{:03}I{}\n", level(999), STROKE.as_millis()),
            (Self::Stroker | Self::Buzzer, _) => format!("V1{:02}\n", level(99)),
        }
    }

    /// The app's command that sets an output to this part of its range.
    pub fn command(output: Output, part: f64) -> serde_json::Value {
        let value = (part * f64::from(output.most)).round() as u32;
        let mut body = serde_json::json!({ "Value": value });
        if output.command == "HwPositionWithDuration" {
            body["Duration"] = serde_json::json!(STROKE.as_millis() as u64);
        }
        serde_json::json!({ output.command: body })
    }

    fn actuators(self) -> Vec<Actuator> {
        let names: &[(&'static str, u32)] = match self {
            Self::Hush => &[("vibrate 1", 20)],
            Self::Edge => &[("vibrate 1", 20), ("vibrate 2", 20)],
            Self::Nora => &[("vibrate 1", 20), ("rotate", 20)],
            Self::Max => &[("vibrate 1", 20), ("air", 3)],
            Self::Flexer => &[("vibrate 1", 20), ("vibrate 2", 20), ("finger", 20)],
            Self::Stroker => &[("L0", 0), ("V1", 1)],
            Self::Buzzer => &[("V1", 1)],
        };
        names
            .iter()
            .map(|&(name, most)| Actuator {
                name,
                most,
                level: 0.0,
                movement: None,
                resting: Some(Instant::now()),
            })
            .collect()
    }
}

/// Names the boards that the built-in configuration does not describe.
pub const UDCF: &str = r#"{
  "version": { "major": 5, "minor": 0 },
  "user_configs": { "protocols": {
    "lovense": { "communication": [{ "websocket": { "name": "LVSDevice" } }] },
    "tcode-v03": {
      "communication": [
        { "websocket": { "name": "ModelStroker" } },
        { "websocket": { "name": "ModelBuzzer" } }
      ],
      "configurations": [
        {
          "identifier": ["ModelStroker"],
          "name": "Model stroker",
          "id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c01",
          "features": [
            {
              "index": 0,
              "id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c02",
              "output": { "hw_position_with_duration": { "value": [0, 999], "duration": [0, 99999] } }
            },
            {
              "index": 1,
              "id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c03",
              "output": { "vibrate": { "value": [0, 99] } }
            }
          ]
        },
        {
          "identifier": ["ModelBuzzer"],
          "name": "Model buzzer",
          "id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c04",
          "features": [
            {
              "index": 1,
              "id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c05",
              "output": { "vibrate": { "value": [0, 99] } }
            }
          ]
        }
      ]
    }
  } }
}"#;

/// What a board made of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It set something.
    Obeyed,
    /// A question, or something that moves nothing.
    Query,
    /// A command of the language that this board has no actuator for.
    Refused,
    /// Not a command of the language, or not a value that it takes.
    Unknown,
}

/// A command that came.
#[derive(Clone, Debug)]
pub struct Command {
    pub at: Instant,
    pub text: String,
    pub verdict: Verdict,
}

impl Command {
    /// Whether it turns something off.
    pub fn is_stop(&self) -> bool {
        let values = match self.text.split_once(':') {
            Some((_, values)) => values.trim_start_matches("Level:"),
            None if self.text == "DSTOP" => return true,
            None => self
                .text
                .strip_prefix(['V', 'A'])
                .and_then(|rest| rest.get(1..))
                .unwrap_or_default(),
        };
        !values.is_empty()
            && values
                .split(':')
                .all(|value| value.bytes().all(|digit| digit == b'0'))
    }
}

#[derive(Clone, Debug)]
struct Actuator {
    name: &'static str,
    /// The largest level; 0 is an axis, which has a place and no level.
    most: u32,
    /// A level, or the place that an axis has or goes to.
    level: f64,
    /// An axis' way: from where, since when, for how long.
    movement: Option<(f64, Instant, Duration)>,
    /// Since when it does nothing. `None` while it does something.
    resting: Option<Instant>,
}

impl Actuator {
    fn is_axis(&self) -> bool {
        self.most == 0
    }

    /// Ends a movement that is over.
    fn settle(&mut self, now: Instant) {
        if let Some((_, start, takes)) = self.movement
            && now.duration_since(start) >= takes
        {
            self.movement = None;
            self.resting = Some(start + takes);
        }
    }

    fn place(&self, now: Instant) -> f64 {
        match self.movement {
            Some((from, start, takes)) => {
                let part = now.duration_since(start).as_secs_f64() / takes.as_secs_f64();
                from + (self.level - from) * part.min(1.0)
            }
            None => self.level,
        }
    }

    fn set(&mut self, level: f64, now: Instant) {
        self.level = level;
        if level > 0.0 {
            self.resting = None;
        } else {
            self.resting.get_or_insert(now);
        }
    }

    fn go(&mut self, to: f64, takes: Duration, now: Instant) {
        let from = self.place(now);
        self.level = to;
        if takes.is_zero() || (to - from).abs() < f64::EPSILON {
            self.movement = None;
            self.resting.get_or_insert(now);
        } else {
            self.movement = Some((from, now, takes));
            self.resting = None;
        }
    }

    fn stop(&mut self, now: Instant) {
        if self.is_axis() {
            self.level = self.place(now);
            self.movement = None;
            self.resting.get_or_insert(now);
        } else {
            self.set(0.0, now);
        }
    }

    fn describe(&self) -> String {
        match self.movement {
            Some(_) => format!("{} moves to {:.3}", self.name, self.level),
            None if self.most > 1 => format!("{} at {}/{}", self.name, self.level, self.most),
            None => format!("{} at {:.2}", self.name, self.level),
        }
    }
}

struct State {
    actuators: Vec<Actuator>,
    commands: Vec<Command>,
    pending: Vec<u8>,
}

/// A board.
pub struct ModelBoard {
    pub kind: Kind,
    /// Whether it answers commands and not only questions. A board on a slow line does not: on a pseudo-terminal the
    /// answer would come before a real line had carried the command.
    answers: bool,
    /// It answers not even questions.
    silent: AtomicBool,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl ModelBoard {
    /// A board at rest.
    pub fn new(kind: Kind, answers: bool) -> Self {
        Self {
            kind,
            answers,
            silent: AtomicBool::new(false),
            state: Mutex::new(State {
                actuators: kind.actuators(),
                commands: Vec::new(),
                pending: Vec::new(),
            }),
            changed: watch::Sender::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers nothing from now on, and obeys all the same.
    pub fn be_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Runs as somebody left it who has gone.
    pub fn leave_running(&self) {
        let now = Instant::now();
        for actuator in &mut self.state().actuators {
            if actuator.is_axis() {
                actuator.go(0.999, STROKE, now);
            } else {
                actuator.set(f64::from(actuator.most), now);
            }
        }
        self.changed.send_replace(());
    }

    /// Takes bytes, cut anywhere, and returns the answers.
    pub fn receive(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let now = Instant::now();
        let lovense = self.kind.identifier() == "LVSDevice";
        let delimiter = if lovense { b';' } else { b'\n' };
        let mut answers = Vec::new();
        let mut state = self.state();
        state.pending.extend_from_slice(bytes);
        while let Some(at) = state.pending.iter().position(|b| *b == delimiter) {
            let command: Vec<u8> = state.pending.drain(..=at).collect();
            let text = String::from_utf8_lossy(&command[..at]).trim().to_owned();
            // A lone newline is a sign of life.
            if text.is_empty() {
                continue;
            }
            if lovense {
                let (verdict, answer) = self.lovense(&mut state.actuators, &text, now);
                state.commands.push(Command {
                    at: now,
                    text,
                    verdict,
                });
                if self.answers || verdict == Verdict::Query {
                    answers.push(answer.into_bytes());
                }
            } else {
                for token in text.split_whitespace() {
                    let verdict = self.tcode(&mut state.actuators, token, now);
                    state.commands.push(Command {
                        at: now,
                        text: token.to_owned(),
                        verdict,
                    });
                }
            }
        }
        drop(state);
        self.changed.send_replace(());
        if self.silent.load(Ordering::Relaxed) {
            answers.clear();
        }
        answers
    }

    fn lovense(&self, actuators: &mut [Actuator], text: &str, now: Instant) -> (Verdict, String) {
        let parts: Vec<&str> = text.split(':').collect();
        let verdict = match parts[..] {
            ["DeviceType"] => {
                let letter = match self.kind {
                    Kind::Hush => "Z",
                    Kind::Edge => "P",
                    Kind::Nora => "A",
                    Kind::Max => "B",
                    _ => "EI",
                };
                let mac = self.kind as usize;
                return (Verdict::Query, format!("{letter}:11:0000000000{mac:02X};"));
            }
            ["Battery"] => return (Verdict::Query, "85;".to_owned()),
            ["Status", "1"] => return (Verdict::Query, "2;".to_owned()),
            ["RotateChange"] if self.kind == Kind::Nora => Verdict::Query,
            ["RotateChange"] => Verdict::Refused,
            ["Air", "Level", level] => set(actuators, |name| name == "air", level, now),
            ["Mply", ref levels @ ..] if self.kind == Kind::Flexer => {
                if levels.len() > actuators.len() {
                    Verdict::Unknown
                } else {
                    let mut verdict = Verdict::Obeyed;
                    for (actuator, level) in actuators.iter_mut().zip(levels) {
                        // -1 leaves one as it is.
                        if *level != "-1"
                            && set(std::slice::from_mut(actuator), |_| true, level, now) != Verdict::Obeyed
                        {
                            verdict = Verdict::Unknown;
                        }
                    }
                    verdict
                }
            }
            ["Mply", ..] => Verdict::Refused,
            ["Vibrate", level] => set(actuators, |name| name.starts_with("vibrate"), level, now),
            ["Rotate", level] => set(actuators, |name| name == "rotate", level, now),
            ["Fingering", level] => set(actuators, |name| name == "finger", level, now),
            ["Thrusting" | "Suck" | "Oscillate" | "Depth" | "Pump", _] => Verdict::Refused,
            [word, level] => match word.strip_prefix("Vibrate") {
                Some(nth @ ("1" | "2" | "3")) => {
                    set(actuators, |name| name == format!("vibrate {nth}"), level, now)
                }
                _ => Verdict::Unknown,
            },
            _ => Verdict::Unknown,
        };
        let done = matches!(verdict, Verdict::Obeyed | Verdict::Query);
        (verdict, if done { "OK;" } else { "ERR;" }.to_owned())
    }

    fn tcode(&self, actuators: &mut [Actuator], token: &str, now: Instant) -> Verdict {
        match token {
            "DSTOP" if self.kind == Kind::Buzzer => return Verdict::Refused,
            "DSTOP" => {
                for actuator in actuators {
                    actuator.settle(now);
                    actuator.stop(now);
                }
                return Verdict::Obeyed;
            }
            "D0" | "D1" | "D2" => return Verdict::Query,
            _ => {}
        }
        let Some((channel, rest)) = token.split_at_checked(2) else {
            return Verdict::Unknown;
        };
        let (digits, pace) = rest.find(['I', 'S']).map_or((rest, ""), |at| rest.split_at(at));
        let well_formed = channel.starts_with(['L', 'R', 'V', 'A']) && channel.as_bytes()[1].is_ascii_digit();
        let magnitude = format!("0.{digits}").parse::<f64>();
        let takes = match pace.split_at_checked(1) {
            None => Some(Duration::ZERO),
            Some(("I", ms)) => ms.parse().ok().map(Duration::from_millis),
            // No board here is told to move at a speed.
            Some(_) => None,
        };
        let (true, false, Ok(magnitude), Some(takes)) = (well_formed, digits.is_empty(), magnitude, takes)
        else {
            return Verdict::Unknown;
        };
        let Some(actuator) = actuators.iter_mut().find(|a| a.name == channel) else {
            return Verdict::Refused;
        };
        actuator.settle(now);
        if actuator.is_axis() {
            actuator.go(magnitude, takes, now);
        } else {
            actuator.set(magnitude, now);
        }
        Verdict::Obeyed
    }

    /// Since when every actuator does nothing; `None` while one does something.
    pub fn rest_since(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state();
        state.actuators.iter_mut().for_each(|a| a.settle(now));
        let since: Option<Vec<Instant>> = state.actuators.iter().map(|a| a.resting).collect();
        since?.into_iter().max()
    }

    /// Whether every actuator does something.
    pub fn is_running_all(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        state.actuators.iter_mut().for_each(|a| a.settle(now));
        state.actuators.iter().all(|a| a.resting.is_none())
    }

    /// What still runs, in words.
    pub fn running(&self) -> String {
        let state = self.state();
        let running = state.actuators.iter().filter(|a| a.resting.is_none());
        running.map(Actuator::describe).collect::<Vec<_>>().join(", ")
    }

    pub fn commands(&self) -> Vec<Command> {
        self.state().commands.clone()
    }

    /// How many commands it obeyed.
    pub fn obeyed(&self) -> usize {
        let state = self.state();
        state
            .commands
            .iter()
            .filter(|c| c.verdict == Verdict::Obeyed)
            .count()
    }

    /// A stop that came more than once since then. What drives a board here sets nothing to zero.
    pub fn stopped_twice(&self, since: Instant) -> Option<String> {
        let state = self.state();
        let stops = state.commands.iter().filter(|c| c.at >= since && c.is_stop());
        let texts: Vec<&str> = stops.map(|c| c.text.as_str()).collect();
        let twice = texts
            .iter()
            .enumerate()
            .find(|(n, text)| texts[..*n].contains(text));
        twice.map(|(_, text)| (*text).to_owned())
    }

    /// What was no command: a frame that was cut, joined or damaged on its way.
    pub fn unknown(&self) -> Vec<String> {
        let state = self.state();
        let unknown = state.commands.iter().filter(|c| c.verdict == Verdict::Unknown);
        unknown.map(|c| c.text.clone()).collect()
    }

    /// Changes with everything that comes.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

/// Sets the actuators with such names to this level.
fn set(actuators: &mut [Actuator], named: impl Fn(&str) -> bool, level: &str, now: Instant) -> Verdict {
    let mut verdict = Verdict::Refused;
    for actuator in actuators.iter_mut().filter(|a| named(a.name)) {
        match level.parse::<u32>() {
            Ok(level) if level <= actuator.most => actuator.set(f64::from(level), now),
            _ => return Verdict::Unknown,
        }
        verdict = Verdict::Obeyed;
    }
    verdict
}
