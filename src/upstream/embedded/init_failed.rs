//! What to do about a device that the library dropped before it listed it.

use buttplug_server_device_config::{
    DeviceConfigurationManager, ProtocolCommunicationSpecifier, WebsocketSpecifier,
};

use super::Engine;
use crate::device::recognition::LOVENSE;
use crate::session::ends::UpstreamError;
use crate::session::registry::SessionHandle;
use crate::udcf::feasible::refused_name;

impl Engine {
    /// Why the protocol of this device did not take it, as far as can be found out. A device that was recognised has its
    /// protocol from that. May take milliseconds.
    pub(super) fn init_failed(
        &self,
        session: &SessionHandle,
        recognised: Option<&'static str>,
    ) -> UpstreamError {
        let given = self.given();
        let identifier = session.handshake.identifier.as_str();
        let protocol = match recognised {
            Some(protocol) => Some(protocol.to_owned()),
            None => protocol_of(&given.config, identifier),
        };
        let protocol = protocol.unwrap_or_else(|| "of this identifier".to_owned());
        let hint = if protocol == LOVENSE {
            "answer DeviceType; with text such as Z:11:AABBCCDDEEFF;".to_owned()
        } else {
            refused_name(&given.config, &protocol, identifier).unwrap_or_else(|| {
                format!(
                    "the answers to the first frames of {protocol} did not come or were not understood; a protocol that \
                     reads values of its device, as over Bluetooth, cannot work here"
                )
            })
        };
        UpstreamError::InitFailed { protocol, hint }
    }
}

/// The protocol that the UDCF gives a websocket name.
fn protocol_of(given: &DeviceConfigurationManager, identifier: &str) -> Option<String> {
    let name = ProtocolCommunicationSpecifier::Websocket(WebsocketSpecifier::new(identifier));
    let users = given.user_communication_specifiers();
    let of_user = users.iter().find(|entry| entry.value().contains(&name));
    if let Some(entry) = of_user {
        return Some(entry.key().clone());
    }
    let mut base = given.base_communication_specifiers().iter();
    base.find(|(_, names)| names.contains(&name))
        .map(|(protocol, _)| protocol.clone())
}
