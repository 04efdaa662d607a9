//! The keys that `[[serial]]`, `[[ble]]` and `[[dial]]` share: who a board is, and how its bytes are cut into frames.

use std::time::Duration;

use ::bytes::Bytes;
use wsdm_protocol::KEEPALIVE_RANGE_MS;

use super::layers::Given;
use super::read::{Keys, text};
use super::table::{Key, Kind, Preset, words};
use crate::device::handshake::{Address, HandshakeError, Identifier};
use crate::device::language::{self, Coalesce};
use crate::link::framing::{ByteOrder, Framing, PrefixWidth};

const WIDTHS: [(&str, PrefixWidth); 3] = [
    ("1", PrefixWidth::One),
    ("2", PrefixWidth::Two),
    ("4", PrefixWidth::Four),
];

const ORDERS: [(&str, ByteOrder); 2] = [("big", ByteOrder::Big), ("little", ByteOrder::Little)];

pub(super) const DELIMITER: Key = Key {
    name: "framing.delimiter",
    kind: Kind::Bytes,
    example: "\";\"",
    help: "End each frame at these bytes, which stay on it",
    ..Key::BASE
};

pub(super) const LENGTH_PREFIX: Key = Key {
    name: "framing.length_prefix",
    kind: Kind::Choice(const { &words(&WIDTHS) }),
    example: "2",
    alternative: true,
    help: "Or put the length of each frame before it, as a number of this many bytes",
    note: "A hello line is not recognised behind it.",
    ..Key::BASE
};

pub(super) const LENGTH_ORDER: Key = Key {
    name: "framing.length_order",
    kind: Kind::Choice(const { &words(&ORDERS) }),
    default: Preset::Text("big"),
    alternative: true,
    help: "Byte order of that number, most significant byte first (big) or last (little)",
    ..Key::BASE
};

pub(super) const IDLE: Key = Key {
    name: "framing.idle_ms",
    kind: Kind::milliseconds(1..=10_000),
    example: "20",
    alternative: true,
    help: "Or end a frame when the board pauses for this long",
    ..Key::BASE
};

pub(super) const RAW: Key = Key {
    name: "framing.raw",
    kind: Kind::Switch,
    example: "true",
    alternative: true,
    help: "Or treat each read as one frame",
    ..Key::BASE
};

pub(super) const IDENTIFIER: Key = Key {
    name: "identifier",
    default: Preset::Unset("the board's hello line, or what it is recognised as"),
    example: "\"LVSDevice\"",
    help: "What the board is, as in a handshake",
    ..Key::BASE
};

pub(super) const KEEPALIVE: Key = Key {
    name: "keepalive_ms",
    kind: Kind::milliseconds(KEEPALIVE_RANGE_MS),
    default: Preset::Unset("the board's hello line"),
    example: "200",
    help: "Send a lone newline whenever nothing else was sent for this long",
    note: "For a board with a watchdog, which stops its motors after four times as long.",
    ..Key::BASE
};

pub(super) const ON_CLOSE: Key = Key {
    name: "on_close",
    kind: Kind::Bytes,
    default: Preset::Unset("by protocol"),
    example: "\"Vibrate:0;\"",
    help: "Send these bytes when control is lost, instead of the protocol's stop",
    ..Key::BASE
};

pub(super) const COALESCING: Key = Key {
    name: "coalesce",
    kind: Kind::Choice(const { &words(&language::COALESCE) }),
    default: Preset::Unset("by protocol"),
    example: "\"lovense\"",
    help: "Let newer commands replace older ones that wait, as fits this protocol",
    ..Key::BASE
};

impl Keys<'_> {
    pub(super) fn identifier(&mut self, name: &str) -> Option<Identifier> {
        self.of_handshake(name, Identifier::new)
    }

    pub(super) fn board_address(&mut self, name: &str) -> Option<Address> {
        self.of_handshake(name, Address::new)
    }

    fn of_handshake<T: std::fmt::Display>(
        &mut self,
        name: &str,
        new: impl Fn(String) -> Result<T, HandshakeError>,
    ) -> Option<T> {
        let parse = |given: &Given| {
            new(text(given)?.to_owned()).map_err(|e| format!("does not fit a handshake: {e}"))
        };
        self.read(name, parse, ToString::to_string)
    }

    pub(super) fn keepalive(&mut self) -> Option<Duration> {
        let ms = self.number(KEEPALIVE.name)?;
        Some(Duration::from_millis(ms.unsigned_abs()))
    }

    pub(super) fn on_close(&mut self) -> Option<Bytes> {
        self.bytes(ON_CLOSE.name)
    }

    pub(super) fn coalesce(&mut self) -> Option<Coalesce> {
        self.choice(COALESCING.name, &language::COALESCE)
    }

    pub(super) fn framing(&mut self) -> Option<Framing> {
        let kinds = [DELIMITER.name, LENGTH_PREFIX.name, IDLE.name, RAW.name];
        let given: Vec<&str> = kinds.into_iter().filter(|kind| self.is_given(kind)).collect();
        if let [_, second, ..] = given[..] {
            self.problem(
                second,
                "stands beside another framing; a frame ends in one way only",
            );
        }
        if self.is_given(LENGTH_ORDER.name) && !self.is_given(LENGTH_PREFIX.name) {
            self.problem(LENGTH_ORDER.name, "says nothing without length_prefix");
        }
        match *given.first()? {
            kind if kind == DELIMITER.name => self.bytes(kind).map(Framing::Delimiter),
            kind if kind == LENGTH_PREFIX.name => {
                let width = self.choice(kind, &WIDTHS);
                let order = self.choice(LENGTH_ORDER.name, &ORDERS);
                let (width, order) = width.zip(order)?;
                Some(Framing::LengthPrefix { width, order })
            }
            kind if kind == IDLE.name => Some(Framing::Idle(self.time(kind))),
            kind => match self.switch(kind)? {
                true => Some(Framing::Raw),
                false => {
                    self.problem(kind, "is false, which says nothing; leave it out, or say true");
                    None
                }
            },
        }
    }
}
