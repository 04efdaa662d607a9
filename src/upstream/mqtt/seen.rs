//! What an edge knows of its fleet, for people, and the halt of all of it.

use std::time::Duration;

use bytes::Bytes;

use super::Edge;
use crate::config::BrokerSettings;
use crate::device::fleet::gate::LEASE_MS;
use crate::device::fleet::names::Name;
use crate::device::fleet::seen::DeviceSeen;
use crate::net::broker::BrokerUrl;
use crate::net::bus::BusStatus;
use crate::net::bus::echo::NoEcho;

/// An edge and what it knows.
#[derive(Clone, Debug)]
pub struct EdgeView {
    /// Its name.
    pub name: Name,
    /// The broker.
    pub broker: BrokerUrl,
    /// How the connection to it stands.
    pub status: BusStatus,
    /// The hubs that it has heard, by name.
    pub hubs: Vec<HubSeen>,
    /// Its devices, by address.
    pub devices: Vec<DeviceSeen>,
}

/// A hub.
#[derive(Clone, Debug)]
pub struct HubSeen {
    /// Its name.
    pub name: Name,
    /// How old the newest clock is that it returned; `None` if its lease is over.
    pub lease_age: Option<Duration>,
    /// How many devices of the edge it owns.
    pub devices: usize,
}

impl Edge {
    /// What this edge knows now.
    pub fn view(&self) -> EdgeView {
        let now = self.clock.now();
        let mut hubs: Vec<_> = self.shared().hubs.values().cloned().collect();
        hubs.sort_by(|a, b| a.name.cmp(&b.name));
        let devices = self.devices();
        let hubs = hubs.into_iter().map(|hub| HubSeen {
            name: hub.name.clone(),
            lease_age: hub
                .lease()
                .left(now)
                .map(|left| Duration::from_millis((LEASE_MS - left).into())),
            devices: devices.iter().filter(|device| device.is_owned_by(&hub)).count(),
        });
        let hubs = hubs.collect();
        let mut devices: Vec<_> = devices
            .iter()
            .map(|device| DeviceSeen {
                id: device.id.clone(),
                identifier: device.handle.handshake.identifier.as_str().to_owned(),
                address: device.handle.handshake.address.as_str().to_owned(),
                transport: device.handle.peer.way().to_owned(),
                owner: device.owner(),
                ended_at: None,
                is_ours: true,
            })
            .collect();
        devices.sort_by(|a, b| a.address.cmp(&b.address).then_with(|| a.id.cmp(&b.id)));
        EdgeView {
            name: self.settings.edge.clone(),
            broker: self.settings.broker.broker.clone(),
            status: self.status(),
            hubs,
            devices,
        }
    }

    /// How the connection to the broker stands.
    pub fn status(&self) -> BusStatus {
        self.bus.status()
    }

    /// The broker of this edge.
    pub fn broker(&self) -> &BrokerSettings {
        &self.settings.broker
    }

    /// Publishes the halt of all edges, which reaches this one, too.
    ///
    /// # Errors
    /// [`NoEcho`]: the broker is away, or did not pass it on.
    pub async fn halt_all(&self) -> Result<(), NoEcho> {
        let payload = Bytes::from_static(b"the page of an edge");
        self.halt.publish(payload).await
    }
}
