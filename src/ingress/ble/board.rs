//! A peripheral that an entry takes, between its connections: when it may be connected again, and what was said of it.

use std::sync::Arc;

use btleplug::platform::Peripheral;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Trouble;
use super::peripheral::{Notifications, Over};
use super::system::HANDLES_LAST;
use crate::backoff::Backoff;
use crate::config::BleSettings;
use crate::defaults::GOOD_AFTER;
use crate::device::peripheral::Seen;

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
    backoff: Backoff,
    refused: Backoff,
    /// It is left alone until then.
    pub(super) next: Option<Instant>,
    /// The last trouble that was told.
    said: String,
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
            backoff: Backoff::new(entry.retry_min, entry.retry_max, GOOD_AFTER),
            refused: Backoff::after_refusals(),
            next: None,
            said: String::new(),
        }
    }

    /// An entry, perhaps another one than before, connects to it.
    pub(super) fn is_taken(&mut self, n: usize, entry: &BleSettings, peripheral: Peripheral, seen: &Seen) {
        if self.entry != n {
            self.entry = n;
            self.backoff = Backoff::new(entry.retry_min, entry.retry_max, GOOD_AFTER);
            self.refused = Backoff::after_refusals();
        }
        if !HANDLES_LAST {
            self.peripheral = peripheral;
            self.notifications = Arc::default();
        }
        self.busy = true;
        self.name = seen.to_string();
    }

    /// It is not connected any more, or never was.
    pub(super) fn is_over(&mut self, over: Over) {
        self.busy = false;
        self.left = Instant::now();
        let pause = match over {
            Over::Stopped => return,
            Over::After(lasted) => {
                self.said.clear();
                self.backoff.connected_for(lasted);
                self.backoff.next_delay()
            }
            Over::Later(lasted) => {
                self.refused.connected_for(lasted);
                self.refused.next_delay()
            }
            Over::Refused(trouble) => {
                self.say(&trouble);
                self.refused.next_delay()
            }
            Over::Failed(trouble) => {
                self.say(&trouble);
                self.backoff.next_delay()
            }
        };
        self.next = Some(self.left + pause);
    }

    /// Tells once of each trouble in a row.
    fn say(&mut self, trouble: &Trouble) {
        let text = trouble.to_string();
        if self.said == text {
            debug!("{}: {text}", self.name);
        } else {
            warn!("{}: {text}; {}", self.name, trouble.hint);
            self.said = text;
        }
    }
}
