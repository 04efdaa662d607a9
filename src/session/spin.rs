//! Spins for a moment after a frame, because the next one often follows at once.
//!
//! Sleeping and waking takes longer than passing a frame on. If the far end replies from the same host (a Buttplug
//! server, another gateway), a thread that polls once more before it sleeps carries a frame there and back in two
//! thirds of the time (`cargo bench --bench bridge`). It yields the core on each turn, so other work on that core
//! goes first.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::defaults::SPIN;
use crate::device::peer::ConnectionId;

/// After this many frames in a row, a session counts as the only one on its thread.
const ALONE: u32 = 8;

thread_local! {
    static TRAFFIC: Rc<Traffic> = Rc::default();
}

/// The frames that pass on this thread.
#[derive(Default)]
struct Traffic {
    last: Cell<Option<ConnectionId>>,
    /// Frames in a row of the session in `last`.
    in_a_row: Cell<u32>,
    /// A session that is the only one on the thread passed a frame since the last turn of [`spin`].
    alone: Cell<bool>,
    /// Whether [`spin`] is spinning: if so, it needs no wake-up.
    awake: Cell<bool>,
    wake: Notify,
}

/// Records that a session passed on a frame, in either direction. Costs next to nothing on a thread that does not
/// [`spin`].
///
/// Only a session that has the thread to itself is worth spinning for: several busy ones keep the thread awake
/// anyway, and their peers need the core more.
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
                traffic.wake.notify_one();
            }
        }
    });
}

/// Keeps this thread awake for [`SPIN`] after each frame of a session that has the thread to itself. Never returns.
///
/// Run one of these per current-thread runtime. There, yielding lets every other task run first, and then polls the
/// system without blocking.
pub(crate) async fn spin() -> Infallible {
    let traffic = TRAFFIC.with(Rc::clone);
    loop {
        traffic.wake.notified().await;
        let mut last = Instant::now();
        while last.elapsed() < SPIN {
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
        // Waits until nothing polls the spinning task any more.
        let settled = async || loop {
            let before = polls.get();
            sleep(4 * SPIN).await;
            if polls.get() == before {
                return before;
            }
        };
        let script = async {
            spawn_local(async move {
                let mut spinning = std::pin::pin!(spin());
                poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    spinning.as_mut().poll(cx)
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
            // A busy machine may take the core away for longer than that, but not every time.
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
