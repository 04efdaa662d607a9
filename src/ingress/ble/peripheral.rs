//! One peripheral, from the connection to the end of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use btleplug::api::{Peripheral as _, ValueNotification};
use btleplug::platform::Peripheral;
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Arrival;
use super::characteristics::Characteristics;
use super::system::{Calls, is_busy};
use crate::config::BleSettings;
use crate::defaults::{BLE_CONNECT_TIMEOUT, BLE_DISCONNECT_TIMEOUT, BLE_STEP_TIMEOUT};
use crate::device::peripheral::Seen;
use crate::ingress::{After, Trouble, TroubleLog};
use crate::link::ble::{Gone, Write, pipe};
use crate::text::shell_word;

/// The smallest MTU there is (Bluetooth Core, Vol 3, Part F, 5.2.1).
const MTU_MIN: u16 = 23;
/// What of an MTU is no value: the operation and the handle.
const ATT_HEADER: u16 = 3;
/// Between two checks whether a peripheral is still connected, where no event says that it is not.
const LINK_POLL: Duration = Duration::from_secs(2);
/// Between two tries where another operation is under way, and how often.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
const BUSY_TRIES: usize = 50;
/// Time for a session to end whose link is gone; then the peripheral may come back.
const END_TIMEOUT: Duration = Duration::from_secs(5);

impl From<Trouble> for After {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble)
    }
}

/// One connection to a peripheral.
pub(super) struct Connection {
    pub(super) peripheral: Peripheral,
    pub(super) notifications: Arc<Mutex<Notifications>>,
    pub(super) seen: Seen,
    pub(super) settings: BleSettings,
    /// Whether it is connected, by the adapter's events.
    pub(super) link: watch::Receiver<bool>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    /// Where trouble with it is logged.
    pub(super) log: TroubleLog,
    pub(super) calls: Calls,
    pub(super) gone: Gone,
    pub(super) stop: CancellationToken,
}

/// What a peripheral says, once somebody listened to it. Kept for as long as Bluetooth is there: where a signal comes
/// just after it was dropped, the library panics and leaves a match rule on the bus.
#[derive(Default)]
pub(super) struct Notifications(Option<Pin<Box<dyn Stream<Item = ValueNotification> + Send>>>);

impl Notifications {
    /// The next one. Cancel safe.
    async fn next(&mut self) -> Option<ValueNotification> {
        match &mut self.0 {
            Some(stream) => stream.next().await,
            None => None,
        }
    }

    /// Throws away what nobody listened to.
    pub(super) fn skip(&mut self) {
        while let Some(Some(_)) = self.next().now_or_never() {}
    }
}

impl Connection {
    /// Connects, hands the peripheral to a session, and lets go of it when that is over.
    pub(super) async fn run(self) -> After {
        let stop = self.stop.clone();
        let after = match stop.run_until_cancelled(self.connect()).await {
            None => After::Stopping,
            Some(Err(after)) => after,
            Some(Ok(characteristics)) => self.serve(characteristics).await,
        };
        // Also after a failed connection: only this takes back the order to connect.
        match timeout(BLE_DISCONNECT_TIMEOUT, self.peripheral.disconnect()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => debug!("{}: not disconnected: {e}", self.seen.address),
            Err(_) => debug!("{}: the system does not let go of it", self.seen.address),
        }
        after
    }

    async fn connect(&self) -> Result<Characteristics, After> {
        match timeout(BLE_CONNECT_TIMEOUT, self.calls.connect(&self.peripheral)).await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => return Err(Trouble::connect(&problem).into()),
            Err(_) => {
                let limit = BLE_CONNECT_TIMEOUT.as_secs();
                return Err(Trouble::connect(&format!("no connection within {limit} s")).into());
            }
        }
        let mut lost = LinkLost::new(&self.link, self.peripheral.clone());
        tokio::select! {
            ready = self.prepare() => ready,
            () = lost.wait() => Err(Trouble::went().into()),
        }
    }

    /// Pairs, finds the characteristics, subscribes.
    async fn prepare(&self) -> Result<Characteristics, After> {
        let peripheral = &self.peripheral;
        if self.settings.pair {
            self.calls.pair(peripheral).await.map_err(|e| Trouble {
                what: format!("cannot be paired with: {e}"),
                hint: "pair with it in the system's settings, or with bluetoothctl, once".to_owned(),
            })?;
        }
        step("finding its services", peripheral.discover_services()).await?;
        let services = peripheral.services();
        let settings = &self.settings;
        let found = Characteristics::of(&settings.profile, &services, settings.write_without_response);
        // That changes when somebody changes something.
        let characteristics = found.map_err(|e| {
            After::Refused(Trouble {
                what: e.to_string(),
                hint: format!(
                    "wsdm-gateway scan --connect {} shows what it has",
                    shell_word(&self.seen.address)
                ),
            })
        })?;
        let (kept, follow) = (self.notifications.clone(), peripheral.clone());
        let follow = unbroken(async move {
            let mut kept = kept.lock().await;
            if kept.0.is_none() {
                kept.0 = Some(follow.notifications().await?);
            }
            // What came after the end of the last connection.
            kept.skip();
            Ok(())
        });
        step("following its notifications", follow).await?;
        if let Some(notify) = &characteristics.notify {
            step("subscribing", peripheral.subscribe(notify)).await?;
        }
        Ok(characteristics)
    }

    /// Passes bytes between the peripheral and its session until either is gone.
    async fn serve(&self, characteristics: Characteristics) -> After {
        let since = Instant::now();
        let (session, mut radio) = pipe(self.gone.clone());
        let (after, ended) = oneshot::channel();
        let arrival = Arrival {
            settings: self.settings.clone(),
            seen: self.seen.clone(),
            pipe: session,
            log: self.log.clone(),
            after,
        };
        if self.arrivals.send(arrival).await.is_err() {
            return After::Stopping;
        }
        let mut lost = LinkLost::new(&self.link, self.peripheral.clone());
        let notified = radio.notified.clone();
        let written = async {
            while let Some(Write { bytes, mut done }) = radio.writes.recv().await {
                tokio::select! {
                    biased;
                    written = write_frame(&self.peripheral, &characteristics, &bytes) => {
                        // A session that ended just now does not listen.
                        let _ = done.send(written);
                    }
                    // The session gave up waiting. Letting go of the peripheral is all that may still stop it.
                    () = done.closed() => return,
                }
            }
        };
        let read = async {
            let mut notifications = self.notifications.lock().await;
            while let Some(said) = notifications.next().await {
                let wanted = characteristics.notify.as_ref();
                let ours = wanted.is_some_and(|w| w.uuid == said.uuid && w.service_uuid == said.service_uuid);
                // An empty one says nothing. Nobody listens once the session is over, which the writes tell.
                if ours && !said.value.is_empty() {
                    let _ = notified.send(Bytes::from(said.value));
                }
            }
        };
        tokio::select! {
            biased;
            () = lost.wait() => {}
            () = written => {}
            // Nothing ends them but the end of the bus, of which more is said elsewhere.
            () = read => {}
        }
        drop((notified, radio));
        // The session closes upstream first; the same device must not come back before that.
        match timeout(END_TIMEOUT, ended).await {
            Ok(Ok(after)) => after,
            Ok(Err(e)) => After::Failed(Trouble::fault(&e)),
            Err(_) => After::Session(since.elapsed()),
        }
    }
}

/// Writes a frame, cut at the MTU, one piece after the other: BlueZ answers two at once with an error.
pub(super) async fn write_frame(
    peripheral: &Peripheral,
    characteristics: &Characteristics,
    frame: &[u8],
) -> Result<(), String> {
    let (characteristic, kind) = characteristics.for_frame(frame);
    let room = usize::from(peripheral.mtu().max(MTU_MIN) - ATT_HEADER);
    for piece in frame.chunks(room) {
        let mut tries = BUSY_TRIES;
        while let Err(e) = peripheral.write(characteristic, piece, kind).await {
            tries -= 1;
            if !is_busy(&e) || tries == 0 {
                return Err(e.to_string());
            }
            sleep(BUSY_PAUSE).await;
        }
    }
    Ok(())
}

/// Runs to its end whatever becomes of whoever waits for it: what the library does here adds a match rule to the bus,
/// and dropped in the middle of that leaves it there.
async fn unbroken<T: Send + 'static>(
    does: impl Future<Output = btleplug::Result<T>> + Send + 'static,
) -> btleplug::Result<T> {
    let done = tokio::spawn(does).await;
    done.unwrap_or_else(|e| Err(btleplug::Error::RuntimeError(e.to_string())))
}

/// One step of setting a peripheral up, within [`BLE_STEP_TIMEOUT`].
async fn step<T>(what: &str, does: impl Future<Output = btleplug::Result<T>>) -> Result<T, Trouble> {
    let done = timeout(BLE_STEP_TIMEOUT, does).await;
    let problem = match done {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("no answer within {} s", BLE_STEP_TIMEOUT.as_secs()),
    };
    Err(Trouble {
        what: format!("{what} failed: {problem}"),
        hint: "if it wants to be paired with, say pair = true".to_owned(),
    })
}

/// Notices that a peripheral went.
struct LinkLost {
    link: watch::Receiver<bool>,
    peripheral: Peripheral,
}

impl LinkLost {
    fn new(link: &watch::Receiver<bool>, peripheral: Peripheral) -> Self {
        let link = link.clone();
        Self { link, peripheral }
    }

    /// Until it is not connected any more. An event of an earlier connection may come late, so it is asked.
    async fn wait(&mut self) {
        loop {
            let _ = self.link.borrow_and_update();
            if !self.peripheral.is_connected().await.unwrap_or(false) {
                return;
            }
            // Where several events come at once the last one stands for all, and on some systems one may be missed.
            if let Ok(Err(_)) = timeout(LINK_POLL, self.link.changed()).await {
                return;
            }
        }
    }
}

impl Trouble {
    fn connect(problem: &str) -> Self {
        Self {
            what: format!("cannot be connected to: {problem}"),
            hint: "is it near, and free? Restarting it helps where another central held it".to_owned(),
        }
    }

    /// A task ended without saying why.
    pub(super) fn fault(error: &dyn std::error::Error) -> Self {
        Self {
            what: format!("its task ended in a fault inside the gateway or its library: {error}"),
            hint: "please report this, with the lines before it".to_owned(),
        }
    }

    fn went() -> Self {
        Self {
            what: "disconnected before it was ready".to_owned(),
            hint: "is it near enough, and its battery full?".to_owned(),
        }
    }
}
