//! Asks a peripheral what it is.

use btleplug::api::Peripheral as _;
use btleplug::platform::Peripheral;
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Duration, timeout};

use super::{Scanner, connect, limited, query};
use crate::defaults::{BLE_DISCONNECT_TIMEOUT, BLE_STEP_TIMEOUT};
use crate::device::peripheral::{Profile, Seen};
use crate::ingress::ble::characteristics::Characteristics;
use crate::ingress::ble::peripheral::write_frame;
use crate::ingress::hello::HelloError;
use crate::ingress::recognise::{Introduction, identify_once};
use crate::link::ble::{Gone, RadioEnd, Write, pipe};

/// How to connect to a peripheral and write to it.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Its service and characteristics.
    pub profile: Profile,
    /// Whether to write without response; `None` waits for the response if the characteristic supports it.
    pub write_without_response: Option<bool>,
    /// Whether to pair with it first.
    pub pair: bool,
}

impl Scanner {
    /// Connects to a peripheral that was seen, asks it what it is, and disconnects; `None` if it is connected already,
    /// to another program.
    ///
    /// # Errors
    /// The connection failed, or the peripheral did not identify itself.
    pub async fn ask(
        &mut self,
        seen: &Seen,
        options: &ConnectOptions,
    ) -> Result<Option<Introduction>, AskError> {
        let id = self.ids.get(&seen.address).cloned();
        let known = match id {
            Some(id) => query(&self.adapter, &id).await,
            None => None,
        };
        let Some((peripheral, now)) = known else {
            return Err(AskError::Gone);
        };
        if now.connected {
            return Ok(None);
        }
        let asked = self.connect_and_ask(&peripheral, options).await;
        // Even after a failed connection: only this cancels the attempt to connect.
        let _ = timeout(BLE_DISCONNECT_TIMEOUT, peripheral.disconnect()).await;
        asked.map(Some)
    }

    async fn connect_and_ask(
        &mut self,
        peripheral: &Peripheral,
        options: &ConnectOptions,
    ) -> Result<Introduction, AskError> {
        let failed = |what| move |problem: String| AskError::Failed { what, problem };
        connect(&self.system, peripheral)
            .await
            .map_err(failed("connecting"))?;
        if options.pair {
            let paired = self.system.calls().pair(peripheral).await;
            paired.map_err(failed("pairing"))?;
        }
        limited(BLE_STEP_TIMEOUT, peripheral.discover_services())
            .await
            .map_err(failed("finding its services"))?;
        let services = peripheral.services();
        let found = Characteristics::of(&options.profile, &services, options.write_without_response);
        let characteristics = found.map_err(|e| failed("finding its characteristics")(e.to_string()))?;
        let followed = limited(BLE_STEP_TIMEOUT, peripheral.notifications()).await;
        let mut notifications = followed.map_err(failed("following its notifications"))?;
        if let Some(notify) = &characteristics.notify {
            limited(BLE_STEP_TIMEOUT, peripheral.subscribe(notify))
                .await
                .map_err(failed("subscribing"))?;
        }
        let (mut port, mut radio) = pipe(Gone::default());
        let carry = async {
            let RadioEnd { notified, writes } = &mut radio;
            loop {
                tokio::select! {
                    Some(Write { bytes, done }) = writes.recv() => {
                        let _ = done.send(write_frame(peripheral, &characteristics, &bytes).await);
                    }
                    Some(notification) = notifications.next() => {
                        let is_ours = characteristics.notify.as_ref().is_some_and(|notify| {
                            notify.uuid == notification.uuid && notify.service_uuid == notification.service_uuid
                        });
                        if is_ours && !notification.value.is_empty() {
                            let _ = notified.send(Bytes::from(notification.value));
                        }
                    }
                    else => std::future::pending().await,
                }
            }
        };
        let asked = tokio::select! {
            asked = identify_once(&mut port, Duration::ZERO, true) => asked,
            never = carry => never,
        };
        self.kept.push(notifications);
        asked.map_err(AskError::Unknown)
    }
}

/// Why a peripheral could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The system has forgotten it.
    #[error("it is gone")]
    Gone,
    /// A step of the connection failed.
    #[error("{what} failed: {problem}")]
    Failed {
        /// The step.
        what: &'static str,
        /// The system's error.
        problem: String,
    },
    /// It did not identify itself.
    #[error(transparent)]
    Unknown(HelloError),
}
