//! A link of whole messages, websocket or UDP, to a board that is not yet identified: read and written as bytes at first,
//! like a serial port, and used as a link of frames after that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Frame, FrameIo, LinkError, RoundTrip};
use crate::device::close::CloseReason;
use crate::device::hello::Hello;
use crate::device::language::Language;

/// How many hello lines and blank messages one poll skips before it yields.
const HELLOS_PER_POLL: usize = 16;

/// A link on which each message is a frame, except for hello lines.
pub struct Messages<L> {
    link: L,
    /// The unread rest of a message.
    rest: Bytes,
    /// What followed the hello line in its message.
    first: Option<Frame>,
    /// The last hello line that arrived between frames.
    hello: Option<Hello>,
    flush_due: bool,
}

impl<L> Messages<L> {
    /// Reads and writes this link as bytes, until [`Self::into_frames`].
    pub fn new(link: L) -> Self {
        Self {
            link,
            rest: Bytes::new(),
            first: None,
            hello: None,
            flush_due: false,
        }
    }

    /// Ends the reading of bytes: from now on, each message is a frame. `read` holds bytes that were read already.
    #[must_use]
    pub fn into_frames(mut self, mut read: BytesMut) -> Self {
        read.extend_from_slice(&std::mem::take(&mut self.rest));
        let is_blank = read.iter().all(u8::is_ascii_whitespace);
        self.first = (!is_blank).then(|| read.freeze().into());
        self
    }
}

impl<L: FrameIo> AsyncRead for Messages<L> {
    /// Ends each message like a line, so that a hello line needs no newline.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.flush_due && this.link.poll_flush_unpin(cx)?.is_ready() {
            this.flush_due = false;
        }
        if this.rest.is_empty() {
            let Some(message) = ready!(this.link.poll_next_unpin(cx)) else {
                return Poll::Ready(Ok(()));
            };
            let Frame(message) = message?;
            this.rest = if message.ends_with(b"\n") {
                message
            } else {
                let mut line = BytesMut::from(&message[..]);
                line.extend_from_slice(b"\n");
                line.freeze()
            };
        }
        let part = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..part]);
        this.rest.advance(part);
        Poll::Ready(Ok(()))
    }
}

impl<L: FrameIo> AsyncWrite for Messages<L> {
    /// Sends each write as a message.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.link.poll_ready_unpin(cx))?;
        this.link.start_send_unpin(Frame(Bytes::copy_from_slice(buf)))?;
        // If the link does not take it at once, `poll_read` continues.
        this.flush_due = this.link.poll_flush_unpin(cx)?.is_pending();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.link.poll_flush_unpin(cx))?;
        self.flush_due = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.link.poll_close_unpin(cx))?))
    }
}

impl<L: FrameIo> Stream for Messages<L> {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        for _ in 0..HELLOS_PER_POLL {
            let next = ready!(self.link.poll_next_unpin(cx));
            let Some(Ok(frame)) = &next else {
                return Poll::Ready(next);
            };
            if frame.0.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match frame
                .0
                .starts_with(b"{\"")
                .then(|| Hello::parse_later(&frame.0))
                .flatten()
            {
                Some(hello) => self.hello = Some(hello),
                None => return Poll::Ready(next),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<L: FrameIo> Sink<Frame> for Messages<L> {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        self.link.start_send_unpin(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_close_unpin(cx)
    }
}

impl<L: FrameIo> FrameIo for Messages<L> {
    fn set_close_reason(&mut self, reason: CloseReason) {
        self.link.set_close_reason(reason);
    }

    fn poll_through(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_through(cx)
    }

    fn take_hello(&mut self) -> Option<Hello> {
        self.hello.take()
    }

    fn set_language(&mut self, language: Option<&'static dyn Language>, has_watchdog: bool) {
        self.link.set_language(language, has_watchdog);
    }

    fn set_round_trip(&mut self, round_trip: Arc<RoundTrip>) {
        self.link.set_round_trip(round_trip);
    }
}
