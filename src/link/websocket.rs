//! A websocket as a link. Binary and text messages are frames; ping, pong and close are handled here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes, error::ProtocolError};

use super::{Frame, FrameIo, LinkError, RoundTrip};
use crate::defaults::{PROBE_PAUSE, PROBE_TIMEOUT, PROBE_TIMEOUT_MIN, WRITE_TIMEOUT, attentive_pings};
use crate::device::close::CloseReason;
use crate::net::websocket::violation;

/// Control frames that one poll handles before it yields, so that a flood of pings cannot hold the thread.
const CONTROL_FRAMES_PER_POLL: usize = 16;
/// The size of one read while closing. Data that the peer still sends is read and discarded: otherwise the system
/// would send a reset, which would destroy the Close frame before the peer has read it.
const DRAIN_CHUNK_BYTES: usize = 2048;

/// One end of a websocket, with pings and a liveness check.
///
/// Pings are sent while the stream is polled, under traffic too. Any message counts as a sign of life; after two
/// intervals without one, the stream ends with [`LinkError::Silent`].
pub struct WebSocketLink<S> {
    ws: WebSocketStream<S>,
    pings: Interval,
    /// A tick has come and its ping is not yet handed to the websocket.
    ping_due: bool,
    /// The websocket holds data that is not yet written.
    flush_due: bool,
    /// Whether anything was received since the last tick.
    received: bool,
    /// A tick came with nothing received: unless this poll still reads something, the peer is gone.
    overdue: bool,
    last_received: Instant,
    attention: Option<Attention>,
    probes: Option<Probes>,
    /// When the last ping that is no probe was sent, until it is answered.
    ping_sent: Option<Instant>,
    round_trip: Arc<RoundTrip>,
    /// Whether to send frames that are text as text messages.
    as_text: bool,
    /// Runs while the socket accepts nothing.
    refused: Option<Pin<Box<Sleep>>>,
    close_reason: Option<CloseReason>,
    closing: Closing,
}

/// More frequent pings, with a shorter limit on silence.
struct Attention {
    pings: Interval,
    limit: Duration,
    over: Pin<Box<Sleep>>,
}

/// Pings between the frames, whose pongs prove that the peer received the frames before them.
#[derive(Default)]
struct Probes {
    sent: u16,
    /// The unanswered probe, and when it was sent.
    unanswered: Option<(u16, Instant)>,
    last: Option<Instant>,
    /// Whether the peer answers pings. Until it has, an unanswered one means nothing.
    answers: bool,
    /// The round trip of the slowest recent pong.
    round_trip: Option<Duration>,
    waker: Option<Waker>,
}

impl Probes {
    /// Returns the payload of a probe, if one is due.
    fn next(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        let pause = self.last.is_none_or(|last| now - last >= PROBE_PAUSE);
        (self.unanswered.is_none() && pause).then(|| {
            self.sent = self.sent.wrapping_add(1);
            self.last = Some(now);
            self.unanswered = Some((self.sent, now));
            Bytes::copy_from_slice(&self.sent.to_be_bytes())
        })
    }

    /// Handles a pong. Pongs come in order, so an older one does not prove the newer probe; some peers reply without
    /// the payload.
    fn answered(&mut self, payload: &[u8]) {
        let is_older = <[u8; 2]>::try_from(payload).is_ok_and(|number| {
            self.unanswered
                .is_some_and(|(waits, _)| u16::from_be_bytes(number) != waits)
        });
        if is_older {
            return;
        }
        self.answers = true;
        if let Some((_, since)) = self.unanswered.take() {
            let took = since.elapsed().min(PROBE_TIMEOUT);
            // Fades after some faster pongs: a board in power save is slow now and then.
            let faded = self.round_trip.map_or(took, |slowest| slowest * 7 / 8);
            self.round_trip = Some(took.max(faded));
        }
        self.wake();
    }

    /// Stops relying on pongs: the peer is alive, but may never answer this probe.
    fn give_up(&mut self) {
        self.answers = false;
        self.unanswered = None;
        self.wake();
    }

    fn is_through(&self) -> bool {
        !self.answers || (self.unanswered).is_none_or(|(_, since)| since.elapsed() < self.patience())
    }

    /// How long a probe may stay unanswered. On a fast line, little should be in flight that a stall could make
    /// stale.
    fn patience(&self) -> Duration {
        let usual = self.round_trip.unwrap_or(PROBE_TIMEOUT);
        (4 * usual + PROBE_TIMEOUT_MIN).min(PROBE_TIMEOUT)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

enum Closing {
    Open,
    FrameQueued,
    Draining,
}

impl<S> WebSocketLink<S> {
    /// Wraps a websocket whose handshake is done. `ping_interval` counts from now.
    pub fn new(ws: WebSocketStream<S>, ping_interval: Duration) -> Self {
        let mut pings = tokio::time::interval_at(Instant::now() + ping_interval, ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ws,
            pings,
            ping_due: false,
            flush_due: false,
            received: true,
            overdue: false,
            last_received: Instant::now(),
            attention: None,
            probes: None,
            ping_sent: None,
            round_trip: Arc::default(),
            as_text: false,
            refused: None,
            close_reason: None,
            closing: Closing::Open,
        }
    }

    /// Enables probes: pings that prove what the peer has received, see [`FrameIo::poll_through`].
    #[must_use]
    pub fn with_probes(mut self) -> Self {
        self.probes = Some(Probes::default());
        self
    }

    /// Sends frames as text messages, for boards that do not accept binary ones. A frame that is not UTF-8 stays binary.
    #[must_use]
    pub fn with_text(mut self, as_text: bool) -> Self {
        self.as_text = as_text;
        self
    }

    /// Pings the peer often enough to detect a silence of this length, or as usual if `None`. Has no effect if that
    /// is already so.
    pub fn attend(&mut self, silence: Option<Duration>) {
        let Some(silence) = silence else {
            self.attention = None;
            return;
        };
        if self.attention.is_none() {
            let pause = attentive_pings(silence);
            let mut pings = tokio::time::interval_at(Instant::now() + pause, pause);
            pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
            self.attention = Some(Attention {
                pings,
                limit: silence,
                over: Box::pin(sleep_until(Instant::now() + silence)),
            });
        }
    }

    /// Ready if the silence that [`Self::attend`] watches for has occurred. Pending registers the waker.
    pub fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(attention) = &mut self.attention else {
            return Poll::Pending;
        };
        // Its pings wake the task from now on: otherwise a quiet peer would look silent.
        if attention.pings.poll_tick(cx).is_ready() {
            self.ping_due = true;
            cx.waker().wake_by_ref();
        }
        let until = self.last_received + attention.limit;
        if attention.over.deadline() != until {
            attention.over.as_mut().reset(until);
        }
        attention.over.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketLink<S> {
    fn poll_pings(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        if self.pings.poll_tick(cx).is_ready() {
            self.overdue = !self.received;
            if self.received
                && let Some(probes) = &mut self.probes
                && (probes.unanswered).is_some_and(|(_, since)| since.elapsed() > self.pings.period())
            {
                probes.give_up();
            }
            self.received = false;
            self.ping_due = true;
            // The interval must be polled again to wake the task on its next tick.
            cx.waker().wake_by_ref();
        }
        if let Some(attention) = &mut self.attention
            && attention.pings.poll_tick(cx).is_ready()
        {
            self.ping_due = true;
            cx.waker().wake_by_ref();
        }
        if self.ping_due
            && Pin::new(&mut self.ws)
                .poll_ready(cx)
                .map_err(link_error)?
                .is_ready()
        {
            Pin::new(&mut self.ws)
                .start_send(Message::Ping(Bytes::new()))
                .map_err(link_error)?;
            self.ping_due = false;
            self.ping_sent = Some(Instant::now());
            self.flush_due = true;
        }
        if self.flush_due
            && Pin::new(&mut self.ws)
                .poll_flush(cx)
                .map_err(link_error)?
                .is_ready()
        {
            self.flush_due = false;
        }
        Ok(())
    }

    /// Limits how long the socket may accept nothing.
    fn bounded(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<Result<(), WsError>>,
    ) -> Poll<Result<(), LinkError>> {
        if polled.is_ready() {
            self.refused = None;
            return polled.map_err(link_error);
        }
        let refused = self
            .refused
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        ready!(refused.as_mut().poll(cx));
        Poll::Ready(Err(LinkError::NotTaken(WRITE_TIMEOUT)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocketLink<S> {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Err(e) = this.poll_pings(cx) {
            return Poll::Ready(Some(Err(e)));
        }
        for _ in 0..CONTROL_FRAMES_PER_POLL {
            let message = match Pin::new(&mut this.ws).poll_next(cx) {
                // The socket was read first: messages that arrived during a long write still count.
                Poll::Pending if this.overdue => {
                    return Poll::Ready(Some(Err(LinkError::Silent(2 * this.pings.period()))));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed))) => {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(link_error(e)))),
                Poll::Ready(Some(Ok(message))) => message,
            };
            this.received = true;
            this.overdue = false;
            this.last_received = Instant::now();
            match message {
                Message::Binary(bytes) => return Poll::Ready(Some(Ok(Frame(bytes)))),
                Message::Text(text) => return Poll::Ready(Some(Ok(Frame(text.into())))),
                Message::Close(frame) => {
                    let (code, reason) = match frame {
                        Some(f) => (Some(f.code.into()), f.reason.to_string()),
                        None => (None, String::new()),
                    };
                    return Poll::Ready(Some(Err(LinkError::Closed { code, reason })));
                }
                Message::Pong(payload) => {
                    if payload.is_empty()
                        && let Some(sent) = this.ping_sent.take()
                    {
                        this.round_trip.record(sent.elapsed());
                    }
                    if let Some(probes) = &mut this.probes {
                        probes.answered(&payload);
                    }
                }
                Message::Ping(_) | Message::Frame(_) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for WebSocketLink<S> {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let ready = Pin::new(&mut self.ws).poll_ready(cx);
        self.bounded(cx, ready)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        let probe = self.probes.as_mut().and_then(Probes::next);
        let text = self.as_text.then(|| Utf8Bytes::try_from(frame.0.clone()).ok());
        let message = text
            .flatten()
            .map_or_else(|| Message::Binary(frame.0), Message::Text);
        let messages = [Some(message), probe.map(Message::Ping)];
        for message in messages.into_iter().flatten() {
            Pin::new(&mut self.ws).start_send(message).map_err(link_error)?;
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let flushed = Pin::new(&mut self.ws).poll_flush(cx);
        ready!(self.bounded(cx, flushed))?;
        self.flush_due = false;
        Poll::Ready(Ok(()))
    }

    /// Sends the Close frame, then reads until the peer has closed too. The caller sets the timeout.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = &mut *self;
        if matches!(this.closing, Closing::Open) {
            match Pin::new(&mut this.ws).poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                // The peer's own Close came first, or the socket is broken: no Close frame can be sent.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            let frame = this.close_reason.take().map(|r| CloseFrame {
                code: CloseCode::from(r.code),
                reason: r.text().to_owned().into(),
            });
            if Pin::new(&mut this.ws).start_send(Message::Close(frame)).is_err() {
                return Poll::Ready(Ok(()));
            }
            this.closing = Closing::FrameQueued;
        }
        if matches!(this.closing, Closing::FrameQueued) {
            match ready!(Pin::new(&mut this.ws).poll_flush(cx)) {
                // `ConnectionClosed` means that both Close frames were exchanged.
                Ok(()) | Err(WsError::ConnectionClosed) => {}
                Err(_) => return Poll::Ready(Ok(())),
            }
            this.closing = Closing::Draining;
        }
        let socket = this.ws.get_mut();
        // The peer sees the end of our stream after the Close frame. An error means that it has already left.
        let _ = ready!(Pin::new(&mut *socket).poll_shutdown(cx));
        let mut chunk = [0u8; DRAIN_CHUNK_BYTES];
        loop {
            let mut buf = ReadBuf::new(&mut chunk);
            match ready!(Pin::new(&mut *socket).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> FrameIo for WebSocketLink<S> {
    fn set_close_reason(&mut self, reason: CloseReason) {
        self.close_reason = Some(reason);
    }

    fn poll_through(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.probes {
            Some(probes) if !probes.is_through() => {
                probes.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    fn set_round_trip(&mut self, round_trip: Arc<RoundTrip>) {
        self.round_trip = round_trip;
    }
}

/// Maps a websocket error to a link error.
fn link_error(error: WsError) -> LinkError {
    match error {
        WsError::Io(e) => LinkError::Lost(e),
        WsError::ConnectionClosed | WsError::AlreadyClosed => LinkError::Closed {
            code: None,
            reason: String::new(),
        },
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => LinkError::Lost(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it ended without a Close frame",
        )),
        WsError::Capacity(e) => LinkError::TooLarge(e.to_string()),
        WsError::Utf8(e) => LinkError::NotUtf8(e),
        other => LinkError::Protocol(violation(&other)),
    }
}

#[cfg(test)]
mod tests {
    use futures::SinkExt;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::net::websocket::device_config;

    /// A socket that keeps what is written to it, each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncRead for Writes {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(buf.to_vec());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_frame_and_the_ping_that_travels_with_it_are_one_write() {
        let ws =
            WebSocketStream::from_raw_socket(Writes::default(), Role::Server, Some(device_config())).await;
        let mut link = WebSocketLink::new(ws, Duration::from_secs(1)).with_probes();
        link.send(Frame::from(&b"Vibrate:5;"[..])).await.unwrap();
        link.send(Frame::from(&b"Vibrate:6;"[..])).await.unwrap();
        let written = &link.ws.get_ref().0;
        let frames = [
            b"\x82\x0aVibrate:5;\x89\x02\x00\x01".to_vec(),
            b"\x82\x0aVibrate:6;".to_vec(),
        ];
        assert_eq!(*written, frames);
    }

    /// Sends a probe that is answered after this long.
    async fn round_trip(probes: &mut Probes, takes: Duration) {
        tokio::time::advance(PROBE_PAUSE).await;
        let probe = probes.next().unwrap();
        tokio::time::advance(takes).await;
        probes.answered(&probe);
    }

    #[tokio::test(start_paused = true)]
    async fn the_faster_a_peer_answers_the_sooner_motion_waits_for_it() {
        let mut probes = Probes::default();
        assert_eq!(probes.patience(), PROBE_TIMEOUT, "nothing is known of it");
        round_trip(&mut probes, Duration::from_millis(2)).await;
        let fast = PROBE_TIMEOUT_MIN + Duration::from_millis(8);
        assert_eq!(probes.patience(), fast);
        // One slow pong, as from a board in power save, and one after a stall.
        round_trip(&mut probes, Duration::from_secs(2)).await;
        assert_eq!(probes.patience(), PROBE_TIMEOUT);
        for _ in 0..40 {
            round_trip(&mut probes, Duration::from_millis(2)).await;
        }
        assert_eq!(probes.patience(), fast);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pong_of_an_older_probe_proves_nothing_of_a_newer_one() {
        let mut probes = Probes::default();
        round_trip(&mut probes, Duration::ZERO).await;
        tokio::time::advance(PROBE_PAUSE).await;
        let older = probes.next().unwrap();
        assert!(probes.next().is_none(), "one at a time");
        probes.give_up();
        tokio::time::advance(PROBE_PAUSE).await;
        let newer = probes.next().unwrap();
        tokio::time::advance(PROBE_TIMEOUT).await;
        assert!(probes.is_through(), "it does not answer any more");
        probes.answered(&older);
        assert!(probes.unanswered.is_some());
        probes.answered(&newer);
        assert!(probes.is_through() && probes.answers);
        tokio::time::advance(PROBE_PAUSE).await;
        let _ = probes.next();
        tokio::time::advance(PROBE_TIMEOUT).await;
        assert!(!probes.is_through());
    }

    /// A client's end that answers pings and sends nothing else is no reason to stop; one that is frozen is.
    #[tokio::test(start_paused = true)]
    async fn a_quiet_peer_that_answers_pings_is_not_silent_and_a_frozen_one_is() {
        for answers in [true, false] {
            let (near, far) = tokio::io::duplex(1024);
            let ws = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
            let mut far = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
            let peer = tokio::spawn(async move {
                if answers {
                    while futures::StreamExt::next(&mut far).await.is_some() {}
                }
                std::future::pending::<()>().await;
            });
            // Nothing but these pings wakes the task: the usual ones are far apart.
            let mut link = WebSocketLink::new(ws, Duration::from_secs(3_600));
            let silent = std::future::poll_fn(|cx| {
                assert!(Pin::new(&mut link).poll_next(cx).is_pending());
                link.attend(Some(Duration::from_millis(1_500)));
                link.poll_silence(cx)
            });
            let silent = tokio::time::timeout(Duration::from_secs(20), silent).await;
            assert_eq!(silent.is_ok(), !answers);
            peer.abort();
        }
    }
}
