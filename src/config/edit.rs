//! Edits the text of a gateway.toml: adds and removes entries, and sets keys.
//!
//! Everything else of the text stays as it is, byte for byte: comments, order, what this program does not know, and how
//! lines end.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml_edit::{Document, InlineTable, Item, Table};
use utoipa::ToSchema;

use super::SECTIONS;
use super::table::Section;

/// A value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes, as hexadecimal digits.
    Hex {
        /// The digits.
        hex: String,
    },
}

impl Value {
    /// As it stands in a file.
    fn toml(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => quoted(text),
            Self::Hex { hex } => format!("{{ hex = {} }}", quoted(hex)),
        }
    }
}

/// Text on one line, with control characters escaped.
fn quoted(text: &str) -> String {
    // Both formats have the same escapes, but only JSON takes a DEL as it is.
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{7f}', "\\u007F")
}

/// The keys of an entry, with dots where a key is in a table: `framing.delimiter`.
pub type Keys = BTreeMap<String, Value>;

/// An entry of a repeated section, as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `serial`, `ble` or `dial`.
    pub section: &'static str,
    /// Its number in its section, from 0.
    pub n: usize,
    /// The line at which it begins, from 1.
    pub line: usize,
    /// Its text.
    pub toml: String,
    /// Its keys; those with values of other kinds are left out.
    pub keys: Keys,
}

/// A text to which something was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The new text.
    pub text: String,
    /// What was added.
    pub toml: String,
    /// The line at which that begins, from 1.
    pub line: usize,
}

/// Why a text cannot be edited so. It is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is no TOML.
    #[error("line {line}: {problem}")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// There is no such section.
    #[error("there is no section [[{0}]]; there are [[serial]], [[ble]] and [[dial]]")]
    NoSection(String),
    /// There is no such entry.
    #[error("there is no entry {0}.{1}")]
    NoEntry(String, usize),
    /// A key cannot have this name.
    #[error("{0:?} is not the name of a key")]
    NoKey(String),
    /// The section is written in a form that only a person can edit.
    #[error("{0} is written in a form that cannot be edited here; write it with [[{0}]]")]
    Form(String),
    /// The key has a value of another kind.
    #[error("{0} has a value that cannot be replaced here")]
    Kind(String),
}

/// The entries of a text, by section, in its order.
///
/// # Errors
/// [`EditError::Unreadable`].
pub fn entries(text: &str) -> Result<Vec<Entry>, EditError> {
    let document = parse(text)?;
    let mut found = Vec::new();
    for section in SECTIONS.iter().filter(|section| section.repeated) {
        let Some(Item::ArrayOfTables(tables)) = document.get(section.name) else {
            continue;
        };
        for (n, table) in tables.iter().enumerate() {
            let mut keys = Keys::new();
            flatten(table.iter(), "", &mut keys);
            let blocks = blocks(text, document.as_table(), section.name, n);
            let Some(first) = blocks.first() else { continue };
            let toml = blocks.iter().map(|block| &text[block.header..block.end]);
            found.push(Entry {
                section: section.name,
                n,
                line: line_of(text, first.header),
                toml: toml.collect(),
                keys,
            });
        }
    }
    Ok(found)
}

/// Adds an entry: after the last one of its section, or else at the end.
///
/// # Errors
/// The text is no TOML, or there is no such section or key.
pub fn add(text: &str, section: &str, keys: &Keys) -> Result<Added, EditError> {
    let section = repeated(section)?;
    let document = parse(text)?;
    let at = match document.get(section.name) {
        None => text.len(),
        Some(Item::ArrayOfTables(tables)) => {
            let last = tables.len().saturating_sub(1);
            let blocks = blocks(text, document.as_table(), section.name, last);
            blocks.last().map_or(text.len(), |block| block.end)
        }
        Some(_) => return Err(EditError::Form(section.name.to_owned())),
    };
    let mut lines = vec![format!("[[{}]]", section.name)];
    let place = |key: &str| section.keys.iter().position(|known| known.name == key);
    let mut keys: Vec<(&String, &Value)> = keys.iter().collect();
    keys.sort_by_key(|(key, _)| place(key).unwrap_or(usize::MAX));
    for (key, value) in keys {
        named(key)?;
        lines.push(format!("{key} = {}", value.toml()));
    }
    Ok(insert(text, at, &lines))
}

/// Removes an entry, with the comment right above it.
///
/// # Errors
/// The text is no TOML, or has no such entry.
pub fn remove(text: &str, section: &str, n: usize) -> Result<String, EditError> {
    let section = repeated(section)?;
    let document = parse(text)?;
    if matches!(document.get(section.name), Some(item) if !item.is_array_of_tables()) {
        return Err(EditError::Form(section.name.to_owned()));
    }
    let blocks = blocks(text, document.as_table(), section.name, n);
    if blocks.is_empty() {
        return Err(EditError::NoEntry(section.name.to_owned(), n));
    }
    let mut text = text.to_owned();
    for block in blocks.iter().rev() {
        let Block {
            mut start, mut end, ..
        } = *block;
        let is_blank_after = end == text.len() || is_blank(&text[end..]);
        // One blank line too many would be left.
        if is_blank_after && let Some(before) = blank_before(&text, start) {
            start = before;
        } else if start == 0 && is_blank_after {
            end = line_end(&text, end);
        }
        text.replace_range(start..end, "");
    }
    Ok(text)
}

/// Sets a key of an entry; `None` removes it.
///
/// # Errors
/// The text is no TOML, has no such entry, or has another kind of value there.
pub fn set_in_entry(
    text: &str,
    section: &str,
    n: usize,
    key: &str,
    value: Option<&Value>,
) -> Result<String, EditError> {
    let section = repeated(section)?;
    let document = parse(text)?;
    let table = match document.get(section.name) {
        Some(Item::ArrayOfTables(tables)) => tables.get(n),
        Some(_) => return Err(EditError::Form(section.name.to_owned())),
        None => None,
    };
    let table = table.ok_or_else(|| EditError::NoEntry(section.name.to_owned(), n))?;
    Setter { text, key, value }.in_table(table, "", named(key)?)
}

/// Sets a key of a section that there is once, such as `udcf`; `None` removes it.
///
/// # Errors
/// The text is no TOML, or has another kind of value there.
pub fn set(text: &str, section: &str, key: &str, value: Option<&Value>) -> Result<String, EditError> {
    named(section)?;
    let document = parse(text)?;
    let path = named(key)?;
    let setter = Setter { text, key, value };
    match document.get(section) {
        Some(Item::Table(table)) if table.is_dotted() => setter.in_table(table, &format!("{section}."), path),
        Some(Item::Table(table)) if !table.is_implicit() => setter.in_table(table, "", path),
        Some(Item::Value(toml_edit::Value::InlineTable(table))) => setter.in_inline(table, path),
        None | Some(Item::Table(_)) => Ok(match value {
            Some(value) => {
                let lines = [format!("[{section}]"), format!("{key} = {}", value.toml())];
                insert(text, text.len(), &lines).text
            }
            None => text.to_owned(),
        }),
        Some(_) => Err(EditError::Kind(section.to_owned())),
    }
}

fn parse(text: &str) -> Result<Document<&str>, EditError> {
    Document::parse(text).map_err(|e| EditError::Unreadable {
        line: line_of(text, e.span().map_or(0, |span| span.start)),
        problem: e.message().to_owned(),
    })
}

fn repeated(name: &str) -> Result<&'static Section, EditError> {
    let found = SECTIONS.iter().find(|s| s.repeated && s.name == name);
    found
        .copied()
        .ok_or_else(|| EditError::NoSection(name.to_owned()))
}

/// The parts of a key's name; it needs no quotes.
fn named(key: &str) -> Result<Vec<&str>, EditError> {
    let is_bare = |part: &&str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !part.is_empty() && part.chars().all(is_word)
    };
    let parts: Vec<&str> = key.split('.').collect();
    match parts.iter().all(is_bare) {
        true => Ok(parts),
        false => Err(EditError::NoKey(key.to_owned())),
    }
}

fn flatten<'t>(items: impl Iterator<Item = (&'t str, &'t Item)>, within: &str, keys: &mut Keys) {
    for (key, item) in items {
        let name = format!("{within}{key}");
        let value = match item {
            Item::Value(toml_edit::Value::String(text)) => Value::Text(text.value().clone()),
            Item::Value(toml_edit::Value::Integer(number)) => Value::Integer(*number.value()),
            Item::Value(toml_edit::Value::Boolean(value)) => Value::Boolean(*value.value()),
            item => {
                let Some(table) = item.as_table_like() else {
                    continue;
                };
                let hex = table.get("hex").and_then(Item::as_str);
                match hex.filter(|_| table.len() == 1) {
                    Some(hex) => Value::Hex { hex: hex.to_owned() },
                    None => {
                        flatten(table.iter(), &format!("{name}."), keys);
                        continue;
                    }
                }
            }
        };
        keys.insert(name, value);
    }
}

/// A header with what stands below it.
#[derive(Clone, Copy)]
struct Block {
    /// Where it begins, with the comment right above it.
    start: usize,
    /// Where the line of its header begins.
    header: usize,
    /// Where the line after it begins.
    end: usize,
}

/// The blocks of an entry, in the text's order: its own, and those of the tables in it.
fn blocks(text: &str, root: &Table, section: &str, n: usize) -> Vec<Block> {
    let mut tables = Vec::new();
    if let Some(Item::ArrayOfTables(entries)) = root.get(section)
        && let Some(entry) = entries.get(n)
    {
        with_headers(entry, &mut tables);
    }
    let mut blocks: Vec<Block> = tables
        .into_iter()
        .filter_map(|table| {
            let span = table.span()?;
            let header = line_start(text, span.start);
            Some(Block {
                start: comment_above(text, header),
                header,
                end: comment_below(
                    text,
                    line_end(text, content_end(table).unwrap_or(0).max(span.end)),
                ),
            })
        })
        .collect();
    blocks.sort_by_key(|block| block.header);
    blocks
}

/// This table and those in it that have headers of their own.
fn with_headers<'t>(table: &'t Table, found: &mut Vec<&'t Table>) {
    if !table.is_implicit() && !table.is_dotted() {
        found.push(table);
    }
    for (_, item) in table.iter() {
        match item {
            Item::Table(inner) => with_headers(inner, found),
            Item::ArrayOfTables(all) => all.iter().for_each(|inner| with_headers(inner, found)),
            Item::None | Item::Value(_) => {}
        }
    }
}

/// Where the last value ends that stands below a table's header.
fn content_end(table: &Table) -> Option<usize> {
    let ends = table.iter().filter_map(|(_, item)| match item {
        Item::Value(value) => Some(value.span()?.end),
        Item::Table(inner) if inner.is_dotted() => content_end(inner),
        _ => None,
    });
    ends.max()
}

/// Where a comment begins that stands right above a line and below a blank one. One that touches what is above it may
/// belong to that, and one at the start to the whole file.
fn comment_above(text: &str, header: usize) -> usize {
    let mut start = header;
    while let Some(above) = line_above(text, start)
        && is_comment(&text[above..])
    {
        start = above;
    }
    let is_apart = line_above(text, start).is_some_and(|above| is_blank(&text[above..]));
    if is_apart { start } else { header }
}

/// Where a comment ends that stands right below what ends here, unless it touches what is below it.
fn comment_below(text: &str, end: usize) -> usize {
    let mut below = end;
    while below < text.len() && is_comment(&text[below..]) {
        below = line_end(text, below);
    }
    let is_apart = below == text.len() || is_blank(&text[below..]);
    if is_apart { below } else { end }
}

/// Inserts lines as a paragraph of their own.
fn insert(text: &str, at: usize, lines: &[String]) -> Added {
    let newline = newline(text);
    let (before, after) = text.split_at(at);
    let toml: String = lines.iter().map(|line| format!("{line}{newline}")).collect();
    let mut new = before.to_owned();
    if !new.is_empty() && !new.ends_with('\n') {
        new += newline;
    }
    let is_apart = line_above(&new, new.len()).is_none_or(|above| is_blank(&new[above..]));
    if !is_apart {
        new += newline;
    }
    let line = line_of(&new, new.len());
    new += &toml;
    if !after.is_empty() && !is_blank(after) {
        new += newline;
    }
    new += after;
    Added {
        text: new,
        toml,
        line,
    }
}

/// Sets one key.
struct Setter<'a> {
    text: &'a str,
    key: &'a str,
    value: Option<&'a Value>,
}

impl Setter<'_> {
    fn kind(&self) -> EditError {
        EditError::Kind(self.key.to_owned())
    }

    /// Sets the key at `path` below a table. Keys of a table that has no header of its own are written behind `prefix`.
    fn in_table(&self, table: &Table, prefix: &str, path: Vec<&str>) -> Result<String, EditError> {
        let (first, rest) = path.split_first().ok_or_else(|| self.kind())?;
        match (table.get(first), rest) {
            (Some(Item::Value(value)), []) => {
                let span = value.span().ok_or_else(|| self.kind())?;
                Ok(match self.value {
                    Some(value) => self.splice(span, &value.toml()),
                    None => {
                        let key = table.key(first).and_then(toml_edit::Key::span);
                        let start = key.map_or(span.start, |key| key.start);
                        self.splice(line_start(self.text, start)..line_end(self.text, span.end), "")
                    }
                })
            }
            (Some(Item::Table(inner)), [_, ..]) => {
                let prefix = if inner.is_dotted() {
                    format!("{prefix}{first}.")
                } else {
                    String::new()
                };
                self.in_table(inner, &prefix, rest.to_vec())
            }
            (Some(Item::Value(toml_edit::Value::InlineTable(inner))), [_, ..]) => {
                self.in_inline(inner, rest.to_vec())
            }
            (Some(_), _) => Err(self.kind()),
            (None, _) => {
                let Some(value) = self.value else {
                    return Ok(self.text.to_owned());
                };
                let header = table.span().filter(|_| !table.is_dotted());
                let last = content_end(table)
                    .into_iter()
                    .chain(header.map(|header| header.end));
                let at = line_end(self.text, last.max().ok_or_else(|| self.kind())?);
                let newline = newline(self.text);
                let mut line = format!("{prefix}{} = {}{newline}", path.join("."), value.toml());
                if !self.text[..at].ends_with('\n') {
                    line.insert_str(0, newline);
                }
                Ok(self.splice(at..at, &line))
            }
        }
    }

    /// Sets the key at `path` in a table in braces, which is written anew.
    fn in_inline(&self, table: &InlineTable, path: Vec<&str>) -> Result<String, EditError> {
        let span = table.span().ok_or_else(|| self.kind())?;
        let (last, folders) = path.split_last().ok_or_else(|| self.kind())?;
        let mut new: toml_edit::Value = self.text[span.clone()].parse().map_err(|_| self.kind())?;
        let mut inner = new.as_inline_table_mut().ok_or_else(|| self.kind())?;
        for folder in folders {
            let folder = inner.get_or_insert(*folder, InlineTable::new());
            inner = folder.as_inline_table_mut().ok_or_else(|| self.kind())?;
        }
        match self.value {
            Some(value) => {
                let value: toml_edit::Value = value.toml().parse().map_err(|_| self.kind())?;
                inner.insert(*last, value);
            }
            None => drop(inner.remove(last)),
        }
        inner.fmt();
        Ok(self.splice(span, new.to_string().trim()))
    }

    fn splice(&self, range: Range<usize>, new: &str) -> String {
        let mut text = self.text.to_owned();
        text.replace_range(range, new);
        text
    }
}

/// How the lines of a text end.
fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// The number of the line that has this place, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the line after the one that has this place begins.
fn line_end(text: &str, at: usize) -> usize {
    text[at..]
        .find('\n')
        .map_or(text.len(), |newline| at + newline + 1)
}

/// Where the line above the one that begins here begins.
fn line_above(text: &str, start: usize) -> Option<usize> {
    (start > 0).then(|| line_start(text, start - 1))
}

/// The blank line above the one that begins here.
fn blank_before(text: &str, start: usize) -> Option<usize> {
    line_above(text, start).filter(|above| is_blank(&text[*above..]))
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default().trim()
}

/// Whether the first line is blank.
fn is_blank(text: &str) -> bool {
    first_line(text).is_empty()
}

fn is_comment(text: &str) -> bool {
    first_line(text).starts_with('#')
}

#[cfg(test)]
mod tests;
