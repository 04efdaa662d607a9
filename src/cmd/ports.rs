//! `ports`

mod identify;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::identify::Identified;
use super::{print, table};
use crate::cmd::error::Error;
use crate::config::{Layers, Loaded, SerialSettings};
use crate::defaults::PORT_POLL;
use crate::gateway::boards::serial_entries;
use crate::gateway::ports::{ListedPort, entry_name, list as listed_ports};
use crate::link::serial::ports::{Access, Ports};
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

/// A port, as it is shown.
struct Row {
    listed: ListedPort,
    /// The name of the entry that takes it.
    taken_by: Option<String>,
    /// The board behind it, if it was asked.
    board: Option<Identified>,
}

impl Row {
    fn json(&self) -> Value {
        let ListedPort { port, access, .. } = &self.listed;
        let mut row = json!(port);
        row["access"] = json!(access);
        row["hint"] = json!(access.hint());
        row["entry"] = json!(self.taken_by);
        if let Some(board) = &self.board {
            row["board"] = board.json();
        }
        row
    }

    /// The lines below it in the table.
    fn details(&self) -> impl Iterator<Item = String> {
        let by_id = self.listed.port.by_id.as_deref().map(path_text);
        let board = self.board.as_ref().map(ToString::to_string);
        by_id.into_iter().chain(board)
    }

    /// The columns of the table: port, USB ids, what it says of itself, state, entry.
    fn columns(&self) -> [String; 5] {
        let text = |text: &Option<String>| text.as_deref().map(|t| printable(t.as_bytes()));
        let ListedPort { port, access, .. } = &self.listed;
        let (ids, product) = match &port.usb {
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
            path_text(&port.path),
            ids,
            product,
            access.to_string(),
            self.taken_by.clone().unwrap_or("-".to_owned()),
        ]
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
        let shown = rows
            .iter()
            .filter(|row| !args.json && row.listed.access != Access::Gone);
        for row in shown {
            if let Some(hint) = row.listed.access.hint() {
                eprintln!("{}: {hint}", path_text(&row.listed.port.path));
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
        let same = |a: &Row, b: &Row| a.listed.port == b.listed.port;
        for gone in rows.iter().filter(|row| !now.iter().any(|n| same(n, row))) {
            print(&event("gone", gone, args.json))?;
        }
        for new in now.iter().filter(|row| !rows.iter().any(|r| same(r, row))) {
            print(&event("come", new, args.json))?;
        }
        rows = now;
    }
}

/// The ports. The first `own` entries are those of gateway.toml.
fn list(ports: &Ports, entries: &[SerialSettings], own: usize) -> Result<Vec<Row>, Error> {
    let listed = listed_ports(ports, entries).map_err(Error::ports)?;
    let rows = listed.into_iter().map(|listed| Row {
        taken_by: listed.entry.map(|n| entry_name(n, own)),
        listed,
        board: None,
    });
    Ok(rows.collect())
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
