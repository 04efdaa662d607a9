//! `fleet forget`

use std::collections::BTreeSet;

use bytes::Bytes;

use super::list::look;
use super::seen::topics_of;
use super::{At, CONNECT_WITHIN};
use crate::cmd::error::Error;
use crate::cmd::print;
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::fleet::names::{DeviceId, Name};
use crate::net::bus::{Message, Qos};

/// Removes what is retained of an edge that does not run.
pub(super) async fn forget(at: &At, name: &Name) -> Result<(), Error> {
    let (bus, mut events) = at.connect(&topics_of(name.as_str())).await?;
    let mut seen = look(at, &mut events).await?;
    let Some(edge) = seen.edges.remove(name).filter(|edge| !edge.topics.is_empty()) else {
        events.disconnect(CLOSE_TIMEOUT).await;
        return Err(Error::usage(
            format!("the broker keeps nothing of an edge {name}"),
            "wsdm-gateway fleet list shows the edges",
        ));
    };
    if edge.beat_at.is_some() {
        events.disconnect(CLOSE_TIMEOUT).await;
        return Err(Error::usage(
            format!("the edge {name} is running, and would publish its devices again"),
            "stop that gateway first",
        ));
    }
    let number = edge.topics.len();
    let mut topics = edge.topics;
    if let Some(home_assistant) = &at.home_assistant {
        // A hub that runs deletes these too, once it sees the others go.
        let states = topics.iter().filter_map(|topic| home_assistant.state_of(topic));
        let mut devices: BTreeSet<DeviceId> = states.map(|(_, device)| device).collect();
        devices.extend(edge.births.into_keys());
        for device in devices {
            topics.push(home_assistant.discovery_topic(name, &device));
        }
        topics.push(home_assistant.forget_edge(name).topic);
    }
    for topic in topics {
        let empty = Message {
            topic,
            payload: Bytes::new(),
            qos: Qos::AtLeastOnce,
            retain: true,
        };
        bus.try_publish(empty)
            .map_err(|e| Error::usage(format!("a message could not be removed: {e}"), "try again"))?;
    }
    if !events.disconnect(CONNECT_WITHIN).await {
        return Err(Error::usage(
            "the broker did not acknowledge everything",
            "run it again; wsdm-gateway fleet list shows what is left",
        ));
    }
    print(&format!("removed {number} messages of the edge {name}\n"))
}
