//! A serial port looked at directly, for when no gateway has it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::show::Show;
use super::watch::{print, stdin_lines};
use super::{MonitorArgs, MonitorError, Sends, frame};
use crate::cmd::error::Error;
use crate::config::{Layers, Loaded, SerialSettings};
use crate::defaults::{CLOSE_TIMEOUT, IDLE_MS_DEFAULT, PORT_POLL};
use crate::device::frame::Frame;
use crate::gateway::boards::serial_entries;
use crate::link::LinkError;
use crate::link::framing::{FrameCodec, Framing};
use crate::link::serial::ports::{PortInfo, Ports};
use crate::link::serial::{LineSettings, Port, SerialLink};
use crate::session::tap::Direction;
use crate::text::hex;
use crate::web::api::frames::Line;
use crate::web::view::seconds;

/// Watches a port until Ctrl-C, or with `--once` until it goes.
pub(super) async fn watch(path: PathBuf, args: MonitorArgs, sends: Sends) -> Result<(), Error> {
    let entry = entry(&path, &args)?;
    let mut line = entry
        .as_ref()
        .map_or_else(LineSettings::default, |entry| entry.line.clone());
    if let Some(baud_rate) = args.baud_rate {
        line.baud_rate = baud_rate;
    }
    let framing = entry.as_ref().and_then(|entry| entry.framing.clone());
    let idle = std::time::Duration::from_millis(IDLE_MS_DEFAULT);
    let wire = Wire {
        line,
        framing: framing.unwrap_or(Framing::Idle(idle)),
        on_close: entry.and_then(|entry| entry.on_close),
        show: Show {
            json: args.json,
            hex: args.hex,
            wait: !args.once,
        },
        path,
    };
    let mut frames = sends.frames;
    let mut input = if sends.stdin {
        stdin_lines()
    } else {
        mpsc::channel(1).1
    };
    let mut was_there = false;
    loop {
        let mut link = match wire.open().await {
            Ok(link) => link,
            // It was there a moment ago, and comes back.
            Err(_) if was_there => tokio::select! {
                Ok(()) = tokio::signal::ctrl_c() => return Ok(()),
                () = tokio::time::sleep(PORT_POLL) => continue,
            },
            Err(e) => return Err(e.into()),
        };
        was_there = true;
        let gone = match wire
            .pump(&mut link, std::mem::take(&mut frames), &mut input)
            .await
        {
            Ok(Some(gone)) => gone,
            over => {
                wire.close(link).await;
                return over.map(|_| ());
            }
        };
        print(&wire.show.line(&Line::Gone {
            gone: Some(gone.to_string()),
        }))?;
        if args.once {
            return Ok(());
        }
    }
}

/// The entry that takes this port, where there is one.
fn entry(path: &Path, args: &MonitorArgs) -> Result<Option<SerialSettings>, Error> {
    let loaded = Loaded::load(args.config.as_deref(), Layers::default())?;
    let entries = serial_entries(&loaded.settings);
    let node = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let listed = Ports::system().list().unwrap_or_default();
    let port = listed.into_iter().find(|port| port.path == node);
    // A pseudo-terminal is not listed.
    let port = port.unwrap_or(PortInfo {
        path: node,
        by_id: None,
        usb: None,
    });
    let taking = SerialSettings::taking(&entries, &port);
    Ok(taking.and_then(|n| entries.into_iter().nth(n)))
}

struct Wire {
    path: PathBuf,
    line: LineSettings,
    framing: Framing,
    on_close: Option<Bytes>,
    show: Show,
}

impl Wire {
    async fn open(&self) -> Result<SerialLink, MonitorError> {
        let (path, line) = (self.path.clone(), self.line.clone());
        let opened = tokio::task::spawn_blocking(move || Port::open(&path, &line)).await;
        let port = opened
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(|source| MonitorError::Port {
                path: self.path.clone(),
                source,
            })?;
        let codec = FrameCodec::new(self.framing.clone()).with_hellos();
        Ok(SerialLink::with_codec(
            port,
            self.line.clone(),
            codec,
            BytesMut::new(),
        ))
    }

    /// Shows what passes, until the port goes; `None` when whoever watches has seen enough.
    async fn pump(
        &self,
        link: &mut SerialLink,
        frames: Vec<Bytes>,
        input: &mut mpsc::Receiver<String>,
    ) -> Result<Option<LinkError>, Error> {
        for frame in frames {
            if !self.send(link, frame).await? {
                return Ok(None);
            }
        }
        loop {
            tokio::select! {
                // Where Ctrl-C cannot be listened for, the process is ended by it.
                Ok(()) = tokio::signal::ctrl_c() => return Ok(None),
                Some(text) = input.recv() => match frame(&text) {
                    Ok(frame) => if !self.send(link, frame).await? {
                        return Ok(None);
                    },
                    Err(e) => eprintln!("not sent: {e}"),
                },
                heard = link.next() => match heard {
                    Some(Ok(frame)) => if !self.show(Direction::FromDevice, &frame.0)? {
                        return Ok(None);
                    },
                    Some(Err(e)) => return Ok(Some(e)),
                    None => return Ok(Some(LinkError::Lost(io::ErrorKind::UnexpectedEof.into()))),
                },
            }
        }
    }

    /// Whether anybody still reads what is printed.
    async fn send(&self, link: &mut SerialLink, frame: Bytes) -> Result<bool, Error> {
        match link.send(Frame(frame.clone())).await {
            Ok(()) => self.show(Direction::ToDevice, &frame),
            Err(e) => {
                eprintln!("not sent: {e}");
                Ok(true)
            }
        }
    }

    fn show(&self, direction: Direction, bytes: &Bytes) -> Result<bool, Error> {
        print(&self.show.line(&Line::Frame {
            at: seconds(SystemTime::now()),
            direction,
            hex: hex(bytes),
            text: String::from_utf8_lossy(bytes).into_owned(),
        }))
    }

    /// Whoever sent something by hand leaves nothing running, where it is known what stops the board.
    async fn close(&self, mut link: SerialLink) {
        if let Some(stop) = self.on_close.clone() {
            let stopped = async {
                link.send(Frame(stop)).await?;
                link.close().await
            };
            if !matches!(timeout(CLOSE_TIMEOUT, stopped).await, Ok(Ok(()))) {
                eprintln!("the board did not take its stop");
            }
        }
    }
}
