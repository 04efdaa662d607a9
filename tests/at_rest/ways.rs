//! The columns and the rows: links, and ways to lose control.

use std::fmt;
use std::time::Duration;

use rustix::process::Signal;

use super::common::listener::Over;
use super::common::model_board::Kind;
use super::websocket::Fault;

/// A slow line: a command takes a tenth of a second.
pub const SLOW_BAUD: u32 = 1_200;
const FAST_BAUD: u32 = 115_200;

/// How boards are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    Websocket,
    /// The same, over TLS.
    Tls,
    SerialFast,
    SerialSlow,
    Ble,
    /// On a websocket, by way of a gateway that relays to another.
    Relay,
    /// On a slow line, by way of a gateway that relays to another.
    RelaySlow,
    /// On a websocket that the gateway dials.
    DialWebsocket,
    DialTcp,
    DialUdp,
    /// On a websocket, at an edge of a fleet, whose hub has the apps.
    Fleet,
    /// On a slow line, at an edge of a fleet, whose hub has the apps.
    FleetSlow,
}

impl Link {
    pub const ALL: [Self; 12] = [
        Self::Websocket,
        Self::Tls,
        Self::SerialFast,
        Self::SerialSlow,
        Self::Ble,
        Self::Relay,
        Self::RelaySlow,
        Self::DialWebsocket,
        Self::DialTcp,
        Self::DialUdp,
        Self::Fleet,
        Self::FleetSlow,
    ];

    pub fn is_fleet(self) -> bool {
        matches!(self, Self::Fleet | Self::FleetSlow)
    }

    pub fn is_relay(self) -> bool {
        matches!(self, Self::Relay | Self::RelaySlow)
    }

    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Websocket | Self::Tls | Self::Relay | Self::Fleet)
    }

    /// How the gateway dials its boards, if it does.
    pub fn dialled(self) -> Option<Over> {
        match self {
            Self::DialWebsocket => Some(Over::Websocket),
            Self::DialTcp => Some(Over::Tcp),
            Self::DialUdp => Some(Over::Udp),
            _ => None,
        }
    }

    pub fn baud(self) -> Option<u32> {
        match self {
            Self::SerialFast => Some(FAST_BAUD),
            Self::SerialSlow | Self::RelaySlow | Self::FleetSlow => Some(SLOW_BAUD),
            _ => None,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Websocket => "websocket",
            Self::Tls => "wss",
            Self::SerialFast => "serial 115200",
            Self::SerialSlow => "serial 1200",
            Self::Ble => "BLE",
            Self::Relay => "relay, websocket",
            Self::RelaySlow => "relay, serial 1200",
            Self::DialWebsocket => "dial ws",
            Self::DialTcp => "dial tcp",
            Self::DialUdp => "dial udp",
            Self::Fleet => "fleet, websocket",
            Self::FleetSlow => "fleet, serial 1200",
        })
    }
}

/// How control is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    StopCmd,
    AppCloses,
    AppDies,
    AppFreezes,
    Sigterm,
    Sigint,
    Sighup,
    MonitorLeaves,
    MonitorFreezes,
    UpstreamCloses,
    UpstreamRefuses,
    UpstreamSigterm,
    UpstreamSigkill,
    UpstreamFreezes,
    BrokerSigkill,
    BrokerFreezes,
    EdgeIsCutOff,
    EdgeIsUnreachable,
    HubIsCutOff,
    HubIsUnreachable,
    HaltDevice,
    HaltEdge,
    HaltAll,
    BadFrame,
    BadText,
    LargeMessage,
    NoPong,
    Replaced,
    Returns,
    Settling,
}

impl Way {
    pub const ALL: [Self; 30] = [
        Self::StopCmd,
        Self::AppCloses,
        Self::AppDies,
        Self::AppFreezes,
        Self::Sigterm,
        Self::Sigint,
        Self::Sighup,
        Self::MonitorLeaves,
        Self::MonitorFreezes,
        Self::UpstreamCloses,
        Self::UpstreamRefuses,
        Self::UpstreamSigterm,
        Self::UpstreamSigkill,
        Self::UpstreamFreezes,
        Self::BrokerSigkill,
        Self::BrokerFreezes,
        Self::EdgeIsCutOff,
        Self::EdgeIsUnreachable,
        Self::HubIsCutOff,
        Self::HubIsUnreachable,
        Self::HaltDevice,
        Self::HaltEdge,
        Self::HaltAll,
        Self::BadFrame,
        Self::BadText,
        Self::LargeMessage,
        Self::NoPong,
        Self::Replaced,
        Self::Returns,
        Self::Settling,
    ];

    /// Why there is no such cell.
    pub fn missing(self, link: Link, streaming: bool) -> Option<&'static str> {
        match self {
            Self::UpstreamCloses | Self::UpstreamRefuses if link.is_fleet() => {
                Some("a broker is between the gateways")
            }
            Self::UpstreamCloses
            | Self::UpstreamRefuses
            | Self::UpstreamSigterm
            | Self::UpstreamSigkill
            | Self::UpstreamFreezes
                if !link.is_relay() && !link.is_fleet() =>
            {
                Some("there is no upstream")
            }
            Self::BrokerSigkill
            | Self::BrokerFreezes
            | Self::EdgeIsCutOff
            | Self::EdgeIsUnreachable
            | Self::HubIsCutOff
            | Self::HubIsUnreachable
            | Self::HaltDevice
            | Self::HaltEdge
            | Self::HaltAll
                if !link.is_fleet() =>
            {
                Some("there is no broker")
            }
            Self::BadFrame | Self::BadText | Self::LargeMessage | Self::NoPong
                if link == Link::DialWebsocket =>
            {
                Some("the same link as on the websocket of a board that dials")
            }
            Self::BadFrame | Self::BadText | Self::LargeMessage | Self::NoPong if !link.is_websocket() => {
                Some("the link has no websocket messages and no pings")
            }
            Self::Returns if link == Link::DialUdp => {
                Some("over UDP nothing reveals that a board which is silent anyway was away")
            }
            Self::Replaced if !link.is_websocket() => Some("a port has one board at a time"),
            Self::Settling if link.baud().is_none() => Some("only a board on a wire is given time to start"),
            Self::Returns if streaming => Some("what an app sends to a device that is back counts"),
            Self::Settling if streaming => Some("nobody can command a board that is not yet connected"),
            _ => None,
        }
    }

    /// The boards that it concerns.
    pub fn boards(self) -> &'static [Kind] {
        match self {
            // A gateway that has seen nothing of a board stops what its language stops in general, and no more.
            Self::Settling => &[Kind::Hush, Kind::Edge, Kind::Nora, Kind::Stroker, Kind::Buzzer],
            _ => &Kind::ALL,
        }
    }

    /// When a board that is not at rest has failed. Generous: machines are slow. The figures are what counts.
    pub fn limit(self) -> Duration {
        match self {
            Self::AppFreezes | Self::MonitorFreezes | Self::UpstreamFreezes => Duration::from_millis(3_000),
            // Some links look for what went twice a second, and what is back introduces itself first.
            Self::Returns => Duration::from_millis(5_000),
            _ => Duration::from_millis(2_500),
        }
    }

    /// Whether somebody stops devices who is none of their controllers.
    pub fn is_halt(self) -> bool {
        matches!(self, Self::HaltDevice | Self::HaltEdge | Self::HaltAll)
    }

    /// Whether an edge that goes on is to find out by itself that nobody controls its devices any more.
    pub fn leaves_the_edge_alone(self) -> bool {
        matches!(
            self,
            Self::UpstreamSigkill
                | Self::UpstreamFreezes
                | Self::BrokerSigkill
                | Self::BrokerFreezes
                | Self::EdgeIsCutOff
                | Self::EdgeIsUnreachable
                | Self::HubIsCutOff
                | Self::HubIsUnreachable
        )
    }

    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::BadFrame => Some(Fault::Protocol),
            Self::BadText => Some(Fault::NotUtf8),
            Self::LargeMessage => Some(Fault::TooLarge),
            Self::NoPong => Some(Fault::Mute),
            Self::Returns => Some(Fault::Vanish),
            _ => None,
        }
    }

    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Sigterm | Self::Settling | Self::UpstreamSigterm => Some(Signal::TERM),
            Self::Sigint => Some(Signal::INT),
            Self::Sighup => Some(Signal::HUP),
            Self::UpstreamSigkill => Some(Signal::KILL),
            Self::UpstreamFreezes => Some(Signal::STOP),
            _ => None,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StopCmd => "`StopCmd`",
            Self::AppCloses => "app closes",
            Self::AppDies => "app dies",
            Self::AppFreezes => "app freezes",
            Self::Sigterm => "SIGTERM",
            Self::Sigint => "SIGINT",
            Self::Sighup => "SIGHUP",
            Self::MonitorLeaves => "`monitor` leaves",
            Self::MonitorFreezes => "`monitor` is suspended",
            Self::UpstreamCloses => "upstream closes",
            Self::UpstreamRefuses => "upstream refuses the device (4007)",
            Self::UpstreamSigterm => "upstream, or hub, gets SIGTERM",
            Self::UpstreamSigkill => "upstream, or hub, is killed",
            Self::UpstreamFreezes => "upstream, or hub, freezes",
            Self::BrokerSigkill => "broker is killed",
            Self::BrokerFreezes => "broker freezes",
            Self::EdgeIsCutOff => "edge's connection to the broker is reset",
            Self::EdgeIsUnreachable => "network between edge and broker fails",
            Self::HubIsCutOff => "hub's connection to the broker is reset",
            Self::HubIsUnreachable => "network between hub and broker fails",
            Self::HaltDevice => "halt of the device by `mosquitto_pub`",
            Self::HaltEdge => "halt of the edge by `mosquitto_pub`",
            Self::HaltAll => "halt of the fleet by `mosquitto_pub`",
            Self::BadFrame => "device breaks the websocket protocol (1002)",
            Self::BadText => "device sends text that is not UTF-8 (1007)",
            Self::LargeMessage => "device sends over 64 KiB (1009)",
            Self::NoPong => "device answers no ping (4003)",
            Self::Replaced => "device is replaced (4004)",
            Self::Returns => "device is cut off and comes back",
            Self::Settling => "SIGTERM during `settle_ms`",
        })
    }
}
