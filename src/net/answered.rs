//! A websocket that reads on only after it has answered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::defaults::WRITE_TIMEOUT;

/// A websocket whose peer cannot make it hold more than one pong.
///
/// The library answers each ping while it reads, and keeps an answer that the peer does not take: a peer that sends pings
/// and reads nothing would fill the memory. The library's own bound, `max_write_buffer_size`, would bound our messages too,
/// and they may have any size. So nothing is read until the pong of the last ping is written, and a peer that does not take
/// it within [`WRITE_TIMEOUT`] is gone.
pub struct Answered<S> {
    ws: WebSocketStream<S>,
    /// The last message was a ping, and its pong may not be written yet.
    pong_due: bool,
    /// Runs while the peer does not take the pong.
    limit: Option<Pin<Box<Sleep>>>,
}

impl<S> Answered<S> {
    /// Wraps a websocket.
    pub fn new(ws: WebSocketStream<S>) -> Self {
        Self {
            ws,
            pong_due: false,
            limit: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Answered<S> {
    /// The connection below.
    pub fn get_mut(&mut self) -> &mut S {
        self.ws.get_mut()
    }

    fn poll_pong(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        if !self.pong_due {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(written) = Pin::new(&mut self.ws).poll_flush(cx) {
            self.pong_due = false;
            self.limit = None;
            return Poll::Ready(written);
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(limit.as_mut().poll(cx));
        let why = format!("a pong was not taken within {} ms", WRITE_TIMEOUT.as_millis());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why).into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Answered<S> {
    type Item = Result<Message, WsError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(e) = ready!(self.poll_pong(cx)) {
            return Poll::Ready(Some(Err(e)));
        }
        let message = ready!(Pin::new(&mut self.ws).poll_next(cx));
        self.pong_due = matches!(message, Some(Ok(Message::Ping(_))));
        Poll::Ready(message)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Message> for Answered<S> {
    type Error = WsError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        Pin::new(&mut self.ws).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), WsError> {
        Pin::new(&mut self.ws).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        Pin::new(&mut self.ws).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        Pin::new(&mut self.ws).poll_close(cx)
    }
}
