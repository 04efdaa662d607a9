//! The `[upstream]` section.

use std::fmt;
use std::time::Duration;

use super::DeviceSettings;
use super::broker::{self, BrokerSettings, Login};
use super::layers::Reader;
use super::read::{Keys, text};
use super::table::{Key, Kind, Preset, Section};
use super::tls::Server;
use crate::advice::Advice;
use crate::defaults;
use crate::device::fleet::names::Name;
use crate::net::listen::Place;
use crate::net::target::Target;
use crate::net::tls::Tls;

pub(super) static SECTION: Section = Section {
    name: "upstream",
    repeated: false,
    help: "What gets the devices in place of the Buttplug server inside: another server, or the hubs behind an MQTT \
           broker. In the latter case this gateway is an edge.",
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
            name: "mqtt",
            default: Preset::Unset("no broker"),
            flag: Some("upstream-mqtt"),
            help: "Or publish every device through this MQTT broker, mqtt:// or mqtts://, for the hubs of the fleet",
            ..broker::URL
        },
        Key {
            name: "edge",
            flag: Some("upstream-edge"),
            example: "\"bedroom\"",
            help: "Publish the devices under this name",
            ..broker::NAME
        },
        Key {
            name: "hub",
            kind: Kind::Form("name, or list of names"),
            default: Preset::Unset("any"),
            flag: Some("upstream-hub"),
            example: "\"living-room\"",
            help: "Let only the hub of this name claim the devices",
            note: "Of a list, the first that is present claims them.",
            ..Key::BASE
        },
        Key {
            flag: Some("upstream-user"),
            ..broker::USER
        },
        Key {
            flag: Some("upstream-password"),
            ..broker::PASSWORD
        },
        Key {
            flag: Some("upstream-ca"),
            help: "Trust the CAs of this PEM file, and no others, for wss:// and mqtts://",
            ..broker::CA
        },
        broker::CLIENT_CERT,
        broker::CLIENT_KEY,
        broker::TOPIC,
        Key {
            name: "grace_s",
            kind: Kind::seconds(defaults::GRACE_RANGE_S),
            default: Preset::Time(defaults::UPSTREAM_GRACE),
            aliases: &["upstream_grace_s"],
            help: "Keep devices connected, but stopped, for this long while the upstream server, or every hub, is away",
            ..Key::BASE
        },
        Key {
            name: "stop_after_ms",
            kind: Kind::milliseconds(defaults::STOP_AFTER_RANGE_MS),
            default: Preset::Time(defaults::STOP_AFTER),
            help: "Stop a device that has an output on if nothing was received from the relay's server for this long",
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
    /// The hubs behind an MQTT broker.
    Mqtt(EdgeSettings),
}

impl fmt::Display for UpstreamSettings {
    /// Where it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(relay) => relay.relay.fmt(f),
            Self::Mqtt(edge) => edge.broker.broker.fmt(f),
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

/// Publishing every device through an MQTT broker: this gateway is an edge.
#[derive(Clone, Debug)]
pub struct EdgeSettings {
    /// The broker.
    pub broker: BrokerSettings,
    /// The name of this gateway.
    pub edge: Name,
    /// The hubs that may claim the devices, the preferred one first; any if there are none.
    pub hubs: Vec<Name>,
    /// How long devices are kept, stopped, while no hub owns them.
    pub grace: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<UpstreamSettings> {
    let mut keys = Keys::new(reader, &SECTION);
    let parse = |given: &_| Target::parse(text(given)?).map_err(|e| e.with_hint());
    let relay = keys.read("relay", parse, ToString::to_string);
    let broker = broker::url(&mut keys, "mqtt");
    let edge = broker::own_name(&mut keys, "edge", broker.is_some());
    let hubs = broker::names(&mut keys, "hub");
    let login = Login::read(&mut keys);
    let grace = keys.time("grace_s");
    let stop_after = keys.time("stop_after_ms");
    match (keys.is_given("relay"), keys.is_given("mqtt")) {
        (true, true) => {
            keys.problem(
                "mqtt",
                "stands beside relay, which names another place for the same devices; leave one of them out",
            );
            return None;
        }
        (false, true) => {
            if keys.is_given("stop_after_ms") {
                keys.warning(
                    "stop_after_ms",
                    "has no effect with mqtt: a hub's lease ends sooner than that",
                );
            }
        }
        (_, false) => {
            keys.no_effect_without(&["edge", "hub"], "mqtt");
            keys.no_effect_without(&Login::KEYS, "mqtt");
        }
    }
    if let Some(relay) = relay {
        return Some(UpstreamSettings::Relay(RelaySettings {
            tls: login.ca().tls(&mut keys, &Server::websocket("relay", &relay)),
            relay,
            grace,
            stop_after,
        }));
    }
    broker.map(|broker| {
        UpstreamSettings::Mqtt(EdgeSettings {
            broker: login.at(&mut keys, "mqtt", broker),
            edge,
            hubs,
            grace,
        })
    })
}

/// Keeps the port for devices apart from that of an upstream server on this machine.
pub(super) fn keep_apart(reader: &mut Reader, upstream: &UpstreamSettings, devices: &mut DeviceSettings) {
    let UpstreamSettings::Relay(upstream) = upstream else {
        return;
    };
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
