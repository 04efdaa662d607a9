//! A gateway in a process of its own, on a fake BlueZ.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::bluez::{Bluez, Board};
use super::process::{Process, run};
use super::{wait_until, within};

/// The gateway, and what it logs.
pub struct Gateway {
    pub process: Process,
    log: Arc<Mutex<Vec<String>>>,
    home: TempDir,
}

impl Gateway {
    /// Starts one with these `[[ble]]` entries.
    pub async fn start(bluez: &Bluez, toml: &str) -> Self {
        Self::start_in(TempDir::new().expect("a folder to write in"), bluez, toml).await
    }

    /// The same, with what an earlier one left in its home.
    pub async fn start_in(home: TempDir, bluez: &Bluez, toml: &str) -> Self {
        let file = home.path().join("gateway.toml");
        std::fs::write(&file, toml).expect("a folder to write in");
        let mut command = run(home.path());
        command
            .arg("-v")
            .arg("--config")
            .arg(&file)
            .env("DBUS_SYSTEM_BUS_ADDRESS", bluez.bus_address());
        let mut process = Process::spawn(command).await;
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(process.child.stderr.take().expect("piped")).lines();
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { process, log, home }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often this was logged.
    pub fn logged(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// The same, for people who do not ask for more.
    pub fn warned(&self, text: &str) -> usize {
        let told = |line: &&String| line.contains(" WARN ") && line.contains(text);
        self.log().iter().filter(told).count()
    }

    pub async fn wait_log(&self, text: &str) {
        let logged = wait_until(text, || self.logged(text) > 0);
        let timed_out = tokio::time::timeout(super::DEADLINE / 2, logged).await;
        assert!(timed_out.is_ok(), "{text:?} in {:#?}", self.log());
    }

    /// SIGTERM, and its end.
    pub async fn stop(mut self) -> TempDir {
        self.process.signal(Signal::TERM);
        let code = self.process.exit_code().await;
        assert_eq!(code, Some(0), "{:#?}", self.log());
        assert_eq!(self.logged("left behind"), 0, "{:#?}", self.log());
        self.home
    }

    /// SIGKILL.
    pub async fn kill(mut self) -> TempDir {
        self.process.child.kill().await.expect("running");
        self.home
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// What is written next, as text; the MTU may have cut it.
pub async fn written(board: &Board) -> String {
    let write = within("a write", board.next_write()).await;
    String::from_utf8(write.value).expect("text")
}

/// Takes writes up to and including the one with this text.
pub async fn expect(board: &Board, wanted: &str) {
    let mut seen = Vec::new();
    let came = async {
        loop {
            let write = board.next_write().await;
            let text = String::from_utf8_lossy(&write.value).into_owned();
            if text == wanted {
                return;
            }
            seen.push(text);
        }
    };
    // One deadline for all of them: signs of life come for ever.
    let timed_out = tokio::time::timeout(super::DEADLINE, came).await;
    assert!(timed_out.is_ok(), "no {wanted:?} after {seen:?}");
}

/// Answers as a Lovense toy does.
pub fn be_lovense(board: &Board) {
    let address = board.address().replace(':', "");
    board.on_write(move |bytes| match bytes {
        b"DeviceType;" => vec![format!("Z:11:{address};").into_bytes()],
        b"Battery;" => vec![b"85;".to_vec()],
        _ => Vec::new(),
    });
}
