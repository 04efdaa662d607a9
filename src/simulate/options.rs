//! What a simulated device is, and how it behaves.

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
        /// Which one; see [`models::find`].
        model: &'static Model,
    },
    /// A TCode v0.3 device.
    Tcode,
}

impl Kind {
    /// The documentation's lovense device.
    pub fn hush() -> Self {
        Self::Lovense {
            model: models::hush(),
        }
    }

    /// The identifier under which the gateway's own UDCF knows this kind.
    pub fn identifier(self) -> Identifier {
        let name = match self {
            Self::Lovense { .. } => "LVSDevice",
            Self::Tcode => "TCodeDevice",
        };
        Identifier::new(name).expect("a short literal that is not empty")
    }

    /// The subcommand's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lovense { .. } => "lovense",
            Self::Tcode => "tcode",
        }
    }
}

/// How a device answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// As the real thing: questions get answers, everything else an `OK;` where the protocol has one.
    #[default]
    All,
    /// Questions only, as many boards do.
    QuestionsOnly,
    /// Never: a board whose author left that out.
    None,
    /// The same bytes to each command.
    Always(Bytes),
}

/// A simulated device.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// Which of several this is, from 0; its events carry it.
    pub index: usize,
    /// Where it connects.
    pub target: Target,
    /// Whom to trust where that is `wss://`.
    pub tls: Tls,
    /// What it says to be.
    pub identifier: Identifier,
    /// Which device it says to be.
    pub address: Address,
    /// What it speaks.
    pub kind: Kind,
    /// Its battery, in percent.
    pub battery: u8,
    /// How it answers.
    pub replies: Replies,
    /// Between two of its own pings; after two of them without a sound, the server counts as gone.
    pub ping_interval: Duration,
    /// Time zero of its motions, so that what shows several devices can ask all of them by one clock.
    pub epoch: Instant,
    /// How many received frames a [`SimulatedDevice`](super::SimulatedDevice) keeps for its holder.
    pub kept_frames: usize,
    /// Outputs stop when the connection ends, as firmware must see to. A test that wants to see what the last
    /// command left behind turns this off.
    pub stops_when_lost: bool,
}

impl DeviceOptions {
    /// A well-behaved device on the default port of this machine.
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

    /// A hush with this address, for a server that listens there.
    ///
    /// # Panics
    /// When `address` is empty or over 256 bytes; it is meant for tests, which know theirs.
    pub fn hush(target: impl Into<Target>, address: &str) -> Self {
        let address = Address::new(address).expect("an address of 1 to 256 bytes");
        Self {
            target: target.into(),
            ..Self::new(Kind::hush(), address)
        }
    }

    /// A TCode device with this address, for a server that listens there.
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
