//! The `[[serial]]` entries.

use std::borrow::Borrow;
use std::path::PathBuf;
use std::time::Duration;

use ::bytes::Bytes;
use tokio_serial::{DataBits, FlowControl, Parity, StopBits};

use super::board;
use super::layers::Reader;
use super::read::{Keys, text};
use super::table::{Key, Kind, Preset, Section, Unit, words};
use crate::defaults;
use crate::device::handshake::{Address, Identifier};
use crate::device::language::Coalesce;
use crate::link::framing::Framing;
use crate::link::serial::LineSettings;
use crate::link::serial::ports::{PortInfo, PortMatch};

const DATA_BITS: [(&str, DataBits); 4] = [
    ("5", DataBits::Five),
    ("6", DataBits::Six),
    ("7", DataBits::Seven),
    ("8", DataBits::Eight),
];

const PARITIES: [(&str, Parity); 3] = [
    ("none", Parity::None),
    ("odd", Parity::Odd),
    ("even", Parity::Even),
];

const STOP_BITS: [(&str, StopBits); 2] = [("1", StopBits::One), ("2", StopBits::Two)];

const FLOW_CONTROLS: [(&str, FlowControl); 3] = [
    ("none", FlowControl::None),
    ("software", FlowControl::Software),
    ("hardware", FlowControl::Hardware),
];

const BAUD_RATES: std::ops::RangeInclusive<i64> = 50..=20_000_000;

pub(super) static SECTION: Section = Section {
    name: "serial",
    repeated: true,
    help: "A board on a serial port, or every board of a kind. A board that prints a hello line, or that speaks TCode or \
           Lovense, needs port or match, and no other key. wsdm-gateway ports lists the ports; with --identify it also \
           asks each board what it is.",
    keys: &[
        Key {
            name: "port",
            kind: Kind::Path,
            example: "\"/dev/ttyUSB0\"",
            help: "Open this port: its path, a link to it such as those in /dev/serial/by-id, or a pseudo-terminal",
            ..Key::BASE
        },
        Key {
            name: "match",
            kind: Kind::Form("any"),
            example: "\"any\"",
            alternative: true,
            help: "Or open every serial port that no other entry names and no other program uses, and keep those whose \
                   board identifies itself",
            note: "Opening a port restarts many boards.",
            ..Key::BASE
        },
        Key {
            name: "match.vid",
            kind: Kind::Form("4 hexadecimal digits"),
            example: "\"1a86\"",
            alternative: true,
            help: "Or open every port of this USB vendor number; all match keys that are given must fit",
            ..Key::BASE
        },
        Key {
            name: "match.pid",
            kind: Kind::Form("4 hexadecimal digits"),
            example: "\"7523\"",
            alternative: true,
            help: "USB product number",
            ..Key::BASE
        },
        Key {
            name: "match.serial_number",
            example: "\"0001\"",
            alternative: true,
            help: "USB serial number",
            ..Key::BASE
        },
        Key {
            name: "match.product",
            example: "\"USB Serial\"",
            alternative: true,
            help: "USB product name",
            ..Key::BASE
        },
        Key {
            name: "match.manufacturer",
            example: "\"wch.cn\"",
            alternative: true,
            help: "USB manufacturer name",
            ..Key::BASE
        },
        Key {
            name: "baud_rate",
            kind: Kind::Number(Unit::BitsPerSecond, BAUD_RATES),
            default: Preset::Number(defaults::BAUD_RATE as i64),
            help: "Bits a second; writing is paced by it",
            ..Key::BASE
        },
        Key {
            name: "data_bits",
            kind: Kind::Choice(const { &words(&DATA_BITS) }),
            default: Preset::Text("8"),
            help: "Data bits of a character",
            ..Key::BASE
        },
        Key {
            name: "parity",
            kind: Kind::Choice(const { &words(&PARITIES) }),
            default: Preset::Text("none"),
            help: "Parity bit of a character",
            ..Key::BASE
        },
        Key {
            name: "stop_bits",
            kind: Kind::Choice(const { &words(&STOP_BITS) }),
            default: Preset::Text("1"),
            help: "Stop bits of a character",
            ..Key::BASE
        },
        Key {
            name: "flow_control",
            kind: Kind::Choice(const { &words(&FLOW_CONTROLS) }),
            default: Preset::Text("none"),
            help: "Flow control",
            ..Key::BASE
        },
        Key {
            name: "dtr_on_open",
            kind: Kind::Switch,
            default: Preset::Unset("up to the system"),
            example: "false",
            help: "Set the DTR line to this when the port is opened",
            note: "Many boards restart unless it is false.",
            ..Key::BASE
        },
        Key {
            name: "rts_on_open",
            kind: Kind::Switch,
            default: Preset::Unset("up to the system"),
            example: "true",
            help: "Set the RTS line to this when the port is opened",
            ..Key::BASE
        },
        Key {
            name: "settle_ms",
            kind: Kind::milliseconds(0..=60_000),
            default: Preset::Number(0),
            help: "Wait this long after opening the port before sending anything",
            note: "For boards that restart when their port is opened; 2000 is usual.",
            ..Key::BASE
        },
        Key {
            note: "Without a framing key: by protocol.",
            ..board::DELIMITER
        },
        board::LENGTH_PREFIX,
        board::LENGTH_ORDER,
        board::IDLE,
        board::RAW,
        board::IDENTIFIER,
        Key {
            name: "address",
            default: Preset::Unset("the board's hello line, or its serial number, or its port"),
            example: "\"bench-1\"",
            help: "Which board it is, as in a handshake; with match this is put before the serial number",
            ..Key::BASE
        },
        board::KEEPALIVE,
        board::ON_CLOSE,
        board::COALESCING,
    ],
};

/// A `[[serial]]` entry: a board on a serial port, or every board of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialSettings {
    /// The ports.
    pub source: PortSource,
    /// How the port is set up.
    pub line: LineSettings,
    /// How long a board that restarts when its port opens is left alone.
    pub settle: Duration,
    /// How its bytes are cut into frames; `None` is what its protocol is known to use.
    pub framing: Option<Framing>,
    /// What the device is; `None` waits for its hello line.
    pub identifier: Option<Identifier>,
    /// Which device it is; with [`PortSource::Match`] what its serial number is put behind.
    pub address: Option<Address>,
    /// The silence after which the board's watchdog wants a sign of life; `None` is what its hello line asks for.
    pub keepalive: Option<Duration>,
    /// What is sent when control is lost, in place of what its protocol is known to take.
    pub on_close: Option<Bytes>,
    /// Which commands supersede older ones; `None` is what its protocol is known for.
    pub coalesce: Option<Coalesce>,
}

/// Where an entry's ports are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSource {
    /// There, whenever it is there.
    Path(PathBuf),
    /// Wherever such a USB device is plugged in.
    Match(PortMatch),
    /// Every port that no other entry takes, if its board identifies itself.
    Any,
}

impl PortSource {
    /// Whether this port is meant; a path may be a link to it.
    pub fn takes(&self, port: &PortInfo) -> bool {
        match self {
            Self::Path(path) => port.path == *path || path.canonicalize().is_ok_and(|node| node == port.path),
            Self::Match(ids) => ids.matches(port),
            Self::Any => true,
        }
    }
}

impl SerialSettings {
    /// The entry that takes a port: the first that matches, but an entry for any port only if no other matches.
    pub fn taking(entries: &[impl Borrow<Self>], port: &PortInfo) -> Option<usize> {
        let takes = |is_any: bool| {
            let wanted =
                |entry: &Self| (entry.source == PortSource::Any) == is_any && entry.source.takes(port);
            entries.iter().position(|entry| wanted(entry.borrow()))
        };
        takes(false).or_else(|| takes(true))
    }
}

/// Reads every entry.
pub(super) fn entries(reader: &mut Reader) -> Vec<SerialSettings> {
    let entries = Keys::entries(reader, &SECTION, entry);
    let unknown = PortSource::Match(PortMatch::default());
    for n in 1..entries.len() {
        // One that says nothing, or nothing right, has its own problem.
        if entries[n].source == unknown {
            continue;
        }
        if let Some(first) = (0..n).find(|first| entries[*first].source == entries[n].source) {
            reader.problem(
                &format!("serial.{n}"),
                format!("is for the same port as serial.{first}; one of them would never get it"),
            );
        }
    }
    entries
}

fn entry(keys: &mut Keys<'_>) -> SerialSettings {
    SerialSettings {
        source: source(keys),
        line: LineSettings {
            baud_rate: keys.number("baud_rate").unwrap_or_default() as u32,
            data_bits: keys.choice("data_bits", &DATA_BITS).unwrap_or(DataBits::Eight),
            parity: keys.choice("parity", &PARITIES).unwrap_or(Parity::None),
            stop_bits: keys.choice("stop_bits", &STOP_BITS).unwrap_or(StopBits::One),
            flow_control: keys
                .choice("flow_control", &FLOW_CONTROLS)
                .unwrap_or(FlowControl::None),
            dtr_on_open: keys.switch("dtr_on_open"),
            rts_on_open: keys.switch("rts_on_open"),
        },
        settle: keys.time("settle_ms"),
        framing: keys.framing(),
        identifier: keys.identifier("identifier"),
        address: keys.board_address("address"),
        keepalive: keys.keepalive(),
        on_close: keys.on_close(),
        coalesce: keys.coalesce(),
    }
}

fn source(keys: &mut Keys<'_>) -> PortSource {
    let parse = |given: &_| text(given).map(PathBuf::from);
    let port = keys.read("port", parse, |port| port.display().to_string());
    let ids = PortMatch {
        vid: keys.id("match.vid", "a USB id"),
        pid: keys.id("match.pid", "a USB id"),
        serial_number: keys.text("match.serial_number"),
        product: keys.text("match.product"),
        manufacturer: keys.text("match.manufacturer"),
    };
    let any = keys.read(
        "match",
        |given| match text(given) {
            Ok("any") => Ok(()),
            _ => Err("is not \"any\", and not a table such as { vid = \"1a86\" }".to_owned()),
        },
        |()| "any".to_owned(),
    );
    let is_matching = keys.is_given("match") || keys.is_any_given("match.");
    match (keys.is_given("port"), is_matching) {
        (true, true) => keys.problem(
            "port",
            "stands beside match; an entry is for one port, or for every port that matches",
        ),
        (false, false) => keys.problem(
            "",
            "names no port: port = \"/dev/ttyUSB0\", or match = { vid = \"1a86\", pid = \"7523\" }, or match = \"any\"; \
             wsdm-gateway ports lists what is there",
        ),
        _ => {}
    }
    match (port, any) {
        (Some(port), _) => PortSource::Path(port),
        (None, Some(())) => PortSource::Any,
        (None, None) => PortSource::Match(ids),
    }
}
