//! What a board on a serial port says, before it is bridged: a port that the page has open until it goes.

use std::time::{Duration, SystemTime};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::link::serial::Port;
use crate::web::api::Problem;
use crate::web::view::{View, seconds};

/// A line at the slowest rates takes less.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// What a person may send at once.
const SAY_MAX_BYTES: usize = 1_024;
/// Bytes that wait for the next message to the page. More are skipped, and their number is sent.
const HEARD_MAX_BYTES: usize = 64 * 1_024;
/// Orders and events that wait.
const WAITING: usize = 16;

/// Which port to hear.
#[derive(Debug, Deserialize)]
pub(super) struct Listen {
    port: String,
    baud_rate: u32,
}

/// What to write to it.
#[derive(Debug, Deserialize)]
pub(super) struct Say {
    /// Repeated in the answer.
    id: u64,
    /// The bytes as hexadecimal digits.
    hex: String,
}

/// Whether the page hears a port.
#[derive(Debug, Serialize)]
pub(super) struct Listening {
    port: String,
    /// The rate at which it is open; `null` if it is not.
    baud_rate: Option<u32>,
    problem: Option<Problem>,
}

/// What was heard since the last message.
#[derive(Debug, Serialize)]
pub(super) struct Heard {
    port: String,
    chunks: Vec<Chunk>,
    /// Bytes that were skipped after them.
    missed: usize,
}

/// What was read at once.
#[derive(Debug, Serialize)]
struct Chunk {
    /// When its first byte was read, in seconds since 1970.
    at: f64,
    hex: String,
}

enum Order {
    Rate(u32),
    Write(Vec<u8>, oneshot::Sender<Option<String>>),
}

enum Event {
    Read(SystemTime, Vec<u8>),
    /// The port is open at this rate.
    Open(u32),
    /// The rate could not be set; the port stays open at the one before.
    Kept(u32, Problem),
    /// The port is not open, or no longer.
    Closed(Problem),
}

/// The port that a page hears, if any. Dropping it closes the port.
#[derive(Default)]
pub(super) struct Preview(Option<Open>);

struct Open {
    port: String,
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<Event>,
    chunks: Vec<Chunk>,
    bytes: usize,
    missed: usize,
    _task: AbortOnDropHandle<()>,
}

impl Preview {
    /// Hears this port in place of any other.
    pub(super) async fn listen(&mut self, view: &View, listen: Option<Listen>) {
        let Some(Listen { port, baud_rate }) = listen else {
            self.0 = None;
            return;
        };
        if let Some(open) = self.0.as_ref().filter(|open| open.port == port)
            && open.orders.try_send(Order::Rate(baud_rate)).is_ok()
        {
            return;
        }
        // Closed before it is opened again.
        if let Some(Open { _task: task, .. }) = self.0.take() {
            task.abort();
            let _ = task.await;
        }
        let (orders, to_carry_out) = mpsc::channel(WAITING);
        let (tell, events) = mpsc::channel(WAITING);
        let task = tokio::spawn(hear(view.clone(), port.clone(), baud_rate, to_carry_out, tell));
        self.0 = Some(Open {
            port,
            orders,
            events,
            chunks: Vec::new(),
            bytes: 0,
            missed: 0,
            _task: AbortOnDropHandle::new(task),
        });
    }

    /// Writes to the port; completes with the number of the order, and what went wrong.
    pub(super) fn say(&self, Say { id, hex }: Say) -> impl Future<Output = (u64, Option<String>)> + use<> {
        let orders = self.0.as_ref().map(|open| open.orders.clone());
        async move {
            let said = async {
                let bytes = HEXLOWER_PERMISSIVE
                    .decode(hex.as_bytes())
                    .map_err(|e| format!("the bytes are not hexadecimal digits: {e}"))?;
                if bytes.is_empty() || bytes.len() > SAY_MAX_BYTES {
                    return Err(format!("1 to {SAY_MAX_BYTES} bytes can be sent at once"));
                }
                let closed = || "the port is not open".to_owned();
                let (done, outcome) = oneshot::channel();
                let orders = orders.ok_or_else(closed)?;
                let waits = "the port does not take what was sent before".to_owned();
                orders.try_send(Order::Write(bytes, done)).map_err(|_| waits)?;
                outcome
                    .await
                    .unwrap_or_else(|_| Some(closed()))
                    .map_or(Ok(()), Err)
            };
            (id, said.await.err())
        }
    }

    /// The next change of the port's state; what is read meanwhile is kept. Pending without a port. Cancel safe.
    pub(super) async fn next(&mut self) -> Listening {
        let Some(open) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            let (baud_rate, problem) = match open.events.recv().await {
                Some(Event::Read(at, bytes)) => {
                    open.keep(at, &bytes);
                    continue;
                }
                Some(Event::Open(rate)) => (Some(rate), None),
                Some(Event::Kept(rate, problem)) => (Some(rate), Some(problem)),
                Some(Event::Closed(problem)) => (None, Some(problem)),
                // It said why already.
                None => return std::future::pending().await,
            };
            return Listening {
                port: open.port.clone(),
                baud_rate,
                problem,
            };
        }
    }

    /// What was read since this was called last; `None` if nothing was.
    pub(super) fn heard(&mut self) -> Option<Heard> {
        let open = self.0.as_mut().filter(|open| open.bytes > 0)?;
        open.bytes = 0;
        Some(Heard {
            port: open.port.clone(),
            chunks: std::mem::take(&mut open.chunks),
            missed: std::mem::take(&mut open.missed),
        })
    }
}

impl Open {
    fn keep(&mut self, at: SystemTime, bytes: &[u8]) {
        if self.bytes + bytes.len() > HEARD_MAX_BYTES {
            self.missed += bytes.len();
            return;
        }
        self.bytes += bytes.len();
        self.chunks.push(Chunk {
            at: seconds(at),
            hex: HEXLOWER.encode(bytes),
        });
    }
}

/// Has a port open until nobody gives orders any more.
async fn hear(
    view: View,
    path: String,
    baud_rate: u32,
    mut orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
) {
    let ended = match view.boards.open(&path, baud_rate).await {
        Ok(port) => serve(port, &path, baud_rate, &mut orders, &events).await,
        Err(problem) => Some(problem),
    };
    if let Some(problem) = ended {
        // The page may have gone.
        let _ = events.send(Event::Closed(problem)).await;
    }
}

/// Returns why the port was lost; `None` if the page went.
async fn serve(
    mut port: Port,
    path: &str,
    mut rate: u32,
    orders: &mut mpsc::Receiver<Order>,
    events: &mpsc::Sender<Event>,
) -> Option<Problem> {
    let mut buffer = vec![0; 4_096];
    events.send(Event::Open(rate)).await.ok()?;
    loop {
        tokio::select! {
            order = orders.recv() => match order? {
                Order::Rate(wanted) => {
                    let event = match port.set_baud_rate(wanted) {
                        Ok(()) => {
                            rate = wanted;
                            Event::Open(rate)
                        }
                        Err(e) => Event::Kept(rate, Problem {
                            error: format!("{path} cannot have {wanted} baud: {e}"),
                            hint: None,
                        }),
                    };
                    events.send(event).await.ok()?;
                }
                Order::Write(bytes, done) => {
                    let written = match timeout(WRITE_TIMEOUT, port.write_all(&bytes)).await {
                        Ok(Ok(())) => None,
                        Ok(Err(e)) => Some(format!("{path}: {e}")),
                        Err(_) => Some(format!("{path} takes nothing")),
                    };
                    let _ = done.send(written);
                }
            },
            read = port.read(&mut buffer) => match read {
                Ok(count @ 1..) => {
                    let read = buffer.get(..count).unwrap_or_default().to_vec();
                    events.send(Event::Read(SystemTime::now(), read)).await.ok()?;
                }
                Ok(0) => return Some(gone(path, "it was unplugged")),
                Err(e) => return Some(gone(path, &e.to_string())),
            },
        }
    }
}

fn gone(path: &str, why: &str) -> Problem {
    Problem {
        error: format!("{path} was lost: {why}"),
        hint: Some("is it still plugged in?".to_owned()),
    }
}
