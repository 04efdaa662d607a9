//! A board on a virtual serial port: the test holds the board's end of a pseudo-terminal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::termios::tcgetattr;
use tokio::io::unix::AsyncFd;

use super::pty_pair::pair;
use super::{DEADLINE, within};

/// The board's end of the wire. Dropping it pulls the plug.
pub struct Board {
    master: AsyncFd<File>,
    /// Holds the other end open, so that writing works before the gateway has opened it.
    _slave: File,
    /// What the gateway opens: a link to the pseudo-terminal, as udev makes them.
    pub port: PathBuf,
    seen: Vec<u8>,
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.port);
    }
}

impl Board {
    /// Plugs a board in. The same path again is the same board, replugged.
    pub fn plug(port: &Path) -> Self {
        let (master, name, slave) = pair();
        rustix::io::ioctl_fionbio(&master, true).expect("a file that does not block");
        let _ = std::fs::remove_file(port);
        std::os::unix::fs::symlink(&name, port).expect("a link");
        Self {
            #[expect(
                deprecated,
                reason = "a File does not give its descriptor away, and what replaces this is unsafe"
            )]
            master: AsyncFd::new(master).expect("a runtime"),
            _slave: slave,
            port: port.to_owned(),
            seen: Vec::new(),
        }
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let mut left = bytes.as_ref();
        while !left.is_empty() {
            let mut guard = within("the board may write", self.master.writable())
                .await
                .expect("a pty");
            match guard.try_io(|master| master.get_ref().write(left)) {
                Ok(written) => left = &left[written.expect("an open wire")..],
                Err(_) => continue,
            }
        }
    }

    /// What the gateway writes next, at least a byte.
    pub async fn read(&mut self) -> Vec<u8> {
        within("the board may read", self.read_patiently()).await
    }

    /// The same, however long that takes.
    pub async fn read_patiently(&mut self) -> Vec<u8> {
        let mut bytes = [0; 4096];
        loop {
            let mut guard = self.master.readable().await.expect("a pty");
            match guard.try_io(|master| master.get_ref().read(&mut bytes)) {
                Ok(Ok(read)) => return bytes[..read].to_vec(),
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(e)) => panic!("the wire: {e}"),
                Err(_) => {}
            }
        }
    }

    /// Reads up to and including this text, and says what came before it.
    pub async fn expect(&mut self, wanted: &str) -> String {
        let start = tokio::time::Instant::now();
        loop {
            let found = self
                .seen
                .windows(wanted.len())
                .position(|w| w == wanted.as_bytes());
            if let Some(at) = found {
                let before = self.seen.drain(..at + wanted.len()).take(at).collect();
                return String::from_utf8(before).expect("text");
            }
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            assert!(start.elapsed() < DEADLINE, "{wanted:?} after {seen:?}");
            let more = within(&format!("{wanted:?} after {seen:?}"), self.read()).await;
            self.seen.extend(more);
        }
    }

    /// The next bytes, as many as this, whatever they are.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            let what = format!("{count} bytes after {:02x?}", self.seen);
            let more = within(&what, self.read()).await;
            self.seen.extend(more);
        }
        self.seen.drain(..count).collect()
    }

    /// Answers the first question of the lovense protocol.
    pub async fn be_lovense(&mut self, address: &str) {
        self.expect("DeviceType;").await;
        self.say(format!("Z:11:{address};")).await;
    }

    /// The settings that the gateway gave the port.
    pub fn attributes(&self) -> rustix::termios::Termios {
        tcgetattr(&self._slave).expect("a terminal")
    }
}
