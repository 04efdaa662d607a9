//! A stream of bytes cut into commands at a delimiter, in bounded memory.

/// The longest command that is taken; what is left of a longer one is skipped up to its delimiter.
pub(crate) const COMMAND_MAX_BYTES: usize = 256;

/// What may end up between two delimiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A command, without its delimiter.
    Whole(&'a [u8]),
    /// Something with more than [`COMMAND_MAX_BYTES`].
    TooLong,
}

/// Cuts at a delimiter.
#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    delimiter: u8,
    held: heapless::Vec<u8, COMMAND_MAX_BYTES>,
    overflowed: bool,
}

impl Splitter {
    /// Nothing was received yet.
    pub(crate) const fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            held: heapless::Vec::new(),
            overflowed: false,
        }
    }

    /// Takes bytes, and hands on each command that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], mut piece: impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == self.delimiter) {
            let (command, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            self.hold(command);
            piece(if self.overflowed {
                Piece::TooLong
            } else {
                Piece::Whole(&self.held)
            });
            self.clear();
        }
        self.hold(rest);
    }

    /// Forgets what waits for its delimiter.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.overflowed = false;
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.overflowed |= self.held.extend_from_slice(bytes).is_err();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces<'a>(
        splitter: &mut Splitter,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<Option<Vec<u8>>> {
        let mut all = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |piece| {
                all.push(match piece {
                    Piece::Whole(command) => Some(command.to_vec()),
                    Piece::TooLong => None,
                });
            });
        }
        all
    }

    #[test]
    fn commands_are_cut_at_the_delimiter() {
        let mut s = Splitter::new(b';');
        assert_eq!(
            pieces(&mut s, [&b"a;b;c"[..], b"d;", b"x", b""]),
            [Some(b"a".to_vec()), Some(b"b".to_vec()), Some(b"cd".to_vec())]
        );
        s.clear();
        assert_eq!(pieces(&mut s, [&b";"[..]]), [Some(vec![])]);
    }

    #[test]
    fn a_command_without_end_is_skipped_and_the_next_one_is_whole() {
        let mut s = Splitter::new(b';');
        assert_eq!(pieces(&mut s, [&[b'x'; 1_000][..]]), []);
        assert_eq!(pieces(&mut s, [&b"y;ok;"[..]]), [None, Some(b"ok".to_vec())]);
        let mut s = Splitter::new(b';');
        let most = [b'x'; COMMAND_MAX_BYTES];
        assert_eq!(pieces(&mut s, [&most[..], b";"]), [Some(most.to_vec())]);
    }

    proptest! {
        #[test]
        fn any_chunking_cuts_alike(bytes in proptest::collection::vec(prop_oneof![Just(b';'), any::<u8>()], 0..2_000), size in 1_usize..300) {
            let whole = pieces(&mut Splitter::new(b';'), [&bytes[..]]);
            let chunked = pieces(&mut Splitter::new(b';'), bytes.chunks(size));
            prop_assert_eq!(whole, chunked);
        }
    }
}
