//! Who has to log in, and who has.
//!
//! With a password or a token, every request needs a session, which a browser's cookie names, or the token. What needs
//! neither is listed in [`is_open`]; whatever is not listed does.

mod code;
mod limiter;
mod secret;
mod sessions;

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
use tracing::{debug, info, warn};

use super::{Connection, assets, has_word};
use crate::config::Secret;
use crate::web::api::Problem;
use code::Code;
use limiter::Limiter;
use secret::Digest;
pub use secret::NoRandom;
use sessions::{Id, Sessions};

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

/// A request that was admitted, and everything that it leads to.
#[derive(Clone)]
pub struct Visit {
    access: Access,
    peer: IpAddr,
    stay: Option<Arc<Stay>>,
    is_admitted: bool,
    /// The page is behind TLS.
    is_secure: bool,
    ended: CancellationToken,
}

/// A session in use, until this is dropped.
struct Stay {
    access: Access,
    id: Id,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.access.lock().sessions.leave(&self.id, Instant::now());
    }
}

/// By what somebody logs in.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// The password.
    Password(&'a str),
    /// The code that [`Access::hand_over`] made.
    Code(&'a str),
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum LoginError {
    /// Neither a password nor a token is set.
    #[error("the page has no password: there is nothing to log in to")]
    NotNeeded,
    /// Only a token is set.
    #[error("the page has a token for scripts, but no password")]
    NoPassword,
    /// It is not the password.
    #[error("the password is wrong")]
    WrongPassword,
    /// The code was used, is too old, or never was one.
    #[error("the code to log in is not valid any more")]
    WrongCode,
    /// After too many wrong ones, for so long.
    #[error("too many wrong passwords: wait {} s", seconds(*.0))]
    TooMany(Duration),
    /// No session could be made.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// Why a request is refused.
enum Refused {
    NoSession,
    TooMany(Duration),
    /// A websocket of a program needs the token.
    NoToken,
}

/// At least one, since 0 would say that there is nothing to wait for.
fn seconds(wait: Duration) -> u64 {
    wait.as_millis()
        .div_ceil(1_000)
        .try_into()
        .unwrap_or(u64::MAX)
        .max(1)
}

/// The header that says how long to wait.
pub(in crate::web) fn retry_after(wait: Duration) -> (header::HeaderName, HeaderValue) {
    (header::RETRY_AFTER, HeaderValue::from(seconds(wait)))
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

    fn check(&mut self, key: Key<'_>, peer: IpAddr, now: Instant) -> Result<(), LoginError> {
        if !self.is_restricted() {
            return Err(LoginError::NotNeeded);
        }
        match key {
            // Nobody guesses 256 bits, so this needs no limit.
            Key::Code(code) if self.code.redeem(code, now) => Ok(()),
            Key::Code(_) => Err(LoginError::WrongCode),
            Key::Password(given) => {
                let password = self.password.ok_or(LoginError::NoPassword)?;
                if let Some(wait) = self.passwords.wait(peer, now) {
                    return Err(LoginError::TooMany(wait));
                }
                if password.is_of(given) {
                    self.passwords.passed(peer);
                    Ok(())
                } else {
                    self.passwords.failed(peer, now);
                    Err(LoginError::WrongPassword)
                }
            }
        }
    }
}

impl Visit {
    /// Whether there is a password or a token.
    pub fn is_restricted(&self) -> bool {
        self.access.lock().is_restricted()
    }

    /// Whether there is a password.
    pub fn has_password(&self) -> bool {
        self.access.lock().password.is_some()
    }

    /// Whether it is by a session, by the token, or without need for either.
    pub fn is_admitted(&self) -> bool {
        self.is_admitted
    }

    /// Cancelled when what was admitted has to end.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Begins a session. Returns the cookie for it.
    ///
    /// # Errors
    /// The key does not fit, or cannot be tried now.
    pub fn log_in(&self, key: Key<'_>) -> Result<HeaderValue, LoginError> {
        let now = Instant::now();
        let mut state = self.access.lock();
        let peer = self.peer;
        match state.check(key, peer, now) {
            Ok(()) => info!(%peer, "logged in to the page"),
            Err(e) => {
                // The limit on passwords keeps these lines few.
                if matches!(e, LoginError::WrongPassword) {
                    warn!(%peer, "not logged in to the page: {e}");
                } else {
                    debug!(%peer, "not logged in to the page: {e}");
                }
                return Err(e);
            }
        }
        let session = secret::make()?;
        state.sessions.begin(Digest::of(&session).into_key(), now);
        Ok(self.cookie(&session, ""))
    }

    /// Ends the session; returns the cookie that removes its cookie. `None` if there is no session.
    pub fn log_out(&self) -> Option<HeaderValue> {
        let stay = self.stay.as_ref()?;
        self.access.lock().sessions.end(&stay.id);
        info!(peer = %self.peer, "logged out of the page");
        Some(self.cookie("", "; Max-Age=0"))
    }

    fn cookie(&self, value: &str, more: &str) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let name = &self.access.0.cookie;
        let cookie = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/{more}{secure}");
        HeaderValue::try_from(cookie).expect("ASCII")
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
