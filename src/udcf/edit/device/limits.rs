//! The limits of a device's outputs: what its definition offers, and what an entry makes of it.

use buttplug_server_device_config::ServerDeviceDefinition;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::entries;
use crate::udcf::migrate::Base;
use crate::udcf::{axis, tcode};

/// The outputs that move one axis.
const POSITIONS: [&str; 2] = ["position", "hw_position_with_duration"];

/// An output of a device, or the two outputs that move one axis, with its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// The index of the feature.
    pub feature: u32,
    /// The description of the feature.
    pub description: String,
    /// The kinds of output, such as `vibrate`.
    pub kinds: Vec<String>,
    /// The number of steps that the device has; it begins at 0.
    pub full: u32,
    /// It works in both directions: the limits hold for either.
    pub is_signed: bool,
    /// The lower end of what apps may use. A level is off at 0 all the same.
    pub low: u32,
    /// The upper end.
    pub high: u32,
    /// No app may use it.
    pub is_off: bool,
    /// Positions count from the other end; `null` if it is no position.
    pub is_reversed: Option<bool>,
}

/// What the definition of a kind of output says.
pub(super) struct Defined {
    pub(super) full: u32,
    pub(super) is_off: bool,
    pub(super) is_reversed: bool,
    is_signed: bool,
}

/// `None` if no app can use it anyway.
pub(super) fn defined(feature: &Value, kind: &str) -> Option<Defined> {
    let output = &feature["output"][kind];
    let range = &output["value"];
    let full = range[1]
        .as_u64()
        .and_then(|end| u32::try_from(end).ok())
        .filter(|end| *end > 0)?;
    Some(Defined {
        full,
        is_off: output["disabled"] == true,
        is_reversed: output["reverse_position"] == true,
        is_signed: range[0].as_i64()? < 0,
    })
}

/// The entry's feature that builds on one of the definition.
pub(super) fn own_feature<'e>(entry: &'e Value, base: &Value) -> Option<&'e Value> {
    let id = base["id"].as_str()?;
    let mut features = entries(&entry["config"]["features"]).map(|(_, feature)| feature);
    features.find(|feature| {
        feature["base_id"]
            .as_str()
            .is_some_and(|base| base.eq_ignore_ascii_case(id))
    })
}

/// The limits that an entry sets on top of a definition.
pub(super) fn of(base: &Base, entry: Option<&Value>) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for feature in &base.features {
        let own = entry
            .and_then(|entry| own_feature(entry, feature))
            .unwrap_or(&Value::Null);
        for kind in feature["output"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(kind, _)| kind)
        {
            let Some(limit) = of_output(feature, own, kind) else {
                continue;
            };
            let axis = limits.iter_mut().find(|other| {
                other.feature == limit.feature
                    && other.full == limit.full
                    && limit.is_reversed.is_some()
                    && other.is_reversed.is_some()
            });
            match axis {
                Some(axis) => {
                    axis.low = axis.low.max(limit.low);
                    axis.high = axis.high.min(limit.high);
                    axis.is_off &= limit.is_off;
                    axis.is_reversed = axis.is_reversed.zip(limit.is_reversed).map(|(a, b)| a || b);
                    axis.kinds.extend(limit.kinds);
                }
                None => limits.push(limit),
            }
        }
    }
    limits
}

fn of_output(feature: &Value, own: &Value, kind: &str) -> Option<Limit> {
    let defined = defined(feature, kind)?;
    let own = own["output"].get(kind);
    let end = |at: usize| {
        own.and_then(|own| own["value"][at].as_u64())
            .and_then(|end| end.try_into().ok())
    };
    let flag = |key: &str, otherwise: bool| own.map_or(otherwise, |own| own[key] == true);
    Some(Limit {
        feature: feature["index"].as_u64()?.try_into().ok()?,
        description: feature["description"].as_str().unwrap_or_default().to_owned(),
        kinds: vec![kind.to_owned()],
        full: defined.full,
        is_signed: defined.is_signed,
        low: end(0).unwrap_or(0),
        high: end(1).unwrap_or(defined.full),
        is_off: flag("disabled", defined.is_off),
        is_reversed: POSITIONS
            .contains(&kind)
            .then(|| flag("reverse", defined.is_reversed)),
    })
}

/// The definition that a file can have of a board that listed its axes, and the ranges that the board prefers as limits.
/// TCode numbers are decimal fractions, so the same travel is written with fewer digits.
pub(super) fn own(protocol: &str, definition: &ServerDeviceDefinition) -> (Base, Vec<Limit>) {
    let mut base = Base::of(definition);
    let features = definition.features().values();
    let preferred: Vec<_> = features
        .flat_map(|feature| feature.output.iter().map(move |output| (feature.index(), output)))
        .filter_map(|(index, output)| {
            let range = axis::range(output)?;
            Some((index, output.output_type(), range.internal(), range.base.end()))
        })
        .collect();
    for feature in &mut base.features {
        let Some(outputs) = feature.get_mut("output").and_then(Value::as_object_mut) else {
            continue;
        };
        for (kind, properties) in outputs {
            if protocol == tcode::PROTOCOL {
                let full = if POSITIONS.contains(&kind.as_str()) {
                    999
                } else {
                    99
                };
                properties["value"] = json!([0, full]);
            }
        }
    }
    let mut limits = of(&base, None);
    for limit in &mut limits {
        let of_it = preferred.iter().find(|(index, kind, ..)| {
            *index == limit.feature && limit.kinds.contains(&crate::udcf::feasible::key(*kind))
        });
        if let Some((_, _, range, end)) = of_it
            && let Ok(end) = u64::try_from(*end)
            && end > 0
        {
            // Rounded inwards: nothing is allowed that the board does not prefer.
            let full = u64::from(limit.full);
            let low = (u64::from(range.start()) * full).div_ceil(end);
            let high = u64::from(range.end()) * full / end;
            if low < high {
                (limit.low, limit.high) = (low as u32, high as u32);
            }
        }
    }
    (base, limits)
}
