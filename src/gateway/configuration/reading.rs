//! What the files contain at one moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::watch::Stamps;
use crate::config::{Files, Loaded, Settings};
use crate::udcf::{DeviceConfiguration, Udcf};
use crate::web::api::Problem;

/// One reading of the files.
pub(super) struct Reading {
    /// What the files looked like just before they were read, so that a change meanwhile is noticed.
    pub(super) stamps: Stamps,
    /// Whether gateway.toml contained anything.
    pub(super) has_content: bool,
    /// What they contain, or why they cannot be used.
    pub(super) content: Result<Content, Problem>,
}

/// What the files contain.
pub(super) struct Content {
    pub(super) loaded: Loaded,
    pub(super) udcf: Arc<Udcf>,
    /// The UDCF with the server's own devices; `None` if it says the same as the one in force.
    pub(super) config: Option<Arc<DeviceConfiguration>>,
}

impl Reading {
    /// Reads the files. `had_content` is whether gateway.toml contained anything before: one that is gone or empty is taken
    /// for one that is being written, since much would end with it. `in_force` is the UDCF that was applied last, and
    /// `known` the files that were watched. May block.
    pub(super) fn of(files: &Files, had_content: bool, known: &[PathBuf], in_force: &Arc<Udcf>) -> Self {
        let mut stamps = Stamps::of(known);
        let mut content = content(files, &mut stamps, in_force);
        // Last: it may have been emptied while it was read.
        let has_content = has_content(files);
        if had_content && !has_content {
            content = Err(lost(files));
        }
        Self {
            stamps,
            has_content,
            content,
        }
    }
}

fn content(files: &Files, stamps: &mut Stamps, in_force: &Arc<Udcf>) -> Result<Content, Problem> {
    regular(files.gateway.as_deref())?;
    let loaded = files.load().map_err(|e| Problem::of(&e))?;
    let path = loaded.settings.udcf.as_deref();
    stamps.add(&watched(&loaded.settings));
    regular(path)?;
    let udcf = match path {
        Some(path) => Udcf::load(path).map_err(|e| Problem::of(&e))?,
        None => Udcf::builtin(),
    };
    // Loading the server's own devices takes long.
    let config = if udcf.says_the_same(in_force) {
        None
    } else {
        Some(udcf.device_configuration().map_err(|e| Problem::of(&e))?)
    };
    Ok(Content {
        loaded,
        udcf: Arc::new(udcf),
        config,
    })
}

/// Whether gateway.toml exists and is not empty.
pub(super) fn has_content(files: &Files) -> bool {
    let file = files.gateway.as_ref();
    file.is_some_and(|file| {
        file.metadata()
            .is_ok_and(|file| file.len() > 0 || !file.is_file())
    })
}

fn lost(files: &Files) -> Problem {
    let path = files.gateway.as_deref().unwrap_or(Path::new(""));
    let what = if path.exists() { "is empty" } else { "is gone" };
    Problem {
        error: format!("{}: {what}", path.display()),
        hint: Some("to run without what it contained, start the gateway again".to_owned()),
    }
}

/// Refuses what is no regular file: a pipe would keep every later change waiting.
fn regular(path: Option<&Path>) -> Result<(), Problem> {
    match path {
        Some(path) if path.metadata().is_ok_and(|file| !file.is_file()) => Err(Problem {
            error: format!("{}: is no regular file", path.display()),
            hint: Some("put a regular file in its place".to_owned()),
        }),
        _ => Ok(()),
    }
}

/// The files whose changes are applied.
pub(super) fn watched(settings: &Settings) -> Vec<PathBuf> {
    let udcf = settings.udcf.clone().or_else(|| settings.files.own_udcf());
    settings.files.gateway.clone().into_iter().chain(udcf).collect()
}
