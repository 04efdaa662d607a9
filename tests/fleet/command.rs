//! `wsdm-gateway fleet ...` against a real broker, without a gateway of its own.

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::access::{ACL, guarded, login, with_users};
use super::broker::Broker;
use super::common::model_board::Kind;
use super::common::process::command;
use super::common::{wait_until, within};
use super::presence::{drive, only};
use super::rig::{Board, EDGE, Fleet, Gateway, HUB, edge_toml, hub_toml};

/// Runs `fleet` with these arguments and this configuration, in a home of its own.
async fn fleet(toml: &str, args: &[&str]) -> Output {
    let home = TempDir::new().expect("a folder to write in");
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, toml).expect("a folder to write in");
    let mut command = command(home.path(), &["fleet"]);
    command.args(args).arg("--config").arg(&file);
    within("the command ends", command.output())
        .await
        .expect("the program runs")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn listed(broker: &Broker) -> Value {
    let output = fleet(&hub_toml(&broker.url(), "any"), &["list", "--json"]).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_shows_edges_hubs_owners_and_how_fresh_they_are() {
    let fleet_of_two = Fleet::start().await;
    let app = fleet_of_two.hub.app().await;
    let board = Board::plug(&fleet_of_two.edge, Kind::Hush, "A1").await;
    only(&app).await;
    let all = listed(&fleet_of_two.broker).await;
    let (edge, hub) = (&all["edges"][0], &all["hubs"][0]);
    assert_eq!(
        (&edge["edge"], &edge["presence"]),
        (&EDGE.into(), &"online".into()),
        "{all}"
    );
    assert_eq!(edge["state"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        edge["beat_age_ms"].as_u64().is_some_and(|age| age < 1_000),
        "{all}"
    );
    let device = &edge["devices"][0];
    assert_eq!(device["id"], board.id.as_str());
    assert_eq!(device["birth"]["address"], "A1");
    assert_eq!(
        (&device["owner"]["hub"], &device["lease"]),
        (&HUB.into(), &"live".into())
    );
    assert_eq!(
        (&hub["hub"], &hub["online"], &hub["devices"]),
        (&HUB.into(), &true.into(), &1.into())
    );
    assert!(
        hub["lease_age_ms"].as_u64().is_some_and(|age| age < 1_000),
        "{all}"
    );

    let output = fleet(&hub_toml(&fleet_of_two.broker.url(), "any"), &["list"]).await;
    let shown = text(&output);
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["edge", "state", "last", "beat", "version", "devices"],
        "{shown}"
    );
    assert_eq!(
        (lines[1][0], lines[1][1], lines[1][6]),
        (EDGE, "online", "1"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!(
            "  {}  LVSDevice A1, ws, owner: {HUB}, lease lives, session ",
            board.id
        )),
        "{shown}"
    );
    assert_eq!(lines[4][0], "hub", "{shown}");
    assert_eq!(
        (lines[5][0], lines[5][1], lines[5][6]),
        (HUB, "online", "1"),
        "{shown}"
    );

    // The hub is gone, and the edge hangs.
    let Fleet {
        broker,
        edge,
        mut hub,
    } = fleet_of_two;
    hub.kill().await;
    wait_until("the lease is over", || edge.logged(&["the hub", "is gone"]) == 1).await;
    let all = listed(&broker).await;
    assert_eq!(all["hubs"][0]["online"], false, "{all}");
    assert_eq!(all["hubs"][0]["lease_age_ms"], Value::Null, "{all}");
    assert_eq!(all["edges"][0]["devices"][0]["lease"], "lapsed", "{all}");
    edge.process.signal(Signal::STOP);
    let all = listed(&broker).await;
    edge.process.signal(Signal::CONT);
    assert_eq!(all["edges"][0]["presence"], "silent", "{all}");
    assert_eq!(all["edges"][0]["beat_age_ms"], Value::Null, "{all}");
}

/// How often a halt stopped a board of this edge. That the board is at rest does not show it: a late lease stops it, too.
fn halts(edge: &Gateway) -> usize {
    edge.logged(&["somebody asked for a halt"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_halts_all_edges_or_one_and_says_what_answered() {
    let both = Fleet::start().await;
    let other = Gateway::start(edge_toml(&both.broker.url(), "kitchen", "")).await;
    other.expect(&["connected to the broker"]).await;
    let toml = hub_toml(&both.broker.url(), "any");
    let app = both.hub.app().await;
    let board = Board::plug(&both.edge, Kind::Hush, "A1").await;
    only(&app).await;
    for args in [&["stop"][..], &["stop", EDGE]] {
        drive(&app, &board).await;
        let output = fleet(&toml, args).await;
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(0), "{shown}");
        assert!(
            shown.contains("bedroom: 1 device halted, taken from living-room\n"),
            "{shown}"
        );
        assert_eq!(
            shown.contains("kitchen: no devices\n"),
            args.len() == 1,
            "{shown}"
        );
        board.at_rest().await;
    }
    wait_until("the log shows a halt", || halts(&both.edge) > 0).await;
    drive(&app, &board).await;
    let before = halts(&both.edge);
    let output = fleet(&toml, &["stop", "kitchen"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(halts(&both.edge), before, "another edge's stop stopped it");
    // A name that nobody has, and one that is none.
    for (name, code, words) in [("attic", 1, "no edge attic is there"), ("Attic", 2, "is no name")] {
        let output = fleet(&toml, &["stop", name]).await;
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
    }
    assert_eq!(halts(&both.edge), before, "nobody's stop stopped it");
    // One that hangs does not answer.
    both.edge.process.signal(Signal::STOP);
    let output = fleet(&toml, &["stop"]).await;
    both.edge.process.signal(Signal::CONT);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("bedroom: 1 device did not answer\n"), "{shown}");
    assert!(
        shown.contains("nothing changed: no answer from bedroom"),
        "{shown}"
    );
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_a_broker_or_an_edge_fails_and_says_so() {
    let mut broker = Broker::start().await;
    let toml = hub_toml(&broker.url(), "any");
    let output = fleet(&toml, &["stop"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("no edge is there: nothing was stopped"),
        "{}",
        text(&output)
    );
    broker.kill();
    let output = fleet(&toml, &["stop"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("cannot connect to mqtt://"),
        "{}",
        text(&output)
    );
    let output = fleet("", &["stop"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("names no broker"), "{}", text(&output));
}

/// An edge's account sees its own edge only: that nothing objects there proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_the_broker_did_not_pass_on_fails_although_no_device_is_seen() {
    let broker = guarded(ACL).await;
    let edge = Gateway::edge(&broker, login(EDGE)).await;
    edge.expect(&["connected to the broker"]).await;
    let own = edge_toml(&broker.url(), EDGE, &login(EDGE));
    let output = fleet(&own, &["stop"]).await;
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("did not pass the halt on"), "{shown}");
    assert!(shown.contains("read and write wsdm/1/halt"), "{shown}");
    assert!(shown.contains("wsdm-gateway fleet stop bedroom"), "{shown}");
    let output = fleet(&own, &["stop", EDGE]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// The broker acknowledges what it denies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_the_access_list_denies_is_not_taken_for_one() {
    let acl = ACL.replace("topic write wsdm/1/halt\n", "topic read wsdm/1/#\n");
    let broker = guarded(&acl).await;
    let (edge, hub) = with_users(&broker).await;
    let app = hub.app().await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    only(&app).await;
    drive(&app, &board).await;
    let before = halts(&edge);
    let denied = hub_toml(&broker.url(), "any") + &login("homeassistant");
    let output = fleet(&denied, &["stop"]).await;
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("nothing changed: no answer from bedroom"),
        "{shown}"
    );
    assert!(
        shown.contains("a broker denies in silence: allow this user to write wsdm/1/halt"),
        "{shown}"
    );
    assert_eq!(halts(&edge), before, "it was stopped all the same");
    // An edge's own account may stop that edge, and nothing else.
    let own = edge_toml(&broker.url(), EDGE, &login(EDGE));
    let output = fleet(&own, &["stop"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("wsdm-gateway fleet stop bedroom"),
        "{}",
        text(&output)
    );
    assert_eq!(halts(&edge), before, "it was stopped all the same");
    let output = fleet(&own, &["stop", EDGE]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    board.at_rest().await;
}
