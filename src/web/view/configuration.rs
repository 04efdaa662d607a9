//! The configuration files as the views see them.

use std::path::PathBuf;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::web::api::Problem;

/// Makes the new text of a file from the old one; changes nothing else.
pub type Edit = Box<dyn FnOnce(&str) -> Result<String, Problem> + Send>;

/// The configuration files of a running gateway. Changes are made one after the other.
pub trait Configuration: Send + Sync {
    /// The UDCF. If none is configured: the built-in text, and the file that a change creates.
    fn udcf(&self) -> BoxFuture<'static, Result<FileText, Problem>>;

    /// gateway.toml; an empty text if there is none yet.
    fn gateway_toml(&self) -> BoxFuture<'static, Result<FileText, Problem>>;

    /// Edits the UDCF, and applies it. The old file is kept as a backup.
    ///
    /// # Errors
    /// The edit's own, or why the new text cannot be used or written. The file and what is in force are unchanged then.
    fn change_udcf(&self, edit: Edit) -> BoxFuture<'static, Result<Changed, Problem>>;

    /// Edits gateway.toml, and applies it. The old file is kept as a backup.
    ///
    /// # Errors
    /// As [`Configuration::change_udcf`].
    fn change_gateway_toml(&self, edit: Edit) -> BoxFuture<'static, Result<Changed, Problem>>;

    /// Reads both files again, and applies what changed.
    ///
    /// # Errors
    /// Why they cannot be used. What is in force is unchanged then.
    fn reload(&self) -> BoxFuture<'static, Result<Changed, Problem>>;

    /// Why the newest files are not in force; `None` if they are.
    fn problem(&self) -> Option<Problem>;
}

/// A file with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Where it is, or would be; `None` if the user has no home directory.
    pub path: Option<PathBuf>,
    /// Whether it exists.
    pub exists: bool,
    /// What it contains, or would contain before the first change.
    pub text: String,
}

/// What a change of the configuration came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// The file that was written; `null` if none was.
    pub file: Option<String>,
    /// The copy of the version before.
    pub backup: Option<String>,
    /// What was applied, one sentence each.
    pub applied: Vec<String>,
    /// The keys of gateway.toml that changed and take effect at the next start.
    pub after_restart: Vec<String>,
    /// What holds, but hardly does what is meant, one sentence each.
    pub warnings: Vec<String>,
}

impl Changed {
    /// This, which was applied, with what was written before.
    #[must_use]
    pub fn with(self, written: Self) -> Self {
        let mut warnings = written.warnings;
        warnings.extend(
            self.warnings
                .into_iter()
                .filter(|warning| !warnings.contains(warning))
                .collect::<Vec<_>>(),
        );
        Self {
            file: written.file,
            backup: written.backup,
            warnings,
            ..self
        }
    }
}
