//! An Uno with a stepper's rail on its pins, in software, and what each step says of the motion.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::program::{Program, built};

/// Of the board's clock, a second.
const CYCLES: f64 = 16e6;
/// What `SerialStepper` sets.
pub const TRAVEL: i64 = 4_000;
pub const SPEED: f64 = 6_000.0;
pub const ACCELERATION: f64 = 48_000.0;
pub const HOMING_SPEED: f64 = 400.0;
/// A step after rest comes this much later.
const FIRST: f64 = 0.006_45;
/// A machine under load emulates a second in many.
const DEADLINE: Duration = Duration::from_secs(120);
/// Longer than any step of a motion takes.
const REST: Duration = Duration::from_millis(100);
/// Of the file: with a rest, and some steps before it.
const TAIL: u64 = 2_000;
/// Noise of a few microseconds in the time of an edge is much of a step and little of so many.
const WINDOW: usize = 32;

/// One pulse on the driver's step pin.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub began: u64,
    pub ended: u64,
    /// Of the carriage, in steps from where the switch closes.
    pub place: i64,
    /// For how long the direction had been set.
    pub setup: u64,
    /// The driver held the motor.
    pub held: bool,
}

pub struct Rail {
    pub uno: Program,
    cable: Option<File>,
    /// The step that was waited for last.
    seen: usize,
    steps: PathBuf,
    link: PathBuf,
    folder: TempDir,
}

impl Rail {
    /// Stands so many steps from its limit switch, which works, is missing or is always closed. Nobody is on its cable.
    pub async fn start(place: i64, limit: &str) -> Self {
        Self::started(place, limit, &["fast"]).await
    }

    /// The same with a clock that is no faster than ours, for those who have one too.
    pub async fn in_real_time(place: i64, limit: &str) -> Self {
        Self::started(place, limit, &[]).await
    }

    async fn started(place: i64, limit: &str, more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (steps, link) = (folder.path().join("steps"), folder.path().join("tty"));
        let mut command = Command::new(built("simavr-uno"));
        command
            .arg(built("avr/SerialStepper.elf"))
            .args([&link, &steps])
            .args([&place.to_string(), limit])
            .args(more);
        let mut uno = Program::start(&mut command);
        uno.line("ready ").await;
        // Its port is open then, and it listens.
        uno.pin_at("8 level", 1).await;
        Self {
            uno,
            cable: None,
            seen: 0,
            steps,
            link,
            folder,
        }
    }

    pub fn link(&self) -> &std::path::Path {
        &self.link
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// As a gateway would, without one.
    pub fn write(&mut self, text: &str) {
        let cable = self.cable.get_or_insert_with(|| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(&self.link)
                .expect("a port")
        });
        cable.write_all(text.as_bytes()).expect("a cable");
    }

    /// All that were made so far.
    pub fn steps(&self) -> Vec<Step> {
        let text = std::fs::read_to_string(&self.steps).expect("a file");
        whole_lines(&text).filter_map(Step::parse).collect()
    }

    /// The last one, and for how long it has been the last by the board's clock.
    pub fn last(&self) -> Option<(Step, Duration)> {
        let mut file = File::open(&self.steps).expect("a file");
        let length = file.metadata().expect("a length").len();
        let tail = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(tail)).expect("a place in it");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        // It may begin in the middle of a line.
        let skipped = usize::from(tail > 0);
        let lines: Vec<_> = whole_lines(&text).skip(skipped).collect();
        let Some(step) = lines.iter().rev().find_map(|line| Step::parse(line)) else {
            // Rest is longer than the tail.
            let step = *self.steps().last()?;
            return Some((step, REST));
        };
        let now = lines
            .last()?
            .strip_prefix("at ")
            .map_or(step.began, |now| now.parse().expect("a time"));
        Some((step, Duration::from_secs_f64(seconds(step.began, now))))
    }

    pub fn place(&self) -> Option<i64> {
        self.last().map(|(step, _)| step.place)
    }

    /// Says this again and again, until the carriage has come where it is to, if only for a moment, since it came where the
    /// last such call wanted it. A newline is a sign of life and nothing else.
    pub async fn until(&mut self, said: &str, is: impl Fn(i64) -> bool) {
        within(&format!("{said:?} leads there"), async {
            loop {
                let steps = self.steps();
                let mut since = steps.iter().enumerate().skip(self.seen);
                if let Some((at, _)) = since.find(|(_, step)| is(step.place)) {
                    self.seen = at;
                    return;
                }
                self.write(said);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Finds its home, from some place on the way to the switch.
    pub async fn home(&mut self, said: &str) -> i64 {
        self.until(said, |place| place < 0).await;
        self.until("\n", |place| place > 30).await;
        self.rest("\n").await
    }

    /// Where it rests.
    pub async fn rest(&mut self, said: &str) -> i64 {
        within("it comes to rest", async {
            loop {
                if let Some((step, since)) = self.last()
                    && since >= REST
                {
                    return step.place;
                }
                self.write(said);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

impl Step {
    /// `None` for a line that says what time it is.
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ').map(|word| word.parse::<i64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            began: next()?.cast_unsigned(),
            ended: next()?.cast_unsigned(),
            place: next()?,
            setup: next()?.cast_unsigned(),
            held: next()? == 1,
        })
    }
}

/// A line that has no end is still being written.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
}

async fn within<F: Future>(what: &str, done: F) -> F::Output {
    tokio::time::timeout(DEADLINE, done)
        .await
        .unwrap_or_else(|_| panic!("in time: {what}"))
}

fn seconds(from: u64, to: u64) -> f64 {
    (to - from) as f64 / CYCLES
}

/// Every pulse and every pause is as a driver wants it, and the motion keeps its limits.
pub fn keeps_its_limits(steps: &[Step], speed: f64) {
    for step in steps {
        assert!(step.held, "{step:?}: the motor is held");
        let pulse = seconds(step.began, step.ended) * 1e6;
        assert!((5.0..100.0).contains(&pulse), "{step:?}: {pulse} us");
        assert!(
            seconds(0, step.setup) > 5e-6,
            "{step:?}: the direction is set in time"
        );
    }
    // Other interrupts delay an edge, and the next one makes up for it; over a few steps that is nothing.
    for few in steps.windows(WINDOW + 1) {
        let fast = WINDOW as f64 / seconds(few[0].began, few[WINDOW].began);
        assert!(fast <= 1.005 * speed, "{fast} of {speed} steps a second: {few:?}");
    }
    for pair in steps.windows(2) {
        let interval = seconds(pair[0].began, pair[1].began);
        assert!(
            interval >= 7.0 / 8.0 / speed,
            "{pair:?} are closer than {speed} steps a second"
        );
        assert!(
            seconds(pair[0].ended, pair[1].began) > 5e-6,
            "{pair:?}: the pause"
        );
    }
    let (mut from, mut most) = (0, 0.0_f64);
    for to in 1..=steps.len() {
        let turns = to < steps.len()
            && (to < from + 2
                || (steps[to].place > steps[to - 1].place) == (steps[to - 1].place > steps[to - 2].place));
        if turns {
            continue;
        }
        let way = acceleration(&steps[from..to]);
        assert!(
            way <= 1.1 * ACCELERATION,
            "{way} between {:?} and {:?}",
            steps[from],
            steps[to - 1]
        );
        most = most.max(way);
        if to < steps.len() {
            // It comes to rest before it turns.
            let pause = seconds(steps[to - 1].began, steps[to].began);
            assert!(pause > 0.9 * FIRST, "it turned within {pause} s");
        }
        from = to;
    }
    println!("steepest acceleration: {most:.0} of {ACCELERATION} steps a second, each second");
}

/// The steepest in a way without a turn.
fn acceleration(way: &[Step]) -> f64 {
    let mut most = 0.0_f64;
    for at in 0..way.len().saturating_sub(2 * WINDOW) {
        let (a, b, c) = (way[at].began, way[at + WINDOW].began, way[at + 2 * WINDOW].began);
        let (before, after) = (seconds(a, b), seconds(b, c));
        let change = WINDOW as f64 / after - WINDOW as f64 / before;
        most = most.max((change / ((before + after) / 2.0)).abs());
    }
    most
}

/// It came to rest slowing down, and not all at once.
pub fn ends_softly(steps: &[Step]) {
    let last: Vec<_> = steps
        .windows(2)
        .rev()
        .take(3)
        .map(|pair| seconds(pair[0].began, pair[1].began))
        .collect();
    assert!(
        last[0] > 0.9 * FIRST && last[0] > 1.8 * last[1] && last[1] > last[2],
        "{last:?}"
    );
}
