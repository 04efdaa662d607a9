//! The state of a device, as Home Assistant reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::output::{Key, Output};
use super::{HomeAssistant, Message};
use crate::device::fleet::names::{DeviceId, Name};
use crate::text::safe_json;

/// The longest state of a sensor that Home Assistant takes, in characters.
const STATE_MAX: usize = 255;
/// Who drives a device that nobody drives.
const NOBODY: &str = "nobody";

/// The state of a device.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Whether it is connected to an edge that is online.
    pub connected: bool,
    /// How full its battery is, in per cent, if it is known.
    pub battery: Option<u8>,
    /// When it was last connected. Home Assistant records each change: once a minute is enough.
    pub seen: Option<SystemTime>,
    /// Who drives it: an app, the page, Home Assistant; `None` if nobody does.
    pub driver: Option<String>,
    /// Its outputs that are not at nothing, in steps of the device.
    pub outputs: Vec<(Key, i32)>,
}

impl HomeAssistant {
    /// The topic of the state of a device.
    pub fn state_topic(&self, edge: &Name, device: &DeviceId) -> String {
        self.device_topic(edge, device, "ha/state")
    }

    /// The subscription to the states of all devices.
    pub fn all_states(&self) -> String {
        format!("{}/+/dev/+/ha/state", self.prefix)
    }

    /// Whose state is on this topic; `None` if it is no topic of that kind.
    pub fn state_of(&self, topic: &str) -> Option<(Name, DeviceId)> {
        let rest = topic.strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
        let (edge, rest) = rest.split_once("/dev/")?;
        let device = rest.strip_suffix("/ha/state")?;
        Some((Name::new(edge).ok()?, DeviceId::try_from(device.to_owned()).ok()?))
    }

    /// A state that is retained, made that of a device that is away; `None` if it is that already, or no state.
    pub fn away(&self, edge: &Name, device: &DeviceId, retained: &[u8]) -> Option<Message> {
        let mut fields: Map<String, Value> = serde_json::from_slice(retained).ok()?;
        if fields.get("connected") != Some(&Value::Bool(true)) {
            return None;
        }
        fields.insert("connected".to_owned(), Value::Bool(false));
        fields.insert("driver".to_owned(), json!(NOBODY));
        for (key, value) in &mut fields {
            if Key::read(key).is_some() {
                *value = json!(0);
            }
        }
        Some(Message {
            topic: self.state_topic(edge, device),
            payload: safe_json(&fields),
        })
    }

    /// The topic that says whether a device can be controlled.
    pub fn available_topic(&self, edge: &Name, device: &DeviceId) -> String {
        self.device_topic(edge, device, "ha/available")
    }

    /// The state of a device with these outputs, for QoS 0.
    pub fn state(&self, edge: &Name, device: &DeviceId, outputs: &[Output], state: &State) -> Message {
        let mut fields = Map::new();
        fields.insert("connected".to_owned(), Value::Bool(state.connected));
        // Home Assistant shows null as unknown.
        fields.insert(
            "battery".to_owned(),
            json!(state.battery.map(|level| level.min(100))),
        );
        fields.insert("seen".to_owned(), json!(state.seen.and_then(timestamp)));
        let driver = state
            .driver
            .as_deref()
            .map(|driver| super::discovery::line(driver, STATE_MAX));
        let driver = driver.filter(|driver| !driver.is_empty());
        fields.insert(
            "driver".to_owned(),
            Value::String(driver.unwrap_or_else(|| NOBODY.to_owned())),
        );
        if self.outputs {
            for output in outputs {
                let set = state.outputs.iter().find(|(key, _)| *key == output.key);
                let percent = match (state.connected, set) {
                    (true, Some((_, step))) => output.percent(*step),
                    _ => 0,
                };
                fields.insert(output.key.to_string(), json!(percent));
            }
        }
        Message {
            topic: self.state_topic(edge, device),
            payload: safe_json(&fields),
        }
    }

    /// Whether a device can be controlled, for QoS 1.
    pub fn available(&self, edge: &Name, device: &DeviceId, available: bool) -> Message {
        let payload = if available { "online" } else { "offline" };
        Message {
            topic: self.available_topic(edge, device),
            payload: payload.to_owned(),
        }
    }
}

/// A time as RFC 3339 writes it, in UTC; `None` before 1970 and after 9999.
fn timestamp(at: SystemTime) -> Option<String> {
    let seconds = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March have the leap day at their end; 719,468 days are between such a year 0 and 1970.
    let days = days.checked_add(719_468)?;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    (year <= 9_999).then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::output::Kind;
    use super::super::tests::{device, home};
    use super::*;

    fn outputs() -> Vec<Output> {
        [Kind::Vibrate, Kind::Rotate]
            .into_iter()
            .map(|kind| Output {
                key: Key { kind, feature: 0 },
                description: String::new(),
                steps: (if kind == Kind::Rotate { -20 } else { 0 }, 20),
            })
            .collect()
    }

    fn write(home: &HomeAssistant, state: &State) -> Value {
        let device = device("Stroker");
        let message = home.state(&device.edge, &device.id, &outputs(), state);
        assert_eq!(message.topic, "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/state");
        serde_json::from_str(&message.payload).expect("JSON")
    }

    #[test]
    fn the_state_has_every_field_always() {
        let state = State {
            connected: true,
            battery: Some(87),
            seen: Some(UNIX_EPOCH + Duration::from_secs(1_732_420_000)),
            driver: Some("an app \"x\"\u{1b}[2J".to_owned()),
            outputs: vec![
                (
                    Key {
                        kind: Kind::Rotate,
                        feature: 0,
                    },
                    -10,
                ),
                (
                    Key {
                        kind: Kind::Spray,
                        feature: 3,
                    },
                    1,
                ),
            ],
        };
        assert_eq!(
            write(&home(), &state),
            json!({
                "connected": true, "battery": 87, "seen": "2024-11-24T03:46:40+00:00", "driver": "an app \"x\" [2J",
                "vibrate0": 0, "rotate0": -50
            })
        );
        assert_eq!(
            write(&home(), &State::default()),
            json!({"connected": false, "battery": null, "seen": null, "driver": "nobody", "vibrate0": 0, "rotate0": 0})
        );
    }

    #[test]
    fn a_device_that_is_away_has_no_outputs_on() {
        let state = State {
            outputs: vec![(
                Key {
                    kind: Kind::Vibrate,
                    feature: 0,
                },
                20,
            )],
            ..State::default()
        };
        assert_eq!(write(&home(), &state)["vibrate0"], 0);
        assert_eq!(
            write(
                &home(),
                &State {
                    connected: true,
                    ..state
                }
            )["vibrate0"],
            100
        );
    }

    #[test]
    fn outputs_are_reported_only_if_they_are_shown() {
        let home = HomeAssistant {
            outputs: false,
            ..home()
        };
        assert_eq!(write(&home, &State::default()).get("vibrate0"), None);
    }

    #[test]
    fn the_driver_fits_into_a_state() {
        for driver in ["x".repeat(10_000), "\u{1f4a1}".repeat(10_000)] {
            let state = State {
                driver: Some(driver),
                ..State::default()
            };
            let written = write(&home(), &state);
            assert!(written["driver"].as_str().expect("a text").chars().count() <= STATE_MAX);
        }
    }

    #[test]
    fn timestamps_are_right_at_the_ends_of_months_and_years() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (951_782_399, "2000-02-28T23:59:59+00:00"),
            (951_782_400, "2000-02-29T00:00:00+00:00"),
            (951_868_800, "2000-03-01T00:00:00+00:00"),
            (1_735_689_599, "2024-12-31T23:59:59+00:00"),
            (4_107_542_400, "2100-03-01T00:00:00+00:00"),
            (253_402_300_799, "9999-12-31T23:59:59+00:00"),
        ] {
            assert_eq!(
                timestamp(UNIX_EPOCH + Duration::from_secs(seconds)).as_deref(),
                Some(text)
            );
        }
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn availability_is_what_home_assistant_expects_unless_told_otherwise() {
        let device = device("");
        let message = home().available(&device.edge, &device.id, true);
        assert_eq!(message.topic, "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/available");
        assert_eq!(message.payload, "online");
        assert_eq!(
            home().available(&device.edge, &device.id, false).payload,
            "offline"
        );
    }

    #[test]
    fn a_state_that_is_left_becomes_that_of_a_device_that_is_away() {
        let device = device("Stroker");
        let (edge, id) = (&device.edge, &device.id);
        let key = Key {
            kind: Kind::Vibrate,
            feature: 0,
        };
        let state = State {
            connected: true,
            battery: Some(87),
            driver: Some("an app".to_owned()),
            outputs: vec![(key, 20)],
            ..State::default()
        };
        let left = home().state(edge, id, &outputs(), &state);
        assert_eq!(home().state_of(&left.topic), Some((edge.clone(), id.clone())));
        assert_eq!(home().state_of(&home().available_topic(edge, id)), None);
        let away = home().away(edge, id, left.payload.as_bytes()).expect("a state");
        let state = State {
            battery: Some(87),
            ..State::default()
        };
        assert_eq!(away, home().state(edge, id, &outputs(), &state));
        assert_eq!(home().away(edge, id, away.payload.as_bytes()), None);
        for other in ["", "[]", "{}", "x"] {
            assert_eq!(home().away(edge, id, other.as_bytes()), None);
        }
    }
}
