//! The reference server: its own device listener and its own Buttplug server, with a port for one real client.

use std::net::SocketAddr;
use std::sync::Arc;

use buttplug_core::message::serializer::{ButtplugMessageSerializer, ButtplugSerializedMessage};
use buttplug_server::ButtplugServerBuilder;
use buttplug_server::device::ServerDeviceManagerBuilder;
use buttplug_server::message::serializer::ButtplugServerJSONSerializer;
use buttplug_server_hwmgr_websocket::WebsocketServerDeviceCommunicationManagerBuilder;
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use wsdm_gateway::udcf::Udcf;

use super::reserved::Reserved;
use super::within;

/// A running reference server. It is gone when this is dropped.
pub struct Reference {
    /// Where devices connect.
    pub devices: String,
    /// Where a client connects.
    pub clients: String,
    task: JoinHandle<()>,
    _reserved: Reserved,
}

impl Drop for Reference {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reference {
    /// Knows what the gateway's built-in configuration names.
    pub async fn start() -> Self {
        let reserved = Reserved::default();
        let port = reserved.port();
        let dcm = Udcf::builtin().device_configuration().expect("built in");
        let manager = ServerDeviceManagerBuilder::new_with_arc(dcm)
            .comm_manager(WebsocketServerDeviceCommunicationManagerBuilder::default().server_port(port))
            .finish()
            .expect("a device manager");
        let manager = Arc::new(manager);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let clients: SocketAddr = listener.local_addr().expect("bound");
        within("the reference listens", async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, manager.clone()).await;
            }
        });
        Self {
            devices: format!("ws://127.0.0.1:{port}"),
            clients: format!("ws://{clients}"),
            task,
            _reserved: reserved,
        }
    }
}

/// One client, until it goes.
async fn serve(stream: TcpStream, manager: Arc<buttplug_server::device::ServerDeviceManager>) {
    let server = ButtplugServerBuilder::with_shared_device_manager(manager)
        .finish()
        .expect("a server");
    let serializer = ButtplugServerJSONSerializer::default();
    let mut ws = tokio_tungstenite::accept_async(stream).await.expect("a client");
    let mut events = Box::pin(server.event_stream());
    loop {
        let answer = tokio::select! {
            Some(event) = events.next() => event,
            message = ws.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let text = ButtplugSerializedMessage::Text(text.as_str().to_owned());
                    let messages = serializer.deserialize(&text).expect("Buttplug");
                    for message in messages {
                        let answer = match server.parse_message(message).await {
                            Ok(answer) | Err(answer) => answer,
                        };
                        if let ButtplugSerializedMessage::Text(text) = serializer.serialize(&[answer]) {
                            ws.send(Message::text(text)).await.expect("an open socket");
                        }
                    }
                    continue;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if let ButtplugSerializedMessage::Text(text) = serializer.serialize(&[answer]) {
            ws.send(Message::text(text)).await.expect("an open socket");
        }
    }
}
