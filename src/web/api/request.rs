//! The parts of a request. What cannot be read is answered with a [`Problem`].

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::problem::{Problem, Refused};

/// A part of a request's path.
pub(in crate::web) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(part)) => Ok(Self(part)),
            Err(e) => Err(Problem::answer(e.status(), e.body_text(), None)),
        }
    }
}

/// A request's body; `hint` is what to send.
///
/// # Errors
/// The answer to one that cannot be read.
pub(super) fn in_body<T>(body: Result<Json<T>, JsonRejection>, hint: &str) -> Result<T, Refused> {
    body.map(|Json(body)| body)
        .map_err(|e| Problem::refuse(e.status(), e.body_text(), Some(hint)))
}

/// The same with one status for everything that cannot be read.
///
/// # Errors
/// The answer to one that cannot be read.
pub(super) fn in_any_body<T>(body: Result<Json<T>, JsonRejection>, hint: &str) -> Result<T, Refused> {
    body.map(|Json(body)| body)
        .map_err(|e| Problem::refuse(StatusCode::BAD_REQUEST, e.body_text(), Some(hint)))
}
