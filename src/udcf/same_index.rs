//! Features of one configuration that have the same index: the server keeps only the last of them.
//!
//! In TCode the index is the channel, so a position on `L0` and a vibration on `V0` both have index 0. That is one
//! feature with two outputs; unless a description names another channel, which counts more than the index.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::remark::{Remark, step};
use crate::device::language::tcode::Channel;

/// What was done about the features of a configuration that have the same index.
#[derive(Default)]
pub(super) struct Joined {
    /// The ids of features that were joined to another, each with the id of that other.
    pub(super) ids: HashMap<String, String>,
    /// Remarks on those, and on features that got another index.
    pub(super) remarks: Vec<Remark>,
    /// Remarks on features that cannot be joined, since they have the same output or input.
    pub(super) clashes: Vec<Remark>,
}

/// Joins features that have the same index and different outputs and inputs; reports those that clash.
pub(super) fn join(configuration: &mut Value, protocol: &str, at: &str) -> Joined {
    let mut outcome = Joined::default();
    let name = configuration["name"].clone();
    let Some(features) = configuration
        .pointer_mut("/features")
        .and_then(Value::as_array_mut)
    else {
        return outcome;
    };
    let at = step(at, "features");
    let mut kept: Vec<(usize, Value)> = Vec::new();
    let mut taken: HashSet<u64> = features.iter().filter_map(|f| f["index"].as_u64()).collect();
    for (position, mut feature) in std::mem::take(features).into_iter().enumerate() {
        let index = feature["index"].as_u64();
        let same = kept
            .iter_mut()
            .find(|(_, other)| index.is_some() && other["index"].as_u64() == index);
        let Some((_, other)) = same else {
            kept.push((position, feature));
            continue;
        };
        let index = index.unwrap_or_default();
        if protocol.starts_with("tcode") && (names_another(&feature) || names_another(other)) {
            let moved = if names_another(&feature) {
                &mut feature
            } else {
                other
            };
            let free = (0..).find(|index| !taken.contains(index)).unwrap_or(index);
            taken.insert(free);
            moved["index"] = free.into();
            outcome.remarks.push(Remark::note(
                step(&at, position),
                format!(
                    "two features of the configuration {name} have the index {index}: {} got the index {free}, since \
                     the server would keep only the last; its channel is the one in its description",
                    moved["description"]
                ),
            ));
            kept.push((position, feature));
            continue;
        }
        match clash(other, &feature) {
            Some(kind) => {
                outcome.clashes.push(Remark::at(
                    step(&at, position),
                    format!(
                        "two features of the configuration {name} have the index {index} and both have {kind:?}: the \
                         server keeps the last of them; give one another index"
                    ),
                ));
                kept.push((position, feature));
            }
            None => {
                if let (Some(id), Some(other)) = (feature["id"].as_str(), other["id"].as_str()) {
                    outcome.ids.insert(id.to_owned(), other.to_owned());
                }
                add(other, feature);
                outcome.remarks.push(Remark::note(
                    step(&at, position),
                    format!(
                        "two features of the configuration {name} have the index {index}: they were joined into one with \
                         both outputs, since the server would keep only the last"
                    ),
                ));
            }
        }
    }
    *features = kept.into_iter().map(|(_, feature)| feature).collect();
    outcome
}

/// Repeats what [`join`] did in a device that builds on such a configuration.
pub(super) fn follow(device: &mut Value, joined: &HashMap<String, String>) {
    let features = device.pointer_mut("/config/features");
    let Some(features) = features.and_then(Value::as_array_mut) else {
        return;
    };
    let mut kept: Vec<Value> = Vec::new();
    for mut feature in std::mem::take(features) {
        if let Some(other) = feature["base_id"].as_str().and_then(|id| joined.get(id)) {
            feature["base_id"] = other.as_str().into();
        }
        match kept
            .iter_mut()
            .find(|other| !feature["base_id"].is_null() && other["base_id"] == feature["base_id"])
        {
            Some(other) if clash(other, &feature).is_none() => add(other, feature),
            _ => kept.push(feature),
        }
    }
    *features = kept;
}

/// Whether the description of a TCode feature names another channel than its index does.
fn names_another(feature: &Value) -> bool {
    let description = feature["description"].as_str().unwrap_or_default();
    let Some(named) = Channel::of_description(description) else {
        return false;
    };
    let outputs = feature["output"].as_object().into_iter().flatten();
    let of_index = |kind: &str| {
        let letter = if kind == "vibrate" { 'V' } else { 'L' };
        format!("{letter}{}", feature["index"])
    };
    !outputs
        .into_iter()
        .any(|(kind, _)| of_index(kind) == named.to_string())
}

/// An output or input that both features have.
fn clash(one: &Value, other: &Value) -> Option<String> {
    ["output", "input"].into_iter().find_map(|part| {
        let of_one = one[part].as_object()?;
        of_one
            .keys()
            .find(|kind| other[part].get(kind).is_some())
            .cloned()
    })
}

/// Adds the outputs, the inputs and the description of a feature to another.
fn add(to: &mut Value, mut feature: Value) {
    for part in ["output", "input"] {
        let Value::Object(members) = feature[part].take() else {
            continue;
        };
        if !to[part].is_object() {
            to[part] = json!({});
        }
        for (kind, properties) in members {
            to[part][kind] = properties;
        }
    }
    let text = |feature: &Value| feature["description"].as_str().unwrap_or_default().to_owned();
    let (first, second) = (text(to), text(&feature));
    let description = match (first.is_empty(), second.is_empty()) {
        (_, true) => first,
        (true, _) => second,
        _ => format!("{first}, {second}"),
    };
    if !description.is_empty() {
        to["description"] = description.into();
    }
    if to.get("feature_settings").is_none()
        && let Some(settings) = feature.get("feature_settings")
    {
        to["feature_settings"] = settings.clone();
    }
}
