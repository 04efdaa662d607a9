//! The edges that one connection carries, and which of their devices to claim.

mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, info};

use super::line::{EdgeLine, Heard, STOPPED_AFTER};
use super::link::Inbox;
use crate::device::fleet::beats::Beat;
use crate::device::fleet::clock::Epoch;
use crate::device::fleet::documents::{Birth, CLAIM_MAX, EdgeState, Owner};
use crate::device::fleet::header::Header;
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::rank::ranked;
use crate::device::handshake::Address;

/// An edge that was not heard for this long is gone, as far as apps are concerned.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// Between two claims of the same device.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);
/// How much longer than the hub before it in the order a hub waits for a free device.
const RANK_DELAY: Duration = Duration::from_millis(750);
/// A device that was refused is claimed again after this time: another one may have had its address.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// Edges of a connection at most. A stranger's states cost no more than this.
const EDGES_MAX: usize = 4_096;
/// Devices of an edge at most. A stranger's births cost no more than this.
const DEVICES_MAX: usize = 4_096;
/// What the devices of all edges of a connection may cost in bytes, by their births: a hundred thousand usual ones.
const DEVICES_MAX_BYTES: usize = 64 << 20;
/// What a device costs besides its birth.
const DEVICE_BYTES: usize = 256;
/// The most that [`RANK_DELAY`] is waited for. More hubs are hardly there, and the edge settles who comes first.
const RANK_MAX: u32 = 4;

/// The edges of a connection.
#[derive(Default)]
pub(super) struct Edges {
    edges: HashMap<Name, Edge>,
    refusals: Refusals,
    /// What all devices cost.
    device_bytes: usize,
}

struct Edge {
    line: Arc<EdgeLine>,
    state: Option<EdgeState>,
    devices: HashMap<DeviceId, Device>,
    /// Whether this hub has devices of the edge, or wants some: only then it answers beats.
    takes_part: bool,
    /// Whether it was found silent since it was last heard.
    is_silent: bool,
}

#[derive(Default)]
struct Device {
    birth: Option<Birth>,
    /// What it costs.
    bytes: usize,
    owner: Option<Owner>,
    /// When its edge was last seen to end a session of it: it has no owner since, or another session.
    ended_at: Option<Instant>,
    /// Since when nobody who is there owns it.
    free_since: Option<Instant>,
    claimed_at: Option<Instant>,
    /// The session of this hub.
    inbox: Option<Arc<Inbox>>,
    refused_at: Option<Instant>,
    /// Whether its birth came with the present connection.
    is_confirmed: bool,
}

/// A device that an edge granted to this hub.
pub(super) struct Granted {
    pub(super) line: Arc<EdgeLine>,
    pub(super) device: DeviceId,
    pub(super) birth: Birth,
    pub(super) inbox: Arc<Inbox>,
}

/// The devices that sessions were refused, until the connection learns of them.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<Mutex<Vec<(Name, DeviceId)>>>);

impl Refusals {
    pub(super) fn add(&self, edge: Name, device: DeviceId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((edge, device));
    }

    fn take(&self) -> Vec<(Name, DeviceId)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Edges {
    pub(super) fn has(&self, edge: &Name) -> bool {
        self.edges.contains_key(edge)
    }

    /// Whether no other edge is taken.
    pub(super) fn is_full(&self) -> bool {
        self.edges.len() >= EDGES_MAX
    }

    pub(super) fn add(&mut self, line: Arc<EdgeLine>) {
        let edge = Edge {
            line: line.clone(),
            state: None,
            devices: HashMap::new(),
            takes_part: false,
            is_silent: false,
        };
        self.edges.insert(line.edge.clone(), edge);
    }

    pub(super) fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// A device of this edge cannot be a session.
    pub(super) fn refused(&mut self, edge: &Name, device: &DeviceId) {
        if let Some(edge) = self.edges.get_mut(edge)
            && let Some(known) = edge.devices.get_mut(device)
        {
            known.refused_at = Some(Instant::now());
            known.inbox = None;
            edge.line.give_back(device);
        }
    }

    /// What was refused may be welcome now.
    pub(super) fn admit_again(&mut self) {
        for device in self.edges.values_mut().flat_map(|edge| edge.devices.values_mut()) {
            device.refused_at = None;
            device.claimed_at = None;
        }
    }

    /// The state of an edge; `None` if it is empty or unreadable. Returns whether the edge is there, if that is news.
    pub(super) fn state(&mut self, name: &Name, state: Option<EdgeState>) -> Option<bool> {
        let edge = self.edges.get_mut(name)?;
        let was_online = edge.state.as_ref().is_some_and(|state| state.online);
        let is_online = state.as_ref().is_some_and(|state| state.online);
        edge.state = state;
        edge.end_stale();
        (was_online != is_online).then_some(is_online)
    }

    /// A connection was made: what the broker keeps comes again, and what it does not keep any more has to go.
    pub(super) fn connected(&mut self) {
        for device in self.edges.values_mut().flat_map(|edge| edge.devices.values_mut()) {
            device.is_confirmed = false;
            device.owner = None;
        }
    }

    /// Lets go of the devices whose birth did not come with the present connection, and of the sessions of those that this
    /// hub does not own any more.
    pub(super) fn end_forgotten(&mut self) {
        for edge in self.edges.values_mut() {
            edge.devices.retain(|_, device| {
                let is_ours = device.is_confirmed && device.owner.is_some();
                if !is_ours && let Some(inbox) = device.inbox.take() {
                    inbox.end("the edge has taken the device back");
                    device.claimed_at = None;
                }
                if !device.is_confirmed {
                    self.device_bytes -= device.bytes;
                }
                device.is_confirmed
            });
        }
    }

    /// The device, if its edge has stopped it since the lease of this hub was over.
    pub(super) fn lapsed(
        &self,
        name: &Name,
        id: &DeviceId,
        owner: Option<&Owner>,
        (us, epoch): (&Name, Epoch),
    ) -> Option<Address> {
        let owner = owner.filter(|owner| owner.lapsed && owner.hub == *us && owner.hub_epoch == epoch)?;
        let device = self.edges.get(name)?.devices.get(id)?;
        let inbox = device.inbox.as_ref()?;
        (inbox.session() == owner.session).then(|| Address::new(&device.birth.as_ref()?.address).ok())?
    }

    /// A device of an edge; `None` if it is gone. `bytes` is the size of what came.
    ///
    /// # Errors
    /// Why it is ignored, in one line.
    pub(super) fn birth(
        &mut self,
        name: &Name,
        id: DeviceId,
        birth: Option<Birth>,
        bytes: usize,
    ) -> Result<(), String> {
        let Some(edge) = self.edges.get_mut(name) else {
            return Ok(());
        };
        let Some(birth) = birth else {
            if let Some(device) = edge.devices.remove(&id) {
                self.device_bytes -= device.bytes;
                if let Some(inbox) = device.inbox {
                    inbox.end("the device left its edge");
                }
            }
            return Ok(());
        };
        let known = edge.devices.get(&id);
        if known.is_none() && edge.devices.len() >= DEVICES_MAX {
            return Err(format!(
                "a device of the edge {name} is ignored: it has {DEVICES_MAX} others"
            ));
        }
        let others = self.device_bytes - known.map_or(0, |device| device.bytes);
        let bytes = DEVICE_BYTES + bytes;
        if others + bytes > DEVICES_MAX_BYTES {
            return Err(format!(
                "a device of the edge {name} is ignored: what is known of the others is too large"
            ));
        }
        self.device_bytes = others + bytes;
        let device = edge.devices.entry(id).or_default();
        device.bytes = bytes;
        device.is_confirmed = true;
        // An edge publishes what it published before, after each connection.
        if device.birth.as_ref() != Some(&birth) {
            device.refused_at = None;
            device.claimed_at = None;
            device.birth = Some(birth);
        }
        edge.end_stale();
        Ok(())
    }

    /// Who owns a device; `None` if it is free. Returns what is to become a session of this hub.
    pub(super) fn owner(
        &mut self,
        name: &Name,
        id: DeviceId,
        owner: Option<Owner>,
        (us, epoch): (&Name, Epoch),
    ) -> Option<Granted> {
        let edge = self.edges.get_mut(name)?;
        // An owner may come before the birth.
        if !edge.devices.contains_key(&id) {
            let others = self.device_bytes;
            if owner.is_none()
                || edge.devices.len() >= DEVICES_MAX
                || others + DEVICE_BYTES > DEVICES_MAX_BYTES
            {
                return None;
            }
            self.device_bytes += DEVICE_BYTES;
        }
        let device = edge.devices.entry(id.clone()).or_insert_with(|| Device {
            bytes: DEVICE_BYTES,
            ..Device::default()
        });
        if owner.is_none() && device.birth.is_none() {
            self.device_bytes -= device.bytes;
            edge.devices.remove(&id);
            return None;
        }
        let session_of = |owner: &Option<Owner>| owner.as_ref().map(|owner| owner.session);
        if owner.is_none() || session_of(&owner) != session_of(&device.owner) {
            device.ended_at = Some(Instant::now());
        }
        let is_ours = |owner: &Owner| owner.hub == *us && owner.hub_epoch == epoch;
        let session = owner
            .as_ref()
            .filter(|owner| is_ours(owner))
            .map(|owner| owner.session);
        device.owner = owner;
        if let Some(inbox) = &device.inbox {
            if session == Some(inbox.session()) {
                return None;
            }
            inbox.end("the edge gave the device to another session");
            device.inbox = None;
        }
        // What was not asked for is given back when the hub next looks.
        device.claimed_at?;
        let birth = device.birth.clone()?;
        let inbox = Inbox::new(session?);
        device.inbox = Some(inbox.clone());
        Some(Granted {
            line: edge.line.clone(),
            device: id,
            birth,
            inbox,
        })
    }

    /// A beat of an edge. Returns the devices over which control was lost.
    pub(super) fn beat(&mut self, name: &Name, payload: &[u8]) -> Vec<Address> {
        let Some(edge) = self.edges.get_mut(name) else {
            return Vec::new();
        };
        let Some(beat) = Beat::read(payload) else {
            debug!("a beat of {name} is ignored: it is none");
            return Vec::new();
        };
        // The clock of another process than the one whose devices are known.
        if edge.state.as_ref().is_none_or(|state| state.epoch != beat.epoch) {
            return Vec::new();
        }
        let running = edge.running();
        let lost = match edge.line.heard(&beat, !running.is_empty()) {
            Heard::Old => return Vec::new(),
            Heard::Live => Vec::new(),
            // It was found silent before.
            Heard::Returning if edge.is_silent => return Vec::new(),
            // The hub itself was suspended.
            Heard::Returning => {
                edge.is_silent = true;
                return running;
            }
            // By what was dropped meanwhile the server has a wrong idea of its devices.
            Heard::Resumed => running,
        };
        edge.is_silent = false;
        if edge.takes_part {
            edge.line.answer();
        }
        lost
    }

    /// The connection is lost, and the broker tells the edges. Returns the devices over which control was lost.
    pub(super) fn cut_off(&mut self) -> Vec<Address> {
        let mut lost = Vec::new();
        for edge in self.edges.values_mut().filter(|edge| !edge.is_silent) {
            edge.is_silent = true;
            edge.line.silent();
            lost.extend(edge.running());
        }
        lost
    }

    /// A frame of a device.
    ///
    /// # Errors
    /// Why it is ignored, in one line.
    pub(super) fn frame(&mut self, name: &Name, id: &DeviceId, payload: &Bytes) -> Result<(), String> {
        let Some(edge) = self.edges.get_mut(name) else {
            return Ok(());
        };
        let Some(inbox) = edge.devices.get(id).and_then(|device| device.inbox.as_ref()) else {
            return Ok(());
        };
        let read = Header::read(payload);
        let (header, frame) = read.map_err(|e| format!("a frame of {name}/{id} is ignored: {e}"))?;
        if inbox.arrived(&header, frame) {
            edge.line.frame_arrived();
        }
        Ok(())
    }

    /// Ends the sessions of edges that are not heard for long. Returns the devices whose edges were found silent just now.
    pub(super) fn look_for_silence(&mut self) -> Vec<Address> {
        let mut silent = Vec::new();
        for (name, edge) in &mut self.edges {
            let has_sessions = edge.devices.values().any(Device::is_running);
            let Some(unheard) = edge.line.unheard_for().filter(|_| has_sessions) else {
                continue;
            };
            if unheard >= STOPPED_AFTER && !edge.is_silent {
                edge.is_silent = true;
                info!("the edge {name} is not heard any more: it has stopped its devices");
                edge.line.silent();
                silent.extend(edge.running());
            }
            if unheard >= GONE_AFTER {
                for device in edge.devices.values_mut() {
                    if let Some(inbox) = device.inbox.take() {
                        inbox.end("its edge is not heard any more");
                        device.claimed_at = None;
                    }
                }
            }
        }
        silent
    }

    /// Claims the devices that this hub should have, and gives back those that it has without a session.
    pub(super) fn claim(&mut self, us: &Name, epoch: Epoch, hubs: &HashSet<Name>, taken: &HashSet<DeviceId>) {
        for (name, device) in self.refusals.take() {
            if let Some(edge) = self.edges.get_mut(&name)
                && let Some(device) = edge.devices.get_mut(&device)
            {
                device.refused_at = Some(Instant::now());
            }
        }
        for (name, edge) in &mut self.edges {
            let Some(state) = edge.state.as_ref().filter(|state| state.online) else {
                edge.takes_part = false;
                continue;
            };
            let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
            let mut takes_part = false;
            for (id, device) in &mut edge.devices {
                if device.is_running() {
                    takes_part = true;
                    continue;
                }
                device.inbox = None;
                let Some(birth) = device.birth.as_ref().filter(|birth| birth.epoch == state.epoch) else {
                    continue;
                };
                let is_ours = |owner: &Owner| owner.hub == *us && owner.hub_epoch == epoch;
                if device.owner.as_ref().is_some_and(is_ours) && !was_within(device.claimed_at, CLAIM_AGAIN) {
                    unwanted.push(id.clone());
                    device.claimed_at = Some(Instant::now());
                    continue;
                }
                let is_barred = was_within(device.refused_at, REFUSED_FOR) || taken.contains(id);
                let is_owned = device
                    .owner
                    .as_ref()
                    .is_some_and(|owner| !owner.lapsed && !is_ours(owner));
                if is_barred || is_owned {
                    device.free_since = None;
                    continue;
                }
                let free_since = *device.free_since.get_or_insert_with(Instant::now);
                let Some(rank) = rank(us, name, birth, device.owner.as_ref(), hubs) else {
                    continue;
                };
                if free_since.elapsed() < RANK_DELAY * rank.min(RANK_MAX) {
                    continue;
                }
                takes_part = true;
                if !was_within(device.claimed_at, CLAIM_AGAIN) && wanted.len() < CLAIM_MAX / 2 {
                    device.claimed_at = Some(Instant::now());
                    wanted.push(id.clone());
                }
            }
            unwanted.truncate(CLAIM_MAX / 2);
            edge.takes_part = takes_part;
            if !wanted.is_empty() || !unwanted.is_empty() {
                edge.line.claim(wanted, unwanted);
            }
        }
    }
}

impl Edge {
    /// The devices that have sessions of this hub.
    fn running(&self) -> Vec<Address> {
        let running = self.devices.values().filter(|device| device.is_running());
        running
            .filter_map(|device| Address::new(&device.birth.as_ref()?.address).ok())
            .collect()
    }

    /// Ends the sessions of devices that are not there: their edge is gone, or is another process now.
    fn end_stale(&mut self) {
        let epoch = self
            .state
            .as_ref()
            .filter(|state| state.online)
            .map(|state| state.epoch);
        for device in self.devices.values_mut() {
            let is_there = device
                .birth
                .as_ref()
                .is_some_and(|birth| Some(birth.epoch) == epoch);
            if !is_there && let Some(inbox) = device.inbox.take() {
                inbox.end("its edge is gone");
                device.claimed_at = None;
            }
        }
    }
}

impl Device {
    fn is_running(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| !inbox.is_over())
    }
}

fn was_within(at: Option<Instant>, time: Duration) -> bool {
    at.is_some_and(|at| at.elapsed() < time)
}

/// How many hubs should claim this device before this one; `None` if this one may not.
fn rank(us: &Name, edge: &Name, birth: &Birth, owner: Option<&Owner>, hubs: &HashSet<Name>) -> Option<u32> {
    // A hub whose lease is over is not there, whatever its state says.
    let is_there =
        |hub: &&Name| hubs.contains(*hub) && owner.is_none_or(|owner| owner.hub != **hub || **hub == *us);
    let order: Vec<&Name> = match &birth.hubs[..] {
        [] => ranked(edge, hubs.iter().filter(is_there)),
        configured => configured.iter().filter(is_there).collect(),
    };
    let place = order.iter().position(|hub| *hub == us)?;
    u32::try_from(place).ok()
}
