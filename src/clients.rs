//! The port that Buttplug clients connect to: several at once, one device manager for all.
//!
//! - `session`: one client's loop.
//! - `commands`: what a client says, and what it gets back; the guard around the library.
//! - `lists`: telling a client which devices came and went, in its message version.
//! - `ownership`: which client last commanded which device, and so what stops when it goes.

mod commands;
mod lists;
mod ownership;
mod session;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use buttplug_core::message::{OutputType, StopCmdV4};
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;
use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span};

use crate::accept;
use crate::config::ClientSettings;
use crate::defaults::CLIENT_MESSAGE_MAX_BYTES;
use crate::link::websocket::WebSocketLink;
use crate::upstream::embedded::{Engine, ListedDevice};
use ownership::{Departure, Ownership};
use session::ClientSession;

/// How long the library's own stop of one device is waited for.
const LIBRARY_STOP: Duration = Duration::from_millis(80);
/// The library sends a batch of commands when the device's message gap is over; a little later it has.
const AFTER_MESSAGE_GAP: Duration = Duration::from_millis(10);
/// The read buffer of a client's websocket.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// The client port.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

/// What all client sessions share.
struct Shared {
    engine: Arc<Engine>,
    settings: ClientSettings,
    ownership: Ownership,
    /// Cancelled when commands are no longer carried out.
    no_commands: CancellationToken,
    /// Cancelled when sockets close.
    close: CancellationToken,
}

impl Clients {
    /// The port for this engine's devices. When `no_commands` is cancelled, commands get a Buttplug Error; when
    /// `close` is, every socket gets a Close frame with 1001.
    pub fn new(
        engine: Arc<Engine>,
        settings: ClientSettings,
        no_commands: CancellationToken,
        close: CancellationToken,
    ) -> Self {
        let ownership = Ownership::default();
        Self {
            shared: Arc::new(Shared {
                engine,
                settings,
                ownership,
                no_commands,
                close,
            }),
        }
    }

    /// Accepts and serves until `close` is cancelled, then waits until every socket is closed. Must run on the
    /// engine's runtime, where the library's futures are polled.
    pub async fn serve(self, listener: TcpListener) {
        let mut sessions = JoinSet::new();
        accept::accept_until(
            &listener,
            "client",
            &self.shared.close,
            &mut sessions,
            |stream, from| {
                let span = info_span!("client", peer = %from);
                connection(self.shared.clone(), stream).instrument(span)
            },
        )
        .await;
        drop(listener);
        while sessions.join_next().await.is_some() {}
    }
}

/// One connection of a client, from the accept until everything it had set in motion stands still.
async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(CLIENT_MESSAGE_MAX_BYTES))
        .max_frame_size(Some(CLIENT_MESSAGE_MAX_BYTES));
    let limit = shared.settings.handshake_timeout;
    let ws = tokio::select! {
        biased;
        () = shared.close.cancelled() => return,
        upgraded = timeout(limit, accept::upgrade(stream, config, |_| Ok(()))) => match upgraded {
            Ok(Ok(ws)) => ws,
            Ok(Err(e)) => return info!("connection dropped: {e}"),
            Err(_) => return info!("connection dropped: no websocket upgrade within {} ms", limit.as_millis()),
        }
    };
    let link = WebSocketLink::new(ws, shared.settings.ping_interval).writing_text();
    let id = shared.ownership.join();
    let mut session = ClientSession::new(shared.clone(), id, Box::new(link));
    // Whatever happens in there, a fault included: its devices are stopped.
    let left = AssertUnwindSafe(session.run()).catch_unwind().await;
    let stopped = async {
        let devices = match shared.ownership.leave(id) {
            Departure::Last => shared.engine.devices().borrow().values().cloned().collect(),
            Departure::Owned(owned) => {
                let devices = shared.engine.devices();
                let devices = devices.borrow();
                let listed = |(index, connection)| {
                    devices
                        .get(&index)
                        .filter(|d| d.connection == connection)
                        .cloned()
                };
                owned.into_iter().filter_map(listed).collect()
            }
        };
        // When the gateway stops, it has stopped every device itself.
        if !shared.close.is_cancelled() {
            stop_devices(&shared, devices, StopOrder::Vanished).await;
        }
    };
    match left {
        Ok(why) => {
            info!("client gone: {why}");
            tokio::join!(stopped, session.close(why));
        }
        Err(_) => {
            error!("client gone: a fault inside the gateway; its devices are stopped");
            stopped.await;
        }
    }
}

/// What a stop is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StopOrder {
    /// Control is lost: everything stops, by the library and by the gateway's own stop bytes.
    Vanished,
    /// A client asked for a stop, and the library carried it out: what the library has no stop for is left.
    Asked,
}

/// Stops devices, all of them at the same time. The stop bytes go out twice: now, and when the library has sent
/// what it still held back for the device's message gap, unless somebody commanded the device since.
async fn stop_devices(shared: &Shared, devices: Vec<Arc<ListedDevice>>, order: StopOrder) {
    if devices.is_empty() {
        return;
    }
    if order == StopOrder::Vanished {
        info!("stopping {} devices", devices.len());
    }
    let started = Instant::now();
    futures::future::join_all(devices.iter().map(|device| async move {
        let index = device.info.device_index();
        let engine = &shared.engine;
        if order == StopOrder::Vanished {
            let stop = StopCmdV4::new(Some(index), None, false, true);
            let library = engine
                .device_manager()
                .parse_message(ButtplugCheckedClientMessageV4::StopCmd(stop));
            // A library that fails or hangs here is what the stop bytes are for.
            let library = timeout(LIBRARY_STOP, AssertUnwindSafe(library).catch_unwind());
            let (_, ()) = tokio::join!(library, engine.send_stop_bytes(index));
        } else {
            engine.send_stop_bytes(index).await;
        }
        let gap = Duration::from_millis(device.definition.message_gap_ms().unwrap_or(0).into());
        if !gap.is_zero() {
            sleep_until(started + gap + AFTER_MESSAGE_GAP).await;
            if !shared.ownership.is_owned(index) {
                engine.send_stop_bytes(index).await;
            }
        }
    }))
    .await;
}

/// Whether the device has an output that the library has no stop for.
fn has_positions(device: &ListedDevice) -> bool {
    device.definition.features().values().any(|feature| {
        feature.contains_output(OutputType::Position)
            || feature.contains_output(OutputType::HwPositionWithDuration)
    })
}
