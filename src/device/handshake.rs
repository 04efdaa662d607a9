//! Who a device is: the JSON that opens every Websocket Device Manager connection.
//!
//! A pure function, so that it can be tested and fuzzed. The wire format is the one line of the protocol's page,
//! `{"identifier": "LVSDevice", "address": "8A3D9FAC2A45", "version": 0}`; unknown keys are accepted, since firmware
//! in the wild sends some.

use std::fmt;

use serde::Serialize;
pub use wsdm_protocol::VERSION as PROTOCOL_VERSION;
use wsdm_protocol::{FieldError, check_address, check_identifier, key};

use crate::defaults::HANDSHAKE_MAX_BYTES;

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Accepts text of 1 to 256 bytes.
            ///
            /// # Errors
            /// [`HandshakeError::Field`], naming this field.
            pub fn new(text: impl Into<String>) -> Result<Self, HandshakeError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text as the device wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // The device chose this text, and a terminal may show it: escape control characters.
                write!(f, "{}", self.0.escape_debug())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

checked_text!(
    /// What a device is: equal, case included, to the name of a `websocket` specifier in the UDCF.
    Identifier,
    check_identifier
);
checked_text!(
    /// Which device it is: the same on every connection of this device.
    Address,
    check_address
);

/// A valid handshake: every field is present, none is empty or too long, and the version is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Handshake {
    /// What the device is.
    pub identifier: Identifier,
    /// Which device it is.
    pub address: Address,
    /// Always [`PROTOCOL_VERSION`]; kept so that the encoding has every field of the wire format.
    pub version: u64,
    /// Why the board started anew, if it says so: for the log, and not passed on.
    #[serde(skip)]
    pub reset: Option<String>,
}

/// Why a first message is not a handshake. Each text says what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Larger than [`HANDSHAKE_MAX_BYTES`].
    #[error("the handshake has {0} bytes, at most {HANDSHAKE_MAX_BYTES} are taken")]
    MessageTooLarge(usize),
    /// It ends with a NUL character: more than the text of a C string was sent.
    #[error("the handshake ends with a NUL character, which is not part of its text")]
    TrailingNul,
    /// Not JSON; with the parser's text.
    #[error("the handshake is not JSON: {0}")]
    NotJson(String),
    /// JSON, but not an object.
    #[error("the handshake is {0}, not a JSON object")]
    NotAnObject(&'static str),
    /// A field is missing.
    #[error("the handshake has no \"{0}\"")]
    Missing(&'static str),
    /// A field has the wrong type.
    #[error("the handshake's \"{field}\" is {found}, not {wanted}")]
    WrongType {
        /// The field's name on the wire.
        field: &'static str,
        /// The type that was found.
        found: &'static str,
        /// The type that is required.
        wanted: &'static str,
    },
    /// A string is empty or too long.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// This gateway does not support the protocol version.
    #[error("protocol version {0} is not supported, only version 0")]
    Version(u64),
}

fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "an array",
        serde_json::Value::Object(_) => "an object",
    }
}

impl Handshake {
    /// Creates the handshake of a device that the gateway represents.
    pub fn new(identifier: Identifier, address: Address) -> Self {
        Self {
            identifier,
            address,
            version: PROTOCOL_VERSION,
            reset: None,
        }
    }

    /// Parses a device's first message.
    ///
    /// # Errors
    /// The first problem, in the order of the fields; see [`HandshakeError`].
    pub fn parse(text: &str) -> Result<Self, HandshakeError> {
        if text.len() > HANDSHAKE_MAX_BYTES {
            return Err(HandshakeError::MessageTooLarge(text.len()));
        }
        // Some firmware ends the line, and some editors begin a file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.ends_with('\0') {
            return Err(HandshakeError::TrailingNul);
        }
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| HandshakeError::NotJson(e.to_string()))?;
        let object = value
            .as_object()
            .ok_or_else(|| HandshakeError::NotAnObject(kind(&value)))?;
        Self::from_object(object)
    }

    /// Parses the fields of a handshake.
    ///
    /// # Errors
    /// As [`Handshake::parse`].
    pub(crate) fn from_object(
        object: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, HandshakeError> {
        let string = |field: &'static str| match object.get(field) {
            None => Err(HandshakeError::Missing(field)),
            Some(serde_json::Value::String(s)) => Ok(s.as_str()),
            Some(other) => Err(HandshakeError::WrongType {
                field,
                found: kind(other),
                wanted: "a string",
            }),
        };
        let identifier = Identifier::new(string(key::IDENTIFIER)?)?;
        let address = Address::new(string(key::ADDRESS)?)?;
        let version = object
            .get(key::VERSION)
            .ok_or(HandshakeError::Missing(key::VERSION))?;
        let version = version.as_u64().ok_or(HandshakeError::WrongType {
            field: key::VERSION,
            found: match version {
                serde_json::Value::Number(_) => "not an unsigned integer",
                other => kind(other),
            },
            wanted: "the number 0",
        })?;
        if version != PROTOCOL_VERSION {
            return Err(HandshakeError::Version(version));
        }
        let reset = object.get(key::RESET).and_then(serde_json::Value::as_str);
        Ok(Self {
            reset: reset.map(str::to_owned),
            ..Self::new(identifier, address)
        })
    }

    /// The JSON that [`Handshake::parse`] accepts.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        wsdm_protocol::Handshake {
            identifier: self.identifier.as_str(),
            address: self.address.as_str(),
            reset: None,
        }
        .write(&mut text)
        .expect("a String takes everything");
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documented_handshake_is_read() {
        let h = Handshake::parse(r#"{"identifier": "LVSDevice", "address": "8A3D9FAC2A45", "version": 0}"#)
            .unwrap();
        assert_eq!(h.identifier.as_str(), "LVSDevice");
        assert_eq!(h.address.as_str(), "8A3D9FAC2A45");
    }

    #[test]
    fn why_a_board_started_anew_is_read_and_not_passed_on() {
        let read = |reset: &str| {
            let text = format!("{{\"identifier\":\"a\",\"address\":\"b\",\"version\":0,\"reset\":{reset}}}");
            Handshake::parse(&text).unwrap()
        };
        let handshake = read("\"brown-out\"");
        assert_eq!(handshake.reset.as_deref(), Some("brown-out"));
        assert!(!handshake.encode().contains("brown"));
        assert!(!serde_json::to_string(&handshake).unwrap().contains("brown"));
        // Another firmware may mean something else by this key.
        assert_eq!(read("7").reset, None);
    }

    #[test]
    fn unknown_keys_a_newline_and_a_byte_order_mark_are_taken() {
        let text = "\u{feff}{\"identifier\":\"a\",\"address\":\"b\",\"version\":0,\"fw\":\"1.2\"}\r\n";
        assert!(Handshake::parse(text).is_ok());
    }

    #[test]
    fn each_fault_is_told_apart() {
        use HandshakeError as E;
        let long = "x".repeat(wsdm_protocol::FIELD_MAX_BYTES + 1);
        let cases: Vec<(String, E)> = vec![
            ("[]".into(), E::NotAnObject("an array")),
            (r#"{"address":"b","version":0}"#.into(), E::Missing("identifier")),
            (r#"{"identifier":"a","version":0}"#.into(), E::Missing("address")),
            (
                r#"{"identifier":"a","address":"b"}"#.into(),
                E::Missing("version"),
            ),
            (
                r#"{"identifier":"","address":"b","version":0}"#.into(),
                FieldError::Empty("identifier").into(),
            ),
            (
                r#"{"identifier":"a","address":"","version":0}"#.into(),
                FieldError::Empty("address").into(),
            ),
            (
                r#"{"identifier":"a","address":"b","version":1}"#.into(),
                E::Version(1),
            ),
            (
                format!(r#"{{"identifier":"{long}","address":"b","version":0}}"#),
                FieldError::TooLong {
                    field: "identifier",
                    len: long.len(),
                }
                .into(),
            ),
            (
                r#"{"identifier":7,"address":"b","version":0}"#.into(),
                E::WrongType {
                    field: "identifier",
                    found: "a number",
                    wanted: "a string",
                },
            ),
            (
                r#"{"identifier":"a","address":"b","version":-1}"#.into(),
                E::WrongType {
                    field: "version",
                    found: "not an unsigned integer",
                    wanted: "the number 0",
                },
            ),
            (
                r#"{"identifier":"a","address":"b","version":"0"}"#.into(),
                E::WrongType {
                    field: "version",
                    found: "a string",
                    wanted: "the number 0",
                },
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(Handshake::parse(&text), Err(wanted), "{text}");
        }
        assert!(matches!(Handshake::parse("hello"), Err(E::NotJson(_))));
        let nul = "{\"identifier\":\"a\",\"address\":\"b\",\"version\":0}\0\0";
        assert_eq!(Handshake::parse(nul), Err(E::TrailingNul));
        assert!(matches!(
            Handshake::parse(&" ".repeat(HANDSHAKE_MAX_BYTES + 1)),
            Err(E::MessageTooLarge(_))
        ));
    }

    #[test]
    fn text_of_a_device_cannot_move_a_terminals_cursor() {
        let address = Address::new("a\u{1b}[2Jb\n").unwrap();
        assert!(!address.to_string().contains(['\u{1b}', '\n']));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Handshake::parse(&text);
        }

        #[test]
        fn what_is_encoded_is_read_back(i in ".{1,60}", a in ".{1,60}") {
            let (Ok(i), Ok(a)) = (Identifier::new(i), Address::new(a)) else { return Ok(()) };
            let h = Handshake::new(i, a);
            prop_assert_eq!(Handshake::parse(&h.encode()), Ok(h));
        }
    }
}
