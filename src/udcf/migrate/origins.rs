//! Where the entries of a migrated file are in its original.

use std::collections::HashMap;

/// For each list of the result, by its pointer, the pointers of its elements in the original.
#[derive(Clone, Debug, Default)]
pub(in crate::udcf) struct Origins(HashMap<String, Vec<String>>);

impl Origins {
    pub(super) fn push(&mut self, list: &str, origin: String) {
        self.0.entry(list.to_owned()).or_default().push(origin);
    }

    /// Records the removal of an element; returns its pointer in the original.
    pub(in crate::udcf) fn remove(&mut self, list: &str, index: usize) -> Option<String> {
        let origins = self.0.get_mut(list)?;
        (index < origins.len()).then(|| origins.remove(index))
    }

    /// The position in a list of the result of the entry that is at `origin` in the original.
    pub(super) fn position(&self, list: &str, origin: &str) -> Option<usize> {
        self.0.get(list)?.iter().position(|one| one == origin)
    }

    /// Where the value at a pointer of the result, or the entry around it, is in the original.
    pub(in crate::udcf) fn of(&self, pointer: &str) -> Option<&str> {
        let mut list = pointer;
        let mut found = None;
        while let Some((parent, index)) = list.rsplit_once('/') {
            let origin = index.parse().ok().and_then(|i: usize| self.0.get(parent)?.get(i));
            found = found.or(origin);
            list = parent;
        }
        found.map(String::as_str)
    }
}
