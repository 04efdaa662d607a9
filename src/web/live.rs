//! The websocket of an open page: everything once, then what changed, at most ten times a second.
//!
//! A page that takes its messages slowly misses states in between, never the newest one. Devices that the page sent
//! frames to are stopped when its websocket ends, or when the page does not answer: a question of its own, since browsers
//! answer a websocket's pings also while a page hangs, and because timers of a page in the background hardly run.

mod fleet;
mod preview;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::api::Problem;
use super::api::frames::{Follower, Line};
use super::api::injector::Injector;
use super::looks::{Look, Looks};
use super::view::fleet::Fleet;
use super::view::origins::{Origin, Question};
use super::view::{About, App, Device, View};
use crate::defaults::{FRAME_MAX_BYTES, WRITE_TIMEOUT};
use crate::device::frame::Frame;
use crate::device::handshake::Address;
use crate::net::answered::Answered;
use crate::session::life::Life;

/// How often the page learns of changes.
const TICK: Duration = Duration::from_millis(100);
/// How long a look serves other pages too. Less than a tick, so that a tick that comes a little early is not in vain.
const SHARED_FOR: Duration = Duration::from_millis(90);
/// Lines of a watched device that wait for the next tick. More are skipped, and their number is sent.
const LINES_MAX: usize = 2_000;
/// Frames of a page that wait for their device's link.
const SENDING_MAX: usize = 64;
/// The code of the Close frame when the session has ended: the page asks for the password again.
const LOGGED_OUT: u16 = 4401;
/// The longest message of a page: a frame as hexadecimal digits, and its frame of JSON.
const MESSAGE_MAX_BYTES: usize = 2 * FRAME_MAX_BYTES + 4_096;

/// What the page receives.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum ToPage<'a> {
    /// Answer with [`FromPage::Alive`].
    Ping,
    /// Everything. The page drops what it has.
    Snapshot {
        gateway: &'a About,
        devices: &'a [Device],
        apps: &'a [App],
        questions: &'a [Question],
        origins: &'a [Origin],
        problems: &'a [Problem],
    },
    /// What changed since.
    Change {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        devices: Vec<&'a Device>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        forgotten: Vec<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        apps: Option<&'a [App]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        questions: Option<&'a [Question]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        origins: Option<&'a [Origin]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        problems: Option<&'a [Problem]>,
    },
    /// The fleet, if the page shows it.
    Fleet(&'a Fleet),
    /// Frames of the watched device.
    Frames { address: String, lines: Vec<Line> },
    /// Whether the page hears a port.
    Listening(preview::Listening),
    /// What the board on that port said.
    Heard(preview::Heard),
    /// The outcome of a [`FromPage::Send`] or [`FromPage::Say`].
    Sent { id: u64, error: Option<String> },
}

/// What the page sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromPage {
    /// The answer to a [`ToPage::Ping`]. Each other message is a sign of life too.
    Alive,
    /// Watch this device, in place of any other.
    Watch(Option<String>),
    /// Show the fleet, or do not.
    Fleet(bool),
    /// Send a frame.
    Send(Send),
    /// Hear this port, in place of any other. On the same port this changes the baud rate.
    Listen(Option<preview::Listen>),
    /// Write to that port.
    Say(preview::Say),
}

#[derive(Debug, Deserialize)]
struct Send {
    /// Repeated in the answer.
    id: u64,
    address: String,
    /// The bytes as hexadecimal digits.
    hex: String,
    #[serde(rename = "as")]
    by: By,
}

/// Who a frame is from.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    /// To the device.
    Gateway,
    /// As if the device had sent it.
    Device,
}

type Socket = Answered<TokioIo<Upgraded>>;

/// Serves a page until it leaves, its session has `ended`, or the gateway stops.
pub(super) async fn serve(
    connection: Upgraded,
    view: View,
    looks: Arc<Looks>,
    life: Arc<Life>,
    ended: &CancellationToken,
) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await;
    let mut socket = Answered::new(socket);
    let mut page = Page::new(view, looks, life);
    let injector = page.injector.clone();
    let (code, reason) = tokio::select! {
        biased;
        () = ended.cancelled() => (CloseCode::from(LOGGED_OUT), "the session has ended"),
        ran = page.run(&mut socket) => match ran {
            Ok(()) => (CloseCode::Away, "the gateway is stopping"),
            Err(e) => return debug!("a page left: {e}"),
        },
        // Beside the page's own loop, which may wait for the page to take a message.
        never = injector.watch() => match never {},
    };
    // Before the websocket closes, which a peer may delay: what the page sent frames to stops.
    drop((page, injector));
    let reason = reason.into();
    let close = Message::Close(Some(CloseFrame { code, reason }));
    let _ = timeout(WRITE_TIMEOUT, socket.send(close)).await;
}

struct Page {
    view: View,
    looks: Arc<Looks>,
    life: Arc<Life>,
    injector: Arc<Injector>,
    watched: Option<Watched>,
    preview: preview::Preview,
    fleet: fleet::Shown,
}

struct Watched {
    address: String,
    /// `None` while the device has never been connected.
    follower: Option<Follower>,
    lines: Vec<Line>,
    skipped: u64,
}

impl Page {
    fn new(view: View, looks: Arc<Looks>, life: Arc<Life>) -> Self {
        Self {
            view,
            looks,
            injector: Arc::new(Injector::new(life.clone())),
            life,
            watched: None,
            preview: preview::Preview::default(),
            fleet: fleet::Shown::default(),
        }
    }

    /// Returns `Ok` if the gateway stops.
    async fn run(&mut self, socket: &mut Socket) -> Result<(), WsError> {
        let stop = self.view.stop.clone();
        let mut asked = self.life.asked();
        // A page that was just opened shows what the user did just before.
        let mut shown = self.looks.younger_than(Duration::ZERO, &self.view);
        send(socket, &snapshot(&self.view.about, &shown)).await?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sending = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                message = socket.next() => {
                    let Some(message) = message else { return Err(WsError::ConnectionClosed) };
                    let Message::Text(text) = message? else { continue };
                    self.life.sign();
                    match serde_json::from_str(&text) {
                        Ok(FromPage::Alive) => {}
                        Ok(FromPage::Watch(address)) => self.watch(address),
                        Ok(FromPage::Fleet(shows)) => self.fleet.show(shows, &self.view, &self.looks),
                        Ok(FromPage::Send(order)) if sending.len() < SENDING_MAX => {
                            sending.push(send_frame(self.view.clone(), self.injector.clone(), order).boxed());
                        }
                        Ok(FromPage::Send(Send { id, .. })) => {
                            let error = Some("too many frames wait for their devices".to_owned());
                            send(socket, &ToPage::Sent { id, error }).await?;
                        }
                        Ok(FromPage::Listen(port)) => self.preview.listen(&self.view, port).await,
                        Ok(FromPage::Say(order)) => {
                            let said = self.preview.say(order);
                            sending.push(async { let (id, error) = said.await; ToPage::Sent { id, error } }.boxed());
                        }
                        Err(e) => debug!("a page's message is not understood: {e}"),
                    }
                }
                Ok(()) = asked.changed() => send(socket, &ToPage::Ping).await?,
                Some(sent) = sending.next(), if !sending.is_empty() => send(socket, &sent).await?,
                line = next_line(&mut self.watched), if self.watched.is_some() => self.keep(line),
                fleet = self.fleet.next(&self.view, &self.looks) => send(socket, &ToPage::Fleet(&fleet)).await?,
                listening = self.preview.next() => {
                    if let Some(heard) = self.preview.heard() {
                        send(socket, &ToPage::Heard(heard)).await?;
                    }
                    send(socket, &ToPage::Listening(listening)).await?;
                }
                _ = tick.tick() => {
                    if let Some(heard) = self.preview.heard() {
                        send(socket, &ToPage::Heard(heard)).await?;
                    }
                    if let Some(frames) = self.frames() {
                        send(socket, &frames).await?;
                    }
                    let now = self.looks.younger_than(SHARED_FOR, &self.view);
                    if let Some(change) = change(&shown, &now) {
                        send(socket, &change).await?;
                    }
                    shown = now;
                    self.follow();
                }
            }
        }
    }

    fn watch(&mut self, address: Option<String>) {
        self.watched = address.map(|address| Watched {
            address,
            follower: None,
            lines: Vec::new(),
            skipped: 0,
        });
        self.follow();
    }

    /// Watches the device as soon as it is connected.
    fn follow(&mut self) {
        if let Some(watched) = &mut self.watched
            && watched.follower.is_none()
            && let Ok(address) = Address::new(&*watched.address)
            && let Some(session) = self.view.registry.find(&address)
        {
            watched.follower = Some(Follower::new(self.view.clone(), &session, true));
        }
    }

    fn keep(&mut self, line: Option<Line>) {
        let Some(watched) = &mut self.watched else { return };
        match line {
            Some(Line::Missed { missed }) => watched.skipped += missed,
            Some(line) if watched.lines.len() < LINES_MAX => watched.lines.push(line),
            Some(_) => watched.skipped += 1,
            None => watched.follower = None,
        }
    }

    /// The lines since the last tick; `None` if there are none.
    fn frames(&mut self) -> Option<ToPage<'static>> {
        let watched = self.watched.as_mut()?;
        let mut lines = std::mem::take(&mut watched.lines);
        let missed = std::mem::take(&mut watched.skipped);
        if missed > 0 {
            lines.push(Line::Missed { missed });
        }
        (!lines.is_empty()).then(|| ToPage::Frames {
            address: watched.address.clone(),
            lines,
        })
    }
}

fn snapshot<'a>(gateway: &'a About, now: &'a Look) -> ToPage<'a> {
    ToPage::Snapshot {
        gateway,
        devices: &now.devices,
        apps: &now.apps,
        questions: &now.questions,
        origins: &now.origins,
        problems: &now.problems,
    }
}

/// What changed between two looks; `None` if nothing did.
fn change<'a>(before: &'a Look, now: &'a Look) -> Option<ToPage<'a>> {
    let by_address = before.devices.iter().map(|device| (&*device.address, device));
    let mut left: HashMap<&str, &Device> = by_address.collect();
    let changed = now.devices.iter();
    let changed = changed.filter(|device| left.remove(&*device.address) != Some(device));
    let devices: Vec<_> = changed.collect();
    let forgotten: Vec<_> = left.into_keys().collect();
    let apps = replaced(&before.apps, &now.apps);
    let questions = replaced(&before.questions, &now.questions);
    let origins = replaced(&before.origins, &now.origins);
    let problems = replaced(&before.problems, &now.problems);
    let lists_changed = apps.is_some() || questions.is_some() || origins.is_some() || problems.is_some();
    let is_change = lists_changed || !devices.is_empty() || !forgotten.is_empty();
    is_change.then_some(ToPage::Change {
        devices,
        forgotten,
        apps,
        questions,
        origins,
        problems,
    })
}

/// The list of now, unless it is the same.
fn replaced<'a, T: PartialEq>(before: &[T], now: &'a [T]) -> Option<&'a [T]> {
    (before != now).then_some(now)
}

/// The next line of the watched device; pending while there is none. Cancel safe.
async fn next_line(watched: &mut Option<Watched>) -> Option<Line> {
    match watched.as_mut().and_then(|watched| watched.follower.as_mut()) {
        Some(follower) => follower.next().await,
        None => std::future::pending().await,
    }
}

async fn send_frame(view: View, injector: Arc<Injector>, order: Send) -> ToPage<'static> {
    let Send { id, address, hex, by } = order;
    let sent = async {
        let bytes = HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .map_err(|e| format!("the frame is not in hexadecimal digits: {e}"))?;
        if bytes.is_empty() {
            return Err("a frame cannot be empty".to_owned());
        }
        let session = Address::new(address)
            .ok()
            .and_then(|address| view.registry.find(&address))
            .ok_or("the device is not connected")?;
        let frame = Frame::from(bytes);
        match by {
            By::Gateway => injector.send(&session, frame).await.map_err(|e| e.to_string()),
            By::Device => session.receive(frame).await.map_err(|e| e.to_string()),
        }
    };
    ToPage::Sent {
        id,
        error: sent.await.err(),
    }
}

async fn send(socket: &mut Socket, message: &ToPage<'_>) -> Result<(), WsError> {
    let text = serde_json::to_string(message).expect("texts and finite numbers");
    match timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await {
        Ok(sent) => sent,
        Err(_) => Err(WsError::Io(std::io::ErrorKind::TimedOut.into())),
    }
}
