//! A session: one task that owns one link and its upstream half, and joins them until either ends.

pub mod admission;
pub mod ends;
pub mod linger;
pub mod ownership;
pub mod registry;
pub mod tap;

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures::future::OptionFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::defaults::{
    CLOSE_TIMEOUT, REPLACED_STOP_TIMEOUT, STOP_ANSWER_TIMEOUT, STOP_FLUSH_TIMEOUT, UPSTREAM_BURST,
};
use crate::device::frame::{Outgoing, Receipt};
use crate::device::hello::Known;
use crate::device::language::{Command, Language};
use crate::link::outbox::Outbox;
use crate::link::{FrameIo, LinkError};
use crate::session::ends::{Disconnect, FromUpstream, UpstreamError, UpstreamIo};
use crate::session::ownership::Controller;
use crate::session::registry::{Counters, Entry, Order};
use crate::session::tap::Direction;

/// A device's link, its upstream half, and its place in the registry.
///
/// Reads from: orders and injected frames (registry), upstream, the device. Writes to: the device, through its outbox;
/// upstream; whoever waits for a receipt.
pub struct Session {
    entry: Entry,
    outbox: Outbox,
    upstream: Box<dyn UpstreamIo>,
}

impl Session {
    /// A session of the device at `link`, of which `known` is known; its frames go to `upstream`. `coalesce` is the
    /// language in which newer commands take the place of older ones.
    pub fn new(
        entry: Entry,
        link: Box<dyn FrameIo>,
        coalesce: Option<&'static dyn Language>,
        known: Known,
        upstream: Box<dyn UpstreamIo>,
    ) -> Self {
        let handle = entry.handle().clone();
        let outbox = Outbox::new(link, coalesce, known, move |frame| {
            Counters::count(&handle.counters.to_device);
            handle.tap.saw(Direction::ToDevice, frame);
            linger::frame_passed(handle.connection);
        });
        Self {
            entry,
            outbox,
            upstream,
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

    /// One biased choice: an order first, then upstream (a noisy sensor must never delay a stop), then the device. After
    /// [`UPSTREAM_BURST`] frames from upstream the device has its turn, so that a flood of commands does not hide that it
    /// is gone.
    async fn pump(&mut self) -> Result<std::convert::Infallible, Disconnect> {
        self.stop_first().await?;
        let handle = self.entry.handle().clone();
        let mut in_a_row = 0;
        loop {
            tokio::select! {
                biased;
                order = handle.next_order() => match order {
                    Order::Stop { receipt, tell_upstream } => {
                        self.preempt(Some(receipt));
                        if tell_upstream {
                            self.upstream.stopped();
                        }
                        self.outbox.drain_now().await?;
                    }
                    Order::Inject(injected, by) => self.command(injected, by).await?,
                    Order::End(why) => return Err(why),
                },
                next = self.upstream.next(), if in_a_row < UPSTREAM_BURST => {
                    in_a_row += 1;
                    match next.ok_or(UpstreamError::Released)?? {
                        FromUpstream::Frame(outgoing) => self.command(outgoing, Controller::UPSTREAM).await?,
                        FromUpstream::Stop => {
                            self.outbox.discard();
                            self.preempt(None);
                            self.outbox.drain_now().await?;
                        }
                    }
                }
                frame = self.outbox.next() => {
                    in_a_row = 0;
                    let frame = frame.unwrap_or_else(|| Err(LinkError::closed()))?;
                    Counters::count(&handle.counters.from_device);
                    handle.tap.saw(Direction::FromDevice, &frame);
                    self.upstream.send(frame).await?;
                    linger::frame_passed(handle.connection);
                }
                // The device had its turn, and had nothing. Other sessions have theirs.
                () = yield_now(), if in_a_row >= UPSTREAM_BURST => in_a_row = 0,
            }
        }
    }

    /// A command for the device.
    async fn command(&mut self, mut outgoing: Outgoing, by: Controller) -> Result<(), Disconnect> {
        let command = Command::read(self.entry.actuators.language(), &outgoing.frame);
        self.entry.observe(&command, by);
        // Upstream must not wait for motion to be written: what it has next may be newer. For all else the receipt is used
        // when the frame is written.
        if (command.is_superseded_by_newer() || self.entry.actuators.language().is_none())
            && outgoing.is_answered_early
            && let Some(receipt) = outgoing.receipt.take()
        {
            let _ = receipt.send(());
        }
        self.outbox.push(outgoing, command);
        Ok(self.outbox.drain_now().await?)
    }

    /// Has the stop written ahead of everything else.
    fn preempt(&mut self, receipt: Option<Receipt>) {
        self.outbox.preempt(self.entry.actuators.stop_frames(), receipt);
        self.entry.actuators.stopped();
        self.entry.handle().outputs_on.store(false, Ordering::Relaxed);
    }

    /// A device that may still be running from before is stopped before upstream says anything to it.
    async fn stop_first(&mut self) -> Result<(), Disconnect> {
        let frames = match self.entry.pending_stop() {
            None => return Ok(()),
            Some([]) => self.entry.actuators.stop_frames(),
            Some(pending) => pending.to_vec(),
        };
        if frames.is_empty() {
            return Ok(());
        }
        info!("it may still be running from before: stopping it first");
        let answers = frames.len();
        let (receipt, written) = oneshot::channel();
        self.outbox.preempt(frames, Some(receipt));
        self.until_written(written, None).await?;
        self.entry.set_stopped();
        self.skip_answers(answers).await
    }

    /// Waits for a stop to be written, for at most as long as `limit` if there is one: then it is not known to be
    /// written. An end that is ordered meanwhile comes first.
    async fn until_written(
        &mut self,
        mut written: oneshot::Receiver<()>,
        limit: Option<Duration>,
    ) -> Result<bool, Disconnect> {
        let handle = self.entry.handle().clone();
        let mut limit = std::pin::pin!(OptionFuture::from(limit.map(sleep)));
        poll_fn(|cx| {
            if let Poll::Ready(Err(e)) = self.outbox.poll_drain(cx) {
                return Poll::Ready(Err(e.into()));
            }
            if let Poll::Ready(written) = written.poll_unpin(cx) {
                return Poll::Ready(Ok(written.is_ok()));
            }
            match limit.as_mut().poll(cx) {
                Poll::Ready(Some(())) => Poll::Ready(Ok(false)),
                Poll::Ready(None) => handle.poll_end(cx).map(Err),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Takes the device's answers to the stop out of the way: upstream, which has not said anything yet, would take an
    /// `OK;` for the answer to its first question.
    async fn skip_answers(&mut self, number: usize) -> Result<(), Disconnect> {
        let answers = async {
            for _ in 0..number {
                let frame = self.outbox.next().await;
                let frame = frame.unwrap_or_else(|| Err(LinkError::closed()))?;
                self.entry.handle().tap.saw(Direction::FromDevice, &frame);
            }
            Ok(())
        };
        // Most boards answer nothing.
        timeout(STOP_ANSWER_TIMEOUT, answers).await.unwrap_or(Ok(()))
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
        if why.leaves_link_usable() {
            let (receipt, written) = oneshot::channel();
            self.preempt(Some(receipt));
            let stopped = self.until_written(written, Some(limit)).await.unwrap_or(false);
            if stopped && why.proves_receipt() {
                self.entry.set_stopped();
            }
        }
        self.entry.handle().tap.end(Some(why.to_string()));
        let Self {
            entry,
            mut outbox,
            upstream,
        } = self;
        upstream.release(matches!(why, Disconnect::Stopping)).await;
        let counters = &entry.handle().counters;
        let dropped = counters.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            warn!("{dropped} frames of this device were dropped because the server did not keep up");
        }
        if outbox.dropped() > 0 {
            warn!(
                "{} frames for this device were dropped because it did not keep up",
                outbox.dropped()
            );
        }
        debug!(?counters, "session over");
        drop(entry);
        outbox.set_close_reason(why.close_reason());
        // Past the limit the socket is dropped as it is; there is nobody left to tell.
        let _ = timeout(CLOSE_TIMEOUT, outbox.close()).await;
    }
}

#[cfg(test)]
mod tests;
