//! The wiring: build the parts, supervise them, drain on shutdown.

pub mod boards;
mod bridging;
mod configuration;
mod error;
mod feeds;
mod fleet;
mod inside;
pub mod ports;
mod rooms;
mod signals;
mod simulated;
mod tls;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::OptionFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::advice::EXIT_INTERRUPTED;
use crate::clients::home_assistant::HomeAssistant;
use crate::config::Settings;
use crate::defaults::{SHUTDOWN_GRACE, STOP_FLUSH_TIMEOUT};
use crate::ingress::ble::BlePeripherals;
use crate::ingress::dial::DialledBoards;
use crate::ingress::mqtt::Fleet;
use crate::ingress::serial::SerialPorts;
use crate::ingress::websocket::Devices;
use crate::ingress::websocket::workers::Workers;
use crate::net::announce::{Announcement, Service};
use crate::net::listen::{BindError, Listen, Listeners};
use crate::net::refusals::RefusalLog;
use crate::net::tls::Fingerprint;
use crate::net::tls::server::Acceptor;
use crate::net::visitor::Signpost;
use crate::session::admission::Admission;
use crate::session::ends::Disconnect;
use crate::session::registry::Registry;
use crate::udcf::Udcf;
use crate::upstream::embedded::Engine;
use crate::upstream::mqtt::Edge;
use crate::web::control::Control;
use crate::web::port::access::Access;
use crate::web::view::{About, View};
use boards::{Boards, unknown_identifiers};
use bridging::Bridging;
use configuration::{Entries, Reloader};
pub use error::GatewayError;
use feeds::Feeds;
use fleet::Member;
use inside::Inside;
use rooms::Rooms;
use signals::Signals;
use simulated::SimulatedDevices;
use views::{Page, ServerInside, on_this_machine};

/// The addresses that the gateway listens on, with the ports that the system chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The first address for devices.
    pub devices: SocketAddr,
    /// The first address for Buttplug clients; `None` if devices are relayed.
    pub clients: Option<SocketAddr>,
    /// Every address for devices.
    pub device_addresses: Vec<SocketAddr>,
    /// Every address for Buttplug clients; empty if devices are relayed.
    pub client_addresses: Vec<SocketAddr>,
    /// Every address of the page; empty if it is not served.
    pub page_addresses: Vec<SocketAddr>,
    /// Whether devices have to use TLS.
    pub only_tls: bool,
    /// That of the certificate for devices; `None` if they cannot use TLS.
    pub fingerprint: Option<Fingerprint>,
}

impl Bound {
    /// An address for devices as a URL.
    pub fn device_url(&self, address: SocketAddr) -> String {
        format!("{}://{address}", if self.only_tls { "wss" } else { "ws" })
    }

    /// Where the page is for a browser on this machine; `None` if it is not served.
    pub fn page_url(&self) -> Option<String> {
        let page = self.page_addresses.first().copied().map(on_this_machine)?;
        Some(format!("http://{page}/"))
    }
}

/// A gateway with open ports, which serves once [`Gateway::serve`] is called.
pub struct Gateway {
    bound: Bound,
    device_port: Listeners,
    devices: Arc<Devices>,
    serial: Arc<SerialPorts>,
    ble: Arc<BlePeripherals>,
    dial: Arc<DialledBoards>,
    registry: Arc<Registry>,
    /// The sessions of this gateway's own boards; the same, unless it is an edge and a hub.
    own_registry: Arc<Registry>,
    edge: Option<Arc<Edge>>,
    fleet: Option<Arc<Fleet>>,
    home_assistant: Option<HomeAssistant>,
    inside: Option<Inside>,
    control: Option<Control>,
    page: Option<Page>,
    about: Arc<About>,
    reloader: Reloader,
    bridging: Bridging,
}

impl Gateway {
    /// Reads the UDCF, opens the ports and starts the Buttplug server, unless devices are relayed.
    ///
    /// # Errors
    /// If the UDCF is invalid, a port is taken, or the system cannot spawn another thread.
    pub async fn bind(settings: Settings) -> Result<Self, GatewayError> {
        let udcf = match &settings.udcf {
            Some(path) => Udcf::load(path)?,
            None => Udcf::builtin(),
        };
        if let Some(summary) = udcf.summary() {
            info!("{summary}");
        }
        for warning in udcf.warnings() {
            warn!("{warning}");
        }
        let loaded = udcf.device_configuration()?;
        let tls = settings.devices.tls.as_ref();
        let only_tls = tls.is_some_and(|tls| tls.only);
        let tls = tls
            .map(|tls| tls::acceptor(tls, settings.state_file.as_deref()))
            .transpose()?;
        let fingerprint = tls.as_ref().map(Acceptor::fingerprint);
        let (device_port, device_addresses) = listen("devices", &settings.devices.listen)?;
        let admission = Admission::new(&settings.devices, udcf.directory(&loaded));
        let boards = Boards::of(&settings, &udcf);
        if let Some(offer) = &boards.offer {
            info!("{offer}");
        }
        for warning in &boards.warnings {
            warn!("{warning}");
        }
        for bridged in &boards.bridged {
            info!("bridging {bridged}, as the UDCF describes it");
        }
        for (key, problem) in unknown_identifiers(&settings, &admission) {
            warn!("{key}: {problem}");
        }
        let page = settings.page.as_ref().map(Page::open).transpose()?.flatten();
        let page_addresses = page
            .as_ref()
            .map(|page| page.addresses.clone())
            .unwrap_or_default();
        let relayed_to = settings.upstream.as_ref().map(ToString::to_string);
        let (devices_at, page_at) = (device_addresses[0], page_addresses.first().copied());
        let Feeds {
            boards: intake,
            served,
            inside,
            client_addresses,
            edge,
        } = Feeds::start(&settings, admission, devices_at, page_at, |store| {
            Engine::start(loaded, store)
        })
        .await?;
        let control = match &settings.control {
            Some(at) => Control::open_or_warn(at, device_addresses[0].port()).await,
            None => None,
        };
        let urls =
            |scheme, addresses: &[SocketAddr]| addresses.iter().map(|a| format!("{scheme}://{a}")).collect();
        let about = Arc::new(About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            devices: urls(if only_tls { "wss" } else { "ws" }, &device_addresses),
            clients: urls("ws", &client_addresses),
            upstream: relayed_to,
            fleet: edge.is_some() || settings.mqtt.is_some(),
            announces: settings.devices.announce,
            needs_token: settings.devices.token.is_some(),
            fingerprint: fingerprint.map(|fingerprint| fingerprint.to_string()),
        });
        let (registry, own_registry) = (served.registry.clone(), intake.registry.clone());
        let fleet = settings.mqtt.clone().map(|hub| Fleet::new(hub, served.clone()));
        let home_assistant = match (&settings.mqtt, &inside) {
            (Some(hub), Some(inside)) => HomeAssistant::new(hub, inside.clients.clone(), registry.clone()),
            (Some(hub), None) if hub.home_assistant.is_some() => {
                warn!(
                    "nothing is shown in Home Assistant, since [upstream] relay passes the devices on to another server; leave \
                     it out, or [mqtt] home_assistant"
                );
                None
            }
            _ => None,
        };
        let entries = Entries::default();
        entries.set(boards, settings.dial.clone());
        let serial = Arc::new(SerialPorts {
            ports: settings.ports.clone(),
            intake: intake.clone(),
        });
        let ble = Arc::new(BlePeripherals {
            intake: intake.clone(),
        });
        let dial = Arc::new(DialledBoards {
            ping_interval: settings.devices.ping_interval,
            intake: intake.clone(),
        });
        let engine = inside.as_ref().map(|inside| inside.engine.clone());
        let access = page.as_ref().map(|page| page.access.clone());
        let reloader = Reloader::new(settings.clone(), udcf, entries, served, engine, access);
        let bridging = Bridging::new(reloader.clone(), settings.ports.clone());
        let devices = Arc::new(Devices {
            settings: settings.devices,
            intake,
            refusals: RefusalLog::default(),
            tls,
            signpost: Signpost::devices(client_addresses.first().copied())
                .with_page(page_addresses.first().copied())
                .with_only_tls(only_tls),
            workers: Workers::start().map_err(GatewayError::Workers)?,
        });
        Ok(Self {
            bound: Bound {
                devices: device_addresses[0],
                clients: client_addresses.first().copied(),
                device_addresses,
                client_addresses,
                page_addresses,
                only_tls,
                fingerprint,
            },
            device_port,
            devices,
            serial,
            ble,
            dial,
            registry,
            own_registry,
            edge,
            fleet,
            home_assistant,
            inside,
            control,
            page,
            about,
            reloader,
            bridging,
        })
    }

    /// The addresses that it listens on.
    pub fn bound(&self) -> Bound {
        self.bound.clone()
    }

    /// Who may use the page; `None` if it is not served.
    pub fn page_access(&self) -> Option<&Access> {
        self.page.as_ref().map(|page| &page.access)
    }

    /// Announces the ports that are configured to be announced.
    fn announce(&self) -> Vec<Announcement> {
        let mut announced = Vec::new();
        if self.devices.settings.announce {
            announced.extend(Announcement::start(
                Service::Devices,
                &self.bound.device_addresses,
            ));
        }
        if self.inside.as_ref().is_some_and(|inside| inside.announce) {
            let clients = &self.bound.client_addresses;
            if clients.iter().all(|address| address.ip().is_loopback()) {
                warn!(
                    "the gateway is not announced to apps, since it listens for apps on this machine only; to let apps \
                     on the network connect: --client-listen 0.0.0.0:{}",
                    clients.first().map_or(0, SocketAddr::port)
                );
            }
            announced.extend(Announcement::start(Service::Clients, clients));
        }
        announced
    }

    /// Serves until `stop` is cancelled, then stops every device and closes every connection within about a second.
    /// Must run on a multi-thread runtime, or on one that nothing blocks.
    ///
    /// # Errors
    /// [`GatewayError::Ended`] if a part of the gateway ended by itself; everything is stopped in that case too.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let announced = self.announce();
        // In this order: refuse newcomers and commands, stop every device, then close the sockets.
        let no_newcomers = CancellationToken::new();
        let no_control = CancellationToken::new();
        let mut inside = self.inside;
        let view = View {
            registry: self.registry.clone(),
            server: inside.as_ref().map(|inside| {
                let server = ServerInside {
                    engine: inside.engine.clone(),
                    clients: inside.clients.clone(),
                };
                Arc::new(server) as _
            }),
            simulator: Arc::new(SimulatedDevices::new(
                self.bound.devices,
                self.bound.fingerprint.filter(|_| self.bound.only_tls),
                self.devices.settings.token.as_ref(),
                self.registry.clone(),
                no_control.clone(),
            )),
            configuration: Arc::new(self.reloader.clone()),
            boards: Arc::new(self.bridging),
            fleet: Member::new(self.fleet.clone(), self.edge.clone()).map(|member| Arc::new(member) as _),
            about: self.about,
            stop: no_control.clone(),
        };
        let mut rooms = Rooms::default();
        rooms.spawn(
            "the device port",
            self.devices.serve(self.device_port, no_newcomers.clone()),
        );
        let entries = self.reloader.entries();
        let (serial, ble, dial) = (
            entries.serial.subscribe(),
            entries.ble.subscribe(),
            entries.dial.subscribe(),
        );
        rooms.spawn("serial ports", self.serial.serve(serial, no_newcomers.clone()));
        rooms.spawn("Bluetooth", self.ble.serve(ble, no_newcomers.clone()));
        rooms.spawn(
            "boards that are dialled",
            self.dial.serve(dial, no_newcomers.clone()),
        );
        if let Some(edge) = self.edge {
            rooms.spawn("the edge of the fleet", edge.serve(no_newcomers.clone()));
        }
        if let Some(fleet) = self.fleet {
            rooms.spawn("the hub of the fleet", fleet.serve(no_newcomers.clone()));
        }
        if let Some(home_assistant) = self.home_assistant {
            rooms.spawn("Home Assistant", home_assistant.serve(no_newcomers.clone()));
        }
        let watching = self.reloader.clone().watch();
        let no_changes = no_newcomers.clone();
        rooms.spawn("the watch over the configuration", async move {
            no_changes.run_until_cancelled(watching).await;
        });
        let page = self.page.map(|page| tokio::spawn(page.serve(view.clone())));
        let control = self.control.map(|control| tokio::spawn(control.serve(view)));
        if let Some((clients, runtime)) = inside.as_mut().and_then(Inside::clients) {
            rooms.spawn_on("the client port", clients, &runtime);
        }
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = rooms.first_end() => Err(ended),
        };

        let mut sessions = self.registry.sessions();
        if !Arc::ptr_eq(&self.registry, &self.own_registry) {
            sessions.extend(self.own_registry.sessions());
        }
        info!("stopping {} devices", sessions.len());
        no_newcomers.cancel();
        let stop_bytes = futures::future::join_all(sessions.iter().map(|s| s.stop_outputs()));
        let stop_all = async {
            if let Some(inside) = &inside {
                inside.no_commands.cancel();
                inside.engine.stop_all().await;
            }
        };
        let flushed = timeout(STOP_FLUSH_TIMEOUT, async { tokio::join!(stop_all, stop_bytes) }).await;
        if flushed.is_err() {
            warn!(
                "not every device took its stop within {} ms",
                STOP_FLUSH_TIMEOUT.as_millis()
            );
        }
        // Each session writes the stop again before it closes: the library may have had a command in flight.
        self.registry.end_all(|| Disconnect::Stopping);
        self.own_registry.end_all(|| Disconnect::Stopping);
        if let Some(inside) = &inside {
            inside.no_clients.cancel();
        }
        let closed = timeout(SHUTDOWN_GRACE, async {
            futures::future::join_all(announced.into_iter().map(Announcement::withdraw)).await;
            rooms.drain().await;
        })
        .await;
        if closed.is_err() {
            for session in self.registry.sessions() {
                warn!(peer = %session.peer, address = %session.handshake.address, "left behind: it did not close in time");
            }
            for room in rooms.open() {
                warn!("left behind: {room} did not close in time");
            }
        }
        // Last, so that watchers see how it ended; takes a tenth of a second at most.
        no_control.cancel();
        let _ = tokio::join!(OptionFuture::from(control), OptionFuture::from(page));
        if let Some(inside) = &inside {
            inside.store.flush();
            inside.engine.shutdown();
        }
        info!("stopped");
        ended
    }
}

/// Runs a gateway until SIGINT, SIGTERM or SIGHUP (on Windows Ctrl-C, Ctrl-Break, or the end of the console, the
/// session or the system). Calls `ready` once both ports are open. A second signal ends the process at once, with
/// exit code 130.
///
/// # Errors
/// If it cannot start, or if a part of it ended by itself; see [`GatewayError`].
pub async fn run(settings: Settings, ready: impl FnOnce(&Gateway)) -> Result<(), GatewayError> {
    // First of all, so that a signal during start-up is not lost.
    let mut signals = Signals::new().map_err(GatewayError::Signals)?;
    let gateway = Gateway::bind(settings).await?;
    ready(&gateway);
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        info!("{name}: stopping; once more to exit now");
        first.cancel();
        let name = signals.next().await;
        warn!("{name} again: exiting now");
        std::process::exit(i32::from(EXIT_INTERRUPTED));
    });
    gateway.serve(stop).await
}

/// Opens a port. Returns it with its addresses, at least one, which have the port number that the system chose.
fn listen(what: &'static str, listen: &Listen) -> Result<(Listeners, Vec<SocketAddr>), GatewayError> {
    Listeners::bind(listen).map_err(|BindError { addr, source }| GatewayError::Bind { what, addr, source })
}
