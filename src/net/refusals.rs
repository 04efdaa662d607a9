//! Limits how often the log reports the same refusal.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::advice::Advice;

/// The same refusal of the same peer is logged again after this long.
const LOG_INTERVAL: Duration = Duration::from_secs(600);
/// How many refusals are remembered.
const ENTRIES_MAX: usize = 1_024;

/// The refusals that were logged recently. A board that retries every second for a week is answered each time, but
/// logged only now and then.
#[derive(Debug, Default)]
pub struct RefusalLog(Mutex<HashMap<(IpAddr, String), Logged>>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    /// How often the refusal was repeated since.
    repeats: u32,
}

impl RefusalLog {
    /// Whether to log this refusal of a peer now. Returns how often it was repeated since it was last logged, or `None`
    /// if that was recently.
    fn due(&self, peer: IpAddr, refusal: &impl Advice) -> Option<u32> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (peer, refusal.to_string());
        if let Some(logged) = entries.get_mut(&key) {
            if logged.at.elapsed() < LOG_INTERVAL {
                logged.repeats += 1;
                return None;
            }
            logged.at = Instant::now();
            return Some(std::mem::take(&mut logged.repeats));
        }
        // A peer that sends a new fault each time must not fill the memory.
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, logged| logged.at.elapsed() < LOG_INTERVAL);
            if entries.len() >= ENTRIES_MAX {
                entries.clear();
            }
        }
        let logged = Logged {
            at: Instant::now(),
            repeats: 0,
        };
        entries.insert(key, logged);
        Some(0)
    }

    /// The line to log: the refusal with its hint, and how often it was repeated since it was last logged. `None` if
    /// that was recently.
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
    async fn the_same_refusal_is_logged_now_and_then() {
        let log = RefusalLog::default();
        let peer = IpAddr::from([10, 0, 0, 7]);
        assert_eq!(log.due(peer, &Refusal::Binary), Some(0));
        for _ in 0..5 {
            assert_eq!(log.due(peer, &Refusal::Binary), None);
        }
        assert_eq!(log.due(peer, &Refusal::Stopping), Some(0));
        assert_eq!(log.due(IpAddr::from([10, 0, 0, 8]), &Refusal::Binary), Some(0));
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(log.due(peer, &Refusal::Binary), Some(5));
    }

    #[test]
    fn a_peer_with_ever_new_faults_does_not_fill_the_memory() {
        let log = RefusalLog::default();
        for i in 0..3 * ENTRIES_MAX {
            log.due(IpAddr::from([10, 0, 0, 7]), &Refusal::Unreadable(i.to_string()));
        }
        assert!(log.0.lock().unwrap().len() <= ENTRIES_MAX);
    }
}
