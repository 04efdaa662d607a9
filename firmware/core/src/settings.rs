//! Where the gateway is, who the device is, and how patient it is.

use core::fmt;

use wsdm_protocol::{FieldError, check_address, check_identifier};

/// Why settings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// The identifier or the address.
    Field(FieldError),
    /// A URL that does not begin with `ws://` or `wss://`.
    Scheme,
    /// No host, or one with characters that no host has.
    Host,
    /// A port that is no number from 1 to 65535.
    Port,
    /// A path with spaces or control characters.
    Path,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(e) => e.fmt(f),
            Self::Scheme => f.write_str("the gateway's URL must begin with ws:// or wss://"),
            Self::Host => f.write_str("the gateway's URL has no usable host"),
            Self::Port => f.write_str("a port is a number from 1 to 65535"),
            Self::Path => f.write_str("the path of the gateway's URL has a space or a control character"),
        }
    }
}

impl core::error::Error for SettingsError {}

impl From<FieldError> for SettingsError {
    fn from(e: FieldError) -> Self {
        Self::Field(e)
    }
}

/// Where the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway<'a> {
    host: &'a str,
    port: u16,
    /// Path and query, with the `/`.
    path: &'a str,
    token: Option<&'a str>,
    is_tls: bool,
}

impl<'a> Gateway<'a> {
    /// Reads `ws://host:port/?token=...`, or the same with `wss://`; without a port it is the protocol's own.
    ///
    /// # Errors
    /// What cannot be a gateway's URL.
    pub fn parse(url: &'a str) -> Result<Self, SettingsError> {
        let (is_tls, rest) = match (url.strip_prefix("ws://"), url.strip_prefix("wss://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(SettingsError::Scheme),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        // An IPv6 address has colons of its own, within brackets.
        let after_address = authority.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match authority.get(after_address..).and_then(|tail| tail.rfind(':')) {
            Some(colon) => {
                let (host, port) = authority.split_at(after_address + colon);
                (host, port.get(1..).unwrap_or_default())
            }
            None => (authority, ""),
        };
        let port = match port {
            "" if authority.ends_with(':') => return Err(SettingsError::Port),
            "" => wsdm_protocol::PORT,
            port => match port.parse() {
                Ok(0) | Err(_) => return Err(SettingsError::Port),
                Ok(port) => port,
            },
        };
        let mut gateway = Self::new(host, port)?;
        // These go into a request as they are: nothing in them may end its line.
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SettingsError::Path);
        }
        gateway.path = path;
        gateway.is_tls = is_tls;
        Ok(gateway)
    }

    /// A gateway at this host, a name or an address.
    ///
    /// # Errors
    /// No host, or one with characters that no host has.
    pub fn new(host: &'a str, port: u16) -> Result<Self, SettingsError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_[]:%".contains(&b);
        if host.is_empty() || !host.bytes().all(fits) {
            return Err(SettingsError::Host);
        }
        Ok(Self {
            host,
            port,
            path: "/",
            token: None,
            is_tls: false,
        })
    }

    /// With the token that the gateway asks for, as it is: it is escaped here.
    #[must_use]
    pub const fn with_token(mut self, token: Option<&'a str>) -> Self {
        self.token = token;
        self
    }

    /// The host, as it stands in the URL.
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether its URL demands TLS.
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Path and query, without the token that was given apart.
    pub(crate) const fn path(&self) -> &'a str {
        self.path
    }

    /// The token that was given apart.
    pub(crate) const fn token(&self) -> Option<&'a str> {
        self.token
    }
}

/// Who the device is. Neither text can be empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    identifier: &'a str,
    address: &'a str,
    reset: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// Takes what the UDCF calls the device, and the text that stands for this one device.
    ///
    /// # Errors
    /// One of them is empty or too long.
    pub fn new(identifier: &'a str, address: &'a str) -> Result<Self, SettingsError> {
        check_identifier(identifier)?;
        check_address(address)?;
        Ok(Self {
            identifier,
            address,
            reset: None,
        })
    }

    /// With why the device started anew, for the gateway's log. It is said until a connection lasts.
    #[must_use]
    pub const fn with_reset(mut self, reset: Option<&'a str>) -> Self {
        self.reset = reset;
        self
    }

    /// Why the device started anew.
    pub const fn reset(&self) -> Option<&'a str> {
        self.reset
    }

    /// What the device is.
    pub const fn identifier(&self) -> &'a str {
        self.identifier
    }

    /// Which device it is.
    pub const fn address(&self) -> &'a str {
        self.address
    }
}

/// How patient a device is on a network. All in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two pings while an output is on.
    pub ping: u64,
    /// Outputs that are on stop when nothing at all was heard for this long. Wi-Fi has its pauses.
    pub silence: u64,
    /// With all outputs off, a connection that was silent for this long is given up; it is pinged at half of it.
    pub gone: u64,
    /// For the connection and for the upgrade, each.
    pub connect: u64,
    /// For a last Close frame.
    pub close: u64,
    /// The first pause before another try.
    pub retry: u64,
    /// The longest pause before another try.
    pub retry_cap: u64,
    /// The shortest pause after a refusal: somebody has to change something first.
    pub refused: u64,
    /// A connection that was up for this long was a good one.
    pub lasted: u64,
}

impl Timing {
    /// What the documentation says.
    pub const DEFAULT: Self = Self {
        ping: 250,
        silence: 1_000,
        gone: 10_000,
        connect: 5_000,
        close: 300,
        retry: 250,
        retry_cap: 10_000,
        refused: 5_000,
        lasted: 5_000,
    };
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_read() {
        let parts = |url| {
            let g = Gateway::parse(url).unwrap();
            (g.host(), g.port(), g.path())
        };
        assert_eq!(parts("ws://10.0.0.2"), ("10.0.0.2", 54817, "/"));
        assert_eq!(parts("ws://gw.local:80/?token=a"), ("gw.local", 80, "/?token=a"));
        assert_eq!(parts("ws://gw?token=a"), ("gw", 54817, "?token=a"));
        assert_eq!(parts("ws://[::1]:9/x"), ("[::1]", 9, "/x"));
        assert_eq!(parts("ws://[::1]"), ("[::1]", 54817, "/"));
        assert_eq!(parts("wss://gw/x"), ("gw", 54817, "/x"));
        assert!(Gateway::parse("wss://gw").unwrap().is_tls() && !Gateway::parse("ws://gw").unwrap().is_tls());
    }

    #[test]
    fn what_is_no_url_is_told() {
        for (url, wanted) in [
            ("gw", SettingsError::Scheme),
            ("wss:gw", SettingsError::Scheme),
            ("wss://", SettingsError::Host),
            ("ws://", SettingsError::Host),
            ("ws://:80", SettingsError::Host),
            ("ws://a b", SettingsError::Host),
            ("ws://gw:", SettingsError::Port),
            ("ws://gw:0", SettingsError::Port),
            ("ws://gw:65536", SettingsError::Port),
            ("ws://gw/a b", SettingsError::Path),
            ("ws://gw/a\r\nX: y", SettingsError::Path),
        ] {
            assert_eq!(Gateway::parse(url), Err(wanted), "{url}");
        }
        assert!(Identity::new("", "a").is_err());
        assert!(Identity::new("a", &"x".repeat(257)).is_err());
    }

    proptest! {
        #[test]
        fn no_url_breaks_it(url in "(wss?://)?.{0,40}") {
            if let Ok(gateway) = Gateway::parse(&url) {
                prop_assert!(!gateway.path().contains(['\r', '\n', ' ']));
                prop_assert!(!gateway.host().contains(['\r', '\n', ' ', '/']));
            }
        }
    }
}
