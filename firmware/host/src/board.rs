//! What a board lends the core: here a TCP socket or a virtual serial port, the system's clock and random numbers, and
//! printed lines.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};
#[cfg(unix)]
use std::{io, path::PathBuf};

use embedded_io_adapters::tokio_1::FromTokio;
use tokio::net::TcpStream;
use wsdm_device::{Channel, Clock, Dial, Fingerprint, Level, Loss, Outputs, TlsDial};

/// A day: what the clock sleeps at most, since the system's cannot count to the core's end of time.
const LONGEST_SLEEP_MS: u64 = 24 * 3_600 * 1_000;

/// Milliseconds since the start.
#[derive(Clone, Copy, Debug)]
pub struct SinceStart(Instant);

impl SinceStart {
    /// Starts now.
    pub fn now() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SinceStart {
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_until(&self, at: u64) {
        loop {
            let left = at.saturating_sub(self.now());
            if left == 0 {
                return;
            }
            let until = self.0 + Duration::from_millis(self.now() + left.min(LONGEST_SLEEP_MS));
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

/// TCP.
#[derive(Debug)]
pub struct Network;

impl Dial for Network {
    type Stream<'s> = FromTokio<TcpStream>;

    async fn dial(&mut self, host: &str, port: u16) -> Result<Self::Stream<'_>, Loss<'static>> {
        // An IPv6 address stands in brackets in a URL, and without them here.
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let connected = TcpStream::connect((host, port)).await;
        let stream = connected.map_err(|_| Loss::Unreachable)?;
        // Frames are small and wait for nobody; a socket that refuses this is about to fail anyway.
        let _ = stream.set_nodelay(true);
        Ok(FromTokio::new(stream))
    }

    async fn hang_up<'s>(stream: Self::Stream<'s>)
    where
        Self: 's,
    {
        drop(stream);
    }
}

/// The same within TLS if there is a fingerprint.
pub fn secured<L>(dial: L, fingerprint: Option<Fingerprint>) -> TlsDial<L, fn() -> u32> {
    TlsDial::new(dial, random, fingerprint)
}

/// A board's end of a virtual serial port. Dropping it pulls the plug.
#[cfg(unix)]
pub struct VirtualPort {
    /// What the board reads and writes.
    pub wire: FromTokio<tokio_serial::SerialStream>,
    /// Held open, so that the board can say hello before somebody has opened its port.
    _other_end: tokio_serial::SerialStream,
    link: PathBuf,
}

#[cfg(unix)]
impl VirtualPort {
    /// Makes a port that others open at `link`.
    ///
    /// # Errors
    /// There is no pseudo-terminal to be had, or `link` exists or cannot be made.
    pub fn at(link: PathBuf) -> io::Result<Self> {
        use tokio_serial::{SerialPort, SerialStream};

        let (board, other_end) = SerialStream::pair()?;
        let name = other_end.name().ok_or(io::ErrorKind::NotFound)?;
        std::os::unix::fs::symlink(name, &link)?;
        Ok(Self {
            wire: FromTokio::new(board),
            _other_end: other_end,
            link,
        })
    }
}

#[cfg(unix)]
impl Drop for VirtualPort {
    fn drop(&mut self) {
        // Somebody removed it already: then it is as it should be.
        let _ = std::fs::remove_file(&self.link);
    }
}

/// The system's random numbers.
pub fn random() -> u32 {
    // Where the system has none, the seeds of the standard hasher still differ from one to the next.
    getrandom::u32().unwrap_or_else(|_| RandomState::new().build_hasher().finish() as u32)
}

/// Prints what pins would do.
#[derive(Clone, Copy, Debug)]
pub struct Pins(pub SinceStart);

impl Outputs for Pins {
    fn set(&mut self, channel: Channel, level: Level) {
        println!("pin {channel} {level} at {} ms", self.0.now());
    }

    fn turn(&mut self, level: Level, is_reversed: bool) {
        let sign = if is_reversed && level != Level::OFF {
            "-"
        } else {
            ""
        };
        println!("pin R0 {sign}{level} at {} ms", self.0.now());
    }
}
