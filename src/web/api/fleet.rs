//! The fleet: what this gateway knows of it, and the stop of all of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::web::view::View;
use crate::web::view::fleet::{EdgeState, Fleet, FleetStopped};

fn no_fleet() -> Response {
    Problem::answer(
        StatusCode::NOT_FOUND,
        "this gateway is part of no fleet",
        Some("set [mqtt] broker to be a hub, or [upstream] mqtt to be an edge"),
    )
}

/// Show the fleet: the edges that this gateway knows as a hub, the hubs that it knows as an edge, and the broker.
#[utoipa::path(
    get, path = "/api/fleet", tag = "fleet",
    responses((status = OK, description = "the result", body = Fleet), (status = NOT_FOUND, description = "it is part of no fleet", body = Problem)),
)]
pub(super) async fn show(State(view): State<View>) -> Response {
    match &view.fleet {
        Some(fleet) => Json(fleet.look().await).into_response(),
        None => no_fleet(),
    }
}

/// Stop the whole fleet: every device of every edge, whichever hub drives it, and every device of this gateway.
///
/// The devices of the edges are taken from their hubs, which claim them again.
#[utoipa::path(
    post, path = "/api/fleet/stop", tag = "fleet",
    responses(
        (status = OK, description = "the broker passed it on", body = FleetStopped),
        (status = NOT_FOUND, description = "it is part of no fleet", body = Problem),
        (status = SERVICE_UNAVAILABLE, description = "the broker is away, or did not pass it on; this gateway's own devices are stopped", body = Problem),
    ),
)]
pub(super) async fn stop(State(view): State<View>) -> Response {
    let Some(fleet) = &view.fleet else {
        return no_fleet();
    };
    // The halt is on its way before the stops are, which wait for their devices.
    let halted = fleet.halt();
    let (halted, here) = tokio::join!(halted, view.stop_everything());
    if let Err(Problem { error, hint }) = halted {
        let error = format!(
            "the fleet is not stopped: {error}. Of the devices of this gateway, {} took the stop",
            here.stopped
        );
        return Problem { error, hint }
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .into_response();
    }
    let seen = fleet.look().await;
    Json(FleetStopped {
        here,
        edges: seen.edges_that_are(EdgeState::There),
        silent: seen.edges_that_are(EdgeState::Silent),
    })
    .into_response()
}
