//! A frame that breaks the websocket protocol.

use std::borrow::Cow;

use crate::advice::Advice;

/// What is wrong with a frame, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    /// What the peer did.
    pub what: Cow<'static, str>,
    /// What the peer's developer can do about it.
    pub hint: &'static str,
}

impl Advice for Violation {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(self.hint.into())
    }
}
