use std::sync::{Arc, Mutex};

use futures::Sink;
use tokio::sync::oneshot;

use super::*;
use crate::device::language::COALESCE;

/// The language of this name, if there is one.
fn by_name(name: &str) -> Option<&'static dyn Language> {
    COALESCE.iter().find(|(known, _)| *known == name)?.1
}

/// A line that accepts as many frames as the test allows.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    leave: usize,
    /// Whether proof that the far end received the frames is overdue.
    proof_overdue: bool,
    written: Vec<String>,
    hello: Option<Hello>,
}

impl Line {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
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
        if self.state().leave > 0 {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        let mut state = self.state();
        state.leave -= 1;
        let text = String::from_utf8(frame.0.to_vec()).unwrap();
        state.written.push(text);
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
        self.state().hello.take()
    }
    fn poll_through(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if self.state().proof_overdue {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

struct Rig {
    outbox: Outbox,
    line: Line,
}

impl Rig {
    fn new(language: &str) -> Self {
        Self::of(language, BoardFacts::default())
    }

    fn of(language: &str, facts: BoardFacts) -> Self {
        let line = Line::default();
        let outbox = Outbox::new(Box::new(line.clone()), by_name(language), facts, |_| {});
        Self { outbox, line }
    }

    fn frame(text: &str) -> Frame {
        Frame(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn push(&mut self, text: &str, receipt: Option<Receipt>) {
        let frame = Self::frame(text);
        let command = Command::read(self.outbox.language, &frame);
        let outgoing = Outgoing {
            receipt,
            ..frame.into()
        };
        self.outbox.push(outgoing, command);
    }

    /// Hands frames over while the line accepts none.
    fn send(&mut self, frames: &[&str]) {
        for text in frames {
            self.push(text, None);
        }
    }

    fn preempt(&mut self, frames: &[&str]) {
        let frames = frames.iter().map(|text| Self::frame(text)).collect();
        self.outbox.preempt(frames, None);
    }

    /// The frames that the line carries in this time, without new commands.
    async fn silence(&mut self, time: Duration) -> Vec<String> {
        self.line.state().leave = 1_000;
        let _ = tokio::time::timeout(time, self.outbox.next()).await;
        std::mem::take(&mut self.line.state().written)
    }

    /// The next frames, at most this many, that the line carries.
    fn carries(&mut self, frames: usize) -> Vec<String> {
        self.line.state().leave += frames;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(self.outbox.poll_next_unpin(&mut cx).is_pending());
        self.line.state().leave = 0;
        std::mem::take(&mut self.line.state().written)
    }
}

#[tokio::test]
async fn the_newest_command_of_each_name_waits_and_queries_keep_their_turn() {
    let mut rig = Rig::new("lovense");
    rig.send(&[
        "Vibrate:1;",
        "Battery;",
        "Rotate:1;",
        "Vibrate:2;",
        "RotateChange;",
        "Vibrate:3;",
        "Battery;",
    ]);
    assert_eq!(
        rig.carries(9),
        ["Vibrate:3;", "Battery;", "Rotate:1;", "RotateChange;", "Battery;"]
    );
}

#[tokio::test]
async fn a_value_of_nothing_goes_first() {
    let mut rig = Rig::new("lovense");
    rig.send(&[
        "Battery;",
        "Rotate:5;",
        "Vibrate1:4;",
        "Vibrate1:0;",
        "Vibrate2:0;",
    ]);
    assert_eq!(rig.carries(2), ["Vibrate1:0;", "Vibrate2:0;"]);
    assert_eq!(rig.carries(9), ["Battery;", "Rotate:5;"]);
}

#[tokio::test]
async fn a_stop_is_not_overtaken_by_what_it_stops_and_removes_what_it_covers() {
    let mut rig = Rig::new("lovense");
    rig.send(&[
        "Battery;",
        "Vibrate1:15;",
        "Mply:20:20;",
        "Air:Level:3;",
        "Vibrate:0;",
        "Rotate:0;",
        "Air:Level:0;",
    ]);
    assert_eq!(
        rig.carries(9),
        [
            "Air:Level:0;",
            "Battery;",
            "Mply:20:20;",
            "Vibrate:0;",
            "Rotate:0;"
        ]
    );
    rig.send(&[
        "Vibrate1:15;",
        "Vibrate2:15;",
        "Air:In:1;",
        "Vibrate:0;",
        "Air:Level:0;",
    ]);
    assert_eq!(rig.carries(9), ["Vibrate:0;", "Air:Level:0;"]);
}

#[tokio::test]
async fn what_a_command_leaves_as_it_is_keeps_its_older_value() {
    let mut rig = Rig::new("lovense");
    rig.send(&["Mply:5:6:7;", "Battery;", "Mply:-1:9;"]);
    assert_eq!(rig.carries(9), ["Mply:5:9:7;", "Battery;"]);
}

#[tokio::test]
async fn tcode_axes_are_merged_into_one_line() {
    let mut rig = Rig::new("tcode");
    rig.send(&["L0100\n", "L0200I50 R0300\n", "D1\n", "l0999\n", "V050\n"]);
    assert_eq!(rig.carries(9), ["l0999 R0300 V050\n", "D1\n"]);
    rig.send(&["D0\n", "L0100\n", "V000\n"]);
    assert_eq!(rig.carries(9), ["V000 L0100\n", "D0\n"]);
}

#[tokio::test]
async fn a_stop_of_upstream_drops_the_motion_before_it() {
    let mut rig = Rig::new("tcode");
    rig.send(&["L0100\n", "D1\n", "DSTOP\n", "L0200\n", "V000\n", "L0300\n"]);
    assert_eq!(rig.carries(9), ["DSTOP\n", "V000 L0300\n", "D1\n"]);
}

#[tokio::test]
async fn a_stop_comes_behind_the_stops_that_wait_and_before_everything_else() {
    let mut rig = Rig::new("lovense");
    rig.send(&["Battery;", "Vibrate:9;", "Air:Level:0;", "Vibrate:0;"]);
    rig.preempt(&["Vibrate:0;", "Rotate:0;"]);
    rig.send(&["Vibrate:3;"]);
    rig.preempt(&["Vibrate:0;", "Rotate:0;"]);
    assert_eq!(
        rig.carries(9),
        [
            "Air:Level:0;",
            "Vibrate:0;",
            "Vibrate:0;",
            "Rotate:0;",
            "Battery;"
        ]
    );
    // From then on it is an ordinary link again.
    rig.send(&["Vibrate:3;"]);
    assert_eq!(rig.carries(9), ["Vibrate:3;"]);
}

/// Another firmware may know a word that the gateway does not.
#[tokio::test]
async fn a_stop_drops_what_waits_with_a_word_that_may_move_something() {
    for (language, words, query, stop) in [
        (
            "lovense",
            &["Wave:5;", "Vibrate:0;Wave:5;"][..],
            "Battery;",
            "Vibrate:0;",
        ),
        ("tcode", &["X0500\n", "V00 X0500\n"], "D1\n", "DSTOP\n"),
    ] {
        let mut rig = Rig::new(language);
        rig.send(words);
        rig.send(&[query]);
        rig.preempt(&[stop]);
        assert_eq!(rig.carries(9), [stop, query]);
        rig.send(words);
        assert_eq!(rig.carries(9), words);
    }
}

#[tokio::test]
async fn in_an_unknown_language_a_stop_drops_what_waits() {
    let mut rig = Rig::new("none");
    rig.send(&["one", "two"]);
    rig.preempt(&["off"]);
    assert_eq!(rig.carries(9), ["off"]);
    // Without a language, the last frame may be the stop.
    rig.send(&["one", "two"]);
    rig.preempt(&[]);
    assert_eq!(rig.carries(9), ["one", "two"]);
}

#[tokio::test]
async fn a_receipt_comes_when_the_frame_is_written_or_superseded_and_is_dropped_with_it() {
    let mut rig = Rig::new("lovense");
    let send = |text: &str, rig: &mut Rig| {
        let (receipt, written) = oneshot::channel();
        rig.push(text, Some(receipt));
        written
    };
    let mut older = send("Vibrate:1;", &mut rig);
    let mut newer = send("Vibrate:2;Rotate:2;", &mut rig);
    let mut query = send("Battery;", &mut rig);
    assert!(older.try_recv().is_err() && newer.try_recv().is_err());
    assert_eq!(rig.carries(1), ["Vibrate:2;"]);
    assert_eq!(
        older.try_recv(),
        Ok(()),
        "a newer one took its place and is written"
    );
    assert!(newer.try_recv().is_err(), "half of it is written");
    assert_eq!(rig.carries(1), ["Rotate:2;"]);
    assert_eq!(newer.try_recv(), Ok(()));
    let mut motion = send("Vibrate:3;", &mut rig);
    let (receipt, mut stopped) = oneshot::channel();
    rig.outbox.preempt(vec![Rig::frame("Vibrate:0;")], Some(receipt));
    assert_eq!(
        motion.try_recv(),
        Err(oneshot::error::TryRecvError::Closed),
        "it is dropped"
    );
    assert_eq!(rig.carries(1), ["Vibrate:0;"]);
    assert_eq!(stopped.try_recv(), Ok(()));
    assert!(query.try_recv().is_err(), "it still waits");
    assert_eq!(rig.carries(1), ["Battery;"]);
    assert_eq!(query.try_recv(), Ok(()));
}

#[tokio::test]
async fn while_the_far_end_owes_a_proof_only_stops_are_written() {
    let mut rig = Rig::new("lovense");
    rig.line.state().proof_overdue = true;
    rig.send(&["Vibrate:1;", "Rotate:1;", "Vibrate:2;", "Rotate:0;"]);
    assert_eq!(rig.carries(9), ["Rotate:0;"]);
    rig.line.state().proof_overdue = false;
    assert_eq!(rig.carries(9), ["Vibrate:2;"]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_dropped_and_what_came_last_is_kept() {
    let later = STALE_AFTER + Duration::from_millis(1);
    let mut rig = Rig::new("none");
    rig.send(&["one"]);
    tokio::time::advance(2 * BURST).await;
    rig.send(&["two", "three"]);
    tokio::time::advance(later).await;
    assert_eq!(rig.carries(9), ["two", "three"], "they may be the stop");
    assert_eq!(rig.outbox.dropped(), 1);

    let mut rig = Rig::new("lovense");
    rig.send(&["Vibrate:1;", "Air:In:1;", "Battery;"]);
    tokio::time::advance(later).await;
    assert_eq!(rig.carries(9), ["Vibrate:1;", "Battery;"]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_only_what_may_be_the_servers_stop_is_kept() {
    for (language, kept) in [("none", &["off", "off too"][..]), ("lovense", &[])] {
        let mut rig = Rig::new(language);
        rig.send(&["one"]);
        tokio::time::advance(2 * BURST).await;
        rig.send(&["off", "off too"]);
        rig.outbox.discard_but_newest();
        let (receipt, mut written) = oneshot::channel();
        rig.outbox.preempt(Vec::new(), Some(receipt));
        let unfinished = kept.len().saturating_sub(1);
        let mut carried = rig.carries(unfinished);
        if unfinished > 0 {
            assert!(written.try_recv().is_err(), "the last is not yet written");
        }
        carried.extend(rig.carries(9));
        assert_eq!(carried, kept);
        assert_eq!(written.try_recv(), Ok(()));
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_the_oldest_goes() {
    for language in ["tcode", "none"] {
        let mut rig = Rig::new(language);
        let queries: Vec<String> = (0..OUTBOX_MAX + 3).map(|n| format!("D1{n}\n")).collect();
        for query in &queries {
            rig.send(&[query]);
        }
        assert_eq!(rig.carries(2 * OUTBOX_MAX), queries[3..]);
        assert_eq!(rig.outbox.dropped(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_fed_in_silence_while_a_controller_has_control() {
    let every = Duration::from_millis(200);
    let facts = BoardFacts {
        keepalive: Some(every),
        ..BoardFacts::default()
    };
    let mut rig = Rig::of("lovense", facts);
    assert!(rig.silence(5 * every).await.is_empty(), "nothing has control yet");
    rig.send(&["Vibrate:1;"]);
    let seen = rig.silence(every * 7 / 2).await;
    assert_eq!(seen, ["Vibrate:1;", "\n", "\n", "\n"]);
    rig.preempt(&[]);
    assert!(rig.silence(5 * every).await.is_empty(), "control was lost");
}

fn hello(keepalive_ms: u64) -> Option<Hello> {
    let line = format!("{{\"identifier\":\"x\",\"version\":0,\"keepalive_ms\":{keepalive_ms}}}");
    Hello::parse_later(line.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_hello_line_that_comes_later_begins_the_feeding_if_a_controller_has_control_and_changes_no_keepalive()
 {
    let every = Duration::from_millis(200);
    let mut rig = Rig::new("lovense");
    rig.send(&["Vibrate:1;"]);
    assert_eq!(
        rig.silence(5 * every).await,
        ["Vibrate:1;"],
        "no watchdog is known"
    );
    // From half a pause to half a pause.
    for (asked, time) in [(200, every * 5 / 2), (20, every * 2)] {
        rig.line.state().hello = hello(asked);
        assert_eq!(rig.silence(time).await, ["\n", "\n"], "{asked}");
    }

    let mut rig = Rig::new("lovense");
    rig.line.state().hello = hello(200);
    assert!(rig.silence(5 * every).await.is_empty(), "nothing has control");
}

#[tokio::test(start_paused = true)]
async fn among_frames_that_keep_their_order_no_stop_and_no_query_is_dropped() {
    let mut rig = Rig::new("none");
    for text in ["Vibrate:0;", "Battery;", "Vibrate:5;"] {
        let frame = Rig::frame(text);
        let command = Command::read(by_name("lovense"), &frame);
        rig.outbox.push(frame.into(), command);
    }
    tokio::time::advance(STALE_AFTER * 2).await;
    let frame = Rig::frame("Rotate:5;");
    let command = Command::read(by_name("lovense"), &frame);
    rig.outbox.push(frame.into(), command);
    assert_eq!(rig.carries(9), ["Vibrate:0;", "Battery;", "Rotate:5;"]);
}

#[tokio::test]
async fn at_the_end_nothing_waits_for_a_proof() {
    let mut rig = Rig::new("none");
    rig.line.state().proof_overdue = true;
    rig.send(&["off"]);
    assert!(rig.carries(9).is_empty());
    rig.outbox.begin_close();
    rig.outbox.discard_but_newest();
    assert_eq!(rig.carries(9), ["off"]);
}

#[tokio::test]
async fn a_query_does_not_wait_for_a_proof() {
    let mut rig = Rig::new("lovense");
    rig.line.state().proof_overdue = true;
    rig.send(&["Vibrate:1;", "Battery;", "Rotate:0;"]);
    assert_eq!(rig.carries(9), ["Rotate:0;", "Battery;"]);
    rig.line.state().proof_overdue = false;
    assert_eq!(rig.carries(9), ["Vibrate:1;"]);
}

#[tokio::test]
async fn a_frame_that_sets_something_among_other_things_is_motion_and_keeps_its_turn() {
    let mut rig = Rig::new("lovense");
    rig.send(&["Vibrate:1;", "Vibrate:2;Battery;", "Vibrate:3;"]);
    assert_eq!(rig.carries(9), ["Vibrate:2;Battery;", "Vibrate:3;"]);
    rig.send(&["Vibrate:2;Battery;", "Vibrate:0;"]);
    assert_eq!(rig.carries(9), ["Vibrate:2;Battery;", "Vibrate:0;"]);
    rig.send(&["Vibrate:2;Battery;"]);
    rig.preempt(&["Vibrate:0;"]);
    assert_eq!(rig.carries(9), ["Vibrate:0;"]);
}

mod at_rest;
