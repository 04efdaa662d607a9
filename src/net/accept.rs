//! The accept loop and the websocket upgrade that the device port and the client port share.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::listen::Listeners;

/// Accept usually fails for lack of file descriptors, so retrying is pointless until a peer disconnects.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts connections and spawns each on the runtime that `runtime` returns, until `stop` is cancelled. Retries a
/// failed accept and logs each new reason once.
pub async fn accept_until<F>(
    listener: &Listeners,
    what: &str,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
    runtime: impl Fn() -> Handle,
    connection: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut logged: Option<io::ErrorKind> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(ended) = tasks.join_next() => {
                if let Err(e) = ended {
                    error!("a {what} connection ended in a fault inside the gateway: {e}");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    logged = None;
                    // Frames are small and must not be delayed; a socket that refuses this is about to fail anyway.
                    let _ = stream.set_nodelay(true);
                    tasks.spawn_on(connection(stream, from), &runtime());
                }
                // The peer disconnected before it was accepted.
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(e) => {
                    if logged != Some(e.kind()) {
                        logged = Some(e.kind());
                        warn!("cannot accept {what} connections: {e}; retrying (raise the limit of open files: ulimit -n)");
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(ACCEPT_RETRY) => {}
                    }
                }
            },
        }
    }
}

/// Why a websocket upgrade failed.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// `check` refused the request, and the peer got an HTTP error.
    #[error("{0}")]
    Refused(&'static str),
    /// The peer does not speak websocket: a browser, a health check, a port scan.
    #[error("the websocket upgrade failed: {0}")]
    Failed(#[source] Box<WsError>),
}

/// The answer to a refused request.
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, also used as the reason in the log.
    pub reason: &'static str,
}

/// Upgrades a connection to a websocket. The caller sets the timeout. Not cancel safe: a dropped future drops the
/// connection.
///
/// # Errors
/// The peer does not speak websocket, or `check` refused the request.
pub async fn upgrade(
    stream: TcpStream,
    config: WebSocketConfig,
    check: impl Fn(&Request) -> Result<(), Rejection> + Unpin,
) -> Result<WebSocketStream<TcpStream>, UpgradeError> {
    let mut refused = None;
    #[allow(clippy::result_large_err, reason = "the library's callback type")]
    let callback = |request: &Request, response: Response| match check(request) {
        Ok(()) => Ok(response),
        Err(rejection) => {
            refused = Some(rejection.reason);
            let mut answer = ErrorResponse::new(Some(format!("{}\n", rejection.reason)));
            *answer.status_mut() = rejection.status;
            Err(answer)
        }
    };
    match tokio_tungstenite::accept_hdr_async_with_config(stream, callback, Some(config)).await {
        Ok(ws) => Ok(ws),
        Err(e) => Err(match refused {
            Some(reason) => UpgradeError::Refused(reason),
            None => UpgradeError::Failed(Box::new(e)),
        }),
    }
}
