//! The device port: what is let in, what is refused and how it is told, and what happens to a device that goes.

mod common;

use std::time::Duration;

use common::bare_device::BareDevice;
use common::json_client::JsonClient;
use common::{RawDevice, Running, client, handshake, settings, wait_until, within};
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

/// Every row of the table of refusals that the first message decides.
#[tokio::test]
async fn a_first_message_that_is_no_handshake_is_refused_with_its_code() {
    let gateway = Running::start(settings()).await;
    let long = "x".repeat(257);
    let cases: Vec<(&str, String, u16, &str)> = vec![
        ("not JSON", "hello".into(), 1007, "not JSON"),
        ("not an object", "[1]".into(), 1007, "an array"),
        (
            "no identifier",
            r#"{"address":"a","version":0}"#.into(),
            1007,
            "no \"identifier\"",
        ),
        (
            "no address",
            r#"{"identifier":"LVSDevice","version":0}"#.into(),
            1007,
            "no \"address\"",
        ),
        (
            "no version",
            r#"{"identifier":"LVSDevice","address":"a"}"#.into(),
            1007,
            "no \"version\"",
        ),
        (
            "wrong type",
            r#"{"identifier":1,"address":"a","version":0}"#.into(),
            1007,
            "a number",
        ),
        (
            "empty address",
            handshake("LVSDevice", ""),
            1007,
            "\"address\" is empty",
        ),
        (
            "empty identifier",
            handshake("", "a"),
            1007,
            "\"identifier\" is empty",
        ),
        ("long identifier", handshake(&long, "a"), 1007, "257 bytes"),
        ("over 4 KiB", " ".repeat(4097), 1009, "4096"),
        ("2 MB", " ".repeat(2_000_000), 1009, "4096"),
        (
            "version 1",
            r#"{"identifier":"LVSDevice","address":"a","version":1}"#.into(),
            4000,
            "only version 0",
        ),
        (
            "a typing error",
            handshake("LVSDevise", "a"),
            4001,
            "\"LVSDevice\"",
        ),
        ("a model letter", handshake("Z", "a"), 4001, "model letter"),
        (
            "unlike anything",
            handshake("qqqqqqq", "a"),
            4001,
            "no UDCF entry",
        ),
    ];
    for (what, text, code, reason) in cases {
        let mut device = RawDevice::connect(&gateway.devices()).await;
        // The largest one is cut off while it is still being sent.
        let _ = futures::SinkExt::send(&mut device.ws, tungstenite::Message::text(text)).await;
        let closed = device.closed().await;
        assert_eq!(closed.0, code, "{what}: {closed:?}");
        assert!(closed.1.contains(reason), "{what}: {closed:?}");
        assert!(closed.1.len() <= 123, "{what}: {closed:?}");
    }
    let mut device = RawDevice::connect(&gateway.devices()).await;
    device.binary(handshake("LVSDevice", "a").as_bytes()).await;
    assert_eq!(device.closed().await.0, 1003);
    gateway.stop().await;
}

#[tokio::test]
async fn no_handshake_in_time_is_4003_and_silent_tcp_connections_delay_nobody() {
    let mut settings = settings();
    settings.devices.handshake_timeout = Duration::from_secs(3);
    let gateway = Running::start(settings).await;
    let mute: Vec<_> = join_all((0..50).map(|_| TcpStream::connect(gateway.bound.devices))).await;
    let mut late = RawDevice::connect(&gateway.devices()).await;
    // They are all still there, and a device gets in at once.
    let _device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    let (code, reason) = late.closed().await;
    assert_eq!(code, 4003, "{reason}");
    for stream in mute {
        let mut byte = [0];
        let read = within(
            "the connection is dropped",
            stream.expect("connected").read(&mut byte),
        )
        .await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    gateway.stop().await;
}

/// Half an HTTP request and then nothing: the same clock.
#[tokio::test]
async fn an_upgrade_that_never_ends_is_dropped() {
    let mut settings = settings();
    settings.devices.handshake_timeout = Duration::from_millis(200);
    let gateway = Running::start(settings).await;
    let mut stream = TcpStream::connect(gateway.bound.devices).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = within("the connection is dropped", stream.read_to_end(&mut rest)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_is_listed_outside_of_scanning_and_leaves_when_it_closes_or_resets() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "lister").await;

    let mut device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    wait_until("it is listed", || client.devices().len() == 1).await;
    let index = *client.devices().keys().next().unwrap();
    assert!(
        client.devices()[&index].name().contains("Hush"),
        "{}",
        client.devices()[&index].name()
    );
    device.ws.close(None).await.unwrap();
    wait_until("it is gone after a Close", || client.devices().is_empty()).await;

    let device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    wait_until("it is back", || client.devices().contains_key(&index)).await;
    reset(device);
    wait_until("it is gone after a reset", || client.devices().is_empty()).await;
    gateway.stop().await;
}

/// Drops the TCP connection with a reset instead of a Close, as a crash does.
fn reset(device: RawDevice) {
    let tokio_tungstenite::MaybeTlsStream::Plain(stream) = device.ws.into_inner() else {
        unreachable!("no TLS here")
    };
    stream.set_zero_linger().expect("a socket");
}

#[tokio::test]
async fn silence_is_noticed_and_answered_pings_are_life() {
    let mut settings = settings();
    settings.devices.ping_interval = Duration::from_secs(2);
    let gateway = Running::start(settings).await;
    let client = client(&gateway.clients(), "lister").await;
    // A websocket answers pings only while it is read.
    let mut alive = RawDevice::lovense(&gateway.devices(), "00000000000A").await.ws;
    let reader =
        tokio::spawn(async move { while let Some(Ok(_)) = futures::StreamExt::next(&mut alive).await {} });
    let silent = RawDevice::lovense(&gateway.devices(), "00000000000B").await;
    wait_until("both are listed", || client.devices().len() == 2).await;
    wait_until("the silent one is gone", || client.devices().len() == 1).await;
    assert!(!reader.is_finished(), "the one that answers stays");
    drop(silent);
    gateway.stop().await;
}

#[tokio::test]
async fn the_same_address_takes_over_with_its_index_while_the_old_socket_hangs() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "lister").await;
    let mut hanging = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    let _other = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A46").await;
    wait_until("both are listed", || client.devices().len() == 2).await;
    let before: Vec<u32> = client.devices().keys().copied().collect();

    // The old socket is not read, so that it cannot answer: a board that rebooted.
    let mut back = RawDevice::hello(&gateway.devices(), "LVSDevice", "8A3D9FAC2A45").await;
    // What the last connection may have left running is stopped first.
    assert_eq!(back.frame().await, "Vibrate:0;");
    back.expect("DeviceType;").await;
    back.binary(b"Z:11:8A3D9FAC2A45;").await;
    wait_until("it is listed again", || client.devices().len() == 2).await;
    assert_eq!(client.devices().keys().copied().collect::<Vec<_>>(), before);
    let device = client
        .devices()
        .into_iter()
        .find(|(_, d)| d.connected())
        .expect("a connected device")
        .1;
    within("a stop", device.stop()).await.expect("to be taken");
    assert_eq!(hanging.closed().await.0, 4004);
    gateway.stop().await;
}

#[tokio::test]
async fn two_boards_with_one_address_do_not_evict_each_other_for_ever() {
    let gateway = Running::start(settings()).await;
    let mut boards = vec![RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await];
    for _ in 0..3 {
        boards.push(RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await);
        let evicted = boards.len() - 2;
        assert_eq!(boards[evicted].closed().await.0, 4004);
    }
    let mut newcomer = RawDevice::hello(&gateway.devices(), "LVSDevice", "8A3D9FAC2A45").await;
    let (code, reason) = newcomer.closed().await;
    assert_eq!(code, 4004);
    assert!(reason.contains("another device"), "{reason}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_lovense_that_answers_in_non_utf8_is_told_4005() {
    let gateway = Running::start(settings()).await;
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "8A3D9FAC2A45").await;
    device.expect("DeviceType;").await;
    device.binary(&[0xff, 0xfe, 0x00]).await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4005, "{reason}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_text_frame_after_the_handshake_is_taken_as_its_bytes() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "lister").await;
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "8A3D9FAC2A45").await;
    device.expect("DeviceType;").await;
    device.text("S:11:8A3D9FAC2A45;").await;
    wait_until("it is listed by its model", || {
        client.devices().values().any(|d| d.name().contains("Lush"))
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_web_page_is_no_device_and_a_token_is_asked_for() {
    let mut settings = settings();
    settings.devices.token = Some(wsdm_gateway::config::Secret("s3cret".to_owned()));
    settings.devices.origins = vec!["http://localhost:8080".to_owned()];
    let gateway = Running::start(settings).await;
    let attempt = async |path: &str, origin: Option<&str>| {
        let mut request = format!("{}{path}", gateway.devices())
            .into_client_request()
            .unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        match within("an answer", tokio_tungstenite::connect_async(request)).await {
            Ok(_) => 101,
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(attempt("/", None).await, 401);
    assert_eq!(attempt("/?token=wrong", None).await, 401);
    assert_eq!(attempt("/?token=s3cret", None).await, 101);
    // An Arduino library sends this one.
    assert_eq!(attempt("/?token=s3cret", Some("file://")).await, 101);
    assert_eq!(attempt("/?token=s3cret", Some("https://evil.example")).await, 403);
    assert_eq!(attempt("/?token=s3cret", Some("null")).await, 403);
    assert_eq!(
        attempt("/?token=s3cret", Some("http://localhost:8080")).await,
        101
    );
    gateway.stop().await;
}

#[tokio::test]
async fn when_the_gateway_stops_devices_are_stopped_and_told_1001() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "driver").await;
    let mut listed = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    let mut greeting = RawDevice::connect(&gateway.devices()).await;
    wait_until("it is listed", || client.devices().len() == 1).await;
    let stopping = tokio::spawn(gateway.stop());
    listed.expect("Vibrate:0;").await;
    assert_eq!(listed.closed().await.0, 1001);
    assert_eq!(greeting.closed().await.0, 1001);
    within("the gateway is down", stopping).await.unwrap();
}

/// Between the protocol's first answer and the listing the library listens to nobody: a device that leaves right
/// then was listed for ever.
#[tokio::test]
async fn a_device_that_leaves_while_it_is_being_listed_is_no_ghost() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "lister").await;
    for i in 0..40 {
        reset(RawDevice::lovense(&gateway.devices(), &format!("{i:012X}")).await);
    }
    let _stays = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    wait_until("only the one that stays is listed", || {
        client.devices().len() == 1
    })
    .await;
    gateway.stop().await;
}

/// The answer is the newest of more frames than the library takes at once: it waits, and something has to look after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_behind_a_burst_of_other_frames_is_not_forgotten() {
    const QUERIES: usize = 300;
    let gateway = Running::start(settings()).await;
    let hello = handshake("LVSDevice", "8A3D9FAC2A45");
    let mut device = BareDevice::connect(gateway.bound.devices, 64 * 1_024, &hello)
        .await
        .unwrap();
    let board = tokio::spawn(async move {
        let mut burst: Vec<&[u8]> = vec![b"noise;"; 24];
        burst.push(b"85;");
        while let Ok(frame) = device.next().await {
            let answered = match frame.as_slice() {
                b"DeviceType;" => device.say(&[b"Z:11:8A3D9FAC2A45;"]).await,
                b"Battery;" => device.say(&burst).await,
                _ => device.say(&[b"OK;"]).await,
            };
            answered.unwrap();
        }
    });
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    let list = app.call("RequestDeviceList", serde_json::json!({})).await;
    let features = list["DeviceList"]["Devices"][index.to_string()]["DeviceFeatures"]
        .as_object()
        .unwrap();
    let battery = features
        .values()
        .find(|feature| feature["Input"]["Battery"].is_object())
        .expect("a battery")["FeatureIndex"]
        .clone();
    for query in 0..QUERIES {
        let read = serde_json::json!({
            "DeviceIndex": index, "FeatureIndex": battery, "Type": "Battery", "Command": "Read"
        });
        let answer = app.call("InputCmd", read).await;
        assert!(answer["InputReading"].is_object(), "query {query}: {answer}");
    }
    gateway.stop().await;
    within("the board is let go", board).await.unwrap();
}
