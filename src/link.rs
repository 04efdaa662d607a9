//! A link: a duplex pipe of whole frames. How bytes travel; knows nothing of Buttplug.

pub mod ble;
pub mod framing;
pub mod outbox;
pub mod serial;
pub mod websocket;

use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};

use crate::device::close::CloseReason;
use crate::device::frame::Frame;
use crate::device::hello::Hello;

/// A duplex pipe of whole frames.
///
/// A link that holds something back registers the waker of the poll in which it did.
///
/// Both directions are cancel safe: a dropped `next()` loses nothing, and a `send()` that is dropped while it
/// waits has either passed its frame on whole or not at all.
pub trait FrameIo:
    Stream<Item = Result<Frame, LinkError>> + Sink<Frame, Error = LinkError> + Send + Unpin
{
    /// What the far end is told when the sink is closed, on links that have words for it.
    fn set_close_reason(&mut self, _reason: CloseReason) {}

    /// Ready unless the far end has owed a proof for too long that it received what was sent to it. A finished write
    /// proves nothing if sockets hide kilobytes. Pending registers the waker.
    fn poll_through(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The last hello line that came between the frames, once, on links where one may.
    fn take_hello(&mut self) -> Option<Hello> {
        None
    }
}

/// Why a link, or an upstream half, ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The far end closed it in good order.
    #[error("closed by the far end{}", closed_text(.code, .reason))]
    Closed {
        /// The websocket close code, where there was one.
        code: Option<u16>,
        /// The close reason, where there was one.
        reason: String,
    },
    /// The connection is broken: a reset, a cable, a peer that does not keep to the protocol.
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    /// Nothing was heard for two ping intervals.
    #[error("nothing heard for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The far end took nothing for so long.
    #[error("a write was not taken within {} ms", .0.as_millis())]
    NotTaken(Duration),
    /// A message over the limit for frames.
    #[error("message too large: {0}")]
    TooLarge(String),
    /// A text message that is not UTF-8.
    #[error("text message is not UTF-8: {0}")]
    NotUtf8(String),
    /// The far end does not keep to the websocket protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
}

impl LinkError {
    /// The far end closed the link without giving a reason.
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
