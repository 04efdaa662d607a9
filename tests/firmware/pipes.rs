//! A network for a board that can open files and nothing else: named pipes, which lead on to a TCP address.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use tokio::io::{copy, sink};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;

/// The board's n-th connection is `up.n`, which it writes to, and `down.n`, which it reads.
pub struct Pipes {
    folder: TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pipes {
    pub fn to(addr: SocketAddr) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().to_owned();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (up, down) = pair(&path, number).expect("two pipes");
                // The board has opened it, and said something or gone.
                up.readable().await.expect("a pipe");
                connections.spawn(pass(up, down, addr));
            }
        });
        Self { folder, task }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Both are there before the board can open the first.
fn pair(folder: &Path, number: usize) -> io::Result<(pipe::Receiver, pipe::Sender)> {
    // Opened for both directions: nobody reads it yet, and until this is closed it has no end.
    let down = pipe::OpenOptions::new()
        .read_write(true)
        .open_sender(made(folder, "down", number)?)?;
    let up = pipe::OpenOptions::new().open_receiver(made(folder, "up", number)?)?;
    Ok((up, down))
}

fn made(folder: &Path, name: &str, number: usize) -> io::Result<PathBuf> {
    let path = folder.join(format!("{name}.{number}"));
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    Ok(path)
}

/// Until the board is gone; then the gateway is told. A gateway that is gone is the end of what the board reads, after all that
/// it said; what the board writes meanwhile is taken and lost, as by a network.
async fn pass(mut up: pipe::Receiver, mut down: pipe::Sender, addr: SocketAddr) {
    let Ok(mut gateway) = TcpStream::connect(addr).await else {
        return;
    };
    let (mut from, mut to) = gateway.split();
    let hears = async move {
        // However it ended.
        let _ = copy(&mut from, &mut down).await;
        drop(down);
        pending::<()>().await;
    };
    let says = async {
        if copy(&mut up, &mut to).await.is_err() {
            let _ = copy(&mut up, &mut sink()).await;
        }
    };
    tokio::select! {
        () = says => {}
        () = hears => {}
    }
}
