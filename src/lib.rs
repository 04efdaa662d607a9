//! `wsdm-gateway` gives any DIY microcontroller device a place in the Buttplug ecosystem.
//!
//! ```text
//!  ESP32 over Wi-Fi, speaks WSDM itself ─┐                              ┌─ embedded: a Buttplug server inside,
//!  board on a serial port ───────────────┼─> ingress ─> session ─> upstream   whose apps connect to a port here
//!  board on Bluetooth LE ────────────────┤   identity   the pump        └─ relay: somebody else's Websocket
//!  board that listens (we dial) ─────────┘                 │               Device Manager server
//!                                                       registry ─> web: the page, HTTP, the command line
//! ```
//!
//! The tree is that picture. From the top floor down; a module imports only floors below its own, which
//! `tests/layout.rs` checks, with which of them may use which dependency:
//!
//! - [`cli`], [`cmd`]: the command line; one file a subcommand.
//! - [`gateway`]: the wiring. It builds the rooms below, supervises them, and drains them at the end.
//! - [`ingress`]: the ways in. A board becomes an admitted session, by websocket, on a serial port, on
//!   Bluetooth LE, or dialled where it listens.
//! - [`upstream`]: where sessions feed: the Buttplug server inside, or a relay to another server.
//! - [`clients`]: the port that Buttplug apps connect to.
//! - [`web`]: views of a gateway that runs, on the page's port and on the Unix socket of the command line.
//! - [`simulate`]: devices in software.
//! - [`session`]: one task a device, which joins its link and its upstream half until either ends; the registry of
//!   all sessions, the only shared state; who may come in; a tap on the frames that pass.
//! - [`config`]: `gateway.toml`, environment and command line into types that cannot be wrong. [`udcf`]: user device
//!   configuration files of every version, and what the gateway learned.
//! - [`link`]: how bytes travel: a duplex pipe of whole frames.
//! - [`net`]: sockets both ways: accept, dial, TLS.
//! - [`device`]: words without I/O: handshake, hello line, close codes, refusals, peripherals, and all that is known of
//!   a protocol.
//! - [`advice`], what an error says to a person; [`backoff`], [`defaults`], [`logging`], [`text`], [`thread`]: used by
//!   all.
//!
//! One rule stands above the others: **outputs never outlive control.**

pub mod advice;
pub mod backoff;
pub mod cli;
pub mod clients;
pub mod cmd;
pub mod config;
pub mod defaults;
pub mod device;
pub mod gateway;
pub mod ingress;
pub mod link;
pub mod logging;
pub mod net;
pub mod session;
pub mod simulate;
pub mod text;
pub mod thread;
pub mod udcf;
pub mod upstream;
pub mod web;

/// The memory allocator in use, for figures that depend on it.
pub const ALLOCATOR: &str = "the system's allocator";
