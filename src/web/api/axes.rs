//! The axes of TCode boards that only the UDCF describes.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::in_any_body;
use super::udcf::{THE_FILE, read};
use super::{InPath, Problem, Refused, answer};
use crate::udcf::edit::axes::{self, Axes, Axis};
use crate::web::view::View;
use crate::web::view::configuration::Changed;

/// The axes that boards are to have.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedAxes {
    /// The name that apps show.
    pub name: String,
    /// All of them.
    pub axes: Vec<Axis>,
}

/// List the axes that the UDCF gives to the TCode boards with a websocket name.
#[utoipa::path(
    get, path = "/api/udcf/axes/{identifier}", tag = "udcf",
    params(("identifier" = String, Path, description = "the websocket name, percent-encoded")),
    responses(
        (status = OK, description = "the result", body = Axes),
        (status = NOT_FOUND, body = Problem, description = "there is no such name of TCode, or its axes cannot be listed"),
        (status = CONFLICT, body = Problem, description = "the file cannot be used"),
    ),
)]
pub(super) async fn show(
    State(view): State<View>,
    InPath(identifier): InPath<String>,
) -> Result<Response, Refused> {
    let (udcf, _) = read(&view).await.map_err(Problem::conflict)?;
    let axes = axes::show(&udcf, THE_FILE, &identifier).map_err(|e| Problem::of(&e));
    Ok(answer(StatusCode::NOT_FOUND, axes))
}

/// Give axes to the TCode boards with a websocket name.
///
/// Axes that stay keep their ids, and single devices keep their limits for them.
#[utoipa::path(
    put, path = "/api/udcf/axes/{identifier}", tag = "udcf",
    params(("identifier" = String, Path, description = "the websocket name, percent-encoded")),
    request_body = WantedAxes,
    responses(
        (status = OK, description = "the result", body = Changed),
        (status = BAD_REQUEST, body = Problem, description = "the body cannot be read"),
        (status = CONFLICT, body = Problem, description = "the axes are not possible, or the file cannot be used, changed or written; it is unchanged"),
    ),
)]
pub(super) async fn change(
    State(view): State<View>,
    InPath(identifier): InPath<String>,
    body: Result<Json<WantedAxes>, JsonRejection>,
) -> Result<Response, Refused> {
    let hint =
        "send JSON such as {\"name\": \"Mine\", \"axes\": [{\"channel\": \"L0\", \"kind\": \"position\"}]}";
    let WantedAxes { name, axes } = in_any_body(body, hint)?;
    let wanted = Axes {
        name,
        is_in_file: true,
        axes,
    };
    let change =
        move |text: &str| axes::change(text, THE_FILE, &identifier, &wanted).map_err(|e| Problem::of(&e));
    let changed = view.configuration.change_udcf(Box::new(change)).await;
    Ok(answer(StatusCode::CONFLICT, changed))
}
