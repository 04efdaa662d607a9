//! The port that devices connect to: accept, upgrade, handshake, admission; then the session.

pub mod workers;

use std::net::SocketAddr;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{self, Error as WsError, Message};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error_span, info, warn};

use crate::config::DeviceSettings;
use crate::defaults::{CLOSE_TIMEOUT, HANDSHAKE_MAX_BYTES};
use crate::device::handshake::{Handshake, HandshakeError};
use crate::device::misplaced;
use crate::device::peer::Peer;
use crate::device::refusal::Refusal;
use crate::ingress::{Board, Intake, TurnedAway};
use crate::link::websocket::WebSocketLink;
use crate::net::accept;
use crate::net::listen::Listeners;
use crate::net::refusals::RefusalLog;
use crate::net::stream::{Socket, Stream};
use crate::net::tls::server::{self, Acceptor};
use crate::net::upgrade::{UpgradeError, upgrade};
use crate::net::visitor::Signpost;
use crate::net::websocket::{device_config, violation};
use workers::Workers;

/// Buttplug's code for an Error in the handshake.
const BUTTPLUG_ERROR_INIT: u32 = 1;

/// What every connection needs.
pub struct Devices {
    /// The `[devices]` section.
    pub settings: DeviceSettings,
    /// Admits devices and runs their sessions.
    pub intake: Arc<Intake>,
    /// Which refusals were logged recently.
    pub refusals: RefusalLog,
    /// Speaks TLS with the peers that do; `None` if the port speaks none.
    pub tls: Option<Acceptor>,
    /// Directs peers that came to the wrong port.
    pub signpost: Signpost,
    /// The threads that serve the sessions.
    pub workers: Workers,
}

impl Devices {
    /// Accepts until `stop` is cancelled, then waits for the sessions, which the caller ends as well.
    pub async fn serve(self: Arc<Self>, listener: Listeners, stop: CancellationToken) {
        let mut sessions = JoinSet::new();
        let connection = |stream: TcpStream, from| {
            let this = self.clone();
            let stop = stop.clone();
            // A socket belongs to the runtime that made it.
            let stream = stream.into_std();
            async move {
                match stream.and_then(TcpStream::from_std) {
                    Ok(stream) => this.connection(stream, from, stop).await,
                    Err(e) => warn!(%from, "connection dropped: {e}"),
                }
            }
        };
        let worker = || self.workers.next();
        accept::accept_until(&listener, "device", &stop, &mut sessions, worker, connection).await;
        drop(listener);
        while sessions.join_next().await.is_some() {}
    }

    /// Serves one connection from accept to close. Everything that waits for the peer happens here, in a task of its
    /// own, so that a silent peer affects only itself.
    async fn connection(&self, stream: TcpStream, from: SocketAddr, stop: CancellationToken) {
        let started = tokio::time::Instant::now();
        let limit = self.settings.handshake_timeout;
        let upgraded = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            upgraded = timeout(limit, self.upgrade(stream)) => upgraded,
        };
        let peer = Peer::Websocket(from);
        let mut ws = match upgraded {
            Ok(Ok(ws)) => ws,
            Ok(Err(e)) => {
                return error_span!("device", %peer).in_scope(|| e.log(&self.refusals, from));
            }
            Err(_) => {
                return info!(%peer, "connection dropped: no websocket upgrade within {} ms", limit.as_millis());
            }
        };
        let peer = match ws.get_ref().is_tls() {
            true => Peer::SecureWebsocket(from),
            false => peer,
        };
        let handshake = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Refusal::Stopping),
            first = timeout(limit.saturating_sub(started.elapsed()), first_message(&mut ws, self.signpost)) => match first {
                Ok(Ok(Some(handshake))) => Ok(handshake),
                Ok(Ok(None)) => return debug!(%peer, "left before its handshake"),
                Ok(Err(refusal)) => Err(refusal),
                Err(_) => Err(Refusal::Timeout(limit)),
            },
        };
        let link = Box::new(WebSocketLink::new(ws, self.settings.ping_interval).with_probes());
        let refused = match handshake {
            Ok(handshake) => {
                // Boxed, so that the task of a connection without a session yet does not hold the space for one.
                let board = Board {
                    on_close: self.settings.on_close.clone(),
                    ..Board::at(peer.clone())
                };
                let session = self.intake.session(handshake, board, link, &stop);
                match Box::pin(session).await {
                    Ok(_) => return,
                    Err(refused) => refused,
                }
            }
            Err(refusal) => TurnedAway { refusal, link },
        };
        self.refuse(refused, &peer, from).await;
    }

    /// Opens the websocket, within TLS if the peer begins with that.
    async fn upgrade(&self, tcp: TcpStream) -> Result<WebSocketStream<Stream>, UpgradeError> {
        let stream = match &self.tls {
            Some(tls) => tls.open(tcp).await?,
            None => Stream::Plain(tcp),
        };
        let check = |request: &_| self.intake.admission.request(request);
        let tls = self.tls.as_ref().filter(|_| stream.is_tls());
        match (upgrade(stream, device_config(), self.signpost, check).await, tls) {
            (Err(UpgradeError::Left), Some(tls)) => {
                Err(server::HandshakeError::Left(tls.fingerprint()).into())
            }
            (upgraded, _) => upgraded,
        }
    }

    async fn refuse(&self, refused: TurnedAway, peer: &Peer, from: SocketAddr) {
        let TurnedAway { refusal, mut link } = refused;
        let reason = refusal.close_reason();
        match self.refusals.line(from.ip(), &refusal) {
            Some(line) => warn!(%peer, code = reason.code, "device refused: {line}"),
            None => debug!(%peer, code = reason.code, "device refused again: {refusal}"),
        }
        link.set_close_reason(reason);
        // If the peer does not take the Close frame, nobody would read it.
        let _ = timeout(CLOSE_TIMEOUT, link.close()).await;
    }
}

/// Reads the handshake; `None` if the peer closed before it sent one. Cancel safe: nothing is lost that a later caller
/// would want.
async fn first_message(
    ws: &mut WebSocketStream<Stream>,
    signpost: Signpost,
) -> Result<Option<Handshake>, Refusal> {
    loop {
        return match ws.next().await {
            None | Some(Ok(Message::Close(_))) => Ok(None),
            Some(Ok(Message::Text(text))) => match Handshake::parse(text.as_str()) {
                Ok(handshake) => Ok(Some(handshake)),
                Err(fault) => Err(refuse_app(ws, &text, signpost).await.unwrap_or(fault.into())),
            },
            Some(Ok(Message::Binary(bytes))) => {
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                Err(refuse_app(ws, text, signpost).await.unwrap_or(Refusal::Binary))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(WsError::Capacity(tungstenite::error::CapacityError::MessageTooLong {
                size, ..
            }))) => Err(HandshakeError::MessageTooLarge(size.max(HANDSHAKE_MAX_BYTES + 1)).into()),
            Some(Err(e @ (WsError::Utf8(_) | WsError::Capacity(_)))) => {
                Err(Refusal::Unreadable(e.to_string()))
            }
            Some(Err(WsError::Protocol(fault)))
                if !matches!(fault, ProtocolError::ResetWithoutClosingHandshake) =>
            {
                Err(violation(&WsError::Protocol(fault)).into())
            }
            // The connection broke: a Close frame would not be read.
            Some(Err(e)) => {
                debug!("{e}");
                Ok(None)
            }
        };
    }
}

/// Answers a Buttplug app that came to this port. `None` if the message is not an app's.
async fn refuse_app(ws: &mut WebSocketStream<Stream>, message: &str, signpost: Signpost) -> Option<Refusal> {
    let id = misplaced::app_hello(message)?;
    let place = signpost.at(ws.get_ref().tcp().local_addr().ok()?).to_string();
    // Apps show the text of an Error, not the reason of a Close frame.
    let error = json!([{ "Error": { "Id": id, "ErrorMessage": place, "ErrorCode": BUTTPLUG_ERROR_INIT } }]);
    let _ = ws.send(Message::text(error.to_string())).await;
    Some(Refusal::App(place))
}
