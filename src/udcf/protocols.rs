//! The protocols that the server knows, and their features.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use buttplug_server::device::protocol::ProtocolManager;
use buttplug_server_device_config::{
    BaseDeviceIdentifier, BluetoothLESpecifier, Endpoint, ProtocolCommunicationSpecifier,
    ServerDeviceDefinition, WebsocketSpecifier,
};
use serde::Serialize;
use uuid::Uuid;

use super::BASE;
use super::probe::{Trial, try_all};
use crate::device::peripheral::Layout;

/// Names less similar than this are not suggested as corrections.
const NEAREST_MIN_SIMILARITY: f64 = 0.75;

/// A protocol that the server implements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protocol {
    /// Its name in a UDCF.
    pub name: String,
    /// Whether a device that is known only by its websocket name has features.
    pub has_default: bool,
    /// How many models the server's own base names.
    pub models: usize,
    /// The outputs of its devices.
    pub outputs: BTreeSet<String>,
    /// The inputs of its devices.
    pub inputs: BTreeSet<String>,
}

static PROTOCOLS: LazyLock<BTreeMap<String, Protocol>> = LazyLock::new(|| {
    let mut protocols: BTreeMap<String, Protocol> = BTreeMap::new();
    for (id, definition) in BASE.base_device_definitions() {
        let protocol = protocols
            .entry(id.protocol().clone())
            .or_insert_with(|| empty(id.protocol()));
        match id.identifier() {
            None => protocol.has_default = !definition.features().is_empty(),
            Some(_) => protocol.models += 1,
        }
        add_features(protocol, definition);
    }
    for name in BASE.base_communication_specifiers().keys() {
        protocols.entry(name.clone()).or_insert_with(|| empty(name));
    }
    protocols.retain(|name, _| is_implemented(name));
    protocols
});

fn empty(name: &str) -> Protocol {
    Protocol {
        name: name.to_owned(),
        has_default: false,
        models: 0,
        outputs: BTreeSet::new(),
        inputs: BTreeSet::new(),
    }
}

fn add_features(protocol: &mut Protocol, definition: &ServerDeviceDefinition) {
    for feature in definition.features().values() {
        protocol
            .outputs
            .extend(feature.output.iter().map(|o| o.output_type().to_string()));
        protocol
            .inputs
            .extend(feature.input.iter().map(|i| i.input_type().to_string()));
    }
}

static MANAGER: LazyLock<ProtocolManager> = LazyLock::new(ProtocolManager::default);

/// Whether the server has code for a protocol, with or without devices of its own base. The library does not list these
/// protocols, but reports whether one would accept a device.
pub fn is_implemented(name: &str) -> bool {
    let specifier = ProtocolCommunicationSpecifier::Websocket(WebsocketSpecifier::new("any"));
    let only_this = HashMap::from([(name.to_owned(), vec![specifier.clone()])]);
    !MANAGER
        .protocol_specializers(&specifier, &only_this, &Default::default())
        .is_empty()
}

/// [`PROTOCOLS`] with all outputs that each protocol carries out, whether or not one of the server's own models has them.
static TRIED: LazyLock<Vec<Protocol>> = LazyLock::new(|| {
    // Variants of a protocol may do different things; models of one variant do the same.
    let mut variants = BTreeMap::new();
    for (id, definition) in BASE.base_device_definitions() {
        if is_known(id.protocol()) {
            let variant = (id.protocol(), definition.protocol_variant());
            variants.entry(variant).or_insert((id, definition));
        }
    }
    let trials: Vec<Trial<'_>> = variants
        .into_values()
        .map(|(id, definition)| Trial {
            protocol: id.protocol(),
            name: id.identifier().as_deref().unwrap_or("any"),
            definition,
        })
        .collect();
    let mut protocols = PROTOCOLS.clone();
    for (trial, outcome) in trials.iter().zip(try_all(&trials)) {
        if let Some(protocol) = protocols.get_mut(trial.protocol) {
            protocol
                .outputs
                .extend(outcome.possible.iter().map(ToString::to_string));
        }
    }
    protocols.into_values().collect()
});

/// All protocols that the server implements, by name.
pub fn all() -> impl Iterator<Item = &'static Protocol> {
    TRIED.iter()
}

/// The models of a protocol in the server's own base, by name.
pub(super) fn models(protocol: &str) -> BTreeMap<&'static str, &'static ServerDeviceDefinition> {
    let definitions = BASE.base_device_definitions().iter();
    definitions
        .filter(|(id, _)| id.protocol() == protocol)
        .filter_map(|(id, definition)| Some((id.identifier().as_deref()?, &**definition)))
        .collect()
}

/// Whether the server implements a protocol of this name.
pub fn is_known(name: &str) -> bool {
    PROTOCOLS.contains_key(name)
}

/// Whether a device that is known only by its websocket name has features.
pub fn has_default(name: &str) -> bool {
    PROTOCOLS.get(name).is_some_and(|p| p.has_default)
}

/// Whether devices of a protocol report their model, which identifies them instead of their name.
pub fn has_models(name: &str) -> bool {
    PROTOCOLS.get(name).is_none_or(|p| p.models > 0)
}

/// Whether the server's own base has this model of a protocol.
pub fn has_configuration(protocol: &str, identifier: &str) -> bool {
    let id = BaseDeviceIdentifier::new_with_identifier(protocol, identifier);
    BASE.base_device_definitions().contains_key(&id)
}

/// The writable Bluetooth services of a protocol's devices, ordered by service.
pub fn btle_layouts(protocol: &str) -> Vec<Layout> {
    let services: BTreeMap<_, _> = btle(protocol).flat_map(|btle| btle.services()).collect();
    let layout = |(service, endpoints): (&Uuid, &HashMap<Endpoint, Uuid>)| {
        Some(Layout {
            service: *service,
            write: *endpoints.get(&Endpoint::Tx)?,
            notify: endpoints.get(&Endpoint::Rx).copied(),
            mode: endpoints.get(&Endpoint::TxMode).copied(),
        })
    };
    services.into_iter().filter_map(layout).collect()
}

/// The names that devices of a protocol advertise; a name may end with `*`.
pub fn btle_names(protocol: &str) -> Vec<String> {
    btle(protocol).flat_map(|btle| btle.names().clone()).collect()
}

fn btle(protocol: &str) -> impl Iterator<Item = &'static BluetoothLESpecifier> {
    let specifiers = BASE.base_communication_specifiers().get(protocol);
    let specifiers = specifiers.into_iter().flatten();
    specifiers.filter_map(|specifier| match specifier {
        ProtocolCommunicationSpecifier::BluetoothLE(btle) => Some(btle),
        _ => None,
    })
}

/// The known protocol with the most similar name, if it is similar enough.
pub fn nearest(name: &str) -> Option<&'static str> {
    PROTOCOLS
        .keys()
        .map(|known| (strsim::jaro_winkler(known, &name.to_lowercase()), known.as_str()))
        .filter(|(likeness, _)| *likeness >= NEAREST_MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_implements_is_listed_with_what_it_can_do() {
        let lovense = all().find(|p| p.name == "lovense").unwrap();
        assert!(lovense.has_default && lovense.models > 10);
        assert!(lovense.outputs.contains("Vibrate") && lovense.inputs.contains("Battery"));
        assert!(is_known("tcode-v03") && has_default("tcode-v03"));
        let tcode = all().find(|p| p.name == "tcode-v03").unwrap();
        assert!(
            ["Vibrate", "Position", "HwPositionWithDuration"]
                .iter()
                .all(|o| tcode.outputs.contains(*o))
        );
        assert!(!has_default("vorze-sa"), "its default has no features");
        assert!(!is_known("no-such-protocol"));
        assert_eq!(nearest("lovence"), Some("lovense"));
        assert_eq!(nearest("qqqqqq"), None);
    }
}
