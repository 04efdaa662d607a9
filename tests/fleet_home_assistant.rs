//! Home Assistant, in whose place these tests stand at a real broker: what appears there, what it sets, and what stops.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::bare_http::ask;
use common::json_client::JsonClient;
use common::model_board::{Kind, ModelBoard, UDCF};
use common::mosquitto::{Mosquitto, Options};
use common::process::Process;
use common::{RawDevice, Running, client, from_files, handshake, listed, vibrate, wait_until, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use wsdm_gateway::device::fleet::names::DeviceId;
use wsdm_gateway::device::handshake::Handshake;
use wsdm_gateway::net::broker::BrokerUrl;
use wsdm_gateway::net::bus::{Bus, BusEvent, BusSettings, Message, Qos, bus};
use wsdm_gateway::net::tls::Tls;

/// Longer than any test.
const LONG: &str = "600";
/// A topic that only these tests use.
const MARK: &str = "homeassistant/mark";
/// Of every user, where the broker has some.
const PASSWORD: &str = "secret";

/// A broker, and somebody who sees all that passes there.
struct House {
    broker: Mosquitto,
    folder: TempDir,
    seen: Arc<Mutex<Seen>>,
    bus: Bus,
    _watch: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// What is retained, without what was deleted.
    retained: BTreeMap<String, Vec<u8>>,
    /// All messages, in order.
    all: Vec<(Instant, String, Vec<u8>)>,
}

impl House {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// If the broker has users, it is the user `homeassistant`.
    async fn with(options: Options) -> Self {
        let has_users = !options.users.is_empty();
        let broker = Mosquitto::with(options);
        let settings = BusSettings {
            broker: BrokerUrl::parse(&broker.url()).unwrap(),
            tls: Tls::system(),
            user: has_users.then(|| "homeassistant".to_owned()),
            password: has_users.then(|| PASSWORD.to_owned()),
            client_id: "home-assistant".to_owned(),
            keepalive: Duration::from_secs(60),
        };
        let (bus, mut events) = bus(settings, None, vec![("#".to_owned(), Qos::AtLeastOnce)]);
        within("a connection", async {
            while !matches!(events.next().await, BusEvent::Connected) {}
        })
        .await;
        let seen = Arc::<Mutex<Seen>>::default();
        let watch = {
            let seen = seen.clone();
            async move {
                loop {
                    if let BusEvent::Message(message) = events.next().await {
                        let mut seen = seen.lock().unwrap();
                        let payload = message.payload.to_vec();
                        seen.all
                            .push((Instant::now(), message.topic.clone(), payload.clone()));
                        match payload.is_empty() {
                            true => seen.retained.remove(&message.topic),
                            false => seen.retained.insert(message.topic, payload),
                        };
                    }
                }
            }
        };
        let house = Self {
            broker,
            folder: TempDir::new().unwrap(),
            seen,
            bus,
            _watch: AbortOnDropHandle::new(tokio::spawn(watch)),
        };
        // The subscription is made once a message of our own comes back.
        house.publish(MARK, "1");
        house.wait(MARK, |_| true).await;
        std::fs::write(house.folder.path().join("udcf.json"), UDCF).unwrap();
        house
    }

    /// gateway.toml of a gateway that shows its devices.
    fn hub_toml(&self, more: &str) -> String {
        let url = self.broker.url();
        let udcf = self.folder.path().join("udcf.json");
        format!(
            "[udcf]\npath = {:?}\n[mqtt]\nbroker = \"{url}\"\nhub = \"living-room\"\nhome_assistant = true\n{more}\n",
            udcf.to_str().unwrap()
        )
    }

    /// It, in this process.
    async fn hub(&self, more: &str) -> Running {
        let folder = self.folder.path().join("hub");
        std::fs::create_dir_all(&folder).unwrap();
        let mut settings = from_files(&folder, &self.hub_toml(more));
        // These apps answer pings only while they are asked something.
        settings.clients.stop_after = Duration::from_secs(60);
        Running::start(settings).await
    }

    /// A gateway in a process of its own.
    async fn process(&self, name: &str, toml: &str) -> Process {
        let home = self.folder.path().join(name);
        std::fs::create_dir_all(&home).unwrap();
        let file = home.join("gateway.toml");
        std::fs::write(&file, toml).unwrap();
        Process::start(&home, &["--config", file.to_str().unwrap()]).await
    }

    async fn edge(&self) -> Process {
        self.edge_with("").await
    }

    async fn edge_with(&self, more: &str) -> Process {
        let url = self.broker.url();
        let udcf = self.folder.path().join("udcf.json");
        let toml = format!(
            "[udcf]\npath = {:?}\n[upstream]\nmqtt = \"{url}\"\nedge = \"bedroom\"\n{more}\n",
            udcf.to_str().unwrap()
        );
        self.process("edge", &toml).await
    }

    fn publish(&self, topic: &str, payload: &str) {
        self.send(topic, payload, false);
    }

    fn send(&self, topic: &str, payload: &str, retain: bool) {
        let message = Message {
            topic: topic.to_owned(),
            payload: payload.to_owned().into(),
            qos: Qos::AtLeastOnce,
            retain,
        };
        self.bus.try_publish(message).unwrap();
    }

    fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        self.seen.lock().unwrap().retained.get(topic).cloned()
    }

    /// How many messages there were on a topic.
    fn count(&self, topic: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.all.iter().filter(|(_, of, _)| of == topic).count()
    }

    /// Waits until what is retained on a topic is as wanted: what it is then.
    async fn wait(&self, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        let result = tokio::time::timeout(common::DEADLINE, async {
            loop {
                if let Some(payload) = self.retained(topic) {
                    found = serde_json::from_slice(&payload)
                        .unwrap_or_else(|_| String::from_utf8_lossy(&payload).into());
                    if wanted(&found) {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        assert!(result.is_ok(), "{topic} is {found} at last");
        found
    }
}

/// A board at a gateway, by websocket.
struct Board {
    model: Arc<ModelBoard>,
    task: AbortOnDropHandle<()>,
    id: String,
}

impl Board {
    fn plug(url: &str, kind: Kind) -> Self {
        let model = Arc::new(ModelBoard::new(kind, true));
        Self::plug_model(url, model)
    }

    fn plug_model(url: &str, model: Arc<ModelBoard>) -> Self {
        let (kind, url) = (model.kind, url.to_owned());
        let hello = Handshake::parse(&handshake(kind.identifier(), kind.name())).unwrap();
        let task: JoinHandle<()> = tokio::spawn({
            let model = model.clone();
            async move {
                let mut device = RawDevice::hello(&url, kind.identifier(), kind.name()).await;
                use futures::{SinkExt, StreamExt};
                use tokio_tungstenite::tungstenite::Message;
                while let Some(Ok(message)) = device.ws.next().await {
                    if let Message::Binary(bytes) = message {
                        for answer in model.receive(&bytes) {
                            let _ = device.ws.send(Message::binary(answer)).await;
                        }
                    }
                }
            }
        });
        Self {
            model,
            task: AbortOnDropHandle::new(task),
            id: DeviceId::of(&hello).to_string(),
        }
    }

    /// Its topic.
    fn topic(&self, edge: &str, what: &str) -> String {
        format!("wsdm/1/{edge}/dev/{}/{what}", self.id)
    }

    fn config(&self, edge: &str) -> String {
        format!("homeassistant/device/wsdm_{edge}_{}/config", self.id)
    }

    async fn is_at_rest(&self) {
        wait_until("the board is at rest", || self.model.rest_since().is_some()).await;
    }

    async fn obeys(&self, frame: &str) {
        wait_until(frame, || {
            self.model.commands().iter().any(|command| command.text == frame)
        })
        .await;
    }
}

/// What stands in for all of an entity's availability topics.
fn availability(config: &Value, component: &str) -> Vec<String> {
    let topics = config["components"][component]["availability"].as_array();
    let topics = topics.into_iter().flatten();
    topics
        .map(|topic| topic["topic"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_an_edge_appears_and_is_away_once_its_edge_is_killed() {
    let house = House::start().await;
    let hub = house.hub("").await;
    let mut edge = house.edge().await;
    let board = Board::plug(&edge.devices, Kind::Nora);
    let config = house.wait(&board.config("bedroom"), |_| true).await;
    let components = config["components"].as_object().unwrap();
    let mut keys: Vec<_> = components.keys().map(String::as_str).collect();
    keys.sort_unstable();
    // Without outputs.
    assert_eq!(keys, ["battery", "connected", "driver", "seen", "stop"]);
    for component in components.values() {
        assert!(component["unique_id"].is_string() && component["platform"].is_string());
    }
    assert_eq!(
        availability(&config, "stop"),
        [
            "wsdm/1/bedroom/state".to_owned(),
            board.topic("bedroom", "ha/available")
        ]
    );
    let via = config["device"]["via_device"].as_str().unwrap();
    let edge_config = house
        .wait("homeassistant/device/wsdm_bedroom/config", |_| true)
        .await;
    assert_eq!(edge_config["device"]["identifiers"], json!([via]));
    let house_config = house.wait("homeassistant/device/wsdm/config", |_| true).await;
    assert_eq!(
        house_config["components"]["stop"]["command_topic"],
        json!("wsdm/1/halt")
    );
    let state = house
        .wait(&board.topic("bedroom", "ha/state"), |state| {
            state["connected"] == json!(true)
        })
        .await;
    assert_eq!(state["driver"], json!("nobody"));
    house
        .wait(&board.topic("bedroom", "ha/available"), |state| state == "online")
        .await;

    edge.child.start_kill().unwrap();
    house
        .wait(&board.topic("bedroom", "ha/state"), |state| {
            state["connected"] == json!(false)
        })
        .await;
    house
        .wait(&board.topic("bedroom", "ha/available"), |state| {
            state == "offline"
        })
        .await;
    // It is away, and not forgotten.
    assert!(house.retained(&board.config("bedroom")).is_some());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_published_again_when_home_assistant_starts_and_with_a_new_connection() {
    let mut house = House::start().await;
    let hub = house.hub("").await;
    let board = Board::plug(&hub.devices(), Kind::Hush);
    let config = board.config("living-room");
    let topics = [
        config.clone(),
        board.topic("living-room", "ha/state"),
        board.topic("living-room", "ha/available"),
        "homeassistant/device/wsdm/config".to_owned(),
        "homeassistant/device/wsdm_living-room/config".to_owned(),
    ];
    for topic in &topics {
        house.wait(topic, |_| true).await;
    }
    let before: Vec<_> = topics.iter().map(|topic| house.count(topic)).collect();
    house.publish("homeassistant/status", "online");
    wait_until("all of it again", || {
        topics
            .iter()
            .zip(&before)
            .all(|(topic, before)| house.count(topic) > *before)
    })
    .await;

    // A broker that remembers nothing.
    let before: Vec<_> = topics.iter().map(|topic| house.count(topic)).collect();
    house.broker.kill();
    house.broker.restart();
    wait_until("all of it again", || {
        topics
            .iter()
            .zip(&before)
            .all(|(topic, before)| house.count(topic) > *before)
    })
    .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_left_stays_until_it_is_forgotten() {
    let house = House::start().await;
    let hub = house.hub("").await;
    let board = Board::plug(&hub.devices(), Kind::Hush);
    let (config, state) = (
        board.config("living-room"),
        board.topic("living-room", "ha/state"),
    );
    house.wait(&config, |_| true).await;
    house
        .wait(&state, |state| state["connected"] == json!(true))
        .await;
    board.task.abort();
    house
        .wait(&state, |state| state["connected"] == json!(false))
        .await;
    assert!(house.retained(&config).is_some());
    let page = hub.page();
    let path = format!("/api/devices/{}", Kind::Hush.name());
    assert_eq!(ask(page, "DELETE", &path, &[]).await.status, 204);
    wait_until("it is deleted", || {
        house.retained(&config).is_none() && house.retained(&state).is_none()
    })
    .await;
    // It comes back as any other.
    let board = Board::plug(&hub.devices(), Kind::Hush);
    house.wait(&config, |_| true).await;
    house
        .wait(&state, |state| state["connected"] == json!(true))
        .await;
    drop(board);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_that_are_no_more_are_deleted() {
    let house = House::start().await;
    let hub = house.hub("outputs = true").await;
    let board = Board::plug(&hub.devices(), Kind::Nora);
    let topic = board.config("living-room");
    let config = house.wait(&topic, |_| true).await;
    assert_eq!(config["components"]["rotate1"]["min"], json!(-100));
    assert_eq!(config["components"]["vibrate0"]["min"], json!(0));
    hub.stop().await;
    let before = house.seen.lock().unwrap().all.len();

    let hub = house.hub("").await;
    let board = Board::plug_model(&hub.devices(), board.model.clone());
    let config = house
        .wait(&topic, |config| config["components"].get("rotate1").is_none())
        .await;
    assert!(config["components"].get("vibrate0").is_none());
    let is_deletion = |(_, of, payload): &(Instant, String, Vec<u8>)| {
        let config: Value = serde_json::from_slice(payload).unwrap_or_default();
        *of == topic && config["components"]["rotate1"] == json!({"platform": "number"})
    };
    let deleted = house.seen.lock().unwrap().all[before..].iter().any(is_deletion);
    assert!(deleted, "Home Assistant is told that it vanished");
    drop(board);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_drives_the_board_and_ends_by_itself() {
    let house = House::start().await;
    let hub = house.hub("outputs = true\nhold_s = 3").await;
    let edge = house.edge().await;
    let board = Board::plug(&edge.devices, Kind::Hush);
    let state = board.topic("bedroom", "ha/state");
    let set = board.topic("bedroom", "ha/vibrate0/set");
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    let at = Instant::now();
    house.publish(&set, "50");
    board.obeys("Vibrate:10").await;
    house
        .wait(&state, |state| {
            state["vibrate0"] == json!(50) && state["driver"] == json!("Home Assistant")
        })
        .await;
    board.is_at_rest().await;
    assert!(
        at.elapsed() >= Duration::from_secs(3),
        "it ended after {:?}",
        at.elapsed()
    );
    house
        .wait(&state, |state| {
            state["vibrate0"] == json!(0) && state["driver"] == json!("nobody")
        })
        .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_ends_an_output_at_once_and_bad_numbers_move_nothing() {
    let house = House::start().await;
    let hub = house.hub(&format!("outputs = true\nhold_s = {LONG}")).await;
    let board = Board::plug(&hub.devices(), Kind::Edge);
    let state = board.topic("living-room", "ha/state");
    let set = |key: &str| board.topic("living-room", &format!("ha/{key}/set"));
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    for bad in ["", "ON", "101", "-1", "NaN"] {
        house.publish(&set("vibrate0"), bad);
    }
    house.publish(&set("vibrate7"), "50");
    house.publish(&set("vibrate0"), "25");
    board.obeys("Vibrate1:5").await;
    house.publish(&set("vibrate1"), "100");
    board.obeys("Vibrate2:20").await;
    house
        .wait(&state, |state| {
            state["vibrate0"] == json!(25) && state["vibrate1"] == json!(100)
        })
        .await;
    // One of two.
    house.publish(&set("vibrate0"), "0");
    house
        .wait(&state, |state| {
            state["vibrate0"] == json!(0) && state["vibrate1"] == json!(100)
        })
        .await;
    board.obeys("Vibrate1:0").await;
    assert!(board.model.rest_since().is_none());
    house.publish(&set("vibrate1"), "0");
    board.is_at_rest().await;
    let texts: Vec<_> = board.model.commands().into_iter().map(|c| c.text).collect();
    assert!(!texts.contains(&"Vibrate1:20".to_owned()), "{texts:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_number_moves_nothing() {
    let mut house = House::with(Options {
        persistence: true,
        ..Options::default()
    })
    .await;
    let hub = house.hub(&format!("outputs = true\nhold_s = {LONG}")).await;
    let board = Board::plug(&hub.devices(), Kind::Hush);
    let state = board.topic("living-room", "ha/state");
    let set = board.topic("living-room", "ha/vibrate0/set");
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    // As long as the subscription lasts, it is a message as any other.
    house.send(&set, "50", true);
    board.obeys("Vibrate:10").await;
    house.publish(&set, "0");
    board.is_at_rest().await;
    house.broker.restart();
    // Until the hub is back, nobody receives it. What is retained comes to it before.
    wait_until("a number that is not retained", || {
        let number = Message {
            topic: set.clone(),
            payload: "25".into(),
            qos: Qos::AtMostOnce,
            retain: false,
        };
        // Nor does the broker, until we are back.
        let _ = house.bus.try_publish(number);
        let commands = board.model.commands();
        commands.iter().any(|command| command.text == "Vibrate:5")
    })
    .await;
    let texts: Vec<_> = board.model.commands().into_iter().map(|c| c.text).collect();
    let tens = texts.iter().filter(|text| *text == "Vibrate:10").count();
    assert_eq!(tens, 1, "{texts:?}");
    hub.stop().await;
}

/// The same board with limits of its user.
fn limited() -> String {
    let mut udcf: Value = serde_json::from_str(UDCF).unwrap();
    udcf["user_configs"]["devices"] = json!([{
        "identifier": {
            "address": Kind::Buzzer.name(), "protocol": "tcode-v03", "identifier": Kind::Buzzer.identifier(),
        },
        "config": {
            "id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c11",
            "base_id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c04",
            "name": "Limited",
            "user_config": { "allow": false, "deny": false, "index": 0 },
            "features": [{
                "id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c12",
                "base_id": "5b2e2bd2-2b57-4f0a-9d3e-8a6d3b1f6c05",
                "output": { "vibrate": { "value": [0, 40] } },
            }],
        },
    }]);
    udcf.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_limits_hold() {
    let house = House::start().await;
    std::fs::write(house.folder.path().join("udcf.json"), limited()).unwrap();
    let hub = house.hub(&format!("outputs = true\nhold_s = {LONG}")).await;
    let board = Board::plug(&hub.devices(), Kind::Buzzer);
    let state = board.topic("living-room", "ha/state");
    house.wait(&state, |state| state["vibrate1"] == json!(0)).await;
    house.publish(&board.topic("living-room", "ha/vibrate1/set"), "100");
    house.wait(&state, |state| state["vibrate1"] == json!(100)).await;
    wait_until("a command", || board.model.obeyed() > 0).await;
    let level = |text: &str| {
        text.strip_prefix("V1")
            .and_then(|level| level.parse::<u32>().ok())
    };
    let texts: Vec<_> = board.model.commands().into_iter().map(|c| c.text).collect();
    let most = texts.iter().filter_map(|text| level(text)).max();
    assert_eq!(most, Some(40), "{texts:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_moves_within_its_time() {
    let house = House::start().await;
    let hub = house.hub("outputs = true\nhold_s = 3\nmove_ms = 700").await;
    let board = Board::plug(&hub.devices(), Kind::Stroker);
    let state = board.topic("living-room", "ha/state");
    house.wait(&state, |state| state["linear0"] == json!(0)).await;
    house.publish(&board.topic("living-room", "ha/linear0/set"), "100");
    wait_until("a move of 700 ms", || {
        let commands = board.model.commands();
        commands
            .iter()
            .any(|command| command.text.starts_with("L0999") && command.text.ends_with("I700"))
    })
    .await;
    house.wait(&state, |state| state["linear0"] == json!(100)).await;
    house.wait(&state, |state| state["linear0"] == json!(0)).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_wins() {
    let house = House::start().await;
    let hub = house.hub("outputs = true\nhold_s = 3").await;
    let board = Board::plug(&hub.devices(), Kind::Hush);
    let state = board.topic("living-room", "ha/state");
    let set = board.topic("living-room", "ha/vibrate0/set");
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    let mut app = JsonClient::connect(hub.clients(), 4).await;
    // A second board shows when the time of the first one's output is over.
    let index = app.first_device().await;
    let other = Board::plug(&hub.devices(), Kind::Nora);
    let other_state = other.topic("living-room", "ha/state");
    house
        .wait(&other_state, |state| state["vibrate0"] == json!(0))
        .await;
    let vibrate = |value: u32| json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}});

    // It takes over what Home Assistant drives, and goes on after the time of that is over.
    house.publish(&set, "50");
    board.obeys("Vibrate:10").await;
    house.wait(&state, |state| state["vibrate0"] == json!(50)).await;
    house.publish(&other.topic("living-room", "ha/vibrate0/set"), "100");
    house
        .wait(&other_state, |state| state["vibrate0"] == json!(100))
        .await;
    app.call("OutputCmd", vibrate(7)).await;
    board.obeys("Vibrate:7").await;
    house
        .wait(&state, |state| {
            state["vibrate0"] == json!(0) && state["driver"] == json!("json")
        })
        .await;

    // And while it drives, Home Assistant does not.
    let sent = house.count(&state);
    house.publish(&set, "100");
    wait_until("the number goes back", || house.count(&state) > sent).await;
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    house
        .wait(&other_state, |state| state["vibrate0"] == json!(0))
        .await;
    other.is_at_rest().await;
    let apps = ask(hub.page(), "GET", "/api/apps", &[]).await.json();
    assert!(!apps.to_string().contains("Home Assistant"), "{apps}");
    assert!(board.model.rest_since().is_none(), "the app drives on");
    let texts: Vec<_> = board.model.commands().into_iter().map(|c| c.text).collect();
    assert!(!texts.contains(&"Vibrate:20".to_owned()), "{texts:?}");
    assert_eq!(texts.last().map(String::as_str), Some("Vibrate:7"), "{texts:?}");

    // Once it has stopped it, Home Assistant may.
    app.call("StopCmd", json!({"DeviceIndex": index})).await;
    board.is_at_rest().await;
    house.publish(&set, "100");
    board.obeys("Vibrate:20").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_an_app_that_its_user_disconnects() {
    let house = House::start().await;
    let hub = house.hub(&format!("outputs = true\nhold_s = {LONG}")).await;
    let board = Board::plug(&hub.devices(), Kind::Hush);
    let state = board.topic("living-room", "ha/state");
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    house.publish(&board.topic("living-room", "ha/vibrate0/set"), "50");
    board.obeys("Vibrate:10").await;
    house.wait(&state, |state| state["vibrate0"] == json!(50)).await;
    let apps = ask(hub.page(), "GET", "/api/apps", &[]).await.json();
    assert_eq!(apps["apps"][0]["name"], json!("Home Assistant"));
    let path = format!("/api/apps/{}/disconnect", apps["apps"][0]["id"]);
    assert!(ask(hub.page(), "POST", &path, &[]).await.status < 300);
    board.is_at_rest().await;
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_ends_with_the_broker_and_with_home_assistant() {
    let mut house = House::start().await;
    let hub = house.hub(&format!("outputs = true\nhold_s = {LONG}")).await;
    let board = Board::plug(&hub.devices(), Kind::Hush);
    let state = board.topic("living-room", "ha/state");
    let set = board.topic("living-room", "ha/vibrate0/set");
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    house.publish(&set, "50");
    board.obeys("Vibrate:10").await;
    house.publish("homeassistant/status", "offline");
    board.is_at_rest().await;
    house.publish(&set, "75");
    board.obeys("Vibrate:15").await;
    house.broker.kill();
    board.is_at_rest().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stop_buttons_need_no_hub() {
    let house = House::start().await;
    let mut hub = house.process("hub", &house.hub_toml("")).await;
    let edge = house.edge().await;
    // Its stop is a command of its own, which comes also if nothing is on.
    let board = Board::plug(&edge.devices, Kind::Stroker);
    let config = house.wait(&board.config("bedroom"), |_| true).await;
    house
        .wait(&board.topic("bedroom", "ha/available"), |state| state == "online")
        .await;
    hub.child.start_kill().unwrap();
    house
        .wait(&board.topic("bedroom", "owner"), |owner| {
            owner["lapsed"] == json!(true)
        })
        .await;
    let stops = || {
        let commands = board.model.commands();
        commands.iter().filter(|command| command.text == "DSTOP").count()
    };
    let edge_config = house
        .wait("homeassistant/device/wsdm_bedroom/config", |_| true)
        .await;
    let house_config = house.wait("homeassistant/device/wsdm/config", |_| true).await;
    for config in [config, edge_config, house_config] {
        let topic = config["components"]["stop"]["command_topic"].as_str().unwrap();
        let before = stops();
        house.publish(topic, "PRESS");
        wait_until(topic, || stops() > before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stop_buttons_stop_the_boards_of_the_hub_too() {
    let house = House::start().await;
    let hub = house.hub(&format!("outputs = true\nhold_s = {LONG}")).await;
    let board = Board::plug(&hub.devices(), Kind::Hush);
    let state = board.topic("living-room", "ha/state");
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    let app = client(&hub.clients(), "an app").await;
    listed(&app, 1).await;
    let halts = [
        board.topic("living-room", "halt"),
        "wsdm/1/living-room/halt".to_owned(),
        "wsdm/1/halt".to_owned(),
    ];
    for halt in &halts {
        // The second stop of the one before may follow: the board is stopped by its session and by the server.
        let mut strength = 0.4;
        within("it runs", async {
            while board.model.rest_since().is_some() {
                // Never the same twice: the server skips what it commanded last.
                strength = if strength > 0.85 { 0.4 } else { strength + 0.1 };
                vibrate(&app, strength).await;
            }
        })
        .await;
        house.publish(halt, "PRESS");
        board.is_at_rest().await;
    }
    house.publish(&board.topic("living-room", "ha/vibrate0/set"), "50");
    house.wait(&state, |state| state["vibrate0"] == json!(50)).await;
    house.publish(&halts[0], "PRESS");
    board.is_at_rest().await;
    house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
    // Hubs would take it for an edge.
    assert!(house.retained("wsdm/1/living-room/state").is_none());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hub_that_was_killed_left_is_corrected_by_the_next_one() {
    let house = House::start().await;
    let mut hub = house.process("hub", &house.hub_toml("outputs = true")).await;
    let mut edge = house.edge().await;
    let board = Board::plug(&edge.devices, Kind::Hush);
    let state = board.topic("bedroom", "ha/state");
    house
        .wait(&state, |state| state["connected"] == json!(true))
        .await;
    house.wait(&board.config("bedroom"), |_| true).await;
    hub.child.start_kill().unwrap();
    hub.exit_code().await;
    edge.child.start_kill().unwrap();
    edge.exit_code().await;
    let hub = house.hub("outputs = true").await;
    house
        .wait(&state, |state| {
            state["connected"] == json!(false) && state["vibrate0"] == json!(0)
        })
        .await;
    house
        .wait(&board.topic("bedroom", "ha/available"), |state| {
            state == "offline"
        })
        .await;
    assert!(house.retained(&board.config("bedroom")).is_some());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_forgotten_is_deleted_with_its_devices() {
    for hub_runs in [true, false] {
        let house = House::start().await;
        let toml = house.hub_toml("");
        let hub = house.process("hub", &toml).await;
        let mut edge = house.edge().await;
        let board = Board::plug(&edge.devices, Kind::Hush);
        let topics = [
            board.config("bedroom"),
            board.topic("bedroom", "ha/state"),
            board.topic("bedroom", "ha/available"),
            "homeassistant/device/wsdm_bedroom/config".to_owned(),
        ];
        for topic in &topics {
            house.wait(topic, |_| true).await;
        }
        edge.child.start_kill().unwrap();
        house
            .wait(&topics[1], |state| state["connected"] == json!(false))
            .await;
        let hub = hub_runs.then_some(hub);
        let home = house.folder.path().join("hub");
        let file = home.join("gateway.toml");
        let forget = ["fleet", "forget", "bedroom", "--config", file.to_str().unwrap()];
        let forgotten = within("it ends", common::process::command(&home, &forget).output()).await;
        assert!(forgotten.unwrap().status.success());
        wait_until("all of it is deleted", || {
            topics.iter().all(|topic| house.retained(topic).is_none())
        })
        .await;
        // The house stays.
        assert!(house.retained("homeassistant/device/wsdm/config").is_some());
        drop(hub);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_two_hubs_had_is_shown_by_the_one_that_has_it() {
    let house = House::start().await;
    let mut first = house.process("first", &house.hub_toml("")).await;
    let edge = house.edge().await;
    let board = Board::plug(&edge.devices, Kind::Hush);
    let config = house.wait(&board.config("bedroom"), |_| true).await;
    assert_eq!(availability(&config, "driver")[2], "wsdm/1/hub/living-room/state");
    let toml = house.hub_toml("").replace("living-room", "office");
    let _second = house.process("second", &toml).await;
    first.child.start_kill().unwrap();
    house
        .wait(&board.config("bedroom"), |config| {
            availability(config, "driver").contains(&"wsdm/1/hub/office/state".to_owned())
        })
        .await;
    house
        .wait(&board.topic("bedroom", "ha/available"), |state| state == "online")
        .await;
    let state = house.wait(&board.topic("bedroom", "ha/state"), |_| true).await;
    assert_eq!(state["connected"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_in_the_guide_suffice() {
    let guide = include_str!("../docs/brokers.md");
    let (_, rights) = guide.split_once("## Users and rights").unwrap();
    let (rights, _) = rights.split_once("\n## ").unwrap();
    let acl: String = rights
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    let house = House::with(Options {
        users: ["bedroom", "living-room", "homeassistant"]
            .map(|user| (user, PASSWORD))
            .into(),
        acl: Some(acl),
        ..Options::default()
    })
    .await;
    let login = |user: &str| format!("user = \"{user}\"\npassword = \"{PASSWORD}\"\n");
    let hub = house
        .hub(&format!(
            "{}outputs = true\nhold_s = {LONG}",
            login("living-room")
        ))
        .await;
    let edge = house.edge_with(&login("bedroom")).await;
    let boards = [
        ("bedroom", Board::plug(&edge.devices, Kind::Hush)),
        ("living-room", Board::plug(&hub.devices(), Kind::Nora)),
    ];
    for (place, board) in &boards {
        for component in ["stop", "vibrate0"] {
            let config = house.wait(&board.config(place), |_| true).await;
            for topic in availability(&config, component) {
                house
                    .wait(&topic, |state| {
                        state == "online" || state["online"] == json!(true)
                    })
                    .await;
            }
        }
        let state = board.topic(place, "ha/state");
        house.wait(&state, |state| state["vibrate0"] == json!(0)).await;
        house.publish(&board.topic(place, "ha/vibrate0/set"), "50");
        house.wait(&state, |state| state["vibrate0"] == json!(50)).await;
        board.obeys("Vibrate:10").await;
        house.publish(&board.topic(place, "halt"), "PRESS");
        board.is_at_rest().await;
    }
    hub.stop().await;
}
