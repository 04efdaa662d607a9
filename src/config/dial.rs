//! The `[[dial]]` entries.

use std::time::Duration;

use ::bytes::Bytes;

use super::board;
use super::layers::Reader;
use super::read::{Keys, text};
use super::table::{Key, Kind, Preset, Section, words};
use super::tls::{Files, Server};
use crate::advice::Advice;
use crate::device::handshake::{Address, Identifier};
use crate::device::language::Coalesce;
use crate::link::framing::Framing;
use crate::net::endpoint::{Endpoint, Transport, UrlDefaults};
use crate::net::tls::Tls;

/// Known firmware: the defaults for keys that its entry leaves out.
#[derive(Debug, PartialEq, Eq)]
struct Firmware {
    name: &'static str,
    url: UrlDefaults,
    /// It takes and sends text messages.
    is_text: bool,
    identifier: &'static str,
    /// It lists its axes, of which the identifier's definition has one.
    lists_axes: bool,
    on_close: Option<&'static [u8]>,
}

/// Has a web page of its own, and speaks UDP. Ignores messages that are not text.
static TCODE_ESP32: Firmware = Firmware {
    name: "tcode-esp32",
    url: UrlDefaults {
        transport: Some(Transport::Websocket),
        ws_port: Some(80),
        ws_path: Some("/ws"),
        tcp_port: None,
        udp_port: Some(8_000),
    },
    is_text: true,
    identifier: "TCodeDevice",
    lists_axes: true,
    on_close: None,
};

/// Has a server for TCode alone, besides its web pages on ports 80 and 81.
static SLOPDRIVE_32: Firmware = Firmware {
    name: "slopdrive-32",
    url: UrlDefaults {
        transport: Some(Transport::Websocket),
        ws_port: Some(55_555),
        ws_path: Some("/"),
        tcp_port: None,
        udp_port: None,
    },
    is_text: true,
    identifier: "TCodeDevice",
    lists_axes: true,
    on_close: None,
};

/// Takes the text commands of the OSSM's Bluetooth service, such as `set:speed:0`, over a websocket.
static OSSM: Firmware = Firmware {
    name: "ossm",
    url: UrlDefaults {
        transport: Some(Transport::Websocket),
        ws_port: Some(80),
        ws_path: Some("/ws"),
        tcp_port: None,
        udp_port: None,
    },
    is_text: true,
    identifier: "OSSM",
    lists_axes: false,
    on_close: Some(b"set:speed:0"),
};

const PRESETS: [(&str, &Firmware); 3] = [
    (TCODE_ESP32.name, &TCODE_ESP32),
    (SLOPDRIVE_32.name, &SLOPDRIVE_32),
    (OSSM.name, &OSSM),
];

/// Whether messages are text.
const FRAMES: [(&str, bool); 2] = [("binary", false), ("text", true)];

const TRANSPORTS: [(&str, Transport); 4] = [
    ("ws", Transport::Websocket),
    ("wss", Transport::SecureWebsocket),
    ("tcp", Transport::Tcp),
    ("udp", Transport::Udp),
];

pub(super) static SECTION: Section = Section {
    name: "dial",
    repeated: true,
    help: "A board that listens on the network, which the gateway dials. A board that prints a hello line needs url, and \
           no other key. All traffic with it is unencrypted unless the url begins with wss://.",
    keys: &[
        Key {
            name: "url",
            kind: Kind::Url,
            example: "\"tcp://192.168.1.31:8000\"",
            help: "Dial this board, ws://, wss://, tcp:// or udp://, or every board that announces a service by mDNS, \
                   such as mdns:_tcode._udp",
            note: "With a preset, the host alone is enough. Names under .local are resolved by mDNS. \
                   mdns:NAME._tcode._udp is the one board of that name.",
            ..Key::BASE
        },
        Key {
            name: "preset",
            kind: Kind::Choice(const { &words(&PRESETS) }),
            example: "\"tcode-esp32\"",
            help: "Use the defaults for this firmware: port, path, frames, identifier",
            note: "The entry's own keys override them.",
            ..Key::BASE
        },
        Key {
            name: "transport",
            kind: Kind::Choice(const { &words(&TRANSPORTS) }),
            example: "\"ws\"",
            alternative: true,
            help: "Connect over this transport to a board that mDNS finds",
            note: "The default follows from the service: UDP for one under _udp, a websocket for _ws, _http and \
                   _wsdm-device, TCP for every other one.",
            ..Key::BASE
        },
        Key {
            name: "frames",
            kind: Kind::Choice(const { &words(&FRAMES) }),
            default: Preset::Unset("binary, or by preset"),
            example: "\"text\"",
            alternative: true,
            help: "Send websocket messages of this kind; both kinds are accepted",
            ..Key::BASE
        },
        Key {
            name: "ca",
            kind: Kind::Path,
            default: Preset::Unset("the system's"),
            example: "\"ca.pem\"",
            alternative: true,
            help: "Trust the CAs of this PEM file, and no others, for wss://",
            note: "Relative to gateway.toml.",
            ..Key::BASE
        },
        Key {
            name: "settle_ms",
            kind: Kind::milliseconds(0..=60_000),
            default: Preset::Number(0),
            help: "Wait this long after connecting before sending anything",
            ..Key::BASE
        },
        Key {
            note: "Without a framing key: by protocol. For TCP only: each websocket message is a frame, and so is each \
                   UDP datagram.",
            ..board::DELIMITER
        },
        board::LENGTH_PREFIX,
        board::LENGTH_ORDER,
        board::IDLE,
        board::RAW,
        Key {
            default: Preset::Unset("by preset, or the board's hello line"),
            ..board::IDENTIFIER
        },
        Key {
            name: "address",
            default: Preset::Unset("the board's hello line, or its host and port, or its name in mDNS"),
            example: "\"bench-1\"",
            help: "Which board it is, as in a handshake; with an mdns: url, the prefix of the name in mDNS",
            ..Key::BASE
        },
        board::KEEPALIVE,
        Key {
            default: Preset::Unset("by preset, or by protocol"),
            ..board::ON_CLOSE
        },
        board::COALESCING,
    ],
};

/// A `[[dial]]` entry: a board that listens, or every board that announces a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialSettings {
    /// Where it is; `None` only in a configuration that has problems.
    pub endpoint: Option<Endpoint>,
    /// Whether frames are sent as text messages on its websocket.
    pub is_text: bool,
    /// The CAs to trust for `wss://`.
    pub tls: Tls,
    /// How long nothing is sent to it after it is connected.
    pub settle: Duration,
    /// How its TCP connection is cut into frames; `None` for its protocol's usual framing.
    pub framing: Option<Framing>,
    /// What the device is; `None` waits for its hello line.
    pub identifier: Option<Identifier>,
    /// It is TCode by its preset, and is asked for its axes.
    pub asks_axes: bool,
    /// Which device it is; if mDNS finds several, the prefix of their names.
    pub address: Option<Address>,
    /// The silence after which the board's watchdog wants a sign of life; `None` for what its hello line asks for.
    pub keepalive: Option<Duration>,
    /// The bytes to send when control is lost, instead of its protocol's own stop.
    pub on_close: Option<Bytes>,
    /// The language in which newer commands supersede older ones; `None` for its protocol's own.
    pub coalesce: Option<Coalesce>,
}

/// Reads every entry.
pub(super) fn entries(reader: &mut Reader) -> Vec<DialSettings> {
    let entries = Keys::entries(reader, &SECTION, entry);
    for n in 1..entries.len() {
        let Some(endpoint) = &entries[n].endpoint else {
            continue;
        };
        if let Some(first) = (0..n).find(|first| entries[*first].endpoint.as_ref() == Some(endpoint)) {
            reader.problem(
                &format!("dial.{n}"),
                format!("is for the same board as dial.{first}; one of them would take it from the other"),
            );
        }
    }
    entries
}

fn entry(keys: &mut Keys<'_>) -> DialSettings {
    // Read first, because the url may leave out what a preset defines. `check` still shows keys in the order of the table.
    let preset = keys.choice("preset", &PRESETS);
    let endpoint = endpoint(keys, preset);
    let transport = endpoint.as_ref().map(Endpoint::transport);
    let is_text = is_text(keys, preset, transport);
    let files = Files::read(keys);
    let tls = match &endpoint {
        Some(Endpoint::Websocket(target)) => files.tls(keys, &Server::websocket("url", target)),
        _ => found_tls(keys, transport, files.ca.as_deref()),
    };
    let framing = keys.framing();
    if keys.is_any_given("framing.") && transport.is_some_and(|transport| transport != Transport::Tcp) {
        let what = if transport == Some(Transport::Udp) {
            "datagram"
        } else {
            "message"
        };
        keys.problem(
            "",
            format!("has a framing, but each {what} is a frame already; leave it out"),
        );
    }
    DialSettings {
        endpoint,
        is_text,
        tls,
        settle: keys.time("settle_ms"),
        framing,
        identifier: identifier(keys, preset),
        asks_axes: preset.is_some_and(|preset| preset.lists_axes) && !keys.is_given("identifier"),
        address: keys.board_address("address"),
        keepalive: keys.keepalive(),
        on_close: on_close(keys, preset),
        coalesce: keys.coalesce(),
    }
}

fn source(preset: &Firmware) -> String {
    format!("preset {}", preset.name)
}

fn endpoint(keys: &mut Keys<'_>, preset: Option<&Firmware>) -> Option<Endpoint> {
    let defaults = preset.map_or(UrlDefaults::default(), |preset| preset.url);
    let parse = |given: &_| Endpoint::parse(text(given)?, &defaults).map_err(|e| e.with_hint());
    if !keys.is_given("url") {
        keys.problem(
            "",
            "names no board: url = \"tcp://192.168.1.31:8000\", or ws://, wss://, udp://, or mdns:_tcode._udp",
        );
    }
    let endpoint = keys.read("url", parse, ToString::to_string);
    let transport = keys.choice("transport", &TRANSPORTS);
    match (endpoint, transport) {
        (Some(Endpoint::Service(service)), Some(transport)) => {
            let is_udp = service.kind.ends_with("._udp");
            if is_udp != (transport == Transport::Udp) {
                keys.problem(
                    "transport",
                    format!(
                        "does not fit {}; boards announce UDP under _udp, and everything else under _tcp",
                        service.kind
                    ),
                );
            }
            Some(Endpoint::Service(service).over(transport))
        }
        (Some(endpoint), Some(_)) => {
            keys.problem(
                "transport",
                "stands beside a url that names the transport already; it is for boards that mDNS finds",
            );
            Some(endpoint)
        }
        (endpoint, _) => endpoint,
    }
}

fn is_text(keys: &mut Keys<'_>, preset: Option<&Firmware>, transport: Option<Transport>) -> bool {
    match keys.choice("frames", &FRAMES) {
        Some(is_text) => {
            if transport.is_some_and(|transport| !transport.is_websocket()) {
                keys.problem(
                    "frames",
                    "stands beside a url that is not a websocket; leave it out",
                );
            }
            is_text
        }
        None => {
            let Some(preset) = preset.filter(|preset| preset.is_text) else {
                return false;
            };
            keys.show_instead("frames", "text".to_owned(), &source(preset));
            true
        }
    }
}

/// The CAs to trust for a board that is still to be found.
fn found_tls(keys: &mut Keys<'_>, transport: Option<Transport>, ca: Option<&std::path::Path>) -> Tls {
    match ca {
        Some(ca) if transport == Some(Transport::SecureWebsocket) => match Tls::with_ca(ca) {
            Ok(tls) => return tls,
            Err(e) => keys.problem("ca", e.with_hint()),
        },
        Some(_) if transport.is_some() => keys.warning("ca", "has no effect: only wss:// is encrypted"),
        _ => {}
    }
    Tls::system()
}

fn identifier(keys: &mut Keys<'_>, preset: Option<&Firmware>) -> Option<Identifier> {
    let given = keys.identifier("identifier");
    match preset {
        Some(preset) if !keys.is_given("identifier") => {
            keys.show_instead("identifier", preset.identifier.to_owned(), &source(preset));
            Identifier::new(preset.identifier).ok()
        }
        _ => given,
    }
}

fn on_close(keys: &mut Keys<'_>, preset: Option<&Firmware>) -> Option<Bytes> {
    let given = keys.on_close();
    let preset = preset.filter(|_| !keys.is_given("on_close"));
    // With another identifier, the board is not what the preset assumes, and neither is its stop.
    match preset.and_then(|preset| Some((preset, preset.on_close?))) {
        Some((preset, bytes)) if !keys.is_given("identifier") => {
            let bytes = Bytes::from_static(bytes);
            keys.show_instead("on_close", super::bytes::show(&bytes), &source(preset));
            Some(bytes)
        }
        _ => given,
    }
}
