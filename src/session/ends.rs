//! The two ends that a session joins, beside the link the upstream half, and why it ended.

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{Sink, Stream};
use tracing::{info, warn};

use super::registry::SessionHandle;
use crate::advice::Advice;
use crate::device::close::{self, CloseReason};
use crate::device::frame::{Frame, Outgoing};
use crate::link::LinkError;

/// Where sessions feed. One for all of them.
pub trait Upstream: Send + Sync {
    /// The upstream half for a device that was admitted; `can_stop` says whether stop bytes for it are known.
    fn open(self: Arc<Self>, session: &Arc<SessionHandle>, can_stop: bool) -> Box<dyn UpstreamIo>;
}

/// What upstream has for a device.
#[derive(Debug)]
pub enum FromUpstream {
    /// A frame; its receipt is used as soon as the frame is written, or may be superseded by newer ones.
    Frame(Outgoing),
    /// Upstream lost control: the device is to be stopped.
    Stop,
}

/// The upstream half of a session.
///
/// Sending never waits for long: what upstream cannot take is dropped there, the oldest first, and counted.
///
/// A half that holds something back, in either direction, registers the waker of the poll in which it did: a session
/// that is not woken does not look.
pub trait UpstreamIo:
    Stream<Item = Result<FromUpstream, UpstreamError>> + Sink<Frame, Error = UpstreamError> + Send + Unpin
{
    /// The device was stopped on behalf of somebody else: what upstream believes to be on is off.
    fn stopped(&mut self) {}

    /// Lets go of upstream, and is done when upstream has forgotten the device (or a second has passed). When the
    /// gateway stops, nobody has to see a device leave a server that stops with it.
    fn release(self: Box<Self>, gateway_stops: bool) -> BoxFuture<'static, ()>;
}

/// Why an upstream half ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The server let the hardware go before the device was listed.
    #[error("the protocol's initialisation failed")]
    InitFailed,
    /// The server never took the device.
    #[error("the Buttplug server did not take the device")]
    NotTaken,
    /// The server let go of a device that was listed.
    #[error("the Buttplug server let go of the device")]
    Released,
    /// The server elsewhere does not take the device.
    #[error("upstream refused the device{}", refusal_text(.code, .reason))]
    Refused {
        /// Its close code, where it gave one.
        code: Option<u16>,
        /// Its reason; empty where it gave none.
        reason: String,
    },
    /// The server elsewhere is away, for longer than the device is kept.
    #[error("upstream is away: {0}")]
    Away(String),
}

fn refusal_text(code: &Option<u16>, reason: &str) -> String {
    match (code, reason) {
        (None, "") => " without a reason".to_owned(),
        (None, reason) => format!(": {}", reason.escape_debug()),
        (Some(code), "") => format!(" with code {code}"),
        (Some(code), reason) => format!(" with code {code}: {}", reason.escape_debug()),
    }
}

impl UpstreamError {
    /// What the device is told.
    pub fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::InitFailed => close::INIT_FAILED,
            Self::NotTaken | Self::Released => close::INTERNAL,
            Self::Refused { .. } => close::UPSTREAM_REFUSED,
            Self::Away(_) => close::UPSTREAM_AWAY,
        };
        CloseReason::new(code, self.to_string())
    }
}

impl Advice for UpstreamError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::InitFailed => {
                "the device's answers to the protocol's first commands were not what the protocol expects \
                 (lovense: answer DeviceType; with text such as Z:11:AABBCCDDEEFF;)"
            }
            Self::NotTaken => "an older device with this address is still being let go; it may connect again",
            Self::Refused { code: None, reason } if reason.is_empty() => {
                "usually upstream's UDCF has no entry by this identifier, or it still holds the address; look at \
                 upstream's log, and at its UDCF with wsdm-gateway udcf check FILE"
            }
            Self::Refused { .. } => "the reason is upstream's: look there",
            Self::Away(_) => "is it running, and does it listen there? The device may connect again",
            Self::Released => "a fault inside the Buttplug server; the lines before this one may say more",
        };
        Some(hint.into())
    }
}

/// Why a session ended. Drives the log, and what the device is told.
#[derive(Debug, thiserror::Error)]
pub enum Disconnect {
    /// The device went.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// Upstream went.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// A newer connection has the address.
    #[error("replaced by a newer connection with the same address")]
    Replaced,
    /// The gateway stops.
    #[error("the gateway is stopping")]
    Stopping,
}

impl Disconnect {
    /// What the device is told, if it still listens.
    pub fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::Upstream(e) => return e.close_reason(),
            // Answers the device's own Close with the code it gave.
            Self::Link(LinkError::Closed { code, .. }) => code.unwrap_or(1000),
            Self::Link(LinkError::TooLarge(_)) => close::TOO_LARGE,
            Self::Link(LinkError::NotUtf8(_)) => close::INVALID_HANDSHAKE,
            Self::Link(LinkError::Protocol(_)) => 1002,
            Self::Link(LinkError::Silent(_) | LinkError::Lost(_) | LinkError::NotTaken(_)) => close::TIMEOUT,
            Self::Replaced => close::REPLACED,
            Self::Stopping => close::GOING_AWAY,
        };
        CloseReason::new(code, self.to_string())
    }

    pub(super) fn log(&self) {
        match self {
            Self::Upstream(e) => warn!("device gone: {}", e.with_hint()),
            Self::Link(LinkError::Closed { .. }) | Self::Replaced | Self::Stopping => {
                info!("device gone: {self}")
            }
            Self::Link(_) => warn!("device gone: {self}"),
        }
    }

    /// The link may still take the stop: if a Close frame is tried, the stop goes the same way before it.
    pub(super) fn leaves_link_usable(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Replaced | Self::Stopping => true,
            Self::Link(e) => match e {
                LinkError::Silent(_)
                | LinkError::NotTaken(_)
                | LinkError::TooLarge(_)
                | LinkError::NotUtf8(_)
                | LinkError::Protocol(_) => true,
                LinkError::Closed { .. } | LinkError::Lost(_) => false,
            },
        }
    }

    /// The device is known to have received what was last written to it.
    pub(super) fn proves_receipt(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Stopping => true,
            Self::Link(e) => matches!(
                e,
                LinkError::TooLarge(_) | LinkError::NotUtf8(_) | LinkError::Protocol(_)
            ),
            // A link that is being replaced may hang and take bytes that never arrive.
            Self::Replaced => false,
        }
    }
}
