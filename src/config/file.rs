//! gateway.toml -> values with their place in the file.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;
use super::layers::{Given, Layers, Source};

/// What a file may hold.
const KEYS: &[(&str, &[&str])] = &[
    (
        "devices",
        &[
            "listen",
            "announce",
            "token",
            "origins",
            "handshake_timeout_ms",
            "ping_interval_ms",
            "on_close",
        ],
    ),
    (
        "clients",
        &[
            "listen",
            "server_name",
            "max_ping_time_ms",
            "handshake_timeout_ms",
            "ping_interval_ms",
        ],
    ),
    ("upstream", &["relay", "ca", "upstream_grace_s"]),
    ("udcf", &["path"]),
    ("state", &["path"]),
];

/// The sections that may stand several times.
const ENTRIES: &[(&str, &[&str])] = &[("serial", super::serial::KEYS), ("ble", super::ble::KEYS)];

/// A configuration has a few kilobytes; more than this is another file.
const MAX_BYTES: u64 = 1024 * 1024;
/// Names less alike than this are not taken for typing errors.
const NEAREST_MIN_SIMILARITY: f64 = 0.7;

/// Reads a file into the layers; whatever is wrong with it becomes a problem.
pub(super) fn read(path: &Path, layers: &mut Layers, problems: &mut Vec<Problem>) {
    let whole = |problem: String| Problem {
        at: path.display().to_string(),
        key: String::new(),
        problem,
    };
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return problems.push(whole("is a directory, not a file".to_owned())),
        Ok(meta) if meta.len() > MAX_BYTES => {
            return problems.push(whole(format!("has {} bytes: not a gateway.toml", meta.len())));
        }
        _ => {}
    }
    let text = match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => return problems.push(whole(format!("is not UTF-8: {}", e.utf8_error()))),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return problems.push(whole(
                "is not there; to get one: wsdm-gateway init > gateway.toml".to_owned(),
            ));
        }
        Err(e) => return problems.push(whole(format!("cannot be read: {e}"))),
    };
    let mut reading = Reading {
        path,
        text: &text,
        layers,
        problems,
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        let start = error.span().map_or(0, |s| s.start);
        reading.problem(start, "", error.message().to_owned());
    }
    reading.sections(table.get_ref());
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    layers: &'a mut Layers,
    problems: &'a mut Vec<Problem>,
}

impl Reading<'_> {
    fn source(&self, at: usize) -> Source {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Source::File(self.path.to_owned(), line, column)
    }

    fn problem(&mut self, at: usize, key: &str, problem: String) {
        let at = self.source(at).to_string();
        self.problems.push(Problem {
            at,
            key: key.to_owned(),
            problem,
        });
    }

    fn sections(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            if let Some((section, keys)) = ENTRIES.iter().find(|(section, _)| section == name.get_ref()) {
                self.entries(section, keys, value);
                continue;
            }
            let Some((section, keys)) = KEYS.iter().find(|(section, _)| section == name.get_ref()) else {
                let sections = KEYS.iter().chain(ENTRIES).map(|(section, _)| *section);
                let problem = unknown("section", name.get_ref(), sections);
                self.problem(at, name.get_ref(), problem);
                continue;
            };
            let DeValue::Table(values) = value.get_ref() else {
                self.problem(
                    at,
                    section,
                    format!("is a {}, not a section [{section}]", value.get_ref().type_str()),
                );
                continue;
            };
            for (key, value) in values {
                let full = format!("{section}.{}", key.get_ref());
                if keys.contains(&key.get_ref().as_ref()) {
                    self.value(&full, value);
                } else {
                    let problem = unknown("key", key.get_ref(), keys.iter().copied());
                    self.problem(key.span().start, &full, problem);
                }
            }
        }
    }

    /// `[[name]]`, any number of times.
    fn entries(&mut self, name: &str, keys: &[&str], value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(entries) = value.get_ref() else {
            let problem = format!("is one section; write it as [[{name}]], of which there may be several");
            return self.problem(value.span().start, name, problem);
        };
        for (n, entry) in entries.iter().enumerate() {
            let at = entry.span().start;
            let key = format!("{name}.{n}");
            let DeValue::Table(table) = entry.get_ref() else {
                self.problem(at, &key, format!("is not a section [[{name}]]"));
                continue;
            };
            self.layers.give(&key, Given::Entry, self.source(at));
            self.entry(&key, "", keys, table);
        }
    }

    /// The values of an entry, and of the tables in it; `within` is the table's name and a dot.
    fn entry(&mut self, entry: &str, within: &str, keys: &[&str], table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{within}{}", key.get_ref());
            let inner = format!("{name}.");
            let full = format!("{entry}.{name}");
            if keys.contains(&name.as_str()) {
                self.value(&full, value);
            } else if keys.iter().any(|known| known.starts_with(&inner)) {
                match value.get_ref() {
                    DeValue::Table(table) => self.entry(entry, &inner, keys, table),
                    other => {
                        let known = keys.iter().filter_map(|known| known.strip_prefix(&inner));
                        let problem = format!(
                            "is a {}, not a table such as {{ {} = ... }}",
                            other.type_str(),
                            known.collect::<Vec<_>>().join(" | ")
                        );
                        self.problem(value.span().start, &full, problem);
                    }
                }
            } else {
                let known = keys.iter().filter_map(|known| known.strip_prefix(within));
                let mut known: Vec<&str> = known.filter_map(|known| known.split('.').next()).collect();
                known.dedup();
                let problem = unknown("key", key.get_ref(), known.into_iter());
                self.problem(key.span().start, &full, problem);
            }
        }
    }

    fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        let at = value.span().start;
        let given = match value.get_ref() {
            DeValue::String(text) if text.is_empty() => {
                return self.problem(at, key, "is empty; leave the key out instead".to_owned());
            }
            DeValue::String(text) => Some(Given::Text(text.to_string())),
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
                .ok()
                .map(Given::Integer),
            DeValue::Boolean(value) => Some(Given::Boolean(*value)),
            DeValue::Array(items) => items
                .iter()
                .map(|i| i.get_ref().as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .map(Given::List),
            _ => None,
        };
        match given {
            Some(given) => self.layers.give(key, given, self.source(at)),
            None => {
                let kind = value.get_ref().type_str();
                self.problem(
                    at,
                    key,
                    format!("a value of this kind ({kind}) does not belong here"),
                );
            }
        }
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|k| (strsim::jaro_winkler(k, name), k))
        .filter(|(likeness, _)| *likeness >= NEAREST_MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, nearest)) => format!("there is no {what} of this name; did you mean {nearest:?}?"),
        None => format!(
            "there is no {what} of this name; there are {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}
