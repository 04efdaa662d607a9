//! `ports`

mod identify;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::identify::Identified;
use super::{print, table};
use crate::cmd::error::Error;
use crate::config::{Layers, Loaded, PortSource, SerialSettings};
use crate::defaults::PORT_POLL;
use crate::gateway::boards::serial_entries;
use crate::link::serial::ports::{Access, PortInfo, Ports};
use crate::text::{clock, printable};
use crate::web::view::seconds;

/// What `ports` takes.
#[derive(Clone, Debug, Args)]
pub struct PortsArgs {
    /// Report ports that come and go, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Ask each board what it is. This opens every port that is free, which restarts many boards;
    /// settle_ms of its entry gives one time to start
    #[arg(long, conflicts_with = "watch")]
    pub identify: bool,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Read the `[[serial]]` entries of this gateway.toml [default: that of `run`]
    #[arg(long, value_name = "FILE", env = "WSDM_GATEWAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Tests only: where the system's files lie.
    #[arg(long, hide = true, default_value = "/", env = "WSDM_GATEWAY_PORTS_ROOT")]
    pub root: PathBuf,
}

/// A port, as it is reported.
struct Row {
    port: PortInfo,
    /// An entry names it, but the system does not list it: it is a pseudo-terminal, or does not exist.
    is_unlisted: bool,
    access: Access,
    /// The entry that takes it.
    entry: Option<usize>,
    /// The name of that entry.
    taken_by: Option<String>,
    /// The board behind it, if it was asked.
    board: Option<Identified>,
}

impl Row {
    fn json(&self) -> Value {
        let mut row = json!(self.port);
        row["access"] = json!(self.access);
        row["hint"] = json!(self.access.hint());
        row["entry"] = json!(self.taken_by);
        if let Some(board) = &self.board {
            row["board"] = board.json();
        }
        row
    }

    /// The path to open.
    fn file(&self, ports: &Ports) -> PathBuf {
        match self.is_unlisted {
            true => self.port.path.clone(),
            false => ports.real(&self.port.path),
        }
    }

    /// The lines below it in the table.
    fn details(&self) -> impl Iterator<Item = String> {
        let by_id = self.port.by_id.as_deref().map(path_text);
        let board = self.board.as_ref().map(ToString::to_string);
        by_id.into_iter().chain(board)
    }

    /// The columns of the table: port, USB ids, what it says of itself, state, entry.
    fn columns(&self) -> [String; 5] {
        let text = |text: &Option<String>| text.as_deref().map(|t| printable(t.as_bytes()));
        let (ids, product) = match &self.port.usb {
            Some(usb) => {
                let words = [
                    text(&usb.manufacturer),
                    text(&usb.product),
                    text(&usb.serial_number),
                ];
                let words: Vec<String> = words.into_iter().flatten().collect();
                (format!("{:04x}:{:04x}", usb.vid, usb.pid), words.join(", "))
            }
            None => ("-".to_owned(), "-".to_owned()),
        };
        [
            path_text(&self.port.path),
            ids,
            product,
            self.access.to_string(),
            self.taken_by.clone().unwrap_or("-".to_owned()),
        ]
    }
}

/// The name of an entry: all after the first `own` ones are the UDCF's.
pub(super) fn entry_name(n: usize, own: usize) -> String {
    match n < own {
        true => format!("serial.{n}"),
        false => "udcf".to_owned(),
    }
}

fn path_text(path: &Path) -> String {
    printable(path.to_string_lossy().as_bytes())
}

/// Lists the serial ports.
pub(super) async fn ports(args: PortsArgs) -> Result<(), Error> {
    let ports = Ports::under(&args.root);
    let settings = Loaded::load(args.config.as_deref(), Layers::default())?.settings;
    let entries = serial_entries(&settings);
    let own = settings.serial.len();
    let mut rows = list(&ports, &entries, own)?;
    if args.identify {
        identify::ask_all(&ports, &entries, &mut rows).await;
    }
    if !args.watch {
        let text = if args.json {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            format!("{:#}\n", json!(rows))
        } else {
            table(&rows)
        };
        print(&text)?;
        if rows.is_empty() {
            eprintln!(
                "there are no serial ports; is the cable a data cable? `dmesg` shows whether the system saw the board"
            );
        }
        // The hint for a missing port is to list the ports, which the table does.
        let shown = rows.iter().filter(|row| !args.json && row.access != Access::Gone);
        for row in shown {
            if let Some(hint) = row.access.hint() {
                eprintln!("{}: {hint}", path_text(&row.port.path));
            }
        }
        return Ok(());
    }
    for row in &rows {
        print(&event("there", row, args.json))?;
    }
    loop {
        tokio::select! {
            // Where Ctrl-C cannot be listened for, the process is ended by it.
            Ok(()) = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(PORT_POLL) => {}
        }
        let now = list(&ports, &entries, own)?;
        let same = |a: &Row, b: &Row| a.port == b.port;
        for gone in rows.iter().filter(|row| !now.iter().any(|n| same(n, row))) {
            print(&event("gone", gone, args.json))?;
        }
        for new in now.iter().filter(|row| !rows.iter().any(|r| same(r, row))) {
            print(&event("come", new, args.json))?;
        }
        rows = now;
    }
}

/// The system's ports, and those of entries that it does not list: pseudo-terminals and missing ports. The first `own`
/// entries are those of gateway.toml.
fn list(ports: &Ports, entries: &[SerialSettings], own: usize) -> Result<Vec<Row>, Error> {
    let listed = ports.list().map_err(Error::ports)?;
    let mut rows: Vec<Row> = listed
        .into_iter()
        .map(|port| {
            let entry = SerialSettings::taking(entries, &port);
            Row {
                access: ports.access(&port.path),
                entry,
                taken_by: entry.map(|n| entry_name(n, own)),
                is_unlisted: false,
                port,
                board: None,
            }
        })
        .collect();
    for (n, entry) in entries.iter().enumerate() {
        if let PortSource::Path(path) = &entry.source
            && !rows.iter().any(|row| entry.source.takes(&row.port))
        {
            rows.push(Row {
                access: unlisted_access(path),
                entry: Some(n),
                taken_by: Some(entry_name(n, own)),
                is_unlisted: true,
                port: PortInfo {
                    path: path.clone(),
                    by_id: None,
                    usb: None,
                },
                board: None,
            });
        }
    }
    Ok(rows)
}

/// Whether a port that the system does not list can be opened.
pub(super) fn unlisted_access(path: &Path) -> Access {
    match path.exists() {
        true => Ports::system().access(path),
        false => Access::Gone,
    }
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows = rows.iter().map(|row| (row.columns(), row.details().collect()));
    table::lines(["PORT", "USB", "PRODUCT", "STATE", "TAKEN BY"], rows.collect())
}

fn event(what: &str, row: &Row, as_json: bool) -> String {
    let now = seconds(SystemTime::now());
    if as_json {
        return json!({ "at": now, "event": what, "port": row.json() }).to_string() + "\n";
    }
    let sign = match what {
        "gone" => '-',
        "come" => '+',
        _ => ' ',
    };
    format!("{} {sign} {}\n", clock(now), row.columns().join("  "))
}
