//! Changes of the configuration while the gateway runs: by the page, by a person who edits a file, by `reload`.
//!
//! - `files`: edits the files.
//! - `reading`: what they contain at one moment.
//! - `watch`: notices that a file changed.

mod files;
mod reading;
mod watch;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch::Sender;
use tokio::time::sleep;
use tracing::{info, warn};

use super::boards::{Boards, unknown_identifiers};
use crate::config::{BleSettings, DialSettings, Files, SerialSettings, Settings};
use crate::ingress::Intake;
use crate::session::ends::Disconnect;
use crate::session::registry::SessionHandle;
use crate::udcf::Udcf;
use crate::upstream::embedded::Engine;
use crate::web::api::{Problem, blocking};
use crate::web::port::access::Access;
use crate::web::view::configuration::{Changed, Configuration, Edit, FileText};
use files::{change, read, restore};
use reading::{Reading, watched};

/// The sections that are applied while the gateway runs.
const LIVE: [&str; 4] = ["serial", "ble", "dial", "udcf"];

/// Keys of other sections that are applied while the gateway runs.
const LIVE_KEYS: [&str; 2] = ["page.password", "page.token"];

/// The boards that the gateway connects to, as the ingress tasks watch them.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) serial: Sender<Vec<Arc<SerialSettings>>>,
    pub(super) ble: Sender<Vec<Arc<BleSettings>>>,
    pub(super) dial: Sender<Vec<Arc<DialSettings>>>,
}

impl Entries {
    /// Replaces the entries; returns the sections of which some changed.
    pub(super) fn set(&self, boards: Boards, dial: Vec<DialSettings>) -> Vec<&'static str> {
        let changed = [
            ("serial", replace(&self.serial, boards.serial)),
            ("ble", replace(&self.ble, boards.ble)),
            ("dial", replace(&self.dial, dial)),
        ];
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(section, _)| section).collect()
    }
}

/// Receivers are notified only of changes.
fn replace<T: PartialEq>(sender: &Sender<Vec<Arc<T>>>, entries: Vec<T>) -> bool {
    let new: Vec<Arc<T>> = entries.into_iter().map(Arc::new).collect();
    sender.send_if_modified(|old| {
        let differs = *old != new;
        *old = new;
        differs
    })
}

/// The configuration files, and what is in force of them.
#[derive(Clone)]
pub(super) struct Reloader(Arc<Inner>);

struct Inner {
    files: Files,
    entries: Entries,
    intake: Arc<Intake>,
    /// `None` if devices are relayed.
    engine: Option<Arc<Engine>>,
    /// `None` if the page is not served.
    access: Option<Access>,
    /// Locked while files are read, written and applied.
    in_force: tokio::sync::Mutex<InForce>,
    /// Why the newest files are not in force.
    problem: Mutex<Option<Problem>>,
}

/// What was applied last.
struct InForce {
    settings: Settings,
    udcf: Arc<Udcf>,
    /// Whether gateway.toml contained anything.
    has_content: bool,
    stamps: watch::Stamps,
}

impl Reloader {
    /// `settings` and `udcf` are in force.
    pub(super) fn new(
        settings: Settings,
        udcf: Udcf,
        entries: Entries,
        intake: Arc<Intake>,
        engine: Option<Arc<Engine>>,
        access: Option<Access>,
    ) -> Self {
        let stamps = watch::Stamps::of(&watched(&settings));
        let has_content = reading::has_content(&settings.files);
        Self(Arc::new(Inner {
            files: settings.files.clone(),
            entries,
            intake,
            engine,
            access,
            in_force: tokio::sync::Mutex::new(InForce {
                has_content,
                settings,
                udcf: Arc::new(udcf),
                stamps,
            }),
            problem: Mutex::default(),
        }))
    }

    pub(super) fn entries(&self) -> &Entries {
        &self.0.entries
    }

    /// The configuration and the UDCF that are in force. Waits for a change that is being applied.
    pub(super) async fn in_force(&self) -> (Settings, Arc<Udcf>) {
        let in_force = self.0.in_force.lock().await;
        (in_force.settings.clone(), in_force.udcf.clone())
    }

    /// Applies what somebody changes in the files, for ever. Cancel safe.
    pub(super) async fn watch(self) {
        if !self.0.files.were_read() {
            return std::future::pending().await;
        }
        loop {
            self.0.next_change().await;
            // It reports its own problem.
            let _ = self.reload().await;
        }
    }
}

/// Carries out a change even if the caller goes away: a file that is written is also applied.
fn to_the_end(
    change: impl Future<Output = Result<Changed, Problem>> + Send + 'static,
) -> BoxFuture<'static, Result<Changed, Problem>> {
    let change = tokio::spawn(change);
    async move { change.await.unwrap_or_else(|e| Err(Problem::fault(&e))) }.boxed()
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
        let check = |_: &Inner, text: &str, path: &Path| {
            let udcf = Udcf::parse(text, &path.display().to_string()).map_err(|e| Problem::of(&e))?;
            Ok(udcf.warnings().to_vec())
        };
        to_the_end(self.0.clone().change(Inner::udcf, check, edit))
    }

    fn change_gateway_toml(&self, edit: Edit) -> BoxFuture<'static, Result<Changed, Problem>> {
        let check = |inner: &Inner, text: &str, _: &Path| {
            let loaded = inner.files.load_with(text).map_err(|e| Problem::of(&e))?;
            Ok(loaded.warnings)
        };
        to_the_end(self.0.clone().change(Inner::gateway_toml, check, edit))
    }

    fn reload(&self) -> BoxFuture<'static, Result<Changed, Problem>> {
        let inner = self.0.clone();
        to_the_end(async move { inner.apply(&mut *inner.in_force.lock().await).await })
    }

    fn problem(&self) -> Option<Problem> {
        lock(&self.0.problem).clone()
    }
}

impl Inner {
    /// Edits the file that `read` reads, and applies it. A file that cannot be applied is as it was before.
    async fn change(
        self: Arc<Self>,
        read: fn(&Self) -> Result<FileText, Problem>,
        check: fn(&Self, &str, &Path) -> Result<Vec<String>, Problem>,
        edit: Edit,
    ) -> Result<Changed, Problem> {
        let mut in_force = self.in_force.lock().await;
        self.must_have_files()?;
        let this = self.clone();
        let written = blocking(move || {
            let old = read(&this)?;
            let path = old.path.clone().unwrap_or_default();
            let changed = change(&old, edit, |text| check(&this, text, &path))?;
            Ok((old, changed))
        });
        let (old, changed) = written.await?;
        // The page may remove the last entry of a file.
        let had_content = std::mem::take(&mut in_force.has_content);
        match self.apply(&mut in_force).await {
            Ok(applied) => Ok(applied.with(changed)),
            Err(problem) => {
                in_force.has_content = had_content;
                if changed.file.is_some() {
                    blocking(move || restore(&old)).await?;
                }
                Err(problem)
            }
        }
    }

    fn must_have_files(&self) -> Result<(), Problem> {
        if self.files.were_read() {
            return Ok(());
        }
        Err(Problem {
            error: "this gateway was not configured by files".to_owned(),
            hint: Some("start it with --config gateway.toml".to_owned()),
        })
    }

    fn udcf(&self) -> Result<FileText, Problem> {
        let loaded = self.files.load().map_err(|e| Problem::of(&e))?;
        let path = loaded.settings.udcf.or_else(|| self.files.own_udcf());
        read(path, || Udcf::builtin().to_json())
    }

    fn gateway_toml(&self) -> Result<FileText, Problem> {
        read(self.files.gateway.clone(), String::new)
    }

    /// Waits until a file differs from what was applied, and has stopped changing.
    async fn next_change(&self) {
        let mut before = None;
        loop {
            sleep(watch::POLL).await;
            let applied = self.in_force.lock().await.stamps.clone();
            let files = applied.files();
            // A file on a network may take a while.
            let look = tokio::task::spawn_blocking(move || watch::Stamps::of(&files)).await;
            let now = look.ok();
            if now.as_ref().is_some_and(|now| *now != applied) && now == before {
                return;
            }
            before = now;
        }
    }

    /// Applies what the files contain, all of it or nothing.
    async fn apply(self: &Arc<Self>, in_force: &mut InForce) -> Result<Changed, Problem> {
        let applied = self.apply_all(in_force).await;
        let problem = applied.as_ref().err();
        if let Some(Problem { error, hint }) = problem {
            let hint = hint.as_ref().map(|hint| format!("; {hint}"));
            let hint = hint.unwrap_or_default();
            warn!("the configuration is not applied, and what was in force stays: {error}{hint}");
        }
        *lock(&self.problem) = problem.cloned();
        applied
    }

    async fn apply_all(self: &Arc<Self>, in_force: &mut InForce) -> Result<Changed, Problem> {
        self.must_have_files()?;
        let (files, had_content) = (self.files.clone(), in_force.has_content);
        let (watched, udcf) = (watched(&in_force.settings), in_force.udcf.clone());
        let read = blocking(move || Ok(Reading::of(&files, had_content, &watched, &udcf))).await?;
        in_force.stamps = read.stamps;
        let reading::Content { loaded, udcf, config } = read.content?;
        let mut settings = loaded.settings;
        let mut changed = Changed {
            warnings: loaded.warnings,
            ..Changed::default()
        };
        changed.warnings.extend(udcf.warnings().iter().cloned());
        // What cannot be applied stays, so that it is reported until the gateway is started again.
        changed.after_restart = self.after_restart(&settings);

        if settings.page.is_none() {
            // A page that is switched off keeps running, unchanged, until the next start.
            settings.page.clone_from(&in_force.settings.page);
        }
        if let (Some(access), Some(page)) = (&self.access, &settings.page)
            && let Some(before) = &in_force.settings.page
            && (&page.password, &page.token) != (&before.password, &before.token)
        {
            if page.password.is_none() && page.token.is_none() {
                // A file that is gone or half written must not open the page to everybody.
                settings.page.clone_from(&in_force.settings.page);
                changed.after_restart.push("page.password".to_owned());
            } else {
                access.change(page.password.as_ref(), page.token.as_ref());
                let now = "the page's password and token are in force; everybody logs in again";
                changed.applied.push(now.to_owned());
            }
        }
        let boards = Boards::of(&settings, &udcf);
        changed.warnings.extend(boards.warnings.iter().cloned());
        if let Some(config) = &config {
            self.intake.admission.set_directory(udcf.directory(config));
            if let Some(engine) = &self.engine {
                engine.reconfigure(config.clone());
                let file = settings.udcf.as_ref();
                let file = file.map_or("the built-in UDCF".to_owned(), |file| file.display().to_string());
                changed.applied.push(format!("{file} is in force"));
            }
        }
        for (key, unknown) in unknown_identifiers(&settings, &self.intake.admission) {
            changed.warnings.push(format!("{key}: {unknown}"));
        }
        for section in self.entries.set(boards, settings.dial.clone()) {
            changed
                .applied
                .push(format!("the boards of [[{section}]] are in force"));
        }
        // Last: a device that was admitted meanwhile is among them.
        let affected = config.map(|_| self.affected(&in_force.udcf, &udcf));
        for session in affected.into_iter().flatten() {
            changed.applied.push(format!(
                "{} connects again with its new configuration",
                session.handshake.address
            ));
            session.end(Disconnect::Reconfigured);
        }
        in_force.has_content = read.has_content;
        in_force.settings = settings;
        in_force.udcf = udcf;
        for applied in &changed.applied {
            info!("configuration: {applied}");
        }
        for warning in &changed.warnings {
            warn!("{warning}");
        }
        for key in &changed.after_restart {
            warn!("configuration: {key} changed; it takes effect at the next start");
        }
        Ok(changed)
    }

    /// The keys that differ from those that the gateway was started with, and are not applied while it runs.
    fn after_restart(&self, settings: &Settings) -> Vec<String> {
        let is_live = |key: &String| {
            let section = key.split('.').next().unwrap_or_default();
            LIVE.contains(&section) || LIVE_KEYS.contains(&key.as_str())
        };
        let keys = self.files.changed_keys(&settings.files).into_iter();
        keys.filter(|key| !is_live(key)).collect()
    }

    /// The connected devices whose configuration differs between the two files.
    fn affected(&self, old: &Udcf, new: &Udcf) -> Vec<Arc<SessionHandle>> {
        if self.engine.is_none() {
            return Vec::new();
        }
        let says = |udcf: &Udcf, session: &SessionHandle| {
            let (identifier, address) = (&session.handshake.identifier, &session.handshake.address);
            udcf.says_of(
                identifier.as_str(),
                address.as_str(),
                session.recognised.get().copied(),
            )
        };
        let sessions = self.intake.registry.sessions().into_iter();
        sessions
            .filter(|session| says(old, session) != says(new, session))
            .collect()
    }
}

/// No code here panics while it holds the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
