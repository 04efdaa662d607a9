//! A moment awake after a frame, because the next one often follows at once.
//!
//! To sleep and be woken takes the system longer than to pass a frame on: where the far end answers from the same
//! host (a Buttplug server, another gateway), a thread that looks once more before it sleeps carries a frame there
//! and back in two thirds of the time (`cargo bench --bench bridge`). It yields the core each time it looks, so that
//! whoever has something to do there goes first.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::defaults::LINGER;
use crate::device::peer::ConnectionId;

/// A session that passed so many frames in a row has the thread to itself.
const ALONE: u32 = 8;

thread_local! {
    static TRAFFIC: Rc<Traffic> = Rc::default();
}

/// What passes on this thread.
#[derive(Default)]
struct Traffic {
    last: Cell<Option<ConnectionId>>,
    /// Frames in a row that were that session's.
    in_a_row: Cell<u32>,
    /// A session that has the thread to itself passed a frame since [`linger`] looked last.
    alone: Cell<bool>,
    /// There is no need to wake [`linger`].
    awake: Cell<bool>,
    begin: Notify,
}

/// A session passed a frame on, in either direction. Costs next to nothing on a thread that does not [`linger`].
///
/// Waiting awake is worth it only for a session that has the thread to itself: several that talk at once keep it
/// awake with work, and the core is better left to those they talk to.
pub(crate) fn frame_passed(session: ConnectionId) {
    TRAFFIC.with(|traffic| {
        let same = traffic.last.replace(Some(session)) == Some(session);
        let in_a_row = if same {
            traffic.in_a_row.get().saturating_add(1)
        } else {
            1
        };
        traffic.in_a_row.set(in_a_row);
        if in_a_row >= ALONE {
            traffic.alone.set(true);
            if !traffic.awake.replace(true) {
                traffic.begin.notify_one();
            }
        }
    });
}

/// Keeps this thread awake for [`LINGER`] after each frame of a session that has it to itself. Never ends.
///
/// For the one task of its kind on a runtime that has one thread: there, giving way lets every other task go first,
/// and then looks for what the system has without waiting for it.
pub(crate) async fn linger() -> Infallible {
    let traffic = TRAFFIC.with(Rc::clone);
    loop {
        traffic.begin.notified().await;
        let mut last = Instant::now();
        while last.elapsed() < LINGER {
            yield_now().await;
            thread::yield_now();
            if traffic.alone.replace(false) {
                last = Instant::now();
            }
        }
        traffic.awake.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::sleep;

    use super::*;

    const ONE: ConnectionId = ConnectionId(2);

    #[tokio::test(flavor = "current_thread")]
    async fn a_thread_is_awake_for_a_moment_and_for_a_session_that_has_it_alone() {
        let polls = Rc::new(Cell::new(0_u64));
        let counted = polls.clone();
        // Until the lingering task is not polled any more.
        let settled = async || loop {
            let before = polls.get();
            sleep(4 * LINGER).await;
            if polls.get() == before {
                return before;
            }
        };
        let script = async {
            spawn_local(async move {
                let mut lingering = std::pin::pin!(linger());
                poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    lingering.as_mut().poll(cx)
                })
                .await
            });
            let asleep = settled().await;
            for n in 0..4 * u64::from(ALONE) {
                frame_passed(ConnectionId(n % 2));
            }
            assert_eq!(settled().await, asleep, "awake for sessions that take turns");
            for _ in 1..ALONE {
                frame_passed(ONE);
            }
            assert_eq!(settled().await, asleep, "awake for a few frames");
            // A busy machine may take the core away for longer than a moment: it does not do so every time.
            for tries in 1.. {
                let asleep = settled().await;
                frame_passed(ONE);
                if settled().await - asleep > 1 {
                    break;
                }
                assert!(tries < 100, "looked once, then slept");
            }
        };
        LocalSet::new().run_until(script).await;
    }
}
