//! More commands than a board's line carries, and a broker that takes nothing: what is obeyed is fresh, and a stop passes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::broker::Broker;
use super::common::json_client::JsonClient;
use super::common::model_board::{Kind, ModelBoard, Verdict};
use super::common::pty;
use super::common::{wait_until, within};
use super::presence::{drive, only};
use super::rig::{Board, Fleet, Gateway, HUB, edge_toml, is_there};

/// A line that carries some 50 of the commands a second.
const BAUD: u32 = 7_200;
/// Commands a second.
const RATE: u32 = 1_000;
/// What is obeyed may be this old: the edge refuses what is older than half a second, and the line takes its time.
const FRESH: Duration = Duration::from_millis(500);
/// How late a busy machine may be.
const LATE: Duration = Duration::from_millis(700);

/// A board on a wire, which takes as long as the wire does.
pub struct WiredBoard {
    pub model: Arc<ModelBoard>,
    task: JoinHandle<()>,
    pub port: PathBuf,
    _folder: TempDir,
}

impl Drop for WiredBoard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WiredBoard {
    pub fn plug(kind: Kind) -> Self {
        let folder = TempDir::new().expect("a folder to write in");
        let port = folder.path().join(kind.name());
        let mut board = pty::Board::plug(&port);
        let model = Arc::new(ModelBoard::new(kind, false));
        let behind = model.clone();
        let task = tokio::spawn(async move {
            loop {
                let bytes = board.read_patiently().await;
                for answer in behind.receive(&bytes) {
                    board.say(answer).await;
                }
            }
        });
        Self {
            model,
            task,
            port,
            _folder: folder,
        }
    }

    /// Its entry at the edge.
    pub fn entry(&self, baud: u32) -> String {
        format!(
            "[[serial]]\nport = {:?}\nbaud_rate = {baud}\nsettle_ms = 0\nidentifier = {:?}\naddress = {:?}\n",
            self.port,
            self.model.kind.identifier(),
            self.model.kind.name()
        )
    }
}

/// The number of a command to the axis: it is its place.
fn place(text: &str) -> Option<usize> {
    text.strip_prefix("L0")?.split_once('I')?.0.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_through_the_broker_leaves_what_is_obeyed_fresh_and_a_stop_passes() {
    let board = WiredBoard::plug(Kind::Stroker);
    let fleet = Fleet::with(&board.entry(BAUD)).await;
    let mut app = JsonClient::connect(&fleet.hub.process.clients, 4).await;
    let index = within("the board", app.first_device()).await;
    let (mut sink, mut stream) = app.into_inner().split();
    let reader = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
    let command = |place: usize| {
        let command = json!({"HwPositionWithDuration": {"Value": place, "Duration": 20_000}});
        let fields = json!({"Id": 9, "DeviceIndex": index, "FeatureIndex": 0, "Command": command});
        Message::text(json!([{ "OutputCmd": fields }]).to_string())
    };
    let mut sent: Vec<Instant> = Vec::new();
    let lasts = Duration::from_secs(4);
    let started = Instant::now();
    let mut memory = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while started.elapsed() < lasts {
        tick.tick().await;
        let due = (started.elapsed().as_millis() * u128::from(RATE) / 1_000) as usize;
        while sent.len() < due {
            // A thousand places: they come again after a second, and twice the age that is allowed.
            let place = sent.len() % 999 + 1;
            sent.push(Instant::now());
            sink.feed(command(place)).await.expect("an open socket");
        }
        sink.flush().await.expect("an open socket");
        if started.elapsed() > lasts / 4 * (memory.len() as u32 + 1) {
            memory.push((fleet.edge.memory_kib(), fleet.hub.memory_kib()));
        }
    }
    let stopped = Instant::now();
    let stop = json!([{ "StopCmd": {"Id": 10, "DeviceIndex": index, "Inputs": false, "Outputs": true} }]);
    sink.send(Message::text(stop.to_string()))
        .await
        .expect("an open socket");
    wait_until("the board is at rest", || {
        board.model.rest_since().is_some_and(|at| at > stopped)
    })
    .await;
    let rest = board.model.rest_since().expect("at rest").duration_since(stopped);
    let obeyed: Vec<_> = board
        .model
        .commands()
        .into_iter()
        .filter(|command| command.verdict == Verdict::Obeyed)
        .filter_map(|command| Some((place(&command.text)?, command.at)))
        .collect();
    let ages: Vec<Duration> = obeyed
        .iter()
        .filter_map(|(place, at)| {
            let of_it = sent
                .iter()
                .enumerate()
                .filter(|(n, sent)| n % 999 + 1 == *place && *sent <= at);
            of_it.map(|(_, sent)| at.duration_since(*sent)).min()
        })
        .collect();
    let oldest = ages.iter().max().copied().unwrap_or_default();
    let late = ages.iter().filter(|age| **age > FRESH).count();
    println!(
        "{} commands in {:.1?}, {} obeyed, {late} of them older than {FRESH:.0?}, the oldest {oldest:.0?} old; at rest {rest:.0?} after the stop; memory of edge and hub {memory:?} KiB",
        sent.len(),
        lasts,
        obeyed.len()
    );
    assert!(obeyed.len() > 50, "{}", obeyed.len());
    assert!(
        oldest <= FRESH + LATE,
        "{late} older than {FRESH:?}, the oldest {oldest:?}"
    );
    assert!(rest <= FRESH + LATE, "{rest:?}");
    assert_eq!(board.model.unknown(), Vec::<String>::new());
    let (first, last) = (memory[0], memory[memory.len() - 1]);
    assert!(last.0 < first.0 + 8_192 && last.1 < first.1 + 8_192, "{memory:?}");
    // What was sent last before the stop does not move it afterwards. The stop itself may come a second time.
    fleet_beats(&fleet).await;
    assert!(board.model.rest_since().is_some(), "{}", board.model.running());
    let commands = board.model.commands();
    let moved = commands
        .iter()
        .filter(|c| c.at > stopped + rest && place(&c.text).is_some());
    let moved: Vec<_> = moved.map(|c| &c.text).collect();
    assert!(moved.is_empty(), "{moved:?}");
    reader.abort();
}

async fn fleet_beats(fleet: &Fleet) {
    let mut watcher = super::broker::Mqtt::connect(&fleet.broker, "watcher").await;
    watcher.subscribe("wsdm/1/bedroom/beat").await;
    wait_until("beats", || watcher.on("/beat").len() >= 3).await;
}

/// The broker holds its connections and reads nothing: the stop of the edge waits for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_nothing_delays_no_stop() {
    let fleet = Fleet::start().await;
    let app = fleet.hub.app().await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    // A board that says much: all of it is for a broker that takes nothing.
    only(&app).await;
    drive(&app, &board).await;
    let blocked = Instant::now();
    fleet.broker.signal(Signal::STOP);
    board.at_rest().await;
    let rest = board.model.rest_since().expect("at rest").duration_since(blocked);
    println!("broker blocked: at rest after {rest:.0?}");
    assert!(rest <= Duration::from_millis(1_100) + LATE, "{rest:?}");
    let moved = board.moved();
    // From then on what is sent is older than the hub would let through.
    fleet
        .hub
        .expect(&["the edge bedroom is not heard any more"])
        .await;
    for device in app.devices().into_values() {
        let command = buttplug_client::device::ClientDeviceOutputCommand::Vibrate(0.3.into());
        let _ = tokio::time::timeout(Duration::from_millis(200), device.run_output(&command)).await;
    }
    fleet.broker.signal(Signal::CONT);
    drive(&app, &board).await;
    // The first that it obeyed again was sent after the broker went on.
    assert_ne!(
        board.levels()[moved],
        6,
        "what was sent into the blocked broker was obeyed"
    );
}

/// Moves the wall clock of both gateways by an hour, to and fro, with libfaketime: no lease and no session notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_jumps_has_no_effect() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    if !is_there("faketime") || !std::path::Path::new(library).exists() {
        println!("SKIPPED: faketime is not installed (./test installs it)");
        return;
    }
    let broker = Broker::start().await;
    let clock = TempDir::new().expect("a folder to write in");
    let file = clock.path().join("offset");
    let set = |offset: &str| std::fs::write(&file, offset).expect("a folder to write in");
    set("+0");
    let wrapper = [
        "env".to_owned(),
        format!("LD_PRELOAD={library}"),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let home = || Arc::new(TempDir::new().expect("a folder to write in"));
    let (edge_toml, hub_toml) = (
        edge_toml(&broker.url(), super::rig::EDGE, ""),
        super::rig::hub_toml(&broker.url(), HUB),
    );
    let (edge, hub) = tokio::join!(
        Gateway::start_in(home(), &edge_toml, &wrapper),
        Gateway::start_in(home(), &hub_toml, &wrapper)
    );
    let app = hub.app().await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    only(&app).await;
    drive(&app, &board).await;
    let before = board.model.commands().len();
    let mut watcher = super::broker::Mqtt::connect(&broker, "watcher").await;
    watcher.subscribe("wsdm/1/bedroom/beat").await;
    for offset in ["-3600", "+3600", "-86400", "+0"] {
        set(offset);
        let beats = watcher.on("/beat").len();
        wait_until("beats", || watcher.on("/beat").len() >= beats + 5).await;
        assert!(
            board.model.rest_since().is_none(),
            "{offset}: the board was stopped"
        );
    }
    let seen: Vec<_> = board.model.commands()[before..]
        .iter()
        .map(|c| c.text.clone())
        .collect();
    println!("while the clock jumped: {seen:?}");
    within("a stop", only(&app).await.stop())
        .await
        .expect("a device that takes it");
    board.at_rest().await;
}
