//! On a serial port or BLE: the hello line instead of a handshake, delimiters instead of frames, newlines instead of
//! pings.
//!
//! The board says its hello line at its start, and when it is sent a lone newline while no gateway has control. Its
//! first frame gives the gateway control. From then on frames and lone newlines are signs of life; the gateway writes
//! the latter whenever it was silent for the keepalive that the hello line asks for. Four of them missing, and the
//! outputs stop and the board says hello again. Noise on the line is no sign of life.
//!
//! A gateway that was restarted faster than that asks with the same newlines, though further apart. So a newline that
//! is late is answered with the hello line; and where nothing but newlines comes for a while, however fast, the board
//! says hello once more. A gateway that has it drops that line.

use core::pin::pin;

use embassy_futures::select::{Either, select};
use embedded_io_async::{Error as _, ErrorKind, Read, Write};
use wsdm_protocol::{
    FieldError, Hello, KEEPALIVES_UNTIL_STOP, check_address, check_identifier, keepalive_in_range,
};

use crate::Ended;
use crate::client::{Memory, stop};
use crate::clock::Clock;
use crate::device::{Device, Flow, Reply};
use crate::report::{Loss, Report};
use crate::tally::Tally;
use crate::watchdog::Watchdog;

/// Nothing but newlines for this long, and a connected board says hello once more.
pub const HELLO_AGAIN_MS: u64 = 2_000;

/// Who a board on a wire is, and what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireSettings<'a> {
    identifier: &'a str,
    address: Option<&'a str>,
    keepalive_ms: u64,
    delimiter: u8,
    reset: Option<&'a str>,
}

impl<'a> WireSettings<'a> {
    /// `delimiter` ends a frame: `;` for lovense, a newline for TCode. Without an address the board's USB serial number
    /// stands in, or the path of its port.
    ///
    /// # Errors
    /// Identifier or address are empty or too long.
    pub fn new(
        identifier: &'a str,
        address: Option<&'a str>,
        keepalive_ms: u64,
        delimiter: u8,
    ) -> Result<Self, FieldError> {
        check_identifier(identifier)?;
        address.map_or(Ok(()), check_address)?;
        Ok(Self {
            identifier,
            address,
            keepalive_ms: keepalive_in_range(keepalive_ms),
            delimiter,
            reset: None,
        })
    }

    /// With why the device started anew, for the gateway's log. It is said until a gateway has control.
    #[must_use]
    pub const fn with_reset(mut self, reset: Option<&'a str>) -> Self {
        self.reset = reset;
        self
    }
}

/// A device's end of a wire.
#[derive(Debug)]
pub struct Wire<'a, C, F> {
    /// Who it is.
    pub settings: WireSettings<'a>,
    /// The board's clock.
    pub clock: C,
    /// Is told what happens, and when.
    pub report: F,
}

/// What the next bytes are to the board.
struct Line<'b> {
    /// The frame that has not ended, from the start of the buffer.
    held: &'b mut [u8],
    len: usize,
    overflowed: bool,
    /// A gateway has control.
    connected: bool,
    /// When a frame came, or the hello line was said, last.
    spoke: u64,
    /// Frames that were skipped: over the limit, and with noise.
    too_long: Tally,
    noisy: Tally,
}

impl Line<'_> {
    /// Whether nothing but white space came since the last frame.
    fn is_empty(&self) -> bool {
        !self.overflowed && self.held.iter().take(self.len).all(u8::is_ascii_whitespace)
    }

    /// Forgets the frame that has not ended.
    fn forget(&mut self) {
        self.len = 0;
        self.overflowed = false;
    }
}

impl<C, F> Wire<'_, C, F>
where
    C: Clock,
    F: FnMut(u64, &Report<'_>),
{
    /// Obeys whoever is at the other end until the device is told to turn itself off. A frame over `RX`
    /// is skipped. Whoever drops this future before must call [`Device::stop`].
    ///
    /// # Errors
    /// The wire broke, or ended; the outputs are off.
    pub async fn run<S, D, const RX: usize, const TX: usize>(
        &mut self,
        stream: &mut S,
        memory: &mut Memory<RX, TX>,
        device: &mut D,
    ) -> Result<Ended, ErrorKind>
    where
        S: Read + Write,
        D: Device,
    {
        let (rx, tx) = memory.both();
        let mut out = Answers {
            buffer: tx,
            len: 0,
            dropped: Tally::default(),
        };
        let now = self.clock.now();
        let mut watchdog = Watchdog::new(self.settings.keepalive_ms * KEEPALIVES_UNTIL_STOP, now);
        let mut line = Line {
            held: rx,
            len: 0,
            overflowed: false,
            connected: false,
            spoke: now,
            too_long: Tally::default(),
            noisy: Tally::default(),
        };
        let ended = self
            .pump(stream, device, &mut line, &mut out, &mut watchdog)
            .await;
        let now = self.clock.now();
        stop(device, now, false, watchdog.silent_for(now), &mut self.report);
        match ended {
            Ok(()) => {
                // A wire that takes nothing for so long has nobody at its other end.
                let by = now + self.settings.keepalive_ms * KEEPALIVES_UNTIL_STOP;
                let _ = crate::client::within(&self.clock, by, stream.write_all(out.bytes())).await;
                (self.report)(self.clock.now(), &Report::PoweredOff);
                Ok(Ended::PoweredOff)
            }
            Err(kind) => {
                (self.report)(now, &Report::Lost(Loss::Broken(kind)));
                Err(kind)
            }
        }
    }

    async fn pump<S: Read + Write, D: Device>(
        &mut self,
        stream: &mut S,
        device: &mut D,
        line: &mut Line<'_>,
        out: &mut Answers<'_>,
        watchdog: &mut Watchdog,
    ) -> Result<(), ErrorKind> {
        self.hello(line, out);
        let mut bytes = [0; 64];
        loop {
            // A gateway that takes no bytes costs answers, and after the watchdog's time the outputs: nothing that it sends is
            // read before it takes what waits. What does not fit is dropped.
            let now = self.clock.now();
            for report in [
                out.dropped.due(now).map(Report::AnswersDropped),
                line.too_long.due(now).map(Report::FramesTooLong),
                line.noisy.due(now).map(Report::FramesAreNoText),
            ]
            .iter()
            .flatten()
            {
                (self.report)(now, report);
            }
            if !out.bytes().is_empty() {
                match self
                    .meanwhile(device, line, watchdog, stream.write(out.bytes()))
                    .await
                {
                    Some(Ok(0)) => return Err(ErrorKind::WriteZero),
                    Some(Ok(written)) => out.written(written),
                    Some(Err(e)) => return Err(e.kind()),
                    None => {
                        out.keep_first(self.settings.delimiter);
                        self.hello(line, out);
                    }
                }
                continue;
            }
            match self
                .meanwhile(device, line, watchdog, stream.read(&mut bytes))
                .await
            {
                Some(Ok(0)) => return Err(ErrorKind::BrokenPipe),
                Some(Ok(read)) => {
                    for byte in bytes.iter().take(read) {
                        if self.byte(*byte, device, line, watchdog, out) == Flow::PowerOff {
                            return Ok(());
                        }
                    }
                }
                Some(Err(e)) => return Err(e.kind()),
                None => self.hello(line, out),
            }
        }
    }

    /// Takes one byte.
    fn byte<D: Device>(
        &mut self,
        byte: u8,
        device: &mut D,
        line: &mut Line<'_>,
        watchdog: &mut Watchdog,
        out: &mut Answers<'_>,
    ) -> Flow {
        let now = self.clock.now();
        if byte == b'\n' && (self.settings.delimiter != b'\n' || line.is_empty()) {
            let is_lone = line.is_empty();
            // What came before it, where no frame has one, is noise or the rest of a frame that was cut off. A frame
            // behind it must not be taken for its end.
            line.forget();
            let in_time = self.settings.keepalive_ms + self.settings.keepalive_ms / 4;
            if !line.connected
                || (is_lone && watchdog.silent_for(now) > in_time)
                || now.saturating_sub(line.spoke) >= HELLO_AGAIN_MS
            {
                self.hello(line, out);
            }
            if is_lone {
                watchdog.feed(now);
            }
            return Flow::Stay;
        }
        match line.held.get_mut(line.len) {
            Some(place) => {
                *place = byte;
                line.len += 1;
            }
            None => line.overflowed = true,
        }
        if byte != self.settings.delimiter {
            return Flow::Stay;
        }
        let len = core::mem::take(&mut line.len);
        if core::mem::take(&mut line.overflowed) {
            line.too_long.add(1);
            return Flow::Stay;
        }
        let frame = line.held.get(..len).unwrap_or_default();
        // What boards on wires speak is text. An open line hums, and a delimiter is among its bytes now and then.
        if !frame
            .iter()
            .all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
        {
            line.noisy.add(1);
            return Flow::Stay;
        }
        if frame
            .iter()
            .all(|b| b.is_ascii_whitespace() || *b == self.settings.delimiter)
        {
            return Flow::Stay;
        }
        line.spoke = now;
        watchdog.feed(now);
        if !core::mem::replace(&mut line.connected, true) {
            self.settings.reset = None;
            device.connected(now);
            (self.report)(now, &Report::Connected);
        }
        device.frame(now, frame, out)
    }

    /// Waits for something while the device moves on and the watchdog watches. `None`: the watchdog stopped the device.
    async fn meanwhile<T, D: Device>(
        &mut self,
        device: &mut D,
        line: &mut Line<'_>,
        watchdog: &Watchdog,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        loop {
            let now = self.clock.now();
            let tick = device.tick(now);
            if line.connected && watchdog.is_over(now) {
                line.connected = false;
                line.forget();
                let silent = watchdog.silent_for(now);
                stop(device, now, true, silent, &mut self.report);
                (self.report)(now, &Report::Lost(Loss::Silent { ms: silent }));
                return None;
            }
            let due = if line.connected { watchdog.due() } else { u64::MAX };
            let wake = tick.map_or(due, |tick| tick.min(due));
            if wake == u64::MAX {
                return Some(future.await);
            }
            if let Either::First(done) = select(future.as_mut(), self.clock.sleep_until(wake)).await {
                return Some(done);
            }
        }
    }

    fn hello(&mut self, line: &mut Line<'_>, out: &mut Answers<'_>) {
        let now = self.clock.now();
        line.spoke = now;
        let hello = Hello {
            identifier: self.settings.identifier,
            address: self.settings.address,
            keepalive_ms: Some(self.settings.keepalive_ms),
            reset: self.settings.reset,
        };
        match hello.encode(out.free()) {
            Ok(len) => {
                out.len += len;
                (self.report)(now, &Report::Hello);
            }
            Err(_) => out.dropped.add(1),
        }
    }
}

/// Answers that wait to be written.
struct Answers<'b> {
    buffer: &'b mut [u8],
    len: usize,
    dropped: Tally,
}

impl Answers<'_> {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn free(&mut self) -> &mut [u8] {
        &mut self.buffer[self.len..]
    }

    fn written(&mut self, bytes: usize) {
        let written = bytes.min(self.len);
        self.buffer.copy_within(written..self.len, 0);
        self.len -= written;
    }

    /// Forgets all but the first answer, of which a part may be written: what comes behind must not be its end.
    fn keep_first(&mut self, delimiter: u8) {
        let end = self.bytes().iter().position(|b| *b == delimiter);
        self.len = end.map_or(0, |end| end + 1);
    }
}

impl Reply for Answers<'_> {
    fn send(&mut self, frame: &[u8]) {
        match self.free().get_mut(..frame.len()) {
            Some(place) => {
                place.copy_from_slice(frame);
                self.len += frame.len();
            }
            None => self.dropped.add(1),
        }
    }
}
