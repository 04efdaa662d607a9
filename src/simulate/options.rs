//! The identity and behaviour of a simulated device.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::models::{self, Model};
use crate::defaults::{DEVICE_LISTEN, PING_INTERVAL};
use crate::device::handshake::{Address, Identifier};
use crate::net::target::Target;
use crate::net::tls::Tls;

/// The protocols that can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A lovense device.
    Lovense {
        /// The model; see [`models::find`].
        model: &'static Model,
    },
    /// A TCode v0.3 device.
    Tcode,
}

impl Kind {
    /// The lovense device in the protocol documentation's example.
    pub fn hush() -> Self {
        Self::Lovense {
            model: models::hush(),
        }
    }

    /// The identifier of this kind in the gateway's built-in UDCF.
    pub fn identifier(self) -> Identifier {
        let name = match self {
            Self::Lovense { .. } => "LVSDevice",
            Self::Tcode => "TCodeDevice",
        };
        Identifier::new(name).expect("a short literal that is not empty")
    }

    /// The name of the subcommand for this kind.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lovense { .. } => "lovense",
            Self::Tcode => "tcode",
        }
    }
}

/// Which commands a device answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// Like a real device: answers queries, and acknowledges other commands with `OK;` if the protocol has that.
    #[default]
    All,
    /// Answers queries only, like many boards.
    QuestionsOnly,
    /// Answers nothing, like a board without replies.
    None,
    /// Answers each command with the same bytes.
    Always(Bytes),
}

/// A simulated device.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// The index among several devices, from 0; part of its events.
    pub index: usize,
    /// The server to connect to.
    pub target: Target,
    /// The trusted certificates for `wss://`.
    pub tls: Tls,
    /// The identifier for the handshake.
    pub identifier: Identifier,
    /// The address for the handshake.
    pub address: Address,
    /// The protocol.
    pub kind: Kind,
    /// The battery level in percent.
    pub battery: u8,
    /// Which commands it answers.
    pub replies: Replies,
    /// The interval of its pings. After two intervals without data, the server counts as lost.
    pub ping_interval: Duration,
    /// Time zero of its motions, shared by several devices so that one clock serves all.
    pub epoch: Instant,
    /// How many received frames a [`SimulatedDevice`](super::SimulatedDevice) buffers.
    pub kept_frames: usize,
    /// Whether outputs stop when the connection ends, as in correct firmware. Tests turn this off to see the state
    /// that the last command left.
    pub stops_when_lost: bool,
}

impl DeviceOptions {
    /// A well-behaved device for a server on the default port of this machine.
    pub fn new(kind: Kind, address: Address) -> Self {
        Self {
            index: 0,
            target: Target::from(DEVICE_LISTEN),
            tls: Tls::system(),
            identifier: kind.identifier(),
            address,
            kind,
            battery: 90,
            replies: Replies::All,
            ping_interval: PING_INTERVAL,
            epoch: Instant::now(),
            kept_frames: 1024,
            stops_when_lost: true,
        }
    }

    /// A hush with this address, for this server.
    ///
    /// # Panics
    /// If `address` is empty or longer than 256 bytes. This function is meant for tests, which use valid addresses.
    pub fn hush(target: impl Into<Target>, address: &str) -> Self {
        let address = Address::new(address).expect("an address of 1 to 256 bytes");
        Self {
            target: target.into(),
            ..Self::new(Kind::hush(), address)
        }
    }

    /// A TCode device with this address, for this server.
    ///
    /// # Panics
    /// As [`DeviceOptions::hush`].
    pub fn tcode(target: impl Into<Target>, address: &str) -> Self {
        let address = Address::new(address).expect("an address of 1 to 256 bytes");
        Self {
            target: target.into(),
            ..Self::new(Kind::Tcode, address)
        }
    }
}
