//! TLS on a port of the gateway's own.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{AlertDescription, Error, ServerConfig, ServerConnection, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificate::Certificate;
use super::fingerprint::Fingerprint;
use crate::advice::Advice;
use crate::defaults::{TLS_FRAGMENT_MAX_BYTES, TLS_SEND_BUFFER_BYTES};
use crate::net::stream::Stream;
use crate::net::visitor::TLS_HANDSHAKE;

/// Accepts TLS with one certificate.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    fingerprint: Fingerprint,
    warning: Option<&'static str>,
}

impl Acceptor {
    /// # Errors
    /// The key cannot be used for TLS.
    pub fn new(certificate: &Certificate) -> Result<Self, Error> {
        let key = certificate.key();
        // rustls makes no chain without one.
        let end_entity = key.end_entity_cert()?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate.resolver());
        // So boards get by with small buffers.
        config.max_fragment_size = Some(TLS_FRAGMENT_MAX_BYTES);
        // They resume nothing, and would have to read the tickets.
        config.send_tls13_tickets = 0;
        let p256 = key.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let len: usize = key.cert.iter().map(|certificate| certificate.len()).sum();
        let warning = match p256 {
            None => Some(
                "this project's firmware cannot check the certificate of the port for devices: its key is not of the \
                 kind ECDSA P-256",
            ),
            Some(_) if len > TLS_FRAGMENT_MAX_BYTES - FLIGHT_REST_MAX_BYTES => Some(
                "this project's firmware cannot take the certificate of the port for devices: it is too long with those \
                 that lead to its CA",
            ),
            Some(_) => None,
        };
        Ok(Self {
            fingerprint: Fingerprint::of(end_entity),
            warning,
            tls: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// The fingerprint of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Why boards with this project's firmware cannot connect by TLS, if so, as a sentence without its full stop.
    pub fn warning(&self) -> Option<&'static str> {
        self.warning
    }

    /// Looks at the first byte that the peer sends, and does the handshake if it is one of TLS; any other connection is
    /// left as it is. The caller sets the timeout. Not cancel safe: a dropped future drops the connection.
    ///
    /// # Errors
    /// The peer speaks no TLS, or does not accept the certificate; or the connection broke.
    pub async fn open(&self, tcp: TcpStream) -> Result<Stream, HandshakeError> {
        let mut first = [0];
        // Nothing arrives if the peer has left: reading finds out.
        let arrived = tcp.peek(&mut first).await.map_err(HandshakeError::Lost)?;
        if arrived == 0 || first != [TLS_HANDSHAKE] {
            return Ok(Stream::Plain(tcp));
        }
        let limited = |session: &mut ServerConnection| {
            session.set_buffer_limit(Some(TLS_SEND_BUFFER_BYTES));
        };
        // Boxed, so that the task of a plain connection does not hold space for it.
        match Box::pin(self.tls.accept_with(tcp, limited)).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream.into()))),
            Err(e) => Err(HandshakeError::of(e, self.fingerprint)),
        }
    }
}

/// What a flight of the server's handshake has besides its certificates: boards want it in one record.
const FLIGHT_REST_MAX_BYTES: usize = 512;

/// Why a TLS handshake came to nothing. The texts are few, so that the log can recognise repeats.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer does not take the certificate: it was given another fingerprint, or checks it against CAs.
    #[error("it does not accept this gateway's certificate")]
    Certificate(Fingerprint),
    /// The peer disconnected right after the handshake. In TLS 1.2 that is when a library can look at the certificate that it
    /// was sent, and it has no alert for what it finds.
    #[error("it left after the TLS handshake without a word")]
    Left(Fingerprint),
    /// The two have no version or algorithm in common.
    #[error("it speaks no TLS that the gateway speaks")]
    Incompatible,
    /// What it sent is not TLS, or breaks its rules.
    #[error("what it sends begins like TLS, and is not")]
    NotTls,
    /// The connection broke.
    #[error("connection lost during the TLS handshake: {0}")]
    Lost(io::Error),
}

impl HandshakeError {
    fn of(error: io::Error, fingerprint: Fingerprint) -> Self {
        let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) else {
            return Self::Lost(error);
        };
        match cause {
            Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            )
            | Error::PeerIncompatible(_) => Self::Incompatible,
            // Libraries differ in the alert that they send about a certificate.
            Error::AlertReceived(_) => Self::Certificate(fingerprint),
            _ => Self::NotTls,
        }
    }
}

impl Advice for HandshakeError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Left(fingerprint) => format!(
                "a board does that if it was given another fingerprint than {fingerprint}: on its console set fingerprint, \
                 save, restart"
            ),
            Self::Certificate(fingerprint) => format!(
                "give the board the fingerprint {fingerprint}: on its console set fingerprint, save, restart; a program \
                 that checks certificates against CAs needs one by such a CA, with tls_cert and tls_key in [devices]"
            ),
            Self::Incompatible => "it needs TLS 1.3, or 1.2 with ECDHE and AES-GCM or ChaCha20".to_owned(),
            Self::NotTls => "nothing to do for a port scan".to_owned(),
            Self::Lost(_) => return None,
        };
        Some(hint.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acceptor(algorithm: &'static rcgen::SignatureAlgorithm, certificates: usize) -> Acceptor {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pem");
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let pem = key.serialize_pem() + &certificate.pem().repeat(certificates);
        std::fs::write(&path, pem).unwrap();
        Acceptor::new(&Certificate::read(&path, &path).unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_that_boards_cannot_use_is_warned_of() {
        let warning =
            |algorithm, certificates| acceptor(algorithm, certificates).warning().unwrap_or_default();
        assert_eq!(warning(&rcgen::PKCS_ECDSA_P256_SHA256, 1), "");
        assert!(warning(&rcgen::PKCS_ECDSA_P384_SHA384, 1).contains("P-256"));
        assert!(warning(&rcgen::PKCS_ECDSA_P256_SHA256, 12).contains("too long"));
    }
}
