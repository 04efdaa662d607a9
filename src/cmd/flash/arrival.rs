//! The wait until the board appears at a gateway: what the gateways on this machine list, and what the board reports.

use std::ffi::OsString;
use std::fmt;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;
#[cfg(unix)]
use std::time::SystemTime;

use serde::Serialize;
use tokio::time::{Instant, interval, sleep_until};

use super::console::BoardConsole;
use super::error::FlashError;
use super::port::BoardPort;
#[cfg(unix)]
use crate::cmd::running;
use crate::text::{cut, printable};
#[cfg(unix)]
use crate::web::view::{Device, State, seconds};

/// How often the gateways are asked.
const POLL: Duration = Duration::from_millis(300);
/// How long a board that says it is connected may be missing here, before it is connected to somewhere else.
const LISTED_WITHIN: Duration = Duration::from_secs(3);
/// The longest that is shown of what a board reports.
const REPORT_CHARS: usize = 160;

/// A board that arrived.
#[derive(Debug, Serialize)]
pub(super) struct Arrived {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    /// Where it is now.
    at: At,
    /// Its name in the Buttplug server of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum At {
    #[cfg(unix)]
    Listed,
    #[cfg(unix)]
    Relayed,
    /// A gateway that cannot be asked from here.
    Elsewhere,
}

impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(identifier) = &self.identifier {
            write!(f, "{} ", printable(identifier.as_bytes()))?;
        }
        f.write_str(&printable(self.address.as_bytes()))?;
        match (self.at, &self.name) {
            #[cfg(unix)]
            (At::Listed, Some(name)) => write!(f, ", listed as {}", printable(name.as_bytes())),
            #[cfg(unix)]
            (At::Listed, None) => f.write_str(", listed"),
            #[cfg(unix)]
            (At::Relayed, _) => f.write_str(", relayed by the gateway"),
            (At::Elsewhere, _) => f.write_str(", connected to a gateway that is not one of this machine"),
        }
    }
}

/// Waits for one board.
pub(super) struct Arrival {
    address: String,
    #[cfg(unix)]
    control: Option<OsString>,
    /// Connections that this board had when its settings were still those of before, each at its gateway.
    #[cfg(unix)]
    before: Vec<(PathBuf, u64)>,
    /// Refusals from before are of no interest.
    #[cfg(unix)]
    since: f64,
    reports: Reports,
}

impl Arrival {
    #[cfg_attr(not(unix), expect(unused_variables, reason = "no gateway can be asked"))]
    pub(super) fn new(address: &str, control: Option<&OsString>) -> Self {
        Self {
            address: address.to_owned(),
            #[cfg(unix)]
            control: control.cloned(),
            #[cfg(unix)]
            before: Vec::new(),
            #[cfg(unix)]
            since: seconds(SystemTime::now()),
            reports: Reports::default(),
        }
    }

    /// The board is about to restart: its connections of now do not count.
    pub(super) async fn forget_what_is_there(&mut self) {
        #[cfg(unix)]
        {
            let devices = self.devices().await;
            let connections = devices
                .into_iter()
                .map(|(socket, device)| (socket, device.connection));
            self.before = connections.collect();
            self.since = seconds(SystemTime::now());
        }
    }

    /// Waits until the board is listed, relayed, or reports that it is connected to a gateway elsewhere.
    pub(super) async fn wait(
        mut self,
        console: BoardConsole,
        port: &BoardPort,
        within: Duration,
    ) -> Result<Arrived, FlashError> {
        let deadline = Instant::now() + within;
        eprintln!(
            "waiting up to {} s for {} at its gateway",
            within.as_secs(),
            self.address
        );
        let (mut lines, _reading) = console.reports(port.clone());
        let mut poll = interval(POLL);
        loop {
            tokio::select! {
                // The task that reads them ends after this.
                Some(line) = lines.recv() => self.reports.add(&line),
                _ = poll.tick() => {
                    #[cfg(unix)]
                    if let Some(arrived) = self.look().await? {
                        return Ok(arrived);
                    }
                    if self.reports.connected_since.is_some_and(|since| since.elapsed() >= LISTED_WITHIN) {
                        return Ok(Arrived {
                            address: self.address,
                            identifier: None,
                            at: At::Elsewhere,
                            name: None,
                            index: None,
                        });
                    }
                }
                () = sleep_until(deadline) => {
                    let problem = self.reports.last.unwrap_or_else(|| "it reports nothing".to_owned());
                    let hint = self.reports.hint.map(str::to_owned);
                    return Err(FlashError::NotThere { address: self.address, within, problem, hint });
                }
            }
        }
    }

    /// Looks for the board at the gateways.
    #[cfg(unix)]
    async fn look(&mut self) -> Result<Option<Arrived>, FlashError> {
        for (socket, device) in self.devices().await {
            let at = match device.state {
                State::Ready => At::Listed,
                State::Relayed => At::Relayed,
                State::Refused if device.since >= self.since => {
                    let text = |text: Option<String>| text.map(|text| printable(text.as_bytes()));
                    return Err(FlashError::GatewayRefuses {
                        address: self.address.clone(),
                        reason: text(device.reason).unwrap_or_default(),
                        hint: text(device.hint),
                    });
                }
                // It is here, and about to be listed.
                State::Connecting => {
                    self.reports.connected_since = None;
                    continue;
                }
                State::Identifying | State::Gone | State::Refused => continue,
            };
            if self.before.contains(&(socket, device.connection)) {
                continue;
            }
            return Ok(Some(Arrived {
                address: device.address,
                identifier: Some(device.identifier),
                at,
                name: device.name,
                index: device.index,
            }));
        }
        Ok(None)
    }

    /// This board, as each gateway has it.
    #[cfg(unix)]
    async fn devices(&self) -> Vec<(PathBuf, Device)> {
        // The one that was named may be starting.
        let mut devices = running::listed(self.control.as_ref()).await.unwrap_or_default();
        devices.retain(|(_, device)| device.address.eq_ignore_ascii_case(&self.address));
        devices
    }
}

/// What the board reports on its way to a gateway.
#[derive(Default)]
struct Reports {
    /// The last one that matters.
    last: Option<String>,
    /// What to do about it.
    hint: Option<&'static str>,
    /// It says that it is connected, since then.
    connected_since: Option<Instant>,
}

impl Reports {
    fn add(&mut self, line: &str) {
        let (stamp, report) = match line.split_once(" ms: ") {
            Some((stamp, report)) if stamp.starts_with("at ") => (true, report),
            _ => (false, line),
        };
        let is_wifi = report.starts_with("Wi-Fi: ");
        let hint = if is_wifi && !report.starts_with("Wi-Fi: connected") || report.starts_with("no Wi-Fi") {
            Some("look at the Wi-Fi name and the password, and whether the network is one of 2.4 GHz")
        } else if report.starts_with("rejected with HTTP status 401") {
            Some("give the gateway's device token with --token-file")
        } else if report.starts_with("lost: no gateway answers the search") {
            Some(
                "a gateway answers if it listens on the network (--device-listen 0.0.0.0:54817) and the firewall lets mDNS \
                 in, which is UDP port 5353; some access points keep their devices apart, and then --gateway with the \
                 address of its computer finds it",
            )
        } else if report.starts_with("lost: nobody answers") || report.starts_with("lost: no answer in time")
        {
            Some(
                "does the gateway listen on the network (--device-listen 0.0.0.0:54817), does the firewall let that port \
                 in, and is the address of its computer the right one (--gateway)?",
            )
        } else if stamp
            || is_wifi
            || report.starts_with("no network")
            || report.starts_with("a limit limits nothing")
        {
            None
        } else {
            // What a boot loader prints, and the echo of the console.
            return;
        };
        let text = cut(printable(report.as_bytes()), REPORT_CHARS);
        eprintln!("board: {text}");
        match report {
            "connected" => self.connected_since = Some(Instant::now()),
            _ if hint.is_some() || report.starts_with("lost") || report.starts_with("refused") => {
                self.connected_since = None;
            }
            _ => {}
        }
        // Between two failures come reports of the next try, which explain nothing.
        let is_next_try = ["trying again", "connecting to", "found a gateway at"]
            .iter()
            .any(|start| report.starts_with(start));
        if hint.is_some() || !(is_next_try && self.last.is_some()) {
            self.last = Some(text);
            self.hint = hint;
        }
    }
}
