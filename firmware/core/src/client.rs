//! Over a network: dial, upgrade, introduce, obey, and all over again.

use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use embedded_io_async::{Error as _, Read, Write};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::Device;
use crate::frames::{Incoming, Outgoing};
use crate::report::{Loss, Report};
use crate::session::{End, Session};
use crate::settings::{Gateway, Identity, Timing};
use crate::tally::Tally;
use crate::upgrade::{self, Answer, Key, UpgradeError};
use crate::{Ended, Stopped};

/// How a board connects.
#[allow(
    async_fn_in_trait,
    reason = "boards run everything on one core, nothing here must be Send"
)]
pub trait Dial {
    /// A connection. What is written goes out without being flushed, and small pieces are not held back (no Nagle).
    /// Reads may be dropped and lose nothing, as those of embassy-net and tokio may.
    type Stream<'s>: Read + Write
    where
        Self: 's;

    /// Whether every connection is encrypted, and to the right gateway. A token for `wss://` goes over no other.
    fn is_secure(&self) -> bool {
        false
    }

    /// Connects, looking the name up where it is one. May be dropped when it takes too long.
    ///
    /// # Errors
    /// Why there is no connection: [`Loss::Unreachable`] if nobody answers, [`Loss::NotFound`] if the gateway was searched
    /// for and did not answer, or that it is not the right gateway.
    async fn dial(&mut self, host: &str, port: u16) -> Result<Self::Stream<'_>, Loss<'static>>;

    /// Ends a connection, so that the gateway learns of it. The time is bounded by the caller.
    async fn hang_up<'s>(stream: Self::Stream<'s>)
    where
        Self: 's;
}

/// Room for what comes and what goes. A message over `RX` ends the connection; the upgrade's answer needs some 300
/// bytes of it, more behind a proxy. The request and the handshake need some 250 bytes of `TX`.
#[derive(Debug)]
pub struct Memory<const RX: usize = 2048, const TX: usize = 1024> {
    rx: [u8; RX],
    tx: [u8; TX],
}

impl<const RX: usize, const TX: usize> Memory<RX, TX> {
    /// Room.
    pub const fn new() -> Self {
        Self {
            rx: [0; RX],
            tx: [0; TX],
        }
    }

    pub(crate) fn both(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.rx, &mut self.tx)
    }
}

impl<const RX: usize, const TX: usize> Default for Memory<RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

/// A device's half of a connection to a gateway, and what a board lends it.
#[derive(Debug)]
pub struct Client<'a, L, C, R, F> {
    /// Where the gateway is.
    pub gateway: Gateway<'a>,
    /// Who the device is.
    pub identity: Identity<'a>,
    /// How patient it is.
    pub timing: Timing,
    /// How the board connects.
    pub dial: L,
    /// The board's clock.
    pub clock: C,
    /// Random numbers: for keys, masks and pauses. Good ones keep a proxy from being tricked.
    pub random: R,
    /// Is told what happens, and when.
    pub report: F,
}

impl<L, C, R, F> Client<'_, L, C, R, F>
where
    L: Dial,
    C: Clock,
    R: FnMut() -> u32,
    F: FnMut(u64, &Report<'_>),
{
    /// Keeps the device connected until it is told to turn itself off. Whoever drops this future before must call
    /// [`Device::stop`].
    pub async fn run<D, const RX: usize, const TX: usize>(
        &mut self,
        memory: &mut Memory<RX, TX>,
        device: &mut D,
    ) -> Ended
    where
        D: Device,
    {
        let mut backoff = Backoff::new(self.timing.retry, self.timing.retry_cap, self.timing.lasted);
        loop {
            let Self { gateway, timing, .. } = *self;
            (self.report)(
                self.clock.now(),
                &Report::Connecting {
                    host: gateway.host(),
                    port: gateway.port(),
                },
            );
            let at_least = match self.connection(memory, device).await {
                Once::PoweredOff => return Ended::PoweredOff,
                Once::Refused => timing.refused,
                Once::Lost { up } => {
                    backoff.connected_for(up);
                    if up >= timing.lasted {
                        // The gateway has heard it.
                        self.identity = self.identity.with_reset(None);
                    }
                    0
                }
            };
            let ms = backoff.next_pause((self.random)()).max(at_least);
            let now = self.clock.now();
            (self.report)(now, &Report::Waiting { ms });
            self.clock.sleep_until(now + ms).await;
        }
    }

    /// One connection, from the first to the last byte. What has to do with connections and not with the device is called
    /// through a pointer: compiled into this for every device, TLS would be in the image as often.
    async fn connection<D: Device, const RX: usize, const TX: usize>(
        &mut self,
        memory: &mut Memory<RX, TX>,
        device: &mut D,
    ) -> Once {
        let Self {
            gateway,
            identity,
            timing,
            dial,
            clock,
            random,
            report,
        } = self;
        if gateway.is_tls() && !dial.is_secure() {
            report(clock.now(), &Report::Lost(Loss::NoFingerprint));
            return Once::Refused;
        }
        let by = clock.now() + timing.connect;
        let dialled = {
            let dialling: Pin<&mut dyn Future<Output = _>> = pin!(dial.dial(gateway.host(), gateway.port()));
            within(clock, by, dialling).await
        };
        let mut stream = match dialled.unwrap_or(Err(Loss::Slow)) {
            Ok(stream) => stream,
            Err(loss) => {
                report(clock.now(), &Report::Lost(loss));
                return Once::Lost { up: 0 };
            }
        };
        let (rx, tx) = memory.both();
        let by = clock.now() + timing.connect;
        let upgraded = match within(clock, by, upgrade(gateway, random, &mut stream, rx, tx)).await {
            Some(upgraded) => upgraded,
            None => Err(Loss::Slow),
        };
        let once = match upgraded {
            Ok(Upgraded::Websocket { start, end }) => {
                let mut outgoing = Outgoing::new(tx);
                let begin = clock.now();
                let session = Session {
                    device,
                    clock,
                    random,
                    report,
                    timing,
                    dropped: Tally::default(),
                };
                match session
                    .run(
                        &mut stream,
                        Incoming::new(rx, start, end),
                        &mut outgoing,
                        identity,
                    )
                    .await
                {
                    End::PoweredOff => Once::PoweredOff,
                    End::Refused => Once::Refused,
                    End::Lost => Once::Lost {
                        up: clock.now().saturating_sub(begin),
                    },
                }
            }
            Ok(Upgraded::Rejected { status, mut end }) => {
                // Its words may come behind its head. Whoever says none is not waited for.
                let by = clock.now() + timing.close;
                let _ = within(clock, by, read_line(&mut stream, rx, &mut end)).await;
                let reason = upgrade::first_line(&rx[..end]);
                report(clock.now(), &Report::Rejected { status, reason });
                Once::Refused
            }
            Err(loss) => {
                report(clock.now(), &Report::Lost(loss));
                Once::Lost { up: 0 }
            }
        };
        let by = clock.now() + timing.close;
        let hanging_up: Pin<&mut dyn Future<Output = ()>> = pin!(L::hang_up(stream));
        // A gateway that does not take this will find out by itself.
        let _ = within(clock, by, hanging_up).await;
        if matches!(once, Once::PoweredOff) {
            report(clock.now(), &Report::PoweredOff);
        }
        once
    }
}

/// How one connection went.
enum Once {
    PoweredOff,
    Refused,
    Lost { up: u64 },
}

enum Upgraded {
    /// The first frame begins at `start`, and bytes have come up to `end`.
    Websocket { start: usize, end: usize },
    /// Something else, up to `end`.
    Rejected { status: u16, end: usize },
}

/// Makes a websocket of a connection.
async fn upgrade<S: Read + Write>(
    gateway: &Gateway<'_>,
    random: &mut impl FnMut() -> u32,
    stream: &mut S,
    rx: &mut [u8],
    tx: &mut [u8],
) -> Result<Upgraded, Loss<'static>> {
    let key = Key::new(random);
    let len = upgrade::request(gateway, &key, tx).map_err(Loss::Upgrade)?;
    stream
        .write_all(&tx[..len])
        .await
        .map_err(|e| Loss::Broken(e.kind()))?;
    let mut end = 0;
    loop {
        let space = &mut rx[end..];
        if space.is_empty() {
            return Err(Loss::Upgrade(UpgradeError::AnswerTooLarge));
        }
        match stream.read(space).await {
            Ok(0) => return Err(Loss::Ended),
            Ok(read) => end += read,
            Err(e) => return Err(Loss::Broken(e.kind())),
        }
        match upgrade::answer(&rx[..end], &key).map_err(Loss::Upgrade)? {
            Answer::Unfinished => {}
            Answer::Upgraded(start) => return Ok(Upgraded::Websocket { start, end }),
            Answer::Rejected { status } => return Ok(Upgraded::Rejected { status, end }),
        }
    }
}

/// Reads on until the first line of an answer's body is whole. Where there is no more, it ends with what there is.
async fn read_line<S: Read>(stream: &mut S, rx: &mut [u8], end: &mut usize) {
    while !upgrade::has_line(&rx[..*end]) {
        match rx.get_mut(*end..) {
            Some(space) if !space.is_empty() => match stream.read(space).await {
                Ok(0) | Err(_) => return,
                Ok(read) => *end += read,
            },
            _ => return,
        }
    }
}

/// Waits for something until a time; `None` where it was not there by then. What was waited for is dropped.
pub async fn within<T>(clock: &impl Clock, by: u64, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), clock.sleep_until(by)).await {
        Either::First(done) => Some(done),
        Either::Second(()) => None,
    }
}

/// Stops a device that lost control, and says so where something was on.
pub(crate) fn stop<D: Device>(
    device: &mut D,
    now: u64,
    by_watchdog: bool,
    silent_ms: u64,
    report: &mut impl FnMut(u64, &Report<'_>),
) {
    let was_on = device.is_on();
    device.stop(now);
    if was_on {
        report(
            now,
            &Report::Stopped(Stopped {
                by_watchdog,
                silent_ms,
            }),
        );
    }
}
