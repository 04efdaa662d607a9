//! Changes of single devices in real files.

use buttplug_server_device_config::UserDeviceIdentifier;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const HUSH: &str = include_str!("../../../../udcf-examples/limited-vibrator/udcf.json");

fn subject(address: &str, protocol: &str, identifier: Option<&str>) -> Subject {
    Subject {
        address: address.to_owned(),
        protocol: protocol.to_owned(),
        identifier: identifier.map(str::to_owned),
        index: None,
        own: None,
        taken: Vec::new(),
    }
}

fn hush() -> Subject {
    subject("8A3D9FAC2A45", "lovense", Some("Z"))
}

fn vibrate(low: u32, high: u32) -> LimitChange {
    LimitChange {
        kind: "vibrate".to_owned(),
        low: Some(low),
        high: Some(high),
        ..LimitChange::default()
    }
}

/// The text after a change that is to be possible, loaded without a warning; once more changes nothing.
fn edited(text: &str, subject: &Subject, wanted: &DeviceChange) -> String {
    let edited = change(text, "f", subject, wanted).unwrap();
    let udcf = Udcf::parse(&edited, "f").unwrap();
    assert_eq!(udcf.warnings(), Vec::<String>::new(), "{edited}");
    assert_eq!(
        change(&edited, "f", subject, wanted).unwrap(),
        edited,
        "once more"
    );
    edited
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_a_file_says_of_a_device_is_shown() {
    let udcf = Udcf::parse(HUSH, "f").unwrap();
    let entry = show(&udcf, "f", &hush()).unwrap();
    assert_eq!(entry.display_name.as_deref(), Some("Bench Hush"));
    assert_eq!((entry.index, entry.name.as_str()), (Some(7), "Lovense Hush"));
    let [limit] = &entry.limits[..] else {
        panic!("{entry:?}")
    };
    assert_eq!((limit.low, limit.high, limit.full), (2, 12, 20));
    let other = show(&udcf, "f", &subject("other", "lovense", Some("Z"))).unwrap();
    assert!(!other.is_in_file && other.index.is_none());
    assert_eq!((other.limits[0].low, other.limits[0].high), (0, 20));
}

#[test]
fn only_what_was_asked_for_changes() {
    let at = "/user_configs/devices/0/config";
    let text = HUSH.replacen("{\n", "{\n  \"//\": \"my boards\",\n", 1);
    for (wanted, pointer, now) in [
        (
            DeviceChange {
                display_name: Some(" Two ".to_owned()),
                ..DeviceChange::default()
            },
            "user_config/display_name",
            json!("Two"),
        ),
        (
            DeviceChange {
                index: Some(3),
                ..DeviceChange::default()
            },
            "user_config/index",
            json!(3),
        ),
        (
            DeviceChange {
                deny: Some(true),
                ..DeviceChange::default()
            },
            "user_config/deny",
            json!(true),
        ),
        (
            DeviceChange {
                limits: vec![vibrate(1, 9)],
                ..DeviceChange::default()
            },
            "features/0/output/vibrate/value",
            json!([1, 9]),
        ),
    ] {
        let edited = change(&text, "f", &hush(), &wanted).unwrap();
        assert_eq!(
            change(&edited, "f", &hush(), &wanted).unwrap(),
            edited,
            "once more"
        );
        let mut expected = value(&text);
        *expected.pointer_mut(&format!("{at}/{pointer}")).unwrap() = now;
        assert_eq!(value(&edited), expected);
        // Of the text only one line differs.
        let lines: Vec<_> = text.lines().zip(edited.lines()).filter(|(a, b)| a != b).collect();
        assert!(lines.len() == 1 || pointer.ends_with("value"), "{lines:#?}");
    }
    // Nothing is asked for, or nothing new.
    let same = DeviceChange {
        index: Some(7),
        limits: vec![vibrate(2, 12)],
        ..DeviceChange::default()
    };
    for wanted in [DeviceChange::default(), same] {
        assert_eq!(change(&text, "f", &hush(), &wanted).unwrap(), text);
    }
}

#[test]
fn a_device_without_an_entry_gets_one() {
    for text in [Udcf::builtin().to_json(), HUSH.to_owned()] {
        let device = Subject {
            index: Some(4),
            ..subject("new", "lovense", Some("Z"))
        };
        let wanted = DeviceChange {
            display_name: Some("Mine".to_owned()),
            limits: vec![vibrate(0, 10)],
            ..DeviceChange::default()
        };
        let edited = edited(&text, &device, &wanted);
        let entry = show(&Udcf::parse(&edited, "f").unwrap(), "f", &device).unwrap();
        assert_eq!(
            (entry.index, entry.display_name.as_deref()),
            (Some(4), Some("Mine"))
        );
        assert_eq!((entry.limits[0].low, entry.limits[0].high), (0, 10));
        let mut without = value(&edited);
        let devices = without["user_configs"]["devices"].as_array_mut().unwrap();
        devices.pop();
        if devices.is_empty() {
            without["user_configs"].as_object_mut().unwrap().remove("devices");
        }
        assert_eq!(without, value(&text), "nothing else changed");
    }
}

#[test]
fn a_limit_that_is_taken_back_leaves_no_trace_that_limits() {
    let wide = DeviceChange {
        limits: vec![vibrate(0, 20)],
        ..DeviceChange::default()
    };
    let edited = change(HUSH, "f", &hush(), &wide).unwrap();
    let entry = show(&Udcf::parse(&edited, "f").unwrap(), "f", &hush()).unwrap();
    assert_eq!((entry.limits[0].low, entry.limits[0].high), (0, 20));
    assert!(!edited.contains("[2, 12]"), "{edited}");
}

#[test]
fn the_two_outputs_of_an_axis_are_one_limit() {
    let stroker = subject("bench", "tcode-v03", Some("TCodeDevice"));
    let text = Udcf::builtin().to_json();
    let udcf = Udcf::parse(&text, "f").unwrap();
    let limits = show(&udcf, "f", &stroker).unwrap().limits;
    let axis = limits.iter().find(|limit| limit.is_reversed.is_some()).unwrap();
    let wanted = DeviceChange {
        limits: vec![LimitChange {
            feature: axis.feature,
            kind: axis.kinds[0].clone(),
            low: Some(axis.full / 5),
            high: Some(axis.full * 4 / 5),
            is_reversed: Some(true),
            is_off: None,
        }],
        ..DeviceChange::default()
    };
    let edited = edited(&text, &stroker, &wanted);
    let loaded = Udcf::parse(&edited, "f").unwrap().device_configuration().unwrap();
    let definition = loaded.user_device_definitions().iter().next().unwrap().clone();
    for feature in definition.features().values() {
        for output in feature
            .output
            .iter()
            .filter(|output| crate::udcf::axis::position(output).is_some())
        {
            let range = crate::udcf::axis::position(output).unwrap().internal();
            assert_eq!((range.start(), range.end()), (axis.full / 5, axis.full * 4 / 5));
        }
        assert!(crate::udcf::axis::is_reversed(feature));
    }
}

#[test]
fn what_a_definition_reverses_stays_so_until_it_is_changed() {
    let text = json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": { "tcode-v03": {
            "communication": [{ "websocket": { "name": "Own" } }],
            "configurations": [{
                "identifier": ["Own"], "name": "Own", "id": "0b7a5bd5-0a1c-4d55-9d1e-111111111111",
                "features": [{
                    "index": 0, "id": "0b7a5bd5-0a1c-4d55-9d1e-222222222222", "description": "Stroke",
                    "output": { "position": { "value": [0, 999], "reverse_position": true } },
                }],
            }],
        } } },
    })
    .to_string();
    let device = subject("bench", "tcode-v03", Some("Own"));
    let limit = |is_reversed| DeviceChange {
        limits: vec![LimitChange {
            kind: "position".to_owned(),
            high: Some(500),
            is_reversed,
            ..LimitChange::default()
        }],
        ..DeviceChange::default()
    };
    for (asked, now) in [(None, true), (Some(false), false)] {
        let edited = edited(&text, &device, &limit(asked));
        let entry = show(&Udcf::parse(&edited, "f").unwrap(), "f", &device).unwrap();
        assert_eq!(
            (entry.limits[0].is_reversed, entry.limits[0].high),
            (Some(now), 500)
        );
    }
}

#[test]
fn what_is_not_possible_is_refused_with_the_reason() {
    let other = Subject {
        index: None,
        ..subject("other", "lovense", Some("Z"))
    };
    let index = DeviceChange {
        index: Some(7),
        ..DeviceChange::default()
    };
    let refused = change(HUSH, "f", &other, &index).unwrap_err();
    assert!(refused.problem().contains("8A3D9FAC2A45"), "{refused}");
    for (low, high) in [(5, 5), (6, 5), (0, 21)] {
        let wanted = DeviceChange {
            limits: vec![vibrate(low, high)],
            ..DeviceChange::default()
        };
        assert!(change(HUSH, "f", &hush(), &wanted).is_err(), "{low} to {high}");
    }
    let old = r#"{"version": {"major": 3, "minor": 0}, "user-configs": {"protocols": {"lovense": {"communication":
        [{"websocket": {"name": "LVSDevice"}}]}}}}"#;
    let refused = change(old, "f", &hush(), &index).unwrap_err();
    assert!(refused.problem().contains("version 3"), "{refused}");
}

#[test]
fn a_device_of_an_unknown_model_can_be_allowed_and_denied() {
    let text = Udcf::builtin().to_json();
    let udcf = Udcf::parse(&text, "f").unwrap();
    let absent = Subject::absent(&udcf, "new", "LVSDevice").unwrap();
    assert_eq!((absent.protocol.as_str(), &absent.identifier), ("lovense", &None));
    let deny = |deny| DeviceChange {
        deny: Some(deny),
        ..DeviceChange::default()
    };
    let denied = edited(&text, &absent, &deny(true));
    let udcf = Udcf::parse(&denied, "f").unwrap();
    let loaded = udcf.device_configuration().unwrap();
    let standing = |udcf: &Udcf| {
        udcf.directory(&udcf.device_configuration().unwrap())
            .standing("new")
    };
    assert_eq!(standing(&udcf), crate::udcf::directory::Standing::Denied);
    assert_eq!(loaded.user_device_definitions().len(), 1);
    let again = Subject::absent(&udcf, "new", "LVSDevice").unwrap();
    let welcome = edited(&denied, &again, &deny(false));
    let udcf = Udcf::parse(&welcome, "f").unwrap();
    assert_eq!(standing(&udcf), crate::udcf::directory::Standing::Welcome);
    let rename = DeviceChange {
        display_name: Some("x".to_owned()),
        ..DeviceChange::default()
    };
    assert!(change(&text, "f", &absent, &rename).is_err());
}

/// A board that listed its axes: one that it prefers to use in part, and a vibrator.
fn own() -> ServerDeviceDefinition {
    use buttplug_core::util::range::RangeInclusive;
    use buttplug_server_device_config::{
        RangeWithLimit, ServerDeviceDefinitionBuilder, ServerDeviceFeature,
        ServerDeviceFeatureOutput as Output,
        ServerDeviceFeatureOutputHwPositionWithDurationProperties as Timed,
        ServerDeviceFeatureOutputPositionProperties as Untimed,
        ServerDeviceFeatureOutputValueProperties as Level,
    };
    let full = RangeInclusive::new(0, 9_999);
    let stroke = RangeWithLimit::new_with_user(full, Some(RangeInclusive::new(1_000, 9_000)));
    let duration = RangeWithLimit::new(RangeInclusive::new(0, 99_999));
    let mut definition = ServerDeviceDefinitionBuilder::new("SR6", &Uuid::new_v4());
    for (index, description, outputs) in [
        (
            0,
            "L0 Stroke",
            vec![
                Output::Position(Untimed::new(stroke.clone(), false, false)),
                Output::HwPositionWithDuration(Timed::new(stroke, duration, false, false)),
            ],
        ),
        (
            1,
            "V0 Buzz",
            vec![Output::Vibrate(Level::new(RangeWithLimit::new(full), false))],
        ),
    ] {
        definition.add_feature(&ServerDeviceFeature::new(
            index,
            description.to_owned(),
            Uuid::new_v4(),
            None,
            None,
            outputs.into(),
            Vec::new().into(),
        ));
    }
    definition.finish()
}

#[test]
fn a_board_that_listed_its_axes_keeps_them_with_the_limits_that_are_added() {
    let board = Subject {
        own: Some(Arc::new(own())),
        ..subject("sr6", "tcode-v03", Some("TCode board"))
    };
    let text = Udcf::builtin().to_json();
    let shown = show(&Udcf::parse(&text, "f").unwrap(), "f", &board).unwrap();
    let ranges: Vec<_> = shown.limits.iter().map(|l| (l.low, l.high, l.full)).collect();
    assert_eq!(ranges, [(100, 899, 999), (0, 99, 99)], "{shown:?}");
    let wanted = DeviceChange {
        limits: vec![LimitChange {
            feature: 1,
            ..vibrate(0, 50)
        }],
        ..DeviceChange::default()
    };
    let edited = edited(&text, &board, &wanted);
    let loaded = Udcf::parse(&edited, "f").unwrap().device_configuration().unwrap();
    let id = UserDeviceIdentifier::new("sr6", "tcode-v03", &Some("TCode board".to_owned()));
    let definition = loaded.user_device_definitions().get(&id).unwrap().clone();
    assert_eq!(definition.name(), "SR6");
    let limits = |index: u32| {
        let feature = &definition.features()[&index];
        let ranges = feature
            .output
            .iter()
            .map(|output| crate::udcf::axis::range(output).unwrap().internal());
        ranges
            .map(|range| (range.start(), range.end()))
            .collect::<Vec<_>>()
    };
    assert_eq!((limits(0), limits(1)), (vec![(100, 899); 2], vec![(0, 50)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn what_was_set_is_read_back_and_nothing_else_changes(
        low in 0u32..20, width in 1u32..20, off: bool, index in 0u32..30, name in proptest::option::of("[a-z<\"\\\\é]{0,8}"),
    ) {
        let wanted = DeviceChange {
            display_name: name.clone(),
            index: Some(index),
            limits: vec![LimitChange { is_off: Some(off), ..vibrate(low, (low + width).min(20)) }],
            ..DeviceChange::default()
        };
        let edited = change(HUSH, "f", &hush(), &wanted).unwrap();
        prop_assert_eq!(&change(&edited, "f", &hush(), &wanted).unwrap(), &edited);
        let udcf = Udcf::parse(&edited, "f").unwrap();
        let entry = show(&udcf, "f", &hush()).unwrap();
        prop_assert_eq!((entry.index, entry.limits[0].low, entry.limits[0].is_off), (Some(index), low, off));
        let (mut now, mut before) = (value(&edited), value(HUSH));
        for file in [&mut now, &mut before] {
            let config = &mut file["user_configs"]["devices"][0]["config"];
            config["features"][0]["output"].take();
            config["user_config"].take();
        }
        prop_assert_eq!(now, before);
    }
}
