//! Changes of the configuration while the gateway runs: by the page, by a person who edits a file, by `reload`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::advice::Advice;
use crate::config::Files;
use crate::udcf::Udcf;
use crate::udcf::edit::{back_up, replace};
use crate::web::api::Problem;
use crate::web::view::configuration::{Changed, Configuration, Edit, FileText};

/// The configuration files, and what is in force of them.
#[derive(Clone)]
pub(super) struct Reloader(Arc<Inner>);

struct Inner {
    files: Files,
    /// Held while files are read, written and applied.
    changing: tokio::sync::Mutex<()>,
    problem: Mutex<Option<Problem>>,
}

impl Reloader {
    pub(super) fn new(files: Files) -> Self {
        Self(Arc::new(Inner {
            files,
            changing: tokio::sync::Mutex::default(),
            problem: Mutex::default(),
        }))
    }
}

impl Configuration for Reloader {
    fn udcf(&self) -> BoxFuture<'static, Result<FileText, Problem>> {
        let inner = self.0.clone();
        blocking(move || inner.udcf())
    }

    fn gateway_toml(&self) -> BoxFuture<'static, Result<FileText, Problem>> {
        let inner = self.0.clone();
        blocking(move || inner.gateway_toml())
    }

    fn change_udcf(&self, edit: Edit) -> BoxFuture<'static, Result<Changed, Problem>> {
        let inner = self.0.clone();
        async move {
            let _changing = inner.changing.lock().await;
            let changing = inner.clone();
            let changed = blocking(move || {
                let old = changing.udcf()?;
                let name = old.path.clone().unwrap_or_default();
                change(&old, edit, |text| {
                    let udcf = Udcf::parse(text, &name.display().to_string()).map_err(|e| problem(&e))?;
                    Ok(udcf.warnings().to_vec())
                })
            })
            .await?;
            Ok(inner.apply().await?.with(changed))
        }
        .boxed()
    }

    fn change_gateway_toml(&self, edit: Edit) -> BoxFuture<'static, Result<Changed, Problem>> {
        let inner = self.0.clone();
        async move {
            let _changing = inner.changing.lock().await;
            let changing = inner.clone();
            let changed = blocking(move || {
                let old = changing.gateway_toml()?;
                change(&old, edit, |text| {
                    let loaded = changing.files.load_with(text).map_err(|e| problem(&e))?;
                    Ok(loaded.warnings)
                })
            })
            .await?;
            Ok(inner.apply().await?.with(changed))
        }
        .boxed()
    }

    fn reload(&self) -> BoxFuture<'static, Result<Changed, Problem>> {
        let inner = self.0.clone();
        async move {
            let _changing = inner.changing.lock().await;
            inner.apply().await
        }
        .boxed()
    }

    fn problem(&self) -> Option<Problem> {
        lock(&self.0.problem).clone()
    }
}

impl Inner {
    fn udcf(&self) -> Result<FileText, Problem> {
        let loaded = self.files.load().map_err(|e| problem(&e))?;
        let path = loaded.settings.udcf.or_else(|| self.files.own_udcf());
        read(path, || Udcf::builtin().to_json())
    }

    fn gateway_toml(&self) -> Result<FileText, Problem> {
        read(self.files.gateway.clone(), String::new)
    }

    /// Applies what the files contain.
    async fn apply(self: &Arc<Self>) -> Result<Changed, Problem> {
        let this = self.clone();
        let loaded = blocking(move || this.files.load().map_err(|e| problem(&e))).await;
        *lock(&self.problem) = loaded.as_ref().err().cloned();
        loaded?;
        Ok(Changed::default())
    }
}

fn read(path: Option<PathBuf>, otherwise: impl FnOnce() -> String) -> Result<FileText, Problem> {
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
fn change(
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

pub(super) fn problem<E: std::fmt::Display + Advice>(e: &E) -> Problem {
    Problem {
        error: e.to_string(),
        hint: e.hint().map(std::borrow::Cow::into_owned),
    }
}

/// Runs what reads and writes files where it may block.
pub(super) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> BoxFuture<'static, Result<T, Problem>> {
    async move {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|e| {
            Err(Problem {
                error: format!("a fault inside the gateway: {e}"),
                hint: None,
            })
        })
    }
    .boxed()
}

/// No code here panics while it holds the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
