//! What a board on a wire or on Bluetooth says of itself without being asked, and what is wrong where it says nothing.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Duration, Instant, timeout_at};

use crate::defaults::{HANDSHAKE_MAX_BYTES, HELLO_TIMEOUT};
use crate::device::handshake::HandshakeError;
use crate::device::hello::{Hello, HelloFault};
use crate::device::peer::Peer;

/// Why it is not known who a board is.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It said nothing, or nothing that tells what it is.
    #[error(
        "no hello line within {} s, and no answer as TCode (D0, D1, D2) or Lovense (DeviceType;){}",
        HELLO_TIMEOUT.as_secs(),
        said(.0)
    )]
    Silent(Vec<u8>),
    /// It meant to say it, and something is wrong with its hello line.
    #[error("its hello line is not understood: {fault}{}", said(.line))]
    Faulty {
        /// What is wrong.
        fault: HelloFault,
        /// What the board said.
        line: Vec<u8>,
    },
    /// Where it is makes no address.
    #[error("{0}")]
    Address(#[from] HandshakeError),
    /// The port broke.
    #[error("broke off: {0}")]
    Io(#[from] std::io::Error),
}

impl HelloError {
    /// One line on what to do about a board at `peer`.
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
            Self::Silent(heard) if heard.is_empty() && on_bluetooth => {
                "does it have its notify characteristic where the entry says? A board that prints no hello line needs \
                 an identifier in its [[ble]] entry"
            }
            Self::Silent(_) if on_bluetooth => {
                "a board that prints no hello line needs an identifier in its [[ble]] entry"
            }
            Self::Silent(heard) if heard.is_empty() => {
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

    /// What is special to a board that the gateway dials.
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

fn said(heard: &[u8]) -> String {
    if heard.is_empty() {
        ": the board said nothing".to_owned()
    } else {
        format!("; the board said {:?}", String::from_utf8_lossy(heard))
    }
}

/// Reads, and throws away, what a board prints while it starts, but for the last hello line in it. One that has only
/// begun stays in `read`. Not cancel safe.
///
/// # Errors
/// The port broke.
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
    // Without its beginning the rest would be taken for a frame. As everywhere, noise may stand before it.
    if let Some(start) = noise.iter().rposition(|b| *b == b'{') {
        let begun = noise.split_off(start);
        if Hello::may_begin(&begun) {
            read.unsplit(begun);
        }
    }
    Ok(hello)
}

/// People are shown the end of what a board said.
pub(super) fn keep_last(heard: &mut Vec<u8>, more: &[u8]) {
    const SHOWN: usize = 80;
    heard.extend_from_slice(more);
    let from = heard.len().saturating_sub(SHOWN);
    heard.drain(..from);
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
