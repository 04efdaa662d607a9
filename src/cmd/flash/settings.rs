//! The settings that a board is given: where their values come from, and what the board would say to them. The code
//! that checks them is the board's own.

use std::path::{Path, PathBuf};

use clap::Args;
use wsdm_device_board::{Chip, ESP32C3, ESP32C6, Key, Settings};

use super::console::Shown;
use super::error::FlashError;
use crate::cmd::error::Error;
use crate::cmd::secret::{OTA_PASSWORD_VARIABLE, STDIN, secret};

/// What has no pin.
const NONE: &str = "none";
/// The settings that share the pins of the chip, and those of them that can do without.
pub(super) const PINS: [Key; 3] = [Key::Pins, Key::Button, Key::Battery];
const INPUTS: [Key; 2] = [Key::Button, Key::Battery];

/// The variables that hold secrets. The firmware's own build reads the same ones.
const PASSWORD_VARIABLE: &str = "WSDM_PASSWORD";
const TOKEN_VARIABLE: &str = "WSDM_TOKEN";

/// The settings of the board. What is not given here is asked for, or else stays.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings of the board")]
pub struct SettingsArgs {
    /// Name of the Wi-Fi network, 2.4 GHz
    #[arg(long, value_name = "NAME", env = "WSDM_SSID")]
    pub ssid: Option<String>,
    /// File with the Wi-Fi password on its first line, - for stdin; an empty one is for an open
    /// network. On a command line it could be read by everyone on this machine [env: WSDM_PASSWORD
    /// holds the password itself]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Where the gateway is: mdns, HOST, HOST:PORT or ws://HOST:PORT/, or wss:// with a fingerprint
    #[arg(long, value_name = "ADDRESS", env = "WSDM_GATEWAY")]
    pub gateway: Option<String>,
    /// File with the gateway's device token on its first line, - for stdin [env: WSDM_TOKEN holds
    /// the token itself]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Fingerprint of the gateway's certificate, 64 digits from its log: the board then speaks TLS
    /// and nothing else; none switches that off
    #[arg(long, value_name = "HEX", env = "WSDM_FINGERPRINT")]
    pub fingerprint: Option<String>,
    /// Protocol that the board speaks: lovense or tcode
    #[arg(long, value_name = "PROTOCOL", env = "WSDM_DEVICE")]
    pub device: Option<String>,
    /// Websocket name in the gateway's UDCF
    #[arg(long, value_name = "NAME", env = "WSDM_IDENTIFIER")]
    pub identifier: Option<String>,
    /// Pin of each output, such as 'V0=4 L0=6'
    #[arg(long, value_name = "PINS", env = "WSDM_PINS")]
    pub pins: Option<String>,
    /// Pin of the status LED: 8, '8 inverted' or none
    #[arg(long, value_name = "PIN", env = "WSDM_LED")]
    pub led: Option<String>,
    /// Pin of the stop button: 9, '9 opens' if pressing it opens its contact, or none
    #[arg(long, value_name = "PIN", env = "WSDM_BUTTON")]
    pub button: Option<String>,
    /// How far outputs may go, in percent, whatever an app asks for: such as 'V0=60 L0=10-90', or
    /// none
    #[arg(long, value_name = "LIMITS", env = "WSDM_LIMITS")]
    pub limits: Option<String>,
    /// Pin that gets half of a lithium cell's voltage, or none
    #[arg(long, value_name = "PIN", env = "WSDM_BATTERY")]
    pub battery: Option<String>,
    /// File with the password for updates over Wi-Fi on its first line, - for stdin; with an empty one the board takes
    /// none [env: WSDM_OTA_PASSWORD holds the password itself]
    #[arg(long, value_name = "FILE")]
    pub ota_password_file: Option<PathBuf>,
}

/// Settings to be changed.
#[derive(Clone, Default)]
pub(super) struct Given(Vec<(Key, String)>);

impl Given {
    /// What the command line and the environment give.
    pub(super) fn read(args: &SettingsArgs) -> Result<Self, Error> {
        let is_stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new(STDIN));
        let secrets = [&args.password_file, &args.token_file, &args.ota_password_file];
        if secrets.into_iter().filter(|file| is_stdin(file)).count() > 1 {
            return Err(Error::usage(
                "only one of --password-file, --token-file and --ota-password-file can be stdin",
                "give the others a file, or use the variables",
            ));
        }
        let password = secret(
            "--password-file",
            args.password_file.as_deref(),
            PASSWORD_VARIABLE,
        )?;
        let token = secret("--token-file", args.token_file.as_deref(), TOKEN_VARIABLE)?;
        let ota_password = secret(
            "--ota-password-file",
            args.ota_password_file.as_deref(),
            OTA_PASSWORD_VARIABLE,
        )?;
        let mut given = Self::default();
        for (key, flag, value) in [
            (Key::Ssid, "--ssid", &args.ssid),
            (Key::Password, "--password-file", &password),
            (Key::Gateway, "--gateway", &args.gateway),
            (Key::Token, "--token-file", &token),
            (Key::Fingerprint, "--fingerprint", &args.fingerprint),
            (Key::Device, "--device", &args.device),
            (Key::Identifier, "--identifier", &args.identifier),
            (Key::Pins, "--pins", &args.pins),
            (Key::Led, "--led", &args.led),
            (Key::Button, "--button", &args.button),
            (Key::Limits, "--limits", &args.limits),
            (Key::Battery, "--battery", &args.battery),
            (Key::OtaPassword, "--ota-password-file", &ota_password),
        ] {
            // An empty variable counts as unset; an empty file clears a secret.
            let Some(value) = value
                .as_ref()
                .filter(|value| key.is_secret() || !value.is_empty())
            else {
                continue;
            };
            // What one chip cannot do another may: that is checked when it is known.
            let problems = [&ESP32C3, &ESP32C6].map(|chip| problem(key, value, chip));
            if let [Some(problem), Some(_)] = problems {
                return Err(Error::usage(format!("{flag}: {problem}"), "give another value"));
            }
            given.set(key, value.clone());
        }
        Ok(given)
    }

    /// Whether this chip can have all of them at once.
    pub(super) fn check(&self, chip: &Chip) -> Result<(), FlashError> {
        self.try_on(Settings::default(), chip)
    }

    /// Whether a board with this chip that shows these settings can have all of them.
    pub(super) fn check_beside(&self, shown: &Shown, chip: &Chip) -> Result<(), FlashError> {
        let mut settings = Settings::default();
        for key in Key::ALL {
            // Of a secret nothing is shown, and nothing depends on it.
            if self.get(key).is_none() && !key.is_secret() {
                let _ = settings.set(key, shown.value(key), chip);
            }
        }
        self.try_on(settings, chip)
    }

    fn try_on(&self, mut settings: Settings, chip: &Chip) -> Result<(), FlashError> {
        for (key, value) in self.steps() {
            if let Err(refused) = settings.set(key, value, chip) {
                let (key, problem) = (key.name(), refused.to_string());
                return Err(FlashError::Refused { key, problem });
            }
        }
        Ok(())
    }

    /// What a board is told, in this order. A pin has one use, so button and battery let go of theirs first: they may be
    /// about to change places with each other, or with an output.
    pub(super) fn steps(&self) -> impl Iterator<Item = (Key, &str)> {
        let is_given = |key: &Key| self.get(*key).is_some();
        let are_several = PINS.iter().filter(|key| is_given(key)).count() > 1;
        let freed = INPUTS.into_iter().filter(move |key| are_several && is_given(key));
        let others = self.iter().filter(|(key, _)| !INPUTS.contains(key));
        let inputs = INPUTS.into_iter().filter_map(|key| Some((key, self.get(key)?)));
        freed.map(|key| (key, NONE)).chain(others).chain(inputs)
    }

    /// Leaves a setting as the board has it.
    pub(super) fn forget(&mut self, key: Key) {
        self.0.retain(|(other, _)| *other != key);
    }

    /// Adds a setting, or changes it.
    pub(super) fn set(&mut self, key: Key, value: String) {
        self.forget(key);
        self.0.push((key, value));
    }

    /// The value that a setting is to have; `None` if it stays.
    pub(super) fn get(&self, key: Key) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| *other == key);
        found.map(|(_, value)| value.as_str())
    }

    /// All of them, in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, for people.
    pub(super) fn names(&self) -> String {
        let names = self.0.iter().map(|(key, _)| key.name());
        names.collect::<Vec<_>>().join(", ")
    }
}

/// What a board with this chip would say to a value; `None` if it takes it.
pub(super) fn problem(key: Key, value: &str, chip: &Chip) -> Option<String> {
    let refused = Settings::default().set(key, value, chip).err();
    refused.map(|refused| refused.to_string())
}

/// What a board with this chip shows of a setting that has this value; `None` if it refuses it. Of a secret it shows only
/// that there is one.
pub(super) fn shown(key: Key, value: &str, chip: &Chip) -> Option<String> {
    if key.is_secret() {
        return Some(if value.is_empty() { "" } else { "********" }.to_owned());
    }
    let mut settings = Settings::default();
    settings.set(key, value, chip).ok()?;
    let mut text = String::new();
    settings.write(key, &mut text).ok()?;
    Some(text)
}
