//! How a connection ends: the close code and the reason that the far end receives.

pub use wsdm_protocol::close::{
    ADDRESS_REFUSED, GOING_AWAY, INIT_FAILED, INTERNAL, INVALID_HANDSHAKE, PROTOCOL_ERROR, REPLACED, TIMEOUT,
    TOO_LARGE, UNKNOWN_IDENTIFIER, UNSUPPORTED_DATA, UPSTREAM_AWAY, UPSTREAM_REFUSED, VERSION,
};

use crate::defaults::CLOSE_REASON_MAX_BYTES;

/// A websocket close code and a reason that fits its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// A code of RFC 6455 section 7.4, or one of ours from 4000 on.
    pub code: u16,
    text: String,
}

impl CloseReason {
    /// Truncates the text to [`CLOSE_REASON_MAX_BYTES`], at a character boundary.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(CLOSE_REASON_MAX_BYTES));
        Self { code, text }
    }

    /// The text, at most [`CLOSE_REASON_MAX_BYTES`] long.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let reason = CloseReason::new(4001, "ä".repeat(80));
        assert_eq!(reason.text().len(), 122);
        assert!(reason.text().chars().all(|c| c == 'ä'));
    }
}
