//! What this board is told at its start: `key=value` pairs on the kernel's command line, QEMU's `-append`.

use core::fmt;

use static_cell::StaticCell;
use wsdm_device::{Fingerprint, Gateway, Identity, SettingsError, Timing};

/// The language that the device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `device=lovense`
    Lovense,
    /// `device=tcode`
    Tcode,
}

/// Where the gateway is, who the device is, and how patient.
pub struct Settings<'a> {
    /// `url` and `token`
    pub gateway: Gateway<'a>,
    /// `fingerprint`
    pub fingerprint: Option<Fingerprint>,
    /// `identifier` and `address`
    pub identity: Identity<'a>,
    /// `device`
    pub language: Language,
    /// `silence_ms`
    pub silence_ms: u64,
}

/// Why there are none.
pub enum Error {
    Unknown(&'static str),
    Value(&'static str),
    Unusable(SettingsError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown key in {word:?}"),
            Self::Value(word) => write!(f, "unknown value in {word:?}"),
            Self::Unusable(e) => e.fmt(f),
        }
    }
}

impl From<SettingsError> for Error {
    fn from(e: SettingsError) -> Self {
        Self::Unusable(e)
    }
}

/// Reads them, once.
pub fn read(command_line: &'static str) -> Result<&'static Settings<'static>, Error> {
    static SETTINGS: StaticCell<Settings<'static>> = StaticCell::new();
    Ok(SETTINGS.init(parse(command_line)?))
}

fn parse(text: &'static str) -> Result<Settings<'static>, Error> {
    let (mut url, mut token, mut identifier, mut language) = ("ws://10.0.2.2", None, None, Language::Lovense);
    let mut fingerprint = None;
    let (mut address, mut silence_ms) = ("8A3D9FAC2A45", Timing::DEFAULT.silence);
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').ok_or(Error::Unknown(word))?;
        match key {
            "url" => url = value,
            "token" => token = Some(value),
            "fingerprint" => fingerprint = Some(Fingerprint::parse(value).ok_or(Error::Value(word))?),
            "identifier" => identifier = Some(value),
            "address" => address = value,
            "device" => {
                language = match value {
                    "lovense" => Language::Lovense,
                    "tcode" => Language::Tcode,
                    _ => return Err(Error::Value(word)),
                }
            }
            "silence_ms" => silence_ms = value.parse().map_err(|_| Error::Value(word))?,
            _ => return Err(Error::Unknown(word)),
        }
    }
    let usual = match language {
        Language::Lovense => "LVSDevice",
        Language::Tcode => "TCodeDevice",
    };
    Ok(Settings {
        gateway: Gateway::parse(url)?.with_token(token),
        fingerprint,
        identity: Identity::new(identifier.unwrap_or(usual), address)?,
        language,
        silence_ms,
    })
}
