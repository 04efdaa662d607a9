//! Which web pages may be apps: the questions that wait for an answer, and what is remembered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{InPath, Problem};
use crate::web::view::origins::{Answer, Origin, OriginError, Question};
use crate::web::view::{Server, View};

/// The web pages that wait for an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Questions {
    /// By number.
    pub questions: Vec<Question>,
}

/// What is remembered of web pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Origins {
    /// By origin.
    pub origins: Vec<Origin>,
}

/// An answer to a question.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Answered {
    /// Whether pages of the origin may command the devices.
    pub answer: Answer,
}

/// List the web pages that want to command the devices, and wait for an answer.
#[utoipa::path(get, path = "/api/questions", tag = "apps", responses((status = OK, description = "the result", body = Questions)))]
pub(super) async fn questions(State(view): State<View>) -> Json<Questions> {
    let questions = view.questions();
    Json(Questions { questions })
}

/// Answer a question.
///
/// Once: the connections of this origin that wait now are admitted. Always and never are remembered.
#[utoipa::path(
    post, path = "/api/questions/{id}", tag = "apps",
    params(("id" = u64, Path, description = "the question's number")),
    request_body = Answered,
    responses(
        (status = NO_CONTENT, description = "done"),
        (status = BAD_REQUEST, body = Problem, description = "the body is no answer"),
        (status = NOT_FOUND, body = Problem, description = "nobody waits for this answer any more"),
        (status = INTERNAL_SERVER_ERROR, body = Problem, description = "the answer holds, but cannot be remembered"),
    ),
)]
pub(super) async fn answer(
    State(view): State<View>,
    InPath(id): InPath<u64>,
    body: Result<Json<Answered>, JsonRejection>,
) -> Response {
    let absent = || {
        let error = format!("no question of the number {id} waits for an answer");
        (error, "GET /api/questions lists them")
    };
    match body {
        Ok(Json(Answered { answer })) => order(&view, move |server| server.answer(id, answer), absent).await,
        Err(e) if view.questions().iter().any(|question| question.id == id) => {
            let hint = "send JSON such as {\"answer\": \"once\"}; \"always\" and \"never\" are the others";
            Problem::answer(StatusCode::BAD_REQUEST, e.body_text(), Some(hint))
        }
        Err(_) => {
            let (error, hint) = absent();
            Problem::answer(StatusCode::NOT_FOUND, error, Some(hint))
        }
    }
}

/// List the origins of web pages that were answered for good.
#[utoipa::path(get, path = "/api/origins", tag = "apps", responses((status = OK, description = "the result", body = Origins)))]
pub(super) async fn origins(State(view): State<View>) -> Json<Origins> {
    let origins = view.origins();
    Json(Origins { origins })
}

/// Forget the answer for an origin. Its apps stay connected.
#[utoipa::path(
    delete, path = "/api/origins/{origin}", tag = "apps",
    params(("origin" = String, Path, description = "the origin, percent-encoded")),
    responses(
        (status = NO_CONTENT, description = "done"),
        (status = NOT_FOUND, description = "there is none", body = Problem),
        (status = INTERNAL_SERVER_ERROR, body = Problem, description = "it is forgotten only until the gateway stops"),
    ),
)]
pub(super) async fn forget_origin(State(view): State<View>, InPath(origin): InPath<String>) -> Response {
    let absent = || {
        let error = format!("nothing is remembered of the origin {origin:?}");
        (
            error,
            "GET /api/origins lists them; an origin in a path is percent-encoded",
        )
    };
    let named = origin.clone();
    order(&view, move |server| server.forget_origin(&named), absent).await
}

/// Block the web page that an app is: from now on its origin is refused. Its apps are disconnected.
#[utoipa::path(
    post, path = "/api/apps/{id}/block", tag = "apps",
    params(("id" = u64, Path, description = "the app's number")),
    responses(
        (status = NO_CONTENT, description = "done"),
        (status = NOT_FOUND, description = "there is none", body = Problem),
        (status = CONFLICT, body = Problem, description = "the app has no origin that could be blocked"),
        (status = INTERNAL_SERVER_ERROR, body = Problem, description = "it is blocked only until the gateway stops"),
    ),
)]
pub(super) async fn block(State(view): State<View>, InPath(id): InPath<u64>) -> Response {
    let absent = || {
        let error = format!("no app of the number {id} is connected");
        (error, "GET /api/apps lists them")
    };
    order(&view, move |server| server.block(id), absent).await
}

/// Gives an order that may write to the disk, away from the threads that serve.
async fn order(
    view: &View,
    order: impl FnOnce(Arc<dyn Server>) -> Result<(), OriginError> + Send + 'static,
    absent: impl FnOnce() -> (String, &'static str),
) -> Response {
    let done = match view.server.clone() {
        Some(server) => tokio::task::spawn_blocking(move || order(server)).await,
        None => Ok(Err(OriginError::Absent)),
    };
    match done {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(OriginError::Absent)) => {
            let (error, hint) = absent();
            Problem::answer(StatusCode::NOT_FOUND, error, Some(hint))
        }
        Ok(Err(OriginError::NoOrigin(why))) => {
            let hint = "disconnect it, and end the program if it comes back";
            Problem::answer(StatusCode::CONFLICT, why, Some(hint))
        }
        Ok(Err(OriginError::NotSaved(why))) => Problem::answer(StatusCode::INTERNAL_SERVER_ERROR, why, None),
        Err(e) => Problem::answer(StatusCode::INTERNAL_SERVER_ERROR, e.to_string(), None),
    }
}
