//! The Arduino side of `firmware/`, running: an Uno in software behind a pseudo-terminal, and the library on this
//! machine over TCP. Each is driven through the real gateway by a real Buttplug client.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;
#[path = "firmware/forwarder.rs"]
mod forwarder;
#[path = "firmware/improv.rs"]
mod improv;
#[path = "firmware/program.rs"]
mod program;
#[path = "firmware/arduino_settings.rs"]
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::process::Process;
use common::reference::Reference;
use common::{client, listed, vibrate, within};
use forwarder::Forwarder;
use program::{Program, addr, bridge, built};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::process::Command;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The library's, four times its keepalive; and over Wi-Fi.
const SERIAL_WATCHDOG_MS: u64 = 800;
const WEBSOCKET_WATCHDOG_MS: u64 = 1_000;
/// What a machine under load may add.
const LATE_MS: u64 = 2_000;
/// Longer than any watchdog.
const STEADY: Duration = Duration::from_millis(2_000);

/// An ESP32's sketch on this machine, as this identifier, connecting to this address.
fn board(sketch: &str, identifier: &str, gateway: SocketAddr, token: Option<&str>) -> Program {
    let mut command = Command::new(built(&format!("host/{sketch}")));
    command
        .env("WSDM_HOST_GATEWAY", gateway.ip().to_string())
        .env("WSDM_HOST_PORT", gateway.port().to_string())
        .env("WSDM_HOST_IDENTIFIER", identifier)
        .env("WSDM_HOST_MAC", "02005E123456");
    if let Some(token) = token {
        command.env("WSDM_HOST_TOKEN", token);
    }
    Program::start(&mut command)
}

async fn go_to(client: &ButtplugClient, position: f64, ms: u32) {
    let device = client.devices().into_values().next().unwrap();
    let command = ClientDeviceOutputCommand::HwPositionWithDuration(position.into(), ms);
    within("a command", device.run_output(&command)).await.unwrap();
}

fn link(home: &TempDir) -> PathBuf {
    home.path().join("tty")
}

/// Waits until a timer of the Uno makes so many pulses a second.
async fn timer_at(uno: &mut Program, timer: u8, hertz: u32) {
    while uno.line(&format!("timer {timer} at ")).await != format!("{hertz} Hz") {}
}

#[tokio::test]
async fn an_uno_introduces_itself_and_its_motor_follows_the_slider() {
    let home = TempDir::new().unwrap();
    let mut uno = Program::uno("lovense", &link(&home)).await;
    // Nobody hears that.
    timer_at(&mut uno, 1, 31_372).await;
    let gateway = bridge(home.path(), &link(&home)).await;
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    let hush = client.devices().into_values().next().unwrap();
    assert_eq!(hush.name(), "Lovense Hush");
    for (strength, duty) in [(0.5, 127), (1.0, 255), (0.05, 12), (0.0, 0), (0.75, 191)] {
        vibrate(&client, strength).await;
        uno.pin_at("9 pwm", duty).await;
    }
    assert_eq!(within("the battery", hush.battery()).await.unwrap(), 100);
    // Silence on the wire, but for signs of life.
    let changed = tokio::time::timeout(STEADY, uno.pin("9 pwm")).await;
    assert!(changed.is_err(), "a steady vibration stays: {changed:?}");
    within("a goodbye", client.disconnect()).await.unwrap();
    uno.pin_at("9 pwm", 0).await;
    uno.signal(Signal::TERM);
    assert_eq!(uno.exit_code().await, Some(0));
    assert!(link(&home).symlink_metadata().is_err(), "it takes its link away");
}

#[tokio::test]
async fn an_uno_that_is_unplugged_leaves_and_comes_back_as_the_same_device() {
    let home = TempDir::new().unwrap();
    let gateway = bridge(home.path(), &link(&home)).await;
    let client = client(&gateway.clients, "driver").await;
    let mut index = None;
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        let mut uno = Program::uno("lovense", &link(&home)).await;
        listed(&client, 1).await;
        let found = client.devices().into_keys().next().unwrap();
        assert_eq!(*index.get_or_insert(found), found);
        vibrate(&client, 1.0).await;
        uno.pin_at("9 pwm", 255).await;
        // As udev does. Behind it the system gives its port to whoever asks next: another test's board.
        std::fs::remove_file(link(&home)).unwrap();
        uno.signal(signal);
        uno.exit_code().await;
        listed(&client, 0).await;
    }
}

#[tokio::test]
async fn an_uno_stops_its_motor_when_the_gateway_freezes() {
    let home = TempDir::new().unwrap();
    let mut uno = Program::uno("lovense", &link(&home)).await;
    let gateway = bridge(home.path(), &link(&home)).await;
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    uno.pin_at("9 pwm", 127).await;
    gateway.signal(Signal::STOP);
    let stopped = uno.pin_at("9 pwm", 0).await;
    let silent = stopped.silent_ms.unwrap();
    println!("Uno, gateway frozen: motor off {silent} ms after the last byte, by the board's clock");
    assert!(
        (SERIAL_WATCHDOG_MS - 20..SERIAL_WATCHDOG_MS + 20).contains(&silent),
        "{silent} ms"
    );
    // It thaws: the board has said hello again, which is no answer to anything, and takes commands.
    gateway.signal(Signal::CONT);
    vibrate(&client, 0.25).await;
    uno.pin_at("9 pwm", 63).await;
    assert_eq!(client.devices().len(), 1);
}

/// Nothing restarts the board, and it may hear the next gateway ask before its watchdog is due.
#[tokio::test]
async fn an_uno_that_was_not_restarted_introduces_itself_to_the_next_gateway() {
    let home = TempDir::new().unwrap();
    let mut uno = Program::uno("lovense", &link(&home)).await;
    for round in 0..2 {
        let mut gateway = bridge(home.path(), &link(&home)).await;
        let client = client(&gateway.clients, "driver").await;
        listed(&client, 1).await;
        // In the second round it is running still, or has been stopped by the watchdog.
        if round == 1 {
            uno.pin_at("9 pwm", 0).await;
        }
        vibrate(&client, 1.0).await;
        uno.pin_at("9 pwm", 255).await;
        gateway.signal(Signal::KILL);
        gateway.exit_code().await;
    }
    uno.pin_at("9 pwm", 0).await;
}

#[tokio::test]
async fn an_unos_servo_moves_in_time_softly_at_first_and_stops_where_it_is() {
    let home = TempDir::new().unwrap();
    let mut uno = Program::uno("tcode", &link(&home)).await;
    timer_at(&mut uno, 1, 50).await;
    timer_at(&mut uno, 2, 31_372).await;
    let gateway = bridge(home.path(), &link(&home)).await;
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    // Half of the range at half of the range a second, though the app is in a hurry.
    go_to(&client, 1.0, 100).await;
    // Before that, nobody sent the servo anywhere.
    let began = uno.pin("9 pulse").await;
    assert!((1_500..1_540).contains(&began.value), "{began:?}");
    let mut last = began.clone();
    while last.value < 1_890 {
        let next = uno.pin("9 pulse").await;
        assert!(next.value - last.value <= 40, "{last:?} {next:?}");
        last = next;
    }
    let soft = last.at_ms - began.at_ms;
    println!("Uno: the first move of the servo took {soft} ms");
    assert!((500..1_100 + LATE_MS).contains(&soft), "{soft} ms");
    // Still softly, and then as the app wants it: the servo's own limit is three ranges a second.
    go_to(&client, 0.0, 100).await;
    uno.pin_at("9 pulse", 1_100).await;
    go_to(&client, 1.0, 600).await;
    let began = uno.pin("9 pulse").await;
    let mut reached = began.clone();
    while reached.value < 1_890 {
        reached = uno.pin("9 pulse").await;
    }
    let took = reached.at_ms - began.at_ms;
    println!("Uno: a move of 600 ms took {took} ms");
    assert!((300..700 + LATE_MS).contains(&took), "{took} ms");
    // The client goes in the middle of a long move.
    go_to(&client, 0.0, 20_000).await;
    uno.pin_at("9 pulse", 1_880).await;
    within("a goodbye", client.disconnect()).await.unwrap();
    let mut moved = 1_880;
    while let Ok(change) = tokio::time::timeout(Duration::from_millis(500), uno.pin("9 pulse")).await {
        moved = change.value;
    }
    assert!((1_700..=1_880).contains(&moved), "it holds at {moved}");
}

#[tokio::test]
async fn the_librarys_motor_follows_the_slider_over_a_websocket() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut board = board("WifiLovenseVibrator", "LVSDevice", addr(&gateway.devices), None);
    let client = client(&gateway.clients, "driver").await;
    board.line("connected").await;
    listed(&client, 1).await;
    let hush = client.devices().into_values().next().unwrap();
    for (strength, duty) in [(0.5, 127), (1.0, 255), (0.0, 0), (0.75, 191)] {
        vibrate(&client, strength).await;
        board.pin_at("4 pwm", duty).await;
    }
    assert_eq!(within("the battery", hush.battery()).await.unwrap(), 100);
    let changed = tokio::time::timeout(STEADY, board.pin("4 pwm")).await;
    assert!(changed.is_err(), "a steady vibration stays: {changed:?}");
    gateway.signal(Signal::TERM);
    board.pin_at("4 pwm", 0).await;
    let reason = board.line("closed by the gateway: ").await;
    assert!(reason.starts_with("1001 "), "{reason}");
}

/// Intiface's own listener answers pings, so that the watchdog is content there too.
#[tokio::test]
async fn the_librarys_motor_follows_the_slider_of_the_reference_server() {
    let reference = Reference::start().await;
    let client = client(&reference.clients, "driver").await;
    let mut board = board("WifiLovenseVibrator", "LVSDevice", addr(&reference.devices), None);
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.pin_at("4 pwm", 127).await;
    let changed = tokio::time::timeout(STEADY, board.pin("4 pwm")).await;
    assert!(changed.is_err(), "a steady vibration stays: {changed:?}");
}

#[tokio::test]
async fn the_librarys_servo_moves_in_time_over_a_websocket() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut board = board("WifiTcodeStroker", "TCodeDevice", addr(&gateway.devices), None);
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    go_to(&client, 0.0, 100).await;
    // Before that, nobody sent the servo anywhere.
    let began = board.pin("18 pulse").await;
    assert!((1_460..=1_500).contains(&began.value), "{began:?}");
    let reached = board.pin_at("18 pulse", 1_100).await;
    let soft = reached.at_ms - began.at_ms;
    println!("library: the first move of the servo took {soft} ms");
    assert!((500..1_100 + LATE_MS).contains(&soft), "{soft} ms");
}

#[tokio::test]
async fn the_library_says_why_it_was_refused() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &["--device-token", "geheim-1"]).await;
    let devices = addr(&gateway.devices);
    let refused = async |identifier: &str, token: Option<&str>| {
        board("WifiLovenseVibrator", identifier, devices, token)
            .line("closed by the gateway: ")
            .await
    };
    let reason = refused("LVSDevice", Some("wrong")).await;
    assert!(reason.starts_with("401 ") && reason.contains("token"), "{reason}");
    let reason = refused("LVSDevice", None).await;
    assert!(reason.starts_with("401 ") && reason.contains("token"), "{reason}");
    let reason = refused("LVSDevise", Some("geheim-1")).await;
    println!("library, refused: {reason}");
    assert!(
        reason.starts_with("4001 ") && reason.contains("LVSDevice"),
        "{reason}"
    );
    let mut board = board("WifiLovenseVibrator", "LVSDevice", devices, Some("geheim-1"));
    board.line("connected").await;
}

#[tokio::test]
async fn the_library_stops_and_comes_back_when_the_gateway_is_killed() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::start(home.path(), &[]).await;
    let forwarder = Forwarder::to(&gateway.devices).await;
    let mut board = board("WifiLovenseVibrator", "LVSDevice", forwarder.addr, None);
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        let client = client(&gateway.clients, "driver").await;
        board.line("connected").await;
        listed(&client, 1).await;
        vibrate(&client, 1.0).await;
        board.pin_at("4 pwm", 255).await;
        let killed = Instant::now();
        gateway.signal(signal);
        board.pin_at("4 pwm", 0).await;
        println!(
            "library, gateway ended by {signal:?}: motor off after {} ms",
            killed.elapsed().as_millis()
        );
        gateway.exit_code().await;
        gateway = Process::start(home.path(), &[]).await;
        forwarder.redirect(&gateway.devices);
    }
    board.line("connected").await;
}

#[tokio::test]
async fn the_library_stops_when_the_gateway_freezes_and_goes_on_when_it_thaws() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut board = board("WifiLovenseVibrator", "LVSDevice", addr(&gateway.devices), None);
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.pin_at("4 pwm", 127).await;
    gateway.signal(Signal::STOP);
    let frozen = Instant::now();
    board.pin_at("4 pwm", 0).await;
    let after = frozen.elapsed().as_millis();
    let said: u64 = watchdog_said(&mut board).await;
    println!("library, gateway frozen: motor off after {after} ms, {said} ms after the last byte");
    assert!(
        (WEBSOCKET_WATCHDOG_MS..WEBSOCKET_WATCHDOG_MS + LATE_MS).contains(&said),
        "{said} ms"
    );
    board.line("not connected: nothing was heard").await;
    gateway.signal(Signal::CONT);
    board.line("connected").await;
    driven_again(&client, &mut board).await;
}

/// A client drives it again once its list has caught up; until then it is the old device that is commanded.
async fn driven_again(client: &ButtplugClient, board: &mut Program) {
    within("it is driven again", async {
        loop {
            if let Some(device) = client.devices().into_values().next() {
                let _ = device
                    .run_output(&ClientDeviceOutputCommand::Vibrate(0.25.into()))
                    .await;
            }
            let change = tokio::time::timeout(Duration::from_millis(200), board.pin("4 pwm")).await;
            if change.is_ok_and(|change| change.value == 63) {
                return;
            }
        }
    })
    .await;
}

/// What it writes waits where nobody reads, and the sketch with it: so it must not write that much.
#[tokio::test]
async fn the_library_stops_when_a_gateway_that_takes_nothing_falls_silent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.set_send_buffer_size(4_096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut board = board(
        "WifiLovenseVibrator",
        "LVSDevice",
        listener.local_addr().unwrap(),
        None,
    );
    let (mut stream, _) = within("a connection", listener.accept()).await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(within("a request", stream.read_u8()).await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap();
    let accept = derive_accept_key(key.split("\r\n").next().unwrap().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let frame = |command: &str| [&[0x82, command.len() as u8], command.as_bytes()].concat();
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.write_all(&frame("Vibrate:20;")).await.unwrap();
    board.pin_at("4 pwm", 255).await;
    // In the end, both ends have no room for another answer; the board reads on.
    let flood = frame("Battery;").repeat(50);
    let flooding = async {
        loop {
            within("the board reads on", stream.write_all(&flood))
                .await
                .unwrap();
        }
    };
    tokio::select! {
        () = flooding => {}
        _ = board.line("an answer was dropped: the gateway takes no more") => {}
    }
    // For its silence, or since there is no room for another question either; both take a second.
    board.pin_at("4 pwm", 0).await;
    let lost = board.line("not connected: ").await;
    assert!(
        ["nothing was heard", "the connection takes nothing"].contains(&&*lost),
        "{lost}"
    );
}

#[tokio::test]
async fn the_librarys_servo_keeps_its_speed_and_holds_when_the_gateway_is_killed_in_mid_stroke() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::start(home.path(), &[]).await;
    let mut board = board("WifiTcodeStroker", "TCodeDevice", addr(&gateway.devices), None);
    let client = client(&gateway.clients, "driver").await;
    board.line("connected").await;
    listed(&client, 1).await;
    go_to(&client, 0.0, 100).await;
    let (began, mut last) = (board.pin("18 pulse").await, board.pin_at("18 pulse", 1_100).await);
    // Small moves, until the soft start is over by the board's own clock.
    while last.at_ms - began.at_ms < 2_000 {
        go_to(&client, 0.1, 100).await;
        board.pin_at("18 pulse", 1_180).await;
        go_to(&client, 0.0, 100).await;
        last = board.pin_at("18 pulse", 1_100).await;
    }
    // As fast as it may: three ranges a second, of 800 us each. A pulse is told in whole microseconds.
    go_to(&client, 1.0, 0).await;
    let mut at = board.pin("18 pulse").await;
    while at.value < 1_890 {
        let next = board.pin("18 pulse").await;
        let most = (next.at_ms - at.at_ms + 1) * 2_400 / 1_000 + 2;
        assert!(next.value - at.value <= most, "{at:?} {next:?}");
        at = next;
    }
    go_to(&client, 0.0, 20_000).await;
    while board.pin("18 pulse").await.value > 1_880 {}
    gateway.signal(Signal::KILL);
    board.line("not connected: ").await;
    gateway.exit_code().await;
    let moved = tokio::time::timeout(Duration::from_millis(500), board.pin("18 pulse")).await;
    assert!(moved.is_err(), "it holds: {moved:?}");
}

#[tokio::test]
async fn an_uno_whose_sketch_hangs_is_restarted_and_its_motor_is_off() {
    let home = TempDir::new().unwrap();
    let mut uno = Program::uno("hang", &link(&home)).await;
    let gateway = bridge(home.path(), &link(&home)).await;
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    vibrate(&client, 1.0).await;
    let on = uno.pin_at("9 pwm", 255).await;
    let off = uno.pin_at("9 pwm", 0).await;
    let after = off.at_ms - on.at_ms;
    println!("Uno, sketch hangs 500 ms after its motor was switched on: off after {after} ms");
    assert!((2_000..4_000).contains(&after), "{after} ms");
    // It is there again, whoever of both notices first.
    vibrate(&client, 0.5).await;
    uno.pin_at("9 pwm", 127).await;
}

#[tokio::test]
async fn an_unos_servo_holds_when_the_gateway_freezes_in_mid_stroke() {
    let home = TempDir::new().unwrap();
    let mut uno = Program::uno("tcode", &link(&home)).await;
    let gateway = bridge(home.path(), &link(&home)).await;
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    go_to(&client, 0.0, 20_000).await;
    let began = uno.pin_at("9 pulse", 1_490).await;
    gateway.signal(Signal::STOP);
    let mut last = began.clone();
    while let Ok(change) = tokio::time::timeout(STEADY, uno.pin("9 pulse")).await {
        last = change;
    }
    let silent = last.silent_ms.unwrap();
    println!("Uno, gateway frozen in mid-stroke: last moved {silent} ms after the last byte");
    // A pulse is a step of 20 ms of this move or more.
    assert!(silent < SERIAL_WATCHDOG_MS + 20, "{silent} ms");
    assert!(last.value > 1_110, "it holds at {}", last.value);
}

/// The library is written anew in C++; so its numbers are compared with those of the gateway and of the core in Rust.
#[tokio::test]
async fn the_librarys_numbers_are_those_of_the_gateway_and_of_the_firmware_in_rust() {
    use wsdm_device::{AxisSettings, Kind, TcodeSettings, Timing, wsdm_protocol};
    let output = Command::new(built("host/checks"))
        .arg("numbers")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found = text.lines();
    let timing = Timing::DEFAULT;
    let numbers = [
        ("keepalive min", *wsdm_protocol::KEEPALIVE_RANGE_MS.start()),
        ("keepalive max", *wsdm_protocol::KEEPALIVE_RANGE_MS.end()),
        ("keepalives until stop", wsdm_protocol::KEEPALIVES_UNTIL_STOP),
        ("ping", timing.ping),
        ("watchdog", timing.silence),
        ("gone", timing.gone),
        ("upgrade", timing.connect),
        ("retry", timing.retry),
        ("retry cap", timing.retry_cap),
        ("refused", timing.refused),
        ("lasted", timing.lasted),
        ("calm", wsdm_device::CALM_MS),
        ("soft start", TcodeSettings::DEFAULT.soft_start_ms),
        ("soft speed", TcodeSettings::DEFAULT.soft_speed.into()),
        ("max speed", AxisSettings::new(Kind::Linear, 0).speed.into()),
        ("reversal", wsdm_device::REVERSAL_MS),
        ("step max", wsdm_device::STEP_MAX_MS),
        ("hello again", wsdm_device::HELLO_AGAIN_MS),
    ];
    for (name, number) in numbers {
        assert_eq!(found.next(), Some(format!("{name} {number}").as_str()));
    }
    for code in (1_000..1_016).chain(4_000..4_016) {
        let refusal = wsdm_protocol::close::is_refusal(code);
        assert_eq!(
            found.next(),
            Some(format!("refusal {code} {}", u8::from(refusal)).as_str())
        );
    }
    assert_eq!(found.next(), None);
}

#[tokio::test]
async fn the_library_stops_and_connects_anew_when_its_connection_is_half_open() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let forwarder = Forwarder::to(&gateway.devices).await;
    let mut board = board("WifiLovenseVibrator", "LVSDevice", forwarder.addr, None);
    let client = client(&gateway.clients, "driver").await;
    board.line("connected").await;
    listed(&client, 1).await;
    let index = client.devices().into_keys().next().unwrap();
    vibrate(&client, 0.5).await;
    board.pin_at("4 pwm", 127).await;
    forwarder.go_silent();
    board.pin_at("4 pwm", 0).await;
    let said = watchdog_said(&mut board).await;
    println!("library, half-open link: motor off {said} ms after the last byte");
    assert!(
        (WEBSOCKET_WATCHDOG_MS..WEBSOCKET_WATCHDOG_MS + LATE_MS).contains(&said),
        "{said} ms"
    );
    board.line("not connected: nothing was heard").await;
    board.line("connected").await;
    // The old connection is gone, or replaced.
    common::wait_until("the device is back", || {
        client.devices().keys().eq([&index]) && client.connected()
    })
    .await;
    driven_again(&client, &mut board).await;
}

async fn watchdog_said(board: &mut Program) -> u64 {
    let said = board.line("watchdog: ").await;
    said.split(' ').next().unwrap().parse().unwrap()
}
