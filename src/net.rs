//! Sockets in both directions: accepting connections and dialling servers.

pub mod accept;
pub mod dial;
pub mod endpoint;
pub mod mdns;
pub mod stream;
pub mod target;
pub mod tls;
pub mod websocket;
