//! What an error that reaches a person knows besides its text: what to do about it, and what the process exits with.

use std::borrow::Cow;

/// Done; a signal that was carried out included.
pub const EXIT_OK: u8 = 0;
/// Failed while running.
pub const EXIT_FAILED: u8 = 1;
/// Bad command line, configuration or UDCF.
pub const EXIT_USAGE: u8 = 2;
/// Cut short by a second signal.
pub const EXIT_INTERRUPTED: u8 = 130;

/// An error that a person reads. Implemented beside each of them, so that nobody has to know them all.
pub trait Advice: std::error::Error {
    /// One line on what to do; `None` if the text says it all.
    fn hint(&self) -> Option<Cow<'_, str>> {
        None
    }

    /// What the process exits with if this ends it.
    fn exit_code(&self) -> u8 {
        EXIT_FAILED
    }

    /// The text and the hint, on one line.
    fn with_hint(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }
}
