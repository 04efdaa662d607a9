//! A Bluetooth LE peripheral as a link: each notification is a frame, unless a framing is configured; each frame is a
//! write.
//!
//! The radio has a thread of its own ([`crate::ingress::ble`]); a [`Pipe`] joins it to the session. Notifications go
//! one way, and the oldest are dropped if the session is too slow. Writes go the other way, one at a time, so that
//! waiting commands stay in the outbox, which supersedes stale ones.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures::{FutureExt, Sink, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Sleep, sleep};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_util::codec::{Decoder, Encoder};
use tracing::warn;

use super::framing::{FrameCodec, Framing, Pause};
use super::{Frame, FrameIo, LinkError};
use crate::defaults::{BLE_NOTIFICATIONS, WRITE_TIMEOUT};
use crate::device::hello::Hello;

/// Bytes for the peripheral, with the sender that reports the result.
#[derive(Debug)]
pub struct Write {
    /// One frame, of any length.
    pub bytes: Bytes,
    /// Reports success, or what failed.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// The session's end of the pipe.
#[derive(Debug)]
pub struct Pipe {
    notified: BroadcastStream<Bytes>,
    /// The rest of a notification that was read as bytes.
    rest: Bytes,
    writes: mpsc::Sender<Write>,
    writing: Option<Writing>,
    /// How many notifications were dropped.
    missed: u64,
    gone: Gone,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.missed > 0 {
            warn!("{} notifications were dropped in all", self.missed);
        }
    }
}

/// The radio's end of the pipe. Dropping it ends the session.
#[derive(Debug)]
pub struct RadioEnd {
    /// Notifications of the peripheral.
    pub notified: broadcast::Sender<Bytes>,
    /// Writes to the peripheral; closed when the session is over.
    pub writes: mpsc::Receiver<Write>,
}

/// Why Bluetooth as a whole failed, if it did: set before the radio's ends are dropped.
pub type Gone = Arc<OnceLock<String>>;

#[derive(Debug)]
struct Writing {
    done: oneshot::Receiver<Result<(), String>>,
    /// Created only if the write is still pending when it is awaited.
    too_long: Option<Pin<Box<Sleep>>>,
}

/// Creates both ends.
pub fn pipe(gone: Gone) -> (Pipe, RadioEnd) {
    let (notified, notifications) = broadcast::channel(BLE_NOTIFICATIONS);
    let (writes, written) = mpsc::channel(1);
    let pipe = Pipe {
        notified: BroadcastStream::new(notifications),
        rest: Bytes::new(),
        writes,
        writing: None,
        missed: 0,
        gone,
    };
    let radio = RadioEnd {
        notified,
        writes: written,
    };
    (pipe, radio)
}

impl Pipe {
    fn lost(&self) -> io::Error {
        let why = self.gone.get();
        let why = why.map_or("the peripheral disconnected", String::as_str);
        io::Error::new(io::ErrorKind::ConnectionAborted, why)
    }

    /// The next notification. Cancel safe.
    fn poll_notified(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.rest)));
        }
        loop {
            match ready!(self.notified.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => return Poll::Ready(Ok(bytes)),
                Some(Err(BroadcastStreamRecvError::Lagged(missed))) => {
                    if self.missed == 0 {
                        warn!("notifications are dropped: they arrive faster than they are forwarded");
                    }
                    self.missed += missed;
                }
                None => return Poll::Ready(Err(self.lost())),
            }
        }
    }

    /// Ready when no write is pending.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Ok(()));
        };
        let done = match writing.done.poll_unpin(cx) {
            Poll::Ready(Ok(Ok(()))) => Ok(()),
            Poll::Ready(Ok(Err(problem))) => Err(io::Error::other(format!("a write failed: {problem}"))),
            Poll::Ready(Err(_)) => Err(self.lost()),
            Poll::Pending => {
                let too_long = writing
                    .too_long
                    .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
                ready!(too_long.poll_unpin(cx));
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the peripheral took nothing for {} ms", WRITE_TIMEOUT.as_millis()),
                ))
            }
        };
        self.writing = None;
        Poll::Ready(done)
    }

    /// Begins a write; none may be pending.
    fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.writes
            .try_send(Write { bytes, done })
            .map_err(|_| self.lost())?;
        self.writing = Some(Writing {
            done: written,
            too_long: None,
        });
        Ok(())
    }
}

/// Reads notifications as bytes: a hello line may span several.
impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = ready!(self.poll_notified(cx))?;
        // An empty notification must not read as the end of the stream.
        while bytes.is_empty() {
            bytes = ready!(self.poll_notified(cx))?;
        }
        let part = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..part]);
        bytes.advance(part);
        self.rest = bytes;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(cx))?;
        self.write(Bytes::copy_from_slice(buf))?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx)
    }
}

/// A peripheral as a link of frames.
#[derive(Debug)]
pub struct BleLink {
    pipe: Pipe,
    codec: FrameCodec,
    read: BytesMut,
    out: BytesMut,
    pause: Option<Pause>,
}

impl BleLink {
    /// Frames the peripheral's bytes, beginning with those in `read`. Without a framing, each notification is one
    /// frame.
    pub fn new(mut pipe: Pipe, framing: Option<Framing>, mut read: BytesMut) -> Self {
        // The rest of the notification that was read last.
        read.extend_from_slice(&std::mem::take(&mut pipe.rest));
        // Decoded one notification at a time, so that `Raw` keeps them apart.
        let codec = FrameCodec::new(framing.unwrap_or(Framing::Raw));
        Self {
            pause: Pause::of(&codec),
            pipe,
            codec,
            read,
            out: BytesMut::new(),
        }
    }
}

impl Stream for BleLink {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(frame) = this.codec.decode(&mut this.read)? {
                return Poll::Ready(Some(Ok(frame)));
            }
            match this.pipe.poll_notified(cx) {
                Poll::Ready(Ok(bytes)) => this.read.extend_from_slice(&bytes),
                Poll::Ready(Err(e)) => return Poll::Ready(Some(Err(e.into()))),
                Poll::Pending => {
                    let pause = this.pause.as_mut();
                    let frame = pause.and_then(|pause| pause.poll(cx, &mut this.codec, &mut this.read));
                    return frame.map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))));
                }
            }
        }
    }
}

impl Sink<Frame> for BleLink {
    type Error = LinkError;

    /// Ready when the peripheral has the last frame.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(ready!(self.pipe.poll_written(cx))?))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        let this = &mut *self;
        this.codec.encode(frame, &mut this.out)?;
        if !this.out.is_empty() {
            this.pipe.write(this.out.split().freeze())?;
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_ready(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_ready(cx)
    }
}

impl FrameIo for BleLink {
    fn take_hello(&mut self) -> Option<Hello> {
        self.codec.take_hello()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::SinkExt;

    use super::*;

    fn link(framing: Option<Framing>) -> (BleLink, RadioEnd) {
        let (pipe, radio) = pipe(Gone::default());
        (BleLink::new(pipe, framing, BytesMut::new()), radio)
    }

    async fn next(link: &mut BleLink) -> String {
        let frame = link.next().await.unwrap().unwrap();
        String::from_utf8(frame.0.to_vec()).unwrap()
    }

    fn say(radio: &RadioEnd, text: &'static str) {
        radio.notified.send(Bytes::from_static(text.as_bytes())).unwrap();
    }

    #[tokio::test]
    async fn each_notification_is_a_frame_but_for_hello_lines() {
        let (mut link, radio) = link(None);
        for text in [
            "a;",
            "b",
            "c;d;",
            "{\"identifier\":\"x\",\"ver",
            "sion\":0}\n",
            "e",
        ] {
            say(&radio, text);
        }
        for wanted in ["a;", "b", "c;d;", "e"] {
            assert_eq!(next(&mut link).await, wanted);
        }
    }

    /// The task of a session has other things to wait for, so that it is the link that has to wake it.
    #[tokio::test(start_paused = true)]
    async fn a_notification_that_only_begins_like_a_hello_line_is_a_frame_after_a_pause() {
        let (mut link, radio) = link(None);
        for text in ["{", "{\"address\":\"x", "{\"version\":3}"] {
            say(&radio, text);
            let next = tokio::time::timeout(Duration::from_secs(1), next(&mut link));
            assert_eq!(next.await.expect("it is not held back"), text);
        }
    }

    #[tokio::test]
    async fn a_framing_puts_together_what_the_mtu_cut() {
        let (mut link, radio) = link(Some(Framing::Delimiter(Bytes::from_static(b";"))));
        for text in ["Z:11:AABB", "CCDDEEFF;9", "0;"] {
            say(&radio, text);
        }
        assert_eq!(next(&mut link).await, "Z:11:AABBCCDDEEFF;");
        assert_eq!(next(&mut link).await, "90;");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_may_end_a_frame() {
        let (mut link, radio) = link(Some(Framing::Idle(Duration::from_millis(20))));
        say(&radio, "a");
        say(&radio, "b");
        assert_eq!(next(&mut link).await, "ab");
    }

    #[tokio::test]
    async fn one_frame_is_under_way_and_its_failure_ends_the_link() {
        let (mut link, mut radio) = link(None);
        link.feed(Frame::from("one")).await.unwrap();
        assert!(
            link.feed(Frame::from("two")).now_or_never().is_none(),
            "the first one is under way"
        );
        let write = radio.writes.recv().await.unwrap();
        assert_eq!(&write.bytes[..], b"one");
        write.done.send(Ok(())).unwrap();
        link.feed(Frame::from("two")).await.unwrap();
        let write = radio.writes.recv().await.unwrap();
        write.done.send(Err("Not connected".to_owned())).unwrap();
        let error = link.flush().await.unwrap_err().to_string();
        assert_eq!(error, "connection lost: a write failed: Not connected");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_never_done_ends_the_link() {
        let (mut link, _radio) = link(None);
        let error = link.send(Frame::from("one")).await.unwrap_err().to_string();
        assert!(error.contains("took nothing for 5000 ms"), "{error}");
    }

    #[tokio::test]
    async fn the_reason_of_an_end_is_told() {
        let gone = Gone::default();
        let (pipe, radio) = pipe(gone.clone());
        let mut link = BleLink::new(pipe, None, BytesMut::new());
        say(&radio, "last words");
        gone.set("Bluetooth was switched off".to_owned()).unwrap();
        drop(radio);
        assert_eq!(next(&mut link).await, "last words");
        let error = link.next().await.unwrap().unwrap_err().to_string();
        assert_eq!(error, "connection lost: Bluetooth was switched off");
    }

    #[tokio::test]
    async fn of_too_many_notifications_the_oldest_are_dropped() {
        let (mut link, radio) = link(None);
        for n in 0..BLE_NOTIFICATIONS + 3 {
            radio.notified.send(Bytes::from(n.to_string())).unwrap();
        }
        assert_eq!(next(&mut link).await, "3");
    }
}
