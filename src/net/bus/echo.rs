//! A message on a topic to which its publisher subscribes: what comes back was passed on by the broker. An acknowledgement
//! does not show that, since a broker acknowledges what it denies, too.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Bus, Message, NotTaken, Qos};

/// How long a message may take to come back from the broker.
const ECHO_WITHIN: Duration = Duration::from_secs(2);

/// A topic on which messages are published and come back.
#[derive(Debug)]
pub struct Echo {
    bus: Bus,
    topic: String,
    came: watch::Sender<u64>,
}

/// Why it is not known that a message was passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEcho {
    /// It was not published.
    #[error("{0}")]
    NotTaken(#[from] NotTaken),
    /// It did not come back.
    #[error("the broker did not pass it on within {} s", ECHO_WITHIN.as_secs_f64())]
    Silent {
        /// Its topic.
        topic: String,
    },
}

impl Echo {
    /// Of this topic, to which the bus is subscribed.
    pub fn new(bus: Bus, topic: String) -> Self {
        Self {
            bus,
            topic,
            came: watch::Sender::new(0),
        }
    }

    /// A message on the topic came that was not retained.
    pub fn came(&self) {
        self.came.send_modify(|times| *times += 1);
    }

    /// Publishes at once, and waits until the message, or another one on its topic, comes back.
    ///
    /// # Errors
    /// [`NoEcho`]. The message may have been passed on to others.
    pub async fn publish(&self, payload: Bytes) -> Result<(), NoEcho> {
        let mut came = self.came.subscribe();
        self.bus.try_publish(Message {
            topic: self.topic.clone(),
            payload,
            qos: Qos::AtLeastOnce,
            retain: false,
        })?;
        match timeout(ECHO_WITHIN, came.changed()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NoEcho::Silent {
                topic: self.topic.clone(),
            }),
        }
    }
}
