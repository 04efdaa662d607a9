//! What a client says, and what it gets back; the guard around the library.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use buttplug_core::errors::{ButtplugDeviceError, ButtplugError, ButtplugMessageError, ButtplugUnknownError};
use buttplug_core::message::serializer::{ButtplugMessageSerializer, ButtplugSerializedMessage};
use buttplug_core::message::{
    ButtplugClientMessageV4, ButtplugDeviceMessage, ButtplugMessage, ButtplugMessageFinalizer,
    ButtplugServerMessageV4, ErrorV0, InputCmdV4, InputCommandType, OutputCmdV4, RequestServerInfoV4,
    StopCmdV4,
};
use buttplug_server::ButtplugServer;
use buttplug_server::message::checked_input_cmd::CheckedInputCmdV4;
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use buttplug_server::message::serializer::ButtplugServerJSONSerializer;
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4 as Checked;
use buttplug_server::message::{
    ButtplugClientMessageV0 as V0, ButtplugClientMessageV1 as V1, ButtplugClientMessageV2 as V2,
    ButtplugClientMessageV3 as V3, ButtplugClientMessageVariant as Message,
    ButtplugServerMessageVariant as Reply,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::{debug, error};

use super::lists;
use crate::upstream::embedded::DeviceTable;

/// The library's wait for a sensor starts anew at each frame of the device, so that a chatty one hangs it.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// What a message is about, as far as the gateway must know.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// The handshake, in the newest version's words.
    Hello(RequestServerInfoV4),
    /// Buttplug's own ping.
    Ping,
    /// The client says goodbye.
    Disconnect,
    /// The client asks for the devices.
    DeviceList,
    /// An output of this device.
    Output(u32),
    /// A stop of one device, or of all.
    Stop(Option<u32>),
    /// A question to a device.
    Read,
    /// Anything else.
    Other,
}

/// What a message is about.
pub(super) fn kind(message: &Message) -> Kind {
    match message {
        Message::V0(V0::RequestServerInfo(m))
        | Message::V1(V1::RequestServerInfo(m))
        | Message::V2(V2::RequestServerInfo(m))
        | Message::V3(V3::RequestServerInfo(m)) => Kind::Hello(m.clone().into()),
        Message::V4(ButtplugClientMessageV4::RequestServerInfo(m)) => Kind::Hello(m.clone()),
        Message::V0(V0::Ping(_))
        | Message::V1(V1::Ping(_))
        | Message::V2(V2::Ping(_))
        | Message::V3(V3::Ping(_))
        | Message::V4(ButtplugClientMessageV4::Ping(_)) => Kind::Ping,
        Message::V4(ButtplugClientMessageV4::Disconnect(_)) => Kind::Disconnect,
        Message::V0(V0::RequestDeviceList(_))
        | Message::V1(V1::RequestDeviceList(_))
        | Message::V2(V2::RequestDeviceList(_))
        | Message::V3(V3::RequestDeviceList(_))
        | Message::V4(ButtplugClientMessageV4::RequestDeviceList(_)) => Kind::DeviceList,
        Message::V0(V0::StopAllDevices(_))
        | Message::V1(V1::StopAllDevices(_))
        | Message::V2(V2::StopAllDevices(_))
        | Message::V3(V3::StopAllDevices(_)) => Kind::Stop(None),
        Message::V0(V0::StopDeviceCmd(m))
        | Message::V1(V1::StopDeviceCmd(m))
        | Message::V2(V2::StopDeviceCmd(m))
        | Message::V3(V3::StopDeviceCmd(m)) => Kind::Stop(Some(m.device_index())),
        Message::V4(ButtplugClientMessageV4::StopCmd(m)) => Kind::Stop(m.device_index()),
        Message::V2(V2::BatteryLevelCmd(_))
        | Message::V3(V3::SensorReadCmd(_) | V3::SensorSubscribeCmd(_) | V3::SensorUnsubscribeCmd(_)) => {
            Kind::Read
        }
        Message::V4(ButtplugClientMessageV4::InputCmd(_)) => Kind::Read,
        // Of what is left, whatever names a device commands it.
        other => other.device_index().map_or(Kind::Other, Kind::Output),
    }
}

/// Reads what a client sent: several messages in one, or the library's words for what is wrong with it, under the
/// client's own message id where one can be found.
pub(super) fn parse(
    serializer: &ButtplugServerJSONSerializer,
    bytes: &[u8],
) -> Result<Vec<Message>, Box<ErrorV0>> {
    let fault = |text: String| {
        let mut error = ErrorV0::from(ButtplugError::from(ButtplugMessageError::InvalidMessageContents(
            text,
        )));
        error.set_id(find_id(bytes));
        Box::new(error)
    };
    let text = std::str::from_utf8(bytes).map_err(|e| fault(format!("the message is not UTF-8: {e}")))?;
    let text = ButtplugSerializedMessage::Text(text.to_owned());
    match guard(|| serializer.deserialize(&text)) {
        Some(Ok(messages)) => Ok(messages),
        Some(Err(e)) => Err(fault(e.to_string())),
        None => Err(fault("the message cannot be read".to_owned())),
    }
}

/// The id that a client gave to a message that cannot be read as a whole; 0, which is nobody's, where it has none.
fn find_id(bytes: &[u8]) -> u32 {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let message = value.as_array().and_then(|all| all.first()).unwrap_or(&value);
    let body = message.as_object().and_then(|fields| fields.values().next());
    body.and_then(|b| b["Id"].as_u64())
        .and_then(|id| id.try_into().ok())
        .unwrap_or(0)
}

/// Runs something of the library; `None` when it panicked.
pub(super) fn guard<T>(library: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(library)).ok()
}

/// The future of a reply. Its first poll is what sends a command on its way.
pub(super) type Pending = BoxFuture<'static, Reply>;

/// Hands a message to the library: now, up to the point where only time is missing.
pub(super) fn carry_out(server: &ButtplugServer, devices: &DeviceTable, message: Message) -> Pending {
    let id = message.id();
    let version = message.version();
    let is_read = kind(&message) == Kind::Read;
    let reply = match message {
        Message::V4(message) => guard(|| match checked(devices, message) {
            Ok(checked) => server.parse_checked_message(checked),
            Err(e) => {
                let mut error = ErrorV0::from(*e);
                error.set_id(id);
                futures::future::ready(Err(error)).boxed()
            }
        })
        .map(|reply| {
            reply
                .map(|r| Reply::V4(r.unwrap_or_else(ButtplugServerMessageV4::Error)))
                .boxed()
        }),
        older => {
            guard(|| server.parse_message(older)).map(|reply| reply.map(|r| r.unwrap_or_else(|e| e)).boxed())
        }
    };
    let Some(reply) = reply else {
        return futures::future::ready(error_reply(version, id, panicked())).boxed();
    };
    async move {
        let reply = AssertUnwindSafe(reply).catch_unwind();
        let reply = if is_read {
            match tokio::time::timeout(READ_TIMEOUT, reply).await {
                Ok(reply) => reply,
                Err(_) => {
                    let text = format!("the device did not answer within {} ms", READ_TIMEOUT.as_millis());
                    let error = ButtplugDeviceError::DeviceCommunicationError(text).into();
                    return error_reply(version, id, error);
                }
            }
        } else {
            reply.await
        };
        reply.unwrap_or_else(|_| error_reply(version, id, panicked()))
    }
    .boxed()
}

fn panicked() -> ButtplugError {
    error!("a fault inside the Buttplug library, while it carried out a client's message");
    ButtplugUnknownError::UnexpectedType("the server failed while it carried out this message".to_owned())
        .into()
}

/// An Error in the client's version.
pub(super) fn error_reply(
    version: buttplug_core::message::ButtplugMessageSpecVersion,
    id: u32,
    error: ButtplugError,
) -> Reply {
    let mut error = ErrorV0::from(error);
    error.set_id(id);
    lists::in_version(version, error.clone().into()).unwrap_or(Reply::V4(error.into()))
}

/// A message of version 4 with its values checked against the one device that it names.
///
/// The library's own way copies the features of all connected devices for each message, which takes milliseconds
/// at a thousand of them. The checks and the errors are the same.
fn checked(devices: &DeviceTable, message: ButtplugClientMessageV4) -> Result<Checked, Box<ButtplugError>> {
    match message {
        ButtplugClientMessageV4::RequestServerInfo(m) => Ok(m.into()),
        ButtplugClientMessageV4::Ping(m) => Ok(m.into()),
        ButtplugClientMessageV4::StartScanning(m) => Ok(m.into()),
        ButtplugClientMessageV4::StopScanning(m) => Ok(m.into()),
        ButtplugClientMessageV4::RequestDeviceList(m) => Ok(m.into()),
        ButtplugClientMessageV4::Disconnect(m) => Ok(m.into()),
        ButtplugClientMessageV4::StopCmd(m) => checked_stop(devices, m),
        ButtplugClientMessageV4::OutputCmd(m) => checked_output(devices, m),
        ButtplugClientMessageV4::InputCmd(m) => checked_input(devices, m),
    }
}

fn device(
    devices: &DeviceTable,
    index: u32,
) -> Result<&crate::upstream::embedded::ListedDevice, Box<ButtplugError>> {
    let gone = || {
        Box::new(ButtplugError::from(ButtplugDeviceError::DeviceNotAvailable(
            index,
        )))
    };
    devices.get(&index).map(AsRef::as_ref).ok_or_else(gone)
}

fn no_feature(count: usize, index: u32) -> Box<ButtplugError> {
    Box::new(ButtplugDeviceError::DeviceFeatureIndexError(count as u32, index).into())
}

fn checked_stop(devices: &DeviceTable, m: StopCmdV4) -> Result<Checked, Box<ButtplugError>> {
    match (m.device_index(), m.feature_index()) {
        (None, Some(_)) => Err(Box::new(
            ButtplugMessageError::InvalidMessageContents(
                "StopCmd with a FeatureIndex needs a DeviceIndex".to_owned(),
            )
            .into(),
        )),
        (Some(index), feature) => {
            let features = device(devices, index)?.definition.features();
            match feature {
                Some(f) if !features.contains_key(&f) => Err(no_feature(features.len(), f)),
                _ => Ok(m.into()),
            }
        }
        (None, None) => Ok(m.into()),
    }
}

fn checked_output(devices: &DeviceTable, m: OutputCmdV4) -> Result<Checked, Box<ButtplugError>> {
    let features = device(devices, m.device_index())?.definition.features();
    let feature = features
        .get(&m.feature_index())
        .ok_or_else(|| no_feature(features.len(), m.feature_index()))?;
    let mut command = m.command();
    let kind = command.as_output_type();
    let unsupported = |text: String| Box::new(ButtplugDeviceError::MessageNotSupported(text).into());
    let output = feature
        .get_output(kind)
        .ok_or_else(|| unsupported("OutputCmd".to_owned()))?;
    if output.is_disabled() {
        return Err(unsupported(format!(
            "Output type {kind:?} is disabled for this device"
        )));
    }
    let value = output.calculate_from_value(command.value()).map_err(|e| {
        debug!("{e}");
        Box::new(ButtplugError::from(ButtplugDeviceError::DeviceStepRangeError(
            0,
            command.value(),
        )))
    })?;
    command.set_value(value);
    Ok(CheckedOutputCmdV4::new(m.id(), m.device_index(), m.feature_index(), feature.id(), command).into())
}

fn checked_input(devices: &DeviceTable, m: InputCmdV4) -> Result<Checked, Box<ButtplugError>> {
    let features = device(devices, m.device_index())?.definition.features();
    let feature = features
        .get(&m.feature_index())
        .ok_or_else(|| no_feature(features.len(), m.feature_index()))?;
    if !feature.contains_input(m.input_type()) {
        return Err(Box::new(
            ButtplugDeviceError::MessageNotSupported("InputCmd".to_owned()).into(),
        ));
    }
    let (kind, command): (_, InputCommandType) = (m.input_type(), m.input_command());
    Ok(CheckedInputCmdV4::new(
        m.id(),
        m.device_index(),
        m.feature_index(),
        kind,
        command,
        feature.id(),
    )
    .into())
}

/// The wire form of a message: an array of one.
pub(super) fn encode(message: Reply) -> String {
    fn json<T: serde::Serialize + ButtplugMessageFinalizer>(mut message: T) -> String {
        message.finalize();
        serde_json::to_string(&[message])
            .expect("the library's messages have string keys and no failing fields")
    }
    match message {
        Reply::V0(m) => json(m),
        Reply::V1(m) => json(m),
        Reply::V2(m) => json(m),
        Reply::V3(m) => json(m),
        Reply::V4(m) => json(m),
    }
}
