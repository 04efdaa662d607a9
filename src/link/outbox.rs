//! What waits to be written to a device: the newest command for each actuator, and stops ahead of everything.
//!
//! A line at 9,600 baud carries 80 commands a second and a board in a Wi-Fi gap takes none; an app sends hundreds.
//! Commands that queue up are motion that nobody wants any more, so behind the one frame that is on its way at most one
//! command for each actuator waits. Nothing here ever makes the sender wait: upstream is always read, so that its end is
//! noticed at once.

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
use crate::device::hello::{Hello, Known};
use crate::device::language::{Command, Language, Relation, Setting};

/// A link, and what waits for it.
///
/// What waits, in this order: stops, then everything else in the order in which it came. A stop is never overtaken by
/// what it stops, never dropped, and never takes the place of another stop, unless both are the same to the letter.
pub struct Outbox {
    link: Box<dyn FrameIo>,
    /// What frames mean, as far as it tells which supersede which; `None` keeps them in order.
    language: Option<&'static dyn Language>,
    waiting: VecDeque<Entry>,
    /// When the newest of them came.
    newest: Instant,
    /// Receipts of what the link holds and has not yet written.
    unwritten: Vec<Receipt>,
    /// The link holds something that is not yet written.
    flush_due: bool,
    /// Frames that were dropped because they were stale, or too many.
    dropped: u64,
    /// What is known of the board: its watchdog's keepalive, which a hello line may still ask for.
    known: Known,
    /// A command came since control was last lost: without control the watchdog must not be fed.
    in_control: bool,
    /// Over when a sign of life is due, if there is a watchdog.
    silence: Pin<Box<Sleep>>,
    /// Called with each frame that was handed to the link.
    on_write: Box<dyn Fn(&Frame) + Send>,
}

struct Entry {
    what: What,
    since: Instant,
    receipts: Vec<Receipt>,
}

enum What {
    /// Sets an actuator; a stop if it sets it to nothing.
    Set(Setting),
    /// Moves an actuator from where it is: worthless once it is stale.
    Step(Setting),
    /// Stops the device.
    Stop(Frame),
    /// Moves nothing, or nothing tells what it does.
    Other(Frame),
}

impl Entry {
    fn is_stop(&self) -> bool {
        match &self.what {
            What::Set(setting) => setting.is_nothing,
            What::Stop(_) => true,
            What::Step(_) | What::Other(_) => false,
        }
    }

    fn is_motion(&self) -> bool {
        matches!(self.what, What::Set(_) | What::Step(_)) && !self.is_stop()
    }
}

impl Outbox {
    /// Puts an outbox before a link. While somebody has control, a lone newline is written if nothing else was for as
    /// long as the board's keepalive. `on_write` is called with each frame that is handed to the link.
    pub fn new(
        link: Box<dyn FrameIo>,
        language: Option<&'static dyn Language>,
        known: Known,
        on_write: impl Fn(&Frame) + Send + 'static,
    ) -> Self {
        Self {
            link,
            language,
            waiting: VecDeque::new(),
            newest: Instant::now(),
            unwritten: Vec::new(),
            flush_due: false,
            dropped: 0,
            known,
            in_control: false,
            silence: Box::pin(sleep(Duration::ZERO)),
            on_write: Box::new(on_write),
        }
    }

    /// Frames that were dropped so far because they were stale, or because too many waited.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What the far end is told when the outbox is closed, on links that have words for it.
    pub fn set_close_reason(&mut self, reason: CloseReason) {
        self.link.set_close_reason(reason);
    }

    /// Takes a frame and what it means. It is written once the link takes it, unless a newer one takes its place, it
    /// grows stale, or control is lost first.
    pub fn push(&mut self, outgoing: Outgoing, command: Command) {
        if !self.in_control {
            self.in_control = true;
            self.begin_silence();
        }
        let Outgoing { frame, receipt, .. } = outgoing;
        let mut receipts = Vec::from_iter(receipt);
        match command {
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
            Command::StopAll if self.language.is_some() => {
                self.drop_motion();
                self.put_stop(frame, receipts);
            }
            _ => self.put_last(What::Other(frame), receipts),
        }
    }

    /// Control was lost: what waits and may move the device is dropped, and `stops` are written ahead of everything but
    /// the stops that wait already. The receipt is for the last of them; without any, for the last that waits.
    pub fn preempt(&mut self, stops: Vec<Frame>, receipt: Option<Receipt>) {
        self.in_control = false;
        if self.language.is_some() {
            self.drop_motion();
        } else if stops.is_empty() {
            self.discard_but_newest();
        } else {
            // Nothing tells which of them are motion.
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

    /// Drops all that waits and is no stop.
    pub fn discard(&mut self) {
        self.waiting.retain(Entry::is_stop);
    }

    /// The same, but in a language that is not known what came last is kept: the server has stopped the device, and this
    /// may be its stop.
    pub fn discard_but_newest(&mut self) {
        let (is_known, newest) = (self.language.is_some(), self.newest);
        let is_new = |entry: &Entry| newest.duration_since(entry.since) <= BURST;
        self.waiting
            .retain(|entry| entry.is_stop() || (!is_known && is_new(entry)));
    }

    fn drop_motion(&mut self) {
        self.waiting.retain(|entry| !entry.is_motion());
    }

    fn put_last(&mut self, what: What, receipts: Vec<Receipt>) {
        let counts = |entry: &Entry| matches!(entry.what, What::Step(_) | What::Other(_));
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

    /// Behind the stops that wait. One that is the same to the letter is written once.
    fn put_stop(&mut self, frame: Frame, mut receipts: Vec<Receipt>) {
        let same = |entry: &Entry| matches!(&entry.what, What::Stop(waits) if *waits == frame);
        if let Some(at) = self.waiting.iter().position(same) {
            self.take_over(at, &mut receipts);
        }
        self.insert(self.stops_waiting(), What::Stop(frame), receipts);
    }

    /// How many stops are ahead of everything else.
    fn stops_waiting(&self) -> usize {
        self.waiting.iter().take_while(|entry| entry.is_stop()).count()
    }

    /// A newer setting removes those that it covers. It never comes before one that it only touches, nor before a stop.
    fn put_setting(&mut self, mut setting: Setting, mut receipts: Vec<Receipt>) {
        let Some(language) = self.language else { return };
        let (mut turn, mut behind) = (None, 0_usize);
        // From the newest to the oldest: what came in between decides whether two can be one.
        for at in (0..self.waiting.len()).rev() {
            let relation = match self.waiting.get(at).map(|entry| &entry.what) {
                Some(What::Set(older)) if older.is_nothing => match language.relate(&setting, older) {
                    _ if older.text == setting.text => Relation::Covers,
                    Relation::Apart => Relation::Apart,
                    _ => Relation::Touches,
                },
                Some(What::Set(older) | What::Step(older)) => language.relate(&setting, older),
                Some(What::Stop(_)) => Relation::Touches,
                Some(What::Other(_)) | None => Relation::Apart,
            };
            match relation {
                Relation::Apart => {}
                Relation::Merges(both) if behind == 0 => {
                    setting = both;
                    self.take_over(at, &mut receipts);
                    turn = Some(at);
                }
                Relation::Covers => {
                    self.take_over(at, &mut receipts);
                    turn = Some(at);
                    behind = behind.saturating_sub(1);
                }
                Relation::Touches | Relation::Merges(_) => behind = behind.max(at + 1),
            }
        }
        let turn = if setting.is_nothing {
            // Behind the stops that came before it.
            let stops = self
                .waiting
                .iter()
                .skip(behind)
                .take_while(|entry| entry.is_stop());
            behind + stops.count()
        } else {
            // It keeps the turn of what it takes the place of.
            turn.unwrap_or(self.waiting.len()).max(behind)
        };
        self.insert(turn, What::Set(setting), receipts);
    }

    /// A newer entry takes the place of the one at `at`, and reports for it.
    fn take_over(&mut self, at: usize, receipts: &mut Vec<Receipt>) {
        if let Some(mut older) = self.waiting.remove(at) {
            receipts.append(&mut older.receipts);
        }
    }

    /// Drops what came too long ago.
    ///
    /// A setting never grows stale: the newest one of its actuator is what is wanted now, however long the board takes
    /// nothing. In a language that is not known, what came last may be a stop, and is kept too.
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
            warn!("the device takes commands more slowly than they come: its oldest are dropped");
        }
        self.dropped += 1;
    }

    /// What is written next. If nothing tells that what was written before is through, only stops are.
    fn next_frame(&mut self, is_through: bool) -> Option<(Frame, Vec<Receipt>)> {
        self.drop_stale();
        self.waiting
            .front()
            .filter(|entry| is_through || entry.is_stop())?;
        let Entry {
            what, mut receipts, ..
        } = self.waiting.pop_front()?;
        let frame = match what {
            What::Stop(frame) | What::Other(frame) => frame,
            What::Step(setting) => self.language?.write(&[setting]),
            What::Set(setting) => {
                let language = self.language?;
                let mut settings = vec![setting];
                let mut at = 0;
                while language.joins()
                    && let Some(entry) = self.waiting.get(at)
                {
                    match &entry.what {
                        // What comes behind a stop is not moved before it.
                        What::Stop(_) => break,
                        What::Set(setting) if is_through || setting.is_nothing => {
                            settings.push(setting.clone());
                            self.take_over(at, &mut receipts);
                        }
                        _ => at += 1,
                    }
                }
                language.write(&settings)
            }
        };
        Some((frame, receipts))
    }

    /// Writes what the link takes, one frame at a time; Ready if nothing waits and all of it is written. Cancel safe.
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
            let is_through = self.link.poll_through(cx).is_ready();
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

    /// Writes what the link takes at once. What it does not take is written while the outbox is read from.
    ///
    /// # Errors
    /// The link broke.
    pub async fn drain_now(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| {
            Poll::Ready(match self.poll_drain(cx) {
                // If the link has taken everything, the next silence wakes the task.
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
        if let Some(keepalive) = self.known.keepalive {
            self.silence.as_mut().reset(Instant::now() + keepalive);
        }
    }

    fn poll_keepalive(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        if self.in_control
            && self.known.keepalive.is_some()
            && self.silence.as_mut().poll(cx).is_ready()
            && self.link.poll_ready_unpin(cx)?.is_ready()
        {
            self.link.start_send_unpin(Frame(Bytes::from_static(b"\n")))?;
            self.begin_silence();
            self.flush_due = self.link.poll_flush_unpin(cx)?.is_pending();
            // Polled once more, so that its next end wakes the task.
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// A hello line came between the frames.
    fn greet(&mut self, hello: &Hello, cx: &Context<'_>) {
        let unfed = self.known.keepalive.is_none();
        if let Err(other) = self.known.hear(hello) {
            warn!("{other}");
        }
        if let Some(keepalive) = self.known.keepalive
            && unfed
        {
            info!(
                "its hello line asks for a sign of life every {} ms",
                keepalive.as_millis()
            );
            self.begin_silence();
            // Polled once, so that its end wakes the task.
            cx.waker().wake_by_ref();
        }
    }

    /// Writes what waits and closes the link. The caller bounds the time, and has discarded what is not to be written.
    ///
    /// # Errors
    /// The link broke.
    pub async fn close(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_drain(cx)).await?;
        self.link.close().await
    }
}

/// What the device sends. Reading also writes what waits.
impl Stream for Outbox {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Before the device is read: one that floods must not keep a stop from leaving.
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
            this.greet(&hello, cx);
        }
        next
    }
}

#[cfg(test)]
mod tests;
