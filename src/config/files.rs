//! Where a configuration comes from, so that it can be read again while the gateway runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{ConfigError, Layers, Loaded, Secret, Shown, user_file};

/// The name of the UDCF beside gateway.toml that is used if the configuration names none.
const UDCF: &str = "udcf.json";

/// The files of a configuration, and the flags and variables that stand above them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// gateway.toml. The user's own may not exist; `None` if it was not named and the user has no home directory.
    pub gateway: Option<PathBuf>,
    /// Whether gateway.toml was named, and so must exist.
    is_named: bool,
    layers: Layers,
    /// What they came to when they were read.
    pub(super) shown: Vec<Shown>,
    /// The secrets among it, by key.
    pub(super) secrets: BTreeMap<String, Secret>,
}

impl Files {
    /// The files of a configuration that is read from `file`, or else from the user's own gateway.toml if it exists.
    pub(super) fn new(file: Option<&Path>, layers: Layers) -> Self {
        Self {
            gateway: file.map(Path::to_owned).or_else(user_file),
            is_named: file.is_some(),
            layers,
            shown: Vec::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// The keys of gateway.toml whose values differ from those of `other`.
    pub fn changed_keys(&self, other: &Self) -> Vec<String> {
        let value = |files: &Self, key: &str| {
            let shown = files.shown.iter().find(|shown| shown.key == key);
            (
                shown.map(|shown| shown.value.clone()),
                files.secrets.get(key).cloned(),
            )
        };
        let keys = self
            .shown
            .iter()
            .chain(&other.shown)
            .map(|shown| shown.key.clone());
        let keys: BTreeSet<String> = keys.collect();
        let differs = |key: &String| value(self, key) != value(other, key);
        keys.into_iter().filter(differs).collect()
    }

    /// The UDCF that is used if the configuration names none and this one exists: `udcf.json` beside gateway.toml.
    pub fn own_udcf(&self) -> Option<PathBuf> {
        Some(self.gateway.as_ref()?.parent()?.join(UDCF))
    }

    /// Whether the configuration was read from here, so that it can be read again.
    pub fn were_read(&self) -> bool {
        !self.shown.is_empty()
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        Loaded::read(self.clone(), self.layers.clone(), None)
    }

    /// As [`Files::load`], with this text in place of what gateway.toml contains.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load_with(&self, text: &str) -> Result<Loaded, ConfigError> {
        Loaded::read(self.clone(), self.layers.clone(), Some(text))
    }

    /// The gateway.toml to read; `None` if there is none.
    pub(super) fn to_read(&self) -> Option<&Path> {
        let file = self.gateway.as_deref()?;
        (self.is_named || file.exists()).then_some(file)
    }
}
