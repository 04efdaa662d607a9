//! Our hardware communication manager: a session's upstream half on one side, the library's hardware on the other.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use buttplug_core::ButtplugResultFuture;
use buttplug_core::errors::ButtplugDeviceError;
use buttplug_server::device::hardware::communication::{
    HardwareCommunicationManager, HardwareCommunicationManagerBuilder, HardwareCommunicationManagerEvent,
};
use buttplug_server::device::hardware::{
    GenericHardwareSpecializer, Hardware, HardwareConnector, HardwareEvent, HardwareInternal,
    HardwareReadCmd, HardwareReading, HardwareSpecializer, HardwareSubscribeCmd, HardwareUnsubscribeCmd,
    HardwareWriteCmd,
};
use buttplug_server_device_config::{Endpoint, ProtocolCommunicationSpecifier, WebsocketSpecifier};
use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::{FutureExt, Sink, Stream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Sleep, sleep, timeout};
use tracing::warn;

use super::late::Waiting;
use super::shard::recognised_as;
use super::{Engine, Listing, TcodeDevice};
use crate::device::frame::{Frame, Outgoing};
use crate::device::language::{self, AnswerFilter, Command, Language};
use crate::session::ends::{Disconnect, FromUpstream, UpstreamError, UpstreamIo};
use crate::session::registry::{Counters, SessionHandle};
use crate::udcf::tcode::PROTOCOL;

/// Slots of a device's event channel. The library ends a device whose events overflow, so the channel is never filled
/// beyond them. All slots are allocated at once, for every device.
const EVENT_SLOTS: usize = 16;
/// Frames of a device that wait for a slot. At the bound the oldest is dropped: a sensor's newest value is worth
/// most.
const BACKLOG: usize = 32;
/// The retry interval of waiting frames: a free slot wakes nothing.
const BACKLOG_RETRY: Duration = Duration::from_millis(2);
/// Writes that the library may have queued. It awaits each one, so there is hardly ever a second.
const WRITE_QUEUE: usize = 4;
/// How long a session waits for the library to unlist its device. Some protocols keep their hardware for ever.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// A frame for the device, with its receipt.
struct Write {
    bytes: Bytes,
    done: oneshot::Sender<()>,
}

/// What the library receives about a device.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) session: Arc<SessionHandle>,
    /// The protocol by which a board was recognised.
    pub(super) recognised: Option<&'static str>,
    pub(super) tcode: Option<Arc<TcodeDevice>>,
}

/// The content of an announcement. Cloned for each try, since the library may drop one unseen.
#[derive(Clone)]
pub(super) struct ConnectorParts {
    identity: Identity,
    writes: mpsc::Sender<Write>,
    events: broadcast::Sender<HardwareEvent>,
    subscribed: Arc<AtomicBool>,
    taken: Arc<AtomicBool>,
    disconnected: Arc<AtomicBool>,
}

impl ConnectorParts {
    /// The name by which generic protocols find a device's definition.
    pub(super) fn name(&self) -> &str {
        let of_tcode = self.identity.tcode.as_ref().and_then(|tcode| tcode.name());
        of_tcode.unwrap_or(self.identity.session.handshake.identifier.as_str())
    }

    pub(super) fn address(&self) -> &str {
        self.identity.session.handshake.address.as_str()
    }

    /// The specifier by which the library chooses the protocol.
    fn specifier(&self) -> ProtocolCommunicationSpecifier {
        match self.identity.recognised {
            Some(protocol) => recognised_as(protocol),
            None => {
                let identifier = self.identity.session.handshake.identifier.as_str();
                ProtocolCommunicationSpecifier::Websocket(WebsocketSpecifier::new(identifier))
            }
        }
    }
}

/// Creates the two ends of a device: its announcement, and the session's upstream half.
pub(super) fn pair(
    engine: Arc<Engine>,
    identity: Identity,
    listing: Arc<Listing>,
    language: Option<&'static dyn Language>,
) -> (ConnectorParts, EmbeddedIo) {
    let (writes, written) = mpsc::channel(WRITE_QUEUE);
    let events = broadcast::Sender::new(EVENT_SLOTS);
    let subscribed = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicBool::new(false));
    let disconnected = Arc::new(AtomicBool::new(false));
    let io = EmbeddedIo {
        engine,
        session: identity.session.clone(),
        recognised: identity.recognised,
        writes: written,
        events: events.clone(),
        answers: language.and_then(Language::answer_filter),
        waiting: None,
        backlog: VecDeque::new(),
        retry: None,
        subscribed: subscribed.clone(),
        taken: taken.clone(),
        disconnected: disconnected.clone(),
        listing,
        is_remembered: false,
    };
    (
        ConnectorParts {
            identity,
            writes,
            events,
            subscribed,
            taken,
            disconnected,
        },
        io,
    )
}

/// A session's upstream half, connected to the library.
pub(super) struct EmbeddedIo {
    engine: Arc<Engine>,
    session: Arc<SessionHandle>,
    /// See [`Identity`].
    recognised: Option<&'static str>,
    writes: mpsc::Receiver<Write>,
    events: broadcast::Sender<HardwareEvent>,
    answers: Option<Box<dyn AnswerFilter>>,
    waiting: Option<Waiting>,
    backlog: VecDeque<Bytes>,
    retry: Option<Pin<Box<Sleep>>>,
    subscribed: Arc<AtomicBool>,
    taken: Arc<AtomicBool>,
    disconnected: Arc<AtomicBool>,
    listing: Arc<Listing>,
    /// The device is remembered as one that is driven, though no app may ever have commanded it.
    is_remembered: bool,
}

impl EmbeddedIo {
    /// Moves waiting frames into free slots.
    fn fill_slots(&mut self) {
        while self.events.len() < EVENT_SLOTS
            && let Some(bytes) = self.backlog.pop_front()
        {
            let address = self.session.handshake.address.as_str().to_owned();
            // Fails without a receiver: the protocol does not subscribe.
            let _ = self
                .events
                .send(HardwareEvent::Notification(address, Endpoint::Rx, bytes.into()));
        }
    }

    /// Queues a frame for the library.
    fn queue(&mut self, frame: Frame) {
        self.fill_slots();
        if self.backlog.len() >= BACKLOG {
            self.backlog.pop_front();
            let dropped = &self.session.counters.dropped;
            if dropped.load(Ordering::Relaxed) == 0 {
                warn!("the device sends faster than the server reads: its oldest frames are dropped");
            }
            Counters::count(dropped);
        }
        self.backlog.push_back(frame.0);
        self.fill_slots();
    }

    /// Reports the disconnect to the library: the event reaches current receivers, the flag later ones. Without the
    /// flag, a device that leaves during its initialisation would be listed after it left.
    fn report_disconnect(&self) {
        self.disconnected.store(true, Ordering::SeqCst);
        let address = self.session.handshake.address.as_str().to_owned();
        // Fails without a receiver: the library has already dropped the hardware.
        let _ = self.events.send(HardwareEvent::Disconnected(address));
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) {
        while let (Some(waiting), Some(answers)) = (&mut self.waiting, &self.answers) {
            match waiting.poll(&**answers, cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.waiting = None,
                Poll::Ready(Some(frame)) => self.queue(frame),
            }
        }
    }

    fn poll_backlog(&mut self, cx: &mut Context<'_>) {
        while !self.backlog.is_empty() {
            let retry = self.retry.get_or_insert_with(|| Box::pin(sleep(BACKLOG_RETRY)));
            if retry.as_mut().poll(cx).is_pending() {
                return;
            }
            self.retry = None;
            self.fill_slots();
        }
    }
}

impl Stream for EmbeddedIo {
    type Item = Result<FromUpstream, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.poll_backlog(cx);
        this.poll_waiting(cx);
        match std::task::ready!(this.writes.poll_recv(cx)) {
            Some(Write { bytes, done }) => {
                let frame = Frame(bytes);
                if let Some(answers) = &mut this.answers {
                    if let Some(fault) = answers.asked(&frame) {
                        warn!("{fault}");
                    }
                    if let Some(waiting) = Waiting::begin(&**answers, &frame) {
                        this.waiting = Some(waiting);
                    }
                }
                // The library awaits each write before it handles the next command.
                Poll::Ready(Some(Ok(FromUpstream::Frame(Outgoing {
                    frame,
                    receipt: Some(done),
                    is_answered_early: true,
                }))))
            }
            None if this.listing.was_listed() => Poll::Ready(Some(Err(UpstreamError::Released))),
            None if this.taken.load(Ordering::Acquire) => {
                let protocol = this.recognised;
                Poll::Ready(Some(Err(this.engine.init_failed(&this.session, protocol))))
            }
            None => Poll::Ready(Some(Err(UpstreamError::NotTaken))),
        }
    }
}

impl Sink<Frame> for EmbeddedIo {
    type Error = UpstreamError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), UpstreamError> {
        // The library panics on some empty frames, and they carry nothing. Before the protocol subscribes it has
        // asked for nothing, and would take a greeting for the reply to its first query.
        if frame.0.is_empty() || !self.subscribed.load(Ordering::Acquire) {
            return Ok(());
        }
        match &mut self.answers {
            None => self.queue(frame),
            Some(answers) => {
                let received = answers.received(frame);
                if let Some(fault) = received.fault {
                    warn!("{fault}");
                }
                for frame in received.answers {
                    self.queue(frame);
                }
            }
        }
        Ok(())
    }

    /// Ready at once. Waiting frames follow on the retry, which wakes the task.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        self.poll_backlog(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }
}

impl UpstreamIo for EmbeddedIo {
    /// Without this, the library would skip the next command if it equals its last one.
    fn stopped(&mut self) {
        self.engine.stop_session(&self.session);
    }

    /// A device that is driven by hand must be stopped after a restart of the gateway too.
    fn driven_by_hand(&mut self) {
        self.is_remembered = self.is_remembered || self.engine.commanded_by_hand(&self.session);
    }

    fn release(mut self: Box<Self>, gateway_stops: bool) -> BoxFuture<'static, ()> {
        async move {
            if gateway_stops {
                return;
            }
            self.report_disconnect();
            let unlisted = async {
                loop {
                    tokio::select! {
                        // Dropping a write makes it fail in the library, whose device task handles the event only
                        // after the write it awaits.
                        write = self.writes.recv() => if write.is_none() { break },
                        () = self.listing.unlisted() => break,
                    }
                }
            };
            if timeout(RELEASE_TIMEOUT, unlisted).await.is_err() {
                tracing::debug!("the server keeps the device's hardware");
            }
        }
        .boxed()
    }
}

/// Reports the disconnect however a session ends, a panic included.
impl Drop for EmbeddedIo {
    fn drop(&mut self) {
        self.report_disconnect();
        self.engine.forget(&self.session);
    }
}

/// Builds the manager, and hands out the library's sender for found devices.
pub(super) struct CommunicationManagerBuilder {
    found: Arc<OnceLock<mpsc::Sender<HardwareCommunicationManagerEvent>>>,
}

/// Holds the library's sender once the manager is built.
pub(super) struct FoundSender(Arc<OnceLock<mpsc::Sender<HardwareCommunicationManagerEvent>>>);

impl FoundSender {
    /// Returns the sender; call it after the device manager was built.
    pub(super) fn take(self) -> mpsc::Sender<HardwareCommunicationManagerEvent> {
        self.0
            .get()
            .cloned()
            .expect("the library builds every manager before its own build is done")
    }
}

impl CommunicationManagerBuilder {
    pub(super) fn new() -> (Self, FoundSender) {
        let found = Arc::new(OnceLock::new());
        (Self { found: found.clone() }, FoundSender(found))
    }
}

impl HardwareCommunicationManagerBuilder for CommunicationManagerBuilder {
    fn finish(
        &mut self,
        sender: mpsc::Sender<HardwareCommunicationManagerEvent>,
    ) -> Box<dyn HardwareCommunicationManager> {
        let _ = self.found.set(sender);
        Box::new(CommunicationManager)
    }
}

/// Devices connect on their own, so there is nothing to scan for.
struct CommunicationManager;

impl HardwareCommunicationManager for CommunicationManager {
    fn name(&self) -> &'static str {
        "WsdmGateway"
    }

    fn start_scanning(&mut self) -> ButtplugResultFuture {
        future::ready(Ok(())).boxed()
    }

    fn stop_scanning(&mut self) -> ButtplugResultFuture {
        future::ready(Ok(())).boxed()
    }

    fn can_scan(&self) -> bool {
        true
    }
}

/// One announcement of a device. The library connects it or drops it.
pub(super) struct Connector {
    parts: ConnectorParts,
    taken: Option<oneshot::Sender<()>>,
}

impl Connector {
    pub(super) fn new(parts: ConnectorParts, taken: oneshot::Sender<()>) -> Self {
        Self {
            parts,
            taken: Some(taken),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("handshake", &self.parts.identity.session.handshake)
            .finish()
    }
}

#[async_trait]
impl HardwareConnector for Connector {
    fn specifier(&self) -> ProtocolCommunicationSpecifier {
        self.parts.specifier()
    }

    async fn connect(&mut self) -> Result<Box<dyn HardwareSpecializer>, ButtplugDeviceError> {
        self.parts.taken.store(true, Ordering::Release);
        if let Some(taken) = self.taken.take() {
            let _ = taken.send(());
        }
        // Generic protocols look up custom `configurations` by this name.
        let hardware = Hardware::new(
            self.parts.name(),
            self.parts.address(),
            &[Endpoint::Rx, Endpoint::Tx],
            &None,
            false,
            Box::new(EmbeddedHardware(self.parts.clone())),
        );
        Ok(Box::new(GenericHardwareSpecializer::new(hardware)))
    }
}

/// Whether a frame of a TCode device only sets axes to nothing.
fn is_stop(bytes: Bytes) -> bool {
    Command::read(language::of_protocol(PROTOCOL), &Frame(bytes)).is_stop()
}

/// The device as the library sees it.
struct EmbeddedHardware(ConnectorParts);

impl HardwareInternal for EmbeddedHardware {
    fn disconnect(&self) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        self.0
            .identity
            .session
            .end(Disconnect::Upstream(UpstreamError::Released));
        future::ready(Ok(())).boxed()
    }

    fn event_stream(&self) -> broadcast::Receiver<HardwareEvent> {
        let events = self.0.events.subscribe();
        if self.0.disconnected.load(Ordering::SeqCst) {
            let _ = self
                .0
                .events
                .send(HardwareEvent::Disconnected(self.0.address().to_owned()));
        }
        events
    }

    fn read_value(
        &self,
        _: &HardwareReadCmd,
    ) -> BoxFuture<'static, Result<HardwareReading, ButtplugDeviceError>> {
        let why = "a device of the Websocket Device Manager cannot be read, it sends by itself";
        future::ready(Err(ButtplugDeviceError::UnhandledCommand(why.to_owned()))).boxed()
    }

    /// Completes when the bytes are written; if newer motion may supersede them, before that.
    fn write_value(&self, msg: &HardwareWriteCmd) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        let writes = self.0.writes.clone();
        if let Some(tcode) = &self.0.identity.tcode
            && tcode.fence.passes(msg.command_id().iter().copied(), msg.data())
        {
            return future::ready(Ok(())).boxed();
        }
        let bytes = match &self.0.identity.tcode {
            Some(tcode) => tcode.channels.rewrite(msg.command_id(), msg.data()),
            None => Some(Bytes::copy_from_slice(msg.data())),
        };
        if let Some(tcode) = &self.0.identity.tcode
            && tcode.fence.is_pending()
            && !bytes.clone().is_some_and(is_stop)
        {
            return future::ready(Ok(())).boxed();
        }
        async move {
            let bytes = bytes.ok_or_else(|| {
                let why = "the feature has no TCode axis".to_owned();
                ButtplugDeviceError::ProtocolSpecificError(PROTOCOL.to_owned(), why)
            })?;
            let gone = || ButtplugDeviceError::DeviceCommunicationError("the device is gone".to_owned());
            let (done, written) = oneshot::channel();
            writes.send(Write { bytes, done }).await.map_err(|_| gone())?;
            written.await.map_err(|_| gone())
        }
        .boxed()
    }

    fn subscribe(&self, _: &HardwareSubscribeCmd) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        self.0.subscribed.store(true, Ordering::Release);
        future::ready(Ok(())).boxed()
    }

    fn unsubscribe(&self, _: &HardwareUnsubscribeCmd) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        self.0.subscribed.store(false, Ordering::Release);
        future::ready(Ok(())).boxed()
    }
}
