//! The one bridge for boards that the gateway connects to: on a serial port, on Bluetooth, at an address that it dials.
//! Identifies the board, makes the link, and runs the session.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::codec::Encoder;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::axes;
use super::hello::{self, HelloError};
use super::recognise::{IdentifyOptions, Identity, identify};
use super::retry::{After, Trouble};
use super::stoppable::Stoppable;
use super::{Board, Intake, TurnedAway};
use crate::advice::Advice;
use crate::defaults::{CLOSE_TIMEOUT, STOP_FLUSH_TIMEOUT};
use crate::device::frame::Frame;
use crate::device::handshake::{Address, Handshake, HandshakeError};
use crate::device::language::{Actuators, Language};
use crate::device::recognition::Answers;
use crate::link::framing::{FrameCodec, Framing};
use crate::link::{FrameIo, LinkError};
use crate::session::unidentified::{Identifying, Unidentified};

impl Intake {
    /// Stops the board that was last behind this port, if it was left running: identifying it takes seconds. A board
    /// whose identity is configured is stopped by its session, which begins at once.
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
            warn!(
                "{}: the board may be running, and its stop was not delivered",
                board.peer
            );
        }
    }

    /// Bridges a board from the moment its `port` is open until its session ends. `link` makes the link from the port,
    /// the framing and what was read already. Not cancel safe: a dropped future sends the board neither a stop nor a
    /// close.
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
        let mut port = self.stoppable(&board, port);
        let shown = port.board().clone();
        let mut read = BytesMut::new();
        let mut answers = Answers::default();
        let introduced = board.introduce(&mut port, &mut read, &mut answers, &shown, stop);
        let handshake = match introduced.await {
            Ok(Some(handshake)) => handshake,
            Ok(None) => {
                let (port, _place) = port.into_parts();
                let link = link(port, board.framing.unwrap_or(Framing::Raw), read);
                let languages = answers.languages();
                let stopped = stop_unidentified(link, board.on_close, &languages);
                if stopped.await.is_err() {
                    warn!(
                        "{}: the board may be running, and its stop was not delivered",
                        board.peer
                    );
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
        let is_ours =
            !self.admission.accepts_any_name() && self.admission.identifier(&handshake.identifier).is_ok();
        if board.asks_axes && is_ours {
            let language = self.language(&handshake.identifier, None);
            let stops = Actuators::new(language, board.on_close.clone()).stop_frames();
            let asked = axes::ask(&mut port, &mut read, &stops);
            // If the gateway stops, the session that ends at once stops the board.
            match stop.run_until_cancelled(asked).await.transpose() {
                Ok(recognised) => board.recognised = recognised.flatten().map(Arc::new),
                Err(e) => return After::Failed(board.trouble(&e.into())),
            }
        }
        info!("{}: {} {}", board.peer, handshake.identifier, handshake.address);
        if let Some(recognised) = &board.recognised {
            info!("{}: recognised: {recognised}", board.peer);
            for fault in &recognised.faults {
                warn!("{}: {fault}", board.peer);
            }
            if self.admission.accepts_any_name() {
                info!(
                    "{}: upstream lists it if its UDCF names {:?} as a websocket device of protocol {}",
                    board.peer, handshake.identifier, recognised.protocol
                );
            }
        }
        let framing = board.framing.take();
        let language = self.language(&handshake.identifier, board.recognised.as_deref());
        let framing = framing.unwrap_or_else(|| Framing::of(language));
        let (port, place) = port.into_parts();
        board.place = Some(place);
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

impl Intake {
    /// Enters the board among those that are not known yet, and has its port take orders to stop it.
    fn stoppable<P: AsyncRead + AsyncWrite + Unpin>(&self, board: &Board, port: P) -> Stoppable<P> {
        let (identifier, address) = match (&board.facts.configured, board.own_address()) {
            (Some(identifier), Ok(address)) => (identifier.as_str(), address.as_str().to_owned()),
            _ => ("", board.peer.to_string()),
        };
        let (identifier, registry) = (identifier.to_owned(), self.registry.clone());
        let place = Identifying::enter(registry, board.peer.clone(), identifier, address);
        Stoppable::new(port, place, self.stop_while_asked(board), board.is_lossy)
    }

    /// What stops a board until its session does, as it is written to it.
    fn stop_while_asked(&self, board: &Board) -> Vec<Bytes> {
        let configured = board.facts.configured.as_ref();
        if board.on_close.is_none() && configured.is_none() {
            // It may be in the middle of a question.
            let mut frames = vec![Bytes::from_static(b"\n")];
            for language in Answers::default().languages() {
                frames.extend(language.stop_perhaps().iter().copied().map(Bytes::from_static));
            }
            return frames;
        }
        let language = configured.and_then(|identifier| self.language(identifier, None));
        let mut actuators = Actuators::new(language, board.on_close.clone());
        actuators.may_be_running();
        let framing = board.framing.clone().unwrap_or_else(|| Framing::of(language));
        let frames = actuators.stop_frames().into_iter();
        frames.map(|frame| framed(&framing, frame).freeze()).collect()
    }
}

/// Stops a board that is not identified, and closes its link. Its entry may say what stops it; otherwise it gets the stop
/// of every language that it may speak.
async fn stop_unidentified(
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

/// The bytes of a frame in this framing.
fn framed(framing: &Framing, frame: Frame) -> BytesMut {
    let mut bytes = BytesMut::new();
    // A frame that its framing cannot carry was logged there.
    let _ = FrameCodec::new(framing.clone()).encode(frame, &mut bytes);
    bytes
}

impl Board {
    /// The bytes of a frame as they are written to the board.
    fn framed(&self, frame: Frame) -> BytesMut {
        framed(self.framing.as_ref().unwrap_or(&Framing::Raw), frame)
    }

    /// Finds out the board's identity; `None` if the gateway stops or the entry is withdrawn first. If it is configured, it is known even then:
    /// the session ends at once, and stops the board. What else the board sent stays in `read`, and what it answered in
    /// `answers`.
    ///
    /// # Errors
    /// The board did not identify itself, the connection was lost, or its address does not fit a handshake.
    async fn introduce<P>(
        &mut self,
        port: &mut P,
        read: &mut BytesMut,
        answers: &mut Answers,
        shown: &Unidentified,
        stop: &CancellationToken,
    ) -> Result<Option<Handshake>, HelloError>
    where
        P: AsyncRead + AsyncWrite + Unpin,
    {
        let (hello, handshake) = match &self.facts.configured {
            Some(identifier) => {
                let handshake = Handshake::new(identifier.clone(), self.own_address()?);
                let hello = match self.settle {
                    Some(time) => {
                        let settled = stop.run_until_cancelled(hello::settle(port, read, time));
                        settled.await.transpose()?.flatten()
                    }
                    None => None,
                };
                (hello, handshake)
            }
            None => {
                let address = self.own_address();
                if let (Some(_), Err(e)) = (&self.address, &address) {
                    return Err(e.clone().into());
                }
                let on_close = self.on_close.clone().map(|bytes| self.framed(Frame(bytes)));
                let options = IdentifyOptions {
                    settle: self.settle.unwrap_or_default(),
                    patience: self.patience,
                    fallback: &address,
                    reads_messages: self.reads_messages,
                    on_close: on_close.as_deref(),
                };
                let report = |e: &HelloError| {
                    let trouble = self.trouble(e);
                    shown.report(&trouble.what, &trouble.hint);
                    self.log.report(&self.peer, &trouble);
                };
                let identified = identify(port, read, options, answers, report);
                let Some(introduction) = stop.run_until_cancelled(identified).await else {
                    return Ok(None);
                };
                let introduction = introduction?;
                if let Some(fault) = introduction.fault {
                    warn!("{}: its hello line has a fault: {fault}", self.peer);
                }
                match introduction.identity {
                    Identity::Hello(hello) => {
                        let mut handshake = hello.handshake.clone();
                        if let (Some(_), Ok(address)) = (&self.address, address) {
                            handshake.address = address;
                        }
                        (Some(hello), handshake)
                    }
                    Identity::Recognised(recognised) => {
                        let handshake = Handshake::new(recognised.identifier()?, address?);
                        self.recognised = Some(Arc::new(recognised));
                        (None, handshake)
                    }
                }
            }
        };
        if let Some(hello) = hello {
            for warning in self.facts.learn(&hello) {
                warn!("{}: {warning}", self.peer);
            }
        }
        Ok(Some(handshake))
    }

    /// The address from its entry, or the one it gets if it names none.
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
