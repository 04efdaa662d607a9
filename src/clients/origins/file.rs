//! The file that remembers which web pages may be apps, beside the state file.
//!
//! It is replaced atomically. A file that cannot be understood counts as empty; it is kept under another name before it is
//! replaced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Verdict;
use crate::udcf::edit::{back_up, replace};

/// The version of the file's format.
const VERSION: u32 = 1;

type Verdicts = BTreeMap<String, Verdict>;

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    origins: Verdicts,
}

/// Where answers are remembered; nowhere without a path.
pub(super) struct OriginsFile(Option<PathBuf>);

/// An answer is not remembered beyond this run.
#[derive(Debug, thiserror::Error)]
#[error("this holds until the gateway stops, and is not remembered: {} cannot be written: {source}", path.display())]
pub struct SaveError {
    path: PathBuf,
    source: io::Error,
}

/// Why nothing is known from the file.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("cannot be used: {0}")]
    NotOurs(String),
}

impl OriginsFile {
    /// Reads the file that belongs to a state file.
    pub(super) fn open(state_file: Option<&Path>) -> (Self, Verdicts) {
        // People who want nothing remembered name `/dev/null` as the state file.
        let state_file =
            state_file.filter(|path| std::fs::metadata(path).map_or(true, |there| there.is_file()));
        let Some(path) = state_file.map(|path| path.with_extension("origins.json")) else {
            return (Self(None), Verdicts::new());
        };
        let verdicts = read(&path).unwrap_or_else(|e| {
            warn!(
                "no web page is remembered as blocked or admitted: {} {e}; mend it and start again, or answer again on the \
                 page",
                path.display()
            );
            Some(Verdicts::new())
        });
        (Self(Some(path)), verdicts.unwrap_or_default())
    }

    /// Writes what is remembered of one origin. Another gateway may use the file too, so the others stay as the file has
    /// them. Blocks until it is on the disk.
    pub(super) fn save(&self, origin: &str, verdicts: &Verdicts) -> Result<(), SaveError> {
        let Some(path) = &self.0 else { return Ok(()) };
        write(path, origin, verdicts).map_err(|source| {
            let error = SaveError {
                path: path.clone(),
                source,
            };
            warn!("{origin:?}: {error}");
            error
        })
    }
}

fn write(path: &Path, origin: &str, verdicts: &Verdicts) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let origins = match read(path) {
        Ok(Some(mut origins)) => {
            match verdicts.get(origin) {
                Some(verdict) => origins.insert(origin.to_owned(), *verdict),
                None => origins.remove(origin),
            };
            origins
        }
        Ok(None) => verdicts.clone(),
        Err(ReadError::Unreadable(e)) => return Err(e),
        Err(e @ ReadError::NotOurs(_)) => {
            let copy = back_up(path)?;
            warn!(
                "{} {e}; it is kept as {}, and replaced",
                path.display(),
                copy.display()
            );
            verdicts.clone()
        }
    };
    let content = Content {
        version: VERSION,
        origins,
    };
    let text = serde_json::to_string_pretty(&content).map_err(io::Error::other)?;
    replace(path, &(text + "\n"))
}

/// Reads the file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Verdicts>, ReadError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            return Err(ReadError::NotOurs("it is not UTF-8".to_owned()));
        }
        Err(e) => return Err(ReadError::Unreadable(e)),
    };
    let content: Content = serde_json::from_str(&text).map_err(|e| ReadError::NotOurs(e.to_string()))?;
    if content.version != VERSION {
        let problem = format!("its version is {}, not {VERSION}", content.version);
        return Err(ReadError::NotOurs(problem));
    }
    Ok(Some(content.origins))
}
