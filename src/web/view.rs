//! What there is to show of a gateway, and the orders that can be given to it.

pub mod boards;
pub mod configuration;
mod device;
pub mod fleet;
pub mod mend;
pub mod origins;
mod stop;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use hyper::upgrade::Upgraded;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::device::peer::ConnectionId;
use crate::session::life::Life;
use crate::session::registry::{Registry, SessionHandle};
use crate::udcf::edit::device::Subject;
use crate::web::api::Problem;
use boards::Boards;
use configuration::Configuration;
pub use device::{Device, Driver, DriverKind, State};
use fleet::FleetMember;
use origins::{Answer, Origin, OriginError, Question};
pub use stop::Stopped;

/// A running gateway.
#[derive(Clone)]
pub struct View {
    /// Its sessions.
    pub registry: Arc<Registry>,
    /// The Buttplug server inside; `None` if devices are relayed.
    pub server: Option<Arc<dyn Server>>,
    /// Its simulated devices.
    pub simulator: Arc<dyn Simulator>,
    /// Its configuration files.
    pub configuration: Arc<dyn Configuration>,
    /// The boards around it.
    pub boards: Arc<dyn Boards>,
    /// It as a member of a fleet; `None` if it is part of none.
    pub fleet: Option<Arc<dyn FleetMember>>,
    /// What does not change while it runs.
    pub about: Arc<About>,
    /// Cancelled when the gateway stops serving its views.
    pub stop: CancellationToken,
}

/// The Buttplug server inside, as its views need it.
pub trait Server: Send + Sync {
    /// The listed devices.
    fn listed(&self) -> HashMap<ConnectionId, Listed>;

    /// The listed device of this connection, as its entry in the UDCF knows it.
    fn subject(&self, connection: ConnectionId) -> Option<Subject>;

    /// The connected apps, by number.
    fn apps(&self) -> Vec<App>;

    /// Asks an app to leave; returns whether there is one of this number.
    fn disconnect(&self, app: u64) -> bool;

    /// Refuses the web page that an app is from now on, and asks its apps to leave. Blocks until this is saved.
    ///
    /// # Errors
    /// There is no such app, or it is no web page; or this holds only until the gateway stops.
    fn block(&self, app: u64) -> Result<(), OriginError>;

    /// The web pages that wait for an answer, by number.
    fn questions(&self) -> Vec<Question>;

    /// Answers a question. Blocks until the answer is saved.
    ///
    /// # Errors
    /// There is no such question; or the answer holds only until the gateway stops.
    fn answer(&self, question: u64, answer: Answer) -> Result<(), OriginError>;

    /// The origins that were answered for good.
    fn origins(&self) -> Vec<Origin>;

    /// Forgets the answer for an origin. Blocks until this is saved.
    ///
    /// # Errors
    /// Nothing is remembered of it; or it is forgotten only until the gateway stops.
    fn forget_origin(&self, origin: &str) -> Result<(), OriginError>;

    /// Makes the server stop the device that it lists under this index; returns whether it did. The call gives the order.
    fn stop(&self, index: u32) -> BoxFuture<'static, bool>;

    /// Serves an upgraded connection of the gateway's own page, or of a program, which has no origin, as an app, until it
    /// leaves or is asked to because its session has `ended`. The page has to show signs of `life` there too while it drives. It
    /// is served whether or not the future is polled; the future completes when it has left.
    fn serve_page(
        &self,
        connection: Upgraded,
        peer: SocketAddr,
        local: SocketAddr,
        origin: Option<String>,
        life: Option<Arc<Life>>,
        ended: CancellationToken,
    ) -> BoxFuture<'static, ()>;
}

/// Simulated devices that the gateway runs.
pub trait Simulator: Send + Sync {
    /// Those that run, by address.
    fn list(&self) -> Vec<SimulatedDevice>;

    /// The names of the Lovense models that can be simulated.
    fn models(&self) -> Vec<String>;

    /// Starts one.
    ///
    /// # Errors
    /// The protocol or the model is unknown, or too many run.
    fn start(&self, protocol: &str, model: Option<&str>) -> Result<SimulatedDevice, Problem>;

    /// Stops one; returns whether it ran.
    fn stop(&self, address: &str) -> bool;
}

/// A simulated device that the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedDevice {
    /// Its address.
    pub address: String,
    /// `lovense` or `tcode`.
    pub protocol: String,
    /// The Lovense model.
    pub model: Option<String>,
}

/// A device in the list of the Buttplug server inside.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name for people.
    pub name: String,
    /// Its index there.
    pub index: u32,
    /// The number of the app that commanded it last and is still connected.
    pub driver: Option<u64>,
}

/// What does not change while a gateway runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// The gateway's version.
    pub version: String,
    /// Where devices connect.
    pub devices: Vec<String>,
    /// Where Buttplug apps connect; empty if devices are relayed.
    pub clients: Vec<String>,
    /// Where devices are relayed to; `null` if the gateway has its own Buttplug server.
    pub upstream: Option<String>,
    /// It is a hub or an edge of a fleet.
    pub fleet: bool,
    /// It announces itself to boards by mDNS, unless it listens on loopback only.
    pub announces: bool,
    /// It refuses devices without its token.
    pub needs_token: bool,
    /// The fingerprint of the certificate that it shows to devices; `null` if they cannot use TLS.
    pub fingerprint: Option<String>,
}

/// A connected app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its number; never reused.
    pub id: u64,
    /// The name that it gave.
    pub name: String,
    /// Its network address.
    pub peer: String,
    /// The web page that it is; `null` for programs.
    pub origin: Option<String>,
    /// When it connected, in seconds since 1970.
    pub since: f64,
    /// The version of Buttplug's messages that it speaks.
    pub message_version: u32,
    /// The addresses of the devices that it commanded last.
    pub drives: Vec<String>,
    /// It is the gateway's own page.
    pub is_page: bool,
}

/// Seconds since 1970, to the millisecond.
pub fn seconds(at: SystemTime) -> f64 {
    // A clock before 1970 is reported as 0.
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64 / 1000.0
}

impl View {
    /// The devices, connected or not, by address, and the apps.
    pub fn look(&self) -> (Vec<Device>, Vec<App>) {
        let (listed, mut apps) = match &self.server {
            Some(server) => (server.listed(), server.apps()),
            None => (HashMap::new(), Vec::new()),
        };
        let mut devices: Vec<Device> = Vec::new();
        for session in self.registry.sessions() {
            let device = self.device(&session, listed.get(&session.connection), &apps);
            if let Some(Driver { id: Some(id), .. }) = &device.driver
                && let Some(app) = apps.iter_mut().find(|app| app.id == *id)
            {
                app.drives.push(device.address.clone());
            }
            devices.push(device);
        }
        apps.iter_mut().for_each(|app| app.drives.sort());
        // Before those that left: of two with one address, the first is shown.
        let unidentified = self.registry.unidentified();
        devices.extend(unidentified.iter().map(|board| Device::from(&**board)));
        let past = self.registry.past().devices();
        devices.extend(past.into_iter().map(Device::from));
        let simulated: HashSet<String> = self.simulator.list().into_iter().map(|d| d.address).collect();
        for device in &mut devices {
            device.is_simulated = simulated.contains(&device.address);
        }
        devices.sort_by(|a, b| a.address.cmp(&b.address).then(b.connection.cmp(&a.connection)));
        // A device that is refused a second place while it is connected.
        devices.dedup_by(|later, first| later.address == first.address);
        (devices, apps)
    }

    /// The web pages that wait for an answer, by number.
    pub fn questions(&self) -> Vec<Question> {
        self.server
            .as_ref()
            .map(|server| server.questions())
            .unwrap_or_default()
    }

    /// The origins of web pages that were answered for good.
    pub fn origins(&self) -> Vec<Origin> {
        self.server
            .as_ref()
            .map(|server| server.origins())
            .unwrap_or_default()
    }

    fn device(&self, session: &SessionHandle, listed: Option<&Listed>, apps: &[App]) -> Device {
        let state = match (&self.server, listed) {
            (None, _) => State::Relayed,
            (Some(_), None) => State::Connecting,
            (Some(_), Some(_)) => State::Ready,
        };
        let driver = if session.is_commanded_by_hand() {
            Some(Driver {
                kind: DriverKind::Monitor,
                id: None,
                name: "a monitor".to_owned(),
                origin: None,
            })
        } else {
            let app = listed
                .and_then(|listed| listed.driver)
                .and_then(|id| apps.iter().find(|app| app.id == id));
            app.map(|app| Driver {
                kind: if app.is_page {
                    DriverKind::Page
                } else {
                    DriverKind::App
                },
                id: Some(app.id),
                name: app.name.clone(),
                origin: app.origin.clone(),
            })
        };
        let round_trip = session.round_trip.get();
        Device {
            address: session.handshake.address.as_str().to_owned(),
            identifier: session.handshake.identifier.as_str().to_owned(),
            peer: session.peer.to_string(),
            way: session.peer.way().to_owned(),
            state,
            connection: session.connection.0,
            since: seconds(session.since),
            name: listed.map(|listed| listed.name.clone()),
            index: listed.map(|listed| listed.index),
            outputs_on: session.may_be_on(),
            round_trip_ms: round_trip.map(|took| took.as_micros() as f64 / 1_000.0),
            battery: session
                .battery
                .percent()
                .map(|percent| f64::from(percent) / 100.0),
            driver,
            ..Device::counted(session.counters.totals())
        }
    }
}
