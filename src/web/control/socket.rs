//! The Unix socket itself: its path, its permissions, and its removal when the gateway stops.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::ControlAt;
use crate::defaults::{CONTROL_CLOSE_TIMEOUT, CONTROL_TIMEOUT};
use crate::web::view::View;
use crate::web::{api, connection};

/// Accept usually fails for lack of file descriptors, so retrying is pointless until a peer disconnects.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The directory cannot be created or is not private to this user.
    #[error("{}: {source}", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The path exists and is not a socket.
    #[error("{} exists already and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// Another gateway is serving this socket.
    #[error("another gateway is using {}", .0.display())]
    InUse(PathBuf),
    /// The system cannot create the socket.
    #[error("{}: {source}", path.display())]
    Bind {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// An open control socket. Dropping it removes the socket file.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    file: SocketFile,
}

impl Control {
    /// Opens the socket of the gateway that listens for devices on this port.
    ///
    /// # Errors
    /// The directory is not private, or the path is in use.
    pub async fn open(at: &ControlAt, device_port: u16) -> Result<Self, ControlError> {
        let path = match at {
            ControlAt::Path(path) => path.clone(),
            ControlAt::RuntimeDirectory => private_directory()?.join(format!("{device_port}.sock")),
        };
        clear(&path).await?;
        let failed = |source| ControlError::Bind {
            path: path.clone(),
            source,
        };
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let made = fs::symlink_metadata(&path).map_err(failed)?;
        let file = SocketFile {
            path: path.clone(),
            identity: (made.dev(), made.ino()),
        };
        // The umask decided the mode until here; `is_ours` rejects other users that connected meanwhile.
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, file })
    }

    /// Opens the socket, or logs that `monitor` will not find this gateway. The gateway runs without it.
    pub async fn open_or_warn(at: &ControlAt, device_port: u16) -> Option<Self> {
        match Self::open(at, device_port).await {
            Ok(control) => {
                debug!("control socket: {}", control.file.path.display());
                Some(control)
            }
            Err(e) => {
                warn!("no control socket, so monitor will not find this gateway: {e}");
                None
            }
        }
    }

    /// Serves until the view's `stop` is cancelled, then removes the socket and closes the connections within a tenth of a
    /// second.
    pub async fn serve(self, view: View) {
        let Self { listener, file } = self;
        let stop = view.stop.clone();
        let router = api::router(view);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => {
                        connections.spawn(serve(stream, router.clone(), stop.clone()));
                    }
                    Ok(_) => warn!("control socket: refused a connection of another user"),
                    Err(e) => {
                        debug!("control socket: {e}");
                        tokio::select! {
                            () = stop.cancelled() => break,
                            () = tokio::time::sleep(ACCEPT_RETRY) => {}
                        }
                    }
                },
            }
        }
        drop(listener);
        drop(file);
        // Streams end by themselves; a client that has not read them by the timeout is cut off.
        let _ = timeout(CONTROL_CLOSE_TIMEOUT, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
        connections.shutdown().await;
    }
}

async fn serve(stream: UnixStream, router: Router, stop: CancellationToken) {
    if let Err(e) = connection::serve(stream, &http1::Builder::new(), router, (), &stop).await {
        debug!("control connection: {e}");
    }
}

/// Whether the peer is this user or root, whom permissions cannot keep out.
fn is_ours(stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own_user())
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The socket's file. Dropping it removes the file, unless another process has replaced it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.identity) {
            // If this fails, the next gateway detects the stale socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the stale socket of a gateway that was killed.
async fn clear(path: &Path) -> Result<(), ControlError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ControlError::NotASocket(path.to_owned())),
        Ok(_) => {}
        // Binding reports any other problem with the path.
        Err(_) => return Ok(()),
    }
    match timeout(CONTROL_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| ControlError::Bind {
                path: path.to_owned(),
                source,
            })
        }
        // Removed since the check.
        Ok(Err(e)) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(Err(source)) => Err(ControlError::Bind {
            path: path.to_owned(),
            source,
        }),
        Ok(Ok(_)) | Err(_) => Err(ControlError::InUse(path.to_owned())),
    }
}

/// The directories for control sockets, in order of preference. A gateway without `XDG_RUNTIME_DIR`, for example a
/// system service, uses the second.
pub fn directories() -> Vec<PathBuf> {
    let runtime = dirs::runtime_dir().map(|directory| directory.join("wsdm-gateway"));
    let temporary = std::env::temp_dir().join(format!("wsdm-gateway-{}", own_user()));
    runtime.into_iter().chain([temporary]).collect()
}

/// The first of [`directories`] that is private to this user, or can be created so.
fn private_directory() -> Result<PathBuf, ControlError> {
    let mut failed = None;
    for path in directories() {
        match make_private(&path) {
            Ok(()) => return Ok(path),
            Err(source) => failed = Some(ControlError::Directory { path, source }),
        }
    }
    Err(failed.expect("there is always a temporary directory to try"))
}

fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => check_private(path),
        other => other,
    }
}

/// Checks the owner and the mode, since in a temporary directory another user may have created the path first.
fn check_private(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != own_user() {
        return Err(io::Error::other("is not a directory owned by this user"));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The sockets of this user's gateways that accept a connection.
pub async fn running() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in directories() {
        if check_private(&directory).is_err() {
            continue;
        }
        // A directory that cannot be read contains no usable sockets.
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        found.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|e| e == "sock")),
        );
    }
    found.sort();
    let probes = found.into_iter().map(|path| async move {
        let answers = timeout(CONTROL_TIMEOUT, UnixStream::connect(&path)).await;
        matches!(answers, Ok(Ok(_))).then_some(path)
    });
    futures::future::join_all(probes)
        .await
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::handshake::{Address, Handshake, Identifier};
    use crate::device::peer::Peer;
    use crate::session::registry::Registry;
    use crate::web::control::client::Client;
    use crate::web::view::tests::view;

    #[tokio::test]
    async fn a_watcher_of_a_silent_device_is_removed_when_it_disconnects() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let control = Control::open(&ControlAt::Path(path.clone()), 0).await.unwrap();
        let registry = Arc::new(Registry::default());
        let handshake = Handshake::new(
            Identifier::new("LVSDevice").unwrap(),
            Address::new("one").unwrap(),
        );
        let peer = Peer::Websocket("127.0.0.1:1".parse().unwrap());
        let entry = registry.admit(handshake, peer).await.unwrap();
        let view = view(registry, None);
        let stop = view.stop.clone();
        let serving = tokio::spawn(control.serve(view));
        let mut client = Client::connect(&path).await.unwrap();
        let mut lines = client.follow("one").await.unwrap();
        assert!(lines.next().await.unwrap().is_some() && entry.handle().tap.is_watched());
        drop((lines, client));
        timeout(Duration::from_secs(20), async {
            while entry.handle().tap.is_watched() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the watcher is removed");
        stop.cancel();
        serving.await.unwrap();
    }

    #[test]
    fn a_directory_is_made_private_and_a_symlink_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
        make_private(&own).unwrap();
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        // The owner of a symlink can redirect it, so a private target is not enough.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&own, &link).unwrap();
        make_private(&link).unwrap_err();
    }
}
