//! Converts bytes to text that is safe for a terminal, and back.

use std::any::Any;
use std::fmt::Write;

use serde::Serialize;

/// Converts bytes to text and escapes control characters and invalid UTF-8. [`unescape`] is the inverse.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\'' => out.push(c),
                c => out.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Converts bytes to ASCII and escapes each byte that is not printable. [`unescape`] is the inverse.
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\'' => out.push(char::from(*byte)),
            byte => out.extend(byte.escape_ascii().map(char::from)),
        }
    }
    out
}

/// Whether bytes are plain text: nothing in them needs escaping except newlines and tabs.
pub fn is_text(bytes: &[u8]) -> bool {
    let plain = |c: char| matches!(c, '\n' | '\r' | '\t' | '\\' | '"' | '\'') || c.escape_debug().len() == 1;
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(plain))
}

/// Shortens a text to at most `max_chars` characters; dots replace the rest.
pub fn cut(text: String, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// The message of a panic, if it is text.
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// Converts bytes to hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Converts hexadecimal digits to bytes; `None` if they are not valid.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

/// One line of JSON that is safe for a terminal: also escapes C1 controls and bidirectional marks, which JSON does not.
pub fn safe_json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("strings and finite numbers");
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1 {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Replaces a word that is not safe to paste.
const PLACEHOLDER: &str = "NAME";

/// Quotes a word for a POSIX shell, for command lines that are printed for copying. The word may come from an untrusted
/// peer: one that is not safe to paste becomes the placeholder `NAME`.
pub fn shell_word(word: &str) -> String {
    // Without `=` and `~`, which shells expand at the start of a word.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+".contains(c);
    // Control characters affect the terminal, and fish interprets a backslash between single quotes.
    let is_quotable = |c: char| matches!(c, '"' | '\'') || (c != '\\' && c.escape_debug().len() == 1);
    // The program would parse it as a flag.
    let is_flag = word.starts_with('-');
    if is_flag {
        PLACEHOLDER.to_owned()
    } else if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else if cfg!(unix) && word.chars().all(is_quotable) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        PLACEHOLDER.to_owned()
    }
}

/// The time of day in UTC, from seconds since 1970.
pub fn clock(at: f64) -> String {
    let ms = (at * 1000.0).round() as u64 % 86_400_000;
    let (seconds, ms) = (ms / 1000, ms % 1000);
    format!(
        "{:02}:{:02}:{:02}.{ms:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// An invalid escape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at character {at} is not an escape; use \\n \\r \\t \\0 \\xNN \\u{{NNNN}} and \\\\", printable(escape.as_bytes()).replace("\\\\", "\\"))]
pub struct EscapeError {
    /// The first characters of the escape, starting with the backslash.
    pub escape: String,
    /// The position of the backslash in characters, counted from 1.
    pub at: usize,
}

/// Converts typed text to bytes. Escapes: `\n`, `\r`, `\t`, `\0`, `\xNN` (one byte), `\u{NNNN}` (a character) and `\\`.
///
/// # Errors
/// The first invalid escape.
pub fn unescape(text: &str) -> Result<Vec<u8>, EscapeError> {
    unescape_with(text, |c, out| {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    })
}

/// Like [`unescape`], with `character` to encode all characters that are not byte escapes.
///
/// # Errors
/// The first invalid escape, as in [`unescape`].
pub fn unescape_with(
    text: &str,
    mut character: impl FnMut(char, &mut Vec<u8>),
) -> Result<Vec<u8>, EscapeError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c != '\\' {
            character(c, &mut out);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let Some((escape, length)) = escape_at(rest) else {
            let before = text.len() - rest.len();
            return Err(EscapeError {
                escape: rest
                    .chars()
                    .take(if rest.starts_with("\\x") { 4 } else { 2 })
                    .collect(),
                at: text[..before].chars().count() + 1,
            });
        };
        match escape {
            Escape::Byte(byte) => out.push(byte),
            Escape::Character(c) => character(c, &mut out),
        }
        rest = &rest[length..];
    }
    Ok(out)
}

enum Escape {
    Byte(u8),
    Character(char),
}

/// The escape at the start of `text`, and its length in bytes.
fn escape_at(text: &str) -> Option<(Escape, usize)> {
    let simple = match text.as_bytes().get(1)? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        b'\\' => b'\\',
        b'x' => {
            let byte = unhex(text.get(2..4)?)?.first().copied()?;
            return Some((Escape::Byte(byte), 4));
        }
        b'u' => {
            let (digits, _) = text.get(2..)?.strip_prefix('{')?.split_once('}')?;
            // The integer parser would accept a sign.
            let code = digits
                .bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then(|| u32::from_str_radix(digits, 16));
            let c = char::from_u32(code?.ok()?)?;
            return Some((Escape::Character(c), digits.len() + 4));
        }
        _ => return None,
    };
    Some((Escape::Byte(simple), 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn printable_text_never_moves_the_cursor() {
        assert_eq!(
            printable(b"a\x1b[2J\n\"q\" \xff\xc3\xbc"),
            "a\\u{1b}[2J\\n\"q\" \\xff\u{fc}"
        );
        assert!(!printable("\u{202e}\u{9b}".as_bytes()).contains(['\u{202e}', '\u{9b}']));
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(unescape(r"DSTOP\n").unwrap(), b"DSTOP\n");
        assert_eq!(
            unescape(r"\x00\xfFä\\n\r\t\u{e4}").unwrap(),
            b"\0\xff\xc3\xa4\\n\r\t\xc3\xa4"
        );
    }

    #[test]
    fn an_invalid_escape_is_reported_with_its_position() {
        for (text, escape, at) in [
            (r"äb\q", r"\q", 3),
            (r"\", r"\", 1),
            (r"\x1", r"\x1", 1),
            (r"a\xäää", r"\xää", 2),
            (r"\u{+41}", r"\u", 1),
            (r"\u{d800}", r"\u", 1),
        ] {
            let wanted = EscapeError {
                escape: escape.to_owned(),
                at,
            };
            assert_eq!(unescape(text), Err(wanted), "{text}");
        }
        assert!(
            unescape("\\\u{1b}")
                .unwrap_err()
                .to_string()
                .starts_with(r"\\u{1b} at character 1")
        );
    }

    #[test]
    fn only_text_without_escapes_counts_as_text() {
        assert!(is_text("Vibrate:20;\r\n\t\"ä\\".as_bytes()));
        for bytes in [
            &b"\x1b[2J"[..],
            b"\0",
            b"\xff",
            "\u{202e}".as_bytes(),
            "\u{9b}".as_bytes(),
        ] {
            assert!(!is_text(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn plain_words_stay_bare_and_what_cannot_be_pasted_is_a_placeholder() {
        for plain in ["MyStroker", "8A:3D:9F", "/dev/ttyUSB0", "a-b_c.d"] {
            assert_eq!(shell_word(plain), plain);
        }
        for unsafe_to_paste in [
            "a\nb",
            "\x1b[2J",
            "\u{202e}x",
            "\u{9b}",
            "--help",
            "-v",
            r"\'; ls #",
        ] {
            assert_eq!(shell_word(unsafe_to_paste), "NAME", "{unsafe_to_paste:?}");
        }
        #[cfg(unix)]
        for (word, quoted) in [
            ("", "''"),
            ("two words", "'two words'"),
            ("x$(ls)", "'x$(ls)'"),
            ("it's", r"'it'\''s'"),
            ("~", "'~'"),
            ("=ls", "'=ls'"),
            ("St\u{f6}\u{df}el", "'St\u{f6}\u{df}el'"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }

    /// Words that contain everything that a shell interprets.
    #[cfg(unix)]
    fn hostile_words() -> impl Strategy<Value = Vec<String>> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "$(touch ran)",
                "`touch ran`",
                "; touch ran",
                "& touch ran",
                "| touch ran",
                "> ran",
                "\n touch ran",
                "'",
                "\"",
                "\\",
                "\\'",
                "'\\''",
                "$HOME",
                "${PATH}",
                "*",
                "?",
                "[a]",
                "{a,b}",
                "~",
                "#",
                "!",
                "!!",
                "-n",
                "%s",
                "(",
                ")",
                "<",
                " ",
                "\t",
                "=",
                "x",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
            "[ -~]{0,8}",
        ];
        let word = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
        prop::collection::vec(word, 1..12)
    }

    #[cfg(unix)]
    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn a_shell_gives_each_word_back_and_runs_none(words in hostile_words()) {
            let folder = tempfile::tempdir().unwrap();
            let quoted: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
            let line = format!("printf '%s\\0' {}", quoted.join(" "));
            let output = std::process::Command::new("sh")
                .args(["-c", &line])
                .current_dir(folder.path())
                .output()
                .unwrap();
            let wanted: String = words
                .iter()
                .zip(&quoted)
                .map(|(word, quoted)| if quoted == "NAME" { "NAME" } else { word }.to_owned() + "\0")
                .collect();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted, "{}", line);
            prop_assert!(output.stderr.is_empty(), "{}: {:?}", line, output.stderr);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{}", line);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_sent(bytes: Vec<u8>) {
            let shown = printable(&bytes);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert_eq!(unescape(&shown).unwrap(), bytes.clone());
            let shown = escaped(&bytes);
            prop_assert!(shown.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
            prop_assert_eq!(unescape(&shown).unwrap(), bytes.clone());
            prop_assert_eq!(unhex(&hex(&bytes)).unwrap(), bytes);
        }
    }
}
