//! Keeps the library waiting for an answer that may come late.
//!
//! The library waits 500 ms for a battery level; a board on Wi-Fi in power save takes longer. Any frame of the device makes
//! the library wait anew, so it gets some that are no answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::device::frame::Frame;
use crate::device::language::AnswerFilter;

/// The pause before each of those frames.
const PAUSE: Duration = Duration::from_millis(400);
/// How many there are: after them, what asked has given up.
const FRAMES: u32 = 4;

/// A wait for the answer to one frame.
pub(super) struct Waiting {
    asked: Frame,
    left: u32,
    pause: Pin<Box<Sleep>>,
}

impl Waiting {
    /// Begins when a frame is sent to the device; `None` if the library itself waits long enough for the answer.
    pub(super) fn begin(answers: &dyn AnswerFilter, asked: &Frame) -> Option<Self> {
        answers.wait_longer(asked).map(|_| Self {
            asked: asked.clone(),
            left: FRAMES,
            pause: Box::pin(sleep(PAUSE)),
        })
    }

    /// Ready with a frame for the library, or with `None` at the end.
    pub(super) fn poll(&mut self, answers: &dyn AnswerFilter, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let frame = answers.wait_longer(&self.asked).filter(|_| self.left > 0);
        if frame.is_some() {
            ready!(self.pause.as_mut().poll(cx));
            self.left -= 1;
            self.pause = Box::pin(sleep(PAUSE));
        }
        Poll::Ready(frame)
    }
}
