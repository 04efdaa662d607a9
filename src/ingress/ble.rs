//! Boards on Bluetooth LE: finds them, connects to them, and performs the handshake on their behalf.
//!
//! `radio` is the thread that has the library; it finds peripherals (`central`) and connects to them (`peripheral`).
//! What comes out of it is a [`Pipe`] of bytes, which becomes a session here like any other.

mod board;
mod central;
pub mod characteristics;
mod peripheral;
pub mod profile;
mod radio;
pub mod scan;
mod seen;
mod system;

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::config::BleSettings;
use crate::defaults::BLE_HELLO_PATIENCE;
use crate::device::hello::BoardFacts;
use crate::device::peer::Peer;
use crate::device::peripheral::Seen;
use crate::ingress::scope::EntryScope;
use crate::ingress::{After, Board, Intake, TroubleLog};
use crate::link::ble::{BleLink, Pipe};
use crate::link::framing::Framing;

/// Peripherals that wait to be taken by the gateway. It takes each at once.
const ARRIVALS: usize = 8;

/// The `[[ble]]` entries at work.
pub struct BlePeripherals {
    /// Where boards go once it is known who they are.
    pub intake: Arc<Intake>,
}

/// A peripheral that is connected and ready.
#[derive(Debug)]
struct Arrival {
    settings: BleSettings,
    seen: Seen,
    pipe: Pipe,
    /// Where trouble with it is logged.
    log: TroubleLog,
    /// Reports how it went when the session is over.
    after: oneshot::Sender<After>,
}

impl BlePeripherals {
    /// Bridges the peripherals of `entries`, which may change, until `stop` is cancelled; then waits for their sessions,
    /// which the caller ends too, and for the radio to release them. A change lets go of all peripherals.
    pub async fn serve(
        self: Arc<Self>,
        mut entries: watch::Receiver<Vec<Arc<BleSettings>>>,
        stop: CancellationToken,
    ) {
        loop {
            let scope = EntryScope::new(&stop);
            let wanted = entries.borrow_and_update().clone();
            let mut bridging = pin!(self.clone().bridge(wanted, scope.clone()));
            let has_changed = tokio::select! {
                biased;
                () = &mut bridging => false,
                Ok(()) = entries.changed() => true,
            };
            if !has_changed {
                return;
            }
            scope.withdraw();
            bridging.await;
        }
    }

    /// The same for entries that stay as they are.
    async fn bridge(self: Arc<Self>, entries: Vec<Arc<BleSettings>>, scope: EntryScope) {
        let (arrive, mut arrivals) = mpsc::channel(ARRIVALS);
        if entries.is_empty() {
            return scope.stop.cancelled().await;
        }
        let entries = Arc::new(
            entries
                .iter()
                .map(|settings| BleSettings::clone(settings))
                .collect(),
        );
        if let Err(e) = radio::start(entries, arrive, scope.stop.clone()) {
            error!("no Bluetooth: the system gives no thread for it: {e}. The gateway goes on without it");
            return scope.stop.cancelled().await;
        }
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = sessions.join_next() => {
                    if let Err(e) = ended {
                        error!("a Bluetooth device's session ended in a fault inside the gateway: {e}");
                    }
                }
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => {
                        sessions.spawn(self.clone().session(arrival, scope.clone()));
                    }
                    None => break,
                },
            }
        }
        while sessions.join_next().await.is_some() {}
    }

    async fn session(self: Arc<Self>, arrival: Arrival, scope: EntryScope) {
        let Arrival {
            settings,
            seen,
            pipe,
            log,
            after,
        } = arrival;
        let mut board = board(&settings, seen, log);
        board.withdrawn = scope.withdrawn;
        let link = |pipe, framing, read| BleLink::new(pipe, Some(framing), read);
        let ended = self.intake.bridge(board, pipe, &scope.stop, link).await;
        // The radio may be gone.
        let _ = after.send(ended);
    }
}

/// A peripheral, and what its entry says of it.
fn board(settings: &BleSettings, seen: Seen, log: TroubleLog) -> Board {
    Board {
        facts: BoardFacts {
            keepalive: settings.keepalive,
            configured: settings.identifier.clone(),
            ..BoardFacts::default()
        },
        address: settings.address.clone(),
        is_one: settings.wanted.is_one(),
        own_name: seen.address.clone(),
        patience: Some(BLE_HELLO_PATIENCE),
        reads_messages: true,
        // A notification is a frame.
        framing: Some(settings.framing.clone().unwrap_or(Framing::Raw)),
        coalesce: settings.coalesce,
        on_close: settings.on_close.clone(),
        log,
        ..Board::at(Peer::Ble(seen.address, seen.name))
    }
}
