//! Changes of the axes of TCode boards in real files.

use super::*;

const MULTI: &str = include_str!("../../../../udcf-examples/tcode-multiaxis/udcf.json");

fn axes(name: &str, axes: &[(&str, &str, &str)]) -> Axes {
    let axis = |(channel, kind, description): &(&str, &str, &str)| Axis {
        channel: (*channel).to_owned(),
        kind: (*kind).to_owned(),
        description: (*description).to_owned(),
    };
    Axes {
        name: name.to_owned(),
        is_in_file: true,
        axes: axes.iter().map(axis).collect(),
    }
}

/// The text after a change that is to be possible, loaded without a warning; once more changes nothing.
fn edited(text: &str, identifier: &str, wanted: &Axes) -> String {
    let edited = change(text, "f", identifier, wanted).unwrap();
    let udcf = Udcf::parse(&edited, "f").unwrap();
    assert_eq!(udcf.warnings(), Vec::<String>::new(), "{edited}");
    assert_eq!(show(&udcf, "f", identifier).unwrap(), *wanted);
    assert_eq!(
        change(&edited, "f", identifier, wanted).unwrap(),
        edited,
        "once more"
    );
    edited
}

#[test]
fn the_axes_of_a_configuration_are_shown_and_those_that_stay_keep_their_ids() {
    let now = show(&Udcf::parse(MULTI, "f").unwrap(), "f", "TCodeMulti").unwrap();
    let as_it_is = axes(
        "DIY multi-axis stroker",
        &[
            ("L0", "position", "Stroke"),
            ("L1", "position", "Surge"),
            ("V2", "vibrate", "Vibrator"),
        ],
    );
    assert_eq!(now, as_it_is);
    assert_eq!(change(MULTI, "f", "TCodeMulti", &as_it_is).unwrap(), MULTI);
    let wanted = axes(
        "Mine",
        &[
            ("A0", "constrict", "Valve"),
            ("L0", "position", "Up and down"),
            ("V2", "vibrate", "Vibrator"),
        ],
    );
    let edited = edited(MULTI, "TCodeMulti", &wanted);
    for kept in [
        "365f49e5-fa64-4792-8ed9-464ae7b5cabc",
        "b1b00cef-2095-48fb-946d-1815a0273d54",
    ] {
        assert!(edited.contains(kept), "{edited}");
    }
    assert!(!edited.contains("a26380a1"), "{edited}");
}

#[test]
fn a_name_without_a_configuration_gets_one_and_its_devices_keep_their_limits() {
    use crate::udcf::edit::device;
    let board = device::Subject {
        address: "bench".to_owned(),
        protocol: PROTOCOL.to_owned(),
        identifier: Some("TCodeDevice".to_owned()),
        index: None,
        own: None,
        taken: Vec::new(),
    };
    let limited = device::DeviceChange {
        limits: vec![device::LimitChange {
            feature: 0,
            kind: "hw_position_with_duration".to_owned(),
            low: Some(200),
            high: Some(800),
            ..device::LimitChange::default()
        }],
        ..device::DeviceChange::default()
    };
    let text = device::change(&Udcf::builtin().to_json(), "f", &board, &limited).unwrap();
    let wanted = axes("Mine", &[("L0", "position", "Stroke"), ("V0", "vibrate", "")]);
    let edited = edited(&text, "TCodeDevice", &wanted);
    let entry = device::show(&Udcf::parse(&edited, "f").unwrap(), "f", &board).unwrap();
    assert!(entry.is_in_file);
    let limits: Vec<_> = entry.limits.iter().map(|l| (l.low, l.high, l.full)).collect();
    assert_eq!(limits, [(200, 800, 999), (0, 99, 99)]);
}

#[test]
fn what_is_no_axis_is_refused() {
    for wrong in [
        &[("Q0", "position", "")][..],
        &[("L0", "vibrate", "")],
        &[("V0", "position", "")],
        &[("L0", "position", ""), ("l0", "position", "")],
        &[],
    ] {
        assert!(
            change(MULTI, "f", "TCodeMulti", &axes("x", wrong)).is_err(),
            "{wrong:?}"
        );
    }
    let right = axes("x", &[("L0", "position", "")]);
    assert!(change(MULTI, "f", "Nobody", &right).is_err());
}
