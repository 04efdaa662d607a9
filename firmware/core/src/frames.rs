//! Websocket frames in two buffers: what came, and what is to go. No I/O. The header's bits are `edge-ws`'s matter.

use core::fmt;

use edge_ws::{FrameHeader, FrameType};

use crate::upgrade::valid_text;

/// A control frame's payload has at most this much (RFC 6455, section 5.5).
const CONTROL_MAX_BYTES: u64 = 125;
const FIN: u8 = 0x80;

/// What a server may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// Bits or opcodes that mean nothing.
    Header,
    /// A server does not mask.
    Masked,
    /// A control frame that is fragmented, or over 125 bytes, or a Close frame of one byte.
    Control,
    /// A continuation of nothing, or a new message within another.
    Fragments,
    /// A message for which there is no room.
    TooLarge,
}

impl ProtocolError {
    /// The code with which the server is told.
    pub(crate) const fn close_code(self) -> u16 {
        match self {
            Self::TooLarge => wsdm_protocol::close::TOO_LARGE,
            _ => wsdm_protocol::close::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "a frame with bits that mean nothing",
            Self::Masked => "a masked frame from a server",
            Self::Control => "a control frame that breaks the rules",
            Self::Fragments => "fragments out of order",
            Self::TooLarge => "a message for which there is no room",
        })
    }
}

impl core::error::Error for ProtocolError {}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A whole message, text or binary.
    Message(&'a [u8]),
    /// A fragment of a message, or a pong: a sign of life, and nothing else.
    Nothing,
    /// To be answered with the same.
    Ping(&'a [u8]),
    /// The end, with code and reason where they were given.
    Close(Option<u16>, &'a str),
}

/// What came. In the buffer stand the fragments of an unfinished message, then bytes that were not looked at.
#[derive(Debug)]
pub(crate) struct Incoming<'b> {
    buffer: &'b mut [u8],
    /// Bytes of fragments.
    message: usize,
    fragmented: bool,
    start: usize,
    end: usize,
}

impl<'b> Incoming<'b> {
    /// A buffer in which the bytes from `start` to `end` have come already.
    pub(crate) fn new(buffer: &'b mut [u8], start: usize, end: usize) -> Self {
        Self {
            buffer,
            message: 0,
            fragmented: false,
            start,
            end,
        }
    }

    /// Where to read to. There is room whenever [`Incoming::next`] wants more.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start > self.message {
            self.buffer.copy_within(self.start..self.end, self.message);
            self.end -= self.start - self.message;
            self.start = self.message;
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read to there.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// The next frame, or `None` where more must be read first.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, ProtocolError> {
        let bytes = &self.buffer[self.start..self.end];
        let (header, header_len) = match FrameHeader::deserialize(bytes) {
            Ok(header) => header,
            // Fragments, and the start of a header behind them, fill the buffer.
            Err(edge_ws::Error::Incomplete(_)) if bytes.len() == self.buffer.len() - self.message => {
                return Err(ProtocolError::TooLarge);
            }
            Err(edge_ws::Error::Incomplete(_)) => return Ok(None),
            Err(_) => return Err(ProtocolError::Header),
        };
        if header.mask_key.is_some() {
            return Err(ProtocolError::Masked);
        }
        let is_control = matches!(
            header.frame_type,
            FrameType::Ping | FrameType::Pong | FrameType::Close
        );
        let is_final = bytes.first().is_some_and(|b| b & FIN != 0);
        if is_control && (header.payload_len > CONTROL_MAX_BYTES || !is_final) {
            return Err(ProtocolError::Control);
        }
        let room = self.buffer.len() - self.message - header_len;
        let payload_len = match usize::try_from(header.payload_len) {
            Ok(len) if len <= room => len,
            _ => return Err(ProtocolError::TooLarge),
        };
        if bytes.len() - header_len < payload_len {
            return Ok(None);
        }
        let payload = self.start + header_len..self.start + header_len + payload_len;
        self.start = payload.end;
        match header.frame_type {
            FrameType::Pong => Ok(Some(Frame::Nothing)),
            FrameType::Ping => Ok(Some(Frame::Ping(&self.buffer[payload]))),
            FrameType::Close => close(&self.buffer[payload]).map(Some),
            FrameType::Text(_) | FrameType::Binary(_) if self.fragmented => Err(ProtocolError::Fragments),
            FrameType::Continue(_) if !self.fragmented => Err(ProtocolError::Fragments),
            FrameType::Text(false) | FrameType::Binary(false) => {
                Ok(Some(Frame::Message(&self.buffer[payload])))
            }
            FrameType::Text(true) | FrameType::Binary(true) | FrameType::Continue(_) => {
                self.buffer.copy_within(payload, self.message);
                self.message += payload_len;
                self.fragmented = !is_final;
                if !is_final {
                    return Ok(Some(Frame::Nothing));
                }
                let message = core::mem::take(&mut self.message);
                Ok(Some(Frame::Message(&self.buffer[..message])))
            }
        }
    }
}

fn close(payload: &[u8]) -> Result<Frame<'_>, ProtocolError> {
    match payload {
        [] => Ok(Frame::Close(None, "")),
        [_] => Err(ProtocolError::Control),
        [high, low, reason @ ..] => Ok(Frame::Close(
            Some(u16::from_be_bytes([*high, *low])),
            valid_text(reason),
        )),
    }
}

/// What is to go.
#[derive(Debug)]
pub(crate) struct Outgoing<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

/// There is no room for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<'b> Outgoing<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// The bytes to write. [`Outgoing::clear`] afterwards.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Puts a frame behind those that wait, masked with a random number as a client must.
    pub(crate) fn push(&mut self, frame_type: FrameType, payload: &[u8], mask: u32) -> Result<(), Full> {
        let header = FrameHeader {
            frame_type,
            payload_len: payload.len() as u64,
            mask_key: Some(mask),
        };
        let free = &mut self.buffer[self.len..];
        let header_len = header.serialize(free).map_err(|_| Full)?;
        let place = free[header_len..].get_mut(..payload.len()).ok_or(Full)?;
        place.copy_from_slice(payload);
        header.mask(place, 0);
        self.len += header_len + payload.len();
        Ok(())
    }

    /// A Close frame.
    pub(crate) fn push_close(&mut self, code: Option<u16>, mask: u32) -> Result<(), Full> {
        match code {
            Some(code) => self.push(FrameType::Close, &code.to_be_bytes(), mask),
            None => self.push(FrameType::Close, &[], mask),
        }
    }
}

#[cfg(test)]
#[path = "frames/tests.rs"]
mod tests;
