use std::sync::{Arc, Mutex};

use futures::SinkExt;
use futures::task::noop_waker;

use super::*;

/// A line that takes as many frames as it is given leave to.
#[derive(Default)]
struct Line {
    leave: Arc<Mutex<usize>>,
    written: Arc<Mutex<Vec<String>>>,
    said: Option<Hello>,
}

impl Stream for Line {
    type Item = Result<Frame, LinkError>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

impl Sink<Frame> for Line {
    type Error = LinkError;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if *self.leave.lock().unwrap() > 0 {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        *self.leave.lock().unwrap() -= 1;
        let text = String::from_utf8(frame.0.to_vec()).unwrap();
        self.written.lock().unwrap().push(text);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
}

impl FrameIo for Line {
    fn take_hello(&mut self) -> Option<Hello> {
        self.said.take()
    }
}

struct Rig {
    outbox: Outbox<Line>,
    leave: Arc<Mutex<usize>>,
    written: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    fn new(by: Coalesce) -> Self {
        let line = Line::default();
        let (leave, written) = (line.leave.clone(), line.written.clone());
        Self {
            outbox: Outbox::new(line, by, Known::default()),
            leave,
            written,
        }
    }

    fn frame(text: &str) -> Frame {
        Frame(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Hands frames over while the line takes none.
    async fn send(&mut self, frames: &[&str]) {
        for text in frames {
            self.outbox.send(Self::frame(text)).await.unwrap();
        }
    }

    /// What the line carries in so much time, while nobody sends anything.
    async fn silence(&mut self, time: Duration) -> Vec<String> {
        *self.leave.lock().unwrap() = 1_000;
        let _ = tokio::time::timeout(time, self.outbox.next()).await;
        std::mem::take(&mut *self.written.lock().unwrap())
    }

    /// What the line carries when it takes that many frames more.
    fn carries(&mut self, frames: usize) -> Vec<String> {
        *self.leave.lock().unwrap() += frames;
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        assert!(self.outbox.poll_next_unpin(&mut cx).is_pending());
        *self.leave.lock().unwrap() = 0;
        std::mem::take(&mut self.written.lock().unwrap())
    }
}

#[tokio::test]
async fn the_newest_command_of_each_name_waits_and_queries_keep_their_turn() {
    let mut rig = Rig::new(Coalesce::Lovense);
    rig.send(&[
        "Vibrate:1;",
        "Battery;",
        "Rotate:1;",
        "Vibrate:2;",
        "RotateChange;",
        "Vibrate:3;",
        "Battery;",
    ])
    .await;
    assert_eq!(
        rig.carries(9),
        ["Vibrate:3;", "Battery;", "Rotate:1;", "RotateChange;", "Battery;"]
    );
}

#[tokio::test]
async fn a_value_of_nothing_goes_first() {
    let mut rig = Rig::new(Coalesce::Lovense);
    rig.send(&[
        "Battery;",
        "Rotate:5;",
        "Vibrate1:4;",
        "Vibrate1:0;",
        "Vibrate2:0;",
    ])
    .await;
    assert_eq!(rig.carries(2), ["Vibrate1:0;", "Vibrate2:0;"]);
    assert_eq!(rig.carries(9), ["Battery;", "Rotate:5;"]);
}

#[tokio::test]
async fn tcode_axes_are_merged_into_one_line() {
    let mut rig = Rig::new(Coalesce::Tcode);
    rig.send(&["L0100\n", "L0200I50 R0300\n", "D1\n", "l0999\n", "V050\n"])
        .await;
    assert_eq!(rig.carries(9), ["l0999 R0300 V050\n", "D1\n"]);
    rig.send(&["D0\n", "L0100\n", "V000\n"]).await;
    assert_eq!(rig.carries(9), ["L0100 V000\n", "D0\n"]);
}

#[tokio::test]
async fn a_stop_of_upstream_drops_the_motion_before_it() {
    let mut rig = Rig::new(Coalesce::Tcode);
    rig.send(&["L0100\n", "D1\n", "DSTOP\n", "L0200\n"]).await;
    assert_eq!(rig.carries(9), ["DSTOP\n", "D1\n", "L0200\n"]);
}

#[tokio::test]
async fn stop_bytes_overtake_everything_and_a_flush_waits_for_them() {
    for by in [Coalesce::None, Coalesce::Lovense] {
        let mut rig = Rig::new(by);
        rig.send(&["Vibrate:9;"]).await;
        rig.outbox.make_way();
        rig.outbox.feed(Rig::frame("Vibrate:0;")).await.unwrap();
        rig.outbox.feed(Rig::frame("Rotate:0;")).await.unwrap();
        {
            let mut flush = std::pin::pin!(rig.outbox.flush());
            assert!(futures::poll!(flush.as_mut()).is_pending());
            *rig.leave.lock().unwrap() = 2;
            flush.await.unwrap();
        }
        assert_eq!(rig.carries(9), ["Vibrate:0;", "Rotate:0;"]);
        // From then on it is an ordinary link again.
        rig.send(&["Vibrate:3;"]).await;
        assert_eq!(rig.carries(9), ["Vibrate:3;"]);
    }
}

#[tokio::test]
async fn where_no_protocol_is_known_the_sender_waits_for_the_line() {
    let mut rig = Rig::new(Coalesce::None);
    rig.send(&["one"]).await;
    let send = rig.outbox.send(Rig::frame("two"));
    assert!(futures::poll!(std::pin::pin!(send)).is_pending());
    assert_eq!(rig.carries(1), ["one"]);
    rig.send(&["two"]).await;
    assert_eq!(rig.carries(1), ["two"]);
}

#[tokio::test]
async fn queries_are_bounded_by_waiting_not_by_loss() {
    let mut rig = Rig::new(Coalesce::Tcode);
    for _ in 0..OUTBOX_MAX {
        rig.send(&["D0\n"]).await;
    }
    let send = rig.outbox.send(Rig::frame("D1\n"));
    assert!(futures::poll!(std::pin::pin!(send)).is_pending());
    assert_eq!(rig.carries(2 * OUTBOX_MAX).len(), OUTBOX_MAX);
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_fed_in_silence_while_somebody_has_control() {
    let every = Duration::from_millis(200);
    let mut rig = Rig::new(Coalesce::Lovense);
    rig.outbox.known.keepalive = Some(every);
    assert!(rig.silence(5 * every).await.is_empty(), "nobody has control yet");
    rig.send(&["Vibrate:1;"]).await;
    let seen = rig.silence(every * 7 / 2).await;
    assert_eq!(seen, ["Vibrate:1;", "\n", "\n", "\n"]);
    rig.outbox.make_way();
    rig.outbox.flush().await.unwrap();
    assert!(rig.silence(5 * every).await.is_empty(), "control was lost");
}

fn hello(keepalive_ms: u64) -> Option<Hello> {
    let line = format!("{{\"identifier\":\"x\",\"version\":0,\"keepalive_ms\":{keepalive_ms}}}");
    Hello::parse_later(line.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_hello_line_that_comes_later_begins_the_feeding_where_somebody_has_control_and_changes_no_keepalive()
 {
    let every = Duration::from_millis(200);
    let mut rig = Rig::new(Coalesce::Lovense);
    rig.send(&["Vibrate:1;"]).await;
    assert_eq!(
        rig.silence(5 * every).await,
        ["Vibrate:1;"],
        "no watchdog is known"
    );
    // From half a pause to half a pause.
    for (asked, time) in [(200, every * 5 / 2), (20, every * 2)] {
        rig.outbox.link.said = hello(asked);
        assert_eq!(rig.silence(time).await, ["\n", "\n"], "{asked}");
    }

    let mut rig = Rig::new(Coalesce::Lovense);
    rig.outbox.link.said = hello(200);
    assert!(rig.silence(5 * every).await.is_empty(), "nobody has control");
}
