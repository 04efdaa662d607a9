//! The wiring: build the parts, supervise them, drain on shutdown.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use buttplug_server_device_config::DeviceConfigurationManager;
use futures::future::OptionFuture;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clients::Clients;
use crate::config::{ClientSettings, Settings};
use crate::defaults::{SHUTDOWN_GRACE, STOP_FLUSH_TIMEOUT};
use crate::ingress::Intake;
use crate::ingress::ble::BlePeripherals;
use crate::ingress::serial::SerialPorts;
use crate::ingress::websocket::Devices;
use crate::ingress::websocket::announce::Announcement;
use crate::ingress::websocket::refusals::RefusalLog;
use crate::ingress::websocket::workers::Workers;
use crate::session::admission::Admission;
use crate::session::ends::{Disconnect, Upstream};
use crate::session::registry::Registry;
use crate::udcf::store::IndexStore;
use crate::udcf::{Udcf, UdcfError};
use crate::upstream::embedded::{Engine, EngineError};
use crate::upstream::relay::Relay;
use crate::web::control::Control;

/// The addresses that the gateway listens on, with the ports that the system chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Where devices connect.
    pub devices: SocketAddr,
    /// Where Buttplug clients connect; `None` where devices are relayed.
    pub clients: Option<SocketAddr>,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A port cannot be listened on.
    #[error("cannot listen for {what} on {addr}: {source}")]
    Bind {
        /// `devices` or `clients`.
        what: &'static str,
        /// The address as configured.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// The UDCF cannot be used.
    #[error(transparent)]
    Udcf(#[from] UdcfError),
    /// The Buttplug server did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The system has no room for the threads that serve devices.
    #[error("cannot start the threads that serve devices: {0}")]
    Workers(#[source] io::Error),
}

impl GatewayError {
    /// One line on what to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bind { what, addr, source } => {
                let flag = if *what == "devices" {
                    "--device-listen"
                } else {
                    "--client-listen"
                };
                Some(match source.kind() {
                    io::ErrorKind::AddrInUse => format!(
                        "another program has port {}, perhaps Intiface or another gateway; stop it, or choose a \
                         port with {flag}",
                        addr.port()
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        format!(
                            "this machine has no address {}; choose one with {flag}",
                            addr.ip()
                        )
                    }
                    io::ErrorKind::PermissionDenied => {
                        format!("ports below 1024 are for the administrator; choose one with {flag}")
                    }
                    _ => format!("choose another address with {flag}"),
                })
            }
            Self::Udcf(e) => e.hint(),
            Self::Signals(_) | Self::Engine(_) | Self::Workers(_) => None,
        }
    }
}

/// A gateway whose ports are open and which serves once [`Gateway::serve`] is called.
pub struct Gateway {
    bound: Bound,
    device_port: TcpListener,
    devices: Arc<Devices>,
    /// Not there where no board on a wire is configured.
    serial: Option<Arc<SerialPorts>>,
    /// Not there where no board on Bluetooth is configured.
    ble: Option<Arc<BlePeripherals>>,
    registry: Arc<Registry>,
    inside: Option<Inside>,
    control: Option<Control>,
}

/// The Buttplug server inside, and the port of its clients; not there where devices are relayed.
struct Inside {
    engine: Arc<Engine>,
    client_port: Option<std::net::TcpListener>,
    clients: Clients,
    no_commands: CancellationToken,
    no_clients: CancellationToken,
    store: Arc<IndexStore>,
}

impl Inside {
    async fn bind(
        settings: ClientSettings,
        state_file: Option<&Path>,
        dcm: Arc<DeviceConfigurationManager>,
    ) -> Result<(Self, SocketAddr), GatewayError> {
        let (store, warnings) = IndexStore::open(state_file);
        for warning in warnings {
            warn!("{warning}");
        }
        let store = Arc::new(store);

        let (client_port, bound) = listen("clients", settings.listen).await?;
        let client_port = client_port.into_std().map_err(|source| GatewayError::Bind {
            what: "clients",
            addr: bound,
            source,
        })?;
        let engine = Engine::start(dcm, store.clone())?;
        let (no_commands, no_clients) = (CancellationToken::new(), CancellationToken::new());
        let clients = Clients::new(engine.clone(), settings, no_commands.clone(), no_clients.clone());
        Ok((
            Self {
                engine,
                client_port: Some(client_port),
                clients,
                no_commands,
                no_clients,
                store,
            },
            bound,
        ))
    }

    /// Serves clients, on the engine's thread. Once.
    fn serve(&mut self) -> Option<JoinHandle<()>> {
        let (port, clients) = (self.client_port.take()?, self.clients.clone());
        Some(self.engine.runtime().spawn(async move {
            // The port becomes the engine's: its thread is the one that is woken by clients.
            match TcpListener::from_std(port) {
                Ok(port) => clients.serve(port).await,
                Err(e) => warn!("cannot serve clients: {e}"),
            }
        }))
    }
}

impl Gateway {
    /// Reads the UDCF, opens the ports and starts the Buttplug server, where it is inside.
    ///
    /// # Errors
    /// A broken UDCF, a port that is taken, a system without room for a thread.
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
        let dcm = udcf.device_configuration()?;
        let (device_port, bound) = listen("devices", settings.devices.listen).await?;
        let admission = Admission::new(&settings.devices, udcf.websocket_names(), dcm.clone());
        let (upstream, admission, inside, clients) = match settings.upstream {
            Some(upstream) => {
                let relay = Relay::new(upstream, settings.devices.ping_interval);
                (relay as Arc<dyn Upstream>, admission.any_name(), None, None)
            }
            None => {
                let (inside, bound) =
                    Inside::bind(settings.clients, settings.state_file.as_deref(), dcm).await?;
                (
                    inside.engine.clone() as Arc<dyn Upstream>,
                    admission,
                    Some(inside),
                    Some(bound),
                )
            }
        };
        let control = match &settings.control {
            Some(at) => Control::open_or_warn(at, bound.port()).await,
            None => None,
        };
        let registry = Arc::new(Registry::default());
        let intake = Arc::new(Intake {
            admission,
            registry: registry.clone(),
            upstream,
        });
        let serial = (!settings.serial.is_empty()).then(|| {
            Arc::new(SerialPorts {
                entries: settings.serial,
                ports: settings.ports,
                intake: intake.clone(),
            })
        });
        let ble = (!settings.ble.is_empty()).then(|| {
            Arc::new(BlePeripherals {
                entries: Arc::new(settings.ble),
                intake: intake.clone(),
            })
        });
        let devices = Arc::new(Devices {
            settings: settings.devices,
            intake,
            refusals: RefusalLog::default(),
            workers: Workers::start().map_err(GatewayError::Workers)?,
        });
        Ok(Self {
            bound: Bound {
                devices: bound,
                clients,
            },
            device_port,
            devices,
            serial,
            ble,
            registry,
            inside,
            control,
        })
    }

    /// Where it listens.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// Serves until `stop` is cancelled; then stops every device and closes every connection, in about a second
    /// at most. Must run on a multi-thread runtime or one that nothing blocks.
    pub async fn serve(self, stop: CancellationToken) {
        let announced = (self.devices.settings.announce)
            .then(|| Announcement::start(self.bound.devices))
            .flatten();
        // In this order: no new devices and no more commands, every device stopped, then the sockets.
        let no_newcomers = CancellationToken::new();
        let mut devices = tokio::spawn(self.devices.serve(self.device_port, no_newcomers.clone()));
        let mut serial = self
            .serial
            .map(|serial| tokio::spawn(serial.serve(no_newcomers.clone())));
        let mut ble = self.ble.map(|ble| tokio::spawn(ble.serve(no_newcomers.clone())));
        let no_control = CancellationToken::new();
        let control = self
            .control
            .map(|control| tokio::spawn(control.serve(self.registry.clone(), no_control.clone())));
        let mut inside = self.inside;
        let mut clients = inside.as_mut().and_then(Inside::serve);
        tokio::select! {
            () = stop.cancelled() => {}
            ended = &mut devices => warn!("the device port stopped by itself: {ended:?}"),
            Some(ended) = OptionFuture::from(serial.as_mut()) => {
                warn!("the serial ports stopped by themselves: {ended:?}");
            }
            Some(ended) = OptionFuture::from(ble.as_mut()) => {
                warn!("Bluetooth stopped by itself: {ended:?}");
            }
            Some(ended) = OptionFuture::from(clients.as_mut()) => {
                warn!("the client port stopped by itself: {ended:?}");
            }
        }

        let sessions = self.registry.sessions();
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
        // Each session writes the stop bytes once more before it closes: the library may have had a command left.
        self.registry.end_all(|| Disconnect::Stopping);
        if let Some(inside) = &inside {
            inside.no_clients.cancel();
        }
        let closed = timeout(SHUTDOWN_GRACE, async {
            let _ = OptionFuture::from(announced.map(Announcement::withdraw)).await;
            wait_for(Some(&mut devices)).await;
            wait_for(serial.as_mut()).await;
            wait_for(ble.as_mut()).await;
            wait_for(clients.as_mut()).await;
        })
        .await;
        if closed.is_err() {
            for session in self.registry.sessions() {
                warn!(peer = %session.peer, address = %session.handshake.address, "left behind: it did not close in time");
            }
            if ble.as_ref().is_some_and(|ble| !ble.is_finished()) {
                warn!("left behind: Bluetooth did not let go of every peripheral in time");
            }
        }
        // Last, so that whoever watches sees how it ended; it takes a tenth of a second at most.
        no_control.cancel();
        let _ = OptionFuture::from(control).await;
        if let Some(inside) = &inside {
            inside.store.flush();
            inside.engine.shutdown();
        }
        info!("stopped");
    }
}

/// Runs a gateway until SIGINT or SIGTERM, or Ctrl-C where there are no signals. `ready` is called once both
/// ports are open. A second signal ends the process at once, with exit code 130.
///
/// # Errors
/// When it cannot start; see [`GatewayError`].
pub async fn run(settings: Settings, ready: impl FnOnce(&Bound)) -> Result<(), GatewayError> {
    // Before anything else: a signal that comes during start-up is not lost.
    let mut signals = Signals::new().map_err(GatewayError::Signals)?;
    let gateway = Gateway::bind(settings).await?;
    ready(&gateway.bound());
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        let name = signals.next().await;
        info!("{name}: stopping; once more to exit now");
        first.cancel();
        let name = signals.next().await;
        warn!("{name} again: exiting now");
        std::process::exit(crate::cmd::error::EXIT_INTERRUPTED);
    });
    gateway.serve(stop).await;
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        // Where Ctrl-C cannot be listened for, nothing ever comes.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

/// Waits for a part that may have ended before.
async fn wait_for<T>(part: Option<&mut JoinHandle<T>>) {
    if let Some(part) = part.filter(|part| !part.is_finished()) {
        let _ = part.await;
    }
}

/// Opens a port; also its address, with the port that the system chose.
async fn listen(what: &'static str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), GatewayError> {
    let failed = |source| GatewayError::Bind { what, addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
