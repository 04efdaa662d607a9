//! `fleet list`

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::seen::{Edge, HUB_STATES, Seen, topics_of};
use super::{At, QUIET};
use crate::cmd::error::Error;
use crate::cmd::print;
use crate::cmd::table::lines;
use crate::defaults::CLOSE_TIMEOUT;
use crate::device::fleet::documents::Birth;
use crate::device::fleet::names::{DeviceId, Name};
use crate::net::bus::{BusEvent, Events};
use crate::text::printable;

/// How long all of it may take.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);
/// An edge that is there and has devices beats four times as often.
const BEAT_WITHIN: Duration = Duration::from_secs(1);

/// Reads what is retained, and what is heard meanwhile.
pub(super) async fn look(at: &At, events: &mut Events) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let over = Instant::now() + LISTEN_WITHIN;
    let mut quiet_at = Instant::now() + BEAT_WITHIN;
    while let Ok(event) = timeout_at(quiet_at.min(over), events.next()).await {
        match event {
            BusEvent::Message(message) => {
                seen.take(&at.broker.topics, &message);
                if message.retain {
                    quiet_at = quiet_at.max(Instant::now() + QUIET);
                }
            }
            BusEvent::Lost { error, .. } => return Err(error.into()),
            BusEvent::Connected | BusEvent::TooLarge { .. } => {}
        }
    }
    Ok(seen)
}

/// Lists the edges and the hubs.
pub(super) async fn list(at: &At, as_json: bool) -> Result<(), Error> {
    let topics = [topics_of("+"), vec![HUB_STATES.to_owned()]].concat();
    let (_bus, mut events) = at.connect(&topics).await?;
    let seen = look(at, &mut events).await?;
    events.disconnect(CLOSE_TIMEOUT).await;
    let now = Instant::now();
    if as_json {
        return print(&format!("{:#}\n", as_value(&seen, now)));
    }
    let mut text = match seen.edges.is_empty() {
        true => format!("no edge at {}\n", at.broker.broker),
        false => edges(&seen, now),
    };
    text.push('\n');
    text += &match seen.hub_names().is_empty() {
        true => format!("no hub at {}\n", at.broker.broker),
        false => hubs(&seen, now),
    };
    print(&text)
}

fn edges(seen: &Seen, now: Instant) -> String {
    let rows = seen.edges.iter().map(|(name, edge)| {
        let there: BTreeSet<&DeviceId> = edge.devices().map(|(id, _)| id).collect();
        let devices = edge.births.iter();
        let devices = devices.map(|(id, birth)| device(edge, id, birth, there.contains(id)));
        let cells = [
            name.to_string(),
            edge.presence().to_owned(),
            age(edge.beat_at, now),
            version(edge.state.as_ref().map(|state| &*state.version)),
            there.len().to_string(),
        ];
        (cells, devices.collect())
    });
    lines(
        ["edge", "state", "last beat", "version", "devices"],
        rows.collect(),
    )
}

fn hubs(seen: &Seen, now: Instant) -> String {
    let rows = seen.hub_names().into_iter().map(|name| {
        let state = seen.hubs.get(&name);
        let cells = [
            name.to_string(),
            presence_of_hub(seen, &name).to_owned(),
            age(seen.lease_at(&name), now),
            version(state.map(|state| &*state.version)),
            seen.owned_by(&name).to_string(),
        ];
        (cells, Vec::new())
    });
    lines(
        ["hub", "state", "last lease", "version", "devices"],
        rows.collect(),
    )
}

/// One device, on one line.
fn device(edge: &Edge, id: &DeviceId, birth: &Birth, is_there: bool) -> String {
    let owner = match edge.owners.get(id) {
        // What the broker keeps of it says nothing.
        _ if !is_there => "not there".to_owned(),
        None => "free".to_owned(),
        Some(owner) => format!(
            "owner: {}, {}, session {:08x}",
            owner.hub,
            if owner.lapsed {
                "whose lease is over"
            } else {
                "lease lives"
            },
            owner.session
        ),
    };
    let text = |text: &str| printable(text.as_bytes());
    let way = match &*birth.transport {
        "" => String::new(),
        way => format!(", {}", text(way)),
    };
    format!(
        "{id}  {} {}{way}, {owner}",
        text(&birth.identifier),
        text(&birth.address)
    )
}

/// How long ago that was; a dash if it never was.
fn age(at: Option<Instant>, now: Instant) -> String {
    at.map_or("-".to_owned(), |at| {
        format!("{:.1} s ago", now.duration_since(at).as_secs_f64())
    })
}

fn version(version: Option<&str>) -> String {
    let version = version.filter(|version| !version.is_empty());
    version.map_or("-".to_owned(), |version| printable(version.as_bytes()))
}

impl Edge {
    /// Its state for people. One that has devices beats, if it is there.
    fn presence(&self) -> &'static str {
        match self.is_online() {
            false => "offline",
            true if self.beat_at.is_none() && self.devices().next().is_some() => "silent",
            true => "online",
        }
    }
}

fn presence_of_hub(seen: &Seen, hub: &Name) -> &'static str {
    match seen.hubs.get(hub) {
        Some(state) if state.online => "online",
        Some(_) => "offline",
        // It answers, and its state is not there.
        None => "unknown",
    }
}

fn as_value(seen: &Seen, now: Instant) -> Value {
    let age = |at: Option<Instant>| at.map(|at| now.duration_since(at).as_millis() as u64);
    let edges = seen.edges.iter().map(|(name, edge)| {
        let devices = edge.births.iter().map(|(id, birth)| {
            let owner = edge.owners.get(id);
            let is_there = edge.devices().any(|(there, _)| there == id);
            let lease = owner.filter(|_| is_there).map(|owner| match owner.lapsed {
                true => "lapsed",
                false => "live",
            });
            json!({ "id": id, "there": is_there, "birth": birth, "owner": owner, "lease": lease })
        });
        json!({
            "edge": name,
            "online": edge.is_online(),
            "presence": edge.presence(),
            "beat_age_ms": age(edge.beat_at),
            "state": edge.state,
            "devices": devices.collect::<Vec<_>>(),
        })
    });
    let hubs = seen.hub_names().into_iter().map(|name| {
        let state = seen.hubs.get(&name);
        json!({
            "hub": name,
            "online": state.map(|state| state.online),
            "lease_age_ms": age(seen.lease_at(&name)),
            "state": state,
            "devices": seen.owned_by(&name),
        })
    });
    json!({ "edges": edges.collect::<Vec<_>>(), "hubs": hubs.collect::<Vec<_>>() })
}
