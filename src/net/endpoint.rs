//! The address of a board that listens, as people write it.

use std::borrow::Cow;
use std::fmt;

use tokio_tungstenite::tungstenite::http::uri::{Authority, PathAndQuery};

use super::target::Target;
use crate::advice::Advice;

/// The default ports of `ws://` and `wss://`, as in a browser: boards that serve a page of their own use them.
const WS_PORT: u16 = 80;
const WSS_PORT: u16 = 443;

/// How bytes travel to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `ws://`
    Websocket,
    /// `wss://`
    SecureWebsocket,
    /// `tcp://`
    Tcp,
    /// `udp://`
    Udp,
}

impl Transport {
    fn of_scheme(scheme: &str) -> Option<Self> {
        Some(match scheme.to_ascii_lowercase().as_str() {
            "ws" => Self::Websocket,
            "wss" => Self::SecureWebsocket,
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// How a URL of it begins.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Websocket => "ws",
            Self::SecureWebsocket => "wss",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Whether it is `ws://` or `wss://`.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Websocket | Self::SecureWebsocket)
    }
}

/// Defaults for the parts that a URL leaves out, for boards of a known kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlDefaults {
    /// The transport if the URL has no scheme.
    pub transport: Option<Transport>,
    /// The port of `ws://`.
    pub ws_port: Option<u16>,
    /// The path of `ws://` and `wss://`, with its leading slash.
    pub ws_path: Option<&'static str>,
    /// The port of `tcp://`.
    pub tcp_port: Option<u16>,
    /// The port of `udp://`.
    pub udp_port: Option<u16>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        write!(f, "{}:{port}", in_url(host))
    }
}

/// The host as it is written in a URL: an IPv6 address in brackets.
fn in_url(host: &str) -> Cow<'_, str> {
    if host.contains(':') {
        format!("[{host}]").into()
    } else {
        host.into()
    }
}

/// A service that boards announce by mDNS (RFC 6763).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Only the board of this name; `None` for every board that announces the service.
    pub instance: Option<String>,
    /// The service, such as `_tcode._udp`.
    pub kind: String,
    /// How bytes travel to these boards.
    pub transport: Transport,
}

impl Service {
    /// The service's domain name, for an mDNS query.
    pub fn domain(&self) -> String {
        format!("{}.local.", self.kind)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(instance) => write!(f, "mdns:{}.{}", instance.escape_debug(), self.kind),
            None => write!(f, "mdns:{}", self.kind),
        }
    }
}

/// The address of a board that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A websocket.
    Websocket(Target),
    /// A TCP port.
    Tcp(HostPort),
    /// A UDP port.
    Udp(HostPort),
    /// A service that mDNS finds.
    Service(Service),
}

/// Why a text is not the address of a board.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The scheme is missing or unknown.
    #[error("\"{}\" is not the address of a board that listens", .0.escape_debug())]
    Scheme(String),
    /// The host is missing or malformed.
    #[error("\"{}\" names no host", .0.escape_debug())]
    Host(String),
    /// The URL has a user name or a password before the host.
    #[error("it has a user name or a password before the host, which the gateway does not send to boards")]
    User,
    /// The port is missing.
    #[error("\"{}\" names no port", .0.escape_debug())]
    NoPort(String),
    /// The port is not a valid number.
    #[error("\"{}\" is not a port; a port is a number from 1 to 65535", .0.escape_debug())]
    Port(String),
    /// The URL has a path, which only a websocket has.
    #[error("\"{path}\" is a path, and {scheme}:// has none")]
    Path {
        /// `tcp` or `udp`.
        scheme: &'static str,
        /// The path.
        path: String,
    },
    /// The path or the query of a websocket URL is malformed.
    #[error("\"{}\" is not the path of a URL", .0.escape_debug())]
    BadPath(String),
    /// The name of a service is malformed.
    #[error("\"{}\" is not the name of a service", .0.escape_debug())]
    Service(String),
}

impl Advice for EndpointError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::Scheme(_) => {
                "write ws://HOST/PATH, wss://HOST/PATH, tcp://HOST:PORT, udp://HOST:PORT or mdns:_SERVICE._tcp"
            }
            Self::Host(_) => "write its IP address or its name, as in tcp://192.168.1.31:8000",
            Self::User => "leave out what stands before the @",
            Self::NoPort(_) => {
                "add the port it listens on, as in tcp://192.168.1.31:8000; the board's own page or its log shows it"
            }
            Self::Port(_) => "write it behind the host, as in tcp://192.168.1.31:8000",
            Self::Path { .. } => "leave the path out, or write ws:// if the board speaks websocket there",
            Self::BadPath(_) => "write it as in ws://192.168.1.31/ws, without spaces",
            Self::Service(_) => {
                "write mdns:_tcode._udp for all boards with that service, or mdns:NAME._tcode._udp for one"
            }
        }))
    }
}

impl Endpoint {
    /// Parses a URL; `defaults` fill in what it leaves out.
    ///
    /// # Errors
    /// [`EndpointError`], which has a hint.
    pub fn parse(text: &str, defaults: &UrlDefaults) -> Result<Self, EndpointError> {
        let text = text.trim();
        if text
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("mdns:"))
        {
            return Service::parse(text).map(Self::Service);
        }
        let unknown = || EndpointError::Scheme(text.to_owned());
        let (transport, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Transport::of_scheme(scheme).ok_or_else(unknown)?, rest),
            None => (defaults.transport.ok_or_else(unknown)?, text),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(EndpointError::User);
        }
        let (host, port) = split(authority).ok_or_else(|| EndpointError::Host(text.to_owned()))?;
        let port = match port {
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(EndpointError::Port(port.to_owned())),
                Ok(port) => Some(port),
            },
            None => None,
        };
        if transport.is_websocket() {
            let port = port.unwrap_or(match transport {
                Transport::SecureWebsocket => WSS_PORT,
                _ => defaults.ws_port.unwrap_or(WS_PORT),
            });
            let path = match path {
                "" => defaults.ws_path.unwrap_or("/").to_owned(),
                path if path.starts_with('/') => path.to_owned(),
                query => format!("/{query}"),
            };
            if path.contains('#') || path.parse::<PathAndQuery>().is_err() {
                return Err(EndpointError::BadPath(path));
            }
            let is_tls = transport == Transport::SecureWebsocket;
            let host = in_url(host).into_owned();
            return Ok(Self::Websocket(Target::of_parts(is_tls, host, port, path)));
        }
        if !matches!(path, "" | "/") {
            return Err(EndpointError::Path {
                scheme: transport.scheme(),
                path: path.escape_debug().to_string(),
            });
        }
        let usual = match transport {
            Transport::Udp => defaults.udp_port,
            _ => defaults.tcp_port,
        };
        let port = port
            .or(usual)
            .ok_or_else(|| EndpointError::NoPort(text.to_owned()))?;
        let at = HostPort {
            host: host.to_owned(),
            port,
        };
        Ok(match transport {
            Transport::Udp => Self::Udp(at),
            _ => Self::Tcp(at),
        })
    }

    /// The same service over another transport. Other endpoints stay as they are.
    #[must_use]
    pub fn over(self, transport: Transport) -> Self {
        match self {
            Self::Service(service) => Self::Service(Service { transport, ..service }),
            other => other,
        }
    }

    /// How bytes travel to the board.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Websocket(target) if target.is_tls() => Transport::SecureWebsocket,
            Self::Websocket(_) => Transport::Websocket,
            Self::Tcp(_) => Transport::Tcp,
            Self::Udp(_) => Transport::Udp,
            Self::Service(service) => service.transport,
        }
    }

    /// An endpoint that mDNS found: `host` is an IP address or a name.
    pub fn found(transport: Transport, host: String, port: u16, path: &str) -> Self {
        match transport {
            Transport::Websocket | Transport::SecureWebsocket => {
                // Anybody on the network may have announced this path.
                let path = match path.parse::<PathAndQuery>() {
                    Ok(path) if path.as_str().starts_with('/') => path.to_string(),
                    _ => "/".to_owned(),
                };
                let is_tls = transport == Transport::SecureWebsocket;
                let host = in_url(&host).into_owned();
                Self::Websocket(Target::of_parts(is_tls, host, port, path))
            }
            Transport::Tcp => Self::Tcp(HostPort { host, port }),
            Transport::Udp => Self::Udp(HostPort { host, port }),
        }
    }

    /// The host and the port; `None` of a service, which is wherever mDNS finds it.
    pub fn host_and_port(&self) -> Option<HostPort> {
        match self {
            Self::Websocket(target) => {
                let (host, port) = target.host_and_port();
                let host = host.to_owned();
                Some(HostPort { host, port })
            }
            Self::Tcp(at) | Self::Udp(at) => Some(at.clone()),
            Self::Service(_) => None,
        }
    }

    /// What distinguishes the board from others, for its device address: the host and the port.
    pub fn own_name(&self) -> String {
        match (self.host_and_port(), self) {
            (Some(at), _) => at.to_string(),
            (None, endpoint) => endpoint.to_string(),
        }
    }
}

impl Service {
    /// `mdns:_tcode._udp`, `mdns:my stroker._tcode._udp`
    fn parse(text: &str) -> Result<Self, EndpointError> {
        let malformed = || EndpointError::Service(text.to_owned());
        let name = text.get(5..).unwrap_or_default().trim_start_matches("//");
        let name = name.trim_end_matches('.');
        let name = name.strip_suffix(".local").unwrap_or(name);
        let (rest, protocol) = name.rsplit_once('.').ok_or_else(malformed)?;
        let (instance, service) = match rest.rsplit_once('.') {
            Some((instance, service)) => (Some(instance.to_owned()), service),
            None => (None, rest),
        };
        let word = service.strip_prefix('_').ok_or_else(malformed)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=15).contains(&word.len()) || !word.bytes().all(plain) || instance.as_deref() == Some("") {
            return Err(malformed());
        }
        let transport = match (protocol, service) {
            ("_udp", _) => Transport::Udp,
            ("_tcp", "_ws" | "_http" | "_wsdm-device") => Transport::Websocket,
            ("_tcp", "_wss" | "_https") => Transport::SecureWebsocket,
            ("_tcp", _) => Transport::Tcp,
            _ => return Err(malformed()),
        };
        Ok(Self {
            instance,
            kind: format!("{service}.{protocol}"),
            transport,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Websocket(target) => target.fmt(f),
            Self::Tcp(at) => write!(f, "tcp://{at}"),
            Self::Udp(at) => write!(f, "udp://{at}"),
            Self::Service(service) => service.fmt(f),
        }
    }
}

/// Splits host and port: the host without the brackets of an IPv6 address, the port as it is written.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match after {
                "" => (host, None),
                after => (host, Some(after.strip_prefix(':')?)),
            }
        }
        None if authority.parse::<std::net::Ipv6Addr>().is_ok() => (authority, None),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_host = host.contains(':') || (!host.is_empty() && host.parse::<Authority>().is_ok());
    is_host.then_some((host, port))
}

#[cfg(test)]
mod tests;
