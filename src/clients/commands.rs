//! Checks a client's commands and runs them in the library; a panic there becomes a Buttplug Error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use buttplug_core::errors::{ButtplugDeviceError, ButtplugError, ButtplugMessageError, ButtplugUnknownError};
use buttplug_core::message::{
    ButtplugDeviceMessage, ButtplugMessage, ButtplugMessageSpecVersion, InputCmdV4, OutputCmdV4,
    OutputCommand, OutputType, StopCmdV4,
};
use buttplug_server::ButtplugServer;
use buttplug_server::message::checked_input_cmd::CheckedInputCmdV4;
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;
use buttplug_server::message::{
    ButtplugClientMessageV2, ButtplugClientMessageV3, ButtplugClientMessageVariant,
};
use buttplug_server_device_config::ServerDeviceDefinition;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::timeout;
use tracing::error;

use super::{legacy, out_of_range, wire};
use crate::defaults::INPUT_TIMEOUT;
use crate::text::panic_text;
use crate::upstream::embedded::{Engine, ListedDevice, Reply, limits};

/// What is reported of a panic without a message.
pub(super) const NO_TEXT: &str = "a panic";

/// The library's answer to a command.
#[derive(Debug)]
pub(super) struct Answer {
    /// The answer is an Error: nothing was sent to a device.
    pub(super) failed: bool,
    /// The reply on the wire.
    pub(super) text: String,
}

impl Answer {
    pub(super) fn error(id: u32, why: impl Into<ButtplugError>) -> Self {
        Self {
            failed: true,
            text: wire::encode_error(*wire::error(id, why)),
        }
    }
}

/// What a command does to its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Turns something on, off, or moves it.
    Output,
    /// Reads or subscribes.
    Input,
    /// Stops, or scans.
    Other,
}

/// A command in the library. Commands take effect in the order in which they are first polled.
pub(super) struct Command {
    pub(super) id: u32,
    pub(super) device: Option<u32>,
    pub(super) effect: Effect,
    future: BoxFuture<'static, Answer>,
}

impl Future for Command {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        self.future.poll_unpin(cx)
    }
}

impl Command {
    /// A message that concerns no device.
    pub(super) fn checked(
        server: &ButtplugServer,
        version: ButtplugMessageSpecVersion,
        message: ButtplugCheckedClientMessageV4,
    ) -> Self {
        let effect = effect_of_checked(&message);
        Self::new(message.id(), None, effect, version, || {
            server.parse_checked_message(message)
        })
    }

    /// A checked command to one device.
    pub(super) fn on_device(
        device: &ListedDevice,
        version: ButtplugMessageSpecVersion,
        message: ButtplugCheckedClientMessageV4,
    ) -> Self {
        let effect = effect_of_checked(&message);
        Self::new(message.id(), Some(device.index), effect, version, || {
            device.carry_out(message)
        })
    }

    /// A stop of all devices.
    pub(super) fn on_all(engine: &Engine, version: ButtplugMessageSpecVersion, stop: &StopCmdV4) -> Self {
        Self::new(stop.id(), None, Effect::Other, version, || {
            engine.carry_out_on_all(stop)
        })
    }

    fn new<F>(
        id: u32,
        device: Option<u32>,
        effect: Effect,
        version: ButtplugMessageSpecVersion,
        call: impl FnOnce() -> F,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let answer = move |reply: Reply| Answer {
            failed: reply.is_err(),
            text: match reply {
                Ok(reply) => wire::encode_v4(reply, version),
                Err(error) => wire::encode_error(error),
            },
        };
        let future = guarded(id, || call().map(answer));
        Self {
            id,
            device,
            effect,
            future: limited(id, effect, future),
        }
    }

    /// A command of message versions 0 to 3: those that set outputs are converted here, the others by the library.
    pub(super) fn legacy(device: &ListedDevice, message: ButtplugClientMessageVariant) -> Self {
        let id = message.id();
        match legacy::check(&message, &device.definition) {
            Some(Ok(checked)) => return Self::on_device(device, message.version(), checked.into()),
            Some(Err(why)) => {
                return Self {
                    id,
                    device: Some(device.index),
                    effect: Effect::Output,
                    future: futures::future::ready(Answer::error(id, why)).boxed(),
                };
            }
            None => {}
        }
        let effect = effect_of(&message);
        let future = guarded(id, || {
            device.convert_and_carry_out(message).map(|reply| Answer {
                failed: reply.failed,
                text: wire::encode(&[reply.message]),
            })
        });
        Self {
            id,
            device: Some(device.index),
            effect,
            future: limited(id, effect, future),
        }
    }

    /// Polls the command for the first time, which puts it in the device's queue. Runs outside tokio's task budget:
    /// if the budget delayed this poll, the next command would overtake this one.
    pub(super) fn start(&mut self) -> Option<Answer> {
        tokio::task::unconstrained(&mut self.future).now_or_never()
    }

    /// The Error for a command that is dropped before it completed.
    pub(super) fn dropped(&self, why: &str) -> Answer {
        Answer::error(
            self.id,
            ButtplugDeviceError::DeviceCommunicationError(why.to_owned()),
        )
    }
}

fn effect_of_checked(message: &ButtplugCheckedClientMessageV4) -> Effect {
    match message {
        ButtplugCheckedClientMessageV4::OutputCmd(_) | ButtplugCheckedClientMessageV4::OutputVecCmd(_) => {
            Effect::Output
        }
        ButtplugCheckedClientMessageV4::InputCmd(_) => Effect::Input,
        _ => Effect::Other,
    }
}

fn effect_of(message: &ButtplugClientMessageVariant) -> Effect {
    match message {
        ButtplugClientMessageVariant::V2(ButtplugClientMessageV2::BatteryLevelCmd(_))
        | ButtplugClientMessageVariant::V3(
            ButtplugClientMessageV3::SensorReadCmd(_)
            | ButtplugClientMessageV3::SensorSubscribeCmd(_)
            | ButtplugClientMessageV3::SensorUnsubscribeCmd(_),
        ) => Effect::Input,
        _ => Effect::Output,
    }
}

/// Turns a panic of the library, in the call or in any poll, into an Error for the message.
fn guarded<F>(id: u32, call: impl FnOnce() -> F) -> BoxFuture<'static, Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(future) => AssertUnwindSafe(future)
            .catch_unwind()
            .map(move |done| done.unwrap_or_else(|panic| panicked(id, panic.as_ref())))
            .boxed(),
        Err(panic) => futures::future::ready(panicked(id, panic.as_ref())).boxed(),
    }
}

/// Runs a library call whose answer is not needed, and contains its panic.
pub(super) async fn guarded_silently<F: Future>(call: impl FnOnce() -> F) {
    if let Ok(future) = catch_unwind(AssertUnwindSafe(call)) {
        // The panic hook has printed the panic, and no client waits for an answer.
        let _ = AssertUnwindSafe(future).catch_unwind().await;
    }
}

fn panicked(id: u32, panic: &(dyn Any + Send)) -> Answer {
    let text = panic_text(panic).unwrap_or(NO_TEXT);
    error!(
        "the Buttplug server panicked while handling a client's message; the client gets an Error: {text}"
    );
    let why = format!("the server failed on this message: {text}");
    Answer::error(id, ButtplugUnknownError::UntypedDeserializedError(why))
}

/// Adds a timeout to a sensor query. The library restarts its own timeout at each frame of the device, so a chatty
/// device would hang the query.
fn limited(id: u32, effect: Effect, future: BoxFuture<'static, Answer>) -> BoxFuture<'static, Answer> {
    if effect != Effect::Input {
        return future;
    }
    async move {
        timeout(INPUT_TIMEOUT, future).await.unwrap_or_else(|_| {
            let why = format!(
                "no answer from the device within {} ms",
                INPUT_TIMEOUT.as_millis()
            );
            Answer::error(id, ButtplugDeviceError::DeviceCommunicationError(why))
        })
    }
    .boxed()
}

/// Checks an output command against the device's features and returns the library's own errors, but for values out of
/// range. The library's check would copy the features of every device.
pub(super) fn check_output(
    command: &OutputCmdV4,
    device: Option<&ServerDeviceDefinition>,
) -> Result<ButtplugCheckedClientMessageV4, ButtplugError> {
    let index = command.device_index();
    let features = device
        .ok_or(ButtplugDeviceError::DeviceNotAvailable(index))?
        .features();
    let feature = features.get(&command.feature_index()).ok_or_else(|| {
        ButtplugDeviceError::DeviceFeatureIndexError(features.len() as u32, command.feature_index())
    })?;
    let mut output_command = command.command();
    let output_type = output_command.as_output_type();
    let output = feature
        .get_output(output_type)
        .ok_or_else(|| ButtplugDeviceError::MessageNotSupported("OutputCmd".to_owned()))?;
    limits::usable(feature, output)?;
    let value = match output_command {
        OutputCommand::HwPositionWithDuration(to) => to.value().into(),
        _ => i64::from(output_command.value()),
    };
    let checked = i32::try_from(value).ok();
    let checked = checked.filter(|value| *value >= 0 || limits::is_signed(output));
    let Some(checked) = checked.and_then(|value| limits::scale(feature, output, value)) else {
        return Err(out_of_range::steps(feature, output, value));
    };
    output_command.set_value(checked);
    Ok(CheckedOutputCmdV4::new(
        command.id(),
        index,
        command.feature_index(),
        feature.id(),
        output_command,
    )
    .into())
}

/// Checks an input command, as [`check_output`] does.
pub(super) fn check_input(
    command: &InputCmdV4,
    device: Option<&ServerDeviceDefinition>,
) -> Result<ButtplugCheckedClientMessageV4, ButtplugError> {
    let index = command.device_index();
    let features = device
        .ok_or(ButtplugDeviceError::DeviceNotAvailable(index))?
        .features();
    let feature = features.get(&command.feature_index()).ok_or_else(|| {
        ButtplugDeviceError::DeviceFeatureIndexError(features.len() as u32, command.feature_index())
    })?;
    if !feature.contains_input(command.input_type()) {
        return Err(ButtplugDeviceError::MessageNotSupported("InputCmd".to_owned()).into());
    }
    Ok(CheckedInputCmdV4::new(
        command.id(),
        index,
        command.feature_index(),
        command.input_type(),
        command.input_command(),
        feature.id(),
    )
    .into())
}

/// Checks a stop, as [`check_output`] does. `device` is the device that the command names, if it is listed.
pub(super) fn check_stop(
    command: &StopCmdV4,
    device: Option<&ServerDeviceDefinition>,
) -> Result<(), ButtplugError> {
    match (command.device_index(), command.feature_index()) {
        (None, Some(_)) => {
            let what = "StopCmd feature_index requires a device_index".to_owned();
            Err(ButtplugMessageError::InvalidMessageContents(what).into())
        }
        (None, None) => Ok(()),
        (Some(index), feature) => {
            let features = device
                .ok_or(ButtplugDeviceError::DeviceNotAvailable(index))?
                .features();
            match feature {
                Some(feature) if !features.contains_key(&feature) => {
                    Err(ButtplugDeviceError::DeviceFeatureIndexError(features.len() as u32, feature).into())
                }
                _ => Ok(()),
            }
        }
    }
}

/// Whether a stop of this device, or of one of its features, affects a position. The library does not stop positions.
pub(super) fn has_position(device: &ServerDeviceDefinition, feature: Option<u32>) -> bool {
    device
        .features()
        .iter()
        .filter(|(index, _)| feature.is_none_or(|wanted| wanted == **index))
        .any(|(_, feature)| {
            feature.contains_output(OutputType::Position)
                || feature.contains_output(OutputType::HwPositionWithDuration)
        })
}

#[cfg(test)]
pub(super) mod tests;
