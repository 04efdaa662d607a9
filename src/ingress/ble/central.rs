//! One adapter at work: what is heard, which entry takes it, and when to look for more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use btleplug::api::{Central as _, CentralState, Peripheral as _, ScanFilter};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{debug, info, warn};

use super::Arrival;
use super::board::Board;
use super::peripheral::Connection;
use super::radio::Ended;
use super::seen::query;
use super::system::{Calls, Event, Events, News, is_busy};
use crate::config::BleSettings;
use crate::defaults::{BLE_ADAPTER_RETRY, BLE_DISCONNECT_TIMEOUT, BLE_SWEEP, BLE_UNSEEN_HINT};
use crate::device::peripheral::Seen;
use crate::ingress::{After, Trouble};
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
    connections: JoinMap<PeripheralId, After>,
    /// When something of each entry was last seen.
    sightings: Vec<Sighting>,
    /// Those that no entry takes, by what is known of them.
    others: HashSet<PeripheralId>,
    /// What was passed over, and told once.
    passed_over: HashSet<(PeripheralId, &'static str)>,
    scanning: bool,
    /// Scanning failed: not before this.
    scan_again: Option<Instant>,
    scan_trouble: String,
    gone: Gone,
}

struct Sighting {
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
        let never = || Sighting {
            last: Instant::now(),
            hinted: false,
        };
        Self {
            sightings: entries.iter().map(|_| never()).collect(),
            adapter,
            entries,
            arrivals,
            calls,
            boards: HashMap::new(),
            connections: JoinMap::new(),
            others: HashSet::new(),
            passed_over: HashSet::new(),
            scanning: false,
            scan_again: None,
            scan_trouble: String::new(),
            gone,
        }
    }

    /// Connects to what is wanted, until `stop` is cancelled and all of it was let go, or Bluetooth is switched off.
    /// May be dropped when Bluetooth is gone.
    pub(super) async fn serve(&mut self, mut events: Events, stop: &CancellationToken) -> Ended {
        let mut sweep = interval(BLE_SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What a gateway that was killed left connected.
        for peripheral in self.adapter.peripherals().await.unwrap_or_default() {
            self.consider(&peripheral.id(), stop).await;
        }
        loop {
            let stopping = stop.is_cancelled();
            if stopping && self.connections.is_empty() {
                self.stop_scan().await;
                return Ended::Stopped;
            }
            if let Err(ended) = self.scan_as_needed(stopping).await {
                return ended;
            }
            let again = self.boards.iter().filter(|(_, board)| !board.busy);
            let again = again.filter_map(|(id, board)| Some((board.next?, id.clone())));
            let again = again.min_by_key(|(at, _)| *at);
            let at = again.as_ref().map_or_else(Instant::now, |(at, _)| *at);
            let scan_at = self.scan_again.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {}
                Some((id, ended)) = self.connections.join_next() => {
                    let after = ended.unwrap_or_else(|e| After::Failed(Trouble::fault(&e)));
                    self.over(&id, &after);
                }
                event = events.next() => match event {
                    Some(Event::Off) => return Ended::Gone("it was switched off".to_owned()),
                    Some(event) => self.event(event, stop).await,
                    None => return Ended::Gone("its events ended".to_owned()),
                },
                () = sleep_until(at), if again.is_some() => {
                    if let Some((_, id)) = again {
                        self.pause_is_over(&id, stop).await;
                    }
                }
                () = sleep_until(scan_at), if self.scan_again.is_some() => self.scan_again = None,
                _ = sweep.tick() => self.sweep(),
            }
        }
    }

    async fn event(&mut self, event: Event, stop: &CancellationToken) {
        match event {
            Event::Link(id, up) => {
                if let Some(board) = self.boards.get(&id) {
                    board.link.send_replace(up);
                }
                if up {
                    self.consider(&id, stop).await;
                }
            }
            Event::Heard(id, news) => {
                let is_news = match self.boards.get_mut(&id) {
                    Some(board) => {
                        if news.heard {
                            board.heard = Instant::now();
                        }
                        news.heard
                    }
                    None => !self.others.contains(&id) || self.may_matter(&news),
                };
                if is_news {
                    self.consider(&id, stop).await;
                }
            }
            Event::Off => {}
        }
    }

    /// Whether news of a peripheral that nobody wants may change that. Near a crowd most news do not, and each look
    /// costs calls.
    fn may_matter(&self, news: &News) -> bool {
        let wanted = |wants: fn(&BleSettings) -> bool| self.entries.iter().any(wants);
        news.all
            || (news.name && wanted(|entry| entry.wanted.name.is_some()))
            || (news.services && wanted(|entry| entry.wanted.advertised_service.is_some()))
            || self.entries.iter().any(|entry| {
                let data = entry.wanted.manufacturer_data.as_ref();
                data.is_some_and(|data| news.companies.contains(&data.company))
            })
    }

    /// A board may be connected again, if it advertised since it was let go.
    async fn pause_is_over(&mut self, id: &PeripheralId, stop: &CancellationToken) {
        let Some(board) = self.boards.get_mut(id) else {
            return;
        };
        board.next = None;
        if board.heard > board.left {
            self.consider(id, stop).await;
        }
    }

    /// Looks after what no event tells of.
    fn sweep(&mut self) {
        for board in self.boards.values().filter(|board| !board.busy) {
            // What others on this machine have it say would be kept for ever.
            if let Ok(mut notifications) = board.notifications.try_lock() {
                notifications.skip();
            }
        }
        if !self.scanning {
            return;
        }
        for n in 0..self.sightings.len() {
            let busy = self.is_busy(n);
            let sighting = &mut self.sightings[n];
            if !busy && !sighting.hinted && sighting.last.elapsed() >= BLE_UNSEEN_HINT {
                sighting.hinted = true;
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
        let busy = |board: &Board| board.entry == entry && board.busy;
        self.boards.values().any(busy)
    }

    /// Looks at one peripheral, and connects to it where an entry takes it and it is there.
    async fn consider(&mut self, id: &PeripheralId, stop: &CancellationToken) {
        let now = Instant::now();
        let left_alone = |board: &Board| board.busy || board.next.is_some_and(|next| next > now);
        if stop.is_cancelled() || self.boards.get(id).is_some_and(left_alone) {
            return;
        }
        let Some((peripheral, seen)) = query(&self.adapter, id).await else {
            return;
        };
        let takes = |n: &usize| self.entries[*n].wanted.takes(&seen);
        let taking: Vec<usize> = (0..self.entries.len()).filter(takes).collect();
        let Some(first) = taking.first().copied() else {
            if self.others.len() >= OTHERS_MAX {
                self.others.clear();
            }
            self.others.insert(id.clone());
            return;
        };
        self.others.remove(id);
        // The system remembers peripherals that are not there.
        if !seen.connected && seen.rssi.is_none() {
            return;
        }
        for n in &taking {
            self.sightings[*n].last = now;
            self.sightings[*n].hinted = false;
        }
        // An entry that means one peripheral and has it leaves others to the entries behind it.
        let is_free = |n: &usize| !self.entries[*n].wanted.is_one() || !self.is_busy(*n);
        match taking.iter().copied().find(is_free) {
            Some(n) => self.connect(id, peripheral, seen, n, stop),
            None => {
                let wanted = &self.entries[first].wanted;
                let why =
                    format!("ble.{first} ({wanted}) has another one; a * in the name takes all of them");
                self.pass_over(id, &seen, "another", &why);
            }
        }
    }

    /// Says once why a peripheral that is wanted is left alone.
    fn pass_over(&mut self, id: &PeripheralId, seen: &Seen, what: &'static str, why: &str) {
        if self.passed_over.len() >= OTHERS_MAX {
            self.passed_over.clear();
        }
        if self.passed_over.insert((id.clone(), what)) {
            info!("{seen}: left alone: {why}");
        }
    }

    fn connect(
        &mut self,
        id: &PeripheralId,
        peripheral: Peripheral,
        seen: Seen,
        n: usize,
        stop: &CancellationToken,
    ) {
        let entry = self.entries[n].clone();
        if let (Some(rssi), Some(min), false) = (seen.rssi, entry.min_rssi, seen.connected)
            && rssi < min
        {
            let why = format!("at {rssi} dBm it is weaker than min_rssi, {min}");
            self.pass_over(id, &seen, "weak", &why);
            return;
        }
        if self.boards.len() >= BOARDS_MAX && !self.boards.contains_key(id) {
            self.forget_one();
        }
        let board = self.boards.entry(id.clone());
        let board = board.or_insert_with(|| Board::new(n, &entry, peripheral.clone(), &seen));
        board.is_taken(n, &entry, peripheral, &seen);
        debug!("{seen}: {} dBm, taken by ble.{n}", seen.rssi.unwrap_or(0));
        // Several may be connected to at once: BlueZ waits for each to advertise, and connects one after the other.
        let connection = Connection {
            peripheral: board.peripheral.clone(),
            notifications: board.notifications.clone(),
            seen,
            settings: entry,
            link: board.link.subscribe(),
            arrivals: self.arrivals.clone(),
            log: board.retry.log(),
            calls: self.calls.clone(),
            gone: self.gone.clone(),
            stop: stop.clone(),
        };
        self.connections.spawn(id.clone(), connection.run());
    }

    /// Forgets the one that has been away for longest.
    fn forget_one(&mut self) {
        let away = self.boards.iter().filter(|(_, board)| !board.busy);
        let longest = away.min_by_key(|(_, board)| board.left).map(|(id, _)| id.clone());
        if let Some(id) = longest {
            self.boards.remove(&id);
        }
    }

    /// A peripheral is not connected any more, or never was.
    fn over(&mut self, id: &PeripheralId, after: &After) {
        let Some(board) = self.boards.get_mut(id) else {
            return;
        };
        let lets_go = !matches!(after, After::Failed(_));
        board.is_over(after);
        if lets_go {
            self.sightings[board.entry].last = board.left;
        }
    }

    /// Scans while something is wanted that is not there.
    ///
    /// # Errors
    /// The adapter was switched off. Scanning would switch it on.
    async fn scan_as_needed(&mut self, stopping: bool) -> Result<(), Ended> {
        let wanted = |(n, entry): (usize, &BleSettings)| !entry.wanted.is_one() || !self.is_busy(n);
        let wanted = !stopping && self.entries.iter().enumerate().any(wanted);
        if !wanted {
            self.stop_scan().await;
            return Ok(());
        }
        if self.scanning || self.scan_again.is_some() {
            return Ok(());
        }
        if matches!(self.adapter.adapter_state().await, Ok(CentralState::PoweredOff)) {
            return Err(Ended::Gone("it was switched off".to_owned()));
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
                for sighting in &mut self.sightings {
                    sighting.last = Instant::now();
                }
            }
        }
        Ok(())
    }

    async fn stop_scan(&mut self) {
        if std::mem::take(&mut self.scanning) {
            debug!("not scanning any more");
            match timeout(BLE_DISCONNECT_TIMEOUT, self.adapter.stop_scan()).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => debug!("scanning cannot be stopped: {e}"),
                Err(_) => debug!("the system does not stop scanning"),
            }
        }
    }
}
