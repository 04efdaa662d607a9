//! A fake BlueZ: the bus and bluetoothd in one. Real btleplug reaches it through `DBUS_SYSTEM_BUS_ADDRESS`.
//!
//! It runs on a thread of its own, because libdbus connects with blocking calls. What waits here has no
//! deadline of its own. Times are real ones, also in a test that has paused its clock.
#![allow(dead_code, reason = "each user takes its part")]

// With paths, so that this also works where a `#[path]` brought this file in.
#[path = "bluez/board.rs"]
mod board;
#[path = "bluez/bus.rs"]
mod bus;
#[path = "bluez/daemon.rs"]
mod daemon;
#[path = "bluez/device.rs"]
mod device;
#[path = "bluez/objects.rs"]
mod objects;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub use board::Board;
use daemon::{Change, State, Todo};

/// For a count that never runs out.
pub const ALWAYS: usize = usize::MAX;

/// The Nordic UART service, what is written to it, and what it notifies.
pub const NUS: &str = "6e400001-b5a3-f393-e0a9-e50e24dcca9e";
pub const NUS_WRITE: &str = "6e400002-b5a3-f393-e0a9-e50e24dcca9e";
pub const NUS_NOTIFY: &str = "6e400003-b5a3-f393-e0a9-e50e24dcca9e";
/// The serial port of HM-10 modules: one characteristic for both directions.
pub const HM10: &str = "0000ffe0-0000-1000-8000-00805f9b34fb";
pub const HM10_DATA: &str = "0000ffe1-0000-1000-8000-00805f9b34fb";
/// A service of Lovense toys, where they are written to, and where they speak.
const LOVENSE_SERVICE: [&str; 3] = [
    "53300001-0023-4bd4-bbd5-a6920e4c5653",
    "53300002-0023-4bd4-bbd5-a6920e4c5653",
    "53300003-0023-4bd4-bbd5-a6920e4c5653",
];

/// How often a board advertises: the shortest interval that Bluetooth allows.
const ADVERTISING_INTERVAL: Duration = Duration::from_millis(20);

/// What a board is, before it is plugged in.
#[derive(Clone, Debug, Default)]
pub struct Peripheral {
    pub address: String,
    pub name: Option<String>,
    pub rssi: i16,
    /// The UUIDs that it advertises.
    pub uuids: Vec<String>,
    pub manufacturer_data: HashMap<u16, Vec<u8>>,
    pub services: Vec<Service>,
    pub mtu: u16,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub uuid: String,
    pub characteristics: Vec<Characteristic>,
}

#[derive(Clone, Debug)]
pub struct Characteristic {
    pub uuid: String,
    pub flags: Vec<&'static str>,
    /// What reading gives.
    pub value: Vec<u8>,
}

impl Peripheral {
    /// A board without a name or services.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_uppercase(),
            rssi: -60,
            mtu: 247,
            ..Self::default()
        }
    }

    /// A board with the Nordic UART service, which it advertises.
    pub fn nus(address: &str, name: &str) -> Self {
        Self::new(address).name(name).advertises(NUS).service(
            NUS,
            &[
                (NUS_WRITE, &["write", "write-without-response"]),
                (NUS_NOTIFY, &["notify"]),
            ],
        )
    }

    /// An HM-10 module.
    pub fn hm10(address: &str, name: &str) -> Self {
        Self::new(address).name(name).mtu(23).advertises(HM10).service(
            HM10,
            &[(HM10_DATA, &["read", "write-without-response", "notify"])],
        )
    }

    /// A Lovense toy; for what it answers see `bluetooth::be_lovense`.
    pub fn lovense(address: &str, name: &str) -> Self {
        let [service, write, notify] = LOVENSE_SERVICE;
        Self::new(address).name(name).advertises(service).service(
            service,
            &[
                (write, &["write", "write-without-response"]),
                (notify, &["notify"]),
            ],
        )
    }

    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub fn rssi(mut self, rssi: i16) -> Self {
        self.rssi = rssi;
        self
    }

    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = mtu;
        self
    }

    /// One more UUID in its advertisements.
    pub fn advertises(mut self, uuid: &str) -> Self {
        self.uuids.push(uuid.to_owned());
        self
    }

    pub fn manufacturer_data(mut self, company: u16, data: &[u8]) -> Self {
        self.manufacturer_data.insert(company, data.to_vec());
        self
    }

    /// One more service, of characteristics with their flags; at most 15.
    pub fn service(mut self, uuid: &str, characteristics: &[(&str, &[&'static str])]) -> Self {
        let characteristics = characteristics.iter().map(|(uuid, flags)| Characteristic {
            uuid: (*uuid).to_owned(),
            flags: flags.to_vec(),
            value: Vec::new(),
        });
        self.services.push(Service {
            uuid: uuid.to_owned(),
            characteristics: characteristics.collect(),
        });
        self
    }
}

/// What a board was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The UUID of the characteristic.
    pub characteristic: String,
    pub value: Vec<u8>,
    /// `request`, which is answered, or `command`.
    pub kind: String,
}

/// The state, and how to wait for it to change.
struct Fake {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    handle: Handle,
    guid: zbus::Guid<'static>,
    socket: std::path::PathBuf,
}

impl Fake {
    /// Changes the state, and then does what follows from it without holding it.
    fn with<T>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, todo) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = change(&mut state);
            (result, std::mem::take(&mut state.todo))
        };
        for todo in todo {
            match todo {
                Todo::Later(delay, change) => {
                    let fake = self.clone();
                    self.handle.spawn(async move {
                        tokio::time::sleep(delay).await;
                        fake.with(change);
                    });
                }
                Todo::Answer(board, answer, value) => {
                    for notification in answer(&value) {
                        let notify: Change = Box::new(move |state| {
                            state.notify(board, None, &notification);
                        });
                        self.with(notify);
                    }
                }
            }
        }
        self.changed.send_replace(());
        result
    }

    /// Waits until the state gives something.
    async fn until<T>(self: &Arc<Self>, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            let found = look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(found) = found {
                return found;
            }
            changed.changed().await.expect("the sender is ours");
        }
    }
}

/// The fake. Dropping it cuts every client and forgets everything.
pub struct Bluez {
    fake: Arc<Fake>,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _home: tempfile::TempDir,
}

impl Drop for Bluez {
    fn drop(&mut self) {
        self.kill_bus();
        // An answer may hold its board, and a board holds the state.
        self.fake.with(|state| state.boards.clear());
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Bluez {
    /// A bus with a daemon that has one adapter, `hci0`, powered. Needs no runtime.
    pub fn start() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (stop, stopped) = oneshot::channel();
        let (tell, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("bluez".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                let _ = tell.send(runtime.handle().clone());
                let _ = runtime.block_on(stopped);
            });
        let fake = Arc::new(Fake {
            state: Mutex::default(),
            changed: watch::Sender::default(),
            handle: started.recv().expect("the thread runs"),
            guid: zbus::Guid::generate(),
            socket: home.path().join("bus"),
        });
        fake.with(|state| state.add_adapter("hci0", true));
        let advertiser = fake.clone();
        fake.handle.spawn(async move {
            let mut ticks = tokio::time::interval(ADVERTISING_INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                advertiser.with(State::advertisements);
            }
        });
        let bluez = Self {
            fake,
            stop: Some(stop),
            thread: Some(thread.expect("a thread")),
            _home: home,
        };
        bluez.revive_bus();
        bluez
    }

    /// For `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn bus_address(&self) -> String {
        format!("unix:path={}", self.fake.socket.display())
    }

    /// Cuts every client and refuses new ones. The daemon goes with its bus, as the real one does.
    pub fn kill_bus(&self) {
        let _ = std::fs::remove_file(&self.fake.socket);
        self.fake.with(State::close_bus);
    }

    /// Listens at the same address again, and starts the daemon.
    pub fn revive_bus(&self) {
        let _inside = self.fake.handle.enter();
        let listener = tokio::net::UnixListener::bind(&self.fake.socket).expect("a socket");
        let accepting = self.fake.handle.spawn(bus::accept(self.fake.clone(), listener));
        self.fake.with(|state| {
            state.open_bus(accepting.abort_handle());
            state.start_daemon();
        });
    }

    /// bluetoothd ends: links drop, objects go without a signal, and the name has no owner.
    pub fn stop_daemon(&self) {
        self.fake.with(State::stop_daemon);
    }

    /// bluetoothd starts again. It knows its adapters, and no boards until they advertise.
    pub fn start_daemon(&self) {
        self.fake.with(State::start_daemon);
    }

    pub fn add_adapter(&self, name: &str, powered: bool) {
        self.fake.with(|state| state.add_adapter(name, powered));
    }

    /// Pulls an adapter out, with everything that was on it.
    pub fn remove_adapter(&self, name: &str) {
        self.fake.with(|state| state.remove_adapter(name));
    }

    /// Off drops every link and ends the discovery.
    pub fn set_powered(&self, name: &str, powered: bool) {
        let done = self.fake.with(|state| state.set_powered(name, powered));
        done.unwrap_or_else(|_| panic!("{name} is missing or blocked"));
    }

    /// Switches an adapter off as rfkill does, so that it cannot be switched on; or lets it go, still off.
    pub fn block(&self, name: &str, blocked: bool) {
        self.fake.with(|state| state.block(name, blocked));
    }

    pub fn powered(&self, name: &str) -> bool {
        self.fake
            .with(|state| state.adapters.get(name).is_some_and(|a| a.powered))
    }

    /// So many calls to start discovering fail, as just after the adapter was switched on.
    pub fn fail_discoveries(&self, times: usize) {
        self.fake.with(|state| state.discovery_failures = times);
    }

    /// Advertisements of boards that were known already.
    pub fn advertisements(&self) -> usize {
        self.fake.with(|state| state.adverts)
    }

    /// Whether somebody discovers, on any adapter.
    pub fn discovering(&self) -> bool {
        self.fake.with(|state| state.discovering())
    }

    pub async fn wait_discovering(&self, wanted: bool) {
        self.fake
            .until(|state| (state.discovering() == wanted).then_some(()))
            .await;
    }

    /// Puts a board in reach of every adapter. It is silent until it is told to advertise.
    pub fn plug(&self, peripheral: Peripheral) -> Board {
        let board = self.fake.with(|state| state.plug(peripheral));
        Board::new(self.fake.clone(), board)
    }

    /// How many match rules the clients have set.
    pub fn match_rules(&self) -> usize {
        self.fake
            .with(|state| state.clients.values().map(|c| c.rules.len()).sum())
    }

    /// How many clients have said hello.
    pub fn clients(&self) -> usize {
        self.fake
            .with(|state| state.clients.values().filter(|c| c.greeted).count())
    }

    pub async fn wait_clients(&self, wanted: usize) {
        self.fake
            .until(|state| (state.clients.values().filter(|c| c.greeted).count() == wanted).then_some(()))
            .await;
    }

    pub async fn wait_match_rules(&self, wanted: usize) {
        self.fake
            .until(|state| {
                let rules: usize = state.clients.values().map(|c| c.rules.len()).sum();
                (rules == wanted).then_some(())
            })
            .await;
    }

    /// How often each method was called, by its name.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.fake.with(|state| state.calls.clone())
    }
}
