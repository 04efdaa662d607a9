//! The link to a device of an edge, through the broker.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::task::AtomicWaker;
use futures::{Sink, Stream};

use super::line::EdgeLine;
use crate::device::fleet::header::{Header, Kind, is_after};
use crate::device::fleet::names::DeviceId;
use crate::device::frame::Frame;
use crate::link::{FrameIo, LinkError};
use crate::net::bus::{Message, Qos};

/// Frames of a device that wait for its session. A session takes each at once, so that more are a flood.
const INBOX_MAX: usize = 64;

/// What the hub's task and the session share of a device.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct State {
    session: u32,
    /// The newest frame that came.
    last: Option<u32>,
    frames: VecDeque<Bytes>,
    dropped: u64,
    ended: Option<String>,
}

impl Inbox {
    pub(super) fn new(session: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                session,
                last: None,
                frames: VecDeque::new(),
                dropped: 0,
                ended: None,
            }),
            waker: AtomicWaker::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self) -> u32 {
        self.state().session
    }

    /// A frame of the device came. Returns whether it belongs to the session.
    pub(super) fn arrived(&self, header: &Header, frame: Bytes) -> bool {
        let mut state = self.state();
        if header.session != state.session || header.kind != Kind::Frame {
            return false;
        }
        // What comes twice was received once.
        if state.last.is_none_or(|last| is_after(header.seq, last)) {
            state.last = Some(header.seq);
            if state.frames.len() >= INBOX_MAX {
                state.frames.pop_front();
                state.dropped += 1;
            }
            state.frames.push_back(frame);
            drop(state);
            self.waker.wake();
        }
        true
    }

    /// The device cannot be driven through this session any more.
    pub(super) fn end(&self, why: &str) {
        self.state().ended.get_or_insert_with(|| why.to_owned());
        self.waker.wake();
    }

    /// Why it ended; `None` if it has not, and then the waker is registered.
    fn poll_end(&self, cx: &mut Context<'_>) -> Option<LinkError> {
        self.waker.register(cx.waker());
        let reason = self.state().ended.clone()?;
        Some(LinkError::Closed { code: None, reason })
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().ended.is_some()
    }

    /// How many frames were dropped since the session was too slow.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }
}

/// A device of an edge, as a duplex pipe of frames.
pub(super) struct BrokerLink {
    line: Arc<EdgeLine>,
    device: DeviceId,
    inbox: Arc<Inbox>,
    /// The sequence number of the next message.
    seq: u32,
    /// What the broker's client has not taken yet, with whether it counts as a frame.
    unsent: VecDeque<(Message, bool)>,
}

impl BrokerLink {
    pub(super) fn new(line: Arc<EdgeLine>, device: DeviceId, inbox: Arc<Inbox>) -> Self {
        Self {
            line,
            device,
            inbox,
            seq: 0,
            unsent: VecDeque::new(),
        }
    }

    fn header(&mut self, kind: Kind) -> Header {
        self.seq = self.seq.wrapping_add(1);
        Header {
            session: self.inbox.session(),
            seq: self.seq,
            nonce: self.line.nonce(),
            kind,
        }
    }

    /// Hands what waits to the broker's client.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((message, is_frame)) = self.unsent.front() {
            if !self.line.bus.is_connected() || self.line.is_dropping() {
                // Nothing is kept for a later connection: the edge has stopped the device, and what was sent is over.
                self.unsent.clear();
                break;
            }
            // A stop needs none of the room that frames wait for.
            if self.line.bus.try_publish(message.clone()).is_err() {
                ready!(self.line.bus.poll_room(cx));
                // There was room just now, which another device may have taken meanwhile.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if *is_frame {
                self.line.sent();
            }
            self.unsent.pop_front();
        }
        Poll::Ready(())
    }
}

impl Stream for BrokerLink {
    type Item = Result<Frame, LinkError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let ended = self.inbox.poll_end(cx);
        match (self.inbox.state().frames.pop_front(), ended) {
            (Some(frame), _) => Poll::Ready(Some(Ok(Frame(frame)))),
            (None, Some(ended)) => Poll::Ready(Some(Err(ended))),
            (None, None) => Poll::Pending,
        }
    }
}

impl Sink<Frame> for BrokerLink {
    type Error = LinkError;

    /// Pending while the edge is not heard, or does not keep up: meanwhile newer commands take the place of older ones.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        // A session that waits to write does not read.
        if let Some(ended) = self.inbox.poll_end(cx) {
            return Poll::Ready(Err(ended));
        }
        ready!(self.poll_unsent(cx));
        self.line.poll_ready(cx).map(Ok)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        if self.line.is_dropping() {
            return Ok(());
        }
        let message = Message {
            topic: self.line.down_topic(&self.device),
            payload: self.header(Kind::Frame).write(&frame.0),
            qos: Qos::AtMostOnce,
            retain: false,
        };
        self.unsent.push_back((message, true));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_unsent(cx).map(Ok)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_unsent(cx).map(Ok)
    }
}

impl FrameIo for BrokerLink {
    /// The frames that stop the device travel in order with the others, and may be dropped by a broker; this one is not.
    fn stop(&mut self) {
        if self.line.is_dropping() {
            return;
        }
        let message = Message {
            topic: self.line.stop_topic(&self.device),
            payload: self.header(Kind::Stop).write(&[]),
            qos: Qos::AtLeastOnce,
            retain: false,
        };
        // In front of what waits: its number tells the edge that those are over.
        self.unsent.retain(|(_, is_frame)| !is_frame);
        self.unsent.push_front((message, false));
    }
}
