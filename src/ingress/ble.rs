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

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::config::BleSettings;
use crate::defaults::BLE_HELLO_PATIENCE;
use crate::device::hello::BoardFacts;
use crate::device::peer::Peer;
use crate::device::peripheral::Seen;
use crate::ingress::{After, Board, Intake, TroubleLog};
use crate::link::ble::{BleLink, Pipe};
use crate::link::framing::Framing;

/// Peripherals that wait to be taken by the gateway. It takes each at once.
const ARRIVALS: usize = 8;

/// The `[[ble]]` entries at work.
pub struct BlePeripherals {
    /// What was configured.
    pub entries: Arc<Vec<BleSettings>>,
    /// Where boards go once it is known who they are.
    pub intake: Arc<Intake>,
}

/// A peripheral that is connected and ready.
#[derive(Debug)]
struct Arrival {
    entry: usize,
    seen: Seen,
    pipe: Pipe,
    /// Where trouble with it is logged.
    log: TroubleLog,
    /// Reports how it went when the session is over.
    after: oneshot::Sender<After>,
}

impl BlePeripherals {
    /// Bridges peripherals until `stop` is cancelled, then waits for their sessions, which whoever cancelled it ends
    /// too, and for the radio to let go of them.
    pub async fn serve(self: Arc<Self>, stop: CancellationToken) {
        let (arrive, mut arrivals) = mpsc::channel(ARRIVALS);
        if let Err(e) = radio::start(self.entries.clone(), arrive, stop.clone()) {
            error!("no Bluetooth: the system gives no thread for it: {e}. The gateway goes on without it");
            stop.cancelled().await;
            return;
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
                        sessions.spawn(self.clone().session(arrival, stop.clone()));
                    }
                    None => break,
                },
            }
        }
        while sessions.join_next().await.is_some() {}
    }

    async fn session(self: Arc<Self>, arrival: Arrival, stop: CancellationToken) {
        let Arrival {
            entry,
            seen,
            pipe,
            log,
            after,
        } = arrival;
        let ended = match self.entries.get(entry) {
            Some(settings) => {
                let board = board(settings, seen, log);
                let link = |pipe, framing, read| BleLink::new(pipe, Some(framing), read);
                self.intake.bridge(board, pipe, &stop, link).await
            }
            None => After::Stopping,
        };
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
