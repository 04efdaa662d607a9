//! Many devices at one hub: how soon they are listed, and what each costs in memory.

use std::time::Instant;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::client::Client;
use crate::harness::{Server, connect};
use crate::ways::Way;

/// So many devices of the edges of this way.
pub async fn listed(way: &Way, devices: usize) {
    let mut client = Client::connect(way.hub.url("clients")).await;
    let mut hub = way.hub.settled().await;
    let edges = || -> u64 { way.edges.iter().map(Server::resident).sum() };
    let mut of_edges = edges();
    let started = Instant::now();
    let tasks: Vec<_> = (0..devices)
        .map(|n| AbortOnDropHandle::new(tokio::spawn(device(way.devices(n), n))))
        .collect();
    let mut listed = client.listed.clone();
    listed.wait_for(|l| l.len() == devices).await.expect("a client");
    let all = started.elapsed();
    hub = way.hub.settled().await.saturating_sub(hub);
    of_edges = edges().saturating_sub(of_edges);
    println!(
        "  {:<18} {devices} devices of {} edges: all listed after {:.2} s; memory a device: hub {:.1} KiB, edge {:.1} KiB",
        way.name,
        way.edges.len(),
        all.as_secs_f64(),
        hub as f64 / devices as f64,
        of_edges as f64 / devices as f64,
    );
    client.call("Ping", json!({})).await;
    drop(tasks);
    listed.wait_for(Vec::is_empty).await.expect("a client");
}

/// A device that takes what comes.
async fn device(url: String, n: usize) {
    let mut ws = connect(&url).await;
    let hello = json!({"identifier": "Bench", "address": format!("{n}"), "version": 0});
    ws.send(Message::text(hello.to_string()))
        .await
        .expect("an open socket");
    while let Some(Ok(_)) = ws.next().await {}
}
