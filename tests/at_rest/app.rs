//! An app: a Buttplug client in bare JSON that drives every output of every board, and goes in one way or another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::task::AbortOnDropHandle;

use super::common::json_client::{JsonClient, reset};
use super::common::model_board::{Kind, ModelBoard, Output};
use super::common::within;

/// Between two commands to one board.
pub const TICK: Duration = Duration::from_millis(10);

/// What the app does to lose control.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Starts a stream of commands, which the other acts end.
    Stream,
    /// Sets every output to what no stream sets it to, and to something else each time: a server skips a position that it
    /// has commanded last, even if it reached no board. One that was frozen is not any more.
    Drive,
    /// Commands nothing any more.
    Rest,
    /// Sends `StopCmd`.
    Stop,
    /// Closes in good order.
    Close,
    /// Is gone without a word.
    Die,
    /// Neither reads nor sends any more; its socket stays open.
    Freeze,
}

/// A connected app. Dropping it ends it.
pub struct App {
    acts: mpsc::Sender<(Act, oneshot::Sender<Instant>)>,
    _task: AbortOnDropHandle<()>,
}

impl App {
    /// Connects, and waits until all boards are listed. `drive` sets every output to its maximum.
    pub async fn start(url: &str, boards: &[Arc<ModelBoard>], drive: bool) -> Self {
        let mut client = JsonClient::connect(url, 4).await;
        let indexes = listed(&mut client, boards).await;
        let outputs: Vec<Vec<(u64, Output)>> = boards
            .iter()
            .map(|board| {
                let index = indexes[board.kind.listed_as()];
                board.kind.outputs().iter().map(|o| (index, *o)).collect()
            })
            .collect();
        if drive {
            for (index, output) in outputs.iter().flatten() {
                let reply = client.call("OutputCmd", command(*index, *output, 1.0)).await;
                assert!(reply.get("Ok").is_some(), "{reply}");
            }
        }
        let (acts, orders) = mpsc::channel(1);
        let task = tokio::spawn(run(client.into_inner(), outputs, orders));
        Self {
            acts,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Does it, and returns when.
    pub async fn act(&self, act: Act) -> Instant {
        let (done, when) = oneshot::channel();
        self.acts.send((act, done)).await.expect("a running app");
        within("the app acts", when).await.expect("a running app")
    }
}

fn command(index: u64, output: Output, part: f64) -> Value {
    json!({"DeviceIndex": index, "FeatureIndex": output.feature, "Command": Kind::command(output, part)})
}

fn output_command(id: u32, index: u64, output: Output, part: f64) -> Value {
    let mut fields = command(index, output, part);
    fields["Id"] = id.into();
    json!({"OutputCmd": fields})
}

/// The index of each board, by the name that the server has for it.
async fn listed(client: &mut JsonClient, boards: &[Arc<ModelBoard>]) -> HashMap<String, u64> {
    let mut list = client.call("RequestDeviceList", json!({})).await["DeviceList"].clone();
    loop {
        let devices = list["Devices"].as_object().expect("a list of version 4");
        let indexes: HashMap<String, u64> = devices
            .iter()
            .map(|(index, device)| {
                let name = device["DeviceName"].as_str().expect("a name");
                (name.to_owned(), index.parse().expect("an index"))
            })
            .collect();
        if boards.iter().all(|b| indexes.contains_key(b.kind.listed_as())) {
            return indexes;
        }
        list = client.event("DeviceList").await;
    }
}

/// Reads all the time, as an app must whose server answers.
async fn run(
    mut ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    outputs: Vec<Vec<(u64, Output)>>,
    mut acts: mpsc::Receiver<(Act, oneshot::Sender<Instant>)>,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut streaming, mut frozen) = (false, false);
    let mut drives = [0.4, 0.3].into_iter().cycle();
    let mut random = Random::default();
    let mut id = 1_000_000;
    loop {
        tokio::select! {
            biased;
            act = acts.recv() => {
                let Some((act, done)) = act else { return };
                streaming = false;
                let now = Instant::now();
                match act {
                    Act::Stream => streaming = true,
                    Act::Drive => {
                        frozen = false;
                        let part = drives.next().expect("it never ends");
                        let commands = outputs.iter().flatten().map(|(index, output)| {
                            id += 1;
                            output_command(id, *index, *output, part)
                        });
                        let batch = Value::Array(commands.collect()).to_string();
                        ws.send(Message::text(batch)).await.expect("an open socket");
                    }
                    Act::Rest => {}
                    Act::Stop => {
                        id += 1;
                        let stop = json!([{"StopCmd": {"Id": id}}]);
                        ws.send(Message::text(stop.to_string())).await.expect("an open socket");
                    }
                    Act::Close => {
                        ws.close(None).await.expect("an open socket");
                        let _ = done.send(now);
                        while let Some(Ok(_)) = ws.next().await {}
                        return;
                    }
                    Act::Die => {
                        reset(ws);
                        let _ = done.send(now);
                        return;
                    }
                    Act::Freeze => frozen = true,
                }
                let _ = done.send(now);
            }
            _ = ticks.tick(), if streaming => {
                let commands = outputs.iter().map(|outputs| {
                    let (index, output) = outputs[random.below(outputs.len())];
                    id += 1;
                    output_command(id, index, output, [1.0, 0.5][random.below(2)])
                });
                let batch = Value::Array(commands.collect()).to_string();
                if ws.send(Message::text(batch)).await.is_err() {
                    return;
                }
            }
            message = ws.next(), if !frozen => match message {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

/// The same numbers each time.
#[derive(Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
