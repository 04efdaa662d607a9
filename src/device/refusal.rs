//! Why a device is not let in: the code and the reason that it is told, and the hint that its owner reads.

use std::borrow::Cow;
use std::time::Duration;

use crate::advice::Advice;
use crate::defaults::{HANDSHAKE_MAX_BYTES, TAKEOVER_LIMIT, TAKEOVER_WINDOW};
use crate::device::close::{self, CloseReason};
use crate::device::handshake::{Address, HandshakeError, Identifier};
use crate::device::violation::Violation;
use crate::text::shell_word;

/// A first message, or a device, that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Binary where the handshake belongs.
    #[error("the first message is binary, not the handshake as text")]
    Binary,
    /// A first message that is no handshake.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// A frame that breaks the websocket protocol.
    #[error("protocol error: {0}")]
    Violation(#[from] Violation),
    /// The first message of a Buttplug app, which came to the wrong port. With a sentence on where apps connect.
    #[error("it sent an app's RequestServerInfo, and {0}")]
    App(String),
    /// Text that is not UTF-8, or a message over the limit of the link.
    #[error("the first message cannot be read: {0}")]
    Unreadable(String),
    /// No UDCF entry has this name.
    #[error("no UDCF entry names {identifier:?}{}", nearest_text(.nearest))]
    UnknownIdentifier {
        /// What the device said.
        identifier: Identifier,
        /// The known name that is most like it.
        nearest: Option<String>,
        /// The documentation has newcomers send the model letter.
        model_letter: bool,
        /// The server's protocol of the same name, if it has one.
        protocol: Option<String>,
    },
    /// The server lacks the protocol that the UDCF gives this identifier.
    #[error("the UDCF gives {identifier:?} the protocol {protocol:?}, which the server does not have")]
    NoSuchProtocol {
        /// The identifier that the device sent.
        identifier: Identifier,
        /// Its protocol in the UDCF.
        protocol: String,
        /// The protocol that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The UDCF denies this address.
    #[error("address {0:?} is denied by the UDCF")]
    Denied(Address),
    /// The UDCF allows others, not this one.
    #[error("address {0:?} is not on the UDCF's allow list")]
    NotAllowed(Address),
    /// Nothing came.
    #[error("no handshake within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// A still newer connection came while this one waited for its predecessor to go.
    #[error("replaced by a newer connection with address {0:?}")]
    Replaced(Address),
    /// Two devices evict each other.
    #[error("address {0:?} is in use by another device that keeps coming back")]
    Clash(Address),
    /// The gateway stops.
    #[error("the gateway is stopping")]
    Stopping,
}

fn nearest_text(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|n| format!("; the nearest is {n:?}"))
        .unwrap_or_default()
}

impl Refusal {
    /// What stands in the Close frame.
    pub fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::Binary => close::UNSUPPORTED_DATA,
            Self::Handshake(HandshakeError::MessageTooLarge(_)) => close::TOO_LARGE,
            Self::Handshake(HandshakeError::Version(_)) => close::VERSION,
            Self::Handshake(_) | Self::Unreadable(_) | Self::App(_) => close::INVALID_HANDSHAKE,
            Self::Violation(_) => close::PROTOCOL_ERROR,
            Self::UnknownIdentifier { .. } | Self::NoSuchProtocol { .. } => close::UNKNOWN_IDENTIFIER,
            Self::Denied(_) | Self::NotAllowed(_) => close::ADDRESS_REFUSED,
            Self::Timeout(_) => close::TIMEOUT,
            Self::Replaced(_) | Self::Clash(_) => close::REPLACED,
            Self::Stopping => close::GOING_AWAY,
        };
        let text = match self {
            // The name that is known must survive the cut; the device knows what it sent.
            Self::UnknownIdentifier {
                nearest: Some(nearest),
                model_letter: true,
                ..
            } => {
                format!("that is a model letter; identifier must be a UDCF websocket name, e.g. {nearest:?}")
            }
            Self::UnknownIdentifier {
                nearest: Some(nearest),
                ..
            } => {
                format!("no UDCF entry names this identifier; the nearest is {nearest:?}")
            }
            Self::UnknownIdentifier { nearest: None, .. } => "no UDCF entry names this identifier".to_owned(),
            Self::NoSuchProtocol { protocol, .. } => {
                format!(
                    "the UDCF gives this identifier the protocol {protocol:?}, which the server does not have"
                )
            }
            Self::App(place) => place.clone(),
            Self::Denied(_) => "this address is denied by the UDCF".to_owned(),
            Self::NotAllowed(_) => "this address is not on the UDCF's allow list".to_owned(),
            Self::Replaced(_) => "replaced by a newer connection with the same address".to_owned(),
            Self::Clash(_) => {
                "another device with this address keeps coming back: give each its own".to_owned()
            }
            other => other.to_string(),
        };
        CloseReason::new(code, text)
    }
}

impl Advice for Refusal {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Binary => {
                "send the handshake as a text message first, everything after it as binary".to_owned()
            }
            Self::Handshake(HandshakeError::Version(_)) => "send \"version\": 0".to_owned(),
            Self::Handshake(HandshakeError::MessageTooLarge(_)) => {
                format!("a handshake has a hundred bytes or so; the limit is {HANDSHAKE_MAX_BYTES}")
            }
            Self::Handshake(HandshakeError::TrailingNul) => {
                "send as many bytes as the text has: strlen(text), not sizeof(text)".to_owned()
            }
            Self::Violation(violation) => violation.hint.to_owned(),
            Self::App(_) => "correct the server address in the app".to_owned(),
            Self::Handshake(_) | Self::Unreadable(_) => {
                r#"send {"identifier": "LVSDevice", "address": "any-name-of-its-own", "version": 0}"#
                    .to_owned()
            }
            Self::UnknownIdentifier {
                nearest,
                model_letter: true,
                ..
            } => format!(
                "a model letter goes into the answer to DeviceType; — the identifier is the websocket name in \
                 the UDCF{}",
                nearest
                    .as_ref()
                    .map(|n| format!(", for instance {n:?}"))
                    .unwrap_or_default()
            ),
            Self::UnknownIdentifier {
                identifier, protocol, ..
            } => format!(
                "to accept it: wsdm-gateway udcf add --protocol {} --websocket {} FILE, then run with --udcf FILE",
                protocol.as_deref().unwrap_or("PROTOCOL"),
                shell_word(identifier.as_str())
            ),
            Self::NoSuchProtocol { nearest, .. } => format!(
                "{}correct the protocol in the UDCF; wsdm-gateway udcf protocols lists what the server has",
                nearest
                    .map(|nearest| format!("did you mean {nearest:?}? "))
                    .unwrap_or_default()
            ),
            Self::Denied(_) => "remove \"deny\" from this device's entry in the UDCF to let it in".to_owned(),
            Self::NotAllowed(_) => {
                "the UDCF has devices with \"allow\": then only those may connect; add this one".to_owned()
            }
            Self::Timeout(_) => {
                "the handshake is the first thing a device sends, as soon as it is connected".to_owned()
            }
            Self::Replaced(_) => "it connected again; nothing to do".to_owned(),
            Self::Clash(_) => format!(
                "two devices with one address evicted each other {TAKEOVER_LIMIT} times in {} s: flash one of \
                 them with an address of its own",
                TAKEOVER_WINDOW.as_secs()
            ),
            Self::Stopping => "it may connect again when the gateway is back".to_owned(),
        };
        Some(hint.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_name_survives_the_longest_identifier() {
        let refusal = Refusal::UnknownIdentifier {
            identifier: Identifier::new("x".repeat(256)).unwrap(),
            nearest: Some("LVSDevice".to_owned()),
            model_letter: false,
            protocol: None,
        };
        assert!(refusal.close_reason().text().contains("LVSDevice"));
    }

    #[test]
    fn a_strangers_name_is_quoted_in_the_line_that_is_there_to_be_copied() {
        let hint = |identifier: &str| {
            Refusal::UnknownIdentifier {
                identifier: Identifier::new(identifier).unwrap(),
                nearest: None,
                model_letter: false,
                protocol: None,
            }
            .hint()
            .unwrap()
            .into_owned()
        };
        let line = "wsdm-gateway udcf add --protocol PROTOCOL --websocket";
        for (identifier, word) in [
            ("MyStroker", "MyStroker"),
            ("--intiface-central", "NAME"),
            ("x\u{1b}[2J", "NAME"),
            #[cfg(unix)]
            ("x$(reboot)`reboot`", "'x$(reboot)`reboot`'"),
        ] {
            let hint = hint(identifier);
            assert!(hint.contains(&format!("{line} {word} FILE,")), "{hint}");
        }
    }
}
