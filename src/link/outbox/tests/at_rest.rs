//! The state of a model board after any mix of commands and stops, on any schedule of the line.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::device::language::Actuators;

/// A board that obeys its language's commands.
#[derive(Default)]
struct Board {
    /// The value of each actuator.
    set: BTreeMap<String, i32>,
    /// An axis moves until a stop.
    moving: bool,
    /// Many boards have no stop that also reaches their vibrators.
    knows_dstop: bool,
    queries: Vec<String>,
}

impl Board {
    fn is_at_rest(&self) -> bool {
        !self.moving && self.set.values().all(|value| *value == 0)
    }

    fn obey(&mut self, language: &str, frame: &str) {
        match language {
            "lovense" => frame.split_inclusive(';').for_each(|c| self.lovense(c)),
            _ => frame.split_whitespace().for_each(|c| self.tcode(c)),
        }
    }

    fn lovense(&mut self, command: &str) {
        let body = command.trim_end_matches(';');
        let (name, values) = body.split_once(':').unwrap_or((body, ""));
        let number = values.rsplit(':').next().and_then(|v| v.parse::<i32>().ok());
        match (name, number) {
            ("Vibrate", Some(value)) => {
                for n in 1..=3 {
                    self.set.insert(format!("Vibrate{n}"), value);
                }
            }
            ("Mply", Some(_)) => {
                for (n, value) in values.split(':').enumerate() {
                    if value != "-1" {
                        self.set
                            .insert(format!("Vibrate{}", n + 1), value.parse().unwrap());
                    }
                }
            }
            ("Air", Some(value)) => {
                let level = self.set.entry("Air".to_owned()).or_default();
                match values.split(':').next() {
                    Some("In") => *level += value,
                    Some("Out") => *level = (*level - value).max(0),
                    _ => *level = value,
                }
            }
            (name, Some(value)) => {
                self.set.insert(name.to_owned(), value);
            }
            (name, None) => self.queries.push(name.to_owned()),
        }
    }

    fn tcode(&mut self, command: &str) {
        let (axis, value) = command.split_at(2);
        match axis {
            "DS" => {
                self.moving = false;
                if self.knows_dstop {
                    self.set.clear();
                }
            }
            "L0" => self.moving = true,
            "V0" | "V1" | "A0" => {
                self.set.insert(axis.to_owned(), value.parse().unwrap());
            }
            _ => self.queries.push(command.to_owned()),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Command(String),
    /// The server stops what it set.
    ServerStops,
    /// The gateway stops the device.
    Preempt,
    /// The line accepts this many frames.
    Line(usize),
    /// Proof of receipt becomes overdue, or arrives.
    Proof(bool),
    Wait(u64),
}

fn lovense() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Vibrate",
        "Vibrate1",
        "Vibrate2",
        "Vibrate3",
        "Rotate",
        "Air:Level",
        "Thrusting",
        "Suction",
    ]);
    prop_oneof![
        6 => (name, 0..4i32).prop_map(|(name, value)| format!("{name}:{value};")),
        3 => prop::array::uniform3(-1..4i32).prop_map(|v| format!("Mply:{}:{}:{};", v[0], v[1], v[2])),
        1 => Just("Air:In:1;".to_owned()),
        1 => Just("Vibrate:2;Rotate:3;".to_owned()),
    ]
}

fn tcode() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..999u32).prop_map(|v| format!("L0{v:03}I500\n")),
        (0..3u32).prop_map(|v| format!("V0{v:02}\n")),
        (0..3u32, 0..3u32).prop_map(|(v, a)| format!("V1{v:02} A0{a:02}\n")),
        Just("DSTOP\n".to_owned()),
    ]
}

fn steps(language: &'static str) -> BoxedStrategy<Vec<Step>> {
    let command = match language {
        "lovense" => lovense().boxed(),
        _ => tcode().boxed(),
    };
    let step = prop_oneof![
        8 => command.prop_map(Step::Command),
        1 => Just(Step::ServerStops),
        1 => Just(Step::Preempt),
        3 => (1..4usize).prop_map(Step::Line),
        1 => any::<bool>().prop_map(Step::Proof),
        1 => (1..400u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..40).boxed()
}

struct Trial {
    language: &'static str,
    rig: Rig,
    actuators: Actuators,
    board: Board,
    sent_queries: usize,
}

impl Trial {
    fn new(language: &'static str) -> Self {
        Self {
            language,
            rig: Rig::new(language),
            actuators: Actuators::new(by_name(language), None),
            board: Board::default(),
            sent_queries: 0,
        }
    }

    fn command(&mut self, text: &str) {
        let frame = Rig::frame(text);
        let command = Command::read(by_name(self.language), &frame);
        self.actuators.observe(&frame, &command);
        self.rig.push(text, None);
    }

    fn query(&mut self) {
        let query = if self.language == "lovense" {
            "Battery;"
        } else {
            "D1\n"
        };
        self.sent_queries += 1;
        self.command(query);
    }

    fn line_takes(&mut self, frames: usize) {
        for frame in self.rig.carries(frames) {
            self.board.obey(self.language, &frame);
        }
    }

    fn drain(&mut self) {
        self.rig.line.state().proof_overdue = false;
        self.line_takes(10_000);
    }

    async fn run(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Command(text) => {
                    self.query();
                    self.command(text);
                }
                Step::ServerStops => {
                    for text in ["Mply:0:0:0;", "Vibrate:0;", "Rotate:0;", "Air:Level:0;"] {
                        if self.language == "lovense" {
                            self.command(text);
                        }
                    }
                }
                Step::Preempt => {
                    self.rig.outbox.preempt(self.actuators.stop_frames(), None);
                    self.actuators.stopped();
                }
                Step::Line(frames) => self.line_takes(*frames),
                Step::Proof(overdue) => self.rig.line.state().proof_overdue = *overdue,
                Step::Wait(ms) => tokio::time::advance(Duration::from_millis(*ms)).await,
            }
        }
    }
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #[test]
    fn once_control_is_lost_and_the_line_has_drained_the_board_is_at_rest(
        (language, steps) in prop::sample::select(vec!["lovense", "tcode"])
            .prop_flat_map(|language| (Just(language), steps(language)))
    ) {
        paused(async {
            let mut trial = Trial::new(language);
            trial.run(&steps).await;
            trial.rig.outbox.preempt(trial.actuators.stop_frames(), None);
            trial.drain();
            prop_assert!(trial.board.is_at_rest(), "{:?}", trial.board.set);
            prop_assert_eq!(trial.board.queries.len(), trial.sent_queries, "a query was lost");
            Ok(())
        })?;
    }

    /// Without a loss of control the board ends as one that received every command at once.
    #[test]
    fn the_last_command_for_each_actuator_arrives(
        (language, steps) in prop::sample::select(vec!["lovense", "tcode"])
            .prop_flat_map(|language| (Just(language), steps(language)))
    ) {
        paused(async {
            let steps: Vec<Step> = steps
                .into_iter()
                // Steps may grow stale, so time does not pass.
                .filter(|step| !matches!(step, Step::Preempt | Step::Wait(_)))
                .collect();
            let mut trial = Trial::new(language);
            trial.board.knows_dstop = true;
            trial.run(&steps).await;
            trial.drain();
            let mut at_once = Board { knows_dstop: true, ..Board::default() };
            for step in &steps {
                match step {
                    Step::Command(text) => at_once.obey(language, text),
                    Step::ServerStops if language == "lovense" => {
                        for text in ["Mply:0:0:0;", "Vibrate:0;", "Rotate:0;", "Air:Level:0;"] {
                            at_once.obey(language, text);
                        }
                    }
                    _ => {}
                }
            }
            let state = |board: &Board| -> HashMap<String, i32> {
                board.set.iter().filter(|(_, v)| **v != 0).map(|(k, v)| (k.clone(), *v)).collect()
            };
            prop_assert_eq!(state(&trial.board), state(&at_once));
            prop_assert_eq!(trial.board.moving, at_once.moving);
            prop_assert_eq!(trial.board.queries.len(), trial.sent_queries);
            Ok(())
        })?;
    }

    #[test]
    fn in_any_language_what_is_written_is_in_order_and_the_newest_is_there(
        steps in steps("tcode")
    ) {
        paused(async {
            let mut trial = Trial::new("none");
            let mut sent = Vec::new();
            let mut written = Vec::new();
            for (n, step) in steps.iter().enumerate() {
                match step {
                    Step::Command(_) => {
                        sent.push(format!("{n:03}"));
                        trial.rig.send(&[&sent[sent.len() - 1]]);
                    }
                    Step::Line(frames) => written.extend(trial.rig.carries(*frames)),
                    Step::Wait(ms) => tokio::time::advance(Duration::from_millis(*ms)).await,
                    Step::Proof(overdue) => trial.rig.line.state().proof_overdue = *overdue,
                    _ => {}
                }
            }
            trial.rig.line.state().proof_overdue = false;
            written.extend(trial.rig.carries(10_000));
            prop_assert!(written.is_sorted());
            prop_assert_eq!(written.last(), sent.last());
            Ok(())
        })?;
    }
}
