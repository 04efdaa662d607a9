//! The `[devices]` section.

use std::path::Path;
use std::time::Duration;

use ::bytes::Bytes;

use super::Secret;
use super::layers::Reader;
use super::read::Keys;
use super::table::{Key, Kind, Preset, Section, words};
use crate::advice::Advice;
use crate::defaults;
use crate::net::listen::Listen;
use crate::net::tls::{Certificate, kept};

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
            name: "tls",
            kind: Kind::Choice(&words(&TLS)),
            default: Preset::Text("off"),
            flag: Some("device-tls"),
            help: "Let devices connect by TLS, wss://: off, also (with or without it) or only (not without it)",
            note: "Without tls_cert the gateway makes a certificate, once, and keeps it beside its state file. A board checks \
                   its fingerprint, which the log has at the start: see docs/security.md.",
            ..Key::BASE
        },
        Key {
            name: "tls_cert",
            kind: Kind::Path,
            default: Preset::Unset("one that the gateway makes"),
            example: "\"devices.pem\"",
            help: "Present the certificate in this PEM file, in place of one of the gateway's own",
            note: "Behind it may stand those that lead to its CA. This project's firmware needs a key of the kind ECDSA P-256.",
            ..Key::BASE
        },
        Key {
            name: "tls_key",
            kind: Kind::Path,
            default: Preset::Unset("that of the gateway's own certificate"),
            example: "\"devices.key\"",
            help: "The private key of tls_cert, a PEM file without a password",
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

/// What [`DeviceTls`] is without its certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Also,
    Only,
}

const TLS: [(&str, Mode); 3] = [("off", Mode::Off), ("also", Mode::Also), ("only", Mode::Only)];

/// The `[devices]` section.
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Listen,
    /// Whether to announce the port on the network, if it can be reached from there.
    pub announce: bool,
    /// If set, devices connect to `/?token=...`.
    pub token: Option<Secret>,
    /// TLS; `None` if devices cannot use it.
    pub tls: Option<DeviceTls>,
    /// Web origins that may act as a device; a browser's request from any other is refused.
    pub origins: Vec<String>,
    /// From the TCP accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Between two pings.
    pub ping_interval: Duration,
    /// What is sent when control is lost, in place of the protocol's stop.
    pub on_close: Option<Bytes>,
}

/// TLS on the port for devices.
#[derive(Clone, Debug)]
pub struct DeviceTls {
    /// Whether devices without it are refused.
    pub only: bool,
    /// The certificate that was given; `None` is one of the gateway's own.
    pub certificate: Option<Certificate>,
}

pub(super) fn read(reader: &mut Reader) -> DeviceSettings {
    let mut keys = Keys::new(reader, &SECTION);
    DeviceSettings {
        listen: keys.addresses("listen"),
        announce: keys.switch("announce").unwrap_or_default(),
        token: keys.secret("token"),
        tls: read_tls(&mut keys),
        origins: keys.origins("origins"),
        handshake_timeout: keys.time("handshake_timeout_ms"),
        ping_interval: keys.time("ping_interval_ms"),
        on_close: keys.bytes("on_close"),
    }
}

fn read_tls(keys: &mut Keys<'_>) -> Option<DeviceTls> {
    let mode = keys.choice("tls", &TLS).unwrap_or(Mode::Off);
    let files = (keys.path("tls_cert"), keys.path("tls_key"));
    if mode == Mode::Off {
        // Not a problem: a command line may switch it off.
        keys.no_effect_without(&["tls_cert", "tls_key"], "tls = \"also\" or \"only\"");
        return None;
    }
    let certificate = match &files {
        (Some(certificate), Some(key)) => match Certificate::read(certificate, key) {
            Ok(certificate) => Some(certificate),
            Err(e) => {
                keys.problem("tls_cert", e.with_hint());
                None
            }
        },
        (Some(_), None) => {
            keys.problem("tls_cert", "stands without tls_key, its private key");
            None
        }
        (None, Some(_)) => {
            keys.problem("tls_key", "stands without tls_cert, its certificate");
            None
        }
        (None, None) => None,
    };
    Some(DeviceTls {
        only: mode == Mode::Only,
        certificate,
    })
}

/// Looks whether the certificate of the gateway's own, if it needs one, can be kept beside this state file.
pub(super) fn check_kept(reader: &mut Reader, devices: &DeviceSettings, state_file: Option<&Path>) {
    let is_given = ["tls_cert", "tls_key"]
        .iter()
        .any(|key| reader.is_given(&format!("{}.{key}", SECTION.name)));
    if devices.tls.is_none() || is_given {
        return;
    }
    let mut keys = Keys::new(reader, &SECTION);
    let Some(path) = kept::place(state_file) else {
        return keys.problem(
            "tls",
            "needs a certificate, and nothing is remembered: choose a state file, or give tls_cert and tls_key",
        );
    };
    match Certificate::kept(&path) {
        Ok(Some(_)) if kept::is_readable_by_others(&path) => keys.warning(
            "tls",
            format!(
                "{} holds the private key of the certificate, and others than its owner can read it; chmod 600 it",
                path.display()
            ),
        ),
        Ok(_) => {}
        Err(e) => keys.problem("tls", e.with_hint()),
    }
}
