//! Where the devices of this gateway feed, and whose sessions the page shows.

use std::net::SocketAddr;
use std::sync::Arc;

use super::GatewayError;
use super::inside::Inside;
use super::views::on_this_machine;
use crate::config::{Settings, UpstreamSettings};
use crate::ingress::Intake;
use crate::net::visitor::Signpost;
use crate::session::admission::Admission;
use crate::session::ends::Upstream;
use crate::session::registry::Registry;
use crate::udcf::store::IndexStore;
use crate::upstream::embedded::{Engine, EngineError};
use crate::upstream::mqtt::Edge;
use crate::upstream::relay::Relay;

/// Where devices feed.
pub(super) struct Feeds {
    /// What admits the boards that come to this gateway itself.
    pub(super) boards: Arc<Intake>,
    /// What admits the devices that apps get; the same, unless this gateway is an edge and a hub: then its own devices come
    /// to its apps through the broker, as all others do.
    pub(super) served: Arc<Intake>,
    /// The Buttplug server inside, unless devices are passed on.
    pub(super) inside: Option<Inside>,
    /// Every address for Buttplug clients.
    pub(super) client_addresses: Vec<SocketAddr>,
    /// This gateway as an edge of a fleet.
    pub(super) edge: Option<Arc<Edge>>,
}

impl Feeds {
    /// Starts what is configured; `engine` starts the Buttplug server.
    ///
    /// # Errors
    /// If the Buttplug server cannot start, or its port is taken.
    pub(super) async fn start(
        settings: &Settings,
        admission: Admission,
        devices: SocketAddr,
        page: Option<SocketAddr>,
        engine: impl FnOnce(Arc<IndexStore>) -> Result<Arc<Engine>, EngineError>,
    ) -> Result<Self, GatewayError> {
        let registry = Arc::new(Registry::default());
        let intake = |admission: Admission, registry: Arc<Registry>, upstream: Arc<dyn Upstream>| {
            Arc::new(Intake {
                admission,
                registry,
                upstream,
            })
        };
        let edge = match &settings.upstream {
            Some(UpstreamSettings::Relay(upstream)) => {
                let relay = Relay::new(upstream.clone(), settings.devices.ping_interval);
                let boards = intake(admission.any_name(), registry, relay);
                return Ok(Self::passing_on(boards, None));
            }
            Some(UpstreamSettings::Mqtt(upstream)) => {
                let edge = Edge::new(upstream.clone());
                if settings.mqtt.is_none() {
                    let boards = intake(admission.any_name(), registry, edge.clone());
                    return Ok(Self::passing_on(boards, Some(edge)));
                }
                Some(edge)
            }
            None => None,
        };
        let (inside, client_addresses) = Inside::bind(
            settings.clients.clone(),
            settings.state_file.as_deref(),
            page.map(on_this_machine),
            Signpost::apps(devices).with_page(page),
            engine,
        )
        .await?;
        registry.left_running(&inside.store.all_commanded());
        let served = intake(admission.clone(), registry.clone(), inside.engine.clone());
        let boards = match &edge {
            Some(edge) => intake(admission.any_name(), registry.beside(), edge.clone()),
            None => served.clone(),
        };
        Ok(Self {
            boards,
            served,
            inside: Some(inside),
            client_addresses,
            edge,
        })
    }

    fn passing_on(boards: Arc<Intake>, edge: Option<Arc<Edge>>) -> Self {
        Self {
            served: boards.clone(),
            boards,
            inside: None,
            client_addresses: Vec::new(),
            edge,
        }
    }
}
