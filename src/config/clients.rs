//! The `[clients]` section.

use std::time::Duration;

use super::layers::Reader;
use super::read::Keys;
use super::table::{Key, Kind, Preset, Section};
use crate::defaults;
use crate::net::listen::Listen;

pub(super) static SECTION: Section = Section {
    name: "clients",
    repeated: false,
    help: "The port that Buttplug apps connect to. There is none while devices are passed on to another server or to hubs.",
    keys: &[
        Key {
            name: "listen",
            kind: Kind::Addresses,
            default: Preset::Localhost(defaults::CLIENT_LISTEN.port()),
            flag: Some("client-listen"),
            help: "Listen for Buttplug apps on this address",
            note: "A list of several is possible. Everyone who can reach one of them can command every device. \
                   \"localhost:PORT\" means both loopback addresses, or the only one that the host has.",
            ..Key::BASE
        },
        Key {
            name: "announce",
            kind: Kind::Switch,
            default: Preset::Switch(false),
            help: "Announce the gateway to apps by mDNS, as Intiface does (_intiface_engine._tcp), unless it listens on \
                   loopback only",
            ..Key::BASE
        },
        Key {
            name: "origins",
            kind: Kind::Form("any, ask, or list of origins"),
            default: Preset::Text("any"),
            help: "Let web pages of these origins command devices; \"ask\" asks on the gateway's page",
            note: "\"any\" admits every web page that a browser on this machine opens; a list such as \
                   [\"https://xtoys.app\"] admits the pages that it names. Programs that are not browsers send no origin \
                   and are not affected. A page that was blocked on the gateway's page stays out in any case.",
            ..Key::BASE
        },
        Key {
            name: "server_name",
            kind: Kind::Text,
            default: Preset::Text(defaults::SERVER_NAME),
            flag: Some("server-name"),
            help: "Show this name in apps",
            ..Key::BASE
        },
        Key {
            name: "max_ping_time_ms",
            kind: Kind::milliseconds(defaults::MAX_PING_RANGE_MS),
            default: Preset::Number(0),
            flag: Some("max-ping-time"),
            help: "Stop and disconnect an app that sends no Buttplug Ping for this long; 0 is off",
            ..Key::BASE
        },
        Key {
            name: "handshake_timeout_ms",
            kind: Kind::milliseconds(defaults::TIMEOUT_RANGE_MS),
            default: Preset::Time(defaults::HANDSHAKE_TIMEOUT),
            help: "Disconnect an app that has not completed its websocket or its Buttplug handshake after this time",
            ..Key::BASE
        },
        Key {
            name: "ping_interval_ms",
            kind: Kind::milliseconds(defaults::TIMEOUT_RANGE_MS),
            default: Preset::Time(defaults::PING_INTERVAL),
            help: "Ping each app this often, and disconnect one that is silent for two intervals",
            ..Key::BASE
        },
        Key {
            name: "stop_after_ms",
            kind: Kind::milliseconds(defaults::STOP_AFTER_RANGE_MS),
            default: Preset::Time(defaults::STOP_AFTER),
            help: "Stop a device that has an output on if nothing was received from its app for this long",
            note: "The app stays connected, and its next command counts again.",
            ..Key::BASE
        },
    ],
};

/// Which web pages may command the devices. Programs are not affected: they send no origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Those of any origin.
    #[default]
    Any,
    /// The user is asked about each origin.
    Ask,
    /// Those of these origins.
    Listed(Vec<String>),
}

impl std::fmt::Display for Origins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Ask => f.write_str("ask"),
            Self::Listed(origins) if origins.is_empty() => f.write_str("none"),
            Self::Listed(origins) => f.write_str(&origins.join(", ")),
        }
    }
}

/// The `[clients]` section.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Listen,
    /// Whether to announce the port on the network, if it can be reached from there.
    pub announce: bool,
    /// Which web pages may connect.
    pub origins: Origins,
    /// How long a web page that is asked about waits for the answer. Not in the file.
    pub question_timeout: Duration,
    /// What clients show for this server.
    pub server_name: String,
    /// Buttplug's own ping: a client that sends no `Ping` for this long is disconnected. `None` if it is off.
    pub max_ping_time: Option<Duration>,
    /// From the TCP accept to the end of the websocket upgrade.
    pub handshake_timeout: Duration,
    /// Between two websocket pings.
    pub ping_interval: Duration,
    /// The silence of a client after which its devices are stopped, if one of their outputs is on.
    pub stop_after: Duration,
}

pub(super) fn read(reader: &mut Reader) -> ClientSettings {
    let mut keys = Keys::new(reader, &SECTION);
    ClientSettings {
        listen: keys.addresses("listen"),
        announce: keys.switch("announce").unwrap_or_default(),
        origins: keys.app_origins("origins"),
        question_timeout: defaults::ORIGIN_QUESTION_TIMEOUT,
        server_name: keys.name("server_name").unwrap_or_default(),
        max_ping_time: Some(keys.time("max_ping_time_ms")).filter(|time| !time.is_zero()),
        handshake_timeout: keys.time("handshake_timeout_ms"),
        ping_interval: keys.time("ping_interval_ms"),
        stop_after: keys.time("stop_after_ms"),
    }
}
