//! Why a board was not flashed, and what state that leaves it in.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::advice::{Advice, EXIT_FAILED, EXIT_USAGE};
use crate::cmd::images::ImagesError;
use crate::cmd::staged::Failure;

/// What a run has done to the board so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was written.
    Untouched,
    /// A part of the image may be written.
    Writing,
    /// The image is written and verified.
    Written,
    /// The settings are saved.
    Saved,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untouched => "nothing was written to a board",
            Self::Writing => "the image on the board is incomplete, and the board does not start with it",
            Self::Written => "the image is on the board and verified, its settings are as they were",
            Self::Saved => "the image and the settings are on the board",
        })
    }
}

/// A run that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {stage}")]
pub struct Failed {
    /// Why.
    #[source]
    pub error: FlashError,
    /// How far it had come.
    pub stage: Stage,
}

impl Advice for Failed {
    fn hint(&self) -> Option<Cow<'_, str>> {
        const AGAIN: &str = "run the same command again: that is safe, since the chip's own boot loader cannot be \
                             overwritten, and what is on the board already is not written twice";
        let hint = self.error.hint();
        match self.stage {
            Stage::Untouched => hint,
            Stage::Writing | Stage::Written => Some(match hint {
                Some(hint) => format!("{hint}; then {AGAIN}").into(),
                None => AGAIN.into(),
            }),
            Stage::Saved => hint,
        }
    }

    fn exit_code(&self) -> u8 {
        self.error.exit_code()
    }
}

/// Why a board was not flashed.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// No port looks like that of a board.
    #[error("no board is on USB; {0}")]
    NoPort(String),
    /// Several ports do, and nobody can be asked.
    #[error("several ports may be the board's: {}", .0.join(", "))]
    SeveralPorts(Vec<String>),
    /// The port cannot be opened.
    #[error("{} cannot be opened: {problem}", path.display())]
    Port {
        /// Which port.
        path: PathBuf,
        /// What is in the way.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// There are no images that can be written.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// No boot loader answers.
    #[error("no chip answers on {}", .0.display())]
    NoAnswer(PathBuf),
    /// A chip that these images are not for.
    #[error("the chip is an {0}, and there is no image for it")]
    WrongChip(OtherChip),
    /// The chip takes no image of ours.
    #[error("the chip is locked: {0}")]
    Locked(&'static str),
    /// The flash ends before the image does.
    #[error("the board's flash has {has} bytes, and the image needs {needs}")]
    SmallFlash {
        /// Its size.
        has: u32,
        /// Where the last partition ends.
        needs: u32,
    },
    /// The chip or the cable failed.
    #[error("{doing} failed: {problem}")]
    Chip {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        problem: String,
    },
    /// What was written is not what the chip has.
    #[error("the flash does not hold what was written to it")]
    Differs,
    /// The library that speaks with the chip gave up in disorder.
    #[error("the chip gave an answer that makes no sense")]
    Nonsense,
    /// The firmware does not answer.
    #[error("the firmware does not answer on its console")]
    NoConsole,
    /// The console failed.
    #[error("the console of the board was lost: {0}")]
    ConsoleLost(#[source] std::io::Error),
    /// Another firmware, or one of another version, answers.
    #[error("the console answered {0:?}")]
    Unexpected(String),
    /// The board refuses a setting.
    #[error("the board refuses {key}: {problem}")]
    Refused {
        /// Which.
        key: &'static str,
        /// In its words.
        problem: String,
    },
    /// A setting was not taken as it was sent, again and again.
    #[error("the board did not take {0} as it was sent")]
    Garbled(&'static str),
    /// The settings were not kept.
    #[error("the board did not save its settings: {0}")]
    NotSaved(String),
    /// The board knows no network.
    #[error("the board has no Wi-Fi name")]
    NoSsid,
    /// The board did not appear.
    #[error("the board {address} did not appear at a gateway within {} s: {problem}", within.as_secs())]
    NotThere {
        /// Its address.
        address: String,
        /// How long it was waited for.
        within: std::time::Duration,
        /// What it reported last.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The gateway refuses the board.
    #[error("the gateway refuses the board {address}: {reason}")]
    GatewayRefuses {
        /// Its address.
        address: String,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The answers could not be read from the terminal.
    #[error("cannot read from the terminal: {0}")]
    Terminal(#[source] std::io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl From<FlashError> for Failure<FlashError> {
    fn from(error: FlashError) -> Self {
        Self::Board(error)
    }
}

impl Advice for FlashError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::NoPort(_) => {
                "connect an ESP32-C3 or ESP32-C6 by a data cable; wsdm-gateway ports lists all ports, and one \
                                that is not found is given as PORT"
                    .into()
            }
            Self::SeveralPorts(_) => "name one of them: wsdm-gateway flash PORT".into(),
            Self::Port { hint, .. } | Self::NotThere { hint, .. } | Self::GatewayRefuses { hint, .. } => {
                return hint.as_deref().map(Cow::Borrowed);
            }
            Self::Images(error) => return error.hint(),
            Self::NoAnswer(_) => {
                "hold the BOOT button of the board, press RESET, let both go, and run this again with --manual-reset"
                    .into()
            }
            Self::WrongChip(chip) => chip.advice().into(),
            Self::Locked(_) => "use another board".into(),
            Self::SmallFlash { .. } => "use a board with a flash of 4 MB or more".into(),
            Self::Chip { .. } | Self::Nonsense => "look at the cable; a lower --baud-rate may help".into(),
            Self::Differs => "use a lower --baud-rate; if that does not help, the flash is worn out".into(),
            Self::NoConsole => "press the RESET button of the board".into(),
            Self::ConsoleLost(_) => "look at the cable".into(),
            Self::Garbled(_) => "look at the cable".into(),
            Self::Unexpected(_) => "make the images anew, of the version of this program: firmware/build all".into(),
            Self::Refused { .. } => "give another value".into(),
            Self::NoSsid => "give it with --ssid, and the password with --password-file".into(),
            Self::NotSaved(_) | Self::Terminal(_) | Self::Interrupted => return None,
        })
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::SeveralPorts(_) | Self::Images(_) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }
}

/// A chip that is recognised, and for which there is no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherChip {
    /// The library for the Arduino IDE supports it. This is its name.
    Arduino(&'static str),
    /// Nothing of this project supports it. This is its name.
    Unsupported(String),
}

impl fmt::Display for OtherChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arduino(name) => f.write_str(name),
            Self::Unsupported(name) => f.write_str(name),
        }
    }
}

impl OtherChip {
    fn advice(&self) -> String {
        let (core, page) = match self {
            Self::Arduino("ESP8266") => ("esp8266 by ESP8266 Community", "esp8266.md"),
            Self::Arduino(_) => ("esp32 by Espressif Systems", "esp32.md"),
            Self::Unsupported(_) => {
                return "use an ESP32-C3 or ESP32-C6, or with the Arduino IDE an ESP32, S2, S3 or ESP8266"
                    .to_owned();
            }
        };
        format!(
            "program it with the Arduino IDE: install the boards {core:?}, add the library firmware/arduino/WsdmDevice, \
             upload its example WifiLovenseVibrator and give the board its Wi-Fi in the Serial Monitor; \
             firmware/docs/boards/{page} has the steps"
        )
    }
}
