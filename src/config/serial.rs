//! The `[[serial]]` entries.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio_serial::{DataBits, FlowControl, Parity, StopBits};

use super::entry::Entry;
use super::layers::Reader;
use crate::defaults;
use crate::device::handshake::{Address, Identifier};
use crate::device::language::Coalesce;
use crate::link::framing::Framing;
use crate::link::serial::LineSettings;
use crate::link::serial::ports::{PortInfo, PortMatch};

/// What an entry may hold.
pub(super) const KEYS: &[&str] = &[
    "port",
    "match.vid",
    "match.pid",
    "match.serial_number",
    "match.product",
    "match.manufacturer",
    "baud_rate",
    "data_bits",
    "parity",
    "stop_bits",
    "flow_control",
    "dtr_on_open",
    "rts_on_open",
    "settle_ms",
    "framing.delimiter",
    "framing.length_prefix",
    "framing.length_order",
    "framing.idle_ms",
    "framing.raw",
    "identifier",
    "address",
    "keepalive_ms",
    "on_close",
    "coalesce",
];

/// A `[[serial]]` entry: a board on a wire, or every board of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialSettings {
    /// Which ports.
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
}

impl PortSource {
    /// Whether this port is meant; a path may be a link to it.
    pub fn takes(&self, port: &PortInfo) -> bool {
        match self {
            Self::Path(path) => port.path == *path || path.canonicalize().is_ok_and(|node| node == port.path),
            Self::Match(ids) => ids.matches(port),
        }
    }
}

/// Reads every entry.
pub(super) fn entries(reader: &mut Reader) -> Vec<SerialSettings> {
    let mut entries = Vec::new();
    while reader.is_given(&format!("serial.{}", entries.len())) {
        entries.push(entry(reader, entries.len()));
    }
    for n in 1..entries.len() {
        if let Some(first) = (0..n).find(|first| entries[*first].source == entries[n].source) {
            reader.problem(
                &format!("serial.{n}"),
                format!("is for the same port as serial.{first}; one of them would never get it"),
            );
        }
    }
    entries
}

fn entry(reader: &mut Reader, n: usize) -> SerialSettings {
    let mut entry = Entry {
        reader,
        section: "serial",
        n,
    };
    let line = LineSettings {
        baud_rate: entry.number(
            "baud_rate",
            u64::from(defaults::BAUD_RATE),
            50..=20_000_000,
            "bit/s",
        ) as u32,
        data_bits: entry.choice(
            "data_bits",
            "8",
            &[
                ("5", DataBits::Five),
                ("6", DataBits::Six),
                ("7", DataBits::Seven),
                ("8", DataBits::Eight),
            ],
        ),
        parity: entry.choice(
            "parity",
            "none",
            &[
                ("none", Parity::None),
                ("odd", Parity::Odd),
                ("even", Parity::Even),
            ],
        ),
        stop_bits: entry.choice("stop_bits", "1", &[("1", StopBits::One), ("2", StopBits::Two)]),
        flow_control: entry.choice(
            "flow_control",
            "none",
            &[
                ("none", FlowControl::None),
                ("software", FlowControl::Software),
                ("hardware", FlowControl::Hardware),
            ],
        ),
        dtr_on_open: entry.flag("dtr_on_open", "up to the system"),
        rts_on_open: entry.flag("rts_on_open", "up to the system"),
    };
    SerialSettings {
        source: source(&mut entry),
        line,
        settle: Duration::from_millis(entry.number("settle_ms", 0, 0..=60_000, "ms")),
        framing: entry.framing(),
        identifier: entry.name("identifier", "the board's hello line", Identifier::new),
        address: entry.name(
            "address",
            "the board's hello line, or its serial number, or its port",
            Address::new,
        ),
        keepalive: entry.keepalive(),
        on_close: entry.on_close(),
        coalesce: entry.coalesce(),
    }
}

fn source(entry: &mut Entry<'_>) -> PortSource {
    let port = entry.is_given("port").then(|| {
        let key = entry.key("port");
        entry.reader.path(&key, None, None, "").unwrap_or_default()
    });
    let ids = PortMatch {
        vid: entry.id("match.vid", "a USB id", "1a86"),
        pid: entry.id("match.pid", "a USB id", "7523"),
        serial_number: entry.text("match.serial_number"),
        product: entry.text("match.product"),
        manufacturer: entry.text("match.manufacturer"),
    };
    match port {
        Some(port) => {
            if ids != PortMatch::default() {
                entry.problem(
                    "port",
                    "stands beside match; an entry is for one port, or for every port that matches",
                );
            }
            PortSource::Path(port)
        }
        None => {
            let broken = KEYS
                .iter()
                .any(|key| key.starts_with("match.") && entry.is_given(key));
            if ids == PortMatch::default() && !broken {
                entry.problem(
                    "",
                    "says no port: port = \"/dev/ttyUSB0\", or match = { vid = \"1a86\", pid = \"7523\" }; \
                     wsdm-gateway ports lists what is there",
                );
            }
            PortSource::Match(ids)
        }
    }
}
