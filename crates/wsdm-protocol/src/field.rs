//! What an identifier and an address may be.

use core::fmt;

use crate::{FIELD_MAX_BYTES, key};

/// Why a text cannot be an identifier or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// An empty text in the field of this name.
    Empty(&'static str),
    /// More than [`FIELD_MAX_BYTES`].
    TooLong {
        /// The field's name on the wire.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(field) => write!(f, "the handshake's \"{field}\" is empty"),
            Self::TooLong { field, len } => write!(
                f,
                "the handshake's \"{field}\" has {len} bytes, at most {FIELD_MAX_BYTES} are taken"
            ),
        }
    }
}

impl core::error::Error for FieldError {}

/// Whether a text can be an identifier.
///
/// # Errors
/// It is empty or too long.
pub fn check_identifier(text: &str) -> Result<(), FieldError> {
    check(key::IDENTIFIER, text)
}

/// Whether a text can be an address.
///
/// # Errors
/// It is empty or too long.
pub fn check_address(text: &str) -> Result<(), FieldError> {
    check(key::ADDRESS, text)
}

fn check(field: &'static str, text: &str) -> Result<(), FieldError> {
    match text.len() {
        0 => Err(FieldError::Empty(field)),
        len if len > FIELD_MAX_BYTES => Err(FieldError::TooLong { field, len }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_256_bytes_are_taken() {
        let long = [b'x'; FIELD_MAX_BYTES + 1];
        let long = core::str::from_utf8(&long).unwrap();
        assert_eq!(check_identifier(""), Err(FieldError::Empty("identifier")));
        assert_eq!(check_address("a"), Ok(()));
        assert_eq!(check_address(&long[1..]), Ok(()));
        assert_eq!(
            check_address(long),
            Err(FieldError::TooLong {
                field: "address",
                len: 257
            })
        );
    }
}
