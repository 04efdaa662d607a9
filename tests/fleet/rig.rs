//! Gateways in processes of their own, and boards at an edge.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use buttplug_client::ButtplugClient;
use futures::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use wsdm_gateway::device::fleet::names::DeviceId;
use wsdm_gateway::device::handshake::{Address, Handshake, Identifier};

use super::broker::{Broker, memory_kib};
use super::common::bare_http::request;
use super::common::model_board::{Kind, ModelBoard, UDCF};
use super::common::process::{Process, command};
use super::common::{client, handshake, wait_until, within};

/// The name of the edge, unless a test has several.
pub const EDGE: &str = "bedroom";
/// The name of the hub, unless a test has several.
pub const HUB: &str = "living-room";

/// A gateway in a process of its own.
pub struct Gateway {
    pub process: Process,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
    /// What it remembers, so that it can start again.
    pub home: Arc<TempDir>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.reader.abort();
        if std::thread::panicking() {
            eprintln!("the log of a gateway:\n{}", self.log().join("\n"));
        }
    }
}

impl Gateway {
    /// With this configuration, which names no port.
    pub async fn start(toml: impl AsRef<str>) -> Self {
        Self::start_in(
            Arc::new(TempDir::new().expect("a folder to write in")),
            toml.as_ref(),
            &[],
        )
        .await
    }

    /// In this folder, by a command line that begins like this.
    pub async fn start_in(home: Arc<TempDir>, toml: &str, wrapper: &[&str]) -> Self {
        let file = home.path().join("gateway.toml");
        let udcf = home.path().join("udcf.json");
        std::fs::write(&udcf, UDCF).expect("a folder to write in");
        let toml = format!(
            "[devices]\nlisten = \"127.0.0.1:0\"\n[clients]\nlisten = \"127.0.0.1:0\"\n[udcf]\npath = {udcf:?}\n\
             [state]\npath = \"state.json\"\n{toml}"
        );
        std::fs::write(&file, toml).expect("a folder to write in");
        let own = command(home.path(), &["run", "--config"]);
        let mut command = match wrapper {
            [] => own,
            [first, rest @ ..] => {
                let own = own.as_std();
                let mut command = Command::new(first);
                command
                    .args(rest)
                    .arg(own.get_program())
                    .args(own.get_args())
                    .env_clear();
                command.envs(own.get_envs().filter_map(|(key, value)| Some((key, value?))));
                command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
                command
                    .stdout(std::process::Stdio::piped())
                    .stderr(std::process::Stdio::piped());
                command.kill_on_drop(true);
                command
            }
        };
        command.arg(&file);
        let mut process = Process::spawn(command).await;
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let into = lines.clone();
        let mut stderr = BufReader::new(process.child.stderr.take().expect("piped")).lines();
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self {
            process,
            lines,
            reader,
            home,
        }
    }

    pub async fn edge(broker: &Broker, more: impl AsRef<str>) -> Self {
        Self::start(edge_toml(&broker.url(), EDGE, more.as_ref())).await
    }

    pub async fn hub(broker: &Broker, name: &str) -> Self {
        Self::start(hub_toml(&broker.url(), name)).await
    }

    /// Ends it by kill -9, and starts it again as it was.
    pub async fn again(mut self) -> Self {
        self.kill().await;
        Self::start_as_before(self.home.clone()).await
    }

    pub async fn start_as_before(home: Arc<TempDir>) -> Self {
        let file = home.path().join("gateway.toml");
        let text = std::fs::read_to_string(file).expect("a file");
        let (_, toml) = text.split_once("path = \"state.json\"\n").expect("its beginning");
        Self::start_in(home, toml, &[]).await
    }

    pub async fn kill(&mut self) {
        within("the process ends", self.process.child.kill())
            .await
            .expect("a process");
    }

    pub fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines contain all of these.
    pub fn logged(&self, texts: &[&str]) -> usize {
        let log = self.log();
        log.iter()
            .filter(|line| texts.iter().all(|text| line.contains(text)))
            .count()
    }

    /// Waits for a line that contains all of these: it.
    pub async fn expect(&self, texts: &[&str]) -> String {
        let found = || {
            let log = self.log();
            log.into_iter()
                .find(|line| texts.iter().all(|text| line.contains(text)))
        };
        let waited = tokio::time::timeout(super::common::DEADLINE, async {
            while found().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        });
        let _ = waited.await;
        found().unwrap_or_else(|| panic!("no {texts:?} in\n{}", self.log().join("\n")))
    }

    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.process.child.id().expect("it runs"))
    }

    /// An app at it.
    pub async fn app(&self) -> ButtplugClient {
        client(&self.process.clients, "app").await
    }
}

pub fn edge_toml(broker: &str, name: &str, more: &str) -> String {
    format!("[upstream]\nmqtt = {broker:?}\nedge = {name:?}\n{more}")
}

pub fn hub_toml(broker: &str, name: &str) -> String {
    format!("[mqtt]\nbroker = {broker:?}\nhub = {name:?}\n")
}

/// A broker, an edge and a hub.
pub struct Fleet {
    pub broker: Broker,
    pub edge: Gateway,
    pub hub: Gateway,
}

impl Fleet {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more in the edge's configuration.
    pub async fn with(more: &str) -> Self {
        let broker = Broker::start().await;
        let (edge, hub) = tokio::join!(Gateway::edge(&broker, more), Gateway::hub(&broker, HUB));
        Self { broker, edge, hub }
    }
}

/// A board on a websocket. Dropping it cuts its connection.
pub struct Board {
    pub model: Arc<ModelBoard>,
    pub id: String,
    task: JoinHandle<()>,
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Board {
    pub async fn plug(edge: &Gateway, kind: Kind, address: &str) -> Self {
        Self::plug_model(edge, Arc::new(ModelBoard::new(kind, true)), address).await
    }

    /// Returns once the edge has it: what is sent to all devices of the edge reaches it from then on.
    pub async fn plug_model(edge: &Gateway, model: Arc<ModelBoard>, address: &str) -> Self {
        let board = Self::connect(&edge.process.devices, model, address).await;
        let page = edge.process.page_address();
        within("the edge has the board", async {
            loop {
                let (status, fleet) = request(page, "GET", "/api/fleet", None).await;
                assert_eq!(status, 200, "{fleet}");
                // A board of a hub that is no edge is none of the fleet's.
                let Some(devices) = fleet["edge"]["devices"].as_array() else {
                    return;
                };
                if devices.iter().any(|device| device["id"] == board.id.as_str()) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        board
    }

    async fn connect(url: &str, model: Arc<ModelBoard>, address: &str) -> Self {
        let kind = model.kind;
        let (mut ws, _) = within("the websocket opens", connect_async(url))
            .await
            .expect("an open port");
        let hello = handshake(kind.identifier(), address);
        ws.send(Message::text(hello)).await.expect("an open socket");
        let board = model.clone();
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = ws.next().await {
                let Message::Binary(bytes) = message else { continue };
                for answer in board.receive(&bytes) {
                    let _ = ws.send(Message::binary(answer)).await;
                }
            }
        });
        Self {
            model,
            id: device_id(kind.identifier(), address),
            task,
        }
    }

    /// Waits until all it has runs.
    pub async fn running(&self) {
        wait_until("the board runs", || self.model.is_running_all()).await;
    }

    pub async fn at_rest(&self) {
        wait_until("the board is at rest", || self.model.rest_since().is_some()).await;
    }

    /// The levels that it was told, other than none.
    pub fn levels(&self) -> Vec<u32> {
        levels(&self.model)
    }

    /// How often it was moved.
    pub fn moved(&self) -> usize {
        self.levels().len()
    }
}

/// The levels that a vibrator was told, other than none.
pub fn levels(model: &ModelBoard) -> Vec<u32> {
    let commands = model.commands();
    let level = |text: &str| {
        text.split_once(':')
            .filter(|(what, _)| what.starts_with("Vibrate"))?
            .1
            .parse()
            .ok()
    };
    commands
        .iter()
        .filter_map(|command| level(&command.text))
        .filter(|level| *level > 0)
        .collect()
}

/// What a device is called in topics.
pub fn device_id(identifier: &str, address: &str) -> String {
    let identifier = Identifier::new(identifier).expect("an identifier");
    let address = Address::new(address).expect("an address");
    DeviceId::of(&Handshake::new(identifier, address)).to_string()
}

/// Whether a program of the system is there.
pub fn is_there(program: &str) -> bool {
    [
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
        "/usr/local/sbin",
        "/usr/local/bin",
    ]
    .iter()
    .any(|folder| Path::new(folder).join(program).exists())
}
