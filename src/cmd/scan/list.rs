//! What is near: a table that is kept up to date, or a line for each thing that is new.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use console::{Term, measure_text_width, truncate_str};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{ScanArgs, entry, over, print};
use crate::cmd::error::Error;
use crate::config::BleSettings;
use crate::device::peripheral::{Seen, short};
use crate::ingress::ble::profile::{fitting, service_name};
use crate::ingress::ble::scan::Scanner;
use crate::text::{clock, hex, printable, safe_json};
use crate::web::view::seconds;

/// Between two paintings of the table.
const REPAINT: Duration = Duration::from_millis(250);
/// A peripheral that was not heard for so long is perhaps gone.
const OLD_AFTER: Duration = Duration::from_secs(10);
/// The bar's width in characters.
const BAR: usize = 8;
/// What the bar is empty and full at, in dBm.
const WEAK: i16 = -100;
const STRONG: i16 = -40;

/// A peripheral, and what is to be said of it.
struct Row {
    seen: Seen,
    entry: Option<String>,
    heard: Instant,
}

/// Says what is near until it is told to stop.
pub(super) async fn list(
    mut scanner: Scanner,
    entries: &[BleSettings],
    args: &ScanArgs,
) -> Result<(), Error> {
    let table = std::io::stdout().is_terminal() && !args.plain && !args.json;
    let mut rows = Rows {
        rows: Vec::new(),
        at: HashMap::new(),
        entries,
    };
    let mut painter = Painter {
        term: Term::stdout(),
        lines: 0,
    };
    let (tell, mut told) = mpsc::unbounded_channel();
    let ended = {
        let look = async {
            loop {
                match scanner.next().await {
                    // The receiver lives as long as this.
                    Ok(seen) => drop(tell.send(seen)),
                    Err(e) => break Err(Error::from(e)),
                }
            }
        };
        let show = async {
            let mut repaint = interval(REPAINT);
            repaint.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    Some(seen) = told.recv() => {
                        let line = rows.saw(seen, args.json);
                        if let Some(line) = line.filter(|_| !table) {
                            print(&(line + "\n"))?;
                        }
                    }
                    _ = repaint.tick(), if table => painter.paint(&rows.table(&painter.term, false))?,
                }
            }
        };
        tokio::select! {
            () = over(args.time) => Ok(()),
            ended = look => ended,
            ended = show => ended,
        }
    };
    if table {
        painter.paint(&rows.table(&painter.term, true))?;
    }
    scanner.stop().await;
    if rows.rows.is_empty() && ended.is_ok() {
        eprintln!(
            "nothing was seen; is the board on, and near? One that is connected to something, such as a phone, does \
             not advertise"
        );
    }
    ended
}

struct Rows<'a> {
    /// In the order in which they appeared.
    rows: Vec<Row>,
    at: HashMap<String, usize>,
    entries: &'a [BleSettings],
}

impl Rows<'_> {
    /// Takes note of a peripheral; a line where there is something new to be said of it.
    fn saw(&mut self, seen: Seen, as_json: bool) -> Option<String> {
        // The system remembers peripherals that are not there.
        if seen.rssi.is_none() && !seen.connected && !self.at.contains_key(&seen.address) {
            return None;
        }
        let row = Row {
            entry: entry(self.entries, &seen),
            seen,
            heard: Instant::now(),
        };
        let known = self.at.get(&row.seen.address).copied();
        let event = match known {
            None => {
                self.at.insert(row.seen.address.clone(), self.rows.len());
                "come"
            }
            Some(at) => {
                let old = &self.rows[at].seen;
                let same = Seen {
                    rssi: row.seen.rssi,
                    ..old.clone()
                } == row.seen;
                if same {
                    let strength = row.seen.rssi.or(old.rssi);
                    self.rows[at].seen.rssi = strength;
                    self.rows[at].heard = row.heard;
                    return None;
                }
                "change"
            }
        };
        let line = if as_json { row.json(event) } else { row.line(event) };
        match known {
            None => self.rows.push(row),
            Some(at) => self.rows[at] = row,
        }
        Some(line)
    }

    /// Lines that fit the terminal: what somebody is looking for comes first.
    fn table(&self, term: &Term, ended: bool) -> Vec<String> {
        let (height, width) = term.size();
        let (height, width) = (usize::from(height), usize::from(width));
        let mut order: Vec<&Row> = self.rows.iter().collect();
        order.sort_by_key(|row| (row.entry.is_none(), fitting(&row.seen).is_empty()));
        // The head, two lines below, and the one that the cursor is on.
        let room = height.saturating_sub(4).max(1);
        let shown = &order[..order.len().min(room)];
        let head = ["ADDRESS", "NAME", "SIGNAL", "SERVICES", "PROFILE", "TAKEN BY"].map(str::to_owned);
        let cells: Vec<[String; 6]> = std::iter::once(head)
            .chain(shown.iter().map(|row| row.columns()))
            .collect();
        let widths: [usize; 6] = std::array::from_fn(|n| {
            let widths = cells.iter().map(|line| measure_text_width(&line[n]));
            widths.max().unwrap_or(0).min(36)
        });
        let mut lines: Vec<String> = cells
            .iter()
            .map(|line| {
                let cells = line.iter().zip(widths).map(|(cell, width)| {
                    let cell = truncate_str(cell, width, "…");
                    let pad = width - measure_text_width(&cell);
                    format!("{cell}{}", " ".repeat(pad))
                });
                let line = cells.collect::<Vec<_>>().join("  ");
                truncate_str(line.trim_end(), width.max(20), "…").into_owned()
            })
            .collect();
        let more = order.len() - shown.len();
        if more > 0 {
            lines.push(format!("and {more} more, for which there is no room"));
        }
        let ends = if ended { "" } else { "; Ctrl-C ends" };
        lines.push(format!("{} seen{ends}", order.len()));
        lines
    }
}

impl Row {
    fn services(&self) -> String {
        let names = self.seen.services.iter().map(|service| {
            let name = service_name(*service);
            name.map_or_else(|| short(*service), str::to_owned)
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn name(&self) -> String {
        // Anybody near may have sent it.
        let name = self.seen.name.as_deref().map(|name| printable(name.as_bytes()));
        name.unwrap_or_else(|| "-".to_owned())
    }

    fn columns(&self) -> [String; 6] {
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        [
            self.seen.address.clone(),
            self.name(),
            self.signal(),
            dash(self.services()),
            dash(fitting(&self.seen).join(", ")),
            self.entry.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }

    fn signal(&self) -> String {
        if self.seen.connected {
            return "connected".to_owned();
        }
        match self.seen.rssi {
            Some(dbm) if self.heard.elapsed() < OLD_AFTER => format!("{} {dbm} dBm", bar(dbm)),
            _ => format!("not heard for {} s", self.heard.elapsed().as_secs()),
        }
    }

    fn line(&self, event: &str) -> String {
        let sign = if event == "come" { '+' } else { '~' };
        let mut line = format!(
            "{} {sign} {}",
            clock(seconds(SystemTime::now())),
            self.seen.address
        );
        let mut add = |what: &str, text: &str| {
            if !text.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(line, "  {what}{text}");
            }
        };
        add("", &self.name());
        add("", &self.signal());
        add("", &self.services());
        add("profile ", &fitting(&self.seen).join(", "));
        add("taken by ", self.entry.as_deref().unwrap_or_default());
        line
    }

    fn json(&self, event: &str) -> String {
        let seen = &self.seen;
        let services: Vec<Value> = seen
            .services
            .iter()
            .map(|service| json!({ "uuid": service.to_string(), "name": service_name(*service) }))
            .collect();
        let data: serde_json::Map<String, Value> = seen
            .manufacturer_data
            .iter()
            .map(|(company, data)| (format!("{company:04x}"), hex(data).into()))
            .collect();
        safe_json(&json!({
            "at": seconds(SystemTime::now()),
            "event": event,
            "address": seen.address,
            "name": seen.name,
            "rssi": seen.rssi,
            "connected": seen.connected,
            "services": services,
            "manufacturer_data": data,
            "profiles": fitting(seen),
            "entry": self.entry,
        }))
    }
}

/// The stronger, the longer.
fn bar(dbm: i16) -> String {
    let span = usize::from((STRONG - WEAK).unsigned_abs());
    let above = usize::from((dbm.clamp(WEAK, STRONG) - WEAK).unsigned_abs());
    let full = (above * BAR).div_ceil(span);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

/// Paints lines over those that it painted last.
struct Painter {
    term: Term,
    lines: usize,
}

impl Painter {
    fn paint(&mut self, lines: &[String]) -> Result<(), Error> {
        let paint = |term: &Term| {
            term.clear_last_lines(self.lines)?;
            term.write_line(&lines.join("\n"))
        };
        paint(&self.term).map_err(Error::output)?;
        self.lines = lines.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_the_signal() {
        assert_eq!(bar(-120), "░░░░░░░░");
        assert_eq!(bar(-70), "████░░░░");
        assert_eq!(bar(0), "████████");
    }

    #[test]
    fn a_line_is_said_of_what_is_new_and_a_name_moves_no_cursor() {
        let mut rows = Rows {
            rows: Vec::new(),
            at: HashMap::new(),
            entries: &[],
        };
        let seen = Seen {
            address: "C0:FF:EE:00:00:01".to_owned(),
            rssi: Some(-60),
            ..Seen::default()
        };
        let remembered = Seen {
            rssi: None,
            ..seen.clone()
        };
        assert_eq!(rows.saw(remembered, false), None, "it is not there");
        assert!(rows.saw(seen.clone(), false).is_some());
        let nearer = Seen {
            rssi: Some(-50),
            ..seen.clone()
        };
        assert_eq!(rows.saw(nearer, false), None);
        let named = Seen {
            name: Some("a\u{1b}[2Jb".to_owned()),
            ..seen.clone()
        };
        let line = rows.saw(named.clone(), false).unwrap();
        assert!(line.contains(" ~ ") && !line.contains('\u{1b}'), "{line}");
        let named = Seen {
            connected: true,
            ..named
        };
        let line = rows.saw(named, true).unwrap();
        assert!(!line.contains('\u{1b}'), "{line}");
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["name"], "a\u{1b}[2Jb");
        assert_eq!(object["event"], "change");
    }
}
