//! The certificate that the gateway makes for itself, once, and the file that keeps it with its private key.
//!
//! Boards know the gateway by this certificate alone, so the file is never replaced: if it is damaged, somebody has to
//! decide.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair};
use tracing::info;

use super::certificate::{Certificate, TlsError};
use crate::advice::Advice;

/// What the certificate is called.
const NAME: &str = "wsdm-gateway";

/// Why there is no certificate of the gateway's own.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file is there, and cannot be used.
    #[error("the certificate of the port for devices: {source}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TlsError>,
    },
    /// The file cannot be written.
    #[error("the certificate of the port for devices cannot be kept in {}: {source}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The certificate cannot be made.
    #[error("no certificate can be made for the port for devices: {0}")]
    NotMade(#[from] rcgen::Error),
}

impl Advice for KeptError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Damaged { path, source } => {
                let path = path.display();
                match &**source {
                    TlsError::Unreadable { .. } => {
                        format!("{path} has to be a file that the gateway's user can read")
                    }
                    _ => format!(
                        "take {path} from a backup; or remove it, and another certificate is made, whose fingerprint \
                         every board has to be given"
                    ),
                }
            }
            Self::Unwritable { .. } => {
                "let the gateway write there, choose another place with --state, or give certificate and key as files \
                 with tls_cert and tls_key in [devices]"
                    .to_owned()
            }
            Self::NotMade(_) => "give one with tls_cert and tls_key in [devices]".to_owned(),
        };
        Some(hint.into())
    }
}

/// Where the certificate is kept that belongs to this state file. `None` if nothing is remembered: people name
/// `/dev/null` for that.
pub fn place(state_file: Option<&Path>) -> Option<PathBuf> {
    let regular = |path: &&Path| std::fs::metadata(path).map_or(true, |there| there.is_file());
    Some(state_file.filter(regular)?.with_extension("tls.pem"))
}

impl Certificate {
    /// The certificate in this file, with its key; `None` if there is no such file.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn kept(path: &Path) -> Result<Option<Self>, KeptError> {
        let damaged = |source| KeptError::Damaged {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let pem = match std::fs::read(path) {
            Ok(pem) => pem,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(damaged(TlsError::Unreadable {
                    path: path.to_owned(),
                    source,
                }));
            }
        };
        let read = Self::from_pem(path, path, (pem.clone(), pem));
        read.map(Some).map_err(damaged)
    }

    /// The certificate in this file; makes it first if there is none.
    ///
    /// # Errors
    /// The file cannot be used, or not be written.
    pub fn kept_or_made(path: &Path) -> Result<Self, KeptError> {
        if let Some(kept) = Self::kept(path)? {
            return Ok(kept);
        }
        match write_new(path, &make()?) {
            Ok(()) => info!(
                "made a certificate for TLS with devices: {}; boards that know another one will not connect",
                path.display()
            ),
            // Another gateway has just made one.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(KeptError::Unwritable {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        // What counts is what every later start will find.
        Self::kept(path)?.ok_or_else(|| KeptError::Unwritable {
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }
}

/// A certificate for any date, and its key, as PEM. It names this machine for those who check that; boards do not.
fn make() -> Result<String, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, NAME);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

/// Writes a file that only its owner can read, whole or not at all, and only if there is none.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    // Such a file is made for its owner alone.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|e| e.error)?;
    // Boards are given its fingerprint at once: its name has to outlive a power failure too.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Whether others than its owner can read this file.
#[cfg(unix)]
pub fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

/// Whether others than its owner can read this file: that is for the folder to say on this system.
#[cfg(not(unix))]
pub fn is_readable_by_others(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(Some(&folder.path().join("deep/state.json"))).unwrap();
        assert!(path.ends_with("deep/state.tls.pem"));
        assert!(Certificate::kept(&path).unwrap().is_none());
        let made = Certificate::kept_or_made(&path).unwrap();
        assert!(!is_readable_by_others(&path));
        assert_eq!(Certificate::kept_or_made(&path).unwrap(), made);
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let another = folder.path().join("another.pem");
        assert_ne!(Certificate::kept_or_made(&another).unwrap(), made);
    }

    #[test]
    fn a_damaged_file_is_an_error_with_a_hint_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.tls.pem");
        Certificate::kept_or_made(&path).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        let key_only = whole.split("-----BEGIN CERT").next().unwrap().to_owned();
        let half = whole[..whole.len() / 2].to_owned();
        for damaged in [String::new(), "x".to_owned(), key_only, half] {
            std::fs::write(&path, &damaged).unwrap();
            let error = Certificate::kept_or_made(&path).unwrap_err();
            assert!(matches!(error, KeptError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("state.tls.pem"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("backup")));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = Certificate::kept_or_made(&path).unwrap_err();
        assert!(
            error.hint().is_some_and(|hint| hint.contains("can read")),
            "{error}"
        );
    }

    #[test]
    fn no_place_to_write_is_an_error_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = Certificate::kept_or_made(&folder.path().join("file/state.tls.pem")).unwrap_err();
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
        assert_eq!(place(None), None);
        #[cfg(unix)]
        assert_eq!(place(Some(Path::new("/dev/null"))), None);
    }
}
