//! The port that Buttplug clients connect to: several at once, all on one device manager.
//!
//! - `greeting`, `session`: one client's loop, before and after it has shaken hands.
//! - `socket`: its websocket; pings, silence, and a queue for what it does not take at once.
//! - `wire`: Buttplug's JSON, of every message version.
//! - `commands`: into the library, checked, in order, and where a panic is an Error.
//! - `devices`: what a client was told of the devices, and has to be told when they change.
//! - `lists`: how often it is told.
//! - `ownership`, `stopping`: who commanded which device last, and what stops when a client goes.

mod commands;
mod devices;
mod greeting;
mod lists;
mod ownership;
mod session;
mod socket;
mod stopping;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error_span, field, info, warn};

use crate::config::ClientSettings;
use crate::defaults::CLOSE_TIMEOUT;
use crate::net::accept;
use crate::upstream::embedded::{DeviceTable, Engine};
use ownership::{ClientId, Ownership};
use session::Session;
use socket::Socket;
use wire::Schema;

/// Once told to close: every session ends within its own limit, and a little.
const ALL_CLOSED_TIMEOUT: Duration = Duration::from_millis(2 * CLOSE_TIMEOUT.as_millis() as u64);

/// The client port.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

/// What all clients share.
struct Shared {
    engine: Arc<Engine>,
    settings: ClientSettings,
    ownership: Ownership,
    schema: Schema,
    /// What outlives the client that it was started for: stops, once more after the message gap.
    tasks: TaskTracker,
    clients: AtomicU64,
    /// Cancelled when commands are no longer carried out.
    refuse: CancellationToken,
    /// Cancelled when sockets close.
    close: CancellationToken,
}

impl Shared {
    fn devices(&self) -> Arc<DeviceTable> {
        self.engine.devices().borrow().clone()
    }

    /// Keeps no record of devices that are gone.
    async fn forget_departed(&self) {
        let mut devices = self.engine.devices();
        while devices.changed().await.is_ok() {
            let table = devices.borrow_and_update().clone();
            self.ownership
                .forget_departed(table.len(), |index| table.get(&index).map(|d| d.connection));
        }
    }
}

impl Clients {
    /// The port for this engine's devices. Once `refuse` is cancelled, commands get a Buttplug Error (the gateway is
    /// stopping, and stops the devices itself) while the sockets stay open; once `close` is, every socket gets a
    /// Close frame with 1001.
    pub fn new(
        engine: Arc<Engine>,
        settings: ClientSettings,
        refuse: CancellationToken,
        close: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine,
                settings,
                ownership: Ownership::default(),
                schema: Schema::new(),
                tasks: TaskTracker::new(),
                clients: AtomicU64::new(0),
                refuse,
                close,
            }),
        }
    }

    /// Accepts and serves until `close` is cancelled; done when every socket is closed, or after a second.
    ///
    /// Must run on the engine's runtime. Not cancel safe: dropped, it drops every connection as it is.
    pub async fn serve(self, listener: TcpListener) {
        let mut sessions = JoinSet::new();
        let connection = |stream, from| {
            let shared = self.shared.clone();
            let id = ClientId(shared.clients.fetch_add(1, Ordering::Relaxed) + 1);
            let span = error_span!("client", id = id.0, peer = %from, name = field::Empty);
            serve_connection(shared, id, stream).instrument(span)
        };
        tokio::select! {
            () = accept::accept_until(&listener, "client", &self.shared.close, &mut sessions, Handle::current, connection) => {}
            // Ends with the engine, and nothing is left to serve then.
            () = self.shared.forget_departed() => {}
        }
        drop(listener);
        self.shared.tasks.close();
        let ended = timeout(ALL_CLOSED_TIMEOUT, async {
            while sessions.join_next().await.is_some() {}
            self.shared.tasks.wait().await;
        });
        if ended.await.is_err() {
            warn!(
                "{} clients did not close within {} ms and are cut off",
                sessions.len(),
                ALL_CLOSED_TIMEOUT.as_millis()
            );
        }
    }
}

/// One connection, from the accept to the end, in a task of its own: a silent peer costs itself alone.
async fn serve_connection(shared: Arc<Shared>, id: ClientId, stream: TcpStream) {
    let limit = shared.settings.handshake_timeout;
    // Web pages are Buttplug clients too, from any origin.
    let upgrade = accept::upgrade(stream, socket::config(), |_| Ok(()));
    let upgraded = tokio::select! {
        biased;
        () = shared.close.cancelled() => return,
        upgraded = timeout(limit, upgrade) => upgraded,
    };
    let ws = match upgraded {
        Ok(Ok(ws)) => ws,
        Ok(Err(e)) => return info!("connection dropped: {e}"),
        Err(_) => {
            return info!(
                "connection dropped: no websocket upgrade within {} ms",
                limit.as_millis()
            );
        }
    };
    let socket = Socket::new(ws, shared.settings.ping_interval);
    // Boxed, so that a connection that is still upgrading does not carry a session's room.
    Box::pin(Session::serve(shared, id, socket)).await;
}
