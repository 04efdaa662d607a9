//! One peripheral, from the connection to the end of it.

use std::time::Duration;

use btleplug::api::{CharPropFlags, Characteristic, Peripheral as _, WriteType};
use btleplug::platform::Peripheral;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::profile::Characteristics;
use super::system::{Pairing, is_busy};
use super::wanted::Seen;
use super::{Arrival, Trouble, Verdict};
use crate::config::BleSettings;
use crate::defaults::{BLE_CONNECT_TIMEOUT, BLE_DISCONNECT_TIMEOUT, BLE_STEP_TIMEOUT};
use crate::link::ble::{RadioEnd, Write, pipe};

/// The smallest MTU there is (Bluetooth Core, Vol 3, Part F, 5.2.1).
const MTU_MIN: u16 = 23;
/// What of an MTU is no value: the operation and the handle.
const ATT_HEADER: u16 = 3;
/// Between two tries where another operation is under way, and how often.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
const BUSY_TRIES: usize = 50;
/// Time for a session to end whose link is gone; then the peripheral may come back.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the adapter's events say of a peripheral's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// How often it was connected.
    pub(super) ups: u64,
    /// Whether it is.
    pub(super) up: bool,
}

/// How a connection was over.
#[derive(Debug)]
pub(super) enum Over {
    /// The gateway stops, or Bluetooth is gone.
    Stopped,
    /// It was connected for so long.
    After(Duration),
    /// The same, and the device is not welcome just now.
    Later(Duration),
    /// Who it is is not known, or it is not welcome.
    Refused(Trouble),
    /// It could not be connected to.
    Failed(Trouble),
}

/// One connection to a peripheral.
pub(super) struct Visit {
    pub(super) peripheral: Peripheral,
    pub(super) seen: Seen,
    pub(super) entry: usize,
    pub(super) settings: BleSettings,
    pub(super) link: watch::Receiver<Link>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    pub(super) pairing: Pairing,
    /// Why Bluetooth is gone, once it is.
    pub(super) gone: watch::Receiver<Option<String>>,
    pub(super) stop: CancellationToken,
}

/// A peripheral that is ready to be spoken with.
struct Ready {
    characteristics: Characteristics,
    notifications: BoxStream<'static, Bytes>,
}

impl Visit {
    /// Connects, hands the peripheral to a session, and lets go of it when that is over.
    pub(super) async fn run(mut self) -> Over {
        let (mut gone, stop) = (self.gone.clone(), self.stop.clone());
        let ready = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Over::Stopped),
            _ = gone.wait_for(Option::is_some) => return Over::Stopped,
            ready = self.connect() => ready.map_err(Over::Failed),
        };
        let over = match ready {
            Ok(ready) => self.serve(ready).await,
            Err(over) => over,
        };
        if self.gone.borrow().is_none() {
            // Also after a failed connection: only this takes back the order to connect.
            match timeout(BLE_DISCONNECT_TIMEOUT, self.peripheral.disconnect()).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => debug!("{}: not disconnected: {e}", self.seen.address),
                Err(_) => debug!("{}: the system does not let go of it", self.seen.address),
            }
        }
        over
    }

    async fn connect(&mut self) -> Result<Ready, Trouble> {
        let peripheral = self.peripheral.clone();
        let mut lost = LinkLost::new(&self.link, peripheral.clone());
        let connected = tokio::select! {
            connected = timeout(BLE_CONNECT_TIMEOUT, peripheral.connect()) => connected,
            () = lost.after_it_was_up() => return Err(Trouble::went("while its services were looked at")),
        };
        match connected {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(Trouble::connect(&e.to_string())),
            Err(_) => {
                let limit = BLE_CONNECT_TIMEOUT.as_secs();
                return Err(Trouble::connect(&format!("no connection within {limit} s")));
            }
        }
        tokio::select! {
            ready = self.prepare() => ready,
            () = lost.wait() => Err(Trouble::went("before it was ready")),
        }
    }

    /// Pairs, finds the characteristics, subscribes.
    async fn prepare(&self) -> Result<Ready, Trouble> {
        let peripheral = &self.peripheral;
        if self.settings.pair {
            self.pairing.pair(peripheral).await.map_err(|e| Trouble {
                what: format!("cannot be paired with: {e}"),
                hint: "pair with it in the system's settings, or with bluetoothctl, once".to_owned(),
            })?;
        }
        step("finding its services", peripheral.discover_services()).await?;
        let services = peripheral.services();
        let characteristics = Characteristics::of(&self.settings.profile, &services).map_err(|e| Trouble {
            what: e.to_string(),
            hint: "wsdm-gateway scan --connect ADDRESS shows what it has; change profile, or service, write and notify".to_owned(),
        })?;
        let stream = step("following its notifications", peripheral.notifications()).await?;
        let wanted = characteristics.notify.clone();
        let notifications = stream.filter_map(move |notification| {
            let (service, uuid) = (notification.service_uuid, notification.uuid);
            let ours = wanted
                .as_ref()
                .is_some_and(|wanted| wanted.uuid == uuid && wanted.service_uuid == service);
            // Nobody can tell an empty one from nothing.
            let value = Some(notification.value).filter(|value| ours && !value.is_empty());
            futures::future::ready(value.map(Bytes::from))
        });
        if let Some(notify) = &characteristics.notify {
            step("subscribing", peripheral.subscribe(notify)).await?;
        }
        Ok(Ready {
            characteristics,
            notifications: notifications.boxed(),
        })
    }

    /// Passes bytes between the peripheral and its session until either is gone.
    async fn serve(&mut self, ready: Ready) -> Over {
        let Ready {
            characteristics,
            mut notifications,
        } = ready;
        let since = Instant::now();
        let (session, mut radio) = pipe();
        let (verdict, told) = oneshot::channel();
        let arrival = Arrival {
            entry: self.entry,
            seen: self.seen.clone(),
            pipe: session,
            verdict,
        };
        if self.arrivals.send(arrival).await.is_err() {
            return Over::Stopped;
        }
        let mut lost = LinkLost::new(&self.link, self.peripheral.clone());
        let mut gone = self.gone.clone();
        let notified = radio.notified.clone();
        let written = async {
            while let Some(Write { bytes, done }) = radio.writes.recv().await {
                // A session that ended meanwhile does not listen.
                let _ = done.send(self.write(&characteristics, &bytes).await);
            }
        };
        let read = async {
            while let Some(bytes) = notifications.next().await {
                // Nobody listens once the session is over, which the writes tell.
                let _ = notified.send(bytes);
            }
        };
        let why = tokio::select! {
            biased;
            Ok(why) = gone.wait_for(Option::is_some) => why.clone(),
            () = lost.wait() => None,
            () = written => None,
            () = read => Some("its notifications ended".to_owned()),
        };
        drop(notified);
        end(radio, why);
        // The session closes upstream first; the same device must not come back before that.
        match timeout(VERDICT_TIMEOUT, told).await {
            Ok(Ok(Verdict::Over)) | Err(_) => Over::After(since.elapsed()),
            Ok(Ok(Verdict::Later)) => Over::Later(since.elapsed()),
            Ok(Ok(Verdict::Refused(trouble))) => Over::Refused(trouble),
            Ok(Ok(Verdict::Stopped) | Err(_)) => Over::Stopped,
        }
    }

    /// Writes a frame, cut at the MTU, one piece after the other: BlueZ answers two at once with an error.
    async fn write(&self, characteristics: &Characteristics, frame: &[u8]) -> Result<(), String> {
        let characteristic = characteristics.for_frame(frame);
        let kind = self.write_type(characteristic);
        let room = usize::from(self.peripheral.mtu().max(MTU_MIN) - ATT_HEADER);
        for piece in frame.chunks(room) {
            let mut tries = BUSY_TRIES;
            while let Err(e) = self.peripheral.write(characteristic, piece, kind).await {
                tries -= 1;
                if !is_busy(&e) || tries == 0 {
                    return Err(e.to_string());
                }
                sleep(BUSY_PAUSE).await;
            }
        }
        Ok(())
    }

    fn write_type(&self, characteristic: &Characteristic) -> WriteType {
        let can = |flag| characteristic.properties.contains(flag);
        let without = match self.settings.write_without_response {
            Some(without) => without,
            // The confirmation is what tells that the last frame left, so that the next is the newest.
            None => !can(CharPropFlags::WRITE),
        };
        if without {
            WriteType::WithoutResponse
        } else {
            WriteType::WithResponse
        }
    }
}

/// The reason stands before the session can see the end.
fn end(radio: RadioEnd, why: Option<String>) {
    if let Some(why) = why {
        radio.ends_because(why);
    }
    drop(radio);
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
    link: watch::Receiver<Link>,
    ups: u64,
    peripheral: Peripheral,
}

impl LinkLost {
    fn new(link: &watch::Receiver<Link>, peripheral: Peripheral) -> Self {
        let mut link = link.clone();
        let ups = link.borrow_and_update().ups;
        Self {
            link,
            ups,
            peripheral,
        }
    }

    /// For one that is connected: until it is not. An event of an earlier connection may come late, so it is asked.
    async fn wait(&mut self) {
        loop {
            if !self.link.borrow_and_update().up && !self.peripheral.is_connected().await.unwrap_or(false) {
                return;
            }
            if self.link.changed().await.is_err() {
                return;
            }
        }
    }

    /// For one that is being connected: until it was, and is not any more.
    async fn after_it_was_up(&mut self) {
        loop {
            let link = *self.link.borrow_and_update();
            if link.ups > self.ups && !link.up {
                return;
            }
            if self.link.changed().await.is_err() {
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

    fn went(when: &str) -> Self {
        Self {
            what: format!("disconnected {when}"),
            hint: "is it near enough, and its battery full?".to_owned(),
        }
    }
}
