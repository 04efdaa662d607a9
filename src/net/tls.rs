//! TLS to dialled servers, and on the port for devices. The trusted certificates are read once.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, pem};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::advice::Advice;

mod certificate;
mod fingerprint;
pub mod kept;
pub mod server;

pub use certificate::{Certificate, TlsError};
use fingerprint::Pinned;
pub use fingerprint::{Fingerprint, NoFingerprint};

/// Why a CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file does not exist or cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file contains no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A PEM block in the file is broken.
    #[error("{} is not a PEM file: {source}", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A certificate in the file cannot be used as a CA: it is broken or of another kind.
    #[error("{} holds a certificate that cannot be used: {source}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
}

impl Advice for CaError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Unreadable { .. } => "give the path of the file with the CA's certificate",
            _ => {
                "give the CA's certificate as PEM, the text that begins with -----BEGIN CERTIFICATE-----; \
                 openssl x509 -inform der -in FILE -out ca.pem makes it from DER"
            }
        };
        Some(hint.into())
    }
}

/// The system has no CA certificates, with the reason if one is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this system has no CA certificates to check a server with{}", .0)]
pub struct NoRoots(String);

impl Advice for NoRoots {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = "install the system's CA certificates (on Debian the package ca-certificates), or give a CA of \
                    your own with --upstream-ca FILE (simulate: --ca FILE; for a broker ca = \"FILE\" in [mqtt])";
        Some(hint.into())
    }
}

/// The trusted certificates, and that of this program if it has one. The system's are read at the first connection, and
/// clones share them.
#[derive(Clone)]
pub struct Tls(Arc<Roots>);

struct Roots {
    /// How the system's CAs are read.
    read: fn() -> Result<RootCertStore, NoRoots>,
    connector: OnceLock<Result<TlsConnector, NoRoots>>,
    /// What is trusted in place of the system's CAs.
    own: Option<Own>,
    client: Option<Certificate>,
}

/// What one is told to trust.
#[derive(Clone)]
enum Own {
    /// The CAs in a PEM file, and the file.
    Cas { roots: Arc<RootCertStore>, pem: Vec<u8> },
    /// One certificate.
    Pin(Fingerprint),
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cas { pem, .. }, Self::Cas { pem: other, .. }) => pem == other,
            (Self::Pin(one), Self::Pin(other)) => one == other,
            _ => false,
        }
    }
}

impl Tls {
    /// Trusts the system's CAs, or those that `SSL_CERT_FILE` or `SSL_CERT_DIR` name. Reads them at the first use.
    pub fn system() -> Self {
        Self::new(system_roots, None, None)
    }

    /// Trusts only the CAs in this PEM file.
    ///
    /// # Errors
    /// [`CaError`], which has a hint.
    pub fn with_ca(path: &Path) -> Result<Self, CaError> {
        let path_buf = || path.to_owned();
        let pem = std::fs::read(path).map_err(|source| CaError::Unreadable {
            path: path_buf(),
            source,
        })?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|source| CaError::NotPem {
                path: path_buf(),
                source,
            })?;
            roots.add(certificate).map_err(|source| CaError::Unusable {
                path: path_buf(),
                source,
            })?;
        }
        if roots.is_empty() {
            return Err(CaError::Empty(path_buf()));
        }
        let roots = Arc::new(roots);
        Ok(Self::new(system_roots, Some(Own::Cas { roots, pem }), None))
    }

    /// Trusts the server that has the certificate with this fingerprint, whatever its name is, and no CA.
    pub fn pinned(fingerprint: Fingerprint) -> Self {
        Self::new(system_roots, Some(Own::Pin(fingerprint)), None)
    }

    /// Trusts the same, and presents this certificate to servers that ask for one. Both files are PEM; behind the
    /// certificate may stand those that lead to its CA.
    ///
    /// # Errors
    /// [`TlsError`], which has a hint.
    pub fn with_client_certificate(self, certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let client = Certificate::read(certificate, key)?;
        Ok(Self::new(self.0.read, self.0.own.clone(), Some(client)))
    }

    fn new(
        read: fn() -> Result<RootCertStore, NoRoots>,
        own: Option<Own>,
        client: Option<Certificate>,
    ) -> Self {
        Self(Arc::new(Roots {
            read,
            connector: OnceLock::new(),
            own,
            client,
        }))
    }

    /// The TLS connector. The first call reads the system's certificates, which takes tens of milliseconds: for when
    /// a program starts.
    ///
    /// # Errors
    /// [`NoRoots`].
    pub fn connector(&self) -> Result<&TlsConnector, NoRoots> {
        let Roots {
            read,
            connector: made,
            own,
            client,
        } = &*self.0;
        let connector = made.get_or_init(|| {
            let own = match own {
                Some(own) => own.clone(),
                None => Own::Cas {
                    roots: Arc::new(read()?),
                    pem: Vec::new(),
                },
            };
            Ok(connector(own, client.as_ref()))
        });
        connector.as_ref().map_err(Clone::clone)
    }

    /// The same while devices are served: the certificates are read on a thread of their own.
    pub(super) async fn loaded(&self) -> Result<&TlsConnector, NoRoots> {
        if self.0.connector.get().is_none() {
            let reading = self.clone();
            let read = move || reading.connector().map(|_| ());
            // If the runtime ends meanwhile, so does the caller.
            let _ = tokio::task::spawn_blocking(read).await;
        }
        self.connector()
    }
}

/// Equal if the same certificates are trusted and presented.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        one.own == other.own && one.client == other.client
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn system_roots() -> Result<RootCertStore, NoRoots> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems may contain certificates that are too old to parse; skip those.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|e| format!(": {e}"));
        return Err(NoRoots(why.unwrap_or_default()));
    }
    Ok(roots)
}

fn connector(trusted: Own, client: Option<&Certificate>) -> TlsConnector {
    // Explicit, since rustls cannot choose a default provider if a dependency enables a second one.
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring knows the default versions");
    let config = match trusted {
        Own::Cas { roots, .. } => config.with_root_certificates(roots),
        Own::Pin(fingerprint) => config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned {
                fingerprint,
                provider,
            })),
    };
    let config = match client {
        Some(client) => config.with_client_cert_resolver(client.resolver()),
        None => config.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// What to do about a failed TLS handshake with a board.
pub fn board_hint(error: &io::Error) -> &'static str {
    match rustls_error(error) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => {
            "its certificate is by a CA that is not known here: give its CA with ca = \"FILE\" in its [[dial]] entry"
        }
        _ => hint(error),
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What to do about a failed TLS handshake with a broker.
pub(super) fn broker_hint(error: &io::Error) -> &'static str {
    match rustls_error(error) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "its certificate is by a CA that is not known here: give its CA with ca = \"FILE\" in [mqtt]",
        Some(rustls::Error::InvalidCertificate(why)) => certificate_hint(why),
        Some(rustls::Error::AlertReceived(_)) => {
            "it may want a client certificate, by a CA that it knows: client_cert and client_key in [mqtt]; its log \
             says more"
        }
        Some(rustls::Error::InvalidMessage(_)) => "no TLS is spoken there; try mqtt:// instead of mqtts://",
        _ => "look at the broker's log; if it speaks no TLS, try mqtt:// instead of mqtts://",
    }
}

/// What to do about a failed TLS handshake.
pub(super) fn hint(error: &io::Error) -> &'static str {
    match rustls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => certificate_hint(why),
        Some(rustls::Error::InvalidMessage(_)) => "no TLS is spoken there; try ws:// instead of wss://",
        _ => "look at the server's log; if it speaks no TLS, try ws:// instead of wss://",
    }
}

fn certificate_hint(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is by a CA that is not known here: give its CA with --upstream-ca FILE (simulate: \
             --ca FILE)"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name: write the URL with the name that is in it, or make one for this \
             name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it there, and look at the clock here"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is of a later date: look at the clock here"
        }
        // What `openssl req -x509` makes: one certificate that is CA and server at once.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is a CA's own; make one for the server, signed by that CA (basicConstraints = CA:FALSE)"
        }
        _ => "its certificate cannot be used; make another one for the server",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    static TICKED: Mutex<Option<Receiver<()>>> = Mutex::new(None);

    /// Reads for as long as nothing else runs.
    fn read_until_ticked() -> Result<RootCertStore, NoRoots> {
        let ticked = TICKED.lock().unwrap().take().expect("read once");
        match ticked.recv_timeout(Duration::from_secs(10)) {
            Ok(()) => Ok(RootCertStore::empty()),
            Err(_) => Err(NoRoots(": nothing else ran meanwhile".to_owned())),
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn certificates_are_read_while_devices_are_served() {
        let (tick, ticked) = channel();
        *TICKED.lock().unwrap() = Some(ticked);
        let tls = Tls::new(read_until_ticked, None, None);
        let (loaded, ()) = tokio::join!(tls.loaded(), async { tick.send(()).unwrap() });
        assert!(loaded.is_ok());
    }

    #[test]
    fn the_error_for_an_unusable_ca_file_names_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refused = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let refused = Tls::with_ca(&path).unwrap_err();
            assert!(refused.to_string().contains("ca.pem"), "{refused}");
            assert!(refused.hint().is_some_and(|hint| !hint.is_empty()));
            refused
        };
        assert!(matches!(refused(None), CaError::Unreadable { .. }));
        assert!(matches!(refused(Some("")), CaError::Empty(_)));
        assert!(matches!(refused(Some("MIIB")), CaError::Empty(_)));
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(matches!(refused(Some(broken)), CaError::NotPem { .. }));
        let other = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert!(matches!(refused(Some(other)), CaError::Unusable { .. }));
    }
}
