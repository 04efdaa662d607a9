//! The Buttplug handshake of a client.

use std::sync::Arc;
use std::time::SystemTime;

use buttplug_core::message::{
    ButtplugMessage, ButtplugMessageSpecVersion, ButtplugServerMessageV4, RequestServerInfoV4, ServerInfoV4,
};
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Span, info};

use super::apps::App;
use super::devices::{Announced, view};
use super::lists::ListThrottle;
use super::refusals::{app_name, message_name};
use super::session::{Session, from_binary};
use super::socket::{End, SocketEvent};
use super::wire;
use crate::device::misplaced;
use crate::upstream::embedded::{DeviceTable, EngineEvent, ListedDevice};

/// The longest part of a client's name that is logged.
const NAME_MAX_CHARS: usize = 64;

/// The state of a client after its handshake.
pub(super) struct Established {
    pub(super) version: ButtplugMessageSpecVersion,
    pub(super) devices: watch::Receiver<Arc<DeviceTable>>,
    pub(super) announced: Announced,
    /// The table has changed since it was last sent to the client.
    pub(super) outdated: bool,
    pub(super) list_throttle: ListThrottle,
    pub(super) events: broadcast::Receiver<EngineEvent>,
    /// Deadline for the next `Ping`.
    pub(super) ping_until: Option<Instant>,
    pub(super) logged_reading_dropped: bool,
    /// The gateway is stopping.
    pub(super) refusing: bool,
}

impl Established {
    /// The device currently listed under this index.
    pub(super) fn device(&self, index: u32) -> Option<Arc<ListedDevice>> {
        self.devices.borrow().get(&index).cloned()
    }
}

impl Session {
    /// Waits for the client's handshake, for a limited time. Any other message is answered with an Error, and no events
    /// are sent.
    pub(super) async fn shake_hands(&mut self, close: &CancellationToken) -> Result<Established, End> {
        let limit = self.shared.settings.handshake_timeout;
        let until = Instant::now() + limit;
        loop {
            while self.socket.has_room()
                && let Some(message) = self.inbox.pop_front()
            {
                let mut name = None;
                let read = message.and_then(|m| {
                    name = message_name(&m).map(str::to_owned);
                    if let Some(app) = m["RequestServerInfo"]["ClientName"].as_str() {
                        self.app = app_name(app);
                    }
                    wire::read_handshake(&self.shared.schema, m)
                });
                match read {
                    Ok(request) => return self.answer_handshake(request).await,
                    Err(error) => self.refuse(name.as_deref(), *error),
                }
            }
            let reading = self.inbox.is_empty();
            tokio::select! {
                biased;
                () = close.cancelled() => return Err(End::Stopping),
                () = sleep_until(until) => return Err(End::NoHandshake(limit)),
                event = self.socket.next_event(reading) => match event {
                    SocketEvent::Text(text) => {
                        self.turn_away_device(&text)?;
                        self.inbox.extend(wire::split(&text));
                    }
                    SocketEvent::Binary(bytes) => {
                        self.turn_away_device(std::str::from_utf8(&bytes).unwrap_or_default())?;
                        self.inbox.extend(from_binary(&bytes));
                    }
                    SocketEvent::Drained | SocketEvent::LivenessCheck { .. } => {}
                    SocketEvent::Ended(end) => return Err(end),
                },
            }
        }
    }

    /// Ends the session if this is the handshake of a device, which belongs on the other port.
    fn turn_away_device(&self, message: &str) -> Result<(), End> {
        if !misplaced::is_device_hello(message) {
            return Ok(());
        }
        Err(End::Device(self.shared.signpost.at(self.socket.local_addr())))
    }

    async fn answer_handshake(&mut self, request: RequestServerInfoV4) -> Result<Established, End> {
        let id = request.id();
        let version = request.protocol_version_major();
        let name: String = request
            .client_name()
            .escape_debug()
            .take(NAME_MAX_CHARS)
            .collect();
        let reply = self
            .server
            .parse_checked_message(ButtplugCheckedClientMessageV4::RequestServerInfo(request))
            .await;
        let reply = match reply {
            Ok(ButtplugServerMessageV4::ServerInfo(info)) => info,
            Ok(other) => {
                return Err(End::Fault(format!(
                    "unexpected answer to the handshake: {other:?}"
                )));
            }
            Err(error) => {
                return Err(End::Fault(format!(
                    "the handshake failed: {}",
                    error.error_message()
                )));
            }
        };
        let max_ping_time = self.shared.settings.max_ping_time;
        let mut info = ServerInfoV4::new(
            reply.server_name(),
            reply.protocol_version_major(),
            reply.protocol_version_minor(),
            max_ping_time.map_or(0, |t| u32::try_from(t.as_millis()).unwrap_or(u32::MAX)),
        );
        info.set_id(id);
        self.socket.push(wire::encode_v4(
            ButtplugServerMessageV4::ServerInfo(info),
            version,
        ));
        Span::current().record("name", &name);
        info!("client connected: message version {}", version as i32);
        self.shared.apps.join(
            App {
                id: self.id.0,
                name,
                peer: self.from.peer,
                origin: self.from.origin.clone(),
                since: SystemTime::now(),
                message_version: version as u32,
                is_page: self.from.is_page,
            },
            self.sent_away.clone(),
        );
        let origin = self.from.origin.as_deref().filter(|_| !self.from.is_page);
        if origin.is_some_and(|origin| self.shared.origins.is_blocked(origin)) {
            // The user blocked it after it was admitted, and before it was listed.
            self.sent_away.cancel();
        }

        let mut devices = self.shared.engine.devices();
        let announced = Announced::new(version, &view(&devices.borrow_and_update()));
        Ok(Established {
            version,
            devices,
            announced,
            outdated: false,
            list_throttle: ListThrottle::default(),
            events: self.shared.engine.events(),
            ping_until: max_ping_time.map(|limit| Instant::now() + limit),
            logged_reading_dropped: false,
            refusing: false,
        })
    }
}
