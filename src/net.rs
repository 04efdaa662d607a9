//! Sockets in both directions: accepting connections and dialling servers.

pub mod accept;
pub mod announce;
pub mod answered;
pub mod broker;
pub mod bus;
pub mod dial;
pub mod endpoint;
pub mod foreign;
pub mod listen;
pub mod mdns;
pub mod refusals;
pub mod spoken;
pub mod stream;
pub mod target;
pub mod tls;
pub mod upgrade;
pub mod visitor;
pub mod websocket;
