//! An edge and a broker on hosts of their own, which are network namespaces: cables that are pulled and packets that are
//! filtered, seen at a board on a wire.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use buttplug_client::ButtplugClient;
use tempfile::TempDir;

use super::broker::{Broker, Mqtt};
use super::common::model_board::Kind;
use super::common::process::is_root;
use super::common::{listed, wait_until};
use super::flood::WiredBoard;
use super::rig::{EDGE, Gateway, HUB, edge_toml, hub_toml, is_there};

/// How late a busy machine may be.
const LATE: Duration = Duration::from_millis(500);
/// How long a cut lasts.
const CUT: Duration = Duration::from_secs(5);

/// Runs a command that must succeed.
fn run(words: &str) {
    let words: Vec<&str> = words.split_whitespace().collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .expect("a program");
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Two namespaces: the edge's host, and the broker's; the hub's host is this one. Dropping it removes them.
struct Hosts {
    /// What all names of this test end with.
    tag: String,
    /// The network between the hub and the broker; the next one is between the edge and the broker.
    net: u8,
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in ["e", "b"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(host)])
                .status();
        }
    }
}

impl Hosts {
    /// `None`, said, if this user may not have them.
    fn make(number: u8) -> Option<Self> {
        let may = is_root()
            && is_there("ip")
            && is_there("nft")
            && Command::new("ip")
                .args(["netns", "list"])
                .status()
                .is_ok_and(|status| status.success());
        let tag = format!("{}-{number}", std::process::id());
        let probe = format!("wsdmp{tag}");
        let made = may
            && Command::new("ip")
                .args(["netns", "add", &probe])
                .output()
                .is_ok_and(|o| o.status.success());
        if !made {
            println!("SKIPPED: no network namespaces here: they need root, iproute2 and nftables");
            return None;
        }
        run(&format!("ip netns del {probe}"));
        let hosts = Self {
            net: (std::process::id() % 100) as u8 * 2 + 10,
            tag,
        };
        let (edge, broker, net) = (hosts.name("e"), hosts.name("b"), hosts.net);
        // Tests of one process run beside each other, each in networks of its own.
        let second = number;
        run(&format!("ip netns add {edge}"));
        run(&format!("ip netns add {broker}"));
        let (up, down) = (hosts.veth(), format!("{}x", hosts.veth()));
        run(&format!(
            "ip link add {up} type veth peer name hub netns {broker}"
        ));
        run(&format!(
            "ip link add {down} type veth peer name broker netns {edge}"
        ));
        run(&format!("ip link set {down} netns {broker} name edge"));
        run(&format!("ip addr add 10.{net}.{second}.1/30 dev {up}"));
        run(&format!("ip link set {up} up"));
        run(&format!("ip -n {broker} addr add 10.{net}.{second}.2/30 dev hub"));
        run(&format!(
            "ip -n {broker} addr add 10.{net}.{second}.5/30 dev edge"
        ));
        run(&format!(
            "ip -n {edge} addr add 10.{net}.{second}.6/30 dev broker"
        ));
        for (host, links) in [(&broker, &["lo", "hub", "edge"][..]), (&edge, &["lo", "broker"])] {
            for link in links {
                run(&format!("ip -n {host} link set {link} up"));
            }
        }
        Some(hosts)
    }

    fn name(&self, host: &str) -> String {
        format!("wsdm{host}{}", self.tag)
    }

    /// The hub's network card. At most 15 characters.
    fn veth(&self) -> String {
        format!("wv{}", self.tag)
    }

    fn number(&self) -> u8 {
        self.tag
            .rsplit('-')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number")
    }

    /// The broker's address for the hub, and for the edge.
    fn broker(&self) -> (Ipv4Addr, Ipv4Addr) {
        (
            Ipv4Addr::new(10, self.net, self.number(), 2),
            Ipv4Addr::new(10, self.net, self.number(), 5),
        )
    }

    fn cut(&self, whose: Cut, is_cut: bool) {
        let (broker, state) = (self.name("b"), if is_cut { "down" } else { "up" });
        let (net, number) = (self.net, self.number());
        match (whose, is_cut) {
            (Cut::EdgesLink, _) => run(&format!("ip -n {} link set broker {state}", self.name("e"))),
            (Cut::HubsLink, _) => run(&format!("ip link set {} {state}", self.veth())),
            (Cut::EdgesPackets | Cut::HubsPackets, true) => {
                let last = if whose == Cut::EdgesPackets { 6 } else { 1 };
                run(&format!("ip netns exec {broker} nft add table ip cut"));
                for (hook, field) in [("input", "saddr"), ("output", "daddr")] {
                    let chain = format!("{{ type filter hook {hook} priority 0 ; }}");
                    run(&format!(
                        "ip netns exec {broker} nft add chain ip cut {hook} {chain}"
                    ));
                    let rule = format!("ip {field} 10.{net}.{number}.{last} drop");
                    run(&format!(
                        "ip netns exec {broker} nft add rule ip cut {hook} {rule}"
                    ));
                }
            }
            (Cut::EdgesPackets | Cut::HubsPackets, false) => {
                run(&format!("ip netns exec {broker} nft delete table ip cut"));
            }
        }
    }
}

/// What is cut off, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    EdgesLink,
    HubsLink,
    /// The cards stay up, so that nobody is told.
    EdgesPackets,
    HubsPackets,
}

/// The three hosts at work.
struct Rig {
    // Before the hosts, which are removed when nobody is there any more.
    edge: Gateway,
    hub: Option<Gateway>,
    app: ButtplugClient,
    broker: Broker,
    board: WiredBoard,
    hosts: Hosts,
}

impl Rig {
    async fn start(number: u8) -> Option<Self> {
        let hosts = Hosts::make(number)?;
        let (edges, brokers) = (hosts.name("e"), hosts.name("b"));
        let (for_hub, for_edge) = hosts.broker();
        let folder = TempDir::new().expect("a folder to write in");
        let wrapper = ["ip", "netns", "exec", &brokers];
        let broker = Broker::in_folder(folder, "allow_anonymous true\n", for_hub, &wrapper).await;
        let board = WiredBoard::plug(Kind::Stroker);
        let url = format!("mqtt://{for_edge}:{}", broker.port);
        let toml = edge_toml(&url, EDGE, &board.entry(115_200));
        let home = Arc::new(TempDir::new().expect("a folder to write in"));
        let wrapper = ["ip", "netns", "exec", &edges];
        let (edge, hub) = tokio::join!(
            Gateway::start_in(home, &toml, &wrapper),
            Gateway::start(hub_toml(&broker.url(), HUB))
        );
        let app = hub.app().await;
        listed(&app, 1).await;
        Some(Self {
            edge,
            hub: Some(hub),
            app,
            broker,
            board,
            hosts,
        })
    }

    /// Commands both outputs, and the axis again and again with places that count up from here.
    async fn drive(&self, from: u32) -> u32 {
        let mut place = from;
        super::common::within("the board runs", async {
            while !self.board.model.is_running_all() {
                place += 1;
                self.command(place).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        place
    }

    async fn command(&self, place: u32) {
        use buttplug_client::device::ClientDeviceOutputCommand as Command;
        for device in self.app.devices().into_values() {
            for command in [
                Command::HwPositionWithDuration(place.into(), 20_000),
                Command::Vibrate((place % 90 + 1).into()),
            ] {
                let _ = tokio::time::timeout(Duration::from_millis(100), device.run_output(&command)).await;
            }
        }
    }

    /// The places that the board was sent to.
    fn places(&self) -> Vec<u32> {
        let commands = self.board.model.commands();
        let place = |text: &str| text.strip_prefix("L0")?.split_once('I')?.0.parse().ok();
        commands
            .iter()
            .filter_map(|command| place(&command.text))
            .collect()
    }
}

/// Cuts, watches the board come to rest while commands go on, heals after 5 s with the hub alive or killed.
async fn cut(number: u8, whose: Cut, hub_dies: bool) {
    let Some(mut rig) = Rig::start(number).await else {
        return;
    };
    let mut place = rig.drive(0).await;
    // A stream of commands, as in use.
    for _ in 0..20 {
        place += 1;
        rig.command(place).await;
    }
    let cut = Instant::now();
    rig.hosts.cut(whose, true);
    let was_cut = cut.elapsed();
    let mut rest = None;
    while cut.elapsed() < CUT {
        place += 1;
        if rig.hub.is_some() {
            rig.command(place).await;
        }
        if rest.is_none() && rig.board.model.rest_since().is_some() {
            rest = rig.board.model.rest_since();
        }
        if hub_dies
            && rest.is_some()
            && let Some(mut hub) = rig.hub.take()
        {
            // What it had sent is in the sockets and in the broker.
            hub.kill().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rest = rest
        .unwrap_or_else(|| panic!("never at rest: {}", rig.board.model.running()))
        .duration_since(cut);
    let (last_before, count) = (
        rig.places().last().copied().unwrap_or_default(),
        rig.places().len(),
    );
    assert!(
        rig.board.model.rest_since().is_some(),
        "it moves again: {}",
        rig.board.model.running()
    );
    rig.hosts.cut(whose, false);
    let healed = Instant::now();
    let newest = place;
    if hub_dies {
        let mut watcher = Mqtt::connect(&rig.broker, "watcher").await;
        watcher.subscribe("wsdm/1/bedroom/beat").await;
        wait_until("the edge is there again", || watcher.on("/beat").len() >= 8).await;
        assert_eq!(
            rig.places().len(),
            count,
            "the backlog moved it: {:?}",
            rig.places()
        );
        assert!(
            rig.board.model.rest_since().is_some(),
            "{}",
            rig.board.model.running()
        );
    } else {
        rig.drive(newest).await;
    }
    let back = healed.elapsed();
    let stale: Vec<u32> = rig.places()[count..]
        .iter()
        .copied()
        .filter(|place| *place + 60 < newest)
        .collect();
    println!(
        "{whose:?}, hub {}: cut in {was_cut:.0?}, at rest after {rest:.0?}; {} after {back:.1?}, frames of before the cut obeyed after it: {}",
        if hub_dies { "dead" } else { "alive" },
        if hub_dies { "edge back" } else { "driven again" },
        stale.len()
    );
    assert!(rest <= Duration::from_millis(1_100) + was_cut + LATE, "{rest:?}");
    assert!(stale.is_empty(), "{stale:?}, last before {last_before}");
    assert_eq!(rig.edge.logged(&["fault inside"]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edges_cable_is_pulled_and_plugged_in_again() {
    cut(1, Cut::EdgesLink, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hubs_cable_is_pulled_and_plugged_in_again() {
    cut(2, Cut::HubsLink, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edges_packets_are_dropped_for_a_while() {
    cut(3, Cut::EdgesPackets, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hubs_packets_are_dropped_for_a_while() {
    cut(4, Cut::HubsPackets, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edges_packets_are_dropped_and_the_hub_dies_meanwhile() {
    cut(5, Cut::EdgesPackets, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hubs_packets_are_dropped_and_it_dies_meanwhile() {
    cut(6, Cut::HubsPackets, true).await;
}
