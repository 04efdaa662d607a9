//! A hub with several connections to the broker, among which its edges are divided: one that is lost is lost alone.

use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::task::AbortOnDropHandle;
use wsdm_gateway::device::fleet::names::Name;
use wsdm_gateway::device::fleet::rank::connection_of;

use super::broker::{Broker, Mqtt};
use super::common::{listed, wait_until};
use super::in_memory::SmallEdge;
use super::reorderer::Reorderer;
use super::rig::{Gateway, HUB, hub_toml};

/// Connections of the hub, and edges on each.
const CONNECTIONS: usize = 3;
const EDGES: usize = 2;
/// How late a busy machine may be.
const LATE: Duration = Duration::from_millis(700);

/// Names of edges, so many for each connection.
fn names() -> Vec<String> {
    let name = |n: usize| format!("edge-{n}");
    let of = |connection: usize| {
        (0..100)
            .map(name)
            .filter(move |name| connection_of(&Name::new(name).expect("a name"), CONNECTIONS) == connection)
            .take(EDGES)
    };
    (0..CONNECTIONS).flat_map(of).collect()
}

/// An app that drives all devices all the time, each time at another level.
fn drive_all(app: &std::sync::Arc<ButtplugClient>) -> AbortOnDropHandle<()> {
    let app = app.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut level = 0;
        loop {
            level = level % 20 + 1;
            let mut all: FuturesUnordered<_> = app
                .devices()
                .into_values()
                .map(|device| async move {
                    let level = ClientDeviceOutputCommand::Vibrate(level.into());
                    let _ = tokio::time::timeout(Duration::from_secs(1), device.run_output(&level)).await;
                })
                .collect();
            while all.next().await.is_some() {}
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }))
}

fn client(connection: usize) -> String {
    format!("wsdm-hub-{HUB}-{connection}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_stops_its_own_devices_and_the_others_go_on() {
    let broker = Broker::start().await;
    let network = Reorderer::start(broker.address()).await;
    let toml = hub_toml(&network.url(), HUB) + &format!("connections = {CONNECTIONS}\n");
    let hub = Gateway::start(toml).await;
    let app = std::sync::Arc::new(hub.app().await);
    let mut watcher = Mqtt::connect(&broker, "watcher").await;
    watcher.subscribe("wsdm/1/#").await;
    let boards = SmallEdge::start_all(&broker, names());
    listed(&app, CONNECTIONS * EDGES).await;
    let log = broker.log();
    for (n, board) in boards.iter().enumerate() {
        let subscribed: Vec<&str> = log
            .lines()
            .filter(|line| line.ends_with(&format!(" wsdm/1/{}/dev/+/birth", board.name)))
            .filter(|line| line.contains("wsdm-hub-"))
            .collect();
        let by = client(n / EDGES);
        assert!(
            matches!(subscribed[..], [line] if line.contains(&format!("{by} "))),
            "{by}: {subscribed:?}"
        );
    }
    let _driving = drive_all(&app);
    let runs = |board: &SmallEdge| board.model.rest_since().is_none();
    wait_until("all run", || boards.iter().all(runs)).await;
    let indexes = |app: &ButtplugClient| {
        let mut indexes: Vec<u32> = app.devices().into_keys().collect();
        indexes.sort_unstable();
        indexes
    };
    let before = indexes(&app);

    // The last one: the first one has another task, too, and comes after it.
    let (others, its) = boards.split_at((CONNECTIONS - 1) * EDGES);
    let cut = Instant::now();
    network.cut(&client(CONNECTIONS - 1));
    wait_until("its boards are at rest", || !its.iter().any(runs)).await;
    for board in its {
        let rest = board.model.rest_since().expect("at rest").duration_since(cut);
        println!("{}: at rest after {rest:.0?}", board.name);
        assert!(rest <= Duration::from_millis(1_100) + LATE, "{rest:?}");
    }
    let moved: Vec<usize> = boards.iter().map(SmallEdge::moved).collect();
    // Longer than a lease lasts, while the app goes on.
    let beats = watcher.on("/beat").len();
    wait_until("beats of all", || {
        watcher.on("/beat").len() >= beats + 6 * boards.len()
    })
    .await;
    for (n, board) in boards.iter().enumerate() {
        if n < others.len() {
            assert!(runs(board), "{} is at rest", board.name);
            assert!(board.moved() > moved[n], "{} is not driven", board.name);
            let stops = board
                .model
                .commands()
                .into_iter()
                .filter(|c| c.at > cut && c.is_stop());
            assert_eq!(stops.count(), 0, "{} was stopped", board.name);
        } else {
            assert!(!runs(board), "{} runs", board.name);
            assert_eq!(board.moved(), moved[n], "{} was moved", board.name);
        }
    }
    network.heal();
    wait_until("all run again", || boards.iter().all(runs)).await;
    assert_eq!(indexes(&app), before);

    // The will of the first one is that of the hub: all are stopped, and go on with the next commands.
    network.cut(&client(0));
    let its = &boards[..EDGES];
    wait_until("its boards are at rest", || !its.iter().any(runs)).await;
    wait_until("the others run", || boards[EDGES..].iter().all(runs)).await;
    let moved: Vec<usize> = boards.iter().map(SmallEdge::moved).collect();
    let beats = watcher.on("/beat").len();
    wait_until("beats of all", || {
        watcher.on("/beat").len() >= beats + 4 * boards.len()
    })
    .await;
    for (n, board) in boards.iter().enumerate() {
        assert_eq!(board.moved() > moved[n], n >= EDGES, "{}", board.name);
    }
    network.heal();
    wait_until("all run again", || boards.iter().all(runs)).await;
    assert_eq!(indexes(&app), before);
}
