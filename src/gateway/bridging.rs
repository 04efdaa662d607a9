//! What could be bridged and what is: serial ports, peripherals, the entries of gateway.toml, the boards of the UDCF.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::boards::is_configured;
use super::configuration::Reloader;
use super::ports::{ListedPort, entry_name, list};
use crate::config::{BleSettings, SerialSettings, Settings, edit};
use crate::device::peripheral::{Seen, short};
use crate::ingress::ble::profile::{fitting, service_name};
use crate::ingress::ble::scan::{ScanError, Scanner};
use crate::link::serial::ports::{Access, Ports};
use crate::link::serial::{LineSettings, Port};
use crate::text::printable;
use crate::thread;
use crate::udcf::bridge::Bridged;
use crate::web::api::boards::{not_edited, tag};
use crate::web::api::{Problem, blocking};
use crate::web::view::boards::{
    BoardEntry, Boards, Entries, Offer, OfferState, Peripheral, PortState, SerialPort,
};
use crate::web::view::configuration::Configuration;

/// The boards around one gateway.
pub(super) struct Bridging {
    reloader: Reloader,
    ports: Ports,
    /// Held while an adapter scans.
    scanning: Arc<tokio::sync::Mutex<()>>,
}

impl Bridging {
    pub(super) fn new(reloader: Reloader, ports: Ports) -> Self {
        Self {
            reloader,
            ports,
            scanning: Arc::default(),
        }
    }
}

impl Boards for Bridging {
    fn ports(&self) -> BoxFuture<'static, Result<Vec<SerialPort>, Problem>> {
        let (reloader, ports) = (self.reloader.clone(), self.ports.clone());
        async move {
            let (entries, own) = serial(&reloader).await;
            blocking(move || {
                let listed = list(&ports, &entries).map_err(|e| Problem {
                    error: format!("the serial ports cannot be listed: {e}"),
                    hint: None,
                })?;
                Ok(listed.iter().map(|port| serial_port(port, own)).collect())
            })
            .await
        }
        .boxed()
    }

    fn open(&self, path: &str, baud_rate: u32) -> BoxFuture<'static, Result<Port, Problem>> {
        let (reloader, ports, path) = (self.reloader.clone(), self.ports.clone(), path.to_owned());
        async move {
            let (entries, own) = serial(&reloader).await;
            blocking(move || open(&ports, &entries, own, &path, baud_rate)).await
        }
        .boxed()
    }

    fn scan(&self, time: Duration) -> BoxFuture<'static, Result<Vec<Peripheral>, Problem>> {
        let (reloader, scanning) = (self.reloader.clone(), self.scanning.clone());
        async move {
            let (settings, _) = reloader.in_force().await;
            let (entries, own) = (reloader.entries().ble.borrow().clone(), settings.ble.len());
            let turn = scanning.lock_owned().await;
            let (answer, seen) = oneshot::channel();
            // All of the library must live on one thread. The caller may have stopped waiting when it is done.
            let scan = move || async move {
                let _turn = turn;
                let _ = answer.send(near(time).await);
            };
            let fault = |e: io::Error| Problem {
                error: format!("the system gives no thread for Bluetooth: {e}"),
                hint: None,
            };
            thread::start("scan".to_owned(), scan).map_err(fault)?;
            let seen = seen
                .await
                .unwrap_or_else(|_| Err(ScanError::Gone("the scan ended".to_owned())));
            let mut seen = seen.map_err(|e| Problem::of(&e))?;
            seen.sort_by_key(|seen| (seen.rssi.is_none(), seen.rssi.map(|dbm| -i32::from(dbm))));
            Ok(seen.iter().map(|seen| peripheral(seen, &entries, own)).collect())
        }
        .boxed()
    }

    fn entries(&self) -> BoxFuture<'static, Result<Entries, Problem>> {
        let reloader = self.reloader.clone();
        async move {
            let file = reloader.gateway_toml().await?;
            let entries = edit::entries(&file.text).map_err(|e| not_edited(&e))?;
            let (settings, udcf) = reloader.in_force().await;
            let offers = match settings.udcf {
                Some(_) => udcf.bridged(),
                None => Vec::new(),
            };
            Ok(Entries {
                file: file.path.as_deref().map(path_text),
                exists: file.exists,
                entries: entries.into_iter().map(board_entry).collect(),
                udcf: settings.udcf.as_deref().map(path_text),
                bridges_udcf: settings.bridge_udcf,
                offers: offers
                    .into_iter()
                    .map(|bridged| offer(bridged, &settings))
                    .collect(),
                problem: reloader.problem(),
            })
        }
        .boxed()
    }
}

/// The `[[serial]]` entries in force: as many of gateway.toml as the number says, then those of the UDCF.
async fn serial(reloader: &Reloader) -> (Vec<Arc<SerialSettings>>, usize) {
    let (settings, _) = reloader.in_force().await;
    (reloader.entries().serial.borrow().clone(), settings.serial.len())
}

/// Opens a port that no entry takes.
fn open(
    ports: &Ports,
    entries: &[Arc<SerialSettings>],
    own: usize,
    path: &str,
    baud_rate: u32,
) -> Result<Port, Problem> {
    let listed = list(ports, entries).unwrap_or_default();
    let Some(listed) = listed
        .into_iter()
        .find(|listed| listed.port.path == Path::new(path))
    else {
        return Err(Problem {
            error: format!("there is no serial port {path:?}"),
            hint: Some("GET /api/ports lists them".to_owned()),
        });
    };
    if let Some(n) = listed.entry {
        return Err(Problem {
            error: format!("{path} is bridged by {}", entry_name(n, own)),
            hint: Some("watch the device, or remove the entry".to_owned()),
        });
    }
    let line = LineSettings {
        baud_rate,
        ..LineSettings::default()
    };
    Port::open(&listed.file(ports), &line).map_err(|e| Problem {
        error: format!("{path} cannot be opened: {e}"),
        hint: Some(ports.open_hint(&listed.port.path, &e)),
    })
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

fn serial_port(listed: &ListedPort, own: usize) -> SerialPort {
    let ListedPort { port, access, .. } = listed;
    let usb = port.usb.as_ref();
    let text = |text: Option<&String>| text.map(|text| printable(text.as_bytes()));
    let (state, held_by) = match access {
        Access::Free => (PortState::Free, Vec::new()),
        Access::Held { by } if by.iter().all(|holder| holder.pid == std::process::id()) => {
            (PortState::Open, Vec::new())
        }
        Access::Held { by } => {
            let by = by
                .iter()
                .map(|holder| format!("{} (pid {})", printable(holder.program.as_bytes()), holder.pid));
            (PortState::Held, by.collect())
        }
        Access::Forbidden { .. } => (PortState::Forbidden, Vec::new()),
        Access::Gone => (PortState::Gone, Vec::new()),
    };
    SerialPort {
        path: path_text(&port.path),
        lasting: port.by_id.as_deref().map(path_text),
        manufacturer: text(usb.and_then(|usb| usb.manufacturer.as_ref())),
        product: text(usb.and_then(|usb| usb.product.as_ref())),
        serial_number: text(usb.and_then(|usb| usb.serial_number.as_ref())),
        usb: usb.map(|usb| format!("{:04x}:{:04x}", usb.vid, usb.pid)),
        state,
        held_by,
        hint: access.hint().filter(|_| state != PortState::Open),
        entry: listed.entry.map(|n| entry_name(n, own)),
    }
}

/// The peripherals that are heard within this time.
async fn near(time: Duration) -> Result<Vec<Seen>, ScanError> {
    let over = Instant::now() + time;
    let mut scanner = Scanner::start().await?;
    let mut seen: HashMap<String, Seen> = HashMap::new();
    let ended = loop {
        match timeout_at(over, scanner.next()).await {
            Ok(Ok(one)) => {
                let known = seen.get(&one.address);
                // The system remembers peripherals that are not there.
                if one.rssi.is_some() || one.connected || known.is_some() {
                    let rssi = one.rssi.or(known.and_then(|known| known.rssi));
                    seen.insert(one.address.clone(), Seen { rssi, ..one });
                }
            }
            Ok(Err(e)) => break Err(e),
            Err(_) => break Ok(()),
        }
    };
    scanner.stop().await;
    ended?;
    Ok(seen.into_values().collect())
}

fn peripheral(seen: &Seen, entries: &[Arc<BleSettings>], own: usize) -> Peripheral {
    let services = seen
        .services
        .iter()
        .map(|service| service_name(*service).map_or_else(|| short(*service), str::to_owned));
    let entry = entries.iter().position(|entry| entry.wanted.takes(seen));
    Peripheral {
        address: seen.address.clone(),
        name: seen.name.clone(),
        rssi: seen.rssi,
        is_connected: seen.connected,
        services: services.collect(),
        profiles: fitting(seen).into_iter().map(str::to_owned).collect(),
        entry: entry.map(|n| match n < own {
            true => format!("ble.{n}"),
            false => "udcf".to_owned(),
        }),
    }
}

fn board_entry(entry: edit::Entry) -> BoardEntry {
    BoardEntry {
        section: entry.section.to_owned(),
        n: entry.n,
        tag: tag(&entry.toml),
        line: entry.line,
        toml: entry.toml,
        keys: entry.keys,
    }
}

fn offer(bridged: Bridged, settings: &Settings) -> Offer {
    let state = match &bridged.problem {
        _ if is_configured(settings, &bridged) => OfferState::Configured,
        Some(_) => OfferState::Unusable,
        None if settings.bridge_udcf => OfferState::Bridged,
        None => OfferState::Offered,
    };
    // The text is our own.
    let entry = edit::entries(&bridged.toml)
        .ok()
        .and_then(|mut entries| entries.pop());
    Offer {
        section: bridged.place.section().to_owned(),
        name: bridged.name,
        protocol: bridged.protocol,
        identifier: bridged.identifier,
        state,
        problem: bridged.problem,
        remarks: bridged.remarks,
        toml: bridged.toml,
        keys: entry.map(|entry| entry.keys).unwrap_or_default(),
    }
}
