//! Which sessions exist. The only shared state: sessions register here; pages, commands and shutdown read it.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures::task::AtomicWaker;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::advice::Advice;
use crate::defaults::{INJECT_QUEUE, PENDING_STOPS_MAX, TAKEOVER_LIMIT, TAKEOVER_WINDOW};
use crate::device::frame::{Frame, Outgoing, Receipt};
use crate::device::handshake::{Address, Handshake};
use crate::device::language::limits::{Limits, OutsideLimits};
use crate::device::language::{Actuators, Command};
use crate::device::peer::{ConnectionId, Peer};
use crate::device::refusal::Refusal;
use crate::link::RoundTrip;
use crate::session::ends::Disconnect;
use crate::session::ownership::{Controller, Ownership};
use crate::session::past::{Past, PastDevice};
use crate::session::tap::{Tap, Watcher};

/// Counts a session's frames, passed on and dropped.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames written to the device.
    pub to_device: AtomicU64,
    /// Frames that the device sent.
    pub from_device: AtomicU64,
    /// Bytes of the frames written to the device.
    pub bytes_to_device: AtomicU64,
    /// Bytes of the frames that the device sent.
    pub bytes_from_device: AtomicU64,
    /// Frames of the device that were dropped, the oldest first, because upstream was too slow.
    pub dropped: AtomicU64,
}

/// The values of [`Counters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames written to the device.
    pub to_device: u64,
    /// Frames that the device sent.
    pub from_device: u64,
    /// Frames of the device that were dropped.
    pub dropped: u64,
    /// Bytes written to the device.
    pub bytes_to_device: u64,
    /// Bytes that the device sent.
    pub bytes_from_device: u64,
}

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
    ending: AtomicBool,
    ownership: Ownership,
    /// Whether an output of the device may be on.
    pub(crate) outputs_on: AtomicBool,
    /// Whether the device may have been running when it connected.
    pub(crate) came_running: AtomicBool,
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

/// Sessions by address.
#[derive(Debug, Default)]
pub struct Registry {
    inner: Mutex<Inner>,
    added: Notify,
    past: Past,
}

#[derive(Debug, Default)]
struct Inner {
    connections: u64,
    sessions: HashMap<Address, Slot>,
    /// Recent takeovers, by address.
    takeovers: Takeovers,
    pending_stops: PendingStops,
    /// The address of the board that was last behind a port, a URL or a Bluetooth address of an entry. Entries are few.
    last_at: HashMap<Peer, Address>,
}

/// Below this many addresses, stale takeovers are not pruned.
const FEW_TAKEOVERS: usize = 64;

#[derive(Debug, Default)]
struct Takeovers {
    times: HashMap<Address, VecDeque<Instant>>,
    /// How many addresses the last pruning kept.
    kept: usize,
}

impl Takeovers {
    /// The recent takeovers of this address.
    ///
    /// Stale entries of other addresses are pruned only when the table has doubled. After a Wi-Fi router restarts,
    /// every device takes over its own address, and pruning on each call would be quadratic.
    fn of(&mut self, address: &Address) -> &mut VecDeque<Instant> {
        if self.times.len() > 2 * self.kept + FEW_TAKEOVERS {
            self.times.retain(|_, times| {
                times.retain(|t| t.elapsed() < TAKEOVER_WINDOW);
                !times.is_empty()
            });
            self.kept = self.times.len();
        }
        let times = self.times.entry(address.clone()).or_default();
        times.retain(|t| t.elapsed() < TAKEOVER_WINDOW);
        times
    }
}

#[derive(Debug)]
struct Slot {
    handle: Arc<SessionHandle>,
    /// Cancelled when the session, its upstream half included, has released the address.
    released: CancellationToken,
}

/// A session's place in the registry. Dropping it, also in a panic, frees the address and records whether the device
/// still has to be stopped.
#[derive(Debug)]
pub struct Entry {
    registry: Arc<Registry>,
    handle: Arc<SessionHandle>,
    released: CancellationToken,
    /// What was set on the device, and so what stops it.
    pub actuators: Actuators,
    /// The stop of a device that may be running from an earlier session; empty if nothing is known to be set.
    pending_stop: Option<Vec<Frame>>,
    /// Whether the device is known to have been stopped since.
    is_stopped: bool,
}

/// Pending stops of devices that left while they could not be stopped; written when the devices come back.
#[derive(Debug, Default)]
struct PendingStops {
    stops: HashMap<Address, (u64, Vec<Frame>)>,
    added: u64,
}

impl PendingStops {
    /// At the bound, the oldest entry is evicted, never-commanded devices first: strangers cannot push out a device
    /// that may be running.
    fn add(&mut self, address: Address, frames: Vec<Frame>) {
        if self.stops.len() >= PENDING_STOPS_MAX
            && !self.stops.contains_key(&address)
            && let Some(oldest) =
                (self.stops.iter()).min_by_key(|(_, (added, frames))| (!frames.is_empty(), *added))
        {
            let oldest = oldest.0.clone();
            self.stops.remove(&oldest);
        }
        self.added += 1;
        self.stops.insert(address, (self.added, frames));
    }

    fn take(&mut self, address: &Address) -> Option<Vec<Frame>> {
        self.stops.remove(address).map(|(_, frames)| frames)
    }
}

impl Registry {
    /// Admits a device. Of two connections with one address the newer wins: this asks the older one to end, and waits
    /// until its upstream half is gone.
    ///
    /// # Errors
    /// [`Refusal::Clash`] if the address changed hands [`TAKEOVER_LIMIT`] times within [`TAKEOVER_WINDOW`],
    /// [`Refusal::Replaced`] if a still newer connection arrived meanwhile.
    pub async fn admit(self: &Arc<Self>, handshake: Handshake, peer: Peer) -> Result<Entry, Refusal> {
        let connection = {
            let mut inner = lock(&self.inner);
            inner.connections += 1;
            ConnectionId(inner.connections)
        };
        let address = handshake.address.clone();
        loop {
            let released = {
                let mut inner = lock(&self.inner);
                let inner = &mut *inner;
                let Some(slot) = inner.sessions.get(&address) else {
                    return Ok(self.insert(inner, connection, handshake, peer));
                };
                if slot.handle.connection > connection {
                    return Err(Refusal::Replaced(address));
                }
                if !slot.handle.ending.load(Ordering::Relaxed) {
                    let times = inner.takeovers.of(&address);
                    if times.len() >= TAKEOVER_LIMIT {
                        return Err(Refusal::Clash(address));
                    }
                    times.push_back(Instant::now());
                }
                slot.handle.end(Disconnect::Replaced);
                slot.released.clone()
            };
            released.cancelled().await;
        }
    }

    fn insert(
        self: &Arc<Self>,
        inner: &mut Inner,
        connection: ConnectionId,
        handshake: Handshake,
        peer: Peer,
    ) -> Entry {
        let address = handshake.address.clone();
        // A device's websocket comes from another port each time.
        if !matches!(peer, Peer::Websocket(_)) {
            inner.last_at.insert(peer.clone(), address.clone());
        }
        let handle = Arc::new(SessionHandle {
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
            came_running: AtomicBool::new(false),
            limits: OnceLock::new(),
            awaits_limits: AtomicBool::new(false),
        });
        self.past.forget(address.as_str());
        let released = CancellationToken::new();
        let pending_stop = inner.pending_stops.take(&address);
        inner.sessions.insert(
            address,
            Slot {
                handle: handle.clone(),
                released: released.clone(),
            },
        );
        self.added.notify_waiters();
        handle
            .came_running
            .store(pending_stop.is_some(), Ordering::Relaxed);
        Entry {
            registry: self.clone(),
            handle,
            released,
            actuators: Actuators::default(),
            pending_stop,
            is_stopped: false,
        }
    }

    /// The pending stop of the board that was last at this place; empty if none is known. It stays pending.
    pub fn pending_stop_at(&self, peer: &Peer) -> Vec<Frame> {
        let inner = lock(&self.inner);
        let stop = inner
            .last_at
            .get(peer)
            .and_then(|address| inner.pending_stops.stops.get(address));
        stop.map(|(_, frames)| frames.clone()).unwrap_or_default()
    }

    /// The devices that left or were refused.
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// Records that a device was refused. A connected device of the same address hides the record.
    pub fn record_refusal(&self, identifier: &str, address: &str, peer: &Peer, why: &impl Advice) {
        self.past.record(PastDevice {
            address: address.to_owned(),
            identifier: identifier.to_owned(),
            peer: peer.to_string(),
            way: peer.way(),
            at: SystemTime::now(),
            reason: why.to_string(),
            hint: why.hint().map(Cow::into_owned),
            refused_times: 1,
            totals: Totals::default(),
        });
    }

    /// All current sessions.
    pub fn sessions(&self) -> Vec<Arc<SessionHandle>> {
        lock(&self.inner)
            .sessions
            .values()
            .map(|slot| slot.handle.clone())
            .collect()
    }

    /// The session of this device, if there is one.
    pub fn find(&self, address: &Address) -> Option<Arc<SessionHandle>> {
        let inner = lock(&self.inner);
        inner.sessions.get(address).map(|slot| slot.handle.clone())
    }

    /// Waits for a session of this device that is newer than `after`. Cancel safe.
    pub async fn next_session(&self, address: &Address, after: ConnectionId) -> Arc<SessionHandle> {
        loop {
            let mut added = std::pin::pin!(self.added.notified());
            // Enabled before the lookup, so that no newcomer slips in between lookup and wait.
            added.as_mut().enable();
            match self.find(address) {
                Some(session) if session.connection > after => return session,
                _ => added.await,
            }
        }
    }

    /// Asks all sessions to end.
    pub fn end_all(&self, why: impl Fn() -> Disconnect) {
        for session in self.sessions() {
            session.end(why());
        }
    }
}

impl Entry {
    /// The session as others see it.
    pub fn handle(&self) -> &Arc<SessionHandle> {
        &self.handle
    }

    /// Marks the device as perhaps running from before, so that its session stops it first.
    pub fn may_be_running(&mut self) {
        self.pending_stop.get_or_insert_default();
        self.handle.came_running.store(true, Ordering::Relaxed);
    }

    /// The stop of a device that may be running from before; empty if nothing is known to be set.
    pub fn pending_stop(&self) -> Option<&[Frame]> {
        self.pending_stop.as_deref()
    }

    /// Records a command that is about to be sent to the device.
    pub(crate) fn observe(&mut self, command: &Command, by: Controller) {
        self.actuators.observe(command);
        // A query takes nothing over.
        if *command != Command::Other {
            self.handle.ownership.commanded(by);
        }
        let is_on = self.actuators.is_on();
        // After a command that turns an output on, only another stop counts.
        self.is_stopped &= !is_on;
        self.handle.outputs_on.store(is_on, Ordering::Relaxed);
    }

    /// Records that the device sent something after its stop was written: it is alive, and the link works both ways.
    pub(crate) fn device_spoke(&mut self) {
        self.pending_stop = None;
    }

    /// Records that the device is stopped: no stop is pending until the next command.
    pub(crate) fn set_stopped(&mut self) {
        self.pending_stop = None;
        self.is_stopped = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = lock(&self.registry.inner);
        let address = &self.handle.handshake.address;
        // Unless the device is known to be stopped, its stop is pending; this holds after a panic too.
        if !self.is_stopped {
            let mut frames = self.pending_stop.take().unwrap_or_default();
            if self.actuators.was_commanded() {
                let stops = self.actuators.stop_frames();
                frames.retain(|frame| !stops.contains(frame));
                frames.extend(stops);
            }
            inner.pending_stops.add(address.clone(), frames);
        }
        if inner
            .sessions
            .get(address)
            .is_some_and(|slot| slot.handle.connection == self.handle.connection)
        {
            inner.sessions.remove(address);
            self.registry.past.record(PastDevice {
                address: address.as_str().to_owned(),
                identifier: self.handle.handshake.identifier.as_str().to_owned(),
                peer: self.handle.peer.to_string(),
                way: self.handle.peer.way(),
                at: SystemTime::now(),
                reason: (self.handle.tap.end_reason())
                    .unwrap_or_else(|| "a fault inside the gateway".to_owned()),
                hint: None,
                refused_times: 0,
                totals: self.handle.counters.totals(),
            });
        }
        drop(inner);
        self.handle.release_waiters();
        self.released.cancel();
    }
}

/// No code here panics while it holds a lock, and the guarded state is consistent between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    /// Adds one.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_to_device(&self, frame: &Frame) {
        Self::count(&self.to_device);
        self.bytes_to_device
            .fetch_add(frame.0.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_from_device(&self, frame: &Frame) {
        Self::count(&self.from_device);
        self.bytes_from_device
            .fetch_add(frame.0.len() as u64, Ordering::Relaxed);
    }

    /// The values now. Frames that pass meanwhile may be in some of them.
    pub fn totals(&self) -> Totals {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            to_device: value(&self.to_device),
            from_device: value(&self.from_device),
            dropped: value(&self.dropped),
            bytes_to_device: value(&self.bytes_to_device),
            bytes_from_device: value(&self.bytes_from_device),
        }
    }
}

/// A battery level that a device reported.
#[derive(Debug)]
pub struct Battery(AtomicU8);

impl Default for Battery {
    fn default() -> Self {
        Self(AtomicU8::new(Self::UNKNOWN))
    }
}

impl Battery {
    const UNKNOWN: u8 = u8::MAX;

    /// Records a level in percent; one over 100 is none.
    pub(crate) fn report(&self, percent: u8) {
        let level = if percent <= 100 { percent } else { Self::UNKNOWN };
        self.0.store(level, Ordering::Relaxed);
    }

    /// The level in percent, if any was reported.
    pub fn percent(&self) -> Option<u8> {
        let level = self.0.load(Ordering::Relaxed);
        (level != Self::UNKNOWN).then_some(level)
    }
}

#[cfg(test)]
mod tests;
