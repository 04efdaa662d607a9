//! What btleplug does not tell of the system's Bluetooth, or does not do well enough: that it came or went, why it is
//! not there, connecting and pairing.
//!
//! All that is written for one system alone stands in here.

#[cfg(target_os = "linux")]
#[path = "system/linux.rs"]
mod of_system;
#[cfg(not(target_os = "linux"))]
#[path = "system/other.rs"]
mod of_system;

pub(super) use of_system::{Calls, System, is_busy};

/// Something happened to the system's Bluetooth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing will be heard any more; why.
    Lost(&'static str),
    /// The adapter of this name was taken away.
    AdapterGone(String),
    /// An adapter may have come.
    Perhaps,
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
