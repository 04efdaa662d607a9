//! The fleet as the page of a hub and that of an edge show it, and the stop of all of it.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::access::{ACL, guarded, with_users};
use super::broker::{Broker, Mqtt};
use super::common::bare_http::{ask, request};
use super::common::model_board::Kind;
use super::common::within;
use super::presence::{drive, only};
use super::rig::{Board, EDGE, Fleet, Gateway, HUB, edge_toml};

async fn look(gateway: &Gateway) -> Value {
    let (status, fleet) = request(gateway.process.page_address(), "GET", "/api/fleet", None).await;
    assert_eq!(status, 200, "{fleet}");
    fleet
}

/// Waits until the fleet is as it should be: it.
async fn until(gateway: &Gateway, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let waited = async {
        loop {
            last = look(gateway).await;
            if is_so(&last) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(super::common::DEADLINE, waited).await;
    assert!(waited.is_ok(), "not {what}: {last}");
    last
}

async fn stop(gateway: &Gateway) -> (u16, Value) {
    request(
        gateway.process.page_address(),
        "POST",
        "/api/fleet/stop",
        Some(&Value::Null),
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_shows_its_edges_and_an_edge_its_hubs_and_both_stop_the_fleet() {
    let Fleet {
        mut broker,
        edge,
        hub,
    } = Fleet::start().await;
    let app = hub.app().await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    only(&app).await;
    let seen = until(&hub, "owned", |fleet| {
        fleet["hub"]["edges"][0]["devices"][0]["is_ours"] == true
    })
    .await;
    assert_eq!(seen["edge"], Value::Null);
    let (at, known) = (&seen["hub"], &seen["hub"]["edges"][0]);
    assert_eq!(
        (&at["name"], &at["broker"]["url"]),
        (&HUB.into(), &broker.url().into())
    );
    assert!(at["broker"]["connected_since"].is_f64(), "{seen}");
    assert_eq!((&known["name"], &known["state"]), (&EDGE.into(), &"there".into()));
    assert!(
        known["beat_age_ms"].as_u64().is_some_and(|age| age < 1_100),
        "{seen}"
    );
    let device = &known["devices"][0];
    assert_eq!(
        (&device["address"], &device["id"]),
        (&"A1".into(), &board.id.as_str().into())
    );
    assert_eq!(device["owner"], json!({"hub": HUB, "lapsed": false}));
    let seen = until(&edge, "owned", |fleet| fleet["edge"]["hubs"][0]["devices"] == 1).await;
    assert_eq!(seen["hub"], Value::Null);
    let known = &seen["edge"]["hubs"][0];
    assert_eq!(known["name"], HUB);
    assert!(
        known["lease_age_ms"].as_u64().is_some_and(|age| age < 1_000),
        "{seen}"
    );
    assert_eq!(seen["edge"]["devices"][0]["owner"]["hub"], HUB);
    let scraped = ask(hub.process.page_address(), "GET", "/metrics", &[]).await.body;
    for line in [
        "wsdm_gateway_fleet_connected{role=\"hub\"} 1",
        "wsdm_gateway_fleet_edges{state=\"there\"} 1",
        "wsdm_gateway_fleet_edges{state=\"gone\"} 0",
    ] {
        assert!(scraped.contains(line), "{line} in {scraped}");
    }

    // The board of an edge that nobody presses at, which runs without a hub.
    let other = Gateway::start(edge_toml(&broker.url(), "kitchen", "hub = \"attic\"\n")).await;
    let far = Board::plug(&other, Kind::Edge, "A2").await;
    until(&hub, "heard", |fleet| {
        let edge = &fleet["hub"]["edges"][1];
        edge["device_count"] == 1 && edge["state"] == "there"
    })
    .await;
    for gateway in [&hub, &edge] {
        drive(&app, &board).await;
        far.model.leave_running();
        // A web page of somebody else may not.
        let foreign = [("Origin", "http://example.com")];
        let refused = ask(
            gateway.process.page_address(),
            "POST",
            "/api/fleet/stop",
            &foreign,
        )
        .await;
        assert_eq!(refused.status, 403);
        assert!(board.model.rest_since().is_none(), "it was stopped all the same");
        let (status, stopped) = stop(gateway).await;
        assert_eq!(status, 200, "{stopped}");
        assert_eq!(stopped["here"]["failed"], json!([]), "{stopped}");
        assert_eq!(stopped["unanswered"], json!([]), "{stopped}");
        board.at_rest().await;
        far.at_rest().await;
    }
    let (_, stopped) = stop(&hub).await;
    assert_eq!(stopped["edges"], json!([EDGE, "kitchen"]), "{stopped}");
    drop(far);
    drop(other);

    // An edge that hangs is not heard, and one that is back is there.
    until(&hub, "owned", |fleet| {
        fleet["hub"]["edges"][0]["devices"][0]["is_ours"] == true
    })
    .await;
    edge.process.signal(Signal::STOP);
    until(&hub, "silent", |fleet| {
        fleet["hub"]["edges"][0]["state"] == "silent"
    })
    .await;
    let (_, stopped) = stop(&hub).await;
    assert_eq!(stopped["silent"], json!([EDGE]), "{stopped}");
    edge.process.signal(Signal::CONT);
    until(&hub, "there", |fleet| {
        fleet["hub"]["edges"][0]["state"] == "there"
    })
    .await;

    // Without the broker nothing of the fleet can be stopped, and the reason is told.
    broker.kill();
    let seen = until(&hub, "cut off", |fleet| {
        fleet["hub"]["broker"]["connected_since"].is_null()
    })
    .await;
    assert!(seen["hub"]["broker"]["last_error"].is_string(), "{seen}");
    let (status, problem) = stop(&hub).await;
    assert_eq!(status, 503, "{problem}");
    let error = problem["error"].as_str().expect("an error");
    assert!(
        error.starts_with("the fleet is not stopped: the broker is away"),
        "{error}"
    );
    broker.start_again().await;
    until(&edge, "connected", |fleet| {
        fleet["edge"]["broker"]["connected_since"].is_f64()
    })
    .await;
    let mut edge = edge;
    edge.kill().await;
    until(&hub, "gone", |fleet| fleet["hub"]["edges"][0]["state"] == "gone").await;
}

/// The broker acknowledges what it denies: that the halt does not come back shows it. The edge's own board is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_may_not_stop_the_fleet_says_so_and_stops_its_own_board() {
    let broker = guarded(ACL).await;
    let (edge, hub) = with_users(&broker).await;
    let app = hub.app().await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    only(&app).await;
    drive(&app, &board).await;
    let (status, problem) = within("an answer", stop(&edge)).await;
    assert_eq!(status, 503, "{problem}");
    let error = problem["error"].as_str().expect("an error");
    assert!(error.contains("the broker did not pass it on"), "{error}");
    assert!(error.ends_with("1 took the stop"), "{error}");
    let hint = problem["hint"].as_str().expect("a hint");
    assert!(hint.contains("read and write wsdm/1/halt"), "{hint}");
    board.at_rest().await;
    // The hub's account may.
    drive(&app, &board).await;
    let (status, stopped) = stop(&hub).await;
    assert_eq!(status, 200, "{stopped}");
    board.at_rest().await;
}

/// The halt comes back to the hub, and the edge may not read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_whose_edge_does_not_take_the_stop_is_named() {
    let broker = guarded(&ACL.replace("pattern read wsdm/1/halt\n", "")).await;
    let (edge, hub) = with_users(&broker).await;
    let app = hub.app().await;
    let _board = Board::plug(&edge, Kind::Hush, "A1").await;
    only(&app).await;
    let (status, stopped) = within("an answer", stop(&hub)).await;
    assert_eq!(status, 200, "{stopped}");
    assert_eq!(stopped["unanswered"], json!(["A1 at bedroom"]), "{stopped}");
}

/// What a stranger publishes is shown, and costs no more than a line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_strangers_are_shortened() {
    let broker = Broker::start().await;
    let hub = Gateway::hub(&broker, HUB).await;
    let mut stranger = Mqtt::connect(&broker, "stranger").await;
    let long = "x".repeat(20_000);
    let epoch = "00000000000000e7";
    // As much as a hub reads of a state.
    let state = json!({"online": true, "epoch": epoch, "version": "x".repeat(900)});
    let birth = json!({
        "identifier": long, "address": long, "version": 0, "epoch": epoch, "session": 1, "transport": long,
    });
    for (topic, document) in [("state", state), ("dev/aa/birth", birth)] {
        let topic = format!("wsdm/1/attic/{topic}");
        stranger
            .publish(&topic, document.to_string().as_bytes(), true)
            .await;
    }
    let seen = until(&hub, "known", |fleet| {
        fleet["hub"]["edges"][0]["device_count"] == 1
    })
    .await;
    let edge = &seen["hub"]["edges"][0];
    // It never beats.
    assert_eq!(
        (&edge["name"], &edge["state"]),
        (&"attic".into(), &"silent".into())
    );
    assert!(edge.to_string().len() < 2_000, "{edge}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_alone_is_part_of_no_fleet() {
    let gateway = Gateway::start("").await;
    let page = gateway.process.page_address();
    for (method, path) in [("GET", "/api/fleet"), ("POST", "/api/fleet/stop")] {
        let (status, problem) = request(page, method, path, None).await;
        assert_eq!(status, 404, "{problem}");
        assert!(
            problem["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("[mqtt] broker")),
            "{problem}"
        );
    }
    let (_, about) = request(page, "GET", "/api/gateway", None).await;
    assert_eq!(about["fleet"], false);
    let scraped = ask(page, "GET", "/metrics", &[]).await.body;
    assert!(!scraped.contains("fleet"), "{scraped}");
}
