//! Home Assistant as an app: a Buttplug client inside the gateway, so that it is listed, limited and stopped as any other.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::clients::apps::From;
use crate::clients::ownership::ClientId;
use crate::clients::session::Session;
use crate::clients::socket::{self, Duplex, Socket};
use crate::clients::{Clients, Shared};
use crate::defaults::CLOSE_TIMEOUT;

/// Its name among the apps.
pub(super) const NAME: &str = "Home Assistant";
/// Commands that may wait for the server.
const COMMANDS_MAX: usize = 64;
/// Bytes under way in one direction.
const BUFFER_BYTES: usize = 64 * 1024;
/// It has no address of its own.
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An output is to be set.
#[derive(Debug)]
pub(super) struct Set {
    /// Its number, for the answer.
    pub(super) number: u32,
    pub(super) device: u32,
    pub(super) feature: u32,
    /// Buttplug's `Command`.
    pub(super) command: Value,
}

/// What became of a command, or of the app.
#[derive(Debug)]
pub(super) enum AppEvent {
    /// The server took the command of this number.
    Taken(u32),
    /// It did not, for this reason.
    Refused(u32, String),
    /// The app is gone: it left, or its user disconnected it. What it drove is stopped.
    Left(ClientId),
}

/// Home Assistant among the apps. Dropping it makes it leave.
pub(super) struct App {
    pub(super) id: ClientId,
    commands: mpsc::Sender<Set>,
    task: JoinHandle<()>,
}

impl App {
    /// Joins the apps, once an earlier one is `gone`. It leaves by itself if it is not used for so long: whatever it set
    /// must be over then.
    pub(super) fn join(
        clients: &Clients,
        gone: Option<JoinHandle<()>>,
        idle: Duration,
        events: UnboundedSender<AppEvent>,
    ) -> Self {
        let shared = clients.shared.clone();
        let id = shared.next_id();
        let (commands, to_send) = mpsc::channel(COMMANDS_MAX);
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        let (tasks, runtime) = (shared.tasks.clone(), shared.engine.runtime().clone());
        let told = events.clone();
        let both = async move {
            if let Some(gone) = gone {
                let _ = timeout(CLOSE_TIMEOUT, gone).await;
            }
            let from = From {
                peer: HERE,
                origin: None,
                is_page: false,
                leave: CancellationToken::new(),
            };
            let session = async move {
                let stream = Either::Right(Box::new(theirs) as Box<dyn Duplex>);
                let ws = WebSocketStream::from_raw_socket(stream, Role::Server, Some(socket::config())).await;
                let socket = Socket::new(ws, HERE, shared.settings.ping_interval);
                Session::serve(shared, id, from, socket).await;
            };
            tokio::join!(session, drive(ours, to_send, idle, events));
            // The receiver is gone if the gateway stops.
            let _ = told.send(AppEvent::Left(id));
        };
        let span = Shared::span(id, HERE);
        Self {
            id,
            commands,
            task: tasks.spawn_on(both.instrument(span), &runtime),
        }
    }

    /// Queues a command; returns whether there is room.
    pub(super) fn send(&self, set: Set) -> bool {
        self.commands.try_send(set).is_ok()
    }

    /// Leaves: the server stops what it commanded last, and nothing else. What is returned ends once that is done.
    pub(super) fn leave(self) -> JoinHandle<()> {
        self.task
    }
}

/// The client's side: sends commands, and reports the answers. Ends when the connection does.
async fn drive(
    stream: DuplexStream,
    mut commands: mpsc::Receiver<Set>,
    idle: Duration,
    events: UnboundedSender<AppEvent>,
) {
    let mut ws = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let hello = json!([{"RequestServerInfo": {
        "Id": 1, "ClientName": NAME, "ProtocolVersionMajor": 4, "ProtocolVersionMinor": 0,
    }}]);
    if ws.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    let mut id = 1;
    let mut sent: HashMap<u64, u32> = HashMap::new();
    let (mut is_ready, mut is_leaving) = (false, false);
    let mut ping: Option<(Duration, Instant)> = None;
    let mut over = Instant::now() + idle;
    let far = Instant::now() + Duration::from_secs(3_600 * 24 * 365);
    loop {
        let text = tokio::select! {
            message = ws.next() => {
                let text = match message {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                };
                let messages: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
                for message in &messages {
                    if let Some(info) = message.get("ServerInfo") {
                        is_ready = true;
                        let limit = info["MaxPingTime"].as_u64().filter(|limit| *limit > 0);
                        ping = limit.map(|limit| {
                            let every = Duration::from_millis(limit / 3);
                            (every, Instant::now() + every)
                        });
                    }
                    answered(message, &mut sent, &events);
                }
                continue;
            }
            command = commands.recv(), if is_ready && !is_leaving => {
                id += 1;
                match command {
                    Some(set) => {
                        over = Instant::now() + idle;
                        sent.insert(id, set.number);
                        json!([{"OutputCmd": {
                            "Id": id, "DeviceIndex": set.device, "FeatureIndex": set.feature, "Command": set.command,
                        }}])
                    }
                    None => {
                        is_leaving = true;
                        json!([{"Disconnect": {"Id": id}}])
                    }
                }
            }
            () = sleep_until(ping.map_or(far, |(_, at)| at)) => {
                ping = ping.map(|(every, _)| (every, Instant::now() + every));
                id += 1;
                json!([{"Ping": {"Id": id}}])
            }
            () = sleep_until(over), if is_ready && !is_leaving => {
                is_leaving = true;
                id += 1;
                json!([{"Disconnect": {"Id": id}}])
            }
        };
        if ws.send(Message::text(text.to_string())).await.is_err() {
            return;
        }
    }
}

/// Reports the answer to a command, if this is one.
fn answered(message: &Value, sent: &mut HashMap<u64, u32>, events: &UnboundedSender<AppEvent>) {
    let mut take = |body: &Value| sent.remove(&body["Id"].as_u64()?);
    let event = if let Some(number) = message.get("Ok").and_then(&mut take) {
        AppEvent::Taken(number)
    } else if let Some(error) = message.get("Error")
        && let Some(number) = take(error)
    {
        let why = error["ErrorMessage"]
            .as_str()
            .unwrap_or("an error without a text");
        AppEvent::Refused(number, why.to_owned())
    } else {
        return;
    };
    // The receiver is gone if the gateway stops.
    let _ = events.send(event);
}
