//! One connection of a simulated device, from the TCP connect to the close.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_util::sync::CancellationToken;

use super::{Change, Command, DeviceOptions, Firmware, Reaction, Replies};
use crate::advice::Advice;
use crate::defaults::{CLOSE_TIMEOUT, WRITE_TIMEOUT};
use crate::device::handshake::Handshake;
use crate::net::dial::{DialError, dial};
use crate::net::stream::{Socket, Stream};
use crate::text::printable;

/// What happened to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The device has connected and sent its handshake.
    Connected,
    /// A frame arrived.
    Frame {
        /// The frame's bytes.
        bytes: Bytes,
        /// The commands that the frame completed.
        commands: Vec<Command>,
        /// The actuators that were commanded.
        changes: Vec<Change>,
    },
    /// The device lost control and stopped these actuators, which were on.
    Stopped(Vec<Change>),
    /// The connection has ended.
    Ended(Ended),
    /// The device could not connect. Reported once per reason, not for each attempt.
    Unreachable {
        /// The error.
        error: String,
        /// What to do.
        hint: String,
    },
    /// The device waits for this long before it reconnects.
    Waiting(Duration),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The device was stopped and closed the connection.
    #[error("disconnected")]
    Stopped,
    /// The server commanded the device to turn itself off.
    #[error("turned off by the server")]
    PoweredOff,
    /// The server sent a Close frame.
    #[error("closed by the server{}", close_text(.code, .reason))]
    Closed {
        /// The Close frame's code, if it had one.
        code: Option<u16>,
        /// The Close frame's reason, possibly empty. Not escaped.
        reason: String,
    },
    /// The connection was lost without a Close frame.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Nothing was received from the server for this long.
    #[error("nothing received from the server for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The server refused the websocket upgrade and would refuse it again.
    #[error("refused by the server: {0}")]
    Refused(String),
}

fn close_text(code: &Option<u16>, reason: &str) -> String {
    match (code, reason) {
        (None, _) => " without a code".to_owned(),
        (Some(code), "") => format!(" (code {code})"),
        (Some(code), reason) => format!(" (code {code}: {})", printable(reason.as_bytes())),
    }
}

impl Ended {
    /// The code of the server's Close frame.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Closed { code, .. } => *code,
            _ => None,
        }
    }

    /// Whether reconnecting would be pointless or harmful.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Stopped | Self::PoweredOff | Self::Refused(_) => true,
            // The server rejects our messages or our handshake, or another device has the address.
            Self::Closed { code: Some(code), .. } => {
                matches!(code, 1002 | 1003 | 1007 | 1008 | 1009 | 4000 | 4001 | 4002 | 4004)
            }
            Self::Closed { code: None, .. } | Self::Lost(_) | Self::Silent(_) => false,
        }
    }

    /// Whether the connection ended as the user wanted.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Stopped | Self::PoweredOff)
    }
}

impl Advice for Ended {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Stopped | Self::PoweredOff => return None,
            Self::Refused(_) => "where the server asks for a token, give it with --token",
            Self::Lost(_) | Self::Silent(_) => "connecting again",
            Self::Closed { code, .. } => match code {
                None => {
                    "connecting again; servers that give no code do this to an identifier that they do not know"
                }
                Some(1001) => "the server stops; connecting again until it is back",
                Some(1002 | 1003 | 1007 | 1009) => {
                    "the server could not read what this device sent; is it a Websocket Device Manager server?"
                }
                Some(1008) => "the server's policy forbids this device",
                Some(4000) => "the server speaks another version of the protocol",
                Some(4001) => {
                    "give a name that the server's UDCF has with --identifier, or add this one to the UDCF"
                }
                Some(4002) => "the server's allow and deny lists forbid this address; see --address",
                Some(4003) => "the handshake came too late; connecting again",
                Some(4004) => "another device has this address now; give this one its own with --address",
                Some(4005) => "the protocol's first questions got no good answer; connecting again",
                Some(_) => "connecting again",
            },
        };
        Some(hint.into())
    }
}

/// The final end of the device if a retry is pointless.
pub(super) fn final_end(error: &DialError) -> Option<Ended> {
    error.is_denial().then(|| Ended::Refused(error.to_string()))
}

/// What a [`SimulatedDevice`](super::SimulatedDevice) can make the connection do.
#[derive(Debug)]
pub(super) enum Order {
    /// Send this message.
    Send(Message),
    /// Stop reading and writing, but keep the TCP connection, as after a power cut.
    Freeze,
    /// Close the TCP connection without a Close frame.
    Abort,
    /// Like `Abort`, with a TCP reset.
    Reset,
}

/// A connection on which the handshake has been sent.
pub(super) struct Connection {
    socket: WebSocketStream<Stream>,
    last_received: Instant,
}

impl Connection {
    /// Connects and sends the handshake.
    pub(super) async fn open(options: &DeviceOptions) -> Result<Self, DialError> {
        let handshake = Handshake::new(options.identifier.clone(), options.address.clone());
        let socket = dial(&options.target, &handshake, &options.tls).await?;
        Ok(Self {
            socket,
            last_received: Instant::now(),
        })
    }

    /// Runs the device until the connection ends. Every exit goes through the end of this function, where the device
    /// loses control.
    pub(super) async fn serve(
        mut self,
        options: &DeviceOptions,
        firmware: &mut Firmware,
        mut orders: Option<&mut mpsc::Receiver<Order>>,
        cancel: &CancellationToken,
        observe: &mut (dyn FnMut(EventKind) + Send),
    ) -> Ended {
        observe(EventKind::Connected);
        let ended = self.pump(options, firmware, &mut orders, cancel, observe).await;
        let close_code = match ended {
            Ended::Stopped | Ended::PoweredOff | Ended::Closed { .. } => CloseCode::Normal,
            _ => CloseCode::Away,
        };
        lose_control(options, firmware, observe);
        // Sends our Close frame or answers the server's. Fails at once if the socket is broken.
        let close = async {
            let frame = CloseFrame {
                code: close_code,
                reason: "".into(),
            };
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, close).await;
        observe(EventKind::Ended(ended.clone()));
        ended
    }

    async fn pump(
        &mut self,
        options: &DeviceOptions,
        firmware: &mut Firmware,
        orders: &mut Option<&mut mpsc::Receiver<Order>>,
        cancel: &CancellationToken,
        observe: &mut (dyn FnMut(EventKind) + Send),
    ) -> Ended {
        let every = options.ping_interval;
        let mut pings = interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ended::Stopped,
                order = next_order(orders) => match order {
                    Order::Send(message) => match self.write(message, cancel).await {
                        Ok(()) => continue,
                        Err(ended) => return ended,
                    },
                    Order::Freeze => {
                        lose_control(options, firmware, observe);
                        return self.frozen(orders, cancel).await;
                    }
                    Order::Abort => return self.abort(false),
                    Order::Reset => return self.abort(true),
                },
                _ = pings.tick() => {
                    if self.last_received.elapsed() >= 2 * every {
                        return Ended::Silent(self.last_received.elapsed());
                    }
                    match self.write(Message::Ping(Bytes::new()), cancel).await {
                        Ok(()) => continue,
                        Err(ended) => return ended,
                    }
                }
                message = self.socket.next() => message,
            };
            self.last_received = Instant::now();
            let bytes = match message {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(text))) => Bytes::from(text),
                Some(Ok(Message::Close(frame))) => return closed(frame),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(error)) => return Ended::Lost(error.to_string()),
                None => return Ended::Lost("the connection ended without a Close frame".to_owned()),
            };
            // Copied, so that a kept frame does not keep the whole read buffer alive.
            let bytes = Bytes::copy_from_slice(&bytes);
            let reaction = if bytes.starts_with(b"[{\"") {
                not_for_devices(&bytes)
            } else {
                firmware.receive(&bytes, options.epoch.elapsed())
            };
            let replies = replies(&options.replies, &reaction);
            observe(EventKind::Frame {
                bytes,
                commands: reaction.commands,
                changes: reaction.changes,
            });
            for reply in replies {
                if let Err(ended) = self.write(Message::Binary(reply), cancel).await {
                    return ended;
                }
            }
            if reaction.power_off {
                return Ended::PoweredOff;
            }
        }
    }

    async fn write(&mut self, message: Message, cancel: &CancellationToken) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Ended::Stopped),
            sent = timeout(WRITE_TIMEOUT, self.socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Ended::Lost(error.to_string())),
                Err(_) => Err(Ended::Silent(WRITE_TIMEOUT)),
            }
        }
    }

    async fn frozen(
        &mut self,
        orders: &mut Option<&mut mpsc::Receiver<Order>>,
        cancel: &CancellationToken,
    ) -> Ended {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return self.abort(false),
                order = next_order(orders) => match order {
                    Order::Abort => return self.abort(false),
                    Order::Reset => return self.abort(true),
                    Order::Send(_) | Order::Freeze => {}
                },
            }
        }
    }

    fn abort(&mut self, reset: bool) -> Ended {
        let tcp = self.socket.get_ref().tcp();
        let done = if reset { tcp.set_zero_linger() } else { Ok(()) };
        match done {
            Ok(()) => Ended::Stopped,
            Err(error) => Ended::Lost(error.to_string()),
        }
    }
}

async fn next_order(orders: &mut Option<&mut mpsc::Receiver<Order>>) -> Order {
    match orders {
        Some(orders) => match orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn lose_control(
    options: &DeviceOptions,
    firmware: &mut Firmware,
    observe: &mut (dyn FnMut(EventKind) + Send),
) {
    if options.stops_when_lost {
        let stopped = firmware.lose_control(options.epoch.elapsed());
        if !stopped.is_empty() {
            observe(EventKind::Stopped(stopped));
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Ended {
    match frame {
        Some(frame) => Ended::Closed {
            code: Some(frame.code.into()),
            reason: frame.reason.as_str().to_owned(),
        },
        None => Ended::Closed {
            code: None,
            reason: String::new(),
        },
    }
}

/// The reaction to a Buttplug message: the peer is a client that connected to the wrong port.
fn not_for_devices(bytes: &[u8]) -> Reaction {
    Reaction {
        commands: vec![Command {
            text: printable(bytes),
            meaning: "a Buttplug message: this port is for clients; devices connect to another port"
                .to_owned(),
            known: false,
        }],
        ..Reaction::default()
    }
}

/// The replies to send in this mode.
fn replies(mode: &Replies, reaction: &Reaction) -> Vec<Bytes> {
    let is_answer = |reply: &&Bytes| !matches!(reply.as_ref(), b"OK;" | b"ERR;");
    match mode {
        Replies::All => reaction.replies.clone(),
        Replies::QuestionsOnly => reaction.replies.iter().filter(is_answer).cloned().collect(),
        Replies::None => Vec::new(),
        Replies::Always(bytes) => reaction.commands.iter().map(|_| bytes.clone()).collect(),
    }
}
