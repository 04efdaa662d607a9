//! The port that the board is on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use espflash::connection::Port as BlockingPort;

use super::error::FlashError;
use super::{FlashArgs, ask};
use crate::defaults::BAUD_RATE;
use crate::gateway::ports::unlisted_access;
use crate::link::serial::ports::{Access, PortInfo, Ports, UsbInfo, in_words};
use crate::link::serial::{LineSettings, Port, open_error};
use crate::text::printable;

/// The maker of the chips, whose own USB this is.
const ESPRESSIF: u16 = 0x303a;
/// The USB of the ESP32-C3 and C6, which is a serial port and a debugger.
const SERIAL_JTAG: u16 = 0x1001;
/// Makers of the adapters that boards with these chips have: Silicon Labs, WCH, FTDI, Prolific.
const ADAPTERS: [u16; 4] = [0x10c4, 0x1a86, 0x0403, 0x067b];

/// A board's port.
#[derive(Clone, Debug)]
pub(super) struct BoardPort {
    /// As people know it.
    pub path: PathBuf,
    /// What is opened: it stays the same when the board restarts and its USB with it.
    file: PathBuf,
    /// The maker and the product on USB.
    pub usb: Option<(u16, u16)>,
    product: Option<String>,
    pub manual_reset: bool,
    pub baud_rate: u32,
    ports: Ports,
}

impl fmt::Display for BoardPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.product {
            Some(product) => write!(f, " ({})", printable(product.as_bytes())),
            None => Ok(()),
        }
    }
}

impl BoardPort {
    /// The port that was named, or the only one that may be a board's. If several may be, a person is asked.
    pub(super) async fn choose(args: &FlashArgs, can_ask: bool) -> Result<Self, FlashError> {
        let ports = Ports::under(&args.root);
        let listed = ports.list().map_err(|source| FlashError::Port {
            path: args.root.join("sys/class/tty"),
            problem: source.to_string(),
            hint: None,
        })?;
        let port = match &args.port {
            Some(path) => named(path, &listed, &ports),
            None => {
                let mut found: Vec<&PortInfo> = listed.iter().filter(|port| may_be_a_board(port)).collect();
                let at = match found.len() {
                    0 => return Err(FlashError::NoPort(in_words(&listed))),
                    1 => 0,
                    _ => {
                        let names: Vec<String> = found.iter().map(|port| in_words_of(port)).collect();
                        if !can_ask {
                            return Err(FlashError::SeveralPorts(names));
                        }
                        ask::which("which port?", names).await?
                    }
                };
                (found.swap_remove(at).clone(), ports.clone())
            }
        };
        Self::of(port, args)
    }

    fn of((info, ports): (PortInfo, Ports), args: &FlashArgs) -> Result<Self, FlashError> {
        let access = ports.access(&info.path);
        if access != Access::Free {
            return Err(FlashError::Port {
                path: info.path,
                problem: access.to_string(),
                hint: access.hint(),
            });
        }
        Ok(Self {
            file: ports.real(info.by_id.as_deref().unwrap_or(&info.path)),
            path: info.path,
            usb: info.usb.as_ref().map(|usb| (usb.vid, usb.pid)),
            product: info.usb.and_then(|usb| usb.product),
            manual_reset: args.manual_reset,
            baud_rate: args.baud_rate,
            ports,
        })
    }

    /// Whether this is the chip's own USB.
    pub(super) fn is_native_usb(&self) -> bool {
        self.usb == Some((ESPRESSIF, SERIAL_JTAG))
    }

    /// Opens it for the library that flashes.
    pub(super) fn open_blocking(&self, timeout: Duration) -> Result<BlockingPort, FlashError> {
        // A path that is no text is no port that this library can open.
        let path = self.file.to_str().unwrap_or_default();
        let opened = tokio_serial::new(path, BAUD_RATE).timeout(timeout).open_native();
        opened.map_err(|e| self.not_opened(&open_error(&e)))
    }

    /// Opens it for the console.
    pub(super) async fn open(&self) -> Result<Port, FlashError> {
        let path = self.file.clone();
        let opened = tokio::task::spawn_blocking(move || Port::open(&path, &LineSettings::default())).await;
        let opened = opened.unwrap_or_else(|e| Err(io::Error::other(e)));
        opened.map_err(|e| self.not_opened(&e))
    }

    fn not_opened(&self, error: &io::Error) -> FlashError {
        FlashError::Port {
            path: self.path.clone(),
            problem: error.to_string(),
            hint: Some(self.ports.open_hint(&self.path, error)),
        }
    }
}

/// A port that was named by its path, or by the one that stays the same.
fn named(path: &Path, listed: &[PortInfo], ports: &Ports) -> (PortInfo, Ports) {
    let is_meant = |port: &&PortInfo| port.path == path || port.by_id.as_deref() == Some(path);
    if let Some(port) = listed.iter().find(is_meant) {
        return (port.clone(), ports.clone());
    }
    let info = PortInfo {
        path: path.to_owned(),
        by_id: None,
        usb: None,
    };
    // Such as a pseudo-terminal, which no system lists.
    match unlisted_access(path) {
        Access::Gone => (info, ports.clone()),
        _ => (info, Ports::system()),
    }
}

fn may_be_a_board(port: &PortInfo) -> bool {
    let may_be = |usb: &UsbInfo| usb.vid == ESPRESSIF || ADAPTERS.contains(&usb.vid);
    port.usb.as_ref().is_some_and(may_be)
}

fn in_words_of(port: &PortInfo) -> String {
    let product = port.usb.as_ref().and_then(|usb| usb.product.as_deref());
    let product = product.map(|product| format!(" ({})", printable(product.as_bytes())));
    format!("{}{}", port.path.display(), product.unwrap_or_default())
}
