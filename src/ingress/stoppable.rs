//! The port of a board that is being identified, on which a stop can be ordered: reading from the board writes the stops
//! that were ordered.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::session::unidentified::{Identifying, StopReceipt, Unidentified};

/// When the stop of a board is repeated if its link may lose it, counted from the first time.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(160)];

/// A port that takes orders to stop its board.
pub(super) struct Stoppable<P> {
    port: P,
    place: Identifying,
    /// What stops the board, each as it is written; empty if nothing is known.
    frames: Vec<Bytes>,
    /// Whether the link may lose what is written to it.
    is_lossy: bool,
    /// The part of a stop that is not written yet.
    unwritten: VecDeque<Bytes>,
    /// Who waits for it.
    receipts: Vec<StopReceipt>,
    repeats: VecDeque<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<P: AsyncRead + AsyncWrite + Unpin> Stoppable<P> {
    pub(super) fn new(port: P, place: Identifying, frames: Vec<Bytes>, is_lossy: bool) -> Self {
        Self {
            port,
            place,
            frames,
            is_lossy,
            unwritten: VecDeque::new(),
            receipts: Vec::new(),
            repeats: VecDeque::new(),
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// The board as others see it.
    pub(super) fn board(&self) -> &Arc<Unidentified> {
        self.place.board()
    }

    /// The bare port, and the board's place among those that are not known, which takes no more orders.
    pub(super) fn into_parts(self) -> (P, Identifying) {
        let mut place = self.place;
        place.identified();
        (self.port, place)
    }

    /// Takes orders, and writes stops as far as the port takes them.
    fn poll_stops(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            while let Poll::Ready(receipt) = self.place.poll_stop(cx) {
                self.order(receipt);
            }
            if self.is_due(cx) {
                self.unwritten.extend(self.frames.iter().cloned());
            }
            if self.unwritten.is_empty() && self.receipts.is_empty() {
                return Ok(());
            }
            match self.poll_unwritten(cx) {
                Poll::Ready(written) => written?,
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn order(&mut self, receipt: StopReceipt) {
        if self.frames.is_empty() {
            let _ = receipt.send(false);
            return;
        }
        self.unwritten.extend(self.frames.iter().cloned());
        self.receipts.push(receipt);
        if self.is_lossy {
            let now = Instant::now();
            self.repeats = AGAIN_AFTER.map(|after| now + after).into();
        }
    }

    /// Whether a stop has to be written again now.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.repeats.front() else {
            return false;
        };
        if self.timer.deadline() != *due {
            self.timer.as_mut().reset(*due);
        }
        let is_due = self.timer.as_mut().poll(cx).is_ready();
        if is_due {
            self.repeats.pop_front();
        }
        is_due
    }

    /// Ready when no part of a stop is left to write, so that nothing else is written into the middle of one.
    fn poll_unwritten(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(frame) = self.unwritten.front_mut() {
            let written = ready!(Pin::new(&mut self.port).poll_write(cx, frame))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            frame.advance(written);
            if frame.is_empty() {
                self.unwritten.pop_front();
            }
        }
        if !self.receipts.is_empty() {
            ready!(Pin::new(&mut self.port).poll_flush(cx))?;
            for receipt in self.receipts.drain(..) {
                // The caller may have stopped waiting.
                let _ = receipt.send(true);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<P: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stoppable<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.poll_stops(cx)?;
        Pin::new(&mut this.port).poll_read(cx, buf)
    }
}

impl<P: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stoppable<P> {
    /// Takes no orders: the caller may be in the middle of a command.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.port).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.port).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_shutdown(cx)
    }
}
