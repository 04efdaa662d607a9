use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Context;

use futures::future::BoxFuture;
use futures::{FutureExt, Sink, Stream};

use super::*;
use crate::device::frame::Frame;
use crate::device::handshake::{Address, Handshake, Identifier};
use crate::device::language::{Actuators, of_protocol};
use crate::device::peer::Peer;
use crate::session::registry::Registry;

/// A socket whose peer neither reads nor sends nor closes.
struct Hanging;

impl Stream for Hanging {
    type Item = Result<Frame, LinkError>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

impl Sink<Frame> for Hanging {
    type Error = LinkError;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Pending
    }
    fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), LinkError> {
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Pending
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Pending
    }
}

impl FrameIo for Hanging {}

/// A device that takes everything and says nothing.
struct Taking(Arc<Mutex<Vec<Frame>>>);

impl Stream for Taking {
    type Item = Result<Frame, LinkError>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

impl Sink<Frame> for Taking {
    type Error = LinkError;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        self.0.lock().unwrap().push(frame);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
}

impl FrameIo for Taking {}

/// Upstream with these commands.
struct Commands(Box<dyn FnMut() -> Poll<&'static str> + Send>);

impl Commands {
    /// Never without one.
    fn always(command: &'static str) -> Self {
        Self(Box::new(move || Poll::Ready(command)))
    }

    fn one(command: &'static str) -> Self {
        let mut left = Some(command);
        Self(Box::new(move || left.take().map_or(Poll::Pending, Poll::Ready)))
    }

    fn one_and_a_panic(command: &'static str) -> Self {
        let mut left = Some(command);
        Self(Box::new(move || {
            Poll::Ready(left.take().expect("this is meant to panic"))
        }))
    }
}

impl Stream for Commands {
    type Item = Result<FromUpstream, UpstreamError>;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        (self.0)().map(|command| {
            let frame = Frame::from(command.as_bytes());
            Some(Ok(FromUpstream::Frame(frame.into())))
        })
    }
}

impl Sink<Frame> for Commands {
    type Error = UpstreamError;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), UpstreamError> {
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }
}

impl UpstreamIo for Commands {
    fn release(self: Box<Self>, _: bool) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

async fn admit(registry: &Arc<Registry>) -> Entry {
    let handshake = Handshake::new(
        Identifier::new("LVSDevice").unwrap(),
        Address::new("one").unwrap(),
    );
    let peer = Peer::Websocket("127.0.0.1:1".parse().unwrap());
    let mut entry = registry.admit(handshake, peer).await.unwrap();
    entry.actuators = Actuators::new(of_protocol("lovense"), None);
    entry
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_wait_for_a_socket_that_hangs_in_a_write() {
    let registry = Arc::new(Registry::default());
    let entry = admit(&registry).await;
    let upstream = Box::new(Commands::always("Vibrate:1;"));
    let session = Session::new(entry, Box::new(Hanging), None, Known::default(), upstream);
    tokio::spawn(session.run());
    // It is in the middle of its first write.
    tokio::task::yield_now().await;
    let waited = tokio::time::Instant::now();
    let newcomer = admit(&registry).await;
    assert!(
        waited.elapsed() < crate::defaults::WRITE_TIMEOUT / 2,
        "{:?} of virtual time",
        waited.elapsed()
    );
    assert!(
        newcomer.pending_stop().is_some(),
        "the old one may still be running"
    );
}

#[tokio::test(start_paused = true)]
async fn the_device_of_a_session_that_panics_is_stopped_when_it_comes_back() {
    let registry = Arc::new(Registry::default());
    let session = async |upstream| {
        let written = Arc::<Mutex<Vec<Frame>>>::default();
        let link = Box::new(Taking(written.clone()));
        let entry = admit(&registry).await;
        let handle = entry.handle().clone();
        let session = Session::new(entry, link, None, Known::default(), Box::new(upstream));
        (tokio::spawn(session.run()), handle, written)
    };
    let text = |written: &Mutex<Vec<Frame>>| {
        let written = written.lock().unwrap();
        let text = |frame: &Frame| String::from_utf8(frame.0.to_vec()).unwrap();
        written.iter().map(text).collect::<Vec<_>>()
    };
    let (panics, _, written) = session(Commands::one_and_a_panic("Air:Level:3;")).await;
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(text(&written), ["Air:Level:3;"]);
    assert!(registry.sessions().is_empty(), "its address is free");

    let (running, handle, written) = session(Commands::one("Vibrate:5;")).await;
    let both = async {
        while written.lock().unwrap().len() < 2 {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    };
    timeout(STOP_ANSWER_TIMEOUT * 2, both).await.unwrap();
    assert_eq!(text(&written), ["Air:Level:0;", "Vibrate:5;"]);
    handle.end(Disconnect::Stopping);
    running.await.unwrap();
    assert_eq!(text(&written), ["Air:Level:0;", "Vibrate:5;", "Vibrate:0;"]);
    // It was stopped.
    assert_eq!(admit(&registry).await.pending_stop(), None);
}
