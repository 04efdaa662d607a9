//! `scan`

mod identify;
mod inspect;
mod list;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::print;
use crate::cmd::error::Error;
use crate::config::{BleSettings, Layers, Loaded};
use crate::device::peripheral::{PeripheralAddress, Seen};
use crate::ingress::ble::scan::Scanner;

/// How long `--connect` looks for its peripheral, where `--for` does not say it.
const FIND_TIMEOUT: Duration = Duration::from_secs(30);

/// What `scan` takes.
#[derive(Clone, Debug, Args)]
pub struct ScanArgs {
    /// Connect to this peripheral; show its services, characteristics, values and notifications
    #[arg(long, value_name = "ADDRESS")]
    pub connect: Option<String>,
    /// Connect to each board that an entry takes or that has the Nordic UART service, one after the
    /// other, and ask what it is
    #[arg(long, conflicts_with = "connect")]
    pub identify: bool,
    /// End after this time, such as 10s [default: at Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub time: Option<Duration>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Print one line a peripheral instead of a live table
    #[arg(long)]
    pub plain: bool,
    /// Read the `[[ble]]` entries of this gateway.toml [default: that of `run`]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `10s`, `500ms`, `2m`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1_000,
        "ms" => 1,
        "m" => 60_000,
        "h" => 3_600_000,
        unit => return Err(format!("there is no unit {unit:?}; there are ms, s, m and h")),
    };
    let ms = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    ms.filter(|ms| *ms > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| "is not a time such as 10s".to_owned())
}

/// Says what is near, or what one peripheral has.
pub(super) async fn scan(args: ScanArgs) -> Result<(), Error> {
    // Whoever writes an entry looks here for what belongs into it.
    let entries = match Loaded::load(args.config.as_deref(), Layers::default()) {
        Ok(loaded) => loaded.settings.ble,
        Err(_) if args.connect.is_some() => Vec::new(),
        Err(e) => {
            eprintln!("{e}\nno entry is looked at before that is mended; wsdm-gateway check says more");
            Vec::new()
        }
    };
    let wanted = args.connect.as_deref().map(|address| {
        PeripheralAddress::parse(address).map_err(|problem| {
            Error::usage(
                format!("--connect {address:?} {problem}"),
                "wsdm-gateway scan lists what is near",
            )
        })
    });
    let wanted = wanted.transpose()?;
    let scanner = Scanner::start().await?;
    match wanted {
        Some(wanted) => inspect::inspect(scanner, &wanted, &args).await,
        None if args.identify => identify::identify(scanner, &entries, &args).await,
        None => list::list(scanner, &entries, &args).await,
    }
}

/// Ends when somebody presses Ctrl-C, or when the time is over.
async fn over(time: Option<Duration>) {
    let late = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = late => {}
        // Where Ctrl-C cannot be listened for, the process is ended by it.
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
}

/// Which entry takes a peripheral.
fn entry(entries: &[BleSettings], seen: &Seen) -> Option<String> {
    let entry = entries.iter().position(|entry| entry.wanted.takes(seen));
    entry.map(|n| format!("ble.{n}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_as_people_write_them() {
        for (text, ms) in [("10s", 10_000), ("10", 10_000), ("250ms", 250), ("2m", 120_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "10 s",
            "1d",
            "99999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
