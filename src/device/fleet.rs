//! The fleet: what gateways say to each other through an MQTT broker. No I/O.
//!
//! An edge has the boards and publishes them; a hub has the apps and claims devices. The edge decides who owns a device,
//! and which frame of its owner may still reach it: see [`gate`]. Nothing here relies on the broker's honesty, order or
//! speed.

pub mod beats;
pub mod clock;
pub mod documents;
pub mod flow;
pub mod gate;
pub mod header;
pub mod names;
pub mod rank;
pub mod seen;
pub mod topics;
