//! A hub of the test's own, which follows the protocol as far as a test wants it to. Written from the words of the
//! protocol, and not with the program's own hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::broker::{Broker, Mqtt};
use super::common::wait_until;

/// A hub that answers beats, until it is told not to.
pub struct Peer {
    pub mqtt: Arc<Mqtt>,
    pub name: String,
    pub epoch: u64,
    edge: String,
    is_mute: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Session, sequence and nonce before a frame; kind 1 is a frame, 2 a stop.
pub fn message(session: u32, seq: u32, nonce: u32, kind: u8, frame: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [session, seq, nonce] {
        message.extend(word.to_be_bytes());
    }
    message.extend([kind, 0, 0, 0]);
    message.extend(frame);
    message
}

fn epoch_of(beat: &[u8]) -> Option<(u64, u32)> {
    let epoch = u64::from_be_bytes(beat.get(..8)?.try_into().ok()?);
    let nonce = u32::from_be_bytes(beat.get(8..12)?.try_into().ok()?);
    Some((epoch, nonce))
}

impl Peer {
    pub async fn connect(broker: &Broker, name: &str, edge: &str) -> Self {
        let mut mqtt = Mqtt::connect(broker, &format!("wsdm-hub-{name}")).await;
        mqtt.subscribe(&format!("wsdm/1/{edge}/#")).await;
        let mqtt = Arc::new(mqtt);
        let epoch = 0x1000 + u64::from(name.bytes().fold(0_u32, |sum, byte| sum * 31 + u32::from(byte)));
        let is_mute = Arc::<AtomicBool>::default();
        let (beats, muted) = (mqtt.clone(), is_mute.clone());
        let lease = format!("wsdm/1/{edge}/lease/{name}");
        let task = tokio::spawn(async move {
            let mut answered = 0;
            loop {
                let all = beats.on("/beat");
                if all.len() > answered && !muted.load(Ordering::Relaxed) {
                    answered = all.len();
                    if let Some((of_edge, nonce)) = epoch_of(&all[answered - 1].1) {
                        let mut answer = Vec::new();
                        answer.extend(epoch.to_be_bytes());
                        answer.extend(of_edge.to_be_bytes());
                        answer.extend(nonce.to_be_bytes());
                        answer.extend([0; 8]);
                        beats.send(&lease, &answer).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self {
            mqtt,
            name: name.to_owned(),
            epoch,
            edge: edge.to_owned(),
            is_mute,
            task,
        }
    }

    /// Answers no beat from now on, or does so again.
    pub fn be_mute(&self, is_mute: bool) {
        self.is_mute.store(is_mute, Ordering::Relaxed);
    }

    pub fn claim_of(&self, device: &str) -> Vec<u8> {
        json!({"hub": self.name, "hub_epoch": format!("{:016x}", self.epoch), "devices": [device]})
            .to_string()
            .into_bytes()
    }

    pub async fn claim(&self, device: &str) {
        let claim = self.claim_of(device);
        self.mqtt
            .send(&format!("wsdm/1/{}/claim", self.edge), &claim)
            .await;
    }

    pub fn owner(&self, device: &str) -> Value {
        self.mqtt.last(&format!("{device}/owner"))
    }

    /// Claims a device until it is its own: the session.
    pub async fn own(&self, device: &str) -> u32 {
        let mut asked = tokio::time::Instant::now() - Duration::from_secs(1);
        super::common::within("the device is granted", async {
            while self.owner(device)["hub"] != self.name.as_str() {
                if asked.elapsed() > Duration::from_millis(500) {
                    asked = tokio::time::Instant::now();
                    self.claim(device).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.session(device)
    }

    pub fn session(&self, device: &str) -> u32 {
        let session = self.owner(device)["session"].as_u64().expect("a session");
        session.try_into().expect("32 bits")
    }

    /// The newest time of the edge's clock.
    pub fn nonce(&self) -> u32 {
        self.mqtt
            .on("/beat")
            .last()
            .and_then(|(_, beat)| epoch_of(beat))
            .expect("a beat")
            .1
    }

    /// Sends a frame.
    pub async fn down(&self, device: &str, session: u32, seq: u32, frame: &str) {
        self.down_at(device, session, seq, self.nonce(), frame).await;
    }

    pub async fn down_at(&self, device: &str, session: u32, seq: u32, nonce: u32, frame: &str) {
        let topic = format!("wsdm/1/{}/dev/{device}/down", self.edge);
        self.mqtt
            .send(&topic, &message(session, seq, nonce, 1, frame.as_bytes()))
            .await;
    }

    /// Waits until the edge has beaten so many times more.
    pub async fn beats(&self, count: usize) {
        let before = self.mqtt.on("/beat").len();
        wait_until("beats of the edge", || {
            self.mqtt.on("/beat").len() >= before + count
        })
        .await;
    }
}
