//! Asking a board on a wire or on Bluetooth who it is.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Duration, Instant, sleep_until, timeout, timeout_at};

use crate::defaults::{HANDSHAKE_MAX_BYTES, HELLO_ASK_LATER, HELLO_ASK_PAUSE, HELLO_TIMEOUT};
use crate::device::handshake::{Address, HandshakeError};
use crate::device::hello::Hello;
use crate::device::peer::Peer;

/// Why it is not known who a board is.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It said nothing, or nothing like it.
    #[error("no hello line within {} s{}", HELLO_TIMEOUT.as_secs(), said(.0))]
    Silent(Vec<u8>),
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
            Self::Silent(_) => Some(
                "does the right firmware listen there? A board that prints no hello line needs an identifier, or a \
                 preset, in its [[dial]] entry",
            ),
            Self::Io(_) => Some("did the board restart, or lose its network?"),
            _ => None,
        }
    }
}

fn said(heard: &[u8]) -> String {
    if heard.is_empty() {
        ": the board said nothing".to_owned()
    } else {
        format!("; the board said {:?}", String::from_utf8_lossy(heard))
    }
}

/// How a board is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    /// For how long it is not asked, since it starts.
    pub settle: Duration,
    /// When it is given up, counted from the start; `None` waits for as long as the port is open.
    pub patience: Option<Duration>,
    /// Its address if it names none.
    pub fallback: &'a Result<Address, HandshakeError>,
}

/// Waits for a board to introduce itself, asking with a newline again and again: often at first, then from time to
/// time, since the board may be slow to start, or be flashed while its port stays. `not_yet` is called once with what
/// is wrong so far. What the board said after the hello line stays in `read`. Not cancel safe: what was read is lost
/// with the future.
///
/// # Errors
/// The port broke, or patience ended.
pub async fn wait_for_hello<P>(
    port: &mut P,
    read: &mut BytesMut,
    wait: Wait<'_>,
    not_yet: impl Fn(&HelloError),
) -> Result<Hello, HelloError>
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let start = Instant::now();
    let soon = start + wait.settle + HELLO_TIMEOUT;
    let mut ask = start + wait.settle.max(HELLO_ASK_PAUSE);
    let mut heard = Vec::new();
    let mut nameless = None;
    let mut reported = None;
    loop {
        while let Some(end) = read.iter().position(|b| *b == b'\n') {
            let line = read.split_to(end + 1);
            let hello = match wait.fallback {
                Ok(address) => Hello::parse(&line, address),
                Err(_) => Hello::parse_later(&line),
            };
            match (hello, wait.fallback) {
                (Some(hello), Err(e)) if !hello.names_its_address => nameless = Some(e.clone()),
                (Some(hello), _) => return Ok(hello),
                (None, _) => keep_last(&mut heard, &line),
            }
        }
        if read.len() > HANDSHAKE_MAX_BYTES {
            keep_last(&mut heard, read);
            read.clear();
        }
        let due = if reported.is_none() { soon } else { ask };
        let end = wait.patience.map(|patience| start + patience);
        tokio::select! {
            got = port.read_buf(read) => {
                if got? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                }
            }
            () = sleep_until(ask.min(due).min(end.unwrap_or(due))) => {
                let now = Instant::now();
                let is_over = end.is_some_and(|end| now >= end);
                if reported.is_none() && (now >= soon || is_over) {
                    let error = match nameless.take() {
                        Some(e) => HelloError::Address(e),
                        None => {
                            let mut heard = heard.clone();
                            keep_last(&mut heard, read);
                            HelloError::Silent(heard)
                        }
                    };
                    not_yet(&error);
                    reported = Some(error);
                }
                if let Some(error) = reported.take_if(|_| is_over) {
                    return Err(error);
                }
                if now >= ask {
                    ask = now + if reported.is_none() { HELLO_ASK_PAUSE } else { HELLO_ASK_LATER };
                    // A far end that takes nothing is one that says nothing either.
                    if let Ok(written) = timeout(HELLO_ASK_PAUSE, port.write_all(b"\n")).await {
                        written?;
                    }
                }
            }
        }
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
fn keep_last(heard: &mut Vec<u8>, more: &[u8]) {
    const SHOWN: usize = 80;
    heard.extend_from_slice(more);
    let from = heard.len().saturating_sub(SHOWN);
    heard.drain(..from);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::io::DuplexStream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    async fn waits(
        port: &mut DuplexStream,
        read: &mut BytesMut,
        patience: Option<Duration>,
        fallback: &str,
    ) -> (Result<Hello, HelloError>, Vec<String>) {
        let reports = RefCell::new(Vec::new());
        let wait = Wait {
            settle: Duration::ZERO,
            patience,
            fallback: &Address::new(fallback),
        };
        let report = |e: &HelloError| reports.borrow_mut().push(e.to_string());
        let hello = wait_for_hello(port, read, wait, report).await;
        (hello, reports.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_board_is_asked_until_it_answers() {
        let (mut gateway, mut board) = tokio::io::duplex(64);
        let board = async {
            board.write_all(b"ets Jun 8 2016\r\nload:0x3fff").await.unwrap();
            let mut asked = [0; 2];
            board.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"\n\n");
            board
                .write_all(b"\n{\"identifier\":\"a\",\"version\":0}\nOK;")
                .await
                .unwrap();
            board
        };
        let mut read = BytesMut::new();
        let ((hello, reports), _board) =
            tokio::join!(waits(&mut gateway, &mut read, Some(PATIENCE), "port"), board);
        assert_eq!(reports, [""; 0]);
        assert_eq!(hello.unwrap().handshake.identifier.as_str(), "a");
        assert_eq!(&read[..], b"OK;", "what follows is the first frame");
    }

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

    #[tokio::test(start_paused = true)]
    async fn a_board_that_says_something_else_is_reported_once_and_given_up_when_patience_ends() {
        let (mut gateway, mut board) = tokio::io::duplex(64);
        board.write_all(b"hello world\r\n").await.unwrap();
        let start = Instant::now();
        let (error, reports) = waits(&mut gateway, &mut BytesMut::new(), Some(PATIENCE), "port").await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("hello world"), "{error}");
        assert_eq!(reports, [error]);
        assert_eq!(start.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_board_that_is_silent_for_a_minute_is_still_asked() {
        let (mut gateway, mut board) = tokio::io::duplex(64);
        let script = async {
            let start = Instant::now();
            let mut asked = Vec::new();
            while start.elapsed() < Duration::from_secs(60) {
                assert_eq!(board.read_u8().await.unwrap(), b'\n');
                asked.push(start.elapsed());
            }
            board
                .write_all(b"{\"identifier\":\"a\",\"version\":0}\n")
                .await
                .unwrap();
            asked
        };
        let mut read = BytesMut::new();
        let ((hello, reports), asked) = tokio::join!(waits(&mut gateway, &mut read, None, "port"), script);
        assert_eq!(hello.unwrap().handshake.address.as_str(), "port");
        assert_eq!(reports.len(), 1, "{reports:?}");
        let late = asked.iter().filter(|at| **at > HELLO_TIMEOUT);
        assert!((5..=7).contains(&late.count()), "quietly: {asked:?}");
    }

    /// A port may have a name that is too long for an address, and a board may name one.
    #[tokio::test(start_paused = true)]
    async fn a_board_that_names_its_address_needs_no_other() {
        let (mut gateway, mut board) = tokio::io::duplex(256);
        let long = "x".repeat(300);
        let nameless = b"{\"identifier\":\"a\",\"version\":0}\n";
        board.write_all(nameless).await.unwrap();
        let script = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            let named = b"{\"identifier\":\"a\",\"address\":\"b\",\"version\":0}\n";
            board.write_all(named).await.unwrap();
        };
        let mut read = BytesMut::new();
        let ((hello, reports), ()) = tokio::join!(waits(&mut gateway, &mut read, None, &long), script);
        assert_eq!(hello.unwrap().handshake.address.as_str(), "b");
        assert!(
            matches!(&reports[..], [why] if why.contains("address")),
            "{reports:?}"
        );
    }
}
