//! What the integration tests share: a gateway in this process, devices that speak raw websocket, and a clock.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod bare_device;
pub mod bare_http;
pub mod bare_websocket;
#[cfg(target_os = "linux")]
pub mod bluetooth;
#[cfg(target_os = "linux")]
pub mod bluez;
#[cfg(unix)]
pub mod ended;
pub mod forwarder;
pub mod json_client;
pub mod listener;
#[cfg(unix)]
pub mod log;
pub mod model_board;
#[cfg(unix)]
pub mod mosquitto;
#[cfg(target_os = "linux")]
pub mod namespace;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod pty;
#[cfg(unix)]
pub mod pty_pair;
pub mod reference;
pub mod reserved;
#[cfg(unix)]
pub mod signal;
#[cfg(target_os = "linux")]
pub mod system;
#[cfg(unix)]
pub mod tcode_board;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use buttplug_client::ButtplugClient;
use buttplug_client::connector::ButtplugRemoteClientConnector;
use buttplug_client::device::ClientDeviceOutputCommand;
use buttplug_client::serializer::ButtplugClientJSONSerializer;
use buttplug_transport_websocket_tungstenite::ButtplugWebsocketClientTransport;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use wsdm_gateway::config::{
    ClientSettings, DeviceSettings, Files, Layers, Loaded, Origins, PageSettings, RelaySettings, Settings,
    UpstreamSettings,
};
use wsdm_gateway::gateway::{Bound, Gateway, GatewayError};
use wsdm_gateway::link::serial::ports::Ports;
use wsdm_gateway::net::target::Target;
use wsdm_gateway::net::tls::Tls;
use wsdm_gateway::web::port::access::Access;

/// Past this, something that should have happened did not. Generous: machines are slow, and it costs nothing.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A port that the system chooses.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Defaults, on ports that the system chooses, remembering nothing; with pings so rare that a peer which a test does not read
/// for a while is not taken for gone.
pub fn settings() -> Settings {
    Settings {
        devices: DeviceSettings {
            listen: ANY_PORT.into(),
            announce: false,
            token: None,
            tls: None,
            origins: Vec::new(),
            handshake_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(60),
            on_close: None,
        },
        clients: ClientSettings {
            listen: ANY_PORT.into(),
            announce: false,
            origins: Origins::Any,
            question_timeout: Duration::from_secs(60),
            server_name: "test gateway".to_owned(),
            max_ping_time: None,
            handshake_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(60),
            stop_after: Duration::from_millis(1_500),
        },
        page: None,
        upstream: None,
        mqtt: None,
        serial: Vec::new(),
        ble: Vec::new(),
        dial: Vec::new(),
        ports: Ports::system(),
        udcf: None,
        bridge_udcf: false,
        state_file: None,
        control: None,
        files: Files::default(),
    }
}

/// Ports that the system chooses, the page among them, as text for a gateway.toml.
pub const PORTS: &str = "[devices]\nlisten = \"127.0.0.1:0\"\n[clients]\nlisten = \"127.0.0.1:0\"\n\
                     [page]\nlisten = \"127.0.0.1:0\"\n[state]\npath = \"state.json\"\n";

/// What `gateway.toml` in this folder comes to, of which this is the text besides its ports.
pub fn from_files(folder: &Path, toml: &str) -> Settings {
    from_text(folder, &format!("{PORTS}{toml}"))
}

/// The same with all of its text.
pub fn from_text(folder: &Path, toml: &str) -> Settings {
    let file = folder.join("gateway.toml");
    std::fs::write(&file, toml).expect("a folder to write in");
    let loaded = Loaded::load(Some(&file), Layers::default());
    loaded.expect("a configuration that holds").settings
}

/// The page at this address.
pub fn page_at(listen: SocketAddr) -> PageSettings {
    PageSettings {
        listen: listen.into(),
        is_required: true,
        hosts: Vec::new(),
        password: None,
        token: None,
    }
}

/// The same, giving every device to this server.
pub fn relaying(upstream: &str) -> Settings {
    Settings {
        upstream: Some(UpstreamSettings::Relay(RelaySettings {
            relay: Target::parse(upstream).expect("a URL"),
            tls: Tls::system(),
            grace: Duration::from_secs(30),
            stop_after: Duration::from_millis(1_500),
        })),
        ..settings()
    }
}

/// A gateway in this process.
pub struct Running {
    pub bound: Bound,
    /// Who may use the page.
    pub page_access: Option<Access>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), GatewayError>>,
}

impl Running {
    pub async fn start(settings: Settings) -> Self {
        let gateway = Gateway::bind(settings).await.expect("the gateway starts");
        let bound = gateway.bound();
        let page_access = gateway.page_access().cloned();
        let stop = CancellationToken::new();
        let task = tokio::spawn(gateway.serve(stop.clone()));
        Self {
            bound,
            page_access,
            stop,
            task,
        }
    }

    pub fn devices(&self) -> String {
        format!("ws://{}", self.bound.devices)
    }

    pub fn clients(&self) -> String {
        format!("ws://{}", self.bound.clients.expect("a server inside"))
    }

    /// Where the page is.
    pub fn page(&self) -> SocketAddr {
        *self.bound.page_addresses.first().expect("a page")
    }

    /// What a signal does.
    pub async fn stop(self) {
        self.stop.cancel();
        within("the gateway stops", self.task)
            .await
            .expect("without a panic")
            .expect("it was told to stop");
    }
}

/// Awaits something that must happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("in time: {what}"))
}

/// Looks again and again until it is so.
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A device at the level of websocket messages, for what no well-behaved device does.
pub struct RawDevice {
    pub ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl RawDevice {
    pub async fn connect(url: &str) -> Self {
        let (ws, _) = within("the websocket opens", connect_async(url))
            .await
            .expect("an open port");
        Self { ws }
    }

    /// Connects and shakes hands.
    pub async fn hello(url: &str, identifier: &str, address: &str) -> Self {
        let mut device = Self::connect(url).await;
        device.text(&handshake(identifier, address)).await;
        device
    }

    /// A lovense that has answered the server's question, and so is about to be listed.
    pub async fn lovense(url: &str, address: &str) -> Self {
        let mut device = Self::hello(url, "LVSDevice", address).await;
        device.expect("DeviceType;").await;
        device.binary(format!("Z:11:{address};").as_bytes()).await;
        device
    }

    pub async fn text(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.expect("an open socket");
    }

    pub async fn binary(&mut self, bytes: &[u8]) {
        self.ws
            .send(Message::binary(bytes.to_vec()))
            .await
            .expect("an open socket");
    }

    /// The next frame of the gateway, as text.
    pub async fn frame(&mut self) -> String {
        within("a frame", async {
            loop {
                match self
                    .ws
                    .next()
                    .await
                    .expect("an open socket")
                    .expect("a whole message")
                {
                    Message::Binary(bytes) => return String::from_utf8(bytes.into()).expect("text"),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("not a binary frame: {other:?}"),
                }
            }
        })
        .await
    }

    /// Reads until this very frame comes.
    pub async fn expect(&mut self, wanted: &str) {
        let mut seen = Vec::new();
        loop {
            let frame = within(&format!("{wanted:?} after {seen:?}"), self.frame()).await;
            if frame == wanted {
                return;
            }
            seen.push(frame);
        }
    }

    /// Reads until the gateway closes: the code and the reason.
    pub async fn closed(&mut self) -> (u16, String) {
        within("a Close frame", async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return (frame.code.into(), frame.reason.as_str().to_owned());
                    }
                    Some(Ok(Message::Close(None))) | None => panic!("closed without a code"),
                    Some(Ok(_)) => {}
                    Some(Err(e)) => panic!("broken before a Close frame: {e}"),
                }
            }
        })
        .await
    }
}

/// The handshake's JSON.
pub fn handshake(identifier: &str, address: &str) -> String {
    serde_json::json!({ "identifier": identifier, "address": address, "version": 0 }).to_string()
}

/// Waits until a client lists so many devices.
pub async fn listed(client: &ButtplugClient, devices: usize) {
    wait_until("the list", || client.devices().len() == devices).await;
}

/// Has the only device of a client vibrate, from 0 to 1.
pub async fn vibrate(client: &ButtplugClient, strength: f64) {
    let device = client.devices().into_values().next().expect("a device");
    within(
        "a command",
        device.run_output(&ClientDeviceOutputCommand::Vibrate(strength.into())),
    )
    .await
    .expect("a device that takes it");
}

/// A real Buttplug client, connected.
pub async fn client(url: &str, name: &str) -> ButtplugClient {
    let connector = ButtplugRemoteClientConnector::<_, ButtplugClientJSONSerializer>::new(
        ButtplugWebsocketClientTransport::new_insecure_connector(url),
    );
    let client = ButtplugClient::new(name);
    within("the client connects", client.connect(connector))
        .await
        .expect("a Buttplug server");
    client
}
