//! Definitions of TCode devices, without the engine.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::device::handshake::{Address, Identifier};
use crate::device::recognition::Axis;
use crate::udcf::Udcf;

fn handshake(identifier: &str) -> Handshake {
    Handshake::new(
        Identifier::new(identifier).expect("an identifier"),
        Address::new("bench").expect("an address"),
    )
}

fn board(axes: &[(&str, &str, std::ops::RangeInclusive<u16>)]) -> Recognised {
    Recognised {
        protocol: PROTOCOL,
        name: Some("SR6".to_owned()),
        version: None,
        axes: (axes.iter())
            .map(|(channel, name, range)| Axis {
                channel: (*channel).to_owned(),
                name: (*name).to_owned(),
                range: range.clone(),
            })
            .collect(),
        faults: Vec::new(),
    }
}

/// What becomes of a device named `Own`, or of a recognised board, under a UDCF.
fn device(user_configs: &Value, recognised: Option<&Recognised>) -> TcodeDevice {
    let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": user_configs});
    let udcf = Udcf::parse(&file.to_string(), "udcf.json").expect("a UDCF");
    let given = udcf.device_configuration().expect("a UDCF");
    let named: Vec<_> = (given.user_device_definitions().iter())
        .map(|device| device.key().clone())
        .filter(|id| id.address() == "bench")
        .collect();
    TcodeDevice::new(&given, &named, &handshake("Own"), recognised).expect("a TCode device")
}

fn own(configuration: Value) -> Value {
    let mut protocol = json!({"communication": [{"websocket": {"name": "Own"}}]});
    if !configuration.is_null() {
        protocol["configurations"] = json!([configuration]);
    }
    json!({"protocols": {"tcode-v03": protocol}})
}

/// A configuration of one feature with an id.
fn configuration(description: &str, output: Value) -> Value {
    json!({"identifier": ["Own"], "name": "Own", "id": "0b7a5bd5-0a1c-4d55-9d1e-111111111111", "features": [
        {"index": 3, "id": "0b7a5bd5-0a1c-4d55-9d1e-222222222222", "description": description, "output": output}]})
}

/// The frame that the board gets for the library's.
fn rewritten(device: &TcodeDevice, feature: u32, frame: &str) -> Option<String> {
    let id = device.in_library.features()[&feature].id();
    let frame = device.channels.rewrite(&[id].into(), frame.as_bytes())?;
    Some(String::from_utf8(frame.to_vec()).expect("ASCII"))
}

#[test]
fn a_board_that_listed_its_axes_has_a_feature_for_each() {
    let recognised = board(&[
        ("L0", "Up", 0..=9_999),
        ("R2", "Pitch", 2_000..=8_000),
        ("A1", "Lube", 0..=9_999),
        ("V0", "", 0..=9_999),
        ("L0", "again", 0..=9_999),
        ("Q7", "unheard of", 0..=9_999),
        ("A3", "Fan", 5..=5),
    ]);
    let device = device(&own(Value::Null), Some(&recognised));
    assert_eq!(device.definition.name(), "SR6");
    let features: Vec<_> = device
        .definition
        .features()
        .values()
        .map(|f| {
            let outputs: Vec<_> = f.output.iter().map(|o| o.output_type().to_string()).collect();
            (f.index(), f.description.as_str(), outputs.join(" "))
        })
        .collect();
    let moves = "Position HwPositionWithDuration".to_owned();
    assert_eq!(
        features,
        [
            (0, "L0 Up", moves.clone()),
            (1, "R2 Pitch", moves),
            (2, "A1 Lube", "Spray".to_owned()),
            (3, "V0", "Vibrate".to_owned()),
            (4, "A3 Fan", "Constrict".to_owned()),
        ]
    );
    assert_eq!(
        rewritten(&device, 0, "L05000I100\n").as_deref(),
        Some("L05000I100\n")
    );
    assert_eq!(
        rewritten(&device, 1, "L12500I100\n").as_deref(),
        Some("R22500I100\n")
    );
    // The library's own value for 0 is outside the limit.
    assert_eq!(
        rewritten(&device, 1, "L1000I100\n").as_deref(),
        Some("R22000I100\n")
    );
    assert_eq!(
        rewritten(&device, 1, "L09000\nR09000\n").as_deref(),
        Some("R28000\n")
    );
    assert_eq!(rewritten(&device, 2, "V205\n").as_deref(), Some("A10005\n"));
    assert_eq!(rewritten(&device, 4, "V400\n").as_deref(), Some("A30000\n"));
}

#[test]
fn an_axis_that_is_set_to_a_level_is_what_its_name_says() {
    for (channel, name, wanted) in [
        ("A4", "Temperature", "Temperature"),
        ("A4", "HeaterTemp", "Temperature"),
        ("A5", "LED", "Led"),
        ("A5", "LEDStrip", "Led"),
        ("A5", "led2", "Led"),
        ("A5", "Light", "Led"),
        ("A0", "Suck", "Constrict"),
        ("A0", "Valve", "Constrict"),
        ("A1", "Lube pump", "Spray"),
        ("A1", "LUBE_PUMP", "Spray"),
        ("A2", "Vibe 3", "Vibrate"),
        ("A2", "Rotation", "Rotate"),
        ("A2", "Thruster", "Oscillate"),
        ("V0", "", "Vibrate"),
        ("V1", "Motor", "Vibrate"),
        ("V1", "Lube", "Spray"),
        // Nothing that a name says, and words that only look like it.
        ("A6", "", "Constrict"),
        ("A6", "Fan", "Constrict"),
        ("A6", "E-Stim", "Constrict"),
        ("A6", "Sealed", "Constrict"),
        ("A6", "Tempo", "Constrict"),
        ("A6", "Sheath", "Constrict"),
        ("A6", "Slight", "Constrict"),
        // Two things at once.
        ("A6", "Vibe LED", "Constrict"),
        ("V1", "Vibe LED", "Vibrate"),
    ] {
        let device = device(&own(Value::Null), Some(&board(&[(channel, name, 0..=9_999)])));
        let feature = &device.definition.features()[&0];
        let outputs: Vec<_> = feature
            .output
            .iter()
            .map(|o| o.output_type().to_string())
            .collect();
        assert_eq!(outputs, [wanted], "{channel} {name}");
        assert_eq!(feature.description, format!("{channel} {name}").trim_end());
        // Each of them moves its own axis, and none another.
        let frame = rewritten(&device, 0, "V0123\n");
        assert_eq!(frame, Some(format!("{channel}0123\n")), "{channel} {name}");
    }
}

#[test]
fn a_board_keeps_its_ids() {
    let ids = |axes: &[(&str, &str, std::ops::RangeInclusive<u16>)]| {
        let device = device(&own(Value::Null), Some(&board(axes)));
        let features = device.definition.features().values();
        (
            device.definition.id(),
            features.map(|f| f.id()).collect::<Vec<_>>(),
        )
    };
    let (before, of_axes) = ids(&[("L0", "Up", 0..=9_999), ("R0", "Twist", 0..=9_999)]);
    let (after, later) = ids(&[("R0", "Roll", 100..=9_999), ("L0", "", 0..=9_999)]);
    assert_eq!(before, after);
    assert_eq!(of_axes, [later[1], later[0]]);
}

#[test]
fn a_board_that_listed_nothing_has_a_stroke() {
    let device = device(&own(Value::Null), Some(&board(&[])));
    assert_eq!(device.definition.features().len(), 1);
    assert_eq!(
        rewritten(&device, 0, "L0500I100\n").as_deref(),
        Some("L00500I100\n")
    );
}

#[test]
fn the_entry_of_an_address_has_priority_over_what_the_board_says() {
    let mut configs = own(Value::Null);
    configs["devices"] = json!([{
        "identifier": {"address": "bench", "protocol": "tcode-v03", "identifier": "Stroker"},
        "config": {
            "id": "843d6955-7661-5da9-aed2-c3734e038795", "base_id": "5c1195a5-a2e4-4643-bd47-8cb3a1e067f4",
            "features": [{
                "id": "6a072162-011f-5922-84ad-10435ca41a48", "base_id": "afa1e63e-b6c7-4519-8faa-68cefe197a31",
                "output": {"hw_position_with_duration": {"value": [200, 800]}},
            }],
            "user_config": {"allow": false, "deny": false, "index": 7, "display_name": "Mine", "message_gap_ms": 40},
        },
    }]);
    let recognised = board(&[("L0", "Up", 0..=9_999), ("R0", "Twist", 0..=9_999)]);
    let device = device(&configs, Some(&recognised));
    assert_eq!(device.name(), Some("Stroker"));
    assert_eq!(device.definition.display_name().as_deref(), Some("Mine"));
    assert_eq!(device.definition.message_gap_ms(), Some(40));
    assert_eq!(device.message_gap_ms(), 40);
    assert_eq!(rewritten(&device, 0, "L0000I5\n").as_deref(), Some("L0200I5\n"));
}

#[test]
fn only_a_user_sets_a_gap() {
    let usual = device(&own(Value::Null), None);
    assert_eq!(usual.in_library.message_gap_ms(), None);
    assert_eq!(usual.message_gap_ms(), RECOMMENDED_GAP_MS);
    let mut slow = configuration(
        "Stroke",
        json!({"hw_position_with_duration": {"value": [0, 999], "duration": [0, 99_999]}}),
    );
    assert_eq!(device(&own(slow.clone()), None).in_library.message_gap_ms(), None);
    slow["message_gap_ms"] = 30.into();
    let slow = device(&own(slow), None);
    assert_eq!(slow.in_library.message_gap_ms(), Some(30));
    assert_eq!(slow.message_gap_ms(), 30);
}

#[test]
fn the_usual_frames_are_what_they_were() {
    let usual = device(&own(Value::Null), None);
    for frame in ["L0500\nR0500\n", "L0000I0\n", "L0999I3000\n"] {
        assert_eq!(rewritten(&usual, 0, frame).as_deref(), Some(frame));
    }
    let vibrator = device(
        &own(configuration("Vibrator", json!({"vibrate": {"value": [0, 99]}}))),
        None,
    );
    for frame in ["V300\n", "V307\n", "V399\n"] {
        assert_eq!(rewritten(&vibrator, 3, frame).as_deref(), Some(frame));
    }
}

#[test]
fn a_feature_goes_to_the_channel_that_its_description_names() {
    let position = |full| json!({"hw_position_with_duration": {"value": [0, full], "duration": [0, 99_999]}});
    let level = |kind: &str, full| json!({kind: {"value": [0, full]}});
    for (description, output, frame, wanted) in [
        (
            "Up and down (L0)",
            position(999),
            "L3500I20\n",
            Some("L0500I20\n"),
        ),
        ("R1 Roll", position(100), "L3050I20\n", Some("R1500I20\n")),
        ("Sway", position(9_999), "L35I20\n", Some("L30005I20\n")),
        ("V2 Stroker", position(999), "L3500I20\n", Some("L3500I20\n")),
        ("A0 Valve", level("constrict", 20), "V310\n", Some("A0500\n")),
        ("A0 Valve", level("vibrate", 20), "V300\n", Some("A0000\n")),
        ("V0", level("oscillate", 999), "V350\n", Some("V0050\n")),
        ("L1 Motor", level("vibrate", 999), "V350\n", Some("V3050\n")),
        // Nothing says which axis this is.
        ("Valve", level("constrict", 20), "V310\n", None),
    ] {
        let device = device(&own(configuration(description, output)), None);
        assert_eq!(rewritten(&device, 3, frame).as_deref(), wanted, "{description}");
    }
}

#[test]
fn other_devices_are_the_librarys_matter() {
    let given = Udcf::builtin().device_configuration().expect("the built-in UDCF");
    assert!(TcodeDevice::new(&given, &[], &handshake("LVSDevice"), None).is_none());
    let lovense = Recognised {
        protocol: "lovense",
        ..board(&[])
    };
    assert!(TcodeDevice::new(&given, &[], &handshake("TCodeDevice"), Some(&lovense)).is_none());
    assert!(TcodeDevice::new(&given, &[], &handshake("TCodeDevice"), None).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any preferred range and any value that the library might write.
    #[test]
    fn no_frame_leaves_the_range_that_a_board_prefers(
        a in 0_u16..=9_999, b in 0_u16..=9_999, value: u32, timed: bool
    ) {
        let (low, high) = (a.min(b), a.max(b).max(a.min(b) + 1).min(9_999));
        prop_assume!(low < high);
        let recognised = board(&[("R1", "Roll", low..=high)]);
        let definition = axes::definition("bench", &recognised);
        let (in_library, channels) = Channels::of(&definition);
        let frame = if timed { format!("L0{value:03}I50\n") } else { format!("L0{value:03}\nR0{value:03}\n") };
        let frame = channels.rewrite(&[in_library.features()[&0].id()].into(), frame.as_bytes()).expect("an axis");
        let frame = std::str::from_utf8(&frame).expect("ASCII");
        let at: u16 = frame.strip_prefix("R1").expect("its channel")[..4].parse().expect("digits");
        prop_assert!((low..=high).contains(&at), "{frame}");
    }
}
