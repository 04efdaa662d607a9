//! A peripheral that an entry takes, between its connections: when it may be connected again, and what was said of it.

use std::sync::Arc;

use btleplug::platform::Peripheral;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::peripheral::Notifications;
use super::system::HANDLES_LAST;
use crate::config::BleSettings;
use crate::device::peripheral::Seen;
use crate::ingress::{After, Retry};

/// A peripheral that an entry takes.
pub(super) struct Board {
    pub(super) entry: usize,
    /// What is said of it.
    name: String,
    /// Whether it is connected, by the system's events.
    pub(super) link: watch::Sender<bool>,
    /// With its services, once it was connected.
    pub(super) peripheral: Peripheral,
    pub(super) notifications: Arc<Mutex<Notifications>>,
    /// Somebody connects to it, or has.
    pub(super) busy: bool,
    /// When it advertised last.
    pub(super) heard: Instant,
    /// When it was last let go.
    pub(super) left: Instant,
    pub(super) retry: Retry,
    /// It is left alone until then.
    pub(super) next: Option<Instant>,
}

impl Board {
    /// A board that this entry takes, and nobody has connected to.
    pub(super) fn new(n: usize, entry: &BleSettings, peripheral: Peripheral, seen: &Seen) -> Self {
        let now = Instant::now();
        Self {
            entry: n,
            name: seen.to_string(),
            link: watch::Sender::new(seen.connected),
            peripheral,
            notifications: Arc::default(),
            busy: false,
            heard: now,
            left: now,
            retry: Retry::new(entry.retry_min, entry.retry_max),
            next: None,
        }
    }

    /// An entry, perhaps another one than before, connects to it.
    pub(super) fn is_taken(&mut self, n: usize, entry: &BleSettings, peripheral: Peripheral, seen: &Seen) {
        if self.entry != n {
            self.entry = n;
            self.retry = Retry::new(entry.retry_min, entry.retry_max);
        }
        if !HANDLES_LAST {
            self.peripheral = peripheral;
            self.notifications = Arc::default();
        }
        self.busy = true;
        self.name = seen.to_string();
    }

    /// It is not connected any more, or never was.
    pub(super) fn is_over(&mut self, after: &After) {
        self.busy = false;
        self.left = Instant::now();
        if let Some(pause) = self.retry.pause(&self.name, after) {
            self.next = Some(self.left + pause);
        }
    }
}
