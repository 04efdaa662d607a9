//! What a broker between an app and its board costs: beside one gateway alone, and beside two without a broker, in the
//! same run.
//!
//! `cargo bench --bench fleet` prints a table; it needs mosquitto. It asserts nothing: a figure is for people to read, and
//! a busy machine would break any bound. All servers run as processes of their own. `-- --seconds 20` measures for longer.

mod harness;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use harness::client::Client;
use harness::{Server, connect, cores, percentiles};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// Edges, where there are several.
const EDGES: usize = 10;
/// Apps among which many devices are divided.
const APPS: usize = 10;
/// The places of an axis: a command is found again by its place.
const PLACES: usize = 10_000;
/// Queries there and back.
const QUERIES: usize = 500;

fn main() {
    let echoed = |message: &Message| message.is_text() || message.is_binary();
    harness::run("--seconds", 5, echoed, bench);
}

/// A mosquitto of its own, killed when this goes.
struct Broker {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    async fn start(nodelay: bool) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let file = folder.path().join("mosquitto.conf");
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay {nodelay}\nlog_type none\n"
        );
        std::fs::write(&file, config).expect("a file");
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto: install the package mosquitto");
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            child,
            url: format!("mqtt://127.0.0.1:{port}"),
            _folder: folder,
        }
    }
}

/// What stands between the apps and the boards.
struct Way {
    name: &'static str,
    hub: Server,
    edges: Vec<Server>,
    _broker: Option<Broker>,
    _folder: TempDir,
}

/// A gateway with this configuration.
fn gateway(folder: &TempDir, name: &str, toml: &str) -> Server {
    let file = folder.path().join(format!("{name}.toml"));
    let id = |n: u32| format!("5a0e1f0c-0000-4000-8000-00000000000{n}");
    let output = json!({"hw_position_with_duration": {"value": [0, PLACES - 1], "duration": [0, 99_999]}});
    let features = json!([{"index": 0, "id": id(1), "description": "L0", "output": output}]);
    let udcf = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {"lovense": {"communication": [{"websocket": {"name": "LVSDevice"}}]}, "tcode-v03": {
        "communication": [{"websocket": {"name": "Bench"}}],
        "configurations": [{"identifier": ["Bench"], "name": "Bench", "id": id(0), "features": features}]}}}});
    let path = folder.path().join("udcf.json");
    std::fs::write(&path, udcf.to_string()).expect("a file");
    let state = folder.path().join(format!("{name}.json"));
    std::fs::write(
        &file,
        format!("[udcf]\npath = {path:?}\n[state]\npath = {state:?}\n{toml}"),
    )
    .expect("a file");
    let home = tempfile::tempdir().expect("a directory");
    Server::gateway(&home, &["--config", file.to_str().expect("a path")])
}

impl Way {
    fn alone() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        Self {
            name: "one gateway",
            hub: gateway(&folder, "hub", ""),
            edges: Vec::new(),
            _broker: None,
            _folder: folder,
        }
    }

    fn relayed(edges: usize) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let hub = gateway(&folder, "hub", "");
        let toml = format!("[upstream]\nrelay = {:?}\n", hub.url("devices"));
        Self {
            name: "relay, no broker",
            edges: (0..edges)
                .map(|n| gateway(&folder, &format!("edge-{n}"), &toml))
                .collect(),
            hub,
            _broker: None,
            _folder: folder,
        }
    }

    async fn through_a_broker(edges: usize, nodelay: bool) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let broker = Broker::start(nodelay).await;
        let toml = |n: usize| format!("[upstream]\nmqtt = {:?}\nedge = \"edge-{n}\"\n", broker.url);
        Self {
            name: if nodelay { "mosquitto" } else { "mosquitto, Nagle" },
            hub: gateway(
                &folder,
                "hub",
                &format!("[mqtt]\nbroker = {:?}\nhub = \"hub-1\"\n", broker.url),
            ),
            edges: (0..edges)
                .map(|n| gateway(&folder, &format!("edge-{n}"), &toml(n)))
                .collect(),
            _broker: Some(broker),
            _folder: folder,
        }
    }

    /// Where the `n`th board connects.
    fn devices(&self, n: usize) -> String {
        let server = if self.edges.is_empty() {
            &self.hub
        } else {
            &self.edges[n % self.edges.len()]
        };
        server.url("devices").to_owned()
    }
}

/// What is known of every command on its way.
struct Commands {
    started: Instant,
    /// When the newest command to each place of each board was sent: nanoseconds since the start, 0 if none is awaited.
    sent: Vec<Vec<AtomicU64>>,
    took: Mutex<Vec<u64>>,
}

impl Commands {
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// A board with an axis, which reports each move.
async fn board(url: String, n: usize, commands: Arc<Commands>, came: mpsc::UnboundedSender<usize>) {
    let mut ws = connect(&url).await;
    let hello = json!({"identifier": "Bench", "address": format!("{n}"), "version": 0});
    ws.send(Message::text(hello.to_string()))
        .await
        .expect("an open socket");
    while let Some(Ok(message)) = ws.next().await {
        let Message::Binary(frame) = message else { continue };
        let digits = frame
            .get(2..6)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(place) = digits
            .and_then(|digits| digits.parse::<usize>().ok())
            .filter(|place| *place < PLACES)
        else {
            continue;
        };
        let sent = commands.sent[n][place].swap(0, Ordering::AcqRel);
        if sent > 0 {
            commands
                .took
                .lock()
                .expect("whole")
                .push(commands.now().saturating_sub(sent));
            let _ = came.send(n);
        }
    }
}

fn command(index: u32, place: usize) -> serde_json::Value {
    let command = json!({"HwPositionWithDuration": {"Value": place, "Duration": 100}});
    json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": command})
}

/// So many boards, each commanded so often, for so long.
async fn measured(way: &Way, boards: usize, rate: u64, seconds: usize) {
    let commands = Arc::new(Commands {
        started: Instant::now(),
        sent: (0..boards)
            .map(|_| (0..PLACES).map(|_| AtomicU64::new(0)).collect())
            .collect(),
        took: Mutex::default(),
    });
    let (came, mut comes) = mpsc::unbounded_channel();
    let tasks: Vec<_> = (0..boards)
        .map(|n| tokio::spawn(board(way.devices(n), n, commands.clone(), came.clone())))
        .collect();
    let mut client = Client::connect(way.hub.url("clients")).await;
    let mut listed = client.listed.clone();
    listed.wait_for(|l| l.len() == boards).await.expect("a client");
    // Which index is which board: command each once and see whose frame arrives.
    let mut by_index = Vec::new();
    for index in listed.borrow_and_update().clone() {
        let place = 9_000 + by_index.len() % 999;
        for n in 0..boards {
            commands.sent[n][place].store(1, Ordering::Release);
        }
        let reply = client.call("OutputCmd", command(index, place)).await;
        assert!(reply.get("Ok").is_some(), "{reply}");
        let n = comes.recv().await.expect("it arrives");
        for n in 0..boards {
            commands.sent[n][place].store(0, Ordering::Release);
        }
        by_index.push((index, n));
    }
    commands.took.lock().expect("whole").clear();
    let apps = APPS.min(boards);
    let mut sending = Vec::new();
    for app in 0..apps {
        let mine: Vec<_> = by_index.iter().copied().skip(app).step_by(apps).collect();
        let (commands, url) = (commands.clone(), way.hub.url("clients").to_owned());
        sending.push(tokio::spawn(async move {
            let mut client = Client::connect(&url).await;
            let mut pace = tokio::time::interval(Duration::from_secs(1) / (rate as u32 * mine.len() as u32));
            let started = Instant::now();
            let mut sent = 0;
            while started.elapsed() < Duration::from_secs(seconds as u64) {
                pace.tick().await;
                let (index, n) = mine[sent % mine.len()];
                let place = sent / mine.len() % 8_999 + 1;
                commands.sent[n][place].store(commands.now(), Ordering::Release);
                let reply = client.call("OutputCmd", command(index, place)).await;
                assert!(reply.get("Ok").is_some(), "{reply}");
                sent += 1;
            }
            // The boards are stopped when the app leaves: first what is on its way arrives.
            tokio::time::sleep(Duration::from_millis(500)).await;
            sent
        }));
    }
    let mut sent = 0;
    for app in sending {
        sent += app.await.expect("no panic");
    }
    let took = std::mem::take(&mut *commands.took.lock().expect("whole"));
    let (arrived, edges) = (took.len(), way.edges.len());
    println!(
        "  {:<18} {boards:>4} x {rate:>5}/s  {edges:>2} edges   {}   {sent} sent, {:.1} % superseded",
        way.name,
        percentiles(took),
        100.0 * (1.0 - arrived as f64 / sent as f64),
    );
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    listed.wait_for(Vec::is_empty).await.expect("a client");
}

/// A battery query, there and back.
async fn queried(way: &Way) {
    let mut ws = connect(&way.devices(0)).await;
    ws.send(Message::text(harness::handshake(7)))
        .await
        .expect("an open socket");
    let board = tokio::spawn(async move {
        while let Some(Ok(message)) = ws.next().await {
            let Message::Binary(frame) = message else { continue };
            let answer = match &frame[..] {
                b"DeviceType;" => "S:11:000000000007;",
                b"Battery;" => "90;",
                _ => continue,
            };
            if ws.send(Message::binary(answer)).await.is_err() {
                return;
            }
        }
    });
    let mut client = Client::connect(way.hub.url("clients")).await;
    let mut listed = client.listed.clone();
    listed.wait_for(|l| l.len() == 1).await.expect("a client");
    let index = listed.borrow_and_update()[0];
    let mut nanos = Vec::with_capacity(QUERIES);
    for _ in 0..QUERIES {
        let started = Instant::now();
        let query = json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"});
        let reply = client.call("InputCmd", query).await;
        assert!(reply.get("InputReading").is_some(), "{reply}");
        nanos.push(started.elapsed().as_nanos() as u64);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!(
        "  {:<18} battery there and back    {}",
        way.name,
        percentiles(nanos)
    );
    board.abort();
    listed.wait_for(Vec::is_empty).await.expect("a client");
}

async fn bench(seconds: usize) {
    println!(
        "fleet: {} cores, apps, boards, gateways and broker on this machine; from an app's command to the board",
        cores()
    );
    for (boards, rate) in [(1, 100), (1, 1_000)] {
        measured(&Way::alone(), boards, rate, seconds).await;
        measured(&Way::relayed(1), boards, rate, seconds).await;
        measured(&Way::through_a_broker(1, true).await, boards, rate, seconds).await;
        measured(&Way::through_a_broker(1, false).await, boards, rate, seconds).await;
    }
    for way in [
        Way::alone(),
        Way::relayed(1),
        Way::through_a_broker(1, true).await,
        Way::through_a_broker(1, false).await,
    ] {
        queried(&way).await;
    }
    for (boards, rate) in [(200, 10), (200, 50)] {
        measured(&Way::relayed(EDGES), boards, rate, seconds).await;
        let way = Way::through_a_broker(EDGES, true).await;
        measured(&way, boards, rate, seconds).await;
        let edges: u64 = way.edges.iter().map(Server::resident).sum();
        println!(
            "  memory after that: hub {} MiB, an edge {:.1} MiB",
            way.hub.resident() / 1024,
            edges as f64 / 1024.0 / EDGES as f64
        );
    }
}
