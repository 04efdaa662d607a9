//! Which web pages may be apps, as the views show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A web page that wants to be an app, and waits for an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Question {
    /// Its number; never reused.
    pub id: u64,
    /// The origin of the page.
    pub origin: String,
    /// The network address of its browser.
    pub peer: String,
    /// When it asked, in seconds since 1970.
    pub since: f64,
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Admit the connections that wait now; the next one is asked about again.
    Once,
    /// Admit this origin from now on.
    Always,
    /// Refuse this origin from now on.
    Never,
}

/// What is remembered of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is admitted without a question.
    Always,
    /// It is refused.
    Never,
}

/// An origin that was answered for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// The origin.
    pub origin: String,
    /// What is remembered.
    pub answer: Standing,
}

/// Why an order about an origin failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// There is no such question, app or origin.
    Absent,
    /// The app has no origin that could be blocked, for this reason.
    NoOrigin(&'static str),
    /// It holds, but only until the gateway stops, for this reason.
    NotSaved(String),
}
