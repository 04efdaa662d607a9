//! One device message, and the receipt for it.

use bytes::Bytes;
use tokio::sync::oneshot;

/// One device message. Framing ended at the link: a frame is never split or merged after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub Bytes);

impl<T: Into<Bytes>> From<T> for Frame {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

/// Reports that a frame was written, or that a newer one took its place. Dropped, it reports that neither will happen.
pub type Receipt = oneshot::Sender<()>;

/// A frame on its way to a device. "The link took it" is not "it was written": if somebody needs to know the latter, the
/// receipt reports it.
#[derive(Debug)]
pub struct Outgoing {
    /// The frame.
    pub frame: Frame,
    /// Who waits for it.
    pub receipt: Option<Receipt>,
    /// The receipt may be used before the frame is written, if a newer frame may take its place: the sender waits for it
    /// with what it has next.
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
