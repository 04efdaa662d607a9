//! A connection to the interface, on the page's port or on the control socket.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request};
use axum::middleware::{Next, from_fn};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::api::injector::Injector;
use crate::session::life::Life;

/// Serves a connection until its peer leaves, or until `stop` is cancelled and the request in progress is answered. The
/// devices that it sent frames to are stopped when it ends, or has no request for too long.
///
/// # Errors
/// The connection was lost, or the peer does not speak HTTP.
pub(super) async fn serve<S>(
    stream: S,
    http: &http1::Builder,
    router: Router,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let life = Arc::<Life>::default();
    let injector = Arc::new(Injector::new(life.clone()));
    let router =
        router
            .layer(Extension(injector.clone()))
            .layer(from_fn(move |request: Request, next: Next| {
                life.sign();
                next.run(request)
            }));
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
