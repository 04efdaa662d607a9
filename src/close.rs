//! How a connection ends, as the far end is told: a close code and a reason.

use crate::defaults::CLOSE_REASON_MAX_BYTES;

/// The gateway stops (RFC 6455: going away).
pub const GOING_AWAY: u16 = 1001;
/// The first message was binary (RFC 6455: unsupported data).
pub const UNSUPPORTED_DATA: u16 = 1003;
/// The first message is not a handshake (RFC 6455: inconsistent data).
pub const INVALID_HANDSHAKE: u16 = 1007;
/// A message is over its limit (RFC 6455: message too big).
pub const TOO_LARGE: u16 = 1009;
/// Something failed inside the gateway (RFC 6455: internal error).
pub const INTERNAL: u16 = 1011;
/// A protocol version other than 0.
pub const VERSION: u16 = 4000;
/// No UDCF entry names the identifier.
pub const UNKNOWN_IDENTIFIER: u16 = 4001;
/// The address is denied, or not on a non-empty allow list.
pub const ADDRESS_REFUSED: u16 = 4002;
/// No handshake in time; also a device that fell silent or does not take what is written to it.
pub const TIMEOUT: u16 = 4003;
/// Another connection has the same address.
pub const REPLACED: u16 = 4004;
/// The protocol's initialisation failed.
pub const INIT_FAILED: u16 = 4005;
/// Upstream went, and did not come back in time.
pub const UPSTREAM_AWAY: u16 = 4006;
/// Upstream does not take the device; its own code and reason follow in the text.
pub const UPSTREAM_REFUSED: u16 = 4007;

/// A websocket close code and a reason that fits its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// RFC 6455 section 7.4, or one of ours from 4000 on.
    pub code: u16,
    text: String,
}

impl CloseReason {
    /// Cuts the text to [`CLOSE_REASON_MAX_BYTES`], at a character.
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
