//! Where sessions send their frames: the Buttplug server inside the gateway, or a remote Websocket Device Manager
//! server.
//!
//! Both implement [`Upstream`](crate::session::ends::Upstream); the gateway picks one at start.

pub mod embedded;
pub mod relay;
