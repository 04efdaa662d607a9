//! One connection to the broker, to its end. Nothing of it outlives it: the next one begins empty.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt, StreamExt};
use rumqttc::mqttbytes::v4::{Packet, PubAck, Publish, Subscribe, SubscribeFilter, Unsubscribe};
use rumqttc::mqttbytes::{Error, QoS};
use socket2::SockRef;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::codec::Framed;

use super::error::BusError;
use super::packets::{Incoming, PacketCodec};
use super::shared::{Change, Shared};
use super::{BusEvent, Message, Qos};
use crate::defaults::BUS_IN_FLIGHT_MAX;
use crate::net::broker::BrokerUrl;
use crate::net::stream::{Socket, Stream};

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
    /// The broker has accepted this one.
    pub(super) fn new(broker: BrokerUrl, keepalive: Duration, framed: Framed<Stream, PacketCodec>) -> Self {
        let now = Instant::now();
        Self {
            broker,
            framed,
            keepalive,
            in_flight: BTreeSet::new(),
            last_id: 0,
            acks: VecDeque::new(),
            heard: now,
            sent: now,
            pinged: now,
            stuck: None,
            timer: Box::pin(sleep_until(now)),
        }
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
            if self.framed.codec_mut().take_moved() {
                self.heard = Instant::now();
                shared.lock().probe = None;
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
                let after = self.stuck.get_or_insert_with(Instant::now).elapsed();
                if after >= self.keepalive {
                    return Err(BusError::Stuck {
                        broker: self.broker.clone(),
                        after,
                    });
                }
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
    /// The broker was silent for too long.
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

    /// To be called before it is dropped, so that nothing that the system holds back arrives later.
    pub(super) fn cut(&self) {
        // A socket that refuses this is gone already.
        let _ = SockRef::from(self.stream().tcp()).set_linger(Some(Duration::ZERO));
    }

    pub(super) fn stream(&self) -> &Stream {
        self.framed.get_ref()
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

fn filter(topic: &str, qos: Qos) -> SubscribeFilter {
    SubscribeFilter::new(topic.to_owned(), qos.into())
}
