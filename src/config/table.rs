//! What is known of a configuration's keys: one table a section. The reader, the known keys of a file, the flags of the
//! command line, the example and the reference page all follow from it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::layers::Given;

/// A section of gateway.toml.
pub(crate) struct Section {
    /// `devices` for `[devices]`.
    pub(crate) name: &'static str,
    /// There may be several, written `[[name]]`.
    pub(crate) repeated: bool,
    /// What it is about, in sentences.
    pub(crate) help: &'static str,
    /// In the order of the example.
    pub(crate) keys: &'static [Key],
}

/// A key of a section.
pub(crate) struct Key {
    /// As in the file; `framing.delimiter` is in a table within its section.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Preset,
    /// The flag that sets it, without dashes. It has an environment variable of the same name.
    pub(crate) flag: Option<&'static str>,
    /// Former names, which are still read, with a warning.
    pub(crate) aliases: &'static [&'static str],
    /// A value as the file has it, for a key whose default is not one.
    pub(crate) example: &'static str,
    /// It cannot stand beside the keys above it, so the example has it commented out.
    pub(crate) alternative: bool,
    /// One sentence, without its full stop: the command line has it too.
    pub(crate) help: &'static str,
    /// Further sentences for the example and the reference page.
    pub(crate) note: &'static str,
}

impl Key {
    /// What most keys are not.
    pub(crate) const BASE: Self = Self {
        name: "",
        kind: Kind::Text,
        default: Preset::Unset(""),
        flag: None,
        aliases: &[],
        example: "",
        alternative: false,
        help: "",
        note: "",
    };

    /// The default as if it had been given; `None` if nothing stands for it.
    pub(super) fn given_default(&self) -> Option<Given> {
        Some(match self.default {
            Preset::Unset(_) => return None,
            Preset::Localhost(port) => Given::Text(format!("localhost:{port}")),
            Preset::Time(time) => Given::Integer(match self.kind {
                Kind::Number(Unit::Seconds, _) => time.as_secs(),
                _ => time.as_millis() as u64,
            } as i64),
            Preset::Number(number) => Given::Integer(number),
            Preset::Text(text) => Given::Text(text.to_owned()),
            Preset::Switch(switch) => Given::Boolean(switch),
        })
    }

    /// The default in words; empty if there is nothing to tell.
    pub(crate) fn default_in_words(&self) -> String {
        match (&self.default, self.given_default()) {
            (Preset::Unset(words), _) => (*words).to_owned(),
            (_, Some(Given::Text(text))) => text,
            (_, given) => given.map(|given| given.toml()).unwrap_or_default(),
        }
    }
}

/// The environment variable that belongs to a flag.
pub(crate) fn variable(flag: &str) -> String {
    let name = flag.replace('-', "_").to_ascii_uppercase();
    format!("WSDM_GATEWAY_{name}")
}

/// What a value is.
pub(crate) enum Kind {
    /// Addresses and ports to listen on.
    Addresses,
    /// Bytes; see [`super::bytes`].
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text of a form that is named here.
    Form(&'static str),
    /// Names of hosts.
    Hosts,
    /// A whole number.
    Number(Unit, RangeInclusive<i64>),
    /// Web origins.
    Origins,
    /// Text that masks itself, of any characters.
    Password,
    /// A file or device.
    Path,
    /// Text that masks itself.
    Secret,
    /// `true` or `false`.
    Switch,
    /// Any text.
    Text,
    /// Where a server is.
    Url,
}

impl Kind {
    pub(super) const fn milliseconds(range: RangeInclusive<u64>) -> Self {
        Self::Number(Unit::Milliseconds, *range.start() as i64..=*range.end() as i64)
    }

    pub(super) const fn seconds(range: RangeInclusive<u64>) -> Self {
        Self::Number(Unit::Seconds, *range.start() as i64..=*range.end() as i64)
    }

    /// What may stand in a file, for the reference page.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Addresses => "address and port, or a list of them".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Form(form) => (*form).to_owned(),
            Self::Hosts => "list of host names".to_owned(),
            Self::Number(unit, range) => {
                format!("{} to {} {}", range.start(), range.end(), unit.short())
            }
            Self::Origins => "list of origins".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Password | Self::Secret | Self::Text => "text".to_owned(),
            Self::Switch => "true, false".to_owned(),
            Self::Url => "URL".to_owned(),
        }
    }

    /// What stands for a value in the help of a flag.
    pub(crate) fn placeholder(&self) -> &'static str {
        match self {
            Self::Addresses => "ADDR",
            Self::Number(Unit::Milliseconds, _) => "MS",
            Self::Number(..) => "NUMBER",
            Self::Path => "FILE",
            Self::Password => "PASSWORD",
            Self::Secret => "TOKEN",
            Self::Text => "NAME",
            Self::Url => "URL",
            _ => "VALUE",
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    BitsPerSecond,
    Connections,
    Dbm,
    Milliseconds,
    Seconds,
}

impl Unit {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::BitsPerSecond => "bits a second",
            Self::Connections => "connections",
            Self::Dbm => "dBm",
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
        }
    }

    pub(super) fn short(self) -> &'static str {
        match self {
            Self::BitsPerSecond => "bit/s",
            Self::Connections => "connections",
            Self::Dbm => "dBm",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }
}

/// What a key is worth if it is left out.
pub(crate) enum Preset {
    /// No value: what holds instead, in words. Without words `check` shows the key only if it was given.
    Unset(&'static str),
    /// This port on both loopback addresses.
    Localhost(u16),
    Time(Duration),
    Number(i64),
    Text(&'static str),
    Switch(bool),
}

/// The words of a list of choices, for [`Kind::Choice`].
pub(super) const fn words<T: Copy, const N: usize>(choices: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut n = 0;
    while n < N {
        words[n] = choices[n].0;
        n += 1;
    }
    words
}
