//! The stop bytes: what the gateway itself writes to a device when control of it is lost.
//!
//! A Buttplug server's own stop is not enough: it has none for positions, drops one that equals the last
//! command, and is gone when the server is.

use bytes::Bytes;

use crate::device::frame::Frame;

/// The frames that stop a device of this protocol, where it is known what they are.
pub fn stop_bytes(protocol: &str) -> &'static [&'static [u8]] {
    match protocol {
        "lovense" => &[b"Vibrate:0;", b"Rotate:0;"],
        // Stops every axis where it is, and every vibration.
        "tcode-v03" => &[b"DSTOP\n"],
        _ => &[],
    }
}

/// The frames for one device: what its owner configured, else what its protocol is known to take.
pub fn stop_frames(on_close: Option<&Bytes>, protocol: Option<&str>) -> Vec<Frame> {
    match (on_close, protocol) {
        (Some(bytes), _) => vec![Frame(bytes.clone())],
        (None, Some(protocol)) => stop_bytes(protocol).iter().map(|b| Frame::from(*b)).collect(),
        (None, None) => Vec::new(),
    }
}
