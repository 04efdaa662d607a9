//! A device that connects, and connects again, until it is told not to.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Ended, Happening, final_end};
use super::{Brain, DeviceOptions};
use crate::advice::Advice;
use crate::backoff::Backoff;

/// The first pause before the next try.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest one: somebody who restarts a gateway does not want to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that held for this long was a good one.
const LASTED: Duration = Duration::from_secs(5);

/// Something that happened to a device.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which one; see [`DeviceOptions::index`].
    pub device: usize,
    /// When, by the clock of [`DeviceOptions::epoch`].
    pub at: Duration,
    /// What.
    pub what: Happening,
}

/// Runs a device until `cancel`, or until connecting again would end in the same way. Events that `events` has no
/// room for are dropped: a terminal that stands still does not stop a device.
pub async fn run(options: DeviceOptions, events: mpsc::Sender<Event>, cancel: CancellationToken) -> Ended {
    let mut brain = Brain::new(&options);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, LASTED);
    let mut said = HashSet::new();
    let mut observe = |what: Happening| {
        let _ = events.try_send(Event {
            device: options.index,
            at: options.epoch.elapsed(),
            what,
        });
    };
    loop {
        let opened = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ended::Stopped,
            opened = Connection::open(&options) => opened,
        };
        match opened {
            Ok(connection) => {
                said.clear();
                let since = Instant::now();
                let ended = connection
                    .serve(&options, &mut brain, None, &cancel, &mut observe)
                    .await;
                if ended.is_final() {
                    return ended;
                }
                backoff.connected_for(since.elapsed());
            }
            Err(e) => {
                if let Some(ended) = final_end(&e) {
                    observe(Happening::Ended(ended.clone()));
                    return ended;
                }
                if said.insert(e.to_string()) {
                    observe(Happening::Unreachable {
                        error: e.to_string(),
                        hint: e.hint().unwrap_or_default().into_owned(),
                    });
                }
            }
        }
        let pause = backoff.next_delay();
        observe(Happening::Waiting(pause));
        tokio::select! {
            () = cancel.cancelled() => return Ended::Stopped,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
