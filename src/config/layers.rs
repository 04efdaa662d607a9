//! Values from several places, and the typed reading of them that collects what is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::{Problem, Secret, Shown};
use crate::net::target::Target;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: the code's own.
    Default,
    /// In a file: its path, line and column.
    File(PathBuf, usize, usize),
    /// In this environment variable.
    Environment(String),
    /// By this flag.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line, column) => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value as it was given: a command line and an environment have only text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Text.
    Text(String),
    /// A number, from a file.
    Integer(i64),
    /// Several texts.
    List(Vec<String>),
    /// `true` or `false`, from a file.
    Boolean(bool),
    /// A section of which there may be several.
    Entry,
}

/// Values by key; the first one given for a key stays.
#[derive(Clone, Debug, Default)]
pub struct Layers(BTreeMap<String, (Given, Source)>);

impl Layers {
    /// Adds a value, unless a stronger layer gave one. Empty text counts as not given, so that a variable can be
    /// unset by emptying it.
    pub fn give(&mut self, key: &str, given: Given, source: Source) {
        if given != Given::Text(String::new()) {
            self.0.entry(key.to_owned()).or_insert((given, source));
        }
    }
}

/// Reads typed values out of layers, and collects what is wrong.
pub(super) struct Reader {
    layers: Layers,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    shown: Vec<Shown>,
}

impl Reader {
    pub(super) fn new(layers: Layers, problems: Vec<Problem>) -> Self {
        Self {
            layers,
            problems,
            warnings: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// What is shown, the problems, the warnings.
    pub(super) fn finish(self) -> (Vec<Shown>, Vec<Problem>, Vec<String>) {
        (self.shown, self.problems, self.warnings)
    }

    fn place(&self, key: &str) -> String {
        let given = self.layers.0.get(key);
        given.map_or_else(|| Source::Default.to_string(), |(_, source)| source.to_string())
    }

    /// Notes something about a key's value that is no problem.
    pub(super) fn warning(&mut self, key: &str, warning: String) {
        let at = self.place(key);
        self.warnings.push(format!("{at}: {key}: {warning}"));
    }

    /// Notes something wrong with a key's value.
    pub(super) fn problem(&mut self, key: &str, problem: String) {
        let at = self.place(key);
        self.problems.push(Problem {
            at,
            key: key.to_owned(),
            problem,
        });
    }

    /// Reads a key: its default where it was not given, or where what was given is wrong.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        default: T,
        parse: impl FnOnce(&Given) -> Result<T, String>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let (value, source) = match self.layers.0.get(key) {
            None => (default, Source::Default),
            Some((given, source)) => match parse(given) {
                Ok(value) => (value, source.clone()),
                Err(problem) => {
                    self.problem(key, problem);
                    return default;
                }
            },
        };
        self.shown.push(Shown {
            key: key.to_owned(),
            value: show(&value),
            source: source.to_string(),
        });
        value
    }

    pub(super) fn addr(&mut self, key: &str, default: SocketAddr) -> SocketAddr {
        self.read(
            key,
            default,
            |given| parse_addr(text(given)?, default.ip()),
            ToString::to_string,
        )
    }

    pub(super) fn millis(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(key, default, range, "milliseconds", "ms"))
    }

    pub(super) fn number(
        &mut self,
        key: &str,
        default: u64,
        range: RangeInclusive<u64>,
        unit: &str,
        short: &str,
    ) -> u64 {
        let parse = |given: &Given| whole_number(given, &range, unit);
        self.read(key, default, parse, |n| format!("{n} {short}"))
    }

    /// Whether anybody gave this key.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.layers.0.contains_key(key)
    }

    /// Corrects what is shown of a key that another one changed.
    pub(super) fn show_again(&mut self, key: &str, value: String, source: &str) {
        if let Some(shown) = self.shown.iter_mut().find(|shown| shown.key == key) {
            shown.value = value;
            shown.source = source.to_owned();
        }
    }

    pub(super) fn target(&mut self, key: &str) -> Option<Target> {
        let parse = |given: &Given| {
            let target = Target::parse(text(given)?).map_err(|e| format!("{e}; {}", e.hint()))?;
            Ok(Some(target))
        };
        let show = |t: &Option<Target>| {
            t.as_ref()
                .map_or("the server inside".to_owned(), ToString::to_string)
        };
        self.read(key, None, parse, show)
    }

    pub(super) fn seconds(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(key, default, range, "seconds", "s"))
    }

    pub(super) fn name(&mut self, key: &str, default: &str) -> String {
        let parse = |given: &Given| {
            let name = text(given)?;
            if name.trim().is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
                return Err("is not a name of at most 256 bytes, without control characters".to_owned());
            }
            Ok(name.to_owned())
        };
        self.read(key, default.to_owned(), parse, |n| format!("{n:?}"))
    }

    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        let parse = |given: &Given| {
            let token = text(given)?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            if token.len() < 8 || !token.bytes().all(plain) {
                return Err(
                    "is not a token: at least 8 of A-Z a-z 0-9 - . _ ~, which a URL takes as they are"
                        .to_owned(),
                );
            }
            Ok(Some(Secret(token.to_owned())))
        };
        self.read(key, None, parse, |t| {
            t.as_ref()
                .map_or("none asked for".to_owned(), |t| format!("{t:?}"))
        })
    }

    pub(super) fn switch(&mut self, key: &str, default: bool) -> bool {
        let parse = |given: &Given| match given {
            Given::Boolean(switch) => Ok(*switch),
            _ => Err("is neither true nor false, without quotes".to_owned()),
        };
        self.read(key, default, parse, |switch| {
            if *switch { "yes" } else { "no" }.to_owned()
        })
    }

    pub(super) fn origins(&mut self, key: &str) -> Vec<String> {
        let parse = |given: &Given| {
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
        };
        let show = |o: &Vec<String>| {
            if o.is_empty() {
                "no web page".to_owned()
            } else {
                o.join(", ")
            }
        };
        self.read(key, Vec::new(), parse, show)
    }

    pub(super) fn bytes(&mut self, key: &str) -> Option<Bytes> {
        let parse = |given: &Given| Ok(Some(Bytes::from(text(given)?.to_owned())));
        let show = |b: &Option<Bytes>| {
            b.as_ref().map_or("by protocol".to_owned(), |b| {
                format!("{:?}", String::from_utf8_lossy(b))
            })
        };
        self.read(key, None, parse, show)
    }

    /// A path; one in a file is relative to that file's folder.
    pub(super) fn path(
        &mut self,
        key: &str,
        folder: Option<&Path>,
        default: Option<PathBuf>,
        none: &str,
    ) -> Option<PathBuf> {
        let in_file = matches!(self.layers.0.get(key), Some((_, Source::File(..))));
        let parse = |given: &Given| {
            let path = PathBuf::from(text(given)?);
            Ok(Some(match folder {
                Some(folder) if in_file => folder.join(path),
                _ => path,
            }))
        };
        self.read(key, default, parse, |p| {
            p.as_ref().map_or(none.to_owned(), |p| p.display().to_string())
        })
    }
}

pub(super) fn whole_number(given: &Given, range: &RangeInclusive<u64>, unit: &str) -> Result<u64, String> {
    let number = match given {
        Given::Integer(n) => u64::try_from(*n).ok(),
        Given::Text(t) => t.trim().parse().ok(),
        _ => None,
    };
    let (low, high) = (range.start(), range.end());
    number
        .filter(|n| range.contains(n))
        .ok_or_else(|| format!("is not a whole number of {unit} from {low} to {high}"))
}

pub(super) fn text(given: &Given) -> Result<&str, String> {
    match given {
        Given::Text(text) => Ok(text),
        Given::Integer(_) => Err("is a number; put it in quotes".to_owned()),
        Given::List(_) => Err("is a list, not one text".to_owned()),
        Given::Boolean(_) | Given::Entry => Err("is not a text; put it in quotes".to_owned()),
    }
}

/// `127.0.0.1:54817`, `[::1]:54817`, `localhost:54817`, or just `:54817` or `54817` on the default's host.
fn parse_addr(text: &str, host: IpAddr) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    let port = text
        .strip_prefix(':')
        .or_else(|| text.strip_prefix("localhost:"))
        .unwrap_or(text);
    match port.parse() {
        Ok(port) => Ok(SocketAddr::new(host, port)),
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
        let local = IpAddr::from([127, 0, 0, 1]);
        for (text, wanted) in [
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:2", "[::1]:2"),
            ("localhost:3", "127.0.0.1:3"),
            (":4", "127.0.0.1:4"),
            ("5", "127.0.0.1:5"),
        ] {
            assert_eq!(parse_addr(text, local).unwrap().to_string(), wanted);
        }
        for text in ["", "host:1", "1.2.3.4", "70000", "ws://127.0.0.1:1"] {
            assert!(parse_addr(text, local).is_err(), "{text}");
        }
    }
}
