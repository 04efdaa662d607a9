//! What goes to and fro between the hub and one edge: its clock, the count of frames, and the connection that both use.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::device::fleet::beats::{Beat, LeaseBeat};
use crate::device::fleet::clock::{Clock, Epoch, Millis};
use crate::device::fleet::documents::{Claim, write};
use crate::device::fleet::flow::Flow;
use crate::device::fleet::names::{DeviceId, Name, Prefix};
use crate::device::fleet::topics::Topic;
use crate::net::bus::{Bus, Message, Qos};

/// An edge whose clock was not heard for this long obeys nothing: its frames wait.
const UNHEARD_AFTER: Duration = Duration::from_millis(500);

/// An edge that was not heard for this long has stopped its devices.
pub(super) const STOPPED_AFTER: Duration = Duration::from_millis(1_100);
/// For how long after a silence the hub drops what its apps send, before it takes its lease again. What waited meanwhile,
/// in a socket or in a hub that was suspended, comes at once and is too old, and nothing else tells how old it is.
const RESUMED_AFTER: Duration = Duration::from_millis(300);

/// Whether an edge is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    Heard,
    /// It has stopped its devices, or will before it is heard.
    Silent,
    /// It is heard again, since then.
    Returning(Instant),
}

/// What a beat of an edge tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing: a newer one came before.
    Old,
    /// It is there, and its beat is to be answered.
    Live,
    /// It was silent until now.
    Returning,
    /// It was silent, and what waited is dropped.
    Resumed,
}

/// One edge, as the hub's task and the sessions of its devices share it.
pub(super) struct EdgeLine {
    pub(super) edge: Name,
    pub(super) bus: Bus,
    pub(super) topics: Prefix,
    hub: Name,
    hub_epoch: Epoch,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: Option<Epoch>,
    /// The newest time of the edge's clock, and when it came.
    heard: Option<(Millis, Instant)>,
    presence: Presence,
    flow: Flow,
    /// Frames that came from its devices, modulo 2^32.
    received: u32,
    /// Sessions that wait until the edge is heard, or has received more.
    waiting: Vec<Waker>,
}

impl EdgeLine {
    pub(super) fn new(
        edge: Name,
        bus: Bus,
        topics: Prefix,
        hub: Name,
        hub_epoch: Epoch,
        clock: Clock,
    ) -> Self {
        Self {
            edge,
            bus,
            topics,
            hub,
            hub_epoch,
            clock,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic(&self, topic: &Topic) -> String {
        self.topics.topic(topic)
    }

    pub(super) fn down_topic(&self, device: &DeviceId) -> String {
        self.topic(&Topic::Down(self.edge.clone(), device.clone()))
    }

    pub(super) fn stop_topic(&self, device: &DeviceId) -> String {
        self.topic(&Topic::Stop(self.edge.clone(), device.clone()))
    }

    /// The newest time of the edge's clock.
    pub(super) fn nonce(&self) -> Millis {
        self.state().heard.map(|(nonce, _)| nonce).unwrap_or_default()
    }

    /// For how long the edge was not heard; `None` if it never was.
    pub(super) fn unheard_for(&self) -> Option<Duration> {
        self.state().heard.map(|(_, at)| at.elapsed())
    }

    /// The edge is not heard any more, or nothing can reach it: what was commanded is over.
    pub(super) fn silent(&self) {
        let mut state = self.state();
        state.presence = Presence::Silent;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether what is sent to the edge is dropped, since it has stopped its devices.
    pub(super) fn is_dropping(&self) -> bool {
        self.state().presence != Presence::Heard
    }

    /// A beat of the edge came. Without sessions there is nothing to drop.
    pub(super) fn heard(&self, beat: &Beat, has_sessions: bool) -> Heard {
        let mut state = self.state();
        if state.epoch != Some(beat.epoch) {
            // Another process of the edge, which has received nothing.
            *state = State {
                epoch: Some(beat.epoch),
                waiting: std::mem::take(&mut state.waiting),
                ..State::default()
            };
        }
        if state
            .heard
            .is_some_and(|(nonce, _)| nonce.since(beat.nonce).is_some_and(|age| age > 0))
        {
            return Heard::Old;
        }
        let now = Instant::now();
        let was_silent = state
            .heard
            .is_some_and(|(_, at)| now.duration_since(at) >= STOPPED_AFTER);
        if !has_sessions {
            state.presence = Presence::Heard;
        } else if was_silent {
            state.presence = Presence::Silent;
        }
        let heard = match state.presence {
            Presence::Heard => Heard::Live,
            Presence::Silent => {
                state.presence = Presence::Returning(now);
                Heard::Returning
            }
            Presence::Returning(since) if now.duration_since(since) < RESUMED_AFTER => Heard::Old,
            Presence::Returning(_) => {
                state.presence = Presence::Heard;
                Heard::Resumed
            }
        };
        state.heard = Some((beat.nonce, now));
        if let Some(received) = beat.received_from(self.hub_epoch) {
            state.flow.confirmed(received);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        heard
    }

    /// Answers the newest beat: the proof that this hub is there.
    pub(super) fn answer(&self) {
        let state = self.state();
        let (Some(epoch), Some((nonce, _))) = (state.epoch, state.heard) else {
            return;
        };
        let answer = LeaseBeat {
            hub_epoch: self.hub_epoch,
            epoch,
            nonce,
            sent: state.flow.total(),
            received: state.received,
        };
        drop(state);
        // One that finds no room is followed by the next.
        let _ = self.bus.try_publish(Message {
            topic: self.topic(&Topic::Lease(self.edge.clone(), self.hub.clone())),
            payload: answer.write(),
            qos: Qos::AtMostOnce,
            retain: false,
        });
    }

    /// A frame was sent to a device of the edge.
    pub(super) fn sent(&self) {
        self.state().flow.sent(self.clock.now());
    }

    /// A frame of a device of the edge came.
    pub(super) fn frame_arrived(&self) {
        let mut state = self.state();
        state.received = state.received.wrapping_add(1);
    }

    /// Ready while the edge is heard and keeps up, and while what is sent is dropped; registers the waker.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        let mut state = self.state();
        let is_heard = state.heard.is_some_and(|(_, at)| at.elapsed() < UNHEARD_AFTER);
        let is_dropping = state.presence != Presence::Heard;
        if is_dropping || is_heard && self.bus.is_connected() && state.flow.may_send(now) {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The edge is to stop this device, and may give it to another hub.
    pub(super) fn give_back(&self, device: &DeviceId) {
        self.claim(Vec::new(), vec![device.clone()]);
    }

    /// Asks for devices, and gives devices back.
    pub(super) fn claim(&self, devices: Vec<DeviceId>, release: Vec<DeviceId>) {
        let claim = Claim {
            hub: self.hub.clone(),
            hub_epoch: self.hub_epoch,
            devices,
            release,
        };
        // While the broker is away, the edge takes its devices back by itself.
        let _ = self.bus.try_publish(Message {
            topic: self.topic(&Topic::Claim(self.edge.clone())),
            payload: write(&claim).into(),
            qos: Qos::AtLeastOnce,
            retain: false,
        });
    }
}
