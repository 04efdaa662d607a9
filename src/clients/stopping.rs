//! Stopping devices for a client that went, or that asked for it: the library's stop, then the device's own stop
//! bytes, then those once more for what the library may still have held back.

use std::sync::Arc;
use std::time::Duration;

use buttplug_core::message::StopCmdV4;
use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tracing::{Instrument, debug};

use super::Shared;
use super::commands::{guarded_silently, has_position};
use super::ownership::{ClientId, Left, Mark};
use crate::defaults::{INPUT_TIMEOUT, STOP_TIMEOUT};
use crate::device::peer::ConnectionId;
use crate::upstream::embedded::{DeviceTable, ListedDevice};

/// After the message gap of a device, until what the library held back has surely been handed on.
const GAP_MARGIN: Duration = Duration::from_millis(10);

/// A device that is being stopped, and the last command that it had then.
#[derive(Clone)]
pub(super) struct Target {
    index: u32,
    device: Arc<ListedDevice>,
    mark: Mark,
}

impl Target {
    pub(super) fn new(shared: &Shared, index: u32, device: &Arc<ListedDevice>) -> Self {
        Self {
            index,
            device: device.clone(),
            mark: shared.ownership.mark(index, device.connection),
        }
    }

    /// The devices with a position that a client's own stop concerns.
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

    /// Whether it is still the device that is listed under this index.
    fn is_listed(&self, shared: &Shared) -> bool {
        let listed = shared.devices().get(&self.index).map(|d| d.connection);
        listed == Some(self.device.connection)
    }

    /// Somebody commanded the device since then, or it is another one by now: it is not ours to stop.
    fn is_overtaken(&self, shared: &Shared) -> bool {
        let is_last = || {
            shared
                .ownership
                .is_last(self.index, self.device.connection, self.mark)
        };
        !self.is_listed(shared) || !is_last()
    }

    /// The library's stop. It flushes what it holds back, unless it takes the stop for a repetition.
    async fn stop_outputs(&self, shared: &Shared) {
        if !self.is_listed(shared) {
            return;
        }
        let stop = StopCmdV4::new(Some(self.index), None, false, true);
        let stopped = guarded_silently(|| self.device.carry_out(stop.into()));
        // Past the limit it stays queued: it is the library's to finish.
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
        if self.is_overtaken(shared) {
            return;
        }
        // Past the limit the order stands: the device's session carries it out as soon as its link takes it.
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

/// Sends the stop bytes of these devices, and has them sent again after each one's message gap.
pub(super) async fn send_stop_bytes(shared: Arc<Shared>, targets: Vec<Target>) {
    join_all(targets.iter().map(|target| target.send_stop_bytes(&shared))).await;
    for target in targets {
        again(&shared, target);
    }
}

/// Stops what a client that has gone leaves running: how many devices that was.
pub(super) async fn stop_left(shared: &Arc<Shared>, client: ClientId) -> usize {
    let left = shared.ownership.leave(client);
    let targets: Vec<Target> = match &left {
        Left::All => (shared.devices().iter())
            .map(|(&index, device)| Target::new(shared, index, device))
            .collect(),
        Left::These(devices) => those(shared, devices),
    };
    let stopped = targets.len();
    stop_all(shared, &targets).await;
    for target in targets {
        // Other clients may still want what a sensor says; without any nobody does.
        let reads = |t: &Target| t.device.definition.features().values().any(|f| f.can_subscribe());
        if left == Left::All && reads(&target) {
            let unsubscribed = target.clone().unsubscribe_inputs(shared.clone());
            shared.tasks.spawn(unsubscribed.in_current_span());
        }
        again(shared, target);
    }
    stopped
}

/// Stops what a client drives that is silent: how many devices that is. They stay its own.
pub(super) async fn stop_silent(shared: &Arc<Shared>, client: ClientId) -> usize {
    let mut targets = those(shared, &shared.ownership.of(client));
    targets.retain(|target| target.device.outputs_on());
    let stopped = targets.len();
    stop_all(shared, &targets).await;
    for target in targets {
        again(shared, target);
    }
    stopped
}

/// Whether an output may be on of a device that this client commanded last.
pub(super) fn drives(shared: &Arc<Shared>, client: ClientId) -> bool {
    let devices = those(shared, &shared.ownership.of(client));
    devices.iter().any(|target| target.device.outputs_on())
}

/// Those of the devices that are still listed.
fn those(shared: &Shared, devices: &[(u32, ConnectionId)]) -> Vec<Target> {
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

fn again(shared: &Arc<Shared>, target: Target) {
    shared
        .tasks
        .spawn(target.stop_again(shared.clone()).in_current_span());
}
