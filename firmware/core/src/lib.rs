//! A device of the Websocket Device Manager, for boards: it connects to a gateway, says who it is, obeys, and stops
//! its outputs when nobody is there to command them.
//!
//! ```text
//!   Dial ──> byte stream ──> upgrade ──> frames ──> session ──> Device ──> Outputs ──> pins
//!                                                      │
//!   serial, BLE ──────────> hello line ──────────────> wire       watchdog: silence stops the outputs
//! ```
//!
//! A board brings four things: a way to connect ([`Dial`]), a [`Clock`], random numbers, and [`Outputs`]. [`Client`]
//! does the rest over a network, [`Wire`] over a serial port or BLE. [`Lovense`] and [`Tcode`] are the devices that
//! exist; a [`Device`] of one's own is one trait.
//!
//! There is no standard library and no allocation in here, and no `unsafe`. Times are milliseconds of the board's
//! own clock.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod backoff;
mod button;
mod client;
mod clock;
mod device;
mod fingerprint;
mod frames;
mod lovense;
#[cfg(feature = "embassy-net")]
mod net;
mod quiet;
mod report;
mod rotation;
mod session;
mod settings;
mod splitter;
mod tally;
mod tcode;
#[cfg(feature = "tls")]
mod tls;
mod upgrade;
mod watchdog;
mod wire;

pub use button::{CALM_MS, WithButton};
pub use client::{Client, Dial, Memory, within};
pub use clock::Clock;
#[cfg(feature = "embassy")]
pub use clock::EmbassyClock;
pub use device::{Channel, Device, Flow, Kind, Level, Outputs, Reply};
pub use fingerprint::Fingerprint;
pub use frames::ProtocolError;
pub use lovense::{Lovense, LovenseSettings, Motors};
#[cfg(feature = "embassy-net")]
pub use net::NetDial;
pub use quiet::{Pause, Quiet};
pub use report::{Loss, Report, Stopped, TlsFault};
pub use rotation::REVERSAL_MS;
pub use settings::{Gateway, Identity, SettingsError, Timing};
pub use tcode::{AxisSettings, STEP_MAX_MS, Tcode, TcodeSettings};
#[cfg(feature = "tls")]
pub use tls::{MaybeTls, Secured, TlsDial};
pub use upgrade::UpgradeError;
pub use wire::{HELLO_AGAIN_MS, Wire, WireSettings};
pub use wsdm_protocol;

/// How a device that was connected came to an end that it wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to turn itself off.
    PoweredOff,
}
