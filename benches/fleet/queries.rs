//! A query of an app, to the board and back, beside an echo of as many bytes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use rumqttc::{AsyncClient, Event, MqttOptions, NetworkOptions, Packet, QoS};
use serde_json::json;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use crate::APPS;
use crate::harness::client::Client;
use crate::harness::{self, Server, connect, percentiles};
use crate::ways::{Broker, Way};

/// Messages that a client of the broker has under way.
const UNDER_WAY: usize = 1_024;

fn print(name: &str, boards: usize, rate: u64, edges: usize, nanos: Vec<u64>) {
    println!(
        "  {name:<18} {boards:>4} x {rate:>5}/s  {edges:>2} edges   {}",
        percentiles(nanos)
    );
}

/// Asks each of the boards of one app in turn; the next only when an answer has come.
async fn paced<F: Future<Output = ()>>(
    boards: usize,
    rate: u64,
    seconds: usize,
    mut ask: impl FnMut(usize) -> F,
) -> Vec<u64> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / (rate as u32 * boards as u32));
    let started = Instant::now();
    let mut nanos = Vec::new();
    while started.elapsed() < Duration::from_secs(seconds as u64) {
        pace.tick().await;
        let asked = Instant::now();
        ask(nanos.len() % boards).await;
        nanos.push(asked.elapsed().as_nanos() as u64);
    }
    nanos
}

/// As many as an app asks.
fn of_app(app: usize, boards: usize) -> Vec<usize> {
    (app..boards).step_by(APPS.min(boards)).collect()
}

/// A websocket to each board, and an echo at its end.
pub async fn websocket(boards: usize, rate: u64, seconds: usize) {
    let echo = Server::itself(&["--echo"]);
    let mut apps = Vec::new();
    for app in 0..APPS.min(boards) {
        let url = echo.url("echo").to_owned();
        apps.push(tokio::spawn(async move {
            let mut sockets = Vec::new();
            for _ in of_app(app, boards) {
                sockets.push(Arc::new(tokio::sync::Mutex::new(connect(&url).await)));
            }
            paced(sockets.len(), rate, seconds, |n| {
                let socket = sockets[n].clone();
                async move {
                    let mut socket = socket.lock().await;
                    let sent = socket.send(Message::binary(&b"L0123I000100"[..])).await;
                    sent.expect("an open socket");
                    socket.next().await.expect("an echo").expect("an echo");
                }
            })
            .await
        }));
    }
    let mut nanos = Vec::new();
    for app in apps {
        nanos.extend(app.await.expect("no panic"));
    }
    print("bare echo", boards, rate, 0, nanos);
}

/// A client of the broker, whose messages go to `take`.
fn client(
    broker: &Broker,
    name: &str,
    topic: &str,
    mut take: impl FnMut(&AsyncClient, &str, &[u8]) + Send + 'static,
) -> (AsyncClient, AbortOnDropHandle<()>, oneshot::Receiver<()>) {
    let mut options = MqttOptions::new(name, broker.at.ip().to_string(), broker.at.port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, UNDER_WAY);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    client
        .try_subscribe(topic, QoS::AtMostOnce)
        .expect("an empty queue");
    let (subscribed, is_subscribed) = oneshot::channel();
    let mut subscribed = Some(subscribed);
    let answers = client.clone();
    let task = tokio::spawn(async move {
        loop {
            match events.poll().await.expect("a broker") {
                Event::Incoming(Packet::SubAck(_)) => {
                    if let Some(subscribed) = subscribed.take() {
                        let _ = subscribed.send(());
                    }
                }
                Event::Incoming(Packet::Publish(publish)) => take(&answers, &publish.topic, &publish.payload),
                _ => {}
            }
        }
    });
    (client, AbortOnDropHandle::new(task), is_subscribed)
}

/// The broker alone: as many clients as there are edges echo what one sends.
pub async fn broker_alone(boards: usize, rate: u64, edges: usize, seconds: usize) {
    let broker = Broker::start(true).await;
    let mut tasks = Vec::new();
    for edge in 0..edges {
        let (_, task, subscribed) = client(
            &broker,
            &format!("edge-{edge}"),
            &format!("bench/{edge}/+/down"),
            |answers, topic, payload| {
                let up = topic.replace("/down", "/up");
                // A full queue is a lost echo: then its app waits for ever, and that is seen.
                answers
                    .try_publish(up, QoS::AtMostOnce, false, payload)
                    .expect("room");
            },
        );
        subscribed.await.expect("a subscription");
        tasks.push(task);
    }
    let waiting: Arc<Vec<Mutex<Option<oneshot::Sender<()>>>>> =
        Arc::new((0..boards).map(|_| Mutex::default()).collect());
    let answered = waiting.clone();
    let (hub, _task, subscribed) = client(&broker, "hub", "bench/+/+/up", move |_, topic, _| {
        let board: usize = topic
            .split('/')
            .nth(2)
            .and_then(|n| n.parse().ok())
            .expect("a board");
        if let Some(answer) = answered[board].lock().expect("whole").take() {
            let _ = answer.send(());
        }
    });
    subscribed.await.expect("a subscription");
    let mut apps = Vec::new();
    for app in 0..APPS.min(boards) {
        let (hub, waiting) = (hub.clone(), waiting.clone());
        let mine = of_app(app, boards);
        apps.push(tokio::spawn(async move {
            paced(mine.len(), rate, seconds, |n| {
                let board = mine[n];
                let (answer, answered) = oneshot::channel();
                *waiting[board].lock().expect("whole") = Some(answer);
                let topic = format!("bench/{}/{board}/down", board % edges);
                // The header of a frame, and twelve bytes.
                hub.try_publish(topic, QoS::AtMostOnce, false, [0x30; 28])
                    .expect("room");
                async move { answered.await.expect("an echo") }
            })
            .await
        }));
    }
    let mut nanos = Vec::new();
    for app in apps {
        nanos.extend(app.await.expect("no panic"));
    }
    print("mosquitto alone", boards, rate, edges, nanos);
}

/// Battery queries through gateways.
pub async fn queried(way: &Way, boards: usize, rate: u64, seconds: usize) {
    let mut tasks = Vec::new();
    for n in 0..boards {
        tasks.push(AbortOnDropHandle::new(tokio::spawn(board(way.devices(n), n))));
    }
    let client = Client::connect(way.hub.url("clients")).await;
    let mut listed = client.listed.clone();
    listed.wait_for(|l| l.len() == boards).await.expect("a client");
    let indexes = listed.borrow_and_update().clone();
    let mut apps = Vec::new();
    for app in 0..APPS.min(boards) {
        let (url, indexes) = (way.hub.url("clients").to_owned(), indexes.clone());
        apps.push(tokio::spawn(async move {
            let mine = of_app(app, boards);
            let client = Arc::new(tokio::sync::Mutex::new(Client::connect(&url).await));
            paced(mine.len(), rate, seconds, |n| {
                let (client, index) = (client.clone(), indexes[mine[n]]);
                async move {
                    let query = json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"});
                    let reply = client.lock().await.call("InputCmd", query).await;
                    assert!(reply.get("InputReading").is_some(), "{reply}");
                }
            })
            .await
        }));
    }
    let mut nanos = Vec::new();
    for app in apps {
        nanos.extend(app.await.expect("no panic"));
    }
    print(way.name, boards, rate, way.edges.len(), nanos);
    drop(tasks);
    listed.wait_for(Vec::is_empty).await.expect("a client");
}

/// A Lovense board that answers what it is asked.
async fn board(url: String, n: usize) {
    let mut ws = connect(&url).await;
    ws.send(Message::text(harness::handshake(n)))
        .await
        .expect("an open socket");
    while let Some(Ok(message)) = ws.next().await {
        let Message::Binary(frame) = message else { continue };
        let answer = match &frame[..] {
            b"DeviceType;" => format!("S:11:{n:012X};"),
            b"Battery;" => "90;".to_owned(),
            _ => continue,
        };
        if ws.send(Message::binary(answer)).await.is_err() {
            return;
        }
    }
}
