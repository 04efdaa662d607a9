//! A device of the edge: what came for it through the broker, and the upstream half of its session.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::task::AtomicWaker;
use futures::{FutureExt, Sink, Stream};
use tokio::time::{Instant, Sleep, sleep};
use tracing::{debug, info, warn};

use super::Edge;
use super::hub::Hub;
use crate::device::fleet::clock::Millis;
use crate::device::fleet::documents::{self, Birth, Owner, RecognisedBoard};
use crate::device::fleet::gate::{Gate, Verdict, Why};
use crate::device::fleet::header::{Header, Kind, is_after};
use crate::device::fleet::names::DeviceId;
use crate::device::frame::Frame;
use crate::net::bus::{Message, Qos};
use crate::session::ends::{DeviceInfo, FromUpstream, UpstreamError, UpstreamIo};
use crate::session::registry::{Counters, SessionHandle};

/// Messages that wait for a session. A session takes each at once, so that more are a flood: the oldest are dropped.
const INBOX_MAX: usize = 256;
/// Frames of a device that may wait for the broker.
const WAITING_MAX: usize = 64;

/// A device of the edge.
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) handle: Arc<SessionHandle>,
    recognised: Option<RecognisedBoard>,
    inbox: Mutex<Inbox>,
    waker: AtomicWaker,
}

/// What came for a device, and by which rule it is let through.
struct Inbox {
    gate: Gate,
    owner: Option<Owned>,
    /// The newest stop by the owner. It is judged before the frames: those that were sent earlier are over.
    stop: Option<Header>,
    frames: VecDeque<(Header, Bytes)>,
    due: Option<Due>,
}

/// By whom a device is owned.
struct Owned {
    hub: Arc<Hub>,
    /// Since when the lease is over.
    lapsed: Option<Instant>,
}

/// A stop that the session has not made yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// If an output is on: control was lost.
    IfOn,
    /// In any case: somebody asked for it.
    Always,
}

/// What became of a device's owner, for the broker.
pub(super) enum OwnerChange {
    /// Nothing.
    None,
    /// It is to be published again.
    Changed,
}

impl Device {
    pub(super) fn new(session: &Arc<SessionHandle>, device: &DeviceInfo, number: u32) -> Self {
        Self {
            id: DeviceId::of(&session.handshake),
            handle: session.clone(),
            recognised: device.recognised.as_deref().map(RecognisedBoard::from),
            inbox: Mutex::new(Inbox {
                gate: Gate::new(number),
                owner: None,
                stop: None,
                frames: VecDeque::new(),
                due: None,
            }),
            waker: AtomicWaker::new(),
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is published of it.
    pub(super) fn birth(&self, edge: &Edge) -> Birth {
        let handshake = &self.handle.handshake;
        Birth {
            identifier: handshake.identifier.as_str().to_owned(),
            address: handshake.address.as_str().to_owned(),
            version: handshake.version,
            epoch: edge.epoch,
            session: self.inbox().gate.session(),
            transport: self.handle.peer.way().to_owned(),
            recognised: self.recognised.clone(),
            hubs: edge.settings.hubs.clone(),
        }
    }

    /// Whether that is its birth, in whichever session: it is not published again for each.
    pub(super) fn is_born_by(&self, edge: &Edge, payload: &[u8]) -> bool {
        let own = self.birth(edge);
        documents::read::<Birth>(payload).is_ok_and(|birth| {
            let session = own.session;
            Birth { session, ..birth } == own
        })
    }

    /// The session that counts.
    pub(super) fn session(&self) -> u32 {
        self.inbox().gate.session()
    }

    /// Who owns it; `None` if it is free.
    pub(super) fn owner(&self) -> Option<Owner> {
        let inbox = self.inbox();
        let owned = inbox.owner.as_ref()?;
        Some(Owner {
            hub: owned.hub.name.clone(),
            hub_epoch: owned.hub.epoch,
            session: inbox.gate.session(),
            lapsed: owned.lapsed.is_some(),
        })
    }

    pub(super) fn is_owned_by(&self, hub: &Hub) -> bool {
        self.inbox().owner.as_ref().is_some_and(|owned| owned.is_of(hub))
    }

    /// A message came for it. Returns whether it is of the session that counts.
    pub(super) fn arrived(&self, header: Header, frame: Bytes) -> bool {
        let mut inbox = self.inbox();
        if header.session != inbox.gate.session() {
            drop(inbox);
            self.handle.counters.refused.count(Why::OtherSession);
            return false;
        }
        match header.kind {
            Kind::Stop if inbox.stop.is_none_or(|stop| is_after(header.seq, stop.seq)) => {
                inbox.stop = Some(header)
            }
            Kind::Stop => {}
            Kind::Frame if inbox.frames.len() < INBOX_MAX => inbox.frames.push_back((header, frame)),
            Kind::Frame => {
                // Among what is dropped may be the one that turns an output off.
                inbox.frames.clear();
                inbox.due.get_or_insert(Due::IfOn);
                Counters::count(&self.handle.counters.dropped);
            }
        }
        drop(inbox);
        self.waker.wake();
        true
    }

    /// Lets its session look again.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Control over it was lost: an output that is on is stopped.
    pub(super) fn control_lost(&self) {
        let mut inbox = self.inbox();
        inbox.frames.clear();
        inbox.due.get_or_insert(Due::IfOn);
        drop(inbox);
        self.waker.wake();
    }

    /// Gives it to this hub, unless another one has it and is there. The session is new unless the hub has it already.
    pub(super) fn grant(&self, hub: &Arc<Hub>, edge: &Edge) -> OwnerChange {
        let now = edge.clock.now();
        let mut inbox = self.inbox();
        match &inbox.owner {
            // It may not have received the answer.
            Some(owned) if owned.is_of(hub) => return OwnerChange::Changed,
            Some(owned) if owned.hub.lease().is_live(now) => return OwnerChange::None,
            _ => {}
        }
        info!(device = %self.handle.handshake.address, "owned by the hub {}", hub.name);
        inbox.begin(edge.next_session());
        inbox.owner = Some(Owned {
            hub: hub.clone(),
            lapsed: None,
        });
        drop(inbox);
        self.waker.wake();
        OwnerChange::Changed
    }

    /// This is what is known of its owner from now on, if it is of this process of a hub.
    pub(super) fn adopt(&self, hub: &Arc<Hub>) {
        if let Some(owned) = &mut self.inbox().owner
            && owned.is_of(hub)
        {
            owned.hub = hub.clone();
        }
    }

    /// Takes it from its owner, and stops it: the owner gave it back, or was away for too long.
    pub(super) fn free(&self, edge: &Edge) {
        self.inbox().begin(edge.next_session());
        self.waker.wake();
    }

    /// Stops it in any case, and takes it from its owner.
    pub(super) fn halt(&self, edge: &Edge) {
        let mut inbox = self.inbox();
        inbox.begin(edge.next_session());
        inbox.due = Some(Due::Always);
        drop(inbox);
        self.waker.wake();
    }

    /// Follows the lease of its owner. One that is away for longer than `grace` loses it.
    pub(super) fn follow_lease(&self, edge: &Edge) -> OwnerChange {
        let now = edge.clock.now();
        let mut inbox = self.inbox();
        let Some(owned) = &mut inbox.owner else {
            return OwnerChange::None;
        };
        let is_live = owned.hub.lease().is_live(now);
        match owned.lapsed {
            None if is_live => OwnerChange::None,
            None => {
                owned.lapsed = Some(Instant::now());
                drop(inbox);
                self.control_lost();
                OwnerChange::Changed
            }
            Some(_) if is_live => {
                owned.lapsed = None;
                OwnerChange::Changed
            }
            Some(since) if since.elapsed() >= edge.settings.grace => {
                inbox.begin(edge.next_session());
                drop(inbox);
                self.waker.wake();
                OwnerChange::Changed
            }
            Some(_) => OwnerChange::None,
        }
    }
}

impl Owned {
    fn is_of(&self, hub: &Hub) -> bool {
        self.hub.name == hub.name && self.hub.epoch == hub.epoch
    }
}

impl Inbox {
    /// Judges what came, the stop first.
    fn next(&mut self, now: Millis) -> Option<(Verdict, Bytes)> {
        let lease = self
            .owner
            .as_ref()
            .map(|owned| owned.hub.lease())
            .unwrap_or_default();
        let (header, frame) = match self.stop.take() {
            Some(stop) => (stop, Bytes::new()),
            None => self.frames.pop_front()?,
        };
        Some((self.gate.judge(&header, lease, now), frame))
    }

    /// Begins a session without an owner. What came in the earlier one counts no more; an output that is on is stopped.
    fn begin(&mut self, session: u32) {
        self.gate = Gate::new(session);
        self.owner = None;
        self.stop = None;
        self.frames.clear();
        self.due.get_or_insert(Due::IfOn);
    }
}

/// The upstream half of a device's session.
///
/// The timer of the lease is polled by the session itself: a broker that hangs, or a client of it that does, delays no
/// stop.
pub(super) struct EdgeIo {
    pub(super) edge: Arc<Edge>,
    pub(super) device: Arc<Device>,
    pub(super) can_stop: bool,
    pub(super) lease_over: Pin<Box<Sleep>>,
    /// Frames of the device that wait for the broker.
    pub(super) waiting: VecDeque<Frame>,
    /// Counts the frames of the device.
    pub(super) seq: u32,
    /// Frames that were not obeyed since that was last logged.
    pub(super) refused: u64,
}

impl EdgeIo {
    pub(super) fn new(edge: Arc<Edge>, device: Arc<Device>, can_stop: bool) -> Self {
        Self {
            edge,
            device,
            can_stop,
            lease_over: Box::pin(sleep(Duration::ZERO)),
            waiting: VecDeque::new(),
            seq: 0,
            refused: 0,
        }
    }

    fn is_on(&self) -> bool {
        self.device.handle.may_be_on()
    }

    /// Stops the device, or lets go of one that only its own watchdog can stop, which waits for the end of the connection.
    /// `None` if there is nothing to stop.
    fn stop(&mut self, why: &str) -> Option<Result<FromUpstream, UpstreamError>> {
        let is_on = self.is_on();
        if !self.can_stop {
            return is_on.then(|| Err(UpstreamError::Away(why.to_owned())));
        }
        if is_on {
            info!("{why}: the device is stopped");
        }
        Some(Ok(FromUpstream::Stop))
    }

    /// Counts a frame that moves nothing. Returns what else follows from it.
    fn refuse(&mut self, why: Why) -> Option<Result<FromUpstream, UpstreamError>> {
        self.refused += 1;
        self.device.handle.counters.refused.count(why);
        debug!(?why, "a frame of the fleet was not obeyed");
        let text = match why {
            Why::OtherSession | Why::Old | Why::BeforeStop => return None,
            Why::Overtaken => "a command of the hub was overtaken by a later one",
            Why::NoLease => "the hub's lease is over",
            Why::Stale => "the hub's commands come too late",
        };
        // It may have been the one that turns the output off.
        if self.is_on() { self.stop(text) } else { None }
    }

    fn poll_next_action(&mut self, cx: &mut Context<'_>) -> Poll<Result<FromUpstream, UpstreamError>> {
        let device = self.device.clone();
        device.waker.register(cx.waker());
        self.poll_forward(cx);
        loop {
            let due = device.inbox().due.take();
            if let Some(stop) = due.and_then(|due| self.make(due)) {
                return Poll::Ready(stop);
            }
            let now = self.edge.clock.now();
            let next = device.inbox().next(now);
            let stop = match next {
                Some((Verdict::Pass, frame)) => {
                    return Poll::Ready(Ok(FromUpstream::Frame(Frame(frame).into())));
                }
                Some((Verdict::Stop, _)) => self.stop("the hub asked for a stop"),
                Some((Verdict::Drop(why), _)) => self.refuse(why),
                None => {
                    std::task::ready!(self.poll_lease(cx));
                    self.stop("the hub's lease is over")
                }
            };
            if let Some(stop) = stop {
                return Poll::Ready(stop);
            }
        }
    }

    /// Ready when the lease is over while an output is on.
    fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let hub = self.device.inbox().owner.as_ref().map(|owned| owned.hub.clone());
            // Somebody at this gateway drives a device that no hub owns: that is not the fleet's.
            let is_by_hand = hub.is_none() && self.device.handle.is_commanded_by_hand();
            if !self.is_on() || is_by_hand {
                return Poll::Pending;
            }
            let now = self.edge.clock.now();
            let Some(left) = hub.and_then(|hub| hub.lease().left(now)) else {
                return Poll::Ready(());
            };
            let at = Instant::now() + Duration::from_millis(left.into());
            self.lease_over.as_mut().reset(at);
            std::task::ready!(self.lease_over.poll_unpin(cx));
        }
    }

    /// Makes a stop that is due.
    fn make(&mut self, due: Due) -> Option<Result<FromUpstream, UpstreamError>> {
        match due {
            Due::Always => self.stop("somebody asked for a halt"),
            Due::IfOn if self.is_on() => self.stop("control was lost"),
            Due::IfOn => None,
        }
    }

    /// Publishes what the broker and the owner accept. The rest follows when there is room.
    fn poll_forward(&mut self, cx: &mut Context<'_>) {
        while let Some(frame) = self.waiting.front() {
            let now = self.edge.clock.now();
            let (owner, session) = {
                let inbox = self.device.inbox();
                let owner = inbox.owner.as_ref().map(|owned| owned.hub.clone());
                (owner, inbox.gate.session())
            };
            // Nobody would receive it, now or later.
            let Some(owner) = owner.filter(|_| self.edge.bus.is_connected()) else {
                self.waiting.clear();
                return;
            };
            // The next beat of the owner wakes the task.
            if !owner.may_send(now) || self.edge.bus.poll_room(cx).is_pending() {
                return;
            }
            let header = Header {
                session,
                seq: self.seq,
                nonce: now,
                kind: Kind::Frame,
            };
            let message = Message {
                topic: self.edge.up_topic(&self.device.id),
                payload: header.write(&frame.0),
                qos: Qos::AtMostOnce,
                retain: false,
            };
            if self.edge.bus.try_publish(message).is_err() {
                // Another device took the room; the next poll registers again.
                cx.waker().wake_by_ref();
                return;
            }
            owner.sent(now);
            self.seq = self.seq.wrapping_add(1);
            self.waiting.pop_front();
        }
    }
}

impl Stream for EdgeIo {
    type Item = Result<FromUpstream, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_action(cx).map(Some)
    }
}

/// A broker that is too slow loses the oldest frames, counted: a device must not wait, and its newest frame is worth most.
impl Sink<Frame> for EdgeIo {
    type Error = UpstreamError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), UpstreamError> {
        // There is no message without a frame.
        if frame.0.is_empty() {
            return Ok(());
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            Counters::count(&self.device.handle.counters.dropped);
        }
        self.waiting.push_back(frame);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        self.poll_forward(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }
}

impl UpstreamIo for EdgeIo {
    fn release(self: Box<Self>, _: bool) -> BoxFuture<'static, ()> {
        if self.refused > 0 {
            warn!(
                "{} frames that came through the broker were not obeyed: too late, of an earlier session, or before a stop",
                self.refused
            );
        }
        future::ready(()).boxed()
    }
}

/// Also after a panic, no hub is to believe that the device is there.
impl Drop for EdgeIo {
    fn drop(&mut self) {
        self.edge.forget(&self.device);
    }
}
