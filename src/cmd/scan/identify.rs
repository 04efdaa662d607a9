//! Asks the boards that are near what they are, one after the other.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::super::identify::Identified;
use super::{ScanArgs, entry, over, print};
use crate::cmd::error::Error;
use crate::config::BleSettings;
use crate::device::peripheral::{Profile, Seen};
use crate::ingress::ble::profile::fitting;
use crate::ingress::ble::scan::{AskError, Manner, ScanError, Scanner};
use crate::text::{clock, printable, safe_json};
use crate::web::control::api::seconds;

/// How long boards are looked for, where `--for` does not say it.
const LOOK: Duration = Duration::from_secs(10);

/// Looks around, then connects to each board that an entry takes or that has the Nordic UART service.
pub(super) async fn identify(
    mut scanner: Scanner,
    entries: &[BleSettings],
    args: &ScanArgs,
) -> Result<(), Error> {
    let time = args.time.unwrap_or(LOOK);
    eprintln!(
        "looking for {} s, then each board is asked what it is",
        time.as_secs_f32()
    );
    let mut near: Vec<Seen> = Vec::new();
    let looked = tokio::select! {
        gone = look(&mut scanner, &mut near) => Err(gone),
        () = over(Some(time)) => Ok(()),
    };
    scanner.rest().await;
    looked?;
    let boards: Vec<(Seen, Manner)> = near
        .into_iter()
        .filter_map(|seen| manner(entries, &seen).map(|manner| (seen, manner)))
        .collect();
    if boards.is_empty() {
        eprintln!(
            "nothing was seen that a [[ble]] entry takes or that has the Nordic UART service; wsdm-gateway scan lists \
             all that is near"
        );
    }
    for (seen, manner) in boards {
        let board = tokio::select! {
            asked = scanner.ask(&seen, &manner) => match asked {
                Ok(Some(introduction)) => Identified::Known(introduction),
                Ok(None) => Identified::NotAsked(
                    "it is connected already, to a program on this machine, the gateway perhaps".to_owned(),
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

/// Notes all that is near, until Bluetooth goes.
async fn look(scanner: &mut Scanner, near: &mut Vec<Seen>) -> ScanError {
    loop {
        match scanner.next().await {
            Ok(seen) => match near.iter_mut().find(|known| known.address == seen.address) {
                Some(known) => *known = seen,
                // The system remembers peripherals that are not there.
                None if seen.rssi.is_some() || seen.connected => near.push(seen),
                None => {}
            },
            Err(gone) => return gone,
        }
    }
}

/// How a board is spoken with; `None` leaves it alone.
fn manner(entries: &[BleSettings], seen: &Seen) -> Option<Manner> {
    if let Some(entry) = entries.iter().find(|entry| entry.wanted.takes(seen)) {
        return Some(Manner {
            profile: entry.profile,
            write_without_response: entry.write_without_response,
            pair: entry.pair,
        });
    }
    fitting(seen).contains(&"nus").then_some(Manner {
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
    // Anybody near may have sent it.
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
