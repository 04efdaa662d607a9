//! A board that listens, on a websocket, TCP or UDP: what the gateway dials.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::Message;

use super::model_board::ModelBoard;
use super::wait_until;

/// The transport of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Websocket,
    Tcp,
    Udp,
}

impl Over {
    pub const ALL: [Self; 3] = [Self::Websocket, Self::Tcp, Self::Udp];

    fn url(self, at: SocketAddr) -> String {
        match self {
            Self::Websocket => format!("ws://{at}/ws"),
            Self::Tcp => format!("tcp://{at}"),
            Self::Udp => format!("udp://{at}"),
        }
    }
}

/// What a test sees of a board, and does to it.
#[derive(Default)]
pub struct Knobs {
    /// Printed when a lone newline asks for it.
    pub hello: Mutex<Option<String>>,
    /// The board's loop hangs: it reads nothing, and answers nothing.
    pub frozen: AtomicBool,
    /// It does not answer a question for the version of its TCode.
    pub mute: AtomicBool,
    /// How many of the next datagrams from the gateway are lost.
    pub lose: AtomicUsize,
    /// Connections so far; of UDP the peers that sent something.
    pub connections: AtomicUsize,
    /// Everything that was read, questions too.
    pub seen: Mutex<Vec<u8>>,
    /// Cuts the connections, without a word.
    cut: watch::Sender<usize>,
}

impl Knobs {
    pub fn seen(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen).into_owned()
    }

    pub fn count(&self, text: &str) -> usize {
        self.seen().matches(text).count()
    }

    /// Cuts all connections; the board listens on.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

/// A board that listens. Dropping it is switching it off.
pub struct Listener {
    pub url: String,
    pub at: SocketAddr,
    pub knobs: Arc<Knobs>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Switches a board on, on a port that the system chooses.
    pub async fn start(over: Over, board: Arc<ModelBoard>) -> Self {
        Self::start_at(over, board, (Ipv4Addr::LOCALHOST, 0).into(), Arc::default()).await
    }

    /// The same, on a port where it was before.
    pub async fn start_at(over: Over, board: Arc<ModelBoard>, at: SocketAddr, knobs: Arc<Knobs>) -> Self {
        let (at, task) = match over {
            Over::Udp => {
                let socket = UdpSocket::bind(at).await.expect("a free port");
                let at = socket.local_addr().expect("bound");
                (at, tokio::spawn(datagrams(socket, board, knobs.clone())))
            }
            Over::Websocket | Over::Tcp => {
                let listener = TcpListener::bind(at).await.expect("a free port");
                let at = listener.local_addr().expect("bound");
                let knobs = knobs.clone();
                let accept = async move {
                    let mut tasks = JoinSet::new();
                    while let Ok((stream, _)) = listener.accept().await {
                        knobs.connections.fetch_add(1, Ordering::Relaxed);
                        let (board, knobs) = (board.clone(), knobs.clone());
                        tasks.spawn(async move {
                            let mut cuts = knobs.cut.subscribe();
                            cuts.mark_unchanged();
                            stream.set_zero_linger().expect("a socket");
                            tokio::select! {
                                () = connection(over, stream, &board, &knobs) => {}
                                _ = cuts.changed() => {}
                            }
                        });
                    }
                };
                (at, tokio::spawn(accept))
            }
        };
        Self {
            url: over.url(at),
            at,
            knobs,
            task,
        }
    }

    /// Switches it off, and waits until its port is free.
    pub async fn off(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.at
    }

    /// Waits until this was read from the gateway.
    pub async fn expect(&self, text: &str) {
        wait_until(&format!("{text:?}"), || self.knobs.count(text) > 0).await;
    }
}

/// Carries out what the board read, and returns its answers.
fn obey(board: &ModelBoard, knobs: &Knobs, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut seen = knobs.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.extend_from_slice(bytes);
    drop(seen);
    let text = String::from_utf8_lossy(bytes);
    let mut answers = Vec::new();
    if bytes == b"\n"
        && let Some(hello) = &*knobs.hello.lock().unwrap_or_else(PoisonError::into_inner)
    {
        answers.push(hello.clone().into_bytes());
    }
    let is_lovense = board.kind.identifier() == "LVSDevice";
    let mut commands = text.into_owned();
    if !is_lovense && commands.contains("D1\n") {
        commands = commands.replace("D1\n", "");
        if !knobs.mute.load(Ordering::Relaxed) {
            answers.push(b"TCode v0.3\r\n".to_vec());
        }
    }
    if !commands.is_empty() {
        answers.extend(board.receive(commands.as_bytes()));
    }
    answers
}

async fn thawed(knobs: &Knobs) {
    while knobs.frozen.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn connection(over: Over, stream: TcpStream, board: &ModelBoard, knobs: &Knobs) {
    match over {
        Over::Websocket => websocket(stream, board, knobs).await,
        _ => bytes(stream, board, knobs).await,
    }
}

/// A board behind a byte stream.
pub async fn bytes(mut stream: impl AsyncRead + AsyncWrite + Unpin, board: &ModelBoard, knobs: &Knobs) {
    let mut read = [0; 256];
    loop {
        thawed(knobs).await;
        match stream.read(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(len) => {
                // A board that froze while it waited has not read this.
                thawed(knobs).await;
                for answer in obey(board, knobs, &read[..len]) {
                    let _ = stream.write_all(&answer).await;
                }
            }
        }
    }
}

/// A board behind a websocket, which accepts only text.
pub async fn websocket(stream: impl AsyncRead + AsyncWrite + Unpin, board: &ModelBoard, knobs: &Knobs) {
    let Ok(mut ws) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    loop {
        thawed(knobs).await;
        match ws.next().await {
            Some(Ok(Message::Text(text))) => {
                thawed(knobs).await;
                for answer in obey(board, knobs, text.as_bytes()) {
                    let answer = String::from_utf8(answer).expect("text");
                    let _ = ws.send(Message::text(answer)).await;
                }
            }
            Some(Ok(Message::Binary(bytes))) => {
                thawed(knobs).await;
                for answer in obey(board, knobs, &bytes) {
                    let _ = ws.send(Message::binary(answer)).await;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}

async fn datagrams(socket: UdpSocket, board: Arc<ModelBoard>, knobs: Arc<Knobs>) {
    let mut read = [0; 2048];
    let mut peers = Vec::new();
    loop {
        thawed(&knobs).await;
        let Ok((len, from)) = socket.recv_from(&mut read).await else {
            continue;
        };
        if !peers.contains(&from) {
            peers.push(from);
            knobs.connections.fetch_add(1, Ordering::Relaxed);
        }
        let lost = knobs
            .lose
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if lost.is_ok() {
            continue;
        }
        thawed(&knobs).await;
        for answer in obey(&board, &knobs, &read[..len]) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}
