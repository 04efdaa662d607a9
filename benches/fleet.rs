//! What a broker between an app and its board costs: beside a bare echo, the broker alone, one gateway alone, and two
//! without a broker, in the same run.
//!
//! `cargo bench --bench fleet` prints tables; it needs mosquitto. It asserts nothing: a figure is for people to read, and
//! a busy machine would break any bound. All servers run as processes of their own. `-- --seconds 20` measures for longer.

#[path = "fleet/commands.rs"]
mod commands;
#[path = "../tests/common/forwarder.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod forwarder;
mod harness;
#[path = "fleet/many.rs"]
mod many;
#[path = "fleet/queries.rs"]
mod queries;
#[path = "fleet/troubles.rs"]
mod troubles;
#[path = "fleet/ways.rs"]
mod ways;

use harness::{Server, cores};
use tokio_tungstenite::tungstenite::Message;
use troubles::Trouble;
use ways::Way;

/// Edges, where there are several.
const EDGES: usize = 10;
/// Apps among which many devices are divided.
const APPS: usize = 10;
/// The places of an axis: a command is found again by its place.
const PLACES: usize = 10_000;

fn main() {
    let echoed = |message: &Message| message.is_text() || message.is_binary();
    harness::run("--seconds", 5, echoed, bench);
}

async fn bench(seconds: usize) {
    println!(
        "fleet: {} cores, apps, boards, gateways and broker on this machine",
        cores()
    );
    println!(" from an app's command to the board");
    for (boards, rate) in [(1, 100), (1, 1_000)] {
        commands::measured(&Way::alone(), boards, rate, seconds).await;
        commands::measured(&Way::relayed(1), boards, rate, seconds).await;
        commands::measured(&Way::through_a_broker(1, true).await, boards, rate, seconds).await;
        commands::measured(&Way::through_a_broker(1, false).await, boards, rate, seconds).await;
    }
    for (boards, rate) in [(200, 10), (200, 50)] {
        commands::measured(&Way::relayed(EDGES), boards, rate, seconds).await;
        let way = Way::through_a_broker(EDGES, true).await;
        commands::measured(&way, boards, rate, seconds).await;
        let edges: u64 = way.edges.iter().map(Server::resident).sum();
        println!(
            "  memory after that: hub {} MiB, an edge {:.1} MiB",
            way.hub.resident() / 1024,
            edges as f64 / 1024.0 / EDGES as f64
        );
    }
    println!(" there and back: twelve bytes, or an app's query to the board and its answer");
    for (boards, rate, edges) in [(1, 1_000, 1), (200, 10, EDGES), (200, 50, EDGES)] {
        queries::websocket(boards, rate, seconds).await;
        queries::broker_alone(boards, rate, edges, seconds).await;
        queries::queried(&Way::alone(), boards, rate, seconds).await;
        queries::queried(&Way::relayed(edges), boards, rate, seconds).await;
        queries::queried(&Way::through_a_broker(edges, true).await, boards, rate, seconds).await;
        if boards == 1 {
            queries::queried(&Way::through_a_broker(edges, false).await, boards, rate, seconds).await;
        }
    }
    println!(" many devices");
    many::listed(&Way::relayed(EDGES), 1_000).await;
    many::listed(&Way::through_a_broker(EDGES, true).await, 1_000).await;
    println!(" troubles, while an app sends 100 commands a second");
    for seconds in [2, 5, 10] {
        troubles::ended(Trouble::Partition, seconds).await;
    }
    troubles::ended(Trouble::Stall, 4).await;
}
