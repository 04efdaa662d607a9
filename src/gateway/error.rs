//! Why the gateway did not start, or ended.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use crate::advice::{Advice, EXIT_FAILED};
use crate::net::tls::kept::KeptError;
use crate::udcf::UdcfError;
use crate::upstream::embedded::EngineError;

/// Why the gateway did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Listening on a port failed.
    #[error("cannot listen for {what} on {addr}: {source}")]
    Bind {
        /// `devices`, `clients` or `the page`.
        what: &'static str,
        /// The address as configured.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The signal handlers could not be installed.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// The UDCF is invalid.
    #[error(transparent)]
    Udcf(#[from] UdcfError),
    /// The Buttplug server did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A part of the gateway ended by itself, and everything was stopped.
    #[error("{part} ended by itself: {why}")]
    Ended {
        /// The part.
        part: &'static str,
        /// The reason, as far as it is known.
        why: String,
    },
    /// There is no certificate for the port for devices.
    #[error(transparent)]
    Certificate(#[from] KeptError),
    /// There is none, and nowhere to keep one.
    #[error("TLS on the port for devices needs a certificate, and nothing is remembered")]
    NoCertificate,
    /// The certificate of the port for devices cannot be used for TLS.
    #[error("the certificate of the port for devices cannot be used: {0}")]
    Tls(#[source] rustls::Error),
    /// The system cannot start the threads that serve devices.
    #[error("cannot start the threads that serve devices: {0}")]
    Workers(#[source] io::Error),
}

impl Advice for GatewayError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bind { what, addr, source } => {
                let flag = match *what {
                    "devices" => "--device-listen",
                    "clients" => "--client-listen",
                    _ => "--page-listen",
                };
                let hint = match source.kind() {
                    io::ErrorKind::AddrInUse => format!(
                        "another program has port {}, perhaps Intiface or another gateway; stop it, or choose a \
                         port with {flag}",
                        addr.port()
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        format!(
                            "this machine has no address {}; choose one with {flag}",
                            addr.ip()
                        )
                    }
                    io::ErrorKind::PermissionDenied => {
                        format!("ports below 1024 are for the administrator; choose one with {flag}")
                    }
                    _ => format!("choose another address with {flag}"),
                };
                Some(hint.into())
            }
            Self::Udcf(e) => e.hint(),
            Self::Certificate(e) => e.hint(),
            Self::NoCertificate => {
                Some("choose a state file, or give tls_cert and tls_key in [devices]".into())
            }
            Self::Tls(_) => Some("give another one with tls_cert and tls_key in [devices]".into()),
            Self::Ended { .. } => {
                Some("a fault of the gateway: the lines before this one may say more".into())
            }
            Self::Signals(_) | Self::Engine(_) | Self::Workers(_) => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Udcf(e) => e.exit_code(),
            _ => EXIT_FAILED,
        }
    }
}
