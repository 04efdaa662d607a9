//! The fleet that the gateway is part of: what it knows as a hub, and as an edge.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stopped;
use crate::web::api::Problem;

/// The gateway as a hub or an edge, as its views need it.
pub trait FleetMember: Send + Sync {
    /// What it knows now.
    fn look(&self) -> BoxFuture<'static, Fleet>;

    /// Publishes a halt to all edges, at the first poll. Completes when it is known whether the broker passed it on, and a
    /// hub's edges have answered or had the time to. Returns the devices that a hub knows and whose edges did not answer.
    ///
    /// # Errors
    /// A broker is away, or does not pass it on.
    fn halt(&self) -> BoxFuture<'static, Result<Vec<String>, Problem>>;
}

/// The fleet, as this gateway knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fleet {
    /// As a hub; `null` if it is none.
    pub hub: Option<Hub>,
    /// As an edge; `null` if it is none.
    pub edge: Option<Edge>,
}

/// The connection to the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Broker {
    /// Its address.
    pub url: String,
    /// Since when the broker has accepted the connection, in seconds since 1970; `null` while there is none.
    pub connected_since: Option<f64>,
    /// Why a connection last ended or failed, with what to do about it; `null` if none did.
    pub last_error: Option<String>,
    /// When that was, in seconds since 1970.
    pub last_error_at: Option<f64>,
}

/// What a hub knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hub {
    /// Its name.
    pub name: String,
    /// The broker.
    pub broker: Broker,
    /// The other hubs that are online.
    pub others: Vec<String>,
    /// The edges, by name.
    pub edges: Vec<FleetEdge>,
}

/// Whether an edge is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// It is online, and its clock is heard if it has devices.
    There,
    /// It is online by what the broker keeps, and its clock is not heard: its devices are at rest.
    Silent,
    /// It is offline.
    Gone,
}

/// An edge, as a hub knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetEdge {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub state: EdgeState,
    /// The version of its gateway; may be empty.
    pub version: String,
    /// How old its last beat is, in milliseconds; `null` if it has no devices, since it sends none then, or was never heard.
    pub beat_age_ms: Option<u64>,
    /// How many devices it has.
    pub device_count: usize,
    /// Its devices, by address; not all of them if a fleet has thousands.
    pub devices: Vec<FleetDevice>,
}

/// A device of an edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetDevice {
    /// Its id in topics.
    pub id: String,
    /// Its address.
    pub address: String,
    /// What it is.
    pub identifier: String,
    /// By which way it came to its edge: `ws`, `serial` and so on.
    pub way: String,
    /// The hub that owns it; `null` if it is free.
    pub owner: Option<DeviceOwner>,
    /// It is connected to this gateway: as a hub, which drives it, or as its edge.
    pub is_ours: bool,
}

/// The owner of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceOwner {
    /// The hub.
    pub hub: String,
    /// Its lease is over: the device is at rest, and another hub may claim it.
    pub lapsed: bool,
}

/// What an edge knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Edge {
    /// Its name.
    pub name: String,
    /// The broker.
    pub broker: Broker,
    /// The hubs that it has heard, by name.
    pub hubs: Vec<FleetHub>,
    /// Its devices, by address.
    pub devices: Vec<FleetDevice>,
}

/// A hub, as an edge knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetHub {
    /// Its name.
    pub name: String,
    /// How old the newest time of the edge's clock is that the hub returned, in milliseconds; `null` if its lease is over.
    pub lease_age_ms: Option<u64>,
    /// How many devices of the edge it owns.
    pub devices: usize,
}

/// The result of a stop of the whole fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetStopped {
    /// The devices of this gateway, which are stopped without the broker, too.
    pub here: Stopped,
    /// The edges that are there, as a hub knows them; empty at an edge.
    pub edges: Vec<String>,
    /// The edges whose clock is not heard: their devices are at rest, unless somebody else drives them.
    pub silent: Vec<String>,
    /// The devices whose edge is heard and did not take the stop in time, as `A1 at bedroom`; what runs there may run on.
    pub unanswered: Vec<String>,
}

impl Fleet {
    /// The names of the edges in this state.
    pub fn edges_that_are(&self, state: EdgeState) -> Vec<String> {
        let edges = self.hub.iter().flat_map(|hub| &hub.edges);
        edges
            .filter(|edge| edge.state == state)
            .map(|edge| edge.name.clone())
            .collect()
    }
}
