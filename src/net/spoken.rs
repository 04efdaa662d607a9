//! What is spoken at a port that does not answer as expected, found out with bytes that mean nothing to a board.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::device::recognition::Question;

/// For connecting, and for each answer: a board in modem sleep takes a second.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Enough of an answer to tell what it is.
const ANSWER_MAX_BYTES: usize = 512;
/// Where boards have their websockets.
const PATHS: [&str; 2] = ["/ws", "/"];
/// Any 16 bytes in Base64. A random key might begin as a command of TCode does, and a board obey it.
const KEY: &str = "wsdmgatewaywsdmgatewaw==";
/// The start of a TLS handshake, of version 1.2, with one cipher: what answers in TLS answers it, with an alert at least.
/// For the same reason nothing in it is random.
const CLIENT_HELLO: [u8; 50] = {
    let mut hello = [0; 50];
    let head = [0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    // 32 bytes of 0 in place of the random ones, and no session; TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, no compression,
    // and no extensions.
    hello[45] = 2;
    hello[46] = 0xc0;
    hello[47] = 0x2f;
    hello[48] = 1;
    hello
};

/// What answers at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// A websocket, at this path.
    Websocket(String),
    /// HTTP, without a websocket at any of the usual paths.
    Http,
    /// TLS. What is behind it is not known.
    Tls,
    /// Text without anything around it, over TCP.
    Lines,
    /// The same over UDP.
    Datagrams,
}

/// What the first bytes of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Http,
    Tls,
    Other,
}

impl First {
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x15 | 0x16, 3, ..] => Self::Tls,
            bytes if bytes.starts_with(b"HTTP/") => Self::Http,
            _ => Self::Other,
        }
    }
}

/// Finds out what is spoken at a TCP port. `path` is tried before the usual ones. `None` if nothing answers there. Takes
/// some seconds at most if nothing does. Cancel safe.
pub async fn over_tcp(at: SocketAddr, path: Option<&str>) -> Option<Spoken> {
    let mut is_http = false;
    let mut said_something = false;
    let usual = PATHS.into_iter().filter(|usual| path != Some(usual));
    for path in path.into_iter().chain(usual) {
        let answer = ask(at, upgrade(at, path).as_bytes()).await?;
        match First::of(&answer) {
            First::Http if is_upgraded(&answer) => return Some(Spoken::Websocket(path.to_owned())),
            First::Http => is_http = true,
            First::Tls => return Some(Spoken::Tls),
            First::Other => {
                said_something = !answer.is_empty();
                break;
            }
        }
    }
    if said_something {
        return Some(Spoken::Lines);
    }
    // Some servers answer HTTP where they expect it in TLS.
    let answer = ask(at, &CLIENT_HELLO).await?;
    if First::of(&answer) == First::Tls {
        return Some(Spoken::Tls);
    }
    if is_http || First::of(&answer) == First::Http {
        return Some(Spoken::Http);
    }
    let answer = ask(at, &question()).await?;
    (!answer.is_empty() && First::of(&answer) == First::Other).then_some(Spoken::Lines)
}

/// Whether something answers a question over UDP. Cancel safe.
pub async fn over_udp(at: SocketAddr) -> Option<Spoken> {
    let any: SocketAddr = match at {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let asked = async {
        let udp = UdpSocket::bind(any).await?;
        udp.connect(at).await?;
        udp.send(&question()).await?;
        udp.recv(&mut [0; 1]).await
    };
    matches!(timeout(PATIENCE, asked).await, Ok(Ok(_))).then_some(Spoken::Datagrams)
}

/// The version of TCode, behind a newline that asks for a hello line: nothing of it moves anything.
fn question() -> Vec<u8> {
    [&b"\n"[..], &Question::Version.writes().concat()].concat()
}

/// The address stands for the host, since a name might begin as a command of TCode does.
fn upgrade(host: SocketAddr, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

fn is_upgraded(answer: &[u8]) -> bool {
    answer.split(|b| *b == b' ').nth(1) == Some(b"101")
}

/// The beginning of the answer, on a connection of its own; empty if there is none. `None` if nothing listens there.
async fn ask(at: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let mut tcp = timeout(PATIENCE, TcpStream::connect(at)).await.ok()?.ok()?;
    let mut answer = vec![0; ANSWER_MAX_BYTES];
    let asked = async {
        tcp.write_all(question).await?;
        tcp.read(&mut answer).await
    };
    let length = match timeout(PATIENCE, asked).await {
        Ok(Ok(length)) => length,
        Ok(Err(_)) | Err(_) => 0,
    };
    answer.truncate(length);
    Some(answer)
}

/// What was received first on a connection.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<OnceLock<First>>);

impl Heard {
    /// Whether what came fits a board that speaks without anything around it; `None` if nothing came.
    pub fn is_plain(&self) -> Option<bool> {
        self.0.get().map(|first| *first == First::Other)
    }
}

/// A connection to a board that speaks without anything around it. It breaks if the board answers in HTTP or TLS.
pub struct Plain<S> {
    stream: S,
    heard: Heard,
    is_known: bool,
}

impl<S> Plain<S> {
    /// Watches what is received first on this connection.
    pub fn new(stream: S, heard: Heard) -> Self {
        Self {
            stream,
            heard,
            is_known: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let received = &buf.filled()[before..];
        if self.is_known || received.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.is_known = true;
        let first = First::of(received);
        let _ = self.heard.0.set(first);
        let what = match first {
            First::Http => "it answers in HTTP",
            First::Tls => "it answers in TLS",
            First::Other => return Poll::Ready(Ok(())),
        };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::device::frame::Frame;
    use crate::device::language::{self, Command};

    /// A board that reads TCode obeys whatever token of it begins as a command does.
    #[test]
    fn nothing_that_is_sent_is_a_command_of_tcode() {
        let tcode = language::of_protocol("tcode-v03");
        let at = "192.168.1.31:8000".parse().expect("an address");
        let requests = PATHS.map(|path| upgrade(at, path).into_bytes());
        for sent in requests.into_iter().chain([CLIENT_HELLO.to_vec(), question()]) {
            let text = String::from_utf8_lossy(&sent).into_owned();
            for word in text.split_whitespace() {
                let command = Command::read(tcode, &Frame(Bytes::copy_from_slice(word.as_bytes())));
                assert!(
                    !matches!(command, Command::Set(_) | Command::StopAll),
                    "{word:?}: {command:?}"
                );
            }
        }
    }
}
