//! Output commands of message versions 0 to 3, converted here to keep them inside a user's limits. The library moves a
//! limited position outside, counts outputs that these clients do not see, and drives those that the user disabled.

use buttplug_core::errors::{ButtplugDeviceError, ButtplugError};
use buttplug_core::message::{
    ButtplugDeviceMessage, OutputCommand, OutputHwPositionWithDuration, OutputType, OutputValue,
};
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use buttplug_server::message::checked_output_vec_cmd::CheckedOutputVecCmdV4;
use buttplug_server::message::{
    ButtplugClientMessageV0, ButtplugClientMessageV1, ButtplugClientMessageV2, ButtplugClientMessageV3,
    ButtplugClientMessageVariant, LinearCmdV1, RotateCmdV1, ScalarCmdV3, SingleMotorVibrateCmdV0,
    VibrateCmdV1,
};
use buttplug_server_device_config::{
    ServerDeviceDefinition, ServerDeviceFeature, ServerDeviceFeatureOutput as Output,
};

use super::out_of_range;
use crate::upstream::embedded::limits;

/// Checks a command that sets outputs against the device's features; `None` if it sets none.
///
/// # Errors
/// As the library's: no such feature, or a value outside 0 to 1.
pub(super) fn check(
    message: &ButtplugClientMessageVariant,
    device: &ServerDeviceDefinition,
) -> Option<Result<CheckedOutputVecCmdV4, ButtplugError>> {
    use ButtplugClientMessageVariant as M;
    use {
        ButtplugClientMessageV0 as V0, ButtplugClientMessageV1 as V1, ButtplugClientMessageV2 as V2,
        ButtplugClientMessageV3 as V3,
    };
    match message {
        M::V0(V0::SingleMotorVibrateCmd(m)) | M::V1(V1::SingleMotorVibrateCmd(m)) => {
            Some(vibrate_all(m, device))
        }
        M::V1(V1::VibrateCmd(m)) | M::V2(V2::VibrateCmd(m)) | M::V3(V3::VibrateCmd(m)) => {
            Some(vibrate(m, device))
        }
        M::V1(V1::RotateCmd(m)) | M::V2(V2::RotateCmd(m)) | M::V3(V3::RotateCmd(m)) => {
            Some(rotate(m, device))
        }
        M::V1(V1::LinearCmd(m)) | M::V2(V2::LinearCmd(m)) | M::V3(V3::LinearCmd(m)) => {
            Some(linear(m, device))
        }
        M::V3(V3::ScalarCmd(m)) => Some(scalar(m, device)),
        _ => None,
    }
}

/// An output and its feature.
type Place<'a> = (&'a ServerDeviceFeature, &'a Output);

/// The outputs that a kind of command counts, in the order in which clients see them.
fn counted(device: &ServerDeviceDefinition, counts: impl Fn(&Output) -> bool) -> Vec<Place<'_>> {
    let features = device.features().values();
    features
        .flat_map(|feature| feature.output.iter().map(move |output| (feature, output)))
        // Clients do not see what is disabled.
        .filter(|(_, output)| !output.is_disabled() && counts(output))
        .collect()
}

fn is(kind: OutputType) -> impl Fn(&Output) -> bool {
    move |output| output.output_type() == kind
}

/// All vibrators at one speed.
fn vibrate_all(
    message: &SingleMotorVibrateCmdV0,
    device: &ServerDeviceDefinition,
) -> Result<CheckedOutputVecCmdV4, ButtplugError> {
    let vibrators = counted(device, is(OutputType::Vibrate));
    if vibrators.is_empty() {
        let what = "Device has no Vibrate features".to_owned();
        return Err(ButtplugDeviceError::DeviceFeatureMismatch(what).into());
    }
    let commands = vibrators.into_iter().map(|place| {
        let value = OutputValue::new(scaled(place, message.speed())?);
        Ok(checked(message, place, OutputCommand::Vibrate(value)))
    });
    all(message, commands)
}

fn vibrate(
    message: &VibrateCmdV1,
    device: &ServerDeviceDefinition,
) -> Result<CheckedOutputVecCmdV4, ButtplugError> {
    let vibrators = counted(device, is(OutputType::Vibrate));
    if vibrators.is_empty() {
        let asked = u32::try_from(message.speeds().len()).unwrap_or(u32::MAX);
        return Err(ButtplugDeviceError::DeviceFeatureCountMismatch(0, asked).into());
    }
    let commands = message.speeds().iter().map(|speed| {
        let place = nth(&vibrators, speed.index())?;
        let value = OutputValue::new(scaled(place, speed.speed())?);
        Ok(checked(message, place, OutputCommand::Vibrate(value)))
    });
    all(message, commands)
}

/// Rotate commands count the outputs that turn both ways.
fn rotate(
    message: &RotateCmdV1,
    device: &ServerDeviceDefinition,
) -> Result<CheckedOutputVecCmdV4, ButtplugError> {
    let both_ways = |output: &Output| {
        let level = output.as_value_properties();
        output.output_type() == OutputType::Rotate
            && level.is_some_and(|level| level.value.step_limit().start() < 0)
    };
    let rotators = counted(device, both_ways);
    if rotators.is_empty() && !message.rotations().is_empty() {
        return Err(ButtplugDeviceError::MessageNotSupported("RotateCmd".to_owned()).into());
    }
    let commands = message.rotations().iter().map(|rotation| {
        let place = nth(&rotators, rotation.index())?;
        let speed = scaled(place, rotation.speed())?;
        let value = OutputValue::new(if rotation.clockwise() { speed } else { -speed });
        Ok(checked(message, place, OutputCommand::Rotate(value)))
    });
    all(message, commands)
}

/// Linear commands count the features that have a timed position.
fn linear(
    message: &LinearCmdV1,
    device: &ServerDeviceDefinition,
) -> Result<CheckedOutputVecCmdV4, ButtplugError> {
    let timed = counted(device, is(OutputType::HwPositionWithDuration));
    if timed.is_empty() {
        let what = "Device has no PositionWithDuration features".to_owned();
        return Err(ButtplugDeviceError::DeviceFeatureMismatch(what).into());
    }
    let commands = message.vectors().iter().map(|vector| {
        let place = nth(&timed, vector.index())?;
        let value = scaled(place, vector.position())?;
        let outside = |_| out_of_range::fraction(place.0, place.1, vector.position());
        let value = u32::try_from(value).map_err(outside)?;
        let command = OutputHwPositionWithDuration::new(value, vector.duration());
        Ok(checked(
            message,
            place,
            OutputCommand::HwPositionWithDuration(command),
        ))
    });
    all(message, commands)
}

/// Scalar commands count all outputs but timed positions.
fn scalar(
    message: &ScalarCmdV3,
    device: &ServerDeviceDefinition,
) -> Result<CheckedOutputVecCmdV4, ButtplugError> {
    let not_supported = || ButtplugDeviceError::MessageNotSupported("ScalarCmdV3".to_owned());
    if message.scalars().is_empty() {
        let what = "ScalarCmd with no subcommands is not allowed.".to_owned();
        return Err(ButtplugDeviceError::ProtocolRequirementError(what).into());
    }
    let scalars = counted(device, |output| {
        !matches!(output, Output::HwPositionWithDuration(_))
    });
    let commands = message.scalars().iter().map(|scalar| {
        let (feature, _) = nth(&scalars, scalar.index())?;
        let kind = scalar.actuator_type();
        let output = feature.get_output(kind).ok_or_else(not_supported)?;
        let value = scaled((feature, output), scalar.scalar())?;
        let command = OutputCommand::from_output_type(kind, value).map_err(|_| not_supported())?;
        Ok(checked(message, (feature, output), command))
    });
    all(message, commands)
}

fn nth<'a>(outputs: &[Place<'a>], index: u32) -> Result<Place<'a>, ButtplugError> {
    let at = usize::try_from(index)
        .ok()
        .and_then(|at| outputs.get(at))
        .copied();
    let count = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
    at.ok_or_else(|| ButtplugDeviceError::DeviceFeatureIndexError(count, index).into())
}

fn scaled((feature, output): Place<'_>, fraction: f64) -> Result<i32, ButtplugError> {
    limits::usable(feature, output)?;
    let outside = || out_of_range::fraction(feature, output, fraction);
    limits::scale_fraction(feature, output, fraction).ok_or_else(outside)
}

fn checked(
    message: &impl ButtplugDeviceMessage,
    (feature, _): Place<'_>,
    command: OutputCommand,
) -> CheckedOutputCmdV4 {
    let (id, device) = (message.id(), message.device_index());
    CheckedOutputCmdV4::new(id, device, feature.index(), feature.id(), command)
}

fn all(
    message: &impl ButtplugDeviceMessage,
    commands: impl Iterator<Item = Result<CheckedOutputCmdV4, ButtplugError>>,
) -> Result<CheckedOutputVecCmdV4, ButtplugError> {
    let commands: Vec<_> = commands.collect::<Result<_, _>>()?;
    Ok(CheckedOutputVecCmdV4::new(
        message.id(),
        message.device_index(),
        commands,
    ))
}

#[cfg(test)]
mod tests;
