//! How troubles end: what was on its way meanwhile, and how soon commands arrive again.

use std::time::Duration;

use crate::commands::{Boards, command};
use crate::forwarder::Forwarder;
use crate::harness::client::Client;
use crate::ways::{Broker, Way};

/// Commands a second.
const RATE: u32 = 100;
/// What is obeyed may be this old, in nanoseconds.
const FRESH: u64 = 500_000_000;
/// How long commands go on after the trouble.
const AFTERWARDS: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Nothing passes between the edge and its broker, and nobody is told.
    Partition,
    /// The edge computes nothing, and so reads nothing.
    Stall,
}

/// An app goes on commanding a board through a trouble of so many seconds.
pub async fn ended(trouble: Trouble, seconds: u64) {
    let broker = Broker::start(true).await;
    let network = Forwarder::start(broker.at).await;
    let way = Way::through(network.at, broker.at, 1);
    let boards = Boards::connect(&way, 1).await;
    let commands = boards.commands.clone();
    let (index, _) = boards.by_index[0];
    let url = way.hub.url("clients").to_owned();
    let sending = tokio::spawn({
        let commands = commands.clone();
        async move {
            let mut client = Client::connect(&url).await;
            let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
            let mut refused = 0_usize;
            for place in 1..(RATE as usize * (3 + seconds as usize + AFTERWARDS.as_secs() as usize)) {
                pace.tick().await;
                commands.send(0, place);
                // While the board is away there is nothing to command, and an app is told.
                if client
                    .call("OutputCmd", command(index, place))
                    .await
                    .get("Ok")
                    .is_none()
                {
                    refused += 1;
                }
            }
            refused
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    match trouble {
        Trouble::Partition => network.freeze(),
        Trouble::Stall => way.edges[0].signal(rustix::process::Signal::STOP),
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    commands.take();
    let ended = commands.now();
    match trouble {
        Trouble::Partition => network.heal(),
        Trouble::Stall => way.edges[0].signal(rustix::process::Signal::CONT),
    }
    let refused = sending.await.expect("no panic");
    let came = commands.take();
    let old = came.iter().filter(|(_, took)| *took > FRESH).count();
    let first = came.iter().map(|(at, _)| (at - ended) / 1_000_000).min();
    let oldest = came.iter().map(|(_, took)| took / 1_000_000).max();
    println!(
        "  {:<24} {:<22} {} commands obeyed afterwards, {old} of them older than 500 ms, the oldest {} ms; {refused} refused to the app",
        format!("{trouble:?} of {seconds} s:"),
        first.map_or("none came again,".to_owned(), |ms| format!(
            "the first after {ms} ms,"
        )),
        came.len(),
        oldest.unwrap_or_default(),
    );
}
