//! The settings for devices' websockets, accepted or dialled, and what it means if a peer breaks the protocol.

use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::defaults::{DEVICE_READ_BUFFER_BYTES, DEVICE_WRITE_BUFFER_BYTES, FRAME_MAX_BYTES};
use crate::device::violation::Violation;

/// The settings for a device's websocket. Frames have tens of bytes, so buffers are small.
///
/// The link flushes right after it writes. The buffer only lets a frame wait for the ping that travels with it: both fit
/// one segment.
pub fn device_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(DEVICE_READ_BUFFER_BYTES)
        .write_buffer_size(DEVICE_WRITE_BUFFER_BYTES)
        .max_write_buffer_size(2 * FRAME_MAX_BYTES)
        .max_message_size(Some(FRAME_MAX_BYTES))
        .max_frame_size(Some(FRAME_MAX_BYTES))
}

/// Describes what a peer did that the websocket library does not accept.
pub fn violation(error: &WsError) -> Violation {
    use ProtocolError as P;
    let reserved = |opcode: &u8| format!("it sent a frame with the reserved opcode {opcode}").into();
    let library = "its websocket library does not follow RFC 6455: update it, or use another one";
    let (what, hint) = match error {
        WsError::Protocol(P::UnmaskedFrameFromClient) => (
            "it sent an unmasked frame, but a client must mask every frame".into(),
            "update its websocket library, or make it act as a client: only a server may leave frames unmasked",
        ),
        WsError::Protocol(P::NonZeroReservedBits) => (
            "it sent a frame that is compressed or has other reserved bits set, without negotiating that"
                .into(),
            "turn off compression (permessage-deflate) in its websocket library",
        ),
        WsError::Protocol(
            P::UnknownControlFrameType(opcode) | P::UnknownDataFrameType(opcode) | P::InvalidOpcode(opcode),
        ) => (reserved(opcode), library),
        WsError::Protocol(other) => (other.to_string().into(), library),
        other => (other.to_string().into(), library),
    };
    Violation { what, hint }
}
