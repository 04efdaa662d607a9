//! The Arduino library's stepper, running: an Uno in software with a linear rail on its pins, whose every pulse is looked at.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "firmware/program.rs"]
mod program;
#[path = "firmware/rail.rs"]
mod rail;

use std::time::Duration;

use buttplug_client::device::ClientDeviceOutputCommand;
use common::{client, listed, within};
use program::bridge;
use rail::{ACCELERATION, HOMING_SPEED, Rail, SPEED, Step, TRAVEL, ends_softly, keeps_its_limits};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Its home is two millimetres from where it saw the switch, and it sees it for three steps before it is certain.
const HOME: i64 = 40 - 2;
/// "9999" is the last ten-thousandth short of all.
const FAR: i64 = HOME + TRAVEL * 9_999 / 10_000;
const WATCHDOG_MS: u64 = 800;

/// To the far end, at the slow pace that follows homing, until that is over.
async fn past_the_soft_start(rail: &mut Rail) {
    rail.until("L09999\n", |place| place == FAR).await;
    assert_eq!(rail.rest("\n").await, FAR);
}

async fn stroke(rail: &mut Rail, command: &str, place: i64) {
    rail.until(command, |found| found == place).await;
    assert_eq!(rail.rest("\n").await, place);
}

#[tokio::test]
async fn strokes_have_their_steps_and_keep_their_limits() {
    let mut rail = Rail::start(100, "works").await;
    // Signs of life are no command: nothing moves.
    for _ in 0..20 {
        rail.write("\n");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(rail.steps().is_empty());
    // The first command is not taken: it finds its home by it.
    assert_eq!(rail.home("L05\n").await, HOME);
    let homing = rail.steps();
    keeps_its_limits(&homing, HOMING_SPEED);
    let least = homing.iter().map(|step| step.place).min();
    assert_eq!(least, Some(-5), "it stops at the switch");
    past_the_soft_start(&mut rail).await;
    let soft = rail.steps();
    // Almost there it may already be as fast as it can.
    let (_, almost) = soft.split_at(homing.len());
    let almost = almost
        .iter()
        .position(|step| step.place > TRAVEL * 9 / 10)
        .unwrap();
    keeps_its_limits(&soft[homing.len()..homing.len() + almost], TRAVEL as f64 / 2.0);
    let slow = soft.len();
    for _ in 0..2 {
        stroke(&mut rail, "L00\n", HOME).await;
        stroke(&mut rail, "L09999\n", FAR).await;
    }
    // Turned in full motion, and by a hair.
    rail.until("L00\n", |place| place < TRAVEL / 2).await;
    stroke(&mut rail, "L09999\n", FAR).await;
    stroke(&mut rail, "L09998\n", FAR).await;
    stroke(&mut rail, "L09996\n", FAR - 1).await;
    let steps = rail.steps();
    let fast = &steps[slow..];
    keeps_its_limits(fast, SPEED);
    let fastest = fastest(fast);
    println!("fastest: {fastest:.0} of {SPEED} steps a second");
    assert!(fastest > 0.97 * SPEED, "it is not much slower either");
    assert!(
        steps[homing.len()..]
            .iter()
            .all(|step| (HOME..=FAR).contains(&step.place))
    );
}

#[tokio::test]
async fn a_stop_slows_down_within_the_limit_and_the_next_move_begins_there_softly() {
    let mut rail = Rail::start(5, "works").await;
    rail.home("L00\n").await;
    past_the_soft_start(&mut rail).await;
    rail.until("L00\n", |place| place < FAR - 1_000).await;
    rail.write("DSTOP\n");
    let place = rail.rest("\n").await;
    let steps = rail.steps();
    println!("stopped at {place}");
    assert!(place > HOME + 500, "it did not go on to {place}");
    keeps_its_limits(&steps, SPEED);
    ends_softly(&steps);
    // It takes the steps that a stop from its speed takes.
    let slowing = steps
        .windows(2)
        .rev()
        .position(|pair| (pair[1].began - pair[0].began) as f64 / 16e6 < 1.1 / SPEED);
    let needed = SPEED * SPEED / (2.0 * ACCELERATION);
    assert!((slowing.unwrap() as f64) < needed, "{slowing:?} of {needed}");
    let before = steps.len();
    stroke(&mut rail, "L09999\n", FAR).await;
    keeps_its_limits(&rail.steps()[before..], TRAVEL as f64 / 2.0);
}

#[tokio::test]
async fn bursts_do_not_disturb_the_pulses() {
    let mut rail = Rail::start(5, "works").await;
    rail.home("L00\n").await;
    past_the_soft_start(&mut rail).await;
    let before = rail.steps().len();
    // As much as the line carries: what is answered, what is noise, and what asks for the same again.
    for (command, place) in [("L00", HOME), ("L09999", FAR), ("L00", HOME)] {
        let flood = format!("D0 D1 D2\n{command}\nV0500I100 X1 \u{1}\u{2}\n").repeat(10);
        rail.until(&flood, |found| found == place).await;
    }
    let steps = rail.steps();
    keeps_its_limits(&steps[before..], SPEED);
    assert!(fastest(&steps[before..]) > 0.95 * SPEED);
    assert!(
        steps[before..]
            .iter()
            .all(|step| (HOME..=FAR).contains(&step.place))
    );
}

#[tokio::test]
async fn silence_stops_homing_and_it_begins_anew() {
    let mut rail = Rail::start(500, "works").await;
    rail.until("L05\n", |place| place < 460).await;
    // Nothing more is said.
    let stopped = within("it stops", async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some((step, since)) = rail.last()
                && since.as_millis() > 100
            {
                return step;
            }
        }
    })
    .await;
    assert!(
        (50..460).contains(&stopped.place),
        "it was stopped on its way: {stopped:?}"
    );
    assert_eq!(rail.home("L05\n").await, HOME);
    let steps = rail.steps();
    keeps_its_limits(&steps, HOMING_SPEED);
}

#[tokio::test]
async fn a_switch_that_is_closed_at_first_is_left_and_one_that_does_not_open_ends_homing() {
    let mut rail = Rail::start(-10, "works").await;
    rail.until("L05\n", |place| place > 1).await;
    assert_eq!(rail.home("\n").await, HOME);
    keeps_its_limits(&rail.steps(), HOMING_SPEED);

    let mut rail = Rail::start(500, "closed").await;
    rail.until("L05\n", |place| place == 955).await;
    assert_eq!(rail.rest("\n").await, 955);
    // It lets go of the motor, and takes nothing any more.
    rail.uno.pin_at("8 level", 0).await;
    rail.uno.pin_at("8 level", 1).await;
    assert_eq!(rail.rest("L09\n").await, 955);
    assert_eq!(rail.steps().len(), 455);
}

/// Nobody reads the Serial Monitor while the gateway has the cable.
#[tokio::test]
async fn a_homing_that_failed_is_in_the_gateways_log() {
    let mut rail = Rail::in_real_time(500, "closed").await;
    let mut gateway = bridge(rail.folder(), rail.link()).await;
    let mut log = BufReader::new(gateway.child.stderr.take().unwrap()).lines();
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    let device = client.devices().into_values().next().unwrap();
    let command = ClientDeviceOutputCommand::HwPositionWithDuration(0.5.into(), 100);
    within("a command", device.run_output(&command)).await.unwrap();
    let logged = within("the fault", async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("the board reports a fault") {
                return line;
            }
        }
        panic!("the gateway ended");
    })
    .await;
    let wanted = "the board reports a fault: pin 2 stays off: the limit switch does not open";
    assert!(logged.contains("WARN") && logged.contains(wanted), "{logged}");
    rail.uno.pin_at("8 level", 1).await;
}

#[tokio::test]
async fn the_carriage_slows_down_when_the_gateway_is_killed_in_mid_stroke() {
    let rail = Rail::in_real_time(5, "works").await;
    let gateway = bridge(rail.folder(), rail.link()).await;
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    let go_to = async |position: f64, ms: u32| {
        let device = client.devices().into_values().next().unwrap();
        let command = ClientDeviceOutputCommand::HwPositionWithDuration(position.into(), ms);
        within("a command", device.run_output(&command)).await.unwrap();
    };
    let reach = async |rail: &Rail, what: &str, is: fn(i64) -> bool| {
        within(what, async {
            while !rail.place().is_some_and(is) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    };
    go_to(0.0, 100).await;
    reach(&rail, "it has seen the switch", |place| place < 0).await;
    reach(&rail, "it is home", |place| place == HOME).await;
    // It may still have a moment to go until it knows that.
    within("it follows", async {
        while rail.place().is_none_or(|place| place < HOME + 100) {
            go_to(0.1, 100).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            go_to(0.2, 100).await;
        }
    })
    .await;
    go_to(1.0, 6_000).await;
    reach(&rail, "it is on its way", |place| place > TRAVEL / 3).await;
    gateway.signal(Signal::KILL);
    let killed = rail.last().unwrap().0.began;
    within("it stops", async {
        while rail.last().unwrap().1.as_millis() < 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let steps = rail.steps();
    let last = steps.last().unwrap();
    let after = (last.began - killed) / 16_000;
    println!("gateway killed: at rest after {after} ms, at {}", last.place);
    assert!(after < WATCHDOG_MS + 200, "{after} ms");
    assert!(last.place < FAR - 100, "it did not go on to the end");
    keeps_its_limits(&steps, SPEED);
}

/// In steps a second, over a few of them.
fn fastest(steps: &[Step]) -> f64 {
    let few = steps.windows(33).map(|few| few[32].began - few[0].began).min();
    32.0 * 16e6 / few.unwrap() as f64
}
