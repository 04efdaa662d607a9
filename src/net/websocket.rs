//! The settings for devices' websockets, accepted or dialled.

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::defaults::{DEVICE_READ_BUFFER_BYTES, DEVICE_WRITE_BUFFER_BYTES, FRAME_MAX_BYTES};

/// The settings for a device's websocket. Frames have tens of bytes, so buffers are small.
///
/// The link flushes at once what it writes. Until then a frame waits for the ping that travels with it: both fit one segment.
pub fn device_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(DEVICE_READ_BUFFER_BYTES)
        .write_buffer_size(DEVICE_WRITE_BUFFER_BYTES)
        .max_write_buffer_size(2 * FRAME_MAX_BYTES)
        .max_message_size(Some(FRAME_MAX_BYTES))
        .max_frame_size(Some(FRAME_MAX_BYTES))
}
