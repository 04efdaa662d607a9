//! gateway.toml, environment and command line -> types that cannot be wrong.
//!
//! Command line beats environment beats file beats default. Every problem is found before anything is said.

mod ble;
mod board;
mod broker;
mod bytes;
mod clients;
mod devices;
mod dial;
pub mod edit;
mod file;
mod files;
mod layers;
mod mqtt;
mod page;
mod read;
mod reference;
mod serial;
pub(crate) mod table;
mod tls;
mod udcf;
mod upstream;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::advice::{Advice, EXIT_USAGE};
use crate::link::serial::ports::Ports;
pub use ble::BleSettings;
pub use broker::BrokerSettings;
pub use clients::{ClientSettings, Origins};
pub use devices::{DeviceSettings, DeviceTls};
pub use dial::DialSettings;
pub use files::Files;
pub use layers::{Given, Layers, Source};
use layers::{Notes, Reader};
pub use mqtt::{HomeAssistantSettings, HubSettings};
pub use page::PageSettings;
pub use reference::{example, reference};
pub use serial::{PortSource, SerialSettings};
use table::Section;
pub use upstream::{EdgeSettings, RelaySettings, UpstreamSettings};

/// Every section, in the order of the example.
pub(crate) static SECTIONS: [&Section; 10] = [
    &devices::SECTION,
    &clients::SECTION,
    &page::SECTION,
    &upstream::SECTION,
    &mqtt::SECTION,
    &udcf::UDCF,
    &udcf::STATE,
    &serial::SECTION,
    &ble::SECTION,
    &dial::SECTION,
];

/// What a configuration comes to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port that devices connect to.
    pub devices: DeviceSettings,
    /// The port that Buttplug clients connect to.
    pub clients: ClientSettings,
    /// The page; `None` if it is not served.
    pub page: Option<PageSettings>,
    /// Where devices are passed on to; `None` is the Buttplug server inside.
    pub upstream: Option<UpstreamSettings>,
    /// The fleet whose devices this gateway gets as a hub; `None` if it is none.
    pub mqtt: Option<HubSettings>,
    /// Boards on wires.
    pub serial: Vec<SerialSettings>,
    /// Boards on Bluetooth LE.
    pub ble: Vec<BleSettings>,
    /// Boards that listen.
    pub dial: Vec<DialSettings>,
    /// Where serial ports are. Not in the file: only tests have others than the system's.
    pub ports: Ports,
    /// The user's UDCF; `None` is the built-in one.
    pub udcf: Option<PathBuf>,
    /// Whether the boards on wires and on Bluetooth that it describes are bridged.
    pub bridge_udcf: bool,
    /// Where device indexes are remembered; `None` remembers nothing.
    pub state_file: Option<PathBuf>,
    /// Where the control socket is; `None` has none. Not in the file: a gateway is found where it always is.
    pub control: Option<ControlAt>,
    /// Where all this comes from.
    pub files: Files,
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

impl Advice for ConfigError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some("wsdm-gateway check lists what the configuration comes to".into())
    }

    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

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
    pub fn load(file: Option<&Path>, layers: Layers) -> Result<Self, ConfigError> {
        Self::read(Files::new(file, layers.clone()), layers, None)
    }

    /// Reads gateway.toml, or `text` in its place, under what `layers` already holds.
    fn read(files: Files, mut layers: Layers, text: Option<&str>) -> Result<Self, ConfigError> {
        let read = match text {
            Some(_) => files.gateway.clone(),
            None => files.to_read().map(Path::to_owned),
        };
        let mut notes = Notes::default();
        match (&read, text) {
            (Some(path), Some(text)) => file::read_text(path, text, &mut layers, &mut notes),
            (Some(path), None) => file::read(path, &mut layers, &mut notes),
            (None, _) => {}
        }
        layers.add_entries();
        let folder = read.as_deref().and_then(Path::parent).map(Path::to_owned);
        let mut reader = Reader::new(layers, notes, folder);
        let mut settings = settings(&mut reader, files);
        let Notes {
            problems,
            warnings,
            shown,
            secrets,
        } = reader.notes;
        settings.files.shown.clone_from(&shown);
        settings.files.secrets = secrets;
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

impl Loaded {
    /// A problem with a key's value, at the place where it was given.
    pub fn problem(&self, key: &str, problem: String) -> Problem {
        let shown = self.shown.iter().find(|shown| shown.key == key);
        Problem {
            at: shown.map(|shown| shown.source.clone()).unwrap_or_default(),
            key: key.to_owned(),
            problem,
        }
    }
}

/// Reads all sections, in the order of the example, and looks at what they say together.
fn settings(reader: &mut Reader, files: Files) -> Settings {
    let mut devices = devices::read(reader);
    let clients = clients::read(reader);
    let page = page::read(reader);
    let upstream = upstream::read(reader);
    if let Some(upstream) = &upstream {
        upstream::keep_apart(reader, upstream, &mut devices);
    }
    let mqtt = mqtt::read(reader);
    // An edge that is a hub, too, has apps.
    let has_apps = match &upstream {
        None => true,
        Some(UpstreamSettings::Mqtt(_)) => mqtt.is_some(),
        Some(UpstreamSettings::Relay(_)) => false,
    };
    if has_apps && let Some(address) = clients.listen.shared_with(&devices.listen) {
        let problem = format!("{address} is the address that devices connect to; each needs its own");
        reader.problem("clients.listen", problem);
    }
    let (udcf, bridge_udcf) = udcf::read(reader, &files);
    let state_file = udcf::read_state(reader);
    devices::check_kept(reader, &devices, state_file.as_deref());
    Settings {
        devices,
        clients,
        page,
        upstream,
        mqtt,
        udcf,
        bridge_udcf,
        state_file,
        serial: serial::entries(reader),
        ble: ble::entries(reader),
        dial: dial::entries(reader),
        ports: Ports::system(),
        control: None,
        files,
    }
}

/// The `[[serial]]` and `[[ble]]` entries of a text, read as if it were the gateway.toml of this name.
///
/// # Errors
/// Every problem at once.
pub fn entries_of(text: &str, name: &Path) -> Result<(Vec<SerialSettings>, Vec<BleSettings>), ConfigError> {
    let (mut layers, mut notes) = (Layers::default(), Notes::default());
    file::read_text(name, text, &mut layers, &mut notes);
    let mut reader = Reader::new(layers, notes, None);
    let entries = (serial::entries(&mut reader), ble::entries(&mut reader));
    match reader.notes.problems {
        problems if problems.is_empty() => Ok(entries),
        problems => Err(ConfigError(problems)),
    }
}

/// The gateway.toml that is read without being named.
fn user_file() -> Option<PathBuf> {
    dirs::config_dir().map(|d| d.join("wsdm-gateway").join("gateway.toml"))
}
