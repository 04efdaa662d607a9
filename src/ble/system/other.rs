//! Other systems: what btleplug tells is all there is, and pairing is the system's own matter.

use btleplug::api::Peripheral as _;
use btleplug::platform::{Manager, Peripheral};
use tokio::time::sleep;

use super::{Change, Unavailable};
use crate::defaults::BLE_ADAPTER_RETRY;

/// The system's Bluetooth.
pub(in crate::ble) struct System;

impl System {
    /// There is nothing to open.
    pub(in crate::ble) async fn open() -> Result<Self, Unavailable> {
        Ok(Self)
    }

    /// Nothing tells, so it is looked again and again. Cancel safe.
    pub(in crate::ble) async fn changed(&mut self) -> Change {
        sleep(BLE_ADAPTER_RETRY).await;
        Change::Perhaps
    }

    /// Why btleplug finds no adapter.
    pub(in crate::ble) async fn why_no_adapter(&self) -> Unavailable {
        Unavailable {
            why: "there is no Bluetooth adapter".to_owned(),
            hint: "plug one in: it is found without a restart; on macOS, allow Bluetooth for this program",
        }
    }

    /// Why an adapter is not on.
    pub(in crate::ble) async fn why_off(&self, adapter: &str) -> Unavailable {
        Unavailable {
            why: format!("the Bluetooth adapter {adapter} is off"),
            hint: "switch Bluetooth on in the system's settings; on macOS, allow it for this program too",
        }
    }

    /// What a manager's error means to people.
    pub(in crate::ble) fn explain(error: &btleplug::Error) -> Unavailable {
        Unavailable {
            why: format!("Bluetooth cannot be used: {error}"),
            hint: "is it switched on, and allowed for this program?",
        }
    }

    /// For one peripheral after another.
    pub(in crate::ble) fn calls(&self) -> Calls {
        Calls
    }

    /// btleplug's own connection.
    pub(in crate::ble) async fn manager(&self) -> Result<Manager, btleplug::Error> {
        Manager::new().await
    }
}

/// What is asked of the system about a peripheral.
#[derive(Clone)]
pub(in crate::ble) struct Calls;

impl Calls {
    /// Connects. Dropped, it leaves the order to connect as it is: `disconnect` takes it back.
    ///
    /// # Errors
    /// What the system said.
    pub(in crate::ble) async fn connect(&self, peripheral: &Peripheral) -> Result<(), String> {
        peripheral.connect().await.map_err(|e| e.to_string())
    }

    /// Nothing is to be done: the system asks its user by itself, when a peripheral wants it.
    ///
    /// # Errors
    /// None.
    pub(in crate::ble) async fn pair(&self, _: &Peripheral) -> Result<(), String> {
        Ok(())
    }
}

/// Another operation of the same kind is under way. Not told here.
pub(in crate::ble) fn is_busy(_: &btleplug::Error) -> bool {
    false
}
