//! Why there is no connection to the broker.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use crate::advice::Advice;
use crate::defaults::BUS_CONNECT_TIMEOUT;
use crate::net::broker::BrokerUrl;
use crate::net::tls::{self, NoRoots};

/// Why there is no connection to the broker.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The TCP connection failed.
    #[error("cannot connect to {broker}: {source}")]
    Tcp {
        /// The broker.
        broker: BrokerUrl,
        /// The cause.
        source: io::Error,
    },
    /// The TLS handshake failed: the certificate is not trusted, or the broker does not speak TLS.
    #[error("no TLS with {broker}: {source}")]
    Tls {
        /// The broker.
        broker: BrokerUrl,
        /// The cause; contains a [`rustls::Error`] if a certificate is the problem.
        source: io::Error,
    },
    /// There are no CA certificates to check the broker's with.
    #[error("cannot connect to {broker}: {source}")]
    NoRoots {
        /// The broker.
        broker: BrokerUrl,
        /// The cause.
        source: NoRoots,
    },
    /// There was no answer in time.
    #[error("no answer from {} within {} s", .0, BUS_CONNECT_TIMEOUT.as_secs())]
    TimedOut(BrokerUrl),
    /// The broker hung up instead of answering.
    #[error("{0} hangs up before it answers")]
    HungUp(BrokerUrl),
    /// The broker refused the connection.
    #[error("{broker} refuses the connection: {why}")]
    Refused {
        /// The broker.
        broker: BrokerUrl,
        /// Its reason.
        why: Refusal,
    },
    /// Something else than MQTT came.
    #[error("{broker} does not answer like an MQTT broker: {why}")]
    NotMqtt {
        /// The broker.
        broker: BrokerUrl,
        /// What came.
        why: String,
    },
    /// The broker closed the connection.
    #[error("{0} closed the connection")]
    Closed(BrokerUrl),
    /// The connection broke.
    #[error("the connection to {broker} broke: {source}")]
    Broke {
        /// The broker.
        broker: BrokerUrl,
        /// The cause.
        source: io::Error,
    },
    /// Nothing came for so long, although something was asked for.
    #[error("nothing came from {broker} for {:.1} s", .after.as_secs_f64())]
    Silent {
        /// The broker.
        broker: BrokerUrl,
        /// How long.
        after: Duration,
    },
    /// The broker took nothing for so long.
    #[error("{broker} took nothing for {:.1} s", .after.as_secs_f64())]
    Stuck {
        /// The broker.
        broker: BrokerUrl,
        /// How long.
        after: Duration,
    },
}

/// Why a broker refused the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not speak MQTT 3.1.1.
    #[error("it does not speak MQTT 3.1.1")]
    Version,
    /// The client id is not allowed.
    #[error("it does not allow the client id")]
    ClientId,
    /// It cannot serve clients just now.
    #[error("it is not available just now")]
    Unavailable,
    /// User or password is wrong.
    #[error("wrong user or password")]
    Credentials,
    /// The user, or nobody in particular, may not connect.
    #[error("not authorized")]
    NotAuthorized,
}

impl BusError {
    /// Whether only a person can change this, so that the pauses between tries may be long.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { why, .. } => *why != Refusal::Unavailable,
            Self::NotMqtt { .. } => true,
            _ => false,
        }
    }
}

impl Advice for BusError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Tcp { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                "is the broker running, and does it listen on that port for others than itself? mosquitto needs a \
                 `listener` line for that"
            }
            Self::Tcp { .. } | Self::TimedOut(_) => {
                "check the broker's name and port in [mqtt], the network, and firewalls on the way"
            }
            Self::Tls { source, .. } => tls::broker_hint(source),
            Self::NoRoots { .. } => {
                "install the system's CA certificates (on Debian the package ca-certificates), or give a CA of your \
                 own with ca = \"FILE\" in [mqtt]"
            }
            Self::HungUp(broker) if broker.is_tls() => {
                "it may want a client certificate: client_cert and client_key in [mqtt]; its log says more"
            }
            Self::HungUp(_) => {
                "if that port is for TLS, write mqtts:// instead of mqtt://; otherwise its log says why, such as too \
                 many connections"
            }
            Self::Refused { why, .. } => match why {
                Refusal::Credentials | Refusal::NotAuthorized => {
                    "give an account of the broker with user = \"...\" and password = \"...\" in [mqtt]"
                }
                Refusal::ClientId => {
                    "its log says which client ids it allows, for instance only the user's own name"
                }
                Refusal::Version => "use a broker that speaks MQTT 3.1.1; nearly all do",
                Refusal::Unavailable => "look at the broker's log",
            },
            Self::NotMqtt { .. } => {
                "something else listens there; a broker's port is usually 1883, or 8883 with TLS (mqtts://)"
            }
            Self::Closed(_) => {
                "if that repeats: another gateway may use the same name in [mqtt], or this one may lack a right; the \
                 broker's log says which"
            }
            Self::Broke { source, .. } if matches!(source.get_ref(), Some(e) if e.is::<rustls::Error>()) => {
                tls::broker_hint(source)
            }
            Self::Broke { .. } | Self::Silent { .. } | Self::Stuck { .. } => {
                "look at the network, and whether the broker is overloaded or hangs"
            }
        };
        Some(hint.into())
    }
}
