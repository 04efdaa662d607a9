//! The certificate by which this program shows who it is, and its private key.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::advice::Advice;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file does not exist or cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A PEM block in a file is broken.
    #[error("{} is not a PEM file: {source}", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file of the certificate contains none.
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The file of the key contains none, or one with a password.
    #[error("{} holds no private key without a password", .0.display())]
    NoKey(PathBuf),
    /// The two do not belong together, or are of a kind that is not known.
    #[error("{} and {} cannot be used together: {source}", .certificate.display(), .key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

impl Advice for TlsError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Unreadable { .. } => "give the paths of the files with the certificate and its private key",
            Self::NoKey(_) => {
                "give the key as PEM, without a password; openssl pkey -in FILE -out key.pem takes a password off"
            }
            Self::NotPem { .. } | Self::NoCertificate(_) => {
                "give the certificate as PEM, the text that begins with -----BEGIN CERTIFICATE-----"
            }
            Self::Unusable { .. } => "give a certificate and the private key that it was made for",
        };
        Some(hint.into())
    }
}

/// A certificate chain and its private key.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    /// What was in the files, by which two are compared.
    pem: (Vec<u8>, Vec<u8>),
}

impl Certificate {
    /// Reads both from PEM files.
    ///
    /// # Errors
    /// [`TlsError`], which has a hint.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Unreadable {
                path: path.to_owned(),
                source,
            })
        };
        Self::from_pem(certificate, key, (read(certificate)?, read(key)?))
    }

    /// The same, of what was read from the two files.
    pub(super) fn from_pem(
        certificate: &Path,
        key: &Path,
        pem: (Vec<u8>, Vec<u8>),
    ) -> Result<Self, TlsError> {
        let not_pem = |path: &Path, source| TlsError::NotPem {
            path: path.to_owned(),
            source,
        };
        let chain = CertificateDer::pem_slice_iter(&pem.0)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| not_pem(certificate, e))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(certificate.to_owned()));
        }
        let private = PrivateKeyDer::from_pem_slice(&pem.1).map_err(|e| match e {
            pem::Error::NoItemsFound => TlsError::NoKey(key.to_owned()),
            e => not_pem(key, e),
        })?;
        let certified = CertifiedKey::from_der(chain, private, &ring::default_provider());
        let certified = certified.map_err(|source| TlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })?;
        Ok(Self {
            key: Arc::new(certified),
            pem,
        })
    }

    /// The chain, the end entity's certificate first, and its key.
    pub(super) fn key(&self) -> &CertifiedKey {
        &self.key
    }

    /// Presents this certificate to every peer that asks for one.
    pub(super) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(self.key.clone().into())
    }
}

/// Equal if the files were.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_an_unusable_file_names_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("client.pem"), folder.path().join("client.key"));
        let made = rcgen::generate_simple_self_signed(["edge".to_owned()]).unwrap();
        let (pem, private) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other = rcgen::generate_simple_self_signed(["edge".to_owned()]).unwrap();
        let other = other.signing_key.serialize_pem();
        let read = |pem: &str, private: &str| {
            std::fs::write(&certificate, pem).unwrap();
            std::fs::write(&key, private).unwrap();
            Certificate::read(&certificate, &key)
        };
        let refused = |read: Result<Certificate, TlsError>, named: &str| {
            let refused = read.unwrap_err();
            assert!(refused.to_string().contains(named), "{refused}");
            assert!(refused.hint().is_some_and(|hint| !hint.is_empty()));
            refused
        };
        let missing = Certificate::read(&certificate, &key);
        assert!(matches!(
            refused(missing, "client.pem"),
            TlsError::Unreadable { .. }
        ));
        let empty = read("", &private);
        assert!(matches!(refused(empty, "client.pem"), TlsError::NoCertificate(_)));
        let swapped = read(&private, &pem);
        assert!(matches!(
            refused(swapped, "client.pem"),
            TlsError::NoCertificate(_)
        ));
        let no_key = read(&pem, &pem);
        assert!(matches!(refused(no_key, "client.key"), TlsError::NoKey(_)));
        let locked = private.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(matches!(
            refused(read(&pem, &locked), "client.key"),
            TlsError::NoKey(_)
        ));
        let broken = "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n";
        assert!(matches!(
            refused(read(&pem, broken), "client.key"),
            TlsError::NotPem { .. }
        ));
        let of_another = read(&pem, &other);
        assert!(matches!(
            refused(of_another, "client.key"),
            TlsError::Unusable { .. }
        ));

        let good = read(&pem, &private).unwrap();
        assert_eq!(good, read(&pem, &private).unwrap());
        assert!(!format!("{good:?}").contains("PRIVATE"));
    }
}
