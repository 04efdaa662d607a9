//! One device message, and its receipt.

use bytes::Bytes;
use tokio::sync::oneshot;

/// One device message. Framing ends at the link: a frame is never split or merged after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub Bytes);

impl<T: Into<Bytes>> From<T> for Frame {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

/// Reports that a frame was written or superseded by a newer one. If it is dropped, neither will happen.
pub type Receipt = oneshot::Sender<()>;

/// A frame on its way to a device. That the link took it does not mean that it was written: a sender that needs to
/// know attaches a receipt.
#[derive(Debug)]
pub struct Outgoing {
    /// The frame.
    pub frame: Frame,
    /// Its receipt, if the sender waits for one.
    pub receipt: Option<Receipt>,
    /// Whether the receipt may be sent before the write if a newer frame may supersede this one: the sender holds its
    /// next frame back until then.
    pub is_answered_early: bool,
}

impl From<Frame> for Outgoing {
    fn from(frame: Frame) -> Self {
        Self {
            frame,
            receipt: None,
            is_answered_early: false,
        }
    }
}
