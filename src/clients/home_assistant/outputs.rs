//! The outputs that Home Assistant set: until when, and who takes them over.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use buttplug_core::message::StopCmdV4;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::info;

use super::At;
use super::app::{App, AppEvent, Set};
use super::features;
use crate::clients::Clients;
use crate::clients::commands::guarded_silently;
use crate::clients::ownership::ClientId;
use crate::clients::stopping;
use crate::device::home_assistant::output::{Key, Output};
use crate::upstream::embedded::ListedDevice;

/// The app leaves by itself if it was not used for the time of an output and this.
const IDLE_MARGIN: Duration = Duration::from_secs(2);

/// How long a command may take from the server to the device.
const SETTLE: Duration = Duration::from_millis(500);

/// An output that ends before the server took it waits for that, so often and so long.
const TRIES_MAX: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// The outputs that Home Assistant set. While there are some, it is one of the apps.
pub(super) struct Outputs {
    clients: Clients,
    hold: Duration,
    move_ms: u32,
    app: Option<App>,
    /// The app that left last.
    gone: Option<(ClientId, JoinHandle<()>)>,
    held: BTreeMap<At, Held>,
    /// The devices of which the log says that somebody else drives them.
    refused: HashSet<At>,
    events: UnboundedSender<AppEvent>,
    last_number: u32,
}

/// A device of which outputs are on.
struct Held {
    device: Arc<ListedDevice>,
    outputs: BTreeMap<Key, Hold>,
}

struct Hold {
    step: i32,
    until: Instant,
    number: u32,
    /// The server took it.
    is_taken: bool,
    /// How often it was to end before that.
    tries: u32,
}

impl Hold {
    /// Whether it should be on by now, and would be unless somebody stopped the device.
    fn is_settled(&self, hold: Duration) -> bool {
        self.is_taken && self.until < Instant::now() + hold - SETTLE.min(hold)
    }
}

impl Outputs {
    pub(super) fn new(
        clients: Clients,
        hold: Duration,
        move_time: Duration,
        events: UnboundedSender<AppEvent>,
    ) -> Self {
        Self {
            clients,
            hold,
            move_ms: u32::try_from(move_time.as_millis()).unwrap_or(u32::MAX),
            app: None,
            gone: None,
            held: BTreeMap::new(),
            refused: HashSet::new(),
            events,
            last_number: 0,
        }
    }

    /// The steps of the outputs of a device that Home Assistant set.
    pub(super) fn of(&self, at: &At) -> Vec<(Key, i32)> {
        let outputs = self.held.get(at).map(|held| &held.outputs);
        let steps = outputs.into_iter().flatten();
        steps.map(|(key, hold)| (*key, hold.step)).collect()
    }

    /// When the next output ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let holds = self.held.values().flat_map(|held| held.outputs.values());
        holds.map(|hold| hold.until).min()
    }

    /// Sets an output to so many per cent, unless somebody else drives the device. Returns a fault for the log.
    pub(super) fn set(
        &mut self,
        at: &At,
        output: &Output,
        percent: i32,
        device: &Arc<ListedDevice>,
    ) -> Option<String> {
        if let Some(driver) = self.other_driver(device) {
            if self.refused.insert(at.clone()) {
                info!(
                    address = %device.session().handshake.address,
                    "Home Assistant does not set the device: {driver} drives it"
                );
            }
            self.drop_device(at);
            return None;
        }
        self.refused.remove(at);
        let key = output.key;
        if percent == 0 && !features::is_position(key) {
            self.end(at, key);
            return None;
        }
        let step = output.step(percent);
        let command = features::command(device, key, step, self.move_ms)?;
        self.last_number = self.last_number.wrapping_add(1);
        let number = self.last_number;
        let app = match self.app.take() {
            Some(app) => app,
            None => App::join(
                &self.clients,
                self.gone.take().map(|(_, gone)| gone),
                self.hold + IDLE_MARGIN,
                self.events.clone(),
            ),
        };
        let is_sent = app.send(Set {
            number,
            device: device.index,
            feature: key.feature,
            command,
        });
        self.app = Some(app);
        if !is_sent {
            return Some("a number from Home Assistant is dropped: too many come at once".to_owned());
        }
        let held = self.held.entry(at.clone()).or_insert_with(|| Held {
            device: device.clone(),
            outputs: BTreeMap::new(),
        });
        if held.device.connection != device.connection {
            held.outputs.clear();
        }
        held.device = device.clone();
        let hold = Hold {
            step,
            until: Instant::now() + self.hold,
            number,
            is_taken: false,
            tries: 0,
        };
        held.outputs.insert(key, hold);
        None
    }

    /// Who drives the device, if that is somebody else.
    fn other_driver(&self, device: &ListedDevice) -> Option<String> {
        if device.session().is_commanded_by_hand() {
            return Some(super::BY_HAND.to_owned());
        }
        let driver = self.clients.driver(device.index, device.connection)?;
        let ours = [
            self.app.as_ref().map(|app| app.id),
            self.gone.as_ref().map(|(id, _)| *id),
        ];
        if !device.outputs_on() || ours.into_iter().flatten().any(|id| id.0 == driver) {
            return None;
        }
        let apps = self.clients.apps();
        let app = apps.into_iter().find(|app| app.id == driver)?;
        Some(format!("the app {}", app.name))
    }

    /// The answer to a command, or the end of the app. Returns a fault for the log.
    pub(super) fn event(&mut self, event: AppEvent) -> Option<String> {
        match event {
            AppEvent::Taken(number) => {
                let holds = self.held.values_mut().flat_map(|held| held.outputs.values_mut());
                for hold in holds.filter(|hold| hold.number == number) {
                    hold.is_taken = true;
                }
            }
            AppEvent::Refused(number, why) => {
                for held in self.held.values_mut() {
                    held.outputs.retain(|_, hold| hold.number != number);
                }
                self.tidy();
                return Some(format!("a number from Home Assistant is refused: {why}"));
            }
            AppEvent::Left(id) => {
                // Of one that was told to leave, nothing is held any more.
                if self.app.take_if(|app| app.id == id).is_some() {
                    self.held.clear();
                }
            }
        }
        None
    }

    /// Ends the outputs that are due.
    pub(super) fn end_due(&mut self) {
        let now = Instant::now();
        let due: Vec<(At, Key)> = self
            .held
            .iter()
            .flat_map(|(at, held)| held.outputs.iter().map(move |(key, hold)| (at, key, hold)))
            .filter(|(_, _, hold)| hold.until <= now)
            .map(|(at, key, _)| (at.clone(), *key))
            .collect();
        for (at, key) in due {
            self.end(&at, key);
        }
    }

    /// Ends one output.
    fn end(&mut self, at: &At, key: Key) {
        let others = self.held.values().map(|held| held.outputs.len()).sum::<usize>() > 1;
        let Some(held) = self.held.get_mut(at) else { return };
        let Some(hold) = held.outputs.get_mut(&key) else {
            return;
        };
        if others && !hold.is_taken && hold.tries < TRIES_MAX {
            // Its command must not follow its stop.
            hold.tries += 1;
            hold.until = Instant::now() + TRY_AGAIN;
            return;
        }
        let is_taken = hold.is_taken;
        held.outputs.remove(&key);
        let (device, is_last) = (held.device.clone(), held.outputs.is_empty());
        if !others || !is_taken {
            self.end_all();
        } else if let Some(app) = &self.app {
            stop(&self.clients, app.id, device, (!is_last).then_some(key.feature));
            self.tidy();
        }
    }

    /// Ends all of them: the app leaves.
    pub(super) fn end_all(&mut self) {
        self.held.clear();
        if let Some(app) = self.app.take() {
            self.gone = Some((app.id, app.leave()));
        }
    }

    /// Gives up a device that is gone, or that somebody else drives.
    pub(super) fn drop_device(&mut self, at: &At) -> bool {
        let was_held = self.held.remove(at).is_some();
        self.tidy();
        was_held
    }

    /// Gives up the devices that somebody else drives now; returns whether there were any. `listed` is whether a device
    /// is still the one that was set.
    pub(super) fn look(&mut self, listed: impl Fn(&At, &ListedDevice) -> bool) -> bool {
        let lost: Vec<At> = self
            .held
            .iter()
            .filter(|(at, held)| {
                let is_taken = held.outputs.values().all(|hold| hold.is_taken);
                let is_settled = held.outputs.values().all(|hold| hold.is_settled(self.hold));
                !listed(at, &held.device)
                    || is_taken && self.other_driver(&held.device).is_some()
                    || is_settled && !held.device.outputs_on()
            })
            .map(|(at, _)| at.clone())
            .collect();
        for at in &lost {
            info!("{}/{} is not driven by Home Assistant any more", at.0, at.1);
            self.held.remove(at);
        }
        self.tidy();
        !lost.is_empty()
    }

    /// Without outputs it is no app.
    fn tidy(&mut self) {
        self.held.retain(|_, held| !held.outputs.is_empty());
        if self.held.is_empty() {
            self.end_all();
        }
    }

    /// Leaves, and waits until what it drove is stopped.
    pub(super) async fn leave(mut self) {
        self.end_all();
        if let Some((_, gone)) = self.gone {
            let _ = gone.await;
        }
    }
}

/// Stops one output of a device, or all of it, unless somebody else has commanded it since.
fn stop(clients: &Clients, app: ClientId, device: Arc<ListedDevice>, feature: Option<u32>) {
    let shared = clients.shared.clone();
    let runtime = shared.engine.runtime().clone();
    let tasks = shared.tasks.clone();
    // On the thread of all apps: no command of another one comes between the question and the stop.
    tasks.spawn_on(
        async move {
            let driver = shared.ownership.driver(device.index, device.connection);
            if driver != Some(app.0) || device.session().is_commanded_by_hand() {
                return;
            }
            match feature {
                Some(_) => {
                    let stop = StopCmdV4::new(Some(device.index), feature, false, true);
                    guarded_silently(|| device.carry_out(stop.into())).await;
                }
                None => stopping::stop_device(&shared, &device).await,
            }
        },
        &runtime,
    );
}
