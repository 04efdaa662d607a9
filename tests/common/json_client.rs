//! A Buttplug client in bare JSON, of any message version.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::within;

pub struct JsonClient {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    unread: Vec<Value>,
    id: u32,
    pub server_info: Value,
}

impl JsonClient {
    /// Connects and shakes hands.
    pub async fn connect(url: impl IntoClientRequest + Unpin, version: u32) -> Self {
        let (ws, _) = within("the websocket opens", connect_async(url))
            .await
            .expect("an open port");
        let mut client = Self {
            ws,
            unread: Vec::new(),
            id: 0,
            server_info: Value::Null,
        };
        let hello = match version {
            0 => json!({"ClientName": "json"}),
            1..=3 => json!({"ClientName": "json", "MessageVersion": version}),
            _ => json!({"ClientName": "json", "ProtocolVersionMajor": version, "ProtocolVersionMinor": 0}),
        };
        let reply = client.call("RequestServerInfo", hello).await;
        client.server_info = reply["ServerInfo"].clone();
        assert!(client.server_info.is_object(), "version {version}: {reply}");
        client
    }

    pub async fn raw(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.expect("an open socket");
    }

    /// Sends a message under a new id.
    pub async fn send(&mut self, name: &str, mut fields: Value) -> u32 {
        self.id += 1;
        fields["Id"] = self.id.into();
        self.raw(&json!([{ name: fields }]).to_string()).await;
        self.id
    }

    /// Sends a message and waits for its reply.
    pub async fn call(&mut self, name: &str, fields: Value) -> Value {
        let id = self.send(name, fields).await;
        self.next(|message| {
            message
                .as_object()
                .and_then(|o| o.values().next())
                .is_some_and(|b| b["Id"] == id)
        })
        .await
    }

    /// The next message of this name.
    pub async fn event(&mut self, name: &str) -> Value {
        self.next(|message| message.get(name).is_some()).await[name].clone()
    }

    /// Waits until a device is listed: its index.
    pub async fn first_device(&mut self) -> u64 {
        let mut list = self.call("RequestDeviceList", json!({})).await["DeviceList"].clone();
        loop {
            if let Some(index) = list["Devices"].as_object().and_then(|d| d.keys().next()) {
                return index.parse().expect("an index");
            }
            list = self.event("DeviceList").await;
        }
    }

    /// The devices that the server lists now.
    pub async fn device_indexes(&mut self) -> Vec<u64> {
        let list = self.call("RequestDeviceList", json!({})).await;
        let devices = list["DeviceList"]["Devices"]
            .as_object()
            .expect("a list of version 4");
        devices
            .keys()
            .map(|index| index.parse().expect("an index"))
            .collect()
    }

    async fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        within("a message", async {
            loop {
                if let Some(at) = self.unread.iter().position(&wanted) {
                    return self.unread.remove(at);
                }
                match self
                    .ws
                    .next()
                    .await
                    .expect("an open socket")
                    .expect("a whole message")
                {
                    Message::Text(text) => {
                        self.unread
                            .extend(serde_json::from_str::<Vec<Value>>(&text).expect("an array of messages"));
                    }
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("not a text message: {other:?}"),
                }
            }
        })
        .await
    }

    /// Reads until the server closes: its code.
    pub async fn closed(&mut self) -> Option<u16> {
        within("a Close frame", async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|f| f.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
    }

    /// Closes in good order, and waits for the server's own Close frame.
    pub async fn goodbye(mut self) {
        self.ws.close(None).await.expect("an open socket");
        self.closed().await;
    }

    /// Goes without a word, as a crashed app does.
    pub fn reset(self) {
        reset(self.ws);
    }

    /// The bare websocket.
    pub fn into_inner(self) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        self.ws
    }
}

/// Drops a connection so that the far end gets a reset.
pub fn reset(ws: WebSocketStream<MaybeTlsStream<TcpStream>>) {
    let MaybeTlsStream::Plain(stream) = ws.into_inner() else {
        unreachable!("no TLS here")
    };
    stream.set_zero_linger().expect("a socket");
}
