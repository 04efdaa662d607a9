//! Signs of life of somebody who drives devices by hand: a page, a monitor, a script.
//!
//! An answered websocket ping is none: browsers answer pings by themselves, also while a page hangs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// When somebody showed the last sign of life. Shared by all connections of one tab of a browser.
#[derive(Debug)]
pub struct Life {
    last: Mutex<Instant>,
    asked: watch::Sender<()>,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            asked: watch::Sender::default(),
        }
    }
}

impl Life {
    /// Records a sign of life.
    pub fn sign(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago the last sign of life was.
    pub fn silence(&self) -> Duration {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed()
    }

    /// Asks for a sign of life, if a connection can ask: others send theirs unasked.
    pub fn ask(&self) {
        self.asked.send_replace(());
    }

    /// Changes each time that a sign of life is asked for.
    pub fn asked(&self) -> watch::Receiver<()> {
        self.asked.subscribe()
    }
}
