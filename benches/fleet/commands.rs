//! From an app's command to the board.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::client::Client;
use crate::harness::{connect, percentiles};
use crate::ways::Way;
use crate::{APPS, PLACES};

/// What is known of every command on its way.
pub struct Commands {
    started: Instant,
    /// When the newest command to each place of each board was sent: nanoseconds since the start, 0 if none is awaited.
    sent: Vec<Vec<AtomicU64>>,
    /// When each command came, and how long it had taken, in nanoseconds.
    came: Mutex<Vec<(u64, u64)>>,
}

impl Commands {
    fn new(boards: usize) -> Self {
        Self {
            started: Instant::now(),
            sent: (0..boards)
                .map(|_| (0..PLACES).map(|_| AtomicU64::new(0)).collect())
                .collect(),
            came: Mutex::default(),
        }
    }

    pub fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    pub fn send(&self, board: usize, place: usize) {
        self.sent[board][place].store(self.now(), Ordering::Release);
    }

    /// When commands came, and how long each had taken, in nanoseconds, since this was last asked.
    pub fn take(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.came.lock().expect("whole"))
    }
}

/// Boards with an axis each, and which index each has at the hub.
pub struct Boards {
    pub commands: Arc<Commands>,
    /// Index and board.
    pub by_index: Vec<(u32, usize)>,
    /// Of a client that stays.
    client: Client,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Boards {
    pub async fn connect(way: &Way, boards: usize) -> Self {
        let commands = Arc::new(Commands::new(boards));
        let (came, mut comes) = mpsc::unbounded_channel();
        let tasks: Vec<_> = (0..boards)
            .map(|n| tokio::spawn(board(way.devices(n), n, commands.clone(), came.clone())))
            .map(AbortOnDropHandle::new)
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
        commands.take();
        Self {
            commands,
            by_index,
            client,
            tasks,
        }
    }

    /// Until the hub lists none of them.
    pub async fn leave(self) {
        drop(self.tasks);
        let mut listed = self.client.listed.clone();
        listed.wait_for(Vec::is_empty).await.expect("a client");
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
            let now = commands.now();
            commands
                .came
                .lock()
                .expect("whole")
                .push((now, now.saturating_sub(sent)));
            let _ = came.send(n);
        }
    }
}

pub fn command(index: u32, place: usize) -> Value {
    let command = json!({"HwPositionWithDuration": {"Value": place, "Duration": 100}});
    json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": command})
}

/// So many boards, each commanded so often, for so long.
pub async fn measured(way: &Way, boards: usize, rate: u64, seconds: usize) {
    let there = Boards::connect(way, boards).await;
    let apps = APPS.min(boards);
    let before = way.processor_times();
    let mut sending = Vec::new();
    for app in 0..apps {
        let mine: Vec<_> = there.by_index.iter().copied().skip(app).step_by(apps).collect();
        let (commands, url) = (there.commands.clone(), way.hub.url("clients").to_owned());
        sending.push(tokio::spawn(async move {
            let mut client = Client::connect(&url).await;
            let mut pace = tokio::time::interval(Duration::from_secs(1) / (rate as u32 * mine.len() as u32));
            let started = Instant::now();
            let mut sent = 0;
            while started.elapsed() < Duration::from_secs(seconds as u64) {
                pace.tick().await;
                let (index, n) = mine[sent % mine.len()];
                let place = sent / mine.len() % 8_999 + 1;
                commands.send(n, place);
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
    let after = way.processor_times();
    let took: Vec<u64> = there.commands.take().into_iter().map(|(_, took)| took).collect();
    let (arrived, edges) = (took.len(), way.edges.len());
    let [hub, of_edges, broker] =
        std::array::from_fn(|n| (after[n] - before[n]).as_micros() as f64 / arrived as f64);
    println!(
        "  {:<18} {boards:>4} x {rate:>5}/s  {edges:>2} edges   {}   {sent} sent, {:.1} % superseded; processor time a command: hub {hub:.0} µs, edges {of_edges:.0} µs, broker {broker:.0} µs",
        way.name,
        percentiles(took),
        100.0 * (1.0 - arrived as f64 / sent as f64),
    );
    there.leave().await;
}
