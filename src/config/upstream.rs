//! The `[upstream]` section.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::DeviceSettings;
use super::layers::Reader;
use super::read::{Keys, text};
use super::table::{Key, Kind, Preset, Section};
use crate::advice::Advice;
use crate::defaults;
use crate::net::listen::Place;
use crate::net::target::Target;
use crate::net::tls::Tls;

pub(super) static SECTION: Section = Section {
    name: "upstream",
    repeated: false,
    help: "Another server that gets the devices, in place of the Buttplug server inside.",
    keys: &[
        Key {
            name: "relay",
            kind: Kind::Url,
            default: Preset::Unset("the server inside"),
            flag: Some("upstream"),
            example: "\"ws://192.168.1.20:54817\"",
            help: "Relay every device to this WSDM server, ws:// or wss://",
            note: "It may be Intiface Central with its Device Websocket Server switched on, or another gateway. The port \
                   of wss:// is 443 unless the URL names another.",
            ..Key::BASE
        },
        Key {
            name: "ca",
            kind: Kind::Path,
            default: Preset::Unset("the system's"),
            flag: Some("upstream-ca"),
            example: "\"ca.pem\"",
            help: "Trust the CAs of this PEM file, and no others, for wss://",
            note: "Relative to gateway.toml.",
            ..Key::BASE
        },
        Key {
            name: "grace_s",
            kind: Kind::seconds(defaults::GRACE_RANGE_S),
            default: Preset::Time(defaults::UPSTREAM_GRACE),
            aliases: &["upstream_grace_s"],
            help: "Keep devices connected, but stopped, for this long while the upstream server is away",
            ..Key::BASE
        },
        Key {
            name: "stop_after_ms",
            kind: Kind::milliseconds(defaults::STOP_AFTER_RANGE_MS),
            default: Preset::Time(defaults::STOP_AFTER),
            help: "Stop a device that has an output on if nothing was received from upstream for this long",
            note: "The connection stays, and the next command counts again.",
            ..Key::BASE
        },
    ],
};

/// The `[upstream]` section: what gets every device.
#[derive(Clone, Debug)]
pub enum UpstreamSettings {
    /// Another Websocket Device Manager server.
    Relay(RelaySettings),
}

impl fmt::Display for UpstreamSettings {
    /// Where it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(relay) => relay.relay.fmt(f),
        }
    }
}

/// Relaying every device to another server.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The Websocket Device Manager server that gets every device.
    pub relay: Target,
    /// What to trust if that is `wss://`.
    pub tls: Tls,
    /// How long devices are kept while it is away.
    pub grace: Duration,
    /// The silence of the server after which a device is stopped, if one of its outputs is on.
    pub stop_after: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<UpstreamSettings> {
    let mut keys = Keys::new(reader, &SECTION);
    let parse = |given: &_| Target::parse(text(given)?).map_err(|e| e.with_hint());
    let relay = keys.read("relay", parse, ToString::to_string);
    let ca = keys.path("ca");
    let grace = keys.time("grace_s");
    let stop_after = keys.time("stop_after_ms");
    relay.map(|relay| {
        UpstreamSettings::Relay(RelaySettings {
            tls: tls(&mut keys, "relay", &relay, ca.as_deref()),
            relay,
            grace,
            stop_after,
        })
    })
}

/// The CAs to trust at the other end of a websocket. Problems with them are reported at the key that needs them: `ca`, or
/// `url`, the key of the target.
pub(super) fn tls(keys: &mut Keys<'_>, url: &str, target: &Target, ca: Option<&Path>) -> Tls {
    let tls = Tls::system();
    match ca {
        // Not a problem: a command line may replace the URL of a file that names a CA.
        Some(_) if !target.is_tls() => keys.warning(
            "ca",
            format!("is not used, for {target} is not encrypted; if it should be, write wss://"),
        ),
        Some(ca) => match Tls::with_ca(ca) {
            Ok(tls) => return tls,
            Err(e) => keys.problem("ca", e.with_hint()),
        },
        None if target.is_tls() => {
            if let Err(e) = tls.connector() {
                keys.problem(url, e.with_hint());
            }
        }
        None => {}
    }
    tls
}

/// Keeps the port for devices apart from that of an upstream server on this machine.
pub(super) fn keep_apart(reader: &mut Reader, upstream: &UpstreamSettings, devices: &mut DeviceSettings) {
    let UpstreamSettings::Relay(upstream) = upstream;
    let Some(port) = upstream.relay.local_port() else {
        return;
    };
    if devices.listen.addresses().all(|address| address.port() != port) {
        return;
    }
    if !reader.is_given("devices.listen") {
        // Beside an Intiface on this machine its port is taken.
        devices.listen = Place::Localhost(defaults::DEVICE_PORT_BESIDE_INTIFACE).into();
        let source = "default beside a local upstream".to_owned();
        reader.show("devices.listen", devices.listen.to_string(), source);
    } else {
        reader.problem(
            "upstream.relay",
            "is this gateway's own port for devices: a loop".to_owned(),
        );
    }
}
