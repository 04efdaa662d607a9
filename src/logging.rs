//! Logs: on stderr, readable by a newcomer, JSON for a machine.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The variable that sets the filter in full, such as `wsdm_gateway=debug,buttplug_server=info`.
pub const FILTER_VARIABLE: &str = "WSDM_GATEWAY_LOG";

/// Starts logging. `verbosity` is the number of `-v` less the number of `-q`; the variable, where set, wins.
///
/// The Buttplug library reports as an error what is normal here, such as a device that goes while it is being
/// set up; this program says the same in its own words. So the library is heard from `-v` on.
pub fn start(verbosity: i32, format: LogFormat) {
    let (ours, library) = match verbosity {
        i32::MIN..=-2 => ("error", "off"),
        -1 => ("warn", "off"),
        0 => ("info", "off"),
        1 => ("debug", "warn"),
        2 => ("trace", "info"),
        3..=i32::MAX => ("trace", "trace"),
    };
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .filter(|filter| !filter.is_empty())
        .and_then(|filter| EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| EnvFilter::new(format!("{library},wsdm_gateway={ours}")));
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Only a second start in one process fails, and then the first one's settings stay.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(colours).compact().try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
