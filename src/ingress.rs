//! What every way in shares: a device that said who it is, on whatever link, becomes a session.

pub mod ble;
pub mod hello;
pub mod introduction;
pub mod serial;
pub mod websocket;

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error_span, info, warn};

use crate::device::handshake::{Handshake, Identifier};
use crate::device::hello::Known;
use crate::device::language::{self, Actuators, Coalesce, Language};
use crate::device::peer::Peer;
use crate::device::refusal::Refusal;
use crate::link::FrameIo;
use crate::session::Session;
use crate::session::admission::Admission;
use crate::session::ends::{Disconnect, Upstream};
use crate::session::registry::Registry;

/// Who may come in, which sessions there are, and where they feed.
pub struct Intake {
    /// Who may come in.
    pub admission: Admission,
    /// Which sessions exist.
    pub registry: Arc<Registry>,
    /// Where they feed.
    pub upstream: Arc<dyn Upstream>,
}

/// A device that said who it is.
pub struct Newcomer {
    /// What it said.
    pub handshake: Handshake,
    /// Where it is.
    pub peer: Peer,
    /// The way to it.
    pub link: Box<dyn FrameIo>,
    /// What is known of it beside its handshake.
    pub known: Known,
    /// In which language newer commands take the place of older ones; `None` is the one that its protocol speaks.
    pub coalesce: Option<Coalesce>,
    /// It may have been moving before it came here, and is stopped first: a board that a gateway left behind which was
    /// killed, or one that another central let go of.
    pub may_be_running: bool,
}

/// A device that was not let in, with the link on which it waits for an answer.
pub struct TurnedAway {
    /// Why.
    pub refusal: Refusal,
    /// The device.
    pub link: Box<dyn FrameIo>,
}

impl Intake {
    /// The language that a device with this identifier speaks, if its protocol and the language are known.
    pub fn language(&self, identifier: &Identifier) -> Option<&'static dyn Language> {
        language::of_protocol(self.admission.protocol(identifier)?)
    }

    /// Lets a device in and runs its session until it ends; `on_close` takes the place of the stop that its
    /// language is known to have. Not cancel safe: a dropped future neither stops nor tells the device.
    ///
    /// # Errors
    /// The device is not welcome.
    pub async fn session(
        &self,
        newcomer: Newcomer,
        on_close: Option<&Bytes>,
        stop: &CancellationToken,
    ) -> Result<Disconnect, TurnedAway> {
        let Newcomer {
            handshake,
            peer,
            link,
            known,
            coalesce,
            may_be_running,
        } = newcomer;
        let admitted = match self.admission.handshake(handshake) {
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
        let language = self.language(&entry.handle().handshake.identifier);
        entry.actuators = Actuators::new(language, on_close.cloned());
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
            let upstream = self.upstream.clone().open(&handle, can_stop);
            Session::new(entry, link, coalesce.unwrap_or(language), known, upstream)
        };
        Ok(session.run().instrument(span).await)
    }
}
