//! One client's session: handles its messages in order and sends it device changes and events.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use buttplug_core::errors::{
    ButtplugDeviceError, ButtplugError, ButtplugMessageError, ButtplugPingError, ButtplugUnknownError,
};
use buttplug_core::message::{
    ButtplugDeviceMessage, ButtplugMessage, ButtplugMessageSpecVersion, ButtplugServerMessageV4, ErrorV0,
    OkV0, ScanningFinishedV0, StopCmdV4,
};
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;
use buttplug_server::{ButtplugServer, ButtplugServerBuilder};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Shared;
use super::apps::From;
use super::commands::{Answer, Command, Effect, NO_TEXT, check_input, check_output, check_stop};
use super::devices::view;
use super::handshake::Established;
use super::ownership::ClientId;
use super::refusals::message_name;
use super::socket::{End, Socket, SocketEvent};
use super::stopping::{self, Target};
use super::wire::{self, Request};
use crate::advice::Advice;
use crate::defaults::{CLIENT_COMMANDS_MAX, STOP_TIMEOUT};
use crate::text::panic_text;
use crate::upstream::embedded::{EngineEvent, ListedDevice, legacy_device};

/// Messages of one batch that are handled before other clients are polled: all run on one thread.
const BATCH: usize = 32;
/// How long past its `Ping` deadline a busy client is still handled, in case a `Ping` is in the batch.
const PING_GRACE: Duration = Duration::from_millis(100);

/// The session of one client.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ClientId,
    pub(super) from: From,
    /// Cancelled when the user disconnects the app.
    pub(super) sent_away: CancellationToken,
    pub(super) socket: Socket,
    pub(super) server: ButtplugServer,
    /// The app as the log calls it: by its name, or by its address until it has given one.
    pub(super) app: String,
    /// Messages that were received and are not handled yet.
    pub(super) inbox: VecDeque<Result<Value, Box<ErrorV0>>>,
    /// Commands that the library has accepted and not yet answered.
    pending: FuturesUnordered<Command>,
    /// A stop in progress. Later commands wait, since none may reach the device before the stop bytes.
    stop: Option<BoxFuture<'static, Stopped>>,
}

/// The outcome of the library's stop: its answer, or the command that still waits for one.
enum Stopped {
    Answered(Answer),
    Waiting(Command),
}

impl Session {
    /// Serves a client until it leaves, for any reason, and stops the devices that it leaves running.
    pub(super) async fn serve(shared: Arc<Shared>, id: ClientId, from: From, socket: Socket) {
        let ip = from.peer.ip();
        // The library's ping timer would stop every client's devices, so the session keeps its own.
        let server = ButtplugServerBuilder::with_shared_device_manager(shared.engine.device_manager())
            .name(&shared.settings.server_name)
            .finish();
        let server = match server {
            Ok(server) => server,
            Err(e) => {
                error!("no Buttplug server for this client: {e}");
                return socket.close(&End::Fault(e.to_string())).await;
            }
        };
        let mut session = Self {
            shared: shared.clone(),
            id,
            app: format!("an app at {ip}"),
            sent_away: from.leave.clone(),
            from,
            socket,
            server,
            inbox: VecDeque::new(),
            pending: FuturesUnordered::new(),
            stop: None,
        };
        let ran = AssertUnwindSafe(session.run()).catch_unwind().await;
        let end = ran.unwrap_or_else(|panic| {
            let text = panic_text(panic.as_ref()).unwrap_or(NO_TEXT);
            error!("a client's session panicked: {text}");
            End::Fault(text.to_owned())
        });
        let Self {
            socket,
            pending,
            stop,
            app,
            ..
        } = session;
        shared.apps.leave(id);
        Self::report_unreported(&shared, &app);
        // Commands that the library has not started must not run after the stop.
        drop(pending);
        // Complete a stop that the client requested.
        if let Some(stop) = stop {
            shared.tasks.spawn(stop.map(drop));
        }
        let stop = async {
            // A gateway that refuses commands is stopping every device itself.
            if shared.refuse.is_cancelled() {
                0
            } else {
                stopping::stop_on_leave(&shared, id).await
            }
        };
        let (stopped, ()) = tokio::join!(stop, socket.close(&end));
        if end.hint().is_none() {
            info!("client left: {end}; {stopped} devices stopped");
        } else if let Some(line) = shared.strangers.line(ip, &end) {
            warn!("client left: {line}; {stopped} devices stopped");
        } else {
            debug!("client left again: {end}; {stopped} devices stopped");
        }
    }

    async fn run(&mut self) -> End {
        let (refuse, close) = (self.shared.refuse.clone(), self.shared.close.clone());
        let sent_away = self.sent_away.clone();
        let mut client = match self.shake_hands(&close).await {
            Ok(client) => client,
            Err(end) => return end,
        };
        self.shared.ownership.join(self.id);
        loop {
            if let Some(end) = self.handle_batch(&mut client) {
                return end;
            }
            if self.socket.is_idle() {
                client.list_throttle.written();
            }
            let working = self.can_handle();
            if working {
                tokio::task::yield_now().await;
            }
            let reading = self.inbox.is_empty() && self.stop.is_none() && self.socket.has_room();
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                biased;
                () = close.cancelled() => return End::Stopping,
                () = sent_away.cancelled() => return End::SentAway,
                () = refuse.cancelled(), if !client.refusing => {
                    client.refusing = true;
                    self.drop_pending("the gateway is stopping", |_| true);
                }
                stopped = async { self.stop.as_mut().expect("only polled if there is a stop").await }, if self.stop.is_some() => {
                    self.stop = None;
                    // A `Ping` may have been waiting behind the stop.
                    client.ping_until = client.ping_until.map(|until| until.max(Instant::now() + PING_GRACE));
                    match stopped {
                        Stopped::Answered(answer) => self.answer(answer),
                        Stopped::Waiting(command) => self.pending.push(command),
                    }
                }
                // Polled even if the write queue is full: an unpolled command would block its device's queue for
                // other clients. CLIENT_COMMANDS_MAX bounds the number of answers.
                Some(answer) = self.pending.next() => self.answer(answer),
                changed = client.devices.changed(), if !client.outdated => match changed {
                    Ok(()) => client.outdated = true,
                    Err(_) => return End::Stopping,
                },
                () = sleep_until(client.list_throttle.next()), if client.outdated && self.socket.is_idle() => {
                    self.send_device_list(&mut client);
                }
                event = self.socket.next_event(reading) => match event {
                    SocketEvent::Text(text) => self.inbox.extend(wire::split(&text)),
                    SocketEvent::Binary(bytes) => self.inbox.extend(from_binary(&bytes)),
                    SocketEvent::Drained => {}
                    SocketEvent::LivenessCheck { is_silent } => self.check_liveness(is_silent).await,
                    SocketEvent::Ended(end) => return end,
                },
                event = client.events.recv(), if self.socket.has_room() => match event {
                    Ok(event) => self.send_event(&mut client, event),
                    Err(RecvError::Lagged(lost)) => warn!("{lost} events were lost: the client reads too slowly"),
                    Err(RecvError::Closed) => return End::Stopping,
                },
                () = sleep_until(client.ping_until.unwrap_or(far)), if reading && client.ping_until.is_some() => {
                    return self.ping_out();
                }
                // More messages wait, and there is room for their answers.
                () = std::future::ready(()), if working => {}
            }
        }
    }

    /// Whether a message is waiting that can be handled now.
    fn can_handle(&self) -> bool {
        !self.inbox.is_empty() && self.stop.is_none() && self.socket.has_room()
    }

    /// Handles up to [`BATCH`] waiting messages.
    fn handle_batch(&mut self, client: &mut Established) -> Option<End> {
        for _ in 0..BATCH {
            if !self.can_handle() {
                return None;
            }
            let message = self.inbox.pop_front()?;
            if let Some(end) = self.handle(client, message) {
                return Some(end);
            }
            if client
                .ping_until
                .is_some_and(|until| Instant::now() > until + PING_GRACE)
            {
                return Some(self.ping_out());
            }
        }
        None
    }

    fn handle(&mut self, client: &mut Established, message: Result<Value, Box<ErrorV0>>) -> Option<End> {
        let (mut id, mut name) = (0, None);
        let version = client.version;
        let read = message.and_then(|message| {
            id = wire::id_of(&message);
            name = message_name(&message).map(str::to_owned);
            wire::read(&self.shared.schema, version, message)
        });
        let request = match read {
            Ok(request) => request,
            Err(error) => {
                self.refuse(name.as_deref(), *error);
                return None;
            }
        };
        if let Some(why) = self.refusal(client, &request) {
            let error = *wire::error(id, why);
            if client.refusing {
                self.socket.push(wire::encode_error(error));
            } else {
                self.refuse(name.as_deref(), error);
            }
            return None;
        }
        match request {
            Request::Ping(_) if client.ping_until.is_some() => {
                let limit = self.shared.settings.max_ping_time;
                client.ping_until = limit.map(|limit| Instant::now() + limit);
                self.socket.push(ok(id, version));
            }
            // The library would stop the devices of every client, so this is answered here.
            Request::Disconnect => {
                self.socket.push(ok(id, version));
                return Some(End::Disconnect);
            }
            Request::ListDevices => {
                client.outdated = false;
                let table = client.devices.borrow_and_update().clone();
                for text in client.announced.reply(id, &view(&table)) {
                    self.socket.push(text);
                }
            }
            Request::Stop(stop) => self.stop(client, stop),
            // The library answers that the handshake is done already, or that there is no ping timer.
            Request::Handshake(m) => self.command(Command::checked(&self.server, version, m.into())),
            Request::Ping(m) => self.command(Command::checked(&self.server, version, m)),
            Request::Scan(m) => self.command(Command::checked(&self.server, version, m)),
            Request::Output(m) => {
                let device = client.device(m.device_index());
                let checked = check_output(&m, device.as_deref().map(|d| d.definition.as_ref()));
                self.checked(client, id, "OutputCmd", device, checked);
            }
            Request::Input(m) => {
                let device = client.device(m.device_index());
                let checked = check_input(&m, device.as_deref().map(|d| d.definition.as_ref()));
                self.checked(client, id, "InputCmd", device, checked);
            }
            Request::Legacy(mut m) => {
                match legacy_device(&mut m).map(|index| (index, client.device(index))) {
                    Some((_, Some(device))) => self.device_command(&device, Command::legacy(&device, m)),
                    Some((index, None)) => {
                        let why = ButtplugDeviceError::DeviceNotAvailable(index);
                        self.refuse(name.as_deref(), *wire::error(id, why));
                    }
                    // Every device command names a device.
                    None => {
                        let why = ButtplugMessageError::UnexpectedMessageType("a device command".to_owned());
                        self.refuse(name.as_deref(), *wire::error(id, why));
                    }
                }
            }
        }
        None
    }

    /// Why a request is refused without being passed to the library.
    fn refusal(&self, client: &Established, request: &Request) -> Option<ButtplugError> {
        let limit = match request {
            Request::Scan(_) | Request::Output(_) | Request::Input(_) | Request::Legacy(_) => {
                CLIENT_COMMANDS_MAX
            }
            // Stops are still accepted if other commands no longer are.
            Request::Stop(_) => 2 * CLIENT_COMMANDS_MAX,
            Request::Handshake(_) | Request::Ping(_) | Request::ListDevices | Request::Disconnect => {
                return None;
            }
        };
        if client.refusing && !matches!(request, Request::Stop(_)) {
            let why = "the gateway is stopping".to_owned();
            return Some(ButtplugDeviceError::DeviceCommunicationError(why).into());
        }
        let why = || format!("{limit} commands are already waiting for an answer");
        (self.pending.len() >= limit).then(|| ButtplugUnknownError::UntypedDeserializedError(why()).into())
    }

    fn checked(
        &mut self,
        client: &Established,
        id: u32,
        message: &str,
        device: Option<Arc<ListedDevice>>,
        checked: Result<ButtplugCheckedClientMessageV4, ButtplugError>,
    ) {
        match (checked, device) {
            (Ok(message), Some(device)) => {
                let command = Command::on_device(&device, client.version, message);
                self.device_command(&device, command);
            }
            (Err(e), _) => self.refuse(Some(message), *wire::error(id, e)),
            (Ok(_), None) => {
                let why =
                    ButtplugUnknownError::UntypedDeserializedError("checked without a device".to_owned());
                self.refuse(Some(message), *wire::error(id, why));
            }
        }
    }

    /// Starts a command in the library.
    fn command(&mut self, mut command: Command) {
        match command.start() {
            Some(answer) => self.answer(answer),
            None => self.pending.push(command),
        }
    }

    /// Starts a command to a device. An output command makes this client the device's owner.
    fn device_command(&mut self, device: &ListedDevice, mut command: Command) {
        let answer = command.start();
        if !answer.as_ref().is_some_and(|a| a.failed) && command.effect == Effect::Output {
            self.shared
                .ownership
                .commanded(self.id, device.index, device.connection);
            self.shared.engine.commanded(device);
            self.socket.watch_liveness(Some(self.shared.settings.stop_after));
        }
        match answer {
            Some(answer) => self.answer(answer),
            None => self.pending.push(command),
        }
    }

    /// Stops devices at the client's request, positions too.
    fn stop(&mut self, client: &Established, stop: StopCmdV4) {
        let table = client.devices.borrow().clone();
        let wanted = stop.device_index();
        let device = wanted.and_then(|index| table.get(&index));
        if let Err(e) = check_stop(&stop, device.map(|d| d.definition.as_ref())) {
            return self.refuse(Some("a stop"), *wire::error(stop.id(), e));
        }
        if stop.outputs() {
            // Commands that still wait for room in the device's queue would run after the stop.
            self.drop_pending("stopped before it reached the device", |device| {
                wanted.is_none() || device == wanted
            });
        }
        let positions = Target::positions(&self.shared, &table, &stop);
        let mut command = match device {
            Some(device) => Command::on_device(device, client.version, stop.into()),
            None => Command::on_all(&self.shared.engine, client.version, &stop),
        };
        let answer = command.start();
        if positions.is_empty() {
            match answer {
                Some(answer) => self.answer(answer),
                None => self.pending.push(command),
            }
            return;
        }
        let shared = self.shared.clone();
        self.stop = Some(
            async move {
                let answer = match answer {
                    Some(answer) => Some(answer),
                    None => timeout(STOP_TIMEOUT, &mut command).await.ok(),
                };
                stopping::send_stop_bytes(shared, positions).await;
                match answer {
                    Some(answer) => Stopped::Answered(answer),
                    None => Stopped::Waiting(command),
                }
            }
            .boxed(),
        );
    }

    /// Stops the client's devices if the client is silent, perhaps frozen. The client stays connected, and its next
    /// command takes effect.
    async fn check_liveness(&mut self, is_silent: bool) {
        if is_silent {
            self.drop_pending("the app is silent, and its devices are stopped", |_| true);
            let stopped = stopping::stop_silent(&self.shared, self.id).await;
            if stopped > 0 {
                warn!(
                    "nothing received for {} ms while {stopped} devices were on: they are stopped",
                    self.shared.settings.stop_after.as_millis()
                );
            }
        }
        let on_its_way = self
            .pending
            .iter()
            .any(|command| command.effect == Effect::Output);
        if !on_its_way && !stopping::drives(&self.shared, self.id) {
            self.socket.watch_liveness(None);
        }
    }

    /// Drops output commands that the library has not passed on, and answers each with an Error.
    fn drop_pending(&mut self, why: &str, concerns: impl Fn(Option<u32>) -> bool) {
        for command in std::mem::take(&mut self.pending) {
            if command.effect == Effect::Output && concerns(command.device) {
                self.socket.push(command.dropped(why).text);
            } else {
                self.pending.push(command);
            }
        }
    }

    fn send_device_list(&mut self, client: &mut Established) {
        client.outdated = false;
        client.list_throttle.begin();
        let table = client.devices.borrow_and_update().clone();
        for text in client.announced.update(&view(&table)) {
            self.socket.push(text);
        }
    }

    fn send_event(&mut self, client: &mut Established, event: EngineEvent) {
        let version = client.version;
        match event {
            EngineEvent::ScanningFinished => {
                let finished = ButtplugServerMessageV4::ScanningFinished(ScanningFinishedV0::default());
                self.socket.push(wire::encode_v4(finished, version));
            }
            EngineEvent::InputReading(reading) if version == ButtplugMessageSpecVersion::Version4 => {
                let reading = ButtplugServerMessageV4::InputReading(reading.as_ref().clone());
                self.socket.push(wire::encode_v4(reading, version));
            }
            // The library does not let older clients subscribe, so they expect no unsolicited readings.
            EngineEvent::InputReading(_) => {
                if !std::mem::replace(&mut client.logged_reading_dropped, true) {
                    debug!(
                        "sensor readings are not passed on to this client: {version} has no message for them"
                    );
                }
            }
        }
    }

    /// Ends the session of a client that missed its `Ping` deadline.
    fn ping_out(&mut self) -> End {
        self.socket
            .push(wire::encode_error(*wire::error(0, ButtplugPingError::PingedOut)));
        End::PingedOut(self.shared.settings.max_ping_time.unwrap_or_default())
    }
}

fn ok(id: u32, version: ButtplugMessageSpecVersion) -> String {
    wire::encode_v4(ButtplugServerMessageV4::Ok(OkV0::new(id)), version)
}

/// Buttplug uses text messages; a binary message that is valid UTF-8 is accepted as text.
pub(super) fn from_binary(bytes: &[u8]) -> Vec<Result<Value, Box<ErrorV0>>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => wire::split(text),
        Err(_) => vec![Err(wire::malformed(
            0,
            "a binary message; Buttplug's JSON is sent as text",
        ))],
    }
}
