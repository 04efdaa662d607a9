//! Reports the content of a UDCF, for people and scripts.

use std::path::Path;

use buttplug_server_device_config::{
    BaseDeviceIdentifier, ServerDeviceDefinition, ServerDeviceFeature, ServerDeviceFeatureOutput as Output,
};
use serde::Serialize;

use super::bridge::Place;
use super::feasible::lacks;
use super::probe::{Trial, try_all};
use super::{Udcf, UdcfError, axis};
use crate::text::shell_word;

/// The content of a file.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The major version in its header.
    pub version: u64,
    /// The summary of the migration, if the file is older than version 5.
    pub migration: Option<String>,
    /// The identifiers that devices may send.
    pub websocket: Vec<Name>,
    /// Names without effect: the server lacks their protocol.
    pub unserved: Vec<Unserved>,
    /// Boards on serial ports and Bluetooth, which the gateway can bridge.
    pub bridge: Vec<Board>,
    /// Entries that identify devices in other ways: kept, but without effect here.
    pub others: Vec<String>,
    /// Devices that the user has configured.
    pub devices: Vec<Device>,
    /// What was not carried over or will not work.
    pub warnings: Vec<String>,
}

/// An identifier that devices may send.
#[derive(Debug, Serialize)]
pub struct Name {
    /// The identifier.
    pub name: String,
    /// The protocol of such a device.
    pub protocol: String,
    /// Its features, if they are known without asking the device for its model.
    pub features: Vec<String>,
}

/// A name that no device can connect with.
#[derive(Debug, Serialize)]
pub struct Unserved {
    /// The name.
    pub name: String,
    /// The protocol that the server lacks.
    pub protocol: String,
}

/// A board on a serial port or on Bluetooth.
#[derive(Debug, Serialize)]
pub struct Board {
    /// Where it is.
    pub place: Place,
    /// Its port, or its name on Bluetooth.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// The identifier under which the gateway knows it.
    pub identifier: String,
    /// Its features, if they are known without asking the device for its model.
    pub features: Vec<String>,
    /// Why its entry does not work as it stands.
    pub problem: Option<String>,
}

/// A device that the user has configured.
#[derive(Debug, Serialize)]
pub struct Device {
    /// Its address.
    pub address: String,
    /// Its protocol.
    pub protocol: String,
    /// Its model, if the protocol has models.
    pub identifier: Option<String>,
    /// Its device index.
    pub index: u32,
    /// The name that clients show instead of the model's.
    pub display_name: Option<String>,
    /// It may connect; if any device has this, only such devices may.
    pub allow: bool,
    /// It may not connect.
    pub deny: bool,
    /// Its features, with the user's limits applied.
    pub features: Vec<String>,
}

/// Reports on a file.
///
/// # Errors
/// If the file cannot be used at all.
pub fn check(path: &Path) -> Result<Report, UdcfError> {
    report(&Udcf::load(path)?)
}

/// Reports on a parsed file.
///
/// # Errors
/// As [`check`].
pub fn report(udcf: &Udcf) -> Result<Report, UdcfError> {
    let dcm = udcf.device_configuration()?;
    let definitions = dcm.base_device_definitions();
    let features_of = |protocol: &str, name: &str| {
        let definition = definitions
            .get(&BaseDeviceIdentifier::new_with_identifier(protocol, name))
            .or_else(|| definitions.get(&BaseDeviceIdentifier::new_default(protocol)));
        definition
            .map(|definition| features(protocol, name, definition))
            .unwrap_or_default()
    };
    let (served, unserved) = udcf.served_names();
    let websocket = served
        .into_iter()
        .map(|(name, protocol)| Name {
            features: features_of(&protocol, &name),
            name,
            protocol,
        })
        .collect();
    let bridged = udcf.bridged().into_iter();
    let bridge = bridged
        .map(|board| Board {
            features: features_of(&board.protocol, &board.identifier),
            place: board.place,
            name: board.name,
            protocol: board.protocol,
            identifier: board.identifier,
            problem: board.problem,
        })
        .collect();
    let mut devices: Vec<Device> = dcm
        .user_device_definitions()
        .iter()
        .map(|entry| Device {
            address: entry.key().address().clone(),
            protocol: entry.key().protocol().clone(),
            identifier: entry.key().identifier().clone(),
            index: entry.value().index(),
            display_name: entry.value().display_name().clone(),
            allow: entry.value().allow(),
            deny: entry.value().deny(),
            features: features(
                entry.key().protocol(),
                entry.key().identifier().as_deref().unwrap_or_default(),
                entry.value(),
            ),
        })
        .collect();
    devices.sort_by_key(|d| d.index);
    Ok(Report {
        version: udcf.major(),
        migration: udcf.summary().map(str::to_owned),
        websocket,
        unserved: unserved
            .into_iter()
            .map(|(name, protocol)| Unserved { name, protocol })
            .collect(),
        bridge,
        others: udcf
            .other_specifiers()
            .iter()
            .filter(|(_, entry)| entry.get("serial").is_none() && entry.get("btle").is_none())
            .map(|(protocol, entry)| format!("{protocol} {entry}"))
            .collect(),
        devices,
        warnings: udcf.warnings().to_vec(),
    })
}

/// The features of a device with this name as clients receive them, such as `Vibrate 0-20` or `Battery`: limits
/// applied; without disabled outputs and those that the protocol cannot carry out.
fn features(protocol: &str, name: &str, definition: &ServerDeviceDefinition) -> Vec<String> {
    let trial = Trial {
        protocol,
        name,
        definition,
    };
    let outcome = try_all(&[trial]).pop().unwrap_or_default();
    let mut all = Vec::new();
    for feature in definition.features().values() {
        let outputs = feature.output.iter().filter(|output| !output.is_disabled());
        let outputs = outputs.filter(|output| !lacks(protocol, &outcome, feature, output));
        all.extend(outputs.map(|output| shown(protocol, definition, feature, output)));
        all.extend(feature.input.iter().map(|input| input.input_type().to_string()));
    }
    all
}

/// An output with the range that clients receive, and with the limits of its axis if these are narrower.
fn shown(
    protocol: &str,
    definition: &ServerDeviceDefinition,
    feature: &ServerDeviceFeature,
    output: &Output,
) -> String {
    let kind = output.output_type();
    let range = axis::range(output);
    let mut text = match range.and_then(axis::steps) {
        Some((low, high)) => format!("{kind} {low}-{high}"),
        None => format!("{kind} without values"),
    };
    let full = range.map_or(0, |range| range.base.end());
    match axis::narrowed(protocol, definition, feature, output) {
        Some(Some((low, high))) => {
            text += &format!(" (kept to {low}-{high} of {full} by another limit of its axis)");
        }
        Some(None) => text += " (moves nothing: the limits of its axis exclude each other)",
        None => {}
    }
    text
}

impl Report {
    /// The boards that the gateway can bridge, and how to have it do so.
    fn boards(&self, name: &str) -> String {
        let mut text = format!(
            "\nboards that the gateway bridges with bridge = true in [udcf], or as entries of its own: wsdm-gateway udcf \
             bridge {} >> gateway.toml\n",
            shell_word(name)
        );
        for board in &self.bridge {
            let features = list(&board.features, "its features come from its model");
            text += &format!(
                "  {} {:?}  {}: {features}\n",
                board.place.section(),
                board.name,
                board.protocol
            );
            if let Some(problem) = &board.problem {
                text += &format!("    {problem}\n");
            }
        }
        text
    }

    /// The report as text.
    pub fn to_text(&self, name: &str) -> String {
        let mut text = match &self.migration {
            Some(migration) => format!("{migration}\n"),
            None => format!("{name}: version {}\n", self.version),
        };
        if self.websocket.is_empty() {
            let of = if self.unserved.is_empty() {
                ""
            } else {
                " of a protocol that the server has"
            };
            let itself = if self.bridge.is_empty() { "" } else { " by itself" };
            text += &format!("\nno websocket name{of}: no device can connect{itself} with this file\n");
        } else {
            text += "\nidentifiers that devices may send\n";
            for Name {
                name,
                protocol,
                features,
            } in &self.websocket
            {
                text += &format!(
                    "  {name}  {protocol}: {}\n",
                    list(features, "its features come from its model")
                );
            }
        }
        if !self.unserved.is_empty() {
            text += "\nnames without effect: the server lacks their protocol\n";
            for Unserved { name, protocol } in &self.unserved {
                text += &format!("  {name}  {protocol}\n");
            }
        }
        if !self.bridge.is_empty() {
            text += &self.boards(name);
        }
        if !self.others.is_empty() {
            text += "\nentries for other servers, without effect here\n";
            for other in &self.others {
                text += &format!("  {other}\n");
            }
        }
        if !self.devices.is_empty() {
            text += "\ndevices with settings\n";
            for d in &self.devices {
                let model = d.identifier.as_ref().map(|i| format!(" {i}")).unwrap_or_default();
                text += &format!("  {}  {}{model}, index {}", d.address, d.protocol, d.index);
                text += &d
                    .display_name
                    .as_ref()
                    .map(|n| format!(", shown as {n:?}"))
                    .unwrap_or_default();
                text += if d.deny { ", denied" } else { "" };
                text += if d.allow { ", allowed" } else { "" };
                text += &format!(": {}\n", list(&d.features, "no features"));
            }
        }
        for warning in &self.warnings {
            text += &format!("\nwarning: {warning}\n");
        }
        text
    }
}

fn list(items: &[String], none: &str) -> String {
    if items.is_empty() {
        none.to_owned()
    } else {
        items.join(", ")
    }
}
