//! The Arduino library on the CPU of an ESP8266, an lx106, which QEMU emulates, compiled by that chip's compiler: driven
//! through the real gateway by a real Buttplug client. The milliseconds are those of the board's own clock.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;
#[path = "firmware/forwarder.rs"]
#[allow(dead_code, reason = "shared with boards of other kinds")]
mod forwarder;
#[path = "firmware/pipes.rs"]
mod pipes;
#[path = "firmware/program.rs"]
#[allow(dead_code, reason = "shared with boards of other kinds")]
mod program;

use std::path::Path;
use std::time::{Duration, Instant};

use buttplug_client::device::ClientDeviceOutputCommand;
use common::process::Process;
use common::{client, listed, vibrate, within};
use forwarder::Forwarder;
use pipes::Pipes;
use program::{Program, addr, built};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

const WATCHDOG_MS: u64 = 1_000;
/// What a machine under load may add, on the board's clock, which runs on while the board does not.
const LATE_MS: u64 = 2_000;
/// Longer than the watchdog.
const STEADY: Duration = Duration::from_millis(2_000);

/// The chip's CPU, with this image.
fn lx106(image: &str) -> Command {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware/arduino/lx106/run");
    let mut command = Command::new(run);
    command.arg(built(&format!("lx106/{image}.elf")));
    command
}

/// This example, whose network is this.
fn board(sketch: &str, network: &Pipes) -> Program {
    let setting = format!("gateway={}", network.folder().to_str().unwrap());
    Program::start(lx106(sketch).arg(setting))
}

#[tokio::test]
async fn an_esp8266s_motor_follows_the_slider_by_a_clock_that_is_right() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let network = Pipes::to(addr(&gateway.devices));
    let mut board = board("WifiLovenseVibrator", &network);
    let client = client(&gateway.clients, "driver").await;
    board.line("connected").await;
    listed(&client, 1).await;
    let hush = client.devices().into_values().next().unwrap();
    assert_eq!(hush.name(), "Lovense Hush");
    for (strength, duty) in [(0.5, 127), (1.0, 255), (0.0, 0)] {
        vibrate(&client, strength).await;
        board.pin_at("5 pwm", duty).await;
    }
    assert_eq!(within("the battery", hush.battery()).await.unwrap(), 100);
    let before = Instant::now();
    vibrate(&client, 0.75).await;
    // The core makes pulses of whole microseconds, a thousand times a second.
    let on = board.pin_at("5 pwm", 190).await;
    let after = Instant::now();
    let changed = tokio::time::timeout(STEADY, board.pin("5 pwm")).await;
    assert!(changed.is_err(), "a steady vibration stays: {changed:?}");
    let (least, asked) = (after.elapsed(), Instant::now());
    gateway.signal(Signal::TERM);
    let off = board.pin_at("5 pwm", 0).await;
    let most = before.elapsed();
    let ran = Duration::from_millis(off.at_ms - on.at_ms);
    println!(
        "lx106: its clock ran {ran:?}, of {least:?} to {most:?}; stopped after {:?}",
        asked.elapsed()
    );
    // Both of its times are whole milliseconds.
    let rounding = Duration::from_millis(1);
    assert!(
        (least - rounding..=most + rounding).contains(&ran),
        "its clock ran {ran:?} in {least:?} to {most:?}"
    );
    let reason = board.line("closed by the gateway: ").await;
    assert!(reason.starts_with("1001 "), "{reason}");
}

#[tokio::test]
async fn an_esp8266_stops_its_motor_when_the_gateway_freezes_and_connects_anew() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let network = Pipes::to(addr(&gateway.devices));
    let mut board = board("WifiLovenseVibrator", &network);
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.pin_at("5 pwm", 127).await;
    gateway.signal(Signal::STOP);
    board.pin_at("5 pwm", 0).await;
    let watchdog = board.line("watchdog: ").await;
    let silent: u64 = watchdog.split(' ').next().unwrap().parse().unwrap();
    println!("lx106, gateway frozen: motor off {silent} ms after the last byte, by the board's clock");
    assert!(
        (WATCHDOG_MS..WATCHDOG_MS + LATE_MS).contains(&silent),
        "{silent} ms"
    );
    board.line("not connected: nothing was heard").await;
    gateway.signal(Signal::CONT);
    board.line("connected").await;
}

#[tokio::test]
async fn an_esp8266_stops_its_motor_when_the_gateway_is_killed_and_is_driven_by_the_next() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::start(home.path(), &[]).await;
    let forwarder = Forwarder::to(&gateway.devices).await;
    let network = Pipes::to(forwarder.addr);
    let mut board = board("WifiLovenseVibrator", &network);
    for _ in 0..2 {
        let client = client(&gateway.clients, "driver").await;
        board.line("connected").await;
        listed(&client, 1).await;
        vibrate(&client, 0.5).await;
        board.pin_at("5 pwm", 127).await;
        let killed = Instant::now();
        gateway.signal(Signal::KILL);
        board.pin_at("5 pwm", 0).await;
        println!("lx106, gateway killed: motor off after {:?}", killed.elapsed());
        board.line("not connected: the connection broke off").await;
        gateway.exit_code().await;
        gateway = Process::start(home.path(), &[]).await;
        forwarder.redirect(&gateway.devices);
    }
    board.line("connected").await;
}

#[tokio::test]
async fn an_esp8266s_servo_moves_softly_at_first_and_holds_when_the_gateway_is_killed() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::start(home.path(), &[]).await;
    let network = Pipes::to(addr(&gateway.devices));
    let mut board = board("WifiTcodeStroker", &network);
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    let stroker = client.devices().into_values().next().unwrap();
    let go_to = async |position: f64, ms: u32| {
        let command = ClientDeviceOutputCommand::HwPositionWithDuration(position.into(), ms);
        within("a command", stroker.run_output(&command)).await.unwrap();
    };
    go_to(0.0, 100).await;
    // Before that, nobody sent the servo anywhere.
    let began = board.pin("12 pulse").await;
    assert!((1_460..=1_500).contains(&began.value), "{began:?}");
    let reached = board.pin_at("12 pulse", 1_100).await;
    let soft = reached.at_ms - began.at_ms;
    println!("lx106: the first move of the servo took {soft} ms");
    assert!((500..1_100 + LATE_MS).contains(&soft), "{soft} ms");
    go_to(1.0, 20_000).await;
    while board.pin("12 pulse").await.value < 1_120 {}
    gateway.signal(Signal::KILL);
    board.line("not connected: ").await;
    gateway.exit_code().await;
    let moved = tokio::time::timeout(Duration::from_millis(500), board.pin("12 pulse")).await;
    assert!(moved.is_err(), "it holds: {moved:?}");
}

/// One compiler for the chip and another for this machine read the same numbers.
#[tokio::test]
async fn the_numbers_are_the_same_on_both_cpus() {
    let here = Command::new(built("host/checks"))
        .arg("numbers")
        .output()
        .await
        .unwrap();
    let there = within("the numbers", lx106("checks").arg("numbers").output())
        .await
        .unwrap();
    assert!(there.status.success(), "{there:?}");
    assert!(!here.stdout.is_empty());
    assert_eq!(
        String::from_utf8(there.stdout).unwrap(),
        String::from_utf8(here.stdout).unwrap()
    );
}
