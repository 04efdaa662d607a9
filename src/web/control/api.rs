//! What can be asked of a running gateway, and its answers.
//!
//! | request | answer |
//! |---|---|
//! | `GET /sessions` | a JSON list of [`SessionInfo`] |
//! | `GET /sessions/{address}/frames` | a [`Line`] of JSON for each frame, until the session ends |
//! | `GET /sessions/{address}/frames?follow` | the same, over all sessions of that device |
//! | `POST /sessions/{address}/frames` | the body is one frame to the device; answered when the link took it |
//!
//! An address is percent-encoded. One that nobody has is answered with 404 and [`Unknown`].
//!
//! Outputs never outlive control: when a connection ends by which frames were sent, their devices are stopped.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::defaults::FRAME_MAX_BYTES;
use crate::device::frame::Frame;
use crate::device::handshake::Address;
use crate::device::peer::ConnectionId;
use crate::session::ownership::Controller;
use crate::session::registry::{InjectError, Registry, SessionHandle};
use crate::session::tap::{Direction, Watched, Watcher};
use crate::text::hex;

/// A session, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Which device.
    pub address: String,
    /// What it is.
    pub identifier: String,
    /// Which connection of it.
    pub connection: u64,
    /// Where it came from.
    pub peer: String,
    /// Frames written to it.
    pub to_device: u64,
    /// Frames that it sent.
    pub from_device: u64,
    /// Frames of it that were dropped, because upstream did not keep up.
    pub dropped: u64,
}

impl From<&SessionHandle> for SessionInfo {
    fn from(session: &SessionHandle) -> Self {
        let counters = &session.counters;
        Self {
            address: session.handshake.address.as_str().to_owned(),
            identifier: session.handshake.identifier.as_str().to_owned(),
            connection: session.connection.0,
            peer: session.peer.to_string(),
            to_device: counters.to_device.load(Ordering::Relaxed),
            from_device: counters.from_device.load(Ordering::Relaxed),
            dropped: counters.dropped.load(Ordering::Relaxed),
        }
    }
}

/// The answer where no device has the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// In words.
    pub error: String,
    /// The devices that are there.
    pub sessions: Vec<SessionInfo>,
}

/// One line of a stream of frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A frame passed.
    Frame {
        /// When, in seconds since 1970, to the millisecond.
        at: f64,
        /// Which way.
        direction: Direction,
        /// Its bytes, two digits each.
        hex: String,
        /// Its bytes as text; what is not UTF-8 is replaced.
        text: String,
    },
    /// This many frames passed faster than they were read.
    Missed {
        /// How many.
        missed: u64,
    },
    /// From here on the frames are those of this session.
    Watching {
        /// The session.
        watching: SessionInfo,
    },
    /// The session is over.
    // The last one: a field that may be null is taken for one that may be left out.
    Gone {
        /// Why, unless it ended in a fault of the gateway.
        gone: Option<String>,
    },
}

impl From<Watched> for Line {
    fn from(watched: Watched) -> Self {
        match watched {
            Watched::Frame(seen) => Self::Frame {
                at: seconds(seen.at),
                direction: seen.direction,
                hex: hex(&seen.frame.0),
                text: String::from_utf8_lossy(&seen.frame.0).into_owned(),
            },
            Watched::Missed(missed) => Self::Missed { missed },
            Watched::Gone(gone) => Self::Gone { gone },
        }
    }
}

/// Seconds since 1970, to the millisecond.
pub fn seconds(at: SystemTime) -> f64 {
    // A clock that stands before 1970 is not worth an error.
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64 / 1000.0
}

/// The router. Streams end when `stop` is cancelled. Each connection has a layer of its own beside it:
/// `Extension(Arc<Hand>)`.
pub fn router(registry: Arc<Registry>, stop: CancellationToken) -> Router {
    Router::new()
        .route("/sessions", get(sessions))
        .route("/sessions/{address}/frames", get(frames).post(send))
        .layer(DefaultBodyLimit::max(FRAME_MAX_BYTES))
        .with_state(Api { registry, stop })
}

#[derive(Clone)]
struct Api {
    registry: Arc<Registry>,
    stop: CancellationToken,
}

impl Api {
    fn infos(&self) -> Vec<SessionInfo> {
        let sessions = self.registry.sessions();
        let mut infos: Vec<_> = sessions.iter().map(|s| SessionInfo::from(&**s)).collect();
        infos.sort_by(|a, b| a.address.cmp(&b.address));
        infos
    }

    fn find(&self, address: &str) -> Option<Arc<SessionHandle>> {
        self.registry.find(&Address::new(address).ok()?)
    }

    fn unknown(&self, address: &str) -> Response {
        let unknown = Unknown {
            error: format!("no device with the address {address:?} is connected"),
            sessions: self.infos(),
        };
        (StatusCode::NOT_FOUND, Json(unknown)).into_response()
    }
}

async fn sessions(State(api): State<Api>) -> Json<Vec<SessionInfo>> {
    Json(api.infos())
}

async fn frames(State(api): State<Api>, Path(address): Path<String>, uri: Uri) -> Response {
    let Some(session) = api.find(&address) else {
        return api.unknown(&address);
    };
    let follower = Follower {
        step: Step::Announce(session.watch()),
        follow: uri.query() == Some("follow"),
        api,
    };
    let lines = stream::unfold(follower, |mut follower| async move {
        let line = follower.next().await?;
        let mut line = serde_json::to_string(&line).expect("strings and finite numbers");
        line.push('\n');
        Some((Ok::<_, Infallible>(line), follower))
    });
    let ndjson = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (ndjson, Body::from_stream(lines)).into_response()
}

async fn send(
    State(api): State<Api>,
    Path(address): Path<String>,
    Extension(hand): Extension<Arc<Hand>>,
    body: Bytes,
) -> Response {
    let Some(session) = api.find(&address) else {
        return api.unknown(&address);
    };
    if body.is_empty() {
        return (StatusCode::BAD_REQUEST, "a frame is not empty\n").into_response();
    }
    hand.on(&session);
    match session.inject(Frame(body), hand.controller).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(e @ InjectError::Busy) => (StatusCode::TOO_MANY_REQUESTS, format!("{e}\n")).into_response(),
        Err(e @ InjectError::Gone) => (StatusCode::GONE, format!("{e}\n")).into_response(),
    }
}

/// The devices that one connection sent frames to. When it is dropped, those that nobody else commanded since are
/// stopped: their outputs may be on, and nobody is left to switch them off.
#[derive(Debug)]
pub struct Hand {
    controller: Controller,
    devices: Mutex<HashMap<Address, Weak<SessionHandle>>>,
}

impl Default for Hand {
    fn default() -> Self {
        Self {
            controller: Controller::new(),
            devices: Mutex::default(),
        }
    }
}

impl Hand {
    fn on(&self, session: &Arc<SessionHandle>) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.insert(session.handshake.address.clone(), Arc::downgrade(session));
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let devices = self.devices.get_mut().unwrap_or_else(PoisonError::into_inner);
        // A session that is over has written its stop bytes.
        devices
            .values()
            .filter_map(Weak::upgrade)
            .for_each(|session| session.release(self.controller));
    }
}

/// Watches a device, over several sessions where that was asked for.
struct Follower {
    api: Api,
    step: Step,
    follow: bool,
}

enum Step {
    Announce(Watcher),
    Watch(Watcher),
    Wait(Address, ConnectionId),
    End,
}

impl Follower {
    async fn next(&mut self) -> Option<Line> {
        loop {
            match std::mem::replace(&mut self.step, Step::End) {
                Step::Announce(watcher) => {
                    let watching = SessionInfo::from(&**watcher.session());
                    self.step = Step::Watch(watcher);
                    return Some(Line::Watching { watching });
                }
                Step::Watch(mut watcher) => {
                    let watched = tokio::select! {
                        // What the session said last, as the gateway stopped, is still told.
                        biased;
                        watched = watcher.next() => watched,
                        () = self.api.stop.cancelled() => return None,
                    };
                    if !matches!(watched, Watched::Gone(_)) {
                        self.step = Step::Watch(watcher);
                    } else if self.follow {
                        let session = watcher.session();
                        self.step = Step::Wait(session.handshake.address.clone(), session.connection);
                    }
                    return Some(watched.into());
                }
                Step::Wait(address, after) => {
                    let session = tokio::select! {
                        biased;
                        () = self.api.stop.cancelled() => return None,
                        session = self.api.registry.next_session(&address, after) => session,
                    };
                    self.step = Step::Announce(session.watch());
                }
                Step::End => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_read_as_what_it_is() {
        let watching = SessionInfo {
            address: "bench-1".to_owned(),
            identifier: "LVSDevice".to_owned(),
            connection: 3,
            peer: "ws 127.0.0.1:1".to_owned(),
            to_device: 1,
            from_device: 2,
            dropped: 0,
        };
        for line in [
            Line::Frame {
                at: 1_732_420_000.123,
                direction: Direction::ToDevice,
                hex: "4f4b3b".to_owned(),
                text: "OK;".to_owned(),
            },
            Line::Missed { missed: 7 },
            Line::Watching { watching },
            Line::Gone { gone: None },
            Line::Gone {
                gone: Some("the gateway is stopping".to_owned()),
            },
        ] {
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
    }

    #[test]
    fn times_are_to_the_millisecond() {
        let at = UNIX_EPOCH + std::time::Duration::from_micros(1_732_420_000_123_999);
        assert_eq!(serde_json::to_string(&seconds(at)).unwrap(), "1732420000.123");
    }
}
