//! The one bridge for boards that cannot be told apart before they are connected: on a wire, on Bluetooth, behind an
//! address that the gateway dials. Finds out who is there, makes the link, and runs the session.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::codec::Encoder;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::hello::{self, HelloError};
use super::recognise::{Identity, Wait, identify};
use super::retry::{After, Trouble};
use super::{Board, Intake, TurnedAway};
use crate::advice::Advice;
use crate::defaults::{CLOSE_TIMEOUT, STOP_FLUSH_TIMEOUT};
use crate::device::frame::Frame;
use crate::device::handshake::{Address, Handshake, HandshakeError};
use crate::device::language::Language;
use crate::device::recognition::Answers;
use crate::link::framing::{FrameCodec, Framing};
use crate::link::{FrameIo, LinkError};

impl Intake {
    /// Stops the board that was last behind this port, if it was left running: to find out who it is takes seconds. A
    /// board whose identity is configured is stopped by its session, which begins at once.
    async fn stop_last_at<P: AsyncWrite + Unpin>(&self, board: &Board, port: &mut P) {
        let frames = self.registry.pending_stop_at(&board.peer);
        if frames.is_empty() {
            return;
        }
        info!(
            "{}: the board may still be running from before: stopping it first",
            board.peer
        );
        let written = timeout(STOP_FLUSH_TIMEOUT, async {
            for frame in frames {
                port.write_all(&board.framed(frame)).await?;
            }
            port.flush().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            warn!("{}: it may be running, and did not take its stop", board.peer);
        }
    }

    /// Bridges a board from the moment its `port` is open until its session is over. `link` makes the link, from the
    /// port, the framing and what was read already. Not cancel safe: a dropped future neither stops nor tells the
    /// board.
    pub async fn bridge<P, L>(
        &self,
        mut board: Board,
        mut port: P,
        stop: &CancellationToken,
        link: impl FnOnce(P, Framing, BytesMut) -> L,
    ) -> After
    where
        P: AsyncRead + AsyncWrite + Unpin,
        L: FrameIo + 'static,
    {
        if board.facts.configured.is_none() {
            self.stop_last_at(&board, &mut port).await;
        }
        let mut read = BytesMut::new();
        let mut answers = Answers::default();
        let handshake = match board.introduce(&mut port, &mut read, &mut answers, stop).await {
            Ok(Some(handshake)) => handshake,
            Ok(None) => {
                let link = link(port, board.framing.unwrap_or(Framing::Raw), read);
                if stop_unknown(link, board.on_close, &answers.languages())
                    .await
                    .is_err()
                {
                    warn!("{}: it may be running, and did not take its stop", board.peer);
                }
                return After::Stopping;
            }
            Err(e) => {
                let trouble = board.trouble(&e);
                return match e {
                    HelloError::Io(_) => After::Failed(trouble),
                    HelloError::Silent(_) | HelloError::Faulty { .. } | HelloError::Address(_) => {
                        After::Refused(trouble)
                    }
                };
            }
        };
        info!("{}: {} {}", board.peer, handshake.identifier, handshake.address);
        if let Some(recognised) = &board.recognised {
            info!("{}: recognised: {recognised}", board.peer);
            for fault in &recognised.faults {
                warn!("{}: {fault}", board.peer);
            }
            if self.admission.is_upstreams() {
                info!(
                    "{}: upstream lists it if its UDCF names {:?} as a websocket device of protocol {}",
                    board.peer, handshake.identifier, recognised.protocol
                );
            }
        }
        let framing = board.framing.take();
        let language = self.language(&handshake.identifier, board.recognised.as_deref());
        let framing = framing.unwrap_or_else(|| Framing::of(language));
        let link = Box::new(link(port, framing, read));
        board.may_be_running = true;
        let since = Instant::now();
        match self.session(handshake, board, link, stop).await {
            Ok(ended) => After::session(&ended, since.elapsed()),
            Err(TurnedAway { refusal, .. }) => After::Refused(Trouble {
                what: refusal.to_string(),
                hint: refusal.hint().unwrap_or_default().into_owned(),
            }),
        }
    }
}

/// Stops a board of which it is not known who it is, and closes its link. Its entry may tell what stops it; else it gets
/// the stop of every language that it may speak.
async fn stop_unknown(
    mut link: impl FrameIo,
    on_close: Option<Bytes>,
    languages: &[&'static dyn Language],
) -> Result<(), LinkError> {
    let stop = async {
        if let Some(on_close) = on_close {
            return link.send(Frame(on_close)).await;
        }
        // It may be in the middle of a question.
        link.send(Frame::from(&b"\n"[..])).await?;
        for language in languages {
            // The link repeats what it knows for a stop if it may lose it. Nobody waits for answers any more, so that it
            // should ask nothing.
            link.set_language(Some(*language), true);
            for frame in language.stop_perhaps() {
                link.send(Frame::from(*frame)).await?;
            }
        }
        Ok(())
    };
    let too_late = |_| LinkError::NotTaken(STOP_FLUSH_TIMEOUT);
    timeout(STOP_FLUSH_TIMEOUT, stop).await.map_err(too_late)??;
    timeout(CLOSE_TIMEOUT, link.close()).await.map_err(too_late)?
}

impl Board {
    /// A frame as it is written to the board; in no framing as it is.
    fn framed(&self, frame: Frame) -> BytesMut {
        let mut bytes = BytesMut::new();
        let framing = self.framing.clone().unwrap_or(Framing::Raw);
        // A frame that fits no framing was reported, and nothing is written.
        let _ = FrameCodec::new(framing).encode(frame, &mut bytes);
        bytes
    }

    /// Finds out who the board is; `None` if the gateway stops first. One whose identity is configured is known even
    /// then: its session ends at once, and stops it. What the board said besides stays in `read`, and what is known of
    /// its language in `answers`.
    ///
    /// # Errors
    /// It does not identify itself, is gone, or has an address that does not fit a handshake.
    async fn introduce<P>(
        &mut self,
        port: &mut P,
        read: &mut BytesMut,
        answers: &mut Answers,
        stop: &CancellationToken,
    ) -> Result<Option<Handshake>, HelloError>
    where
        P: AsyncRead + AsyncWrite + Unpin,
    {
        let (said, handshake) = match &self.facts.configured {
            Some(identifier) => {
                let handshake = Handshake::new(identifier.clone(), self.own_address()?);
                let said = match self.settle {
                    Some(time) => {
                        let settled = stop.run_until_cancelled(hello::settle(port, read, time));
                        settled.await.transpose()?.flatten()
                    }
                    None => None,
                };
                (said, handshake)
            }
            None => {
                let address = self.own_address();
                if let (Some(_), Err(e)) = (&self.address, &address) {
                    return Err(e.clone().into());
                }
                let on_close = self.on_close.clone().map(|bytes| self.framed(Frame(bytes)));
                let wait = Wait {
                    settle: self.settle.unwrap_or_default(),
                    patience: self.patience,
                    fallback: &address,
                    reads_messages: self.reads_messages,
                    on_close: on_close.as_deref(),
                };
                let not_yet = |e: &HelloError| self.log.report(&self.peer, &self.trouble(e));
                let asked = identify(port, read, wait, answers, not_yet);
                let Some(introduction) = stop.run_until_cancelled(asked).await else {
                    return Ok(None);
                };
                let introduction = introduction?;
                if let Some(fault) = introduction.fault {
                    warn!("{}: its hello line has a fault: {fault}", self.peer);
                }
                match introduction.identity {
                    Identity::Hello(said) => {
                        let mut handshake = said.handshake.clone();
                        if let (Some(_), Ok(address)) = (&self.address, address) {
                            handshake.address = address;
                        }
                        (Some(said), handshake)
                    }
                    Identity::Recognised(recognised) => {
                        let handshake = Handshake::new(recognised.identifier()?, address?);
                        self.recognised = Some(Arc::new(recognised));
                        (None, handshake)
                    }
                }
            }
        };
        if let Some(said) = said
            && let Err(other) = self.facts.learn(&said)
        {
            warn!("{}: {other}", self.peer);
        }
        Ok(Some(handshake))
    }

    /// The address of its entry, or what stands in if the board names none.
    fn own_address(&self) -> Result<Address, HandshakeError> {
        match &self.address {
            Some(address) if self.is_one => Ok(address.clone()),
            Some(prefix) => Address::new(format!("{prefix}{}", self.own_name, prefix = prefix.as_str())),
            None => Address::new(self.own_name.clone()),
        }
    }

    fn trouble(&self, error: &HelloError) -> Trouble {
        Trouble {
            what: error.to_string(),
            hint: error.hint_for(&self.peer).to_owned(),
        }
    }
}
