//! The firmware's device core, running: on an emulated board with a network card, and on this machine. Each is driven
//! through the real gateway by a real Buttplug client. The milliseconds are those of the board's own clock.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

#[path = "flash/bench.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod bench;
#[path = "flash/chip.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod chip;
mod common;
#[path = "flash/firmware.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod firmware;
#[path = "firmware/flashed.rs"]
mod flashed;
#[path = "firmware/forwarder.rs"]
mod forwarder;
#[path = "flash/images.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod images;
#[path = "firmware/improv.rs"]
mod improv;
#[path = "flash/memory.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod memory;
#[path = "firmware/program.rs"]
#[allow(dead_code, reason = "shared with the Arduino side")]
mod program;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::process::Process;
use common::reference::Reference;
use common::{client, listed, vibrate, wait_until, within};
use forwarder::Forwarder;
use program::{Program, addr, bridge, built};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const WATCHDOG_MS: u64 = 1_000;
/// What a machine under load may add, on the emulated board's clock, which runs on while the board does not.
const LATE_MS: u64 = 2_000;
/// From its first move a stroker moves slowly for so long.
const SOFT_START_MS: u64 = 2_000;
/// Longer than the watchdog.
const STEADY: Duration = Duration::from_millis(2_500);

/// Where the code runs: on an emulated board, and on this machine over a network and on a virtual serial port.
#[derive(Clone, Copy, Debug)]
enum Board {
    Qemu,
    Host,
    Serial,
}

impl Board {
    /// Starts it; `more` are settings as the board's own help has them.
    fn start(self, gateway: SocketAddr, more: &[(&str, &str)]) -> Running {
        let program = match self {
            Self::Qemu => {
                // The machine's own network has this computer at 10.0.2.2.
                let mut settings = format!("url=ws://10.0.2.2:{}", gateway.port());
                more.iter()
                    .for_each(|(key, value)| settings.push_str(&format!(" {key}={value}")));
                Program::start(
                    Command::new("qemu-system-riscv32")
                        .args(["-M", "virt", "-cpu", "lowrisc-ibex", "-m", "16M", "-bios", "none"])
                        .args(["-display", "none", "-serial", "stdio", "-monitor", "none"])
                        .args(["-netdev", "user,id=n0", "-device", "virtio-net-device,netdev=n0"])
                        .args(["-device", "virtio-rng-device", "-append", &settings, "-kernel"])
                        .arg(built("riscv32imc-unknown-none-elf/release/wsdm-device-qemu")),
                )
            }
            Self::Host => {
                let mut command = Command::new(built("debug/wsdm-device-host"));
                command.args(["--url", &format!("ws://{gateway}")]);
                for (key, value) in more {
                    command.arg(format!("--{}", key.replace('_', "-"))).arg(value);
                }
                Program::start(&mut command)
            }
            Self::Serial => unreachable!("it is plugged in, not started with an address"),
        };
        Running { board: self, program }
    }

    /// A board on a serial port, which the gateway opens.
    async fn plug(port: &Path) -> Running {
        let mut program = Program::start(
            Command::new(built("debug/wsdm-device-host"))
                .arg("--serial")
                .arg(port),
        );
        program.line("at ").await;
        Running {
            board: Self::Serial,
            program,
        }
    }
}

struct Running {
    board: Board,
    program: Program,
}

impl Running {
    /// The rest of the next report that begins so, and its time.
    async fn report(&mut self, start: &str) -> (u64, String) {
        within(&format!("a report that begins {start:?}"), async {
            loop {
                let line = self.program.line("at ").await;
                let (at, report) = line.split_once(" ms: ").unwrap();
                if let Some(rest) = report.strip_prefix(start) {
                    return (at.parse().unwrap(), rest.to_owned());
                }
            }
        })
        .await
    }

    /// The next change of a pin: its value in thousandths, and the time.
    async fn pin(&mut self, pin: &str) -> (u32, u64) {
        let line = self.program.line(&format!("pin {pin} ")).await;
        let (value, at) = line.split_once(" at ").unwrap();
        let value: f64 = value.parse().unwrap();
        let at = at.strip_suffix(" ms").unwrap().parse().unwrap();
        ((value * 1_000.0).round() as u32, at)
    }

    /// Waits until a pin does just this; when.
    async fn pin_at(&mut self, pin: &str, value: u32) -> u64 {
        within(&format!("pin {pin} at {value}"), async {
            loop {
                let (now, at) = self.pin(pin).await;
                if now == value {
                    return at;
                }
            }
        })
        .await
    }

    /// The outputs are stopped by the watchdog, in its time.
    async fn watchdog(&mut self, why: &str) {
        self.pin_at("V0", 0).await;
        let (_, rest) = self.report("stopped by watchdog, ").await;
        let ms: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        println!(
            "{:?}, {why}: stopped {ms} ms after the last sign of life",
            self.board
        );
        assert!((WATCHDOG_MS..WATCHDOG_MS + LATE_MS).contains(&ms), "{ms} ms");
    }
}

async fn driven(client: &ButtplugClient, board: &mut Running) {
    listed(client, 1).await;
    let edge = client.devices().into_values().next().unwrap();
    assert_eq!(edge.name(), "Lovense Edge");
    for (strength, thousandths) in [(0.5, 500), (1.0, 1_000), (0.05, 50), (0.0, 0), (0.75, 750)] {
        vibrate(client, strength).await;
        board.pin_at("V0", thousandths).await;
        board.pin_at("V1", thousandths).await;
    }
    assert_eq!(within("the battery", edge.battery()).await.unwrap(), 85);
    // Silence on the wire, but for pings and pongs.
    let changed = tokio::time::timeout(STEADY, board.pin("V0")).await;
    assert!(changed.is_err(), "a steady vibration stays: {changed:?}");
}

async fn follows_the_slider(board: Board) {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut board = board.start(addr(&gateway.devices), &[]);
    let client = client(&gateway.clients, "driver").await;
    let (at, _) = board.report("connected").await;
    println!("{:?}: connected {at} ms after its start", board.board);
    driven(&client, &mut board).await;
    within("a goodbye", client.disconnect()).await.unwrap();
    board.pin_at("V0", 0).await;
}

#[tokio::test]
async fn the_emulated_board_follows_the_slider() {
    follows_the_slider(Board::Qemu).await;
}

#[tokio::test]
async fn the_same_code_here_follows_the_slider() {
    follows_the_slider(Board::Host).await;
}

/// Intiface's own listener answers pings, so that the watchdog is content there too.
#[tokio::test]
async fn the_emulated_board_follows_the_slider_of_the_reference_server() {
    let reference = Reference::start().await;
    let client = client(&reference.clients, "driver").await;
    let mut board = Board::Qemu.start(addr(&reference.devices), &[]);
    driven(&client, &mut board).await;
}

/// Other servers pass over what they do not know.
#[tokio::test]
async fn the_reference_server_takes_a_board_that_says_what_started_it() {
    let reference = Reference::start().await;
    let client = client(&reference.clients, "driver").await;
    let mut board = Board::Host.start(addr(&reference.devices), &[("reset", "brown-out")]);
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.pin_at("V0", 500).await;
}

#[tokio::test]
async fn the_emulated_board_stops_and_comes_back_when_the_gateway_ends() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::start(home.path(), &[]).await;
    let forwarder = Forwarder::to(&gateway.devices).await;
    let mut board = Board::Qemu.start(forwarder.addr, &[]);
    for signal in [Signal::TERM, Signal::KILL, Signal::TERM, Signal::KILL] {
        let client = client(&gateway.clients, "driver").await;
        board.report("connected").await;
        listed(&client, 1).await;
        vibrate(&client, 1.0).await;
        board.pin_at("V1", 1_000).await;
        let ended = std::time::Instant::now();
        gateway.signal(signal);
        board.pin_at("V0", 0).await;
        println!(
            "Qemu, gateway ended by {signal:?}: stopped after {} ms",
            ended.elapsed().as_millis()
        );
        if signal == Signal::KILL {
            // At once, and not when the watchdog was due. A gateway that ends in order sends the stop itself.
            let (_, silent) = board.report("stopped by lost connection, ").await;
            println!("Qemu, gateway ended by {signal:?}: {silent}");
        }
        board.report("lost: ").await;
        gateway.exit_code().await;
        gateway = Process::start(home.path(), &[]).await;
        forwarder.redirect(&gateway.devices);
    }
    board.report("connected").await;
}

#[tokio::test]
async fn the_emulated_board_stops_when_the_gateway_freezes() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut board = Board::Qemu.start(addr(&gateway.devices), &[]);
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.pin_at("V1", 500).await;
    gateway.signal(Signal::STOP);
    board.watchdog("gateway frozen").await;
    gateway.signal(Signal::CONT);
    board.report("connected").await;
}

async fn half_open(board: Board) {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let forwarder = Forwarder::to(&gateway.devices).await;
    let mut board = board.start(forwarder.addr, &[]);
    let client = client(&gateway.clients, "driver").await;
    board.report("connected").await;
    listed(&client, 1).await;
    let index = client.devices().into_keys().next().unwrap();
    vibrate(&client, 0.5).await;
    board.pin_at("V1", 500).await;
    forwarder.go_silent();
    board.watchdog("half-open link").await;
    // It takes its own place again.
    board.report("connected").await;
    wait_until("the device is back", || client.devices().keys().eq([&index])).await;
    within("it is driven again", driven_to(&client, &mut board, 0.25, 250)).await;
}

/// Commands until a pin obeys: until the client's list has caught up, it is a device that has gone that is commanded.
async fn driven_to(client: &ButtplugClient, board: &mut Running, strength: f64, thousandths: u32) {
    loop {
        if let Some(device) = client.devices().into_values().next() {
            let command = ClientDeviceOutputCommand::Vibrate(strength.into());
            let _ = device.run_output(&command).await;
        }
        let change = tokio::time::timeout(Duration::from_millis(200), board.pin("V0")).await;
        if change.is_ok_and(|(value, _)| value == thousandths) {
            return;
        }
    }
}

#[tokio::test]
async fn the_emulated_board_stops_on_a_half_open_link_and_connects_anew() {
    half_open(Board::Qemu).await;
}

#[tokio::test]
async fn the_same_code_here_stops_on_a_half_open_link_and_connects_anew() {
    half_open(Board::Host).await;
}

#[tokio::test]
async fn the_same_code_on_a_wire_follows_the_slider_and_stops_when_the_gateway_freezes() {
    let home = TempDir::new().unwrap();
    let port = home.path().join("tty");
    let mut board = Board::plug(&port).await;
    let gateway = bridge(home.path(), &port).await;
    let client = client(&gateway.clients, "driver").await;
    driven(&client, &mut board).await;
    gateway.signal(Signal::STOP);
    board.watchdog("gateway frozen").await;
    gateway.signal(Signal::CONT);
    // It never left; that it says hello once more is no answer to anything.
    vibrate(&client, 0.25).await;
    board.pin_at("V0", 250).await;
    within("a goodbye", client.disconnect()).await.unwrap();
    board.pin_at("V0", 0).await;
}

/// Nothing restarts the board, and it hears the next gateway ask before its watchdog is due, or just after.
#[tokio::test]
async fn the_same_code_on_a_wire_introduces_itself_to_the_next_gateway() {
    let home = TempDir::new().unwrap();
    let port = home.path().join("tty");
    let mut board = Board::plug(&port).await;
    for _ in 0..3 {
        let mut gateway = bridge(home.path(), &port).await;
        let client = client(&gateway.clients, "driver").await;
        listed(&client, 1).await;
        vibrate(&client, 1.0).await;
        board.pin_at("V0", 1_000).await;
        gateway.signal(Signal::KILL);
        gateway.exit_code().await;
    }
    board.pin_at("V0", 0).await;
}

#[tokio::test]
async fn the_emulated_board_says_why_it_was_refused() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &["--device-token", "geheim-1"]).await;
    let devices = addr(&gateway.devices);
    let (_, reason) = Board::Qemu
        .start(devices, &[])
        .report("rejected with HTTP status ")
        .await;
    assert!(
        reason.starts_with("401: ") && reason.contains("token"),
        "{reason}"
    );
    let mut misspelt = Board::Qemu.start(devices, &[("token", "geheim-1"), ("identifier", "LVSDevise")]);
    let (at, reason) = misspelt.report("refused ").await;
    println!("Qemu, refused: {reason}");
    assert!(
        reason.starts_with("4001 ") && reason.contains("LVSDevice"),
        "{reason}"
    );
    // Somebody has to change something first.
    let (again, _) = misspelt.report("connecting").await;
    assert!(again - at >= 5_000, "{} ms", again - at);
    Board::Qemu
        .start(devices, &[("token", "geheim-1")])
        .report("connected")
        .await;
}

#[tokio::test]
async fn the_emulated_board_strokes_in_time_and_holds_when_control_ends() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut board = Board::Qemu.start(addr(&gateway.devices), &[("device", "tcode")]);
    let client = client(&gateway.clients, "driver").await;
    board.report("connected").await;
    listed(&client, 1).await;
    let go_to = async |position: f64, ms: u32| {
        let device = client.devices().into_values().next().unwrap();
        let command = ClientDeviceOutputCommand::HwPositionWithDuration(position.into(), ms);
        within("a command", device.run_output(&command)).await.unwrap();
    };
    // Half of the range at half of the range a second, though the app is in a hurry.
    go_to(0.0, 100).await;
    let (_, began) = board.pin("L0").await;
    let reached = board.pin_at("L0", 0).await;
    let soft = reached - began;
    println!("Qemu: the first stroke took {soft} ms");
    assert!((500..1_050 + LATE_MS).contains(&soft), "{soft} ms");
    // Small moves, until the soft start is over by the board's own clock.
    let mut at = reached;
    for target in [50, 0].into_iter().cycle() {
        if target == 50 && at - began > SOFT_START_MS {
            break;
        }
        go_to(f64::from(target) / 1_000.0, 100).await;
        at = board.pin_at("L0", target).await;
    }
    go_to(0.99, 1_000).await;
    // What is left of the stroke before may still be on its way to the test.
    let (mut place, mut began) = board.pin("L0").await;
    while place < 10 {
        (place, began) = board.pin("L0").await;
    }
    let mut at = began;
    while place < 980 {
        let (next, next_at) = board.pin("L0").await;
        // Not faster than the axis may, twice the range a second.
        assert!(
            u64::from(next.abs_diff(place)) <= 2 * (next_at - at) + 100,
            "{place} to {next}"
        );
        (place, at) = (next, next_at);
    }
    println!("Qemu: a stroke of 1000 ms took {} ms", at - began);
    assert!(
        (500..1_050 + LATE_MS).contains(&(at - began)),
        "{} ms",
        at - began
    );
    // The gateway is killed in the middle of a long stroke.
    go_to(0.0, 20_000).await;
    while board.pin("L0").await.0 > 960 {}
    gateway.signal(Signal::KILL);
    let (_, rest) = board.report("stopped by lost connection, ").await;
    println!("Qemu, gateway killed in mid-stroke: stopped, {rest}");
    let moved = tokio::time::timeout(Duration::from_millis(500), board.pin("L0")).await;
    assert!(moved.is_err(), "it holds: {moved:?}");
}

/// A board just flashed: its settings come over the console, its network by Improv. It needs no restart for the network,
/// and keeps all of it over one.
#[tokio::test]
async fn a_board_just_flashed_is_set_up_on_its_port_and_stays_within_its_limits() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let port = home.path().join("port");
    let made = std::process::Command::new("mkfifo").arg(&port).status();
    assert!(made.unwrap().success());
    let board = built("debug/wsdm-device-host");
    // Improv's checksums are no text.
    let script = r#""$1" --console --flash "$2" --network 'home:long enough:-50' <"$3" | LC_ALL=C sed -u 's/[\x80-\xff]//g'"#;
    let program = Program::start(
        Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(board)
            .arg(home.path().join("flash"))
            .arg(&port),
    );
    let mut board = Running {
        board: Board::Host,
        program,
    };
    // Opens as soon as the board reads.
    let mut typed = std::fs::OpenOptions::new().write(true).open(&port).unwrap();
    let address = addr(&gateway.devices);
    write!(typed, "set gateway {address}\nset limits V0=60\nsave\nrestart\n").unwrap();
    board.program.line("settings: as saved").await;
    // "IMPROV", version 1, an RPC with 19 bytes: join "home" with "long enough".
    let mut packet = b"IMPROV\x01\x03\x13\x01\x11\x04home\x0blong enough".to_vec();
    packet.push(packet.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    typed.write_all(&packet).unwrap();
    let client = client(&gateway.clients, "driver").await;
    for _ in 0..2 {
        board.report("connected").await;
        within(
            "it is driven, and stays within its limit",
            driven_to(&client, &mut board, 1.0, 600),
        )
        .await;
        within("so it is at half", driven_to(&client, &mut board, 0.5, 300)).await;
        typed.write_all(b"restart\n").unwrap();
        board.pin_at("V0", 0).await;
    }
}

#[tokio::test]
async fn a_web_page_gives_a_board_its_network() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut board = Command::new(built("debug/wsdm-device-host"));
    board
        .arg("--console")
        .arg("--flash")
        .arg(home.path().join("flash"))
        .args(["--network", "home:long enough:-50", "--network", "guests::-60"]);
    let address = addr(&gateway.devices);
    let steps = json!([
        ["type", format!("set gateway {address}\r"), "gateway = "],
        ["initialize"],
        ["scan"],
        ["provision", "home", "wrong words"],
        ["provision", "home", "long enough"],
        ["states"],
        ["state"],
        ["network"],
        // A sum that is wrong.
        ["raw", "494d50524f5601030202000000"],
        ["scan"],
    ]);
    let answers = improv::improv(&steps, board).await;
    println!("{answers:#?}");
    let values: Vec<_> = answers[1..].iter().map(|answer| &answer["value"]).collect();
    let [name, chip, firmware] = ["name", "chipFamily", "firmware"].map(|key| &values[0][key]);
    assert_eq!([name, chip, firmware], ["wsdm-host", "computer", "wsdm-device"]);
    let networks = json!([
        { "name": "guests", "rssi": -60, "secured": false },
        { "name": "home", "rssi": -50, "secured": true },
    ]);
    assert_eq!(*values[1], networks);
    assert_eq!(answers[3]["error"], "UNABLE_TO_CONNECT");
    let joined = json!({ "state": 4, "nextUrl": null });
    assert_eq!(*values[3], joined);
    assert_eq!(*values[4], json!([2, 3, 2, 3, 4]));
    assert_eq!(*values[5], joined);
    assert_eq!(values[6]["online"], true);
    // Not even a packet that is wrong ends it.
    assert_eq!(*values[8], networks);
}

#[tokio::test]
async fn the_gateways_log_says_what_started_a_board() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::start(home.path(), &[]).await;
    let mut log = BufReader::new(gateway.child.stderr.take().unwrap()).lines();
    let mut board = Board::Host.start(addr(&gateway.devices), &[("reset", "brown-out")]);
    board.report("connected").await;
    within("the log says so", async {
        loop {
            let line = log.next_line().await.unwrap().unwrap();
            if line.contains("started anew") {
                assert!(
                    line.contains("brown-out") && line.contains("8A3D9FAC2A45"),
                    "{line}"
                );
                return;
            }
        }
    })
    .await;
}
