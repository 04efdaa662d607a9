use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Said(String);

impl Reply for Said {
    fn send(&mut self, frame: &[u8]) {
        self.0.push_str(core::str::from_utf8(frame).unwrap());
    }
}

const NO_LIMIT: AxisSettings = AxisSettings {
    speed: 0,
    ..AxisSettings::new(Kind::Linear, 0)
};
const FREE: TcodeSettings<'static> = TcodeSettings {
    axes: &[
        NO_LIMIT,
        AxisSettings {
            channel: Channel::new(Kind::Rotate, 0),
            ..NO_LIMIT
        },
        AxisSettings::new(Kind::Vibrate, 0),
        AxisSettings::new(Kind::Auxiliary, 0),
    ],
    soft_start_ms: 0,
    ..TcodeSettings::DEFAULT
};
/// As they come, but for the soft start.
const HARD: TcodeSettings<'static> = TcodeSettings {
    soft_start_ms: 0,
    ..TcodeSettings::DEFAULT
};

/// Where each pin stands.
#[derive(Default)]
struct Pins(RefCell<HashMap<String, u32>>);

impl Outputs for &Pins {
    fn set(&mut self, channel: Channel, level: Level) {
        self.0
            .borrow_mut()
            .insert(channel.to_string(), level.times(1_000));
    }
}

impl Pins {
    fn is_set(&self, channel: &str) -> bool {
        self.0.borrow().contains_key(channel)
    }

    fn at(&self, channel: &str) -> u32 {
        self.0.borrow()[channel]
    }
}

fn say<O: Outputs>(device: &mut Tcode<'_, O>, now: u64, text: &str) -> String {
    let mut said = Said::default();
    device.frame(now, text.as_bytes(), &mut said);
    said.0
}

/// Time passes, and the program runs.
fn run<O: Outputs>(device: &mut Tcode<'_, O>, from: u64, to: u64) {
    for now in (from..to).step_by(10).chain([to]) {
        device.tick(now);
    }
}

#[test]
fn nothing_moves_before_the_newline() {
    let pins = Pins::default();
    let mut d = Tcode::new(&FREE, &pins);
    assert_eq!(pins.at("V0"), 0);
    say(&mut d, 0, "L0999");
    assert!(!pins.is_set("L0"));
    say(&mut d, 0, "\n");
    assert_eq!(pins.at("L0"), 999);
}

#[test]
fn moves_take_their_time_and_speed() {
    let pins = Pins::default();
    let mut d = Tcode::new(&FREE, &pins);
    say(&mut d, 1_000, "L00I1000 R00S10 V099I100\n");
    assert_eq!(d.tick(1_050), Some(1_060));
    assert_eq!(pins.at("V0"), 495);
    run(&mut d, 1_050, 1_500);
    assert_eq!(pins.at("L0"), 250);
    run(&mut d, 1_500, 2_000);
    assert_eq!(pins.at("L0"), 0);
    // 0.5 at 0.1 a second takes five seconds.
    run(&mut d, 2_000, 3_500);
    assert_eq!(pins.at("R0"), 250);
    run(&mut d, 3_500, 6_000);
    assert_eq!(d.tick(6_001), None);
    assert_eq!(pins.at("R0"), 0);
    assert!(d.is_on(), "it vibrates");
}

#[test]
fn the_last_command_to_a_channel_counts() {
    let pins = Pins::default();
    let mut d = Tcode::new(&FREE, &pins);
    say(&mut d, 0, "L00 L0999I1000\n");
    assert_eq!(pins.at("L0"), 500);
    run(&mut d, 0, 1_000);
    assert_eq!(pins.at("L0"), 999);
}

#[test]
fn a_stop_holds_places_and_ends_vibration() {
    let pins = Pins::default();
    let mut d = Tcode::new(&FREE, &pins);
    say(&mut d, 0, "L00I1000 V05 A05\n");
    assert!(d.is_on());
    run(&mut d, 0, 500);
    say(&mut d, 500, "L0999 DSTOP\n");
    assert!(!d.is_on());
    assert_eq!(d.tick(9_000), None);
    assert_eq!((pins.at("L0"), pins.at("V0"), pins.at("A0")), (250, 0, 0));
    say(&mut d, 9_000, "L0999I1000 V05\n");
    run(&mut d, 9_000, 9_500);
    d.stop(9_500);
    assert!(!d.is_on());
    d.tick(20_000);
    assert_eq!((pins.at("L0"), pins.at("V0")), (624, 0));
}

#[test]
fn a_place_is_never_faster_than_its_limit() {
    let pins = Pins::default();
    let mut d = Tcode::new(&HARD, &pins);
    // Twice the range a second: 0.2 in 100 ms.
    say(&mut d, 0, "L00\n");
    assert_eq!(pins.at("L0"), 500);
    assert!(d.is_on());
    run(&mut d, 0, 100);
    assert_eq!(pins.at("L0"), 300);
    run(&mut d, 100, 251);
    assert_eq!(pins.at("L0"), 0);
    assert!(!d.is_on());
}

#[test]
fn the_start_is_soft_whenever_it_comes() {
    let pins = Pins::default();
    let mut d = Tcode::new(&TcodeSettings::DEFAULT, &pins);
    d.connected(0);
    say(&mut d, 60_000, "L0999 V0999\n");
    assert_eq!(pins.at("V0"), 999, "a strength is not held back");
    // Half the range a second.
    run(&mut d, 60_000, 60_100);
    assert_eq!(pins.at("L0"), 550);
    run(&mut d, 60_100, 61_000);
    assert_eq!(pins.at("L0"), 999);
    // Past it, twice the range a second again.
    say(&mut d, 62_000, "L00\n");
    run(&mut d, 62_000, 62_100);
    assert_eq!(pins.at("L0"), 799);
    // Control was lost: softly once more.
    d.stop(62_100);
    say(&mut d, 90_000, "V01\n");
    say(&mut d, 95_000, "L00\n");
    run(&mut d, 95_000, 95_100);
    assert_eq!(pins.at("L0"), 749);
}

#[test]
fn the_first_move_of_each_place_is_soft() {
    let pins = Pins::default();
    let mut d = Tcode::new(&TcodeSettings::DEFAULT, &pins);
    say(&mut d, 0, "L05\n");
    run(&mut d, 0, 3_000);
    say(&mut d, 3_000, "R00\n");
    run(&mut d, 3_000, 3_100);
    assert_eq!(pins.at("R0"), 450);
}

#[test]
fn no_place_leaps_when_the_soft_start_ends() {
    let pins = Pins::default();
    let settings = TcodeSettings {
        soft_start_ms: 2_000,
        ..FREE
    };
    let mut d = Tcode::new(&settings, &pins);
    say(&mut d, 0, "L09999I500\n");
    run(&mut d, 0, 1_000);
    say(&mut d, 1_000, "L00I500\n");
    let mut at = i64::from(pins.at("L0"));
    for now in (1_000..4_000).step_by(10) {
        d.tick(now);
        let new = i64::from(pins.at("L0"));
        assert!((new - at).abs() <= 6, "{at} to {new} at {now} ms");
        at = new;
    }
    assert_eq!(at, 0);
}

/// Nobody knows where a machine stands when it is switched on, nor what is in its way.
#[test]
fn a_place_is_not_sent_anywhere_before_it_is_told() {
    let pins = Pins::default();
    let mut d = Tcode::new(&TcodeSettings::DEFAULT, &pins);
    d.connected(0);
    say(&mut d, 0, "V05 R05 D0 DSTOP\n");
    d.stop(100);
    run(&mut d, 100, 1_000);
    assert!(!pins.is_set("L0") && !pins.is_set("R0"));
    say(&mut d, 1_000, "L05\n");
    assert_eq!(pins.at("L0"), 500, "where it is believed to be, is told too");
    assert!(!pins.is_set("R0"));
}

#[test]
fn a_stop_after_the_program_stood_still_moves_nothing() {
    for settings in [&FREE, &TcodeSettings::DEFAULT] {
        let pins = Pins::default();
        let mut d = Tcode::new(settings, &pins);
        say(&mut d, 0, "L00I2000\n");
        run(&mut d, 0, 400);
        let before = pins.at("L0");
        d.stop(10_400);
        assert_eq!(pins.at("L0"), before);
        assert_eq!(d.tick(10_500), None);
        assert_eq!(pins.at("L0"), before);
    }
}

#[test]
fn a_program_that_stood_still_goes_on_without_a_leap() {
    let pins = Pins::default();
    let mut d = Tcode::new(&FREE, &pins);
    say(&mut d, 0, "L00I1000 V0999I1000\n");
    run(&mut d, 0, 500);
    assert_eq!((pins.at("L0"), pins.at("V0")), (250, 499));
    d.tick(10_500);
    assert_eq!((pins.at("L0"), pins.at("V0")), (225, 549));
    run(&mut d, 10_500, 10_950);
    assert_eq!((pins.at("L0"), pins.at("V0")), (0, 999));
}

#[test]
fn an_axis_keeps_to_its_range() {
    let pins = Pins::default();
    let narrow = |kind| AxisSettings {
        low: Level::of(1, 5),
        high: Level::of(3, 5),
        speed: 0,
        ..AxisSettings::new(kind, 0)
    };
    let axes = [narrow(Kind::Linear), narrow(Kind::Vibrate)];
    let settings = TcodeSettings { axes: &axes, ..FREE };
    let mut d = Tcode::new(&settings, &pins);
    assert_eq!(pins.at("V0"), 0);
    say(&mut d, 0, "L00 V00001\n");
    assert_eq!((pins.at("L0"), pins.at("V0")), (200, 200));
    say(&mut d, 0, "L099999 V099999\n");
    assert_eq!((pins.at("L0"), pins.at("V0")), (600, 600));
    d.stop(0);
    assert_eq!((pins.at("L0"), pins.at("V0")), (600, 0), "off is off");
}

#[test]
fn questions_get_their_answers() {
    let pins = Pins::default();
    let mut d = Tcode::new(&TcodeSettings::DEFAULT, &pins);
    assert_eq!(say(&mut d, 0, "D0\nd1\r\n"), "wsdm-device\nTCode v0.3\n");
    let axes = say(&mut d, 0, "D2\n");
    assert_eq!(axes.lines().count(), 13);
    assert!(axes.starts_with("L0 0 9999 Stroke\n"), "{axes}");
    assert_eq!(say(&mut d, 0, "$L0-1000-9000 hello X0 L7999\n"), "");
    assert!(say(&mut d, 0, "D2\n").starts_with("L0 1000 9000 Stroke\n"));
}

/// Lines, near-lines and noise.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        "[LRVA][0-9]{1,6}([IS][0-9]{1,5})?",
        "D0|D1|D2|DSTOP|dstop",
        "\\$[LRVA][0-9]-[0-9]{1,5}-[0-9]{1,5}",
        ".{0,12}",
    ];
    let part = prop_oneof![
        6 => word.prop_map(|w| format!("{w} ").into_bytes()),
        3 => Just(b"\n".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..300),
    ];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_bytes_break_it_and_any_chunking_means_the_same(bytes in stream(), chunk in 1_usize..100) {
        let (pins, others) = (Pins::default(), Pins::default());
        let mut whole = Tcode::new(&TcodeSettings::DEFAULT, &pins);
        let mut chunked = Tcode::new(&TcodeSettings::DEFAULT, &others);
        let mut said = Said::default();
        whole.frame(5, &bytes, &mut said);
        let mut parts = Said::default();
        for part in bytes.chunks(chunk) {
            chunked.frame(5, part, &mut parts);
        }
        prop_assert_eq!(said.0, parts.0);
        for now in (5..3_000).step_by(10) {
            whole.tick(now);
            chunked.tick(now);
        }
        prop_assert_eq!(&*pins.0.borrow(), &*others.0.borrow());
        whole.stop(3_000);
        prop_assert!(!whole.is_on());
        prop_assert_eq!(whole.tick(3_001), None);
    }

    #[test]
    fn no_place_jumps(lines in proptest::collection::vec(("L0[0-9]{1,4}([IS][0-9]{1,4})?", 0_u64..300), 1..30)) {
        let pins = Pins::default();
        let mut d = Tcode::new(&TcodeSettings::DEFAULT, &pins);
        let mut now = 0;
        let mut at = 500_i64;
        for (line, pause) in lines {
            say(&mut d, now, &format!("{line}\n"));
            for _ in 0..pause / 10 {
                now += 10;
                d.tick(now);
                let new = i64::from(pins.at("L0"));
                // 0.02 in 10 ms, and what rounding to thousandths adds.
                prop_assert!((new - at).abs() <= 21, "{} to {}", at, new);
                at = new;
            }
        }
    }

    #[test]
    fn no_place_leaps_whenever_the_program_stands_still_or_control_ends(
        steps in proptest::collection::vec(("L0[0-9]{1,4}([IS][0-9]{1,4})?", 0_u64..20_000, 0_u8..4), 1..40),
    ) {
        let pins = Pins::default();
        let mut d = Tcode::new(&TcodeSettings::DEFAULT, &pins);
        let mut now = 0;
        let mut at = 500_i64;
        for (line, pause, what) in steps {
            now += pause;
            match what {
                0 => d.stop(now),
                1 => d.connected(now),
                2 => { d.tick(now); }
                _ => { say(&mut d, now, &format!("{line}\n")); }
            }
            if pins.is_set("L0") {
                let new = i64::from(pins.at("L0"));
                // 0.1 in 50 ms, and none in a stop.
                let most = if what == 0 { 0 } else { 101 };
                prop_assert!((new - at).abs() <= most, "{} to {}", at, new);
                at = new;
            }
        }
    }
}

/// What is off is switched off again: nobody knows better than the pin itself what it shows.
#[test]
fn a_stop_is_written_whatever_was_written_before() {
    let pins = Pins::default();
    let mut d = Tcode::new(&FREE, &pins);
    say(&mut d, 0, "V05 A05 L05\n");
    let place = pins.at("L0");
    d.stop(0);
    let disturb = || {
        for channel in ["V0", "A0", "L0"] {
            pins.0.borrow_mut().insert(channel.to_owned(), 777);
        }
    };
    for n in 1..3 {
        disturb();
        d.stop(n);
        assert_eq!((pins.at("V0"), pins.at("A0")), (0, 0));
    }
    for off in ["DSTOP\n", "V00 A00\n", "V00I500 A00I500\n"] {
        disturb();
        say(&mut d, 100, off);
        assert_eq!((pins.at("V0"), pins.at("A0")), (0, 0), "{off}");
    }
    disturb();
    d.hold(200);
    assert_eq!((pins.at("V0"), pins.at("A0")), (0, 0));
    disturb();
    say(&mut d, 200, "DSTOP\n");
    assert_eq!((pins.at("V0"), pins.at("A0")), (0, 0));
    // A place is not off: it stays as it was told.
    assert_ne!(place, 777);
    assert_eq!(pins.at("L0"), 777);
}
