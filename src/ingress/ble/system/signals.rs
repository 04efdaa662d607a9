//! What BlueZ's and the bus's signals mean. No calls are made here: near a crowd there are thousands of signals a second.

use std::collections::HashMap;
use std::str::FromStr;

use bluez_async::DeviceId;
use btleplug::platform::PeripheralId;
use dbus::arg::{PropMap, RefArg, prop_cast};
use dbus::{Message, Path};

use super::{ADAPTER, BLUEZ, DEVICE};
use crate::ingress::ble::system::{Change, Event, News};

/// Properties that change with an advertisement and with nothing else.
const ADVERTISED: [&str; 3] = ["RSSI", "ManufacturerData", "ServiceData"];

/// What a signal says of the system's Bluetooth.
pub(super) fn change(message: &Message) -> Option<Change> {
    match &*message.member()? {
        "NameOwnerChanged" => {
            let (name, old, new): (String, String, String) = message.read3().ok()?;
            if name != BLUEZ {
                None
            } else if old.is_empty() {
                Some(Change::Perhaps)
            } else if new.is_empty() {
                Some(Change::Lost("bluetoothd stopped"))
            } else {
                Some(Change::Lost("bluetoothd was replaced"))
            }
        }
        "PropertiesChanged" => adapter(&message.path()?).map(|_| Change::Perhaps),
        "InterfacesAdded" => {
            let path: Path<'_> = message.read1().ok()?;
            adapter(&path).map(|_| Change::Perhaps)
        }
        "InterfacesRemoved" => {
            let (path, interfaces): (Path<'_>, Vec<String>) = message.read2().ok()?;
            let whole = interfaces.iter().any(|interface| interface == ADAPTER);
            adapter(&path).filter(|_| whole).map(Change::AdapterGone)
        }
        _ => None,
    }
}

/// What a signal says of an adapter and its peripherals.
pub(super) fn events(message: &Message, of: &str) -> Vec<Event> {
    match message.member().as_deref() {
        Some("PropertiesChanged") => properties_changed(message, of).unwrap_or_default(),
        Some("InterfacesAdded") => added(message, of).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn properties_changed(message: &Message, of: &str) -> Option<Vec<Event>> {
    let path = message.path()?;
    let (interface, changed): (String, PropMap) = message.read2().ok()?;
    if interface == ADAPTER {
        let off = adapter(&path)? == of && prop_cast(&changed, "Powered") == Some(&false);
        return Some(if off { vec![Event::Off] } else { Vec::new() });
    }
    let id = peripheral(&path, of).filter(|_| interface == DEVICE)?;
    let mut events = Vec::new();
    if let Some(up) = prop_cast(&changed, "Connected") {
        events.push(Event::Link(id.clone(), *up));
    }
    let has = |name: &str| changed.contains_key(name);
    let news = News {
        all: false,
        heard: ADVERTISED.into_iter().any(has),
        name: has("Name") || has("Alias"),
        services: has("UUIDs"),
        companies: companies(&changed),
    };
    if news != News::default() {
        events.push(Event::Heard(id, news));
    }
    Some(events)
}

fn added(message: &Message, of: &str) -> Option<Event> {
    let (path, interfaces): (Path<'_>, HashMap<String, PropMap>) = message.read2().ok()?;
    let properties = interfaces.get(DEVICE)?;
    let news = News {
        all: true,
        heard: properties.contains_key("RSSI"),
        ..News::default()
    };
    Some(Event::Heard(peripheral(&path, of)?, news))
}

fn companies(changed: &PropMap) -> Vec<u16> {
    let data = changed.get("ManufacturerData");
    // A dictionary is its keys and values in turn.
    let keys = data
        .and_then(|data| data.0.as_iter())
        .into_iter()
        .flatten()
        .step_by(2);
    keys.filter_map(|key| u16::try_from(key.as_u64()?).ok()).collect()
}

/// The name of an adapter.
fn adapter(path: &Path<'_>) -> Option<String> {
    let name = path.strip_prefix("/org/bluez/")?;
    (!name.contains('/')).then(|| name.to_owned())
}

/// A peripheral of this adapter.
fn peripheral(path: &Path<'_>, of: &str) -> Option<PeripheralId> {
    let name = path.strip_prefix("/org/bluez/")?;
    let device = name.strip_prefix(of)?.strip_prefix('/')?;
    if device.contains('/') {
        return None;
    }
    DeviceId::from_str(name).ok().map(PeripheralId::from)
}
