//! The accept loop that the device port and the client port share.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
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
