//! Peers that came to the wrong port or do not follow the websocket protocol: what each receives, byte for byte, and what
//! the log reports about it.
#![cfg(unix)]

mod common;

use std::net::SocketAddr;
use std::path::Path;

use common::bare_websocket::{Bare, KEY, masked, unmasked, upgrade};
use common::log::Log;
use common::process::{Process, run};
use common::{RawDevice, handshake, within};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// A gateway in a process of its own whose log is read.
struct Gateway {
    process: Process,
    log: Log,
}

impl Gateway {
    async fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = run(home);
        command.args(args);
        let mut process = Process::spawn(command).await;
        let log = Log::of(&mut process.child);
        Self { process, log }
    }

    fn devices(&self) -> SocketAddr {
        address(&self.process.devices)
    }

    fn clients(&self) -> SocketAddr {
        address(&self.process.clients)
    }

    /// Reads up to a line of the log that contains all of these texts.
    async fn logged(&mut self, texts: &[&str]) -> String {
        self.log.expect(texts).await
    }

    /// How many lines that were read have this in it.
    fn times(&self, text: &str) -> usize {
        self.log.seen.iter().filter(|line| line.contains(text)).count()
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("ws://")
        .expect("a URL")
        .parse()
        .expect("an address")
}

/// Sends some bytes, and reads until the gateway closes, which it does in good order.
async fn exchange(port: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(port).await.expect("an open port");
    stream.write_all(sent).await.expect("an open socket");
    let mut answer = Vec::new();
    within("the answer and its end", stream.read_to_end(&mut answer))
        .await
        .expect("no reset");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_browser_gets_a_page_that_names_this_port_and_the_others() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &[]).await;
    let (devices, clients) = (gateway.devices(), gateway.clients());
    for (port, who) in [(devices, "device"), (clients, "app")] {
        let get = format!("GET / HTTP/1.1\r\nHost: {port}\r\nAccept: text/html,*/*;q=0.8\r\n\r\n");
        let page = exchange(port, get.as_bytes()).await;
        let (head, body) = page.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{head}");
        assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: text/html"), "{head}");
        assert!(
            head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(body.contains(&format!("ws://{devices}")), "{body}");
        assert!(body.contains(&format!("ws://{clients}")), "{body}");
        // A health check wants no page, and another method is no other kind of visitor.
        for request in [
            "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
            "HEAD / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        ] {
            let answer = exchange(port, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 426 "), "{request}: {answer}");
            assert!(answer.contains("Content-Type: text/plain"), "{request}: {answer}");
        }
        let line = gateway
            .logged(&["WARN", "plain HTTP", &format!("the port for {who}s")])
            .await;
        let other = if port == devices { clients } else { devices };
        assert!(line.contains(&format!("ws://{other}")), "{line}");
    }
    // Each once: what comes after them is in the log, and they are not again.
    exchange(devices, b"hello\n").await;
    gateway.logged(&["WARN", "bare TCP"]).await;
    assert_eq!(gateway.times("plain HTTP"), 2, "{:#?}", gateway.log.seen);
}

#[tokio::test]
async fn a_peer_that_speaks_no_http_gets_a_line_with_what_is_expected() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &[]).await;
    let (devices, clients) = (gateway.devices(), gateway.clients());
    let hello = handshake("LVSDevice", "8A3D9FAC2A45") + "\n";
    let server_info = json!([{"RequestServerInfo": {"Id": 1, "ClientName": "x", "MessageVersion": 3}}]);
    for (port, sent, answered, logged) in [
        (devices, "D0\n", "[[dial]]", "TCode over bare TCP"),
        (devices, "L0500I100\n", "[[dial]]", "TCode over bare TCP"),
        (devices, hello.as_str(), "over a websocket", "JSON over bare TCP"),
        (devices, "OK;", "websocket", "bare TCP"),
        (
            clients,
            &server_info.to_string(),
            "over a websocket",
            "JSON over bare TCP",
        ),
        (clients, hello.as_str(), "over a websocket", "JSON over bare TCP"),
    ] {
        let answer = exchange(port, sent.as_bytes()).await;
        assert!(answer.contains(answered), "{sent:?}: {answer}");
        assert!(answer.contains(&format!("ws://{port}")), "{sent:?}: {answer}");
        assert_eq!(answer.matches('\n').count(), 1, "{sent:?}: {answer}");
        assert!(answer.ends_with('\n'), "{sent:?}: {answer}");
        if sent != "L0500I100\n" && !(port == clients && sent == hello) {
            gateway.logged(&["WARN", logged, &format!("ws://{port}")]).await;
        }
    }
    // One that is done: what it sent was all.
    let mut stream = TcpStream::connect(devices).await.unwrap();
    stream.write_all(b"DSTOP").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    within("the answer and its end", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.contains("[[dial]]"), "{answer}");
    // What a TLS client begins with.
    let client_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for port in [devices, clients] {
        let answer = exchange(port, &client_hello).await;
        assert!(answer.contains(&format!("ws://{port}")), "{answer}");
        assert!(answer.contains("TLS"), "{answer}");
        let line = gateway.logged(&["WARN", "TLS"]).await;
        assert!(line.contains("ws:// instead of wss://"), "{line}");
    }
    // A device and an app are served as ever.
    let mut device = RawDevice::hello(&gateway.process.devices, "LVSDevice", "8A3D9FAC2A45").await;
    device.expect("DeviceType;").await;
}

#[tokio::test]
async fn a_faulty_upgrade_is_answered_with_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &[]).await;
    let port = gateway.devices();
    let without_key = upgrade("").replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), "");
    let answer = exchange(port, without_key.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("Sec-WebSocket-Key"), "{answer}");
    gateway.logged(&["WARN", "Sec-WebSocket-Key"]).await;
    let old = upgrade("").replace("Version: 13", "Version: 8");
    let answer = exchange(port, old.as_bytes()).await;
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
    // A proxy that passes on neither header.
    let stripped = upgrade("")
        .replace("Upgrade: websocket\r\n", "")
        .replace("Connection: Upgrade", "Connection: close");
    let answer = exchange(port, stripped.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    gateway.logged(&["WARN", "proxy"]).await;
}

#[tokio::test]
async fn the_upgrade_is_answered_letter_by_letter_with_the_first_subprotocol() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(home.path(), &[]).await;
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for port in [gateway.devices(), gateway.clients()] {
        for (offered, taken) in [
            ("", ""),
            (
                "Sec-WebSocket-Protocol: arduino\r\n",
                "Sec-WebSocket-Protocol: arduino\r\n",
            ),
            (
                "sec-websocket-protocol: v2.buttplug , v1.buttplug\r\nSec-WebSocket-Protocol: z\r\n",
                "Sec-WebSocket-Protocol: v2.buttplug\r\n",
            ),
            ("Sec-WebSocket-Protocol: \r\n", ""),
            ("Sec-WebSocket-Extensions: permessage-deflate\r\n", ""),
        ] {
            let (_, head) = Bare::open(port, &upgrade(offered)).await;
            assert_eq!(head, format!("{answer}{taken}\r\n"), "{offered:?}");
        }
    }
    // And a strict client: it gives up if it does not get what it offered.
    let mut request = gateway.process.clients.as_str().into_client_request().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "buttplug".parse().unwrap());
    let (_, response) = connect_async(request).await.expect("an open websocket");
    assert_eq!(response.headers()["sec-websocket-protocol"], "buttplug");
}

#[tokio::test]
async fn a_board_that_does_not_wait_for_the_upgrade_is_served() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(home.path(), &[]).await;
    let first = masked(0x81, handshake("LVSDevice", "8A3D9FAC2A45").as_bytes());
    let mut stream = TcpStream::connect(gateway.devices()).await.unwrap();
    let request = [upgrade("").as_bytes(), &first].concat();
    // In three pieces, cut in the middle of a header and of the frame.
    for piece in [&request[..50], &request[50..request.len() - 20]] {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(&request[request.len() - 20..]).await.unwrap();
    let (mut bare, _) = Bare::answered(stream).await;
    loop {
        if let (0x82, payload) = bare.frame().await {
            assert_eq!(payload, b"DeviceType;");
            break;
        }
    }
}

#[tokio::test]
async fn frames_that_break_the_protocol_are_1002_with_a_reason_at_any_time() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &[]).await;
    let hello = handshake("TCodeDevice", "8A3D9FAC2A45");
    let hello = hello.as_bytes();
    let mut split = masked(0x89, b"x");
    split[0] = 0x09;
    for (bytes, reason, hint) in [
        (unmasked(0x81, hello), "unmasked", "mask"),
        (masked(0xc1, hello), "compressed", "compression"),
        // The library does not tell this one from the one before, which was logged a moment ago.
        (masked(0xa1, hello), "reserved bits", ""),
        (masked(0x83, hello), "opcode 3", "websocket library"),
        (masked(0x8b, b""), "opcode 11", "websocket library"),
        (masked(0x80, hello), "ontinu", "websocket library"),
        (split, "ragment", "websocket library"),
    ] {
        // As the first message, and as a later one.
        for begins in [false, true] {
            let (mut bare, _) = Bare::open(gateway.devices(), &upgrade("")).await;
            if begins {
                bare.send(&masked(0x81, hello)).await;
                gateway.logged(&["device connected"]).await;
            }
            bare.send(&bytes).await;
            let (code, text) = bare.closed().await;
            assert_eq!(code, 1002, "{reason}, {begins}: {text}");
            assert!(text.contains(reason), "{reason}, {begins}: {text}");
            if hint.is_empty() {
                continue;
            }
            let line = gateway.logged(&["WARN", reason]).await;
            assert!(line.contains(hint), "{reason}, {begins}: {line}");
        }
        let (mut bare, _) = Bare::open(gateway.clients(), &upgrade("")).await;
        bare.send(&bytes).await;
        let (code, text) = bare.closed().await;
        assert_eq!(code, 1002, "{reason}: {text}");
        assert!(text.contains(reason), "{reason}: {text}");
        if hint.is_empty() {
            continue;
        }
        let line = gateway.logged(&["WARN", reason]).await;
        assert!(line.contains(hint), "{reason}: {line}");
    }
}

#[tokio::test]
async fn an_app_on_the_device_port_is_directed_to_the_port_for_apps() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &[]).await;
    let clients = gateway.process.clients.clone();
    let hello = json!([{"RequestServerInfo": {
        "Id": 7, "ClientName": "x", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": 0}}])
    .to_string();
    for message in [Message::text(hello.clone()), Message::binary(hello.into_bytes())] {
        let mut app = RawDevice::connect(&gateway.process.devices).await;
        app.ws.send(message).await.unwrap();
        let error = within("an Error", app.ws.next()).await.unwrap().unwrap();
        let error: Value = serde_json::from_str(error.to_text().unwrap()).unwrap();
        assert_eq!(error[0]["Error"]["Id"], 7, "{error}");
        assert_eq!(error[0]["Error"]["ErrorCode"], 1, "{error}");
        let text = error[0]["Error"]["ErrorMessage"].as_str().unwrap();
        assert!(text.contains(&clients), "{text}");
        let (code, reason) = app.closed().await;
        assert_eq!(code, 1007);
        assert!(reason.contains(&clients), "{reason}");
    }
    gateway.logged(&["WARN", "RequestServerInfo", &clients]).await;
}

#[tokio::test]
async fn a_device_on_the_port_for_apps_is_directed_to_the_port_for_devices() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &[]).await;
    let devices = gateway.process.devices.clone();
    let hello = handshake("LVSDevice", "8A3D9FAC2A45");
    for message in [
        Message::text(hello.clone()),
        Message::binary(hello.clone().into_bytes()),
        // One with a fault of its own is a device too.
        Message::text(r#"{"identifier":"LVSDevice","address":7}"#),
        Message::text(hello.clone() + "\0"),
        Message::text(hello.replace('"', "'")),
        Message::text(format!("[{hello}]")),
    ] {
        let mut device = RawDevice::connect(&gateway.process.clients).await;
        device.ws.send(message.clone()).await.unwrap();
        let first = within("a Close frame", device.ws.next()).await.unwrap().unwrap();
        let Message::Close(Some(frame)) = first else {
            panic!("{message}: {first:?}");
        };
        assert_eq!(u16::from(frame.code), 1007, "{message}");
        assert!(frame.reason.contains(&devices), "{message}: {}", frame.reason);
    }
    gateway.logged(&["WARN", "device's handshake", &devices]).await;
}

#[tokio::test]
async fn an_app_on_the_device_port_of_a_relay_is_sent_upstream() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &["--upstream", "ws://127.0.0.1:9"]).await;
    let mut app = RawDevice::connect(&gateway.process.devices).await;
    app.text(r#"[{"RequestServerInfo":{"Id":1,"ClientName":"x","MessageVersion":3}}]"#)
        .await;
    let (code, reason) = app.closed().await;
    assert_eq!(code, 1007);
    assert!(reason.contains("upstream"), "{reason}");
    gateway.logged(&["WARN", "RequestServerInfo", "upstream"]).await;
}

#[tokio::test]
async fn a_refused_web_page_is_in_the_log_ready_to_paste() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("gateway.toml");
    std::fs::write(&config, "[devices]\norigins = [\"http://localhost:8080\"]\n").unwrap();
    let mut gateway = Gateway::start(home.path(), &["--config", config.to_str().unwrap()]).await;
    for _ in 0..2 {
        let request = upgrade("Origin: https://toys.example.org:8443\r\n");
        let answer = exchange(gateway.devices(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    }
    let line = gateway.logged(&["WARN", "origins ="]).await;
    assert!(
        line.contains(r#"origins = ["http://localhost:8080", "https://toys.example.org:8443"]"#),
        "{line}"
    );
    assert!(line.contains("[devices]"), "{line}");
    // An origin that no page has is not offered for pasting.
    let request = upgrade("Origin: https://a\"]; x = [\"\r\n");
    exchange(gateway.devices(), request.as_bytes()).await;
    let line = gateway.logged(&["WARN", "origin"]).await;
    assert!(!line.contains("origins = [\"https://a"), "{line}");
    assert_eq!(gateway.times("toys.example.org"), 1);
}

#[tokio::test]
async fn a_name_whose_protocol_the_server_lacks_is_4001_and_check_finds_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("my.json");
    let udcf = json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": {
            "tcode-v04": { "communication": [{ "websocket": { "name": "MySR6" } }] },
            "lovense": { "communication": [{ "websocket": { "name": "LVSDevice" } }] },
        }},
    });
    std::fs::write(&file, udcf.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let mut gateway = Gateway::start(home.path(), &["--udcf", file]).await;
    let mut device = RawDevice::hello(&gateway.process.devices, "MySR6", "8A3D9FAC2A45").await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4001, "{reason}");
    assert!(reason.contains("tcode-v04"), "{reason}");
    let line = gateway.logged(&["WARN", "4001", "tcode-v04"]).await;
    assert!(line.contains("tcode-v03"), "{line}");
    assert!(line.contains("udcf protocols"), "{line}");
    let mut device = RawDevice::hello(&gateway.process.devices, "LVSDevice", "8A3D9FAC2A45").await;
    device.expect("DeviceType;").await;

    let check = common::process::command(home.path(), &["udcf", "check", file])
        .output()
        .await
        .unwrap();
    let said = [check.stdout, check.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("tcode-v04") && said.contains("tcode-v03"), "{said}");
}

/// The advice behind 4005 is that of the device's own protocol.
#[tokio::test]
async fn a_name_that_is_no_model_of_its_protocol_is_4005_with_the_names_that_are() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("my.json");
    let name = |name: &str| json!({ "communication": [{ "websocket": { "name": name } }] });
    let udcf = json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": {
            "vorze-sa": name("My UFO"), "lovense": name("LVSDevice"), "vibratissimo": name("My Toy") } },
    });
    std::fs::write(&file, udcf.to_string()).unwrap();
    let mut gateway = Gateway::start(home.path(), &["--udcf", file.to_str().unwrap()]).await;
    let mut device = RawDevice::hello(&gateway.process.devices, "My UFO", "8A3D9FAC2A45").await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4005, "{reason}");
    assert!(
        reason.contains("vorze-sa") && reason.contains("by name"),
        "{reason}"
    );
    let line = gateway
        .logged(&["WARN", "vorze-sa", "\"My UFO\"", "\"CycSA\""])
        .await;
    assert!(!line.to_lowercase().contains("lovense"), "{line}");
    // The reason for one that answers wrongly is that of its own protocol.
    for (identifier, words) in [
        ("LVSDevice", ["lovense", "Z:11:AABBCCDDEEFF;"]),
        ("My Toy", ["vibratissimo", "first frames"]),
    ] {
        let mut device = RawDevice::hello(&gateway.process.devices, identifier, "8A3D9FAC2A46").await;
        if identifier == "LVSDevice" {
            device.expect("DeviceType;").await;
            device.binary(&[0xff, 0xfe, 0x00]).await;
        }
        let (code, reason) = device.closed().await;
        assert_eq!(code, 4005, "{reason}");
        assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    }
}

#[tokio::test]
async fn faults_of_a_handshake_have_a_name_and_the_command_is_filled_in() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(home.path(), &[]).await;
    let mut device = RawDevice::connect(&gateway.process.devices).await;
    device.text(&(handshake("LVSDevice", "a") + "\0")).await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 1007);
    assert!(reason.contains("NUL"), "{reason}");
    gateway.logged(&["WARN", "NUL", "sizeof"]).await;
    let mut device = RawDevice::hello(&gateway.process.devices, "tcode-v03", "a").await;
    assert_eq!(device.closed().await.0, 4001);
    gateway
        .logged(&["WARN", "udcf add --protocol tcode-v03 --websocket tcode-v03 FILE"])
        .await;
}

/// Visitors that begin and stop cost nobody else anything, and do not stay.
#[tokio::test]
async fn visitors_that_go_on_for_ever_or_read_nothing_delay_nobody() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("gateway.toml");
    std::fs::write(&config, "[devices]\nhandshake_timeout_ms = 2000\n").unwrap();
    let gateway = Gateway::start(home.path(), &["--config", config.to_str().unwrap()]).await;
    let mut slow = Vec::new();
    for begins in ["", "G", "GET / HTTP/1.1\r\nX: ", "D", "\r\n", "DSTOP"] {
        let mut stream = TcpStream::connect(gateway.devices()).await.unwrap();
        stream.write_all(begins.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // One that sends without end and never reads: cut off, whether it is answered or not.
    let mut flood = TcpStream::connect(gateway.devices()).await.unwrap();
    let flooding = async {
        let chunk = [b'{'; 16 * 1024];
        while flood.write_all(&chunk).await.is_ok() {}
    };
    let mut head = TcpStream::connect(gateway.devices()).await.unwrap();
    let endless = async {
        let _ = head.write_all(b"GET / HTTP/1.1\r\nX: ").await;
        while head.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
    };
    let mut device = RawDevice::hello(&gateway.process.devices, "LVSDevice", "8A3D9FAC2A45").await;
    device.expect("DeviceType;").await;
    within("the floods are cut off", async {
        tokio::join!(flooding, endless)
    })
    .await;
    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = within("the connection is dropped", stream.read_to_end(&mut rest)).await;
    }
}
