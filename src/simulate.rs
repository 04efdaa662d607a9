//! Simulated devices for any Websocket Device Manager server, used by `wsdm-gateway simulate`, the tests and the
//! benchmarks.
//!
//! - [`lovense`], [`tcode`]: the firmware of a device, without I/O or a clock.
//! - [`connection`]: one connection, from the handshake to the close.
//! - [`runner`]: connects and reconnects with backoff.
//! - [`handle`]: a handle to a connected device, for tests.
//! - [`address`]: the default addresses.
//! - [`show`]: events as lines of text or JSON; [`live`]: live bars on a terminal.

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
pub use connection::{Ended, EventKind};
pub use handle::{ReceivedFrame, SimulatedDevice};
pub use options::{DeviceOptions, Kind, Replies};
pub use runner::{Event, run};

/// How a device reacts to received bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reaction {
    /// The replies, one frame each.
    pub replies: Vec<Bytes>,
    /// The actuators that were commanded, in the order of the commands.
    pub changes: Vec<Change>,
    /// The commands that these bytes completed.
    pub commands: Vec<Command>,
    /// The device was commanded to turn itself off.
    pub power_off: bool,
}

/// A command to an actuator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The actuator's index in the device's list.
    pub index: usize,
    /// The actuator's new state.
    pub actuator: Actuator,
}

/// One command as the device understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The bytes as text that is safe for a terminal.
    pub text: String,
    /// The meaning for people: `vibrate 10/20`.
    pub meaning: String,
    /// Whether the device knows the command. A command with an invalid value counts as unknown.
    pub known: bool,
}

/// The firmware of a device: turns received bytes into outputs and replies.
///
/// Times are measured from an epoch that the caller chooses. The same bytes at the same times give the same states,
/// however the bytes were split.
#[derive(Clone, Debug)]
pub enum Firmware {
    /// See [`lovense`].
    Lovense(lovense::Lovense),
    /// See [`tcode`].
    Tcode(tcode::Tcode),
}

impl Firmware {
    /// The firmware of a device that was just switched on.
    pub fn new(options: &DeviceOptions) -> Self {
        match options.kind {
            Kind::Lovense { model } => {
                let mac = address::mac_for(&options.address);
                Self::Lovense(lovense::Lovense::new(model, &mac, options.battery))
            }
            Kind::Tcode => Self::Tcode(tcode::Tcode::new()),
        }
    }

    /// Handles received bytes. Buffers up to 256 bytes of an incomplete command.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) -> Reaction {
        match self {
            Self::Lovense(firmware) => firmware.receive(bytes, now),
            Self::Tcode(firmware) => firmware.receive(bytes, now),
        }
    }

    /// All actuators. The list only grows, at its end, up to a limit of the protocol.
    pub fn actuators(&self) -> &[Actuator] {
        match self {
            Self::Lovense(firmware) => firmware.actuators(),
            Self::Tcode(firmware) => firmware.actuators(),
        }
    }

    /// Handles a loss of control: stops the outputs and discards an incomplete command. Returns the stopped actuators.
    pub fn lose_control(&mut self, now: Duration) -> Vec<Change> {
        match self {
            Self::Lovense(firmware) => firmware.lose_control(now),
            Self::Tcode(firmware) => firmware.lose_control(now),
        }
    }
}
