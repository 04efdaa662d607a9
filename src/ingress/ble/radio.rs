//! The thread that owns all of btleplug, on a current-thread runtime of its own.
//!
//! On a runtime with several threads what btleplug drops may panic and leave match rules behind, until the message
//! bus has no more of them. What it drops while the bus is gone would panic anywhere. So each time of Bluetooth being
//! there is a life: it has a runtime, which is dropped as a whole when the bus, bluetoothd or the adapter goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{io, thread};

use btleplug::api::{Central as _, CentralState, Manager as _};
use btleplug::platform::{Adapter, Manager};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Arrival;
use super::central::Central;
use super::system::{Change, System, Unavailable};
use crate::config::BleSettings;
use crate::defaults::BLE_ADAPTER_RETRY;
use crate::link::ble::Gone;

/// Why a life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The gateway stops, and every peripheral was let go.
    Stopped,
    /// Bluetooth is not there any more: what is said of it.
    Gone(String),
    /// It never was, and this was said already.
    Unavailable,
}

/// Starts the thread. It ends after `stop` was cancelled and every peripheral was let go, and closes `arrivals`.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(
    entries: Arc<Vec<BleSettings>>,
    arrivals: mpsc::Sender<Arrival>,
    stop: CancellationToken,
) -> io::Result<()> {
    let gateway = Handle::current();
    let build = || Builder::new_current_thread().enable_all().build();
    thread::Builder::new()
        .name("bluetooth".to_owned())
        .spawn(move || run(&entries, &arrivals, &stop, &gateway, build))?;
    Ok(())
}

fn run(
    entries: &Arc<Vec<BleSettings>>,
    arrivals: &mpsc::Sender<Arrival>,
    stop: &CancellationToken,
    gateway: &Handle,
    build: impl Fn() -> io::Result<Runtime>,
) {
    let mut said = Said::default();
    loop {
        let life = || Ok::<_, io::Error>(build()?.block_on(life(entries, arrivals, stop, &mut said)));
        // Parts of the library panic on what they did not expect.
        match catch_unwind(AssertUnwindSafe(life)) {
            Ok(Ok(Ended::Stopped)) => return,
            Ok(Ok(Ended::Gone(why))) => {
                warn!("Bluetooth: {why}; its devices are gone until it is back");
                continue;
            }
            Ok(Ok(Ended::Unavailable)) => {}
            Ok(Err(e)) => said.once(&Unavailable {
                why: format!("cannot start: {e}"),
                hint: "the system may be out of files",
            }),
            Err(_) => error!("the Bluetooth thread ended in a fault inside the library; it starts again"),
        }
        // With the gateway's timer: a runtime of this thread's own is what there may be no files for.
        let pause = async { stop.run_until_cancelled(sleep(BLE_ADAPTER_RETRY)).await };
        if gateway.block_on(pause).is_none() {
            return;
        }
    }
}

/// From the first look at the system's Bluetooth until it goes.
async fn life(
    entries: &Arc<Vec<BleSettings>>,
    arrivals: &mpsc::Sender<Arrival>,
    stop: &CancellationToken,
    said: &mut Said,
) -> Ended {
    let opened = stop.run_until_cancelled(open(said));
    let (mut system, manager) = match opened.await {
        None => return Ended::Stopped,
        Some(None) => return Ended::Unavailable,
        Some(Some(opened)) => opened,
    };
    let found = stop.run_until_cancelled(adapter(&mut system, &manager, said));
    let (adapter, name) = match found.await {
        None => return Ended::Stopped,
        Some(Err(ended)) => return ended,
        Some(Ok(found)) => found,
    };
    let events = match system.events(&adapter, &name).await {
        Ok(events) => events,
        Err(e) => {
            said.once(&Unavailable {
                why: format!("the adapter's events cannot be followed: {e}"),
                hint: "does the message bus run out of match rules?",
            });
            return Ended::Unavailable;
        }
    };
    info!("Bluetooth adapter {name} is on");
    said.forget();
    let why_gone = Gone::default();
    let mut central = Central::new(
        adapter,
        entries.clone(),
        arrivals.clone(),
        system.calls(),
        why_gone.clone(),
    );
    let ended = tokio::select! {
        biased;
        why = gone(&mut system, &name) => Ended::Gone(why),
        ended = central.serve(events, stop) => ended,
    };
    if let Ended::Gone(why) = &ended {
        // Before the tasks that hold the sessions' other ends are dropped; nothing here may wait any more, or what
        // the library drops would be polled.
        let _ = why_gone.set(why.clone());
    }
    ended
}

async fn open(said: &mut Said) -> Option<(System, Manager)> {
    let system = match System::open().await {
        Ok(system) => system,
        Err(unavailable) => {
            said.once(&unavailable);
            return None;
        }
    };
    match system.manager().await {
        Ok(manager) => Some((system, manager)),
        Err(e) => {
            said.once(&System::explain(&e));
            None
        }
    }
}

/// Waits for an adapter that is on.
async fn adapter(
    system: &mut System,
    manager: &Manager,
    said: &mut Said,
) -> Result<(Adapter, String), Ended> {
    loop {
        match first_adapter(system, manager).await {
            Ok(found) => return Ok(found),
            Err(unavailable) => said.once(&unavailable),
        }
        if let Change::Lost(why) = system.changed().await {
            debug!("{why}");
            return Err(Ended::Unavailable);
        }
    }
}

/// The first adapter by its name that is on, with its name.
///
/// # Errors
/// Why there is none.
pub(super) async fn first_adapter(
    system: &System,
    manager: &Manager,
) -> Result<(Adapter, String), Unavailable> {
    let mut off = None;
    for (name, adapter) in adapters(manager).await {
        if matches!(adapter.adapter_state().await, Ok(CentralState::PoweredOn)) {
            return Ok((adapter, name));
        }
        off.get_or_insert(name);
    }
    Err(match &off {
        Some(name) => system.why_off(name).await,
        None => system.why_no_adapter().await,
    })
}

/// The system's adapters, ordered by name.
async fn adapters(manager: &Manager) -> Vec<(String, Adapter)> {
    let listed = manager.adapters().await.unwrap_or_else(|e| {
        debug!("adapters cannot be listed: {e}");
        Vec::new()
    });
    let mut adapters = Vec::new();
    for adapter in listed {
        let name = adapter.adapter_info().await.unwrap_or_default();
        // BlueZ's has more behind the name.
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        adapters.push((name, adapter));
    }
    adapters.sort_by(|a, b| a.0.cmp(&b.0));
    adapters
}

/// Waits until the adapter cannot be used any more.
async fn gone(system: &mut System, adapter: &str) -> String {
    loop {
        match system.changed().await {
            Change::Lost(why) => return why.to_owned(),
            Change::AdapterGone(name) if name == adapter => {
                return format!("the adapter {adapter} was taken away");
            }
            Change::AdapterGone(_) | Change::Perhaps => {}
        }
    }
}

/// What was said last of Bluetooth not being there, so that it is said once.
#[derive(Default)]
struct Said(Option<Unavailable>);

impl Said {
    fn once(&mut self, unavailable: &Unavailable) {
        if self.0.as_ref() != Some(unavailable) {
            warn!(
                "no Bluetooth: {unavailable}; {}. The gateway goes on without it",
                unavailable.hint
            );
            self.0 = Some(unavailable.clone());
        }
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;

    /// A runtime takes file descriptors.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn without_files_bluetooth_is_tried_again_from_time_to_time_until_the_gateway_stops() {
        let tries = Arc::new(Mutex::new(Vec::new()));
        let (tried, gateway) = (tries.clone(), Handle::current());
        let lives = thread::spawn(move || {
            let stop = CancellationToken::new();
            let build = || {
                let mut tried = tried.lock().unwrap();
                tried.push(Instant::now());
                if tried.len() == 2 {
                    stop.cancel();
                }
                Err(io::Error::other("too many open files"))
            };
            run(&Arc::default(), &mpsc::channel(1).0, &stop, &gateway, build);
        });
        let ended = tokio::task::spawn_blocking(|| lives.join());
        ended.await.unwrap().unwrap();
        let tries = tries.lock().unwrap();
        assert_eq!(tries.len(), 2);
        assert!(tries[1] - tries[0] >= BLE_ADAPTER_RETRY);
        assert!(tries[1].elapsed() < BLE_ADAPTER_RETRY, "the stop did not wake it");
    }
}
