//! The page's port from outside: what it serves, whom it lets, what it shows and what it stops.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

mod common;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::bare_http::{ask, post, send};
use common::json_client::JsonClient;
use common::{ANY_PORT, RawDevice, Running, page_at, settings, within};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use wsdm_gateway::config::{PageSettings, Secret, Settings};

/// How long a page that drives may show no sign of life.
const SILENCE: Duration = Duration::from_millis(1_500);

fn page_settings() -> Settings {
    Settings {
        page: Some(PageSettings {
            hosts: vec!["gateway.example".to_owned()],
            ..page_at(ANY_PORT)
        }),
        ..settings()
    }
}

/// A request for a websocket of the page, as a browser makes it there.
fn socket(page: SocketAddr, path: &str) -> Request<()> {
    let mut request = format!("ws://{page}{path}").into_client_request().unwrap();
    let origin = format!("http://{page}").parse().unwrap();
    request.headers_mut().insert("Origin", origin);
    request
}

/// An open page.
struct Live(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Live {
    /// Opens it; returns the snapshot.
    async fn open(page: SocketAddr) -> (Self, Value) {
        Self::open_as(page, "/api/live").await
    }

    async fn open_as(page: SocketAddr, path: &str) -> (Self, Value) {
        let (ws, _) = within("the websocket opens", connect_async(socket(page, path)))
            .await
            .unwrap();
        let mut live = Self(ws);
        let snapshot = live.next().await["snapshot"].take();
        assert!(snapshot.is_object());
        (live, snapshot)
    }

    /// Shows that it lives, for as long as this is polled.
    async fn answer(&mut self) -> Infallible {
        loop {
            if self.next().await == "ping" {
                self.send(json!("alive")).await;
            }
        }
    }

    /// Takes everything, and answers pings of the websocket alone.
    async fn hang(&mut self) -> Infallible {
        loop {
            self.next().await;
        }
    }

    async fn next(&mut self) -> Value {
        within("a message", async {
            loop {
                match self.0.next().await.unwrap().unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
        .await
    }

    /// Reads until a device is as wanted.
    async fn device(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        loop {
            let message = within(&format!("a device after {seen:#?}"), self.next()).await;
            let devices = message["change"]["devices"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if let Some(device) = devices.iter().find(|device| is_wanted(device)) {
                return device.clone();
            }
            seen.push(message);
        }
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Sends a frame; returns the error, if any.
    async fn frame(&mut self, address: &str, frame: &[u8], by: &str) -> Value {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        self.send(json!({"send": {"id": 7, "address": address, "hex": hex, "as": by}}))
            .await;
        loop {
            let mut message = self.next().await;
            if message["sent"]["id"] == 7 {
                return message["sent"]["error"].take();
            }
        }
    }
}

#[tokio::test]
async fn the_page_and_what_describes_it_are_served() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let index = ask(page, "GET", "/", &[]).await;
    assert_eq!(index.status, 200);
    assert!(index.body.contains("importmap"), "{}", index.body);
    for policy in [
        "default-src 'none'",
        "trusted-types 'none'",
        "sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(index.head.contains(policy), "{}", index.head);
    }
    let etag = index
        .head
        .split("etag: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let known = ask(page, "GET", "/", &[("If-None-Match", &etag)]).await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    assert_eq!(ask(page, "GET", "/healthz", &[]).await.body, "alive\n");
    assert_eq!(ask(page, "GET", "/../Cargo.toml", &[]).await.status, 404);
    assert_eq!(ask(page, "POST", "/app.js", &[]).await.status, 405);

    let openapi = ask(page, "GET", "/api/openapi.json", &[]).await.json();
    let paths: Vec<_> = openapi["paths"].as_object().unwrap().keys().cloned().collect();
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path
                .replace("{address}", "nobody")
                .replace("{id}", "999")
                .replace("{section}", "serial")
                .replace("{n}", "999");
            let answer = ask(page, &method.to_uppercase(), &path, &[("Content-Length", "0")]).await;
            if answer.status == 204 {
                continue;
            }
            // A body that is missing is named, and so is Bluetooth.
            let is_known = [200, 404].contains(&answer.status)
                || [400, 409, 415, 503].contains(&answer.status) && answer.json()["hint"].is_string();
            assert!(is_known, "{method} {path}: {} {}", answer.status, answer.body);
            assert_ne!(answer.body, "", "{method} {path} says why");
        }
    }
    assert!(paths.contains(&"/api/stop".to_owned()), "{paths:?}");
    gateway.stop().await;
}

/// What scripts rely on changes only on purpose.
#[test]
fn the_interface_is_as_the_repository_describes_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let now = wsdm_gateway::web::api::openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "docs/openapi.json is out of date: look at the change that UPDATE_REFERENCE=1 cargo test --test page makes"
    );
}

#[tokio::test]
async fn a_browser_on_another_port_is_told_where_the_page_is() {
    let gateway = Running::start(page_settings()).await;
    let url = format!("http://{}/", gateway.page());
    for port in [gateway.bound.devices, gateway.bound.clients.unwrap()] {
        let answer = ask(port, "GET", "/", &[("Accept", "text/html")]).await;
        assert_eq!(answer.status, 426);
        assert!(answer.body.contains(&url), "{}", answer.body);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn other_web_pages_and_other_names_of_this_machine_are_refused() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let own = format!("http://{page}");
    let rebound = format!("evil.example:{}", page.port());
    let localhost = format!("localhost:{}", page.port());
    let six = format!("[::1]:{}", page.port());
    let six_origin = format!("http://{six}");
    for (method, path, headers, status) in [
        ("GET", "/", vec![("Host", rebound.as_str())], 421),
        (
            "GET",
            "/api/devices",
            vec![("Host", &*rebound), ("Origin", "http://evil.example")],
            421,
        ),
        ("GET", "/", vec![("Host", "gateway.example")], 200),
        ("GET", "/", vec![("Host", &*localhost)], 200),
        // Through a tunnel or a proxy that listens there.
        ("GET", "/", vec![("Host", &*six)], 200),
        (
            "POST",
            "/api/stop",
            vec![("Host", &*six), ("Origin", &*six_origin)],
            200,
        ),
        ("POST", "/api/stop", vec![("Host", &*six), ("Origin", &*own)], 403),
        ("GET", "http://evil.example/api/devices", vec![], 421),
        ("GET", "/api/devices/%FF", vec![], 400),
        ("POST", "/api/apps/none/disconnect", vec![], 400),
        ("POST", "/api/stop", vec![("Origin", "http://evil.example")], 403),
        ("POST", "/api/stop", vec![("Origin", "null")], 403),
        ("POST", "/api/stop", vec![("Origin", "http://127.0.0.1:1")], 403),
        (
            "POST",
            "/api/stop",
            vec![("Sec-Fetch-Site", "same-site"), ("Origin", &*own)],
            403,
        ),
        ("POST", "/api/stop", vec![("Origin", &*own)], 200),
        ("POST", "/api/stop", vec![], 200),
        ("GET", "/api/stop", vec![], 405),
        ("OPTIONS", "/api/stop", vec![("Origin", &*own)], 405),
        ("PATCH", "/api/stop", vec![], 405),
        ("TRACE", "/api/stop", vec![], 405),
        ("DELETE", "/api/live", vec![], 405),
    ] {
        let answer = ask(page, method, path, &headers).await;
        assert_eq!(
            answer.status, status,
            "{method} {path} {headers:?}: {}",
            answer.body
        );
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
        if status >= 400 {
            assert!(
                answer.json()["error"].is_string(),
                "{method} {path}: {}",
                answer.body
            );
        }
        if status == 405 {
            assert!(
                answer.head.contains("\nallow: "),
                "{method} {path}: {}",
                answer.head
            );
            let is_of_pages = answer.body.contains("other web pages");
            assert_eq!(is_of_pages, method == "OPTIONS", "{}", answer.body);
        }
        if status == 421 {
            assert!(answer.body.contains("[page] hosts"), "{}", answer.body);
        }
    }
    for path in ["/api/live", "/buttplug"] {
        for origin in [None, Some("http://evil.example"), Some("null")] {
            let mut request = socket(page, path);
            match origin {
                Some(origin) => drop(request.headers_mut().insert("Origin", origin.parse().unwrap())),
                None => drop(request.headers_mut().remove("Origin")),
            }
            let refused = within("an answer", connect_async(request)).await;
            match refused {
                Err(WsError::Http(answer)) => assert_eq!(answer.status(), 403, "{path} {origin:?}"),
                other => panic!("{path} {origin:?}: {other:?}"),
            }
        }
        assert_eq!(ask(page, "GET", path, &[]).await.status, 426);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_open_page_sees_devices_come_work_and_go() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let (mut live, snapshot) = Live::open(page).await;
    assert_eq!(snapshot["devices"], json!([]));
    assert_eq!(snapshot["gateway"]["devices"][0], gateway.devices());

    let mut toy = RawDevice::lovense(&gateway.devices(), "<img src=x>").await;
    let ready = live.device(|device| device["state"] == "ready").await;
    assert_eq!(ready["address"], "<img src=x>");
    assert_eq!(
        (&ready["name"], &ready["way"]),
        (&json!("Lovense Hush"), &json!("ws"))
    );
    assert_eq!(ready["driver"], Value::Null);

    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 10}}});
    app.call("OutputCmd", vibrate).await;
    toy.expect("Vibrate:10;").await;
    let driven = live.device(|device| device["driver"].is_object()).await;
    assert_eq!(driven["driver"]["name"], "json");
    assert_eq!(driven["driver"]["kind"], "app");
    assert_eq!(driven["outputs_on"], true);
    assert!(driven["bytes_to_device"].as_u64().unwrap() >= 11, "{driven}");
    let apps = ask(page, "GET", "/api/apps", &[]).await.json();
    assert_eq!(apps["apps"][0]["drives"], json!(["<img src=x>"]), "{apps}");

    let metrics = ask(page, "GET", "/metrics", &[]).await;
    assert!(metrics.head.contains("openmetrics-text"), "{}", metrics.head);
    let frames = metrics
        .body
        .lines()
        .find(|line| line.starts_with("wsdm_gateway_frames_to_device_total{"));
    assert!(
        frames.unwrap().contains("address=\"<img src=x>\""),
        "{}",
        metrics.body
    );
    assert!(metrics.body.ends_with("# EOF\n"));

    let id = apps["apps"][0]["id"].as_u64().unwrap();
    let gone = ask(page, "POST", &format!("/api/apps/{id}/disconnect"), &[]).await;
    assert_eq!(gone.status, 204);
    toy.expect("Vibrate:0;").await;
    let left = ask(page, "GET", "/api/apps", &[]);
    within("the app is gone", async {
        let mut apps = left.await.json();
        while apps["apps"] != json!([]) {
            apps = ask(page, "GET", "/api/apps", &[]).await.json();
        }
    })
    .await;

    drop(toy);
    let gone = live.device(|device| device["state"] == "gone").await;
    assert!(
        gone["reason"].as_str().unwrap().contains("connection lost"),
        "{gone}"
    );
    assert!(gone["to_device"].as_u64().unwrap() > 1, "{gone}");
    let path = "/api/devices/%3Cimg%20src%3Dx%3E";
    assert_eq!(ask(page, "DELETE", path, &[]).await.status, 204);
    assert_eq!(ask(page, "DELETE", path, &[]).await.status, 404);
    let forgotten = loop {
        let message = live.next().await;
        if message["change"]["forgotten"].is_array() {
            break message["change"]["forgotten"].clone();
        }
    };
    assert_eq!(forgotten, json!(["<img src=x>"]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_frame_that_is_refused_is_answered_with_the_reason() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let _toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let (large, bytes) = ("x".repeat(65_537), [("Content-Type", "application/octet-stream")]);
    for (body, status, part) in [("", 400, "empty"), (&*large, 413, "65536 bytes")] {
        let length = body.len().to_string();
        let headers = [&bytes[..], &[("Content-Length", &*length)]].concat();
        let answer = send(page, "POST", "/api/devices/toy/frames", &headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        let problem = answer.json();
        assert!(problem["error"].as_str().unwrap().contains(part), "{problem}");
    }
    for path in ["/api/simulated", "/api/questions/1"] {
        let answer = post(page, path, &[], &json!({ "protocol": large })).await;
        assert!([404, 413].contains(&answer.status), "{path}: {}", answer.body);
        assert!(answer.json()["error"].is_string(), "{path}: {}", answer.body);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_device_is_shown_with_its_reason_and_what_to_do() {
    let gateway = Running::start(page_settings()).await;
    let (mut live, _) = Live::open(gateway.page()).await;
    for times in 1..=2 {
        let mut stranger = RawDevice::hello(&gateway.devices(), "ESP32Vibe", "new").await;
        stranger.closed().await;
        let refused = live.device(|device| device["refused_times"] == times).await;
        assert_eq!(
            (&refused["state"], &refused["address"]),
            (&json!("refused"), &json!("new"))
        );
        assert!(
            refused["reason"].as_str().unwrap().contains("ESP32Vibe"),
            "{refused}"
        );
        assert!(
            refused["hint"].as_str().unwrap().contains("udcf add"),
            "{refused}"
        );
    }
    let _toy = RawDevice::lovense(&gateway.devices(), "new").await;
    let there = live.device(|device| device["address"] == "new").await;
    assert_ne!(there["state"], "refused", "it is connected now");
    gateway.stop().await;
}

#[tokio::test]
async fn stop_everything_stops_what_any_app_drives() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let mut stroker = RawDevice::hello(&gateway.devices(), "TCodeDevice", "stroker").await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    within("both are listed", async {
        while app.device_indexes().await.len() < 2 {}
    })
    .await;
    for index in app.device_indexes().await {
        for command in [
            json!({"Vibrate": {"Value": 20}}),
            json!({"HwPositionWithDuration": {"Value": 99, "Duration": 20_000}}),
        ] {
            let output = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": command});
            app.call("OutputCmd", output).await;
        }
    }
    toy.expect("Vibrate:20;").await;
    assert!(stroker.frame().await.starts_with("L0"));
    let stopped = ask(page, "POST", "/api/stop", &[]).await;
    assert_eq!(stopped.json(), json!({"stopped": 2, "failed": []}));
    toy.expect("Vibrate:0;").await;
    stroker.expect("DSTOP\n").await;
    let one = ask(page, "POST", "/api/devices/toy/stop", &[]).await;
    assert_eq!(one.json(), json!({"stopped": 1, "failed": []}));
    let nobody = ask(page, "POST", "/api/devices/nobody/stop", &[]).await;
    assert_eq!(nobody.status, 404);
    assert!(nobody.json()["hint"].is_string());
    gateway.stop().await;
}

#[tokio::test]
async fn the_page_drives_as_an_app_and_what_it_drives_stops_with_it() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let mut driver = JsonClient::connect(socket(page, "/buttplug"), 4).await;
    let index = driver.first_device().await;
    let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 20}}});
    driver.call("OutputCmd", vibrate).await;
    toy.expect("Vibrate:20;").await;
    let devices = ask(page, "GET", "/api/devices/toy", &[]).await.json();
    assert_eq!(devices["driver"]["kind"], "page", "{devices}");
    assert_eq!(devices["driver"]["origin"], format!("http://{page}"));
    driver.reset();
    toy.expect("Vibrate:0;").await;

    // Another one, which the end of the gateway ends.
    let mut driver = JsonClient::connect(socket(page, "/buttplug"), 4).await;
    let index = driver.first_device().await;
    let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 5}}});
    driver.call("OutputCmd", vibrate).await;
    toy.expect("Vibrate:5;").await;
    gateway.stop().await;
    toy.expect("Vibrate:0;").await;
}

#[tokio::test]
async fn frames_are_watched_and_sent_both_ways_and_what_the_page_sent_stops_with_it() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    let (mut live, _) = Live::open(page).await;
    live.send(json!({"watch": "toy"})).await;
    assert_eq!(live.frame("toy", b"Vibrate:7;", "gateway").await, Value::Null);
    toy.expect("Vibrate:7;").await;
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &Value| line["text"] == "Vibrate:7;") {
        // What came beside the answer to `send` may be among what was read there.
        let _ = live.frame("toy", b"Vibrate:7;", "gateway").await;
        let message = live.next().await;
        lines.extend(message["frames"]["lines"].as_array().cloned().unwrap_or_default());
    }
    let line = lines.iter().find(|line| line["text"] == "Vibrate:7;").unwrap();
    assert_eq!(
        (&line["direction"], &line["hex"]),
        (&json!("to_device"), &json!("566962726174653a373b"))
    );

    // As if the device had answered.
    let asked = app
        .send(
            "InputCmd",
            json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"}),
        )
        .await;
    toy.expect("Battery;").await;
    assert_eq!(live.frame("toy", b"42;", "device").await, Value::Null);
    let reading = app.event("InputReading").await;
    assert_eq!(
        (&reading["Id"], &reading["Reading"]["Battery"]["Value"]),
        (&json!(asked), &json!(42))
    );
    let device = live.device(|device| device["battery"].is_number()).await;
    assert_eq!(device["battery"], 0.42);

    assert!(
        live.frame("nobody", b"x", "gateway")
            .await
            .as_str()
            .unwrap()
            .contains("not connected")
    );
    assert!(
        live.frame("toy", b"", "gateway")
            .await
            .as_str()
            .unwrap()
            .contains("empty")
    );
    live.send(json!({"nonsense": 1})).await;
    live.send(json!({"send": {"id": 7, "address": "toy", "hex": "5", "as": "gateway"}}))
        .await;
    drop(live);
    toy.expect("Vibrate:0;").await;
    gateway.stop().await;
}

/// A page whose script hangs: its browser answers the websocket's pings, and nobody the gateway's question.
#[tokio::test]
async fn what_a_page_that_hangs_left_on_is_stopped_and_a_page_that_lives_goes_on() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    // No app is there, whose end would stop the device.
    while ask(page, "GET", "/api/devices/toy", &[]).await.json()["state"] != "ready" {}
    let (mut live, _) = Live::open(page).await;
    assert_eq!(live.frame("toy", b"Vibrate:7;", "gateway").await, Value::Null);
    toy.expect("Vibrate:7;").await;
    let early = tokio::time::timeout(2 * SILENCE, async {
        tokio::select! {
            never = live.answer() => match never {},
            frame = toy.frame() => frame,
        }
    });
    let early = early.await;
    assert!(early.is_err(), "the page lives: {early:?}");
    let hung = Instant::now();
    tokio::select! {
        never = live.hang() => match never {},
        () = toy.expect("Vibrate:0;") => {}
    }
    let took = hung.elapsed();
    assert!(took < SILENCE + Duration::from_secs(2), "{took:?}");
    // It was not disconnected, and its next frame counts.
    assert_eq!(live.frame("toy", b"Vibrate:8;", "gateway").await, Value::Null);
    toy.expect("Vibrate:8;").await;
    drop(live);
    toy.expect("Vibrate:0;").await;
    gateway.stop().await;
}

/// The same of its sliders, which are another websocket.
#[tokio::test]
async fn the_sliders_of_a_page_that_hangs_are_let_go_of() {
    let gateway = Running::start(page_settings()).await;
    let page = gateway.page();
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let mut live = Live::open_as(page, "/api/live?tab=5f1d").await.0;
    let mut driver = JsonClient::connect(socket(page, "/buttplug?tab=5f1d"), 4).await;
    let index = driver.first_device().await;
    let vibrate = |value: u32| json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}});
    driver.call("OutputCmd", vibrate(20)).await;
    toy.expect("Vibrate:20;").await;
    let early = tokio::time::timeout(2 * SILENCE, async {
        tokio::select! {
            never = live.answer() => match never {},
            // Reads, and so answers pings.
            _ = driver.event("never") => "never".to_owned(),
            frame = toy.frame() => frame,
        }
    });
    let early = early.await;
    assert!(early.is_err(), "the page lives: {early:?}");
    let hung = Instant::now();
    tokio::select! {
        never = live.hang() => match never {},
        _ = driver.event("never") => {}
        () = toy.expect("Vibrate:0;") => {}
    }
    let took = hung.elapsed();
    assert!(took < SILENCE + Duration::from_secs(2), "{took:?}");
    driver.call("OutputCmd", vibrate(5)).await;
    toy.expect("Vibrate:5;").await;
    // A tab that has lost its other websocket shows no sign of life either.
    drop(live);
    tokio::select! {
        _ = driver.event("never") => {}
        () = toy.expect("Vibrate:0;") => {}
    }
    gateway.stop().await;
}

#[tokio::test]
async fn devices_are_simulated_on_request_and_stopped() {
    let mut settings = page_settings();
    settings.devices.token = Some(Secret("long-enough".to_owned()));
    let gateway = Running::start(settings).await;
    let page = gateway.page();
    let (mut live, _) = Live::open(page).await;
    let mut addresses = Vec::new();
    for body in [
        json!({"protocol": "lovense", "model": "edge"}),
        json!({"protocol": "lovense", "model": "edge"}),
        json!({"protocol": "tcode"}),
    ] {
        let started = post(page, "/api/simulated", &[], &body).await;
        assert_eq!(started.status, 201, "{}", started.body);
        addresses.push(started.json()["address"].as_str().unwrap().to_owned());
    }
    for address in &addresses {
        let is_it = |device: &Value| device["address"] == **address && device["state"] == "ready";
        let listed = async {
            loop {
                let devices = ask(page, "GET", "/api/devices", &[]).await.json();
                if let Some(device) = devices["devices"].as_array().unwrap().iter().find(|d| is_it(d)) {
                    return device.clone();
                }
            }
        };
        let device = within("it is listed", listed).await;
        assert_eq!(device["is_simulated"], true);
    }
    for body in [
        json!({"protocol": "lovense", "model": "no-such"}),
        json!({"protocol": "tcode", "model": "edge"}),
        json!({"protocol": "toaster"}),
    ] {
        let refused = post(page, "/api/simulated", &[], &body).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(refused.json()["hint"].is_string(), "{}", refused.body);
    }
    let path = format!("/api/simulated/{}", addresses[0]);
    assert_eq!(ask(page, "DELETE", &path, &[]).await.status, 204);
    live.device(|device| device["address"] == *addresses[0] && device["state"] == "gone")
        .await;
    let gone = within("it is gone", async {
        loop {
            let answer = ask(page, "DELETE", &path, &[]).await;
            if answer.status == 404 {
                return answer;
            }
        }
    });
    assert!(gone.await.json()["hint"].is_string());
    let list = ask(page, "GET", "/api/simulated", &[]).await.json();
    assert_eq!(list["devices"].as_array().unwrap().len(), 2, "{list}");
    assert!(
        list["models"].as_array().unwrap().contains(&json!("hush")),
        "{list}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_taken_port_stops_the_gateway_only_if_it_was_configured() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = page_settings();
    let page = settings.page.as_mut().unwrap();
    page.listen = taken.local_addr().unwrap().into();
    page.is_required = false;
    let gateway = Running::start(settings.clone()).await;
    assert!(gateway.bound.page_addresses.is_empty());
    gateway.stop().await;
    settings.page.as_mut().unwrap().is_required = true;
    let Err(e) = wsdm_gateway::gateway::Gateway::bind(settings).await else {
        panic!("the port is taken");
    };
    assert!(e.to_string().contains("the page"), "{e}");
}
