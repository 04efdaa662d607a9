//! How bytes are written in gateway.toml: as text with the escapes of `monitor --send`, or as `{ hex = "05 80 80" }`.
//!
//! TOML's own escapes make characters, not bytes: it turns `"\x80"` into U+0080, which is `c2 80` in UTF-8. A stop
//! that was meant as one byte must not become two, so text with characters outside ASCII is refused.

use ::bytes::Bytes;

use super::layers::Given;
use super::read::text;
use crate::text::{escaped, hex, unescape, unescape_with, unhex};

/// The bytes that a value means.
///
/// # Errors
/// What is wrong or ambiguous, and what to write instead.
pub(super) fn parse(given: &Given) -> Result<Bytes, String> {
    let bytes = match given {
        Given::Hex(digits) => from_hex(digits)?,
        given => from_text(text(given)?)?,
    };
    if bytes.is_empty() {
        return Err("is empty; leave the key out instead".to_owned());
    }
    Ok(bytes.into())
}

/// Bytes of two hexadecimal digits each, with or without spaces between them.
pub(super) fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    let digits: String = digits.split_whitespace().collect();
    unhex(&digits)
        .ok_or_else(|| "is not a row of bytes, two hexadecimal digits each, such as \"01ff\"".to_owned())
}

fn from_text(text: &str) -> Result<Vec<u8>, String> {
    // Each character as one byte, which is what the author of "\x80" has in mind.
    let (mut foreign, mut all_are_bytes) = (None, true);
    let bytes = unescape_with(text, |c, out| {
        if !c.is_ascii() {
            foreign = foreign.or(Some(c));
        }
        match u8::try_from(c) {
            Ok(byte) => out.push(byte),
            Err(_) => all_are_bytes = false,
        }
    })
    .map_err(|e| e.to_string())?;
    let Some(c) = foreign else {
        return Ok(bytes);
    };
    let utf8 = unescape(text).map_err(|e| e.to_string())?;
    let code = u32::from(c);
    Err(if all_are_bytes {
        format!(
            "has U+{code:04X}, which may mean the byte {code:02x} or that character in UTF-8; write {} for bytes, \
             {} for UTF-8",
            both(&bytes),
            braces(&utf8)
        )
    } else {
        format!(
            "has U+{code:04X}, a character and not a byte; write {} for UTF-8",
            both(&utf8)
        )
    })
}

/// Both ways to write these bytes.
fn both(bytes: &[u8]) -> String {
    format!("'{}' or {}", escaped(bytes).replace('\'', "\\x27"), braces(bytes))
}

fn braces(bytes: &[u8]) -> String {
    format!("{{ hex = \"{}\" }}", spaced(bytes))
}

fn spaced(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| hex(&[*byte])).collect();
    pairs.join(" ")
}

/// Exactly what will be sent.
pub(super) fn show(bytes: &[u8]) -> String {
    format!("\"{}\" ({})", escaped(bytes), spaced(bytes))
}

/// What to ask about bytes that hold, but may be meant differently.
pub(super) fn doubt(given: &Given) -> Option<String> {
    let Given::Text(text) = given else {
        return None;
    };
    let digits = text.trim().trim_start_matches("0x");
    let looks_like_hex = (digits.contains(' ') || digits.len() < text.trim().len())
        && digits.split_whitespace().all(|pair| pair.len() == 2)
        && from_hex(digits).is_ok();
    looks_like_hex.then(|| format!("is sent as this text; for the bytes write {{ hex = \"{digits}\" }}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<u8>, String> {
        parse(&Given::Text(text.to_owned())).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn bytes_are_read_as_escapes_or_as_hexadecimal_digits() {
        assert_eq!(read(r"\x05\x80\x80").unwrap(), [0x05, 0x80, 0x80]);
        assert_eq!(read("DSTOP\n").unwrap(), b"DSTOP\n");
        assert_eq!(read(r"DSTOP\n").unwrap(), b"DSTOP\n");
        for digits in ["05 80 80", "058080", " 05 8080"] {
            let bytes = parse(&Given::Hex(digits.to_owned())).unwrap();
            assert_eq!(bytes[..], [0x05, 0x80, 0x80], "{digits}");
        }
    }

    #[test]
    fn a_character_that_may_be_a_byte_or_utf_8_is_refused_with_both() {
        // What TOML makes of "\x05\x80'".
        let refusal = read("\u{5}\u{80}'").unwrap_err();
        for part in [
            "U+0080",
            r"'\x05\x80\x27'",
            r#"{ hex = "05 80 27" } for bytes"#,
            r#"{ hex = "05 c2 80 27" } for UTF-8"#,
        ] {
            assert!(refusal.contains(part), "{part} in {refusal}");
        }
        // As an escape of its own it is as ambiguous.
        assert!(read(r"\u{80}").unwrap_err().contains("U+0080"));
        let refusal = read("\u{20ac}").unwrap_err();
        assert!(refusal.contains(r#"{ hex = "e2 82 ac" } for UTF-8"#), "{refusal}");
        assert!(refusal.contains(r"'\xe2\x82\xac'"), "{refusal}");
        let refusal = read("\u{80}\u{20ac}").unwrap_err();
        assert!(!refusal.contains("for bytes"), "{refusal}");
    }

    #[test]
    fn what_is_no_row_of_bytes_is_refused() {
        for digits in ["", "5", "0g", "é"] {
            assert!(parse(&Given::Hex(digits.to_owned())).is_err(), "{digits}");
        }
        for given in [
            Given::Integer(5),
            Given::Boolean(true),
            Given::Text(r"\q".to_owned()),
        ] {
            assert!(parse(&given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn what_is_shown_is_what_is_sent() {
        assert_eq!(show(&[0x05, 0x80, b'"', b'\n']), r#""\x05\x80"\n" (05 80 22 0a)"#);
    }

    #[test]
    fn text_that_looks_like_hexadecimal_digits_is_asked_about() {
        for (text, doubted) in [
            ("05 80 80", true),
            ("0x0580", false),
            ("0x05", true),
            ("D0", false),
            ("Vibrate:0;", false),
            ("be bad", false),
        ] {
            assert_eq!(doubt(&Given::Text(text.to_owned())).is_some(), doubted, "{text}");
        }
    }
}
