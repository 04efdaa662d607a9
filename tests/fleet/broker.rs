//! A real mosquitto, and a bare client of it.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, NetworkOptions, Publish, QoS};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::common::reserved::Reserved;
use super::common::{DEADLINE, signal, wait_until, within};

/// A broker in a process of its own. Dropping it kills it.
pub struct Broker {
    child: Child,
    pub port: u16,
    /// Where its configuration, its log and what it remembers are.
    pub folder: TempDir,
    /// What its command line begins with: to run in a namespace.
    wrapper: Vec<String>,
    host: Ipv4Addr,
    _reserved: Reserved,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    /// Anybody may do anything, and nothing is remembered after its end.
    pub async fn start() -> Self {
        Self::with("allow_anonymous true\n").await
    }

    /// With these lines in its configuration besides.
    pub async fn with(config: &str) -> Self {
        let folder = TempDir::new().expect("a folder to write in");
        Self::in_folder(folder, config, Ipv4Addr::LOCALHOST, &[]).await
    }

    /// The same, with files in its folder that the configuration names: `FOLDER` stands for it there.
    pub async fn in_folder(folder: TempDir, config: &str, host: Ipv4Addr, wrapper: &[&str]) -> Self {
        let config = config.replace("FOLDER", &folder.path().display().to_string());
        let wrapper: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).collect();
        let reserved = Reserved::default();
        let port = reserved.port();
        let text = format!(
            "listener {port}{}\nset_tcp_nodelay true\nuser root\nlog_type all\nlog_dest file {}\n{config}",
            if wrapper.is_empty() { " 127.0.0.1" } else { "" },
            folder.path().join("log").display(),
        );
        fs::write(folder.path().join("mosquitto.conf"), text).expect("a folder to write in");
        let mut broker = Self {
            child: spawn(&wrapper, folder.path()),
            port,
            folder,
            wrapper,
            host,
            _reserved: reserved,
        };
        let listens = listens(&mut broker.child, broker.folder.path(), 1).await;
        assert!(listens, "mosquitto does not start:\n{}", broker.log());
        broker
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.port))
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Until a client of this id is subscribed to this topic with QoS 1. That it is connected is known before.
    pub async fn subscribed(&self, client: &str, topic: &str) {
        let line = format!(": {client} 1 {topic}");
        wait_until(&line, || self.log().lines().any(|logged| logged.ends_with(&line))).await;
    }

    pub fn signal(&self, signal: Signal) {
        signal::send(self.child.id(), signal);
    }

    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.child.id())
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Ends it in good order, so that it writes what it is to remember.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.child.wait().expect("it ends");
    }

    /// Starts it again, at the same port.
    pub async fn start_again(&mut self) {
        let before = runs(self.folder.path());
        self.child = spawn(&self.wrapper, self.folder.path());
        let listens = listens(&mut self.child, self.folder.path(), before + 1).await;
        assert!(listens, "{}", self.log());
    }

    /// Publishes by mosquitto's own tool.
    pub fn publish(&self, args: &[&str]) {
        let sent = Command::new("mosquitto_pub")
            .args([
                "-h",
                &self.host.to_string(),
                "-p",
                &self.port.to_string(),
                "-q",
                "1",
            ])
            .args(args)
            .status();
        assert!(sent.expect("mosquitto_pub").success());
    }
}

fn spawn(wrapper: &[String], folder: &Path) -> Child {
    let words: Vec<&str> = wrapper
        .iter()
        .map(String::as_str)
        .chain(["mosquitto", "-c"])
        .collect();
    Command::new(words[0])
        .args(&words[1..])
        .arg(folder.join("mosquitto.conf"))
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto: install the package mosquitto, as ./test does")
}

/// How many times a broker in this folder has opened its port, by its log: a port that is open may be somebody else's.
fn runs(folder: &Path) -> usize {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    log.lines().filter(|line| line.ends_with(" running")).count()
}

async fn listens(child: &mut Child, folder: &Path, times: usize) -> bool {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        if runs(folder) >= times {
            return true;
        }
        if !child.try_wait().is_ok_and(|ended| ended.is_none()) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// What a process occupies, in KiB.
pub fn memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    words.and_then(|kib| kib.parse().ok()).expect("a number")
}

/// A client that is no gateway, and what it received.
pub struct Mqtt {
    pub client: AsyncClient,
    received: Arc<Mutex<Vec<(Instant, Publish)>>>,
    acknowledged: Arc<AtomicUsize>,
    published: usize,
    task: JoinHandle<()>,
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mqtt {
    pub async fn connect(broker: &Broker, id: &str) -> Self {
        let at = broker.address();
        let mut options = MqttOptions::new(id, at.ip().to_string(), at.port());
        options.set_keep_alive(Duration::from_secs(60));
        Self::with(options).await
    }

    pub async fn with(mut options: MqttOptions) -> Self {
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = AsyncClient::new(options, 1_000);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        within("a connection to the broker", async {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => return,
                    Ok(_) => {}
                    // A broker that is full, or starts.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await;
        let received = Arc::<Mutex<Vec<(Instant, Publish)>>>::default();
        let acknowledged = Arc::<AtomicUsize>::default();
        let (into, acks) = (received.clone(), acknowledged.clone());
        let task = tokio::spawn(async move {
            // It ends when it is thrown out.
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Incoming::Publish(publish)) => {
                        let mut received = into.lock().unwrap_or_else(PoisonError::into_inner);
                        received.push((Instant::now(), publish));
                    }
                    Event::Incoming(Incoming::PubAck(_) | Incoming::SubAck(_)) => {
                        acks.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {}
                }
            }
        });
        Self {
            client,
            received,
            acknowledged,
            published: 0,
            task,
        }
    }

    async fn acknowledged(&mut self) {
        self.published += 1;
        wait_until("the broker's acknowledgement", || {
            self.acknowledged.load(Ordering::Relaxed) >= self.published
        })
        .await;
    }

    pub async fn subscribe(&mut self, topic: &str) {
        self.client
            .subscribe(topic, QoS::AtLeastOnce)
            .await
            .expect("a client");
        self.acknowledged().await;
    }

    /// Publishes, and waits until the broker has it.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, retain, payload);
        sent.await.expect("a client");
        self.acknowledged().await;
    }

    /// Publishes at once, with nobody knowing what becomes of it.
    pub async fn send(&self, topic: &str, payload: &[u8]) {
        let sent = self.client.publish(topic, QoS::AtMostOnce, false, payload);
        sent.await.expect("a client");
    }

    /// What came on topics that end like this, oldest first.
    pub fn on(&self, suffix: &str) -> Vec<(Instant, Vec<u8>)> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let on_topic = received
            .iter()
            .filter(|(_, publish)| publish.topic.ends_with(suffix));
        on_topic
            .map(|(at, publish)| (*at, publish.payload.to_vec()))
            .collect()
    }

    /// On how many topics something came.
    pub fn topics(&self) -> usize {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = received
            .iter()
            .filter(|(_, publish)| !publish.payload.is_empty())
            .map(|(_, publish)| &publish.topic);
        topics.collect::<HashSet<_>>().len()
    }

    /// The newest that came on such a topic, as JSON; `Null` if it was empty or none came.
    pub fn last(&self, suffix: &str) -> serde_json::Value {
        let last = self.on(suffix).pop().map(|(_, payload)| payload);
        serde_json::from_slice(&last.unwrap_or_default()).unwrap_or_default()
    }
}
