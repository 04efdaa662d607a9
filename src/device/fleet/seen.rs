//! A device of the fleet as a hub or its edge knows it, for people.

use tokio::time::Instant;

use super::documents::Owner;
use super::names::DeviceId;

/// A device of an edge.
#[derive(Clone, Debug)]
pub struct DeviceSeen {
    /// Its id in topics.
    pub id: DeviceId,
    /// What it is.
    pub identifier: String,
    /// Which one it is.
    pub address: String,
    /// By which way it came to its edge.
    pub transport: String,
    /// Who owns it.
    pub owner: Option<Owner>,
    /// When its last session was seen to end.
    pub ended_at: Option<Instant>,
    /// Whether it has a session of this hub.
    pub is_ours: bool,
}
