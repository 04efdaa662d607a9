//! Relaying and serial lines, beside a bare websocket echo and a bare pty echo in the same run.
//!
//! `cargo bench --bench bridge` prints a table and asserts nothing. The far server is a websocket echo that skips the
//! handshake, in a process of its own; the gateway stands between it and the devices, in another.
//!
//! `cargo bench --bench bridge -- --idle 500` for a quick look; the default is 5,000 idle devices.
#![cfg(unix)]

#[path = "../tests/common/bare_device.rs"]
mod bare_device;
mod harness;
#[path = "../tests/common/pty_pair.rs"]
mod pty_pair;
#[path = "bridge/stall.rs"]
mod stall;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{SinkExt, StreamExt};
use harness::{Server, Ws, connect, cores, handshake, percentile, percentiles};
use pty_pair::pair;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// Round trips that one latency figure is taken from.
const ROUND_TRIPS: usize = 5_000;
/// A frame of 12 bytes.
const FRAME: &[u8] = b"L0500I0100V;";
/// How long a rate is measured.
const RATE_TIME: Duration = Duration::from_secs(3);
/// Bits a second of the slow line, and what its far end reads in a second.
const SLOW_BAUD: usize = 9_600;
const SLOW_BYTES: usize = SLOW_BAUD / 10;

fn main() {
    // The far server skips the handshake, as a server that has nothing to say to it.
    harness::run("--idle", 5_000, Message::is_binary, |idle| async move {
        println!(
            "bridge: {} cores, devices, gateway and far server on this machine",
            cores()
        );
        let direct = relay().await;
        stall::stalls().await;
        serial(direct).await;
        slow_line().await;
        idle_devices(idle).await;
    });
}

async fn device(url: &str, n: usize) -> Ws {
    let mut ws = connect(url).await;
    ws.send(Message::text(handshake(n)))
        .await
        .expect("an open socket");
    ws
}

async fn round_trips(ws: &mut Ws) -> Vec<u64> {
    let mut nanos = Vec::with_capacity(ROUND_TRIPS);
    // The first ones set up connections further on.
    for n in 0..ROUND_TRIPS + 200 {
        let started = Instant::now();
        ws.send(Message::binary(FRAME)).await.expect("an open socket");
        while !ws.next().await.expect("an echo").expect("whole").is_binary() {}
        if n >= 200 {
            nanos.push(started.elapsed().as_nanos() as u64);
        }
    }
    nanos
}

/// Echoes a second with so many devices, each of which waits for its echo before it sends again.
async fn rate(url: &str, devices: usize) -> f64 {
    let echoes = Arc::new(AtomicU64::new(0));
    let running = FuturesUnordered::new();
    for n in 0..devices {
        let (url, echoes) = (url.to_owned(), echoes.clone());
        running.push(tokio::spawn(async move {
            let mut ws = device(&url, n).await;
            loop {
                ws.send(Message::binary(FRAME)).await.expect("an open socket");
                while !ws.next().await.expect("an echo").expect("whole").is_binary() {}
                echoes.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    while echoes.load(Ordering::Relaxed) < 10 * devices as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (before, started) = (echoes.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(RATE_TIME).await;
    let rate = (echoes.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64();
    for task in &running {
        task.abort();
    }
    rate
}

/// nginx as a websocket proxy, where it is installed: what a relay that knows nothing of devices costs.
struct Nginx {
    child: std::process::Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Nginx {
    async fn start(echo: &str) -> Option<Self> {
        let program = Path::new("/usr/sbin/nginx");
        if !program.exists() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = port.local_addr().expect("bound");
        drop(port);
        let at = folder.path().display();
        let echo = echo.trim_start_matches("ws://");
        let config = format!(
            "daemon off; pid {at}/pid; error_log {at}/log; worker_processes auto;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; server {{ listen {address}; location / {{\n\
               proxy_pass http://{echo}; proxy_http_version 1.1; proxy_read_timeout 1h;\n\
               proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;\n\
             }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).expect("a file");
        let child = std::process::Command::new(program)
            .args(["-c", file.to_str().expect("text"), "-e", &format!("{at}/log")])
            .spawn()
            .expect("nginx");
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(Self {
            child,
            url: format!("ws://{address}"),
            _folder: folder,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers go with it only when it is asked.
        let pid = self.child.id().to_string();
        let _ = std::process::Command::new("kill").arg(pid).status();
        let _ = self.child.wait();
    }
}

/// Returns the bare echo's p50 in microseconds.
async fn relay() -> f64 {
    let state = tempfile::tempdir().expect("a directory");
    let echo = Server::itself(&["--echo"]);
    let gateway = Server::gateway(&state, &["--upstream", echo.url("echo")]);
    let forwarder = Server::itself(&["--forward", echo.url("echo").trim_start_matches("ws://")]);
    let nginx = Nginx::start(echo.url("echo")).await;
    println!("websocket device, there and back");
    // In turns, so that a change of the machine's mood hits all of them.
    let (mut direct, mut relayed, mut forwarded, mut proxied) = (vec![], vec![], vec![], vec![]);
    let mut near = device(echo.url("echo"), 0).await;
    let mut far = device(gateway.url("devices"), 0).await;
    let mut through = device(forwarder.url("forward"), 0).await;
    let mut beside = match &nginx {
        Some(nginx) => Some(device(&nginx.url, 0).await),
        None => None,
    };
    for _ in 0..4 {
        direct.extend(round_trips(&mut near).await);
        relayed.extend(round_trips(&mut far).await);
        forwarded.extend(round_trips(&mut through).await);
        if let Some(beside) = &mut beside {
            proxied.extend(round_trips(beside).await);
        }
    }
    println!("  bare echo        {}", percentiles(direct.clone()));
    println!("  through relay    {}", percentiles(relayed.clone()));
    println!("  bytes forwarded  {}", percentiles(forwarded.clone()));
    let bare = percentile(&mut direct, 0.5);
    if proxied.is_empty() {
        println!("  through nginx    not installed");
    } else {
        println!("  through nginx    {}", percentiles(proxied.clone()));
        println!(
            "  p50 through nginx is {:.2} times the bare one",
            percentile(&mut proxied, 0.5) / bare
        );
    }
    println!(
        "  p50 through relay is {:.2} times the bare one",
        percentile(&mut relayed, 0.5) / bare
    );
    println!(
        "  p50 with bytes forwarded unseen is {:.2} times the bare one",
        percentile(&mut forwarded, 0.5) / bare
    );
    drop((near, far, through));
    println!("echoes a second");
    for devices in [1, 50, 500] {
        let (bare, relayed) = (
            rate(echo.url("echo"), devices).await,
            rate(gateway.url("devices"), devices).await,
        );
        let forwarded = rate(forwarder.url("forward"), devices).await;
        let proxied = match &nginx {
            Some(nginx) => format!("   through nginx {:>8.0}", rate(&nginx.url, devices).await),
            None => String::new(),
        };
        println!(
            "  {devices:>3} devices      bare {bare:>8.0}   through relay {relayed:>8.0}   {:.2} of it   forwarded \
             {forwarded:>8.0}{proxied}",
            relayed / bare
        );
    }
    bare
}

/// A board that sends everything back.
fn echo_board(mut master: File) {
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(read) = master.read(&mut bytes) {
            if master.write_all(&bytes[..read]).is_err() {
                return;
            }
        }
    });
}

fn bare_pty_round_trips() -> Vec<u64> {
    let (master, _, mut slave) = pair();
    echo_board(master);
    let mut answer = [0; FRAME.len()];
    let mut nanos = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let started = Instant::now();
        slave.write_all(FRAME).expect("a wire");
        slave.read_exact(&mut answer).expect("an echo");
        nanos.push(started.elapsed().as_nanos() as u64);
    }
    nanos
}

fn entry(port: &str, keys: &str) -> String {
    format!("[[serial]]\nport = {port:?}\nidentifier = \"TCodeDevice\"\naddress = \"board\"\n{keys}\n")
}

/// A gateway with one board, relaying to this process; the far end of the board's connection.
async fn bridged(state: &tempfile::TempDir, toml: &str) -> (Server, Ws) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    let file = state.path().join("gateway.toml");
    std::fs::write(&file, toml).expect("a file");
    let gateway = Server::gateway(
        state,
        &["--upstream", &url, "--config", file.to_str().expect("text")],
    );
    let (stream, _) = listener.accept().await.expect("a device");
    stream.set_nodelay(true).expect("a socket");
    let mut ws = tokio_tungstenite::accept_async(tokio_tungstenite::MaybeTlsStream::Plain(stream))
        .await
        .expect("a websocket");
    ws.next().await.expect("a handshake").expect("whole");
    (gateway, ws)
}

async fn serial(bare_websocket: f64) {
    println!(
        "board on a pty (4,000,000 baud), a frame of 12 bytes from the far server to the board and back"
    );
    let state = tempfile::tempdir().expect("a directory");
    let mut bare = tokio::task::spawn_blocking(bare_pty_round_trips)
        .await
        .expect("no panic");
    println!("  bare pty echo    {}", percentiles(bare.clone()));
    let (master, name, _slave) = pair();
    echo_board(master);
    let keys = "baud_rate = 4000000\nframing = { delimiter = \";\" }\ncoalesce = \"none\"";
    let (_gateway, mut far) = bridged(&state, &entry(&name, keys)).await;
    let mut nanos = round_trips(&mut far).await;
    println!("  through gateway  {}", percentiles(nanos.clone()));
    let sum = percentile(&mut bare, 0.5) + bare_websocket;
    println!(
        "  p50 through the gateway is {:.2} times the sum of a bare pty echo and a bare websocket echo ({sum:.1} µs)",
        percentile(&mut nanos, 0.5) / sum
    );
    if Path::new("/usr/sbin/ser2net").exists() {
        println!("  ser2net          {}", percentiles(ser2net().await));
    } else {
        println!("  ser2net          not installed");
    }
}

/// The same board behind ser2net and TCP.
async fn ser2net() -> Vec<u64> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (master, name, _slave) = pair();
    echo_board(master);
    let folder = tempfile::tempdir().expect("a directory");
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = port.local_addr().expect("bound");
    drop(port);
    let file = folder.path().join("ser2net.yaml");
    let yaml = format!(
        "connection: &board\n  accepter: tcp,127.0.0.1,{}\n  connector: serialdev,{name},115200n81,local\n",
        address.port()
    );
    std::fs::write(&file, yaml).expect("a file");
    let mut child = std::process::Command::new("/usr/sbin/ser2net")
        .args(["-n", "-c", file.to_str().expect("text")])
        .spawn()
        .expect("ser2net");
    let mut stream = loop {
        match tokio::net::TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    stream.set_nodelay(true).expect("a socket");
    let mut answer = [0; FRAME.len()];
    let mut nanos = Vec::new();
    for _ in 0..ROUND_TRIPS / 5 {
        let started = Instant::now();
        stream.write_all(FRAME).await.expect("an open socket");
        stream.read_exact(&mut answer).await.expect("an echo");
        nanos.push(started.elapsed().as_nanos() as u64);
    }
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    nanos
}

/// A line of 9,600 baud that is offered twenty times what it carries: how old is a command when it leaves?
async fn slow_line() {
    let state = tempfile::tempdir().expect("a directory");
    let (mut master, name, _slave) = pair();
    let keys = format!("baud_rate = {SLOW_BAUD}");
    let (gateway, mut far) = bridged(&state, &entry(&name, &keys)).await;
    let started = Instant::now();
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..10_000).map(|_| AtomicU64::new(0)).collect());

    // The board's end takes 960 bytes a second, as a UART does, and notes when each line's last byte came.
    let (clock, stop) = (sent.clone(), Arc::new(AtomicU64::new(0)));
    let stopped = stop.clone();
    let reader = std::thread::spawn(move || {
        let mut ages: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        let mut last = String::new();
        let byte_time = Duration::from_nanos(1_000_000_000 / SLOW_BYTES as u64);
        let mut next = Instant::now();
        let mut byte = [0];
        while master.read_exact(&mut byte).is_ok() {
            // A byte that came after a pause starts a new count; one that waited takes its turn.
            next = next.max(Instant::now() - byte_time) + byte_time;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            line.push(byte[0]);
            if byte[0] == b'\n' {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                if let Some(n) = text.get(2..6).and_then(|n| n.parse::<usize>().ok()) {
                    let then = clock[n].load(Ordering::Acquire);
                    ages.push((started.elapsed().as_nanos() as u64).saturating_sub(then));
                    last = text;
                }
                if stopped.load(Ordering::Acquire) > 0 && last.starts_with("L09999") {
                    return (ages, true);
                }
            }
        }
        (ages, false)
    });

    let frame = "L00000\n".len();
    let offered = 20 * SLOW_BYTES / frame;
    let before = gateway.resident();
    let seconds = 10;
    let pause = Duration::from_secs(1) / offered as u32;
    let mut due = Instant::now();
    for n in 0..offered * seconds {
        let n = n % 9_999;
        sent[n].store(started.elapsed().as_nanos() as u64, Ordering::Release);
        far.send(Message::binary(format!("L0{n:04}\n")))
            .await
            .expect("an open socket");
        due += pause;
        if let Some(wait) = due
            .checked_duration_since(Instant::now())
            .filter(|w| *w > Duration::from_millis(1))
        {
            tokio::time::sleep(wait).await;
        }
    }
    let after = gateway.resident();
    stop.store(1, Ordering::Release);
    sent[9_999].store(started.elapsed().as_nanos() as u64, Ordering::Release);
    far.send(Message::binary("L09999\n"))
        .await
        .expect("an open socket");
    let (mut ages, last_arrived) = tokio::task::spawn_blocking(move || reader.join().expect("no panic"))
        .await
        .expect("no panic");
    let three = 3.0 * frame as f64 / SLOW_BYTES as f64 * 1_000.0;
    println!(
        "line of {SLOW_BAUD} baud, offered {offered} commands a second of {frame} bytes for {seconds} s"
    );
    println!(
        "  carried {} commands; age when the last byte leaves: p50 {:.1} ms   p99 {:.1} ms   max {:.1} ms   (three frames: {three:.1} ms)",
        ages.len(),
        percentile(&mut ages, 0.5) / 1_000.0,
        percentile(&mut ages, 0.99) / 1_000.0,
        percentile(&mut ages, 1.0) / 1_000.0,
    );
    println!(
        "  the last command {}; the gateway's memory went from {before} to {after} KiB",
        if last_arrived { "arrived" } else { "DID NOT ARRIVE" }
    );
}

async fn idle_devices(count: usize) {
    let state = tempfile::tempdir().expect("a directory");
    let echo = Server::itself(&["--echo"]);
    let gateway = Server::gateway(&state, &["--upstream", echo.url("echo")]);
    let before = gateway.settled().await;
    let started = Instant::now();
    let mut all = HashMap::new();
    let mut connecting = FuturesUnordered::new();
    for n in 0..count {
        let url = gateway.url("devices").to_owned();
        connecting.push(async move {
            let mut ws = device(&url, n).await;
            // An echo shows that it is relayed.
            ws.send(Message::binary(FRAME)).await.expect("an open socket");
            while !ws.next().await.expect("an echo").expect("whole").is_binary() {}
            (n, ws)
        });
        if connecting.len() >= 64 {
            let (n, ws) = connecting.next().await.expect("one is running");
            all.insert(n, ws);
        }
    }
    while let Some((n, ws)) = connecting.next().await {
        all.insert(n, ws);
    }
    println!("{count} idle websocket devices, relayed");
    println!("  all relayed after {:.2} s", started.elapsed().as_secs_f64());
    // They answer pings while they are polled; nothing else happens.
    let polls: Vec<_> = all
        .into_values()
        .map(|mut ws| tokio::spawn(async move { while let Some(Ok(_)) = ws.next().await {} }))
        .collect();
    let after = gateway.settled().await;
    let (busy, measured) = (gateway.processor_time(), Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!(
        "  memory a device {:.1} KiB ({} MiB in all); {:.1} % of one core for their pings",
        (after.saturating_sub(before)) as f64 / count as f64,
        after / 1024,
        100.0 * (gateway.processor_time() - busy).as_secs_f64() / measured.elapsed().as_secs_f64()
    );
    let gone = polls.iter().filter(|p| p.is_finished()).count();
    println!("  {gone} of them were lost");
}
