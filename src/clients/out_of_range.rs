//! What an app is told of a value that an output does not take. The library's own text names neither the output nor its
//! range.

use std::fmt::Display;

use buttplug_core::errors::{ButtplugDeviceError, ButtplugError};
use buttplug_server_device_config::{ServerDeviceFeature, ServerDeviceFeatureOutput as Output};

use crate::udcf::axis;

/// For a value of the output's steps, as message version 4 has them.
pub(super) fn steps(feature: &ServerDeviceFeature, output: &Output, value: impl Display) -> ButtplugError {
    let range = axis::range(output).and_then(axis::steps);
    let range = range.map(|(low, high)| format!("from {low} to {high}"));
    error(feature, output, range, value)
}

/// For a fraction, as message versions 0 to 3 have it.
pub(super) fn fraction(feature: &ServerDeviceFeature, output: &Output, value: f64) -> ButtplugError {
    error(feature, output, Some("from 0.0 to 1.0".to_owned()), value)
}

fn error(
    feature: &ServerDeviceFeature,
    output: &Output,
    range: Option<String>,
    value: impl Display,
) -> ButtplugError {
    let name = match feature.description.trim() {
        "" => String::new(),
        description => format!(" {description:?}"),
    };
    let (index, kind) = (feature.index(), output.output_type());
    let what = match range {
        Some(range) => format!("feature {index}{name} takes {kind} values {range}, not {value}"),
        None => {
            format!("feature {index}{name} takes no {kind} values but 0: its range is empty, see the UDCF")
        }
    };
    ButtplugDeviceError::DeviceFeatureMismatch(what).into()
}
