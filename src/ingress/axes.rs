//! Asks a board that is configured as TCode which axes it has.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::defaults::{ANSWER_QUIET, ANSWER_TIMEOUT_KNOWN};
use crate::device::frame::Frame;
use crate::device::recognition::{Answers, Question, Recognised};

/// Stops the board, which may still run from before, with `stop`, and asks it. `None` if it does not list its axes. Takes
/// some seconds at most. What the board says meanwhile is no frame. Not cancel safe: what was read is lost with the future.
///
/// # Errors
/// The port broke.
pub(super) async fn ask<P>(
    port: &mut P,
    read: &mut BytesMut,
    stop: &[Frame],
) -> io::Result<Option<Recognised>>
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let mut answers = Answers::default();
    let deadline = Instant::now() + ANSWER_TIMEOUT_KNOWN;
    let asked = timeout_at(deadline, async {
        for frame in stop {
            port.write_all(&frame.0).await?;
        }
        for question in Question::TCODE {
            answers.ask(question);
            for bytes in question.writes() {
                port.write_all(bytes).await?;
            }
        }
        port.flush().await
    });
    if let Ok(asked) = asked.await {
        asked?;
    }
    let mut until = deadline;
    while let Ok(got) = timeout_at(until, port.read_buf(read)).await {
        if got? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(end) = read.iter().position(|b| *b == b'\n') {
            answers.read_line(&read.split_to(end + 1));
        }
        if answers.lists_no_axes() {
            break;
        }
        // The list may come in several pieces.
        if answers.has(Question::Axes) {
            until = deadline.min(Instant::now() + ANSWER_QUIET);
        }
    }
    read.clear();
    let recognised = answers.recognised(None);
    Ok(recognised.filter(|recognised| !recognised.axes.is_empty()))
}
