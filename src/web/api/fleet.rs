//! The fleet: what this gateway knows of it, and the stop of all of it.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::device::peer::Peer;
use crate::session::registry::SessionHandle;
use crate::web::view::View;
use crate::web::view::fleet::{EdgeState, Fleet, FleetStopped};

fn no_fleet() -> Response {
    Problem::answer(
        StatusCode::NOT_FOUND,
        "this gateway is part of no fleet",
        Some("set [mqtt] broker to be a hub, or [upstream] mqtt to be an edge"),
    )
}

/// The addresses of the devices that came through the broker, and have no board at this gateway.
fn devices_of_edges(view: &View) -> HashSet<String> {
    let sessions = view.registry.sessions().into_iter();
    let of_edges = sessions.filter(|session| matches!(session.peer, Peer::Broker(_)));
    let address = |session: Arc<SessionHandle>| session.handshake.address.as_str().to_owned();
    let mut addresses: HashSet<String> = of_edges.map(address).collect();
    for own in view.registry.sessions_beside() {
        addresses.remove(own.handshake.address.as_str());
    }
    addresses
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
    // Their edges stop them, and end their sessions here, perhaps in the middle of a stop.
    here.failed.retain(|address| !of_edges.contains(address));
    let unanswered = match halted {
        Ok(unanswered) => unanswered,
        Err(Problem { error, hint }) => {
            let mut error = format!(
                "the fleet is not stopped: {error}. Of the devices of this gateway, {} took the stop",
                here.stopped
            );
            if !here.failed.is_empty() {
                error += &format!(", and {} did not: switch it off by hand", here.failed.join(", "));
            }
            return Problem { error, hint }
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .into_response();
        }
    };
    let seen = fleet.look().await;
    Json(FleetStopped {
        here,
        edges: seen.edges_that_are(EdgeState::There),
        silent: seen.edges_that_are(EdgeState::Silent),
        unanswered,
    })
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures::FutureExt;
    use futures::future::{BoxFuture, ready};

    use super::*;
    use crate::device::fleet::names::Name;
    use crate::device::handshake::{Address, Handshake, Identifier};
    use crate::session::registry::{Entry, Registry};
    use crate::web::view::fleet::FleetMember;
    use crate::web::view::tests::view;

    /// A fleet of which nothing is known.
    struct Member(Result<Vec<String>, Problem>);

    impl FleetMember for Member {
        fn look(&self) -> BoxFuture<'static, Fleet> {
            ready(Fleet {
                hub: None,
                edge: None,
            })
            .boxed()
        }

        fn halt(&self) -> BoxFuture<'static, Result<Vec<String>, Problem>> {
            ready(self.0.clone()).boxed()
        }
    }

    async fn entry(registry: &Arc<Registry>, address: &str, peer: Peer) -> Entry {
        let identifier = Identifier::new("LVSDevice").unwrap();
        let handshake = Handshake::new(identifier, Address::new(address).unwrap());
        registry.admit(handshake, peer).await.unwrap()
    }

    async fn answer(view: View) -> (StatusCode, serde_json::Value) {
        let response = stop(State(view)).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// A board at an edge that is a hub, too, is listed twice: what failed is the board's own session, which hangs here.
    #[tokio::test(start_paused = true)]
    async fn a_board_of_this_gateway_that_does_not_take_the_stop_is_named() {
        let registry = Arc::new(Registry::default());
        let port = |port: u16| Peer::Websocket(([127, 0, 0, 1], port).into());
        let broker = || Peer::Broker(Name::new("bedroom").unwrap());
        let _own = entry(&registry.beside(), "own", port(1)).await;
        let _twice = entry(&registry, "own", broker()).await;
        let _other = entry(&registry, "other", broker()).await;
        let mut view = view(registry, None);
        view.fleet = Some(Arc::new(Member(Ok(vec!["A1 at bedroom".to_owned()]))));
        let (status, stopped) = answer(view.clone()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            stopped["here"]["failed"]
                .as_array()
                .unwrap()
                .contains(&"own".into()),
            "{stopped}"
        );
        assert!(!stopped.to_string().contains("other"), "{stopped}");
        assert_eq!(stopped["unanswered"], serde_json::json!(["A1 at bedroom"]));
        let away = Problem {
            error: "the broker is away".to_owned(),
            hint: None,
        };
        view.fleet = Some(Arc::new(Member(Err(away))));
        let (status, problem) = answer(view).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let error = problem["error"].as_str().unwrap();
        assert!(
            error.contains("own") && error.contains("switch it off by hand"),
            "{error}"
        );
        assert!(!error.contains("other"), "{error}");
    }
}
