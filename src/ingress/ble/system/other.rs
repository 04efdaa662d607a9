//! Other systems: what btleplug tells is all there is, and pairing is the system's own matter.

use btleplug::api::{Central as _, CentralEvent, CentralState, Peripheral as _};
use btleplug::platform::{Adapter, Manager, Peripheral};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::sleep;

use super::{Change, Event, News, Unavailable};
use crate::defaults::BLE_ADAPTER_RETRY;

/// On macOS a peripheral that comes back is another one to the library: what followed the old one hears nothing.
pub(in crate::ingress::ble) const HANDLES_LAST: bool = false;

/// The system's Bluetooth.
pub(in crate::ingress::ble) struct System;

/// What is heard of an adapter's peripherals.
pub(in crate::ingress::ble) struct Events(BoxStream<'static, CentralEvent>);

impl Events {
    /// The next event. Cancel safe.
    pub(in crate::ingress::ble) async fn next(&mut self) -> Option<Event> {
        let news = |all| News {
            heard: true,
            all,
            ..News::default()
        };
        loop {
            return Some(match self.0.next().await? {
                CentralEvent::DeviceConnected(id) => Event::Link(id, true),
                CentralEvent::DeviceDisconnected(id) => Event::Link(id, false),
                CentralEvent::RssiUpdate { id, .. } => Event::Heard(id, news(false)),
                CentralEvent::DeviceDiscovered(id)
                | CentralEvent::DeviceUpdated(id)
                | CentralEvent::DeviceServicesModified(id)
                | CentralEvent::ManufacturerDataAdvertisement { id, .. }
                | CentralEvent::ServiceDataAdvertisement { id, .. }
                | CentralEvent::ServicesAdvertisement { id, .. } => Event::Heard(id, news(true)),
                CentralEvent::StateUpdate(CentralState::PoweredOff) => Event::Off,
                CentralEvent::StateUpdate(_) => continue,
            });
        }
    }
}

impl System {
    /// There is nothing to open.
    pub(in crate::ingress::ble) async fn open() -> Result<Self, Unavailable> {
        Ok(Self)
    }

    /// Follows what is heard of an adapter's peripherals from now on.
    pub(in crate::ingress::ble) async fn events(&self, adapter: &Adapter, _: &str) -> Result<Events, String> {
        adapter.events().await.map(Events).map_err(|e| e.to_string())
    }

    /// Nothing tells, so it is looked again and again. Cancel safe.
    pub(in crate::ingress::ble) async fn changed(&mut self) -> Change {
        sleep(BLE_ADAPTER_RETRY).await;
        Change::Perhaps
    }

    /// Why btleplug finds no adapter.
    pub(in crate::ingress::ble) async fn why_no_adapter(&self) -> Unavailable {
        Unavailable {
            why: "there is no Bluetooth adapter".to_owned(),
            hint: "plug one in: it is found without a restart; on macOS, allow Bluetooth for this program",
        }
    }

    /// Why an adapter is not on.
    pub(in crate::ingress::ble) async fn why_off(&self, adapter: &str) -> Unavailable {
        Unavailable {
            why: format!("the Bluetooth adapter {adapter} is off"),
            hint: "switch Bluetooth on in the system's settings; on macOS, allow it for this program too",
        }
    }

    /// What a manager's error means to people.
    pub(in crate::ingress::ble) fn explain(error: &btleplug::Error) -> Unavailable {
        Unavailable {
            why: format!("Bluetooth cannot be used: {error}"),
            hint: "is it switched on, and allowed for this program?",
        }
    }

    /// For one peripheral after another.
    pub(in crate::ingress::ble) fn calls(&self) -> Calls {
        Calls
    }

    /// btleplug's own connection.
    pub(in crate::ingress::ble) async fn manager(&self) -> Result<Manager, btleplug::Error> {
        Manager::new().await
    }
}

/// What is asked of the system about a peripheral.
#[derive(Clone)]
pub(in crate::ingress::ble) struct Calls;

impl Calls {
    /// Connects. Dropped, it leaves the order to connect as it is: `disconnect` takes it back.
    ///
    /// # Errors
    /// What the system said.
    pub(in crate::ingress::ble) async fn connect(&self, peripheral: &Peripheral) -> Result<(), String> {
        peripheral.connect().await.map_err(|e| e.to_string())
    }

    /// Nothing is to be done: the system asks its user by itself, when a peripheral wants it.
    ///
    /// # Errors
    /// None.
    pub(in crate::ingress::ble) async fn pair(&self, _: &Peripheral) -> Result<(), String> {
        Ok(())
    }
}

/// Another operation of the same kind is under way. Not told here.
pub(in crate::ingress::ble) fn is_busy(_: &btleplug::Error) -> bool {
    false
}
