//! Logging to stderr, as text for people or as JSON.

pub mod faults;

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The environment variable with a complete filter, such as `wsdm_gateway=debug,buttplug_server=info`.
pub const FILTER_VARIABLE: &str = "WSDM_GATEWAY_LOG";

/// What the library says of its own device table at every start: three times that it does not know `xinput`, which it
/// does not in this program. The gateway checks a user's file itself.
const KNOWN_NOISE: &str = "buttplug_server_device_config::device_config_file::protocol=error";

/// Starts logging. `verbosity` is the number of `-v` minus the number of `-q`. [`FILTER_VARIABLE`] overrides it.
///
/// The Buttplug library logs normal events as errors, such as a device that disconnects while it is being set up. The
/// gateway logs these itself, so the library's log is off below `-v`.
pub fn start(verbosity: i32, format: LogFormat) {
    let (ours, library) = match verbosity {
        i32::MIN..=-2 => ("error", "off"),
        -1 => ("warn", "off"),
        0 => ("info", "off"),
        1 => ("debug", "warn"),
        2 => ("trace", "info"),
        3..=i32::MAX => ("trace", "trace"),
    };
    let noise = if verbosity < 3 {
        format!(",{KNOWN_NOISE}")
    } else {
        String::new()
    };
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .filter(|filter| !filter.is_empty())
        .and_then(|filter| EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| EnvFilter::new(format!("{library},wsdm_gateway={ours}{noise}")));
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Only a second call in one process fails, and then the first settings stay.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(colours).compact().try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
