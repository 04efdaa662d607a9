//! What is said before an image is sent, one line each. A board and a gateway's command share this.
//!
//! ```text
//!   board   wsdm-ota 1 ESP32-C3 0.1.0 5f0e…(16) kept 90ab…(32)       chip, version, image, state, nonce
//!   sender  update 912345 3c4d…(64) 77aa…(64)                        bytes, SHA-256, proof
//!   board   go
//!   sender  the image
//!   board   done
//! ```
//!
//! Instead of `go` or `done` the board answers `no`, a word for the reason, and the reason for people. The proof is HMAC-SHA-256 with the password over the nonce,
//! the size and the hash: a listener learns no password, and cannot send another image in its place. A short password can
//! be guessed from it.

use core::fmt::{self, Write};
use core::str::FromStr;

use heapless::String;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::image::{IMAGE_ID_BYTES, ImageId};

/// Where a board listens, with TCP.
pub const PORT: u16 = 3232;
/// How long a nonce is.
pub const NONCE_BYTES: usize = 16;
/// The longest line.
pub const LINE_MAX_BYTES: usize = 200;
/// The longest reason of a refusal.
pub const WORDS_MAX_BYTES: usize = 96;
/// The first word of every greeting; the second is its version.
pub const GREETING: &str = "wsdm-ota";
/// The version of what is said here.
pub const VERSION: &str = "1";
const HASH_BYTES: usize = 32;

/// Random bytes, new for each connection.
pub type Nonce = [u8; NONCE_BYTES];

/// How far the image that runs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It stays.
    Kept,
    /// It has to reach the gateway first.
    OnTrial,
}

/// The board's first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The name of its chip.
    pub chip: String<16>,
    /// The version of its firmware.
    pub version: String<24>,
    /// Which image runs, if it came over the network.
    pub image: Option<ImageId>,
    /// How far that is.
    pub state: State,
    /// What the proof is made with.
    pub nonce: Nonce,
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{GREETING} {VERSION} {} {} ", self.chip, self.version)?;
        match self.image {
            Some(image) => image.fmt(f)?,
            None => f.write_char('-')?,
        }
        f.write_str(match self.state {
            State::Kept => " kept ",
            State::OnTrial => " trial ",
        })?;
        hex(f, &self.nonce)
    }
}

/// A line that is not what is said here, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

impl FromStr for Greeting {
    type Err = Unknown;

    fn from_str(line: &str) -> Result<Self, Unknown> {
        let [word, version, chip, firmware, image, state, nonce] = words(line)?;
        if (word, version) != (GREETING, VERSION) {
            return Err(Unknown);
        }
        Ok(Self {
            chip: String::try_from(chip).map_err(|_| Unknown)?,
            version: String::try_from(firmware).map_err(|_| Unknown)?,
            image: match image {
                "-" => None,
                image => Some(ImageId(bytes::<IMAGE_ID_BYTES>(image)?)),
            },
            state: match state {
                "kept" => State::Kept,
                "trial" => State::OnTrial,
                _ => return Err(Unknown),
            },
            nonce: bytes(nonce)?,
        })
    }
}

/// The sender's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How long the image is.
    pub bytes: u32,
    /// Its hash.
    pub sha256: [u8; HASH_BYTES],
    proof: [u8; HASH_BYTES],
}

impl Request {
    /// For this image, with the password that the board was set.
    pub fn new(password: &str, nonce: &Nonce, bytes: u32, sha256: [u8; HASH_BYTES]) -> Self {
        Self {
            bytes,
            sha256,
            proof: mac(password, nonce, bytes, &sha256)
                .finalize()
                .into_bytes()
                .into(),
        }
    }

    /// Whether it was made with this password, for this nonce.
    pub(super) fn is_proved(&self, password: &str, nonce: &Nonce) -> bool {
        let mac = mac(password, nonce, self.bytes, &self.sha256);
        mac.verify_slice(&self.proof).is_ok()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "update {} ", self.bytes)?;
        hex(f, &self.sha256)?;
        f.write_char(' ')?;
        hex(f, &self.proof)
    }
}

impl FromStr for Request {
    type Err = Unknown;

    fn from_str(line: &str) -> Result<Self, Unknown> {
        let ["update", size, sha256, proof] = words(line)? else {
            return Err(Unknown);
        };
        Ok(Self {
            bytes: size.parse().map_err(|_| Unknown)?,
            sha256: bytes(sha256)?,
            proof: bytes(proof)?,
        })
    }
}

/// The board's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The image can come.
    Go,
    /// It is written, and starts.
    Done,
    /// Neither.
    No(Refusal),
}

/// Why a board takes no image, for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request is not what this version reads.
    Request,
    /// The password is another one.
    Password,
    /// The image that runs has to be kept first.
    OnTrial,
    /// The board's settings are those of its build, and another image would not have them.
    Unsaved,
    /// The image is too large.
    Room,
    /// It took too long.
    Slow,
    /// The flash failed.
    Flash,
    /// The image is damaged.
    Damaged,
    /// It is no image, or one of another firmware.
    Foreign,
    /// It is for another chip.
    Chip,
    /// A later version knows more.
    Unknown,
}

impl Reason {
    const ALL: [Self; 11] = [
        Self::Request,
        Self::Password,
        Self::OnTrial,
        Self::Unsaved,
        Self::Room,
        Self::Slow,
        Self::Flash,
        Self::Damaged,
        Self::Foreign,
        Self::Chip,
        Self::Unknown,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Password => "password",
            Self::OnTrial => "trial",
            Self::Unsaved => "unsaved",
            Self::Room => "room",
            Self::Slow => "slow",
            Self::Flash => "flash",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
            Self::Chip => "chip",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a board takes no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For a program.
    pub reason: Reason,
    /// For a person, in the board's words.
    pub words: String<WORDS_MAX_BYTES>,
}

impl Refusal {
    pub(super) fn new(reason: Reason, text: fmt::Arguments<'_>) -> Self {
        let mut words = String::new();
        // What is too long ends early.
        let _ = words.write_fmt(text);
        Self { reason, words }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go => f.write_str("go"),
            Self::Done => f.write_str("done"),
            Self::No(Refusal { reason, words }) => write!(f, "no {} {words}", reason.word()),
        }
    }
}

impl FromStr for Answer {
    type Err = Unknown;

    fn from_str(line: &str) -> Result<Self, Unknown> {
        match line.trim_end() {
            "go" => Ok(Self::Go),
            "done" => Ok(Self::Done),
            line => {
                let refusal = line.strip_prefix("no ").ok_or(Unknown)?;
                let (word, words) = refusal.split_once(' ').ok_or(Unknown)?;
                let known = Reason::ALL.into_iter().find(|reason| reason.word() == word);
                Ok(Self::No(Refusal {
                    reason: known.unwrap_or(Reason::Unknown),
                    words: String::try_from(words).map_err(|_| Unknown)?,
                }))
            }
        }
    }
}

fn mac(password: &str, nonce: &Nonce, bytes: u32, sha256: &[u8; HASH_BYTES]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(password.as_bytes())
        .unwrap_or_else(|_| unreachable!("a key may have any length"));
    for part in [&nonce[..], &bytes.to_le_bytes(), sha256] {
        mac.update(part);
    }
    mac
}

fn words<const N: usize>(line: &str) -> Result<[&str; N], Unknown> {
    let mut words = line.split_ascii_whitespace();
    let mut found = [""; N];
    for word in &mut found {
        *word = words.next().ok_or(Unknown)?;
    }
    words.next().map_or(Ok(found), |_| Err(Unknown))
}

fn bytes<const N: usize>(digits: &str) -> Result<[u8; N], Unknown> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return Err(Unknown);
    }
    for (byte, digits) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(Unknown);
        *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
    }
    Ok(bytes)
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_read_as_they_were_written(
            bytes: u32, sha256: [u8; 32], nonce: Nonce, image: Option<[u8; IMAGE_ID_BYTES]>, kept: bool,
        ) {
            let greeting = Greeting {
                chip: "ESP32-C3".try_into().unwrap(),
                version: "0.1.0".try_into().unwrap(),
                image: image.map(ImageId),
                state: if kept { State::Kept } else { State::OnTrial },
                nonce,
            };
            let line = greeting.to_string();
            prop_assert!(line.len() < LINE_MAX_BYTES);
            prop_assert_eq!(line.parse(), Ok(greeting));
            let request = Request::new("long enough", &nonce, bytes, sha256);
            let line = request.to_string();
            prop_assert!(line.len() < LINE_MAX_BYTES);
            prop_assert_eq!(line.parse(), Ok(request));
            prop_assert!(request.is_proved("long enough", &nonce));
        }

        #[test]
        fn a_proof_is_for_one_password_nonce_size_and_image(at in 0_usize..4, nonce: Nonce, sha256: [u8; 32], bytes in 0..u32::MAX) {
            let request = Request::new("long enough", &nonce, bytes, sha256);
            let (mut other, mut another, mut password) = (request, nonce, "long enough");
            match at {
                0 => password = "long enougH",
                1 => another[3] ^= 1,
                2 => other.bytes += 1,
                _ => other.sha256[31] ^= 0x80,
            }
            prop_assert!(!other.is_proved(password, &another));
        }

        #[test]
        fn no_line_breaks_it(line in "(wsdm-ota 1 |update |no )?\\PC{0,80}") {
            let _ = (line.parse::<Greeting>(), line.parse::<Request>(), line.parse::<Answer>());
        }
    }

    #[test]
    fn answers_are_read() {
        for answer in [Answer::Go, Answer::Done] {
            assert_eq!(answer.to_string().parse(), Ok(answer));
        }
        for reason in Reason::ALL {
            let answer = Answer::No(Refusal::new(reason, format_args!("for people")));
            assert_eq!(answer.to_string().parse(), Ok(answer));
        }
        let later = "no moonphase it is not full".parse();
        assert_eq!(
            later,
            Ok(Answer::No(Refusal::new(
                Reason::Unknown,
                format_args!("it is not full")
            )))
        );
        assert_eq!("yes".parse::<Answer>(), Err(Unknown));
    }
}
