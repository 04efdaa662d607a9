//! Home Assistant: what a hub publishes so that devices appear there, and what it accepts in return. No I/O.
//!
//! | topic | written by | QoS | retained |
//! |---|---|---|---|
//! | `homeassistant/device/ID/config` | the hub; empty: deleted | 1 | yes |
//! | `PREFIX/EDGE/dev/DEVICE/ha/state` | the hub | 0 | yes |
//! | `PREFIX/EDGE/dev/DEVICE/ha/available` | the hub | 1 | yes |
//! | `PREFIX/EDGE/dev/DEVICE/ha/OUTPUT/set` | Home Assistant | 1 | no |
//! | `homeassistant/status` | Home Assistant | 0 | maybe |
//!
//! Home Assistant also writes to the `halt` topics of the edges, so that its stop buttons need no hub. It holds no lease:
//! the hub ends an output that was set from here after a while.
//!
//! Names of devices are for people. They stand in JSON only; topics and ids are made of the names of edges and of the
//! hashes of devices. What an edge and the whole house look like does not depend on the hub that publishes it.

pub mod command;
pub mod discovery;
pub mod output;
pub mod state;

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::device::fleet::names::{BadPrefix, DeviceId, Name, Prefix};
use crate::text::hex;

use output::Output;

/// Where Home Assistant looks for discovery messages unless it was configured otherwise.
const DISCOVERY_PREFIX: &str = "homeassistant";
/// Discovery messages are spread over this time when Home Assistant starts.
const SPREAD: Duration = Duration::from_secs(2);

/// A message for the broker. Always retained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub topic: String,
    /// What; empty deletes what is retained.
    pub payload: String,
}

/// A device of an edge, as Home Assistant shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The edge that has it.
    pub edge: Name,
    /// The hub that owns it, and answers for its state.
    pub hub: Name,
    /// Whether it is a board of the hub itself, under whose name it stands in topics. A hub has no state of an edge.
    pub is_own: bool,
    /// Its id in topics. It never changes.
    pub id: DeviceId,
    /// What it is.
    pub identifier: String,
    /// Which one it is.
    pub address: String,
    /// How the user calls it; empty if not at all.
    pub name: String,
    /// Whether another device has the same name, so that a part of the address is shown: see [`tell_apart`].
    pub shares_name: bool,
    /// The version of its edge.
    pub version: String,
    /// What it can do.
    pub outputs: Vec<Output>,
    /// Whether it reports how full its battery is.
    pub battery: bool,
}

/// What Home Assistant is told, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeAssistant {
    /// The beginning of the fleet's topics.
    pub prefix: Prefix,
    /// The beginning of the topics of discovery.
    pub discovery: Prefix,
    /// Whether outputs are shown, and may be set.
    pub outputs: bool,
}

impl HomeAssistant {
    /// With the usual prefix of discovery.
    ///
    /// # Errors
    /// None: the usual prefix is a good one.
    pub fn new(prefix: Prefix, outputs: bool) -> Result<Self, BadPrefix> {
        Ok(Self {
            prefix,
            discovery: Prefix::new(DISCOVERY_PREFIX)?,
            outputs,
        })
    }

    /// The topic on which Home Assistant announces that it starts.
    pub fn status_topic(&self) -> String {
        format!("{}/status", self.discovery)
    }

    /// Whether this message announces that Home Assistant started: discovery and states are due again.
    pub fn is_start(&self, topic: &str, payload: &[u8]) -> bool {
        topic == self.status_topic() && payload == b"online"
    }

    /// The id of the house: of all that has this prefix.
    fn house_id(&self) -> String {
        match self.prefix == Prefix::default() {
            true => "wsdm".to_owned(),
            // Two fleets on one broker may have edges of the same name.
            false => {
                let hash = Sha256::digest(self.prefix.as_str());
                format!("wsdm-{}", hex(&hash[..4]))
            }
        }
    }

    /// The id of an edge.
    fn edge_id(&self, edge: &Name) -> String {
        // No name contains the underscore, so that no edge has the id of a device.
        format!("{}_{edge}", self.house_id())
    }

    /// The id of a device.
    fn device_id(&self, edge: &Name, device: &DeviceId) -> String {
        format!("{}_{device}", self.edge_id(edge))
    }

    fn config_topic(&self, id: &str) -> String {
        format!("{}/device/{id}/config", self.discovery)
    }

    fn device_topic(&self, edge: &Name, device: &DeviceId, what: &str) -> String {
        format!("{}/{edge}/dev/{device}/{what}", self.prefix)
    }
}

/// When the discovery of a device is due after Home Assistant started: not all at once.
pub fn delay(device: &DeviceId) -> Duration {
    let hash = Sha256::digest(device.as_str());
    SPREAD * u32::from(hash[0]) / 256
}

/// Marks the devices that have the name of another one.
pub fn tell_apart<'a>(devices: impl IntoIterator<Item = &'a mut Device>) {
    let mut devices: Vec<&mut Device> = devices.into_iter().collect();
    let names: Vec<String> = devices.iter().map(|device| device.shown_name()).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    for name in &names {
        *times.entry(name).or_default() += 1;
    }
    for (device, name) in devices.iter_mut().zip(&names) {
        device.shares_name = times.get(name.as_str()).is_some_and(|times| *times > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn home() -> HomeAssistant {
        HomeAssistant::new(Prefix::default(), true).expect("a prefix")
    }

    pub(super) fn device(name: &str) -> Device {
        Device {
            edge: Name::new("bedroom").expect("a name"),
            hub: Name::new("living-room").expect("a name"),
            is_own: false,
            id: DeviceId::try_from("5495ce947eaeec10".to_owned()).expect("an id"),
            identifier: "LVSDevice".to_owned(),
            address: "8A3D9FAC2A45".to_owned(),
            name: name.to_owned(),
            shares_name: false,
            version: "0.1.0".to_owned(),
            outputs: Vec::new(),
            battery: true,
        }
    }

    #[test]
    fn a_start_of_home_assistant_is_recognised() {
        let home = home();
        assert!(home.is_start("homeassistant/status", b"online"));
        assert!(!home.is_start("homeassistant/status", b"offline"));
        assert!(!home.is_start("homeassistant/status", b""));
        assert!(!home.is_start("other/status", b"online"));
    }

    #[test]
    fn discovery_is_spread_over_two_seconds() {
        let delays: Vec<Duration> = (0..100)
            .map(|n| delay(&DeviceId::try_from(format!("{n:016x}")).expect("an id")))
            .collect();
        assert!(delays.iter().all(|delay| *delay < SPREAD));
        let late = delays.iter().filter(|delay| **delay > SPREAD / 2).count();
        assert!((30..70).contains(&late), "{late} of 100 in the second half");
    }

    #[test]
    fn no_id_is_that_of_something_else() {
        let home = home();
        let edge = Name::new("e7-4f1c").expect("a name");
        let device = DeviceId::try_from("4f1c".to_owned()).expect("an id");
        assert_eq!(home.edge_id(&edge), "wsdm_e7-4f1c");
        assert_eq!(
            home.device_id(&Name::new("e7").expect("a name"), &device),
            "wsdm_e7_4f1c"
        );
        let other = HomeAssistant {
            prefix: Prefix::new("club/ö \"1\"").expect("a prefix"),
            ..home.clone()
        };
        assert_ne!(other.edge_id(&edge), home.edge_id(&edge));
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(other.device_id(&edge, &device).chars().all(fits));
    }

    #[test]
    fn devices_of_one_name_are_marked() {
        let mut devices = [device("Stroker"), device("Stroker\n"), device("Plug")];
        tell_apart(&mut devices);
        assert_eq!(
            devices.each_ref().map(|device| device.shares_name),
            [true, true, false]
        );
    }
}
