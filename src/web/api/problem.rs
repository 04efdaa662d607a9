//! Why a request was refused, as it is answered.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::task::JoinError;
use utoipa::ToSchema;

use crate::advice::Advice;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem in the words of an error.
    pub fn of(error: &impl Advice) -> Self {
        Self {
            error: error.to_string(),
            hint: error.hint().map(std::borrow::Cow::into_owned),
        }
    }

    /// A task of the gateway's own that failed.
    pub fn fault(error: &JoinError) -> Self {
        Self {
            error: format!("a fault inside the gateway: {error}"),
            hint: None,
        }
    }

    pub(in crate::web) fn answer(
        status: StatusCode,
        error: impl Into<String>,
        hint: Option<&str>,
    ) -> Response {
        Self::refuse(status, error, hint).into_response()
    }

    pub(super) fn refuse(status: StatusCode, error: impl Into<String>, hint: Option<&str>) -> Refused {
        let problem = Self {
            error: error.into(),
            hint: hint.map(str::to_owned),
        };
        problem.with_status(status)
    }

    /// The refusal with this status.
    pub(super) fn with_status(self, status: StatusCode) -> Refused {
        Refused(status, self)
    }

    /// The refusal if the configuration files do not allow something.
    pub(super) fn conflict(self) -> Refused {
        self.with_status(StatusCode::CONFLICT)
    }
}

/// The answer to a request that is refused.
#[derive(Debug)]
pub(super) struct Refused(StatusCode, Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// Runs what may block, such as reading a file, where it may.
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> BoxFuture<'static, Result<T, Problem>> {
    async move {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|e| Err(Problem::fault(&e)))
    }
    .boxed()
}
