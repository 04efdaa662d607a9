//! A board on a websocket, which misbehaves when a test wants it to, and reads on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::common::model_board::ModelBoard;
use super::common::{handshake, within};
use wsdm_gateway::net::stream::{Socket, Stream};
use wsdm_gateway::net::tls::{Fingerprint, Tls};

/// What a board does when a test wants it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Sends a frame with an opcode that does not exist.
    Protocol,
    /// Sends text that is no UTF-8.
    NotUtf8,
    /// Sends a message that is too large.
    TooLarge,
    /// Sends nothing any more, pongs neither.
    Mute,
    /// Is gone without a word, and comes back, doing what it did. On any link.
    Vanish,
}

/// Connects a board, and again each time it vanishes. `faults` has it misbehave; the flag is set when its connection is over and
/// all is obeyed that came.
pub async fn plug(
    url: &str,
    fingerprint: Option<Fingerprint>,
    board: Arc<ModelBoard>,
    mut faults: watch::Receiver<Option<Fault>>,
    ended: Arc<AtomicBool>,
) {
    while connection(url, fingerprint, &board, &mut faults).await == Some(Fault::Vanish) {}
    ended.store(true, Ordering::Release);
}

/// One connection: what of its own ended it.
async fn connection(
    url: &str,
    fingerprint: Option<Fingerprint>,
    board: &ModelBoard,
    faults: &mut watch::Receiver<Option<Fault>>,
) -> Option<Fault> {
    let muted = Arc::new(AtomicBool::new(false));
    let host = url.trim_start_matches("ws://").trim_start_matches("wss://");
    let stream = within("the port answers", TcpStream::connect(host))
        .await
        .expect("an open port");
    let stream = match fingerprint {
        None => Stream::Plain(stream),
        Some(fingerprint) => {
            let tls = Tls::pinned(fingerprint);
            let connector = tls.connector().expect("no CA is needed");
            let name = "localhost".try_into().expect("a name");
            let secured = within("the TLS handshake", connector.connect(name, stream)).await;
            Stream::Tls(Box::new(secured.expect("the gateway's certificate").into()))
        }
    };
    let url = &url.replace("wss://", "ws://");
    let stream = Muffled {
        stream,
        muted: muted.clone(),
    };
    let (mut ws, _) = within("the websocket opens", client_async(url, stream))
        .await
        .expect("a websocket");
    let hello = handshake(board.kind.identifier(), board.kind.name());
    ws.send(Message::text(hello)).await.expect("an open socket");
    loop {
        tokio::select! {
            Ok(()) = faults.changed() => {
                let fault = *faults.borrow_and_update();
                // Under a mask of zeros, so that the bytes stand as they are.
                let raw: &[u8] = match fault {
                    Some(Fault::Protocol) => &[0x83, 0x80, 0, 0, 0, 0],
                    Some(Fault::NotUtf8) => &[0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28],
                    Some(Fault::TooLarge) => &[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 0, 0, 0, 0],
                    Some(Fault::Mute) => {
                        muted.store(true, Ordering::Relaxed);
                        continue;
                    }
                    Some(Fault::Vanish) => {
                        ws.get_ref().stream.tcp().set_zero_linger().expect("a socket");
                        return fault;
                    }
                    None => continue,
                };
                ws.get_mut().write_all(raw).await.expect("an open socket");
                if fault == Some(Fault::TooLarge) {
                    ws.get_mut().write_all(&[0; 70_000]).await.expect("an open socket");
                }
            }
            message = ws.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    for answer in board.receive(&bytes) {
                        // One that is being closed reads on.
                        let _ = ws.send(Message::binary(answer)).await;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            },
        }
    }
}

/// A stream whose writes come to nothing once it is muted.
struct Muffled {
    stream: Stream,
    muted: Arc<AtomicBool>,
}

impl AsyncRead for Muffled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Muffled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.muted.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
