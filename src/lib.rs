//! `wsdm-gateway` gives any DIY microcontroller device a place in the Buttplug ecosystem.

pub mod close;
pub mod defaults;
pub mod handshake;
pub mod link;
pub mod udcf;
