//! Boards on serial ports: finds the ports, opens them, and performs the handshake on their behalf.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{debug, error, info, warn};

use crate::config::{PortSource, SerialSettings};
use crate::defaults::{PORT_MISSING_HINT, PORT_POLL, RECOGNITION_PATIENCE, UNIDENTIFIED_RETRY};
use crate::device::hello::BoardFacts;
use crate::device::peer::Peer;
use crate::ingress::scope::EntryScope;
use crate::ingress::{After, Board, Intake, Retry, Trouble, TroubleLog};
use crate::link::serial::ports::{Access, PortInfo, Ports, in_words};
use crate::link::serial::{Port, SerialLink};

/// The first pause before a port is opened again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest one for a port that is busy, forbidden or breaks off.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The `[[serial]]` entries at work.
pub struct SerialPorts {
    /// The system's ports.
    pub ports: Ports,
    /// Admits boards and runs their sessions.
    pub intake: Arc<Intake>,
}

/// A port that an entry takes.
#[derive(Clone, Debug)]
struct Found {
    settings: Arc<SerialSettings>,
    /// As configured, or as the system names it.
    path: PathBuf,
    info: Option<PortInfo>,
}

/// The boards of the entries, by the device nodes of their ports.
#[derive(Default)]
struct Bridges {
    tasks: JoinMap<PathBuf, ()>,
    running: HashMap<PathBuf, (Arc<SerialSettings>, EntryScope)>,
}

impl Bridges {
    /// Lets go of the boards whose entry was removed or changed, or whose port another entry takes now.
    fn withdraw(&mut self, entries: &[Arc<SerialSettings>], found: &[(PathBuf, Found)]) {
        for (node, (settings, scope)) in &self.running {
            let taken_by = found.iter().find(|(taken, _)| taken == node);
            let stays = match taken_by {
                Some((_, found)) => found.settings == *settings,
                None => entries.contains(settings),
            };
            if !stays {
                scope.withdraw();
            }
        }
    }

    /// Waits for a board's task to end. Cancel safe.
    async fn next_end(&mut self) -> Option<()> {
        let (node, ended) = self.tasks.join_next().await?;
        if let Err(e) = ended {
            error!(
                "the bridge to {} ended in a fault inside the gateway: {e}",
                node.display()
            );
        }
        self.running.remove(&node);
        Some(())
    }
}

impl Found {
    /// Whether an entry for any port took it.
    fn is_any(&self) -> bool {
        self.settings.source == PortSource::Any
    }

    /// What distinguishes the board from others of its kind: its serial number, else its port.
    fn own_name(&self) -> String {
        let usb = self.info.as_ref().and_then(|info| info.usb.as_ref());
        usb.and_then(|usb| usb.serial_number.clone())
            .filter(|number| !number.is_empty())
            .unwrap_or_else(|| self.path.display().to_string())
    }
}

impl SerialPorts {
    /// Bridges the boards of `entries`, which may change, until `stop` is cancelled; then waits for their sessions, which
    /// the caller ends as well.
    pub async fn serve(
        self: Arc<Self>,
        mut entries: watch::Receiver<Vec<Arc<SerialSettings>>>,
        stop: CancellationToken,
    ) {
        let mut boards = Bridges::default();
        let mut logged: Option<io::ErrorKind> = None;
        let mut wanted = entries.borrow_and_update().clone();
        let mut missing = Missing::of(&wanted);
        loop {
            if wanted.is_empty() && boards.running.is_empty() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    Ok(()) = entries.changed() => entries.mark_changed(),
                    else => stop.cancelled().await,
                }
            }
            if entries.has_changed().unwrap_or_default() {
                wanted = entries.borrow_and_update().clone();
                missing = Missing::of(&wanted);
            }
            match self.find(wanted.clone()).await {
                Ok((found, listed)) => {
                    logged = None;
                    missing.report(&found, &listed);
                    boards.withdraw(&wanted, &found);
                    for (node, found) in found {
                        if !boards.tasks.contains_key(&node) {
                            let scope = EntryScope::new(&stop);
                            let running = (found.settings.clone(), scope.clone());
                            boards.running.insert(node.clone(), running);
                            boards.tasks.spawn(node, self.clone().board(found, scope));
                        }
                    }
                }
                Err(e) if logged != Some(e.kind()) => {
                    boards.withdraw(&wanted, &[]);
                    logged = Some(e.kind());
                    warn!("cannot list the serial ports: {e}; retrying");
                }
                Err(_) => boards.withdraw(&wanted, &[]),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(()) = boards.next_end() => {}
                Ok(()) = entries.changed() => entries.mark_changed(),
                () = sleep(PORT_POLL) => {}
            }
        }
        while boards.next_end().await.is_some() {}
    }

    /// The ports that entries take, by their device nodes, and all ports that the system lists. The first entry wins, but
    /// an entry for any port gets only those that no other takes.
    async fn find(
        self: &Arc<Self>,
        mut entries: Vec<Arc<SerialSettings>>,
    ) -> io::Result<(Vec<(PathBuf, Found)>, Vec<PortInfo>)> {
        let this = self.clone();
        let find = move || -> io::Result<_> {
            let listed = this.ports.list()?;
            let mut found: Vec<(PathBuf, Found)> = Vec::new();
            entries.sort_by_key(|settings| settings.source == PortSource::Any);
            for settings in entries {
                let known =
                    |info: &PortInfo| (info.path.clone(), this.ports.real(&info.path), Some(info.clone()));
                let paths: Vec<(PathBuf, PathBuf, Option<PortInfo>)> = match &settings.source {
                    PortSource::Path(path) => node(path)
                        .map(|node| {
                            let info = listed.iter().find(|info| info.path == node).cloned();
                            (node, path.clone(), info)
                        })
                        .into_iter()
                        .collect(),
                    PortSource::Match(ids) => listed
                        .iter()
                        .filter(|info| ids.matches(info))
                        .map(known)
                        .collect(),
                    PortSource::Any => listed.iter().map(known).collect(),
                };
                for (node, path, info) in paths {
                    if !found.iter().any(|(taken, _)| *taken == node) {
                        let settings = settings.clone();
                        found.push((node, Found { settings, path, info }));
                    }
                }
            }
            Ok((found, listed))
        };
        // Reading the system's directories may block.
        tokio::task::spawn_blocking(find)
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)))
    }

    /// Bridges one board, again and again, until it is unplugged.
    async fn board(self: Arc<Self>, found: Found, scope: EntryScope) {
        let stop = &scope.stop;
        let is_any = found.is_any();
        let plug = Plug::of(&found.path);
        let peer = Peer::Serial(found.path.clone());
        let mut retry = Retry::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut is_release_logged = false;
        while !stop.is_cancelled() && Plug::of(&found.path) == plug {
            let after = self.connect(&found, retry.log(), &scope).await;
            if matches!(after, After::Refused(_) | After::Failed(_)) && Plug::of(&found.path) != plug {
                break;
            }
            let was_refused = matches!(after, After::Refused(_));
            let pause = match after {
                // No entry names this port, so its problems are not reported as problems.
                After::Refused(_) if is_any => {
                    if !std::mem::replace(&mut is_release_logged, true) {
                        info!(
                            "{peer}: closed again; retrying when it is plugged in again, and every {} min",
                            UNIDENTIFIED_RETRY.as_secs() / 60
                        );
                    }
                    Some(UNIDENTIFIED_RETRY)
                }
                After::Failed(trouble) if is_any => {
                    debug!("{peer}: {trouble}; {}", trouble.hint);
                    Some(LONGEST_PAUSE)
                }
                after => retry.pause(&peer, &after),
            };
            let Some(pause) = pause else {
                return;
            };
            let over = Instant::now() + pause;
            while Instant::now() < over && Plug::of(&found.path) == plug {
                tokio::select! {
                    () = stop.cancelled() => return,
                    // Who is refused may have changed.
                    () = self.intake.admission.changed(), if was_refused => break,
                    () = sleep(over.saturating_duration_since(Instant::now()).min(PORT_POLL)) => {}
                }
            }
        }
        debug!("serial {}: unplugged", found.path.display());
    }

    /// Opens the port and bridges the board behind it.
    async fn connect(&self, found: &Found, log: TroubleLog, scope: &EntryScope) -> After {
        let settings = &found.settings;
        let is_any = found.is_any();
        if is_any && let Some(after) = self.inaccessible(found) {
            return after;
        }
        let (path, line) = (found.path.clone(), settings.line.clone());
        // Drivers may block for a while, and some reset the adapter.
        let opened = tokio::task::spawn_blocking(move || Port::open(&path, &line)).await;
        let port = match opened.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(port) => port,
            Err(e) => {
                return After::Failed(Trouble {
                    what: format!("cannot be opened: {e}"),
                    hint: self.ports.open_hint(&found.path, &e),
                });
            }
        };
        let board = Board {
            facts: BoardFacts {
                keepalive: settings.keepalive,
                configured: settings.identifier.clone(),
                ..BoardFacts::default()
            },
            address: settings.address.clone(),
            is_one: matches!(settings.source, PortSource::Path(_)),
            own_name: found.own_name(),
            settle: Some(settings.settle),
            patience: is_any.then(|| settings.settle + RECOGNITION_PATIENCE),
            framing: settings.framing.clone(),
            coalesce: settings.coalesce,
            on_close: settings.on_close.clone(),
            log,
            withdrawn: scope.withdrawn.clone(),
            ..Board::at(Peer::Serial(found.path.clone()))
        };
        let link = |port, framing, read| SerialLink::new(port, settings.line.clone(), framing, read);
        self.intake.bridge(board, port, &scope.stop, link).await
    }

    /// Why a port that no entry names is not even opened; `None` if it is free.
    fn inaccessible(&self, found: &Found) -> Option<After> {
        let listed = found.info.as_ref().map_or(&found.path, |info| &info.path);
        match self.ports.access(listed) {
            Access::Free => None,
            access => Some(After::Failed(Trouble {
                what: format!("not opened: {access}"),
                hint: access.hint().unwrap_or_default(),
            })),
        }
    }
}

/// Entries whose port has not appeared yet, until that is reported.
struct Missing {
    /// When it is reported.
    due: Instant,
    /// The numbers of the entries, and their ports.
    ports: Vec<(usize, PathBuf)>,
}

impl Missing {
    fn of(entries: &[Arc<SerialSettings>]) -> Self {
        let ports = entries
            .iter()
            .enumerate()
            .filter_map(|(n, entry)| match &entry.source {
                PortSource::Path(path) => Some((n, path.clone())),
                PortSource::Match(_) | PortSource::Any => None,
            });
        Self {
            due: Instant::now() + PORT_MISSING_HINT,
            ports: ports.collect(),
        }
    }

    /// Reports the ports that are still missing, once, with those that exist. A port that disappears later is not
    /// reported.
    fn report(&mut self, found: &[(PathBuf, Found)], listed: &[PortInfo]) {
        let has_appeared = |path: &Path| {
            // On Windows, ports are not files, so only the list shows them.
            let listed = cfg!(unix) || listed.iter().any(|port| port.path == path);
            listed && found.iter().any(|(_, found)| found.path == path)
        };
        self.ports.retain(|(_, path)| !has_appeared(path));
        if Instant::now() < self.due {
            return;
        }
        for (n, path) in self.ports.drain(..) {
            warn!(
                "serial {}: not found; {}. It will be opened when it appears; if the path is wrong, correct port in \
                 serial.{n}",
                path.display(),
                in_words(listed)
            );
        }
    }
}

/// The device node behind a path, if it exists.
fn node(path: &Path) -> Option<PathBuf> {
    #[cfg(windows)]
    return Some(path.to_owned());
    #[cfg(not(windows))]
    path.canonicalize().ok()
}

/// One plugging in of a board: a path that comes back is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plug(Option<[u64; 4]>);

impl Plug {
    /// `None` inside if the path does not exist.
    #[cfg(unix)]
    fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        // A link that points elsewhere, and a node that was made anew; writing to a node changes neither.
        let link = path.symlink_metadata().ok();
        let node = path.metadata().ok();
        Self(
            link.zip(node)
                .map(|(link, node)| [link.ino(), link.ctime() as u64, node.ino(), node.rdev()]),
        )
    }

    /// On Windows, ports are not files; an open that fails shows that one is gone.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Self {
        Self(Some([0; 4]))
    }
}
