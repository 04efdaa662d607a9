//! The frames of a device: the stream of those that pass, and sending one.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::defaults::FRAME_MAX_BYTES;
use crate::device::frame::Frame;
use crate::device::handshake::Address;
use crate::device::peer::ConnectionId;
use crate::session::registry::{InjectError, SessionHandle};
use crate::session::tap::{Direction, Watched, Watcher};
use crate::text::hex;
use crate::web::api::injector::Injector;
use crate::web::api::{InPath, Problem};
use crate::web::view::{View, seconds};

/// A session as the interface reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionInfo {
    /// The device's address.
    pub address: String,
    /// The device's identifier.
    pub identifier: String,
    /// The number of the device's connection.
    pub connection: u64,
    /// Where the device connected from.
    pub peer: String,
    /// Frames written to the device.
    pub to_device: u64,
    /// Frames received from the device.
    pub from_device: u64,
    /// Frames from the device that were dropped because upstream did not keep up.
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

/// The answer if no device has the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unknown {
    /// The error text.
    pub error: String,
    /// The connected devices.
    #[serde(default)]
    pub sessions: Vec<SessionInfo>,
}

/// One line of the frame stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Line {
    /// A frame that passed.
    Frame {
        /// The time in seconds since 1970, to the millisecond.
        at: f64,
        /// The frame's direction.
        direction: Direction,
        /// The bytes as hexadecimal digits.
        hex: String,
        /// The bytes as text; invalid UTF-8 is replaced.
        text: String,
    },
    /// Frames that were skipped because the reader was too slow.
    Missed {
        /// The number of frames.
        missed: u64,
    },
    /// The following frames belong to this session.
    Watching {
        /// The session.
        watching: SessionInfo,
    },
    /// The session has ended.
    // Must be the last variant: serde takes a nullable field for an optional one, so this would match any line.
    Gone {
        /// The reason; `None` after a fault inside the gateway.
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

/// The connected devices, sorted by address.
fn infos(view: &View) -> Vec<SessionInfo> {
    let sessions = view.registry.sessions();
    let mut infos: Vec<_> = sessions.iter().map(|s| SessionInfo::from(&**s)).collect();
    infos.sort_by(|a, b| a.address.cmp(&b.address));
    infos
}

fn find(view: &View, address: &str) -> Option<Arc<SessionHandle>> {
    view.registry.find(&Address::new(address).ok()?)
}

fn unknown(view: &View, address: &str) -> Response {
    let unknown = Unknown {
        error: format!("no device with the address {address:?} is connected"),
        sessions: infos(view),
    };
    (StatusCode::NOT_FOUND, Json(unknown)).into_response()
}

/// List the sessions, sorted by address.
#[utoipa::path(get, path = "/api/sessions", tag = "frames", responses((status = OK, description = "the result", body = Vec<SessionInfo>)))]
pub(super) async fn sessions(State(view): State<View>) -> Json<Vec<SessionInfo>> {
    Json(infos(&view))
}

/// Stream the frames of a device, a line of JSON each.
///
/// The stream ends with the session; with `?follow` it goes on with the device's next one.
#[utoipa::path(
    get, path = "/api/devices/{address}/frames", tag = "frames",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    responses((status = OK, description = "the result", body = Line, content_type = "application/x-ndjson"), (status = NOT_FOUND, description = "there is none", body = Unknown)),
)]
pub(super) async fn frames(State(view): State<View>, InPath(address): InPath<String>, uri: Uri) -> Response {
    let Some(session) = find(&view, &address) else {
        return unknown(&view, &address);
    };
    let follower = Follower::new(view, &session, uri.query() == Some("follow"));
    let lines = stream::unfold(follower, |mut follower| async move {
        let line = follower.next().await?;
        let mut line = serde_json::to_string(&line).expect("strings and finite numbers");
        line.push('\n');
        Some((Ok::<_, Infallible>(line), follower))
    });
    let ndjson = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (ndjson, Body::from_stream(lines)).into_response()
}

/// Send the body to the device as one frame.
///
/// The answer comes when the device's link has taken it. The device is stopped when the connection that sent it ends, or has
/// no request for 1.5 s while an output is on: `POST /api/alive` is one that does nothing else.
#[utoipa::path(
    post, path = "/api/devices/{address}/frames", tag = "frames",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = NO_CONTENT, description = "done"), (status = NOT_FOUND, description = "there is none", body = Unknown), (status = BAD_REQUEST, description = "it cannot be carried out", body = Problem),
        (status = PAYLOAD_TOO_LARGE, description = "a frame is not that long", body = Problem),
        (status = TOO_MANY_REQUESTS, description = "too many frames wait for the device", body = Problem), (status = GONE, description = "the device left first", body = Problem),
        (status = FORBIDDEN, body = Problem, description = "the user's limits do not allow it"),
        (status = CONFLICT, body = Problem, description = "the user's limits are not known yet"),
    ),
)]
pub(super) async fn send(
    State(view): State<View>,
    InPath(address): InPath<String>,
    Extension(injector): Extension<Arc<Injector>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(session) = find(&view, &address) else {
        return unknown(&view, &address);
    };
    let frame = match body {
        Ok(body) => Frame(body),
        Err(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let error = format!("a frame has at most {FRAME_MAX_BYTES} bytes");
            return Problem::answer(e.status(), error, None);
        }
        Err(e) => return Problem::answer(e.status(), e.body_text(), None),
    };
    if frame.0.is_empty() {
        return Problem::answer(StatusCode::BAD_REQUEST, "a frame cannot be empty", None);
    }
    let Err(e) = injector.send(&session, frame).await else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let status = match e {
        InjectError::Busy => StatusCode::TOO_MANY_REQUESTS,
        InjectError::Gone => StatusCode::GONE,
        InjectError::Limited(_) => StatusCode::FORBIDDEN,
        InjectError::NotListed => StatusCode::CONFLICT,
    };
    Problem::answer(status, e.to_string(), None)
}

/// Show a sign of life.
///
/// Devices that this connection sent frames to go on for 1.5 s more. Each other request on it does the same.
#[utoipa::path(post, path = "/api/alive", tag = "frames", responses((status = NO_CONTENT, description = "done")))]
pub(super) async fn alive() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Watches a device, across several sessions if `follow` is set.
pub(crate) struct Follower {
    view: View,
    step: Step,
    follow: bool,
}

enum Step {
    Announce(Option<Watcher>),
    Watch(Watcher),
    Wait(Address, ConnectionId),
    End,
}

impl Follower {
    pub(crate) fn new(view: View, session: &Arc<SessionHandle>, follow: bool) -> Self {
        Self {
            view,
            step: Step::Announce(Some(session.watch())),
            follow,
        }
    }

    /// The next line; `None` after the last one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        let stop = &self.view.stop;
        loop {
            match &mut self.step {
                Step::Announce(watcher) => {
                    let watcher = watcher.take()?;
                    let watching = SessionInfo::from(&**watcher.session());
                    self.step = Step::Watch(watcher);
                    return Some(Line::Watching { watching });
                }
                Step::Watch(watcher) => {
                    let watched = tokio::select! {
                        // Biased, so that the session's last events are sent even while the gateway is stopping.
                        biased;
                        watched = watcher.next() => watched,
                        () = stop.cancelled() => return None,
                    };
                    if matches!(watched, Watched::Gone(_)) {
                        let session = watcher.session();
                        self.step = if self.follow {
                            Step::Wait(session.handshake.address.clone(), session.connection)
                        } else {
                            Step::End
                        };
                    }
                    return Some(watched.into());
                }
                Step::Wait(address, after) => {
                    let session = tokio::select! {
                        biased;
                        () = stop.cancelled() => return None,
                        session = self.view.registry.next_session(address, *after) => session,
                    };
                    self.step = Step::Announce(Some(session.watch()));
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
    fn each_line_is_read_as_its_variant() {
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
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_micros(1_732_420_000_123_999);
        assert_eq!(serde_json::to_string(&seconds(at)).unwrap(), "1732420000.123");
    }
}
