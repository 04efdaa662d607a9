//! What a hub publishes for Home Assistant, read by the code of Home Assistant itself.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use wsdm_gateway::device::fleet::clock::Epoch;
use wsdm_gateway::device::fleet::documents::{EdgeState, HubState, write};
use wsdm_gateway::device::fleet::names::{DeviceId, Name, Prefix};
use wsdm_gateway::device::home_assistant::output::{Key, Kind, Output};
use wsdm_gateway::device::home_assistant::state::State;
use wsdm_gateway::device::home_assistant::{Device, HomeAssistant, Message};

/// What `./test` installs.
const PYTHON: &str = "WSDM_TEST_HOME_ASSISTANT";

/// Home Assistant's reader of discovery messages. It takes seconds to start, and ends with its input.
static READER: LazyLock<Mutex<Reader>> = LazyLock::new(|| Mutex::new(Reader::start()));

fn reader() -> MutexGuard<'static, Reader> {
    // A line is written and read whole, or the reader is gone.
    READER.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Reader {
    #[expect(
        clippy::zombie_processes,
        reason = "it ends with its input, which this process holds to its end"
    )]
    fn start() -> Self {
        let python = std::env::var_os(PYTHON).map(PathBuf::from).unwrap_or_else(|| {
            panic!("{PYTHON} is not set: these tests need the code of Home Assistant; run ./test --test home_assistant")
        });
        let mut process = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/home_assistant.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; run ./test --test home_assistant", python.display()));
        let mut reader = Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
        };
        println!("Home Assistant {}", reader.line()["version"]);
        reader
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("the reader wrote {line:?}: {e}"))
    }

    /// What Home Assistant makes of a message while the broker has these states.
    fn read(&mut self, message: &Message, states: &BTreeMap<String, String>) -> Value {
        let line = json!({"topic": message.topic, "payload": message.payload, "states": states});
        writeln!(self.input, "{line}").unwrap();
        self.line()
    }

    /// As [`Reader::read`], of a message that has no fault; its components.
    fn accept(&mut self, message: &Message, states: &BTreeMap<String, String>) -> Value {
        let read = self.read(message, states);
        assert_eq!(read["errors"], json!([]), "{} {}", message.topic, message.payload);
        read["components"].clone()
    }
}

fn home() -> HomeAssistant {
    HomeAssistant::new(Prefix::default(), true).unwrap()
}

/// A device with an output of every kind.
fn device(name: &str) -> Device {
    let output = |(feature, kind): (usize, Kind)| Output {
        key: Key {
            kind,
            feature: u32::try_from(feature).unwrap(),
        },
        description: name.to_owned(),
        steps: (if kind == Kind::Rotate { -20 } else { 0 }, 20),
    };
    Device {
        edge: Name::new("bedroom").unwrap(),
        hub: Name::new("living-room").unwrap(),
        is_own: false,
        id: DeviceId::try_from("5495ce947eaeec10".to_owned()).unwrap(),
        identifier: "LVSDevice".to_owned(),
        address: "8A3D9FAC2A45".to_owned(),
        name: name.to_owned(),
        shares_name: false,
        version: "0.1.0".to_owned(),
        outputs: Kind::ALL.into_iter().enumerate().map(output).collect(),
        battery: true,
    }
}

/// What the broker retains of a fleet with this device.
fn states(
    device: &Device,
    edge: bool,
    hub: bool,
    available: bool,
    state: &State,
) -> BTreeMap<String, String> {
    let prefix = home().prefix;
    let epoch = Epoch(1);
    let version = "0.1.0".to_owned();
    let edge_state = EdgeState {
        online: edge,
        epoch,
        version: version.clone(),
    };
    let hub_state = HubState {
        online: hub,
        hub_epoch: epoch,
        version,
    };
    let mut states: BTreeMap<String, String> = [
        home().state(&device.edge, &device.id, &device.outputs, state),
        home().available(&device.edge, &device.id, available),
    ]
    .map(|message| (message.topic, message.payload))
    .into();
    states.insert(format!("{prefix}/{}/state", device.edge), write(&edge_state));
    states.insert(format!("{prefix}/hub/{}/state", device.hub), write(&hub_state));
    states
}

/// Whether an entity is available: all of its topics say so.
fn available(component: &Value) -> bool {
    component["available"]
        .as_array()
        .unwrap()
        .iter()
        .all(|one| *one == true)
}

#[test]
fn home_assistant_accepts_every_message_and_reads_every_state() {
    let mut reader = reader();
    let device = device("Stroker");
    let state = State {
        connected: true,
        battery: Some(87),
        seen: Some(UNIX_EPOCH + Duration::from_secs(1_732_420_000)),
        driver: Some("the app \"x\"".to_owned()),
        outputs: device.outputs.iter().map(|output| (output.key, 10)).collect(),
    };
    let states = states(&device, true, true, true, &state);

    let read = reader.accept(&home().discovery(&device, None), &states);
    let value = |key: &str| read[key]["value"].clone();
    assert_eq!(value("connected"), "ON");
    assert_eq!(value("battery"), "87");
    assert_eq!(value("seen"), "2024-11-24T03:46:40+00:00");
    assert_eq!(value("driver"), "the app \"x\"");
    for output in &device.outputs {
        let read = &read[output.key.to_string()];
        assert_eq!(read["value"], "50", "{output:?}");
        let least = if output.key.kind == Kind::Rotate {
            -100.0
        } else {
            0.0
        };
        assert_eq!(read["range"], json!([least, 100.0, 1.0]), "{output:?}");
    }
    assert!(read.as_object().unwrap().values().all(available), "{read}");

    let edge = reader.accept(&home().edge_discovery(&device.edge, "0.1.0"), &states);
    assert_eq!(edge["connected"]["value"], "ON");
    assert_eq!(edge["version"]["value"], "0.1.0");
    assert!(available(&edge["stop"]));
    let house = reader.accept(&home().house_discovery(), &states);
    assert!(available(&house["stop"]));

    // A board of the hub itself has no edge.
    let own = Device {
        edge: device.hub.clone(),
        is_own: true,
        ..device.clone()
    };
    for is_there in [true, false] {
        let mut states = states.clone();
        let available = home().available(&own.edge, &own.id, is_there);
        let state = home().state(&own.edge, &own.id, &own.outputs, &state);
        states.extend([available, state].map(|message| (message.topic, message.payload)));
        let read = reader.accept(&home().discovery(&own, None), &states);
        assert_eq!(self::available(&read["stop"]), is_there);
        assert_eq!(self::available(&read["vibrate0"]), is_there);
        assert!(self::available(&read["connected"]));
        let hub = reader.accept(&home().hub_discovery(&own.hub, "0.1.0"), &states);
        assert_eq!(hub["connected"]["value"], "ON");
        assert_eq!(hub["version"]["value"], "0.1.0");
    }
}

#[test]
fn what_is_away_is_shown_as_away_and_stopping_needs_no_hub() {
    let mut reader = reader();
    let device = device("Stroker");
    let discovery = home().discovery(&device, None);
    let unavailable = |read: &Value| -> Vec<String> {
        let all = read.as_object().unwrap().iter();
        all.filter(|(_, one)| !available(one))
            .map(|(key, _)| key.clone())
            .collect()
    };
    let outputs: Vec<String> = device
        .outputs
        .iter()
        .map(|output| output.key.to_string())
        .collect();
    let of_hub = || {
        ["battery", "driver"]
            .map(str::to_owned)
            .into_iter()
            .chain(outputs.clone())
    };
    let sorted = |mut keys: Vec<String>| {
        keys.sort();
        keys
    };

    let state = State {
        connected: true,
        ..State::default()
    };
    let read = reader.accept(&discovery, &states(&device, true, false, true, &state));
    assert_eq!(
        sorted(unavailable(&read)),
        sorted(of_hub().collect()),
        "without the hub"
    );
    assert_eq!(read["battery"]["value"], "None", "a level that nobody knows");
    for (edge, there) in [(false, true), (true, false)] {
        let read = reader.accept(&discovery, &states(&device, edge, true, there, &State::default()));
        let all = of_hub().chain(["stop".to_owned()]).collect();
        assert_eq!(
            sorted(unavailable(&read)),
            sorted(all),
            "edge {edge}, device {there}"
        );
        assert_eq!(read["connected"]["value"], "OFF");
    }
    let gone = states(&device, false, true, true, &State::default());
    let edge = reader.accept(&home().edge_discovery(&device.edge, "0.1.0"), &gone);
    assert_eq!(edge["connected"]["value"], "OFF");
    assert!(!available(&edge["stop"]));
}

#[test]
fn a_feature_that_vanished_is_deleted() {
    let mut reader = reader();
    let before = home().discovery(&device("Stroker"), None).payload;
    let device = Device {
        outputs: Vec::new(),
        ..device("Stroker")
    };
    let message = home().discovery(&device, Some(before.as_bytes()));
    let read = reader.accept(&message, &BTreeMap::new());
    let deleted = read
        .as_object()
        .unwrap()
        .values()
        .filter(|one| one["deleted"] == true);
    assert_eq!(deleted.count(), Kind::ALL.len());
}

#[test]
fn any_name_is_accepted() {
    let mut reader = reader();
    let prefixes = ["club/ö", "a b", "~", "{{ x }}"].map(|prefix| Prefix::new(prefix).unwrap());
    for name in [
        "",
        "\"",
        "'",
        "{{ states() }}",
        "{% raw %}",
        "\u{1f4a1}\u{200d}\u{1f525}",
        "\0\u{1b}[2J\n\u{85}",
        "~/~",
        "a/+/#",
        &"x".repeat(1_000),
        &"\u{1f4a1}".repeat(1_000),
    ] {
        let named = Device {
            identifier: format!("{name} "),
            address: format!(" {name}"),
            version: name.to_owned(),
            shares_name: true,
            ..device(name)
        };
        reader.accept(&home().discovery(&named, None), &BTreeMap::new());
        reader.accept(&home().edge_discovery(&named.edge, name), &BTreeMap::new());
    }
    for prefix in prefixes {
        let home = HomeAssistant { prefix, ..home() };
        reader.accept(&home.discovery(&device("Stroker"), None), &BTreeMap::new());
        reader.accept(&home.edge_discovery(&device("").edge, ""), &BTreeMap::new());
        reader.accept(&home.house_discovery(), &BTreeMap::new());
    }
}

/// The reader finds faults: each of these has one.
#[test]
fn faults_are_found() {
    let mut reader = reader();
    let good = home().discovery(&device("Stroker"), None);
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut payload: Value = serde_json::from_str(&good.payload).unwrap();
        spoil(&mut payload);
        Message {
            payload: payload.to_string(),
            ..good.clone()
        }
    };
    let vibrate = "/components/vibrate0";
    let set = |at: String, value: Value| {
        move |payload: &mut Value| {
            let (parent, key) = at.rsplit_once('/').unwrap();
            payload.pointer_mut(parent).unwrap()[key] = value.clone();
        }
    };
    let faults: [(&str, Message); 11] = [
        (
            "topic",
            Message {
                topic: "homeassistant/device/a b/config".to_owned(),
                ..good.clone()
            },
        ),
        (
            "JSON",
            Message {
                payload: "{".to_owned(),
                ..good.clone()
            },
        ),
        (
            "device",
            spoilt(&|payload| {
                payload.as_object_mut().unwrap().remove("device");
            }),
        ),
        (
            "id",
            spoilt(&|payload| {
                payload["components"]["vibrate0"]
                    .as_object_mut()
                    .unwrap()
                    .remove("unique_id");
            }),
        ),
        (
            "origin",
            spoilt(&|payload| {
                payload.as_object_mut().unwrap().remove("origin");
            }),
        ),
        (
            "platform",
            spoilt(&set(format!("{vibrate}/platform"), json!("vibrator"))),
        ),
        ("key", spoilt(&set(format!("{vibrate}/minimum"), json!(0)))),
        (
            "class",
            spoilt(&set(
                "/components/battery/device_class".to_owned(),
                json!("charge"),
            )),
        ),
        ("range", spoilt(&set(format!("{vibrate}/min"), json!(200)))),
        (
            "wildcard",
            spoilt(&set(format!("{vibrate}/command_topic"), json!("a/+/b"))),
        ),
        (
            "template",
            spoilt(&set(format!("{vibrate}/value_template"), json!("{{ value_json."))),
        ),
    ];
    for (fault, message) in faults {
        let read = reader.read(&message, &BTreeMap::new());
        assert_ne!(read["errors"], json!([]), "{fault}");
    }
}
