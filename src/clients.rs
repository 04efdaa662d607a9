//! The port that Buttplug clients connect to: several at once, all on one device manager.
//!
//! - `handshake`, `session`: one client's loop, before and after its handshake.
//! - `socket`: its websocket: pings, silence, and a bounded write queue.
//! - `wire`: Buttplug's JSON, of every message version.
//! - `commands`: checks commands and passes them to the library in order; a panic becomes an Error.
//! - `devices`: the devices that were announced to a client, and the messages that update it.
//! - `lists`: how often device lists are sent.
//! - `legacy`: output commands of message versions 0 to 3, kept inside the user's limits.
//! - `refusals`: what the log reports about messages that are answered with an Error.
//! - `ownership`, `stopping`: which client commanded which device last, and what stops when a client leaves.

mod commands;
mod devices;
mod handshake;
mod legacy;
mod lists;
mod ownership;
mod refusals;
mod session;
mod socket;
mod stopping;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error_span, field, info, warn};

use crate::config::ClientSettings;
use crate::defaults::CLOSE_TIMEOUT;
use crate::net::accept;
use crate::net::listen::Listeners;
use crate::net::refusals::RefusalLog;
use crate::net::upgrade::upgrade;
use crate::net::visitor::Signpost;
use crate::upstream::embedded::{DeviceTable, Engine};
use ownership::{ClientId, Ownership};
use refusals::ErrorLog;
use session::Session;
use socket::Socket;
use wire::Schema;

/// Every session closes within [`CLOSE_TIMEOUT`]; this leaves room for scheduling.
const ALL_CLOSED_TIMEOUT: Duration = Duration::from_millis(2 * CLOSE_TIMEOUT.as_millis() as u64);

/// The client port.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

/// State shared by all clients.
struct Shared {
    engine: Arc<Engine>,
    settings: ClientSettings,
    ownership: Ownership,
    refusals: ErrorLog,
    schema: Schema,
    /// Stops that outlive their client: they are repeated after the device's message gap.
    tasks: TaskTracker,
    clients: AtomicU64,
    /// What was logged about peers that do not belong here.
    strangers: RefusalLog,
    /// The right port, for peers that came to the wrong one.
    signpost: Signpost,
    /// When cancelled, commands are answered with an Error.
    refuse: CancellationToken,
    /// When cancelled, all sockets close.
    close: CancellationToken,
}

impl Shared {
    fn devices(&self) -> Arc<DeviceTable> {
        self.engine.devices().borrow().clone()
    }

    /// Removes ownership records of devices that have disconnected. Completes when the engine stops.
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
    /// Creates the port for this engine's devices. `signpost` has the right port for devices that came to this one. When
    /// `refuse` is cancelled, commands get a Buttplug Error and the sockets stay open: the gateway is stopping the devices
    /// itself. When `close` is cancelled, every socket gets a Close frame with code 1001.
    pub fn new(
        engine: Arc<Engine>,
        settings: ClientSettings,
        signpost: Signpost,
        refuse: CancellationToken,
        close: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine,
                settings,
                ownership: Ownership::default(),
                refusals: ErrorLog::default(),
                schema: Schema::new(),
                tasks: TaskTracker::new(),
                clients: AtomicU64::new(0),
                strangers: RefusalLog::default(),
                signpost,
                refuse,
                close,
            }),
        }
    }

    /// Accepts and serves until `close` is cancelled; completes when every socket is closed, or after a second.
    ///
    /// Must run on the engine's runtime. Not cancel safe: dropping the future drops every connection.
    pub async fn serve(self, listener: impl Into<Listeners>) {
        let listener = listener.into();
        let mut sessions = JoinSet::new();
        let connection = |stream, from| {
            let shared = self.shared.clone();
            let id = ClientId(shared.clients.fetch_add(1, Ordering::Relaxed) + 1);
            let span = error_span!("client", id = id.0, peer = %from, name = field::Empty);
            serve_connection(shared, id, stream, from).instrument(span)
        };
        tokio::select! {
            () = accept::accept_until(&listener, "client", &self.shared.close, &mut sessions, Handle::current, connection) => {}
            // Completes when the engine stops.
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

/// Serves one connection in its own task, so that a silent peer affects only itself.
async fn serve_connection(shared: Arc<Shared>, id: ClientId, stream: TcpStream, from: SocketAddr) {
    let limit = shared.settings.handshake_timeout;
    // Web pages of any origin may be Buttplug clients.
    let upgrade = upgrade(stream, socket::config(), shared.signpost, |_| Ok(()));
    let upgraded = tokio::select! {
        biased;
        () = shared.close.cancelled() => return,
        upgraded = timeout(limit, upgrade) => upgraded,
    };
    let ws = match upgraded {
        Ok(Ok(ws)) => ws,
        Ok(Err(e)) => return e.log(&shared.strangers, from),
        Err(_) => {
            return info!(
                "connection dropped: no websocket upgrade within {} ms",
                limit.as_millis()
            );
        }
    };
    let socket = Socket::new(ws, shared.settings.ping_interval);
    // Boxed, so that the task of a connection that is still upgrading stays small.
    Box::pin(Session::serve(shared, id, from.ip(), socket)).await;
}
