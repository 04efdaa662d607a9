//! Repeats stops over UDP until a newer command supersedes them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::device::frame::Frame;
use crate::device::language::{Command, Language, Relation, Setting};

/// When a stop is repeated, counted from the first time. A gap in Wi-Fi reception is often longer than the first pause.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(160)];

/// How long the acknowledgement of a repeated stop may take. Boards answer within 50 ms.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// The stops to repeat.
pub(super) struct Repeats {
    pub(super) language: Option<&'static dyn Language>,
    on_close: Option<Bytes>,
    /// In the order in which they are due.
    waiting: Vec<Repeat>,
    timer: Pin<Box<Sleep>>,
    /// How many acknowledgements of repeated stops may still arrive. Upstream would take them for answers to its own
    /// commands.
    unanswered: usize,
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
    pub(super) fn new(on_close: Option<Bytes>) -> Self {
        Self {
            language: None,
            on_close,
            waiting: Vec::new(),
            timer: Box::pin(sleep_until(Instant::now())),
            unanswered: 0,
            last_sent: Instant::now(),
        }
    }

    /// Notes a frame that is about to be sent: schedules the stops in it for repetition, and cancels repetitions for the
    /// actuators that it moves.
    pub(super) fn observe(&mut self, frame: &Frame) {
        // Of a board of which it is not known what it speaks, nothing may be left out of its frame.
        let is_perhaps = |language: &dyn Language| language.stop_perhaps().contains(&&frame.0[..]);
        if self.on_close.as_ref() == Some(&frame.0) || self.language.is_some_and(is_perhaps) {
            return self.repeat(Stop::All(frame.0.clone()));
        }
        match Command::read(self.language, frame) {
            Command::StopAll => self.repeat(Stop::All(frame.0.clone())),
            Command::Set(settings) | Command::Mixed(settings) => {
                let mut stops = Vec::new();
                // In their order: one frame may set an actuator twice.
                for setting in settings {
                    if setting.is_nothing {
                        stops.push(setting);
                    } else {
                        self.supersede(&mut stops, &setting);
                    }
                }
                if !stops.is_empty() {
                    self.repeat(Stop::Set(stops));
                }
            }
            Command::Step(setting) => self.supersede(&mut Vec::new(), &setting),
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

    /// Removes what newer motion concerns from these stops and from those that wait.
    fn supersede(&mut self, stops: &mut Vec<Setting>, newer: &Setting) {
        let Some(language) = self.language else {
            return;
        };
        let is_wanted = |stop: &Setting| language.relate(newer, stop) == Relation::Apart;
        stops.retain(is_wanted);
        self.waiting.retain_mut(|waits| match &mut waits.stop {
            Stop::All(_) => false,
            Stop::Set(stops) => {
                stops.retain(is_wanted);
                !stops.is_empty()
            }
        });
    }

    /// The next stop, once it is due. It stays until [`Self::sent`].
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(Repeat { due, .. }) = self.waiting.first() else {
            return Poll::Ready(None);
        };
        if self.timer.deadline() != *due {
            self.timer.as_mut().reset(*due);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(self.next())
    }

    /// The frame of the next stop.
    fn next(&self) -> Option<Bytes> {
        match (&self.waiting.first()?.stop, self.language) {
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
        }
    }

    pub(super) fn sent(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.unanswered += match self.waiting.remove(0).stop {
            Stop::All(_) => 1,
            Stop::Set(stops) => stops.len(),
        };
        self.last_sent = Instant::now();
    }

    /// Whether every stop has been sent for the last time.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the frame acknowledges a stop that was repeated.
    pub(super) fn is_answered_by(&mut self, frame: &Frame) -> bool {
        if self.last_sent.elapsed() > ANSWERED_WITHIN {
            self.unanswered = 0;
        }
        let is_one = self.unanswered > 0
            && self
                .language
                .is_some_and(|language| language.is_acknowledgement(frame));
        if is_one {
            self.unanswered -= 1;
        }
        is_one
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::poll_fn;

    use proptest::prelude::*;

    use super::*;
    use crate::device::language::of_protocol;

    fn repeats(protocol: &str) -> Repeats {
        Repeats {
            language: of_protocol(protocol),
            ..Repeats::new(None)
        }
    }

    /// What is repeated after these frames, with the milliseconds since the last of them.
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
    async fn stops_are_repeated_unless_newer_motion_concerns_them() {
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
            ("tcode-v03", &["V000 V050\n"], &[]),
            ("tcode-v03", &["V050 V000\n"], &["V000\n"]),
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
    async fn in_an_unknown_language_the_configured_stop_is_repeated_until_anything_else_is_sent() {
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

    /// Applies frames as a board does that loses nothing: which actuators are on, and how far.
    fn obey(state: &mut BTreeMap<String, String>, language: &dyn Language, bytes: &Bytes) {
        match language.read(std::str::from_utf8(bytes).unwrap()) {
            Command::StopAll => state.retain(|actuator, _| actuator.starts_with('V')),
            Command::Set(settings) => state.extend(settings.into_iter().map(|s| (s.actuator, s.text))),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        /// Repeated stops never undo newer motion, whenever they are sent.
        #[test]
        fn repeats_leave_a_board_as_it_was(
            frames in prop::collection::vec(
                prop_oneof![
                    Just("DSTOP\n".to_owned()),
                    prop::collection::vec(("[VL][0-2]", prop_oneof![Just("000"), Just("500")]), 1..4).prop_map(|parts| {
                        let parts: Vec<String> = parts.into_iter().map(|(axis, value)| axis + value).collect();
                        parts.join(" ") + "\n"
                    }),
                ],
                1..8,
            ),
            repeated in prop::collection::vec(0_usize..4, 8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let language = of_protocol("tcode-v03").unwrap();
            let mut repeats = repeats("tcode-v03");
            let (mut plain, mut state) = (BTreeMap::new(), BTreeMap::new());
            for (frame, repeated) in frames.iter().zip(repeated) {
                let frame = Frame(Bytes::copy_from_slice(frame.as_bytes()));
                repeats.observe(&frame);
                obey(&mut plain, language, &frame.0);
                obey(&mut state, language, &frame.0);
                for _ in 0..repeated {
                    if let Some(stop) = repeats.next() {
                        obey(&mut state, language, &stop);
                        repeats.sent();
                    }
                }
                prop_assert_eq!(&state, &plain);
            }
        }
    }
}
