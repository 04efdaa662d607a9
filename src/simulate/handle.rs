//! A connected device as a value that a test holds in its hand.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Ended, Happening, Order};
use super::{Actuator, Brain, DeviceOptions};
use crate::net::dial::DialError;

/// Orders that may wait; each is taken at once.
const ORDERS: usize = 8;

/// A frame, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// By the clock of [`DeviceOptions::epoch`].
    pub at: Duration,
    /// The frame.
    pub bytes: Bytes,
}

/// A device that connected once and does not connect again.
pub struct SimulatedDevice {
    frames: mpsc::Receiver<Arrival>,
    orders: mpsc::Sender<Order>,
    actuators: watch::Receiver<Vec<Actuator>>,
    cancel: CancellationToken,
    life: JoinHandle<Ended>,
}

impl SimulatedDevice {
    /// Connects and sends the handshake.
    ///
    /// # Errors
    /// When there is no websocket server at the target.
    pub async fn connect(options: DeviceOptions) -> Result<Self, DialError> {
        let connection = Connection::open(&options).await?;
        let (frame, frames) = mpsc::channel(options.kept_frames.max(1));
        let (orders, mut ordered) = mpsc::channel(ORDERS);
        let mut brain = Brain::new(&options);
        let (state, actuators) = watch::channel(brain.actuators().to_vec());
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let life = tokio::spawn(async move {
            let mut observe = |what: Happening| {
                let changes = match what {
                    Happening::Frame { bytes, changes, .. } => {
                        // A holder that does not look misses frames; the newest states are in the actuators.
                        let _ = frame.try_send(Arrival {
                            at: options.epoch.elapsed(),
                            bytes,
                        });
                        changes
                    }
                    Happening::Stopped(changes) => changes,
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
                .serve(&options, &mut brain, Some(&mut ordered), &stop, &mut observe)
                .await
        });
        Ok(Self {
            frames,
            orders,
            actuators,
            cancel,
            life,
        })
    }

    /// The next frame that arrived; `None` when the connection is over and all were taken. Cancel safe.
    pub async fn next_frame(&mut self) -> Option<Arrival> {
        self.frames.recv().await
    }

    /// Everything that can move, as it was last commanded.
    pub fn actuators(&self) -> Vec<Actuator> {
        self.actuators.borrow().clone()
    }

    /// Waits until the actuators are so; `false` when the connection ended before. Cancel safe.
    pub async fn wait_for(&mut self, condition: impl FnMut(&Vec<Actuator>) -> bool) -> bool {
        self.actuators.wait_for(condition).await.is_ok()
    }

    /// Sends a frame that the device would not send by itself.
    pub async fn send(&self, bytes: impl Into<Bytes>) {
        self.order(Order::Send(Message::Binary(bytes.into()))).await;
    }

    /// Neither reads nor writes any more, but keeps the TCP connection: a power cut, as seen from afar.
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

    /// Closes in good order.
    pub async fn close(self) -> Ended {
        self.cancel.cancel();
        self.ended().await
    }

    /// Waits for the end of the connection: its reason.
    pub async fn ended(self) -> Ended {
        self.life.await.unwrap_or_else(|e| Ended::Lost(e.to_string()))
    }

    /// A device whose connection is over takes no orders, and needs none.
    async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }
}
