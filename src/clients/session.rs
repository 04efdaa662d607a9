//! One client: reads its messages in order, carries them out in order, and tells it what happens to the devices.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use buttplug_core::errors::{ButtplugHandshakeError, ButtplugPingError, ButtplugUnknownError};
use buttplug_core::message::{
    ButtplugMessage, ButtplugMessageSpecVersion as Version, ButtplugServerMessageV4, OkV0,
    ScanningFinishedV0, ServerInfoV4,
};
use buttplug_server::message::serializer::ButtplugServerJSONSerializer;
use buttplug_server::message::{
    ButtplugClientMessageVariant as Message, ButtplugServerMessageVariant as Reply,
};
use buttplug_server::{ButtplugServer, ButtplugServerBuilder};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::commands::{self, Kind, Pending, error_reply};
use super::lists::{self, Seen, Told};
use super::ownership::ClientId;
use super::{Shared, StopOrder, has_positions, stop_devices};
use crate::close::{self, CloseReason};
use crate::defaults::{CLOSE_TIMEOUT, WRITE_TIMEOUT};
use crate::link::{Frame, FrameIo, LinkError};
use crate::upstream::embedded::{DeviceTable, EngineEvent, ListedDevice};

/// Commands of one client that the library has not finished. A client that piles up more is told so.
const PENDING_MAX: usize = 1_024;
/// Pause after a list, for each device on it: a list of a thousand is a hundred kilobytes, and when a thousand
/// arrive at once each list but the last is stale when it is read.
const LIST_PAUSE_PER_DEVICE: Duration = Duration::from_micros(50);

/// Why a client's session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Left {
    #[error("it said goodbye")]
    Goodbye,
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("it did not take what was written to it for {} ms", .0.as_millis())]
    WriteTimeout(Duration),
    #[error("no Ping within {} ms", .0.as_millis())]
    PingedOut(Duration),
    #[error("the gateway is stopping")]
    Stopping,
}

impl Left {
    fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::Goodbye | Self::Link(LinkError::Closed { .. }) => 1000,
            Self::Link(LinkError::TooLarge(_)) => close::TOO_LARGE,
            Self::Link(LinkError::NotUtf8(_)) => close::INVALID_HANDSHAKE,
            Self::Link(LinkError::Protocol(_)) => 1002,
            Self::Link(_) | Self::WriteTimeout(_) | Self::PingedOut(_) => close::TIMEOUT,
            Self::Stopping => close::GOING_AWAY,
        };
        CloseReason::new(code, self.to_string())
    }
}

/// One client's connection.
pub(super) struct ClientSession {
    shared: Arc<Shared>,
    id: ClientId,
    link: Box<dyn FrameIo>,
    /// The library's server for this client; its ping timer is off, since on a missed ping it would stop the
    /// devices of all clients.
    server: ButtplugServer,
    serializer: ButtplugServerJSONSerializer,
    /// Set by the handshake.
    version: Option<Version>,
    pending: FuturesUnordered<Pending>,
    outbox: VecDeque<Reply>,
    devices: watch::Receiver<Arc<DeviceTable>>,
    told: Told,
    next_list: Instant,
    events: broadcast::Receiver<EngineEvent>,
    ping_deadline: Option<Instant>,
    sensor_loss_said: bool,
}

/// What the loop woke up for.
enum Wake {
    Stopping,
    PingedOut(Duration),
    Reply(Reply),
    Devices,
    Event(Result<EngineEvent, RecvError>),
    Frame(Option<Result<Frame, LinkError>>),
}

impl ClientSession {
    pub(super) fn new(shared: Arc<Shared>, id: ClientId, link: Box<dyn FrameIo>) -> Self {
        let server = ButtplugServerBuilder::with_shared_device_manager(shared.engine.device_manager())
            .name(&shared.settings.server_name)
            .finish()
            .expect("a server with a device manager has nothing left that can fail");
        Self {
            id,
            link,
            server,
            serializer: ButtplugServerJSONSerializer::default(),
            version: None,
            pending: FuturesUnordered::new(),
            outbox: VecDeque::new(),
            devices: shared.engine.devices(),
            told: Told::default(),
            next_list: Instant::now(),
            events: shared.engine.events(),
            ping_deadline: None,
            sensor_loss_said: false,
            shared,
        }
    }

    /// Serves the client until it, or the gateway, goes.
    pub(super) async fn run(&mut self) -> Left {
        loop {
            if let Err(left) = self.turn().await {
                return left;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Left> {
        while let Some(reply) = self.outbox.pop_front() {
            self.write(commands::encode(reply)).await?;
        }
        match self.wake().await {
            Wake::Stopping => return Err(Left::Stopping),
            Wake::PingedOut(limit) => {
                let version = self.version.unwrap_or(Version::Version4);
                let error = error_reply(version, 0, ButtplugPingError::PingedOut.into());
                self.write(commands::encode(error)).await?;
                return Err(Left::PingedOut(limit));
            }
            Wake::Reply(reply) => self.outbox.push_back(reply),
            Wake::Devices => self.tell_devices(),
            Wake::Event(event) => self.tell_event(event),
            Wake::Frame(Some(Ok(frame))) => self.frame(&frame).await?,
            Wake::Frame(Some(Err(e))) => return Err(e.into()),
            Wake::Frame(None) => {
                return Err(LinkError::Closed {
                    code: None,
                    reason: String::new(),
                }
                .into());
            }
        }
        Ok(())
    }

    async fn wake(&mut self) -> Wake {
        let greeted = self.version.is_some();
        let ping = async {
            match (self.ping_deadline, self.shared.settings.max_ping_time) {
                (Some(deadline), Some(limit)) => {
                    sleep_until(deadline).await;
                    limit
                }
                _ => std::future::pending().await,
            }
        };
        let devices = async {
            // An error means that the engine is gone, and with it this session soon.
            if self.devices.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep_until(self.next_list).await;
        };
        tokio::select! {
            biased;
            () = self.shared.close.cancelled() => Wake::Stopping,
            limit = ping => Wake::PingedOut(limit),
            Some(reply) = self.pending.next() => Wake::Reply(reply),
            // What a client has to say comes before what there is to tell it: among it are stops.
            frame = self.link.next() => Wake::Frame(frame),
            () = devices, if greeted => Wake::Devices,
            event = self.events.recv(), if greeted => Wake::Event(event),
        }
    }

    async fn write(&mut self, text: String) -> Result<(), Left> {
        tokio::select! {
            biased;
            sent = timeout(WRITE_TIMEOUT, self.link.send(Frame::from(text))) => match sent {
                Ok(sent) => Ok(sent?),
                Err(_) => Err(Left::WriteTimeout(WRITE_TIMEOUT)),
            },
            () = self.shared.close.cancelled() => Err(Left::Stopping),
        }
    }

    /// One websocket message: an array of Buttplug messages.
    async fn frame(&mut self, frame: &Frame) -> Result<(), Left> {
        let messages = match commands::parse(&self.serializer, &frame.0) {
            Ok(messages) => messages,
            Err(error) => {
                debug!("a message that cannot be read: {}", error.error_message());
                let version = self.version.unwrap_or(Version::Version4);
                self.outbox.extend(lists::in_version(version, (*error).into()));
                return Ok(());
            }
        };
        for message in messages {
            self.message(message).await?;
        }
        Ok(())
    }

    async fn message(&mut self, message: Message) -> Result<(), Left> {
        let id = message.id();
        let version = message.version();
        match (commands::kind(&message), self.version) {
            (Kind::Hello(hello), _) => self.hello(id, version, hello).await,
            (_, None) => {
                let error = ButtplugHandshakeError::RequestServerInfoExpected.into();
                self.outbox.push_back(error_reply(version, id, error));
            }
            (Kind::Ping, _) if self.shared.settings.max_ping_time.is_some() => {
                self.restart_ping_clock();
                self.outbox
                    .extend(lists::in_version(version, OkV0::new(id).into()));
            }
            (Kind::DeviceList, _) => {
                let table = self.devices.borrow_and_update().clone();
                let seen = seen(&table);
                self.told.set(&seen);
                self.outbox
                    .extend(lists::in_version(version, lists::device_list(id, &seen)));
            }
            // The library's own goodbye would stop the devices of all clients.
            (Kind::Disconnect, _) => {
                if let Some(ok) = lists::in_version(version, OkV0::new(id).into()) {
                    self.write(commands::encode(ok)).await?;
                }
                return Err(Left::Goodbye);
            }
            _ if self.shared.no_commands.is_cancelled() => {
                self.outbox.push_back(error_reply(
                    version,
                    id,
                    ButtplugUnknownError::DeviceManagerNotRunning.into(),
                ));
            }
            (kind, _) => self.command(kind, message).await,
        }
        Ok(())
    }

    async fn hello(
        &mut self,
        id: u32,
        version: Version,
        mut hello: buttplug_core::message::RequestServerInfoV4,
    ) {
        hello.set_id(id);
        let name = hello.client_name().clone();
        let reply = match self.server.parse_checked_message(hello.into()).await {
            Ok(ButtplugServerMessageV4::ServerInfo(info)) => {
                self.version = Some(version);
                let table = self.devices.borrow_and_update().clone();
                self.told.set(&seen(&table));
                self.restart_ping_clock();
                info!(
                    client = name.escape_debug().to_string(),
                    "client connected, message version {}", version as i32
                );
                // The library does not know of the ping that this session watches.
                let limit = self
                    .shared
                    .settings
                    .max_ping_time
                    .map_or(0, |t| t.as_millis() as u32);
                let mut info = ServerInfoV4::new(
                    info.server_name(),
                    info.protocol_version_major(),
                    info.protocol_version_minor(),
                    limit,
                );
                info.set_id(id);
                ButtplugServerMessageV4::ServerInfo(info)
            }
            Ok(other) => other,
            Err(error) => ButtplugServerMessageV4::Error(error),
        };
        self.outbox.extend(lists::in_version(version, reply));
    }

    fn restart_ping_clock(&mut self) {
        self.ping_deadline = self
            .shared
            .settings
            .max_ping_time
            .map(|limit| Instant::now() + limit);
    }

    /// A command for the library: handed over and polled once before the next message is looked at, which is
    /// what keeps the client's order; what is not done by then is parked.
    async fn command(&mut self, kind: Kind, message: Message) {
        if self.pending.len() >= PENDING_MAX {
            let text = format!("{PENDING_MAX} messages are waiting for the devices already");
            let error = ButtplugUnknownError::UnexpectedType(text).into();
            return self
                .outbox
                .push_back(error_reply(message.version(), message.id(), error));
        }
        let table = self.devices.borrow().clone();
        if let Kind::Output(index) = kind
            && let Some(device) = table.get(&index)
        {
            self.shared.ownership.commands(self.id, index, device.connection);
        }
        let mut reply = commands::carry_out(&self.server, &table, message);
        if let Kind::Stop(which) = kind {
            reply = stopping_positions(self.shared.clone(), &table, which, reply);
        }
        match futures::poll!(&mut reply) {
            std::task::Poll::Ready(reply) => self.outbox.push_back(reply),
            std::task::Poll::Pending => self.pending.push(reply),
        }
    }

    fn tell_devices(&mut self) {
        let table = self.devices.borrow_and_update().clone();
        let version = self.version.unwrap_or(Version::Version4);
        self.outbox.extend(self.told.update(version, &seen(&table)));
        self.next_list = Instant::now() + LIST_PAUSE_PER_DEVICE * table.len() as u32;
    }

    fn tell_event(&mut self, event: Result<EngineEvent, RecvError>) {
        let version = self.version.unwrap_or(Version::Version4);
        match event {
            Ok(EngineEvent::ScanningFinished) => {
                self.outbox
                    .extend(lists::in_version(version, ScanningFinishedV0::default().into()));
            }
            Ok(EngineEvent::InputReading(reading)) => {
                let told =
                    lists::in_version(version, ButtplugServerMessageV4::InputReading((*reading).clone()));
                if told.is_none() && !self.sensor_loss_said {
                    self.sensor_loss_said = true;
                    info!(
                        "sensor readings are not passed on: message version {version} has none without a request"
                    );
                }
                self.outbox.extend(told);
            }
            Err(RecvError::Lagged(lost)) => {
                warn!("the client reads too slowly: {lost} sensor readings were dropped")
            }
            // The engine is gone, and with it this session soon.
            Err(RecvError::Closed) => {}
        }
    }

    /// Says why, in a Close frame.
    pub(super) async fn close(&mut self, why: Left) {
        self.link.set_close_reason(why.close_reason());
        // Past the limit the socket is dropped as it is; there is nobody left to tell.
        let _ = timeout(CLOSE_TIMEOUT, self.link.close()).await;
    }
}

/// After the library's stop: what it has no stop for.
fn stopping_positions(
    shared: Arc<Shared>,
    table: &DeviceTable,
    which: Option<u32>,
    stop: Pending,
) -> Pending {
    let addressed = |d: &&Arc<ListedDevice>| which.is_none_or(|index| d.info.device_index() == index);
    let devices: Vec<_> = table.values().filter(addressed).cloned().collect();
    for device in &devices {
        shared.ownership.stopped(device.info.device_index());
    }
    let positions: Vec<_> = devices.into_iter().filter(|d| has_positions(d)).collect();
    if positions.is_empty() {
        return stop;
    }
    async move {
        let (reply, ()) = tokio::join!(stop, stop_devices(&shared, positions, StopOrder::Asked));
        reply
    }
    .boxed()
}

fn seen(table: &DeviceTable) -> Seen<'_> {
    table
        .iter()
        .map(|(&index, device)| (index, (device.connection, &device.info)))
        .collect()
}
