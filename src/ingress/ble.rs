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

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::advice::Advice;
use crate::config::BleSettings;
use crate::device::peer::Peer;
use crate::device::peripheral::Seen;
use crate::ingress::hello::HelloError;
use crate::ingress::introduction::Introduction;
use crate::ingress::{Intake, Newcomer};
use crate::link::ble::{BleLink, Pipe};
use crate::session::ends::Disconnect;

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
    /// How it went; told when the session is over.
    verdict: oneshot::Sender<Verdict>,
}

/// How a session went, for whoever decides when to connect again.
#[derive(Debug)]
enum Verdict {
    /// It is over.
    Over,
    /// Upstream does not have the device just now, or another one has its address.
    Later,
    /// It is not known who it is, or it is not welcome.
    Refused(Trouble),
    /// It went before that was known.
    Failed(Trouble),
    /// The gateway stops.
    Stopped,
}

/// What went wrong with a peripheral, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
struct Trouble {
    what: String,
    hint: String,
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
            verdict,
        } = arrival;
        let told = match self.entries.get(entry) {
            Some(settings) => self.run(settings, seen, pipe, &stop).await,
            None => Verdict::Stopped,
        };
        // The radio may be gone.
        let _ = verdict.send(told);
    }

    /// Finds out who is there, and runs its session.
    async fn run(
        &self,
        settings: &BleSettings,
        seen: Seen,
        mut pipe: Pipe,
        stop: &CancellationToken,
    ) -> Verdict {
        let introduction = Introduction {
            identifier: settings.identifier.as_ref(),
            address: settings.address.as_ref(),
            is_one: settings.wanted.is_one(),
            own_address: seen.address.clone(),
            keepalive: settings.keepalive,
            settle: None,
        };
        let peer = Peer::Ble(seen.address, seen.name);
        let mut read = BytesMut::new();
        // Whose identity is configured is let in even now: its session ends at once, and stops it.
        let introduced = tokio::select! {
            biased;
            introduced = introduction.introduce(&peer, &mut pipe, &mut read) => introduced,
            () = stop.cancelled() => return Verdict::Stopped,
        };
        let (handshake, known) = match introduced {
            Ok(introduced) => introduced,
            Err(e) => {
                let trouble = Trouble {
                    what: e.to_string(),
                    hint: e.hint_for(&peer).to_owned(),
                };
                return match e {
                    HelloError::Io(_) => Verdict::Failed(trouble),
                    HelloError::Silent(_) | HelloError::Address(_) => Verdict::Refused(trouble),
                };
            }
        };
        let identifier = &handshake.identifier;
        info!("{peer}: {identifier} {}", handshake.address);
        let link = BleLink::new(pipe, settings.framing.clone(), read);
        let newcomer = Newcomer {
            handshake,
            peer,
            link: Box::new(link),
            known,
            coalesce: settings.coalesce,
            may_be_running: true,
        };
        let session = self.intake.session(newcomer, settings.on_close.as_ref(), stop);
        match session.await {
            Ok(Disconnect::Stopping) => Verdict::Stopped,
            Ok(Disconnect::Upstream(_) | Disconnect::Replaced) => Verdict::Later,
            Ok(_) => Verdict::Over,
            Err(refused) => Verdict::Refused(Trouble {
                what: refused.refusal.to_string(),
                hint: refused.refusal.hint().unwrap_or_default().into_owned(),
            }),
        }
    }
}
