//! Lines that a board sends, on its console or where it takes updates.

use bytes::BytesMut;

use crate::text::{cut, printable};

/// The longest that is quoted of what a board sent.
const QUOTED_CHARS: usize = 80;

/// Takes the first line, without its end, if all of it has come.
pub(super) fn take(seen: &mut BytesMut) -> Option<String> {
    let end = seen.iter().position(|byte| *byte == b'\n')?;
    let line = seen.split_to(end + 1);
    let line = String::from_utf8_lossy(&line);
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What a peer sent, as it can be shown.
pub(super) fn quotable(bytes: &[u8]) -> String {
    cut(printable(bytes), QUOTED_CHARS)
}
