//! Maps places in a JSON value to lines and columns of its text.

use std::fmt;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

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

    /// The position of a JSON pointer in a JSON text; if it leads nowhere, of the nearest value above.
    pub fn of(text: &str, pointer: &str) -> Self {
        let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
        let root = parsed.ok().and_then(|parsed| parsed.value);
        Self::at(text, root.map_or(0, |root| find(&root, pointer)))
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
            assert_eq!(Position::of(text, pointer).to_string(), wanted, "{pointer}");
        }
    }
}
