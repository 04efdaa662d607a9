//! Boards on Bluetooth LE: found, connected, introduced, driven, lost and found again; on a fake BlueZ.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::bluetooth::{Gateway, be_lovense, expect, written};
use common::bluez::{ALWAYS, Bluez, Board, Peripheral};
use common::{client, listed, vibrate, wait_until, within};

const ADDRESS: &str = "C0:FF:EE:00:00:01";
const LOVENSE: &str = "[[ble]]\nname = \"LVS-*\"\nprofile = \"lovense\"\nidentifier = \"LVSDevice\"\n";
const TCODE: &str = "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\nidentifier = \"TCodeDevice\"\n";

fn lovense(address: &str) -> Peripheral {
    Peripheral::lovense(address, "LVS-Hush41")
}

async fn driver(gateway: &Gateway) -> ButtplugClient {
    client(&gateway.process.clients, "driver").await
}

async fn stroke(client: &ButtplugClient, to: f64) {
    let device = client.devices().into_values().next().unwrap();
    let command = ClientDeviceOutputCommand::HwPositionWithDuration(to.into(), 500);
    within("a stroke", device.run_output(&command)).await.unwrap();
}

/// Waits until the board is moved; before that it may only be stopped.
async fn moved(board: &Board) {
    loop {
        let frame = written(board).await;
        if frame.starts_with("L0") {
            return;
        }
        let is_stop = |word: &str| word == "DSTOP" || (word.starts_with('V') && word.ends_with('0'));
        assert!(frame.split_whitespace().all(is_stop), "{frame:?}");
    }
}

#[tokio::test]
async fn a_stroker_over_nordic_uart_is_seen_driven_lost_and_back() {
    let bluez = Bluez::start();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-stroker"));
    let start = Instant::now();
    board.advertise();
    listed(&client, 1).await;
    println!("listed {:?} after its first advertisement", start.elapsed());
    // Whoever had it before may have left it moving.
    assert_eq!(written(&board).await, "DSTOP\n");
    stroke(&client, 0.5).await;
    moved(&board).await;
    board.drop_link();
    listed(&client, 0).await;
    listed(&client, 1).await;
    // The stroke may have been under way when it went.
    expect(&board, "DSTOP\n").await;
    stroke(&client, 0.2).await;
    moved(&board).await;
    gateway.stop().await;
    expect(&board, "DSTOP\n").await;
    within("it is let go", board.wait_connected(false)).await;
}

#[tokio::test]
async fn a_lovense_toy_is_seen_driven_asked_lost_and_back() {
    let bluez = Bluez::start();
    let board = bluez.plug(lovense(ADDRESS));
    be_lovense(&board);
    board.advertise();
    let gateway = Gateway::start(&bluez, LOVENSE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    let hush = client.devices().into_values().next().unwrap();
    assert_eq!(hush.name(), "Lovense Hush");
    vibrate(&client, 0.5).await;
    expect(&board, "Vibrate:10;").await;
    assert_eq!(within("the battery", hush.battery()).await.unwrap(), 85);
    board.drop_link();
    listed(&client, 0).await;
    listed(&client, 1).await;
    let back = client.devices().into_values().next().unwrap();
    assert_eq!(back.index(), hush.index());
    vibrate(&client, 0.6).await;
    expect(&board, "Vibrate:12;").await;
    gateway.stop().await;
    expect(&board, "Vibrate:0;").await;
    assert_eq!(board.overlapping_writes(), 0);
}

#[tokio::test]
async fn a_board_says_who_it_is_in_pieces_and_its_watchdog_is_fed() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-vibe").mtu(23));
    let asking = board.clone();
    board.on_write(move |bytes| {
        let line = "{\"identifier\":\"LVSDevice\",\"version\":0,\"keepalive_ms\":50}\n";
        match bytes {
            // What else is in the last piece is the first frame.
            b"\n" if !asking.subscribed() => Vec::new(),
            b"\n" => line.as_bytes().chunks(20).map(<[u8]>::to_vec).collect(),
            b"DeviceType;" => vec![b"Z:11:C0FFEE000001;".to_vec()],
            _ => Vec::new(),
        }
    });
    board.advertise();
    let gateway = Gateway::start(&bluez, "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\n").await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    expect(&board, "Vibrate:10;").await;
    // A steady vibration is silence, in which the board's watchdog wants to hear something.
    for _ in 0..3 {
        assert_eq!(written(&board).await, "\n");
    }
    let devices = client.devices();
    let hush = devices.values().next().unwrap();
    assert_eq!(hush.name(), "Lovense Hush");
    gateway.wait_log(&format!("LVSDevice {ADDRESS}")).await;
}

/// Asked for nothing, it says who it is when it has started; and it may be fed as configured.
#[tokio::test]
async fn a_configured_board_is_fed_as_configured_or_as_its_hello_line_asks() {
    for (keys, keepalive) in [("keepalive_ms = 50\n", ""), ("", ",\"keepalive_ms\":50")] {
        let bluez = Bluez::start();
        let board = bluez.plug(lovense(ADDRESS));
        be_lovense(&board);
        board.advertise();
        let gateway = Gateway::start(&bluez, &format!("{LOVENSE}{keys}")).await;
        let client = driver(&gateway).await;
        listed(&client, 1).await;
        board.notify("{\"identifier\":\"LVSDevice\",");
        board.notify(format!("\"version\":0{keepalive}}}\n"));
        vibrate(&client, 0.5).await;
        expect(&board, "Vibrate:10;").await;
        for _ in 0..3 {
            assert_eq!(written(&board).await, "\n", "{keys}{keepalive}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_board_that_does_not_introduce_itself_is_told_of_once_with_what_it_said() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-mute"));
    let talking = board.clone();
    board.on_write(move |_| {
        talking.notify("ready.\n");
        Vec::new()
    });
    board.advertise();
    let gateway = Gateway::start(&bluez, "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\n").await;
    gateway.wait_log("no hello line within 5 s").await;
    let line = gateway
        .log()
        .into_iter()
        .find(|line| line.contains("no hello"))
        .unwrap();
    assert!(line.contains("ready.") && line.contains("[[ble]]"), "{line}");
    within("it is let go", board.wait_connected(false)).await;
}

/// A notification ends the line, as a newline would.
#[tokio::test]
async fn a_hello_line_needs_no_newline() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-vibe"));
    board.on_write(move |bytes| match bytes {
        b"\n" => vec![b"{\"identifier\":\"LVSDevice\",\"version\":0}".to_vec()],
        b"DeviceType;" => vec![b"Z:11:C0FFEE000001;".to_vec()],
        _ => Vec::new(),
    });
    board.advertise();
    let gateway = Gateway::start(&bluez, "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\n").await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    assert_eq!(gateway.warned("newline"), 0, "{:#?}", gateway.log());
    gateway.stop().await;
}

/// Real toys too: nothing but what their own protocol asks.
#[tokio::test]
async fn a_board_without_an_identity_is_recognised() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-vibe"));
    be_lovense(&board);
    board.advertise();
    let gateway = Gateway::start(&bluez, "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\n").await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    gateway
        .wait_log("recognised: Lovense, model Z, firmware 11")
        .await;
    vibrate(&client, 0.5).await;
    expect(&board, "Vibrate:10;").await;
    gateway.stop().await;
}

#[tokio::test]
async fn frames_are_cut_at_the_mtu_and_written_one_at_a_time() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-small").mtu(23));
    board.write_delay(Duration::from_millis(50));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    // Faster than a board with such a delay takes: what grows stale on the way is left out.
    for n in 0..200 {
        stroke(&client, f64::from(n % 100) / 100.0).await;
    }
    stroke(&client, 1.0).await;
    let mut strokes = 1;
    while written(&board).await != "L0999I500\n" {
        strokes += 1;
    }
    assert!(strokes < 150, "{strokes} of 201 were written");
    gateway.stop().await;
    assert_eq!(board.overlapping_writes(), 0);
    assert_eq!(board.too_long_writes(), 0);
}

#[tokio::test]
async fn a_long_frame_arrives_whole_in_pieces() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-small").mtu(23));
    board.advertise();
    let long = "L0000I1 L1000I1 L2000I1 R0000I1 R1000I1 R2000I1\n";
    let toml = format!("{TCODE}on_close = {long:?}\n");
    let gateway = Gateway::start(&bluez, &toml).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    gateway.stop().await;
    // When it came, and when control was lost.
    let mut got = String::new();
    while got.len() < 2 * long.len() {
        let piece = written(&board).await;
        assert!(piece.len() <= 20, "{piece:?}");
        got += &piece;
    }
    assert_eq!(got, long.repeat(2));
    assert_eq!(board.too_long_writes(), 0);
}

#[tokio::test]
async fn every_peripheral_that_a_pattern_means_is_a_device_and_a_slow_one_holds_up_no_other() {
    let bluez = Bluez::start();
    let slow = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:00", "DIY-slow"));
    slow.hang_connects(true);
    slow.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    let boards: Vec<_> = (1..=5)
        .map(|n| {
            bluez.plug(Peripheral::nus(
                &format!("C0:FF:EE:00:00:0{n}"),
                &format!("DIY-{n}"),
            ))
        })
        .collect();
    for board in &boards {
        board.advertise();
    }
    let stranger = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:0A", "other"));
    stranger.advertise();
    listed(&client, 5).await;
    // Others come later, so it is looked for them.
    assert!(bluez.discovering());
    slow.hang_connects(false);
    slow.drop_link();
    for board in &boards[1..] {
        board.silence();
        board.drop_link();
    }
    wait_until("one is left, and perhaps the slow one", || {
        (1..=2).contains(&client.devices().len())
    })
    .await;
    assert_eq!(stranger.connects(), 0);
}

#[tokio::test]
async fn scanning_stops_when_all_that_is_wanted_is_there_and_starts_again() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-one"));
    let twin = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:02", "DIY-one"));
    let toml = "[[ble]]\nname = \"DIY-one\"\nprofile = \"nus\"\nidentifier = \"TCodeDevice\"\n\
                device_address = \"bench\"\n";
    let gateway = Gateway::start(&bluez, toml).await;
    let client = driver(&gateway).await;
    within("it scans", bluez.wait_discovering(true)).await;
    board.advertise();
    listed(&client, 1).await;
    within("it does not scan", bluez.wait_discovering(false)).await;
    twin.advertise();
    gateway.wait_log("TCodeDevice bench").await;
    let scans = || bluez.calls().get("StartDiscovery").copied().unwrap_or_default();
    let before = scans();
    board.silence();
    board.drop_link();
    wait_until("it scans again", || scans() > before).await;
    within("the twin is taken instead", twin.wait_connected(true)).await;
    listed(&client, 1).await;
}

#[tokio::test]
async fn an_entry_for_one_has_one_and_says_so_of_another() {
    let bluez = Bluez::start();
    let one =
        "[[ble]]\nname = \"DIY-one\"\nprofile = \"nus\"\nidentifier = \"TCodeDevice\"\nretry_min_ms = 10\n";
    // For the second one it goes on scanning.
    let gateway = Gateway::start(&bluez, &format!("{one}{}", one.replace("DIY-one", "DIY-two"))).await;
    let client = driver(&gateway).await;
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-one"));
    board.advertise();
    listed(&client, 1).await;
    let twin = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:02", "DIY-one"));
    twin.advertise();
    gateway
        .wait_log("left alone: ble.0 (\"DIY-one\") has another one")
        .await;
    // A board that has another name now belongs to another entry, which then has its one.
    twin.silence();
    board.set_name(Some("DIY-two"));
    board.drop_link();
    wait_until("it is back", || board.connects() > 1).await;
    listed(&client, 1).await;
    let other = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:03", "DIY-two"));
    other.advertise();
    gateway
        .wait_log("left alone: ble.1 (\"DIY-two\") has another one")
        .await;
    twin.advertise();
    listed(&client, 2).await;
    assert_eq!(other.connects(), 0);
}

#[tokio::test]
async fn scanning_that_fails_is_tried_again() {
    let bluez = Bluez::start();
    bluez.fail_discoveries(2);
    let gateway = Gateway::start(&bluez, TCODE).await;
    gateway.wait_log("Bluetooth cannot scan").await;
    within("it scans", bluez.wait_discovering(true)).await;
    assert_eq!(gateway.warned("Bluetooth cannot scan"), 1, "{:#?}", gateway.log());
}

/// Phones send new data of their makers all the time, and nobody asked for them.
#[tokio::test]
async fn a_crowd_costs_no_calls_and_hides_no_board_that_goes() {
    let bluez = Bluez::start();
    for n in 0..40 {
        let phone = Peripheral::new(&format!("40:00:00:00:00:{n:02X}"));
        bluez.plug(phone.manufacturer_data(0x4c, &[1, 2, 3])).advertise();
    }
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-one"));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    let heard = |more: usize| {
        let from = bluez.advertisements();
        let bluez = &bluez;
        wait_until("advertisements", move || bluez.advertisements() >= from + more)
    };
    let calls = || bluez.calls().get("GetAll").copied().unwrap_or_default();
    // Each is looked at once.
    heard(1_000).await;
    let before = calls();
    heard(2_000).await;
    let looked = calls() - before;
    assert!(
        looked < 50,
        "{looked} calls for 2,000 advertisements that nobody wants"
    );
    board.silence();
    board.drop_link();
    listed(&client, 0).await;
}

/// A write that the peripheral does not take must not keep it connected: that is what stops most boards.
#[tokio::test]
async fn a_board_that_takes_nothing_is_let_go() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-stuck"));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    expect(&board, "DSTOP\n").await;
    // The first write from now on never ends, whether it is the stroke or another stop before it.
    board.write_delay(Duration::from_secs(60));
    stroke(&client, 0.5).await;
    board.silence();
    gateway.wait_log("took nothing for 5000 ms").await;
    within("it is let go", board.wait_connected(false)).await;
    board.advertise();
    within("it is tried again", board.wait_connected(true)).await;
    expect(&board, "DSTOP\n").await;
    gateway.stop().await;
    within("it is let go", board.wait_connected(false)).await;
}

#[tokio::test]
async fn a_board_that_goes_while_it_is_asked_who_it_is_is_back_soon() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-restarting"));
    board.advertise();
    let toml = "[[ble]]\nname = \"DIY-*\"\nprofile = \"nus\"\nretry_min_ms = 10\nretry_max_ms = 10\n";
    let _gateway = Gateway::start(&bluez, toml).await;
    // The pauses after refusals would add up to a minute by now.
    for _ in 0..5 {
        expect(&board, "\n").await;
        board.drop_link();
    }
    expect(&board, "\n").await;
}

#[tokio::test]
async fn a_write_waits_while_another_program_writes() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-shared"));
    board.busy_writes(3);
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    expect(&board, "DSTOP\n").await;
    assert_eq!(gateway.logged("device gone"), 0, "{:#?}", gateway.log());
}

#[tokio::test]
async fn frames_are_written_and_cut_as_the_entry_says() {
    let bluez = Bluez::start();
    let board = bluez.plug(lovense(ADDRESS).mtu(23));
    board.on_write(|bytes| match bytes {
        // As a board does that sends a stream of bytes.
        b"DeviceType;" => vec![b"Z:11:C0FF".to_vec(), b"EE000001;8".to_vec(), b"5;".to_vec()],
        b"Battery;" => vec![b"9".to_vec(), b"0;".to_vec()],
        _ => Vec::new(),
    });
    board.advertise();
    let toml = format!("{LOVENSE}write_without_response = true\nframing = {{ delimiter = \";\" }}\n");
    let gateway = Gateway::start(&bluez, &toml).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    let hush = client.devices().into_values().next().unwrap();
    assert_eq!(hush.name(), "Lovense Hush");
    assert_eq!(within("the battery", hush.battery()).await.unwrap(), 90);
    vibrate(&client, 0.5).await;
    let kinds: Vec<_> = std::iter::from_fn(|| Some(board.writes()).filter(|w| !w.is_empty()))
        .flatten()
        .map(|write| write.kind)
        .collect();
    assert!(
        !kinds.is_empty() && kinds.iter().all(|kind| kind == "command"),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn a_name_that_comes_late_is_seen() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-late"));
    board.advertise_nameless();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    within("it scans", bluez.wait_discovering(true)).await;
    let other = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:02", "DIY-other"));
    other.advertise();
    listed(&client, 1).await;
    board.set_name(Some("DIY-late"));
    listed(&client, 2).await;
}

#[tokio::test]
async fn peripherals_are_found_by_address_service_and_manufacturer_too() {
    let bluez = Bluez::start();
    let toml = "[[ble]]\naddress = \"c0:ff:ee:00:00:01\"\nprofile = \"nus\"\nidentifier = \"TCodeDevice\"\n\
                [[ble]]\nadvertised_service = \"ffe0\"\nprofile = \"hm10\"\nidentifier = \"TCodeDevice\"\n\
                device_address = \"hm-\"\n\
                [[ble]]\nmanufacturer_data = { company = \"005d\", data = \"0102\" }\nservice = \"fff0\"\n\
                write = \"fff2\"\nidentifier = \"TCodeDevice\"\n";
    let gateway = Gateway::start(&bluez, toml).await;
    let client = driver(&gateway).await;
    let by_address = bluez.plug(Peripheral::nus(ADDRESS, "x"));
    let hm10 = Peripheral::hm10("C0:FF:EE:00:00:02", "BT05");
    let by_service = bluez.plug(hm10.advertises(common::bluez::HM10));
    let custom = |address: &str, data: &[u8]| {
        bluez.plug(Peripheral::new(address).manufacturer_data(0x5d, data).service(
            "0000fff0-0000-1000-8000-00805f9b34fb",
            &[(
                "0000fff2-0000-1000-8000-00805f9b34fb",
                &["write-without-response"],
            )],
        ))
    };
    let by_data = custom("C0:FF:EE:00:00:03", &[1, 2, 3]);
    let other = custom("C0:FF:EE:00:00:04", &[1, 3]);
    for board in [&by_address, &by_service, &by_data, &other] {
        board.advertise();
    }
    listed(&client, 3).await;
    gateway.wait_log("TCodeDevice hm-C0:FF:EE:00:00:02").await;
    assert_eq!(other.connects(), 0);
    for device in client.devices().into_values() {
        let command = ClientDeviceOutputCommand::HwPositionWithDuration(0.5.into(), 500);
        within("a stroke", device.run_output(&command)).await.unwrap();
    }
    for (board, kind) in [(&by_address, "request"), (&by_data, "command")] {
        let write = within("a write", board.next_write()).await;
        assert_eq!(write.kind, kind);
    }
}

#[tokio::test]
async fn the_second_characteristic_of_an_ossm_takes_false() {
    let bluez = Bluez::start();
    let uuid = |part: &str| format!("522b443a-4f53-534d-{part}-420badbabe69");
    let (service, write, mode, notify) = (uuid("0001"), uuid("1000"), uuid("1010"), uuid("2000"));
    let board = bluez.plug(Peripheral::new(ADDRESS).name("OSSM").service(
        &service,
        &[
            (&write, &["write"]),
            (&mode, &["write"]),
            (&notify, &["notify", "read"]),
        ],
    ));
    let home = tempfile::TempDir::new().unwrap();
    let udcf = serde_json::json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": { "ossm": { "communication": [{ "websocket": { "name": "OSSM" } }] } } },
    });
    std::fs::write(home.path().join("udcf.json"), udcf.to_string()).unwrap();
    let toml =
        "[udcf]\npath = \"udcf.json\"\n[[ble]]\nname = \"OSSM\"\nprofile = \"ossm\"\nidentifier = \"OSSM\"\n";
    let gateway = Gateway::start_in(home, &bluez, toml).await;
    let client = driver(&gateway).await;
    board.advertise();
    listed(&client, 1).await;
    within("it is listened to", board.wait_subscribed()).await;
    board.notify_on(&notify, "{\"state\":\"strokeEngine.idle\"}");
    let mut seen = Vec::new();
    let mode_write = within("the mode", async {
        loop {
            let next = board.next_write().await;
            if next.value == b"false" {
                return next;
            }
            seen.push(next);
        }
    })
    .await;
    assert_eq!(mode_write.characteristic, mode);
    let next = within("what follows", board.next_write()).await;
    assert_eq!(next.characteristic, write, "{next:?}");
}

#[tokio::test]
async fn a_board_that_wants_to_be_paired_with_is() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-safe"));
    board.require_pairing();
    board.advertise();
    let unpaired = Gateway::start(&bluez, TCODE).await;
    unpaired.wait_log("pair = true").await;
    unpaired.stop().await;
    let gateway = Gateway::start(&bluez, &format!("{TCODE}pair = true\n")).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    assert!(board.paired());
}

#[tokio::test]
async fn a_peripheral_of_another_kind_is_told_of_with_what_it_has() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::hm10(ADDRESS, "DIY-hm10"));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    gateway
        .wait_log("has no service of profile nus; it has ffe0 (HM-10 UART)")
        .await;
    within("it is let go", board.wait_connected(false)).await;
    // After some seconds: nothing changes by itself.
    wait_until("it is tried again", || gateway.logged("has no service") > 1).await;
    assert_eq!(gateway.warned("has no service"), 1, "{:#?}", gateway.log());
}

#[tokio::test]
async fn one_that_refuses_or_vanishes_is_tried_again_and_told_of_once() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-shy"));
    board.refuse_connects(3);
    board.advertise();
    let gateway = Gateway::start(&bluez, &format!("{TCODE}retry_min_ms = 10\nretry_max_ms = 20\n")).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    assert_eq!(
        gateway.warned("cannot be connected to"),
        1,
        "{:#?}",
        gateway.log()
    );
    board.vanish_during_discovery(true);
    // Noticed long before the 30 s that the library takes.
    board.drop_link();
    gateway
        .wait_log("disconnected while its services were looked at")
        .await;
    board.vanish_during_discovery(false);
    listed(&client, 1).await;
}

#[tokio::test]
async fn a_peripheral_that_is_too_weak_is_left_alone_and_told_of_once() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-far").rssi(-90));
    board.advertise();
    let gateway = Gateway::start(&bluez, &format!("{TCODE}min_rssi = -80\n")).await;
    gateway.wait_log("weaker than min_rssi").await;
    board.set_rssi(-60);
    within("it is near now", board.wait_connected(true)).await;
    assert_eq!(gateway.logged("weaker than min_rssi"), 1, "{:#?}", gateway.log());
}

#[tokio::test]
async fn a_write_that_fails_ends_the_session_and_the_device_is_stopped_when_it_is_back() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-ill"));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    drop(board.writes());
    board.fail_writes(true);
    stroke(&client, 0.5).await;
    gateway.wait_log("a write failed").await;
    board.fail_writes(false);
    expect(&board, "DSTOP\n").await;
    listed(&client, 1).await;
}

#[tokio::test]
async fn a_burst_of_notifications_harms_neither_the_session_nor_others() {
    let bluez = Bluez::start();
    let noisy = bluez.plug(lovense(ADDRESS));
    be_lovense(&noisy);
    let calm = bluez.plug(lovense("C0:FF:EE:00:00:02"));
    be_lovense(&calm);
    noisy.advertise();
    calm.advertise();
    let gateway = Gateway::start(&bluez, LOVENSE).await;
    let client = driver(&gateway).await;
    listed(&client, 2).await;
    for n in 0..5_000 {
        assert!(noisy.notify(format!("{n};")));
        // The app is on this thread, and answers pings.
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for device in client.devices().into_values() {
        let strength = ClientDeviceOutputCommand::Vibrate(0.5.into());
        within("a command", device.run_output(&strength)).await.unwrap();
    }
    expect(&calm, "Vibrate:10;").await;
    expect(&noisy, "Vibrate:10;").await;
    assert_eq!(client.devices().len(), 2);
}

#[tokio::test]
async fn an_adapter_may_be_missing_off_or_blocked_and_come_later() {
    let bluez = Bluez::start();
    bluez.remove_adapter("hci0");
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-patient"));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    gateway.wait_log("there is no Bluetooth adapter").await;
    bluez.add_adapter("hci0", false);
    gateway.wait_log("the Bluetooth adapter hci0 is off").await;
    assert!(!bluez.powered("hci0"), "nobody asked for it");
    bluez.set_powered("hci0", true);
    listed(&client, 1).await;
    bluez.set_powered("hci0", false);
    listed(&client, 0).await;
    gateway.wait_log("it was switched off").await;
    let said_off = async |times: usize| {
        wait_until("it is off", || gateway.logged("adapter hci0 is off") == times).await;
    };
    said_off(2).await;
    bluez.block("hci0", true);
    gateway.wait_log("adapter hci0 is blocked").await;
    bluez.block("hci0", false);
    said_off(3).await;
    bluez.set_powered("hci0", true);
    listed(&client, 1).await;
    bluez.remove_adapter("hci0");
    listed(&client, 0).await;
    gateway.wait_log("was taken away").await;
    bluez.add_adapter("hci1", true);
    listed(&client, 1).await;
    for (text, times) in [("adapter hci0 is off", 3), ("Bluetooth adapter hci1", 1)] {
        assert_eq!(gateway.logged(text), times, "{:#?}", gateway.log());
    }
}

#[tokio::test]
async fn a_blocked_adapter_is_called_blocked() {
    let bluez = Bluez::start();
    bluez.block("hci0", true);
    let gateway = Gateway::start(&bluez, TCODE).await;
    gateway
        .wait_log("the Bluetooth adapter hci0 is blocked; rfkill unblock bluetooth")
        .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_restarted_bluetoothd_and_a_restarted_bus_are_survived() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-survivor"));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    bluez.stop_daemon();
    listed(&client, 0).await;
    gateway.wait_log("connection lost: bluetoothd stopped").await;
    gateway.wait_log("bluetoothd does not run").await;
    bluez.start_daemon();
    listed(&client, 1).await;
    stroke(&client, 0.5).await;
    bluez.kill_bus();
    listed(&client, 0).await;
    gateway
        .wait_log("the system's message bus cannot be reached")
        .await;
    bluez.revive_bus();
    listed(&client, 1).await;
    stroke(&client, 0.7).await;
    assert_eq!(gateway.logged("panicked"), 0, "{:#?}", gateway.log());
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_bus_the_gateway_runs_and_says_so_once() {
    let bluez = Bluez::start();
    bluez.kill_bus();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    gateway
        .wait_log("the system's message bus cannot be reached")
        .await;
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-1"));
    board.advertise();
    bluez.revive_bus();
    listed(&client, 1).await;
    assert_eq!(gateway.logged("cannot be reached"), 1, "{:#?}", gateway.log());
}

#[tokio::test]
async fn what_a_killed_gateway_left_connected_is_taken_over_and_stopped_first() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-orphan"));
    board.advertise();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    stroke(&client, 0.5).await;
    expect(&board, "L0500I500\n").await;
    let home = gateway.kill().await;
    within("its bus connections end", bluez.wait_clients(0)).await;
    assert!(board.connected(), "BlueZ keeps it");
    board.silence();
    let gateway = Gateway::start_in(home, &bluez, TCODE).await;
    let client = driver(&gateway).await;
    assert_eq!(written(&board).await, "DSTOP\n");
    listed(&client, 1).await;
    assert_eq!(board.connects(), 1);
    gateway.stop().await;
    within("it is let go", board.wait_connected(false)).await;
}

#[tokio::test]
async fn two_thousand_reconnects_leave_neither_a_panic_nor_a_match_rule() {
    const TIMES: usize = 2_000;
    /// Five of the gateway's own, and one of the library's for what the board says.
    const RULES: usize = 6;
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-flappy"));
    let toml = format!("{TCODE}retry_min_ms = 10\nretry_max_ms = 10\n");
    board.advertise();
    let gateway = Gateway::start(&bluez, &toml).await;
    let client = driver(&gateway).await;
    listed(&client, 1).await;
    within("only these rules", bluez.wait_match_rules(RULES)).await;
    let start = Instant::now();
    for n in 1..=TIMES {
        board.drop_link();
        within("it is connected again", async {
            board.wait_connected(true).await;
            board.wait_subscribed().await;
        })
        .await;
        assert!(board.connects() > n);
    }
    println!("{TIMES} reconnects in {:?}", start.elapsed());
    listed(&client, 1).await;
    let back = tokio::time::timeout(common::DEADLINE, bluez.wait_match_rules(RULES)).await;
    assert!(
        back.is_ok(),
        "{} rules, {:#?}",
        bluez.match_rules(),
        gateway.log().iter().rev().take(20).collect::<Vec<_>>()
    );
    // The device in the client's list may still be the one before the last reconnect, whose commands reach nobody.
    within("a stroke", async {
        for n in 1.. {
            let command =
                ClientDeviceOutputCommand::HwPositionWithDuration((f64::from(n % 9) / 10.0).into(), 500);
            let device = client.devices().into_values().next();
            let taken = match device {
                Some(device) => device.run_output(&command).await.is_ok(),
                None => false,
            };
            if taken
                && tokio::time::timeout(Duration::from_millis(200), moved(&board))
                    .await
                    .is_ok()
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    for trouble in ["panicked", "fault", "ERROR"] {
        assert_eq!(gateway.logged(trouble), 0, "{:#?}", gateway.log());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn one_that_is_not_seen_for_long_gets_a_hint_once() {
    let bluez = Bluez::start();
    let gateway = Gateway::start(&bluez, TCODE).await;
    let hint = "does not advertise";
    // After 30 s.
    for _ in 0..3 {
        if gateway.logged(hint) == 0 {
            let _ = tokio::time::timeout(
                Duration::from_secs(15),
                wait_until(hint, || gateway.logged(hint) > 0),
            )
            .await;
        }
    }
    assert_eq!(gateway.logged(hint), 1, "{:#?}", gateway.log());
    let board = bluez.plug(Peripheral::nus(ADDRESS, "DIY-late"));
    board.refuse_connects(ALWAYS);
    board.advertise();
    gateway.wait_log("cannot be connected to").await;
}
