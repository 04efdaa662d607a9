//! Where sessions feed: a Buttplug server inside the gateway.

pub mod embedded;

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{Sink, Stream};

use crate::close::{self, CloseReason};
use crate::link::Frame;
use crate::registry::SessionHandle;
use embedded::Engine;

/// Where sessions feed.
#[derive(Clone)]
pub enum Upstream {
    /// The Buttplug server in here.
    Embedded(Arc<Engine>),
}

impl Upstream {
    /// The upstream half for a device that was let in.
    pub fn open(&self, session: &Arc<SessionHandle>) -> Box<dyn UpstreamIo> {
        match self {
            Self::Embedded(engine) => engine.open(session),
        }
    }
}

/// The upstream half of a session.
///
/// Asking for the next frame says that the previous one was written to the device: an upstream that reports
/// writes as done does so then. Sending never waits for long: what upstream cannot take is dropped there, the
/// oldest first, and counted.
pub trait UpstreamIo:
    Stream<Item = Result<Frame, UpstreamError>> + Sink<Frame, Error = UpstreamError> + Send + Unpin
{
    /// Lets go of upstream, and is done when upstream has forgotten the device (or a second has passed).
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
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
}

impl UpstreamError {
    /// What the device is told.
    pub fn close_reason(&self) -> CloseReason {
        let code = match self {
            Self::InitFailed => close::INIT_FAILED,
            Self::NotTaken | Self::Released => close::INTERNAL,
        };
        CloseReason::new(code, self.to_string())
    }

    /// One line on what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InitFailed => {
                "the device's answers to the protocol's first commands were not what the protocol expects \
                 (lovense: answer DeviceType; with text such as Z:11:AABBCCDDEEFF;)"
            }
            Self::NotTaken => "an older device with this address is still being let go; it may connect again",
            Self::Released => "a fault inside the Buttplug server; the lines before this one may say more",
        }
    }
}
