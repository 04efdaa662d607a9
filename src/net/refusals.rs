//! How often the log reports one refusal.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::advice::Advice;

/// The same refusal of the same peer is logged again after this long.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Refusals that are remembered.
const SAID_MAX: usize = 1_024;

/// What was said of refusals lately: a board that tries again every second for a week is told each time, its owner
/// now and then.
#[derive(Debug, Default)]
pub struct RefusalLog(Mutex<HashMap<(IpAddr, String), Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    since: u32,
}

impl RefusalLog {
    /// Whether to say this refusal of a peer now: how often it happened since it was said last, or `None` where it
    /// was said a short while ago.
    pub fn due(&self, peer: IpAddr, refusal: &impl Advice) -> Option<u32> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (peer, refusal.to_string());
        if let Some(said) = said.get_mut(&key) {
            if said.at.elapsed() < SAID_AGAIN_AFTER {
                said.since += 1;
                return None;
            }
            said.at = Instant::now();
            return Some(std::mem::take(&mut said.since));
        }
        // A peer that thinks of a new fault each time must not fill the memory.
        if said.len() >= SAID_MAX {
            said.retain(|_, said| said.at.elapsed() < SAID_AGAIN_AFTER);
            if said.len() >= SAID_MAX {
                said.clear();
            }
        }
        said.insert(
            key,
            Said {
                at: Instant::now(),
                since: 0,
            },
        );
        Some(0)
    }

    /// The refusal with its hint, and how often it happened since it was logged last. `None` if that was a short while
    /// ago.
    pub fn line(&self, peer: IpAddr, refusal: &impl Advice) -> Option<String> {
        Some(match self.due(peer, refusal)? {
            0 => refusal.with_hint(),
            more => format!(
                "{} ({more} times more since this was logged last)",
                refusal.with_hint()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::refusal::Refusal;

    #[tokio::test(start_paused = true)]
    async fn the_same_refusal_is_said_now_and_then() {
        let log = RefusalLog::default();
        let peer = IpAddr::from([10, 0, 0, 7]);
        assert_eq!(log.due(peer, &Refusal::Binary), Some(0));
        for _ in 0..5 {
            assert_eq!(log.due(peer, &Refusal::Binary), None);
        }
        assert_eq!(log.due(peer, &Refusal::Stopping), Some(0));
        assert_eq!(log.due(IpAddr::from([10, 0, 0, 8]), &Refusal::Binary), Some(0));
        tokio::time::advance(SAID_AGAIN_AFTER).await;
        assert_eq!(log.due(peer, &Refusal::Binary), Some(5));
    }

    #[test]
    fn a_peer_with_ever_new_faults_does_not_fill_the_memory() {
        let log = RefusalLog::default();
        for i in 0..3 * SAID_MAX {
            log.due(IpAddr::from([10, 0, 0, 7]), &Refusal::Unreadable(i.to_string()));
        }
        assert!(log.0.lock().unwrap().len() <= SAID_MAX);
    }
}
