//! A websocket as a link: binary is a frame, text is passed on as its bytes; ping, pong and close stay inside.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, error::ProtocolError};

use super::{Frame, FrameIo, LinkError};
use crate::device::close::CloseReason;

/// Control frames that one poll may swallow before it lets others run: a flood of pings must not hold the thread.
const CONTROL_FRAMES_PER_POLL: usize = 16;
/// What a peer may still be sending while we close: read and thrown away, so that the system does not answer
/// with a reset, which would destroy the Close frame before the peer has read it.
const DRAIN_CHUNK_BYTES: usize = 2048;

/// One websocket, either end of it, that pings and notices silence.
///
/// Pings go out while the stream is polled, under traffic too. Whatever arrives counts as life; when nothing did
/// for two intervals the stream ends with [`LinkError::Silent`].
pub struct WebSocketLink<S> {
    ws: WebSocketStream<S>,
    pings: Interval,
    /// A tick has come and its ping is not yet handed to the websocket.
    ping_due: bool,
    /// Something handed over still has to be written out.
    flush_due: bool,
    /// Something was heard since the last tick.
    heard: bool,
    /// A tick came with nothing heard: unless this very poll finds something to read, the peer is gone.
    overdue: bool,
    close_reason: Option<CloseReason>,
    closing: Closing,
}

enum Closing {
    Open,
    FrameQueued,
    Draining,
}

impl<S> WebSocketLink<S> {
    /// Takes over a websocket whose handshake is done. `ping_interval` counts from now.
    pub fn new(ws: WebSocketStream<S>, ping_interval: Duration) -> Self {
        let mut pings = tokio::time::interval_at(Instant::now() + ping_interval, ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ws,
            pings,
            ping_due: false,
            flush_due: false,
            heard: true,
            overdue: false,
            close_reason: None,
            closing: Closing::Open,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketLink<S> {
    fn poll_pings(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        if self.pings.poll_tick(cx).is_ready() {
            self.overdue = !self.heard;
            self.heard = false;
            self.ping_due = true;
            // The interval must be polled once more to be woken by its next tick.
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
                // Only after a look into the socket: what arrived while a write held us up still counts.
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
            this.heard = true;
            this.overdue = false;
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
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for WebSocketLink<S> {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Pin::new(&mut self.ws).poll_ready(cx).map_err(link_error)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        Pin::new(&mut self.ws)
            .start_send(Message::Binary(frame.0))
            .map_err(link_error)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(Pin::new(&mut self.ws).poll_flush(cx)).map_err(link_error)?;
        self.flush_due = false;
        Poll::Ready(Ok(()))
    }

    /// Sends the Close frame, then reads until the peer has closed too. The caller bounds the time.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = &mut *self;
        if matches!(this.closing, Closing::Open) {
            match Pin::new(&mut this.ws).poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                // The peer's own Close came first, or the socket is gone: nobody is left to tell.
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
                // `ConnectionClosed` says that both Close frames are through.
                Ok(()) | Err(WsError::ConnectionClosed) => {}
                Err(_) => return Poll::Ready(Ok(())),
            }
            this.closing = Closing::Draining;
        }
        let socket = this.ws.get_mut();
        // The peer sees our end of the stream after the Close frame; errors mean that it is gone already.
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
}

/// What a websocket's error means for a link.
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
        other => LinkError::Protocol(other.to_string()),
    }
}
