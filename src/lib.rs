//! `wsdm-gateway` gives any DIY microcontroller device a place in the Buttplug ecosystem.
//!
//! ```text
//!  ESP32 over Wi-Fi, speaks WSDM itself ─┐
//!  board on a serial port ───────────────┼> link ─> handshake ─> session ─> upstream: a Buttplug server inside,
//!  board on Bluetooth LE ────────────────┘  frames  identity    one task      │  whose clients connect to a port
//!                                                      └─> registry           │  here, or somebody else's
//!                                                                             └─ Websocket Device Manager server
//! ```
//!
//! The way of a device, in the order in which it meets the parts:
//!
//! - [`devices`]: the port; one task for each connection, from the accept to the end ([`accept`] is the loop that
//!   the client port uses too, [`workers`] the threads they run on). [`mod@serial`]: boards on wires; finds their
//!   [`ports`], opens them, and shakes hands for them, as configured or as their [`hello`] line says. [`ble`]: the
//!   same for boards on Bluetooth LE, which one thread finds and connects to.
//!   [`discovery`] tells the network where that port is.
//! - [`intake`]: what all share: a device that said who it is becomes a session. [`admission`]: who may come in;
//!   [`refusal`]: why not, and what the device and its owner are told.
//! - [`handshake`]: who the device is. After this point nothing asks which transport it was.
//! - [`link`]: a duplex pipe of whole frames; how bytes travel.
//! - [`session`]: one task that owns one link and its upstream half, and joins them until either ends; [`stop`]:
//!   what it writes to the device when control is lost; [`mod@close`]: how it says why.
//! - [`registry`]: which sessions exist. The only shared state. [`tap`]: a look at a session's frames as they pass.
//! - [`upstream`]: where sessions feed.
//! - [`clients`]: the port that Buttplug clients connect to.
//!
//! Around them: [`gateway`] wires the parts, from start to shutdown; [`config`] and [`defaults`] say how; [`udcf`]
//! reads user device configuration files of every version, and keeps what the gateway learned; [`simulate`] is
//! devices in software, with [`backoff`] between their tries; [`control`] is the socket by which the command line
//! sees into a gateway that runs; [`cli`] and [`cmd`] are the command line, [`error`], [`logging`] and [`text`] what
//! it says.
//!
//! One rule stands above the others: **outputs never outlive control**.

pub mod accept;
pub mod admission;
pub mod backoff;
pub mod ble;
pub mod cli;
pub mod clients;
pub mod close;
pub mod cmd;
pub mod config;
pub mod control;
pub mod defaults;
pub mod devices;
pub mod discovery;
pub mod error;
pub mod gateway;
pub mod handshake;
pub mod hello;
pub mod intake;
pub mod introduction;
pub mod link;
pub mod logging;
pub mod ports;
pub mod refusal;
pub mod registry;
pub mod serial;
pub mod session;
pub mod simulate;
pub mod stop;
pub mod tap;
pub mod text;
pub mod udcf;
pub mod upstream;
pub mod workers;

/// The memory allocator in use, for figures that depend on it.
pub const ALLOCATOR: &str = "the system's allocator";
