//! The keys that `[upstream]` and `[mqtt]` share: which broker, how to log in there, and the names of gateways.

use std::net::IpAddr;

use super::Secret;
use super::layers::Given;
use super::read::{Keys, text};
use super::table::{Key, Kind, Preset};
use super::tls::{Files, Server};
use crate::advice::Advice;
use crate::defaults::BUS_KEEPALIVE;
use crate::device::fleet::names::{Name, Prefix};
use crate::net::broker::BrokerUrl;
use crate::net::bus::BusSettings;
use crate::net::tls::Tls;

pub(super) const URL: Key = Key {
    kind: Kind::Url,
    example: "\"mqtts://broker:8883\"",
    note: "Without a port in the URL, it is 8883 for mqtts:// and 1883 for mqtt://.",
    ..Key::BASE
};

/// The name of this gateway in one of its roles.
pub(super) const NAME: Key = Key {
    default: Preset::Unset("the host's name"),
    note: "It has 1 to 32 of a-z, 0-9 and -. No two gateways of the fleet have the same one.",
    ..Key::BASE
};

pub(super) const USER: Key = Key {
    name: "user",
    default: Preset::Unset("no user"),
    example: "\"gateway\"",
    help: "Log in to the broker as this user",
    ..Key::BASE
};

pub(super) const PASSWORD: Key = Key {
    name: "password",
    kind: Kind::Password,
    default: Preset::Unset("no password"),
    example: "\"password-at-the-broker\"",
    help: "Log in to the broker with this password",
    note: "Other users see flags in the list of processes, but neither this file, if only you may read it, nor the \
           environment. Over mqtt:// everybody on the network in between can read it.",
    ..Key::BASE
};

pub(super) const CA: Key = Key {
    name: "ca",
    kind: Kind::Path,
    default: Preset::Unset("the system's"),
    example: "\"ca.pem\"",
    help: "Trust the CAs of this PEM file, and no others, for mqtts://",
    note: "Relative to gateway.toml.",
    ..Key::BASE
};

pub(super) const CLIENT_CERT: Key = Key {
    name: "client_cert",
    kind: Kind::Path,
    default: Preset::Unset("no certificate"),
    example: "\"gateway.pem\"",
    help: "Log in to the broker with the certificate of this PEM file",
    note: "Relative to gateway.toml. It needs client_key.",
    ..Key::BASE
};

pub(super) const CLIENT_KEY: Key = Key {
    name: "client_key",
    kind: Kind::Path,
    default: Preset::Unset("no certificate"),
    example: "\"gateway.key\"",
    help: "The private key of that certificate, as PEM",
    note: "Relative to gateway.toml.",
    ..Key::BASE
};

pub(super) const TOPIC: Key = Key {
    name: "topic",
    default: Preset::Text("wsdm/1"),
    help: "Begin all topics with this",
    note: "It is the same for all gateways of a fleet.",
    ..Key::BASE
};

/// An MQTT broker, and how to log in there.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// Where it is.
    pub broker: BrokerUrl,
    /// The user, if it wants one.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// What to trust if the connection is encrypted, and the certificate to log in with.
    pub tls: Tls,
    /// What all topics begin with.
    pub topics: Prefix,
}

impl BrokerSettings {
    /// How a client of this id connects.
    pub fn connection(&self, client_id: String) -> BusSettings {
        BusSettings {
            broker: self.broker.clone(),
            tls: self.tls.clone(),
            user: self.user.clone(),
            password: self.password.as_ref().map(|password| password.0.clone()),
            client_id,
            keepalive: BUS_KEEPALIVE,
        }
    }
}

pub(super) fn url(keys: &mut Keys<'_>, name: &str) -> Option<BrokerUrl> {
    let parse = |given: &Given| BrokerUrl::parse(text(given)?).map_err(|e| e.with_hint());
    keys.read(name, parse, ToString::to_string)
}

/// Whether what is sent to this broker stays on this machine.
fn is_here(broker: &BrokerUrl) -> bool {
    let (host, _) = broker.host_and_port();
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The name of this gateway; the host's if none is given. It is shown only if there is a broker to use it with.
pub(super) fn own_name(keys: &mut Keys<'_>, name: &str, has_broker: bool) -> Name {
    let parse = |given: &Given| Name::new(text(given)?).map_err(|e| e.to_string());
    keys.read(name, parse, ToString::to_string).unwrap_or_else(|| {
        let host = Name::from_host(&gethostname::gethostname().to_string_lossy());
        if has_broker && !keys.is_given(name) {
            keys.show_instead(name, host.to_string(), "the host's name");
        }
        host
    })
}

/// A name of another gateway, or several.
pub(super) fn names(keys: &mut Keys<'_>, name: &str) -> Vec<Name> {
    let parse = |given: &Given| {
        let names: Vec<&str> = match given {
            Given::List(list) => list.iter().map(String::as_str).collect(),
            given => text(given)?.split(',').map(str::trim).collect(),
        };
        let mut parsed: Vec<Name> = Vec::new();
        for text in names {
            let name = Name::new(text).map_err(|e| e.to_string())?;
            if parsed.contains(&name) {
                return Err(format!("names {name} twice"));
            }
            parsed.push(name);
        }
        match parsed.is_empty() {
            true => Err("is an empty list; leave the key out instead".to_owned()),
            false => Ok(parsed),
        }
    };
    let show = |names: &Vec<Name>| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    keys.read(name, parse, show).unwrap_or_default()
}

/// A prefix of topics that has a default.
pub(super) fn prefix(keys: &mut Keys<'_>, name: &str) -> Prefix {
    let parse = |given: &Given| Prefix::new(text(given)?).map_err(|e| e.to_string());
    keys.read(name, parse, ToString::to_string).unwrap_or_default()
}

/// All but the broker's URL and the names.
pub(super) struct Login {
    user: Option<String>,
    password: Option<Secret>,
    files: Files,
    topics: Prefix,
}

impl Login {
    /// The keys that mean nothing without the broker's URL.
    pub(super) const KEYS: [&str; 5] = ["user", "password", "client_cert", "client_key", "topic"];

    pub(super) fn read(keys: &mut Keys<'_>) -> Self {
        let login = Self {
            user: keys.name("user"),
            password: keys.foreign_password("password"),
            files: Files::read_with_certificate(keys),
            topics: prefix(keys, "topic"),
        };
        if keys.is_given("password") && !keys.is_given("user") {
            keys.problem(
                "password",
                "stands without user; a broker takes a password only with a user",
            );
        }
        login
    }

    /// The CA without the certificate: for a server that is no broker.
    pub(super) fn ca(self) -> Files {
        self.files.without_certificate()
    }

    /// What all comes to at the broker, whose key is `url`.
    pub(super) fn at(self, keys: &mut Keys<'_>, url: &str, broker: BrokerUrl) -> BrokerSettings {
        if self.password.is_some() && !broker.is_tls() && !is_here(&broker) {
            keys.warning(
                "password",
                format!(
                    "can be read by everybody on the way to {broker}; if that broker has TLS, write mqtts://"
                ),
            );
        }
        BrokerSettings {
            tls: self.files.tls(keys, &Server::broker(url, &broker)),
            broker,
            user: self.user,
            password: self.password,
            topics: self.topics,
        }
    }
}
