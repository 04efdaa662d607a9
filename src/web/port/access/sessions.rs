//! The sessions of browsers that logged in. They end by time, at logout, and all together.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A session that nothing used for this long ends.
const IDLE: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest life of a session.
const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// For another one, that which was not used for the longest time ends.
const SESSIONS_MAX: usize = 64;

/// The digest of what a session's cookie holds.
pub(super) type Id = [u8; 32];

/// The open sessions.
#[derive(Default)]
pub(super) struct Sessions(HashMap<Id, Session>);

struct Session {
    begun: Instant,
    used: Instant,
    /// The requests and websockets of it that are open.
    visits: usize,
    ended: CancellationToken,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.begun + LIFE || (self.visits == 0 && now >= self.used + IDLE)
    }
}

impl Sessions {
    pub(super) fn begin(&mut self, id: Id, now: Instant) {
        self.end_old(now);
        if self.0.len() >= SESSIONS_MAX {
            let unused = self.0.iter().min_by_key(|(_, s)| (s.visits > 0, s.used));
            if let Some(unused) = unused.map(|(id, _)| *id) {
                self.end(&unused);
            }
        }
        let session = Session {
            begun: now,
            used: now,
            visits: 0,
            ended: CancellationToken::new(),
        };
        self.0.insert(id, session);
    }

    /// Begins a request or a websocket of a session; [`Sessions::leave`] must follow. Returns what is cancelled when the
    /// session ends; `None` if there is no such session.
    pub(super) fn visit(&mut self, id: &Id, now: Instant) -> Option<CancellationToken> {
        if self.0.get(id)?.is_over(now) {
            self.end(id);
        }
        let session = self.0.get_mut(id)?;
        session.used = now;
        session.visits += 1;
        Some(session.ended.clone())
    }

    pub(super) fn leave(&mut self, id: &Id, now: Instant) {
        if let Some(session) = self.0.get_mut(id) {
            session.used = now;
            session.visits = session.visits.saturating_sub(1);
        }
    }

    pub(super) fn end(&mut self, id: &Id) {
        if let Some(session) = self.0.remove(id) {
            session.ended.cancel();
        }
    }

    /// Ends those whose time is over.
    pub(super) fn end_old(&mut self, now: Instant) {
        self.0.retain(|_, session| {
            let is_over = session.is_over(now);
            if is_over {
                session.ended.cancel();
            }
            !is_over
        });
    }

    pub(super) fn end_all(&mut self) {
        for (_, session) in self.0.drain() {
            session.ended.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn id(n: u8) -> Id {
        [n; 32]
    }

    #[test]
    fn a_session_that_nothing_uses_ends() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        sessions.begin(id(1), now);
        assert!(sessions.visit(&id(2), now).is_none());
        let later = now + IDLE - HOUR;
        let ended = sessions.visit(&id(1), later).unwrap();
        sessions.leave(&id(1), later);
        sessions.end_old(later + IDLE - HOUR);
        assert!(!ended.is_cancelled(), "it was used since");
        sessions.end_old(later + IDLE);
        assert!(ended.is_cancelled());
        assert!(sessions.visit(&id(1), now).is_none());

        sessions.begin(id(1), now);
        assert!(
            sessions.visit(&id(1), now + IDLE).is_none(),
            "also before anybody looked"
        );
    }

    #[test]
    fn an_open_websocket_uses_its_session_but_not_for_ever() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        sessions.begin(id(1), now);
        let ended = sessions.visit(&id(1), now).unwrap();
        sessions.end_old(now + LIFE - HOUR);
        assert!(!ended.is_cancelled());
        sessions.end_old(now + LIFE);
        assert!(ended.is_cancelled());
        // It closes afterwards.
        sessions.leave(&id(1), now + LIFE);
    }

    #[test]
    fn sessions_end_one_by_one_or_together() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        let ended: Vec<_> = (1..=3)
            .map(|n| {
                sessions.begin(id(n), now);
                sessions.visit(&id(n), now).unwrap()
            })
            .collect();
        sessions.end(&id(1));
        assert!(ended[0].is_cancelled() && !ended[1].is_cancelled());
        sessions.end_all();
        assert!(ended.iter().all(CancellationToken::is_cancelled));
    }

    #[test]
    fn there_is_room_for_another_one() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        let later = |n: usize| now + Duration::from_secs(n as u64);
        for n in 0..SESSIONS_MAX {
            sessions.begin(id(n as u8), later(n));
        }
        // The oldest one has an open websocket.
        let first = sessions.visit(&id(0), now).unwrap();
        sessions.begin(id(200), later(SESSIONS_MAX));
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(!first.is_cancelled());
        assert!(sessions.visit(&id(1), later(SESSIONS_MAX)).is_none());
    }
}
