//! The hello line, with which a board identifies itself, so that nobody has to configure its identity.
//!
//! It is the handshake's JSON on a line of its own, printed within two seconds of the start or when the board is
//! sent a newline. `address` may be left out, and `keepalive_ms` asks for a sign of life: the board has a watchdog.

use std::time::Duration;

use tracing::debug;
use wsdm_protocol::{KEEPALIVE_RANGE_MS, keepalive_in_range, key};

use crate::device::handshake::{Address, Handshake, HandshakeError, Identifier};
use crate::text::{cut, printable};

/// The longest value of a field that a warning shows, in characters.
const VALUE_MAX_CHARS: usize = 40;
/// The longest sentence of a board that the log shows, in characters.
const FAULT_MAX_CHARS: usize = 200;

/// A hello line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The board's identity; the address is the fallback if the line has none.
    pub handshake: Handshake,
    /// Whether the line has an address.
    pub names_its_address: bool,
    /// The board stops its outputs after a longer silence: a lone newline is due after this much of it.
    pub keepalive: Option<Duration>,
    /// What is wrong with its `keepalive_ms`. The board is who it is without.
    pub keepalive_fault: Option<KeepaliveFault>,
    /// What is wrong with one of its outputs, if it reports that.
    pub output_fault: Option<String>,
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
        let (keepalive, keepalive_fault) = match object.get(key::KEEPALIVE_MS) {
            None | Some(serde_json::Value::Null) => (None, None),
            Some(value) => read_keepalive(value),
        };
        let output_fault = object.get(key::FAULT).and_then(serde_json::Value::as_str);
        let output_fault = output_fault.map(|fault| cut(printable(fault.as_bytes()), FAULT_MAX_CHARS));
        match Handshake::from_object(object) {
            Ok(handshake) => Some(Self {
                handshake,
                names_its_address,
                keepalive,
                keepalive_fault,
                output_fault,
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

/// The keepalive of a hello line, and what is wrong with it. A number above 0 is taken as the nearest that may stand
/// there: a board with a watchdog is better fed somewhat late than not at all.
fn read_keepalive(value: &serde_json::Value) -> (Option<Duration>, Option<KeepaliveFault>) {
    let taken = value.as_f64().filter(|ms| *ms > 0.0);
    let taken = taken.map(|ms| keepalive_in_range(ms.round() as u64));
    let is_right = taken.is_some() && taken == value.as_u64();
    let fault = || {
        let shown: String = value.to_string().chars().take(VALUE_MAX_CHARS).collect();
        KeepaliveFault(printable(shown.as_bytes()))
    };
    (taken.map(Duration::from_millis), (!is_right).then(fault))
}

/// A `keepalive_ms` that is no keepalive; with its value as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"keepalive_ms\" is {0}, not a whole number of milliseconds from {low} to {high}",
    low = KEEPALIVE_RANGE_MS.start(),
    high = KEEPALIVE_RANGE_MS.end()
)]
pub struct KeepaliveFault(String);

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
    /// A fault of its keepalive was reported. A board may print its hello line after each newline that feeds it.
    pub is_fault_reported: bool,
    /// What was wrong with an output when the board reported that last.
    pub output_fault: Option<String>,
}

impl BoardFacts {
    /// Takes the keepalive from a hello line if none is known. Returns the warnings to log, each of them once: a board may
    /// repeat itself after each newline.
    pub fn learn(&mut self, hello: &Hello) -> Vec<HelloWarning> {
        let mut warnings = Vec::new();
        self.keepalive = self.keepalive.or(hello.keepalive);
        if let Some(fault) = &hello.keepalive_fault
            && !self.is_fault_reported
        {
            self.is_fault_reported = true;
            warnings.push(HelloWarning::Keepalive {
                fault: fault.clone(),
                holds: self.keepalive,
            });
        }
        let reported = &hello.handshake.identifier;
        if let Some(configured) = self.configured.take_if(|configured| configured != reported) {
            warnings.push(HelloWarning::OtherIdentifier {
                configured,
                reported: reported.clone(),
            });
        }
        if let Some(fault) = &hello.output_fault
            && self.output_fault.as_ref() != Some(fault)
        {
            self.output_fault = Some(fault.clone());
            warnings.push(HelloWarning::Output(fault.clone()));
        }
        warnings
    }
}

/// What is wrong with the hello line of a board that is admitted all the same.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloWarning {
    /// Its keepalive cannot be used.
    #[error("the hello line's {fault}; {}", held(.holds))]
    Keepalive {
        /// The value.
        fault: KeepaliveFault,
        /// What holds instead: that of its entry, or the nearest that may stand there.
        holds: Option<Duration>,
    },
    /// The board's identifier differs from its entry's. The entry's is used.
    #[error(
        "its entry says identifier = {configured:?}, but the board's hello line {reported:?}; correct the entry, or leave the \
         identifier out"
    )]
    OtherIdentifier {
        /// The entry's.
        configured: Identifier,
        /// The board's.
        reported: Identifier,
    },
    /// An output of the board does not work.
    #[error("the board reports a fault: {0}")]
    Output(String),
}

fn held(keepalive: &Option<Duration>) -> String {
    match keepalive {
        Some(keepalive) => format!("{} ms hold", keepalive.as_millis()),
        None => "the board gets no keepalive, so if it has a watchdog, that stops its outputs".to_owned(),
    }
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
    fn a_keepalive_that_is_none_is_named_once_with_what_holds_instead() {
        for (value, holds) in [
            ("\"200\"", None),
            ("-200", None),
            ("0", None),
            ("true", None),
            ("[200]", None),
            ("{\"ms\": 200}", None),
            ("1", Some(20)),
            ("0.4", Some(20)),
            ("200.5", Some(201)),
            ("200.0", Some(200)),
            ("60001", Some(60_000)),
            ("1e300", Some(60_000)),
            ("99999999999999999999", Some(60_000)),
        ] {
            let line = format!("{{\"identifier\":\"a\",\"version\":0,\"keepalive_ms\":{value}}}\n");
            let hello = Hello::parse(line.as_bytes(), &fallback()).expect("a hello line all the same");
            let mut facts = BoardFacts::default();
            let warnings = facts.learn(&hello);
            assert_eq!(facts.keepalive, holds.map(Duration::from_millis), "{value}");
            let [warning] = &warnings[..] else {
                panic!("{value}: {warnings:?}")
            };
            let warning = warning.to_string();
            let instead = holds.map_or("gets no keepalive".to_owned(), |ms| format!("; {ms} ms hold"));
            for part in ["\"keepalive_ms\" is ", "from 20 to 60000", &instead] {
                assert!(warning.contains(part), "{value}: {warning}");
            }
            assert_eq!(facts.learn(&hello), [], "{value}");
            // That of an entry holds.
            let mut configured = BoardFacts {
                keepalive: Some(Duration::from_millis(70)),
                ..BoardFacts::default()
            };
            let warning = configured.learn(&hello)[0].to_string();
            assert!(warning.ends_with("; 70 ms hold"), "{value}: {warning}");
        }
        for value in ["20", "200", "60000", "null"] {
            let line = format!("{{\"identifier\":\"a\",\"version\":0,\"keepalive_ms\":{value}}}\n");
            let hello = Hello::parse(line.as_bytes(), &fallback()).expect("a hello line");
            assert_eq!(BoardFacts::default().learn(&hello), [], "{value}");
        }
        let long = format!(
            "{{\"identifier\":\"a\",\"version\":0,\"keepalive_ms\":\"{}\u{9b}\"}}",
            "x".repeat(500)
        );
        let fault = Hello::parse(long.as_bytes(), &fallback()).and_then(|hello| hello.keepalive_fault);
        assert!(fault.expect("a fault").to_string().len() < 150);
    }

    #[test]
    fn what_is_wrong_with_an_output_is_a_warning_each_time_that_it_changes() {
        let hello = |fault: &str| {
            let line = format!("{{\"identifier\":\"a\",\"version\":0,\"fault\":{fault}}}\n");
            Hello::parse(line.as_bytes(), &fallback()).expect("a hello line")
        };
        let mut facts = BoardFacts::default();
        let mut logged = |fault: &str| -> Vec<String> {
            let warnings = facts.learn(&hello(fault));
            warnings.iter().map(ToString::to_string).collect()
        };
        let homing = "\"pin 2 stays off: homing took too long\"";
        let wanted = ["the board reports a fault: pin 2 stays off: homing took too long"];
        assert_eq!(logged(homing), wanted);
        assert_eq!(logged(homing), [""; 0], "a board repeats itself");
        let other = logged("\"pin 5 \\u001b[2J\"");
        assert_eq!(other.len(), 1);
        assert!(!other[0].contains('\u{1b}'), "{other:?}");
        // Another firmware may mean something else by this key.
        for other in ["7", "null", "[\"pin 2\"]"] {
            assert_eq!(logged(other), [""; 0], "{other}");
        }
        let long = logged(&format!("\"{}\"", "x".repeat(3_000)));
        assert!(long[0].len() < 300, "{}", long[0].len());
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
