//! What the outputs that move one axis have in common: limits and direction. Both position outputs of a feature move
//! one axis, and for TCode all outputs that go to one channel.

use buttplug_server_device_config::{
    RangeWithLimit, ServerDeviceDefinition, ServerDeviceFeature, ServerDeviceFeatureOutput as Output,
};

use super::tcode;

/// The range of a position output; `None` for others.
pub fn position(output: &Output) -> Option<&RangeWithLimit> {
    match output {
        Output::Position(p) => Some(&p.value),
        Output::HwPositionWithDuration(p) => Some(&p.value),
        _ => None,
    }
}

/// The range of any output.
pub fn range(output: &Output) -> Option<&RangeWithLimit> {
    position(output).or_else(|| Some(&output.as_value_properties()?.value))
}

/// The range of an output that clients receive; `None` if it is empty. The library's own arithmetic panics on some of
/// these.
pub fn steps(range: &RangeWithLimit) -> Option<(i32, i32)> {
    let count = match &range.user {
        Some(user) => i32::try_from(user.end().checked_sub(user.start())?).ok()?,
        None => range.base.end(),
    };
    let both_ways = range.base.start() < 0;
    (count > 0).then(|| (if both_ways { -count } else { 0 }, count))
}

/// Whether the positions of a feature count from the other end. An axis has one direction, so `reverse` on either
/// output holds for both: an app that uses the one and then the other must not move opposite ways.
pub fn is_reversed(feature: &ServerDeviceFeature) -> bool {
    feature.output.iter().any(|output| match output {
        Output::Position(p) => p.reverse_position,
        Output::HwPositionWithDuration(p) => p.reverse_position,
        _ => false,
    })
}

/// The limits that all position outputs of a feature have in common, in the units of `range`; `None` if they exclude
/// each other.
pub fn limits(feature: &ServerDeviceFeature, range: &RangeWithLimit) -> Option<(i64, i64)> {
    common(range, feature.output.iter().filter_map(position))
}

/// The limits of an output that others on its axis narrow, in its own units. `None` if nothing narrows them,
/// `Some(None)` if they exclude each other.
pub(super) fn narrowed(
    protocol: &str,
    definition: &ServerDeviceDefinition,
    feature: &ServerDeviceFeature,
    output: &Output,
) -> Option<Option<(i64, i64)>> {
    let own = range(output)?;
    let held = if protocol == tcode::PROTOCOL {
        let channel = tcode::channel(feature, output)?;
        let all = definition.features().values();
        let all = all.flat_map(|feature| feature.output.iter().map(move |output| (feature, output)));
        let same = all.filter(|(feature, output)| tcode::channel(feature, output) == Some(channel));
        common(own, same.filter_map(|(_, output)| range(output)))
    } else {
        position(output)?;
        limits(feature, own)
    };
    (held != Some(ends(own))).then_some(held)
}

/// The limits of a range in its own units.
fn ends(range: &RangeWithLimit) -> (i64, i64) {
    let internal = range.internal();
    (internal.start().into(), internal.end().into())
}

/// What is inside the limits of a range and of all others, in the units of the first.
fn common<'a>(
    range: &RangeWithLimit,
    others: impl Iterator<Item = &'a RangeWithLimit>,
) -> Option<(i64, i64)> {
    let full = |range: &RangeWithLimit| i64::from(range.base.end().max(0));
    let (mut low, mut high) = ends(range);
    for other in others {
        let (unit, of) = (full(range), full(other));
        if of == 0 {
            continue;
        }
        let (other_low, other_high) = ends(other);
        // Rounded inwards: no step that is chosen may be outside.
        low = low.max((other_low * unit + of - 1) / of);
        high = high.min(other_high * unit / of);
    }
    (low <= high).then_some((low, high))
}
