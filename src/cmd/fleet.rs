//! `fleet ...`

mod forget;
mod list;
mod seen;
mod stop;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::timeout;

use crate::cli::from_environment;
use crate::cmd::error::Error;
use crate::config::{BrokerSettings, Given, Layers, Loaded, UpstreamSettings};
use crate::device::fleet::clock::random;
use crate::device::fleet::names::Name;
use crate::device::home_assistant::HomeAssistant;
use crate::net::bus::{Bus, BusEvent, Events, Qos, bus};

/// How long a broker may take to accept the connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(6);
/// What is retained has come when nothing came for this long.
const QUIET: Duration = Duration::from_millis(500);

/// `fleet ...`
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// List the edges and hubs at the broker, and the devices
    #[command(
        after_help = "An edge without devices sends no beats, and a hub answers the beats of edges whose devices it has or \
                      wants.\n\nExamples:\n  wsdm-gateway fleet list\n  wsdm-gateway fleet list --json"
    )]
    List {
        /// Which broker.
        #[command(flatten)]
        at: BrokerArgs,
        /// Print JSON on stdout
        #[arg(long)]
        json: bool,
    },
    /// Stop every device of the fleet, or of one edge
    #[command(
        after_help = "Works without a hub, and without a gateway on this machine. The devices are taken from their hubs, which claim \
                      them again. Fails if the broker did not pass the halt on, or an edge did not answer it for a device.\n\nExamples:\n  wsdm-gateway fleet stop\n  wsdm-gateway fleet stop bedroom"
    )]
    Stop {
        /// Only the devices of this edge.
        edge: Option<String>,
        /// Which broker.
        #[command(flatten)]
        at: BrokerArgs,
    },
    /// Remove what the broker keeps of an edge that is gone for good
    #[command(after_help = "Example:\n  wsdm-gateway fleet forget bedroom")]
    Forget {
        /// The edge.
        edge: String,
        /// Which broker.
        #[command(flatten)]
        at: BrokerArgs,
    },
}

/// Which broker.
#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// Read `[mqtt]`, or else `[upstream]`, of this gateway.toml [default: that of `run`]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
    config: Option<PathBuf>,
}

/// Lists the fleet, stops it, or clears an edge.
pub(super) async fn fleet(command: FleetCommand) -> Result<(), Error> {
    match command {
        FleetCommand::List { at, json } => list::list(&At::configured(at)?, json).await,
        FleetCommand::Stop { edge, at } => {
            let edge = edge.as_deref().map(edge_name).transpose()?;
            stop::stop(&At::configured(at)?, edge).await
        }
        FleetCommand::Forget { edge, at } => forget::forget(&At::configured(at)?, &edge_name(&edge)?).await,
    }
}

fn edge_name(text: &str) -> Result<Name, Error> {
    Name::new(text).map_err(|e| Error::usage(e.to_string(), "wsdm-gateway fleet list shows the edges"))
}

/// The broker that is configured: that of a hub, or else that of an edge.
struct At {
    broker: BrokerSettings,
    /// What a hub shows in Home Assistant.
    home_assistant: Option<HomeAssistant>,
    /// The account is that of this edge.
    edge: Option<Name>,
}

impl At {
    fn configured(args: BrokerArgs) -> Result<Self, Error> {
        let mut layers = Layers::default();
        for arg in from_environment(&["mqtt", "upstream"]) {
            layers.give(&arg.key, Given::Text(arg.value), arg.source);
        }
        let settings = Loaded::load(args.config.as_deref(), layers)?.settings;
        if let Some(hub) = settings.mqtt {
            let home_assistant = hub.home_assistant.map(|settings| HomeAssistant {
                prefix: hub.broker.topics.clone(),
                discovery: settings.discovery,
                outputs: settings.outputs,
            });
            return Ok(Self {
                broker: hub.broker,
                home_assistant,
                edge: None,
            });
        }
        match settings.upstream {
            Some(UpstreamSettings::Mqtt(edge)) => Ok(Self {
                broker: edge.broker,
                home_assistant: None,
                edge: Some(edge.edge),
            }),
            _ => Err(Error::usage(
                "gateway.toml names no broker",
                "set [mqtt] broker, or [upstream] mqtt; or name another file with --config",
            )),
        }
    }

    /// Connects, and subscribes to these topics below the prefix.
    async fn connect(&self, topics: &[String]) -> Result<(Bus, Events), Error> {
        let prefix = &self.broker.topics;
        let subscriptions = topics
            .iter()
            .map(|topic| (format!("{prefix}/{topic}"), Qos::AtMostOnce));
        let id = format!("wsdm-fleet-{:08x}", random() as u32);
        let (bus, mut events) = bus(self.broker.connection(id), None, subscriptions.collect());
        let connected = async {
            match events.next().await {
                BusEvent::Lost { error, .. } => Err(Error::from(error)),
                _ => Ok(()),
            }
        };
        timeout(CONNECT_WITHIN, connected).await.map_err(|_| {
            Error::failed(
                format!("{} does not answer", self.broker.broker),
                "is the broker running?",
            )
        })??;
        Ok((bus, events))
    }
}
