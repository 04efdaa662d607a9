use std::collections::VecDeque;
use std::task::Poll;

use proptest::prelude::*;

use super::*;

/// Gives these pieces one after the other, and waits before each of them once.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    has_waited: bool,
    ends: bool,
}

impl ErrorType for Pieces {
    type Error = ErrorKind;
}

impl Read for Pieces {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        core::future::poll_fn(|_| {
            if !core::mem::replace(&mut self.has_waited, true) {
                return Poll::Pending;
            }
            let Some(piece) = self.pieces.front_mut() else {
                return if self.ends {
                    Poll::Ready(Ok(0))
                } else {
                    Poll::Pending
                };
            };
            let read = piece.len().min(bytes.len());
            bytes[..read].copy_from_slice(&piece[..read]);
            piece.drain(..read);
            if piece.is_empty() {
                self.pieces.pop_front();
                self.has_waited = false;
            }
            Poll::Ready(Ok(read))
        })
        .await
    }
}

/// Polls once: what a future that is dropped at its first wait gives.
fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    match core::pin::pin!(future).poll(&mut context) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// All that is read, in pieces of at most so many bytes, while every read is dropped where it waits. `Err` with what was
/// read before.
fn read_all(pieces: Vec<Vec<u8>>, ends: bool, room: usize, at_once: usize) -> (Vec<u8>, Option<ErrorKind>) {
    let socket = Pieces {
        pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
        has_waited: false,
        ends,
    };
    let (mut buffer, muted) = (vec![0; room], Cell::new(false));
    let mut records = Records::new(socket, &mut buffer, &muted);
    let (mut read, mut waits) = (Vec::new(), 0);
    loop {
        let mut bytes = vec![0; at_once];
        match once(records.read(&mut bytes)) {
            None if waits > 1_000 => return (read, None),
            None => waits += 1,
            Some(Ok(0)) => return (read, None),
            Some(Ok(n)) => read.extend_from_slice(&bytes[..n]),
            Some(Err(e)) => return (read, Some(e)),
        }
    }
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, len[0], len[1]], payload].concat()
}

fn one_piece(bytes: &[u8]) -> (Vec<u8>, Option<ErrorKind>) {
    read_all(vec![bytes.to_vec()], true, 100, 7)
}

#[test]
fn what_does_not_belong_where_it_comes_is_never_given() {
    let hello = record(HANDSHAKE, b"hello");
    let encrypted = record(ENCRYPTED, &[7; ENCRYPTED_MIN_BYTES]);
    for nothing in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"\x15\x03\x03\x00\x03abc",
        b"\x16\x02\x00\x00\x05hello",
        b"\x17",
    ] {
        assert_eq!(one_piece(nothing), (Vec::new(), Some(UNKNOWN)), "{nothing:?}");
    }
    assert_eq!(
        one_piece(&record(ALERT, &[2, 70])),
        (record(ALERT, &[2, 70]), None)
    );
    let changed = record(CHANGE_CIPHER_SPEC, &[1]);
    let good = [&hello[..], &changed, &encrypted, &encrypted].concat();
    assert_eq!(one_piece(&good), (good.clone(), None));
    // Those that the library would process unencrypted, or end the program for.
    for wrong in [
        record(HANDSHAKE, b"hello"),
        record(ALERT, &[2, 40]),
        record(ENCRYPTED, &[7; ENCRYPTED_MIN_BYTES - 1]),
        record(0, &[7; 30]),
    ] {
        let bytes = [&hello[..], &wrong].concat();
        assert_eq!(
            one_piece(&bytes),
            (hello.clone(), Some(ErrorKind::InvalidData)),
            "{wrong:?}"
        );
    }
    for wrong in [&changed, &hello] {
        let bytes = [&hello[..], &encrypted, wrong].concat();
        let before = [&hello[..], &encrypted].concat();
        assert_eq!(
            one_piece(&bytes),
            (before, Some(ErrorKind::InvalidData)),
            "{wrong:?}"
        );
    }
    let large = [&hello[..], &record(ENCRYPTED, &[7; 96])].concat();
    assert_eq!(one_piece(&large), (hello.clone(), Some(ErrorKind::OutOfMemory)));
    let half = &encrypted[..9];
    let bytes = [&hello[..], half].concat();
    assert_eq!(one_piece(&bytes), (hello, Some(ErrorKind::ConnectionReset)));
}

proptest! {
    /// However it comes, and however often a read is dropped: nothing is lost, and never is a part of a record given
    /// whose end has not come.
    #[test]
    fn records_are_given_whole(
        lens in proptest::collection::vec(ENCRYPTED_MIN_BYTES..60, 0..8),
        cuts in proptest::collection::vec(0_usize..400, 0..20),
        missing in 0_usize..12,
        at_once in 1_usize..40,
    ) {
        let mut sent = record(HANDSHAKE, b"hello");
        let mut ends = vec![0, sent.len()];
        for (n, len) in lens.iter().enumerate() {
            sent.extend(record(ENCRYPTED, &vec![u8::try_from(n).unwrap(); *len]));
            ends.push(sent.len());
        }
        let come = sent.len() - missing.min(sent.len());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(come)).chain([0, come]).collect();
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| sent[cut[0]..cut[1]].to_vec()).collect();
        let whole = ends.into_iter().rfind(|end| *end <= come).unwrap();
        let (read, error) = read_all(pieces, false, 65, at_once);
        prop_assert_eq!(error, None);
        prop_assert_eq!(&read[..], &sent[..whole]);
    }

    #[test]
    fn no_bytes_break_it(bytes: Vec<u8>, start in "\\x16\\x03\\x03\\x00\\x01a|") {
        let _ = one_piece(&[start.as_bytes(), &bytes].concat());
    }
}
