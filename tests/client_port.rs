//! The client port under clients that misbehave, and what one of them may not do to the others.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::json_client::JsonClient;
use common::{RawDevice, Running, settings, within};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use wsdm_gateway::clients::Clients;
use wsdm_gateway::clients::origins::Origins;
use wsdm_gateway::net::visitor::Signpost;
use wsdm_gateway::udcf::Udcf;
use wsdm_gateway::udcf::store::IndexStore;
use wsdm_gateway::upstream::embedded::Engine;

type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A websocket to the client port that has said nothing yet.
async fn open(url: &str) -> Ws {
    within("the websocket opens", connect_async(url))
        .await
        .expect("an open port")
        .0
}

async fn say(ws: &mut Ws, message: Value) {
    ws.send(Message::text(message.to_string()))
        .await
        .expect("an open socket");
}

/// The next Buttplug messages.
async fn hear(ws: &mut Ws) -> Vec<Value> {
    within("a text", async {
        loop {
            match ws.next().await.expect("an open socket").expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("an array"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

/// The code of the Close frame that comes next but for texts.
async fn close_code(ws: &mut Ws) -> u16 {
    within("a Close frame", async {
        loop {
            match ws.next().await.expect("a Close frame").expect("a Close frame") {
                Message::Close(frame) => return frame.expect("a code").code.into(),
                _ => continue,
            }
        }
    })
    .await
}

fn hello() -> Value {
    json!([{"RequestServerInfo": {"Id": 1, "ClientName": "raw", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": 0}}])
}

fn vibrate(index: u64, value: u32) -> Value {
    json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}})
}

#[tokio::test]
async fn before_the_handshake_everything_else_is_an_error_and_nothing_is_told() {
    let gateway = Running::start(settings()).await;
    let mut watcher = JsonClient::connect(&gateway.clients(), 4).await;
    let mut ws = open(&gateway.clients()).await;
    let _device = RawDevice::lovense(&gateway.devices(), "000000000001").await;
    watcher.first_device().await;
    for message in [
        json!([{"RequestDeviceList": {"Id": 5}}]),
        json!([{"Ping": {"Id": 5}}]),
        json!([{"StopCmd": {"Id": 5}}]),
        json!([{"Disconnect": {"Id": 5}}]),
    ] {
        say(&mut ws, message.clone()).await;
        let reply = hear(&mut ws).await;
        assert_eq!(reply[0]["Error"]["Id"], 5, "{message}: {reply:?}");
        assert_eq!(reply[0]["Error"]["ErrorCode"], 1, "{message}: {reply:?}");
    }
    // The handshake and more in one message; and the device that came meanwhile is no change any more.
    let mut both = hello();
    let list = json!({"RequestDeviceList": {"Id": 2}});
    both.as_array_mut().expect("an array").push(list);
    say(&mut ws, both).await;
    assert_eq!(hear(&mut ws).await[0]["ServerInfo"]["Id"], 1);
    assert_eq!(hear(&mut ws).await[0]["DeviceList"]["Id"], 2);
    gateway.stop().await;
}

#[tokio::test]
async fn each_message_of_a_batch_is_answered_under_its_id() {
    let gateway = Running::start(settings()).await;
    let mut ws = open(&gateway.clients()).await;
    say(&mut ws, hello()).await;
    hear(&mut ws).await;
    say(
        &mut ws,
        json!([{"RequestDeviceList": {"Id": 2}}, {"NoSuchCmd": {"Id": 3}}, {"StartScanning": {"Id": 4}}, 7,
            {"Ping": {"Id": 5}}, {"StopCmd": {"Id": 6}}, {"Ping": {"Id": 5}}]),
    )
    .await;
    let mut answers = Vec::new();
    while answers.len() < 7 {
        for message in hear(&mut ws).await {
            let (name, body) = message
                .as_object()
                .and_then(|o| o.iter().next())
                .expect("a message");
            answers.push((body["Id"].as_u64().expect("an id"), name.clone()));
        }
    }
    answers.sort();
    let answers: Vec<_> = answers.iter().map(|(id, name)| (*id, name.as_str())).collect();
    let wanted = [
        (0, "Error"),
        (2, "DeviceList"),
        (3, "Error"),
        (4, "Ok"),
        // No ping timer runs.
        (5, "Error"),
        (5, "Error"),
        (6, "Ok"),
    ];
    assert_eq!(answers, wanted);
    gateway.stop().await;
}

#[tokio::test]
async fn text_in_a_binary_frame_is_text_and_anything_else_an_error() {
    let gateway = Running::start(settings()).await;
    let mut ws = open(&gateway.clients()).await;
    ws.send(Message::binary(hello().to_string())).await.expect("open");
    assert!(hear(&mut ws).await[0].get("ServerInfo").is_some());
    ws.send(Message::binary(vec![0xff, 0xfe])).await.expect("open");
    assert_eq!(hear(&mut ws).await[0]["Error"]["ErrorCode"], 3);
    say(&mut ws, json!([{"RequestDeviceList": {"Id": 2}}])).await;
    assert!(hear(&mut ws).await[0].get("DeviceList").is_some());
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_the_end_and_says_so() {
    let gateway = Running::start(settings()).await;
    let mut ws = open(&gateway.clients()).await;
    // It is cut off while it is still being sent.
    let _ = ws.send(Message::text(" ".repeat(3 << 20))).await;
    assert_eq!(close_code(&mut ws).await, 1009);
    let mut ws = open(&gateway.clients()).await;
    say(&mut ws, hello()).await;
    hear(&mut ws).await;
    // Within the limit, and a hundred thousand faults in one message: each answered, and the client is served on.
    let faults = 100_000;
    let reader = tokio::spawn(async move {
        let text = format!("[{}1]", "1,".repeat(faults - 1));
        ws.send(Message::text(text)).await.expect("an open socket");
        for _ in 0..faults {
            assert_eq!(hear(&mut ws).await[0]["Error"]["Id"], 0);
        }
        ws
    });
    // Meanwhile others are served.
    let mut other = JsonClient::connect(&gateway.clients(), 4).await;
    while !reader.is_finished() {
        other.call("RequestDeviceList", json!({})).await;
    }
    let mut ws = reader.await.expect("every fault was answered");
    say(&mut ws, json!([{"RequestDeviceList": {"Id": 2}}])).await;
    assert!(hear(&mut ws).await[0].get("DeviceList").is_some());
    gateway.stop().await;
}

#[tokio::test]
async fn connections_that_never_upgrade_are_dropped_and_delay_nobody() {
    let mut settings = settings();
    settings.clients.handshake_timeout = Duration::from_secs(2);
    let gateway = Running::start(settings).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(
            TcpStream::connect(gateway.bound.clients.expect("a server inside"))
                .await
                .expect("an open port"),
        );
    }
    let mut client = JsonClient::connect(&gateway.clients(), 4).await;
    client.call("RequestDeviceList", json!({})).await;
    for mut stream in silent {
        let read = within("it is dropped", stream.read(&mut [0; 16])).await;
        assert!(!matches!(read, Ok(n) if n > 0), "{read:?}");
    }
    gateway.stop().await;
}

/// It answers pings, and may even talk, but it never becomes a client.
#[tokio::test]
async fn a_connection_that_never_sends_request_server_info_is_closed_with_what_is_missing() {
    let mut settings = settings();
    settings.clients.handshake_timeout = Duration::from_secs(2);
    let gateway = Running::start(settings).await;
    let mut client = JsonClient::connect(&gateway.clients(), 4).await;
    for talks in [false, true] {
        let mut ws = open(&gateway.clients()).await;
        if talks {
            say(&mut ws, json!([{"RequestDeviceList": {"Id": 1}}])).await;
        }
        let close = within("a Close frame", async {
            loop {
                if let Message::Close(frame) = ws.next().await.expect("a Close frame").expect("a Close frame")
                {
                    break frame.expect("a code");
                }
            }
        })
        .await;
        assert_eq!(u16::from(close.code), 4003);
        assert!(close.reason.contains("RequestServerInfo"), "{}", close.reason);
    }
    // One that has shaken hands is not concerned.
    client.call("RequestDeviceList", json!({})).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_that_never_shook_hands_keeps_nothing_running() {
    let gateway = Running::start(settings()).await;
    let _onlooker = open(&gateway.clients()).await;
    let driver = JsonClient::connect(&gateway.clients(), 4).await;
    let mut watcher = JsonClient::connect(&gateway.clients(), 4).await;
    let mut device = RawDevice::lovense(&gateway.devices(), "000000000001").await;
    watcher.first_device().await;
    // Nobody commanded the device; it stops because the last of the clients goes.
    watcher.reset();
    driver.reset();
    device.expect("Vibrate:0;").await;
    gateway.stop().await;
}

/// What is refused changes nothing: the client whose command counts still owns the device.
#[tokio::test]
async fn a_refused_command_does_not_take_a_device_over() {
    let gateway = Running::start(settings()).await;
    let mut device = RawDevice::lovense(&gateway.devices(), "000000000001").await;
    for refused in [
        (4, "OutputCmd", vibrate(0, 99)),
        (
            1,
            "VibrateCmd",
            json!({"DeviceIndex": 0, "Speeds": [{"Index": 7, "Speed": 0.5}]}),
        ),
    ] {
        let mut driver = JsonClient::connect(&gateway.clients(), 4).await;
        let index = driver.first_device().await;
        driver.call("OutputCmd", vibrate(index, 5)).await;
        device.expect("Vibrate:5;").await;
        let (version, name, mut fields) = refused;
        fields["DeviceIndex"] = index.into();
        let mut meddler = JsonClient::connect(&gateway.clients(), version).await;
        let reply = meddler.call(name, fields).await;
        assert!(reply.get("Error").is_some(), "{reply}");
        driver.reset();
        device.expect("Vibrate:0;").await;
    }
    gateway.stop().await;
}

/// The stop's bytes go past the library: neither may they come after what the client sent next.
#[tokio::test]
async fn a_stop_of_a_position_keeps_its_place_among_the_commands() {
    let gateway = Running::start(settings()).await;
    let mut stroker = RawDevice::hello(&gateway.devices(), "TCodeDevice", "stroker").await;
    let mut driver = JsonClient::connect(&gateway.clients(), 4).await;
    let index = driver.first_device().await;
    let stroke = |id: u32, value: u32| {
        json!({"OutputCmd": {"Id": id, "DeviceIndex": index, "FeatureIndex": 0,
            "Command": {"HwPositionWithDuration": {"Value": value, "Duration": 1000}}}})
    };
    for round in 0..20 {
        let (from, to) = (10 + round, 50 + round);
        let batch =
            json!([stroke(1000, from), {"StopCmd": {"Id": 1001, "DeviceIndex": index}}, stroke(1002, to)]);
        driver.raw(&batch.to_string()).await;
        let mut frames = vec![stroker.frame().await];
        while !frames
            .last()
            .is_some_and(|f| f.starts_with(&format!("L0{to:03}")))
        {
            frames.push(stroker.frame().await);
        }
        let stop = frames.iter().position(|f| f == "DSTOP\n");
        assert!(stop.is_some(), "no stop before the second stroke: {frames:?}");
        // Nothing comes after it, before the next command.
        let last = to + 20;
        driver.raw(&json!([stroke(1003, last)]).to_string()).await;
        let next = stroker.frame().await;
        assert!(
            next.starts_with(&format!("L0{last:03}")),
            "{next:?} after {frames:?}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_comes_back_is_seen_to_have_left() {
    let gateway = Running::start(settings()).await;
    for version in [0, 3, 4] {
        let address = format!("00000000000{version}");
        let mut client = JsonClient::connect(&gateway.clients(), version).await;
        let first = RawDevice::lovense(&gateway.devices(), &address).await;
        let listed = |list: &Value| list["Devices"].to_string().contains("Hush");
        if version == 4 {
            while !listed(&client.event("DeviceList").await) {}
        } else {
            client.event("DeviceAdded").await;
        }
        // The old socket stays open: the newcomer takes over.
        let second = RawDevice::lovense(&gateway.devices(), &address).await;
        if version == 4 {
            while listed(&client.event("DeviceList").await) {}
            while !listed(&client.event("DeviceList").await) {}
        } else {
            client.event("DeviceRemoved").await;
            client.event("DeviceAdded").await;
        }
        drop((first, second));
        if version == 4 {
            while listed(&client.event("DeviceList").await) {}
        } else {
            client.event("DeviceRemoved").await;
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn old_clients_read_batteries_in_their_own_words() {
    let gateway = Running::start(settings()).await;
    let mut watcher = JsonClient::connect(&gateway.clients(), 4).await;
    let mut device = RawDevice::lovense(&gateway.devices(), "000000000001").await;
    let index = watcher.first_device().await;
    let sensor = json!({"DeviceIndex": index, "SensorIndex": 0, "SensorType": "Battery"});
    for (version, name, fields, answer, value) in [
        (
            2,
            "BatteryLevelCmd",
            json!({"DeviceIndex": index}),
            "BatteryLevelReading",
            json!(0.55),
        ),
        (3, "SensorReadCmd", sensor, "SensorReading", json!([55])),
    ] {
        let mut client = JsonClient::connect(&gateway.clients(), version).await;
        client.send(name, fields).await;
        device.expect("Battery;").await;
        device.binary(b"55;").await;
        let reading = client.event(answer).await;
        assert!(reading.to_string().contains(&value.to_string()), "{reading}");
        assert_ne!(reading["Id"], 0, "{reading}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn past_the_limit_of_open_commands_each_one_still_gets_an_answer() {
    let gateway = Running::start(settings()).await;
    let mut ws = open(&gateway.clients()).await;
    say(&mut ws, hello()).await;
    hear(&mut ws).await;
    let mut device = RawDevice::lovense(&gateway.devices(), "000000000001").await;
    let list = hear(&mut ws).await;
    let index = list[0]["DeviceList"]["Devices"]
        .as_object()
        .and_then(|d| d.keys().next())
        .expect("a device");
    let index: u64 = index.parse().expect("an index");
    let reads = 1_100;
    let batch: Vec<Value> = (1..=reads)
        .map(|id| {
            json!({"InputCmd": {"Id": id, "DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"}})
        })
        .collect();
    say(&mut ws, batch.into()).await;
    // Never answers.
    let reader = tokio::spawn(async move { while device.ws.next().await.is_some() {} });
    let mut open_ids: BTreeSet<u64> = (1..=reads).collect();
    let mut too_many = 0;
    while !open_ids.is_empty() {
        for message in hear(&mut ws).await {
            let error = &message["Error"];
            assert!(
                open_ids.remove(&error["Id"].as_u64().expect("an Error")),
                "{message}"
            );
            too_many += usize::from(error.to_string().contains("waiting for an answer"));
        }
    }
    assert_eq!(too_many, 1_100 - 1_024);
    drop(ws);
    reader.abort();
    gateway.stop().await;
}

/// It asks and asks and reads nothing: it waits for itself alone, is dropped in the end, and its device stops.
#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody_and_is_dropped() {
    let gateway = Running::start(settings()).await;
    let mut other = JsonClient::connect(&gateway.clients(), 4).await;
    let mut one = RawDevice::lovense(&gateway.devices(), "000000000001").await;
    // Listed first, it gets the lower index.
    other.first_device().await;
    let mut two = RawDevice::lovense(&gateway.devices(), "000000000002").await;
    let mut indexes = BTreeSet::new();
    while indexes.len() < 2 {
        let list = other.call("RequestDeviceList", json!({})).await;
        let devices = list["DeviceList"]["Devices"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        indexes = devices
            .keys()
            .map(|k| k.parse::<u64>().expect("an index"))
            .collect();
    }
    let (first, second) = (*indexes.first().expect("two"), *indexes.last().expect("two"));
    let mut slow = JsonClient::connect(&gateway.clients(), 4).await;
    slow.call("OutputCmd", vibrate(first, 7)).await;
    slow.call("OutputCmd", vibrate(second, 7)).await;
    other.call("OutputCmd", vibrate(second, 8)).await;
    one.expect("Vibrate:7;").await;
    let (slow_one, other_one) = (&mut one, &mut two);
    let flood = tokio::spawn(async move {
        let ask = format!("[{}]", vec![r#"{"RequestDeviceList":{"Id":9}}"#; 1_000].join(","));
        loop {
            slow.raw(&ask).await;
        }
    });
    let stopped = slow_one.expect("Vibrate:0;");
    let served = async {
        other_one.expect("Vibrate:8;").await;
        for n in 0.. {
            let value = 1 + n % 20;
            let reply = tokio::time::timeout(
                Duration::from_secs(2),
                other.call("OutputCmd", vibrate(second, value)),
            );
            let reply = reply.await.expect("served at once");
            assert!(reply.get("Ok").is_some(), "{reply}");
            other_one.expect(&format!("Vibrate:{value};")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = stopped => {}
        () = served => {}
    }
    assert!(within("its socket is gone", flood).await.is_err());
    gateway.stop().await;
}

/// The port by itself, on an engine without devices.
#[tokio::test]
async fn while_the_gateway_stops_commands_are_refused_and_then_sockets_close() {
    let dcm = Udcf::builtin().device_configuration().expect("the built-in UDCF");
    let (indexes, _) = IndexStore::open(None);
    let engine = Engine::start(dcm, Arc::new(indexes)).expect("an engine");
    let (refuse, close) = (CancellationToken::new(), CancellationToken::new());
    let clients = Clients::new(
        engine.clone(),
        settings().clients,
        Origins::open(settings().clients.origins, Duration::from_secs(60), None, None),
        Signpost::apps(([127, 0, 0, 1], 54817).into()),
        refuse.clone(),
        close.clone(),
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    port.set_nonblocking(true).expect("a port");
    let url = format!("ws://{}", port.local_addr().expect("a port"));
    let served = engine.runtime().spawn(async move {
        clients.serve(TcpListener::from_std(port).expect("a port")).await;
    });

    let mut client = JsonClient::connect(&url, 4).await;
    let mut silent = open(&url).await;
    assert!(client.call("StartScanning", json!({})).await.get("Ok").is_some());
    refuse.cancel();
    // The client's own task comes to know of it by itself.
    within("commands are refused", async {
        loop {
            let reply = client.call("StartScanning", json!({})).await;
            if reply["Error"].to_string().contains("the gateway is stopping") {
                return;
            }
        }
    })
    .await;
    assert!(
        client
            .call("RequestDeviceList", json!({}))
            .await
            .get("DeviceList")
            .is_some()
    );
    assert!(client.call("StopCmd", json!({})).await.get("Ok").is_some());
    close.cancel();
    assert_eq!(client.closed().await, Some(1001));
    assert_eq!(close_code(&mut silent).await, 1001);
    within("the port closes", served).await.expect("without a panic");
    engine.shutdown();
}
