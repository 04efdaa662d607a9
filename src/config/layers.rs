//! Values from several places, and a reader of them that collects what is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::table::{Key, Preset};
use super::{Problem, Secret, Shown};

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
    /// `{ hex = "05 80 80" }`, from a file: the digits.
    Hex(String),
    /// A section of which there may be several.
    Entry,
}

impl Given {
    /// As it stands in a file.
    pub(super) fn toml(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::List(list) => format!("{list:?}"),
            Self::Boolean(value) => value.to_string(),
            Self::Hex(digits) => format!("{{ hex = {digits:?} }}"),
            Self::Entry => String::new(),
        }
    }
}

/// Values by key; the first one given for a key stays.
#[derive(Clone, Default)]
pub struct Layers {
    values: BTreeMap<String, (Given, Source)>,
    /// Sections in addition to the file's, each with one key: section, key, value, source.
    entries: Vec<(&'static str, &'static str, Given, Source)>,
}

/// Where each key was given. The values may be secrets.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self
            .values
            .iter()
            .map(|(key, (_, source))| (key.as_str(), source));
        let entries = self
            .entries
            .iter()
            .map(|(section, _, _, source)| (*section, source));
        f.debug_map().entries(places.chain(entries)).finish()
    }
}

impl Layers {
    /// Adds a value, unless a stronger layer gave one. Empty text counts as not given, so that a variable can be
    /// unset by emptying it.
    pub fn give(&mut self, key: &str, given: Given, source: Source) {
        if given != Given::Text(String::new()) {
            self.values.entry(key.to_owned()).or_insert((given, source));
        }
    }

    /// Adds a repeated section with this key, after those that the file has.
    pub fn give_entry(&mut self, section: &'static str, key: &'static str, given: Given, source: Source) {
        self.entries.push((section, key, given, source));
    }

    /// Numbers the added sections, after the file's.
    pub(super) fn add_entries(&mut self) {
        for (section, key, given, source) in std::mem::take(&mut self.entries) {
            let mut n = 0;
            while self.values.contains_key(&format!("{section}.{n}")) {
                n += 1;
            }
            self.give(&format!("{section}.{n}"), Given::Entry, source.clone());
            self.give(&format!("{section}.{n}.{key}"), given, source);
        }
    }
}

/// What reading a configuration brings up besides its values.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) problems: Vec<Problem>,
    /// What holds, but hardly does what is meant, one sentence each.
    pub(super) warnings: Vec<String>,
    pub(super) shown: Vec<Shown>,
    /// Secrets by key: what is shown of them does not tell them apart.
    pub(super) secrets: BTreeMap<String, Secret>,
}

/// Reads values out of layers, and collects what is wrong.
pub(super) struct Reader {
    layers: Layers,
    pub(super) notes: Notes,
    /// The folder of the file, to which its paths are relative.
    folder: Option<PathBuf>,
}

impl Reader {
    pub(super) fn new(layers: Layers, notes: Notes, folder: Option<PathBuf>) -> Self {
        Self {
            layers,
            notes,
            folder,
        }
    }

    pub(super) fn given(&self, key: &str) -> Option<&Given> {
        self.layers.values.get(key).map(|(given, _)| given)
    }

    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given(key).is_some()
    }

    /// The folder that this key's path is relative to: one that was given in a file.
    pub(super) fn folder_of(&self, key: &str) -> Option<PathBuf> {
        match self.layers.values.get(key) {
            Some((_, Source::File(..))) => self.folder.clone(),
            _ => None,
        }
    }

    fn place(&self, key: &str) -> String {
        let given = self.layers.values.get(key);
        given.map_or_else(|| Source::Default.to_string(), |(_, source)| source.to_string())
    }

    /// Notes something about a key's value that is no problem.
    pub(super) fn warning(&mut self, key: &str, warning: String) {
        let at = self.place(key);
        self.notes.warnings.push(format!("{at}: {key}: {warning}"));
    }

    /// Notes something wrong with a key's value.
    pub(super) fn problem(&mut self, key: &str, problem: String) {
        let at = self.place(key);
        self.notes.problems.push(Problem {
            at,
            key: key.to_owned(),
            problem,
        });
    }

    /// Reads a key, or else its default; a wrong value is noted.
    pub(super) fn read<T>(
        &mut self,
        full: &str,
        key: &Key,
        parse: impl Fn(&Given) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let (given, source) = match (self.layers.values.get(full), key.given_default()) {
            (Some((given, source)), _) => (given.clone(), source.clone()),
            (None, Some(default)) => (default, Source::Default),
            (None, None) => {
                if let Preset::Unset(words) = key.default
                    && !words.is_empty()
                {
                    self.show(full, words.to_owned(), Source::Default.to_string());
                }
                return None;
            }
        };
        match parse(&given) {
            Ok(value) => {
                self.show(full, show(&value), source.to_string());
                Some(value)
            }
            Err(problem) => {
                self.problem(full, problem);
                key.given_default().and_then(|default| parse(&default).ok())
            }
        }
    }

    /// Shows a key's value, in place of what is shown of it already.
    pub(super) fn show(&mut self, key: &str, value: String, source: String) {
        let key = key.to_owned();
        let shown = Shown { key, value, source };
        match self.notes.shown.iter_mut().find(|s| s.key == shown.key) {
            Some(before) => *before = shown,
            None => self.notes.shown.push(shown),
        }
    }
}
