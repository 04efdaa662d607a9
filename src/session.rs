//! A session: one task that owns one link and its upstream half, and joins them until either ends.

pub mod admission;
pub mod ends;
pub mod linger;
pub mod registry;
pub mod tap;
mod woken;

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::defaults::{
    CLOSE_TIMEOUT, REPLACED_STOP_TIMEOUT, STOP_ANSWER_TIMEOUT, STOP_FLUSH_TIMEOUT, UPSTREAM_BURST,
    WRITE_TIMEOUT,
};
use crate::device::frame::Frame;
use crate::link::{FrameIo, LinkError};
use crate::session::ends::{Disconnect, UpstreamError, UpstreamIo};
use crate::session::registry::{Counters, Entry, Injected, Order};
use crate::session::tap::Direction;
use woken::Woken;

/// A device's link, its upstream half, and its place in the registry.
pub struct Session {
    /// The place in the registry; its order book is polled here.
    entry: Entry,
    link: Woken<Box<dyn FrameIo>>,
    upstream: Woken<Box<dyn UpstreamIo>>,
    stop_frames: Vec<Frame>,
}

enum Turn {
    Order(Order),
    FromUpstream(Option<Result<Frame, UpstreamError>>),
    Injected(Injected),
    FromDevice(Option<Result<Frame, LinkError>>),
}

impl Session {
    /// A session of the device at `link`, which `stop_frames` stop; its frames go to `upstream`.
    pub fn new(
        entry: Entry,
        link: Box<dyn FrameIo>,
        upstream: Box<dyn UpstreamIo>,
        stop_frames: Vec<Frame>,
    ) -> Self {
        Self {
            entry,
            link: Woken::new(link),
            upstream: Woken::new(upstream),
            stop_frames,
        }
    }

    /// Pumps frames until either half ends or the session is asked to; then closes both, once. Says why.
    pub async fn run(mut self) -> Disconnect {
        let why = match self.pump().await {
            Ok(never) => match never {},
            Err(why) => why,
        };
        self.close(&why).await;
        why
    }

    async fn pump(&mut self) -> Result<std::convert::Infallible, Disconnect> {
        if self.entry.owes_stop && !self.stop_frames.is_empty() {
            info!("it may still be running from before: stopping it first");
            self.write_stop(WRITE_TIMEOUT).await?;
            self.skip_answers().await?;
        }
        let mut burst = 0;
        loop {
            match self.turn(&mut burst).await {
                Turn::Order(Order::Stop(waiting)) => {
                    self.write_stop(WRITE_TIMEOUT).await?;
                    for done in waiting {
                        // Whoever asked may have given up.
                        let _ = done.send(());
                    }
                }
                Turn::Order(Order::End(why)) => return Err(why),
                Turn::FromUpstream(Some(Ok(frame))) => {
                    self.write(&[frame], WRITE_TIMEOUT).await?;
                    let handle = self.entry.handle();
                    Counters::count(&handle.counters.to_device);
                    linger::frame_passed(handle.connection);
                }
                Turn::Injected(Injected { frame, written }) => {
                    self.write(&[frame], WRITE_TIMEOUT).await?;
                    Counters::count(&self.entry.handle().counters.to_device);
                    // Whoever sent it may be gone.
                    let _ = written.send(());
                }
                Turn::FromUpstream(Some(Err(e))) => return Err(e.into()),
                Turn::FromUpstream(None) => return Err(UpstreamError::Released.into()),
                Turn::FromDevice(Some(Ok(frame))) => {
                    let handle = self.entry.handle();
                    Counters::count(&handle.counters.from_device);
                    handle.tap.saw(Direction::FromDevice, &frame);
                    self.upstream.send(frame).await?;
                    linger::frame_passed(handle.connection);
                }
                Turn::FromDevice(Some(Err(e))) => return Err(e.into()),
                Turn::FromDevice(None) => {
                    return Err(LinkError::Closed {
                        code: None,
                        reason: String::new(),
                    }
                    .into());
                }
            }
        }
    }

    /// What comes next: an order, then upstream (a noisy sensor must never delay a stop), then the device. After
    /// [`UPSTREAM_BURST`] frames of upstream the device has its turn, so that a flood of commands does not hide
    /// that it is gone.
    async fn turn(&mut self, burst: &mut usize) -> Turn {
        poll_fn(|cx| {
            if let Poll::Ready(order) = self.entry.handle().poll_order(cx) {
                return Poll::Ready(Turn::Order(order));
            }
            let device_first = *burst >= UPSTREAM_BURST;
            if device_first {
                *burst = 0;
                if let Poll::Ready(frame) = self.link.poll_next_unpin(cx) {
                    return Poll::Ready(Turn::FromDevice(frame));
                }
            }
            // One at a time comes from each who sends, so that upstream does not wait for more than a few.
            if let Some(injected) = self.entry.handle().take_injected() {
                *burst += 1;
                return Poll::Ready(Turn::Injected(injected));
            }
            if let Poll::Ready(frame) = self.upstream.poll_next_unpin(cx) {
                *burst += 1;
                return Poll::Ready(Turn::FromUpstream(frame));
            }
            *burst = 0;
            if !device_first && let Poll::Ready(frame) = self.link.poll_next_unpin(cx) {
                return Poll::Ready(Turn::FromDevice(frame));
            }
            Poll::Pending
        })
        .await
    }

    /// Writes frames. Whoever wants the session to end does not wait for a socket that takes nothing; what is half
    /// written then is finished before anything else on that link, or never.
    async fn write(&mut self, frames: &[Frame], limit: Duration) -> Result<(), Disconnect> {
        let handle = self.entry.handle().clone();
        let link = &mut self.link;
        let mut send = std::pin::pin!(async {
            for frame in frames {
                link.feed(frame.clone()).await?;
            }
            link.flush().await
        });
        // Most frames are taken at once, and need no timer.
        let mut too_long = None;
        poll_fn(|cx| {
            if let Poll::Ready(sent) = send.as_mut().poll(cx) {
                return Poll::Ready(sent.map_err(Disconnect::from));
            }
            let too_long = too_long.get_or_insert_with(|| Box::pin(sleep(limit)));
            if too_long.poll_unpin(cx).is_ready() {
                return Poll::Ready(Err(Disconnect::WriteTimeout(limit)));
            }
            handle.poll_end(cx).map(Err)
        })
        .await?;
        if handle.tap.is_watched() {
            for frame in frames {
                handle.tap.saw(Direction::ToDevice, frame);
            }
        }
        Ok(())
    }

    async fn write_stop(&mut self, limit: Duration) -> Result<(), Disconnect> {
        self.link.get_mut().make_way();
        let frames = std::mem::take(&mut self.stop_frames);
        let written = self.write(&frames, limit).await;
        self.stop_frames = frames;
        written
    }

    /// Takes the device's answers to the stop bytes out of the way: upstream, which has not said anything yet,
    /// would take an `OK;` for the answer to its first question.
    async fn skip_answers(&mut self) -> Result<(), Disconnect> {
        let answers = async {
            for _ in 0..self.stop_frames.len() {
                match self.link.next().await {
                    Some(Ok(frame)) => self.entry.handle().tap.saw(Direction::FromDevice, &frame),
                    Some(Err(e)) => return Err(e),
                    None => {
                        return Err(LinkError::Closed {
                            code: None,
                            reason: String::new(),
                        });
                    }
                }
            }
            Ok(())
        };
        // Most boards answer nothing.
        timeout(STOP_ANSWER_TIMEOUT, answers).await.unwrap_or(Ok(()))?;
        Ok(())
    }

    /// The one way out. The device is stopped, upstream is told, the address is free, the far end is told: in
    /// this order, because whoever waits for the address must not wait for a socket that hangs.
    async fn close(mut self, why: &Disconnect) {
        why.log();
        self.entry.handle().set_ending();
        // Somebody waits for the address of a link that is being replaced, and that link most likely hangs.
        let limit = if matches!(why, Disconnect::Replaced) {
            REPLACED_STOP_TIMEOUT
        } else {
            STOP_FLUSH_TIMEOUT
        };
        let stopped = why.leaves_link_usable() && self.write_stop(limit).await.is_ok();
        // A link that is being replaced may hang and take bytes that never arrive.
        if !self.stop_frames.is_empty() && (!stopped || matches!(why, Disconnect::Replaced)) {
            self.entry.owe_stop();
        }
        self.entry.handle().tap.end(Some(why.to_string()));
        let Self {
            entry,
            mut link,
            upstream,
            ..
        } = self;
        upstream
            .into_inner()
            .release(matches!(why, Disconnect::Stopping))
            .await;
        let counters = &entry.handle().counters;
        let dropped = counters.dropped.load(std::sync::atomic::Ordering::Relaxed);
        if dropped > 0 {
            warn!("{dropped} frames of this device were dropped because the server did not keep up");
        }
        debug!(?counters, "session over");
        drop(entry);
        link.get_mut().set_close_reason(why.close_reason());
        // Past the limit the socket is dropped as it is; there is nobody left to tell.
        let _ = timeout(CLOSE_TIMEOUT, link.close()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::Context;

    use futures::future::BoxFuture;
    use futures::{FutureExt, Sink, Stream};

    use super::*;
    use crate::device::handshake::{Address, Handshake, Identifier};
    use crate::device::peer::Peer;
    use crate::session::registry::Registry;

    /// A socket whose peer neither reads nor sends nor closes.
    struct Hanging;

    impl Stream for Hanging {
        type Item = Result<Frame, LinkError>;
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }

    impl Sink<Frame> for Hanging {
        type Error = LinkError;
        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
            Poll::Pending
        }
        fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), LinkError> {
            Ok(())
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
            Poll::Pending
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
            Poll::Pending
        }
    }

    impl FrameIo for Hanging {}

    /// Upstream that always has a command.
    struct Commands;

    impl Stream for Commands {
        type Item = Result<Frame, UpstreamError>;
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(Some(Ok(Frame::from(&b"Vibrate:1;"[..]))))
        }
    }

    impl Sink<Frame> for Commands {
        type Error = UpstreamError;
        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
            Poll::Ready(Ok(()))
        }
        fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), UpstreamError> {
            Ok(())
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
            Poll::Ready(Ok(()))
        }
    }

    impl UpstreamIo for Commands {
        fn release(self: Box<Self>, _: bool) -> BoxFuture<'static, ()> {
            futures::future::ready(()).boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_does_not_wait_for_a_socket_that_hangs_in_a_write() {
        let registry = Arc::new(Registry::default());
        let handshake = || {
            Handshake::new(
                Identifier::new("LVSDevice").unwrap(),
                Address::new("one").unwrap(),
            )
        };
        let peer = || Peer::Websocket("127.0.0.1:1".parse().unwrap());
        let entry = registry.admit(handshake(), peer()).await.unwrap();
        let session = Session::new(
            entry,
            Box::new(Hanging),
            Box::new(Commands),
            vec![Frame::from(&b"Vibrate:0;"[..])],
        );
        tokio::spawn(session.run());
        // It is in the middle of its first write.
        tokio::task::yield_now().await;
        let waited = tokio::time::Instant::now();
        let newcomer = registry.admit(handshake(), peer()).await.unwrap();
        assert!(
            waited.elapsed() < WRITE_TIMEOUT / 2,
            "{:?} of virtual time",
            waited.elapsed()
        );
        assert!(newcomer.owes_stop, "the old one may still be running");
    }
}
