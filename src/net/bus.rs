//! The connection to an MQTT broker: 3.1.1, QoS 0 and 1, clean sessions.
//!
//! Of rumqttc only the packets are used. Its loop flushes each message by itself and reads nothing meanwhile, loses its
//! place when a poll of it is dropped, sends after a reconnect what was queued before, ends the connection at a message
//! that is too large, and cannot use TLS with an IPv6 address. Here:
//!
//! - Publishing never waits. Nothing is queued while the broker is away, and nothing that was queued is sent to the next
//!   connection: whoever publishes is told by [`BusEvent::Connected`] and begins anew.
//! - Reading and writing do not wait for each other, and both are watched: a broker that is silent, or takes nothing, for
//!   about a keepalive is dropped and dialled anew.
//! - What a stranger sends costs the memory of its message, up to a limit; above that it is dropped as it arrives.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::broker::BrokerUrl;
use super::tls::Tls;
use crate::advice::Advice;
use crate::backoff::Backoff;
use crate::defaults::{BUS_PACKET_MAX_BYTES, BUS_RETRY_MAX, BUS_RETRY_MIN, GOOD_AFTER};

mod connection;
mod dial;
pub mod echo;
mod error;
mod packets;
mod queue;
mod shared;

use connection::Connection;
pub use error::{BusError, Refusal};
use shared::{Change, Probe, Shared, State};

/// Which broker, and who connects to it.
#[derive(Clone, PartialEq, Eq)]
pub struct BusSettings {
    /// Where it is.
    pub broker: BrokerUrl,
    /// What is trusted, and presented, if the address has TLS.
    pub tls: Tls,
    /// The account's name.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Of two clients with one id the broker keeps the newer.
    pub client_id: String,
    /// The broker sends the will after one and a half of these without a sound. At least a second.
    pub keepalive: Duration,
}

impl fmt::Debug for BusSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusSettings")
            .field("broker", &self.broker)
            .field("user", &self.user)
            .field("client_id", &self.client_id)
            .field("keepalive", &self.keepalive)
            .finish_non_exhaustive()
    }
}

/// How sure it is that a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qos {
    /// QoS 0: at once or never.
    AtMostOnce,
    /// QoS 1: acknowledged.
    AtLeastOnce,
}

/// A message, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// How sure it is that it arrives.
    pub qos: Qos,
    /// Sent: the broker keeps it for later subscribers. Received: it was kept, and may be old.
    pub retain: bool,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// As many messages wait as may.
    #[error("too many messages wait for the broker")]
    Full,
    /// There is no connection.
    #[error("there is no connection to the broker")]
    Away,
    /// The topic is empty, or has characters that a topic must not have, or the message is too large.
    #[error("not a message that a broker takes")]
    Unfit,
}

/// What happens on the bus.
#[derive(Debug)]
pub enum BusEvent {
    /// The broker accepted the connection. It knows nothing from before but what is retained.
    Connected,
    /// The connection ended, or a try failed. The next one follows by itself.
    Lost {
        /// Why.
        error: BusError,
        /// Whether the last one was of another kind, or before a good connection: worth a line in the log.
        news: bool,
    },
    /// A message came.
    Message(Message),
    /// A message came that is larger than those that are taken. It was dropped.
    TooLarge {
        /// Its topic.
        topic: String,
        /// The size of its payload.
        bytes: usize,
    },
}

/// How the connection stands, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusStatus {
    /// Since when the broker has accepted it; `None` while there is none.
    pub connected_since: Option<SystemTime>,
    /// When a connection last ended, or a try failed, and why, with what to do about it.
    pub last_error: Option<(SystemTime, String)>,
}

/// Prepares a connection to a broker. Nothing is spawned and nothing dialled until [`Events::next`] is awaited.
///
/// The broker publishes `will` if the connection ends without [`Events::disconnect`]. `subscriptions` are made anew on
/// every connection, before [`BusEvent::Connected`] is told.
pub fn bus(settings: BusSettings, will: Option<Message>, subscriptions: Vec<(String, Qos)>) -> (Bus, Events) {
    let shared = Arc::new(Shared::default());
    shared.lock().subscriptions.extend(subscriptions);
    let events = Events {
        shared: shared.clone(),
        settings: Arc::new(settings),
        will,
        phase: Phase::Start,
        failed: Backoff::new(BUS_RETRY_MIN, BUS_RETRY_MAX, GOOD_AFTER),
        refused: Backoff::after_refusals(),
        told: None,
    };
    (Bus(shared), events)
}

/// For publishers: cheap to clone, and no call ever waits.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

impl Bus {
    /// Queues a message. A QoS 1 message waits as long as the connection lasts, and of those that are retained only the
    /// newest of its topic does; QoS 0 passes it where acknowledgements are late. Otherwise the order is kept.
    ///
    /// # Errors
    /// [`NotTaken::Full`] if 16 messages of QoS 0, or some thousands of QoS 1, wait; [`NotTaken::Away`] without a
    /// connection; [`NotTaken::Unfit`] if no broker would take it. The message is dropped.
    pub fn try_publish(&self, message: Message) -> Result<(), NotTaken> {
        if !fits(&message) {
            return Err(NotTaken::Unfit);
        }
        let mut state = self.0.lock();
        if !state.connected {
            return Err(NotTaken::Away);
        }
        state.queue.push(message)?;
        drop(state);
        self.0.driver.wake();
        Ok(())
    }

    /// Ready once a publish may fit again, and while the broker is away, so that the caller finds out. Otherwise the
    /// task is woken then.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if !state.connected || state.queue.has_room() {
            return Poll::Ready(());
        }
        if !state.publishers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.publishers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Subscribes to a topic now and after every reconnect.
    pub fn subscribe(&self, topic: String, qos: Qos) {
        let mut state = self.0.lock();
        state.subscriptions.insert(topic.clone(), qos);
        self.change(state, Change::Subscribe(topic, qos));
    }

    /// Ends a subscription. Messages that are under way still arrive.
    pub fn unsubscribe(&self, topic: &str) {
        let mut state = self.0.lock();
        if state.subscriptions.remove(topic).is_some() {
            self.change(state, Change::Unsubscribe(topic.to_owned()));
        }
    }

    fn change(&self, mut state: MutexGuard<'_, State>, change: Change) {
        if state.connected {
            state.changes.push_back(change);
            drop(state);
            self.0.driver.wake();
        }
    }

    /// Whether the broker has accepted the connection.
    pub fn is_connected(&self) -> bool {
        self.0.lock().connected
    }

    /// How the connection stands.
    pub fn status(&self) -> BusStatus {
        self.0.lock().status.clone()
    }

    /// Publishes this message, which should be one that is answered, as with QoS 1. If then nothing at all is received
    /// for so long, the connection is dropped and dialled anew. Does nothing while the broker is away. The earliest of
    /// several deadlines counts.
    pub fn probe(&self, message: Message, within: Duration) {
        let mut state = self.0.lock();
        if !state.connected {
            return;
        }
        let since = Instant::now();
        let probe = Probe {
            since,
            until: since + within,
        };
        if state.probe.is_none_or(|waiting| probe.until < waiting.until) {
            state.probe = Some(probe);
        }
        drop(state);
        // If it does not fit, enough is under way that is to be answered.
        let _ = self.try_publish(message);
        self.0.driver.wake();
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bus(connected: {})", self.is_connected())
    }
}

/// Whether brokers take such a message: one that does not fit would end the connection.
fn fits(message: &Message) -> bool {
    let Message { topic, payload, .. } = message;
    // The head and the number of the packet besides.
    let bytes = topic.len() + payload.len() + 9;
    !topic.is_empty()
        && !topic.contains(['+', '#', '\0'])
        && topic.len() < 1 << 16
        && bytes <= BUS_PACKET_MAX_BYTES
}

/// The connection itself. It makes progress only while [`Events::next`] or [`Events::disconnect`] is awaited.
pub struct Events {
    shared: Arc<Shared>,
    settings: Arc<BusSettings>,
    will: Option<Message>,
    phase: Phase,
    failed: Backoff,
    refused: Backoff,
    /// The trouble that was told last.
    told: Option<String>,
}

enum Phase {
    Start,
    Resting(Pin<Box<Sleep>>),
    Dialing(BoxFuture<'static, Result<Connection, BusError>>),
    Up(Box<Connection>, Instant),
}

impl Events {
    /// The next event. Dials if there is no connection, after pauses that double and differ. Cancel safe: nothing is lost
    /// if the future is dropped, but nothing moves until it is called again.
    pub async fn next(&mut self) -> BusEvent {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<BusEvent> {
        loop {
            match &mut self.phase {
                Phase::Start => self.dial(),
                Phase::Resting(pause) => {
                    ready!(pause.poll_unpin(cx));
                    self.dial();
                }
                Phase::Dialing(dialed) => match ready!(dialed.poll_unpin(cx)) {
                    Ok(connection) => {
                        self.shared.up();
                        self.phase = Phase::Up(Box::new(connection), Instant::now());
                        return Poll::Ready(BusEvent::Connected);
                    }
                    Err(error) => return Poll::Ready(self.lost(error)),
                },
                Phase::Up(connection, since) => match ready!(connection.poll(cx, &self.shared)) {
                    Ok(event) => return Poll::Ready(event),
                    Err(error) => {
                        let up = since.elapsed();
                        self.failed.connected_for(up);
                        self.refused.connected_for(up);
                        if up >= GOOD_AFTER {
                            self.told = None;
                        }
                        self.shared.down();
                        return Poll::Ready(self.lost(error));
                    }
                },
            }
        }
    }

    fn dial(&mut self) {
        self.phase = Phase::Dialing(dial::dial(self.settings.clone(), self.will.clone()).boxed());
    }

    /// Drops what there is of a connection, and pauses.
    fn lost(&mut self, error: BusError) -> BusEvent {
        let pauses = if error.is_refusal() {
            &mut self.refused
        } else {
            &mut self.failed
        };
        let pause = Phase::Resting(Box::pin(sleep(pauses.next_delay())));
        if let Phase::Up(connection, _) = std::mem::replace(&mut self.phase, pause) {
            connection.cut();
        }
        self.shared.lock().status.last_error = Some((SystemTime::now(), error.with_hint()));
        let told = error.to_string();
        let news = self.told.as_ref() != Some(&told);
        self.told = Some(told);
        BusEvent::Lost { error, news }
    }

    /// Leaves the broker, which sends the will, and dials it again after this time.
    pub fn stay_away(&mut self, pause: Duration) {
        let pause = Phase::Resting(Box::pin(sleep(pause)));
        self.shared.down();
        if let Phase::Up(connection, _) = std::mem::replace(&mut self.phase, pause) {
            connection.cut();
        }
    }

    /// Leaves in an orderly way: what is queued is sent and acknowledged, then the broker is told, and sends no will.
    /// Messages that are received meanwhile are dropped. Returns whether all that was done in time; the connection is
    /// gone either way. Not cancel safe: a dropped future drops the connection, and the broker sends the will.
    pub async fn disconnect(mut self, within: Duration) -> bool {
        let phase = std::mem::replace(&mut self.phase, Phase::Start);
        let Phase::Up(mut connection, _) = phase else {
            return false;
        };
        // What is queued stays.
        self.shared.lock().connected = false;
        let mut told = false;
        let leave = poll_fn(|cx| connection.poll_leave(cx, &self.shared, &mut told));
        let left = timeout(within, leave).await;
        if left.is_err() {
            connection.cut();
        }
        matches!(left, Ok(Ok(())))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.down();
        if let Phase::Up(connection, _) = &self.phase {
            connection.cut();
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({})", self.settings.broker)
    }
}
