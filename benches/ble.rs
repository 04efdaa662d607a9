//! Bluetooth LE beside bare btleplug in the same run, each on a fake BlueZ of its own.
//!
//! `cargo bench --bench ble` prints a table and asserts nothing. There is no radio in it: what is measured is what the
//! gateway adds to the way from a write to the notification that answers it. The fakes and the client are in this
//! process. The gateway is a process of its own, and so is bare btleplug: this program, started again.
//!
//! `cargo bench --bench ble -- --rounds 500` for a quick look; the default is 5,000.
#![cfg(target_os = "linux")]

#[path = "../tests/common/bluez.rs"]
mod bluez;
mod harness;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bluez::{Bluez, Board, NUS_NOTIFY, NUS_WRITE, Peripheral};
use btleplug::api::{Central, CentralEvent, Manager as _, Peripheral as _, ScanFilter, WriteType};
use btleplug::platform::Manager;
use futures::StreamExt;
use harness::client::Client;
use harness::{Server, cores, gateway, percentile, percentiles};
use serde_json::json;

/// The two take turns, so that a change of the machine's mood hits both.
const TURNS: usize = 10;
/// Round trips before the first that counts.
const WARM_UP: usize = 200;
/// Boards that come one after another.
const BOARDS: usize = 20;

fn main() {
    if std::env::args().nth(1).is_some_and(|arg| arg == "--bare") {
        // On a runtime with several threads btleplug may panic in what it drops.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.expect("a runtime").block_on(bare());
    }
    harness::run(
        "--rounds",
        5_000,
        |_| false,
        |rounds| async move {
            println!(
                "ble: {} cores; fake BlueZ, gateway and client on this machine; no radio",
                cores()
            );
            round_trips(rounds).await;
            arrivals().await;
        },
    );
}

/// A board that answers as a Lovense toy does.
fn lovense(bluez: &Bluez, n: usize) -> Board {
    let address = format!("C0:FF:EE:00:00:{n:02X}");
    let board = bluez.plug(Peripheral::nus(&address, "LVS-bench"));
    let device_type = format!("Z:11:{};", address.replace(':', ""));
    board.on_write(move |bytes| match bytes {
        b"DeviceType;" => vec![device_type.clone().into_bytes()],
        b"Battery;" => vec![b"85;".to_vec()],
        _ => Vec::new(),
    });
    board
}

/// The gateway on a fake BlueZ, with an entry for boards of this name.
fn gateway_on(bluez: &Bluez, state: &tempfile::TempDir, name: &str) -> Server {
    let config = state.path().join("gateway.toml");
    let entry = format!("[[ble]]\nname = {name:?}\nprofile = \"nus\"\nidentifier = \"LVSDevice\"\n");
    std::fs::write(&config, entry).expect("a folder to write in");
    let bus = bluez.bus_address();
    Server::start(
        gateway(state)
            .arg("--config")
            .arg(&config)
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus),
    )
}

async fn round_trips(rounds: usize) {
    let state = tempfile::tempdir().expect("a directory");
    // Each of them hears nothing of the other's board.
    let (near, far) = (Bluez::start(), Bluez::start());
    let (board, behind) = (lovense(&near, 0), lovense(&far, 1));
    board.advertise();
    behind.advertise();
    let mut bare = Bare::start(&near);
    let gateway = gateway_on(&far, &state, "LVS-bench");
    let mut client = Client::connect(gateway.url("clients")).await;
    client.listed.wait_for(|l| l.len() == 1).await.expect("a client");
    let index = client.listed.borrow()[0];

    bare.round_trips(WARM_UP);
    batteries(&mut client, index, WARM_UP).await;
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        direct.extend(bare.round_trips(rounds / TURNS));
        through.extend(batteries(&mut client, index, rounds / TURNS).await);
    }
    println!(
        "from a write with response to its notification, {} each in turns",
        direct.len()
    );
    println!("  bare btleplug    {}", percentiles(direct.clone()));
    println!("  whole gateway    {}", percentiles(through.clone()));
    let mut more = |p| percentile(&mut through, p) - percentile(&mut direct, p);
    println!(
        "  more by          p50 {:>8.1} µs   p99 {:>8.1} µs",
        more(0.50),
        more(0.99)
    );
}

/// A client asks for the battery, which the board answers.
async fn batteries(client: &mut Client, index: u32, rounds: usize) -> Vec<u64> {
    let mut nanos = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        let query = json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"});
        let reply = client.call("InputCmd", query).await;
        nanos.push(started.elapsed().as_nanos() as u64);
        assert!(reply.get("InputReading").is_some(), "{reply}");
    }
    nanos
}

/// From a board's first advertisement until the client lists it, with those before it connected.
async fn arrivals() {
    let state = tempfile::tempdir().expect("a directory");
    let bluez = Bluez::start();
    let gateway = gateway_on(&bluez, &state, "LVS-*");
    let mut client = Client::connect(gateway.url("clients")).await;
    bluez.wait_discovering(true).await;
    let mut nanos = Vec::new();
    for n in 0..BOARDS {
        let board = lovense(&bluez, n);
        let started = Instant::now();
        board.advertise_at_once();
        client
            .listed
            .wait_for(|l| l.len() == n + 1)
            .await
            .expect("a client");
        nanos.push(started.elapsed().as_nanos() as u64);
        // The gateway is idle again.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("from the first advertisement to being listed, {BOARDS} boards one after another");
    println!(
        "  p50 {:.1} ms   longest {:.1} ms",
        percentile(&mut nanos, 0.5) / 1_000.0,
        percentile(&mut nanos, 1.0) / 1_000.0
    );
}

/// btleplug with nothing around it, in a process of its own: libdbus knows one bus a process.
struct Bare {
    child: Child,
    orders: ChildStdin,
    figures: BufReader<ChildStdout>,
}

impl Bare {
    fn start(bluez: &Bluez) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("--bare")
            .env("DBUS_SYSTEM_BUS_ADDRESS", bluez.bus_address())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program");
        Self {
            orders: child.stdin.take().expect("piped"),
            figures: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    fn round_trips(&mut self, rounds: usize) -> Vec<u64> {
        writeln!(self.orders, "{rounds}").expect("a reader");
        let mut line = String::new();
        self.figures.read_line(&mut line).expect("a line");
        let numbers = line
            .split_whitespace()
            .map(|word| word.parse().expect("a number"));
        let numbers: Vec<u64> = numbers.collect();
        assert_eq!(numbers.len(), rounds, "bare btleplug failed");
        numbers
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects to the only board; then, for each number on stdin, prints the nanoseconds of so many round trips.
async fn bare() {
    let manager = Manager::new().await.expect("a bus");
    let adapters = manager.adapters().await.expect("a daemon");
    let adapter = adapters.into_iter().next().expect("an adapter");
    let mut events = adapter.events().await.expect("events");
    adapter.start_scan(ScanFilter::default()).await.expect("a scan");
    let peripheral = loop {
        if let Some(CentralEvent::DeviceDiscovered(id)) = events.next().await {
            break adapter.peripheral(&id).await.expect("what was just seen");
        }
    };
    adapter.stop_scan().await.expect("no scan");
    peripheral.connect().await.expect("a connection");
    peripheral.discover_services().await.expect("services");
    let characteristics = peripheral.characteristics();
    let characteristic = |uuid: &str| {
        let found = characteristics.iter().find(|c| c.uuid.to_string() == uuid);
        found.cloned().expect("what the board has")
    };
    let (write, notify) = (characteristic(NUS_WRITE), characteristic(NUS_NOTIFY));
    let mut notifications = peripheral.notifications().await.expect("a stream");
    peripheral.subscribe(&notify).await.expect("a subscription");
    for line in std::io::stdin().lines() {
        let rounds: usize = line.expect("a line").parse().expect("a number");
        let mut nanos = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let started = Instant::now();
            let written = peripheral.write(&write, b"Battery;", WriteType::WithResponse);
            let answered = async {
                let answer = notifications.next().await.expect("a notification");
                assert_eq!(answer.value, b"85;");
                started.elapsed().as_nanos() as u64
            };
            // Either may be first, and both must be over before the next.
            let (written, took) = tokio::join!(written, answered);
            written.expect("a write");
            nanos.push(took.to_string());
        }
        println!("{}", nanos.join(" "));
    }
}
