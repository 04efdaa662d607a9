//! A device as the views show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mend::Mend;
use super::seconds;
use crate::session::past::PastDevice;
use crate::session::registry::Totals;
use crate::session::unidentified::Unidentified;

/// Whether a device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Connected, and not yet known what it is. Its address is where it is.
    Identifying,
    /// Connected, and not yet listed by the Buttplug server inside.
    Connecting,
    /// Listed by the Buttplug server inside.
    Ready,
    /// Relayed to another server.
    Relayed,
    /// It left.
    Gone,
    /// It was refused.
    Refused,
}

/// Who commands a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Driver {
    /// What it is.
    pub kind: DriverKind,
    /// The app's number; `null` if it is none.
    pub id: Option<u64>,
    /// Its name.
    pub name: String,
    /// The web page that it is.
    pub origin: Option<String>,
}

/// Which way the commands for a device come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    /// A Buttplug app.
    App,
    /// The gateway's own page.
    Page,
    /// Frames sent by hand.
    Monitor,
}

/// A device: connected, gone or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Its address, which tells it from all others; where it is, while it is not known what it is.
    pub address: String,
    /// Its identifier; empty if it named none.
    pub identifier: String,
    /// Where it connected from.
    pub peer: String,
    /// The way in: `ws`, `serial`, `ble` or `dial`.
    pub way: String,
    /// Whether it is there.
    pub state: State,
    /// The number of its connection; 0 if it is not connected.
    pub connection: u64,
    /// When it connected, left or was refused, in seconds since 1970.
    pub since: f64,
    /// Its name in the Buttplug server inside.
    pub name: Option<String>,
    /// Its index in the Buttplug server inside.
    pub index: Option<u32>,
    /// Frames written to it.
    pub to_device: u64,
    /// Frames that it sent.
    pub from_device: u64,
    /// Frames of it that were dropped because upstream did not keep up.
    pub dropped: u64,
    /// Bytes written to it.
    pub bytes_to_device: u64,
    /// Bytes that it sent.
    pub bytes_from_device: u64,
    /// Whether an output of it may be on.
    pub outputs_on: bool,
    /// The round trip of its last ping, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// The battery level that it last reported, from 0 to 1.
    pub battery: Option<f64>,
    /// Who commanded it last and is still connected.
    pub driver: Option<Driver>,
    /// Why it left, was refused or cannot be identified.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The change of the UDCF that would let it in.
    pub mend: Option<Mend>,
    /// How often it was refused.
    pub refused_times: u32,
    /// The gateway simulates it.
    pub is_simulated: bool,
}

impl Device {
    /// A device of which only the counters are known.
    pub(super) fn counted(totals: Totals) -> Self {
        Self {
            address: String::new(),
            identifier: String::new(),
            peer: String::new(),
            way: String::new(),
            state: State::Gone,
            connection: 0,
            since: 0.0,
            name: None,
            index: None,
            to_device: totals.to_device,
            from_device: totals.from_device,
            dropped: totals.dropped,
            bytes_to_device: totals.bytes_to_device,
            bytes_from_device: totals.bytes_from_device,
            outputs_on: false,
            round_trip_ms: None,
            battery: None,
            driver: None,
            reason: None,
            hint: None,
            mend: None,
            refused_times: 0,
            is_simulated: false,
        }
    }
}

impl From<&Unidentified> for Device {
    fn from(board: &Unidentified) -> Self {
        let trouble = board.trouble();
        Self {
            address: board.address.clone(),
            identifier: board.identifier.clone(),
            peer: board.peer.to_string(),
            way: board.peer.way().to_owned(),
            state: if board.identifier.is_empty() {
                State::Identifying
            } else {
                State::Connecting
            },
            since: seconds(board.since),
            reason: trouble.as_ref().map(|(what, _)| what.clone()),
            hint: trouble.map(|(_, hint)| hint),
            ..Self::counted(Totals::default())
        }
    }
}

impl From<PastDevice> for Device {
    fn from(past: PastDevice) -> Self {
        Self {
            address: past.address,
            identifier: past.identifier,
            peer: past.peer,
            way: past.way.to_owned(),
            state: if past.refused_times > 0 {
                State::Refused
            } else {
                State::Gone
            },
            since: seconds(past.at),
            reason: Some(past.reason),
            hint: past.hint,
            mend: past.refusal.as_ref().and_then(Mend::of),
            refused_times: past.refused_times,
            ..Self::counted(past.totals)
        }
    }
}
