//! Messages that overtake each other between the broker and an edge: what the board obeys was sent in that order, and after
//! every stop that was seen.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use rumqttc::QoS;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::broker::Broker;
use super::common::json_client::JsonClient;
use super::common::model_board::{Kind, Verdict};
use super::common::{wait_until, within};
use super::peer::{Peer, message};
use super::reorderer::Reorderer;
use super::rig::{Board, EDGE, Gateway, HUB, edge_toml};

/// Neighbours change places; some come after many that were sent later.
const DISORDER: [u64; 9] = [0, 30, 0, 0, 300, 0, 60, 0, 30];
/// So much later come the frames that a stop overtakes, in milliseconds.
const OVERTAKEN_BY_STOP: u64 = 150;
/// Between two frames.
const PACE: Duration = Duration::from_millis(15);
/// Less than the longest delay, and more than a busy machine needs from the broker to the board.
const SOON: Duration = Duration::from_millis(200);

/// An edge behind such a network, and a board whose every command is another place.
struct Rig {
    broker: Broker,
    network: Reorderer,
    edge: Gateway,
    board: Board,
}

impl Rig {
    async fn start() -> Self {
        let broker = Broker::start().await;
        let network = Reorderer::start(broker.address()).await;
        let edge = Gateway::start(edge_toml(&network.url(), EDGE, "")).await;
        let board = Board::plug(&edge, Kind::Stroker, "A1").await;
        Self {
            broker,
            network,
            edge,
            board,
        }
    }

    /// The places that the board went to, and when.
    fn places(&self) -> Vec<(u32, Instant)> {
        let commands = self.board.model.commands();
        let obeyed = commands.iter().filter(|c| c.verdict == Verdict::Obeyed);
        obeyed.filter_map(|c| Some((place(&c.text)?, c.at))).collect()
    }

    fn assert_rising(&self) {
        let places = self.places();
        assert!(
            places.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "not in the order in which they were sent: {:?}",
            places.iter().map(|(place, _)| place).collect::<Vec<_>>()
        );
    }

    async fn all_passed(&self) {
        wait_until("nothing is on its way", || self.network.waiting() == 0).await;
    }
}

/// Where a command moves the axis to.
fn place(text: &str) -> Option<u32> {
    text.strip_prefix("L0")?.split_once('I')?.0.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_older_than_a_frame_or_a_stop_that_was_seen_moves_a_board() {
    let rig = Rig::start().await;
    let peer = Peer::connect(&rig.broker, "peer", EDGE).await;
    peer.beats(1).await;
    let device = rig.board.id.clone();
    let session = peer.own(&device).await;
    rig.network.delay("", &DISORDER);
    rig.network.delay("/stop", &[0]);
    let mut seq = 0;
    for round in 0..3 {
        let moved = rig.places().len();
        for n in 0..30 {
            match n {
                0 => rig.network.delay("/down", &DISORDER),
                // The stop overtakes these, which are newer than everything that the board obeyed, and fresh.
                26 => {
                    rig.all_passed().await;
                    rig.network.delay("/down", &[OVERTAKEN_BY_STOP]);
                }
                _ => {}
            }
            seq += 1;
            peer.down(&device, session, seq, &format!("L0{seq:03}I20000\n"))
                .await;
            tokio::time::sleep(PACE).await;
        }
        seq += 1;
        let stop = message(session, seq, peer.nonce(), 2, b"");
        let topic = format!("wsdm/1/{EDGE}/dev/{device}/stop");
        peer.mqtt
            .client
            .publish(topic, QoS::AtLeastOnce, false, stop)
            .await
            .expect("a client");
        wait_until("the stop passes", || {
            rig.network.passed("/stop").len() == round + 1
        })
        .await;
        let stopped = rig.network.passed("/stop")[round].at;
        rig.all_passed().await;
        // They were judged before what follows.
        peer.beats(2).await;
        assert!(
            rig.board.model.rest_since().is_some(),
            "moved by what is older than the stop {seq}: {}",
            rig.board.model.running()
        );
        let places = rig.places();
        rig.assert_rising();
        let late: Vec<_> = places.iter().filter(|(_, at)| *at > stopped + SOON).collect();
        assert!(late.is_empty(), "older than the stop {seq}: {late:?}");
        assert!(
            places.len() > moved + 5,
            "the board was hardly driven: {}",
            places.len() - moved
        );
    }
    let frames = rig.network.passed("/down").len();
    println!(
        "{} of {frames} frames obeyed; {} messages of all kinds came after later ones",
        rig.places().len(),
        rig.network.overtaken()
    );
    assert!(rig.network.overtaken() > 15, "{}", rig.network.overtaken());
    assert_eq!(peer.session(&device), session, "the lease did not survive");
    rig.edge.expect(&["owned by the hub peer"]).await;
}

/// With a hub, whose stops are frames and a message besides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_drives_and_stops_a_board_through_disorder() {
    let rig = Rig::start().await;
    let hub = Gateway::hub(&rig.broker, HUB).await;
    let mut app = JsonClient::connect(&hub.process.clients, 4).await;
    let index = within("the board", app.first_device()).await;
    let (mut sink, mut stream) = app.into_inner().split();
    let reader = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
    rig.network.delay("", &DISORDER);
    let mut sent = 0;
    for _ in 0..3 {
        let moved = rig.places().len();
        for _ in 0..40 {
            sent += 1;
            let command = json!({"HwPositionWithDuration": {"Value": sent, "Duration": 20_000}});
            let fields = json!({"Id": 9, "DeviceIndex": index, "FeatureIndex": 0, "Command": command});
            let text = json!([{ "OutputCmd": fields }]).to_string();
            sink.send(Message::text(text)).await.expect("an open socket");
            tokio::time::sleep(PACE).await;
        }
        let stop = json!([{ "StopCmd": {"Id": 10, "DeviceIndex": index, "Inputs": false, "Outputs": true} }]);
        let stops = rig.network.passed("/stop").len();
        let asked = Instant::now();
        sink.send(Message::text(stop.to_string()))
            .await
            .expect("an open socket");
        // A stop by an app is an ordinary frame, and in order with the others.
        rig.board.at_rest().await;
        wait_until("the stop passes", || {
            let frames = rig.network.passed("/down");
            frames
                .iter()
                .any(|frame| frame.at > asked && frame.payload.ends_with(b"DSTOP\n"))
                || rig.network.passed("/stop").len() > stops
        })
        .await;
        rig.all_passed().await;
        rig.board.at_rest().await;
        rig.assert_rising();
        let places = rig.places();
        assert!(
            places.len() > moved + 5,
            "the board was hardly driven: {}",
            places.len() - moved
        );
    }
    println!(
        "{} of {sent} commands obeyed; {} messages came after later ones",
        rig.places().len(),
        rig.network.overtaken()
    );
    assert_eq!(hub.logged(&["the edge bedroom is not heard any more"]), 0);
    reader.abort();
}
