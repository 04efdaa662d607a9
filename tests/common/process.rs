//! The program in a process of its own.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{DEADLINE, signal, within};

/// A gateway in a process of its own, with directories of its own.
pub struct Process {
    pub child: Child,
    pub devices: String,
    /// Empty if devices are relayed.
    pub clients: String,
    /// Empty if there is no page.
    pub page: String,
}

pub fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"));
    command
        .args(args)
        .env_clear()
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_RUNTIME_DIR", home)
        .env("WSDM_GATEWAY_PAGE_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// `run`, on ports that the system chooses.
pub fn run(home: &Path) -> Command {
    let ports = [
        "run",
        "--device-listen",
        "127.0.0.1:0",
        "--client-listen",
        "127.0.0.1:0",
    ];
    command(home, &ports)
}

impl Process {
    pub async fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = run(home);
        command.args(args);
        Self::spawn(command).await
    }

    /// The address of the page.
    pub fn page_address(&self) -> SocketAddr {
        let address = self.page.trim_start_matches("http://").trim_end_matches('/');
        address.parse().expect("a page")
    }

    /// The same, of a [`run`] that was added to.
    pub async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        // Reading the server's own devices takes a second of processor time, which other programs may be using.
        tokio::time::timeout(3 * DEADLINE, stdout.read_line(&mut line))
            .await
            .expect("in time: the ready line")
            .expect("a line");
        let url = |name: &str| {
            let word = line.split_whitespace().find_map(|w| w.strip_prefix(name));
            word.unwrap_or_else(|| panic!("{name} in {line:?}")).to_owned()
        };
        let relays = line.contains(" upstream=");
        let has_page = line.contains(" page=");
        Self {
            devices: url("devices="),
            clients: if relays { String::new() } else { url("clients=") },
            page: if has_page { url("page=") } else { String::new() },
            child,
        }
    }

    pub fn signal(&self, signal: Signal) {
        signal::send(self.child.id().expect("running"), signal);
    }

    pub async fn exit_code(&mut self) -> Option<i32> {
        within("the process ends", self.child.wait())
            .await
            .expect("a status")
            .code()
    }
}

/// The program where every user may run it: a build directory in somebody's home is not such a place.
pub fn program_for_everybody(folder: &Path) -> PathBuf {
    let copy = folder.join("wsdm-gateway");
    if !copy.exists() {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("our own folder");
        // Not copied by this process: a child that another test starts meanwhile would hold the file open for
        // writing, and then it cannot be run.
        let copied = std::process::Command::new("cp")
            .args([Path::new(env!("CARGO_BIN_EXE_wsdm-gateway")), &copy])
            .status();
        assert!(copied.expect("cp").success());
    }
    copy
}

/// Root passes every mode.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
