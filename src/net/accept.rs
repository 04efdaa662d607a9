//! Taking connections: the accept loop and the websocket upgrade that devices and clients share.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Out of file descriptors is the usual reason why accept fails: nothing gets better before somebody leaves.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts and spawns, nothing else, until `stop` is cancelled; each connection where `runtime` says. An accept
/// that fails is said once for each new reason and tried again.
pub async fn accept_until<F>(
    listener: &TcpListener,
    what: &str,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
    runtime: impl Fn() -> Handle,
    connection: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut said: Option<io::ErrorKind> = None;
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
                    said = None;
                    // Frames are small and wait for nobody; a socket that refuses this is about to fail anyway.
                    let _ = stream.set_nodelay(true);
                    tasks.spawn_on(connection(stream, from), &runtime());
                }
                // The peer was gone before we came to it.
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(e) => {
                    if said != Some(e.kind()) {
                        said = Some(e.kind());
                        warn!("cannot accept {what} connections: {e}; trying on (raise the limit of open files: ulimit -n)");
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

/// Why a websocket upgrade did not happen.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// A request that `check` turned down; the peer was told.
    #[error("{0}")]
    Refused(&'static str),
    /// Not a websocket: a browser, a health check, a port scan.
    #[error("the websocket upgrade failed: {0}")]
    Failed(#[source] Box<WsError>),
}

/// What a request that is turned down gets as an answer.
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, and the log's reason.
    pub reason: &'static str,
}

/// Upgrades a connection to a websocket. The caller bounds the time. Not cancel safe: a dropped future drops the
/// connection.
///
/// # Errors
/// Whatever is not a websocket, or was turned down.
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
