//! The two ends that a session joins, link and upstream half, and why a session ended.

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{Sink, Stream};
use tracing::{info, warn};

use super::registry::SessionHandle;
use crate::advice::Advice;
use crate::device::close::{self, CloseReason};
use crate::device::frame::{Frame, Outgoing};
use crate::device::language::Language;
use crate::device::recognition::Recognised;
use crate::link::LinkError;

/// Where sessions send their frames; shared by all of them.
pub trait Upstream: Send + Sync {
    /// Opens the upstream half for an admitted device.
    fn open(self: Arc<Self>, session: &Arc<SessionHandle>, device: DeviceInfo) -> Box<dyn UpstreamIo>;
}

/// What upstream may want to know about a device besides its handshake.
#[derive(Clone, Debug, Default)]
pub struct DeviceInfo {
    /// The gateway knows stop bytes for it.
    pub can_stop: bool,
    /// What it speaks, if that is known.
    pub language: Option<&'static dyn Language>,
    /// What it was recognised as, if neither its entry nor a hello line identifies it.
    pub recognised: Option<Arc<Recognised>>,
}

/// What upstream sends to a device.
#[derive(Debug)]
pub enum FromUpstream {
    /// A frame; its receipt is sent as soon as the frame is written, or may be superseded by a newer one.
    Frame(Outgoing),
    /// Upstream lost control: stop the device.
    Stop,
}

/// The upstream half of a session.
///
/// Sending never blocks for long: upstream drops what it cannot take, the oldest first, and counts it.
///
/// A half that holds back a frame, in either direction, registers the waker of that poll: a session polls only when
/// it is woken.
pub trait UpstreamIo:
    Stream<Item = Result<FromUpstream, UpstreamError>> + Sink<Frame, Error = UpstreamError> + Send + Unpin
{
    /// Reports that the gateway stopped the device itself, so that upstream does not believe an output to be on.
    fn stopped(&mut self) {}

    /// Reports that somebody beside upstream has turned an output on.
    fn driven_by_hand(&mut self) {}

    /// Releases upstream; completes when upstream has forgotten the device, or after a second. If the gateway stops,
    /// the server stops with it, so no client needs to see the device leave.
    fn release(self: Box<Self>, gateway_stops: bool) -> BoxFuture<'static, ()>;
}

/// Why an upstream half ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The server dropped the hardware before it listed the device.
    #[error("the protocol {protocol} did not start")]
    InitFailed {
        /// The protocol, by its name in the UDCF.
        protocol: String,
        /// What to do about it.
        hint: String,
    },
    /// The server never accepted the device.
    #[error("the Buttplug server did not take the device")]
    NotTaken,
    /// The server dropped a device that it had listed.
    #[error("the Buttplug server let go of the device")]
    Released,
    /// The remote server refused the device.
    #[error("upstream refused the device{}", refusal_text(.code, .reason))]
    Refused {
        /// Its close code, if it sent one.
        code: Option<u16>,
        /// Its reason; empty if it sent none.
        reason: String,
    },
    /// The remote server was unreachable for longer than the gateway keeps a device.
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
    /// The close reason that is sent to the device.
    pub fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::InitFailed { .. } => close::INIT_FAILED,
            Self::NotTaken | Self::Released => close::INTERNAL,
            Self::Refused { .. } => close::UPSTREAM_REFUSED,
            Self::Away(_) => close::UPSTREAM_AWAY,
        };
        match self {
            Self::InitFailed { hint, .. } => CloseReason::new(code, format!("{self}: {hint}")),
            other => CloseReason::new(code, other.to_string()),
        }
    }
}

impl Advice for UpstreamError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::InitFailed { hint, .. } => hint,
            Self::NotTaken => "an older device with this address is still being let go; it may connect again",
            Self::Refused { code: None, reason } if reason.is_empty() => {
                "usually upstream's UDCF has no entry for this identifier, or upstream still holds the address; check \
                 upstream's log, and its UDCF with wsdm-gateway udcf check FILE"
            }
            Self::Refused { .. } => "the reason is upstream's: check its log",
            Self::Away(_) => "is it running, and does it listen there? The device may connect again",
            Self::Released => "a fault inside the Buttplug server; the lines before this one may say more",
        };
        Some(hint.into())
    }
}

/// Why a session ended. Decides the log level and the close reason.
#[derive(Debug, thiserror::Error)]
pub enum Disconnect {
    /// The link ended.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// The upstream half ended.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// A newer connection has the address.
    #[error("replaced by a newer connection with the same address")]
    Replaced,
    /// What the configuration says of the device changed; it may connect again.
    #[error("its configuration changed")]
    Reconfigured,
    /// The gateway stops.
    #[error("the gateway is stopping")]
    Stopping,
}

impl Disconnect {
    /// The close reason that is sent to the device, if it is still connected.
    pub fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::Upstream(e) => return e.close_reason(),
            // Echoes the code of the device's own Close frame.
            Self::Link(LinkError::Closed { code, .. }) => code.unwrap_or(1000),
            Self::Link(LinkError::TooLarge(_)) => close::TOO_LARGE,
            Self::Link(LinkError::NotUtf8(_)) => close::INVALID_HANDSHAKE,
            Self::Link(LinkError::Protocol(_)) => close::PROTOCOL_ERROR,
            Self::Link(LinkError::Silent(_) | LinkError::Lost(_) | LinkError::NotTaken(_)) => close::TIMEOUT,
            Self::Replaced => close::REPLACED,
            Self::Reconfigured | Self::Stopping => close::GOING_AWAY,
        };
        CloseReason::new(code, self.to_string())
    }

    pub(super) fn log(&self) {
        match self {
            Self::Upstream(e) => warn!("device gone: {}", e.with_hint()),
            Self::Link(LinkError::Closed { .. }) | Self::Replaced | Self::Reconfigured | Self::Stopping => {
                info!("device gone: {self}")
            }
            Self::Link(LinkError::Protocol(violation)) => warn!("device gone: {self}; {}", violation.hint),
            Self::Link(_) => warn!("device gone: {self}"),
        }
    }

    /// Whether the link may still carry the stop. If a Close frame can be tried, so can a stop before it.
    pub(super) fn leaves_link_usable(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Replaced | Self::Reconfigured | Self::Stopping => true,
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

    /// Whether the device is known to have received the last write.
    pub(super) fn proves_receipt(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Reconfigured | Self::Stopping => true,
            Self::Link(e) => matches!(
                e,
                LinkError::TooLarge(_) | LinkError::NotUtf8(_) | LinkError::Protocol(_)
            ),
            // A link that is being replaced may have hung, and accept bytes that never arrive.
            Self::Replaced => false,
        }
    }
}
