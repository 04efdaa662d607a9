//! A byte stream, such as a TCP connection to a board, as a link: a framing cuts it into frames.
//!
//! Hands the system one frame at a time. Motion in the system's buffer grows stale while a board takes nothing, so the
//! connection should have a small send buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::codec::{Framed, FramedParts};

use super::framing::{FrameCodec, Framing, Pause};
use super::{Frame, FrameIo, LinkError};
use crate::defaults::WRITE_TIMEOUT;
use crate::device::hello::Hello;

/// The size of one read while closing. What the board still sends is read and discarded: otherwise the system would
/// send a reset, which may destroy the stop before the board has read it.
const DRAIN_CHUNK_BYTES: usize = 512;
/// How long to read while closing. A board that reads at all has read the stop by then.
const DRAIN_TIME: Duration = Duration::from_millis(200);

/// A byte stream, cut into frames.
pub struct StreamLink<S> {
    framed: Framed<S, FrameCodec>,
    pause: Option<Pause>,
    /// Runs while the stream takes nothing.
    refused: Option<Pin<Box<Sleep>>>,
    /// Runs once our half is closed.
    drain: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite> StreamLink<S> {
    /// Cuts the stream into frames. `read` holds bytes that were read already.
    pub fn new(stream: S, framing: Framing, read: BytesMut) -> Self {
        let codec = FrameCodec::new(framing);
        let pause = Pause::of(&codec);
        let mut parts = FramedParts::new::<Frame>(stream, codec);
        parts.read_buf = read;
        Self {
            framed: Framed::from_parts(parts),
            pause,
            refused: None,
            drain: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StreamLink<S> {
    /// The frame that a pause of the board ends.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Option<Frame> {
        let pause = self.pause.as_mut()?;
        let mut held = std::mem::take(self.framed.read_buffer_mut());
        let frame = pause.poll(cx, self.framed.codec_mut(), &mut held);
        *self.framed.read_buffer_mut() = held;
        frame
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for StreamLink<S> {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.framed.poll_next_unpin(cx) {
            Poll::Pending => match self.poll_pause(cx) {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => Poll::Pending,
            },
            ready => ready,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for StreamLink<S> {
    type Error = LinkError;

    /// Ready when the system has the last frame.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        self.framed.start_send_unpin(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = &mut *self;
        let before = this.framed.write_buffer().len();
        let flushed = SinkExt::<Frame>::poll_flush_unpin(&mut this.framed, cx)?;
        if flushed.is_ready() || this.framed.write_buffer().len() < before {
            this.refused = None;
        }
        if flushed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let refused = this.refused.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(refused.as_mut().poll(cx));
        Poll::Ready(Err(LinkError::NotTaken(WRITE_TIMEOUT)))
    }

    /// Closes this half, then reads until the board closes its own, but only for a while: some never do.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = &mut *self;
        if this.drain.is_none() {
            ready!(SinkExt::<Frame>::poll_flush_unpin(this, cx))?;
            if ready!(Pin::new(this.framed.get_mut()).poll_shutdown(cx)).is_err() {
                return Poll::Ready(Ok(()));
            }
        }
        let drain = this.drain.get_or_insert_with(|| Box::pin(sleep(DRAIN_TIME)));
        if drain.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut chunk = [0; DRAIN_CHUNK_BYTES];
        loop {
            let mut buf = ReadBuf::new(&mut chunk);
            match ready!(Pin::new(this.framed.get_mut()).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> FrameIo for StreamLink<S> {
    fn take_hello(&mut self) -> Option<Hello> {
        self.framed.codec_mut().take_hello()
    }
}

impl From<LinkError> for io::Error {
    /// For code that reads a link as bytes.
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Lost(e) => e,
            LinkError::Closed { .. } => Self::new(io::ErrorKind::UnexpectedEof, error),
            LinkError::Silent(_) | LinkError::NotTaken(_) => Self::new(io::ErrorKind::TimedOut, error),
            LinkError::TooLarge(_) | LinkError::NotUtf8(_) | LinkError::Protocol(_) => {
                Self::new(io::ErrorKind::InvalidData, error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    fn lines() -> Framing {
        Framing::Delimiter(Bytes::from_static(b"\n"))
    }

    #[tokio::test]
    async fn frames_are_cut_from_the_first_byte_on() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut link = StreamLink::new(near, lines(), BytesMut::from(&b"TCo"[..]));
        far.write_all(b"de v0.3\r\nok\n").await.unwrap();
        for wanted in ["TCode v0.3\r\n", "ok\n"] {
            assert_eq!(link.next().await.unwrap().unwrap(), Frame::from(wanted));
        }
        drop(far);
        assert!(link.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_board_that_takes_nothing_is_gone_in_the_end() {
        let (near, _far) = tokio::io::duplex(4);
        let mut link = StreamLink::new(near, lines(), BytesMut::new());
        let error = link.send(Frame::from("L0500I1000\n")).await.unwrap_err();
        assert!(matches!(error, LinkError::NotTaken(_)), "{error}");
    }

    /// Unread answers must not turn the goodbye into a reset.
    #[tokio::test]
    async fn a_goodbye_reads_what_the_board_still_sends() {
        let (near, mut far) = tokio::io::duplex(4096);
        let mut link = StreamLink::new(near, lines(), BytesMut::new());
        far.write_all(&[b'x'; 2_000]).await.unwrap();
        link.send(Frame::from("DSTOP\n")).await.unwrap();
        let board = async {
            let mut read = Vec::new();
            far.read_to_end(&mut read).await.unwrap();
            drop(far);
            read
        };
        let both = async { tokio::join!(link.close(), board) };
        let (closed, read) = timeout(Duration::from_secs(5), both).await.unwrap();
        closed.unwrap();
        assert_eq!(read, b"DSTOP\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_board_that_keeps_its_half_open_does_not_hold_the_goodbye_up() {
        let (near, _far) = tokio::io::duplex(64);
        let mut link = StreamLink::new(near, lines(), BytesMut::new());
        let closed = timeout(2 * DRAIN_TIME, link.close()).await;
        closed.expect("in time").unwrap();
    }
}
