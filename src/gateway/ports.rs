//! The serial ports that there are, and which entry takes each.

use std::borrow::Borrow;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{PortSource, SerialSettings};
use crate::link::serial::ports::{Access, PortInfo, Ports};

/// A serial port, as it is reported.
pub struct ListedPort {
    /// What it is.
    pub port: PortInfo,
    /// An entry names it, but the system does not list it: it is a pseudo-terminal, or does not exist.
    pub is_unlisted: bool,
    /// Whether it can be opened.
    pub access: Access,
    /// The number of the entry that takes it.
    pub entry: Option<usize>,
}

impl ListedPort {
    /// The path to open.
    pub fn file(&self, ports: &Ports) -> PathBuf {
        match self.is_unlisted {
            true => self.port.path.clone(),
            false => ports.real(&self.port.path),
        }
    }
}

/// The name of an entry: all after the first `own` ones are the UDCF's.
pub fn entry_name(n: usize, own: usize) -> String {
    match n < own {
        true => format!("serial.{n}"),
        false => "udcf".to_owned(),
    }
}

/// The system's ports, and those of entries that it does not list: pseudo-terminals and missing ports.
///
/// # Errors
/// The system does not tell.
pub fn list(ports: &Ports, entries: &[impl Borrow<SerialSettings>]) -> io::Result<Vec<ListedPort>> {
    let listed = ports.list()?;
    let mut rows: Vec<ListedPort> = listed
        .into_iter()
        .map(|port| ListedPort {
            access: ports.access(&port.path),
            entry: SerialSettings::taking(entries, &port),
            is_unlisted: false,
            port,
        })
        .collect();
    for (n, entry) in entries.iter().map(Borrow::borrow).enumerate() {
        if let PortSource::Path(path) = &entry.source
            && !rows.iter().any(|row| entry.source.takes(&row.port))
        {
            rows.push(ListedPort {
                access: unlisted_access(path),
                entry: Some(n),
                is_unlisted: true,
                port: PortInfo {
                    path: path.clone(),
                    by_id: None,
                    usb: None,
                },
            });
        }
    }
    Ok(rows)
}

/// Whether a port that the system does not list can be opened.
pub fn unlisted_access(path: &Path) -> Access {
    match path.exists() {
        true => Ports::system().access(path),
        false => Access::Gone,
    }
}
