//! The board's console on its serial port: the words of firmware/board.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use wsdm_device_board::{Chip, Key};

use super::error::FlashError;
use super::port::BoardPort;
use super::settings::shown;
use crate::cmd::line::{self, quotable};
use crate::link::serial::Port;
use crate::text::printable;

/// How long the firmware may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a console that may still be starting is given, before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(700);
/// How long to wait for a port that went when the board restarted.
const OPEN_AGAIN: Duration = Duration::from_millis(200);
/// How often a setting is sent that a bad line garbled.
const TRIES: usize = 3;
/// No line of the firmware is as long. What a boot loader sends at another speed may be.
const LINE_MAX_BYTES: usize = 4_096;
/// Gives up what was typed so far.
const INTERRUPT: char = '\x03';
/// Lines that wait to be read.
const LINE_QUEUE: usize = 64;

/// The settings that a board has, as it shows them.
#[derive(Debug)]
pub(super) struct Shown {
    values: HashMap<&'static str, String>,
    /// Which board it is.
    pub address: String,
}

impl Shown {
    /// A value; of a secret only stars, and nothing if there is none.
    pub(super) fn value(&self, key: Key) -> &str {
        self.values.get(key.name()).map_or("", String::as_str)
    }

    pub(super) fn has(&self, key: Key) -> bool {
        !self.value(key).is_empty()
    }
}

/// A console that answers.
pub(super) struct BoardConsole {
    port: Port,
    seen: BytesMut,
}

impl BoardConsole {
    /// Waits for the firmware, and asks for its settings.
    pub(super) async fn open(
        port: &BoardPort,
        chip: &Chip,
        within: Duration,
    ) -> Result<(Self, Shown), FlashError> {
        let deadline = Instant::now() + within;
        let mut last = FlashError::NoConsole;
        while Instant::now() < deadline {
            match port.open().await {
                Ok(open) => {
                    let mut console = Self::on(open);
                    match timeout_at(deadline, console.ask(chip)).await {
                        Ok(Ok(shown)) => return Ok((console, shown)),
                        // The board restarts, and its own USB with it.
                        Ok(Err(error @ FlashError::ConsoleLost(_))) => last = error,
                        Ok(Err(error)) => return Err(error),
                        Err(_) => return Err(FlashError::NoConsole),
                    }
                }
                Err(error) => last = error,
            }
            sleep(OPEN_AGAIN).await;
        }
        Err(last)
    }

    fn on(port: Port) -> Self {
        Self {
            port,
            seen: BytesMut::new(),
        }
    }

    /// Asks for the settings until they come.
    async fn ask(&mut self, chip: &Chip) -> Result<Shown, FlashError> {
        loop {
            self.send(&format!("{INTERRUPT}\nshow\n")).await?;
            // A board that reports all the time has no silence to wait for.
            match timeout(ASK_AGAIN, self.settings(chip)).await {
                Ok(shown) => return shown,
                Err(_) => continue,
            }
        }
    }

    async fn settings(&mut self, chip: &Chip) -> Result<Shown, FlashError> {
        let mut values = HashMap::new();
        loop {
            let line = self.line().await.map_err(FlashError::ConsoleLost)?;
            let Some((name, value)) = line.split_once(" = ") else {
                continue;
            };
            if let Some(key) = Key::from_name(name) {
                values.insert(key.name(), value.to_owned());
            } else if name == "address" {
                let of_chip = value
                    .strip_suffix(')')
                    .and_then(|value| value.split_once(" (of this "));
                return match of_chip {
                    Some((address, name)) if name == chip.name && values.contains_key(Key::Ssid.name()) => {
                        let address = printable(address.as_bytes());
                        Ok(Shown { values, address })
                    }
                    _ => Err(unexpected(&line)),
                };
            }
        }
    }

    /// Changes a setting, and reads back that the board has it.
    pub(super) async fn set(&mut self, key: Key, value: &str, chip: &Chip) -> Result<(), FlashError> {
        let name = key.name();
        let wanted = shown(key, value, chip);
        let stars = format!("set {name} ");
        let mut failed = FlashError::Garbled(name);
        for _ in 0..TRIES {
            self.send(&format!("{INTERRUPT}\nset {name} {value}\n")).await?;
            let mut is_whole = true;
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            loop {
                let Ok(line) = timeout_at(deadline, self.line()).await else {
                    break;
                };
                let line = line.map_err(FlashError::ConsoleLost)?;
                if let Some(echo) = line.strip_prefix(&stars).filter(|_| key.is_secret()) {
                    // A secret is not shown, but a character that the line lost is missed here.
                    is_whole =
                        !echo.chars().all(|c| c == '*') || echo.chars().count() == value.chars().count();
                } else if let Some(problem) = line.strip_prefix(name).and_then(|l| l.strip_prefix(" stays: "))
                {
                    // It was checked before: it came as something else, or the firmware is of another version.
                    let problem = printable(problem.as_bytes());
                    failed = FlashError::Refused { key: name, problem };
                    break;
                } else if let Some(has) = line.strip_prefix(name).and_then(|l| l.strip_prefix(" = ")) {
                    if is_whole && wanted.as_deref().is_none_or(|wanted| wanted == has) {
                        return Ok(());
                    }
                    failed = FlashError::Garbled(name);
                    break;
                } else if line.starts_with("that is no ") {
                    failed = unexpected(&line);
                    break;
                }
            }
        }
        Err(failed)
    }

    /// Keeps the settings over a restart.
    pub(super) async fn save(&mut self) -> Result<(), FlashError> {
        self.send(&format!("{INTERRUPT}\nsave\n")).await?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while let Ok(line) = timeout_at(deadline, self.line()).await {
            let line = line.map_err(FlashError::ConsoleLost)?;
            if line.starts_with("saved") {
                return Ok(());
            }
            if let Some(why) = line.strip_prefix("not saved: ") {
                return Err(FlashError::NotSaved(printable(why.as_bytes())));
            }
        }
        Err(FlashError::NotSaved("it does not answer".to_owned()))
    }

    /// Restarts the board, which then uses what was saved.
    pub(super) async fn restart(&mut self) -> Result<(), FlashError> {
        self.send(&format!("{INTERRUPT}\nrestart\n")).await
    }

    /// What the board reports from now on, over restarts too. Ends when this is dropped.
    pub(super) fn reports(mut self, port: BoardPort) -> (mpsc::Receiver<String>, AbortOnDropHandle<()>) {
        let (lines, received) = mpsc::channel(LINE_QUEUE);
        let task = tokio::spawn(async move {
            loop {
                while let Ok(line) = self.line().await {
                    if lines.send(line).await.is_err() {
                        return;
                    }
                }
                // Its own USB went with the restart. A port that others must not have is let go of first.
                drop(self);
                self = loop {
                    sleep(OPEN_AGAIN).await;
                    if let Ok(open) = port.open().await {
                        break Self::on(open);
                    }
                };
            }
        });
        (received, AbortOnDropHandle::new(task))
    }

    async fn send(&mut self, text: &str) -> Result<(), FlashError> {
        let written = timeout(ANSWER_TIMEOUT, self.port.write_all(text.as_bytes())).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        written.map_err(FlashError::ConsoleLost)
    }

    /// The next line without its end. Cancel safe.
    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(line) = line::take(&mut self.seen) {
                return Ok(line);
            }
            if self.seen.len() > LINE_MAX_BYTES {
                self.seen.clear();
            }
            if self.port.read_buf(&mut self.seen).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn unexpected(line: &str) -> FlashError {
    FlashError::Unexpected(quotable(line.as_bytes()))
}
