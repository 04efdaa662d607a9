//! Opens websockets: to a Websocket Device Manager server as a device, and to boards that listen.

use std::borrow::Cow;
use std::time::Duration;

use futures::SinkExt;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{self, Message};

use super::stream::Stream;
use super::target::Target;
use super::tls::{self, NoRoots, Tls};
use super::websocket;
use crate::advice::Advice;
use crate::defaults::DEVICE_LISTEN;
use crate::device::handshake::Handshake;

/// Covers the TCP connect, the TLS handshake and the HTTP upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why dialling failed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The TCP connection failed.
    #[error("cannot connect to {target}: {source}")]
    Tcp {
        /// The target.
        target: Target,
        /// The cause.
        source: std::io::Error,
    },
    /// The TLS handshake failed: the certificate is not trusted, or the server does not speak TLS.
    #[error("no TLS with {target}: {source}")]
    Tls {
        /// The target.
        target: Target,
        /// The cause; contains a [`rustls::Error`] if the certificate is the problem.
        source: std::io::Error,
    },
    /// There are no CA certificates to check the server's with.
    #[error("cannot connect to {target}: {source}")]
    NoRoots {
        /// The target.
        target: Target,
        /// The cause.
        source: NoRoots,
    },
    /// The server did not answer in time.
    #[error("no answer from {} within {} s", .0, CONNECT_TIMEOUT.as_secs())]
    TimedOut(Target),
    /// The server answered with HTTP, but without the upgrade.
    #[error("{target} answered \"{status}\"")]
    Http {
        /// The target.
        target: Target,
        /// The answer's status.
        status: StatusCode,
    },
    /// The server does not speak websocket, or broke off the connection.
    #[error("{target} does not answer like a websocket server: {source}")]
    NotWebsocket {
        /// The target.
        target: Target,
        /// The cause.
        source: Box<tungstenite::Error>,
    },
}

impl Advice for DialError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Tcp { .. } | Self::TimedOut(_) => format!(
                "is the gateway running, and does it listen there? `wsdm-gateway run` listens on {DEVICE_LISTEN} \
                 unless told otherwise"
            ),
            Self::Tls { source, .. } => return Some(tls::hint(source).into()),
            Self::NoRoots { source, .. } => return source.hint(),
            Self::Http { status, .. } if is_denial(*status) => {
                "if the server wants a token, give it with --token".to_owned()
            }
            Self::Http { .. } | Self::NotWebsocket { .. } => {
                format!(
                    "something else listens there; the port for devices is usually {}; a server behind TLS needs \
                     wss://",
                    DEVICE_LISTEN.port()
                )
            }
        };
        Some(hint.into())
    }
}

impl DialError {
    /// Whether the server refused the credentials, so that retrying is pointless.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Http { status, .. } if is_denial(*status))
    }

    /// Whether the server named a subprotocol although none was offered, as a widespread library for boards does.
    pub fn is_unasked_subprotocol(&self) -> bool {
        let unasked = SubProtocolError::ServerSentSubProtocolNoneRequested;
        matches!(self, Self::NotWebsocket { source, .. } if matches!(
            &**source,
            tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(why)) if *why == unasked
        ))
    }
}

fn is_denial(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Connects and sends the handshake. `tls` holds the trusted certificates for `wss://`. Takes at most 5 s. Not cancel
/// safe: a dropped future drops the connection.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(
    target: &Target,
    handshake: &Handshake,
    tls: &Tls,
) -> Result<WebSocketStream<Stream>, DialError> {
    let dialed = timeout(CONNECT_TIMEOUT, dial_without_limit(target, handshake, tls)).await;
    dialed.unwrap_or_else(|_| Err(DialError::TimedOut(target.clone())))
}

async fn dial_without_limit(
    target: &Target,
    handshake: &Handshake,
    tls: &Tls,
) -> Result<WebSocketStream<Stream>, DialError> {
    let no_tcp = |source| DialError::Tcp {
        target: target.clone(),
        source,
    };
    let tcp = TcpStream::connect(target.host_and_port()).await.map_err(no_tcp)?;
    // Needed under TLS too: each record is a command and must not wait for the next.
    tcp.set_nodelay(true).map_err(no_tcp)?;
    let mut socket = upgrade(target, tcp, tls, None).await?;
    let sent = socket.send(Message::text(handshake.encode())).await;
    sent.map_err(|source| not_websocket(target, source))?;
    Ok(socket)
}

/// Opens a websocket on a connection to this target, and offers `subprotocol` if it is given. The caller sets the
/// timeout. Not cancel safe: a dropped future drops the connection.
///
/// # Errors
/// See [`DialError`].
pub async fn upgrade(
    target: &Target,
    tcp: TcpStream,
    tls: &Tls,
    subprotocol: Option<&'static str>,
) -> Result<WebSocketStream<Stream>, DialError> {
    let failed = |source| not_websocket(target, source);
    let stream = if target.is_tls() {
        encrypt(target, tcp, tls).await?
    } else {
        Stream::Plain(tcp)
    };
    let mut request = target.url().into_client_request().map_err(failed)?;
    // Behind the port may be a board that takes every word that begins like an axis for a command.
    let mut key = generate_key();
    while matches!(
        key.as_bytes(),
        [
            b'L' | b'R' | b'V' | b'A' | b'l' | b'r' | b'v' | b'a',
            b'0'..=b'9',
            ..
        ]
    ) {
        key = generate_key();
    }
    if let Ok(key) = HeaderValue::try_from(key) {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
    }
    if let Some(offered) = subprotocol {
        let offered = HeaderValue::from_static(offered);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offered);
    }
    let config = Some(websocket::device_config());
    let upgraded = tokio_tungstenite::client_async_with_config(request, stream, config).await;
    upgraded.map(|(socket, _)| socket).map_err(failed)
}

fn not_websocket(target: &Target, source: tungstenite::Error) -> DialError {
    match source {
        tungstenite::Error::Http(response) => DialError::Http {
            target: target.clone(),
            status: response.status(),
        },
        source => DialError::NotWebsocket {
            target: target.clone(),
            source: Box::new(source),
        },
    }
}

async fn encrypt(target: &Target, tcp: TcpStream, tls: &Tls) -> Result<Stream, DialError> {
    let connector = tls.loaded().await.map_err(|source| DialError::NoRoots {
        target: target.clone(),
        source,
    })?;
    let no_tls = |source| DialError::Tls {
        target: target.clone(),
        source,
    };
    let name = ServerName::try_from(target.host_and_port().0.to_owned())
        .map_err(|e| no_tls(std::io::Error::new(std::io::ErrorKind::InvalidInput, e)))?;
    let tls = connector.connect(name, tcp).await.map_err(no_tls)?;
    Ok(Stream::Tls(Box::new(tls.into())))
}
