//! What btleplug does not tell of the system's Bluetooth, or does not do well enough: that it came or went and why it is
//! not there, what is heard of peripherals, connecting and pairing.
//!
//! All that is written for one system alone stands in here.

#[cfg(target_os = "linux")]
#[path = "system/linux.rs"]
mod of_system;
#[cfg(not(target_os = "linux"))]
#[path = "system/other.rs"]
mod of_system;

use btleplug::platform::PeripheralId;

pub(super) use of_system::{Calls, Events, HANDLES_LAST, System, is_busy};

/// Something happened to the system's Bluetooth.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "other systems tell nothing of the kind")
)]
pub(super) enum Change {
    /// Nothing will be heard any more; why.
    Lost(&'static str),
    /// The adapter of this name was taken away.
    AdapterGone(String),
    /// An adapter may have come, or been switched on.
    Perhaps,
}

/// Something was heard of a peripheral, or of the adapter.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// It is connected, or is not any more.
    Link(PeripheralId, bool),
    /// It advertised, or more is known of it.
    Heard(PeripheralId, News),
    /// The adapter was switched off.
    Off,
}

/// What is new of a peripheral.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// It advertised just now.
    pub(super) heard: bool,
    /// Anything may be: it was not known.
    pub(super) all: bool,
    /// Its name.
    pub(super) name: bool,
    /// The services that it advertises.
    pub(super) services: bool,
    /// The data of these companies; some peripherals send new data all the time.
    pub(super) companies: Vec<u16>,
}

/// Why there is no Bluetooth, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// What is missing.
    pub why: String,
    /// One line.
    pub hint: &'static str,
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}
