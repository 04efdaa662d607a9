//! A halt by anybody whom the broker lets, with mosquitto's own tool.

use super::broker::Broker;
use super::common::model_board::{Kind, Verdict};
use super::common::wait_until;
use super::peer::Peer;
use super::presence::{drive, only};
use super::rig::{Board, EDGE, Fleet, Gateway};

/// Commands of the board's that were stops.
fn stops(board: &Board) -> usize {
    let commands = board.model.commands();
    commands
        .iter()
        .filter(|c| c.verdict == Verdict::Obeyed && c.text == "Vibrate:0")
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_stops_a_device_an_edge_or_all_and_the_hub_drives_again() {
    let fleet = Fleet::start().await;
    let app = fleet.hub.app().await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    let index = only(&app).await.index();
    let device = format!("wsdm/1/bedroom/dev/{}/halt", board.id);
    for (topic, payload) in [
        (device.as_str(), &["-n"][..]),
        ("wsdm/1/bedroom/halt", &["-m", "PRESS"]),
        ("wsdm/1/halt", &["-m", "\u{1F6D1} not a header"]),
    ] {
        drive(&app, &board).await;
        let moved = board.moved();
        fleet.broker.publish(&[&["-t", topic][..], payload].concat());
        board.at_rest().await;
        assert_eq!(board.moved(), moved, "{topic}");
    }
    drive(&app, &board).await;
    assert_eq!(only(&app).await.index(), index);
    // Retained it would come with each connection: it is ignored.
    let moved = stops(&board);
    fleet.broker.publish(&["-t", "wsdm/1/halt", "-m", "1", "-r"]);
    fleet.broker.publish(&["-t", &device, "-m", "1", "-r"]);
    let edge = fleet.edge;
    // What an edge sees of it as it happens is not marked as retained: it stops once.
    board.at_rest().await;
    assert!(stops(&board) > moved);
    let edge = edge.again().await;
    edge.expect(&["a retained message on wsdm/1/halt is ignored", "-r -n"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_stops_a_board_that_runs_while_no_hub_is_there() {
    let broker = Broker::start().await;
    let edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let peer = Peer::connect(&broker, "peer", EDGE).await;
    peer.beats(1).await;
    // Somebody pressed a button of its own: no gateway knows that it runs.
    board.model.leave_running();
    assert!(board.model.rest_since().is_none());
    broker.publish(&["-t", "wsdm/1/halt", "-n"]);
    board.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_during_a_claim_ends_the_session_that_it_came_in() {
    let broker = Broker::start().await;
    let edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let peer = Peer::connect(&broker, "peer", EDGE).await;
    peer.beats(1).await;
    let session = peer.own(&board.id).await;
    peer.down(&board.id, session, 1, "Vibrate:7;").await;
    board.running().await;
    // Claim, motion and halt at once; the claim may come before or after the halt, the motion is of the old session.
    let topic = format!("wsdm/1/bedroom/dev/{}/halt", board.id);
    peer.claim(&board.id).await;
    peer.mqtt.send(&topic, b"").await;
    peer.claim(&board.id).await;
    peer.down(&board.id, session, 2, "Vibrate:8;").await;
    board.at_rest().await;
    wait_until("a new session", || {
        peer.owner(&board.id)["session"]
            .as_u64()
            .is_some_and(|new| new != u64::from(session))
    })
    .await;
    peer.down(&board.id, session, 3, "Vibrate:9;").await;
    let new = peer.session(&board.id);
    peer.down(&board.id, new, 1, "Vibrate:10;").await;
    board.running().await;
    assert_eq!(board.levels(), [7, 10]);
}
