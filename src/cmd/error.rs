//! The top error: what failed, on what, then one line on what to do, and the exit code.

use std::io;

use crate::cmd::monitor::MonitorError;
use crate::cmd::simulate::SimulateError;
use crate::config::ConfigError;
use crate::gateway::GatewayError;
use crate::ingress::ble::scan::ScanError;
use crate::udcf::UdcfError;

/// Done; a SIGINT or SIGTERM that was carried out included.
pub const EXIT_OK: i32 = 0;
/// Failed while running.
pub const EXIT_FAILED: i32 = 1;
/// Bad command line, configuration or UDCF.
pub const EXIT_USAGE: i32 = 2;
/// Cut short by a second signal.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that is not there, or not in this way.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The configuration does not hold.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A UDCF cannot be used.
    #[error(transparent)]
    Udcf(#[from] UdcfError),
    /// The gateway did not start.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// There is nothing to watch.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// A simulated device ended.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// The system does not list its serial ports.
    #[error("cannot list the serial ports: {0}")]
    Ports(#[source] io::Error),
    /// There is no Bluetooth to look at, or not what was looked for.
    #[error(transparent)]
    Scan(ScanError),
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// The system gave no runtime.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// One line on what to do, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } => Some(hint.clone()),
            Self::Config(_) => Some("wsdm-gateway check lists what the configuration comes to".to_owned()),
            Self::Udcf(e) | Self::Gateway(GatewayError::Udcf(e)) => e.hint(),
            Self::Gateway(e) => e.hint(),
            Self::Monitor(e) => e.hint(),
            Self::Simulate(e) => e.hint(),
            Self::Scan(e) => e.hint(),
            Self::Ports(_) | Self::Output(_) | Self::Runtime(_) => None,
        }
    }

    /// What the process exits with.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Usage { .. } | Self::Config(_) | Self::Udcf(_) | Self::Gateway(GatewayError::Udcf(_)) => {
                EXIT_USAGE
            }
            Self::Gateway(_)
            | Self::Monitor(_)
            | Self::Simulate(_)
            | Self::Ports(_)
            | Self::Scan(_)
            | Self::Output(_)
            | Self::Runtime(_) => EXIT_FAILED,
        }
    }
}
