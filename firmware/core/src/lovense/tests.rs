use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

/// Collects answers.
#[derive(Default)]
struct Said(String);

impl Reply for Said {
    fn send(&mut self, frame: &[u8]) {
        self.0.push_str(core::str::from_utf8(frame).unwrap());
    }
}

const EDGE: LovenseSettings<'static> = LovenseSettings {
    motors: Motors::Two,
    address: "AA:BB:CC:DD:EE:FF",
    battery: 85,
};
const LAPIS: LovenseSettings<'static> = LovenseSettings {
    motors: Motors::Three,
    ..EDGE
};
const HUSH: LovenseSettings<'static> = LovenseSettings {
    motors: Motors::One,
    ..EDGE
};

fn say<O: Outputs>(device: &mut Lovense<O>, bytes: &[u8]) -> String {
    let mut said = Said::default();
    device.frame(0, bytes, &mut said);
    said.0
}

fn levels<O>(device: &Lovense<O>) -> [u32; 3] {
    device.state.levels.map(|level| level.times(STEPS))
}

fn ignored(_: Channel, _: Level) {}

/// A board that measures its battery.
struct Measured(std::rc::Rc<std::cell::Cell<u8>>);

impl Outputs for Measured {
    fn set(&mut self, _: Channel, _: Level) {}

    fn charge(&self) -> Option<u8> {
        Some(self.0.get())
    }
}

#[test]
fn a_battery_that_is_measured_is_told_as_it_is() {
    let charge = std::rc::Rc::new(std::cell::Cell::new(64));
    let mut d = Lovense::new(&HUSH, Measured(charge.clone()));
    assert_eq!(say(&mut d, b"Battery;"), "64;");
    charge.set(63);
    assert_eq!(say(&mut d, b"Battery;"), "63;");
}

#[test]
fn questions_get_their_answers() {
    let mut d = Lovense::new(&HUSH, ignored);
    assert_eq!(say(&mut d, b"DeviceType;"), "Z:11:AABBCCDDEEFF;");
    assert_eq!(say(&mut d, b"Battery;"), "85;");
    let full = LovenseSettings { battery: 200, ..HUSH };
    assert_eq!(say(&mut Lovense::new(&full, ignored), b"Battery;"), "100;");
    assert_eq!(
        say(&mut d, b"Status:1;GetBatch;GetAS;"),
        "2;240131;AutoSwith:1:0;"
    );
    assert_eq!(say(&mut d, b"Light:off;GetLight;"), "OK;Light:0;");
    assert_eq!(say(&mut d, b" \r\n;"), "");
    assert_eq!(
        say(&mut Lovense::new(&EDGE, ignored), b"DeviceType;"),
        "P:11:AABBCCDDEEFF;"
    );
    assert_eq!(
        say(&mut Lovense::new(&LAPIS, ignored), b"DeviceType;"),
        "U:11:AABBCCDDEEFF;"
    );
}

#[test]
fn three_motors_have_their_numbers_and_can_be_set_together() {
    let mut d = Lovense::new(&LAPIS, ignored);
    assert_eq!(say(&mut d, b"Vibrate:4;Vibrate3:20;"), "OK;OK;");
    assert_eq!(levels(&d), [4, 4, 20]);
    assert_eq!(say(&mut d, b"Mply:7:-1:0;"), "OK;");
    assert_eq!(levels(&d), [7, 4, 0]);
    // What is left out stays.
    assert_eq!(say(&mut d, b"Mply:1;Mply:-1:9;"), "OK;OK;");
    assert_eq!(levels(&d), [1, 9, 0]);
    for wrong in [
        "Mply:;",
        "Mply;",
        "Mply:1:2:3:4;",
        "Mply:5:5:21;",
        "Mply:5:;",
        "Mply:5::5;",
        "Mply:-2;",
        "Mply:5:+5;",
        "Vibrate4:3;",
        "Vibrate01:3;",
        "Vibrate-1:3;",
    ] {
        assert_eq!(say(&mut d, wrong.as_bytes()), "ERR;", "{wrong}");
        assert_eq!(levels(&d), [1, 9, 0], "{wrong} changes none of them");
    }
    d.stop(0);
    assert_eq!(levels(&d), [0, 0, 0]);
    let mut hush = Lovense::new(&HUSH, ignored);
    assert_eq!(say(&mut hush, b"Mply:3;Mply:-1;Mply:3:3;"), "OK;OK;ERR;");
}

#[test]
fn motors_follow_and_only_changes_reach_the_pins() {
    let pins = RefCell::new(Vec::new());
    let mut d = Lovense::new(&EDGE, |channel: Channel, level: Level| {
        pins.borrow_mut().push(format!("{channel} {level}"));
    });
    pins.borrow_mut().clear();
    assert_eq!(say(&mut d, b"Vibrate:10;Vibrate:10;"), "OK;OK;");
    assert_eq!(say(&mut d, b"Vibrate2:20;Vibrate1:0;"), "OK;OK;");
    assert_eq!(*pins.borrow(), ["V0 0.500", "V1 0.500", "V1 1.000", "V0 0.000"]);
    assert!(d.is_on());
    d.stop(0);
    assert!(!d.is_on());
    assert_eq!(pins.borrow().last().unwrap(), "V1 0.000");
}

/// Of a motor and of what turns.
type Writes = std::rc::Rc<RefCell<Vec<String>>>;

struct Written(Writes);

impl Outputs for Written {
    fn set(&mut self, channel: Channel, level: Level) {
        self.0.borrow_mut().push(format!("{channel} {level}"));
    }

    fn turn(&mut self, level: Level, is_reversed: bool) {
        let way = if is_reversed { "back" } else { "on" };
        self.0.borrow_mut().push(format!("R0 {level} {way}"));
    }
}

/// What is off is switched off again: nobody knows better than the pin itself what it shows.
#[test]
fn a_stop_is_written_whatever_was_written_before() {
    let writes = Writes::default();
    let nora = LovenseSettings {
        motors: Motors::OneAndRotation,
        ..EDGE
    };
    let mut d = Lovense::new(&nora, Written(writes.clone()));
    let both = ["R0 0.000 on", "V0 0.000"];
    let written = |d: &mut Lovense<Written>, act: &dyn Fn(&mut Lovense<Written>)| {
        writes.borrow_mut().clear();
        act(d);
        let mut seen = writes.borrow().clone();
        seen.sort();
        seen.dedup();
        seen
    };
    for _ in 0..2 {
        assert_eq!(written(&mut d, &|d| d.stop(0)), both);
        for stop in ["DeviceType;", "PowerOff;", "Vibrate:0;Rotate:0;", "Mply:0:0;"] {
            assert_eq!(
                written(&mut d, &|d| drop(say(d, stop.as_bytes()))),
                both,
                "{stop}"
            );
        }
    }
    assert_eq!(written(&mut d, &|d| d.hold(0)), both);
    assert_eq!(written(&mut d, &|d| d.stop(0)), both);
    assert_eq!(written(&mut d, &|d| d.release(0)), both);
    // What moves is not.
    say(&mut d, b"Vibrate:5;Rotate:5;");
    assert_eq!(
        written(&mut d, &|d| drop(say(d, b"Vibrate:5;Rotate:5;"))),
        [""; 0]
    );
}

#[test]
fn a_value_out_of_range_or_for_another_model_changes_nothing() {
    let mut d = Lovense::new(&HUSH, ignored);
    say(&mut d, b"Vibrate:7;");
    for wrong in [
        "Vibrate:21;",
        "Vibrate:-1;",
        "Vibrate:+1;",
        "Vibrate:;",
        "Vibrate;",
        "Vibrate:99999999999999999999;",
        "Vibrate2:3;",
        "Vibrate0:3;",
        "Vibrate3:3;",
        "Rotate:3;",
        "RotateChange;",
        "Air:Level:1;",
        "Mply:1:2;",
        "vibrate:3;",
        "Light:maybe;",
        "Status:2;",
        "Battery:1;",
        "\u{1b}[2J;",
    ] {
        assert_eq!(say(&mut d, wrong.as_bytes()), "ERR;", "{wrong}");
        assert_eq!(levels(&d), [7, 0, 0], "{wrong}");
    }
    assert_eq!(say(&mut d, b"\xff\xfe;"), "ERR;");
    assert_eq!(say(&mut d, &[b'x'; 1_000]), "");
    assert_eq!(say(&mut d, b";Vibrate1:3;"), "ERR;OK;");
    assert_eq!(levels(&d), [3, 0, 0]);
}

#[test]
fn what_turns_passes_nothing_on_its_way_to_the_other_direction() {
    /// What the bridge was told, and when.
    #[derive(Default)]
    struct Bridge(std::rc::Rc<RefCell<Vec<String>>>);

    impl Outputs for Bridge {
        fn set(&mut self, _: Channel, _: Level) {}

        fn turn(&mut self, level: Level, is_reversed: bool) {
            let sign = if is_reversed { "-" } else { "" };
            self.0.borrow_mut().push(format!("{sign}{level}"));
        }
    }

    let bridge = Bridge::default();
    let told = bridge.0.clone();
    let nora = LovenseSettings {
        motors: Motors::OneAndRotation,
        ..EDGE
    };
    let mut d = Lovense::new(&nora, bridge);
    let mut said = Said::default();
    d.frame(0, b"DeviceType;Rotate:20;Vibrate:3;", &mut said);
    assert!(d.is_on());
    d.frame(100, b"RotateChange;", &mut said);
    assert_eq!(d.tick(100), Some(250));
    assert_eq!(d.tick(250), None);
    d.frame(300, b"Mply:-1:10;Mply:1:2:3;Rotate:21;", &mut said);
    assert_eq!(said.0, "A:11:AABBCCDDEEFF;OK;OK;OK;OK;ERR;ERR;");
    d.hold(400);
    d.frame(410, b"RotateChange;Rotate:5;", &mut said);
    assert_eq!(d.tick(2_000), None);
    d.release(3_000);
    d.frame(3_000, b"Rotate:4;", &mut said);
    d.stop(3_100);
    assert!(!d.is_on());
    // What is off is told so more than once.
    told.borrow_mut().dedup();
    assert_eq!(
        *told.borrow(),
        [
            "0.000", "1.000", "0.000", "-1.000", "-0.500", "-0.000", "0.200", "0.000"
        ]
    );
    assert_eq!(
        say(&mut Lovense::new(&EDGE, ignored), b"Rotate:1;RotateChange;"),
        "ERR;ERR;"
    );
}

#[test]
fn turning_off_stops_the_motors_and_nothing_counts_behind_it() {
    let mut d = Lovense::new(&HUSH, ignored);
    let mut said = Said::default();
    let flow = d.frame(0, b"Vibrate:20;PowerOff;Vibrate:9;", &mut said);
    assert_eq!(flow, Flow::PowerOff);
    assert_eq!(said.0, "OK;OK;");
    assert!(!d.is_on());
}

#[test]
fn whoever_asks_what_it_is_begins_anew() {
    let mut d = Lovense::new(&EDGE, ignored);
    assert_eq!(say(&mut d, b"Vibrate:20;DeviceType;"), "OK;P:11:AABBCCDDEEFF;");
    assert!(!d.is_on());
}

#[test]
fn a_stop_forgets_half_a_command() {
    let mut d = Lovense::new(&HUSH, ignored);
    say(&mut d, b"Vibrate:20;Vibr");
    d.stop(0);
    assert_eq!(say(&mut d, b"Battery;"), "85;");
}

/// Commands, near-commands and noise.
pub(crate) fn stream() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        "(Vibrate|Vibrate1|Vibrate2|Rotate|Mply|Light):[0-9+-]{0,12}",
        "DeviceType|Battery|PowerOf|GetLight|Status:1",
        ".{0,20}",
    ];
    let part = prop_oneof![
        4 => word.prop_map(|w| format!("{w};").into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..300),
    ];
    proptest::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_bytes_break_it_and_any_chunking_means_the_same(bytes in stream(), chunk in 1_usize..100) {
        let mut whole = Lovense::new(&EDGE, ignored);
        let mut chunked = Lovense::new(&EDGE, ignored);
        let all = say(&mut whole, &bytes);
        let parts: String = bytes.chunks(chunk).map(|c| say(&mut chunked, c)).collect();
        prop_assert_eq!(all, parts);
        prop_assert_eq!(levels(&whole), levels(&chunked));
        whole.stop(0);
        prop_assert!(!whole.is_on());
    }
}
