//! TLS on the port for devices: the certificate that is given, or the gateway's own.

use std::path::Path;

use tracing::warn;

use super::GatewayError;
use crate::config::DeviceTls;
use crate::net::tls::server::Acceptor;
use crate::net::tls::{Certificate, kept};

/// What accepts TLS on the port for devices. Makes a certificate if none is given, and none is kept beside the state
/// file.
pub(super) fn acceptor(tls: &DeviceTls, state_file: Option<&Path>) -> Result<Acceptor, GatewayError> {
    let certificate = match (&tls.certificate, kept::place(state_file)) {
        (Some(given), _) => given.clone(),
        (None, Some(path)) => Certificate::kept_or_made(&path)?,
        (None, None) => return Err(GatewayError::NoCertificate),
    };
    let acceptor = Acceptor::new(&certificate).map_err(GatewayError::Tls)?;
    if let Some(warning) = acceptor.warning() {
        warn!("{warning}");
    }
    Ok(acceptor)
}
