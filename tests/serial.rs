//! Boards on wires: found, opened, introduced, driven, pulled out and plugged in again.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::process::{Process, is_root, program_for_everybody};
use common::pty::Board;
#[cfg(target_os = "linux")]
use common::system::{ARDUINO, CH340, System};
use common::{RawDevice, Running, client, listed, relaying, settings, vibrate, within};
use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use wsdm_gateway::config::{Layers, Loaded, Settings};
use wsdm_gateway::device::frame::Frame;
use wsdm_gateway::link::framing::Framing;
use wsdm_gateway::link::serial::{LineSettings, Port, SerialLink};

/// The settings that a gateway.toml comes to, on ports that the system chooses, remembering nothing.
fn configured(toml: &str) -> Settings {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).expect("a configuration that holds");
    Settings {
        serial: loaded.settings.serial,
        ..settings()
    }
}

/// An entry for this port, with more keys.
fn entry(port: &Path, keys: &str) -> String {
    format!("[[serial]]\nport = {:?}\n{keys}\n", port.to_str().unwrap())
}

/// A gateway with one entry: for this port, with more keys.
async fn bridging(port: &Path, keys: &str) -> Running {
    Running::start(configured(&entry(port, keys))).await
}

const LOVENSE: &str = "identifier = \"LVSDevice\"\naddress = \"bench-1\"";
const TCODE: &str = "identifier = \"TCodeDevice\"\naddress = \"bench-2\"";

#[tokio::test]
async fn a_configured_board_is_there_is_driven_and_answers() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let gateway = bridging(&board.port, LOVENSE).await;
    let client = client(&gateway.clients(), "driver").await;
    board.be_lovense("AABBCCDDEEFF").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.expect("Vibrate:10;").await;
    let hush = client.devices().into_values().next().unwrap();
    let battery = tokio::spawn(hush.battery());
    board.expect("Battery;").await;
    // In two reads, with the next answer's beginning.
    board.say("9").await;
    board.say("0;O").await;
    assert_eq!(within("the battery", battery).await.unwrap().unwrap(), 90);
    gateway.stop().await;
    board.expect("Vibrate:0;").await;
}

#[tokio::test]
async fn a_board_introduces_itself_after_what_its_boot_loader_printed() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    board.say("ets Jun  8 2016 00:22:57\r\n\x01\x02").await;
    let gateway = bridging(&board.port, "").await;
    let client = client(&gateway.clients(), "driver").await;
    let hello = "{\"identifier\":\"LVSDevice\",\"address\":\"me\",\"version\":0}\r\n";
    // It is asked.
    board.expect("\n").await;
    board.say(hello).await;
    board.be_lovense("AABBCCDDEEFF").await;
    listed(&client, 1).await;
    // Another hello, as after a reset, is no frame: the answer is the next one.
    let hush = client.devices().into_values().next().unwrap();
    let battery = tokio::spawn(hush.battery());
    board.expect("Battery;").await;
    board.say(format!("{hello}77;")).await;
    assert_eq!(within("the battery", battery).await.unwrap().unwrap(), 77);
    gateway.stop().await;
}

#[tokio::test]
async fn a_board_that_is_pulled_out_mid_frame_leaves_and_comes_back_as_the_same_device() {
    let folder = TempDir::new().unwrap();
    let port = folder.path().join("tty");
    let gateway = bridging(&port, LOVENSE).await;
    let client = client(&gateway.clients(), "driver").await;
    let mut index = None;
    for _ in 0..3 {
        let mut board = Board::plug(&port);
        board.be_lovense("AABBCCDDEEFF").await;
        listed(&client, 1).await;
        let found = client.devices().into_keys().next().unwrap();
        assert_eq!(*index.get_or_insert(found), found);
        board.say("Batt").await;
        drop(board);
        listed(&client, 0).await;
    }
    gateway.stop().await;
}

/// What a client that goes leaves running is stopped, on every link.
#[tokio::test]
async fn a_client_that_goes_has_its_board_stopped() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let (gateway, driver) = driven_lovense(&mut board, &format!("{LOVENSE}\non_close = \"PowerOff;\"")).await;
    vibrate(&driver, 1.0).await;
    board.expect("Vibrate:20;").await;
    within("a goodbye", driver.disconnect()).await.unwrap();
    board.expect("PowerOff;").await;
    gateway.stop().await;
}

/// `05 c2 80 c2 80` instead would start the motor of a firmware that reads a speed of 0 as `80 80`.
#[tokio::test]
async fn the_bytes_of_on_close_arrive_as_they_were_written() {
    for written in [
        r"'\x05\x80\x80'",
        r#""\\x05\\x80\\x80""#,
        r#"{ hex = "05 80 80" }"#,
    ] {
        let folder = TempDir::new().unwrap();
        let mut board = Board::plug(&folder.path().join("tty"));
        let gateway = bridging(&board.port, &format!("{LOVENSE}\non_close = {written}")).await;
        // A board that comes is stopped first.
        let stop = board.bytes(3).await;
        assert_eq!(stop, [0x05, 0x80, 0x80], "{written}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_delimiter_that_is_no_text_ends_frames() {
    for written in [r"'\xaa'", r#"{ hex = "aa" }"#] {
        let folder = TempDir::new().unwrap();
        let mut board = Board::plug(&folder.path().join("tty"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("ws://{}", listener.local_addr().unwrap());
        let entry = entry(
            &board.port,
            &format!("{LOVENSE}\nframing = {{ delimiter = {written} }}"),
        );
        let gateway = Running::start(Settings {
            serial: configured(&entry).serial,
            ..relaying(&upstream)
        })
        .await;
        let (stream, _) = within("the gateway dials", listener.accept()).await.unwrap();
        let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
        within("a handshake", ws.next()).await.unwrap().unwrap();
        board.say([b'a', 0xaa, b'b', b'c', 0xaa]).await;
        let frames = within("two frames", async {
            let mut frames = Vec::new();
            while frames.len() < 2 {
                if let Message::Binary(frame) = ws.next().await.unwrap().unwrap() {
                    frames.push(frame.to_vec());
                }
            }
            frames
        })
        .await;
        assert_eq!(frames, [vec![b'a', 0xaa], vec![b'b', b'c', 0xaa]], "{written}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_slow_line_gets_the_newest_command_and_the_last_one_always() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let gateway = bridging(&board.port, &format!("{TCODE}\nbaud_rate = 1200")).await;
    let mut driver = common::json_client::JsonClient::connect(&gateway.clients(), 4).await;
    while driver.device_indexes().await.is_empty() {
        driver.event("DeviceList").await;
    }
    let index = driver.device_indexes().await[0];
    // At 1,200 baud a command of 6 bytes takes 50 ms, and these come all at once.
    for position in (0..300).chain([42]) {
        driver
            .send(
                "OutputCmd",
                serde_json::json!({"DeviceIndex": index, "FeatureIndex": 0,
                    "Command": {"HwPositionWithDuration": {"Value": position % 100, "Duration": 100}}}),
            )
            .await;
    }
    let before = board.expect("L0042I100\n").await;
    let written = before.matches('\n').count();
    assert!(written < 100, "{written} of 300 stale commands were written");
    gateway.stop().await;
    board.expect("DSTOP\n").await;
}

/// However much waits for the line, a stop waits for one frame at most.
#[tokio::test]
async fn on_a_slow_line_a_stop_passes_everything_that_waits() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let keys = format!("{TCODE}\nbaud_rate = 9600");
    let gateway = bridging(&board.port, &keys).await;
    let mut driver = common::json_client::JsonClient::connect(&gateway.clients(), 4).await;
    while driver.device_indexes().await.is_empty() {
        driver.event("DeviceList").await;
    }
    let index = driver.device_indexes().await[0];
    for position in 0..200 {
        driver
            .send(
                "OutputCmd",
                serde_json::json!({"DeviceIndex": index, "FeatureIndex": 0,
                    "Command": {"HwPositionWithDuration": {"Value": position % 100, "Duration": 100}}}),
            )
            .await;
    }
    // Some of them are on the wire, the newest waits, and then the client is gone without a word.
    board.expect("L0").await;
    drop(driver);
    let lost = std::time::Instant::now();
    board.expect("DSTOP\n").await;
    println!(
        "stopped {:?} after its client was gone, at 9,600 baud",
        lost.elapsed()
    );
    let after = tokio::time::timeout(Duration::from_millis(200), board.read()).await;
    let after = after
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    assert!(!after.contains("L0"), "no motion after the stop: {after:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn the_port_is_set_up_as_configured() {
    use rustix::termios::{ControlModes, InputModes};
    let folder = TempDir::new().unwrap();
    for (keys, baud, two_stop_bits, hardware, software) in [
        ("baud_rate = 9600\nstop_bits = 2", 9_600, true, false, false),
        (
            "flow_control = \"hardware\"\ndtr_on_open = false\nrts_on_open = true",
            115_200,
            false,
            true,
            false,
        ),
        (
            "baud_rate = 250000\nflow_control = \"software\"",
            250_000,
            false,
            false,
            true,
        ),
    ] {
        let mut board = Board::plug(&folder.path().join("tty"));
        let gateway = bridging(&board.port, &format!("{LOVENSE}\n{keys}")).await;
        board.be_lovense("AABBCCDDEEFF").await;
        let attributes = board.attributes();
        assert_eq!(attributes.output_speed(), baud, "{keys}");
        assert_eq!(
            attributes.control_modes.contains(ControlModes::CSTOPB),
            two_stop_bits,
            "{keys}"
        );
        assert_eq!(
            attributes.control_modes.contains(ControlModes::CRTSCTS),
            hardware,
            "{keys}"
        );
        assert_eq!(
            attributes.input_modes.contains(InputModes::IXON),
            software,
            "{keys}"
        );
        gateway.stop().await;
    }
}

#[tokio::test]
async fn every_framing_carries_a_lovense() {
    let folder = TempDir::new().unwrap();
    for (framing, question, answer) in [
        (
            "{ delimiter = \";\" }",
            &b"DeviceType;"[..],
            &b"Z:11:AABBCCDDEEFF;"[..],
        ),
        (
            "{ length_prefix = 1 }",
            b"\x0bDeviceType;",
            b"\x12Z:11:AABBCCDDEEFF;",
        ),
        (
            "{ length_prefix = 2, length_order = \"little\" }",
            b"\x0b\0DeviceType;",
            b"\x12\0Z:11:AABBCCDDEEFF;",
        ),
        ("{ idle_ms = 30 }", b"DeviceType;", b"Z:11:AABBCCDDEEFF;"),
        ("{ raw = true }", b"DeviceType;", b"Z:11:AABBCCDDEEFF;"),
    ] {
        let mut board = Board::plug(&folder.path().join("tty"));
        let keys = format!("{LOVENSE}\nframing = {framing}");
        let gateway = bridging(&board.port, &keys).await;
        let client = client(&gateway.clients(), "lister").await;
        let mut asked = Vec::new();
        // Behind what stops it.
        while !asked.ends_with(question) {
            asked.extend(board.read().await);
        }
        board.say(answer).await;
        listed(&client, 1).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_board_that_never_reads_or_floods_costs_itself_alone() {
    let folder = TempDir::new().unwrap();
    let mut deaf = Board::plug(&folder.path().join("deaf"));
    let mut loud = Board::plug(&folder.path().join("loud"));
    let toml = entry(
        &deaf.port,
        "identifier = \"TCodeDevice\"\naddress = \"deaf\"\nbaud_rate = 4000000\ncoalesce = \"none\"",
    ) + &entry(
        &loud.port,
        "identifier = \"LVSDevice\"\naddress = \"loud\"\nbaud_rate = 4000000",
    );
    let gateway = Running::start(configured(&toml)).await;
    let client = client(&gateway.clients(), "driver").await;
    loud.be_lovense("AABBCCDDEEFF").await;
    listed(&client, 2).await;
    // Nobody reads what the one is sent, and the other never stops talking.
    let flood = tokio::spawn(async move {
        loop {
            loud.say("1234567890;".repeat(300)).await;
        }
    });
    let mut other = RawDevice::lovense(&gateway.devices(), "quiet").await;
    listed(&client, 3).await;
    for _ in 0..50 {
        for device in client.devices().into_values() {
            let command = if device.name().contains("Lovense") {
                ClientDeviceOutputCommand::Vibrate(0.25.into())
            } else {
                ClientDeviceOutputCommand::HwPositionWithDuration(0.5.into(), 10)
            };
            tokio::spawn(async move { device.run_output(&command).await });
        }
    }
    other.expect("Vibrate:5;").await;
    deaf.say("garbage\u{fffd}\x00\n").await;
    gateway.stop().await;
    flood.abort();
}

#[tokio::test]
async fn a_watchdog_is_fed_while_somebody_has_control_and_not_after() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let gateway = bridging(&board.port, "").await;
    let driver = client(&gateway.clients(), "driver").await;
    board.expect("\n").await;
    board
        .say("{\"identifier\":\"LVSDevice\",\"version\":0,\"keepalive_ms\":50}\n")
        .await;
    board.be_lovense("AABBCCDDEEFF").await;
    listed(&driver, 1).await;
    vibrate(&driver, 1.0).await;
    board.expect("Vibrate:20;").await;
    // A steady vibration is silence on the wire but for these.
    for _ in 0..3 {
        assert_eq!(board.expect("\n").await, "");
    }
    within("a goodbye", driver.disconnect()).await.unwrap();
    board.expect("Vibrate:0;").await;
    // The library's own stop may still follow; a sign of life may not.
    let alive = async { while !board.read().await.contains(&b'\n') {} };
    let alive = tokio::time::timeout(Duration::from_millis(300), alive).await;
    assert!(alive.is_err(), "signs of life to a board at rest");
    gateway.stop().await;
}

/// A gateway whose entry for the board has these keys, and a client that sees the board.
async fn driven_lovense(board: &mut Board, keys: &str) -> (Running, ButtplugClient) {
    let gateway = bridging(&board.port, keys).await;
    let driver = client(&gateway.clients(), "driver").await;
    board.be_lovense("AABBCCDDEEFF").await;
    listed(&driver, 1).await;
    (gateway, driver)
}

/// A steady vibration is silence on the wire but for the signs of life.
async fn vibrates_steadily_and_is_fed(board: &mut Board, driver: &ButtplugClient) {
    vibrate(driver, 1.0).await;
    board.expect("Vibrate:20;").await;
    for _ in 0..3 {
        assert_eq!(board.expect("\n").await, "");
    }
}

#[tokio::test]
async fn a_configured_board_is_fed_as_configured() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let (gateway, driver) = driven_lovense(&mut board, &format!("{LOVENSE}\nkeepalive_ms = 50")).await;
    vibrates_steadily_and_is_fed(&mut board, &driver).await;
    gateway.stop().await;
}

/// It was asked for nothing, but it may have started again, or stopped because nothing fed it.
#[tokio::test]
async fn a_configured_board_that_says_a_hello_line_is_fed_as_it_asks() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let (gateway, driver) = driven_lovense(&mut board, LOVENSE).await;
    vibrate(&driver, 0.5).await;
    board.expect("Vibrate:10;").await;
    let hello = "{\"identifier\":\"LVSDevice\",\"version\":0,\"keepalive_ms\":50}\r\n";
    // Somebody has control, so that it is fed at once.
    board.say(hello).await;
    assert_eq!(board.expect("\n").await, "");
    vibrates_steadily_and_is_fed(&mut board, &driver).await;
    // It was no frame: the answer is the next one.
    let hush = driver.devices().into_values().next().unwrap();
    let battery = tokio::spawn(hush.battery());
    board.expect("Battery;").await;
    board.say(format!("{hello}77;")).await;
    assert_eq!(within("the battery", battery).await.unwrap().unwrap(), 77);
    gateway.stop().await;
}

/// Its output is discarded while it settles, but for that.
#[tokio::test]
async fn a_board_that_says_its_hello_line_while_it_settles_is_fed_as_it_asks() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    board
        .say("boot{\"identifier\":\"LVSDevice\",\"version\":0,\"keepalive_ms\":50}\r\nready\r\n")
        .await;
    let (gateway, driver) = driven_lovense(&mut board, &format!("{LOVENSE}\nsettle_ms = 100")).await;
    vibrates_steadily_and_is_fed(&mut board, &driver).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_hello_line_that_says_something_else_than_the_configuration_is_told_of_once() {
    let home = TempDir::new().unwrap();
    let mut board = Board::plug(&home.path().join("tty"));
    let (mut gateway, mut log) = start(&home, &entry(&board.port, LOVENSE)).await;
    let driver = client(&gateway.clients, "driver").await;
    board.be_lovense("AABBCCDDEEFF").await;
    listed(&driver, 1).await;
    let hush = driver.devices().into_values().next().unwrap();
    let battery = tokio::spawn(hush.battery());
    board.expect("Battery;").await;
    let other = "{\"identifier\":\"TCodeDevice\",\"version\":0}\n";
    // The answer behind them shows that all of them were read.
    board.say(format!("{}77;", other.repeat(3))).await;
    assert_eq!(within("the battery", battery).await.unwrap().unwrap(), 77);
    gateway.signal(Signal::TERM);
    let mut all = String::new();
    within("the end of the log", log.read_to_string(&mut all))
        .await
        .unwrap();
    assert_eq!(gateway.exit_code().await, Some(0), "{all}");
    let told: Vec<_> = all.lines().filter(|line| line.contains("TCodeDevice")).collect();
    assert!(
        matches!(told[..], [line] if line.contains(" WARN ") && line.contains("LVSDevice")),
        "{all}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn every_port_that_matches_is_a_device_with_an_address_of_its_own() {
    let system = System::new();
    let second = [&ARDUINO[..4], &[("serial", "second")]].concat();
    system.usb("1-1", "ttyACM0", ARDUINO);
    system.usb("1-2", "ttyUSB0", CH340);
    system.usb("1-3", "ttyACM1", &second);
    let mut boards = HashMap::from([
        (
            "bench-75834353030351F0E1B1",
            Board::plug(&system.path("dev/ttyACM0")),
        ),
        ("bench-second", Board::plug(&system.path("dev/ttyACM1"))),
    ]);
    let other = Board::plug(&system.path("dev/ttyUSB0"));
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let toml = "[[serial]]\nmatch = { vid = \"2341\" }\nidentifier = \"LVSDevice\"\naddress = \"bench-\"\nbaud_rate = 57600\n";
    let gateway = Running::start(Settings {
        ports: system.ports(),
        upstream: relaying(&format!("ws://{}", upstream.local_addr().unwrap())).upstream,
        ..configured(toml)
    })
    .await;
    let mut halves = HashMap::new();
    for _ in 0..2 {
        let (stream, _) = within("a device is relayed", upstream.accept()).await.unwrap();
        let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
        let hello = within("a handshake", ws.next()).await.unwrap().unwrap();
        let hello: serde_json::Value = serde_json::from_str(hello.to_text().unwrap()).unwrap();
        halves.insert(hello["address"].as_str().unwrap().to_owned(), ws);
    }
    for (n, (address, board)) in boards.iter_mut().enumerate() {
        let ws = halves.get_mut(*address).expect("that address");
        let command = format!("Vibrate:{n};");
        ws.send(Message::binary(command.clone())).await.unwrap();
        board.expect(&command).await;
    }
    system.unplug("ttyACM1");
    drop(boards.remove("bench-second"));
    let ws = halves.get_mut("bench-second").unwrap();
    let left = within("it left", async {
        loop {
            match ws.next().await.unwrap().unwrap() {
                Message::Ping(_) => {}
                other => return other,
            }
        }
    });
    assert!(left.await.is_close());
    assert_ne!(
        other.attributes().output_speed(),
        57_600,
        "the port that does not match was opened"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_serial_board_is_relayed_with_its_own_handshake() {
    let folder = TempDir::new().unwrap();
    let upstream = Running::start(settings()).await;
    let mut board = Board::plug(&folder.path().join("tty"));
    let gateway = Running::start(Settings {
        upstream: relaying(&upstream.devices()).upstream,
        ..configured(&entry(&board.port, LOVENSE))
    })
    .await;
    let client = client(&upstream.clients(), "driver").await;
    board.be_lovense("AABBCCDDEEFF").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.expect("Vibrate:10;").await;
    drop(board);
    listed(&client, 0).await;
    gateway.stop().await;
    upstream.stop().await;
}

/// Upstream's refusal of a board holds until somebody changes something: it is not asked again soon, unless the board
/// is plugged in anew.
#[tokio::test]
async fn a_board_that_upstream_refuses_is_asked_about_later_and_at_the_next_plug() {
    let folder = TempDir::new().unwrap();
    let (port, other_port) = (folder.path().join("tty"), folder.path().join("other"));
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", upstream.local_addr().unwrap());
    let mut board = Board::plug(&port);
    // It stays plugged in: when it is asked about again shows how long the other one would have waited.
    let _other = Board::plug(&other_port);
    let gateway = Running::start(Settings {
        upstream: relaying(&url).upstream,
        ..configured(&(entry(&port, LOVENSE) + &entry(&other_port, TCODE)))
    })
    .await;
    let next = async || {
        let (stream, _) = within("a connection", upstream.accept()).await.unwrap();
        let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
        let handshake = within("a handshake", ws.next()).await.unwrap().unwrap();
        let first = handshake.to_text().unwrap().contains("bench-1");
        (ws, first)
    };
    let mut refuse_both = async || {
        for _ in 0..2 {
            let refusal = CloseFrame {
                code: 4001.into(),
                reason: "unknown identifier".into(),
            };
            let (mut ws, first) = next().await;
            ws.close(Some(refusal)).await.unwrap();
            if first {
                // It is stopped, as nobody has control of it.
                board.expect("Vibrate:0;").await;
            }
        }
    };
    let refused = std::time::Instant::now();
    refuse_both().await;
    refuse_both().await;
    assert!(
        refused.elapsed() > Duration::from_secs(2),
        "upstream was asked again at once"
    );
    drop(board);
    let mut board = Board::plug(&port);
    let (mut ws, first) = next().await;
    assert!(first, "the plug was not noticed");
    ws.send(Message::binary(&b"Vibrate:3;"[..])).await.unwrap();
    board.expect("Vibrate:3;").await;
    gateway.stop().await;
    board.expect("Vibrate:0;").await;
}

/// Reads the log until a line holds this text.
async fn log_line(stderr: &mut BufReader<impl tokio::io::AsyncRead + Unpin>, wanted: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        let read = within(&format!("{wanted:?} after:\n{seen}"), stderr.read_line(&mut line)).await;
        assert!(read.unwrap() > 0, "the log ended without {wanted:?}:\n{seen}");
        if line.contains(wanted) {
            return line;
        }
        seen.push_str(&line);
    }
}

async fn start(home: &TempDir, toml: &str) -> (Process, BufReader<tokio::process::ChildStderr>) {
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    let mut gateway = Process::start(home.path(), &["--config", file.to_str().unwrap()]).await;
    let stderr = BufReader::new(gateway.child.stderr.take().unwrap());
    (gateway, stderr)
}

#[tokio::test]
async fn a_busy_port_is_said_once_with_who_has_it_and_is_taken_when_it_is_free() {
    let home = TempDir::new().unwrap();
    let mut board = Board::plug(&home.path().join("tty"));
    let (_first, _log) = start(&home, &entry(&board.port, LOVENSE)).await;
    board.expect("DeviceType;").await;
    let (second, mut log) = start(&home, &entry(&board.port, LOVENSE)).await;
    let line = log_line(&mut log, "cannot be opened").await;
    assert!(line.contains("pid"), "{line}");
    drop((_first, _log));
    board.expect("DeviceType;").await;
    let mut rest = String::new();
    while !rest.contains("device connected") {
        let read = within("a line", log.read_line(&mut rest)).await.unwrap();
        assert!(read > 0, "{rest}");
    }
    assert!(!rest.contains("cannot be opened"), "{rest}");
    second.signal(Signal::TERM);
}

#[tokio::test]
async fn a_silent_board_is_reported_with_a_hint_and_asked_again_at_the_next_plug() {
    let home = TempDir::new().unwrap();
    let port = home.path().join("tty");
    let mut board = Board::plug(&port);
    let (gateway, mut log) = start(&home, &entry(&port, "")).await;
    board.say("hello world\r\n").await;
    let line = log_line(&mut log, "no hello line within 5 s").await;
    assert!(
        line.contains("hello world") && line.contains("baud_rate") && line.contains("[[serial]]"),
        "{line}"
    );
    drop(board);
    let mut board = Board::plug(&port);
    board.expect("\n").await;
    board.say("{\"identifier\":\"LVSDevice\",\"version\":0}\n").await;
    let line = log_line(&mut log, "device connected").await;
    assert!(
        line.contains(port.to_str().unwrap()),
        "the port is the address: {line}"
    );
    gateway.signal(Signal::TERM);
}

/// A board may take its time to start, or be flashed while its port stays: it is listened to for as long as it is there.
#[tokio::test]
async fn a_silent_board_is_listened_to_until_its_hello_line_comes() {
    let home = TempDir::new().unwrap();
    let port = home.path().join("tty");
    let mut board = Board::plug(&port);
    let (gateway, mut log) = start(&home, &entry(&port, "")).await;
    log_line(&mut log, "no hello line within 5 s").await;
    board
        .say("late{\"identifier\":\"LVSDevice\",\"version\":0}\n")
        .await;
    let line = log_line(&mut log, "device connected").await;
    assert!(line.contains(port.to_str().unwrap()), "{line}");
    board.be_lovense("AABBCCDDEEFF").await;
    gateway.signal(Signal::TERM);
}

/// Opening the port may have restarted it, but a board that does not restart may still run as a killed gateway left it.
#[tokio::test]
async fn a_board_that_settles_while_the_gateway_stops_is_stopped() {
    let folder = TempDir::new().unwrap();
    for (keys, stop) in [
        (format!("{LOVENSE}\nsettle_ms = 20000"), "Vibrate:0;"),
        // Nothing tells what it is yet, but its entry says how it is stopped.
        ("on_close = \"HALT;\"\nsettle_ms = 20000".to_owned(), "HALT;"),
        // Nothing tells how it is stopped: in every language that it can be recognised by.
        ("settle_ms = 20000".to_owned(), "DSTOP\n"),
        ("settle_ms = 20000".to_owned(), "Vibrate:0;"),
    ] {
        let mut board = Board::plug(&folder.path().join("tty"));
        // Its port is set up before it settles.
        let gateway = bridging(&board.port, &format!("{keys}\nbaud_rate = 57600")).await;
        common::wait_until("the port is open", || board.attributes().output_speed() == 57_600).await;
        gateway.stop().await;
        board.expect(stop).await;
    }
}

#[tokio::test]
async fn a_raw_board_that_sends_json_is_heard_without_newlines() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let line = LineSettings::default();
    let port = Port::open(&board.port, &line).unwrap();
    let mut link = SerialLink::new(port, line, Framing::Raw, bytes::BytesMut::new());
    for text in ["{\"version\":3}", "{\"address\":\"bench", "{", "end"] {
        board.say(text).await;
        let frame = within("it is not held back", link.next()).await.unwrap().unwrap();
        assert_eq!(frame, Frame::from(text));
    }
}

/// A line of 1,200 baud and 8N1: a character takes 8.3 ms, whenever the pseudo-terminal passes it on.
const CHARACTER: Duration = Duration::from_micros(8_333);

/// Sends commands of 12 characters to a board for two seconds. The board answers each with `replies`, one after the
/// other; the line carries a command in 100 ms, or in no time if `is_virtual`. How many commands were written.
async fn commands_in_two_seconds(replies: &'static [&'static str], is_virtual: bool) -> u32 {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let line = LineSettings {
        baud_rate: 1_200,
        ..LineSettings::default()
    };
    let port = Port::open(&board.port, &line).unwrap();
    let framing = Framing::Delimiter(bytes::Bytes::from_static(b";"));
    let mut link = SerialLink::new(port, line, framing, bytes::BytesMut::new());
    let answers = async {
        let mut carried = tokio::time::Instant::now();
        loop {
            let command = board.expect(";").await;
            let characters = u32::try_from(command.len() + 1).unwrap();
            if !is_virtual {
                carried = carried.max(tokio::time::Instant::now()) + CHARACTER * characters;
                tokio::time::sleep_until(carried).await;
            }
            for (n, reply) in replies.iter().enumerate() {
                if n > 0 && !is_virtual {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                board.say(reply).await;
            }
        }
    };
    let drives = async {
        // A line that was silent before, as it is before somebody moves a slider.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let end = tokio::time::Instant::now() + Duration::from_secs(2);
        let mut written = 0;
        while tokio::time::Instant::now() < end {
            std::future::poll_fn(|cx| {
                while let std::task::Poll::Ready(Some(frame)) = link.poll_next_unpin(cx) {
                    frame.unwrap();
                }
                futures::Sink::<Frame>::poll_ready(std::pin::Pin::new(&mut link), cx)
            })
            .await
            .unwrap();
            link.start_send_unpin(Frame::from("Vibrate:012;")).unwrap();
            written += 1;
        }
        written
    };
    tokio::select! {
        written = drives => written,
        () = answers => unreachable!("the board answers for ever"),
    }
}

#[tokio::test]
async fn a_board_that_answers_each_command_twice_is_not_written_faster_than_its_line() {
    // Twenty go over the line, and one is on its way.
    for replies in [&["Vibrate:012;", "OK;"][..], &["OK;", "DONE;"], &["OK;"], &[]] {
        let written = commands_in_two_seconds(replies, false).await;
        assert!((15..=23).contains(&written), "{written} with {replies:?}");
    }
}

/// To a board with USB of its own a baud rate means nothing, and its answers show it.
#[tokio::test]
async fn a_board_that_answers_sooner_than_its_line_could_is_written_faster() {
    for replies in [&["OK;"][..], &["Vibrate:012;", "OK;"]] {
        // A busy machine may hold up the one reply that is measured: not every time.
        let mut counts = Vec::new();
        while counts.last().is_none_or(|written| *written < 60) {
            assert!(counts.len() < 5, "{counts:?} with {replies:?}");
            counts.push(commands_in_two_seconds(replies, true).await);
        }
    }
}

/// Root passes every mode, so this runs as nobody where it can.
#[tokio::test]
async fn a_port_that_is_forbidden_is_said_with_the_group_that_may() {
    use std::os::unix::fs::PermissionsExt;
    let home = TempDir::new().unwrap();
    let board = Board::plug(&home.path().join("tty"));
    let node = board.port.canonicalize().unwrap();
    std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o600)).unwrap();
    if !is_root() {
        std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    let program = program_for_everybody(home.path());
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, entry(&board.port, LOVENSE)).unwrap();
    let mut run = tokio::process::Command::new(&program);
    run.args(["run", "-v", "--config", file.to_str().unwrap()])
        .args(["--device-listen", "127.0.0.1:0", "--client-listen", "127.0.0.1:0"])
        .env_clear()
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    if is_root() {
        run.uid(65_534).gid(65_534);
    }
    let mut child = run.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = log_line(&mut log, "cannot be opened").await;
    assert!(
        line.contains("may not open it") || line.contains("administrator"),
        "{line}"
    );
    let again = log_line(&mut log, "cannot be opened").await;
    assert!(
        line.contains("WARN") && again.contains("DEBUG"),
        "said once: {again}"
    );
    child.kill().await.unwrap();
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    let cases: &[(&str, &str, &str)] = &[
        ("[serial]\nport = \"a\"", "serial", "[[serial]]"),
        ("[[serial]]\nbaud_rate = 9600", "serial.0", "names no port"),
        (
            "[[serial]]\nport = \"a\"\nbaud = 9600",
            "serial.0.baud",
            "did you mean \"baud_rate\"",
        ),
        (
            "[[serial]]\nport = \"a\"\nmatch = \"1a86\"",
            "serial.0.match",
            "not a table",
        ),
        (
            "[[serial]]\nmatch = { vid = \"x\" }",
            "serial.0.match.vid",
            "four hexadecimal digits",
        ),
        (
            "[[serial]]\nmatch = { vendor = \"x\" }",
            "serial.0.match.vendor",
            "no key of this name",
        ),
        (
            "[[serial]]\nport = \"a\"\nparity = \"mark\"",
            "serial.0.parity",
            "none, odd, even",
        ),
        (
            "[[serial]]\nport = \"a\"\ndata_bits = 9",
            "serial.0.data_bits",
            "5, 6, 7, 8",
        ),
        (
            "[[serial]]\nport = \"a\"\ndtr_on_open = 1",
            "serial.0.dtr_on_open",
            "true nor false",
        ),
        (
            "[[serial]]\nport = \"a\"\nframing = { delimiter = \";\", idle_ms = 5 }",
            "serial.0.framing.idle_ms",
            "one way only",
        ),
        (
            "[[serial]]\nport = \"a\"\nframing = \"raw\"",
            "serial.0.framing",
            "raw",
        ),
        (
            "[[serial]]\nport = \"a\"\nkeepalive_ms = 19",
            "serial.0.keepalive_ms",
            "a whole number of milliseconds from 20 to 60000",
        ),
        (
            "[[serial]]\nport = \"a\"\nkeepalive_ms = \"soon\"",
            "serial.0.keepalive_ms",
            "a whole number of milliseconds from 20 to 60000",
        ),
        (
            "[[serial]]\nport = \"a\"\naddress = \"\"",
            "serial.0.address",
            "empty",
        ),
        (
            "[[serial]]\nport = \"a\"\n[[serial]]\nport = \"a\"",
            "serial.1",
            "the same port as serial.0",
        ),
        (
            "[[serial]]\nport = \"a\"\nmatch = { vid = \"1a86\" }",
            "serial.0.port",
            "beside match",
        ),
    ];
    for (toml, key, wanted) in cases {
        std::fs::write(&file, toml).unwrap();
        let problems = Loaded::load(Some(&file), Layers::default()).expect_err(toml).0;
        assert!(
            problems
                .iter()
                .any(|p| p.key == *key && p.problem.contains(wanted) && p.at.contains("gateway.toml:")),
            "{toml}: {problems:?}"
        );
    }
}

#[tokio::test]
async fn a_port_is_watched_directly_hello_lines_and_all() {
    let home = TempDir::new().unwrap();
    let port = home.path().join("tty");
    let mut board = Board::plug(&port);
    let args = [
        "monitor",
        port.to_str().unwrap(),
        "--send",
        "DeviceType;",
        "--json",
    ];
    let mut child = common::process::command(home.path(), &args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> serde_json::Value {
        let line = within("a line", lines.next_line()).await.unwrap().expect("more");
        serde_json::from_str(&line).unwrap()
    };
    board.expect("DeviceType;").await;
    let sent = next().await;
    assert_eq!(
        (sent["direction"].as_str(), sent["text"].as_str()),
        (Some("to_device"), Some("DeviceType;"))
    );
    let hello = "{\"identifier\":\"LVSDevice\",\"version\":0}\n";
    board.say(hello).await;
    let heard = next().await;
    assert_eq!(
        (heard["direction"].as_str(), heard["text"].as_str()),
        (Some("from_device"), Some(hello))
    );
    drop(board);
    assert!(next().await["gone"].is_string());
    let mut board = Board::plug(&port);
    // Whoever said something before the port was open again is heard too: the kernel keeps it.
    board.say("back").await;
    assert_eq!(next().await["text"], "back");
    child.kill().await.unwrap();

    let busy = entry(&port, LOVENSE);
    let (_gateway, _log) = start(&home, &busy).await;
    board.expect("DeviceType;").await;
    let output = common::process::command(home.path(), &["monitor", port.to_str().unwrap()])
        .output()
        .await
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("wsdm-gateway (pid") && error.contains("close it there"),
        "{error}"
    );
}

/// Whoever sent something by hand leaves nothing running, however the watching ends.
#[tokio::test]
async fn a_port_is_stopped_when_nobody_reads_what_is_watched() {
    let home = TempDir::new().unwrap();
    let mut board = Board::plug(&home.path().join("tty"));
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, entry(&board.port, "on_close = \"Vibrate:0;\"")).unwrap();
    let args = [
        "monitor",
        board.port.to_str().unwrap(),
        "--config",
        file.to_str().unwrap(),
        "--send",
        "Vibrate:20;",
    ];
    // As with `head -0`: nobody ever reads.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = common::process::command(home.path(), &args)
        .stdout(writer)
        .spawn()
        .unwrap();
    board.expect("Vibrate:20;").await;
    board.expect("Vibrate:0;").await;
    assert!(within("it ends", child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_board_that_never_answers_is_fed_too() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let hello = "{\"identifier\":\"TCodeDevice\",\"address\":\"mute\",\"version\":0,\"keepalive_ms\":50}\n";
    board.say(hello).await;
    let gateway = bridging(&board.port, "").await;
    let client = client(&gateway.clients(), "driver").await;
    listed(&client, 1).await;
    let device = client.devices().into_values().next().unwrap();
    let command = ClientDeviceOutputCommand::HwPositionWithDuration(0.5.into(), 5_000);
    within("a command", device.run_output(&command)).await.unwrap();
    board.expect("I5000\n").await;
    for _ in 0..5 {
        assert_eq!(board.expect("\n").await, "");
    }
    gateway.stop().await;
}
