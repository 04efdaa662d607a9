//! One connection to a board that listens, on each transport.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Duration, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::DialledBoards;
use super::elsewhere::{SUSPICIOUS_AFTER, SUSPICIOUSLY_SHORT, elsewhere};
use crate::config::DialSettings;
use crate::defaults::{BOARD_DIAL_TIMEOUT, BOARD_SEND_BUFFER_BYTES, UDP_REFUSAL_WAIT};
use crate::ingress::{After, Board, Trouble};
use crate::link::datagram::Datagrams;
use crate::link::messages::Messages;
use crate::link::question::Questioned;
use crate::link::stream::StreamLink;
use crate::link::websocket::WebSocketLink;
use crate::net::dial::{DialError, upgrade};
use crate::net::endpoint::{Endpoint, HostPort};
use crate::net::mdns::resolve;
use crate::net::spoken::{Heard, Plain};
use crate::net::stream::Stream;
use crate::net::target::Target;

/// TCP keepalive of a silent board: three probes, this far apart.
const KEEPALIVE_PAUSE: Duration = Duration::from_secs(2);
const KEEPALIVE_TRIES: u32 = 3;

/// The subprotocol that a widespread websocket library for boards names even if the client offers none.
const ARDUINO: &str = "arduino";

/// The hint for a board that does not answer at all.
const IS_IT_ON: &str = "is the board switched on, and on this network?";

impl DialledBoards {
    /// Connects to the board at this endpoint and bridges it until the connection ends. `was_looked_at` is whether the
    /// gateway has found out what is spoken there while the board was connected and silent: once, since a slow board may
    /// take a single connection.
    ///
    /// # Errors
    /// Something else is spoken there than the entry says.
    pub(super) async fn connect(
        &self,
        settings: &DialSettings,
        endpoint: &Endpoint,
        board: Board,
        was_looked_at: &AtomicBool,
        stop: &CancellationToken,
    ) -> Result<After, Trouble> {
        let log = board.log.clone();
        let heard = Heard::default();
        let is_introduced = CancellationToken::new();
        // Asking moves nothing, unless the board speaks a language of which nothing is known.
        let may_ask = endpoint.transport().is_websocket()
            || (settings.identifier.as_ref())
                .is_none_or(|identifier| self.intake.language(identifier, None).is_some());
        let look = async {
            match elsewhere(settings, endpoint, stop).await {
                Some(trouble) => trouble,
                None => std::future::pending().await,
            }
        };
        let after = {
            let bridge = self.bridge(settings, endpoint, board, stop, (&heard, &is_introduced));
            let suspicion = async {
                sleep(settings.settle + SUSPICIOUS_AFTER).await;
                if settings.identifier.is_some() || was_looked_at.swap(true, Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                look.await
            };
            tokio::select! {
                biased;
                after = bridge => after,
                // Until the board is known nothing was sent to it but questions: it can be let go of at any time.
                Some(trouble) = is_introduced.run_until_cancelled(suspicion) => return Err(trouble),
            }
        };
        let is_suspicious = match &after {
            After::Failed(trouble) => log.is_news(trouble),
            After::Session(lasted) => {
                !endpoint.transport().is_websocket()
                    && *lasted < SUSPICIOUSLY_SHORT
                    && heard.is_plain() != Some(true)
            }
            After::Unwelcome(_) | After::Refused(_) | After::Stopping => false,
        };
        if is_suspicious
            && (may_ask || heard.is_plain() == Some(false))
            && let Some(trouble) = elsewhere(settings, endpoint, stop).await
        {
            return Err(trouble);
        }
        Ok(after)
    }

    /// The same without looking at what is spoken there: notes what was heard first, and that the board is known.
    async fn bridge(
        &self,
        settings: &DialSettings,
        endpoint: &Endpoint,
        board: Board,
        stop: &CancellationToken,
        (heard, is_introduced): (&Heard, &CancellationToken),
    ) -> After {
        match endpoint {
            Endpoint::Websocket(target) => {
                let ws = match in_time(stop, websocket(target, settings)).await {
                    Ok(ws) => ws,
                    Err(after) => return after,
                };
                let link = WebSocketLink::new(ws, self.ping_interval)
                    .with_probes()
                    .with_text(settings.is_text);
                let link = Messages::new(link);
                let frames = |link: Messages<_>, _, read| {
                    is_introduced.cancel();
                    link.into_frames(read)
                };
                self.intake.bridge(board, link, stop, frames).await
            }
            Endpoint::Tcp(at) => {
                let tcp = match in_time(stop, tcp(at)).await {
                    Ok(tcp) => Plain::new(tcp, heard.clone()),
                    Err(after) => return after,
                };
                let frames = |tcp, framing, read| {
                    is_introduced.cancel();
                    Questioned::new(StreamLink::new(tcp, framing, read))
                };
                self.intake.bridge(board, tcp, stop, frames).await
            }
            Endpoint::Udp(at) => {
                let udp = match in_time(stop, udp(at)).await {
                    Ok(udp) => udp,
                    Err(after) => return after,
                };
                let link = Messages::new(Datagrams::new(udp, board.on_close.clone()));
                let frames = |link: Messages<_>, _, read| {
                    is_introduced.cancel();
                    Questioned::new(link.into_frames(read))
                };
                let board = Board {
                    is_lossy: true,
                    ..board
                };
                self.intake.bridge(board, link, stop, frames).await
            }
            // A service is resolved before this: the board it finds has one of the other endpoints.
            Endpoint::Service(_) => After::Stopping,
        }
    }
}

/// The trouble with a board that cannot be reached.
fn unreachable(error: &io::Error) -> Trouble {
    let hint = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens on that port: is the port right, and the board in the mode that listens?"
        }
        io::ErrorKind::NotFound => "is the name right, and the board on this network?",
        _ => IS_IT_ON,
    };
    Trouble {
        what: format!("cannot be reached: {error}"),
        hint: hint.to_owned(),
    }
}

fn no_answer() -> Trouble {
    Trouble {
        what: format!("no answer within {} s", BOARD_DIAL_TIMEOUT.as_secs()),
        hint: IS_IT_ON.to_owned(),
    }
}

/// Connects, unless it takes too long or the gateway stops.
async fn in_time<T>(
    stop: &CancellationToken,
    connecting: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, After> {
    match stop
        .run_until_cancelled(timeout(BOARD_DIAL_TIMEOUT, connecting))
        .await
    {
        None => Err(After::Stopping),
        Some(Err(_)) => Err(After::Failed(no_answer())),
        Some(Ok(Err(trouble))) => Err(After::Failed(trouble)),
        Some(Ok(Ok(connected))) => Ok(connected),
    }
}

/// Opens a TCP connection that sends commands at once and detects that a board is gone.
async fn tcp(at: &HostPort) -> Result<TcpStream, Trouble> {
    let connected = async {
        let addresses = resolve(at).await?;
        let tcp = TcpStream::connect(&addresses[..]).await?;
        tcp.set_nodelay(true)?;
        let socket = SockRef::from(&tcp);
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_PAUSE)
            .with_interval(KEEPALIVE_PAUSE)
            .with_retries(KEEPALIVE_TRIES);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(crate::defaults::WRITE_TIMEOUT))?;
        // Commands that wait for the board should wait in the outbox, where newer motion supersedes older.
        socket.set_send_buffer_size(BOARD_SEND_BUFFER_BYTES)?;
        Ok(tcp)
    };
    connected.await.map_err(|e: io::Error| unreachable(&e))
}

async fn websocket(target: &Target, settings: &DialSettings) -> Result<WebSocketStream<Stream>, Trouble> {
    let (host, port) = target.host_and_port();
    let at = HostPort {
        host: host.to_owned(),
        port,
    };
    let opened = upgrade(target, tcp(&at).await?, &settings.tls, None).await;
    let opened = match opened {
        Err(e) if e.is_unasked_subprotocol() => {
            debug!("{target}: the board names a subprotocol that was not offered: offering it");
            upgrade(target, tcp(&at).await?, &settings.tls, Some(ARDUINO)).await
        }
        opened => opened,
    };
    opened.map_err(|e| Trouble {
        hint: websocket_hint(&e),
        what: e.to_string(),
    })
}

fn websocket_hint(error: &DialError) -> String {
    match error {
        DialError::Http { .. } => "is the path right? Many boards have their websocket at /ws".to_owned(),
        DialError::NotWebsocket { .. } => {
            "something else listens on that port; a board that speaks plain TCP there needs tcp://".to_owned()
        }
        DialError::Tls { source, .. } => crate::net::tls::board_hint(source).to_owned(),
        DialError::NoRoots { .. } => {
            "give the board's CA with ca = \"FILE\" in its [[dial]] entry".to_owned()
        }
        DialError::Tcp { .. } | DialError::TimedOut(_) => IS_IT_ON.to_owned(),
    }
}

/// Opens a UDP socket that receives from this board only. UDP cannot confirm that a board listens, but often reports
/// that nothing does.
async fn udp(at: &HostPort) -> Result<UdpSocket, Trouble> {
    let opened = async {
        let addresses = resolve(at).await?;
        let Some(address) = addresses.first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let udp = UdpSocket::bind(any).await?;
        udp.connect(address).await?;
        // A lone newline is no command in any language, and asks for a hello line.
        udp.send(b"\n").await?;
        if let Ok(answered) = timeout(UDP_REFUSAL_WAIT, udp.peek(&mut [0])).await {
            answered?;
        }
        Ok(udp)
    };
    opened.await.map_err(|e: io::Error| unreachable(&e))
}
