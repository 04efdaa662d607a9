//! Validates against the published schema of version 5, and explains faults in plain words.

use std::sync::LazyLock;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Value, json};

use super::remark::{Places, step};
use super::{UdcfError, ids, protocols, shape};
use crate::text::cut;

/// The published schema of version 5: `buttplug_server_device_config` 12.0.1, (c) Nonpolynomial Labs LLC,
/// BSD-3-Clause.
const SCHEMA: &str = include_str!("schema-v5.json");

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(SCHEMA).expect("the schema in this source is JSON");
    jsonschema::validator_for(&schema).expect("the schema in this source is a schema")
});

/// A violation of the schema.
pub(super) struct Fault {
    /// The place, as a JSON pointer.
    pub(super) pointer: String,
    /// The problem.
    pub(super) problem: String,
    /// How to fix it, if that is clear.
    pub(super) hint: Option<String>,
}

impl Fault {
    /// The fault as an error, with its place.
    pub(super) fn at(self, places: &Places<'_>) -> UdcfError {
        UdcfError::new(places.place(&self.pointer), self.problem, self.hint)
    }
}

/// The first violation of the published schema.
pub(super) fn fault(value: &Value) -> Option<Fault> {
    let error = VALIDATOR.iter_errors(value).next()?;
    Some(describe(&error, value))
}

/// What the first incomplete configuration of a file lacks.
pub(super) fn lack_of_configurations(value: &Value) -> Option<Fault> {
    let protocols = value["user_configs"]["protocols"].as_object()?;
    protocols.iter().find_map(|(protocol, entry)| {
        let at = step(&step("/user_configs/protocols", protocol), "configurations");
        let configurations = entry["configurations"].as_array()?;
        (0..configurations.len()).find_map(|i| lack(value, &step(&at, i)))
    })
}

/// What a configuration lacks, or which of its ids is invalid, if the loader rejected it: the loader looks for
/// configurations at another place than the schema, and reports no position.
pub(super) fn lack(value: &Value, configuration: &str) -> Option<Fault> {
    if !configuration.contains("/configurations/") {
        return None;
    }
    let as_the_schema_has_it = json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": { "any": { "devices": { "configurations": [value.pointer(configuration)?] } } } },
    });
    let error = VALIDATOR.iter_errors(&as_the_schema_has_it).find(|error| {
        matches!(error.kind(), ValidationErrorKind::Required { .. }) || is_no_uuid(error.kind())
    })?;
    let mut fault = describe(&error, &as_the_schema_has_it);
    let inside = fault
        .pointer
        .strip_prefix("/user_configs/protocols/any/devices/configurations/0")?;
    fault.pointer = format!("{configuration}{inside}");
    Some(fault)
}

/// A key beside the kind of a specifier, if the loader rejected the specifier at this pointer: the loader takes one kind
/// and nothing else, and does not name what it found.
pub(super) fn beside_a_kind(value: &Value, specifier: &str) -> Option<Fault> {
    if !specifier.contains("/communication/") {
        return None;
    }
    let known = shape::allowed_keys(specifier);
    let mut keys = value.pointer(specifier)?.as_object()?.keys();
    let key = keys.find(|key| !known.contains(&key.as_str()))?;
    let hint = match shape::place_of(key) {
        Some(place) => format!("it belongs in {place}"),
        None => "take it out; the server refuses a file that has it".to_owned(),
    };
    Some(Fault {
        pointer: step(specifier, key),
        problem: format!("{key:?} does not belong here"),
        hint: Some(hint),
    })
}

/// A value as JSON, short enough to stand within a sentence.
pub(super) fn short(value: &Value) -> String {
    cut(value.to_string(), 60)
}

fn is_no_uuid(kind: &ValidationErrorKind) -> bool {
    matches!(kind, ValidationErrorKind::Pattern { pattern } if pattern.contains("{12}"))
}

fn describe(error: &ValidationError<'_>, value: &Value) -> Fault {
    let pointer = error.instance_path().to_string();
    let found = error.instance();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let name = unexpected.first().map(String::as_str).unwrap_or_default();
            let hint = match name {
                "names" => "version 5 has one {\"websocket\": {\"name\": \"...\"}} for each name".to_owned(),
                "user-configs" => "versions 4 and 5 write user_configs, with an underscore".to_owned(),
                name => misplaced(name, error, &pointer),
            };
            Fault {
                pointer: step(&pointer, name),
                problem: format!("{name:?} does not belong here"),
                hint: Some(hint),
            }
        }
        ValidationErrorKind::Required { property } => Fault {
            problem: format!("{} is missing in {}", property, short(found)),
            hint: property
                .as_str()
                .and_then(|key| ids::hint(value, &pointer, key))
                .or_else(|| Some("add it".to_owned())),
            pointer,
        },
        ValidationErrorKind::Type { .. } => {
            let wanted = match wanted_type(error) {
                Some(wanted) => format!("{} is not {wanted}", short(found)),
                None => format!("{} is of the wrong type", short(found)),
            };
            Fault {
                pointer,
                problem: wanted,
                hint: None,
            }
        }
        kind if is_no_uuid(kind) => Fault {
            problem: format!("{} is not a UUID in lower case", short(found)),
            hint: pointer
                .rsplit_once('/')
                .and_then(|(object, key)| ids::hint(value, object, key)),
            pointer,
        },
        ValidationErrorKind::Pattern { pattern } => Fault {
            pointer,
            problem: format!("{} does not match {pattern}", short(found)),
            hint: None,
        },
        ValidationErrorKind::MaxProperties { .. } if pointer.is_empty() => {
            let known = shape::allowed_keys("");
            let mut keys = found.as_object().into_iter().flat_map(|file| file.keys());
            let other = keys.find(|key| !known.contains(&key.as_str()));
            Fault {
                problem: "a UDCF has \"version\" and \"user_configs\", and nothing else".to_owned(),
                hint: other.map(|key| format!("{key:?}: {}", misplaced(key, error, &pointer))),
                pointer: other.map_or(pointer, |key| step("", key)),
            }
        }
        _ => {
            Fault {
                pointer,
                // The text may quote the whole offending value, which may be the whole file.
                problem: cut(error.to_string(), 200),
                hint: None,
            }
        }
    }
}

/// What to do with a key that does not belong where it is: the word that was meant, or the place that it belongs in.
fn misplaced(name: &str, error: &ValidationError<'_>, pointer: &str) -> String {
    if pointer == "/user_configs" && protocols::is_known(name) {
        return "a protocol belongs under \"protocols\"".to_owned();
    }
    // Keys that are allowed here come first: one that belongs elsewhere may be just as similar.
    let here = shape::allowed_keys(pointer);
    let missing = here
        .iter()
        .copied()
        .filter(|key| error.instance().get(key).is_none());
    if let Some(word) = shape::nearest(name, missing) {
        return format!("did you mean {word:?}?");
    }
    match shape::place_of(name) {
        Some(place) => format!("it belongs in {place}"),
        None => "take it out; the server refuses a file that has it".to_owned(),
    }
}

/// The library's text ends with the required type.
fn wanted_type(error: &ValidationError<'_>) -> Option<&'static str> {
    let text = error.to_string();
    let of = [
        ("object", "an object"),
        ("array", "a list"),
        ("string", "a string in quotes"),
        ("integer", "a whole number"),
        ("number", "a number"),
        ("boolean", "true or false"),
    ];
    of.into_iter()
        .find(|(name, _)| text.ends_with(&format!("type \"{name}\"")))
        .map(|(_, words)| words)
}
