//! Devices as the daemon sees them: what is known of them, and the links to them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use zbus::zvariant::Value;

use super::bus::{Answer, Call, Reply, aborted, in_progress, not_connected, not_ready};
use super::daemon::{CHARACTERISTIC, DEVICE, OnWrite, Properties, SERVICE, State, adapter_path, object};
use super::{ALWAYS, Characteristic, Peripheral, Write};

/// A service and its characteristics have this many handles.
pub const HANDLES: usize = 0x20;
/// How long a link lives that is lost while services are discovered.
const VANISHES_AFTER: Duration = Duration::from_millis(20);

#[derive(Default)]
pub struct Device {
    pub peripheral: Peripheral,
    pub advertising: bool,
    /// What each adapter knows of it. There is an object where there is an entry.
    pub known: BTreeMap<String, Known>,
    pub link: Option<Link>,
    pub pending: Option<Pending>,
    pub paired: bool,
    pub needs_pairing: bool,
    /// How many connects to refuse.
    pub refusals: usize,
    pub hangs: bool,
    pub connect_delay: Duration,
    pub resolve_delay: Duration,
    pub vanishes: bool,
    pub connects: usize,
    pub fails_writes: bool,
    pub busy_writes: usize,
    pub write_delay: Duration,
    pub overlapping: usize,
    pub too_long: usize,
    pub heard: VecDeque<Write>,
    pub on_write: Option<OnWrite>,
}

pub struct Known {
    pub rssi: Option<i16>,
    pub name: Option<String>,
}

pub struct Link {
    pub id: u64,
    pub adapter: String,
    pub resolved: bool,
    /// Who is notified of a characteristic.
    pub subscribers: BTreeMap<(usize, usize), BTreeSet<u64>>,
    /// Requests that wait for the board, by their characteristic.
    pub requests: Vec<(u64, (usize, usize), Call)>,
}

pub struct Pending {
    pub id: u64,
    /// Whether its delay is over.
    pub due: bool,
    pub adapter: String,
    pub call: Call,
}

impl Device {
    pub fn path(&self, adapter: &str) -> String {
        let address = self.peripheral.address.replace(':', "_");
        format!("/org/bluez/{adapter}/dev_{address}")
    }

    pub fn service_path(&self, adapter: &str, service: usize) -> String {
        format!("{}/service{:04x}", self.path(adapter), 0x10 + service * HANDLES)
    }

    pub fn characteristic_path(&self, adapter: &str, (service, at): (usize, usize)) -> String {
        let handle = 0x11 + service * HANDLES + at * 2;
        format!("{}/char{handle:04x}", self.service_path(adapter, service))
    }

    pub fn linked(&self, adapter: &str) -> Option<&Link> {
        self.link.as_ref().filter(|link| link.adapter == adapter)
    }

    pub fn properties(&self, adapter: &str) -> Option<Properties> {
        let known = self.known.get(adapter)?;
        let link = self.linked(adapter);
        let address = &self.peripheral.address;
        let alias = known.name.clone().unwrap_or_else(|| address.replace(':', "-"));
        let mut properties = Properties::from([
            ("Adapter", object(adapter_path(adapter)).into()),
            ("Address", address.clone().into()),
            ("AddressType", "random".into()),
            ("Alias", alias.into()),
            ("Blocked", false.into()),
            ("Bonded", self.paired.into()),
            ("Connected", link.is_some().into()),
            ("LegacyPairing", false.into()),
            ("Paired", self.paired.into()),
            ("ServicesResolved", link.is_some_and(|link| link.resolved).into()),
            ("Trusted", false.into()),
            ("UUIDs", self.uuids(link.is_some_and(|link| link.resolved)).into()),
        ]);
        properties.extend(known.name.clone().map(|name| ("Name", name.into())));
        properties.extend(known.rssi.map(|rssi| ("RSSI", rssi.into())));
        properties.extend(self.manufacturer_data());
        Some(properties)
    }

    pub fn uuids(&self, resolved: bool) -> Vec<String> {
        let mut uuids = self.peripheral.uuids.clone();
        if resolved {
            uuids.extend(
                self.peripheral
                    .services
                    .iter()
                    .map(|service| service.uuid.clone()),
            );
        }
        uuids.sort();
        uuids.dedup();
        uuids
    }

    pub fn manufacturer_data(&self) -> Option<(&'static str, Value<'static>)> {
        let data = &self.peripheral.manufacturer_data;
        let data: HashMap<u16, Value> = data.iter().map(|(id, data)| (*id, data.clone().into())).collect();
        (!data.is_empty()).then(|| ("ManufacturerData", data.into()))
    }

    /// All characteristics, as service and place in it.
    pub fn characteristics(&self) -> Vec<(usize, usize)> {
        let services = self.peripheral.services.iter().enumerate();
        let places =
            services.flat_map(|(s, service)| (0..service.characteristics.len()).map(move |c| (s, c)));
        places.collect()
    }

    pub fn characteristic(&self, (service, at): (usize, usize)) -> &Characteristic {
        &self.peripheral.services[service].characteristics[at]
    }

    pub fn notifying(&self, uuid: Option<&str>) -> Option<(usize, usize)> {
        self.characteristics().into_iter().find(|at| {
            let characteristic = self.characteristic(*at);
            let notifies = characteristic
                .flags
                .iter()
                .any(|f| ["notify", "indicate"].contains(f));
            uuid.map_or(notifies, |uuid| uuid.eq_ignore_ascii_case(&characteristic.uuid))
        })
    }
}

impl State {
    pub fn connect(&mut self, board: usize, adapter: &str, call: &Call) -> Answer {
        if !self.adapters[adapter].powered {
            return Err(not_ready());
        }
        let id = self.number();
        let device = &mut self.boards[board];
        if device.linked(adapter).is_some() {
            return Ok(Reply::Empty);
        }
        if device.pending.is_some() {
            return Err(in_progress());
        }
        device.pending = Some(Pending {
            id,
            due: false,
            adapter: adapter.to_owned(),
            call: call.clone(),
        });
        let refused = device.refusals > 0;
        if refused && device.refusals != ALWAYS {
            device.refusals -= 1;
        }
        let delay = device.connect_delay;
        self.later(delay, move |state| {
            let pending = state.boards.get_mut(board).and_then(|d| d.pending.as_mut());
            let Some(pending) = pending.filter(|pending| pending.id == id) else {
                return;
            };
            pending.due = true;
            if refused {
                state.abort_connect(board, None);
            } else {
                state.try_connect(board);
            }
        });
        Ok(Reply::Sent)
    }

    /// Connects if somebody wants that and the board can be reached. Otherwise they wait on.
    pub fn try_connect(&mut self, board: usize) {
        let device = &mut self.boards[board];
        if !device.advertising || device.hangs || device.link.is_some() {
            return;
        }
        if let Some(pending) = device.pending.take_if(|pending| pending.due) {
            self.link(board, &pending.adapter, Some(&pending.call));
        }
    }

    /// Gives up a connect that waits, on this adapter or any.
    pub fn abort_connect(&mut self, board: usize, adapter: Option<&str>) -> bool {
        let pending = &mut self.boards[board].pending;
        let aborted_one = pending.take_if(|pending| adapter.is_none_or(|adapter| pending.adapter == adapter));
        aborted_one.map(|pending| pending.call.fail(aborted())).is_some()
    }

    pub fn link(&mut self, board: usize, adapter: &str, call: Option<&Call>) {
        let id = self.number();
        let device = &mut self.boards[board];
        let name = device.peripheral.name.clone();
        device.connects += usize::from(call.is_some());
        device.link = Some(Link {
            id,
            adapter: adapter.to_owned(),
            resolved: false,
            subscribers: BTreeMap::new(),
            requests: Vec::new(),
        });
        let (vanishes, delay) = (device.vanishes, device.resolve_delay);
        if !device.known.contains_key(adapter) {
            device
                .known
                .insert(adapter.to_owned(), Known { rssi: None, name });
            self.object_added(&self.boards[board].path(adapter));
        }
        self.device_changed(board, adapter, [("Connected", true.into())].into(), &[]);
        if let Some(call) = call {
            let _ = call.ok(&());
        }
        let delay = if vanishes { VANISHES_AFTER } else { delay };
        self.later(delay, move |state| {
            let link = state.boards.get(board).and_then(|d| d.link.as_ref());
            if link.is_none_or(|link| link.id != id) {
                return;
            }
            if vanishes {
                state.drop_link(board);
            } else {
                state.resolve(board);
            }
        });
    }

    pub fn resolve(&mut self, board: usize) {
        let device = &mut self.boards[board];
        let Some(link) = &mut device.link else {
            return;
        };
        link.resolved = true;
        let adapter = link.adapter.clone();
        for path in self.attributes(board, &adapter).into_iter().map(|(path, _)| path) {
            self.object_added(&path);
        }
        let uuids = self.boards[board].uuids(true);
        let properties = [("UUIDs", uuids.into()), ("ServicesResolved", true.into())];
        self.device_changed(board, &adapter, properties.into(), &[]);
    }

    /// The objects of a device's services, and their interface.
    pub fn attributes(&self, board: usize, adapter: &str) -> Vec<(String, &'static str)> {
        let device = &self.boards[board];
        let services = 0..device.peripheral.services.len();
        let services = services.map(|s| (device.service_path(adapter, s), SERVICE));
        let characteristics = device.characteristics().into_iter();
        let characteristics =
            characteristics.map(|at| (device.characteristic_path(adapter, at), CHARACTERISTIC));
        services.chain(characteristics).collect()
    }

    pub fn drop_link(&mut self, board: usize) {
        let Some(link) = self.boards[board].link.take() else {
            return;
        };
        for (.., call) in link.requests {
            call.fail(not_connected());
        }
        let properties = [("Connected", false.into()), ("ServicesResolved", false.into())];
        self.device_changed(board, &link.adapter, properties.into(), &[]);
        if link.resolved {
            for (path, interface) in self.attributes(board, &link.adapter).into_iter().rev() {
                self.object_removed(&path, interface);
            }
        }
        // Another adapter may have waited for it.
        self.try_connect(board);
    }

    /// Removes a device's object, as happens to one that was not seen for a while.
    pub fn forget(&mut self, board: usize, adapter: &str) {
        self.abort_connect(board, Some(adapter));
        if self.boards[board].linked(adapter).is_some() {
            self.drop_link(board);
        }
        let device = &mut self.boards[board];
        if device.known.remove(adapter).is_some() {
            let path = device.path(adapter);
            self.object_removed(&path, DEVICE);
        }
    }

    pub fn forget_everywhere(&mut self, board: usize) {
        let known: Vec<String> = self.boards[board].known.keys().cloned().collect();
        known.iter().for_each(|adapter| self.forget(board, adapter));
    }

    /// Whether somebody heard it.
    pub fn notify(&mut self, board: usize, uuid: Option<&str>, value: &[u8]) -> bool {
        let Some(device) = self.boards.get(board) else {
            return false;
        };
        let at = device.notifying(uuid).expect("a characteristic that notifies");
        let Some(link) = device
            .link
            .as_ref()
            .filter(|link| link.subscribers.contains_key(&at))
        else {
            return false;
        };
        let path = device.characteristic_path(&link.adapter, at);
        let properties = [("Value", value.to_vec().into())].into();
        self.changed(&path, CHARACTERISTIC, properties, &[]) > 0
    }

    pub fn unsubscribe(&mut self, board: usize, at: (usize, usize), client: u64) -> bool {
        let device = &mut self.boards[board];
        let Some(link) = &mut device.link else {
            return false;
        };
        let Some(subscribers) = link.subscribers.get_mut(&at) else {
            return false;
        };
        let was = subscribers.remove(&client);
        if subscribers.is_empty() {
            link.subscribers.remove(&at);
            let adapter = link.adapter.clone();
            let path = device.characteristic_path(&adapter, at);
            self.changed(&path, CHARACTERISTIC, [("Notifying", false.into())].into(), &[]);
        }
        was
    }
}
