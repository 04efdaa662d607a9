//! Devices that are given to a Websocket Device Manager server elsewhere: another gateway, or the reference.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::path::Path;
#[cfg(unix)]
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
#[cfg(unix)]
use common::process::Process;
#[cfg(unix)]
use common::pty::Board;
use common::reference::Reference;
use common::reserved::Reserved;
use common::{
    RawDevice, Running, client, handshake, listed, relaying, settings, vibrate, wait_until, within,
};
use futures::{SinkExt, StreamExt};
#[cfg(unix)]
use rustix::process::Signal;
#[cfg(unix)]
use tokio::net::TcpSocket;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};
#[cfg(unix)]
use wsdm_gateway::config::{ControlAt, Layers, Loaded};
use wsdm_gateway::config::{Settings, UpstreamSettings};
#[cfg(unix)]
use wsdm_gateway::web::control::client::Client;

/// A device that vibrates at a command of this client, and whose battery this client reads.
async fn drive(client: &ButtplugClient, device: &mut RawDevice) {
    listed(client, 1).await;
    vibrate(client, 0.5).await;
    device.expect("Vibrate:10;").await;
    let hush = client.devices().into_values().next().expect("a device");
    let battery = tokio::spawn(hush.battery());
    device.expect("Battery;").await;
    device.binary(b"90;").await;
    let battery = within("the battery", battery).await.expect("no panic");
    assert_eq!(battery.expect("an answer"), 90);
}

#[tokio::test]
async fn three_gateways_in_a_chain_carry_frames_both_ways() {
    let last = Running::start(settings()).await;
    let middle = Running::start(relaying(&last.devices())).await;
    let first = Running::start(relaying(&middle.devices())).await;
    assert_eq!(
        first.bound.clients, None,
        "no port for clients where devices are relayed"
    );
    let client = client(&last.clients(), "driver").await;
    let mut device = RawDevice::lovense(&first.devices(), "8A3D9FAC2A45").await;
    drive(&client, &mut device).await;
    // It goes without a word, as a board that loses its power.
    drop(device);
    listed(&client, 0).await;
    first.stop().await;
    middle.stop().await;
    last.stop().await;
}

#[tokio::test]
async fn what_a_device_says_before_upstream_is_there_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Running::start(relaying(&format!("ws://{}", listener.local_addr().unwrap()))).await;
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "1").await;
    device.binary(b"early;").await;
    let (stream, _) = within("it is dialled", listener.accept()).await.unwrap();
    // By now the gateway has the frame, and no connection that takes it.
    device.binary(b"bird;").await;
    let mut upstream = tokio_tungstenite::accept_async(stream).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let message = within("a message", upstream.next()).await.unwrap().unwrap();
        if message.is_text() || message.is_binary() {
            seen.push(message.into_text().unwrap().to_string());
        }
    }
    assert_eq!(
        seen,
        [
            handshake("LVSDevice", "1"),
            "early;".to_owned(),
            "bird;".to_owned()
        ]
    );
    drop(upstream);
    gateway.stop().await;
}

#[tokio::test]
async fn upstreams_refusal_reaches_the_device_with_its_code_and_reason() {
    let upstream = Running::start(settings()).await;
    let gateway = Running::start(relaying(&upstream.devices())).await;
    let mut device = RawDevice::hello(&gateway.devices(), "LvsDevice", "1").await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4007);
    assert!(
        reason.contains("4001") && reason.contains("LVSDevice"),
        "{reason}"
    );
    gateway.stop().await;
    upstream.stop().await;
}

#[tokio::test]
async fn a_token_that_upstream_wants_is_a_refusal_too() {
    let mut guarded = settings();
    guarded.devices.token = Some(wsdm_gateway::config::Secret("s3cret-token".into()));
    let upstream = Running::start(guarded).await;
    let gateway = Running::start(relaying(&upstream.devices())).await;
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "1").await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4007);
    assert!(reason.contains("401"), "{reason}");
    gateway.stop().await;
    // Path and query of the URL are kept.
    let gateway = Running::start(relaying(&format!("{}/x?token=s3cret-token", upstream.devices()))).await;
    let client = client(&upstream.clients(), "driver").await;
    let mut device = RawDevice::lovense(&gateway.devices(), "1").await;
    drive(&client, &mut device).await;
    gateway.stop().await;
    upstream.stop().await;
}

#[tokio::test]
async fn a_device_outlives_a_restart_of_upstream_stopped_and_without_noticing() {
    let upstream = Running::start(settings()).await;
    let listen = upstream.bound.devices;
    let gateway = Running::start(relaying(&upstream.devices())).await;
    let driver = client(&upstream.clients(), "driver").await;
    let mut device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    drive(&driver, &mut device).await;
    upstream.stop().await;
    let lost = Instant::now();
    device.expect("Vibrate:0;").await;
    println!("stopped {:?} after upstream was gone", lost.elapsed());
    let mut again = settings();
    again.devices.listen = listen.into();
    let upstream = Running::start(again).await;
    let driver = client(&upstream.clients(), "driver").await;
    // The same connection of the device: the server asks it again who it is.
    device.expect("DeviceType;").await;
    device.binary(b"Z:11:8A3D9FAC2A45;").await;
    drive(&driver, &mut device).await;
    gateway.stop().await;
    upstream.stop().await;
}

#[tokio::test]
async fn a_device_is_let_go_after_the_grace_and_at_once_where_nothing_stops_it() {
    let nobody = Reserved::default();
    let url = format!("ws://127.0.0.1:{}", nobody.port());
    let mut short = relaying(&url);
    let Some(UpstreamSettings::Relay(relay)) = &mut short.upstream else {
        panic!("it relays");
    };
    relay.grace = Duration::from_millis(700);
    let gateway = Running::start(short).await;
    let started = Instant::now();
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "1").await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4006);
    assert!(reason.contains("upstream is away"), "{reason}");
    assert!(started.elapsed() >= Duration::from_millis(700));
    gateway.stop().await;

    let gateway = Running::start(relaying(&url)).await;
    let mut device = RawDevice::hello(&gateway.devices(), "NoStopBytesKnown", "1").await;
    assert_eq!(device.closed().await.0, 4006, "long before the 30 s");
    gateway.stop().await;
}

/// Accepts a device and never says or reads anything again.
#[tokio::test]
async fn an_upstream_that_falls_silent_is_noticed_by_pings_and_the_device_is_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut settings = relaying(&url);
    let Some(UpstreamSettings::Relay(relay)) = &mut settings.upstream else {
        panic!("it relays");
    };
    // Silence by itself stops the device only long after this test has given up.
    relay.stop_after = Duration::from_secs(60);
    settings.devices.ping_interval = Duration::from_millis(600);
    let gateway = Running::start(settings).await;
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "1").await;
    let (stream, _) = within("it is dialled", listener.accept()).await.unwrap();
    let silent = tokio_tungstenite::accept_async(stream).await.unwrap();
    // Before it falls silent it had the device vibrate.
    let (mut send, receive) = silent.split();
    futures::SinkExt::send(
        &mut send,
        tokio_tungstenite::tungstenite::Message::binary(&b"Vibrate:9;"[..]),
    )
    .await
    .unwrap();
    device.expect("Vibrate:9;").await;
    device.expect("Vibrate:0;").await;
    drop((send, receive));
    gateway.stop().await;
}

/// However a device goes, upstream must be told: the reference keeps one that vanishes for ever.
#[tokio::test]
async fn the_real_reference_server_keeps_no_ghost_of_a_relayed_device() {
    let reference = Reference::start().await;
    let gateway = Running::start(relaying(&reference.devices)).await;
    let client = client(&reference.clients, "driver").await;
    for way in [
        "in good order",
        "without a word",
        "replaced",
        "silent",
        "at the gateway's end",
    ] {
        let mut device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
        drive(&client, &mut device).await;
        match way {
            "in good order" => device.ws.close(None).await.unwrap(),
            "without a word" => drop(device),
            "replaced" => {
                let mut newer = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
                assert_eq!(device.closed().await.0, 4004);
                drive(&client, &mut newer).await;
                drop(newer);
            }
            "silent" => {
                // An oversize frame ends the connection from this side.
                device.binary(&vec![0; 70_000]).await;
                assert_eq!(device.closed().await.0, 1009);
            }
            _ => break,
        }
        listed(&client, 0).await;
    }
    gateway.stop().await;
    listed(&client, 0).await;
}

#[tokio::test]
async fn the_reference_refuses_without_a_reason_and_the_device_is_told_what_that_means() {
    let reference = Reference::start().await;
    let gateway = Running::start(relaying(&reference.devices)).await;
    let mut device = RawDevice::hello(&gateway.devices(), "NobodyKnowsThis", "1").await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4007);
    assert!(reason.contains("upstream refused the device"), "{reason}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_returns_at_once_is_taken_again_by_the_reference() {
    let reference = Reference::start().await;
    let gateway = Running::start(relaying(&reference.devices)).await;
    let client = client(&reference.clients, "driver").await;
    for _ in 0..5 {
        let mut device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
        wait_until("it is listed", || client.devices().len() == 1).await;
        let command = ClientDeviceOutputCommand::Vibrate(0.25.into());
        within("it is driven", async {
            loop {
                // The list may still hold the device of the round before, which takes commands until its end is noticed.
                if let Some(hush) = client.devices().into_values().next() {
                    let _ = hush.run_output(&command).await;
                }
                let arrives = device.expect("Vibrate:5;");
                let arrived = tokio::time::timeout(Duration::from_millis(100), arrives).await;
                if arrived.is_ok() {
                    return;
                }
            }
        })
        .await;
    }
    gateway.stop().await;
}

/// A released program, with its own device listener and its own client port.
///
/// `./test` tells from the file that this leaves whether it ran.
#[tokio::test]
async fn an_installed_intiface_engine_drives_a_relayed_device() {
    let Some(engine) = std::env::var_os("INTIFACE_ENGINE") else {
        println!("not run: INTIFACE_ENGINE does not name an intiface-engine");
        return;
    };
    let reserved = [Reserved::default(), Reserved::default()];
    let [clients, devices] = reserved.each_ref().map(Reserved::port);
    let folder = tempfile::TempDir::new().unwrap();
    let udcf = folder.path().join("udcf.json");
    std::fs::write(&udcf, udcf_for_lovense()).unwrap();
    let mut child = tokio::process::Command::new(Path::new(&engine))
        .args(["--websocket-port", &clients.to_string()])
        .args([
            "--use-device-websocket-server",
            "--device-websocket-server-port",
            &devices.to_string(),
        ])
        .args(["--user-device-config-file", udcf.to_str().unwrap()])
        .kill_on_drop(true)
        .spawn()
        .expect("an intiface-engine");
    for port in [clients, devices] {
        wait_until("it listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }
    let gateway = Running::start(relaying(&format!("ws://127.0.0.1:{devices}"))).await;
    let client = client(&format!("ws://127.0.0.1:{clients}"), "driver").await;
    let mut device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    drive(&client, &mut device).await;
    drop(device);
    listed(&client, 0).await;
    gateway.stop().await;
    child.kill().await.unwrap();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/intiface-engine-ran"), "").unwrap();
}

fn udcf_for_lovense() -> String {
    serde_json::json!({
        "version": {"major": 5, "minor": 0},
        "user_configs": {"protocols": {"lovense": {"communication": [{"websocket": {"name": "LVSDevice"}}]}}}
    })
    .to_string()
}

#[tokio::test]
async fn many_devices_are_relayed_beside_one_that_upstream_does_not_take() {
    let upstream = Running::start(settings()).await;
    let gateway = Running::start(Settings {
        ..relaying(&upstream.devices())
    })
    .await;
    let client = client(&upstream.clients(), "lister").await;
    let mut refused = RawDevice::hello(&gateway.devices(), "Unknown", "x").await;
    let mut devices = Vec::new();
    for n in 0..20 {
        devices.push(RawDevice::lovense(&gateway.devices(), &format!("device-{n}")).await);
    }
    listed(&client, 20).await;
    assert_eq!(refused.closed().await.0, 4007);
    let mut broken = RawDevice::connect(&gateway.devices()).await;
    broken.text(&handshake("", "1")).await;
    assert_eq!(
        broken.closed().await.0,
        1007,
        "a handshake that is none is refused here"
    );
    gateway.stop().await;
    listed(&client, 0).await;
    upstream.stop().await;
}

/// An upstream in this test: the next device that is relayed to it, its handshake read.
async fn relayed(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = within("it is dialled", listener.accept()).await.unwrap();
    let mut ws = accept_async(stream).await.unwrap();
    within("a handshake", ws.next()).await.unwrap().unwrap();
    ws
}

/// A board on a line of 9,600 baud, in words that are longer than the line carries in time: an upstream of 500 commands a
/// second for 3 s, which then goes. How many commands come after that, and when the stop does.
#[cfg(unix)]
async fn upstream_goes(keys: &str, command: impl Fn(usize) -> String, stop: &str) -> (usize, Duration) {
    let folder = tempfile::TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = folder.path().join("gateway.toml");
    let toml = format!(
        "[[serial]]\nport = {:?}\nbaud_rate = 9600\naddress = \"1\"\n{keys}\n",
        board.port
    );
    std::fs::write(&file, toml).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).unwrap();
    let gateway = Running::start(Settings {
        serial: loaded.settings.serial,
        ..relaying(&format!("ws://{}", listener.local_addr().unwrap()))
    })
    .await;
    let mut upstream = relayed(&listener).await;
    let came: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let all = came.clone();
    let reader = tokio::spawn(async move {
        let mut line = Vec::new();
        loop {
            for byte in board.read().await {
                line.push(byte);
                if byte == b';' {
                    let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
                    all.lock().unwrap().push((text, Instant::now()));
                }
            }
        }
    });
    let mut turns = tokio::time::interval(Duration::from_millis(2));
    for n in 0..1_500 {
        turns.tick().await;
        upstream.send(Message::binary(command(n))).await.unwrap();
    }
    let lost = Instant::now();
    drop(upstream);
    let came = || came.lock().unwrap().clone();
    let late = |came: &[(String, Instant)]| came.iter().position(|(text, at)| *at > lost && text == stop);
    wait_until("a stop", || late(&came()).is_some()).await;
    let stopped = came()[late(&came()).unwrap()].1 - lost;
    // Nothing of upstream's comes behind the stop either, until it is back.
    let mut upstream = relayed(&listener).await;
    upstream.send(Message::binary("back;")).await.unwrap();
    wait_until("it is back", || {
        came().last().is_some_and(|(text, _)| text == "back;")
    })
    .await;
    let came = came();
    assert!(came.len() > 100, "the line was busy: {}", came.len());
    let upstreams = |text: &str| text != stop && text != "back;";
    let commands = |since: Instant| {
        came.iter()
            .filter(move |(text, at)| *at > since && upstreams(text))
    };
    let behind: Vec<_> = commands(lost + stopped).collect();
    assert!(behind.is_empty(), "behind the stop: {behind:?}");
    let after = commands(lost).count();
    reader.abort();
    gateway.stop().await;
    (after, stopped)
}

/// What upstream sent while the line was slower must not outlive upstream, whatever its language is.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_of_an_upstream_that_goes_is_not_played() {
    let unknown = "identifier = \"Synchro\"\nframing = { delimiter = \";\" }\non_close = \"STOP;\"";
    let lovense = "identifier = \"LVSDevice\"\ncoalesce = \"none\"";
    let (synchro, uncoalesced) = tokio::join!(
        upstream_goes(unknown, |n| format!("GO:{n:06};"), "STOP;"),
        upstream_goes(lovense, |n| format!("Vibrate:{};", 1 + n % 20), "Vibrate:0;"),
    );
    for (what, (after, stopped)) in [("unknown language", synchro), ("coalesce = none", uncoalesced)] {
        println!(
            "{what}: {after} commands after the loss, the stop after {} ms",
            stopped.as_millis()
        );
        assert!(after <= 3, "{what}: {after}");
        assert!(stopped < Duration::from_millis(500), "{what}: {stopped:?}");
    }
}

/// A device that hears nothing until an app moves it: only the time that it is kept shows that upstream takes it.
#[tokio::test]
async fn refusals_of_an_upstream_that_took_the_device_meanwhile_do_not_add_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Running::start(relaying(&format!("ws://{}", listener.local_addr().unwrap()))).await;
    let mut device = RawDevice::hello(&gateway.devices(), "TCodeDevice", "1").await;
    // It is read meanwhile, so that it answers pings.
    let moved = tokio::spawn(async move { device.expect("L0500\n").await });
    for round in 0..5 {
        // Longer than a refusal takes.
        let mut upstream = relayed(&listener).await;
        let ended = tokio::time::timeout(Duration::from_millis(2_100), upstream.next()).await;
        assert!(ended.is_err(), "round {round}: {ended:?}");
        drop(upstream);
        let mut upstream = relayed(&listener).await;
        upstream.close(None).await.unwrap();
    }
    let mut upstream = relayed(&listener).await;
    upstream.send(Message::binary("L0500\n")).await.unwrap();
    within("the command", moved).await.unwrap();
    gateway.stop().await;
}

/// Nobody but the device knows what is right then.
#[tokio::test]
async fn refusals_in_a_row_end_the_session_although_upstream_spoke_before() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Running::start(relaying(&format!("ws://{}", listener.local_addr().unwrap()))).await;
    let mut device = RawDevice::hello(&gateway.devices(), "TCodeDevice", "1").await;
    let mut upstream = relayed(&listener).await;
    upstream.send(Message::binary("L0500\n")).await.unwrap();
    device.expect("L0500\n").await;
    drop(upstream);
    let refusing = tokio::spawn(async move {
        for refused in 0.. {
            let Ok(Ok((stream, _))) = tokio::time::timeout(common::DEADLINE, listener.accept()).await else {
                return refused;
            };
            let mut ws = accept_async(stream).await.unwrap();
            let _ = ws.close(None).await;
        }
        0
    });
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4007, "{reason}");
    refusing.abort();
    gateway.stop().await;
}

/// The newest frame of a sensor is worth most.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn towards_a_slow_upstream_the_oldest_frames_are_dropped_and_counted() {
    const FRAMES: usize = 500;
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("control.sock");
    let server = TcpSocket::new_v4().unwrap();
    server.set_recv_buffer_size(4_096).unwrap();
    server.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = server.listen(8).unwrap();
    let gateway = Running::start(Settings {
        control: Some(ControlAt::Path(socket.clone())),
        ..relaying(&format!("ws://{}", listener.local_addr().unwrap()))
    })
    .await;
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "1").await;
    let mut upstream = relayed(&listener).await;
    // It does not read. Sockets take megabytes of what comes.
    for n in 0..FRAMES {
        device.binary(format!("{n:016000};").as_bytes()).await;
    }
    let mut control = Client::connect(&socket).await.unwrap();
    let info = within("all are read", async {
        loop {
            let sessions = control.sessions().await.unwrap();
            if sessions[0].from_device as usize == FRAMES {
                return sessions[0].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let dropped = info.dropped as usize;
    let mut came: Vec<usize> = Vec::new();
    while came.len() < FRAMES - dropped {
        if let Message::Binary(bytes) = within("a frame", upstream.next()).await.unwrap().unwrap() {
            let text = std::str::from_utf8(&bytes).unwrap();
            came.push(text.trim_end_matches(';').parse().unwrap());
        }
    }
    println!("{dropped} of {FRAMES} frames were dropped");
    assert!(dropped > 0, "upstream was not slow");
    assert!(came.is_sorted(), "{came:?}");
    assert_eq!(came.last(), Some(&(FRAMES - 1)), "the newest");
    // Those that were on their way, a gap, and the newest ones.
    let first_gap = came
        .iter()
        .enumerate()
        .position(|(at, n)| at != *n)
        .expect("a gap");
    assert_eq!(came[first_gap] - first_gap, dropped, "one gap");
    device.binary(b"now;").await;
    let next = within("a frame", upstream.next()).await.unwrap().unwrap();
    assert_eq!(next.into_data().as_ref(), b"now;");
    let sessions = control.sessions().await.unwrap();
    assert_eq!(sessions[0].dropped as usize, dropped);
    gateway.stop().await;
}

/// The owner of such a device has to know that a loss of control does not stop it.
#[cfg(unix)]
#[tokio::test]
async fn a_device_that_nothing_is_known_to_stop_is_logged_once_when_it_comes() {
    use tokio::io::AsyncReadExt;

    let home = tempfile::TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut gateway = Process::start(home.path(), &["--upstream", &url]).await;
    for identifier in ["Synchro", "LVSDevice"] {
        let mut device = RawDevice::hello(&gateway.devices, identifier, identifier).await;
        let mut upstream = relayed(&listener).await;
        for n in 0..5 {
            let command = format!("Vibrate:{n};");
            upstream.send(Message::binary(command.clone())).await.unwrap();
            device.expect(&command).await;
        }
        device.ws.close(None).await.unwrap();
        while let Some(Ok(_)) = within("the end", upstream.next()).await {}
    }
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit_code().await, Some(0));
    let mut log = String::new();
    let stderr = gateway.child.stderr.as_mut().unwrap();
    within("the log", stderr.read_to_string(&mut log)).await.unwrap();
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("no stop is known"))
        .collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(
        warnings[0].contains("WARN") && warnings[0].contains("Synchro"),
        "{log}"
    );
    assert!(warnings[0].contains("on_close"), "{log}");
}

/// Nothing is known to stop the device: its own watchdog has to, which waits for the end of the connection.
#[tokio::test]
async fn a_device_that_nothing_is_known_to_stop_is_let_go_when_its_upstream_freezes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = relaying(&format!("ws://{}", listener.local_addr().unwrap()));
    settings.devices.ping_interval = Duration::from_secs(60);
    let gateway = Running::start(settings).await;
    let mut device = RawDevice::hello(&gateway.devices(), "NoStopBytesKnown", "1").await;
    let (stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut upstream = within("an upgrade", accept_async(stream)).await.unwrap();
    within("a handshake", upstream.next()).await.unwrap().unwrap();
    upstream.send(Message::binary(&b"on"[..])).await.unwrap();
    assert_eq!(device.frame().await, "on");
    // From here on upstream reads nothing.
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4006, "{reason}");
    assert!(reason.contains("silent"), "{reason}");
    drop(upstream);
    gateway.stop().await;
}
