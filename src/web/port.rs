//! The port of the page: a web server for this machine.

pub mod access;
pub mod assets;
pub mod guard;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::api::{self, Problem};
use super::connection;
use super::live;
use super::looks::Looks;
use super::tabs::Tabs;
use super::view::View;
use crate::defaults::{CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::net::accept::accept_until;
use crate::net::listen::Listeners;
use access::{Access, Visit};
use guard::Guard;

/// The open port of the page.
pub struct PagePort {
    listeners: Listeners,
    router: Router,
    sockets: TaskTracker,
    access: Access,
    stop: CancellationToken,
}

/// The connection of a request.
#[derive(Clone, Debug)]
struct Connection {
    peer: SocketAddr,
    local: SocketAddr,
    /// Ends it once the request in progress is answered; cancelled when it has ended.
    close: CancellationToken,
    /// It ends with a session.
    has_session: Arc<AtomicBool>,
}

impl Connection {
    /// Ends the connection when a session has, since what it sent to devices stops with it.
    fn end_with(&self, ended: CancellationToken) {
        // The sessions of one browser; a proxy that mixes several loses a connection.
        if self.has_session.swap(true, Ordering::Relaxed) {
            return;
        }
        let close = self.close.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => close.cancel(),
                () = close.cancelled() => {}
            }
        });
    }
}

#[derive(Clone)]
struct Page {
    view: View,
    looks: Arc<Looks>,
    sockets: TaskTracker,
    tabs: Arc<Tabs>,
}

impl PagePort {
    /// Creates the server of the page on open listeners.
    pub fn new(listeners: Listeners, guard: Guard, access: Access, view: View) -> Self {
        let stop = view.stop.clone();
        let sockets = TaskTracker::new();
        let page = Page {
            view: view.clone(),
            looks: Arc::default(),
            sockets: sockets.clone(),
            tabs: Arc::default(),
        };
        let router = Router::new()
            .route("/api/live", get(live_socket))
            .route("/buttplug", get(buttplug))
            .method_not_allowed_fallback(api::no_method)
            .with_state(page)
            .merge(api::router(view))
            .fallback(assets::serve)
            .layer(axum::middleware::from_fn_with_state(
                access.clone(),
                access::check,
            ))
            .layer(axum::middleware::from_fn_with_state(guard, guard::check));
        Self {
            listeners,
            router,
            sockets,
            access,
            stop,
        }
    }

    /// Serves until the view's `stop` is cancelled; completes when every connection is closed, or after a second.
    pub async fn serve(self) {
        let Self {
            listeners,
            router,
            sockets,
            access,
            stop,
        } = self;
        let mut connections = JoinSet::new();
        let connection = |stream: TcpStream, peer| serve(stream, peer, router.clone(), stop.clone());
        let accepting = accept_until(
            &listeners,
            "page",
            &stop,
            &mut connections,
            Handle::current,
            connection,
        );
        tokio::select! {
            () = accepting => {}
            () = access.watch() => {}
        }
        drop(listeners);
        sockets.close();
        let _ = timeout(CLOSE_TIMEOUT, async {
            while connections.join_next().await.is_some() {}
            sockets.wait().await;
        })
        .await;
        connections.shutdown().await;
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let local = match stream.local_addr() {
        Ok(local) => local,
        Err(e) => return debug!("page connection: {e}"),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT);
    let close = stop.child_token();
    let _closed = close.clone().drop_guard();
    let connection = Connection {
        peer,
        local,
        close: close.clone(),
        has_session: Arc::default(),
    };
    let ended = connection::serve(stream, &http, router, connection, &close).await;
    if let Err(e) = ended {
        debug!("page connection: {e}");
    }
}

async fn live_socket(
    State(page): State<Page>,
    Extension(visit): Extension<Visit>,
    mut request: Request,
) -> Response {
    let (answer, connection) = match upgrade(&mut request) {
        Ok(granted) => granted,
        Err(refusal) => return *refusal,
    };
    let life = page.tabs.life(request.uri()).unwrap_or_default();
    page.sockets.clone().spawn(async move {
        if let Some(connection) = upgraded(connection).await {
            live::serve(connection, page.view, page.looks, life, visit.ended()).await;
        }
    });
    answer
}

async fn buttplug(
    State(page): State<Page>,
    Extension(Connection { peer, local, .. }): Extension<Connection>,
    Extension(visit): Extension<Visit>,
    mut request: Request,
) -> Response {
    let Some(server) = page.view.server.clone() else {
        let upstream = page.view.about.upstream.clone().unwrap_or_default();
        let error = format!("this gateway passes its devices on to {upstream}, and has no Buttplug server");
        return Problem::answer(
            StatusCode::NOT_FOUND,
            error,
            Some("connect the app to that server, or to the hub behind that broker"),
        );
    };
    let origin = request.headers().get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok()).map(str::to_owned);
    let life = page.tabs.life(request.uri());
    let (answer, connection) = match upgrade(&mut request) {
        Ok(granted) => granted,
        Err(refusal) => return *refusal,
    };
    page.sockets.spawn(async move {
        if let Some(connection) = upgraded(connection).await {
            let ended = visit.ended().clone();
            let left = server.serve_page(connection, peer, local, origin, life, ended);
            left.await;
        }
    });
    answer
}

/// Checks a request for a websocket. Returns the answer that grants it, and the connection to come.
fn upgrade(request: &mut Request) -> Result<(Response, OnUpgrade), Box<Response>> {
    let refuse = |why: &str| {
        let mut answer = Problem::answer(StatusCode::UPGRADE_REQUIRED, why, None);
        let upgrade = HeaderValue::from_static("websocket");
        answer.headers_mut().insert(header::UPGRADE, upgrade);
        Box::new(answer)
    };
    let headers = request.headers();
    if !has_word(headers, header::UPGRADE, "websocket") || !has_word(headers, header::CONNECTION, "upgrade") {
        return Err(refuse("this path is a websocket"));
    }
    if !has_word(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(refuse("only version 13 of the websocket protocol is known"));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(refuse("the request has no Sec-WebSocket-Key"));
    };
    let accept = derive_accept_key(key.as_bytes());
    let Some(connection) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(refuse("this connection cannot become a websocket"));
    };
    let answer = (
        StatusCode::SWITCHING_PROTOCOLS,
        [
            (header::UPGRADE, "websocket".to_owned()),
            (header::CONNECTION, "Upgrade".to_owned()),
            (header::SEC_WEBSOCKET_ACCEPT, accept),
        ],
        Body::empty(),
    );
    Ok((answer.into_response(), connection))
}

/// Whether a header lists a word, in upper or lower case.
fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}

/// Waits until a connection is a websocket.
async fn upgraded(connection: OnUpgrade) -> Option<Upgraded> {
    connection
        .await
        .inspect_err(|e| debug!("a page left during its upgrade: {e}"))
        .ok()
}
