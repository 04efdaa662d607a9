//! Logging in and out. On the control socket there is nothing to log in to.

use axum::Json;
use axum::extract::Extension;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use crate::web::port::access::{Key, LoginError, Visit, retry_after};

/// What a request that cannot be read should be.
const EXAMPLE: &str = r#"send {"password": "..."} with Content-Type: application/json"#;

/// Whether one has to log in, and has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginState {
    /// A session or the token is needed.
    pub is_required: bool,
    /// There is a password to log in with. Else there is only a token for scripts.
    pub has_password: bool,
    /// This request has what is needed.
    pub is_admitted: bool,
}

/// By what to log in: one of the two.
#[derive(Deserialize, ToSchema)]
pub struct Login {
    /// The password of the page.
    password: Option<String>,
    /// The code with which `run --open` opened the page.
    code: Option<String>,
}

/// Tell whether one has to log in.
#[utoipa::path(get, path = "/api/login", tag = "login", responses((status = OK, description = "the result", body = LoginState)))]
pub(super) async fn state(visit: Option<Extension<Visit>>) -> Json<LoginState> {
    let visit = visit.map(|Extension(visit)| visit);
    Json(LoginState {
        is_required: visit.as_ref().is_some_and(Visit::is_restricted),
        has_password: visit.as_ref().is_some_and(Visit::has_password),
        is_admitted: visit.is_none_or(|visit| visit.is_admitted()),
    })
}

/// Log in. The answer has the cookie of a session.
#[utoipa::path(
    post, path = "/api/login", tag = "login", request_body = Login,
    responses(
        (status = NO_CONTENT, description = "a session began"),
        (status = BAD_REQUEST, description = "neither a password nor a code was sent", body = Problem),
        (status = UNAUTHORIZED, description = "the password or the code is wrong", body = Problem),
        (status = NOT_FOUND, description = "there is no password", body = Problem),
        (status = TOO_MANY_REQUESTS, description = "after too many wrong ones; Retry-After says how long", body = Problem),
    ),
)]
pub(super) async fn log_in(
    visit: Option<Extension<Visit>>,
    login: Result<Json<Login>, JsonRejection>,
) -> Response {
    // What was sent is not repeated: it may be a password at the wrong place.
    let login = match login {
        Ok(Json(login)) => login,
        Err(e) => return Problem::answer(e.status(), "the body cannot be read", Some(EXAMPLE)),
    };
    let key = match (&login.password, &login.code) {
        (Some(password), None) => Key::Password(password),
        (None, Some(code)) => Key::Code(code),
        _ => {
            let error = "the body has neither a password nor a code, or has both";
            return Problem::answer(StatusCode::BAD_REQUEST, error, Some(EXAMPLE));
        }
    };
    let outcome = match visit {
        Some(Extension(visit)) => visit.log_in(key),
        None => Err(LoginError::NotNeeded),
    };
    match outcome {
        Ok(cookie) => (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response(),
        Err(e) => refused(e),
    }
}

fn refused(e: LoginError) -> Response {
    let (status, hint) = match e {
        LoginError::NotNeeded => (StatusCode::NOT_FOUND, Some("go on without")),
        LoginError::NoPassword => (
            StatusCode::NOT_FOUND,
            Some("set password under [page]; scripts send the token as Authorization: Bearer TOKEN"),
        ),
        LoginError::WrongPassword => (StatusCode::UNAUTHORIZED, None),
        LoginError::WrongCode => (StatusCode::UNAUTHORIZED, Some("log in with the password")),
        LoginError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, None),
        LoginError::NoRandom(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    let mut answer = Problem::answer(status, e.to_string(), hint);
    if let LoginError::TooMany(wait) = e {
        let (name, value) = retry_after(wait);
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Log out. The session ends, and its websockets are closed.
#[utoipa::path(
    post, path = "/api/logout", tag = "login",
    responses((status = NO_CONTENT, description = "done"), (status = NOT_FOUND, description = "there is no session", body = Problem)),
)]
pub(super) async fn log_out(visit: Option<Extension<Visit>>) -> Response {
    let Some(cookie) = visit.and_then(|Extension(visit)| visit.log_out()) else {
        let error = "this request has no session that could end";
        return Problem::answer(StatusCode::NOT_FOUND, error, None);
    };
    // What the connection sent to devices stops with it.
    let close = (header::CONNECTION, HeaderValue::from_static("close"));
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie), close]).into_response()
}
