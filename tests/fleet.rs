//! A fleet: gateways that are edges and hubs of a real broker, real apps, and boards that know what they are told.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

#[path = "fleet/access.rs"]
mod access;
#[path = "fleet/both.rs"]
mod both;
#[path = "fleet/broker.rs"]
mod broker;
#[path = "fleet/command.rs"]
mod command;
mod common;
#[path = "fleet/connections.rs"]
mod connections;
#[path = "fleet/disorder.rs"]
mod disorder;
#[path = "fleet/flood.rs"]
mod flood;
#[path = "fleet/halt.rs"]
mod halt;
#[path = "fleet/hostile.rs"]
mod hostile;
#[path = "fleet/hubs.rs"]
mod hubs;
#[path = "fleet/in_memory.rs"]
mod in_memory;
#[path = "fleet/many.rs"]
mod many;
#[path = "fleet/namespaces.rs"]
mod namespaces;
#[path = "fleet/peer.rs"]
mod peer;
#[path = "fleet/presence.rs"]
mod presence;
#[path = "fleet/reorderer.rs"]
mod reorderer;
#[path = "fleet/rig.rs"]
mod rig;
#[path = "fleet/view.rs"]
mod view;
