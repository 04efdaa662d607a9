//! Where sessions feed: a Buttplug server inside the gateway, or somebody else's Websocket Device Manager server.
//!
//! Both implement [`Upstream`](crate::session::ends::Upstream); the gateway picks one at start.

pub mod embedded;
pub mod relay;
