//! Outputs never outlive control: every way to lose control, on every link, in every language.
//!
//! Model boards know what their language's commands do. All their outputs are on when control is lost, with nobody
//! sending anything or in the middle of a stream of commands, and the question is whether each board comes to rest and
//! stays there. Which bytes do that is not asked.
//!
//! Each test prints its link's figures; with `WSDM_AT_REST_TABLE=path` the table of all that ran is written there.
#![cfg(unix)]

#[path = "at_rest/app.rs"]
mod app;
mod common;
#[path = "at_rest/gateway.rs"]
mod gateway;
#[path = "at_rest/hand.rs"]
mod hand;
#[path = "at_rest/table.rs"]
mod table;
#[path = "at_rest/trial.rs"]
mod trial;
#[path = "at_rest/websocket.rs"]
mod websocket;

use table::check;
use trial::Link;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_websocket() {
    check(Link::Websocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_serial_line() {
    check(Link::SerialFast).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_slow_serial_line() {
    check(Link::SerialSlow).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_bluetooth() {
    check(Link::Ble).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_relay() {
    check(Link::Relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_relay_on_a_slow_serial_line() {
    check(Link::RelaySlow).await;
}
