//! Older user device configuration files keep their meaning: at a device, and in what is reported about them.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use buttplug_client::device::{ClientDeviceCommandValue as Amount, ClientDeviceOutputCommand as Output};
use common::{RawDevice, Running, client, listed, settings, vibrate, within};
use proptest::prelude::*;
use serde_json::{Value, json};
use wsdm_gateway::advice::Advice;
use wsdm_gateway::udcf::Udcf;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder("udcf").join(name)).unwrap()
}

fn parse(file: &Value) -> Udcf {
    Udcf::parse(&file.to_string(), "f").unwrap_or_else(|e| panic!("{e} ({:?}): {file}", e.hint()))
}

fn migrated(udcf: &Udcf) -> Value {
    serde_json::from_str(&udcf.to_json()).unwrap()
}

const EVERYTHING: &str = "everything was carried over";

/// For each fixture, what its summary ends with, and a part of each of its warnings.
const EXPECTED: &[(&str, &str, &[&str])] = &[
    (
        "no-version-v3-body.json",
        EVERYTHING,
        &[
            ":1:1: has no \"version\": read as version 3, judging by its content",
            ":1:2: \"protocols\" belongs under \"user-configs\"",
            ":1:98: \"devices\" belongs under \"user-configs\"",
        ],
    ),
    (
        "v2-all-kinds.json",
        "1 thing was not carried over as it was",
        &[
            ":27:7: the device \"elsewhere\" (no-such-protocol) was left out",
            "no protocol \"rez-trancevibrator\"",
            "no protocol \"nintendo-joycon\"",
        ],
    ),
    ("v2-pairs.json", EVERYTHING, &[]),
    ("v2-selectors.json", EVERYTHING, &[]),
    (
        "v2-serial-tcode.json",
        EVERYTHING,
        &[
            ":4:5: the header says version 2, but \"protocols\"",
            ":7:9: \"defaults\" of protocol \"tcode-v03\" became a configurations entry for COM3",
            ":10:27: the hw_position_with_duration range 0 to 100 of protocol \"tcode-v03\" became 0 to 999",
            ":11:27: the vibrate range 0 to 100 of protocol \"tcode-v03\" became 0 to 99:",
        ],
    ),
    (
        "v3-limits.json",
        EVERYTHING,
        &[":9:80: the hw_position_with_duration range 0 to 1000 of protocol \"tcode-v03\" became 0 to 999"],
    ),
    ("v3-own-range.json", EVERYTHING, &[]),
    (
        "v3-tcode-0-100.json",
        EVERYTHING,
        &[
            "the hw_position_with_duration range 0 to 100 of protocol \"tcode-v03\" became 0 to 999",
            "the vibrate range 0 to 100 of protocol \"tcode-v03\" became 0 to 99:",
        ],
    ),
    ("v3-tcode-limits-20-80-of-100.json", EVERYTHING, &[]),
    (
        "v4-negative-range.json",
        "1 thing was not carried over as it was",
        &[
            ":4:2: the device \"a\" (lovense X): the value of rotate, 0 to 5, was left out",
            "-20 to -5, nothing above 0",
        ],
    ),
    (
        "v4-old-base-ids.json",
        EVERYTHING,
        &["no protocol \"xinput-like\""],
    ),
    (
        "v5-commented.json",
        "",
        &[":2:3: \"$comment\" at the top is ignored"],
    ),
    ("v5-limits-200-800-reversed.json", "", &[]),
    ("v5-limits-200-800.json", "", &[]),
    (
        "v5-same-index.json",
        "",
        &[":1:416: two features of the configuration \"Stroker with vibration\" have the index 0"],
    ),
    (
        "v5-unknown-key.json",
        "",
        &[":1:518: \"reverse_position\" has no effect in a position output of a device's feature"],
    ),
];

#[test]
fn the_report_on_each_fixture_is_true() {
    let there: BTreeSet<String> = std::fs::read_dir(folder("udcf"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected: BTreeSet<String> = EXPECTED.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(there, expected, "each fixture has its expectation");
    for (name, summary, warnings) in EXPECTED {
        let udcf = Udcf::parse(&text(name), name).unwrap();
        assert!(
            udcf.summary().unwrap_or_default().ends_with(summary),
            "{name}: {:?}",
            udcf.summary()
        );
        assert_eq!(
            udcf.warnings().len(),
            warnings.len(),
            "{name}: {:#?}",
            udcf.warnings()
        );
        for (warning, wanted) in udcf.warnings().iter().zip(*warnings) {
            assert!(
                warning.starts_with(name) && warning.contains(wanted),
                "{wanted}: {warning}"
            );
        }
    }
}

/// A gateway with a fixture, a device, and a client that lists it.
async fn with_device(
    fixture: &str,
    identifier: &str,
    address: &str,
) -> (Running, RawDevice, buttplug_client::ButtplugClient) {
    let mut settings = settings();
    settings.udcf = Some(folder("udcf").join(fixture));
    let gateway = Running::start(settings).await;
    let client = client(&gateway.clients(), "app").await;
    let mut device = RawDevice::hello(&gateway.devices(), identifier, address).await;
    if identifier == "ZapBox" {
        device.expect("DeviceType;").await;
        device.binary(format!("Z:11:{address};").as_bytes()).await;
    }
    listed(&client, 1).await;
    (gateway, device, client)
}

async fn run(client: &buttplug_client::ButtplugClient, command: Output) {
    let device = client.devices().into_values().next().unwrap();
    within("a command", device.run_output(&command)).await.unwrap();
}

#[tokio::test]
async fn a_range_of_one_device_is_its_range_and_that_of_no_other() {
    for (fixture, address, full) in [
        ("v3-own-range.json", "Z4PB0X", "Vibrate:100;"),
        ("no-version-v3-body.json", "Z4PB0X", "Vibrate:100;"),
        ("v3-own-range.json", "AnotherOne", "Vibrate:20;"),
    ] {
        let (gateway, mut device, client) = with_device(fixture, "ZapBox", address).await;
        let name = client.devices().into_values().next().unwrap().name().clone();
        assert_eq!(name == "ZapBox", address == "Z4PB0X", "{name}");
        vibrate(&client, 1.0).await;
        device.expect(full).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_hundred_steps_of_tcode_are_the_full_stroke() {
    for fixture in ["v3-tcode-0-100.json", "v5-same-index.json"] {
        let (gateway, mut device, client) = with_device(fixture, "Stroker", "n1").await;
        run(&client, Output::HwPositionWithDuration(1.0.into(), 500)).await;
        device.expect("L0999I500\n").await;
        // The first vibration of the older versions, and the index 0 of version 5, is channel 0.
        run(&client, Output::Vibrate(1.0.into())).await;
        device.expect("V099\n").await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_limit_of_a_hundred_steps_is_the_same_part_of_the_stroke() {
    let (gateway, mut device, client) =
        with_device("v3-tcode-limits-20-80-of-100.json", "Stroker", "n1").await;
    run(&client, Output::HwPositionWithDuration(1.0.into(), 500)).await;
    device.expect("L0799I500\n").await;
    run(&client, Output::HwPositionWithDuration(Amount::Steps(1), 500)).await;
    device.expect("L0201I500\n").await;
    // The other command for the same axis has the same limit.
    run(&client, Output::Position(1.0.into())).await;
    device.expect("L0799 R0799\n").await;
    gateway.stop().await;
}

/// A version 3 file with one TCode device that has a position and a vibration.
fn tcode_device(range: Value, limit: Value) -> Value {
    let feature = |kind: &str, message: &str| json!({"description": "", "feature-type": kind, "actuator": {"step-range": range, "step-limit": limit, "messages": [message]}});
    json!({"version": {"major": 3, "minor": 0}, "user-configs": {
        "protocols": {"tcode-v03": {"communication": [{"websocket": {"name": "Stroker"}}]}},
        "devices": [{"identifier": {"protocol": "tcode-v03", "identifier": "Stroker", "address": "n1"}, "config": {
            "name": "Mine", "features": [feature("Position", "LinearCmd"), feature("Vibrate", "ScalarCmd")],
            "user-config": {"allow": false, "deny": false, "index": 0}}}]}})
}

#[test]
fn a_limit_that_leaves_nothing_disables_its_output() {
    let udcf = parse(&tcode_device(json!([0, 100]), json!([50, 50])));
    let outputs = &migrated(&udcf)["user_configs"]["devices"][0]["config"]["features"][0]["output"];
    assert_eq!(outputs["hw_position_with_duration"], json!({"disabled": true}));
    assert_eq!(outputs["vibrate"], json!({"disabled": true}));
    assert!(
        udcf.warnings().iter().any(|w| w.contains("leaves nothing")),
        "{:?}",
        udcf.warnings()
    );
}

#[test]
fn a_range_of_version_2_above_that_of_the_model_is_one_of_the_devices_own() {
    let file = json!({"version": {"major": 2, "minor": 6}, "user-configs": {
        "specifiers": {"lovense": {"websocket": {"names": ["LVSDevice"]}}},
        "devices": [{"identifier": {"address": "a", "protocol": "lovense", "identifier": "Z"}, "config": {"index": 0,
            "messages": {"ScalarCmd": [{"StepRange": [10, 100], "ActuatorType": "Vibrate"}]}}}]}});
    let udcf = parse(&file);
    let user = &migrated(&udcf)["user_configs"];
    let own = &user["protocols"]["lovense"]["configurations"][0];
    assert_eq!(own["features"][0]["output"]["vibrate"]["value"], json!([0, 100]));
    assert_eq!(user["devices"][0]["config"]["base_id"], own["id"]);
    let limit = &user["devices"][0]["config"]["features"][0]["output"]["vibrate"]["value"];
    assert_eq!(*limit, json!([10, 100]));
    assert!(
        udcf.summary().unwrap().ends_with(EVERYTHING),
        "{:?}",
        udcf.warnings()
    );
}

#[test]
fn features_with_one_index_and_one_kind_of_output_are_reported() {
    let mut file: Value = serde_json::from_str(&text("v5-same-index.json")).unwrap();
    let features = &mut file["user_configs"]["protocols"]["tcode-v03"]["configurations"][0]["features"];
    features[1]["output"] = features[0]["output"].clone();
    let warnings = parse(&file).warnings().join("\n");
    for part in [
        "f:1:",
        "have the index 0 and both have \"hw_position_with_duration\"",
        "give one another index",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
}

/// A channel in a description outranks the index, so such a feature is not joined to one with another channel.
#[tokio::test]
async fn a_feature_with_a_channel_of_its_own_keeps_it() {
    let mut file: Value = serde_json::from_str(&text("v5-same-index.json")).unwrap();
    let features = &mut file["user_configs"]["protocols"]["tcode-v03"]["configurations"][0]["features"];
    features[1]["description"] = "Buzz (V3)".into();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("udcf.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let (gateway, mut device, client) = with_device(path.to_str().unwrap(), "Stroker", "n1").await;
    run(&client, Output::HwPositionWithDuration(1.0.into(), 500)).await;
    device.expect("L0999I500\n").await;
    run(&client, Output::Vibrate(1.0.into())).await;
    device.expect("V399\n").await;
    gateway.stop().await;
}

#[test]
fn a_device_on_features_that_were_joined_keeps_its_limits() {
    let mut file: Value = serde_json::from_str(&text("v5-same-index.json")).unwrap();
    let id = |n: u8| format!("0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c00{n:02x}");
    file["user_configs"]["devices"] = json!([{
        "identifier": {"address": "a", "protocol": "tcode-v03", "identifier": "Stroker"},
        "config": {"id": id(1), "base_id": "ca294f43-772c-4bb2-a53f-3763f4c7e7a3", "features": [
            {"id": id(2), "base_id": "365f49e5-fa64-4792-8ed9-464ae7b5cab1",
                "output": {"hw_position_with_duration": {"value": [200, 800]}}},
            {"id": id(3), "base_id": "365f49e5-fa64-4792-8ed9-464ae7b5cab2", "output": {"vibrate": {"value": [0, 50]}}}],
            "user_config": {"allow": false, "deny": false, "index": 0}}}]);
    let udcf = parse(&file);
    assert_eq!(udcf.warnings().len(), 1, "{:?}", udcf.warnings());
    let report = wsdm_gateway::udcf::check::report(&udcf).unwrap();
    assert_eq!(
        report.devices[0].features,
        ["HwPositionWithDuration 0-600", "Vibrate 0-50"]
    );
}

#[test]
fn a_key_that_occurs_twice_is_reported_with_both_places() {
    let file = "{\"version\": {\"major\": 5, \"minor\": 0},\n \"user_configs\": {\"protocols\": {\n  \"lovense\": {\"communication\": \
                [{\"websocket\": {\"name\": \"A\"}}]},\n  \"lovense\": {\"communication\": [{\"websocket\": {\"name\": \"B\"}}]}}}}";
    let udcf = Udcf::parse(file, "f").unwrap();
    let warnings = udcf.warnings().join("\n");
    assert!(
        warnings.contains("\"lovense\" occurs twice in one object, at 3:3 and 4:3"),
        "{warnings}"
    );
    // A file in which something vanishes was not carried over.
    let old = file.replace("\"major\": 5", "\"major\": 4");
    let udcf = Udcf::parse(&old, "f").unwrap();
    assert!(
        udcf.summary().unwrap().contains("1 thing was not"),
        "{:?}",
        udcf.summary()
    );
}

#[test]
fn entries_for_the_same_thing_are_reported() {
    let mut file: Value = serde_json::from_str(&text("v5-limits-200-800.json")).unwrap();
    let device = file["user_configs"]["devices"][0].clone();
    file["user_configs"]["devices"]
        .as_array_mut()
        .unwrap()
        .push(device);
    let same: Value = serde_json::from_str(&text("v5-same-index.json")).unwrap();
    let configuration = &same["user_configs"]["protocols"]["tcode-v03"]["configurations"][0];
    let (mut first, mut second) = (configuration.clone(), configuration.clone());
    for (i, configuration) in [&mut first, &mut second].into_iter().enumerate() {
        configuration["id"] = format!("0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c000{i}").into();
        configuration["features"].as_array_mut().unwrap().truncate(1);
    }
    file["user_configs"]["protocols"]["tcode-v03"]["configurations"] = json!([first, second]);
    let warnings = parse(&file).warnings().join("\n");
    for part in [
        "a second configuration for \"Stroker\"",
        "a second entry for the device \"n1\" (tcode-v03)",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
}

/// Specifiers and protocols at the wrong depth of files of versions 4 and 5.
#[test]
fn keys_at_the_wrong_depth_are_read_as_they_are_meant() {
    let name = |name: &str| json!({"websocket": {"name": name}});
    for major in [4, 5] {
        for (user, names, moved) in [
            (json!({"protocols": {"lovense": name("A")}}), vec!["A"], 1),
            (json!({"lovense": {"communication": [name("A")]}}), vec!["A"], 1),
            (json!({"lovense": name("A")}), vec!["A"], 2),
            (
                json!({"protocols": {"lovense": {"communication": name("A")}}}),
                vec!["A"],
                1,
            ),
            (
                json!({"protocols": {"lovense": {"communication": [name("A")]}}, "lovense": {"communication": [name("B")]}}),
                vec!["A", "B"],
                1,
            ),
            (
                json!({"protocols": {"lovense": {"communication": [name("A")], "websocket": {"name": "B"}}}}),
                vec!["A", "B"],
                1,
            ),
            (
                json!({"protocols": {"lovense": {"communication": [{"websocket": {"name": "A"},
                    "serial": {"port": "p", "baud_rate": 9600, "data_bits": 8, "parity": "N", "stop_bits": 1}}]}}}),
                vec!["A"],
                1,
            ),
        ] {
            let file = json!({"version": {"major": major, "minor": 0}, "user_configs": user});
            let udcf = parse(&file);
            let found: Vec<String> = udcf.websocket_names().into_iter().map(|(name, _)| name).collect();
            assert_eq!(found, names, "{file}");
            let said = udcf.warnings();
            assert_eq!(said.len(), moved, "{file}: {said:?}");
            assert!(
                said.iter()
                    .all(|w| w.starts_with("f:1:") && w.contains("read as")),
                "{said:?}"
            );
        }
    }
}

#[test]
fn a_word_at_the_wrong_place_is_reported_with_where_it_belongs() {
    let device = |config: Value| {
        let mut file: Value = serde_json::from_str(&text("v5-limits-200-800.json")).unwrap();
        for (key, value) in config.as_object().unwrap() {
            file["user_configs"]["devices"][0]["config"][key] = value.clone();
        }
        Udcf::parse(&file.to_string(), "f")
    };
    let e = device(json!({"message_gap_ms": 20})).unwrap_err();
    assert!(
        e.problem().contains("\"message_gap_ms\" does not belong here"),
        "{e}"
    );
    assert!(
        e.hint().unwrap().contains("the \"user_config\" of a device"),
        "{:?}",
        e.hint()
    );
    let named = device(json!({"name": "Mine"})).unwrap();
    assert!(
        named.warnings()[0].contains("\"display_name\""),
        "{:?}",
        named.warnings()
    );

    let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"websocket": {"name": "A"}}});
    let e = Udcf::parse(&file.to_string(), "f").unwrap_err();
    assert_eq!(e.hint().unwrap(), "it belongs in an element of \"communication\"");
}

/// Where the error's place is in the text, in bytes.
fn offset(text: &str, at: &str) -> usize {
    let numbers: Vec<usize> = at.split(':').skip(1).map(|n| n.parse().unwrap()).collect();
    let line_start: usize = text
        .split_inclusive('\n')
        .take(numbers[0] - 1)
        .map(str::len)
        .sum();
    let line = &text[line_start..];
    line_start
        + line
            .char_indices()
            .nth(numbers[1] - 1)
            .map_or(line.len(), |(byte, _)| byte)
}

/// Does to the text, at the place of an error, what its hint says.
fn apply(text: &str, at: usize, hint: &str) -> String {
    let quoted = |after: &str| hint.split(after).nth(1).and_then(|rest| rest.split('"').next());
    if let Some(word) = quoted("did you mean \"") {
        let end = at + 1 + text[at + 1..].find('"').unwrap();
        return format!("{}\"{word}{}", &text[..at], &text[end..]);
    }
    let (verb, rest) = hint.split_once(' ').unwrap();
    assert!(
        ["add", "write"].contains(&verb),
        "no hint to follow by itself: {hint}"
    );
    // One member: a key in quotes, and a value.
    let key = rest.split('"').nth(1).unwrap();
    let value = rest.split_once(": ").unwrap().1;
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
    let value = values.next().unwrap().unwrap();
    let member = format!("\"{key}\": {value}");
    if text[at..].starts_with(&format!("\"{key}\"")) {
        let colon = at + text[at..].find(':').unwrap() + 1;
        let mut old = serde_json::Deserializer::from_str(&text[colon..]).into_iter::<Value>();
        old.next().unwrap().unwrap();
        return format!("{}{member}{}", &text[..at], &text[colon + old.byte_offset()..]);
    }
    let brace = at + text[at..].find('{').unwrap() + 1;
    let comma = if text[brace..].trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    format!("{} {member}{comma}{}", &text[..brace], &text[brace..])
}

/// A hint that leads to the next error with a hint is fine; one that leads nowhere, or in a circle, is not.
#[test]
fn following_each_hint_leads_to_a_file_that_loads() {
    let mut files = 0;
    for entry in std::fs::read_dir(folder("udcf-invalid")).unwrap() {
        let path = entry.unwrap().path();
        let mut text = std::fs::read_to_string(&path).unwrap();
        let mut seen: Vec<String> = Vec::new();
        let udcf = loop {
            match Udcf::parse(&text, "f") {
                Ok(udcf) => break udcf,
                Err(e) => {
                    let hint = e.hint().map(|hint| hint.into_owned());
                    let hint = hint.unwrap_or_else(|| panic!("{}: {e}: no hint", path.display()));
                    assert!(
                        !seen.contains(&e.to_string()) && seen.len() < 8,
                        "{}: {e}: {seen:?}",
                        path.display()
                    );
                    seen.push(e.to_string());
                    text = apply(&text, offset(&text, e.at()), &hint);
                }
            }
        };
        assert!(!seen.is_empty(), "{} is valid", path.display());
        let expected = if path.ends_with("empty.json") { 0 } else { 1 };
        assert_eq!(
            udcf.websocket_names().len(),
            expected,
            "{}: {text}",
            path.display()
        );
        assert_eq!(udcf.warnings(), [""; 0], "{}: {text}", path.display());
        files += 1;
    }
    assert!(files >= 7, "the fixtures are there");
}

/// Files without a header, in the words of each version.
#[test]
fn a_file_without_a_version_is_read_as_what_its_body_is() {
    for (name, major) in [
        ("v2-selectors.json", 2),
        ("v2-pairs.json", 2),
        ("v2-all-kinds.json", 2),
        ("v2-serial-tcode.json", 2),
        ("v3-limits.json", 3),
        ("v3-own-range.json", 3),
        ("v4-old-base-ids.json", 4),
        ("v5-limits-200-800.json", 5),
        ("v5-same-index.json", 5),
    ] {
        let mut file: Value = serde_json::from_str(&text(name)).unwrap();
        let with = parse(&file);
        file.as_object_mut().unwrap().shift_remove("version");
        let without = parse(&file);
        assert_eq!(without.major(), major, "{name}");
        assert_eq!(without.to_json(), with.to_json(), "{name}");
        let said = without.warnings().join("\n");
        assert!(
            said.contains(&format!("read as version {major}, judging by its content")),
            "{name}: {said}"
        );
        // And without the name of the user's part.
        let user = file.as_object().unwrap().values().next().unwrap().clone();
        let without = parse(&user);
        if name != "v2-serial-tcode.json" {
            assert_eq!(without.websocket_names(), with.websocket_names(), "{name}");
        }
    }
}

/// The pointers of all objects of a value, or of all its single values.
fn pointers(value: &Value, at: &str, objects: bool, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            if objects {
                found.push(at.to_owned());
            }
            members
                .iter()
                .map(|(key, value)| (format!("{at}/{}", key.replace('/', "~1")), value))
                .collect()
        }
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(i, value)| (format!("{at}/{i}"), value))
            .collect(),
        _ => {
            if !objects {
                found.push(at.to_owned());
            }
            return;
        }
    };
    for (at, value) in below {
        pointers(value, &at, objects, found);
    }
}

const OLD: &[&str] = &[
    "v2-all-kinds.json",
    "v2-pairs.json",
    "v2-serial-tcode.json",
    "v3-limits.json",
    "v3-own-range.json",
    "v3-tcode-0-100.json",
    "v3-tcode-limits-20-80-of-100.json",
    "v4-negative-range.json",
    "v4-old-base-ids.json",
];
const KEY: &str = "zqkey";
const MARK: &str = "zq-4711";

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// A key that no version has is named, wherever it is.
    #[test]
    fn an_unknown_key_is_named_wherever_it_is(name in prop::sample::select(OLD), at in any::<prop::sample::Index>()) {
        let mut file: Value = serde_json::from_str(&text(name)).unwrap();
        let mut objects = Vec::new();
        pointers(&file, "", true, &mut objects);
        let at = at.get(&objects);
        file.pointer_mut(at).unwrap()[KEY] = MARK.into();
        let udcf = Udcf::parse(&file.to_string(), "f").unwrap();
        let said = udcf.warnings().join("\n");
        prop_assert!(said.contains(KEY), "{}: {}: {}", name, at, said);
        prop_assert!(!udcf.summary().unwrap().ends_with(EVERYTHING), "{}: {}", name, at);
    }

    /// Each single value of a file is in the result, or it is named.
    #[test]
    fn a_value_is_carried_over_or_named(name in prop::sample::select(OLD), at in any::<prop::sample::Index>()) {
        let mut file: Value = serde_json::from_str(&text(name)).unwrap();
        let mut values = Vec::new();
        pointers(&file, "", false, &mut values);
        // Ids only tie the parts of a file together.
        values.retain(|at| !at.starts_with("/version") && !at.ends_with("id\"") && !at.ends_with("/id") && !at.ends_with("/base_id"));
        let at = at.get(&values);
        *file.pointer_mut(at).unwrap() = MARK.into();
        let udcf = Udcf::parse(&file.to_string(), "f").unwrap();
        let said = udcf.warnings().join("\n");
        let carried = udcf.to_json().contains(MARK);
        prop_assert!(carried || said.contains(MARK), "{}: {}: {}\n{}", name, at, said, udcf.to_json());
        prop_assert!(carried || !udcf.summary().unwrap().ends_with(EVERYTHING), "{}: {}", name, at);
    }

    /// A key that is spelt otherwise is named, unless it is a name of the user's choice.
    #[test]
    fn a_misspelt_key_is_carried_over_or_named(name in prop::sample::select(OLD), at in any::<prop::sample::Index>()) {
        let mut file: Value = serde_json::from_str(&text(name)).unwrap();
        let mut objects = Vec::new();
        pointers(&file, "", true, &mut objects);
        let mut keys: Vec<(String, String)> = Vec::new();
        for object in objects.iter().filter(|at| *at != "/version") {
            let members = file.pointer(object).unwrap().as_object().unwrap();
            // Ids only tie the parts of a file together, and an empty list says nothing.
            let says = |key: &str, value: &Value| {
                !["id", "base_id", "version"].contains(&key) && *value != json!([]) && *value != json!({})
            };
            keys.extend(members.iter().filter(|(k, v)| says(k, v)).map(|(k, _)| (object.clone(), k.clone())));
        }
        let (object, key) = at.get(&keys);
        let members = file.pointer_mut(object).unwrap().as_object_mut().unwrap();
        let value = members.shift_remove(key).unwrap();
        members.insert(KEY.to_owned(), value);
        let udcf = Udcf::parse(&file.to_string(), "f").unwrap();
        let said = udcf.warnings().join("\n");
        prop_assert!(said.contains(KEY) || udcf.to_json().contains(KEY), "{}: {}/{}: {}", name, object, key, said);
    }

    /// What a device may do is never more than what the old file meant, whatever its range was, and not less by a step.
    #[test]
    fn a_limit_in_steps_of_any_range_stays_inside_of_what_was_meant(
        (steps, low, high) in (2i64..20_000).prop_flat_map(|steps| (Just(steps), 0..=steps, 0..=steps))
            .prop_map(|(steps, one, other)| (steps, one.min(other), one.max(other)))
    ) {
        let udcf = parse(&tcode_device(json!([0, steps]), json!([low, high])));
        let user = migrated(&udcf)["user_configs"].clone();
        let outputs = user["devices"][0]["config"]["features"][0]["output"].clone();
        for (kind, full) in [("hw_position_with_duration", 999), ("vibrate", 99)] {
            let output = &outputs[kind];
            if output["disabled"] == true {
                prop_assert!((high - low) * full < 2 * steps, "{}: {} to {} of {}", kind, low, high, steps);
                continue;
            }
            let bound = |i: usize, otherwise: i64| output["value"][i].as_i64().unwrap_or(otherwise);
            let (new_low, new_high) = (bound(0, 0), bound(1, full));
            prop_assert!(new_low * steps >= low * full && new_high * steps <= high * full, "{}: {}", kind, output);
            prop_assert!((new_low - 1) * steps < low * full && (new_high + 1) * steps > high * full, "{}: {}", kind, output);
        }
    }
}
