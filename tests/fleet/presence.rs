//! A device of an edge is a device of the hub, and stays the same one.

use std::time::Duration;

use buttplug_client::ButtplugClient;
use buttplug_client::device::{ButtplugClientDevice, ClientDeviceOutputCommand};
use tempfile::TempDir;

use super::broker::{Broker, Mqtt};
use super::common::json_client::JsonClient;
use super::common::model_board::Kind;
use super::common::tcode_board::{SR6, TcodeBoard};
use super::common::{DEADLINE, listed, wait_until, within};
use super::rig::{Board, EDGE, Fleet, Gateway, HUB};

/// The only device of an app.
pub async fn only(app: &ButtplugClient) -> ButtplugClientDevice {
    listed(app, 1).await;
    app.devices().into_values().next().expect("a device")
}

/// Commands a device until the board runs: right after a loss, what an app sends may come to nothing. When this returns,
/// nothing that the app sent is still under way.
pub async fn drive(app: &ButtplugClient, board: &Board) {
    let mut level: u32 = 10;
    within("the board is driven", async {
        loop {
            // Never the same value twice: the server drops repeats.
            level = if level == 20 { 10 } else { level + 1 };
            if let Some(device) = app.devices().into_values().next() {
                let command = ClientDeviceOutputCommand::Vibrate(level.into());
                let _ = tokio::time::timeout(Duration::from_secs(1), device.run_output(&command)).await;
            }
            let arrives = async {
                while board.model.rest_since().is_some() || board.levels().last() != Some(&level) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let arrived = tokio::time::timeout(Duration::from_millis(200), arrives).await;
            if arrived.is_ok() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_of_an_edge_is_driven_at_the_hub_and_keeps_its_index() {
    let fleet = Fleet::start().await;
    let app = fleet.hub.app().await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    let device = only(&app).await;
    assert_eq!(device.name(), "Lovense Hush");
    let index = device.index();
    drive(&app, &board).await;
    assert_eq!(
        within("the battery", device.battery()).await.expect("an answer"),
        85
    );
    within("a stop", device.stop())
        .await
        .expect("a device that takes it");
    board.at_rest().await;

    // Another one comes, the first one leaves and comes back.
    let other = Board::plug(&fleet.edge, Kind::Edge, "A2").await;
    listed(&app, 2).await;
    drop(board);
    listed(&app, 1).await;
    assert_eq!(only(&app).await.name(), "Lovense Edge");
    drop(other);
    listed(&app, 0).await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    let device = only(&app).await;
    assert_eq!(device.index(), index);
    drive(&app, &board).await;
}

/// Restarts the broker under a running board; whether it remembers is in its configuration.
async fn a_restart_of_the_broker(config: &str) {
    let mut broker = Broker::with(config).await;
    let (edge, hub) = tokio::join!(Gateway::edge(&broker, ""), Gateway::hub(&broker, HUB));
    let app = hub.app().await;
    let (board, second) = tokio::join!(
        Board::plug(&edge, Kind::Hush, "A1"),
        Board::plug(&edge, Kind::Edge, "A2")
    );
    listed(&app, 2).await;
    let indexes = |app: &ButtplugClient| {
        let mut all: Vec<_> = app
            .devices()
            .into_values()
            .map(|d| (d.name().clone(), d.index()))
            .collect();
        all.sort();
        all
    };
    let before = indexes(&app);
    let hush = app
        .devices()
        .into_values()
        .find(|d| d.name() == "Lovense Hush")
        .expect("it");
    let command = ClientDeviceOutputCommand::Vibrate(0.5.into());
    within("a command", hush.run_output(&command))
        .await
        .expect("a device that takes it");
    board.running().await;
    broker.stop();
    board.at_rest().await;
    let moved = board.moved();
    broker.start_again().await;
    // The other one is driven, and both are the same as before.
    within("the second is driven", async {
        let mut strength = 0.1;
        while second.model.rest_since().is_some() {
            strength = if strength > 0.9 { 0.1 } else { strength + 0.05 };
            if let Some(device) = app.devices().into_values().find(|d| d.name() == "Lovense Edge") {
                let command = ClientDeviceOutputCommand::Vibrate(strength.into());
                let _ = tokio::time::timeout(Duration::from_secs(1), device.run_output(&command)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    listed(&app, 2).await;
    assert_eq!(indexes(&app), before);
    assert_eq!(
        board.moved(),
        moved,
        "what was sent before the restart moved it again"
    );
    assert!(board.model.rest_since().is_some(), "{}", board.model.running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_forgets_is_told_everything_again() {
    a_restart_of_the_broker("allow_anonymous true\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_remembers_replays_nothing() {
    a_restart_of_the_broker("allow_anonymous true\npersistence true\npersistence_location FOLDER/\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_birth_that_outlived_its_device_is_not_shown_and_is_cleared() {
    let mut broker =
        Broker::with("allow_anonymous true\npersistence true\npersistence_location FOLDER/\n").await;
    let mut edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let birth = format!("{}/birth", board.id);
    let mut watcher = Mqtt::connect(&broker, "watcher").await;
    watcher.subscribe("wsdm/1/#").await;
    wait_until("the birth", || watcher.last(&birth).is_object()).await;
    edge.kill().await;
    wait_until("the will", || watcher.last("bedroom/state")["online"] == false).await;
    // The broker comes back with what it remembers, and a hub that has never seen the edge comes to it.
    broker.stop();
    broker.start_again().await;
    let hub = Gateway::hub(&broker, HUB).await;
    hub.expect(&["connected to the broker"]).await;
    let app = hub.app().await;
    let mut watcher = Mqtt::connect(&broker, "watcher-2").await;
    watcher.subscribe("wsdm/1/#").await;
    wait_until("what is retained", || watcher.last(&birth).is_object()).await;
    assert!(watcher.on(&birth).len() == 1, "it is not retained");
    // Another device of the same edge shows that the hub has seen all of it.
    let edge = edge.again().await;
    let second = Board::plug(&edge, Kind::Edge, "A2").await;
    assert_eq!(only(&app).await.name(), "Lovense Edge");
    wait_until("the edge clears it", || {
        watcher
            .on(&birth)
            .last()
            .is_some_and(|(_, payload)| payload.is_empty())
    })
    .await;
    drive(&app, &second).await;
    assert_eq!(app.devices().len(), 1);
    let mut late = Mqtt::connect(&broker, "watcher-3").await;
    late.subscribe("wsdm/1/#").await;
    wait_until("what is retained", || {
        late.last("bedroom/state")["online"] == true
    })
    .await;
    wait_until("what is retained", || {
        late.last(&format!("{}/birth", second.id)).is_object()
    })
    .await;
    assert!(late.on(&birth).is_empty(), "it is retained still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_an_edge_recognised_has_its_axes_at_the_hub() {
    let ports = TempDir::new().expect("a folder to write in");
    let port = ports.path().join("sr6");
    let board = TcodeBoard::plug(&port, SR6);
    let fleet = Fleet::with(&format!("[[serial]]\nport = {port:?}\nsettle_ms = 0\n")).await;
    let mut app = JsonClient::connect(&fleet.hub.process.clients, 4).await;
    let index = within("the board", app.first_device()).await;
    let list = app.call("RequestDeviceList", serde_json::json!({})).await;
    let device = &list["DeviceList"]["Devices"][index.to_string()];
    assert_eq!(device["DeviceName"], "SR6_Release3.ino");
    let features = device["DeviceFeatures"].as_object().expect("features");
    let shown: Vec<_> = (0..features.len())
        .map(|n| {
            features[&n.to_string()]["FeatureDescription"]
                .as_str()
                .expect("a text")
                .to_owned()
        })
        .collect();
    assert_eq!(
        shown,
        ["L0 Up", "L1 Forward", "L2 Move left", "R0", "R1 Roll", "R2 Pitch"]
    );
    for (feature, wanted) in [(0, "L01234I150\n"), (4, "R13234I150\n")] {
        let command = serde_json::json!({"HwPositionWithDuration": {"Value": 1_234, "Duration": 150}});
        let fields = serde_json::json!({"DeviceIndex": index, "FeatureIndex": feature, "Command": command});
        let reply = app.call("OutputCmd", fields).await;
        assert!(reply.get("Ok").is_some(), "{reply}");
        wait_until(wanted, || board.sent().contains(wanted)).await;
    }
}

/// The will of a connection that is over, and a state that somebody else wrote, are corrected by an edge that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_called_away_while_it_is_there_says_so() {
    let fleet = Fleet::start().await;
    let app = fleet.hub.app().await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    only(&app).await;
    let mut other = Mqtt::connect(&fleet.broker, "other").await;
    other.subscribe("wsdm/1/bedroom/state").await;
    wait_until("its state", || other.last("state")["online"] == true).await;
    let own = other.last("state")["epoch"]
        .as_str()
        .expect("an epoch")
        .to_owned();
    for epoch in [own.as_str(), "00000000000000e7"] {
        let before = other.on("state").len();
        let will = format!(r#"{{"online":false,"epoch":"{epoch}","version":"0"}}"#);
        other.publish("wsdm/1/bedroom/state", will.as_bytes(), true).await;
        wait_until("the will", || other.on("state").len() > before).await;
        wait_until("its state", || {
            let state = other.last("state");
            state["online"] == true && state["epoch"] == own
        })
        .await;
        let started = tokio::time::Instant::now();
        drive(&app, &board).await;
        // If the device loses its session meanwhile, its edge stops it.
        let _ = within("a stop", only(&app).await.stop()).await;
        board.at_rest().await;
        assert!(started.elapsed() < DEADLINE);
    }
    let mut late = Mqtt::connect(&fleet.broker, "late").await;
    late.subscribe(&format!("wsdm/1/{EDGE}/state")).await;
    wait_until("what is retained", || late.last("state")["online"] == true).await;
}
