//! Stops: of every device, or of one.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{join_all, ready};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::View;
use crate::defaults::STOP_FLUSH_TIMEOUT;
use crate::device::handshake::Address;
use crate::session::registry::SessionHandle;
use crate::session::unidentified::{StopOutcome, Unidentified};

/// The result of a stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stopped {
    /// How many devices took their stop.
    pub stopped: usize,
    /// The addresses of the devices that did not take it in time.
    pub failed: Vec<String>,
}

impl Stopped {
    fn of(outcomes: impl IntoIterator<Item = Result<(), String>>) -> Self {
        let mut stopped = Self::default();
        for outcome in outcomes {
            match outcome {
                Ok(()) => stopped.stopped += 1,
                Err(address) => stopped.failed.push(address),
            }
        }
        stopped.failed.sort();
        stopped
    }
}

impl View {
    /// Stops every device: the server inside stops those that it lists, each session writes its own stop, and boards that
    /// are not identified yet get the stops of all languages that they may speak. Takes [`STOP_FLUSH_TIMEOUT`] at most.
    pub async fn stop_everything(&self) -> Stopped {
        // In this order: a board that is identified meanwhile is in both lists, not in neither.
        let unidentified = self.registry.unidentified();
        let sessions = self.registry.sessions();
        let stops = self.stop_sessions(&sessions);
        let boards = unidentified
            .iter()
            .map(|board| self.stop_unidentified(board, &sessions));
        // An edge stops its own boards without the broker, whichever hub drives them.
        let beside = self.registry.sessions_beside();
        let beside = beside.iter().map(|session| async {
            let is_stopped = timeout(STOP_FLUSH_TIMEOUT, session.stop_outputs()).await.is_ok();
            let address = &session.handshake.address;
            let is_counted = sessions.iter().any(|other| other.handshake.address == *address);
            match is_stopped {
                true if is_counted => None,
                true => Some(Ok(())),
                false => Some(Err(address.as_str().to_owned())),
            }
        });
        let (stopped, boards, beside) = tokio::join!(stops, join_all(boards), join_all(beside));
        let others = boards.into_iter().chain(beside).flatten();
        Stopped::of(stopped.into_iter().chain(others))
    }

    /// Stops one device; `None` if it is not connected. Takes [`STOP_FLUSH_TIMEOUT`] at most.
    pub async fn stop_device(&self, address: &str) -> Option<Stopped> {
        let unidentified = self.registry.unidentified();
        let session = Address::new(address)
            .ok()
            .and_then(|address| self.registry.find(&address));
        let Some(session) = session else {
            let board = unidentified.into_iter().find(|board| board.address == address)?;
            return self
                .stop_unidentified(&board, &[])
                .await
                .map(|one| Stopped::of([one]));
        };
        Some(Stopped::of(self.stop_sessions(&[session]).await))
    }

    /// Stops devices both ways: the server inside stops those that it lists, and each session writes its own stop. One is
    /// stopped if both were done in time: moves that the server still holds may follow the session's stop.
    ///
    /// # Errors
    /// The address of each device that is not stopped in time.
    async fn stop_sessions(&self, sessions: &[Arc<SessionHandle>]) -> Vec<Result<(), String>> {
        let server = self.server.as_ref();
        let listed = server.map(|server| server.listed()).unwrap_or_default();
        let stops = sessions.iter().map(|session| {
            let by_server = match (server, listed.get(&session.connection)) {
                (Some(server), Some(listed)) => server.stop(listed.index),
                _ => ready(true).boxed(),
            };
            async move {
                let both = async { tokio::join!(by_server, session.stop_outputs()) };
                match timeout(STOP_FLUSH_TIMEOUT, both).await {
                    Ok((true, ())) => Ok(()),
                    _ => Err(session.handshake.address.as_str().to_owned()),
                }
            }
        });
        join_all(stops).await
    }

    /// Stops a board that is not identified yet; `None` if its link is lost, or it is one of these `sessions` by now.
    async fn stop_unidentified(
        &self,
        board: &Unidentified,
        sessions: &[Arc<SessionHandle>],
    ) -> Option<Result<(), String>> {
        let failed = || Some(Err(board.address.clone()));
        match timeout(STOP_FLUSH_TIMEOUT, board.stop()).await {
            Ok(StopOutcome::Taken) => Some(Ok(())),
            Ok(StopOutcome::NotTaken) | Err(_) => failed(),
            Ok(StopOutcome::Over) => {
                let is_it = |session: &&Arc<SessionHandle>| session.peer == board.peer;
                if sessions.iter().any(|session| is_it(&session)) {
                    return None;
                }
                // Its session stops it before anything else, and may have done so before the order.
                let session = self.registry.sessions().into_iter().find(|s| is_it(&s))?;
                self.stop_sessions(&[session]).await.pop()
            }
        }
    }
}
