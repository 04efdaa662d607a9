//! A network between a client and a server, which a test delays, throttles, freezes and cuts.
//!
//! Each connection through it keeps its bytes in order, whatever happens. What overtakes what is up to the test: clients with
//! forwarders of their own, each with a delay of its own, arrive at their server in any order.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// Bytes read at once.
const CHUNK: usize = 4_096;
/// Chunks of a connection that are on their way in one direction: then the sender waits.
const CHUNKS: usize = 256;
/// Between two pieces of what is throttled.
const PIECE: Duration = Duration::from_millis(10);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// None passes. They wait here and at their sender, and pass when this ends.
    pub frozen: bool,
    /// Each passes so much later.
    pub delay: Duration,
    /// So many pass in a second.
    pub rate: Option<u32>,
}

#[derive(Debug, Default)]
struct State {
    rules: [Rule; 2],
    /// Connections that come are reset at once.
    refuses: bool,
    /// How many times all connections were reset.
    cuts: usize,
}

impl State {
    fn rule(&self, direction: Direction) -> Rule {
        self.rules[direction as usize]
    }
}

/// A forwarder in front of one server. Dropping it ends its connections.
pub struct Forwarder {
    /// Where clients connect.
    pub at: SocketAddr,
    state: watch::Sender<State>,
    passed: Arc<[AtomicU64; 2]>,
    _task: AbortOnDropHandle<()>,
}

impl Forwarder {
    /// Forwards to the server at this address, which need not be there yet.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let at = listener.local_addr().expect("bound");
        let state = watch::Sender::new(State::default());
        let passed: Arc<[AtomicU64; 2]> = Arc::default();
        let task = accept(listener, server, state.subscribe(), passed.clone());
        Self {
            at,
            state,
            passed,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// Sets the rule of one direction, for connections that are there, too.
    pub fn set(&self, direction: Direction, rule: Rule) {
        self.state
            .send_modify(|state| state.rules[direction as usize] = rule);
    }

    /// Nothing passes any more, and neither end is told. Connections that come are not taken.
    pub fn freeze(&self) {
        self.state
            .send_modify(|state| state.rules.iter_mut().for_each(|rule| rule.frozen = true));
    }

    /// Resets all connections. Those that come afterwards are taken.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Resets all connections, and those that come.
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.refuses = true;
        });
    }

    /// From now on everything passes at once; what was frozen first.
    pub fn heal(&self) {
        self.state.send_modify(|state| {
            state.rules = Default::default();
            state.refuses = false;
        });
    }

    /// How many bytes have passed.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.passed[direction as usize].load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    mut state: watch::Receiver<State>,
    passed: Arc<[AtomicU64; 2]>,
) {
    let mut connections = JoinSet::new();
    loop {
        thawed(&mut state, &Direction::BOTH).await;
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, server, state.clone(), passed.clone()));
    }
}

async fn connection(
    mut client: TcpStream,
    server: SocketAddr,
    mut state: watch::Receiver<State>,
    passed: Arc<[AtomicU64; 2]>,
) {
    thawed(&mut state, &Direction::BOTH).await;
    let (refuses, cuts) = {
        let state = state.borrow();
        (state.refuses, state.cuts)
    };
    let server = match refuses {
        true => None,
        false => TcpStream::connect(server).await.ok(),
    };
    let Some(mut server) = server else {
        let _ = client.set_zero_linger();
        return;
    };
    let is_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let [up, down] =
            Direction::BOTH.map(|direction| (direction, state.clone(), &passed[direction as usize]));
        let both = async {
            tokio::try_join!(
                pass(from_client, to_server, up),
                pass(from_server, to_client, down)
            )
        };
        tokio::select! {
            ended = both => ended.is_err(),
            _ = state.wait_for(|state| state.cuts != cuts) => true,
        }
    };
    if is_cut {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Passes on what comes until its end, which is passed on, too.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    (direction, state, passed): (Direction, watch::Receiver<State>, &AtomicU64),
) -> std::io::Result<()> {
    to.as_ref().set_nodelay(true)?;
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS);
    let mut at_entry = state.clone();
    let read = async move {
        loop {
            thawed(&mut at_entry, &[direction]).await;
            let mut bytes = vec![0; CHUNK];
            let length = from.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            bytes.truncate(length);
            let due = Instant::now() + at_entry.borrow().rule(direction).delay;
            if queue.send((due, bytes)).await.is_err() {
                return Ok(());
            }
        }
    };
    let mut at_exit = state;
    let write = async move {
        while let Some((due, bytes)) = queued.recv().await {
            sleep_until(due).await;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                thawed(&mut at_exit, &[direction]).await;
                let rate = at_exit.borrow().rule(direction).rate;
                let most = rate.map_or(rest.len(), |rate| {
                    (f64::from(rate) * PIECE.as_secs_f64()) as usize
                });
                let (piece, later) = rest.split_at(most.clamp(1, rest.len()));
                to.write_all(piece).await?;
                passed.fetch_add(piece.len() as u64, Ordering::Relaxed);
                rest = later;
                if let Some(rate) = rate {
                    sleep(Duration::from_secs_f64(
                        piece.len() as f64 / f64::from(rate.max(1)),
                    ))
                    .await;
                }
            }
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(|_| ())
}

/// Waits until nothing is frozen in these directions. A test that is over is waited for no more: its tasks are aborted.
async fn thawed(state: &mut watch::Receiver<State>, directions: &[Direction]) {
    let is_thawed = |state: &State| directions.iter().all(|direction| !state.rule(*direction).frozen);
    if state.wait_for(is_thawed).await.is_err() {
        std::future::pending().await
    }
}
