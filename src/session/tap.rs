//! Taps a session's frames, both ways.
//!
//! Without watchers a session pays one relaxed load per frame. With watchers it never blocks: a slow watcher misses
//! the oldest frames, and receives their number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::defaults::WATCH_QUEUE;
use crate::device::frame::Frame;
use crate::session::registry::SessionHandle;

/// The direction of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Written to the device, by any controller or by the gateway's own stop.
    ToDevice,
    /// Sent by the device.
    FromDevice,
}

/// A frame as a watcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the link accepted it, or when it arrived.
    pub at: SystemTime,
    /// Its direction.
    pub direction: Direction,
    /// The frame.
    pub frame: Frame,
}

/// What a watcher receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// A frame passed.
    Frame(Seen),
    /// The watcher was too slow and missed this many frames.
    Missed(u64),
    /// The session ended; with the reason, unless it panicked.
    Gone(Option<String>),
}

/// The point in a session where watchers attach.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    watchers: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` without watchers, because the queue is not small.
    frames: Option<broadcast::Sender<Seen>>,
    over: bool,
    why: Option<String>,
}

impl Tap {
    /// Whether frames have to be kept for [`Tap::record`].
    pub(crate) fn is_watched(&self) -> bool {
        // A watcher that arrives at this moment may miss a frame of this moment.
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Passes a frame to the watchers.
    pub(crate) fn record(&self, direction: Direction, frame: &Frame) {
        if !self.is_watched() {
            return;
        }
        if let Some(frames) = &self.state().frames {
            // Fails if the last watcher is just leaving.
            let _ = frames.send(Seen {
                at: SystemTime::now(),
                direction,
                frame: frame.clone(),
            });
        }
    }

    /// Ends the tap. The first reason is kept.
    pub(crate) fn end(&self, why: Option<String>) {
        let mut state = self.state();
        if !state.over {
            state.over = true;
            state.why = why;
            state.frames = None;
        }
    }

    /// Why the session ended; `None` while it runs, or after a panic.
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.state().why.clone()
    }

    /// No code here panics while it holds the lock, and the state is consistent between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches a session until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    session: Arc<SessionHandle>,
    /// `None` if the session had ended before.
    frames: Option<broadcast::Receiver<Seen>>,
}

impl Watcher {
    pub(crate) fn new(session: Arc<SessionHandle>) -> Self {
        let tap = &session.tap;
        let mut state = tap.state();
        tap.watchers.fetch_add(1, Ordering::Relaxed);
        let frames = (!state.over).then(|| {
            let frames = state
                .frames
                .get_or_insert_with(|| broadcast::channel(WATCH_QUEUE).0);
            frames.subscribe()
        });
        drop(state);
        Self { session, frames }
    }

    /// The watched session.
    pub fn session(&self) -> &Arc<SessionHandle> {
        &self.session
    }

    /// The next event; after [`Watched::Gone`], that one for ever. Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Watched {
        if let Some(frames) = &mut self.frames {
            match frames.recv().await {
                Ok(seen) => return Watched::Frame(seen),
                Err(RecvError::Lagged(missed)) => return Watched::Missed(missed),
                Err(RecvError::Closed) => self.frames = None,
            }
        }
        Watched::Gone(self.session.tap.state().why.clone())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let tap = &self.session.tap;
        let mut state = tap.state();
        if tap.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.frames = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::handshake::{Address, Handshake, Identifier};
    use crate::device::peer::Peer;
    use crate::session::registry::{Entry, Registry};

    async fn session() -> Entry {
        let handshake = Handshake::new(
            Identifier::new("LVSDevice").unwrap(),
            Address::new("one").unwrap(),
        );
        let peer = Peer::Websocket("127.0.0.1:1".parse().unwrap());
        Arc::new(Registry::default())
            .admit(handshake, peer)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_slow_watcher_is_told_how_many_frames_it_missed() {
        let entry = session().await;
        let tap = &entry.handle().tap;
        let frame = |i: usize| Frame::from(i.to_string().into_bytes());
        tap.record(Direction::ToDevice, &frame(0));
        let mut watcher = entry.handle().watch();
        for i in 0..WATCH_QUEUE + 10 {
            tap.record(Direction::FromDevice, &frame(i));
        }
        assert_eq!(watcher.next().await, Watched::Missed(10));
        let Watched::Frame(seen) = watcher.next().await else {
            panic!("a frame")
        };
        assert_eq!((seen.direction, seen.frame), (Direction::FromDevice, frame(10)));
    }

    #[tokio::test]
    async fn the_end_comes_after_the_last_frame_and_to_those_who_come_late() {
        let entry = session().await;
        let handle = entry.handle().clone();
        let mut watcher = handle.watch();
        handle
            .tap
            .record(Direction::ToDevice, &Frame::from(&b"DSTOP\n"[..]));
        handle.tap.end(Some("the gateway is stopping".to_owned()));
        drop(entry);
        assert!(matches!(watcher.next().await, Watched::Frame(_)));
        let gone = Watched::Gone(Some("the gateway is stopping".to_owned()));
        assert_eq!(watcher.next().await, gone);
        assert_eq!(handle.watch().next().await, gone);
    }

    #[tokio::test]
    async fn the_queue_goes_with_the_last_watcher() {
        let entry = session().await;
        let tap = &entry.handle().tap;
        let (one, two) = (entry.handle().watch(), entry.handle().watch());
        drop(one);
        assert!(tap.is_watched() && tap.state().frames.is_some());
        drop(two);
        assert!(!tap.is_watched() && tap.state().frames.is_none());
        drop(entry.handle().watch());
    }
}
