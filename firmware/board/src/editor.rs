//! Bytes that are typed, as lines.

use heapless::Vec;

use crate::console;
use crate::settings::VALUE_MAX_BYTES;

/// `set identifier ` and the longest value.
pub const LINE_MAX_BYTES: usize = VALUE_MAX_BYTES + 32;

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
/// Control and C.
const INTERRUPT: u8 = 0x03;

/// What the terminal is shown for a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Nothing.
    Nothing,
    /// The byte itself.
    Byte(u8),
    /// That something was typed.
    Star,
    /// The last character goes.
    Rubout,
    /// The line is at its end; [`Editor::line`] has it.
    End,
    /// The line was given up.
    Cancelled,
}

/// Collects a line.
#[derive(Debug, Default)]
pub struct Editor {
    line: Vec<u8, LINE_MAX_BYTES>,
    /// The line before is at its end, and was not asked for a byte since.
    ended: bool,
    after_return: bool,
}

impl Editor {
    /// Nothing was typed.
    pub const fn new() -> Self {
        Self {
            line: Vec::new(),
            ended: false,
            after_return: false,
        }
    }

    /// Takes one byte. A line that is full takes no more of them; what does not print is not taken.
    pub fn push(&mut self, byte: u8) -> Echo {
        if core::mem::take(&mut self.ended) {
            self.line.clear();
        }
        // Terminals end a line in three ways.
        let second = core::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
        match byte {
            b'\n' if second => {
                self.ended = true;
                Echo::Nothing
            }
            b'\r' | b'\n' => {
                self.ended = true;
                Echo::End
            }
            BACKSPACE | DELETE => self.rubout(),
            INTERRUPT => {
                self.line.clear();
                Echo::Cancelled
            }
            0..0x20 => Echo::Nothing,
            byte => {
                let secret = self.is_secret();
                match self.line.push(byte) {
                    Err(_) => Echo::Nothing,
                    // One star a character, not a byte.
                    Ok(()) if secret && is_inside(byte) => Echo::Nothing,
                    Ok(()) if secret => Echo::Star,
                    Ok(()) => Echo::Byte(byte),
                }
            }
        }
    }

    /// What was typed. `None`: it is not text.
    pub fn line(&self) -> Option<&str> {
        core::str::from_utf8(&self.line).ok()
    }

    fn rubout(&mut self) -> Echo {
        let mut went = false;
        while let Some(byte) = self.line.pop() {
            went = true;
            if !is_inside(byte) {
                break;
            }
        }
        if went { Echo::Rubout } else { Echo::Nothing }
    }

    /// Whether a secret is being typed.
    fn is_secret(&self) -> bool {
        // The last character may not be whole yet.
        self.line
            .utf8_chunks()
            .next()
            .is_some_and(|text| console::is_secret(text.valid()))
    }
}

/// Whether a byte is not the first of its character in UTF-8.
const fn is_inside(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a terminal shows, and the lines.
    fn typed(bytes: &[u8]) -> (String, std::vec::Vec<String>) {
        let mut editor = Editor::new();
        let (mut shown, mut lines) = (std::vec::Vec::new(), std::vec::Vec::new());
        for byte in bytes {
            match editor.push(*byte) {
                Echo::Nothing => {}
                Echo::Byte(byte) => shown.push(byte),
                Echo::Star => shown.push(b'*'),
                Echo::Rubout => shown.push(b'<'),
                Echo::End => lines.push(editor.line().unwrap_or("?").to_owned()),
                Echo::Cancelled => shown.push(b'!'),
            }
        }
        (String::from_utf8_lossy(&shown).into_owned(), lines)
    }

    #[test]
    fn lines_end_in_any_way() {
        assert_eq!(typed(b"a\nb\rc\r\nd\r\n\ne\n").1, ["a", "b", "c", "d", "", "e"]);
    }

    #[test]
    fn characters_can_be_taken_back() {
        assert_eq!(typed("a\u{e4}\x7f\x08\x08b\n".as_bytes()).1, ["b"]);
        assert_eq!(typed(b"ab\x03c\n").1, ["c"]);
        assert_eq!(typed(b"\xff\n").1, ["?"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let (shown, lines) = typed("set password p w\u{e4}\nset ssid x\nset token t\n".as_bytes());
        assert_eq!(shown, "set password ****set ssid xset token *");
        assert_eq!(lines[0], "set password p w\u{e4}");
    }

    /// Whatever the console takes for the value of a secret.
    #[test]
    fn spaces_before_a_secret_do_not_show_it() {
        for before in ["set  password ", " set token ", "\u{a0} set \u{2003} password "] {
            let (shown, lines) = typed(std::format!("{before}correct horse\n").as_bytes());
            assert_eq!(shown, std::format!("{before}*************"));
            let built_in = crate::Settings::default();
            let mut console = crate::Console::new(built_in.clone(), &built_in, &crate::ESP32C3, "a");
            console.line(&lines[0], &mut String::new()).unwrap();
            let settings = console.settings();
            assert!(
                settings.password() == "correct horse" || settings.token() == Some("correct horse"),
                "{before:?} is no command, and nothing was tested"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes: std::vec::Vec<u8>) {
            for line in typed(&bytes).1 {
                prop_assert!(line.len() <= LINE_MAX_BYTES);
                prop_assert!(!line.contains(|c: char| c < ' '));
            }
        }
    }
}
