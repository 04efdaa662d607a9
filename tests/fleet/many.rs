//! Many edges that all come back at once, after a restart of the broker.

use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use rumqttc::QoS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::broker::{Broker, Mqtt};
use super::common::wait_until;
use super::in_memory::SmallEdge;
use super::rig::{EDGE, Gateway, HUB};

/// Boards that run when the broker is lost.
const RUNNING: usize = 8;
/// How late a busy machine may be, which does the work of all these machines.
const LATE: Duration = Duration::from_millis(900);

fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

/// Waits far longer than a test usually does.
async fn patiently(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(300), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "in time: {what}");
}

async fn come_back(edges: usize) {
    raise_file_limit();
    let mut broker = Broker::start().await;
    let hub = Gateway::hub(&broker, HUB).await;
    let app = hub.app().await;
    let started = Instant::now();
    let boards = SmallEdge::start_all(&broker, (0..edges).map(|n| format!("edge-{n}")));
    patiently("all are listed", || app.devices().len() == edges).await;
    println!(
        "{edges} edges with a device each: all listed {:.1?} after the first started",
        started.elapsed()
    );
    let runs = |boards: &[SmallEdge]| {
        boards
            .iter()
            .filter(|board| board.model.rest_since().is_none())
            .count()
    };
    let first: Vec<_> = app.devices().into_values().take(RUNNING).collect();
    let mut level = 0;
    let begun = Instant::now();
    while runs(&boards) < RUNNING && begun.elapsed() < Duration::from_secs(60) {
        // Never the same value twice: the server drops repeats.
        level = level % 20 + 1;
        for device in &first {
            let level = buttplug_client::device::ClientDeviceOutputCommand::Vibrate(level.into());
            let _ = tokio::time::timeout(Duration::from_secs(2), device.run_output(&level)).await;
        }
    }
    wait_until("they run", || runs(&boards) == RUNNING).await;
    let driven: Vec<&SmallEdge> = boards
        .iter()
        .filter(|board| board.model.rest_since().is_none())
        .collect();
    let lost = Instant::now();
    broker.kill();
    wait_until("they are at rest", || {
        driven.iter().all(|board| board.model.rest_since().is_some())
    })
    .await;
    let rest = driven
        .iter()
        .filter_map(|board| board.model.rest_since())
        .max()
        .expect("some")
        .duration_since(lost);
    let moved: Vec<usize> = boards.iter().map(SmallEdge::moved).collect();
    let driven_again = || {
        let again = boards
            .iter()
            .zip(&moved)
            .filter(|(board, moved)| board.moved() > **moved);
        again.count()
    };
    broker.start_again().await;
    let back = Instant::now();
    let mut watcher = Mqtt::connect(&broker, "watcher").await;
    watcher.subscribe("wsdm/1/+/dev/+/birth").await;
    patiently("all births", || watcher.topics() >= edges).await;
    let births = back.elapsed();
    patiently("all are listed", || app.devices().len() == edges).await;
    println!(
        "births back in {births:.1?}, all listed in {:.1?}",
        back.elapsed()
    );
    let mut level = 0;
    // Not all at one moment: a machine that does the work of them all may be late for some leases, and those boards rest.
    while driven_again() < edges && back.elapsed() < Duration::from_secs(200) {
        // Never the same value twice: the server drops repeats.
        level = level % 20 + 1;
        let mut all: FuturesUnordered<_> = app
            .devices()
            .into_values()
            .map(|device| async move {
                let level = buttplug_client::device::ClientDeviceOutputCommand::Vibrate(level.into());
                let _ = tokio::time::timeout(Duration::from_secs(2), device.run_output(&level)).await;
            })
            .collect();
        while all.next().await.is_some() {}
    }
    assert_eq!(driven_again(), edges, "driven again");
    println!(
        "{edges} edges after a kill -9 of the broker: {RUNNING} boards at rest after {rest:.0?}; births back in {births:.1?}, all \
         driven in {:.1?}; hub {} MiB, broker {} MiB",
        back.elapsed(),
        hub.memory_kib() / 1024,
        broker.memory_kib() / 1024
    );
    assert!(rest <= Duration::from_millis(1_100) + LATE, "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_edges_come_back_after_a_restart_of_the_broker() {
    come_back(200).await;
}

/// `cargo test --test fleet -- --ignored a_thousand --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes a machine of its own for a minute"]
async fn a_thousand_edges_come_back_after_a_restart_of_the_broker() {
    come_back(1_000).await;
}

/// More than the edge's queue for the broker holds: a birth and an owner each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_of_a_large_edge_is_published() {
    const DEVICES: usize = 2_500;
    let mut broker = Broker::start().await;
    // They come while the broker is away, and are published at once when it is there.
    broker.kill();
    let edges = SmallEdge::start_with(&broker, [EDGE.to_owned()], DEVICES);
    patiently("all are connected", || {
        edges[0].registry.sessions().len() == DEVICES
    })
    .await;
    broker.start_again().await;
    let watcher = Mqtt::connect(&broker, "watcher").await;
    // What is acknowledged would be dropped by the broker, whose queue is shorter.
    let all = watcher.client.subscribe("wsdm/1/+/dev/+/birth", QoS::AtMostOnce);
    all.await.expect("a client");
    patiently("all births", || watcher.topics() == DEVICES).await;
}
