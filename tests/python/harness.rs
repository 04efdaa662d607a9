//! The gateway's own binary on free ports, a Python script, and a Buttplug client.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use buttplug_client::connector::ButtplugRemoteClientConnector;
use buttplug_client::{ButtplugClient, ButtplugClientDevice, ButtplugClientEvent};
use buttplug_transport_websocket_tungstenite::ButtplugWebsocketClientTransport;
use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running gateway; it is killed when dropped.
pub struct Gateway {
    /// The URL that devices connect to.
    pub devices: String,
    /// The URL that Buttplug clients connect to.
    pub clients: String,
    _process: Child,
    /// Kept open: a gateway that prints to a closed pipe would fail for that alone.
    _stdout: Lines<BufReader<ChildStdout>>,
    _home: tempfile::TempDir,
}

impl Gateway {
    /// Starts it on ports that the system chooses, with a state directory of its own.
    pub async fn start(args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("stderr");
        let mut process = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"))
            .args([
                "run",
                "--device-listen",
                "127.0.0.1:0",
                "--client-listen",
                "127.0.0.1:0",
            ])
            .args(args)
            .env("XDG_STATE_HOME", home.path().join("state"))
            .env("XDG_CONFIG_HOME", home.path().join("config"))
            .env("XDG_RUNTIME_DIR", home.path())
            .env("WSDM_GATEWAY_PAGE_LISTEN", "127.0.0.1:0")
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = timeout(READY_WITHIN, async {
            while let Some(line) = stdout.next_line().await.unwrap() {
                if let Some(bound) = line.strip_prefix("ready ") {
                    return Some(bound.to_owned());
                }
            }
            None
        });
        let ready = ready.await.ok().flatten();
        let ready = ready.unwrap_or_else(|| {
            panic!(
                "the gateway printed no ready line:\n{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            )
        });
        let bound = |name: &str| {
            let word = ready.split_whitespace().find_map(|word| word.strip_prefix(name));
            word.unwrap_or_else(|| panic!("no {name} in {ready:?}"))
                .to_owned()
        };
        Self {
            devices: bound("devices="),
            clients: bound("clients="),
            _process: process,
            _stdout: stdout,
            _home: home,
        }
    }
}

/// A running script; it is killed when dropped.
pub struct Python {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Python {
    /// Starts a script of this repository under the Python that `./test` prepared.
    pub async fn start(script: &str, args: &[&str]) -> Self {
        let python = std::env::var_os("WSDM_TEST_PYTHON").map(PathBuf::from).expect(
            "WSDM_TEST_PYTHON is not set: these tests need a Python that has the package `websockets`; run ./test",
        );
        let mut process = Command::new(&python)
            .arg("-u")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; run ./test", python.display()));
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            process,
            lines,
            seen: Vec::new(),
        }
    }

    /// Reads on to the next line that has this text in it.
    pub async fn line_with(&mut self, text: &str, within: Duration) -> String {
        let found = timeout(within, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.seen.push(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        });
        match found.await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("the script ended without {text:?}; it printed {:#?}", self.seen),
            Err(_) => panic!(
                "no {text:?} within {within:?}; the script printed {:#?}",
                self.seen
            ),
        }
    }

    /// Every line that it prints in so much time.
    pub async fn lines_for(&mut self, time: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                lines.push(line);
            }
        };
        let _ = timeout(time, reading).await;
        lines
    }

    /// SIGKILL: the script has no say in it, the system closes its socket.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }
}

/// A Buttplug client, connected.
pub async fn client(gateway: &Gateway) -> ButtplugClient {
    let client = ButtplugClient::new("wsdm-gateway test");
    let transport = ButtplugWebsocketClientTransport::new_insecure_connector(&gateway.clients);
    let connector: ButtplugRemoteClientConnector<_> = ButtplugRemoteClientConnector::new(transport);
    client.connect(connector).await.unwrap();
    client
}

/// Waits until the client lists a device of this name.
pub async fn device_named(client: &ButtplugClient, name: &str, within: Duration) -> ButtplugClientDevice {
    let listed = || {
        client
            .devices()
            .into_values()
            .find(|device| device.name() == name)
    };
    let mut events = client.event_stream();
    let found = timeout(within, async {
        loop {
            if let Some(device) = listed() {
                return device;
            }
            next(&mut events).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("no {name:?} within {within:?}; listed: {:?}", client.devices()))
}

/// Waits until the client lists no device of this index.
pub async fn until_gone(client: &ButtplugClient, index: u32, within: Duration) {
    let mut events = client.event_stream();
    let gone = timeout(within, async {
        while client.devices().contains_key(&index) {
            next(&mut events).await;
        }
    });
    gone.await
        .unwrap_or_else(|_| panic!("device {index} is still listed after {within:?}"));
}

async fn next(events: &mut (impl StreamExt<Item = ButtplugClientEvent> + Unpin)) {
    let event = events
        .next()
        .await
        .expect("the client's events end with the client");
    assert!(
        !matches!(event, ButtplugClientEvent::ServerDisconnect),
        "the gateway dropped its client"
    );
}

/// The Python devices of `udcf-examples/`, by their path in this repository.
pub fn folders_with_a_python_device() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("udcf-examples");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
    let scripts: Vec<_> = folders
        .filter(|entry| entry.path().join("device.py").exists())
        .map(|entry| format!("udcf-examples/{}/device.py", entry.file_name().display()))
        .collect();
    assert!(!scripts.is_empty(), "udcf-examples/ has no device.py");
    scripts
}
