//! A device with the receive window of an ESP32 that reads nothing for some seconds, in the middle of a hundred commands a
//! second: how old is what it obeys?
//!
//! Beside it the same device without a gateway, and one that answers no pings: of that the gateway cannot tell what it has
//! received.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::bare_device::{BareDevice, ESP32_WINDOW, Pongs};
use crate::harness::{Server, handshake, percentiles};

/// Between two commands.
const PAUSE: Duration = Duration::from_millis(10);
/// Before a stall, and after it.
const BESIDE: Duration = Duration::from_secs(1);
/// A command that was obeyed later than this was meant for a moment that is over.
const STALE: Duration = Duration::from_millis(250);

/// The way from the commands to the device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bare,
    Gateway(Pongs),
}

pub async fn stalls() {
    println!("device that reads nothing for a while, 100 commands a second");
    for (way, name) in [
        (Way::Bare, "no gateway"),
        (Way::Gateway(Pongs::Never), "gateway, pings not answered"),
        (Way::Gateway(Pongs::Whole), "gateway"),
    ] {
        for seconds in [0, 2, 4] {
            let (sent, obeyed) = stall(way, Duration::from_secs(seconds)).await;
            let mut ages: Vec<u64> = (obeyed.iter())
                .map(|(n, at)| (*at - sent[*n]).as_nanos() as u64)
                .collect();
            let stale = ages.iter().filter(|age| **age > STALE.as_nanos() as u64).count();
            let oldest = ages.iter().max().map_or(0, |age| age / 1_000_000);
            let last = if obeyed.last().is_some_and(|(n, _)| *n + 1 == sent.len()) {
                "arrived"
            } else {
                "DID NOT ARRIVE"
            };
            println!(
                "  {name:<28} {seconds} s: {:>4} obeyed of {:>4}, {stale:>4} of them stale, the oldest {oldest:>5} ms old; the last \
                 one {last}",
                ages.len(),
                sent.len()
            );
            if seconds == 0 {
                // What came while connections were being set up.
                ages.drain(..20.min(ages.len()));
                println!("  {:<28} age   {}", "", percentiles(ages));
            }
        }
    }
}

/// When each command was sent, and which were obeyed when.
async fn stall(way: Way, stall: Duration) -> (Vec<Instant>, Vec<(usize, Instant)>) {
    let state = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = listener.local_addr().expect("bound");
    let (gateway, at, pongs) = match way {
        Way::Bare => (None, here, Pongs::Whole),
        Way::Gateway(pongs) => {
            // One that is silent for two intervals is let go.
            let file = state.path().join("gateway.toml");
            std::fs::write(&file, "[devices]\nping_interval_ms = 10000\n").expect("a file");
            let file = file.to_str().expect("text");
            let gateway = Server::gateway(&state, &["--upstream", &format!("ws://{here}"), "--config", file]);
            let url = gateway.url("devices").trim_start_matches("ws://");
            let at = url.parse().expect("an address");
            (Some(gateway), at, pongs)
        }
    };
    let hello = handshake(0);
    let (connected, far) = tokio::join!(BareDevice::connect(at, ESP32_WINDOW, &hello), accept(&listener));
    let mut device = connected.expect("a device");
    device.pongs = pongs;
    let (mut sink, mut answers) = far.split();
    // Pings are answered.
    tokio::spawn(async move { while let Some(Ok(_)) = answers.next().await {} });

    let obeying = tokio::spawn(async move {
        let mut obeyed = Vec::new();
        let mut stalls_at = Some(Instant::now() + BESIDE);
        let until = Instant::now() + BESIDE + stall + BESIDE + Duration::from_millis(500);
        loop {
            if stalls_at.is_some_and(|at| at <= Instant::now()) {
                stalls_at = None;
                tokio::time::sleep(stall).await;
            }
            let left = until.saturating_duration_since(Instant::now());
            let Ok(Ok(frame)) = tokio::time::timeout(left, device.next()).await else {
                return obeyed;
            };
            if let Some(n) = String::from_utf8_lossy(&frame)
                .strip_prefix("Vibrate:")
                .and_then(|level| level.trim_end_matches(';').parse().ok())
            {
                obeyed.push((n, Instant::now()));
            }
        }
    });
    let mut sent = Vec::new();
    let mut turns = tokio::time::interval(PAUSE);
    let until = Instant::now() + BESIDE + stall + BESIDE;
    while Instant::now() < until {
        turns.tick().await;
        let n = sent.len();
        sent.push(Instant::now());
        sink.send(Message::binary(format!("Vibrate:{n};")))
            .await
            .expect("an open socket");
    }
    let obeyed = obeying.await.expect("no panic");
    drop(gateway);
    (sent, obeyed)
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = listener.accept().await.expect("a device");
    stream.set_nodelay(true).expect("a socket");
    accept_async(stream).await.expect("a websocket")
}
