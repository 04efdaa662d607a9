//! Looking at what is near, and into one peripheral, for people; the gateway itself does not use this.

mod ask;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use btleplug::api::{
    Central as _, CentralEvent, CharPropFlags, Characteristic, Peripheral as _, ScanFilter, Service,
    ValueNotification,
};
use btleplug::platform::{Adapter, Manager, Peripheral, PeripheralId};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::radio::first_adapter;
use super::seen::query;
use super::system::{Change, System, Unavailable, is_busy};
use crate::advice::Advice;
use crate::defaults::{BLE_CONNECT_TIMEOUT, BLE_DISCONNECT_TIMEOUT, BLE_STEP_TIMEOUT, BLE_SWEEP};
use crate::device::peripheral::{PeripheralAddress, Seen, Wanted};
pub use ask::{AskError, ConnectOptions};

/// Time for a peripheral to answer what one of its characteristics holds.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is no Bluetooth.
    #[error("no Bluetooth: {0}")]
    Unavailable(Unavailable),
    /// It went while it was looked at.
    #[error("Bluetooth went away: {0}")]
    Gone(String),
    /// The peripheral was not seen.
    #[error("{address} was not seen within {} s", within.as_secs())]
    NotSeen {
        /// Which one.
        address: String,
        /// How long it was looked for.
        within: Duration,
    },
    /// It was seen, and did not do what was asked of it.
    #[error("{address}: {what} failed: {problem}")]
    Failed {
        /// Which peripheral.
        address: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        problem: String,
    },
    /// It went while it was listened to.
    #[error("{0} disconnected")]
    Disconnected(String),
}

impl Advice for ScanError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Unavailable(unavailable) => unavailable.hint,
            Self::Gone(_) => "try again once it is back",
            Self::NotSeen { .. } => {
                "is it on, and near? One that another central holds, such as a phone, does not advertise"
            }
            Self::Failed { .. } => {
                "try again nearer to it; restarting it helps where another central held it"
            }
            Self::Disconnected(_) => "is it near enough, and its battery full?",
        };
        Some(hint.into())
    }
}

/// An adapter that looks around. Lives on a current-thread runtime of its own, as all of btleplug must.
pub struct Scanner {
    system: System,
    _manager: Manager,
    adapter: Adapter,
    events: BoxStream<'static, CentralEvent>,
    /// Those whose name was not known; nothing tells when it is.
    nameless: BTreeSet<PeripheralId>,
    sweep: tokio::time::Interval,
    /// The ids of the peripherals that were seen, by address.
    ids: HashMap<String, PeripheralId>,
    /// Notification streams of peripherals that were asked, kept because the library cannot drop one safely while
    /// signals arrive.
    kept: Vec<BoxStream<'static, ValueNotification>>,
}

impl Scanner {
    /// Starts to scan.
    ///
    /// # Errors
    /// There is no adapter that is on.
    pub async fn start() -> Result<Self, ScanError> {
        let system = System::open().await.map_err(ScanError::Unavailable)?;
        let explain = |e| ScanError::Unavailable(System::explain(&e));
        let manager = system.manager().await.map_err(explain)?;
        let (adapter, _) = first_adapter(&system, &manager)
            .await
            .map_err(ScanError::Unavailable)?;
        let events = adapter.events().await.map_err(explain)?;
        match adapter.start_scan(ScanFilter::default()).await {
            Err(e) if !is_busy(&e) => return Err(explain(e)),
            _ => {}
        }
        let mut sweep = tokio::time::interval(BLE_SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Ok(Self {
            system,
            _manager: manager,
            adapter,
            events,
            nameless: BTreeSet::new(),
            sweep,
            ids: HashMap::new(),
            kept: Vec::new(),
        })
    }

    /// The next peripheral that was seen, or seen again. Not cancel safe: one that was being looked at is lost.
    ///
    /// # Errors
    /// Bluetooth went.
    pub async fn next(&mut self) -> Result<Seen, ScanError> {
        loop {
            let id = tokio::select! {
                change = self.system.changed() => match change {
                    Change::Lost(why) => return Err(ScanError::Gone(why.to_owned())),
                    Change::AdapterGone(_) | Change::Perhaps => continue,
                },
                event = self.events.next() => match event {
                    Some(event) => match id_of(event) {
                        Some(id) => id,
                        None => continue,
                    },
                    None => return Err(ScanError::Gone("its events ended".to_owned())),
                },
                _ = self.sweep.tick() => match self.nameless.pop_first() {
                    Some(id) => id,
                    None => continue,
                },
            };
            if let Some((_, seen)) = query(&self.adapter, &id).await {
                self.ids.insert(seen.address.clone(), id.clone());
                if seen.name.is_none() {
                    self.nameless.insert(id);
                } else {
                    self.nameless.remove(&id);
                }
                return Ok(seen);
            }
        }
    }

    /// Connects to one peripheral, once it was seen.
    ///
    /// # Errors
    /// It is not there, or does not do what is asked of it.
    pub async fn inspect(
        mut self,
        wanted: &PeripheralAddress,
        within: Duration,
    ) -> Result<Inspected, ScanError> {
        let address = wanted.to_string();
        let one = Wanted {
            address: Some(wanted.clone()),
            ..Wanted::default()
        };
        let found = timeout(within, async {
            loop {
                let id = match self.events.next().await.map(id_of) {
                    None => return Err(ScanError::Gone("its events ended".to_owned())),
                    Some(None) => continue,
                    Some(Some(id)) => id,
                };
                if let Some((peripheral, seen)) = query(&self.adapter, &id).await
                    && one.takes(&seen)
                    && (seen.connected || seen.rssi.is_some())
                {
                    return Ok((peripheral, seen));
                }
            }
        });
        let (peripheral, seen) = found.await.unwrap_or_else(|_| {
            Err(ScanError::NotSeen {
                address: address.clone(),
                within,
            })
        })?;
        // Many adapters connect badly while they scan.
        let _ = self.adapter.stop_scan().await;
        let failed = |what| {
            let address = address.clone();
            move |problem| ScanError::Failed {
                address,
                what,
                problem,
            }
        };
        if let Err(problem) = connect(&self.system, &peripheral).await {
            // Only this takes back the order to connect.
            let _ = timeout(BLE_DISCONNECT_TIMEOUT, peripheral.disconnect()).await;
            return Err(failed("connecting")(problem));
        }
        let mut inspected = Inspected {
            seen,
            mtu: 0,
            services: BTreeSet::new(),
            peripheral,
            events: self.events,
            notifications: futures::stream::empty().boxed(),
            _system: self.system,
            _manager: self._manager,
        };
        match limited(BLE_STEP_TIMEOUT, inspected.peripheral.discover_services()).await {
            Ok(()) => {
                inspected.services = inspected.peripheral.services();
                inspected.mtu = inspected.peripheral.mtu();
                Ok(inspected)
            }
            Err(problem) => {
                inspected.let_go().await;
                Err(failed("finding its services")(problem))
            }
        }
    }

    /// Stops scanning for good: many adapters connect badly while they scan.
    pub async fn stop(&self) {
        let _ = timeout(BLE_DISCONNECT_TIMEOUT, self.adapter.stop_scan()).await;
    }
}

fn id_of(event: CentralEvent) -> Option<PeripheralId> {
    match event {
        CentralEvent::DeviceDiscovered(id)
        | CentralEvent::DeviceUpdated(id)
        | CentralEvent::DeviceConnected(id)
        | CentralEvent::DeviceDisconnected(id)
        | CentralEvent::DeviceServicesModified(id)
        | CentralEvent::ManufacturerDataAdvertisement { id, .. }
        | CentralEvent::ServiceDataAdvertisement { id, .. }
        | CentralEvent::ServicesAdvertisement { id, .. }
        | CentralEvent::RssiUpdate { id, .. } => Some(id),
        CentralEvent::StateUpdate(_) => None,
    }
}

async fn limited<T>(limit: Duration, does: impl Future<Output = btleplug::Result<T>>) -> Result<T, String> {
    match timeout(limit, does).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

async fn connect(system: &System, peripheral: &Peripheral) -> Result<(), String> {
    let connected = timeout(BLE_CONNECT_TIMEOUT, system.calls().connect(peripheral)).await;
    connected.unwrap_or_else(|_| Err(format!("no answer within {} s", BLE_CONNECT_TIMEOUT.as_secs())))
}

/// A peripheral that is connected, and what it has.
pub struct Inspected {
    /// What was known before.
    pub seen: Seen,
    /// The largest packet, in bytes; three of them are no value.
    pub mtu: u16,
    /// Its services.
    pub services: BTreeSet<Service>,
    peripheral: Peripheral,
    // Both are kept to the end: what the library drops, it drops badly while signals come.
    events: BoxStream<'static, CentralEvent>,
    notifications: BoxStream<'static, ValueNotification>,
    _system: System,
    _manager: Manager,
}

impl Inspected {
    /// What a characteristic holds; `None` where it cannot be read at all.
    ///
    /// # Errors
    /// What the peripheral answered instead.
    pub async fn read(&self, characteristic: &Characteristic) -> Option<Result<Vec<u8>, String>> {
        let readable = characteristic.properties.contains(CharPropFlags::READ);
        readable.then_some(())?;
        Some(limited(READ_TIMEOUT, self.peripheral.read(characteristic)).await)
    }

    /// Listens to every characteristic that speaks; tells which, and which cannot be listened to.
    ///
    /// # Errors
    /// None can be followed.
    pub async fn listen(&mut self) -> Result<Vec<(Uuid, Result<(), String>)>, ScanError> {
        let stream = self.peripheral.notifications().await;
        let stream = stream.map_err(|e| ScanError::Failed {
            address: self.seen.address.clone(),
            what: "following its notifications",
            problem: e.to_string(),
        })?;
        self.notifications = stream;
        let speaks = CharPropFlags::NOTIFY | CharPropFlags::INDICATE;
        let mut told = Vec::new();
        for characteristic in self.services.iter().flat_map(|s| &s.characteristics) {
            if characteristic.properties.intersects(speaks) {
                let subscribed = limited(BLE_STEP_TIMEOUT, self.peripheral.subscribe(characteristic)).await;
                told.push((characteristic.uuid, subscribed));
            }
        }
        Ok(told)
    }

    /// The next thing that it says: which characteristic, and its value. Cancel safe.
    ///
    /// # Errors
    /// It went.
    pub async fn next(&mut self) -> Result<(Uuid, Bytes), ScanError> {
        loop {
            tokio::select! {
                Some(said) = self.notifications.next() => {
                    return Ok((said.uuid, Bytes::from(said.value)));
                }
                event = self.events.next() => match event {
                    Some(CentralEvent::DeviceDisconnected(id)) if id == self.peripheral.id() => {
                        return Err(ScanError::Disconnected(self.seen.address.clone()));
                    }
                    Some(_) => {}
                    None => return Err(ScanError::Gone("its events ended".to_owned())),
                },
            }
        }
    }

    /// Disconnects, unless it was connected before.
    pub async fn let_go(self) {
        if !self.seen.connected {
            let _ = timeout(BLE_DISCONNECT_TIMEOUT, self.peripheral.disconnect()).await;
        }
    }
}
