//! The topics of the fleet: who writes what where.
//!
//! | topic | written by | QoS | retained |
//! |---|---|---|---|
//! | `PREFIX/EDGE/state` | the edge, and its will | 1 | yes |
//! | `PREFIX/EDGE/dev/DEVICE/birth` | the edge; empty: gone | 1 | yes |
//! | `PREFIX/EDGE/dev/DEVICE/owner` | the edge; empty: free | 1 | yes |
//! | `PREFIX/EDGE/claim` | hubs | 1 | no |
//! | `PREFIX/EDGE/beat` | the edge | 0 | no |
//! | `PREFIX/EDGE/lease/HUB` | the hub | 0 | no |
//! | `PREFIX/EDGE/dev/DEVICE/down` | the owner | 0 | no |
//! | `PREFIX/EDGE/dev/DEVICE/up` | the edge | 0 | no |
//! | `PREFIX/EDGE/dev/DEVICE/stop` | the owner | 1 | no |
//! | `PREFIX/EDGE/dev/DEVICE/halt`, `PREFIX/EDGE/halt`, `PREFIX/halt` | anybody | 1 | no |
//! | `PREFIX/hub/HUB/state` | the hub, and its will | 1 | yes |

use super::names::{DeviceId, Name, Prefix};

/// A topic, without its prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Whether an edge is there.
    EdgeState(Name),
    /// A device of an edge.
    Birth(Name, DeviceId),
    /// Who owns a device.
    Owner(Name, DeviceId),
    /// Hubs ask an edge for devices, or give them back.
    Claim(Name),
    /// The clock of an edge.
    Beat(Name),
    /// A hub, the second name, tells an edge that it heard its clock.
    Lease(Name, Name),
    /// Frames for a device.
    Down(Name, DeviceId),
    /// Frames of a device.
    Up(Name, DeviceId),
    /// Stops of a device by its owner.
    Stop(Name, DeviceId),
    /// Stops of a device by anybody.
    HaltDevice(Name, DeviceId),
    /// Stops of all devices of an edge by anybody.
    HaltEdge(Name),
    /// Stops of all devices of all edges by anybody.
    HaltAll,
    /// Whether a hub is there.
    HubState(Name),
}

/// Stands for any one name in a subscription.
const ANY: &str = "+";

impl Prefix {
    /// The whole topic.
    pub fn topic(&self, topic: &Topic) -> String {
        match topic {
            Topic::EdgeState(edge) => format!("{self}/{edge}/state"),
            Topic::Birth(edge, device) => format!("{self}/{edge}/dev/{device}/birth"),
            Topic::Owner(edge, device) => format!("{self}/{edge}/dev/{device}/owner"),
            Topic::Claim(edge) => format!("{self}/{edge}/claim"),
            Topic::Beat(edge) => format!("{self}/{edge}/beat"),
            Topic::Lease(edge, hub) => format!("{self}/{edge}/lease/{hub}"),
            Topic::Down(edge, device) => format!("{self}/{edge}/dev/{device}/down"),
            Topic::Up(edge, device) => format!("{self}/{edge}/dev/{device}/up"),
            Topic::Stop(edge, device) => format!("{self}/{edge}/dev/{device}/stop"),
            Topic::HaltDevice(edge, device) => format!("{self}/{edge}/dev/{device}/halt"),
            Topic::HaltEdge(edge) => format!("{self}/{edge}/halt"),
            Topic::HaltAll => format!("{self}/halt"),
            Topic::HubState(hub) => format!("{self}/hub/{hub}/state"),
        }
    }

    /// Reads a topic; `None` if it is none of the fleet's.
    pub fn read(&self, topic: &str) -> Option<Topic> {
        let rest = topic.strip_prefix(self.as_str())?.strip_prefix('/')?;
        if rest == "halt" {
            return Some(Topic::HaltAll);
        }
        let (first, rest) = rest.split_once('/')?;
        if first == "hub" {
            let (hub, what) = rest.split_once('/')?;
            return (what == "state").then(|| Name::new(hub).ok().map(Topic::HubState))?;
        }
        let edge = Name::new(first).ok()?;
        if let Some(rest) = rest.strip_prefix("dev/") {
            let (device, what) = rest.split_once('/')?;
            let device = DeviceId::try_from(device.to_owned()).ok()?;
            return Some(match what {
                "birth" => Topic::Birth(edge, device),
                "owner" => Topic::Owner(edge, device),
                "down" => Topic::Down(edge, device),
                "up" => Topic::Up(edge, device),
                "stop" => Topic::Stop(edge, device),
                "halt" => Topic::HaltDevice(edge, device),
                _ => return None,
            });
        }
        Some(match rest {
            "state" => Topic::EdgeState(edge),
            "claim" => Topic::Claim(edge),
            "beat" => Topic::Beat(edge),
            "halt" => Topic::HaltEdge(edge),
            _ => Topic::Lease(edge, Name::new(rest.strip_prefix("lease/")?).ok()?),
        })
    }

    /// The subscription to the states of all edges.
    pub fn all_edge_states(&self) -> String {
        format!("{self}/{ANY}/state")
    }

    /// The subscription to the states of all hubs.
    pub fn all_hub_states(&self) -> String {
        format!("{self}/hub/{ANY}/state")
    }

    /// The subscription to what is written of every device of an edge: `birth`, `owner`, `down`, `up`, `stop` or `halt`.
    pub fn of_all_devices(&self, edge: &Name, what: &str) -> String {
        format!("{self}/{edge}/dev/{ANY}/{what}")
    }

    /// The subscription to the leases that hubs give an edge.
    pub fn all_leases(&self, edge: &Name) -> String {
        format!("{self}/{edge}/lease/{ANY}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let prefix = Prefix::default();
        let edge = Name::new("bedroom").expect("a name");
        let hub = Name::new("living-room").expect("a name");
        let device = DeviceId::try_from("4f1c".to_owned()).expect("an id");
        for (topic, text) in [
            (Topic::EdgeState(edge.clone()), "wsdm/1/bedroom/state"),
            (
                Topic::Birth(edge.clone(), device.clone()),
                "wsdm/1/bedroom/dev/4f1c/birth",
            ),
            (
                Topic::Owner(edge.clone(), device.clone()),
                "wsdm/1/bedroom/dev/4f1c/owner",
            ),
            (Topic::Claim(edge.clone()), "wsdm/1/bedroom/claim"),
            (Topic::Beat(edge.clone()), "wsdm/1/bedroom/beat"),
            (
                Topic::Lease(edge.clone(), hub.clone()),
                "wsdm/1/bedroom/lease/living-room",
            ),
            (
                Topic::Down(edge.clone(), device.clone()),
                "wsdm/1/bedroom/dev/4f1c/down",
            ),
            (
                Topic::Up(edge.clone(), device.clone()),
                "wsdm/1/bedroom/dev/4f1c/up",
            ),
            (
                Topic::Stop(edge.clone(), device.clone()),
                "wsdm/1/bedroom/dev/4f1c/stop",
            ),
            (
                Topic::HaltDevice(edge.clone(), device),
                "wsdm/1/bedroom/dev/4f1c/halt",
            ),
            (Topic::HaltEdge(edge), "wsdm/1/bedroom/halt"),
            (Topic::HaltAll, "wsdm/1/halt"),
            (Topic::HubState(hub), "wsdm/1/hub/living-room/state"),
        ] {
            assert_eq!(prefix.topic(&topic), text);
            assert_eq!(prefix.read(text), Some(topic));
        }
    }

    #[test]
    fn other_topics_are_none_of_the_fleets() {
        let prefix = Prefix::default();
        for other in [
            "",
            "wsdm/1",
            "wsdm/1/",
            "wsdm/2/bedroom/state",
            "wsdm/10/bedroom/state",
            "wsdm/1/BEDROOM/state",
            "wsdm/1/bedroom",
            "wsdm/1/bedroom/dev/4f1c",
            "wsdm/1/bedroom/dev/4f1c/ha/state",
            "wsdm/1/bedroom/dev/+/birth",
            "wsdm/1/bedroom/lease/a/b",
            "wsdm/1/hub/living-room/halt",
            "wsdm/1/hub/state",
        ] {
            assert_eq!(prefix.read(other), None, "{other}");
        }
    }
}
