//! Buttplug messages on the wire: JSON in and out, for every message version.
//!
//! The library's serializer accepts or rejects a websocket message as a whole, echoes all of it in its error, and
//! does not know `Disconnect`. Here each Buttplug message is read on its own, so that each gets an answer.

mod fractions;
mod server_info;
mod stops;

use buttplug_core::errors::{ButtplugError, ButtplugHandshakeError, ButtplugMessageError};
use buttplug_core::message::serializer::ButtplugSerializerError;
use buttplug_core::message::serializer::json_serializer::create_message_validator;
use buttplug_core::message::{
    BUTTPLUG_CURRENT_API_MAJOR_VERSION, ButtplugClientMessageV4, ButtplugMessage, ButtplugMessageSpecVersion,
    ButtplugServerMessageV4, DisconnectV4, ErrorV0, InputCmdV4, OutputCmdV4, RequestServerInfoV4, StopCmdV4,
};
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;
use buttplug_server::message::{
    ButtplugClientMessageV0, ButtplugClientMessageV1, ButtplugClientMessageV2, ButtplugClientMessageV3,
    ButtplugClientMessageVariant, ButtplugServerMessageV0, ButtplugServerMessageV1, ButtplugServerMessageV2,
    ButtplugServerMessageV3, ButtplugServerMessageVariant, RequestServerInfoV1, StopDeviceCmdV0,
};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::{Deserializer, Value};

/// The longest error text that is passed on. The text may quote the message.
const FAULT_MAX_CHARS: usize = 300;

/// The longest message that an error quotes as it should be.
const MEANT_MAX_CHARS: usize = 240;

/// Buttplug's JSON schema, compiled once for all clients.
pub(super) struct Schema(Box<dyn Fn(&Value) -> bool + Send + Sync>);

impl Schema {
    pub(super) fn new() -> Self {
        let validator = create_message_validator();
        Self(Box::new(move |value| validator.is_valid(value)))
    }
}

/// A client's message, of any message version.
#[derive(Debug)]
pub(super) enum Request {
    Handshake(RequestServerInfoV4),
    Ping(ButtplugCheckedClientMessageV4),
    ListDevices,
    Disconnect,
    Stop(StopCmdV4),
    Output(OutputCmdV4),
    Input(InputCmdV4),
    /// Starts or stops scanning; needs no checks.
    Scan(ButtplugCheckedClientMessageV4),
    /// A device command of versions 0 to 3, not converted yet.
    Legacy(ButtplugClientMessageVariant),
}

/// Splits a websocket message, usually one array, into Buttplug messages. Everything after the first error is
/// ignored, since its meaning is unclear.
pub(super) fn split(text: &str) -> Vec<Result<Value, Box<ErrorV0>>> {
    let mut messages = Vec::new();
    let content = text.trim_end_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    for document in Deserializer::from_str(content).into_iter::<Value>() {
        let fault = match document {
            Ok(Value::Array(items)) if !items.is_empty() => {
                messages.extend(items.into_iter().map(Ok));
                continue;
            }
            Ok(other) => malformed(id_of(&other), &not_an_array(&other)),
            Err(e) => malformed(0, &format!("not JSON: {e}")),
        };
        messages.push(Err(fault));
        return messages;
    }
    if text[content.len()..].contains('\0') {
        messages.push(Err(malformed(
            0,
            "a NUL byte follows the text: send as many bytes as the text has, strlen(text) and not sizeof(text)",
        )));
    } else if messages.is_empty() {
        messages.push(Err(malformed(0, "nothing in it")));
    }
    messages
}

/// What is wrong with a document that is no array of messages, and what to send instead.
fn not_an_array(document: &Value) -> String {
    match document {
        Value::Array(_) => {
            "the array has no message in it, such as [{\"RequestDeviceList\": {\"Id\": 1}}]".to_owned()
        }
        Value::Object(_) => {
            let meant = format!("[{document}]");
            let name = document.as_object().and_then(|object| object.keys().next());
            match name {
                Some(name) if meant.chars().count() > MEANT_MAX_CHARS => {
                    format!("messages come in an array: send [{{{:?}: ...}}]", shortened(name))
                }
                _ => format!("messages come in an array: send {meant}"),
            }
        }
        _ => "not an array of messages, such as [{\"RequestDeviceList\": {\"Id\": 1}}]".to_owned(),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(MEANT_MAX_CHARS / 4).collect()
}

/// The Id of a message; 0 if it has no valid one.
pub(super) fn id_of(message: &Value) -> u32 {
    message
        .as_object()
        .and_then(|object| object.values().next())
        .and_then(|body| body.get("Id"))
        .and_then(Value::as_u64)
        .and_then(|id| u32::try_from(id).ok())
        .unwrap_or(0)
}

/// Reads the first message of a client, which must be `RequestServerInfo`.
pub(super) fn read_handshake(schema: &Schema, message: Value) -> Result<RequestServerInfoV4, Box<ErrorV0>> {
    let id = id_of(&message);
    let Some(body) = message.get("RequestServerInfo") else {
        return Err(error(id, ButtplugHandshakeError::RequestServerInfoExpected));
    };
    if let Some(why) = server_info::fault(body) {
        return Err(malformed(id, &why));
    }
    let newest = BUTTPLUG_CURRENT_API_MAJOR_VERSION as u64;
    let is_new = body.get("ProtocolVersionMajor").is_some();
    let wanted = body
        .get("ProtocolVersionMajor")
        .or(body.get("MessageVersion"))
        .and_then(Value::as_u64);
    if let Some(wanted) = wanted.filter(|&v| v > newest || (v == newest && !is_new)) {
        let why = if wanted == newest {
            format!(
                "message version {wanted} is requested with ProtocolVersionMajor, not with MessageVersion"
            )
        } else {
            format!("message version {wanted} is unknown, the newest is {newest}")
        };
        return Err(error(id, ButtplugHandshakeError::UntypedDeserializedError(why)));
    }
    let body = body.clone();
    checked_by(schema, ButtplugMessageSpecVersion::Version4, message)?;
    if is_new {
        typed(id, body)
    } else {
        typed::<RequestServerInfoV1>(id, body).map(Into::into)
    }
}

/// Reads a message of a client that has completed its handshake.
pub(super) fn read(
    schema: &Schema,
    version: ButtplugMessageSpecVersion,
    message: Value,
) -> Result<Request, Box<ErrorV0>> {
    let id = id_of(&message);
    // Part of version 4, but not of the library's schema.
    if version == ButtplugMessageSpecVersion::Version4
        && let Some(body) = message.get("Disconnect")
        && id != 0
    {
        return typed::<DisconnectV4>(id, body.clone()).map(|_| Request::Disconnect);
    }
    let stop = stops::read(&message);
    let read = checked_by(schema, version, message).and_then(|message| parse(version, id, message));
    match (read, stop) {
        (Ok(message), _) => Ok(to_request(message)),
        (Err(_), Some(stop)) => Ok(Request::Stop(stop)),
        (Err(error), None) => Err(error),
    }
}

/// Validates a message. The schema gives no reason, so the error text comes from deserializing the message, as one of
/// the client's version.
fn checked_by(
    schema: &Schema,
    version: ButtplugMessageSpecVersion,
    message: Value,
) -> Result<Value, Box<ErrorV0>> {
    let id = id_of(&message);
    let array = Value::Array(vec![message]);
    let is_valid = (schema.0)(&array);
    let message = match array {
        Value::Array(mut items) => items.pop().unwrap_or_default(),
        other => other,
    };
    if is_valid {
        return Ok(message);
    }
    parse(version, id, message.clone())?;
    if fractions::are_all_that_is_wrong(schema, &message) {
        return Ok(message);
    }
    Err(malformed(
        id,
        "a field is unknown or out of its range (an Id is at least 1)",
    ))
}

fn parse(
    version: ButtplugMessageSpecVersion,
    id: u32,
    message: Value,
) -> Result<ButtplugClientMessageVariant, Box<ErrorV0>> {
    use ButtplugMessageSpecVersion as V;
    match version {
        V::Version0 => typed::<ButtplugClientMessageV0>(id, message).map(Into::into),
        V::Version1 => typed::<ButtplugClientMessageV1>(id, message).map(Into::into),
        V::Version2 => typed::<ButtplugClientMessageV2>(id, message).map(Into::into),
        V::Version3 => typed::<ButtplugClientMessageV3>(id, message).map(Into::into),
        V::Version4 => typed::<ButtplugClientMessageV4>(id, message).map(Into::into),
    }
}

fn typed<T: DeserializeOwned>(id: u32, message: Value) -> Result<T, Box<ErrorV0>> {
    let name = message
        .as_object()
        .and_then(|object| object.keys().next())
        .cloned();
    serde_json::from_value(message).map_err(|e| match (e.to_string(), name) {
        // A fault in a field does not name the message.
        (why, Some(name)) if !why.contains(&name) => malformed(id, &format!("{name}: {why}")),
        (why, _) => malformed(id, &why),
    })
}

/// Converts the messages that versions 0 to 3 share to their counterparts of version 4.
macro_rules! legacy_request {
    ($kind:ident, $variant:ident, $message:expr) => {
        match $message {
            $kind::RequestServerInfo(m) => Request::Handshake(m.into()),
            $kind::Ping(m) => Request::Ping(m.into()),
            $kind::StartScanning(m) => Request::Scan(m.into()),
            $kind::StopScanning(m) => Request::Scan(m.into()),
            $kind::RequestDeviceList(_) => Request::ListDevices,
            $kind::StopAllDevices(m) => Request::Stop(with_id(m.id(), m.into())),
            $kind::StopDeviceCmd(m) => Request::Stop(stop_one(m)),
            command => Request::Legacy(ButtplugClientMessageVariant::$variant(command)),
        }
    };
}

fn to_request(message: ButtplugClientMessageVariant) -> Request {
    match message {
        ButtplugClientMessageVariant::V0(m) => legacy_request!(ButtplugClientMessageV0, V0, m),
        ButtplugClientMessageVariant::V1(m) => legacy_request!(ButtplugClientMessageV1, V1, m),
        ButtplugClientMessageVariant::V2(m) => legacy_request!(ButtplugClientMessageV2, V2, m),
        ButtplugClientMessageVariant::V3(m) => legacy_request!(ButtplugClientMessageV3, V3, m),
        ButtplugClientMessageVariant::V4(m) => match m {
            ButtplugClientMessageV4::RequestServerInfo(m) => Request::Handshake(m),
            ButtplugClientMessageV4::Ping(m) => Request::Ping(m.into()),
            ButtplugClientMessageV4::StartScanning(m) => Request::Scan(m.into()),
            ButtplugClientMessageV4::StopScanning(m) => Request::Scan(m.into()),
            ButtplugClientMessageV4::RequestDeviceList(_) => Request::ListDevices,
            ButtplugClientMessageV4::StopCmd(m) => Request::Stop(m),
            ButtplugClientMessageV4::OutputCmd(m) => Request::Output(m),
            ButtplugClientMessageV4::InputCmd(m) => Request::Input(m),
            ButtplugClientMessageV4::Disconnect(_) => Request::Disconnect,
        },
    }
}

/// The library's conversion loses the Id.
fn stop_one(message: StopDeviceCmdV0) -> StopCmdV4 {
    with_id(message.id(), message.into())
}

fn with_id(id: u32, mut stop: StopCmdV4) -> StopCmdV4 {
    stop.set_id(id);
    stop
}

/// Converts a message of version 4 to the client's version. `InputReading` has no counterpart in older ones.
pub(super) fn downgrade(
    message: ButtplugServerMessageV4,
    version: ButtplugMessageSpecVersion,
) -> Result<ButtplugServerMessageVariant, ButtplugMessageError> {
    match version {
        ButtplugMessageSpecVersion::Version4 => Ok(message.into()),
        older => Ok(downgrade_v3(message.try_into()?, older)),
    }
}

/// Converts a message of version 3 to the client's version, 3 or older.
pub(super) fn downgrade_v3(
    message: ButtplugServerMessageV3,
    version: ButtplugMessageSpecVersion,
) -> ButtplugServerMessageVariant {
    use ButtplugMessageSpecVersion as V;
    if matches!(version, V::Version3 | V::Version4) {
        return message.into();
    }
    let message = ButtplugServerMessageV2::from(message);
    if version == V::Version2 {
        return message.into();
    }
    let message = ButtplugServerMessageV1::from(message);
    if version == V::Version1 {
        return message.into();
    }
    ButtplugServerMessageV0::from(message).into()
}

/// The websocket message for these Buttplug messages.
pub(super) fn encode(messages: &[ButtplugServerMessageVariant]) -> String {
    to_json(&messages.iter().map(Bare).collect::<Vec<_>>())
}

/// The websocket message for a reply or an event of version 4.
pub(super) fn encode_v4(message: ButtplugServerMessageV4, version: ButtplugMessageSpecVersion) -> String {
    let id = message.id();
    match downgrade(message, version) {
        Ok(message) => encode(&[message]),
        Err(e) => encode_error(*error(id, e)),
    }
}

/// Encodes an Error, which is the same in every version.
pub(super) fn encode_error(error: ErrorV0) -> String {
    to_json(&[ButtplugServerMessageV4::Error(error)])
}

pub(super) fn to_json(messages: &impl Serialize) -> String {
    serde_json::to_string(messages).expect("Buttplug's messages have string keys and nothing that fails")
}

/// A message without the enum layer of its version.
struct Bare<'a>(&'a ButtplugServerMessageVariant);

impl Serialize for Bare<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ButtplugServerMessageVariant::V0(m) => m.serialize(serializer),
            ButtplugServerMessageVariant::V1(m) => m.serialize(serializer),
            ButtplugServerMessageVariant::V2(m) => m.serialize(serializer),
            ButtplugServerMessageVariant::V3(m) => m.serialize(serializer),
            ButtplugServerMessageVariant::V4(m) => m.serialize(serializer),
        }
    }
}

/// Buttplug's Error for a message.
pub(super) fn error(id: u32, what: impl Into<ButtplugError>) -> Box<ErrorV0> {
    let mut error = ErrorV0::from(what.into());
    error.set_id(id);
    Box::new(error)
}

/// Buttplug's Error for text that is not a valid message.
pub(super) fn malformed(id: u32, why: &str) -> Box<ErrorV0> {
    let why: String = why.chars().take(FAULT_MAX_CHARS).collect();
    error(
        id,
        ButtplugMessageError::from(ButtplugSerializerError::JsonSerializerError(why)),
    )
}

#[cfg(test)]
mod tests;
