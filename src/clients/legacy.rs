//! Commands of message versions 1 to 3 that the gateway converts itself, to keep them inside a user's limits. The
//! library converts the rest, all of which it scales as it should.

use buttplug_core::errors::{ButtplugDeviceError, ButtplugError, ButtplugMessageError};
use buttplug_core::message::{
    ButtplugDeviceMessage, OutputCommand, OutputHwPositionWithDuration, OutputType,
};
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use buttplug_server::message::checked_output_vec_cmd::CheckedOutputVecCmdV4;
use buttplug_server::message::{
    ButtplugClientMessageV1, ButtplugClientMessageV2, ButtplugClientMessageV3, ButtplugClientMessageVariant,
    LinearCmdV1, ScalarCmdV3,
};
use buttplug_server_device_config::{
    ServerDeviceDefinition, ServerDeviceFeature, ServerDeviceFeatureOutput as Output,
};

use crate::upstream::embedded::limits;

/// Checks a command that moves a position against the device's features; `None` if the library is to convert it.
///
/// # Errors
/// The library's own errors: no such feature, or a value outside 0 to 1.
pub(super) fn check(
    message: &ButtplugClientMessageVariant,
    device: &ServerDeviceDefinition,
) -> Option<Result<CheckedOutputVecCmdV4, ButtplugError>> {
    use ButtplugClientMessageVariant as M;
    match message {
        M::V1(ButtplugClientMessageV1::LinearCmd(m))
        | M::V2(ButtplugClientMessageV2::LinearCmd(m))
        | M::V3(ButtplugClientMessageV3::LinearCmd(m)) => Some(linear(m, device)),
        M::V3(ButtplugClientMessageV3::ScalarCmd(m)) => Some(scalar(m, device)),
        _ => None,
    }
}

/// Linear commands count the features that have a timed position.
fn linear(
    message: &LinearCmdV1,
    device: &ServerDeviceDefinition,
) -> Result<CheckedOutputVecCmdV4, ButtplugError> {
    let timed: Vec<(&ServerDeviceFeature, &Output)> = device
        .features()
        .values()
        .filter_map(|feature| Some((feature, feature.get_output(OutputType::HwPositionWithDuration)?)))
        .collect();
    if timed.is_empty() {
        let what = "Device has no PositionWithDuration features".to_owned();
        return Err(ButtplugDeviceError::DeviceFeatureMismatch(what).into());
    }
    let commands = message.vectors().iter().map(|vector| {
        let (feature, output) = nth(&timed, vector.index())?;
        usable(output)?;
        let value = limits::scale_fraction(feature, output, vector.position());
        let value = value.and_then(|value| u32::try_from(value).ok()).ok_or_else(|| {
            let what = "Position should be 0.0 < x < 1.0".to_owned();
            ButtplugMessageError::InvalidMessageContents(what)
        })?;
        let command = OutputHwPositionWithDuration::new(value, vector.duration());
        Ok(checked(
            message,
            feature,
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
    let scalars: Vec<(&ServerDeviceFeature, &Output)> = device
        .features()
        .values()
        .flat_map(|feature| feature.output.iter().map(move |output| (feature, output)))
        .filter(|(_, output)| !matches!(output, Output::HwPositionWithDuration(_)))
        .collect();
    let commands = message.scalars().iter().map(|scalar| {
        let (feature, _) = nth(&scalars, scalar.index())?;
        let kind = scalar.actuator_type();
        let output = feature.get_output(kind).ok_or_else(not_supported)?;
        usable(output)?;
        let value = limits::scale_fraction(feature, output, scalar.scalar()).ok_or_else(not_supported)?;
        let command = OutputCommand::from_output_type(kind, value).map_err(|_| not_supported())?;
        Ok(checked(message, feature, command))
    });
    all(message, commands)
}

fn nth<'a>(
    outputs: &[(&'a ServerDeviceFeature, &'a Output)],
    index: u32,
) -> Result<(&'a ServerDeviceFeature, &'a Output), ButtplugError> {
    let at = usize::try_from(index)
        .ok()
        .and_then(|at| outputs.get(at))
        .copied();
    let count = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
    at.ok_or_else(|| ButtplugDeviceError::DeviceFeatureIndexError(count, index).into())
}

fn usable(output: &Output) -> Result<(), ButtplugError> {
    if output.is_disabled() {
        let what = format!(
            "Output type {:?} is disabled for this device",
            output.output_type()
        );
        return Err(ButtplugDeviceError::MessageNotSupported(what).into());
    }
    Ok(())
}

fn checked(
    message: &impl ButtplugDeviceMessage,
    feature: &ServerDeviceFeature,
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
