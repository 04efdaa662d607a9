//! A network between the broker and its clients that knows MQTT's packets: messages overtake each other on it, and single
//! clients are cut off. A real broker keeps the order of a topic, and one connection; a cluster need not.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// The first four bits of a message.
const PUBLISH: u8 = 3;

/// A message as it was passed on to a client.
#[derive(Clone, Debug)]
pub struct Passed {
    pub at: std::time::Instant,
    pub topic: String,
    pub payload: Vec<u8>,
}

/// How much later the first message on topics that end like this comes, the second and so on; then from the beginning.
struct Delays {
    suffix: &'static str,
    ms: Vec<u64>,
    turn: usize,
}

#[derive(Default)]
struct Shared {
    delays: Mutex<Vec<Delays>>,
    /// The clients that are cut off.
    cut: watch::Sender<HashSet<String>>,
    passed: Mutex<Vec<Passed>>,
    waiting: AtomicUsize,
    /// Messages that came after one that was sent later.
    overtaken: AtomicUsize,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Such a network. Dropping it ends its connections.
pub struct Reorderer {
    /// Where clients connect.
    pub at: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

impl Reorderer {
    /// In front of the broker at this address. In order, until [`Self::delay`] is called.
    pub async fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let at = listener.local_addr().expect("bound");
        let shared = Arc::<Shared>::default();
        let served = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(connection(client, broker, served.clone()));
            }
        });
        Self {
            at,
            shared,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.at)
    }

    /// From now on what clients are sent on topics that end like this comes so many milliseconds later, in turn: what has
    /// no delay overtakes what has one. The longest ending that fits counts.
    pub fn delay(&self, suffix: &'static str, ms: &[u64]) {
        let mut delays = lock(&self.shared.delays);
        delays.retain(|rule| rule.suffix != suffix);
        delays.push(Delays {
            suffix,
            ms: ms.to_vec(),
            turn: 0,
        });
        delays.sort_by_key(|rule| std::cmp::Reverse(rule.suffix.len()));
    }

    /// Resets the connection of this client, and those that it makes.
    pub fn cut(&self, client: &str) {
        self.shared.cut.send_modify(|cut| {
            cut.insert(client.to_owned());
        });
    }

    /// Lets all clients connect.
    pub fn heal(&self) {
        self.shared.cut.send_modify(HashSet::clear);
    }

    /// What clients were sent on topics that end like this, in this order.
    pub fn passed(&self, suffix: &str) -> Vec<Passed> {
        let passed = lock(&self.shared.passed);
        let on_topic = passed.iter().filter(|passed| passed.topic.ends_with(suffix));
        on_topic.cloned().collect()
    }

    /// How many messages are on their way.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// How many messages came after one that was sent later.
    pub fn overtaken(&self) -> usize {
        self.shared.overtaken.load(Ordering::Relaxed)
    }
}

async fn connection(mut client: TcpStream, broker: SocketAddr, shared: Arc<Shared>) {
    let Ok(mut broker) = TcpStream::connect(broker).await else {
        return;
    };
    let is_cut = {
        let (mut from_client, to_client) = client.split();
        let (from_broker, mut to_broker) = broker.split();
        let Ok(connect) = packet(&mut from_client).await else {
            return;
        };
        let id = client_id(&connect).unwrap_or_default();
        let mut cut = shared.cut.subscribe();
        let both = async {
            to_client.as_ref().set_nodelay(true)?;
            to_broker.as_ref().set_nodelay(true)?;
            to_broker.write_all(&connect).await?;
            tokio::try_join!(
                async {
                    tokio::io::copy(&mut from_client, &mut to_broker).await?;
                    to_broker.shutdown().await
                },
                pass(from_broker, to_client, &shared)
            )
        };
        tokio::select! {
            biased;
            _ = cut.wait_for(|cut| cut.contains(&id)) => true,
            ended = both => ended.is_err(),
        }
    };
    if is_cut {
        let _ = client.set_zero_linger();
        let _ = broker.set_zero_linger();
    }
}

/// A message that is on its way.
struct OnItsWay {
    due: Instant,
    /// Its place among those that came.
    place: usize,
    packet: Vec<u8>,
    topic: String,
    payload: Vec<u8>,
}

/// The messages of a connection that are on their way.
struct Queue<'a> {
    messages: Vec<OnItsWay>,
    shared: &'a Shared,
    came: usize,
    newest_passed: usize,
}

impl Queue<'_> {
    fn put(&mut self, packet: Vec<u8>, topic: String, payload: Vec<u8>) {
        let delay = match lock(&self.shared.delays)
            .iter_mut()
            .find(|rule| topic.ends_with(rule.suffix))
        {
            Some(rule) => {
                rule.turn += 1;
                Duration::from_millis(rule.ms[rule.turn % rule.ms.len()])
            }
            None => Duration::ZERO,
        };
        self.came += 1;
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.messages.push(OnItsWay {
            due: Instant::now() + delay,
            place: self.came,
            packet,
            topic,
            payload,
        });
    }

    /// The one that is due first.
    fn next(&self) -> Option<(usize, Instant)> {
        let first = self.messages.iter().enumerate();
        let first = first.min_by_key(|(_, message)| (message.due, message.place))?;
        Some((first.0, first.1.due))
    }

    /// Takes one, which is about to be written.
    fn take(&mut self, at: usize) -> Vec<u8> {
        let OnItsWay {
            place,
            packet,
            topic,
            payload,
            ..
        } = self.messages.swap_remove(at);
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        if place < self.newest_passed {
            self.shared.overtaken.fetch_add(1, Ordering::Relaxed);
        }
        self.newest_passed = self.newest_passed.max(place);
        lock(&self.shared.passed).push(Passed {
            at: std::time::Instant::now(),
            topic,
            payload,
        });
        packet
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        let lost = self.messages.len();
        self.shared.waiting.fetch_sub(lost, Ordering::Relaxed);
    }
}

/// Passes packets on, messages as late as they are to be.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared) -> std::io::Result<()> {
    let (read, mut packets) = mpsc::unbounded_channel();
    let read = async move {
        // At its end the channel is closed.
        while let Ok(packet) = packet(&mut from).await {
            if read.send(packet).is_err() {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let write = async move {
        let mut queue = Queue {
            messages: Vec::new(),
            shared,
            came: 0,
            newest_passed: 0,
        };
        loop {
            let next = queue.next();
            let due = next.map_or_else(Instant::now, |(_, due)| due);
            tokio::select! {
                biased;
                () = sleep_until(due), if next.is_some() => {
                    if let Some((at, _)) = next {
                        to.write_all(&queue.take(at)).await?;
                    }
                }
                packet = packets.recv() => match packet {
                    None => return to.shutdown().await,
                    Some(packet) => match message(&packet) {
                        Some((topic, payload)) => queue.put(packet, topic, payload),
                        None => to.write_all(&packet).await?,
                    },
                },
            }
        }
    };
    tokio::try_join!(read, write).map(|_| ())
}

/// Reads one packet: its head, whose length has seven bits in each byte, and the rest.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut packet = vec![from.read_u8().await?];
    let mut rest = 0;
    for shift in [0, 7, 14, 21] {
        let byte = from.read_u8().await?;
        packet.push(byte);
        rest |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let head = packet.len();
    packet.resize(head + rest, 0);
    from.read_exact(&mut packet[head..]).await?;
    Ok(packet)
}

/// What follows the head.
fn body(packet: &[u8]) -> &[u8] {
    let head = packet.iter().skip(1).position(|byte| byte & 0x80 == 0);
    head.and_then(|head| packet.get(head + 2..)).unwrap_or_default()
}

/// A text, and what follows it.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

/// The topic and the payload, if the packet is a message.
fn message(packet: &[u8]) -> Option<(String, Vec<u8>)> {
    if packet[0] >> 4 != PUBLISH {
        return None;
    }
    let (topic, rest) = text(body(packet))?;
    // With QoS 1 its number comes first.
    let id_bytes = if packet[0] & 0b0110 == 0 { 0 } else { 2 };
    Some((topic, rest.get(id_bytes..)?.to_vec()))
}

/// By which name a client connects: behind the protocol's name, its level, the flags and the keepalive.
fn client_id(connect: &[u8]) -> Option<String> {
    let (_, rest) = text(body(connect))?;
    Some(text(rest.get(4..)?)?.0)
}
