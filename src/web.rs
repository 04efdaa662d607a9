//! Views of a gateway that runs: one HTTP interface, on the page's port and on the Unix socket of the command line.
//!
//! - `view`: what there is to show, and the orders that can be given.
//! - `api`: the router: devices, apps, frames, stops, and their description in OpenAPI.
//! - `connection`: one connection to it, on either.
//! - `live`: the websocket of each open page: a snapshot, then changes.
//! - `looks`: what these pages show, made once for all of them.
//! - `tabs`: what the websockets of one tab have in common.
//! - `metrics`: the counters for Prometheus.
//! - `port`: the page's port: who may ask, and the files of the page.
//! - `control`: the Unix socket, and the command line's end of it.

pub mod api;
mod connection;
pub mod control;
pub mod live;
mod looks;
pub mod metrics;
pub mod port;
mod tabs;
pub mod view;
