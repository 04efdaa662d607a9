//! `ports`

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::print;
use crate::cmd::error::Error;
use crate::config::{Layers, Loaded, PortSource, SerialSettings};
use crate::defaults::PORT_POLL;
use crate::link::serial::ports::{Access, PortInfo, Ports};
use crate::text::{clock, printable};
use crate::web::control::api::seconds;

/// What `ports` takes.
#[derive(Clone, Debug, Args)]
pub struct PortsArgs {
    /// Report ports that come and go, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
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

/// A port, and what is to be said of it.
struct Row {
    port: PortInfo,
    access: Access,
    entry: Option<usize>,
}

impl Row {
    fn json(&self) -> Value {
        let mut row = json!(self.port);
        row["access"] = json!(self.access);
        row["hint"] = json!(self.access.hint());
        row["entry"] = json!(self.entry.map(entry_name));
        row
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
            self.entry.map_or("-".to_owned(), entry_name),
        ]
    }
}

fn entry_name(n: usize) -> String {
    format!("serial.{n}")
}

fn path_text(path: &Path) -> String {
    printable(path.to_string_lossy().as_bytes())
}

/// Says which serial ports there are.
pub(super) async fn ports(args: PortsArgs) -> Result<(), Error> {
    let ports = Ports::under(&args.root);
    let entries = Loaded::load(args.config.as_deref(), Layers::default())?
        .settings
        .serial;
    let mut rows = look(&ports, &entries)?;
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
                "no serial port is there; is the cable one for data? `dmesg` says whether the board was seen"
            );
        }
        for row in rows.iter().filter(|_| !args.json) {
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
        let now = look(&ports, &entries)?;
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

/// The system's ports, and those of entries that are no hardware: pseudo-terminals.
fn look(ports: &Ports, entries: &[SerialSettings]) -> Result<Vec<Row>, Error> {
    let mut listed = ports.list().map_err(Error::ports)?;
    for entry in entries {
        if let PortSource::Path(path) = &entry.source
            && path.exists()
            && !listed.iter().any(|port| entry.source.takes(port))
        {
            listed.push(PortInfo {
                path: path.clone(),
                by_id: None,
                usb: None,
            });
        }
    }
    let rows = listed.into_iter().map(|port| Row {
        access: ports.access(&port.path),
        entry: entries.iter().position(|entry| entry.source.takes(&port)),
        port,
    });
    Ok(rows.collect())
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = ["PORT", "USB", "PRODUCT", "STATE", "TAKEN BY"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head)
        .chain(rows.iter().map(Row::columns))
        .collect();
    let width = |n: usize| {
        lines
            .iter()
            .map(|line| line[n].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        let padded = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
        let by_id = n.checked_sub(1).and_then(|n| rows[n].port.by_id.as_deref());
        if let Some(by_id) = by_id {
            text += &format!("  {}\n", path_text(by_id));
        }
    }
    text
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
