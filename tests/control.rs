//! The control socket of a running gateway, and `monitor`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::json_client::JsonClient;
use common::process::Process;
use common::{RawDevice, Running, client, listed, settings, signal, vibrate, wait_until, within};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};
use wsdm_gateway::config::ControlAt;
use wsdm_gateway::session::tap::Direction;
use wsdm_gateway::web::api::frames::{Line, SessionInfo};
use wsdm_gateway::web::control::client::{self, Client, ClientError};

const HUSH: &str = "8A3D9FAC2A45";

/// How long somebody who drives by hand may be silent.
const SILENCE: Duration = Duration::from_millis(1_500);

/// A gateway in this process with a control socket.
struct Controlled {
    gateway: Running,
    socket: PathBuf,
    _folder: TempDir,
}

impl Controlled {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("control.sock");
        Self {
            gateway: start_at(&socket).await,
            socket,
            _folder: folder,
        }
    }

    async fn hush(&self) -> RawDevice {
        RawDevice::lovense(&self.gateway.devices(), HUSH).await
    }

    async fn client(&self) -> Client {
        within("the socket", Client::connect(&self.socket)).await.unwrap()
    }

    /// What is known of the one device that is there.
    async fn info(&self) -> SessionInfo {
        let sessions = within("an answer", self.client().await.sessions()).await.unwrap();
        <[_; 1]>::try_from(sessions).unwrap().into_iter().next().unwrap()
    }
}

async fn start_at(socket: &Path) -> Running {
    let mut settings = settings();
    settings.control = Some(ControlAt::Path(socket.to_owned()));
    Running::start(settings).await
}

async fn line(lines: &mut client::Lines) -> Option<Line> {
    let line = within("a line", lines.next()).await.unwrap()?;
    Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
}

/// Reads until this frame passes.
async fn frame(lines: &mut client::Lines, wanted: Direction, bytes: &str) {
    loop {
        match line(lines).await.expect("a stream that goes on") {
            Line::Frame { direction, text, .. } if direction == wanted && text == bytes => return,
            _ => {}
        }
    }
}

/// `monitor` as a process.
struct Monitor {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"));
    command
        .arg("monitor")
        .args(args)
        .env_remove("WSDM_GATEWAY_CONTROL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Monitor {
    async fn start(socket: &Path, args: &[&str]) -> Self {
        let at = ["--device", HUSH, "--control", socket.to_str().unwrap()];
        let mut child = command(&[&at, args].concat()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut monitor = Self {
            child,
            stdout,
            seen: Vec::new(),
        };
        monitor.expect("watching").await;
        monitor
    }

    /// Reads until a line holds this.
    async fn expect(&mut self, wanted: &str) -> String {
        loop {
            let next = within(
                &format!("{wanted:?} after {:?}", self.seen),
                self.stdout.next_line(),
            )
            .await;
            let line = next
                .unwrap()
                .unwrap_or_else(|| panic!("{wanted:?} in {:?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(wanted) {
                return line;
            }
        }
    }

    fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        signal::send(self.child.id().expect("running"), signal);
    }

    async fn exit_code(&mut self) -> Option<i32> {
        within("it ends", self.child.wait()).await.unwrap().code()
    }
}

async fn output(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = within("it ends", command.output()).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn frames_are_seen_both_ways_and_sent() {
    let running = Controlled::start().await;
    let driver = client(&running.gateway.clients(), "driver").await;
    let mut hush = running.hush().await;
    wait_until("it is listed", || driver.devices().len() == 1).await;
    let mut monitor = Monitor::start(&running.socket, &[]).await;

    let device = driver.devices().into_values().next().unwrap();
    let vibrate = buttplug_client::device::ClientDeviceOutputCommand::Vibrate(0.5.into());
    within("a command", device.run_output(&vibrate)).await.unwrap();
    let line = monitor.expect("Vibrate:10;").await;
    assert!(line.ends_with(" -> Vibrate:10;"), "{line}");
    assert_eq!(line.find(' '), Some("00:00:00.000".len()), "{line}");

    hush.binary(b"\x1b[2J;").await;
    let line = monitor.expect("<- ").await;
    assert!(line.contains(r"<- \u{1b}[2J;"), "{line}");
    assert!(line.ends_with("1b 5b 32 4a 3b"), "{line}");

    // The stop that the session writes itself is seen too.
    driver.disconnect().await.unwrap();
    monitor.expect("-> Vibrate:0;").await;
    monitor.interrupt();
    assert_eq!(monitor.exit_code().await, Some(0));
    running.gateway.stop().await;
}

#[tokio::test]
async fn what_is_sent_reaches_the_device_in_order_and_is_stopped_at_the_end() {
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    let args = [
        "--send",
        r"Vibrate:5;\x41\n",
        "--send",
        "Vibrate:6;",
        "--send",
        "-",
        "--json",
    ];
    let mut monitor = Monitor::start(&running.socket, &args).await;
    hush.expect("Vibrate:5;A\n").await;
    assert_eq!(hush.frame().await, "Vibrate:6;");
    let mut stdin = monitor.child.stdin.take().unwrap();
    stdin.write_all(b"Vibrate:7;\r\n\\q\nVibrate:8;\n").await.unwrap();
    assert_eq!(hush.frame().await, "Vibrate:7;");
    assert_eq!(hush.frame().await, "Vibrate:8;");
    let line = monitor.expect("Vibrate:8;").await;
    assert!(
        line.contains(r#""direction":"to_device","hex":"566962726174653a383b""#),
        "{line}"
    );
    // The end of the input is not the end of the watch.
    drop(stdin);
    hush.binary(b"OK;").await;
    monitor.expect("OK;").await;
    assert!(running.info().await.to_device >= 4);

    // Nobody is left who would switch it off.
    monitor.child.start_kill().unwrap();
    hush.expect("Vibrate:0;").await;
    let mut said = String::new();
    let mut stderr = monitor.child.stderr.take().unwrap();
    within("stderr", stderr.read_to_string(&mut said)).await.unwrap();
    assert!(
        said.starts_with(r"not sent: line 2: \q at character 1 is not an escape"),
        "{said}"
    );
    running.gateway.stop().await;
}

/// As Ctrl-Z suspends it. While it lives, its silence means nothing: a person need not type.
#[tokio::test]
async fn what_a_suspended_monitor_left_on_is_stopped_and_its_next_frame_counts() {
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    let mut monitor = Monitor::start(&running.socket, &["--send", "Vibrate:5;", "--send", "-"]).await;
    let mut stdin = monitor.child.stdin.take().unwrap();
    hush.expect("Vibrate:5;").await;
    let early = tokio::time::timeout(2 * SILENCE, hush.frame()).await;
    assert!(early.is_err(), "the monitor lives: {early:?}");
    monitor.signal(Signal::STOP);
    let suspended = Instant::now();
    hush.expect("Vibrate:0;").await;
    let took = suspended.elapsed();
    assert!(took < SILENCE + Duration::from_secs(2), "{took:?}");
    monitor.signal(Signal::CONT);
    stdin.write_all(b"Vibrate:6;\n").await.unwrap();
    hush.expect("Vibrate:6;").await;
    monitor.child.start_kill().unwrap();
    hush.expect("Vibrate:0;").await;
    running.gateway.stop().await;
}

/// Another firmware may know a word that the gateway does not, also beside one that it knows.
#[tokio::test]
async fn what_an_unknown_word_set_in_motion_is_stopped_if_the_monitor_freezes_or_is_killed() {
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    for word in ["Wave:5;", "Vibrate:0;Wave:5;"] {
        let mut monitor = Monitor::start(&running.socket, &["--send", word, "--send", "-"]).await;
        let mut stdin = monitor.child.stdin.take().unwrap();
        hush.expect(word).await;
        monitor.signal(Signal::STOP);
        hush.expect("Vibrate:0;").await;
        monitor.signal(Signal::CONT);
        stdin.write_all(word.as_bytes()).await.unwrap();
        stdin.write_all(b"\n").await.unwrap();
        hush.expect(word).await;
        monitor.child.start_kill().unwrap();
        hush.expect("Vibrate:0;").await;
    }
    running.gateway.stop().await;
}

/// Somebody else's client of the interface, which holds its connection and does nothing on it.
#[tokio::test]
async fn what_a_silent_connection_left_on_is_stopped_unless_another_drives_it_by_now() {
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    let mut sender = running.client().await;
    within("a frame", sender.send(HUSH, Bytes::from("Vibrate:5;")))
        .await
        .unwrap();
    hush.expect("Vibrate:5;").await;
    hush.expect("Vibrate:0;").await;
    // The server's own stop follows.
    hush.expect("Vibrate:0;").await;
    // At rest it is left alone.
    let more = tokio::time::timeout(2 * SILENCE, hush.frame()).await;
    assert!(more.is_err(), "{more:?}");

    within("a frame", sender.send(HUSH, Bytes::from("Vibrate:6;")))
        .await
        .unwrap();
    hush.expect("Vibrate:6;").await;
    let mut app = JsonClient::connect(&running.gateway.clients(), 4).await;
    let index = app.first_device().await;
    let command =
        json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": { "Vibrate": { "Value": 9 } } });
    app.call("OutputCmd", command).await;
    hush.expect("Vibrate:9;").await;
    let answers = async {
        loop {
            // Reads, and so answers pings.
            app.event("never").await;
        }
    };
    tokio::select! {
        frame = hush.frame() => panic!("the app drives it: {frame}"),
        () = answers => {}
        () = tokio::time::sleep(2 * SILENCE) => {}
    }
    drop(sender);
    running.gateway.stop().await;
}

#[tokio::test]
async fn one_who_only_watches_stops_nothing() {
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    let mut sender = running.client().await;
    within("a frame", sender.send(HUSH, Bytes::from("Vibrate:5;")))
        .await
        .unwrap();
    hush.expect("Vibrate:5;").await;
    let mut watcher = running.client().await;
    drop(watcher.follow(HUSH).await.unwrap());
    drop(watcher);
    within("a frame", sender.send(HUSH, Bytes::from("Vibrate:6;")))
        .await
        .unwrap();
    assert_eq!(hush.frame().await, "Vibrate:6;");
    drop(sender);
    assert_eq!(hush.frame().await, "Vibrate:0;");
    running.gateway.stop().await;
}

/// The app that took the device over keeps it.
#[tokio::test]
async fn a_sender_that_leaves_stops_only_what_nobody_else_has_by_now() {
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    let mut app = JsonClient::connect(&running.gateway.clients(), 4).await;
    let index = app.first_device().await;
    let command = |value: u32| json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": { "Vibrate": { "Value": value } } });
    let mut sender = running.client().await;
    within("a frame", sender.send(HUSH, Bytes::from("Vibrate:5;")))
        .await
        .unwrap();
    hush.expect("Vibrate:5;").await;
    app.call("OutputCmd", command(9)).await;
    assert_eq!(hush.frame().await, "Vibrate:9;");
    drop(sender);
    // A stop that the one who left had ordered would come before this.
    app.call("OutputCmd", command(10)).await;
    assert_eq!(hush.frame().await, "Vibrate:10;");

    // A query takes nothing over.
    let mut sender = running.client().await;
    within("a frame", sender.send(HUSH, Bytes::from("Vibrate:6;")))
        .await
        .unwrap();
    assert_eq!(hush.frame().await, "Vibrate:6;");
    let query = json!({ "DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read" });
    app.send("InputCmd", query).await;
    hush.expect("Battery;").await;
    hush.binary(b"85;").await;
    drop(sender);
    hush.expect("Vibrate:0;").await;
    // The server's own stop follows.
    hush.expect("Vibrate:0;").await;

    // The other way round: what the app set is stopped with what the sender set, and the app's next command counts,
    // though it equals its last one.
    let mut sender = running.client().await;
    within("a frame", sender.send(HUSH, Bytes::from("Vibrate:7;")))
        .await
        .unwrap();
    assert_eq!(hush.frame().await, "Vibrate:7;");
    drop(sender);
    assert_eq!(hush.frame().await, "Vibrate:0;");
    within("the app drives it again", async {
        loop {
            app.call("OutputCmd", command(10)).await;
            let frame = tokio::time::timeout(Duration::from_millis(50), hush.frame()).await;
            if frame.is_ok_and(|frame| frame == "Vibrate:10;") {
                return;
            }
        }
    })
    .await;
    running.gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_goes_is_waited_for() {
    let running = Controlled::start().await;
    let hush = running.hush().await;
    let mut monitor = Monitor::start(&running.socket, &[]).await;
    let mut once = Monitor::start(&running.socket, &["--once", "--json"]).await;
    drop(hush);
    let line = monitor.expect("gone").await;
    assert!(line.ends_with("; waiting for it to come back"), "{line}");
    assert!(once.expect("gone").await.starts_with(r#"{"gone":"#));
    assert_eq!(once.exit_code().await, Some(0));
    let mut hush = running.hush().await;
    monitor.expect("watching").await;
    hush.binary(b"OK;").await;
    monitor.expect("<- OK;").await;
    running.gateway.stop().await;
    monitor.expect("the gateway is stopping").await;
    assert_eq!(monitor.exit_code().await, Some(1));
}

/// Far more than any buffer between holds, at the pace that the device takes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_slows_nobody_and_learns_what_it_missed() {
    const FRAMES: usize = 10_000;
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    let passed = async || {
        let info = running.info().await;
        info.from_device + info.to_device
    };
    // What the device and the server say to each other at first may pass before this or after.
    let (before, _watcher, mut slow) = loop {
        let before = passed().await;
        let mut watcher = running.client().await;
        let slow = watcher.follow(HUSH).await.unwrap();
        if passed().await == before {
            break (before, watcher, slow);
        }
    };
    let body = vec![b'x'; 500];
    for _ in 0..FRAMES {
        hush.binary(&body).await;
    }
    let mut sender = running.client().await;
    within("the last frame", sender.send(HUSH, Bytes::from("last;")))
        .await
        .unwrap();
    hush.expect("last;").await;
    while running.info().await.from_device <= FRAMES as u64 {
        tokio::task::yield_now().await;
    }
    hush.binary(b"end;").await;
    let (mut seen, mut missed) = (0, 0);
    loop {
        match line(&mut slow).await.expect("a stream that goes on") {
            Line::Frame { text, .. } if text == "end;" => break,
            Line::Frame { .. } => seen += 1,
            Line::Missed { missed: more } => missed += more as usize,
            _ => {}
        }
    }
    assert!(missed > 0);
    // Those of the device and the one to it, and the end.
    let all = usize::try_from(passed().await - before).unwrap();
    assert!(all >= FRAMES + 2, "{all}");
    assert_eq!(seen + missed + 1, all);
    running.gateway.stop().await;
}

#[tokio::test]
async fn the_socket_is_its_users_alone_and_goes_with_the_gateway() {
    let running = Controlled::start().await;
    let mode = std::fs::metadata(&running.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    running.gateway.stop().await;
    assert!(!running.socket.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let first = start_at(&socket).await;
    let hush = RawDevice::lovense(&first.devices(), HUSH).await;
    // It runs on without.
    let second = start_at(&socket).await;
    RawDevice::lovense(&second.devices(), "000000000002").await;
    second.stop().await;
    let mut client = Client::connect(&socket).await.unwrap();
    let sessions = within("an answer", client.sessions()).await.unwrap();
    assert_eq!(sessions[0].address, HUSH);
    assert_eq!(
        (sessions[0].identifier.as_str(), sessions.len()),
        ("LVSDevice", 1)
    );
    drop((hush, client));
    first.stop().await;

    // What is no socket is nobody's to remove.
    std::fs::write(&socket, "precious").unwrap();
    start_at(&socket).await.stop().await;
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
}

#[tokio::test]
async fn an_unknown_device_is_told_with_those_that_are_there() {
    let running = Controlled::start().await;
    let _near = running.hush().await;
    let _far = RawDevice::hello(&running.gateway.devices(), "TCodeDevice", "b/e n?ch\u{1b}").await;
    let mut client = running.client().await;
    while within("an answer", client.sessions()).await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let control = ["--control", running.socket.to_str().unwrap()];
    let (code, said) = output(command(&[&control[..], &["--device", "8a3d9fac2a46"]].concat())).await;
    assert_eq!(code, Some(1));
    let wanted = "error: no device with the address 8a3d9fac2a46 is connected; connected: 8A3D9FAC2A45 \
                  (LVSDevice), b/e n?ch\\u{1b} (TCodeDevice)\nhint: --device 8A3D9FAC2A45\n";
    assert_eq!(said, wanted);

    // Any address can be asked for.
    let mut lines = client.follow("b/e n?ch\u{1b}").await.unwrap();
    assert!(matches!(line(&mut lines).await, Some(Line::Watching { .. })));
    let mut client = running.client().await;
    for nobody in ["", "nobody", "..", "\u{0}", &"x".repeat(300)] {
        let sent = within("an answer", client.send(nobody, Bytes::from("x"))).await;
        let refused = matches!(&sent, Err(ClientError::Unknown(there)) if there.len() == 2);
        assert!(refused || nobody.is_empty(), "{nobody:?}: {sent:?}");
    }
    for frame in [Bytes::new(), Bytes::from(vec![b'x'; 65_537])] {
        let sent = within("an answer", client.send(HUSH, frame)).await;
        assert!(matches!(sent, Err(ClientError::Refused(_))), "{sent:?}");
    }
    running.gateway.stop().await;
}

#[tokio::test]
async fn without_a_gateway_it_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let hint = "hint: is wsdm-gateway run running, on this machine and as this user?\n";
    let nothing = folder.path().join("none.sock");
    let at = ["--device", HUSH, "--control", nothing.to_str().unwrap()];
    let (code, said) = output(command(&at)).await;
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(&format!("error: no gateway answers on {}", nothing.display())),
        "{said}"
    );
    assert!(said.ends_with(hint), "{said}");

    let mut unset = command(&["--device", HUSH]);
    unset
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("TMPDIR", folder.path());
    let (code, said) = output(unset).await;
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("error: no gateway runs here") && said.ends_with(hint),
        "{said}"
    );
}

#[tokio::test]
async fn a_wrong_escape_is_told_with_its_place() {
    let (code, said) = output(command(&[
        "--device",
        HUSH,
        "--send",
        r"ok\n",
        "--send",
        r"Vib\rate\q",
    ]))
    .await;
    assert_eq!(code, Some(2));
    assert!(
        said.starts_with(r"error: --send: \q at character 9 is not an escape"),
        "{said}"
    );
}

/// Real gateways, found without being named.
#[tokio::test]
async fn of_several_gateways_the_one_with_the_device_is_found() {
    let folder = TempDir::new().unwrap();
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let mut run = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"));
        run.args([
            "run",
            "--device-listen",
            "127.0.0.1:0",
            "--client-listen",
            "127.0.0.1:0",
            "--json",
        ])
        .env_clear()
        .env("HOME", folder.path())
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
        let mut child = run.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = within("the ready line", stdout.next_line())
            .await
            .unwrap()
            .unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        gateways.push((child, ready["devices"].as_str().unwrap().to_owned()));
    }
    let directory = folder.path().join("wsdm-gateway");
    assert_eq!(
        std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let monitor = |device: &str| {
        let mut monitor = command(&["--device", device]);
        monitor
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("TMPDIR", folder.path());
        monitor
    };
    let (code, said) = output(monitor("nobody")).await;
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("error: several gateways run: ") && said.contains("--control PATH"),
        "{said}"
    );
    for (_, devices) in &gateways {
        let port = devices.rsplit(':').next().unwrap();
        assert!(said.contains(&format!("{port}.sock")), "{said}");
    }
    let _hush = RawDevice::lovense(&gateways[1].1, HUSH).await;
    let mut child = monitor(HUSH).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within("a line", lines.next_line()).await.unwrap().unwrap();
    assert!(
        line.contains("watching 8A3D9FAC2A45 (LVSDevice), ws 127.0.0.1:"),
        "{line}"
    );

    // One that was killed leaves its socket, which nobody takes for a gateway.
    let (mut killed, _) = gateways.remove(0);
    killed.kill().await.unwrap();
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
    let (_, said) = output(monitor("nobody")).await;
    assert!(
        said.starts_with("error: no device with the address nobody is connected"),
        "{said}"
    );
}

/// One stream that is read, one that is not, one connection that never asks, one that is in the middle of asking.
#[tokio::test(flavor = "multi_thread")]
async fn open_streams_do_not_delay_the_end() {
    let running = Controlled::start().await;
    let mut hush = running.hush().await;
    let mut reader = running.client().await;
    let mut lines = reader.follow(HUSH).await.unwrap();
    let mut sleeper = UnixStream::connect(&running.socket).await.unwrap();
    let request = format!("GET /api/devices/{HUSH}/frames?follow HTTP/1.1\r\nhost: x\r\n\r\n");
    sleeper.write_all(request.as_bytes()).await.unwrap();
    let _silent = UnixStream::connect(&running.socket).await.unwrap();
    let mut asking = UnixStream::connect(&running.socket).await.unwrap();
    asking.write_all(b"GET /sess").await.unwrap();
    for _ in 0..2_000 {
        hush.binary(&[b'x'; 500]).await;
    }
    hush.binary(b"last;").await;
    frame(&mut lines, Direction::FromDevice, "last;").await;
    let reading = tokio::spawn(async move {
        let mut last = None;
        while let Some(next) = line(&mut lines).await {
            last = Some(next);
        }
        last
    });
    let device = tokio::spawn(async move {
        hush.expect("Vibrate:0;").await;
        hush.closed().await.0
    });
    let stopping = Instant::now();
    running.gateway.stop().await;
    let took = stopping.elapsed();
    println!("stopped in {} ms", took.as_millis());
    assert!(took.as_millis() < 1_000, "{took:?}");
    assert_eq!(within("the device is told", device).await.unwrap(), 1001);
    let gone = Line::Gone {
        gone: Some("the gateway is stopping".to_owned()),
    };
    assert_eq!(within("the stream ends", reading).await.unwrap(), Some(gone));
    assert!(!running.socket.exists());
}

/// `stop` or `devices` as a process: exit code, stdout, stderr.
async fn order(control: Option<&Path>, home: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"));
    command
        .args(args)
        .env_remove("WSDM_GATEWAY_CONTROL")
        .env("XDG_RUNTIME_DIR", home)
        .env("TMPDIR", home)
        .kill_on_drop(true);
    if let Some(control) = control {
        command.arg("--control").arg(control);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = within("it ends", command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn every_device_is_listed_and_stopped_from_the_command_line() {
    let running = Controlled::start().await;
    let home = tempfile::tempdir().unwrap();
    let at = Some(running.socket.as_path());
    let (code, text, _) = order(at, home.path(), &["stop"]).await;
    assert_eq!((code, text.as_str()), (Some(0), "no device is connected\n"));
    let (code, text, _) = order(at, home.path(), &["devices"]).await;
    assert_eq!((code, text.as_str()), (Some(0), "no device has connected yet\n"));

    let driver = client(&running.gateway.clients(), "driver").await;
    let mut hush = running.hush().await;
    listed(&driver, 1).await;
    let mut stranger = RawDevice::hello(&running.gateway.devices(), "ESP32\u{1b}[2J", "new").await;
    stranger.closed().await;
    vibrate(&driver, 1.0).await;
    hush.expect("Vibrate:20;").await;
    let (code, text, _) = order(at, home.path(), &["devices"]).await;
    assert_eq!(code, Some(0));
    let row = text.lines().find(|line| line.starts_with(HUSH)).unwrap();
    assert!(row.contains("Lovense Hush") && row.contains(" on "), "{text}");
    assert!(text.contains("refused") && !text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("no UDCF entry names"), "{text}");
    let (_, json, _) = order(at, home.path(), &["devices", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2, "{json}");

    let (code, text, _) = order(at, home.path(), &["stop"]).await;
    assert_eq!((code, text.as_str()), (Some(0), "1 device stopped\n"));
    hush.expect("Vibrate:0;").await;
    vibrate(&driver, 0.5).await;
    hush.expect("Vibrate:10;").await;
    let (code, text, _) = order(at, home.path(), &["stop", HUSH, "--json"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text, "{\"stopped\":1,\"failed\":[]}\n");
    hush.expect("Vibrate:0;").await;

    let unknown = "no device with the address 8a3d9fac2a46 is connected; connected: 8A3D9FAC2A45 (LVSDevice)";
    let hint = "wsdm-gateway stop 8A3D9FAC2A45";
    let (code, text, errors) = order(at, home.path(), &["stop", "8a3d9fac2a46"]).await;
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert_eq!(errors, format!("error: {unknown}\nhint: {hint}\n"));
    let (code, text, errors) = order(at, home.path(), &["stop", "8a3d9fac2a46", "--json"]).await;
    assert_eq!(code, Some(1), "{errors}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let wanted = json!({"stopped": 0, "failed": [], "errors": [{"error": unknown, "hint": hint}]});
    assert_eq!(answer, wanted);
    let nowhere = home.path().join("none.sock");
    let (code, _, errors) = order(Some(&nowhere), home.path(), &["stop"]).await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("hint: is wsdm-gateway run running"), "{errors}");
    let (_, text, _) = order(Some(&nowhere), home.path(), &["stop", "--json"]).await;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let error = answer["errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("none.sock"), "{answer}");
    let (code, _, errors) = order(None, home.path(), &["devices"]).await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("no gateway runs here"), "{errors}");
    let (_, text, _) = order(None, home.path(), &["stop", "--json"]).await;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let error = answer["errors"][0]["error"].as_str().unwrap();
    assert!(error.contains("no gateway runs here"), "{answer}");
}

/// The others are shown and stopped as if it were not there, and it is named.
#[tokio::test]
async fn a_suspended_gateway_keeps_nobody_from_the_others() {
    let home = TempDir::new().unwrap();
    // While the command line waits for the suspended one, nobody reads the device, and it answers no pings.
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, "[devices]\nping_interval_ms = 60000\n").unwrap();
    let patient = ["--config", file.to_str().unwrap()];
    let suspended = Process::start(home.path(), &patient).await;
    let running = Process::start(home.path(), &patient).await;
    let driver = client(&running.clients, "driver").await;
    let mut hush = RawDevice::lovense(&running.devices, HUSH).await;
    listed(&driver, 1).await;
    suspended.signal(Signal::STOP);
    let socket = format!("{}.sock", suspended.devices.rsplit(':').next().unwrap());
    let is_named = |code: Option<i32>, errors: &str| {
        assert_eq!(code, Some(1), "{errors}");
        let (error, hint) = errors.split_once('\n').unwrap();
        assert!(error.starts_with("error: no gateway answers on "), "{errors}");
        assert!(error.contains(&socket), "{errors}");
        assert!(
            hint.contains("suspended") && !hint.contains("is wsdm-gateway run running"),
            "{errors}"
        );
    };

    let (code, text, errors) = order(None, home.path(), &["devices"]).await;
    is_named(code, &errors);
    assert!(text.lines().any(|line| line.starts_with(HUSH)), "{text}");
    let (code, text, errors) = order(None, home.path(), &["devices", "--json"]).await;
    is_named(code, &errors);
    let devices: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(devices[0]["address"], HUSH, "{text}");

    for args in [&["stop"][..], &["stop", HUSH]] {
        vibrate(&driver, 1.0).await;
        hush.expect("Vibrate:20;").await;
        let (code, text, errors) = order(None, home.path(), args).await;
        is_named(code, &errors);
        assert_eq!(text, "1 device stopped\n");
        hush.expect("Vibrate:0;").await;
    }
    let (code, text, errors) = order(None, home.path(), &["stop", "--json"]).await;
    is_named(code, &errors);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["stopped"], &answer["failed"]), (&json!(1), &json!([])));
    let error = &answer["errors"][0];
    assert!(error["error"].as_str().unwrap().contains(&socket), "{answer}");
    assert!(error["hint"].as_str().unwrap().contains("suspended"), "{answer}");

    // Whether it has the device, it does not say.
    let (code, text, errors) = order(None, home.path(), &["stop", "nobody"]).await;
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert!(errors.contains("nobody") && errors.contains(&socket), "{errors}");
    suspended.signal(Signal::CONT);
}
