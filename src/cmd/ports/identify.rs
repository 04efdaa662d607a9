//! Asks the boards behind ports what they are.

use super::super::identify::Identified;
use super::Row;
use crate::config::SerialSettings;
use crate::ingress::recognise::identify_once;
use crate::link::serial::Port;
use crate::link::serial::ports::{Access, Ports};

/// Asks the boards behind all free ports at once, and adds the answers to the rows.
pub(super) async fn ask_all(ports: &Ports, entries: &[SerialSettings], rows: &mut [Row]) {
    let free = rows
        .iter()
        .filter(|row| row.listed.access == Access::Free)
        .count();
    if free > 0 {
        eprintln!(
            "asking {free} of {} ports; opening a port restarts many boards",
            rows.len()
        );
    }
    let asked = rows.iter().map(|row| ask(ports, entries, row));
    let answers = futures::future::join_all(asked).await;
    for (row, answer) in rows.iter_mut().zip(answers) {
        row.board = Some(answer);
    }
}

async fn ask(ports: &Ports, entries: &[SerialSettings], row: &Row) -> Identified {
    let listed = &row.listed;
    if listed.access != Access::Free {
        return Identified::NotAsked(listed.access.to_string());
    }
    let entry = listed.entry.and_then(|n| entries.get(n));
    let line = entry.map(|entry| entry.line.clone()).unwrap_or_default();
    let settle = entry.map(|entry| entry.settle).unwrap_or_default();
    let path = listed.file(ports);
    // Opening the port also keeps every other program away from it.
    let opened = tokio::task::spawn_blocking(move || Port::open(&path, &line)).await;
    let mut port = match opened.unwrap_or_else(|e| Err(std::io::Error::other(e))) {
        Ok(port) => port,
        Err(e) => return Identified::NotAsked(format!("cannot be opened: {e}")),
    };
    match identify_once(&mut port, settle, false).await {
        Ok(introduction) => Identified::Known(introduction),
        Err(error) => Identified::Unknown(error),
    }
}
