//! What stands before each frame: which session, which place in it, and how fresh.

use bytes::{BufMut, Bytes, BytesMut};

use super::clock::Millis;
use crate::defaults::FRAME_MAX_BYTES;

/// Its length on the wire, in bytes.
pub const HEADER_BYTES: usize = 16;

/// The header of a message on `down`, `up` or `stop`. On the wire: session, sequence and nonce as 32 bits each, the most
/// significant byte first; the kind as 8 bits; three bytes that are zero and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session: new at each birth of the device, and for each owner.
    pub session: u32,
    /// Counts what the owner sends in a session, frames and stops together.
    pub seq: u32,
    /// The newest time of the edge's clock that the hub had heard of when it sent this.
    pub nonce: Millis,
    /// What it is.
    pub kind: Kind,
}

/// What follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A frame.
    Frame,
    /// Nothing: the device is to stop.
    Stop,
}

/// Why a payload is no frame or stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than a header.
    #[error("it has {0} bytes, fewer than a header")]
    Short(usize),
    /// A kind of a later version, or nonsense.
    #[error("its kind is {0}, which is not known")]
    Kind(u8),
    /// The frame is empty.
    #[error("it has no frame")]
    Empty,
    /// The frame is larger than any that a device takes.
    #[error("its frame has {0} bytes, at most {FRAME_MAX_BYTES} are taken")]
    TooLarge(usize),
}

impl Header {
    /// The message of this header and frame.
    pub fn write(&self, frame: &[u8]) -> Bytes {
        let mut message = BytesMut::with_capacity(HEADER_BYTES + frame.len());
        message.put_u32(self.session);
        message.put_u32(self.seq);
        message.put_u32(self.nonce.0);
        message.put_u8(match self.kind {
            Kind::Frame => 1,
            Kind::Stop => 2,
        });
        message.put_bytes(0, 3);
        message.put_slice(frame);
        message.freeze()
    }

    /// Reads a message of a stranger: its header, and its frame without a copy.
    ///
    /// # Errors
    /// [`HeaderError`]: it is to be dropped.
    pub fn read(message: &Bytes) -> Result<(Self, Bytes), HeaderError> {
        let Some((header, frame)) = message.split_first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::Short(message.len()));
        };
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let kind = match header[12] {
            1 if frame.is_empty() => return Err(HeaderError::Empty),
            1 if frame.len() > FRAME_MAX_BYTES => return Err(HeaderError::TooLarge(frame.len())),
            1 => Kind::Frame,
            2 => Kind::Stop,
            other => return Err(HeaderError::Kind(other)),
        };
        let header = Self {
            session: word(0),
            seq: word(4),
            nonce: Millis(word(8)),
            kind,
        };
        Ok((header, message.slice(HEADER_BYTES..)))
    }
}

/// Whether `a` comes after `b` in a sequence that starts again at zero after 2^32.
pub fn is_after(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 31
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(session: u32, seq: u32, nonce: u32, frame in proptest::collection::vec(any::<u8>(), 1..99)) {
            let header = Header { session, seq, nonce: Millis(nonce), kind: Kind::Frame };
            let message = header.write(&frame);
            prop_assert_eq!(Header::read(&message), Ok((header, Bytes::from(frame))));
        }

        #[test]
        fn strangers_bytes_are_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..40)) {
            let message = Bytes::from(message);
            if let Ok((header, frame)) = Header::read(&message) {
                prop_assert_eq!(message.len(), HEADER_BYTES + frame.len());
                prop_assert_eq!(&header.write(&frame)[..13], &message[..13]);
            }
        }
    }

    #[test]
    fn a_sequence_goes_on_after_its_largest_number() {
        assert!(is_after(0, u32::MAX));
        assert!(is_after(5, 4));
        assert!(!is_after(4, 4));
        assert!(!is_after(u32::MAX, 0));
    }

    #[test]
    fn each_fault_has_a_name() {
        let header = Header {
            session: 1,
            seq: 2,
            nonce: Millis(3),
            kind: Kind::Frame,
        };
        assert_eq!(Header::read(&header.write(b"")), Err(HeaderError::Empty));
        let large = header.write(&vec![b'x'; FRAME_MAX_BYTES + 1]);
        assert_eq!(
            Header::read(&large),
            Err(HeaderError::TooLarge(FRAME_MAX_BYTES + 1))
        );
        assert_eq!(
            Header::read(&Bytes::from_static(b"x")),
            Err(HeaderError::Short(1))
        );
        let mut other = header.write(b"x").to_vec();
        other[12] = 9;
        assert_eq!(Header::read(&other.into()), Err(HeaderError::Kind(9)));
    }
}
