//! The gateway as a member of a fleet, behind the trait of the web room.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::config::BrokerSettings;
use crate::device::fleet::documents::Owner;
use crate::device::fleet::seen::DeviceSeen;
use crate::ingress::mqtt::Fleet as HubPart;
use crate::ingress::mqtt::seen::{EdgeSeen, HubView, Presence};
use crate::net::broker::BrokerUrl;
use crate::net::bus::echo::NoEcho;
use crate::net::bus::{BusStatus, NotTaken};
use crate::upstream::mqtt::Edge as EdgePart;
use crate::upstream::mqtt::seen::EdgeView;
use crate::web::api::Problem;
use crate::web::view::fleet::{
    Broker, DeviceOwner, Edge, EdgeState, Fleet, FleetDevice, FleetEdge, FleetHub, FleetMember, Hub,
};
use crate::web::view::seconds;

/// A hub, an edge, or both.
pub(super) struct Member {
    hub: Option<Arc<HubPart>>,
    edge: Option<Arc<EdgePart>>,
}

impl Member {
    /// `None` if it is neither.
    pub(super) fn new(hub: Option<Arc<HubPart>>, edge: Option<Arc<EdgePart>>) -> Option<Self> {
        (hub.is_some() || edge.is_some()).then_some(Self { hub, edge })
    }
}

impl FleetMember for Member {
    fn look(&self) -> BoxFuture<'static, Fleet> {
        let (hub, edge) = (self.hub.clone(), self.edge.clone());
        async move {
            Fleet {
                hub: match hub {
                    Some(hub) => Some(hub.view().await.into()),
                    None => None,
                },
                edge: edge.map(|edge| edge.view().into()),
            }
        }
        .boxed()
    }

    fn halt(&self) -> BoxFuture<'static, Result<Vec<String>, Problem>> {
        let (hub, edge) = (self.hub.clone(), self.edge.clone());
        // Each publishes at its first poll, so that neither waits for the other.
        let by_hub = |hub: Arc<HubPart>| async move {
            let outcome = hub.halt_all().await;
            outcome.map_err(|error| not_passed_on(&error, hub.broker(), &hub.status()))
        };
        let by_edge = |edge: Arc<EdgePart>| async move {
            let outcome = edge.halt_all().await;
            outcome.map_err(|error| not_passed_on(&error, edge.broker(), &edge.status()))
        };
        async move {
            match (hub, edge) {
                (Some(hub), Some(edge)) if !is_same_place(hub.broker(), edge.broker()) => {
                    let (hub, edge) = tokio::join!(by_hub(hub), by_edge(edge));
                    hub.and_then(|unanswered| edge.map(|()| unanswered))
                }
                // A broker often lets an edge halt itself only, so that the account of a hub is the better one.
                (Some(hub), edge) if edge.is_none() || hub.status().connected_since.is_some() => {
                    by_hub(hub).await
                }
                (_, Some(edge)) => by_edge(edge).await.map(|()| Vec::new()),
                (_, None) => Ok(Vec::new()),
            }
        }
        .boxed()
    }
}

/// Whether what is published at one of these arrives at the other.
fn is_same_place(a: &BrokerSettings, b: &BrokerSettings) -> bool {
    a.broker == b.broker && a.topics == b.topics
}

/// Why a halt did not reach the fleet, for people.
fn not_passed_on(error: &NoEcho, at: &BrokerSettings, status: &BusStatus) -> Problem {
    let (error, hint) = match error {
        NoEcho::NotTaken(NotTaken::Away) => (
            match &status.last_error {
                Some((_, why)) => format!("the broker is away: {why}"),
                None => format!("the broker is away: {}", at.broker),
            },
            "each edge stops its devices a second after it loses the broker".to_owned(),
        ),
        NoEcho::NotTaken(_) => (
            error.to_string(),
            "wsdm-gateway fleet stop uses a connection of its own".to_owned(),
        ),
        NoEcho::Silent { topic } => (
            error.to_string(),
            format!(
                "a broker denies in silence: allow this gateway's user to read and write {topic}; switch devices off by hand"
            ),
        ),
    };
    Problem {
        error,
        hint: Some(hint),
    }
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn broker(url: &BrokerUrl, status: BusStatus) -> Broker {
    let (last_error_at, last_error) = status.last_error.unzip();
    Broker {
        url: url.to_string(),
        connected_since: status.connected_since.map(seconds),
        last_error,
        last_error_at: last_error_at.map(seconds),
    }
}

impl From<Owner> for DeviceOwner {
    fn from(owner: Owner) -> Self {
        Self {
            hub: owner.hub.to_string(),
            lapsed: owner.lapsed,
        }
    }
}

impl From<HubView> for Hub {
    fn from(hub: HubView) -> Self {
        Self {
            name: hub.name.to_string(),
            broker: broker(&hub.broker, hub.status),
            others: hub.others.iter().map(ToString::to_string).collect(),
            edges: hub.edges.into_iter().map(FleetEdge::from).collect(),
        }
    }
}

impl From<EdgeSeen> for FleetEdge {
    fn from(edge: EdgeSeen) -> Self {
        Self {
            name: edge.name.to_string(),
            state: match edge.presence {
                Presence::There => EdgeState::There,
                Presence::Silent => EdgeState::Silent,
                Presence::Gone => EdgeState::Gone,
            },
            version: edge.version,
            beat_age_ms: edge.beat_age.map(millis),
            device_count: edge.device_count,
            devices: edge.devices.into_iter().map(FleetDevice::from).collect(),
        }
    }
}

impl From<DeviceSeen> for FleetDevice {
    fn from(device: DeviceSeen) -> Self {
        Self {
            id: device.id.to_string(),
            address: device.address,
            identifier: device.identifier,
            way: device.transport,
            owner: device.owner.map(DeviceOwner::from),
            is_ours: device.is_ours,
        }
    }
}

impl From<EdgeView> for Edge {
    fn from(edge: EdgeView) -> Self {
        let hubs = edge.hubs.into_iter().map(|hub| FleetHub {
            name: hub.name.to_string(),
            lease_age_ms: hub.lease_age.map(millis),
            devices: hub.devices,
        });
        Self {
            name: edge.name.to_string(),
            broker: broker(&edge.broker, edge.status),
            hubs: hubs.collect(),
            devices: edge.devices.into_iter().map(FleetDevice::from).collect(),
        }
    }
}
