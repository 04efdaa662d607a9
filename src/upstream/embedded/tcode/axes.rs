//! The definition of a board that listed its axes.

use buttplug_core::util::range::RangeInclusive;
use buttplug_server_device_config::{
    RangeWithLimit, ServerDeviceDefinition, ServerDeviceDefinitionBuilder, ServerDeviceFeature,
    ServerDeviceFeatureOutput, ServerDeviceFeatureOutputHwPositionWithDurationProperties,
    ServerDeviceFeatureOutputPositionProperties, ServerDeviceFeatureOutputValueProperties,
};
use uuid::{Uuid, uuid};

use crate::device::language::tcode::{Channel, Kind};
use crate::device::recognition::{Axis, Recognised};

/// Ids are derived from a board's address and the channel, so that they stay the same.
const NAMESPACE: Uuid = uuid!("6f0c2f0e-6a52-4f6b-9a4e-2f1f6f3b7d11");
/// The end of an axis's travel: the unit of the ranges that boards prefer.
const FULL: u16 = 9_999;
/// The longest move in milliseconds, as in the library's own definition.
const LONGEST_MS: i32 = 99_999;
/// The name of a board that gave none.
const NAME: &str = "TCode board";

/// A device with a feature for each axis, in the board's order. A board that lists none gets `L0`, which all boards have.
pub(super) fn definition(address: &str, recognised: &Recognised) -> ServerDeviceDefinition {
    let id = Uuid::new_v5(&NAMESPACE, address.as_bytes());
    let name = recognised.name.as_deref().unwrap_or(NAME);
    let mut definition = ServerDeviceDefinitionBuilder::new(name, &id);
    let stroke = [Axis {
        channel: "L0".to_owned(),
        name: "Stroke".to_owned(),
        range: 0..=FULL,
    }];
    let axes = match &recognised.axes[..] {
        [] => &stroke[..],
        axes => axes,
    };
    let mut known = Vec::new();
    for axis in axes {
        let Some(channel) = Channel::parse(&axis.channel).filter(|channel| !known.contains(channel)) else {
            continue;
        };
        let index = u32::try_from(known.len()).unwrap_or(u32::MAX);
        known.push(channel);
        definition.add_feature(&ServerDeviceFeature::new(
            index,
            // The channel comes first: this is how a feature is given its axis.
            format!("{channel} {}", axis.name).trim_end().to_owned(),
            Uuid::new_v5(&id, axis.channel.as_bytes()),
            None,
            None,
            outputs(channel, axis).into(),
            Vec::new().into(),
        ));
    }
    definition.finish()
}

fn outputs(channel: Channel, axis: &Axis) -> Vec<ServerDeviceFeatureOutput> {
    use ServerDeviceFeatureOutput as Output;
    let value = range(axis);
    let level = ServerDeviceFeatureOutputValueProperties::new(value.clone(), false);
    match channel.kind() {
        Kind::Linear | Kind::Rotary => {
            let duration = RangeWithLimit::new(RangeInclusive::new(0, LONGEST_MS));
            let position = ServerDeviceFeatureOutputPositionProperties::new(value.clone(), false, false);
            let timed =
                ServerDeviceFeatureOutputHwPositionWithDurationProperties::new(value, duration, false, false);
            // Some apps know only one of the two.
            vec![Output::Position(position), Output::HwPositionWithDuration(timed)]
        }
        Kind::Vibration => vec![Output::Vibrate(level)],
        Kind::Auxiliary => {
            let name = axis.name.to_lowercase();
            let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
            vec![if is(&["lube", "spray"]) {
                Output::Spray(level)
            } else if is(&["vib"]) {
                Output::Vibrate(level)
            } else {
                // Valves and suction, and anything unknown: a level that keeps its value, is off at zero, and is left
                // alone by apps that make everything vibrate.
                Output::Constrict(level)
            }]
        }
    }
}

/// The travel of an axis, limited to what the board prefers. An empty range is ignored, since no board can mean it.
fn range(axis: &Axis) -> RangeWithLimit {
    let (start, end) = (*axis.range.start(), (*axis.range.end()).min(FULL));
    let is_limit = start < end && (start, end) != (0, FULL);
    RangeWithLimit::new_with_user(
        RangeInclusive::new(0, FULL.into()),
        is_limit.then(|| RangeInclusive::new(start.into(), end.into())),
    )
}
