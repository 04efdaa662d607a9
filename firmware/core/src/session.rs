//! One websocket, from the handshake to its end.
//!
//! Whatever is waited for, the device moves on meanwhile and the watchdog watches: nothing that the gateway does or
//! leaves undone, not even taking no bytes, holds a stop up.

use core::pin::pin;

use edge_ws::FrameType;
use embassy_futures::select::{Either, select};
use embedded_io_async::{Error as _, Read, Write};
use wsdm_protocol::{Handshake, close};

use crate::client::{stop, within};
use crate::clock::Clock;
use crate::device::{Device, Flow, Reply};
use crate::frames::{Frame, Incoming, Outgoing};
use crate::report::{Loss, Report};
use crate::settings::{Identity, Timing};
use crate::tally::Tally;
use crate::watchdog::Watchdog;

/// How a session ended.
pub(crate) enum End {
    PoweredOff,
    Refused,
    Lost,
}

/// What a session needs besides a connection.
pub(crate) struct Session<'a, D, C, R, F> {
    pub(crate) device: &'a mut D,
    pub(crate) clock: &'a C,
    pub(crate) random: &'a mut R,
    pub(crate) report: &'a mut F,
    pub(crate) timing: &'a Timing,
    /// Answers for which there was no room.
    pub(crate) dropped: Tally,
}

/// A frame's effect on the session.
enum Next {
    Stay,
    PowerOff,
    /// The gateway closed; what it said is reported. The code goes back to it.
    Closed(Option<u16>, End),
}

impl<D, C, R, F> Session<'_, D, C, R, F>
where
    D: Device,
    C: Clock,
    R: FnMut() -> u32,
    F: FnMut(u64, &Report<'_>),
{
    /// Introduces the device, and obeys until the end. Outputs are off when this returns.
    pub(crate) async fn run<S: Read + Write>(
        mut self,
        stream: &mut S,
        mut incoming: Incoming<'_>,
        outgoing: &mut Outgoing<'_>,
        identity: &Identity<'_>,
    ) -> End {
        let now = self.clock.now();
        let mut watchdog = Watchdog::new(self.timing.silence, now);
        let pumped = self
            .pump(stream, &mut incoming, outgoing, identity, &mut watchdog)
            .await;
        // First of all; what is said to the gateway can wait.
        let now = self.clock.now();
        let silent = watchdog.silent_for(now);
        let by_watchdog = matches!(pumped, Err(Loss::Silent { .. }));
        stop(self.device, now, by_watchdog, silent, self.report);
        if let Some(count) = self.dropped.rest() {
            (self.report)(now, &Report::AnswersDropped(count));
        }
        let (code, end) = match pumped {
            Ok(Next::Closed(code, end)) => (code, end),
            Ok(_) => (Some(close::NORMAL), End::PoweredOff),
            Err(loss) => {
                (self.report)(now, &Report::Lost(loss));
                match loss {
                    Loss::Protocol(e) => (Some(e.close_code()), End::Lost),
                    _ => return End::Lost,
                }
            }
        };
        // Behind the last answers. A buffer that is full of them says goodbye all the same.
        if outgoing.push_close(code, (self.random)()).is_err() {
            outgoing.clear();
            let _ = outgoing.push_close(code, (self.random)());
        }
        let by = now + self.timing.close;
        let _ = within(self.clock, by, stream.write_all(outgoing.bytes())).await;
        end
    }

    async fn pump<S: Read + Write>(
        &mut self,
        stream: &mut S,
        incoming: &mut Incoming<'_>,
        outgoing: &mut Outgoing<'_>,
        identity: &Identity<'_>,
        watchdog: &mut Watchdog,
    ) -> Result<Next, Loss<'static>> {
        self.introduce(outgoing, identity)?;
        self.write(stream, outgoing, watchdog).await?;
        let now = self.clock.now();
        self.device.connected(now);
        (self.report)(now, &Report::Connected);
        let mut pinged = now;
        loop {
            loop {
                let next = self.take(incoming, outgoing)?;
                match next {
                    Some(Next::Stay) => {}
                    Some(next) => return Ok(next),
                    None => break,
                }
            }
            let now = self.clock.now();
            if let Some(count) = self.dropped.due(now) {
                (self.report)(now, &Report::AnswersDropped(count));
            }
            self.write(stream, outgoing, watchdog).await?;
            let every = self.ping_every();
            let ping = pinged.max(watchdog.heard()).saturating_add(every);
            let read = self
                .meanwhile(watchdog, Some(ping), stream.read(incoming.space()))
                .await?;
            match read {
                Some(Ok(0)) => return Err(Loss::Ended),
                Some(Ok(read)) => {
                    incoming.filled(read);
                    watchdog.feed(self.clock.now());
                }
                Some(Err(e)) => return Err(Loss::Broken(e.kind())),
                None => {
                    pinged = self.clock.now();
                    let mask = (self.random)();
                    if outgoing.push(FrameType::Ping, &[], mask).is_err() {
                        // Cannot be: everything was written. Without pongs the watchdog would stop the outputs.
                        self.dropped.add(1);
                    }
                }
            }
        }
    }

    fn introduce(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        identity: &Identity<'_>,
    ) -> Result<(), Loss<'static>> {
        let mut text = [0; wsdm_protocol::HANDSHAKE_MAX_BYTES / 4];
        let handshake = Handshake {
            identifier: identity.identifier(),
            address: identity.address(),
            reset: identity.reset(),
        };
        outgoing.clear();
        let len = handshake.encode(&mut text).map_err(|_| Loss::HandshakeTooLarge)?;
        let mask = (self.random)();
        let pushed = outgoing.push(FrameType::Text(false), &text[..len], mask);
        pushed.map_err(|_| Loss::HandshakeTooLarge)
    }

    /// Takes one frame that has come, if there is one.
    fn take(
        &mut self,
        incoming: &mut Incoming<'_>,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Option<Next>, Loss<'static>> {
        let now = self.clock.now();
        Ok(Some(match incoming.next().map_err(Loss::Protocol)? {
            None => return Ok(None),
            Some(Frame::Nothing) => Next::Stay,
            Some(Frame::Message(message)) => {
                let mut answers = Answers {
                    outgoing,
                    random: &mut *self.random,
                    dropped: 0,
                };
                let flow = self.device.frame(now, message, &mut answers);
                self.dropped.add(answers.dropped);
                match flow {
                    Flow::Stay => Next::Stay,
                    Flow::PowerOff => Next::PowerOff,
                }
            }
            Some(Frame::Ping(payload)) => {
                let mask = (self.random)();
                if outgoing.push(FrameType::Pong, payload, mask).is_err() {
                    self.dropped.add(1);
                }
                Next::Stay
            }
            Some(Frame::Close(code, reason)) => match code {
                Some(refusal) if close::is_refusal(refusal) => {
                    (self.report)(
                        now,
                        &Report::Refused {
                            code: refusal,
                            reason,
                        },
                    );
                    Next::Closed(code, End::Refused)
                }
                _ => {
                    (self.report)(now, &Report::Lost(Loss::Closed { code, reason }));
                    Next::Closed(code, End::Lost)
                }
            },
        }))
    }

    async fn write<S: Write>(
        &mut self,
        stream: &mut S,
        outgoing: &mut Outgoing<'_>,
        watchdog: &Watchdog,
    ) -> Result<(), Loss<'static>> {
        if outgoing.bytes().is_empty() {
            return Ok(());
        }
        let written = self
            .meanwhile(watchdog, None, stream.write_all(outgoing.bytes()))
            .await;
        outgoing.clear();
        match written? {
            Some(Err(e)) => Err(Loss::Broken(e.kind())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Waits for something while the device moves on. `None` at `until`.
    async fn meanwhile<T>(
        &mut self,
        watchdog: &Watchdog,
        until: Option<u64>,
        future: impl Future<Output = T>,
    ) -> Result<Option<T>, Loss<'static>> {
        let mut future = pin!(future);
        loop {
            let now = self.clock.now();
            let tick = self.device.tick(now);
            let given_up = if self.device.is_on() {
                watchdog.due()
            } else {
                watchdog.heard().saturating_add(self.timing.gone)
            };
            if now >= given_up {
                return Err(Loss::Silent {
                    ms: watchdog.silent_for(now),
                });
            }
            if until.is_some_and(|until| now >= until) {
                return Ok(None);
            }
            let wake = [tick, until].into_iter().flatten().fold(given_up, u64::min);
            if let Either::First(done) = select(future.as_mut(), self.clock.sleep_until(wake)).await {
                return Ok(Some(done));
            }
        }
    }

    fn ping_every(&self) -> u64 {
        if self.device.is_on() {
            self.timing.ping
        } else {
            self.timing.gone / 2
        }
    }
}

/// Answers as frames.
struct Answers<'a, 'b, R> {
    outgoing: &'a mut Outgoing<'b>,
    random: &'a mut R,
    dropped: u32,
}

impl<R: FnMut() -> u32> Reply for Answers<'_, '_, R> {
    fn send(&mut self, frame: &[u8]) {
        let mask = (self.random)();
        self.dropped += u32::from(self.outgoing.push(FrameType::Binary(false), frame, mask).is_err());
    }
}
