//! The definitions that devices build on: the configurations of the file, and the server's own.

use buttplug_server_device_config::{BaseDeviceIdentifier, ServerDeviceDefinition, ServerDeviceFeature};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::udcf::BASE;

/// The definition that a device builds on.
pub(in crate::udcf) struct Base {
    pub(in crate::udcf) id: Value,
    pub(in crate::udcf) name: String,
    /// What the server needs to know of the model besides its features, as members of a configuration.
    pub(in crate::udcf) details: Map<String, Value>,
    /// As in a configuration.
    pub(in crate::udcf) features: Vec<Value>,
}

impl Base {
    /// The position of the nth feature with an output of this kind.
    pub(super) fn with_output(&self, kind: &str, nth: usize) -> Option<usize> {
        (0..self.features.len())
            .filter(|at| self.features[*at]["output"].get(kind).is_some())
            .nth(nth)
    }

    /// The position of the first feature with an input of this kind.
    pub(super) fn with_input(&self, kind: &str) -> Option<usize> {
        (0..self.features.len()).find(|at| self.features[*at]["input"].get(kind).is_some())
    }
}

/// The definition in a protocol's entry of the result for which `is_it` holds.
pub(super) fn custom(protocol: Option<&Value>, is_it: impl Fn(&Value) -> bool) -> Option<Base> {
    let configurations = protocol?["configurations"].as_array()?;
    let found = configurations.iter().find(|configuration| is_it(configuration))?;
    let mut details = found.as_object().cloned().unwrap_or_default();
    details.retain(|key, _| key == "protocol_variant" || key == "message_gap_ms");
    Some(Base {
        id: found["id"].clone(),
        name: found["name"].as_str().unwrap_or_default().to_owned(),
        details,
        features: found["features"].as_array().cloned().unwrap_or_default(),
    })
}

/// Whether a configuration has this identifier.
pub(super) fn identifies(configuration: &Value, identifier: Option<&str>) -> bool {
    let identifiers = configuration["identifier"].as_array();
    identifiers.is_some_and(|ids| {
        ids.iter()
            .any(|id| identifier.is_some() && id.as_str() == identifier)
    })
}

/// The server's own definition of a model, or of the protocol's devices in general.
pub(super) fn server(protocol: &str, identifier: Option<&str>) -> Option<Base> {
    let definitions = BASE.base_device_definitions();
    let named = BaseDeviceIdentifier::new(protocol, &identifier.map(str::to_owned));
    let definition = definitions
        .get(&named)
        .or_else(|| definitions.get(&BaseDeviceIdentifier::new_default(protocol)))?;
    Some(Base::of(definition))
}

impl Base {
    /// A definition that is in no file.
    pub(in crate::udcf) fn of(definition: &ServerDeviceDefinition) -> Self {
        Self {
            id: json!(definition.id()),
            name: definition.name().clone(),
            details: details(definition),
            features: definition.features().values().map(feature).collect(),
        }
    }
}

fn details(definition: &ServerDeviceDefinition) -> Map<String, Value> {
    let mut details = Map::new();
    if let Some(variant) = definition.protocol_variant() {
        details.insert("protocol_variant".to_owned(), json!(variant));
    }
    if let Some(gap) = definition.message_gap_ms() {
        details.insert("message_gap_ms".to_owned(), json!(gap));
    }
    details
}

fn feature(feature: &ServerDeviceFeature) -> Value {
    let mut value = json!({ "index": feature.index(), "id": feature.id() });
    if !feature.description.is_empty() {
        value["description"] = feature.description.as_str().into();
    }
    if feature.has_output() {
        value["output"] = by_kind(feature.output.iter(), &["value", "duration"]);
    }
    if feature.has_input() {
        value["input"] = by_kind(feature.input.iter(), &["value", "command"]);
    }
    if let Some(index) = feature.alt_protocol_index {
        value["feature_settings"] = json!({ "alt_protocol_index": index });
    }
    value
}

/// Each is serialised as an enum with its name around it: `{"vibrate": {...}}`.
fn by_kind<T: Serialize>(all: impl Iterator<Item = T>, members: &[&str]) -> Value {
    let mut named = Map::new();
    for one in all {
        if let Ok(Value::Object(one)) = serde_json::to_value(one) {
            for (kind, mut properties) in one {
                if let Some(properties) = properties.as_object_mut() {
                    properties.retain(|name, _| members.contains(&name.as_str()));
                }
                named.insert(kind, properties);
            }
        }
    }
    Value::Object(named)
}
