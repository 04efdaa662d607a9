//! What both ends of the Websocket Device Manager protocol must agree on: the names, limits and codes of the
//! handshake, the hello line and the Close frame, and how a device writes the first two.
//!
//! The gateway reads them with this crate's names, the firmware writes them with this crate's encoder; so neither
//! can change alone. No standard library and no allocation, because the firmware has neither.
#![no_std]
#![forbid(unsafe_code)]

pub mod close;
mod field;
mod handshake;
mod hello;
mod json;

pub use field::{FieldError, check_address, check_identifier};
pub use handshake::Handshake;
pub use hello::{Hello, keepalive_in_range};
pub use json::TooSmall;

/// The only version of the protocol that exists; any other is refused, as its page says.
pub const VERSION: u64 = 0;
/// The port of the protocol's page.
pub const PORT: u16 = 54817;
/// The query key under which a device gives the token that the gateway asks for: `ws://HOST:54817/?token=...`.
pub const TOKEN_KEY: &str = "token";

/// The keys of the handshake and of the hello line.
pub mod key {
    /// What the device is.
    pub const IDENTIFIER: &str = "identifier";
    /// Which device it is.
    pub const ADDRESS: &str = "address";
    /// The protocol's version.
    pub const VERSION: &str = "version";
    /// In the hello line alone: the silence after which a board wants a sign of life, in milliseconds.
    pub const KEEPALIVE_MS: &str = "keepalive_ms";
    /// Why the board started anew, in a few words, for the log; once, until somebody has control of it.
    pub const RESET: &str = "reset";
    /// In the hello line alone: what is wrong with an output of the board, in a few words, for the log.
    pub const FAULT: &str = "fault";
    /// Every key with which a hello line may begin.
    pub const ALL: [&str; 4] = [IDENTIFIER, ADDRESS, VERSION, KEEPALIVE_MS];
}

/// A handshake is one line of JSON; firmware adds a few keys of its own, not kilobytes.
pub const HANDSHAKE_MAX_BYTES: usize = 4 * 1024;
/// An identifier or an address is a name that people type.
pub const FIELD_MAX_BYTES: usize = 256;
/// A record of TLS on its way to a device has no more plain text: a board has room for little more than one.
pub const TLS_FRAGMENT_MAX_BYTES: usize = 4 * 1024;
/// A close reason on the wire: a control frame holds 125 bytes, two of them are the code (RFC 6455, 5.5.1).
pub const CLOSE_REASON_MAX_BYTES: usize = 123;

/// What a board may ask for as [`key::KEEPALIVE_MS`].
pub const KEEPALIVE_RANGE_MS: core::ops::RangeInclusive<u64> = 20..=60_000;
/// A board that heard nothing for this many times its keepalive stops its outputs.
pub const KEEPALIVES_UNTIL_STOP: u64 = 4;
