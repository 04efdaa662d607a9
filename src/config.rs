//! gateway.toml, environment and command line -> types that cannot be wrong.
//!
//! Command line beats environment beats file beats default. Every problem is found before anything is said.

mod ble;
mod entry;
mod file;
mod layers;
mod serial;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::defaults;
use crate::link::serial::ports::Ports;
use crate::net::target::Target;
use crate::net::tls::Tls;
pub use ble::BleSettings;
use layers::Reader;
pub use layers::{Given, Layers, Source};
pub use serial::{PortSource, SerialSettings};

/// The example that `init` prints: every key with its default.
pub const EXAMPLE: &str = include_str!("../gateway.example.toml");

/// What a configuration comes to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port that devices connect to.
    pub devices: DeviceSettings,
    /// The port that Buttplug clients connect to.
    pub clients: ClientSettings,
    /// Where devices are relayed to; `None` is the Buttplug server inside.
    pub upstream: Option<UpstreamSettings>,
    /// Boards on wires.
    pub serial: Vec<SerialSettings>,
    /// Boards on Bluetooth LE.
    pub ble: Vec<BleSettings>,
    /// Where serial ports are. Not in the file: only tests have others than the system's.
    pub ports: Ports,
    /// The user's UDCF; `None` is the built-in one.
    pub udcf: Option<PathBuf>,
    /// Where device indexes are remembered; `None` remembers nothing.
    pub state_file: Option<PathBuf>,
    /// Where the control socket is; `None` has none. Not in the file: a gateway is found where it always is.
    pub control: Option<ControlAt>,
}

/// The `[devices]` section.
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether the network is told of it, where it is reachable from there.
    pub announce: bool,
    /// Where set, devices connect to `/?token=...`.
    pub token: Option<Secret>,
    /// Web origins that may act as a device; a browser's request from any other is refused.
    pub origins: Vec<String>,
    /// From the TCP accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Between two pings.
    pub ping_interval: Duration,
    /// What is sent when control is lost, in place of what the protocol's name says.
    pub on_close: Option<Bytes>,
}

/// The `[clients]` section.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What clients show for this server.
    pub server_name: String,
    /// Buttplug's own ping: a client that sends no `Ping` for this long is out. `None`: not asked for.
    pub max_ping_time: Option<Duration>,
    /// From the TCP accept to the end of the websocket upgrade.
    pub handshake_timeout: Duration,
    /// Between two websocket pings.
    pub ping_interval: Duration,
}

/// The `[upstream]` section.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The Websocket Device Manager server that gets every device.
    pub relay: Target,
    /// Whom to trust where that is `wss://`.
    pub tls: Tls,
    /// How long devices are kept while it is away.
    pub grace: Duration,
}

/// Where a gateway has its control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAt {
    /// In the user's runtime directory, named for the port that devices connect to: there may be several gateways.
    RuntimeDirectory,
    /// Here.
    Path(PathBuf),
}

/// Text that masks itself wherever it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Something in the configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: `gateway.toml:3:10`, `--device-listen`, `WSDM_GATEWAY_UDCF`.
    pub at: String,
    /// The key, such as `devices.listen`; empty where it is about the file as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.at, self.problem),
            key => write!(f, "{}: {key}: {}", self.at, self.problem),
        }
    }
}

/// All that is wrong with a configuration, at least one thing.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

/// One key of a configuration: what it comes to, and where that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The key in gateway.toml.
    pub key: String,
    /// The value in words; secrets are masked.
    pub value: String,
    /// Where it comes from.
    pub source: String,
}

/// A configuration that holds.
#[derive(Debug)]
pub struct Loaded {
    /// What it comes to.
    pub settings: Settings,
    /// Each key, for people.
    pub shown: Vec<Shown>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// What holds, but hardly does what is meant, one sentence each.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Reads `file`, or else the user's own gateway.toml where there is one, under what `layers` already holds.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load(file: Option<&Path>, mut layers: Layers) -> Result<Self, ConfigError> {
        let own = user_file();
        let read = match (file, &own) {
            (Some(path), _) => Some(path.to_owned()),
            (None, Some(path)) if path.exists() => Some(path.clone()),
            (None, _) => None,
        };
        let mut problems = Vec::new();
        if let Some(path) = &read {
            file::read(path, &mut layers, &mut problems);
        }
        let mut reader = Reader::new(layers, problems);
        let settings = settings(&mut reader, read.as_deref());
        let (shown, problems, warnings) = reader.finish();
        if problems.is_empty() {
            Ok(Self {
                settings,
                shown,
                file: read,
                warnings,
            })
        } else {
            Err(ConfigError(problems))
        }
    }
}

/// The keys, in the order of the example.
fn settings(reader: &mut Reader, file: Option<&Path>) -> Settings {
    let ms = |d: Duration| d.as_millis() as u64;
    let folder = file.and_then(Path::parent);
    let mut devices = DeviceSettings {
        listen: reader.addr("devices.listen", defaults::DEVICE_LISTEN),
        announce: reader.switch("devices.announce", true),
        token: reader.secret("devices.token"),
        origins: reader.origins("devices.origins"),
        handshake_timeout: reader.millis(
            "devices.handshake_timeout_ms",
            ms(defaults::HANDSHAKE_TIMEOUT),
            defaults::TIMEOUT_RANGE_MS,
        ),
        ping_interval: reader.millis(
            "devices.ping_interval_ms",
            ms(defaults::PING_INTERVAL),
            defaults::TIMEOUT_RANGE_MS,
        ),
        on_close: reader.bytes("devices.on_close"),
    };
    let clients = ClientSettings {
        listen: reader.addr("clients.listen", defaults::CLIENT_LISTEN),
        server_name: reader.name("clients.server_name", defaults::SERVER_NAME),
        max_ping_time: Some(reader.millis("clients.max_ping_time_ms", 0, defaults::MAX_PING_RANGE_MS))
            .filter(|t| !t.is_zero()),
        handshake_timeout: reader.millis(
            "clients.handshake_timeout_ms",
            ms(defaults::HANDSHAKE_TIMEOUT),
            defaults::TIMEOUT_RANGE_MS,
        ),
        ping_interval: reader.millis(
            "clients.ping_interval_ms",
            ms(defaults::PING_INTERVAL),
            defaults::TIMEOUT_RANGE_MS,
        ),
    };
    let relay = reader.target("upstream.relay");
    let ca = reader.path("upstream.ca", folder, None, "the system's");
    let grace = reader.seconds(
        "upstream.upstream_grace_s",
        defaults::UPSTREAM_GRACE.as_secs(),
        defaults::GRACE_RANGE_S,
    );
    let upstream = relay.map(|relay| UpstreamSettings {
        tls: tls(reader, &relay, ca.as_deref()),
        relay,
        grace,
    });
    if let Some(upstream) = &upstream
        && let Some(theirs) = upstream.relay.local_port()
    {
        // Beside an Intiface on this machine its port is taken.
        if devices.listen == defaults::DEVICE_LISTEN
            && theirs == devices.listen.port()
            && !reader.is_given("devices.listen")
        {
            devices.listen.set_port(defaults::DEVICE_PORT_BESIDE_INTIFACE);
            reader.show_again(
                "devices.listen",
                devices.listen.to_string(),
                "default beside a local upstream",
            );
        } else if theirs == devices.listen.port() {
            reader.problem(
                "upstream.relay",
                "is this gateway's own port for devices: a loop".to_owned(),
            );
        }
    }
    if upstream.is_none() && devices.listen == clients.listen && devices.listen.port() != 0 {
        reader.problem(
            "clients.listen",
            "is the address that devices connect to; each needs its own".to_owned(),
        );
    }
    let state_default = state_folder().map(|folder| folder.join("state.json"));
    Settings {
        devices,
        clients,
        upstream,
        serial: serial::entries(reader),
        ble: ble::entries(reader),
        ports: Ports::system(),
        udcf: reader.path("udcf.path", folder, None, "built in: LVSDevice, TCodeDevice"),
        state_file: reader.path(
            "state.path",
            folder,
            state_default,
            "nothing is remembered: no home directory",
        ),
        control: None,
    }
}

/// Whom to trust upstream; what is missing for it is a problem of the key that asks for it.
fn tls(reader: &mut Reader, relay: &Target, ca: Option<&Path>) -> Tls {
    let tls = Tls::system();
    match ca {
        // Not a problem: a command line may replace the URL of a file that names a CA.
        Some(_) if !relay.is_tls() => reader.warning(
            "upstream.ca",
            format!("is not used, for {relay} is not encrypted; where it should be, write wss://"),
        ),
        Some(ca) => match Tls::with_ca(ca) {
            Ok(tls) => return tls,
            Err(e) => reader.problem("upstream.ca", format!("{e}; {}", e.hint())),
        },
        None if relay.is_tls() => {
            if let Err(e) = tls.connector() {
                reader.problem("upstream.relay", format!("{e}; {}", e.hint()));
            }
        }
        None => {}
    }
    tls
}

/// The gateway.toml that is read without being named.
fn user_file() -> Option<PathBuf> {
    dirs::config_dir().map(|d| d.join("wsdm-gateway").join("gateway.toml"))
}

/// The XDG state directory, or what stands for it on systems without.
fn state_folder() -> Option<PathBuf> {
    dirs::state_dir()
        .or_else(dirs::data_local_dir)
        .map(|d| d.join("wsdm-gateway"))
}
