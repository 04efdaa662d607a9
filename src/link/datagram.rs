//! UDP as a link: one datagram a frame.
//!
//! A datagram may be lost. Of motion the next command takes the place of a lost one; of a stop nothing would, so each is
//! sent three times, unless a newer command concerns the same actuator meanwhile.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

use super::{Frame, FrameIo, LinkError};
use crate::defaults::DATAGRAM_MAX_BYTES;
use crate::device::language::{Command, Language, Relation, Setting};

/// When a stop is sent again, counted from the first time. A gap of Wi-Fi is often longer than the first pause.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(160)];

/// How long the acknowledgement of a repeated stop is waited for. Boards answer in 50 ms.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// A UDP socket that is connected to a board.
pub struct Datagrams {
    socket: UdpSocket,
    buffer: Box<[u8]>,
    /// A frame that the socket has not taken.
    out: Option<Bytes>,
    repeats: Repeats,
    /// Datagrams in either direction that were too large, and dropped.
    oversize: u64,
}

impl Datagrams {
    /// Sends frames through this socket. `on_close` are the bytes that stop the board, if its owner configured them.
    pub fn new(socket: UdpSocket, on_close: Option<Bytes>) -> Self {
        Self {
            socket,
            // One byte more tells a datagram that is too large.
            buffer: vec![0; DATAGRAM_MAX_BYTES + 1].into_boxed_slice(),
            out: None,
            repeats: Repeats::new(on_close),
            oversize: 0,
        }
    }

    fn count_oversize(&mut self, what: &str) {
        if self.oversize == 0 {
            warn!(
                "a datagram {what} of more than {DATAGRAM_MAX_BYTES} bytes is dropped; only the first is reported"
            );
        }
        self.oversize += 1;
    }

    /// Sends the stops again that are due, unless a newer frame waits.
    fn poll_repeats(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        while self.out.is_none()
            && let Poll::Ready(Some(stop)) = self.repeats.poll_due(cx)
        {
            match self.socket.poll_send(cx, &stop) {
                Poll::Ready(sent) => {
                    self.repeats.sent();
                    sent_or_lost(sent)?;
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

/// A full queue of the system loses a datagram, as the network may. What remains means that nobody is there.
fn sent_or_lost(sent: io::Result<usize>) -> Result<(), LinkError> {
    match sent {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted) => Ok(()),
        Err(e) => Err(gone(e)),
    }
}

fn gone(error: io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => LinkError::Lost(io::Error::new(
            error.kind(),
            "nothing on the board listens on its UDP port",
        )),
        _ => LinkError::Lost(error),
    }
}

impl Stream for Datagrams {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Err(e) = this.poll_repeats(cx) {
            return Poll::Ready(Some(Err(e)));
        }
        let mut buf = ReadBuf::new(&mut this.buffer);
        match ready!(this.socket.poll_recv(cx, &mut buf)) {
            Err(e) => Poll::Ready(Some(Err(gone(e)))),
            Ok(()) if buf.filled().len() > DATAGRAM_MAX_BYTES => {
                this.count_oversize("from the board");
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            // An empty datagram holds nothing.
            Ok(()) if buf.filled().is_empty() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(()) => {
                let frame = Frame(Bytes::copy_from_slice(buf.filled()));
                if this.repeats.is_answered_by(&frame) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

impl Sink<Frame> for Datagrams {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }

    /// A frame that fits no datagram is dropped, counted and logged: nothing can bring it across, and the board is not to
    /// blame.
    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        if frame.0.len() > DATAGRAM_MAX_BYTES {
            self.count_oversize("for the board");
            return Ok(());
        }
        self.repeats.observe(&frame);
        self.out = Some(frame.0);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let this = &mut *self;
        if let Some(bytes) = &this.out {
            let sent = ready!(this.socket.poll_send(cx, bytes));
            this.out = None;
            sent_or_lost(sent)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when each stop was sent as often as it is to be. The caller sets the timeout.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.poll_repeats(cx)?;
        if self.repeats.waiting.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl FrameIo for Datagrams {
    fn set_language(&mut self, language: Option<&'static dyn Language>, _: bool) {
        self.repeats.language = language;
    }
}

/// Stops that are sent again.
struct Repeats {
    language: Option<&'static dyn Language>,
    on_close: Option<Bytes>,
    /// In the order in which they are due.
    waiting: Vec<Repeat>,
    timer: Pin<Box<Sleep>>,
    /// Acknowledgements of repeated stops that may still come: upstream would take them for answers to its questions.
    owed: usize,
    /// When the last stop was repeated.
    last_sent: Instant,
}

#[derive(Clone, Debug)]
struct Repeat {
    due: Instant,
    stop: Stop,
}

#[derive(Clone, Debug, PartialEq)]
enum Stop {
    /// Sets these actuators to nothing.
    Set(Vec<Setting>),
    /// Stops everything.
    All(Bytes),
}

impl Repeats {
    fn new(on_close: Option<Bytes>) -> Self {
        Self {
            language: None,
            on_close,
            waiting: Vec::new(),
            timer: Box::pin(sleep_until(Instant::now())),
            owed: 0,
            last_sent: Instant::now(),
        }
    }

    /// A frame is about to be sent: what of it stops something is sent again, and what it concerns otherwise no more.
    fn observe(&mut self, frame: &Frame) {
        if self.on_close.as_ref() == Some(&frame.0) {
            return self.repeat(Stop::All(frame.0.clone()));
        }
        match Command::read(self.language, frame) {
            Command::StopAll => self.repeat(Stop::All(frame.0.clone())),
            Command::Set(settings) | Command::Mixed(settings) => {
                let (stops, motion): (Vec<_>, Vec<_>) = settings.into_iter().partition(|s| s.is_nothing);
                self.supersede(&motion);
                if !stops.is_empty() {
                    self.repeat(Stop::Set(stops));
                }
            }
            Command::Step(setting) => self.supersede(&[setting]),
            // A sign of life moves nothing in any language.
            Command::Unknown if frame.0.iter().all(u8::is_ascii_whitespace) => {}
            Command::Unknown => self.waiting.clear(),
            Command::Other => {}
        }
    }

    fn repeat(&mut self, stop: Stop) {
        self.waiting.retain(|waits| waits.stop != stop);
        let now = Instant::now();
        self.waiting.extend(AGAIN_AFTER.map(|after| Repeat {
            due: now + after,
            stop: stop.clone(),
        }));
        self.waiting.sort_by_key(|waits| waits.due);
    }

    /// Motion is newer than the stops that wait: of them only what it does not concern is still wanted.
    fn supersede(&mut self, motion: &[Setting]) {
        let Some(language) = self.language.filter(|_| !motion.is_empty()) else {
            return;
        };
        self.waiting.retain_mut(|waits| match &mut waits.stop {
            Stop::All(_) => false,
            Stop::Set(stops) => {
                let apart = |stop: &Setting| {
                    let relation = |newer| language.relate(newer, stop);
                    motion.iter().all(|newer| relation(newer) == Relation::Apart)
                };
                stops.retain(apart);
                !stops.is_empty()
            }
        });
    }

    /// The stop that is due next, which stays until [`Self::sent`].
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(Repeat { due, stop }) = self.waiting.first() else {
            return Poll::Ready(None);
        };
        if self.timer.deadline() != *due {
            self.timer.as_mut().reset(*due);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(match (stop, self.language) {
            (Stop::All(bytes), _) => Some(bytes.clone()),
            (Stop::Set(stops), Some(language)) if language.joins() => Some(language.write(stops).0),
            (Stop::Set(stops), Some(language)) => {
                let frames = stops
                    .iter()
                    .map(|stop| language.write(std::slice::from_ref(stop)));
                let frames: Vec<Bytes> = frames.map(|frame| frame.0).collect();
                Some(frames.concat().into())
            }
            (Stop::Set(_), None) => None,
        })
    }

    fn sent(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.owed += match self.waiting.remove(0).stop {
            Stop::All(_) => 1,
            Stop::Set(stops) => stops.len(),
        };
        self.last_sent = Instant::now();
    }

    /// Whether the frame acknowledges a stop that was repeated.
    fn is_answered_by(&mut self, frame: &Frame) -> bool {
        if self.last_sent.elapsed() > ANSWERED_WITHIN {
            self.owed = 0;
        }
        let is_one = self.owed > 0
            && self
                .language
                .is_some_and(|language| language.is_acknowledgement(frame));
        if is_one {
            self.owed -= 1;
        }
        is_one
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::device::language::of_protocol;

    fn repeats(protocol: &str) -> Repeats {
        Repeats {
            language: of_protocol(protocol),
            ..Repeats::new(None)
        }
    }

    /// What is sent again after these frames, with the milliseconds from the last of them.
    async fn again(repeats: &mut Repeats, frames: &[&str]) -> Vec<(u128, String)> {
        for frame in frames {
            repeats.observe(&Frame::from(Bytes::copy_from_slice(frame.as_bytes())));
        }
        let start = Instant::now();
        let mut sent = Vec::new();
        while let Some(stop) = poll_fn(|cx| repeats.poll_due(cx)).await {
            repeats.sent();
            let text = String::from_utf8(stop.to_vec()).unwrap();
            sent.push((start.elapsed().as_millis(), text));
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn stops_are_sent_again_as_far_as_nothing_newer_concerns_them() {
        let (soon, later) = (AGAIN_AFTER[0].as_millis(), AGAIN_AFTER[1].as_millis());
        for (protocol, frames, wanted) in [
            ("tcode-v03", &["DSTOP\n"][..], &["DSTOP\n"][..]),
            (
                "tcode-v03",
                &["DSTOP\n", "V000 V100\n"],
                &["DSTOP\n", "V000 V100\n"],
            ),
            ("tcode-v03", &["V000\n", "V000\n"], &["V000\n"]),
            ("tcode-v03", &["V000 L0500\n"], &["V000\n"]),
            ("tcode-v03", &["V000 V100\n", "V050\n"], &["V100\n"]),
            ("tcode-v03", &["V000\n", "L0500I100\n"], &["V000\n"]),
            ("tcode-v03", &["DSTOP\n", "L0500I100\n"], &[]),
            ("tcode-v03", &["DSTOP\n", "D1\n"], &["DSTOP\n"]),
            ("tcode-v03", &["L0500I100\n", "V050\n"], &[]),
            ("lovense", &["Vibrate:0;"], &["Vibrate:0;"]),
            ("lovense", &["Vibrate:0;", "Vibrate:5;"], &[]),
        ] {
            let sent = again(&mut repeats(protocol), frames).await;
            let both = |after| wanted.iter().map(move |text| (after, (*text).to_owned()));
            assert_eq!(
                sent,
                both(soon).chain(both(later)).collect::<Vec<_>>(),
                "{frames:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_an_unknown_language_the_configured_stop_is_sent_again_until_anything_else_is_said() {
        let stop = || Repeats::new(Some(Bytes::from_static(b"off")));
        let sent = again(&mut stop(), &["off", "\n"]).await;
        assert_eq!(
            sent.iter().map(|(_, text)| text).collect::<Vec<_>>(),
            ["off", "off"]
        );
        assert_eq!(again(&mut stop(), &["off", "go"]).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn the_acknowledgement_of_a_repeated_stop_is_not_passed_on() {
        let mut repeats = repeats("lovense");
        let answered = |repeats: &mut Repeats, text: &'static str| repeats.is_answered_by(&Frame::from(text));
        assert!(!answered(&mut repeats, "OK;"));
        again(&mut repeats, &["Vibrate:0;"]).await;
        assert!(answered(&mut repeats, "OK;\n"));
        assert!(!answered(&mut repeats, "Z:11:0;"));
        assert!(answered(&mut repeats, "ERR;"));
        assert!(!answered(&mut repeats, "OK;"));
        again(&mut repeats, &["Vibrate:0;"]).await;
        tokio::time::advance(ANSWERED_WITHIN * 2).await;
        assert!(!answered(&mut repeats, "OK;"), "it was lost");
    }
}
