//! A connection to the interface, on the page's port or on the control socket.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::api::injector::Injector;
use crate::session::life::Life;

/// Serves a connection until its peer leaves, or until `stop` is cancelled and the request in progress is answered. The
/// devices that it sent frames to are stopped when it ends, or has no request for too long. Each request gets `extension`.
///
/// # Errors
/// The connection was lost, or the peer does not speak HTTP.
pub(super) async fn serve<S, E>(
    stream: S,
    http: &http1::Builder,
    router: Router,
    extension: E,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: Clone + Send + Sync + 'static,
{
    let life = Arc::<Life>::default();
    let injector = Arc::new(Injector::new(life.clone()));
    let injecting = injector.clone();
    // Around the router, whose routes all connections share: a layer would copy them for each.
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        life.sign();
        request.extensions_mut().insert(injecting.clone());
        request.extensions_mut().insert(extension.clone());
        router.call(request)
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection.with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => ended,
        never = injector.watch() => match never {},
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
