//! The port that devices connect to: accept, upgrade, handshake, admission; then the session.

use std::sync::Arc;

use futures::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Error as WsError, Message};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error_span, info, warn};

use crate::accept;
use crate::admission::Admission;
use crate::config::DeviceSettings;
use crate::defaults::{CLOSE_TIMEOUT, HANDSHAKE_MAX_BYTES};
use crate::handshake::{Handshake, HandshakeError};
use crate::link::websocket::{self, WebSocketLink};
use crate::link::{FrameIo, Peer};
use crate::refusal::{Refusal, RefusalLog};
use crate::registry::Registry;
use crate::session::Session;
use crate::stop::stop_frames;
use crate::upstream::Upstream;

/// What every connection needs.
pub struct Devices {
    /// The `[devices]` section.
    pub settings: DeviceSettings,
    /// Who may come in.
    pub admission: Admission,
    /// Which sessions exist.
    pub registry: Arc<Registry>,
    /// Where they feed.
    pub upstream: Upstream,
    /// What was said of those that were refused.
    pub refusals: RefusalLog,
}

impl Devices {
    /// Accepts until `stop` is cancelled, then waits for the sessions, which whoever cancelled it ends too.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let mut sessions = JoinSet::new();
        accept::accept_until(&listener, "device", &stop, &mut sessions, |stream, from| {
            let this = self.clone();
            let stop = stop.clone();
            async move { this.connection(stream, Peer::Websocket(from), stop).await }
        })
        .await;
        drop(listener);
        while sessions.join_next().await.is_some() {}
    }

    /// One connection, from the accept to the end. Everything that waits for the peer happens here, in a task of
    /// its own, so that a silent one costs itself alone.
    async fn connection(&self, stream: TcpStream, peer: Peer, stop: CancellationToken) {
        let started = tokio::time::Instant::now();
        let limit = self.settings.handshake_timeout;
        let upgrade = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            upgrade = timeout(limit, accept::upgrade(stream, websocket::config(), |r| self.admission.request(r))) => upgrade,
        };
        let mut ws = match upgrade {
            Ok(Ok(ws)) => ws,
            Ok(Err(e)) => return info!(%peer, "connection dropped: {e}"),
            Err(_) => {
                return info!(%peer, "connection dropped: no websocket upgrade within {} ms", limit.as_millis());
            }
        };
        let admitted = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Refusal::Stopping),
            first = timeout(limit.saturating_sub(started.elapsed()), first_message(&mut ws)) => match first {
                Ok(Ok(Some(handshake))) => self.admission.handshake(handshake),
                Ok(Ok(None)) => return debug!(%peer, "left before its handshake"),
                Ok(Err(refusal)) => Err(refusal),
                Err(_) => Err(Refusal::Timeout(limit)),
            },
        };
        let admitted = match admitted {
            Ok(admitted) => self.registry.admit(admitted, peer.clone()).await,
            Err(refusal) => Err(refusal),
        };
        let link = WebSocketLink::new(ws, self.settings.ping_interval);
        match admitted {
            Ok(entry) => {
                let handle = entry.handle().clone();
                let Handshake {
                    identifier, address, ..
                } = &handle.handshake;
                let span = error_span!("device", conn = handle.connection.0, %peer, %identifier, %address);
                let session = {
                    let _entered = span.enter();
                    info!("device connected");
                    // A device that came in while the gateway began to stop would be missed by the order to end.
                    if stop.is_cancelled() {
                        handle.end(crate::session::Disconnect::Stopping);
                    }
                    let stop_frames = stop_frames(
                        self.settings.on_close.as_ref(),
                        self.admission.protocol(identifier),
                    );
                    Session {
                        upstream: self.upstream.open(&handle, !stop_frames.is_empty()),
                        stop_frames,
                        link: Box::new(link),
                        entry,
                    }
                };
                // Boxed, so that a connection that is still shaking hands does not carry a session's room.
                Box::pin(session.run()).instrument(span).await;
            }
            Err(refusal) => self.refuse(Box::new(link), &peer, &refusal).await,
        }
    }

    async fn refuse(&self, mut link: Box<dyn FrameIo>, peer: &Peer, refusal: &Refusal) {
        let reason = refusal.close_reason();
        let Peer::Websocket(from) = peer;
        match self.refusals.due(from.ip(), refusal) {
            Some(0) => warn!(%peer, code = reason.code, "device refused: {refusal}; {}", refusal.hint()),
            Some(more) => {
                warn!(%peer, code = reason.code, "device refused, {more} times more since: {refusal}; {}", refusal.hint());
            }
            None => debug!(%peer, code = reason.code, "device refused again: {refusal}"),
        }
        link.set_close_reason(reason);
        // A peer that does not take the Close frame has nobody to read it.
        let _ = timeout(CLOSE_TIMEOUT, futures::SinkExt::close(&mut link)).await;
    }
}

/// Reads the handshake. `None`: the peer closed before it said anything. Cancel safe: nothing is lost that a
/// later caller would want.
async fn first_message(ws: &mut WebSocketStream<TcpStream>) -> Result<Option<Handshake>, Refusal> {
    loop {
        return match ws.next().await {
            None | Some(Ok(Message::Close(_))) => Ok(None),
            Some(Ok(Message::Text(text))) => Ok(Some(Handshake::parse(text.as_str())?)),
            Some(Ok(Message::Binary(_))) => Err(Refusal::Binary),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(WsError::Capacity(tungstenite::error::CapacityError::MessageTooLong {
                size, ..
            }))) => Err(HandshakeError::MessageTooLarge(size.max(HANDSHAKE_MAX_BYTES + 1)).into()),
            Some(Err(e @ (WsError::Utf8(_) | WsError::Capacity(_)))) => {
                Err(Refusal::Unreadable(e.to_string()))
            }
            // The connection broke, or does not speak websocket: a Close frame would not be read.
            Some(Err(e)) => {
                debug!("{e}");
                Ok(None)
            }
        };
    }
}
