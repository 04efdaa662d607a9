//! The typed reading of a section's keys, with defaults and ranges of its table.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ::bytes::Bytes;

use super::layers::{Given, Reader};
use super::table::{Key, Kind, Preset, Section, Unit};
use super::{Origins, Secret, bytes};
use crate::net::foreign::is_origin;
use crate::net::listen::{Listen, Place};

/// The keys of a section, or of one of the sections that may be repeated.
pub(super) struct Keys<'a> {
    pub(super) reader: &'a mut Reader,
    section: &'static Section,
    /// Which of the repeated ones.
    n: Option<usize>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(reader: &'a mut Reader, section: &'static Section) -> Self {
        Self {
            reader,
            section,
            n: None,
        }
    }

    /// Reads each of the sections that may be repeated.
    pub(super) fn entries<T>(
        reader: &mut Reader,
        section: &'static Section,
        read: impl Fn(&mut Keys<'_>) -> T,
    ) -> Vec<T> {
        let mut entries = Vec::new();
        while reader.is_given(&format!("{}.{}", section.name, entries.len())) {
            entries.push(read(&mut Keys {
                reader: &mut *reader,
                section,
                n: Some(entries.len()),
            }));
        }
        entries
    }

    fn key(&self, name: &str) -> &'static Key {
        let mut keys = self.section.keys.iter();
        keys.find(|key| key.name == name)
            .expect("what is read is in the section's table")
    }

    /// `devices.listen`, `serial.0.port`; the section itself without a name.
    fn full(&self, name: &str) -> String {
        let mut full = self.section.name.to_owned();
        if let Some(n) = self.n {
            full += &format!(".{n}");
        }
        if !name.is_empty() {
            full += &format!(".{name}");
        }
        full
    }

    pub(super) fn is_given(&self, name: &str) -> bool {
        self.reader.is_given(&self.full(name))
    }

    /// Whether any key of a table within this section is given.
    pub(super) fn is_any_given(&self, table: &str) -> bool {
        let mut keys = self.section.keys.iter();
        keys.any(|key| key.name.starts_with(table) && self.is_given(key.name))
    }

    /// Shows the value that applies although the key was left out.
    pub(super) fn show_instead(&mut self, name: &str, value: String, source: &str) {
        let full = self.full(name);
        self.reader.show(&full, value, source.to_owned());
    }

    /// Notes something wrong with a key, or without a name with the whole section.
    pub(super) fn problem(&mut self, name: &str, problem: impl Into<String>) {
        let full = self.full(name);
        self.reader.problem(&full, problem.into());
    }

    /// Notes something about a key that still holds.
    pub(super) fn warning(&mut self, name: &str, warning: impl Into<String>) {
        let full = self.full(name);
        self.reader.warning(&full, warning.into());
    }

    /// Warns of each of these keys that is given, though what it depends on is not.
    pub(super) fn no_effect_without(&mut self, names: &[&str], missing: &str) {
        for name in names {
            if self.is_given(name) {
                self.warning(name, format!("has no effect without {missing}"));
            }
        }
    }

    /// Reads a key, or else its default.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&Given) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let full = self.full(name);
        self.reader.read(&full, self.key(name), parse, show)
    }

    pub(super) fn addresses(&mut self, name: &str) -> Listen {
        let Preset::Localhost(default) = self.key(name).default else {
            unreachable!("{name} is on both loopback addresses by default");
        };
        self.read(name, addresses, ToString::to_string)
            .unwrap_or(Place::Localhost(default).into())
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.read(name, switch, ToString::to_string)
    }

    pub(super) fn number(&mut self, name: &str) -> Option<i64> {
        let key = self.key(name);
        let Kind::Number(unit, range) = &key.kind else {
            unreachable!("{name} is a number");
        };
        let parse = |given: &Given| whole_number(given, range, *unit, key.example);
        self.read(name, parse, |number| format!("{number} {}", unit.short()))
    }

    /// A number of milliseconds or seconds that has a default.
    pub(super) fn time(&mut self, name: &str) -> Duration {
        let number = self.number(name).unwrap_or_default().unsigned_abs();
        match self.key(name).kind {
            Kind::Number(Unit::Seconds, _) => Duration::from_secs(number),
            _ => Duration::from_millis(number),
        }
    }

    pub(super) fn choice<T: Copy + PartialEq>(
        &mut self,
        name: &str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let show = |value: &T| {
            let mut choices = choices.iter();
            let choice = choices.find(|(_, choice)| choice == value);
            choice.map_or("", |(word, _)| word).to_owned()
        };
        self.read(name, |given| pick(given, choices), show)
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let parse = |given: &Given| text(given).map(str::to_owned);
        self.read(name, parse, |text| format!("{text:?}"))
    }

    /// A number of 16 bits that people write in hexadecimal.
    pub(super) fn id(&mut self, name: &str, what: &str) -> Option<u16> {
        let example = self.key(name).example;
        let short = name.rsplit('.').next().unwrap_or(name);
        let parse = |given: &Given| {
            let id = match given {
                Given::Text(text) => u16::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok(),
                // Without quotes, the digits of a hexadecimal id would be read as a different number.
                Given::Integer(n) => {
                    return Err(format!(
                        "is a decimal number; put it in quotes: {short} = \"{n:04}\""
                    ));
                }
                _ => None,
            };
            id.ok_or_else(|| format!("is not {what}: four hexadecimal digits, such as {example}"))
        };
        self.read(name, parse, |id| format!("{id:04x}"))
    }

    /// A name that people see.
    pub(super) fn name(&mut self, name: &str) -> Option<String> {
        let parse = |given: &Given| {
            let name = text(given)?;
            if name.trim().is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
                return Err("is not a name of at most 256 bytes, without control characters".to_owned());
            }
            Ok(name.to_owned())
        };
        self.read(name, parse, |name| format!("{name:?}"))
    }

    pub(super) fn secret(&mut self, name: &str) -> Option<Secret> {
        let parse = |given: &Given| {
            let token = text(given)?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            if token.len() < 8 || !token.bytes().all(plain) {
                return Err(
                    "is not a token: at least 8 of A-Z a-z 0-9 - . _ ~, which a URL takes as they are"
                        .to_owned(),
                );
            }
            Ok(Secret(token.to_owned()))
        };
        self.masked(name, parse)
    }

    pub(super) fn password(&mut self, name: &str) -> Option<Secret> {
        let parse = |given: &Given| {
            let password = text(given)?;
            if password.chars().count() < 8
                || password.len() > 1_024
                || password.chars().any(char::is_control)
            {
                return Err("is not a password: at least 8 characters, and no control characters".to_owned());
            }
            Ok(Secret(password.to_owned()))
        };
        self.masked(name, parse)
    }

    /// A password that another program has chosen.
    pub(super) fn foreign_password(&mut self, name: &str) -> Option<Secret> {
        let parse = |given: &Given| {
            let password = text(given)?;
            if password.len() > 1_024 || password.chars().any(char::is_control) {
                return Err("is not a password of at most 1024 bytes, without control characters".to_owned());
            }
            Ok(Secret(password.to_owned()))
        };
        self.masked(name, parse)
    }

    fn masked(&mut self, name: &str, parse: impl Fn(&Given) -> Result<Secret, String>) -> Option<Secret> {
        let secret = self.read(name, parse, |secret| format!("{secret:?}"))?;
        let full = self.full(name);
        self.reader.notes.secrets.insert(full, secret.clone());
        Some(secret)
    }

    pub(super) fn origins(&mut self, name: &str) -> Vec<String> {
        let origins = self.read(name, origins, |origins| origins.join(", "));
        origins.unwrap_or_default()
    }

    /// Which web pages may be apps.
    pub(super) fn app_origins(&mut self, name: &str) -> Origins {
        let origins = self.read(name, app_origins, ToString::to_string);
        origins.unwrap_or_default()
    }

    /// Names of hosts, in lower case.
    pub(super) fn hosts(&mut self, name: &str) -> Vec<String> {
        let hosts = self.read(name, hosts, |hosts| hosts.join(", "));
        hosts.unwrap_or_default()
    }

    /// A path; one in a file is relative to that file's folder.
    pub(super) fn path(&mut self, name: &str) -> Option<PathBuf> {
        let folder = self.reader.folder_of(&self.full(name));
        let parse = |given: &Given| {
            let path = PathBuf::from(text(given)?);
            Ok(folder.as_ref().map_or(path.clone(), |folder| folder.join(path)))
        };
        self.read(name, parse, |path| path.display().to_string())
    }

    pub(super) fn bytes(&mut self, name: &str) -> Option<Bytes> {
        let bytes = self.read(name, bytes::parse, |bytes| bytes::show(bytes))?;
        if let Some(warning) = self.reader.given(&self.full(name)).and_then(bytes::doubt) {
            self.warning(name, warning);
        }
        Some(bytes)
    }
}

/// The text of a value.
pub(super) fn text(given: &Given) -> Result<&str, String> {
    match given {
        Given::Text(text) => Ok(text),
        Given::Integer(_) | Given::Hex(_) => Err("is a number; put it in quotes".to_owned()),
        Given::List(_) => Err("is a list, not one text".to_owned()),
        Given::Boolean(_) | Given::Entry => Err("is not a text; put it in quotes".to_owned()),
    }
}

/// One or several addresses to listen on; on a command line they are separated by commas.
fn addresses(given: &Given) -> Result<Listen, String> {
    let given: Vec<&str> = match given {
        Given::List(list) => list.iter().map(String::as_str).collect(),
        given => text(given)?.split(',').collect(),
    };
    let mut places: Vec<Place> = Vec::new();
    for text in given {
        let place = parse_place(text)?;
        for address in Listen::from(place).addresses() {
            if let Some(within) = overlapping(&places, address) {
                return Err(format!(
                    "{} is within {within} already; leave one of them out",
                    text.trim()
                ));
            }
        }
        places.push(place);
    }
    Listen::new(places).ok_or_else(|| "is an empty list; leave the key out instead".to_owned())
}

/// The address of these places that overlaps `address`, so that both cannot be opened.
fn overlapping(places: &[Place], address: SocketAddr) -> Option<SocketAddr> {
    let overlaps = |other: &SocketAddr| {
        let (a, b) = (address.ip(), other.ip());
        address.port() != 0
            && address.port() == other.port()
            && a.is_ipv4() == b.is_ipv4()
            && (a == b || a.is_unspecified() || b.is_unspecified())
    };
    let mut others = places.iter().flat_map(|place| place.addresses());
    others.find(overlaps)
}

fn origins(given: &Given) -> Result<Vec<String>, String> {
    let origins = match given {
        Given::List(list) => list.clone(),
        Given::Text(list) => list.split(',').map(|o| o.trim().to_owned()).collect(),
        _ => return Err("is not a list of origins".to_owned()),
    };
    for origin in &origins {
        let host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        if origin != "null" && !host.is_some_and(|h| !h.is_empty() && !h.contains('/')) {
            return Err(format!(
                "{origin:?} is not an origin such as \"https://example.org\", without a path"
            ));
        }
    }
    Ok(origins)
}

fn app_origins(given: &Given) -> Result<Origins, String> {
    let origins = match given {
        Given::Text(word) if word == "any" => return Ok(Origins::Any),
        Given::Text(word) if word == "ask" => return Ok(Origins::Ask),
        Given::List(list) => list,
        _ => {
            return Err(
                "is none of \"any\", \"ask\", and a list of origins such as [\"https://xtoys.app\"]"
                    .to_owned(),
            );
        }
    };
    // Pages of extensions and of files have origins too.
    let is_page = |origin: &str| {
        origin == "null"
            || origin.split_once("://").is_some_and(|(scheme, host)| {
                !scheme.is_empty() && !host.contains('/') && (!host.is_empty() || scheme == "file")
            })
    };
    match origins
        .iter()
        .find(|origin| !is_origin(origin) || !is_page(origin))
    {
        Some(other) => Err(format!(
            "{other:?} is not an origin such as \"https://xtoys.app\", without a path"
        )),
        // As browsers send them.
        None => Ok(Origins::Listed(
            origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
        )),
    }
}

fn hosts(given: &Given) -> Result<Vec<String>, String> {
    let hosts = match given {
        Given::List(list) => list.clone(),
        Given::Text(list) => list.split(',').map(|host| host.trim().to_owned()).collect(),
        _ => return Err("is not a list of host names".to_owned()),
    };
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
    };
    match hosts.iter().find(|host| !is_host(host)) {
        Some(other) => Err(format!(
            "{other:?} is not a host name such as \"gateway.example\""
        )),
        None => Ok(hosts.iter().map(|host| host.to_ascii_lowercase()).collect()),
    }
}

fn switch(given: &Given) -> Result<bool, String> {
    match given {
        Given::Boolean(switch) => Ok(*switch),
        Given::Text(text) if text == "true" => Ok(true),
        Given::Text(text) if text == "false" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

fn whole_number(
    given: &Given,
    range: &RangeInclusive<i64>,
    unit: Unit,
    example: &str,
) -> Result<i64, String> {
    let number = match given {
        Given::Integer(number) => Some(*number),
        Given::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        let (unit, low, high) = (unit.words(), range.start(), range.end());
        let example = match example {
            "" => String::new(),
            example => format!(", such as {example}"),
        };
        format!("is not a whole number of {unit} from {low} to {high}{example}")
    })
}

fn pick<T: Copy>(given: &Given, choices: &[(&str, T)]) -> Result<T, String> {
    let given = match given {
        Given::Text(text) => text.clone(),
        Given::Integer(number) => number.to_string(),
        _ => String::new(),
    };
    let choice = choices.iter().find(|(word, _)| *word == given);
    choice.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        format!("is none of {}", words.join(", "))
    })
}

/// `127.0.0.1:54817`, `[::1]:54817`, `localhost:54817`, or just `:54817` or `54817` for localhost.
fn parse_place(text: &str) -> Result<Place, String> {
    let text = text.trim();
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(addr.into());
    }
    let port = text
        .strip_prefix(':')
        .or_else(|| text.strip_prefix("localhost:"))
        .unwrap_or(text);
    match port.parse() {
        Ok(port) => Ok(Place::Localhost(port)),
        Err(_) if text.starts_with("ws://") => Err(format!("{text:?} is a URL; leave the ws:// out")),
        Err(_) if text.parse::<IpAddr>().is_ok() => {
            Err(format!("{text:?} has no port, as in \"{text}:54817\""))
        }
        Err(_) => Err(format!(
            "{text:?} is not an address and a port, as in \"127.0.0.1:54817\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, wanted) in [
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:2", "[::1]:2"),
            ("localhost:3", "127.0.0.1:3, [::1]:3"),
            (":4", "127.0.0.1:4, [::1]:4"),
            ("5", "127.0.0.1:5, [::1]:5"),
            (
                "10.0.0.1:6, [::1]:6,7",
                "10.0.0.1:6, [::1]:6, 127.0.0.1:7, [::1]:7",
            ),
            ("0.0.0.0:8,[::]:8", "0.0.0.0:8, [::]:8"),
            ("127.0.0.1:0,127.0.0.1:0", "127.0.0.1:0, 127.0.0.1:0"),
        ] {
            let given = Given::Text(text.to_owned());
            assert_eq!(addresses(&given).unwrap().to_string(), wanted);
            let list = Given::List(text.split(',').map(str::to_owned).collect());
            assert_eq!(addresses(&list).unwrap().to_string(), wanted);
        }
        for text in [
            "",
            "host:1",
            "1.2.3.4",
            "70000",
            "ws://127.0.0.1:1",
            "127.0.0.1:1,",
            "0.0.0.0:1,127.0.0.1:1",
            "localhost:1,[::]:1",
            "1,1",
        ] {
            assert!(addresses(&Given::Text(text.to_owned())).is_err(), "{text}");
        }
        assert!(addresses(&Given::List(Vec::new())).is_err());
    }
}
