//! What every way in shares: an identified device, on any link, becomes a session.

mod axes;
pub mod ble;
mod bridge;
pub mod dial;
pub mod hello;
pub mod mqtt;
pub mod recognise;
mod retry;
pub mod scope;
pub mod serial;
mod stoppable;
pub mod websocket;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error_span, info, warn};

use crate::device::handshake::{Address, Handshake, Identifier};
use crate::device::hello::BoardFacts;
use crate::device::language::{self, Actuators, Coalesce, Language};
use crate::device::peer::Peer;
use crate::device::recognition::Recognised;
use crate::device::refusal::Refusal;
use crate::link::FrameIo;
use crate::link::framing::Framing;
use crate::session::Session;
use crate::session::admission::Admission;
use crate::session::ends::{DeviceInfo, Disconnect, Upstream};
use crate::session::registry::Registry;
use crate::session::unidentified::Identifying;
use crate::text::printable;
pub use retry::{After, Retry, Trouble, TroubleLog};

/// Admits devices and runs their sessions.
pub struct Intake {
    /// Which devices may connect.
    pub admission: Admission,
    /// The sessions.
    pub registry: Arc<Registry>,
    /// Where the sessions feed.
    pub upstream: Arc<dyn Upstream>,
}

/// A board that connects or is connected to, as its entry in the configuration describes it.
pub struct Board {
    /// Where it is.
    pub peer: Peer,
    /// What it is, if that is configured, and the keepalive of its watchdog.
    pub facts: BoardFacts,
    /// Whether it is a TCode board by configuration that is to be asked for its axes.
    pub asks_axes: bool,
    /// What it was recognised as, once it has answered.
    pub recognised: Option<Arc<Recognised>>,
    /// Which one it is; if the entry is for several boards, the prefix of `own_name`.
    pub address: Option<Address>,
    /// Whether the entry is for a single board.
    pub is_one: bool,
    /// What distinguishes it from others of its kind.
    pub own_name: String,
    /// How long nothing is sent to it after it is connected, since it may restart then. Meanwhile, if its identity is
    /// configured, its output is read; `None` reads nothing.
    pub settle: Option<Duration>,
    /// How long it has to identify itself; `None` waits for as long as it is connected.
    pub patience: Option<Duration>,
    /// Each read is one message of the board, such as a notification, which ends a hello line as a newline does.
    pub reads_messages: bool,
    /// How its bytes are cut into frames; `None` for its language's usual framing.
    pub framing: Option<Framing>,
    /// The language in which newer commands supersede older ones; `None` for the one that its protocol speaks.
    pub coalesce: Option<Coalesce>,
    /// The bytes that stop it, instead of its language's own stop.
    pub on_close: Option<Bytes>,
    /// Whether it may already be moving, and is stopped first: a gateway that was killed, or another central, may have
    /// left it running.
    pub may_be_running: bool,
    /// Whether its link may lose what is sent to it.
    pub is_lossy: bool,
    /// Its place among the boards that are not known yet.
    pub place: Option<Identifying>,
    /// Logs trouble with it.
    pub log: TroubleLog,
    /// Cancelled when its entry is removed from the configuration or changed.
    pub withdrawn: CancellationToken,
}

impl Board {
    /// A board without any configuration.
    pub fn at(peer: Peer) -> Self {
        Self {
            peer,
            facts: BoardFacts::default(),
            asks_axes: false,
            recognised: None,
            address: None,
            is_one: true,
            own_name: String::new(),
            settle: None,
            patience: None,
            reads_messages: false,
            framing: None,
            coalesce: None,
            on_close: None,
            may_be_running: false,
            is_lossy: false,
            place: None,
            log: TroubleLog::default(),
            withdrawn: CancellationToken::new(),
        }
    }
}

/// A refused device, with the link on which it waits for an answer.
pub struct TurnedAway {
    /// Why it was refused.
    pub refusal: Refusal,
    /// Its link.
    pub link: Box<dyn FrameIo>,
}

impl Intake {
    /// The language that a device speaks: the one that it was recognised by, else that of its identifier's protocol.
    /// `None` if it is unknown.
    pub fn language(
        &self,
        identifier: &Identifier,
        recognised: Option<&Recognised>,
    ) -> Option<&'static dyn Language> {
        match recognised {
            Some(recognised) => recognised.language(),
            None => language::of_protocol(&self.admission.protocol(identifier)?),
        }
    }

    /// Admits a board that has identified itself, and runs its session until it ends. Not cancel safe: a dropped future
    /// sends the board neither a stop nor a close.
    ///
    /// # Errors
    /// The device is refused.
    pub async fn session(
        &self,
        handshake: Handshake,
        board: Board,
        mut link: Box<dyn FrameIo>,
        stop: &CancellationToken,
    ) -> Result<Disconnect, TurnedAway> {
        let Board {
            peer,
            facts,
            recognised,
            coalesce,
            on_close,
            may_be_running,
            withdrawn,
            place,
            ..
        } = board;
        let (identifier, address) = (handshake.identifier.clone(), handshake.address.clone());
        let accepted = match recognised {
            Some(_) => self.admission.recognised(handshake),
            None => self.admission.handshake(handshake),
        };
        let admitted = match accepted {
            Ok(handshake) => self.registry.admit(handshake, peer.clone()).await,
            Err(refusal) => Err(refusal),
        };
        let mut entry = match admitted {
            Ok(entry) => entry,
            Err(refusal) => {
                self.registry
                    .record_refusal(identifier.as_str(), address.as_str(), &peer, &refusal);
                return Err(TurnedAway { refusal, link });
            }
        };
        drop(place);
        if may_be_running {
            entry.may_be_running();
        }
        let may_be_running = may_be_running || entry.was_left_running;
        let language = self.language(&entry.handle().handshake.identifier, recognised.as_deref());
        link.set_language(language, facts.keepalive.is_some());
        link.set_round_trip(entry.handle().round_trip.clone());
        entry.actuators = Actuators::new(language, on_close);
        if may_be_running {
            entry.actuators.may_be_running();
        }
        let handle = entry.handle().clone();
        if let Some(recognised) = &recognised {
            let _ = handle.recognised.set(recognised.protocol);
        }
        let Handshake {
            identifier, address, ..
        } = &handle.handshake;
        let span = error_span!("device", conn = handle.connection.0, %peer, %identifier, %address);
        let session = {
            let _entered = span.enter();
            info!("device connected");
            if let Some(reason) = &handle.handshake.reset {
                info!(
                    "the board started anew before that: {}",
                    printable(reason.as_bytes())
                );
            }
            // The order to end may have missed a device that was admitted just now.
            if stop.is_cancelled() && !withdrawn.is_cancelled() {
                handle.end(Disconnect::Stopping);
            }
            let can_stop = entry.actuators.can_stop();
            if !can_stop {
                warn!(
                    "no stop is known for the protocol of this device: if control is lost, only the server's own stop \
                     reaches it; set on_close in its section to the bytes that stop it"
                );
            }
            let device = DeviceInfo {
                can_stop,
                language,
                recognised,
            };
            let upstream = self.upstream.clone().open(&handle, device);
            Session::new(entry, link, coalesce.unwrap_or(language), facts, upstream)
        };
        let mut running = pin!(session.run().instrument(span));
        match withdrawn.run_until_cancelled(&mut running).await {
            Some(ended) => Ok(ended),
            None => {
                handle.end(Disconnect::Reconfigured);
                Ok(running.await)
            }
        }
    }
}
