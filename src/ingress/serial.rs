//! Boards on wires: finds their ports, opens them, and performs the handshake on their behalf.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{debug, error, info, warn};

use crate::advice::Advice;
use crate::backoff::Backoff;
use crate::config::{PortSource, SerialSettings};
use crate::defaults::{GOOD_AFTER, PORT_POLL};
use crate::device::peer::Peer;
use crate::device::refusal::Refusal;
use crate::ingress::hello::HelloError;
use crate::ingress::introduction::Introduction;
use crate::ingress::{Intake, Newcomer};
use crate::link::framing::Framing;
use crate::link::serial::ports::{PortInfo, Ports};
use crate::link::serial::{Port, SerialLink};
use crate::session::ends::Disconnect;

/// The first pause before a port is opened again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest one for a port that is busy, forbidden or breaks off.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The `[[serial]]` entries at work.
pub struct SerialPorts {
    /// What was configured.
    pub entries: Vec<SerialSettings>,
    /// The system's ports.
    pub ports: Ports,
    /// Where boards go once it is known who they are.
    pub intake: Arc<Intake>,
}

/// A port that an entry takes.
#[derive(Clone, Debug)]
struct Found {
    entry: usize,
    /// As configured, or as the system names it.
    path: PathBuf,
    info: Option<PortInfo>,
}

impl Found {
    /// What tells the board from others of its kind: its serial number, else its port.
    fn own_address(&self) -> String {
        let usb = self.info.as_ref().and_then(|info| info.usb.as_ref());
        usb.and_then(|usb| usb.serial_number.clone())
            .unwrap_or_else(|| self.path.display().to_string())
    }
}

impl SerialPorts {
    /// Bridges boards until `stop` is cancelled, then waits for their sessions, which whoever cancelled it ends too.
    pub async fn serve(self: Arc<Self>, stop: CancellationToken) {
        let mut boards: JoinMap<PathBuf, ()> = JoinMap::new();
        let mut said: Option<io::ErrorKind> = None;
        loop {
            match self.find().await {
                Ok(found) => {
                    said = None;
                    for (node, found) in found {
                        if !boards.contains_key(&node) {
                            boards.spawn(node, self.clone().board(found, stop.clone()));
                        }
                    }
                }
                Err(e) if said != Some(e.kind()) => {
                    said = Some(e.kind());
                    warn!("cannot list the serial ports: {e}; trying on");
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((node, ended)) = boards.join_next() => {
                    if let Err(e) = ended {
                        error!("the bridge to {} ended in a fault inside the gateway: {e}", node.display());
                    }
                }
                () = sleep(PORT_POLL) => {}
            }
        }
        while boards.join_next().await.is_some() {}
    }

    /// Every port that is there and that an entry takes, by its device node; the first entry wins.
    async fn find(self: &Arc<Self>) -> io::Result<Vec<(PathBuf, Found)>> {
        let this = self.clone();
        let find = move || -> io::Result<Vec<(PathBuf, Found)>> {
            let listed = this.ports.list()?;
            let mut found: Vec<(PathBuf, Found)> = Vec::new();
            for (entry, settings) in this.entries.iter().enumerate() {
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
                        .map(|info| (info.path.clone(), this.ports.real(&info.path), Some(info.clone())))
                        .collect(),
                };
                for (node, path, info) in paths {
                    if !found.iter().any(|(taken, _)| *taken == node) {
                        found.push((node, Found { entry, path, info }));
                    }
                }
            }
            Ok(found)
        };
        // Directories of the system may take their time.
        tokio::task::spawn_blocking(find)
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)))
    }

    /// One board, from the plug to the unplug.
    async fn board(self: Arc<Self>, found: Found, stop: CancellationToken) {
        let plug = Plug::of(&found.path);
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, GOOD_AFTER);
        let mut refused = Backoff::after_refusals();
        let mut said = String::new();
        while !stop.is_cancelled() && Plug::of(&found.path) == plug {
            let started = Instant::now();
            let pause = match self.connect(&found, &stop).await {
                Ok(Disconnect::Stopping) | Err(BoardError::Stopping) => return,
                Ok(Disconnect::Upstream(_) | Disconnect::Replaced) => {
                    refused.connected_for(started.elapsed());
                    Some(refused.next_delay())
                }
                // The session has said why.
                Ok(_) => {
                    said.clear();
                    backoff.connected_for(started.elapsed());
                    Some(backoff.next_delay())
                }
                Err(_) if Plug::of(&found.path) != plug => break,
                Err(e) => {
                    let text = e.to_string();
                    let port = found.path.display();
                    if said == text {
                        debug!("serial {port}: {text}");
                    } else {
                        warn!("serial {port}: {text}; {}", self.hint(&e, &found.path));
                        said = text;
                    }
                    match e {
                        // Until the next plug: a board that prints nothing now prints nothing in a minute either.
                        BoardError::Hello(HelloError::Silent(_) | HelloError::Address(_)) => None,
                        BoardError::Refused(_) => Some(refused.next_delay()),
                        _ => Some(backoff.next_delay()),
                    }
                }
            };
            let over = pause.map(|pause| Instant::now() + pause);
            while over.is_none_or(|over| Instant::now() < over) && Plug::of(&found.path) == plug {
                let left = over.map_or(PORT_POLL, |over| over.saturating_duration_since(Instant::now()));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(left.min(PORT_POLL)) => {}
                }
            }
        }
        debug!("serial {}: unplugged", found.path.display());
    }

    /// Opens the port, finds out who is there, and runs its session.
    async fn connect(&self, found: &Found, stop: &CancellationToken) -> Result<Disconnect, BoardError> {
        let settings = self.entries.get(found.entry).ok_or(BoardError::Stopping)?;
        let (path, line) = (found.path.clone(), settings.line.clone());
        // Drivers take their time, and some reset the adapter.
        let opened = tokio::task::spawn_blocking(move || Port::open(&path, &line)).await;
        let mut port = opened
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(BoardError::Open)?;
        let peer = Peer::Serial(found.path.clone());
        let introduction = Introduction {
            identifier: settings.identifier.as_ref(),
            address: settings.address.as_ref(),
            is_one: matches!(settings.source, PortSource::Path(_)),
            own_address: found.own_address(),
            keepalive: settings.keepalive,
            settle: Some(settings.settle),
        };
        let mut read = BytesMut::new();
        let (handshake, known) = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(BoardError::Stopping),
            introduced = introduction.introduce(&peer, &mut port, &mut read) => introduced?,
        };
        let identifier = &handshake.identifier;
        info!("{peer}: {identifier} {}", handshake.address);
        let framing = settings.framing.clone();
        let framing = framing.unwrap_or_else(|| Framing::of(self.intake.language(identifier)));
        let link = SerialLink::new(port, settings.line.clone(), framing, read);
        let newcomer = Newcomer {
            handshake,
            peer,
            link: Box::new(link),
            known,
            coalesce: settings.coalesce,
            may_be_running: true,
        };
        let session = self.intake.session(newcomer, settings.on_close.as_ref(), stop);
        session
            .await
            .map_err(|refused| BoardError::Refused(refused.refusal))
    }

    /// One line on what to do.
    fn hint(&self, error: &BoardError, path: &Path) -> String {
        match error {
            BoardError::Open(e) => self.ports.open_hint(path, e),
            BoardError::Hello(e) => e.hint_for(&Peer::Serial(path.to_owned())).to_owned(),
            BoardError::Refused(refusal) => refusal.hint().unwrap_or_default().into_owned(),
            BoardError::Stopping => String::new(),
        }
    }
}

/// Why a board has no session.
#[derive(Debug, thiserror::Error)]
enum BoardError {
    #[error("cannot be opened: {0}")]
    Open(#[source] io::Error),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("{0}")]
    Refused(Refusal),
    #[error("the gateway is stopping")]
    Stopping,
}

/// The device node behind a path, where it is there.
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
    /// `None` inside: nothing is there.
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

    /// Where ports are no files an open that fails tells.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Self {
        Self(Some([0; 4]))
    }
}
