//! One client: its messages in the order in which it sent them, and whatever it has to be told.

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
use tracing::{debug, error, info, warn};

use super::Shared;
use super::commands::{Answer, Command, Effect, check_input, check_output, check_stop, panic_text};
use super::devices::view;
use super::greeting::Greeted;
use super::ownership::ClientId;
use super::socket::{End, Socket, Turn};
use super::stopping::{self, Target};
use super::wire::{self, Request};
use crate::defaults::{CLIENT_COMMANDS_MAX, STOP_TIMEOUT};
use crate::upstream::embedded::{EngineEvent, ListedDevice, legacy_device};

/// Messages of one batch that are handled before other clients have their turn: all run on one thread.
const BATCH: usize = 32;
/// A client that sends all kinds of things, but no `Ping`, is not read past its limit for longer than this.
const PING_GRACE: Duration = Duration::from_millis(100);

/// One client's connection.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    id: ClientId,
    pub(super) socket: Socket,
    pub(super) server: ButtplugServer,
    /// Messages that came with one that is being handled.
    pub(super) inbox: VecDeque<Result<Value, Box<ErrorV0>>>,
    /// Commands that the library has taken and not answered.
    parked: FuturesUnordered<Command>,
    /// A stop whose bytes are on their way: no later command may reach the device before them.
    stop: Option<BoxFuture<'static, Stopped>>,
}

/// The library's stop: its answer, or what still waits for it.
enum Stopped {
    Answered(Answer),
    Waiting(Command),
}

impl Session {
    /// Serves a client until it goes, by whatever way, and stops the devices that it leaves running.
    pub(super) async fn serve(shared: Arc<Shared>, id: ClientId, socket: Socket) {
        // Its own ping timer stops every client's devices; so it has none, and we keep the time.
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
            socket,
            server,
            inbox: VecDeque::new(),
            parked: FuturesUnordered::new(),
            stop: None,
        };
        let ran = AssertUnwindSafe(session.run()).catch_unwind().await;
        let end = ran.unwrap_or_else(|panic| {
            let text = panic_text(panic.as_ref());
            error!("a client's session panicked: {text}");
            End::Fault(text.to_owned())
        });
        let Self {
            socket, parked, stop, ..
        } = session;
        // What the library has not begun must not come after the stop.
        drop(parked);
        // A stop that the client asked for is carried out to the end.
        if let Some(stop) = stop {
            shared.tasks.spawn(stop.map(drop));
        }
        let stop = async {
            // Once it refuses commands the gateway stops every device itself.
            if shared.refuse.is_cancelled() {
                0
            } else {
                stopping::stop_left(&shared, id).await
            }
        };
        let (stopped, ()) = tokio::join!(stop, socket.close(&end));
        info!("client left: {end}; {stopped} devices stopped");
    }

    async fn run(&mut self) -> End {
        let (refuse, close) = (self.shared.refuse.clone(), self.shared.close.clone());
        let mut greeted = match self.greet(&close).await {
            Ok(greeted) => greeted,
            Err(end) => return end,
        };
        self.shared.ownership.join(self.id);
        loop {
            if let Some(end) = self.work_off(&mut greeted) {
                return end;
            }
            if self.socket.is_idle() {
                greeted.lists.written();
            }
            let working = self.may_work();
            if working {
                tokio::task::yield_now().await;
            }
            let reading = self.inbox.is_empty() && self.stop.is_none() && self.socket.has_room();
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                biased;
                () = close.cancelled() => return End::Stopping,
                () = refuse.cancelled(), if !greeted.refusing => {
                    greeted.refusing = true;
                    self.drop_parked("the gateway is stopping", |_| true);
                }
                stopped = async { self.stop.as_mut().expect("only polled where there is one").await }, if self.stop.is_some() => {
                    self.stop = None;
                    // A `Ping` may have waited for as long.
                    greeted.ping_until = greeted.ping_until.map(|until| until.max(Instant::now() + PING_GRACE));
                    match stopped {
                        Stopped::Answered(answer) => self.socket.push(answer.text),
                        Stopped::Waiting(command) => self.parked.push(command),
                    }
                }
                // Also where there is no room: one that got its place in a device's queue and is not polled would
                // hold it against other clients. There is a limit to how many they are.
                Some(answer) = self.parked.next() => self.socket.push(answer.text),
                changed = greeted.devices.changed(), if !greeted.outdated => match changed {
                    Ok(()) => greeted.outdated = true,
                    Err(_) => return End::Stopping,
                },
                () = sleep_until(greeted.lists.next()), if greeted.outdated && self.socket.is_idle() => {
                    self.tell_devices(&mut greeted);
                }
                turn = self.socket.turn(reading) => match turn {
                    Turn::Text(text) => self.inbox.extend(wire::take_apart(&text)),
                    Turn::Binary(bytes) => self.inbox.extend(from_binary(&bytes)),
                    Turn::Drained => {}
                    Turn::Attended { is_silent } => self.attended(is_silent).await,
                    Turn::Ended(end) => return end,
                },
                event = greeted.events.recv(), if self.socket.has_room() => match event {
                    Ok(event) => self.tell_event(&mut greeted, event),
                    Err(RecvError::Lagged(lost)) => warn!("{lost} events were lost: the client reads too slowly"),
                    Err(RecvError::Closed) => return End::Stopping,
                },
                () = sleep_until(greeted.ping_until.unwrap_or(far)), if reading && greeted.ping_until.is_some() => {
                    return self.ping_out();
                }
                // More of a batch waits, and there is room for its answers.
                () = std::future::ready(()), if working => {}
            }
        }
    }

    /// Whether a message waits that may be handled now.
    fn may_work(&self) -> bool {
        !self.inbox.is_empty() && self.stop.is_none() && self.socket.has_room()
    }

    /// Handles messages of the batch at hand, as many as one turn allows.
    fn work_off(&mut self, greeted: &mut Greeted) -> Option<End> {
        for _ in 0..BATCH {
            if !self.may_work() {
                return None;
            }
            let message = self.inbox.pop_front()?;
            if let Some(end) = self.handle(greeted, message) {
                return Some(end);
            }
            if greeted
                .ping_until
                .is_some_and(|until| Instant::now() > until + PING_GRACE)
            {
                return Some(self.ping_out());
            }
        }
        None
    }

    fn handle(&mut self, greeted: &mut Greeted, message: Result<Value, Box<ErrorV0>>) -> Option<End> {
        let mut id = 0;
        let version = greeted.version;
        let read = message.and_then(|message| {
            id = wire::id_of(&message);
            wire::read(&self.shared.schema, version, message)
        });
        let request = match read {
            Ok(request) => request,
            Err(error) => {
                self.socket.push(wire::encode_error(*error));
                return None;
            }
        };
        if let Some(why) = self.refusal(greeted, &request) {
            self.socket.push(wire::encode_error(*wire::error(id, why)));
            return None;
        }
        match request {
            Request::Ping(_) if greeted.ping_until.is_some() => {
                let limit = self.shared.settings.max_ping_time;
                greeted.ping_until = limit.map(|limit| Instant::now() + limit);
                self.socket.push(ok(id, version));
            }
            // The library's answer to this would stop the devices of every client.
            Request::Disconnect => {
                self.socket.push(ok(id, version));
                return Some(End::Disconnect);
            }
            Request::ListDevices => {
                greeted.outdated = false;
                let table = greeted.devices.borrow_and_update().clone();
                for text in greeted.told.reply(id, &view(&table)) {
                    self.socket.push(text);
                }
            }
            Request::Stop(stop) => self.stop(greeted, stop),
            // The library's own answers: that it is done already, that there is no ping timer.
            Request::Handshake(m) => self.command(Command::checked(&self.server, version, m.into())),
            Request::Ping(m) => self.command(Command::checked(&self.server, version, m)),
            Request::Scan(m) => self.command(Command::checked(&self.server, version, m)),
            Request::Output(m) => {
                let device = greeted.device(m.device_index());
                let checked = check_output(&m, device.as_deref().map(|d| d.definition.as_ref()));
                self.checked(greeted, id, device, checked);
            }
            Request::Input(m) => {
                let device = greeted.device(m.device_index());
                let checked = check_input(&m, device.as_deref().map(|d| d.definition.as_ref()));
                self.checked(greeted, id, device, checked);
            }
            Request::Legacy(mut m) => match legacy_device(&mut m).map(|index| (index, greeted.device(index)))
            {
                Some((_, Some(device))) => self.device_command(&device, Command::legacy(&device, m)),
                Some((index, None)) => {
                    let why = ButtplugDeviceError::DeviceNotAvailable(index);
                    self.socket.push(wire::encode_error(*wire::error(id, why)));
                }
                // Each of them has a device; what would have none is no device command.
                None => {
                    let why = ButtplugMessageError::UnexpectedMessageType("a device command".to_owned());
                    self.socket.push(wire::encode_error(*wire::error(id, why)));
                }
            },
        }
        None
    }

    /// Why a command is not even tried.
    fn refusal(&self, greeted: &Greeted, request: &Request) -> Option<ButtplugError> {
        let limit = match request {
            Request::Scan(_) | Request::Output(_) | Request::Input(_) | Request::Legacy(_) => {
                CLIENT_COMMANDS_MAX
            }
            // Let in for longer than anything else.
            Request::Stop(_) => 2 * CLIENT_COMMANDS_MAX,
            Request::Handshake(_) | Request::Ping(_) | Request::ListDevices | Request::Disconnect => {
                return None;
            }
        };
        if greeted.refusing && !matches!(request, Request::Stop(_)) {
            let why = "the gateway is stopping".to_owned();
            return Some(ButtplugDeviceError::DeviceCommunicationError(why).into());
        }
        let why = || format!("{limit} commands wait for an answer already");
        (self.parked.len() >= limit).then(|| ButtplugUnknownError::UntypedDeserializedError(why()).into())
    }

    fn checked(
        &mut self,
        greeted: &Greeted,
        id: u32,
        device: Option<Arc<ListedDevice>>,
        checked: Result<ButtplugCheckedClientMessageV4, ButtplugError>,
    ) {
        match (checked, device) {
            (Ok(message), Some(device)) => {
                let command = Command::on_device(&device, greeted.version, message);
                self.device_command(&device, command);
            }
            (Err(e), _) => self.socket.push(wire::encode_error(*wire::error(id, e))),
            (Ok(_), None) => {
                let why =
                    ButtplugUnknownError::UntypedDeserializedError("checked without a device".to_owned());
                self.socket.push(wire::encode_error(*wire::error(id, why)));
            }
        }
    }

    /// Has the library carry out a command, up to where it has to wait.
    fn command(&mut self, mut command: Command) {
        match command.start() {
            Some(answer) => self.socket.push(answer.text),
            None => self.parked.push(command),
        }
    }

    /// A device's command, which makes the device this client's if it moves something.
    fn device_command(&mut self, device: &ListedDevice, mut command: Command) {
        let answer = command.start();
        if !answer.as_ref().is_some_and(|a| a.failed) && command.effect == Effect::Output {
            self.shared
                .ownership
                .commanded(self.id, device.index, device.connection);
            self.shared.engine.commanded(device);
            self.socket.attend(Some(self.shared.settings.stop_after));
        }
        match answer {
            Some(answer) => self.socket.push(answer.text),
            None => self.parked.push(command),
        }
    }

    /// A client's own stop, of positions too.
    fn stop(&mut self, greeted: &Greeted, stop: StopCmdV4) {
        let table = greeted.devices.borrow().clone();
        let wanted = stop.device_index();
        let device = wanted.and_then(|index| table.get(&index));
        if let Err(e) = check_stop(&stop, device.map(|d| d.definition.as_ref())) {
            return self.socket.push(wire::encode_error(*wire::error(stop.id(), e)));
        }
        if stop.outputs() {
            // Whatever still waits for room in the device's queue would come after the stop.
            self.drop_parked("stopped before it reached the device", |device| {
                wanted.is_none() || device == wanted
            });
        }
        let positions = Target::positions(&self.shared, &table, &stop);
        let mut command = match device {
            Some(device) => Command::on_device(device, greeted.version, stop.into()),
            None => Command::on_all(&self.shared.engine, greeted.version, &stop),
        };
        let answer = command.start();
        if positions.is_empty() {
            match answer {
                Some(answer) => self.socket.push(answer.text),
                None => self.parked.push(command),
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

    /// Looks after what the client drives. If it is silent, perhaps frozen, its devices are stopped; it stays connected,
    /// and its next command counts.
    async fn attended(&mut self, is_silent: bool) {
        if is_silent {
            self.drop_parked("the app is silent, and its devices are stopped", |_| true);
            let stopped = stopping::stop_silent(&self.shared, self.id).await;
            if stopped > 0 {
                warn!(
                    "nothing received for {} ms while {stopped} devices are driven: they are stopped",
                    self.shared.settings.stop_after.as_millis()
                );
            }
        }
        if !stopping::drives(&self.shared, self.id) {
            self.socket.attend(None);
        }
    }

    /// Takes output commands back that the library has not passed on, and says so.
    fn drop_parked(&mut self, why: &str, concerns: impl Fn(Option<u32>) -> bool) {
        for command in std::mem::take(&mut self.parked) {
            if command.effect == Effect::Output && concerns(command.device) {
                self.socket.push(command.dropped(why).text);
            } else {
                self.parked.push(command);
            }
        }
    }

    fn tell_devices(&mut self, greeted: &mut Greeted) {
        greeted.outdated = false;
        greeted.lists.begin();
        let table = greeted.devices.borrow_and_update().clone();
        for text in greeted.told.update(&view(&table)) {
            self.socket.push(text);
        }
    }

    fn tell_event(&mut self, greeted: &mut Greeted, event: EngineEvent) {
        let version = greeted.version;
        match event {
            EngineEvent::ScanningFinished => {
                let finished = ButtplugServerMessageV4::ScanningFinished(ScanningFinishedV0::default());
                self.socket.push(wire::encode_v4(finished, version));
            }
            EngineEvent::InputReading(reading) if version == ButtplugMessageSpecVersion::Version4 => {
                let reading = ButtplugServerMessageV4::InputReading(reading.as_ref().clone());
                self.socket.push(wire::encode_v4(reading, version));
            }
            // The library lets no older client subscribe, so that none expects a reading unasked.
            EngineEvent::InputReading(_) => {
                if !std::mem::replace(&mut greeted.said_reading_dropped, true) {
                    debug!("sensor readings that others subscribed to are not passed on: {version} has none");
                }
            }
        }
    }

    /// The client has not sent its `Ping`.
    fn ping_out(&mut self) -> End {
        self.socket
            .push(wire::encode_error(*wire::error(0, ButtplugPingError::PingedOut)));
        End::PingedOut(self.shared.settings.max_ping_time.unwrap_or_default())
    }
}

fn ok(id: u32, version: ButtplugMessageSpecVersion) -> String {
    wire::encode_v4(ButtplugServerMessageV4::Ok(OkV0::new(id)), version)
}

/// Buttplug is text; what reads as text is taken for it.
pub(super) fn from_binary(bytes: &[u8]) -> Vec<Result<Value, Box<ErrorV0>>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => wire::take_apart(text),
        Err(_) => vec![Err(wire::malformed(0, "binary, where Buttplug's JSON is text"))],
    }
}
