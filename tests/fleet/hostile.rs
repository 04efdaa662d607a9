//! What strangers publish, and what a broker keeps: nothing of it moves a device, and the gateways go on.

use std::sync::Arc;

use serde_json::json;

use super::broker::{Broker, Mqtt};
use super::common::bare_http::ask;
use super::common::model_board::{Kind, ModelBoard};
use super::common::{wait_until, within};
use super::peer::{Peer, message};
use super::presence::{drive, only};
use super::rig::{Board, EDGE, Fleet, Gateway, HUB, device_id, hub_toml};

const ALL_ONES: u32 = u32::MAX;

/// Payloads that are nothing on any topic.
fn junk() -> Vec<Vec<u8>> {
    let deep = "[".repeat(10_000);
    let many: Vec<String> = (0..5_000).map(|n| format!("{n:016x}")).collect();
    let huge_claim = json!({"hub": "x", "hub_epoch": "00000000000000ff", "devices": many}).to_string();
    let wide = json!({"hub": "x".repeat(40_000), "hub_epoch": "1", "online": "yes", "epoch": 7}).to_string();
    let version = json!({"identifier": "LVSDevice", "address": "A9", "version": 99, "epoch": "00000000000000e7",
                         "session": 1, "recognised": {"protocol": "rm -rf", "axes": [["L0", "x", 9, 1]]}});
    vec![
        Vec::new(),
        vec![0],
        vec![0xFF; 256 << 10],
        vec![b' '; 256 << 10],
        b"\xC3\x28 not UTF-8 \xFF\xFE".to_vec(),
        deep.into_bytes(),
        huge_claim.into_bytes(),
        wide.into_bytes(),
        version.to_string().into_bytes(),
        b"null".to_vec(),
        br#"{"online":true}"#.to_vec(),
        message(ALL_ONES, ALL_ONES, ALL_ONES, 1, b"Vibrate:19;"),
        message(ALL_ONES, ALL_ONES, ALL_ONES, 2, b""),
        message(0, 0, 0, 1, b"Vibrate:19;"),
        message(1, 1, 1, 9, b"Vibrate:19;"),
        message(1, 1, 1, 1, b""),
        message(1, 1, 1, 1, &vec![b'9'; 200_000]),
        message(1, 1, 1, 1, b"Vibrate:19;")[..15].to_vec(),
        b"Vibrate:19;".to_vec(),
    ]
}

/// Topics of the fleet, and some that look like it. A halt is none of them: it is for anybody.
fn topics(device: &str) -> Vec<String> {
    let mut topics = vec![
        "wsdm/1/bedroom/claim".to_owned(),
        "wsdm/1/bedroom/beat".to_owned(),
        format!("wsdm/1/bedroom/lease/{HUB}"),
        "wsdm/1/bedroom/lease/x".to_owned(),
        "wsdm/1/bedroom/lease/UPPER CASE".to_owned(),
        "wsdm/1/bedroom/state".to_owned(),
        "wsdm/1/x/state".to_owned(),
        format!("wsdm/1/hub/{HUB}/state"),
        "wsdm/1/hub/x/state".to_owned(),
        "wsdm/1/hub//state".to_owned(),
        "wsdm/1//dev//down".to_owned(),
        format!("wsdm/1/bedroom/{}", "x/".repeat(190)),
        "wsdm/1/bedroom/dev/\u{1F4A5}/birth".to_owned(),
    ];
    for device in [device, "0000000000000000", "not-an-id"] {
        for what in ["birth", "owner", "down", "up", "stop"] {
            topics.push(format!("wsdm/1/bedroom/dev/{device}/{what}"));
        }
    }
    topics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_on_every_topic_moves_nothing_and_ends_nothing() {
    let mut fleet = Fleet::start().await;
    let app = fleet.hub.app().await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    let index = only(&app).await.index();
    drive(&app, &board).await;
    only(&app).await.stop().await.expect("a device that takes it");
    board.at_rest().await;
    let moved = board.moved();
    let mut stranger = Mqtt::connect(&fleet.broker, "stranger").await;
    for topic in topics(&board.id) {
        for payload in junk() {
            stranger.publish(&topic, &payload, false).await;
        }
    }
    for gateway in [&mut fleet.edge, &mut fleet.hub] {
        assert!(gateway.process.child.try_wait().expect("a process").is_none());
        assert_eq!(
            gateway.logged(&["fault inside"]),
            0,
            "{}",
            gateway.log().join("\n")
        );
    }
    assert_eq!(board.moved(), moved);
    drive(&app, &board).await;
    assert_eq!(only(&app).await.index(), index);
    let log = fleet.edge.log();
    println!(
        "{} lines at the edge, {} at the hub",
        log.len(),
        fleet.hub.log().len()
    );
    for gateway in [&fleet.edge, &fleet.hub] {
        let log = gateway.log();
        assert!(
            log.iter().all(|line| line.len() < 2_000),
            "a line with a stranger's payload"
        );
        assert!(log.len() < 400, "a stranger fills the log: {} lines", log.len());
    }
    only(&app).await.stop().await.expect("a device that takes it");
    board.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_keeps_moves_nothing_when_gateways_come() {
    let broker = Broker::start().await;
    let device = device_id("LVSDevice", "A1");
    let mut stranger = Mqtt::connect(&broker, "stranger").await;
    let junk = junk();
    for (n, topic) in topics(&device).into_iter().enumerate() {
        // One is kept on each topic: each of them on some.
        stranger
            .publish(&topic, &junk[1 + n % (junk.len() - 1)], true)
            .await;
    }
    let (edge, hub) = tokio::join!(Gateway::edge(&broker, ""), Gateway::hub(&broker, HUB));
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let app = hub.app().await;
    only(&app).await;
    assert_eq!(board.moved(), 0);
    drive(&app, &board).await;
    edge.expect(&[
        "a retained message on wsdm/1/bedroom/claim is ignored",
        "mosquitto_pub",
        "-r -n",
    ])
    .await;
    only(&app).await.stop().await.expect("a device that takes it");
    board.at_rest().await;
}

/// A frame and a claim that would count, if they were not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_are_retained_count_neither_now_nor_later() {
    let broker = Broker::start().await;
    let edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let peer = Peer::connect(&broker, "peer", EDGE).await;
    peer.beats(1).await;
    peer.own(&board.id).await;
    let mut stranger = Mqtt::connect(&broker, "stranger").await;
    let topic = |what: &str| format!("wsdm/1/bedroom/dev/{}/{what}", board.id);
    let claim = peer.claim_of(&board.id);
    stranger.publish("wsdm/1/bedroom/claim", &claim, true).await;
    stranger
        .publish(
            &topic("down"),
            &message(ALL_ONES, 1, peer.nonce(), 1, b"Vibrate:9;"),
            true,
        )
        .await;
    // The edge connects again, and gets what is kept, marked so.
    stranger.client.disconnect().await.expect("a client");
    let mut taker = rumqttc::MqttOptions::new("wsdm-edge-bedroom", "127.0.0.1", broker.port);
    taker.set_keep_alive(std::time::Duration::from_secs(60));
    drop(Mqtt::with(taker).await);
    edge.expect(&["a retained message on wsdm/1/bedroom/claim is ignored"])
        .await;
    edge.expect(&["a retained message on", "/down is ignored"]).await;
    assert_eq!(board.moved(), 0);
    // It drives on as soon as it has a lease again.
    let mut seq = 10;
    within("the board runs", async {
        while board.model.rest_since().is_some() {
            seq += 1;
            peer.down(&board.id, peer.session(&board.id), seq, "Vibrate:5;")
                .await;
            peer.beats(1).await;
        }
    })
    .await;
    assert!(
        board.levels().iter().all(|level| *level == 5),
        "{:?}",
        board.levels()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owners_fresh_and_new_frames_of_its_session_are_obeyed() {
    let broker = Broker::start().await;
    let edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let peer = Peer::connect(&broker, "peer", EDGE).await;
    peer.beats(1).await;
    // Without an owner.
    peer.down(&board.id, 0, 1, "Vibrate:1;").await;
    peer.down(&board.id, ALL_ONES, 1, "Vibrate:1;").await;
    let session = peer.own(&board.id).await;
    peer.down(&board.id, session, 5, "Vibrate:7;").await;
    board.running().await;
    for (session, seq, nonce) in [
        (session.wrapping_add(1), 6, peer.nonce()),
        (ALL_ONES, 6, peer.nonce()),
        (0, 6, peer.nonce()),
        // Old, and as old as can be.
        (session, 5, peer.nonce()),
        (session, 4, peer.nonce()),
        (session, ALL_ONES, peer.nonce()),
    ] {
        peer.down_at(&board.id, session, seq, nonce, "Vibrate:1;").await;
    }
    peer.down(&board.id, session, 6, "Vibrate:8;").await;
    wait_until("the next one", || board.levels() == [7, 8]).await;
    // One that says it was sent in the future, or long ago, may be the one that turns it off: the board is at rest.
    for (seq, nonce) in [
        (7, peer.nonce().wrapping_add(60_000)),
        (8, ALL_ONES / 2),
        (9, peer.nonce().wrapping_sub(600)),
    ] {
        peer.down_at(&board.id, session, seq, nonce, "Vibrate:1;").await;
        board.at_rest().await;
        peer.down(&board.id, session, seq, "Vibrate:9;").await;
        board.running().await;
    }
    assert_eq!(board.levels(), [7, 8, 9, 9, 9]);
}

/// Whether a word moves something is known to the board alone: it is stopped when its owner's lease is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_was_sent_an_unknown_word_is_stopped_when_the_lease_is_over() {
    let broker = Broker::start().await;
    let edge = Gateway::edge(&broker, "").await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let peer = Peer::connect(&broker, "peer", EDGE).await;
    peer.beats(1).await;
    let session = peer.own(&board.id).await;
    let received = |text: &str| {
        let commands = board.model.commands();
        commands.iter().rposition(|command| command.text == text)
    };
    peer.down(&board.id, session, 1, "Battery;").await;
    peer.down(&board.id, session, 2, "Vibrate:0;Wave:5;").await;
    wait_until("the word", || received("Wave:5").is_some()).await;
    peer.be_mute(true);
    wait_until("a stop", || received("Vibrate:0") > received("Wave:5")).await;
    // Also before that, if it is overtaken.
    peer.be_mute(false);
    peer.beats(3).await;
    let session = peer.own(&board.id).await;
    peer.down(&board.id, session, 10, "Wave:6;").await;
    wait_until("the word", || received("Wave:6").is_some()).await;
    peer.down(&board.id, session, 9, "Wave:7;").await;
    wait_until("a stop", || received("Vibrate:0") > received("Wave:6")).await;
    assert_eq!(received("Wave:7"), None);
    let answer = ask(edge.process.page_address(), "GET", "/metrics", &[]).await;
    assert_eq!(answer.status, 200);
    let refused = answer
        .body
        .lines()
        .find(|line| line.contains("reason=\"overtaken\""));
    assert!(
        refused.is_some_and(
            |line| line.starts_with("wsdm_gateway_frames_refused_total{address=\"A1\"")
                && line.ends_with(" 1")
        ),
        "{}",
        answer.body
    );
}

/// Each of these is another one, so that none can be left out for having been logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_faults_is_a_few_lines_in_the_log() {
    let fleet = Fleet::start().await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    let app = fleet.hub.app().await;
    only(&app).await;
    let mut stranger = Mqtt::connect(&fleet.broker, "stranger").await;
    let (large, id) = (vec![b'x'; 200 << 10], &board.id);
    for n in 0..300 {
        let bad = format!("{{\"hub\": \"{n}");
        stranger
            .send("wsdm/1/bedroom/claim", &bad.as_bytes()[..bad.len() - n % 3])
            .await;
        stranger.send(&format!("wsdm/1/bedroom/lease/x-{n}"), b"x").await;
        stranger
            .send(&format!("wsdm/1/bedroom/dev/{n:016x}/birth"), b"x")
            .await;
        stranger
            .send(&format!("wsdm/1/bedroom/dev/{n:016x}/owner"), b"x")
            .await;
        stranger
            .send(&format!("wsdm/1/bedroom/dev/{id}/up"), &vec![b'x'; n % 16])
            .await;
        let state = format!(r#"{{"online":true,"hub_epoch":"{n:016x}"}}"#);
        stranger
            .send(&format!("wsdm/1/hub/x-{n}/state"), state.as_bytes())
            .await;
        if n % 30 == 0 {
            let reversed = format!("wsdm/1/bedroom/dev/\u{202e}{n}/");
            for what in ["up", "down"] {
                stranger
                    .publish(&format!("{reversed}{what}"), &large, false)
                    .await;
            }
        }
    }
    drive(&app, &board).await;
    for gateway in [&fleet.edge, &fleet.hub] {
        gateway.expect(&["is ignored"]).await;
        gateway.expect(&["the others are not logged"]).await;
        let log = gateway.log();
        assert!(log.len() < 100, "a stranger fills the log: {} lines", log.len());
        let is_raw = |line: &&String| line.contains("\u{202e}");
        assert_eq!(log.iter().find(is_raw), None);
    }
}

/// Owners, births and states that somebody else writes under an edge's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_documents_of_an_edge_are_corrected_by_it() {
    let fleet = Fleet::start().await;
    let app = fleet.hub.app().await;
    let board = Board::plug(&fleet.edge, Kind::Hush, "A1").await;
    only(&app).await;
    let mut stranger = Mqtt::connect(&fleet.broker, "stranger").await;
    stranger.subscribe("wsdm/1/bedroom/#").await;
    let birth = format!("{}/birth", board.id);
    let owner = format!("{}/owner", board.id);
    wait_until("what is retained", || {
        stranger.last("bedroom/state").is_object()
            && stranger.last(&birth).is_object()
            && stranger.last(&owner).is_object()
    })
    .await;
    let (real_birth, epoch) = (
        stranger.last(&birth),
        stranger.last("bedroom/state")["epoch"].clone(),
    );
    let mut other_session = real_birth.clone();
    other_session["session"] = 1.into();
    other_session["epoch"] = "00000000000000e7".into();
    let forged_owner = json!({"hub": "x", "hub_epoch": "00000000000000ff", "session": 7});
    let ours_forged =
        json!({"hub": HUB, "hub_epoch": stranger.last(&owner)["hub_epoch"], "session": ALL_ONES});
    let cases = [
        ("birth", String::new()),
        ("birth", other_session.to_string()),
        ("owner", String::new()),
        ("owner", forged_owner.to_string()),
        ("owner", ours_forged.to_string()),
    ];
    for (what, payload) in cases {
        stranger
            .publish(
                &format!("wsdm/1/bedroom/dev/{}/{what}", board.id),
                payload.as_bytes(),
                true,
            )
            .await;
        wait_until(&format!("{what} {payload} is corrected"), || {
            stranger.last(&birth)["epoch"] == epoch
                && stranger.last(&owner)["hub"] == HUB
                && stranger.last(&owner)["session"] != ALL_ONES
        })
        .await;
        drive(&app, &board).await;
        // If the device loses its session meanwhile, its edge stops it.
        let _ = within("a stop", only(&app).await.stop()).await;
        board.at_rest().await;
    }
    // A device that the edge does not have, with the edge's own epoch.
    let mut ghost = real_birth.clone();
    ghost["address"] = "GHOST".into();
    let ghost_topic = format!("{}/birth", device_id("LVSDevice", "GHOST"));
    stranger
        .publish(
            &format!("wsdm/1/bedroom/dev/{ghost_topic}"),
            ghost.to_string().as_bytes(),
            true,
        )
        .await;
    wait_until("it is cleared", || {
        stranger
            .on(&ghost_topic)
            .last()
            .is_some_and(|(_, payload)| payload.is_empty())
    })
    .await;
    assert_eq!(only(&app).await.name(), "Lovense Hush");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_are_wildcards_in_topics_are_addresses() {
    let fleet = Fleet::start().await;
    let app = fleet.hub.app().await;
    for address in [
        "+",
        "#",
        "/",
        "$SYS/broker",
        "wsdm/1/bedroom/dev/+/down",
        "a/../b",
        "a\0b",
        "\u{1F4A5} \u{fc}",
    ] {
        let board =
            Board::plug_model(&fleet.edge, Arc::new(ModelBoard::new(Kind::Hush, true)), address).await;
        only(&app).await;
        drive(&app, &board).await;
        drop(board);
        wait_until("it is gone", || app.devices().is_empty()).await;
    }
    assert_eq!(fleet.edge.logged(&["fault inside"]), 0);
}

/// A hub that has seen many strangers still takes part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_strangers_cost_a_hub_and_an_edge_little() {
    let broker = Broker::start().await;
    let (edge, hub) = tokio::join!(
        Gateway::edge(&broker, ""),
        Gateway::start(hub_toml(&broker.url(), HUB))
    );
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let app = hub.app().await;
    only(&app).await;
    let (edge_before, hub_before) = (edge.memory_kib(), hub.memory_kib());
    let mut stranger = Mqtt::connect(&broker, "stranger").await;
    for n in 0..2_000_u32 {
        let state = format!(r#"{{"online":true,"epoch":"{n:016x}","hub_epoch":"{n:016x}"}}"#);
        stranger
            .send(&format!("wsdm/1/hub/x-{n}/state"), state.as_bytes())
            .await;
        stranger
            .send(&format!("wsdm/1/x-{n}/state"), state.as_bytes())
            .await;
        let claim = format!(
            r#"{{"hub":"x-{n}","hub_epoch":"{n:016x}","devices":["{}"]}}"#,
            board.id
        );
        stranger.send("wsdm/1/bedroom/claim", claim.as_bytes()).await;
    }
    stranger.publish("elsewhere", b"", false).await;
    drive(&app, &board).await;
    let (edge_after, hub_after) = (edge.memory_kib(), hub.memory_kib());
    println!("2,000 strangers: edge {edge_before} -> {edge_after} KiB, hub {hub_before} -> {hub_after} KiB");
    assert!(edge_after < edge_before + 16_384 && hub_after < hub_before + 32_768);
}

/// Halts and states are nobody's fault: anybody may send them, and they fill no log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_halts_and_states_are_a_few_lines() {
    const MANY: usize = 100;
    let Fleet { broker, edge, hub } = Fleet::start().await;
    let app = hub.app().await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    only(&app).await;
    let mut stranger = Mqtt::connect(&broker, "stranger").await;
    let halt = format!("wsdm/1/bedroom/dev/{}/halt", board.id);
    for n in 0..MANY {
        for topic in ["wsdm/1/halt", "wsdm/1/bedroom/halt", &halt] {
            stranger.publish(topic, b"PRESS", false).await;
        }
        let state = json!({"online": n % 2 == 0, "epoch": "00000000000000e7", "version": ""});
        stranger
            .publish("wsdm/1/attic/state", state.to_string().as_bytes(), false)
            .await;
    }
    // All of them have come when this has.
    stranger.publish("wsdm/1/bedroom/claim", b"{", false).await;
    edge.expect(&["a claim is ignored"]).await;
    let last = json!({"online": true, "epoch": "00000000000000e8", "version": ""});
    stranger
        .publish("wsdm/1/cellar/state", last.to_string().as_bytes(), false)
        .await;
    hub.expect(&["the edge cellar is there"]).await;
    assert!(
        edge.logged(&["halted through the broker"]) <= 2,
        "{}",
        edge.log().join("\n")
    );
    assert!(hub.logged(&["the edge attic"]) <= 2, "{}", hub.log().join("\n"));
}
