//! Stops devices when a client leaves, falls silent or asks for it: the library's stop, then the device's stop bytes,
//! then these once more after the message gap, to undo commands that the library may have held back.

use std::sync::Arc;
use std::time::Duration;

use buttplug_core::message::StopCmdV4;
use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tracing::{Instrument, debug};

use super::Shared;
use super::commands::{guarded_silently, has_position};
use super::ownership::{ClientId, CommandNumber, ToStop};
use crate::defaults::{INPUT_TIMEOUT, STOP_TIMEOUT};
use crate::device::peer::ConnectionId;
use crate::upstream::embedded::{DeviceTable, ListedDevice};

/// Added to a device's message gap, to be sure that the library has passed on what it held back.
const GAP_MARGIN: Duration = Duration::from_millis(10);

/// A device to stop, and its last command at that time.
#[derive(Clone)]
pub(super) struct Target {
    index: u32,
    device: Arc<ListedDevice>,
    last_command: CommandNumber,
}

impl Target {
    pub(super) fn new(shared: &Shared, index: u32, device: &Arc<ListedDevice>) -> Self {
        Self {
            index,
            device: device.clone(),
            last_command: shared.ownership.last_command(index, device.connection),
        }
    }

    /// The devices with a position that a client's stop affects.
    pub(super) fn positions(shared: &Shared, table: &DeviceTable, stop: &StopCmdV4) -> Vec<Self> {
        if !stop.outputs() {
            return Vec::new();
        }
        table
            .iter()
            .filter(|(index, _)| stop.device_index().is_none_or(|wanted| wanted == **index))
            .filter(|(_, device)| has_position(&device.definition, stop.feature_index()))
            .map(|(&index, device)| Self::new(shared, index, device))
            .collect()
    }

    /// Whether this device is still the one listed under its index.
    fn is_listed(&self, shared: &Shared) -> bool {
        let listed = shared.devices().get(&self.index).map(|d| d.connection);
        listed == Some(self.device.connection)
    }

    /// Whether a later command or another device has taken the place, so that this stop no longer applies.
    fn is_superseded(&self, shared: &Shared) -> bool {
        let is_still_last = || {
            shared
                .ownership
                .is_still_last(self.index, self.device.connection, self.last_command)
        };
        !self.is_listed(shared) || !is_still_last()
    }

    /// Runs the library's stop, which flushes what it holds back, unless it ignores the stop as a repetition.
    async fn stop_outputs(&self, shared: &Shared) {
        if !self.is_listed(shared) {
            return;
        }
        let stop = StopCmdV4::new(Some(self.index), None, false, true);
        let stopped = guarded_silently(|| self.device.carry_out(stop.into()));
        // On a timeout the stop stays queued, and the library finishes it.
        let _ = timeout(STOP_TIMEOUT, stopped).await;
    }

    async fn unsubscribe_inputs(self, shared: Arc<Shared>) {
        if !self.is_listed(&shared) {
            return;
        }
        let stop = StopCmdV4::new(Some(self.index), None, true, false);
        let stopped = guarded_silently(|| self.device.carry_out(stop.into()));
        let _ = timeout(INPUT_TIMEOUT, stopped).await;
    }

    async fn send_stop_bytes(&self, shared: &Shared) {
        self.device.drained().await;
        if self.is_superseded(shared) {
            return;
        }
        // On a timeout the stop stays pending: the device's session sends it as soon as its link takes it.
        if timeout(STOP_TIMEOUT, shared.engine.send_stop_bytes(self.index))
            .await
            .is_err()
        {
            debug!(index = self.index, "the device does not take its stop bytes yet");
        }
    }

    async fn stop_again(self, shared: Arc<Shared>) {
        let gap = self.device.definition.message_gap_ms().unwrap_or(0);
        sleep(Duration::from_millis(gap.into()) + GAP_MARGIN).await;
        self.send_stop_bytes(&shared).await;
    }
}

/// Sends the stop bytes of these devices, and sends them again after each device's message gap.
pub(super) async fn send_stop_bytes(shared: Arc<Shared>, targets: Vec<Target>) {
    join_all(targets.iter().map(|target| target.send_stop_bytes(&shared))).await;
    for target in targets {
        spawn_second_stop(&shared, target);
    }
}

/// Stops the devices that a leaving client leaves running. Returns their number.
pub(super) async fn stop_on_leave(shared: &Arc<Shared>, client: ClientId) -> usize {
    let to_stop = shared.ownership.leave(client);
    let targets: Vec<Target> = match &to_stop {
        ToStop::All => (shared.devices().iter())
            .map(|(&index, device)| Target::new(shared, index, device))
            .collect(),
        ToStop::These(devices) => still_listed(shared, devices),
    };
    let stopped = targets.len();
    stop_all(shared, &targets).await;
    for target in targets {
        // Other clients may still use a sensor, so unsubscribe only if none remain.
        let reads = |t: &Target| t.device.definition.features().values().any(|f| f.can_subscribe());
        if to_stop == ToStop::All && reads(&target) {
            let unsubscribed = target.clone().unsubscribe_inputs(shared.clone());
            shared.tasks.spawn(unsubscribed.in_current_span());
        }
        spawn_second_stop(shared, target);
    }
    stopped
}

/// Stops the devices of a silent client that are on, and returns their number. The client still owns them.
pub(super) async fn stop_silent(shared: &Arc<Shared>, client: ClientId) -> usize {
    let mut targets = still_listed(shared, &shared.ownership.devices_of(client));
    targets.retain(|target| target.device.outputs_on());
    let stopped = targets.len();
    stop_all(shared, &targets).await;
    for target in targets {
        spawn_second_stop(shared, target);
    }
    stopped
}

/// Stops one device, as when its client leaves.
pub(super) async fn stop_device(shared: &Arc<Shared>, device: &Arc<ListedDevice>) {
    let target = Target::new(shared, device.index, device);
    stop_all(shared, std::slice::from_ref(&target)).await;
    spawn_second_stop(shared, target);
}

/// Whether a device that this client commanded last may have an output on.
pub(super) fn drives(shared: &Arc<Shared>, client: ClientId) -> bool {
    let devices = still_listed(shared, &shared.ownership.devices_of(client));
    devices.iter().any(|target| target.device.outputs_on())
}

/// The given devices, without those that are no longer listed.
fn still_listed(shared: &Shared, devices: &[(u32, ConnectionId)]) -> Vec<Target> {
    let table = shared.devices();
    let target = |(index, connection): &(u32, ConnectionId)| {
        let device = table.get(index).filter(|d| d.connection == *connection)?;
        Some(Target::new(shared, *index, device))
    };
    devices.iter().filter_map(target).collect()
}

async fn stop_all(shared: &Arc<Shared>, targets: &[Target]) {
    join_all(targets.iter().map(|target| async {
        target.stop_outputs(shared).await;
        target.send_stop_bytes(shared).await;
    }))
    .await;
}

fn spawn_second_stop(shared: &Arc<Shared>, target: Target) {
    shared
        .tasks
        .spawn(target.stop_again(shared.clone()).in_current_span());
}
