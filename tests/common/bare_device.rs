//! A websocket device on a bare socket: it reads when it likes, answers pings as it likes, and its window is small.
//!
//! A websocket library answers pings by itself, and the system's receive window hides kilobytes.

#![allow(dead_code, reason = "the benchmark that shares this uses its part")]

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;

/// The receive window of an ESP32.
pub const ESP32_WINDOW: u32 = 5_744;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// How a device answers pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pongs {
    /// As the protocol wants it.
    Whole,
    /// Without the payload.
    Empty,
    Never,
}

pub struct BareDevice {
    stream: TcpStream,
    unread: Vec<u8>,
    pub pongs: Pongs,
    /// Pings that came.
    pub pings: usize,
}

impl BareDevice {
    /// Connects and shakes hands. `window` is about how many bytes the system takes for a device that does not read.
    pub async fn connect(at: SocketAddr, window: u32, handshake: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(window)?;
        let stream = socket.connect(at).await?;
        stream.set_nodelay(true)?;
        let (ws, _) = client_async(format!("ws://{at}"), stream)
            .await
            .map_err(io::Error::other)?;
        let mut device = Self {
            // Nothing is lost: a server is silent before the handshake.
            stream: ws.into_inner(),
            unread: Vec::new(),
            pongs: Pongs::Whole,
            pings: 0,
        };
        device.send(TEXT, handshake.as_bytes()).await?;
        Ok(device)
    }

    /// Sends a frame of the device. In one segment with others if they are given together.
    pub async fn say(&mut self, frames: &[&[u8]]) -> io::Result<()> {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| masked(BINARY, frame)).collect();
        self.stream.write_all(&bytes).await
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&masked(opcode, payload)).await
    }

    /// The next frame for the device. Pings are answered on the way. Cancel safe, unless a pong is being written.
    pub async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let Some((opcode, payload)) = self.take() else {
                if self.stream.read_buf(&mut self.unread).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            match opcode {
                TEXT | BINARY => return Ok(payload),
                PING => {
                    self.pings += 1;
                    match self.pongs {
                        Pongs::Whole => self.send(PONG, &payload).await?,
                        Pongs::Empty => self.send(PONG, &[]).await?,
                        Pongs::Never => {}
                    }
                }
                CLOSE => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    /// Takes a whole message from what was read.
    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&first, &second) = (self.unread.first()?, self.unread.get(1)?);
        let (start, length) = match second {
            126 => (
                4,
                usize::from(u16::from_be_bytes([*self.unread.get(2)?, *self.unread.get(3)?])),
            ),
            length => (2, usize::from(length)),
        };
        assert!(second < 127, "nothing that long is sent to a device here");
        if self.unread.len() < start + length {
            return None;
        }
        let payload = self.unread[start..start + length].to_vec();
        self.unread.drain(..start + length);
        Some((first & 0x0F, payload))
    }
}

/// Under a mask of zeros, so that the bytes stand as they are.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    assert!(length < 126, "a short frame");
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
