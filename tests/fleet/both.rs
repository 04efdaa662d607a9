//! A gateway that is an edge and a hub: its own board comes to its own apps through the broker, or to those of another hub.

use serde_json::Value;

use super::broker::Broker;
use super::common::bare_http::request;
use super::common::model_board::Kind;
use super::common::{listed, wait_until, within};
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
