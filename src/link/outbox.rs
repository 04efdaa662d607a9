//! Frames that wait to be written to a device: the newest command for each actuator, and stops ahead of everything.
//!
//! A line at 9,600 baud carries 80 commands a second, a board in a Wi-Fi gap none; an app sends hundreds. Commands
//! that queue up are outdated motion, so besides the frame in flight at most one command for each actuator waits.
//! Pushing never blocks: upstream is always read, so that its end is noticed at once.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep};
use tracing::{info, warn};

use super::{FrameIo, LinkError};
use crate::defaults::{BURST, OUTBOX_MAX, STALE_AFTER};
use crate::device::close::CloseReason;
use crate::device::frame::{Frame, Outgoing, Receipt};
use crate::device::hello::{BoardFacts, Hello};
use crate::device::language::{Command, Language, Relation, Setting};

/// A link and the frames that wait for it.
///
/// Stops are first in the queue; everything else follows in order of arrival. A stop is never overtaken by a command
/// that it stops, never dropped, and never superseded by another stop, unless both are identical.
pub struct Outbox {
    link: Box<dyn FrameIo>,
    /// Decides which frames supersede others; `None` keeps them all, in order.
    language: Option<&'static dyn Language>,
    waiting: VecDeque<Entry>,
    /// When the newest of them arrived.
    newest: Instant,
    /// Receipts of frames that the link holds and has not yet written.
    unwritten: Vec<Receipt>,
    /// The link holds data that is not yet written.
    flush_due: bool,
    /// The session is over: what is left is written without waiting for proofs that nobody reads any more.
    is_closing: bool,
    /// Frames that were dropped because they were stale or too many.
    dropped: u64,
    /// Facts about the board: its watchdog's keepalive, which a hello line may still announce.
    facts: BoardFacts,
    /// Whether a command arrived since control was last lost: without control the watchdog must not be fed.
    in_control: bool,
    /// Elapses when a keepalive is due, if the board has a watchdog.
    silence: Pin<Box<Sleep>>,
    /// Called with each frame that is handed to the link.
    on_write: Box<dyn Fn(&Frame) + Send>,
}

struct Entry {
    what: What,
    since: Instant,
    receipts: Vec<Receipt>,
}

enum What {
    /// Sets an actuator; a stop if it sets the actuator to nothing.
    Set(Setting),
    /// Moves an actuator relative to its position: worthless once stale.
    Step(Setting),
    /// Stops the device.
    Stop(Frame),
    /// Moves nothing, or is in an unknown language.
    Other(Frame),
    /// Sets actuators among other things, or has a word that is unknown: kept whole, and in order.
    Mixed(Frame),
    /// A stop or a query among frames that keep their order: never dropped as stale.
    Kept(Frame),
}

impl Entry {
    fn is_stop(&self) -> bool {
        match &self.what {
            What::Set(setting) => setting.is_nothing,
            What::Stop(_) => true,
            What::Step(_) | What::Mixed(_) | What::Other(_) | What::Kept(_) => false,
        }
    }

    /// Whether it is still to be written when control is lost: a stop, or what keeps its order and moves nothing.
    fn outlives_control(&self) -> bool {
        self.is_stop() || matches!(self.what, What::Kept(_))
    }

    fn is_motion(&self) -> bool {
        matches!(self.what, What::Set(_) | What::Step(_) | What::Mixed(_)) && !self.is_stop()
    }
}

impl Outbox {
    /// Creates the outbox of a link. While a controller has control, it writes a lone newline after each silence of
    /// the board's keepalive. `on_write` is called with each frame that is handed to the link.
    pub fn new(
        link: Box<dyn FrameIo>,
        language: Option<&'static dyn Language>,
        facts: BoardFacts,
        on_write: impl Fn(&Frame) + Send + 'static,
    ) -> Self {
        Self {
            link,
            language,
            waiting: VecDeque::new(),
            newest: Instant::now(),
            unwritten: Vec::new(),
            flush_due: false,
            is_closing: false,
            dropped: 0,
            facts,
            in_control: false,
            silence: Box::pin(sleep(Duration::ZERO)),
            on_write: Box::new(on_write),
        }
    }

    /// How many frames were dropped because they were stale or too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Sets the reason that the far end receives on close, on links that can carry one.
    pub fn set_close_reason(&mut self, reason: CloseReason) {
        self.link.set_close_reason(reason);
    }

    /// Queues a frame and its meaning. The frame is written once the link accepts it, unless a newer one supersedes
    /// it, it grows stale, or control is lost first.
    pub fn push(&mut self, outgoing: Outgoing, command: Command) {
        if !self.in_control {
            self.in_control = true;
            self.begin_silence();
        }
        let Outgoing { frame, receipt, .. } = outgoing;
        let mut receipts = Vec::from_iter(receipt);
        // What an unknown word sets in motion must not be written after the stop.
        let is_unknown = self.language.is_some() && command.may_move_unseen(self.language, &frame);
        match command {
            _ if is_unknown => self.put_last(What::Mixed(frame), receipts),
            Command::Set(settings) if self.language.is_some() => {
                let last = settings.len().saturating_sub(1);
                for (n, setting) in settings.into_iter().enumerate() {
                    let receipts = if n == last {
                        std::mem::take(&mut receipts)
                    } else {
                        Vec::new()
                    };
                    self.put_setting(setting, receipts);
                }
            }
            Command::Step(setting) if self.language.is_some() => {
                self.put_last(What::Step(setting), receipts);
            }
            Command::Mixed(_) if self.language.is_some() => self.put_last(What::Mixed(frame), receipts),
            Command::StopAll if self.language.is_some() => {
                self.drop_motion();
                self.put_stop(frame, receipts);
            }
            command if self.language.is_none() && (command.is_stop() || command == Command::Other) => {
                self.put_last(What::Kept(frame), receipts);
            }
            _ => self.put_last(What::Other(frame), receipts),
        }
    }

    /// Control was lost: drops the motion that waits, and queues `stops` ahead of everything but earlier stops. The
    /// receipt belongs to the last of them; without any, to the last stop that waits.
    pub fn preempt(&mut self, stops: Vec<Frame>, receipt: Option<Receipt>) {
        self.in_control = false;
        self.link.stop();
        if self.language.is_some() {
            self.drop_motion();
        } else if stops.is_empty() {
            self.discard_but_newest();
        } else {
            // Without a language, any of them may be motion.
            self.discard();
        }
        for stop in stops {
            self.put_stop(stop, Vec::new());
        }
        let Some(receipt) = receipt else { return };
        let is_known = self.language.is_some();
        match self
            .waiting
            .iter_mut()
            .rfind(|entry| entry.is_stop() || !is_known)
        {
            Some(entry) => entry.receipts.push(receipt),
            None => {
                self.unwritten.push(receipt);
                self.flush_due = true;
            }
        }
    }

    /// The session is over: from now on nothing waits for a proof that the far end received what was sent to it.
    pub fn begin_close(&mut self) {
        self.is_closing = true;
    }

    /// Drops everything that waits, except stops.
    pub fn discard(&mut self) {
        self.waiting.retain(Entry::outlives_control);
    }

    /// Like [`Self::discard`], but keeps the last frames in an unknown language: the server has stopped the device,
    /// and they may be its stop.
    pub fn discard_but_newest(&mut self) {
        let (is_known, newest) = (self.language.is_some(), self.newest);
        let is_new = |entry: &Entry| newest.duration_since(entry.since) <= BURST;
        self.waiting
            .retain(|entry| entry.outlives_control() || (!is_known && is_new(entry)));
    }

    fn drop_motion(&mut self) {
        self.waiting.retain(|entry| !entry.is_motion());
    }

    fn put_last(&mut self, what: What, receipts: Vec<Receipt>) {
        let counts = |entry: &Entry| !matches!(entry.what, What::Set(_) | What::Stop(_));
        if self.waiting.len() >= OUTBOX_MAX
            && self.waiting.iter().filter(|entry| counts(entry)).count() >= OUTBOX_MAX
            && let Some(oldest) = self.waiting.iter().position(counts)
        {
            self.waiting.remove(oldest);
            self.count_dropped();
        }
        self.insert(self.waiting.len(), what, receipts);
    }

    fn insert(&mut self, at: usize, what: What, receipts: Vec<Receipt>) {
        self.newest = Instant::now();
        let since = self.newest;
        self.waiting.insert(
            at,
            Entry {
                what,
                since,
                receipts,
            },
        );
    }

    /// Queues a stop behind those that wait. An identical one is written once.
    fn put_stop(&mut self, frame: Frame, mut receipts: Vec<Receipt>) {
        let same = |entry: &Entry| matches!(&entry.what, What::Stop(waits) if *waits == frame);
        if let Some(at) = self.waiting.iter().position(same) {
            self.supersede(at, &mut receipts);
        }
        self.insert(self.stops_waiting(), What::Stop(frame), receipts);
    }

    /// How many stops are at the front of the queue.
    fn stops_waiting(&self) -> usize {
        self.waiting.iter().take_while(|entry| entry.is_stop()).count()
    }

    /// Queues a setting and removes those that it covers. It stays behind settings that it only touches, and behind
    /// stops.
    fn put_setting(&mut self, mut setting: Setting, mut receipts: Vec<Receipt>) {
        let Some(language) = self.language else { return };
        let (mut place, mut behind) = (None, 0_usize);
        // From the newest to the oldest: entries in between decide whether two can be merged.
        for at in (0..self.waiting.len()).rev() {
            let relation = match self.waiting.get(at).map(|entry| &entry.what) {
                Some(What::Set(older)) if older.is_nothing => match language.relate(&setting, older) {
                    _ if older.text == setting.text => Relation::Covers,
                    Relation::Apart => Relation::Apart,
                    _ => Relation::Touches,
                },
                Some(What::Set(older) | What::Step(older)) => language.relate(&setting, older),
                Some(What::Stop(_) | What::Mixed(_)) => Relation::Touches,
                Some(What::Other(_) | What::Kept(_)) | None => Relation::Apart,
            };
            match relation {
                Relation::Apart => {}
                Relation::Merges(both) if behind == 0 => {
                    setting = both;
                    self.supersede(at, &mut receipts);
                    place = Some(at);
                }
                Relation::Covers => {
                    self.supersede(at, &mut receipts);
                    place = Some(at);
                    behind = behind.saturating_sub(1);
                }
                Relation::Touches | Relation::Merges(_) => behind = behind.max(at + 1),
            }
        }
        let place = if setting.is_nothing {
            // Behind the stops that came before it.
            let stops = self
                .waiting
                .iter()
                .skip(behind)
                .take_while(|entry| entry.is_stop());
            behind + stops.count()
        } else {
            // In the place of the entry that it supersedes.
            place.unwrap_or(self.waiting.len()).max(behind)
        };
        self.insert(place, What::Set(setting), receipts);
    }

    /// Removes the entry at `at`, which a newer one supersedes, and moves its receipts to the newer one.
    fn supersede(&mut self, at: usize, receipts: &mut Vec<Receipt>) {
        if let Some(mut older) = self.waiting.remove(at) {
            receipts.append(&mut older.receipts);
        }
    }

    /// Drops stale entries.
    ///
    /// A setting never grows stale: the newest one of its actuator is still wanted, however long the board accepts
    /// nothing. In an unknown language the last frame may be a stop, so the last burst is kept too.
    fn drop_stale(&mut self) {
        let known = self.language.is_some();
        let (newest, now) = (self.newest, Instant::now());
        let before = self.waiting.len();
        self.waiting.retain(|entry| {
            let is_old = now.duration_since(entry.since) > STALE_AFTER;
            match &entry.what {
                What::Step(_) => !is_old,
                What::Other(_) if !known => !is_old || newest.duration_since(entry.since) <= BURST,
                _ => true,
            }
        });
        for _ in self.waiting.len()..before {
            self.count_dropped();
        }
    }

    fn count_dropped(&mut self) {
        if self.dropped == 0 {
            warn!("the device takes commands more slowly than they arrive: the oldest are dropped");
        }
        self.dropped += 1;
    }

    /// Takes the next frame to write; only stops while receipt of earlier frames is unproven.
    fn next_frame(&mut self, is_through: bool) -> Option<(Frame, Vec<Receipt>)> {
        self.drop_stale();
        // Queries move nothing, and the sender may wait for one before it sends a stop. A stop behind motion that it only
        // touches keeps its turn.
        let first = self.waiting.front()?;
        let next = if is_through || first.is_stop() || matches!(first.what, What::Kept(_)) {
            0
        } else {
            self.language?;
            let is_query = |entry: &Entry| matches!(entry.what, What::Other(_));
            self.waiting.iter().position(is_query)?
        };
        let Entry {
            what, mut receipts, ..
        } = self.waiting.remove(next)?;
        let frame = match what {
            What::Stop(frame) | What::Mixed(frame) | What::Other(frame) | What::Kept(frame) => frame,
            What::Step(setting) => self.language?.write(&[setting]),
            What::Set(setting) => {
                let language = self.language?;
                let mut settings = vec![setting];
                let mut at = 0;
                while language.joins()
                    && let Some(entry) = self.waiting.get(at)
                {
                    match &entry.what {
                        // Settings behind a stop are not moved ahead of it.
                        What::Stop(_) | What::Mixed(_) => break,
                        What::Set(setting) if is_through || setting.is_nothing => {
                            settings.push(setting.clone());
                            self.supersede(at, &mut receipts);
                        }
                        _ => at += 1,
                    }
                }
                language.write(&settings)
            }
        };
        Some((frame, receipts))
    }

    /// Writes what the link accepts, one frame at a time; Ready if nothing waits and everything is written. Cancel
    /// safe.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            if self.flush_due {
                ready!(self.link.poll_flush_unpin(cx))?;
                self.flush_due = false;
                for receipt in self.unwritten.drain(..) {
                    // The caller may have stopped waiting.
                    let _ = receipt.send(());
                }
            }
            if self.waiting.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.link.poll_ready_unpin(cx))?;
            let is_through = self.is_closing || self.link.poll_through(cx).is_ready();
            match self.next_frame(is_through) {
                Some((frame, receipts)) => {
                    self.unwritten.extend(receipts);
                    self.write(frame)?;
                }
                None if self.waiting.is_empty() => return Poll::Ready(Ok(())),
                None => return Poll::Pending,
            }
        }
    }

    /// Writes what the link accepts now. The rest is written while the outbox is polled as a stream.
    ///
    /// # Errors
    /// If the link broke.
    pub async fn drain_now(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| {
            Poll::Ready(match self.poll_drain(cx) {
                // If the link took everything, the next keepalive wakes the task.
                Poll::Ready(Ok(())) => self.poll_keepalive(cx),
                Poll::Ready(Err(e)) => Err(e),
                Poll::Pending => Ok(()),
            })
        })
        .await
    }

    fn write(&mut self, frame: Frame) -> Result<(), LinkError> {
        (self.on_write)(&frame);
        self.link.start_send_unpin(frame)?;
        self.flush_due = true;
        self.begin_silence();
        Ok(())
    }

    fn begin_silence(&mut self) {
        if let Some(keepalive) = self.facts.keepalive {
            self.silence.as_mut().reset(Instant::now() + keepalive);
        }
    }

    fn poll_keepalive(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        if self.in_control
            && self.facts.keepalive.is_some()
            && self.silence.as_mut().poll(cx).is_ready()
            && self.link.poll_ready_unpin(cx)?.is_ready()
        {
            self.link.start_send_unpin(Frame(Bytes::from_static(b"\n")))?;
            self.begin_silence();
            self.flush_due = self.link.poll_flush_unpin(cx)?.is_pending();
            // Polled again, so that the next keepalive wakes the task.
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Handles a hello line that arrived between frames.
    fn handle_hello(&mut self, hello: &Hello, cx: &Context<'_>) {
        let had_no_keepalive = self.facts.keepalive.is_none();
        for warning in self.facts.learn(hello) {
            warn!("{warning}");
        }
        if let Some(keepalive) = self.facts.keepalive
            && had_no_keepalive
        {
            info!(
                "the hello line asks for a sign of life every {} ms",
                keepalive.as_millis()
            );
            self.begin_silence();
            // Polled once, so that the keepalive wakes the task.
            cx.waker().wake_by_ref();
        }
    }

    /// Writes what waits and closes the link. The caller sets the timeout, and has discarded what must not be written.
    ///
    /// # Errors
    /// If the link broke.
    pub async fn close(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_drain(cx)).await?;
        self.link.close().await
    }
}

/// The device's frames. Polling also writes what waits.
impl Stream for Outbox {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Write first: a device that floods must not hold back a stop.
        let drained = match this.poll_drain(cx) {
            Poll::Ready(Ok(())) => this.poll_keepalive(cx),
            Poll::Ready(Err(e)) => Err(e),
            Poll::Pending => Ok(()),
        };
        if let Err(e) = drained {
            return Poll::Ready(Some(Err(e)));
        }
        let next = this.link.poll_next_unpin(cx);
        if let Some(hello) = this.link.take_hello() {
            this.handle_hello(&hello, cx);
        }
        next
    }
}

#[cfg(test)]
mod tests;
