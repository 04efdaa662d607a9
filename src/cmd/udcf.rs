//! `udcf check`, `udcf migrate`, `udcf bridge`, `udcf add`, `udcf protocols`

use std::path::{Path, PathBuf};

use serde_json::json;

use super::print;
use crate::advice::Advice;
use crate::cli::UdcfCommand;
use crate::cmd::error::Error;
use crate::udcf::check::check;
use crate::udcf::edit::{Added, add, add_after, back_up, replace};
use crate::udcf::{Udcf, intiface, protocols};

pub(super) fn udcf(command: UdcfCommand) -> Result<(), Error> {
    match command {
        UdcfCommand::Check { file, json: true } => match check(&file) {
            Ok(report) => print(&format!("{}\n", json!({ "ok": true, "report": report }))),
            Err(e) => {
                print(&format!(
                    "{}\n",
                    json!({ "ok": false, "at": e.at(), "problem": e.problem(), "hint": e.hint() })
                ))?;
                Err(e.into())
            }
        },
        UdcfCommand::Check { file, json: false } => {
            print(&check(&file)?.to_text(&file.display().to_string()))
        }
        UdcfCommand::Migrate { file, output } => migrate(&file, output.as_deref()),
        UdcfCommand::Bridge { file } => bridge(&file),
        UdcfCommand::Add {
            protocol,
            websocket,
            file,
            ..
        } => match file {
            Some(file) => say(&websocket, &protocol, &add(&file, &protocol, &websocket)?, &file),
            None => add_to_intiface_central(&protocol, &websocket),
        },
        UdcfCommand::Protocols { json } => list_protocols(json),
    }
}

fn say(websocket: &str, protocol: &str, added: &Added, file: &Path) -> Result<(), Error> {
    let done = match added {
        Added::Added => "added to",
        Added::Created => "written to the new file",
        Added::Moved(from) => &format!("moved from {from}, which the server does not have, in"),
        Added::AlreadyThere => "already in",
    };
    print(&format!("{websocket} ({protocol}): {done} {}\n", file.display()))
}

/// Edits a file that another program takes for its own, and throws away where it cannot read it: hence the backup.
fn add_to_intiface_central(protocol: &str, websocket: &str) -> Result<(), Error> {
    let file = intiface::find()?;
    let mut copy: Option<PathBuf> = None;
    let added = add_after(&file, protocol, websocket, || {
        copy = Some(intiface::back_up(&file)?);
        Ok(())
    })?;
    say(websocket, protocol, &added, &file)?;
    let Some(copy) = copy else { return Ok(()) };
    print(&format!("as it was before: {}\n", copy.display()))?;
    eprintln!(
        "Intiface Central must have been closed: one that runs writes the file anew from its memory, without this name. \
         Start it now."
    );
    Ok(())
}

/// Results on stdout, what is to be said about them on stderr.
fn migrate(file: &Path, output: Option<&Path>) -> Result<(), Error> {
    let udcf = Udcf::load(file)?;
    for line in udcf
        .summary()
        .into_iter()
        .chain(udcf.warnings().iter().map(String::as_str))
    {
        eprintln!("{line}");
    }
    let Some(output) = output else {
        return print(&udcf.to_json());
    };
    // The file itself may be named as output; then the old one is kept.
    if output.try_exists().map_err(Error::output)? {
        let copy = back_up(output).map_err(Error::output)?;
        eprintln!("{} was there: it is kept as {}", output.display(), copy.display());
    }
    replace(output, &udcf.to_json()).map_err(Error::output)
}

/// Only TOML on stdout, so that it can be appended to a gateway.toml.
fn bridge(file: &Path) -> Result<(), Error> {
    let udcf = Udcf::load(file)?;
    for warning in udcf.warnings() {
        eprintln!("{warning}");
    }
    print(&udcf.bridge_toml(&file.display().to_string()))
}

fn list_protocols(as_json: bool) -> Result<(), Error> {
    if as_json {
        let all: Vec<_> = protocols::all().collect();
        return print(&format!("{}\n", json!(all)));
    }
    let width = protocols::all().map(|p| p.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:7}  {:6}  what its devices can do\n",
        "protocol", "default", "models"
    );
    for p in protocols::all() {
        let can: Vec<&str> = p.outputs.iter().chain(&p.inputs).map(String::as_str).collect();
        let default = if p.has_default { "yes" } else { "no" };
        text += &format!(
            "{:width$}  {default:7}  {:6}  {}\n",
            p.name,
            p.models,
            can.join(", ")
        );
    }
    text += "\ndefault: a device that is known by its websocket name alone has features\n";
    print(&text)
}
