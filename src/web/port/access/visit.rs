//! A request that was admitted, and what it may do: log in, and log out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::secret::{self, Digest, NoRandom};
use super::sessions::Id;
use super::{Access, Guarded};

/// A request that was admitted, and everything that it leads to.
#[derive(Clone)]
pub struct Visit {
    pub(super) access: Access,
    pub(super) peer: IpAddr,
    pub(super) stay: Option<Arc<Stay>>,
    pub(super) is_admitted: bool,
    /// The page is behind TLS.
    pub(super) is_secure: bool,
    pub(super) ended: CancellationToken,
}

/// A session in use, until this is dropped.
pub(super) struct Stay {
    pub(super) access: Access,
    pub(super) id: Id,
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

impl Guarded {
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
