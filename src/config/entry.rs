//! What the entries of a section that may stand several times share: `[[serial]]` and `[[ble]]`.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use wsdm_protocol::KEEPALIVE_RANGE_MS;

use super::layers::{Given, Reader, text, whole_number};
use crate::defaults;
use crate::device::handshake::HandshakeError;
use crate::device::language::{self, Coalesce};
use crate::link::framing::{ByteOrder, Framing, PrefixWidth};

/// Reads the keys of one entry.
pub(super) struct Entry<'a> {
    pub(super) reader: &'a mut Reader,
    /// `serial`, `ble`.
    pub(super) section: &'static str,
    /// Which one of the section's.
    pub(super) n: usize,
}

impl Entry<'_> {
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{}.{name}", self.section, self.n)
    }

    pub(super) fn is_given(&self, name: &str) -> bool {
        self.reader.is_given(&self.key(name))
    }

    pub(super) fn problem(&mut self, name: &str, problem: &str) {
        let key = self.key(name);
        self.reader.problem(key.trim_end_matches('.'), problem.to_owned());
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.parsed(name, |given| Ok(Quoted(text(given)?.to_owned())))
            .map(|Quoted(text)| text)
    }

    pub(super) fn number(&mut self, name: &str, default: u64, range: RangeInclusive<u64>, unit: &str) -> u64 {
        let key = self.key(name);
        let words = if unit == "ms" {
            "milliseconds"
        } else {
            "bits a second"
        };
        self.reader.number(&key, default, range, words, unit)
    }

    /// `true` or `false`; `none` says what it is when it is neither.
    pub(super) fn flag(&mut self, name: &str, none: &str) -> Option<bool> {
        let key = self.key(name);
        let parse = |given: &Given| match given {
            Given::Boolean(value) => Ok(Some(*value)),
            _ => Err("is neither true nor false".to_owned()),
        };
        let show = |value: &Option<bool>| value.map_or(none.to_owned(), |v| v.to_string());
        self.reader.read(&key, None, parse, show)
    }

    /// A number of 16 bits that people write in hexadecimal.
    pub(super) fn id(&mut self, name: &str, what: &str, example: &str) -> Option<u16> {
        let id = self.parsed(name, |given| {
            let id = match given {
                Given::Text(text) => u16::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok(),
                Given::Integer(n) => u16::try_from(*n).ok(),
                _ => None,
            };
            id.map(Id)
                .ok_or_else(|| format!("is not {what}: four hexadecimal digits, such as \"{example}\""))
        });
        id.map(|Id(id)| id)
    }

    /// A key that is shown where it was given only.
    pub(super) fn parsed<T: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Given) -> Result<T, String>,
    ) -> Option<T> {
        self.is_given(name).then_some(())?;
        let key = self.key(name);
        let show = |value: &Option<T>| value.as_ref().map(ToString::to_string).unwrap_or_default();
        self.reader.read(&key, None, |given| parse(given).map(Some), show)
    }

    pub(super) fn name<T: Display>(
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

    pub(super) fn choice<T: Copy + PartialEq>(
        &mut self,
        name: &str,
        default: &str,
        choices: &[(&str, T)],
    ) -> T {
        let fallback = choices.iter().find(|(word, _)| *word == default);
        let fallback = fallback.unwrap_or(&choices[0]).1;
        self.optional_or(name, fallback, choices)
    }

    pub(super) fn optional_or<T: Copy + PartialEq>(
        &mut self,
        name: &str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let key = self.key(name);
        let show = |value: &T| word_for(choices, *value).to_owned();
        self.reader
            .read(&key, default, |given| pick(given, choices), show)
    }

    pub(super) fn optional<T: Copy + PartialEq>(
        &mut self,
        name: &str,
        none: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let key = self.key(name);
        let show = |value: &Option<T>| value.map_or(none.to_owned(), |v| word_for(choices, v).to_owned());
        self.reader
            .read(&key, None, |given| pick(given, choices).map(Some), show)
    }

    pub(super) fn keepalive(&mut self) -> Option<Duration> {
        let key = self.key("keepalive_ms");
        let parse = |given: &Given| {
            let ms = whole_number(given, &KEEPALIVE_RANGE_MS, "milliseconds")?;
            Ok(Some(Duration::from_millis(ms)))
        };
        self.reader.read(&key, None, parse, |keepalive| {
            keepalive.map_or("the board's hello line".to_owned(), |k| {
                format!("{} ms", k.as_millis())
            })
        })
    }

    pub(super) fn on_close(&mut self) -> Option<Bytes> {
        let key = self.key("on_close");
        self.reader.bytes(&key)
    }

    pub(super) fn coalesce(&mut self) -> Option<Coalesce> {
        self.optional(
            "coalesce",
            "by protocol",
            &[
                ("lovense", language::by_name("lovense")),
                ("tcode", language::by_name("tcode")),
                ("none", None),
            ],
        )
    }

    pub(super) fn framing(&mut self) -> Option<Framing> {
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
            _ => match self.flag("framing.raw", "") {
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

/// Shown in hexadecimal.
struct Id(u16);

impl Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

/// Shown in quotes.
struct Quoted(String);

impl Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
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
