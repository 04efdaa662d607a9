//! The meaning of a protocol's frames: what a command sets, which older command it covers, and how to stop. One file
//! per language; no other code looks into a frame.

pub mod limits;
mod lovense;
pub mod tcode;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::device::frame::Frame;
use limits::Limits;

/// All known languages. A new one needs a file and a line here.
static LANGUAGES: [&dyn Language; 2] = [&lovense::Lovense, &tcode::Tcode];

/// What the frames of one or more protocols mean.
pub trait Language: Sync {
    /// Its name in configuration and logs.
    fn name(&self) -> &'static str;

    /// The protocols that use it, by their names in the UDCF.
    fn protocols(&self) -> &'static [&'static str];

    /// The bytes that end a frame on a stream.
    fn delimiter(&self) -> &'static [u8];

    /// Parses a frame.
    fn read(&self, frame: &str) -> Command;

    /// Relates `newer` to `older`, both settings of this language.
    fn relate(&self, newer: &Setting, older: &Setting) -> Relation;

    /// Whether one frame may carry several settings.
    fn joins(&self) -> bool;

    /// Encodes these settings as one frame; a single setting unless [`Language::joins`].
    fn write(&self, settings: &[Setting]) -> Frame;

    /// The frames that stop a device if nothing is known to be set, beside [`Self::stop_all`].
    fn stop_anything(&self) -> &'static [&'static [u8]];

    /// The frame that stops all motion at once, whatever is set.
    fn stop_all(&self) -> Option<&'static [u8]>;

    /// The frames that stop a board that may speak this language, whatever was set on it. A board that speaks another
    /// one is not moved by any of them.
    fn stop_perhaps(&self) -> &'static [&'static [u8]];

    /// The frame with every setting inside the limits, and with its end. `None` if it cannot be brought inside, or if
    /// boards might interpret it differently.
    fn limit(&self, frame: &str, limits: &Limits) -> Option<String>;

    /// Whether a part of the frame is neither a setting nor a word that is known to set nothing in motion. Steps and the
    /// frame that stops all motion are not passed.
    fn has_unknown_word(&self, frame: &str) -> bool;

    /// A filter for a device's answers, if the server inside needs one. `None` if it understands every frame as it is.
    fn answer_filter(&self) -> Option<Box<dyn AnswerFilter>> {
        None
    }

    /// A question that every board of this language answers, and whose answer cannot be mistaken for another one; `None`
    /// if the language has none.
    fn question(&self) -> Option<Question> {
        None
    }

    /// Whether a frame of the board only acknowledges a command, and answers no question.
    fn is_acknowledgement(&self, _frame: &Frame) -> bool {
        false
    }
}

/// Passes a device's answers to the server inside, during one session.
pub trait AnswerFilter: fmt::Debug + Send {
    /// Notes a frame that the server sends to the device. Returns a fault of earlier answers, to be logged.
    fn asked(&mut self, frame: &Frame) -> Option<String>;

    /// Notes a frame that the device sent. Returns the answers for the server in it.
    fn received(&mut self, frame: Frame) -> Received;

    /// Returns a frame that is no answer and makes the server wait anew for the answer to `asked`; `None` if that has come,
    /// or the server waits long enough.
    fn wait_longer(&self, asked: &Frame) -> Option<Frame>;
}

/// The content of a frame that a device sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The answers for the server, each complete and in a frame of its own.
    pub answers: Vec<Frame>,
    /// An answer that was not understood, to be logged.
    pub fault: Option<String>,
}

/// A question that moves nothing.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The frame.
    pub text: &'static [u8],
    /// Whether a frame has the shape of its answer.
    pub is_answer: fn(&[u8]) -> bool,
}

impl fmt::Debug for dyn Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for dyn Language {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Language {}

/// The language of a protocol, if it is known.
pub fn of_protocol(protocol: &str) -> Option<&'static dyn Language> {
    LANGUAGES
        .into_iter()
        .find(|language| language.protocols().contains(&protocol))
}

/// The protocols whose language is known, by their names in the UDCF.
pub fn known_protocols() -> impl Iterator<Item = &'static str> {
    LANGUAGES
        .into_iter()
        .flat_map(|language| language.protocols().iter().copied())
}

/// The language in which newer commands supersede older ones that wait; `None` keeps all of them, in order.
pub type Coalesce = Option<&'static dyn Language>;

/// The configurable values, by name.
pub const COALESCE: [(&str, Coalesce); 3] = [
    ("lovense", Some(&lovense::Lovense)),
    ("tcode", Some(&tcode::Tcode)),
    ("none", None),
];

/// What a frame does to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sets actuators to values. A newer value of an actuator supersedes the older one.
    Set(Vec<Setting>),
    /// Moves an actuator relative to its position. None may be dropped while it is fresh.
    Step(Setting),
    /// Sets actuators, and holds something else besides: kept whole, and in order.
    Mixed(Vec<Setting>),
    /// Stops all motion.
    StopAll,
    /// Sets no actuator that is known here: a query, a toggle, or a word that only the board knows.
    Other,
    /// A frame in an unknown language: it may move anything.
    Unknown,
}

impl Command {
    /// Parses a frame of a device that speaks `language`.
    pub fn read(language: Option<&dyn Language>, frame: &Frame) -> Self {
        match (language, std::str::from_utf8(&frame.0)) {
            (Some(language), Ok(text)) => language.read(text),
            (Some(_), Err(_)) => Self::Other,
            (None, _) => Self::Unknown,
        }
    }

    /// Whether this frame, which it was read from, may move something that it does not name: another firmware may know a
    /// word that is unknown here.
    pub fn may_move_unseen(&self, language: Option<&dyn Language>, frame: &Frame) -> bool {
        let is_known = |language: &dyn Language| {
            let text = std::str::from_utf8(&frame.0);
            text.is_ok_and(|text| !language.has_unknown_word(text))
        };
        matches!(self, Self::Other | Self::Mixed(_)) && !language.is_some_and(is_known)
    }

    /// Whether it only sets actuators to nothing.
    pub fn is_stop(&self) -> bool {
        match self {
            Self::StopAll => true,
            Self::Set(settings) => settings.iter().all(|setting| setting.is_nothing),
            Self::Mixed(_) | Self::Step(_) | Self::Other | Self::Unknown => false,
        }
    }

    /// Whether a newer command may supersede it while it waits.
    pub fn is_superseded_by_newer(&self) -> bool {
        matches!(self, Self::Set(_)) && !self.is_stop()
    }
}

/// What a frame does of which these are the parts, the settings among them read.
fn of_parts(parts: impl Iterator<Item = Option<Setting>>) -> Command {
    let parts: Vec<Option<Setting>> = parts.collect();
    let all = parts.len();
    let settings: Vec<Setting> = parts.into_iter().flatten().collect();
    if settings.is_empty() {
        Command::Other
    } else if settings.len() == all {
        Command::Set(settings)
    } else {
        Command::Mixed(settings)
    }
}

/// One actuator set to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The actuator, as the language names it.
    pub actuator: String,
    /// The command as it arrived, without the separator from the next one in the frame.
    pub text: String,
    /// The command that sets this actuator to nothing; `None` for a position, which has no such value.
    pub nothing: Option<String>,
    /// Whether this command is that one.
    pub is_nothing: bool,
}

/// How a newer setting relates to an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They affect different actuators.
    Apart,
    /// The newer one sets everything that the older one did.
    Covers,
    /// Both combine into this one.
    Merges(Setting),
    /// They share an actuator, but the older one sets more: it must be written before the newer one.
    Touches,
}

/// What was set on a device, and so what stops it.
///
/// An actuator stays in here until the session ends, even if it was set to nothing since: that command may have been
/// lost.
#[derive(Clone, Debug, Default)]
pub struct Actuators {
    language: Option<&'static dyn Language>,
    /// The owner's stop bytes, which replace the known ones.
    on_close: Option<Bytes>,
    /// By actuator, the command with the most values, and with it the command that sets the actuator to nothing.
    seen: BTreeMap<String, Setting>,
    /// Actuators that are on. In an unknown language, one entry without a name.
    on: std::collections::BTreeSet<String>,
    commanded: bool,
    /// A word that is unknown here may have set something in motion since the last stop.
    unseen: bool,
    /// The same, at any time: what it moved has no name here.
    was_unseen: bool,
    /// Somebody else may have set anything.
    may_be_running: bool,
}

impl Actuators {
    /// Creates the state of a device that speaks `language` and has nothing set. `on_close` is the stop that its
    /// owner configured.
    pub fn new(language: Option<&'static dyn Language>, on_close: Option<Bytes>) -> Self {
        Self {
            language,
            on_close,
            ..Self::default()
        }
    }

    /// Marks the device as perhaps running from before, by commands that nobody here has seen.
    pub fn may_be_running(&mut self) {
        self.may_be_running = true;
    }

    /// The device's language, if it is known.
    pub fn language(&self) -> Option<&'static dyn Language> {
        self.language
    }

    /// Whether the gateway knows a stop for this device.
    pub fn can_stop(&self) -> bool {
        self.on_close.is_some() || self.language.is_some()
    }

    /// Records a command that is about to be sent to the device, and the frame that it was read from. Returns whether it
    /// may move something.
    pub fn observe(&mut self, frame: &Frame, command: &Command) -> bool {
        match command {
            Command::Set(settings) | Command::Mixed(settings) => {
                settings.iter().for_each(|setting| self.observe_setting(setting))
            }
            Command::Step(setting) => self.observe_setting(setting),
            Command::StopAll => self.stopped(),
            // Any frame of an unknown language may be motion.
            Command::Unknown => {
                self.commanded = true;
                self.on.insert(String::new());
            }
            Command::Other => {}
        }
        let moves_unseen = command.may_move_unseen(self.language, frame);
        if moves_unseen {
            self.commanded = true;
            self.unseen = true;
            self.was_unseen = true;
        }
        *command != Command::Other || moves_unseen
    }

    fn observe_setting(&mut self, setting: &Setting) {
        if setting.is_nothing {
            // A command that covers several actuators sets them all to nothing.
            if let Some(language) = self.language {
                let seen = &self.seen;
                self.on.retain(|actuator| {
                    seen.get(actuator)
                        .is_some_and(|older| !matches!(language.relate(setting, older), Relation::Covers))
                });
            }
            return;
        }
        self.commanded = true;
        self.on.insert(setting.actuator.clone());
        match self.seen.get(&setting.actuator) {
            // Of two arities of one command, the longer one sets more.
            Some(seen) if seen.text.len() >= setting.text.len() && seen.nothing == setting.nothing => {}
            Some(seen)
                if seen.nothing.as_ref().map(String::len) > setting.nothing.as_ref().map(String::len) => {}
            _ => {
                self.seen.insert(setting.actuator.clone(), setting.clone());
            }
        }
    }

    /// Records a stop.
    pub fn stopped(&mut self) {
        self.on.clear();
        self.unseen = false;
    }

    /// Whether an output may be on.
    pub fn is_on(&self) -> bool {
        self.unseen || !self.on.is_empty()
    }

    /// Whether the device was ever sent motion.
    pub fn was_commanded(&self) -> bool {
        self.commanded
    }

    /// The frames that stop the device: they set each actuator in here to nothing, under the name and arity that were
    /// used. Empty if no stop is known.
    pub fn stop_frames(&self) -> Vec<Frame> {
        if let Some(on_close) = &self.on_close {
            return vec![Frame(on_close.clone())];
        }
        let Some(language) = self.language else {
            return Vec::new();
        };
        let nothing: Vec<Setting> = (self.seen.values())
            .filter_map(|seen| {
                let text = seen.nothing.clone()?;
                Some(Setting {
                    text,
                    is_nothing: true,
                    ..seen.clone()
                })
            })
            .collect();
        let all = language.stop_all().map(Frame::from);
        let anything = language.stop_anything().iter().map(|b| Frame::from(*b));
        if nothing.is_empty() {
            // What ran before was stopped before the first command.
            let is_unknown = self.was_unseen || self.may_be_running && !self.commanded;
            return match all {
                Some(all) if !is_unknown => vec![all],
                all => all.into_iter().chain(anything).collect(),
            };
        }
        let settings: Vec<Frame> = if language.joins() {
            vec![language.write(&nothing)]
        } else {
            nothing
                .iter()
                .map(|setting| language.write(std::slice::from_ref(setting)))
                .collect()
        };
        let anything = anything.filter(|frame| self.was_unseen && !settings.contains(frame));
        let anything: Vec<Frame> = anything.collect();
        all.into_iter().chain(anything).chain(settings).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(protocol: &str, commands: &[&str]) -> Actuators {
        let mut actuators = Actuators::new(of_protocol(protocol), None);
        for text in commands {
            let frame = Frame::from(Bytes::copy_from_slice(text.as_bytes()));
            let command = Command::read(actuators.language(), &frame);
            actuators.observe(&frame, &command);
        }
        actuators
    }

    fn stop(protocol: &str, commands: &[&str]) -> Vec<String> {
        let frames = after(protocol, commands).stop_frames();
        frames
            .into_iter()
            .map(|frame| String::from_utf8(frame.0.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_word_that_is_unknown_may_move_something() {
        let moves = |protocol: &str, text: &'static str| {
            let (language, frame) = (of_protocol(protocol), Frame::from(text.as_bytes()));
            Command::read(language, &frame).may_move_unseen(language, &frame)
        };
        for text in [
            "Battery;",
            "DeviceType;",
            "Status:1;",
            "GetBatch;Battery;",
            "\n",
            "Vibrate:5;",
            "Vibrate:5;Battery;",
            "Vibrate:5;\n",
            // It reverses what turns, and what stands still stays so.
            "RotateChange;",
            "RotateChange;Rotate:0;",
        ] {
            assert!(!moves("lovense", text), "{text}");
        }
        for text in [
            "Wave:5;",
            "Battery;Wave:5;",
            "Vibrate:x;",
            "Vibrate:0;Wave:5;",
            "Wave:5;Vibrate:0;",
            "Vibrate:0;Air:In:1;",
            "Vibrate:0;Vibrate:5",
        ] {
            assert!(moves("lovense", text), "{text}");
        }
        for text in ["D0\n", "D1\n", "d2\n", "\n", "L0500\n", "DSTOP\n", "V000 D1\n"] {
            assert!(!moves("tcode-v03", text), "{text}");
        }
        for text in ["#device-home\n", "X0500\n", "D3\n", "V00 X0500\n", "X0500 V00\n"] {
            assert!(moves("tcode-v03", text), "{text}");
        }
    }

    #[test]
    fn a_device_is_stopped_by_what_was_seen_set_on_it() {
        for (commands, wanted) in [
            (&[][..], &["Vibrate:0;", "Rotate:0;"][..]),
            (&["Battery;", "DeviceType;"], &["Vibrate:0;", "Rotate:0;"]),
            (&["Vibrate:5;"], &["Vibrate:0;"]),
            (&["Vibrate:5;", "Vibrate:0;"], &["Vibrate:0;"]),
            (&["Air:Level:3;", "Vibrate:20;"], &["Air:Level:0;", "Vibrate:0;"]),
            (&["Air:In:1;"], &["Air:Level:0;"]),
            (&["Mply:20:0:3;"], &["Mply:0:0:0;"]),
            (&["Mply:20:0:3;", "Mply:5:-1;"], &["Mply:0:0:0;"]),
            (&["Mply:5:5;", "Mply:20:0:3;"], &["Mply:0:0:0;"]),
            (&["Rotate:True:7;"], &["Rotate:True:0;"]),
            (&["Thrusting:4;Depth:2;"], &["Depth:0;", "Thrusting:0;"]),
            (&["FSetSite:50;"], &["Vibrate:0;", "Rotate:0;"]),
            (&["Wave:5;"], &["Vibrate:0;", "Rotate:0;"]),
            (
                &["Thrusting:2;", "Vibrate:0;Wave:5;"],
                &["Vibrate:0;", "Rotate:0;", "Thrusting:0;"],
            ),
            (
                &["Air:Level:3;Battery;", "Thrusting:2;\n"],
                &["Air:Level:0;", "Thrusting:0;"],
            ),
        ] {
            assert_eq!(stop("lovense", commands), wanted, "{commands:?}");
        }
        for (commands, wanted) in [
            (&[][..], &["DSTOP\n"][..]),
            (&["L0999I3000\n"], &["DSTOP\n"]),
            (&["V099 D2\n"], &["DSTOP\n", "V000\n"]),
            (
                &["V099\n", "V15 A2500S20 L0500\n"],
                &["DSTOP\n", "A2000 V000 V10\n"],
            ),
        ] {
            assert_eq!(stop("tcode-v03", commands), wanted, "{commands:?}");
        }
        assert!(stop("vorze-sa", &["x"]).is_empty());
    }

    #[test]
    fn of_a_device_that_ran_before_nothing_is_known_to_be_off() {
        let frames = |protocol, commands: &[&str]| -> Vec<String> {
            let mut actuators = after(protocol, commands);
            actuators.may_be_running();
            let frames = actuators.stop_frames().into_iter();
            frames
                .map(|frame| String::from_utf8(frame.0.to_vec()).unwrap())
                .collect()
        };
        let tcode = frames("tcode-v03", &[]);
        assert_eq!(tcode[0], "DSTOP\n");
        assert!(
            tcode[1].starts_with("V00 V10 ") && tcode[1].ends_with(" V90\n"),
            "{tcode:?}"
        );
        assert_eq!(frames("tcode-v03", &["V050\n"]), ["DSTOP\n", "V000\n"]);
        assert_eq!(frames("tcode-v03", &["L0500\n"]), ["DSTOP\n"]);
        assert_eq!(frames("lovense", &[]), ["Vibrate:0;", "Rotate:0;"]);
    }

    #[test]
    fn it_is_known_whether_an_output_is_on() {
        for (protocol, commands, on) in [
            ("lovense", &[][..], false),
            ("lovense", &["Battery;"], false),
            ("lovense", &["Wave:5;"], true),
            ("lovense", &["Wave:5;", "Vibrate:0;"], true),
            ("lovense", &["Vibrate:0;Wave:5;"], true),
            ("lovense", &["RotateChange;"], false),
            ("lovense", &["Vibrate:5;"], true),
            ("lovense", &["Vibrate:5;", "Vibrate:0;"], false),
            ("lovense", &["Vibrate1:5;", "Vibrate2:5;", "Vibrate:0;"], false),
            ("lovense", &["Vibrate:5;", "Vibrate1:0;"], true),
            ("lovense", &["Mply:5:5;", "Mply:0:0;"], false),
            ("lovense", &["Mply:5:5;", "Mply:0:5;"], true),
            ("lovense", &["Vibrate:5;", "Rotate:0;"], true),
            ("tcode-v03", &["L0500\n"], true),
            ("tcode-v03", &["V00 X0500\n"], true),
            ("tcode-v03", &["X0500\n", "DSTOP\n"], false),
            ("tcode-v03", &["V050 L0500\n", "V000\n"], true),
            ("tcode-v03", &["V050 L0500\n", "DSTOP\n"], false),
            ("vorze-sa", &["x"], true),
        ] {
            assert_eq!(after(protocol, commands).is_on(), on, "{protocol} {commands:?}");
        }
    }

    #[test]
    fn what_the_owner_configured_comes_before_what_is_known() {
        let bytes = Bytes::from_static(b"\x05\x80\x80");
        let actuators = Actuators::new(of_protocol("lovense"), Some(bytes.clone()));
        assert_eq!(actuators.stop_frames(), [Frame(bytes)]);
        assert!(!Actuators::new(None, None).can_stop());
    }

    #[test]
    fn a_language_is_found_by_each_of_its_protocols_and_by_its_name() {
        for language in LANGUAGES {
            let coalesce = COALESCE.iter().find(|(name, _)| *name == language.name());
            assert_eq!(coalesce.map(|(_, coalesce)| *coalesce), Some(Some(language)));
            for protocol in language.protocols() {
                assert_eq!(of_protocol(protocol), Some(language), "{protocol}");
            }
        }
        assert_eq!(of_protocol("ossm"), None);
    }

    #[test]
    fn nothing_is_known_of_an_unknown_protocol() {
        assert_eq!(
            Command::read(None, &Frame::from(&b"Vibrate:5;"[..])),
            Command::Unknown
        );
        let bytes = Frame::from(&[0xff_u8, 0xfe][..]);
        assert_eq!(Command::read(of_protocol("lovense"), &bytes), Command::Other);
    }
}
