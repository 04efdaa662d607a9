//! Why a board was not updated, and what state that leaves it in.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wsdm_device_board::ota::{Reason, Refusal};

use crate::advice::{Advice, EXIT_FAILED, EXIT_USAGE};
use crate::cmd::images::ImagesError;
use crate::cmd::line::quotable;
use crate::cmd::monitor::MonitorError;
use crate::cmd::staged::Failure;
use crate::text::printable;

const ON_TRIAL: &str = "wait until it has reached its gateway, or restart it, and it goes back to the one before; then \
                        run the same command again";
const GARBLED: &str = "is the board close enough to its Wi-Fi? Then run the same command again";
/// More than these would bury what the error says.
const LISTED: usize = 10;

/// What a run has done to the board so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The board was asked at most.
    Untouched,
    /// A part of the image was sent.
    Sending,
    /// All of it was, and the board has not said whether it takes it.
    Sent,
    /// The board has said that it starts with the image.
    OnTrial,
    /// The board runs another image again.
    Back,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untouched => "nothing is changed on a board",
            Self::Sending => "nothing is changed: the board goes on with the image that it runs",
            Self::Sent => {
                "the board has all of the image, and has not said whether it takes it: if it does, it restarts with it, \
                 on trial"
            }
            Self::OnTrial => {
                "the image is on trial: at its next restart the board goes back to the one before, unless it has held a \
                 connection to its gateway for 5 s by then"
            }
            Self::Back => "the new image does not run",
        })
    }
}

/// A run that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {stage}")]
pub struct Failed {
    /// Why.
    #[source]
    pub error: OtaError,
    /// How far it had come.
    pub stage: Stage,
}

impl Advice for Failed {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let look =
            "run the same command again: it sends nothing to a board that has the image, and waits for it";
        match (self.error.hint(), self.stage) {
            (None, Stage::Sent | Stage::OnTrial) => Some(look.into()),
            (hint, _) => hint,
        }
    }

    fn exit_code(&self) -> u8 {
        self.error.exit_code()
    }
}

/// Why a board was not updated.
#[derive(Debug, thiserror::Error)]
pub enum OtaError {
    /// There are no images that can be sent.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// Neither a gateway nor the network knows such a board.
    #[error(
        "no board {name}: no gateway here has it, and no host has this name; {}",
        connected(there)
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The boards that are connected to gateways here.
        there: Vec<String>,
    },
    /// The gateway that was named does not answer.
    #[error(transparent)]
    Gateway(#[from] MonitorError),
    /// Several boards have this name.
    #[error("several boards are {name}: {}", some(which))]
    Several {
        /// What was asked for.
        name: String,
        /// The boards.
        which: Vec<String>,
    },
    /// A gateway knows the board, but does not have it.
    #[error("the board {name} is not connected to its gateway")]
    NotConnected {
        /// Which.
        name: String,
        /// Where it was last.
        at: Option<IpAddr>,
    },
    /// The board is on a cable, on Bluetooth, or at another gateway.
    #[error("the gateway has the board {name} by {peer}, and not on its network")]
    NoNetwork {
        /// What was asked for.
        name: String,
        /// The way in.
        way: String,
        /// Where the board is.
        peer: String,
    },
    /// No host has this name.
    #[error("the host {name} is not found: {source}")]
    NoHost {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// No password was given, and nobody can be asked.
    #[error("no password for updates is given")]
    NoPassword,
    /// The connection is refused.
    #[error("nothing takes updates at {0}")]
    NotListening(SocketAddr),
    /// No connection can be made.
    #[error("{at} does not answer: {source}")]
    NoAnswer {
        /// Where.
        at: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// What listens says nothing.
    #[error("what listens at {0} is silent")]
    Silent(SocketAddr),
    /// Something else listens there.
    #[error("what listens at {at} is no board that takes updates: it sent {sent:?}")]
    NoBoard {
        /// Where.
        at: SocketAddr,
        /// The beginning of what it sent.
        sent: String,
    },
    /// The firmware is newer than this program.
    #[error("the board at {at} takes updates of version {version}, and this program sends version 1")]
    OtherVersion {
        /// Where.
        at: SocketAddr,
        /// The version of its greeting.
        version: String,
    },
    /// An image is on trial, and the one before it has to stay.
    #[error("the board runs an image that is still on trial, {0}")]
    OnTrial(String),
    /// The board does not take it.
    #[error("the board refuses the image: {words}")]
    Refused {
        /// Why.
        reason: Reason,
        /// The same in the board's words.
        words: String,
    },
    /// The connection was lost before the board had the image.
    #[error("the connection to the board was lost: {0}")]
    Lost(#[source] io::Error),
    /// The board said something else than the firmware does.
    #[error("the board answered {0:?}")]
    Nonsense(String),
    /// It is not known whether the board took the image.
    #[error("the board did not answer after the image")]
    Unanswered,
    /// It is known now: it did not.
    #[error("the board did not take the image: {board} runs {version}")]
    NotTaken {
        /// Which.
        board: String,
        /// The version that it runs.
        version: String,
    },
    /// The board runs another image than the one that it was sent.
    #[error("the board went back to the image before it: {board} runs {version}")]
    WentBack {
        /// Which.
        board: String,
        /// The version that it runs.
        version: String,
    },
    /// The board runs the image, and has not reached its gateway.
    #[error("{board} has not reached its gateway within {} s{}", within.as_secs(), because(refusal))]
    StillOnTrial {
        /// Which.
        board: String,
        /// How long it was waited for.
        within: Duration,
        /// Why its gateway refuses it, and what to do about that.
        refusal: Option<(String, Option<String>)>,
    },
    /// The board did not come back.
    #[error("{board} has not come back within {} s{}", within.as_secs(), last(problem))]
    NotBack {
        /// Which.
        board: String,
        /// How long it was waited for.
        within: Duration,
        /// What failed last.
        problem: Option<Box<OtaError>>,
    },
    /// The password could not be read from the terminal.
    #[error("cannot read from the terminal: {0}")]
    Terminal(#[source] io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl OtaError {
    /// This line is none that a board sends now.
    pub(super) fn nonsense(line: &str) -> Self {
        Self::Nonsense(quotable(line.as_bytes()))
    }
}

impl From<Refusal> for OtaError {
    fn from(Refusal { reason, words }: Refusal) -> Self {
        Self::Refused {
            reason,
            words: printable(words.as_bytes()),
        }
    }
}

impl From<OtaError> for Failure<OtaError> {
    fn from(error: OtaError) -> Self {
        Self::Board(error)
    }
}

impl Advice for OtaError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Images(error) => return error.hint(),
            Self::Gateway(error) => return error.hint(),
            Self::Unknown { .. } => {
                "name it by its network address, or as wsdm-gateway devices lists it on the machine of its gateway".into()
            }
            Self::Several { .. } => "name one by its address, which no other board has".into(),
            Self::NotConnected { at: Some(at), .. } => {
                format!("if it is switched on, name it by its network address, last {at}").into()
            }
            Self::NotConnected { at: None, .. } => "switch it on".into(),
            Self::NoNetwork { way, .. } if way == "mqtt" => {
                "run this on the machine of that gateway, or name the board by its network address".into()
            }
            Self::NoNetwork { .. } => {
                "name it by its network address, if it is on Wi-Fi too; over USB, use wsdm-gateway flash".into()
            }
            Self::NoHost { .. } => "name the board by its network address".into(),
            Self::NoPassword => {
                "give it with --password-file FILE, or in the variable WSDM_OTA_PASSWORD; on a terminal it is asked for"
                    .into()
            }
            Self::NotListening(_) => {
                "a board takes updates once it has a password for them: on its console set ota_password WORDS, save, \
                 restart; or over USB wsdm-gateway flash --ota-password-file FILE, which older firmware needs anyway. \
                 It takes one at a time: if another one is under way, wait for its end"
                    .into()
            }
            Self::NoAnswer { .. } => "is the board switched on, and on this network?".into(),
            Self::Silent(_) => {
                "a board serves one update at a time: is another one under way? If not, restart the board".into()
            }
            Self::NoBoard { .. } => {
                "is this the address of the board? It takes updates once ota_password is set on its console, saved, and \
                 the board restarted"
                    .into()
            }
            Self::OtherVersion { .. } => "the board is made for another version of wsdm-gateway: update that first".into(),
            Self::OnTrial(_) => ON_TRIAL.into(),
            Self::Refused { reason, .. } => refusal(*reason).into(),
            Self::Lost(_) | Self::NotTaken { .. } => GARBLED.into(),
            Self::Nonsense(_) => "the board may run firmware of another version: write this one over USB, with wsdm-gateway flash".into(),
            Self::WentBack { .. } => {
                "the new image did not start, or was restarted before it had reached its gateway: does that run? Run the \
                 same command again, with the board's console in a serial terminal"
                    .into()
            }
            Self::StillOnTrial { refusal: Some((_, hint)), .. } => return hint.as_deref().map(Cow::Borrowed),
            Self::StillOnTrial { .. } => {
                "does its gateway run, and listen on the network (--device-listen 0.0.0.0:54817)? The board's LED and its \
                 console tell what it waits for"
                    .into()
            }
            Self::NotBack { .. } => {
                "look at the board's LED and its console; a board that is restarted now goes back to the image before".into()
            }
            Self::Unanswered | Self::Terminal(_) | Self::Interrupted => return None,
        })
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Gateway(error) => error.exit_code(),
            Self::Images(_) | Self::Unknown { .. } | Self::Several { .. } | Self::NoPassword => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }
}

/// What to do about a refusal.
fn refusal(reason: Reason) -> &'static str {
    match reason {
        Reason::Password => "give the one that was set as ota_password on the board's console",
        Reason::OnTrial => ON_TRIAL,
        Reason::Unsaved => {
            "on the board's console save, restart; or over USB wsdm-gateway flash with the settings; then run the same \
             command again"
        }
        Reason::Room => {
            "write the firmware over USB, with wsdm-gateway flash: it brings the partition table along"
        }
        Reason::Slow | Reason::Damaged => GARBLED,
        Reason::Flash => {
            "run the same command again; if that does not help, the flash of the board is worn out"
        }
        Reason::Foreign | Reason::Chip => {
            "make the images anew, of the version of this program: firmware/build all"
        }
        Reason::Request | Reason::Unknown => {
            "the board is made for another version of wsdm-gateway: update that first"
        }
    }
}

fn some(names: &[String]) -> String {
    let text = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn connected(there: &[String]) -> String {
    if there.is_empty() {
        "no board is connected to one".to_owned()
    } else {
        format!("connected: {}", some(there))
    }
}

fn because(refusal: &Option<(String, Option<String>)>) -> String {
    let because = |(reason, _): &(String, _)| format!(": the gateway refuses it: {reason}");
    refusal.as_ref().map(because).unwrap_or_default()
}

fn last(problem: &Option<Box<OtaError>>) -> String {
    let last = |problem: &OtaError| format!(": {problem}");
    problem.as_deref().map(last).unwrap_or_default()
}
