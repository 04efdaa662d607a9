//! gateway.toml -> values with their place in the file.

use std::collections::HashSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::layers::{Given, Layers, Notes, Source};
use super::table::{Key, Kind, Section};
use super::{Problem, SECTIONS, board};
use crate::text::shell_word;

/// A configuration has a few kilobytes; more than this is another file.
const MAX_BYTES: u64 = 1024 * 1024;
/// Names less alike than this are not taken for typing errors.
const NEAREST_MIN_SIMILARITY: f64 = 0.7;

/// A key that people write instead of the identifier.
const PROTOCOL: &str = "protocol";

/// Reads a file into the layers, and notes what is wrong with it.
pub(super) fn read(path: &Path, layers: &mut Layers, notes: &mut Notes) {
    let problems = &mut notes.problems;
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
    read_text(path, &text, layers, notes);
}

/// Reads the text of the file at `path` into the layers, and notes what is wrong with it.
pub(super) fn read_text(path: &Path, text: &str, layers: &mut Layers, notes: &mut Notes) {
    let mut reading = Reading {
        path,
        text,
        layers,
        notes,
        seen: HashSet::new(),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
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
    notes: &'a mut Notes,
    /// The keys that the file has.
    seen: HashSet<String>,
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
        self.notes.problems.push(Problem {
            at,
            key: key.to_owned(),
            problem,
        });
    }

    fn sections(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            let Some(section) = SECTIONS.iter().find(|section| section.name == name.get_ref()) else {
                let problem = unknown("section", name.get_ref(), SECTIONS.iter().map(|s| s.name));
                self.problem(at, name.get_ref(), problem);
                continue;
            };
            match value.get_ref() {
                DeValue::Array(entries) if section.repeated => self.entries(section, entries),
                _ if section.repeated => {
                    let name = section.name;
                    let problem =
                        format!("is one section; write it as [[{name}]], of which there may be several");
                    self.problem(value.span().start, name, problem);
                }
                DeValue::Table(table) => self.table(section, section.name, "", table),
                other => {
                    let (kind, name) = (kind(other), section.name);
                    self.problem(at, name, format!("is {kind}, not a section [{name}]"));
                }
            }
        }
    }

    /// `[[name]]`, any number of times.
    fn entries(&mut self, section: &Section, entries: &[Spanned<DeValue<'_>>]) {
        for (n, entry) in entries.iter().enumerate() {
            let at = entry.span().start;
            let key = format!("{}.{n}", section.name);
            let DeValue::Table(table) = entry.get_ref() else {
                self.problem(at, &key, format!("is not a section [[{}]]", section.name));
                continue;
            };
            self.layers.give(&key, Given::Entry, self.source(at));
            self.table(section, &key, "", table);
        }
    }

    /// The values of a section, and of the tables in it. `full` is the section with its number, `within` the table's
    /// name and a dot.
    fn table(&mut self, section: &Section, full: &str, within: &str, table: &DeTable<'_>) {
        for (written, value) in table {
            let name = format!("{within}{}", written.get_ref());
            let place = format!("{full}.{name}");
            let inner = format!("{name}.");
            let inside = |key: &Key| key.name.starts_with(&inner);
            // Some keys take either a word or a table.
            let is_table = matches!(value.get_ref(), DeValue::Table(_)) && section.keys.iter().any(inside);
            let mut keys = section.keys.iter();
            if let Some(key) = keys.find(|key| key.name == name).filter(|_| !is_table) {
                self.value(key, &place, value);
            } else if let Some(key) = section
                .keys
                .iter()
                .find(|key| key.aliases.contains(&name.as_str()))
            {
                self.former(key, full, written, value);
            } else if section.keys.iter().any(inside) {
                match value.get_ref() {
                    DeValue::Table(table) => self.table(section, full, &inner, table),
                    other => {
                        let known = section
                            .keys
                            .iter()
                            .filter_map(|key| key.name.strip_prefix(&inner));
                        let problem = format!(
                            "is {}, not a table such as {{ {} = ... }}",
                            kind(other),
                            known.collect::<Vec<_>>().join(" | ")
                        );
                        self.problem(value.span().start, &place, problem);
                    }
                }
            } else {
                let known = section
                    .keys
                    .iter()
                    .filter_map(|key| key.name.strip_prefix(within));
                let mut known: Vec<&str> = known.filter_map(|known| known.split('.').next()).collect();
                known.dedup();
                let problem = match written.get_ref().as_ref() {
                    PROTOCOL if known.contains(&board::IDENTIFIER.name) => {
                        no_protocol(value.get_ref().as_str())
                    }
                    other => unknown("key", other, known.into_iter()),
                };
                self.problem(written.span().start, &place, problem);
            }
        }
    }

    /// A key under a name that it had before.
    fn former(
        &mut self,
        key: &Key,
        full: &str,
        written: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let at = self.source(written.span().start);
        let place = format!("{full}.{}", written.get_ref());
        self.notes
            .warnings
            .push(format!("{at}: {place}: is now called {}", key.name));
        self.value(key, &format!("{full}.{}", key.name), value);
    }

    fn value(&mut self, key: &Key, full: &str, value: &Spanned<DeValue<'_>>) {
        let at = value.span().start;
        let given = match value.get_ref() {
            DeValue::String(text) if text.is_empty() => {
                return self.problem(at, full, "is empty; leave the key out instead".to_owned());
            }
            DeValue::String(text) => Some(Given::Text(text.to_string())),
            // `0x2341` is unmistakably hexadecimal.
            DeValue::Integer(n) if n.radix() == 16 && matches!(key.kind, Kind::Form(_)) => {
                Some(Given::Text(n.as_str().to_owned()))
            }
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
                .ok()
                .map(Given::Integer),
            DeValue::Boolean(value) => Some(Given::Boolean(*value)),
            DeValue::Array(items) => items
                .iter()
                .map(|i| i.get_ref().as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .map(Given::List),
            DeValue::Table(table) if matches!(key.kind, Kind::Bytes) => {
                let digits = match table.iter().next() {
                    Some((name, digits)) if table.len() == 1 && name.get_ref() == "hex" => {
                        digits.get_ref().as_str()
                    }
                    _ => None,
                };
                let Some(digits) = digits else {
                    let problem = "is not a table such as { hex = \"05 80 80\" }";
                    return self.problem(at, full, problem.to_owned());
                };
                Some(Given::Hex(digits.to_owned()))
            }
            _ => None,
        };
        let Some(given) = given else {
            let kind = kind(value.get_ref());
            return self.problem(at, full, format!("is {kind}, which does not belong here"));
        };
        // A file has a key once, unless it also has it under its former name.
        if !self.seen.insert(full.to_owned()) {
            return self.problem(at, full, "is there twice, under its former name too".to_owned());
        }
        self.layers.give(full, given, self.source(at));
    }
}

/// What a value is, with its article.
fn kind(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// The problem with a `protocol` key: an entry has an identifier, and the UDCF maps that to a protocol.
fn no_protocol(protocol: Option<&str>) -> String {
    let (key, protocol) = (board::IDENTIFIER.name, shell_word(protocol.unwrap_or("PROTOCOL")));
    format!(
        "there is no key of this name; the protocol follows from {key}, a name in the UDCF such as {}; to make one: \
         wsdm-gateway udcf add --protocol {protocol} --websocket NAME FILE",
        board::IDENTIFIER.example
    )
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
