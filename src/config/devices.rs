//! The `[devices]` section.

use std::time::Duration;

use ::bytes::Bytes;

use super::Secret;
use super::layers::Reader;
use super::read::Keys;
use super::table::{Key, Kind, Preset, Section};
use crate::defaults;
use crate::net::listen::Listen;

pub(super) static SECTION: Section = Section {
    name: "devices",
    repeated: false,
    help: "The port that devices connect to.",
    keys: &[
        Key {
            name: "listen",
            kind: Kind::Addresses,
            default: Preset::Localhost(defaults::DEVICE_LISTEN.port()),
            flag: Some("device-listen"),
            help: "Listen for devices on this address",
            note: "A list of several is possible. A loopback address admits this machine only, \"0.0.0.0:54817\" the whole \
                   network; \"localhost:PORT\" means both loopback addresses, or the only one that the host has. If an \
                   upstream server on this machine has port 54817, the default is port 54818.",
            ..Key::BASE
        },
        Key {
            name: "announce",
            kind: Kind::Switch,
            default: Preset::Switch(true),
            help: "Announce the gateway by mDNS (_wsdm._tcp), unless it listens on loopback only",
            ..Key::BASE
        },
        Key {
            name: "token",
            kind: Kind::Secret,
            default: Preset::Unset("no token"),
            flag: Some("device-token"),
            example: "\"at-least-8-characters\"",
            help: "Refuse devices that do not connect to /?token=TOKEN",
            note: "It has at least 8 characters of A-Z a-z 0-9 - . _ ~.",
            ..Key::BASE
        },
        Key {
            name: "origins",
            kind: Kind::Origins,
            default: Preset::Unset("no web page"),
            example: "[\"http://localhost:8080\"]",
            help: "Let web pages of these origins act as devices",
            note: "Programs that are not browsers send no origin and are not affected.",
            ..Key::BASE
        },
        Key {
            name: "handshake_timeout_ms",
            kind: Kind::milliseconds(defaults::TIMEOUT_RANGE_MS),
            default: Preset::Time(defaults::HANDSHAKE_TIMEOUT),
            help: "Disconnect a device that has not completed its handshake after this time",
            ..Key::BASE
        },
        Key {
            name: "ping_interval_ms",
            kind: Kind::milliseconds(defaults::TIMEOUT_RANGE_MS),
            default: Preset::Time(defaults::PING_INTERVAL),
            help: "Ping each device this often, and disconnect one that is silent for two intervals",
            ..Key::BASE
        },
        Key {
            name: "on_close",
            kind: Kind::Bytes,
            default: Preset::Unset("by protocol"),
            example: "\"Vibrate:0;\"",
            help: "Send these bytes to a device when control is lost, instead of its protocol's stop",
            ..Key::BASE
        },
    ],
};

/// The `[devices]` section.
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Listen,
    /// Whether to announce the port on the network, if it can be reached from there.
    pub announce: bool,
    /// If set, devices connect to `/?token=...`.
    pub token: Option<Secret>,
    /// Web origins that may act as a device; a browser's request from any other is refused.
    pub origins: Vec<String>,
    /// From the TCP accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Between two pings.
    pub ping_interval: Duration,
    /// What is sent when control is lost, in place of the protocol's stop.
    pub on_close: Option<Bytes>,
}

pub(super) fn read(reader: &mut Reader) -> DeviceSettings {
    let mut keys = Keys::new(reader, &SECTION);
    DeviceSettings {
        listen: keys.addresses("listen"),
        announce: keys.switch("announce").unwrap_or_default(),
        token: keys.secret("token"),
        origins: keys.origins("origins"),
        handshake_timeout: keys.time("handshake_timeout_ms"),
        ping_interval: keys.time("ping_interval_ms"),
        on_close: keys.bytes("on_close"),
    }
}
