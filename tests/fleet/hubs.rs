//! Several hubs: one owns a device at any time, and another takes over when it is lost.

use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use rustix::process::Signal;

use super::broker::{Broker, Mqtt};
use super::common::model_board::Kind;
use super::common::{listed, wait_until, within};
use super::peer::Peer;
use super::presence::drive;
use super::rig::{Board, EDGE, Gateway, edge_toml};

/// How late a busy machine may be.
const LATE: Duration = Duration::from_millis(700);

async fn vibrate(app: &ButtplugClient, level: u32) {
    for device in app.devices().into_values() {
        let command = ClientDeviceOutputCommand::Vibrate(level.into());
        let _ = tokio::time::timeout(Duration::from_secs(1), device.run_output(&command)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hubs_that_claim_at_once_one_owns_the_device() {
    let broker = Broker::start().await;
    let edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let (a, b) = tokio::join!(
        Peer::connect(&broker, "a", EDGE),
        Peer::connect(&broker, "b", EDGE)
    );
    tokio::join!(a.beats(2), b.beats(2));
    tokio::join!(a.claim(&board.id), b.claim(&board.id));
    wait_until("an owner, known to both", || {
        [&a, &b]
            .iter()
            .all(|peer| peer.owner(&board.id)["hub"].is_string())
    })
    .await;
    let (first, second) = if a.owner(&board.id)["hub"] == "a" {
        (&a, &b)
    } else {
        (&b, &a)
    };
    let session = first.session(&board.id);
    // It stays so, whatever the other one does.
    for _ in 0..3 {
        second.claim(&board.id).await;
        second.beats(2).await;
    }
    assert_eq!(first.owner(&board.id)["hub"], first.name.as_str());
    assert_eq!(first.session(&board.id), session, "a session for each claim");
    second
        .down(&board.id, session.wrapping_add(1), 1, "Vibrate:9;")
        .await;
    second
        .down(&board.id, session.wrapping_sub(1), 1, "Vibrate:8;")
        .await;
    first.down(&board.id, session, 1, "Vibrate:7;").await;
    board.running().await;
    assert_eq!(board.levels(), [7]);
    // Its lease ends: the board is at rest, and the other one is let in. What the first sends is nothing any more.
    first.be_mute(true);
    board.at_rest().await;
    let new = second.own(&board.id).await;
    first.down(&board.id, session, 2, "Vibrate:6;").await;
    second.down(&board.id, new, 1, "Vibrate:5;").await;
    board.running().await;
    assert_eq!(board.levels(), [7, 5]);
    first.be_mute(false);
    first.claim(&board.id).await;
    first.down(&board.id, session, 3, "Vibrate:4;").await;
    first.beats(4).await;
    assert_eq!(second.owner(&board.id)["hub"], second.name.as_str());
    assert_eq!(board.levels(), [7, 5]);
}

/// Two hubs and an edge; the first hub has the device and drives it.
struct Pair {
    broker: Broker,
    edge: Gateway,
    owner: Gateway,
    owner_app: ButtplugClient,
    other: Gateway,
    other_app: ButtplugClient,
    board: Board,
}

impl Pair {
    async fn start() -> Self {
        let broker = Broker::start().await;
        let (edge, a, b) = tokio::join!(
            Gateway::edge(&broker, ""),
            Gateway::hub(&broker, "hub-a"),
            Gateway::hub(&broker, "hub-b")
        );
        let (app_a, app_b) = tokio::join!(a.app(), b.app());
        for hub in [&a, &b] {
            hub.expect(&["another hub is there"]).await;
        }
        let board = Board::plug(&edge, Kind::Hush, "A1").await;
        wait_until("one of them has it", || {
            app_a.devices().len() + app_b.devices().len() == 1
        })
        .await;
        let (owner, owner_app, other, other_app) = match app_a.devices().len() {
            1 => (a, app_a, b, app_b),
            _ => (b, app_b, a, app_a),
        };
        vibrate(&owner_app, 7).await;
        board.running().await;
        assert_eq!(other_app.devices().len(), 0, "both have it");
        Self {
            broker,
            edge,
            owner,
            owner_app,
            other,
            other_app,
            board,
        }
    }

    /// After the owner was lost: the board comes to rest, and the other hub has it. Prints both times.
    async fn taken_over(&self, how: &str, lost: Instant) {
        self.board.at_rest().await;
        let rest = self
            .board
            .model
            .rest_since()
            .expect("at rest")
            .duration_since(lost);
        listed(&self.other_app, 1).await;
        let listed = lost.elapsed();
        assert_eq!(self.board.levels(), [7], "it moved before anybody drove it");
        assert!(
            self.board.model.rest_since().is_some(),
            "{}",
            self.board.model.running()
        );
        println!("owner lost by {how}: at rest after {rest:.0?}, at the other hub after {listed:.0?}");
        assert!(rest < Duration::from_millis(1_100) + LATE, "{rest:?}");
        assert!(listed < Duration::from_secs(3) + LATE, "{listed:?}");
        vibrate(&self.other_app, 11).await;
        self.board.running().await;
        assert_eq!(self.board.levels(), [7, 11]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_killed_is_replaced_and_does_not_steal_when_it_comes_back() {
    let mut pair = Pair::start().await;
    let lost = Instant::now();
    pair.owner.kill().await;
    pair.taken_over("kill -9", lost).await;
    let back = Gateway::start_as_before(pair.owner.home.clone()).await;
    back.expect(&["the edge", "is there"]).await;
    back.expect(&["another hub is there"]).await;
    let app = back.app().await;
    let mut watcher = Mqtt::connect(&pair.broker, "watcher").await;
    watcher.subscribe("wsdm/1/#").await;
    // Two seconds of the edge's clock: longer than a hub waits before it claims what is free.
    wait_until("beats", || watcher.on("/beat").len() >= 8).await;
    assert_eq!(app.devices().len(), 0);
    assert_eq!(pair.other_app.devices().len(), 1);
    assert!(watcher.on("/owner").len() <= 1, "the owner changed");
    vibrate(&pair.other_app, 12).await;
    wait_until("the level", || pair.board.levels() == [7, 11, 12]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_frozen_is_replaced_and_nothing_of_it_counts_when_it_goes_on() {
    let pair = Pair::start().await;
    let lost = Instant::now();
    pair.owner.process.signal(Signal::STOP);
    // Its app goes on commanding: all of that waits in its sockets.
    let sent = vibrate(&pair.owner_app, 9);
    tokio::join!(pair.taken_over("SIGSTOP", lost), sent);
    pair.owner.process.signal(Signal::CONT);
    let mut watcher = Mqtt::connect(&pair.broker, "watcher").await;
    watcher.subscribe("wsdm/1/#").await;
    for level in [2, 3, 4, 6] {
        vibrate(&pair.owner_app, level).await;
        let before = watcher.on("/beat").len();
        wait_until("beats", || watcher.on("/beat").len() >= before + 2).await;
    }
    assert_eq!(pair.board.levels(), [7, 11], "the hub that was frozen moved it");
    assert_eq!(pair.other_app.devices().len(), 1);
    wait_until("its app is told", || pair.owner_app.devices().is_empty()).await;
    vibrate(&pair.other_app, 12).await;
    wait_until("the level", || pair.board.levels() == [7, 11, 12]).await;
    assert_eq!(
        pair.edge.logged(&["fault inside"]) + pair.other.logged(&["fault inside"]),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_not_configured_gets_nothing() {
    let broker = Broker::start().await;
    let (edge, stranger) = tokio::join!(
        Gateway::edge(&broker, "hub = [\"hub-b\", \"hub-c\"]\n"),
        Gateway::hub(&broker, "hub-a")
    );
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    stranger.expect(&["the edge bedroom is there"]).await;
    // One that claims what it may not.
    let peer = Peer::connect(&broker, "hub-x", EDGE).await;
    peer.beats(1).await;
    peer.claim(&board.id).await;
    peer.beats(4).await;
    assert!(peer.owner(&board.id).is_null(), "{}", peer.owner(&board.id));
    let app = stranger.app().await;
    assert_eq!(app.devices().len(), 0);
    let second = Gateway::hub(&broker, "hub-c").await;
    let app = second.app().await;
    listed(&app, 1).await;
    drive(&app, &board).await;
}

/// Connections that the broker counted from clients of this name.
fn connections(broker: &Broker, client: &str) -> usize {
    let log = broker.log();
    log.lines()
        .filter(|line| line.contains("New client connected") && line.contains(client))
        .count()
}

/// One is sure of it, and both name it.
async fn both_say_so(first: &Gateway, second: &Gateway, sure: &str) {
    let is_sure = || {
        [first, second]
            .into_iter()
            .filter(|gateway| gateway.logged(&[sure, "another name"]) > 0)
            .count()
    };
    wait_until(sure, || is_sure() > 0).await;
    for gateway in [first, second] {
        wait_until("it says so", || gateway.logged(&["another gateway", "name"]) > 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_edges_of_one_name_both_say_so_and_do_not_throw_each_other_out_for_ever() {
    let broker = Broker::start().await;
    let hub = Gateway::hub(&broker, "hub-a").await;
    let toml = edge_toml(&broker.url(), EDGE, "");
    let (first, second) = tokio::join!(Gateway::start(&toml), Gateway::start(&toml));
    let boards = tokio::join!(
        Board::plug(&first, Kind::Hush, "A1"),
        Board::plug(&second, Kind::Edge, "A2")
    );
    // The one that finds the other one twice is sure, and stays away; the other one was thrown out.
    both_say_so(&first, &second, "another gateway is the edge bedroom").await;
    let started = Instant::now();
    let before = connections(&broker, "wsdm-edge-bedroom");
    // A hub goes on living with it.
    let other = Gateway::start(edge_toml(&broker.url(), "kitchen", "")).await;
    let board = Board::plug(&other, Kind::Nora, "A3").await;
    let app = hub.app().await;
    within("the other edge's device", async {
        while !app
            .devices()
            .into_values()
            .any(|device| device.name() == "Lovense Nora")
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut watcher = Mqtt::connect(&broker, "watcher").await;
    watcher.subscribe("wsdm/1/kitchen/beat").await;
    wait_until("beats", || watcher.on("/beat").len() >= 16).await;
    let more = connections(&broker, "wsdm-edge-bedroom") - before;
    println!(
        "two edges of one name: {before} connections until both said so, {more} in {:.1?} after",
        started.elapsed()
    );
    assert!(before < 12 && more <= 4, "{before} and {more}");
    for edge in [&first, &second] {
        assert!(edge.log().len() < 60, "{}", edge.log().join("\n"));
    }
    drop((boards, board));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_of_one_name_both_say_so_and_do_not_loop() {
    let broker = Broker::start().await;
    let (first, second) = tokio::join!(Gateway::hub(&broker, "hub-a"), Gateway::hub(&broker, "hub-a"));
    let edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let (app, other_app) = tokio::join!(first.app(), second.app());
    both_say_so(&first, &second, "another gateway is the hub hub-a").await;
    let started = Instant::now();
    let before = broker.log().lines().count();
    let mut watcher = Mqtt::connect(&broker, "watcher").await;
    watcher.subscribe("wsdm/1/bedroom/beat").await;
    wait_until("beats", || watcher.on("/beat").len() >= 16).await;
    let lines = broker.log().lines().count() - before;
    println!(
        "two hubs of one name: {lines} lines of the broker's log in {:.1?}",
        started.elapsed()
    );
    assert!(lines < 1_000, "{lines}");
    for hub in [&first, &second] {
        assert!(hub.log().len() < 60, "{}", hub.log().join("\n"));
    }
    let devices = app.devices().len() + other_app.devices().len();
    assert!(devices <= 1, "both have the device");
    drop(board);
}
