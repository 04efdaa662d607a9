use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::device::{Channel, Level, Outputs};
use crate::{AxisSettings, Kind, Lovense, LovenseSettings, Motors, Tcode, TcodeSettings};

struct Silent;

impl Reply for Silent {
    fn send(&mut self, _frame: &[u8]) {}
}

/// Where each output stands, in thousandths.
#[derive(Default)]
struct Pins(RefCell<BTreeMap<String, u32>>);

impl Outputs for &Pins {
    fn set(&mut self, channel: Channel, level: Level) {
        self.0
            .borrow_mut()
            .insert(channel.to_string(), level.times(1_000));
    }
}

impl Pins {
    fn at(&self, channel: &str) -> Option<u32> {
        self.0.borrow().get(channel).copied()
    }
}

const EDGE: LovenseSettings<'static> = LovenseSettings {
    motors: Motors::Two,
    address: "",
    battery: 100,
};
/// A servo that is as fast as it is told, and a motor.
const STROKER: TcodeSettings<'static> = TcodeSettings {
    axes: &[
        AxisSettings {
            speed: 0,
            ..AxisSettings::new(Kind::Linear, 0)
        },
        AxisSettings::new(Kind::Vibrate, 0),
    ],
    ..TcodeSettings::DEFAULT
};

/// Time passes.
fn run(device: &mut impl Device, from: u64, to: u64) {
    for now in (from..=to).step_by(10) {
        device.tick(now);
    }
}

fn say(device: &mut impl Device, now: u64, text: &str) {
    device.frame(now, text.as_bytes(), &mut Silent);
}

#[test]
fn a_press_stops_at_once_and_the_slider_has_to_go_to_0_first() {
    let (pins, pressed, told) = (Pins::default(), Cell::new(false), RefCell::new(Vec::new()));
    let report = |now, report: &Report<'_>| told.borrow_mut().push(format!("{now} {report}"));
    let mut d = WithButton::new(Lovense::new(&EDGE, &pins), || pressed.get(), report);
    d.connected(0);
    say(&mut d, 0, "Vibrate:10;");
    assert_eq!(d.tick(0), Some(10));
    assert!(d.is_on());
    pressed.set(true);
    d.tick(10);
    assert_eq!((pins.at("V0"), pins.at("V1")), (Some(0), Some(0)));
    assert!(!d.is_on());
    // Neither held down nor let go does the app's next word move anything.
    say(&mut d, 20, "Vibrate:20;Vibrate1:5;Mply:3:4;");
    pressed.set(false);
    run(&mut d, 30, 60_000);
    say(&mut d, 60_000, "Vibrate:15;Battery;");
    assert_eq!((pins.at("V0"), pins.at("V1")), (Some(0), Some(0)));
    // The slider goes to 0, and up again.
    say(&mut d, 61_000, "Vibrate:0;");
    run(&mut d, 61_000, 65_990);
    say(&mut d, 65_990, "Vibrate:0;");
    assert_eq!(told.borrow().len(), 1, "{told:?}");
    run(&mut d, 66_000, 67_000);
    say(&mut d, 67_000, "Vibrate:4;");
    assert_eq!(pins.at("V0"), Some(200));
    assert_eq!(
        *told.borrow(),
        [
            "10 stopped by the button, until the app has stopped too",
            "66000 the button's stop is over"
        ]
    );
}

#[test]
fn a_command_that_meets_a_pressed_button_moves_nothing() {
    let (pins, pressed) = (Pins::default(), Cell::new(true));
    let mut d = WithButton::new(
        Lovense::new(&EDGE, &pins),
        || pressed.get(),
        |_, _: &Report<'_>| {},
    );
    say(&mut d, 0, "Vibrate:20;");
    assert_eq!(pins.at("V0"), Some(0));
}

#[test]
fn a_script_that_plays_on_gets_nothing_until_it_pauses() {
    let (pins, pressed) = (Pins::default(), Cell::new(false));
    let mut d = WithButton::new(
        Tcode::new(&STROKER, &pins),
        || pressed.get(),
        |_, _: &Report<'_>| {},
    );
    d.connected(0);
    say(&mut d, 0, "L00I4000 V05\n");
    run(&mut d, 0, 500);
    pressed.set(true);
    d.tick(510);
    pressed.set(false);
    let place = pins.at("L0");
    assert!(place.is_some_and(|place| (1..500).contains(&place)), "{place:?}");
    assert_eq!(pins.at("V0"), Some(0));
    // Strokes that take longer than the pause that ends a stop, and some at once.
    for (start, stroke) in [(1_000, "L0999I3000\n"), (4_000, "L00S40\n"), (6_500, "L05 V03\n")] {
        say(&mut d, start, stroke);
        run(&mut d, start, start + 2_400);
        assert_eq!((pins.at("L0"), pins.at("V0")), (place, Some(0)), "{stroke}");
    }
    say(&mut d, 9_000, "DSTOP\n");
    run(&mut d, 9_000, 14_000);
    // On from where it stands, softly: half of the range a second.
    say(&mut d, 14_010, "L0999\n");
    run(&mut d, 14_010, 14_110);
    let moved = pins.at("L0").zip(place).map(|(now, before)| now - before);
    assert!(moved.is_some_and(|moved| (30..=60).contains(&moved)), "{moved:?}");
}

#[test]
fn a_connection_that_ends_ends_what_was_commanded() {
    let (pins, pressed) = (Pins::default(), Cell::new(false));
    let mut d = WithButton::new(
        Tcode::new(&STROKER, &pins),
        || pressed.get(),
        |_, _: &Report<'_>| {},
    );
    d.connected(0);
    say(&mut d, 0, "V05 L0999I60000\n");
    pressed.set(true);
    d.tick(10);
    pressed.set(false);
    d.stop(20);
    d.connected(30);
    say(&mut d, 30, "V05\n");
    assert_eq!(
        pins.at("V0"),
        Some(0),
        "the next gateway's first word comes at once"
    );
    d.stop(40);
    // On a wire time goes on for the device.
    run(&mut d, 40, 60_000);
    d.connected(60_000);
    say(&mut d, 60_000, "V05\n");
    assert_eq!(pins.at("V0"), Some(0), "nor is it too late");
    say(&mut d, 60_010, "V00\n");
    run(&mut d, 60_010, 60_010 + CALM_MS);
    say(&mut d, 60_020 + CALM_MS, "V05\n");
    assert_eq!(pins.at("V0"), Some(500));
}

/// Strokes without a duration are over at once, and a script has gaps between them: neither is the app's stop.
#[test]
fn a_script_whose_strokes_are_far_apart_gets_nothing_either() {
    let (pins, pressed) = (Pins::default(), Cell::new(false));
    let mut d = WithButton::new(
        Tcode::new(&STROKER, &pins),
        || pressed.get(),
        |_, _: &Report<'_>| {},
    );
    d.connected(0);
    say(&mut d, 0, "L00I4000\n");
    run(&mut d, 0, 500);
    pressed.set(true);
    d.tick(510);
    pressed.set(false);
    let place = pins.at("L0");
    for (start, stroke) in
        (0..20).map(|stroke| (1_000 + stroke * 2_500, ["L0999\n", "L00\n"][stroke as usize % 2]))
    {
        say(&mut d, start, stroke);
        run(&mut d, start, start + 2_490);
        assert_eq!(pins.at("L0"), place, "{stroke:?} at {start} ms");
    }
}

/// The app behind the gateway may not have noticed that the connection was gone at all.
#[test]
fn a_connection_that_was_lost_does_not_release() {
    let (pins, pressed) = (Pins::default(), Cell::new(false));
    let mut d = WithButton::new(
        Lovense::new(&EDGE, &pins),
        || pressed.get(),
        |_, _: &Report<'_>| {},
    );
    d.connected(0);
    say(&mut d, 0, "Vibrate:10;");
    pressed.set(true);
    d.tick(10);
    pressed.set(false);
    d.stop(20);
    // Nobody looks at the button meanwhile.
    d.connected(60_000);
    say(&mut d, 60_000, "Vibrate:12;");
    run(&mut d, 60_000, 70_000);
    assert_eq!(pins.at("V0"), Some(0));
    // Whoever stops now has the device back, though not at once.
    say(&mut d, 70_010, "Vibrate:0;");
    run(&mut d, 70_010, 70_010 + CALM_MS);
    say(&mut d, 70_020 + CALM_MS, "Vibrate:20;");
    assert_eq!(pins.at("V0"), Some(1_000));
}

proptest! {
    #[test]
    fn nothing_is_on_while_the_button_is_down(
        steps in proptest::collection::vec(
            ("(V0[0-9]|L0[0-9]I[0-9]{1,4}|DSTOP|Vibrate:1?[0-9];|Mply:[0-9]:-1;|DeviceType;)", 0_u64..3_000, 0_u8..5),
            1..40,
        ),
    ) {
        let (pins, other, pressed) = (Pins::default(), Pins::default(), Cell::new(false));
        let mut one = WithButton::new(Tcode::new(&STROKER, &pins), || pressed.get(), |_, _: &Report<'_>| {});
        let mut two = WithButton::new(Lovense::new(&EDGE, &other), || pressed.get(), |_, _: &Report<'_>| {});
        let mut now = 0;
        for (text, pause, what) in steps {
            now += pause;
            match what {
                0 => pressed.set(true),
                1 => pressed.set(false),
                2 => { one.stop(now); two.stop(now); one.connected(now); two.connected(now); }
                _ => { say(&mut one, now, &format!("{text}\n")); say(&mut two, now, &text); }
            }
            let place = pins.at("L0");
            one.tick(now);
            two.tick(now);
            if pressed.get() {
                prop_assert!(!one.is_on() && !two.is_on());
                prop_assert_eq!(pins.at("V0"), Some(0));
                prop_assert_eq!((other.at("V0"), other.at("V1")), (Some(0), Some(0)));
                prop_assert_eq!(pins.at("L0"), place);
            }
        }
    }
}
