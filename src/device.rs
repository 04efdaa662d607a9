//! Words without I/O: what devices and gateway say to each other, and what it means.

pub mod close;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod language;
pub mod peer;
pub mod peripheral;
pub mod refusal;
