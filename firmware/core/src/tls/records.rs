//! Whole records of TLS from a socket, and only those that belong where they come.

use core::cell::Cell;

use embedded_io_async::{Error as _, ErrorKind, ErrorType, Read, Write};

/// Type, version, length.
pub(super) const HEADER_BYTES: usize = 5;
/// What comes is not TLS at all.
pub(super) const UNKNOWN: ErrorKind = ErrorKind::Unsupported;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const ENCRYPTED: u8 = 23;
const VERSION_MAJOR: u8 = 3;
/// The type that is encrypted with the text, and the tag.
const ENCRYPTED_MIN_BYTES: usize = 17;
/// Two bytes of an alert; one that says nothing any more.
const ALERT_BYTES: usize = 2;
const CHANGE_CIPHER_SPEC_BYTES: usize = 1;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server's hello, or an alert in its place.
    Hello,
    /// What old boxes on the way want to see between, or what follows.
    Between,
    /// Encrypted records, and nothing else for ever.
    Encrypted,
}

/// A socket whose reads give bytes of a record only if all of it has come: where they wait, they are between two records.
#[derive(Debug)]
pub(super) struct Records<'s, S> {
    socket: S,
    buffer: &'s mut [u8],
    /// Up to here bytes have come.
    len: usize,
    /// Up to here they are one whole record, given until `given`.
    whole: usize,
    given: usize,
    phase: Phase,
    /// Writes come to nothing.
    muted: &'s Cell<bool>,
}

impl<'s, S> Records<'s, S> {
    /// Records of at most what fits into the buffer.
    pub(super) fn new(socket: S, buffer: &'s mut [u8], muted: &'s Cell<bool>) -> Self {
        Self {
            socket,
            buffer,
            len: 0,
            whole: 0,
            given: 0,
            phase: Phase::Hello,
            muted,
        }
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }

    /// The end of the record that the bytes begin with, if all of it has come.
    fn record(&mut self) -> Result<Option<usize>, ErrorKind> {
        let bytes = self.buffer.get(..self.len).unwrap_or_default();
        let strange = match self.phase {
            Phase::Hello => UNKNOWN,
            _ => ErrorKind::InvalidData,
        };
        // As soon as possible: who speaks something else may wait for an answer.
        match (self.phase, bytes) {
            (_, []) => return Ok(None),
            (Phase::Hello, [ALERT | HANDSHAKE, ..])
            | (Phase::Between, [CHANGE_CIPHER_SPEC, ..])
            | (Phase::Between | Phase::Encrypted, [ENCRYPTED, ..]) => {}
            _ => return Err(strange),
        }
        let Some((&[kind, major, _, high, low], _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let is_right = match kind {
            ALERT => len == ALERT_BYTES,
            CHANGE_CIPHER_SPEC => len == CHANGE_CIPHER_SPEC_BYTES,
            ENCRYPTED => len >= ENCRYPTED_MIN_BYTES,
            _ => len > 0,
        };
        if major != VERSION_MAJOR || !is_right {
            return Err(strange);
        }
        let end = HEADER_BYTES + len;
        if end > self.buffer.len() {
            return Err(ErrorKind::OutOfMemory);
        }
        if self.len < end {
            return Ok(None);
        }
        self.phase = match kind {
            HANDSHAKE => Phase::Between,
            _ => Phase::Encrypted,
        };
        Ok(Some(end))
    }
}

impl<S> ErrorType for Records<'_, S> {
    type Error = ErrorKind;
}

impl<S: Read> Read for Records<'_, S> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let rest = self.buffer.get(self.given..self.whole).unwrap_or_default();
            if !rest.is_empty() {
                let given = rest.len().min(bytes.len());
                bytes[..given].copy_from_slice(&rest[..given]);
                self.given += given;
                return Ok(given);
            }
            // What was given makes room for what comes.
            self.buffer.copy_within(self.whole..self.len, 0);
            self.len -= self.whole;
            (self.whole, self.given) = (0, 0);
            if let Some(end) = self.record()? {
                self.whole = end;
                continue;
            }
            let space = self.buffer.get_mut(self.len..).unwrap_or_default();
            match self.socket.read(space).await {
                // Half a record is no end.
                Ok(0) if self.len > 0 => return Err(ErrorKind::ConnectionReset),
                Ok(0) => return Ok(0),
                Ok(read) => self.len += read,
                Err(e) => return Err(e.kind()),
            }
        }
    }
}

impl<S: Write> Write for Records<'_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.muted.get() {
            return Ok(bytes.len());
        }
        self.socket.write(bytes).await.map_err(|e| e.kind())
    }

    /// What is written goes out without being flushed.
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "records/tests.rs"]
mod tests;
