//! A client's websocket: text messages in both directions, and pings that detect a dead client.
//!
//! Writing never blocks reading: messages that the client is slow to take wait in a queue, which the session bounds. The
//! exception are answers to its pings, which have to be written first.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Sink, SinkExt, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_util::either::Either;

use crate::advice::Advice;
use crate::defaults::{
    CLIENT_MESSAGE_MAX_BYTES, CLIENT_QUEUE, CLIENT_READ_BUFFER_BYTES, CLOSE_TIMEOUT, WRITE_TIMEOUT,
    attentive_pings,
};
use crate::device::close::{self, CloseReason};
use crate::device::violation::Violation;
use crate::net::answered::Answered;
use crate::net::visitor::Place;
use crate::net::websocket::violation;
use crate::session::life::Life;

/// Control frames that one poll may consume before it yields to other tasks.
const CONTROL_FRAMES_PER_POLL: usize = 16;
/// RFC 6455: normal closure.
const NORMAL: u16 = 1000;
/// While closing, incoming data is read in chunks of this size and discarded. Unread data would make the system reset
/// the connection, and the client might lose the Close frame.
const DRAIN_CHUNK_BYTES: usize = 4096;

/// The settings for a client's websocket. Writes are not buffered.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(CLIENT_READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(CLIENT_MESSAGE_MAX_BYTES))
        .max_frame_size(Some(CLIENT_MESSAGE_MAX_BYTES))
}

/// Why a client's connection ended or has to end.
#[derive(Debug)]
pub(super) enum End {
    /// The client sent a Close frame.
    Closed(Option<u16>),
    /// The client sent `Disconnect`.
    Disconnect,
    /// The connection broke.
    Lost(String),
    /// Nothing was received for this long.
    Silent(Duration),
    /// A write did not complete within this time.
    WriteTimeout(Duration),
    /// No `RequestServerInfo` was received within this time.
    NoHandshake(Duration),
    /// No Buttplug `Ping` was received for this long.
    PingedOut(Duration),
    /// A message over the limit.
    TooLarge,
    /// The client violated the websocket protocol.
    Protocol(Violation),
    /// A text message is not UTF-8.
    NotUtf8(String),
    /// A device, which belongs on the other port.
    Device(Place),
    /// The gateway is stopping.
    Stopping,
    /// Its user sent it away, on the page or by the command line.
    SentAway,
    /// A fault inside the gateway.
    Fault(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(None) => write!(f, "it closed the connection"),
            Self::Closed(Some(code)) => write!(f, "it closed the connection (code {code})"),
            Self::Disconnect => write!(f, "it sent Disconnect"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::Silent(limit) => write!(f, "nothing received for {} ms", limit.as_millis()),
            Self::WriteTimeout(limit) => {
                write!(f, "a write was not taken within {} ms", limit.as_millis())
            }
            Self::NoHandshake(limit) => {
                write!(f, "no RequestServerInfo within {} ms", limit.as_millis())
            }
            Self::PingedOut(limit) => write!(f, "no Ping within {} ms", limit.as_millis()),
            Self::TooLarge => write!(f, "a message over {CLIENT_MESSAGE_MAX_BYTES} bytes"),
            Self::Protocol(violation) => write!(f, "protocol error: {violation}"),
            Self::NotUtf8(why) => write!(f, "protocol error: {why}"),
            Self::Device(place) => write!(f, "it sent a device's handshake, and {place}"),
            Self::Stopping => write!(f, "the gateway is stopping"),
            Self::SentAway => write!(f, "the gateway's user disconnected it"),
            Self::Fault(why) => write!(f, "a fault inside the gateway: {why}"),
        }
    }
}

impl std::error::Error for End {}

impl Advice for End {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Protocol(violation) => violation.hint(),
            Self::Device(_) => Some("correct the port in the board's sketch".into()),
            _ => None,
        }
    }
}

impl End {
    /// The reason for the Close frame. `None` if the client closed first or the connection is lost.
    fn close_reason(&self) -> Option<CloseReason> {
        let code = match self {
            Self::Closed(_) | Self::Lost(_) => return None,
            Self::Disconnect => NORMAL,
            Self::Silent(_) | Self::WriteTimeout(_) | Self::NoHandshake(_) | Self::PingedOut(_) => {
                close::TIMEOUT
            }
            Self::TooLarge => close::TOO_LARGE,
            Self::Protocol(_) => close::PROTOCOL_ERROR,
            Self::NotUtf8(_) => close::INVALID_HANDSHAKE,
            // Only what the board does not know: a Close frame has little room.
            Self::Device(place) => {
                return Some(CloseReason::new(close::INVALID_HANDSHAKE, place.to_string()));
            }
            Self::Stopping | Self::SentAway => close::GOING_AWAY,
            Self::Fault(_) => return Some(CloseReason::new(close::INTERNAL, "a fault inside the gateway")),
        };
        Some(CloseReason::new(code, self.to_string()))
    }

    fn of(error: WsError) -> Self {
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::Closed(None),
            WsError::Io(e) => Self::Lost(e.to_string()),
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Lost("it ended without a Close frame".to_owned())
            }
            WsError::Capacity(_) => Self::TooLarge,
            WsError::Utf8(e) => Self::NotUtf8(e),
            other => Self::Protocol(violation(&other)),
        }
    }
}

/// What happened on a socket.
#[derive(Debug)]
pub(super) enum SocketEvent {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// The write queue has been written.
    Drained,
    /// Reported at each fast ping while liveness is watched. The client is silent if nothing was received for the
    /// limit given to [`Socket::watch_liveness`].
    LivenessCheck {
        is_silent: bool,
    },
    Ended(End),
}

/// Fast pings while the client has an output on.
struct Liveness {
    pings: Interval,
    silence_limit: Duration,
}

/// The bytes under an app's websocket: its own connection, or one that came through the gateway's page.
pub type AppStream = Either<TcpStream, Box<dyn Duplex>>;

/// A stream of bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

pub(super) struct Socket {
    ws: Answered<AppStream>,
    local: SocketAddr,
    queue: VecDeque<Utf8Bytes>,
    queued_bytes: usize,
    flush_due: bool,
    /// Runs while a write makes no progress.
    write_limit: Option<Pin<Box<Sleep>>>,
    pings: Interval,
    ping_due: bool,
    last_received: Instant,
    liveness: Option<Liveness>,
    /// Shows more than that the peer's websocket is answered.
    life: Option<Arc<Life>>,
    /// Fires two ping intervals after the last data, or later.
    silence: Pin<Box<Sleep>>,
    silence_limit: Duration,
}

impl Socket {
    /// `local` is the address that the client connected to.
    pub(super) fn new(ws: WebSocketStream<AppStream>, local: SocketAddr, ping_interval: Duration) -> Self {
        let now = Instant::now();
        let mut pings = tokio::time::interval_at(now + ping_interval, ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silence_limit = 2 * ping_interval;
        Self {
            ws: Answered::new(ws),
            local,
            queue: VecDeque::new(),
            queued_bytes: 0,
            flush_due: false,
            write_limit: None,
            pings,
            ping_due: false,
            last_received: now,
            liveness: None,
            life: None,
            silence: Box::pin(sleep_until(now + silence_limit)),
            silence_limit,
        }
    }

    /// Has the client show signs of life here too while its liveness is watched.
    pub(super) fn with_life(mut self, life: Option<Arc<Life>>) -> Self {
        self.life = life;
        self
    }

    /// Pings the client more often and reports a silence of `limit`. `None` returns to the usual pings.
    pub(super) fn watch_liveness(&mut self, limit: Option<Duration>) {
        let Some(silence_limit) = limit else {
            self.liveness = None;
            return;
        };
        if self.liveness.is_none() {
            let pause = attentive_pings(silence_limit);
            let mut pings = tokio::time::interval_at(Instant::now() + pause, pause);
            pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
            self.liveness = Some(Liveness { pings, silence_limit });
        }
    }

    fn poll_liveness(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<SocketEvent> {
        let Some(liveness) = &mut self.liveness else {
            return Poll::Pending;
        };
        std::task::ready!(liveness.pings.poll_tick(cx));
        self.ping_due = true;
        let mut silent = self.last_received.elapsed();
        if let Some(life) = &self.life {
            life.ask();
            silent = silent.max(life.silence());
        }
        // Report a quarter of an interval early rather than three late. A socket that is not read cannot be silent.
        silent += liveness.pings.period() / 4;
        Poll::Ready(SocketEvent::LivenessCheck {
            is_silent: read && silent >= liveness.silence_limit,
        })
    }

    /// The address that the client connected to.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Queues a text. It is written while [`Socket::next_event`] is polled.
    pub(super) fn push(&mut self, text: String) {
        self.queued_bytes += text.len();
        self.queue.push_back(text.into());
    }

    /// Whether the write queue has room for more.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < CLIENT_QUEUE && self.queued_bytes < CLIENT_MESSAGE_MAX_BYTES
    }

    /// Whether everything has been written.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.flush_due
    }

    /// Writes and pings; reads too if `read` is set. Cancel safe.
    pub(super) async fn next_event(&mut self, read: bool) -> SocketEvent {
        poll_fn(|cx| self.poll_event(cx, read)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<SocketEvent> {
        let was_idle = self.is_idle();
        while self.pings.poll_tick(cx).is_ready() {
            self.ping_due = true;
        }
        if let Poll::Ready(end) = self.poll_write(cx) {
            return Poll::Ready(SocketEvent::Ended(end));
        }
        if read && let Poll::Ready(turn) = self.poll_read(cx) {
            return Poll::Ready(turn);
        }
        if let Poll::Ready(turn) = self.poll_liveness(cx, read) {
            return Poll::Ready(turn);
        }
        if self.silence.poll_unpin(cx).is_ready() {
            // Only a socket that is read can be silent; a client that stops reading is detected by its writes.
            if read && self.last_received.elapsed() >= self.silence_limit {
                return Poll::Ready(SocketEvent::Ended(End::Silent(self.silence_limit)));
            }
            if !read {
                self.last_received = Instant::now();
            }
            self.silence
                .as_mut()
                .reset(self.last_received + self.silence_limit);
            cx.waker().wake_by_ref();
        }
        if !was_idle && self.is_idle() {
            return Poll::Ready(SocketEvent::Drained);
        }
        Poll::Pending
    }

    /// Writes until the queue is empty or the socket is full. Ready if the connection has to end.
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

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        for _ in 0..CONTROL_FRAMES_PER_POLL {
            let Poll::Ready(message) = Pin::new(&mut self.ws).poll_next(cx) else {
                return Poll::Pending;
            };
            self.last_received = Instant::now();
            if let (Some(life), Some(Ok(Message::Text(_) | Message::Binary(_)))) = (&self.life, &message) {
                life.sign();
            }
            return Poll::Ready(match message {
                Some(Ok(Message::Text(text))) => SocketEvent::Text(text),
                Some(Ok(Message::Binary(bytes))) => SocketEvent::Binary(bytes),
                Some(Ok(Message::Close(frame))) => {
                    SocketEvent::Ended(End::Closed(frame.map(|f| f.code.into())))
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(e)) => SocketEvent::Ended(End::of(e)),
                None => SocketEvent::Ended(End::Closed(None)),
            });
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the queued messages and the Close frame. Takes at most [`CLOSE_TIMEOUT`].
    pub(super) async fn close(mut self, end: &End) {
        let Some(reason) = end.close_reason() else {
            // Answers the client's own Close frame.
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
        // On a timeout or an error the socket is dropped: the client cannot be reached.
        let _ = timeout(CLOSE_TIMEOUT, close).await;
    }
}
