//! TCode boards of many axes: what apps see of them, and that each feature moves its own axis.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::json_client::JsonClient;
use common::{RawDevice, Running, settings, within};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wsdm_gateway::clients::Clients;
use wsdm_gateway::clients::origins::Origins;
use wsdm_gateway::device::handshake::{Address, Handshake, Identifier};
use wsdm_gateway::device::peer::Peer;
use wsdm_gateway::device::recognition::{Axis, Recognised};
use wsdm_gateway::ingress::{Board, Intake};
use wsdm_gateway::link::websocket::WebSocketLink;
use wsdm_gateway::net::visitor::Signpost;
use wsdm_gateway::session::admission::Admission;
use wsdm_gateway::udcf::Udcf;
use wsdm_gateway::udcf::store::IndexStore;
use wsdm_gateway::upstream::embedded::Engine;

/// The axes of the six-axis board, in the order of the board.
const AXES: [(&str, &str); 12] = [
    ("L0", "Up"),
    ("L1", "Forward"),
    ("L2", "Left"),
    ("R0", "Twist"),
    ("R1", "Roll"),
    ("R2", "Pitch"),
    ("A0", "Suck"),
    ("V0", "Vibe"),
    ("A1", "Lube"),
    ("A4", "Temperature"),
    ("A5", "LED"),
    ("A6", "Fan"),
];

/// The server inside and its port for apps, with the way in for boards that were recognised.
struct Bench {
    intake: Arc<Intake>,
    clients: String,
    stop: CancellationToken,
}

impl Bench {
    async fn start(udcf: &Udcf) -> Self {
        let loaded = udcf.device_configuration().expect("a UDCF");
        let (indexes, _) = IndexStore::open(None);
        let settings = settings();
        let admission = Admission::new(&settings.devices, udcf.directory(&loaded));
        let engine = Engine::start(loaded, Arc::new(indexes)).expect("an engine");
        let stop = CancellationToken::new();
        let clients = Clients::new(
            engine.clone(),
            settings.clients.clone(),
            Origins::open(
                settings.clients.origins,
                std::time::Duration::from_secs(60),
                None,
                None,
            ),
            Signpost::apps(([127, 0, 0, 1], 54817).into()),
            stop.clone(),
            stop.clone(),
        );
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        port.set_nonblocking(true).expect("a port");
        let url = format!("ws://{}", port.local_addr().expect("a port"));
        engine.runtime().spawn(async move {
            clients.serve(TcpListener::from_std(port).expect("a port")).await;
        });
        Self {
            intake: Arc::new(Intake {
                admission,
                registry: Arc::default(),
                upstream: engine,
            }),
            clients: url,
            stop,
        }
    }

    /// Lets a board in as what it was recognised as, on a real socket.
    async fn board(&self, address: &str, recognised: Recognised) -> RawDevice {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}", listener.local_addr().expect("a port"));
        let (accepted, device) = tokio::join!(
            async {
                let (stream, peer) = listener.accept().await.expect("a connection");
                let ws = tokio_tungstenite::accept_async(stream)
                    .await
                    .expect("a websocket");
                (ws, peer)
            },
            RawDevice::connect(&url)
        );
        let (ws, peer): (_, SocketAddr) = accepted;
        let handshake = Handshake::new(
            Identifier::new("TCodeDevice").expect("an identifier"),
            Address::new(address).expect("an address"),
        );
        let mut board = Board::at(Peer::Websocket(peer));
        board.recognised = Some(Arc::new(recognised));
        let link = Box::new(WebSocketLink::new(ws, Duration::from_secs(60)));
        let (intake, stop) = (self.intake.clone(), self.stop.clone());
        tokio::spawn(async move {
            let _ = intake.session(handshake, board, link, &stop).await;
        });
        device
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn sr6() -> Recognised {
    let axes = AXES.map(|(channel, name)| Axis {
        channel: channel.to_owned(),
        name: name.to_owned(),
        range: if channel == "R2" { 2_000..=8_000 } else { 0..=9_999 },
    });
    Recognised {
        protocol: "tcode-v03",
        name: Some("SR6-Alpha4_ESP32".to_owned()),
        version: Some("TCode v0.3".to_owned()),
        axes: axes.to_vec(),
        faults: Vec::new(),
    }
}

/// Commands an output, and returns the frame that the board gets.
async fn commanded(board: &mut RawDevice, app: &mut JsonClient, command: &str, fields: Value) -> String {
    let reply = app.call(command, fields.clone()).await;
    assert!(reply.get("Ok").is_some(), "{command} {fields}: {reply}");
    board.frame().await
}

#[tokio::test]
async fn every_axis_of_a_recognised_board_is_moved_by_an_app_of_version_4() {
    let bench = Bench::start(&Udcf::builtin()).await;
    let mut board = bench.board("/dev/ttyUSB0", sr6()).await;
    let mut app = JsonClient::connect(&bench.clients, 4).await;
    let index = app.first_device().await;
    let list = app.call("RequestDeviceList", json!({})).await;
    let device = &list["DeviceList"]["Devices"][index.to_string()];
    assert_eq!(device["DeviceName"], "SR6-Alpha4_ESP32");
    assert_eq!(device["DeviceMessageTimingGap"], 10);
    for (feature, (channel, name)) in AXES.into_iter().enumerate() {
        let shown = &device["DeviceFeatures"][feature.to_string()];
        assert_eq!(shown["FeatureDescription"], format!("{channel} {name}"));
        let outputs: BTreeSet<&str> = shown["Output"]
            .as_object()
            .expect("outputs")
            .keys()
            .map(String::as_str)
            .collect();
        let (wanted, full): (&[&str], _) = match channel {
            "A0" => (&["Constrict"], 9_999),
            "A1" => (&["Spray"], 9_999),
            "A4" => (&["Temperature"], 9_999),
            "A5" => (&["Led"], 9_999),
            "A6" => (&["Constrict"], 9_999),
            "V0" => (&["Vibrate"], 9_999),
            "R2" => (&["HwPositionWithDuration", "Position"], 6_000),
            _ => (&["HwPositionWithDuration", "Position"], 9_999),
        };
        assert_eq!(outputs, wanted.iter().copied().collect(), "{channel}");
        let start = if channel == "R2" { 2_000 } else { 0 };
        for kind in wanted {
            assert_eq!(shown["Output"][kind]["Value"], json!([0, full]), "{channel}");
            let command = |value: u32| {
                let command = if *kind == "HwPositionWithDuration" {
                    json!({(*kind): {"Value": value, "Duration": 150}})
                } else {
                    json!({(*kind): {"Value": value}})
                };
                json!({"DeviceIndex": index, "FeatureIndex": feature, "Command": command})
            };
            let ending = if *kind == "HwPositionWithDuration" {
                "I150\n"
            } else {
                "\n"
            };
            for value in [1_234, full] {
                let frame = commanded(&mut board, &mut app, "OutputCmd", command(value)).await;
                assert_eq!(frame, format!("{channel}{:04}{ending}", start + value));
            }
        }
    }
}

#[tokio::test]
async fn every_axis_of_a_recognised_board_is_moved_by_older_apps() {
    let bench = Bench::start(&Udcf::builtin()).await;
    let mut board = bench.board("/dev/ttyUSB0", sr6()).await;
    let mut newest = JsonClient::connect(&bench.clients, 4).await;
    let index = newest.first_device().await;
    // An app that leaves has the board stopped.
    let mut apps = Vec::new();
    for version in 1..=3 {
        let mut app = JsonClient::connect(&bench.clients, version).await;
        for (vector, &(channel, _)) in AXES.iter().take(6).enumerate() {
            let end = if channel == "R2" { 8_000 } else { 9_999 };
            let duration = 100 + version;
            let vectors = json!([{"Index": vector, "Duration": duration, "Position": 1.0}]);
            let fields = json!({"DeviceIndex": index, "Vectors": vectors});
            let frame = commanded(&mut board, &mut app, "LinearCmd", fields).await;
            assert_eq!(frame, format!("{channel}{end}I{duration}\n"), "version {version}");
        }
        apps.push(app);
    }

    let mut app = JsonClient::connect(&bench.clients, 3).await;
    let list = app.call("RequestDeviceList", json!({})).await;
    let scalars = list["DeviceList"]["Devices"][0]["DeviceMessages"]["ScalarCmd"].clone();
    let mut seen = Vec::new();
    for (at, scalar) in scalars.as_array().expect("scalars").iter().enumerate() {
        let kind = &scalar["ActuatorType"];
        let fields =
            json!({"DeviceIndex": index, "Scalars": [{"Index": at, "Scalar": 1.0, "ActuatorType": kind}]});
        let frame = commanded(&mut board, &mut app, "ScalarCmd", fields).await;
        seen.push((kind.as_str().expect("a type").to_owned(), frame));
    }
    let wanted = AXES.map(|(channel, _)| {
        let kind = match channel {
            "A0" | "A6" => "Constrict",
            "A1" => "Spray",
            "A4" => "Temperature",
            "A5" => "Led",
            "V0" => "Vibrate",
            _ => "Position",
        };
        let end = if channel == "R2" { 8_000 } else { 9_999 };
        (kind.to_owned(), format!("{channel}{end}\n"))
    });
    assert_eq!(seen, wanted);

    // What makes everything vibrate does so with nothing else. The suction comes before the vibrator.
    for (version, command, fields) in [
        (0, "SingleMotorVibrateCmd", json!({"Speed": 0.25})),
        (1, "SingleMotorVibrateCmd", json!({"Speed": 0.5})),
        (1, "VibrateCmd", json!({"Speeds": [{"Index": 0, "Speed": 0.25}]})),
        (2, "VibrateCmd", json!({"Speeds": [{"Index": 0, "Speed": 0.5}]})),
    ] {
        let mut app = JsonClient::connect(&bench.clients, version).await;
        let mut fields = fields;
        fields["DeviceIndex"] = index.into();
        let frame = commanded(&mut board, &mut app, command, fields).await;
        assert!(
            frame == "V02500\n" || frame == "V05000\n",
            "{version} {command}: {frame}"
        );
        apps.push(app);
    }
    let mut app = JsonClient::connect(&bench.clients, 2).await;
    let speeds = json!([{"Index": 1, "Speed": 0.5}]);
    let reply = app
        .call("VibrateCmd", json!({"DeviceIndex": index, "Speeds": speeds}))
        .await;
    assert!(reply.get("Error").is_some(), "{reply}");
}

#[tokio::test]
async fn a_stop_reaches_every_axis() {
    let bench = Bench::start(&Udcf::builtin()).await;
    let mut board = bench.board("/dev/ttyUSB0", sr6()).await;
    let mut app = JsonClient::connect(&bench.clients, 4).await;
    let index = app.first_device().await;
    for leaves in [false, true] {
        for (feature, command) in [
            (
                4,
                json!({"HwPositionWithDuration": {"Value": 9_999, "Duration": 20_000}}),
            ),
            (6, json!({"Constrict": {"Value": 5_000}})),
            (7, json!({"Vibrate": {"Value": 5_000}})),
            (8, json!({"Spray": {"Value": 5_000}})),
        ] {
            let fields = json!({"DeviceIndex": index, "FeatureIndex": feature, "Command": command});
            commanded(&mut board, &mut app, "OutputCmd", fields).await;
        }
        if leaves {
            app.reset();
        } else {
            app.call("StopCmd", json!({"DeviceIndex": index})).await;
        }
        let mut left: BTreeSet<&str> = ["DSTOP", "A00000", "A10000", "V00000"].into();
        while !left.is_empty() {
            let frame = within(&format!("{left:?}"), board.frame()).await;
            for command in frame.split_ascii_whitespace() {
                left.remove(command);
            }
        }
        app = JsonClient::connect(&bench.clients, 4).await;
    }
}

#[tokio::test]
async fn recognised_boards_need_no_name_in_the_udcf() {
    // The name stands for another protocol here.
    let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {
        "lovense": {"communication": [{"websocket": {"name": "TCodeDevice"}}]}}}});
    let udcf = Udcf::parse(&file.to_string(), "udcf.json").expect("a UDCF");
    let bench = Bench::start(&udcf).await;
    let mut app = JsonClient::connect(&bench.clients, 4).await;
    let mut board = bench.board("one", sr6()).await;
    let index = app.first_device().await;
    let fields = json!({"DeviceIndex": index, "FeatureIndex": 7, "Command": {"Vibrate": {"Value": 9_999}}});
    assert_eq!(
        commanded(&mut board, &mut app, "OutputCmd", fields).await,
        "V09999\n"
    );
    drop(board);
    within("it is gone", async {
        while !app.device_indexes().await.is_empty() {}
    })
    .await;

    let lovense = Recognised {
        protocol: "lovense",
        name: None,
        version: None,
        faults: Vec::new(),
        axes: Vec::new(),
    };
    let mut board = bench.board("two", lovense).await;
    board.expect("DeviceType;").await;
    board.binary(b"Z:11:AABBCCDDEEFF;").await;
    let index = within("it is listed", async {
        loop {
            if let Some(index) = app.device_indexes().await.first() {
                return *index;
            }
        }
    })
    .await;
    let fields = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 20}}});
    assert_eq!(
        commanded(&mut board, &mut app, "OutputCmd", fields).await,
        "Vibrate:20;"
    );
}

#[tokio::test]
async fn features_of_a_udcf_go_to_the_channels_that_they_name_at_the_scale_that_they_have() {
    let position =
        |full: u32| json!({"hw_position_with_duration": {"value": [0, full], "duration": [0, 99_999]}});
    let features: Vec<Value> = [
        ("Twist (R0)", position(100)),
        ("L0 Stroke", position(9_999)),
        ("V0 Vibrator", json!({"vibrate": {"value": [0, 999]}})),
        ("A1 Valve", json!({"constrict": {"value": [0, 20]}})),
        ("Sway", position(99)),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (description, output))| {
        let id = format!("0b7a5bd5-0a1c-4d55-9d1e-00000000000{index}");
        json!({"index": index, "id": id, "description": description, "output": output})
    })
    .collect();
    let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {"tcode-v03": {
        "communication": [{"websocket": {"name": "Own"}}],
        "configurations": [{"identifier": ["Own"], "name": "My board",
            "id": "0b7a5bd5-0a1c-4d55-9d1e-111111111111", "features": features}]}}}});
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("udcf.json");
    std::fs::write(&path, file.to_string()).expect("a file");
    let mut settings = settings();
    settings.udcf = Some(path);
    let gateway = Running::start(settings).await;
    let mut board = RawDevice::hello(&gateway.devices(), "Own", "bench").await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    let to = |value: u32| json!({"HwPositionWithDuration": {"Value": value, "Duration": 50}});
    for (feature, command, wanted) in [
        (0, to(100), "R0999I50\n"),
        (0, to(10), "R0100I50\n"),
        (1, to(9_990), "L09990I50\n"),
        (1, to(1_000), "L01000I50\n"),
        (2, json!({"Vibrate": {"Value": 50}}), "V0050\n"),
        (3, json!({"Constrict": {"Value": 10}}), "A1500\n"),
        (4, to(50), "L450I50\n"),
    ] {
        let fields = json!({"DeviceIndex": index, "FeatureIndex": feature, "Command": command});
        assert_eq!(commanded(&mut board, &mut app, "OutputCmd", fields).await, wanted);
    }
    gateway.stop().await;
}

/// An app moves a board 100 times a second. A busy machine may hold up a board until a newer move replaces one that
/// waits; that it happens in each of several rounds has another cause.
#[tokio::test]
async fn all_moves_of_an_app_arrive_in_order() {
    const MOVES: u32 = 60;
    let gateway = Running::start(settings()).await;
    let mut board = RawDevice::hello(&gateway.devices(), "TCodeDevice", "stroker").await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    let mut most = 0;
    for round in 0..8 {
        let mut pace = interval(Duration::from_millis(10));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let values = (0..MOVES).map(|n| 1 + round * 100 + n);
        let last = round * 100 + MOVES;
        let sent = async {
            for value in values.clone() {
                pace.tick().await;
                let command = json!({"HwPositionWithDuration": {"Value": value, "Duration": 10}});
                let fields = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": command});
                app.send("OutputCmd", fields).await;
            }
        };
        let arrived = async {
            let mut arrived = Vec::new();
            while arrived.last() != Some(&last) {
                let frame = board.frame().await;
                let value = frame
                    .strip_prefix("L0")
                    .and_then(|rest| rest.strip_suffix("I10\n"));
                let value = value.unwrap_or_else(|| panic!("not a move: {frame:?}"));
                arrived.push(value.parse::<u32>().expect("digits"));
            }
            arrived
        };
        let ((), arrived) = tokio::join!(sent, arrived);
        assert!(arrived.is_sorted_by(|a, b| a < b), "in order: {arrived:?}");
        most = most.max(arrived.len());
        if arrived.len() == MOVES as usize {
            gateway.stop().await;
            return;
        }
    }
    panic!("at most {most} of {MOVES} moves arrived in a round");
}
