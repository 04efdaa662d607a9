//! The whole program under load, beside a bare websocket echo under the same load in the same run.
//!
//! `cargo bench --bench load` prints a table. It asserts nothing: a figure is for people to read, and a busy
//! machine would break any bound. Both servers run as processes of their own, so that memory is theirs alone:
//! the gateway is this package's own binary, the echo is this program started again.
//!
//! `cargo bench --bench load -- --devices 200` for a quick look; the default is 1,000. The last table shows how things
//! grow, up to ten times that number: what doubles when the devices double is fine. `-- --moves` prints only how many
//! moves a second reach a board.

mod harness;

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::stream::FuturesUnordered;
use futures::{SinkExt, StreamExt};
use harness::client::Client;
use harness::{Server, Ws, connect, cores, handshake, percentiles};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// Devices that connect at the same moment, where the figure is a rate.
const CONCURRENT: usize = 64;
/// Round trips that one latency figure is taken from.
const ROUND_TRIPS: usize = 2_000;
/// How long a board is moved for one figure, in seconds.
const MOVED_FOR_S: u32 = 5;

fn main() {
    let echoed = |message: &Message| message.is_text() || message.is_binary();
    harness::run("--devices", 1_000, echoed, bench);
}

/// When each device got its last command: nanoseconds since the start of the run.
struct Devices {
    started: Instant,
    vibrated: Vec<AtomicU64>,
    woken: Mutex<HashMap<usize, oneshot::Sender<()>>>,
}

impl Devices {
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// A lovense with one motor: answers what the server asks, and notes when a command arrives.
async fn lovense(mut ws: Ws, i: usize, devices: Arc<Devices>) {
    while let Some(Ok(message)) = ws.next().await {
        let Message::Binary(frame) = message else { continue };
        let answer = match &frame[..] {
            b"DeviceType;" => format!("S:11:{i:012X};"),
            b"Battery;" => "90;".to_owned(),
            _ => {
                devices.vibrated[i].store(devices.now(), Ordering::Release);
                if let Some(waiting) = devices.woken.lock().expect("whole").remove(&i) {
                    let _ = waiting.send(());
                }
                continue;
            }
        };
        if ws.send(Message::binary(answer)).await.is_err() {
            return;
        }
    }
}

/// Connections a second, from the connect to the first answer.
async fn handshakes(url: &str, total: usize) -> f64 {
    let started = Instant::now();
    let mut running = FuturesUnordered::new();
    let mut next = 0;
    let mut done = 0;
    while done < total {
        while running.len() < CONCURRENT && next < total {
            let url = url.to_owned();
            let i = next;
            next += 1;
            running.push(tokio::spawn(async move {
                let mut ws = connect(&url).await;
                ws.send(Message::text(handshake(i)))
                    .await
                    .expect("an open socket");
                ws.next().await.expect("an answer").expect("whole");
            }));
        }
        running.next().await.expect("one is running").expect("no panic");
        done += 1;
    }
    total as f64 / started.elapsed().as_secs_f64()
}

async fn echo_round_trips(ws: &mut Ws) -> Vec<u64> {
    let mut nanos = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let started = Instant::now();
        ws.send(Message::binary(&b"Vibrate:10;"[..]))
            .await
            .expect("an open socket");
        ws.next().await.expect("an echo").expect("whole");
        nanos.push(started.elapsed().as_nanos() as u64);
    }
    nanos
}

/// From a client's command to the device's frame, then a battery query there and back.
async fn latencies(client: &mut Client, devices: &Devices, by_index: &[(u32, usize)]) {
    let mut commands = Vec::with_capacity(ROUND_TRIPS);
    let mut queries = Vec::with_capacity(ROUND_TRIPS);
    for n in 0..ROUND_TRIPS {
        let (index, device) = by_index[n % by_index.len()];
        let (woken, arrived) = oneshot::channel();
        devices.woken.lock().expect("whole").insert(device, woken);
        // Never the same value twice in a row for one device: the server drops repeats.
        let value = 1 + (n / by_index.len()) % 20;
        let sent = devices.now();
        let call = client.call(
            "OutputCmd",
            json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}}),
        );
        let reply = call.await;
        assert!(reply.get("Ok").is_some(), "{reply}");
        arrived.await.expect("the command arrives");
        commands.push(
            devices.vibrated[device]
                .load(Ordering::Acquire)
                .saturating_sub(sent),
        );

        let started = Instant::now();
        let query = json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"});
        let reply = client.call("InputCmd", query).await;
        assert!(reply.get("InputReading").is_some(), "{reply}");
        queries.push(started.elapsed().as_nanos() as u64);
    }
    println!(
        "  command to device frame, {:>4} devices   {}",
        by_index.len(),
        percentiles(commands)
    );
    println!(
        "  battery there and back,  {:>4} devices   {}",
        by_index.len(),
        percentiles(queries)
    );
}

/// What more and more devices come to.
async fn growth(count: usize) {
    println!("growth (devices, {CONCURRENT} connect at once)");
    println!(
        "  devices   listed after   gone after    lists to a client         memory a device   command to device frame"
    );
    for count in [count, 2 * count, 4 * count, 10 * count] {
        grown(count).await;
    }
}

async fn grown(count: usize) {
    let state = tempfile::tempdir().expect("a directory");
    let gateway = Server::gateway(&state, &[]);
    let mut client = Client::connect(gateway.url("clients")).await;
    let mut listed = client.listed.clone();
    let before = gateway.settled().await;
    let (frame, mut frames) = mpsc::unbounded_channel();
    let connecting = Arc::new(Semaphore::new(CONCURRENT));
    let started = Instant::now();
    let devices: Vec<_> = (0..count)
        .map(|i| {
            let url = gateway.url("devices").to_owned();
            let (connecting, frame) = (connecting.clone(), frame.clone());
            tokio::spawn(async move {
                let turn = connecting.acquire().await.expect("never closed");
                let mut ws = connect(&url).await;
                ws.send(Message::text(handshake(i)))
                    .await
                    .expect("an open socket");
                let mut turn = Some(turn);
                while let Some(Ok(message)) = ws.next().await {
                    let Message::Binary(command) = message else {
                        continue;
                    };
                    if command != b"DeviceType;"[..] {
                        let _ = frame.send(Instant::now());
                        continue;
                    }
                    turn = None;
                    let answer = format!("S:11:{i:012X};");
                    if ws.send(Message::binary(answer)).await.is_err() {
                        return;
                    }
                }
                drop(turn);
            })
        })
        .collect();
    listed.wait_for(|l| l.len() == count).await.expect("a client");
    let took = started.elapsed();
    let after = gateway.settled().await;
    let indexes = listed.borrow().clone();
    let mut nanos = Vec::with_capacity(ROUND_TRIPS);
    for n in 0..ROUND_TRIPS {
        // Far from the last one, and never the same value twice in a row for one device.
        let index = indexes[n * 7_919 % indexes.len()];
        let value = 1 + n / indexes.len() % 20;
        let sent = Instant::now();
        let command =
            json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}});
        let reply = client.call("OutputCmd", command).await;
        assert!(reply.get("Ok").is_some(), "{reply}");
        let arrived = frames.recv().await.expect("the command arrives");
        nanos.push((arrived - sent).as_nanos() as u64);
    }
    let (lists, bytes) = (&client.lists.count, &client.lists.bytes);
    let (lists, bytes) = (lists.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
    let started = Instant::now();
    devices.iter().for_each(JoinHandle::abort);
    listed.wait_for(Vec::is_empty).await.expect("a client");
    let gone = started.elapsed();
    println!(
        "  {count:>7}   {:>8.2} s    {:>8.2} s     {:>4} lists, {:>6.1} MB      {:>6.1} KiB         {}",
        took.as_secs_f64(),
        gone.as_secs_f64(),
        lists,
        bytes as f64 / 1e6,
        (after.saturating_sub(before)) as f64 / count as f64,
        percentiles(nanos),
    );
}

async fn bench(count: usize) {
    if std::env::args().any(|arg| arg == "--growth") {
        return growth(count).await;
    }
    if std::env::args().any(|arg| arg == "--moves") {
        return moves().await;
    }
    all(count).await;
    moves().await;
    growth(count).await;
}

/// Moves a second from one app, and how many of them its board gets; beside a device with the message gap of 20 ms that
/// the library has for TCode.
async fn moves() {
    println!("moves a second, from an app to a TCode board (sent, arrived, out of order)");
    let state = tempfile::tempdir().expect("a directory");
    let udcf = state.path().join("udcf.json");
    let output = json!({"hw_position_with_duration": {"value": [0, 9_999], "duration": [0, 99_999]}});
    let configuration = |name: &str, n: u32, gap: Option<u32>| {
        let id = |m: u32| format!("5a0e1f0c-0000-4000-8000-0000000000{n}{m}");
        let features = json!([{"index": 0, "id": id(1), "description": "L0", "output": output}]);
        let mut device = json!({"identifier": [name], "name": name, "id": id(0), "features": features});
        if let Some(gap) = gap {
            device["message_gap_ms"] = gap.into();
        }
        device
    };
    let names = ["Paced by the link", "A gap of 20 ms"];
    let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {"tcode-v03": {
        "communication": names.map(|name| json!({"websocket": {"name": name}})),
        "configurations": [configuration(names[0], 1, None), configuration(names[1], 2, Some(20))]}}}});
    std::fs::write(&udcf, file.to_string()).expect("a file");
    let gateway = Server::gateway(&state, &["--udcf", udcf.to_str().expect("a path")]);
    for rate in [50, 100, 300] {
        for name in names {
            moved(&gateway, name, rate).await;
        }
    }
}

async fn moved(gateway: &Server, name: &str, rate: u32) {
    let mut client = Client::connect(gateway.url("clients")).await;
    let mut listed = client.listed.clone();
    let mut ws = connect(gateway.url("devices")).await;
    let hello = json!({"identifier": name, "address": "bench", "version": 0});
    ws.send(Message::text(hello.to_string()))
        .await
        .expect("an open socket");
    listed.wait_for(|l| l.len() == 1).await.expect("a client");
    let index = listed.borrow()[0];
    let total = MOVED_FOR_S * rate;
    let board = tokio::spawn(async move {
        let (mut arrived, mut late, mut last) = (0_u32, 0_u32, 0);
        while last < total {
            let message = ws.next().await.expect("an open socket").expect("a whole message");
            let Message::Binary(frame) = message else { continue };
            let digits = frame
                .get(2..6)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            // A board that comes back is stopped first.
            let Some(value) = digits.and_then(|digits| digits.parse().ok()) else {
                continue;
            };
            arrived += 1;
            late += u32::from(value <= last);
            last = last.max(value);
        }
        (arrived, late)
    });
    let mut pace = tokio::time::interval(std::time::Duration::from_secs(1) / rate);
    let started = Instant::now();
    for value in 1..=total {
        pace.tick().await;
        let command = json!({"HwPositionWithDuration": {"Value": value, "Duration": 1_000 / rate}});
        let fields = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": command});
        let reply = client.call("OutputCmd", fields).await;
        assert!(reply.get("Ok").is_some(), "{reply}");
    }
    let (arrived, late) = board.await.expect("no panic");
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "  {name:<18} {:>6.1} {:>6.1} {late:>4}",
        f64::from(total) / seconds,
        f64::from(arrived) / seconds,
    );
    listed.wait_for(Vec::is_empty).await.expect("a client");
}

async fn all(count: usize) {
    let state = tempfile::tempdir().expect("a directory");
    println!(
        "load: {count} devices, {} cores, client, devices and server on this machine",
        cores()
    );

    println!("handshakes a second ({CONCURRENT} at once, 2,000 in all)");
    for (name, server, port) in [
        ("bare echo", Server::itself(&["--echo"]), "echo"),
        ("gateway", Server::gateway(&state, &[]), "devices"),
    ] {
        println!("  {name:<10} {:>8.0}", handshakes(server.url(port), 2_000).await);
    }

    println!("bare echo");
    {
        let echo = Server::itself(&["--echo"]);
        let mut one = connect(echo.url("echo")).await;
        println!(
            "  there and back,             1 device    {}",
            percentiles(echo_round_trips(&mut one).await)
        );
        let before = echo.settled().await;
        let mut all = Vec::new();
        for i in 0..count {
            let mut ws = connect(echo.url("echo")).await;
            ws.send(Message::text(handshake(i)))
                .await
                .expect("an open socket");
            ws.next().await.expect("an echo").expect("whole");
            all.push(ws);
        }
        println!(
            "  there and back,          {count:>4} devices   {}",
            percentiles(echo_round_trips(&mut one).await)
        );
        let after = echo.settled().await;
        println!(
            "  memory a connection       {:>6.1} KiB",
            (after - before) as f64 / count as f64
        );
    }

    println!("gateway");
    let gateway = Server::gateway(&state, &[]);
    let devices = Arc::new(Devices {
        started: Instant::now(),
        vibrated: (0..=count).map(|_| AtomicU64::new(0)).collect(),
        woken: Mutex::default(),
    });
    let mut client = Client::connect(gateway.url("clients")).await;
    let mut listed = client.listed.clone();

    // One device first: its index is the only one.
    let mut ws = connect(gateway.url("devices")).await;
    ws.send(Message::text(handshake(count)))
        .await
        .expect("an open socket");
    let one = tokio::spawn(lovense(ws, count, devices.clone()));
    listed.wait_for(|l| l.len() == 1).await.expect("a client");
    let index = listed.borrow()[0];
    latencies(&mut client, &devices, &[(index, count)]).await;
    one.abort();
    listed.wait_for(Vec::is_empty).await.expect("a client");

    let before = gateway.settled().await;
    let started = Instant::now();
    for i in 0..count {
        let url = gateway.url("devices").to_owned();
        let devices = devices.clone();
        tokio::spawn(async move {
            let mut ws = connect(&url).await;
            ws.send(Message::text(handshake(i)))
                .await
                .expect("an open socket");
            lovense(ws, i, devices).await;
        });
    }
    listed.wait_for(|l| l.len() == count).await.expect("a client");
    println!(
        "  {count} devices at once, all listed after {:.2} s",
        started.elapsed().as_secs_f64()
    );
    let after = gateway.settled().await;
    println!(
        "  memory a device           {:>6.1} KiB   ({} MiB before, {} MiB after, {})",
        (after - before) as f64 / count as f64,
        before / 1024,
        after / 1024,
        wsdm_gateway::ALLOCATOR,
    );

    // Which index is which device: command each once and see whose frame arrives.
    let indexes = listed.borrow().clone();
    let mut by_index = Vec::with_capacity(count);
    let mut known: Vec<u64> = devices
        .vibrated
        .iter()
        .map(|v| v.load(Ordering::Acquire))
        .collect();
    for index in indexes {
        let command = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 20}}});
        client.call("OutputCmd", command).await;
        let device = loop {
            let now = (0..count).find(|&i| devices.vibrated[i].load(Ordering::Acquire) != known[i]);
            match now {
                Some(i) => break i,
                None => tokio::task::yield_now().await,
            }
        };
        known[device] = devices.vibrated[device].load(Ordering::Acquire);
        by_index.push((index, device));
    }
    latencies(&mut client, &devices, &by_index).await;

    let mut gateway = gateway;
    let started = Instant::now();
    let pid = gateway.child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    let status = tokio::task::spawn_blocking(move || gateway.child.wait())
        .await
        .expect("no panic")
        .expect("a status");
    println!(
        "  SIGTERM with {count} devices  exit code {}, after {:.2} s",
        status.code().unwrap_or(-1),
        started.elapsed().as_secs_f64()
    );
}
