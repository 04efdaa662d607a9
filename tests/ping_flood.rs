//! Peers that send pings and never read the answers, on every websocket that the gateway serves: they are cut off, and the
//! gateway does not keep their answers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::net::SocketAddr;

use common::bare_websocket::{Bare, KEY, masked, unmasked};
use common::process::Process;
use common::{DEADLINE, handshake, within};
use futures::future::join_all;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// What all floods together may cost: buffers, and what the allocator keeps. Unread pongs of a second are more.
const GROWTH_MAX_KB: u64 = 6 * 1024;
/// The pings of one write.
const PINGS: usize = 1_000;

/// A figure of the process, in kB.
fn memory(gateway: &Process, figure: &str) -> u64 {
    let pid = gateway.child.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Opens a websocket; a page names its own origin, a device none.
async fn open(url: &str, path: &str, is_page: bool) -> Bare {
    let host = url.split("//").nth(1).unwrap().trim_end_matches('/');
    let origin = if is_page {
        format!("Origin: http://{host}\r\n")
    } else {
        String::new()
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\n{origin}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let port: SocketAddr = host.parse().unwrap();
    let (bare, head) = within("the websocket opens", Bare::open(port, &request)).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{path}: {head}");
    bare
}

/// A device that has introduced itself.
async fn device(gateway: &Process) -> Bare {
    let mut device = open(&gateway.devices, "/device", false).await;
    device
        .send(&masked(0x81, handshake("LVSDevice", "flood").as_bytes()))
        .await;
    device
}

/// Reads until the answer to a ping comes.
async fn pong(bare: &mut Bare, payload: &[u8]) {
    within("a pong", async {
        while bare.frame().await != (0x8a, payload.to_vec()) {}
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_floods_pings_and_never_reads_is_cut_off_and_costs_no_memory() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let mut peers = [
        ("devices", device(&gateway).await),
        ("apps", open(&gateway.clients, "/", false).await),
        ("/buttplug", open(&gateway.page, "/buttplug", true).await),
        ("/api/live", open(&gateway.page, "/api/live", true).await),
    ];
    for (_, peer) in &mut peers {
        // One that reads is answered, however often it asks.
        for number in 0..100 {
            peer.send(&masked(0x89, &[number])).await;
            pong(peer, &[number]).await;
        }
    }
    let before = memory(&gateway, "VmRSS:");
    let pings = masked(0x89, &[b'x'; 125]).repeat(PINGS);
    let floods = peers.map(|(port, peer)| {
        let pings = &pings;
        async move { (port, timeout(DEADLINE, peer.flood(pings)).await) }
    });
    let ended = join_all(floods).await;
    let grown = memory(&gateway, "VmHWM:").saturating_sub(before);
    println!("grown by {grown} kB; {ended:?}");
    for (port, sent) in ended {
        sent.unwrap_or_else(|_| panic!("{port}: not cut off"));
    }
    assert!(grown < GROWTH_MAX_KB, "grown by {grown} kB");
}

/// The other way round: the server that devices are relayed to.
#[tokio::test]
async fn a_server_that_floods_pings_and_never_reads_is_left_and_costs_no_memory() {
    let home = TempDir::new().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("ws://{}", server.local_addr().unwrap());
    let gateway = Process::start(home.path(), &["--upstream", &upstream]).await;
    let _device = device(&gateway).await;
    let (stream, _) = within("the device is relayed", server.accept()).await.unwrap();
    let mut peer = within("an upgrade", Bare::accept(stream)).await;
    // One that reads is answered. What that takes is in memory before the flood.
    for number in 0..100 {
        peer.send(&unmasked(0x89, &[number])).await;
        pong(&mut peer, &[number]).await;
    }
    let before = memory(&gateway, "VmRSS:");
    let pings = unmasked(0x89, &[b'x'; 125]).repeat(PINGS);
    let sent = within("the server is left", peer.flood(&pings)).await;
    let grown = memory(&gateway, "VmHWM:").saturating_sub(before);
    println!("left after {} kB, grown by {grown} kB", sent / 1024);
    assert!(grown < GROWTH_MAX_KB, "grown by {grown} kB");
}
