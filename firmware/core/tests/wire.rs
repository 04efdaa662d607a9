//! A board on a serial port, and gateways that come, fall silent and come back.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Log, Pins, TestClock, ms};
use embedded_io_adapters::tokio_1::FromTokio;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;
use wsdm_device::{
    Ended, Lovense, LovenseSettings, Memory, Motors, Tcode, TcodeSettings, Wire, WireSettings,
};

const HELLO: &str = "{\"identifier\":\"LVSDevice\",\"address\":\"me\",\"version\":0,\"keepalive_ms\":200}\n";

struct Far {
    port: DuplexStream,
    log: Log,
    pins: Pins,
}

impl Far {
    async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.port.write_all(text.as_ref()).await.unwrap();
    }

    async fn expect(&mut self, wanted: &str) {
        let mut got = vec![0; wanted.len()];
        self.port.read_exact(&mut got).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&got), wanted);
    }

    /// A hello line, whatever keepalive it asks for.
    async fn expect_hello(&mut self) {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(self.port.read_u8().await.unwrap());
        }
        assert!(line.starts_with(b"{\"identifier\":"), "{line:?}");
    }

    /// Nothing comes for this long.
    async fn quiet(&mut self, for_ms: u64) {
        let mut byte = [0];
        tokio::select! {
            biased;
            got = self.port.read(&mut byte) => panic!("{got:?}: {byte:?}"),
            () = ms(for_ms) => {}
        }
    }
}

fn lovense(pins: &Pins) -> Lovense<Pins> {
    let settings = LovenseSettings {
        motors: Motors::One,
        address: "me",
        battery: 85,
    };
    Lovense::new(&settings, pins.clone())
}

async fn beside(test: impl AsyncFnOnce(&mut Far)) {
    with_keepalive(200, test).await;
}

async fn with_keepalive(keepalive_ms: u64, test: impl AsyncFnOnce(&mut Far)) {
    let (near, port) = duplex(1_024);
    let mut far = Far {
        port,
        log: Log::default(),
        pins: Pins::default(),
    };
    let mut device = lovense(&far.pins);
    let mut wire = Wire {
        settings: WireSettings::new("LVSDevice", Some("me"), keepalive_ms, b';').unwrap(),
        clock: TestClock::new(),
        report: far.log.write(),
    };
    let mut memory = Memory::<256, 256>::new();
    let mut near = FromTokio::new(near);
    tokio::select! {
        ended = wire.run(&mut near, &mut memory, &mut device) => panic!("{ended:?}"),
        () = test(&mut far) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_hello_at_its_start_and_when_it_is_asked() {
    beside(async |far| {
        far.expect(HELLO).await;
        far.say("\n").await;
        far.expect(HELLO).await;
        far.say("\r\n").await;
        far.expect(HELLO).await;
        far.say(b"\xff noise \n").await;
        far.expect(HELLO).await;
        far.quiet(60_000).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn keepalives_keep_it_running_and_are_not_answered() {
    beside(async |far| {
        far.expect(HELLO).await;
        far.say("Vibrate:20;").await;
        far.expect("OK;").await;
        for _ in 0..9 {
            far.quiet(200).await;
            far.say("\n").await;
        }
        assert_eq!(far.pins.at("V0"), 1_000);
        far.say("Vibr\nate").await;
        far.say(":10;").await;
        far.expect("ERR;").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn four_keepalives_missing_stop_the_motor_and_it_says_hello_again() {
    beside(async |far| {
        far.expect(HELLO).await;
        far.say("Vibrate:20;Half").await;
        far.expect("OK;").await;
        let start = Instant::now();
        far.quiet(799).await;
        assert_eq!(far.pins.at("V0"), 1_000);
        far.expect(HELLO).await;
        assert_eq!(start.elapsed().as_millis(), 800);
        assert_eq!(far.pins.at("V0"), 0);
        assert!(far.log.has("stopped by watchdog, 800 ms since last heard"));
        far.quiet(10_000).await;
        far.say("\nDeviceType;").await;
        far.expect(HELLO).await;
        far.expect("Z:11:me;").await;
    })
    .await;
}

/// A gateway asks further apart than it gives signs of life. Whoever takes a board over stops it first, so the sooner it
/// knows the board the better.
#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_restarted_at_once_gets_its_hello_at_once() {
    beside(async |far| {
        far.expect(HELLO).await;
        far.say("Vibrate:20;").await;
        far.expect("OK;").await;
        far.quiet(251).await;
        far.say("\n").await;
        far.expect(HELLO).await;
        // On time again: signs of life.
        far.quiet(250).await;
        far.say("\n").await;
        far.quiet(200).await;
    })
    .await;
}

/// Where its keepalive is longer than a gateway waits before it asks, questions look like signs of life.
#[tokio::test(start_paused = true)]
async fn a_board_with_a_long_keepalive_says_hello_where_nothing_but_newlines_comes() {
    with_keepalive(1_000, async |far| {
        far.expect_hello().await;
        far.say("Vibrate:20;").await;
        far.expect("OK;").await;
        for _ in 0..6 {
            far.quiet(300).await;
            far.say("\n").await;
        }
        ms(300).await;
        far.say("\n").await;
        far.expect_hello().await;
    })
    .await;
}

/// An open line hums; a delimiter is among its bytes now and then.
#[tokio::test(start_paused = true)]
async fn noise_does_not_keep_the_motor_on() {
    for noise in [
        &b"\x00\xff\x80"[..],
        b"\xff;\xfe;",
        b";;;;",
        b"Vibr",
        b"\xff\n",
        b" ; ;",
    ] {
        beside(async |far| {
            far.expect(HELLO).await;
            far.say("Vibrate:20;").await;
            far.expect("OK;").await;
            let start = Instant::now();
            while far.pins.at("V0") != 0 && start.elapsed() < Duration::from_secs(5) {
                far.say(noise).await;
                ms(40).await;
            }
            let passed = start.elapsed().as_millis();
            assert!((760..=840).contains(&passed), "{passed} ms of {noise:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_of_noise_costs_one_sign_of_life_and_no_command() {
    beside(async |far| {
        far.expect(HELLO).await;
        far.say("Vibrate:20;").await;
        far.expect("OK;").await;
        far.quiet(10).await;
        far.say(b"\xff").await;
        far.quiet(200).await;
        far.say("\n").await;
        far.quiet(200).await;
        far.say("\n").await;
        // That one is the first that counts, and late.
        far.expect(HELLO).await;
        for _ in 0..5 {
            far.quiet(200).await;
            far.say("\n").await;
        }
        assert_eq!(far.pins.at("V0"), 1_000);
        far.say("Vibrate:10;").await;
        far.expect("OK;").await;
        assert_eq!(far.pins.at("V0"), 500);
    })
    .await;
}

/// What it does not know is still said by somebody: a program newer than the board.
#[tokio::test(start_paused = true)]
async fn commands_that_it_does_not_know_are_signs_of_life() {
    beside(async |far| {
        far.expect(HELLO).await;
        far.say("Vibrate:20;").await;
        far.expect("OK;").await;
        for _ in 0..10 {
            far.quiet(150).await;
            far.say("GetWeather;").await;
            far.expect("ERR;").await;
        }
        assert_eq!(far.pins.at("V0"), 1_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_the_limit_is_skipped_and_said() {
    beside(async |far| {
        far.expect(HELLO).await;
        far.say("x".repeat(1_000)).await;
        far.say(";Battery;").await;
        far.expect("85;").await;
        assert!(far.log.has("a frame over the limit was skipped"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_far_end_that_reads_nothing_costs_answers_not_the_stop() {
    let (near, mut port) = duplex(64);
    let (log, pins) = (Log::default(), Pins::default());
    let mut device = lovense(&pins);
    let mut wire = Wire {
        settings: WireSettings::new("LVSDevice", Some("me"), 200, b';').unwrap(),
        clock: TestClock::new(),
        report: log.write(),
    };
    let mut memory = Memory::<256, 256>::new();
    let mut near = FromTokio::new(near);
    let test = async {
        let mut hello = [0; HELLO.len()];
        port.read_exact(&mut hello).await.unwrap();
        port.write_all(b"Vibrate:20;").await.unwrap();
        // Until neither side can go on.
        loop {
            tokio::select! {
                written = port.write_all(b"Battery;Vibrate:20;") => written.unwrap(),
                () = ms(1) => break,
            }
        }
        let start = Instant::now();
        while pins.at("V0") != 0 && start.elapsed().as_secs() < 10 {
            ms(10).await;
        }
        assert!(start.elapsed().as_millis() <= 810, "{:?}", start.elapsed());
        // It takes bytes again: the hello line is not the rest of an answer that was cut off.
        let mut said = Vec::new();
        while !said.ends_with(b"\n") {
            said.push(port.read_u8().await.unwrap());
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(";{\"identifier\""), "{said}");
    };
    tokio::select! {
        ended = wire.run(&mut near, &mut memory, &mut device) => panic!("{ended:?}"),
        () = test => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_wire_that_ends_stops_the_motor() {
    let (near, mut port) = duplex(1_024);
    let (log, pins) = (Log::default(), Pins::default());
    let mut device = lovense(&pins);
    let mut wire = Wire {
        settings: WireSettings::new("LVSDevice", None, 200, b';').unwrap(),
        clock: TestClock::new(),
        report: log.write(),
    };
    port.write_all(b"Vibrate:20;").await.unwrap();
    let unplug = async {
        ms(50).await;
        assert_eq!(pins.at("V0"), 1_000);
        drop(port);
    };
    let mut memory = Memory::<256, 256>::new();
    let mut near = FromTokio::new(near);
    let (ended, ()) = tokio::join!(wire.run(&mut near, &mut memory, &mut device), unplug);
    assert!(ended.is_err());
    assert_eq!(pins.at("V0"), 0);
    assert!(log.has("stopped by lost connection"));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_turns_itself_off_ends_the_run() {
    let (near, mut port) = duplex(1_024);
    let (log, pins) = (Log::default(), Pins::default());
    let mut device = lovense(&pins);
    let mut wire = Wire {
        settings: WireSettings::new("LVSDevice", None, 200, b';').unwrap(),
        clock: TestClock::new(),
        report: log.write(),
    };
    port.write_all(b"Vibrate:20;PowerOff;").await.unwrap();
    let mut memory = Memory::<256, 256>::new();
    let ended = wire
        .run(&mut FromTokio::new(near), &mut memory, &mut device)
        .await;
    assert_eq!(ended, Ok(Ended::PoweredOff));
    let mut said = String::new();
    port.read_to_string(&mut said).await.unwrap();
    assert!(said.ends_with("}\nOK;OK;"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_break_it_and_silence_stops_it(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..80), 0_u64..400), 0..20),
        tcode: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (near, mut port) = duplex(4_096);
            let (log, pins) = (Log::default(), Pins::default());
            let delimiter = if tcode { b'\n' } else { b';' };
            let mut wire = Wire {
                settings: WireSettings::new("x", None, 100, delimiter).unwrap(),
                clock: TestClock::new(),
                report: log.write(),
            };
            let mut memory = Memory::<64, 128>::new();
            let mut near = FromTokio::new(near);
            let test = async {
                for (chunk, pause) in chunks {
                    port.write_all(&chunk).await.unwrap();
                    let mut said = [0; 4_096];
                    tokio::select! { _ = port.read(&mut said) => {}, () = ms(pause) => {} }
                }
                ms(500).await;
            };
            if tcode {
                let mut device = Tcode::new(&TcodeSettings::DEFAULT, pins.clone());
                tokio::select! { _ = wire.run(&mut near, &mut memory, &mut device) => {}, () = test => {} }
            } else {
                let mut device = lovense(&pins);
                tokio::select! { _ = wire.run(&mut near, &mut memory, &mut device) => {}, () = test => {} }
            }
            assert_eq!(pins.at("V0"), 0);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_why_it_started_anew_until_a_gateway_has_control() {
    let (near, mut port) = duplex(1_024);
    let pins = Pins::default();
    let mut device = lovense(&pins);
    let mut wire = Wire {
        settings: WireSettings::new("LVSDevice", Some("me"), 200, b';')
            .unwrap()
            .with_reset(Some("brown-out")),
        clock: TestClock::new(),
        report: Log::default().write(),
    };
    let mut memory = Memory::<256, 256>::new();
    let mut near = FromTokio::new(near);
    let test = async {
        let mut hello = async |said: &str| {
            port.write_all(said.as_bytes()).await.unwrap();
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                line.push(port.read_u8().await.unwrap());
            }
            String::from_utf8(line).unwrap()
        };
        assert!(hello("").await.ends_with(",\"reset\":\"brown-out\"}\n"));
        assert!(hello("\n").await.contains("reset"));
        // Nothing but silence behind a frame: it says hello again, and nothing of that.
        let line = hello("Battery;").await;
        assert!(line.starts_with("85;{") && !line.contains("reset"), "{line}");
    };
    tokio::select! {
        ended = wire.run(&mut near, &mut memory, &mut device) => panic!("{ended:?}"),
        () = test => {}
    }
}

/// Each report is a line on a board's console.
#[tokio::test(start_paused = true)]
async fn a_noisy_wire_is_reported_once_a_second_with_a_count() {
    for (noise, wanted) in [
        (&b"\xff;"[..], "frames with noise were skipped"),
        (
            &[&[b'x'; 512][..], b";"].concat(),
            "frames over the limit were skipped",
        ),
    ] {
        beside(async |far| {
            far.expect(HELLO).await;
            far.log.clear();
            for _ in 0..100 {
                far.say(noise.repeat(100)).await;
                ms(1).await;
            }
            ms(1_000).await;
            far.say(";").await;
            ms(1).await;
            let said = far.log.all();
            let said: Vec<_> = said.iter().filter(|line| line.ends_with(wanted)).collect();
            assert!((1..=3).contains(&said.len()), "{} lines: {wanted}", said.len());
        })
        .await;
    }
}
