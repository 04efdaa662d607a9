//! What comes from the broker of the edges, their devices and the hubs.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::device::fleet::documents::{self, Birth, EdgeState, HubState, Owner};
use crate::device::fleet::names::{DeviceId, Name, Prefix};
use crate::device::fleet::topics::Topic;
use crate::net::bus::Message;

/// Where an edge, or all of them with `+`, say what is to be seen of them, below the prefix.
pub(super) fn topics_of(edge: &str) -> Vec<String> {
    [
        "state",
        "dev/+/birth",
        "dev/+/owner",
        "dev/+/ha/+",
        "beat",
        "lease/+",
    ]
    .map(|what| format!("{edge}/{what}"))
    .to_vec()
}

/// Where the hubs say whether they are there, below the prefix.
pub(super) const HUB_STATES: &str = "hub/+/state";

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) edges: BTreeMap<Name, Edge>,
    pub(super) hubs: BTreeMap<Name, HubState>,
}

/// What was seen of an edge.
#[derive(Default)]
pub(super) struct Edge {
    pub(super) state: Option<EdgeState>,
    pub(super) births: BTreeMap<DeviceId, Birth>,
    pub(super) owners: BTreeMap<DeviceId, Owner>,
    /// All its topics with a retained message.
    pub(super) topics: Vec<String>,
    /// When its clock was last heard.
    pub(super) beat_at: Option<Instant>,
    /// When each hub last answered its clock.
    pub(super) leases: BTreeMap<Name, Instant>,
    /// The devices whose owner changed while this looked, with the hub that had them before.
    pub(super) changed: BTreeMap<DeviceId, Option<Name>>,
}

impl Seen {
    /// Takes a message. Returns whether it is one of those that end after a connection: a state, and not a clock.
    pub(super) fn take(&mut self, prefix: &Prefix, message: &Message) -> bool {
        let topic = prefix.read(&message.topic);
        if let Some(Topic::HubState(hub)) = topic {
            match documents::read(&message.payload) {
                Ok(state) => {
                    self.hubs.insert(hub, state);
                }
                Err(_) => {
                    self.hubs.remove(&hub);
                }
            }
            return true;
        }
        let rest = message.topic.strip_prefix(prefix.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let Ok(name) = Name::new(rest.split('/').next().unwrap_or_default()) else {
            return false;
        };
        let edge = self.edges.entry(name).or_default();
        if message.retain {
            edge.topics.push(message.topic.clone());
        }
        match topic {
            Some(Topic::EdgeState(_)) => edge.state = documents::read(&message.payload).ok(),
            Some(Topic::Birth(_, device)) => match documents::read(&message.payload) {
                Ok(birth) => {
                    edge.births.insert(device, birth);
                }
                Err(_) => {
                    edge.births.remove(&device);
                }
            },
            Some(Topic::Owner(_, device)) => {
                edge.owner(device, documents::read(&message.payload).ok(), message.retain);
            }
            Some(Topic::Beat(_)) if !message.retain => {
                edge.beat_at = Some(Instant::now());
                return false;
            }
            Some(Topic::Lease(_, hub)) if !message.retain => {
                edge.leases.insert(hub, Instant::now());
                return false;
            }
            _ => {}
        }
        true
    }

    /// How many devices of edges that are there a hub has.
    pub(super) fn owned_by(&self, hub: &Name) -> usize {
        let edges = self.edges.values();
        edges
            .flat_map(|edge| edge.devices().filter_map(|(id, _)| edge.owners.get(id)))
            .filter(|owner| owner.hub == *hub)
            .count()
    }

    /// When a hub last answered the clock of any edge.
    pub(super) fn lease_at(&self, hub: &Name) -> Option<Instant> {
        let leases = self.edges.values().filter_map(|edge| edge.leases.get(hub));
        leases.max().copied()
    }

    /// The hubs that are known by their state or by a lease.
    pub(super) fn hub_names(&self) -> BTreeSet<Name> {
        let by_lease = self.edges.values().flat_map(|edge| edge.leases.keys());
        self.hubs.keys().chain(by_lease).cloned().collect()
    }
}

impl Edge {
    pub(super) fn is_online(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.online)
    }

    /// The devices that are there: of an edge that is online, and of its present process.
    pub(super) fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Birth)> {
        let epoch = self
            .state
            .as_ref()
            .filter(|state| state.online)
            .map(|state| state.epoch);
        self.births
            .iter()
            .filter(move |(_, birth)| Some(birth.epoch) == epoch)
    }

    /// Who owns a device, as it was retained, or as it happens.
    fn owner(&mut self, device: DeviceId, owner: Option<Owner>, was_retained: bool) {
        let before = match owner {
            Some(owner) => {
                let session = owner.session;
                let before = self.owners.insert(device.clone(), owner);
                // One that is only published again is the same.
                if before.as_ref().is_some_and(|before| before.session == session) {
                    return;
                }
                before
            }
            None => self.owners.remove(&device),
        };
        if !was_retained {
            self.changed
                .entry(device)
                .or_insert(before.map(|owner| owner.hub));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::bus::Qos;

    fn message(topic: &str, payload: &str, retain: bool) -> Message {
        Message {
            topic: format!("wsdm/1/{topic}"),
            payload: payload.to_owned().into(),
            qos: Qos::AtMostOnce,
            retain,
        }
    }

    const STATE: &str = r#"{"online":true,"epoch":"00000000000000e7","version":"0.1.0"}"#;

    fn owner(hub: &str, session: u32) -> String {
        format!(r#"{{"hub":"{hub}","hub_epoch":"0000000000000001","session":{session}}}"#)
    }

    fn birth(epoch: &str) -> String {
        format!(r#"{{"identifier":"LVSDevice","address":"A1","version":0,"epoch":"{epoch}","session":1}}"#)
    }

    fn seen(messages: &[Message]) -> Seen {
        let (mut seen, prefix) = (Seen::default(), Prefix::default());
        for message in messages {
            seen.take(&prefix, message);
        }
        seen
    }

    #[test]
    fn a_device_counts_while_its_edge_is_there_in_the_same_process() {
        let ours = birth("00000000000000e7");
        let all = [
            message("bedroom/state", STATE, true),
            message("bedroom/dev/aa/birth", &ours, true),
            message("bedroom/dev/bb/birth", &birth("00000000000000e6"), true),
            message("bedroom/dev/aa/owner", &owner("office", 2), true),
            message("bedroom/dev/bb/owner", &owner("office", 2), true),
        ];
        let office = Name::new("office").unwrap();
        let there = seen(&all);
        let edge = there.edges.values().next().unwrap();
        assert_eq!((edge.devices().count(), there.owned_by(&office)), (1, 1));
        let mut gone = seen(&all);
        let will = STATE.replace("true", "false");
        gone.take(&Prefix::default(), &message("bedroom/state", &will, false));
        let edge = gone.edges.values().next().unwrap();
        assert_eq!((edge.devices().count(), gone.owned_by(&office)), (0, 0));
    }

    #[test]
    fn an_owner_that_is_given_up_or_has_a_new_session_changed_and_one_that_is_told_again_did_not() {
        let retained = message("bedroom/dev/aa/owner", &owner("office", 2), true);
        let changed = |live: &[Message]| {
            let seen = seen(&[std::slice::from_ref(&retained), live].concat());
            seen.edges.into_values().next().unwrap().changed
        };
        let live = |payload: &str| message("bedroom/dev/aa/owner", payload, false);
        assert!(changed(&[]).is_empty());
        assert!(changed(&[live(&owner("office", 2))]).is_empty());
        let before = Some(Name::new("office").unwrap());
        for given_up in [
            vec![live("")],
            vec![live(&owner("attic", 3))],
            vec![live(""), live(&owner("attic", 3))],
        ] {
            let changed: Vec<_> = changed(&given_up).into_values().collect();
            assert_eq!(changed, std::slice::from_ref(&before));
        }
        // Of a device that was free nothing is retained.
        let seen = seen(&[message("bedroom/dev/bb/owner", "", false)]);
        let edge = seen.edges.into_values().next().unwrap();
        assert_eq!(edge.changed.into_values().collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn strangers_messages_are_none_of_an_edge() {
        let seen = seen(&[
            message("hub/office/state", "{", true),
            message("BEDROOM/state", STATE, true),
            message("halt", "x", false),
            message("bedroom/beat", "x", true),
        ]);
        assert!(seen.hubs.is_empty());
        assert_eq!(seen.edges.len(), 1);
        assert_eq!(
            seen.edges.into_values().next().unwrap().beat_at,
            None,
            "it may be old"
        );
    }
}
