//! Where a device connected from, and which connection it is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::device::fleet::names::Name;

/// Where a device connected from, for display.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A websocket connection from this address.
    Websocket(SocketAddr),
    /// The same, over TLS.
    SecureWebsocket(SocketAddr),
    /// A serial port.
    Serial(PathBuf),
    /// A Bluetooth LE peripheral: its address, and its name if it has one.
    Ble(String, Option<String>),
    /// A board that listens, dialled at this URL.
    Dial(String),
    /// A device of this edge, through a broker.
    Broker(Name),
}

impl Peer {
    /// The way in, in one word, whether or not it is encrypted.
    pub fn way(&self) -> &'static str {
        match self {
            Self::Websocket(_) | Self::SecureWebsocket(_) => "ws",
            Self::Serial(_) => "serial",
            Self::Ble(..) => "ble",
            Self::Dial(_) => "dial",
            Self::Broker(_) => "mqtt",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Websocket(from) => write!(f, "ws {from}"),
            Self::SecureWebsocket(from) => write!(f, "wss {from}"),
            Self::Serial(port) => write!(f, "serial {}", port.display()),
            Self::Ble(address, None) => write!(f, "ble {address}"),
            // Anyone within range may have chosen the name.
            Self::Ble(address, Some(name)) => write!(f, "ble {address} {:?}", name),
            Self::Dial(url) => write!(f, "dial {url}"),
            Self::Broker(edge) => write!(f, "mqtt {edge}"),
        }
    }
}

/// One connection of a device; a device that reconnects gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
