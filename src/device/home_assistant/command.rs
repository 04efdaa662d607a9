//! What Home Assistant, or anybody, sends to set an output.

use super::HomeAssistant;
use super::output::{Key, Output};
use crate::device::fleet::names::{DeviceId, Name};
use crate::text::{cut, printable, shell_word};

/// The longest number that is read, in bytes.
const NUMBER_MAX_BYTES: usize = 16;
/// How much of a bad number is shown, in characters.
const SHOWN_MAX: usize = 40;

/// Which output is to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The edge that has the device.
    pub edge: Name,
    /// The device.
    pub device: DeviceId,
    /// The output.
    pub key: Key,
}

/// Why an output is not set.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadCommand {
    /// It may be of any age.
    #[error(
        "a retained command is ignored, since it would be repeated at every start. To delete it: \
         mosquitto_pub -r -n -t {}",
        shell_word(topic)
    )]
    Retained {
        /// Where it is retained.
        topic: String,
    },
    /// It is not a decimal number.
    #[error("{0:?} is not a number such as 50")]
    NotANumber(String),
    /// It is out of range.
    #[error("{value} is not within {min} and {max}")]
    OutOfRange {
        /// The number.
        value: f64,
        /// The least.
        min: i32,
        /// The greatest.
        max: i32,
    },
}

impl HomeAssistant {
    /// The subscription to all commands for outputs.
    pub fn commands(&self) -> String {
        format!("{}/+/dev/+/ha/+/set", self.prefix)
    }

    /// Which output a topic sets; `None` if it is no topic of that kind.
    pub fn target(&self, topic: &str) -> Option<Target> {
        let rest = topic.strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
        let (edge, rest) = rest.split_once("/dev/")?;
        let (device, rest) = rest.split_once("/ha/")?;
        Some(Target {
            edge: Name::new(edge).ok()?,
            device: DeviceId::try_from(device.to_owned()).ok()?,
            key: Key::read(rest.strip_suffix("/set")?)?,
        })
    }
}

/// Reads the number that an output is to be set to, in whole per cent.
///
/// # Errors
/// [`BadCommand`]: nothing is to be set then.
pub fn read(output: &Output, topic: &str, payload: &[u8], retained: bool) -> Result<i32, BadCommand> {
    if retained {
        return Err(BadCommand::Retained {
            topic: topic.to_owned(),
        });
    }
    let not_a_number = || {
        let start = &payload[..payload.len().min(4 * SHOWN_MAX)];
        BadCommand::NotANumber(cut(printable(start), SHOWN_MAX))
    };
    let value = number(payload).ok_or_else(not_a_number)?;
    let (min, max) = output.range();
    if value < f64::from(min) || value > f64::from(max) {
        return Err(BadCommand::OutOfRange { value, min, max });
    }
    // Within -100 and 100.
    #[allow(clippy::cast_possible_truncation)]
    Ok(value.round() as i32)
}

/// A decimal number: digits, perhaps with a sign, a point and spaces around it; no exponent, infinity or NaN.
fn number(payload: &[u8]) -> Option<f64> {
    if payload.len() > NUMBER_MAX_BYTES {
        return None;
    }
    let text = std::str::from_utf8(payload).ok()?.trim_ascii();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let begins = digits.starts_with(|c: char| c.is_ascii_digit());
    (plain && begins).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::output::Kind;
    use super::super::tests::home;
    use super::*;

    const TOPIC: &str = "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/vibrate0/set";

    fn output(kind: Kind, steps: (i32, i32)) -> Output {
        Output {
            key: Key { kind, feature: 0 },
            description: String::new(),
            steps,
        }
    }

    #[test]
    fn the_topic_names_the_output() {
        let target = home().target(TOPIC).expect("a target");
        assert_eq!(target.edge.as_str(), "bedroom");
        assert_eq!(target.device.as_str(), "5495ce947eaeec10");
        assert_eq!(target.key.to_string(), "vibrate0");
        for other in [
            "",
            "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/state",
            "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/vibrate0",
            "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/vibrate0/set/set",
            "wsdm/1/bedroom/dev/5495ce947eaeec10/ha/stop/set",
            "wsdm/1/bed/room/dev/5495ce947eaeec10/ha/vibrate0/set",
            "wsdm/1/+/dev/+/ha/+/set",
            "wsdm/2/bedroom/dev/5495ce947eaeec10/ha/vibrate0/set",
        ] {
            assert_eq!(home().target(other), None, "{other}");
        }
    }

    #[test]
    fn a_number_within_the_range_is_taken() {
        let vibrate = output(Kind::Vibrate, (0, 20));
        for (text, percent) in [
            ("0", 0),
            ("37", 37),
            ("37.0", 37),
            ("99.5", 100),
            (" 5\r\n", 5),
            ("+5", 5),
            ("-0", 0),
            ("100", 100),
        ] {
            assert_eq!(
                read(&vibrate, TOPIC, text.as_bytes(), false),
                Ok(percent),
                "{text}"
            );
        }
        let rotate = output(Kind::Rotate, (-20, 20));
        assert_eq!(read(&rotate, TOPIC, b"-100", false), Ok(-100));
        let position = output(Kind::Position, (0, 999));
        assert_eq!(read(&position, TOPIC, b"50", false), Ok(50));
    }

    #[test]
    fn anything_else_is_refused_with_what_was_wrong() {
        let vibrate = output(Kind::Vibrate, (0, 20));
        for bad in [
            &b""[..],
            b" ",
            b"-",
            b".",
            b".5",
            b"1.2.3",
            b"nan",
            b"inf",
            b"1e2",
            b"0x10",
            b"ON",
            b"5 5",
            b"5%",
            b"\xff",
            b"\0",
            "\u{0665}".as_bytes(),
            &[b'1'; 100_000],
        ] {
            let error = read(&vibrate, TOPIC, bad, false).expect_err("no number");
            assert!(matches!(error, BadCommand::NotANumber(_)), "{error}");
            assert!(error.to_string().len() < 200);
        }
        for bad in ["-1", "-100", "100.1", "101", "9999999999999999"] {
            let error = read(&vibrate, TOPIC, bad.as_bytes(), false).expect_err("out of range");
            assert!(error.to_string().ends_with("is not within 0 and 100"), "{error}");
        }
    }

    #[test]
    fn a_retained_command_is_refused_and_the_way_to_delete_it_is_named() {
        let error = read(&output(Kind::Vibrate, (0, 20)), TOPIC, b"50", true).expect_err("retained");
        assert!(
            error
                .to_string()
                .ends_with(&format!("mosquitto_pub -r -n -t {TOPIC}")),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn strangers_bytes_never_leave_the_range(payload in proptest::collection::vec(any::<u8>(), 0..20), min in -5_i32..=5) {
            let output = output(Kind::Rotate, (min, 20));
            if let Ok(percent) = read(&output, TOPIC, &payload, false) {
                let (least, most) = output.range();
                prop_assert!(percent >= least && percent <= most);
            }
        }

        #[test]
        fn strangers_topics_are_read_or_refused(topic in "(wsdm/1/)?[a-z/0-9+#]{0,40}(/set)?") {
            let _ = home().target(&topic);
        }
    }
}
