//! The websocket upgrade on both ports, and the answers to peers that do not request one.
//!
//! The websocket library parses and checks the request, but the answer is written here: the library writes header names
//! in lower case, which the simplest boards do not recognise, and has no answer for other protocols.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response};
use tokio_tungstenite::tungstenite::http::{StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::{debug, info, warn};

use super::refusals::RefusalLog;
use super::stream::Socket;
use super::tls::server::HandshakeError;
use super::visitor::{First, Kind, Signpost, Visitor, http};
use crate::advice::Advice;
use crate::defaults::{CLOSE_TIMEOUT, UPGRADE_MAX_BYTES, UPGRADE_READ_BYTES};

/// The size of one read while closing. What is read then is discarded.
const DRAIN_CHUNK_BYTES: usize = 2048;

/// Why a connection did not become a websocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// `check` refused the request, and the peer got an HTTP error.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// The peer does not speak websocket, and got an answer that names this port and the other one.
    #[error(transparent)]
    Visitor(#[from] Visitor),
    /// The TLS handshake before the upgrade came to nothing.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// The peer disconnected first: a health check, a port scan.
    #[error("it disconnected before it requested a websocket")]
    Left,
    /// The peer disconnected after a part of its request.
    #[error("it disconnected in the middle of its request")]
    LeftMidway,
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
}

impl Advice for UpgradeError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Refused(rejection) => rejection.hint(),
            Self::Visitor(visitor) => visitor.hint(),
            Self::Tls(e) => e.hint(),
            Self::Left | Self::LeftMidway | Self::Lost(_) => None,
        }
    }
}

impl UpgradeError {
    /// Logs it, but the same refusal of the same peer only now and then.
    pub fn log(&self, log: &RefusalLog, from: SocketAddr) {
        match self {
            Self::Left | Self::LeftMidway | Self::Lost(_) | Self::Tls(HandshakeError::Lost(_)) => {
                info!("connection dropped: {self}")
            }
            Self::Refused(_) | Self::Visitor(_) | Self::Tls(_) => match log.line(from.ip(), self) {
                Some(line) => warn!("connection refused: {line}"),
                None => debug!("connection refused again: {self}"),
            },
        }
    }
}

/// The answer to a request that is refused.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body of the answer, also used in the log.
    pub reason: Cow<'static, str>,
    /// What to do about it, for the log.
    pub hint: Option<String>,
}

impl Advice for Rejection {
    fn hint(&self) -> Option<Cow<'_, str>> {
        self.hint.as_deref().map(Cow::Borrowed)
    }
}

/// Upgrades a connection to a websocket, or answers what is expected here and closes it. The caller sets the timeout.
/// Not cancel safe: a dropped future drops the connection.
///
/// # Errors
/// The peer does not speak websocket, or `check` refused the request.
pub async fn upgrade<T: Socket>(
    stream: T,
    config: WebSocketConfig,
    signpost: Signpost,
    check: impl Fn(&Request) -> Result<(), Rejection>,
) -> Result<WebSocketStream<T>, UpgradeError> {
    let request = UpgradeRequest::read(stream, signpost).await?;
    match check(request.head()) {
        Ok(()) => request.accept(config, |stream| stream).await,
        Err(rejection) => Err(request.refuse(rejection).await),
    }
}

/// A peer that requested a websocket and has no answer yet. Dropping it drops the connection.
pub struct UpgradeRequest<T = TcpStream> {
    stream: T,
    request: Upgrade,
    /// What was read, from the first byte of the request on.
    bytes: Vec<u8>,
}

impl<T: Socket> UpgradeRequest<T> {
    /// Reads the request, or answers what is expected here and closes. The caller sets the timeout. Not cancel safe.
    ///
    /// # Errors
    /// The peer does not speak websocket.
    pub async fn read(mut stream: T, signpost: Signpost) -> Result<Self, UpgradeError> {
        let mut bytes = Vec::with_capacity(UPGRADE_READ_BYTES);
        let read = read_request(&mut stream, &mut bytes).await?;
        let read = match signpost.without_tls() {
            Some(kind) if read.is_ok() && !stream.is_tls() => Err(kind),
            _ => read,
        };
        match read {
            Ok(request) => Ok(Self {
                stream,
                request,
                bytes,
            }),
            Err(kind) => {
                let place = signpost.at(stream.tcp().local_addr()?);
                let visitor = Visitor { kind, place };
                Box::pin(turn_away(stream, &visitor.answer())).await;
                Err(visitor.into())
            }
        }
    }

    /// The request.
    pub fn head(&self) -> &Request {
        &self.request.head
    }

    /// Opens the websocket. `wrap` makes the stream that it is to have. Not cancel safe.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        config: WebSocketConfig,
        wrap: impl FnOnce(T) -> S,
    ) -> Result<WebSocketStream<S>, UpgradeError> {
        self.stream.write_all(self.request.answer().as_bytes()).await?;
        self.stream.flush().await?;
        self.bytes.drain(..self.request.len);
        let stream = wrap(self.stream);
        // Some boards send their handshake without waiting for the answer.
        Ok(if self.bytes.is_empty() {
            WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
        } else {
            WebSocketStream::from_partially_read(stream, self.bytes, Role::Server, Some(config)).await
        })
    }

    /// Answers with an HTTP error and closes; returns the rejection as an error.
    pub async fn refuse(self, rejection: Rejection) -> UpgradeError {
        let body = format!("{}\n", rejection.reason);
        let answer = http(&rejection.status.to_string(), "text/plain", &body);
        Box::pin(turn_away(self.stream, &answer)).await;
        rejection.into()
    }
}

impl UpgradeRequest {
    /// Completes when the peer disconnects; never, if it sent something ahead of the answer. Cancel safe.
    pub async fn disconnected(&self) {
        if self.bytes.len() == self.request.len && !matches!(self.stream.peek(&mut [0]).await, Ok(1..)) {
            return;
        }
        std::future::pending().await
    }
}

/// A valid request for a websocket.
struct Upgrade {
    head: Request,
    /// Its length in bytes.
    len: usize,
    accept: String,
}

impl Upgrade {
    /// The answer that opens the websocket, with header names in their usual spelling.
    fn answer(&self) -> String {
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            self.accept
        );
        if let Some(protocol) = subprotocol(&self.head) {
            answer.push_str("Sec-WebSocket-Protocol: ");
            answer.push_str(protocol);
            answer.push_str("\r\n");
        }
        answer.push_str("\r\n");
        answer
    }
}

/// The first subprotocol that a client offers. The gateway has none of its own, but browsers give up if the answer names
/// none.
fn subprotocol(request: &Request) -> Option<&str> {
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?;
    let first = offered.to_str().ok()?.split(',').next()?.trim();
    // What RFC 9110 calls a token.
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    (!first.is_empty() && first.chars().all(is_token)).then_some(first)
}

/// Reads until the request is complete, or until it is clear that the peer does not send one.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<Result<Upgrade, Kind>, UpgradeError> {
    let (mut is_http, mut has_spoken) = (false, false);
    loop {
        let searched = bytes.len();
        let read = match stream.read_buf(bytes).await {
            // A peer that does not end TLS as it should has left, too.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        if read == 0 {
            // The peer may still read, and its last line may lack a newline.
            bytes.push(b'\n');
            return match First::of(bytes) {
                First::Other(kind) if searched > 0 => Ok(Err(kind)),
                _ if has_spoken => Err(UpgradeError::LeftMidway),
                _ => Err(UpgradeError::Left),
            };
        }
        has_spoken = true;
        if !is_http {
            // HTTP allows empty lines before a request.
            let empty = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            bytes.drain(..empty);
            match First::of(bytes) {
                First::Unclear => continue,
                First::Other(kind) => return Ok(Err(kind)),
                First::Http => is_http = true,
            }
        }
        if let Some(end) = end_of_head(bytes, searched) {
            return Ok(parse(&bytes[..end]));
        }
        if bytes.len() >= UPGRADE_MAX_BYTES {
            let fault = format!("its head has more than {UPGRADE_MAX_BYTES} bytes");
            return Ok(Err(Kind::Upgrade(fault)));
        }
    }
}

/// Where the empty line after the headers ends, if it has arrived. The first `searched` bytes do not contain it.
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    // Its beginning may be the last two of those: a newline and a carriage return.
    let from = searched.saturating_sub(2);
    memchr::memchr_iter(b'\n', bytes.get(from..)?).find_map(|newline| {
        let after = from + newline + 1;
        match bytes.get(after..)? {
            [b'\n', ..] => Some(after + 1),
            [b'\r', b'\n', ..] => Some(after + 2),
            _ => None,
        }
    })
}

/// Reads the head of a request for a websocket.
fn parse(bytes: &[u8]) -> Result<Upgrade, Kind> {
    let (len, head) = match Request::try_parse(bytes) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Err(Kind::Upgrade("the request is incomplete".to_owned())),
        Err(WsError::Protocol(ProtocolError::WrongHttpMethod | ProtocolError::WrongHttpVersion)) => {
            return Err(Kind::Http { html: false });
        }
        Err(e) => return Err(Kind::Upgrade(fault(e))),
    };
    let names = [header::UPGRADE, header::SEC_WEBSOCKET_KEY];
    let is_upgrade = names.iter().any(|name| head.headers().contains_key(name));
    let has = |name, text: &str| {
        let value = head.headers().get(name);
        value
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.contains(text))
    };
    match create_response(&head) {
        Ok(response) => {
            let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
            let accept = accept.and_then(|accept| accept.to_str().ok());
            let accept = accept.unwrap_or_default().to_owned();
            Ok(Upgrade { head, len, accept })
        }
        Err(e) if is_upgrade => Err(Kind::Upgrade(fault(e))),
        Err(_) => Err(Kind::Http {
            html: has(header::ACCEPT, "text/html"),
        }),
    }
}

fn fault(error: WsError) -> String {
    match error {
        WsError::Protocol(fault) => fault.to_string(),
        other => other.to_string(),
    }
}

/// Sends a last answer, and waits until the peer closes too: if bytes of the peer stayed unread, the system would reset
/// the connection, and the peer might lose the answer. Its callers box it, so that the task of every other connection
/// does not hold space for its buffer.
async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let answered = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut chunk = [0; DRAIN_CHUNK_BYTES];
        while stream.read(&mut chunk).await? > 0 {}
        io::Result::Ok(())
    };
    // A peer that has not read the answer by then does not want it.
    let _ = timeout(CLOSE_TIMEOUT, answered).await;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: &str = "GET /?token=x HTTP/1.1\r\nHost: gateway\r\nUpgrade: WebSocket\r\nConnection: keep-alive, \
                           Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

    #[test]
    fn the_first_subprotocol_is_taken_if_it_is_one() {
        for (offered, taken) in [
            ("chat", Some("chat")),
            (" a.b-c , d", Some("a.b-c")),
            ("", None),
            (",a", None),
            ("a b", None),
            ("\"a\"", None),
        ] {
            let text = format!("{REQUEST}Sec-WebSocket-Protocol: {offered}\r\n\r\n");
            let request = parse(text.as_bytes()).expect("a request");
            assert_eq!(subprotocol(&request.head), taken, "{offered:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_fault(bytes: Vec<u8>, searched in 0usize..100) {
            let _ = parse(&bytes);
            let _ = end_of_head(&bytes, searched);
        }

        /// However a request is cut, its end is found when it is there, and what follows is left alone.
        #[test]
        fn the_end_is_found_across_reads(first in 0usize..200, second in 0usize..200, tail in "[\r\nx]{0,5}") {
            let whole = format!("{REQUEST}\r\n{tail}");
            let end = REQUEST.len() + 2;
            let mut cuts = [first.min(whole.len()), second.min(whole.len()), whole.len()];
            cuts.sort_unstable();
            let mut searched = 0;
            let mut found = None;
            for cut in cuts {
                found = end_of_head(&whole.as_bytes()[..cut], searched);
                prop_assert_eq!(found, (cut >= end).then_some(end));
                if found.is_some() {
                    break;
                }
                searched = cut;
            }
            prop_assert_eq!(found, Some(end));
        }
    }
}
