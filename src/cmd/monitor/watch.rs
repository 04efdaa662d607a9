//! Finds the gateway, and prints what it says until there is nothing more.

use std::convert::Infallible;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::show::Show;
use super::{MonitorArgs, MonitorError, Sends, frame};
use crate::cmd::error::Error;
use crate::cmd::running::{no_answer, sockets};
use crate::defaults::{STOP_AFTER, attentive_pings};
use crate::web::api::frames::Line;
use crate::web::control::client::{Client, ClientError, Lines};

/// Lines of stdin that wait to be sent.
const INPUT_QUEUE: usize = 16;

pub(super) async fn until_interrupted(device: String, args: MonitorArgs, sends: Sends) -> Result<(), Error> {
    // In a task of its own: a terminal that takes nothing must not keep Ctrl-C waiting.
    let mut watching = AbortOnDropHandle::new(tokio::spawn(watch(device, args, sends)));
    tokio::select! {
        // Where Ctrl-C cannot be listened for, the process is ended by it.
        Ok(()) = tokio::signal::ctrl_c() => Ok(()),
        ended = &mut watching => ended.unwrap_or_else(|e| Err(Error::output(io::Error::other(e)))),
    }
}

async fn watch(device: String, args: MonitorArgs, sends: Sends) -> Result<(), Error> {
    let socket = choose(&device, &args).await?;
    let no_answer = |e: ClientError| no_answer(&socket, &e);
    let mut lines = match Client::connect(&socket).await {
        Ok(mut client) => match client.follow(&device).await {
            Ok(lines) => Followed {
                lines,
                _client: client,
            },
            Err(ClientError::Unknown(there)) => {
                return Err(MonitorError::no_device(device, there, "--device").into());
            }
            Err(e) => return Err(no_answer(e).into()),
        },
        Err(e) => return Err(no_answer(e).into()),
    };
    // A connection of its own, as long as this runs: at its end the gateway stops the device.
    let hand = Client::connect(&socket).await.map_err(no_answer)?;
    let mut sending = std::pin::pin!(send(hand, device, sends));
    let show = Show {
        json: args.json,
        hex: args.hex,
        wait: !args.once,
    };
    loop {
        let line = tokio::select! {
            line = lines.lines.next() => line,
            never = &mut sending => match never {},
        };
        // A stream that breaks and one that ends are the same: the gateway has gone.
        let Ok(Some(text)) = line else {
            return Err(MonitorError::GatewayGone.into());
        };
        let line = match serde_json::from_str::<Line>(&text) {
            Ok(line) => line,
            Err(e) => {
                warn!("a line of the gateway that cannot be read: {e}");
                continue;
            }
        };
        if !print(&show.line(&line))? {
            return Ok(());
        }
        if args.once && matches!(line, Line::Gone { .. }) {
            return Ok(());
        }
    }
}

struct Followed {
    lines: Lines,
    _client: Client,
}

/// The gateway that is meant: the one that was named, the only one, or the only one that has the device.
async fn choose(device: &str, args: &MonitorArgs) -> Result<PathBuf, MonitorError> {
    let mut running = sockets(args.control.as_ref()).await?;
    match running.len() {
        1 => Ok(running.remove(0)),
        _ => {
            let mut with_device = Vec::new();
            for path in &running {
                if has_device(path, device).await {
                    with_device.push(path.clone());
                }
            }
            match <[PathBuf; 1]>::try_from(with_device) {
                Ok([path]) => Ok(path),
                Err(_) => Err(MonitorError::Several(running)),
            }
        }
    }
}

async fn has_device(socket: &Path, address: &str) -> bool {
    let sessions = async { Client::connect(socket).await?.sessions().await };
    // A gateway that does not answer is none that can be meant.
    sessions
        .await
        .is_ok_and(|sessions| sessions.iter().any(|s| s.address == address))
}

/// Sends one after the other, and then shows that this still runs. What cannot be sent is said, and the next one is tried.
async fn send(mut hand: Client, address: String, sends: Sends) -> Infallible {
    let sends_something = sends.stdin || !sends.frames.is_empty();
    for frame in sends.frames {
        send_one(&mut hand, &address, frame).await;
    }
    let mut input = if sends.stdin {
        stdin_lines()
    } else {
        mpsc::channel(1).1
    };
    let mut number = 0;
    let mut is_over = false;
    let mut signs = interval(attentive_pings(STOP_AFTER));
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            line = input.recv(), if !is_over => {
                number += 1;
                match line.as_deref().map(frame) {
                    Some(Ok(frame)) => send_one(&mut hand, &address, frame).await,
                    Some(Err(e)) => eprintln!("not sent: line {number}: {e}"),
                    None => is_over = true,
                }
            }
            // A gateway that has gone ends the watch.
            _ = signs.tick(), if sends_something => drop(hand.alive().await),
            else => std::future::pending().await,
        }
    }
}

async fn send_one(hand: &mut Client, address: &str, frame: Bytes) {
    if let Err(e) = hand.send(address, frame).await {
        eprintln!("not sent: {e}");
    }
}

/// The lines of stdin, without their ends. Its thread waits in a read that nothing can cut short, except the
/// process's end.
pub(super) fn stdin_lines() -> mpsc::Receiver<String> {
    let (lines, input) = mpsc::channel(INPUT_QUEUE);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    input
}

/// Prints a line; whether anybody still reads.
pub(super) fn print(line: &str) -> Result<bool, Error> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::output(e)),
    }
}
