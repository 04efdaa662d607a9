//! What the page costs: the processor time of a gateway under steady traffic, without a page, with one open, and with one
//! that watches a device. All in one run, so that the first figure is the others' baseline.
//!
//! `cargo bench --bench page` prints a table. It asserts nothing: a figure is for people to read.

mod harness;

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use harness::{Server, connect, handshake};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Frames a second from each device.
const RATE: u32 = 25;
/// How long each figure is measured.
const MEASURED: Duration = Duration::from_secs(10);
/// How long the traffic runs before.
const SETTLES: Duration = Duration::from_secs(3);

fn main() {
    harness::run("--devices", 200, |_| false, bench);
}

async fn bench(count: usize) {
    let state = tempfile::tempdir().expect("a directory");
    let gateway = Server::gateway(&state, &[]);
    let mut devices = Vec::new();
    for i in 0..count {
        devices.push(device(&gateway, i).await);
    }
    println!("page: {count} devices, {RATE} frames a second from each, a Lovense's replies");
    println!("                             processor      frames/s   to the page");
    tokio::time::sleep(SETTLES).await;
    measure("no page", &gateway, None).await;
    measure("one page open", &gateway, Some(None)).await;
    measure("one page that watches", &gateway, Some(Some(0))).await;
    measure("no page again", &gateway, None).await;
    devices.iter().for_each(JoinHandle::abort);
}

/// A device that sends readings which nobody asked for.
async fn device(gateway: &Server, i: usize) -> JoinHandle<()> {
    let mut ws = connect(gateway.url("devices")).await;
    ws.send(Message::text(handshake(i)))
        .await
        .expect("an open socket");
    tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    if ws.send(Message::binary(&b"OK;"[..])).await.is_err() {
                        return;
                    }
                }
                message = ws.next() => match message {
                    Some(Ok(Message::Binary(frame))) if &frame[..] == b"DeviceType;" => {
                        let answer = format!("S:11:{i:012X};");
                        if ws.send(Message::binary(answer)).await.is_err() {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
            }
        }
    })
}

/// `page` is whether one is open, and which device it watches.
async fn measure(name: &str, gateway: &Server, page: Option<Option<usize>>) {
    let received = match page {
        Some(watched) => Some(open(gateway, watched).await),
        None => None,
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (frames, used, since) = (frames(gateway).await, gateway.processor_time(), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let seconds = since.elapsed().as_secs_f64();
    let share = (gateway.processor_time() - used).as_secs_f64() / seconds * 100.0;
    let rate = (self::frames(gateway).await - frames) as f64 / seconds;
    let bytes = match received {
        Some(task) => {
            task.abort();
            let bytes = BYTES.swap(0, std::sync::atomic::Ordering::Relaxed);
            format!("{:>7.1} kB/s", bytes as f64 / 1e3 / (seconds + 1.0))
        }
        None => String::new(),
    };
    println!("  {name:<24} {share:>8.1} %     {rate:>8.0}    {bytes}");
}

static BYTES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

async fn open(gateway: &Server, watched: Option<usize>) -> JoinHandle<()> {
    let page = gateway.url("page").trim_end_matches('/');
    let mut request = format!("ws{}/api/live", page.trim_start_matches("http"))
        .into_client_request()
        .expect("a URL");
    let origin = page.parse().expect("a header's value");
    request.headers_mut().insert("Origin", origin);
    let (mut ws, _) = tokio_tungstenite::connect_async(request).await.expect("the page");
    if let Some(i) = watched {
        let watch = format!("{{\"watch\": \"{i:012X}\"}}");
        ws.send(Message::text(watch)).await.expect("an open socket");
    }
    tokio::spawn(async move {
        while let Some(Ok(message)) = ws.next().await {
            BYTES.fetch_add(message.len(), std::sync::atomic::Ordering::Relaxed);
        }
    })
}

/// The frames of all devices, as the metrics count them.
async fn frames(gateway: &Server) -> u64 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let page = gateway
        .url("page")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let mut stream = tokio::net::TcpStream::connect(page).await.expect("the page");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("an open socket");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text.lines()
        .filter(|line| line.starts_with("wsdm_gateway_frames_from_device_total"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
