//! Filters a Lovense device's answers for the server inside.
//!
//! The server takes any first frame after `DeviceType;` for the answer, and reads a battery level from all but the last
//! character. Sketches print lines, leave out the semicolon, and answer `OK;` to commands that the server did not send,
//! such as the gateway's stop; and on Wi-Fi with modem sleep, all of that arrives late.

use bytes::Bytes;

use super::super::{AnswerFilter, Received};
use crate::device::frame::Frame;

/// How often the server asks for the type, half a second apart, before it gives up.
const TYPE_ASKED: u32 = 6;
/// How much of an answer is quoted.
const QUOTE_MAX_CHARS: usize = 60;

/// The state of one device's answers.
#[derive(Debug, Default)]
pub(super) struct LovenseAnswers {
    /// The type was answered, or the server has given up.
    is_identified: bool,
    type_asked: u32,
    /// The last frame that arrived instead of the type.
    no_type: Option<String>,
    battery_due: bool,
    battery_reported: bool,
}

impl AnswerFilter for LovenseAnswers {
    fn asked(&mut self, frame: &Frame) -> Option<String> {
        match &frame.0[..] {
            b"DeviceType;" if !self.is_identified => {
                self.type_asked += 1;
                let answer = self.no_type.take_if(|_| self.type_asked == TYPE_ASKED)?;
                return Some(format!(
                    "the device's answer to DeviceType; is not understood: {answer}; expected its model, firmware number \
                     and address, such as Z:11:AABBCCDDEEFF; the device is listed as a Lovense of unknown model, with \
                     one motor"
                ));
            }
            b"DeviceType;" => {}
            other => {
                // The server sends nothing else before it knows the type or gives up.
                self.is_identified |= self.type_asked > 0;
                self.battery_due |= other == b"Battery;";
            }
        }
        None
    }

    fn received(&mut self, frame: Frame) -> Received {
        let mut received = Received::default();
        let Ok(text) = std::str::from_utf8(&frame.0) else {
            // Not a late answer: a Lovense sends text. The server refuses the device and gives the reason.
            if self.is_identified || self.type_asked > 0 {
                received.answers.push(frame);
            }
            return received;
        };
        for body in text.split(';').map(|body| body.trim_matches(is_padding)) {
            if body.is_empty() || !self.is_for_server(body) {
                continue;
            }
            received.fault = received.fault.or(self.fault(body));
            let is_whole_frame = frame.0.len() == body.len() + 1 && frame.0.ends_with(b";");
            received.answers.push(if is_whole_frame {
                frame.clone()
            } else {
                Frame(Bytes::from(format!("{body};")))
            });
        }
        received
    }

    fn wait_longer(&self, asked: &Frame) -> Option<Frame> {
        let is_awaited = self.battery_due && asked.0 == b"Battery;"[..];
        is_awaited.then(|| Frame::from(&b"OK;"[..]))
    }
}

impl LovenseAnswers {
    /// Whether to pass an answer to the server: until it knows the type, only the type.
    fn is_for_server(&mut self, body: &str) -> bool {
        if !self.is_identified {
            self.is_identified = is_type(body);
            if !self.is_identified {
                self.no_type = Some(quoted(body));
            }
        }
        self.is_identified
    }

    /// What is wrong with the answer to a battery query. Reported once.
    fn fault(&mut self, body: &str) -> Option<String> {
        if !self.battery_due || is_type(body) || is_acknowledgement(body) {
            return None;
        }
        if is_battery(body) {
            self.battery_due = false;
            return None;
        }
        if std::mem::replace(&mut self.battery_reported, true) {
            return None;
        }
        Some(format!(
            "the device's answer to Battery; is not understood: {}; expected a whole number from 0 to 100, such as 90;",
            quoted(body)
        ))
    }
}

/// What `Serial.println` and C strings add.
fn is_padding(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\0'
}

/// `Z:11:AABBCCDDEEFF`: model, firmware, address. The server does not need the address, and sketches leave it out; the
/// example in the protocol's documentation has firmware and address swapped.
fn is_type(body: &str) -> bool {
    let mut parts = body.split(':');
    let model = parts.next().unwrap_or_default();
    let is_model = (1..=8).contains(&model.len())
        && model.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !is_acknowledgement(model);
    is_model
        && parts
            .take(2)
            .any(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn is_acknowledgement(body: &str) -> bool {
    ["OK", "ERR", "ERROR"]
        .iter()
        .any(|word| body.eq_ignore_ascii_case(word))
}

/// `90`, or `s90` while it charges.
fn is_battery(body: &str) -> bool {
    let number = body.strip_prefix('s').unwrap_or(body);
    number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u8>().is_ok_and(|level| level <= 100)
}

fn quoted(body: &str) -> String {
    let start: String = body.chars().take(QUOTE_MAX_CHARS).collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(text: &str) -> Frame {
        Frame(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn received(answers: &mut LovenseAnswers, text: &str) -> Vec<String> {
        let received = answers.received(frame(text)).answers.into_iter();
        received
            .map(|f| String::from_utf8(f.0.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn until_the_type_is_answered_nothing_else_is_passed_on() {
        let mut answers = LovenseAnswers::default();
        assert!(received(&mut answers, "OK;").is_empty(), "before the question");
        let binary = || Frame(Bytes::from_static(b"\xff;"));
        assert!(answers.received(binary()).answers.is_empty());
        assert_eq!(answers.asked(&frame("DeviceType;")), None);
        for late in [
            "OK;", "\r\n", "OK;OK;", "ERR;", "90;", "hello", "OK:1;", ":11:x;", "Z;", "Z:x:y;",
        ] {
            assert!(received(&mut answers, late).is_empty(), "{late}");
        }
        assert_eq!(
            received(&mut answers, "OK;EI-FW3:3:ADDRESS;OK;"),
            ["EI-FW3:3:ADDRESS;", "OK;"]
        );
        assert_eq!(received(&mut answers, "OK;"), ["OK;"]);
        assert_eq!(answers.received(binary()).answers, [binary()]);
    }

    #[test]
    fn what_a_sketch_prints_is_cut_to_its_content_and_completed() {
        for (sent, wanted) in [
            ("Z:11:AABBCCDDEEFF;", &["Z:11:AABBCCDDEEFF;"][..]),
            ("Z:11:AABBCCDDEEFF;\r\n", &["Z:11:AABBCCDDEEFF;"]),
            ("\r\nZ:11:AABBCCDDEEFF;", &["Z:11:AABBCCDDEEFF;"]),
            ("Z:11:AABBCCDDEEFF", &["Z:11:AABBCCDDEEFF;"]),
            ("Z:11;\0", &["Z:11;"]),
            ("Z:8A3D9FAC2A45:10", &["Z:8A3D9FAC2A45:10;"]),
        ] {
            let mut answers = LovenseAnswers::default();
            assert_eq!(received(&mut answers, sent), wanted, "{sent:?}");
            for (sent, wanted) in [
                ("100", &["100;"][..]),
                ("100\r\n", &["100;"]),
                ("90 ;\r\n", &["90;"]),
                ("s90;", &["s90;"]),
                ("\r\n", &[]),
                (";", &[]),
                ("OK;\n90;\n", &["OK;", "90;"]),
            ] {
                assert_eq!(received(&mut answers, sent), wanted, "{sent:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_not_understood_is_reported_once() {
        let mut answers = LovenseAnswers::default();
        let mut faults = Vec::new();
        for _ in 0..2 * TYPE_ASKED {
            faults.extend(answers.asked(&frame("DeviceType;")));
            assert_eq!(answers.received(frame("Hush\n")), Received::default());
        }
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("\"Hush\"") && faults[0].contains("Z:11:"),
            "{faults:?}"
        );
        // The server goes on without the type.
        assert_eq!(answers.asked(&frame("Battery;")), None);
        let faults: Vec<_> = ["OK;", "90%;", "4095;", "90;", "level 3;"]
            .into_iter()
            .filter_map(|sent| answers.received(frame(sent)).fault)
            .collect();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("\"90%\"") && faults[0].contains("0 to 100"),
            "{faults:?}"
        );
    }

    #[test]
    fn a_late_answer_is_no_fault() {
        let mut answers = LovenseAnswers::default();
        for sent in ["OK;", "OK;", "Z:11:AABBCCDDEEFF;"] {
            assert_eq!(answers.asked(&frame("DeviceType;")), None);
            assert_eq!(answers.received(frame(sent)).fault, None);
        }
        answers.asked(&frame("Battery;"));
        for sent in ["Z:11:AABBCCDDEEFF;", "OK;", "88;", "anything;"] {
            assert_eq!(answers.received(frame(sent)).fault, None, "{sent}");
        }
    }

    proptest! {
        /// However a device breaks its answers into frames of whole answers, and whatever it prints between them.
        #[test]
        fn the_first_answer_that_passes_is_the_type(
            noise in proptest::collection::vec("OK;|ERR;|[0-9]{1,3};|\r\n|[a-z ]{0,12};|\0", 0..8),
            joined: bool,
            padding in "[\r\n ]{0,3}",
        ) {
            let mut answers = LovenseAnswers::default();
            answers.asked(&frame("DeviceType;"));
            let kind = format!("{padding}P:37:AABBCCDDEEFF;{padding}");
            let mut sent = noise;
            sent.push(kind);
            let sent = if joined { vec![sent.concat()] } else { sent };
            let passed: Vec<String> = sent.iter().flat_map(|text| received(&mut answers, text)).collect();
            prop_assert_eq!(passed, ["P:37:AABBCCDDEEFF;"]);
        }

        #[test]
        fn what_is_passed_on_is_one_answer_with_its_semicolon(sent in proptest::collection::vec("\\PC{0,20}", 0..8)) {
            let mut answers = LovenseAnswers { is_identified: true, ..LovenseAnswers::default() };
            for text in sent {
                for answer in received(&mut answers, &text) {
                    prop_assert!(answer.len() > 1 && answer.ends_with(';') && answer.matches(';').count() == 1);
                }
            }
        }
    }
}
