//! `monitor`

#[cfg(unix)]
mod port;
#[cfg(unix)]
mod show;
#[cfg(unix)]
mod watch;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::advice::Advice;
use crate::cmd::error::Error;
use crate::defaults::FRAME_MAX_BYTES;
use crate::link::serial::ports::Ports;
use crate::text::{printable, shell_word, unescape};
use crate::web::api::frames::SessionInfo;

/// What `monitor` takes.
#[derive(Clone, Debug, Args)]
pub struct MonitorArgs {
    /// Watch this serial port, set up as its `[[serial]]` entry says; no gateway may have it open.
    #[arg(
        value_name = "PORT",
        required_unless_present = "device",
        conflicts_with = "device"
    )]
    pub port: Option<PathBuf>,
    /// Watch the device with this address on a gateway that runs on this machine.
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    pub device: Option<String>,
    /// Speed of the port [default: 115200]
    #[arg(long, value_name = "BAUD", requires = "port")]
    pub baud_rate: Option<u32>,
    /// Read the `[[serial]]` entries of this gateway.toml [default: that of `run`]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Send this to the device as one frame, then go on watching; \n, \r, \t, \xNN and \\ are understood. May be
    /// given several times; - sends each line of stdin. The device is stopped when monitor ends
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub send: Vec<String>,
    /// Show the bytes of every frame, not only of frames that are not text.
    #[arg(long)]
    pub hex: bool,
    /// End when the device disconnects, instead of waiting for it to come back.
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object for each event.
    #[arg(long)]
    pub json: bool,
    /// Control socket of the gateway, if several run [default: that of the only one]
    #[arg(long, value_name = "PATH", env = "WSDM_GATEWAY_CONTROL")]
    pub control: Option<OsString>,
}

/// Why there is nothing to watch.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// No gateway answers in any of these directories.
    #[error("no gateway runs here: no control socket answers in {}", paths(.0))]
    NoGateway(Vec<PathBuf>),
    /// No gateway answers where it was said to be.
    #[error("no gateway answers on {}: {reason}", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What the system, or whoever listens there, said.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Several gateways run, and it is not plain which one is meant.
    #[error("several gateways run: {}", paths(.0))]
    Several(Vec<PathBuf>),
    /// The gateway has no such device.
    #[error("no device with the address {} is connected; {}", printable(address.as_bytes()), devices(there))]
    NoDevice {
        /// The one asked for.
        address: String,
        /// Those that are there, the most alike first.
        there: Vec<SessionInfo>,
        /// What stands before an address on the command line.
        before: &'static str,
    },
    /// These devices did not take their stop in time.
    #[error("not stopped in time: {}", .0.join(", "))]
    NotStopped(Vec<String>),
    /// The gateway ended.
    #[error("the gateway has stopped")]
    GatewayGone,
    /// The serial port cannot be opened.
    #[error("{} cannot be opened: {source}", path.display())]
    Port {
        /// The port.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are no Unix sockets.
    #[error("this needs Unix sockets, which this system does not have")]
    NotHere,
}

impl Advice for MonitorError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::NotStopped(_) => "switch them off, or pull their plug".to_owned(),
            Self::NoGateway(_) => "is wsdm-gateway run running, on this machine and as this user?".to_owned(),
            Self::NoAnswer { hint, .. } => return hint.as_deref().map(Cow::Borrowed),
            Self::Several(_) => {
                "choose one with --control PATH; a socket is named for the port that devices \
                                 connect to"
                    .to_owned()
            }
            Self::NoDevice { there, before, .. } => match there.first() {
                Some(nearest) => format!("{before} {}", shell_word(&nearest.address)),
                None => "connect it first; the gateway's log says why it refuses a device".to_owned(),
            },
            Self::Port { path, source } => Ports::system().open_hint(path, source),
            Self::GatewayGone => "start it again: wsdm-gateway run".to_owned(),
            Self::NotHere => return None,
        };
        Some(hint.into())
    }
}

#[cfg(unix)]
impl MonitorError {
    /// No gateway has a device of this address. `before` is what stands before an address on the command line.
    pub(super) fn no_device(address: String, mut there: Vec<SessionInfo>, before: &'static str) -> Self {
        let wanted = address.to_lowercase();
        let likeness = |s: &SessionInfo| strsim::jaro_winkler(&s.address.to_lowercase(), &wanted);
        there.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
        Self::NoDevice {
            address,
            there,
            before,
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// More than these would bury what the error says.
const LISTED: usize = 10;

fn devices(there: &[SessionInfo]) -> String {
    if there.is_empty() {
        return "none is".to_owned();
    }
    let name = |s: &SessionInfo| {
        format!(
            "{} ({})",
            printable(s.address.as_bytes()),
            printable(s.identifier.as_bytes())
        )
    };
    let mut text = there.iter().take(LISTED).map(name).collect::<Vec<_>>().join(", ");
    if there.len() > LISTED {
        text += &format!(" and {} more", there.len() - LISTED);
    }
    format!("connected: {text}")
}

/// What is sent before anything else, and whether lines of stdin follow.
#[cfg_attr(not(unix), allow(dead_code, reason = "there is nobody to send it to"))]
struct Sends {
    frames: Vec<Bytes>,
    stdin: bool,
}

impl Sends {
    fn parse(texts: &[String]) -> Result<Self, Error> {
        let mut sends = Self {
            frames: Vec::new(),
            stdin: false,
        };
        for text in texts {
            if text == "-" {
                sends.stdin = true;
            } else {
                sends.frames.push(frame(text).map_err(|e| {
                    let hint = r"for example --send 'DSTOP\n'; a backslash itself is \\";
                    Error::usage(format!("--send: {e}"), hint)
                })?);
            }
        }
        Ok(sends)
    }
}

/// One frame as people type it.
fn frame(text: &str) -> Result<Bytes, String> {
    let bytes = unescape(text).map_err(|e| e.to_string())?;
    match bytes.len() {
        0 => Err("a frame is not empty".to_owned()),
        1..=FRAME_MAX_BYTES => Ok(bytes.into()),
        more => Err(format!(
            "{more} bytes are more than a frame holds, {FRAME_MAX_BYTES}"
        )),
    }
}

/// Watches until Ctrl-C, the gateway's end, or the device's with `--once`.
pub(super) async fn monitor(args: MonitorArgs) -> Result<(), Error> {
    let sends = Sends::parse(&args.send)?;
    #[cfg(unix)]
    return match (args.device.clone(), args.port.clone()) {
        (Some(device), _) => watch::until_interrupted(device, args, sends).await,
        (None, Some(port)) => port::watch(port, args, sends).await,
        // The command line asks for one of them.
        (None, None) => Ok(()),
    };
    #[cfg(not(unix))]
    {
        drop(sends);
        Err(MonitorError::NotHere.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_stranger_is_quoted_in_the_hint() {
        let hint = |address: &str| {
            let there = SessionInfo {
                address: address.to_owned(),
                identifier: "LVSDevice".to_owned(),
                connection: 1,
                peer: "ws 10.0.0.7:51022".to_owned(),
                to_device: 0,
                from_device: 0,
                dropped: 0,
            };
            MonitorError::NoDevice {
                address: "a".to_owned(),
                there: vec![there],
                before: "--device",
            }
            .hint()
            .map(Cow::into_owned)
        };
        for (address, word) in [
            ("8A3D9FAC2A45", "8A3D9FAC2A45"),
            ("it's; reboot", r"'it'\''s; reboot'"),
            ("x\u{1b}", "NAME"),
        ] {
            assert_eq!(hint(address), Some(format!("--device {word}")));
        }
    }
}
