//! Hello lines of boards that start when they are connected, and what is wrong if a board does not identify itself.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Duration, Instant, timeout_at};

use crate::defaults::{HANDSHAKE_MAX_BYTES, HELLO_TIMEOUT};
use crate::device::handshake::HandshakeError;
use crate::device::hello::{Hello, HelloFault};
use crate::device::peer::Peer;

/// Why a board could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It sent nothing, or nothing that identifies it. Holds the end of what it sent.
    #[error(
        "no hello line within {} s, and no answer to TCode (D0, D1, D2) or Lovense (DeviceType;){}",
        HELLO_TIMEOUT.as_secs(),
        quoted(.0)
    )]
    Silent(Vec<u8>),
    /// It sent a faulty hello line.
    #[error("its hello line is not understood: {fault}{}", quoted(.line))]
    Faulty {
        /// What is wrong.
        fault: HelloFault,
        /// What the board sent.
        line: Vec<u8>,
    },
    /// It names no address, and its port or its entry does not make a valid one.
    #[error("{0}")]
    Address(#[from] HandshakeError),
    /// The connection was lost.
    #[error("connection lost: {0}")]
    Io(#[from] std::io::Error),
}

impl HelloError {
    /// What to do about a board at `peer`, in one line.
    pub fn hint_for(&self, peer: &Peer) -> &'static str {
        if let Peer::Dial(_) = peer
            && let Some(hint) = self.hint_for_dialled()
        {
            return hint;
        }
        let on_bluetooth = matches!(peer, Peer::Ble(..));
        match self {
            Self::Faulty { .. } => {
                "a hello line is JSON such as {\"identifier\": \"LVSDevice\", \"address\": \"bench-1\", \"version\": 0}, \
                 and a newline"
            }
            Self::Silent(received) if received.is_empty() && on_bluetooth => {
                "does it have its notify characteristic where the entry says? A board that prints no hello line needs \
                 an identifier in its [[ble]] entry"
            }
            Self::Silent(_) if on_bluetooth => {
                "a board that prints no hello line needs an identifier in its [[ble]] entry"
            }
            Self::Silent(received) if received.is_empty() => {
                "is the right sketch on the board? One that prints no hello line needs identifier and address in its \
                 [[serial]] entry"
            }
            Self::Silent(_) => {
                "does baud_rate match the board's? A board that prints no hello line needs identifier and address in \
                 its [[serial]] entry"
            }
            Self::Address(_) if on_bluetooth => "give the entry a device_address",
            Self::Address(_) => "give the entry an address",
            Self::Io(_) if on_bluetooth => "is it near enough, and its battery full?",
            Self::Io(_) => "is the cable in?",
        }
    }

    /// The hint if it differs for a board that the gateway dials.
    fn hint_for_dialled(&self) -> Option<&'static str> {
        match self {
            // What TCodeESP32 answers to each binary message, and nothing else to any.
            Self::Silent(heard) if contains(heard, b"got your binary message") => {
                Some("it takes text messages alone: write frames = \"text\" in its [[dial]] entry")
            }
            Self::Silent(_) => Some(
                "does the right firmware listen there? A board that prints no hello line needs an identifier, or a \
                 preset, in its [[dial]] entry",
            ),
            Self::Io(_) => Some("did the board restart, or lose its network?"),
            _ => None,
        }
    }
}

fn contains(heard: &[u8], words: &[u8]) -> bool {
    heard.windows(words.len()).any(|part| part == words)
}

fn quoted(received: &[u8]) -> String {
    if received.is_empty() {
        ": the board sent nothing".to_owned()
    } else {
        format!("; the board sent {:?}", String::from_utf8_lossy(received))
    }
}

/// Reads and discards what a board prints while it starts. Returns the last hello line in it; one that is incomplete
/// stays in `read`. Not cancel safe.
///
/// # Errors
/// The connection was lost.
pub async fn settle<P: AsyncRead + Unpin>(
    port: &mut P,
    read: &mut BytesMut,
    time: Duration,
) -> std::io::Result<Option<Hello>> {
    let end = Instant::now() + time;
    let mut noise = BytesMut::new();
    let mut hello = None;
    while let Ok(got) = timeout_at(end, port.read_buf(&mut noise)).await {
        if got? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(end) = noise.iter().position(|b| *b == b'\n') {
            hello = Hello::parse_later(&noise.split_to(end + 1)).or(hello);
        }
        if noise.len() > HANDSHAKE_MAX_BYTES {
            noise.clear();
        }
    }
    // Without its beginning, the rest would be taken for a frame. Noise may precede it on the same line.
    if let Some(start) = noise.iter().rposition(|b| *b == b'{') {
        let begun = noise.split_off(start);
        if Hello::may_begin(&begun) {
            read.unsplit(begun);
        }
    }
    Ok(hello)
}

/// Appends `more`, and keeps the end, which people are shown.
pub(super) fn keep_last(received: &mut Vec<u8>, more: &[u8]) {
    const SHOWN: usize = 80;
    received.extend_from_slice(more);
    let from = received.len().saturating_sub(SHOWN);
    received.drain(..from);
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_what_a_board_prints_while_it_settles_hello_lines_are_kept_also_one_that_has_only_begun() {
        let (mut gateway, mut board) = tokio::io::duplex(256);
        let line = "{\"identifier\":\"a\",\"version\":0}\n";
        for (said, is_known, wanted) in [
            (format!("ets Jun 8{line}load:0x3fff"), true, ""),
            (format!("ready\n{}", &line[..20]), false, &line[..20]),
            (format!("{line}{}", &line[..2]), true, &line[..2]),
            (format!("load:0x3fff{}", &line[..20]), false, &line[..20]),
            ("ready {x".to_owned(), false, ""),
        ] {
            board.write_all(said.as_bytes()).await.unwrap();
            let mut read = BytesMut::new();
            let hello = settle(&mut gateway, &mut read, Duration::from_secs(2)).await;
            assert_eq!(hello.unwrap().is_some(), is_known, "{said}");
            assert_eq!(read, wanted, "{said}");
        }
    }
}
