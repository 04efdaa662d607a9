//! A device that reconnects until it is stopped.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Ended, EventKind, final_end};
use super::{DeviceOptions, Firmware};
use crate::advice::Advice;
use crate::backoff::Backoff;

/// The first pause before reconnecting.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause; short, so that a user who restarts a gateway does not have to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that lasted this long resets the backoff.
const LASTED: Duration = Duration::from_secs(5);

/// An event of a device.
#[derive(Clone, Debug)]
pub struct Event {
    /// The device; see [`DeviceOptions::index`].
    pub device: usize,
    /// The time since [`DeviceOptions::epoch`].
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// Runs a device until `cancel` or until reconnecting is pointless. Drops events if `events` is full, so that a blocked
/// terminal does not stop the device.
pub async fn run(options: DeviceOptions, events: mpsc::Sender<Event>, cancel: CancellationToken) -> Ended {
    let mut firmware = Firmware::new(&options);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, LASTED);
    let mut reported = HashSet::new();
    let mut observe = |kind: EventKind| {
        let _ = events.try_send(Event {
            device: options.index,
            at: options.epoch.elapsed(),
            kind,
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
                reported.clear();
                let since = Instant::now();
                let ended = connection
                    .serve(&options, &mut firmware, None, &cancel, &mut observe)
                    .await;
                if ended.is_final() {
                    return ended;
                }
                backoff.connected_for(since.elapsed());
            }
            Err(e) => {
                if let Some(ended) = final_end(&e) {
                    observe(EventKind::Ended(ended.clone()));
                    return ended;
                }
                if reported.insert(e.to_string()) {
                    observe(EventKind::Unreachable {
                        error: e.to_string(),
                        hint: e.hint().unwrap_or_default().into_owned(),
                    });
                }
            }
        }
        let pause = backoff.next_delay();
        observe(EventKind::Waiting(pause));
        tokio::select! {
            () = cancel.cancelled() => return Ended::Stopped,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
