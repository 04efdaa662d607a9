//! The fleet: what this gateway knows of it, and the stop of all of it.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::device::peer::Peer;
use crate::web::view::View;
use crate::web::view::fleet::{EdgeState, Fleet, FleetStopped};

fn no_fleet() -> Response {
    Problem::answer(
        StatusCode::NOT_FOUND,
        "this gateway is part of no fleet",
        Some("set [mqtt] broker to be a hub, or [upstream] mqtt to be an edge"),
    )
}

/// The addresses of the devices that came through the broker.
fn devices_of_edges(view: &View) -> HashSet<String> {
    let sessions = view.registry.sessions().into_iter();
    let of_edges = sessions.filter(|session| matches!(session.peer, Peer::Broker(_)));
    of_edges
        .map(|session| session.handshake.address.as_str().to_owned())
        .collect()
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
    let of_edges = devices_of_edges(&view);
    // The halt is on its way before the stops are, which wait for their devices.
    let (halted, mut here) = tokio::join!(fleet.halt(), view.stop_everything());
    if let Err(Problem { error, hint }) = halted {
        let error = format!(
            "the fleet is not stopped: {error}. Of the devices of this gateway, {} took the stop",
            here.stopped
        );
        return Problem { error, hint }
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .into_response();
    }
    // Their edges stop them, and end their sessions here, perhaps in the middle of a stop.
    here.failed.retain(|address| !of_edges.contains(address));
    let seen = fleet.look().await;
    Json(FleetStopped {
        here,
        edges: seen.edges_that_are(EdgeState::There),
        silent: seen.edges_that_are(EdgeState::Silent),
    })
    .into_response()
}
