//! A handle to a connected device, for tests.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Ended, EventKind, Order};
use super::{Actuator, DeviceOptions, Firmware};
use crate::net::dial::DialError;

/// Capacity of the order queue; each order is handled at once.
const ORDERS: usize = 8;

/// A received frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// When it was received, since [`DeviceOptions::epoch`].
    pub at: Duration,
    /// The frame's bytes.
    pub bytes: Bytes,
}

/// A device that connects once and does not reconnect.
pub struct SimulatedDevice {
    frames: mpsc::Receiver<ReceivedFrame>,
    orders: mpsc::Sender<Order>,
    actuators: watch::Receiver<Vec<Actuator>>,
    cancel: CancellationToken,
    task: JoinHandle<Ended>,
}

impl SimulatedDevice {
    /// Connects and sends the handshake.
    ///
    /// # Errors
    /// The target is not a websocket server.
    pub async fn connect(options: DeviceOptions) -> Result<Self, DialError> {
        let connection = Connection::open(&options).await?;
        let (frame, frames) = mpsc::channel(options.kept_frames.max(1));
        let (orders, mut ordered) = mpsc::channel(ORDERS);
        let mut firmware = Firmware::new(&options);
        let (state, actuators) = watch::channel(firmware.actuators().to_vec());
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let task = tokio::spawn(async move {
            let mut observe = |kind: EventKind| {
                let changes = match kind {
                    EventKind::Frame { bytes, changes, .. } => {
                        // Drops the frame if the buffer is full; the actuators still have the newest state.
                        let _ = frame.try_send(ReceivedFrame {
                            at: options.epoch.elapsed(),
                            bytes,
                        });
                        changes
                    }
                    EventKind::Stopped(changes) => changes,
                    _ => return,
                };
                state.send_modify(|actuators| {
                    for change in changes {
                        if change.index < actuators.len() {
                            actuators[change.index] = change.actuator;
                        } else {
                            actuators.push(change.actuator);
                        }
                    }
                });
            };
            connection
                .serve(&options, &mut firmware, Some(&mut ordered), &stop, &mut observe)
                .await
        });
        Ok(Self {
            frames,
            orders,
            actuators,
            cancel,
            task,
        })
    }

    /// Returns the next received frame; `None` after the last one of an ended connection. Cancel safe.
    pub async fn next_frame(&mut self) -> Option<ReceivedFrame> {
        self.frames.recv().await
    }

    /// All actuators, as last commanded.
    pub fn actuators(&self) -> Vec<Actuator> {
        self.actuators.borrow().clone()
    }

    /// Waits until the actuators meet the condition; `false` if the connection ended first. Cancel safe.
    pub async fn wait_for(&mut self, condition: impl FnMut(&Vec<Actuator>) -> bool) -> bool {
        self.actuators.wait_for(condition).await.is_ok()
    }

    /// Sends a frame to the server.
    pub async fn send(&self, bytes: impl Into<Bytes>) {
        self.order(Order::Send(Message::Binary(bytes.into()))).await;
    }

    /// Stops reading and writing but keeps the TCP connection, as after a power cut.
    pub async fn freeze(&self) {
        self.order(Order::Freeze).await;
    }

    /// Drops the TCP connection without a Close frame.
    pub async fn abort(self) -> Ended {
        self.order(Order::Abort).await;
        self.ended().await
    }

    /// Drops the TCP connection with a reset.
    pub async fn reset(self) -> Ended {
        self.order(Order::Reset).await;
        self.ended().await
    }

    /// Closes the connection with a Close frame.
    pub async fn close(self) -> Ended {
        self.cancel.cancel();
        self.ended().await
    }

    /// Waits for the connection to end and returns the reason.
    pub async fn ended(self) -> Ended {
        self.task.await.unwrap_or_else(|e| Ended::Lost(e.to_string()))
    }

    /// Gives an order; ignored if the connection has ended.
    async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }
}
