//! The Arduino library's TLS, by the stand-in for an ESP32's core: against the real gateway, and against others that pretend
//! to be it.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;
#[path = "firmware/forwarder.rs"]
#[allow(dead_code, reason = "shared with the other tests of the firmware")]
mod forwarder;
#[path = "firmware/program.rs"]
#[allow(dead_code, reason = "shared with the other tests of the firmware")]
mod program;
#[path = "firmware/tls.rs"]
mod tls;

use std::time::{Duration, Instant};

use common::log::Log;
use common::process::{Process, run};
use common::{client, listed, vibrate, within};
use forwarder::Forwarder;
use program::{Program, built};
use rustix::process::Signal;
use tempfile::TempDir;
use tls::{Gateway, TOKEN, between, on_port, overheard, pretences, pretender, shows_the_token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use wsdm_device::{Loss, TlsFault};

/// What a freeze of the gateway may take until the board notices, and what a machine under load adds.
const WATCHDOG_MS: std::ops::Range<u64> = 1_000..3_000;
/// How long a handshake may take, and what a machine under load adds. A chip's watchdog waits five seconds.
const HANDSHAKE_MS: std::ops::Range<u128> = 3_900..5_000;
/// What it may take to see that a connection has ended, on a machine under load.
const NOTICED: Duration = Duration::from_millis(2_000);
/// Longer than the watchdog.
const STEADY: Duration = Duration::from_millis(2_500);

/// An ESP32's sketch on this machine with the token and this fingerprint, if any, built for the gateway at this address.
fn command(gateway: &str, fingerprint: Option<&str>) -> Command {
    let (host, port) = gateway.rsplit_once(':').unwrap();
    let mut command = Command::new(built("host/WifiLovenseVibrator"));
    command
        .env("WSDM_HOST_GATEWAY", host)
        .env("WSDM_HOST_PORT", port)
        .env("WSDM_HOST_TOKEN", TOKEN);
    if let Some(fingerprint) = fingerprint {
        command.env("WSDM_HOST_FINGERPRINT", fingerprint);
    }
    command
}

fn board(gateway: &str, fingerprint: Option<&str>) -> Program {
    Program::start(&mut command(gateway, fingerprint))
}

/// Why the board says that it has no connection, in the words of the firmware in Rust.
async fn lost(board: &mut Program, fault: TlsFault) {
    let loss = board.line("not connected: ").await;
    assert_eq!(loss, Loss::Tls(fault).to_string());
}

#[tokio::test]
async fn the_library_is_driven_over_tls_with_and_without_wss_in_its_setting() {
    let home = TempDir::new().unwrap();
    let mut gateway = Gateway::start(home.path(), "only").await;
    for scheme in ["wss://", "ws://", ""] {
        let fingerprint = gateway.fingerprint.to_uppercase();
        let mut board = board(&format!("{scheme}{}", gateway.devices()), Some(&fingerprint));
        let client = client(&gateway.process.clients, "driver").await;
        board.line("connected").await;
        gateway.log.expect(&["connected", "wss 127.0.0.1:"]).await;
        listed(&client, 1).await;
        for (strength, duty) in [(0.5, 127), (1.0, 255), (0.0, 0), (0.75, 191)] {
            vibrate(&client, strength).await;
            board.pin_at("4 pwm", duty).await;
        }
        let device = client.devices().into_values().next().unwrap();
        assert_eq!(within("the battery", device.battery()).await.unwrap(), 100);
        // The watchdog hears pings within TLS, too.
        let changed = tokio::time::timeout(STEADY, board.pin("4 pwm")).await;
        assert!(changed.is_err(), "a steady vibration stays: {changed:?}");
        within("the app goes", client.disconnect()).await.unwrap();
        board.pin_at("4 pwm", 0).await;
    }
}

#[tokio::test]
async fn the_library_comes_to_rest_however_its_gateway_ends_and_comes_back() {
    let home = TempDir::new().unwrap();
    let mut gateway = Gateway::start(home.path(), "only").await;
    let at = gateway.devices();
    let mut board = board(&format!("wss://{at}"), Some(&gateway.fingerprint));
    for signal in [Signal::STOP, Signal::TERM, Signal::KILL] {
        board.line("connected").await;
        let client = client(&gateway.process.clients, "driver").await;
        listed(&client, 1).await;
        vibrate(&client, 1.0).await;
        board.pin_at("4 pwm", 255).await;
        let ended = Instant::now();
        gateway.process.signal(signal);
        board.pin_at("4 pwm", 0).await;
        println!(
            "library within TLS, gateway ended by {signal:?}: motor off after {} ms",
            ended.elapsed().as_millis()
        );
        if signal == Signal::STOP {
            let said = board.line("watchdog: ").await;
            let ms: u64 = said.split(' ').next().unwrap().parse().unwrap();
            assert!(WATCHDOG_MS.contains(&ms), "{ms} ms");
            gateway.process.signal(Signal::CONT);
        } else {
            gateway.process.exit_code().await;
            gateway.process = Process::spawn(on_port(home.path(), &at.to_string())).await;
        }
    }
    // With everything off it pings every five seconds, and does not need that to see that a connection has ended.
    board.line("connected").await;
    let client = client(&gateway.process.clients, "driver").await;
    listed(&client, 1).await;
    let ended = Instant::now();
    gateway.process.signal(Signal::KILL);
    board.line("not connected: the connection broke off").await;
    assert!(ended.elapsed() < NOTICED, "{:?}", ended.elapsed());
}

#[tokio::test]
async fn another_certificate_is_told_apart_and_so_is_a_copy_of_the_right_one() {
    let home = TempDir::new().unwrap();
    let gateway = Gateway::start(home.path(), "only").await;
    let [another, copy] = pretences(&gateway, home.path());
    for ((certificate, key), fault) in [(another, TlsFault::Fingerprint), (copy, TlsFault::Forged)] {
        let (at, acceptor, listener) = pretender(certificate, key).await;
        let mut board = board(&format!("wss://{at}"), Some(&gateway.fingerprint));
        for _ in 0..2 {
            let (stream, _) = within("the board dials", listener.accept()).await.unwrap();
            match within("its handshake", acceptor.accept(stream)).await {
                // With TLS 1.2 the board has its half of the handshake before it can look at all of the other.
                Ok(mut tls) => {
                    assert_eq!(fault, TlsFault::Fingerprint);
                    let mut heard = Vec::new();
                    let _ = within("it leaves", tls.read_to_end(&mut heard)).await;
                    assert!(heard.is_empty(), "{}", heard.escape_ascii());
                }
                Err(e) => {
                    assert_eq!(fault, TlsFault::Forged, "{e}");
                    assert!(e.to_string().contains("DecryptError"), "{e}");
                }
            }
            lost(&mut board, fault).await;
        }
    }
}

/// All that the real gateway sees of it is a handshake, and the right fingerprint can be set on the console.
#[tokio::test]
async fn a_wrong_fingerprint_connects_to_nobody_until_the_right_one_is_set() {
    let home = TempDir::new().unwrap();
    let mut gateway = Gateway::start(home.path(), "also").await;
    let client = client(&gateway.process.clients, "driver").await;
    let at = gateway.devices();
    let flash = TempDir::new().unwrap();
    let wrong = "12".repeat(32);
    let mut command = command(&at.to_string(), Some(&wrong));
    let mut board = Program::with_console(command.env("WSDM_HOST_FLASH", flash.path()));
    for _ in 0..3 {
        lost(&mut board, TlsFault::Fingerprint).await;
    }
    assert!(client.devices().is_empty());
    let line = gateway
        .log
        .expect(&["WARN", "left after the TLS handshake without a word"])
        .await;
    assert!(line.contains(&gateway.fingerprint), "{line}");
    // Without a fingerprint, what demands one is not saved.
    let demanded = format!("set gateway wss://{at}");
    for line in [demanded.as_str(), "set fingerprint none", "save"] {
        board.type_line(line).await;
    }
    let refused = board.line("not saved: ").await;
    assert_eq!(refused, wsdm_device_board::Invalid::NoFingerprint.to_string());
    board
        .type_line(&format!("set fingerprint {}", gateway.fingerprint))
        .await;
    board.type_line("save").await;
    board.line("saved;").await;
    board.type_line("restart").await;
    board.line("settings: as saved").await;
    board.line("connected").await;
    gateway.log.expect(&["connected", "wss "]).await;
    listed(&client, 1).await;
    board.type_line("show").await;
    assert_eq!(board.line("gateway = ").await, format!("wss://{at}"));
    assert_eq!(board.line("fingerprint = ").await, gateway.fingerprint);
}

#[tokio::test]
async fn without_a_fingerprint_wss_is_refused_and_nobody_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let nobody_is_dialled = async || {
        let dialled = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(dialled.is_err(), "{dialled:?}");
    };
    let mut without = board(&format!("wss://{at}"), None);
    for _ in 0..3 {
        let loss = without.line("not connected: ").await;
        assert_eq!(loss, Loss::NoFingerprint.to_string());
    }
    nobody_is_dialled().await;
    // Nor with one that is none, of a build that wanted one.
    let mut wrong = board(&at.to_string(), Some("12:34"));
    wrong.line("this build's fingerprint is left out: ").await;
    wrong.line("no network is joined until settings are saved").await;
    nobody_is_dialled().await;
}

#[tokio::test]
async fn a_gateway_without_tls_is_told_and_there_is_no_connection_without() {
    let home = TempDir::new().unwrap();
    let mut gateway = Process::spawn(run(home.path())).await;
    let mut log = Log::of(&mut gateway.child);
    let client = client(&gateway.clients, "driver").await;
    let at = gateway.devices.trim_start_matches("ws://").to_owned();
    let mut board = board(&at, Some(&"ab".repeat(32)));
    for _ in 0..3 {
        lost(&mut board, TlsFault::Unknown).await;
    }
    log.expect(&["it speaks TLS, and the port for devices does not"])
        .await;
    assert!(client.devices().is_empty());
}

#[tokio::test]
async fn who_speaks_no_tls_gets_no_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let fingerprint = "ab".repeat(32);
    let said = |fault: TlsFault| Loss::Tls(fault).to_string();
    for gateway in [at.to_string(), format!("wss://{at}")] {
        let mut board = board(&gateway, Some(&fingerprint));
        for (answer, told) in [
            (
                &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"[..],
                said(TlsFault::Unknown),
            ),
            (b"\x15\x03\x03\x00\x02\x02\x28", said(TlsFault::Refused)),
            (
                b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
                "no TLS with what answers there (-0x".to_owned(),
            ),
            (b"", said(TlsFault::Ended)),
        ] {
            let heard = overheard(&listener, answer).await;
            assert_eq!(heard.first(), Some(&0x16), "a handshake: {heard:?}");
            assert!(!shows_the_token(&heard), "{}", heard.escape_ascii());
            let loss = board.line("not connected: ").await;
            assert!(loss.starts_with(&told), "{loss}, not {told}");
        }
    }
    // What was said last is not said of what came to nothing before that.
    drop(listener);
    let mut board = board(&at.to_string(), Some(&fingerprint));
    assert_eq!(
        board.line("not connected: ").await,
        "nothing answers at this address"
    );
}

/// It waits for a handshake that never ends, with everything off and for less than the chip's watchdog would.
#[tokio::test]
async fn a_handshake_without_an_end_is_given_up_and_outputs_are_off_meanwhile() {
    let home = TempDir::new().unwrap();
    let gateway = Gateway::start(home.path(), "only").await;
    let forwarder = Forwarder::to(&format!("ws://{}", gateway.devices())).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut board = board(&forwarder.addr.to_string(), Some(&gateway.fingerprint));
    board.line("connected").await;
    let driver = client(&gateway.process.clients, "driver").await;
    listed(&driver, 1).await;
    vibrate(&driver, 1.0).await;
    board.pin_at("4 pwm", 255).await;
    forwarder.redirect(&format!("ws://{}", silent.local_addr().unwrap()));
    gateway.process.signal(Signal::KILL);
    board.pin_at("4 pwm", 0).await;
    for _ in 0..2 {
        let (mut stream, _) = within("it dials", silent.accept()).await.unwrap();
        let begun = Instant::now();
        let mut heard = Vec::new();
        within("it gives up", stream.read_to_end(&mut heard))
            .await
            .unwrap();
        let took = begun.elapsed().as_millis();
        println!("library, a handshake without an end: given up after {took} ms");
        assert!(HANDSHAKE_MS.contains(&took), "{took} ms");
        assert_eq!(heard.first(), Some(&0x16), "a handshake: {heard:?}");
        assert!(!shows_the_token(&heard), "{}", heard.escape_ascii());
    }
    // Nothing that a pin did came in between.
    let losses = ["the connection broke off".to_owned(), Loss::Slow.to_string()];
    for loss in losses {
        assert_eq!(board.line("").await, format!("not connected: {loss}"));
    }
}

/// Who sits between sees neither the token nor the commands, and what he changes ends the connection at rest.
#[tokio::test]
async fn what_is_changed_on_the_way_stops_the_board() {
    let home = TempDir::new().unwrap();
    let gateway = Gateway::start(home.path(), "only").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut board = board(&at.to_string(), Some(&gateway.fingerprint));
    let (mut near, _) = within("the board dials", listener.accept()).await.unwrap();
    let mut far = TcpStream::connect(gateway.devices()).await.unwrap();
    let client = client(&gateway.process.clients, "driver").await;
    let driven = async {
        listed(&client, 1).await;
        vibrate(&client, 1.0).await;
        board.pin_at("4 pwm", 255).await;
    };
    let seen = between(&mut near, &mut far, driven).await;
    assert!(!shows_the_token(&seen));
    assert!(!seen.windows(7).any(|window| window == b"Vibrate"));
    // A record that nobody encrypted.
    near.write_all(&[&b"\x17\x03\x03\x00\x20"[..], &[0; 32]].concat())
        .await
        .unwrap();
    board.pin_at("4 pwm", 0).await;
    board.line("not connected: the connection broke off").await;
}

/// The ESP8266's TLS could compare nothing but a SHA-1.
#[tokio::test]
async fn an_esp8266_refuses_a_fingerprint_and_wss_and_says_why() {
    let flash = TempDir::new().unwrap();
    let mut command = Command::new(built("host/WifiLovenseVibrator-esp8266"));
    command
        .env("WSDM_HOST_SSID", "")
        .env("WSDM_HOST_FLASH", flash.path());
    let mut board = Program::with_console(&mut command);
    board.line("no network is set: ").await;
    for (line, name) in [
        (format!("set fingerprint {}", "ab".repeat(32)), "fingerprint"),
        ("set gateway wss://10.0.0.2".to_owned(), "gateway"),
    ] {
        board.type_line(&line).await;
        let refused = board.line(&format!("{name} stays: ")).await;
        assert!(refused.contains("an ESP8266 has no TLS for this"), "{refused}");
    }
    board.type_line("show").await;
    assert_eq!(board.line("gateway = ").await, "mdns");
}
