//! What a UDCF comes to, for people and for scripts.

use std::path::Path;

use buttplug_server_device_config::{
    BaseDeviceIdentifier, RangeWithLimit, ServerDeviceDefinition, ServerDeviceFeatureOutput as Output,
};
use serde::Serialize;

use super::{Udcf, UdcfError};

/// What a file comes to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The major version that it says it has.
    pub version: u64,
    /// What the migration did, where the file is older than version 5.
    pub migration: Option<String>,
    /// What devices may call themselves.
    pub websocket: Vec<Name>,
    /// Entries that name devices in other ways: kept, and without effect here.
    pub others: Vec<String>,
    /// Devices that a user has settings for.
    pub devices: Vec<Device>,
    /// What could not be carried over, or will not work.
    pub warnings: Vec<String>,
}

/// An identifier that devices may send.
#[derive(Debug, Serialize)]
pub struct Name {
    /// The identifier.
    pub name: String,
    /// The protocol that such a device speaks.
    pub protocol: String,
    /// What it can do, where that is known before it was asked for its model.
    pub features: Vec<String>,
}

/// A device that a user has settings for.
#[derive(Debug, Serialize)]
pub struct Device {
    /// Which device.
    pub address: String,
    /// The protocol that it speaks.
    pub protocol: String,
    /// Its model, where the protocol has any.
    pub identifier: Option<String>,
    /// Its device index.
    pub index: u32,
    /// The name that clients show instead of the model's.
    pub display_name: Option<String>,
    /// Only devices with this may connect, where there are any.
    pub allow: bool,
    /// It may not connect.
    pub deny: bool,
    /// What it can do, its limits applied.
    pub features: Vec<String>,
}

/// Looks at a file.
///
/// # Errors
/// Where it cannot be used at all.
pub fn check(path: &Path) -> Result<Report, UdcfError> {
    report(&Udcf::load(path)?)
}

/// Looks at a file that was read.
///
/// # Errors
/// As [`check`].
pub fn report(udcf: &Udcf) -> Result<Report, UdcfError> {
    let dcm = udcf.device_configuration()?;
    let definitions = dcm.base_device_definitions();
    let websocket = udcf
        .websocket_names()
        .into_iter()
        .map(|(name, protocol)| {
            let definition = definitions
                .get(&BaseDeviceIdentifier::new_with_identifier(&protocol, &name))
                .or_else(|| definitions.get(&BaseDeviceIdentifier::new_default(&protocol)));
            let features = definition.map(|d| features(d)).unwrap_or_default();
            Name {
                name,
                protocol,
                features,
            }
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
            features: features(entry.value()),
        })
        .collect();
    devices.sort_by_key(|d| d.index);
    Ok(Report {
        version: udcf.major(),
        migration: udcf.summary().map(str::to_owned),
        websocket,
        others: udcf
            .other_specifiers()
            .iter()
            .map(|(protocol, entry)| format!("{protocol} {entry}"))
            .collect(),
        devices,
        warnings: udcf.warnings().to_vec(),
    })
}

/// Each output with its range and each input, such as `Vibrate 0-20`, `Battery`: as clients receive it, limits applied,
/// disabled outputs left out.
fn features(definition: &ServerDeviceDefinition) -> Vec<String> {
    let mut all = Vec::new();
    for feature in definition.features().values() {
        let outputs = feature.output.iter().filter(|output| !output.is_disabled());
        all.extend(outputs.map(|output| {
            let value = match output {
                Output::Position(position) => Some(&position.value),
                Output::HwPositionWithDuration(position) => Some(&position.value),
                other => other.as_value_properties().map(|properties| &properties.value),
            };
            let kind = output.output_type();
            match value.and_then(steps) {
                Some((low, high)) => format!("{kind} {low}-{high}"),
                None => format!("{kind} without values"),
            }
        }));
        all.extend(feature.input.iter().map(|input| input.input_type().to_string()));
    }
    all
}

/// The range that clients receive; `None` if nothing is in it. The library's own arithmetic panics on some of these.
fn steps(range: &RangeWithLimit) -> Option<(i32, i32)> {
    let count = match &range.user {
        Some(user) => i32::try_from(user.end().checked_sub(user.start())?).ok()?,
        None => range.base.end(),
    };
    let both_ways = range.base.start() < 0;
    (count > 0).then(|| (if both_ways { -count } else { 0 }, count))
}

impl Report {
    /// For people.
    pub fn to_text(&self, name: &str) -> String {
        let mut text = match &self.migration {
            Some(migration) => format!("{migration}\n"),
            None => format!("{name}: version {}\n", self.version),
        };
        if self.websocket.is_empty() {
            text += "\nno websocket name: no device can connect with this file\n";
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
