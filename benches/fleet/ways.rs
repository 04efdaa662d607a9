//! What stands between apps and boards: one gateway, two by a relay, or a hub and edges with a broker between them.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::PLACES;
use crate::harness::{Server, processor_time};

/// A mosquitto of its own, killed when this goes.
pub struct Broker {
    child: Child,
    pub at: SocketAddr,
    _folder: TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    pub async fn start(nodelay: bool) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let at = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port");
        let file = folder.path().join("mosquitto.conf");
        let config = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay {nodelay}\nlog_type none\n",
            at.port()
        );
        std::fs::write(&file, config).expect("a file");
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto: install the package mosquitto");
        while tokio::net::TcpStream::connect(at).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            child,
            at,
            _folder: folder,
        }
    }

    pub fn processor_time(&self) -> Duration {
        processor_time(self.child.id())
    }
}

/// What stands between the apps and the boards.
pub struct Way {
    pub name: &'static str,
    pub hub: Server,
    pub edges: Vec<Server>,
    pub broker: Option<Broker>,
    _folder: TempDir,
}

/// A gateway with this configuration.
fn gateway(folder: &TempDir, name: &str, toml: &str) -> Server {
    let file = folder.path().join(format!("{name}.toml"));
    let id = |n: u32| format!("5a0e1f0c-0000-4000-8000-00000000000{n}");
    let output = json!({"hw_position_with_duration": {"value": [0, PLACES - 1], "duration": [0, 99_999]}});
    let features = json!([{"index": 0, "id": id(1), "description": "L0", "output": output}]);
    let udcf = json!({"version": {"major": 5, "minor": 0}, "user_configs": {"protocols": {"lovense": {"communication": [{"websocket": {"name": "LVSDevice"}}]}, "tcode-v03": {
        "communication": [{"websocket": {"name": "Bench"}}],
        "configurations": [{"identifier": ["Bench"], "name": "Bench", "id": id(0), "features": features}]}}}});
    let path = folder.path().join("udcf.json");
    std::fs::write(&path, udcf.to_string()).expect("a file");
    let state = folder.path().join(format!("{name}.json"));
    std::fs::write(
        &file,
        format!("[udcf]\npath = {path:?}\n[state]\npath = {state:?}\n{toml}"),
    )
    .expect("a file");
    let home = tempfile::tempdir().expect("a directory");
    Server::gateway(&home, &["--config", file.to_str().expect("a path")])
}

impl Way {
    pub fn alone() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        Self {
            name: "one gateway",
            hub: gateway(&folder, "hub", ""),
            edges: Vec::new(),
            broker: None,
            _folder: folder,
        }
    }

    pub fn relayed(edges: usize) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let hub = gateway(&folder, "hub", "");
        let toml = format!("[upstream]\nrelay = {:?}\n", hub.url("devices"));
        Self {
            name: "relay, no broker",
            edges: (0..edges)
                .map(|n| gateway(&folder, &format!("edge-{n}"), &toml))
                .collect(),
            hub,
            broker: None,
            _folder: folder,
        }
    }

    /// By a mosquitto; with Nagle's algorithm, as it is by default, or without.
    pub async fn through_a_broker(edges: usize, nodelay: bool) -> Self {
        let broker = Broker::start(nodelay).await;
        let mut way = Self::through(broker.at, broker.at, edges);
        way.name = if nodelay { "mosquitto" } else { "mosquitto, Nagle" };
        way.broker = Some(broker);
        way
    }

    /// By a broker that edges and hub reach at these addresses.
    pub fn through(of_edges: SocketAddr, of_hub: SocketAddr, edges: usize) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let hub = format!("[mqtt]\nbroker = \"mqtt://{of_hub}\"\nhub = \"hub-1\"\n");
        let toml = |n: usize| format!("[upstream]\nmqtt = \"mqtt://{of_edges}\"\nedge = \"edge-{n}\"\n");
        Self {
            name: "mosquitto",
            hub: gateway(&folder, "hub", &hub),
            edges: (0..edges)
                .map(|n| gateway(&folder, &format!("edge-{n}"), &toml(n)))
                .collect(),
            broker: None,
            _folder: folder,
        }
    }

    /// Where the `n`th board connects.
    pub fn devices(&self, n: usize) -> String {
        let server = if self.edges.is_empty() {
            &self.hub
        } else {
            &self.edges[n % self.edges.len()]
        };
        server.url("devices").to_owned()
    }

    /// What hub, edges and broker have computed so far.
    pub fn processor_times(&self) -> [Duration; 3] {
        [
            self.hub.processor_time(),
            self.edges.iter().map(Server::processor_time).sum(),
            self.broker
                .as_ref()
                .map(Broker::processor_time)
                .unwrap_or_default(),
        ]
    }
}
