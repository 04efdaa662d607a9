//! A device that clients see, and the path of its commands into the library.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use buttplug_core::errors::{ButtplugDeviceError, ButtplugError};
use buttplug_core::message::{
    ButtplugDeviceMessage, ButtplugMessage, ButtplugServerMessageV4, DeviceMessageInfoV4, ErrorV0,
    InputTypeReading, OkV0, StopCmdV4,
};
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;
use buttplug_server::message::{
    ButtplugClientMessageV0, ButtplugClientMessageV1, ButtplugClientMessageV2, ButtplugClientMessageV3,
    ButtplugClientMessageVariant, ButtplugServerMessageV2, ButtplugServerMessageV3,
    ButtplugServerMessageVariant,
};
use buttplug_server_device_config::{ServerDeviceDefinition, UserDeviceIdentifier};
use futures::FutureExt;
use futures::future::{self, BoxFuture, join_all};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::TcodeDevice;
use super::shard::Shard;
use crate::defaults::{FENCE_TIMEOUT, LIBRARY_STOP_TIMEOUT};
use crate::device::peer::ConnectionId;
use crate::session::registry::SessionHandle;
use crate::udcf::edit::device::Subject;

/// The listed devices, by device index.
pub type DeviceTable = BTreeMap<u32, Arc<ListedDevice>>;

/// A device that the server lists.
pub struct ListedDevice {
    /// The index that clients see.
    pub index: u32,
    /// The connection. The same index with another connection is a device that left and came back.
    pub connection: ConnectionId,
    /// Its entry in the clients' device list.
    pub info: DeviceMessageInfoV4,
    /// Its features and limits.
    pub definition: Arc<ServerDeviceDefinition>,
    pub(super) identifier: UserDeviceIdentifier,
    pub(super) session: Arc<SessionHandle>,
    pub(super) listing: Arc<Listing>,
    pub(super) place: Place,
    /// Its definition and axes, if it is a TCode device.
    pub(super) tcode: Option<Arc<TcodeDevice>>,
    pub(super) commanded: AtomicBool,
}

/// A device's place in the library.
pub(super) struct Place {
    pub(super) shard: Arc<Shard>,
    /// Its index in that shard.
    pub(super) index: u32,
}

/// Whether the library lists a device: not yet, now, or no longer.
#[derive(Default)]
pub(super) struct Listing {
    stage: AtomicU8,
    unlisted: Notify,
}

impl Listing {
    const LISTED: u8 = 1;
    const UNLISTED: u8 = 2;

    pub(super) fn set_listed(&self) {
        self.stage.store(Self::LISTED, Ordering::Release);
    }

    pub(super) fn set_unlisted(&self) {
        self.stage.store(Self::UNLISTED, Ordering::Release);
        // Only the device's own session waits; the permit is kept if it does not wait yet.
        self.unlisted.notify_one();
    }

    pub(super) fn is_unlisted(&self) -> bool {
        self.stage.load(Ordering::Acquire) == Self::UNLISTED
    }

    pub(super) fn was_listed(&self) -> bool {
        self.stage.load(Ordering::Acquire) != 0
    }

    pub(super) async fn unlisted(&self) {
        while self.stage.load(Ordering::Acquire) != Self::UNLISTED {
            self.unlisted.notified().await;
        }
    }
}

impl fmt::Debug for ListedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedDevice")
            .field("index", &self.index)
            .field("connection", &self.connection)
            .field("identifier", &self.identifier)
            .field("stage", &self.listing.stage.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// The library's reply to a message of version 4.
pub type Reply = Result<ButtplugServerMessageV4, ErrorV0>;

/// The library's reply to a message of versions 0 to 3.
pub struct LegacyReply {
    /// Whether it is an Error.
    pub failed: bool,
    /// The reply, in the version of the message.
    pub message: ButtplugServerMessageVariant,
}

impl ListedDevice {
    /// The session of the device.
    pub fn session(&self) -> &Arc<SessionHandle> {
        &self.session
    }

    /// Whether an output of the device may be on.
    pub fn outputs_on(&self) -> bool {
        self.session.outputs_on.load(Ordering::Relaxed)
    }

    /// The device as its entry in the UDCF knows it, beside devices with these indexes.
    pub fn subject(&self, taken: Vec<u32>) -> Subject {
        // What is in a file has the id of what it builds on.
        let is_own = self.definition.base_id().is_none();
        Subject {
            address: self.identifier.address().clone(),
            protocol: self.identifier.protocol().clone(),
            identifier: self.identifier.identifier().clone(),
            index: Some(self.index),
            own: is_own.then(|| self.definition.clone()),
            taken,
        }
    }

    /// Stops the device through the library, which can stop every protocol; returns whether it did. Takes
    /// [`LIBRARY_STOP_TIMEOUT`] at most.
    pub(super) async fn stop(&self) -> bool {
        let stop = async {
            let stop = StopCmdV4::new(Some(self.index), None, false, true);
            self.carry_out(stop.into()).await
        };
        let stopped = timeout(LIBRARY_STOP_TIMEOUT, AssertUnwindSafe(stop).catch_unwind()).await;
        let index = self.index;
        let is_stopped = matches!(stopped, Ok(Ok(Ok(_))));
        match stopped {
            Ok(Ok(Ok(_))) => debug!(index, "the server stopped the device"),
            Ok(Ok(Err(e))) => {
                warn!(index, "the server did not stop the device: {}", e.error_message());
            }
            Ok(Err(_)) => warn!(index, "the server failed while it stopped the device"),
            Err(_) => warn!(index, "the device did not take the server's stop in time"),
        }
        is_stopped
    }

    /// Completes when the library has drained the moves that it held when the last stop was carried out; at once for
    /// devices that are not TCode's. After [`FENCE_TIMEOUT`] it completes in any case: moves that come out later are
    /// still dropped.
    pub async fn drained(&self) {
        if let Some(tcode) = &self.tcode
            && timeout(FENCE_TIMEOUT, tcode.fence.all_passed()).await.is_err()
        {
            debug!(
                index = self.index,
                "the server still holds moves from before the stop"
            );
        }
    }

    /// Queues a fence before a stop; see [`Fence`](super::tcode::Fence). As for [`ListedDevice::carry_out`], the first
    /// poll queues it.
    pub(super) fn fence(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let (command, unqueued) = self.tcode.as_ref()?.fence.begin(self.place.index);
        let queued = self.place.shard.manager.parse_message(command.into());
        Some(async move {
            if let Ok(Ok(_)) = AssertUnwindSafe(queued).catch_unwind().await {
                unqueued.queued();
            }
        })
    }

    /// Makes the library carry out a checked command of this device. As in the library itself, the call records the
    /// command and the first poll queues it. Both the call and a poll may panic.
    pub fn carry_out(&self, mut command: ButtplugCheckedClientMessageV4) -> BoxFuture<'static, Reply> {
        use ButtplugCheckedClientMessageV4 as M;
        let id = command.id();
        if let Some(tcode) = &self.tcode {
            match &mut command {
                M::OutputCmd(m) => *m = tcode.channels.for_library(m.clone()),
                M::OutputVecCmd(m) => *m = tcode.channels.all_for_library(m),
                _ => {}
            }
        }
        match &mut command {
            M::OutputCmd(m) => m.set_device_index(self.place.index),
            M::OutputVecCmd(m) => m.set_device_index(self.place.index),
            M::InputCmd(m) => m.set_device_index(self.place.index),
            M::StopCmd(m) => {
                *m = StopCmdV4::new(Some(self.place.index), m.feature_index(), m.inputs(), m.outputs());
            }
            _ => {}
        }
        let index = self.index;
        let fence = match &command {
            M::StopCmd(m) if m.outputs() => self.fence(),
            _ => None,
        };
        let session = self.session.clone();
        let carried_out = self.place.shard.manager.parse_message(command);
        async move {
            if let Some(fence) = fence {
                fence.await;
            }
            carried_out.await
        }
        .map(move |reply| match reply {
            Ok(mut reply) => {
                reply.set_id(id);
                if let ButtplugServerMessageV4::InputReading(reading) = &mut reply {
                    reading.set_device_index(index);
                    if let InputTypeReading::Battery(level) = reading.reading() {
                        session.battery.report(level.data());
                    }
                }
                Ok(reply)
            }
            Err(error) => Err(as_seen_by_clients(id, index, error)),
        })
        .boxed()
    }

    /// Makes the library convert, check, carry out and answer a device command of versions 0 to 3 that sets no output.
    /// May panic, as [`ListedDevice::carry_out`] may.
    pub fn convert_and_carry_out(
        &self,
        mut command: ButtplugClientMessageVariant,
    ) -> BoxFuture<'static, LegacyReply> {
        let (id, index) = (command.id(), self.index);
        let shard = &self.place.shard;
        // On the library's one thread no device can leave between this check and the call.
        let is_there = shard.manager.device_info(self.place.index).is_some();
        let Some(converter) = shard.converter(command.version()).filter(|_| is_there) else {
            let error = ButtplugDeviceError::DeviceNotAvailable(index).into();
            let error = as_seen_by_clients(id, index, error);
            return future::ready(LegacyReply {
                failed: true,
                message: ButtplugServerMessageV4::Error(error).into(),
            })
            .boxed();
        };
        set_legacy_device(&mut command, Some(self.place.index));
        converter
            .parse_message(command)
            .map(move |reply| {
                let failed = reply.is_err();
                let mut message = reply.unwrap_or_else(|error| error);
                match &mut message {
                    ButtplugServerMessageVariant::V2(ButtplugServerMessageV2::BatteryLevelReading(m)) => {
                        m.set_device_index(index);
                    }
                    ButtplugServerMessageVariant::V3(ButtplugServerMessageV3::SensorReading(m)) => {
                        m.set_device_index(index);
                    }
                    _ => {}
                }
                LegacyReply { failed, message }
            })
            .boxed()
    }
}

/// Makes these shards stop all their devices. The call gives the order, as [`ListedDevice::carry_out`] does.
pub(super) fn stop_all(shards: &[Arc<Shard>], stop: &StopCmdV4) -> BoxFuture<'static, Reply> {
    let id = stop.id();
    let stops: Vec<_> = shards
        .iter()
        .map(|shard| shard.manager.parse_message(stop.clone().into()))
        .collect();
    join_all(stops)
        .map(move |done| {
            for stopped in done {
                stopped.map_err(|error| {
                    let mut error = ErrorV0::from(error);
                    error.set_id(id);
                    error
                })?;
            }
            Ok(OkV0::new(id).into())
        })
        .boxed()
}

fn as_seen_by_clients(id: u32, index: u32, error: ButtplugError) -> ErrorV0 {
    let error = match error {
        ButtplugError::ButtplugDeviceError(ButtplugDeviceError::DeviceNotAvailable(_)) => {
            ButtplugDeviceError::DeviceNotAvailable(index).into()
        }
        other => other,
    };
    let mut error = ErrorV0::from(error);
    error.set_id(id);
    error
}

/// The device of a command of versions 0 to 3.
pub fn legacy_device(command: &mut ButtplugClientMessageVariant) -> Option<u32> {
    set_legacy_device(command, None)
}

/// The device of a command of versions 0 to 3, which is replaced by `to`. The library's own function knows no device
/// for some commands of version 1.
fn set_legacy_device(command: &mut ButtplugClientMessageVariant, to: Option<u32>) -> Option<u32> {
    fn set(command: &mut impl ButtplugDeviceMessage, to: Option<u32>) -> Option<u32> {
        let index = command.device_index();
        command.set_device_index(to.unwrap_or(index));
        Some(index)
    }
    macro_rules! each {
        ($kind:ident, $command:expr, [$($name:ident),*]) => {
            match $command {
                $($kind::$name(m) => set(m, to),)*
                _ => None,
            }
        };
    }
    use ButtplugClientMessageVariant as M;
    match command {
        M::V0(m) => each!(
            ButtplugClientMessageV0,
            m,
            [SingleMotorVibrateCmd, FleshlightLaunchFW12Cmd, VorzeA10CycloneCmd]
        ),
        M::V1(m) => each!(
            ButtplugClientMessageV1,
            m,
            [
                VibrateCmd,
                LinearCmd,
                RotateCmd,
                SingleMotorVibrateCmd,
                FleshlightLaunchFW12Cmd,
                VorzeA10CycloneCmd
            ]
        ),
        M::V2(m) => each!(
            ButtplugClientMessageV2,
            m,
            [VibrateCmd, LinearCmd, RotateCmd, BatteryLevelCmd]
        ),
        M::V3(m) => each!(
            ButtplugClientMessageV3,
            m,
            [
                VibrateCmd,
                LinearCmd,
                RotateCmd,
                ScalarCmd,
                SensorReadCmd,
                SensorSubscribeCmd,
                SensorUnsubscribeCmd
            ]
        ),
        M::V4(_) => None,
    }
}
