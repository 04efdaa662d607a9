//! What the system knows of a peripheral.

use btleplug::api::{Central as _, Peripheral as _};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};

use crate::device::peripheral::Seen;

/// Asks the system; `None` where it has forgotten it. A handle that was made here knows no services yet.
pub(super) async fn look(adapter: &Adapter, id: &PeripheralId) -> Option<(Peripheral, Seen)> {
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
    let seen = Seen {
        name: name.filter(|name| *name != made && !name.is_empty()),
        address,
        rssi: properties.rssi,
        services: properties.services,
        manufacturer_data: properties.manufacturer_data,
        connected,
    };
    Some((peripheral, seen))
}
