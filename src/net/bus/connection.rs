//! One connection to the broker, from dialling to its end. Nothing of it outlives it: the next one begins empty.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt, StreamExt};
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Login, Packet, PubAck, Publish, Subscribe,
    SubscribeFilter, Unsubscribe,
};
use rumqttc::mqttbytes::{Error, QoS};
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::codec::Framed;

use super::error::{BusError, Refusal};
use super::packets::{Incoming, PacketCodec};
use super::{BusEvent, BusSettings, Change, Message, Qos, Shared};
use crate::defaults::{BUS_CONNECT_TIMEOUT, BUS_IN_FLIGHT_MAX, BUS_SEND_BUFFER_BYTES};
use crate::net::broker::BrokerUrl;
use crate::net::stream::Stream;

/// What is written in one go.
const WRITE_BYTES: usize = 8 * 1024;
/// Topics that are subscribed to with one packet.
const SUBSCRIBED_AT_ONCE: usize = 64;

/// A connection that the broker has accepted.
pub(super) struct Connection {
    broker: BrokerUrl,
    framed: Framed<Stream, PacketCodec>,
    keepalive: Duration,
    /// The numbers of what the broker has not acknowledged.
    in_flight: BTreeSet<u16>,
    last_id: u16,
    /// What is to be acknowledged to the broker.
    acks: VecDeque<u16>,
    /// When something was last received, and sent.
    heard: Instant,
    sent: Instant,
    pinged: Instant,
    /// Since when the socket takes nothing, if it does not.
    stuck: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    /// Connects, and waits for the broker to accept. Takes at most [`BUS_CONNECT_TIMEOUT`]. Not cancel safe: a dropped
    /// future drops the connection.
    ///
    /// # Errors
    /// [`BusError`].
    pub(super) async fn dial(settings: Arc<BusSettings>, will: Option<Message>) -> Result<Self, BusError> {
        let dialed = timeout(BUS_CONNECT_TIMEOUT, Self::dial_without_limit(&settings, will)).await;
        dialed.unwrap_or_else(|_| Err(BusError::TimedOut(settings.broker.clone())))
    }

    async fn dial_without_limit(settings: &BusSettings, will: Option<Message>) -> Result<Self, BusError> {
        let broker = settings.broker.clone();
        let no_tcp = |source| BusError::Tcp {
            broker: broker.clone(),
            source,
        };
        let tcp = TcpStream::connect(broker.host_and_port()).await.map_err(no_tcp)?;
        // Needed under TLS too: each message is a command and must not wait for the next.
        tcp.set_nodelay(true).map_err(no_tcp)?;
        // What the system holds back is out of reach, and too old when the broker takes it.
        let small = SockRef::from(&tcp).set_send_buffer_size(BUS_SEND_BUFFER_BYTES);
        small.map_err(no_tcp)?;
        let stream = if broker.is_tls() {
            encrypt(settings, tcp).await?
        } else {
            Stream::Plain(tcp)
        };
        let mut framed = Framed::new(stream, PacketCodec::default());
        let sent = framed.send(Packet::Connect(connect(settings, will))).await;
        sent.map_err(|e| unanswered(&broker, e))?;
        match framed.next().await {
            None => return Err(BusError::HungUp(broker)),
            Some(Err(e)) => return Err(unanswered(&broker, e)),
            Some(Ok(Incoming::Packet(Packet::ConnAck(ConnAck { code, .. })))) => {
                if let Some(why) = refusal(code) {
                    return Err(BusError::Refused { broker, why });
                }
            }
            Some(Ok(_)) => {
                let why = "its first packet is not the answer to CONNECT".to_owned();
                return Err(BusError::NotMqtt { broker, why });
            }
        }
        let now = Instant::now();
        Ok(Self {
            broker,
            framed,
            keepalive: settings.keepalive,
            in_flight: BTreeSet::new(),
            last_id: 0,
            acks: VecDeque::new(),
            heard: now,
            sent: now,
            pinged: now,
            stuck: None,
            timer: Box::pin(sleep_until(now)),
        })
    }

    /// Sends what waits, receives, and notices silence. Cancel safe: all state is in `self`.
    ///
    /// # Errors
    /// [`BusError`], after which there is no connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Result<BusEvent, BusError>> {
        loop {
            shared.driver.register(cx.waker());
            self.send(cx, shared)?;
            match self.framed.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(incoming))) => {
                    self.heard = Instant::now();
                    shared.lock().probe = None;
                    if let Some(event) = self.received(incoming)? {
                        // The acknowledgement should not wait for the caller to come back.
                        self.send(cx, shared)?;
                        return Poll::Ready(Ok(event));
                    }
                    continue;
                }
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(self.broke(e))),
                Poll::Ready(None) => return Poll::Ready(Err(BusError::Closed(self.broker.clone()))),
                Poll::Pending => {}
            }
            let due = self.due(shared)?;
            self.timer.as_mut().reset(due);
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    /// Sends what waits, as long as the socket takes it.
    fn send(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Result<(), BusError> {
        loop {
            if self.framed.write_buffer().len() >= WRITE_BYTES && self.flush(cx)?.is_pending() {
                return Ok(());
            }
            let Some(packet) = self.next_packet(shared) else {
                break;
            };
            self.write(packet)?;
        }
        let _ = self.flush(cx)?;
        Ok(())
    }

    fn write(&mut self, packet: Packet) -> Result<(), BusError> {
        self.sent = Instant::now();
        let written = Pin::new(&mut self.framed).start_send(packet);
        written.map_err(|e| self.broke(e))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, BusError> {
        let before = self.framed.write_buffer().len();
        match self.framed.poll_flush_unpin(cx) {
            Poll::Ready(Ok(())) => {
                self.stuck = None;
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(e)) => Err(self.broke(e)),
            Poll::Pending => {
                if self.framed.write_buffer().len() < before {
                    self.stuck = None;
                }
                self.stuck.get_or_insert_with(Instant::now);
                Ok(Poll::Pending)
            }
        }
    }

    fn next_packet(&mut self, shared: &Shared) -> Option<Packet> {
        if let Some(id) = self.acks.pop_front() {
            return Some(Packet::PubAck(PubAck::new(id)));
        }
        if self.ping_due() <= Instant::now() {
            self.pinged = Instant::now();
            return Some(Packet::PingReq);
        }
        let room = self.in_flight.len() < BUS_IN_FLIGHT_MAX;
        let mut state = shared.lock();
        if room {
            let mut changes = state.changes.iter();
            let subscribe = changes
                .by_ref()
                .take(SUBSCRIBED_AT_ONCE)
                .map_while(Change::subscribed);
            let filters: Vec<_> = subscribe.map(|(topic, qos)| filter(topic, qos)).collect();
            if !filters.is_empty() {
                state.changes.drain(..filters.len());
                drop(state);
                let mut subscribe = Subscribe::new_many(filters);
                subscribe.pkid = self.next_id();
                return Some(Packet::Subscribe(subscribe));
            }
            if let Some(Change::Unsubscribe(topic)) = state.changes.pop_front() {
                drop(state);
                let mut unsubscribe = Unsubscribe::new(topic);
                unsubscribe.pkid = self.next_id();
                return Some(Packet::Unsubscribe(unsubscribe));
            }
        }
        let message = state.queue.pop(room)?;
        state.wake_publishers();
        drop(state);
        let mut publish = Publish::from_bytes(message.topic, message.qos.into(), message.payload);
        publish.retain = message.retain;
        if message.qos == Qos::AtLeastOnce {
            publish.pkid = self.next_id();
        }
        Some(Packet::Publish(publish))
    }

    /// A number that nothing unacknowledged has. At most [`BUS_IN_FLIGHT_MAX`] have one.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.in_flight.insert(self.last_id) {
                return self.last_id;
            }
        }
    }

    fn received(&mut self, incoming: Incoming) -> Result<Option<BusEvent>, BusError> {
        Ok(match incoming {
            Incoming::TooLarge { topic, bytes, id } => {
                self.acks.extend(id);
                Some(BusEvent::TooLarge { topic, bytes })
            }
            Incoming::Packet(Packet::Publish(publish)) => {
                let qos = match publish.qos {
                    QoS::AtMostOnce => Qos::AtMostOnce,
                    QoS::AtLeastOnce => Qos::AtLeastOnce,
                    QoS::ExactlyOnce => return Err(self.not_mqtt("it sent a message with QoS 2 unasked")),
                };
                if qos == Qos::AtLeastOnce {
                    self.acks.push_back(publish.pkid);
                }
                Some(BusEvent::Message(Message {
                    topic: publish.topic,
                    // The library's is a piece of what was read at once, all of which it would keep in memory.
                    payload: Bytes::copy_from_slice(&publish.payload),
                    qos,
                    retain: publish.retain,
                }))
            }
            Incoming::Packet(Packet::PubAck(ack)) => {
                self.in_flight.remove(&ack.pkid);
                None
            }
            Incoming::Packet(Packet::SubAck(ack)) => {
                self.in_flight.remove(&ack.pkid);
                None
            }
            Incoming::Packet(Packet::UnsubAck(ack)) => {
                self.in_flight.remove(&ack.pkid);
                None
            }
            Incoming::Packet(Packet::PingResp) => None,
            Incoming::Packet(_) => return Err(self.not_mqtt("it sent a packet that brokers do not send")),
        })
    }

    /// When a ping is due: the broker expects a sign of life each keepalive, and is asked for one twice as often.
    fn ping_due(&self) -> Instant {
        self.heard.min(self.sent).max(self.pinged) + self.keepalive / 2
    }

    /// When to look again if nothing happens.
    ///
    /// # Errors
    /// The broker was silent, or took nothing, for too long.
    fn due(&self, shared: &Shared) -> Result<Instant, BusError> {
        let now = Instant::now();
        let silent = |since: Instant| BusError::Silent {
            broker: self.broker.clone(),
            after: now - since,
        };
        let mut due = self.heard + self.keepalive * 3 / 2;
        if due <= now {
            return Err(silent(self.heard));
        }
        if let Some(probe) = shared.lock().probe {
            if probe.until <= now {
                return Err(silent(probe.since));
            }
            due = due.min(probe.until);
        }
        match self.stuck {
            Some(since) if since + self.keepalive <= now => {
                return Err(BusError::Stuck {
                    broker: self.broker.clone(),
                    after: now - since,
                });
            }
            Some(since) => due = due.min(since + self.keepalive),
            None => due = due.min(self.ping_due()),
        }
        Ok(due)
    }

    /// Sends what waits and has it acknowledged, takes leave, and waits for the broker to hang up. Cancel safe.
    ///
    /// # Errors
    /// [`BusError`]: it is not known what arrived.
    pub(super) fn poll_leave(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        told: &mut bool,
    ) -> Poll<Result<(), BusError>> {
        loop {
            if !*told {
                self.send(cx, shared)?;
                if self.in_flight.is_empty() && shared.lock().queue.is_empty() {
                    self.write(Packet::Disconnect)?;
                    *told = true;
                    continue;
                }
            } else if self.flush(cx)?.is_ready() {
                // With unread messages the system would reset the connection, and the broker send the will.
                let closed = Pin::new(&mut self.framed).poll_close(cx);
                let _ = closed.map_err(|e| self.broke(e))?;
            }
            match ready!(self.framed.poll_next_unpin(cx)) {
                Some(Ok(incoming)) => {
                    self.heard = Instant::now();
                    self.received(incoming)?;
                }
                Some(Err(_)) | None if *told => return Poll::Ready(Ok(())),
                Some(Err(e)) => return Poll::Ready(Err(self.broke(e))),
                None => return Poll::Ready(Err(BusError::Closed(self.broker.clone()))),
            }
        }
    }

    /// Drops the connection so that nothing that the system holds back arrives later.
    pub(super) fn cut(self) {
        // A socket that refuses this is gone already.
        let _ = SockRef::from(self.framed.get_ref().tcp()).set_linger(Some(Duration::ZERO));
    }

    fn broke(&self, error: Error) -> BusError {
        match error {
            Error::Io(source) => BusError::Broke {
                broker: self.broker.clone(),
                source,
            },
            other => self.not_mqtt(&other.to_string()),
        }
    }

    fn not_mqtt(&self, why: &str) -> BusError {
        BusError::NotMqtt {
            broker: self.broker.clone(),
            why: why.to_owned(),
        }
    }
}

/// What went wrong before the broker answered.
fn unanswered(broker: &BrokerUrl, error: Error) -> BusError {
    let broker = broker.clone();
    match error {
        // A refused client certificate is told after the handshake.
        Error::Io(source) if matches!(source.get_ref(), Some(e) if e.is::<rustls::Error>()) => {
            BusError::Tls { broker, source }
        }
        Error::Io(source) if is_hang_up(&source) => BusError::HungUp(broker),
        Error::Io(source) => BusError::Broke { broker, source },
        other => BusError::NotMqtt {
            broker,
            why: other.to_string(),
        },
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn refusal(code: ConnectReturnCode) -> Option<Refusal> {
    Some(match code {
        ConnectReturnCode::Success => return None,
        ConnectReturnCode::RefusedProtocolVersion => Refusal::Version,
        ConnectReturnCode::BadClientId => Refusal::ClientId,
        ConnectReturnCode::ServiceUnavailable => Refusal::Unavailable,
        ConnectReturnCode::BadUserNamePassword => Refusal::Credentials,
        ConnectReturnCode::NotAuthorized => Refusal::NotAuthorized,
    })
}

fn connect(settings: &BusSettings, will: Option<Message>) -> Connect {
    let mut connect = Connect::new(&settings.client_id);
    // A whole number of seconds, and 0 would switch it off.
    connect.keep_alive = u16::try_from(settings.keepalive.as_secs().max(1)).unwrap_or(u16::MAX);
    connect.last_will = will.map(|will| LastWill {
        topic: will.topic,
        message: will.payload,
        qos: will.qos.into(),
        retain: will.retain,
    });
    let (user, password) = (settings.user.as_deref(), settings.password.as_deref());
    if user.is_some() || password.is_some() {
        connect.login = Some(Login::new(user.unwrap_or_default(), password.unwrap_or_default()));
    }
    connect
}

fn filter(topic: &str, qos: Qos) -> SubscribeFilter {
    SubscribeFilter::new(topic.to_owned(), qos.into())
}

async fn encrypt(settings: &BusSettings, tcp: TcpStream) -> Result<Stream, BusError> {
    let broker = || settings.broker.clone();
    let connector = settings.tls.loaded().await.map_err(|source| BusError::NoRoots {
        broker: broker(),
        source,
    })?;
    let no_tls = |source| BusError::Tls {
        broker: broker(),
        source,
    };
    let name = ServerName::try_from(settings.broker.host_and_port().0.to_owned())
        .map_err(|e| no_tls(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    let tls = connector.connect(name, tcp).await.map_err(no_tls)?;
    Ok(Stream::Tls(Box::new(tls)))
}
