//! Reads and writes the configuration files.

use std::path::{Path, PathBuf};

use crate::udcf::edit::{back_up, replace};
use crate::web::api::Problem;
use crate::web::view::configuration::{Changed, Edit, FileText};

/// Reads a file; `otherwise` is the text of one that does not exist.
pub(super) fn read(path: Option<PathBuf>, otherwise: impl FnOnce() -> String) -> Result<FileText, Problem> {
    let text = match &path {
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                let error = format!("{}: cannot be read: {e}", path.display());
                return Err(Problem { error, hint: None });
            }
        },
        None => None,
    };
    Ok(FileText {
        path,
        exists: text.is_some(),
        text: text.unwrap_or_else(otherwise),
    })
}

/// Edits a file, checks the new text, keeps the old file, and writes the new one.
pub(super) fn change(
    old: &FileText,
    edit: Edit,
    check: impl FnOnce(&str) -> Result<Vec<String>, Problem>,
) -> Result<Changed, Problem> {
    let Some(path) = &old.path else {
        return Err(Problem {
            error: "there is no file to write: this user has no home directory".to_owned(),
            hint: Some("start the gateway with --config gateway.toml".to_owned()),
        });
    };
    let new = edit(&old.text)?;
    let mut changed = Changed {
        warnings: check(&new)?,
        ..Changed::default()
    };
    if old.exists && new == old.text {
        return Ok(changed);
    }
    let write = |path: &Path| -> std::io::Result<Option<PathBuf>> {
        if !old.exists
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder)?;
        }
        let backup = old.exists.then(|| back_up(path)).transpose()?;
        replace(path, &new)?;
        Ok(backup)
    };
    let backup = write(path).map_err(|e| Problem {
        error: format!("{}: cannot be written: {e}", path.display()),
        hint: Some("the file is unchanged; check the owner and mode of its directory".to_owned()),
    })?;
    changed.file = Some(path.display().to_string());
    changed.backup = backup.map(|backup| backup.display().to_string());
    Ok(changed)
}

/// Puts a file back to what it was before a change that cannot be applied.
pub(super) fn restore(old: &FileText) -> Result<(), Problem> {
    let Some(path) = &old.path else { return Ok(()) };
    let restored = if old.exists {
        replace(path, &old.text)
    } else {
        std::fs::remove_file(path)
    };
    restored.map_err(|e| Problem {
        error: format!("{}: cannot be put back to what it was: {e}", path.display()),
        hint: old.exists.then(|| "its backup is beside it".to_owned()),
    })
}
