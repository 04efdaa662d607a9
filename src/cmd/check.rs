//! `check`

use serde_json::json;

use super::{print, run};
use crate::cli::RunArgs;
use crate::cmd::error::Error;
use crate::config::{ConfigError, Loaded, PortSource, Problem, SerialSettings};
use crate::gateway::boards::{Boards, unknown_identifiers};
use crate::gateway::ports;
use crate::link::serial::ports::{Access, Ports};
use crate::session::admission::Admission;
use crate::text::printable;
use crate::udcf::Udcf;

/// Reports what `run` would do with the same arguments.
pub(super) fn check(args: RunArgs) -> Result<(), Error> {
    let as_json = args.json;
    let without = args.intiface.without();
    let (file, layers) = run::layers(args)?;
    let mut loaded = match Loaded::load(file.as_deref(), layers) {
        Ok(loaded) => loaded,
        Err(e) => {
            if as_json {
                print(&format!("{:#}\n", json!({ "ok": false, "problems": e.0 })))?;
            }
            return Err(e.into());
        }
    };
    loaded.warnings.extend(without);
    let udcf = match &loaded.settings.udcf {
        Some(path) => Udcf::load(path),
        None => Ok(Udcf::builtin()),
    };
    let (udcf, dcm) = match udcf.and_then(|udcf| udcf.device_configuration().map(|dcm| (udcf, dcm))) {
        Ok(loaded) => loaded,
        Err(e) => {
            if as_json {
                let problem = json!({ "at": "", "key": "udcf.path", "problem": e.to_string() });
                print(&format!("{:#}\n", json!({ "ok": false, "problems": [problem] })))?;
            }
            return Err(e.into());
        }
    };
    let admission = Admission::new(&loaded.settings.devices, udcf.directory(&dcm));
    let problems: Vec<Problem> = unknown_identifiers(&loaded.settings, &admission)
        .into_iter()
        .map(|(key, problem)| loaded.problem(&key, problem))
        .collect();
    if !problems.is_empty() {
        if as_json {
            print(&format!("{:#}\n", json!({ "ok": false, "problems": problems })))?;
        }
        return Err(ConfigError(problems).into());
    }
    let boards = Boards::of(&loaded.settings, &udcf);
    let (names, unserved) = udcf.served_names();
    let ports = configured_ports(&boards.serial, loaded.settings.serial.len());
    if as_json {
        let list = |names: &[(String, String)]| -> Vec<_> {
            let names = names.iter();
            names
                .map(|(name, protocol)| json!({ "name": name, "protocol": protocol }))
                .collect()
        };
        let all = json!({
            "ok": true,
            "file": loaded.file,
            "settings": loaded.shown,
            "warnings": loaded.warnings,
            "serial": ports
                .iter()
                .map(|(entry, port, access)| json!({ "entry": entry, "port": port, "access": access }))
                .collect::<Vec<_>>(),
            "udcf": {
                "migration": udcf.summary(), "warnings": udcf.warnings(), "websocket": list(&names),
                "unserved": list(&unserved),
                "bridged": boards.bridged, "not_bridged": boards.warnings, "offer": boards.offer,
            },
        });
        return print(&format!("{all:#}\n"));
    }
    let mut text = match &loaded.file {
        Some(file) => format!("read {}\n\n", file.display()),
        None => "no gateway.toml was read\n\n".to_owned(),
    };
    let widest = |of: fn(&crate::config::Shown) -> usize| loaded.shown.iter().map(of).max().unwrap_or(0);
    let (key, value) = (
        widest(|s| s.key.len()),
        widest(|s| s.value.chars().count()).min(44),
    );
    for shown in &loaded.shown {
        text += &format!("{:key$}  {:value$}  {}\n", shown.key, shown.value, shown.source);
    }
    if !names.is_empty() {
        text += "\nidentifiers that devices may send\n";
    }
    for (name, protocol) in names {
        text += &format!("  {name}  {protocol}\n");
    }
    if !unserved.is_empty() {
        text += "\nnames without effect: the server lacks their protocol\n";
    }
    for (name, protocol) in unserved {
        text += &format!("  {name}  {protocol}\n");
    }
    if !boards.bridged.is_empty() {
        text += "\nboards of the UDCF that are bridged\n";
    }
    for bridged in &boards.bridged {
        text += &format!("  {bridged}\n");
    }
    if !ports.is_empty() {
        text += "\nports of [[serial]] entries\n";
    }
    for (entry, port, access) in &ports {
        text += &format!("  {entry}  {}  {access}\n", printable(port.as_bytes()));
    }
    let warnings = loaded.warnings.iter().map(String::as_str);
    for line in warnings
        .chain(udcf.summary())
        .chain(udcf.warnings().iter().map(String::as_str))
        .chain(boards.warnings.iter().map(String::as_str))
        .chain(boards.offer.as_deref())
    {
        text += &format!("\n{line}\n");
    }
    text += "\nno problems\n";
    print(&text)
}

/// The entries that name a port: the entry, the port, and whether it can be opened. The first `own` entries are those
/// of gateway.toml.
fn configured_ports(entries: &[SerialSettings], own: usize) -> Vec<(String, String, Access)> {
    // A port that is not listed may still exist.
    let listed = Ports::system().list().unwrap_or_default();
    let entries = entries.iter().enumerate().filter_map(|(n, entry)| {
        let PortSource::Path(path) = &entry.source else {
            return None;
        };
        let access = match listed.iter().find(|port| entry.source.takes(port)) {
            Some(port) => Ports::system().access(&port.path),
            None => ports::unlisted_access(path),
        };
        Some((ports::entry_name(n, own), path.display().to_string(), access))
    });
    entries.collect()
}
