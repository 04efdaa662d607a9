//! A link to a board that answers no pings: instead, the gateway asks it a question in its language that moves nothing.
//!
//! Until the board has answered once, its answers are not relied on. After that, silence means that the board is gone, and
//! an overdue answer means that it has not yet read the commands before the question.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Frame, FrameIo, LinkError};
use crate::defaults::{QUESTION_PAUSE, QUESTION_TIMEOUT, SILENT_AFTER, STALE_AFTER};
use crate::device::close::CloseReason;
use crate::device::hello::Hello;
use crate::device::language::{Language, Question};

/// How many answers one poll handles before it yields.
const ANSWERS_PER_POLL: usize = 16;

/// A link that asks its board questions, to detect whether it is still there and reads what it is sent.
pub struct Questioned<L> {
    link: L,
    question: Option<Question>,
    /// Asks while nothing else is sent.
    pause: Interval,
    /// A question is to be sent.
    ask_due: bool,
    flush_due: bool,
    /// When the oldest unanswered question was sent.
    asked: Option<Instant>,
    /// When the last question was sent.
    last_asked: Option<Instant>,
    /// Whether the board has answered one.
    answers: bool,
    last_received: Instant,
    waker: Option<Waker>,
}

impl<L: FrameIo> Questioned<L> {
    /// Asks nothing until the language of the board is known.
    pub fn new(link: L) -> Self {
        let mut pause = interval_at(Instant::now() + QUESTION_PAUSE, QUESTION_PAUSE);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            link,
            question: None,
            pause,
            ask_due: false,
            flush_due: false,
            asked: None,
            last_asked: None,
            answers: false,
            last_received: Instant::now(),
            waker: None,
        }
    }

    /// Stops asking, since the board has a watchdog: questions would feed it although nobody has control.
    fn ask_nothing(&mut self) {
        self.question = None;
        self.ask_due = false;
        self.asked = None;
        self.answers = false;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Sends a question that is due. Fails if the board is gone.
    fn poll_question(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        let Some(question) = &self.question else {
            return Ok(());
        };
        while self.pause.poll_tick(cx).is_ready() {
            let silence = self.last_received.elapsed();
            if self.answers && silence >= SILENT_AFTER {
                return Err(LinkError::Silent(silence));
            }
            self.ask_due |= silence >= QUESTION_PAUSE / 2;
        }
        if self.ask_due && self.link.poll_ready_unpin(cx)?.is_ready() {
            let now = Instant::now();
            self.link
                .start_send_unpin(Frame(Bytes::from_static(question.text)))?;
            self.ask_due = false;
            self.flush_due = true;
            self.last_asked = Some(now);
            self.asked.get_or_insert(now);
        }
        if self.flush_due && self.link.poll_flush_unpin(cx)?.is_ready() {
            self.flush_due = false;
        }
        Ok(())
    }

    /// Notes a frame that the board sent. Returns whether it answers the link's own question, and must not be passed on.
    fn received(&mut self, frame: &Frame) -> bool {
        self.last_received = Instant::now();
        let was_asked = self.asked.take().is_some();
        self.answers |= was_asked;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        was_asked
            && self
                .question
                .is_some_and(|question| (question.is_answer)(&frame.0))
    }
}

impl<L: FrameIo> Stream for Questioned<L> {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        for _ in 0..ANSWERS_PER_POLL {
            // Read first: what arrived during a stall still counts.
            let next = match self.link.poll_next_unpin(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    return match self.poll_question(cx) {
                        Ok(()) => Poll::Pending,
                        Err(e) => Poll::Ready(Some(Err(e))),
                    };
                }
            };
            match &next {
                Some(Ok(frame)) if self.received(frame) => {}
                _ => return Poll::Ready(next),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<L: FrameIo> Sink<Frame> for Questioned<L> {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        // The question follows the command: its answer proves that the command was read.
        let is_free =
            (self.asked).is_none() && (self.last_asked).is_none_or(|last| last.elapsed() >= STALE_AFTER);
        self.ask_due |= self.answers && is_free;
        self.link.start_send_unpin(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.link.poll_flush_unpin(cx))?;
        if self.ask_due {
            self.poll_question(cx)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_close_unpin(cx)
    }
}

impl<L: FrameIo> FrameIo for Questioned<L> {
    fn set_close_reason(&mut self, reason: CloseReason) {
        self.link.set_close_reason(reason);
    }

    fn poll_through(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_overdue = self.answers
            && self
                .asked
                .is_some_and(|asked| asked.elapsed() >= QUESTION_TIMEOUT);
        if is_overdue {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.link.poll_through(cx)
    }

    fn take_hello(&mut self) -> Option<Hello> {
        let hello = self.link.take_hello()?;
        if hello.keepalive.is_some() {
            self.ask_nothing();
        }
        Some(hello)
    }

    fn set_language(&mut self, language: Option<&'static dyn Language>, has_watchdog: bool) {
        self.question = language.and_then(Language::question).filter(|_| !has_watchdog);
        // Find out at once whether it answers.
        self.ask_due = self.question.is_some();
        self.link.set_language(language, has_watchdog);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::timeout;

    use super::*;
    use crate::device::language::of_protocol;
    use crate::link::framing::Framing;
    use crate::link::stream::StreamLink;

    fn tcode() -> (Questioned<StreamLink<DuplexStream>>, DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        let lines = Framing::Delimiter(Bytes::from_static(b"\n"));
        let mut link = Questioned::new(StreamLink::new(near, lines, BytesMut::new()));
        link.set_language(of_protocol("tcode-v03"), false);
        (link, far)
    }

    async fn asked(far: &mut DuplexStream) {
        let mut question = [0; 3];
        far.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"D1\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_board_that_answered_and_falls_silent_is_gone() {
        let (mut link, mut far) = tcode();
        let board = async {
            asked(&mut far).await;
            far.write_all(b"TCode v0.3\r\n#button\n").await.unwrap();
            far
        };
        let (frame, _far) = tokio::join!(link.next(), board);
        assert_eq!(
            frame.unwrap().unwrap(),
            Frame::from("#button\n"),
            "the answer is ours alone"
        );
        let start = Instant::now();
        let error = link.next().await.unwrap().unwrap_err();
        assert!(matches!(error, LinkError::Silent(_)), "{error}");
        assert!(
            start.elapsed() <= SILENT_AFTER + QUESTION_PAUSE,
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_board_that_never_answered_is_not_silent() {
        let (mut link, _far) = tcode();
        let silent = timeout(Duration::from_secs(60), link.next()).await;
        assert!(silent.is_err());
        std::future::poll_fn(|cx| link.poll_through(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn motion_waits_while_the_answer_behind_earlier_motion_is_overdue() {
        let (mut link, mut far) = tcode();
        let board = async {
            asked(&mut far).await;
            far.write_all(b"TCode v0.3\n#ready\n").await.unwrap();
        };
        tokio::join!(link.next(), board).0.unwrap().unwrap();
        tokio::time::advance(STALE_AFTER).await;
        link.send(Frame::from("L0500\n")).await.unwrap();
        let mut read = [0; 9];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"L0500\nD1\n");
        let is_through = |link: &mut Questioned<_>| {
            link.poll_through(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        };
        assert!(is_through(&mut link));
        tokio::time::advance(QUESTION_TIMEOUT).await;
        assert!(!is_through(&mut link));
        far.write_all(b"TCode v0.3\n#late\n").await.unwrap();
        link.next().await.unwrap().unwrap();
        assert!(is_through(&mut link));
    }

    #[tokio::test(start_paused = true)]
    async fn a_board_with_a_watchdog_is_asked_nothing() {
        let (mut link, mut far) = tcode();
        link.set_language(of_protocol("tcode-v03"), true);
        let waits = timeout(Duration::from_secs(10), link.next()).await;
        assert!(waits.is_err());
        // The same if its hello line comes later.
        link.set_language(of_protocol("tcode-v03"), false);
        far.write_all(b"{\"identifier\":\"a\",\"version\":0,\"keepalive_ms\":200}\n#ready\n")
            .await
            .unwrap();
        link.next().await.unwrap().unwrap();
        assert!(link.take_hello().is_some());
        let waits = timeout(Duration::from_secs(10), link.next()).await;
        assert!(waits.is_err());
        drop(link);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"");
    }
}
