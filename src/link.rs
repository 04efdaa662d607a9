//! A link: a duplex pipe of whole frames. Transports bytes, and knows nothing of Buttplug.

pub mod ble;
pub mod datagram;
pub mod framing;
pub mod messages;
pub mod outbox;
pub mod question;
pub mod serial;
pub mod stream;
pub mod websocket;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};

use crate::device::close::CloseReason;
use crate::device::frame::Frame;
use crate::device::hello::Hello;
use crate::device::language::Language;
use crate::device::violation::Violation;

/// A duplex pipe of whole frames.
///
/// A link that holds back a frame registers the waker of that poll.
///
/// Both directions are cancel safe: a dropped `next()` loses nothing, and a dropped `send()` has passed on its whole
/// frame or nothing of it.
pub trait FrameIo:
    Stream<Item = Result<Frame, LinkError>> + Sink<Frame, Error = LinkError> + Send + Unpin
{
    /// Sets the reason that the far end receives when the sink is closed, on links that can carry one.
    fn set_close_reason(&mut self, _reason: CloseReason) {}

    /// Pending if proof that the far end received earlier frames is overdue; registers the waker. A finished write
    /// proves nothing, because socket buffers hide kilobytes.
    fn poll_through(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The device is to be stopped: the frames that stop it follow. For links whose far end can stop it by itself.
    fn stop(&mut self) {}

    /// Takes the last hello line that arrived between frames, on links that can carry one.
    fn take_hello(&mut self) -> Option<Hello> {
        None
    }

    /// Sets the language of the frames, once it is known, on links that need it for stops or questions. A board with a
    /// watchdog is asked no questions, since they would feed it.
    fn set_language(&mut self, _language: Option<&'static dyn Language>, _has_watchdog: bool) {}

    /// Sets where to record the round trip of pings, on links that have them.
    fn set_round_trip(&mut self, _round_trip: Arc<RoundTrip>) {}
}

/// The newest measured round trip of a link's pings, for display.
#[derive(Debug, Default)]
pub struct RoundTrip(AtomicU32);

impl RoundTrip {
    /// Records one. More than an hour is recorded as an hour.
    pub(crate) fn record(&self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        self.0.store(micros, Ordering::Relaxed);
    }

    /// `None` until a ping was answered.
    pub fn get(&self) -> Option<Duration> {
        let micros = self.0.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }
}

/// Why a link, or an upstream half, ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The far end closed the link in an orderly way.
    #[error("closed by the far end{}", closed_text(.code, .reason))]
    Closed {
        /// The websocket close code, if there was one.
        code: Option<u16>,
        /// The close reason, empty if there was none.
        reason: String,
    },
    /// The connection broke: a reset, a cable, a protocol violation.
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    /// Nothing was received for two ping intervals.
    #[error("nothing received for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The far end accepted no data for this long.
    #[error("a write was not taken within {} ms", .0.as_millis())]
    NotTaken(Duration),
    /// A message exceeds the frame limit.
    #[error("message too large: {0}")]
    TooLarge(String),
    /// A text message is not UTF-8.
    #[error("text message is not UTF-8: {0}")]
    NotUtf8(String),
    /// The far end violated the websocket protocol.
    #[error("protocol error: {0}")]
    Protocol(Violation),
}

impl LinkError {
    /// A close by the far end without a reason.
    pub fn closed() -> Self {
        Self::Closed {
            code: None,
            reason: String::new(),
        }
    }
}

fn closed_text(code: &Option<u16>, reason: &str) -> String {
    match (code, reason) {
        (None, _) => String::new(),
        (Some(code), "") => format!(" (code {code})"),
        (Some(code), reason) => format!(" (code {code}, {})", reason.escape_debug()),
    }
}
