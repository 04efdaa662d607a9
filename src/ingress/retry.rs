//! What the end of a connection means for the next try, and when that try is due.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::defaults::GOOD_AFTER;
use crate::session::ends::Disconnect;

/// What the end of a connection means for the next try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The device had a session for so long. It may come back at once.
    Session(Duration),
    /// The same, but upstream does not take the device just now, or another one has its address.
    Unwelcome(Duration),
    /// The device is not let in, or does not identify itself: that changes when somebody changes something.
    Refused(Trouble),
    /// There was no connection, or it broke before the device was known.
    Failed(Trouble),
    /// The gateway stops: there is no next try.
    Stopping,
}

impl After {
    /// The session ended like this after it lasted for so long.
    pub fn session(ended: &Disconnect, lasted: Duration) -> Self {
        match ended {
            Disconnect::Stopping => Self::Stopping,
            Disconnect::Upstream(_) | Disconnect::Replaced => Self::Unwelcome(lasted),
            Disconnect::Link(_) | Disconnect::Reconfigured => Self::Session(lasted),
        }
    }
}

/// What went wrong with a device, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    /// What failed.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// Logs trouble with one device once, however often it repeats. Clones share what was logged.
#[derive(Clone, Debug, Default)]
pub struct TroubleLog(Arc<Mutex<Option<String>>>);

impl TroubleLog {
    /// Logs what is wrong with the device there, unless it was the last that was logged.
    pub fn report(&self, device: &impl fmt::Display, trouble: &Trouble) {
        let Trouble { what, hint } = trouble;
        let last = self.last(Some(what.clone()));
        if last.as_ref() == Some(what) {
            debug!("{device}: {what}");
        } else {
            warn!("{device}: {what}; {hint}");
        }
    }

    /// Whether this trouble was not the last that was logged.
    pub fn is_news(&self, trouble: &Trouble) -> bool {
        let logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.as_ref() != Some(&trouble.what)
    }

    /// All is well: the same trouble would be news.
    pub fn clear(&self) {
        self.last(None);
    }

    fn last(&self, new: Option<String>) -> Option<String> {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *logged, new)
    }
}

/// When a device is tried again: pauses that double, from the first one again after a connection that lasted.
#[derive(Debug)]
pub struct Retry {
    failed: Backoff,
    refused: Backoff,
    log: TroubleLog,
}

impl Retry {
    /// Pauses from `first` to `longest` after failures; those after refusals are longer.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            failed: Backoff::new(first, longest, GOOD_AFTER),
            refused: Backoff::after_refusals(),
            log: TroubleLog::default(),
        }
    }

    /// Where trouble with this device is logged.
    pub fn log(&self) -> TroubleLog {
        self.log.clone()
    }

    /// The pause before the next try; `None` if there is none. Logs what went wrong with the device there.
    pub fn pause(&mut self, device: &impl fmt::Display, after: &After) -> Option<Duration> {
        let pauses = match after {
            After::Session(lasted) => {
                // The session has logged why it ended.
                self.log.clear();
                self.failed.connected_for(*lasted);
                &mut self.failed
            }
            After::Unwelcome(lasted) => {
                self.refused.connected_for(*lasted);
                &mut self.refused
            }
            After::Refused(trouble) => {
                self.log.report(device, trouble);
                &mut self.refused
            }
            After::Failed(trouble) => {
                self.log.report(device, trouble);
                &mut self.failed
            }
            After::Stopping => return None,
        };
        Some(pauses.next_delay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults::REFUSED_FIRST_PAUSE;
    use crate::link::LinkError;

    const FIRST: Duration = Duration::from_millis(100);

    fn failed() -> After {
        After::Failed(Trouble {
            what: "broke".to_owned(),
            hint: "mend it".to_owned(),
        })
    }

    #[test]
    fn pauses_double_until_a_connection_lasted() {
        let mut retry = Retry::new(FIRST, Duration::from_secs(10));
        let mut pause = |after: &After| retry.pause(&"a board", after);
        for doubled in [1, 2, 4, 8] {
            let pause = pause(&failed()).unwrap();
            assert!(
                pause >= FIRST * doubled / 2 && pause <= FIRST * doubled,
                "{pause:?}"
            );
        }
        let short = After::session(&LinkError::closed().into(), GOOD_AFTER / 2);
        assert!(
            pause(&short).unwrap() >= FIRST * 8,
            "one that goes at once is no better"
        );
        let long = After::session(&LinkError::closed().into(), GOOD_AFTER);
        assert!(pause(&long).unwrap() <= FIRST);
        let replaced = After::session(&Disconnect::Replaced, Duration::ZERO);
        assert!(pause(&replaced).unwrap() >= REFUSED_FIRST_PAUSE / 2);
        assert_eq!(
            pause(&After::session(&Disconnect::Stopping, Duration::ZERO)),
            None
        );
    }
}
