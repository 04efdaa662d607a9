//! The keys for TLS to servers that the gateway dials: which CAs to trust, and the certificate to log in with.

use std::fmt::Display;
use std::path::PathBuf;

use super::read::Keys;
use crate::advice::Advice;
use crate::net::broker::BrokerUrl;
use crate::net::target::Target;
use crate::net::tls::Tls;

/// A server, as far as TLS is concerned.
pub(super) struct Server<'a> {
    /// The key of its URL.
    key: &'a str,
    url: &'a dyn Display,
    is_tls: bool,
    /// What a URL with TLS begins with.
    scheme: &'static str,
}

impl<'a> Server<'a> {
    pub(super) fn websocket(key: &'a str, target: &'a Target) -> Self {
        Self {
            key,
            url: target,
            is_tls: target.is_tls(),
            scheme: "wss://",
        }
    }

    pub(super) fn broker(key: &'a str, broker: &'a BrokerUrl) -> Self {
        Self {
            key,
            url: broker,
            is_tls: broker.is_tls(),
            scheme: "mqtts://",
        }
    }
}

/// The files that are given.
#[derive(Default)]
pub(super) struct Files {
    pub(super) ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

impl Files {
    pub(super) fn read(keys: &mut Keys<'_>) -> Self {
        Self {
            ca: keys.path("ca"),
            ..Self::default()
        }
    }

    /// Reads `client_cert` and `client_key` too.
    pub(super) fn read_with_certificate(keys: &mut Keys<'_>) -> Self {
        let files = Self {
            ca: keys.path("ca"),
            client_cert: keys.path("client_cert"),
            client_key: keys.path("client_key"),
        };
        match (&files.client_cert, &files.client_key) {
            (Some(_), None) => keys.problem("client_cert", "stands without client_key, its private key"),
            (None, Some(_)) => keys.problem("client_key", "stands without client_cert, its certificate"),
            _ => {}
        }
        files
    }

    pub(super) fn without_certificate(self) -> Self {
        Self {
            ca: self.ca,
            ..Self::default()
        }
    }

    /// What they come to for this server. A problem is reported at the key that needs the file.
    pub(super) fn tls(&self, keys: &mut Keys<'_>, server: &Server<'_>) -> Tls {
        let Self {
            ca,
            client_cert,
            client_key,
        } = self;
        if !server.is_tls {
            // Not a problem: a command line may replace the URL of a file that names a CA.
            for (name, file) in [("ca", ca), ("client_cert", client_cert)] {
                if file.is_some() {
                    keys.warning(
                        name,
                        format!(
                            "is not used, for {} is not encrypted; if it should be, write {}",
                            server.url, server.scheme
                        ),
                    );
                }
            }
            return Tls::system();
        }
        let tls = match ca {
            Some(ca) => Tls::with_ca(ca).unwrap_or_else(|e| {
                keys.problem("ca", e.with_hint());
                Tls::system()
            }),
            None => {
                let tls = Tls::system();
                if let Err(e) = tls.connector() {
                    keys.problem(server.key, e.with_hint());
                }
                tls
            }
        };
        let (Some(cert), Some(key)) = (client_cert, client_key) else {
            return tls;
        };
        tls.with_client_certificate(cert, key).unwrap_or_else(|e| {
            keys.problem("client_cert", e.with_hint());
            Tls::system()
        })
    }
}
