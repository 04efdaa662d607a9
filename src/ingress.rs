//! What every way in shares: a device that said who it is, on whatever link, becomes a session.

pub mod ble;
mod bridge;
pub mod dial;
pub mod hello;
pub mod recognise;
mod retry;
pub mod serial;
pub mod websocket;

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
pub use retry::{After, Retry, Trouble, TroubleLog};

/// Who may come in, which sessions there are, and where they feed.
pub struct Intake {
    /// Who may come in.
    pub admission: Admission,
    /// Which sessions exist.
    pub registry: Arc<Registry>,
    /// Where they feed.
    pub upstream: Arc<dyn Upstream>,
}

/// A board at the way in, and what its entry in the configuration says of it.
pub struct Board {
    /// Where it is.
    pub peer: Peer,
    /// What it is, if that is configured, and the keepalive of its watchdog.
    pub facts: BoardFacts,
    /// What it was recognised as; filled in once it answered.
    pub recognised: Option<Arc<Recognised>>,
    /// Which one it is; if the entry is for several, what stands before `own_name`.
    pub address: Option<Address>,
    /// The entry is for one board.
    pub is_one: bool,
    /// What distinguishes it from others of its kind.
    pub own_name: String,
    /// How long a board is left alone that restarts when it is connected. One whose identity is configured is read
    /// from meanwhile; `None` reads nothing.
    pub settle: Option<Duration>,
    /// How long its hello line is waited for; `None` waits for as long as it is there.
    pub patience: Option<Duration>,
    /// Each read is a message of the board, which ends a hello line as a newline does: a notification, a datagram.
    pub reads_messages: bool,
    /// How its bytes are cut into frames; `None` is what its language is known for.
    pub framing: Option<Framing>,
    /// In which language newer commands take the place of older ones; `None` is the one that its protocol speaks.
    pub coalesce: Option<Coalesce>,
    /// What stops it, in place of what its language is known for.
    pub on_close: Option<Bytes>,
    /// It may have been moving before it came here, and is stopped first: a board that a gateway left behind which was
    /// killed, or one that another central let go of.
    pub may_be_running: bool,
    /// Where trouble with it is logged.
    pub log: TroubleLog,
}

impl Board {
    /// A board of which nothing is configured.
    pub fn at(peer: Peer) -> Self {
        Self {
            peer,
            facts: BoardFacts::default(),
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
            log: TroubleLog::default(),
        }
    }
}

/// A device that was not let in, with the link on which it waits for an answer.
pub struct TurnedAway {
    /// Why.
    pub refusal: Refusal,
    /// The device.
    pub link: Box<dyn FrameIo>,
}

impl Intake {
    /// The language that a device speaks: the one that it was recognised by, or that of its identifier's protocol, if
    /// both are known.
    pub fn language(
        &self,
        identifier: &Identifier,
        recognised: Option<&Recognised>,
    ) -> Option<&'static dyn Language> {
        match recognised {
            Some(recognised) => recognised.language(),
            None => language::of_protocol(self.admission.protocol(identifier)?),
        }
    }

    /// Lets a board in that has said who it is, and runs its session until it ends. Not cancel safe: a dropped future
    /// neither stops nor tells the board.
    ///
    /// # Errors
    /// The device is not welcome.
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
            ..
        } = board;
        let welcome = match recognised {
            Some(_) => self.admission.recognised(handshake),
            None => self.admission.handshake(handshake),
        };
        let admitted = match welcome {
            Ok(handshake) => self.registry.admit(handshake, peer.clone()).await,
            Err(refusal) => Err(refusal),
        };
        let mut entry = match admitted {
            Ok(entry) => entry,
            Err(refusal) => return Err(TurnedAway { refusal, link }),
        };
        if may_be_running {
            entry.may_be_running();
        }
        let language = self.language(&entry.handle().handshake.identifier, recognised.as_deref());
        link.set_language(language, facts.keepalive.is_some());
        entry.actuators = Actuators::new(language, on_close);
        if may_be_running {
            entry.actuators.may_be_running();
        }
        let handle = entry.handle().clone();
        let Handshake {
            identifier, address, ..
        } = &handle.handshake;
        let span = error_span!("device", conn = handle.connection.0, %peer, %identifier, %address);
        let session = {
            let _entered = span.enter();
            info!("device connected");
            // A device that came in while the gateway began to stop would be missed by the order to end.
            if stop.is_cancelled() {
                handle.end(Disconnect::Stopping);
            }
            let can_stop = entry.actuators.can_stop();
            if !can_stop {
                warn!(
                    "no stop is known for what this device speaks: if control is lost, only the server's own stop reaches \
                     it; on_close in its section says what stops it"
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
        Ok(session.run().instrument(span).await)
    }
}
