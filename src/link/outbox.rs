//! What waits to be written on a slow link: the newest command for each actuator, and stops ahead of everything.
//!
//! A line at 9,600 baud carries 80 commands a second, an app sends hundreds. Commands that queue up are motion that
//! nobody wants any more, so behind the one frame that is on its way at most one command for each actuator waits.

mod commands;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep};
use tracing::{info, warn};

use super::{Frame, FrameIo, LinkError};
use crate::defaults::OUTBOX_MAX;
use crate::device::close::CloseReason;
use crate::device::hello::Hello;
use crate::device::hello::Known;
use commands::{Command, Part};

/// Which commands supersede older ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coalesce {
    /// None is known to: whoever sends waits until the link has taken the last one.
    #[default]
    None,
    /// Lovense commands, by their name: `Vibrate1:5;` supersedes `Vibrate1:3;`.
    Lovense,
    /// TCode, by axis: `L0500 R0200` and then `L0700` is written as `L0700 R0200`.
    Tcode,
}

impl Coalesce {
    /// What is known of a protocol's commands.
    pub fn of(protocol: Option<&str>) -> Self {
        match protocol {
            Some("lovense") => Self::Lovense,
            Some("tcode-v03") => Self::Tcode,
            _ => Self::None,
        }
    }
}

/// A link behind which commands wait without growing stale.
///
/// Taking a frame means that it waits here, not that it was written; only after [`FrameIo::make_way`] does a flush
/// wait for the line. Frames that are no known motion command are never dropped and keep their order.
pub struct Outbox<L> {
    link: L,
    by: Coalesce,
    /// What stops the device.
    stops: VecDeque<Frame>,
    waiting: VecDeque<Waiting>,
    /// From a loss of control to the end of the next flush: what is sent stops the device.
    overtaking: bool,
    /// The link holds something that is not yet written.
    flush_due: bool,
    /// What is known of the board: its watchdog's keepalive, which a hello line may still ask for.
    known: Known,
    /// Somebody sent a command since control was last lost: without control the watchdog must not be fed.
    in_control: bool,
    /// Over when a sign of life is due, where there is a watchdog.
    silence: Pin<Box<Sleep>>,
}

enum Waiting {
    Motion(Vec<Part>),
    Other(Frame),
}

impl<L: FrameIo> Outbox<L> {
    /// Puts an outbox before a link. While somebody has control, a lone newline is written when nothing else was
    /// for as long as the board's keepalive.
    pub fn new(link: L, by: Coalesce, known: Known) -> Self {
        Self {
            link,
            by,
            stops: VecDeque::new(),
            waiting: VecDeque::new(),
            overtaking: false,
            flush_due: false,
            known,
            in_control: false,
            silence: Box::pin(sleep(Duration::ZERO)),
        }
    }

    fn is_full(&self) -> bool {
        let room = match self.by {
            Coalesce::None => 1,
            Coalesce::Lovense | Coalesce::Tcode => OUTBOX_MAX,
        };
        self.waiting.len() >= room
    }

    fn put(&mut self, frame: Frame) {
        match Command::read(self.by, &frame) {
            Command::Other => self.waiting.push_back(Waiting::Other(frame)),
            Command::Stop => {
                self.waiting
                    .retain(|waiting| matches!(waiting, Waiting::Other(_)));
                self.stops.push_back(frame);
            }
            Command::Motion(parts) if self.by == Coalesce::Tcode => self.put_axes(parts),
            Command::Motion(parts) => {
                for part in parts {
                    self.put_named(part);
                }
            }
        }
    }

    /// TCode takes any number of axes in one line.
    fn put_axes(&mut self, parts: Vec<Part>) {
        let at = self.waiting.iter().position(|w| matches!(w, Waiting::Motion(_)));
        let mut line = match at.and_then(|at| self.waiting.remove(at)) {
            Some(Waiting::Motion(line)) => line,
            _ => Vec::new(),
        };
        for part in parts {
            match line.iter_mut().find(|older| older.actuator == part.actuator) {
                Some(older) => *older = part,
                None => line.push(part),
            }
        }
        // It keeps its turn; one that stops something does not wait behind queries.
        let at = match at {
            _ if line.iter().any(|part| part.stops) => 0,
            Some(at) => at,
            None => self.waiting.len(),
        };
        self.waiting.insert(at, Waiting::Motion(line));
    }

    fn put_named(&mut self, part: Part) {
        let same = |w: &Waiting| matches!(w, Waiting::Motion(older) if older.iter().any(|o| o.actuator == part.actuator));
        let at = self.waiting.iter().position(same);
        if let Some(at) = at {
            self.waiting.remove(at);
        }
        let is_stop =
            |w: &Waiting| matches!(w, Waiting::Motion(parts) if parts.iter().all(|part| part.stops));
        let at = match at {
            // Stops go first, in the order in which they came.
            _ if part.stops => self.waiting.iter().take_while(|w| is_stop(w)).count(),
            Some(at) => at,
            None => self.waiting.len(),
        };
        self.waiting.insert(at, Waiting::Motion(vec![part]));
    }

    fn next_frame(&mut self) -> Option<Frame> {
        if let Some(stop) = self.stops.pop_front() {
            return Some(stop);
        }
        self.waiting.pop_front().map(|waiting| match waiting {
            Waiting::Motion(parts) => commands::join(self.by, &parts),
            Waiting::Other(frame) => frame,
        })
    }

    /// Writes what the link takes, one frame at a time; Ready when nothing waits and all of it is written.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            if self.flush_due {
                std::task::ready!(self.link.poll_flush_unpin(cx))?;
                self.flush_due = false;
            }
            if self.stops.is_empty() && self.waiting.is_empty() {
                return Poll::Ready(Ok(()));
            }
            std::task::ready!(self.link.poll_ready_unpin(cx))?;
            if let Some(frame) = self.next_frame() {
                self.write(frame)?;
            }
        }
    }

    fn write(&mut self, frame: Frame) -> Result<(), LinkError> {
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
            self.write(Frame(Bytes::from_static(b"\n")))?;
            if self.link.poll_flush_unpin(cx)?.is_ready() {
                self.flush_due = false;
            }
            // Polled once more, so that its next end wakes the task.
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// The board said a hello line.
    fn hear(&mut self, said: &Hello, cx: &Context<'_>) {
        let unfed = self.known.keepalive.is_none();
        if let Err(other) = self.known.hear(said) {
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
}

impl<L: FrameIo> Stream for Outbox<L> {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Before the device is heard: one that floods must not keep a stop from leaving.
        let drained = match this.poll_drain(cx) {
            Poll::Ready(Ok(())) => this.poll_keepalive(cx),
            Poll::Ready(Err(e)) => Err(e),
            Poll::Pending => Ok(()),
        };
        if let Err(e) = drained {
            return Poll::Ready(Some(Err(e)));
        }
        let next = this.link.poll_next_unpin(cx);
        if let Some(said) = this.link.take_hello() {
            this.hear(&said, cx);
        }
        next
    }
}

impl<L: FrameIo> Sink<Frame> for Outbox<L> {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.overtaking || !self.is_full() {
            return Poll::Ready(Ok(()));
        }
        let _ = self.poll_drain(cx)?;
        if self.is_full() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        if self.overtaking {
            self.stops.push_back(frame);
            return Ok(());
        }
        if !self.in_control {
            self.in_control = true;
            self.begin_silence();
        }
        self.put(frame);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let drained = self.poll_drain(cx)?;
        if self.overtaking {
            // Queries that wait behind the stops are not waited for.
            if !self.stops.is_empty() || self.flush_due {
                return Poll::Pending;
            }
            self.overtaking = false;
            return Poll::Ready(Ok(()));
        }
        // What the line does not take now is written while the next frame is waited for. When it has taken everything,
        // nothing but the next silence wakes whoever reads from here, and so looks after it.
        if drained.is_ready() {
            self.poll_keepalive(cx)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.waiting.clear();
        std::task::ready!(self.poll_drain(cx))?;
        self.link.poll_close_unpin(cx)
    }
}

impl<L: FrameIo> FrameIo for Outbox<L> {
    fn set_close_reason(&mut self, reason: CloseReason) {
        self.link.set_close_reason(reason);
    }

    fn make_way(&mut self) {
        match self.by {
            // Nothing says which of them are motion.
            Coalesce::None => self.waiting.clear(),
            Coalesce::Lovense | Coalesce::Tcode => {
                self.waiting
                    .retain(|waiting| matches!(waiting, Waiting::Other(_)));
            }
        }
        self.overtaking = true;
        self.in_control = false;
        self.link.make_way();
    }
}

#[cfg(test)]
mod tests;
