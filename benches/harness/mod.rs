//! What the benchmarks share: servers in processes of their own, connections, percentiles.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod client;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config};

/// A benchmark's `main`: with `--echo` the bare echo, with `--forward TO` the bare forwarder, else `bench` with the number that follows `option`.
pub fn run<F: Future<Output = ()>>(
    option: &str,
    default: usize,
    echoed: fn(&Message) -> bool,
    bench: impl FnOnce(usize) -> F,
) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(unix)]
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if args.first().is_some_and(|a| a == "--echo") {
        runtime.block_on(echo_server(echoed));
        return;
    }
    if let [forward, to] = args.as_slice()
        && forward == "--forward"
    {
        runtime.block_on(forwarder(to));
        return;
    }
    let number = args
        .iter()
        .position(|a| a == option)
        .and_then(|i| args.get(i + 1))
        .map_or(default, |n| {
            n.parse().unwrap_or_else(|_| panic!("{option} takes a number"))
        });
    runtime.block_on(bench(number));
}

/// Every device is a socket here too.
#[cfg(unix)]
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be raised");
}

/// The baseline: what a websocket costs with nothing behind it. Library defaults, one task a connection.
async fn echo_server(echoed: fn(&Message) -> bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("ready echo=ws://{}", listener.local_addr().expect("bound"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        tokio::spawn(async move {
            let Ok(mut ws) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            while let Some(Ok(message)) = ws.next().await {
                if echoed(&message) && ws.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The other baseline: what standing in between costs when nothing is looked at. The library's own copy of bytes.
async fn forwarder(to: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("ready forward=ws://{}", listener.local_addr().expect("bound"));
    loop {
        let (mut near, _) = listener.accept().await.expect("a connection");
        let to = to.to_owned();
        tokio::spawn(async move {
            let mut far = TcpStream::connect(to).await.expect("an open port");
            near.set_nodelay(true).expect("a socket");
            far.set_nodelay(true).expect("a socket");
            // Its ends go as they like.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

pub type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server in a process of its own, killed when this goes.
pub struct Server {
    pub child: Child,
    urls: HashMap<String, String>,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a ready line");
        let urls = line
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        Self { child, urls }
    }

    /// This package's own program, with more arguments.
    pub fn gateway(state: &tempfile::TempDir, args: &[&str]) -> Self {
        Self::start(gateway(state).args(args))
    }

    /// This very program, started again as a server.
    pub fn itself(args: &[&str]) -> Self {
        Self::start(Command::new(std::env::current_exe().expect("this program")).args(args))
    }

    pub fn url(&self, name: &str) -> &str {
        &self.urls[name]
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0)
    }

    /// What it has computed so far.
    pub fn processor_time(&self) -> Duration {
        processor_time(self.child.id())
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process"), signal).expect("it runs");
    }

    /// Resident memory once it has not changed by a percent for a second.
    pub async fn settled(&self) -> u64 {
        let mut last = self.resident();
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.resident();
            if now.abs_diff(last) * 100 <= last {
                return now;
            }
            last = now;
        }
        last
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This package's own program, on ports that the system chooses; or another build of it, which `WSDM_GATEWAY` names.
pub fn gateway(state: &tempfile::TempDir) -> Command {
    let program = std::env::var_os("WSDM_GATEWAY");
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_wsdm-gateway").into());
    let mut command = Command::new(program);
    command
        .args([
            "run",
            "--device-listen",
            "127.0.0.1:0",
            "--client-listen",
            "127.0.0.1:0",
            "-qq",
        ])
        .env("WSDM_GATEWAY_PAGE_LISTEN", "127.0.0.1:0")
        .env("XDG_STATE_HOME", state.path())
        .env("XDG_RUNTIME_DIR", state.path());
    command
}

/// What a process has computed so far, in user mode and in the kernel.
pub fn processor_time(pid: u32) -> Duration {
    // In hundredths of a second; the name before them, in brackets, may have spaces.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

pub async fn connect(url: &str) -> Ws {
    let stream = TcpStream::connect(url.trim_start_matches("ws://"))
        .await
        .expect("an open port");
    stream.set_nodelay(true).expect("a socket");
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_write_buffer_size(1 << 20);
    let (ws, _) = client_async_with_config(url, MaybeTlsStream::Plain(stream), Some(config))
        .await
        .expect("a websocket");
    ws
}

pub fn handshake(i: usize) -> String {
    json!({ "identifier": "LVSDevice", "address": format!("{i:012X}"), "version": 0 }).to_string()
}

/// A percentile of durations in nanoseconds, in microseconds.
pub fn percentile(nanos: &mut [u64], p: f64) -> f64 {
    nanos.sort_unstable();
    nanos[((nanos.len() - 1) as f64 * p) as usize] as f64 / 1_000.0
}

pub fn percentiles(mut nanos: Vec<u64>) -> String {
    format!(
        "p50 {:>8.1} µs   p99 {:>8.1} µs",
        percentile(&mut nanos, 0.50),
        percentile(&mut nanos, 0.99)
    )
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
