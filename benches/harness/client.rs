//! A Buttplug client in bare JSON, so that its own cost is small.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

use super::{Ws, connect};

/// A Buttplug client of message version 4.
pub struct Client {
    sink: SplitSink<Ws, Message>,
    replies: mpsc::UnboundedReceiver<Value>,
    /// The indexes of the devices that are listed; kept by the reader.
    pub listed: watch::Receiver<Vec<u32>>,
    pub lists: Arc<Lists>,
    id: u32,
}

/// The device lists that it got.
#[derive(Default)]
pub struct Lists {
    pub count: AtomicU64,
    pub bytes: AtomicU64,
}

impl Client {
    pub async fn connect(url: &str) -> Self {
        let (sink, stream) = connect(url).await.split();
        let (reply, replies) = mpsc::unbounded_channel();
        let (list, listed) = watch::channel(Vec::new());
        let lists = Arc::new(Lists::default());
        tokio::spawn(read_client(stream, reply, list, lists.clone()));
        let mut client = Self {
            sink,
            replies,
            listed,
            lists,
            id: 0,
        };
        let hello = json!({"ClientName": "bench", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": 0});
        client.call("RequestServerInfo", hello).await;
        client.call("RequestDeviceList", json!({})).await;
        client
    }

    pub async fn call(&mut self, name: &str, mut fields: Value) -> Value {
        self.id += 1;
        fields["Id"] = self.id.into();
        self.sink
            .send(Message::text(json!([{ name: fields }]).to_string()))
            .await
            .expect("an open socket");
        loop {
            let reply = self.replies.recv().await.expect("a reply");
            let body = reply
                .as_object()
                .and_then(|o| o.values().next())
                .expect("a message");
            if body["Id"] == self.id {
                return reply;
            }
        }
    }
}

async fn read_client(
    mut stream: SplitStream<Ws>,
    reply: mpsc::UnboundedSender<Value>,
    list: watch::Sender<Vec<u32>>,
    lists: Arc<Lists>,
) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let messages: Vec<Value> = serde_json::from_str(&text).expect("Buttplug messages");
        for message in messages {
            if let Some(devices) = message["DeviceList"]["Devices"].as_object() {
                lists.count.fetch_add(1, Ordering::Relaxed);
                lists.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
                list.send_replace(devices.keys().map(|k| k.parse().expect("an index")).collect());
            }
            let _ = reply.send(message);
        }
    }
}
