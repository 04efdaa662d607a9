//! The firmware's TLS against the real gateway, and against others that pretend to be it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;
#[path = "firmware_tls/pretenders.rs"]
mod pretenders;
#[path = "firmware/program.rs"]
#[allow(dead_code, reason = "shared with the other tests of the firmware")]
mod program;
#[path = "firmware/tls.rs"]
mod tls;

use std::time::{Duration, Instant};

use common::process::Process;
use common::{client, listed, vibrate, within};
use program::{Program, built};
use rustix::process::Signal;
use tempfile::TempDir;
use tls::{Gateway, TOKEN, on_port};
use tokio::process::Command;

/// What a freeze of the gateway may take until the board notices, and what a machine under load adds.
const WATCHDOG_MS: std::ops::Range<u64> = 1_000..3_000;

/// A board with the token and this fingerprint, if any.
fn board(url: &str, fingerprint: Option<&str>) -> Program {
    let mut command = Command::new(built("debug/wsdm-device-host"));
    command.args(["--url", url, "--token", TOKEN]);
    if let Some(fingerprint) = fingerprint {
        command.args(["--fingerprint", fingerprint]);
    }
    Program::start(&mut command)
}

/// The rest of the next report that begins so.
async fn report(board: &mut Program, start: &str) -> String {
    loop {
        let line = board.line("at ").await;
        let (_, report) = line.split_once(" ms: ").unwrap();
        if let Some(rest) = report.strip_prefix(start) {
            return rest.to_owned();
        }
    }
}

async fn pin_at(board: &mut Program, value: &str) {
    let wanted = format!("{value} at ");
    while !board.line("pin V0 ").await.starts_with(&wanted) {}
}

#[tokio::test]
async fn a_board_is_driven_over_tls_with_and_without_wss_in_its_url() {
    let home = TempDir::new().unwrap();
    let mut gateway = Gateway::start(home.path(), "only").await;
    for scheme in ["wss", "ws"] {
        let url = format!("{scheme}://{}", gateway.devices());
        let client = client(&gateway.process.clients, "driver").await;
        let fingerprint = gateway.fingerprint.to_uppercase();
        let mut board = board(&url, Some(&fingerprint));
        report(&mut board, "connected").await;
        gateway.log.expect(&["connected", "wss 127.0.0.1:"]).await;
        listed(&client, 1).await;
        for (strength, wanted) in [(0.5, "0.500"), (1.0, "1.000"), (0.05, "0.050"), (0.75, "0.750")] {
            vibrate(&client, strength).await;
            pin_at(&mut board, wanted).await;
        }
        let device = client.devices().into_values().next().unwrap();
        assert_eq!(within("the battery", device.battery()).await.unwrap(), 85);
        // The watchdog hears pings within TLS, too.
        let changed = tokio::time::timeout(Duration::from_millis(2_500), board.line("pin V0 ")).await;
        assert!(changed.is_err(), "a steady vibration stays: {changed:?}");
        within("the app goes", client.disconnect()).await.unwrap();
        pin_at(&mut board, "0.000").await;
    }
}

/// The same code on the boards' kind of CPU, on a network stack of their kind.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_emulated_board_is_driven_over_tls() {
    let home = TempDir::new().unwrap();
    let gateway = Gateway::start(home.path(), "only").await;
    // The machine's own network has this computer at 10.0.2.2.
    let port = gateway.devices().port();
    let settings = format!(
        "url=wss://10.0.2.2:{port} token={TOKEN} fingerprint={}",
        gateway.fingerprint
    );
    let mut board = Program::start(
        Command::new("qemu-system-riscv32")
            .args(["-M", "virt", "-cpu", "lowrisc-ibex", "-m", "16M", "-bios", "none"])
            .args(["-display", "none", "-serial", "stdio", "-monitor", "none"])
            .args(["-netdev", "user,id=n0", "-device", "virtio-net-device,netdev=n0"])
            .args(["-device", "virtio-rng-device", "-append", &settings, "-kernel"])
            .arg(built("riscv32imc-unknown-none-elf/release/wsdm-device-qemu")),
    );
    let ms = |line: &str| {
        line.split(' ')
            .next()
            .and_then(|ms| ms.parse::<u64>().ok())
            .unwrap()
    };
    let mut begun = 0;
    loop {
        let line = board.line("at ").await;
        if line.contains("connecting to ") {
            begun = ms(&line);
        }
        assert!(!line.contains("lost: "), "{line}");
        if line.ends_with("connected") {
            println!(
                "emulated board: TCP, TLS and the upgrade took {} ms",
                ms(&line) - begun
            );
            break;
        }
    }
    let client = client(&gateway.process.clients, "driver").await;
    listed(&client, 1).await;
    for (strength, wanted) in [(0.5, "0.500"), (1.0, "1.000"), (0.05, "0.050"), (0.75, "0.750")] {
        vibrate(&client, strength).await;
        pin_at(&mut board, wanted).await;
    }
    gateway.process.signal(Signal::KILL);
    pin_at(&mut board, "0.000").await;
}

/// A stroke in small steps, while the board pings: many reads are given up, and none loses anything. Beside it the same without
/// TLS, for its times.
#[tokio::test]
async fn many_commands_pass_while_the_board_gives_up_reads_to_ping() {
    let home = TempDir::new().unwrap();
    let gateway = Gateway::start(home.path(), "also").await;
    let at = gateway.devices();
    for fingerprint in [None, Some(gateway.fingerprint.as_str())] {
        let mut board = board(&format!("ws://{at}"), fingerprint);
        let client = client(&gateway.process.clients, "driver").await;
        listed(&client, 1).await;
        let mut times = Vec::new();
        for step in 0..200_u32 {
            let strength = f64::from(step % 19 + 1) / 20.0;
            let started = Instant::now();
            vibrate(&client, strength).await;
            pin_at(&mut board, &format!("{strength:.3}")).await;
            times.push(started.elapsed());
            // Past a ping now and then.
            if step % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(260)).await;
            }
        }
        times.sort_unstable();
        println!(
            "{}, from the app to the pin: median {:?}, worst {:?}",
            if fingerprint.is_some() { "TLS" } else { "plain" },
            times[times.len() / 2],
            times[times.len() - 1]
        );
        within("the app goes", client.disconnect()).await.unwrap();
        pin_at(&mut board, "0.000").await;
    }
}

#[tokio::test]
async fn a_board_comes_to_rest_however_its_gateway_ends_and_comes_back() {
    let home = TempDir::new().unwrap();
    let mut gateway = Gateway::start(home.path(), "also").await;
    let (port, fingerprint) = (gateway.devices(), gateway.fingerprint.clone());
    let mut board = board(&format!("wss://{port}"), Some(&fingerprint));
    for signal in [Signal::TERM, Signal::KILL, Signal::STOP] {
        report(&mut board, "connected").await;
        let client = client(&gateway.process.clients, "driver").await;
        listed(&client, 1).await;
        vibrate(&client, 1.0).await;
        pin_at(&mut board, "1.000").await;
        gateway.process.signal(signal);
        pin_at(&mut board, "0.000").await;
        match signal {
            Signal::STOP => {
                let rest = report(&mut board, "stopped by watchdog, ").await;
                let ms: u64 = rest.split(' ').next().unwrap().parse().unwrap();
                assert!(WATCHDOG_MS.contains(&ms), "{ms} ms");
                gateway.process.signal(Signal::CONT);
                report(&mut board, "connected").await;
            }
            Signal::KILL => drop(report(&mut board, "stopped by lost connection, ").await),
            _ => {}
        }
        if signal != Signal::STOP {
            gateway.process.exit_code().await;
            let listen = port.to_string();
            gateway.process = Process::spawn(on_port(home.path(), &listen)).await;
        }
    }
}

#[tokio::test]
async fn a_wrong_fingerprint_is_in_both_logs_and_the_right_one_can_be_set_on_the_console() {
    let home = TempDir::new().unwrap();
    let mut gateway = Gateway::start(home.path(), "only").await;
    let mut command = Command::new(built("debug/wsdm-device-host"));
    command.args(["--console", "--network", "home:secret words:-50"]);
    command.arg("--flash").arg(home.path().join("flash"));
    let mut board = Program::with_console(&mut command);
    board.line("no network is set").await;
    for line in [
        "set ssid home",
        "set password secret words",
        &format!("set token {TOKEN}"),
    ] {
        board.type_line(line).await;
    }
    board
        .type_line(&format!("set gateway wss://{}", gateway.devices()))
        .await;
    board.type_line("save").await;
    let refused = board.line("not saved: ").await;
    assert!(refused.contains("set fingerprint"), "{refused}");
    board
        .type_line(&format!("set fingerprint {}", "12".repeat(32)))
        .await;
    board.type_line("save").await;
    board.line("saved;").await;
    board.type_line("restart").await;
    let loss = report(&mut board, "lost: ").await;
    assert!(loss.contains("the certificate is another one"), "{loss}");
    let line = gateway
        .log
        .expect(&["does not accept this gateway's certificate"])
        .await;
    assert!(line.contains(&gateway.fingerprint), "{line}");

    board
        .type_line(&format!("set fingerprint {}", gateway.fingerprint))
        .await;
    board.type_line("save").await;
    board.line("saved;").await;
    board.type_line("restart").await;
    report(&mut board, "connected").await;
    gateway.log.expect(&["connected", "wss "]).await;
}

/// A board of before meets a gateway that demands TLS: it is told so, in words.
#[tokio::test]
async fn a_board_without_tls_is_told_what_is_missing() {
    let home = TempDir::new().unwrap();
    let mut gateway = Gateway::start(home.path(), "only").await;
    let mut board = board(&format!("ws://{}", gateway.devices()), None);
    let told = report(&mut board, "rejected with HTTP status 400: ").await;
    assert!(
        told.contains("nothing but TLS") && told.contains("fingerprint"),
        "{told}"
    );
    gateway
        .log
        .expect(&["WARN", "does not use TLS", "set fingerprint"])
        .await;
}
