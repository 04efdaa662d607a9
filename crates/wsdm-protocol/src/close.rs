//! Close codes: how a connection ends, as the far end is told.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: u16 = $code;)*

        /// A few words for a code, for people; `None` for one that is not of this protocol.
        pub const fn name(code: u16) -> Option<&'static str> {
            match code {
                $($name => Some($text),)*
                _ => None,
            }
        }

        /// Every code with its name.
        pub const ALL: &[(u16, &str)] = &[$(($name, $text)),*];
    };
}

codes! {
    /// Nothing is wrong (RFC 6455: normal closure). A device sends it when it turns itself off.
    NORMAL = 1000, "done";
    /// The gateway stops (RFC 6455: going away).
    GOING_AWAY = 1001, "gateway stops";
    /// What was received breaks the websocket protocol (RFC 6455: protocol error).
    PROTOCOL_ERROR = 1002, "websocket protocol broken";
    /// The first message was binary (RFC 6455: unsupported data).
    UNSUPPORTED_DATA = 1003, "first message was binary";
    /// The first message is not a handshake (RFC 6455: inconsistent data).
    INVALID_HANDSHAKE = 1007, "invalid handshake";
    /// A message is over its limit (RFC 6455: message too big).
    TOO_LARGE = 1009, "message too large";
    /// Something failed inside the gateway (RFC 6455: internal error).
    INTERNAL = 1011, "fault inside the gateway";
    /// A protocol version other than 0.
    VERSION = 4000, "protocol version not spoken";
    /// No UDCF entry names the identifier.
    UNKNOWN_IDENTIFIER = 4001, "identifier unknown";
    /// The address is denied, or not on a non-empty allow list.
    ADDRESS_REFUSED = 4002, "address not allowed";
    /// No handshake in time; also a device that fell silent or does not take what is written to it.
    TIMEOUT = 4003, "too slow or silent";
    /// Another connection has the same address.
    REPLACED = 4004, "address in use elsewhere";
    /// The protocol's initialisation failed.
    INIT_FAILED = 4005, "initialisation failed";
    /// Upstream went, and did not come back in time.
    UPSTREAM_AWAY = 4006, "upstream away";
    /// Upstream does not take the device; its own code and reason follow in the text.
    UPSTREAM_REFUSED = 4007, "upstream refused";
}

/// Whether a device that is closed with this code was told that something about it is wrong. The others say that
/// the gateway or the connection had to go: connecting again may well work.
pub const fn is_refusal(code: u16) -> bool {
    matches!(
        code,
        UNSUPPORTED_DATA
            | INVALID_HANDSHAKE
            | TOO_LARGE
            | VERSION
            | UNKNOWN_IDENTIFIER
            | ADDRESS_REFUSED
            | REPLACED
            | INIT_FAILED
            | UPSTREAM_REFUSED
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_name_of_its_own() {
        for (i, (code, text)) in ALL.iter().enumerate() {
            assert_eq!(name(*code), Some(*text));
            for (other, other_text) in &ALL[..i] {
                assert!(code != other && text != other_text, "{code} and {other}");
            }
        }
        assert_eq!(name(4999), None);
    }

    #[test]
    fn a_gateway_that_stops_refuses_nobody() {
        assert!(!is_refusal(GOING_AWAY));
        assert!(!is_refusal(UPSTREAM_AWAY));
        assert!(is_refusal(UNKNOWN_IDENTIFIER));
    }
}
