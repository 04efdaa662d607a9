//! Which board is meant: a place on the network, or a device of a gateway that runs here.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::error::OtaError;
#[cfg(unix)]
use crate::cmd::running;
use crate::text::printable;
#[cfg(unix)]
use crate::web::view::{Device, State};

/// How long a name may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// A board on a websocket: what its gateway calls the way.
#[cfg(unix)]
const WEBSOCKET: &str = "ws";

/// A board, and where it takes updates.
#[derive(Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "no gateway can be asked"))]
pub(super) struct Board {
    /// As people know it: what it is at its gateway, or its host's name. May be made of what the board sent.
    pub(super) name: String,
    pub(super) at: SocketAddr,
    /// Its address at a gateway, by which it is found again elsewhere on the network.
    address: Option<String>,
    control: Option<OsString>,
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "{}", self.at)
        } else {
            write!(f, "{} at {}", self.name, self.at)
        }
    }
}

impl Board {
    /// The board of this name. What names a port is a place on the network; anything else may be a device of a gateway,
    /// and that comes first.
    pub(super) async fn find(named: &str, port: u16, control: Option<&OsString>) -> Result<Self, OtaError> {
        let board = |name: String, at, address| Self {
            name,
            at,
            address,
            control: control.cloned(),
        };
        if let Some(at) = literal(named, port) {
            return Ok(board(String::new(), at, None));
        }
        if let Some((host, port)) = host_and_port(named) {
            let at = look_up(host, port).await.map_err(|source| OtaError::NoHost {
                name: host.to_owned(),
                source,
            })?;
            return Ok(board(host.to_owned(), at, None));
        }
        #[cfg(unix)]
        let (there, silent): (Vec<Device>, _) = match running::listed(control).await {
            Ok(there) => (there.into_iter().map(|(_, device)| device).collect(), None),
            // The name may be that of a host.
            Err(e) => (Vec::new(), Some(e)),
        };
        #[cfg(unix)]
        if let Some(device) = choose(named, &there)? {
            let (name, ip) = (name_of(device), place_of(device, named)?);
            return Ok(board(
                name,
                SocketAddr::new(ip, port),
                Some(device.address.clone()),
            ));
        }
        #[cfg(not(unix))]
        let there: Vec<String> = Vec::new();
        if is_host(named)
            && let Ok(at) = look_up(named, port).await
        {
            return Ok(board(named.to_owned(), at, None));
        }
        #[cfg(unix)]
        if let Some(e) = silent {
            return Err(e.into());
        }
        #[cfg(unix)]
        let there = there.iter().filter(|device| is_connected(device)).map(name_of);
        Err(OtaError::Unknown {
            name: printable(named.as_bytes()),
            there: there.into_iter().collect(),
        })
    }

    /// The board may have another network address since its restart: its gateway knows.
    pub(super) async fn find_again(&mut self) {
        #[cfg(unix)]
        if let Some(device) = self.device(is_connected).await
            && let Ok(ip) = place_of(&device, "")
        {
            self.at.set_ip(ip);
        }
    }

    /// Why its gateway refuses it, and what to do about that, if that is so.
    pub(super) async fn refusal(&self) -> Option<(String, Option<String>)> {
        #[cfg(unix)]
        {
            let device = self.device(|device| device.state == State::Refused).await?;
            let text = |text: Option<String>| text.map(|text| printable(text.as_bytes()));
            Some((text(device.reason)?, text(device.hint)))
        }
        #[cfg(not(unix))]
        None
    }

    /// This board as a gateway has it: by its address there, or else by where it is.
    #[cfg(unix)]
    async fn device(&self, is_meant: impl Fn(&Device) -> bool) -> Option<Device> {
        let devices = running::listed(self.control.as_ref()).await.ok()?.into_iter();
        devices.map(|(_, device)| device).find(|device| {
            is_meant(device)
                && match &self.address {
                    Some(address) => device.address == *address,
                    None => place_of(device, "").is_ok_and(|ip| ip == self.at.ip()),
                }
        })
    }
}

/// An IP address, with a port or without.
fn literal(named: &str, port: u16) -> Option<SocketAddr> {
    let bare = named.strip_prefix('[').and_then(|named| named.strip_suffix(']'));
    let ip = bare.unwrap_or(named).parse().map(|ip| SocketAddr::new(ip, port));
    named.parse().or(ip).ok().filter(|at: &SocketAddr| at.port() != 0)
}

fn host_and_port(named: &str) -> Option<(&str, u16)> {
    let (host, port) = named.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host(host).then_some((host, port))
}

/// Whether this can be the name of a host.
fn is_host(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

async fn look_up(host: &str, port: u16) -> io::Result<SocketAddr> {
    let found = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port))).await;
    let found: Vec<_> = found
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?
        .collect();
    // The boards have addresses of IPv4 only.
    let at = found.iter().find(|at| at.is_ipv4()).or(found.first());
    at.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The device of this name: by its address, else its index, else its identifier or its name in apps.
#[cfg(unix)]
fn choose<'a>(named: &str, there: &'a [Device]) -> Result<Option<&'a Device>, OtaError> {
    let index = named.parse::<u32>().ok();
    let has_name = |name: &str| name.eq_ignore_ascii_case(named);
    let rules: [&dyn Fn(&Device) -> bool; 3] = [
        &|device: &Device| has_name(&device.address),
        &|device: &Device| index.is_some() && device.index == index,
        &|device: &Device| has_name(&device.identifier) || device.name.as_deref().is_some_and(has_name),
    ];
    for rule in rules {
        let all: Vec<_> = there.iter().filter(|device| rule(device)).collect();
        let mut connected: Vec<_> = all
            .iter()
            .copied()
            .filter(|device| is_connected(device))
            .collect();
        // A hub lists a board that its gateway has on the network.
        if connected.iter().any(|device| ip_of(device).is_some()) {
            connected.retain(|device| ip_of(device).is_some());
        }
        match (&connected[..], &all[..]) {
            ([one], _) => return Ok(Some(one)),
            ([], []) => {}
            ([], [gone, ..]) => {
                return Err(OtaError::NotConnected {
                    name: name_of(gone),
                    at: ip_of(gone),
                });
            }
            (several, _) => {
                return Err(OtaError::Several {
                    name: printable(named.as_bytes()),
                    which: several.iter().map(|device| name_of(device)).collect(),
                });
            }
        }
    }
    Ok(None)
}

#[cfg(unix)]
fn is_connected(device: &Device) -> bool {
    matches!(device.state, State::Connecting | State::Ready | State::Relayed)
}

#[cfg(unix)]
fn name_of(device: &Device) -> String {
    printable(format!("{} {}", device.identifier, device.address).as_bytes())
}

/// Where a device is on the network.
#[cfg(unix)]
fn place_of(device: &Device, named: &str) -> Result<IpAddr, OtaError> {
    ip_of(device).ok_or_else(|| OtaError::NoNetwork {
        name: printable(named.as_bytes()),
        way: device.way.clone(),
        peer: printable(device.peer.as_bytes()),
    })
}

#[cfg(unix)]
fn ip_of(device: &Device) -> Option<IpAddr> {
    let from = device.peer.split_once(' ').filter(|(way, _)| *way == WEBSOCKET);
    let from: Option<SocketAddr> = from.and_then(|(_, from)| from.parse().ok());
    from.map(|from| from.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_the_network_is_told_from_a_name() {
        let at = |named: &str| literal(named, 3232).map(|at| at.to_string());
        for (named, place) in [
            ("10.0.0.31", Some("10.0.0.31:3232")),
            ("10.0.0.31:99", Some("10.0.0.31:99")),
            ("::1", Some("[::1]:3232")),
            ("[::1]", Some("[::1]:3232")),
            ("[::1]:99", Some("[::1]:99")),
            ("10.0.0.31:0", None),
            ("10.0.0.31:99999", None),
            ("a0b1c2d3e4f5", None),
            ("kitchen.local:99", None),
        ] {
            assert_eq!(at(named).as_deref(), place, "{named}");
        }
        assert_eq!(host_and_port("kitchen.local:99"), Some(("kitchen.local", 99)));
        for named in ["kitchen", "kitchen:", ":99", "AA:BB:CC:DD:EE:15", "my board:99"] {
            assert_eq!(host_and_port(named), None, "{named}");
        }
    }

    /// A device as a gateway lists it.
    #[cfg(unix)]
    fn device(address: &str, peer: &str, state: &str, index: Option<u32>) -> Device {
        let way = peer.split(' ').next();
        serde_json::from_value(serde_json::json!({
            "address": address, "identifier": "LVSDevice", "peer": peer, "way": way, "state": state, "connection": 1,
            "since": 0.0, "name": "Lovense Hush", "index": index, "to_device": 0, "from_device": 0, "dropped": 0,
            "bytes_to_device": 0, "bytes_from_device": 0, "outputs_on": false, "refused_times": 0, "is_simulated": false,
        }))
        .expect("a device")
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_chosen_by_what_only_it_has() {
        let there = [
            device("1", "ws [::ffff:10.0.0.31]:51022", "ready", Some(0)),
            // At a hub, too, which knows it from its edge.
            device("1", "mqtt bedroom", "ready", Some(4)),
            device("b1", "serial /dev/ttyUSB0", "ready", Some(1)),
            device("c1", "mqtt kitchen", "ready", Some(2)),
            device("d1", "ws 10.0.0.34:51022", "gone", None),
        ];
        let chosen = |named: &str| choose(named, &there);
        let place = |named: &str| place_of(chosen(named).ok().flatten().expect("one"), named);
        // Its address, before the index of another.
        assert_eq!(place("1").ok(), Some(IpAddr::from([10, 0, 0, 31])));
        assert_eq!(
            chosen("2").ok().flatten().map(|device| &*device.address),
            Some("c1")
        );
        assert_eq!(
            chosen("B1").ok().flatten().map(|device| &*device.address),
            Some("b1")
        );
        for (named, text) in [
            (
                "b1",
                "the gateway has the board b1 by serial /dev/ttyUSB0, and not on its network",
            ),
            (
                "c1",
                "the gateway has the board c1 by mqtt kitchen, and not on its network",
            ),
        ] {
            assert_eq!(place(named).map_err(|e| e.to_string()), Err(text.to_owned()));
        }
        assert!(matches!(
            chosen("d1"),
            Err(OtaError::NotConnected { at: Some(_), .. })
        ));
        assert!(matches!(chosen("3"), Ok(None)));
        // Those on a cable are no help.
        assert!(matches!(chosen("lvsdevice"), Ok(Some(device)) if device.address == "1"));
    }
}
