//! Asks the boards in range what they are, one after the other.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::super::identify::Identified;
use super::{ScanArgs, entry, over, print};
use crate::cmd::error::Error;
use crate::config::BleSettings;
use crate::device::peripheral::{Profile, Seen};
use crate::ingress::ble::profile::fitting;
use crate::ingress::ble::scan::{AskError, ConnectOptions, ScanError, Scanner};
use crate::text::{clock, printable, safe_json};
use crate::web::view::seconds;

/// How long to scan without `--for`.
const SCAN_TIME: Duration = Duration::from_secs(10);

/// Scans, then connects to each board that an entry takes or that has the Nordic UART service, and asks it what it is.
pub(super) async fn identify(
    mut scanner: Scanner,
    entries: &[BleSettings],
    args: &ScanArgs,
) -> Result<(), Error> {
    let time = args.time.unwrap_or(SCAN_TIME);
    eprintln!(
        "scanning for {} s, then asking each board what it is",
        time.as_secs_f32()
    );
    let mut near: Vec<Seen> = Vec::new();
    let scanned = tokio::select! {
        gone = collect(&mut scanner, &mut near) => Err(gone),
        () = over(Some(time)) => Ok(()),
    };
    scanner.stop().await;
    scanned?;
    let boards: Vec<(Seen, ConnectOptions)> = near
        .into_iter()
        .filter_map(|seen| options(entries, &seen).map(|options| (seen, options)))
        .collect();
    if boards.is_empty() {
        eprintln!(
            "nothing in range has the Nordic UART service or matches a [[ble]] entry; wsdm-gateway scan lists \
             everything in range"
        );
    }
    for (seen, options) in boards {
        let board = tokio::select! {
            asked = scanner.ask(&seen, &options) => match asked {
                Ok(Some(introduction)) => Identified::Known(introduction),
                Ok(None) => Identified::NotAsked(
                    "it is connected already, to a program on this machine, perhaps the gateway".to_owned(),
                ),
                Err(AskError::Unknown(error)) => Identified::Unknown(error),
                Err(error) => Identified::NotAsked(error.to_string()),
            },
            () = over(None) => break,
        };
        print(&line(&seen, entry(entries, &seen), &board, args.json))?;
    }
    Ok(())
}

/// Collects everything in range until Bluetooth fails.
async fn collect(scanner: &mut Scanner, near: &mut Vec<Seen>) -> ScanError {
    loop {
        match scanner.next().await {
            Ok(seen) => match near.iter_mut().find(|known| known.address == seen.address) {
                Some(known) => *known = seen,
                // The system also remembers peripherals that are out of range.
                None if seen.rssi.is_some() || seen.connected => near.push(seen),
                None => {}
            },
            Err(gone) => return gone,
        }
    }
}

/// How to connect to a board; `None` if it is not to be asked.
fn options(entries: &[BleSettings], seen: &Seen) -> Option<ConnectOptions> {
    if let Some(entry) = entries.iter().find(|entry| entry.wanted.takes(seen)) {
        return Some(ConnectOptions {
            profile: entry.profile,
            write_without_response: entry.write_without_response,
            pair: entry.pair,
        });
    }
    fitting(seen).contains(&"nus").then_some(ConnectOptions {
        profile: Profile::Nus,
        write_without_response: None,
        pair: false,
    })
}

fn line(seen: &Seen, entry: Option<String>, board: &Identified, as_json: bool) -> String {
    let at = seconds(SystemTime::now());
    if as_json {
        let line = json!({
            "at": at,
            "event": "identified",
            "address": seen.address,
            "name": seen.name,
            "entry": entry,
            "board": board.json(),
        });
        return safe_json(&line) + "\n";
    }
    // Anybody within range may have chosen the name.
    let name = seen
        .name
        .as_deref()
        .map(|name| format!(" {:?}", printable(name.as_bytes())));
    format!(
        "{} {}{}  {board}\n",
        clock(at),
        seen.address,
        name.unwrap_or_default()
    )
}
