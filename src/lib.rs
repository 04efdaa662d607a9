//! `wsdm-gateway` gives any DIY microcontroller device a place in the Buttplug ecosystem.
//!
//! ```text
//!  ESP32 over Wi-Fi, speaks WSDM itself ─> link ─> handshake ─> session ─> upstream
//!                                          frames  identity    one task      │
//!                                                     └─> registry           └─> a Buttplug server in
//!                                                                                here; clients connect
//! ```
//!
//! - [`link`]: a duplex pipe of whole frames; how bytes travel.
//! - [`handshake`]: who the device is. After this point nothing asks which transport it was.
//! - [`session`]: one task that owns one link and its upstream half, and joins them until either ends.
//! - [`upstream`]: where sessions feed.
//! - [`registry`]: which sessions exist. The only shared state.
//! - [`clients`]: the port that Buttplug clients connect to.
//! - [`gateway`]: the wiring, from configuration to shutdown.
//! - [`udcf`]: user device configuration files of every version, and what the gateway learned.
//! - [`simulate`]: devices in software.
//!
//! One rule stands above the others: **outputs never outlive control**.

pub mod cli;
pub mod clients;
pub mod cmd;
pub mod config;
pub mod defaults;
pub mod error;
pub mod gateway;
pub mod handshake;
pub mod link;
pub mod logging;
pub mod registry;
pub mod session;
pub mod simulate;
pub mod udcf;
pub mod upstream;
