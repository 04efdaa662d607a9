//! Changes of the configuration while the gateway runs: by the page, by a person who edits a file, by `reload`.
//!
//! - `files`: reads and writes the files.
//! - `watch`: notices that a file changed.

mod files;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch::Sender;
use tokio::time::sleep;
use tracing::{info, warn};

use super::boards::{Boards, unknown_identifiers};
use crate::config::{BleSettings, DialSettings, Files, Loaded, Secret, SerialSettings, Settings};
use crate::ingress::Intake;
use crate::session::ends::Disconnect;
use crate::session::registry::SessionHandle;
use crate::udcf::{DeviceConfiguration, Udcf};
use crate::upstream::embedded::Engine;
use crate::web::api::Problem;
use crate::web::port::access::Access;
use crate::web::view::configuration::{Changed, Configuration, Edit, FileText};
pub(super) use files::{blocking, problem};
use files::{change, fault, read, restore};

/// The sections that are applied while the gateway runs.
const LIVE: [&str; 4] = ["serial", "ble", "dial", "udcf"];

/// Keys of other sections that are applied while the gateway runs.
const LIVE_KEYS: [&str; 2] = ["page.password", "page.token"];

/// The boards that the gateway connects to, as their ways in follow them.
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

/// Those who follow entries see only changes.
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
    /// The token of devices that is in force.
    token: Option<Secret>,
    /// Locked while files are read, written and applied.
    in_force: tokio::sync::Mutex<InForce>,
    /// Why the newest files are not in force.
    problem: Mutex<Option<Problem>>,
}

/// What was applied last.
struct InForce {
    settings: Settings,
    udcf: Udcf,
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
        Self(Arc::new(Inner {
            files: settings.files.clone(),
            entries,
            intake,
            engine,
            access,
            token: settings.devices.token.clone(),
            in_force: tokio::sync::Mutex::new(InForce {
                has_content: has_content(&settings),
                settings,
                udcf,
                stamps,
            }),
            problem: Mutex::default(),
        }))
    }

    pub(super) fn entries(&self) -> &Entries {
        &self.0.entries
    }

    /// Applies what somebody changes in the files, for ever. Cancel safe.
    pub(super) async fn watch(self) {
        if !self.0.files.were_read() {
            return std::future::pending().await;
        }
        loop {
            self.0.next_change().await;
            // It logs its own problem.
            let _ = self.reload().await;
        }
    }
}

/// Carries out a change even if the caller goes away: a file that is written is also applied.
fn to_the_end(
    change: impl Future<Output = Result<Changed, Problem>> + Send + 'static,
) -> BoxFuture<'static, Result<Changed, Problem>> {
    let change = tokio::spawn(change);
    async move { change.await.unwrap_or_else(|e| Err(fault(&e))) }.boxed()
}

fn has_content(settings: &Settings) -> bool {
    let file = settings.files.gateway.as_ref();
    file.is_some_and(|file| file.metadata().is_ok_and(|file| file.len() > 0))
}

/// What the files contain.
type Read = (Loaded, Udcf, Arc<DeviceConfiguration>);

/// Reads the files; returns the path of the UDCF too, as far as it is known. `had_content` is whether gateway.toml contained anything before: one that is gone or empty is taken for one that is being
/// written, since much would end with it, such as the page's password.
fn load(files: &Files, had_content: bool) -> (Result<Read, Problem>, Option<PathBuf>) {
    let refused = |path: &Path, why: &str| Problem {
        error: format!("{}: {why}", path.display()),
        hint: Some("to run without what it contained, start the gateway again".to_owned()),
    };
    if let Some(path) = &files.gateway {
        match path.metadata() {
            Ok(file) if !file.is_file() => return (Err(refused(path, "is no longer a regular file")), None),
            Ok(file) if file.len() == 0 && had_content => return (Err(refused(path, "is empty")), None),
            Err(_) if had_content => return (Err(refused(path, "is gone")), None),
            _ => {}
        }
    }
    let loaded = match files.load() {
        Ok(loaded) => loaded,
        Err(e) => return (Err(problem(&e)), None),
    };
    let path = loaded.settings.udcf.clone();
    let read = || {
        let udcf = match &path {
            Some(path) if path.metadata().is_ok_and(|file| !file.is_file()) => {
                return Err(refused(path, "is no regular file"));
            }
            Some(path) => Udcf::load(path).map_err(|e| problem(&e))?,
            None => Udcf::builtin(),
        };
        let config = udcf.device_configuration().map_err(|e| problem(&e))?;
        Ok((loaded, udcf, config))
    };
    (read(), path.clone())
}

/// The files whose changes are applied.
fn watched(settings: &Settings) -> Vec<PathBuf> {
    let udcf = settings.udcf.clone().or_else(|| settings.files.own_udcf());
    settings.files.gateway.clone().into_iter().chain(udcf).collect()
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
            let udcf = Udcf::parse(text, &path.display().to_string()).map_err(|e| problem(&e))?;
            Ok(udcf.warnings().to_vec())
        };
        to_the_end(self.0.clone().change(Inner::udcf, check, edit))
    }

    fn change_gateway_toml(&self, edit: Edit) -> BoxFuture<'static, Result<Changed, Problem>> {
        let check = |inner: &Inner, text: &str, _: &Path| {
            let loaded = inner.files.load_with(text).map_err(|e| problem(&e))?;
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
        let loaded = self.files.load().map_err(|e| problem(&e))?;
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
            sleep(watch::LOOK).await;
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
        self.must_have_files()?;
        // Before the files are read: a change that comes while they are read is noticed.
        in_force.stamps = watch::Stamps::of(&watched(&in_force.settings));
        let (files, had_content) = (self.files.clone(), in_force.has_content);
        let (loaded, udcf_path) = blocking(move || Ok(load(&files, had_content))).await?;
        let (loaded, udcf, config) = match loaded {
            Ok(loaded) => loaded,
            Err(problem) => {
                // Whoever mends this file, and not gateway.toml, is noticed too.
                in_force.stamps.also(&watched(&in_force.settings));
                in_force.stamps.add(udcf_path);
                let hint = problem.hint.as_ref().map(|hint| format!("; {hint}"));
                warn!(
                    "the configuration is not applied, and what was in force stays: {}{}",
                    problem.error,
                    hint.unwrap_or_default()
                );
                *lock(&self.problem) = Some(problem.clone());
                return Err(problem);
            }
        };
        *lock(&self.problem) = None;
        let mut settings = loaded.settings.clone();
        let mut changed = Changed {
            warnings: loaded.warnings.clone(),
            ..Changed::default()
        };
        changed.warnings.extend(udcf.warnings().iter().cloned());
        // What cannot be applied stays, so that it is reported until the gateway is started again.
        changed.after_restart = self.after_restart(&settings);

        if settings.page.is_none() {
            // One that is switched off is there until the next start, with what it has.
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
        self.intake.admission.set_directory(udcf.directory(&config));
        if let Some(engine) = &self.engine
            && udcf.to_json() != in_force.udcf.to_json()
        {
            engine.reconfigure(config);
            let file = settings.udcf.as_ref();
            let file = file.map_or("the built-in UDCF".to_owned(), |file| file.display().to_string());
            changed.applied.push(format!("{file} is in force"));
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
        for session in self.affected(&in_force.udcf, &udcf) {
            changed.applied.push(format!(
                "{} connects again with its new configuration",
                session.handshake.address
            ));
            session.end(Disconnect::Reconfigured);
        }
        in_force.stamps.also(&watched(&settings));
        in_force.has_content = has_content(&settings);
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
        // Secrets are masked.
        let token = (settings.devices.token != self.token).then(|| "devices.token".to_owned());
        let keys = self.files.changed_keys(&settings.files).into_iter();
        let mut keys: Vec<String> = keys.chain(token).filter(|key| !is_live(key)).collect();
        keys.dedup();
        keys
    }

    /// The connected devices of which the two files say different things.
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
