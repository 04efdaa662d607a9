//! The JSON documents of the fleet. Unknown keys are ignored, so that later versions may add some.

use serde::{Deserialize, Serialize};

use super::clock::Epoch;
use super::names::{DeviceId, Name};
use crate::device::handshake::{Address, Handshake, HandshakeError, Identifier};
use crate::device::recognition::{Axis, LOVENSE, RANGE_MAX, Recognised, TCODE};
use crate::text::safe_json;

/// A document, and how large one may be that is read: what a stranger sends may be kept.
pub trait Document {
    /// Its largest size, in bytes.
    const MAX_BYTES: usize;
}

/// A state or an owner has about a hundred bytes.
const SHORT_MAX_BYTES: usize = 1_024;
/// A birth has hundreds of bytes, with many axes thousands; a claim names each device in 20.
const LONG_MAX_BYTES: usize = 64 * 1_024;

impl Document for EdgeState {
    const MAX_BYTES: usize = SHORT_MAX_BYTES;
}

impl Document for HubState {
    const MAX_BYTES: usize = SHORT_MAX_BYTES;
}

impl Document for Owner {
    const MAX_BYTES: usize = SHORT_MAX_BYTES;
}

impl Document for Birth {
    const MAX_BYTES: usize = LONG_MAX_BYTES;
}

impl Document for Claim {
    const MAX_BYTES: usize = LONG_MAX_BYTES;
}

/// Axes of a board at most: TCode has channels 0 to 9 of four kinds.
const AXES_MAX: usize = 40;
/// The longest name of an axis, in bytes.
const AXIS_NAME_MAX: usize = 320;
/// Devices that a claim names at most.
pub const CLAIM_MAX: usize = 1_000;

/// Whether an edge is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeState {
    /// `false` in its will, and when it stops.
    pub online: bool,
    /// Its process.
    pub epoch: Epoch,
    /// The version of its gateway.
    #[serde(default)]
    pub version: String,
}

/// Whether a hub is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubState {
    /// `false` in its will, and when it stops.
    pub online: bool,
    /// Its process.
    pub hub_epoch: Epoch,
    /// The version of its gateway.
    #[serde(default)]
    pub version: String,
}

/// A device of an edge. It counts only while the edge is online with the same epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// What it is.
    pub identifier: String,
    /// Which one it is.
    pub address: String,
    /// The version of the handshake.
    pub version: u64,
    /// The process of its edge.
    pub epoch: Epoch,
    /// Its session until it is owned.
    pub session: u32,
    /// By which way it came to its edge.
    #[serde(default)]
    pub transport: String,
    /// What the edge recognised it as, if that is how it knows the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recognised: Option<RecognisedBoard>,
    /// The hubs that may claim it, the first that is there; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hubs: Vec<Name>,
}

/// A board that was recognised by its answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecognisedBoard {
    /// The protocol, by its name in the UDCF.
    pub protocol: String,
    /// The name that the board gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version that it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its axes: channel, name, and the range in ten-thousandths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<(String, String, u16, u16)>,
}

impl From<&Recognised> for RecognisedBoard {
    fn from(board: &Recognised) -> Self {
        let axis = |axis: &Axis| {
            let (channel, name) = (axis.channel.clone(), axis.name.clone());
            (channel, name, *axis.range.start(), *axis.range.end())
        };
        Self {
            protocol: board.protocol.to_owned(),
            name: board.name.clone(),
            version: board.version.clone(),
            axes: board.axes.iter().map(axis).collect(),
        }
    }
}

impl RecognisedBoard {
    /// The board; `None` if its protocol is not one of those that are recognised here, or an axis is none.
    pub fn board(&self) -> Option<Recognised> {
        let protocol = [TCODE, LOVENSE]
            .into_iter()
            .find(|known| *known == self.protocol)?;
        let axis = |(channel, name, from, to): &(String, String, u16, u16)| {
            let is_one = channel.len() == 2
                && channel.is_ascii()
                && name.len() <= AXIS_NAME_MAX
                && from < to
                && *to <= RANGE_MAX;
            is_one.then(|| Axis {
                channel: channel.clone(),
                name: name.clone(),
                range: *from..=*to,
            })
        };
        if self.axes.len() > AXES_MAX {
            return None;
        }
        Some(Recognised {
            protocol,
            name: self.name.clone(),
            version: self.version.clone(),
            axes: self.axes.iter().map(axis).collect::<Option<_>>()?,
            faults: Vec::new(),
        })
    }
}

impl Birth {
    /// Checks its handshake as that of any device.
    ///
    /// # Errors
    /// [`HandshakeError`], with the field.
    pub fn handshake(&self) -> Result<Handshake, HandshakeError> {
        if self.version != 0 {
            return Err(HandshakeError::Version(self.version));
        }
        Ok(Handshake::new(
            Identifier::new(self.identifier.as_str())?,
            Address::new(self.address.as_str())?,
        ))
    }
}

/// Who owns a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The hub.
    pub hub: Name,
    /// Its process.
    pub hub_epoch: Epoch,
    /// The session in which its frames count.
    pub session: u32,
    /// Whether its lease is over: the device is at rest, and another hub may claim it.
    #[serde(default)]
    pub lapsed: bool,
}

/// A hub asks for devices, or gives them back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The hub.
    pub hub: Name,
    /// Its process.
    pub hub_epoch: Epoch,
    /// The devices that it wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceId>,
    /// The devices that it gives back: they are stopped, and free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<DeviceId>,
}

/// Writes a document.
pub fn write(document: &impl Serialize) -> String {
    safe_json(document)
}

/// Reads a document of a stranger.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn read<T: Document + for<'a> Deserialize<'a>>(payload: &[u8]) -> Result<T, String> {
    if payload.len() > T::MAX_BYTES {
        return Err(format!(
            "it has {} bytes, at most {} are taken",
            payload.len(),
            T::MAX_BYTES
        ));
    }
    serde_json::from_slice(payload).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_are_what_the_guide_shows() {
        let state = EdgeState {
            online: true,
            epoch: Epoch(0xE7),
            version: "0.1.0".to_owned(),
        };
        assert_eq!(
            write(&state),
            r#"{"online":true,"epoch":"00000000000000e7","version":"0.1.0"}"#
        );
        assert_eq!(read::<EdgeState>(write(&state).as_bytes()), Ok(state));
        let claim = r#"{"hub":"living-room","hub_epoch":"0000000000000001","devices":["4f1c"],"later":1}"#;
        let claim: Claim = read(claim.as_bytes()).expect("a claim");
        assert_eq!(claim.devices.len(), 1);
        assert!(claim.release.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            &b""[..],
            b"\xff",
            b"{",
            b"[]",
            br#"{"hub":"A B","hub_epoch":"0000000000000001"}"#,
            br#"{"hub":"a","hub_epoch":"1"}"#,
            br#"{"hub":"a","hub_epoch":"0000000000000001","devices":["a/b"]}"#,
            &[b' '; LONG_MAX_BYTES + 1],
        ] {
            assert!(read::<Claim>(wrong).is_err());
        }
    }

    proptest! {
        #[test]
        fn strangers_bytes_are_read_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<Birth>(&payload);
            let _ = read::<Owner>(&payload);
        }
    }
}
