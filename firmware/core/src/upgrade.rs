//! From HTTP to a websocket: the request, and what an answer must hold (RFC 6455, section 4).

use core::fmt::{self, Write as _};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::settings::Gateway;

/// Headers of an answer that are looked at; a gateway sends three or four, a proxy adds some.
const HEADERS_MAX: usize = 32;
/// What the key is hashed with.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a connection did not become a websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeError {
    /// The request has more bytes than there is room for.
    RequestTooLarge,
    /// The answer's head has more bytes than there is room for, or more headers.
    AnswerTooLarge,
    /// The answer is not HTTP.
    NotHttp,
    /// `Upgrade` or `Connection` is missing, or says something else.
    NotWebsocket,
    /// `Sec-WebSocket-Accept` does not fit the key: a cache, or something that only claims to be a websocket server.
    WrongAccept,
    /// An extension or subprotocol that was not asked for.
    Unasked,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestTooLarge => "the request does not fit; shorten host, path or token",
            Self::AnswerTooLarge => "the answer's head is too large",
            Self::NotHttp => "the answer is not HTTP",
            Self::NotWebsocket => "the answer is no websocket upgrade",
            Self::WrongAccept => "the answer's Sec-WebSocket-Accept is wrong",
            Self::Unasked => "the answer has an extension that was not asked for",
        })
    }
}

impl core::error::Error for UpgradeError {}

/// A `Sec-WebSocket-Key`: 16 random bytes in base64.
pub(crate) struct Key([u8; 24]);

impl Key {
    pub(crate) fn new(random: &mut impl FnMut() -> u32) -> Self {
        let mut bytes = [0; 16];
        for word in bytes.chunks_exact_mut(4) {
            word.copy_from_slice(&random().to_be_bytes());
        }
        let mut text = [0; 24];
        // 16 bytes make 24 characters, always.
        let _ = STANDARD.encode_slice(bytes, &mut text);
        Self(text)
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What the server must answer.
    fn accept(&self) -> [u8; 28] {
        let mut hash = sha1_smol::Sha1::new();
        hash.update(&self.0);
        hash.update(GUID.as_bytes());
        let mut text = [0; 28];
        // 20 bytes make 28 characters, always.
        let _ = STANDARD.encode_slice(hash.digest().bytes(), &mut text);
        text
    }
}

/// Writes the request to the start of `buffer`; how many bytes it has.
pub(crate) fn request(gateway: &Gateway<'_>, key: &Key, buffer: &mut [u8]) -> Result<usize, UpgradeError> {
    let mut out = Slice { into: buffer, len: 0 };
    write_request(gateway, key, &mut out).map_err(|_| UpgradeError::RequestTooLarge)?;
    Ok(out.len)
}

fn write_request(gateway: &Gateway<'_>, key: &Key, out: &mut Slice<'_>) -> fmt::Result {
    let path = gateway.path();
    // "?token=..." alone is a URL that people write; in a request the path may not be empty.
    let slash = if path.starts_with('/') { "" } else { "/" };
    write!(out, "GET {slash}{path}")?;
    if let Some(token) = gateway.token() {
        let joint = if path.contains('?') { '&' } else { '?' };
        write!(out, "{joint}{}=", wsdm_protocol::TOKEN_KEY)?;
        for byte in token.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.write_char(char::from(byte))?;
            } else {
                write!(out, "%{byte:02X}")?;
            }
        }
    }
    write!(
        out,
        " HTTP/1.1\r\nHost: {}:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        gateway.host(),
        gateway.port(),
        key.as_str(),
    )
}

/// What a server said to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The rest of it has not come yet.
    Unfinished,
    /// A websocket; its first frame begins at this byte.
    Upgraded(usize),
    /// Something else.
    Rejected { status: u16 },
}

/// Looks at what has come of an answer.
pub(crate) fn answer(bytes: &[u8], key: &Key) -> Result<Answer, UpgradeError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(Answer::Unfinished),
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::AnswerTooLarge),
        Err(_) => return Err(UpgradeError::NotHttp),
    };
    let status = response.code.ok_or(UpgradeError::NotHttp)?;
    if status != 101 {
        return Ok(Answer::Rejected { status });
    }
    let header = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name));
        found.map(|h| h.value.trim_ascii())
    };
    let upgrade = header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let connection = header("Connection").is_some_and(|value| {
        let mut words = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        words.any(|word| word.eq_ignore_ascii_case(b"upgrade"))
    });
    if !upgrade || !connection {
        return Err(UpgradeError::NotWebsocket);
    }
    if header("Sec-WebSocket-Accept") != Some(&key.accept()[..]) {
        return Err(UpgradeError::WrongAccept);
    }
    if header("Sec-WebSocket-Extensions").is_some() || header("Sec-WebSocket-Protocol").is_some() {
        return Err(UpgradeError::Unasked);
    }
    Ok(Answer::Upgraded(head))
}

/// The first line of an answer's body, as far as it has come.
pub(crate) fn first_line(answer: &[u8]) -> &str {
    let line = body(answer).split(|b| *b == b'\n').next().unwrap_or_default();
    valid_text(line).trim_ascii()
}

/// Whether the first line of an answer's body is whole.
pub(crate) fn has_line(answer: &[u8]) -> bool {
    body(answer).contains(&b'\n')
}

fn body(answer: &[u8]) -> &[u8] {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    head.and_then(|at| answer.get(at + 4..)).unwrap_or_default()
}

/// The text at the start of some bytes.
pub(crate) fn valid_text(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => core::str::from_utf8(bytes.get(..e.valid_up_to()).unwrap_or_default()).unwrap_or_default(),
    }
}

/// A buffer as something to write text into.
struct Slice<'a> {
    into: &'a mut [u8],
    len: usize,
}

impl fmt::Write for Slice<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self
            .into
            .get_mut(self.len..)
            .and_then(|free| free.get_mut(..text.len()));
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    /// The key of RFC 6455, section 1.3.
    fn key() -> Key {
        Key(*b"dGhlIHNhbXBsZSBub25jZQ==")
    }

    #[test]
    fn the_sample_of_the_rfc_is_taken() {
        assert_eq!(answer(GOOD.as_bytes(), &key()), Ok(Answer::Upgraded(GOOD.len())));
        for end in 0..GOOD.len() {
            assert_eq!(
                answer(&GOOD.as_bytes()[..end], &key()),
                Ok(Answer::Unfinished),
                "{end}"
            );
        }
    }

    #[test]
    fn each_fault_is_told_apart() {
        let with = |from: &str, to: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            answer(text.as_bytes(), &key()).unwrap_err()
        };
        assert_eq!(with("s3pP", "S3pP"), UpgradeError::WrongAccept);
        assert_eq!(with("Sec-WebSocket-Accept", "Accept"), UpgradeError::WrongAccept);
        assert_eq!(with("WebSocket\r\n", "h2c\r\n"), UpgradeError::NotWebsocket);
        assert_eq!(with(", Upgrade", ""), UpgradeError::NotWebsocket);
        assert_eq!(
            with("Upgrade:", "Sec-WebSocket-Extensions: x\r\nUpgrade:"),
            UpgradeError::Unasked
        );
        assert_eq!(with("HTTP/1.1 101", "SSH-2.0"), UpgradeError::NotHttp);
        assert_eq!(
            with("Upgrade:", &format!("{}Upgrade:", "a: b\r\n".repeat(40))),
            UpgradeError::AnswerTooLarge
        );
    }

    #[test]
    fn a_rejection_gives_its_reason() {
        let text = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\n\r\nwrong token\n";
        assert_eq!(answer(text, &key()), Ok(Answer::Rejected { status: 401 }));
        assert_eq!(first_line(text), "wrong token");
        assert_eq!(first_line(&text[..40]), "");
    }

    #[test]
    fn a_token_cannot_break_the_request() {
        let mut buffer = [0; 512];
        let gateway = Gateway::new("gw", 1).unwrap().with_token(Some("a b\r\n&\u{e4}"));
        let len = request(&gateway, &key(), &mut buffer).unwrap();
        let text = core::str::from_utf8(&buffer[..len]).unwrap();
        assert!(
            text.starts_with("GET /?token=a%20b%0D%0A%26%C3%A4 HTTP/1.1\r\nHost: gw:1\r\n"),
            "{text}"
        );
        assert_eq!(
            request(&gateway, &key(), &mut buffer[..100]),
            Err(UpgradeError::RequestTooLarge)
        );
        let gateway = Gateway::parse("ws://gw?a=1").unwrap().with_token(Some("t"));
        let len = request(&gateway, &key(), &mut buffer).unwrap();
        assert!(buffer[..len].starts_with(b"GET /?a=1&token=t HTTP"));
    }

    #[test]
    fn keys_are_random() {
        let mut n = 0;
        let mut random = || {
            n += 1;
            n
        };
        assert_ne!(Key::new(&mut random).as_str(), Key::new(&mut random).as_str());
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = answer(&bytes, &key());
        }

        #[test]
        fn no_damage_breaks_it(at in 0_usize..150, byte: u8) {
            let mut bytes = GOOD.as_bytes().to_vec();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            let _ = answer(&bytes, &key());
        }
    }
}
