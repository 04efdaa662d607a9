//! What a connection knows of its edges, for people.

use std::time::Duration;

use super::{Edge, Edges, STOPPED_AFTER};
use crate::device::fleet::names::Name;
use crate::device::fleet::seen::DeviceSeen;
use crate::ingress::mqtt::seen::{EdgeSeen, Presence};
use crate::text::cut;

/// Characters of a text that are shown at most: a stranger's may have 64 KiB.
const TEXT_MAX: usize = 256;
/// Devices that are shown of a connection at most; of the others their number is.
const DEVICES_MAX: usize = 2_000;

impl Edges {
    /// The edges, by name.
    pub(in crate::ingress::mqtt) fn snapshot(&self) -> Vec<EdgeSeen> {
        let mut edges: Vec<_> = self.edges.iter().collect();
        edges.sort_by_key(|(name, _)| *name);
        let mut room = DEVICES_MAX;
        let seen = edges.into_iter().map(|(name, edge)| {
            let seen = edge.snapshot(name, room);
            room -= seen.devices.len();
            seen
        });
        seen.collect()
    }
}

impl Edge {
    fn snapshot(&self, name: &Name, room: usize) -> EdgeSeen {
        let online = self.state.as_ref().filter(|state| state.online);
        // What the broker keeps of an edge that is gone, or of an earlier process, is not there.
        let there = self.devices.iter().filter_map(|(id, device)| {
            let birth = device.birth.as_ref()?;
            (online?.epoch == birth.epoch).then_some((id, device, birth))
        });
        let device_count = there.clone().count();
        let ended_at = there
            .clone()
            .map(|(_, device, _)| device.ended_at)
            .min()
            .flatten();
        let mut devices: Vec<_> = there
            .take(room)
            .map(|(id, device, birth)| DeviceSeen {
                id: id.clone(),
                identifier: shown(&birth.identifier),
                address: shown(&birth.address),
                transport: shown(&birth.transport),
                owner: device.owner.clone(),
                ended_at: device.ended_at,
                is_ours: device.is_running(),
            })
            .collect();
        devices.sort_by(|a, b| a.address.cmp(&b.address).then_with(|| a.id.cmp(&b.id)));
        // Without devices an edge sends no beats.
        let beat_age = self.line.unheard_for().filter(|_| device_count > 0);
        EdgeSeen {
            name: name.clone(),
            presence: match online {
                None => Presence::Gone,
                Some(_) if device_count > 0 && is_silent(beat_age) => Presence::Silent,
                Some(_) => Presence::There,
            },
            version: self
                .state
                .as_ref()
                .map(|state| shown(&state.version))
                .unwrap_or_default(),
            beat_age,
            device_count,
            devices,
            ended_at,
        }
    }
}

fn shown(text: &str) -> String {
    cut(text.to_owned(), TEXT_MAX)
}

fn is_silent(beat_age: Option<Duration>) -> bool {
    beat_age.is_none_or(|age| age >= STOPPED_AFTER)
}
