//! Simulated devices: list, start, stop.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::in_body;
use super::{InPath, Problem, Refused};
use crate::web::view::{SimulatedDevice, View};

/// What a request that cannot be read should be.
const EXAMPLE: &str = r#"send {"protocol": "lovense", "model": "edge"} with Content-Type: application/json"#;

/// The simulated devices, and what can be simulated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Simulated {
    /// Those that run, by address.
    pub devices: Vec<SimulatedDevice>,
    /// The names of the Lovense models.
    pub models: Vec<String>,
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Start {
    /// `lovense` or `tcode`.
    pub protocol: String,
    /// The Lovense model; a Hush if left out.
    pub model: Option<String>,
}

/// List the simulated devices that this gateway runs, and what it can simulate.
#[utoipa::path(get, path = "/api/simulated", tag = "simulated", responses((status = OK, description = "the result", body = Simulated)))]
pub(super) async fn list(State(view): State<View>) -> Json<Simulated> {
    Json(Simulated {
        devices: view.simulator.list(),
        models: view.simulator.models(),
    })
}

/// Start a simulated device. It connects to this gateway until it is stopped.
#[utoipa::path(
    post, path = "/api/simulated", tag = "simulated", request_body = Start,
    responses((status = CREATED, description = "it was started", body = SimulatedDevice), (status = BAD_REQUEST, description = "it cannot be carried out", body = Problem)),
)]
pub(super) async fn start(
    State(view): State<View>,
    start: Result<Json<Start>, JsonRejection>,
) -> Result<Response, Refused> {
    let Start { protocol, model } = in_body(start, EXAMPLE)?;
    let device = view.simulator.start(&protocol, model.as_deref());
    let device = device.map_err(|problem| problem.with_status(StatusCode::BAD_REQUEST))?;
    Ok((StatusCode::CREATED, Json(device)).into_response())
}

/// Stop a simulated device.
#[utoipa::path(
    delete, path = "/api/simulated/{address}", tag = "simulated",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    responses((status = NO_CONTENT, description = "done"), (status = NOT_FOUND, description = "there is none", body = Problem)),
)]
pub(super) async fn stop(State(view): State<View>, InPath(address): InPath<String>) -> Response {
    if view.simulator.stop(&address) {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::answer(
        StatusCode::NOT_FOUND,
        format!("this gateway simulates no device with the address {address:?}"),
        Some("GET /api/simulated lists them"),
    )
}
