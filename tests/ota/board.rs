//! A board that takes updates: the firmware's own half of it on a flash in memory, started as a boot loader would. What
//! becomes of an image on trial is the test's to say.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, copy, duplex, split};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{Duration, Instant, sleep_until};
use wsdm_device::{Clock, Quiet};
use wsdm_device_board::ESP32C3;
use wsdm_device_board::ota::{Layout, Served, Server, Slot, Slots, Start};

use super::images::{APP, CHOICE, SECOND_APP, SLOT_BYTES, VERSION_AT, firmware};
use super::memory::{Memory, SECTOR};

pub const PASSWORD: &str = "correct horse";
/// The number of its chip in images.
pub const NUMBER: u8 = 5;
/// The firmware that it came with.
pub const PROJECT: &str = "wsdm-device";
pub const OLD: &str = "0.1.0";

/// What becomes of an image on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It is kept after somebody has asked for it.
    Passes,
    /// It stays on trial.
    Lasts,
    /// It restarts after somebody has asked for it.
    Fails,
    /// It never takes a connection.
    Silences,
    /// It is kept, and has another address since its restart.
    Moves,
}

/// What becomes of what is sent to it and by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Air {
    #[default]
    Clear,
    /// So many bytes of a connection get to the board, and the others once the test says so.
    Stalls(u64),
    /// "done" is lost, and the connection with it.
    LosesLastWord,
}

/// This computer has both addresses.
pub const MOVED_TO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What it has room for while it waits for its flash.
const RECEIVE_BUFFER: u32 = 4_096;

/// A board on the network. Dropping it switches it off.
pub struct Board {
    pub at: SocketAddr,
    pub memory: Memory,
    said: Arc<Mutex<Vec<String>>>,
    stalled: watch::Sender<bool>,
    _on: oneshot::Sender<()>,
}

impl Board {
    /// A board just flashed over USB.
    pub fn start(trial: Trial) -> Self {
        Self::with(trial, Air::Clear, SLOT_BYTES)
    }

    /// The same, with slots of this size.
    pub fn with(trial: Trial, air: Air, slot_bytes: usize) -> Self {
        Self::on(just_flashed(), trial, air, slot_bytes)
    }

    /// A board whose flash holds this.
    pub fn on(memory: Memory, trial: Trial, air: Air, slot_bytes: usize) -> Self {
        Self::spawn(memory, trial, air, slot_bytes, true)
    }

    /// A board whose settings were built in, and are not saved.
    pub fn unsaved() -> Self {
        Self::spawn(just_flashed(), Trial::Passes, Air::Clear, SLOT_BYTES, false)
    }

    fn spawn(memory: Memory, trial: Trial, air: Air, slot_bytes: usize, is_saved: bool) -> Self {
        let (on, off) = oneshot::channel::<()>();
        let (ready, at) = std::sync::mpsc::channel();
        let stalled = watch::Sender::new(true);
        let said = Arc::default();
        let board = Running {
            memory: memory.clone(),
            slot_bytes,
            trial,
            air,
            is_saved,
            stalled: stalled.subscribe(),
            said: Arc::clone(&said),
        };
        // A board runs on one core, and its code is made for that.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let socket = TcpSocket::new_v4().unwrap();
                socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
                socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
                let listener = socket.listen(8).unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = board.run(listener) => {}
                    _ = off => {}
                }
            });
        });
        Self {
            at: at.recv().unwrap(),
            memory,
            said,
            stalled,
            _on: on,
        }
    }

    /// What stalled goes on.
    pub fn go_on(&self) {
        self.stalled.send_replace(false);
    }

    /// What it had to say on its console.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Which of its slots the next start begins with.
    pub fn selected(&self) -> usize {
        boot(&self.memory)
    }

    /// Whether the second slot holds this image.
    pub fn holds(&self, image: &[u8]) -> bool {
        self.memory.read(SECOND_APP, image.len()) == image
    }
}

fn just_flashed() -> Memory {
    let memory = Memory::erased();
    memory.write(APP, &firmware(NUMBER, PROJECT, OLD));
    memory
}

/// The slot that the boot loader starts: that of the higher number.
fn boot(memory: &Memory) -> usize {
    let entries = [CHOICE, CHOICE + SECTOR].map(|at| {
        let sequence = memory.read(at, 4).try_into().unwrap();
        Some(u32::from_le_bytes(sequence)).filter(|sequence| *sequence != u32::MAX)
    });
    let sequence = entries.into_iter().flatten().max().unwrap_or(1);
    (sequence as usize - 1) % 2
}

struct Running {
    memory: Memory,
    slot_bytes: usize,
    trial: Trial,
    air: Air,
    is_saved: bool,
    stalled: watch::Receiver<bool>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    async fn run(self, listener: TcpListener) {
        let mut listener = listener;
        while self.until_restart(&listener).await {
            if self.trial == Trial::Moves {
                let port = listener.local_addr().unwrap().port();
                listener = TcpListener::bind((MOVED_TO, port)).await.unwrap();
            }
        }
    }

    /// From a start to the next one; whether there is one.
    async fn until_restart(&self, listener: &TcpListener) -> bool {
        let slot = |offset: usize| Slot {
            offset: offset as u32,
            bytes: self.slot_bytes as u32,
        };
        let layout = Layout {
            table: CHOICE as u32,
            slots: [slot(APP), slot(SECOND_APP)],
            running: boot(&self.memory),
        };
        let (slots, start) = Slots::open(self.memory.clone(), layout).expect("a flash");
        if start == Start::GoBack {
            return true;
        }
        if slots.is_on_trial() && self.trial == Trial::Silences {
            return false;
        }
        let running = layout.slots[layout.running].offset as usize;
        let version = self.memory.read(running + VERSION_AT, 32);
        let version = String::from_utf8(version).unwrap();
        let (quiet, clock) = (Quiet::new(), Time(Instant::now()));
        let version = version.trim_end_matches('\0');
        let mut server = Server::new(slots, PASSWORD, &ESP32C3, version, self.is_saved, &quiet);
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (stream, passed) = through(stream, self.air, self.stalled.clone());
            let (mut stream, passed) = (FromTokio::new(stream), tokio::spawn(passed));
            let say = |text: std::fmt::Arguments<'_>| self.said.lock().unwrap().push(text.to_string());
            let served = server.serve(&mut stream, [n; 16], &clock, say).await;
            drop(stream);
            if matches!(served, Served::Restart(_)) {
                // Its last word leaves first.
                passed.await.unwrap();
                return true;
            }
            if server.slots().is_on_trial() {
                match self.trial {
                    Trial::Passes | Trial::Moves => server.slots().confirm().expect("a flash"),
                    Trial::Fails => return true,
                    Trial::Lasts | Trial::Silences => {}
                }
            }
        }
        false
    }
}

/// The board's end of this connection, and what passes its bytes on.
fn through(
    network: TcpStream,
    air: Air,
    mut stalled: watch::Receiver<bool>,
) -> (DuplexStream, impl Future<Output = ()> + Send) {
    let (board, end) = duplex(1_024);
    let (mut from_board, mut to_board) = split(end);
    let (mut from_network, mut to_network) = network.into_split();
    let up = async move {
        if let Air::Stalls(after) = air {
            copy(&mut (&mut from_network).take(after), &mut to_board).await?;
            let _ = stalled.wait_for(|stalled| !stalled).await;
        }
        copy(&mut from_network, &mut to_board).await?;
        to_board.shutdown().await
    };
    let down = async move {
        let (mut lines, mut line) = (BufReader::new(&mut from_board), String::new());
        while lines.read_line(&mut line).await? > 0 {
            if (air, &*line) != (Air::LosesLastWord, "done\n") {
                to_network.write_all(line.as_bytes()).await?;
            }
            line.clear();
        }
        to_network.shutdown().await
    };
    let both = async move {
        let _: (std::io::Result<()>, std::io::Result<()>) = tokio::join!(up, down);
    };
    (board, both)
}

/// Milliseconds since the board started.
struct Time(Instant);

impl Clock for Time {
    fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    async fn sleep_until(&self, at: u64) {
        sleep_until(self.0 + Duration::from_millis(at)).await;
    }
}
