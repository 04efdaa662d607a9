//! The connected apps, for people: who they are and where they come from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::ownership::ClientId;

/// A connected app.
#[derive(Clone, Debug)]
pub struct App {
    /// Its number; never reused.
    pub id: u64,
    /// The name that it gave.
    pub name: String,
    /// Where it connected from.
    pub peer: SocketAddr,
    /// The web page that it is, as its browser reports it; `None` for programs.
    pub origin: Option<String>,
    /// When its handshake was complete.
    pub since: SystemTime,
    /// The version of Buttplug's messages that it speaks.
    pub message_version: u32,
    /// It is the gateway's own page.
    pub is_page: bool,
}

/// Where an app came from.
#[derive(Clone, Debug)]
pub(super) struct From {
    pub(super) peer: SocketAddr,
    pub(super) origin: Option<String>,
    pub(super) is_page: bool,
    /// Asks it to leave.
    pub(super) leave: CancellationToken,
}

/// The apps that have completed their handshake.
#[derive(Debug, Default)]
pub(super) struct Apps(Mutex<BTreeMap<u64, (App, CancellationToken)>>);

impl Apps {
    /// Adds an app. It is asked to end when `leave` is cancelled.
    pub(super) fn join(&self, app: App, leave: CancellationToken) {
        self.lock().insert(app.id, (app, leave));
    }

    pub(super) fn leave(&self, id: ClientId) {
        self.lock().remove(&id.0);
    }

    pub(super) fn list(&self) -> Vec<App> {
        self.lock().values().map(|(app, _)| app.clone()).collect()
    }

    /// Asks an app to leave; returns whether there is one of this number.
    pub(super) fn disconnect(&self, id: u64) -> bool {
        match self.lock().get(&id) {
            Some((_, leave)) => {
                leave.cancel();
                true
            }
            None => false,
        }
    }

    /// Asks every app of this origin to leave, except for the gateway's own page.
    pub(super) fn disconnect_origin(&self, origin: &str) {
        for (app, leave) in self.lock().values() {
            if !app.is_page && app.origin.as_deref() == Some(origin) {
                leave.cancel();
            }
        }
    }

    /// No code here panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (App, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
