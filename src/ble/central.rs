//! One adapter at work: what is seen, which entry takes it, and when to look for more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use btleplug::api::{Central as _, CentralEvent, CentralState, Peripheral as _, ScanFilter};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};
use futures::StreamExt;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{debug, info, warn};

use super::peripheral::{Over, Visit, Voice};
use super::radio::Ended;
use super::system::{Calls, is_busy};
use super::wanted::Seen;
use super::{Arrival, Trouble};
use crate::backoff::Backoff;
use crate::config::BleSettings;
use crate::defaults::{BLE_ADAPTER_RETRY, BLE_SWEEP, BLE_UNSEEN_HINT, GOOD_AFTER};
use crate::link::ble::Gone;

/// Peripherals that an entry takes and that are remembered while they are away: one whose address changes every few
/// minutes is another one each time, and each costs a match rule on the bus, of which there are 512.
const BOARDS_MAX: usize = 128;
/// Peripherals that nobody wants and that are remembered as such: phones change their address every few minutes.
const OTHERS_MAX: usize = 10_000;

/// The peripherals of one adapter.
pub(super) struct Central {
    adapter: Adapter,
    entries: Arc<Vec<BleSettings>>,
    arrivals: mpsc::Sender<Arrival>,
    calls: Calls,
    /// Those that an entry takes, whether they are there or not.
    boards: HashMap<PeripheralId, Board>,
    visits: JoinMap<PeripheralId, Over>,
    /// What is known of each entry.
    looks: Vec<Look>,
    /// Those that no entry takes.
    others: HashSet<PeripheralId>,
    /// Of those, the ones that had no name yet.
    nameless: HashSet<PeripheralId>,
    /// What was passed over, and told once.
    passed_over: HashSet<(PeripheralId, &'static str)>,
    scanning: bool,
    /// Scanning failed: not before this.
    scan_again: Option<Instant>,
    scan_trouble: String,
    gone: Gone,
}

/// A peripheral that an entry takes.
struct Board {
    entry: usize,
    /// What is said of it.
    name: String,
    /// Whether it is connected, by the adapter's events.
    link: watch::Sender<bool>,
    /// With its services, once it was connected.
    peripheral: Peripheral,
    voice: Arc<Mutex<Voice>>,
    /// When it was last taken.
    taken: Instant,
    /// Somebody connects to it, or has.
    busy: bool,
    backoff: Backoff,
    refused: Backoff,
    /// It is left alone until then.
    next: Option<Instant>,
    /// The last trouble that was told.
    said: String,
}

/// Whether something of an entry was seen.
struct Look {
    last: Instant,
    hinted: bool,
}

impl Central {
    pub(super) fn new(
        adapter: Adapter,
        entries: Arc<Vec<BleSettings>>,
        arrivals: mpsc::Sender<Arrival>,
        calls: Calls,
        gone: Gone,
    ) -> Self {
        let look = || Look {
            last: Instant::now(),
            hinted: false,
        };
        Self {
            looks: entries.iter().map(|_| look()).collect(),
            adapter,
            entries,
            arrivals,
            calls,
            boards: HashMap::new(),
            visits: JoinMap::new(),
            others: HashSet::new(),
            nameless: HashSet::new(),
            passed_over: HashSet::new(),
            scanning: false,
            scan_again: None,
            scan_trouble: String::new(),
            gone,
        }
    }

    /// Connects to what is wanted, until `stop` is cancelled and all of it was let go, or Bluetooth is switched off.
    /// May be dropped when Bluetooth is gone.
    pub(super) async fn serve(&mut self, stop: &CancellationToken) -> Ended {
        let mut events = match self.adapter.events().await {
            Ok(events) => events,
            Err(e) => return Ended::Gone(format!("its events cannot be followed: {e}")),
        };
        let mut sweep = interval(BLE_SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = stop.is_cancelled();
            if stopping && self.visits.is_empty() {
                self.stop_scan().await;
                return Ended::Stopped;
            }
            self.scan_as_needed(stopping).await;
            let again = self.boards.iter().filter(|(_, board)| !board.busy);
            let again = again.filter_map(|(id, board)| Some((board.next?, id.clone())));
            let again = again.min_by_key(|(at, _)| *at);
            let at = again.as_ref().map_or_else(Instant::now, |(at, _)| *at);
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {}
                Some((id, visited)) = self.visits.join_next() => {
                    let over = visited.unwrap_or_else(|e| Over::Failed(Trouble {
                        what: format!("its task ended in a fault inside the gateway or its library: {e}"),
                        hint: "please report this, with the lines before it".to_owned(),
                    }));
                    self.over(&id, over);
                }
                event = events.next() => match event {
                    Some(CentralEvent::StateUpdate(CentralState::PoweredOff)) => {
                        return Ended::Gone("it was switched off".to_owned());
                    }
                    Some(event) => self.event(event, stop).await,
                    None => return Ended::Gone("its events ended".to_owned()),
                },
                () = sleep_until(at), if again.is_some() => {
                    if let Some((_, id)) = again {
                        if let Some(board) = self.boards.get_mut(&id) {
                            board.next = None;
                        }
                        self.look(&id, stop).await;
                    }
                }
                _ = sweep.tick(), if self.scanning => self.sweep(stop).await,
            }
        }
    }

    async fn event(&mut self, event: CentralEvent, stop: &CancellationToken) {
        match event {
            CentralEvent::DeviceConnected(id) => {
                self.link_is(&id, true);
                self.others.remove(&id);
                self.look(&id, stop).await;
            }
            CentralEvent::DeviceDisconnected(id) => self.link_is(&id, false),
            // Comes many times a second from everything near.
            CentralEvent::RssiUpdate { id, .. } => {
                if !self.others.contains(&id) {
                    self.look(&id, stop).await;
                }
            }
            CentralEvent::DeviceDiscovered(id)
            | CentralEvent::DeviceUpdated(id)
            | CentralEvent::DeviceServicesModified(id)
            | CentralEvent::ManufacturerDataAdvertisement { id, .. }
            | CentralEvent::ServiceDataAdvertisement { id, .. }
            | CentralEvent::ServicesAdvertisement { id, .. } => {
                self.others.remove(&id);
                self.look(&id, stop).await;
            }
            CentralEvent::StateUpdate(_) => {}
        }
    }

    fn link_is(&mut self, id: &PeripheralId, up: bool) {
        if let Some(board) = self.boards.get(id) {
            board.link.send_replace(up);
        }
    }

    /// Looks at what no event tells of: names that came late, and peripherals that are as strong as they were.
    async fn sweep(&mut self, stop: &CancellationToken) {
        let waiting = self.boards.iter().filter(|(_, board)| !board.busy);
        let waiting = waiting.map(|(id, _)| id.clone());
        let ids: Vec<PeripheralId> = waiting.chain(self.nameless.iter().cloned()).collect();
        for id in ids {
            self.look(&id, stop).await;
        }
        for n in 0..self.looks.len() {
            if self.is_busy(n) {
                continue;
            }
            let look = &mut self.looks[n];
            if !look.hinted && look.last.elapsed() >= BLE_UNSEEN_HINT {
                look.hinted = true;
                warn!(
                    "ble.{n} ({}): not seen for {} s; is it on, and near? A board that another central holds, such as \
                     a phone or an app on another machine, does not advertise",
                    self.entries[n].wanted,
                    BLE_UNSEEN_HINT.as_secs()
                );
            }
        }
    }

    fn is_busy(&self, entry: usize) -> bool {
        self.boards
            .values()
            .any(|board| board.entry == entry && board.busy)
    }

    /// Looks at one peripheral, and connects to it where an entry takes it and it is there.
    async fn look(&mut self, id: &PeripheralId, stop: &CancellationToken) {
        let now = Instant::now();
        let left_alone = |board: &Board| board.busy || board.next.is_some_and(|next| next > now);
        if stop.is_cancelled() || self.boards.get(id).is_some_and(left_alone) {
            return;
        }
        let Some((peripheral, seen)) = see(&self.adapter, id).await else {
            self.nameless.remove(id);
            return;
        };
        let Some(n) = self.entries.iter().position(|entry| entry.wanted.takes(&seen)) else {
            if self.others.len() >= OTHERS_MAX {
                self.passed_over.clear();
                self.others.clear();
                self.nameless.clear();
            }
            self.others.insert(id.clone());
            if seen.name.is_none() {
                self.nameless.insert(id.clone());
            } else {
                self.nameless.remove(id);
            }
            return;
        };
        self.nameless.remove(id);
        // The system remembers peripherals that are not there.
        if seen.connected || seen.rssi.is_some() {
            self.found(id, peripheral, seen, n, stop);
        }
    }

    fn found(
        &mut self,
        id: &PeripheralId,
        peripheral: Peripheral,
        seen: Seen,
        n: usize,
        stop: &CancellationToken,
    ) {
        let entry = self.entries[n].clone();
        let other_is_there = entry.wanted.is_one() && self.is_busy(n);
        let look = &mut self.looks[n];
        look.last = Instant::now();
        look.hinted = false;
        let name = match &seen.name {
            Some(name) => format!("ble {} {name:?}", seen.address),
            None => format!("ble {}", seen.address),
        };
        if let (Some(rssi), Some(min), false) = (seen.rssi, entry.min_rssi, seen.connected)
            && rssi < min
        {
            if self.passed_over.insert((id.clone(), "weak")) {
                info!("{name}: left alone: at {rssi} dBm it is weaker than min_rssi, {min}");
            }
            return;
        }
        if other_is_there {
            if self.passed_over.insert((id.clone(), "another")) {
                info!(
                    "{name}: left alone: ble.{n} ({}) has another one; a * in the name takes all of them",
                    entry.wanted
                );
            }
            return;
        }
        if self.boards.len() >= BOARDS_MAX && !self.boards.contains_key(id) {
            self.forget_one();
        }
        let board = self.boards.entry(id.clone()).or_insert_with(|| Board {
            entry: n,
            name: name.clone(),
            link: watch::Sender::new(false),
            peripheral,
            voice: Arc::default(),
            taken: Instant::now(),
            busy: false,
            backoff: Backoff::new(entry.retry_min, entry.retry_max, GOOD_AFTER),
            refused: Backoff::after_refusals(),
            next: None,
            said: String::new(),
        });
        board.busy = true;
        board.taken = Instant::now();
        board.name = name;
        debug!("{}: {} dBm, taken by ble.{n}", board.name, seen.rssi.unwrap_or(0));
        let visit = Visit {
            peripheral: board.peripheral.clone(),
            voice: board.voice.clone(),
            seen,
            entry: n,
            settings: entry,
            link: board.link.subscribe(),
            arrivals: self.arrivals.clone(),
            calls: self.calls.clone(),
            gone: self.gone.clone(),
            stop: stop.clone(),
        };
        self.visits.spawn(id.clone(), visit.run());
    }

    /// Forgets the one that has been away for longest.
    fn forget_one(&mut self) {
        let away = self.boards.iter().filter(|(_, board)| !board.busy);
        let longest = away
            .min_by_key(|(_, board)| board.taken)
            .map(|(id, _)| id.clone());
        if let Some(id) = longest {
            self.boards.remove(&id);
        }
    }

    /// A peripheral is not connected any more, or never was.
    fn over(&mut self, id: &PeripheralId, over: Over) {
        let Some(board) = self.boards.get_mut(id) else {
            return;
        };
        board.busy = false;
        let look = &mut self.looks[board.entry];
        look.last = Instant::now();
        let pause = match over {
            Over::Stopped => return,
            Over::After(lasted) => {
                board.said.clear();
                board.backoff.connected_for(lasted);
                board.backoff.next_delay()
            }
            Over::Later(lasted) => {
                board.refused.connected_for(lasted);
                board.refused.next_delay()
            }
            Over::Refused(trouble) => {
                board.say(&trouble);
                board.refused.next_delay()
            }
            Over::Failed(trouble) => {
                board.say(&trouble);
                board.backoff.next_delay()
            }
        };
        board.next = Some(Instant::now() + pause);
    }

    /// Scans while something is wanted that is not there.
    async fn scan_as_needed(&mut self, stopping: bool) {
        let wanted = |(n, entry): (usize, &BleSettings)| !entry.wanted.is_one() || !self.is_busy(n);
        let wanted = !stopping && self.entries.iter().enumerate().any(wanted);
        if !wanted {
            self.stop_scan().await;
            return;
        }
        if self.scanning || self.scan_again.is_some_and(|at| at > Instant::now()) {
            return;
        }
        match self.adapter.start_scan(ScanFilter::default()).await {
            Err(e) if !is_busy(&e) => {
                self.scan_again = Some(Instant::now() + BLE_ADAPTER_RETRY);
                let trouble = e.to_string();
                if self.scan_trouble != trouble {
                    warn!(
                        "Bluetooth cannot scan: {trouble}; trying on. Does another program hold the adapter?"
                    );
                    self.scan_trouble = trouble;
                }
            }
            _ => {
                debug!("scanning");
                self.scanning = true;
                self.scan_trouble.clear();
                // Nobody looked before.
                for look in &mut self.looks {
                    look.last = Instant::now();
                }
            }
        }
    }

    async fn stop_scan(&mut self) {
        if std::mem::take(&mut self.scanning) {
            debug!("all that is wanted is there: not scanning");
            if let Err(e) = self.adapter.stop_scan().await {
                debug!("scanning cannot be stopped: {e}");
            }
        }
    }
}

impl Board {
    fn say(&mut self, trouble: &Trouble) {
        let text = trouble.to_string();
        if self.said == text {
            debug!("{}: {text}", self.name);
        } else {
            warn!("{}: {text}; {}", self.name, trouble.hint);
            self.said = text;
        }
    }
}

/// What is known of a peripheral; `None` where the system has forgotten it.
pub(super) async fn see(adapter: &Adapter, id: &PeripheralId) -> Option<(Peripheral, Seen)> {
    let peripheral = adapter.peripheral(id).await.ok()?;
    let seen = Seen::of(&peripheral).await?;
    Some((peripheral, seen))
}

impl Seen {
    /// What the system knows of it; `None` where that is nothing.
    pub(super) async fn of(peripheral: &Peripheral) -> Option<Self> {
        let properties = peripheral.properties().await.ok()??;
        let connected = peripheral.is_connected().await.ok()?;
        let mac = properties.address;
        let address = if mac == Default::default() {
            peripheral.id().to_string()
        } else {
            mac.to_string()
        };
        // BlueZ makes a name of the address where there is none.
        let made = address.replace(':', "-");
        let name = properties.advertisement_name.or(properties.local_name);
        Some(Self {
            name: name.filter(|name| *name != made && !name.is_empty()),
            address,
            rssi: properties.rssi,
            services: properties.services,
            manufacturer_data: properties.manufacturer_data,
            connected,
        })
    }
}
