//! What is known of a peripheral.

use std::collections::HashMap;

use btleplug::api::{Central as _, Peripheral as _};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};
use uuid::Uuid;

/// A peripheral as the system knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its address, or what stands for it where the system keeps addresses to itself (macOS).
    pub address: String,
    /// Its name, once it has said it.
    pub name: Option<String>,
    /// How strong it was received, in dBm; `None` where it was not lately.
    pub rssi: Option<i16>,
    /// The services that it advertises, or that are known since it was connected.
    pub services: Vec<Uuid>,
    /// Its maker's data, by company.
    pub manufacturer_data: HashMap<u16, Vec<u8>>,
    /// Whether this machine has a connection to it, this program's or another's.
    pub connected: bool,
}

impl Seen {
    /// Asks the system; `None` where it has forgotten it. A handle that was made here knows no services yet.
    pub(super) async fn look(adapter: &Adapter, id: &PeripheralId) -> Option<(Peripheral, Self)> {
        let peripheral = adapter.peripheral(id).await.ok()?;
        let properties = peripheral.properties().await.ok()??;
        let connected = peripheral.is_connected().await.ok()?;
        let mac = properties.address;
        let address = if mac == Default::default() {
            id.to_string()
        } else {
            mac.to_string()
        };
        // BlueZ makes a name of the address where there is none.
        let made = address.replace(':', "-");
        let name = properties.advertisement_name.or(properties.local_name);
        let seen = Self {
            name: name.filter(|name| *name != made && !name.is_empty()),
            address,
            rssi: properties.rssi,
            services: properties.services,
            manufacturer_data: properties.manufacturer_data,
            connected,
        };
        Some((peripheral, seen))
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            // Anybody near may have sent it.
            Some(name) => write!(f, "ble {} {name:?}", self.address),
            None => write!(f, "ble {}", self.address),
        }
    }
}
