//! Where sessions send their frames: the Buttplug server inside the gateway, a remote Websocket Device Manager
//! server, or the hubs of a fleet.
//!
//! All implement [`Upstream`](crate::session::ends::Upstream); the gateway picks one at start.

pub mod embedded;
pub mod mqtt;
pub mod relay;
