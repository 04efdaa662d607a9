//! Writing JSON: strings with what must be escaped, and a buffer of fixed size to write into.

use core::fmt::{self, Write};

/// The buffer does not hold what was to be written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

impl fmt::Display for TooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is too small")
    }
}

impl core::error::Error for TooSmall {}

/// A buffer as something to write text into.
struct Slice<'a> {
    into: &'a mut [u8],
    len: usize,
}

impl Write for Slice<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.checked_add(text.len()).ok_or(fmt::Error)?;
        let place = self.into.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Has `write` write into `buffer`; how many bytes it wrote.
pub(crate) fn into_buffer(
    buffer: &mut [u8],
    write: impl FnOnce(&mut dyn Write) -> fmt::Result,
) -> Result<usize, TooSmall> {
    let mut slice = Slice { into: buffer, len: 0 };
    match write(&mut slice) {
        Ok(()) => Ok(slice.len),
        Err(fmt::Error) => Err(TooSmall),
    }
}

/// `,"key":"text"`; nothing where there is no text.
pub(crate) fn optional(out: &mut dyn Write, key: &str, text: Option<&str>) -> fmt::Result {
    let Some(text) = text else {
        return Ok(());
    };
    write!(out, ",\"{key}\":")?;
    string(out, text)
}

/// `"text"`, escaped (RFC 8259, section 7).
pub(crate) fn string(out: &mut dyn Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if u32::from(c) < 0x20 => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}
