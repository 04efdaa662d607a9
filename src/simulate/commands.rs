//! Splits a byte stream into commands at a delimiter, in bounded memory.

/// The longest command. The rest of a longer one is skipped up to its delimiter.
pub const COMMAND_MAX_BYTES: usize = 256;

/// The bytes between two delimiters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A command, without its delimiter.
    Whole(Vec<u8>),
    /// The first bytes of an oversized command.
    TooLong(Vec<u8>),
}

/// Splits at a delimiter. Buffers at most [`COMMAND_MAX_BYTES`].
#[derive(Clone, Debug)]
pub struct Splitter {
    delimiter: u8,
    held: Vec<u8>,
    overflowed: bool,
}

impl Splitter {
    /// An empty splitter for this delimiter.
    pub fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            held: Vec::new(),
            overflowed: false,
        }
    }

    /// Adds bytes and returns the commands that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for &byte in bytes {
            if byte == self.delimiter {
                let held = std::mem::take(&mut self.held);
                pieces.push(if std::mem::take(&mut self.overflowed) {
                    Piece::TooLong(held)
                } else {
                    Piece::Whole(held)
                });
            } else if self.held.len() < COMMAND_MAX_BYTES {
                self.held.push(byte);
            } else {
                self.overflowed = true;
            }
        }
        pieces
    }

    /// The bytes that are waiting for their delimiter.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Discards the waiting bytes.
    pub fn clear(&mut self) {
        self.held = Vec::new();
        self.overflowed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_at_the_delimiter_across_frames() {
        let mut s = Splitter::new(b';');
        assert_eq!(
            s.push(b"a;b;c"),
            [Piece::Whole(b"a".to_vec()), Piece::Whole(b"b".to_vec())]
        );
        assert_eq!(s.held(), b"c");
        assert_eq!(s.push(b"d;"), [Piece::Whole(b"cd".to_vec())]);
        assert_eq!(s.held(), b"");
    }

    #[test]
    fn an_endless_command_takes_256_bytes_and_the_next_one_is_whole() {
        let mut s = Splitter::new(b';');
        assert_eq!(s.push(&[b'x'; 100_000]), []);
        assert_eq!(s.held().len(), COMMAND_MAX_BYTES);
        assert_eq!(
            s.push(b";ok;"),
            [
                Piece::TooLong(vec![b'x'; COMMAND_MAX_BYTES]),
                Piece::Whole(b"ok".to_vec())
            ]
        );
    }
}
