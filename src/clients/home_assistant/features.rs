//! What a listed device can do, in the words of Home Assistant.

use buttplug_core::message::{DeviceFeatureOutput, InputType, OutputType};
use serde_json::{Value, json};

use crate::device::home_assistant::output::{Key, Kind, Output};
use crate::upstream::embedded::ListedDevice;

/// Each kind, as Buttplug names it.
const KINDS: [(Kind, OutputType); 9] = [
    (Kind::Vibrate, OutputType::Vibrate),
    (Kind::Rotate, OutputType::Rotate),
    (Kind::Oscillate, OutputType::Oscillate),
    (Kind::Constrict, OutputType::Constrict),
    (Kind::Temperature, OutputType::Temperature),
    (Kind::Led, OutputType::Led),
    (Kind::Position, OutputType::Position),
    (Kind::PositionWithDuration, OutputType::HwPositionWithDuration),
    (Kind::Spray, OutputType::Spray),
];

/// The outputs of a device, with the steps that clients may set.
pub(super) fn outputs(device: &ListedDevice) -> Vec<Output> {
    let mut outputs = Vec::new();
    for (&index, feature) in device.info.device_features() {
        for (kind, of_type) in KINDS {
            // Both move one axis; with a time it moves gently.
            if kind == Kind::Position && feature.contains_output(OutputType::HwPositionWithDuration) {
                continue;
            }
            let Some(limits) = feature.get_output_limits(of_type) else {
                continue;
            };
            let steps = limits.step_limit();
            outputs.push(Output {
                key: Key { kind, feature: index },
                description: feature.description().clone(),
                steps: (steps.start(), steps.end()),
            });
        }
    }
    outputs
}

/// Whether a device can report how full its battery is.
pub(super) fn has_battery(device: &ListedDevice) -> bool {
    let mut features = device.info.device_features().values();
    features.any(|feature| feature.contains_input(InputType::Battery))
}

/// Buttplug's command that sets an output to this step. A timed move takes `move_ms`, or what the device can.
pub(super) fn command(device: &ListedDevice, key: Key, step: i32, move_ms: u32) -> Option<Value> {
    let (_, of_type) = KINDS.into_iter().find(|(kind, _)| *kind == key.kind)?;
    let feature = device.info.device_features().get(&key.feature)?;
    let mut fields = json!({"Value": step});
    if let DeviceFeatureOutput::HwPositionWithDuration(timed) = feature.get_output(of_type)? {
        let (least, most) = (timed.duration().start(), timed.duration().end());
        let duration = i64::from(move_ms).clamp(i64::from(least), i64::from(most.max(least)));
        fields["Duration"] = json!(duration);
    }
    Some(json!({ of_type.to_string(): fields }))
}

/// Whether an output moves to where it is set: 0 is a place then, and not nothing.
pub(super) fn is_position(key: Key) -> bool {
    matches!(key.kind, Kind::Position | Kind::PositionWithDuration)
}
