//! Which sessions exist. The only shared state: sessions register here; pages, commands and shutdown read it.

mod counters;
mod handle;
mod pending;
mod takeovers;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::advice::Advice;
use crate::defaults::TAKEOVER_LIMIT;
use crate::device::frame::Frame;
use crate::device::handshake::{Address, Handshake};
use crate::device::language::{Actuators, Command};
use crate::device::peer::{ConnectionId, Peer};
use crate::device::refusal::Refusal;
use crate::session::ends::Disconnect;
use crate::session::ownership::Controller;
use crate::session::past::{Past, PastDevice};
use crate::session::unidentified::{Boards, Unidentified};
pub use counters::{Battery, Counters, Refused, Totals};
pub(crate) use handle::Order;
pub use handle::{InjectError, SessionHandle};
use pending::PendingStops;
use takeovers::Takeovers;

/// Sessions by address.
#[derive(Debug, Default)]
pub struct Registry {
    inner: Mutex<Inner>,
    added: Notify,
    past: Arc<Past>,
    pub(super) unidentified: Arc<Boards>,
    /// The sessions of boards whose devices come back to this gateway through a broker, if there are such.
    beside: OnceLock<Arc<Registry>>,
}

#[derive(Debug, Default)]
struct Inner {
    connections: u64,
    sessions: HashMap<Address, Slot>,
    /// Recent takeovers, by address.
    takeovers: Takeovers,
    pending_stops: PendingStops,
    /// Devices that an earlier process may have left running, and that have not come since.
    left_running: HashSet<Address>,
    /// The address of the board that was last behind a port, a URL or a Bluetooth address of an entry. Entries are few.
    last_at: HashMap<Peer, Address>,
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
    /// Whether an earlier process may have left the device running.
    pub(crate) was_left_running: bool,
    /// Whether the device is known to have been stopped since.
    is_stopped: bool,
}

impl Registry {
    /// The registry of the boards whose devices come back to this gateway through a broker. It shares with this one what is
    /// known of boards that are no sessions.
    pub fn beside(&self) -> Arc<Self> {
        let beside = || {
            Arc::new(Self {
                past: self.past.clone(),
                unidentified: self.unidentified.clone(),
                ..Self::default()
            })
        };
        self.beside.get_or_init(beside).clone()
    }

    /// The sessions of the registry beside this one.
    pub fn sessions_beside(&self) -> Vec<Arc<SessionHandle>> {
        self.beside
            .get()
            .map(|beside| beside.sessions())
            .unwrap_or_default()
    }

    /// Admits a device. Of two connections with one address the newer wins: this asks the older one to end, and waits
    /// until its upstream half is gone.
    ///
    /// # Errors
    /// [`Refusal::Clash`] if the address changed hands [`TAKEOVER_LIMIT`] times within [`TAKEOVER_WINDOW`](crate::defaults::TAKEOVER_WINDOW),
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
        // A device's websocket comes from another port each time, and an edge has many devices.
        if !matches!(
            peer,
            Peer::Websocket(_) | Peer::SecureWebsocket(_) | Peer::Broker(_)
        ) {
            inner.last_at.insert(peer.clone(), address.clone());
        }
        let was_left_running = inner.left_running.remove(&address);
        let pending_stop = inner.pending_stops.take(&address);
        let handle = SessionHandle::new(connection, handshake, peer, pending_stop.is_some());
        let handle = Arc::new(handle);
        self.past.remove(address.as_str());
        let released = CancellationToken::new();
        inner.sessions.insert(
            address,
            Slot {
                handle: handle.clone(),
                released: released.clone(),
            },
        );
        self.added.notify_waiters();
        let mut entry = Entry {
            registry: self.clone(),
            handle,
            released,
            actuators: Actuators::default(),
            pending_stop,
            was_left_running,
            is_stopped: false,
        };
        if was_left_running {
            entry.may_be_running();
        }
        entry
    }

    /// Records that the devices of these addresses were commanded in an earlier process, which may have been killed: the first session of
    /// each stops it first.
    pub fn left_running(&self, addresses: &[String]) {
        let devices = addresses.iter().filter_map(|address| Address::new(address).ok());
        lock(&self.inner).left_running.extend(devices);
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
    pub fn record_refusal(&self, identifier: &str, address: &str, peer: &Peer, why: &Refusal) {
        self.past.record(PastDevice {
            address: address.to_owned(),
            identifier: identifier.to_owned(),
            peer: peer.to_string(),
            way: peer.way(),
            at: SystemTime::now(),
            reason: why.to_string(),
            hint: why.hint().map(Cow::into_owned),
            refusal: Some(why.clone()),
            refused_times: 1,
            totals: Totals::default(),
        });
    }

    /// The boards that the gateway has a link to, and does not know yet. A board that becomes a session leaves this list
    /// after it has entered that of the sessions.
    pub fn unidentified(&self) -> Vec<Arc<Unidentified>> {
        self.unidentified.all()
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
    pub(crate) fn observe(&mut self, frame: &Frame, command: &Command, by: Controller) {
        // A query takes nothing over.
        if self.actuators.observe(frame, command) {
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
                refusal: None,
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

#[cfg(test)]
mod tests;
