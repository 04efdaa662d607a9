//! bluetoothd: its adapters, what they hear, and the signals that it emits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use zbus::export::serde::Serialize;
use zbus::zvariant::{DynamicType, ObjectPath, Value};

use super::Peripheral;
use super::bus::{BLUEZ, Client, Fault, Signal, unique_name};
use super::device::{Device, Known};

pub const ADAPTER: &str = "org.bluez.Adapter1";
pub const DEVICE: &str = "org.bluez.Device1";
pub const SERVICE: &str = "org.bluez.GattService1";
pub const CHARACTERISTIC: &str = "org.bluez.GattCharacteristic1";
pub const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

pub type Properties = HashMap<&'static str, Value<'static>>;
pub type OnWrite = Arc<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync>;
pub type Change = Box<dyn FnOnce(&mut State) + Send>;

/// What is to be done once nobody holds the state.
pub enum Todo {
    Later(Duration, Change),
    /// A board answers what was written to it.
    Answer(usize, OnWrite, Vec<u8>),
}

/// Everything there is.
#[derive(Default)]
pub struct State {
    pub clients: BTreeMap<u64, Client>,
    /// Well-known names and the unique names that own them.
    pub names: BTreeMap<String, String>,
    pub accepting: Option<AbortHandle>,
    pub last_number: u64,
    pub adapters: BTreeMap<String, Adapter>,
    pub boards: Vec<Device>,
    pub calls: BTreeMap<String, usize>,
    pub todo: Vec<Todo>,
    /// So many calls to start discovering fail.
    pub discovery_failures: usize,
    /// Advertisements that were told to whoever discovers.
    pub adverts: usize,
}

pub struct Adapter {
    pub powered: bool,
    blocked: bool,
    /// Who discovers.
    pub sessions: BTreeSet<u64>,
    /// The services that a client wants to hear of; without an entry, all.
    pub filters: BTreeMap<u64, Vec<String>>,
}

pub fn adapter_path(adapter: &str) -> String {
    format!("/org/bluez/{adapter}")
}

pub fn object(path: String) -> ObjectPath<'static> {
    ObjectPath::try_from(path).expect("a valid path")
}

impl State {
    pub fn plug(&mut self, peripheral: Peripheral) -> usize {
        let known = |d: &Device| d.peripheral.address == peripheral.address;
        assert!(
            !self.boards.iter().any(known),
            "{} is plugged in",
            peripheral.address
        );
        self.boards.push(Device {
            peripheral,
            ..Device::default()
        });
        self.boards.len() - 1
    }

    pub fn later(&mut self, delay: Duration, change: impl FnOnce(&mut Self) + Send + 'static) {
        if delay.is_zero() {
            change(self);
        } else {
            self.todo.push(Todo::Later(delay, Box::new(change)));
        }
    }

    // The daemon itself.

    pub fn start_daemon(&mut self) {
        if self.names.contains_key(BLUEZ) || self.accepting.is_none() {
            return;
        }
        let name = unique_name(self.number());
        self.owner_changed(&name, "", &name);
        self.names.insert(BLUEZ.to_owned(), name.clone());
        self.owner_changed(BLUEZ, "", &name);
        let adapters: Vec<String> = self.adapters.keys().cloned().collect();
        for adapter in adapters {
            self.object_added(&adapter_path(&adapter));
        }
    }

    pub fn stop_daemon(&mut self) {
        let Some(name) = self.names.remove(BLUEZ) else {
            return;
        };
        // Nobody emits a signal from here on: the owner is gone.
        let gone = || {
            let text = "Message recipient disconnected from message bus without replying";
            Fault::dbus("NoReply", text)
        };
        for device in &mut self.boards {
            let link = device.link.take();
            let requests = link
                .into_iter()
                .flat_map(|link| link.requests)
                .map(|(.., call)| call);
            let pending = device.pending.take().map(|pending| pending.call);
            requests.chain(pending).for_each(|call| call.fail(gone()));
            device.known.clear();
        }
        for adapter in self.adapters.values_mut() {
            adapter.sessions.clear();
            adapter.filters.clear();
        }
        self.owner_changed(BLUEZ, &name, "");
        self.owner_changed(&name, &name, "");
    }

    /// Its sessions end; what it connected stays connected.
    pub fn client_gone(&mut self, client: u64) {
        let adapters: Vec<String> = self.adapters.keys().cloned().collect();
        for adapter in adapters {
            self.end_session(&adapter, client);
            self.adapters
                .get_mut(&adapter)
                .expect("it is there")
                .filters
                .remove(&client);
        }
        for board in 0..self.boards.len() {
            for at in self.boards[board].characteristics() {
                self.unsubscribe(board, at, client);
            }
        }
    }

    // Signals.

    pub fn signal(&self, signal: &Signal, body: &(impl Serialize + DynamicType)) -> usize {
        self.names
            .get(BLUEZ)
            .map_or(0, |owner| self.emit(owner, signal, body))
    }

    pub fn changed(&self, path: &str, interface: &str, properties: Properties, invalid: &[&str]) -> usize {
        let signal = Signal {
            path,
            interface: PROPERTIES,
            member: "PropertiesChanged",
            arg0: Some(interface),
        };
        self.signal(&signal, &(interface, properties, invalid))
    }

    pub fn object_added(&self, path: &str) {
        let signal = Signal {
            path: "/",
            interface: MANAGER,
            member: "InterfacesAdded",
            arg0: None,
        };
        let interfaces = self.node(path).and_then(|node| self.interface(&node));
        let interfaces: HashMap<_, _> = interfaces.into_iter().collect();
        self.signal(&signal, &(object(path.to_owned()), interfaces));
    }

    pub fn object_removed(&self, path: &str, interface: &str) {
        let signal = Signal {
            path: "/",
            interface: MANAGER,
            member: "InterfacesRemoved",
            arg0: None,
        };
        self.signal(&signal, &(object(path.to_owned()), [interface].as_slice()));
    }

    pub fn device_changed(&self, board: usize, adapter: &str, properties: Properties, invalid: &[&str]) {
        let path = self.boards[board].path(adapter);
        self.changed(&path, DEVICE, properties, invalid);
    }

    pub fn adapter_changed(&self, adapter: &str, properties: Properties) {
        self.changed(&adapter_path(adapter), ADAPTER, properties, &[]);
    }

    // Adapters.

    pub fn add_adapter(&mut self, name: &str, powered: bool) {
        let adapter = Adapter {
            powered,
            blocked: false,
            sessions: BTreeSet::new(),
            filters: BTreeMap::new(),
        };
        self.adapters.insert(name.to_owned(), adapter);
        self.object_added(&adapter_path(name));
    }

    pub fn remove_adapter(&mut self, name: &str) {
        self.clear_adapter(name);
        for board in 0..self.boards.len() {
            self.forget(board, name);
        }
        self.adapters.remove(name);
        self.object_removed(&adapter_path(name), ADAPTER);
    }

    pub fn set_powered(&mut self, name: &str, powered: bool) -> Result<(), Fault> {
        let missing = || Fault::dbus("UnknownObject", format!("{name} is not there"));
        let adapter = self.adapters.get_mut(name).ok_or_else(missing)?;
        if powered && adapter.blocked {
            return Err(Fault::bluez("Failed", "Blocked through rfkill"));
        }
        if adapter.powered == powered {
            return Ok(());
        }
        adapter.powered = powered;
        if !powered {
            self.clear_adapter(name);
        }
        self.power_changed(name);
        Ok(())
    }

    pub fn block(&mut self, name: &str, blocked: bool) {
        let adapter = self
            .adapters
            .get_mut(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        adapter.blocked = blocked;
        if std::mem::take(&mut adapter.powered) {
            self.clear_adapter(name);
        }
        self.power_changed(name);
    }

    pub fn power_changed(&self, name: &str) {
        let adapter = &self.adapters[name];
        let state = adapter.power_state();
        let properties = [("Powered", adapter.powered.into()), ("PowerState", state.into())];
        self.adapter_changed(name, properties.into());
    }

    /// Ends all that needs an adapter with power.
    pub fn clear_adapter(&mut self, name: &str) {
        for board in 0..self.boards.len() {
            self.abort_connect(board, Some(name));
            if self.boards[board].linked(name).is_some() {
                self.drop_link(board);
            }
        }
        let sessions = self.adapters.get(name).map(|a| a.sessions.clone());
        for client in sessions.into_iter().flatten() {
            self.end_session(name, client);
        }
    }

    pub fn discovering(&self) -> bool {
        self.adapters.values().any(|adapter| !adapter.sessions.is_empty())
    }

    pub fn end_session(&mut self, name: &str, client: u64) -> bool {
        let Some(adapter) = self.adapters.get_mut(name) else {
            return false;
        };
        if !adapter.sessions.remove(&client) {
            return false;
        }
        if adapter.sessions.is_empty() {
            self.adapter_changed(name, [("Discovering", false.into())].into());
            for board in 0..self.boards.len() {
                let known = self.boards[board].known.get_mut(name);
                if known.and_then(|known| known.rssi.take()).is_some() {
                    self.device_changed(board, name, Properties::new(), &["RSSI"]);
                }
            }
        }
        true
    }

    /// Every board that advertises is heard by every adapter that discovers.
    pub fn advertisements(&mut self) {
        let discovering = self
            .adapters
            .iter()
            .filter(|(_, adapter)| !adapter.sessions.is_empty());
        let discovering: Vec<String> = discovering.map(|(name, _)| name.clone()).collect();
        if self.names.contains_key(BLUEZ) {
            for name in discovering {
                (0..self.boards.len()).for_each(|board| self.advertisement(board, &name));
            }
        }
    }

    pub fn advertisement(&mut self, board: usize, name: &str) {
        let adapter = &self.adapters[name];
        let device = &mut self.boards[board];
        let spec = &device.peripheral;
        let wanted = adapter.sessions.iter().any(|client| {
            let filter = adapter.filters.get(client);
            filter.is_none_or(|uuids| uuids.iter().any(|uuid| spec.uuids.contains(uuid)))
        });
        if !wanted || !device.advertising || device.link.is_some() {
            return;
        }
        let Some(known) = device.known.get_mut(name) else {
            let known = Known {
                rssi: Some(spec.rssi),
                name: spec.name.clone(),
            };
            device.known.insert(name.to_owned(), known);
            self.object_added(&self.boards[board].path(name));
            return;
        };
        self.adverts += 1;
        // It sways, because only what has changed is told.
        let rssi = if known.rssi == Some(spec.rssi) {
            spec.rssi + 1
        } else {
            spec.rssi
        };
        known.rssi = Some(rssi);
        let mut properties = Properties::from([("RSSI", rssi.into())]);
        if spec.name.is_some() && known.name != spec.name {
            known.name = spec.name.clone();
            let name = spec.name.clone().unwrap_or_default();
            properties.insert("Name", name.clone().into());
            properties.insert("Alias", name.into());
        }
        properties.extend(device.manufacturer_data());
        self.device_changed(board, name, properties, &[]);
    }
}

impl Adapter {
    pub fn power_state(&self) -> &'static str {
        match (self.blocked, self.powered) {
            (true, _) => "off-blocked",
            (false, true) => "on",
            (false, false) => "off",
        }
    }

    pub fn properties(&self, name: &str) -> Properties {
        let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        Properties::from([
            ("Address", format!("00:1A:7D:DA:71:{number:0>2}").into()),
            ("AddressType", "public".into()),
            ("Name", name.to_owned().into()),
            ("Alias", name.to_owned().into()),
            ("Modalias", "usb:v1D6Bp0246d0550".into()),
            ("Powered", self.powered.into()),
            ("PowerState", self.power_state().into()),
            ("Discovering", (!self.sessions.is_empty()).into()),
        ])
    }
}
