//! Which sessions exist. The only shared state: sessions register here, and whoever displays or stops reads it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::defaults::{INJECT_QUEUE, PENDING_STOPS_MAX, TAKEOVER_LIMIT, TAKEOVER_WINDOW};
use crate::device::frame::{Frame, Outgoing, Receipt};
use crate::device::handshake::{Address, Handshake};
use crate::device::language::{Actuators, Command};
use crate::device::peer::{ConnectionId, Peer};
use crate::device::refusal::Refusal;
use crate::session::ends::Disconnect;
use crate::session::ownership::{Controller, Ownership};
use crate::session::tap::{Tap, Watcher};

/// Frames that a session passed on, and those it could not.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames written to the device.
    pub to_device: AtomicU64,
    /// Frames that the device sent.
    pub from_device: AtomicU64,
    /// Frames of the device that were dropped, the oldest first, because upstream did not keep up.
    pub dropped: AtomicU64,
}

/// A session as others see it: who it is, its counters, and what they may ask of it.
#[derive(Debug)]
pub struct SessionHandle {
    /// Which connection.
    pub connection: ConnectionId,
    /// Which device.
    pub handshake: Handshake,
    /// Where it came from.
    pub peer: Peer,
    /// Its frames.
    pub counters: Counters,
    pub(crate) tap: Tap,
    orders: Mutex<Orders>,
    waker: AtomicWaker,
    /// The device is gone; what is left is to tell upstream.
    ending: AtomicBool,
    ownership: Ownership,
    /// An output of the device may be on.
    pub(crate) outputs_on: AtomicBool,
    /// The device may have been running when it came.
    pub(crate) came_running: AtomicBool,
}

#[derive(Debug, Default)]
struct Orders {
    stops: VecDeque<(Receipt, bool)>,
    end: Option<Disconnect>,
    injected: VecDeque<Injected>,
    /// Nobody looks at orders any more.
    over: bool,
}

/// A frame for the device that did not come from upstream, and the receipt for it.
#[derive(Debug)]
struct Injected {
    frame: Frame,
    receipt: Receipt,
    by: Controller,
}

/// Why a frame was not written to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// The device takes them more slowly than they come.
    #[error("{INJECT_QUEUE} frames wait for the device already")]
    Busy,
    /// The session ended first.
    #[error("the device went before it took the frame")]
    Gone,
}

/// What a session was asked to do.
pub(crate) enum Order {
    /// Write the stop now.
    Stop {
        receipt: Receipt,
        /// Upstream does not know of it.
        tell_upstream: bool,
    },
    /// Write this frame, which came from this controller.
    Inject(Outgoing, Controller),
    /// End, and say why.
    End(Disconnect),
}

impl SessionHandle {
    /// Asks the session to end. The first reason given wins.
    pub fn end(&self, why: Disconnect) {
        lock(&self.orders).end.get_or_insert(why);
        self.waker.wake();
    }

    /// Has the session write the device's stop ahead of all else; done when it is written or the session is over.
    /// Dropping the future does not take the order back.
    pub async fn stop_outputs(&self) {
        let (done, written) = oneshot::channel();
        self.push_stop(done, false);
        // An error means that the session dropped the sender: it is over, and wrote its stop bytes at the end.
        let _ = written.await;
    }

    /// A controller leaves: if nobody else commanded the device since, it is stopped.
    pub fn release(&self, controller: Controller) {
        if self.ownership.is_of(controller) {
            let (done, _) = oneshot::channel();
            self.push_stop(done, true);
        }
    }

    fn push_stop(&self, done: Receipt, tell_upstream: bool) {
        let mut orders = lock(&self.orders);
        if !orders.over {
            orders.stops.push_back((done, tell_upstream));
        }
        drop(orders);
        self.waker.wake();
    }

    /// Has the session write one frame to the device, like one from upstream; done when it is written. Dropping
    /// the future takes the frame back, unless it is being written: a stop that is ordered then comes after it.
    ///
    /// # Errors
    /// [`InjectError::Busy`] when [`INJECT_QUEUE`] frames wait, [`InjectError::Gone`] when the session is over.
    pub async fn inject(&self, frame: Frame, by: Controller) -> Result<(), InjectError> {
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

    /// Watches the session's frames from now on.
    pub fn watch(self: &Arc<Self>) -> Watcher {
        Watcher::new(self.clone())
    }

    /// The next order: stops before the end, the end before frames. Only the session itself asks. Cancel safe.
    pub(crate) async fn next_order(&self) -> Order {
        std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            let mut orders = lock(&self.orders);
            if let Some((receipt, tell_upstream)) = orders.stops.pop_front() {
                return Poll::Ready(Order::Stop {
                    receipt,
                    tell_upstream,
                });
            }
            if let Some(why) = orders.end.take() {
                return Poll::Ready(Order::End(why));
            }
            match orders.take_injected() {
                Some(Injected { frame, receipt, by }) => {
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

    /// Whether the session was asked to end; for while it waits for something that an end need not wait for. Only
    /// the session itself polls this.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Disconnect> {
        self.waker.register(cx.waker());
        match lock(&self.orders).end.take() {
            Some(why) => Poll::Ready(why),
            None => Poll::Pending,
        }
    }

    /// Whoever comes now takes nothing over: the device is gone. Only the session itself says so.
    pub(crate) fn set_ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Lets go of everybody who waits for the session or watches it: it is over.
    pub(crate) fn release_waiters(&self) {
        let mut orders = lock(&self.orders);
        orders.over = true;
        orders.stops.clear();
        orders.injected.clear();
        drop(orders);
        self.tap.end(None);
    }
}

impl Orders {
    /// The next frame that its sender still waits for.
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
    came: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    connections: u64,
    sessions: HashMap<Address, Slot>,
    /// When an address changed hands lately; only for addresses that did.
    takeovers: Takeovers,
    pending_stops: PendingStops,
}

/// Addresses whose takeovers are kept, old or not.
const FEW_TAKEOVERS: usize = 64;

#[derive(Debug, Default)]
struct Takeovers {
    times: HashMap<Address, VecDeque<Instant>>,
    /// How many were left when the old ones were forgotten last.
    kept: usize,
}

impl Takeovers {
    /// When this address changed hands lately.
    ///
    /// The old times of other addresses are forgotten each time that they have doubled: after a Wi-Fi router's
    /// restart every device takes its own address over, and to look at all of them for each would take the square of
    /// their number.
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
    /// Cancelled when the session has let go of the address, its upstream half included.
    released: CancellationToken,
}

/// A session's place in the registry. Dropping it, in a panic too, frees the address and remembers whether the device
/// still has to be stopped.
#[derive(Debug)]
pub struct Entry {
    registry: Arc<Registry>,
    handle: Arc<SessionHandle>,
    released: CancellationToken,
    /// What was seen set on the device, and so what stops it.
    pub actuators: Actuators,
    /// The device may be running from before: what stops it, empty if nothing was seen set.
    pending_stop: Option<Vec<Frame>>,
    /// The device is known to have been stopped since.
    is_stopped: bool,
}

/// Devices that went while they could not be stopped, with what stops them. They are stopped when they come back.
#[derive(Debug, Default)]
struct PendingStops {
    stops: HashMap<Address, (u64, Vec<Frame>)>,
    added: u64,
}

impl PendingStops {
    /// Past the bound the one that went longest ago is forgotten, of those that were never commanded first: strangers
    /// who come and go cannot push out a device that may be running.
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
    /// Finds a place for a device. The newer of two connections with one address wins: the older one is asked
    /// to end, and this waits until its upstream half is gone.
    ///
    /// # Errors
    /// [`Refusal::Clash`] when the address changed hands [`TAKEOVER_LIMIT`] times within [`TAKEOVER_WINDOW`],
    /// [`Refusal::Replaced`] when a still newer connection came meanwhile.
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
        let handle = Arc::new(SessionHandle {
            connection,
            handshake,
            peer,
            counters: Counters::default(),
            tap: Tap::default(),
            orders: Mutex::default(),
            waker: AtomicWaker::new(),
            ending: AtomicBool::new(false),
            ownership: Ownership::default(),
            outputs_on: AtomicBool::new(false),
            came_running: AtomicBool::new(false),
        });
        let released = CancellationToken::new();
        let pending_stop = inner.pending_stops.take(&address);
        inner.sessions.insert(
            address,
            Slot {
                handle: handle.clone(),
                released: released.clone(),
            },
        );
        self.came.notify_waiters();
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

    /// Every session, as it is now.
    pub fn sessions(&self) -> Vec<Arc<SessionHandle>> {
        lock(&self.inner)
            .sessions
            .values()
            .map(|slot| slot.handle.clone())
            .collect()
    }

    /// The session of that device, where there is one.
    pub fn find(&self, address: &Address) -> Option<Arc<SessionHandle>> {
        let inner = lock(&self.inner);
        inner.sessions.get(address).map(|slot| slot.handle.clone())
    }

    /// Waits for a session of that device that is newer than `after`. Cancel safe.
    pub async fn next_session(&self, address: &Address, after: ConnectionId) -> Arc<SessionHandle> {
        loop {
            let mut came = std::pin::pin!(self.came.notified());
            // From here on a newcomer is noticed, so that none slips in between the look and the wait.
            came.as_mut().enable();
            match self.find(address) {
                Some(session) if session.connection > after => return session,
                _ => came.await,
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

    /// The device may be running from before: its session stops it first.
    pub fn may_be_running(&mut self) {
        self.pending_stop.get_or_insert_default();
        self.handle.came_running.store(true, Ordering::Relaxed);
    }

    /// What stops the device, if it may be running from before; empty if nothing was seen set on it.
    pub fn pending_stop(&self) -> Option<&[Frame]> {
        self.pending_stop.as_deref()
    }

    /// A command is on its way to the device.
    pub(crate) fn observe(&mut self, command: &Command, by: Controller) {
        self.actuators.observe(command);
        self.handle.ownership.commanded(by);
        let is_on = self.actuators.is_on();
        // Not known to be stopped until it is stopped again.
        self.is_stopped &= !is_on;
        self.handle.outputs_on.store(is_on, Ordering::Relaxed);
    }

    /// The device is known to be stopped: nothing is pending, unless it is commanded again.
    pub(crate) fn set_stopped(&mut self) {
        self.pending_stop = None;
        self.is_stopped = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = lock(&self.registry.inner);
        let address = &self.handle.handshake.address;
        // Also after a panic: unless it is known that the device was stopped, it is stopped when it comes back.
        if !self.is_stopped {
            let frames = if self.actuators.was_commanded() {
                self.actuators.stop_frames()
            } else {
                self.pending_stop.take().unwrap_or_default()
            };
            inner.pending_stops.add(address.clone(), frames);
        }
        if inner
            .sessions
            .get(address)
            .is_some_and(|slot| slot.handle.connection == self.handle.connection)
        {
            inner.sessions.remove(address);
        }
        drop(inner);
        self.handle.release_waiters();
        self.released.cancel();
    }
}

/// No code here panics while it holds a lock, and what the locks guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    /// One more.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
