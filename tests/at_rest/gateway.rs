//! The real program, in a process of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::common::model_board::UDCF;
use super::common::process::run;
use super::common::signal;
use super::common::within;
use wsdm_gateway::net::tls::Fingerprint;

/// A running gateway. Dropping it kills it.
pub struct Gateway {
    child: Child,
    /// Where devices connect.
    pub devices: String,
    /// That of its certificate, if it speaks TLS.
    pub fingerprint: Option<Fingerprint>,
    /// Where apps connect; empty if it relays.
    pub clients: String,
    pub control: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    _home: TempDir,
}

impl Gateway {
    /// Starts one with this gateway.toml; `env` is for its environment.
    pub async fn start(toml: &str, upstream: Option<&str>, env: &[(&str, String)]) -> Self {
        let home = TempDir::new().expect("a folder to write in");
        let (file, udcf) = (home.path().join("gateway.toml"), home.path().join("udcf.json"));
        std::fs::write(&file, toml).expect("a folder to write in");
        std::fs::write(&udcf, UDCF).expect("a folder to write in");
        let control = home.path().join("control.sock");
        let mut command = run(home.path());
        command
            .arg("--json")
            .arg("--config")
            .arg(&file)
            .arg("--udcf")
            .arg(&udcf);
        command.arg("--control").arg(&control);
        if let Some(upstream) = upstream {
            command.args(["--upstream", upstream]);
        }
        command.envs(env.iter().cloned());
        let mut child = command.spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = within("the ready line", stdout.next_line()).await.expect("text");
        let ready = ready.unwrap_or_else(|| panic!("no ready line: {:#?}", log.lock()));
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
        let url = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        Self {
            devices: url("devices"),
            fingerprint: url("fingerprint").parse().ok(),
            clients: url("clients"),
            child,
            control,
            log,
            _home: home,
        }
    }

    pub fn signal(&self, signal: Signal) {
        signal::send(self.child.id().expect("a running gateway"), signal);
    }

    /// What it logged last.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log[log.len().saturating_sub(12)..].join("\n")
    }
}
