//! The port that Buttplug clients connect to: several at once, all on one device manager.
//!
//! - `handshake`, `session`: one client's loop, before and after its handshake.
//! - `socket`: its websocket: pings, silence, and a bounded write queue.
//! - `wire`: Buttplug's JSON, of every message version.
//! - `apps`: who is connected.
//! - `origins`: which web pages may connect; asks the user.
//! - `commands`: checks commands and passes them to the library in order; a panic becomes an Error.
//! - `devices`: the devices that were announced to a client, and the messages that update it.
//! - `lists`: how often device lists are sent.
//! - `legacy`: output commands of message versions 0 to 3, kept inside the user's limits.
//! - `refusals`: what the log reports about messages that are answered with an Error.
//! - `home_assistant`: Home Assistant, which is an app, and is told of all devices.
//! - `ownership`, `stopping`: which client commanded which device last, and what stops when a client leaves.

mod apps;
mod commands;
mod devices;
mod handshake;
pub mod home_assistant;
mod legacy;
mod lists;
pub mod origins;
mod out_of_range;
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
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, error_span, field, info, warn};

pub use apps::App;

use crate::config::ClientSettings;
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::peer::ConnectionId;
use crate::net::accept;
use crate::net::foreign;
use crate::net::listen::Listeners;
use crate::net::refusals::RefusalLog;
use crate::net::upgrade::{UpgradeError, UpgradeRequest};
use crate::net::visitor::Signpost;
use crate::session::life::Life;
use crate::upstream::embedded::{DeviceTable, Engine};
use apps::{Apps, From};
use origins::{Answer, Origins, SaveError, Verdict};
use ownership::{ClientId, Ownership};
use refusals::ErrorLog;
use session::Session;
pub use socket::AppStream;
use socket::Socket;
use wire::Schema;

/// Every session closes within [`CLOSE_TIMEOUT`]; this leaves room for scheduling.
const ALL_CLOSED_TIMEOUT: Duration = Duration::from_millis(2 * CLOSE_TIMEOUT.as_millis() as u64);

/// The client port.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

/// Why an app was not blocked.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// There is none of this number.
    #[error("no such app is connected")]
    NoApp,
    /// It has no origin that could be blocked, for this reason.
    #[error("{0}")]
    NoOrigin(&'static str),
    /// It is blocked only until the gateway stops.
    #[error(transparent)]
    NotSaved(#[from] SaveError),
}

/// State shared by all clients.
struct Shared {
    engine: Arc<Engine>,
    settings: ClientSettings,
    ownership: Ownership,
    apps: Apps,
    origins: Origins,
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
    fn next_id(&self) -> ClientId {
        ClientId(self.clients.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn span(id: ClientId, from: SocketAddr) -> Span {
        error_span!("client", id = id.0, peer = %from, name = field::Empty)
    }

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
        origins: Origins,
        signpost: Signpost,
        refuse: CancellationToken,
        close: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine,
                settings,
                ownership: Ownership::default(),
                apps: Apps::default(),
                origins,
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

    /// The apps that have completed their handshake, by number.
    pub fn apps(&self) -> Vec<App> {
        self.shared.apps.list()
    }

    /// Asks an app to leave, which stops what it commanded last; returns whether there is one of this number.
    pub fn disconnect(&self, app: u64) -> bool {
        self.shared.apps.disconnect(app)
    }

    /// Which web pages may be apps.
    pub fn origins(&self) -> &Origins {
        &self.shared.origins
    }

    /// Refuses the origin of an app from now on, and asks all apps of that origin to leave. Blocks until this is saved.
    ///
    /// # Errors
    /// There is no such app, or no web page to block; or this holds only until the gateway stops.
    pub fn block(&self, app: u64) -> Result<(), BlockError> {
        let apps = self.apps();
        let app = apps
            .iter()
            .find(|known| known.id == app)
            .ok_or(BlockError::NoApp)?;
        if app.is_page {
            return Err(BlockError::NoOrigin("the gateway's own page cannot be blocked"));
        }
        let Some(origin) = &app.origin else {
            return Err(BlockError::NoOrigin(
                "the app is a program, not a web page: it has no origin that could be blocked",
            ));
        };
        self.shared.origins.set(origin, Verdict::Never);
        self.shared.apps.disconnect_origin(origin);
        Ok(self.shared.origins.save(origin)?)
    }

    /// Answers a question about a web page; returns whether there is one of this number. Blocks until the answer is saved.
    ///
    /// # Errors
    /// The answer holds only until the gateway stops.
    pub fn answer(&self, question: u64, answer: Answer) -> Result<bool, SaveError> {
        let Some(origin) = self.shared.origins.answer(question, answer) else {
            return Ok(false);
        };
        match answer {
            Answer::Once => info!("web pages of {origin:?} were admitted once"),
            Answer::From(Verdict::Always) => info!("web pages of {origin:?} are admitted from now on"),
            Answer::From(Verdict::Never) => info!("web pages of {origin:?} are refused from now on"),
        }
        if answer == Answer::From(Verdict::Never) {
            // Apps that were admitted once.
            self.shared.apps.disconnect_origin(&origin);
        }
        if let Answer::From(_) = answer {
            self.shared.origins.save(&origin)?;
        }
        Ok(true)
    }

    /// Forgets the answer for an origin; returns whether there was one. Its apps stay connected. Blocks until this is
    /// saved.
    ///
    /// # Errors
    /// It is forgotten only until the gateway stops.
    pub fn forget_origin(&self, origin: &str) -> Result<bool, SaveError> {
        if !self.shared.origins.forget(origin) {
            return Ok(false);
        }
        self.shared.origins.save(origin)?;
        Ok(true)
    }

    /// The app that commanded this listed device last, if it is still connected.
    pub fn driver(&self, index: u32, connection: ConnectionId) -> Option<u64> {
        self.shared.ownership.driver(index, connection)
    }

    /// The websocket settings for [`Clients::serve_page`].
    pub fn websocket_config() -> WebSocketConfig {
        socket::config()
    }

    /// Serves an app that came through the port of the gateway's page, as any other, in a task of its own, until it leaves or its
    /// session at the page has `ended`. If it is the page itself, it has a `life`: while it drives, an answered ping is not enough.
    pub fn serve_page(
        &self,
        ws: WebSocketStream<AppStream>,
        peer: SocketAddr,
        local: SocketAddr,
        origin: Option<String>,
        life: Option<Arc<Life>>,
        ended: CancellationToken,
    ) -> JoinHandle<()> {
        let shared = self.shared.clone();
        let id = shared.next_id();
        let from = From {
            peer,
            is_page: origin.is_some(),
            origin,
            leave: ended.child_token(),
        };
        let span = Shared::span(id, peer);
        let tasks = shared.tasks.clone();
        let runtime = shared.engine.runtime().clone();
        let session = async move {
            // Its timers belong to the engine's runtime.
            let socket = Socket::new(ws, local, shared.settings.ping_interval).with_life(life);
            Session::serve(shared, id, from, socket).await;
        };
        tasks.spawn_on(session.instrument(span), &runtime)
    }

    /// Accepts and serves until `close` is cancelled; completes when every socket is closed, or after a second.
    ///
    /// Must run on the engine's runtime. Not cancel safe: dropping the future drops every connection.
    pub async fn serve(self, listener: impl Into<Listeners>) {
        let listener = listener.into();
        let mut sessions = JoinSet::new();
        let connection = |stream, from| {
            let shared = self.shared.clone();
            let id = shared.next_id();
            let span = Shared::span(id, from);
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
    let too_slow = || {
        info!(
            "connection dropped: no websocket upgrade within {} ms",
            limit.as_millis()
        );
    };
    let local = stream.local_addr();
    let request = tokio::select! {
        biased;
        () = shared.close.cancelled() => return,
        request = timeout(limit, UpgradeRequest::read(stream, shared.signpost)) => request,
    };
    let request = match request {
        Ok(Ok(request)) => request,
        Ok(Err(e)) => return e.log(&shared.strangers, from),
        Err(_) => return too_slow(),
    };
    let origin = foreign::origin(request.head());
    let admitted = tokio::select! {
        biased;
        () = shared.close.cancelled() => return,
        admitted = shared.origins.admit(origin.as_deref(), from, &shared.strangers) => admitted,
        () = request.disconnected() => return UpgradeError::Left.log(&shared.strangers, from),
    };
    if let Err(refused) = admitted {
        let error = request.refuse(refused.rejection).await;
        if refused.is_logged {
            return debug!("connection refused again: {error}");
        }
        return error.log(&shared.strangers, from);
    }
    let ws = tokio::select! {
        biased;
        () = shared.close.cancelled() => return,
        ws = timeout(limit, request.accept(socket::config(), Either::Left)) => ws,
    };
    let ws = match ws {
        Ok(Ok(ws)) => ws,
        Ok(Err(e)) => return e.log(&shared.strangers, from),
        Err(_) => return too_slow(),
    };
    let local = match local {
        Ok(local) => local,
        Err(e) => return info!("connection dropped: {e}"),
    };
    let from = From {
        peer: from,
        origin,
        is_page: false,
        leave: CancellationToken::new(),
    };
    let socket = Socket::new(ws, local, shared.settings.ping_interval);
    // Boxed, so that the task of a connection that is still upgrading stays small.
    Box::pin(Session::serve(shared, id, from, socket)).await;
}
