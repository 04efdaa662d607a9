//! Boards that a gateway left running which was killed. The next one knows nothing of them, and some have no watchdog: on
//! a wire and behind an address that is dialled, they are at rest long before it is known what they are.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::json_client::JsonClient;
use common::listener::{self, Knobs, Listener, Over};
use common::model_board::{Kind, ModelBoard, UDCF};
use common::process::Process;
use common::pty::Board;
use common::{RawDevice, Running, client, listed, settings, vibrate, wait_until, within};
use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;
use wsdm_gateway::config::{ControlAt, Layers, Loaded, Settings};
use wsdm_gateway::web::control::client::Client;

/// Boards that stand still once their language's general stop is read.
const KINDS: [Kind; 5] = [Kind::Hush, Kind::Edge, Kind::Nora, Kind::Stroker, Kind::Buzzer];

/// Longer than a stop takes, and far less than the pause until a board that is still being asked gets its stop again.
const SOON: Duration = Duration::from_secs(4);

/// What the first of a language's questions begins with.
const FIRST_QUESTION: &str = "D0\n";

/// A board on one of the ways in, with all its outputs on.
struct Left {
    name: String,
    model: Arc<ModelBoard>,
    knobs: Arc<Knobs>,
    /// Its entry in the configuration, with nothing but where it is.
    entry: String,
    _listener: Option<Listener>,
    wire: Option<JoinHandle<()>>,
}

impl Drop for Left {
    fn drop(&mut self) {
        if let Some(wire) = &self.wire {
            wire.abort();
        }
    }
}

impl Left {
    fn on_wire(folder: &Path, kind: Kind) -> Self {
        let port = folder.join(kind.name());
        let (model, knobs) = (Arc::new(ModelBoard::new(kind, true)), Arc::<Knobs>::default());
        let wire = wire(Board::plug(&port), model.clone(), knobs.clone());
        Self {
            name: format!("{} on a wire", kind.name()),
            model,
            knobs,
            entry: format!("[[serial]]\nport = {:?}\n", port.to_str().unwrap()),
            _listener: None,
            wire: Some(tokio::spawn(wire)),
        }
    }

    async fn listening(over: Over, kind: Kind) -> Self {
        let model = Arc::new(ModelBoard::new(kind, true));
        let listener = Listener::start(over, model.clone()).await;
        Self {
            name: format!("{} over {over:?}", kind.name()),
            model,
            knobs: listener.knobs.clone(),
            entry: format!("[[dial]]\nurl = {:?}\n", listener.url),
            _listener: Some(listener),
            wire: None,
        }
    }

    /// Each of these on every way in, and running.
    async fn all(folder: &Path, kinds: &[Kind]) -> Vec<Self> {
        let mut boards: Vec<Self> = kinds.iter().map(|kind| Self::on_wire(folder, *kind)).collect();
        for over in Over::ALL {
            for kind in kinds {
                boards.push(Self::listening(over, *kind).await);
            }
        }
        boards.iter().for_each(|board| board.model.leave_running());
        boards
    }

    async fn is_asked(&self) {
        let what = format!("{}: it is asked", self.name);
        wait_until(&what, || self.knobs.count(FIRST_QUESTION) > 0).await;
    }

    async fn is_at_rest(&self) {
        let what = format!("{}: it is at rest; it got {:?}", self.name, self.knobs.seen());
        wait_until(&what, || self.model.running().is_empty()).await;
    }

    /// As far as it is stopped by an order, and not by what the gateway sends it anyway.
    async fn is_at_rest_soon(&self) {
        let rest = timeout(SOON, self.is_at_rest()).await;
        let seen = self.knobs.seen();
        assert!(
            rest.is_ok(),
            "{}: {}; it got {seen:?}",
            self.name,
            self.model.running()
        );
    }
}

/// A board at its end of a wire.
async fn wire(mut port: Board, model: Arc<ModelBoard>, knobs: Arc<Knobs>) {
    let (mut near, far) = tokio::io::duplex(4096);
    let board = listener::bytes(far, &model, &knobs);
    let carry = async {
        let mut said = [0; 256];
        loop {
            tokio::select! {
                bytes = port.read_patiently() => near.write_all(&bytes).await.unwrap(),
                said_bytes = near.read(&mut said) => port.say(&said[..said_bytes.unwrap()]).await,
            }
        }
    };
    tokio::join!(board, carry);
}

/// The configuration of a gateway that bridges these boards, each key of `keys` in each entry.
fn toml(boards: &[Left], keys: &str) -> String {
    boards.iter().fold(String::new(), |mut toml, board| {
        let _ = writeln!(toml, "{}{keys}", board.entry);
        toml
    })
}

async fn bridging(folder: &Path, toml: &str) -> Running {
    let (file, udcf) = (folder.join("gateway.toml"), folder.join("udcf.json"));
    std::fs::write(&file, toml).unwrap();
    std::fs::write(&udcf, UDCF).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).expect("a configuration that holds");
    Running::start(Settings {
        serial: loaded.settings.serial,
        dial: loaded.settings.dial,
        udcf: Some(udcf),
        control: Some(ControlAt::Path(folder.join("control.sock"))),
        ..settings()
    })
    .await
}

/// The command line's connection to that gateway.
async fn control(folder: &Path) -> Client {
    let socket = folder.join("control.sock");
    within("the socket", Client::connect(&socket)).await.unwrap()
}

/// The devices that the gateway shows, as JSON.
async fn shown(folder: &Path) -> Vec<Value> {
    let devices = within("the devices", async { control(folder).await.devices().await }).await;
    let devices = json!(devices.unwrap().devices);
    devices.as_array().cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_was_left_running_is_at_rest_before_it_is_asked_what_it_is() {
    let folder = TempDir::new().unwrap();
    let boards = Left::all(folder.path(), &KINDS).await;
    let gateway = bridging(folder.path(), &toml(&boards, "")).await;
    for board in &boards {
        board.is_asked().await;
        let seen = board.knobs.seen();
        assert_eq!(board.model.running(), "", "{}: it got {seen:?}", board.name);
        // Until its stop it was asked for a hello line, and nothing else.
        let stop = seen.find("DSTOP\n").unwrap();
        let hello = &seen[..stop];
        assert!(hello.bytes().all(|b| b == b'\n'), "{}: {seen:?}", board.name);
        assert!(!hello.is_empty(), "{}: {seen:?}", board.name);
        let question = seen.find(FIRST_QUESTION).unwrap();
        assert!(stop < question, "{}: {seen:?}", board.name);
    }
    gateway.stop().await;
}

/// It need not wait for the stop of every language, and is spared the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_introduces_itself_is_stopped_in_its_own_language_and_in_no_other() {
    let folder = TempDir::new().unwrap();
    let boards = Left::all(folder.path(), &[Kind::Nora]).await;
    for board in &boards {
        let address = board.name.replace(' ', "-");
        *board.knobs.hello.lock().unwrap() = Some(format!(
            "{{\"identifier\":\"LVSDevice\",\"address\":\"{address}\",\"version\":0}}\n"
        ));
    }
    let gateway = bridging(folder.path(), &toml(&boards, "")).await;
    for board in &boards {
        board.is_at_rest().await;
        let seen = board.knobs.seen();
        assert!(!seen.contains("DSTOP"), "{}: {seen:?}", board.name);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_entry_says_of_its_stop_is_sent_before_anything_else() {
    let folder = TempDir::new().unwrap();
    let boards = Left::all(folder.path(), &[Kind::Max]).await;
    let stop = "Vibrate:0;Air:Level:0;";
    let gateway = bridging(folder.path(), &toml(&boards, &format!("on_close = {stop:?}"))).await;
    for board in &boards {
        board.is_asked().await;
        let seen = board.knobs.seen();
        assert_eq!(board.model.running(), "", "{}: it got {seen:?}", board.name);
        // Whether anything listens on a UDP port is found out by a newline.
        assert!(seen.trim_start().starts_with(stop), "{}: {seen:?}", board.name);
        assert!(!seen.contains("DSTOP"), "{}: {seen:?}", board.name);
    }
    gateway.stop().await;
}

/// In each language that it may speak. Here something has set it going again since it was stopped first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_is_being_asked_is_stopped_when_the_gateway_stops() {
    let folder = TempDir::new().unwrap();
    let boards = Left::all(folder.path(), &KINDS).await;
    for board in &boards {
        board.knobs.mute.store(true, Ordering::Relaxed);
    }
    let gateway = bridging(folder.path(), &toml(&boards, "")).await;
    for board in &boards {
        board.is_asked().await;
    }
    for board in &boards {
        board.model.leave_running();
    }
    gateway.stop().await;
    for board in &boards {
        board.is_at_rest().await;
    }
}

/// They are no sessions yet, and still they are links of the gateway, which it shows and stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_is_being_asked_is_shown_and_stopped_with_all_others() {
    let folder = TempDir::new().unwrap();
    let boards = Left::all(folder.path(), &KINDS).await;
    for board in &boards {
        board.knobs.mute.store(true, Ordering::Relaxed);
        // A Lovense board is known as soon as it is asked.
        board.model.be_silent();
    }
    let gateway = bridging(folder.path(), &toml(&boards, "")).await;
    for board in &boards {
        board.is_asked().await;
    }
    let devices = shown(folder.path()).await;
    assert_eq!(devices.len(), boards.len(), "{devices:#?}");
    for device in &devices {
        assert_eq!(device["state"], "identifying", "{device:#}");
        assert_eq!(device["address"], device["peer"], "{device:#}");
    }
    for board in &boards {
        board.model.leave_running();
    }
    let mut client = control(folder.path()).await;
    let stopped = within("the stop", client.stop(None)).await.unwrap();
    assert_eq!((stopped.stopped, stopped.failed), (boards.len(), vec![]));
    for board in &boards {
        board.is_at_rest_soon().await;
    }

    // One of them, by the address under which it is shown.
    for (n, board) in boards.iter().enumerate() {
        board.model.leave_running();
        let at = board.entry.split('"').nth(1).unwrap();
        let is_it = |device: &&Value| device["peer"].as_str().is_some_and(|peer| peer.ends_with(at));
        let device = devices
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{at}: {devices:#?}"));
        let stop = client.stop(device["address"].as_str());
        let stopped = within("the stop", stop).await.unwrap();
        assert_eq!(
            (stopped.stopped, stopped.failed),
            (1, vec![]),
            "{n}: {}",
            board.name
        );
        board.is_at_rest_soon().await;
    }
    gateway.stop().await;
}

/// Nothing is sent to it meanwhile but its stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_is_given_time_to_start_is_stopped_with_all_others() {
    let folder = TempDir::new().unwrap();
    let board = Left::on_wire(folder.path(), Kind::Stroker);
    let keys = "identifier = \"ModelStroker\"\naddress = \"settling\"\nsettle_ms = 60000";
    let gateway = bridging(folder.path(), &toml(std::slice::from_ref(&board), keys)).await;
    let mut devices = Vec::new();
    for _ in 0..1_000 {
        devices = shown(folder.path()).await;
        if !devices.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(devices.len(), 1, "{devices:#?}");
    assert_eq!(devices[0]["state"], "connecting", "{devices:#?}");
    assert_eq!(devices[0]["address"], "settling", "{devices:#?}");
    board.model.leave_running();
    let stopped = within("the stop", async {
        control(folder.path()).await.stop(None).await
    });
    let stopped = stopped.await.unwrap();
    assert_eq!((stopped.stopped, stopped.failed), (1, vec![]));
    board.is_at_rest_soon().await;
    gateway.stop().await;
}

/// One datagram may be lost, of such a stop too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_over_udp_that_is_being_asked_gets_its_stops_again() {
    for kind in KINDS {
        let folder = TempDir::new().unwrap();
        let board = Left::listening(Over::Udp, kind).await;
        board.knobs.mute.store(true, Ordering::Relaxed);
        board.model.be_silent();
        let gateway = bridging(folder.path(), &board.entry).await;
        board.is_asked().await;
        board.model.leave_running();
        // A question may be under way, a newline goes ahead, and the stops are three frames.
        board.knobs.lose.store(4, Ordering::Relaxed);
        let stopped = within("the stop", async {
            control(folder.path()).await.stop(None).await
        });
        assert_eq!(stopped.await.unwrap().stopped, 1);
        board.is_at_rest_soon().await;
        gateway.stop().await;
    }
}

/// One datagram may be lost. Nothing is known of the board, and still its stop is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_over_udp_gets_the_stops_again_when_the_gateway_stops() {
    for kind in KINDS {
        let folder = TempDir::new().unwrap();
        let board = Left::listening(Over::Udp, kind).await;
        board.knobs.mute.store(true, Ordering::Relaxed);
        let gateway = bridging(folder.path(), &board.entry).await;
        board.is_asked().await;
        board.model.leave_running();
        let lost = board.knobs.seen().len();
        // A question may be under way, a newline goes ahead, and the stops are three frames.
        board.knobs.lose.store(4, Ordering::Relaxed);
        gateway.stop().await;
        board.is_at_rest().await;
        let seen = board.knobs.seen().split_off(lost);
        assert!(!seen.contains("\nVibrate"), "each as it was written: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_gateway_stops_what_a_killed_one_left_running() {
    let home = TempDir::new().unwrap();
    let boards = [
        Left::on_wire(home.path(), Kind::Hush),
        Left::listening(Over::Tcp, Kind::Edge).await,
    ];
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, toml(&boards, "")).unwrap();
    let args = ["--config", file.to_str().unwrap()];
    let mut gateway = Process::start(home.path(), &args).await;
    let app = client(&gateway.clients, "driver").await;
    listed(&app, 2).await;
    vibrate(&app, 1.0).await;
    for device in app.devices().into_values() {
        let on = buttplug_client::device::ClientDeviceOutputCommand::Vibrate(1.0.into());
        common::within("a command", device.run_output(&on)).await.unwrap();
    }
    for board in &boards {
        wait_until("it runs", || board.model.is_running_all()).await;
    }
    gateway.signal(Signal::KILL);
    gateway.exit_code().await;
    let before: Vec<usize> = boards.iter().map(|board| board.knobs.seen().len()).collect();
    for board in &boards {
        assert!(board.model.is_running_all(), "{}: nobody stopped it", board.name);
    }
    let gateway = Process::start(home.path(), &args).await;
    for (board, before) in boards.iter().zip(before) {
        let since = || board.knobs.seen().split_off(before);
        wait_until("it is asked", || since().contains(FIRST_QUESTION)).await;
        assert_eq!(board.model.running(), "", "{}: it got {:?}", board.name, since());
    }
    gateway.signal(Signal::TERM);
}

/// A board that connects by websocket, until its gateway goes.
async fn connected(url: String, model: Arc<ModelBoard>) {
    let mut device = RawDevice::hello(&url, model.kind.identifier(), model.kind.name()).await;
    while let Some(Ok(message)) = device.ws.next().await {
        let Message::Binary(bytes) = message else { continue };
        for answer in model.receive(&bytes) {
            if device.ws.send(Message::binary(answer)).await.is_err() {
                return;
            }
        }
    }
}

/// Who drives a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    App,
    /// Somebody who sends frames.
    Hand,
}

/// A gateway in a process of its own, whose state is kept.
async fn remembering(home: &Path) -> Process {
    let (file, udcf) = (home.join("gateway.toml"), home.join("udcf.json"));
    std::fs::write(&udcf, UDCF).unwrap();
    std::fs::write(&file, format!("[udcf]\npath = {udcf:?}\n")).unwrap();
    Process::start(home, &["--config", file.to_str().unwrap()]).await
}

/// Turns every output of the only device on. Both hold on to it.
async fn drive(gateway: &Process, home: &Path, model: &ModelBoard, by: By) -> (JsonClient, Client) {
    let mut app = JsonClient::connect(&gateway.clients, 4).await;
    let index = app.first_device().await;
    let port = gateway.devices.rsplit(':').next().unwrap();
    let socket = home.join(format!("wsdm-gateway/{port}.sock"));
    let mut hand = within("the socket", Client::connect(&socket)).await.unwrap();
    let state = home.join("state/wsdm-gateway/state.json");
    let is_remembered = || std::fs::read_to_string(&state).is_ok_and(|state| state.contains("\"commanded\""));
    // The second time it is remembered, and nobody was silent for long.
    for _ in 0..2 {
        for (nth, output) in model.kind.outputs().iter().enumerate() {
            let command = Kind::command(*output, 1.0);
            let on = json!({ "DeviceIndex": index, "FeatureIndex": output.feature, "Command": command });
            let frame = model.kind.frame(nth, 1.0);
            match by {
                By::App => drop(app.call("OutputCmd", on).await),
                By::Hand => within("a frame", hand.send(model.kind.name(), frame.into()))
                    .await
                    .unwrap(),
            }
        }
        wait_until("it runs", || model.is_running_all()).await;
        wait_until("it is remembered", is_remembered).await;
    }
    (app, hand)
}

/// Its name tells nothing of what was set on it, and a stroke has no stop in the server inside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_gateway_stops_what_a_killed_one_left_running_on_a_websocket() {
    for (kind, by) in [
        (Kind::Stroker, By::App),
        (Kind::Buzzer, By::App),
        (Kind::Nora, By::App),
        (Kind::Stroker, By::Hand),
    ] {
        let home = TempDir::new().unwrap();
        let model = Arc::new(ModelBoard::new(kind, true));
        let mut gateway = remembering(home.path()).await;
        let board = AbortOnDropHandle::new(tokio::spawn(connected(gateway.devices.clone(), model.clone())));
        let _drivers = drive(&gateway, home.path(), &model, by).await;
        gateway.signal(Signal::KILL);
        gateway.exit_code().await;
        within("the board is cut off", board).await.unwrap();
        assert!(model.is_running_all(), "{kind:?}, {by:?}: nobody stopped it");

        let gateway = remembering(home.path()).await;
        let _board = AbortOnDropHandle::new(tokio::spawn(connected(gateway.devices.clone(), model.clone())));
        let mut app = JsonClient::connect(&gateway.clients, 4).await;
        app.first_device().await;
        let got: Vec<String> = model.commands().into_iter().map(|command| command.text).collect();
        assert_eq!(
            model.running(),
            "",
            "{kind:?}, {by:?}: before apps see it; it got {got:?}"
        );
        gateway.signal(Signal::TERM);
    }
}
