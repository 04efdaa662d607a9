//! User device configuration files: what files of every version come to, what is said about broken ones, and what
//! the commands do to a user's file.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use buttplug_server_device_config::{UserDeviceIdentifier, load_protocol_configs};
use common::{RawDevice, Running, client, settings, wait_until};
use proptest::prelude::*;
use serde_json::{Value, json};
use wsdm_gateway::advice::Advice;
use wsdm_gateway::udcf::Udcf;
use wsdm_gateway::udcf::check::report;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/udcf")
        .join(name)
}

fn load(name: &str) -> Udcf {
    Udcf::load(&fixture(name)).unwrap()
}

fn udcf(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"))
        .arg("udcf")
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Valid by the published schema and by the server's own loader.
fn assert_valid_version_5(json: &str) {
    let schema: Value = serde_json::from_str(include_str!("../src/udcf/schema-v5.json")).unwrap();
    let value: Value = serde_json::from_str(json).unwrap();
    jsonschema::validate(&schema, &value).unwrap();
    load_protocol_configs(&None, &Some(json.to_owned()), false)
        .unwrap()
        .finish()
        .unwrap();
}

#[test]
fn every_fixture_becomes_valid_version_5_and_stays_so() {
    let mut seen = 0;
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        let migrated = Udcf::load(&path).unwrap_or_else(|e| panic!("{e}"));
        assert_valid_version_5(&migrated.to_json());
        let again = Udcf::parse(&migrated.to_json(), "again").unwrap();
        assert_eq!(again.to_json(), migrated.to_json(), "{}", path.display());
        assert_eq!(again.summary(), None);
        seen += 1;
    }
    assert!(seen >= 5, "the fixtures are there");
}

fn device(udcf: &Udcf, address: &str, protocol: &str, identifier: Option<&str>) -> Value {
    let dcm = udcf.device_configuration().unwrap();
    let id = UserDeviceIdentifier::new(address, protocol, &identifier.map(str::to_owned));
    let found = dcm
        .user_device_definitions()
        .get(&id)
        .unwrap_or_else(|| panic!("{address} is there"))
        .clone();
    let outputs: Vec<Value> = found
        .features()
        .values()
        .filter(|f| f.has_output())
        .map(|f| serde_json::to_value(f.as_device_feature().unwrap()).unwrap()["Output"].clone())
        .collect();
    json!({
        "index": found.index(), "name": found.display_name(), "allow": found.allow(), "deny": found.deny(),
        "gap": found.message_gap_ms(), "outputs": outputs,
    })
}

#[test]
fn version_2_keeps_names_ports_devices_and_limits() {
    let udcf = load("v2-all-kinds.json");
    let names: Vec<String> = udcf.websocket_names().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["LVSDevice", "Bench", "TCodeDevice"]);
    let kinds: Vec<String> = udcf
        .other_specifiers()
        .iter()
        .map(|(_, e)| e.as_object().unwrap().keys().next().unwrap().clone())
        .collect();
    assert_eq!(kinds, ["serial", "serial", "btle", "usb", "hid"]);
    let hush = device(&udcf, "8A3D9FAC2A45", "lovense", Some("Z"));
    assert_eq!((&hush["index"], &hush["name"]), (&json!(3), &json!("My Hush")));
    assert_eq!(hush["outputs"][0]["Vibrate"]["Value"], json!([0, 12]));
    let denied = device(&udcf, "never-again", "lovense", None);
    assert_eq!(denied["deny"], true);
    assert_ne!(denied["index"], 3, "an index that was missing is a free one");
    assert!(
        udcf.warnings()
            .iter()
            .any(|w| w.contains("\"elsewhere\"") && w.contains("left out"))
    );
    assert!(udcf.summary().unwrap().contains("version 2"));
}

#[test]
fn version_3_keeps_limits_and_more_features_become_a_configuration() {
    let udcf = load("v3-limits.json");
    let hush = device(&udcf, "8A3D9FAC2A45", "lovense", Some("Z"));
    assert_eq!(hush["allow"], true);
    assert_eq!(
        hush["outputs"][0]["Vibrate"]["Value"],
        json!([0, 13]),
        "2 to 15 has 13 steps"
    );
    let own = device(&udcf, "my-own", "tcode-v03", Some("Own"));
    // The first vibration was V0 beside L0: one channel, one feature.
    assert_eq!(own["outputs"].as_array().unwrap().len(), 2);
    assert_eq!(
        own["outputs"][0]["HwPositionWithDuration"]["Value"],
        json!([0, 800])
    );
    assert_eq!(own["outputs"][0]["Vibrate"]["Value"], json!([0, 50]));
    assert_eq!(own["outputs"][1]["Vibrate"]["Value"], json!([0, 99]));
    let value: Value = serde_json::from_str(&udcf.to_json()).unwrap();
    let custom = &value["user_configs"]["protocols"]["tcode-v03"]["configurations"][0];
    assert_eq!(custom["identifier"], json!(["Multi"]));
    assert_eq!(
        custom["features"][0]["output"]["hw_position_with_duration"]["value"],
        json!([0, 999])
    );
    assert_eq!(
        custom["features"][1]["input"]["battery"]["command"],
        json!(["Read"])
    );
}

#[test]
fn version_4_gets_its_base_ids_looked_up_again() {
    let udcf = load("v4-old-base-ids.json");
    let stroker = device(&udcf, "stroker", "tcode-v03", None);
    assert_eq!((&stroker["index"], &stroker["gap"]), (&json!(6), &json!(30)));
    assert_eq!(
        stroker["outputs"][0]["HwPositionWithDuration"]["Value"],
        json!([0, 999])
    );
    assert!(udcf.to_json().contains("\"reverse\": true"));
    assert!(udcf.to_json().contains("sdl-gamepad"));
}

/// A range with nothing above 0 is no output that the server could turn on: that is said, and breaks nothing.
#[test]
fn a_range_below_0_is_no_panic_and_is_told() {
    let path = fixture("v4-negative-range.json");
    let output = udcf(&["check", path.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stdout);
    for part in [
        "X  lovense: Rotate without values",
        "the value of rotate, 0 to 5, was left out: the device has -20 to -5, nothing above 0",
        "the value of rotate of the configuration \"x\" is -20 to -5, nothing above 0",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The same in a file of version 5, up to the ends of what a number may be.
    for (low, high) in [
        (-20, -5),
        (i32::MIN, i32::MIN),
        (i32::MIN, i32::MAX),
        (5, 0),
        (0, 0),
    ] {
        let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {"lovense": {
            "communication": [{"websocket": {"name": "X"}}],
            "configurations": [{"identifier": ["X"], "name": "x", "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0001", "features": [
                {"index": 0, "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0002", "output": {"rotate": {"value": [low, high]}}}]}]}}}});
        let udcf = Udcf::parse(&file.to_string(), "f").unwrap();
        let told = udcf.warnings().iter().any(|w| w.contains("nothing above 0"));
        assert_eq!(told, high <= 0, "{low} to {high}: {:?}", udcf.warnings());
        let features = report(&udcf).unwrap().websocket[0].features.clone();
        let wanted = match high {
            i32::MAX => "Rotate -2147483647-2147483647",
            _ => "Rotate without values",
        };
        assert_eq!(features, [wanted], "{low} to {high}");
    }
}

#[test]
fn what_another_output_limits_on_the_same_axis_is_shown_with_what_holds() {
    let features = |udcf: &Udcf| report(udcf).unwrap().devices[0].features.join(", ");
    let limited = load("v5-limits-200-800.json");
    let shown = features(&limited);
    for part in [
        "Position 0-999 (kept to 200-800 of 999 by another limit of its axis)",
        "HwPositionWithDuration 0-600",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert_eq!(shown.matches("kept to").count(), 1, "{shown}");
    // Without limits nothing is added.
    let all = report(&limited).unwrap().websocket[0].features.join(", ");
    assert!(
        all.contains("Position 0-999") && !all.contains("kept to"),
        "{all}"
    );

    // Features of a TCode device on one channel share their limits too.
    let ids = [
        "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e12",
        "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e13",
    ];
    let timed = json!({"hw_position_with_duration": {"value": [0, 999], "duration": [0, 99_999]}});
    let twice: Vec<Value> = (ids.iter().enumerate())
        .map(
            |(n, id)| json!({"index": n, "id": id, "description": format!("L0 number {n}"), "output": timed}),
        )
        .collect();
    let of_device = |limits: [Value; 2]| {
        let features: Vec<Value> = (ids.iter().zip(limits).enumerate())
            .map(|(n, (base, limit))| {
                let id = format!("0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e2{n}");
                json!({"id": id, "base_id": base, "output": {"hw_position_with_duration": {"value": limit}}})
            })
            .collect();
        let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {
            "protocols": {"tcode-v03": {
                "communication": [{"websocket": {"name": "Twice"}}],
                "configurations": [{"identifier": ["Twice"], "name": "Twice", "features": twice,
                    "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e11"}]}},
            "devices": [{"identifier": {"address": "a", "protocol": "tcode-v03", "identifier": "Twice"}, "config": {
                "id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e14", "base_id": "0d2a7c44-6c0c-4a5e-9d4e-3a0f4b3c5e11",
                "features": features, "user_config": {"allow": false, "deny": false, "index": 0}}}]}});
        features_of(&file)
    };
    fn features_of(file: &Value) -> Vec<String> {
        let udcf = Udcf::parse(&file.to_string(), "f").unwrap();
        report(&udcf).unwrap().devices[0].features.clone()
    }
    assert_eq!(
        of_device([json!([200, 800]), json!([0, 999])]),
        [
            "HwPositionWithDuration 0-600",
            "HwPositionWithDuration 0-999 (kept to 200-800 of 999 by another limit of its axis)",
        ]
    );
    assert_eq!(
        of_device([json!([0, 100]), json!([800, 999])]),
        [
            "HwPositionWithDuration 0-100 (moves nothing: the limits of its axis exclude each other)",
            "HwPositionWithDuration 0-199 (moves nothing: the limits of its axis exclude each other)",
        ]
    );
}

#[test]
fn outputs_of_one_axis_that_are_reversed_and_are_not_are_warned_of() {
    let text = std::fs::read_to_string(fixture("v5-limits-200-800-reversed.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let warnings = |file: &Value| Udcf::parse(&file.to_string(), "f").unwrap().warnings().join("\n");
    assert_eq!(warnings(&file), "", "what is not said contradicts nothing");
    let outputs = "/user_configs/devices/0/config/features/0/output";
    file.pointer_mut(outputs).unwrap()["position"] = json!({"reverse": true});
    assert_eq!(warnings(&file), "");
    file.pointer_mut(outputs).unwrap()["position"] = json!({"reverse": false});
    let said = warnings(&file);
    for part in [
        "feature 0 of the device \"n1\"",
        "not to be reversed by position",
        "the same \"reverse\" for both",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let configuration = |position: Value, timed: Value| {
        let mut outputs = json!({"position": position, "hw_position_with_duration": timed});
        outputs["position"]["value"] = json!([0, 999]);
        outputs["hw_position_with_duration"]["value"] = json!([0, 999]);
        outputs["hw_position_with_duration"]["duration"] = json!([0, 99_999]);
        warnings(
            &json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {"tcode-v03": {
            "communication": [{"websocket": {"name": "X"}}],
            "configurations": [{"identifier": ["X"], "name": "x", "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0001", "features": [
                {"index": 0, "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0002", "output": outputs}]}]}}}}),
        )
    };
    let is = |reversed: bool| json!({"reverse_position": reversed});
    assert_eq!(configuration(is(true), is(true)), "");
    assert_eq!(configuration(is(true), json!({})), "");
    let said = configuration(is(true), is(false));
    for part in [
        "feature 0 of the configuration \"x\"",
        "hw_position_with_duration",
        "which is reversed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn names_whose_protocol_the_server_lacks_are_not_among_those_that_devices_may_send() {
    let home = tempfile::tempdir().unwrap();
    let name = |name: &str| json!({"communication": [{"websocket": {"name": name}}]});
    let mut file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {
        "lovense": name("Here"), "tcode-v04": name("Nowhere")}}});
    let path = home.path().join("udcf.json");
    let shown = |file: &Value, json: bool| {
        std::fs::write(&path, file.to_string()).unwrap();
        let mut args = vec!["check", path.to_str().unwrap()];
        args.extend(json.then_some("--json"));
        let output = udcf(&args);
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    let said = shown(&file, false);
    let (before, after) = said
        .split_once("names without effect: the server lacks their protocol\n")
        .unwrap_or_else(|| panic!("{said}"));
    assert!(before.contains("Here") && !before.contains("Nowhere"), "{said}");
    assert!(after.starts_with("  Nowhere  tcode-v04\n"), "{said}");
    let report: Value = serde_json::from_str(&shown(&file, true)).unwrap();
    let report = &report["report"];
    assert_eq!(report["websocket"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(
        report["unserved"],
        json!([{"name": "Nowhere", "protocol": "tcode-v04"}])
    );

    file["user_configs"]["protocols"]
        .as_object_mut()
        .unwrap()
        .remove("lovense");
    let said = shown(&file, false);
    let wanted = "no websocket name of a protocol that the server has: no device can connect";
    assert!(said.contains(wanted) && !said.contains("may send"), "{said}");

    // The check of the whole configuration says the same.
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"));
    let output = command
        .args(["check", "--user-device-config-file", path.to_str().unwrap()])
        .current_dir(home.path())
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(
        said.contains("names without effect") && !said.contains("may send"),
        "{said}"
    );
}

/// The server has one limit for both directions of a rotation, counted from 0.
#[test]
fn a_limit_in_both_directions_is_no_loss() {
    let parse = |limit: Value, base: Value| {
        let file = json!({"version": {"major": 4, "minor": 0}, "user_configs": {
            "protocols": {"lovense": {"communication": [{"websocket": {"name": "X"}}], "configurations": [
                {"identifier": ["X"], "name": "x", "features": [{"output": {"rotate": {"value": base}}}]}]}},
            "devices": [{"identifier": {"address": "a", "protocol": "lovense", "identifier": "X"}, "config": {
                "features": [{"output": {"rotate": {"value": limit}}}], "user_config": {"index": 0}}}]}});
        let udcf = Udcf::parse(&file.to_string(), "f").unwrap();
        let rotate = device(&udcf, "a", "lovense", Some("X"))["outputs"][0]["Rotate"]["Value"].clone();
        (rotate, udcf.warnings().join("\n"))
    };
    for limit in [json!([-10, 10]), json!([0, 10])] {
        let (rotate, warnings) = parse(limit, json!([-20, 20]));
        assert_eq!((rotate, warnings.as_str()), (json!([-10, 10]), ""));
    }
    for (limit, base, wanted, warning) in [
        // Never more than was asked for.
        (
            json!([-5, 10]),
            json!([-20, 20]),
            json!([-5, 5]),
            "-5 to 10, became -5 to 5: the server has one limit for both directions",
        ),
        (
            json!([-10, 5]),
            json!([-20, 20]),
            json!([-5, 5]),
            "-10 to 5, became -5 to 5: the server has one limit for both directions",
        ),
        (
            json!([-30, 30]),
            json!([-20, 20]),
            json!([-20, 20]),
            "-30 to 30, became -20 to 20: the device has -20 to 20",
        ),
        (
            json!([i64::MIN, i64::MAX]),
            json!([-20, 20]),
            json!([-20, 20]),
            "became -20 to 20: the device has -20 to 20",
        ),
        (
            json!([-10, -5]),
            json!([-20, 20]),
            json!([-20, 20]),
            "-10 to -5, was left out: the device has -20 to 20",
        ),
        (
            json!([-5, 10]),
            json!([0, 20]),
            json!([0, 10]),
            "-5 to 10, became 0 to 10: the device has 0 to 20",
        ),
    ] {
        let (rotate, warnings) = parse(limit.clone(), base);
        assert_eq!(rotate, wanted, "{limit}: {warnings}");
        assert!(warnings.contains(warning), "{limit}: {warnings}");
    }
}

#[test]
fn a_version_3_header_on_a_version_2_body_is_read_by_its_body() {
    let file = r#"{"$comment": ["a", "b"], "version": {"major": 3, "minor": 0}, "user-configs": {"specifiers":
        {"tcode-v03": {"$comment": "c", "websocket": {"names": ["SlopDrive-32"], "$comment": "d"}}}}}"#;
    let udcf = Udcf::parse(file, "slop.json").unwrap();
    assert_eq!(
        udcf.websocket_names(),
        [("SlopDrive-32".to_owned(), "tcode-v03".to_owned())]
    );
    assert!(
        udcf.warnings().iter().any(|w| w.contains("the body decides")),
        "{:?}",
        udcf.warnings()
    );
    assert!(
        udcf.warnings().iter().any(|w| w.contains("3 comments")),
        "{:?}",
        udcf.warnings()
    );
}

#[test]
fn what_does_nothing_is_said() {
    let parse = |protocols: Value| {
        let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": protocols}});
        Udcf::parse(&file.to_string(), "f").unwrap().warnings().join("\n")
    };
    let name = |name: &str| json!({"communication": [{"websocket": {"name": name}}]});
    assert!(parse(json!({"lovence": name("a")})).contains("did you mean \"lovense\""));
    assert!(parse(json!({"lovense": name("a"), "tcode-v03": name("a")})).contains("which one is undefined"));
    assert!(parse(json!({"lovense": name("a")})).is_empty());
}

/// Files that programs wrote and then refused, or that the loader half ignores.
#[test]
fn what_the_servers_own_loader_stumbles_over_is_read_where_it_can_be() {
    let parse = |user: Value| {
        let file = json!({"version": {"major": 5, "minor": 0}, "user_configs": user});
        Udcf::parse(&file.to_string(), "f").unwrap_or_else(|e| panic!("{e}"))
    };
    let feature = json!({"id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0002", "base_id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0003"});
    let mute = parse(
        json!({"devices": [{"identifier": {"address": "mute", "protocol": "lovense", "identifier": null},
        "config": {"id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0001", "base_id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0009",
                   "features": [feature], "user_config": {"allow": false, "deny": false, "index": 0}}}]}),
    );
    assert!(
        mute.warnings().iter().any(|w| w.contains("1 null")),
        "{:?}",
        mute.warnings()
    );
    assert!(
        mute.warnings()
            .iter()
            .any(|w| w.contains("skips the device \"mute\"")),
        "{:?}",
        mute.warnings()
    );

    let configuration = json!({"identifier": ["Mine"], "name": "Mine", "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0001", "features": [
        {"index": 0, "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0002", "output": {"position_with_duration": {"value": [0, 1000], "duration": [0, 5000]}}}]});
    let misplaced = parse(json!({"protocols": {"tcode-v03": {
        "communication": [{"websocket": {"name": "Mine"}}, {"xinput": {"exists": true}}],
        "devices": {"configurations": [configuration]}}}}));
    let value: Value = serde_json::from_str(&misplaced.to_json()).unwrap();
    let output =
        &value["user_configs"]["protocols"]["tcode-v03"]["configurations"][0]["features"][0]["output"];
    assert_eq!(output["hw_position_with_duration"]["value"], json!([0, 999]));

    let ignored = parse(
        json!({"protocols": {"lovense": {"communication": [{"carrier-pigeon": {}}], "defaults":
        {"name": "x", "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0001", "features": []}}}}),
    );
    assert!(
        ignored.warnings().iter().any(|w| w.contains("carrier-pigeon")),
        "{:?}",
        ignored.warnings()
    );
    assert!(
        ignored.warnings().iter().any(|w| w.contains("\"defaults\"")),
        "{:?}",
        ignored.warnings()
    );
}

/// What passes the schema and not the loader: told with its place in a file of version 5, left out of an older one.
#[test]
fn an_entry_that_the_loader_refuses_costs_only_itself() {
    let user = |key: &str| {
        json!({key: {"protocols": {"lovense": {"communication": [
        {"websocket": {"name": "Good"}}, {"usb": {"pairs": [{"vendor_id": 1, "product_id": 2}]}}],
        "configurations": [{"identifier": ["A"], "name": "a", "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0001", "features": [
            {"index": 0.5, "id": "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0002", "output": {"vibrate": {"value": [0, 9]}}}]}]}}}})
    };
    let file = |major: u64| {
        let mut file = user("user_configs");
        file["version"] = json!({"major": major, "minor": 0});
        format!("{file:#}")
    };
    let e = Udcf::parse(&file(5), "f").unwrap_err();
    assert!(
        !e.to_string().starts_with("f:1:1") && e.to_string().starts_with("f:"),
        "{e}"
    );
    let older = Udcf::parse(&file(4), "f").unwrap();
    assert_eq!(
        older.websocket_names(),
        [("Good".to_owned(), "lovense".to_owned())]
    );
}

/// A configuration with a device on it, and a device on one of the server's own.
fn with_every_id() -> Value {
    let uuid = |n: u8| format!("0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c00{n:02x}");
    let user = json!({"allow": false, "deny": false, "index": 0});
    json!({"version": {"major": 5, "minor": 0}, "user_configs": {
        "protocols": {"lovense": {"communication": [{"websocket": {"name": "X"}}], "configurations": [
            {"identifier": ["X"], "name": "x", "id": uuid(1), "features": [
                {"index": 0, "id": uuid(2), "output": {"vibrate": {"value": [0, 9]}}},
                {"index": 1, "id": uuid(3), "output": {"rotate": {"value": [0, 9]}}}]}]}},
        "devices": [
            {"identifier": {"address": "own", "protocol": "lovense", "identifier": "X"}, "config": {
                "id": uuid(4), "base_id": uuid(1), "user_config": user, "features": [
                    {"id": uuid(5), "base_id": uuid(3)}, {"id": uuid(6), "base_id": uuid(2)}]}},
            {"identifier": {"address": "known", "protocol": "tcode-v03"}, "config": {
                "id": uuid(7), "base_id": "5c1195a5-a2e4-4643-bd47-8cb3a1e067f4", "features": [
                    {"id": uuid(8), "base_id": "afa1e63e-b6c7-4519-8faa-68cefe197a31"}],
                "user_config": {"allow": false, "deny": false, "index": 1}}}]}})
}

#[test]
fn an_id_that_is_missing_is_told_with_one_to_write() {
    let whole = with_every_id();
    assert_eq!(Udcf::parse(&whole.to_string(), "f").unwrap().warnings(), [""; 0]);
    let own = "/user_configs/protocols/lovense/configurations/0";
    for (object, key, begins) in [
        (own, "id", "{"),
        (&format!("{own}/features/0"), "id", "{"),
        (&format!("{own}/features/1"), "id", "{"),
        ("/user_configs/devices/0/config", "id", "\"config\""),
        ("/user_configs/devices/0/config", "base_id", "\"config\""),
        ("/user_configs/devices/0/config/features/0", "id", "{"),
        ("/user_configs/devices/0/config/features/0", "base_id", "{"),
        ("/user_configs/devices/0/config/features/1", "base_id", "{"),
        ("/user_configs/devices/1/config", "base_id", "\"config\""),
        ("/user_configs/devices/1/config/features/0", "base_id", "{"),
    ] {
        for wrong in [
            None,
            Some("no-uuid"),
            Some("0D4E3A10-6F1E-4C0B-9A52-7A1F0D1C0009"),
        ] {
            // Capital letters are no matter for the loader, and in a configuration no schema is asked.
            if wrong.is_some_and(|id| id.starts_with("0D")) && (object.starts_with(own) || key == "base_id") {
                continue;
            }
            let mut file = whole.clone();
            let members = file.pointer_mut(object).unwrap().as_object_mut().unwrap();
            match wrong {
                Some(id) => members.insert(key.to_owned(), id.into()),
                None => members.shift_remove(key),
            };
            let text = format!("{file:#}");
            let e = Udcf::parse(&text, "f").unwrap_err();
            if wrong.is_none() {
                assert!(
                    e.problem().starts_with(&format!("{key:?} is missing in {{")),
                    "{object}: {e}"
                );
                let mut place = e
                    .at()
                    .strip_prefix("f:")
                    .unwrap()
                    .split(':')
                    .map(|n| n.parse::<usize>().unwrap());
                let (line, column) = (place.next().unwrap(), place.next().unwrap());
                let there = &text.lines().nth(line - 1).unwrap()[column - 1..];
                assert!(there.starts_with(begins), "{object}: {e}: {there}");
            }
            // What the hint says is done.
            let hint = e.hint().unwrap_or_default();
            let id = hint
                .split(&format!("write {key:?}: \""))
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let id = id.unwrap_or_else(|| panic!("{object}: {key}: {e}: {hint}"));
            let fresh = key == "id" && !wrong.is_some_and(|id| id.starts_with("0D"));
            assert!(!fresh || !text.contains(id), "{object}: {hint}");
            file.pointer_mut(object).unwrap()[key] = id.into();
            match Udcf::parse(&file.to_string(), "f") {
                Ok(udcf) => {
                    // A configuration with another id is another one for its devices.
                    let of_devices = !object.starts_with(own);
                    assert!(
                        !of_devices || udcf.warnings().is_empty(),
                        "{object}: {:?}",
                        udcf.warnings()
                    );
                }
                Err(e) => panic!("{object}: {hint}: {e}"),
            }
        }
    }
}

#[test]
fn a_device_that_nothing_is_known_of_is_told_what_it_lacks() {
    let mut file = with_every_id();
    let device = &mut file["user_configs"]["devices"][1];
    device["identifier"]["protocol"] = "no-such-protocol".into();
    device["config"].as_object_mut().unwrap().shift_remove("base_id");
    let refused = Udcf::parse(&file.to_string(), "f").unwrap_err();
    let hint = refused.hint().unwrap();
    assert!(hint.contains("the \"id\" of the configuration"), "{hint}");
}

/// `udcf migrate` leaves a file of version 5 as it is, and is not advised for one.
#[test]
fn a_device_that_is_passed_over_is_told_with_the_ids_that_it_should_have() {
    let mut file = with_every_id();
    file["user_configs"]["devices"][0]["config"]["base_id"] = "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0099".into();
    file["user_configs"]["devices"][1]["identifier"]["protocol"] = "no-such-protocol".into();
    file["user_configs"]["devices"][1]["config"]["base_id"] = "0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0098".into();
    let warnings = Udcf::parse(&file.to_string(), "f").unwrap().warnings().join("\n");
    for part in [
        "the device \"own\" (lovense)",
        "builds on the id \"0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0001\"",
        "[\"0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0002\",\"0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c0003\"]",
        "the device \"known\" (no-such-protocol): the server has no definition to base it on",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    assert!(!warnings.contains("udcf migrate"), "{warnings}");
}

#[test]
fn an_entry_that_is_no_device_is_not_called_one_without_an_address() {
    let file = json!({"version": {"major": 2, "minor": 6}, "user-configs": {
        "devices": [["not", "an object"], {"identifier": {"address": "a"}}]}});
    let warnings = Udcf::parse(&file.to_string(), "f").unwrap().warnings().join("\n");
    assert!(
        warnings.contains("\"devices\" is not an object: left out: [\"not\",\"an object\"]"),
        "{warnings}"
    );
    assert!(
        warnings.contains("no address or no protocol: left out: {\"identifier\""),
        "{warnings}"
    );
}

#[test]
fn broken_files_are_told_where_and_what_to_do() {
    for (file, place, problem, hint) in [
        ("", "f:1:1", "is empty", "the least"),
        ("[]", "f:1:1", "not an object", "begins with"),
        (
            "{\n  \"a\": 1,\n}",
            "f:3:1",
            "trailing comma",
            "comma before the closing bracket",
        ),
        (
            "{\n  // hi\n  \"version\": 1}",
            "f:2:3",
            "not JSON",
            "no comments",
        ),
        ("{\n  \"version\": {", "f:2:14", "EOF", "not closed"),
        ("{}", "f:1:1", "no \"version\"", "add \"version\""),
        ("{\"version\": 5}", "f:1:2", "not an object", "write \"version\""),
        (
            "{\"version\": {\"major\": \"5\"}}",
            "f:1:14",
            "not a number",
            "without quotes",
        ),
        (
            "{\"version\": {\"major\": 9, \"minor\": 0}}",
            "f:1:14",
            "9 is not known",
            "newer",
        ),
        (
            "{\"version\": {\"major\": 5, \"minor\": 0},\n \"user_configs\": {\"protocols\": {\"lovense\":\n  {\"communication\": [{\"websocket\": {\"names\": [\"a\"]}}]}}}}",
            "f:3:",
            "\"names\" does not belong here",
            "for each name",
        ),
        (
            "{\"version\": {\"major\": 5, \"minor\": 0},\n \"user_confgis\": {}}",
            "f:2:2",
            "does not belong",
            "user_configs",
        ),
    ] {
        let e = Udcf::parse(file, "f").unwrap_err();
        let said = e.to_string();
        assert!(
            said.starts_with(place) && said.contains(problem),
            "{file}: {said}"
        );
        assert!(
            e.hint().is_some_and(|h| h.contains(hint)),
            "{file}: {:?}",
            e.hint()
        );
    }
}

#[test]
fn the_commands_exit_with_2_on_a_broken_file_and_say_so_in_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.json");
    std::fs::write(&path, "{").unwrap();
    let path = path.to_str().unwrap();
    for args in [
        vec!["check", path],
        vec!["migrate", path],
        vec!["add", "--protocol", "lovense", "--websocket", "a", path],
    ] {
        let output = udcf(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            text(&output.stderr).contains("broken.json:1:1"),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{");
    let output = udcf(&["check", "--json", path]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &json["ok"]), (Some(2), &json!(false)));
}

#[test]
fn add_keeps_everything_else_and_is_seen_by_every_version() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let source = entry.unwrap().path();
        let names = Udcf::load(&source).unwrap().websocket_names();
        let path = folder.path().join(source.file_name().unwrap());
        let before = std::fs::read_to_string(&source).unwrap().replace('\n', "\r\n");
        std::fs::write(&path, &before).unwrap();
        let output = udcf(&[
            "add",
            "--protocol",
            "lovense",
            "--websocket",
            "Brand \"new\"",
            path.to_str().unwrap(),
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let after = std::fs::read_to_string(&path).unwrap();
        let added = ("Brand \"new\"".to_owned(), "lovense".to_owned());
        let now = Udcf::load(&path).unwrap().websocket_names();
        assert!(
            names.iter().chain([&added]).all(|name| now.contains(name)),
            "{now:?}: {after}"
        );
        // Nothing was taken away or moved: what was there is still there in its order.
        let mut rest = after.chars();
        assert!(before.chars().all(|wanted| rest.any(|c| c == wanted)), "{after}");
        let again = udcf(&[
            "add",
            "--protocol",
            "lovense",
            "--websocket",
            "Brand \"new\"",
            path.to_str().unwrap(),
        ]);
        assert!(text(&again.stdout).contains("already in"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    }
}

#[test]
fn add_makes_a_new_file_and_refuses_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.json");
    let path = path.to_str().unwrap();
    let unknown = udcf(&["add", "--protocol", "lovence", "--websocket", "a", path]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        text(&unknown.stderr).contains("\"lovense\""),
        "{}",
        text(&unknown.stderr)
    );
    assert!(!Path::new(path).exists());
    assert!(
        udcf(&["add", "--protocol", "tcode-v03", "--websocket", "Mine", path])
            .status
            .success()
    );
    assert_valid_version_5(&std::fs::read_to_string(path).unwrap());
    let taken = udcf(&["add", "--protocol", "lovense", "--websocket", "Mine", path]);
    assert_eq!(taken.status.code(), Some(2));
    assert!(
        text(&taken.stderr).contains("tcode-v03"),
        "{}",
        text(&taken.stderr)
    );
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_and_the_mode_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
    std::fs::copy(fixture("v5-commented.json"), &real).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert!(
        udcf(&[
            "add",
            "--protocol",
            "lovense",
            "--websocket",
            "Linked",
            link.to_str().unwrap()
        ])
        .status
        .success()
    );
    assert!(link.is_symlink());
    assert!(std::fs::read_to_string(&real).unwrap().contains("Linked"));
    assert_eq!(
        std::fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

/// Not to be looked into is not the same as not there: the link may lead to a file in somebody else's folder.
#[cfg(unix)]
#[test]
fn a_link_that_cannot_be_followed_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink("link.json", &link).unwrap();
    let (source, path) = (fixture("v5-commented.json"), link.to_str().unwrap());
    for args in [
        &["add", "--protocol", "lovense", "--websocket", "a", path][..],
        &["migrate", source.to_str().unwrap(), "-o", path],
    ] {
        let output = udcf(args);
        assert!(!output.status.success(), "{args:?}: {output:?}");
        assert!(
            text(&output.stderr).contains("symbolic link"),
            "{args:?}: {output:?}"
        );
        assert!(link.is_symlink(), "{args:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{args:?}");
    }
}

#[test]
fn migrate_writes_the_same_to_stdout_and_to_a_file_and_keeps_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    std::fs::write(&out, "precious").unwrap();
    let source = fixture("v2-all-kinds.json");
    let printed = udcf(&["migrate", source.to_str().unwrap()]);
    assert!(text(&printed.stderr).contains("was read as version 5"));
    assert!(
        udcf(&["migrate", source.to_str().unwrap(), "-o", out.to_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(std::fs::read(&out).unwrap(), printed.stdout);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("out.json.bak")).unwrap(),
        "precious"
    );
    assert_valid_version_5(&text(&printed.stdout));
}

#[test]
fn protocols_are_listed_for_people_and_for_scripts() {
    let list: Value = serde_json::from_slice(&udcf(&["protocols", "--json"]).stdout).unwrap();
    let lovense = list
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["name"] == "lovense")
        .unwrap();
    assert!(lovense["outputs"].as_array().unwrap().contains(&json!("Vibrate")));
    assert!(text(&udcf(&["protocols"]).stdout).contains("tcode-v03"));
}

#[tokio::test]
async fn deny_and_allow_lists_are_told_with_4002() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |address: &str, list: &str| {
        let mut flags = json!({"allow": false, "deny": false, "index": 1});
        flags[list] = true.into();
        json!({"version": {"major": 3, "minor": 0}, "user-configs": {
            "protocols": {"lovense": {"communication": [{"websocket": {"name": "LVSDevice"}}]}},
            "devices": [{"identifier": {"address": address, "protocol": "lovense", "identifier": "Z"}, "config": {"user-config": flags}}]}})
    };
    for (list, refused, word) in [("deny", "listed", "denied"), ("allow", "other", "allow list")] {
        let path = folder.path().join(format!("{list}.json"));
        std::fs::write(&path, entry("listed", list).to_string()).unwrap();
        let mut settings = settings();
        settings.udcf = Some(path);
        let gateway = Running::start(settings).await;
        let (code, reason) = RawDevice::hello(&gateway.devices(), "LVSDevice", refused)
            .await
            .closed()
            .await;
        assert_eq!(code, 4002);
        assert!(reason.contains(word), "{reason}");
        let welcome = if refused == "listed" { "other" } else { "listed" };
        RawDevice::hello(&gateway.devices(), "LVSDevice", welcome)
            .await
            .expect("DeviceType;")
            .await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn indexes_of_the_udcf_and_of_the_state_file_are_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("udcf.json");
    let file = json!({"version": {"major": 2, "minor": 6}, "user-configs": {
        "specifiers": {"lovense": {"websocket": {"names": ["LVSDevice"]}}},
        "devices": [{"identifier": {"address": "named", "protocol": "lovense", "identifier": "Z"},
                     "config": {"index": 41, "display-name": "The one"}}]}});
    std::fs::write(&path, file.to_string()).unwrap();
    let mut mute_index = None;
    for round in 0..2 {
        let mut settings = settings();
        settings.udcf = Some(path.clone());
        settings.state_file = Some(folder.path().join("state/state.json"));
        let gateway = Running::start(settings).await;
        let client = client(&gateway.clients(), "lister").await;
        // The second time in another order.
        let connect = async |address: &str, answers: bool| {
            let before = client.devices().len();
            let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", address).await;
            if answers {
                device.expect("DeviceType;").await;
                device.binary(b"Z:11:0;").await;
            }
            // A mute one is read all the same, or its pings go unanswered.
            let reading = tokio::spawn(async move {
                while let Some(Ok(_)) = futures::StreamExt::next(&mut device.ws).await {}
            });
            wait_until("it is listed", || client.devices().len() > before).await;
            drop(reading);
        };
        if round == 1 {
            connect("named", true).await;
        }
        connect("mute", false).await;
        if round == 0 {
            connect("named", true).await;
        }
        let indexes: Vec<u32> = client.devices().keys().copied().collect();
        assert!(indexes.contains(&41), "{indexes:?}");
        assert_eq!(client.devices()[&41].display_name().as_deref(), Some("The one"));
        let mute = *indexes.iter().find(|i| **i != 41).unwrap();
        assert_eq!(*mute_index.get_or_insert(mute), mute);
        gateway.stop().await;
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        file.to_string(),
        "the user's file is never written"
    );
}

/// JSON made of the words of the formats: the likeliest to lead into a corner.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "version",
        "major",
        "minor",
        "user-configs",
        "user_configs",
        "specifiers",
        "selectors",
        "protocols",
        "lovense",
        "tcode-v03",
        "communication",
        "websocket",
        "names",
        "name",
        "serial",
        "btle",
        "usb",
        "hid",
        "pairs",
        "devices",
        "configurations",
        "identifier",
        "address",
        "protocol",
        "config",
        "user-config",
        "index",
        "features",
        "feature-type",
        "actuator",
        "step-range",
        "step-limit",
        "messages",
        "output",
        "value",
        "vibrate",
        "$comment",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..1_100).prop_map(Value::from),
        word.clone().prop_map(Value::from),
        prop::sample::select(vec!["Vibrate", "Position", "LinearCmd", "RotateCmd", "Z"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|members| Value::Object(
                members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

/// Numbers as people write them, and those at which arithmetic ends.
fn any_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0i64..=1_000).prop_map(Value::from),
        2 => (-1_000i64..0).prop_map(Value::from),
        2 => prop::sample::select(vec![
            i64::MIN, i64::from(i32::MIN) - 1, i64::from(i32::MIN), i64::from(i32::MIN) + 1, -1, 0, 1, 99, 100, 999, 1_000,
            i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::from(u32::MAX), i64::from(u32::MAX) + 1, i64::MAX,
        ])
        .prop_map(Value::from),
        1 => prop::sample::select(vec![json!(u64::MAX), json!(0.5), json!(-1e300), json!("1"), Value::Null]),
    ]
}

fn any_range() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (any_number(), any_number()).prop_map(|(low, high)| json!([low, high])),
        1 => prop::collection::vec(any_number(), 0..4).prop_map(Value::from),
        1 => any_number(),
    ]
}

/// What a file has of numbers and of words that lead to another kind of output.
#[derive(Clone, Debug)]
struct Numbers {
    ranges: Vec<Value>,
    index: Value,
    gap: Value,
    output: &'static str,
    kind: &'static str,
    message: &'static str,
    protocol: &'static str,
}

fn any_numbers() -> impl Strategy<Value = Numbers> {
    (
        prop::collection::vec(any_range(), 6),
        any_number(),
        any_number(),
        prop::sample::select(vec!["vibrate", "rotate", "position", "hw_position_with_duration"]),
        prop::sample::select(vec!["Vibrate", "Rotate", "Position", "Battery"]),
        prop::sample::select(vec!["ScalarCmd", "VibrateCmd", "RotateCmd", "LinearCmd"]),
        prop::sample::select(vec!["lovense", "tcode-v03"]),
    )
        .prop_map(|(ranges, index, gap, output, kind, message, protocol)| Numbers {
            ranges,
            index,
            gap,
            output,
            kind,
            message,
            protocol,
        })
}

impl Numbers {
    /// A file of this version with all of them where the version has them: a configuration of the user's own, a device
    /// on it, and a device on one of the server's.
    fn file(&self, major: u64) -> Value {
        let Self {
            ranges: r,
            index,
            gap,
            output,
            kind,
            message,
            protocol,
        } = self;
        let id = |n: u8| format!("0d4e3a10-6f1e-4c0b-9a52-7a1f0d1c00{n:02x}");
        let new_output = |range: &Value| json!({*output: {"value": range, "duration": r[4]}});
        let old_feature = |range: &Value, limit: &Value| {
            json!({"feature-type": kind, "description": "", "actuator": {"step-range": range, "step-limit": limit,
                "messages": [message]}, "sensor": {"value-range": [range], "messages": ["SensorReadCmd"]}})
        };
        let identifier = |model: &str| json!({"address": model, "protocol": protocol, "identifier": model});
        let mut file = match major {
            2 => json!({"user-configs": {
                "specifiers": {*protocol: {"websocket": {"names": ["Own"]}}},
                "configurations": {*protocol: [{"identifier": ["Own"], "name": "o",
                    "messages": {*message: [{"StepRange": r[0], "ActuatorType": kind}]}}]},
                "devices": [
                    {"identifier": identifier("Own"), "config": {"index": index, "messages": {*message: [{"StepRange": r[1]}]}}},
                    {"identifier": identifier("Z"), "config": {"index": 1, "messages": {*message: [{"StepRange": r[2]}]}}}]}}),
            3 => json!({"user-configs": {
                "protocols": {*protocol: {"communication": [{"websocket": {"name": "Own"}}], "configurations": [
                    {"identifier": ["Own"], "name": "o", "features": [old_feature(&r[0], &r[0])]}]}},
                "devices": [
                    {"identifier": identifier("Own"), "config": {"features": [old_feature(&r[0], &r[1])],
                        "user-config": {"index": index, "message-gap-ms": gap}}},
                    {"identifier": identifier("Z"), "config": {"features": [old_feature(&r[2], &r[3])],
                        "user-config": {"index": 1}}}]}}),
            4 => json!({"user_configs": {
                "protocols": {*protocol: {"communication": [{"websocket": {"name": "Own"}}], "configurations": [
                    {"identifier": ["Own"], "name": "o", "features": [{"output": new_output(&r[0])}]}]}},
                "devices": [
                    {"identifier": identifier("Own"), "config": {"features": [{"output": new_output(&r[1])}],
                        "user_config": {"index": index, "message_gap_ms": gap}}},
                    {"identifier": identifier("Z"), "config": {"features": [{"output": new_output(&r[2])}],
                        "user_config": {"index": 1}}}]}}),
            _ => json!({"user_configs": {
                "protocols": {*protocol: {"communication": [{"websocket": {"name": "Own"}}], "configurations": [
                    {"identifier": ["Own"], "name": "o", "id": id(1), "features": [
                        {"index": 0, "id": id(2), "output": new_output(&r[0])}]}]}},
                "devices": [{"identifier": identifier("Own"), "config": {"id": id(3), "base_id": id(1),
                    "features": [{"id": id(4), "base_id": id(2), "output": {*output: {"value": r[1]}}}],
                    "user_config": {"index": index, "message_gap_ms": gap}}}]}}),
        };
        file["version"] = json!({"major": major, "minor": 0});
        file
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_a_file_holds_is_a_panic(text in ".{0,200}") {
        let _ = Udcf::parse(&text, "f");
    }

    #[test]
    fn what_is_migrated_is_valid_whatever_it_was(
        major in 2u64..5, user in any_json(), protocols in any_json(), devices in any_json(), key in "user[-_]configs"
    ) {
        let mut user = user;
        if let Some(user) = user.as_object_mut() {
            user.insert("protocols".to_owned(), protocols);
            user.insert("devices".to_owned(), devices);
        }
        let file = json!({"version": {"major": major, "minor": 0}, key: user});
        if let Ok(udcf) = Udcf::parse(&file.to_string(), "f") {
            let schema: Value = serde_json::from_str(include_str!("../src/udcf/schema-v5.json")).unwrap();
            let value: Value = serde_json::from_str(&udcf.to_json()).unwrap();
            prop_assert!(jsonschema::is_valid(&schema, &value), "{}", udcf.to_json());
        }
    }

    /// Neither reading such a file nor reporting on it panics; each version makes something of it, or says why not.
    #[test]
    fn no_number_in_a_file_of_any_version_is_a_panic(major in 2u64..=5, numbers in any_numbers()) {
        let file = numbers.file(major);
        match Udcf::parse(&file.to_string(), "f") {
            Ok(udcf) => {
                let schema: Value = serde_json::from_str(include_str!("../src/udcf/schema-v5.json")).unwrap();
                let value: Value = serde_json::from_str(&udcf.to_json()).unwrap();
                prop_assert!(jsonschema::is_valid(&schema, &value), "{}", udcf.to_json());
                let said = report(&udcf).unwrap().to_text("f");
                prop_assert!(said.contains("Own") || major == 2, "{}", said);
            }
            Err(e) => {
                prop_assert_eq!(major, 5, "{}", e);
                prop_assert!(e.to_string().starts_with("f:"), "{}", e);
            }
        }
    }
}
