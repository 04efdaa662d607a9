//! The socket by which the command line sees into a gateway that runs.
//!
//! It is HTTP over a Unix socket that belongs to one user ([`socket`]), with one router ([`api`]) and a client for it
//! ([`client`]). Nothing listens on TCP here. Where there are no Unix sockets there is no control.

pub mod api;
#[cfg(unix)]
pub mod client;
#[cfg(unix)]
pub mod socket;

#[cfg(unix)]
pub use socket::Control;

/// No control socket, since the system has none.
#[cfg(not(unix))]
#[derive(Debug)]
pub enum Control {}

#[cfg(not(unix))]
impl Control {
    /// None.
    pub async fn open_or_warn(_: &ControlAt, _: u16) -> Option<Self> {
        None
    }

    /// Never called.
    pub async fn serve(
        self,
        _: std::sync::Arc<crate::session::registry::Registry>,
        _: tokio_util::sync::CancellationToken,
    ) {
        match self {}
    }
}
