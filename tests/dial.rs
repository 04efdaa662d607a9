//! Boards that listen: dialled, introduced, driven, lost and found again, on each transport.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::listener::{Knobs, Listener, Over};
use common::log::Log;
use common::model_board::{Kind, ModelBoard, UDCF};
use common::process::Process;
use common::reserved::Reserved;
use common::{Running, client, listed, settings, wait_until, within};
use mdns_sd::{ServiceDaemon, ServiceInfo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wsdm_gateway::config::{Layers, Loaded, Settings};

/// The settings that a gateway.toml comes to, on ports that the system chooses, remembering nothing.
fn configured(folder: &TempDir, toml: &str) -> Settings {
    let (file, udcf) = (
        folder.path().join("gateway.toml"),
        folder.path().join("udcf.json"),
    );
    std::fs::write(&file, toml).unwrap();
    std::fs::write(&udcf, UDCF).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).expect("a configuration that holds");
    Settings {
        dial: loaded.settings.dial,
        udcf: Some(udcf),
        ..settings()
    }
}

/// A gateway with one entry.
async fn dialling(url: &str, keys: &str) -> Running {
    let folder = TempDir::new().unwrap();
    let toml = format!("[[dial]]\nurl = {url:?}\n{keys}\n");
    Running::start(configured(&folder, &toml)).await
}

fn stroker() -> Arc<ModelBoard> {
    Arc::new(ModelBoard::new(Kind::Stroker, true))
}

const STROKER: &str = "identifier = \"ModelStroker\"\naddress = \"bench-1\"";

/// A stroke that takes long, and the vibrator at its highest: everything is on.
async fn drive(client: &ButtplugClient) {
    let device = client.devices().into_values().next().expect("a device");
    for command in [
        ClientDeviceOutputCommand::HwPositionWithDuration(1.0.into(), 20_000),
        ClientDeviceOutputCommand::Vibrate(1.0.into()),
    ] {
        within("a command", device.run_output(&command)).await.unwrap();
    }
}

/// A gateway that dials this board, and an app that has all of it running.
async fn driven(over: Over, keys: &str) -> (Running, ButtplugClient, Listener, Arc<ModelBoard>) {
    let board = stroker();
    let listener = Listener::start(over, board.clone()).await;
    let gateway = dialling(&listener.url, keys).await;
    let app = client(&gateway.clients(), "driver").await;
    listed(&app, 1).await;
    drive(&app).await;
    wait_until("it runs", || board.is_running_all()).await;
    (gateway, app, listener, board)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_board_is_driven_on_each_transport_and_at_rest_when_the_gateway_stops() {
    for over in Over::ALL {
        let (gateway, _app, _listener, board) = driven(over, STROKER).await;
        gateway.stop().await;
        wait_until(&format!("{over:?}: it is at rest"), || board.running().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_introduces_itself_on_each_transport() {
    for over in Over::ALL {
        let board = Arc::new(ModelBoard::new(Kind::Hush, true));
        let listener = Listener::start(over, board.clone()).await;
        // No newline: the end of a message, or of a datagram, is the end of the line.
        let newline = if over == Over::Tcp { "\n" } else { "" };
        let hello = format!("{{\"identifier\":\"LVSDevice\",\"address\":\"me\",\"version\":0}}{newline}");
        *listener.knobs.hello.lock().unwrap() = Some(hello);
        let gateway = dialling(&listener.url, "").await;
        let app = client(&gateway.clients(), "driver").await;
        listed(&app, 1).await;
        let hush = app.devices().into_values().next().unwrap();
        assert_eq!(hush.name(), "Lovense Hush", "{over:?}");
        assert_eq!(
            within("the battery", hush.battery()).await.unwrap(),
            85,
            "{over:?}"
        );
        common::vibrate(&app, 0.5).await;
        listener.expect("Vibrate:10;").await;
        gateway.stop().await;
        wait_until("it is at rest", || board.running().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_restarts_is_dialled_again_and_the_same_device() {
    for over in Over::ALL {
        let (gateway, app, listener, board) = driven(over, STROKER).await;
        let index = app.devices().into_keys().next().unwrap();
        let at = listener.off().await;
        // UDP is gone once the host refuses it, which the next question finds out.
        listed(&app, 0).await;
        // It runs on: what drove it is unknown to it.
        assert!(board.is_running_all());
        let listener = Listener::start_at(over, board.clone(), at, Arc::default()).await;
        listed(&app, 1).await;
        assert_eq!(app.devices().into_keys().next(), Some(index), "{over:?}");
        wait_until("it was stopped when it came back", || board.running().is_empty()).await;
        drive(&app).await;
        wait_until("it is driven again", || board.is_running_all()).await;
        gateway.stop().await;
        drop(listener);
    }
}

/// A hung loop, as with a servo library that blocks: the network stack of the board is alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_freezes_mid_stroke_is_gone_and_stopped_when_it_goes_on() {
    for over in Over::ALL {
        let folder = TempDir::new().unwrap();
        let board = stroker();
        let listener = Listener::start(over, board.clone()).await;
        let toml = format!("[[dial]]\nurl = {:?}\n{STROKER}\n", listener.url);
        let mut all = configured(&folder, &toml);
        all.devices.ping_interval = Duration::from_millis(500);
        let gateway = Running::start(all).await;
        let app = client(&gateway.clients(), "driver").await;
        listed(&app, 1).await;
        drive(&app).await;
        wait_until("it runs", || board.is_running_all()).await;
        listener.knobs.frozen.store(true, Ordering::Relaxed);
        listed(&app, 0).await;
        assert!(
            board.is_running_all(),
            "{over:?}: nothing reaches a loop that hangs"
        );
        listener.knobs.frozen.store(false, Ordering::Relaxed);
        wait_until(&format!("{over:?}: it is stopped"), || board.running().is_empty()).await;
        listed(&app, 1).await;
        gateway.stop().await;
    }
}

/// Everything that the app sent while the board took nothing is stale when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_takes_nothing_for_a_second_is_not_sent_what_it_missed() {
    for over in Over::ALL {
        let (gateway, app, listener, board) = driven(over, STROKER).await;
        // It is known to answer.
        wait_until("it was asked", || {
            over == Over::Websocket || listener.knobs.count("D1\n") > 0
        })
        .await;
        let device = app.devices().into_values().next().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        listener.knobs.frozen.store(true, Ordering::Relaxed);
        let before = board.commands().len();
        for n in 0..60 {
            let to = f64::from(n % 10) / 10.0;
            let step = ClientDeviceOutputCommand::HwPositionWithDuration(to.into(), 20);
            let device = device.clone();
            tokio::spawn(async move { device.run_output(&step).await });
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        listener.knobs.frozen.store(false, Ordering::Relaxed);
        wait_until("the last one arrives", || board.commands().len() > before).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let stale = board.commands().len() - before;
        println!("{over:?}: {stale} of 60 commands arrived after a second without");
        assert!(stale <= 25, "{over:?}: {stale} stale commands");
        gateway.stop().await;
        wait_until("it is at rest", || board.running().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_comes_back_and_the_board_is_stopped_first() {
    for over in [Over::Websocket, Over::Tcp] {
        let (gateway, app, listener, board) = driven(over, STROKER).await;
        listener.knobs.cut();
        wait_until("it is dialled again", || {
            listener.knobs.connections.load(Ordering::Relaxed) == 2
        })
        .await;
        wait_until("it is stopped", || board.running().is_empty()).await;
        listed(&app, 1).await;
        gateway.stop().await;
    }
}

/// Of three datagrams with a stop two may be lost, and motion that follows a stop is not undone by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_is_lost_is_sent_again_over_udp() {
    let (gateway, app, listener, board) = driven(Over::Udp, STROKER).await;
    let device = app.devices().into_values().next().unwrap();
    // The library's own stop, and the gateway's.
    listener.knobs.lose.store(1, Ordering::Relaxed);
    let off = ClientDeviceOutputCommand::Vibrate(0.0.into());
    within("a command", device.run_output(&off)).await.unwrap();
    wait_until("the vibrator is off", || !board.running().contains("V1")).await;
    // A lost stop is not repeated over newer motion.
    let on = ClientDeviceOutputCommand::Vibrate(0.5.into());
    within("a command", device.run_output(&off)).await.unwrap();
    within("a command", device.run_output(&on)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(board.running().contains("V1"), "{}", board.running());
    // The same when the gateway stops: of the first stop nothing arrives.
    listener.knobs.lose.store(2, Ordering::Relaxed);
    gateway.stop().await;
    wait_until("it is at rest", || board.running().is_empty()).await;
}

/// Nothing is known of a board that answers nothing: it stays, and its stops are repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_never_answers_over_udp_is_kept_and_stopped() {
    let board = stroker();
    let listener = Listener::start(Over::Udp, board.clone()).await;
    listener.knobs.mute.store(true, Ordering::Relaxed);
    let gateway = dialling(&listener.url, STROKER).await;
    let app = client(&gateway.clients(), "driver").await;
    listed(&app, 1).await;
    drive(&app).await;
    wait_until("it runs", || board.is_running_all()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(app.devices().len(), 1);
    assert_eq!(listener.knobs.connections.load(Ordering::Relaxed), 1);
    let before = listener.knobs.count("DSTOP\n");
    within("a goodbye", app.disconnect()).await.unwrap();
    wait_until("it is at rest", || board.running().is_empty()).await;
    wait_until("each stop was sent three times", || {
        listener.knobs.count("DSTOP\n") >= before + 3
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_fills_in_what_is_known_of_a_firmware() {
    // On their own ports such boards cannot be in a test: the port is overridden, and the rest is the preset's.
    for (preset, udp) in [
        ("tcode-esp32", false),
        ("slopdrive-32", false),
        ("tcode-esp32", true),
    ] {
        let board = stroker();
        let over = if udp { Over::Udp } else { Over::Websocket };
        let listener = Listener::start(over, board.clone()).await;
        let scheme = if udp { "udp" } else { "ws" };
        let gateway = dialling(
            &format!("{scheme}://{}", listener.at),
            &format!("preset = {preset:?}\nidentifier = \"ModelStroker\""),
        )
        .await;
        let app = client(&gateway.clients(), "driver").await;
        listed(&app, 1).await;
        drive(&app).await;
        wait_until("it runs", || board.is_running_all()).await;
        gateway.stop().await;
        wait_until("it is at rest", || board.running().is_empty()).await;
    }
}

/// A machine with TCodeESP32, as its source has it: it takes text messages alone, wraps its answers in JSON, and sends
/// lines of its log in between. Returns where it listens, and what it was sent.
async fn esp32(
    lists_axes: bool,
) -> (
    SocketAddr,
    Arc<std::sync::Mutex<String>>,
    tokio::task::JoinHandle<()>,
) {
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let sent = Arc::new(std::sync::Mutex::new(String::new()));
    let seen = sent.clone();
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut ws) = tokio_tungstenite::accept_async(tcp).await else {
                continue;
            };
            while let Some(Ok(message)) = ws.next().await {
                let Message::Text(text) = message else {
                    if message.is_binary() {
                        let _ = ws.send(Message::binary("I got your binary message")).await;
                    }
                    continue;
                };
                seen.lock().unwrap().push_str(&text);
                let answer = match text.trim() {
                    "D0" => "TCodeESP32 v0.5",
                    "D1" => "TCode v0.3\n",
                    "D2" if lists_axes => {
                        "L0 0 9999 Up\nL1 0 9999 Forward\nL2 0 9999 Left\nR0 0 9999 Twist\nR1 2000 8000 Roll\nR2 0 9999 Pitch\n"
                    }
                    _ => continue,
                };
                for (command, message) in [("debug", "Websocket tcode in"), ("tcode", answer)] {
                    let json = serde_json::json!({ "command": command, "message": message });
                    let _ = ws.send(Message::text(json.to_string())).await;
                }
            }
        }
    });
    (at, sent, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_answers_in_json_offers_all_its_axes_with_a_preset_and_without() {
    for (keys, lists_axes, features) in [
        ("frames = \"text\"", true, 6),
        ("preset = \"tcode-esp32\"", true, 6),
        // What it is follows from the preset.
        ("preset = \"tcode-esp32\"", false, 1),
    ] {
        let (at, sent, task) = esp32(lists_axes).await;
        let folder = TempDir::new().unwrap();
        let toml = format!("[[dial]]\nurl = \"ws://{at}/ws\"\n{keys}\n");
        let gateway = Running::start(Settings {
            udcf: None,
            ..configured(&folder, &toml)
        })
        .await;
        let app = client(&gateway.clients(), "driver").await;
        listed(&app, 1).await;
        let device = app.devices().into_values().next().unwrap();
        assert_eq!(device.device_features().len(), features, "{keys}: {device:?}");
        let sent = || sent.lock().unwrap().clone();
        // It may run from before.
        assert!(sent().contains("DSTOP"), "{keys}: {}", sent());
        if keys.starts_with("preset") {
            assert!(sent().starts_with("DSTOP"), "{keys}: {}", sent());
        }
        for feature in device.device_features().values() {
            let step = ClientDeviceOutputCommand::HwPositionWithDuration(0.9.into(), 100);
            within("a command", feature.run_output(&step)).await.unwrap();
        }
        let last = if features == 6 { "R2" } else { "L0" };
        wait_until("the last axis moves", || sent().contains(last)).await;
        gateway.stop().await;
        task.abort();
    }
}

/// A CA of its own, its file, and what a board needs to be a TLS server.
fn certificate(folder: &TempDir) -> TlsAcceptor {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_with_a_certificate_is_driven_over_wss() {
    let folder = TempDir::new().unwrap();
    let acceptor = certificate(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let board = stroker();
    let there = board.clone();
    let task = tokio::spawn(async move {
        let knobs = Knobs::default();
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(tls) = acceptor.accept(tcp).await {
                common::listener::websocket(tls, &there, &knobs).await;
            }
        }
    });
    let toml = format!(
        "[[dial]]\nurl = \"wss://localhost:{port}/ws\"\nca = \"ca.pem\"\nframes = \"text\"\n{STROKER}\n"
    );
    let gateway = Running::start(configured(&folder, &toml)).await;
    let app = client(&gateway.clients(), "driver").await;
    listed(&app, 1).await;
    drive(&app).await;
    wait_until("it runs", || board.is_running_all()).await;
    gateway.stop().await;
    wait_until("it is at rest", || board.running().is_empty()).await;
    task.abort();
}

/// A websocket library for Arduino names a subprotocol that nobody asked for, which strict clients refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_names_a_subprotocol_unasked_is_taken() {
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            #[allow(clippy::result_large_err, reason = "the library's callback type")]
            let name = |_: &Request, mut response: Response| {
                let headers = response.headers_mut();
                headers.insert("Sec-WebSocket-Protocol", "arduino".parse().unwrap());
                Ok(response)
            };
            if let Ok(mut ws) = tokio_tungstenite::accept_hdr_async(tcp, name).await {
                while futures::StreamExt::next(&mut ws).await.is_some_and(|m| m.is_ok()) {}
            }
        }
    });
    let gateway = dialling(&format!("ws://{at}"), STROKER).await;
    let app = client(&gateway.clients(), "driver").await;
    listed(&app, 1).await;
    gateway.stop().await;
    task.abort();
}

/// Whether what is sent to a group is heard here at all: a machine may be on no network, or on one without multicast.
async fn multicast_works() -> std::io::Result<()> {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let other = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    other.join_multicast_v4(group, Ipv4Addr::UNSPECIFIED)?;
    let sender = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    sender
        .send_to(b"hello", (group, other.local_addr()?.port()))
        .await?;
    tokio::time::timeout(Duration::from_secs(5), other.recv_from(&mut [0; 8])).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boards_are_found_by_their_service_and_by_their_name() {
    if let Err(e) = multicast_works().await {
        println!("NOT RUN: this machine has no multicast: {e}");
        return;
    }
    let board = stroker();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let udp = Listener::start_at(Over::Udp, board.clone(), any, Arc::default()).await;
    let daemon = ServiceDaemon::new().unwrap();
    // A service of this test's own: other tests of this machine are on the same network.
    let kind = format!("_t{:05}._udp", std::process::id() % 100_000);
    let host = format!("wsdm-test-{}.local.", std::process::id());
    let announce = |name: &str| {
        let none: Option<std::collections::HashMap<String, String>> = None;
        let service = ServiceInfo::new(&format!("{kind}.local."), name, &host, "", udp.at.port(), none);
        daemon.register(service.unwrap().enable_addr_auto()).unwrap();
    };
    announce("my stroker");
    let gateway = dialling(
        &format!("mdns:{kind}"),
        "identifier = \"ModelStroker\"\naddress = \"found-\"",
    )
    .await;
    let app = client(&gateway.clients(), "driver").await;
    listed(&app, 1).await;
    drive(&app).await;
    wait_until("it runs", || board.is_running_all()).await;
    gateway.stop().await;
    wait_until("it is at rest", || board.running().is_empty()).await;
    // By the host's name, which the system's resolver does not know here.
    let name = host.trim_end_matches('.');
    let gateway = dialling(&format!("udp://{name}:{}", udp.at.port()), STROKER).await;
    let app = client(&gateway.clients(), "driver").await;
    listed(&app, 1).await;
    gateway.stop().await;
    // Another name is not dialled.
    let gateway = dialling(&format!("mdns:yours.{kind}"), STROKER).await;
    let app = client(&gateway.clients(), "driver").await;
    announce("yours");
    listed(&app, 1).await;
    gateway.stop().await;
    let _ = daemon.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_leaves_a_board_at_rest_that_the_command_line_named() {
    for over in Over::ALL {
        let board = Arc::new(ModelBoard::new(Kind::Hush, true));
        let listener = Listener::start(over, board.clone()).await;
        *listener.knobs.hello.lock().unwrap() =
            Some("{\"identifier\":\"LVSDevice\",\"address\":\"me\",\"version\":0}\n".to_owned());
        let home = TempDir::new().unwrap();
        let mut gateway = Process::start(home.path(), &["--dial", &listener.url]).await;
        let app = client(&gateway.clients, "driver").await;
        listed(&app, 1).await;
        common::vibrate(&app, 1.0).await;
        wait_until("it runs", || board.is_running_all()).await;
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.exit_code().await, Some(0), "{over:?}");
        wait_until("it is at rest", || board.running().is_empty()).await;
    }
}

/// What a tester mixes up: each combination of a url and of what is there. Every line names the url that is meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_with_the_wrong_scheme_is_answered_with_the_right_one() {
    let folder = TempDir::new().unwrap();
    let acceptor = certificate(&folder);
    let secure = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secure_at = secure.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        while let Ok((tcp, _)) = secure.accept().await {
            let acceptor = acceptor.clone();
            tasks.spawn(async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    common::listener::websocket(tls, &stroker(), &Knobs::default()).await;
                }
            });
        }
    });
    let websocket = Listener::start(Over::Websocket, stroker()).await;
    let tcp = Listener::start(Over::Tcp, stroker()).await;
    let udp = Listener::start(Over::Udp, stroker()).await;
    let (ws, tcp, udp) = (websocket.at, tcp.at, udp.at);
    let cases = [
        (format!("tcp://{ws}"), format!("ws://{ws}/ws")),
        (format!("wss://{ws}/ws"), format!("ws://{ws}/ws")),
        (format!("udp://{ws}"), format!("ws://{ws}/ws")),
        (format!("ws://{tcp}/ws"), format!("tcp://{tcp}")),
        (format!("wss://{tcp}/ws"), format!("tcp://{tcp}")),
        (format!("udp://{tcp}"), format!("tcp://{tcp}")),
        (format!("ws://{secure_at}/ws"), format!("wss://{secure_at}/ws")),
        (format!("tcp://{secure_at}"), format!("wss://{secure_at}/ws")),
        (format!("tcp://{udp}"), format!("udp://{udp}")),
        (format!("ws://{udp}/ws"), format!("udp://{udp}")),
    ];
    let tries = cases.iter().flat_map(|(url, meant)| {
        ["", "identifier = \"TCodeDevice\""].map(|keys| async move {
            let meant = format!("its url is {meant}");
            let line = logged(url, keys, &["WARN", "is spoken there", &meant]).await;
            assert!(line.contains(url.trim_end_matches("/ws")), "{line}");
        })
    });
    // Each is a process that computes for a second before it is ready.
    futures::StreamExt::for_each_concurrent(futures::stream::iter(tries), 4, |one| one).await;
    task.abort();
}

/// The device is not listed again and again, the line is not repeated, and the board is used once it is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_far_end_that_is_no_board_is_reported_once_and_never_moved() {
    let board = stroker();
    let websocket = Listener::start(Over::Websocket, board.clone()).await;
    let home = TempDir::new().unwrap();
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, format!("[[dial]]\nurl = \"tcp://{}\"\n", websocket.at)).unwrap();
    let mut gateway = Process::start(home.path(), &["--config", file.to_str().unwrap()]).await;
    let mut log = Log::of(&mut gateway.child);
    // The first try, the look at what is there, and the look before the next try.
    wait_until("it is tried again", || {
        websocket.knobs.connections.load(Ordering::Relaxed) >= 3
    })
    .await;
    gateway.signal(Signal::TERM);
    let lines = log.rest().await;
    let times = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(times("is spoken there"), 1, "{lines:#?}");
    assert!(board.commands().is_empty(), "{:?}", board.commands());
}

/// The line with all these words in the log of a gateway with this entry.
async fn logged(url: &str, keys: &str, words: &[&str]) -> String {
    let home = TempDir::new().unwrap();
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, format!("[[dial]]\nurl = {url:?}\n{keys}\n")).unwrap();
    let mut gateway = Process::start(home.path(), &["--config", file.to_str().unwrap()]).await;
    Log::of(&mut gateway.child).expect(words).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_cannot_be_reached_or_refuses_is_in_the_log_with_what_to_do() {
    let nobody = Reserved::default();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, nobody.port()));
    for (url, words) in [
        (
            format!("tcp://{free}"),
            ["WARN", "dial tcp://", "cannot be reached", "is the port right"],
        ),
        (
            format!("ws://{free}"),
            ["WARN", "dial ws://", "cannot be reached", "is the port right"],
        ),
        (
            format!("udp://{free}"),
            ["WARN", "dial udp://", "cannot be reached", "is the port right"],
        ),
        (
            "tcp://no-such-board.invalid:1".to_owned(),
            ["WARN", "dial tcp://", "cannot be reached", "is the"],
        ),
    ] {
        logged(&url, STROKER, &words).await;
    }
    // Something else listens there.
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = http.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = http.accept().await {
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
            let _ = tcp.write_all(answer).await;
            let _ = tokio::io::AsyncReadExt::read(&mut tcp, &mut [0; 1024]).await;
        }
    });
    logged(
        &format!("ws://{at}/x"),
        STROKER,
        &["WARN", "404", "Many boards have their websocket at /ws"],
    )
    .await;
    task.abort();
    // An identifier that the configuration does not know.
    let listener = Listener::start(Over::Tcp, stroker()).await;
    logged(
        &listener.url,
        "identifier = \"Nobody\"",
        &["WARN", "dial tcp://", "Nobody"],
    )
    .await;
    // A board that says nothing of itself.
    let silent = Listener::start(Over::Udp, stroker()).await;
    silent.knobs.mute.store(true, Ordering::Relaxed);
    logged(
        &silent.url,
        "",
        &["WARN", "dial udp://", "no hello line", "needs an identifier"],
    )
    .await;
}
