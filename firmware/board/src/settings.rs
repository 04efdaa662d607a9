//! What can be set: a few texts, each checked when it is set, so that what is kept can be used.

use core::fmt::{self, Write};
use core::net::Ipv6Addr;

use heapless::String;
use wsdm_device::wsdm_protocol::{FieldError, check_identifier};
use wsdm_device::{Fingerprint, SettingsError, Timing};

use crate::inputs::{Button, parse_battery};
use crate::limits::{IdleLimit, LimitError, Limits};
use crate::pins::{Chip, Led, Outputs, PinError};

/// The longest value of any setting.
pub(crate) const VALUE_MAX_BYTES: usize = 128;
/// For `gateway`: look it up on the network.
const LOOKED_UP: &str = "mdns";
const SCHEME: &str = "ws://";
const SECURE_SCHEME: &str = "wss://";
/// What can be set as the watchdog's patience. Under a few pings it would stop for nothing; a motor that nobody
/// commands must not turn for longer.
const SILENCE_RANGE_MS: core::ops::RangeInclusive<u64> = 500..=10_000;

/// The name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The name of the Wi-Fi network.
    Ssid,
    /// Its password; empty for an open one.
    Password,
    /// `mdns`, `HOST`, `HOST:PORT`, or a `ws://` or `wss://` URL.
    Gateway,
    /// The gateway's token.
    Token,
    /// What the UDCF calls the device.
    Identifier,
    /// `lovense` or `tcode`.
    Device,
    /// `V0=4 L0=5`
    Pins,
    /// `8`, `8 inverted` or `none`
    Led,
    /// The watchdog's patience.
    SilenceMs,
    /// `9`, `9 opens` or `none`
    Button,
    /// `V0=60 L0=10-90`
    Limits,
    /// `0` or `none`
    Battery,
    /// What an update over the network is asked for; empty: none is taken.
    OtaPassword,
    /// That of the gateway's certificate, in 64 digits, or `none`: with one, TLS is spoken and nothing else.
    Fingerprint,
}

impl Key {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::Ssid,
        Self::Password,
        Self::Gateway,
        Self::Token,
        Self::Identifier,
        Self::Device,
        Self::Pins,
        Self::Led,
        Self::SilenceMs,
        Self::Button,
        Self::Limits,
        Self::Battery,
        Self::OtaPassword,
        Self::Fingerprint,
    ];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ssid => "ssid",
            Self::Password => "password",
            Self::Gateway => "gateway",
            Self::Token => "token",
            Self::Identifier => "identifier",
            Self::Device => "device",
            Self::Pins => "pins",
            Self::Led => "led",
            Self::SilenceMs => "silence_ms",
            Self::Button => "button",
            Self::Limits => "limits",
            Self::Battery => "battery",
            Self::OtaPassword => "ota_password",
            Self::Fingerprint => "fingerprint",
        }
    }

    /// The key of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Whether nobody should read its value over a shoulder.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Password | Self::Token | Self::OtaPassword)
    }
}

/// The language that a device speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// A vibrator.
    #[default]
    Lovense,
    /// Axes.
    Tcode,
}

/// Why a setting cannot have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It is longer than this many bytes.
    TooLong(usize),
    /// A control character is in it.
    Control,
    /// Not a gateway.
    Gateway(SettingsError),
    /// A gateway's URL with a query: a token in it would be shown to everybody.
    Query,
    /// A gateway's IPv6 address, which no board can reach.
    Ipv6,
    /// Not an identifier.
    Identifier(FieldError),
    /// Neither lovense nor tcode.
    Device,
    /// Not pins, or not an LED, a button or a battery's pin.
    Pins(PinError),
    /// Not limits.
    Limits(LimitError),
    /// A password that no network of WPA2 can have.
    Password,
    /// A password for updates that is too short or too long.
    OtaPassword,
    /// Not a number of milliseconds, or out of range.
    Silence,
    /// Not a fingerprint.
    Fingerprint,
    /// A gateway with TLS, and no fingerprint to know it by.
    NoFingerprint,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(max) => write!(f, "at most {max} bytes are taken"),
            Self::Control => f.write_str("a control character is in it"),
            Self::Gateway(e) => write!(f, "{e}; mdns, HOST, HOST:PORT, ws://HOST:PORT/ and wss://HOST:PORT/ are taken"),
            Self::Query => f.write_str(
                "leave out the ? and what follows, since show prints it: the token is a setting of its own, set token WORDS",
            ),
            Self::Ipv6 => f.write_str("boards have no IPv6: give the gateway's IPv4 address, or a name"),
            Self::Identifier(e) => e.fmt(f),
            Self::Device => f.write_str("a device is lovense or tcode"),
            Self::Pins(e) => e.fmt(f),
            Self::Limits(e) => e.fmt(f),
            Self::Password => f.write_str("a password of Wi-Fi has 8 to 63 characters, or none"),
            Self::OtaPassword => f.write_str("a password for updates has 8 to 63 characters, or none"),
            Self::Silence => write!(
                f,
                "silence_ms is a number from {} to {}",
                SILENCE_RANGE_MS.start(),
                SILENCE_RANGE_MS.end()
            ),
            Self::Fingerprint => f.write_str("a fingerprint has 64 hexadecimal digits; the gateway's log has it, or none"),
            Self::NoFingerprint => f.write_str(
                "wss:// needs the gateway's fingerprint, which its log has: set fingerprint; or set gateway without wss://",
            ),
        }
    }
}

/// Where the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway<'a> {
    /// Wherever it says so on the network.
    LookedUp,
    /// Here.
    At(wsdm_device::Gateway<'a>),
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    ssid: String<32>,
    password: String<63>,
    gateway: String<VALUE_MAX_BYTES>,
    token: String<VALUE_MAX_BYTES>,
    identifier: String<64>,
    language: Language,
    outputs: Outputs,
    led: Option<Led>,
    silence_ms: u64,
    button: Option<Button>,
    limits: Limits,
    battery: Option<u8>,
    ota_password: String<63>,
    fingerprint: Option<Fingerprint>,
}

impl Default for Settings {
    /// No network, any gateway, a vibrator without a motor.
    fn default() -> Self {
        Self {
            ssid: String::new(),
            password: String::new(),
            gateway: String::try_from(LOOKED_UP).unwrap_or_default(),
            token: String::new(),
            identifier: String::new(),
            language: Language::default(),
            outputs: Outputs::default(),
            led: None,
            silence_ms: Timing::DEFAULT.silence,
            button: None,
            limits: Limits::default(),
            battery: None,
            ota_password: String::new(),
            fingerprint: None,
        }
    }
}

impl Settings {
    /// Sets one.
    ///
    /// # Errors
    /// It cannot have this value; it keeps the one that it had.
    pub fn set(&mut self, key: Key, value: &str, chip: &Chip) -> Result<(), Invalid> {
        if value.contains(char::is_control) {
            return Err(Invalid::Control);
        }
        match key {
            Key::Ssid => self.ssid = text(value)?,
            Key::Password => self.password = password(value).ok_or(Invalid::Password)?,
            Key::OtaPassword => self.ota_password = password(value).ok_or(Invalid::OtaPassword)?,
            Key::Gateway => self.gateway = gateway(value)?,
            Key::Token => self.token = text(value)?,
            Key::Identifier => {
                if !value.is_empty() {
                    check_identifier(value).map_err(Invalid::Identifier)?;
                }
                self.identifier = text(value)?;
            }
            Key::Device => {
                self.language = match value {
                    "lovense" => Language::Lovense,
                    "tcode" => Language::Tcode,
                    _ => return Err(Invalid::Device),
                }
            }
            Key::Pins => {
                let outputs = Outputs::parse(value, chip).map_err(Invalid::Pins)?;
                let inputs = [self.button.map(|button| button.pin), self.battery];
                free(inputs.into_iter().flatten().find(|pin| outputs.uses(*pin)))?;
                self.outputs = outputs;
            }
            Key::Button => {
                let button = Button::parse(value, chip).map_err(Invalid::Pins)?;
                let has_other_use = |pin: &u8| self.outputs.uses(*pin) || self.battery == Some(*pin);
                free(button.map(|button| button.pin).filter(has_other_use))?;
                self.button = button;
            }
            Key::Battery => {
                let battery = parse_battery(value, chip).map_err(Invalid::Pins)?;
                let has_other_use = |pin: &u8| {
                    self.outputs.uses(*pin) || self.button.is_some_and(|button| button.pin == *pin)
                };
                free(battery.filter(has_other_use))?;
                self.battery = battery;
            }
            Key::Fingerprint => {
                self.fingerprint = match value.trim() {
                    "" | "none" => None,
                    value => Some(Fingerprint::parse(value).ok_or(Invalid::Fingerprint)?),
                }
            }
            Key::Limits => self.limits = Limits::parse(value).map_err(Invalid::Limits)?,
            Key::Led => self.led = Led::parse(value, chip).map_err(Invalid::Pins)?,
            Key::SilenceMs => {
                let ms = value.parse().map_err(|_| Invalid::Silence)?;
                if !SILENCE_RANGE_MS.contains(&ms) {
                    return Err(Invalid::Silence);
                }
                self.silence_ms = ms;
            }
        }
        Ok(())
    }

    /// Writes the value of one, as [`Settings::set`] takes it.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn write(&self, key: Key, out: &mut dyn Write) -> fmt::Result {
        match key {
            Key::Ssid => out.write_str(&self.ssid),
            Key::Password => out.write_str(&self.password),
            Key::Gateway => out.write_str(&self.gateway),
            Key::Token => out.write_str(&self.token),
            Key::Identifier => out.write_str(&self.identifier),
            Key::Device => out.write_str(match self.language {
                Language::Lovense => "lovense",
                Language::Tcode => "tcode",
            }),
            Key::Pins => write!(out, "{}", self.outputs),
            Key::Led => match self.led {
                Some(led) => write!(out, "{led}"),
                None => out.write_str("none"),
            },
            Key::SilenceMs => write!(out, "{}", self.silence_ms),
            Key::Button => match self.button {
                Some(button) => write!(out, "{button}"),
                None => out.write_str("none"),
            },
            Key::Limits => write!(out, "{}", self.limits),
            Key::Battery => match self.battery {
                Some(pin) => write!(out, "{pin}"),
                None => out.write_str("none"),
            },
            Key::OtaPassword => out.write_str(&self.ota_password),
            Key::Fingerprint => match self.fingerprint {
                Some(fingerprint) => write!(out, "{fingerprint}"),
                None => out.write_str("none"),
            },
        }
    }

    /// The name of the network; empty where none is set.
    pub fn ssid(&self) -> &str {
        &self.ssid
    }

    /// Its password; empty for an open network.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Where the gateway is, with the token for it.
    pub fn gateway(&self) -> Gateway<'_> {
        // What is no URL cannot have been set.
        match wsdm_device::Gateway::parse(&self.gateway) {
            Ok(gateway) => Gateway::At(gateway.with_token(self.token())),
            Err(_) => Gateway::LookedUp,
        }
    }

    /// The gateway's token.
    pub fn token(&self) -> Option<&str> {
        Some(self.token.as_str()).filter(|token| !token.is_empty())
    }

    /// What the device is: as set, or as the gateway's examples call one that speaks this language.
    pub fn identifier(&self) -> &str {
        match (self.identifier.as_str(), self.language) {
            ("", Language::Lovense) => "LVSDevice",
            ("", Language::Tcode) => "TCodeDevice",
            (set, _) => set,
        }
    }

    /// What the device speaks.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// What moves, and on which pins.
    pub const fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The status LED, where there is one.
    pub const fn led(&self) -> Option<Led> {
        self.led
    }

    /// The stop button, where there is one.
    pub const fn button(&self) -> Option<Button> {
        self.button
    }

    /// How far the outputs may go.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The limits that limit nothing.
    pub fn idle_limits(&self) -> impl Iterator<Item = IdleLimit> {
        let has = |channel| self.outputs.iter().any(|output| output.channel == channel);
        let limited = self.limits.channels();
        limited.filter(move |channel| !has(*channel)).map(IdleLimit)
    }

    /// The pin that gets half of the battery's voltage, where there is one.
    pub const fn battery(&self) -> Option<u8> {
        self.battery
    }

    /// What an update over the network is asked for, if any is taken.
    pub fn ota_password(&self) -> Option<&str> {
        Some(self.ota_password.as_str()).filter(|password| !password.is_empty())
    }

    /// That of the gateway's certificate: if there is one, TLS is spoken and nothing else, wherever the gateway is.
    pub const fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Whether they go together; each was checked when it was set.
    ///
    /// # Errors
    /// A gateway is demanded to be encrypted, and could not be told from others.
    pub fn check(&self) -> Result<(), Invalid> {
        match self.gateway() {
            Gateway::At(gateway) if gateway.is_tls() && self.fingerprint.is_none() => {
                Err(Invalid::NoFingerprint)
            }
            _ => Ok(()),
        }
    }

    /// The watchdog's patience.
    pub const fn silence_ms(&self) -> u64 {
        self.silence_ms
    }
}

/// No pin may have two uses that matter; this one has, if there is one.
fn free(taken: Option<u8>) -> Result<(), Invalid> {
    taken.map_or(Ok(()), |pin| Err(Invalid::Pins(PinError::Taken(pin))))
}

/// A password of 8 to 63 bytes, or none.
fn password(value: &str) -> Option<String<63>> {
    matches!(value.len(), 0 | 8..)
        .then(|| String::try_from(value).ok())
        .flatten()
}

fn text<const N: usize>(value: &str) -> Result<String<N>, Invalid> {
    String::try_from(value).map_err(|_| Invalid::TooLong(N))
}

/// A URL that the device core reads, or the word for none.
fn gateway(value: &str) -> Result<String<VALUE_MAX_BYTES>, Invalid> {
    if value == LOOKED_UP {
        return text(value);
    }
    let mut url = String::new();
    let has_scheme = [SCHEME, SECURE_SCHEME]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let scheme = if has_scheme { "" } else { SCHEME };
    write!(url, "{scheme}{value}").map_err(|_| Invalid::TooLong(VALUE_MAX_BYTES))?;
    check_host(&url)?;
    wsdm_device::Gateway::parse(&url).map_err(Invalid::Gateway)?;
    Ok(url)
}

/// What the device core takes beyond what a board can use. A path stays: a proxy may want one.
fn check_host(url: &str) -> Result<(), Invalid> {
    if url.contains('?') {
        return Err(Invalid::Query);
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let without_zone = authority.split('%').next().unwrap_or(authority);
    if authority.starts_with('[') || without_zone.parse::<Ipv6Addr>().is_ok() {
        return Err(Invalid::Ipv6);
    }
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if authority.matches(':').count() > 1 || !host.bytes().all(is_name) {
        return Err(Invalid::Gateway(SettingsError::Host));
    }
    Ok(())
}

#[cfg(test)]
#[path = "settings/tests.rs"]
mod tests;
