//! UDP as a link: one datagram a frame.
//!
//! A datagram may be lost. A lost motion command is soon superseded by the next one, but nothing follows a stop, so each
//! stop is sent three times, unless a newer command concerns the same actuator.

mod repeats;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tracing::warn;

use repeats::Repeats;

use super::{Frame, FrameIo, LinkError};
use crate::defaults::DATAGRAM_MAX_BYTES;
use crate::device::language::Language;

/// A UDP socket that is connected to a board.
pub struct Datagrams {
    socket: UdpSocket,
    buffer: Box<[u8]>,
    /// A frame that the socket has not taken yet.
    out: Option<Bytes>,
    repeats: Repeats,
    /// How many datagrams were dropped in either direction because they were too large.
    oversize: u64,
}

impl Datagrams {
    /// Sends frames through this socket. `on_close` holds the bytes that stop the board, if they are configured.
    pub fn new(socket: UdpSocket, on_close: Option<Bytes>) -> Self {
        Self {
            socket,
            // One byte more detects a datagram that is too large.
            buffer: vec![0; DATAGRAM_MAX_BYTES + 1].into_boxed_slice(),
            out: None,
            repeats: Repeats::new(on_close),
            oversize: 0,
        }
    }

    fn count_oversize(&mut self, what: &str) {
        if self.oversize == 0 {
            warn!(
                "a datagram {what} of more than {DATAGRAM_MAX_BYTES} bytes is dropped; only the first is reported"
            );
        }
        self.oversize += 1;
    }

    /// Repeats the stops that are due, unless a newer frame waits.
    fn poll_repeats(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        while self.out.is_none()
            && let Poll::Ready(Some(stop)) = self.repeats.poll_due(cx)
        {
            match self.socket.poll_send(cx, &stop) {
                Poll::Ready(sent) => {
                    self.repeats.sent();
                    sent_or_lost(sent)?;
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

/// If the system's queue is full, the datagram is lost, as it may be on the network. Every other error means that the
/// board is gone.
fn sent_or_lost(sent: io::Result<usize>) -> Result<(), LinkError> {
    match sent {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted) => Ok(()),
        Err(e) => Err(gone(e)),
    }
}

fn gone(error: io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => LinkError::Lost(io::Error::new(
            error.kind(),
            "nothing on the board listens on its UDP port",
        )),
        _ => LinkError::Lost(error),
    }
}

impl Stream for Datagrams {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Err(e) = this.poll_repeats(cx) {
            return Poll::Ready(Some(Err(e)));
        }
        let mut buf = ReadBuf::new(&mut this.buffer);
        match ready!(this.socket.poll_recv(cx, &mut buf)) {
            Err(e) => Poll::Ready(Some(Err(gone(e)))),
            Ok(()) if buf.filled().len() > DATAGRAM_MAX_BYTES => {
                this.count_oversize("from the board");
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            // An empty datagram is no frame.
            Ok(()) if buf.filled().is_empty() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(()) => {
                let frame = Frame(Bytes::copy_from_slice(buf.filled()));
                if this.repeats.is_answered_by(&frame) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

impl Sink<Frame> for Datagrams {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }

    /// Drops, counts and logs a frame that fits no datagram: it cannot be sent, and the board is not at fault.
    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        if frame.0.len() > DATAGRAM_MAX_BYTES {
            self.count_oversize("for the board");
            return Ok(());
        }
        self.repeats.observe(&frame);
        self.out = Some(frame.0);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = &mut *self;
        if let Some(bytes) = &this.out {
            let sent = ready!(this.socket.poll_send(cx, bytes));
            this.out = None;
            sent_or_lost(sent)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when every stop has been sent for the last time. The caller sets the timeout.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.poll_repeats(cx)?;
        if self.repeats.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl FrameIo for Datagrams {
    fn set_language(&mut self, language: Option<&'static dyn Language>, _: bool) {
        self.repeats.language = language;
    }
}
