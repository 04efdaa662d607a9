//! A session: one task that owns a device's link and its upstream half, and passes frames between them until either
//! ends.

pub mod admission;
pub mod ends;
pub mod life;
pub mod ownership;
pub mod past;
pub mod registry;
pub mod spin;
pub mod tap;
pub mod unidentified;

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
use crate::device::hello::BoardFacts;
use crate::device::language::{Command, Language};
use crate::link::outbox::Outbox;
use crate::link::{FrameIo, LinkError};
use crate::session::ends::{Disconnect, FromUpstream, UpstreamError, UpstreamIo};
use crate::session::ownership::Controller;
use crate::session::registry::{Entry, Order};
use crate::session::tap::Direction;

/// An actor that joins a device's link and its upstream half.
///
/// Reads: orders and injected frames (from the registry), frames and stops from upstream, frames from the device.
/// Writes: frames and stops to the device, through its outbox; the device's frames to upstream; receipts to the
/// callers that await them.
pub struct Session {
    entry: Entry,
    outbox: Outbox,
    upstream: Box<dyn UpstreamIo>,
}

impl Session {
    /// Creates the session of the device at `link`. If `coalesce` is set, newer commands in that language supersede
    /// older ones in the outbox.
    pub fn new(
        entry: Entry,
        link: Box<dyn FrameIo>,
        coalesce: Option<&'static dyn Language>,
        facts: BoardFacts,
        upstream: Box<dyn UpstreamIo>,
    ) -> Self {
        let handle = entry.handle().clone();
        let outbox = Outbox::new(link, coalesce, facts, move |frame| {
            handle.counters.count_to_device(frame);
            handle.tap.record(Direction::ToDevice, frame);
            spin::frame_passed(handle.connection);
        });
        Self {
            entry,
            outbox,
            upstream,
        }
    }

    /// Pumps frames until either half ends or the session is asked to end, then closes both and returns the reason.
    pub async fn run(mut self) -> Disconnect {
        let why = match self.pump().await {
            Ok(never) => match never {},
            Err(why) => why,
        };
        self.close(&why).await;
        why
    }

    /// The session's loop; it returns only with the reason to end.
    ///
    /// Orders come first, then upstream, so that a noisy sensor cannot delay a stop, then the device. After
    /// [`UPSTREAM_BURST`] frames in a row from upstream the device is polled, so that a flood of commands cannot hide
    /// a disconnect.
    async fn pump(&mut self) -> Result<std::convert::Infallible, Disconnect> {
        self.stop_first().await?;
        let handle = self.entry.handle().clone();
        let mut in_a_row = 0;
        loop {
            tokio::select! {
                biased;
                order = handle.next_order() => match order {
                    Order::Stop { receipt, notify_upstream } => {
                        self.preempt(Some(receipt));
                        if notify_upstream {
                            self.upstream.stopped();
                        }
                        self.outbox.drain_now().await?;
                    }
                    Order::Inject(injected, by) => self.inject(injected, by).await?,
                    Order::Receive(frame, passed) => {
                        handle.tap.record(Direction::FromDevice, &frame);
                        self.upstream.send(frame).await?;
                        let _ = passed.send(());
                    }
                    Order::End(why) => return Err(why),
                },
                next = self.upstream.next(), if in_a_row < UPSTREAM_BURST => {
                    in_a_row += 1;
                    match next.ok_or(UpstreamError::Released)?? {
                        FromUpstream::Frame(outgoing) => self.pass_on(outgoing).await?,
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
                    self.entry.device_spoke();
                    handle.counters.count_from_device(&frame);
                    handle.tap.record(Direction::FromDevice, &frame);
                    self.upstream.send(frame).await?;
                    spin::frame_passed(handle.connection);
                }
                // The device was polled and had nothing: let other sessions run.
                () = yield_now(), if in_a_row >= UPSTREAM_BURST => in_a_row = 0,
            }
        }
    }

    /// Queues a frame that did not come from upstream. The limits may have become known while it waited.
    async fn inject(&mut self, mut injected: Outgoing, by: Controller) -> Result<(), Disconnect> {
        match self.entry.handle().keep_limits(injected.frame) {
            Ok(frame) => injected.frame = frame,
            Err(e) => {
                warn!("from a monitor: {e}");
                return Ok(());
            }
        }
        self.command(injected, by).await?;
        if self.entry.handle().may_be_on() {
            self.upstream.driven_by_hand();
        }
        Ok(())
    }

    /// Queues a frame from upstream, inside the user's limits, since the server inside exceeds them on the way to a
    /// position.
    async fn pass_on(&mut self, mut outgoing: Outgoing) -> Result<(), Disconnect> {
        if let Some(limits) = self.entry.handle().limits.get() {
            match limits.keep(outgoing.frame) {
                Ok(frame) => outgoing.frame = frame,
                Err(e) => {
                    warn!("a frame of the server inside was not sent: {e}");
                    if let Some(receipt) = outgoing.receipt.take() {
                        let _ = receipt.send(());
                    }
                    return Ok(());
                }
            }
        }
        self.command(outgoing, Controller::UPSTREAM).await
    }

    /// Queues a command for the device, and writes as much as the link accepts now.
    async fn command(&mut self, mut outgoing: Outgoing, by: Controller) -> Result<(), Disconnect> {
        let command = Command::read(self.entry.actuators.language(), &outgoing.frame);
        self.entry.observe(&outgoing.frame, &command, by);
        // If a newer command may supersede this one, upstream must not wait for the write. Otherwise the receipt is
        // sent after the write.
        if (command.is_superseded_by_newer() || self.entry.actuators.language().is_none())
            && outgoing.is_answered_early
            && let Some(receipt) = outgoing.receipt.take()
        {
            let _ = receipt.send(());
        }
        self.outbox.push(outgoing, command);
        Ok(self.outbox.drain_now().await?)
    }

    /// Queues the stop ahead of everything else.
    fn preempt(&mut self, receipt: Option<Receipt>) {
        self.outbox.preempt(self.entry.actuators.stop_frames(), receipt);
        self.entry.actuators.stopped();
        self.entry.handle().outputs_on.store(false, Ordering::Relaxed);
    }

    /// Stops a device that may still be running from an earlier session, before upstream sends it anything.
    async fn stop_first(&mut self) -> Result<(), Disconnect> {
        let frames = match self.entry.pending_stop() {
            None => return Ok(()),
            Some([]) => self.entry.actuators.stop_frames(),
            Some(pending) => pending.to_vec(),
        };
        if frames.is_empty() {
            return Ok(());
        }
        info!("the device may still be running from before: stopping it first");
        let answers = frames.len();
        let (receipt, written) = oneshot::channel();
        self.outbox.preempt(frames, Some(receipt));
        // Written is not received: the stop stays pending until the device sends something.
        self.until_written(written, None).await?;
        self.skip_answers(answers).await
    }

    /// Waits until a stop is written, for at most `limit`; returns whether it was. Without a limit, an order to end
    /// interrupts the wait.
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

    /// Discards the device's replies to the stop: upstream has not sent anything yet, and would take an `OK;` for the
    /// reply to its first query.
    async fn skip_answers(&mut self, number: usize) -> Result<(), Disconnect> {
        let answers = async {
            for _ in 0..number {
                let frame = self.outbox.next().await;
                let frame = frame.unwrap_or_else(|| Err(LinkError::closed()))?;
                self.entry.device_spoke();
                self.entry.handle().tap.record(Direction::FromDevice, &frame);
            }
            Ok(())
        };
        // Most boards do not reply to a stop.
        timeout(STOP_ANSWER_TIMEOUT, answers).await.unwrap_or(Ok(()))
    }

    /// The only exit. Stops the device, releases upstream, frees the address, then closes the link with its reason.
    /// The link comes last because a newcomer that waits for the address must not wait for a hung socket.
    async fn close(mut self, why: &Disconnect) {
        why.log();
        self.entry.handle().set_ending();
        // A newcomer waits for the address, and a link that is replaced has most likely hung.
        let limit = if matches!(why, Disconnect::Replaced) {
            REPLACED_STOP_TIMEOUT
        } else {
            STOP_FLUSH_TIMEOUT
        };
        self.outbox.begin_close();
        match why {
            Disconnect::Stopping => self.outbox.discard_but_newest(),
            _ => self.outbox.discard(),
        }
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
            warn!("{dropped} frames of this device were dropped because the server was too slow");
        }
        if outbox.dropped() > 0 {
            warn!(
                "{} frames for this device were dropped because it was too slow",
                outbox.dropped()
            );
        }
        debug!(?counters, "session over");
        drop(entry);
        outbox.set_close_reason(why.close_reason());
        // After the timeout the socket is dropped without a Close frame.
        let _ = timeout(CLOSE_TIMEOUT, outbox.close()).await;
    }
}

#[cfg(test)]
mod tests;
