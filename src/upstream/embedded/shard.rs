//! One of the library's device managers, with its share of the devices.
//!
//! On each arrival and departure the library walks all devices of a manager: it builds the whole list, looks for the
//! address, and searches for a free index. So each manager gets few devices, and the engine starts as many managers
//! as it needs. All run on the engine's one thread, where choosing an index and storing it cannot be interleaved. An
//! index of the library is unique only within its shard; clients see those of the
//! [`IndexStore`](crate::udcf::store::IndexStore).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use buttplug_core::message::{ButtplugMessageSpecVersion, ButtplugServerMessageV4, RequestServerInfoV4};
use buttplug_server::device::hardware::communication::HardwareCommunicationManagerEvent;
use buttplug_server::device::{ServerDeviceManager, ServerDeviceManagerBuilder};
use buttplug_server::{ButtplugServer, ButtplugServerBuilder, ButtplugServerError};
use buttplug_server_device_config::{
    DeviceConfigurationManager, ProtocolCommunicationSpecifier, ServerDeviceDefinition,
    ServerDeviceDefinitionBuilder, UserDeviceIdentifier, WebsocketSpecifier,
};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;

use super::TcodeDevice;
use super::hardware::CommunicationManagerBuilder;
use crate::device::language;

/// Devices per manager. Listing them takes the square of this many steps; a smaller number would multiply the
/// managers' own tables.
pub(super) const DEVICES: usize = 128;
/// Devices that a manager may serve in its life. The library keeps the finished task of every device until the
/// manager is dropped, so after this many the manager gets no more, and is dropped with its last device.
pub(super) const ARRIVALS: usize = 8 * DEVICES;
/// Definitions of devices that left before they were listed, beyond those of the present devices.
const LEFT_OVER_DEFINITIONS: usize = 16;

/// The specifier of boards that were recognised by the protocol that they speak. A UDCF does not name them, and this name
/// keeps them apart from the devices that it does name.
pub(super) fn recognised_as(protocol: &str) -> ProtocolCommunicationSpecifier {
    let name = format!("recognised as {protocol}");
    ProtocolCommunicationSpecifier::Websocket(WebsocketSpecifier::new(&name))
}

pub(super) type ManagerEvents = BoxStream<'static, ButtplugServerMessageV4>;

/// A device manager with room for [`DEVICES`].
pub(super) struct Shard {
    pub(super) manager: Arc<ServerDeviceManager>,
    pub(super) found: mpsc::Sender<HardwareCommunicationManagerEvent>,
    /// Addresses that are placed here.
    members: AtomicUsize,
    arrivals: AtomicUsize,
    /// Whether the UDCF was replaced since.
    is_retired: AtomicBool,
    /// Converts the messages of older clients, by message version.
    converters: [OnceLock<Option<ButtplugServer>>; 4],
}

impl Shard {
    /// Starts a manager with the configuration in `given`, except for the devices that it names: those are added by
    /// [`Shard::prepare`]. Must be called on the engine's runtime.
    pub(super) fn start(
        given: &DeviceConfigurationManager,
    ) -> Result<(Self, ManagerEvents), ButtplugServerError> {
        // Devices are announced by their websocket specifier on every kind of link.
        let websocket = |specifiers: &Vec<ProtocolCommunicationSpecifier>| {
            let mut specifiers = specifiers.clone();
            specifiers.retain(|s| matches!(s, ProtocolCommunicationSpecifier::Websocket(_)));
            (!specifiers.is_empty()).then_some(specifiers)
        };
        let base = given
            .base_communication_specifiers()
            .iter()
            .filter_map(|(protocol, all)| Some((protocol.clone(), websocket(all)?)))
            .collect();
        let config = DeviceConfigurationManager::new(base, given.base_device_definitions().clone());
        for entry in given.user_communication_specifiers() {
            if let Some(specifiers) = websocket(entry.value()) {
                config
                    .user_communication_specifiers()
                    .insert(entry.key().clone(), specifiers);
            }
        }
        for protocol in language::known_protocols() {
            let mut specifiers = config
                .user_communication_specifiers()
                .entry(protocol.to_owned())
                .or_default();
            specifiers.push(recognised_as(protocol));
        }
        let (manager_builder, found) = CommunicationManagerBuilder::new();
        let manager = ServerDeviceManagerBuilder::new(config)
            .comm_manager(manager_builder)
            .finish()?;
        let events = manager.event_stream().boxed();
        let shard = Self {
            manager: Arc::new(manager),
            found: found.take(),
            members: AtomicUsize::new(0),
            arrivals: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            converters: Default::default(),
        };
        Ok((shard, events))
    }

    fn config(&self) -> &DeviceConfigurationManager {
        self.manager.device_configuration_manager()
    }

    /// Whether another device fits, and the library's loop has not ended by a fault of its own.
    pub(super) fn has_room(&self) -> bool {
        self.members.load(Ordering::Relaxed) < DEVICES && !self.is_used_up() && !self.found.is_closed()
    }

    /// Stops accepting devices. Those that it has stay.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Whether the UDCF was replaced since the manager was started.
    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// Whether the manager gets no more devices.
    fn is_used_up(&self) -> bool {
        self.is_retired() || self.arrivals.load(Ordering::Relaxed) >= ARRIVALS
    }

    /// Whether the manager is empty and will stay so.
    pub(super) fn is_over(&self) -> bool {
        self.is_used_up() && self.members.load(Ordering::Relaxed) == 0
    }

    pub(super) fn add_member(&self) {
        self.members.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the definitions of a device that is about to be announced, each with an index that is free here: those that
    /// the configuration has under `ids`, and that of a TCode device, which is made anew for each connection. `is_member`
    /// tells whether an address is placed here. Must be called on the engine's thread, like everything that chooses an
    /// index.
    pub(super) fn prepare(
        &self,
        ids: &[UserDeviceIdentifier],
        given: &DeviceConfigurationManager,
        tcode: Option<&TcodeDevice>,
        is_member: impl Fn(&str) -> bool,
    ) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        let definitions = self.config().user_device_definitions();
        if definitions.len() > 2 * self.members.load(Ordering::Relaxed) + LEFT_OVER_DEFINITIONS {
            definitions.retain(|id, _| is_member(id.address()));
        }
        for id in ids {
            if definitions.contains_key(id) || tcode.is_some_and(|tcode| tcode.id == *id) {
                continue;
            }
            if let Some(definition) = given.user_device_definitions().get(id).map(|d| d.clone()) {
                self.define(id, &definition);
            }
        }
        if let Some(tcode) = tcode {
            self.define(&tcode.id, &tcode.in_library);
        }
    }

    /// Adds a definition, or replaces it and keeps its index.
    fn define(&self, id: &UserDeviceIdentifier, definition: &ServerDeviceDefinition) {
        let definitions = self.config().user_device_definitions();
        let known = definitions.get(id).map(|known| known.index());
        let index = known.unwrap_or_else(|| {
            let taken: HashSet<u32> = definitions.iter().map(|d| d.index()).collect();
            (0..).find(|index| !taken.contains(index)).unwrap_or(u32::MAX)
        });
        let mut definition = ServerDeviceDefinitionBuilder::from_user(definition);
        definition.index(index);
        self.config().add_user_device_definition(id, &definition.finish());
    }

    /// The library's definition of a device.
    pub(super) fn definition(&self, id: &UserDeviceIdentifier) -> Option<ServerDeviceDefinition> {
        let definitions = self.config().user_device_definitions();
        definitions.get(id).map(|definition| definition.clone())
    }

    /// Forgets a device that left. Otherwise the library would keep its definition for ever, and strangers may
    /// connect under any number of addresses.
    pub(super) fn remove_member(&self, address: &str) {
        self.members.fetch_sub(1, Ordering::Relaxed);
        self.config()
            .user_device_definitions()
            .retain(|id, _| id.address() != address);
    }

    /// How many definitions the library holds.
    #[cfg(test)]
    pub(super) fn definitions(&self) -> usize {
        self.config().user_device_definitions().len()
    }

    /// The library's own converter for messages of versions 0 to 3, shared by all clients. `None` if it does not
    /// work.
    pub(super) fn converter(&self, version: ButtplugMessageSpecVersion) -> Option<&ButtplugServer> {
        let converter = self.converters.get(version as usize)?;
        let start = || {
            let server = ButtplugServerBuilder::with_shared_device_manager(self.manager.clone())
                .finish()
                .ok()?;
            let hello = RequestServerInfoV4::new("wsdm-gateway", version, 0);
            let greeted = server.parse_checked_message(hello.into()).now_or_never()?;
            greeted.is_ok().then_some(server)
        };
        converter.get_or_init(start).as_ref()
    }
}

/// A manager without devices, for what concerns none: handshakes, pings and scans.
pub(super) struct Front {
    pub(super) manager: Arc<ServerDeviceManager>,
    /// The library ends a manager that has no sender for found devices.
    _found: mpsc::Sender<HardwareCommunicationManagerEvent>,
}

impl Front {
    /// Starts the manager. Must be called on the engine's runtime.
    pub(super) fn start() -> Result<(Self, ManagerEvents), ButtplugServerError> {
        let config = DeviceConfigurationManager::new(HashMap::new(), HashMap::new());
        let (manager_builder, found) = CommunicationManagerBuilder::new();
        let manager = ServerDeviceManagerBuilder::new(config)
            .comm_manager(manager_builder)
            .finish()?;
        let events = manager.event_stream().boxed();
        let front = Self {
            manager: Arc::new(manager),
            _found: found.take(),
        };
        Ok((front, events))
    }
}
