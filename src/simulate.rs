//! Devices in software, for any Websocket Device Manager server: what `wsdm-gateway simulate` runs, and what the
//! tests and the benchmark use.
//!
//! - [`lovense`], [`tcode`]: what a device makes of its bytes. No I/O and no clock of their own.
//! - [`connection`]: one connection, from the handshake to its end.
//! - [`runner`]: connections one after the other, with a pause that grows.
//! - [`handle`]: a connected device as a value that a test holds in its hand.
//! - [`address`]: who to be.
//! - [`show`]: the text of a command line; [`live`]: the moving picture of a terminal.

pub mod actuator;
pub mod address;
pub mod commands;
pub mod connection;
pub mod handle;
pub mod live;
pub mod lovense;
pub mod models;
pub mod options;
pub mod runner;
pub mod show;
pub mod tcode;

use std::time::Duration;

use bytes::Bytes;

pub use actuator::{Actuator, Output};
pub use connection::{Ended, Happening};
pub use handle::{Arrival, SimulatedDevice};
pub use options::{DeviceOptions, Kind, Replies};
pub use runner::{Event, run};

/// What a device does about some bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reaction {
    /// What it answers, one frame each.
    pub replies: Vec<Bytes>,
    /// The actuators that were commanded, in the order of the commands.
    pub changes: Vec<Change>,
    /// The commands that these bytes completed.
    pub commands: Vec<Command>,
    /// The device was told to turn itself off.
    pub power_off: bool,
}

/// An actuator was commanded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Its place in the device's list of actuators.
    pub index: usize,
    /// What it does from now on.
    pub actuator: Actuator,
}

/// One command as a device understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The bytes as text; what would move a terminal's cursor is escaped.
    pub text: String,
    /// What it means, for people: `vibrate 10/20`.
    pub meaning: String,
    /// Whether the device knows it. A wrong value counts as not known.
    pub known: bool,
}

/// What turns bytes into outputs and answers: one of the protocols.
///
/// Times are measured from any moment that the caller chose and keeps to. The same bytes at the same times give
/// the same states, however the bytes were cut.
#[derive(Clone, Debug)]
pub enum Brain {
    /// See [`lovense`].
    Lovense(lovense::Lovense),
    /// See [`tcode`].
    Tcode(tcode::Tcode),
}

impl Brain {
    /// A device that was just switched on.
    pub fn new(options: &DeviceOptions) -> Self {
        match options.kind {
            Kind::Lovense { model } => {
                let mac = address::mac_for(&options.address);
                Self::Lovense(lovense::Lovense::new(model, &mac, options.battery))
            }
            Kind::Tcode => Self::Tcode(tcode::Tcode::new()),
        }
    }

    /// Takes bytes as they came; what is not yet a whole command waits, at most 256 bytes of it.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Reaction {
        match self {
            Self::Lovense(brain) => brain.receive(bytes, now),
            Self::Tcode(brain) => brain.receive(bytes, now),
        }
    }

    /// Everything that can move. The list only ever grows, at its end, to a bound of the protocol.
    pub fn actuators(&self) -> &[Actuator] {
        match self {
            Self::Lovense(brain) => brain.actuators(),
            Self::Tcode(brain) => brain.actuators(),
        }
    }

    /// Control was lost: outputs stop, and half a command is forgotten. Gives the actuators that were on.
    pub fn lose_control(&mut self, now: Duration) -> Vec<Change> {
        match self {
            Self::Lovense(brain) => brain.lose_control(now),
            Self::Tcode(brain) => brain.lose_control(now),
        }
    }
}
