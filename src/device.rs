//! What devices and the gateway exchange, and what it means. No I/O.

pub mod close;
pub mod fleet;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod home_assistant;
pub mod language;
pub mod misplaced;
pub mod peer;
pub mod peripheral;
pub mod recognition;
pub mod refusal;
pub mod violation;
