//! The `[[serial]]` entries.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio_serial::{DataBits, FlowControl, Parity, StopBits};

use super::layers::{Given, Reader, text};
use crate::defaults;
use crate::handshake::{Address, HandshakeError, Identifier};
use crate::link::framing::{ByteOrder, Framing, PrefixWidth};
use crate::link::outbox::Coalesce;
use crate::link::serial::LineSettings;
use crate::ports::{PortInfo, PortMatch};

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
    let mut entry = Entry { reader, n };
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
        dtr_on_open: entry.flag("dtr_on_open"),
        rts_on_open: entry.flag("rts_on_open"),
    };
    SerialSettings {
        source: entry.source(),
        line,
        settle: Duration::from_millis(entry.number("settle_ms", 0, 0..=60_000, "ms")),
        framing: entry.framing(),
        identifier: entry.name("identifier", "the board's hello line", Identifier::new),
        address: entry.name(
            "address",
            "the board's hello line, or its serial number, or its port",
            Address::new,
        ),
        on_close: entry.reader.bytes(&format!("serial.{n}.on_close")),
        coalesce: entry.optional(
            "coalesce",
            "by protocol",
            &[
                ("lovense", Coalesce::Lovense),
                ("tcode", Coalesce::Tcode),
                ("none", Coalesce::None),
            ],
        ),
    }
}

/// Reads the keys of one entry.
struct Entry<'a> {
    reader: &'a mut Reader,
    n: usize,
}

impl Entry<'_> {
    fn key(&self, name: &str) -> String {
        format!("serial.{}.{name}", self.n)
    }

    fn is_given(&self, name: &str) -> bool {
        self.reader.is_given(&self.key(name))
    }

    fn problem(&mut self, name: &str, problem: &str) {
        let key = self.key(name);
        self.reader.problem(key.trim_end_matches('.'), problem.to_owned());
    }

    fn source(&mut self) -> PortSource {
        let port = self.is_given("port").then(|| {
            let key = self.key("port");
            self.reader.path(&key, None, None, "").unwrap_or_default()
        });
        let ids = PortMatch {
            vid: self.usb_id("match.vid"),
            pid: self.usb_id("match.pid"),
            serial_number: self.text("match.serial_number"),
            product: self.text("match.product"),
            manufacturer: self.text("match.manufacturer"),
        };
        match port {
            Some(port) => {
                if ids != PortMatch::default() {
                    self.problem(
                        "port",
                        "stands beside match; an entry is for one port, or for every port that matches",
                    );
                }
                PortSource::Path(port)
            }
            None => {
                let broken = KEYS
                    .iter()
                    .any(|key| key.starts_with("match.") && self.is_given(key));
                if ids == PortMatch::default() && !broken {
                    self.problem(
                        "",
                        "says no port: port = \"/dev/ttyUSB0\", or match = { vid = \"1a86\", pid = \"7523\" }; \
                         wsdm-gateway ports lists what is there",
                    );
                }
                PortSource::Match(ids)
            }
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let key = self.key(name);
        self.is_given(name).then_some(())?;
        self.reader.read(
            &key,
            None,
            |given| Ok(Some(text(given)?.to_owned())),
            |t| format!("{:?}", t.as_deref().unwrap_or("")),
        )
    }

    fn usb_id(&mut self, name: &str) -> Option<u16> {
        self.is_given(name).then_some(())?;
        let key = self.key(name);
        let parse = |given: &Given| {
            let id = match given {
                Given::Text(text) => u16::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok(),
                Given::Integer(n) => u16::try_from(*n).ok(),
                _ => None,
            };
            id.map(Some)
                .ok_or_else(|| "is not a USB id: four hexadecimal digits, such as \"1a86\"".to_owned())
        };
        self.reader
            .read(&key, None, parse, |id| format!("{:04x}", id.unwrap_or_default()))
    }

    fn number(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>, unit: &str) -> u64 {
        let key = self.key(name);
        let words = if unit == "ms" {
            "milliseconds"
        } else {
            "bits a second"
        };
        self.reader.number(&key, default, range, words, unit)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        let key = self.key(name);
        let parse = |given: &Given| match given {
            Given::Boolean(value) => Ok(Some(*value)),
            _ => Err("is neither true nor false".to_owned()),
        };
        let show = |value: &Option<bool>| value.map_or("up to the system".to_owned(), |v| v.to_string());
        self.reader.read(&key, None, parse, show)
    }

    fn name<T: std::fmt::Display>(
        &mut self,
        name: &str,
        none: &str,
        new: impl Fn(String) -> Result<T, HandshakeError>,
    ) -> Option<T> {
        let key = self.key(name);
        let parse = |given: &Given| match new(text(given)?.to_owned()) {
            Ok(value) => Ok(Some(value)),
            Err(e) => Err(format!("does not fit a handshake: {e}")),
        };
        self.reader.read(&key, None, parse, |value| {
            value.as_ref().map_or(none.to_owned(), ToString::to_string)
        })
    }

    fn choice<T: Copy + PartialEq>(&mut self, name: &str, default: &str, choices: &[(&str, T)]) -> T {
        let fallback = choices.iter().find(|(word, _)| *word == default);
        let fallback = fallback.unwrap_or(&choices[0]).1;
        self.optional_or(name, fallback, choices)
    }

    fn optional_or<T: Copy + PartialEq>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let key = self.key(name);
        let show = |value: &T| word_for(choices, *value).to_owned();
        self.reader
            .read(&key, default, |given| pick(given, choices), show)
    }

    fn optional<T: Copy + PartialEq>(&mut self, name: &str, none: &str, choices: &[(&str, T)]) -> Option<T> {
        let key = self.key(name);
        let show = |value: &Option<T>| value.map_or(none.to_owned(), |v| word_for(choices, v).to_owned());
        self.reader
            .read(&key, None, |given| pick(given, choices).map(Some), show)
    }

    fn framing(&mut self) -> Option<Framing> {
        let kinds = [
            "framing.delimiter",
            "framing.length_prefix",
            "framing.idle_ms",
            "framing.raw",
        ];
        let given: Vec<&str> = kinds.into_iter().filter(|kind| self.is_given(kind)).collect();
        if let [_, second, ..] = given[..] {
            self.problem(
                second,
                "stands beside another framing; a frame ends in one way only",
            );
        }
        if self.is_given("framing.length_order") && !self.is_given("framing.length_prefix") {
            self.problem("framing.length_order", "says nothing without length_prefix");
        }
        match *given.first()? {
            "framing.delimiter" => {
                let key = self.key("framing.delimiter");
                self.reader.bytes(&key).map(Framing::Delimiter)
            }
            "framing.length_prefix" => Some(Framing::LengthPrefix {
                width: self.choice(
                    "framing.length_prefix",
                    "2",
                    &[
                        ("1", PrefixWidth::One),
                        ("2", PrefixWidth::Two),
                        ("4", PrefixWidth::Four),
                    ],
                ),
                order: self.choice(
                    "framing.length_order",
                    "big",
                    &[("big", ByteOrder::Big), ("little", ByteOrder::Little)],
                ),
            }),
            "framing.idle_ms" => Some(Framing::Idle(Duration::from_millis(self.number(
                "framing.idle_ms",
                defaults::IDLE_MS_DEFAULT,
                1..=10_000,
                "ms",
            )))),
            _ => match self.flag("framing.raw") {
                Some(false) => {
                    self.problem(
                        "framing.raw",
                        "is false, which says nothing; leave it out, or say true",
                    );
                    None
                }
                _ => Some(Framing::Raw),
            },
        }
    }
}

fn word_for<'a, T: Copy + PartialEq>(choices: &[(&'a str, T)], value: T) -> &'a str {
    choices
        .iter()
        .find(|(_, choice)| *choice == value)
        .map_or("", |(word, _)| word)
}

fn pick<T: Copy>(given: &Given, choices: &[(&str, T)]) -> Result<T, String> {
    let given = match given {
        Given::Text(text) => text.clone(),
        Given::Integer(n) => n.to_string(),
        Given::List(_) | Given::Boolean(_) | Given::Entry => String::new(),
    };
    choices
        .iter()
        .find(|(word, _)| *word == given)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("is none of {}", words.join(", "))
        })
}
