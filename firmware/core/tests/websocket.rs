//! A board on a network, and gateways that do what they should not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Log, Pins, Server, TestClock, TestDial, accept_of, key_of, ms, network, random, switching};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use wsdm_device::{
    Client, Device, Ended, Gateway, Identity, Loss, Lovense, LovenseSettings, Memory, Motors, Tcode,
    TcodeSettings, Timing,
};

/// A board that runs, and what a test sees of it.
struct Board {
    connections: UnboundedReceiver<DuplexStream>,
    log: Log,
    pins: Pins,
}

impl Board {
    /// The far end of the next connection.
    async fn connection(&mut self) -> Server {
        Server(self.connections.recv().await.unwrap())
    }

    /// A websocket, past the handshake.
    async fn session(&mut self) -> Server {
        let mut server = self.connection().await;
        server.accept().await;
        server
    }
}

async fn run<D: Device>(dial: TestDial, log: Log, mut device: D) -> Ended {
    let mut client = Client {
        gateway: Gateway::parse("ws://gateway:1234")
            .unwrap()
            .with_token(Some("secret")),
        identity: Identity::new("LVSDevice", "8A3D9FAC2A45").unwrap(),
        timing: Timing::DEFAULT,
        dial,
        clock: TestClock::new(),
        random: random(),
        report: log.write(),
    };
    client.run(&mut Memory::<1024, 512>::new(), &mut device).await
}

fn with_buffer(buffer: usize) -> (TestDial, Board) {
    let (dial, connections) = network(buffer);
    let (log, pins) = (Log::default(), Pins::default());
    (
        dial,
        Board {
            connections,
            log,
            pins,
        },
    )
}

fn lovense(pins: &Pins) -> Lovense<Pins> {
    let settings = LovenseSettings {
        motors: Motors::One,
        address: "8A3D9FAC2A45",
        battery: 85,
    };
    Lovense::new(&settings, pins.clone())
}

/// Runs a lovense board beside a test.
async fn beside(test: impl AsyncFnOnce(&mut Board)) {
    let (dial, mut board) = with_buffer(4_096);
    let device = lovense(&board.pins);
    tokio::select! {
        ended = run(dial, board.log.clone(), device) => panic!("{ended:?}"),
        () = test(&mut board) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn it_introduces_itself_and_obeys() {
    beside(async |board| {
        let mut server = board.connection().await;
        let request = server.request().await;
        assert!(
            request.starts_with("GET /?token=secret HTTP/1.1\r\nHost: gateway:1234\r\n"),
            "{request}"
        );
        server.say(switching(&accept_of(&request))).await;
        let (first, handshake) = server.frame().await;
        assert_eq!(first, 0x81);
        assert_eq!(
            String::from_utf8(handshake).unwrap(),
            r#"{"identifier":"LVSDevice","address":"8A3D9FAC2A45","version":0}"#
        );
        server.command("DeviceType;").await;
        assert_eq!(server.answer().await, "Z:11:8A3D9FAC2A45;");
        server.command("Vibrate:10;Battery;").await;
        assert_eq!(server.answer().await, "OK;");
        assert_eq!(server.answer().await, "85;");
        assert_eq!(board.pins.at("V0"), 500);
        // Text is taken as its bytes, and fragments are joined, around a ping that is answered.
        server.send(0x01, b"Vib").await;
        server.send(0x89, b"are you there").await;
        server.send(0x80, b"rate:20;").await;
        assert_eq!(server.frame().await, (0x8a, b"are you there".to_vec()));
        assert_eq!(server.answer().await, "OK;");
        assert_eq!(board.pins.at("V0"), 1_000);
        assert_eq!(board.log.all(), ["connecting to gateway:1234", "connected"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_two_connections_have_one_key() {
    beside(async |board| {
        let first = board.connection().await.request().await;
        let second = board.connection().await.request().await;
        assert_ne!(key_of(&first), key_of(&second));
        assert_eq!(key_of(&first).len(), 24);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_websocket_server_is_told_and_tried_again() {
    for (answer, wanted) in [
        (
            switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "lost: the answer's Sec-WebSocket-Accept is wrong",
        ),
        (
            format!("HTTP/1.1 101 x\r\nA: {}", "x".repeat(1_024)),
            "lost: the answer's head is too large",
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            "lost: the answer is not HTTP",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\n\r\nthis gateway asks for a token\n".to_owned(),
            "rejected with HTTP status 401: this gateway asks for a token",
        ),
    ] {
        beside(async |board| {
            let mut server = board.connection().await;
            server.request().await;
            server.say(&answer).await;
            board.session().await;
            assert!(board.log.has(wanted), "{:?}", board.log.all());
        })
        .await;
    }
}

/// A proxy may send the head and the body apart, and a server may say nothing at all.
#[tokio::test(start_paused = true)]
async fn a_rejections_words_are_waited_for_but_not_for_long() {
    for (words, wanted) in [
        (
            Some("this gateway asks for a token\n"),
            "this gateway asks for a token",
        ),
        (None, ""),
    ] {
        beside(async |board| {
            let mut server = board.connection().await;
            let start = Instant::now();
            server.request().await;
            server.say("HTTP/1.1 401 Unauthorized\r\n\r\n").await;
            ms(50).await;
            if let Some(words) = words {
                server.say(words).await;
            }
            board.session().await;
            let rejected = format!("rejected with HTTP status 401: {wanted}");
            assert!(board.log.all().contains(&rejected), "{:?}", board.log.all());
            assert!(start.elapsed().as_millis() < 6_000, "{:?}", start.elapsed());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    beside(async |board| {
        let start = Instant::now();
        let _silent = board.connection().await;
        board.session().await;
        assert!(board.log.has("lost: no answer in time"));
        assert!(
            (5_000..5_300).contains(&start.elapsed().as_millis()),
            "{:?}",
            start.elapsed()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn why_there_is_no_connection_is_reported_as_the_network_has_it() {
    for (after, loss, wanted) in [
        (0, Loss::Unreachable, "lost: nobody answers"),
        (3_000, Loss::NotFound, "lost: no gateway answers the search"),
        (6_000, Loss::NotFound, "lost: no answer in time"),
    ] {
        let (mut dial, board) = with_buffer(64);
        dial.fails = Some((after, loss));
        let device = lovense(&board.pins);
        tokio::select! {
            ended = run(dial, board.log.clone(), device) => panic!("{ended:?}"),
            () = ms(5_100) => {}
        }
        let all = board.log.all();
        let lost: Vec<_> = all.iter().filter(|text| text.starts_with("lost")).collect();
        assert!(
            !lost.is_empty() && lost.iter().all(|text| *text == wanted),
            "{all:?}"
        );
        assert!(all[2].starts_with("trying again in "), "{all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_answered_and_waited_out() {
    beside(async |board| {
        let mut server = board.session().await;
        let start = Instant::now();
        server
            .send(0x88, b"\x0f\xa1no UDCF entry names this identifier")
            .await;
        assert_eq!(server.frame().await, (0x88, b"\x0f\xa1".to_vec()));
        assert_eq!(server.0.read(&mut [0]).await.unwrap(), 0, "it hangs up");
        board.session().await;
        assert!(start.elapsed().as_millis() >= 5_000);
        assert!(
            board
                .log
                .has("refused 4001 (identifier unknown): no UDCF entry names this identifier")
        );
        assert!(board.log.has("trying again in 5000 ms"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stops_is_no_refusal_and_stops_the_motor() {
    beside(async |board| {
        let mut server = board.session().await;
        server.command("Vibrate:20;").await;
        server.answer().await;
        let start = Instant::now();
        server.send(0x88, b"\x03\xe9stopping").await;
        assert_eq!(server.frame().await.0, 0x88);
        assert_eq!(board.pins.at("V0"), 0);
        assert!(board.log.has("lost: closed with 1001 (gateway stops): stopping"));
        assert!(board.log.has("stopped by lost connection, 0 ms since last heard"));
        board.session().await;
        assert!(start.elapsed().as_millis() <= 500, "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_stops_the_motor_at_once() {
    beside(async |board| {
        let mut server = board.session().await;
        server.command("Vibrate:20;").await;
        server.answer().await;
        ms(100).await;
        drop(server);
        ms(1).await;
        assert_eq!(board.pins.at("V0"), 0);
        assert!(board.log.has("lost: the connection"));
        assert!(
            board.log.has("stopped by lost connection, 100 ms"),
            "{:?}",
            board.log.all()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silence_stops_the_motor_after_a_second_of_pings() {
    beside(async |board| {
        let mut server = board.session().await;
        ms(3_000).await;
        server.command("Vibrate:20;").await;
        assert_eq!(server.answer().await, "OK;");
        let heard = Instant::now();
        for ping in 1..=3 {
            assert_eq!(server.frame().await, (0x89, vec![]));
            assert_eq!(heard.elapsed().as_millis(), ping * 250);
        }
        assert_eq!(board.pins.at("V0"), 1_000);
        ms(249).await;
        assert_eq!(board.pins.at("V0"), 1_000);
        ms(2).await;
        assert_eq!(board.pins.at("V0"), 0);
        assert!(board.log.has("stopped by watchdog, 1000 ms since last heard"));
        // What the gateway thinks of the device is no longer true: a new session begins.
        board.session().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pongs_keep_a_steady_vibration_and_commands_that_are_not_heard_do_not() {
    beside(async |board| {
        let mut server = board.session().await;
        server.command("Vibrate:20;").await;
        server.answer().await;
        for _ in 0..40 {
            assert_eq!(server.frame().await.0, 0x89);
            server.send(0x8a, b"").await;
        }
        assert_eq!(board.pins.at("V0"), 1_000);
        assert!(!board.log.has("stopped"));
        ms(1_001).await;
        assert_eq!(board.pins.at("V0"), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_takes_no_bytes_does_not_hold_the_stop_up() {
    let (dial, mut board) = with_buffer(64);
    let device = lovense(&board.pins);
    let log = board.log.clone();
    let test = async {
        let mut server = board.session().await;
        server.command("Vibrate:20;").await;
        let start = Instant::now();
        // Its answers fill the way back; then neither side can go on.
        let flood = [&[0x82, 8][..], b"Battery;"].concat().repeat(200);
        tokio::select! {
            written = server.0.write_all(&flood) => panic!("{written:?}"),
            () = ms(500) => {}
        }
        assert_eq!(board.pins.at("V0"), 1_000);
        while board.pins.at("V0") != 0 && start.elapsed().as_secs() < 10 {
            ms(10).await;
        }
        assert!(start.elapsed().as_millis() <= 1_010, "{:?}", start.elapsed());
        assert!(board.log.has("stopped by watchdog"));
    };
    tokio::select! {
        ended = run(dial, log, device) => panic!("{ended:?}"),
        () = test => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_pinged_and_given_up_when_it_is_dead() {
    beside(async |board| {
        let mut server = board.session().await;
        let start = Instant::now();
        assert_eq!(server.frame().await.0, 0x89);
        assert_eq!(start.elapsed().as_millis(), 5_000);
        server.send(0x8a, b"").await;
        assert_eq!(server.frame().await.0, 0x89);
        board.session().await;
        assert!(board.log.has("lost: silent for 10000 ms"));
        assert!(!board.log.has("stopped"), "nothing was on");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_breaks_the_protocol_is_told_its_code() {
    for (frame, code) in [
        (&[0x82, 0x81, 1, 2, 3, 4, 5][..], 1002_u16),
        (&[0xf2, 0x00], 1002),
        (&[0x80, 0x00], 1002),
        (&[0x82, 126, 0xff, 0xff], 1009),
        (&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], 1009),
    ] {
        beside(async |board| {
            let mut server = board.session().await;
            server.command("Vibrate:20;").await;
            server.answer().await;
            server.say(frame).await;
            assert_eq!(server.frame().await, (0x88, code.to_be_bytes().to_vec()));
            assert_eq!(board.pins.at("V0"), 0);
            board.session().await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn tries_are_further_and_further_apart() {
    beside(async |board| {
        let mut pauses = Vec::new();
        let mut last = Instant::now();
        drop(board.connection().await);
        for _ in 0..9 {
            drop(board.connection().await);
            pauses.push(last.elapsed().as_millis());
            last = Instant::now();
        }
        assert!(
            pauses[0] <= 250 && pauses[8] >= 5_000 && pauses[8] <= 10_000,
            "{pauses:?}"
        );
        // One that lasts makes the next pause short.
        let server = board.session().await;
        ms(5_000).await;
        drop(server);
        let start = Instant::now();
        board.session().await;
        assert!(start.elapsed().as_millis() <= 250);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_device_that_turns_itself_off_says_so_and_stays_off() {
    let (dial, mut board) = with_buffer(4_096);
    let (device, log) = (lovense(&board.pins), board.log.clone());
    let test = async {
        let mut server = board.session().await;
        server.command("Vibrate:20;PowerOff;").await;
        assert_eq!(server.answer().await, "OK;");
        assert_eq!(server.answer().await, "OK;");
        assert_eq!(server.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
    };
    let (ended, ()) = tokio::join!(run(dial, log, device), test);
    assert_eq!(ended, Ended::PoweredOff);
    assert_eq!(board.pins.at("V0"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stroke_goes_on_while_nothing_comes_and_ends_where_it_is_when_control_ends() {
    let (dial, mut board) = with_buffer(4_096);
    let device = Tcode::new(&TcodeSettings::DEFAULT, board.pins.clone());
    let log = board.log.clone();
    let test = async {
        let mut server = board.session().await;
        // The soft start begins with the first move.
        server.command("L05\n").await;
        ms(2_000).await;
        server.command("L0999I800\n").await;
        ms(400).await;
        let half = board.pins.at("L0");
        assert!((720..780).contains(&half), "{half}");
        drop(server);
        ms(1).await;
        assert!(board.log.has("stopped by lost connection"));
        let stopped = board.pins.at("L0");
        ms(1_000).await;
        assert_eq!(board.pins.at("L0"), stopped);
    };
    tokio::select! {
        ended = run(dial, log, device) => panic!("{ended:?}"),
        () = test => {}
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_fit_are_dropped_and_that_is_said() {
    beside(async |board| {
        let mut server = board.session().await;
        server
            .say([&[0x82, 126, 0x03, 0x00][..], &b"x;".repeat(384)].concat())
            .await;
        assert_eq!(server.answer().await, "ERR;");
        // 51 of the 384 fit.
        assert!(board.log.has("333 answers were dropped"));
        server.command("Battery;").await;
        while server.answer().await != "85;" {}
    })
    .await;
}

/// Each report is a line on a board's console, and a board that prints a line for each ping of a flood has no time for
/// its hardware watchdog.
#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_is_reported_once_a_second_with_a_count() {
    let (dial, mut board) = with_buffer(4_096);
    let (log, device) = (board.log.clone(), lovense(&board.pins));
    let test = async {
        let mut server = board.session().await;
        ms(1).await;
        board.log.clear();
        let mut pongs = 0;
        for _ in 0..20 {
            // 1,024 bytes of pings fill the board's buffer; 512 bytes of answers hold 85 pongs of them.
            server.say([0x89, 0].repeat(512)).await;
            ms(10).await;
            pongs += server.pongs().await;
        }
        let said = board.log.all();
        let first = said.first().cloned().unwrap_or_default();
        assert!(
            said.len() == 1 && first.ends_with(" answers were dropped, the buffer is full"),
            "{} lines: {first:?} ...",
            said.len()
        );
        ms(1_000).await;
        server.say([0x89, 0]).await;
        ms(10).await;
        pongs += server.pongs().await;
        let counts = |line: &String| line.split(' ').next().and_then(|word| word.parse::<usize>().ok());
        let dropped: usize = board.log.all().iter().filter_map(counts).sum();
        assert_eq!(board.log.all().len(), 2, "{:?}", board.log.all());
        assert_eq!(dropped + pongs, 20 * 512 + 1, "each ping is answered or counted");
    };
    tokio::select! {
        ended = run(dial, log, device) => panic!("{ended:?}"),
        () = test => {}
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_why_it_started_anew_until_a_connection_lasts() {
    let (dial, mut board) = with_buffer(4_096);
    let mut device = lovense(&board.pins);
    let mut client = Client {
        gateway: Gateway::parse("ws://gateway:1234").unwrap(),
        identity: Identity::new("LVSDevice", "8A3D9FAC2A45")
            .unwrap()
            .with_reset(Some("watchdog")),
        timing: Timing::DEFAULT,
        dial,
        clock: TestClock::new(),
        random: random(),
        report: board.log.write(),
    };
    let test = async {
        for (up, said) in [(0, true), (5_001, true), (0, false)] {
            let mut server = board.connection().await;
            let handshake = server.accept().await;
            assert_eq!(
                handshake.ends_with(",\"reset\":\"watchdog\"}"),
                said,
                "{handshake}"
            );
            ms(up).await;
        }
    };
    let mut memory = Memory::<1024, 512>::new();
    tokio::select! {
        ended = client.run(&mut memory, &mut device) => panic!("{ended:?}"),
        () = test => {}
    }
}
