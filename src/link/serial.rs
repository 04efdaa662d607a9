//! A serial port as a link: frames by its framing, written at the pace of the line.
//!
//! The kernel, a USB adapter and a pseudo-terminal all take kilobytes at once, which is seconds of stale motion at
//! 9,600 baud. So at most one frame is on its way: the next is taken when the line must have carried the last one,
//! and the kernel, if it reports that, has nothing left of it.
//!
//! To a board with USB of its own a baud rate means nothing. Its replies show it: one that comes before the line could
//! have carried the question tells how fast the line is at least. Only a question that followed a silence counts, since
//! a board may answer twice, with an echo and an OK, and the second reply would be taken for the next question's.

pub mod ports;

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_serial::{ClearBuffer, DataBits, FlowControl, Parity, SerialPort, SerialStream, StopBits};
use tokio_util::codec::{Framed, FramedParts};

use super::framing::{FrameCodec, Framing, Pause};
use super::{Frame, FrameIo, LinkError};
use crate::defaults::{BAUD_RATE, WRITE_TIMEOUT};
use crate::device::hello::Hello;

/// How often the kernel is asked again whether the line has carried everything.
const QUEUE_POLL: Duration = Duration::from_millis(1);

/// A silence of the line after which a reply can only be to the question that ended it: boards answer in 50 ms.
const SILENCE: Duration = Duration::from_millis(200);

/// How a port is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineSettings {
    /// Bits a second.
    pub baud_rate: u32,
    /// Bits of a character.
    pub data_bits: DataBits,
    /// The parity bit.
    pub parity: Parity,
    /// Stop bits of a character.
    pub stop_bits: StopBits,
    /// Who may hold the other up, and how.
    pub flow_control: FlowControl,
    /// What DTR is set to when the port opens; `None` is up to the system, which raises it.
    pub dtr_on_open: Option<bool>,
    /// What RTS is set to when the port opens; `None` is up to the system, which raises it.
    pub rts_on_open: Option<bool>,
}

impl Default for LineSettings {
    /// 115,200 baud, 8N1.
    fn default() -> Self {
        Self {
            baud_rate: BAUD_RATE,
            data_bits: DataBits::Eight,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow_control: FlowControl::None,
            dtr_on_open: None,
            rts_on_open: None,
        }
    }
}

impl LineSettings {
    /// How long the line takes for so many bytes.
    fn time_for(&self, bytes: usize) -> Duration {
        let data = match self.data_bits {
            DataBits::Five => 5,
            DataBits::Six => 6,
            DataBits::Seven => 7,
            DataBits::Eight => 8,
        };
        let parity = u64::from(self.parity != Parity::None);
        let stop = if self.stop_bits == StopBits::One { 1 } else { 2 };
        let bits = bytes as u64 * (1 + data + parity + stop);
        Duration::from_nanos(bits.saturating_mul(1_000_000_000) / u64::from(self.baud_rate.max(1)))
    }
}

/// Why a port could not be opened, as the system's own error; [`io::ErrorKind::ResourceBusy`] if somebody else has it.
pub fn open_error(error: &tokio_serial::Error) -> io::Error {
    let kind = match error.kind() {
        tokio_serial::ErrorKind::NoDevice => io::ErrorKind::ResourceBusy,
        tokio_serial::ErrorKind::Io(kind) => kind,
        tokio_serial::ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
        tokio_serial::ErrorKind::Unknown => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

/// An open port.
pub struct Port {
    stream: SerialStream,
}

impl Port {
    /// Opens a port, and keeps others from opening it. Blocks for as long as the driver takes.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::ResourceBusy`] when somebody else has it.
    pub fn open(path: &Path, line: &LineSettings) -> io::Result<Self> {
        let path = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        let mut builder = tokio_serial::new(path, line.baud_rate)
            .data_bits(line.data_bits)
            .parity(line.parity)
            .stop_bits(line.stop_bits)
            .flow_control(line.flow_control);
        if let Some(dtr) = line.dtr_on_open {
            builder = builder.dtr_on_open(dtr);
        }
        let mut stream = SerialStream::open(&builder).map_err(|e| open_error(&e))?;
        if let Some(rts) = line.rts_on_open {
            // A pseudo-terminal has no such line, and some adapters neither.
            let _ = stream.write_request_to_send(rts);
        }
        Ok(Self { stream })
    }

    /// Changes the baud rate of the open port. The board does not notice, as it may if the port is closed and opened.
    ///
    /// # Errors
    /// What the system said.
    pub fn set_baud_rate(&mut self, rate: u32) -> io::Result<()> {
        Ok(self.stream.set_baud_rate(rate)?)
    }

    /// Bytes that the kernel has not passed on; 0 where it does not tell.
    fn unsent(&self) -> u32 {
        self.stream.bytes_to_write().unwrap_or(0)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Closing a port waits in the kernel, for up to 30 s, for what a far end does not take; and what it would
        // take then is motion that nobody wants any more.
        if self.unsent() > 0 {
            let _ = self.stream.clear(ClearBuffer::Output);
        }
    }
}

impl AsyncRead for Port {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Port {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    /// The library's own flush holds the thread until the line has carried everything.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A serial port, cut into frames.
pub struct SerialLink {
    framed: Framed<Port, FrameCodec>,
    line: LineSettings,
    /// A frame is on its way; it has left by then.
    busy_until: Option<Instant>,
    /// Since when the line is silent: what was written has left, and nothing was read.
    silent_since: Instant,
    /// A frame that followed a silence and to which there was no reply: when it was written, and its bytes.
    asked: Option<(Instant, usize)>,
    /// What the board's replies show to be enough for a byte, if that is less than the configured rate.
    per_byte: Option<Duration>,
    /// What is read is whole replies. A raw read may be the echo of a frame's first character.
    reads_whole: bool,
    /// Bytes handed over and not yet flushed to the kernel.
    unflushed: usize,
    /// Since when the kernel has taken nothing.
    refused_since: Option<Instant>,
    pace: Pin<Box<Sleep>>,
    pause: Option<Pause>,
}

impl SerialLink {
    /// Cuts what the port carries into frames; `read` are bytes that were read already.
    pub fn new(port: Port, line: LineSettings, framing: Framing, read: BytesMut) -> Self {
        Self::with_codec(port, line, FrameCodec::new(framing), read)
    }

    /// The same with a codec of one's own.
    pub fn with_codec(port: Port, line: LineSettings, codec: FrameCodec, read: BytesMut) -> Self {
        let pause = Pause::of(&codec);
        let reads_whole = codec.tells_ends();
        let mut parts = FramedParts::new::<Frame>(port, codec);
        parts.read_buf = read;
        Self {
            framed: Framed::from_parts(parts),
            line,
            busy_until: None,
            // Whatever was said before is not known here.
            silent_since: Instant::now(),
            asked: None,
            per_byte: None,
            reads_whole,
            unflushed: 0,
            refused_since: None,
            pace: Box::pin(sleep_until(Instant::now())),
            pause,
        }
    }

    /// Ready when the line has carried the last frame.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            let Some(until) = self.busy_until else {
                return Poll::Ready(Ok(()));
            };
            let now = Instant::now();
            if now < until {
                self.pace.as_mut().reset(until);
                ready!(self.pace.as_mut().poll(cx));
                continue;
            }
            if self.framed.get_ref().unsent() == 0 {
                self.busy_until = None;
                return Poll::Ready(Ok(()));
            }
            if now.duration_since(until) >= WRITE_TIMEOUT {
                return Poll::Ready(Err(not_taken()));
            }
            self.pace.as_mut().reset(now + QUEUE_POLL);
            ready!(self.pace.as_mut().poll(cx));
        }
    }

    /// The kernel has taken so many bytes.
    fn written(&mut self, bytes: usize, now: Instant) {
        let configured = self.line.time_for(bytes);
        let shown = self
            .per_byte
            .map(|time| time.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX)));
        let takes = shown.map_or(configured, |shown| shown.min(configured));
        self.busy_until = Some(now + takes);
        let is_clear = self.reads_whole && now.saturating_duration_since(self.silent_since) >= SILENCE;
        self.asked = is_clear.then_some((now, bytes));
        self.silent_since = now + takes;
    }

    /// The board sent something.
    fn heard(&mut self) {
        let now = Instant::now();
        match self.asked.take() {
            Some((at, bytes)) => {
                let took = now.saturating_duration_since(at);
                let is_early = took < self.line.time_for(bytes) && self.framed.get_ref().unsent() == 0;
                self.per_byte = is_early.then(|| took / u32::try_from(bytes).unwrap_or(u32::MAX).max(1));
                if is_early {
                    self.busy_until = Some(now);
                }
            }
            // It speaks without being spoken to: what looked like a reply may have been chance.
            None if now.saturating_duration_since(self.silent_since) >= SILENCE => self.per_byte = None,
            None => {}
        }
        self.silent_since = now;
    }

    /// What a pause of the device ends.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Option<Frame> {
        let pause = self.pause.as_mut()?;
        let mut held = std::mem::take(self.framed.read_buffer_mut());
        let frame = pause.poll(cx, self.framed.codec_mut(), &mut held);
        *self.framed.read_buffer_mut() = held;
        frame
    }
}

fn not_taken() -> LinkError {
    LinkError::Lost(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the port took nothing for {} ms", WRITE_TIMEOUT.as_millis()),
    ))
}

impl Stream for SerialLink {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.framed.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.heard();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e))),
            Poll::Ready(None) => Poll::Ready(Some(Err(LinkError::Lost(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the port hung up",
            ))))),
            Poll::Pending => match this.poll_pause(cx) {
                Some(frame) => {
                    this.heard();
                    Poll::Ready(Some(Ok(frame)))
                }
                None => Poll::Pending,
            },
        }
    }
}

impl Sink<Frame> for SerialLink {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_flush_unpin(cx))?;
        self.poll_line(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        self.framed.start_send_unpin(frame)?;
        self.unflushed = self.framed.write_buffer().len();
        Ok(())
    }

    /// Ready when the kernel has the frame.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = &mut *self;
        if this.unflushed == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = this.framed.write_buffer().len();
        let flushed = SinkExt::<Frame>::poll_flush_unpin(&mut this.framed, cx)?;
        let now = Instant::now();
        if flushed.is_ready() {
            let bytes = std::mem::take(&mut this.unflushed);
            this.written(bytes, now);
            this.refused_since = None;
            return Poll::Ready(Ok(()));
        }
        if this.framed.write_buffer().len() < before {
            this.refused_since = None;
        }
        let since = *this.refused_since.get_or_insert(now);
        this.pace.as_mut().reset(since + WRITE_TIMEOUT);
        ready!(this.pace.as_mut().poll(cx));
        Poll::Ready(Err(not_taken()))
    }

    /// Waits until the line has carried the last frame. The caller bounds the time.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_flush_unpin(cx))?;
        self.poll_line(cx)
    }
}

impl FrameIo for SerialLink {
    fn take_hello(&mut self) -> Option<Hello> {
        self.framed.codec_mut().take_hello()
    }
}
