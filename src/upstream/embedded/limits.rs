//! From a client's value to the device's, inside the limits that the user set.
//!
//! The library scales too, but it sends 0 of a timed position as 0, whatever its limits and its direction are, and it
//! applies the limits and the direction of each output of a feature to that output alone. Both outputs of a position move
//! one axis, so the limits of either hold for both, and so does `reverse`.

use buttplug_core::errors::ButtplugDeviceError;
use buttplug_core::message::OutputType;
use buttplug_server_device_config::{
    RangeWithLimit, ServerDeviceDefinition, ServerDeviceFeature, ServerDeviceFeatureOutput as Output,
};
use tracing::warn;

use crate::device::language::limits::{Kind, Limit, Limits};
use crate::udcf::axis::{self, position};

/// Checks that clients may use an output at all.
///
/// # Errors
/// The user disabled it, or the limits of the feature's outputs exclude each other.
pub fn usable(feature: &ServerDeviceFeature, output: &Output) -> Result<(), ButtplugDeviceError> {
    let kind = output.output_type();
    if output.is_disabled() {
        let what = format!("Output type {kind:?} is disabled for this device");
        return Err(ButtplugDeviceError::MessageNotSupported(what));
    }
    if let Some(range) = position(output)
        && axis::limits(feature, range).is_none()
    {
        let what = format!(
            "feature {} allows no position: the limits of its outputs exclude each other; change them in the UDCF",
            feature.index()
        );
        return Err(ButtplugDeviceError::DeviceConfigurationError(what));
    }
    Ok(())
}

/// Scales a value of an output's steps, as the device list shows them, to the device's range. `None` if there is no
/// such step, or if the limits of the feature's outputs exclude each other.
pub fn scale(feature: &ServerDeviceFeature, output: &Output, value: i32) -> Option<i32> {
    match position(output) {
        Some(range) => {
            let (low, high) = axis::limits(feature, range)?;
            let steps = i64::from(range.step_count());
            let at = Some(i64::from(value)).filter(|at| (0..=steps).contains(at))?;
            // Rounded to the nearest; exact unless the other output has the narrower limits.
            let offset = match steps {
                0 => 0,
                steps => (at * (high - low) + steps / 2) / steps,
            };
            let is_reversed = axis::is_reversed(feature);
            i32::try_from(if is_reversed { high - offset } else { low + offset }).ok()
        }
        None => level(&output.as_value_properties()?.value, value),
    }
}

/// Scales a fraction from 0 to 1. A level above 0 stays above 0. `None` as for [`scale`].
pub fn scale_fraction(feature: &ServerDeviceFeature, output: &Output, fraction: f64) -> Option<i32> {
    if !(0.0..=1.0).contains(&fraction) {
        return None;
    }
    let steps = match position(output) {
        Some(range) => (f64::from(range.step_count()) * fraction).round(),
        None => {
            let steps = output.as_value_properties()?.value.step_count();
            // Less than this is noise of a client's arithmetic.
            let fraction = if fraction < 0.000_001 { 0.0 } else { fraction };
            (f64::from(steps) * fraction).ceil()
        }
    };
    scale(feature, output, steps as i32)
}

/// Whether an output takes values below 0.
pub fn is_signed(output: &Output) -> bool {
    axis::range(output).is_some_and(|range| range.base.start() < 0)
}

/// Zero is off, whatever the limits are; other values are counted from the lower limit. Negative ones mirror that.
fn level(range: &RangeWithLimit, value: i32) -> Option<i32> {
    if value == 0 {
        return Some(0);
    }
    let internal = range.internal();
    let magnitude = internal.start().checked_add(value.unsigned_abs())?;
    let magnitude = i32::try_from(magnitude)
        .ok()
        .filter(|_| magnitude <= internal.end())?;
    Some(magnitude * value.signum())
}

/// The limits of a device's outputs, for the frames that go to it. `names` returns the axes of an output, if the device's
/// language names axes. A disabled output allows nothing, unless another one moves the same axis.
pub(super) fn of_device(
    protocol: &str,
    device: &ServerDeviceDefinition,
    names: impl Fn(&ServerDeviceFeature, &Output) -> Vec<String>,
) -> Limits {
    let mut limits = Vec::new();
    for feature in device.features().values() {
        for output in feature.output.iter() {
            let is_position = position(output).is_some();
            let is_enabled =
                |other: &Output| position(other).is_some() == is_position && !other.is_disabled();
            let is_off = !feature.output.iter().any(is_enabled);
            if output.is_disabled() && !is_off {
                continue;
            }
            let Some(range) = axis::range(output) else {
                continue;
            };
            let kind = match output.output_type() {
                OutputType::Vibrate => Kind::Vibrate,
                OutputType::Oscillate => Kind::Oscillate,
                OutputType::Rotate => Kind::Rotate,
                OutputType::Constrict => Kind::Constrict,
                OutputType::Position | OutputType::HwPositionWithDuration => Kind::Position,
                _ => Kind::Other,
            };
            let internal = range.internal();
            let (low, high) = match (is_position, is_off) {
                // No position means off, so the range is empty.
                (true, true) => (1, 0),
                (true, false) => axis::limits(feature, range).unwrap_or((1, 0)),
                (false, true) => (0, 0),
                (false, false) => (internal.start().into(), internal.end().into()),
            };
            if low > high && !is_off {
                warn!(
                    feature = feature.index(),
                    "a feature of this device allows no position: the limits of its outputs exclude each other; change \
                     them in the UDCF"
                );
            }
            let unsigned = |value: i64| u32::try_from(value).unwrap_or(0);
            let mut names: Vec<Option<String>> = names(feature, output).into_iter().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            limits.extend(names.into_iter().map(|name| Limit {
                feature: feature.index(),
                kind,
                name,
                low: unsigned(low),
                high: unsigned(high),
                full: unsigned(range.base.end().into()),
            }));
        }
    }
    Limits::new(protocol, limits)
}

#[cfg(test)]
mod tests {
    use buttplug_core::util::range::RangeInclusive;
    use buttplug_server_device_config::{
        ServerDeviceFeatureOutputHwPositionWithDurationProperties as Timed,
        ServerDeviceFeatureOutputPositionProperties as Untimed,
        ServerDeviceFeatureOutputValueProperties as Level,
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn range(full: i32, limits: Option<(u32, u32)>) -> RangeWithLimit {
        let user = limits.map(|(low, high)| RangeInclusive::new(low, high));
        RangeWithLimit::new_with_user(RangeInclusive::new(0, full), user)
    }

    fn timed(range: RangeWithLimit, is_reversed: bool) -> Output {
        let duration = RangeWithLimit::new(RangeInclusive::new(0, 99_999));
        Output::HwPositionWithDuration(Timed::new(range, duration, false, is_reversed))
    }

    fn untimed(range: RangeWithLimit, is_reversed: bool) -> Output {
        Output::Position(Untimed::new(range, false, is_reversed))
    }

    fn feature(outputs: Vec<Output>) -> ServerDeviceFeature {
        ServerDeviceFeature::new(
            0,
            String::new(),
            Uuid::nil(),
            None,
            None,
            outputs.into(),
            Vec::new().into(),
        )
    }

    fn limits() -> impl Strategy<Value = (i32, Option<(u32, u32)>)> {
        (1..=9_999_i32).prop_flat_map(|full| {
            let end = full.unsigned_abs();
            let pair = (0..=end, 0..=end).prop_map(|(a, b)| (a.min(b), a.max(b)));
            (Just(full), proptest::option::of(pair))
        })
    }

    /// Whether a value of a range of `full` is inside the limits of another range, within half a step of the coarser.
    fn is_inside(value: i32, full: i32, of: &(i32, Option<(u32, u32)>)) -> bool {
        let (other_full, limits) = *of;
        let (low, high) = limits.unwrap_or((0, other_full.unsigned_abs()));
        let value = i64::from(value) * i64::from(other_full);
        value >= i64::from(low) * i64::from(full) && value <= i64::from(high) * i64::from(full)
    }

    proptest! {
        #[test]
        fn no_position_leaves_the_limits_of_its_axis(
            a in limits(), b in limits(), reversed: (bool, bool), both: bool, at in 0.0..=1.0_f64,
        ) {
            let mut outputs = vec![timed(range(a.0, a.1), reversed.0)];
            if both {
                outputs.push(untimed(range(b.0, b.1), reversed.1));
            }
            let feature = feature(outputs.clone());
            for (output, own) in outputs.iter().zip([&a, &b]) {
                let steps = position(output).expect("a position").step_count();
                let value = (f64::from(steps) * at) as i32;
                for scaled in [scale(&feature, output, value), scale_fraction(&feature, output, at)] {
                    let Some(scaled) = scaled else { continue };
                    prop_assert!(is_inside(scaled, own.0, own), "{scaled} of {own:?}");
                    if both {
                        let other = if std::ptr::eq(own, &a) { &b } else { &a };
                        prop_assert!(is_inside(scaled, own.0, other), "{scaled} of {own:?}, {other:?}");
                    } else {
                        prop_assert!(i64::from(scaled) >= 0);
                    }
                }
                // Alone, every step has a position.
                prop_assert!(both || scale(&feature, output, value).is_some());
                prop_assert_eq!(scale(&feature, output, -1), None);
                prop_assert_eq!(scale(&feature, output, i32::try_from(steps).expect("steps") + 1), None);
            }
        }

        #[test]
        fn no_level_leaves_its_limits_but_to_nothing(own in limits(), at in 0.0..=1.0_f64, value: i32) {
            let output = Output::Vibrate(Level::new(range(own.0, own.1), false));
            let feature = feature(vec![output.clone()]);
            for scaled in [scale_fraction(&feature, &output, at), scale(&feature, &output, value)].into_iter().flatten() {
                prop_assert!(scaled == 0 || is_inside(scaled.abs(), own.0, &own), "{scaled} of {own:?}");
            }
            prop_assert_eq!(scale_fraction(&feature, &output, 0.0), Some(0));
        }
    }

    #[test]
    fn a_limited_stroke_has_no_leap() {
        for (is_reversed, wanted) in [
            (false, [200, 201, 500, 799, 800]),
            (true, [800, 799, 500, 201, 200]),
        ] {
            let output = timed(range(999, Some((200, 800))), is_reversed);
            let feature = feature(vec![output.clone()]);
            let scaled = [0, 1, 300, 599, 600].map(|value| scale(&feature, &output, value));
            assert_eq!(scaled, wanted.map(Some), "reversed: {is_reversed}");
            let ends = [0.0, 0.5, 1.0].map(|at| scale_fraction(&feature, &output, at));
            assert_eq!(ends, [wanted[0], wanted[2], wanted[4]].map(Some));
        }
        let unlimited = timed(range(999, None), true);
        let feature = feature(vec![unlimited.clone()]);
        assert_eq!(
            [0, 999].map(|v| scale(&feature, &unlimited, v)),
            [Some(999), Some(0)]
        );
    }

    #[test]
    fn both_outputs_of_an_axis_move_it_in_one_direction() {
        for (of_timed, of_untimed) in [(true, false), (false, true), (true, true)] {
            let outputs = [
                timed(range(999, Some((200, 800))), of_timed),
                untimed(range(9_999, None), of_untimed),
            ];
            let feature = feature(outputs.to_vec());
            let places = |at: f64| {
                let [timed, untimed] = outputs
                    .each_ref()
                    .map(|o| scale_fraction(&feature, o, at).expect("a place"));
                (timed, untimed)
            };
            assert_eq!(places(0.0), (800, 8_007), "{of_timed} {of_untimed}");
            assert_eq!(places(1.0), (200, 2_002), "{of_timed} {of_untimed}");
        }
    }

    #[test]
    fn limits_that_exclude_each_other_allow_nothing() {
        let outputs = vec![
            timed(range(999, Some((0, 100))), false),
            untimed(range(999, Some((800, 999))), false),
        ];
        let feature = feature(outputs.clone());
        assert_eq!(
            outputs.iter().map(|o| scale(&feature, o, 50)).collect::<Vec<_>>(),
            [None, None]
        );
    }

    #[test]
    fn a_level_is_off_at_zero_and_mirrored_below() {
        let both_ways =
            RangeWithLimit::new_with_user(RangeInclusive::new(-20, 20), Some(RangeInclusive::new(5, 10)));
        let output = Output::Rotate(Level::new(both_ways, false));
        let feature = feature(vec![output.clone()]);
        let scaled = [-6, -5, -1, 0, 1, 5, 6, i32::MIN].map(|value| scale(&feature, &output, value));
        assert_eq!(
            scaled,
            [None, Some(-10), Some(-6), Some(0), Some(6), Some(10), None, None]
        );
    }
}
