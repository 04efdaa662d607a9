//! The address of an MQTT broker, parsed from a URL as people write it.

use std::borrow::Cow;
use std::fmt;

use tokio_tungstenite::tungstenite::http::uri::{Authority, InvalidUri};

use crate::advice::Advice;

/// The port of `mqtt://` if the URL names none.
const PORT: u16 = 1883;
/// The port of `mqtts://` if the URL names none.
const TLS_PORT: u16 = 8883;

/// An MQTT broker: host, port, and whether to use TLS. Without credentials: a URL is shown, they must not be.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BrokerUrl {
    tls: bool,
    host: String,
    port: u16,
}

/// Why a text is not the address of a broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    /// There is no scheme, or it is not one of MQTT over TCP.
    #[error("\"{}\" is not the address of an MQTT broker", .0.escape_debug())]
    Scheme(String),
    /// Before the host stands a user. The text is not shown, since a password may be in it.
    #[error("the address of an MQTT broker holds no user and no password")]
    Credentials,
    /// Behind the port stands a path or a query.
    #[error("the address of an MQTT broker ends with its port, so \"{}\" is too much", .0.escape_debug())]
    Path(String),
    /// The text is not a URL.
    #[error("\"{}\" is not a URL: {}", .text.escape_debug(), .why)]
    Malformed {
        /// The given text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Advice for BrokerUrlError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Credentials => "give them with user = \"...\" and password = \"...\" in [mqtt]",
            Self::Scheme(_) | Self::Path(_) | Self::Malformed { .. } => {
                "write it like mqtt://HOST, or mqtts://HOST for a broker with TLS; the port is 1883 or 8883 unless it \
                 stands behind, as in mqtt://HOST:1884"
            }
        };
        Some(hint.into())
    }
}

impl BrokerUrl {
    /// Parses `mqtt://host:port` or `mqtts://host:port`. The port defaults to 1883, with TLS to 8883.
    ///
    /// # Errors
    /// [`BrokerUrlError`], which has a hint.
    pub fn parse(text: &str) -> Result<Self, BrokerUrlError> {
        let text = text.trim();
        let malformed = |why: &str| BrokerUrlError::Malformed {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        let scheme = || BrokerUrlError::Scheme(text.to_owned());
        let (name, rest) = match text.split_once("://") {
            Some(found) => found,
            // What another scheme may hold is not looked at, and must not be shown if it is a password.
            None if text.contains('@') => return Err(BrokerUrlError::Credentials),
            None => return Err(scheme()),
        };
        if rest.contains('@') {
            return Err(BrokerUrlError::Credentials);
        }
        let tls = match name.to_ascii_lowercase().as_str() {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(scheme()),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        if !matches!(path, "" | "/") {
            return Err(BrokerUrlError::Path(path.to_owned()));
        }
        if authority.is_empty() {
            return Err(malformed("no host"));
        }
        let authority: Authority = match authority.parse::<std::net::Ipv6Addr>() {
            Ok(_) => format!("[{authority}]"),
            Err(_) => authority.to_owned(),
        }
        .parse()
        .map_err(|e: InvalidUri| malformed(&e.to_string()))?;
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() {
            return Err(malformed("no host"));
        }
        if host.starts_with('[') && bare.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(malformed("in the brackets must stand an IPv6 address"));
        }
        let after_host = authority.as_str().strip_prefix(host).unwrap_or_default();
        let port = match after_host.strip_prefix(':') {
            None if tls => TLS_PORT,
            None => PORT,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(malformed("a port is a number from 1 to 65535")),
                Ok(port) => port,
            },
        };
        Ok(Self {
            tls,
            host: bare.to_owned(),
            port,
        })
    }

    /// Whether the broker is dialled with TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host and port for a TCP connection; an IPv6 address without its brackets.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port } = self;
        let scheme = if *tls { "mqtts" } else { "mqtt" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        for (text, wanted) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://broker", "mqtts://broker:8883"),
            (" MQTTS://broker.lan:1 ", "mqtts://broker.lan:1"),
            ("mqtt://broker/", "mqtt://broker:1883"),
            ("mqtt://192.168.1.5:1884", "mqtt://192.168.1.5:1884"),
            ("mqtts://[::1]", "mqtts://[::1]:8883"),
            ("mqtt://[fe80::2]:7/", "mqtt://[fe80::2]:7"),
            ("mqtt://::1", "mqtt://[::1]:1883"),
        ] {
            let parsed = BrokerUrl::parse(text).map(|url| url.to_string());
            assert_eq!(parsed, Ok(wanted.to_owned()), "{text}");
        }
        let url = BrokerUrl::parse("mqtts://[::1]:9").unwrap();
        assert_eq!((url.host_and_port(), url.is_tls()), (("::1", 9), true));
    }

    #[test]
    fn what_is_no_broker_is_refused_with_a_hint() {
        let refused = |text: &str| BrokerUrl::parse(text).expect_err(text);
        for text in ["", "broker", "broker:1883", "tcp://broker", "ws://broker", "1883"] {
            assert!(matches!(refused(text), BrokerUrlError::Scheme(_)), "{text}");
        }
        for text in ["mqtt://broker/a", "mqtt://broker:1?b=c", "mqtts://broker#d"] {
            assert!(matches!(refused(text), BrokerUrlError::Path(_)), "{text}");
        }
        for text in [
            "mqtt://",
            "mqtt://:1883",
            "mqtt:///a",
            "mqtt://broker:",
            "mqtt://broker:0",
            "mqtt://broker:65536",
            "mqtt://broker:port",
            "mqtt://a b",
            "mqtt://[::1",
            "mqtt://[]",
            "mqtt://[a]",
        ] {
            let refused = refused(text);
            let expected = matches!(
                refused,
                BrokerUrlError::Malformed { .. } | BrokerUrlError::Path(_)
            );
            assert!(expected, "{text}: {refused:?}");
            assert!(refused.with_hint().contains("mqtt://HOST"), "{refused:?}");
        }
    }

    #[test]
    fn credentials_are_refused_and_never_shown() {
        for text in [
            "mqtt://me:s3cret@broker",
            "mqtts://s3cret@broker:1",
            "me:s3cret@broker",
            "x://me:s3cret@b",
        ] {
            let refused = BrokerUrl::parse(text).expect_err(text);
            assert_eq!(refused, BrokerUrlError::Credentials);
            let told = format!("{} {refused:?}", refused.with_hint());
            assert!(told.contains("password =") && !told.contains("s3cret"), "{told}");
        }
    }
}
