//! Boards that the gateway has a link to, and does not know yet: they are no sessions, but shown and stopped with all
//! others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use super::registry::Registry;
use crate::device::peer::Peer;

/// Stops of one board that wait for its link.
const STOPS_MAX: usize = 16;

/// Takes the outcome of a stop: whether the link took it. `false` if no stop is known for the board.
pub type StopReceipt = oneshot::Sender<bool>;

/// A board that the gateway has a link to, and does not know yet.
#[derive(Debug)]
pub struct Unidentified {
    /// The address that it will have if its entry names it; else where it is.
    pub address: String,
    /// What it is by its entry; empty if it is still asked.
    pub identifier: String,
    /// Where it is.
    pub peer: Peer,
    /// Since when it has been connected.
    pub since: SystemTime,
    number: u64,
    trouble: Mutex<Option<(String, String)>>,
    stops: mpsc::Sender<StopReceipt>,
}

/// What came of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// The link took it.
    Taken,
    /// The link takes nothing, or no stop is known for the board.
    NotTaken,
    /// The board has become a session, which stops it first, or its link is lost.
    Over,
}

impl Unidentified {
    /// Has the board stopped; completes when its link has taken the stop. Dropping the future does not cancel the order.
    pub async fn stop(&self) -> StopOutcome {
        let (receipt, outcome) = oneshot::channel();
        match self.stops.try_send(receipt) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return StopOutcome::NotTaken,
            Err(mpsc::error::TrySendError::Closed(_)) => return StopOutcome::Over,
        }
        match outcome.await {
            Ok(true) => StopOutcome::Taken,
            Ok(false) => StopOutcome::NotTaken,
            Err(_) => StopOutcome::Over,
        }
    }

    /// Records why the board is not known yet, and what to do about it.
    pub fn report(&self, what: &str, hint: &str) {
        *lock(&self.trouble) = Some((what.to_owned(), hint.to_owned()));
    }

    /// Why the board is not known yet, and what to do about it, once that was reported.
    pub fn trouble(&self) -> Option<(String, String)> {
        lock(&self.trouble).clone()
    }
}

/// The place of a board among the [`Unidentified`]. Dropping it, also in a panic, gives the place up.
#[derive(Debug)]
pub struct Identifying {
    registry: Arc<Registry>,
    board: Arc<Unidentified>,
    stops: mpsc::Receiver<StopReceipt>,
}

impl Identifying {
    /// Enters a board that has just been connected.
    pub fn enter(registry: Arc<Registry>, peer: Peer, identifier: String, address: String) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let (orders, stops) = mpsc::channel(STOPS_MAX);
        let board = Arc::new(Unidentified {
            address,
            identifier,
            peer,
            since: SystemTime::now(),
            number: LAST.fetch_add(1, Ordering::Relaxed),
            trouble: Mutex::default(),
            stops: orders,
        });
        registry.unidentified.add(board.clone());
        Self {
            registry,
            board,
            stops,
        }
    }

    /// The board as others see it.
    pub fn board(&self) -> &Arc<Unidentified> {
        &self.board
    }

    /// The next order to stop the board; pending for ever after [`Self::identified`].
    pub fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<StopReceipt> {
        match self.stops.poll_recv(cx) {
            Poll::Ready(Some(receipt)) => Poll::Ready(receipt),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Takes no more orders: the board is about to become a session, which stops it first. It is still shown.
    pub fn identified(&mut self) {
        self.stops.close();
        while self.stops.try_recv().is_ok() {}
    }
}

impl Drop for Identifying {
    fn drop(&mut self) {
        self.registry.unidentified.remove(self.board.number);
    }
}

/// The boards that are not known yet, in the order in which they were connected.
#[derive(Debug, Default)]
pub(super) struct Boards(Mutex<Vec<Arc<Unidentified>>>);

impl Boards {
    fn add(&self, board: Arc<Unidentified>) {
        lock(&self.0).push(board);
    }

    fn remove(&self, number: u64) {
        lock(&self.0).retain(|board| board.number != number);
    }

    pub(super) fn all(&self) -> Vec<Arc<Unidentified>> {
        lock(&self.0).clone()
    }
}

/// No code here panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
