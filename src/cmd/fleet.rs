//! `fleet ...`

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use super::print;
use super::table::lines;
use crate::cli::from_environment;
use crate::cmd::error::Error;
use crate::config::{BrokerSettings, Given, Layers, Loaded, UpstreamSettings};
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::fleet::clock::random;
use crate::device::fleet::documents::{self, Birth, EdgeState, Owner};
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::fleet::topics::Topic;
use crate::device::home_assistant::HomeAssistant;
use crate::net::bus::{Bus, BusEvent, Events, Message, Qos, bus};
use crate::text::printable;

/// How long a broker may take to accept the connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(6);
/// What is retained has come when nothing came for this long.
const QUIET: Duration = Duration::from_millis(500);
/// How long all of it may take.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);
/// An edge that is there and has devices beats four times as often.
const BEAT_WITHIN: Duration = Duration::from_secs(1);

/// `fleet ...`
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// List the edges at the broker and their devices
    #[command(after_help = "Example:\n  wsdm-gateway fleet list --json")]
    List {
        /// Read `[mqtt]`, or else `[upstream]`, of this gateway.toml [default: that of `run`]
        #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
        config: Option<PathBuf>,
        /// Print JSON on stdout
        #[arg(long)]
        json: bool,
    },
    /// Remove what the broker keeps of an edge that is gone for good
    #[command(after_help = "Example:\n  wsdm-gateway fleet forget bedroom")]
    Forget {
        /// The edge.
        edge: String,
        /// Read `[mqtt]`, or else `[upstream]`, of this gateway.toml [default: that of `run`]
        #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
        config: Option<PathBuf>,
    },
}

/// What is retained of an edge.
#[derive(Default)]
struct Retained {
    state: Option<EdgeState>,
    births: BTreeMap<DeviceId, Birth>,
    owners: BTreeMap<DeviceId, Owner>,
    /// All its topics with a retained message.
    topics: Vec<String>,
    /// Whether its clock was heard.
    beats: bool,
}

/// Lists the fleet, or clears an edge.
pub(super) async fn fleet(command: FleetCommand) -> Result<(), Error> {
    match command {
        FleetCommand::List { config, json } => list(config, json).await,
        FleetCommand::Forget { edge, config } => forget(&edge, config).await,
    }
}

/// The broker that is configured: that of a hub, with what it shows in Home Assistant, or else that of an edge.
fn broker(config: Option<PathBuf>) -> Result<(BrokerSettings, Option<HomeAssistant>), Error> {
    let mut layers = Layers::default();
    for arg in from_environment(&["mqtt", "upstream"]) {
        layers.give(&arg.key, Given::Text(arg.value), arg.source);
    }
    let settings = Loaded::load(config.as_deref(), layers)?.settings;
    if let Some(hub) = settings.mqtt {
        let home_assistant = hub.home_assistant.map(|settings| HomeAssistant {
            prefix: hub.broker.topics.clone(),
            discovery: settings.discovery,
            outputs: settings.outputs,
        });
        return Ok((hub.broker, home_assistant));
    }
    match settings.upstream {
        Some(UpstreamSettings::Mqtt(edge)) => Ok((edge.broker, None)),
        _ => Err(Error::usage(
            "gateway.toml names no broker",
            "set [mqtt] broker, or [upstream] mqtt; or name another file with --config",
        )),
    }
}

/// Connects, and reads what is retained of these edges: a name, or `+` for all.
async fn retained(
    broker: &BrokerSettings,
    edge: &str,
) -> Result<(Events, BTreeMap<Name, Retained>, Bus), Error> {
    let prefix = &broker.topics;
    let subscriptions = ["state", "dev/+/birth", "dev/+/owner", "dev/+/ha/+", "beat"]
        .map(|what| (format!("{prefix}/{edge}/{what}"), Qos::AtMostOnce));
    let id = format!("wsdm-fleet-{:08x}", random() as u32);
    let (bus, mut events) = bus(broker.connection(id), None, subscriptions.to_vec());
    let connected = async {
        match events.next().await {
            BusEvent::Lost { error, .. } => Err(Error::from(error)),
            _ => Ok(()),
        }
    };
    timeout(CONNECT_WITHIN, connected).await.map_err(|_| {
        Error::usage(
            format!("{} does not answer", broker.broker),
            "is the broker running?",
        )
    })??;
    let mut edges: BTreeMap<Name, Retained> = BTreeMap::new();
    let over = Instant::now() + LISTEN_WITHIN;
    let mut quiet_at = Instant::now() + BEAT_WITHIN;
    while let Ok(event) = timeout_at(quiet_at.min(over), events.next()).await {
        let message = match event {
            BusEvent::Message(message) => message,
            BusEvent::Lost { error, .. } => return Err(error.into()),
            BusEvent::Connected | BusEvent::TooLarge { .. } => continue,
        };
        let rest = message.topic.strip_prefix(prefix.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let Ok(name) = Name::new(rest.split('/').next().unwrap_or_default()) else {
            continue;
        };
        let edge = edges.entry(name).or_default();
        if message.retain {
            quiet_at = quiet_at.max(Instant::now() + QUIET);
            edge.topics.push(message.topic.clone());
        }
        match prefix.read(&message.topic) {
            Some(Topic::EdgeState(_)) => edge.state = documents::read(&message.payload).ok(),
            Some(Topic::Birth(_, device)) => {
                edge.births.extend(
                    documents::read(&message.payload)
                        .ok()
                        .map(|birth| (device, birth)),
                );
            }
            Some(Topic::Owner(_, device)) => {
                edge.owners.extend(
                    documents::read(&message.payload)
                        .ok()
                        .map(|owner| (device, owner)),
                );
            }
            Some(Topic::Beat(_)) => edge.beats = true,
            _ => {}
        }
    }
    Ok((events, edges, bus))
}

async fn list(config: Option<PathBuf>, as_json: bool) -> Result<(), Error> {
    let (broker, _) = broker(config)?;
    let (events, edges, _) = retained(&broker, "+").await?;
    events.disconnect(CLOSE_TIMEOUT).await;
    if as_json {
        let edges: Vec<_> = edges.iter().map(|(name, edge)| edge.json(name)).collect();
        return print(&format!("{:#}\n", json!(edges)));
    }
    if edges.is_empty() {
        return print(&format!("no edge at {}\n", broker.broker));
    }
    let mut rows = Vec::new();
    for (name, edge) in &edges {
        let state = if edge.is_online() { "online" } else { "offline" };
        let mut devices = Vec::new();
        for (id, birth) in &edge.births {
            let owner = edge
                .owners
                .get(id)
                .map_or("free".to_owned(), |owner| match owner.lapsed {
                    true => format!("{}, whose lease is over", owner.hub),
                    false => owner.hub.to_string(),
                });
            let text = |text: &str| printable(text.as_bytes());
            devices.push(format!(
                "{id}  {} {}, owner: {owner}",
                text(&birth.identifier),
                text(&birth.address)
            ));
        }
        rows.push((
            [name.to_string(), state.to_owned(), devices.len().to_string()],
            devices,
        ));
    }
    print(&lines(["edge", "state", "devices"], rows))
}

impl Retained {
    fn is_online(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.online)
    }

    fn json(&self, name: &Name) -> serde_json::Value {
        let devices: Vec<_> = (self.births.iter())
            .map(|(id, birth)| json!({ "id": id, "birth": birth, "owner": self.owners.get(id) }))
            .collect();
        json!({ "edge": name, "online": self.is_online(), "state": self.state, "devices": devices })
    }
}

async fn forget(edge: &str, config: Option<PathBuf>) -> Result<(), Error> {
    let name = Name::new(edge)
        .map_err(|e| Error::usage(e.to_string(), "wsdm-gateway fleet list shows the edges"))?;
    let (broker, home_assistant) = broker(config)?;
    let (events, mut edges, bus) = retained(&broker, name.as_str()).await?;
    let Some(retained) = edges.remove(&name).filter(|edge| !edge.topics.is_empty()) else {
        events.disconnect(CLOSE_TIMEOUT).await;
        return Err(Error::usage(
            format!("the broker keeps nothing of an edge {name}"),
            "wsdm-gateway fleet list shows the edges",
        ));
    };
    if retained.beats {
        events.disconnect(CLOSE_TIMEOUT).await;
        return Err(Error::usage(
            format!("the edge {name} is running, and would publish its devices again"),
            "stop that gateway first",
        ));
    }
    let number = retained.topics.len();
    let mut topics = retained.topics;
    if let Some(home_assistant) = home_assistant {
        // A hub that runs deletes these too, once it sees the others go.
        let states = topics.iter().filter_map(|topic| home_assistant.state_of(topic));
        let mut devices: BTreeSet<DeviceId> = states.map(|(_, device)| device).collect();
        devices.extend(retained.births.into_keys());
        for device in devices {
            topics.push(home_assistant.discovery_topic(&name, &device));
        }
        topics.push(home_assistant.forget_edge(&name).topic);
    }
    for topic in topics {
        let empty = Message {
            topic,
            payload: Bytes::new(),
            qos: Qos::AtLeastOnce,
            retain: true,
        };
        bus.try_publish(empty)
            .map_err(|e| Error::usage(format!("a message could not be removed: {e}"), "try again"))?;
    }
    if !events.disconnect(CONNECT_WITHIN).await {
        return Err(Error::usage(
            "the broker did not acknowledge everything",
            "run it again; wsdm-gateway fleet list shows what is left",
        ));
    }
    print(&format!("removed {number} messages of the edge {name}\n"))
}
