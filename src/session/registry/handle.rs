//! A session as others see it, and the orders that they can give it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures::task::AtomicWaker;
use tokio::sync::oneshot;

use super::counters::{Battery, Counters};
use super::lock;
use crate::defaults::INJECT_QUEUE;
use crate::device::frame::{Frame, Outgoing, Receipt};
use crate::device::handshake::Handshake;
use crate::device::language::limits::{Limits, OutsideLimits};
use crate::device::peer::{ConnectionId, Peer};
use crate::link::RoundTrip;
use crate::session::ends::Disconnect;
use crate::session::ownership::{Controller, Ownership};
use crate::session::tap::{Tap, Watcher};

/// A session as others see it: its identity, its counters, and the orders that they can give it.
#[derive(Debug)]
pub struct SessionHandle {
    /// The connection.
    pub connection: ConnectionId,
    /// The device.
    pub handshake: Handshake,
    /// Where it connected from.
    pub peer: Peer,
    /// When it was admitted.
    pub since: SystemTime,
    /// Its frame counters.
    pub counters: Counters,
    /// The round trip of its link's pings.
    pub round_trip: Arc<RoundTrip>,
    /// The battery level that it last reported, in percent.
    pub battery: Battery,
    pub(crate) tap: Tap,
    orders: Mutex<Orders>,
    waker: AtomicWaker,
    /// The session is closing, so a newcomer does not count as a takeover.
    pub(super) ending: AtomicBool,
    pub(super) ownership: Ownership,
    /// Whether an output of the device may be on.
    pub(crate) outputs_on: AtomicBool,
    /// Whether the device may have been running when it connected.
    pub(crate) came_running: AtomicBool,
    /// The protocol that it was recognised by, if neither its entry nor a hello line identifies it.
    pub recognised: OnceLock<&'static str>,
    /// The limits that its user set, once the server inside knows them. In a relay they are upstream's.
    pub(crate) limits: OnceLock<Limits>,
    /// Whether the user set limits for this address; which of them hold is known once the server inside has listed
    /// the device.
    pub(crate) awaits_limits: AtomicBool,
}

#[derive(Debug, Default)]
struct Orders {
    stops: VecDeque<(Receipt, bool)>,
    end: Option<Disconnect>,
    injected: VecDeque<Injected>,
    /// Frames that are to pass as the device's own, with what reports that they did.
    received: VecDeque<(Frame, Receipt)>,
    /// The session ended and takes no more orders.
    over: bool,
}

/// A frame for the device that did not come from upstream, with its receipt.
#[derive(Debug)]
struct Injected {
    frame: Frame,
    receipt: Receipt,
    by: Controller,
}

/// Why a frame was not written to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// The device takes frames more slowly than they are sent.
    #[error("{INJECT_QUEUE} frames are already waiting for the device")]
    Busy,
    /// The session ended before it wrote the frame.
    #[error("the device left before it took the frame")]
    Gone,
    /// The user's limits do not allow the frame.
    #[error("the frame was not sent: {0}")]
    Limited(#[from] OutsideLimits),
    /// The user limited the device, and its limits are not known before it is listed.
    #[error(
        "the frame was not sent: the UDCF has limits for this device, which is not listed yet; try again then"
    )]
    NotListed,
}

/// An order to a session.
pub(crate) enum Order {
    /// Write the stop now.
    Stop {
        receipt: Receipt,
        /// Whether upstream has to learn of the stop.
        notify_upstream: bool,
    },
    /// Write this frame of this controller.
    Inject(Outgoing, Controller),
    /// Pass this frame on as the device's own.
    Receive(Frame, Receipt),
    /// End, for this reason.
    End(Disconnect),
}

impl SessionHandle {
    /// `came_running` is whether the device may have been running when it connected.
    pub(super) fn new(
        connection: ConnectionId,
        handshake: Handshake,
        peer: Peer,
        came_running: bool,
    ) -> Self {
        Self {
            connection,
            handshake,
            peer,
            since: SystemTime::now(),
            counters: Counters::default(),
            round_trip: Arc::default(),
            battery: Battery::default(),
            tap: Tap::default(),
            orders: Mutex::default(),
            waker: AtomicWaker::new(),
            ending: AtomicBool::new(false),
            ownership: Ownership::default(),
            outputs_on: AtomicBool::new(false),
            came_running: AtomicBool::new(came_running),
            recognised: OnceLock::new(),
            limits: OnceLock::new(),
            awaits_limits: AtomicBool::new(false),
        }
    }

    /// Asks the session to end. The first reason wins.
    pub fn end(&self, why: Disconnect) {
        lock(&self.orders).end.get_or_insert(why);
        self.waker.wake();
    }

    /// Makes the session write the device's stop ahead of everything else; completes when it is written or the
    /// session has ended. Dropping the future does not cancel the order.
    pub async fn stop_outputs(&self) {
        let (done, written) = oneshot::channel();
        self.push_stop(done, false);
        // The sender is dropped if the session ends, and a session that ends writes the stop itself.
        let _ = written.await;
    }

    /// Stops the device, and reports to upstream that it stands still: the far end of its link has stopped it.
    pub fn control_lost(&self) {
        let (done, _) = oneshot::channel();
        self.push_stop(done, true);
    }

    /// Stops the device for a controller that leaves, unless another one has commanded it since.
    pub fn release(&self, controller: Controller) {
        {
            // The session holds this lock while it takes a frame and records its controller.
            let mut orders = lock(&self.orders);
            if orders.over || !self.ownership.is_of(controller) {
                return;
            }
            let (done, _) = oneshot::channel();
            orders.stops.push_back((done, true));
        }
        self.waker.wake();
    }

    fn push_stop(&self, done: Receipt, notify_upstream: bool) {
        let mut orders = lock(&self.orders);
        if !orders.over {
            orders.stops.push_back((done, notify_upstream));
        }
        drop(orders);
        self.waker.wake();
    }

    /// Makes the session write one frame, inside the user's limits, as if it came from upstream; completes when it is
    /// written. Dropping the future cancels the frame, unless its write has begun: a stop that is ordered later is then
    /// written after it.
    ///
    /// # Errors
    /// [`InjectError::Busy`] if [`INJECT_QUEUE`] frames wait, [`InjectError::Gone`] if the session has ended,
    /// [`InjectError::Limited`] or [`InjectError::NotListed`] if the user's limits do not allow it.
    pub async fn inject(&self, frame: Frame, by: Controller) -> Result<(), InjectError> {
        let frame = self.keep_limits(frame)?;
        let (written, taken) = oneshot::channel();
        {
            let mut orders = lock(&self.orders);
            if orders.over {
                return Err(InjectError::Gone);
            }
            orders.injected.retain(|injected| !injected.receipt.is_closed());
            if orders.injected.len() >= INJECT_QUEUE {
                return Err(InjectError::Busy);
            }
            orders.injected.push_back(Injected {
                frame,
                receipt: written,
                by,
            });
        }
        self.waker.wake();
        taken.await.map_err(|_| InjectError::Gone)
    }

    /// Makes the session pass on one frame as if the device had sent it; completes when upstream has it. Dropping the
    /// future does not cancel the order.
    ///
    /// # Errors
    /// [`InjectError::Busy`] if [`INJECT_QUEUE`] such frames wait, [`InjectError::Gone`] if the session has ended.
    pub async fn receive(&self, frame: Frame) -> Result<(), InjectError> {
        let (done, passed) = oneshot::channel();
        {
            let mut orders = lock(&self.orders);
            if orders.over {
                return Err(InjectError::Gone);
            }
            if orders.received.len() >= INJECT_QUEUE {
                return Err(InjectError::Busy);
            }
            orders.received.push_back((frame, done));
        }
        self.waker.wake();
        passed.await.map_err(|_| InjectError::Gone)
    }

    /// Brings a frame that did not come from upstream inside the user's limits.
    pub(crate) fn keep_limits(&self, frame: Frame) -> Result<Frame, InjectError> {
        match self.limits.get() {
            Some(limits) => Ok(limits.keep(frame)?),
            None if self.awaits_limits.load(Ordering::Acquire) => Err(InjectError::NotListed),
            None => Ok(frame),
        }
    }

    /// Whether an output of the device may be on.
    pub fn may_be_on(&self) -> bool {
        self.outputs_on.load(Ordering::Relaxed)
    }

    /// Whether the last command came from a controller beside upstream.
    pub fn is_commanded_by_hand(&self) -> bool {
        self.may_be_on() && !self.ownership.is_of(Controller::UPSTREAM)
    }

    /// Whether this controller commanded the device last, and an output may be on.
    pub fn is_driven_by(&self, controller: Controller) -> bool {
        self.may_be_on() && self.ownership.is_of(controller)
    }

    /// Watches the session's frames from now on.
    pub fn watch(self: &Arc<Self>) -> Watcher {
        Watcher::new(self.clone())
    }

    /// The next order: stops first, then the end, then frames. Only the session itself calls this. Cancel safe.
    pub(crate) async fn next_order(&self) -> Order {
        std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            let mut orders = lock(&self.orders);
            if let Some((receipt, notify_upstream)) = orders.stops.pop_front() {
                return Poll::Ready(Order::Stop {
                    receipt,
                    notify_upstream,
                });
            }
            if let Some(why) = orders.end.take() {
                return Poll::Ready(Order::End(why));
            }
            if let Some((frame, done)) = orders.received.pop_front() {
                return Poll::Ready(Order::Receive(frame, done));
            }
            match orders.take_injected() {
                Some(Injected { frame, receipt, by }) => {
                    self.ownership.commanded(by);
                    let outgoing = Outgoing {
                        receipt: Some(receipt),
                        ..frame.into()
                    };
                    Poll::Ready(Order::Inject(outgoing, by))
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Ready if the session was asked to end. The session itself polls this while it awaits something that shutdown
    /// may interrupt.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Disconnect> {
        self.waker.register(cx.waker());
        match lock(&self.orders).end.take() {
            Some(why) => Poll::Ready(why),
            None => Poll::Pending,
        }
    }

    /// Marks the session as closing, so that a newcomer does not count as a takeover. Only the session itself calls this.
    pub(crate) fn set_ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Releases all who await or watch the session, because it has ended.
    pub(crate) fn release_waiters(&self) {
        let mut orders = lock(&self.orders);
        orders.over = true;
        orders.stops.clear();
        orders.injected.clear();
        orders.received.clear();
        drop(orders);
        self.tap.end(None);
    }
}

impl Orders {
    /// The next frame whose sender still waits.
    fn take_injected(&mut self) -> Option<Injected> {
        loop {
            let next = self.injected.pop_front()?;
            if !next.receipt.is_closed() {
                return Some(next);
            }
        }
    }
}
