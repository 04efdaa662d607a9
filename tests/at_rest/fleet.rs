//! What is between a board's gateway and the app's in a fleet: a broker, and the network on either side of it.

use std::net::Ipv4Addr;

use futures::future::join_all;
use tokio::process::Command;
use wsdm_gateway::device::fleet::names::DeviceId;
use wsdm_gateway::device::handshake::Handshake;

use super::common::forwarder::Forwarder;
use super::common::handshake;
use super::common::model_board::ModelBoard;
use super::common::mosquitto::Mosquitto;
use super::common::within;
use super::ways::Way;

/// A broker with two lines to it. Dropping it ends all three.
pub struct Fleet {
    pub broker: Mosquitto,
    pub edge_line: Forwarder,
    pub hub_line: Forwarder,
}

impl Fleet {
    pub async fn start() -> Self {
        let broker = Mosquitto::start();
        let at = (Ipv4Addr::LOCALHOST, broker.port()).into();
        Self {
            edge_line: Forwarder::start(at).await,
            hub_line: Forwarder::start(at).await,
            broker,
        }
    }

    /// The part of gateway.toml that makes a gateway an edge.
    pub fn edge(&self) -> String {
        format!(
            "[upstream]\nmqtt = \"mqtt://{}\"\nedge = \"bedroom\"\n",
            self.edge_line.at
        )
    }

    /// The part of gateway.toml that makes a gateway a hub.
    pub fn hub(&self) -> String {
        format!(
            "[mqtt]\nbroker = \"mqtt://{}\"\nhub = \"living-room\"\n",
            self.hub_line.at
        )
    }

    /// Takes control away, if that is a way of the broker or its lines.
    pub async fn lose(&mut self, way: Way, boards: impl Iterator<Item = &ModelBoard>) {
        match way {
            Way::BrokerSigkill => self.broker.kill(),
            Way::BrokerFreezes => self.broker.freeze(),
            Way::EdgeIsCutOff => self.edge_line.cut(),
            Way::EdgeIsUnreachable => self.edge_line.freeze(),
            Way::HubIsCutOff => self.hub_line.cut(),
            Way::HubIsUnreachable => self.hub_line.freeze(),
            Way::HaltDevice => {
                let topics: Vec<String> = boards.map(halt_topic).collect();
                join_all(topics.iter().map(|topic| self.publish(topic))).await;
            }
            Way::HaltEdge => self.publish("wsdm/1/bedroom/halt").await,
            Way::HaltAll => self.publish("wsdm/1/halt").await,
            _ => {}
        }
    }

    /// Publishes an empty message by mosquitto's own tool.
    async fn publish(&self, topic: &str) {
        let port = self.broker.port().to_string();
        let sent = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-n"])
            .status();
        let sent = within("mosquitto_pub ends", sent).await;
        let sent = sent.expect("mosquitto_pub: run ./test, or apt-get install mosquitto-clients");
        assert!(sent.success(), "{sent}");
    }

    /// Ends what a way has done.
    pub fn mend(&mut self, way: Way) {
        match way {
            Way::BrokerSigkill => self.broker.restart(),
            Way::BrokerFreezes => self.broker.thaw(),
            _ => {
                self.edge_line.heal();
                self.hub_line.heal();
            }
        }
    }
}

fn halt_topic(board: &ModelBoard) -> String {
    let hello = handshake(board.kind.identifier(), board.kind.name());
    let hello = Handshake::parse(&hello).expect("a handshake");
    format!("wsdm/1/bedroom/dev/{}/halt", DeviceId::of(&hello))
}
