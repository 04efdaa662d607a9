//! The socket through which the command line inspects a running gateway.
//!
//! It serves HTTP on a Unix socket that only its owner can use ([`socket`]), with the router of [`super::api`] and a client
//! ([`client`]). Nothing listens on TCP. Systems without Unix sockets have no control socket.

#[cfg(unix)]
pub mod client;
#[cfg(unix)]
pub mod socket;

#[cfg(unix)]
pub use socket::Control;

/// Stands in for the control socket on systems without Unix sockets.
#[cfg(not(unix))]
#[derive(Debug)]
pub enum Control {}

#[cfg(not(unix))]
impl Control {
    /// Always returns `None`.
    pub async fn open_or_warn(_: &ControlAt, _: u16) -> Option<Self> {
        None
    }

    /// Cannot be called, since there are no values of this type.
    pub async fn serve(self, _: crate::web::view::View) {
        match self {}
    }
}
