//! The settings that a board is given: where their values come from, and what the board would say to them. The code
//! that checks them is the board's own.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use wsdm_device_board::{Chip, ESP32C3, ESP32C6, Key, Settings};

use super::error::FlashError;
use crate::cmd::error::Error;

/// No secret of a board is longer.
const SECRET_MAX_BYTES: u64 = 1_024;
/// For a secret: it is read from stdin.
const STDIN: &str = "-";

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
}

/// Settings to be changed.
#[derive(Clone, Default)]
pub(super) struct Given(Vec<(Key, String)>);

impl Given {
    /// What the command line and the environment give.
    pub(super) fn read(args: &SettingsArgs) -> Result<Self, Error> {
        let is_stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new(STDIN));
        if is_stdin(&args.password_file) && is_stdin(&args.token_file) {
            let hint = "give one of them a file, or use the variable";
            return Err(Error::usage(
                "--password-file and --token-file cannot both be stdin",
                hint,
            ));
        }
        let password = secret(
            "--password-file",
            args.password_file.as_deref(),
            PASSWORD_VARIABLE,
        )?;
        let token = secret("--token-file", args.token_file.as_deref(), TOKEN_VARIABLE)?;
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

    /// Whether this chip can have all of them.
    pub(super) fn check(&self, chip: &Chip) -> Result<(), FlashError> {
        for (key, value) in self.iter() {
            if let Some(problem) = problem(key, value, chip) {
                let key = key.name();
                return Err(FlashError::Refused { key, problem });
            }
        }
        Ok(())
    }

    /// Adds a setting, or changes it.
    pub(super) fn set(&mut self, key: Key, value: String) {
        self.0.retain(|(other, _)| *other != key);
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

/// The first line of this file, or the value of the variable.
fn secret(flag: &str, file: Option<&Path>, variable: &str) -> Result<Option<String>, Error> {
    let Some(file) = file else {
        // An empty variable counts as unset.
        return Ok(std::env::var(variable).ok().filter(|value| !value.is_empty()));
    };
    let is_stdin = file.to_str() == Some(STDIN);
    if is_stdin && std::io::stdin().is_terminal() {
        let message = format!("{flag}: stdin is the terminal, which would show what is typed");
        return Err(Error::usage(
            message,
            "leave it out, and it is asked for without being shown",
        ));
    }
    let mut text = String::new();
    let read = match is_stdin {
        true => std::io::stdin().take(SECRET_MAX_BYTES).read_to_string(&mut text),
        false => fs::File::open(file).and_then(|file| file.take(SECRET_MAX_BYTES).read_to_string(&mut text)),
    };
    if let Err(e) = read {
        let message = format!("{flag}: {} cannot be read: {e}", file.display());
        return Err(Error::usage(message, "the file has the secret on its first line"));
    }
    let line = text.split('\n').next().unwrap_or_default();
    Ok(Some(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}
