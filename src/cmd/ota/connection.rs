//! One connection to a board that takes updates: its greeting, the request, the image. The lines are those of
//! `firmware/board/src/ota/wire.rs`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout};
use wsdm_device_board::ota::{Answer, GREETING, Greeting, LINE_MAX_BYTES, Request, VERSION};

use super::error::OtaError;
use crate::cmd::line::{self, quotable};

/// How long a board may take to accept a connection, and then to greet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a board that has just served somebody may take until it listens again, and how often it is asked.
const LISTENS_WITHIN: Duration = Duration::from_secs(2);
const LISTENS_POLL: Duration = Duration::from_millis(200);
/// How long a board may take until it waits for the image: outputs go off first, and a wrong password has it wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a board may take nothing: it erases and writes between what it takes.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a board may read and compare what it has.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a board that ended the connection may have said why.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);
/// What is sent at once.
const PIECE_BYTES: usize = 4_096;
/// What the system takes before the board has: more, and progress would run ahead of it.
const SEND_BUFFER_BYTES: usize = 16 * 1_024;

/// A board that has greeted.
pub(super) struct Connection {
    lines: Lines,
    writer: OwnedWriteHalf,
    pub(super) greeting: Greeting,
}

impl Connection {
    /// Connects, and reads the greeting. More is not asked of the board: what listens there may be something else.
    pub(super) async fn open(at: SocketAddr) -> Result<Self, OtaError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::ConnectionRefused => OtaError::NotListening(at),
            _ => OtaError::NoAnswer { at, source },
        };
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(at)).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        // Only the progress that is shown depends on it.
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
        let (reader, writer) = stream.into_split();
        let mut lines = Lines {
            reader,
            seen: BytesMut::new(),
        };
        let line = timeout(GREETING_TIMEOUT, lines.next()).await;
        let line = line.map_err(|_| OtaError::Silent(at))?;
        // What came without the end of a line is no greeting either.
        let line = line.unwrap_or_else(|_| quotable(&lines.seen));
        let greeting = line.parse().map_err(|_| stranger(at, &line))?;
        Ok(Self {
            lines,
            writer,
            greeting,
        })
    }

    /// The same for the first connection, which may come right after somebody else's.
    pub(super) async fn open_first(at: SocketAddr) -> Result<Self, OtaError> {
        let deadline = Instant::now() + LISTENS_WITHIN;
        loop {
            match Self::open(at).await {
                Err(OtaError::NotListening(_)) if Instant::now() < deadline => sleep(LISTENS_POLL).await,
                opened => return opened,
            }
        }
    }

    /// Asks whether the image can come. The board has its outputs off if it can.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<(), OtaError> {
        let line = format!("{request}\n");
        let asked = async {
            self.writer.write_all(line.as_bytes()).await?;
            self.lines.next().await
        };
        match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(line)) => match line.parse() {
                Ok(Answer::Go) => Ok(()),
                Ok(Answer::No(refusal)) => Err(refusal.into()),
                _ => Err(OtaError::nonsense(&line)),
            },
            Ok(Err(e)) => Err(OtaError::Lost(e)),
            Err(_) => Err(OtaError::Lost(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Sends the image, and counts what the system has taken of it.
    pub(super) async fn send(&mut self, image: &[u8], mut count: impl FnMut(u64)) -> Result<(), OtaError> {
        let Self { lines, writer, .. } = self;
        for piece in image.chunks(PIECE_BYTES) {
            let written = tokio::select! {
                biased;
                // Until it has all of the image, only a refusal comes.
                line = lines.next() => return Err(line.map_or_else(OtaError::Lost, |line| refusal(&line))),
                written = timeout(STALL_TIMEOUT, writer.write_all(piece)) => written,
            };
            let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if let Err(e) = written {
                let last_word = timeout(LAST_WORD_TIMEOUT, lines.next()).await;
                return Err(match last_word {
                    Ok(Ok(line)) => refusal(&line),
                    Ok(Err(_)) | Err(_) => OtaError::Lost(e),
                });
            }
            count(piece.len() as u64);
        }
        Ok(())
    }

    /// Waits until the board has compared what it has with what was announced.
    ///
    /// # Errors
    /// [`OtaError::Unanswered`] if it is not known whether it took the image.
    pub(super) async fn taken(&mut self) -> Result<(), OtaError> {
        match timeout(VERIFY_TIMEOUT, self.lines.next()).await {
            Ok(Ok(line)) => match line.parse() {
                Ok(Answer::Done) => Ok(()),
                Ok(Answer::No(refusal)) => Err(refusal.into()),
                _ => Err(OtaError::Unanswered),
            },
            Ok(Err(_)) | Err(_) => Err(OtaError::Unanswered),
        }
    }
}

/// What a line means that comes instead of the end of the image.
fn refusal(line: &str) -> OtaError {
    match line.parse() {
        Ok(Answer::No(refusal)) => refusal.into(),
        _ => OtaError::nonsense(line),
    }
}

/// What greets in this way.
fn stranger(at: SocketAddr, line: &str) -> OtaError {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(GREETING), Some(version)) if version != VERSION && version.parse::<u32>().is_ok() => {
            OtaError::OtherVersion {
                at,
                version: version.to_owned(),
            }
        }
        _ => OtaError::NoBoard {
            at,
            sent: quotable(line.as_bytes()),
        },
    }
}

/// The lines of a board.
struct Lines {
    reader: OwnedReadHalf,
    seen: BytesMut,
}

impl Lines {
    /// The next line without its end. Cancel safe.
    ///
    /// # Errors
    /// The connection was lost, or has ended; or no line of a board is as long.
    async fn next(&mut self) -> io::Result<String> {
        loop {
            if let Some(line) = line::take(&mut self.seen) {
                return Ok(line);
            }
            if self.seen.len() > LINE_MAX_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.reader.read_buf(&mut self.seen).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
