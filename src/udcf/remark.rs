//! What a reader of a file should know about it, each with its place in the text.

use serde_json::Value;

use super::position::Positions;
use crate::text::cut;

/// One sentence about a file, and the place that it is about.
#[derive(Clone, Debug)]
pub(super) struct Remark {
    /// A JSON pointer into the file; `None` if the sentence is about the file as a whole.
    pub(super) pointer: Option<String>,
    /// The sentence, without file name and place.
    pub(super) text: String,
    /// It is about how the file was read; nothing of what the file says was lost.
    pub(super) is_note: bool,
}

impl Remark {
    pub(super) fn at(pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            text: text.into(),
            is_note: false,
        }
    }

    pub(super) fn note(pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            is_note: true,
            ..Self::at(pointer, text)
        }
    }

    pub(super) fn of_the_file(text: impl Into<String>) -> Self {
        Self {
            pointer: None,
            text: text.into(),
            is_note: false,
        }
    }
}

/// The place of each value of a file in its text, although some values were moved after parsing.
pub(super) struct Places<'t> {
    name: &'t str,
    positions: Positions<'t>,
    moved: Vec<(String, String)>,
}

impl<'t> Places<'t> {
    /// The places of a text that people know as `name`.
    pub(super) fn new(name: &'t str, text: &'t str) -> Self {
        Self {
            name,
            positions: Positions::new(text),
            moved: Vec::new(),
        }
    }

    /// Records that the value now at the pointer `to` is at `from` in the text.
    pub(super) fn moved(&mut self, from: &str, to: &str) {
        let from = self.original(from);
        self.moved.push((to.to_owned(), from));
    }

    /// The place of a pointer as `file:line:column`.
    pub(super) fn place(&self, pointer: &str) -> String {
        format!("{}{}", self.name, self.positions.of(&self.original(pointer)))
    }

    /// A remark as a line, with its place at the front.
    pub(super) fn line(&self, remark: &Remark) -> String {
        match &remark.pointer {
            Some(pointer) => format!("{}: {}", self.place(pointer), remark.text),
            None => format!("{}: {}", self.name, remark.text),
        }
    }

    /// Keys that occur more than once in one object: JSON readers keep only the last.
    pub(super) fn repeated_keys(&self) -> Vec<Remark> {
        let repeated = self.positions.repeated_keys().into_iter();
        repeated
            .map(|repeated| {
                Remark::at(
                    repeated.object,
                    format!(
                        "{:?} occurs twice in one object, at {} and {}: only the last counts; join the two",
                        repeated.key,
                        repeated.first.to_string().trim_start_matches(':'),
                        repeated.last.to_string().trim_start_matches(':'),
                    ),
                )
            })
            .collect()
    }

    fn original(&self, pointer: &str) -> String {
        // The longest prefix leads furthest.
        let moved = self.moved.iter().filter_map(|(to, from)| {
            let rest = pointer.strip_prefix(to.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (to.len(), format!("{from}{rest}")))
        });
        moved
            .max_by_key(|(length, _)| *length)
            .map_or_else(|| pointer.to_owned(), |(_, original)| original)
    }
}

/// A pointer to a member of the object, or an element of the list, at `pointer`.
pub(super) fn step(pointer: &str, key: impl ToString) -> String {
    let key = key.to_string().replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{key}")
}

/// The elements of a list, with their positions; nothing if it is none.
pub(super) fn elements(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

/// A value as JSON, cut so that its line stays readable.
pub(super) fn excerpt(value: &Value) -> String {
    cut(value.to_string(), 400)
}
