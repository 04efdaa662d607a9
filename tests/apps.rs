//! What an app's developer meets: where the gateway can be reached, and what the log reports about messages that it refuses.
#![cfg(unix)]

mod common;

use std::net::SocketAddr;
use std::path::Path;

use common::json_client::JsonClient;
use common::log::Log;
use common::process::{Process, command};
use common::{RawDevice, Running, client, listed, settings, within};
use futures::{SinkExt, StreamExt};
use mdns_sd::{ServiceDaemon, ServiceEvent};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use wsdm_gateway::net::listen::{Listen, Place};

type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(url: &str) -> Ws {
    within("the websocket opens", connect_async(url))
        .await
        .expect("an open port")
        .0
}

/// Sends a text and returns the first message of the answer.
async fn ask(ws: &mut Ws, text: &str) -> Value {
    ws.send(Message::text(text)).await.expect("an open socket");
    within("an answer", async {
        loop {
            if let Message::Text(text) = ws.next().await.expect("open").expect("a message") {
                let messages: Value = serde_json::from_str(&text).expect("JSON");
                return messages[0].clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_object_without_its_array_and_a_nul_after_a_message_are_named_in_the_error() {
    let home = TempDir::new().expect("a directory");
    let mut gateway = Process::start(home.path(), &[]).await;
    let mut log = Log::of(&mut gateway.child);
    let mut ws = open(&gateway.clients).await;
    let hello = json!({"RequestServerInfo": {"Id": 1, "ClientName": "C", "MessageVersion": 3}});
    let error = ask(&mut ws, &hello.to_string()).await["Error"].clone();
    assert_eq!(error["Id"], 1, "{error}");
    let text = error["ErrorMessage"].as_str().expect("a text");
    // The library's types are JSON within the text.
    let text = text.replace("\\\"", "\"");
    assert!(
        text.contains(&format!("messages come in an array: send [{hello}]")),
        "{text}"
    );
    log.expect(&["WARN", "messages come in an array", "[{\"RequestServerInfo\":"])
        .await;
    for (sent, wanted) in [("[]", "no message"), ("7", "not an array"), (" ", "nothing")] {
        let error = ask(&mut ws, sent).await["Error"].clone();
        assert!(
            error["ErrorMessage"]
                .as_str()
                .is_some_and(|text| text.contains(wanted)),
            "{sent:?}: {error}"
        );
    }
    // The message before the NUL is understood.
    let answer = ask(&mut ws, &format!("[{hello}]\0")).await;
    assert!(answer["ServerInfo"].is_object(), "{answer}");
    let line = log.expect(&["WARN", "NUL", "sizeof"]).await;
    assert!(line.contains("app \"C\""), "{line}");
}

#[tokio::test]
async fn a_refused_message_is_in_the_log_with_the_app_and_the_reason_and_then_counted() {
    let home = TempDir::new().expect("a directory");
    let mut gateway = Process::start(home.path(), &[]).await;
    let mut log = Log::of(&mut gateway.child);
    let mut ws = open(&gateway.clients).await;
    let hello = json!([{"RequestServerInfo":
        {"Id": 1, "ClientName": "Stroke\nr", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": 0}}]);
    assert!(ask(&mut ws, &hello.to_string()).await["ServerInfo"].is_object());
    // A command that version 4 does not have, and one for a device that is not there, with another number each time.
    for id in 2..6 {
        let unknown = json!([{"NoSuchCmd": {"Id": id}}]);
        assert_eq!(ask(&mut ws, &unknown.to_string()).await["Error"]["Id"], id);
    }
    for device in 7..9 {
        let command = json!([{"OutputCmd":
            {"Id": 9, "DeviceIndex": device, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 1}}}}]);
        assert_eq!(ask(&mut ws, &command.to_string()).await["Error"]["Id"], 9);
    }
    assert_eq!(ask(&mut ws, "not JSON").await["Error"]["Id"], 0);
    ws.close(None).await.expect("an open socket");
    let name = r#"app "Stroke\nr""#;
    let line = log.expect(&["WARN", "refused NoSuchCmd", name]).await;
    assert!(line.contains("NoSuchCmd`"), "the reason: {line}");
    log.expect(&["WARN", "refused OutputCmd", name, "index 7"]).await;
    log.expect(&["WARN", "refused a message", name, "not JSON"]).await;
    // In no particular order, when the app leaves.
    log.expect(&["client left"]).await;
    for words in [
        ["WARN", "3 more times", "NoSuchCmd", name],
        ["WARN", "1 more time ", "OutputCmd", name],
    ] {
        let fits = |line: &&String| words.iter().all(|word| line.contains(word));
        assert_eq!(
            log.seen.iter().filter(fits).count(),
            1,
            "{words:?} in\n{}",
            log.text()
        );
    }
    let refusals = log.seen.iter().filter(|line| line.contains("refused"));
    assert_eq!(refusals.count(), 5, "{}", log.text());

    // The same app and the same mistakes once more: counted, and not reported again at once.
    let mut ws = open(&gateway.clients).await;
    ask(&mut ws, &hello.to_string()).await;
    ask(&mut ws, r#"[{"NoSuchCmd": {"Id": 2}}]"#).await;
    ws.close(None).await.expect("an open socket");
    log.expect(&["client left"]).await;
    let refusals = log.seen.iter().filter(|line| line.contains("refused"));
    assert_eq!(refusals.count(), 5, "{}", log.text());
}

#[tokio::test]
async fn a_handshake_with_a_wrong_field_is_answered_and_logged_with_that_field() {
    let home = TempDir::new().expect("a directory");
    let mut gateway = Process::start(home.path(), &[]).await;
    let mut log = Log::of(&mut gateway.child);
    let mut ws = open(&gateway.clients).await;
    for (body, field, value) in [
        (
            json!({"Id": 1, "ClientName": "a", "ProtocolVersionMajor": "4", "ProtocolVersionMinor": 0}),
            "ProtocolVersionMajor",
            r#""4""#,
        ),
        (
            json!({"Id": 1, "ClientName": "a", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": "0"}),
            "ProtocolVersionMinor",
            r#""0""#,
        ),
        (
            json!({"Id": 1, "ClientName": "a", "MessageVersion": "3"}),
            "MessageVersion",
            r#""3""#,
        ),
        (
            json!({"Id": 0, "ClientName": "a", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": 0}),
            "Id",
            "0",
        ),
        (json!({"Id": 1, "MessageVersion": 3}), "ClientName", "no "),
    ] {
        let answer = ask(&mut ws, &json!([{ "RequestServerInfo": body }]).to_string()).await;
        let error = &answer["Error"];
        assert_eq!(
            (&error["Id"], &error["ErrorCode"]),
            (&body["Id"], &json!(3)),
            "{answer}"
        );
        let why = error["ErrorMessage"].as_str().expect("a reason");
        // On the wire the library's texts are JSON within JSON.
        let why = why.replace('\\', "");
        assert!(why.contains(field) && why.contains(value), "{body}: {why}");
        // An app that has not given its name in a handshake is called by its address, or by the name it gave before.
        log.expect(&["WARN", "refused RequestServerInfo", field, value])
            .await;
    }
    // It stays connected, and may do better.
    let hello = json!([{"RequestServerInfo": {"Id": 1, "ClientName": "a", "MessageVersion": 3}}]);
    assert!(ask(&mut ws, &hello.to_string()).await["ServerInfo"].is_object());
}

/// `run` with these arguments and no others.
async fn run(home: &Path, args: &[&str]) -> Process {
    Process::spawn(command(home, &[&["run"], args].concat())).await
}

fn on(url: &str, host: &str) -> String {
    let port = url.rsplit(':').next().expect("a port");
    format!("ws://{host}:{port}")
}

fn has_ipv6() -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        println!("not run: this host has no IPv6");
    }
    has
}

#[tokio::test]
async fn both_loopback_addresses_are_listened_on_by_default() {
    if !has_ipv6() {
        return;
    }
    let home = TempDir::new().expect("a directory");
    // The default's form, on ports that the system chooses.
    let args = ["--device-listen", "localhost:0", "--client-listen", ":0"];
    let mut gateway = run(home.path(), &args).await;
    let mut log = Log::of(&mut gateway.child);
    log.expect(&[
        "devices: 127.0.0.1:",
        "and [::1]:",
        "reachable from this machine only",
    ])
    .await;
    log.expect(&["Buttplug clients: 127.0.0.1:", "and [::1]:", "this machine only"])
        .await;
    let mut devices = Vec::new();
    for (host, other, address) in [
        ("127.0.0.1", "[::1]", "000000000001"),
        ("[::1]", "127.0.0.1", "000000000002"),
    ] {
        let app = client(&on(&gateway.clients, host), "app").await;
        devices.push(RawDevice::lovense(&on(&gateway.devices, other), address).await);
        listed(&app, devices.len()).await;
    }
}

#[tokio::test]
async fn several_addresses_are_listened_on_as_one_port() {
    let home = TempDir::new().expect("a directory");
    let args = [
        "--device-listen",
        "127.0.0.1:0,0.0.0.0:0",
        "--client-listen",
        "127.0.0.2:0",
        "--client-listen",
        "127.0.0.1:0",
        "--json",
    ];
    let mut child = command(home.path(), &[&["run"], &args[..]].concat())
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = within("the ready line", stdout.next_line())
        .await
        .expect("a line");
    let ready: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    let urls = |key: &str| -> Vec<String> {
        let urls = ready[key].as_array().expect("a list");
        urls.iter()
            .map(|url| url.as_str().expect("a URL").to_owned())
            .collect()
    };
    let (devices, clients) = (urls("device_addresses"), urls("client_addresses"));
    assert_eq!((devices.len(), clients.len()), (2, 2), "{ready}");
    assert_eq!(
        (&ready["devices"], &ready["clients"]),
        (&json!(devices[0]), &json!(clients[0]))
    );
    assert!(
        clients[0].contains("127.0.0.2") && clients[1].contains("127.0.0.1"),
        "{ready}"
    );
    let apps = [client(&clients[0], "one").await, client(&clients[1], "two").await];
    let _one = RawDevice::lovense(&devices[0], "000000000001").await;
    let _two = RawDevice::lovense(&on(&devices[1], "127.0.0.1"), "000000000002").await;
    for app in &apps {
        listed(app, 2).await;
    }
    // The log reports who can reach it, for each kind.
    child.start_kill().expect("running");
    let mut log = Log::of(&mut child);
    let lines = log.rest().await;
    let all = lines.join("\n");
    assert!(
        all.contains("reachable from this machine only") && all.contains("0.0.0.0:"),
        "{all}"
    );
    let network = lines
        .iter()
        .find(|line| line.contains("everybody on the network"));
    assert!(
        network.is_some_and(|line| line.contains("devices: 0.0.0.0:")),
        "{all}"
    );
}

#[tokio::test]
async fn an_address_that_was_given_is_bound_or_named_with_what_to_do() {
    let home = TempDir::new().expect("a directory");
    for flag in ["--device-listen", "--client-listen"] {
        // An address of no machine, behind one that can be had.
        let args = ["run", flag, "127.0.0.1:0", flag, "192.0.2.1:23456"];
        let output = within("it ends", command(home.path(), &args).output())
            .await
            .expect("run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("192.0.2.1:23456") && stderr.contains(flag),
            "{stderr}"
        );
        assert!(
            stderr.contains("this machine has no address 192.0.2.1"),
            "{stderr}"
        );
    }
}

/// In a network of its own, whose IPv6 is switched off; that needs a kernel that lets this user have one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_without_ipv6_is_listened_on_all_the_same() {
    use std::process::Stdio;
    use tokio::process::Command;

    let without = "ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
    let Some(inside) = common::namespace::of_our_own(without).await else {
        return;
    };
    let home = TempDir::new().expect("a directory");
    let program = |args: &[&str]| {
        let mut command = Command::new(&inside[0]);
        command
            .args(&inside[1..])
            .arg(env!("CARGO_BIN_EXE_wsdm-gateway"))
            .args(args);
        command
            .env("HOME", home.path())
            .env("XDG_STATE_HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    };
    // The real defaults: in there nobody else has the ports.
    let mut gateway = Process::spawn(program(&["run", "-v"])).await;
    assert_eq!(gateway.clients, "ws://127.0.0.1:12345");
    assert_eq!(gateway.devices, "ws://127.0.0.1:54817");
    let mut log = Log::of(&mut gateway.child);
    log.expect(&["DEBUG", "this host has no ::1"]).await;
    log.expect(&["devices: 127.0.0.1:54817, reachable"]).await;
    let given = within(
        "it ends",
        program(&["run", "--client-listen", "[::1]:12345"]).output(),
    );
    let given = given.await.expect("run");
    let stderr = String::from_utf8_lossy(&given.stderr);
    assert_eq!(given.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("[::1]:12345") && stderr.contains("--client-listen"),
        "{stderr}"
    );
}

/// A line of intiface-engine as guides and services have it.
#[tokio::test]
async fn a_line_of_intiface_engine_starts_with_one_line_on_what_it_means_here() {
    let home = TempDir::new().expect("a directory");
    let args = [
        "--websocket-port",
        "0",
        "--use-bluetooth-le",
        "--use-serial",
        "--server-name",
        "Engine",
        "--use-device-websocket-server",
        "--device-websocket-server-port",
        "0",
        "--allow-v4-spec",
        "--log",
        "debug",
    ];
    let mut gateway = Process::spawn(command(home.path(), &args)).await;
    assert!(
        gateway.clients.starts_with("ws://127.0.0.1:"),
        "{}",
        gateway.clients
    );
    let app = client(&gateway.clients, "app").await;
    assert_eq!(app.server_name(), Some("Engine".to_owned()));
    let mut log = Log::of(&mut gateway.child);
    gateway.signal(Signal::TERM);
    let lines = log.rest().await;
    let theirs: Vec<_> = lines.iter().filter(|line| line.contains("--use-")).collect();
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    assert!(
        theirs[0].contains("--use-bluetooth-le: ")
            && theirs[0].contains("[[ble]]")
            && theirs[0].contains("[[serial]]"),
        "{theirs:?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("DEBUG")),
        "--log debug: {lines:?}"
    );
    assert!(!lines.iter().any(|line| line.contains("xinput")), "{lines:?}");
}

/// The port of the service `kind` whose announcement says `port`, as an app finds it.
async fn found_by_mdns(kind: &str, port: u16, text: &[(&str, &str)]) {
    let daemon = ServiceDaemon::new().expect("a socket");
    let events = daemon.browse(kind).expect("browsing");
    within("the announcement", async {
        loop {
            let event = events.recv_async().await.expect("the daemon runs");
            if let ServiceEvent::ServiceResolved(service) = event
                && service.get_port() == port
            {
                assert!(!service.get_addresses().is_empty());
                for (key, value) in text {
                    assert_eq!(service.get_property_val_str(key), Some(*value));
                }
                return;
            }
        }
    })
    .await;
    let _ = daemon.shutdown();
}

#[tokio::test]
async fn apps_and_boards_find_a_gateway_that_announces_itself() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let mut both = settings();
    both.devices.announce = true;
    both.clients.announce = true;
    let listen = Listen::new(vec![Place::Localhost(0), everywhere.into()]).expect("places");
    (both.devices.listen, both.clients.listen) = (listen.clone(), listen);
    let gateway = Running::start(both).await;
    let network = |addresses: &[SocketAddr]| addresses.last().expect("an address").port();
    tokio::join!(
        found_by_mdns(
            "_intiface_engine._tcp.local.",
            network(&gateway.bound.client_addresses),
            &[("path", "/")]
        ),
        found_by_mdns("_wsdm._tcp.local.", network(&gateway.bound.device_addresses), &[]),
    );
    gateway.stop().await;
}

#[tokio::test]
async fn an_announcement_that_nobody_could_use_is_not_made_and_that_is_logged() {
    let home = TempDir::new().expect("a directory");
    let mut gateway = Process::start(home.path(), &["--broadcast-server-mdns"]).await;
    let mut log = Log::of(&mut gateway.child);
    log.expect(&["WARN", "apps on the network", "--client-listen 0.0.0.0:"])
        .await;
}

/// A published client sends these in a session of version 4, and others in sessions of older versions.
#[tokio::test]
async fn a_stop_of_another_version_stops() {
    let gateway = Running::start(settings()).await;
    let mut device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    let mut older = JsonClient::connect(&gateway.clients(), 3).await;
    let vibrate =
        json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": { "Vibrate": { "Value": 10 } } });
    for (is_older, name, fields) in [
        (false, "StopDeviceCmd", json!({ "DeviceIndex": index })),
        (false, "StopAllDevices", json!({})),
        (false, "StopCmd", json!({ "DeviceIndex": null })),
        (true, "StopCmd", json!({ "DeviceIndex": index })),
        (
            true,
            "StopDeviceCmd",
            json!({ "DeviceIndex": index, "Why": "a key of its own" }),
        ),
    ] {
        app.call("OutputCmd", vibrate.clone()).await;
        device.expect("Vibrate:10;").await;
        let sender = if is_older { &mut older } else { &mut app };
        let reply = sender.call(name, fields).await;
        assert!(reply["Ok"].is_object(), "{name}: {reply}");
        device.expect("Vibrate:0;").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_with_its_message() {
    let gateway = Running::start(settings()).await;
    for version in 1..=3 {
        let mut app = JsonClient::connect(&gateway.clients(), version).await;
        let vectors = json!([{ "Index": 0, "Position": 0.5 }]);
        let reply = app
            .call("LinearCmd", json!({ "DeviceIndex": 0, "Vectors": vectors }))
            .await;
        let why = reply["Error"]["ErrorMessage"].as_str().unwrap_or_default();
        assert!(
            why.contains("LinearCmd: missing field `Duration`"),
            "version {version}: {why}"
        );
        let reply = app.call("StopDeviceCmd", json!({})).await;
        let why = reply["Error"]["ErrorMessage"].as_str().unwrap_or_default();
        assert!(
            why.contains("StopDeviceCmd: missing field `DeviceIndex`"),
            "version {version}: {why}"
        );
    }
    gateway.stop().await;
}
