//! How a stream of bytes is cut into frames. Only serial lines and what imitates them need this.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::de::IgnoredAny;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::codec::{Decoder, Encoder};
use tracing::{debug, warn};

use super::{Frame, LinkError};
use crate::defaults::{FRAME_MAX_BYTES, HANDSHAKE_MAX_BYTES};
use crate::device::hello::Hello;
use crate::device::language::Language;

/// Where a frame of a device ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// At these bytes, which stay on the frame both ways.
    Delimiter(Bytes),
    /// A number before it says how many bytes it has; added towards the device, taken off from it.
    LengthPrefix {
        /// The bytes of the number.
        width: PrefixWidth,
        /// Their order.
        order: ByteOrder,
    },
    /// When the device pauses for this long.
    Idle(Duration),
    /// Wherever a read happens to end.
    Raw,
}

impl Framing {
    /// How frames of a language end; of one that is not known nothing tells.
    pub fn of(language: Option<&dyn Language>) -> Self {
        match language {
            Some(language) => Self::Delimiter(Bytes::from_static(language.delimiter())),
            None => Self::Raw,
        }
    }
}

/// How many bytes a length prefix has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixWidth {
    /// Frames of up to 255 bytes.
    One,
    /// Frames of up to 65,535 bytes.
    Two,
    /// Frames of any size that is taken at all.
    Four,
}

impl PrefixWidth {
    fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// The largest number that fits. In 32 bits on every machine: a shift by all bits of a `usize` is no shift.
    fn largest(self) -> u32 {
        match self {
            Self::One => u8::MAX.into(),
            Self::Two => u16::MAX.into(),
            Self::Four => u32::MAX,
        }
    }

    /// Whether a frame of so many bytes fits behind it.
    fn fits(self, length: u64) -> bool {
        length <= self.largest().into()
    }
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The most significant.
    Big,
    /// The least significant.
    Little,
}

/// How long the end of what may become a hello line is waited for. The pieces of a line come a connection interval of
/// Bluetooth LE apart, seldom more than 100 ms.
const HELLO_PAUSE: Duration = Duration::from_millis(250);

/// How much of a frame over the limit people are shown.
const SHOWN_BYTES: usize = 32;

/// Cuts what a device sends into frames, and prepares those that are sent to it.
///
/// Nothing that a device sends is an error: a frame over the limit is dropped, counted and logged, and the next one
/// is found. A hello line that comes after the first is no frame and is dropped too, except behind a length prefix,
/// where nothing tells the first byte of a line from a length.
#[derive(Debug)]
pub struct FrameCodec {
    framing: Framing,
    limit: usize,
    /// How far the buffer was searched for the end of the frame.
    searched: usize,
    /// Hello lines are frames like others.
    with_hellos: bool,
    /// What is at the start of the buffer is no hello line.
    no_hello: bool,
    /// What is at the start of the buffer may yet become a hello line, and is held back.
    is_holding: bool,
    /// The last hello line that was dropped.
    hello: Option<Hello>,
    /// Bytes that are left of a frame over the limit; where only its end tells, any number.
    skipping: Option<usize>,
    dropped: u64,
}

impl FrameCodec {
    /// A codec that knows nothing of what came before.
    pub fn new(framing: Framing) -> Self {
        Self::with_limit(framing, FRAME_MAX_BYTES)
    }

    /// The same with another limit for frames, in bytes.
    pub fn with_limit(framing: Framing, limit: usize) -> Self {
        Self {
            framing,
            limit,
            searched: 0,
            with_hellos: false,
            no_hello: false,
            is_holding: false,
            hello: None,
            skipping: None,
            dropped: 0,
        }
    }

    /// The same, taking hello lines for frames: for whoever looks at the wire.
    #[must_use]
    pub fn with_hellos(mut self) -> Self {
        self.with_hellos = true;
        self
    }

    /// Frames that were over the limit, and dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The last hello line that was no frame, once.
    pub fn take_hello(&mut self) -> Option<Hello> {
        self.hello.take()
    }

    /// A frame ends in a way that can be told.
    pub fn tells_ends(&self) -> bool {
        self.framing != Framing::Raw
    }

    /// A pause may end a frame.
    fn needs_pauses(&self) -> bool {
        match self.framing {
            Framing::Idle(_) => true,
            Framing::LengthPrefix { .. } => false,
            Framing::Delimiter(_) | Framing::Raw => !self.with_hellos,
        }
    }

    /// The pause that ends what is in the buffer now, if one does.
    pub fn idle(&self) -> Option<Duration> {
        match self.framing {
            Framing::Idle(pause) => Some(pause),
            _ => self.is_holding.then_some(HELLO_PAUSE),
        }
    }

    /// The device paused: what was read is a frame, or what was held back is no hello line.
    pub fn pause_over(&mut self, read: &mut BytesMut) -> Option<Frame> {
        if let Framing::Idle(_) = self.framing {
            if self.skipping.take().is_some() {
                read.clear();
            }
            self.hello_is_due(read);
            self.no_hello = false;
            return (!read.is_empty()).then(|| read.split().freeze().into());
        }
        if std::mem::take(&mut self.is_holding) {
            match Hello::parse_later(read) {
                // Only the end of its line is missing.
                Some(hello) => {
                    self.hello = Some(hello);
                    read.clear();
                    self.searched = 0;
                }
                None => self.no_hello = true,
            }
        }
        self.next_frame(read)
    }

    fn count_oversize(&mut self, size: usize, start: &[u8]) {
        self.dropped += 1;
        let start = String::from_utf8_lossy(&start[..start.len().min(SHOWN_BYTES)]);
        let limit = self.limit;
        warn!("a frame of {size} bytes or more is dropped, at most {limit} are taken; it begins {start:?}");
    }

    /// Takes hello lines off the start of a frame; whether what stands there may still become one.
    fn hello_is_due(&mut self, read: &mut BytesMut) -> bool {
        self.is_holding = self.takes_hellos(read);
        self.is_holding
    }

    fn takes_hellos(&mut self, read: &mut BytesMut) -> bool {
        while !self.with_hellos && !self.no_hello && self.skipping.is_none() {
            let blank = |b: &u8| b.is_ascii_whitespace();
            let start = read.iter().take_while(|b| blank(b)).count();
            let rest = &read[start..];
            if rest.is_empty() {
                return false;
            }
            let line = &rest[..rest.len().min(HANDSHAKE_MAX_BYTES)];
            let end = line.iter().position(|b| *b == b'\n');
            if !may_become_hello(&line[..end.unwrap_or(line.len())]) {
                self.no_hello = true;
                return false;
            }
            let Some(end) = end else {
                self.no_hello = line.len() == HANDSHAKE_MAX_BYTES;
                return !self.no_hello;
            };
            match Hello::parse_later(&line[..end]) {
                Some(hello) => {
                    debug!("a hello line that came later is no frame");
                    self.hello = Some(hello);
                    read.advance(start + end + 1);
                    self.searched = 0;
                }
                None => self.no_hello = true,
            }
        }
        false
    }

    fn delimited(&mut self, read: &mut BytesMut, delimiter: &Bytes) -> Option<Frame> {
        loop {
            if self.hello_is_due(read) {
                return None;
            }
            let from = read.get(self.searched..).unwrap_or_default();
            let Some(end) = find(from, delimiter).map(|end| self.searched + end) else {
                // The delimiter's beginning may be the last that was read.
                self.searched = (read.len() + 1).saturating_sub(delimiter.len());
                if self.skipping.is_none() && self.searched > self.limit {
                    self.count_oversize(self.searched, read);
                    self.skipping = Some(usize::MAX);
                }
                if self.skipping.is_some() {
                    read.advance(self.searched);
                    self.searched = 0;
                }
                return None;
            };
            self.searched = 0;
            self.no_hello = false;
            let frame = read.split_to(end + delimiter.len());
            if self.skipping.take().is_some() {
                continue;
            }
            if end > self.limit {
                self.count_oversize(end, &frame);
                continue;
            }
            // A blank line says nothing, and upstream would take it for the answer to a question.
            if frame[..end].iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Some(frame.freeze().into());
        }
    }

    fn prefixed(&mut self, read: &mut BytesMut, width: PrefixWidth, order: ByteOrder) -> Option<Frame> {
        let width = width.bytes();
        loop {
            if let Some(left) = self.skipping {
                let gone = left.min(read.len());
                read.advance(gone);
                self.skipping = Some(left - gone).filter(|left| *left > 0);
                if self.skipping.is_some() {
                    return None;
                }
            }
            let prefix = read.get(..width)?;
            let number = |so_far: usize, byte: &u8| so_far << 8 | usize::from(*byte);
            let length = match order {
                ByteOrder::Big => prefix.iter().fold(0, number),
                ByteOrder::Little => prefix.iter().rev().fold(0, number),
            };
            if length > self.limit {
                let shown = length.min(SHOWN_BYTES);
                // Its first bytes tell what went wrong.
                if read.len() < width + shown {
                    return None;
                }
                read.advance(width);
                let start = read.split_to(shown);
                self.count_oversize(length, &start);
                self.skipping = Some(length - shown).filter(|left| *left > 0);
                continue;
            }
            if read.len() < width + length {
                read.reserve(width + length - read.len());
                return None;
            }
            read.advance(width);
            if length > 0 {
                return Some(read.split_to(length).freeze().into());
            }
        }
    }

    /// Until the pause everything is one frame.
    fn held(&mut self, read: &mut BytesMut) {
        if self.skipping.is_none() && read.len() > self.limit {
            self.count_oversize(read.len(), read);
            self.skipping = Some(usize::MAX);
        }
        if self.skipping.is_some() {
            read.clear();
        }
    }

    fn next_frame(&mut self, read: &mut BytesMut) -> Option<Frame> {
        match self.framing.clone() {
            Framing::Delimiter(delimiter) => self.delimited(read, &delimiter),
            Framing::LengthPrefix { width, order } => self.prefixed(read, width, order),
            Framing::Idle(_) => {
                self.held(read);
                None
            }
            Framing::Raw => self.raw(read),
        }
    }

    fn raw(&mut self, read: &mut BytesMut) -> Option<Frame> {
        if self.hello_is_due(read) || read.is_empty() {
            return None;
        }
        self.no_hello = false;
        let cut = read.len().min(self.limit);
        Some(read.split_to(cut).freeze().into())
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = LinkError;

    fn decode(&mut self, read: &mut BytesMut) -> Result<Option<Frame>, LinkError> {
        Ok(self.next_frame(read))
    }

    /// What ends with the stream and not with its own end is no frame, but where a pause is the end.
    fn decode_eof(&mut self, read: &mut BytesMut) -> Result<Option<Frame>, LinkError> {
        if let Some(frame) = self.decode(read)? {
            return Ok(Some(frame));
        }
        if self.idle().is_some()
            && let Some(frame) = self.pause_over(read)
        {
            return Ok(Some(frame));
        }
        if !read.is_empty() {
            debug!("{} bytes of a frame that never ended", read.len());
            read.clear();
        }
        Ok(None)
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = LinkError;

    /// A frame that does not fit its length prefix is dropped, counted and logged: nothing can bring it across, and
    /// the device is not to blame.
    fn encode(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), LinkError> {
        if let Framing::LengthPrefix { width, order } = self.framing {
            let length = frame.0.len() as u64;
            let fits = width.fits(length);
            let width = width.bytes();
            if !fits {
                self.dropped += 1;
                warn!(
                    "a frame of {length} bytes does not fit a length prefix of {width} bytes and is dropped"
                );
                return Ok(());
            }
            match order {
                ByteOrder::Big => out.put_uint(length, width),
                ByteOrder::Little => out.put_uint_le(length, width),
            }
        }
        out.extend_from_slice(&frame.0);
        Ok(())
    }
}

/// The start of a line may become a hello line: it is one as far as it is there, and nothing else is whole.
fn may_become_hello(line: &[u8]) -> bool {
    if !Hello::may_begin(line) {
        return false;
    }
    let mut values = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let rest = &line[values.byte_offset()..];
            rest.iter().all(u8::is_ascii_whitespace) && Hello::parse_later(line).is_some()
        }
        Some(Err(e)) => e.is_eof(),
        None => false,
    }
}

/// Waits for the pause that ends a frame, or proves that what begins like a hello line is none.
#[derive(Debug)]
pub struct Pause {
    over: Pin<Box<Sleep>>,
    held: usize,
}

impl Pause {
    /// `None` if a frame always ends in another way.
    pub fn of(codec: &FrameCodec) -> Option<Self> {
        codec.needs_pauses().then(|| Self {
            over: Box::pin(sleep_until(Instant::now())),
            held: 0,
        })
    }

    /// The frame that has ended, once nothing was added to `read` for so long; else the task is woken when it has.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        codec: &mut FrameCodec,
        read: &mut BytesMut,
    ) -> Option<Frame> {
        // What stands behind a frame that ended by a pause.
        if let Some(frame) = codec.next_frame(read) {
            self.held = 0;
            return Some(frame);
        }
        let Some(idle) = codec.idle() else {
            self.held = 0;
            return None;
        };
        if read.len() != self.held {
            self.held = read.len();
            self.over.as_mut().reset(Instant::now() + idle);
        }
        if self.over.as_mut().poll(cx).is_pending() {
            return None;
        }
        let frame = codec.pause_over(read);
        self.held = 0;
        frame
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests;
