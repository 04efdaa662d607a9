//! `fleet stop`

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::seen::{Edge, Seen, topics_of};
use super::{At, QUIET};
use crate::advice::Advice;
use crate::cmd::error::Error;
use crate::cmd::print;
use crate::device::fleet::names::Name;
use crate::device::fleet::topics::Topic;
use crate::net::bus::{BusEvent, Message, Qos};

/// How long the answers of the edges are waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long the broker may take to acknowledge the halt.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(3);

/// Publishes a halt to all edges, or to one, and says what the fleet answers.
pub(super) async fn stop(at: &At, edge: Option<Name>) -> Result<(), Error> {
    let prefix = &at.broker.topics;
    let topic = prefix.topic(&edge.clone().map_or(Topic::HaltAll, Topic::HaltEdge));
    let mut topics = topics_of(edge.as_ref().map_or("+", Name::as_str));
    // A broker acknowledges what it denies, too: that the halt comes back shows that it was passed on.
    topics.push(
        edge.as_ref()
            .map_or("halt".to_owned(), |edge| format!("{edge}/halt")),
    );
    let (bus, mut events) = at.connect(&topics).await?;
    // At once; what the broker keeps comes meanwhile.
    let halt = Message {
        topic: topic.clone(),
        payload: Bytes::from_static(b"wsdm-gateway fleet stop"),
        qos: Qos::AtLeastOnce,
        retain: false,
    };
    bus.try_publish(halt)
        .map_err(|e| Error::failed(format!("nothing was stopped: {e}"), "try again"))?;
    let (mut seen, mut came_back) = (Seen::default(), false);
    let over = Instant::now() + ANSWER_WITHIN;
    let mut quiet_at = Instant::now() + QUIET;
    loop {
        let until = if came_back && is_answered(&seen) {
            quiet_at.min(over)
        } else {
            over
        };
        match timeout_at(until, events.next()).await {
            Err(_) => break,
            Ok(BusEvent::Message(message)) if message.topic == topic => came_back |= !message.retain,
            Ok(BusEvent::Message(message)) => {
                if seen.take(prefix, &message) {
                    quiet_at = Instant::now() + QUIET;
                }
            }
            Ok(BusEvent::Lost { error, .. }) => {
                let hint = error.hint().map(Cow::into_owned).unwrap_or_default();
                return Err(Error::failed(
                    format!("{error}; it is not known whether the halt arrived"),
                    hint,
                ));
            }
            Ok(BusEvent::Connected | BusEvent::TooLarge { .. }) => {}
        }
    }
    if !events.disconnect(ACKNOWLEDGE_WITHIN).await {
        return Err(Error::failed(
            format!(
                "{} did not acknowledge the halt: what runs may run on",
                at.broker.broker
            ),
            "look at the broker; switch devices off by hand",
        ));
    }
    if came_back {
        print(&format!("the broker passed the halt on: {topic}\n"))?;
    }
    report(at, &seen, edge.as_ref(), &topic)?;
    if came_back {
        return Ok(());
    }
    let others = match (&at.edge, &edge) {
        (Some(own), None) => {
            format!("; this account of an edge may be allowed wsdm-gateway fleet stop {own} only")
        }
        _ => String::new(),
    };
    Err(Error::failed(
        format!(
            "{} did not pass the halt on within {} s: what this user does not see may run on",
            at.broker.broker,
            ANSWER_WITHIN.as_secs()
        ),
        format!("a broker denies in silence: allow this user to read and write {topic}{others}"),
    ))
}

/// Whether every device that is there took the halt. Its edge publishes that it has no owner any more.
fn is_answered(seen: &Seen) -> bool {
    let mut edges = seen.edges.values().filter(|edge| edge.is_online()).peekable();
    edges.peek().is_some() && edges.all(|edge| edge.silent() == 0)
}

/// Says what came of it, an edge a line.
///
/// # Errors
/// No edge is there, or one did not answer.
fn report(at: &At, seen: &Seen, only: Option<&Name>, topic: &str) -> Result<(), Error> {
    let there: BTreeMap<&Name, &Edge> = seen.edges.iter().filter(|(_, edge)| edge.is_online()).collect();
    if there.is_empty() {
        let (who, hint) = match only {
            Some(edge) => (
                format!("no edge {edge} is there"),
                "wsdm-gateway fleet list shows the edges; if it is there, the broker's access list may keep this user from it",
            ),
            None => (
                "no edge is there".to_owned(),
                "if one is, the broker's access list may keep this user from seeing it, and from stopping it",
            ),
        };
        return Err(Error::failed(format!("{who}: nothing was stopped"), hint));
    }
    let (mut text, mut silent) = (String::new(), Vec::new());
    for (name, edge) in &there {
        text += &format!("{name}: {}\n", edge.answer());
        if edge.silent() > 0 {
            silent.push(name.as_str());
        }
    }
    print(&text)?;
    if silent.is_empty() {
        return Ok(());
    }
    let changed = there.values().any(|edge| !edge.changed.is_empty());
    let what = if changed {
        "not everything was halted"
    } else {
        "nothing changed"
    };
    let hint = match &at.edge {
        Some(own) if only != Some(own) => format!(
            "this is the account of the edge {own}, which a broker often lets stop its own devices only: wsdm-gateway fleet \
             stop {own}; or allow it to write {topic}"
        ),
        _ => format!(
            "a broker denies in silence: allow this user to write {topic}, and these edges to read it; or that gateway \
             hangs: switch its devices off by hand"
        ),
    };
    Err(Error::failed(
        format!("{what}: no answer from {}", silent.join(", ")),
        hint,
    ))
}

impl Edge {
    /// How many devices are there and did not take the halt.
    fn silent(&self) -> usize {
        let silent = self.devices().filter(|(id, _)| !self.changed.contains_key(*id));
        silent.count()
    }

    /// What it did, for people.
    fn answer(&self) -> String {
        let plural = |n: usize| {
            if n == 1 {
                "1 device".to_owned()
            } else {
                format!("{n} devices")
            }
        };
        let (halted, silent) = (self.changed.len(), self.silent());
        if halted + silent == 0 {
            return "no devices".to_owned();
        }
        let mut parts = Vec::new();
        if halted > 0 {
            let hubs: BTreeSet<&str> = self.changed.values().flatten().map(Name::as_str).collect();
            let from = match hubs.is_empty() {
                true => String::new(),
                false => format!(", taken from {}", Vec::from_iter(hubs).join(", ")),
            };
            parts.push(format!("{} halted{from}", plural(halted)));
        }
        if silent > 0 {
            parts.push(format!("{} did not answer", plural(silent)));
        }
        parts.join("; ")
    }
}
