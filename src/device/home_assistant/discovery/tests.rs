//! Tests of discovery messages.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::output::{Key, Kind, Output};
use super::super::tests::{device, home};
use super::super::{Device, HomeAssistant};
use super::*;
use crate::device::fleet::names::Prefix;

fn output(kind: Kind, feature: u32, steps: (i32, i32)) -> Output {
    Output {
        key: Key { kind, feature },
        description: String::new(),
        steps,
    }
}

fn stroker() -> Device {
    Device {
        outputs: vec![
            output(Kind::Vibrate, 0, (0, 20)),
            output(Kind::Rotate, 1, (-20, 20)),
            Output {
                description: "tip".to_owned(),
                ..output(Kind::Vibrate, 2, (0, 20))
            },
        ],
        ..device("Stroker")
    }
}

fn parsed(message: &Message) -> Value {
    serde_json::from_str(&message.payload).expect("JSON")
}

#[test]
fn a_device_is_published_as_the_guide_shows() {
    let message = home().discovery(&stroker(), None);
    assert_eq!(
        message.topic,
        "homeassistant/device/wsdm_bedroom_5495ce947eaeec10/config"
    );
    let config = parsed(&message);
    assert_eq!(
        config["device"],
        json!({
            "identifiers": ["wsdm_bedroom_5495ce947eaeec10"], "name": "Stroker", "manufacturer": "DIY",
            "model": "LVSDevice", "serial_number": "8A3D9FAC2A45", "sw_version": "0.1.0", "via_device": "wsdm_bedroom"
        })
    );
    assert_eq!(config["origin"]["name"], "wsdm-gateway");
    assert!(
        config.get("availability").is_none(),
        "it would replace that of the components"
    );
    assert_eq!(
        config["components"]["vibrate0"],
        json!({
            "platform": "number", "name": "Vibrate 1", "unique_id": "wsdm_bedroom_5495ce947eaeec10_vibrate0", "qos": 1,
            "command_topic": "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/vibrate0/set",
            "state_topic": "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/state",
            "value_template": "{{ value_json.vibrate0 }}",
            "min": 0, "max": 100, "step": 1, "unit_of_measurement": "%", "mode": "slider", "retain": false,
            "availability_mode": "all",
            "availability": [
                {"topic": "wsdm/1/bedroom/state", "value_template": ONLINE},
                {"topic": "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/available"},
                {"topic": "wsdm/1/hub/living-room/state", "value_template": ONLINE},
            ],
        })
    );
    assert_eq!(config["components"]["rotate1"]["min"], -100);
    assert_eq!(config["components"]["rotate1"]["name"], "Rotate");
    assert_eq!(config["components"]["vibrate2"]["name"], "Vibrate 2: tip");
}

#[test]
fn stopping_needs_no_hub_and_being_away_is_no_reason_to_show_nothing() {
    let components = &parsed(&home().discovery(&stroker(), None))["components"];
    let stop = &components["stop"];
    assert_eq!(stop["command_topic"], "wsdm/1/bedroom/dev/5495ce947eaeec10/halt");
    assert!(!stop.to_string().contains("/hub/"), "{stop}");
    assert_eq!(stop["availability"].as_array().map(Vec::len), Some(2));
    for key in ["connected", "seen"] {
        assert!(components[key].get("availability").is_none(), "{key}");
    }
}

#[test]
fn what_a_device_lacks_is_not_shown_nor_are_outputs_unless_wanted() {
    let keys = |home: &HomeAssistant, device: &Device| -> Vec<String> {
        let config = parsed(&home.discovery(device, None));
        config["components"]
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    let without = Device {
        battery: false,
        ..stroker()
    };
    let quiet = HomeAssistant {
        outputs: false,
        ..home()
    };
    assert_eq!(keys(&quiet, &without), ["connected", "seen", "driver", "stop"]);
    assert_eq!(keys(&home(), &stroker()).len(), 8);
}

#[test]
fn a_feature_that_vanished_is_deleted_once() {
    let before = home().discovery(&stroker(), None).payload;
    let now = Device {
        outputs: vec![output(Kind::Vibrate, 0, (0, 20))],
        battery: false,
        ..stroker()
    };
    let vanished = home().vanished(&now, before.as_bytes());
    assert_eq!(vanished.len(), 3, "{vanished:?}");
    let deleting = home().discovery(&now, Some(before.as_bytes()));
    assert_eq!(
        parsed(&deleting)["components"]["rotate1"],
        json!({"platform": "number"})
    );
    assert_eq!(
        parsed(&deleting)["components"]["battery"],
        json!({"platform": "sensor"})
    );
    assert_eq!(
        home().discovery(&now, Some(deleting.payload.as_bytes())),
        home().discovery(&now, None)
    );
    for strange in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        br#"{"components":[]}"#,
        br#"{"components":{"a":1,"b":{"platform":"x","y":1}}}"#,
    ] {
        assert_eq!(
            home().discovery(&now, Some(strange)),
            home().discovery(&now, None)
        );
    }
}

#[test]
fn devices_of_one_name_are_told_apart_by_their_addresses() {
    let shared = Device {
        shares_name: true,
        ..stroker()
    };
    assert_eq!(
        parsed(&home().discovery(&shared, None))["device"]["name"],
        "Stroker (AC2A45)"
    );
    let unnamed = Device {
        name: " \n".to_owned(),
        ..stroker()
    };
    assert_eq!(
        parsed(&home().discovery(&unnamed, None))["device"]["name"],
        "LVSDevice"
    );
}

#[test]
fn a_device_of_which_no_text_can_be_shown_has_a_name_all_the_same() {
    let nothing = || "\0\n".to_owned();
    let device = Device {
        name: nothing(),
        identifier: nothing(),
        address: nothing(),
        shares_name: true,
        ..stroker()
    };
    let config = parsed(&home().discovery(&device, None));
    assert_eq!(config["device"]["name"], "5495ce947eaeec10 (aeec10)");
}

#[test]
fn an_edge_and_the_house_resolve_what_devices_refer_to() {
    let edge = home().edge_discovery(&stroker().edge, "0.1.0");
    assert_eq!(edge.topic, "homeassistant/device/wsdm_bedroom/config");
    let edge = parsed(&edge);
    let device = parsed(&home().discovery(&stroker(), None));
    let house = parsed(&home().house_discovery());
    assert_eq!(device["device"]["via_device"], edge["device"]["identifiers"][0]);
    assert_eq!(edge["device"]["via_device"], house["device"]["identifiers"][0]);
    assert_eq!(edge["components"]["stop"]["command_topic"], "wsdm/1/bedroom/halt");
    assert_eq!(house["components"]["stop"]["command_topic"], "wsdm/1/halt");
    assert!(edge["components"]["connected"].get("availability").is_none());
}

#[test]
fn forgetting_deletes_all_that_is_retained() {
    let device = stroker();
    let forgotten = home().forget(&device.edge, &device.id);
    assert!(forgotten.iter().all(|message| message.payload.is_empty()));
    assert!(
        forgotten
            .iter()
            .any(|message| message.topic == home().discovery(&device, None).topic)
    );
    assert!(
        forgotten
            .iter()
            .any(|message| message.topic == home().state_topic(&device.edge, &device.id))
    );
    assert!(
        forgotten
            .iter()
            .any(|message| message.topic == home().available_topic(&device.edge, &device.id))
    );
    assert_eq!(
        home().forget_edge(&device.edge).topic,
        home().edge_discovery(&device.edge, "").topic
    );
    assert_eq!(home().forget_house().topic, home().house_discovery().topic);
}

/// All texts of a message that are topics or ids or templates.
fn mechanical(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let shown = ["name", "model", "serial_number", "sw_version"].contains(&key.as_str());
                if !shown {
                    mechanical(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| mechanical(value, found)),
        Value::String(text) => found.push(text.clone()),
        _ => {}
    }
}

proptest! {
    #[test]
    fn names_of_strangers_stay_texts(name in ".{0,40}", seed in ".{1,3}", repeat in 1_usize..1_000) {
        let name = format!("{name}\"{{{{ states() }}}}\u{1f600}\0\n~{}", seed.repeat(repeat));
        let strange = Device {
            name: name.clone(),
            identifier: name.clone(),
            address: name.clone(),
            version: name.clone(),
            shares_name: true,
            outputs: vec![Output { description: name, ..output(Kind::Position, 0, (0, 99)) }],
            ..stroker()
        };
        let plain = Device { outputs: vec![output(Kind::Position, 0, (0, 99))], ..stroker() };
        let (strange, plain) = (home().discovery(&strange, None), home().discovery(&plain, None));
        prop_assert_eq!(&strange.topic, &plain.topic);
        prop_assert!(!strange.payload.contains(|c: char| c.is_control()));
        prop_assert!(strange.payload.len() < 16_000, "{}", strange.payload.len());
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        mechanical(&parsed(&strange), &mut theirs);
        mechanical(&parsed(&plain), &mut ours);
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn a_strangers_earlier_message_is_read_or_ignored(before in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = home().discovery(&stroker(), Some(&before));
    }
}

#[test]
fn the_prefix_of_the_user_is_everywhere() {
    let home = HomeAssistant {
        prefix: Prefix::new("club").expect("a prefix"),
        discovery: Prefix::new("ha").expect("a prefix"),
        ..home()
    };
    for message in [
        home.discovery(&stroker(), None),
        home.edge_discovery(&stroker().edge, ""),
        home.house_discovery(),
    ] {
        assert!(message.topic.starts_with("ha/device/wsdm-"), "{}", message.topic);
        assert!(!message.payload.contains("wsdm/1"), "{}", message.payload);
    }
}
