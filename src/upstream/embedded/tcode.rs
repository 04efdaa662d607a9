//! TCode devices: what the library cannot express for them.
//!
//! The library knows one linear axis, and numbers others by the feature's index. The gateway therefore makes the
//! definition of each TCode device itself, in two forms: the one that clients see, and the one that the library can
//! carry out. The library's frames are then rewritten by the feature that they belong to.
//!
//! - `axes`: the definition of a board that listed its axes.
//! - `channels`: from a feature to its axis.
//! - `fence`: keeps stops from being overtaken by moves that the library still holds.

mod axes;
mod channels;
mod fence;

use std::collections::BTreeMap;
use std::sync::Arc;

use buttplug_core::message::DeviceFeature;
use buttplug_server_device_config::{
    BaseDeviceIdentifier, DeviceConfigurationManager, ProtocolCommunicationSpecifier, ServerDeviceDefinition,
    ServerDeviceDefinitionBuilder, UserDeviceIdentifier, WebsocketSpecifier,
};
use uuid::Uuid;

use super::limits;
use crate::device::handshake::Handshake;
use crate::device::language::limits::Limits;
use crate::device::recognition::{Recognised, TCODE_IDENTIFIER};
use crate::udcf::tcode::PROTOCOL;
pub(super) use channels::Channels;
pub(super) use fence::Fence;

/// The recommended gap between two commands in milliseconds, for clients: 100 moves a second, which fast links carry. The
/// gateway passes on faster commands too, as far as the link takes them.
const RECOMMENDED_GAP_MS: u32 = 10;

/// A TCode device that is connected.
pub(super) struct TcodeDevice {
    /// Which one it is in the library.
    pub(super) id: UserDeviceIdentifier,
    /// What clients see.
    pub(super) definition: Arc<ServerDeviceDefinition>,
    /// The same, with only those outputs that the library has commands for.
    pub(super) in_library: ServerDeviceDefinition,
    /// The axes of its features.
    pub(super) channels: Channels,
    /// Keeps its stops from being overtaken.
    pub(super) fence: Fence,
}

impl TcodeDevice {
    /// Defines a device that is about to be announced; `None` if it is no TCode device. `named` are the entries of the
    /// UDCF `given` for its address: such an entry takes precedence over the axes that the board listed.
    pub(super) fn new(
        given: &DeviceConfigurationManager,
        named: &[UserDeviceIdentifier],
        handshake: &Handshake,
        recognised: Option<&Recognised>,
    ) -> Option<Self> {
        let (address, identifier) = (handshake.address.as_str(), handshake.identifier.as_str());
        let is_tcode = match recognised {
            Some(recognised) => recognised.protocol == PROTOCOL,
            None => speaks_tcode(given, identifier),
        };
        if !is_tcode {
            return None;
        }
        let usual = UserDeviceIdentifier::new(address, PROTOCOL, &Some(identifier.to_owned()));
        let mut entries = named.iter().filter(|id| id.protocol() == PROTOCOL);
        let entry = match recognised {
            // The user cannot know under which identifier the gateway introduces a board that it recognised.
            Some(_) => entries.next(),
            None => entries.find(|id| **id == usual),
        };
        let of_entry = entry.and_then(|id| given.user_device_definitions().get(id).map(|d| d.clone()));
        let definition = match (of_entry, recognised) {
            (Some(definition), _) => definition,
            (None, Some(recognised)) => match custom(given, identifier) {
                // A board whose identifier is configured and which was asked for its axes: the user's features hold.
                Some(custom) if identifier != TCODE_IDENTIFIER => custom,
                _ => axes::definition(address, recognised),
            },
            (None, None) => of_protocol(given, identifier)?,
        };
        let (in_library, channels) = Channels::of(&definition);
        Some(Self {
            id: entry
                .filter(|id| id.identifier().is_some())
                .cloned()
                .unwrap_or(usual),
            definition: Arc::new(definition),
            in_library,
            channels,
            fence: Fence::default(),
        })
    }

    /// The name under which the library finds the definition.
    pub(super) fn name(&self) -> Option<&str> {
        self.id.identifier().as_deref()
    }

    /// The limits of its axes.
    pub(super) fn limits(&self) -> Limits {
        limits::of_device(PROTOCOL, &self.definition, |feature, output| {
            self.channels.names(feature.id(), output.output_type())
        })
    }

    /// The features for the clients' device list.
    pub(super) fn features(&self) -> BTreeMap<u32, DeviceFeature> {
        let features = self.definition.features().values();
        features
            .filter_map(|feature| Some((feature.index(), feature.as_device_feature().ok()?)))
            .filter(|(_, feature)| feature.contains_any_output() || feature.contains_any_input())
            .collect()
    }

    /// The gap between two commands that clients are recommended to keep, in milliseconds.
    pub(super) fn message_gap_ms(&self) -> u32 {
        self.definition.message_gap_ms().unwrap_or(RECOMMENDED_GAP_MS)
    }
}

/// Whether the UDCF says that devices with this websocket name speak TCode.
fn speaks_tcode(given: &DeviceConfigurationManager, identifier: &str) -> bool {
    let name = ProtocolCommunicationSpecifier::Websocket(WebsocketSpecifier::new(identifier));
    let base = given.base_communication_specifiers().get(PROTOCOL);
    let user = given.user_communication_specifiers().get(PROTOCOL);
    base.is_some_and(|all| all.contains(&name)) || user.is_some_and(|all| all.contains(&name))
}

/// The definition that the UDCF has for devices with this name.
fn custom(given: &DeviceConfigurationManager, identifier: &str) -> Option<ServerDeviceDefinition> {
    let name = BaseDeviceIdentifier::new_with_identifier(PROTOCOL, identifier);
    let custom = given.base_device_definitions().get(&name)?;
    Some(ServerDeviceDefinitionBuilder::from_base(custom, Uuid::new_v4(), true).finish())
}

/// The definition that the protocol has for devices with this name, as the library would choose it.
fn of_protocol(given: &DeviceConfigurationManager, identifier: &str) -> Option<ServerDeviceDefinition> {
    if let Some(custom) = custom(given, identifier) {
        return Some(custom);
    }
    let all = given.base_device_definitions();
    let default = all.get(&BaseDeviceIdentifier::new_default(PROTOCOL))?;
    let mut definition = ServerDeviceDefinitionBuilder::from_base(default, Uuid::new_v4(), true);
    // The library assumes a slow wire and passes on one command in 20 ms. Every session paces its own link, and lets
    // newer commands replace older ones that wait. Only a user can set a gap besides, and never in this definition.
    definition.message_gap_ms(None);
    Some(definition.finish())
}

#[cfg(test)]
mod tests;
