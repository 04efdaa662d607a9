//! A client's websocket: texts in, texts out, and the pings that show whether the client is there.
//!
//! Writing never stands in the way of reading: what the client does not take waits here, in a queue that its
//! session keeps short.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Sink, SinkExt, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use crate::defaults::{
    CLIENT_MESSAGE_MAX_BYTES, CLIENT_QUEUE, CLIENT_READ_BUFFER_BYTES, CLOSE_TIMEOUT, WRITE_TIMEOUT,
    attentive_pings,
};
use crate::device::close::{self, CloseReason};

/// Control frames that one poll may swallow before it lets others run.
const CONTROL_FRAMES_PER_POLL: usize = 16;
/// It said that it goes (RFC 6455: normal closure).
const NORMAL: u16 = 1000;
/// It does not speak websocket (RFC 6455: protocol error).
const PROTOCOL: u16 = 1002;
/// What a client may still be sending while we close is read and thrown away, so that the system does not answer
/// with a reset, which would destroy the Close frame before the client has read it.
const DRAIN_CHUNK_BYTES: usize = 4096;

/// The settings for a client's websocket. A write goes to the socket at once.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(CLIENT_READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(CLIENT_MESSAGE_MAX_BYTES))
        .max_frame_size(Some(CLIENT_MESSAGE_MAX_BYTES))
}

/// Why a client is gone, or has to go.
#[derive(Debug)]
pub(super) enum End {
    /// It closed in good order.
    Closed(Option<u16>),
    /// It sent `Disconnect`.
    Disconnect,
    /// The connection broke.
    Lost(String),
    /// Nothing was heard for this long.
    Silent(Duration),
    /// A write was not taken for this long.
    WriteTimeout(Duration),
    /// No Buttplug `Ping` came for this long.
    PingedOut(Duration),
    /// A message over the limit.
    TooLarge,
    /// What it sent is not a websocket's.
    Protocol { code: u16, why: String },
    /// The gateway stops.
    Stopping,
    /// A fault inside the gateway.
    Fault(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(None) => write!(f, "it closed the connection"),
            Self::Closed(Some(code)) => write!(f, "it closed the connection (code {code})"),
            Self::Disconnect => write!(f, "it said Disconnect"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::Silent(limit) => write!(f, "nothing heard for {} ms", limit.as_millis()),
            Self::WriteTimeout(limit) => {
                write!(f, "a message was not taken within {} ms", limit.as_millis())
            }
            Self::PingedOut(limit) => write!(f, "no Ping within {} ms", limit.as_millis()),
            Self::TooLarge => write!(f, "a message over {CLIENT_MESSAGE_MAX_BYTES} bytes"),
            Self::Protocol { why, .. } => write!(f, "protocol error: {why}"),
            Self::Stopping => write!(f, "the gateway is stopping"),
            Self::Fault(why) => write!(f, "a fault inside the gateway: {why}"),
        }
    }
}

impl End {
    /// What the client is told. `None` where it closed first, or is not there to be told.
    fn close_reason(&self) -> Option<CloseReason> {
        let code = match self {
            Self::Closed(_) | Self::Lost(_) => return None,
            Self::Disconnect => NORMAL,
            Self::Silent(_) | Self::WriteTimeout(_) | Self::PingedOut(_) => close::TIMEOUT,
            Self::TooLarge => close::TOO_LARGE,
            Self::Protocol { code, .. } => *code,
            Self::Stopping => close::GOING_AWAY,
            Self::Fault(_) => return Some(CloseReason::new(close::INTERNAL, "a fault inside the gateway")),
        };
        Some(CloseReason::new(code, self.to_string()))
    }

    fn of(error: WsError) -> Self {
        let protocol = |code, why: &dyn fmt::Display| Self::Protocol {
            code,
            why: why.to_string(),
        };
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::Closed(None),
            WsError::Io(e) => Self::Lost(e.to_string()),
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Lost("it ended without a Close frame".to_owned())
            }
            WsError::Capacity(_) => Self::TooLarge,
            WsError::Utf8(e) => protocol(close::INVALID_HANDSHAKE, &e),
            other => protocol(PROTOCOL, &other),
        }
    }
}

/// What a socket has to say.
#[derive(Debug)]
pub(super) enum Turn {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// All that was queued is written.
    Drained,
    /// The client is attended closely, and there is time to look whether it still has to be. If nothing was received
    /// from it for as long as was allowed, it is silent.
    Attended {
        is_silent: bool,
    },
    Ended(End),
}

/// Pings between the usual ones, while the client drives an output.
struct Attention {
    pings: Interval,
    silence_limit: Duration,
}

pub(super) struct Socket {
    ws: WebSocketStream<TcpStream>,
    queue: VecDeque<Utf8Bytes>,
    queued_bytes: usize,
    flush_due: bool,
    /// Runs while the client takes nothing.
    write_limit: Option<Pin<Box<Sleep>>>,
    pings: Interval,
    ping_due: bool,
    last_heard: Instant,
    attention: Option<Attention>,
    /// Two ping intervals; fires no earlier than that after anything was heard.
    silence: Pin<Box<Sleep>>,
    silence_limit: Duration,
}

impl Socket {
    pub(super) fn new(ws: WebSocketStream<TcpStream>, ping_interval: Duration) -> Self {
        let now = Instant::now();
        let mut pings = tokio::time::interval_at(now + ping_interval, ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence_limit = 2 * ping_interval;
        Self {
            ws,
            queue: VecDeque::new(),
            queued_bytes: 0,
            flush_due: false,
            write_limit: None,
            pings,
            ping_due: false,
            last_heard: now,
            attention: None,
            silence: Box::pin(sleep_until(now + silence_limit)),
            silence_limit,
        }
    }

    /// Pings the client more often from now on and reports a silence of `limit`, or does as usual again.
    pub(super) fn attend(&mut self, limit: Option<Duration>) {
        let Some(silence_limit) = limit else {
            self.attention = None;
            return;
        };
        if self.attention.is_none() {
            let pause = attentive_pings(silence_limit);
            let mut pings = tokio::time::interval_at(Instant::now() + pause, pause);
            pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
            self.attention = Some(Attention { pings, silence_limit });
        }
    }

    fn poll_attention(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Turn> {
        let Some(attention) = &mut self.attention else {
            return Poll::Pending;
        };
        std::task::ready!(attention.pings.poll_tick(cx));
        self.ping_due = true;
        // Rather a quarter of a pause early than three late. While nothing is read nothing can be received.
        let silent = self.last_heard.elapsed() + attention.pings.period() / 4;
        Poll::Ready(Turn::Attended {
            is_silent: read && silent >= attention.silence_limit,
        })
    }

    /// Queues a text. It is written while [`Socket::turn`] is polled.
    pub(super) fn push(&mut self, text: String) {
        self.queued_bytes += text.len();
        self.queue.push_back(text.into());
    }

    /// Whether the client keeps up, so that there is room for more.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < CLIENT_QUEUE && self.queued_bytes < CLIENT_MESSAGE_MAX_BYTES
    }

    /// Whether all is written.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.flush_due
    }

    /// Writes and pings; reads too where `read` says so. Cancel safe.
    pub(super) async fn turn(&mut self, read: bool) -> Turn {
        poll_fn(|cx| self.poll_turn(cx, read)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Turn> {
        let was_idle = self.is_idle();
        while self.pings.poll_tick(cx).is_ready() {
            self.ping_due = true;
        }
        if let Poll::Ready(end) = self.poll_write(cx) {
            return Poll::Ready(Turn::Ended(end));
        }
        if read && let Poll::Ready(turn) = self.poll_read(cx) {
            return Poll::Ready(turn);
        }
        if let Poll::Ready(turn) = self.poll_attention(cx, read) {
            return Poll::Ready(turn);
        }
        if self.silence.poll_unpin(cx).is_ready() {
            // While nothing is read nothing can be heard, and a client that takes nothing is found by its writes.
            if read && self.last_heard.elapsed() >= self.silence_limit {
                return Poll::Ready(Turn::Ended(End::Silent(self.silence_limit)));
            }
            if !read {
                self.last_heard = Instant::now();
            }
            self.silence.as_mut().reset(self.last_heard + self.silence_limit);
            cx.waker().wake_by_ref();
        }
        if !was_idle && self.is_idle() {
            return Poll::Ready(Turn::Drained);
        }
        Poll::Pending
    }

    /// Writes until the queue is empty or the socket is full. Ready when the client has to go.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.queue.is_empty() && !self.ping_due && !self.flush_due {
                self.write_limit = None;
                return Poll::Pending;
            }
            let mut ws = Pin::new(&mut self.ws);
            let progress = match ws.as_mut().poll_ready(cx) {
                Poll::Pending => false,
                Poll::Ready(Err(e)) => return Poll::Ready(End::of(e)),
                Poll::Ready(Ok(())) => {
                    let next = if std::mem::take(&mut self.ping_due) {
                        Some(Message::Ping(Bytes::new()))
                    } else {
                        self.queue.pop_front().map(|text| {
                            self.queued_bytes -= text.len();
                            Message::Text(text)
                        })
                    };
                    match next {
                        Some(message) => {
                            if let Err(e) = ws.start_send(message) {
                                return Poll::Ready(End::of(e));
                            }
                            self.flush_due = true;
                            true
                        }
                        None => match ws.poll_flush(cx) {
                            Poll::Pending => false,
                            Poll::Ready(Err(e)) => return Poll::Ready(End::of(e)),
                            Poll::Ready(Ok(())) => {
                                self.flush_due = false;
                                true
                            }
                        },
                    }
                }
            };
            if progress {
                self.write_limit = None;
                continue;
            }
            let limit = self
                .write_limit
                .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
            return limit.poll_unpin(cx).map(|()| End::WriteTimeout(WRITE_TIMEOUT));
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        for _ in 0..CONTROL_FRAMES_PER_POLL {
            let Poll::Ready(message) = Pin::new(&mut self.ws).poll_next(cx) else {
                return Poll::Pending;
            };
            self.last_heard = Instant::now();
            return Poll::Ready(match message {
                Some(Ok(Message::Text(text))) => Turn::Text(text),
                Some(Ok(Message::Binary(bytes))) => Turn::Binary(bytes),
                Some(Ok(Message::Close(frame))) => Turn::Ended(End::Closed(frame.map(|f| f.code.into()))),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(e)) => Turn::Ended(End::of(e)),
                None => Turn::Ended(End::Closed(None)),
            });
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends the connection: what is queued is still written, then the Close frame. Takes [`CLOSE_TIMEOUT`] at most.
    pub(super) async fn close(mut self, end: &End) {
        let Some(reason) = end.close_reason() else {
            // Answers the client's own Close.
            let _ = timeout(CLOSE_TIMEOUT, SinkExt::close(&mut self.ws)).await;
            return;
        };
        let frame = CloseFrame {
            code: CloseCode::from(reason.code),
            reason: reason.text().to_owned().into(),
        };
        let close = async {
            for text in std::mem::take(&mut self.queue) {
                self.ws.feed(Message::Text(text)).await?;
            }
            self.ws.send(Message::Close(Some(frame))).await?;
            let socket = self.ws.get_mut();
            socket.shutdown().await?;
            let mut chunk = [0; DRAIN_CHUNK_BYTES];
            while socket.read(&mut chunk).await? > 0 {}
            Ok::<(), WsError>(())
        };
        // Past the limit, or where it fails, the socket is dropped as it is: there is nobody left to tell.
        let _ = timeout(CLOSE_TIMEOUT, close).await;
    }
}
