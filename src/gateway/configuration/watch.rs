//! Notices that a file changed.
//!
//! Files are looked at, since that works for every file system, for links, and for editors that replace a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The time between two looks at the files. A change is applied once a file stayed the same from one to the next.
pub(super) const POLL: Duration = Duration::from_millis(300);

/// What files look like without being read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    file: (u64, u64, i64),
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            file: {
                use std::os::unix::fs::MetadataExt;
                (metadata.dev(), metadata.ino(), metadata.ctime_nsec())
            },
        })
    }
}

impl Stamps {
    /// Looks at these files.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| (file.clone(), Stamp::of(file))).collect())
    }

    /// The files.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }

    /// Looks at those of these files that were not looked at yet.
    pub(super) fn add(&mut self, files: &[PathBuf]) {
        for file in files {
            self.0.entry(file.clone()).or_insert_with(|| Stamp::of(file));
        }
    }
}
