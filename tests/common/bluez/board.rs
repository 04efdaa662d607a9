//! The handle by which a test is a board.

use std::sync::Arc;
use std::time::Duration;

use super::daemon::State;
use super::device::Device;
use super::{Fake, Write};

/// A board in reach of the adapters.
#[derive(Clone)]
pub struct Board {
    fake: Arc<Fake>,
    at: usize,
}

impl Board {
    pub(super) fn new(fake: Arc<Fake>, at: usize) -> Self {
        Self { fake, at }
    }

    fn set<T>(&self, change: impl FnOnce(&mut Device) -> T) -> T {
        self.fake.with(|state| change(&mut state.boards[self.at]))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State, usize) -> T) -> T {
        self.fake.with(|state| change(state, self.at))
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut Device) -> Option<T>) -> T {
        // After the end of the fake there is no board, and nothing more to wait for.
        self.fake
            .until(|state| look(state.boards.get_mut(self.at)?))
            .await
    }

    pub fn address(&self) -> String {
        self.set(|board| board.peripheral.address.clone())
    }

    // What is on the air.

    /// Advertises from now on, whenever nobody is connected. A connect that waits for the board succeeds.
    pub fn advertise(&self) {
        self.with(|state, at| {
            state.boards[at].advertising = true;
            state.try_connect(at);
        });
    }

    /// The same, with the first advertisement now and not up to [`super::ADVERTISING_INTERVAL`] later.
    pub fn advertise_at_once(&self) {
        self.advertise();
        self.with(|state, _| state.advertisements());
    }

    /// Advertises without a name. `set_name` tells it later.
    pub fn advertise_nameless(&self) {
        self.set_name(None);
        self.advertise();
    }

    /// Out of reach, off, or with another central: connects wait. A link that is there stays.
    pub fn silence(&self) {
        self.set(|board| board.advertising = false);
    }

    /// The name in the next advertisement. A name that the daemon has heard it does not forget.
    pub fn set_name(&self, name: Option<&str>) {
        self.set(|board| board.peripheral.name = name.map(str::to_owned));
    }

    pub fn set_rssi(&self, rssi: i16) {
        self.set(|board| board.peripheral.rssi = rssi);
    }

    /// The daemon removes the object, as it does after half a minute without an advertisement.
    pub fn forget(&self) {
        self.with(State::forget_everywhere);
    }

    // Connections.

    /// Refuses so many connects from now on, or `ALWAYS`.
    pub fn refuse_connects(&self, times: usize) {
        self.set(|board| board.refusals = times);
    }

    pub fn connect_delay(&self, delay: Duration) {
        self.set(|board| board.connect_delay = delay);
    }

    /// How long the services take to be there after a connect.
    pub fn resolve_delay(&self, delay: Duration) {
        self.set(|board| board.resolve_delay = delay);
    }

    /// Connects wait until somebody disconnects, or this ends.
    pub fn hang_connects(&self, hang: bool) {
        self.with(|state, at| {
            state.boards[at].hangs = hang;
            state.try_connect(at);
        });
    }

    /// Every connect succeeds, and the link drops before the services are there.
    pub fn vanish_during_discovery(&self, vanish: bool) {
        self.set(|board| board.vanishes = vanish);
    }

    /// Is connected to the first adapter that has power, services and all, as a killed gateway leaves it.
    pub fn hold_connected(&self) {
        self.with(|state, at| {
            let powered = state.adapters.iter().find(|(_, adapter)| adapter.powered);
            let adapter = powered
                .map(|(name, _)| name.clone())
                .expect("an adapter with power");
            state.link(at, &adapter, None);
        });
    }

    pub fn drop_link(&self) {
        self.with(State::drop_link);
    }

    pub fn connected(&self) -> bool {
        self.set(|board| board.link.is_some())
    }

    pub async fn wait_connected(&self, wanted: bool) {
        self.until(|board| (board.link.is_some() == wanted).then_some(()))
            .await;
    }

    /// How many calls of Connect made a link.
    pub fn connects(&self) -> usize {
        self.set(|board| board.connects)
    }

    /// Before somebody pairs, nothing can be read, written or subscribed.
    pub fn require_pairing(&self) {
        self.set(|board| board.needs_pairing = true);
    }

    pub fn paired(&self) -> bool {
        self.set(|board| board.paired)
    }

    // What it says.

    /// Notifies on the first characteristic that can. Says whether somebody had subscribed and listens.
    pub fn notify(&self, value: impl AsRef<[u8]>) -> bool {
        self.with(|state, at| state.notify(at, None, value.as_ref()))
    }

    pub fn notify_on(&self, characteristic: &str, value: impl AsRef<[u8]>) -> bool {
        self.with(|state, at| state.notify(at, Some(characteristic), value.as_ref()))
    }

    pub fn subscribed(&self) -> bool {
        self.set(|board| subscribed(board).is_some())
    }

    /// Waits until somebody has subscribed, to any characteristic.
    pub async fn wait_subscribed(&self) {
        self.until(|board| subscribed(board)).await;
    }

    // What it hears.

    /// Waits for the next write that nobody has taken.
    pub async fn next_write(&self) -> Write {
        self.until(|board| board.heard.pop_front()).await
    }

    /// Takes all writes that came so far.
    pub fn writes(&self) -> Vec<Write> {
        self.set(|board| board.heard.drain(..).collect())
    }

    /// Answers every write at once with notifications. It runs on the thread of the fake, where a panic
    /// only shows as a client that is never answered again. `next_write` and `writes` still have every write.
    pub fn on_write(&self, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) {
        self.set(|board| board.on_write = Some(Arc::new(answer)));
    }

    /// How late the answer to a request comes. The board hears the request at once.
    pub fn write_delay(&self, delay: Duration) {
        self.set(|board| board.write_delay = delay);
    }

    pub fn fail_writes(&self, fail: bool) {
        self.set(|board| board.fails_writes = fail);
    }

    /// So many writes find that another program writes just then.
    pub fn busy_writes(&self, times: usize) {
        self.set(|board| board.busy_writes = times);
    }

    /// Requests that came while another waited for its answer, on the same characteristic.
    pub fn overlapping_writes(&self) -> usize {
        self.set(|board| board.overlapping)
    }

    /// Writes that did not fit the MTU.
    pub fn too_long_writes(&self) -> usize {
        self.set(|board| board.too_long)
    }
}

fn subscribed(board: &Device) -> Option<()> {
    let subscribers = &board.link.as_ref()?.subscribers;
    (!subscribers.is_empty()).then_some(())
}
