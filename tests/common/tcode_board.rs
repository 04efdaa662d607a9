//! Boards on a pseudo-terminal that answer what they are asked, written after the public description of TCode 0.3, and
//! one that speaks Lovense. What they are sent is kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::pty::Board;

/// What a board answers, and how.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// To `D0`.
    pub name: &'static str,
    /// To `D1`.
    pub version: &'static str,
    /// To `D2`, a line each.
    pub axes: &'static [&'static str],
    /// To `DeviceType;`.
    pub lovense: &'static str,
    /// From a question to its answer; it does one after the other.
    pub delay: Duration,
    /// It repeats what it is sent.
    pub echoes: bool,
    /// Pauses in the middle of its answers, which are several reads then.
    pub pauses: bool,
}

const BASE: Model = Model {
    name: "",
    version: "",
    axes: &[],
    lovense: "",
    delay: Duration::ZERO,
    echoes: false,
    pauses: false,
};

/// A stroke and a twist.
pub const OSR2: Model = Model {
    name: "OSR2_Release3.ino",
    version: "TCode v0.3",
    axes: &["L0 0 9999 Up", "R0 0 9999 Twist"],
    ..BASE
};

/// Six axes; one has a name of two words, one has none, one prefers a part of its travel.
pub const SR6: Model = Model {
    name: "SR6_Release3.ino",
    version: "TCode v0.3",
    axes: &[
        "L0 0 9999 Up",
        "L1 0 9999 Forward",
        "L2 0 9999 Move left",
        "R0 0 9999",
        "R1 2000 8000 Roll",
        "R2 0 9999 Pitch",
    ],
    ..BASE
};

/// Two vibrators and nothing else.
pub const BUZZER: Model = Model {
    name: "Buzzer 1.0",
    version: "TCode v0.3",
    axes: &["V0 0 9999 Vibe0", "V1 0 9999 Vibe1"],
    ..BASE
};

/// An older board, which cannot list its axes.
pub const OLD: Model = Model {
    name: "OSR2_v2.ino",
    version: "TCode v0.2",
    ..BASE
};

/// A Lovense with one motor.
pub const HUSH: Model = Model {
    lovense: "Z:11:AABBCCDDEEFF;",
    ..BASE
};

/// A board that reads, and says nothing.
pub const MUTE: Model = BASE;

/// A board at work. Dropping it pulls the plug.
pub struct TcodeBoard {
    pub port: PathBuf,
    sent: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Drop for TcodeBoard {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.port);
    }
}

impl TcodeBoard {
    pub fn plug(port: &Path, model: Model) -> Self {
        let board = Board::plug(port);
        let sent = Arc::new(Mutex::new(String::new()));
        Self {
            port: port.to_owned(),
            task: tokio::spawn(work(board, model, sent.clone())),
            sent,
        }
    }

    /// Pulls the plug, and waits until it is out.
    pub async fn unplug(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// All that it was sent so far.
    pub fn sent(&self) -> String {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails if it was sent anything but questions, and the stop of a board that may still run.
    pub fn expect_only_questions(&self) {
        const KNOWN: [&str; 10] = [
            "",
            ";",
            "D0",
            "D1",
            "D2",
            "DeviceType;",
            "DSTOP",
            "V00 V10 V20 V30 V40 V50 V60 V70 V80 V90",
            "Vibrate:0;",
            "Rotate:0;",
        ];
        let sent = self.sent();
        for command in sent.split('\n').flat_map(|line| line.split_inclusive(';')) {
            assert!(KNOWN.contains(&command), "{command:?} in {sent:?}");
        }
    }
}

async fn work(mut board: Board, model: Model, sent: Arc<Mutex<String>>) {
    let mut line = String::new();
    loop {
        let read = String::from_utf8_lossy(&board.read_patiently().await).into_owned();
        sent.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&read);
        if model.echoes {
            board.say(&read).await;
        }
        for c in read.chars() {
            line.push(c);
            if c != '\n' && c != ';' {
                continue;
            }
            let asked = std::mem::take(&mut line);
            let answer = match asked.trim() {
                "D0" => lines(&[model.name]),
                "D1" => lines(&[model.version]),
                "D2" => lines(model.axes),
                "DeviceType;" => model.lovense.to_owned(),
                _ => continue,
            };
            sleep(model.delay).await;
            if !model.pauses {
                board.say(answer).await;
                continue;
            }
            // In the middle of a number.
            for piece in answer.as_bytes().chunks(7) {
                board.say(piece).await;
                sleep(Duration::from_millis(60)).await;
            }
        }
    }
}

fn lines(lines: &[&str]) -> String {
    let lines = lines.iter().filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\r\n")).collect()
}
