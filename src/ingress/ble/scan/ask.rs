//! Asks a peripheral what it is.

use btleplug::api::{Central as _, Peripheral as _};
use btleplug::platform::Peripheral;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::timeout;

use super::{Scanner, connect, limited, query};
use crate::defaults::{BLE_DISCONNECT_TIMEOUT, BLE_STEP_TIMEOUT, RECOGNITION_PATIENCE};
use crate::device::handshake::Address;
use crate::device::peripheral::{Profile, Seen};
use crate::device::recognition::Answers;
use crate::ingress::ble::characteristics::Characteristics;
use crate::ingress::ble::peripheral::write_frame;
use crate::ingress::hello::HelloError;
use crate::ingress::recognise::{Introduction, Wait, identify};
use crate::link::ble::{Gone, RadioEnd, Write, pipe};

/// How a peripheral is spoken with.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Its service and characteristics.
    pub profile: Profile,
    /// Frames are written without waiting for its confirmation; `None` waits if it confirms.
    pub write_without_response: Option<bool>,
    /// It is paired with first.
    pub pair: bool,
}

impl Scanner {
    /// Stops scanning, for good: many adapters connect badly while they scan.
    pub async fn rest(&self) {
        let _ = timeout(BLE_DISCONNECT_TIMEOUT, self.adapter.stop_scan()).await;
    }

    /// Connects to a peripheral that was seen, asks it what it is, and disconnects; `None` if it is connected already:
    /// another program has it.
    ///
    /// # Errors
    /// It cannot be spoken with, or does not say what it is.
    pub async fn ask(&mut self, seen: &Seen, manner: &Manner) -> Result<Option<Introduction>, AskError> {
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
        let asked = self.ask_connected(&peripheral, manner).await;
        // Also after a failed connection: only this takes back the order to connect.
        let _ = timeout(BLE_DISCONNECT_TIMEOUT, peripheral.disconnect()).await;
        asked.map(Some)
    }

    async fn ask_connected(
        &mut self,
        peripheral: &Peripheral,
        manner: &Manner,
    ) -> Result<Introduction, AskError> {
        let failed = |what| move |problem: String| AskError::Failed { what, problem };
        connect(&self.system, peripheral)
            .await
            .map_err(failed("connecting"))?;
        if manner.pair {
            let paired = self.system.calls().pair(peripheral).await;
            paired.map_err(failed("pairing"))?;
        }
        limited(BLE_STEP_TIMEOUT, peripheral.discover_services())
            .await
            .map_err(failed("finding its services"))?;
        let services = peripheral.services();
        let found = Characteristics::of(&manner.profile, &services, manner.write_without_response);
        let characteristics = found.map_err(|e| failed("finding its characteristics")(e.to_string()))?;
        let follows = limited(BLE_STEP_TIMEOUT, peripheral.notifications()).await;
        let mut notifications = follows.map_err(failed("following its notifications"))?;
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
                    Some(said) = notifications.next() => {
                        let wanted = characteristics.notify.as_ref();
                        let is_ours = wanted.is_some_and(|w| w.uuid == said.uuid && w.service_uuid == said.service_uuid);
                        if is_ours && !said.value.is_empty() {
                            let _ = notified.send(Bytes::from(said.value));
                        }
                    }
                    else => std::future::pending().await,
                }
            }
        };
        let wait = Wait {
            settle: std::time::Duration::ZERO,
            patience: Some(RECOGNITION_PATIENCE),
            // Which one it is does not matter here.
            fallback: &Address::new("-"),
            reads_messages: true,
            on_close: None,
        };
        let (mut read, mut answers) = (BytesMut::new(), Answers::default());
        let asked = tokio::select! {
            asked = identify(&mut port, &mut read, wait, &mut answers, |_| {}) => asked,
            never = carry => never,
        };
        // What the library drops, it drops badly while signals come.
        self.kept.push(notifications);
        asked.map_err(AskError::Unknown)
    }
}

/// Why it is not known what a peripheral is.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The system has forgotten it.
    #[error("it is not there any more")]
    Gone,
    /// It does not do what is asked of it.
    #[error("{what} failed: {problem}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        problem: String,
    },
    /// It answered nothing that tells.
    #[error(transparent)]
    Unknown(HelloError),
}
