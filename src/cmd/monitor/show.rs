//! What a person, or a script, sees of a device that is watched.

use std::fmt::Write;
use std::time::SystemTime;

use crate::session::tap::Direction;
use crate::text::{clock, is_text, printable, safe_json, unhex};
use crate::web::api::frames::Line;
use crate::web::view::seconds;

/// The text's column, where bytes follow.
const TEXT_WIDTH: usize = 32;

/// How it is shown.
pub(super) struct Show {
    pub json: bool,
    pub hex: bool,
    /// Whether a device that goes is waited for.
    pub wait: bool,
}

impl Show {
    /// One line, in which nothing moves a cursor.
    pub(super) fn line(&self, line: &Line) -> String {
        if self.json {
            return safe_json(line);
        }
        let (at, what) = match line {
            Line::Frame {
                at, direction, hex, ..
            } => (*at, self.frame(*direction, hex)),
            Line::Missed { missed } => (
                seconds(SystemTime::now()),
                format!("-- {missed} frames went by too fast to be shown"),
            ),
            Line::Watching { watching } => {
                let show = |text: &str| printable(text.as_bytes());
                let (address, identifier) = (show(&watching.address), show(&watching.identifier));
                let peer = show(&watching.peer);
                (
                    seconds(SystemTime::now()),
                    format!("-- watching {address} ({identifier}), {peer}"),
                )
            }
            Line::Gone { gone } => {
                let why = gone
                    .as_deref()
                    .unwrap_or("for a reason that the gateway's log may tell");
                let wait = if self.wait {
                    "; waiting for it to come back"
                } else {
                    ""
                };
                let why = printable(why.as_bytes());
                (seconds(SystemTime::now()), format!("-- gone: {why}{wait}"))
            }
        };
        format!("{} {what}", clock(at))
    }

    fn frame(&self, direction: Direction, hex: &str) -> String {
        let arrow = match direction {
            Direction::ToDevice => "->",
            Direction::FromDevice => "<-",
        };
        let bytes = unhex(hex).unwrap_or_default();
        let text = printable(&bytes);
        if is_text(&bytes) && !self.hex {
            return format!("{arrow} {text}");
        }
        let mut out = format!("{arrow} {text:<TEXT_WIDTH$} ");
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(out, " {byte:02x}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> Line {
        Line::Frame {
            at: 1_732_420_000.007,
            direction: Direction::FromDevice,
            hex: crate::text::hex(bytes),
            text: String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    fn shown(hex: bool, line: &Line) -> String {
        let show = Show {
            json: false,
            hex,
            wait: true,
        };
        show.line(line)
    }

    #[test]
    fn text_is_shown_as_text_and_bytes_as_bytes() {
        assert_eq!(shown(false, &frame(b"OK;\n")), "03:46:40.007 <- OK;\\n");
        assert_eq!(
            shown(true, &frame(b"OK;")),
            "03:46:40.007 <- OK;                               4f 4b 3b"
        );
        assert_eq!(
            shown(false, &frame(b"\x1b[2J\xff")),
            "03:46:40.007 <- \\u{1b}[2J\\xff                     1b 5b 32 4a ff"
        );
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        let nasty = "\u{1b}]0;x\u{7}\r\n\u{9b}\u{202e}\u{7f}";
        let gone = Line::Gone {
            gone: Some(nasty.to_owned()),
        };
        for line in [frame(nasty.as_bytes()), gone] {
            let show = Show {
                json: true,
                hex: false,
                wait: false,
            };
            let json = show.line(&line);
            for text in [&json, &shown(true, &line)] {
                assert!(
                    !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
                    "{text:?}"
                );
            }
            assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
        }
    }
}
