//! Recognises a board without a configured identity or a hello line by its answers to questions that move nothing.
//!
//! Pure: what to ask and how to read the answers. [`crate::ingress::recognise`] does the I/O.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Serialize;

use crate::device::handshake::{HandshakeError, Identifier};
use crate::device::language::{self, Language};

/// The protocol of a TCode board, by its name in the UDCF.
pub const TCODE: &str = "tcode-v03";
/// The protocol of a Lovense board, by its name in the UDCF.
pub const LOVENSE: &str = "lovense";

/// The identifier of a recognised TCode board. It must never change: definitions and indexes are stored under it.
pub const TCODE_IDENTIFIER: &str = "tcode";
/// The identifier of a recognised Lovense board. It must never change either.
pub const LOVENSE_IDENTIFIER: &str = "lovense";

/// The longest text that is kept of an answer, in characters.
const TEXT_MAX: usize = 80;
/// How many lines are kept as candidates for its name: the first is the likeliest, and a board may never stop printing.
const NAMES_MAX: usize = 4;
/// The end of an axis's travel.
pub(crate) const RANGE_MAX: u16 = 9_999;
/// A range shorter than a hundredth of the travel would not move noticeably, so it must be in other units.
const EXTENT_MIN: u16 = 100;

/// A board that answered in a language that the gateway knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recognised {
    /// The protocol that it speaks, by its name in the UDCF.
    pub protocol: &'static str,
    /// The name of the device or its firmware, as the board gave it; of a Lovense board, the letter of its model.
    pub name: Option<String>,
    /// The version of the language, as the board gave it; of a Lovense board, that of its firmware.
    pub version: Option<String>,
    /// Its axes, in the order in which the board listed them; empty if its language has none, or it does not list them.
    pub axes: Vec<Axis>,
    /// What in its list of axes was not understood or is contradictory, and what is used instead; one sentence each.
    pub faults: Vec<String>,
}

/// An axis of a TCode board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// Kind and channel, such as `L0` or `A1`.
    pub channel: String,
    /// What the board calls it, such as `Twist`; empty if it has no name.
    pub name: String,
    /// The part of its travel that the board prefers, in ten-thousandths: 0 to 9,999 is the whole travel.
    pub range: RangeInclusive<u16>,
}

impl Recognised {
    /// The identifier with which the gateway introduces such a board: `tcode` or `lovense`.
    ///
    /// # Errors
    /// The protocol's name does not fit a handshake.
    pub fn identifier(&self) -> Result<Identifier, HandshakeError> {
        Identifier::new(match self.protocol {
            TCODE => TCODE_IDENTIFIER,
            LOVENSE => LOVENSE_IDENTIFIER,
            other => other,
        })
    }

    /// The language that it speaks.
    pub fn language(&self) -> Option<&'static dyn Language> {
        language::of_protocol(self.protocol)
    }
}

/// For people: what the board is, on one line.
impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref();
        if self.protocol == LOVENSE {
            f.write_str("Lovense")?;
            if let (Some(model), Some(version)) = (&self.name, version) {
                write!(f, ", model {model}, firmware {version}")?;
            }
            return Ok(());
        }
        write!(
            f,
            "{}",
            version.unwrap_or("TCode, version unknown").escape_debug()
        )?;
        if let Some(name) = &self.name {
            write!(f, ", {name:?}")?;
        }
        if self.axes.is_empty() {
            return f.write_str(", lists no axes: L0 with its whole stroke is assumed");
        }
        let axes: Vec<String> = self.axes.iter().map(ToString::to_string).collect();
        write!(f, ", axes {}", axes.join(", "))
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.channel)?;
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        if self.range != (0..=RANGE_MAX) {
            write!(f, " {} to {}", self.range.start(), self.range.end())?;
        }
        Ok(())
    }
}

/// What a board is asked, in this order. None of it moves anything, in either language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// TCode: which device and firmware it is.
    Device,
    /// TCode: the version of the language.
    Version,
    /// TCode since 0.3: the axes, a line each.
    Axes,
    /// Lovense: model, firmware and address.
    DeviceType,
}

impl Question {
    /// The questions of TCode.
    pub const TCODE: [Self; 3] = [Self::Device, Self::Version, Self::Axes];

    const ALL: [Self; 4] = [Self::Device, Self::Version, Self::Axes, Self::DeviceType];

    /// The bytes to write, one write each. A semicolon comes before the question for Lovense: it ends what the other
    /// questions left in the buffer of a board that reads up to the next semicolon.
    pub fn writes(self) -> &'static [&'static [u8]] {
        match self {
            Self::Device => &[b"D0\n"],
            Self::Version => &[b"D1\n"],
            Self::Axes => &[b"D2\n"],
            Self::DeviceType => &[b";", b"DeviceType;"],
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Device => "D0",
            Self::Version => "D1",
            Self::Axes => "D2",
            Self::DeviceType => "DeviceType",
        }
    }
}

/// What a board answered. Lines are distinguished by their content rather than by their order, since a slow board may
/// answer a question after the next one was asked.
#[derive(Debug, Default)]
pub struct Answers {
    asked: Vec<Question>,
    /// The board was asked for its name, and has not answered a later question yet.
    awaits_name: bool,
    /// Candidates for its name. Boot output may be among them.
    names: Vec<String>,
    version: Option<String>,
    axes: Vec<ListedAxis>,
    /// Model and firmware.
    lovense: Option<(String, String)>,
}

impl Answers {
    /// Notes that the board is being asked this.
    pub fn ask(&mut self, question: Question) {
        if !self.asked.contains(&question) {
            self.asked.push(question);
        }
        if question == Question::Device {
            self.awaits_name = true;
            self.names.clear();
        }
    }

    /// Whether it was asked this.
    pub fn was_asked(&self, question: Question) -> bool {
        self.asked.contains(&question)
    }

    /// Whether it was asked anything.
    pub fn was_asked_anything(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether it has answered this.
    pub fn has(&self, question: Question) -> bool {
        match question {
            Question::Device => !self.names.is_empty(),
            Question::Version => self.version.is_some(),
            Question::Axes => !self.axes.is_empty(),
            Question::DeviceType => self.lovense.is_some(),
        }
    }

    /// Whether it speaks TCode.
    pub fn is_tcode(&self) -> bool {
        // A channel without a range is too little evidence.
        self.has(Question::Version) || self.axes.iter().any(|axis| axis.range.is_some())
    }

    /// Whether its language is known.
    pub fn is_known(&self) -> bool {
        self.is_tcode() || self.has(Question::DeviceType)
    }

    /// The languages that it may speak: the one that it answered in, else all that it can be recognised by.
    pub fn languages(&self) -> Vec<&'static dyn Language> {
        let known = if self.is_tcode() {
            Some(TCODE)
        } else {
            self.has(Question::DeviceType).then_some(LOVENSE)
        };
        let all = [TCODE, LOVENSE].into_iter();
        all.filter(|protocol| known.is_none_or(|known| known == *protocol))
            .filter_map(language::of_protocol)
            .collect()
    }

    /// Whether its version of TCode cannot list axes: it is older than 0.3.
    pub fn lists_no_axes(&self) -> bool {
        let version = self.version.as_deref().and_then(tcode_version);
        version.is_some_and(|version| version < (0, 3))
    }

    /// Its name, as far as it is known.
    pub fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// Reads a whole line, with or without its end.
    pub fn read_line(&mut self, line: &[u8]) {
        match wrapped(line) {
            Some(Wrapped::Answer(lines)) => lines.lines().for_each(|line| self.read_plain(line.as_bytes())),
            Some(Wrapped::Other) => {}
            None => self.read_plain(line),
        }
    }

    fn read_plain(&mut self, line: &[u8]) {
        self.read_unended(line);
        let text = String::from_utf8_lossy(line);
        let plain = text.chars().filter(|c| *c == '\t' || !c.is_control());
        let text: String = plain.collect();
        let text = text.trim();
        if self.asked.is_empty() || text.is_empty() || is_echo(text) || device_type(text).is_some() {
            return;
        }
        let short = || text.chars().take(TEXT_MAX).collect::<String>();
        // A name may begin as a channel does, such as `A1 mini`.
        let listed = ListedAxis::parse(text).filter(|axis| !axis.is_bare || !self.awaits_name);
        if let Some(axis) = listed {
            if self.was_asked(Question::Axes) {
                match self.axes.iter_mut().find(|known| known.channel == axis.channel) {
                    Some(known) => known.add(axis),
                    None => self.axes.push(axis),
                }
            }
        } else if tcode_version(text).is_some() {
            // The name of some devices contains the version too; the name is the longer text.
            let mut versions = [self.version.take().unwrap_or_else(short), short()];
            versions.sort_by_key(String::len);
            let [version, name] = versions;
            if name != version {
                self.names.push(name);
            }
            self.version = Some(version);
            if self.was_asked(Question::Version) {
                self.awaits_name = false;
            }
        } else if self.awaits_name && self.names.len() < NAMES_MAX {
            self.names.push(short());
        }
    }

    /// Reads the beginning of a line, which may contain answers that a semicolon ends.
    pub fn read_unended(&mut self, text: &[u8]) {
        if !self.was_asked(Question::DeviceType) || self.lovense.is_some() {
            return;
        }
        let mut parts: Vec<&[u8]> = text.split(|b| b";\r\n".contains(b)).collect();
        if !text.ends_with(b";") {
            parts.pop();
        }
        self.lovense = parts
            .into_iter()
            .find_map(|part| device_type(std::str::from_utf8(part).ok()?));
    }

    /// What the board is, if its language is known. `name` overrides the name among the answers.
    pub fn recognised(self, name: Option<String>) -> Option<Recognised> {
        if self.is_tcode() {
            return Some(Recognised {
                protocol: TCODE,
                name: name.or(self.names.into_iter().next()),
                version: self.version,
                faults: self.axes.iter().filter_map(ListedAxis::fault).collect(),
                axes: self.axes.into_iter().map(ListedAxis::into_axis).collect(),
            });
        }
        let (model, firmware) = self.lovense?;
        Some(Recognised {
            protocol: LOVENSE,
            name: Some(model),
            version: Some(firmware),
            axes: Vec::new(),
            faults: Vec::new(),
        })
    }
}

/// An axis as the board lists it, in one line or several.
#[derive(Debug)]
struct ListedAxis {
    channel: String,
    name: String,
    /// The intersection of the ranges that were understood.
    range: Option<RangeInclusive<u16>>,
    /// Its lines have different ranges.
    differs: bool,
    /// A line whose range was not understood.
    misunderstood: Option<String>,
    /// Its line has no number at all.
    is_bare: bool,
}

impl ListedAxis {
    /// Parses `L0 0 9999 Up`: channel, range, and a name that may contain spaces or be missing. A channel without a
    /// valid range is an axis too.
    fn parse(text: &str) -> Option<Self> {
        let (channel, mut rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        let channel = channel.to_ascii_uppercase();
        if !matches!(channel.as_bytes(), [b'L' | b'R' | b'V' | b'A', b'0'..=b'9']) {
            return None;
        }
        let mut numbers = Vec::new();
        while numbers.len() < 2 {
            rest = rest.trim_start();
            let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
            let is_number = word.contains(|c: char| c.is_ascii_digit())
                && word.chars().all(|c| c.is_ascii_digit() || "+-.,".contains(c));
            if !is_number {
                break;
            }
            numbers.push(word);
            rest = after;
        }
        let limit = |text: &str| text.parse::<u16>().ok().filter(|limit| *limit <= RANGE_MAX);
        let range = match numbers[..] {
            [a, b] => limit(a).zip(limit(b)).map(|(a, b)| a.min(b)..=a.max(b)),
            _ => None,
        };
        let range = range.filter(|range| extent(range) >= EXTENT_MIN);
        Some(Self {
            channel,
            name: rest.trim().chars().take(TEXT_MAX).collect(),
            misunderstood: range.is_none().then(|| text.chars().take(TEXT_MAX).collect()),
            is_bare: numbers.is_empty(),
            differs: false,
            range,
        })
    }

    /// Adds another line for the same channel. The narrower range applies: a board that lists one needs it.
    fn add(&mut self, other: Self) {
        if self.name.is_empty() {
            self.name = other.name;
        }
        self.misunderstood = self.misunderstood.take().or(other.misunderstood);
        self.range = match (self.range.take(), other.range) {
            (Some(a), Some(b)) => {
                self.differs |= a != b;
                let both = *a.start().max(b.start())..=*a.end().min(b.end());
                // The shorter one if they do not overlap.
                let shorter = if extent(&b) < extent(&a) { b } else { a };
                Some(if extent(&both) < EXTENT_MIN { shorter } else { both })
            }
            (a, b) => a.or(b),
        };
    }

    fn fault(&self) -> Option<String> {
        let used = match &self.range {
            Some(range) => format!("using {} to {}", range.start(), range.end()),
            None => "using its whole travel".to_owned(),
        };
        let channel = &self.channel;
        match &self.misunderstood {
            Some(line) => Some(format!(
                "axis {channel}: {line:?} has no range of at least {EXTENT_MIN} within 0 to {RANGE_MAX}; {used}"
            )),
            None => self
                .differs
                .then(|| format!("axis {channel} is listed more than once, with different ranges; {used}")),
        }
    }

    fn into_axis(self) -> Axis {
        Axis {
            channel: self.channel,
            name: self.name,
            range: self.range.unwrap_or(0..=RANGE_MAX),
        }
    }
}

/// What is in a message of TCodeESP32's websocket.
enum Wrapped {
    /// Lines of TCode.
    Answer(String),
    /// What the page of the board shows: lines of its log, its battery.
    Other,
}

/// TCodeESP32 sends JSON on its websocket: `{"command":"tcode","message":"TCode v0.3\n"}` for what it prints on its serial
/// port, and the same with other commands for its page (`compileCommand` in its `WebSocketBase.h`, July 2026).
fn wrapped(line: &[u8]) -> Option<Wrapped> {
    let mut message: serde_json::Value = serde_json::from_slice(line.trim_ascii()).ok()?;
    let is_answer = message.get("command")?.as_str()? == "tcode";
    Some(match message["message"].take() {
        serde_json::Value::String(lines) if is_answer => Wrapped::Answer(lines),
        _ => Wrapped::Other,
    })
}

/// The length of a range; 0 if it ends before it starts.
fn extent(range: &RangeInclusive<u16>) -> u16 {
    range.end().saturating_sub(*range.start())
}

/// Whether the line only repeats a question, as a shell on the board does, perhaps after a prompt.
fn is_echo(text: &str) -> bool {
    fn content(text: &str) -> &str {
        let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
        text.trim_end_matches([';', ' ', '\n'])
    }
    let text = content(text);
    let is_stop = |frame: &&[u8]| std::str::from_utf8(frame).is_ok_and(|frame| text == content(frame));
    let mut stops = [TCODE, LOVENSE].into_iter().filter_map(language::of_protocol);
    text.is_empty()
        || Question::ALL.iter().any(|question| text == question.word())
        || stops.any(|language| language.stop_perhaps().iter().any(is_stop))
}

/// The version in a text such as `TCode v0.3`: major, minor.
fn tcode_version(text: &str) -> Option<(u32, u32)> {
    let lower = text.to_ascii_lowercase();
    let at = lower.rfind("tcode")? + "tcode".len();
    let rest = lower[at..].trim_start_matches([' ', '-', '_', ':']);
    let rest = rest.strip_prefix("version").unwrap_or(rest);
    let rest = rest.trim_start_matches(['v', ' ', '-', '_']);
    let (major, rest) = rest.split_once('.')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..end].parse().ok()?))
}

/// Model and firmware from a Lovense device type such as `Z:11:AABBCCDDEEFF`.
fn device_type(text: &str) -> Option<(String, String)> {
    let mut fields = text.trim().trim_end_matches(';').split(':');
    let (model, firmware, address) = (fields.next()?, fields.next()?, fields.next()?);
    // Earlier output on the same line may precede it.
    let model = model.rsplit(|c: char| !c.is_ascii_alphanumeric()).next()?;
    let is_model = (1..=3).contains(&model.len()) && model.bytes().all(|b| b.is_ascii_uppercase());
    let is_firmware = (1..=6).contains(&firmware.len()) && firmware.bytes().all(|b| b.is_ascii_digit());
    let is_address = (6..=16).contains(&address.len()) && address.bytes().all(|b| b.is_ascii_hexdigit());
    let is_all = fields.next().is_none();
    (is_model && is_firmware && is_address && is_all).then(|| (model.to_owned(), firmware.to_owned()))
}

#[cfg(test)]
mod tests;
