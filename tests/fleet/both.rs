//! A gateway that is an edge and a hub: its own board comes to its own apps through the broker, or to those of another hub.

use serde_json::Value;

use super::broker::Broker;
use super::common::bare_http::{ask, request};
use super::common::model_board::Kind;
use super::common::{listed, wait_until, within};
use super::peer::Peer;
use super::presence::{drive, only};
use super::rig::{Board, EDGE, Gateway, HUB, edge_toml, hub_toml};

/// An edge and a hub of this name in one.
async fn both(broker: &Broker, more: &str) -> Gateway {
    let url = broker.url();
    Gateway::start(edge_toml(&url, EDGE, more) + &hub_toml(&url, EDGE)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_a_hub_drives_its_own_board_and_those_of_others() {
    let broker = Broker::start().await;
    let gateway = both(&broker, "").await;
    let other = Gateway::start(edge_toml(&broker.url(), "kitchen", "")).await;
    let app = gateway.app().await;
    let board = Board::plug(&gateway, Kind::Hush, "A1").await;
    let device = only(&app).await;
    assert_eq!(device.name(), "Lovense Hush");
    drive(&app, &board).await;
    within("a stop", device.stop())
        .await
        .expect("a device that takes it");
    board.at_rest().await;
    let _second = Board::plug(&other, Kind::Edge, "A2").await;
    listed(&app, 2).await;
    drop(board);
    listed(&app, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_stop_reaches_its_own_board_whichever_hub_drives_it() {
    let broker = Broker::start().await;
    let more = format!("hub = {HUB:?}\n");
    let (gateway, hub) = tokio::join!(both(&broker, &more), Gateway::hub(&broker, HUB));
    let app = hub.app().await;
    let board = Board::plug(&gateway, Kind::Hush, "A1").await;
    only(&app).await;
    drive(&app, &board).await;
    let page = gateway.process.page_address();
    let (status, stopped) = request(page, "POST", "/api/stop", Some(&Value::Null)).await;
    assert_eq!((status, &stopped["stopped"]), (200, &1.into()), "{stopped}");
    wait_until("the board is at rest", || board.model.rest_since().is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_metrics_count_the_frames_that_its_own_boards_refused() {
    let broker = Broker::start().await;
    let gateway = both(&broker, "hub = \"peer\"\n").await;
    let board = Board::plug(&gateway, Kind::Hush, "A1").await;
    let peer = Peer::connect(&broker, "peer", EDGE).await;
    peer.beats(1).await;
    let session = peer.own(&board.id).await;
    peer.down(&board.id, session.wrapping_add(1), 1, "Vibrate:9;")
        .await;
    within("it is counted", async {
        loop {
            let metrics = ask(gateway.process.page_address(), "GET", "/metrics", &[])
                .await
                .body;
            let mut lines = metrics.lines();
            if lines
                .any(|line| line.starts_with("wsdm_gateway_frames_refused_total{") && line.ends_with(" 1"))
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_stop_of_the_fleet_reaches_both_brokers_or_says_which_it_does_not() {
    let (at_hub, mut at_edge) = tokio::join!(Broker::start(), Broker::start());
    let toml = edge_toml(&at_edge.url(), EDGE, "") + &hub_toml(&at_hub.url(), EDGE);
    let (gateway, near, far) = tokio::join!(
        Gateway::start(toml),
        Gateway::start(edge_toml(&at_hub.url(), "kitchen", "")),
        Gateway::start(edge_toml(&at_edge.url(), "attic", ""))
    );
    let boards = [
        Board::plug(&near, Kind::Hush, "A1").await,
        Board::plug(&far, Kind::Hush, "A2").await,
    ];
    let page = gateway.process.page_address();
    let stop = || request(page, "POST", "/api/fleet/stop", Some(&Value::Null));
    for (broker, client) in [
        (&at_hub, "hub-bedroom-0"),
        (&at_hub, "edge-kitchen"),
        (&at_edge, "edge-bedroom"),
        (&at_edge, "edge-attic"),
    ] {
        broker.subscribed(&format!("wsdm-{client}"), "wsdm/1/halt").await;
    }
    // A connection that logs it has told the page.
    wait_until("four connections", || {
        gateway.logged(&["connected to the broker"]) == 2
            && [&near, &far]
                .iter()
                .all(|edge| edge.logged(&["connected to the broker"]) == 1)
    })
    .await;
    for board in &boards {
        board.model.leave_running();
    }
    let (status, stopped) = within("an answer", stop()).await;
    assert_eq!(status, 200, "{stopped}");
    for board in &boards {
        board.at_rest().await;
    }
    at_edge.kill();
    gateway.expect(&["the broker", "is away"]).await;
    boards[0].model.leave_running();
    let (status, problem) = within("an answer", stop()).await;
    assert_eq!(status, 503, "{problem}");
    let error = problem["error"].as_str().expect("an error");
    assert!(
        error.contains("the broker is away") && error.contains(&at_edge.url()),
        "{error}"
    );
    boards[0].at_rest().await;
}
