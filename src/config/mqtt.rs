//! The `[mqtt]` section: this gateway as a hub of a fleet.

use std::time::Duration;

use super::broker::{self, BrokerSettings, Login};
use super::layers::Reader;
use super::read::Keys;
use super::table::{Key, Kind, Preset, Section, Unit};
use crate::defaults;
use crate::device::fleet::names::{Name, Prefix};

pub(super) static SECTION: Section = Section {
    name: "mqtt",
    repeated: false,
    help: "The devices of other gateways, the edges of a fleet, which publish them through an MQTT broker. With a broker \
           this gateway is a hub.",
    keys: &[
        Key {
            name: "broker",
            default: Preset::Unset("no broker"),
            flag: Some("mqtt"),
            help: "Claim the devices that edges publish through this MQTT broker, mqtt:// or mqtts://",
            ..broker::URL
        },
        Key {
            name: "hub",
            flag: Some("mqtt-hub"),
            example: "\"workshop\"",
            help: "Claim them under this name",
            ..broker::NAME
        },
        Key {
            flag: Some("mqtt-user"),
            ..broker::USER
        },
        Key {
            flag: Some("mqtt-password"),
            ..broker::PASSWORD
        },
        Key {
            flag: Some("mqtt-ca"),
            ..broker::CA
        },
        broker::CLIENT_CERT,
        broker::CLIENT_KEY,
        broker::TOPIC,
        Key {
            name: "connections",
            kind: Kind::Number(Unit::Connections, defaults::HUB_CONNECTIONS_RANGE),
            default: Preset::Number(defaults::HUB_CONNECTIONS),
            help: "Open this many connections to the broker, among which the edges are divided",
            note: "One connection carries some 10,000 frames a second.",
            ..Key::BASE
        },
        Key {
            name: "home_assistant",
            kind: Kind::Switch,
            default: Preset::Switch(false),
            help: "Show each device of this gateway in Home Assistant, through the same broker",
            note: "With a button that stops it, and whether it is connected. It cannot be moved from there without outputs.",
            ..Key::BASE
        },
        Key {
            name: "discovery",
            default: Preset::Text("homeassistant"),
            help: "Begin the topics of Home Assistant's discovery with this",
            note: "It is the discovery prefix in the options of Home Assistant's MQTT integration.",
            ..Key::BASE
        },
        Key {
            name: "outputs",
            kind: Kind::Switch,
            default: Preset::Switch(false),
            help: "Let Home Assistant set outputs: each is a number there",
            ..Key::BASE
        },
        Key {
            name: "hold_s",
            kind: Kind::seconds(defaults::HOLD_RANGE_S),
            default: Preset::Time(defaults::HOLD),
            help: "End an output that Home Assistant set after this long, unless it is set again",
            note: "Home Assistant does not tell when it is gone, so that nothing else would end it.",
            ..Key::BASE
        },
        Key {
            name: "move_ms",
            kind: Kind::milliseconds(defaults::MOVE_RANGE_MS),
            default: Preset::Time(defaults::MOVE),
            help: "Take this long for a move to a position that Home Assistant sets",
            ..Key::BASE
        },
    ],
};

/// The `[mqtt]` section: this gateway is a hub.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The broker.
    pub broker: BrokerSettings,
    /// The name of this gateway.
    pub hub: Name,
    /// How many connections to the broker it has.
    pub connections: usize,
    /// What Home Assistant gets; `None` if it gets nothing.
    pub home_assistant: Option<HomeAssistantSettings>,
}

/// What Home Assistant gets of a hub's devices.
#[derive(Clone, Debug)]
pub struct HomeAssistantSettings {
    /// What the topics of its discovery begin with.
    pub discovery: Prefix,
    /// Whether it can set outputs.
    pub outputs: bool,
    /// How long an output lasts that it set.
    pub hold: Duration,
    /// How long a move to a position takes.
    pub move_time: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Option<HubSettings> {
    let mut keys = Keys::new(reader, &SECTION);
    let broker = broker::url(&mut keys, "broker");
    let hub = broker::own_name(&mut keys, "hub", broker.is_some());
    let login = Login::read(&mut keys);
    let connections = keys.number("connections").unwrap_or(defaults::HUB_CONNECTIONS);
    let home_assistant = home_assistant(&mut keys);
    if !keys.is_given("broker") {
        let others = SECTION
            .keys
            .iter()
            .map(|key| key.name)
            .filter(|name| *name != "broker");
        keys.no_effect_without(&others.collect::<Vec<_>>(), "broker");
    }
    broker.map(|broker| HubSettings {
        broker: login.at(&mut keys, "broker", broker),
        hub,
        connections: usize::try_from(connections).unwrap_or(1),
        home_assistant,
    })
}

fn home_assistant(keys: &mut Keys<'_>) -> Option<HomeAssistantSettings> {
    let is_on = keys.switch("home_assistant").unwrap_or_default();
    let settings = HomeAssistantSettings {
        discovery: broker::prefix(keys, "discovery"),
        outputs: keys.switch("outputs").unwrap_or_default(),
        hold: keys.time("hold_s"),
        move_time: keys.time("move_ms"),
    };
    if keys.is_given("broker") && !is_on {
        keys.no_effect_without(
            &["discovery", "outputs", "hold_s", "move_ms"],
            "home_assistant = true",
        );
    } else if keys.is_given("broker") && !settings.outputs {
        keys.no_effect_without(&["hold_s", "move_ms"], "outputs = true");
    }
    is_on.then_some(settings)
}
