//! Maps places in a JSON value to lines and columns of its text.

use std::collections::HashMap;
use std::fmt;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::is_comment;
use super::remark::step;

/// A line and a column, both from 1; displayed as `:line:column`, to follow a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}:{}", self.line, self.column)
    }
}

impl Position {
    /// The position of a byte in a text.
    pub fn at(text: &str, byte: usize) -> Self {
        let before = &text[..text.floor_char_boundary(byte)];
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        }
    }
}

/// The positions of all values of a JSON text.
pub struct Positions<'t> {
    text: &'t str,
    root: Option<Value<'t>>,
}

/// A key that occurs more than once in one object.
#[derive(Debug, PartialEq, Eq)]
pub struct RepeatedKey {
    /// The pointer of its object.
    pub object: String,
    /// The key.
    pub key: String,
    /// Where it occurs first.
    pub first: Position,
    /// Where it occurs last.
    pub last: Position,
}

impl<'t> Positions<'t> {
    /// Parses a text; all positions of one that is not JSON are its beginning.
    pub fn new(text: &'t str) -> Self {
        let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
        let root = parsed.ok().and_then(|parsed| parsed.value);
        Self { text, root }
    }

    /// The position of a JSON pointer; if it leads nowhere, of the nearest value above.
    pub fn of(&self, pointer: &str) -> Position {
        let byte = self.root.as_ref().map_or(0, |root| find(root, pointer));
        Position::at(self.text, byte)
    }

    /// The keys that occur more than once in one object, in the order of the text, comments aside.
    pub fn repeated_keys(&self) -> Vec<RepeatedKey> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            self.collect_repeated(root, "", &mut found);
        }
        found
    }

    fn collect_repeated(&self, value: &Value<'t>, pointer: &str, found: &mut Vec<RepeatedKey>) {
        match value {
            Value::Object(object) => {
                let mut seen: HashMap<&str, (usize, usize)> = HashMap::new();
                for property in &object.properties {
                    let start = property.range().start;
                    let name = property.name.as_str();
                    seen.entry(name).or_insert((start, start)).1 = start;
                }
                for property in &object.properties {
                    let (name, start) = (property.name.as_str(), property.range().start);
                    if let Some((first, last)) = seen.get(name)
                        && *first == start
                        && first != last
                        && !is_comment(name)
                    {
                        found.push(RepeatedKey {
                            object: pointer.to_owned(),
                            key: name.to_owned(),
                            first: Position::at(self.text, *first),
                            last: Position::at(self.text, *last),
                        });
                    }
                    self.collect_repeated(&property.value, &step(pointer, name), found);
                }
            }
            Value::Array(array) => {
                for (index, element) in array.elements.iter().enumerate() {
                    self.collect_repeated(element, &step(pointer, index), found);
                }
            }
            _ => {}
        }
    }
}

fn find(root: &Value<'_>, pointer: &str) -> usize {
    let mut value = root;
    let mut place = root.range().start;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match value {
            Value::Object(object) => {
                object
                    .properties
                    .iter()
                    .find(|p| p.name.as_str() == step)
                    .map(|property| {
                        place = property.range().start;
                        &property.value
                    })
            }
            Value::Array(array) => step
                .parse()
                .ok()
                .and_then(|i: usize| array.elements.get(i))
                .inspect(|element| {
                    place = element.range().start;
                }),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_its_line_and_column() {
        let text = "{\n  \"a\": {\n    \"b/c\": [1, {\"d\": 2}]\n  }\n}";
        for (pointer, wanted) in [
            ("", ":1:1"),
            ("/a", ":2:3"),
            ("/a/b~1c/1/d", ":3:17"),
            ("/a/none", ":2:3"),
        ] {
            assert_eq!(Positions::new(text).of(pointer).to_string(), wanted, "{pointer}");
        }
    }

    #[test]
    fn a_repeated_key_is_found_with_both_places() {
        let text = "{\"a\": {\"b\": 1,\n \"//\": 0, \"//\": 0, \"b\": [{\"c\": 1, \"c\": 2}]}}";
        let found: Vec<_> = Positions::new(text)
            .repeated_keys()
            .into_iter()
            .map(|r| format!("{} {} {} {}", r.object, r.key, r.first, r.last))
            .collect();
        assert_eq!(found, ["/a b :1:8 :2:20", "/a/b/0 c :2:27 :2:35"]);
    }
}
