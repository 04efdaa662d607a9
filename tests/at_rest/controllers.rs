//! What drives boards by frames and not through the server: `monitor`, and an upstream of the test's own.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::task::AbortOnDropHandle;

use super::app::{Random, TICK};
use super::common::model_board::ModelBoard;
use super::common::process::command;
use super::common::signal;
use super::gateway::Gateway;

/// The frames that set every output of a board to its maximum.
fn all(board: &ModelBoard) -> impl Iterator<Item = String> + use<> {
    let kind = board.kind;
    (0..kind.outputs().len()).map(move |nth| kind.frame(nth, 1.0))
}

fn any(board: &ModelBoard, random: &mut Random) -> String {
    let nth = random.below(board.kind.outputs().len());
    board.kind.frame(nth, [1.0, 0.5][random.below(2)])
}

/// A `monitor` for each board.
pub struct Monitors {
    children: Vec<Child>,
    stdins: Vec<(Arc<ModelBoard>, ChildStdin)>,
    stream: Option<AbortOnDropHandle<()>>,
}

impl Monitors {
    pub fn start(gateway: &Gateway, boards: &[Arc<ModelBoard>]) -> Self {
        let mut children = Vec::new();
        let mut stdins = Vec::new();
        for board in boards {
            let home = gateway.control.parent().expect("a folder");
            let mut monitor = command(home, &["monitor", "--device", board.kind.name(), "--control"]);
            monitor.arg(&gateway.control);
            for frame in all(board) {
                monitor.args(["--send", &frame.replace('\n', "\\n")]);
            }
            monitor.args(["--send", "-"]);
            monitor
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut child = monitor.spawn().expect("the program starts");
            stdins.push((board.clone(), child.stdin.take().expect("piped")));
            children.push(child);
        }
        Self {
            children,
            stdins,
            stream: None,
        }
    }

    pub fn stream(&mut self) {
        let mut stdins = std::mem::take(&mut self.stdins);
        let stream = async move {
            let mut random = Random::default();
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                for (board, stdin) in &mut stdins {
                    let line = any(board, &mut random).replace('\n', "\\n") + "\n";
                    // One that was killed takes nothing.
                    let _ = stdin.write_all(line.as_bytes()).await;
                }
            }
        };
        self.stream = Some(AbortOnDropHandle::new(tokio::spawn(stream)));
    }

    /// Suspends them all.
    pub fn freeze(&self) -> Instant {
        let now = Instant::now();
        for child in &self.children {
            signal::send(child.id().expect("a running monitor"), Signal::STOP);
        }
        now
    }

    /// Kills them all.
    pub fn leave(&mut self) -> Instant {
        let now = Instant::now();
        for child in &mut self.children {
            child.start_kill().expect("a running monitor");
        }
        now
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Steady,
    Stream,
    Closed,
}

/// A device server that drives every board that connects.
pub struct Upstream {
    pub url: String,
    phase: watch::Sender<Phase>,
    _task: AbortOnDropHandle<()>,
}

impl Upstream {
    /// `code` is what it will close with.
    pub async fn start(boards: &[Arc<ModelBoard>], code: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let (phase, phases) = watch::channel(Phase::Steady);
        let boards = boards.to_vec();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(drive(stream, boards.clone(), phases.clone(), code));
            }
        });
        Self {
            url,
            phase,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn stream(&self) {
        self.phase.send_replace(Phase::Stream);
    }

    /// Closes every connection, and takes none from then on.
    pub fn close(&self) -> Instant {
        let now = Instant::now();
        self.phase.send_replace(Phase::Closed);
        now
    }
}

async fn drive(
    stream: TcpStream,
    boards: Vec<Arc<ModelBoard>>,
    mut phases: watch::Receiver<Phase>,
    code: u16,
) {
    if *phases.borrow() == Phase::Closed {
        return;
    }
    let Ok(mut ws) = accept_async(stream).await else {
        return;
    };
    let Some(Ok(Message::Text(hello))) = ws.next().await else {
        return;
    };
    let hello: serde_json::Value = serde_json::from_str(&hello).expect("a handshake");
    let board = boards
        .iter()
        .find(|b| hello["address"] == b.kind.name())
        .expect("one of ours");
    for frame in all(board) {
        ws.send(Message::binary(frame.into_bytes()))
            .await
            .expect("an open socket");
    }
    let mut random = Random::default();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let phase = *phases.borrow_and_update();
        if phase == Phase::Closed {
            let frame = CloseFrame {
                code: CloseCode::from(code),
                reason: "the test closes".into(),
            };
            let _ = ws.close(Some(frame)).await;
            while let Some(Ok(_)) = ws.next().await {}
            return;
        }
        tokio::select! {
            biased;
            changed = phases.changed() => if changed.is_err() { return },
            _ = ticks.tick(), if phase == Phase::Stream => {
                let frame = any(board, &mut random);
                if ws.send(Message::binary(frame.into_bytes())).await.is_err() {
                    return;
                }
            }
            message = ws.next() => match message {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
