//! The hello line, with which a board identifies itself, so that nobody has to configure its identity.
//!
//! It is the handshake's JSON on a line of its own, printed within two seconds of the start or when the board is
//! sent a newline. `address` may be left out, and `keepalive_ms` asks for a sign of life: the board has a watchdog.

use std::time::Duration;

use tracing::debug;
use wsdm_protocol::{keepalive_in_range, key};

use crate::device::handshake::{Address, Handshake, HandshakeError, Identifier};

/// A hello line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The board's identity; the address is the fallback if the line has none.
    pub handshake: Handshake,
    /// Whether the line has an address.
    pub names_its_address: bool,
    /// The board stops its outputs after a longer silence: a lone newline is due after this much of it.
    pub keepalive: Option<Duration>,
}

impl Hello {
    /// Whether this may be the beginning of a hello line.
    pub fn may_begin(text: &[u8]) -> bool {
        let Some((b'{', rest)) = text.split_first() else {
            return text.is_empty();
        };
        let rest = rest.trim_ascii_start();
        key::ALL.iter().any(|key| {
            let wanted = [b"\"", key.as_bytes(), b"\""].concat();
            let both = rest.len().min(wanted.len());
            rest[..both] == wanted[..both]
        })
    }

    /// Reads a line of a board whose address is known, so that the one in the line does not matter.
    pub fn parse_later(line: &[u8]) -> Option<Self> {
        Self::parse(line, &Address::new("-").ok()?)
    }

    /// Reads a line; `None` if it is no hello line. A boot loader may have left noise before it on the same line.
    pub fn parse(line: &[u8], fallback: &Address) -> Option<Self> {
        let text = std::str::from_utf8(&line[start(line)?..]).ok()?;
        let mut value: serde_json::Value = serde_json::from_str(text.trim()).ok()?;
        let object = value.as_object_mut()?;
        let names_its_address = object.contains_key(key::ADDRESS);
        object
            .entry(key::ADDRESS)
            .or_insert_with(|| fallback.as_str().into());
        let keepalive = object.get(key::KEEPALIVE_MS).and_then(serde_json::Value::as_u64);
        let keepalive = keepalive.map(|ms| Duration::from_millis(keepalive_in_range(ms)));
        match Handshake::from_object(object) {
            Ok(handshake) => Some(Self {
                handshake,
                names_its_address,
                keepalive,
            }),
            Err(e) => {
                debug!("not a hello line: {e}");
                None
            }
        }
    }

    /// What is wrong with a line that was meant to be a hello line; `None` if nothing suggests that it was.
    pub fn fault(line: &[u8]) -> Option<HelloFault> {
        let text = String::from_utf8_lossy(&line[line.iter().position(|b| *b == b'{')?..]);
        // A status in JSON may have a version too.
        let is_meant = |before: &str, after: &str| {
            let has = |key: &&&str| text.contains(&format!("{before}{key}{after}"));
            let found: Vec<&&str> = key::ALL.iter().filter(has).collect();
            found.contains(&&key::IDENTIFIER) || found.len() > 1
        };
        if is_meant("'", "'") {
            return Some(HelloFault::SingleQuotes);
        }
        if !is_meant("\"", "\"") {
            return is_meant("", ":").then_some(HelloFault::NoQuotes);
        }
        if text.contains('\0') {
            return Some(HelloFault::Nul);
        }
        let mut value: serde_json::Value = match serde_json::from_str(text.trim()) {
            Ok(value) => value,
            Err(e) => return Some(HandshakeError::NotJson(e.to_string()).into()),
        };
        let object = value.as_object_mut()?;
        object.entry(key::ADDRESS).or_insert_with(|| "-".into());
        Handshake::from_object(object).err().map(HelloFault::Handshake)
    }
}

/// Where the JSON of a hello line begins.
fn start(line: &[u8]) -> Option<usize> {
    line.iter().enumerate().find_map(|(at, byte)| {
        let next = line[at + 1..].iter().find(|b| !b.is_ascii_whitespace());
        (*byte == b'{' && next == Some(&b'"')).then_some(at)
    })
}

/// What is wrong with a hello line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloFault {
    /// A field, or the JSON as a whole, is invalid.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// `{'identifier': ...}`, as some languages print it.
    #[error("it has single quotes; JSON needs \" around keys and text")]
    SingleQuotes,
    /// `{identifier: ...}`
    #[error("its keys have no quotes; JSON needs \" around keys and text")]
    NoQuotes,
    /// It contains a zero byte: the terminator of a C string was sent too.
    #[error("it contains a NUL byte; send the text without the zero that ends it in C")]
    Nul,
    /// It is complete, but nothing ends it. It is accepted after a pause.
    #[error("it has no newline at its end; print it with println")]
    NoNewline,
    /// A lone carriage return ends it. It is accepted after a pause.
    #[error("it ends with a carriage return alone; end it with a newline")]
    ReturnOnly,
}

/// What is known of a board besides its handshake. A hello line may arrive at any time and add to it, even if the
/// board's identity is configured: the board restarted, or stopped because nothing fed its watchdog.
#[derive(Debug, Default)]
pub struct BoardFacts {
    /// The board stops its outputs after a longer silence: a lone newline is due after this much of it.
    pub keepalive: Option<Duration>,
    /// The identifier from its entry, until the board reports another one.
    pub configured: Option<Identifier>,
}

impl BoardFacts {
    /// Takes the keepalive from a hello line if none is known.
    ///
    /// # Errors
    /// The board's identifier differs from its entry's. Reported once.
    pub fn learn(&mut self, hello: &Hello) -> Result<(), OtherIdentifier> {
        self.keepalive = self.keepalive.or(hello.keepalive);
        let reported = &hello.handshake.identifier;
        match self.configured.take_if(|configured| configured != reported) {
            Some(configured) => Err(OtherIdentifier {
                configured,
                reported: reported.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// The board's identifier differs from its entry's. The entry's is used.
#[derive(Debug, thiserror::Error)]
#[error(
    "its entry says identifier = {configured:?}, but the board's hello line {reported:?}; correct the entry, or leave the \
     identifier out"
)]
pub struct OtherIdentifier {
    configured: Identifier,
    reported: Identifier,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallback() -> Address {
        Address::new("port").unwrap()
    }

    #[test]
    fn a_hello_line_may_leave_its_address_out_and_ask_for_signs_of_life() {
        let hello = Hello::parse(
            b"{\"identifier\":\"LVSDevice\",\"version\":0,\"keepalive_ms\":250}\r\n",
            &fallback(),
        )
        .unwrap();
        assert_eq!(hello.handshake.identifier.as_str(), "LVSDevice");
        assert_eq!(hello.handshake.address, fallback());
        assert_eq!(hello.keepalive, Some(Duration::from_millis(250)));
        let named = b"\xff\x00boot{\"identifier\":\"a\",\"address\":\"b\",\"version\":0}\n";
        let named = Hello::parse(named, &fallback()).unwrap();
        assert_eq!(named.handshake.address.as_str(), "b");
        assert_eq!(named.keepalive, None);
    }

    #[test]
    fn a_fault_is_named() {
        for (line, wanted) in [
            (r#"{"identifier":"a","address":"b"}"#, "has no \"version\""),
            (
                r#"{"identifier":"a","version":"0"}"#,
                "\"version\" is a string, not the number 0",
            ),
            (
                r#"{"identifier":"a","address":7,"version":0}"#,
                "\"address\" is a number, not a string",
            ),
            (r#"{"address":"b","version":0}"#, "has no \"identifier\""),
            (r#"{"identifier":"a","version":1}"#, "version 1 is not supported"),
            (r#"boot{'identifier': 'a', 'version': 0}"#, "single quotes"),
            (r#"{identifier: "a", version: 0}"#, "no quotes"),
            ("{\"identifier\":\"a\",\"version\":0}\0", "NUL"),
            (r#"{"identifier":"a","version":0"#, "is not JSON: EOF"),
        ] {
            let fault = Hello::fault(format!("{line}\r\n").as_bytes())
                .expect(line)
                .to_string();
            assert!(fault.contains(wanted), "{line}: {fault}");
            assert_eq!(Hello::parse(line.as_bytes(), &fallback()), None, "{line}");
        }
        for line in [
            "rst:0x1 (POWERON_RESET)",
            "{",
            "{}",
            "{\"state\":1}",
            "{\"version\":\"1.2\",\"state\":1}",
            "TCode v0.3",
            "{x",
        ] {
            assert_eq!(Hello::fault(line.as_bytes()), None, "{line}");
        }
        let spaced = b"{ \"identifier\": \"a\", \"version\": 0 }\n";
        assert!(Hello::parse(spaced, &fallback()).is_some());
    }

    #[test]
    fn what_a_boot_loader_prints_is_no_hello() {
        for line in [
            &b"rst:0x1 (POWERON_RESET)\n"[..],
            b"{}\n",
            b"{\"identifier\":\"a\"}\n",
            b"{\"identifier\":\"a\",\"version\":1}\n",
            b"{\"identifier\":\"\",\"version\":0}\n",
            b"\n",
            b"\xfe\xfd{\"\n",
        ] {
            assert_eq!(Hello::parse(line, &fallback()), None, "{line:?}");
        }
    }
}
