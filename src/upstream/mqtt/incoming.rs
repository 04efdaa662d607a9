//! What comes from the broker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, error, warn};

use super::device::{Device, OwnerChange};
use super::hub::Hub;
use super::{Connection, Edge, Shared};
use crate::defaults::FLEET_YIELD_FOR;
use crate::device::fleet::beats::LeaseBeat;
use crate::device::fleet::clock::{Epoch, Millis};
use crate::device::fleet::documents::{self, CLAIM_MAX, Claim, EdgeState, HubState};
use crate::device::fleet::gate::LEASE_MS;
use crate::device::fleet::header::{Header, Kind};
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::topics::Topic;
use crate::net::bus::Message;

/// Hubs that an edge keeps account of.
const HUBS_MAX: usize = 64;
/// Sessions whose hub is remembered.
const SESSIONS_MAX: usize = 4_096;

impl Shared {
    /// A hub of which nothing is known yet; `None` if too many are there.
    fn add_hub(&mut self, name: &Name, epoch: Epoch, now: Millis) -> Option<Arc<Hub>> {
        if self.hubs.len() >= HUBS_MAX {
            let owns = |hub: &Hub| self.devices.values().any(|device| device.is_owned_by(hub));
            self.hubs.retain(|_, hub| hub.lease().is_live(now) || owns(hub));
        }
        if self.hubs.len() >= HUBS_MAX {
            return None;
        }
        let hub = Arc::new(Hub::new(name.clone(), epoch));
        self.hubs.insert(name.clone(), hub.clone());
        Some(hub)
    }

    /// A session of this hub begins.
    fn begun(&mut self, session: u32, hub: &Arc<Hub>) {
        if self.sessions.back().is_some_and(|(newest, _)| *newest == session) {
            return;
        }
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.pop_front();
        }
        self.sessions.push_back((session, hub.clone()));
    }
}

impl Edge {
    /// Returns for how long the edge stays away, if it is to leave.
    pub(super) fn message(&self, message: Message, connection: &mut Connection) -> Option<Duration> {
        let topic = self.settings.broker.topics.read(&message.topic)?;
        let is_command = !matches!(
            topic,
            Topic::EdgeState(_) | Topic::Birth(..) | Topic::Owner(..) | Topic::HubState(_)
        );
        if is_command && message.retain {
            // It would come again with each connection.
            self.faults.warn(format!(
                "a retained message on {} is ignored, since it is a command: remove it with mosquitto_pub -t {} -r -n",
                message.topic, message.topic
            ));
            return None;
        }
        match topic {
            Topic::EdgeState(_) => return self.own_state(&message, connection),
            Topic::Birth(_, id) => {
                let is_ours = |device: &Device| device.is_born_by(self, &message.payload);
                connection.births.came |= self.retained(id, connection, &message, is_ours);
            }
            Topic::Owner(_, id) => {
                let is_ours = |device: &Device| {
                    let owner = device.owner().as_ref().map(documents::write).unwrap_or_default();
                    owner.as_bytes() == message.payload
                };
                connection.owners.came |= self.retained(id, connection, &message, is_ours);
            }
            Topic::Claim(_) => match documents::read::<Claim>(&message.payload) {
                Ok(claim) => self.claim(&claim),
                Err(e) => self.faults.warn(format!("a claim is ignored: {e}")),
            },
            Topic::Lease(_, hub) => match LeaseBeat::read(&message.payload) {
                Some(beat) => self.lease(&hub, &beat),
                None => self
                    .faults
                    .warn(format!("a lease of {hub} is ignored: it is none")),
            },
            Topic::Down(_, device) | Topic::Stop(_, device) => {
                self.frame(device, &message.payload, connection)
            }
            Topic::HaltDevice(_, device) => {
                let device = self.shared().devices.get(&device).cloned();
                if let Some(device) = device {
                    let address = &device.handle.handshake.address;
                    self.news.warn(format!("{address} is halted through the broker"));
                    device.halt(self);
                    self.publish_owner(&device);
                }
            }
            Topic::HaltEdge(_) | Topic::HaltAll => {
                if topic == Topic::HaltAll {
                    self.halt.came();
                }
                self.news.warn("all devices are halted through the broker");
                for device in self.devices() {
                    device.halt(self);
                    self.publish_owner(&device);
                }
            }
            Topic::HubState(hub) => {
                // A state that is empty or unreadable says nothing; its lease does.
                if let Ok(state) = documents::read::<HubState>(&message.payload)
                    && !state.online
                {
                    self.hub_left(&hub, &state);
                }
            }
            Topic::Beat(_) | Topic::Up(..) => {}
        }
        None
    }

    /// What the broker keeps of a device came: of one that is gone it is cleared, and what somebody else wrote of one that
    /// is there is corrected with the next beat. Returns whether it is what this edge wrote.
    fn retained(
        &self,
        id: DeviceId,
        connection: &mut Connection,
        message: &Message,
        is_ours: impl FnOnce(&Device) -> bool,
    ) -> bool {
        // Held until a device that is gone is cleared: it may come back meanwhile.
        let shared = self.shared();
        match shared.devices.get(&id) {
            Some(device) if is_ours(device) => return true,
            Some(_) => {
                connection.again.insert(id);
            }
            None if message.payload.is_empty() => {}
            None => {
                debug!(%id, "clearing a device that is gone");
                // Anybody can make them up: one that finds no room is cleared with the next connection.
                self.clear(&id);
            }
        }
        false
    }

    /// The edge's own state came back, or somebody else's under its name.
    fn own_state(&self, message: &Message, connection: &mut Connection) -> Option<Duration> {
        let state = documents::read::<EdgeState>(&message.payload).ok();
        match state {
            Some(state) if state.epoch == self.epoch && state.online => connection.state_due = None,
            // The will of an earlier connection of this process, which came late.
            Some(state) if state.epoch == self.epoch => self.publish_state(true),
            // What an earlier process left, or its will, comes with one connection: the state that is on its way overwrites it.
            Some(state)
                if connection.state_due.is_some() && connection.earlier_rival != Some(state.epoch) =>
            {
                connection.rival = Some(state.epoch);
            }
            Some(state) if state.online || connection.state_due.is_some() => {
                connection.rival = Some(state.epoch);
                error!(
                    "another gateway is the edge {} at this broker, too: give one of them another name, [upstream] edge; \
                     this one stays away for {} s",
                    self.settings.edge,
                    FLEET_YIELD_FOR.as_secs()
                );
                return Some(FLEET_YIELD_FOR);
            }
            _ if connection.state_due.is_some() => {}
            // The will of an earlier process, or a state that was cleared.
            _ => self.publish_state(true),
        }
        None
    }

    fn frame(&self, id: DeviceId, payload: &Bytes, connection: &mut Connection) {
        let (header, frame) = match Header::read(payload) {
            Ok(read) => read,
            Err(e) => {
                debug!(%id, "a message for the device is ignored: {e}");
                return;
            }
        };
        let shared = self.shared();
        if header.kind == Kind::Frame
            && let Some((_, hub)) = shared
                .sessions
                .iter()
                .rev()
                .find(|(session, _)| *session == header.session)
        {
            hub.frame_arrived();
        }
        let device = shared.devices.get(&id).cloned();
        drop(shared);
        if let Some(device) = device
            && !device.arrived(header, frame)
        {
            // Its hub may have missed that the session is over.
            connection.again.insert(id);
        }
    }

    /// A hub answered a beat.
    fn lease(&self, name: &Name, beat: &LeaseBeat) {
        // The answer to another process.
        if beat.epoch != self.epoch {
            return;
        }
        let now = self.clock.now();
        let hub = {
            let mut shared = self.shared();
            match shared.hubs.get(name) {
                Some(hub) if hub.epoch == beat.hub_epoch => hub.clone(),
                Some(hub) if hub.lease().is_live(now) => {
                    debug!("two hubs are called {name}: the one that was there first counts");
                    return;
                }
                _ => {
                    let Some(hub) = shared.add_hub(name, beat.hub_epoch, now) else {
                        debug!("the hub {name} is ignored: {HUBS_MAX} others are there");
                        return;
                    };
                    for device in shared.devices.values() {
                        device.adopt(&hub);
                    }
                    hub
                }
            }
        };
        let was_held_back = !hub.may_send(now);
        let lost = hub.answered(beat, now);
        if lost || was_held_back {
            for device in self.devices().iter().filter(|device| device.is_owned_by(&hub)) {
                match lost {
                    true => device.control_lost(),
                    false => device.wake(),
                }
            }
        }
        if lost {
            warn!("frames of the hub {name} were lost on the way: its devices are stopped");
        }
        let claimed = hub.take_claimed(now);
        self.grant(&hub, &claimed);
    }

    fn claim(&self, claim: &Claim) {
        if claim.devices.len() + claim.release.len() > CLAIM_MAX {
            let fault = format!(
                "a claim of {} is ignored: it names more than {CLAIM_MAX} devices",
                claim.hub
            );
            return self.faults.warn(fault);
        }
        let hub = self.shared().hubs.get(&claim.hub).cloned();
        if let Some(hub) = hub.as_ref().filter(|hub| hub.epoch == claim.hub_epoch) {
            for device in &claim.release {
                let device = self.shared().devices.get(device).cloned();
                let Some(device) = device else { continue };
                if device.is_owned_by(hub) {
                    device.free(self);
                }
                // The hub may believe that it owns it.
                self.publish_owner(&device);
            }
        }
        if claim.devices.is_empty() {
            return;
        }
        let now = self.clock.now();
        let hub = {
            let mut shared = self.shared();
            match shared.hubs.get(&claim.hub) {
                Some(hub) if hub.epoch == claim.hub_epoch => hub.clone(),
                Some(hub) if hub.lease().is_live(now) => return,
                // Its claim comes before its first lease, or it has started again.
                _ => match shared.add_hub(&claim.hub, claim.hub_epoch, now) {
                    Some(hub) => hub,
                    None => return,
                },
            }
        };
        if hub.lease().is_live(now) {
            self.grant(&hub, &claim.devices);
        } else {
            let devices = self.shared();
            let known = claim
                .devices
                .iter()
                .filter(|id| devices.devices.contains_key(*id));
            let known = known.cloned().collect();
            drop(devices);
            hub.claimed(known, now.plus(LEASE_MS), now);
            // It answers a beat with the lease.
            self.came.notify_one();
        }
    }

    /// Gives these devices to a hub that has a lease.
    fn grant(&self, hub: &Arc<Hub>, devices: &[DeviceId]) {
        let hubs = &self.settings.hubs;
        if !hubs.is_empty() && !hubs.contains(&hub.name) {
            if !devices.is_empty() {
                debug!(
                    "a claim of {} is ignored: it is none of the hubs that are configured",
                    hub.name
                );
            }
            return;
        }
        for device in devices {
            let device = self.shared().devices.get(device).cloned();
            if let Some(device) = device
                && let OwnerChange::Changed = device.grant(hub, self)
            {
                self.shared().begun(device.session(), hub);
                self.publish_owner(&device);
            }
        }
    }

    /// A hub said farewell, or its will came.
    fn hub_left(&self, name: &Name, state: &HubState) {
        let hub = self.shared().hubs.get(name).cloned();
        let Some(hub) = hub.filter(|hub| hub.epoch == state.hub_epoch) else {
            return;
        };
        self.news.info(format!("the hub {name} is gone"));
        hub.end_lease();
        for device in self.devices() {
            if device.is_owned_by(&hub)
                && let OwnerChange::Changed = device.follow_lease(self)
            {
                self.publish_owner(&device);
            }
        }
    }
}
