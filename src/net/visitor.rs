//! Peers that connect to a port without opening a websocket: what each one speaks, and the answer it gets.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use crate::advice::Advice;
use crate::device::language::{self, Command};
use crate::device::recognition::TCODE;

/// No HTTP method is longer.
const METHOD_MAX_BYTES: usize = 16;
/// How every TLS connection begins: the type of a handshake record, then the major version.
pub(super) const TLS_HANDSHAKE: u8 = 0x16;
const TLS_MAJOR: u8 = 3;

/// One of the two ports, by who connects to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Devices,
    Apps,
}

/// Directs a peer that came to the wrong one of the gateway's two ports to the other one.
#[derive(Clone, Copy, Debug)]
pub struct Signpost {
    port: Port,
    other: Option<SocketAddr>,
    page: Option<SocketAddr>,
    /// The port for devices takes nothing but TLS.
    only_tls: bool,
}

impl Signpost {
    /// For the port for devices. If the gateway has no port for apps, they connect to the upstream server.
    pub fn devices(apps: Option<SocketAddr>) -> Self {
        Self {
            port: Port::Devices,
            other: apps,
            page: None,
            only_tls: false,
        }
    }

    /// For the port for apps.
    pub fn apps(devices: SocketAddr) -> Self {
        Self {
            port: Port::Apps,
            other: Some(devices),
            page: None,
            only_tls: false,
        }
    }

    /// Names the gateway's page to browsers, if there is one.
    #[must_use]
    pub fn with_page(self, page: Option<SocketAddr>) -> Self {
        Self { page, ..self }
    }

    /// Says whether the port for devices takes nothing but TLS.
    #[must_use]
    pub fn with_only_tls(self, only_tls: bool) -> Self {
        Self { only_tls, ..self }
    }

    /// What it is to a peer that did not use TLS that it was turned away for that alone; `None` if it may stay.
    pub(super) fn without_tls(self) -> Option<Kind> {
        (self.only_tls && self.port == Port::Devices).then_some(Kind::Plain)
    }

    /// Both ports as a peer can reach them that connected to the address `local`.
    pub fn at(self, local: SocketAddr) -> Place {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let reachable = |other: SocketAddr| {
            let ip = if other.ip().is_unspecified() {
                local.ip()
            } else {
                other.ip()
            };
            SocketAddr::new(ip, other.port())
        };
        Place {
            port: self.port,
            here: local,
            other: self.other.map(reachable),
            page: self.page.map(reachable),
            only_tls: self.only_tls,
        }
    }
}

/// The port that a peer connected to, and the other one. Displayed as one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    port: Port,
    here: SocketAddr,
    other: Option<SocketAddr>,
    page: Option<SocketAddr>,
    only_tls: bool,
}

impl Place {
    fn name(self) -> &'static str {
        match self.port {
            Port::Devices => "the port for devices",
            Port::Apps => "the port for apps",
        }
    }

    /// Who connects to this port, and where: `devices connect to ws://127.0.0.1:54817`.
    fn this_way(self) -> String {
        let users = match self.port {
            Port::Devices => "devices",
            Port::Apps => "apps",
        };
        format!("{users} connect to {}://{}", self.scheme(self.port), self.here)
    }

    fn scheme(self, port: Port) -> &'static str {
        match port {
            Port::Devices if self.only_tls => "wss",
            _ => "ws",
        }
    }

    /// The same for the other port.
    fn other_way(self) -> String {
        let (users, port) = match self.port {
            Port::Devices => ("apps", Port::Apps),
            Port::Apps => ("devices", Port::Devices),
        };
        let Some(other) = self.other else {
            return format!("{users} connect to the upstream server");
        };
        let only = if other.ip().is_loopback() && !self.here.ip().is_loopback() {
            ", from the gateway's own machine"
        } else {
            ""
        };
        format!("{users} connect to {}://{other}{only}", self.scheme(port))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is {}; {}", self.name(), self.other_way())
    }
}

/// What a visitor speaks instead of websocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP without an upgrade: a browser or a health check.
    Http {
        /// The visitor accepts HTML.
        html: bool,
    },
    /// An upgrade that does not conform to RFC 6455.
    Upgrade(String),
    /// TLS, which this port does not speak.
    Tls,
    /// A valid upgrade without TLS, on a port that takes nothing else.
    Plain,
    /// A handshake or an app's message, but over bare TCP.
    Json,
    Tcode,
    Other,
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Too few bytes to decide.
    Unclear,
    /// Probably HTTP.
    Http,
    /// Something that no websocket request begins with.
    Other(Kind),
}

impl First {
    /// Classifies what was received so far, without leading empty lines.
    pub(super) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] | [TLS_HANDSHAKE] => return Self::Unclear,
            [TLS_HANDSHAKE, TLS_MAJOR, ..] => return Self::Other(Kind::Tls),
            [b'{' | b'[', ..] => return Self::Other(Kind::Json),
            _ => {}
        }
        let method = bytes.iter().take_while(|b| b.is_ascii_uppercase()).count();
        match bytes.get(method) {
            None if method <= METHOD_MAX_BYTES => Self::Unclear,
            Some(b' ') if method > 0 => Self::Http,
            _ if is_tcode(bytes) => Self::Other(Kind::Tcode),
            _ => Self::Other(Kind::Other),
        }
    }
}

/// Whether the first line is an axis command or one of TCode's questions.
fn is_tcode(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next();
    let Some(line) = line.and_then(|line| std::str::from_utf8(line).ok()) else {
        return false;
    };
    let is_question = matches!(line.as_bytes(), [b'D' | b'd', b'0'..=b'2']);
    let command = language::of_protocol(TCODE).map(|tcode| tcode.read(line));
    is_question || matches!(command, Some(Command::Set(_) | Command::StopAll))
}

/// A peer that opened no websocket, and the port it connected to. Its text does not change from one connection to the
/// next, so that the log can recognise repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

impl Visitor {
    /// What it receives before the connection is closed.
    pub(super) fn answer(&self) -> String {
        let place = self.place;
        let this_way = place.this_way();
        match &self.kind {
            Kind::Http { html: true } => http("426 Upgrade Required", "text/html", &page(place)),
            Kind::Http { html: false } => {
                let text = format!("{place}; {this_way} by websocket\n");
                http("426 Upgrade Required", "text/plain", &text)
            }
            Kind::Upgrade(fault) => {
                let text = format!("the websocket upgrade is faulty: {fault}\n");
                http("400 Bad Request", "text/plain", &text)
            }
            // Its library expects TLS; the better ones recognise HTTP and report it.
            Kind::Tls => {
                let text = format!("this port does not speak TLS: {this_way}\n");
                http("400 Bad Request", "text/plain", &text)
            }
            // As web servers answer on their port for TLS.
            Kind::Plain => {
                let text = format!(
                    "this port takes nothing but TLS: {this_way}; a board needs the gateway's fingerprint\n"
                );
                http("400 Bad Request", "text/plain", &text)
            }
            Kind::Json => {
                format!("wsdm-gateway: send this over a websocket, not over bare TCP: {this_way}\n")
            }
            Kind::Tcode => format!(
                "wsdm-gateway: websocket is expected here, not TCode over bare TCP: {this_way}; if the board listens, \
                 add a [[dial]] entry to gateway.toml\n"
            ),
            Kind::Other => format!("wsdm-gateway: websocket is expected here: {this_way}\n"),
        }
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here = self.place.name();
        match &self.kind {
            Kind::Http { .. } => write!(f, "it speaks plain HTTP, and {here} speaks websocket"),
            Kind::Upgrade(fault) => write!(f, "its websocket upgrade is faulty: {fault}"),
            Kind::Tls => write!(f, "it speaks TLS, and {here} does not"),
            Kind::Plain => write!(f, "it does not use TLS, and {here} takes nothing else"),
            Kind::Json => write!(f, "it sends JSON over bare TCP, and {here} speaks websocket"),
            Kind::Tcode => write!(f, "it sends TCode over bare TCP, and {here} speaks websocket"),
            Kind::Other => write!(
                f,
                "it sends something unknown over bare TCP, and {here} speaks websocket"
            ),
        }
    }
}

impl std::error::Error for Visitor {}

impl Advice for Visitor {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let place = self.place;
        let (this_way, other_way) = (place.this_way(), place.other_way());
        let hint = match &self.kind {
            Kind::Http { .. } => {
                format!("nothing to do for a browser or a health check; {this_way}, {other_way}")
            }
            Kind::Upgrade(fault) if fault.contains("pgrade\"") || fault.contains("websocket\"") => {
                "a proxy on the way has to pass on the headers Upgrade and Connection".into()
            }
            Kind::Upgrade(_) => "its websocket library does not follow RFC 6455; update it".into(),
            Kind::Tls => {
                match place.port {
                    Port::Devices => format!(
                        "to let boards with TLS in, write tls = \"also\" in [devices] of gateway.toml; without, use ws:// \
                         instead of wss:// ({this_way})"
                    ),
                    Port::Apps => format!(
                        "use ws:// instead of wss:// ({this_way}), or a proxy in front that terminates TLS"
                    ),
                }
            }
            Kind::Plain => "give the board this gateway's fingerprint, which the log has at the start: on its console set \
                            fingerprint, save, restart; or let boards without TLS in: tls = \"also\" in [devices]. If it \
                            has a token, that was just sent unencrypted"
                .into(),
            Kind::Json => format!("send it over a websocket: {this_way}, {other_way}"),
            Kind::Tcode => {
                format!("{this_way} by websocket; if the board listens, add a [[dial]] entry to gateway.toml")
            }
            Kind::Other => format!("{this_way} by websocket, {other_way}"),
        };
        Some(hint.into())
    }
}

/// An HTTP response that closes the connection.
pub(super) fn http(status: &str, kind: &str, body: &str) -> String {
    let upgrade = match status.split_once(' ') {
        Some(("426" | "400", _)) => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n{upgrade}\
         Connection: {}close\r\n\r\n{body}",
        body.len(),
        if upgrade.is_empty() { "" } else { "Upgrade, " },
    )
}

/// The page for a browser. It contains nothing that the visitor sent.
fn page(place: Place) -> String {
    let page = match place.page {
        Some(page) if place.here.ip().is_loopback() => {
            format!("<p>The gateway's page is at <a href=\"http://{page}/\">http://{page}/</a>.</p>\n")
        }
        Some(page) => {
            format!("<p>The gateway's page is at http://{page}/, on the gateway's own machine.</p>\n")
        }
        None => String::new(),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>wsdm-gateway</title>\n\
         <h1>wsdm-gateway</h1>\n<p>This is {}. It speaks websocket, and has nothing to show in a browser.</p>\n\
         <ul>\n<li>Here {}.</li>\n<li>Elsewhere {}.</li>\n</ul>\n{page}\
         <p>The log of the gateway reports what it does; <code>wsdm-gateway monitor</code> shows a device's frames.</p>\n\
         </html>\n",
        place.name(),
        place.this_way(),
        place.other_way(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_bytes_distinguish_visitors() {
        let other = |kind| First::Other(kind);
        for (bytes, first) in [
            (&b""[..], First::Unclear),
            (b"GET", First::Unclear),
            (b"GET / HTTP/1.1\r\n", First::Http),
            (b"PROPFIND /", First::Http),
            (b"\x16", First::Unclear),
            (b"\x16\x03\x01", other(Kind::Tls)),
            (b"\x16x", other(Kind::Other)),
            (b"{\"identifier\"", other(Kind::Json)),
            (b"[{\"RequestServerInfo\"", other(Kind::Json)),
            (b"D", First::Unclear),
            (b"D0\n", other(Kind::Tcode)),
            (b"d1\r\n", other(Kind::Tcode)),
            (b"DSTOP\n", other(Kind::Tcode)),
            (b"L0500I100 R1200\nx", other(Kind::Tcode)),
            (b"v099\n", other(Kind::Tcode)),
            (b"Vibrate:5;", other(Kind::Other)),
            (b"OK;", other(Kind::Other)),
            (b" GET /", other(Kind::Other)),
            (b"ABCDEFGHIJKLMNOPQ", other(Kind::Other)),
            (b"\xff\xfe", other(Kind::Other)),
        ] {
            assert_eq!(First::of(bytes), first, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_place_is_named_as_the_peer_can_reach_it() {
        let [lan, any, loopback]: [SocketAddr; 3] =
            ["[::ffff:10.0.0.5]:1", "0.0.0.0:2", "127.0.0.1:3"].map(|text| text.parse().expect("an address"));
        let text = |signpost: Signpost| signpost.at(lan).to_string();
        let devices = text(Signpost::devices(Some(any)));
        assert_eq!(
            devices,
            "this is the port for devices; apps connect to ws://10.0.0.5:2"
        );
        let apps = text(Signpost::apps(loopback));
        let own =
            "this is the port for apps; devices connect to ws://127.0.0.1:3, from the gateway's own machine";
        assert_eq!(apps, own);
        assert!(text(Signpost::devices(None)).contains("upstream"));
    }

    /// A Close frame takes 123 bytes.
    #[test]
    fn the_longest_place_fits_a_close_frame() {
        let long: SocketAddr = "[2001:db8:1234:5678:9abc:def0:1234:5678]:54817"
            .parse()
            .expect("an address");
        assert!(Signpost::devices(Some(long)).at(long).to_string().len() <= 123);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_fault(bytes: Vec<u8>) {
            let _ = First::of(&bytes);
        }

        /// A request that comes in pieces is never taken for something else.
        #[test]
        fn no_beginning_of_a_request_is_turned_away(method in "[A-Z]{1,16}", cut in 0usize..40) {
            let request = format!("{method} /?token=x HTTP/1.1\r\n");
            let begun = &request.as_bytes()[..cut.min(request.len())];
            prop_assert!(matches!(First::of(begun), First::Unclear | First::Http));
        }
    }
}
