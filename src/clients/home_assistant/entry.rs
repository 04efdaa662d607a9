//! A device that Home Assistant shows: what was published of it, and what is due.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{At, features};
use crate::clients::App;
use crate::config::HubSettings;
use crate::device::fleet::names::{DeviceId, Name};
use crate::device::home_assistant::Device;
use crate::device::home_assistant::state::State;
use crate::device::peer::Peer;
use crate::net::bus::Message;
use crate::upstream::embedded::ListedDevice;

/// Between two states of a device: Home Assistant records each.
const STATE_EVERY: Duration = Duration::from_millis(500);
/// How often the time is reported at which a device was last seen.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// States that may be on their way to the broker and back.
const SENT_MAX: usize = 8;

/// A device that Home Assistant shows.
pub(super) struct Entry {
    pub(super) device: Device,
    /// The device of the server inside; `None` if it is away.
    pub(super) listed: Option<Arc<ListedDevice>>,
    /// The discovery that the broker retains, as far as it is known.
    pub(super) retained: Option<Vec<u8>>,
    /// When its discovery is due.
    pub(super) discovery_due: Option<Instant>,
    /// The discovery that was sent deletes entities: another one without them follows when it is back.
    pub(super) is_cleaning: bool,
    /// The availability that was sent.
    pub(super) available: Option<bool>,
    /// The state that was sent; `None` if it is due in any case.
    pub(super) sent: Option<State>,
    /// When one was sent last.
    sent_at: Option<Instant>,
    /// The states that were sent and have not come back.
    pub(super) under_way: VecDeque<String>,
    battery: Option<u8>,
    seen: Option<SystemTime>,
    was_connected: bool,
}

impl Entry {
    pub(super) fn new(device: Device) -> Self {
        Self {
            device,
            listed: None,
            retained: None,
            discovery_due: None,
            is_cleaning: false,
            available: None,
            sent: None,
            sent_at: None,
            under_way: VecDeque::new(),
            battery: None,
            seen: None,
            was_connected: false,
        }
    }

    /// All of it is due again; its discovery at this time.
    pub(super) fn is_due(&mut self, discovery: Instant) {
        self.discovery_due = Some(discovery);
        self.available = None;
        self.sent = None;
    }

    /// A discovery message of this device came: what was retained, or one that was just sent.
    pub(super) fn discovered(&mut self, message: &Message) {
        if message.retain {
            self.retained = Some(message.payload.to_vec());
            self.discovery_due.get_or_insert_with(Instant::now);
        } else if self.is_cleaning && self.retained.as_deref() == Some(&message.payload[..]) {
            self.is_cleaning = false;
            self.discovery_due.get_or_insert_with(Instant::now);
        }
    }

    /// The state of the device now.
    pub(super) fn state(&mut self, is_connected: bool, driver: Option<String>) -> State {
        let session = self.listed.as_ref().map(|listed| listed.session());
        if let Some(level) = session.and_then(|session| session.battery.percent()) {
            self.battery = Some(level);
        }
        let now = SystemTime::now();
        let is_old = |seen: SystemTime| now.duration_since(seen).is_ok_and(|age| age >= SEEN_EVERY);
        if is_connected && self.seen.is_none_or(is_old) || is_connected != self.was_connected {
            self.seen = Some(now);
        }
        self.was_connected = is_connected;
        State {
            connected: is_connected,
            battery: self.battery,
            seen: self.seen,
            driver,
            outputs: Vec::new(),
        }
    }

    /// Whether this state is to be sent now.
    pub(super) fn wants(&self, state: &State) -> bool {
        self.sent.as_ref() != Some(state) && self.sent_at.is_none_or(|at| at.elapsed() >= STATE_EVERY)
    }

    /// What was sent last of whether it is connected.
    pub(super) fn was_sent_connected(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.connected)
    }

    /// A state was sent.
    pub(super) fn was_sent(&mut self, state: State, payload: String) {
        self.sent = Some(state);
        self.sent_at = Some(Instant::now());
        if self.under_way.len() >= SENT_MAX {
            self.under_way.pop_front();
        }
        self.under_way.push_back(payload);
    }

    /// Whether a state that the broker has now is one of ours.
    pub(super) fn is_ours(&mut self, payload: &[u8]) -> bool {
        let found = self.under_way.iter().position(|sent| sent.as_bytes() == payload);
        // The last one may come again, with another subscription.
        let last = self.under_way.len().saturating_sub(1);
        if let Some(at) = found {
            self.under_way.drain(..at.min(last));
        }
        found.is_some()
    }
}

/// Where a listed device stands in topics: under its edge, or under this hub.
pub(super) fn place(listed: &ListedDevice, hub: &Name) -> At {
    let session = listed.session();
    let edge = match &session.peer {
        Peer::Broker(edge) => edge.clone(),
        _ => hub.clone(),
    };
    (edge, DeviceId::of(&session.handshake))
}

/// A listed device, as Home Assistant shows it.
pub(super) fn describe(listed: &ListedDevice, at: &At, settings: &HubSettings, version: String) -> Device {
    let handshake = &listed.session().handshake;
    let info = &listed.info;
    let name = info
        .device_display_name()
        .clone()
        .unwrap_or_else(|| info.device_name().clone());
    Device {
        edge: at.0.clone(),
        hub: settings.hub.clone(),
        is_own: !matches!(listed.session().peer, Peer::Broker(_)),
        id: at.1.clone(),
        identifier: handshake.identifier.as_str().to_owned(),
        address: handshake.address.as_str().to_owned(),
        name,
        shares_name: false,
        version,
        outputs: features::outputs(listed),
        battery: features::has_battery(listed),
    }
}

/// The name of an app that drives a device.
pub(super) fn name_of(apps: &[App], id: u64) -> Option<String> {
    let app = apps.iter().find(|app| app.id == id)?;
    Some(app.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let name = |name| Name::new(name).expect("a name");
        Entry::new(Device {
            edge: name("bedroom"),
            hub: name("living-room"),
            is_own: false,
            id: DeviceId::try_from("4f1c".to_owned()).expect("an id"),
            identifier: String::new(),
            address: String::new(),
            name: String::new(),
            shares_name: false,
            version: String::new(),
            outputs: Vec::new(),
            battery: false,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn states_are_sent_when_they_change_and_twice_a_second_at_most() {
        let mut entry = entry();
        let state = entry.state(true, None);
        assert!(entry.wants(&state));
        entry.was_sent(state.clone(), String::new());
        assert_eq!(entry.state(true, None), state);
        let driven = entry.state(true, Some("an app".to_owned()));
        assert!(!entry.wants(&driven));
        entry.is_due(Instant::now());
        assert!(!entry.wants(&driven));
        tokio::time::advance(STATE_EVERY).await;
        assert!(entry.wants(&driven));
        entry.was_sent(driven.clone(), String::new());
        tokio::time::advance(10 * STATE_EVERY).await;
        assert!(!entry.wants(&driven));
        assert!(entry.wants(&state));
    }

    #[test]
    fn a_state_of_somebody_else_is_noticed() {
        let mut entry = entry();
        for payload in ["1", "2", "3"] {
            let state = entry.state(true, None);
            entry.was_sent(state, payload.to_owned());
        }
        assert!(entry.is_ours(b"1"));
        assert!(entry.is_ours(b"3"));
        assert!(entry.is_ours(b"3"));
        assert!(!entry.is_ours(b"1"));
        assert!(!entry.is_ours(b"4"));
    }
}
