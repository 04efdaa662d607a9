//! One device message.

use bytes::Bytes;

/// One device message. Framing ended at the link: a frame is never split or merged after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub Bytes);

impl<T: Into<Bytes>> From<T> for Frame {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}
