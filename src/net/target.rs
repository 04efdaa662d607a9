//! The server to dial, parsed from a URL as people write it.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tokio_tungstenite::tungstenite::http::Uri;

use crate::advice::Advice;
use crate::defaults::DEVICE_LISTEN;

/// The port of `wss://` if the URL names none. A server with a certificate usually listens on the port of a web server,
/// not on the protocol's default port.
const TLS_PORT: u16 = 443;

/// A websocket server: host, port, path, and whether to use TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: String,
    token: Option<String>,
}

/// Why a text is not a valid target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The scheme is not a websocket's.
    #[error("\"{}\" is not the address of a websocket server", .0.escape_debug())]
    Scheme(String),
    /// The text is not a URL.
    #[error("\"{}\" is not a URL: {}", .text.escape_debug(), .why)]
    Malformed {
        /// The given text.
        text: String,
        /// The parser's error.
        why: String,
    },
}

impl Advice for TargetError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = format!("write it like ws://{DEVICE_LISTEN}, or wss://HOST for a server behind TLS");
        Some(hint.into())
    }
}

impl Target {
    /// Parses `ws://host:port/path` or `wss://host:port/path`. The scheme defaults to `ws`, the port to the protocol's
    /// own or to 443 for `wss`; a lone number is a port on this machine.
    ///
    /// # Errors
    /// [`TargetError`], which has a hint.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        let malformed = |why: &str| TargetError::Malformed {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                // A gateway's port answers HTTP with an upgrade, so this can only mean the websocket.
                "ws" | "http" => (false, rest),
                "wss" | "https" => (true, rest),
                _ => return Err(TargetError::Scheme(text.to_owned())),
            },
        };
        if rest.is_empty() {
            return Err(malformed("no host"));
        }
        let here = DEVICE_LISTEN.ip();
        let rest = match rest {
            port if port.bytes().all(|b| b.is_ascii_digit()) => format!("{here}:{port}"),
            bare if bare.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{bare}]"),
            port if port.starts_with(':') => format!("{here}{port}"),
            rest => rest.to_owned(),
        };
        let uri: Uri = format!("ws://{rest}")
            .parse()
            .map_err(|e: tokio_tungstenite::tungstenite::http::uri::InvalidUri| malformed(&e.to_string()))?;
        let authority = uri.authority().ok_or_else(|| malformed("no host"))?;
        let host = authority.host();
        if host.is_empty() {
            return Err(malformed("no host"));
        }
        let after_host = authority
            .as_str()
            .rsplit_once(host)
            .map_or("", |(_, after)| after);
        let port = match after_host.strip_prefix(':') {
            None if tls => TLS_PORT,
            None => DEVICE_LISTEN.port(),
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(malformed("a port is a number from 1 to 65535")),
                Ok(port) => port,
            },
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            path: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
            token: None,
        })
    }

    /// A target of these parts: the host as in a URL, so an IPv6 address in brackets, and a path that begins with a
    /// slash.
    pub(super) fn of_parts(tls: bool, host: String, port: u16, path: String) -> Self {
        Self {
            tls,
            host,
            port,
            path,
            token: None,
        }
    }

    /// The target at this address, with TLS.
    pub fn secure(address: SocketAddr) -> Self {
        Self {
            tls: true,
            ..Self::from(address)
        }
    }

    /// Returns the same target with a token, for servers that require one.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Whether the target uses TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The port if the target is on this machine, so that it may be our own listener.
    pub fn local_port(&self) -> Option<u16> {
        let (host, port) = self.host_and_port();
        let local = host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
        local.then_some(port)
    }

    /// Host and port for a TCP connection.
    pub fn host_and_port(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// The path, with its slash and its query.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "wss" } else { "ws" }
    }

    /// The full URL including the token: for the upgrade request, never for display.
    pub fn url(&self) -> String {
        let mut url = format!("{}://{}:{}{}", self.scheme(), self.host, self.port, self.path);
        if let Some(token) = &self.token {
            url.push(if self.path.contains('?') { '&' } else { '?' });
            url.push_str("token=");
            for byte in token.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    url.push(char::from(byte));
                } else {
                    url.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        url
    }
}

impl fmt::Display for Target {
    /// Leaves out the query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        let path = if path == "/" { "" } else { path };
        let (scheme, host, port) = (self.scheme(), &self.host, self.port);
        write!(f, "{scheme}://{host}:{port}{}", path.escape_debug())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self {
            tls: false,
            host,
            port: address.port(),
            path: "/".to_owned(),
            token: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_leave_things_out() {
        for (text, wanted) in [
            ("ws://127.0.0.1:54817", "ws://127.0.0.1:54817/"),
            ("WS://host:1/path?a=b", "ws://host:1/path?a=b"),
            ("ws://host", "ws://host:54817/"),
            ("host", "ws://host:54817/"),
            ("host/path", "ws://host:54817/path"),
            ("host:7", "ws://host:7/"),
            ("http://host:7", "ws://host:7/"),
            (" 8080 ", "ws://127.0.0.1:8080/"),
            (":8080", "ws://127.0.0.1:8080/"),
            ("::1", "ws://[::1]:54817/"),
            ("[::1]:9", "ws://[::1]:9/"),
            ("ws://host?a=b", "ws://host:54817/?a=b"),
            ("wss://host", "wss://host:443/"),
            ("WSS://host:7/path", "wss://host:7/path"),
            ("https://host/path?a=b", "wss://host:443/path?a=b"),
            ("wss://8443", "wss://127.0.0.1:8443/"),
            ("wss://[::1]", "wss://[::1]:443/"),
        ] {
            assert_eq!(
                Target::parse(text).map(|t| t.url()),
                Ok(wanted.to_owned()),
                "{text}"
            );
        }
        assert_eq!(Target::parse("[::1]:9").unwrap().host_and_port(), ("::1", 9));
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_a_hint() {
        let scheme = Target::parse("tcp://host").unwrap_err();
        assert_eq!(scheme, TargetError::Scheme("tcp://host".into()));
        assert!(
            scheme.with_hint().contains("ws://127.0.0.1:54817"),
            "{}",
            scheme.with_hint()
        );
        for text in [
            "",
            "ws://",
            "wss://",
            "wss://host:",
            "host:0",
            "host:99999",
            "host:port",
            "a b",
            "ws://host:",
        ] {
            let refused = Target::parse(text);
            assert!(
                matches!(refused, Err(TargetError::Malformed { .. })),
                "{text}: {refused:?}"
            );
        }
    }

    #[test]
    fn only_a_server_on_this_machine_can_be_our_own_port() {
        let local_port = |text: &str| Target::parse(text).unwrap().local_port();
        assert_eq!(local_port("ws://localhost:54817"), Some(54817));
        assert_eq!(local_port("ws://[::1]:7"), Some(7));
        assert_eq!(local_port("ws://192.168.1.20:54817"), None);
        assert_eq!(local_port("wss://localhost:54817"), Some(54817));
    }

    #[test]
    fn a_token_travels_but_is_not_shown() {
        let target = Target::parse("host/p?x=1").unwrap().with_token("a b&c");
        assert_eq!(target.url(), "ws://host:54817/p?x=1&token=a%20b%26c");
        assert_eq!(target.to_string(), "ws://host:54817/p");
        assert!(!format!("{target:?}").contains("a%20b"));
        let plain = Target::parse("host").unwrap().with_token("s3cret");
        assert_eq!(plain.url(), "ws://host:54817/?token=s3cret");
        let tls = Target::parse("wss://host").unwrap().with_token("s3cret");
        assert_eq!(tls.url(), "wss://host:443/?token=s3cret");
        assert_eq!(tls.to_string(), "wss://host:443");
    }
}
