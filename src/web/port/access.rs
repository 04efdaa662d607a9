//! Who has to log in, and who has.
//!
//! With a password or a token, every request needs a session, which a browser's cookie names, or the token, unless
//! `is_open` lists it.

mod code;
mod limiter;
mod secret;
mod sessions;
mod visit;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Connection, assets, has_word};
use crate::config::Secret;
use crate::web::api::Problem;
use code::Code;
use limiter::Limiter;
use secret::Digest;
pub use secret::NoRandom;
use sessions::Sessions;
use visit::Stay;
pub(in crate::web) use visit::retry_after;
pub use visit::{Key, LoginError, Visit};

/// How often sessions are looked at whose time may be over.
const LOOK: Duration = Duration::from_secs(60);

/// The access to one port. Clones are the same.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    /// The name of the cookie. Cookies do not tell the ports of a host apart, so it has the port.
    cookie: String,
    state: Mutex<Guarded>,
}

struct Guarded {
    password: Option<Digest>,
    token: Option<Digest>,
    sessions: Sessions,
    code: Code,
    passwords: Limiter,
    tokens: Limiter,
    /// Ends what was admitted without a session, when the password or the token changes.
    changed: CancellationToken,
}

/// Why a request is refused.
enum Refused {
    NoSession,
    TooMany(Duration),
    /// A websocket of a program needs the token.
    NoToken,
}

impl Access {
    /// The access to a port that has this number. With neither a password nor a token, everybody is admitted.
    pub fn new(password: Option<&Secret>, token: Option<&Secret>, port: u16) -> Self {
        let digest = |secret: Option<&Secret>| secret.map(|Secret(secret)| Digest::of(secret));
        Self(Arc::new(Shared {
            cookie: format!("wsdm-gateway-{port}"),
            state: Mutex::new(Guarded {
                password: digest(password),
                token: digest(token),
                sessions: Sessions::default(),
                code: Code::default(),
                passwords: Limiter::default(),
                tokens: Limiter::default(),
                changed: CancellationToken::new(),
            }),
        }))
    }

    /// Replaces the password and the token. Every session ends, and with it its websockets, as does every websocket that
    /// a token opened or that needed none.
    pub fn change(&self, password: Option<&Secret>, token: Option<&Secret>) {
        let digest = |secret: Option<&Secret>| secret.map(|Secret(secret)| Digest::of(secret));
        let mut state = self.lock();
        state.password = digest(password);
        state.token = digest(token);
        state.code.withdraw();
        state.sessions.end_all();
        std::mem::take(&mut state.changed).cancel();
    }

    /// Makes a code by which a browser can log in once, within half a minute; `None` if nobody has to log in.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn hand_over(&self) -> Result<Option<String>, NoRandom> {
        let mut state = self.lock();
        if !state.is_restricted() {
            return Ok(None);
        }
        let code = secret::make()?;
        state.code.issue(&code, Instant::now());
        Ok(Some(code))
    }

    /// Ends sessions when their time is over. Never completes.
    pub(super) async fn watch(&self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.lock().sessions.end_old(Instant::now());
        }
    }

    fn admit(&self, request: &Request, peer: IpAddr) -> Result<Visit, Refused> {
        let (headers, path) = (request.headers(), request.uri().path());
        let now = Instant::now();
        let mut state = self.lock();
        let origin = headers.get(header::ORIGIN);
        let mut visit = Visit {
            access: self.clone(),
            peer,
            stay: None,
            is_admitted: !state.is_restricted(),
            is_secure: origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://")),
            ended: state.changed.clone(),
        };
        let mut limited = None;
        if let Some(given) = bearer(headers)
            && let Some(token) = state.token
        {
            limited = state.tokens.wait(peer, now);
            if limited.is_none() {
                if token.is_of(given) {
                    state.tokens.passed(peer);
                    visit.is_admitted = true;
                    return Ok(visit);
                }
                state.tokens.failed(peer, now);
                warn!(%peer, "a wrong token for the page");
            }
        }
        // Browsers name the origin of a websocket; no other program has a session.
        let is_upgrade = has_word(headers, header::CONNECTION, "upgrade");
        if is_upgrade && origin.is_none() {
            return Err(limited.map_or(Refused::NoToken, Refused::TooMany));
        }
        if visit.is_admitted {
            return Ok(visit);
        }
        for id in cookies(headers, &self.0.cookie).map(|value| Digest::of(value).into_key()) {
            if let Some(ended) = state.sessions.visit(&id, now) {
                let access = self.clone();
                visit.stay = Some(Arc::new(Stay { access, id }));
                visit.is_admitted = true;
                visit.ended = ended;
                return Ok(visit);
            }
        }
        if is_open(request.method(), path) && !is_upgrade {
            return Ok(visit);
        }
        Err(limited.map_or(Refused::NoSession, Refused::TooMany))
    }

    /// No code here panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guarded {
    fn is_restricted(&self) -> bool {
        self.password.is_some() || self.token.is_some()
    }
}

/// What needs no session. Everything else does.
fn is_open(method: &Method, path: &str) -> bool {
    let reads = [Method::GET, Method::HEAD].contains(method);
    match path {
        // A page whose session ended with a restart still stops motors.
        "/api/stop" => *method == Method::POST,
        "/api/login" => reads || *method == Method::POST,
        "/healthz" => reads,
        path => reads && assets::is_asset(path),
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The values of the cookies of this name.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(move |cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Refuses a request that needs a session and has none, and ends the answer of one whose session ends.
pub(super) async fn check(
    State(access): State<Access>,
    Extension(connection): Extension<Connection>,
    mut request: Request,
    next: Next,
) -> Response {
    let visit = match access.admit(&request, connection.peer.ip().to_canonical()) {
        Ok(visit) => visit,
        Err(refused) => return refused.answer(),
    };
    if visit.is_admitted && ![Method::GET, Method::HEAD].contains(request.method()) {
        connection.end_with(visit.ended.clone());
    }
    request.extensions_mut().insert(visit.clone());
    let response = next.run(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    // A stream.
    response.map(|body| {
        let ended = async move { visit.ended.cancelled().await };
        Body::from_stream(body.into_data_stream().take_until(Box::pin(ended)))
    })
}

impl Refused {
    fn answer(self) -> Response {
        let mut response = match self {
            Self::NoSession => Problem::answer(
                StatusCode::UNAUTHORIZED,
                "this needs a session",
                Some("log in on the page; scripts send the token of [page] as Authorization: Bearer TOKEN"),
            ),
            Self::NoToken => Problem::answer(
                StatusCode::FORBIDDEN,
                "only the gateway's own page may do this without a token",
                Some("programs send the token of [page] as Authorization: Bearer TOKEN"),
            ),
            Self::TooMany(_) => Problem::answer(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens",
                Some("correct the token, and wait as long as Retry-After says"),
            ),
        };
        let headers = response.headers_mut();
        match self {
            Self::NoSession => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                // What the connection sent to devices stops with it.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::TooMany(wait) => {
                let (name, value) = retry_after(wait);
                headers.insert(name, value);
            }
            Self::NoToken => {}
        }
        response
    }
}

#[cfg(test)]
mod tests;
